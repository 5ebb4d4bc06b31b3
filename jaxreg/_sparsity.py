"""Exact zeros of parameters: counts by leaf, and how they are printed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg import _counting
from jaxreg._arrays import is_weights
from jaxreg._connections import Kernel, connected, named_layers
from jaxreg._counting import Count
from jaxreg._groups import check_axis
from jaxreg._masking import check_arrays, chosen, chosen_leaves, is_hole, kernels
from jaxreg._roles import Roles, leaf_roles
from jaxreg._typing import Mask, PyTree

SHOWN = 20
"""How many runs `print` shows."""
LARGE = 2**31
"""Counts up to this size, itself left out, are int32."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["nonzeros", "dead_inputs", "dead_units", "disconnected", "live_inputs"],
    meta_fields=["shape", "inputs", "units"],
)
@dataclasses.dataclass(frozen=True)
class LeafSparsity:
    """Exact zeros of one array.

    Attributes:
        nonzeros: number of weights that are not exactly 0 (NaN is not), an int32 scalar. For an
            array of 2³¹ weights or more it is a pair of uint32 that `int()` and `np.asarray`
            convert to an exact number.
        dead_inputs: number of inputs of a kernel whose weights are all 0, an int32 scalar; None if
            the array is not a kernel, or it is not known which of its axes run over inputs.
        dead_units: number of units of a kernel whose weights are all 0, likewise.
        shape: of the array.
        disconnected: number of weights that are not 0 but lead to no output, of the type of
            `nonzeros`; None if the array is not one of the `layers` that `sparsity` was called
            with.
        live_inputs: number of inputs of the layer with a weight that leads to an output, an int32
            scalar, or None likewise.
        inputs: number of inputs, an int; None where `dead_inputs` is.
        units: number of units, likewise.
    """

    nonzeros: jax.Array | Count
    dead_inputs: jax.Array | None
    dead_units: jax.Array | None
    shape: tuple[int, ...]
    disconnected: jax.Array | Count | None = None
    live_inputs: jax.Array | None = None
    inputs: int | None = None
    units: int | None = None

    @property
    def size(self) -> int:
        """Number of weights."""
        return functools.reduce(operator.mul, self.shape, 1)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["leaves"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Sparsity:
    """Exact zeros of every leaf and in total; `print` shows a table.

    A result of `jax.vmap` or `sweep` holds the counts of many runs along leading axes: `print`
    shows a line for each run, and `counts[3]` or `counts[3, 0]` selects one run.

    Attributes:
        leaves: the counts of each leaf by its name, such as `layer/kernel`.
    """

    leaves: dict[str, LeafSparsity]

    @property
    def nonzeros(self) -> jax.Array:
        """Number of weights that are not exactly 0 in all leaves, an int32 scalar.

        From 2³¹ weights on it is an exact int64 of NumPy, and under a JAX transformation a rounded
        float32.
        """
        return total([leaf.nonzeros for leaf in self.leaves.values()], self.size)

    @property
    def size(self) -> int:
        """Number of weights in all leaves."""
        return sum(leaf.size for leaf in self.leaves.values())

    @property
    def connected(self) -> jax.Array:
        """Number of weights of the `layers` that are not 0 and lead to an output, of the type of
        `nonzeros`.

        Raises:
            ValueError: the counts were made without `layers`.
        """
        pairs = [
            (leaf.nonzeros, leaf.disconnected)
            for leaf in self.leaves.values()
            if leaf.disconnected is not None
        ]
        if not pairs:
            raise ValueError(
                "Sparsity.connected: these counts do not know the order of the layers; call "
                "jaxreg.sparsity(params, "
                "layers=…) with the names of the kernels from the first to the last"
            )
        nonzeros, disconnected = (total(counts, self.size) for counts in zip(*pairs, strict=True))
        return nonzeros - disconnected

    @property
    def layered(self) -> bool:
        """Whether the counts were made with `layers`."""
        return any(leaf.disconnected is not None for leaf in self.leaves.values())

    @property
    def fraction(self) -> jax.Array:
        """Share of weights that are exactly 0, from 0 to 1, a float32 scalar; NaN if there are no
        weights.
        """
        # From the number of zeros, since 1 − nonzeros/size is not exactly 0 where XLA multiplies by
        # a rounded 1/size.
        whole, nonzero = (
            _counting.exactly(self.size),
            pair_of(leaf.nonzeros for leaf in self.leaves.values()),
        )
        high, low = (
            all_.astype(jnp.float32) - some.astype(jnp.float32)
            for all_, some in zip(whole, nonzero, strict=True)
        )
        return (256 * high + low) / (float(self.size) or jnp.nan)

    def __getitem__(self, run: PyTree) -> Sparsity:
        """Selects one run or several, by an index for the leading axes."""
        return jax.tree.map(lambda count: count[run], self)

    def __str__(self) -> str:
        if isinstance(self.nonzeros, jax.core.Tracer):
            return f"Sparsity of {len(self.leaves)} parameters, under a JAX transformation"
        if np.ndim(self.nonzeros):
            return self.many_runs()
        titles = [
            "dead inputs",
            "dead units",
            *(["disconnected", "live inputs"] if self.layered else []),
        ]
        rows = [["parameter", "shape", "nonzero", "of", "zeros", *titles]]
        for name, leaf in self.leaves.items():
            counts = (leaf.dead_inputs, leaf.dead_units, leaf.disconnected, leaf.live_inputs)[
                : len(titles)
            ]
            cells = ["" if number is None else str(int(number)) for number in counts]
            rows.append([name, str(leaf.shape), *cells_of(leaf.nonzeros, leaf.size), *cells])
        rows.append(["total", "", *cells_of(self.nonzeros, self.size), *[""] * len(titles)])
        if self.layered:
            rows[-1][-2] = str(
                sum(
                    int(leaf.disconnected)
                    for leaf in self.leaves.values()
                    if leaf.disconnected is not None
                )
            )
        return aligned(rows, 2)

    def many_runs(self) -> str:
        """Formats a line for each run, with the zeros of all parameters and of each."""
        shape = np.shape(self.nonzeros)
        connected = ["connected"] if self.layered else []
        rows = [
            [
                "run",
                "nonzero",
                "of",
                "zeros",
                *connected,
                *(f"zeros in {name}" for name in self.leaves),
            ]
        ]
        host = jax.tree.map(np.asarray, self)
        for run in itertools.islice(np.ndindex(shape), SHOWN):
            counts = host[run]
            shares = [cells_of(leaf.nonzeros, leaf.size)[2] for leaf in counts.leaves.values()]
            lead = [str(int(counts.connected))] if self.layered else []
            rows.append(
                [", ".join(map(str, run)), *cells_of(counts.nonzeros, self.size), *lead, *shares]
            )
        left = math.prod(shape) - SHOWN
        return aligned(rows, 1) + (
            f"\nand {left} more runs; counts[i] is one of them" if left > 0 else ""
        )


def aligned(rows: list[list[str]], left: int) -> str:
    """Formats rows as a table: the first `left` columns are aligned left, and a line follows the
    heading.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = [
        "  ".join(
            [*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]
        ).rstrip()
        for row in rows
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def pair_of(numbers: Iterable[jax.Array | Count]) -> Count:
    """Adds counts to a pair, which has room for them."""
    pairs = [
        number if isinstance(number, Count) else _counting.exactly(jnp.asarray(number))
        for number in numbers
    ]
    return _counting.total([_counting.exactly(0), *pairs])


def total(numbers: Sequence[jax.Array | Count], size: int) -> jax.Array:
    """Adds counts that together are at most `size`: an int32, from 2³¹ on an int64 of NumPy or,
    traced, a float32.
    """
    if size < LARGE:
        return functools.reduce(operator.add, numbers, jnp.zeros([], jnp.int32))
    pair = pair_of(numbers)
    if isinstance(pair.low, jax.core.Tracer):
        return pair.high.astype(jnp.float32) * 256 + pair.low.astype(jnp.float32)
    exact: Any = np.asarray(pair)
    return exact


def cells_of(nonzeros: jax.Array | Count, size: int) -> list[str]:
    """Formats nonzeros, size and share of zeros as cells of a table."""
    return [str(int(nonzeros)), str(size), f"{1 - int(nonzeros) / size:.1%}" if size else ""]


def sparsity(
    params: PyTree,
    mask: Mask = None,
    input_axis: int | tuple[int, ...] | None = None,
    unit_axis: int | tuple[int, ...] | None = None,
    layers: Sequence[str] | None = None,
) -> Sparsity:
    """Counts exact zeros, and in kernels (see `jaxreg.kernels`) also inputs and units whose weights
    are all zero.

        >>> import jax.numpy as jnp, jaxreg
        >>> counts = jaxreg.sparsity({"kernel": jnp.array([[0.0, 2.0], [0.0, 0.0]])})
        >>> print(counts)
        parameter  shape   nonzero  of  zeros  dead inputs  dead units
        --------------------------------------------------------------
        kernel     (2, 2)        1   4  75.0%            1           1
        total                    1   4  75.0%
        >>> float(counts.fraction)
        0.75

    A nonzero weight can still have no effect: if all outgoing weights of its unit are 0, it can be
    removed. These weights are counted too if `layers` gives the order of the layers. A weight leads
    to an output if it is not 0 and, unless its layer is the last, its unit has an outgoing weight
    that leads to an output. A unit without nonzero incoming weights still counts, as its bias may
    make it active.

        >>> first, last = jnp.array([[1.0, 2.0], [0.0, 3.0]]), jnp.array([[1.0], [0.0]])
        >>> counts = jaxreg.sparsity({"first": first, "last": last}, layers=("first", "last"))
        >>> int(counts.nonzeros), int(counts.connected)
        (4, 2)

    The axes of inputs and of units are found for each kernel. Kernels of Flax are (…, in, out), but
    in attention `query`, `key` and `value` are (in, heads, size), and `out` beside them is (heads,
    size, out). Kernels that are an attribute `weight`, as in Equinox, are (out, in, …), or (in,
    out) if the name contains `embed`. Where the bias beside a kernel fits only the other order,
    that one holds. All remaining axes run over the window of a convolution.

    Layers that are stacked along leading axes have inputs and units of their own. They are
    recognised by a bias (layers, out), by the names that linen gives to modules of `nn.scan` and
    `nn.vmap` (`Scan…`, `Vmap…`), or by the name `stacked`. Without these, and without `conv` in its
    name, a kernel of rank 3 may be a stack or a convolution: its dead inputs and units are not
    counted. From rank 4 on, it counts as a convolution.

    Args:
        params: the parameters, a tree of arrays.
        mask: which leaves to count, as for `optax.masked`; None counts all of them, biases too.
            Integers, such as indices and step counts, are no weights and never counted.
        input_axis: the axis or axes of every kernel that run over inputs, in place of what is
            found; -2 if only `unit_axis` is given. Axes of stacked layers belong to both: (0, 1)
            and (0, 2) for kernels (layers, in, out).
        unit_axis: the axis or axes of every kernel that run over units; -1 if only `input_axis` is
            given.
        layers: names of kernels from the first layer to the last, as they stand in `leaves`, such
            as ("layers/0/kernel", "layers/1/kernel"), for a network where each layer feeds the next
            alone. A dense layer may follow a convolution whose output is flattened, with channels
            last if the kernel's last axis runs over units, else first.

    Returns:
        The counts, a pytree of integer scalars that works inside `jit` and `vmap`.

    Raises:
        TypeError: the mask is not made of bools or selects a leaf that is no array, an axis is not
            an int, or `layers` is a single string.
        ValueError: a kernel has no such axis, both axes are the same, or the mask does not fit the
            parameters; a name in `layers` is no counted kernel, comes twice or has axes that are
            not known, a kernel in `layers` holds several layers, or the inputs of a layer do not
            fit the units of the layer before.
    """
    holes = jax.tree.map(lambda leaf: None if is_hole(leaf) else leaf, params, is_leaf=is_hole)
    stated = stated_axes(input_axis, unit_axis)
    keep, is_kernel = jax.tree.leaves(chosen(mask, holes)), jax.tree.leaves(kernels(holes))
    known = itertools.compress(zip(leaf_roles(holes), is_kernel, strict=True), keep)
    leaves: dict[str, LeafSparsity] = {}
    by_name: dict[str, Kernel | None] = {}
    check_arrays("sparsity", holes, chosen(mask, holes))
    for (name, leaf), (layout, kernel) in zip(chosen_leaves(holes, mask), known, strict=True):
        if not is_weights(leaf):
            continue
        # Two leaves may share a name where a key holds a slash.
        unique = name if name not in leaves else f"{name} ({len(leaves)})"
        axes = None if not kernel else layout.roles if stated is None else axes_in(leaf, *stated)
        if kernel:
            by_name[unique] = None if axes is None else Kernel(leaf, axes.inputs, axes.units)
        leaves[unique] = count_zeros(leaf, by_name.get(unique))
    if layers is not None:
        for name, (lost, live) in connected(named_layers(layers, by_name)).items():
            leaves[name] = dataclasses.replace(
                leaves[name], disconnected=counted(lost), live_inputs=live
            )
    return Sparsity(leaves)


def stated_axes(input_axis: Any, unit_axis: Any) -> tuple[Any, Any] | None:
    """Returns the axes of inputs and units that the user states; None if each kernel's own are to
    be found.

    Raises:
        TypeError: an axis is not an int.
        ValueError: an axis is named twice.
    """
    if input_axis is None and unit_axis is None:
        return None
    inputs, units = -2 if input_axis is None else input_axis, -1 if unit_axis is None else unit_axis
    return check_axis("sparsity: input_axis", inputs), check_axis("sparsity: unit_axis", units)


def axes_in(
    x: jax.Array, input_axis: int | tuple[int, ...], unit_axis: int | tuple[int, ...]
) -> Roles:
    """Counts stated axes from 0 on.

    Raises:
        ValueError: the array does not have them, or those of inputs are those of units.
    """
    named = [axis if isinstance(axis, tuple) else (axis,) for axis in (input_axis, unit_axis)]
    inputs, units = (tuple(sorted({a % x.ndim for a in axes})) for axes in named)
    if any(not -x.ndim <= a < x.ndim for axes in named for a in axes) or inputs == units:
        raise ValueError(
            f"sparsity: expected two different axes of a kernel of shape {x.shape}, got "
            f"input_axis={input_axis} and "
            f"unit_axis={unit_axis}; leave that kernel out with a mask, or pass axes that it has"
        )
    return Roles(inputs, units, ())


def count_zeros(x: jax.Array, kernel: Kernel | None) -> LeafSparsity:
    """Counts zeros of one array and, in a kernel with known axes, dead inputs and units."""
    alive = x != 0
    if kernel is None:
        return LeafSparsity(counted(alive), None, None, x.shape)
    dead_inputs, dead_units = (
        jnp.sum(~kernel.any(alive, axes), dtype=jnp.int32) for axes in (kernel.inputs, kernel.units)
    )
    inputs, units = kernel.count(kernel.inputs), kernel.count(kernel.units)
    return LeafSparsity(
        counted(alive), dead_inputs, dead_units, x.shape, inputs=inputs, units=units
    )


def counted(marks: jax.Array) -> jax.Array | Count:
    """Counts the True in an array, as an int32 if that is large enough."""
    return jnp.sum(marks, dtype=jnp.int32) if marks.size < LARGE else _counting.count(marks)
