"""Reads a chain of dense layers out of a tree of parameters."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxreg._masking import NO_KERNELS, check_arrays, name_of
from jaxreg._roles import leaf_roles
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


def check_concrete(owner: str, params: PyTree) -> dict[str, np.ndarray]:
    """Returns the parameters by name.

    Raises:
        TypeError: a leaf is no array, or is traced.
        ValueError: a number is not finite.
    """
    check_arrays(owner, params)
    leaves = {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves.values()):
        raise TypeError(
            f"{owner}: expected arrays, got traced values; the sizes of the result depend on "
            "them, so call it outside jit"
        )
    arrays = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    for name, leaf in arrays.items():
        if not np.all(np.isfinite(leaf.astype(float))):
            raise ValueError(
                f"{owner}: expected finite parameters, got NaN or infinity at {name}; did the "
                "training diverge?"
            )
    return arrays


def read_chain(
    owner: str, params: PyTree, layers: Sequence[Any] | None, transposed: bool
) -> list[Layer]:
    """Finds the dense layers of a network in the order of the data flow.

    Args:
        owner: the function that the user called, for messages.
        params: a tree of arrays.
        layers: names of the kernels, or pairs of names of kernel and bias, from the first layer to
            the last. None takes all kernels in the only order that fits by their shapes. Kernels
            whose names differ by numbers alone are in the order of these numbers.
        transposed: whether kernels are (units, inputs).

    Raises:
        TypeError: `layers` is a single string or has other entries than names and pairs, or the
            parameters are traced.
        ValueError: a number is not finite, a name is unknown, a leaf belongs to no layer or to
            several, a kernel has another rank than 2, the layers do not fit each other, or `layers`
            is None and several orders fit.
    """
    arrays = check_concrete(owner, params)
    check_matrices(owner, params)
    named = named_layers(owner, arrays, layers, transposed)
    chain = [read_layer(owner, arrays, kernel, bias, transposed) for kernel, bias in named]
    used = [
        name for layer in chain for name in (layer.kernel_name, layer.bias_name) if name is not None
    ]
    repeated = sorted({name for name in used if used.count(name) > 1})
    if repeated:
        raise ValueError(
            f"{owner}: expected every kernel and bias in one layer, got {', '.join(repeated)} in "
            "several; name the bias of each layer, layers=((kernel, bias or None), …); a kernel of "
            "two layers cannot become smaller for one of them"
        )
    other = sorted(set(arrays) - set(used))
    if other:
        raise ValueError(
            f"{owner}: expected dense layers alone, got other parameters too: "
            f"{', '.join(other[:6])}; a normalisation between them, say, would see other numbers. "
            "Name a bias in a pair, layers=((kernel, bias), …), or pass the subtree of the dense "
            "layers alone"
        )
    for before, after in itertools.pairwise(chain):
        if before.kernel.shape[1] != after.kernel.shape[0]:
            raise ValueError(
                f"{owner}: layer {after.kernel_name} has {after.kernel.shape[0]} inputs, which do "
                f"not fit the {before.kernel.shape[1]} units of layer {before.kernel_name} before "
                "it; pass layers=… with the names of the kernels from the first to the last, of: "
                f"{', '.join(arrays)}"
            )
    return chain


def named_layers(
    owner: str, arrays: dict[str, np.ndarray], layers: Any, transposed: bool
) -> list[tuple[str, str | None]]:
    """Lists the names of kernel and bias of each layer."""
    if layers is None:
        shapes = {
            name: leaf.shape[::-1] if transposed else leaf.shape for name, leaf in arrays.items()
        }
        kernels = {name: shapes[name] for name, leaf in arrays.items() if is_kernel(name, leaf)}
        if not kernels:
            raise ValueError(
                f"{owner}: expected kernels (leaves of rank 2), found none in {shapes}; name them "
                "by layers=…"
            )
        return [(name, bias_of(name, arrays)) for name in only_order(owner, kernels)]
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise TypeError(
            f"{owner}: layers must be a list or a tuple of names, got {layers!r}; pass "
            f"({layers!r},), say"
        )
    named = [
        (entry, bias_of(entry, arrays)) if isinstance(entry, str) else entry for entry in layers
    ]
    for entry in named:
        pair = isinstance(entry, tuple | list) and len(entry) == 2
        if not pair or not isinstance(entry[0], str) or not isinstance(entry[1], str | None):
            raise TypeError(
                f"{owner}: each of layers must be a name of a kernel or a pair (kernel, bias or "
                f"None), got {entry!r}"
            )
    return [(kernel, bias) for kernel, bias in named]


def is_kernel(name: str, leaf: np.ndarray) -> bool:
    """Whether a leaf is a kernel, by rank and name; see `jaxreg.kernels`."""
    return leaf.ndim >= 2 and name.rsplit("/", 1)[-1] not in NO_KERNELS


def only_order(owner: str, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Finds the order in which the inputs of each kernel are the units of the one before.

    Kernels whose names differ by numbers alone stay in the order of these numbers.

    Args:
        owner: for messages.
        shapes: (inputs, units) of each kernel by name.

    Returns:
        The names; in natural order if no order fits, so that the misfit can be reported.

    Raises:
        ValueError: several orders fit.
    """
    numbered: dict[str, list[str]] = {}
    for name in sorted(shapes, key=natural):
        numbered.setdefault(re.sub(r"\d+", "0", name), []).append(name)
    series = list(numbered.values())

    @functools.cache
    def orders(taken: tuple[int, ...], units: int | None) -> list[list[str]]:
        """Lists up to two orders of the kernels that are left."""
        if all(number == len(names) for number, names in zip(taken, series, strict=True)):
            return [[]]
        possible = []
        for at, (number, names) in enumerate(zip(taken, series, strict=True)):
            if number < len(names) and units in (None, shapes[names[number]][0]):
                rest = orders(
                    (*taken[:at], number + 1, *taken[at + 1 :]), shapes[names[number]][-1]
                )
                possible += [[names[number], *others] for others in rest]
        return possible[:2]

    possible = orders((0,) * len(series), None)
    if len(possible) > 1:
        some, other = (" → ".join(names) for names in possible)
        raise ValueError(
            f"{owner}: expected layers=…, as the shapes of the kernels fit several orders, {some} "
            f"and {other}; pass the names from the first layer to the last, of: {', '.join(shapes)}"
        )
    return possible[0] if possible else sorted(shapes, key=natural)


