"""Computes chunks of runs, in threads of this process or on the workers of an executor.

On a CPU, several threads run one program on one device, so that every core has work without
virtual devices. An accelerator has a thread and a program of its own.

A worker of an executor receives the program as StableHLO (`jax.export`), not the fit: nothing of
the user's has to be picklable or importable there, and a worker cannot trace something else from
another version of the user's files. Program and data are sent only to workers that do not hold them
yet: a task first names them by a hash, and a worker that lacks them says so. (Dask's `scatter`
would also send them once, but they would be lost with the worker that holds them.)
"""

import contextvars
import dataclasses
import functools
import hashlib
import importlib.metadata
import itertools
import os
import pickle
import queue
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.export
import numpy as np
from jax.sharding import SingleDeviceSharding

from jaxreg._sweep import keys
from jaxreg._sweep.plan import Plan
from jaxreg._sweep.programs import chunk_program, compile_once, digest, without_mesh

THREADS_PER_CORE = 2
"""More threads than cores, as each waits for XLA's own threads a part of the time."""
CPU_RUNS_PER_CHUNK = 8
MEMORY_SHARE = 0.8
"""The share of a device's memory that runs may use; the rest is left to the allocator and the
compiler.
"""
UNKNOWN_IN_FLIGHT = 64
"""Tasks in flight on an executor that does not tell its number of workers."""
KEPT_RUNNERS = 4

