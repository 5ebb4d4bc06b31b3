"""A fit over a grid of hyperparameters: every λ, every seed, on every device, with nothing lost.

    def fit(key, hyperparams, data):                    # pure: arrays in, a tree of arrays out
        tx = jaxreg.prox_adam(1e-3, hyperparams["penalty"], mask=jaxreg.kernels)
        ...
        return {"loss": loss, "zeros": jaxreg.sparsity(params).fraction}

    runs = jaxreg.sweep(fit, jaxreg.grid(penalty=jaxreg.L1(jnp.logspace(-5, -1, 32)), seed=range(5)), data)
    runs.outputs["loss"]                                # (32, 5)
    runs.dataset()                                      # the same as a labelled xarray.Dataset

    jaxreg.sweep(fit, grid, data, folder="sweep")       # chunks on disk; killed and started again, it goes on

A program is compiled once, and kept for the next sweep of the same fit and shapes. On a CPU make every core a device
first: `jax.config.update("jax_num_cpu_devices", n)`.

A fit that calls a batched LAPACK routine (`jnp.linalg` under `vmap`) on several CPU devices can hang in jaxlib's thread
pool: start with `PJRT_NPROC=8` in the environment, or pass `devices=1`.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxreg import _engine
from jaxreg._chunks import Chunks
from jaxreg._grids import Grid, as_axis
from jaxreg._watching import interruptible, reporting

Fit = Callable[[jax.Array, Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class Runs:
    """The results of a sweep.

    Attributes:
        outputs: the fit's tree of outputs as NumPy arrays, the grid's axes leading.
        grid: the axes, with their values.
        diverged: for each run, in the grid's shape, whether any of its floating-point outputs is not finite.
    """

    outputs: Any
    grid: Grid
    diverged: np.ndarray

    def dataset(self) -> Any:
        """The outputs as an `xarray.Dataset`, the grid's names as dimensions and its values as coordinates.

        Raises:
            ImportError: xarray is not installed.
        """
        import xarray as xr

        variables = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.outputs):
            name = jax.tree_util.keystr(path, simple=True, separator=".") or "output"
            extra = [f"{name}_{axis}" for axis in range(leaf.ndim - len(self.grid.axes))]
            variables[name] = ([*self.grid.axes, *extra], leaf)
        coordinates = {label: ([axis], values) for label, (axis, values) in self.grid.coordinates().items()}
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
) -> Runs:
    """Fits every combination of hyperparameters and seeds.

    Args:
        fit: `fit(key, hyperparams, data)`, pure and traceable by JAX: a tree of arrays. It is traced once (on an
            accelerator twice more, for its memory), and not again by a second sweep of the same shapes.
        hyperparams: a `grid`, of which fit sees one value an axis as a dict; or a tree of arrays with one leading axis,
            of which it sees one entry.
        data: any tree of arrays, the same for all runs, passed as an argument and never as a constant.
        seeds: how many, or which; a last axis `seed`, each run's key being `jax.random.key(seed)`.
        key: instead of seeds: a run's key is `jax.random.fold_in(key, number of the run)`. By default `jax.random.key(0)`.
        folder: where finished chunks are kept. Started again with the same inputs, a sweep goes on where it stopped, and its
            result is the same to the bit. None keeps nothing.
        devices: how many of JAX's devices to use; None uses all. Runs need not divide by them.
        at_once: runs a device takes together; None is 1 on a CPU core, and on an accelerator as many as fit its memory.
        chunk: runs a device finishes between two savings; None is 8 on a CPU core and `at_once` elsewhere.
        progress: None shows a bar on a terminal where rich is installed, False shows nothing, and a function is told the
            number of runs that each chunk finished.

    Returns:
        The outputs over the grid. A run that diverged is a result like any other; `Runs.diverged` marks it.

    Raises:
        ValueError: no such devices, a count below 1, seeds that are no seeds or come together with a key, a fit without
            results, or a folder of another sweep (what differs is named).
        OSError: a chunk could not be written; those before it are kept.
        KeyboardInterrupt: after Ctrl-C, once the chunk under way is saved; a second Ctrl-C does not wait for it.
    """
    check_counts(at_once=at_once, chunk=chunk)
    axes, seeded = with_seeds(hyperparams, seeds, key)
    key = jax.random.key(0) if key is None else key
    table = axes.runs()
    numbers = np.arange(axes.size, dtype=np.uint32)
    runs = (numbers, table["seed"].astype(np.uint32) if seeded else numbers, without_seeds(table, hyperparams, seeds))
    shared = jax.tree.map(np.asarray, (jax.random.key_data(key), data))

    one = run_of(fit, None if seeded else str(jax.random.key_impl(key)))
    mesh = _engine.mesh_of(devices)
    first = mesh.devices.flat[0]
    share = -(-axes.size // mesh.size)
    single = jax.tree.map(lambda leaf: leaf[0], runs)
    together = min(at_once or _engine.runs_that_fit(one, single, shared, first, share), share)
    each = min(chunk or (_engine.CPU_RUNS_PER_CHUNK if first.platform == "cpu" else together), share)
    size = each * mesh.size
    program = _engine.chunk_program(one, mesh, min(together, each))
    # Traced with arrays that lie as those of the chunks will, or the first chunk would be traced anew.
    placed = _engine.place(shared, mesh, P())
    traced = program.trace(_engine.place(chunk_of(runs, 0, size), mesh, P("runs")), placed)
    if not jax.tree.leaves(traced.out_info):
        raise ValueError("sweep: fit must return at least one array, got none")
    store = None
    if folder is not None and jax.process_index() == 0:
        store = Chunks(
            folder,
            identity(traced.lower().as_text(), runs, shared, f"{size} runs a chunk on {mesh.size} {first.platform} devices"),
        )
    with interruptible() as interrupts, reporting(progress, axes.size) as advance:
        parts = collect(program, traced.out_info, runs, placed, mesh, store, interrupts, advance)
    return lay_out(parts, traced.out_info, axes)


@functools.lru_cache(maxsize=16)
def run_of(fit: Fit, impl: str | None) -> Callable[[Any, Any], Any]:
    """The fit as a function of one run and of what all runs share; the same one each time, so that it compiles once.

    Args:
        fit: the user's. impl: the kind of key that is folded; None where every run has a seed.
    """

    def one(run: Any, shared: Any) -> Any:
        (number, seed, values), (base, data) = run, shared
        if impl is None:
            return fit(jax.random.key(seed), values, data)
        return fit(jax.random.fold_in(jax.random.wrap_key_data(base, impl=impl), number), values, data)

    return one


def with_seeds(hyperparams: Any, seeds: int | Sequence[int] | None, key: jax.Array | None) -> tuple[Grid, bool]:
    """The grid with its axis of seeds, and whether it has one.

    Raises:
        ValueError: seeds together with a key or with an axis of that name, or seeds that are no whole numbers from 0 on.
    """
    axes = hyperparams.axes if isinstance(hyperparams, Grid) else {"run": as_axis("hyperparams", hyperparams)}
    if seeds is not None:
        if key is not None or "seed" in axes:
            raise ValueError("sweep: expected one source of randomness, got seeds together with a key or an axis named seed")
        axes = {**axes, "seed": as_axis("seeds", range(seeds) if isinstance(seeds, int) else seeds)}
    elif "seed" in axes and key is not None:
        raise ValueError("sweep: expected one source of randomness, got a key together with an axis named seed")
    if "seed" in axes:
        values = axes["seed"]
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu" or values.ndim != 1 or values.min() < 0:
            raise ValueError(f"sweep: seeds must be whole numbers from 0 on, got {values!r}; pass seeds=5 or seeds=[0, 3]")
    return Grid(axes), "seed" in axes


def check_counts(**counts: int | None) -> None:
    """Raises a ValueError for a count below 1."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"sweep: {name} must be at least 1, got {count}")


