"""Settings of the stability study."""

import dataclasses

from experiments.settings import require


@dataclasses.dataclass(frozen=True)
class Oscillation:
    """How much weights oscillate at a constant learning rate, with coupled and with proximal L1."""

    seeds: int = 10
    """Number of bootstrap resamples of the diabetes data, and of splits of the digits."""
    share: float = 0.1
    """λ of the lasso, as a share of the smallest λ whose solution is 0."""
    network_strength: float = 1e-3
    """λ of the network on the digits."""
    steps: int = 3000
    """Full-batch steps before the measurement."""
    watched: int = 200
    """Full-batch steps that are measured."""

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(0 < self.share < 1, "share", "between 0 and 1", self.share)
        require(
            self.network_strength > 0,
            "network-strength",
            "a positive number",
            self.network_strength,
        )
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(self.watched >= 2, "watched", "at least 2", self.watched)


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Stability of feature selection in linear models with blocks of correlated columns."""

    seeds: int = 20
    """Number of data sets for each correlation."""
    rows: int = 100
    """Number of training rows; there are as many validation rows."""
    signal_to_noise: float = 3.0
    """Variance of the signal divided by the variance of the noise."""
    strengths: int = 30
    """Number of strengths on each path."""
    steps: int = 2000
    """Full-batch proximal gradient steps for each path."""
    resamples: int = 30
    """Number of bootstrap resamples of each data set."""
    blocks: int = 20
    """Number of blocks of five correlated columns; two of the blocks are relevant."""
    block_correlations: tuple[float, float] = (0.0, 0.95)
    """Correlations within a block, the lower one first; they are compared with each other."""

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.rows >= 10, "rows", "at least 10", self.rows)
        require(
            self.signal_to_noise > 0, "signal-to-noise", "a positive number", self.signal_to_noise
        )
        good = all(0 <= value < 1 for value in self.block_correlations)
        require(good, "block-correlations", "numbers from 0 to below 1", self.block_correlations)
        require(self.strengths >= 5, "strengths", "at least 5", self.strengths)
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(self.resamples >= 2, "resamples", "at least 2", self.resamples)
        require(self.blocks >= 3, "blocks", "at least 3", self.blocks)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Oscillation of weights during optimization, and supports over bootstrap resamples."""

    oscillation: Oscillation = Oscillation()
    bootstrap: Bootstrap = Bootstrap()


QUICK = Settings(
    oscillation=Oscillation(seeds=3, steps=1000),
    bootstrap=Bootstrap(seeds=4, rows=40, strengths=12, steps=1000, resamples=8, blocks=8),
)
"""Defaults of `--quick`."""
