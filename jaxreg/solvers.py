"""`fista`: minimises a smooth loss + penalty to a tolerance, by accelerated proximal gradient
descent.

    def loss(w, data):  # smooth, the mean over rows, without the penalty
        x, y = data
        return jnp.mean((x @ w - y) ** 2) / 2

    solver = jaxreg.fista(loss, jaxreg.L1(0.1), tol=1e-6)
    w, state = solver.run(jnp.zeros(x.shape[1]), (x, y))
    print(state.steps, state.residual, state.converged)

The optimizers of this package train networks on batches; this is for problems that are solved
exactly on all rows, such as linear models. Their solutions can be differentiated with respect to λ
and the data:

    def validation_loss(log_strength):
        w = jaxreg.fista(loss, jaxreg.L1(jnp.exp(log_strength))).run(start, train).params
        return loss(w, held_out)

    jax.grad(validation_loss)(jnp.log(0.1))

For those who come from jaxopt:

| jaxopt | jaxreg |
| --- | --- |
| `ProximalGradient(fun, prox_lasso).run(w, l1, data)` | `fista(fun, L1(l1)).run(w, data)` |
| `ProximalGradient(fun, prox_none)` | `mask`, or None in a tree of penalties |
| `solver.init_state(w, l1, data)` | `solver.init(w, data)` |
| `solver.update(w, state, l1, data)` | `solver.update(w, state, data)` |
| `state.error`, the change ÷ the step size | `state.residual`, the KKT residual ÷ λ |
| `state.iter_num`, `state.stepsize` | `state.steps`, `state.step_size` (one for each array) |
| `maxiter`, `tol`, `stepsize` (0 searches) | `max_steps`, `tol`, `step_size` (None searches) |
| `implicit_diff=True` | always, for the strengths of the penalty and the data |
| `acceleration=True` | always; `restart=False` turns off the restarts, which jaxopt does not have |
| `jit=True` | always |
| `prox_lasso(x, l1, scaling)` | `L1(l1).prox(x, scaling)` |
| `prox_elastic_net(x, (l1, gamma), scaling)` | `ElasticNet(l1, l1 * gamma / 2).prox(x, scaling)` |
| `prox_ridge(x, l2, scaling)` | `SquaredL2(l2 / 2).prox(x, scaling)` |
| `prox_group_lasso(x, l2, scaling)` | `GroupL2(l2, axis=0).prox(x, scaling)` for a vector x |
| `prox_non_negative_lasso` and others | a subclass of `Penalty` with `value` and `prox` |
"""

import dataclasses
import operator
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import full_precision
from jaxreg._assigning import check_params, check_penalty, is_scheduled, leaf_penalties
from jaxreg._checks import check_number
from jaxreg._fista import FistaState, Problem, solve
from jaxreg._masking import check_arrays
from jaxreg._typing import Mask, Penalties, PyTree

__all__ = ("Fista", "FistaState", "Solution", "fista")

compiled = jax.jit(solve, static_argnums=0)


GROWN = 1e6
"""Parameters this many times as large as the start and a first step hint at a loss that is not
bounded from below.
"""


class Solution(NamedTuple):
    """What `Fista.run` returns.

    Attributes:
        params: the parameters w.
        state: with `steps`, `residual`, `step_size` and `converged`.
    """

    params: PyTree
    state: FistaState


