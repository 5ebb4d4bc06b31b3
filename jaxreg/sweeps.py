"""A fit over a grid of hyperparameters: every λ, every seed, on every device, with nothing lost.

    def fit(key, hyperparams, data):                    # pure: arrays in, a tree of arrays out
        tx = jaxreg.prox_adam(1e-3, hyperparams["penalty"], mask=jaxreg.kernels)
        ...
        return {"loss": loss, "zeros": jaxreg.sparsity(params).fraction}

    runs = jaxreg.sweep(fit, jaxreg.grid(penalty=jaxreg.L1(jnp.logspace(-5, -1, 32)), seed=range(5)), data)
    runs.outputs["loss"]                                # (32, 5)
    runs.dataset()                                      # the same as a labelled xarray.Dataset

    jaxreg.sweep(fit, grid, data, folder="sweep")       # chunks on disk; killed and started again, it goes on
    jaxreg.sweep(fit, larger_grid, data, folder="sweep")   # computes only the runs that are not there yet

The fit is traced anew for every sweep, so that a changed global variable or attribute counts; a program is compiled once
and kept for the next sweep that computes the same. On a CPU make every core a device first:
`jax.config.update("jax_num_cpu_devices", n)`.

A fit that calls a batched LAPACK routine (`jnp.linalg` under `vmap`) on several CPU devices can deadlock in jaxlib's thread
pool: start with `PJRT_NPROC=8` in the environment, or pass `devices=1`. A sweep warns if nothing has moved for 30 seconds.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxreg._sweep import engine, keys
from jaxreg._sweep.grids import Grid
from jaxreg._sweep.plan import Fit, Plan, prepare
from jaxreg._sweep.processes import Team
from jaxreg._sweep.store import Chunks, Identity, check_identity, folder_of, read_manifest
from jaxreg._sweep.watching import Stall, Watch, interruptible, reporting


@dataclasses.dataclass(frozen=True)
class Runs:
    """The results of a sweep.

    Attributes:
        outputs: the fit's tree of outputs as NumPy arrays, the grid's axes leading.
        grid: the axes, with their values.
        diverged: for each run, in the grid's shape, whether it diverged: by `sweep`'s argument of that name.
    """

    outputs: Any
    grid: Grid
    diverged: np.ndarray

    def dataset(self) -> Any:
        """The outputs as an `xarray.Dataset`, the grid's names as dimensions and its values as coordinates.

        An output named like an axis, a coordinate or another variable gets the suffix `_output`. Typed keys are given as
        their data.

        Raises:
            ImportError: xarray is not installed.
        """
        import xarray as xr

        coordinates = {label: ([axis], values) for label, (axis, values) in self.grid.coordinates().items()}
        taken = {*self.grid.axes, *coordinates}
        variables = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.outputs):
            array = np.asarray(jax.random.key_data(leaf)) if keys.is_key(leaf) else leaf
            name = jax.tree_util.keystr(path, simple=True, separator=".") or "output"
            count = array.ndim - len(self.grid.axes)
            while taken & {name, *(extra := [f"{name}_{axis}" for axis in range(count)])}:
                name += "_output"
            taken |= {name, *extra}
            variables[name] = ([*self.grid.axes, *extra], array)
        return xr.Dataset(variables, coordinates)

    def __str__(self) -> str:
        shape = " × ".join(f"{name} {length}" for name, length in zip(self.grid.axes, self.grid.shape, strict=True))
        bad = np.flatnonzero(self.diverged)
        if not bad.size:
            return f"{self.grid.size} runs ({shape}), none diverged"
        named = "; ".join(self.grid.describe(int(run)) for run in bad[:8])
        more = f"; and {bad.size - 8} more" if bad.size > 8 else ""
        return f"{self.grid.size} runs ({shape}), {bad.size} diverged: {named}{more}"


def sweep(
    fit: Fit,
    hyperparams: Any,
    data: Any = None,
    *,
    seeds: int | Sequence[int] | None = None,
    key: jax.Array | None = None,
    folder: str | os.PathLike[str] | None = None,
    devices: int | None = None,
    at_once: int | None = None,
    chunk: int | None = None,
    progress: bool | Callable[[int], None] | None = None,
    diverged: Callable[[Any], bool] | None = None,
) -> Runs:
    """Fits every combination of hyperparameters and seeds.

    Args:
        fit: `fit(key, hyperparams, data)`, pure and traceable by JAX: a tree of arrays. Each sweep traces it once. A program
            is compiled once and serves later sweeps whose fit computes the same.
        hyperparams: a `grid`, of which fit sees one value an axis as a dict; or a tree of arrays with one leading axis,
            of which it sees one entry. Arrays of typed keys are arrays too, here, in data and in the outputs.
        data: any tree of arrays, the same for all runs, passed as an argument and never as a constant.
        seeds: how many, or which, from 0 to 2³² − 1; a last axis `seed`, each run's key being `jax.random.key(seed)`.
        key: instead of seeds: a run's key is `jax.random.fold_in(key, number of the run)`. By default `jax.random.key(0)`.
        folder: where finished chunks are kept; `~` is the home folder. Started again with the same fit and data, a sweep
            computes only the runs that are not there, also where the grid or the seeds have changed; what is there is
            returned as it was, to the bit. (With `key`, a run is the same only if its number is.) What a host callback
            does inside of the fit is not compared. None keeps nothing.
        devices: how many of JAX's devices to use; None uses all. Runs need not divide by them.
        at_once: runs a device takes together; None is what the folder was begun with, else 1 on a CPU core, and on an
            accelerator as many as fit its memory. Above 1, a run's last bits can depend on its neighbours.
        chunk: runs a device finishes between two savings; None is what the folder was begun with, else 8 on a CPU core (or
            `at_once`, if that is more) and `at_once` elsewhere.
        progress: None shows a bar on a terminal where rich is installed, False shows nothing, and a function gets the number
            of runs that were read from the folder, and then of those that each chunk finished.
        diverged: from one run's outputs, as NumPy arrays, to whether it diverged. None: any NaN or infinity in any
            floating-point or complex output.

    Returns:
        The outputs over the grid. A run that diverged is a result like any other; `Runs.diverged` marks it.

    Raises:
        ValueError: no such devices, a count below 1, seeds that are no seeds or come together with a key, a fit without
            results, or processes that were given different sweeps.
        TypeError: a count that is no whole number, data that are no arrays of numbers, or a key that is none.
        SweepMismatchError: the folder holds another sweep (what differs is named), or is not a sweep's.
        OSError: a chunk could not be written; those before it are kept.
        KeyboardInterrupt: after Ctrl-C, once the chunk under way is saved, also if it is the last one; a second Ctrl-C, or
            the first where nothing is kept, does not wait for it.

    Under `jax.distributed` all processes raise the same error, whichever of them it arose in, and a Ctrl-C in any of them
    stops all after the chunk under way. A second one ends its own process alone.
    """
    with interruptible() as watch:
        team = Team(watch)
        watch.deferred = team.several
        counts = {"at_once": at_once, "chunk": chunk}
        path = team.in_step(lambda: None if folder is None else folder_of(folder))
        plan = team.in_step(lambda: prepare(fit, hyperparams, data, seeds, key, counts))
        mesh = team.in_step(lambda: engine.mesh_of(devices))
        layout = team.from_first_process(lambda: layout_of(plan, mesh, counts, path))
        identity = {**plan.identity, "layout": layout}
        team.require_same(f"{identity}{plan.ids.tobytes().hex()[:32]}{len(plan.ids)}{devices}{path is None}")
        run = team.in_step(lambda: engine.ChunkRunner(plan.program, mesh, layout, plan.runs, plan.shared))
        store = team.in_step(lambda: None if path is None or jax.process_index() else Chunks(path, identity))
        results, done = stored_results(plan, store, team)
        watch.deferred = team.several or store is not None
        if mesh.devices.flat[0].platform == "cpu" and mesh.size > 1:
            watch.stall = Stall()
        watch.interrupt_message = lambda: interrupt_message(int(done.sum()), len(done), path)
        with reporting(progress, plan.axes.size) as advance:
            compute_missing(plan, run, results, done, store, team, watch, advance)
        return team.in_step(lambda: lay_out(results, plan, diverged))


def layout_of(plan: Plan, mesh: Mesh, counts: dict[str, int | None], folder: Path | None) -> dict[str, Any]:
    """The layout of the compiled program, as the caller or else the folder has it.

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
        at_once = engine.runs_that_fit(plan.program, example, shared, device, -(-plan.axes.size // mesh.size))
    least = engine.CPU_RUNS_PER_CHUNK if device.platform == "cpu" else 1
    chunk = counts["chunk"] or kept.get("chunk") or max(at_once, least)
    layout = {"device": device.device_kind, "at_once": min(at_once, chunk), "chunk": chunk}
    if found is not None and folder is not None:
        check_identity(folder, found, {**plan.identity, "layout": layout})
    return layout


def stored_results(plan: Plan, store: Chunks | None, team: Team) -> tuple[list[np.ndarray], np.ndarray]:
    """Room for every run's results, filled with those that are on disk, and which runs these are."""
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
    """Computes the runs that are not done, chunk by chunk; each chunk is stored before the next begins."""
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
    """The message of the KeyboardInterrupt that ends a sweep."""
    kept = (
        "nothing is kept; give sweep a folder to go on where it stops"
        if folder is None
        else f"they are kept in {folder}, and the same call goes on from there"
    )
    return f"stopped after {done} of {total} runs; {kept}"


def lay_out(results: list[np.ndarray], plan: Plan, diverged: Callable[[Any], bool] | None) -> Runs:
    """The results as one tree over the grid."""
    program, axes = plan.program, plan.axes
    typed = keys.wrap(results, program.kinds)
    if diverged is None:
        bad = not_finite(results)
    else:
        trees = (jax.tree.unflatten(program.structure, [leaf[run] for leaf in typed]) for run in range(axes.size))
        bad = np.array([bool(diverged(tree)) for tree in trees])
    tree = jax.tree.unflatten(program.structure, [leaf.reshape(*axes.shape, *leaf.shape[1:]) for leaf in typed])
    return Runs(tree, axes, bad.reshape(axes.shape))


def not_finite(results: list[np.ndarray]) -> np.ndarray:
    """For each run, whether a floating-point or complex result holds a NaN or an infinity."""
    bad = np.zeros(len(results[0]), bool)
    for leaf in results:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            wide = leaf.astype(np.complex128 if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else np.float64)
            bad |= ~np.isfinite(wide).reshape(len(leaf), -1).all(1)
    return bad
