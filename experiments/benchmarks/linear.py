"""Whole paths of linear models against the packages that are made for them, at the same distance
from the minimum.

Every solver runs with tighter and tighter tolerances until its objective is near enough to the
minimum at every λ, whatever it measures itself. A lower bound on the minimum is the objective of an
accurate solution of jaxreg minus its duality gap. MCP is not convex: solvers may find different
stationary points, so there the KKT residual has to be small enough. Finished problems are saved, so
that an interrupted benchmark resumes.
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
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, xr
from experiments.settings import at_least, positive, require
from experiments.tables import Table
from experiments.timing import Measured, measured
from experiments.training import described

Model: TypeAlias = Literal[
    "lasso", "elastic net", "sparse logistic", "group lasso", "poisson", "mcp"
]
Case: TypeAlias = tuple[Model, int, int, float, float]
"""A model, rows, features, the correlation of neighbouring columns, and the share of entries that
are not 0: below 1 the columns are sparse.
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Whole paths of linear models, compared with scikit-learn, celer, skglm, skein-glm and adelie
    at the same accuracy.
    """

    models: tuple[Model, ...] = ("lasso", "elastic net", "sparse logistic", "group lasso")
    """Which models to fit to every combination of sizes and correlation below."""
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
    more: tuple[Case, ...] = (
        ("lasso", 10_000, 1_000, 0.5, 1.0),
        ("lasso", 1_000, 10_000, 0.5, 1.0),
        ("lasso", 100_000, 200, 0.5, 1.0),
        ("lasso", 10_000, 50_000, 0.0, 1e-3),
        ("poisson", 2_000, 200, 0.0, 1.0),
        ("poisson", 1_000, 10_000, 0.0, 1.0),
        ("mcp", 10_000, 1_000, 0.5, 1.0),
    )
    """Further problems: the model, rows, features, the correlation of neighbouring columns, and the
    share of entries that are not 0. Below 1 the design is sparse, for an uncorrelated lasso.
    """
    strengths: int = 100
    """Number of λ in a path."""
    ratio: float = 1e-3
    """The smallest λ as a share of the largest, from which on all weights are 0."""
    sparse_ratio: float = 0.05
    """The same for sparse designs."""
    distance: float = 1e-8
    """The largest distance of the objective from its minimum, as a share of it, at which a solver
    counts as accurate.
    """
    residual: float = 1e-4
    """For MCP instead: the largest KKT residual, as a share of λ."""
    folds: int = 10
    """Folds of the cross-validation."""
    cv_tolerances: tuple[float, ...] = (1e-4, 1e-8)
    """The tolerances of scikit-learn's `LassoCV`; the first is its default."""
    repeats: int = 5
    """Number of timed calls of every solver; the median counts."""
    limit: float = 60.0
    """Seconds that one call of a solver may take."""
    packages: tuple[str, ...] = ("scikit-learn", "celer", "skglm", "skein-glm", "adelie")
    """What to compare with, where it is installed."""
    adelie_python: str = ""
    """Path of a Python that has adelie, which needs an older NumPy; empty leaves adelie out."""
    seed: int = 0
    """Seed of the data."""

    def __post_init__(self) -> None:
        at_least(self, strengths=2, folds=2, repeats=1)
        positive(self, "distance", "residual", "limit", "cv_tolerances")
        for name in ("large", "small"):
            value = getattr(self, name)
            require(value >= 10 and value % GROUP == 0, name, "a multiple of 5 above 9", value)
        correlated = 0 <= self.correlation < 1
        require(correlated, "correlation", "a number from 0 to below 1", self.correlation)
        for name in ("ratio", "sparse_ratio"):
            value = getattr(self, name)
            require(0 < value < 1, name, "a number between 0 and 1", value)
        for case in self.more:
            model, rows, features, correlation, share = case
            sizes = min(rows, features) >= 10 and features % GROUP == 0
            dense = share == 1 and 0 <= correlation < 1
            sparse = 0 < share < 1 and (model, correlation) == ("lasso", 0)
            require(
                sizes and (dense or sparse), "more",
                "at least 10 rows, a multiple of 5 features, a correlation from 0 to below 1 and a "
                "share of 1, or of less for a lasso without correlation", case,
            )  # fmt: skip
        fewest = min(self.large, self.small)
        require(self.folds <= fewest, "folds", f"2 to {fewest}, the rows", self.folds)
        known = set(SOLVERS) - {OURS} | {APART}
        names = set(self.packages)
        require(names <= known, "packages", f"some of {', '.join(sorted(known))}", self.packages)
        python = self.adelie_python
        runs = not python or os.access(python, os.X_OK)
        require(runs, "adelie_python", "the path of a Python", python)


