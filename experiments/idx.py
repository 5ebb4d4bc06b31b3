"""Images in the IDX format, which MNIST and its relatives come in: a folder of four files, plain or gzipped.

    train, test = load(Path("/usr/share/datasets/fashion-mnist"))   # Debian's package dataset-fashion-mnist
    train, test = load(Path("mnist"))                               # any other folder of the same four names

A file is two zero bytes, a byte for the type of number, one for the count of dimensions n, n sizes as big-endian int32,
and then the numbers, the last dimension running fastest. Images and labels are unsigned bytes, type 8.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from experiments.datasets import Rows
from experiments.settings import SettingError, require

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""
UNSIGNED_BYTES = 8


def load(folder: Path) -> tuple[Rows, Rows]:
    """Training and test rows of a folder: images flattened and scaled to 0…1 (rows, pixels), and their labels.

    Args:
        folder: holds images and labels under the customary names, `train-images-idx3-ubyte` and its three companions;
            `.idx3-ubyte` will do too, and so will `.gz` behind either.

    Raises:
        SettingError: the folder or a file is not there, or a file is not IDX, cut short, or does not fit the others.
    """
    tip = "; install Debian's package dataset-fashion-mnist, or name any folder of such files" if folder == FASHION else ""
    require(folder.is_dir(), "data", f"a folder of four IDX files at {folder}", f"none{tip}")
    train, test = (rows_of(folder, part) for part in ("train", "t10k"))
    shapes = [rows.inputs.shape[1] for rows in (train, test)]
    require(shapes[0] == shapes[1], "data", f"as many pixels in the test images as in the others, {shapes[0]}", shapes[1])
    return train, test


def rows_of(folder: Path, part: str) -> Rows:
    """Images and labels of one part, "train" or "t10k"."""
    pictures, labels = (find(folder, part, kind, rank) for kind, rank in (("images", 3), ("labels", 1)))
    pixels, classes = read(pictures, 3), read(labels, 1)
    require(len(pixels) == len(classes), "data", f"as many labels as images in {labels}, {len(pixels)}", len(classes))
    require(pixels.size > 0, "data", f"at least one image in {pictures}", f"the shape {pixels.shape}")
    inputs = pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)
    return Rows(inputs, classes.astype(np.int32))


def find(folder: Path, part: str, kind: str, rank: int) -> Path:
    """The file of one part and kind, whichever of its spellings is there; a plain file goes before a gzipped one.

    Raises:
        SettingError: none of them is.
    """
    names = [f"{part}-{kind}{dot}idx{rank}-ubyte{ending}" for ending in ("", ".gz") for dot in ("-", ".")]
    there = [folder / name for name in names if (folder / name).is_file()]
    require(bool(there), "data", f"the file {names[0]} or {names[0]}.gz in {folder}", "neither")
    return there[0]


def read(path: Path, rank: int) -> np.ndarray:
    """The array in one IDX file of unsigned bytes, plain or gzipped (told by its content, not by its name): uint8.

    Raises:
        SettingError: unreadable, a damaged archive, another format, another number of dimensions than `rank`, or more or
            fewer numbers than its header says.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise SettingError(f"data: expected a whole file that can be read, got {path}: {error}") from error
    magic = bytes([0, 0, UNSIGNED_BYTES, rank])
    what = f"an IDX file of unsigned bytes in {rank} dimensions (it begins {magic.hex(' ')})"
    begins = f"{path}, which begins {content[:4].hex(' ') or 'nowhere: it is empty'}"
    require(content[:4] == magic, "data", what, begins)
    header = 4 + 4 * rank
    require(len(content) >= header, "data", f"a header of {header} bytes in {path}", f"{len(content)}: it is cut short")
    shape = tuple(np.frombuffer(content, ">u4", rank, 4).tolist())
    count = math.prod(shape)
    body = len(content) - header
    fault = "cut short" if body < count else "longer than it says"
    require(body == count, "data", f"{count} bytes behind the header of {path}, as its sizes say", f"{body}: it is {fault}")
    return np.frombuffer(content, np.uint8, count, header).reshape(shape)
