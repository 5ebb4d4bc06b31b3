"""Which weights of a network count as kept, and pruning a trained network to its largest weights.

A weight counts if it is not 0 and leads to an output. A weight into a unit whose outgoing weights are all 0 changes no
logit, so it can be removed.

    count_kept(kernels_of(params))["kept"]           # share of the weights that count
    cut(params, magnitude_ranks(params), 1000)       # the 1000 largest kernel weights, and every bias
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

import jaxreg
from experiments.datasets import Rows
from experiments.networks import kernels_of
from experiments.training import accuracy


def count_kept(kernels: Sequence[jax.Array]) -> dict[str, jax.Array]:
    """Counts connected weights and the units that they leave.

    Args:
        kernels: of all layers from the first to the last, (in, out) each.

    Returns:
        `kept`, the share of all weights that are connected, and `live`, for each layer the number of inputs or units with a
        connected outgoing weight, (layers,).
    """
    names = [str(layer) for layer in range(len(kernels))]
    counts = jaxreg.sparsity(list(kernels), layers=names)
    return {
        "kept": counts.connected / counts.size,
        "live": jnp.stack([jnp.asarray(counts.leaves[name].live_inputs) for name in names]).astype(jnp.float32),
    }


def magnitude_ranks(params: optax.Params) -> optax.Params:
    """Ranks all kernel weights together by magnitude: a tree of integers, 0 for the largest weight and −1 for biases."""
    leaves, structure = jax.tree.flatten(params)
    kernels = [at for at, leaf in enumerate(leaves) if leaf.ndim > 1]
    magnitudes = jnp.concatenate([jnp.abs(leaves[at]).ravel() for at in kernels])
    order = jnp.argsort(-magnitudes)
    places = jnp.zeros(order.size, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))
    pieces = jnp.split(places, np.cumsum([leaves[at].size for at in kernels])[:-1])
    ranks = [jnp.full(leaf.shape, -1) for leaf in leaves]
    for at, piece in zip(kernels, pieces, strict=True):
        ranks[at] = piece.reshape(leaves[at].shape)
    return jax.tree.unflatten(structure, ranks)


def cut(params: optax.Params, ranks: optax.Params, count: ArrayLike) -> optax.Params:
    """Sets all but the largest kernel weights to 0.

    Args:
        params: of the network.
        ranks: from `magnitude_ranks`; among equal magnitudes the first weights are kept.
        count: number of weights to keep.
    """
    return jax.tree.map(lambda leaf, rank: jnp.where(rank < count, leaf, 0), params, ranks)


def evaluate_cuts(
    structure: nnx.GraphDef, params: optax.Params, shares: Sequence[float], parts: dict[str, Rows]
) -> dict[str, jax.Array]:
    """Cuts a network to each share of its largest weights, over all layers together, without further training.

    Args:
        structure: of the network.
        params: of the network.
        shares: shares of the weights to keep.
        parts: rows for the accuracies, by name.

    Returns:
        `pruned_kept`, the share of weights that are connected after cutting, and `pruned_…_accuracy` for each part: arrays
        of shape (shares,).
    """
    ranks = magnitude_ranks(params)
    total = sum(kernel.size for kernel in kernels_of(params))

    def evaluate_cut(count: jax.Array) -> dict[str, jax.Array]:
        remaining = cut(params, ranks, count)
        accuracies = {f"pruned_{name}_accuracy": accuracy(structure, remaining, rows) for name, rows in parts.items()}
        return {"pruned_kept": count_kept(kernels_of(remaining))["kept"], **accuracies}

    return jax.lax.map(evaluate_cut, jnp.array([round(share * total) for share in shares]))
