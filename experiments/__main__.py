"""The command line.

    python -m experiments                 what L1 and L2 do to a network: records, table and figures
    python -m experiments bench update    what a regularized update costs beside optax.adamw
    python -m experiments bench lasso     one λ, one answer: every optimizer against scikit-learn's lasso
    python -m experiments bench sweep     the sweep beside a Flax loop and PyTorch, and how it scales

A wrong setting is told in one line; an interruption leaves earlier results as they were.
"""

import contextlib
import functools
import importlib
import io
import itertools
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import jaxreg
from experiments.config import QUICK, LassoBenchmark, SettingError, Study, SweepBenchmark, UpdateBenchmark, require

INTERRUPTED = 130
"""The exit status that shells give a program stopped by Ctrl-C."""

OVERVIEW = """What L1 and L2 regularization do to a network, on CPU or GPU: trains an MLP on scikit-learn's digits for every
method, strength and seed in one compiled program, and writes records (netCDF), a summary table and figures.

Other commands, each with a --help of its own: `python -m experiments bench update` measures what a regularized update
costs beside optax.adamw; `python -m experiments bench lasso` judges every optimizer against scikit-learn's lasso;
`python -m experiments bench sweep` times the sweep beside a Flax loop and PyTorch."""


def main(words: list[str]) -> int:
    """Runs one command; returns its exit status: 0, 1 for a failure, 2 for a wrong setting, 130 when interrupted."""
    console = Console()
    try:
        signal.signal(signal.SIGINT, remember_interrupt)
        if words[:1] == ["bench"]:
            bench(words[1:], console)
        elif words[:1] and not words[0].startswith("-"):
            raise SettingError(f"unknown command {words[0]!r}: expected no command, or bench; see --help")
        else:
            study(words, console)
    except (SettingError, jaxreg.SweepMismatchError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except OSError as error:
        console.print(
            f"error: results could not be written: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 1
    except KeyboardInterrupt as interrupt:
        told = str(interrupt) or "nothing new was kept"
        console.print(f"interrupted: {told}; earlier results are as they were", markup=False, soft_wrap=True)
        return INTERRUPTED
    return 0


def study(words: list[str], console: Console) -> None:
    """The main job: sweep, drawing, records, table and figures."""
    default = QUICK if "--quick" in words else Study()
    config = parse(Study, words, "python -m experiments", OVERVIEW, default)
    keep_compiled(config.cache)
    used = use_devices(config.devices)

    # Only now, as these initialise what the settings above decide, and --help should not wait for them.
    from experiments import records, report
    from experiments.studies import l1_l2

    began = time.perf_counter()
    records.check_replaceable(config.out)
    runs = l1_l2.plan(config).sizes["run"]
    console.print(f"{runs} networks on {used} {jax.devices()[0].platform} device(s)")
    made_by = functools.partial(provenance_of, config, words, began)
    chunks = config.out.resolve().with_name(f".{config.out.resolve().name}.chunks")
    with records.replacing(config.out, made_by) as folder:
        with progress(console, "training", runs) as advance:
            swept = l1_l2.sweep(config, advance, chunks)
        with progress(console, "drawing the small network", 1) as advance:
            drawn = l1_l2.draw(config.drawing)
            advance(1)
        save_figures(swept, drawn, folder, console)
        records.save_dataset(swept, folder / "digits.nc", made_by())
        records.save_dataset(drawn, folder / "wine.nc", made_by())
        report.write_markdown(swept, command_of(words), folder / "summary.md")
    # The records hold it all now.
    shutil.rmtree(chunks, ignore_errors=True)
    console.print(report.summary_table(swept))
    lost = report.diverged_drawings(drawn) + report.diverged(swept)
    if lost:
        named = "; ".join(lost[:8]) + (f"; and {len(lost) - 8} more" if len(lost) > 8 else "")
        text = f"diverged, and read nan: {len(lost)} of {runs + 3} networks: {named}"
        console.print(text, style="yellow", markup=False)
    console.print(f"{config.out}: records digits.nc and wine.nc, summary.md, and five figures (PNG, SVG)", markup=False)
    console.print(f"done in {time.perf_counter() - began:.0f} s")


def save_figures(swept: Any, drawn: Any, folder: Path, console: Console) -> None:
    """Makes the five figures from the two sets of records and saves each as PNG and SVG."""
    from experiments import figures

    makers = {
        "L1_1": lambda: figures.network_pair(drawn, "L1"),
        "L2_1": lambda: figures.network_pair(drawn, "L2"),
        "L1_2": lambda: figures.effect(swept, "proximal L1"),
        "L2_2": lambda: figures.effect(swept, "coupled L2"),
        "L1_3": lambda: figures.weight_bars(drawn),
    }
    with progress(console, "figures", len(makers)) as advance:
        for name, make in makers.items():
            figure = make()
            for ending in ("png", "svg"):
                figure.savefig(folder / f"{name}.{ending}")
            advance(1)


BENCHMARKS: dict[str, type] = {"update": UpdateBenchmark, "lasso": LassoBenchmark, "sweep": SweepBenchmark}


def bench(words: list[str], console: Console) -> None:
    """The benchmarks, `bench NAME`."""
    name, *rest = words or ["nothing"]
    if name not in BENCHMARKS:
        expected = " or ".join(f"`bench {known}`" for known in BENCHMARKS)
        raise SettingError(f"bench: expected {expected}, got {name!r}")
    kind = BENCHMARKS[name]
    config = parse(kind, rest, f"python -m experiments bench {name}", kind.__doc__ or "", kind())
    if name == "sweep":
        use_devices(None)
    from experiments.records import check_file

    check_file(config.out)
    benchmark = importlib.import_module(f"experiments.benchmarks.{name}")
    with progress(console, f"bench {name}", benchmark.steps(config)) as advance:
        benchmark.run(config, command_of(["bench", *words]), console, advance)


def parse(kind: type, words: list[str], program: str, description: str, default: Any) -> Any:
    """Settings from the command line.

    Raises:
        SettingError: a word is no setting, or its value does not fit; one line, folded out of tyro's frame.
    """
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard):
            return tyro.cli(kind, prog=program, description=description, default=default, args=words)
    except SystemExit as leaving:
        if not leaving.code:
            raise
        body = [line.strip("│ ") for line in heard.getvalue().splitlines() if line.startswith("│")]
        message = itertools.takewhile(lambda line: not line.startswith("──"), body)
        raise SettingError(f"{' '.join(message)}; see {program} --help") from None


def command_of(words: list[str]) -> str:
    """The command as it can be typed again."""
    return shlex.join(["python", "-m", "experiments", *words])


def provenance_of(config: Any, words: list[str], began: float) -> dict[str, Any]:
    """What makes the results, up to now."""
    from experiments.records import provenance

    return provenance(config, command_of(words), time.perf_counter() - began)


interrupts: list[int] = []
"""Signals that came, to be acted on where `advance` is called: JAX swallows a KeyboardInterrupt in its callbacks."""


def remember_interrupt(number: int, frame: Any) -> None:
    """Ends the command at its next `advance`; a second Ctrl-C ends it at once."""
    del frame
    if interrupts:
        os._exit(INTERRUPTED)
    interrupts.append(number)


def use_devices(count: int | None) -> int:
    """Makes every CPU core, or `count` of them, a device of JAX; a GPU, where JAX finds one, is used as it is.

    Returns:
        How many devices will be used.

    Raises:
        SettingError: more were asked for than there are, or JAX's backend cannot be used.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jax.config.update("jax_num_cpu_devices", count or usable or 1)
    try:
        found = jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second is what JAX 0.10 says of a platform without a plugin
        asked = os.environ.get("JAX_PLATFORMS", "not set")
        raise SettingError(f"devices: JAX cannot start its backend (JAX_PLATFORMS {asked}): {error}") from error
    what = f"at most {len(found)}, the {found[0].platform} devices that JAX sees"
    require(count is None or count <= len(found), "devices", what, count)
    return count or len(found)


def keep_compiled(folder: Path | None) -> None:
    """Turns JAX's persistent compilation cache on, for programs that took a while to compile."""
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder.expanduser()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@contextlib.contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with counts and times for the block; the block is handed a function that moves it on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            if interrupts:
                raise KeyboardInterrupt
            bar.advance(task, count)

        yield advance


if __name__ == "__main__":
    exit_status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if exit_status == INTERRUPTED:
        # A chunk may still be computing, and JAX crashes when the interpreter is torn down under it.
        os._exit(exit_status)
    sys.exit(exit_status)
