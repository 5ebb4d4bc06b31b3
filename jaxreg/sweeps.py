"""Runs a fit over a grid of hyperparameters (every λ, every seed) on all devices, and resumes where
it was interrupted.

    def fit(key, hyperparams, data):                    # pure: arrays in, a tree of arrays out
        tx = jaxreg.prox_adam(1e-3, hyperparams["penalty"], mask=jaxreg.kernels)
        ...
        return {"loss": loss, "zeros": jaxreg.sparsity(params).fraction}

    grid = jaxreg.grid(penalty=jaxreg.L1(jnp.logspace(-5, -1, 32)), seed=range(5))
    runs = jaxreg.sweep(fit, grid, data)
    runs.outputs["loss"]                                # (32, 5)
    runs.dataset()                                      # the same as a labelled xarray.Dataset

    # Saves chunks on disk; after a kill, the same call resumes
    jaxreg.sweep(fit, grid, data, folder="sweep")
    jaxreg.sweep(fit, larger_grid, data, folder="sweep")   # computes only the new runs

    # On other machines: any concurrent.futures.Executor, such as Dask's, mpi4py's or loky's
    client = dask.distributed.Client(dask_jobqueue.SLURMCluster(cores=8, memory="16GB"))
    jaxreg.sweep(fit, grid, data, folder="sweep", executor=client.get_executor())

Every sweep traces the fit again, so that a changed global variable or attribute has an effect. A
program is compiled once and reused by later sweeps that compute the same.

A fit that calls a batched LAPACK routine (`jnp.linalg` under `vmap`) can deadlock in jaxlib's
thread pool if a CPU computes several runs at a time: start with `PJRT_NPROC=8` in the environment,
or pass `devices=1`. A sweep warns after 30 seconds without progress.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._masking import dotted
from jaxreg._sweep import keys
from jaxreg._sweep.grids import Grid
from jaxreg._sweep.plan import Plan, prepare
from jaxreg._sweep.programs import without_mesh
from jaxreg._sweep.store import Chunks, check_identity, folder_of, read_manifest
from jaxreg._sweep.watching import POLL_SECONDS, IdleCheck, Interrupts, interruptible, reporting
from jaxreg._sweep.workers import CPU_RUNS_PER_CHUNK, MEMORY_SHARE, Remote, Threads, Workers
from jaxreg._typing import PyTree

if TYPE_CHECKING:
    import xarray as xr

Outputs = TypeVar("Outputs")


@dataclasses.dataclass(frozen=True)
class Runs(Generic[Outputs]):
    """The results of a sweep; `print` shows the grid and which runs diverged.

    Attributes:
        outputs: what the fit returned, as NumPy arrays with the axes of the grid in front.
        grid: the axes, with their values.
        diverged: whether each run diverged, a bool array in the shape of the grid.
    """

    outputs: Outputs
    grid: Grid
    diverged: np.ndarray

    def dataset(self) -> xr.Dataset:
        """Returns the outputs as an `xarray.Dataset`: the axes of the grid become dimensions, their
        values coordinates.

        Names of nested outputs have dots, as in `params.layer.kernel`. An output named like an
        axis, a coordinate or another variable gets the suffix `_output`. Typed keys are converted
        to their data, and bfloat16 and other narrow floats to float32, which netCDF can hold.

        Returns:
            The dataset.

        Raises:
            ImportError: xarray is not installed.
        """
        import xarray as xr

        coordinates = {
            label: ([axis], keys.savable(values))
            for label, (axis, values) in self.grid.coordinates().items()
        }
        taken = {*self.grid.axes, *coordinates}
        variables = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.outputs):
            array = keys.savable(leaf)
            name = dotted(path) or "output"
            count = array.ndim - len(self.grid.axes)
            while taken & {name, *(extra := [f"{name}_{axis}" for axis in range(count)])}:
                name += "_output"
            taken |= {name, *extra}
            variables[name] = ([*self.grid.axes, *extra], array)
        return xr.Dataset(variables, coordinates)

    def __str__(self) -> str:
        shape = " × ".join(
            f"{name} {length}" for name, length in zip(self.grid.axes, self.grid.shape, strict=True)
        )
        bad = np.flatnonzero(self.diverged)
        if not bad.size:
            return f"{self.grid.size} runs ({shape}), none diverged"
        named = "; ".join(self.grid.describe(int(run)) for run in bad[:8])
        more = f"; and {bad.size - 8} more" if bad.size > 8 else ""
        return f"{self.grid.size} runs ({shape}), {bad.size} diverged: {named}{more}"


def sweep(
    fit: Callable[[jax.Array, Any, Any], Outputs],
    hyperparams: Grid | PyTree,
    data: PyTree = None,
    *,
    seeds: int | Sequence[int] | None = None,
    key: jax.Array | None = None,
    folder: str | os.PathLike[str] | None = None,
    devices: int | None = None,
    at_once: int | None = None,
    chunk: int | None = None,
    progress: bool | Callable[[int], None] | None = None,
    diverged: Callable[[Any], bool] | None = None,
    executor: Executor | None = None,
) -> Runs[Outputs]:
    """Runs a fit for every combination of hyperparameters and seeds.

        >>> import jax, jax.numpy as jnp, jaxreg
        >>> def fit(key, hyperparams, data):
        ...     noisy = data + 0.1 * jax.random.normal(key, data.shape)
        ...     return {"zeros": jnp.mean(hyperparams["penalty"].prox(noisy, 1.0) == 0)}
        >>> grid = jaxreg.grid(penalty=jaxreg.L1(jnp.array([0.0, 1.0, 10.0])))
        >>> runs = jaxreg.sweep(fit, grid, jnp.array([0.5, 5.0]), seeds=2)
        >>> print(runs)
        6 runs (penalty 3 × seed 2), none diverged
        >>> print(runs.outputs["zeros"].mean(1))
        [0.  0.5 1. ]

    Args:
        fit: a pure function `fit(key, hyperparams, data)` that JAX can trace and that returns a
            tree of arrays.
        hyperparams: a `grid`, from which `fit` receives a dict with one value per axis; or a tree
            of arrays with one leading axis, from which it receives one entry. Here, in `data` and
            in the outputs, arrays may also hold typed keys.
        data: a tree of arrays, the same for all runs, passed as an argument and never compiled in
            as a constant. Or a function without arguments that returns it; every worker of an
            executor then loads the data itself, for which it must be possible to pickle the
            function.
        seeds: how many seeds, or a list of seeds from 0 to 2³² − 1. They become the last axis of
            the grid, `seed`, and the key of a run is `jax.random.key(seed)`.
        key: instead of seeds. The key of a run is `jax.random.fold_in(key, index of the run)`;
            default `jax.random.key(0)`.
        folder: where finished chunks are saved; `~` is the home folder. When called again with the
            same fit and data, a sweep computes only the missing runs, also if the grid or the seeds
            changed, and returns saved runs unchanged to the bit. (With `key`, a run counts as the
            same only if its index is.) Effects of host callbacks inside the fit are not compared.
            None saves nothing.
        devices: how many of JAX's devices to use, of each worker if there is an executor; None uses
            all. A CPU is one device to JAX: there it is the number of runs that are computed at a
            time, by default two for each core.
        at_once: how many runs a device computes together. Above 1, the last bits of a run can
            depend on its neighbours. None takes the value that the folder was created with, else 1
            on a CPU core and as many as fit the memory of an accelerator.
        chunk: how many runs a device computes between two saves. None takes the value that the
            folder was created with, else 8 on a CPU core (or `at_once`, if that is larger) and
            `at_once` elsewhere.
        progress: None shows a bar on a terminal if rich is installed, False shows nothing. A
            function is called with the number of runs that were loaded from the folder, and then
            with the number that each chunk completed.
        diverged: decides from the outputs of one run, as NumPy arrays, whether it diverged. None:
            if any floating-point or complex output has a NaN or an infinity.
        executor: computes the chunks: any `concurrent.futures.Executor` whose workers can import
            jaxreg and have the same versions of jax and jaxlib and the same kind of device, for
            example `client.get_executor()` of a `dask.distributed.Client` or
            `ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))`. Needs the
            packages of the extra `dask`. The fit itself is not sent, only its traced
            program, so that it may be a lambda; but it must not call back into Python. This process
            saves the chunks, and a folder can be resumed with another executor or without one. None
            computes in this process.

    Returns:
        The outputs over the grid. Diverged runs are included; `Runs.diverged` marks them.

    Raises:
        TypeError: a count is not an integer, the data are not arrays of numbers, or the key is not
            a PRNG key.
        ValueError: there are not that many devices, a count is below 1, the seeds are invalid or
            given together with a key, the fit returns nothing, or the executor cannot compute it.
        RuntimeError: a worker of the executor failed, or there are several processes of
            `jax.distributed` and no executor.
        SweepMismatchError: the folder holds another sweep (the message names what differs) or
            something else.
        OSError: a chunk could not be written; earlier chunks are kept.
        KeyboardInterrupt: after Ctrl-C, once the chunks that this process computes are saved; those
            of an executor are not waited for. A second Ctrl-C, or the first without a folder, does
            not wait either.
    """
    with without_mesh(), interruptible() as interrupts:
        path = None if folder is None else folder_of(folder)
        counts = {"devices": devices, "at_once": at_once, "chunk": chunk}
        plan = prepare(fit, hyperparams, data, seeds, key, counts)
        workers: Workers = Threads(devices) if executor is None else Remote(executor, devices)
        layout = layout_of(plan, workers, counts, path)
        store = None if path is None else Chunks(path, {**plan.identity, "layout": layout})
        results, done = stored_results(plan, store)
        interrupts.deferred = store is not None
        interrupts.message = lambda: f"stopped {progress_of(done, path)}"
        with reporting(progress, plan.axes.size) as advance:
            if done.any():
                advance(int(done.sum()))
            if not done.all():
                workers.prepare(plan, layout)
            finished = compute_missing(plan, workers, layout, ~done, interrupts)
            with contextlib.closing(finished):
                for picked, rows in finished:
                    if store is not None:
                        store.save(plan.ids[picked], rows)
                    for result, leaf in zip(results, rows, strict=True):
                        result[picked] = leaf
                    done[picked] = True
                    advance(len(picked))
        return lay_out(results, plan, diverged)


def layout_of(
    plan: Plan, workers: Workers, counts: dict[str, int | None], folder: Path | None
) -> dict[str, Any]:
    """Chooses the layout of the compiled program: the caller's, else that of the folder, else a
    default.

    Raises:
        SweepMismatchError: the folder holds another sweep.
    """
    hardware = workers.hardware
    manifest = None if folder is None else read_manifest(folder)
    previous = {} if manifest is None else manifest["layout"]
    at_once = counts["at_once"] or previous.get("at_once") or runs_that_fit(plan, workers)
    least = CPU_RUNS_PER_CHUNK if hardware.platform == "cpu" else 1
    chunk = counts["chunk"] or previous.get("chunk") or max(at_once, least)
    layout = {"device": hardware.kind, "at_once": min(at_once, chunk), "chunk": chunk}
    if manifest is not None and folder is not None:
        check_identity(folder, manifest, {**plan.identity, "layout": layout})
    return layout


def runs_that_fit(plan: Plan, workers: Workers) -> int:
    """Computes how many runs a device can take at once: 1 on a CPU core, else as many as fit in
    memory.

    Programs for one run and for two are compiled; the difference between their memory is what a run
    needs.
    """
    if workers.hardware.memory is None:
        return 1
    first, both = (workers.memory_needed(plan, count) for count in (1, 2))
    most = -(-plan.axes.size // workers.hardware.lanes)
    return runs_within(int(MEMORY_SHARE * workers.hardware.memory), first, both, most)


def runs_within(budget: int, first: int, both: int, most: int) -> int:
    """Returns the largest count from 1 to `most` within the memory budget, if each further run adds
    what the second does.
    """
    return max(1, min(most, 1 + (budget - first) // max(both - first, 1)))


def stored_results(plan: Plan, store: Chunks | None) -> tuple[list[np.ndarray], np.ndarray]:
    """Allocates arrays for the results of every run and loads those that are on disk; returns both,
    and which are loaded.
    """
    size = plan.axes.size
    results = [np.zeros((size, *leaf.shape), leaf.dtype) for leaf in plan.program.outputs]
    done = np.zeros(size, bool)
    places: dict[bytes, list[int]] = {}
    for number, name in enumerate(plan.ids):
        places.setdefault(name.tobytes(), []).append(number)
    for ids, leaves in () if store is None else store.load(plan.program.outputs):
        for row, name in enumerate(ids):
            for number in places.get(name.tobytes(), ()):
                done[number] = True
                for result, leaf in zip(results, leaves, strict=True):
                    result[number] = leaf[row]
    return results, done


def compute_missing(
    plan: Plan,
    workers: Workers,
    layout: dict[str, Any],
    missing: np.ndarray,
    interrupts: Interrupts,
) -> Generator[tuple[np.ndarray, list[np.ndarray]]]:
    """Computes the missing runs and yields each chunk as it is finished: its runs, and their
    results.

    A bounded number of tasks is in flight, and those that have not begun are cancelled when the
    iterator is closed. After a deferred SIGINT, threads finish the chunks at work; workers of an
    executor, which may need long, are not waited for.
    """
    runs = np.flatnonzero(missing)
    lanes = workers.lanes_per_task
    share = -(-len(runs) // workers.in_flight)
    size = min(max(share, layout["at_once"] * lanes), layout["chunk"] * lanes)
    chunks = (runs[start : start + size] for start in range(0, len(runs), size))
    pending: dict[Future[list[np.ndarray] | None], np.ndarray] = {}
    idle = IdleCheck() if isinstance(workers, Threads) and workers.in_flight > 1 else None

    def submit(picked: np.ndarray, *, everything: bool = False) -> None:
        arguments = [leaf[picked] for leaf in plan.run_leaves]
        pending[workers.submit(arguments, everything=everything)] = picked

    try:
        while True:
            while len(pending) < workers.in_flight and not interrupts.count:
                picked = next(chunks, None)
                if picked is None:
                    break
                submit(picked)
            if not pending:
                break
            finished, _ = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            for future in finished:
                picked = pending.pop(future)
                rows = workers.result(future, interrupts.message)
                if rows is None:
                    submit(picked, everything=True)
                else:
                    yield picked, rows
            if idle is not None:
                idle.check(bool(finished))
            if interrupts.count and isinstance(workers, Remote):
                break
        interrupts.check()
    finally:
        for future in pending:
            future.cancel()


def progress_of(done: np.ndarray, folder: Path | None) -> str:
    """Says how many runs are done and whether they are saved."""
    saved = (
        "nothing was saved; pass a folder to sweep so that it can resume"
        if folder is None
        else f"they are saved in {folder}, and the same call resumes from there"
    )
    return f"after {int(done.sum())} of {len(done)} runs; {saved}"


def lay_out(results: list[np.ndarray], plan: Plan, diverged: Callable[[Any], bool] | None) -> Runs:
    """Arranges the results as one tree over the grid, and finds the diverged runs."""
    program, axes = plan.program, plan.axes
    typed = keys.wrap(results, program.kinds)
    if diverged is None:
        bad = not_finite(results)
    else:
        trees = (
            jax.tree.unflatten(program.structure, [leaf[run] for leaf in typed])
            for run in range(axes.size)
        )
        bad = np.array([bool(diverged(tree)) for tree in trees])
    tree = jax.tree.unflatten(
        program.structure, [leaf.reshape(*axes.shape, *leaf.shape[1:]) for leaf in typed]
    )
    return Runs(tree, axes, bad.reshape(axes.shape))


def not_finite(results: list[np.ndarray]) -> np.ndarray:
    """Marks the runs in which a floating-point or complex result holds a NaN or an infinity."""
    bad = np.zeros(len(results[0]), bool)
    for leaf in results:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            wide = leaf.astype(
                np.complex128 if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else np.float64
            )
            bad |= ~np.isfinite(wide).reshape(len(leaf), -1).all(1)
    return bad
