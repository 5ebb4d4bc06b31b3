"""Settings of the relevance study."""

import dataclasses

from experiments.settings import Training, require, same_length, strengths


@dataclasses.dataclass(frozen=True)
class Network:
    """Networks on digits with irrelevant columns added."""

    seeds: int = 10
    """Number of repetitions, each with its own rows, irrelevant columns, initial weights and order
    of batches.
    """
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Shares of irrelevant columns; an irrelevant column is a copy of a pixel's column with its
    rows shuffled.
    """
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Number of training rows."""
    validation_size: int = 500
    """Number of validation rows, on which λ is chosen; all remaining rows are test rows."""
    l1: tuple[float, ...] = strengths(1e-4, 1e-2, 7)
    """Values of λ in λΣ|w|, for proximal L1 on every kernel."""
    l2: tuple[float, ...] = strengths(1e-4, 1e-1, 7)
    """Values of λ in λΣw², for coupled L2 on every kernel."""
    group: tuple[float, ...] = strengths(3e-4, 3e-2, 7)
    """Values of λ in λΣ‖w_g‖, for proximal group L2 on every kernel; a group is all weights that
    leave an input or unit.
    """
    training: Training = Training(epochs=150, batch_size=50)

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        good = (
            len(self.shares) >= 2
            and list(self.shares) == sorted(set(self.shares))
            and self.shares[0] == 0
        )
        require(
            good and self.shares[-1] <= 0.97,
            "shares",
            "increasing shares from 0 on, at most 0.97",
            self.shares,
        )
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        used = self.train_size + self.validation_size
        require(
            min(self.train_size, self.validation_size) >= 10,
            "train-size and validation-size",
            "at least 10",
            used,
        )
        require(used <= 1697, "train-size and validation-size", "at most 1697 rows together", used)
        same_length(self, "l1", "l2", "group")


@dataclasses.dataclass(frozen=True)
class Linear:
    """Linear models with known weights: whole paths of lasso and ridge regression."""

    seeds: int = 20
    """Number of data sets for each share and correlation."""
    features: int = 100
    """Number of columns."""
    rows: int = 100
    """Number of training rows; there are as many validation rows."""
    signal_to_noise: float = 3.0
    """Variance of the signal divided by the variance of the noise."""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Shares of features whose true weight is 0; the other weights are ±1 times a constant."""
    correlations: tuple[float, ...] = (0.0, 0.8)
    """Correlations between neighbouring columns; the correlation decays with the distance between
    columns.
    """
    strengths: int = 30
    """Number of strengths on each path."""
    steps: int = 2000
    """Full-batch proximal gradient steps for each path."""

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.features >= 20, "features", "at least 20", self.features)
        require(self.rows >= 10, "rows", "at least 10", self.rows)
        require(
            self.signal_to_noise > 0, "signal-to-noise", "a positive number", self.signal_to_noise
        )
        good = (
            len(self.shares) >= 2
            and list(self.shares) == sorted(set(self.shares))
            and self.shares[0] == 0
        )
        require(
            good and self.shares[-1] <= 0.95,
            "shares",
            "increasing shares from 0 on, at most 0.95",
            self.shares,
        )
        good = all(0 <= value < 1 for value in self.correlations)
        require(good, "correlations", "numbers from 0 to below 1", self.correlations)
        require(self.strengths >= 5, "strengths", "at least 5", self.strengths)
        require(self.steps >= 1, "steps", "at least 1", self.steps)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Networks and linear models, as the share of irrelevant features grows."""

    network: Network = Network()
    linear: Linear = Linear()


QUICK = Settings(
    network=Network(
        seeds=3,
        shares=(0.0, 0.5, 0.9),
        hidden=16,
        l1=strengths(1e-3, 1e-2, 3),
        l2=strengths(1e-3, 1e-1, 3),
        group=strengths(1e-3, 3e-2, 3),
        training=Training(epochs=30),
    ),
    linear=Linear(seeds=4, features=40, rows=40, shares=(0.0, 0.5, 0.9), strengths=12, steps=1000),
)
"""Defaults of `--quick`."""
