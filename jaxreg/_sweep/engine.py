"""One compiled program for any number of runs: spreads runs over devices and chooses how many a
device computes at once.

Each device of the mesh has a buffer for `chunk` runs and the number of runs in it. It loops over
just these, so that a partly filled chunk costs no more than its runs, and the program depends
neither on the size of the grid nor on the number of devices. CPU cores compute one run after
another, which was faster than `vmap` when measured. Accelerators compute as many at once as fit in
memory, according to the memory analysis of the compiled program. Under `jax.distributed` the mesh
spans all processes.
"""

import contextlib
import functools
import numbers
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxreg._sweep.programs import Program, compile_once
from jaxreg._typing import PyTree

CPU_RUNS_PER_CHUNK = 8
MEMORY_SHARE = 0.8
"""The share of a device's memory that runs may use; the rest is left to the allocator and the
compiler.
"""


def mesh_of(devices: int | None) -> Mesh:
    """Makes a mesh of the first `devices` devices of JAX's default backend; None uses all, of every
    process.

    Raises:
        TypeError: `devices` is not an integer.
        ValueError: there are fewer devices, or `devices` leaves some out under `jax.distributed`.
    """
    if devices is not None and not isinstance(devices, numbers.Integral):
        raise TypeError(f"sweep: devices must be a whole number or None, got {devices!r}")
    found = jax.devices()
    if devices is not None and not 1 <= devices <= len(found):
        raise ValueError(
            f"sweep: devices must be 1 to {len(found)}, the {found[0].platform} devices that JAX "
            f"sees, got {devices}; "
            'for more on a CPU set jax.config.update("jax_num_cpu_devices", n) before anything else'
        )
    if devices is not None and jax.process_count() > 1 and devices != len(found):
        raise ValueError(
            f"sweep: with several processes all {len(found)} devices must be used, got "
            f"devices={devices}"
        )
    return Mesh(np.array(found[:devices]), ("runs",), axis_types=(AxisType.Auto,))


@contextlib.contextmanager
def without_mesh() -> Iterator[None]:
    """Leaves the mesh that the program has set by `jax.set_mesh`, for which a sweep has one of its
    own.
    """
    if jax.sharding.get_mesh().empty:
        yield
        return
    with jax.set_mesh(None):
        yield


