"""A network with one hidden layer, as plain trees, and the mask of its first kernel."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

FIRST = {"first": {"kernel": True, "bias": False}, "last": {"kernel": False, "bias": False}}
"""The mask of the first layer's kernel (pixels, hidden): axis 1 holds the weights of one pixel."""
CLASSES = 10


def initial(key: jax.Array, pixels: int, hidden: int) -> dict[str, dict[str, jax.Array]]:
    """The initial parameters."""
    first, last = jax.random.split(key)
    normal = jax.nn.initializers.he_normal()
    return {
        "first": {"kernel": normal(first, (pixels, hidden)), "bias": jnp.zeros(hidden)},
        "last": {"kernel": normal(last, (hidden, CLASSES)), "bias": jnp.zeros(CLASSES)},
    }


def logits(params: Any, inputs: jax.Array) -> jax.Array:
    """Logits (rows, classes) for inputs (rows, pixels)."""
    units = jax.nn.relu(inputs @ params["first"]["kernel"] + params["first"]["bias"])
    return units @ params["last"]["kernel"] + params["last"]["bias"]


def loss(params: Any, rows: Any) -> jax.Array:
    """Mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(
        logits(params, rows.inputs), rows.labels
    ).mean()


def accuracy(params: Any, rows: Any) -> float:
    """Share of rows that are classified correctly."""
    return float(jnp.mean(jnp.argmax(logits(params, jnp.asarray(rows.inputs)), 1) == rows.labels))


def live_pixels(params: Any) -> jax.Array:
    """Which pixels have a weight that is not 0 (pixels,)."""
    return jnp.any(params["first"]["kernel"] != 0, 1)