def without_seeds(table: dict[str, Any], hyperparams: Any, seeds: Any) -> Any:
    """What fit sees of each run: an axis that `seeds` added is no hyperparameter."""
    if not isinstance(hyperparams, Grid):
        return table["run"]
    return {name: values for name, values in table.items() if name != "seed" or seeds is None}


def chunk_of(runs: Any, start: int, size: int) -> Any:
    """A chunk of runs, filled up with the last run where they end, so that one shape means one compilation."""
    total = len(jax.tree.leaves(runs)[0])
    return _engine.take(runs, np.minimum(np.arange(start, start + size), total - 1))


def identity(program: str, runs: Any, shared: Any, layout: str) -> dict[str, str]:
    """What a sweep's results depend on, each as a line that can be compared and told."""
    _, seeds, values = runs
    base, data = shared
    return {
        "program": digest([np.frombuffer(program.encode(), np.uint8)]),
        "hyperparams": digest(values),
        "seeds": digest((seeds, base)),
        "data": digest(data),
        "layout": layout,
        "jax": jax.__version__,
    }


def digest(tree: Any) -> str:
    """A short hash of a tree of arrays: structure, dtypes, shapes and values."""
    hashed = hashlib.sha256(str(jax.tree.structure(tree)).encode())
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        hashed.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]


