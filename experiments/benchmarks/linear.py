"""Whole paths of linear models against the packages that are made for them, at the same distance
from the minimum.

Every solver runs with tighter and tighter tolerances until its objective is near enough to the
minimum at every λ, whatever it measures itself. A lower bound on the minimum is the objective of an
accurate solution of jaxreg minus its duality gap. Finished problems are saved, so that an
interrupted benchmark resumes.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import itertools
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, xr
from experiments.settings import at_least, positive, require
from experiments.tables import Table
from experiments.training import described

Model: TypeAlias = Literal["lasso", "elastic net", "sparse logistic", "group lasso"]
Design: TypeAlias = tuple[int, int, float]
"""Rows, features and the correlation of neighbouring columns."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Whole paths of linear models, compared with scikit-learn, celer, skglm and jaxopt at the same
    accuracy.
    """

    models: tuple[Model, ...] = ("lasso", "elastic net", "sparse logistic", "group lasso")
    """Which models."""
    large: int = 2000
    """Rows of problems with many rows, and features of those with few."""
    small: int = 200
    """Features of problems with many rows, and rows of those with few; a multiple of 5, the size of
    groups.
    """
    correlation: float = 0.9
    """Correlation of neighbouring columns in the correlated designs; with 0 there are none of
    these.
    """
    strengths: int = 100
    """Number of λ in a path."""
    ratio: float = 1e-3
    """The smallest λ as a share of the largest, from which on all weights are 0."""
    distance: float = 1e-8
    """The largest distance of the objective from its minimum, as a share of it, at which a solver
    counts as accurate.
    """
    folds: int = 10
    """Folds of the cross-validation."""
    cv_tolerances: tuple[float, ...] = (1e-4, 1e-8)
    """The tolerances of scikit-learn's `LassoCV`; the first is its default."""
    repeats: int = 5
    """Number of timed calls of every solver; the median counts."""
    limit: float = 60.0
    """Seconds that one call of a solver may take."""
    packages: tuple[str, ...] = ("scikit-learn", "celer", "skglm", "jaxopt")
    """What to compare with, where it is installed."""
    seed: int = 0
    """Seed of the data."""

    def __post_init__(self) -> None:
        at_least(self, strengths=2, folds=2, repeats=1)
        positive(self, "distance", "limit", "cv_tolerances")
        for name in ("large", "small"):
            value = getattr(self, name)
            require(value >= 10 and value % GROUP == 0, name, "a multiple of 5 above 9", value)
        correlated = 0 <= self.correlation < 1
        require(correlated, "correlation", "a number from 0 to below 1", self.correlation)
        require(0 < self.ratio < 1, "ratio", "a number between 0 and 1", self.ratio)
        fewest = min(self.large, self.small)
        require(self.folds <= fewest, "folds", f"2 to {fewest}, the rows", self.folds)
        known = set(SOLVERS) - {OURS}
        names = set(self.packages)
        require(names <= known, "packages", f"some of {', '.join(sorted(known))}", self.packages)


OURS = "jaxreg"
GROUP = 5
"""Features in each group of the group lasso."""
L1_RATIO = 0.5
"""scikit-learn's `l1_ratio` of the elastic net."""
UNLIMITED = 10**6
TOLERANCES = tuple(10.0**-power for power in range(4, 15))
"""What the solvers are asked for, in turn. Each package measures something else by it."""
REFERENCE = 1e-12
"""The tolerance of the solution that all are compared with."""
FINER = 1e-3
"""Supports are compared after one more call, with a tolerance that is this much smaller."""
ENOUGH = 20.0
"""Seconds of timed calls after which there are no more of them."""
STOPPED = "no answer within"
TEXTS = {
    "problem": ("model and data", "1"),
    "model": ("model", "1"),
    "design": ("rows × features, and the correlation of neighbouring columns", "1"),
    "solver": ("package that solves the path", "1"),
    "tolerance": ("tolerance of scikit-learn's LassoCV", "1"),
    "gap": ("duality gap of the reference, as a share of the objective", "1"),
    "seconds": ("median time of a path after the first call", "s"),
    "cold": ("time of the first call, which compiles", "s"),
    "asked": ("the first tolerance that is small enough", "1"),
    "distance": ("largest distance of the objective from its minimum, as a share of it", "1"),
    "objective": ("largest relative difference of the objective from the reference's", "1"),
    "support": ("number of λ with the same support as the reference", "count"),
    "error": ("why a solver has no time", "1"),
    "sklearn_seconds": ("median time of LassoCV", "s"),
}
NUMBERS = ("seconds", "cold", "asked", "distance", "objective", "support")
"""What is measured of a solver on a problem."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data and a grid.

    Attributes:
        model: which model.
        x: columns with mean 0 and standard deviation 1 (rows, features), in Fortran's order, which
            the other packages need.
        y: targets (rows,), centred; 0 and 1 for logistic models.
        strengths: λ, descending.
    """

    model: str
    x: np.ndarray
    y: np.ndarray
    strengths: np.ndarray

    @property
    def logistic(self) -> bool:
        """Whether the loss is logistic, not half the mean square."""
        return self.model == "sparse logistic"

    @property
    def loss(self) -> str:
        """The name of the loss in jaxreg."""
        return "logistic" if self.logistic else "squares"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weights as the penalty sees them."""
        features = self.x.shape[1]
        return (features // GROUP, GROUP) if self.model == "group lasso" else (features,)

    @property
    def signs(self) -> np.ndarray:
        """The targets of a logistic model as −1 and 1."""
        return 2 * self.y - 1

    def penalty(self, strength: Any) -> jaxreg.Penalty:
        """The penalty at one λ, which is scikit-learn's `alpha` for the elastic net."""
        if self.model == "elastic net":
            return jaxreg.ElasticNet(L1_RATIO * strength, (1 - L1_RATIO) / 2 * strength)
        if self.model == "group lasso":
            return jaxreg.GroupL2(strength, axis=1)
        return jaxreg.L1(strength)


