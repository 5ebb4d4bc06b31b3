"""The speed of `jaxreg.sweep`, compared with what a user would run instead, and how it scales with
devices and runs.

All contestants train the same networks completely; we report the time of all runs together and the
test accuracy. The arithmetic is counted as 6 operations per weight and row (forward and backward
pass) and compared with the speed of a large float32 matrix product, measured in the same run. For
the table of scaling, each row is measured in a process of its own, so that its peak memory is its
own.
"""

import itertools
import multiprocessing
import operator
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxreg
from experiments.benchmarks import contestants
from experiments.benchmarks.benchmark import Benchmark
from experiments.benchmarks.contestants import Split
from experiments.benchmarks.settings import SweepBenchmark
from experiments.datasets import Rows, digits
from experiments.sheet import Sheet

TRAIN_ROWS = 1437


def split_digits() -> Split:
    """1437 training rows and 360 test rows of the digits, the same for all contestants."""
    rows = digits()
    order = np.random.default_rng(0).permutation(len(rows.labels))
    parts = order[:TRAIN_ROWS], order[TRAIN_ROWS:]
    return Split(*(Rows(rows.inputs[part], rows.labels[part]) for part in parts))


def operations(config: SweepBenchmark, width: int, runs: int) -> float:
    """Floating-point operations of the training of all runs: 6 per weight and row."""
    weights = 64 * width + width * width + width * 10
    rows = config.epochs * (TRAIN_ROWS // config.batch_size) * config.batch_size
    return 6.0 * weights * rows * runs


def matrix_product_speed() -> float:
    """GFLOP/s of a large square float32 matrix product on the first device, the best of five."""
    size = 4096 if jax.devices()[0].platform == "cpu" else 16384
    left = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(left, left))
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(product(left, left))
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds) / 1e9


def all_contestants(config: SweepBenchmark) -> dict[str, Callable[..., np.ndarray] | None]:
    """The contestants by name; None for PyTorch where it is not installed or switched off."""
    try:
        import torch  # noqa: F401

        by_torch: Callable[..., np.ndarray] | None = contestants.by_torch if config.torch else None
    except ImportError:
        by_torch = None
    return {
        "sweep, cold": contestants.by_sweep,
        "sweep, warm": contestants.by_sweep,
        "Flax loop, warm": contestants.by_flax_loop,
        "jitted scan, warm": contestants.by_jitted_run,
        "PyTorch": by_torch,
    }


def measure_speed(config: SweepBenchmark, advance: Callable[[int], None]) -> list[dict[str, Any]]:
    """Trains all runs with every contestant.

    Args:
        config: the widths and the training.
        advance: called with 1 after each contestant.

    Returns:
        For each width and contestant: seconds, mean test accuracy and GFLOP/s, or none of them
        where it was not measured.
    """
    data = split_digits()
    rows = []
    for width in config.widths:
        for name, contestant in all_contestants(config).items():
            row: dict[str, Any] = {"width": width, "contestant": name}
            if contestant is not None:
                if name in ("Flax loop, warm", "jitted scan, warm", "PyTorch"):
                    contestant(config, width, data, 1)  # compiles, and is not measured
                began = time.perf_counter()
                scores = contestant(config, width, data, config.runs)
                row["seconds"] = time.perf_counter() - began
                row["accuracy"] = float(np.mean(scores))
                row["gflops"] = operations(config, width, config.runs) / row["seconds"] / 1e9
            rows.append(row)
            advance(1)
    return rows


def measure_in_child(config: SweepBenchmark, devices: int, runs: int, sender: Any) -> None:
    """Runs one warm sweep in this process and sends its seconds and the peak memory before and
    after it.
    """
    jax.config.update("jax_num_cpu_devices", devices)
    data = split_digits()
    contestants.by_sweep(config, config.scaling_width, data, devices * 8, devices)
    before = peak_memory()
    began = time.perf_counter()
    contestants.by_sweep(config, config.scaling_width, data, runs, devices)
    seconds = time.perf_counter() - began
    sender.send((seconds, before, peak_memory()))