@dataclasses.dataclass(frozen=True, eq=False)
class Fista:
    """Accelerated proximal gradient descent for one objective; made by `fista`, whose arguments are
    its attributes.
    """

    fun: Callable[[PyTree, Any], jax.Array]
    penalty: Penalties
    tol: float
    max_steps: int
    step_size: float | None
    restart: bool
    mask: Mask

    @full_precision()
    def init(self, params: PyTree, data: Any = None) -> FistaState:
        """Returns the state before the first step, for a loop of one's own around `update`.

        Args:
            params: where to begin, a tree of arrays.
            data: the second argument of `fun`.

        Raises:
            TypeError: as for `run`.
            ValueError: as for `run`.
        """
        penalties, step_size = self.penalties(params), self.first_step_size(params)
        return self.problem.first_state(
            penalties, params, data, step_size, jnp.asarray(self.tol, step_size.dtype)
        )

    @full_precision()
    def update(
        self, params: PyTree, state: FistaState, data: Any = None
    ) -> tuple[PyTree, FistaState]:
        """Takes one step and computes the residual after it.

        Args:
            params: the parameters after the last step.
            state: after the last step.
            data: the second argument of `fun`.

        Returns:
            The parameters and the state after the step.
        """
        penalties = self.penalties(params)
        params, state = self.problem.step(penalties, params, state, data)
        return self.problem.measured(
            penalties, params, state, data, jnp.asarray(self.tol, state.residual.dtype)
        )

    @full_precision()
    def run(self, params: PyTree, data: Any = None) -> Solution:
        """Takes steps until the residual is at most `tol`.

        The result can be differentiated with respect to the strengths of the penalty, to the data
        and to what `fun` closes over (the latter compiles at each call, the data do not), by the
        implicit function theorem at the solution, so only where it converged. The derivative is NaN
        where its linear system cannot be solved, and does not depend on where the steps began.
        Under `jit` and `vmap` nothing can be raised or warned: look at `state.converged`.

        Args:
            params: where to begin, a tree of float32 or float64 arrays.
            data: the second argument of `fun`, an argument of the compiled program.

        Returns:
            The solution and the state.

        Raises:
            TypeError: a parameter is not float32 or float64, or the penalty is not made of
                penalties.
            ValueError: there are no parameters, the mask or the tree of penalties does not fit
                them, the loss is not a scalar, or loss or gradient are NaN or infinite.

        Warns:
            UserWarning: it did not converge in `max_steps` steps, or `tol` is below what the dtype
                can resolve.
        """
        penalties = self.penalties(params)
        # What is differentiated inside fun, without being an argument of it, becomes one.
        converted, hidden = jax.closure_convert(self.fun, params, data)
        loss = jax.eval_shape(converted, params, data, *hidden)
        if getattr(loss, "shape", None) != ():
            raise ValueError(
                f"fista: fun(params, data) must return a scalar, got {loss}; take the mean over "
                "rows"
            )
        step_size = self.first_step_size(params)
        tol = jnp.asarray(self.tol, step_size.dtype)
        problem, shared = self.problem, data
        if hidden:
            problem = dataclasses.replace(
                problem, fun=lambda w, both: converted(w, both[0], *both[1])
            )
            shared = (data, tuple(hidden))
        solution = Solution(*compiled(problem, penalties, shared, params, step_size, tol))
        self.report(params, solution.state)
        return solution

    def first_step_size(self, params: PyTree) -> jax.Array:
        """The step size that was passed; a search replaces the number."""
        return jnp.asarray(
            1.0 if self.step_size is None else self.step_size,
            jnp.result_type(*jax.tree.leaves(params)),
        )

    @property
    def problem(self) -> Problem:
        """What a program is compiled for."""
        return Problem(self.fun, self.max_steps, self.step_size is None, self.restart)

    def penalties(self, params: PyTree) -> PyTree:
        """The penalty of every parameter, None for those without; checks both."""
        leaves = jax.tree.leaves(params)
        if not leaves:
            raise ValueError(f"fista: expected parameters, got a tree without arrays, {params!r}")
        check_arrays("fista", params)
        for leaf in leaves:
            if jnp.result_type(leaf) not in (jnp.float32, jnp.float64):
                raise TypeError(
                    "fista: expected parameters in float32 or float64, got "
                    f"{jnp.result_type(leaf)}; cast them"
                )
        check_params("fista", self.penalty, params, self.mask)
        return leaf_penalties("fista", self.penalty, params, self.mask)

    def report(self, start: PyTree, state: FistaState) -> None:
        """Raises or warns about what came out, unless it is traced or a whole batch."""
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(state)):
            return
        residual, steps = float(state.residual), int(state.steps)
        if not np.isfinite(residual):
            fixed = (
                ""
                if self.step_size is None
                else f", whether step_size={float(self.step_size):g} is too large,"
            )
            raise ValueError(
                f"fista: the loss or its gradient is NaN or infinite after {steps} steps; check "
                f"the data for NaN{fixed} and whether the loss is bounded from below"
            )
        if not state.converged:
            dtype = state.residual.dtype
            before, after = (
                [largest(leaf) for leaf in jax.tree.leaves(tree)] for tree in (start, state.point)
            )
            # What a violation of 1 × scale moves the parameters by.
            moves = [
                float(move)
                for move in jax.tree.leaves(
                    jax.tree.map(operator.mul, state.step_size, state.scale)
                )
            ]
            hint = "pass a larger max_steps or tol"
            if any(
                now > GROWN * (old + move)
                for now, old, move in zip(after, before, moves, strict=True)
            ):
                hint = (
                    f"parameters have grown to {max(after):.1g}, so look whether the loss is "
                    "bounded from below"
                )
            elif any(
                self.tol * move < jnp.finfo(dtype).eps * now
                for now, move in zip(after, moves, strict=True)
            ):
                finest = max(
                    jnp.finfo(dtype).eps * now / move
                    for now, move in zip(after, moves, strict=True)
                )
                hint = (
                    f"{dtype} resolves about {finest:.1g} here, so pass a larger tol, or use "
                    "float64"
                )
            message = (
                f"the residual is {residual:.3g} after {steps} steps, above "
                f"tol={float(self.tol):.3g}; {hint}"
            )
            # To the user's line, behind `run` and what sets its precision.
            warnings.warn(f"fista: {message}", stacklevel=4)


