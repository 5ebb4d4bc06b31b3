"""The steps of FISTA, its loop, and the derivative of its solution."""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import gmres

from jaxreg._assigning import assign, map_penalised, penalised_leaves
from jaxreg._typing import PyTree
from jaxreg.penalties import Penalty

BETWEEN_CHECKS = 10
"""Steps between two evaluations of the residual, each of which needs a gradient of its own."""
POWER_STEPS = 3
"""Steps of the power iteration that finds the curvature of an array, from its gradient on."""
HALVINGS = 60
"""The most times that one step size is halved."""
VALUE_DIGITS = 1e-3
"""Below this relative change, differences of values are mostly rounding, and gradients decide about
the step size.
"""

KRYLOV, KRYLOV_RESTARTS = 100, 20
"""Most dimensions of the Krylov space in which a derivative is found, and how often that is done
again.
"""


class FistaState(NamedTuple):
    """The state of FISTA between two steps.

    Attributes:
        steps: number of steps so far, int32.
        residual: the largest KKT residual of any parameter array at the parameters, each divided by
            its `scale`.
        step_size: of the last step, a tree like the parameters with one number for each array.
        scale: what the KKT residual of each array is divided by, a tree like `step_size`; see
            `fista`.
        converged: whether the residual is at most `tol`.
        point: the extrapolated point at which the next gradient is taken, a tree like the
            parameters.
        momentum: t of Beck and Teboulle, from 1 on.
    """

    steps: jax.Array
    residual: jax.Array
    step_size: PyTree
    scale: PyTree
    converged: jax.Array
    point: PyTree
    momentum: jax.Array


