"""Which nonzero weights lead to an output of a network, from the last layer back to the first."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Kernel(NamedTuple):
    """An array, and its axes that run over inputs and over units, ascending from 0 on."""

    array: jax.Array
    inputs: tuple[int, ...]
    units: tuple[int, ...]

    def count(self, axes: tuple[int, ...]) -> int:
        """Counts the places along some axes."""
        return math.prod(self.array.shape[a] for a in axes)

    def any(self, marks: jax.Array, axes: tuple[int, ...]) -> jax.Array:
        """Whether any mark is set at each place along some axes, in one row."""
        return jnp.any(marks, [a for a in range(self.array.ndim) if a not in axes]).ravel()


def connected(kernels: Mapping[str, Kernel]) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Finds the weights that are not 0 and lead to an output through other nonzero weights.

    Args:
        kernels: of all layers by name, from the first to the last.

    Returns:
        For each layer the weights that do not lead to an output though they are not 0, bools in the
        shape of the kernel, and the number of inputs with a weight that does, an int32 scalar.

    Raises:
        ValueError: the inputs of a layer do not fit the units of the layer before, or a kernel
            holds several layers.
    """
    results: dict[str, tuple[jax.Array, jax.Array]] = {}
    onward: tuple[str, Kernel, jax.Array] | None = None
    for name, kernel in reversed(list(kernels.items())):
        if set(kernel.inputs) & set(kernel.units):
            raise ValueError(
                f"sparsity: expected layers of one kernel each, got the stack {name} of shape "
                f"{kernel.array.shape}; pass "
                "the parameters of one layer, as in jax.tree.map(lambda leaf: leaf[0], params)"
            )
        nonzero = leading = kernel.array != 0
        if onward is not None:
            units = units_of(name, kernel, *onward)
            spread = [size if a in kernel.units else 1 for a, size in enumerate(leading.shape)]
            leading = leading & units.reshape(spread)
        live = kernel.any(leading, kernel.inputs)
        results[name] = nonzero & ~leading, jnp.sum(live, dtype=jnp.int32)
        onward = name, kernel, live
    return results


def units_of(
    name: str, kernel: Kernel, next_name: str, following: Kernel, live: jax.Array
) -> jax.Array:
    """Finds the units of a layer that feed a live input (inputs,) of the next layer: bools
    (units,).
    """
    units = kernel.count(kernel.units)
    if live.size == units:
        return live
    # A flattened convolution has one input for each channel and position: with the channels last as
    # in Flax, where kernels end with the axis of units, input i is channel i mod channels; with the
    # channels first, as in Equinox, i // positions.
    if kernel.array.ndim > 2 and following.array.ndim == 2 and units and live.size % units == 0:
        channels_last = kernel.units[-1] == kernel.array.ndim - 1
        return (
            jnp.any(live.reshape(-1, units), 0)
            if channels_last
            else jnp.any(live.reshape(units, -1), 1)
        )
    raise ValueError(
        f"sparsity: layer {next_name} of shape {following.array.shape} has {live.size} inputs, "
        f"which do not fit the {units} units of layer {name} of shape {kernel.array.shape} before "
        "it; name the layers in the order of the data flow. Only a dense layer after a convolution "
        "may have a multiple of them"
    )


def named_layers(layers: Any, kernels: Mapping[str, Kernel | None]) -> dict[str, Kernel]:
    """Finds the kernels of the layers that the user names, among all kernels; None are those with
    unknown axes.

    Raises:
        TypeError: the names are a single string.
        ValueError: there is none, one is not the name of a kernel with known axes, or one comes
            twice.
    """
    chain: dict[str, Kernel] = {}
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(
            f"sparsity: layers must be a list or a tuple of names, got {layers!r}; pass "
            f"({layers!r},), say"
        )
    for name in layers:
        if name not in kernels:
            near = (
                difflib.get_close_matches(str(name), kernels, n=3, cutoff=0.5) or list(kernels)[:10]
            )
            raise ValueError(
                f"sparsity: layers names {name!r}, which is not a counted kernel; similar names "
                f"are: {', '.join(near)}"
            )
        kernel = kernels[name]
        if kernel is None:
            raise ValueError(
                f"sparsity: expected layers whose axes are known, got {name!r}, which may be a "
                "convolution or a stack of layers; pass input_axis and unit_axis"
            )
        chain[name] = kernel
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(
            f"sparsity: layers must name at least one kernel and none twice, got {layers!r}"
        )
    return chain
