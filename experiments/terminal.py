"""What all commands share: the import of tyro, JAX devices, the compilation cache and progress
bars.
"""

import contextlib
import importlib
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from experiments import stopping
from experiments.settings import SettingError, require


def import_tyro() -> Any:
    """Imports tyro such that it prints no colours if NO_COLOR is set."""
    name = "PYTHON_TYRO_ANSI_CODES"
    plain = bool(os.environ.get("NO_COLOR")) and name not in os.environ
    if plain:
        # tyro reads this variable when it is imported.
        os.environ[name] = "False"
    try:
        return importlib.import_module("tyro")
    finally:
        if plain:
            del os.environ[name]


def command_of(words: list[str]) -> str:
    """The command line as one string that can be typed again."""
    return shlex.join(["python", "-m", "experiments", *words])


def use_devices(count: int | None) -> int:
    """Configures JAX to use each CPU core as a device; GPUs need no configuration.

    Args:
        count: number of devices to use; None for all.

    Returns:
        The number of devices that will be used.

    Raises:
        SettingError: there are fewer devices, or JAX's backend cannot be started.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jax.config.update("jax_num_cpu_devices", count or usable or 1)
    try:
        found = jax.devices()
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # JAX 0.10 raises AssertionError for a platform without a plugin
        asked = os.environ.get("JAX_PLATFORMS", "not set")
        raise SettingError(
            f"devices: JAX cannot start its backend (JAX_PLATFORMS is {asked}): {error}"
        ) from error
    what = f"at most {len(found)}, the number of {found[0].platform} devices that JAX finds"
    require(count is None or count <= len(found), "devices", what, count)
    return count or len(found)


def keep_compiled(folder: Path | None) -> None:
    """Turns on JAX's persistent compilation cache in a folder, or does nothing if the folder is
    None.
    """
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder.expanduser()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@contextlib.contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar during the block.

    Args:
        console: the console to print to.
        what: description of the work.
        total: number of steps until it is done.

    Yields:
        A callback that advances the bar by a number of steps.
    """
    # Width that is left for the bar and the elapsed time.
    room = console.width - len(what) - len(f" {total}/{total} 0:00:00 ") - 1
    elapsed = [TimeElapsedColumn()] if room > 15 else []
    bar_width = max(3, min(40, room - len(elapsed) * len(" 0:00:00")))
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width), MofNCompleteColumn(), *elapsed,
        TimeRemainingColumn(),
    )  # fmt: skip
    stopping.begin_work()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            bar.advance(task, count)
            stopping.check()

        yield advance
