"""Checks of the arguments and the results of paths."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from jaxreg._assigning import check_params
from jaxreg._checks import check_number
from jaxreg._masking import check_arrays, is_function
from jaxreg._paths.recipe import DENSE_TO_SPARSE, SPARSE_TO_DENSE, Recipe, row_count
from jaxreg._sweep.keys import on_host
from jaxreg._sweep.programs import without_mesh
from jaxreg._typing import PyTree

RECORDED = {
    "epochs",
    "params",
    "objective",
    "residual",
    "converged",
    "nonzeros",
    "live_inputs",
    "live_units",
    "fitted",
}
RECORDED |= {"loss", "validation_loss"}
"""What a path records, so that no metric of the caller's may have these names."""


def check_path(
    owner: str, recipe: Recipe, params: Any, strengths: Any, data: PyTree, validation: PyTree
) -> np.ndarray:
    """Checks the arguments of a path before anything is computed.

    Returns:
        The strengths, float64 (strengths,).

    Raises:
        TypeError: a function or a number has the wrong type.
        ValueError: the strengths are empty, negative or not ascending, a number is out of range,
            the penalties charge nothing or are not used by the optimizer, the rows do not fit, or
            the loss is not a scalar.
    """
    grid = check_strengths(owner, strengths)
    check_recipe(owner, recipe)
    rows = row_count(owner, data)
    if validation is not None:
        row_count(owner, validation)
    if recipe.patience is not None and validation is None:
        raise ValueError(f"{owner}: patience needs validation rows, got none; pass validation=…")
    if recipe.batch_size is not None and recipe.batch_size > rows:
        raise ValueError(
            f"{owner}: batch_size must be at most the number of training rows, {rows}, got "
            f"{recipe.batch_size}"
        )

    def probe(key: jax.Array, start: PyTree, data: PyTree) -> jax.Array:
        start = params(key) if is_function(params) else start
        check_params(owner, recipe.penalty(float(grid[-1])), start, recipe.mask)
        return recipe.loss(start, data)

    start = None if is_function(params) else params
    check_arrays(owner, start)
    with without_mesh():
        start, data = on_host((start, data))
        loss = jax.eval_shape(probe, jax.random.key(0), start, data)
        # Without a penalty, at strength 0 alone, the optimizer needs none.
        used = not grid.any() or uses_penalties(recipe, params, start)
    if getattr(loss, "shape", None) != ():
        raise ValueError(
            f"{owner}: loss(params, rows) must return a scalar, got {loss}; take the mean over rows"
        )
    if not used:
        raise ValueError(
            f"{owner}: optimizer(penalties) returned an optimizer that does not use the "
            "penalties, so its solutions would "
            "be the same at every strength; return jaxreg.prox_adam(1e-3, penalties), say"
        )
    return grid


def uses_penalties(recipe: Recipe, params: Any, start: PyTree) -> bool:
    """Whether anything in an optimizer's first step depends on the strength of the penalties."""

    def step(strength: jax.Array, start: PyTree) -> PyTree:
        start = params(jax.random.key(0)) if is_function(params) else start
        optimizer = recipe.optimizer(recipe.penalties(strength, start))
        return optimizer.update(jax.tree.map(jnp.zeros_like, start), optimizer.init(start), start)

    jaxpr = jax.make_jaxpr(step)(1.0, start)
    dependent = set(jaxpr.invars[:1])
    for equation in jaxpr.eqns:
        if any(
            atom in dependent
            for atom in equation.invars
            if not isinstance(atom, jax.extend.core.Literal)
        ):
            dependent.update(equation.outvars)
    return any(
        atom in dependent for atom in jaxpr.outvars if not isinstance(atom, jax.extend.core.Literal)
    )


def check_options(owner: str, options: dict[str, Any], known: set[str]) -> None:
    """Raises a TypeError for an argument that a function does not take."""
    for name in options:
        if name not in known:
            raise TypeError(
                f"{owner}: {name} is no argument of it; it takes {', '.join(sorted(known))}"
            )


def check_strengths(owner: str, strengths: Any) -> np.ndarray:
    """Checks a grid of strengths.

    Raises:
        TypeError: they are not numbers.
        ValueError: there is none, or they are not finite, not from 0 on or not strictly ascending.
    """
    check_number(
        owner,
        "strengths",
        np.asarray(strengths) if isinstance(strengths, list | tuple) else strengths,
    )
    grid = np.asarray(strengths, float)
    if grid.ndim != 1 or not grid.size:
        raise ValueError(
            f"{owner}: expected strengths of shape (strengths,) with at least one, got shape "
            f"{grid.shape}; pass "
            "jnp.geomspace(1e-5, 1e-2, 50), say"
        )
    if np.any(np.diff(grid) <= 0):
        raise ValueError(
            f"{owner}: strengths must be strictly ascending, got {strengths!r}; sort them, as "
            "np.unique does"
        )
    return grid


