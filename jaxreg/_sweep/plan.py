"""Prepares a sweep: checks its inputs, lists the arguments and the id of every run, and traces the
fit.
"""

import dataclasses
import hashlib
import importlib.metadata
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxreg._sweep import keys
from jaxreg._sweep.grids import Grid, as_axis, as_seeds
from jaxreg._sweep.programs import Program, digest, trace
from jaxreg._sweep.store import FORMAT, ID_BYTES, Identity
from jaxreg._typing import PyTree

Fit = Callable[[jax.Array, PyTree, PyTree], PyTree]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The inputs of a sweep, checked and traced.

    Attributes:
        axes: the grid, including seeds.
        runs: the index, seed and values of every run; NumPy arrays with one entry per run.
        shared: the data of the base key and the user's data, NumPy arrays.
        load: returns the data; None if they were given as arrays.
        program: the traced fit.
        ids: (runs, ID_BYTES), a hash of what distinguishes each run from the others.
        identity: everything else that results depend on, except the layout.
        x64: whether 64-bit types are on.
    """

    axes: Grid
    runs: PyTree
    shared: tuple[PyTree, PyTree]
    load: Callable[[], PyTree] | None
    program: Program
    ids: np.ndarray
    identity: Identity
    x64: bool

    @property
    def run_leaves(self) -> list[np.ndarray]:
        """The leaves of `runs`."""
        return jax.tree.leaves(self.runs)

    @property
    def shared_leaves(self) -> list[np.ndarray]:
        """The leaves of `shared`, followed by the arrays that the fit closes over."""
        return [*jax.tree.leaves(self.shared), *self.program.captured]


def prepare(
    fit: Fit,
    hyperparams: PyTree,
    data: PyTree,
    seeds: int | Sequence[int] | None,
    key: jax.Array | None,
    counts: dict[str, Any],
) -> Plan:
    """Checks the inputs of a sweep and traces its fit.

    Raises:
        TypeError: a count is not an integer, the data are not arrays, or the key is not a PRNG key.
        ValueError: a count is below 1, seeds are invalid or given together with a key, or the fit
            returns nothing.
    """
    check_counts(counts)
    check_key(key)
    load = data if callable(data) and jax.tree.leaves(data) == [data] else None
    data = data if load is None else load()
    check_data(data)
    axes, seeded = with_seeds(hyperparams, seeds, key)
    key = jax.random.key(0) if key is None else key
    table = axes.runs()
    values, value_kinds = keys.unwrap(without_seeds(table, hyperparams, seeds))
    values = jax.tree.map(np.asarray, values)
    places = np.arange(axes.size, dtype=np.uint32)
    runs = (places, table["seed"].astype(np.uint32) if seeded else places, values)
    plain, data_kinds = keys.unwrap(data)
    shared = (np.asarray(jax.random.key_data(key)), jax.tree.map(np.asarray, plain))

    run_fit = run_of(fit, None if seeded else jax.random.key_impl(key), value_kinds, data_kinds)
    program = trace(run_fit, jax.tree.map(lambda leaf: leaf[0], runs), shared)
    identity = {
        "format": FORMAT,
        "program": program.identity,
        "data": digest(data),
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
    }
    differing = (
        (runs[1], values)
        if seeded
        else (places, np.broadcast_to(shared[0], (axes.size, *shared[0].shape)), values)
    )
    x64 = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    return Plan(axes, runs, shared, load, program, ids_of(differing), identity, x64)


def run_of(
    fit: Fit, impl: Any, value_kinds: keys.Kinds, data_kinds: keys.Kinds
) -> Callable[[PyTree, PyTree], PyTree]:
    """Wraps the user's fit as a function of one run and of what all runs share.

    Args:
        fit: the user's.
        impl: the implementation of the base key; None if every run has a seed.
        value_kinds: the implementation of typed keys for each leaf of the hyperparameters, None for
            other arrays.
        data_kinds: the same for each leaf of the data.
    """

    def run_fit(run: PyTree, shared: PyTree) -> Any:
        (number, seed, values), (base, data) = run, shared
        values, data = keys.wrap(values, value_kinds), keys.wrap(data, data_kinds)
        if impl is None:
            return fit(jax.random.key(seed), values, data)
        return fit(
            jax.random.fold_in(jax.random.wrap_key_data(base, impl=impl), number), values, data
        )

    return run_fit


def with_seeds(
    hyperparams: PyTree, seeds: int | Sequence[int] | None, key: jax.Array | None
) -> tuple[Grid, bool]:
    """Adds the axis of seeds to the grid; returns the grid and whether it has such an axis.

    Raises:
        ValueError: seeds are given together with a key or with an axis named seed, or are invalid.
    """
    axes = (
        hyperparams.axes
        if isinstance(hyperparams, Grid)
        else {"run": as_axis("hyperparams", hyperparams)}
    )
    if seeds is not None:
        if key is not None or "seed" in axes:
            raise ValueError(
                "sweep: expected one source of randomness, got seeds together with a key or an "
                "axis named seed"
            )
        axes = {**axes, "seed": as_seeds(seeds)}
    elif "seed" in axes and key is not None:
        raise ValueError(
            "sweep: expected one source of randomness, got a key together with an axis named seed"
        )
    return Grid(axes), "seed" in axes


def check_counts(counts: dict[str, Any]) -> None:
    """Raises a TypeError for a count that is not an integer, a ValueError for one below 1."""
    for name, count in counts.items():
        if count is not None and not isinstance(count, numbers.Integral):
            raise TypeError(f"sweep: {name} must be a whole number or None, got {count!r}")
        if count is not None and count < 1:
            raise ValueError(f"sweep: {name} must be at least 1, got {count}")


def check_key(key: Any) -> None:
    """Raises a TypeError for what is not a single PRNG key, an int for example."""
    if key is None:
        return
    shape = np.shape(jax.random.key_data(key)) if isinstance(key, jax.Array | np.ndarray) else ()
    if len(shape) != 1:
        raise TypeError(
            f"sweep: key must be one key such as jax.random.key(0), got {key!r}; pass seeds=5 for "
            "many"
        )


def check_data(data: PyTree) -> None:
    """Raises a TypeError that names the leaf of the data that JAX cannot convert to an array."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        if not keys.is_key(leaf) and np.asarray(leaf).dtype.kind in "OSUMm":
            name, kind = jax.tree_util.keystr(path, simple=True, separator="/"), type(leaf).__name__
            where = f" at {name}" if name else ""
            raise TypeError(
                f"sweep: data must be arrays of numbers, got {kind}{where}; fit may close over it"
            )


def without_seeds(table: dict[str, Any], hyperparams: PyTree, seeds: Any) -> PyTree:
    """Removes the axis that the `seeds` argument added, which is not a hyperparameter of the
    fit.
    """
    if not isinstance(hyperparams, Grid):
        return table["run"]
    return {name: values for name, values in table.items() if name != "seed" or seeds is None}


def ids_of(runs: PyTree) -> np.ndarray:
    """Hashes each entry along the leading axis over all leaves, as its id."""
    leaves = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(runs)]
    rows = [
        leaf.reshape(len(leaf), -1).view(np.uint8).reshape(len(leaf), -1)
        for leaf in leaves
        if leaf.size
    ]
    table = np.concatenate(rows, axis=1)
    ids = b"".join(hashlib.blake2b(row.tobytes(), digest_size=ID_BYTES).digest() for row in table)
    return np.frombuffer(ids, np.uint8).reshape(len(table), ID_BYTES)