Leaves = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What a process computes on.

    Attributes:
        platform: such as `cpu` or `cuda`.
        kind: of the devices, as JAX names it.
        lanes: the number of chunks that are computed at a time.
        memory: of a device in bytes; None on a CPU.
    """

    platform: str
    kind: str
    lanes: int
    memory: int | None


def lanes_of(devices: int | None) -> list[jax.Device]:
    """Lists a device for each chunk that this process computes at a time.

    Raises:
        ValueError: there are not that many devices.
    """
    available = jax.local_devices()
    if available[0].platform == "cpu":
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return [available[0]] * (devices or THREADS_PER_CORE * cores)
    if devices is not None and devices > len(available):
        raise ValueError(
            f"sweep: devices must be 1 to {len(available)}, the {available[0].platform} devices "
            f"that JAX sees, got {devices}"
        )
    return available[:devices]


def hardware_of(devices: int | None) -> Hardware:
    """Describes the devices of this process."""
    lanes = lanes_of(devices)
    memory = None if lanes[0].platform == "cpu" else lanes[0].memory_stats()
    limit = (memory or {}).get("bytes_limit")
    platform = jax.export.default_export_platform()
    return Hardware(platform, lanes[0].device_kind, len(lanes), limit)


class Runner:
    """The program of a chunk, compiled for the devices of this process.

    Args:
        compile_for: compiles the program for a device.
        lanes: a device for each chunk that is computed at a time.
        buffer: the number of runs that the program's buffers hold.
        shared: the arguments that all runs share.
        x64: whether the program was made with 64-bit types.
    """

    def __init__(
        self,
        compile_for: Callable[[jax.Device], Any],
        lanes: list[jax.Device],
        buffer: int,
        shared: Leaves,
        x64: bool,
    ):
        self.buffer, self.x64, self.lanes = buffer, x64, len(lanes)
        self.free: queue.SimpleQueue[tuple[Any, list[jax.Array]]] = queue.SimpleQueue()
        with jax.enable_x64(x64):
            ready = {
                device: (compile_for(device), jax.device_put(shared, device))
                for device in dict.fromkeys(lanes)
            }
        for device in lanes:
            self.free.put(ready[device])

    def __call__(self, runs: Leaves) -> Leaves:
        """Computes the runs of one chunk, as soon as a device is free."""
        lane = compiled, shared = self.free.get()
        count = len(runs[0])
        slots = np.minimum(np.arange(self.buffer), count - 1)  # unused ones repeat the last run
        try:
            with jax.enable_x64(self.x64):
                results = compiled(np.int32(count), [leaf[slots] for leaf in runs], shared)
                return [np.asarray(leaf)[:count] for leaf in results]
        finally:
            self.free.put(lane)


def compile_on(device: jax.Device, function: Callable[..., Any], arguments: Any) -> Any:
    """Compiles a function for a device."""
    place = SingleDeviceSharding(device)
    jitted = jax.jit(function, in_shardings=place, out_shardings=place)
    return jitted.lower(*arguments).compile()


def bytes_needed(device: jax.Device, function: Callable[..., Any], arguments: Any) -> int:
    """Returns the bytes of memory that a compiled function needs."""
    memory: Any = compile_on(device, function, arguments).memory_analysis()
    return memory.temp_size_in_bytes + memory.output_size_in_bytes + memory.argument_size_in_bytes


def arguments_of(plan: Plan, buffer: int) -> tuple[Any, list[Any], list[Any]]:
    """Describes the arguments of the program of a chunk."""

    def shaped(leaf: np.ndarray, *shape: int) -> jax.ShapeDtypeStruct:
        # As an argument: float64 is float32 where 64-bit types are off.
        return jax.ShapeDtypeStruct(shape, jax.eval_shape(lambda x: x, leaf).dtype)

    runs = [shaped(leaf, buffer, *leaf.shape[1:]) for leaf in plan.run_leaves]
    return np.int32(0), runs, [shaped(leaf, *leaf.shape) for leaf in plan.shared_leaves]


class Threads:
    """Computes chunks in threads of this process.

    Attributes:
        hardware: of this process.
        in_flight: the largest number of tasks at a time.
        lanes_per_task: the number of chunks that a task computes at a time.
    """

    lanes_per_task = 1

    def __init__(self, devices: int | None):
        if jax.process_count() > 1:
            raise RuntimeError(
                "sweep: expected one process, got several of jax.distributed; run the script in "
                "one process and pass executor=, such as that of a dask.distributed Client"
            )
        self.lanes = lanes_of(devices)
        self.hardware = hardware_of(devices)
        self.in_flight = len(self.lanes)

    def memory_needed(self, plan: Plan, count: int) -> int:
        """Returns the bytes of memory that so many runs need at once."""
        function, buffer = chunk_program(plan.program, count, count)
        arguments = arguments_of(plan, buffer)
        return compile_once(
            ("memory", plan.program.content, count),
            lambda: bytes_needed(self.lanes[0], function, arguments),
        )

    def prepare(self, plan: Plan, layout: dict[str, Any]) -> None:
        """Makes the program ready for `submit`."""
        program = plan.program
        function, buffer = chunk_program(program, layout["chunk"], layout["at_once"])

        def compile_for(device: jax.Device) -> Any:
            make = functools.partial(compile_on, device, function, arguments_of(plan, buffer))
            key = ("chunk", program.content, device.id, layout["chunk"], layout["at_once"])
            return compile_once(key, make) if program.reusable else make()

        self.runner = Runner(compile_for, self.lanes, buffer, plan.shared_leaves, plan.x64)

    def submit(
        self,
        runs: Leaves,
        *,
        everything: bool = False,  # noqa: ARG002
    ) -> "Future[Leaves | None]":
        """Starts a task; its result is None if the worker needs everything that runs share too."""
        future: Future[Leaves | None] = Future()
        future.set_running_or_notify_cancel()  # a computation that has begun cannot be cancelled
        context = contextvars.copy_context()

        def work() -> None:
            try:
                future.set_result(context.run(self.runner, runs))
            except BaseException as error:
                future.set_exception(error)

        # A daemon, unlike the threads of a ThreadPoolExecutor, so that a second Ctrl-C can end the
        # program while a device still computes.
        threading.Thread(target=work, name="jaxreg-sweep", daemon=True).start()
        return future

    def result(
        self,
        future: "Future[Leaves | None]",
        stopped: Callable[[], str],  # noqa: ARG002
    ) -> Leaves | None:
        """Returns the result of a task; an error of an executor says where the sweep stopped."""
        return future.result()


class Remote:
    """Computes chunks on the workers of an executor.

    Args:
        executor: the user's.
        devices: how many devices of each worker to use.

    Raises:
        TypeError: it is not an executor.
        ValueError: its processes are forked.
    """

    def __init__(self, executor: Executor, devices: int | None):
        if not isinstance(executor, Executor):
            hint = "; pass client.get_executor()" if hasattr(executor, "get_executor") else ""
            raise TypeError(
                f"sweep: executor must be a concurrent.futures.Executor, got {executor!r}{hint}"
            )
        context = getattr(executor, "_mp_context", None)
        if context is not None and context.get_start_method() == "fork":
            raise ValueError(
                "sweep: expected an executor whose processes can use JAX, got one that forks; pass "
                'mp_context=multiprocessing.get_context("spawn") to it'
            )
        self.executor, self.devices = executor, devices
        self.hardware: Hardware = self.ask(hardware_of, devices)
        self.lanes_per_task = self.hardware.lanes
        workers = getattr(executor, "_max_workers", None)
        self.in_flight = 2 * workers if workers else UNKNOWN_IN_FLIGHT

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function on some worker."""
        return self.result(self.start(function, *arguments), lambda: "stopped before the first run")

    def start(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Submits a task; an error of this, as of a broken pool, becomes that of the task."""
        try:
            return self.executor.submit(function, *arguments)
        except Exception as error:
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def export(self, plan: Plan, chunk: int, at_once: int) -> tuple[bytes, int]:
        """Exports the program of a chunk; returns it and the number of runs of its buffers."""
        if plan.program.calls_host:
            raise ValueError(
                "sweep: fit calls back into Python (jax.pure_callback or jax.debug.print, for "
                "example), which the workers of an executor cannot do; pass executor=None"
            )
        function, buffer = chunk_program(plan.program, chunk, at_once)
        arguments = arguments_of(plan, buffer)
        jitted, platforms = jax.jit(function), [self.hardware.platform]
        # The worker's jaxlib is the same, so custom calls need no promise about other versions.
        calls = re.findall(
            r"custom_call @([\w.$]+)",
            jitted.trace(*arguments).lower(lowering_platforms=tuple(platforms)).as_text(),
        )
        checks = [jax.export.DisabledSafetyCheck.custom_call(name) for name in set(calls)]
        exported = jax.export.export(jitted, platforms=platforms, disabled_checks=checks)
        try:
            return bytes(exported(*arguments).serialize()), buffer
        except ImportError as error:
            raise ImportError(
                "sweep: an executor needs the package flatbuffers; pip install flatbuffers"
            ) from error

    def memory_needed(self, plan: Plan, count: int) -> int:
        """See `Threads`."""
        return self.ask(memory_on_worker, self.export(plan, count, count)[0])

    def prepare(self, plan: Plan, layout: dict[str, Any]) -> None:
        """See `Threads`."""
        program, buffer = self.export(plan, layout["chunk"], layout["at_once"])
        leaves = plan.shared_leaves
        package = Package(
            program,
            buffer,
            leaves if plan.load is None else [leaves[0], *plan.program.captured],
            plan.load,
            plan.identity["data"],
            self.hardware.kind,
            versions(),
            plan.x64,
        )
        self.package = pickled(package)
        self.name = hashlib.sha256(self.package).hexdigest()

    def submit(self, runs: Leaves, *, everything: bool = False) -> "Future[Leaves | None]":
        """See `Threads`."""
        package = self.package if everything else None
        return self.start(compute_on_worker, self.name, package, self.devices, runs)

    def result(self, future: "Future[Any]", stopped: Callable[[], str]) -> Any:
        """See `Threads`."""
        try:
            return future.result()
        except KeyboardInterrupt:
            # A terminal sends Ctrl-C to child processes too, where it ends a chunk.
            raise KeyboardInterrupt(stopped()) from None
        except BrokenExecutor as error:
            cause = "ended abruptly (killed, or out of memory)"
            raise RuntimeError(f"sweep: a worker of the executor {cause}; {stopped()}") from error
        except (Exception, CancelledError) as error:
            cause = f"{type(error).__name__}: {error}"
            raise RuntimeError(f"sweep: the executor failed with {cause}; {stopped()}") from error


Workers = Threads | Remote


@dataclasses.dataclass(frozen=True)
class Package:
    """What a worker needs beside the arguments of single runs.

    Attributes:
        program: of a chunk, exported.
        buffer: the number of runs of its buffers.
        shared: its arguments that all runs share; without the data if the worker loads them.
        load: returns the data; None if `shared` has them.
        data: a hash of the data.
        kind: of the devices.
        versions: of jax and jaxlib.
        x64: whether 64-bit types are on.
    """

    program: bytes
    buffer: int
    shared: Leaves
    load: Callable[[], Any] | None
    data: str
    kind: str
    versions: dict[str, str]
    x64: bool


def pickled(package: Package) -> bytes:
    """Pickles a package, by cloudpickle where that is installed.

    Raises:
        TypeError: the function that loads the data cannot be pickled.
    """
    try:
        import cloudpickle as pickler
    except ImportError:
        pickler = pickle
    try:
        return pickler.dumps(package)
    except Exception as error:
        raise TypeError(
            f"sweep: data must be a function that can be pickled, as the workers load them by it, "
            f"got {package.load!r} ({error}); define it at the top of a module"
        ) from error


def versions() -> dict[str, str]:
    """Returns the versions that the bits of a result depend on."""
    return {"jax": jax.__version__, "jaxlib": importlib.metadata.version("jaxlib")}


runners: OrderedDict[str, Runner] = OrderedDict()
lock = threading.Lock()


def compute_on_worker(
    name: str, package: bytes | None, devices: int | None, runs: Leaves
) -> Leaves | None:
    """Computes runs in a worker, on its own devices.

    Args:
        name: of the package.
        package: pickled; None if the worker may have it from an earlier task.
        devices: how many devices to use.
        runs: the arguments of the runs.

    Returns:
        Their results; None if the worker does not have the package.
    """
    with lock:
        if name not in runners:
            if package is None:
                return None
            runners[name] = runner_of(pickle.loads(package), lanes_of(devices))
            while len(runners) > KEPT_RUNNERS:
                runners.popitem(last=False)
        runners.move_to_end(name)
        runner = runners[name]
    count = len(runs[0])
    bounds = np.linspace(0, count, min(runner.lanes, count) + 1).round().astype(int)
    spans = [slice(first, last) for first, last in itertools.pairwise(bounds)]
    with ThreadPoolExecutor(len(spans)) as threads:
        parts = list(threads.map(lambda span: runner([leaf[span] for leaf in runs]), spans))
    return [np.concatenate(leaves) for leaves in zip(*parts, strict=True)]


def runner_of(package: Package, lanes: list[jax.Device]) -> Runner:
    """Compiles a package's program on this worker and loads the data.

    Raises:
        RuntimeError: the worker has other versions or devices, or loads other data.
    """
    here = {**versions(), "device": lanes[0].device_kind}
    there = {**package.versions, "device": package.kind}
    if here != there:
        raise RuntimeError(f"expected a worker with {there}, got {here}; use the same everywhere")
    shared = package.shared
    if package.load is not None:
        data = package.load()
        if digest(data) != package.data:
            raise RuntimeError("expected the same data on every worker, got others from data()")
        plain, _ = keys.unwrap(data)
        shared = [shared[0], *map(np.asarray, jax.tree.leaves(plain)), *shared[1:]]
    exported = jax.export.deserialize(bytearray(package.program))
    arguments = jax.tree.unflatten(exported.in_tree, exported.in_avals)[0]

    def compile_for(device: jax.Device) -> Any:
        return compile_on(device, exported.call, arguments)

    with without_mesh():
        return Runner(compile_for, lanes, package.buffer, shared, package.x64)


def memory_on_worker(program: bytes) -> int:
    """Returns the bytes of memory that an exported program needs on a worker."""
    exported = jax.export.deserialize(bytearray(program))
    arguments = jax.tree.unflatten(exported.in_tree, exported.in_avals)[0]
    return bytes_needed(lanes_of(None)[0], exported.call, arguments)
