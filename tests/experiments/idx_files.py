"""IDX files for tests: images of 4 × 4 pixels whose class is the position of the brightest
quarter.
"""

import gzip
import struct

import numpy as np

SPELLINGS = ("-idx{rank}-ubyte", "-idx{rank}-ubyte.gz", ".idx{rank}-ubyte", ".idx{rank}-ubyte.gz")


def encoded(array):
    """An array of unsigned bytes in the IDX format."""
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}i", *array.shape)
        + array.tobytes()
    )


def write_folder(folder, spelling=SPELLINGS[0], train=120, test=40):
    """Writes the four files; returns pixels and labels by part."""
    generator = np.random.default_rng(0)
    pixels, labels = {}, {}
    for part, count in (("train", train), ("t10k", test)):
        labels[part] = generator.integers(0, 4, count).astype(np.uint8)
        pixels[part] = generator.integers(0, 100, (count, 4, 4)).astype(np.uint8)
        for image, label in zip(pixels[part], labels[part], strict=True):
            image[2 * (label // 2) :, 2 * (label % 2) :][:2, :2] += 140
        for kind, array, rank in (("images", pixels[part], 3), ("labels", labels[part], 1)):
            path = folder / (f"{part}-{kind}" + spelling.format(rank=rank))
            path.write_bytes(
                gzip.compress(encoded(array)) if path.name.endswith(".gz") else encoded(array)
            )
    return pixels, labels
