"""The networks of the study, and which of their weights count as kept.

A weight counts if it is not 0 and leads to an output. A weight into a unit whose outgoing weights
are all 0 changes no logit, so it can be removed.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import jaxreg
from experiments import networks
from experiments.datasets import Rows
from experiments.studies.images.settings import Settings

CLASSES = 10
"""Number of classes of all data sets."""
BLOCK = 1000
"""Largest number of rows that the convolutional network takes at once, as its patches need a
hundred kilobytes a row.
"""


def convolve(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **_: Any) -> jax.Array:
    """A convolution with stride 1 as the product of all patches and the kernel, in the place of
    `conv_general_dilated`.

    On a CPU it takes a quarter of the time of XLA's own convolution in a training step of LeNet-5.

    Args:
        x: images (rows, height, width, channels).
        kernel: (height, width, channels, new channels), of odd height and width.
        strides: (1, 1).
        padding: "SAME" or "VALID".

    Returns:
        Images (rows, height, width, new channels), smaller by the kernel's size less 1 if padding
        is "VALID".
    """
    if tuple(strides) != (1, 1) or padding not in ("SAME", "VALID"):
        raise ValueError(
            f"convolve: expected strides (1, 1) and padding SAME or VALID, got {strides} and "
            f"{padding}"
        )
    height, width, channels, outputs = kernel.shape
    if padding == "SAME":
        x = jnp.pad(x, ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)))
    down, right = x.shape[1] - height + 1, x.shape[2] - width + 1
    corners = itertools.product(range(height), range(width))
    patches = jnp.concatenate(
        [x[:, top : top + down, left : left + right] for top, left in corners], -1
    )
    return patches @ kernel.reshape(height * width * channels, outputs)


class LeNet5(nnx.Module):
    """LeNet-5 for images of 28 × 28 pixels, given as rows: two convolutions with max pooling, and
    three dense layers.
    """

    def __init__(self, outputs: int, *, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [
                nnx.Conv(1, 6, (5, 5), conv_general_dilated=convolve, rngs=rngs),
                nnx.Conv(6, 16, (5, 5), padding="VALID", conv_general_dilated=convolve, rngs=rngs),
                nnx.Linear(400, 120, rngs=rngs),
                nnx.Linear(120, 84, rngs=rngs),
                nnx.Linear(84, outputs, rngs=rngs),
            ]
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """The logits (rows, outputs) for inputs (rows, 784)."""
        if len(x) > BLOCK:
            return jax.lax.map(lambda row: self(row[None])[0], x, batch_size=BLOCK)
        x = x.reshape(-1, 28, 28, 1)
        for layer in self.layers[:2]:
            x = nnx.max_pool(nnx.relu(layer(x)), (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        for layer in self.layers[2:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def initial(config: Settings, rows: Rows, key: jax.Array) -> tuple[Any, Any]:
    """The graph definition and the random initial parameters of the network that the settings
    name.
    """
    inputs, outputs = rows.inputs.shape[1], CLASSES
    if config.network == "lenet-5":
        return nnx.split(LeNet5(outputs, rngs=nnx.Rngs(key)), nnx.Param)
    return networks.initial((inputs, *config.hidden, outputs), key)


def count_kept(kernels: Sequence[jax.Array]) -> dict[str, jax.Array]:
    """Counts connected weights and the units that they leave.

    Args:
        kernels: of all layers from the first to the last, (…, in, out) each.

    Returns:
        `kept`, the share of all weights that are connected, and `live`, for each layer the number
        of inputs, channels or units with a connected outgoing weight, (layers,).
    """
    names = [str(layer) for layer in range(len(kernels))]
    counts = jaxreg.sparsity(list(kernels), layers=names)
    return {
        "kept": counts.connected / counts.size,
        "live": jnp.stack([jnp.asarray(counts.leaves[name].live_inputs) for name in names]).astype(
            jnp.float32
        ),
    }
