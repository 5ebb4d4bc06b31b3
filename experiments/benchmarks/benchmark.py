"""A benchmark consists of a measurement and the tables that show it. Each module of `BENCHMARKS`
declares one.

BENCHMARK = Benchmark(count=count_fits, measure=measure_lasso, show=show_lasso)
run(BENCHMARK, LassoBenchmark(), "python -m experiments bench lasso", console, advance)
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rich.console import Console

from experiments.results.disk import write_whole
from experiments.results.store import provenance
from experiments.sheet import Sheet

EARLIER = "earlier_seconds"
"""Name among the numbers of the seconds that interrupted runs took, which count too."""


class Benchmark(NamedTuple):
    """A measurement and its tables.

    Attributes:
        count: function from the settings to the number of calls of `advance`, for the progress bar.
        measure: function from the settings and `advance` to the numbers, which must be valid JSON.
        show: function from the settings and the numbers to the tables and lines of text that are
            printed.
    """

    count: Callable[[Any], int]
    measure: Callable[[Any, Callable[[int], None]], dict[str, Any]]
    show: Callable[[Any, dict[str, Any]], Iterable[Sheet | str]]


def run(
    benchmark: Benchmark,
    config: Any,
    command: str,
    console: Console,
    advance: Callable[[int], None],
) -> None:
    """Measures, saves the numbers with their provenance in the file `config.out`, and prints the
    tables.

    Args:
        benchmark: what to run.
        config: its settings.
        command: the command line, for the provenance.
        console: receives the tables.
        advance: called with the number of steps finished since the last call.
    """
    began = time.perf_counter()
    numbers = benchmark.measure(config, advance)
    seconds = time.perf_counter() - began + numbers.pop(EARLIER, 0)
    made_by = provenance(dataclasses.asdict(config), command, seconds)
    write_whole(
        config.out, json.dumps({"made_by": made_by, **numbers}, indent=2, default=str) + "\n"
    )
    for part in benchmark.show(config, numbers):
        console.print(part, markup=False)
    console.print(f"saved {config.out}", markup=False)
