"""Which nonzero weights lead to an output of a network, from the last layer back to the first."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def connected(kernels: Mapping[str, jax.Array], input_axis: int, unit_axis: int) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Counts the weights that are not 0 and lead to an output through other nonzero weights.

    Args:
        kernels: of all layers by name, from the first to the last.
        input_axis: the axis of each kernel that runs over inputs.
        unit_axis: the axis of each kernel that runs over units.

    Returns:
        For each layer the number of such weights, and the number of inputs with such a weight: int32 scalars.

    Raises:
        ValueError: the inputs of a layer do not fit the units of the layer before.
    """
    results: dict[str, tuple[jax.Array, jax.Array]] = {}
    onward: tuple[str, jax.Array, jax.Array] | None = None
    for name, kernel in reversed(list(kernels.items())):
        leading = kernel != 0
        if onward is not None:
            units = units_of(name, kernel, unit_axis, *onward)
            leading &= jnp.expand_dims(units, [a for a in range(kernel.ndim) if a != unit_axis % kernel.ndim])
        live = jnp.any(leading, [a for a in range(kernel.ndim) if a != input_axis % kernel.ndim])
        results[name] = jnp.sum(leading, dtype=jnp.int32), jnp.sum(live, dtype=jnp.int32)
        onward = name, kernel, live
    return results


def units_of(
    name: str, kernel: jax.Array, unit_axis: int, next_name: str, next_kernel: jax.Array, live: jax.Array
) -> jax.Array:
    """Finds the units of a layer that feed a live input (inputs,) of the next layer: bools (units,)."""
    units = kernel.shape[unit_axis]
    if live.size == units:
        return live
    # A flattened convolution has one input for each channel and position: with the channels last as in Flax, where kernels
    # end with the axis of units, input i is channel i mod channels; with the channels first, as in Equinox, i // positions.
    if kernel.ndim > 2 and next_kernel.ndim == 2 and units and live.size % units == 0:
        channels_last = unit_axis % kernel.ndim == kernel.ndim - 1
        return jnp.any(live.reshape(-1, units), 0) if channels_last else jnp.any(live.reshape(units, -1), 1)
    raise ValueError(
        f"sparsity: layer {next_name} of shape {next_kernel.shape} has {live.size} inputs, which do not fit the {units} "
        f"units of layer {name} of shape {kernel.shape} before it; name the layers in the order of the data flow. Only a "
        "dense layer after a convolution may have a multiple of them"
    )


def check_layers(layers: Any, kernels: Mapping[str, jax.Array]) -> None:
    """Checks the names of layers.

    Raises:
        TypeError: they are a single string.
        ValueError: there is none, one is not the name of a kernel, or one comes twice.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(f"sparsity: layers must be a list or a tuple of names, got {layers!r}; pass ({layers!r},), say")
    for name in layers:
        if name not in kernels:
            near = difflib.get_close_matches(str(name), kernels, n=3, cutoff=0.5) or list(kernels)[:10]
            raise ValueError(
                f"sparsity: layers names {name!r}, which is not a counted kernel; similar names are: {', '.join(near)}"
            )
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(f"sparsity: layers must name at least one kernel and none twice, got {layers!r}")