OURS = "jaxreg"
GROUP = 5
"""Features in each group of the group lasso."""
L1_RATIO = 0.5
"""scikit-learn's `l1_ratio` of the elastic net."""
GAMMA = 3.0
"""γ of MCP."""
LACKS: dict[str, tuple[str, ...]] = {
    "scikit-learn": ("group lasso", "poisson", "mcp"),
    "celer": ("poisson", "mcp"),
    "adelie": ("mcp",),
}
"""Models that are not compared with a package, as most of them are not in it."""
BY_ROWS = "skein-glm"
"""The package that needs designs in C's order."""
MODULES = {"scikit-learn": "sklearn.linear_model", "skein-glm": "skein_glm"}
"""What is imported for a package, where it is not its name."""
UNLIMITED = 10**6
TOLERANCES = tuple(10.0**-power for power in range(2, 21))
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
    "design": ("rows × features, and what is special about the columns", "1"),
    "solver": ("package that solves the path", "1"),
    "tolerance": ("tolerance of scikit-learn's LassoCV", "1"),
    "gap": ("duality gap of the reference / objective; for MCP, its KKT residual / λ", "1"),
    "size": ("size of the columns", "byte"),
    "seconds": ("median time of a path after the first call", "s"),
    "cold": ("time of the first call, which compiles", "s"),
    "asked": ("the first tolerance that is small enough", "1"),
    "memory": ("peak of resident memory in a call, less what there was before it", "byte"),
    "distance": (
        "largest distance of the objective from its minimum / objective, or residual",
        "1",
    ),
    "objective": ("relative difference of the objective from the reference's: the largest", "1"),
    "support": ("number of λ with the same support as the reference", "count"),
    "error": ("why a solver has no time", "1"),
    "sklearn_seconds": ("median time of LassoCV", "s"),
}
NUMBERS = ("seconds", "cold", "memory", "asked", "distance", "objective", "support")
"""What is measured of a solver on a problem."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data and a grid.

    Attributes:
        model: which model.
        x: columns with mean 0 and standard deviation 1 (rows, features), in Fortran's order, which
            most packages need; or a sparse array of compressed columns.
        y: targets (rows,), centred; 0 and 1 for logistic models, counts for Poisson models.
        strengths: λ, descending.
    """

    model: str
    x: Any
    y: np.ndarray
    strengths: np.ndarray

    @property
    def logistic(self) -> bool:
        """Whether the loss is logistic."""
        return self.model == "sparse logistic"

    @property
    def convex(self) -> bool:
        """Whether there is a minimum to be certified."""
        return self.model != "mcp"

    @property
    def sparse(self) -> bool:
        """Whether the design is sparse."""
        return not isinstance(self.x, np.ndarray)

    @property
    def size(self) -> int:
        """The bytes of the design."""
        parts = (self.x.data, self.x.indices, self.x.indptr) if self.sparse else (self.x,)
        return sum(part.nbytes for part in parts)

    @property
    def loss(self) -> str:
        """The name of the loss in jaxreg."""
        return {"sparse logistic": "logistic", "poisson": "poisson"}.get(self.model, "squares")

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
        if self.model == "mcp":
            return jaxreg.MCP(strength, GAMMA)
        return jaxreg.L1(strength)


