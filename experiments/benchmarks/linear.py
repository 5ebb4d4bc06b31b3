"""Whole paths of linear models against the packages that are made for them, at the same distance
from the minimum.

Every solver runs with tighter and tighter tolerances until its objective is near enough to the
minimum at every λ, whatever it measures itself. A bound below the minimum is the objective of an
accurate solution of jaxreg minus its duality gap.
"""

import dataclasses
import functools
import importlib.metadata
import itertools
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxreg
from experiments.benchmarks.benchmark import EARLIER, Benchmark
from experiments.benchmarks.linear_peers import (
    GROUP,
    L1_RATIO,
    SOLVERS,
    Problem,
    penalty_of,
    solvers_for,
)
from experiments.benchmarks.parts import Parts
from experiments.benchmarks.settings import LinearBenchmark
from experiments.sheet import Sheet

OURS = "jaxreg"
TOLERANCES = tuple(10.0**-power for power in range(4, 15))
"""What the solvers are asked for, in turn. Each package measures something else by it."""
REFERENCE = 1e-12
"""The tolerance of the solution that all are compared with."""
FINER = 1e-3
"""Supports are compared after one more call, with a tolerance that is this much smaller."""
ENOUGH = 20.0
"""Seconds of timed calls after which there are no more of them."""


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


def designs(config: LinearBenchmark) -> list[tuple[int, int, float]]:
    """Rows, features and correlation of neighbouring columns: many rows and few, uncorrelated and
    correlated.
    """
    sizes = ((config.large, config.small), (config.small, config.large))
    return [
        (rows, features, correlation)
        for rows, features in sizes
        for correlation in sorted({0.0, config.correlation})
    ]


