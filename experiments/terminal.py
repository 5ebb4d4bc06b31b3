"""What every command shares: settings from the command line, devices, progress, and Ctrl-C."""

import contextlib
import io
import itertools
import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.config import SettingError, require

INTERRUPTED = 130
"""The exit status that shells give a program stopped by Ctrl-C."""


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
