"""Ctrl-C, SIGTERM and SIGHUP all end a command: immediately, or in a sweep once the current chunk
is saved.

    stopping.listen()                   # once, before slow imports
    stopping.begin_work()               # from now on a signal raises KeyboardInterrupt, so that files are cleaned up
    with stopping.uninterrupted():      # a signal in this block takes effect at its end
        exchange(new, old)
    stopping.check()                    # raises KeyboardInterrupt again if a callback swallowed it

A second signal ends the process immediately.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class State:
    """What is known about signals.

    Attributes:
        signal: number of the first signal that came; None if none did.
        working: whether files have been written that must be cleaned up.
        blocks: number of `uninterrupted` blocks that are open.
    """

    signal: int | None = None
    working: bool = True
    blocks: int = 0


state = State()


def listen() -> None:
    """Installs the signal handlers. Signals that are ignored, such as SIGHUP under nohup, stay
    ignored.

    Until `begin_work` is called, a signal ends the process immediately. An exception that is raised
    while NumPy or JAX is imported can crash the process, print a traceback from within an extension
    module, or be swallowed.
    """
    state.working = False
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    sys.unraisablehook = quiet


def begin_work() -> None:
    """Makes signals raise KeyboardInterrupt from now on, so that unfinished files are cleaned
    up.
    """
    state.working = True


def quiet(swallowed: Any) -> None:
    """Prints exceptions that a callback swallowed, except a KeyboardInterrupt from `stop`, which
    `check` raises again.
    """
    if not (state.signal is not None and issubclass(swallowed.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(swallowed)


def stop(number: int, frame: FrameType | None) -> None:
    """The signal handler: raises KeyboardInterrupt, or passes the signal to a running sweep, or
    ends the process.
    """
    del frame
    if state.signal is not None:
        os._exit(128 + number)
    state.signal = number
    if not state.working:
        with contextlib.suppress(OSError):
            os.write(2, b"interrupted\n")
        os._exit(128 + number)
    sweeping = signal.getsignal(signal.SIGINT)
    if number != signal.SIGINT and callable(sweeping) and sweeping is not stop:
        # A sweep has its own handler for SIGINT, which saves the current chunk first.
        signal.raise_signal(signal.SIGINT)
    else:
        check()


def check() -> None:
    """Raises KeyboardInterrupt if a signal came and no `uninterrupted` block is open.

    JAX and the garbage collector swallow exceptions in callbacks, so an exception raised by `stop`
    may be lost.
    """
    if state.signal is not None and not state.blocks:
        raise KeyboardInterrupt


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Defers signals until the end of the block."""
    state.blocks += 1
    try:
        yield
    finally:
        state.blocks -= 1
    check()


def exit_status() -> int:
    """The exit status that shells expect after a signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for
    SIGHUP.
    """
    return 128 + (state.signal or signal.SIGINT)
