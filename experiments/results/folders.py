"""Results appear on disk whole or not at all, and what a killed run leaves behind is cleaned up at the next start.

    with folders.working(folders.beside(out), console.print) as work:
        chunks = work.chunks("digits-1a2b3c4d5e6f")         # finished runs of a sweep, removed when the block ends well
        with work.replacing(out, made_by) as folder:        # takes the place of `out` when the block ends well
            ...
    with folders.whole(path) as temporary:                  # the same for one file
        ...

Everything unfinished is in one hidden folder, locked by the run that uses it. The lock ends with its process, even one that
is killed, so whoever holds it may remove what else is there.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from experiments import stopping
from experiments.settings import require
from experiments.results.disk import exchange, flush, flush_tree, lock, saving, unlock, write_whole

MARKER = "study.json"
"""The file by which a results folder is known as one, and may be replaced."""


def beside(target: Path) -> Path:
    """The hidden folder for what a run that replaces `target` has not finished."""
    real = target.resolve()
    return real.with_name(f".{real.name}.unfinished")


@contextlib.contextmanager
def working(place: Path, tell: Callable[[str], None]) -> Iterator["Work"]:
    """A locked folder for unfinished work, cleaned of what killed runs left; empty at the end, it is removed.

    Args:
        place: the folder, on the file system of the results, which are its siblings. tell: receives lines for the user.

    Raises:
        SettingError: another run holds the folder.
        SavingError: it cannot be written.
    """
    stopping.begin_work()
    with saving(place):
        handle = lock(place / "lock")
    work = Work(place)
    try:
        if handle is not None:
            for line in work.recover():
                tell(line)
        yield work
        work.remove_chunks()
        if left := work.others():
            tell(left)
    except (KeyboardInterrupt, OSError) as error:
        error.add_note(work.kept())
        raise
    finally:
        unlock(place / "lock", handle)
        with contextlib.suppress(OSError):
            place.rmdir()


class Work:
    """What a run has not finished yet, and what it has.

    Attributes:
        place: the hidden folder. finished: how many runs of its sweeps are on disk. saved: the results that it replaced.
    """

    def __init__(self, place: Path):
        self.place = place
        self.finished = 0
        self.saved: list[Path] = []
        self.used: list[Path] = []

    def recover(self) -> list[str]:
        """Restores results that a killed run had moved aside, and removes its temporary folders; says what it restored."""
        told = []
        for aside in sorted(self.place.glob("old/*")):
            target = self.place.parent / aside.name
            if not target.exists():
                os.replace(aside, target)
                told.append(f"{target}: restored; a run was killed while it replaced this folder")
        for leftover in [self.place / "old", *self.place.glob("new-*")]:
            shutil.rmtree(leftover, ignore_errors=True)
        return told

    def chunks(self, name: str) -> Path:
        """The folder of a sweep's chunks, by a name that identifies its settings; removed when the work ends well."""
        folder = self.place / "chunks" / name
        self.used.append(folder)
        return folder

    def counted(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """Counts the runs that a sweep finished, and kept in its chunks."""

        def count(runs: int) -> None:
            self.finished += runs
            advance(runs)

        return count

    def remove_chunks(self) -> None:
        """Removes the chunks of this run, whose results are all in place."""
        for folder in self.used:
            shutil.rmtree(folder, ignore_errors=True)
        self.finished = 0
        with contextlib.suppress(OSError):
            (self.place / "chunks").rmdir()

    def others(self) -> str:
        """What is left of interrupted runs with other settings; empty where nothing is."""
        folders = [path for path in self.place.glob("chunks/*") if path not in self.used]
        size = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
        where = f"{self.place / 'chunks'} ({size / 1e6:.1f} MB)"
        unfinished = f"interrupted runs with other settings are kept in {where}: start one again, and it goes on"
        return f"{unfinished}; delete that folder if you do not need them" if folders else ""

    def kept(self) -> str:
        """What an interrupted command leaves on disk."""
        saved = f"new results are in {', '.join(map(str, self.saved))}" if self.saved else ""
        runs = "1 finished run is" if self.finished == 1 else f"{self.finished} finished runs are"
        resumable = f"{runs} kept, and the same command goes on from there" if self.finished else ""
        told = "; ".join(filter(None, (saved, resumable))) or "nothing new was kept"
        return f"{told}; {'all other' if self.saved else 'earlier'} results are as they were"

    @contextlib.contextmanager
    def replacing(self, target: Path, made_by: Callable[[], dict[str, Any]], last: bool = False) -> Iterator[Path]:
        """A temporary folder that takes the place of `target` when the block ends well, and else vanishes.

        Args:
            target: the folder to replace, a sibling of `place`.
            made_by: its provenance, asked for at the end and kept in it with a list of its files.
            last: whether nothing is left to do that the chunks would be needed for, so that they are removed.

        Raises:
            SettingError: `target` holds other files, at the start or at the end.
            SavingError: it cannot be written or replaced.
        """
        check_replaceable(target)
        shown, target = target, target.resolve()
        folder = self.place / f"new-{os.getpid()}" / target.name
        try:
            with saving(shown):
                folder.mkdir(parents=True)
            yield folder
            with saving(shown):
                files = sorted([MARKER, *(path.name for path in folder.iterdir())])
                write_whole(folder / MARKER, json.dumps({**made_by(), "files": files}, indent=2, default=str) + "\n")
                flush_tree(folder)
                check_replaceable(target)
                with stopping.uninterrupted():
                    self.put(folder, target)
                    self.saved.append(shown)
                    if last:
                        self.remove_chunks()
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)

    def put(self, folder: Path, target: Path) -> None:
        """Moves a finished folder to its place; what was there ends up where it came from, or aside and then deleted."""
        if not target.exists():
            os.replace(folder, target)
        elif not exchange(folder, target):
            aside = self.place / "old" / target.name
            aside.parent.mkdir(exist_ok=True)
            os.replace(target, aside)
            try:
                os.replace(folder, target)
            except OSError:
                os.replace(aside, target)
                raise
            flush(target.parent)
            shutil.rmtree(aside.parent, ignore_errors=True)
        flush(target.parent)


