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

Every sweep traces the fit again, so that a changed global variable or attribute has an effect. A
program is compiled once and reused by later sweeps that compute the same. On a CPU, first make
every core a device: `jax.config.update("jax_num_cpu_devices", n)`.

A fit that calls a batched LAPACK routine (`jnp.linalg` under `vmap`) on several CPU devices can
deadlock in jaxlib's thread pool: start with `PJRT_NPROC=8` in the environment, or pass `devices=1`.
A sweep warns after 30 seconds without progress.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxreg._masking import dotted
from jaxreg._sweep import engine, keys
from jaxreg._sweep.grids import Grid
from jaxreg._sweep.plan import Plan, prepare
from jaxreg._sweep.processes import Team
from jaxreg._sweep.store import Chunks, Identity, check_identity, folder_of, read_manifest
from jaxreg._sweep.watching import Stall, Watch, interruptible, reporting
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

    Under `jax.distributed` all processes raise the same error, whichever process it occurred in.
    Ctrl-C in any process stops all of them after the current chunk; a second Ctrl-C ends its own
    process only.

    Args:
        fit: a pure function `fit(key, hyperparams, data)` that JAX can trace and that returns a
            tree of arrays.
        hyperparams: a `grid`, from which `fit` receives a dict with one value per axis; or a tree
            of arrays with one leading axis, from which it receives one entry. Here, in `data` and
            in the outputs, arrays may also hold typed keys.
        data: a tree of arrays, the same for all runs, passed as an argument and never compiled in
            as a constant.
        seeds: how many seeds, or a list of seeds from 0 to 2³² − 1. They become the last axis of
            the grid, `seed`, and the key of a run is `jax.random.key(seed)`.
        key: instead of seeds. The key of a run is `jax.random.fold_in(key, index of the run)`;
            default `jax.random.key(0)`.
        folder: where finished chunks are saved; `~` is the home folder. When called again with the
            same fit and data, a sweep computes only the missing runs, also if the grid or the seeds
            changed, and returns saved runs unchanged to the bit. (With `key`, a run counts as the
            same only if its index is.) Effects of host callbacks inside the fit are not compared.
            None saves nothing.
        devices: how many of JAX's devices to use; None uses all. The number of runs need not be a
            multiple of it.
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

    Returns:
        The outputs over the grid. Diverged runs are included; `Runs.diverged` marks them.

    Raises:
        TypeError: a count is not an integer, the data are not arrays of numbers, or the key is not
            a PRNG key.
        ValueError: there are not that many devices, a count is below 1, the seeds are invalid or
            given together with a key, the fit returns nothing, or the processes were given
            different sweeps.
        SweepMismatchError: the folder holds another sweep (the message names what differs) or
            something else.
        OSError: a chunk could not be written; earlier chunks are kept.
        KeyboardInterrupt: after Ctrl-C, once the current chunk is saved. A second Ctrl-C, or the
            first without a folder, does not wait.
    """
    with engine.without_mesh(), interruptible() as watch:
        team = Team(watch)
        watch.deferred = team.several
        counts = {"at_once": at_once, "chunk": chunk}
        path = team.in_step(lambda: None if folder is None else folder_of(folder))
        plan = team.in_step(lambda: prepare(fit, hyperparams, data, seeds, key, counts))
        mesh = team.in_step(lambda: engine.mesh_of(devices))
        layout = team.from_first_process(lambda: layout_of(plan, mesh, counts, path))
        identity = {**plan.identity, "layout": layout}
        team.require_same(
            f"{identity}{plan.ids.tobytes().hex()[:32]}{len(plan.ids)}{devices}{path is None}"
        )
        run = team.in_step(
            lambda: engine.ChunkRunner(plan.program, mesh, layout, plan.runs, plan.shared)
        )
        store = team.in_step(
            lambda: None if path is None or jax.process_index() else Chunks(path, identity)
        )
        results, done = stored_results(plan, store, team)
        watch.deferred = team.several or store is not None
        if mesh.devices.flat[0].platform == "cpu" and mesh.size > 1:
            watch.stall = Stall()
        watch.interrupt_message = lambda: interrupt_message(int(done.sum()), len(done), path)
        with reporting(progress, plan.axes.size) as advance:
            compute_missing(plan, run, results, done, store, team, watch, advance)
        return team.in_step(lambda: lay_out(results, plan, diverged))


def layout_of(
    plan: Plan, mesh: Mesh, counts: dict[str, int | None], folder: Path | None
) -> dict[str, Any]:
    """Chooses the layout of the compiled program: the caller's, else that of the folder, else a
    default.

    Raises:
        SweepMismatchError: the folder holds another sweep.
    """
    device = mesh.devices.flat[0]
    found: Identity | None = None if folder is None else read_manifest(folder)
    kept = {} if found is None else found["layout"]
    at_once = counts["at_once"] or kept.get("at_once")
    if at_once is None:
        example = jax.tree.leaves(engine.take(plan.runs, 0))
        shared = [*jax.tree.leaves(plan.shared), *plan.program.captured]
        at_once = engine.runs_that_fit(
            plan.program, example, shared, device, -(-plan.axes.size // mesh.size)
        )
    least = engine.CPU_RUNS_PER_CHUNK if device.platform == "cpu" else 1
    chunk = counts["chunk"] or kept.get("chunk") or max(at_once, least)
    layout = {"device": device.device_kind, "at_once": min(at_once, chunk), "chunk": chunk}
    if found is not None and folder is not None:
        check_identity(folder, found, {**plan.identity, "layout": layout})
    return layout


def stored_results(
    plan: Plan, store: Chunks | None, team: Team
) -> tuple[list[np.ndarray], np.ndarray]:
    """Allocates arrays for the results of every run and loads those that are on disk; returns both,
    and which are loaded.
    """
    size = plan.axes.size
    results = [np.zeros((size, *leaf.shape), leaf.dtype) for leaf in plan.program.outputs]
    done = np.zeros(size, bool)

    def read() -> None:
        if store is None:
            return
        places: dict[bytes, list[int]] = {}
        for number, name in enumerate(plan.ids):
            places.setdefault(name.tobytes(), []).append(number)
        for ids, leaves in store.load(plan.program.outputs):
            for row, name in enumerate(ids):
                for number in places.get(name.tobytes(), ()):
                    done[number] = True
                    for result, leaf in zip(results, leaves, strict=True):
                        result[number] = leaf[row]

    team.in_step(read)
    (done,) = team.broadcast_from_first_process([done])
    if done.any():
        picked = team.broadcast_from_first_process([leaf[done] for leaf in results])
        for result, leaf in zip(results, picked, strict=True):
            result[done] = leaf
    return results, done


def compute_missing(
    plan: Plan,
    run: engine.ChunkRunner,
    results: list[np.ndarray],
    done: np.ndarray,
    store: Chunks | None,
    team: Team,
    watch: Watch,
    advance: Callable[[int], None],
) -> None:
    """Computes the missing runs chunk by chunk, and saves each chunk before the next begins."""
    missing = np.flatnonzero(~done)
    reused = len(done) - len(missing)
    if reused:
        team.in_step(lambda: advance(reused))
    for start in range(0, len(missing), run.size):
        picked = missing[start : start + run.size]
        leaves, places = team.in_step(functools.partial(watch.wait, functools.partial(run, picked)))
        rows = team.exchange(leaves, places, run.rows_by_process(len(picked)))

        def finish(picked: np.ndarray = picked, rows: list[np.ndarray] = rows) -> None:
            if store is not None:
                store.save(plan.ids[picked], rows)
            for result, leaf in zip(results, rows, strict=True):
                result[picked] = leaf
            done[picked] = True
            if isinstance(watch.stall, Stall):
                watch.stall.progressed()
            advance(len(picked))
            watch.check()

        team.in_step(finish)


def interrupt_message(done: int, total: int, folder: Path | None) -> str:
    """Formats the message of the KeyboardInterrupt that ends a sweep."""
    kept = (
        "nothing was saved; pass a folder to sweep so that it can resume"
        if folder is None
        else f"they are saved in {folder}, and the same call resumes from there"
    )
    return f"stopped after {done} of {total} runs; {kept}"


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
