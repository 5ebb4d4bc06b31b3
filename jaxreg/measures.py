"""Diagnostics: the value of a penalty, the distance of parameters from an optimum, and the number of exact zeros.

They do not depend on transformations or optimizers, so they apply to parameters from any training loop:

    gradient = jax.grad(loss)(params)                       # of the loss alone, without the penalty, on the full data
    jaxreg.kkt_residual(jaxreg.L1(1e-4), params, gradient)  # 0 at a stationary point; compare it with λ
    print(jaxreg.sparsity(params))                          # a table, leaf by leaf
    jaxreg.critical_strength(jaxreg.L1(1.0), gradient_at_zero)

All are pure functions of arrays, which can be transformed by `jit`, `vmap` and (except for counts) `grad`, and NaN in
gives NaN out. Use float64 (`jax.config.update("jax_enable_x64", True)`) to verify residuals below 1e-6.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._masking import check_shapes, is_hole, kernels, map_penalised, penalised_leaves
from jaxreg._typing import Mask, PyTree
from jaxreg.penalties import Penalty

SHOWN = 20
"""How many runs `print` shows."""


def penalty_value(penalty: Penalty, params: PyTree, mask: Mask = None) -> jax.Array:
    """Computes the penalty R(w), summed over the penalised leaves.

    Its gradient under `jax.grad` is what `add_penalty` adds: 0 for a weight at 0 under L1.

        >>> import jax.numpy as jnp, jaxreg
        >>> print(jaxreg.penalty_value(jaxreg.L1(0.5), {"kernel": jnp.array([[3.0, -1.0]])}))
        2.0

    Args:
        penalty: such as `jaxreg.L1(1e-4)`; evaluate a scheduled strength first, by `penalty.at(count)`.
        params: the parameters w, a tree of arrays.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them.

    Returns:
        A scalar in float32 or wider, in the units of the loss.

    Raises:
        TypeError: a penalised leaf is not floating point, or a strength is a schedule.
        ValueError: the mask does not fit the parameters.
    """
    return functools.reduce(operator.add, [penalty.value(leaf) for _, leaf in penalised_leaves(params, mask)], jnp.zeros([]))


def kkt_residual(penalty: Penalty, params: PyTree, gradient: PyTree, mask: Mask = None) -> jax.Array:
    """Computes the largest distance of −∇L(w) from ∂R(w) over all weights or groups; 0 at stationary points of L + R.

    For a convex loss and a convex penalty, a residual of 0 certifies the solution. Under a concave penalty (`LogSum`, `MCP`,
    …) or for a network, it certifies a stationary point, which is a local minimum at best and one of many. Leaves that are
    not penalised contribute |∇L(w)|.

        >>> import jax.numpy as jnp, jaxreg
        >>> params, gradient = jnp.array([2.0, 0.0]), jnp.array([-0.5, 0.25])     # of ½(w₀ − 2.5)² + ½(w₁ + 0.25)²
        >>> print(jaxreg.kkt_residual(jaxreg.L1(0.5), params, gradient))
        0.0

    Args:
        penalty: such as `jaxreg.L1(1e-4)`.
        params: the parameters w, a tree of arrays.
        gradient: ∇L(w), of the loss without the penalty, a tree like `params`.
        mask: which leaves are penalised, as for `optax.masked`; None for all of them.

    Returns:
        A scalar in the units of the gradient, so that residual/λ has no units. NaN if any weight or gradient is NaN.

    Raises:
        TypeError: a penalised leaf is not floating point, or a strength is a schedule.
        ValueError: a gradient has another shape than its parameter, or the mask does not fit the parameters.

    Source: optimality condition 0 ∈ ∇L(w) + ∂R(w), as in Bach et al., Optimization with Sparsity-Inducing Penalties
        (2012), section 1.2.
    """

    def penalised(slope: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.max(penalty.violation(weight, slope), initial=0)

    def free(slope: jax.Array, weight: jax.Array) -> jax.Array:
        del weight
        return jnp.max(jnp.abs(slope), initial=0)

    check_shapes("kkt_residual", gradient, params)
    worst = jax.tree.leaves(map_penalised(penalised, free, mask, gradient, params))
    return functools.reduce(jnp.maximum, widen(worst), jnp.zeros([]))


def critical_strength(penalty: Penalty, gradient: PyTree, mask: Mask = None) -> jax.Array:
    """Computes the smallest strength whose solution is w = 0; a grid of strengths need not go beyond it.

    It is max|∇L(0)| for L1 and for the L1 part of an elastic net, max‖∇L(0)_g‖ for groups, and infinity for squared L2. For
    a loss that is convex in w, such as that of a linear model, it is exact. Under `LogSum`, `MCP` and `SCAD`, w = 0 is
    stationary from L1's critical strength on, but another point may have a smaller objective; under `Bridge` and `L0`, w = 0
    is always stationary, and 0 is returned. It does not help for an MLP, whose gradient at w = 0 is 0.

        >>> import jax.numpy as jnp, jaxreg
        >>> print(jaxreg.critical_strength(jaxreg.L1(1.0), jnp.array([0.5, -2.0])))
        2.0

    Args:
        penalty: its type (and axis) matters, its own strength does not.
        gradient: ∇L(0), a tree of arrays, with unpenalised leaves (an intercept) at their optimum.
        mask: which leaves are penalised, as for `optax.masked`; None for all of them.

    Returns:
        A scalar in float32 or wider.

    Raises:
        NotImplementedError: the penalty does not define `critical_strength`.
        ValueError: the mask does not fit the gradient.
    """
    worst = [penalty.critical_strength(leaf) for _, leaf in penalised_leaves(gradient, mask)]
    return functools.reduce(jnp.maximum, widen(worst), jnp.zeros([]))


def widen(numbers: list[jax.Array]) -> list[jax.Array]:
    """Casts scalars of several dtypes to the widest of them."""
    dtype = jnp.result_type(jnp.float32, *[number.dtype for number in numbers]) if numbers else jnp.float32
    return [number.astype(dtype) for number in numbers]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["nonzeros", "dead_inputs", "dead_units"], meta_fields=["shape"]
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
    """

    nonzeros: jax.Array
    dead_inputs: jax.Array | None
    dead_units: jax.Array | None
    shape: tuple[int, ...]

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
        rows = [["parameter", "shape", "nonzero", "of", "zeros", "dead inputs", "dead units"]]
        for name, leaf in self.leaves.items():
            dead = ["" if count is None else str(int(count)) for count in (leaf.dead_inputs, leaf.dead_units)]
            rows.append([name, str(leaf.shape), *counts(leaf.nonzeros, leaf.size), *dead])
        rows.append(["total", "", *counts(self.nonzeros, self.size), "", ""])
        return aligned(rows, 2)

    def many_runs(self) -> str:
        """Formats a line for each run, with the zeros of all parameters and of each."""
        shape = np.shape(self.nonzeros)
        rows = [["run", "nonzero", "of", "zeros", *(f"zeros in {name}" for name in self.leaves)]]
        for run in itertools.islice(np.ndindex(shape), SHOWN):
            shares = [counts(leaf.nonzeros[run], leaf.size)[2] for leaf in self.leaves.values()]
            rows.append([", ".join(map(str, run)), *counts(self.nonzeros[run], self.size), *shares])
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


