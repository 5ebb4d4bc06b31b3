"""Linear models: `fit_linear_path` solves lasso, elastic net, sparse generalized linear models, Cox
models and group lasso for a grid of λ.

    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, validation=(x_held_out, y_held_out))
    print(path)  # objective, duality gap, nonzeros, … at each λ
    model = path.at(path.select())
    model.weights, model.intercept, model.predict(x_new)

    scores = jaxreg.cross_validate_linear_path(x, counts, jaxreg.L1, loss="poisson", folds=10)
    model = jaxreg.fit_linear_path(
        x, counts, jaxreg.L1, scores.strengths, loss="poisson"
    ).at(scores.select())

A duality gap in the record certifies each solution; under a concave penalty the KKT residual
certifies a stationary point. The losses are in `jaxreg.losses`. For others see `jaxreg.fista`, for
networks `jaxreg.fit_path`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import full_precision
from jaxreg._checks import check_number
from jaxreg._linear.inputs import (
    Charges,
    Data,
    as_numbers,
    check_data,
    check_penalty,
    choose_strengths,
    csc_of,
    outputs_of,
    stack_penalties,
)
from jaxreg._linear.path import Grid, Settings
from jaxreg._linear.programs import Measured, Solved, prepare, solve_all
from jaxreg._linear.sparse import Host
from jaxreg._paths.results import CrossValidation, RegularizationPath, warn_at
from jaxreg._paths.rows import split_rows
from jaxreg._typing import ArrayLike
from jaxreg.losses import LOSSES, Loss, Squares, loss_named
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


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("weights", "intercept"),
    meta_fields=("loss", "outputs"),
)
@dataclasses.dataclass(frozen=True)
class LinearModel:
    """The solution at one λ, or with the strengths along the first axis those of a path. It unpacks
    into weights and intercept.

    Attributes:
        weights: w (features,), (groups, size), or (features, outputs) for a loss with several
            outputs, in the units of the data.
        intercept: a scalar, or (outputs,); 0 for a model without one.
        loss: the loss.
        outputs: how many there are; 0 for predictions (rows,).
    """

    weights: Any
    intercept: Any
    loss: Loss = LOSSES["squares"]
    outputs: int = 0

    def __iter__(self) -> Iterator[Any]:
        return iter((self.weights, self.intercept))

    @full_precision()
    def predict(self, x: ArrayLike, offset: ArrayLike | None = None) -> jax.Array:
        """Computes x·w + intercept (rows,) or (rows, outputs): log-odds under logistic loss, the
        logarithm of the rate under Poisson's.

        Args:
            x: (rows, features), which may be sparse, or (rows, groups, size) as it was fitted.
            offset: what to add, in the shape of the result.

        Raises:
            ValueError: x has another shape, or these are the models of a whole path.
        """
        sparse = hasattr(x, "todense")
        x = csc_of("LinearModel", x) if sparse else jnp.asarray(as_numbers("LinearModel", "x", x))
        shape = jnp.shape(self.weights)
        if jnp.ndim(self.intercept) != (self.outputs > 0):
            raise ValueError(
                f"LinearModel: expected one model, got {shape[0]} of a path; take one with "
                "path.at(i)"
            )
        row = shape[:1] if self.outputs else shape
        if x.shape[1:] != row:
            raise ValueError(
                f"LinearModel: expected x of shape (rows, {', '.join(map(str, row))}), got "
                f"{x.shape}"
            )
        along = x @ np.asarray(self.weights) if sparse else jnp.tensordot(x, self.weights, len(row))
        z = along + self.intercept
        return z if offset is None else z + jnp.asarray(offset, z.dtype)

    def mean(self, x: ArrayLike, offset: ArrayLike | None = None) -> jax.Array:
        """Computes the expected targets, such as probabilities or rates, from `predict`."""
        return self.loss.mean(self.predict(x, offset))


def fit_linear_path(
    x: ArrayLike,
    y: ArrayLike,
    penalty: Callable[[Any], Penalty],
    strengths: Any = None,
    *,
    loss: str | Loss = "squares",
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    refit: bool = False,
    validation: Sequence[ArrayLike] | None = None,
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
    one for each of their sizes. Sparse designs are solved on the host, by proximal gradient steps
    and Newton steps by conjugate gradients.

    Steps are small and each waits for the last, so that up to some thousand rows and features a
    CPU is faster than a GPU: `with jax.default_device(jax.devices("cpu")[0]):` around the call.

    Args:
        x: (rows, features), dense or a sparse matrix of SciPy's or JAX's BCOO; or (rows, groups,
            size) for a penalty on groups. For groups of different sizes fill up with columns of
            zeros, whose weights are 0. float64, which integers become too, needs
            `jax.config.update("jax_enable_x64", True)`.
        y: targets (rows,), or what the loss takes: see `jaxreg.losses`.
        penalty: from λ to a penalty: `jaxreg.L1`, `lambda s: jaxreg.ElasticNet(0.5 * s, 0.25 * s)`,
            or `lambda s: jaxreg.GroupL2(s, axis=1)`, whose groups are the rows of w (groups, size)
            or (features, outputs). For strengths of their own `lambda s:
            jaxreg.Weighted(jaxreg.L1(s), factors)`: a factor f for each feature or group, which has
            the strength f·λ there; for several outputs of shape (features, 1). Those with a factor
            of 0 have no penalty, as the intercept. `lambda s: jaxreg.Limited(jaxreg.L1(s), low=0)`
            keeps weights at or above 0. Under a concave penalty, such as `jaxreg.MCP`, each
            solution is the stationary point that is found from the one at the next larger λ; it
            need not be the minimum. Other penalties must be differentiable wherever a feature (or
            the norm of a group) is not 0. With `conjugate` and `dual_scale` (see `Penalty`) there
            is a gap.
        strengths: λ (strengths,), positive and strictly ascending. None takes `count` of them,
            evenly spaced on a logarithmic scale up to the smallest λ at which w is 0.
        loss: the name of one in `jaxreg.losses`, "squares", "logistic", "poisson", "huber",
            "multinomial" or "cox", or an object of one of its classes. The loss is a mean over
            rows: (1/2n) Σ (prediction − y)² for squares of n rows.
        intercept: whether there is one. It is not penalised. A Cox model has none.
        standardize: whether the penalty sees the weights of columns divided by their standard
            deviations, with divisor n, as in glmnet. The weights that are returned, and limits, are
            in the units of the data.
        sample_weight: how much each row counts, at least 0 (rows,): the loss is the weighted mean,
            and a row with the weight 0 is left out. None counts all alike.
        offset: what is added to the predictions (rows,), or (rows, outputs): for counts per
            exposure, the logarithm of the exposure.
        refit: whether to fit each support once more without a penalty, by Newton's method, which
            undoes the shrinkage: the relaxed lasso. The limits of `Limited` do not hold then.
        validation: x, y and, with an offset, the offset of rows that are not fitted, for
            `validation_loss`.
        tolerance: a λ ends once its KKT residual is at most tolerance·λ; None takes the square root
            of the dtype's precision ε, or 16 ε times the largest derivative at w = 0 where that is
            more, as rounding may reach it.
        count: number of strengths, if there are none.
        ratio: of the smallest to the largest of these, in (0, 1).

    Returns:
        The path: `params` a `LinearModel` with the strengths along the first axis, and a `record`
        of `objective`, `loss`, `gap` (see `jaxreg.duality_gap`; not for concave penalties and for
        losses without a conjugate), `residual` (of the KKT conditions, those of a feature divided
        by its factor), `converged`, `nonzeros`, `steps` and, with validation rows,
        `validation_loss`. With `refit`, `path.refitted` and `path.at(i, refitted=True)` have the
        refitted models, and the record `refitted_loss` and `refitted_validation_loss`.

    Raises:
        TypeError: `penalty` is no function to a penalty, or the data are not real numbers.
        ValueError: shapes do not fit, numbers are NaN, infinite or out of range, a penalty has a
            negative strength, or targets are none of the loss.

    Warns:
        UserWarning: at some λ the tolerance was not met.

    Source: coordinate descent for these models from Friedman, Hastie and Tibshirani, Regularization
        paths for generalized linear models via coordinate descent (2010); working sets from
        Massias, Gramfort and Salmon, Celer: a fast solver for the lasso with dual extrapolation
        (2018); Newton steps on the support from Bareilles, Iutzeler and Malick, Newton acceleration
        on manifolds identified by proximal gradient methods (2023).
    """
    owner = "fit_linear_path"
    task = Task.of(owner, x, y, penalty, loss, intercept, standardize, sample_weight, offset, refit)
    tested = None
    if validation is not None:
        parts = list(validation) if isinstance(validation, tuple | list) else []
        if len(parts) != 2 + (offset is not None):
            wanted = "a pair (x, y)" if offset is None else "three arrays (x, y, offset)"
            raise TypeError(
                f"{owner}: validation must be {wanted}, got {len(parts)} of them"
                if parts
                else f"{owner}: validation must be {wanted}, got {type(validation).__name__}"
            )
        if np.shape(parts[0])[1:] != np.shape(x)[1:]:
            raise ValueError(
                f"{owner}: expected validation rows of shape {np.shape(x)[1:]}, got "
                f"{np.shape(parts[0])[1:]}"
            )
        rows = parts[0]
        if hasattr(rows, "todense") and not task.data.sparse:
            rows = csc_of(owner, rows).toarray()
        elif task.data.sparse:
            sparse = hasattr(rows, "todense")
            rows = csc_of(owner, rows if sparse else as_numbers(owner, "x", rows))
        held = check_data(
            owner, rows, parts[1], task.loss, offset=dict(enumerate(parts)).get(2),
            outputs=task.outputs or None,
        )  # fmt: skip
        tested = jax.tree.map(lambda leaf: leaf.astype(task.data.columns.dtype), held)
        tested = tested.charged(task.charges)
    grid, (solved,) = task.solve([(task.data, tested)], strengths, tolerance, count, ratio, refit)
    refitted = None if solved.refitted is None else task.model(solved.refitted)
    return RegularizationPath(
        grid, task.model(solved.found), refitted, solved.found.record, np.arange(len(grid)), None
    )


