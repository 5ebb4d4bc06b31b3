"""Diagnostics: the value of a penalty, the distance of parameters from an optimum, and the number
of exact zeros.

They do not depend on transformations or optimizers, so they apply to parameters from any training
loop:

    gradient = jax.grad(loss)(params)  # of the loss alone, without the penalty, on the full data
    jaxreg.kkt_residual(jaxreg.L1(1e-4), params, gradient)  # 0 where stationary; compare with λ
    print(jaxreg.sparsity(params))                          # a table, leaf by leaf
    jaxreg.critical_strength(jaxreg.L1(1.0), gradient_at_zero)

All are pure functions of arrays, which can be transformed by `jit`, `vmap` and (except for counts)
`grad`, and NaN in gives NaN out. Use float64 (`jax.config.update("jax_enable_x64", True)`) to
verify residuals below 1e-6.
"""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp

from jaxreg._assigning import assign, check_fits, map_penalised, penalised_leaves
from jaxreg._duality import duality_gap
from jaxreg._masking import check_shapes
from jaxreg._sparsity import LeafSparsity, Sparsity, sparsity
from jaxreg._typing import Mask, Penalties, PyTree
from jaxreg.penalties import Penalty

__all__ = (
    "LeafSparsity",
    "Sparsity",
    "critical_strength",
    "duality_gap",
    "kkt_residual",
    "penalty_value",
    "sparsity",
)


def penalty_value(penalty: Penalties, params: PyTree, mask: Mask = None) -> jax.Array:
    """Computes the penalty R(w), summed over the penalised leaves.

    Its gradient under `jax.grad` is what `add_penalty` adds: 0 for a weight at 0 under L1.

        >>> import jax.numpy as jnp, jaxreg
        >>> print(jaxreg.penalty_value(jaxreg.L1(0.5), {"kernel": jnp.array([[3.0, -1.0]])}))
        2.0

    Args:
        penalty: such as `jaxreg.L1(1e-4)`, or a tree of penalties; evaluate a scheduled strength
            first, by `penalty.at(count)`.
        params: the parameters w, a tree of arrays.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them.

    Returns:
        A scalar in float32 or wider, in the units of the loss.

    Raises:
        TypeError: a penalised leaf is not floating point, a strength is a schedule, or the penalty
            is neither a `jaxreg.Penalty` nor made of them.
        ValueError: the mask or the tree of penalties does not fit the parameters, or a strength is
            an array.
    """
    assigned = assign("penalty_value", penalty, params, mask)
    for name, leaf, leaf_penalty in penalised_leaves(assigned, params):
        check_fits("penalty_value", name, leaf, leaf_penalty)
    values = [penalty.value(leaf) for _, leaf, penalty in penalised_leaves(assigned, params)]
    return functools.reduce(operator.add, widen(values))


def kkt_residual(
    penalty: Penalties, params: PyTree, gradient: PyTree, mask: Mask = None
) -> jax.Array:
    """Computes the largest distance of −∇L(w) from ∂R(w) over all weights or groups; 0 at
    stationary points of L + R.

    For a convex loss and a convex penalty, a residual of 0 certifies the solution. Under a concave
    penalty (`LogSum`, `MCP`, …) or for a network, it certifies a stationary point, which is a local
    minimum at best and one of many. Leaves that are not penalised contribute |∇L(w)|.

        >>> import jax.numpy as jnp, jaxreg
        >>> # Of ½(w₀ − 2.5)² + ½(w₁ + 0.25)²
        >>> params, gradient = jnp.array([2.0, 0.0]), jnp.array([-0.5, 0.25])
        >>> print(jaxreg.kkt_residual(jaxreg.L1(0.5), params, gradient))
        0.0

    Args:
        penalty: such as `jaxreg.L1(1e-4)`, or a tree of penalties.
        params: the parameters w, a tree of arrays.
        gradient: ∇L(w), of the loss without the penalty, a tree like `params`.
        mask: which leaves are penalised, as for `optax.masked`; None for all of them.

    Returns:
        A scalar in the units of the gradient, so that residual/λ has no units. NaN if any weight or
        gradient is NaN.

    Raises:
        TypeError: a penalised leaf is not floating point, a strength is a schedule, or the penalty
            is neither a `jaxreg.Penalty` nor made of them.
        ValueError: a gradient has another shape than its parameter, the mask or the tree of
            penalties does not fit the parameters, or a strength is an array.

    Source: optimality condition 0 ∈ ∇L(w) + ∂R(w), as in Bach et al., Optimization with
        Sparsity-Inducing Penalties (2012), section 1.2.
    """

    def penalised(leaf_penalty: Penalty, slope: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.max(leaf_penalty.violation(weight, slope), initial=0)

    def free(slope: jax.Array, weight: jax.Array) -> jax.Array:
        del weight
        return jnp.max(jnp.abs(slope), initial=0)

    check_shapes("kkt_residual", gradient, params)
    assigned = assign("kkt_residual", penalty, params, mask)
    for name, leaf, leaf_penalty in penalised_leaves(assigned, params):
        check_fits("kkt_residual", name, leaf, leaf_penalty)
    worst = jax.tree.leaves(map_penalised(penalised, free, assigned, gradient, params))
    return functools.reduce(jnp.maximum, widen(worst))


def critical_strength(penalty: Penalties, gradient: PyTree, mask: Mask = None) -> jax.Array:
    """Computes the smallest strength whose solution is w = 0; a grid of strengths need not go
    beyond it.

    It is max|∇L(0)| for L1 and for the L1 part of an elastic net, max‖∇L(0)_g‖ for groups, and
    infinity for squared L2. For a loss that is convex in w, such as that of a linear model, it is
    exact. Under `LogSum`, `MCP` and `SCAD`, w = 0 is stationary from L1's critical strength on, but
    another point may have a smaller objective; under `Bridge` and `L0`, w = 0 is always stationary,
    and 0 is returned. It does not help for an MLP, whose gradient at w = 0 is 0.

        >>> import jax.numpy as jnp, jaxreg
        >>> print(jaxreg.critical_strength(jaxreg.L1(1.0), jnp.array([0.5, -2.0])))
        2.0

    Args:
        penalty: its type (and axis) matters, its own strength does not. For a tree of penalties the
            result is the largest over the leaves; a mask selects the result of one layer. A
            function gets `gradient` in place of the parameters.
        gradient: ∇L(0), a tree of arrays, with unpenalised leaves (an intercept) at their optimum.
        mask: which leaves are penalised, as for `optax.masked`; None for all of them.

    Returns:
        A scalar in float32 or wider.

    Raises:
        NotImplementedError: the penalty does not define `critical_strength`.
        TypeError: the penalty is neither a `jaxreg.Penalty` nor made of them.
        ValueError: the mask or the tree of penalties does not fit the gradient.
    """
    assigned = assign("critical_strength", penalty, gradient, mask)
    worst = [
        penalty.critical_strength(leaf) for _, leaf, penalty in penalised_leaves(assigned, gradient)
    ]
    return functools.reduce(jnp.maximum, widen(worst))


def widen(numbers: list[jax.Array]) -> list[jax.Array]:
    """Casts real scalars, and a 0 before them, to the widest of their dtypes and of JAX's
    default.
    """
    zero = jnp.zeros([])
    # Not jnp.result_type, which raises under strict dtype promotion.
    dtype = max(
        [zero.dtype, *[number.dtype for number in numbers]], key=lambda dtype: dtype.itemsize
    )
    return [number.astype(dtype) for number in (zero, *numbers)]
