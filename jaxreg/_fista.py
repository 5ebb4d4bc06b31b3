"""The steps of FISTA, its loop, and the derivative of its solution."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import gmres

from jaxreg._assigning import assign, map_penalised
from jaxreg._typing import PyTree
from jaxreg.measures import kkt_residual
from jaxreg.penalties import Penalty

BETWEEN_CHECKS = 10
"""Steps between two evaluations of the KKT residual, each of which needs a gradient of its own."""
HALVINGS = 60
"""The most times that one step size is halved."""
VALUE_DIGITS = 1e-3
"""Below this relative change, differences of values are mostly rounding, and gradients decide about the step size."""

KRYLOV, KRYLOV_RESTARTS = 100, 20
"""Most dimensions of the Krylov space in which a derivative is found, and how often that is done again."""


class FistaState(NamedTuple):
    """The state of FISTA between two steps.

    Attributes:
        steps: number of steps so far, int32.
        residual: `jaxreg.kkt_residual` at the parameters; infinity before the first step.
        step_size: of the last step; the first step begins with it.
        converged: whether the residual is at most `tol`.
        point: the extrapolated point at which the next gradient is taken, a tree like the parameters.
        momentum: t of Beck and Teboulle, from 1 on.
    """

    steps: jax.Array
    residual: jax.Array
    step_size: jax.Array
    converged: jax.Array
    point: PyTree
    momentum: jax.Array


@dataclasses.dataclass(frozen=True)
class Problem:
    """A loss, and how it is minimised together with a penalty; hashable, so that a program is compiled once for it.

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

    def first_state(self, params: PyTree, data: Any, step_size: jax.Array) -> FistaState:
        """The state before the first step; a step size that is searched begins at an upper bound of 1/L."""
        dtype = jnp.result_type(*jax.tree.leaves(params))
        if self.search:
            step_size = self.longest_step(params, data)
        return FistaState(
            steps=jnp.zeros([], jnp.int32), residual=jnp.asarray(jnp.inf, dtype),
            step_size=jnp.asarray(step_size, dtype), converged=jnp.asarray(False), point=params,
            momentum=jnp.ones([], dtype),
        )  # fmt: skip

    def longest_step(self, params: PyTree, data: Any) -> jax.Array:
        """Computes ‖d‖/‖∇f(w + d) − ∇f(w)‖ for a short d along the gradient: at least 1/L, and often not much more."""
        gradient = jax.grad(self.fun)(params, data)
        norm = optax.tree.norm(gradient)
        length = jnp.sqrt(jnp.finfo(norm.dtype).eps) * jnp.maximum(optax.tree.norm(params), 1)
        moved = optax.tree.add_scale(params, -length / jnp.where(norm > 0, norm, 1), gradient)
        change = optax.tree.norm(optax.tree.sub(jax.grad(self.fun)(moved, data), gradient))
        return jnp.where((norm > 0) & (change > 0), length / jnp.where(change > 0, change, 1), 1)

    def step(self, penalties: PyTree, params: PyTree, state: FistaState, data: Any) -> tuple[PyTree, FistaState]:
        """Takes one step; leaves the residual as it is."""
        value, gradient = jax.value_and_grad(self.fun)(state.point, data)

        def proposed(step_size: jax.Array) -> PyTree:
            return forward_backward(penalties, state.point, gradient, step_size)

        def too_long(searched: tuple[jax.Array, PyTree, Any]) -> jax.Array:
            step_size, after, halvings = searched
            return self.overshoots(value, gradient, state.point, after, step_size, data) & (halvings < HALVINGS)

        def halve(searched: tuple[jax.Array, PyTree, Any]) -> tuple[jax.Array, PyTree, Any]:
            step_size = searched[0] / 2
            return step_size, proposed(step_size), searched[2] + 1

        step_size, after = state.step_size, proposed(state.step_size)
        if self.search:
            step_size, after, _ = jax.lax.while_loop(too_long, halve, (step_size, after, 0))
        moved = optax.tree.sub(after, params)
        momentum = state.momentum
        if self.restart:
            uphill = optax.tree.vdot(optax.tree.sub(state.point, after), moved) > 0
            momentum = jnp.where(uphill, 1, momentum)
        grown = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        ahead = optax.tree.add_scale(after, (momentum - 1) / grown, moved)
        # Leaves of a narrower dtype than the momentum's keep their own.
        point = jax.tree.map(lambda new, old: new.astype(old.dtype), ahead, after)
        return after, state._replace(steps=state.steps + 1, step_size=step_size, point=point, momentum=grown)

    def overshoots(
        self, value: jax.Array, gradient: PyTree, before: PyTree, after: PyTree, step_size: jax.Array, data: Any
    ) -> jax.Array:
        """Whether f is not below its quadratic bound of curvature 1/step_size between two points."""
        moved = optax.tree.sub(after, before)
        squared = optax.tree.norm(moved, squared=True)
        now = self.fun(after, data)
        by_value = now > value + optax.tree.vdot(gradient, moved) + squared / (2 * step_size)

        def by_gradient() -> jax.Array:
            change = optax.tree.sub(jax.grad(self.fun)(after, data), gradient)
            return optax.tree.vdot(change, moved) > squared / step_size

        rounding = jnp.abs(now - value) < VALUE_DIGITS * jnp.maximum(jnp.abs(now), jnp.abs(value))
        return jax.lax.cond(rounding, by_gradient, lambda: by_value | ~jnp.isfinite(now))

    def measured(
        self, penalties: PyTree, params: PyTree, state: FistaState, data: Any, tol: jax.Array
    ) -> tuple[PyTree, FistaState]:
        """Computes the residual at the parameters."""
        residual = kkt_residual(penalties, params, jax.grad(self.fun)(params, data)).astype(state.residual.dtype)
        return params, state._replace(residual=residual, converged=residual <= tol)

    def minimise(
        self, penalties: PyTree, params: PyTree, data: Any, step_size: jax.Array, tol: jax.Array
    ) -> tuple[PyTree, FistaState]:
        """Takes steps until the residual is at most `tol`, is NaN, or all steps are taken."""

        def unfinished(now: tuple[PyTree, FistaState]) -> jax.Array:
            state = now[1]
            return ~state.converged & (state.steps < self.max_steps) & ~jnp.isnan(state.residual)

        def some_steps(now: tuple[PyTree, FistaState]) -> tuple[PyTree, FistaState]:
            count = jnp.minimum(BETWEEN_CHECKS, self.max_steps - now[1].steps)
            params, state = jax.lax.fori_loop(0, count, lambda _, now: self.step(penalties, now[0], now[1], data), now)
            return self.measured(penalties, params, state, data, tol)

        first = self.measured(penalties, params, self.first_state(params, data, step_size), data, tol)
        return jax.lax.while_loop(unfinished, some_steps, first)

    def displacement(self, penalties: PyTree, params: PyTree, data: Any, step_size: jax.Array) -> PyTree:
        """Computes w − prox(w − s ∇f(w)), which is 0 at a solution."""
        gradient = jax.grad(self.fun)(params, data)
        return optax.tree.sub(params, forward_backward(penalties, params, gradient, step_size))