def by_jaxreg(problem: Problem, tol: float) -> np.ndarray:
    """`jaxreg.fit_linear_path`."""
    path = jaxreg.fit_linear_path(
        problem.x.reshape(len(problem.x), *problem.shape), problem.y, problem.penalty,
        problem.strengths[::-1], loss=problem.loss, intercept=False, tolerance=tol,
    )  # fmt: skip
    return np.asarray(path.params.weights)[::-1].reshape(len(problem.strengths), -1)


def by_sklearn(problem: Problem, tol: float) -> np.ndarray:
    """scikit-learn's function for paths; for the logistic model liblinear, which reaches small gaps
    before saga does.
    """
    from sklearn.linear_model import LogisticRegression, enet_path

    x, y = problem.x, problem.y
    if problem.logistic:
        options = {"l1_ratio": 1, "solver": "liblinear", "fit_intercept": False, "random_state": 0}
        models = (
            LogisticRegression(C=1 / (strength * len(y)), tol=tol, max_iter=UNLIMITED, **options)
            for strength in problem.strengths
        )
        return np.array([model.fit(x, y).coef_[0] for model in models])
    ratio = L1_RATIO if problem.model == "elastic net" else 1.0
    options = {"l1_ratio": ratio, "alphas": problem.strengths, "max_iter": UNLIMITED}
    return enet_path(x, y, tol=tol, **options)[1].T


def by_celer(problem: Problem, tol: float) -> np.ndarray:
    """`celer_path`, with the options that celer's own estimators use: Newton steps for logistic
    models, and pruning.
    """
    from celer import celer_path

    kinds = {"sparse logistic": "logreg", "group lasso": "grouplasso"}
    options: dict[str, Any] = {"tol": tol, "max_iter": 1000, "use_PN": problem.logistic, "prune": 1}
    if problem.model == "group lasso":
        options["groups"] = GROUP
    if problem.model == "elastic net":
        options["l1_ratio"] = L1_RATIO
    # Its logistic loss is a sum over rows.
    alphas = problem.strengths * (len(problem.y) if problem.logistic else 1)
    y = problem.signs if problem.logistic else problem.y
    kind = kinds.get(problem.model, "lasso")
    return celer_path(problem.x, y, kind, alphas=alphas, **options)[1].T


