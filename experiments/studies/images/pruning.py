"""Which weights of a network count, and what is left of it when only the largest are kept.

A weight counts if it is not 0 and leads to an output: one into a unit that nothing leaves changes no logit, and may be cut.

    kept(kernels_of(params))["kept"]                  # share of the weights that count
    cut(params, ranks(params), 1000)                  # the 1000 largest kernel weights, and every bias
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from experiments.datasets import Rows
from experiments.networks import kernels_of
from experiments.training import accuracy


def leading(kernels: Sequence[jax.Array]) -> list[jax.Array]:
    """Of each kernel (in, out), which weights are not 0 and lead to an output by others that are not: boolean arrays."""
    found: list[jax.Array] = []
    for kernel in reversed(kernels):
        alive = kernel != 0
        found.insert(0, alive & jnp.any(found[0], 1) if found else alive)
    return found


def kept(kernels: Sequence[jax.Array]) -> dict[str, jax.Array]:
    """Share of all weights that count (`kept`), and how many units of each layer such a weight leaves (`live`)."""
    masks = leading(kernels)
    # Counted in integers: float32 sums of single ones stop being exact at 2²⁴.
    count = sum(jnp.sum(mask, dtype=jnp.int32) for mask in masks)
    return {
        "kept": jnp.asarray(count) / sum(mask.size for mask in masks),
        "live": jnp.stack([jnp.sum(jnp.any(mask, 1), dtype=jnp.int32) for mask in masks]).astype(jnp.float32),
    }


def ranks(params: Any) -> Any:
    """For each kernel's weights their place by magnitude among all of them, 0 the largest; biases come before any."""
    leaves, structure = jax.tree.flatten(params)
    chosen = [at for at, leaf in enumerate(leaves) if leaf.ndim > 1]
    magnitudes = jnp.concatenate([jnp.abs(leaves[at]).ravel() for at in chosen])
    order = jnp.argsort(-magnitudes)
    places = jnp.zeros(order.size, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))
    pieces = jnp.split(places, np.cumsum([leaves[at].size for at in chosen])[:-1])
    found = [jnp.full(leaf.shape, -1) for leaf in leaves]
    for at, piece in zip(chosen, pieces, strict=True):
        found[at] = piece.reshape(leaves[at].shape)
    return jax.tree.unflatten(structure, found)


def cut(params: Any, places: Any, count: ArrayLike) -> Any:
    """The parameters with all but the `count` largest kernel weights set to 0; among equal ones the first are kept."""
    return jax.tree.map(lambda leaf, place: jnp.where(place < count, leaf, 0), params, places)


def pruned(structure: Any, params: Any, shares: Sequence[float], parts: dict[str, Rows]) -> dict[str, jax.Array]:
    """Share kept and accuracies after cutting to each share of the weights, all layers together, without training again.

    Returns:
        `pruned_kept` and, for each of the parts, `pruned_…_accuracy`: arrays along the shares.
    """
    places = ranks(params)
    total = sum(kernel.size for kernel in kernels_of(params))

    def one(count: jax.Array) -> dict[str, jax.Array]:
        rest = cut(params, places, count)
        scores = {f"pruned_{name}_accuracy": accuracy(structure, rest, rows) for name, rows in parts.items()}
        return {"pruned_kept": kept(kernels_of(rest))["kept"], **scores}

    return jax.lax.map(one, jnp.array([round(share * total) for share in shares]))
