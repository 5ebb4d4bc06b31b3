"""Runs one compiled program over many runs: spread over the devices, in chunks, so that progress can be seen."""

import functools
import math
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from experiments.config import SettingError, require

RUNS_PER_CHUNK = 8
"""Runs that a CPU core takes between two looks at the progress bar."""

ACCELERATOR_RUNS_PER_CHUNK = 64
"""Runs that a GPU trains at once."""


def spread(devices: int | None) -> Mesh:
    """A mesh of the first `devices` devices of JAX's default backend; None takes them all.

    Raises:
        SettingError: more were asked for than there are, or JAX's backend cannot be used.
    """
    try:
        found = jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second is what JAX 0.10 says of a platform without a plugin
        asked = os.environ.get("JAX_PLATFORMS", "not set")
        raise SettingError(f"devices: JAX cannot start its backend (JAX_PLATFORMS {asked}): {error}") from error
    what = f"at most {len(found)}, the {found[0].platform} devices that JAX sees"
    require(devices is None or devices <= len(found), "devices", what, devices)
    return Mesh(np.array(found[:devices]), ("runs",), axis_types=(AxisType.Auto,))


def run_all(
    fit: Callable[[Any, Any], Any],
    runs: Any,
    data: Any,
    mesh: Mesh,
    advance: Callable[[int], None],
    at_once: int | None = None,
) -> Any:
    """`fit(run, data)` for every run, stacked.

    On CPU cores each device takes its runs one after another, which was measured faster than `vmap`; an accelerator
    takes a whole chunk at once.

    Args:
        fit: pure, from one run (a tree of scalars) and the data to a tree of arrays.
        runs: a tree of arrays with one leading axis. data: passed as an argument, the same for all runs.
        mesh: from `spread`.
        advance: told how many runs were finished, after each chunk, and 0 now and then in between; what it raises ends the
            sweep.

        at_once: runs that a device trains together; by default 1 on a CPU core and a whole chunk on an accelerator.

    Returns:
        A tree of NumPy arrays with that leading axis.
    """
    total = len(jax.tree.leaves(runs)[0])
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    most = RUNS_PER_CHUNK if on_cpu else ACCELERATOR_RUNS_PER_CHUNK
    per_device = min(most, math.ceil(total / mesh.size))
    chunk = per_device * mesh.size
    together = min(at_once or (1 if on_cpu else per_device), per_device)

    def some(runs: Any, data: Any) -> Any:
        return jax.lax.map(lambda run: fit(run, data), runs, batch_size=together if together > 1 else None)

    program = jax.jit(jax.shard_map(some, mesh=mesh, in_specs=(P("runs"), P()), out_specs=P("runs"), check_vma=False))
    finished = []
    for start in range(0, total, chunk):
        # The last chunk is filled up with its own last run, so that one shape means one compilation.
        picked = np.minimum(np.arange(start, start + chunk), total - 1)
        some_runs = jax.tree.map(functools.partial(np.take, indices=picked, axis=0), runs)
        finished.append(fetch(program(some_runs, data), advance))
        advance(min(chunk, total - start))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:total], *finished)


def fetch(results: Any, advance: Callable[[int], None]) -> Any:
    """Results on the host, waited for in Python, so that an interruption is heard before the chunk is done."""
    while not all(leaf.is_ready() for leaf in jax.tree.leaves(results)):
        advance(0)
        time.sleep(0.005)
    return jax.device_get(results)
