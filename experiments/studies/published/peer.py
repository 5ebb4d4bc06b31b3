"""LassoNet's own package, in PyTorch, on the same rows."""

import importlib
import importlib.util
import time
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from experiments.datasets import Rows
from experiments.settings import SettingError
from experiments.studies.published.settings import Settings

BATCH, EPOCHS, VALIDATION = 256, 1000, 0.125
"""From the authors' own script: rows per step, the most epochs for each λ, and the share of rows
whose loss ends the training at each λ.
"""


class Selection(NamedTuple):
    """What the package found.

    Attributes:
        pixels: indices of the pixels left.
        accuracy: test accuracy of its network, trained again on these pixels.
        seconds: time for both.
    """

    pixels: np.ndarray
    accuracy: float
    seconds: float


def installed() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("lassonet") is not None


def select_pixels(train: Rows, test: Rows, config: Settings, split: int) -> Selection:
    """Follows the package's path from dense to sparse until few enough pixels are left, and trains
    again on these.

    Raises:
        SettingError: the path ended before.
    """
    package = importlib.import_module("lassonet")
    began = time.perf_counter()
    inputs, held_inputs, labels, held_labels = train_test_split(
        train.inputs, train.labels.astype(np.int64), test_size=VALIDATION, random_state=split
    )
    options = {
        "M": 10, "hidden_dims": (config.hidden,), "verbose": 0, "torch_seed": split,
        "random_state": split,
        "n_iters": EPOCHS, "batch_size": BATCH,
    }  # fmt: skip
    path = package.LassoNetClassifier(**options).path(
        inputs, labels, X_val=held_inputs, y_val=held_labels, return_state_dicts=False
    )
    few = [point.selected.numpy() for point in path if int(point.selected.sum()) <= config.pixels]
    if not few:
        raise SettingError(
            f"pixels: expected the path of lassonet to reach {config.pixels}, got none so small"
        )
    pixels = np.flatnonzero(few[0])
    again = package.LassoNetClassifier(**options)
    again.path(
        inputs[:, pixels], labels, X_val=held_inputs[:, pixels], y_val=held_labels, lambda_seq=[]
    )
    seconds = time.perf_counter() - began
    accuracy = float(np.mean(again.predict(test.inputs[:, pixels]) == test.labels))
    return Selection(pixels, accuracy, seconds)
