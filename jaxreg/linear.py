"""Linear models: `fit_linear_path` solves lasso, elastic net, sparse logistic regression and group
lasso for a grid of λ.

    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, validation=(x_held_out, y_held_out))
    print(path)  # objective, duality gap, nonzeros, … at each λ
    model = path.at(path.select())
    model.weights, model.intercept, model.predict(x_new)

    scores = jaxreg.cross_validate_linear_path(x, y, jaxreg.L1, folds=10)
    model = jaxreg.fit_linear_path(x, y, jaxreg.L1, scores.strengths).at(scores.select())

A duality gap in the record certifies each solution. For other losses see `jaxreg.fista`, for
networks `jaxreg.fit_path`.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import full_precision
from jaxreg._checks import check_number
from jaxreg._linear.inputs import (
    Data,
    as_numbers,
    check_data,
    check_penalty,
    choose_strengths,
    stack_penalties,
)
from jaxreg._linear.path import Settings
from jaxreg._linear.programs import Measured, prepare, solve_all
from jaxreg._losses import loss_named
from jaxreg._paths.results import CrossValidation, RegularizationPath, warn_at
from jaxreg._paths.rows import split_rows
from jaxreg._typing import ArrayLike
from jaxreg.penalties import Penalty

__all__ = ("LinearModel", "cross_validate_linear_path", "fit_linear_path")

WHOLE = 512
"""Up to this many weights, or rows, a working set has all weights under squares, whose Hessian is
computed once.
"""
FIRST = 256
"""Weights of the first working set otherwise; it doubles whenever it is full."""
ROUNDING = 16
"""The rounding of a KKT residual, in units of the precision times the largest derivative at w =
0.
"""


class LinearModel(NamedTuple):
    """The solution at one λ.

    Attributes:
        weights: w (features,), or (groups, size).
        intercept: a scalar; 0 for a model without one.
    """

    weights: Any
    intercept: Any

    @full_precision()
    def predict(self, x: ArrayLike) -> jax.Array:
        """Computes x·w + intercept (rows,), which are log-odds under logistic loss.

        Args:
            x: (rows, features), or (rows, groups, size) as it was fitted.

        Raises:
            ValueError: x has another shape, or these are the models of a whole path.
        """
        x, shape = jnp.asarray(as_numbers("LinearModel", "x", x)), jnp.shape(self.weights)
        if jnp.ndim(self.intercept):
            raise ValueError(
                f"LinearModel: expected one model, got {shape[0]} of a path; take one with "
                "path.at(i)"
            )
        if x.shape[1:] != shape:
            raise ValueError(
                f"LinearModel: expected x of shape (rows, {', '.join(map(str, shape))}), got "
                f"{x.shape}"
            )
        return jnp.tensordot(x, self.weights, len(shape)) + self.intercept


def fit_linear_path(
    x: ArrayLike,
    y: ArrayLike,
    penalty: Callable[[Any], Penalty],
    strengths: Any = None,
    *,
    loss: str = "squares",
    intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    tolerance: float | None = None,
    count: int = 100,
    ratio: float = 1e-3,
) -> RegularizationPath:
    """Minimises loss(x·w + intercept) + R(w) for a grid of λ, each to a certified tolerance.

        >>> import numpy as np, jaxreg
        >>> x, y = np.eye(2), np.array([2.0, 1.0])
        >>> path = jaxreg.fit_linear_path(x, y, jaxreg.L1, np.array([0.25, 0.75]), intercept=False)
        >>> print(np.asarray(path.params.weights).round(3))
        [[1.5 0.5]
         [0.5 0. ]]
        >>> print(np.asarray(path.at(1).predict(x)).round(3))
        [0.5 0. ]

    It begins at the largest λ. At each λ it minimises the quadratic model of the loss on a working
    set of features, by coordinate descent with Newton steps on the support, until no feature
    violates the optimality conditions. One compiled program solves all λ; where working sets grow,
    one for each of their sizes. Its steps are small and each waits for the last, so that up to some
    thousand rows and features a CPU is faster than a GPU: `with
    jax.default_device(jax.devices("cpu")[0]):` around the call.

    Args:
        x: (rows, features), or (rows, groups, size) for a penalty on groups. For groups of
            different sizes fill up with columns of zeros, whose weights are 0. float64, which
            integers become too, needs `jax.config.update("jax_enable_x64", True)`.
        y: targets (rows,); 0 or 1 under logistic loss.
        penalty: from λ to a penalty: `jaxreg.L1`, `lambda s: jaxreg.ElasticNet(0.5 * s, 0.25 * s)`,
            or `lambda s: jaxreg.GroupL2(s, axis=1)`, whose groups are the rows of w (groups, size).
            For strengths of their own `lambda s: jaxreg.Weighted(jaxreg.L1(s), factors)`: a factor
            f for each feature or group, which has the strength f·λ there. Those with a factor of 0
            have no penalty, as the intercept. Other penalties must be convex, differentiable
            wherever a feature (or the norm of a group) is not 0, and define `value`, `prox`,
            `conjugate` and `dual_scale` (see `Penalty`).
        strengths: λ (strengths,), positive and strictly ascending. None takes `count` of them,
            evenly spaced on a logarithmic scale up to the smallest λ at which w is 0.
        loss: "squares" for (1/2n) Σ (prediction − y)² with n rows, or "logistic" for the mean over
            rows of log(1 + exp(prediction)) − y·prediction.
        intercept: whether there is one. It is not penalised.
        sample_weight: how much each row counts, at least 0 (rows,): the loss is the weighted mean,
            and a row with the weight 0 is left out. None counts all alike.
        validation: x and y of rows that are not fitted, for `validation_loss`.
        tolerance: a λ ends once its KKT residual is at most tolerance·λ; None takes the square root
            of the dtype's precision ε, or 16 ε times the largest derivative at w = 0 where that is
            more, as rounding may reach it.
        count: number of strengths, if there are none.
        ratio: of the smallest to the largest of these, in (0, 1).

    Returns:
        The path: `params` a `LinearModel` with the strengths along the first axis, and a `record`
        of `objective`, `loss`, `gap` (see `jaxreg.duality_gap`), `residual` (of the KKT conditions,
        those of a feature divided by its factor), `converged`, `nonzeros`, `steps` and, with
        validation rows, `validation_loss`.

    Raises:
        NotImplementedError: the penalty does not define `conjugate` and `dual_scale`.
        TypeError: `penalty` is no function to a penalty, or the data are not real numbers.
        ValueError: shapes do not fit, numbers are NaN, infinite or out of range, a penalty has a
            negative strength, or logistic targets are not 0 and 1.

    Warns:
        UserWarning: at some λ the tolerance was not met.

    Source: coordinate descent for these models from Friedman, Hastie and Tibshirani, Regularization
        paths for generalized linear models via coordinate descent (2010); working sets from
        Massias, Gramfort and Salmon, Celer: a fast solver for the lasso with dual extrapolation
        (2018); Newton steps on the support from Bareilles, Iutzeler and Malick, Newton acceleration
        on manifolds identified by proximal gradient methods (2023).
    """
    owner = "fit_linear_path"
    loss_named(owner, loss)
    shape = np.shape(x)[1:]
    groups, factors = check_penalty(owner, penalty, shape)
    data = check_data(owner, x, y, sample_weight, loss, intercept, groups).split(factors)
    tested = None
    if validation is not None:
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise TypeError(
                f"{owner}: validation must be a pair (x, y), got {type(validation).__name__}"
            )
        if np.shape(validation[0])[1:] != shape:
            raise ValueError(
                f"{owner}: expected validation rows of shape {shape}, got "
                f"{np.shape(validation[0])[1:]}"
            )
        tested = check_data(owner, *validation, None, loss, False, groups)
        tested = jax.tree.map(lambda leaf: leaf.astype(data.x.dtype), tested).split(factors)
    grid, (solution,) = solve(
        owner, data, [(data, tested)], penalty, strengths, loss, intercept, tolerance, count, ratio
    )
    size = data.x.shape[2]
    weights = np.zeros((len(grid), shape[0], size), data.x.dtype)
    weights[:, factors > 0] = solution.w
    weights[:, factors == 0] = solution.free.reshape(len(grid), -1, size)
    model = LinearModel(
        jnp.asarray(weights).reshape(len(grid), *shape), jnp.asarray(solution.intercepts)
    )
    return RegularizationPath(grid, model, None, solution.record, np.arange(len(grid)), None)


def cross_validate_linear_path(
    x: ArrayLike,
    y: ArrayLike,
    penalty: Callable[[Any], Penalty],
    strengths: Any = None,
    *,
    folds: int | Iterable[Any] = 10,
    split_seed: int = 0,
    loss: str = "squares",
    intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    tolerance: float | None = None,
    count: int = 100,
    ratio: float = 1e-3,
) -> CrossValidation:
    """Scores each λ of a linear path on held-out folds, all in one compiled program.

        >>> import jax, jaxreg
        >>> x = jax.random.normal(jax.random.key(0), (60, 20))
        >>> y = x[:, 0] - x[:, 1] + jax.random.normal(jax.random.key(1), (60,))
        >>> scores = jaxreg.cross_validate_linear_path(x, y, jaxreg.L1, folds=5)
        >>> path = jaxreg.fit_linear_path(x, y, jaxreg.L1, scores.strengths)
        >>> print((path.at(scores.select("one_se")).weights != 0)[:2])
        [ True  True]

    Args:
        x: as for `fit_linear_path`.
        y: as for `fit_linear_path`.
        penalty: as for `fit_linear_path`.
        strengths: as for `fit_linear_path`; without any they are those of all rows.
        folds: how many parts the rows are divided into at random, at least 2, of sizes that differ
            by at most 1; or a label for each row (rows,), such as subjects or years, which are held
            out one after another; or pairs of indices of the rows to fit and of those to hold out,
            such as scikit-learn's splitters yield. The mean over folds counts all folds alike.
        split_seed: of the random division.
        loss: as for `fit_linear_path`.
        intercept: as for `fit_linear_path`.
        sample_weight: as for `fit_linear_path`; the losses of held-out rows are weighted too.
        tolerance: as for `fit_linear_path`.
        count: as for `fit_linear_path`.
        ratio: as for `fit_linear_path`.

    Returns:
        The scores; `record` has the names of `fit_linear_path`'s.

    Raises:
        TypeError: as for `fit_linear_path`.
        ValueError: as for `fit_linear_path`; or there are fewer than 2 folds, or more than rows, or
            with an intercept one class alone is left without a fold; or folds or weights do not fit
            the rows.

    Warns:
        UserWarning: as for `fit_linear_path`.
    """
    owner = "cross_validate_linear_path"
    loss_named(owner, loss)
    shape = np.shape(x)[1:]
    groups, factors = check_penalty(owner, penalty, shape)
    data = check_data(owner, x, y, sample_weight, loss, intercept, groups).split(factors)
    parts = split_rows(owner, len(data.y), folds, split_seed)
    jobs: list[tuple[Data, Data | None]] = []
    lengths = [{len(rows) for rows in side} for side in zip(*parts, strict=True)]
    alike = all(len(side) == 1 for side in lengths)
    weights = np.ones(len(data.y)) if data.weights is None else np.asarray(data.weights)
    for pair in parts:
        trained, held_out = (
            data.part(rows, None if alike else max(side))
            for rows, side in zip(pair, lengths, strict=True)
        )
        if not all(weights[rows].any() for rows in pair):
            raise ValueError(
                f"{owner}: expected rows with a weight above 0 on both sides of fold {len(jobs)}, "
                "got none"
            )
        if (
            loss == "logistic"
            and intercept
            and np.ptp(np.asarray(data.y)[pair[0]][weights[pair[0]] > 0]) == 0
        ):
            raise ValueError(
                f"{owner}: without fold {len(jobs)} all targets are the same; pass fewer folds, "
                "another split_seed or folds in which both classes are divided alike"
            )
        jobs.append((trained, held_out))
    grid, solutions = solve(
        owner, data, jobs, penalty, strengths, loss, intercept, tolerance, count, ratio
    )
    records = [solution.record for solution in solutions]
    stacked = {name: np.stack([record[name] for record in records]) for name in records[0]}
    return CrossValidation(grid, {name: numbers[:, None] for name, numbers in stacked.items()})


def solve(
    owner: str, data: Data, jobs: list[tuple[Data, Data | None]], penalty: Callable[[Any],
    Penalty], strengths: Any,
    loss: str, intercept: bool, tolerance: float | None, count: int, ratio: float,
) -> tuple[np.ndarray, list[Measured]]:  # fmt: skip
    """Solves a path for each job, with the grid of all data.

    Returns:
        The strengths, ascending, and for each job the solutions in this order, as NumPy arrays.
    """
    if not isinstance(intercept, bool | np.bool_):
        raise TypeError(f"{owner}: intercept must be True or False, got {intercept!r}")
    blocks, size = data.x.shape[1:]
    rows = len(data.y) if jobs[0][0].rows is None else len(jobs[0][0].rows)
    whole = blocks * size <= (max(WHOLE, rows) if loss == "squares" else FIRST)
    settings = Settings(loss, bool(intercept), blocks if whole else max(FIRST // size, 1))
    prepared = functools.cache(lambda: prepare(settings, data))
    grid = choose_strengths(
        owner, data, lambda: prepared().gradient, penalty, strengths, count, ratio
    )
    dtype, rounding = data.x.dtype, 0.0
    if tolerance is None:
        eps = float(jnp.finfo(dtype).eps)
        tolerance = eps**0.5
        rounding = ROUNDING * eps * float(jnp.max(jnp.abs(prepared().gradient)))
    check_number(owner, "tolerance", tolerance, positive=True, scalar=True)
    tols = np.maximum(tolerance * grid, rounding)
    penalties = stack_penalties(owner, penalty, grid[::-1].copy(), dtype)
    begun = prepared() if jobs[0][0] is data else None
    solutions = [
        jax.tree.map(lambda leaf: np.asarray(leaf)[::-1], solution)
        for solution in solve_all(
            settings, jobs, penalties, jnp.asarray(tols[::-1].copy(), dtype), begun
        )
    ]
    for solution in solutions:
        record = solution.record
        record["converged"] = (record["residual"] <= tols) & np.isfinite(record["objective"])
        record["fitted"] = np.ones_like(record["converged"])
    report = warn_at(owner, grid)
    lost = np.array([~np.isfinite(solution.record["objective"]) for solution in solutions])
    report(lost, "the loss is not finite")
    missed = np.array([~solution.record["converged"] for solution in solutions]) & ~lost
    hint = " if the gap is small enough," if dtype == jnp.float64 else ", or use float64,"
    report(missed, f"the KKT residual is above {tolerance:.2g}·λ; pass a larger tolerance{hint}")
    return grid, solutions
