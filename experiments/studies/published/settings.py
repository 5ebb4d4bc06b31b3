"""Settings of the study of published results."""

import dataclasses

import numpy as np

from experiments.settings import require

LARGEST = 949.0
"""Rows · λ of the diabetes data near its largest knot, from which on all weights are 0."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Published results, computed again on the published data."""

    splits: int = 10
    """Number of random splits of the 10,000 rows into 4,000 for training and 6,000 for testing."""
    pixels: int = 50
    """The most pixels that may be left."""
    hidden: int = 261
    """Width of the hidden layer, a third of the number of pixels as in the paper."""
    scale: float = 0.1
    """ε of the log-sum of the norms of the pixels' weights."""
    first_epochs: int = 15
    """Epochs of the dense network at the first λ."""
    first_strength: float = 2e-3
    """The first λ."""
    growth: float = 1.02
    """The factor by which λ grows with every epoch, until few enough pixels are left."""
    refit_epochs: int = 60
    """Epochs of refitting on the pixels left."""
    batch_size: int = 256
    """Rows per step."""
    learning_rate: float = 6e-3
    """Learning rate of the path."""
    weight_decay: float = 0.3
    """Weight decay on the path."""
    refit_rate: float = 3e-3
    """Learning rate at the beginning of refitting; it falls to 0 along a cosine."""
    refit_decay: float = 0.3
    """Weight decay of refitting."""
    trees: int = 50
    """Number of extra trees that judge the pixels, as in the paper."""
    peer_splits: int = 1
    """On how many of the splits the package lassonet runs where it is installed; it takes minutes
    for each.
    """
    decay_strengths: tuple[float, ...] = (600.0, 200.0, 50.0, 10.0)
    """Values of rows · λ at which u⊙v under weight decay is compared with the lasso on the diabetes
    data.
    """
    decay_seeds: int = 5
    """Number of random starts of u and v."""
    decay_steps: int = 100_000
    """Steps of gradient descent for u and v."""
    decay_rate: float = 0.1
    """Learning rate for u and v."""

    def __post_init__(self) -> None:
        require(
            self.splits >= 2, "splits", "at least 2, as a standard error needs them", self.splits
        )
        require(1 <= self.pixels < 784, "pixels", "at least 1, below 784", self.pixels)
        require(1 < self.growth < np.inf, "growth", "a factor above 1", self.growth)
        for name in ("scale", "first_strength", "learning_rate", "refit_rate"):
            value = getattr(self, name)
            require(0 < value < np.inf, name.replace("_", "-"), "a number above 0", value)
        for name in ("weight_decay", "refit_decay"):
            value = getattr(self, name)
            require(0 <= value < np.inf, name.replace("_", "-"), "a number of at least 0", value)
        for name in (
            "hidden",
            "first_epochs",
            "refit_epochs",
            "batch_size",
            "trees",
            "decay_seeds",
            "decay_steps",
        ):
            require(
                getattr(self, name) >= 1, name.replace("_", "-"), "at least 1", getattr(self, name)
            )
        strengths = self.decay_strengths
        inside = (
            all(0 < strength < LARGEST for strength in strengths)
            and len(set(strengths)) == len(strengths) > 0
        )
        require(
            inside,
            "decay-strengths",
            f"different numbers between 0 and {LARGEST:g}, where w is 0",
            strengths,
        )
        require(0 < self.decay_rate < np.inf, "decay-rate", "a number above 0", self.decay_rate)
        require(
            0 <= self.peer_splits <= self.splits,
            "peer-splits",
            "from 0 to the number of splits",
            self.peer_splits,
        )


QUICK = dataclasses.replace(
    Settings(),
    splits=2,
    hidden=40,
    first_epochs=3,
    refit_epochs=3,
    growth=1.4,
    first_strength=1e-2,
    peer_splits=0,
    decay_seeds=2,
    decay_steps=30_000,
)
