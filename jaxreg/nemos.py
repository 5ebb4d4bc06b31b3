"""FISTA for NeMoS: models that are fitted until they meet their optimality conditions.

    import jaxreg.nemos, nemos

    nemos.solvers.register("ProximalGradient", jaxreg.nemos.Fista, backend="jaxreg")
    model = nemos.glm.GLM(
        regularizer="Lasso", regularizer_strength=0.1, solver_name="ProximalGradient[jaxreg]"
    )
    model.fit(X, y).solver_state_.residual

The number of steps does not depend on the unit of the features.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
from jax.flatten_util import ravel_pytree

from jaxreg._masking import matching
from jaxreg._typing import ArrayLike, PyTree
from jaxreg.penalties import Penalty
from jaxreg.solvers import FistaState, fista

if TYPE_CHECKING:
    from nemos.solvers import OptimizationInfo

__all__ = ("Fista",)


class Fista:
    """Fits a model of NeMoS, with any of its regularizers, by `jaxreg.fista`.

    Objective and λ are those of NeMoS. The regularized parameters form one array; intercepts and
    others are free and have step sizes of their own. `solver_state_` is a `jaxreg.FistaState`.

    Args:
        unregularized_loss: from NeMoS, like the next four.
        regularizer: an instance of `nemos.regularizer.Regularizer`.
        regularizer_strength: what this takes.
        has_aux: whether the loss returns an aux too.
        init_params: a tree of arrays.
        tol: of `jaxreg.fista`, relative to λ; `tol` and `maxiter` are the `solver_kwargs`.
        maxiter: the most steps.

    Raises:
        TypeError: `tol` or `maxiter` is not a number.
        ValueError: they are not positive.
    """

    def __init__(
        self,
        unregularized_loss: Callable,
        regularizer: Any,
        regularizer_strength: Any,
        has_aux: bool,
        init_params: PyTree = None,
        tol: float = 1e-5,
        maxiter: int = 10_000,
    ) -> None:
        self.loss, self.has_aux = unregularized_loss, has_aux
        leaves, self.structure = jax.tree.flatten(init_params)
        places = jax.tree.unflatten(self.structure, range(len(leaves)))
        subtrees = getattr(init_params, "regularizable_subtrees", lambda: [lambda tree: tree])()
        self.regularized = jax.tree.leaves([subtree(places) for subtree in subtrees])
        self.unravel = ravel_pytree([leaves[place] for place in self.regularized])[1]
        start = self.split(init_params)
        given = {"params": init_params, "strength": regularizer_strength}
        penalized = regularizer.penalized_loss(lambda _: 0.0, **given)
        proximal = regularizer.get_proximal_operator(**given)

        def fun(parts: PyTree, data: tuple[Any, ...]) -> jax.Array:
            loss = unregularized_loss(self.join(parts), *data)
            return loss[0] if has_aux else loss

        def value(x: ArrayLike) -> jax.Array:
            return penalized(self.join(start | {"regularized": x}))

        def prox(x: ArrayLike, step: ArrayLike) -> jax.Array:
            after = proximal(self.join(start | {"regularized": x}), None, step)
            return self.split(after)["regularized"]

        penalty, mask = Regularization(value, prox), matching("regularized")
        self.solver = fista(fun, penalty, mask=mask, tol=tol, max_steps=maxiter)

    def split(self, params: PyTree) -> dict[str, Any]:
        """Parts parameters into one array of those that are regularized, and a dict of the rest."""
        leaves = dict(enumerate(jax.tree.leaves(params)))
        regularized = ravel_pytree([leaves.pop(place) for place in self.regularized])[0]
        return {"regularized": regularized, "free": leaves}

    def join(self, parts: dict[str, Any]) -> PyTree:
        """The inverse of `split`."""
        regularized = zip(self.regularized, self.unravel(parts["regularized"]), strict=True)
        leaves = parts["free"] | dict(regularized)
        return jax.tree.unflatten(self.structure, [leaves[place] for place in sorted(leaves)])

    def result(self, parts: PyTree, state: FistaState, args: tuple[Any, ...]) -> Any:
        """Returns what NeMoS expects of a step and of a run: parameters, state and aux."""
        params = self.join(parts)
        return params, state, self.loss(params, *args)[1] if self.has_aux else None

    def init_state(self, init_params: PyTree, *args: Any) -> FistaState:
        """Returns the state before the first step."""
        return self.solver.init(self.split(init_params), args)

    def update(self, params: PyTree, state: FistaState, *args: Any) -> tuple[Any, FistaState, Any]:
        """Takes one step."""
        return self.result(*self.solver.update(self.split(params), state, args), args)

    def run(self, init_params: PyTree, *args: Any) -> tuple[Any, FistaState, Any]:
        """Takes steps until the residual is at most `tol`; warns if it is not after `maxiter`."""
        return self.result(*self.solver.run(self.split(init_params), args), args)

    @classmethod
    def get_accepted_arguments(cls) -> set[str]:
        """Returns the names of the `solver_kwargs`."""
        return {"tol", "maxiter"}

    def get_optim_info(self, state: FistaState) -> "OptimizationInfo":
        """Returns the report of a fit, without the value of the objective."""
        from nemos.solvers import OptimizationInfo

        steps = int(state.steps)
        return OptimizationInfo(None, steps, bool(state.converged), steps >= self.solver.max_steps)


class Regularization(Penalty):
    """A regularizer of NeMoS as a penalty of one array."""

    function: Callable = dataclasses.field(metadata={"static": True})
    operator: Callable = dataclasses.field(metadata={"static": True})

    def value(self, x: ArrayLike) -> jax.Array:
        return self.function(x)

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        return self.operator(x, step)