def by_jaxreg(problem: Problem, tol: float) -> np.ndarray:
    """`jaxreg.fit_linear_path`."""
    x, y, grid = problem.x, problem.y, problem.strengths[::-1]
    x = x.reshape(len(y), *problem.shape) if problem.model == "group lasso" else x
    path = jaxreg.fit_linear_path(
        x, y, problem.penalty, grid, loss=problem.loss, intercept=False, tolerance=tol
    )
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
    if problem.loss != "squares":
        datafit = datafits.Logistic() if problem.logistic else datafits.Poisson()
        penalty, y = penalties.L1(1.0), problem.signs if problem.logistic else y
        solver = solvers.ProxNewton(**options)
    elif problem.model == "group lasso":
        indices, pointers = grp_converter(GROUP, features)
        datafit = datafits.QuadraticGroup(pointers, indices)
        penalty = penalties.WeightedGroupL2(1.0, np.ones(features // GROUP), pointers, indices)
        solver = solvers.GroupBCD(**options)
    else:
        others = {
            "elastic net": penalties.L1_plus_L2(1.0, L1_RATIO),
            "mcp": penalties.MCPenalty(1.0, GAMMA),
        }
        penalty = others.get(problem.model, penalties.L1(1.0))
        datafit, solver = datafits.Quadratic(), solvers.AndersonCD(**options)
    w, predictions, path = np.zeros(features), np.zeros(len(y)), []
    for strength in problem.strengths:
        penalty.alpha = strength
        w = solver.solve(problem.x, y, datafit, penalty, w, predictions)[0]
        predictions = problem.x @ w
        path.append(w.copy())
    return np.array(path)


def by_skein(problem: Problem, tol: float) -> np.ndarray:
    """The paths of skein-glm."""
    import skein_glm

    options = {"lambdas": problem.strengths, "tol": tol, "max_iter": UNLIMITED}
    options["fit_intercept"] = False
    model: Any
    if problem.loss != "squares":
        kinds = {
            "logistic": skein_glm.LogisticElasticNetPathRegressor,
            "poisson": skein_glm.PoissonElasticNetPathRegressor,
        }
        model = kinds[problem.loss](1.0, max_outer=1000, outer_tol=tol, **options)
    elif problem.model == "group lasso":
        groups = np.arange(problem.x.shape[1]) // GROUP
        model = skein_glm.GroupLassoPathRegressor(groups, **options)
    elif problem.model == "mcp":
        model = skein_glm.MCPPathRegressor(GAMMA, **options)
    else:
        ratio = L1_RATIO if problem.model == "elastic net" else 1.0
        model = skein_glm.ElasticNetPathRegressor(ratio, **options)
    return model.fit(problem.x, problem.y).coefs_


def by_adelie(problem: Problem, tol: float, config: Settings) -> Measured:
    """Starts `experiments.adelie_path` in a Python of its own."""
    families = {"logistic": "binomial", "poisson": "poisson"}
    given = {
        "x": problem.x, "y": problem.y, "strengths": problem.strengths, "tolerance": tol,
        "family": families.get(problem.loss, "gaussian"),
        "alpha": L1_RATIO if problem.model == "elastic net" else 1.0,
        "size": GROUP if problem.model == "group lasso" else 1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "problem.npz", Path(folder) / "solution.npz"
        np.savez(source, **given)
        words = [config.adelie_python, "-m", "experiments.adelie_path", str(source), str(target)]
        options: dict[str, Any] = {"cwd": Path(__file__).parents[2], "timeout": config.limit}
        subprocess.run(words, check=True, capture_output=True, **options)
        with np.load(target) as found:
            return Measured(found["result"], float(found["seconds"]), float(found["memory"]))


def loss_of(z: jax.Array, y: jax.Array, kind: str) -> jax.Array:
    """The mean loss of linear predictions (rows,)."""
    if kind == "logistic":
        return jnp.mean(jnp.logaddexp(0, z) - y * z)
    if kind == "poisson":
        return jnp.mean(jnp.exp(z) - y * z)
    return jnp.mean(jnp.square(z - y)) / 2


SOLVERS: dict[str, Callable[[Problem, float], np.ndarray]] = {
    OURS: by_jaxreg,
    "scikit-learn": by_sklearn,
    "celer": by_celer,
    "skglm": by_skglm,
    "skein-glm": by_skein,
}
"""Functions from a problem and a tolerance to the weights at every λ, by the package's name."""
APART = "adelie"
"""The package that has a Python of its own."""


def installed(config: Settings) -> list[str]:
    """Those of the packages that are installed."""

    def found(name: str) -> bool:
        if name == APART:
            return bool(config.adelie_python)
        return importlib.util.find_spec(MODULES.get(name, name).partition(".")[0]) is not None

    return [name for name in config.packages if found(name)]


def version_of(name: str, config: Settings) -> str:
    """The version of an installed package."""
    if name != APART:
        return importlib.metadata.version(name)
    words = f"import importlib.metadata; print(importlib.metadata.version('{name}'))"
    return subprocess.check_output([config.adelie_python, "-c", words], text=True).strip()


def peers_of(config: Settings, case: Case) -> list[str]:
    """The installed packages that one problem is compared with."""
    model, *_, share = case
    names = [name for name in installed(config) if model not in LACKS.get(name, ())]
    # Its own Python is passed dense arrays.
    return [name for name in names if share == 1 or name != APART]


def cases(config: Settings, model: Model) -> list[Case]:
    """Many rows and few, uncorrelated and correlated."""
    sizes = ((config.large, config.small), (config.small, config.large))
    correlations = sorted({0.0, config.correlation})
    return [(model, *size, value, 1.0) for size in sizes for value in correlations]


def name_of(config: Settings, case: Case) -> str:
    """The data of a problem in words."""
    _, rows, features, correlation, share = case
    text = f"{rows} × {features}" + (f", correlation {correlation:g}" if correlation else "")
    if share == 1:
        return text
    return f"{text}, {100 * share:g} % nonzeros, down to {config.sparse_ratio:g} λ_max"


def draw_columns(random: np.random.Generator, case: Case) -> Any:
    """Standardised columns, correlated with their neighbours, or sparse ones."""
    _, rows, features, correlation, share = case
    if share < 1:
        import scipy.sparse

        options = {"density": share, "format": "csc", "rng": random}
        draw = random.standard_normal
        return scipy.sparse.random_array((rows, features), data_sampler=draw, **options)
    x = np.asfortranarray(random.standard_normal((rows, features)))
    for column in range(1, features):
        x[:, column] = correlation * x[:, column - 1] + (1 - correlation**2) ** 0.5 * x[:, column]
    return np.asfortranarray((x - x.mean(0)) / x.std(0))


def make_problem(config: Settings, case: Case) -> Problem:
    """Draws data with columns of which few matter, and noise a third as large as the signal."""
    model, rows, features, _, share = case
    random = np.random.default_rng(config.seed)
    x = draw_columns(random, case)
    weights, relevant = np.zeros(features), min(rows, features) // 10
    weights[random.permutation(features)[:relevant]] = random.standard_normal(relevant)
    y = x @ weights
    y += random.standard_normal(rows) * np.linalg.norm(y) / (3 * rows**0.5)
    z = (y - y.mean()) / y.std()
    if model == "sparse logistic":
        y = (y > 0).astype(float)
    elif model == "poisson":
        y = random.poisson(np.exp(z) / np.exp(z).mean()).astype(float)
    else:
        y = z
    # The gradient at w = 0, where these models predict one half, 1 and 0.
    slope = x.T @ ({"sparse logistic": 0.5, "poisson": 1.0}.get(model, 0.0) - y) / rows
    norms = np.linalg.norm(slope.reshape(-1, GROUP), axis=1)
    largest = norms.max() if model == "group lasso" else np.abs(slope).max()
    largest /= L1_RATIO if model == "elastic net" else 1
    ratio = config.ratio if share == 1 else config.sparse_ratio
    return Problem(model, x, y, np.geomspace(largest, largest * ratio, config.strengths))


def judge(problem: Problem, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objectives (strengths,) of weights (strengths, features) from any solver, with their duality
    gaps or, without a convex penalty, KKT residuals as shares of λ.
    """
    from jax.experimental.sparse import BCOO

    x = BCOO.from_scipy_sparse(problem.x) if problem.sparse else jnp.asarray(problem.x)
    y = jnp.asarray(problem.y)

    def loss(w: jax.Array) -> jax.Array:
        return loss_of(x @ w.ravel(), y, problem.loss)

    def score(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        strength, w = pair
        penalty = problem.penalty(strength)
        if problem.convex:
            gap = jaxreg.duality_gap(penalty, w, lambda w: x @ w.ravel(), y, problem.loss)
        else:
            gap = jaxreg.kkt_residual(penalty, w, jax.grad(loss)(w)) / strength
        return loss(w) + jaxreg.penalty_value(penalty, w), gap

    shaped = jnp.asarray(weights).reshape(-1, *problem.shape)
    objectives, gaps = jax.lax.map(score, (jnp.asarray(problem.strengths), shaped))
    return np.asarray(objectives), np.asarray(gaps)


class Reference(NamedTuple):
    """A solution that is far more accurate than what is asked for.

    Attributes:
        weights: (strengths, features).
        objectives: (strengths,).
        gaps: duality gaps or residuals, as `judge` computes them (strengths,).
    """

    weights: np.ndarray
    objectives: np.ndarray
    gaps: np.ndarray

    def distance(self, problem: Problem, objectives: np.ndarray, gaps: np.ndarray) -> float:
        """How far a solution is from a minimum at most, as a share of its objective; without a
        convex penalty, its largest residual.
        """
        if not problem.convex:
            return float(np.max(gaps))
        return float(np.max((objectives - (self.objectives - self.gaps)) / objectives))


def reference_of(problem: Problem) -> Reference:
    """Solves a problem as well as float64 allows."""
    weights = by_jaxreg(problem, REFERENCE)
    return Reference(weights, *judge(problem, weights))


def time_solver(
    name: str, problem: Problem, reference: Reference, config: Settings
) -> dict[str, Any]:
    """Times a solver in a process of its own, at the first tolerance that is small enough.

    Returns:
        Numbers by the names in `TEXTS`. Without `seconds` the solver failed or was stopped with an
        `error`, or no tolerance was small enough; without `support` its last call took too long.
    """
    found: dict[str, Any] = {"memory": 0.0}
    passed: list[float] = []
    enough = config.distance if problem.convex else config.residual
    if name == BY_ROWS and not problem.sparse:
        problem = dataclasses.replace(problem, x=np.ascontiguousarray(problem.x))
    with multiprocessing.get_context("spawn").Pool(1) as pool:

        def solve(tolerance: float) -> tuple[np.ndarray, float]:
            if name == APART:  # which starts a process itself
                weights, seconds, memory = by_adelie(problem, tolerance, config)
            else:
                call = pool.apply_async(timed_solve, (name, problem, tolerance))
                weights, seconds, memory = call.get(config.limit)
            found["memory"] = max(found["memory"], memory)
            return weights, seconds

        try:
            pool.apply(prepare, (name,))  # the imports of the process do not count
            for tolerance in TOLERANCES:
                weights, seconds = solve(tolerance)
                found.setdefault("cold", seconds)
                objectives, gaps = judge(problem, weights)
                found["asked"] = tolerance
                found["distance"] = reference.distance(problem, objectives, gaps)
                changes = objectives / reference.objectives - 1
                found["objective"] = float(changes[np.abs(changes).argmax()])
                if found["distance"] <= enough:
                    break
            else:
                return found
            while len(passed) < config.repeats and sum(passed) < ENOUGH:
                passed.append(solve(tolerance)[1])
                found["seconds"] = float(np.median(passed))
            same = (solve(FINER * tolerance)[0] != 0) == (reference.weights != 0)
            found["support"] = int(np.sum(np.all(same, axis=1)))
        except (multiprocessing.TimeoutError, subprocess.TimeoutExpired):
            found["error"] = f"{STOPPED} {config.limit:g} s"
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"
    return found


def prepare(name: str) -> None:
    """Prepares a process that times a solver."""
    if name != APART:
        importlib.import_module(MODULES.get(name, name))
    jax.config.update("jax_enable_x64", True)
    # Where a solver does not converge, the distance shows it.
    warnings.simplefilter("ignore")


def timed_solve(name: str, problem: Problem, tolerance: float) -> Measured:
    """A solver's weights, its seconds and its memory."""
    return measured(lambda: SOLVERS[name](problem, tolerance))


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


def solve_problem(config: Settings, case: Case) -> dict[str, Any]:
    """What every solver needs for one problem, by its name, the `size` of its data, and the
    reference's `gap`.
    """
    problem = make_problem(config, case)
    reference = reference_of(problem)
    gap = reference.distance(problem, reference.objectives, reference.gaps)
    found: dict[str, Any] = {"gap": gap, "size": problem.size}
    for name in (OURS, *peers_of(config, case)):
        found[name] = time_solver(name, problem, reference, config)
    return found


def measure_paths(config: Settings, session: Session) -> xr.Dataset:
    """Times every solver on every problem, in float64."""
    every = [*itertools.chain(*(cases(config, model) for model in config.models)), *config.more]
    with jax.enable_x64(True):
        records = [
            resumed(session, number, functools.partial(solve_problem, config, case))
            for number, case in enumerate(every)
        ]
    solvers = (OURS, *config.packages)
    missing = dict.fromkeys(NUMBERS, np.nan) | {"error": ""}
    variables: dict[str, Any] = {}
    for name, default in missing.items():
        rows = [
            [found.get(solver, {}).get(name, default) for solver in solvers] for found in records
        ]
        variables[name] = (("problem", "solver"), rows)
    for name in ("gap", "size"):
        variables[name] = ("problem", [record[name] for record in records])
    versions = [f"{name} {version_of(name, config)}" for name in installed(config)]
    coordinates = {
        "solver": list(solvers),
        "model": ("problem", [case[0] for case in every]),
        "design": ("problem", [name_of(config, case) for case in every]),
    }
    attributes = {
        "strengths": config.strengths, "ratio": config.ratio, "distance": config.distance,
        "residual": config.residual, "limit": config.limit, "versions": ", ".join(versions),
        "missing": ", ".join(sorted(set(config.packages) - set(installed(config)))),
    }  # fmt: skip
    return described(xr.Dataset(variables, coordinates, attributes), TEXTS)


def cross_validate(config: Settings, case: Case) -> dict[str, Any]:
    """Times cross-validation of the lasso with a fit of all rows at the end, as `LassoCV` does it,
    on all cores.
    """
    from sklearn.linear_model import LassoCV

    problem = make_problem(config, case)
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
    """Times cross-validation on every design of the lasso, in float64."""
    every = cases(config, "lasso")
    with jax.enable_x64(True):
        records = [
            resumed(session, number, functools.partial(cross_validate, config, case))
            for number, case in enumerate(every)
        ]
    axes = {"gap": "design", "seconds": "design", "sklearn_seconds": ("design", "tolerance")}
    variables = {name: (dims, [record[name] for record in records]) for name, dims in axes.items()}
    coordinates = {
        "design": [name_of(config, case) for case in every],
        "tolerance": list(config.cv_tolerances),
    }
    attributes = {"folds": config.folds, "strengths": config.strengths}
    return described(xr.Dataset(variables, coordinates, attributes), TEXTS)


def tabulate(results: Results) -> list[Table]:
    """Times of whole paths, how far the solvers agree, and times of cross-validation."""
    paths, validation = results["paths"], results["validation"]
    known, solvers = paths.attrs, [str(name) for name in paths["solver"].values]
    times, memory, agreements = [], [], []
    for at in range(paths.sizes["problem"]):
        problem = paths.isel(problem=at)
        named = [str(problem["model"].item()), str(problem["design"].item())]
        own = float(problem["seconds"].sel(solver=OURS))
        each = [problem.sel(solver=name) for name in solvers]
        times.append([*named, *(time_cell(solver, own) for solver in each)])
        memory.append([*named, f"{problem['size'] / 1e6:.3g}", *map(memory_cell, each)])
        agreements.append([*named, *map(agreement_cell, each)])
    missing = known["missing"] and (
        f" Not installed: {known['missing']}; the extra `peers` has all but adelie, for which "
        "there is `--adelie-python`."
    )
    convex = paths["model"] != "mcp"
    gap, residual = (float(paths["gap"].where(kind).max()) for kind in (convex, ~convex))
    stationary = (
        f" For MCP its KKT residual is at most {residual:.0e} λ; solvers may find different "
        "stationary points, with other objectives and supports."
    )
    tables = [
        Table(
            ["model", "data", *solvers],
            times,
            f"Seconds for {known['strengths']} λ down to {known['ratio']:g} λ_max in float64, rows "
            f"× features, with an objective within {known['distance']:g} of its minimum at every "
            f"λ, or for MCP a KKT residual of at most {known['residual']:g} λ; in brackets, the "
            "time divided by jaxreg's; after the dot, seconds of the first call after imports, "
            "which may compile",
            "Medians of calls after the first, each solver in a process of its own, with the first "
            f"tolerance of 1e-2, 1e-3, … {TOLERANCES[-1]:g} that is small enough. A dash: the "
            "package was not compared for this model or these data, no tolerance was small enough, "
            f"or a call took more than {known['limit']:g} seconds. {standing(paths)}{missing}",
        ),
        Table(
            ["model", "data", "MB of the data", *solvers],
            memory,
            "Peak memory of a call in MB; in brackets, the same divided by the size of the data",
            "The largest of all calls of a solver, the first one included, which may compile: the "
            "peak of the resident memory of its process during the call, less its resident memory "
            "before it, when the packages are imported and the data are there. On Linux only.",
        ),
        Table(
            ["model", "data", *solvers],
            agreements,
            "Largest relative difference of the objective from an accurate solution's over all λ, "
            f"below 0 where it is smaller, and the number of {known['strengths']} λ with its "
            "support",
            f"The accurate solution is jaxreg's with a tolerance of {REFERENCE:g}, certified by "
            f"its duality gap of at most {gap:.0e} of the objective."
            f"{stationary if residual >= 0 else ''} Supports are those of one more call, with "
            "a tolerance 1,000 times smaller than that "
            f"of the times; a dash: it took more than {known['limit']:g} seconds. Versions: "
            f"{known['versions'] or 'no other package'}.",
        ),
    ]
    return [*tables, tabulate_validation(validation)]


def standing(paths: xr.Dataset) -> str:
    """On how many problems jaxreg is the fastest, and which package is where it is not."""
    faster, late, slower = [], [], [(1.0, "")]
    for at in range(paths.sizes["problem"]):
        problem = paths.isel(problem=at)
        named = f"{problem['model'].item()} {problem['design'].item()}"
        seconds = problem["seconds"].fillna(np.inf)
        first = str(seconds["solver"][seconds.values.argmin()].item())
        if not np.isfinite(seconds).any():
            first = "no package in time"
        if first == OURS:
            continue
        own = float(seconds.sel(solver=OURS))
        faster.append(f"{named} ({first})")
        if np.isfinite(own):
            slower.append((own / float(seconds.min()), named))
        else:
            late.append(named)
    count = paths.sizes["problem"]
    ahead = f"After a first call jaxreg is the fastest on {count - len(faster)} of {count} problems"
    ahead += f"; another is on {'; '.join(faster)}." if faster else "."
    ratio, worst = max(slower)
    if worst:
        ahead += f" jaxreg takes at most {ratio:.1f} times as long as the fastest: {worst}."
    if late:
        ahead += f" jaxreg does not reach the accuracy in time on {'; '.join(late)}."
    return ahead


def tabulate_validation(validation: xr.Dataset) -> Table:
    """Times of cross-validation."""
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
    return Table(["data", "gap of jaxreg", OURS, *peers], rows, title)


def time_cell(solver: xr.Dataset, own: float) -> str:
    """A solver's seconds, or how far it came."""
    seconds, cold, distance = (float(solver[name]) for name in ("seconds", "cold", "distance"))
    if np.isfinite(seconds):
        alone = solver["solver"] == OURS or not np.isfinite(own)
        ratio = "" if alone else f" ({seconds / own:.2g} ×)"
        return f"{seconds:.2f}{ratio} · {cold:.1f}"
    error = str(solver["error"].item())
    if error and not error.startswith(STOPPED):
        return "– error"
    return f"– {distance:.0e} above" if np.isfinite(distance) else "–"


def memory_cell(solver: xr.Dataset) -> str:
    """A solver's peak memory, and the same as a multiple of the data."""
    memory, size = float(solver["memory"]), float(solver["size"])
    return f"{memory / 1e6:.0f} ({memory / size:.2g} ×)" if memory > 0 else "–"


def agreement_cell(solver: xr.Dataset) -> str:
    """The difference of a solver's objective, and its number of equal supports."""
    objective, support = float(solver["objective"]), float(solver["support"])
    if not np.isfinite(objective):
        return "–"
    return f"{objective:.0e}, {support:.0f}" if np.isfinite(support) else f"{objective:.0e}, –"


STUDY = Study(
    name="bench linear",
    summary="Whole paths of linear models, compared with other packages at the same accuracy",
    description="The packages are scikit-learn, celer, skglm and skein-glm, where they are "
    "installed (the extra `peers`), and adelie, where --adelie-python says.",
    settings=Settings(),
    quick=Settings(
        ("lasso",), 60, 20, correlation=0.0, more=(), strengths=10, repeats=2, limit=20.0
    ),
    sweeps={"paths": measure_paths, "validation": measure_validation},
    tabulate=tabulate,
)
