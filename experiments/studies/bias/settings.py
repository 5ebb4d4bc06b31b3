"""Settings of the bias study."""

import dataclasses

from experiments.settings import Training, require, same_length, strengths


@dataclasses.dataclass(frozen=True)
class Regression:
    """Linear models with known coefficients and correlated columns."""

    seeds: int = 50
    """Number of data sets."""
    rows: int = 150
    """Number of training rows; there are as many validation rows."""
    relevant: int = 15
    """Number of columns with a coefficient that is not 0. The largest coefficient is ten times the
    smallest.
    """
    irrelevant: int = 45
    """Number of columns whose coefficient is 0."""
    correlation: float = 0.5
    """Correlation between neighbouring columns; the correlation decays with the distance between
    columns.
    """
    signal_to_noise: float = 3.0
    """Variance of the signal divided by the variance of the noise."""
    strengths: int = 30
    """Number of strengths on each path."""
    gamma: float = 3.0
    """γ of MCP."""
    scale: float = 0.1
    """ε of log-sum; the signal has variance 1."""
    steps: int = 4000
    """Full-batch steps for each path, and for each refit."""

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.rows >= 10, "rows", "at least 10", self.rows)
        require(self.relevant >= 3, "relevant", "at least 3", self.relevant)
        require(self.irrelevant >= 1, "irrelevant", "at least 1", self.irrelevant)
        require(
            0 <= self.correlation < 1, "correlation", "a number from 0 to below 1", self.correlation
        )
        require(
            self.signal_to_noise > 0, "signal-to-noise", "a positive number", self.signal_to_noise
        )
        require(self.strengths >= 5, "strengths", "at least 5", self.strengths)
        require(self.gamma > 1, "gamma", "a number above 1", self.gamma)
        require(self.scale > 0, "scale", "a positive number", self.scale)
        require(self.steps >= 1, "steps", "at least 1", self.steps)


@dataclasses.dataclass(frozen=True)
class Network:
    """Networks on the digits, with the width, the number of training rows and the epochs of the
    relevance study.
    """

    seeds: int = 10
    """Number of repetitions, each with its own rows, initial weights and order of batches."""
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Number of training rows; all remaining rows are test rows."""
    share: float = 0.1
    """Share of the weights kept at which the methods are compared."""
    l1: tuple[float, ...] = strengths(1e-3, 1.5e-2, 6)
    """Values of λ for L1."""
    growing_l1: tuple[float, ...] = strengths(3e-3, 6e-2, 6)
    """Values of λ, at the end of its growth, for L1 with a growing λ."""
    log_sum: tuple[float, ...] = strengths(1e-1, 8.0, 6)
    """Values of λ, at the end of its growth, for log-sum."""
    mcp: tuple[float, ...] = strengths(1e-2, 8e-2, 6)
    """Values of λ, at the end of its growth, for MCP."""
    growth: float = 0.75
    """Share of the steps during which a growing λ grows, as the cube of the step; it is constant
    after them.
    """
    scale: float = 0.001
    """ε of log-sum; chosen among 0.001, 0.01 and 0.03 for the accuracy at few weights, partly on
    the same seeds.
    """
    gamma: float = 10.0
    """γ of MCP; chosen among 10, 30 and 100 for the accuracy at few weights, partly on the same
    seeds.
    """
    refit: float = 0.25
    """Epochs of a refit, as a share of the epochs of training."""
    training: Training = Training(epochs=150, batch_size=50)

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(10 <= self.train_size <= 1697, "train-size", "10 to 1697", self.train_size)
        require(0 < self.share < 1, "share", "between 0 and 1", self.share)
        same_length(self, "l1", "growing_l1", "log_sum", "mcp")
        require(0 < self.growth <= 1, "growth", "above 0 and at most 1", self.growth)
        require(self.scale > 0, "scale", "a positive number", self.scale)
        require(self.gamma > 1, "gamma", "a number above 1", self.gamma)
        require(self.refit > 0, "refit", "a positive number", self.refit)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Shrinkage of the weights that a penalty keeps, before and after refitting."""

    regression: Regression = Regression()
    network: Network = Network()


QUICK = Settings(
    regression=Regression(seeds=4, rows=80, relevant=6, irrelevant=14, strengths=12, steps=2000),
    network=Network(
        seeds=3,
        hidden=16,
        share=0.3,
        l1=strengths(1e-3, 3e-2, 4),
        growing_l1=strengths(1e-2, 1.0, 4),
        log_sum=strengths(1e-1, 2e1, 4),
        mcp=strengths(1e-2, 1.5e-1, 4),
        training=Training(epochs=40),
    ),
)
"""Defaults of `--quick`."""