def cross_validate_linear_path(
    x: ArrayLike,
    y: ArrayLike,
    penalty: Callable[[Any], Penalty],
    strengths: Any = None,
    *,
    folds: int | Iterable[Any] = 10,
    split_seed: int = 0,
    loss: str | Loss = "squares",
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    refit: bool = False,
    tolerance: float | None = None,
    count: int = 100,
    ratio: float = 1e-3,
) -> CrossValidation:
    """Scores each λ of a linear path on held-out folds, in threads that share compiled programs.

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
        loss: as for `fit_linear_path`. The loss of held-out rows of a Cox model has their own risk
            sets.
        intercept: as for `fit_linear_path`.
        standardize: as for `fit_linear_path`, by the rows that are fitted.
        sample_weight: as for `fit_linear_path`; the losses of held-out rows are weighted too.
        offset: as for `fit_linear_path`.
        refit: as for `fit_linear_path`; `scores.select(by="refitted_validation_loss")` then picks
            the λ of a relaxed path.
        tolerance: as for `fit_linear_path`.
        count: as for `fit_linear_path`.
        ratio: as for `fit_linear_path`.

    Returns:
        The scores; `record` has the names of `fit_linear_path`'s.

    Raises:
        TypeError: as for `fit_linear_path`.
        ValueError: as for `fit_linear_path`; or there are fewer than 2 folds, or more than rows, or
            without a fold the targets lack something that the loss needs, such as a class; or folds
            or weights do not fit the rows.

    Warns:
        UserWarning: as for `fit_linear_path`.
    """
    owner = "cross_validate_linear_path"
    task = Task.of(owner, x, y, penalty, loss, intercept, standardize, sample_weight, offset, refit)
    data = task.data
    parts = split_rows(owner, len(data.y), folds, split_seed)
    jobs: list[tuple[Data, Data | None]] = []
    lengths = [{len(rows) for rows in side} for side in zip(*parts, strict=True)]
    alike = all(len(side) == 1 for side in lengths)
    weights = np.ones(len(data.y)) if data.weights is None else np.asarray(data.weights)
    targets = np.asarray(data.y)
    for number, pair in enumerate(parts):
        trained, held_out = (
            data.part(rows, None if alike else max(side))
            for rows, side in zip(pair, lengths, strict=True)
        )
        if not all(weights[rows].any() for rows in pair):
            raise ValueError(
                f"{owner}: expected rows with a weight above 0 on both sides of fold {number}, "
                "got none"
            )
        lacking = task.lacking(targets[pair[0]][weights[pair[0]] > 0])
        if lacking:
            raise ValueError(
                f"{owner}: without fold {number}, {lacking}; pass fewer folds, another split_seed "
                "or folds in which all classes are divided alike"
            )
        jobs.append((trained, held_out))
    grid, solutions = task.solve(jobs, strengths, tolerance, count, ratio, refit)
    records = [solution.found.record for solution in solutions]
    stacked = {name: np.stack([record[name] for record in records]) for name in records[0]}
    return CrossValidation(grid, {name: numbers[:, None] for name, numbers in stacked.items()})


