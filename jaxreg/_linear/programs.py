"""The compiled programs of linear paths, and their calls for all folds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import full_precision
from jaxreg._basis import Directions, orthonormal, projected
from jaxreg._duality import gap_below
from jaxreg._linear.inputs import Data
from jaxreg._linear.path import Grid, Progress, Settings, Solver
from jaxreg._typing import PyTree
from jaxreg.penalties import Penalty

LAPACK = "scipy.linalg.cython_lapack"
"""The module from which JAX takes LAPACK."""
FEWEST = 16
"""Weights of the smallest set that is compiled for; others have 1.5, 2, 3, 4, … times as many."""
ROUNDING = 8
"""The rounding of a centred column, in units of the precision times what was subtracted."""
AT_ONCE = 2**22
"""How many predictions are measured at a time."""
QUICKLY: Any = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else None
"""XLA's older code generator for CPUs compiles these programs in two thirds of the time, and they
run no slower; later versions of JAX do not have it.
"""
compiled = functools.partial(jax.jit, compiler_options=QUICKLY)
SECONDS = "jax_persistent_cache_min_compile_time_secs"
"""JAX's name for the least seconds of compilation after which it keeps a program."""
compiling = threading.Lock()
"""Held while a program is called, which compiles it once; it runs after the call."""


class Measured(NamedTuple):
    """Solutions along a path, from the largest λ.

    Attributes:
        w: weights (strengths, blocks, size), in the units of the data.
        free: coefficients of the columns without a penalty (strengths, columns, …).
        intercepts: (strengths, …), for columns that are not centred.
        record: numbers by name, each (strengths,).
    """

    w: Any
    free: Any
    intercepts: Any
    record: dict[str, Any]


class Solved(NamedTuple):
    """A path.

    Attributes:
        found: the solutions.
        refitted: those without a penalty on the same support; None without refitting.
        left: the derivative of the loss that is left there (strengths,), see `Loss.settle`.
    """

    found: Measured
    refitted: Measured | None
    left: np.ndarray | None


class Subtracted(NamedTuple):
    """What was subtracted so that columns and, under squares, targets are orthogonal to what has no
    penalty, and what columns were divided by.

    Attributes:
        columns: coefficients of the basis (features, directions), of columns in their own units.
        y: coefficients of the basis (directions, …).
        back: from coefficients of the basis to the intercept and those of the columns (1 + columns,
            directions).
        scale: of the columns (features,); None for 1.
    """

    columns: jax.Array
    y: jax.Array
    back: jax.Array
    scale: jax.Array | None


class Prepared(NamedTuple):
    """A path before its first λ.

    Attributes:
        solver: the solver for some rows.
        subtracted: what was subtracted from them.
        start: weights (blocks, size) and coefficients of the basis (directions, …) where the path
            begins.
        gradient: there, divided by the factors (blocks, size). It is 0 where it is rounding alone:
            for targets that do not vary, and for columns that do not.
    """

    solver: Solver
    subtracted: Subtracted
    start: tuple[jax.Array, jax.Array]
    gradient: jax.Array

    def progress(self, count: int) -> Progress:
        """The beginning of a path of `count` strengths."""
        # By NumPy, as JAX would compile each of these.
        w, free = (np.zeros((count, *a.shape), a.dtype) for a in self.start)
        steps = np.zeros(count, np.int32)
        begun: Any = np.zeros([], np.int32), w, free, steps, self.start
        return Progress(*jax.device_put(begun))


def prepare(settings: Settings, data: Data) -> Prepared:
    """Subtracts what has no penalty from the rows that are meant, and finds where their path
    begins.
    """
    prepared = call(centre, settings, data)
    solver = prepared.solver
    if solver.columns is None:
        solver = dataclasses.replace(solver, columns=data.columns)
    return prepared._replace(solver=solver)


def gram_of(solver: Solver) -> jax.Array | None:
    """The second derivative of squares, where BLAS can compute it; of a symmetric matrix it
    computes half, XLA all.
    """
    settings, columns = solver.settings, solver.columns
    alone = solver.whole and settings.quadratic and not settings.outputs and not solver.share.ndim
    if not alone or [device.platform for device in columns.devices()] != ["cpu"]:
        return None
    with np.errstate(all="ignore"):  # what is not finite is found in the solutions
        each = np.asarray(columns)
        gram = each @ each.T
        gram *= np.asarray(solver.share)
    return jax.device_put(gram)