def by_skglm(problem: Problem, tol: float) -> np.ndarray:
    """The solvers of skglm, warm started."""
    from skglm import datafits, penalties, solvers
    from skglm.utils.data import grp_converter

    features, y = problem.x.shape[1], problem.y
    options = {"max_iter": 1000, "tol": tol, "fit_intercept": False, "warm_start": True}
    if problem.logistic:
        datafit, penalty, y = datafits.Logistic(), penalties.L1(1.0), problem.signs
        solver = solvers.ProxNewton(**options)
    elif problem.model == "group lasso":
        indices, pointers = grp_converter(GROUP, features)
        datafit = datafits.QuadraticGroup(pointers, indices)
        penalty = penalties.WeightedGroupL2(1.0, np.ones(features // GROUP), pointers, indices)
        solver = solvers.GroupBCD(**options)
    else:
        net = problem.model == "elastic net"
        penalty = penalties.L1_plus_L2(1.0, L1_RATIO) if net else penalties.L1(1.0)
        datafit, solver = datafits.Quadratic(), solvers.AndersonCD(**options)
    w, predictions, path = np.zeros(features), np.zeros(len(y)), []
    for strength in problem.strengths:
        penalty.alpha = strength
        w = solver.solve(problem.x, y, datafit, penalty, w, predictions)[0]
        predictions = problem.x @ w
        path.append(w.copy())
    return np.array(path)


def by_jaxopt(problem: Problem, tol: float) -> np.ndarray:
    """The `ProximalGradient` of jaxopt, accelerated, in one compiled scan over λ."""
    path = jaxopt_path(problem.model, problem.logistic, problem.shape, tol)
    weights = np.asarray(path(problem.x, problem.y, problem.strengths))
    return weights.reshape(len(problem.strengths), -1)


@functools.cache
def jaxopt_path(
    model: str, logistic: bool, shape: tuple[int, ...], tol: float
) -> Callable[..., jax.Array]:
    """The compiled function from x, y and λ to the weights at every λ."""
    from jaxopt import ProximalGradient, prox

    def by_rows(w: jax.Array, strength: jax.Array, scaling: float = 1.0) -> jax.Array:
        return jax.vmap(lambda row: prox.prox_group_lasso(row, strength, scaling))(w)

    def net(w: jax.Array, strength: jax.Array, scaling: float = 1.0) -> jax.Array:
        # Its second number is the ratio of the strengths of ½w² and |w|.
        return prox.prox_elastic_net(w, (L1_RATIO * strength, (1 - L1_RATIO) / L1_RATIO), scaling)

    def loss(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return loss_of(x @ w.ravel(), y, logistic)

    proxes = {"elastic net": net, "group lasso": by_rows}
    solver = ProximalGradient(loss, proxes.get(model, prox.prox_lasso), tol=tol, maxiter=UNLIMITED)

    @jax.jit
    def path(x: jax.Array, y: jax.Array, strengths: jax.Array) -> jax.Array:
        def solve(w: jax.Array, strength: jax.Array) -> tuple[jax.Array, jax.Array]:
            w = solver.run(w, strength, x, y).params
            return w, w

        return jax.lax.scan(solve, jnp.zeros(shape), strengths)[1]

    return path


def loss_of(z: jax.Array, y: jax.Array, logistic: bool) -> jax.Array:
    """The mean loss of linear predictions (rows,)."""
    if logistic:
        return jnp.mean(jnp.logaddexp(0, z) - y * z)
    return jnp.mean(jnp.square(z - y)) / 2


SOLVERS: dict[str, Callable[[Problem, float], np.ndarray]] = {
    OURS: by_jaxreg,
    "scikit-learn": by_sklearn,
    "celer": by_celer,
    "skglm": by_skglm,
    "jaxopt": by_jaxopt,
}
"""Functions from a problem and a tolerance to the weights at every λ, by the package's name."""


def installed(packages: Sequence[str]) -> list[str]:
    """Those of these packages that are installed."""
    modules = {"scikit-learn": "sklearn"}
    return [name for name in packages if importlib.util.find_spec(modules.get(name, name))]


def designs(config: Settings) -> list[Design]:
    """Many rows and few, uncorrelated and correlated."""
    sizes = ((config.large, config.small), (config.small, config.large))
    correlations = sorted({0.0, config.correlation})
    return [(*size, correlation) for size in sizes for correlation in correlations]


def name_of(design: Design) -> str:
    """A design in words."""
    rows, features, correlation = design
    return f"{rows} × {features}" + (f", correlation {correlation:g}" if correlation else "")


def make_problem(config: Settings, model: str, design: Design) -> Problem:
    """Draws data with correlated columns, of which few matter, and noise a third as large as the
    signal.
    """
    rows, features, correlation = design
    random = np.random.default_rng(config.seed)
    x = random.standard_normal((rows, features))
    for column in range(1, features):
        x[:, column] = correlation * x[:, column - 1] + (1 - correlation**2) ** 0.5 * x[:, column]
    weights, relevant = np.zeros(features), min(rows, features) // 10
    weights[random.permutation(features)[:relevant]] = random.standard_normal(relevant)
    y = x @ weights
    y += random.standard_normal(rows) * np.linalg.norm(y) / (3 * rows**0.5)
    x = np.asfortranarray((x - x.mean(0)) / x.std(0))
    logistic = model == "sparse logistic"
    y = (y > 0).astype(float) if logistic else (y - y.mean()) / y.std()
    # The gradient at w = 0, where a logistic model predicts one half.
    slope = x.T @ ((0.5 if logistic else 0) - y) / rows
    norms = np.linalg.norm(slope.reshape(-1, GROUP), axis=1)
    largest = norms.max() if model == "group lasso" else np.abs(slope).max()
    largest /= L1_RATIO if model == "elastic net" else 1
    return Problem(model, x, y, np.geomspace(largest, largest * config.ratio, config.strengths))


def judge(problem: Problem, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objectives and duality gaps (strengths,) of weights (strengths, features) from any solver."""
    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)

    def measured(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        penalty, w = problem.penalty(pair[0]), pair[1]
        gap = jaxreg.duality_gap(penalty, w, lambda w: x @ w.ravel(), y, problem.loss)
        loss = loss_of(x @ w.ravel(), y, problem.logistic)
        return loss + jaxreg.penalty_value(penalty, w), gap

    shaped = jnp.asarray(weights).reshape(-1, *problem.shape)
    objectives, gaps = jax.lax.map(measured, (jnp.asarray(problem.strengths), shaped))
    return np.asarray(objectives), np.asarray(gaps)


class Reference(NamedTuple):
    """A solution that is far more accurate than what is asked for.

    Attributes:
        weights: (strengths, features).
        objectives: (strengths,).
        below: a lower bound on the minimum at every λ (strengths,).
    """

    weights: np.ndarray
    objectives: np.ndarray
    below: np.ndarray


def reference_of(problem: Problem) -> Reference:
    """Solves a problem as well as float64 allows."""
    weights = by_jaxreg(problem, REFERENCE)
    objectives, gaps = judge(problem, weights)
    return Reference(weights, objectives, objectives - gaps)


def time_solver(
    name: str, problem: Problem, reference: Reference, config: Settings
) -> dict[str, Any]:
    """Times a solver in a process of its own, at the first tolerance that is small enough.

    Returns:
        Numbers by the names in `TEXTS`. Without `seconds` the solver failed or was stopped with an
        `error`, or no tolerance was small enough; without `support` its last call took too long.
    """
    found: dict[str, Any] = {}
    passed: list[float] = []
    with multiprocessing.get_context("spawn").Pool(1) as pool:

        def solve(tolerance: float) -> tuple[np.ndarray, float]:
            call = pool.apply_async(timed_solve, (name, problem, tolerance))
            return call.get(config.limit)

        try:
            pool.apply(prepare)  # the imports of the process do not count
            for tolerance in TOLERANCES:
                weights, seconds = solve(tolerance)
                found.setdefault("cold", seconds)
                objectives, _ = judge(problem, weights)
                found["asked"] = tolerance
                found["distance"] = float(np.max((objectives - reference.below) / objectives))
                found["objective"] = float(np.max(np.abs(objectives / reference.objectives - 1)))
                if found["distance"] <= config.distance:
                    break
            else:
                return found
            while len(passed) < config.repeats and sum(passed) < ENOUGH:
                passed.append(solve(tolerance)[1])
                found["seconds"] = float(np.median(passed))
            same = (solve(FINER * tolerance)[0] != 0) == (reference.weights != 0)
            found["support"] = int(np.sum(np.all(same, axis=1)))
        except multiprocessing.TimeoutError:
            found["error"] = f"{STOPPED} {config.limit:g} s"
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"
    return found


def prepare() -> None:
    """Prepares a process that times a solver."""
    jax.config.update("jax_enable_x64", True)
    # Where a solver does not converge, the distance shows it.
    warnings.simplefilter("ignore")


def timed_solve(name: str, problem: Problem, tolerance: float) -> tuple[np.ndarray, float]:
    """A solver's weights, and its seconds."""
    began = time.perf_counter()
    return SOLVERS[name](problem, tolerance), time.perf_counter() - began


def timed(call: Callable[[], object], config: Settings) -> float:
    """The median seconds of some calls."""
    passed: list[float] = []
    while len(passed) < config.repeats and sum(passed) < ENOUGH:
        began = time.perf_counter()
        call()
        passed.append(time.perf_counter() - began)
    return float(np.median(passed))


def resumed(session: Session, number: int, compute: Callable[[], Any]) -> Any:
    """The result of one part: that of an interrupted run, or of `compute`, saved as JSON."""
    place = session.folder and session.folder / f"{number}.json"
    if place and place.exists():
        return json.loads(place.read_text())
    result = compute()
    if place:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_suffix(".part")
        beside.write_text(json.dumps(result))
        os.replace(beside, place)
    return result


def solve_problem(config: Settings, model: str, design: Design) -> dict[str, Any]:
    """What every solver needs for one problem, by its name, and the reference's `gap`."""
    problem = make_problem(config, model, design)
    reference = reference_of(problem)
    names = [OURS, *installed(config.packages)]
    if model == "group lasso":  # which scikit-learn does not have
        names = [name for name in names if name != "scikit-learn"]
    gap = float(np.max((reference.objectives - reference.below) / reference.objectives))
    return {"gap": gap} | {name: time_solver(name, problem, reference, config) for name in names}


def measure_paths(config: Settings, session: Session) -> xr.Dataset:
    """Times every solver on every problem, in float64."""
    pairs = list(itertools.product(config.models, designs(config)))
    with jax.enable_x64(True):
        records = [
            resumed(session, number, functools.partial(solve_problem, config, *pair))
            for number, pair in enumerate(pairs)
        ]
    solvers = (OURS, *config.packages)
    missing = dict.fromkeys(NUMBERS, np.nan) | {"error": ""}
    variables: dict[str, Any] = {}
    for name, default in missing.items():
        rows = [
            [found.get(solver, {}).get(name, default) for solver in solvers] for found in records
        ]
        variables[name] = (("problem", "solver"), rows)
    variables["gap"] = ("problem", [record["gap"] for record in records])
    versions = [f"{name} {importlib.metadata.version(name)}" for name in installed(config.packages)]
    coordinates = {
        "solver": list(solvers),
        "model": ("problem", [model for model, _ in pairs]),
        "design": ("problem", [name_of(design) for _, design in pairs]),
    }
    attributes = {
        "strengths": config.strengths, "ratio": config.ratio, "distance": config.distance,
        "limit": config.limit, "versions": ", ".join(versions),
        "missing": ", ".join(sorted(set(config.packages) - set(installed(config.packages)))),
    }  # fmt: skip
    return described(xr.Dataset(variables, coordinates, attributes), TEXTS)


def cross_validate(config: Settings, design: Design) -> dict[str, Any]:
    """Times cross-validation of the lasso with a fit of all rows at the end, as `LassoCV` does it,
    on all cores.
    """
    from sklearn.linear_model import LassoCV

    problem = make_problem(config, "lasso", design)
    x, y, strengths = np.ascontiguousarray(problem.x), problem.y, problem.strengths

    def ours() -> float:
        grid = strengths[::-1]
        scores = jaxreg.cross_validate_linear_path(x, y, jaxreg.L1, grid, folds=config.folds)
        jaxreg.fit_linear_path(x, y, jaxreg.L1, grid)
        return float((scores.record["gap"] / scores.record["objective"]).max())

    def theirs(tol: float) -> object:
        options = {"cv": config.folds, "n_jobs": -1, "max_iter": UNLIMITED}
        return LassoCV(alphas=strengths, tol=tol, **options).fit(x, y)

    gap = ours()
    peers = [timed(functools.partial(theirs, tol), config) for tol in config.cv_tolerances]
    return {"gap": gap, "seconds": timed(ours, config), "sklearn_seconds": peers}


def measure_validation(config: Settings, session: Session) -> xr.Dataset:
    """Times cross-validation on every design, in float64."""
    with jax.enable_x64(True):
        records = [
            resumed(session, number, functools.partial(cross_validate, config, design))
            for number, design in enumerate(designs(config))
        ]
    axes = {"gap": "design", "seconds": "design", "sklearn_seconds": ("design", "tolerance")}
    variables = {name: (dims, [record[name] for record in records]) for name, dims in axes.items()}
    coordinates = {
        "design": [name_of(design) for design in designs(config)],
        "tolerance": list(config.cv_tolerances),
    }
    attributes = {"folds": config.folds, "strengths": config.strengths}
    return described(xr.Dataset(variables, coordinates, attributes), TEXTS)


def tabulate(results: Results) -> list[Table]:
    """Times of whole paths, how far the solvers agree, and times of cross-validation."""
    paths, validation = results["paths"], results["validation"]
    known, solvers = paths.attrs, [str(name) for name in paths["solver"].values]
    times, agreements, faster = [], [], []
    for at in range(paths.sizes["problem"]):
        problem = paths.isel(problem=at)
        named = [str(problem["model"].item()), str(problem["design"].item())]
        own = float(problem["seconds"].sel(solver=OURS))
        each = [problem.sel(solver=name) for name in solvers]
        times.append([*named, *(time_cell(solver, own) for solver in each)])
        agreements.append([*named, *map(agreement_cell, each)])
        seconds = problem["seconds"].fillna(np.inf).values
        first = solvers[seconds.argmin()] if np.isfinite(seconds).any() else "no package in time"
        if first != OURS:
            faster.append(f"{' '.join(named)} ({first})")
    count = paths.sizes["problem"]
    ahead = f"After a first call jaxreg is the fastest on {count - len(faster)} of {count} problems"
    ahead += f"; another is on {'; '.join(faster)}." if faster else "."
    missing = known["missing"] and f" Not installed: {known['missing']}; the extra `peers` has all."
    tables = [
        Table(
            ["model", "data", *solvers],
            times,
            f"Seconds for {known['strengths']} λ down to {known['ratio']:g} λ_max in float64, rows "
            f"× features, with an objective within {known['distance']:g} of its minimum at every "
            "λ; in brackets, the time divided by jaxreg's; after the dot, seconds of the first "
            "call, which compiles",
            "Medians of calls after the first, each solver in a process of its own, with the first "
            "tolerance of 1e-4, 1e-5, … that is small enough. A dash: it has no such model, or a "
            f"call took more than {known['limit']:g} seconds. {ahead}{missing}",
        ),
        Table(
            ["model", "data", *solvers],
            agreements,
            "Largest relative difference of the objective from an accurate solution's over all λ, "
            f"and the number of {known['strengths']} λ with its support",
            f"The accurate solution is jaxreg's with a tolerance of {REFERENCE:g}, certified by "
            f"its duality gap of at most {float(paths['gap'].max()):.0e} of the objective. "
            "Supports are those of one more call, with a tolerance 1,000 times smaller than that "
            f"of the times; a dash: it took more than {known['limit']:g} seconds. Versions: "
            f"{known['versions'] or 'no other package'}.",
        ),
    ]
    rows = []
    for design in validation["design"].values:
        measured = validation.sel(design=design)
        own = float(measured["seconds"])
        peers = [f"{s:.2f} ({s / own:.1f} ×)" for s in measured["sklearn_seconds"].values]
        rows.append([str(design), f"{float(measured['gap']):.0e}", f"{own:.2f}", *peers])
    peers = [f"`LassoCV(tol={tol:g})`" for tol in validation["tolerance"].values]
    title = (
        f"Seconds for {validation.attrs['folds']} folds and {validation.attrs['strengths']} λ of "
        "the lasso and a fit of all rows, on all cores, after a first run: "
        "`jaxreg.cross_validate_linear_path` with `fit_linear_path`, and scikit-learn's "
        "`LassoCV(n_jobs=-1)`, whose default is tol=0.0001; in brackets, the time divided by "
        "jaxreg's"
    )
    return [*tables, Table(["data", "gap of jaxreg", OURS, *peers], rows, title)]


def time_cell(solver: xr.Dataset, own: float) -> str:
    """A solver's seconds, or how far it came."""
    seconds, cold, distance = (float(solver[name]) for name in ("seconds", "cold", "distance"))
    if np.isfinite(seconds):
        ratio = "" if solver["solver"] == OURS else f" ({seconds / own:.1f} ×)"
        return f"{seconds:.2f}{ratio} · {cold:.1f}"
    error = str(solver["error"].item())
    if error and not error.startswith(STOPPED):
        return "– error"
    return f"– {distance:.0e} above" if np.isfinite(distance) else "–"


def agreement_cell(solver: xr.Dataset) -> str:
    """The difference of a solver's objective, and its number of equal supports."""
    objective, support = float(solver["objective"]), float(solver["support"])
    if not np.isfinite(objective):
        return "–"
    return f"{objective:.0e}, {support:.0f}" if np.isfinite(support) else f"{objective:.0e}, –"


STUDY = Study(
    name="bench linear",
    summary="Whole paths of linear models, compared with other packages at the same accuracy",
    description="The packages are scikit-learn, celer, skglm and jaxopt, where they are installed "
    "(the extra `peers`).",
    settings=Settings(),
    quick=Settings(("lasso",), 60, 20, correlation=0.0, strengths=10, repeats=2, limit=20.0),
    sweeps={"paths": measure_paths, "validation": measure_validation},
    tabulate=tabulate,
)