def check_recipe(owner: str, recipe: Recipe) -> None:
    """Checks functions and counts.

    Raises:
        TypeError: one has the wrong type.
        ValueError: a count or a number is out of range, or the order is unknown.
    """
    for name in ("loss", "penalty", "optimizer"):
        if not callable(getattr(recipe, name)):
            hint = (
                "pass jaxreg.L1, say, or lambda strength: …"
                if name == "penalty"
                else "see the example of fit_path"
            )
            raise TypeError(
                f"{owner}: {name} must be a function, got {getattr(recipe, name)!r}; {hint}"
            )
    least = {
        "epochs": 1,
        "first_epochs": 0,
        "batch_size": 1,
        "passes": 1,
        "patience": 1,
        "check_every": 1,
        "refit_epochs": 0,
    }
    for name, smallest in least.items():
        value = getattr(recipe, name)
        if value is None and name not in ("epochs", "passes", "refit_epochs"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{owner}: {name} must be a whole number, got {value!r}")
        if value < smallest:
            raise ValueError(f"{owner}: {name} must be at least {smallest}, got {value}")
    if recipe.tolerance is not None:
        check_number(owner, "tolerance", recipe.tolerance, positive=True, scalar=True)
    if recipe.order not in (DENSE_TO_SPARSE, SPARSE_TO_DENSE):
        raise ValueError(
            f"{owner}: order must be {DENSE_TO_SPARSE!r} or {SPARSE_TO_DENSE!r}, got "
            f"{recipe.order!r}"
        )
    if recipe.stop is not None and recipe.passes > 1:
        raise ValueError(
            f"{owner}: passes must be 1 with stop, as it leaves strengths out, got {recipe.passes}"
        )


def kept_places(owner: str, keep: str | Sequence[int], count: int) -> np.ndarray:
    """Lists the indices of the strengths whose parameters are kept.

    Raises:
        ValueError: `keep` is neither "all", "none" nor indices from −count to count − 1.
    """
    if isinstance(keep, str):
        if keep not in ("all", "none"):
            raise ValueError(
                f'{owner}: keep must be "all", "none" or a list of indices, got {keep!r}'
            )
        return np.arange(count if keep == "all" else 0)
    places = np.asarray(keep)
    if (
        places.ndim != 1
        or places.dtype.kind not in "iu"
        or np.any((places < -count) | (places >= count))
    ):
        raise ValueError(
            f"{owner}: keep must be a list of indices from {-count} to {count - 1}, got {keep!r}"
        )
    return np.unique(places % count)


def check_stop(stopped: Any) -> jax.Array:
    """Checks what the caller's `stop` returns; raises a TypeError if it is not a scalar."""
    if jnp.shape(stopped) != ():
        raise TypeError(
            f"fit_path: stop(params) must return a scalar bool, got shape {jnp.shape(stopped)}; "
            "use jnp.all, say"
        )
    return jnp.asarray(stopped, bool)


def check_metrics(metrics: Any) -> dict[str, Any]:
    """Checks what the caller's metrics return.

    Raises:
        TypeError: it is not a dict.
        ValueError: a value is not a scalar, or a name belongs to a number of the path's own.
    """
    if not isinstance(metrics, dict):
        raise TypeError(
            f"fit_path: metrics(params, rows) must return a dict of scalars, got {metrics!r}"
        )
    for name, value in metrics.items():
        if jnp.shape(value) != ():
            raise ValueError(
                f"fit_path: metrics must be scalars, got shape {jnp.shape(value)} for {name!r}"
            )
        if name in RECORDED or str(name).startswith("refitted_"):
            raise ValueError(
                f"fit_path: the path has a number named {name!r} of its own; give the metric "
                "another name"
            )
    return metrics


def check_results(
    owner: str, record: dict[str, Any], strengths: np.ndarray, order: str, tolerance: float | None
) -> None:
    """Checks what came out of the training.

    Args:
        owner: the function that the user called.
        record: numbers with the strengths along the last axis.
        strengths: λ, ascending.
        order: in which they were visited.
        tolerance: of the KKT residual, if there was one.

    Raises:
        ValueError: the loss at the λ that came first is not finite.

    Warns:
        UserWarning: the loss is not finite at other λ, or the tolerance was not met.
    """
    fitted = record["fitted"]
    lost = ~np.isfinite(record["objective"]) & fitted
    first = -1 if order == SPARSE_TO_DENSE else 0
    if lost[..., first].any():
        raise ValueError(
            f"{owner}: the loss at the strength that comes first, {strengths[first]:.4g}, is not "
            "finite, so no other can "
            "start there; check the data for NaN, or use a smaller learning rate"
        )
    report = warn_at(owner, strengths)
    report(lost, "the loss is not finite")
    if "validation_loss" in record:
        unscored = fitted & ~lost & ~np.isfinite(record["validation_loss"])
        report(unscored, "the loss of the validation rows is not finite; look for NaN among them,")
    report(
        ~record["converged"] & fitted & ~lost,
        f"the budget of epochs ended before the residual was {tolerance}·λ",
    )


def warn_at(owner: str, strengths: np.ndarray) -> Callable[[np.ndarray, str], None]:
    """Makes a function that warns of what happened at some strengths."""

    def report(where: np.ndarray, what: str) -> None:
        places = np.flatnonzero(where.reshape(-1, strengths.size).any(0))
        if places.size:
            some = ", ".join(f"{strengths[place]:.4g}" for place in places[:6])
            more = f" and {places.size - 6} more" if places.size > 6 else ""
            warnings.warn(f"{owner}: {what} at strength {some}{more}", stacklevel=4)

    return report
