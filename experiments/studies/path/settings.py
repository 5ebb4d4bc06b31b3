"""Settings of the path study: data, network, penalties and the schedule of the path."""

import dataclasses
from pathlib import Path
from typing import Final, Literal

import numpy as np

from experiments.settings import require

DIGITS: Final = "noisy-digits"
FASHION: Final = "fashion-mnist"
Data = Literal["noisy-digits", "fashion-mnist"]
PenaltyName = Literal["L1", "log-sum", "group log-sum"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """A whole regularization path, the choice of λ, and the small network that it leads to."""

    data: Data = DIGITS
    """noisy-digits (scikit-learn's digits with irrelevant columns) or fashion-mnist (Debian's
    dataset-fashion-mnist).
    """
    noise: int = 448
    """Number of irrelevant columns of noisy-digits: copies of pixels with their rows shuffled."""
    test_size: int = 360
    """Number of test rows of noisy-digits."""
    folds: int = 5
    """Folds of the cross-validation; 0 chooses λ on held-out rows instead, with the seeds as
    repeats.
    """
    validation_size: int = 5000
    """Number of held-out rows if there are no folds."""
    seeds: int = 3
    """Number of paths on all training rows, with different initial weights and orders of
    batches.
    """
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden layers."""
    penalties: tuple[PenaltyName, ...] = ("L1", "group log-sum")
    """Penalties on the kernels; the groups of group log-sum are all weights that leave an input or
    a unit.
    """
    scale: float = 0.03
    """ε of log-sum."""
    group_scale: float = 0.1
    """ε of group log-sum."""
    strengths: int = 100
    """Number of λ; the largest is where nothing that is left is worth its penalty."""
    ratio: float = 1e-3
    """The smallest λ divided by the largest."""
    first_epochs: int = 60
    """Epochs for the first, smallest λ."""
    epochs: int = 1
    """Epochs for every further λ, in every pass."""
    passes: int = 3
    """How often the path goes along all λ, each time in the opposite direction."""
    refit_epochs: int = 5
    """Epochs for refitting the network of each λ without the penalty, with its zeros held."""
    scratch_epochs: int = 120
    """Epochs of each of the networks that are trained from scratch, one for each λ, to compare; 0
    trains none.
    """
    batch_size: int = 64
    """Rows per step."""
    learning_rate: float = 4e-3
    """Adam's learning rate on the path, and at the first step of refitting, where it falls to 0
    along a cosine.
    """
    rounds: int = 200
    """How often inference is timed."""
    images: Path = Path("results/images/fashion-mnist")
    """Results of the images study on the same data, to compare at equal shares of weights; without
    them the table lacks this comparison.
    """

    def __post_init__(self) -> None:
        require(self.noise >= 0, "noise", "at least 0 columns", self.noise)
        require(self.folds == 0 or self.folds >= 2, "folds", "0, or at least 2", self.folds)
        require(self.seeds >= 2, "seeds", "at least 2, as a standard error needs them", self.seeds)
        for name in (
            "test_size",
            "validation_size",
            "first_epochs",
            "epochs",
            "passes",
            "refit_epochs",
            "batch_size",
            "rounds",
        ):
            require(
                getattr(self, name) >= 1, name.replace("_", "-"), "at least 1", getattr(self, name)
            )
        require(
            len(self.hidden) > 0 and all(w >= 1 for w in self.hidden),
            "hidden",
            "widths of at least 1",
            self.hidden,
        )
        good = len(self.penalties) == len(set(self.penalties)) > 0
        require(good, "penalties", "at least one penalty, none twice", self.penalties)
        require(self.strengths >= 3, "strengths", "at least 3", self.strengths)
        require(0 < self.ratio < 1, "ratio", "a number between 0 and 1", self.ratio)
        require(self.scratch_epochs >= 0, "scratch-epochs", "at least 0", self.scratch_epochs)
        for name in ("scale", "group_scale", "learning_rate"):
            require(
                0 < getattr(self, name) < np.inf,
                name.replace("_", "-"),
                "a positive number",
                getattr(self, name),
            )


def defaults(data: str, quick: bool) -> Settings:
    """The defaults for a data set.

    Args:
        data: its name.
        quick: whether to return the defaults of `--quick`.
    """
    config = Settings()
    if data == FASHION:
        config = dataclasses.replace(
            config,
            data=FASHION,
            folds=0,
            hidden=(300, 100),
            penalties=("log-sum", "group log-sum"),
            scale=0.01,
            strengths=40,
            first_epochs=20,
            passes=1,
            refit_epochs=3,
            scratch_epochs=0,
            batch_size=256,
            learning_rate=2e-3,
        )
    if not quick:
        return config
    return dataclasses.replace(
        config,
        strengths=8,
        first_epochs=4,
        refit_epochs=1,
        seeds=2,
        rounds=20,
        folds=min(config.folds, 2),
        scratch_epochs=min(config.scratch_epochs, 8),
    )