def sparsity(params: PyTree, mask: Mask = None, input_axis: int = -2, unit_axis: int = -1) -> Sparsity:
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

    Args:
        params: the parameters, a tree of arrays.
        mask: which leaves to count, as for `optax.masked`; None counts all of them, biases too.
        input_axis: the axis of a kernel that runs over inputs. The default is for Flax's kernels, (…, in, out). Pass -1 for
            Equinox's `Linear`, which is (out, in), and 1 for its convolutions, which are (out, in, …).
        unit_axis: the axis of a kernel that runs over units; -2 for Equinox's `Linear` and 0 for its convolutions.

    Returns:
        The counts, a pytree of integer scalars that works inside `jit` and `vmap`.

    Raises:
        TypeError: the mask is not made of bools.
        ValueError: a kernel has no such axis, both axes are the same, or the mask does not fit the parameters.
    """
    holes = jax.tree.map(lambda leaf: None if is_hole(leaf) else leaf, params, is_leaf=is_hole)
    with_axes = {name for name, _ in penalised_leaves(holes, kernels)}
    leaves: dict[str, LeafSparsity] = {}
    for name, leaf in penalised_leaves(holes, mask):
        # Two leaves may share a name where a key holds a slash.
        unique = name if name not in leaves else f"{name} ({len(leaves)})"
        axes = (input_axis, unit_axis) if name in with_axes else None
        leaves[unique] = count_zeros(leaf, axes)
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
