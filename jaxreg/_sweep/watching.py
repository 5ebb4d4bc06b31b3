"""Progress, interruption and stall detection of a sweep."""

import contextlib
import contextvars
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

POLL_SECONDS = 0.1
STALL_SECONDS = 30.0
STALL_SHARE = 0.02
"""CPU time divided by wall-clock time below which the process counts as idle; polling itself takes
a little.
"""

T = TypeVar("T")


class LeaveAtOnce(KeyboardInterrupt):
    """A Ctrl-C that does not wait for the current chunk."""


class Watch:
    """Handles signals and checks for a stall while a sweep waits for devices or other processes.

    Attributes:
        interrupts: the number of SIGINTs received.
        deferred: whether the first SIGINT waits until the current chunk is saved.
        interrupt_message: makes the message of the KeyboardInterrupt.
        stall: is called repeatedly while devices compute.
    """

    def __init__(self) -> None:
        self.interrupts = 0
        self.deferred = False
        self.interrupt_message: Callable[[], str] = lambda: "stopped before the first run"
        self.stall: Callable[[], None] = lambda: None

    def handle(self, number: int, frame: Any) -> None:  # noqa: ARG002
        """Handles SIGINT: remembers the first one if it is deferred, and raises otherwise."""
        self.interrupts += 1
        if not self.deferred or self.interrupts > 1:
            raise LeaveAtOnce(self.interrupt_message())

    def check(self) -> None:
        """Raises a KeyboardInterrupt if a SIGINT was deferred."""
        if self.interrupts:
            raise KeyboardInterrupt(self.interrupt_message())

    def wait(self, action: Callable[[], T], *, computing: bool = True) -> T:
        """Runs an action in another thread and waits for it, so that the main thread can handle
        signals meanwhile.
        """
        outcome: dict[str, Any] = {}
        done = threading.Event()
        context = contextvars.copy_context()
        settings = jax_settings()

        def work() -> None:
            try:
                with settings:
                    outcome["value"] = context.run(action)
            except BaseException as error:
                outcome["error"] = error
            finally:
                done.set()

        # A daemon thread, so that a second Ctrl-C can end the program while a device still
        # computes.
        threading.Thread(target=work, name="jaxreg-sweep", daemon=True).start()
        while not done.wait(POLL_SECONDS):
            if computing:
                self.stall()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]


def jax_settings() -> contextlib.AbstractContextManager[Any]:
    """Copies the JAX settings of this thread, such as `with jax.enable_x64(True)`, for use in
    another thread.
    """
    names = ("enable_x64", "default_device")
    contexts = [getattr(jax, name)(getattr(jax.config, f"jax_{name}")) for name in names]

    @contextlib.contextmanager
    def entered() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            yield

    return entered()


@contextlib.contextmanager
def interruptible() -> Iterator[Watch]:
    """Handles SIGINT inside the block and restores the previous handler after it.

    An ignored signal stays ignored, a handler that was not set from Python stays in place, and
    outside the main thread nothing is set. A SIGINT received in the block is raised at its end at
    the latest.
    """
    watch = Watch()
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(
        signal.SIGINT
    ) in (None, signal.SIG_IGN):
        yield watch
        return
    before = signal.signal(signal.SIGINT, watch.handle)
    try:
        yield watch
    finally:
        signal.signal(signal.SIGINT, before)
    watch.check()


class Stall:
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
        self.progressed()

    def progressed(self) -> None:
        """Restarts the measurement after progress."""
        self.since, self.used = self.clock(), self.cpu()

    def __call__(self) -> None:
        """Compares both clocks at the end of each window, and warns if the window used no CPU
        time.
        """
        waited = self.clock() - self.since
        if waited < STALL_SECONDS:
            return
        idle = self.cpu() - self.used < STALL_SHARE * waited
        self.progressed()
        if idle and not self.warned:
            self.warned = True
            warnings.warn(
                f"sweep: no run has finished and no CPU time was used for {waited:.0f} seconds. "
                "If fit does not wait for "
                "something outside JAX, this is probably a deadlock in jaxlib's CPU thread pool, "
                "which several CPU "
                "devices share: stop the program and start it with PJRT_NPROC=8 in the "
                "environment, or pass devices=1",
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
    if not (progress or (progress is None and sys.stderr.isatty())) or jax.process_index() != 0:
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
