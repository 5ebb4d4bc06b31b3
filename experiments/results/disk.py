"""What the file system offers for results that are whole: files and folders that appear at once, are flushed, or are locked.

with whole(path) as temporary: ...      # a file that is never half written under its name
exchange(new, old)                      # two folders swap names in one step, where the system can
handle = lock(path)                     # held until its process ends, even by a kill
"""

import contextlib
import ctypes
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.settings import SettingError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK}
"""What file systems answer that do not know a call at all, as some network ones do."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
DEAD_AFTER = 3600.0
"""Seconds after which a temporary file is one of a killed process: writing one takes less than a second."""


class SavingError(OSError):
    """Results could not be written: the message names the place and the reason."""


@contextlib.contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a SavingError that says that results could not be written, where and why."""
    try:
        yield
    except SavingError:
        raise
    except OSError as error:
        place = error.filename or path
        message = f"results could not be written to {path}: {error.strerror or error}"
        raise SavingError(error.errno, message + (f" ({place})" if str(place) != str(path) else "")) from error


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The path of a temporary file beside `path`, with its ending, that takes its place once it is on the disk.

    Raises:
        SavingError: it cannot be written.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_dead(path)
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def remove_dead(path: Path) -> None:
    """Removes the temporary files of `path` that killed processes left."""
    for leftover in path.parent.glob(f".tmp-*-{path.name}"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > DEAD_AFTER:
                leftover.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file so that under its name it is never half written, and is on the disk when this returns.

    What UTF-8 cannot hold, the bytes of a command line in another encoding, is written as an escape.
    """
    with whole(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))


def flush(path: Path) -> None:
    """Has the system put a file or the entries of a folder on the disk (fsync), where its file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Flushes every file in a folder, the folder itself, and its entry in the one above."""
    for path in sorted(folder.rglob("*")):
        flush(path)
    flush(folder)
    flush(folder.parent)


def exchange(first: Path, second: Path) -> bool:
    """Swaps two folders in one step, so that neither name is ever missing.

    Returns:
        Whether the system and the file system could (Linux: renameat2); if not, nothing was changed.
    """
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if swap is None:
        return False
    if swap(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(second))


def lock(path: Path) -> int | None:
    """Locks a file, making it and its folder.

    Returns:
        A handle for `unlock`; None where the system or the file system has no locks.

    Raises:
        SettingError: another process holds the lock.
        OSError: the file cannot be made.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another run has just ended and removed the folder
            continue
        held = None
        try:
            held = locked(handle, path)
            # The file may have been removed, by the run that held it, between opening and locking it.
            if not held or same_file(handle, path):
                return handle if held else None
        finally:
            if not held or not same_file(handle, path):
                os.close(handle)


def locked(handle: int, path: Path) -> bool:
    """Locks an open file and writes the process's number into it; False where that is not supported."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingError(in_use(path, os.read(handle, 20).decode("ascii", "replace"))) from None
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return False
        raise
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return True


def in_use(path: Path, process: str) -> str:
    """The message for a place that another run holds."""
    holder = f"process {process}" if process else "another process"
    return f"out: expected results that no other run is writing, but {holder} is; wait for it, or set another --out ({path})"


def same_file(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), named)


def unlock(path: Path, handle: int | None) -> None:
    """Removes the file and lets the lock go, in this order: a process that opened it before will find it gone."""
    path.unlink(missing_ok=True)
    if handle is not None:
        os.close(handle)