@dataclasses.dataclass(frozen=True)
class Task:
    """A model that is to be fitted.

    Attributes:
        owner: the function that the user called.
        data: all rows.
        penalty: from λ to a penalty.
        charges: what it asks of the programs.
        loss: the loss.
        intercept: whether there is one.
        standardize: whether columns are divided by their standard deviations.
        outputs: how many there are; 0 for predictions (rows,).
    """

    owner: str
    data: Data
    penalty: Callable[[Any], Penalty]
    charges: Charges
    loss: Loss
    intercept: bool
    standardize: bool
    outputs: int

    @classmethod
    def of(
        cls, owner: str, x: Any, y: Any, penalty: Callable[[Any], Penalty], loss: str | Loss,
        intercept: bool, standardize: bool, weights: Any, offset: Any, refit: bool,
    ) -> "Task":  # fmt: skip
        """Checks the arguments."""
        known = loss_named(owner, loss)
        for name, flag in (
            ("intercept", intercept),
            ("standardize", standardize),
            ("refit", refit),
        ):
            if not isinstance(flag, bool | np.bool_):
                raise TypeError(f"{owner}: {name} must be True or False, got {flag!r}")
        data = check_data(owner, x, y, known, weights=weights, offset=offset)
        outputs = outputs_of(known, data.y)
        charges = check_penalty(owner, penalty, np.shape(x)[1:], outputs)
        intercept = bool(intercept) and known.shifted
        task = cls(
            owner, data.charged(charges), penalty, charges, known, intercept, bool(standardize),
            outputs,
        )  # fmt: skip
        counted = (
            np.asarray(data.y) if data.weights is None else data.y[np.asarray(data.weights) > 0]
        )
        lacking = task.lacking(np.asarray(counted))
        if lacking:
            raise ValueError(f"{owner}: {lacking}")
        return task

    def lacking(self, targets: np.ndarray) -> str | None:
        """What targets lack for a minimum to exist; None if nothing."""
        needed = self.intercept or not self.loss.shifted
        return self.loss.lacking(targets) if needed else None

    def solve(
        self, jobs: list[tuple[Data, Data | None]], strengths: Any, tolerance: float | None,
        count: int, ratio: float, refit: bool,
    ) -> tuple[np.ndarray, list[Solved]]:  # fmt: skip
        """Solves a path for each job, with the grid of all data.

        Returns:
            The strengths, ascending, and for each job the solutions in this order, as NumPy arrays.
        """
        owner, data, size = self.owner, self.data, self.charges.size
        blocks = data.columns.shape[0] * max(self.outputs, 1) // size
        rows = len(data.y) if jobs[0][0].rows is None else len(jobs[0][0].rows)
        whole = blocks * size <= (max(WHOLE, rows) if isinstance(self.loss, Squares) else FIRST)
        settings = Settings(
            self.loss, self.intercept, self.standardize, size, self.outputs, self.charges.jagged,
            self.charges.certified and has_conjugate(self.loss, data.y.shape[1:]),
            blocks if whole else max(FIRST // size, 1),
        )  # fmt: skip
        begin: Any = Host if data.sparse else prepare
        prepared = functools.cache(lambda: begin(settings, data))
        grid = choose_strengths(
            owner, data, lambda: prepared().gradient, self.penalty, strengths, count, ratio
        )
        dtype, rounding = data.columns.dtype, 0.0
        if tolerance is None:
            eps = float(jnp.finfo(dtype).eps)
            tolerance = eps**0.5
            rounding = ROUNDING * eps * float(jnp.max(jnp.abs(prepared().gradient)))
        check_number(owner, "tolerance", tolerance, positive=True, scalar=True)
        tols = np.maximum(tolerance * grid, rounding)
        penalties = stack_penalties(owner, self.penalty, grid[::-1].copy(), dtype)
        course = Grid.of(penalties, tols[::-1].astype(dtype), grid[::-1])
        begun = prepared() if jobs[0][0] is data else None
        solved: Iterable[Solved]
        if data.sparse:
            solved = (
                (begun or Host(settings, rows)).path(course, tested, refit) for rows, tested in jobs
            )
        else:
            solved = solve_all(settings, jobs, course, begun, refit)
        solutions = [
            jax.tree.map(lambda leaf: np.asarray(leaf)[::-1], solution) for solution in solved
        ]
        for solution in solutions:
            record = solution.found.record
            if solution.refitted is not None:
                names = ("loss", "validation_loss") if "validation_loss" in record else ("loss",)
                record |= {f"refitted_{name}": solution.refitted.record[name] for name in names}
            record["converged"] = (record["residual"] <= tols) & np.isfinite(record["objective"])
            record["fitted"] = np.ones_like(record["converged"])
        report = warn_at(owner, grid)
        lost = np.array(
            [~np.isfinite(solution.found.record["objective"]) for solution in solutions]
        )
        report(lost, "the loss is not finite")
        missed = np.array([~solution.found.record["converged"] for solution in solutions]) & ~lost
        hint = " if the gap is small enough," if dtype == jnp.float64 else ", or use float64,"
        report(
            missed, f"the KKT residual is above {tolerance:.2g}·λ; pass a larger tolerance{hint}"
        )
        unsettled = [
            solution.left > tolerance for solution in solutions if solution.left is not None
        ]
        report(
            np.array(unsettled).reshape(-1, len(grid)),
            "the refit did not come to a minimum, as there may be none; look at smaller supports",
        )
        return grid, solutions

    def model(self, solution: Measured) -> LinearModel:
        """The solutions with the weights of all features, in the shape of the penalty."""
        shape, count = self.charges.shape, len(solution.w)
        each = (self.outputs,) if self.outputs else ()
        kept = np.repeat(self.charges.kept, 1 if each or len(shape) == 1 else shape[1])
        weights = solution.w.reshape(count, -1, *each)
        if not kept.all():
            charged, weights = weights, np.zeros((count, len(kept), *each), weights.dtype)
            weights[:, kept], weights[:, ~kept] = charged, solution.free
        weights, intercepts = jax.device_put((weights.reshape(count, *shape), solution.intercepts))
        return LinearModel(weights, intercepts, self.loss, self.outputs)


@functools.lru_cache(64)
def has_conjugate(loss: Loss, targets: tuple[int, ...]) -> bool:
    """Whether a loss has one, for encoded targets (rows, …) of this shape behind the rows."""
    z = np.zeros((2, *targets) if loss.shifted else 2, np.float32)
    share, y = np.full(2, 0.5, np.float32), np.ones((2, *targets), np.float32)
    try:
        jax.eval_shape(
            lambda z, y, share: loss.dual(z, share[0], loss.arrange(y, share), share), z, y, share
        )
    except NotImplementedError:
        return False
    return True
