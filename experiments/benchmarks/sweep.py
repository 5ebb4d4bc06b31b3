"""The sweep beside what a user would run instead, in one run on one machine, and how it scales.

Every contestant trains the same networks to their end; times are of whole sweeps, at the test accuracy beside them. The
arithmetic is counted as 6 operations a weight and row (forward and backward), and set beside what this machine does in a
large float32 matrix product in the same run. Scaling is measured in processes of their own, each with a memory of its own.
"""

import dataclasses
import itertools
import json
import multiprocessing
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmarks import contestants
from experiments.benchmarks.contestants import Split
from experiments.benchmarks.settings import SweepBenchmark
from experiments.datasets import Rows, digits
from experiments.results.disk import write_whole
from experiments.results.store import provenance
from experiments.sheet import Sheet

TRAIN_ROWS = 1437


def split() -> Split:
    """1437 training and 360 test rows of the digits, the same for everybody."""
    rows = digits()
    order = np.random.default_rng(0).permutation(len(rows.labels))
    parts = order[:TRAIN_ROWS], order[TRAIN_ROWS:]
    return Split(*(Rows(rows.inputs[part], rows.labels[part]) for part in parts))


def operations(config: SweepBenchmark, width: int, runs: int) -> float:
    """Floating-point operations of the training of all runs: 6 for each weight and row."""
    weights = 64 * width + width * width + width * 10
    rows = config.epochs * (TRAIN_ROWS // config.batch_size) * config.batch_size
    return 6.0 * weights * rows * runs


def ceiling() -> float:
    """GFLOP/s of this machine's largest use: a float32 matrix product of 4096 rows, the best of five."""
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


def entrants(config: SweepBenchmark) -> dict[str, Callable[..., np.ndarray] | None]:
    """Who takes part; None for who cannot."""
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


def measure(config: SweepBenchmark, advance: Callable[[int], None]) -> list[dict[str, Any]]:
    """A row for each width and contestant: seconds, mean test accuracy, and GFLOP/s."""
    data = split()
    rows = []
    for width in config.widths:
        for name, contestant in entrants(config).items():
            row: dict[str, Any] = {"width": width, "contestant": name}
            if contestant is not None:
                if name in ("Flax loop, warm", "jitted scan, warm", "PyTorch"):
                    contestant(config, width, data, 1)  # compiled and warmed up by a run that is not counted
                began = time.perf_counter()
                scores = contestant(config, width, data, config.runs)
                row["seconds"] = time.perf_counter() - began
                row["accuracy"] = float(np.mean(scores))
                row["gflops"] = operations(config, width, config.runs) / row["seconds"] / 1e9
            rows.append(row)
            advance(1)
    return rows


def scaling_point(config: SweepBenchmark, devices: int, runs: int, answer: Any) -> None:
    """One warm sweep in a process of its own: seconds, and the process's peak memory before and after it."""
    jax.config.update("jax_num_cpu_devices", devices)
    data = split()
    contestants.by_sweep(config, config.scaling_width, data, devices * 8, devices)
    before = peak_memory()
    began = time.perf_counter()
    contestants.by_sweep(config, config.scaling_width, data, runs, devices)
    seconds = time.perf_counter() - began
    answer.put((seconds, before, peak_memory()))


def peak_memory() -> float:
    """The largest resident memory of this process so far, MiB; NaN where the system does not tell.

    getrusage is no use here: a new process begins with its parent's peak.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def scale(config: SweepBenchmark, advance: Callable[[int], None]) -> list[dict[str, Any]]:
    """A row for each number of devices and of runs; on an accelerator, none, as its memory is not the process's."""
    rows = []
    if jax.devices()[0].platform == "cpu":
        spawn = multiprocessing.get_context("spawn")
        points = [(devices, config.runs) for devices in config.scaling_devices]
        points += [(len(jax.devices()), runs) for runs in config.scaling_runs]
        for devices, runs in points:
            answer = spawn.Queue()
            process = spawn.Process(target=scaling_point, args=(config, devices, runs, answer))
            process.start()
            try:
                seconds, before, after = answer.get()
            finally:
                # Ctrl-C ends the wait, and must end what was waited for.
                process.terminate()
                process.join()
            rows.append({"devices": devices, "runs": runs, "seconds": seconds, "mib_before": before, "mib_after": after})
            advance(1)
    return rows


def steps(config: SweepBenchmark) -> int:
    """How often `advance` will be called."""
    on_cpu = jax.devices()[0].platform == "cpu"
    return len(config.widths) * len(entrants(config)) + on_cpu * len(config.scaling_devices + config.scaling_runs)


def run(config: SweepBenchmark, command: str, console: Console, advance: Callable[[int], None]) -> None:
    """Measures, prints the tables and, where `config.out` is set, saves the numbers with what made them."""
    began = time.perf_counter()
    most = ceiling()
    rows = measure(config, advance)
    most = max(most, ceiling())
    scaling = scale(config, advance)
    device = jax.devices()[0]
    console.print(speed_table(config, rows, most, f"{len(jax.devices())} {device.platform} device(s)"))
    if any("seconds" not in row for row in rows):
        console.print("PyTorch was not measured: pip install torch==2.13.0, without --no-torch", markup=False)
    if scaling:
        console.print(scaling_table(config, scaling))
    if device.platform == "cpu":
        console.print("On a GPU: not measured here.")
    if config.out is not None:
        made_by = provenance(dataclasses.asdict(config), command, time.perf_counter() - began)
        content = {"made_by": made_by, "ceiling_gflops": most, "rows": rows, "scaling": scaling}
        write_whole(config.out, json.dumps(content, indent=2, default=str) + "\n")
        console.print(f"saved {config.out}", markup=False)


def speed_table(config: SweepBenchmark, rows: list[dict[str, Any]], most: float, where: str) -> Sheet:
    """Contestants side by side, each beside the warm sweep of its width."""
    title = f"{config.runs} runs × {config.epochs} epochs on {where}; matrix product {most:.0f} GFLOP/s"
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
    return Sheet(["contestant", "seconds", "÷ sweep", "test %", "GFLOP/s", "ceiling"], lines, title)


def scaling_table(config: SweepBenchmark, rows: list[dict[str, Any]]) -> Sheet:
    """Seconds and memory by devices and runs."""
    lines = []
    for row in rows:
        speed = f"{row['seconds']:.2f}", f"{row['runs'] / row['seconds']:.1f}"
        memory = f"{row['mib_before']:.0f}", f"{row['mib_after']:.0f}"
        lines.append([str(row["devices"]), str(row["runs"]), *speed, *memory])
    headings = ["devices", "runs", "seconds", "runs/s", "peak MiB before", "peak MiB after"]
    return Sheet(headings, lines, f"Scaling at width {config.scaling_width}, warm, a process a row", left=())