def make_problem(config: LinearBenchmark, model: str, design: tuple[int, int, float]) -> Problem:
    """Draws data with correlated columns, of which few matter, and noise a third as large as the
    signal.
    """
    rows, features, correlation = design
    random = np.random.default_rng(config.seed)
    x = random.standard_normal((rows, features))
    for column in range(1, features):
        x[:, column] = correlation * x[:, column - 1] + (1 - correlation**2) ** 0.5 * x[:, column]
    weights = np.zeros(features)
    weights[random.permutation(features)[: min(rows, features) // 10]] = random.standard_normal(
        min(rows, features) // 10
    )
    y = x @ weights
    y += random.standard_normal(rows) * np.linalg.norm(y) / (3 * rows**0.5)
    x = np.asfortranarray((x - x.mean(0)) / x.std(0))
    y = (y > 0).astype(float) if model == "sparse logistic" else (y - y.mean()) / y.std()
    # The gradient at w = 0, where a logistic model predicts one half.
    slope = x.T @ ((0.5 if model == "sparse logistic" else 0) - y) / rows
    largest = (
        np.linalg.norm(slope.reshape(-1, GROUP), axis=1).max()
        if model == "group lasso"
        else np.abs(slope).max()
    )
    largest /= L1_RATIO if model == "elastic net" else 1
    return Problem(model, x, y, np.geomspace(largest, largest * config.ratio, config.strengths))


def judge(problem: Problem, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objectives and duality gaps (strengths,) of weights (strengths, features), whoever found
    them.
    """
    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)
    make = penalty_of(problem.model)

    def measured(strength: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        def predict(w: jax.Array) -> jax.Array:
            return x @ w.ravel()

        gap = jaxreg.duality_gap(make(strength), w, predict, y, problem.loss)
        z = predict(w)
        squares = jnp.mean(jnp.square(z - y)) / 2
        loss = squares if problem.loss == "squares" else jnp.mean(jnp.logaddexp(0, z) - y * z)
        return loss + jaxreg.penalty_value(make(strength), w), gap

    shaped = jnp.asarray(weights).reshape(-1, *problem.shape)
    objectives, gaps = jax.lax.map(
        lambda pair: measured(*pair), (jnp.asarray(problem.strengths), shaped)
    )
    return np.asarray(objectives), np.asarray(gaps)


def reference_of(problem: Problem) -> Reference:
    """Solves a problem as well as float64 allows."""
    weights = SOLVERS[OURS](problem, REFERENCE)
    objectives, gaps = judge(problem, weights)
    return Reference(weights, objectives, objectives - gaps)


def time_solver(
    name: str, problem: Problem, reference: Reference, config: LinearBenchmark
) -> dict[str, Any]:
    """Times a solver in a process of its own, at the first tolerance that is small enough.

    Returns:
        `cold`, the seconds of the first call, which compiles; `seconds` of later calls at the final
        `tolerance`; the largest `distance` from the minimum as a share of it; the largest
        difference of the `objective` from the reference's, and the number of λ with the same
        `support` after one more call. Without `seconds` a call took longer than the limit, or the
        solver failed with an `error`, or no tolerance was small enough.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=work, args=(sender, name, problem, reference, config), daemon=True
    )
    process.start()
    sender.close()
    found: dict[str, Any] = {}
    limit = None
    try:
        # The process begins with its imports, which do not count.
        while receiver.poll(limit):
            found |= receiver.recv()
            limit = config.limit
        found["stopped"] = f"a call took more than {limit:g} s"
    except EOFError:
        process.join()
        if process.exitcode:
            found.setdefault("error", f"the process ended with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()
    return found


def work(
    sender: Connection, name: str, problem: Problem, reference: Reference, config: LinearBenchmark
) -> None:
    """Sends what a solver finds, or its error; runs in a process of its own."""
    try:
        for found in tighten(name, problem, reference, config):
            sender.send(found)
    except Exception as error:
        sender.send({"error": f"{type(error).__name__}: {error}"})


def tighten(
    name: str, problem: Problem, reference: Reference, config: LinearBenchmark
) -> Iterator[dict[str, Any]]:
    """Calls a solver with tighter and tighter tolerances; yields what is known after each call."""
    jax.config.update("jax_enable_x64", True)
    # Where a solver does not converge, the distance shows it.
    warnings.simplefilter("ignore")
    solve = SOLVERS[name]
    judge(problem, np.zeros_like(reference.weights))
    yield {}
    cold = None
    for tolerance in TOLERANCES:
        began = time.perf_counter()
        weights = solve(problem, tolerance)
        cold = time.perf_counter() - began if cold is None else cold
        objectives = judge(problem, weights)[0]
        distance = float(np.max((objectives - reference.below) / objectives))
        difference = float(np.max(np.abs(objectives / reference.objectives - 1)))
        yield {"cold": cold, "tolerance": tolerance, "distance": distance, "objective": difference}
        if distance <= config.distance:
            break
    else:
        return
    times: list[float] = []
    while len(times) < config.repeats and sum(times) < ENOUGH:
        began = time.perf_counter()
        solve(problem, tolerance)
        times.append(time.perf_counter() - began)
        yield {"seconds": times}
    finer = solve(problem, FINER * tolerance)
    yield {"support": int(np.sum(np.all((finer != 0) == (reference.weights != 0), axis=1)))}


def cross_validate(config: LinearBenchmark, design: tuple[int, int, float]) -> dict[str, Any]:
    """Times cross-validation of the lasso with a fit of all rows at the end, as `LassoCV` does it,
    on all cores.
    """
    from sklearn.linear_model import LassoCV

    problem = make_problem(config, "lasso", design)
    x = np.ascontiguousarray(problem.x)

    def ours() -> float:
        scores = jaxreg.cross_validate_linear_path(
            x, problem.y, jaxreg.L1, problem.strengths[::-1], folds=config.folds
        )
        jaxreg.fit_linear_path(x, problem.y, jaxreg.L1, problem.strengths[::-1])
        return float((scores.record["gap"] / scores.record["objective"]).max())

    def theirs(tol: float) -> None:
        LassoCV(alphas=problem.strengths, cv=config.folds, n_jobs=-1, tol=tol, max_iter=10**6).fit(
            x, problem.y
        )

    gap = ours()
    peers = [
        {"tolerance": tol, "seconds": timed(functools.partial(theirs, tol), config)}
        for tol in config.cv_tolerances
    ]
    return {"gap": gap, OURS: timed(ours, config), "LassoCV": peers}


def timed(call: Callable[[], object], config: LinearBenchmark) -> list[float]:
    """Seconds of some calls."""
    passed: list[float] = []
    while len(passed) < config.repeats and sum(passed) < ENOUGH:
        began = time.perf_counter()
        call()
        passed.append(time.perf_counter() - began)
    return passed


def count_problems(config: LinearBenchmark) -> int:
    """Number of problems, and of cross-validations."""
    return (len(config.models) + 1) * len(designs(config))


def measure_linear(config: LinearBenchmark, advance: Callable[[int], None]) -> dict[str, Any]:
    """Times every solver on every problem, in float64. A run that was interrupted goes on with the
    next problem.

    Args:
        config: sizes and tolerances.
        advance: called with 1 after each problem.

    Returns:
        `rows`: for each problem, its model and design, the `gap` of the reference, and a dict by
        solver; `validation`: times of cross-validation; `packages`: the versions of what is
        compared; the seconds of interrupted runs.
    """
    parts = Parts(config.out, dataclasses.asdict(config))
    rows, validation = [], []
    with jax.enable_x64(True):
        for model, design in itertools.product(config.models, designs(config)):
            found = parts.get(
                f"{model}, {design}", functools.partial(solve_problem, config, model, design)
            )
            rows.append({"model": model, "design": design, **found})
            advance(1)
        for design in designs(config):
            times = parts.get(
                f"cross-validation, {design}", functools.partial(cross_validate, config, design)
            )
            validation.append({"design": design, **times})
            advance(1)
    parts.discard()
    names = {name for model in config.models for name in solvers_for(model, config.packages)}
    packages = {name: importlib.metadata.version(name) for name in sorted(names - {OURS})}
    return {"rows": rows, "validation": validation, "packages": packages, EARLIER: parts.earlier}


def solve_problem(
    config: LinearBenchmark, model: str, design: tuple[int, int, float]
) -> dict[str, Any]:
    """What every solver needs for one problem, by its name."""
    problem = make_problem(config, model, design)
    reference = reference_of(problem)
    gap = float(np.max((reference.objectives - reference.below) / reference.objectives))
    names = solvers_for(model, config.packages)
    return {
        "gap": gap,
        "solvers": {name: time_solver(name, problem, reference, config) for name in names},
    }


def show_linear(config: LinearBenchmark, numbers: dict[str, Any]) -> Iterable[Sheet | str]:
    """The tables of times and of agreement."""
    from experiments.benchmarks.excerpts import EXCERPTS

    saved = {**numbers, "made_by": {"config": dataclasses.asdict(config)}}
    for table, text in EXCERPTS["linear"](saved).values():
        yield table
        yield text


BENCHMARK = Benchmark(count_problems, measure_linear, show_linear)
