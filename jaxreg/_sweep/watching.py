"""Watching a sweep and stopping it: a progress bar, Ctrl-C between chunks, and a warning where nothing moves."""

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
"""CPU time over wall-clock time below which the process counts as idle: polling itself takes a little."""

T = TypeVar("T")


class LeaveAtOnce(KeyboardInterrupt):
    """A Ctrl-C that does not wait for the chunk under way."""


class Watch:
    """What a sweep keeps an eye on while it waits.

    Attributes:
        interrupts: how many SIGINTs came.
        deferred: whether the first of them waits until the chunk under way is saved.
        interrupt_message: makes the message of the KeyboardInterrupt.
        stall: is asked now and then while devices compute.
    """

    def __init__(self) -> None:
        self.interrupts = 0
        self.deferred = False
        self.interrupt_message: Callable[[], str] = lambda: "stopped before the first run"
        self.stall: Callable[[], None] = lambda: None

    def handle(self, number: int, frame: Any) -> None:  # noqa: ARG002
        """SIGINT: remembered while the sweep defers it, raised otherwise and from the second on."""
        self.interrupts += 1
        if not self.deferred or self.interrupts > 1:
            raise LeaveAtOnce(self.interrupt_message())

    def check(self) -> None:
        """Raises a KeyboardInterrupt where a SIGINT was deferred."""
        if self.interrupts:
            raise KeyboardInterrupt(self.interrupt_message())

    def wait(self, action: Callable[[], T], *, computing: bool = True) -> T:
        """Runs an action in a thread of its own; Python's main thread stays free to handle signals meanwhile."""
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

        # A daemon, so that a second Ctrl-C can end the program while a device still computes.
        threading.Thread(target=work, name="jaxreg-sweep", daemon=True).start()
        while not done.wait(POLL_SECONDS):
            if computing:
                self.stall()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]


def jax_settings() -> contextlib.AbstractContextManager[Any]:
    """The settings of JAX that hold in this thread, such as `with jax.enable_x64(True)`, to be entered in another one."""
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
    """Handles SIGINT for the block, and restores the handler after it.

    A signal that is ignored stays ignored, a handler that was not set from Python stays in place, and outside of the main
    thread nothing is set. A SIGINT that came during the block is raised at its end if it was not before.
    """
    watch = Watch()
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) in (
        None,
        signal.SIG_IGN,
    ):
        yield watch
        return
    before = signal.signal(signal.SIGINT, watch.handle)
    try:
        yield watch
    finally:
        signal.signal(signal.SIGINT, before)
    watch.check()


class Stall:
    """Warns once if neither runs finish nor the process takes CPU time: a sign of a deadlock in jaxlib's thread pool.

    Args:
        clock, cpu: seconds of the wall clock, and of CPU time of the process.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.process_time):
        self.clock, self.cpu = clock, cpu
        self.warned = False
        self.progressed()

    def progressed(self) -> None:
        """Starts the time anew."""
        self.since, self.used = self.clock(), self.cpu()

    def __call__(self) -> None:
        """Looks at both clocks; a window in which CPU time was taken ends without a warning."""
        waited = self.clock() - self.since
        if waited < STALL_SECONDS:
            return
        idle = self.cpu() - self.used < STALL_SHARE * waited
        self.progressed()
        if idle and not self.warned:
            self.warned = True
            warnings.warn(
                f"sweep: no run has finished and no CPU time was used for {waited:.0f} seconds. If fit does not wait for "
                "something outside of JAX, this is probably a deadlock in jaxlib's CPU thread pool, which several CPU "
                "devices share: stop the program and start it with PJRT_NPROC=8 in the environment, or pass devices=1",
                RuntimeWarning,
                stacklevel=2,
            )


@contextlib.contextmanager
def reporting(progress: bool | Callable[[int], None] | None, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a progress callback: the caller's function, one that advances a bar on a terminal, or one that does nothing."""
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
