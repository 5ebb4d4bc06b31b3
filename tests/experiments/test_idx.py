"""IDX folders: every spelling of the file names is read, and every mistake gets one clear line."""

import gzip
import struct

import numpy as np
import pytest
from idx_files import SPELLINGS, encoded, write_folder

from experiments import idx
from experiments.settings import SettingError


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_folder_is_read_in_every_spelling(tmp_path, spelling):
    pixels, labels = write_folder(tmp_path, spelling=spelling)
    train, test = idx.load(tmp_path)
    assert train.inputs.dtype == np.float32
    assert train.labels.dtype == np.int32
    np.testing.assert_array_equal(
        train.inputs, (pixels["train"].reshape(len(pixels["train"]), -1) / 255).astype(np.float32)
    )
    np.testing.assert_array_equal(test.labels, labels["t10k"])
    assert test.inputs.shape == (len(pixels["t10k"]), 16)


def damage(name, change):
    """Returns a function that changes the content of one file in a folder."""

    def spoil(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


MISTAKES = {
    "no folder": (
        lambda folder: [path.unlink() for path in folder.iterdir()] and folder.rmdir(),
        "a folder of four IDX files",
    ),
    "no file": (
        lambda folder: (folder / "t10k-labels-idx1-ubyte").unlink(),
        "the file t10k-labels-idx1-ubyte or",
    ),
    "not IDX": (
        damage("train-images-idx3-ubyte", lambda _: b"hello world"),
        "which begins 68 65 6c 6c",
    ),
    "empty": (
        damage("train-images-idx3-ubyte", lambda _: b""),
        "train-images-idx3-ubyte, which is empty",
    ),
    "floats": (
        damage("train-labels-idx1-ubyte", lambda data: b"\0\0\x0d\x01" + data[4:]),
        "which begins 00 00 08 01, got",
    ),
    "labels for images": (
        damage("train-images-idx3-ubyte", lambda _: encoded(np.zeros(4, np.uint8))),
        "in 3 dimensions",
    ),
    "half a header": (
        damage("train-images-idx3-ubyte", lambda data: data[:9]),
        "9 bytes: the file is incomplete",
    ),
    "cut short": (
        damage("train-images-idx3-ubyte", lambda data: data[:-1]),
        "bytes: the file is incomplete",
    ),
    "too long": (
        damage("train-labels-idx1-ubyte", lambda data: data + b"\0"),
        "bytes: the file is too long",
    ),
    "half an archive": (
        damage("train-images-idx3-ubyte", lambda data: gzip.compress(data)[:-20]),
        "expected a complete file that can be read",
    ),
    "other counts": (
        damage(
            "train-labels-idx1-ubyte", lambda data: data[:4] + struct.pack(">i", 5) + data[8:13]
        ),
        "ubyte, one per image, got 5",
    ),
    "other sizes": (
        damage("t10k-images-idx3-ubyte", lambda _: encoded(np.zeros((40, 5, 5), np.uint8))),
        "16 pixels in each test image, as in the training images, got 25",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_line(tmp_path, name):
    folder = tmp_path / "images"
    folder.mkdir()
    write_folder(folder)
    spoil, message = MISTAKES[name]
    spoil(folder)
    with pytest.raises(SettingError) as caught:
        idx.load(folder)
    assert message in str(caught.value)
    assert str(caught.value).startswith("data: expected")
    assert "\n" not in str(caught.value)


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "FASHION", tmp_path / "nowhere")
    with pytest.raises(
        SettingError,
        match="install Debian's package dataset-fashion-mnist, or name any folder with such files",
    ):
        idx.load(tmp_path / "nowhere")


def test_fashion_mnist_is_what_its_paper_says():
    if not idx.FASHION.is_dir():
        pytest.skip(
            f"no Fashion-MNIST at {idx.FASHION}: Debian's package dataset-fashion-mnist is not "
            "installed"
        )
    train, test = idx.load(idx.FASHION)
    assert train.inputs.shape == (60_000, 784)
    assert test.inputs.shape == (10_000, 784)
    np.testing.assert_array_equal(np.bincount(train.labels), np.full(10, 6000))
    np.testing.assert_array_equal(np.bincount(test.labels), np.full(10, 1000))
    # The mean and standard deviation that are commonly used to normalise these images.
    assert train.inputs.mean() == pytest.approx(0.2860, abs=1e-4)
    assert train.inputs.std() == pytest.approx(0.3530, abs=1e-4)
    # The first image is an ankle boot, whose first row is black.
    assert train.labels[0] == 9
    assert train.inputs[0, :28].max() == 0
