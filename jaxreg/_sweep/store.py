"""Finished chunks of a sweep on disk: written atomically, verified when read, and tied to the sweep
that made them.

A folder holds `manifest.json`, which identifies the sweep, and one file per chunk: a SHA-256 of the
sweep's identity and the rest of the file, then the ids of its runs and their results in NumPy's npz
format. A chunk is named after its runs. Every file is written under a temporary name, flushed to
disk and renamed, so that a kill at any moment leaves complete chunks and at most a temporary file
that is never read. Two processes that run the same sweep in one folder write the same files.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 3
MANIFEST = "manifest.json"
DIGEST_BYTES = 32
ID_BYTES = 16

Identity = dict[str, Any]
"""What identifies a sweep (format, program, data, versions and layout), as JSON represents it."""


class SweepMismatchError(ValueError):
    """The folder of a sweep holds the chunks of another sweep, or of another version of jaxreg."""


def folder_of(folder: str | os.PathLike[str]) -> Path:
    """Makes the path absolute and expands `~`, so that it does not depend on later changes of the
    working directory.

    Raises:
        ValueError: the name is empty, or starts with the home folder of an unknown user.
    """
    name = os.fspath(folder)
    if not name:
        raise ValueError(
            'sweep: expected the name of a folder, got ""; pass None to keep nothing, or "."'
        )
    try:
        return Path(name).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(
            f"sweep: folder {name!r} begins with a home folder that is not known; write it out"
        ) from error


def read_manifest(folder: Path) -> Identity | None:
    """Reads the identity of the sweep in a folder; None if the folder has no manifest.

    Raises:
        SweepMismatchError: the manifest has an earlier format or is not a sweep's.
        OSError: it cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        what = (
            f"sweep: {MANIFEST} in the folder cannot be read ({error.strerror}); give it "
            "another folder"
        )
        raise OSError(error.errno, what, str(folder)) from error
    except ValueError:
        manifest = None
    if (
        isinstance(manifest, dict)
        and manifest.get("format") == FORMAT
        and isinstance(manifest.get("layout"), dict)
    ):
        return manifest
    if isinstance(manifest, dict) and {"program", "layout"} <= set(manifest):
        raise SweepMismatchError(
            f"sweep: {folder} was begun by an earlier version of jaxreg, whose chunks this one "
            "cannot use; give it another folder, or delete this one to begin anew"
        )
    raise SweepMismatchError(
        f"sweep: {folder / MANIFEST} is damaged or was not written by a sweep; "
        "give it another folder, or delete this file if nothing else needs it"
    )


def check_identity(folder: Path, stored: Identity, identity: Identity) -> None:
    """Raises a SweepMismatchError that names what differs."""
    differing = [name for name in identity if identity[name] != stored.get(name)]
    if differing:
        words = "; ".join(difference(name, stored.get(name), identity[name]) for name in differing)
        raise SweepMismatchError(
            f"sweep: {folder} holds the chunks of another sweep ({words}); "
            "give it another folder, or delete this one to begin anew"
        )


def difference(name: str, then: Any, now: Any) -> str:
    """Describes what differs."""
    if name == "program":
        return "program: fit computes something else, or its arguments have other shapes or dtypes"
    if name == "data":
        return "data: other values, shapes or dtypes"
    if name == "layout":
        then = then if isinstance(then, dict) else {}
        changed = [key for key in now if now[key] != then.get(key)]
        return "layout: " + ", ".join(
            f"{key} {then.get(key)} then, {now[key]} now" for key in changed
        )
    return f"{name}: {then} then, {now} now"


class Chunks:
    """The chunks of one sweep in one folder.

    Args:
        folder: created if it does not exist.
        identity: of the sweep.

    Raises:
        SweepMismatchError: the folder holds another sweep; the message names what differs.
        OSError: the folder cannot be created or written.
    """

    def __init__(self, folder: Path, identity: Identity):
        self.folder = folder
        self.key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()
        content = (json.dumps(identity, indent=2) + "\n").encode()
        if (stored := read_manifest(folder)) is None:
            try:
                make_folder(folder)
                write_whole(folder / MANIFEST, content, exclusive=True)
            except FileExistsError as error:
                if (stored := read_manifest(folder)) is None:
                    raise unwritable(folder, error) from error
            except OSError as error:
                raise unwritable(folder, error) from error
        if stored is not None:
            check_identity(folder, stored, identity)

    def save(self, ids: np.ndarray, arrays: list[np.ndarray]) -> None:
        """Writes a chunk to disk; it is complete when this returns.

        Args:
            ids: of its runs, (runs, ID_BYTES).
            arrays: the leaves of their results, (runs, …).
        """
        buffer = io.BytesIO()
        named: dict[str, Any] = {
            f"leaf_{index}": as_bytes(array) for index, array in enumerate(arrays)
        }
        np.savez(buffer, ids=ids, **named)
        payload = buffer.getvalue()
        path = (
            self.folder
            / f"chunk-{hashlib.sha256(self.key + ids.tobytes()).hexdigest()[:16]}.npz.sum"
        )
        try:
            write_whole(path, self.checksum(payload) + payload)
        except OSError as error:
            raise OSError(
                error.errno,
                f"sweep: a chunk of {len(ids)} runs could not be written ({error.strerror}); "
                "earlier chunks are saved, and the same call resumes from them once this is fixed",
                str(self.folder),
            ) from error

    def load(self, like: list[Any]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yields the ids and results of every chunk of this sweep; skips files that are damaged or
        of another sweep.

        Args:
            like: for each leaf, an object with the `shape` and `dtype` that the leaf has in one
                run.
        """
        for path in sorted(self.folder.glob("chunk-*.npz.sum")):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            if self.checksum(payload) != digest:
                continue
            with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
                ids = stored["ids"]
                rows = [stored[f"leaf_{index}"] for index in range(len(like))]
            yield (
                ids,
                [
                    np.frombuffer(bits.tobytes(), leaf.dtype).reshape(len(ids), *leaf.shape)
                    for bits, leaf in zip(rows, like, strict=True)
                ],
            )

    def checksum(self, payload: bytes) -> bytes:
        """Computes a checksum of a chunk's content and the identity of the sweep."""
        return hashlib.sha256(self.key + payload).digest()


def as_bytes(array: np.ndarray) -> np.ndarray:
    """Converts an array to bytes, since NumPy's file format does not support bfloat16."""
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def unwritable(folder: Path, error: OSError) -> OSError:
    """Adds the likely fix to the error of a folder."""
    return OSError(
        error.errno,
        f"sweep: folder cannot be written ({error.strerror}); give it one that can",
        str(folder),
    )


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents; their names are on disk when this returns."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        flush_folder(place.parent)


def flush_folder(folder: Path) -> None:
    """Flushes the names in a folder to disk, if the system supports that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes, *, exclusive: bool = False) -> None:
    """Writes a file that is never incomplete under its name, and is on disk when this returns.

    Raises:
        FileExistsError: the file exists and `exclusive` is set.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            link_exclusively(temporary, path, content)
        else:
            os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    flush_folder(path.parent)


def link_exclusively(temporary: str, path: Path, content: bytes) -> None:
    """Gives a written file its name, unless that exists; without hard links, writes the file in
    place.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (
            errno.EPERM,
            errno.EOPNOTSUPP,
            errno.ENOTSUP,
            errno.ENOSYS,
            errno.EMLINK,
        ):
            raise
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