def largest(leaf: jax.Array) -> float:
    """The largest absolute value of an array; 0 if it is empty."""
    return float(jnp.max(jnp.abs(leaf), initial=0))


def fista(
    fun: Callable[[PyTree, Any], jax.Array],
    penalty: Penalties,
    *,
    tol: float = 1e-5,
    max_steps: int = 10_000,
    step_size: float | None = None,
    restart: bool = True,
    mask: Mask = None,
) -> Fista:
    """Makes a solver for fun(w) + R(w) with a smooth `fun` and any penalty R.

        >>> import jax.numpy as jnp, jaxreg
        >>> def loss(w, data):
        ...     return jnp.sum((w - data) ** 2) / 2
        >>> solution = jaxreg.fista(loss, jaxreg.L1(1.0)).run(jnp.zeros(2), jnp.array([3.0, 0.5]))
        >>> print(solution.params.round(4), solution.state.converged)
        [2. 0.] True

    A convex objective is minimised. Under a concave penalty such as `LogSum` the residual certifies
    a stationary point, and the rate of FISTA is not guaranteed.

    Args:
        fun: `fun(params, data)`, a scalar without the penalty, that JAX can trace and
            differentiate. As under `jax.jit`, what it closes over is read once: pass as `data` what
            changes from call to call. On accelerators too its products of float32 matrices are not
            rounded further, unless `jax.default_matmul_precision` says so.
        penalty: such as `jaxreg.L1(0.1)`, a tree of penalties, or a function from parameters to
            one.
        tol: how exactly a solution meets its optimality conditions: the largest
            `jaxreg.kkt_residual` of a parameter array, divided by the scale of that array, so that
            it does not depend on the units of features and targets. The scale is λ for L1, and for
            any penalty that makes zeros its slope next to 0 (λ/√n for groups of n weights). For an
            array with a smooth penalty or none it is √(2·curvature·objective) at the solution, the
            largest gradient that a loss of this size can have. float32 resolves 1e-5 for strengths
            down to about a hundredth of the critical one.
        max_steps: the most steps.
        step_size: a fixed step size, at most 1/L with L the Lipschitz constant of the gradient;
            None estimates one for each parameter array from its curvature, and halves all of them
            where they are too long.
        restart: whether the momentum begins anew when it points uphill.
        mask: which parameters to penalise, as for `optax.masked`.

    Returns:
        The solver, with `run`, and with `init` and `update` for a loop of one's own.

    Raises:
        TypeError: `fun` is not a hashable function, or a number has the wrong type.
        ValueError: a number is out of range, or a strength is a schedule.

    Source: Beck and Teboulle, A Fast Iterative Shrinkage-Thresholding Algorithm (2009); O'Donoghue
        and Candès, Adaptive Restart for Accelerated Gradient Schemes (2015).
    """
    if not callable(fun):
        raise TypeError(f"fista: fun must be a function of params and data, got {fun!r}")
    try:
        hash(fun)
    except TypeError as error:
        raise TypeError(
            f"fista: fun must be hashable, as one program is compiled for it, got {fun!r} "
            f"({error}); wrap it once in a "
            "function, def loss(params, data): …, and pass what changes as data"
        ) from None
    check_penalty("fista", penalty)
    if is_scheduled(penalty) and not callable(penalty):
        raise ValueError(
            "fista: expected penalties with numbers as strengths, got a schedule; evaluate it by "
            "penalty.at(0)"
        )
    check_number("fista", "tol", tol, positive=True, scalar=True)
    if step_size is not None:
        check_number("fista", "step_size", step_size, positive=True, scalar=True)
    if isinstance(max_steps, bool) or not isinstance(max_steps, int | np.integer) or max_steps < 1:
        raise ValueError(
            f"fista: max_steps must be a whole number of at least 1, got {max_steps!r}"
        )
    return Fista(fun, penalty, tol, int(max_steps), step_size, restart, mask)
