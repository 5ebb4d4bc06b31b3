"""Progress, interruption and stall detection of a sweep."""

import contextlib
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

POLL_SECONDS = 0.1
IDLE_SECONDS = 30.0
IDLE_SHARE = 0.02
"""CPU time divided by wall-clock time below which the process counts as idle; polling itself takes
a little.
"""


class Interrupts:
    """Counts the SIGINTs that a sweep receives.

    Attributes:
        count: of the SIGINTs received.
        deferred: whether the first one waits until the chunks at work are saved.
        message: makes the message of the KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.count = 0
        self.deferred = False
        self.message: Callable[[], str] = lambda: "stopped before the first run"

    def handle(self, number: int, frame: Any) -> None:  # noqa: ARG002
        """Handles SIGINT: remembers the first one if it is deferred, and raises otherwise."""
        self.count += 1
        if not self.deferred or self.count > 1:
            raise KeyboardInterrupt(self.message())

    def check(self) -> None:
        """Raises a KeyboardInterrupt if a SIGINT was deferred."""
        if self.count:
            raise KeyboardInterrupt(self.message())


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Handles SIGINT inside the block and restores the previous handler after it.

    An ignored signal stays ignored, a handler that was not set from Python stays in place, and
    outside the main thread nothing is set. A SIGINT received in the block is raised at its end at
    the latest.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(
        signal.SIGINT
    ) in (None, signal.SIG_IGN):
        yield interrupts
        return
    before = signal.signal(signal.SIGINT, interrupts.handle)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
    interrupts.check()


class IdleCheck:
    """Warns once if no run finishes and the process uses no CPU time, a sign of a deadlock in
    jaxlib's thread pool.

    Args:
        clock: returns seconds of wall-clock time.
        cpu: returns seconds of CPU time of the process.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ):
        self.clock, self.cpu = clock, cpu
        self.warned = False
        self.since, self.used = clock(), cpu()

    def check(self, progressed: bool) -> None:
        """Compares both clocks at the end of each window without progress, and warns if the window
        used no CPU time.
        """
        if progressed:
            self.since, self.used = self.clock(), self.cpu()
        waited = self.clock() - self.since
        if waited < IDLE_SECONDS:
            return
        idle = self.cpu() - self.used < IDLE_SHARE * waited
        self.since, self.used = self.clock(), self.cpu()
        if idle and not self.warned:
            self.warned = True
            warnings.warn(
                f"sweep: no run has finished and no CPU time was used for {waited:.0f} seconds. "
                "If fit does not wait for something outside JAX, this is probably a deadlock in "
                "jaxlib's CPU thread pool, which concurrent runs share: stop the program and start "
                "it with PJRT_NPROC=8 in the environment, or pass devices=1",
                RuntimeWarning,
                stacklevel=2,
            )


@contextlib.contextmanager
def reporting(
    progress: bool | Callable[[int], None] | None, total: int
) -> Iterator[Callable[[int], None]]:
    """Yields a progress callback: the caller's function, one that advances a bar on a terminal, or
    one that does nothing.
    """
    if callable(progress):
        yield progress
        return
    if not (progress or (progress is None and sys.stderr.isatty())):
        yield lambda _: None
        return
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text
    except ImportError:
        yield lambda _: None
        return

    class Speed(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed or 0:.3g} runs/s")

    columns = (
        TextColumn("sweep"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("sweep", total=total)
        yield lambda count: bar.advance(task, count)
