"""Settings of the study of stability."""

import dataclasses

from experiments.settings import require


@dataclasses.dataclass(frozen=True)
class Oscillation:
    """What an optimizer does when it should stand still: the last steps at a constant rate, coupled and proximal."""

    seeds: int = 10
    """Bootstrap resamples of the diabetes data, and splits of the digits."""
    share: float = 0.1
    """λ of the lasso as a share of the smallest strength whose solution is 0."""
    network_strength: float = 1e-3
    """λ of the network on the digits."""
    steps: int = 3000
    """Full-batch steps before watching begins."""
    watched: int = 200
    """Steps that are watched."""

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(0 < self.share < 1, "share", "between 0 and 1", self.share)
        require(self.network_strength > 0, "network-strength", "a positive number", self.network_strength)
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(self.watched >= 2, "watched", "at least 2", self.watched)


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Linear models with blocks of correlated columns, and how stable the selection of columns is."""

    seeds: int = 20
    """Data sets of each kind."""
    rows: int = 100
    """Rows to train on, and as many to choose λ."""
    signal_to_noise: float = 3.0
    """Variance of the signal divided by that of the noise."""
    strengths: int = 30
    """Strengths on each path."""
    steps: int = 2000
    """Full-batch proximal gradient steps a path takes."""
    resamples: int = 30
    """Bootstrap resamples of each data set, for the stability of the support."""
    blocks: int = 20
    """Blocks of five correlated columns in the data for the stability of the support; two of them matter."""
    block_correlations: tuple[float, float] = (0.0, 0.95)
    """Correlation within a block: the lower and the higher that are compared."""

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.rows >= 10, "rows", "at least 10", self.rows)
        require(self.signal_to_noise > 0, "signal-to-noise", "a positive number", self.signal_to_noise)
        good = all(0 <= value < 1 for value in self.block_correlations)
        require(good, "block-correlations", "numbers from 0 to below 1", self.block_correlations)
        require(self.strengths >= 5, "strengths", "at least 5", self.strengths)
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(self.resamples >= 2, "resamples", "at least 2", self.resamples)
        require(self.blocks >= 3, "blocks", "at least 3", self.blocks)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Oscillation of the optimizer, and supports over bootstrap resamples."""

    oscillation: Oscillation = Oscillation()
    bootstrap: Bootstrap = Bootstrap()


QUICK = Settings(
    oscillation=Oscillation(seeds=3, steps=1000),
    bootstrap=Bootstrap(seeds=4, rows=40, strengths=12, steps=1000, resamples=8, blocks=8),
)
"""The defaults of `--quick`."""
