"""Cuts groups that lie in several parameters: the neurons, heads or channels of a block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._chains import FACTORS
from jaxreg._roles import Leaf, last_part
from jaxreg._spans import Part, Span

Arrays = Mapping[str, np.ndarray]
"""Parameters by name."""
Activation = Callable[[jax.Array], jax.Array]


def cut_span(
    span: Span, leaves: Sequence[Leaf], arrays: Arrays, activation: Activation | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Finds the groups of a span that are needed, and cuts the others.

    Returns:
        The places of the groups that are kept, at least one, and the arrays that changed.

    Raises:
        ValueError: no kernel takes the groups, a bias beside a kernel is not in the span, or a
            parameter cannot be cut.
    """
    after = [part for part in span.parts if takes(part, leaves[part.place])]
    before = [part for part in span.parts if part not in after]
    if not after:
        raise ValueError(
            f"compact: expected a kernel that takes the groups of {span.name}, as "
            '"blocks/*/down/kernel": "input" or the out kernel of attention, got none; name it in '
            "per"
        )
    names = {part.name for part in span.parts}
    for part in before:
        bias = bias_beside(part.name, arrays)
        if leaves[part.place].is_kernel and bias is not None and bias not in names:
            raise ValueError(
                f"compact: expected {bias} beside {part.name} in per, as its units are cut too; "
                "name the layer instead of its kernel"
            )
    rows = {part.name: np.asarray(part.rows(jnp.asarray(arrays[part.name]))) for part in span.parts}
    needed = np.any([np.any(rows[part.name] != 0, 1) for part in after], 0)
    constant, outputs = constants(before, leaves, rows, activation)
    changed: dict[str, np.ndarray] = {}
    moved = constant & needed
    if np.any(outputs[moved] != 0):
        (kernel, *others), bias = after, bias_beside(after[0].name, arrays)
        weights = rows[kernel.name].reshape(span.groups, outputs.shape[1], -1).astype(np.float64)
        # A convolution does not spread a constant evenly, as its borders are padded.
        if others or bias is None or arrays[bias].size != weights.shape[2]:
            constant &= np.all(outputs == 0, 1)
        else:
            added = np.einsum("gw,gwo->o", outputs[moved].astype(np.float64), weights[moved])
            total = arrays[bias].astype(np.float64) + added.reshape(arrays[bias].shape)
            changed[bias] = total.astype(arrays[bias].dtype)
    kept = np.flatnonzero(needed & ~constant)
    kept = kept if kept.size else np.zeros(1, int)
    for part in span.parts:
        if len(part.axes) > 1:
            raise ValueError(
                f"compact: expected one axis of groups, got the axes {part.axes} of {part.name}; "
                'cut the heads of attention, by "head"'
            )
        shape = list(part.shape)
        shape[part.axes[0]] = part.repeats * kept.size
        smaller = part._replace(shape=tuple(shape)).back(jnp.asarray(rows[part.name][kept]))
        changed[part.name] = np.asarray(smaller)
    return kept, changed


def takes(part: Part, leaf: Leaf) -> bool:
    """Whether a parameter takes the outputs of the groups, rather than computing them."""
    return leaf.roles is not None and set(part.axes) <= set(leaf.roles.inputs)


def bias_beside(name: str, arrays: Arrays) -> str | None:
    """The name of the bias of the same layer; None if there is none."""
    bias = name.removesuffix(last_part(name)) + "bias"
    return bias if bias in arrays else None


def constants(
    before: Sequence[Part], leaves: Sequence[Leaf], rows: Arrays, activation: Activation | None
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the groups whose outputs do not depend on the inputs of the block.

    Args:
        before: the parameters that compute the groups.
        leaves: all parameters.
        rows: parameters by name, arranged as (groups, weights).
        activation: of neurons and channels; None if it is not known.

    Returns:
        Which groups are constant, bools (groups,), and their outputs (groups, size): a number for
        neurons, the part of the output for heads.
    """
    groups = len(next(iter(rows.values())))
    kernels = [part for part in before if leaves[part.place].is_kernel]
    values = [part for part in kernels if any(p.startswith("value") for p in part.name.split("/"))]
    if values:
        # The weights of attention sum to 1, so that a head without values gives its bias.
        bias = bias_beside(values[0].name, rows)
        outputs = np.zeros((groups, 1)) if bias is None else rows[bias]
        return np.all(rows[values[0].name] == 0, 1), outputs
    nothing = np.zeros(groups, bool), np.zeros((groups, 1))
    if activation is None or not before:
        return nothing
    scales = [part for part in before if last_part(part.name) in FACTORS]
    source = scales or kernels
    if len(source) != 1 or len(kernels) > 1:
        # Of a gated perceptron, say: a group without any weight gives 0 if the activation does.
        zero = np.all([np.all(rows[part.name] == 0, 1) for part in before], 0)
        return zero & (float(activation(jnp.zeros(1))[0]) == 0), nothing[1]
    bias = bias_beside(source[0].name, rows)
    inputs = np.zeros(groups) if bias is None else rows[bias][:, 0]
    if not scales and any(part not in kernels and part.name != bias for part in before):
        return nothing  # a norm without a scale
    outputs = np.asarray(activation(jnp.asarray(inputs)))[:, None]
    return np.all(rows[source[0].name] == 0, 1), outputs
