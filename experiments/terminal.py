"""What every command shares: settings from the command line, devices and progress."""

import contextlib
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments import stopping
from experiments.settings import SettingError, require


def import_tyro() -> Any:
    """The module tyro, which prints no colours where NO_COLOR is set or stderr is no terminal."""
    name = "PYTHON_TYRO_ANSI_CODES"
    plain = (bool(os.environ.get("NO_COLOR")) or not sys.stderr.isatty()) and name not in os.environ
    if plain:
        # tyro reads this when it is imported, and by itself looks at stdout alone.
        os.environ[name] = "False"
    try:
        return importlib.import_module("tyro")
    finally:
        if plain:
            del os.environ[name]


def command_of(words: list[str]) -> str:
    """The command as it can be typed again."""
    return shlex.join(["python", "-m", "experiments", *words])


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
    # What the description, the counts, the time left and the spaces between leave of the line, for bar and elapsed time.
    room = console.width - len(what) - len(f" {total}/{total} 0:00:00 ") - 1
    elapsed = [TimeElapsedColumn()] if room > 15 else []
    bar_width = max(3, min(40, room - len(elapsed) * len(" 0:00:00")))
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width), MofNCompleteColumn(), *elapsed, TimeRemainingColumn(),
    )  # fmt: skip
    stopping.begin_work()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            bar.advance(task, count)
            stopping.check()

        yield advance