@dataclasses.dataclass(frozen=True)
class Problem:
    """A loss, and how it is minimised together with a penalty; hashable, so that a program is
    compiled once for it.

    Attributes:
        fun: `fun(params, data)`, the smooth part of the objective.
        max_steps: the most steps.
        search: whether the step size is searched.
        restart: whether the momentum restarts when it points uphill.
    """

    fun: Callable[[PyTree, Any], jax.Array]
    max_steps: int
    search: bool
    restart: bool

    def first_state(
        self, penalties: PyTree, params: PyTree, data: Any, step_size: jax.Array, tol: jax.Array
    ) -> FistaState:
        """The state before the first step."""
        every = jax.tree.map(lambda _: step_size, params)
        unknown = jax.tree.map(lambda _: jnp.full_like(step_size, jnp.inf), params)
        state = FistaState(
            steps=jnp.zeros([], jnp.int32), residual=jnp.zeros_like(step_size), step_size=every,
            scale=unknown,
            converged=jnp.asarray(False), point=params, momentum=jnp.ones_like(step_size),
        )  # fmt: skip
        return self.measured(penalties, params, state, data, tol)[1]

    def measured(
        self, penalties: PyTree, params: PyTree, state: FistaState, data: Any, tol: jax.Array
    ) -> tuple[PyTree, FistaState]:
        """Computes the residual at the parameters, with new scales where it meets `tol` and each
        time that steps doubled.
        """
        value, gradient = jax.value_and_grad(self.fun)(params, data)
        residual = functools.partial(relative_residual, penalties, params, gradient)
        checks = state.steps // BETWEEN_CHECKS
        doubled = (state.steps % BETWEEN_CHECKS == 0) & (checks & (checks - 1) == 0)
        due = doubled | (residual(state.step_size, state.scale) <= tol)
        now = jax.lax.stop_gradient((penalties, params, value, gradient, state.step_size, data))

        def again(_: Any) -> tuple[jax.Array, PyTree, PyTree]:
            return jnp.asarray(False), *self.rescaled(*now)

        # A loop, as under vmap a condition would compute the curvatures every time.
        _, steps, scale = jax.lax.while_loop(
            lambda now: now[0], again, (due, state.step_size, state.scale)
        )
        left = residual(steps, scale)
        point = jax.tree.map(lambda new, old: jnp.where(due, new, old), params, state.point)
        momentum = jnp.where(due, 1, state.momentum)
        return params, FistaState(
            state.steps, left, steps, scale, due & (left <= tol), point, momentum
        )

    def rescaled(
        self,
        penalties: PyTree,
        params: PyTree,
        value: jax.Array,
        gradient: PyTree,
        step_size: PyTree,
        data: Any,
    ) -> tuple[PyTree, PyTree]:
        """The step sizes that a search begins with, and what residuals are divided by, from the
        curvature at a point.

        For a loss f ≥ 0 of curvature L, |∇f| is at most √(2Lf). With the objective in place of f
        this has the units of a gradient wherever the parameters are, and stays positive where the
        gradient is 0.
        """
        curvatures = self.curvatures(params, value, gradient, data)
        assigned = assign("fista", penalties, params, None)
        objective = jnp.abs(value) + sum(
            jnp.abs(penalty.value(leaf)) for _, leaf, penalty in penalised_leaves(assigned, params)
        )

        def free(slope: jax.Array, _: jax.Array, curvature: jax.Array) -> jax.Array:
            largest = jnp.maximum(
                jnp.sqrt(2 * curvature * objective), jnp.max(jnp.abs(slope), initial=0)
            )
            # Against an infinite scale every residual would be 0.
            return jnp.where(jnp.isfinite(largest), largest, jnp.nan).astype(curvature.dtype)

        def penalised(
            penalty: Penalty, slope: jax.Array, weight: jax.Array, curvature: jax.Array
        ) -> jax.Array:
            largest = free(slope, weight, curvature)
            # Next to 0, where a smooth penalty is flat, and any that makes zeros is as steep as its
            # strength.
            nearly = jnp.full_like(weight, jnp.sqrt(jnp.finfo(weight.dtype).tiny))
            steep = jnp.max(jnp.abs(penalty.subgradient(nearly)), initial=0).astype(largest.dtype)
            smooth = steep <= jnp.finfo(largest.dtype).eps * largest
            return jnp.where(smooth | ((steep > largest) & (largest > 0)), largest, steep)

        scale = map_penalised(penalised, free, assigned, gradient, params, curvatures)
        return jax.tree.map(
            lambda curvature: 1 / curvature, curvatures
        ) if self.search else step_size, scale

    def curvatures(self, params: PyTree, value: jax.Array, gradient: PyTree, data: Any) -> PyTree:
        """Estimates the largest curvature of the loss along each array, from below.

        Where there is none, it is that at which one step would reduce the loss to 0.
        """
        slopes, structure = jax.tree.flatten(gradient)
        dtype = jnp.result_type(*slopes)

        def turned(alone: jax.Array, directions: list[jax.Array]) -> list[jax.Array]:
            """The Hessian times the direction of one array, the one where `alone` is 1."""
            picked = [
                pick.astype(leaf.dtype) * leaf for pick, leaf in zip(alone, directions, strict=True)
            ]
            along = jax.tree.unflatten(structure, picked)
            product = jax.grad(lambda at: inner(jax.grad(self.fun)(at, data), along))(params)
            return jax.tree.leaves(product)

        def curvature_along(alone: jax.Array) -> jax.Array:
            def power(_: Any, directions: list[jax.Array]) -> list[jax.Array]:
                return [direction(change) for change in turned(alone, directions)]

            last = turned(
                alone,
                jax.lax.fori_loop(1, POWER_STEPS, power, [direction(slope) for slope in slopes]),
            )
            return jnp.sum(alone * jnp.stack([length(change).astype(dtype) for change in last]))

        # One array after another in a loop, so that the Hessian is compiled once.
        largest = jax.lax.map(curvature_along, jnp.eye(len(slopes), dtype=dtype))
        steep = jnp.stack([length(slope).astype(dtype) for slope in slopes])
        largest = jnp.where(largest > 0, largest, steep * (steep / jnp.abs(value)))
        return jax.tree.unflatten(
            structure, list(jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1))
        )

    def step(
        self, penalties: PyTree, params: PyTree, state: FistaState, data: Any
    ) -> tuple[PyTree, FistaState]:
        """Takes one step; leaves the residual as it is."""
        value, gradient = jax.value_and_grad(self.fun)(state.point, data)

        def proposed(step_size: PyTree) -> PyTree:
            return forward_backward(penalties, state.point, gradient, step_size)

        def too_long(searched: tuple[PyTree, PyTree, Any]) -> jax.Array:
            step_size, after, halvings = searched
            return self.overshoots(value, gradient, state.point, after, step_size, data) & (
                halvings < HALVINGS
            )

        def halve(searched: tuple[PyTree, PyTree, Any]) -> tuple[PyTree, PyTree, Any]:
            step_size = jax.tree.map(lambda size: size / 2, searched[0])
            return step_size, proposed(step_size), searched[2] + 1

        step_size, after = state.step_size, proposed(state.step_size)
        if self.search:
            step_size, after, _ = jax.lax.while_loop(too_long, halve, (step_size, after, 0))
        moved = optax.tree.sub(after, params)
        momentum = state.momentum
        if self.restart:
            back = jax.tree.map(operator.truediv, optax.tree.sub(state.point, after), step_size)
            uphill = inner(back, moved) > 0
            momentum = jnp.where(uphill, 1, momentum)
        grown = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        ahead = optax.tree.add_scale(after, (momentum - 1) / grown, moved)
        # Leaves of a narrower dtype than the momentum's keep their own.
        point = jax.tree.map(lambda new, old: new.astype(old.dtype), ahead, after)
        return after, state._replace(
            steps=state.steps + 1, step_size=step_size, point=point, momentum=grown
        )

    def overshoots(
        self,
        value: jax.Array,
        gradient: PyTree,
        before: PyTree,
        after: PyTree,
        step_size: PyTree,
        data: Any,
    ) -> jax.Array:
        """Whether f is not below its quadratic bound of curvature 1/step_size between two
        points.
        """
        moved = optax.tree.sub(after, before)
        curved = inner(jax.tree.map(operator.truediv, moved, step_size), moved)
        now = self.fun(after, data)
        by_value = now > value + inner(gradient, moved) + curved / 2

        def by_gradient() -> jax.Array:
            change = optax.tree.sub(jax.grad(self.fun)(after, data), gradient)
            return inner(change, moved) > curved

        rounding = jnp.abs(now - value) < VALUE_DIGITS * jnp.maximum(jnp.abs(now), jnp.abs(value))
        return jax.lax.cond(rounding, by_gradient, lambda: by_value | ~jnp.isfinite(now))

    def minimise(
        self, penalties: PyTree, params: PyTree, data: Any, step_size: jax.Array, tol: jax.Array
    ) -> tuple[PyTree, FistaState]:
        """Takes steps until the residual is at most `tol`, is NaN, or all steps are taken."""

        def unfinished(now: tuple[PyTree, FistaState]) -> jax.Array:
            state = now[1]
            return ~state.converged & (state.steps < self.max_steps) & ~jnp.isnan(state.residual)

        def some_steps(now: tuple[PyTree, FistaState]) -> tuple[PyTree, FistaState]:
            count = jnp.minimum(BETWEEN_CHECKS, self.max_steps - now[1].steps)
            params, state = jax.lax.fori_loop(
                0, count, lambda _, now: self.step(penalties, now[0], now[1], data), now
            )
            return self.measured(penalties, params, state, data, tol)

        first = self.first_state(penalties, params, data, step_size, tol)
        return jax.lax.while_loop(unfinished, some_steps, (params, first))

    def displacement(
        self, penalties: PyTree, params: PyTree, data: Any, step_size: PyTree
    ) -> PyTree:
        """Computes w − prox(w − s ∇f(w)), which is 0 at a solution."""
        gradient = jax.grad(self.fun)(params, data)
        return optax.tree.sub(params, forward_backward(penalties, params, gradient, step_size))


