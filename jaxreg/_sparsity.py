"""Exact zeros of parameters: counts by leaf, and how they are printed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._connections import check_layers, connected
from jaxreg._dtypes import is_weights
from jaxreg._masking import check_arrays, chosen, chosen_leaves, is_hole, kernels
from jaxreg._typing import Mask, PyTree

SHOWN = 20
"""How many runs `print` shows."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["nonzeros", "dead_inputs", "dead_units", "disconnected", "live_inputs"],
    meta_fields=["shape"],
)
@dataclasses.dataclass(frozen=True)
class LeafSparsity:
    """Exact zeros of one array.

    Attributes:
        nonzeros: number of weights that are not exactly 0 (NaN is not), an int32 scalar.
        dead_inputs: number of inputs of a kernel whose weights are all 0, an int32 scalar; None if the array is not a
            kernel.
        dead_units: number of units of a kernel whose weights are all 0, likewise.
        shape: of the array.
        disconnected: number of weights that are not 0 but lead to no output, an int32 scalar; None if the array is not one
            of the `layers` that `sparsity` was called with.
        live_inputs: number of inputs of the layer with a weight that leads to an output, likewise.
    """

    nonzeros: jax.Array
    dead_inputs: jax.Array | None
    dead_units: jax.Array | None
    shape: tuple[int, ...]
    disconnected: jax.Array | None = None
    live_inputs: jax.Array | None = None

    @property
    def size(self) -> int:
        """Number of weights."""
        return functools.reduce(operator.mul, self.shape, 1)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["leaves"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Sparsity:
    """Exact zeros of every leaf and in total; `print` shows a table.

    A result of `jax.vmap` or `sweep` holds the counts of many runs along leading axes: `print` shows a line for each run,
    and `counts[3]` or `counts[3, 0]` selects one run.

    Attributes:
        leaves: the counts of each leaf by its name, such as `layer/kernel`.
    """

    leaves: dict[str, LeafSparsity]

    @property
    def nonzeros(self) -> jax.Array:
        """Number of weights that are not exactly 0 in all leaves, an int32 scalar."""
        return functools.reduce(operator.add, [leaf.nonzeros for leaf in self.leaves.values()], jnp.zeros([], jnp.int32))

    @property
    def size(self) -> int:
        """Number of weights in all leaves."""
        return sum(leaf.size for leaf in self.leaves.values())

    @property
    def connected(self) -> jax.Array:
        """Number of weights of the `layers` that are not 0 and lead to an output, an int32 scalar.

        Raises:
            ValueError: the counts were made without `layers`.
        """
        found = [leaf.nonzeros - leaf.disconnected for leaf in self.leaves.values() if leaf.disconnected is not None]
        if not found:
            raise ValueError(
                "Sparsity.connected: these counts do not know the order of the layers; call jaxreg.sparsity(params, "
                "layers=…) with the names of the kernels from the first to the last"
            )
        return functools.reduce(operator.add, found)

    @property
    def layered(self) -> bool:
        """Whether the counts were made with `layers`."""
        return any(leaf.disconnected is not None for leaf in self.leaves.values())

    @property
    def fraction(self) -> jax.Array:
        """Share of weights that are exactly 0, from 0 to 1, a float32 scalar; NaN if there are no weights."""
        # From the number of zeros, since 1 − nonzeros/size is not exactly 0 where XLA multiplies by a rounded 1/size.
        return (self.size - self.nonzeros).astype(jnp.float32) / (self.size or jnp.nan)

    def __getitem__(self, run: PyTree) -> Sparsity:
        """Selects one run or several, by an index for the leading axes."""
        return jax.tree.map(lambda count: count[run], self)

    def __str__(self) -> str:
        if isinstance(self.nonzeros, jax.core.Tracer):
            return f"Sparsity of {len(self.leaves)} parameters, under a JAX transformation"
        if np.ndim(self.nonzeros):
            return self.many_runs()
        titles = ["dead inputs", "dead units", *(["disconnected", "live inputs"] if self.layered else [])]
        rows = [["parameter", "shape", "nonzero", "of", "zeros", *titles]]
        for name, leaf in self.leaves.items():
            found = (leaf.dead_inputs, leaf.dead_units, leaf.disconnected, leaf.live_inputs)[: len(titles)]
            cells = ["" if count is None else str(int(count)) for count in found]
            rows.append([name, str(leaf.shape), *counts(leaf.nonzeros, leaf.size), *cells])
        rows.append(["total", "", *counts(self.nonzeros, self.size), *[""] * len(titles)])
        if self.layered:
            rows[-1][-2] = str(sum(int(leaf.disconnected) for leaf in self.leaves.values() if leaf.disconnected is not None))
        return aligned(rows, 2)

    def many_runs(self) -> str:
        """Formats a line for each run, with the zeros of all parameters and of each."""
        shape = np.shape(self.nonzeros)
        connected = ["connected"] if self.layered else []
        rows = [["run", "nonzero", "of", "zeros", *connected, *(f"zeros in {name}" for name in self.leaves)]]
        for run in itertools.islice(np.ndindex(shape), SHOWN):
            shares = [counts(leaf.nonzeros[run], leaf.size)[2] for leaf in self.leaves.values()]
            lead = [str(int(self.connected[run]))] if self.layered else []
            rows.append([", ".join(map(str, run)), *counts(self.nonzeros[run], self.size), *lead, *shares])
        left = math.prod(shape) - SHOWN
        return aligned(rows, 1) + (f"\nand {left} more runs; counts[i] is one of them" if left > 0 else "")


def aligned(rows: list[list[str]], left: int) -> str:
    """Formats rows as a table: the first `left` columns are aligned left, and a line follows the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = [
        "  ".join([*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]).rstrip() for row in rows
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def counts(nonzeros: jax.Array, size: int) -> list[str]:
    """Formats nonzeros, size and share of zeros as cells of a table."""
    return [str(int(nonzeros)), str(size), f"{1 - int(nonzeros) / size:.1%}" if size else ""]


def sparsity(
    params: PyTree, mask: Mask = None, input_axis: int = -2, unit_axis: int = -1, layers: Sequence[str] | None = None
) -> Sparsity:
    """Counts exact zeros, and in kernels (see `jaxreg.kernels`) also inputs and units whose weights are all zero.

        >>> import jax.numpy as jnp, jaxreg
        >>> counts = jaxreg.sparsity({"kernel": jnp.array([[0.0, 2.0], [0.0, 0.0]])})
        >>> print(counts)
        parameter  shape   nonzero  of  zeros  dead inputs  dead units
        --------------------------------------------------------------
        kernel     (2, 2)        1   4  75.0%            1           1
        total                    1   4  75.0%
        >>> float(counts.fraction)
        0.75

    A nonzero weight can still have no effect: if all outgoing weights of its unit are 0, it can be removed. These weights
    are counted too if `layers` gives the order of the layers. A weight leads to an output if it is not 0 and, unless its
    layer is the last, its unit has an outgoing weight that leads to an output. A unit without nonzero incoming weights still
    counts, as its bias may make it active.

        >>> first, last = jnp.array([[1.0, 2.0], [0.0, 3.0]]), jnp.array([[1.0], [0.0]])
        >>> counts = jaxreg.sparsity({"first": first, "last": last}, layers=("first", "last"))
        >>> int(counts.nonzeros), int(counts.connected)
        (4, 2)

    Args:
        params: the parameters, a tree of arrays.
        mask: which leaves to count, as for `optax.masked`; None counts all of them, biases too. Integers, such as indices
            and step counts, are no weights and never counted.
        input_axis: the axis of a kernel that runs over inputs. The default is for Flax's kernels, (…, in, out). Pass -1 for
            Equinox's `Linear`, which is (out, in), and 1 for its convolutions, which are (out, in, …).
        unit_axis: the axis of a kernel that runs over units; -2 for Equinox's `Linear` and 0 for its convolutions.
        layers: names of kernels from the first layer to the last, as they stand in `leaves`, such as
            ("layers/0/kernel", "layers/1/kernel"), for a network where each layer feeds the next alone. A dense layer may
            follow a convolution whose output is flattened, with channels last if `unit_axis` is the last one, else first.

    Returns:
        The counts, a pytree of integer scalars that works inside `jit` and `vmap`.

    Raises:
        TypeError: the mask is not made of bools or selects a leaf that is no array, or `layers` is a single string.
        ValueError: a kernel has no such axis, both axes are the same, or the mask does not fit the parameters; a name in
            `layers` is no counted kernel or comes twice, or the inputs of a layer do not fit the units of the layer before.
    """
    holes = jax.tree.map(lambda leaf: None if is_hole(leaf) else leaf, params, is_leaf=is_hole)
    with_axes = {name for name, _ in chosen_leaves(holes, kernels)}
    leaves: dict[str, LeafSparsity] = {}
    found: dict[str, jax.Array] = {}
    check_arrays("sparsity", holes, chosen(mask, holes))
    for name, leaf in chosen_leaves(holes, mask):
        if not is_weights(leaf):
            continue
        # Two leaves may share a name where a key holds a slash.
        unique = name if name not in leaves else f"{name} ({len(leaves)})"
        axes = (input_axis, unit_axis) if name in with_axes else None
        leaves[unique] = count_zeros(leaf, axes)
        if axes:
            found[unique] = leaf
    if layers is not None:
        check_layers(layers, found)
        for name, (leading, live) in connected({name: found[name] for name in layers}, input_axis, unit_axis).items():
            nonzeros = leaves[name].nonzeros
            leaves[name] = dataclasses.replace(leaves[name], disconnected=nonzeros - leading, live_inputs=live)
    return Sparsity(leaves)


def count_zeros(x: jax.Array, axes: tuple[int, int] | None) -> LeafSparsity:
    """Counts zeros of one array, and dead inputs and units if `axes` gives the axes of inputs and units."""
    alive = x != 0
    nonzeros = jnp.sum(alive, dtype=jnp.int32)
    if axes is None:
        return LeafSparsity(nonzeros, None, None, x.shape)
    if any(not -x.ndim <= axis < x.ndim for axis in axes) or axes[0] % x.ndim == axes[1] % x.ndim:
        raise ValueError(
            f"sparsity: expected two different axes of a kernel of shape {x.shape}, got input_axis={axes[0]} and "
            f"unit_axis={axes[1]}; leave that kernel out with a mask, or pass axes that it has"
        )
    dead_inputs, dead_units = (
        jnp.sum(~jnp.any(alive, [a for a in range(x.ndim) if a != axis % x.ndim]), dtype=jnp.int32) for axis in axes
    )
    return LeafSparsity(nonzeros, dead_inputs, dead_units, x.shape)
