"""`python -m experiments bench NAME`: the benchmarks."""

import importlib

from rich.console import Console

from experiments.config import LassoBenchmark, SettingError, SweepBenchmark, UpdateBenchmark
from experiments.terminal import command_of, parse, progress, use_devices

BENCHMARKS: dict[str, type] = {"update": UpdateBenchmark, "lasso": LassoBenchmark, "sweep": SweepBenchmark}


def run(words: list[str], console: Console) -> None:
    """The benchmarks, `bench NAME`."""
    name, *rest = words or ["nothing"]
    if name not in BENCHMARKS:
        expected = " or ".join(f"`bench {known}`" for known in BENCHMARKS)
        raise SettingError(f"bench: expected {expected}, got {name!r}")
    kind = BENCHMARKS[name]
    config = parse(kind, rest, f"python -m experiments bench {name}", kind.__doc__ or "", kind())
    if name == "sweep":
        use_devices(None)
    from experiments.folders import check_file

    check_file(config.out)
    benchmark = importlib.import_module(f"experiments.benchmarks.{name}")
    with progress(console, f"bench {name}", benchmark.steps(config)) as advance:
        benchmark.run(config, command_of(["bench", *words]), console, advance)