def forward_backward(
    penalties: PyTree, params: PyTree, gradient: PyTree, step_size: PyTree
) -> PyTree:
    """One step of proximal gradient descent."""

    def penalised(
        penalty: Penalty, slope: jax.Array, weight: jax.Array, step: jax.Array
    ) -> jax.Array:
        return penalty.prox(weight - step * slope, step).astype(weight.dtype)

    def free(slope: jax.Array, weight: jax.Array, step: jax.Array) -> jax.Array:
        return (weight - step * slope).astype(weight.dtype)

    return map_penalised(
        penalised, free, assign("fista", penalties, params, None), gradient, params, step_size
    )


def relative_residual(
    penalties: PyTree, params: PyTree, gradient: PyTree, step_size: PyTree, scale: PyTree
) -> jax.Array:
    """The largest KKT residual of the arrays, each divided by its scale."""

    def penalised(
        penalty: Penalty, slope: jax.Array, weight: jax.Array, step: jax.Array, unit: jax.Array
    ) -> jax.Array:
        if type(penalty).violation is Penalty.violation:
            # The default takes a step of 1, whose size next to the weights depends on their units.
            return share((weight - penalty.prox(weight - step * slope, step)) / step, unit)
        return share(penalty.violation(weight, slope), unit)

    def free(slope: jax.Array, _: jax.Array, __: jax.Array, unit: jax.Array) -> jax.Array:
        return share(slope, unit)

    def share(violation: jax.Array, unit: jax.Array) -> jax.Array:
        largest = jnp.max(jnp.abs(violation), initial=0).astype(unit.dtype)
        return jnp.where(largest == 0, 0, largest / unit)

    assigned = assign("fista", penalties, params, None)
    worst = jax.tree.leaves(
        map_penalised(penalised, free, assigned, gradient, params, step_size, scale)
    )
    return functools.reduce(jnp.maximum, worst)