@functools.partial(compiled, static_argnums=0)
@full_precision()
def centre(settings: Settings, data: Data) -> Prepared:
    """As `prepare`, but columns are None where they are those that were given, which would be
    copied.
    """
    loss, outputs, size = settings.loss, settings.outputs, settings.size
    given, y, free, offset, share = data.taken()
    basis, back = orthonormal(free, share, settings.intercept)
    ones = jnp.ones((len(y), 1), given.dtype)
    columns, along = projected(given, basis, share)
    removed = along
    if not loss.shifted:
        # A constant changes nothing but rounding.
        columns, level = projected(columns, ones, share)
        removed = jnp.concatenate([along, level], 1)
    lengths = spread(columns, share)
    # Of a column that what was subtracted explains, nothing but rounding is left.
    rounding = ROUNDING * jnp.finfo(given.dtype).eps
    varied = lengths > rounding * jnp.max(jnp.abs(removed), 1, initial=0)
    scale, limits = None, data.limits
    if settings.standardize:
        # Around the mean, whether there is an intercept or not.
        around, level = projected(given, ones, share)
        deviation = spread(around, share)
        alive = varied & (deviation > rounding * jnp.abs(level[:, 0]))
        scale = jnp.where(alive, deviation, 1)
        columns, lengths = columns / scale[:, None], lengths / scale
        each = jnp.repeat(scale, max(outputs, 1)).reshape(-1, size)
        limits = jax.tree.map(lambda limit: limit * each, limits)
    each_output = (outputs,) if outputs else ()
    shift = jnp.zeros((*basis.shape[1:], *each_output), given.dtype)
    if settings.quadratic:
        left = y if offset is None else y - offset
        y, shift = (part.T for part in projected(left.T, basis, share))
        offset = None
    y = loss.arrange(y, share)
    lengths = jnp.repeat(lengths, max(outputs, 1)).reshape(-1, size)
    unit = jnp.max(lengths if data.factors is None else lengths / data.factors)
    solver = Solver(settings, columns, y, offset, share, basis, unit, data.factors, limits)

    blank = jnp.zeros((given.shape[1], *each_output), given.dtype)
    z = loss.balance(basis, blank if offset is None else blank + offset, y, share)
    without = z if offset is None else z - offset
    start = jnp.zeros(solver.shape, given.dtype), projected(without.T, basis, share)[1].T
    slope = loss.gradient(z, y, share)
    largest = jnp.max(jnp.abs(data.y)) if loss.shifted else 1
    varied &= jnp.sum(jnp.abs(slope)) > 2 * jnp.finfo(given.dtype).eps * largest
    gradient = solver.slopes(z)[0] if data.factors is None else solver.slopes(z)[0] / data.factors
    known = jnp.repeat(varied, max(outputs, 1)).reshape(solver.shape)
    if columns is data.columns:
        solver = dataclasses.replace(solver, columns=cast(Any, None))
    return Prepared(
        solver, Subtracted(along, shift, back, scale), start, jnp.where(known, gradient, 0)
    )


def spread(columns: jax.Array, share: jax.Array) -> jax.Array:
    """The root mean square of each column (features, rows), without overflow."""
    squares = jnp.sum(share * jnp.square(columns), -1)

    def scaled() -> jax.Array:
        largest = jnp.max(jnp.abs(columns), 1, initial=0)
        each = columns / jnp.where(largest > 0, largest, 1)[:, None]
        return largest * jnp.sqrt(jnp.sum(share * jnp.square(each), -1))

    number = jnp.finfo(columns.dtype)
    exact = (squares > number.tiny / number.eps) & (squares < jnp.inf)
    return jax.lax.cond(jnp.all(exact), lambda: jnp.sqrt(squares), scaled)


@functools.partial(compiled, donate_argnums=2)
@full_precision()
def advance(solver: Solver, grid: Grid, progress: Progress) -> Progress:
    """Solves as many λ as the capacity of the working sets allows."""
    return solver.run(grid, progress)