def check_replaceable(target: Path) -> None:
    """Refuses a place that cannot be replaced as a whole or holds something other than results, before any work is done.

    Raises:
        SettingError: `target` is a path in another encoding, a file, the working directory or one above it, a mount point,
            or a folder with anything in it that no results folder's own list names.
    """
    check_folder(target)
    real = target.resolve()
    encoding = sys.getfilesystemencoding()
    unreadable = os.fsencode(real) != str(real).encode(encoding, "replace")
    # The netCDF library takes no other path.
    require(
        not unreadable, "out", f"a path in the locale's encoding, {encoding} (LC_ALL=C.UTF-8 has every character)", target
    )
    home = real == Path.cwd() or real in Path.cwd().parents or real.is_mount()
    require(not home, "out", "a folder that can be moved", f"{target}, the working directory, one above it or a mount point")
    foreign = sorted(path.name for path in real.iterdir() if path.name not in own_files(real)) if target.exists() else []
    got = f"{target}, which holds other files ({', '.join(foreign[:3])})"
    require(not foreign, "out", "an empty, a new or a results folder, as it is replaced", got)


def own_files(folder: Path) -> set[str]:
    """The files that a results folder says it was written with; none where it is no results folder."""
    try:
        files = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return set(files) if isinstance(files, list) else set()


def check_folder(path: Path) -> None:
    """Raises a SettingError where a folder cannot be made because a file has its name."""
    require(not path.exists() or path.is_dir(), "out", "a folder", f"the file {path}")


def check_file(path: Path | None) -> None:
    """Raises a SettingError where a file cannot be written because a folder has its name."""
    require(path is None or not path.is_dir(), "out", "a file", f"the folder {path}")
