"""Ctrl-C, SIGTERM and SIGHUP end a command in the same way: at once outside a sweep, after the chunk under way inside one.

    stopping.listen()                   # once, before anything slow
    stopping.begin_work()               # from here on a signal raises KeyboardInterrupt, so that files are cleaned up
    with stopping.uninterrupted():      # a signal that comes here acts when the block ends
        exchange(new, old)
    stopping.check()                    # acts on a signal whose KeyboardInterrupt was swallowed by a callback

A second signal ends the process at once.
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
    """The first signal that came, whether there is work to clean up, and how many `uninterrupted` blocks are open."""

    signal: int | None = None
    working: bool = True
    blocks: int = 0


state = State()


def listen() -> None:
    """Handles the signals from now on; one that is ignored, as SIGHUP is under nohup, stays ignored.

    Until `begin_work`, a signal ends the process at once: an exception that is raised while NumPy or JAX is imported can
    crash the process, print a traceback from within an extension module, or be swallowed.
    """
    state.working = False
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    sys.unraisablehook = quiet


def begin_work() -> None:
    """Announces that files will be written, which a KeyboardInterrupt lets their owners remove or keep."""
    state.working = True


def quiet(swallowed: Any) -> None:
    """Prints an exception that a callback swallowed, but for the KeyboardInterrupt of `stop`, which `check` raises again."""
    if not (state.signal is not None and issubclass(swallowed.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(swallowed)


def stop(number: int, frame: FrameType | None) -> None:
    """The handler: raises KeyboardInterrupt, leaves it to the sweep that is running, or ends a process without work."""
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
        # A sweep handles SIGINT itself: it saves the chunk under way first.
        signal.raise_signal(signal.SIGINT)
    else:
        check()


def check() -> None:
    """Raises KeyboardInterrupt if a signal came, outside `uninterrupted`.

    JAX and the garbage collector swallow exceptions in their callbacks, so one that `stop` raised may never arrive.
    """
    if state.signal is not None and not state.blocks:
        raise KeyboardInterrupt


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Defers the signals until the block has ended."""
    state.blocks += 1
    try:
        yield
    finally:
        state.blocks -= 1
    check()


def exit_status() -> int:
    """What shells expect of a program that a signal stopped: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (state.signal or signal.SIGINT)
