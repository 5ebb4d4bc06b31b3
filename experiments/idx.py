"""Images in the IDX format of MNIST and similar data sets: a folder of four files, plain or
gzipped.

    train, test = load(Path("/usr/share/datasets/fashion-mnist"))  # Debian's package
    train, test = load(Path("mnist"))  # any folder with files of the same four names

An IDX file consists of two zero bytes, one byte for the type of the numbers, one byte for the
number of dimensions, the size of each dimension as a big-endian int32, and the numbers, with the
last dimension varying fastest. Images and labels are unsigned bytes, type 8.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from experiments.datasets import Rows
from experiments.settings import SettingError, require

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` installs its files."""
UNSIGNED_BYTES = 8


def load(folder: Path) -> tuple[Rows, Rows]:
    """Reads the training and test rows in a folder.

    Args:
        folder: holds images and labels under the usual names: `train-images-idx3-ubyte`,
            `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, also
            with a dot before `idx` or with `.gz` at the end.

    Returns:
        Training and test rows, with the images flattened and scaled to 0…1 (rows, pixels).

    Raises:
        SettingError: the folder or a file does not exist, or a file is not IDX, is incomplete, or
            does not fit the others.
    """
    tip = (
        "; install Debian's package dataset-fashion-mnist, or name any folder with such files"
        if folder == FASHION
        else ""
    )
    require(
        folder.is_dir(), "data", f"a folder of four IDX files at {folder}", f"no folder there{tip}"
    )
    train, test = (rows_of(folder, part) for part in ("train", "t10k"))
    shapes = [rows.inputs.shape[1] for rows in (train, test)]
    require(
        shapes[0] == shapes[1],
        "data",
        f"{shapes[0]} pixels in each test image, as in the training images",
        shapes[1],
    )
    return train, test


def rows_of(folder: Path, part: str) -> Rows:
    """Reads the images and labels of one part, "train" or "t10k"."""
    pictures, labels = (
        find_file(folder, part, kind, rank) for kind, rank in (("images", 3), ("labels", 1))
    )
    pixels, classes = read_array(pictures, 3), read_array(labels, 1)
    require(
        len(pixels) == len(classes),
        "data",
        f"{len(pixels)} labels in {labels}, one per image",
        len(classes),
    )
    require(
        pixels.size > 0,
        "data",
        f"at least one image in {pictures}",
        f"an array of shape {pixels.shape}",
    )
    inputs = pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)
    return Rows(inputs, classes.astype(np.int32))


def find_file(folder: Path, part: str, kind: str, rank: int) -> Path:
    """Finds the file of one part and kind under any spelling of its name.

    Args:
        folder: the folder to look in.
        part: "train" or "t10k".
        kind: "images" or "labels".
        rank: number of dimensions, a part of the name.

    Returns:
        The path of the file; a plain file is preferred to a gzipped one.

    Raises:
        SettingError: there is no such file.
    """
    names = [
        f"{part}-{kind}{dot}idx{rank}-ubyte{ending}" for ending in ("", ".gz") for dot in ("-", ".")
    ]
    there = [folder / name for name in names if (folder / name).is_file()]
    require(
        bool(there), "data", f"the file {names[0]} or {names[0]}.gz in {folder}", "neither of them"
    )
    return there[0]


def read_array(path: Path, rank: int) -> np.ndarray:
    """Reads an IDX file of unsigned bytes. Whether it is gzipped is seen from its content, not from
    its name.

    Args:
        path: the file.
        rank: the number of dimensions that it must have.

    Returns:
        A uint8 array of the shape that the header states.

    Raises:
        SettingError: the file cannot be read or unpacked, has another format or another number of
            dimensions, or its size does not match its header.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise SettingError(
            f"data: expected a complete file that can be read, got {path}: {error}"
        ) from error
    magic = bytes([0, 0, UNSIGNED_BYTES, rank])
    what = f"an IDX file of unsigned bytes in {rank} dimensions, which begins {magic.hex(' ')}"
    begins = (
        f"{path}, which begins {content[:4].hex(' ')}" if content else f"{path}, which is empty"
    )
    require(content[:4] == magic, "data", what, begins)
    header = 4 + 4 * rank
    require(
        len(content) >= header,
        "data",
        f"a header of {header} bytes in {path}",
        f"{len(content)} bytes: the file is incomplete",
    )
    shape = tuple(np.frombuffer(content, ">u4", rank, 4).tolist())
    count = math.prod(shape)
    body = len(content) - header
    fault = "incomplete" if body < count else "too long"
    what = f"{count} bytes after the header of {path}, which states the shape {shape}"
    require(body == count, "data", what, f"{body} bytes: the file is {fault}")
    return np.frombuffer(content, np.uint8, count, header).reshape(shape)