def natural(name: str) -> list[Any]:
    """A sort key for names that compares numbers as numbers: Dense_2 before Dense_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def bias_of(name: str, arrays: dict[str, np.ndarray]) -> str | None:
    """The name of the bias beside a kernel: the only leaf of rank 1 that shares all of its path but
    the last part.

    A factor, by its name, is none.
    """
    folder = name.rsplit("/", 1)[0] + "/" if "/" in name else ""
    beside = [
        other for other in arrays if other.startswith(folder) and "/" not in other[len(folder) :]
    ]
    rank1 = [other for other in beside if arrays[other].ndim == 1]
    return rank1[0] if len(rank1) == 1 and rank1[0].rsplit("/", 1)[-1] not in FACTORS else None


def check_matrices(owner: str, params: PyTree) -> None:
    """Raises a ValueError for kernels with an axis of heads, which may not lose single units."""
    heads = [
        f"{leaf.name} of shape {leaf.shape}"
        for leaf in leaf_roles(params)
        if leaf.roles and leaf.roles.heads
    ]
    if heads:
        raise ValueError(
            f"{owner}: expected kernels of rank 2, those of dense layers, got kernels of attention "
            f"with an axis of heads: {', '.join(heads[:6])}; pass the subtree of the dense layers "
            "alone, such as that of the block's MLP"
        )


def read_layer(
    owner: str, arrays: dict[str, np.ndarray], kernel: Any, bias: Any, transposed: bool
) -> Layer:
    """Reads one layer, with its kernel as (inputs, units)."""
    for name in (kernel, bias):
        if name is not None and name not in arrays:
            near = (
                difflib.get_close_matches(str(name), arrays, n=3, cutoff=0.5) or list(arrays)[:10]
            )
            raise ValueError(
                f"{owner}: layers names {name!r}, which is not a parameter; similar names are: "
                f"{', '.join(near)}"
            )
    weights = arrays[kernel]
    if weights.ndim != 2:
        raise ValueError(
            f"{owner}: expected kernels of rank 2, those of dense layers, got shape "
            f"{weights.shape} at {kernel}; of stacked "
            "networks pass one, as in jax.tree.map(lambda leaf: leaf[0], params)"
        )
    weights = weights.T if transposed else weights
    added = None if bias is None else arrays[bias]
    if added is not None and added.shape != weights.shape[1:]:
        raise ValueError(
            f"{owner}: expected a bias of shape {weights.shape[1:]} for the kernel {kernel}, got "
            f"{added.shape} at {bias}; name the bias of each layer, layers=((kernel, bias), …)"
        )
    return Layer(kernel, bias, weights, added)