@compiled
@full_precision()
def measure(
    solver: Solver,
    subtracted: Subtracted,
    penalties: PyTree,
    progress: Progress,
    tested: Data | None,
) -> Measured:
    """Measures the solutions on all rows and features, whatever the working sets were."""
    settings, y, share = solver.settings, solver.y, solver.share
    loss = settings.loss

    def at(penalty: Penalty, w: jax.Array, free: jax.Array) -> dict[str, jax.Array]:
        charge, z = solver.charge(penalty), solver.predict(w, free)
        value, charged = loss.total(z, y, share), jnp.sum(charge.values(w))
        gradient, unbalanced = solver.slopes(z)
        record = {
            "objective": value + charged,
            "loss": value,
            "residual": solver.residual(charge.violations(w, gradient), unbalanced),
            "nonzeros": jnp.sum(w != 0),
        }
        if settings.certified:
            balanced, along = z, gradient
            if not settings.quadratic:  # whose columns and targets are orthogonal to the basis
                balanced = loss.balance(solver.basis, z, y, share)
                along = solver.slopes(balanced)[0]
            record["gap"] = gap_below(
                value + charged, loss, balanced, solver.offset, y, share, [(charge.whole(), -along)]
            )
        return record

    record = by_batches(at, solver, len(solver.basis), penalties, progress.w, progress.free)
    record["steps"] = progress.steps
    w = jax.vmap(solver.by_feature)(progress.w)
    if subtracted.scale is not None:
        w = (w.swapaxes(0, 1) / by_axes(subtracted.scale, w.ndim)).swapaxes(0, 1)
    coefficients = (
        progress.free + subtracted.y - jnp.einsum("lf...,fk->lk...", w, subtracted.columns)
    )
    intercepts, free = jnp.split(
        jnp.einsum("lk...,ck->lc...", coefficients, subtracted.back), [1], 1
    )
    if loss.invariant:
        intercepts, free = (a - jnp.mean(a, -1, keepdims=True) for a in (intercepts, free))
    record["nonzeros"] += jnp.sum(free != 0, range(1, free.ndim))
    if tested is not None:
        columns, targets, beside, offset, parts = tested.taken()
        arranged = loss.arrange(targets, parts)

        def test(w: jax.Array, free: jax.Array, intercept: jax.Array) -> jax.Array:
            z = columns.T @ w + beside @ free + intercept
            return loss.total(z if offset is None else z + offset, arranged, parts)

        record["validation_loss"] = by_batches(
            test, solver, columns.shape[1], w, free, intercepts[:, 0]
        )
    return Measured(w.reshape(progress.w.shape), free, intercepts[:, 0], record)


