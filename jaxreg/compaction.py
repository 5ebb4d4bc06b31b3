"""`compact`: the same network without its dead inputs and units.

    small = jaxreg.compact(params, activation=jnp.tanh)  # a chain of dense layers with exact zeros
    print(small)  # 784–300–100–10 → 310–41–33–10, 6.0 % of the weights
    logits = apply(small.params, images[:, small.inputs])

A unit is dead if all weights that leave it are 0, or lead to dead units alone; it is cut. A unit is
constant if all weights that enter it are 0: its output activation(bias), times the weights that
leave it, is added to the next layer's biases, and the unit is cut too. An input is dead if no
weight leads from it to an output.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._blocks import cut_span
from jaxreg._chains import Layer, check_concrete, read_chain
from jaxreg._masking import chosen_leaves, kernels, name_of
from jaxreg._roles import check_groups, leaf_roles
from jaxreg._spans import find_spans
from jaxreg._typing import PyTree

__all__ = ("Compacted", "compact")


@dataclasses.dataclass(frozen=True)
class Compacted:
    """A network without its dead inputs and units; `print` shows its widths before and after.

    Attributes:
        params: the smaller parameters, in the structure and the dtypes of the original ones.
        inputs: indices of the inputs that are kept, int64 (inputs,): the smaller network is called
            with `x[:, inputs]`; None with `per`, which leaves the inputs as they are.
        units: indices of the units of each hidden layer that are kept, int64 arrays; with `per` of
            the neurons, heads or channels of each block.
        widths: number of inputs, of the units of each hidden layer and of outputs, of the smaller
            network; with `per` the numbers of neurons, heads or channels that are kept.
        widths_before: the same of the original network.
        share: number of weights in kernels, zeros included, divided by that of the original
            network.
    """

    params: PyTree
    inputs: np.ndarray | None
    units: tuple[np.ndarray, ...]
    widths: tuple[int, ...]
    widths_before: tuple[int, ...]
    share: float

    def __str__(self) -> str:
        mark = "–" if self.inputs is not None else ", "
        before, after = (
            mark.join(map(str, widths)) for widths in (self.widths_before, self.widths)
        )
        return f"{before} → {after}, {100 * self.share:.1f} % of the weights"


def kernel_weights(params: PyTree) -> int:
    """Counts the weights in kernels."""
    return sum(leaf.size for _, leaf in chosen_leaves(params, kernels))


def compact(
    params: PyTree,
    activation: Callable[[jax.Array], jax.Array] | None,
    layers: Sequence[str | tuple[str, str | None]] | None = None,
    *,
    input_axis: int = -2,
    unit_axis: int = -1,
    per: Mapping[str, Any] | None = None,
) -> Compacted:
    """Cuts dead inputs and units out of a chain of dense layers, or dead neurons, heads or channels
    out of blocks; outputs change by rounding only.

        >>> import jax.numpy as jnp, jaxreg
        >>> first = {"kernel": jnp.array([[2.0, 0.0], [0.0, 0.0]]), "bias": jnp.array([0.0, 1.0])}
        >>> last = {"kernel": jnp.array([[1.0], [3.0]]), "bias": jnp.zeros(1)}
        >>> small = jaxreg.compact({"first": first, "last": last}, activation=jax.nn.relu)
        >>> print(small)
        2–2–1 → 1–1–1, 33.3 % of the weights
        >>> small.params["last"]
        {'bias': Array([3.], dtype=float32), 'kernel': Array([[1.]], dtype=float32)}

    Every layer keeps at least one unit and the network at least one input, as frameworks have no
    layer of width 0. A constant unit that is not 0 stays if the next layer has no bias to add it
    to.

    In Flax, make the model for the new sizes: for linen with `small.widths`; for nnx,
    `nnx.merge(graphdef, small.params)` computes with the smaller kernels. To train the smaller
    network further, keep a bias for every layer.

    In a network that is no chain, such as a transformer, say with `per` what may be cut, in the
    words in which a penalty groups it:

        >>> block = {
        ...     "up": {"kernel": jnp.array([[2.0, 1.0, 0.0]]), "bias": jnp.array([0.0, 1.0, 2.0])},
        ...     "down": {"kernel": jnp.array([[1.0], [0.0], [3.0]]), "bias": jnp.zeros(1)},
        ... }
        >>> neurons = {"*/up": "unit", "*/down/kernel": "input"}
        >>> small = jaxreg.compact({"a": block, "b": block}, jax.nn.relu, per=neurons)
        >>> print(small)
        3, 3 → 1, 1, 33.3 % of the weights
        >>> small.params["a"]["down"]
        {'bias': Array([6.], dtype=float32), 'kernel': Array([[1.]], dtype=float32)}

    A group is cut if all weights that leave it are 0, or if its output is constant and a bias can
    take it: of a neuron, if the kernel before it is 0 there (or the scale of its norm); of a head,
    if its part of `value` is. Cut neurons, heads and channels one after the other.

    Args:
        params: the parameters of one network, a tree of arrays: plain, linen's or nnx's. Where
            BatchNorm is cut with the channels before it, its running statistics belong to them.
        activation: the function between the layers, which acts on each unit alone, such as
            `jnp.tanh`. With `per` it may be None: then no constant is moved, except that of a head.
        layers: names of the kernels from the first layer to the last, as `jaxreg.sparsity` prints
            them, or pairs of the names of kernel and bias. None takes all kernels in the only order
            that fits by their shapes, where kernels whose names differ by numbers alone (`Dense_0`,
            `Dense_1`) are in the order of these numbers. A bias that is not named is the leaf of
            rank 1 beside its kernel.
        input_axis: the axis of a kernel that runs over inputs, 0 or -2 for Flax, 1 or -1 for
            Equinox.
        unit_axis: the axis of a kernel that runs over units, the other one.
        per: patterns of the parameters that neurons, heads or channels lie in, as for
            `jaxreg.GroupL2`: kernels and vectors before the activation as "unit" (or "head"), and
            the kernels after it as "input" (or "head"). Everything else stays as it is, the inputs
            of the network too. After a convolution, a flattened dense layer may follow.

    Returns:
        The smaller parameters and what was kept.

    Raises:
        TypeError: `layers` is not made of names and pairs of names, the activation is not a
            function, or the parameters are traced.
        ValueError: the parameters are not a chain of dense layers or not finite, `layers` is None
            and the kernels fit in several orders, a name is unknown, both axes are the same, or the
            activation does not act on each unit alone. With `per`: a pattern fits nothing, nothing
            is named that takes the groups, or a bias beside a named kernel is not named.
    """
    if per is not None:
        if activation is not None:
            check_activation(activation)
        return compact_blocks(params, activation, per)
    if not callable(activation):
        raise TypeError(
            f"compact: activation must be a function such as jnp.tanh, got {activation!r}"
        )
    if {input_axis % 2, unit_axis % 2} != {0, 1} or not all(
        -2 <= axis < 2 for axis in (input_axis, unit_axis)
    ):
        raise ValueError(
            "compact: expected input_axis and unit_axis to be the two axes of a matrix, got "
            f"{input_axis} and {unit_axis}"
        )
    transposed = input_axis % 2 == 1
    chain = read_chain("compact", params, layers, transposed)
    check_activation(activation)
    folded = fold_constants(chain, activation)
    live = live_places(folded)
    smaller: dict[str, np.ndarray] = {}
    for layer, (inputs, units) in zip(folded, itertools.pairwise(live), strict=True):
        kernel = layer.kernel[np.ix_(inputs, units)]
        smaller[layer.kernel_name] = kernel.T if transposed else kernel
        if layer.bias is not None and layer.bias_name is not None:
            smaller[layer.bias_name] = layer.bias[units]

    def replaced(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        return jnp.asarray(smaller[name_of(path)], jnp.result_type(leaf))

    widths_before = (chain[0].kernel.shape[0], *(layer.kernel.shape[1] for layer in chain))
    widths = tuple(len(places) for places in live)
    small = jax.tree_util.tree_map_with_path(replaced, params)
    share = kernel_weights(small) / kernel_weights(params)
    return Compacted(small, live[0], tuple(live[1:-1]), widths, widths_before, share)


def compact_blocks(
    params: PyTree, activation: Callable[[jax.Array], jax.Array] | None, per: Mapping[str, Any]
) -> Compacted:
    """Cuts dead groups that lie in several parameters."""
    arrays = check_concrete("compact", params)
    leaves = leaf_roles(params)
    _, across = check_groups("compact", None, dict(per), None)
    assert isinstance(across, tuple)
    kept: list[np.ndarray] = []
    spans = find_spans("compact", across, leaves, [True] * len(leaves))
    for span in spans:
        places, changed = cut_span(span, leaves, arrays, activation)
        kept.append(places)
        arrays |= changed

    def replaced(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        return jnp.asarray(arrays[name_of(path)], jnp.result_type(leaf))

    small = jax.tree_util.tree_map_with_path(replaced, params)
    widths, before = tuple(map(len, kept)), tuple(span.groups for span in spans)
    share = kernel_weights(small) / kernel_weights(params)
    return Compacted(small, None, tuple(kept), widths, before, share)


def fold_constants(chain: list[Layer], activation: Callable[[jax.Array], jax.Array]) -> list[Layer]:
    """Adds what constant units contribute to the biases of the next layer, and sets their outgoing
    weights to 0.
    """
    folded = [chain[0]]
    for layer in chain[1:]:
        before = folded[-1]
        constant = ~np.any(before.kernel != 0, axis=0)
        bias = (
            np.zeros(before.kernel.shape[1], before.kernel.dtype)
            if before.bias is None
            else before.bias
        )
        outputs = np.asarray(activation(jnp.asarray(bias[constant])))
        if layer.bias is None:
            # There is nothing to add a constant to: only units whose output is 0 can go.
            places = np.flatnonzero(constant)
            constant[places[outputs != 0]] = False
            outputs = outputs[outputs == 0]
        added = outputs.astype(np.float64) @ layer.kernel[constant].astype(np.float64)
        kernel = np.where(constant[:, None], 0, layer.kernel).astype(layer.kernel.dtype)
        moved = (
            None
            if layer.bias is None
            else (layer.bias.astype(np.float64) + added).astype(layer.bias.dtype)
        )
        folded.append(dataclasses.replace(layer, kernel=kernel, bias=moved))
    return folded


def live_places(chain: list[Layer]) -> list[np.ndarray]:
    """Lists the inputs and the units of each layer with a weight that leads to an output; at least
    one everywhere.
    """
    live = [np.arange(chain[-1].kernel.shape[1])]
    for layer in reversed(chain):
        places = np.flatnonzero(np.any(layer.kernel[:, live[0]] != 0, axis=1))
        live.insert(0, places if places.size else np.zeros(1, int))
    return live


def check_activation(activation: Callable[[jax.Array], jax.Array]) -> None:
    """Checks that an activation acts on each unit alone.

    Raises:
        ValueError: its result has another shape, or depends on the other units, as that of softmax
            does.
    """
    x = jnp.array([0.5, -1.0, 2.0])
    together, alone = (
        np.asarray(activation(x)),
        [np.asarray(activation(x[place : place + 1])) for place in range(x.size)],
    )
    same = together.shape == x.shape and all(output.shape == (1,) for output in alone)
    if not same or not np.allclose(together, np.concatenate(alone), rtol=1e-2):
        raise ValueError(
            "compact: expected an activation that acts on each unit alone, such as jnp.tanh, got "
            f"{activation!r}, whose result depends on other units or has another shape"
        )