def compile_chunk(
    program: Program,
    mesh: Mesh,
    capacity: int,
    at_once: int,
    example: tuple[PyTree, PyTree, PyTree],
) -> Any:
    """Compiles the program that computes one chunk, or returns the one compiled earlier for the
    same content.

    Args:
        program: the traced fit.
        mesh: of the devices.
        capacity: runs that the buffer of a device holds, a multiple of `at_once`.
        at_once: runs that a device computes together.
        example: counts (devices,), runs (devices · capacity, …) and what all runs share, placed on
            the mesh.
    """

    def run_shard(count: jax.Array, runs: PyTree, shared: PyTree) -> list[Any]:
        def batch(number: Any, filled: list[Any]) -> list[Any]:
            start = number * at_once
            picked = jax.tree.map(
                lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, at_once), runs
            )
            if at_once > 1:
                results = jax.vmap(program.evaluate, (0, None))(picked, shared)
            else:
                outputs = program.evaluate(jax.tree.map(lambda leaf: leaf[0], picked), shared)
                # An output may be a Python number.
                results = [
                    jnp.asarray(leaf, like.dtype)[None]
                    for leaf, like in zip(outputs, program.outputs, strict=True)
                ]
            return [
                jax.lax.dynamic_update_slice_in_dim(into, leaf, start, 0)
                for into, leaf in zip(filled, results, strict=True)
            ]

        empty = [jnp.zeros((capacity, *leaf.shape), leaf.dtype) for leaf in program.outputs]
        return jax.lax.fori_loop(0, (count[0] + at_once - 1) // at_once, batch, empty)

    def build() -> Any:
        in_specs = (P("runs"), P("runs"), P())
        spread = jax.shard_map(
            run_shard, mesh=mesh, in_specs=in_specs, out_specs=P("runs"), check_vma=False
        )
        over_runs, everywhere = NamedSharding(mesh, P("runs")), NamedSharding(mesh, P())
        jitted = jax.jit(
            spread, in_shardings=(over_runs, over_runs, everywhere), out_shardings=over_runs
        )
        return jitted.lower(*example).compile()

    key = (
        "chunk",
        program.content,
        tuple(device.id for device in mesh.devices.flat),
        capacity,
        at_once,
    )
    return compile_once(key, build) if program.kept else build()


class ChunkRunner:
    """A compiled program with the inputs of all runs; called with the indices of a chunk's runs, it
    computes them.

    Args:
        program: the traced fit.
        mesh: of the devices.
        layout: the numbers of runs `at_once` and per `chunk` on each device.
        runs: the arguments of every run, leaves (runs, …).
        shared: the data of the base key and the user's data.
    """

    def __init__(
        self,
        program: Program,
        mesh: Mesh,
        layout: dict[str, Any],
        runs: PyTree,
        shared: tuple[PyTree, PyTree],
    ):
        self.mesh, self.runs = mesh, jax.tree.leaves(runs)
        self.size: int = layout["chunk"] * mesh.size
        at_once = layout["at_once"]
        self.capacity = -(-layout["chunk"] // at_once) * at_once
        self.shared = shard([*jax.tree.leaves(shared), *program.captured], mesh, P())
        example = self.inputs(np.zeros(1, int), spread_evenly(0, mesh.size))
        self.compiled = compile_chunk(program, mesh, self.capacity, at_once, example)

    def inputs(self, picked: np.ndarray, counts: np.ndarray) -> tuple[PyTree, PyTree, PyTree]:
        """Places the arguments of the program on the mesh."""
        runs = take(self.runs, fill_buffers(picked, counts, self.capacity))
        return (*shard((counts, runs), self.mesh, P("runs")), self.shared)

    def rows_by_process(self, count: int) -> list[int]:
        """Counts the runs of a chunk that the devices of each process compute."""
        rows = [0] * jax.process_count()
        for device, taken in zip(
            self.mesh.devices.flat, spread_evenly(count, self.mesh.size), strict=True
        ):
            rows[device.process_index] += int(taken)
        return rows

    def __call__(self, picked: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Computes a chunk; returns the rows of this process's devices, for each leaf, and their
        positions in the chunk.
        """
        counts = spread_evenly(len(picked), self.mesh.size)
        return local_rows(self.compiled(*self.inputs(picked, counts)), self.mesh, counts)


def runs_that_fit(
    program: Program, run: PyTree, shared: list[Any], device: jax.Device, most: int
) -> int:
    """Computes how many runs a device can take at once: 1 on a CPU core, else as many as fit in
    memory.

    Programs for one run and for two are compiled; the difference between their memory is what a run
    needs.
    """
    limit = (device.memory_stats() or {}).get("bytes_limit") if device.platform != "cpu" else None
    if limit is None:
        return 1

    def needed(count: int) -> int:
        runs = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((count, *np.shape(leaf)), np.asarray(leaf).dtype), run
        )
        memory: Any = (
            jax.jit(jax.vmap(program.evaluate, (0, None)))
            .lower(runs, shared)
            .compile()
            .memory_analysis()
        )
        return (
            memory.temp_size_in_bytes + memory.output_size_in_bytes + memory.argument_size_in_bytes
        )

    one, two = (
        compile_once(("memory", program.content, count), functools.partial(needed, count))
        for count in (1, 2)
    )
    return runs_within(int(MEMORY_SHARE * limit), one, two, most)


def runs_within(budget: int, one: int, two: int, most: int) -> int:
    """Returns the largest count from 1 to `most` within the memory budget, if each further run adds
    what the second does.
    """
    per_run = max(two - one, 1)
    return max(1, min(most, 1 + (budget - one) // per_run))


def shard(tree: PyTree, mesh: Mesh, spec: P) -> PyTree:
    """Places host arrays on the mesh as global arrays; every process holds the whole arrays."""
    sharding = NamedSharding(mesh, spec)

    def put(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put, tree)


def spread_evenly(count: int, devices: int) -> np.ndarray:
    """Divides `count` runs over devices; returns the number for each."""
    base, extra = divmod(count, devices)
    return base + (np.arange(devices) < extra).astype(np.int32)


def fill_buffers(picked: np.ndarray, counts: np.ndarray, capacity: int) -> np.ndarray:
    """Assigns a run to each slot of the devices' buffers; unused slots repeat the last run."""
    starts = np.cumsum(counts) - counts
    places = starts[:, None] + np.arange(capacity)
    return picked[np.minimum(places, len(picked) - 1)].ravel()


def local_rows(
    results: list[jax.Array], mesh: Mesh, counts: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Waits for a chunk; returns the rows of this process's devices, for each leaf, and their
    positions in the chunk.
    """
    order = {device: number for number, device in enumerate(mesh.devices.flat)}
    starts = np.cumsum(counts) - counts
    mine = sorted(order[part.device] for part in results[0].addressable_shards)
    leaves = []
    for leaf in results:
        shards = {order[part.device]: part.data for part in leaf.addressable_shards}
        leaves.append(
            np.concatenate([np.asarray(shards[number])[: counts[number]] for number in mine])
        )
    return leaves, np.concatenate([starts[number] + np.arange(counts[number]) for number in mine])


def take(tree: PyTree, picked: Any) -> PyTree:
    """Takes entries along the leading axis of every leaf."""
    return jax.tree.map(functools.partial(np.take, indices=picked, axis=0), tree)
