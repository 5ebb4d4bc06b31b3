"""Diagnostics: the value of a penalty, how far parameters are from optimal, and how many of them are exactly zero.

They know penalties and trees of parameters, but neither transformations nor optimizers, so they apply to any of them:

    gradient = jax.grad(loss)(params)                       # of the loss alone, without the penalty, on the full data
    jaxreg.kkt_residual(jaxreg.L1(1e-4), params, gradient)  # 0 at a solution; compare it with λ
    print(jaxreg.sparsity(params))                          # a table, leaf by leaf
    jaxreg.critical_strength(jaxreg.L1(1.0), gradient_at_zero)

The first two, and `critical_strength`, are pure functions of arrays: `jit`, `vmap` and `grad` go through them, and NaN
comes out as NaN. Use float64 (`jax.config.update("jax_enable_x64", True)`) to certify residuals below 1e-6.
"""

import dataclasses
import functools
import itertools
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._masking import Mask, check_shapes, is_hole, kernels, map_penalised, penalised_leaves
from jaxreg.penalties import Penalty

SHOWN = 20
"""Runs that `print` shows of counts of many."""


def penalty_value(penalty: Penalty, params: Any, mask: Mask = None) -> jax.Array:
    """R(w) summed over the chosen leaves: a scalar in float32 or wider, in the loss's units.

    Its gradient under `jax.grad` is the link `add_penalty`'s: 0 for an L1 weight at 0.

    Args:
        penalty: what is charged; a scheduled strength must be fixed first, `penalty.at(count)`.
        params: the parameters. mask: which leaves to charge; None charges all.
    """
    return functools.reduce(operator.add, [penalty.value(leaf) for _, leaf in penalised_leaves(params, mask)], jnp.zeros([]))