def collect(
    program: Any,
    shapes: Any,
    runs: Any,
    placed: Any,
    mesh: Mesh,
    store: Chunks | None,
    interrupts: list[int],
    advance: Callable[[int], None],
) -> list[list[np.ndarray]]:
    """Every chunk's results in order, from the store where it has them; what was computed is stored before the next."""
    total = len(jax.tree.leaves(runs)[0])
    size = jax.tree.leaves(shapes)[0].shape[0]
    parts = []

    def heartbeat() -> None:
        if len(interrupts) > (0 if store is None else 1):
            raise KeyboardInterrupt(farewell(start, total, store))

    for number, start in enumerate(range(0, total, size)):
        part = recall(store, number, jax.tree.leaves(shapes))
        if part is None:
            picked = _engine.place(chunk_of(runs, start, size), mesh, P("runs"))
            part = _engine.fetch(program(picked, placed), heartbeat)
            if store is not None:
                store.save(number, part)
        count = min(size, total - start)
        parts.append([leaf[:count] for leaf in part])
        advance(count)
        if interrupts and start + count < total:
            raise KeyboardInterrupt(farewell(start + count, total, store))
    return parts


def recall(store: Chunks | None, number: int, like: list[Any]) -> list[np.ndarray] | None:
    """A chunk that is on disk, told to every process by the first, which alone reads and writes."""
    part = None if store is None else store.load(number, like)
    if jax.process_count() == 1:
        return part
    if not _engine.agree(np.asarray(part is not None)):
        return None
    empty = [np.zeros(leaf.shape, leaf.dtype) for leaf in like]
    return [np.asarray(leaf) for leaf in _engine.agree(empty if part is None else part)]


def farewell(done: int, total: int, store: Chunks | None) -> str:
    """What a user is told who stopped a sweep."""
    kept = (
        "nothing is kept; give sweep a folder to go on where it stops"
        if store is None
        else (f"they are kept in {store.folder}, and the same call goes on from there")
    )
    return f"stopped after {done} of {total} runs; {kept}"


def lay_out(parts: list[list[np.ndarray]], shapes: Any, axes: Grid) -> Runs:
    """The chunks' results as one tree over the grid."""
    leaves = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    sound = np.ones(axes.size, bool)
    for leaf in leaves:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            sound &= np.isfinite(leaf.astype(np.float64)).reshape(axes.size, -1).all(1)
    tree = jax.tree.unflatten(jax.tree.structure(shapes), [leaf.reshape(*axes.shape, *leaf.shape[1:]) for leaf in leaves])
    return Runs(tree, axes, ~sound.reshape(axes.shape))
