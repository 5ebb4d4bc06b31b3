"""FISTA for Optimistix: a minimiser of fn + R, and the adjoint that differentiates its solution.

    import optimistix
    from jaxreg.optimistix import Fista, ProximalAdjoint

    solver = Fista(jaxreg.L1(0.1), rtol=1e-6)
    solution = optimistix.minimise(fn, solver, w, args=data, adjoint=ProximalAdjoint())
    solution.value, solution.result, solution.stats["num_steps"]

The adjoint is required. Those of Optimistix differentiate ∇fn(w) = 0, which does not hold at a
minimum of fn + R, so their derivatives would be wrong without any message.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax
import optimistix

from jaxreg._arrays import full_precision
from jaxreg._typing import Mask, Penalties, PyTree
from jaxreg.solvers import Fista as Solver
from jaxreg.solvers import FistaState, fista

__all__ = ("Fista", "ProximalAdjoint")


class Fista(optimistix.AbstractMinimiser):
    """Minimises fn(w, args) + R(w) by `jaxreg.fista`, for `optimistix.minimise`.

    It stops by the optimality conditions rather than by the last change: where the KKT residual of
    each parameter array is at most `rtol` times the scale of that array (λ for L1, see
    `jaxreg.fista`), or at most `atol`. `result` is then successful, and `nonlinear_divergence`
    where the loss or its gradient is NaN or infinite. `stats["residual"]` is the largest KKT
    residual divided by its scale, and `state` is a `jaxreg.FistaState`.

    `has_aux`, `max_steps` and `throw` work as in any minimiser; an aux costs one more evaluation of
    fn per step. The warnings of `jaxreg.fista` are not given.

    Args:
        penalty: R, such as `jaxreg.L1(0.1)`, a tree of penalties, or a function from parameters to
            one.
        rtol: the tolerance relative to the scale, positive.
        atol: the tolerance of the KKT residual itself, in the units of the gradient.
        mask: which parameters to penalise, as for `optax.masked`.

    Raises:
        TypeError: in `minimise`, as `jaxreg.fista` does, or the adjoint is no `ProximalAdjoint`.
        ValueError: in `minimise`, as `jaxreg.fista` does.
    """

    rtol: float
    atol: float
    norm: Callable
    penalty: Penalties
    mask: Mask

    def __init__(
        self, penalty: Penalties, rtol: float = 1e-5, atol: float = 0.0, mask: Mask = None
    ) -> None:
        self.penalty, self.mask = penalty, mask
        self.rtol, self.atol, self.norm = rtol, atol, optimistix.max_norm

    def solver(self, fn: Callable, args: PyTree) -> Solver:
        """The solver of a function that `minimise` has prepared, which returns an aux too."""
        return fista(lambda w, _: fn(w, args)[0], self.penalty, tol=self.rtol, mask=self.mask)

    def init(
        self, fn: Any, y: Any, args: Any, options: Any, f_struct: Any, aux_struct: Any, tags: Any
    ) -> FistaState:
        if not isinstance(options.get("adjoint"), ProximalAdjoint):
            raise TypeError(
                "jaxreg.optimistix.Fista: pass adjoint=jaxreg.optimistix.ProximalAdjoint() to "
                "minimise; other adjoints ignore the penalty, so derivatives would be wrong"
            )
        return self.solver(fn, args).init(y)

    def step(
        self, fn: Any, y: Any, args: Any, options: Any, state: FistaState, tags: Any
    ) -> tuple[PyTree, FistaState, PyTree]:
        y, state = self.solver(fn, args).update(y, state)
        return y, state, fn(y, args)[1]

    def terminate(
        self, fn: Any, y: Any, args: Any, options: Any, state: FistaState, tags: Any
    ) -> tuple[jax.Array, optimistix.RESULTS]:
        results = optimistix.RESULTS
        diverged = ~jnp.isfinite(state.residual)
        # An upper bound, as each array has a scale of its own.
        largest = state.residual * jnp.max(jnp.stack(jax.tree.leaves(state.scale)))
        return (
            state.converged | (largest <= self.atol) | diverged,
            results.where(diverged, results.nonlinear_divergence, results.successful),
        )

    def postprocess(
        self, fn: Any, y: Any, aux: Any, args: Any, options: Any, state: Any, tags: Any, result: Any
    ) -> tuple[PyTree, PyTree, dict[str, jax.Array]]:
        return y, aux, {"residual": state.residual}


class ProximalAdjoint(optimistix.AbstractAdjoint):
    """Differentiates the solution of `Fista` by the implicit function theorem.

    A solution satisfies w = prox(w − s ∇fn(w)) for any step s. It can be differentiated with
    respect to the strengths of the penalty, to `args` and to what fn closes over, in both modes,
    where it converged. The `tags` of `minimise` describe the Hessian of fn, which is another matrix
    than that of this linear system, so they are not used.

    Attributes:
        linear_solver: for a square matrix that is not symmetric, of Lineax.

    Raises:
        TypeError: in `minimise`, if the solver is not `jaxreg.optimistix.Fista`.
    """

    linear_solver: lineax.AbstractLinearSolver = lineax.AutoLinearSolver(well_posed=None)

    def apply(self, primal_fn: Any, rewrite_fn: Any, inputs: Any, tags: Any) -> PyTree:
        fn, solver, y, args, options, *rest = inputs
        if not isinstance(solver, Fista):
            raise TypeError(
                f"ProximalAdjoint: expected a jaxreg.optimistix.Fista as solver, got {solver!r}"
            )
        inputs = (fn, solver, y, args, {**options, "adjoint": self}, *rest)
        implicit = optimistix.ImplicitAdjoint(self.linear_solver)
        return implicit.apply(primal_fn, displacement, inputs, frozenset())


def displacement(params: PyTree, residual: PyTree, inputs: PyTree) -> PyTree:
    """Computes w − prox(w − s ∇fn(w)), with the last step size s."""
    (fn, minimiser, _, args, *_), (_, _, state, *_) = inputs, residual
    solver = minimiser.solver(fn, args)
    with full_precision():
        return solver.problem.displacement(solver.penalties(params), params, None, state.step_size)