def kkt_residual(penalty: Penalty, params: Any, gradient: Any, mask: Mask = None) -> jax.Array:
    """The largest distance of −∇L(w) from ∂R(w) over all weights (or groups): 0 exactly at a stationary point of L + R.

    Leaves that the mask leaves out are charged nothing, and there |∇L(w)| counts.

    Args:
        penalty: what is charged. params: w. gradient: ∇L(w) of the loss alone, a tree like `params`.
        mask: which leaves are charged; None charges all.

    Raises:
        ValueError: a leaf of the gradient has not its parameter's shape.

    Returns:
        A scalar in the units of the gradient, so that residual/λ is free of units. NaN where any weight or gradient is.

    Source: optimality condition 0 ∈ ∇L(w) + ∂R(w), as in Bach et al., Optimization with Sparsity-Inducing Penalties
        (2012), section 1.2.
    """

    def charged(slope: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.max(penalty.violation(weight, slope), initial=0)

    def free(slope: jax.Array, weight: jax.Array) -> jax.Array:
        del weight
        return jnp.max(jnp.abs(slope), initial=0)

    check_shapes("kkt_residual", gradient, params)
    worst = jax.tree.leaves(map_penalised(charged, free, mask, gradient, params))
    return functools.reduce(jnp.maximum, widen(worst), jnp.zeros([]))


def critical_strength(penalty: Penalty, gradient: Any, mask: Mask = None) -> jax.Array:
    """The smallest strength whose solution is w = 0, given the loss's gradient there.

    max|∇L(0)| for L1 and for the L1 part of an elastic net, max‖∇L(0)_g‖ for groups, infinity for squared L2. It is exact
    for a model that is linear in w. An MLP's gradient at W = 0 is itself 0, so there it says nothing.

    Args:
        penalty: whose kind (and axis) matters, and whose own strength does not.
        gradient: ∇L(0), with the unpenalised leaves (an intercept) at their best. mask: which leaves are charged.
    """
    worst = [penalty.critical_strength(leaf) for _, leaf in penalised_leaves(gradient, mask)]
    return functools.reduce(jnp.maximum, widen(worst), jnp.zeros([]))


def widen(numbers: list[jax.Array]) -> list[jax.Array]:
    """Scalars of several dtypes, all in the widest."""
    dtype = jnp.result_type(jnp.float32, *[number.dtype for number in numbers]) if numbers else jnp.float32
    return [number.astype(dtype) for number in numbers]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["nonzeros", "dead_inputs", "dead_units"], meta_fields=["shape"]
)
@dataclasses.dataclass(frozen=True)
class LeafSparsity:
    """Zeros of one array: counts are int32 scalars, `None` where the array is no kernel.

    Attributes:
        nonzeros: weights that are not exactly 0; NaN counts as one.
        dead_inputs: of a kernel, inputs whose weights are all 0. dead_units: outputs whose weights are all 0.
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
    """Zeros leaf by leaf and in total; `print` shows a table.

    The result of `jax.vmap` or `sweep` holds the counts of many runs along leading axes: `print` shows a line for each run,
    and `counts[3]` or `counts[3, 0]` selects one run.

    Attributes:
        leaves: from a leaf's name (`layer/kernel`) to its counts.
    """

    leaves: dict[str, LeafSparsity]

    @property
    def nonzeros(self) -> jax.Array:
        """Weights that are not exactly 0, all leaves together: int32 scalar."""
        return functools.reduce(operator.add, [leaf.nonzeros for leaf in self.leaves.values()], jnp.zeros([], jnp.int32))

    @property
    def size(self) -> int:
        """Number of weights, all leaves together."""
        return sum(leaf.size for leaf in self.leaves.values())

    @property
    def fraction(self) -> jax.Array:
        """Share of exact zeros, between 0 and 1: float32 scalar (NaN where there is no weight at all)."""
        # Counted in zeros, since 1 − nonzeros/size is not exactly 0 where XLA multiplies by a rounded 1/size.
        return (self.size - self.nonzeros).astype(jnp.float32) / (self.size or jnp.nan)

    def __getitem__(self, run: Any) -> "Sparsity":
        """The counts of one run, or of some: an index as for an array along the leading axes."""
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
        """A line for each run with its zeros in all and in each parameter."""
        shape = np.shape(self.nonzeros)
        rows = [["run", "nonzero", "of", "zeros", *(f"zeros in {name}" for name in self.leaves)]]
        for run in itertools.islice(np.ndindex(shape), SHOWN):
            shares = [counts(leaf.nonzeros[run], leaf.size)[2] for leaf in self.leaves.values()]
            rows.append([", ".join(map(str, run)), *counts(self.nonzeros[run], self.size), *shares])
        left = math.prod(shape) - SHOWN
        return aligned(rows, 1) + (f"\nand {left} more runs; counts[i] is one of them" if left > 0 else "")


def aligned(rows: list[list[str]], left: int) -> str:
    """Rows as a table whose first `left` columns are aligned to the left, with a line below the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = [
        "  ".join([*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]).rstrip() for row in rows
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def counts(nonzeros: jax.Array, size: int) -> list[str]:
    """The three cells of a table's row."""
    return [str(int(nonzeros)), str(size), f"{1 - int(nonzeros) / size:.1%}" if size else ""]


def sparsity(params: Any, mask: Mask = None, input_axis: int = -2, unit_axis: int = -1) -> Sparsity:
    """Counts exact zeros. A kernel (as `jaxreg.kernels` has it) also reports inputs and units that are wholly zero.

    Args:
        params: the parameters. mask: which leaves to count; None counts all of them, biases too.
        input_axis, unit_axis: where a kernel's inputs and units lie: by default (…, in, out), as Flax has it. Equinox's
            `Linear` is (out, in): -1 and -2; its convolutions are (out, in, …): 1 and 0.

    Raises:
        ValueError: a kernel has no such axis, or both name the same one.

    Returns:
        A `Sparsity`, which is a pytree of integer scalars (so `jit` and `vmap` go through) and prints as a table.
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
    """Counts of one array, and with the axes of its inputs and units those of a kernel."""
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