def inner(a: PyTree, b: PyTree) -> jax.Array:
    """Computes the inner product of two trees; `optax.tree.vdot` does not take arrays that are
    sharded explicitly.
    """
    return optax.tree.sum(optax.tree.mul(a, b))


def length(x: jax.Array) -> jax.Array:
    """Computes the norm of all elements, scaled so that no square underflows."""
    largest = jnp.max(jnp.abs(x), initial=0)
    divisor = jnp.where(largest > 0, largest, 1)
    return divisor * jnp.sqrt(jnp.sum(jnp.square(x / divisor)))


def direction(x: jax.Array) -> jax.Array:
    """Divides by the norm; where that is 0, all elements of the result are the same."""
    norm = length(x)
    return jnp.where(norm > 0, x / jnp.where(norm > 0, norm, 1), 1 / max(x.size, 1) ** 0.5)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def solve(
    problem: Problem,
    penalties: PyTree,
    data: Any,
    params: PyTree,
    step_size: jax.Array,
    tol: jax.Array,
) -> tuple[PyTree, FistaState]:
    """Minimises; the parameters of the result can be differentiated with respect to penalties and
    data.
    """
    return problem.minimise(penalties, params, data, step_size, tol)


@solve.defjvp
def derivative(
    problem: Problem, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Differentiates w − prox(w − s ∇f(w)) = 0 at the solution w; where it starts does not matter.

    A weight at 0 has a prox of slope 0, so its own derivative is 0, and the linear system is that
    of the support.
    """
    penalties, data = primals[:2]
    params, state = solve(problem, *primals)

    def along(penalties: PyTree, data: Any) -> PyTree:
        return problem.displacement(penalties, params, data, state.step_size)

    change = jax.jvp(along, (penalties, data), tangents[:2])[1]
    jacobian = jax.linearize(
        lambda at: problem.displacement(penalties, at, data, state.step_size), params
    )[1]
    # One vector, as a leaf that does not change with what is differentiated could not be transposed
    # alone.
    vector, shaped = ravel_pytree(change)

    def matvec(direction: jax.Array) -> jax.Array:
        return ravel_pytree(jacobian(shaped(direction)))[0]

    # GMRES computes its tolerance from the right-hand side, so only as a whole is it linear in it.
    solver = functools.partial(
        solve_linear, max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(params))
    )
    tangent = jax.lax.custom_linear_solve(matvec, vector, solver, transpose_solve=solver)
    return (params, state), (shaped(-tangent), jax.tree.map(no_tangent, state))


def solve_linear(
    eps: float, matvec: Callable[[jax.Array], jax.Array], right: jax.Array
) -> jax.Array:
    """Solves a linear system by GMRES to a relative precision; NaN if it does not reach half of its
    digits.
    """
    solution = gmres(
        matvec, right, tol=10 * eps, restart=min(right.size, KRYLOV), maxiter=KRYLOV_RESTARTS
    )[0]
    solved = jnp.linalg.norm(matvec(solution) - right) <= eps**0.5 * jnp.linalg.norm(right)
    return jnp.where(solved, solution, jnp.nan)


def no_tangent(leaf: jax.Array) -> Any:
    """The tangent 0, which integers have of a dtype of their own."""
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        return jnp.zeros_like(leaf)
    return np.zeros(leaf.shape, jax.dtypes.float0)
