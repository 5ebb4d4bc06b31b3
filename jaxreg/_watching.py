"""Watching a sweep and stopping it: a bar with runs done, runs per second and time left, and Ctrl-C heard between chunks."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """Gathers Ctrl-C in a list for the block, to be acted on between chunks; other threads than the main one cannot."""
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def reporting(progress: bool | Callable[[int], None] | None, total: int) -> Iterator[Callable[[int], None]]:
    """Something to tell the finished runs to: the caller's function, a bar on a terminal, or nobody."""
    if callable(progress):
        yield progress
        return
    if not (progress or (progress is None and sys.stderr.isatty())) or jax.process_index() != 0:
        yield lambda _: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
        from rich.text import Text
    except ImportError:
        yield lambda _: None
        return

    class Speed(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed or 0:.3g} runs/s")

    columns = (TextColumn("sweep"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("sweep", total=total)
        yield lambda count: bar.advance(task, count)
