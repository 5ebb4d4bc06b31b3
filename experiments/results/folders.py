"""Results folders are replaced as a whole, and the next start cleans up after a run that was
killed.

    with folders.working(folders.beside(out), console.print) as work:
        chunks = work.chunks("digits-1a2b3c4d5e6f")         # finished runs of a sweep, removed if the block succeeds
        with work.replacing(out, provenance) as folder:     # replaces `out` if the block succeeds
            ...

All unfinished files are in one hidden folder, which is locked by the run that uses it. The lock is
released when the process ends, even if it is killed, so the process that holds the lock may remove
all other temporary files in the folder.
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
from experiments.results.disk import exchange, flush, flush_tree, lock, saving, unlock, write_whole
from experiments.settings import require

MARKER = "study.json"
"""The file that marks a folder as a results folder, which may be replaced."""


def beside(target: Path) -> Path:
    """The hidden folder for the unfinished files of a run that replaces `target`."""
    real = target.resolve()
    return real.with_name(f".{real.name}.unfinished")


@contextlib.contextmanager
def working(place: Path, report: Callable[[str], None]) -> Iterator["Work"]:
    """Locks a folder for unfinished work and cleans up what killed runs left there; removes the
    folder if it ends up empty.

    Args:
        place: the folder, a sibling of the results, so that it is on the same file system.
        report: called with messages for the user.

    Yields:
        The unfinished work.

    Raises:
        SettingError: another run is using the folder.
        SavingError: the folder cannot be written.
    """
    stopping.begin_work()
    with saving(place):
        handle = lock(place / "lock")
    work = Work(place)
    try:
        if handle is not None:
            for message in work.recover():
                report(message)
        yield work
        work.remove_chunks()
        if message := work.others():
            report(message)
    except (KeyboardInterrupt, OSError) as error:
        error.add_note(work.kept())
        raise
    finally:
        unlock(place / "lock", handle)
        with contextlib.suppress(OSError):
            place.rmdir()


class Work:
    """The unfinished work of a command, and how much of it is saved.

    Attributes:
        place: the hidden folder.
        finished: number of runs whose chunks are on disk.
        saved: results folders that have been replaced.
        used: folders of chunks of this command's sweeps.
    """

    def __init__(self, place: Path):
        self.place = place
        self.finished = 0
        self.saved: list[Path] = []
        self.used: list[Path] = []

    def recover(self) -> list[str]:
        """Restores results that a killed run had moved aside, removes its temporary folders, and
        returns messages.
        """
        messages = []
        for aside in sorted(self.place.glob("old/*")):
            target = self.place.parent / aside.name
            if not target.exists():
                os.replace(aside, target)
                messages.append(
                    f"{target}: restored, because a run was killed while it replaced this folder"
                )
        for leftover in [self.place / "old", *self.place.glob("new-*")]:
            shutil.rmtree(leftover, ignore_errors=True)
        return messages

    def chunks(self, name: str) -> Path:
        """The folder for a sweep's chunks, under a name that identifies its settings; removed when
        the work succeeds.
        """
        folder = self.place / "chunks" / name
        self.used.append(folder)
        return folder

    def counted(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """A callback that counts the finished runs and then calls `advance`."""

        def count(runs: int) -> None:
            self.finished += runs
            advance(runs)

        return count

    def remove_chunks(self) -> None:
        """Removes the chunks of this command, once all its results are saved."""
        for folder in self.used:
            shutil.rmtree(folder, ignore_errors=True)
        self.finished = 0
        with contextlib.suppress(OSError):
            (self.place / "chunks").rmdir()

    def others(self) -> str:
        """A message about the chunks of interrupted runs with other settings; empty if there are
        none.
        """
        folders = [path for path in self.place.glob("chunks/*") if path not in self.used]
        size = sum(
            path.stat().st_size
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file()
        )
        where = f"{self.place / 'chunks'} ({size / 1e6:.1f} MB)"
        message = (
            f"interrupted runs with other settings are kept in {where}: the same command "
            "resumes them"
        )
        return f"{message}; delete that folder if you do not need them" if folders else ""

    def kept(self) -> str:
        """A message about what an interrupted command leaves on disk."""
        saved = f"new results are in {', '.join(map(str, self.saved))}" if self.saved else ""
        runs = "1 finished run is" if self.finished == 1 else f"{self.finished} finished runs are"
        resumable = f"{runs} kept, and the same command resumes from there" if self.finished else ""
        kept = "; ".join(filter(None, (saved, resumable))) or "nothing new was kept"
        return f"{kept}; {'all other' if self.saved else 'earlier'} results are unchanged"

    @contextlib.contextmanager
    def replacing(
        self, target: Path, describe: Callable[[], dict[str, Any]], last: bool = False
    ) -> Iterator[Path]:
        """Replaces a results folder by a temporary folder if the block succeeds, and removes the
        temporary folder otherwise.

        Args:
            target: the folder to replace, a sibling of `place`.
            describe: function that returns the contents of `study.json`, to which a list of the
                files is added. It is called at the end of the block.
            last: whether this is the last use of the chunks, so that they can be removed.

        Yields:
            The temporary folder, to be filled in the block.

        Raises:
            SettingError: `target` holds other files, at the start or at the end of the block.
            SavingError: the folder cannot be written or replaced.
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
                write_whole(
                    folder / MARKER,
                    json.dumps({**describe(), "files": files}, indent=2, default=str) + "\n",
                )
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
        """Moves a finished folder to its place. The old folder swaps places with it, or is moved
        aside and then deleted.
        """
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
    """Checks that a folder can be replaced as a whole and holds nothing but results.

    Args:
        target: the folder, which need not exist.

    Raises:
        SettingError: `target` is a path in another encoding, a file, the working directory or a
            folder above it, a mount point, or a folder with files that its own `study.json` does
            not list.
    """
    check_folder(target)
    real = target.resolve()
    encoding = sys.getfilesystemencoding()
    unreadable = os.fsencode(real) != str(real).encode(encoding, "replace")
    # The netCDF library accepts only paths in this encoding.
    what = f"a path in the locale's encoding, {encoding} (LC_ALL=C.UTF-8 has every character)"
    require(not unreadable, "out", what, target)
    fixed = real == Path.cwd() or real in Path.cwd().parents or real.is_mount()
    what = f"{target}, the working directory, a folder above it or a mount point"
    require(not fixed, "out", "a folder that can be moved", what)
    foreign = (
        sorted(path.name for path in real.iterdir() if path.name not in own_files(real))
        if target.exists()
        else []
    )
    got = f"{target}, which holds other files ({', '.join(foreign[:3])})"
    require(not foreign, "out", "a new, empty or results folder, as it will be replaced", got)


def own_files(folder: Path) -> set[str]:
    """The files that a results folder lists in its `study.json`; none if it is not a results
    folder.
    """
    try:
        files = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return set(files) if isinstance(files, list) else set()


def check_folder(path: Path) -> None:
    """Raises a SettingError if the path of a folder is a file."""
    require(not path.exists() or path.is_dir(), "out", "a folder", f"the file {path}")


def check_file(path: Path | None) -> None:
    """Raises a SettingError if the path of a file is a folder."""
    require(path is None or not path.is_dir(), "out", "a file", f"the folder {path}")