def forward_backward(penalties: PyTree, params: PyTree, gradient: PyTree, step_size: jax.Array) -> PyTree:
    """One step of proximal gradient descent."""

    def penalised(own: Penalty, slope: jax.Array, weight: jax.Array) -> jax.Array:
        return own.prox(weight - step_size * slope, step_size).astype(weight.dtype)

    def free(slope: jax.Array, weight: jax.Array) -> jax.Array:
        return (weight - step_size * slope).astype(weight.dtype)

    return map_penalised(penalised, free, assign("fista", penalties, params, None), gradient, params)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def solve(
    problem: Problem, penalties: PyTree, data: Any, params: PyTree, step_size: jax.Array, tol: jax.Array
) -> tuple[PyTree, FistaState]:
    """Minimises; the parameters of the result can be differentiated with respect to penalties and data."""
    return problem.minimise(penalties, params, data, step_size, tol)


@solve.defjvp
def derivative(problem: Problem, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """Differentiates w − prox(w − s ∇f(w)) = 0 at the solution w; where it starts does not matter.

    A weight at 0 has a prox of slope 0, so its own derivative is 0, and the linear system is that of the support.
    """
    penalties, data = primals[:2]
    params, state = solve(problem, *primals)

    def along(penalties: PyTree, data: Any) -> PyTree:
        return problem.displacement(penalties, params, data, state.step_size)

    change = jax.jvp(along, (penalties, data), tangents[:2])[1]
    jacobian = jax.linearize(lambda at: problem.displacement(penalties, at, data, state.step_size), params)[1]
    # One vector, as a leaf that does not change with what is differentiated could not be transposed alone.
    vector, shaped = ravel_pytree(change)

    def matvec(direction: jax.Array) -> jax.Array:
        return ravel_pytree(jacobian(shaped(direction)))[0]

    # GMRES computes its tolerance from the right-hand side, so only as a whole is it linear in it.
    solver = functools.partial(solve_linear, max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(params)))
    tangent = jax.lax.custom_linear_solve(matvec, vector, solver, transpose_solve=solver)
    return (params, state), (shaped(-tangent), jax.tree.map(no_tangent, state))


def solve_linear(eps: float, matvec: Callable[[jax.Array], jax.Array], right: jax.Array) -> jax.Array:
    """Solves a linear system by GMRES to a relative precision; NaN if it does not reach half of its digits."""
    found = gmres(matvec, right, tol=10 * eps, restart=min(right.size, KRYLOV), maxiter=KRYLOV_RESTARTS)[0]
    solved = jnp.linalg.norm(matvec(found) - right) <= eps**0.5 * jnp.linalg.norm(right)
    return jnp.where(solved, found, jnp.nan)


def no_tangent(leaf: jax.Array) -> Any:
    """The tangent 0, which integers have of a dtype of their own."""
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        return jnp.zeros_like(leaf)
    return np.zeros(leaf.shape, jax.dtypes.float0)
