"""File operations for results: atomic writes and exchanges, flushing to disk, and locks.

with whole(path) as temporary: ...      # writes a file that is never incomplete under its name
exchange(new, old)                      # swaps the names of two folders in one step, if the system
can handle = lock(path)                     # held until the process ends, even if it is killed
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
"""Errors of file systems that do not support a call, such as some network file systems."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
DEAD_AFTER = 3600.0
"""Age in seconds at which a temporary file must be from a killed process, because writing one takes
less than a second.
"""


class SavingError(OSError):
    """Results could not be written; the message gives the path and the reason."""


@contextlib.contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turns an OSError in the block into a SavingError whose message gives the path and the
    reason.
    """
    try:
        yield
    except SavingError:
        raise
    except OSError as error:
        place = error.filename or path
        message = f"results could not be written to {path}: {error.strerror or error}"
        raise SavingError(
            error.errno, message + (f" ({place})" if str(place) != str(path) else "")
        ) from error


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Writes a file atomically: it is written under a temporary name, flushed, and then renamed.

    Args:
        path: the file to write. An existing file is replaced.

    Yields:
        The path of the temporary file, with the same ending, to be written in the block.

    Raises:
        SavingError: the file cannot be written.
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
    """Removes temporary files for `path` that killed processes left behind."""
    for leftover in path.parent.glob(f".tmp-*-{path.name}"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > DEAD_AFTER:
                leftover.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file atomically and flushes it to disk.

    Args:
        path: the file.
        content: bytes, or text for a UTF-8 file. Characters that UTF-8 cannot encode, such as bytes
            of a command line in another encoding, are escaped.

    Raises:
        SavingError: the file cannot be written.
    """
    with whole(path) as temporary:
        temporary.write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
        )


def flush(path: Path) -> None:
    """Flushes a file or the entries of a folder to disk (fsync), if the file system supports it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Flushes all files in a folder, the folder itself and its parent folder."""
    for path in sorted(folder.rglob("*")):
        flush(path)
    flush(folder)
    flush(folder.parent)


def exchange(first: Path, second: Path) -> bool:
    """Swaps the names of two folders in one step, so that both names always exist.

    Args:
        first: one folder.
        second: the other folder.

    Returns:
        Whether they were swapped, which needs support by the system and the file system (Linux:
        renameat2).

    Raises:
        OSError: swapping failed for another reason.
    """
    swap = (
        getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if os.name == "posix"
        else None
    )
    if swap is None:
        return False
    if swap(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(second))


def lock(path: Path) -> int | None:
    """Locks a file, creating it and its folder if necessary.

    Args:
        path: the file.

    Returns:
        A handle for `unlock`; None if the system or the file system does not support locks.

    Raises:
        SettingError: another process holds the lock.
        OSError: the file cannot be created.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another run has just removed the folder
            continue
        held = None
        try:
            held = locked(handle, path)
            # The run that held the lock may have removed the file after it was opened here.
            if not held or same_file(handle, path):
                return handle if held else None
        finally:
            if not held or not same_file(handle, path):
                os.close(handle)


def locked(handle: int, path: Path) -> bool:
    """Locks an open file and writes the process ID into it; returns False if locks are not
    supported.
    """
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
    """The error message for a folder that another run is using."""
    holder = f"process {process}" if process else "another process"
    advice = "wait until it ends, or set another --out"
    return (
        f"out: expected a folder that no other run is writing to, but {holder} is using "
        f"{path.parent}; {advice}"
    )


def same_file(handle: int, path: Path) -> bool:
    """Whether a path still refers to an open file."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), named)


def unlock(path: Path, handle: int | None) -> None:
    """Removes the file, then releases the lock, so that a waiting process notices that the file is
    gone.
    """
    path.unlink(missing_ok=True)
    if handle is not None:
        os.close(handle)