def by_batches(function: Callable[..., Any], solver: Solver, rows: int, *arguments: PyTree) -> Any:
    """Applies a function of so many predictions at each λ, to several at a time, as predictions at
    all λ may take more memory than the data.
    """
    many = AT_ONCE // (rows * max(solver.settings.outputs, 1))
    many = max(many, len(solver.columns) // 2, 1)
    if many >= len(jax.tree.leaves(arguments)[0]):
        return jax.vmap(function)(*arguments)
    return jax.lax.map(lambda each: function(*each), arguments, batch_size=many)


def by_axes(numbers: jax.Array, ndim: int) -> jax.Array:
    """Numbers (features,) with axes of length 1 behind, up to `ndim`."""
    return numbers.reshape(-1, *(1,) * (ndim - 1))


@compiled
@full_precision()
def settle(
    solver: Solver, along: Directions, z: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Moves weights and the coefficients of the basis to the minimum of the loss.

    Args:
        solver: the solver.
        along: of the weights that may move.
        z: predictions to begin with.

    Returns:
        What is added to the weights and to the coefficients, and `Loss.settle`'s derivative.
    """
    outputs, many = solver.settings.outputs, len(along.rows)
    basis = Directions.of(solver.basis, outputs)
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), along, basis)
    _, added, left = solver.settings.loss.settle(both, z, solver.y, solver.share)
    return added[:many], added[many:], left


def relaxed(
    solver: Solver, single: Callable[[Any], Directions], w: np.ndarray, free: np.ndarray, z: Any
) -> tuple[np.ndarray, np.ndarray, jax.Array]:
    """One solution without a penalty on its support.

    Args:
        solver: the solver.
        single: from places of single weights to what these add to the predictions.
        w: weights (blocks, size).
        free: coefficients of the basis.
        z: their predictions.

    Returns:
        Weights, coefficients, and the derivative that is left, see `Loss.settle`.
    """
    places = np.flatnonzero(w)
    filled = np.resize(places, rounded_up(len(places))) if len(places) else places
    along = single(filled)
    alive = np.arange(len(filled)) < len(places)
    along = along._replace(rows=along.rows * alive[:, None])
    moved, shift, left = call(settle, solver, along, z)
    w = w.copy()
    w.ravel()[places] += np.asarray(moved)[: len(places)]
    return w, free + np.asarray(shift).reshape(free.shape), left


@full_precision()
def refit(solver: Solver, progress: Progress) -> tuple[Progress, np.ndarray]:
    """The solutions without a penalty on the support of each; and the derivatives left."""
    pairs = zip(np.asarray(progress.w), np.asarray(progress.free), strict=True)
    every = [relaxed(solver, solver.single, *pair, solver.predict(*pair)) for pair in pairs]
    w, free, left = (np.stack(part) for part in zip(*every, strict=True))
    return progress._replace(w=jnp.asarray(w), free=jnp.asarray(free)), left


def rounded_up(count: int) -> int:
    """A number of weights, rounded up to one of few, as a program is compiled for each."""
    double = FEWEST * 2 ** max(0, (count - 1) // FEWEST).bit_length()
    return double * 3 // 4 if count <= double * 3 // 4 and double > FEWEST else double


def call(program: Any, *arguments: Any) -> Any:
    """Calls a compiled program, whichever thread compiles it."""
    with compiling, kept():
        return program(*arguments)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Within it JAX keeps all that it compiles, if the user has set a folder for that and left the
    least seconds of compilation at JAX's 1, which are more than these programs take.
    """
    config = cast(Any, jax.config)
    if config.jax_compilation_cache_dir is None or getattr(config, SECONDS) != 1:
        yield
        return
    config.update(SECONDS, 0.0)
    try:
        yield
    finally:
        config.update(SECONDS, 1.0)


def solve(prepared: Prepared, tested: Data | None, grid: Grid, again: bool) -> Solved:
    """Solves one path, with working sets that grow when they are full, and refits it."""
    solver, progress = prepared.solver, prepared.progress(len(grid.tols))

    def measured(progress: Progress) -> Measured:
        return jax.block_until_ready(
            call(measure, solver, prepared.subtracted, grid.penalties, progress, tested)
        )

    gram = gram_of(solver)
    with blas.held():
        while True:
            known = dataclasses.replace(solver, gram=gram)
            progress = call(advance, known, grid, progress)
            if int(progress.done) == len(grid.tols):
                break
            capacity = min(2 * solver.settings.capacity, solver.shape[0])
            solver = dataclasses.replace(
                solver, settings=dataclasses.replace(solver.settings, capacity=capacity)
            )
        found = measured(progress)
        if not again:
            return Solved(found, None, None)
        refitted, left = refit(solver, progress)
        return Solved(found, measured(refitted), left)


def solve_all(
    settings: Settings,
    jobs: Sequence[tuple[Data, Data | None]],
    grid: Grid,
    whole: Prepared | None,
    again: bool,
) -> list[Solved]:
    """Solves the paths of all folds, in threads, as a program runs mostly on one core.

    Args:
        settings: what the programs are compiled for.
        jobs: the rows to fit and those to test on.
        grid: of λ.
        whole: the only job, if it has been prepared.
        again: whether to refit.
    """
    if len(jobs) == 1:
        return [
            solve(whole or prepare(settings, data), tested, grid, again) for data, tested in jobs
        ]
    # What a caller sets with `jax.enable_x64` and the like holds in its own thread alone.
    columns, config = jobs[0][0].columns, cast(Any, jax.config)
    double, device = columns.dtype == jnp.float64, next(iter(columns.devices()))
    precision = config.jax_default_matmul_precision

    def solve_job(job: tuple[Data, Data | None]) -> Solved:
        with (
            jax.enable_x64(double),
            jax.default_device(device),
            jax.default_matmul_precision(precision),
        ):
            return solve(prepare(settings, job[0]), job[1], grid, again)

    with blas.held(), ThreadPoolExecutor(min(len(jobs), 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(solve_job, jobs))


@functools.cache
def libraries(_lapack: bool) -> Any:
    """The loaded libraries, searched once with and once without LAPACK, as that takes milliseconds.

    Args:
        _lapack: whether JAX has loaded it, which it does when it first compiles a factorisation.

    Returns:
        Their controller; None if threadpoolctl is not installed.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


class OneThread:
    """Keeps LAPACK to one thread, which is faster for matrices of some hundred rows, if
    threadpoolctl is installed.

    The number belongs to the whole process, so the last of several calls at a time restores it.
    """

    def __init__(self) -> None:
        self.lock, self.users, self.limits = threading.Lock(), 0, contextlib.ExitStack()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within it there is one thread."""
        loaded = libraries(LAPACK in sys.modules)
        if loaded is None:
            yield
            return
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.limits.enter_context(loaded.limit(limits=1, user_api="blas"))
        try:
            yield
        finally:
            with self.lock:
                self.users -= 1
                if not self.users:
                    self.limits.close()


blas = OneThread()
"""Of this process."""