def peak_memory() -> float:
    """Peak resident memory of this process in MiB; NaN on a system without /proc.

    getrusage cannot be used here, because a new process starts with the peak of its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def measure_scaling(config: SweepBenchmark, advance: Callable[[int], None]) -> list[dict[str, Any]]:
    """Measures warm sweeps on several numbers of devices and of runs, each in a process of its own.

    Args:
        config: the numbers of devices and of runs.
        advance: called with 1 after each sweep.

    Returns:
        For each sweep: devices, runs, seconds, and the peak memory before and after it in MiB.
        Empty on an accelerator, whose memory is not the process's.
    """
    rows = []
    if jax.devices()[0].platform == "cpu":
        spawn = multiprocessing.get_context("spawn")
        points = [(devices, config.runs) for devices in config.scaling_devices]
        points += [(len(jax.devices()), runs) for runs in config.scaling_runs]
        for devices, runs in points:
            receiver, sender = spawn.Pipe(duplex=False)
            process = spawn.Process(target=measure_in_child, args=(config, devices, runs, sender))
            process.start()
            sender.close()  # so that a child process that dies ends the wait
            try:
                seconds, before, after = receiver.recv()
            finally:
                # Ctrl-C interrupts the wait; the child process must then end as well.
                process.terminate()
                process.join()
            rows.append(
                {
                    "devices": devices,
                    "runs": runs,
                    "seconds": seconds,
                    "mib_before": before,
                    "mib_after": after,
                }
            )
            advance(1)
    return rows


def measure_workers(config: SweepBenchmark, advance: Callable[[int], None]) -> list[dict[str, Any]]:
    """Measures warm sweeps on several numbers of worker processes.

    Args:
        config: the numbers of workers.
        advance: called with 1 after each number.

    Returns:
        For each number: workers, runs and seconds. Empty on an accelerator, which one process
        claims.
    """
    rows: list[dict[str, Any]] = []
    spawn = multiprocessing.get_context("spawn")
    fit, data = contestants.scanned_fit(config, config.scaling_width), split_digits()
    for workers in config.scaling_workers if jax.devices()[0].platform == "cpu" else ():
        with ProcessPoolExecutor(workers, mp_context=spawn) as executor:
            for runs in (16 * workers, config.runs):  # every worker compiles in the first sweep
                began = time.perf_counter()
                jaxreg.sweep(fit, np.zeros(runs), data, executor=executor, progress=False)
                seconds = time.perf_counter() - began
        rows.append({"workers": workers, "runs": config.runs, "seconds": seconds})
        advance(1)
    return rows


def count_measurements(config: SweepBenchmark) -> int:
    """Number of rows of all tables."""
    on_cpu = jax.devices()[0].platform == "cpu"
    scaling = config.scaling_devices + config.scaling_runs + config.scaling_workers
    return len(config.widths) * len(all_contestants(config)) + on_cpu * len(scaling)


def measure_sweeps(config: SweepBenchmark, advance: Callable[[int], None]) -> dict[str, Any]:
    """Measures speed and scaling.

    Args:
        config: the settings.
        advance: called with 1 after each row of a table.

    Returns:
        `rows`, `scaling` and `workers`, the rows of the three tables, and `ceiling_gflops`, the
        speed of a matrix product.
    """
    before = matrix_product_speed()
    rows = measure_speed(config, advance)
    most = max(before, matrix_product_speed())
    return {
        "ceiling_gflops": most,
        "rows": rows,
        "scaling": measure_scaling(config, advance),
        "workers": measure_workers(config, advance),
    }


def show_sweeps(config: SweepBenchmark, numbers: dict[str, Any]) -> Iterable[Sheet | str]:
    """The tables of speed and of scaling, and what was not measured."""
    yield speed_table(config, numbers["rows"], numbers["ceiling_gflops"])
    if any("seconds" not in row for row in numbers["rows"]):
        yield "PyTorch was not measured: pip install torch==2.13.0, without --no-torch"
    if numbers["scaling"]:
        yield scaling_table(config, numbers["scaling"])
        yield workers_table(config, numbers["workers"])
    if jax.devices()[0].platform == "cpu":
        yield "On a GPU: not measured here."


def speed_table(config: SweepBenchmark, rows: list[dict[str, Any]], most: float) -> Sheet:
    """The contestants side by side, each compared with the warm sweep of its width."""
    where = f"{len(jax.devices())} {jax.devices()[0].platform} device(s)"
    title = (
        f"{config.runs} runs × {config.epochs} epochs on {where}; matrix product {most:.0f} GFLOP/s"
    )
    lines: list[list[str] | str] = []
    for width, group in itertools.groupby(rows, operator.itemgetter("width")):
        measured = list(group)
        warm = next(row for row in measured if row["contestant"] == "sweep, warm")
        lines.append(f"width {width}")
        for row in measured:
            numbers = ["not measured", "", "", "", ""]
            if "seconds" in row:
                speed = f"{row['seconds']:.2f}", f"{row['seconds'] / warm['seconds']:.2f}"
                share = f"{row['gflops']:.0f}", f"{row['gflops'] / most:.0%}"
                numbers = [*speed, f"{100 * row['accuracy']:.1f}", *share]
            lines.append([row["contestant"], *numbers])
    headings = ["contestant", "seconds", "÷ sweep", "test %", "GFLOP/s", "÷ matrix product"]
    return Sheet(headings, lines, title)


def scaling_table(config: SweepBenchmark, rows: list[dict[str, Any]]) -> Sheet:
    """Seconds and memory by number of devices and of runs."""
    lines = []
    for row in rows:
        speed = f"{row['seconds']:.2f}", f"{row['runs'] / row['seconds']:.1f}"
        memory = f"{row['mib_before']:.0f}", f"{row['mib_after']:.0f}"
        lines.append([str(row["devices"]), str(row["runs"]), *speed, *memory])
    headings = ["devices", "runs", "seconds", "runs/s", "peak MiB before", "peak MiB after"]
    return Sheet(
        headings,
        lines,
        f"Scaling at width {config.scaling_width}, warm, one process per row",
        left=(),
    )


def workers_table(config: SweepBenchmark, rows: list[dict[str, Any]]) -> Sheet:
    """Seconds by number of worker processes."""
    lines = [[str(row["workers"]), str(row["runs"]), f"{row['seconds']:.2f}"] for row in rows]
    title = f"Workers of a ProcessPoolExecutor at width {config.scaling_width}, warm"
    return Sheet(["workers", "runs", "seconds"], lines, title, left=())


BENCHMARK = Benchmark(count_measurements, measure_sweeps, show_sweeps)
