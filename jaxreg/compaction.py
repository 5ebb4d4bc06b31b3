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
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._chains import Layer, read_chain
from jaxreg._masking import name_of
from jaxreg._typing import PyTree

__all__ = ("Compacted", "compact")


@dataclasses.dataclass(frozen=True)
class Compacted:
    """A network without its dead inputs and units; `print` shows its widths before and after.

    Attributes:
        params: the smaller parameters, in the structure and the dtypes of the original ones.
        inputs: indices of the inputs that are kept, int64 (inputs,): the smaller network is called
            with `x[:, inputs]`.
        units: indices of the units of each hidden layer that are kept, int64 arrays.
        widths: number of inputs, of the units of each hidden layer and of outputs, of the smaller
            network.
        widths_before: the same of the original network.
    """

    params: PyTree
    inputs: np.ndarray
    units: tuple[np.ndarray, ...]
    widths: tuple[int, ...]
    widths_before: tuple[int, ...]

    @property
    def share(self) -> float:
        """Number of weights in kernels, zeros included, divided by that of the original network."""
        after, before = (
            sum(a * b for a, b in itertools.pairwise(widths))
            for widths in (self.widths, self.widths_before)
        )
        return after / before

    def __str__(self) -> str:
        before, after = ("–".join(map(str, widths)) for widths in (self.widths_before, self.widths))
        return f"{before} → {after}, {100 * self.share:.1f} % of the weights"


def compact(
    params: PyTree,
    activation: Callable[[jax.Array], jax.Array],
    layers: Sequence[str | tuple[str, str | None]] | None = None,
    *,
    input_axis: int = -2,
    unit_axis: int = -1,
) -> Compacted:
    """Cuts dead inputs and units out of a chain of dense layers; its outputs change by rounding
    only.

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

    Args:
        params: the parameters of one network, a tree of arrays: plain, linen's or nnx's.
        activation: the function between the layers, which acts on each unit alone, such as
            `jnp.tanh`.
        layers: names of the kernels from the first layer to the last, as `jaxreg.sparsity` prints
            them, or pairs of the names of kernel and bias. None takes all kernels in the only order
            that fits by their shapes, where kernels whose names differ by numbers alone (`Dense_0`,
            `Dense_1`) are in the order of these numbers. A bias that is not named is the leaf of
            rank 1 beside its kernel.
        input_axis: the axis of a kernel that runs over inputs, 0 or -2 for Flax, 1 or -1 for
            Equinox.
        unit_axis: the axis of a kernel that runs over units, the other one.

    Returns:
        The smaller parameters and what was kept.

    Raises:
        TypeError: `layers` is not made of names and pairs of names, the activation is not a
            function, or the parameters are traced.
        ValueError: the parameters are not a chain of dense layers or not finite, `layers` is None
            and the kernels fit in several orders, a name is unknown, both axes are the same, or the
            activation does not act on each unit alone.
    """
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
    return Compacted(small, live[0], tuple(live[1:-1]), widths, widths_before)


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
