"""Reads a chain of dense layers out of a tree of parameters."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxreg._masking import NO_KERNELS, check_arrays, name_of
from jaxreg._typing import PyTree

FACTORS = ("scale", "gamma")
"""Names of vectors that multiply."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """A dense layer of a chain: the names of its kernel and of its bias, and its arrays.

    Attributes:
        kernel_name: of the kernel, as `jaxreg.sparsity` prints it.
        bias_name: of the bias; None if the layer has none.
        kernel: (inputs, units).
        bias: (units,), or None.
    """

    kernel_name: str
    bias_name: str | None
    kernel: np.ndarray
    bias: np.ndarray | None


def read_chain(owner: str, params: PyTree, layers: Sequence[Any] | None, transposed: bool) -> list[Layer]:
    """Finds the dense layers of a network in the order of the data flow.

    Args:
        owner: the function that the user called, for messages.
        params: a tree of arrays.
        layers: names of the kernels, or pairs of names of kernel and bias, from the first layer to the last. None takes all
            kernels in the order of their names, with numbers compared as numbers.
        transposed: whether kernels are (units, inputs).

    Raises:
        TypeError: `layers` is a single string or has other entries than names and pairs, or the parameters are traced.
        ValueError: a number is not finite, a name is unknown, a leaf belongs to no layer or to several, a kernel has another
            rank than 2, or the layers do not fit each other.
    """
    check_arrays(owner, params)
    leaves = {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves.values()):
        raise TypeError(
            f"{owner}: expected arrays, got traced values; the sizes of the result depend on them, so call it outside jit"
        )
    arrays = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    for name, leaf in arrays.items():
        if not np.all(np.isfinite(leaf.astype(float))):
            raise ValueError(
                f"{owner}: expected finite parameters, got NaN or infinity at {name}; did the training diverge?"
            )
    named = named_layers(owner, arrays, layers)
    chain = [read_layer(owner, arrays, kernel, bias, transposed) for kernel, bias in named]
    used = [name for layer in chain for name in (layer.kernel_name, layer.bias_name) if name is not None]
    repeated = sorted({name for name in used if used.count(name) > 1})
    if repeated:
        raise ValueError(
            f"{owner}: expected every kernel and bias in one layer, got {', '.join(repeated)} in several; name the bias of "
            "each layer, layers=((kernel, bias or None), …); a kernel of two layers cannot become smaller for one of them"
        )
    other = sorted(set(arrays) - set(used))
    if other:
        raise ValueError(
            f"{owner}: expected dense layers alone, got other parameters too: {', '.join(other[:6])}; a normalisation "
            "between them, say, would see other numbers. Name a bias in a pair, layers=((kernel, bias), …), or pass the "
            "subtree of the dense layers alone"
        )
    for before, after in itertools.pairwise(chain):
        if before.kernel.shape[1] != after.kernel.shape[0]:
            raise ValueError(
                f"{owner}: layer {after.kernel_name} has {after.kernel.shape[0]} inputs, which do not fit the "
                f"{before.kernel.shape[1]} units of layer {before.kernel_name} before it; pass layers=… with the names of "
                f"the kernels from the first to the last, of: {', '.join(arrays)}"
            )
    return chain


def named_layers(owner: str, arrays: dict[str, np.ndarray], layers: Any) -> list[tuple[str, str | None]]:
    """Lists the names of kernel and bias of each layer."""
    if layers is None:
        found = sorted((name for name, leaf in arrays.items() if is_kernel(name, leaf)), key=natural)
        if not found:
            shapes = {name: leaf.shape for name, leaf in arrays.items()}
            raise ValueError(f"{owner}: expected kernels (leaves of rank 2), found none in {shapes}; name them by layers=…")
        return [(name, bias_of(name, arrays)) for name in found]
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise TypeError(f"{owner}: layers must be a list or a tuple of names, got {layers!r}; pass ({layers!r},), say")
    named = [(entry, bias_of(entry, arrays)) if isinstance(entry, str) else entry for entry in layers]
    for entry in named:
        pair = isinstance(entry, tuple | list) and len(entry) == 2
        if not pair or not isinstance(entry[0], str) or not isinstance(entry[1], str | None):
            raise TypeError(
                f"{owner}: each of layers must be a name of a kernel or a pair (kernel, bias or None), got {entry!r}"
            )
    return [(kernel, bias) for kernel, bias in named]


def is_kernel(name: str, leaf: np.ndarray) -> bool:
    """Whether a leaf is a kernel, by rank and name; see `jaxreg.kernels`."""
    return leaf.ndim >= 2 and name.rsplit("/", 1)[-1] not in NO_KERNELS


def natural(name: str) -> list[Any]:
    """A sort key for names that compares numbers as numbers: Dense_2 before Dense_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def bias_of(name: str, arrays: dict[str, np.ndarray]) -> str | None:
    """The name of the bias beside a kernel: the only leaf of rank 1 that shares all of its path but the last part.

    A factor, by its name, is none.
    """
    folder = name.rsplit("/", 1)[0] + "/" if "/" in name else ""
    beside = [other for other in arrays if other.startswith(folder) and "/" not in other[len(folder) :]]
    found = [other for other in beside if arrays[other].ndim == 1]
    return found[0] if len(found) == 1 and found[0].rsplit("/", 1)[-1] not in FACTORS else None


def read_layer(owner: str, arrays: dict[str, np.ndarray], kernel: Any, bias: Any, transposed: bool) -> Layer:
    """Reads one layer, with its kernel as (inputs, units)."""
    for name in (kernel, bias):
        if name is not None and name not in arrays:
            near = difflib.get_close_matches(str(name), arrays, n=3, cutoff=0.5) or list(arrays)[:10]
            raise ValueError(
                f"{owner}: layers names {name!r}, which is not a parameter; similar names are: {', '.join(near)}"
            )
    weights = arrays[kernel]
    if weights.ndim != 2:
        raise ValueError(
            f"{owner}: expected kernels of rank 2, those of dense layers, got shape {weights.shape} at {kernel}; of stacked "
            "networks pass one, as in jax.tree.map(lambda leaf: leaf[0], params)"
        )
    weights = weights.T if transposed else weights
    added = None if bias is None else arrays[bias]
    if added is not None and added.shape != weights.shape[1:]:
        raise ValueError(
            f"{owner}: expected a bias of shape {weights.shape[1:]} for the kernel {kernel}, got {added.shape} at {bias}; "
            "name the bias of each layer, layers=((kernel, bias), …)"
        )
    return Layer(kernel, bias, weights, added)
