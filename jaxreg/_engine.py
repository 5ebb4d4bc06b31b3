"""One compiled program over many runs: how runs are spread over devices, and how many a device takes at once.

The runs of a chunk are sharded over a mesh of all devices by `shard_map`; each device maps over its share. CPU cores take
one run after another, which was measured faster than `vmap` there. Accelerators take as many at once as fit, by the compiled
program's own account of its memory. Under `jax.distributed` the mesh spans every process and the same code runs in each.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

CPU_RUNS_PER_CHUNK = 8
MEMORY_SHARE = 0.8
"""The share of a device's memory that runs may fill; the rest is the allocator's and the compiler's."""


def mesh_of(devices: int | None) -> Mesh:
    """The first `devices` devices of JAX's default backend as a mesh; None takes them all, of every process.

    Raises:
        ValueError: more were asked for than there are, or fewer under `jax.distributed`.
    """
    found = jax.devices()
    if devices is not None and not 1 <= devices <= len(found):
        raise ValueError(
            f"sweep: devices must be 1 to {len(found)}, the {found[0].platform} devices that JAX sees, got {devices}; "
            'for more on a CPU set jax.config.update("jax_num_cpu_devices", n) before anything else'
        )
    if devices is not None and jax.process_count() > 1 and devices != len(found):
        raise ValueError(f"sweep: with several processes all {len(found)} devices must be used, got devices={devices}")
    return Mesh(np.array(found[:devices]), ("runs",), axis_types=(AxisType.Auto,))


@functools.lru_cache(maxsize=16)
def chunk_program(fit: Callable[[Any, Any], Any], mesh: Mesh, at_once: int) -> Any:
    """The jitted program that fits one chunk of runs; the same one for the same arguments, so that it compiles once.

    Args:
        fit: from one run and the data to a tree of arrays. mesh: whose size divides every chunk.
        at_once: runs that a device takes together.

    Returns:
        A function of a chunk of runs, leaves (chunk, …), and of the data, which is the same for all of them.
    """

    def share(runs: Any, data: Any) -> Any:
        return jax.lax.map(lambda run: fit(run, data), runs, batch_size=at_once if at_once > 1 else None)

    spread = jax.shard_map(share, mesh=mesh, in_specs=(P("runs"), P()), out_specs=P("runs"), check_vma=False)
    over_runs, everywhere = NamedSharding(mesh, P("runs")), NamedSharding(mesh, P())
    return jax.jit(spread, in_shardings=(over_runs, everywhere), out_shardings=over_runs)


def runs_that_fit(fit: Callable[[Any, Any], Any], run: Any, data: Any, device: jax.Device, most: int) -> int:
    """How many runs a device can take at once: 1 on a CPU core, else what its memory holds.

    Programs for one and for two runs are compiled and asked for their memory; what the second adds is what a run costs.
    """
    limit = (device.memory_stats() or {}).get("bytes_limit") if device.platform != "cpu" else None
    if limit is None:
        return 1

    leaves, structure = jax.tree.flatten((run, data))
    shapes = tuple((np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves)
    one, two = (memory_needed(fit, count, structure, shapes) for count in (1, 2))
    return runs_within(int(MEMORY_SHARE * limit), one, two, most)


@functools.lru_cache(maxsize=32)
def memory_needed(fit: Callable[[Any, Any], Any], count: int, structure: Any, shapes: tuple[Any, ...]) -> int:
    """Bytes that `count` runs at once need, by their compiled program; kept, so that a second sweep compiles nothing."""
    run, data = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*shape) for shape in shapes])
    runs = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), run)
    memory: Any = jax.jit(jax.vmap(fit, (0, None))).lower(runs, data).compile().memory_analysis()
    return memory.temp_size_in_bytes + memory.output_size_in_bytes + memory.argument_size_in_bytes


def runs_within(budget: int, one: int, two: int, most: int) -> int:
    """The largest count, 1 to `most`, whose memory stays in the budget when each run adds what the second did."""
    each = max(two - one, 1)
    return max(1, min(most, 1 + (budget - one) // each))


def place(tree: Any, mesh: Mesh, spec: P) -> Any:
    """Host arrays as global arrays on the mesh; every process holds the whole of them."""
    sharding = NamedSharding(mesh, spec)

    def put(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put, tree)


def fetch(results: Any, heartbeat: Callable[[], None]) -> list[np.ndarray]:
    """A chunk's results on every host, as a list of leaves.

    It is waited for in Python, and `heartbeat` called meanwhile: a wait inside of JAX hears no signal until it is over.
    """
    leaves = jax.tree.leaves(results)
    while not all(leaf.is_ready() for leaf in leaves):
        heartbeat()
        time.sleep(0.005)
    if jax.process_count() > 1:
        leaves = multihost_utils.process_allgather(leaves, tiled=True)
    return [np.asarray(leaf) for leaf in leaves]


def agree(value: Any) -> Any:
    """The first process's value, in every process."""
    return value if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(value)


def take(tree: Any, picked: np.ndarray) -> Any:
    """The picked entries along the leading axis of every leaf."""
    return jax.tree.map(functools.partial(np.take, indices=picked, axis=0), tree)
