"""How a path is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._assigning import assign, check_params, leaf_penalties
from jaxreg._checks import check_number
from jaxreg._masking import check_arrays, is_function
from jaxreg._paths.rows import row_count
from jaxreg._sweep.keys import on_host
from jaxreg._sweep.programs import without_mesh
from jaxreg._typing import Mask, Penalties, PyTree

DENSE_TO_SPARSE, SPARSE_TO_DENSE = "dense_to_sparse", "sparse_to_dense"
LEAST = {
    "epochs": 1,
    "first_epochs": 0,
    "batch_size": 1,
    "passes": 1,
    "patience": 1,
    "refit_epochs": 0,
}
"""The smallest value of each count."""
OPTIONAL = ("first_epochs", "batch_size", "patience")
"""Counts that may be None."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """How the solutions for a grid of strengths are trained, each from its neighbour's.

    A recipe does not hold data or strengths. `jaxreg.fit_path`, `jaxreg.cross_validate_path` and
    `jaxreg.strength_grid` take it as their first argument. `dataclasses.replace(recipe, epochs=5)`
    makes a variant.

        >>> import jax.numpy as jnp, jaxreg
        >>> def loss(w, rows):
        ...     return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2
        >>> recipe = jaxreg.Recipe(
        ...     loss, jnp.zeros(2), jaxreg.L1, lambda penalty: jaxreg.prox_sgd(1.0, penalty),
        ...     epochs=50,
        ... )

    Args:
        loss: `loss(params, rows)`, the mean over rows without the penalty; a function that JAX can
            trace. λ is in its units.
        params: where the first λ begins: a tree of arrays, or a function from a key to one, for
            seeds.
        penalty: from a strength to a penalty, such as `jaxreg.L1`, or to a tree of penalties.
        optimizer: from the penalties at one λ, a tree with None where `mask` leaves out, to an
            optimizer.
        mask: which parameters to penalise, as for `optax.masked`.
        epochs: the most epochs for each λ. An epoch is a step for each batch, or a single step
            without `batch_size`.
        first_epochs: the most epochs for the λ that comes first, in the first pass; None takes
            `epochs`.
        batch_size: rows in a batch; the rows that are left over change from epoch to epoch. None
            takes all rows in one step.
        order: "dense_to_sparse" begins with the smallest λ, "sparse_to_dense" with the largest.
        passes: with 2 or more, all λ are trained again in the opposite direction, and each keeps
            the parameters with the lower objective. A later pass starts each λ at the better of its
            previous parameters and its neighbour's.
        restart: whether the optimizer's state, and with it every schedule, begins anew at each λ.
        tolerance: a λ ends once the KKT residual on all rows is at most tolerance·λ.
        patience: a λ ends once the validation loss has not improved for this many epochs.
            Tolerance and patience are checked after each epoch, or every 10 without `batch_size`.
        metrics: `metrics(params, rows)`, a dict of scalars, evaluated on the validation rows, or on
            the training rows without any.
        stop: `stop(params)`, a scalar bool; the strengths after the first one where it is true are
            left out, and hold NaN, or −1 for counts.
        refit_epochs: how long to train the solution of each λ further with penalty(0) and its zeros
            held.
        refit_optimizer: as `optimizer`, for refitting; None takes `optimizer`.

    Raises:
        TypeError: a function or a number has the wrong type.
        ValueError: a number is out of range, `order` is unknown, `stop` comes with several passes,
            or the penalties charge no parameter.
    """

    loss: Callable[[PyTree, PyTree], jax.Array]
    params: PyTree | Callable[[jax.Array], PyTree]
    penalty: Callable[[Any], Penalties]
    optimizer: Callable[[Penalties], optax.GradientTransformation]
    _: dataclasses.KW_ONLY
    mask: Mask = None
    epochs: int
    first_epochs: int | None = None
    batch_size: int | None = None
    order: str = DENSE_TO_SPARSE
    passes: int = 1
    restart: bool = False
    tolerance: float | None = None
    patience: int | None = None
    metrics: Callable[[PyTree, PyTree], dict[str, Any]] | None = None
    stop: Callable[[PyTree], Any] | None = None
    refit_epochs: int = 0
    refit_optimizer: Callable[[Penalties], optax.GradientTransformation] | None = None

    def __post_init__(self) -> None:
        hints = {"penalty": "pass jaxreg.L1, say, or lambda strength: …"}
        for name in ("loss", "penalty", "optimizer"):
            if not callable(getattr(self, name)):
                hint = hints.get(name, "see the example of Recipe")
                raise TypeError(
                    f"Recipe: {name} must be a function, got {getattr(self, name)!r}; {hint}"
                )
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"Recipe: {name} must be a whole number, got {value!r}")
            if value < least:
                raise ValueError(f"Recipe: {name} must be at least {least}, got {value}")
        if self.tolerance is not None:
            check_number("Recipe", "tolerance", self.tolerance, positive=True, scalar=True)
        if self.order not in (DENSE_TO_SPARSE, SPARSE_TO_DENSE):
            raise ValueError(
                f"Recipe: order must be {DENSE_TO_SPARSE!r} or {SPARSE_TO_DENSE!r}, got "
                f"{self.order!r}"
            )
        if self.stop is not None and self.passes > 1:
            raise ValueError(
                f"Recipe: passes must be 1 with stop, as it leaves strengths out, got {self.passes}"
            )
        check_arrays("Recipe", self.start)

        def check(key: jax.Array) -> None:
            check_params("Recipe", self.penalty(1.0), self.begin(key, self.start), self.mask)

        with without_mesh():
            jax.eval_shape(check, jax.random.key(0))

    @property
    def start(self) -> PyTree:
        """Where the first λ begins; None if it depends on a key."""
        return None if is_function(self.params) else self.params

    def begin(self, key: jax.Array, start: PyTree) -> PyTree:
        """The parameters where the first λ begins: those of the key, or else `start`."""
        return self.params(key) if is_function(self.params) else start

    def budgets(self, count: int) -> np.ndarray:
        """The most epochs for each of `count` strengths in ascending order, int32 (count,)."""
        budgets = np.full(count, self.epochs, np.int32)
        if self.first_epochs is not None:
            budgets[-1 if self.order == SPARSE_TO_DENSE else 0] = self.first_epochs
        return budgets

    def penalties(self, strength: Any, params: PyTree) -> PyTree:
        """The tree of penalties at one λ, with None for parameters that are not penalised."""
        return leaf_penalties("fit_path", self.penalty(strength), params, self.mask)

    def penalised(self, params: PyTree) -> PyTree:
        """A tree of bools: which parameters have a penalty."""
        assigned = assign("fit_path", self.penalty(1.0), params, self.mask)
        return jax.tree.map(lambda leaf: leaf.penalty is not None, assigned)

    def emptied(self, params: PyTree) -> jax.Array:
        """Whether all penalised parameters are 0."""
        pairs = zip(jax.tree.leaves(params), jax.tree.leaves(self.penalised(params)), strict=True)
        return ~jnp.any(jnp.stack([jnp.any(leaf != 0) for leaf, charged in pairs if charged]))

    def check_rows(self, owner: str, data: PyTree, validation: PyTree, penalised: bool) -> None:
        """Checks a recipe against rows before anything is computed.

        Args:
            owner: the function that the user called.
            data: training rows.
            validation: validation rows, or None.
            penalised: whether any λ is above 0; without a penalty the optimizer need not use one.

        Raises:
            ValueError: the rows do not fit, the loss is not a scalar, or the optimizer does not use
                the penalties.
        """
        rows = row_count(owner, data)
        if validation is not None:
            row_count(owner, validation)
        if self.patience is not None and validation is None:
            raise ValueError(
                f"{owner}: patience needs validation rows, got none; pass validation=…"
            )
        if self.batch_size is not None and self.batch_size > rows:
            raise ValueError(
                f"{owner}: batch_size must be at most the number of training rows, {rows}, got "
                f"{self.batch_size}"
            )
        with without_mesh():
            start, data = on_host((self.start, data))
            loss = jax.eval_shape(
                lambda key, start, data: self.loss(self.begin(key, start), data),
                jax.random.key(0),
                start,
                data,
            )
            used = not penalised or self.uses_penalties(start)
        if getattr(loss, "shape", None) != ():
            raise ValueError(
                f"{owner}: loss(params, rows) must return a scalar, got {loss}; take the mean over "
                "rows"
            )
        if not used:
            raise ValueError(
                f"{owner}: optimizer(penalties) returned an optimizer that does not use the "
                "penalties, so its solutions would be the same at every strength; return "
                "jaxreg.prox_adam(1e-3, penalties), say"
            )

    def uses_penalties(self, start: PyTree) -> bool:
        """Whether anything in an optimizer's first step depends on the strength of the
        penalties.
        """

        def step(strength: jax.Array, start: PyTree) -> PyTree:
            params = self.begin(jax.random.key(0), start)
            optimizer = self.optimizer(self.penalties(strength, params))
            gradient = jax.tree.map(jnp.zeros_like, params)
            return optimizer.update(gradient, optimizer.init(params), params)

        jaxpr = jax.make_jaxpr(step)(1.0, start)
        dependent = set(jaxpr.jaxpr.invars[:1])

        def depends(atoms: Any) -> bool:
            variables = (a for a in atoms if not isinstance(a, jax.extend.core.Literal))
            return any(variable in dependent for variable in variables)

        for equation in jaxpr.jaxpr.eqns:
            if depends(equation.invars):
                dependent.update(equation.outvars)
        return depends(jaxpr.jaxpr.outvars)
