"""Finished chunks of a sweep on disk: whole or not there, checked when they are read, and tied to what made them.

A folder holds `manifest.json`, which says what the sweep is, and one file a chunk: a SHA-256 of the rest, then the arrays
as NumPy's npz. Every file is written beside its place, flushed to the disk and renamed, so that a kill at any moment leaves
chunks that are whole and at most a temporary file that nobody reads.
"""

import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

MANIFEST = "manifest.json"
DIGEST_BYTES = 32


class SweepMismatchError(ValueError):
    """A folder holds another sweep's chunks, or another version's."""


class Chunks:
    """The chunks of one sweep in one folder.

    Args:
        folder: made if it is not there.
        identity: what the sweep is, as strings by name; a folder begun with another identity is refused.

    Raises:
        SweepMismatchError: the folder was begun by something else; the message names what differs.
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: dict[str, str]):
        self.folder = Path(folder)
        manifest = self.folder / MANIFEST
        if manifest.exists():
            check_identity(manifest, identity)
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(manifest, (json.dumps(identity, indent=2) + "\n").encode())
        except OSError as error:
            what = f"sweep: folder cannot be written ({error.strerror}); give it one that can"
            raise OSError(error.errno, what, str(self.folder)) from error

    def path(self, number: int) -> Path:
        """Where a chunk is kept."""
        return self.folder / f"chunk-{number:06d}.npz.sum"

    def save(self, number: int, arrays: list[np.ndarray]) -> None:
        """Puts a chunk on disk; it is there, whole, when this returns."""
        buffer = io.BytesIO()
        np.savez(buffer, *[as_bytes(array) for array in arrays])
        payload = buffer.getvalue()
        try:
            write_whole(self.path(number), hashlib.sha256(payload).digest() + payload)
        except OSError as error:
            raise OSError(
                error.errno,
                f"sweep: chunk {number} could not be written ({error.strerror}); the chunks before it are kept, and the "
                "same call goes on from there once there is room",
                str(self.folder),
            ) from error

    def load(self, number: int, like: list[Any]) -> list[np.ndarray] | None:
        """A chunk's arrays, or None where it is not there or is damaged.

        Args:
            number: of the chunk. like: what has `shape` and `dtype` as each array must have.
        """
        try:
            content = self.path(number).read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
            raw = [stored[f"arr_{index}"] for index in range(len(like))]
        return [np.frombuffer(bits.tobytes(), leaf.dtype).reshape(leaf.shape) for bits, leaf in zip(raw, like, strict=True)]


def as_bytes(array: np.ndarray) -> np.ndarray:
    """An array as bytes: npz knows no bfloat16 and its like."""
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def check_identity(manifest: Path, identity: dict[str, str]) -> None:
    """Raises a SweepMismatchError where the manifest is another sweep's, or is unreadable."""
    try:
        found = json.loads(manifest.read_text())
    except ValueError:
        found = {}
    differing = [name for name in sorted({*identity, *found}) if identity.get(name) != found.get(name)]
    if differing:
        values = [(name, found.get(name, "not there"), identity.get(name, "not there")) for name in differing]
        told = "; ".join(f"{name}: {then} then, {now} now" for name, then, now in values)
        raise SweepMismatchError(
            f"sweep: {manifest.parent} holds the chunks of another sweep ({told}); "
            "give it another folder, or delete this one to begin anew"
        )


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that under its name it is never half there, and is on the disk before this returns."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
