"""Settings of the claims: which studies they rest on, and how large each study is."""

import dataclasses
from pathlib import Path

from experiments.config.base import Training, require, same_length, strengths

CLAIM_NAMES = (
    "zeros", "shrinkage", "norm", "overfitting", "selection", "relevance", "no-selection", "stability", "groups",
)  # fmt: skip
"""Every claim, in the order in which they are told."""


@dataclasses.dataclass(frozen=True)
class StrengthStudy:
    """Digits, every way of regularizing, every strength: what zeros, shrinkage, norm and overfitting are judged by."""

    seeds: int = 10
    """Repetitions, each with rows, initial weights and an order of batches of its own."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""
    train_size: int = 200
    """Rows to train on; few, so that there is something to overfit."""
    validation_size: int = 300
    """Rows that choose λ; all others are the test rows."""
    wrong: tuple[float, ...] = (0.0, 0.2)
    """Shares of the training labels that are replaced by a wrong class; validation and test labels are right."""
    l1: tuple[float, ...] = strengths(1e-5, 1e-2, 7)
    """λ of λΣ|w|, coupled and proximal."""
    decoupled_l1: tuple[float, ...] = strengths(1e-4, 1e-1, 7)
    """λ of decoupled L1."""
    l2: tuple[float, ...] = strengths(1e-5, 1e-1, 7)
    """λ of λΣw², coupled."""
    decay: tuple[float, ...] = strengths(1e-3, 1e1, 7)
    """λ of decoupled weight decay, which is optax's weight_decay divided by 2."""
    training: Training = Training()

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(len(self.hidden) > 0 and min(self.hidden) >= 1, "hidden", "widths of at least 1", self.hidden)
        require(self.train_size >= 10, "train-size", "at least 10", self.train_size)
        require(self.validation_size >= 10, "validation-size", "at least 10", self.validation_size)
        used = self.train_size + self.validation_size
        require(used <= 1697, "train-size and validation-size", "at most 1697 rows together", used)
        require(all(0 <= share < 1 for share in self.wrong) and 0 in self.wrong, "wrong", "shares, 0 among them", self.wrong)
        same_length(self, "l1", "decoupled_l1", "l2", "decay")


@dataclasses.dataclass(frozen=True)
class RelevanceStudy:
    """Digits with irrelevant columns added: what selection, relevance, no-selection and groups are judged by."""

    seeds: int = 10
    """Repetitions, each with rows, irrelevant columns, initial weights and an order of batches of its own."""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Shares of the columns that are irrelevant; such a column is a pixel's, its rows shuffled."""
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Rows to train on."""
    validation_size: int = 500
    """Rows that choose λ; all others are the test rows."""
    l1: tuple[float, ...] = strengths(1e-4, 1e-2, 7)
    """λ of λΣ|w|, proximal, on every kernel."""
    l2: tuple[float, ...] = strengths(1e-4, 1e-1, 7)
    """λ of λΣw², coupled, on every kernel."""
    group: tuple[float, ...] = strengths(3e-4, 3e-2, 7)
    """λ of λΣ‖w_g‖, proximal, on every kernel; a group is what leaves an input or a unit."""
    training: Training = Training(epochs=150, batch_size=50)

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        good = len(self.shares) >= 2 and list(self.shares) == sorted(set(self.shares)) and self.shares[0] == 0
        require(good and self.shares[-1] <= 0.97, "shares", "increasing shares from 0 on, at most 0.97", self.shares)
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        used = self.train_size + self.validation_size
        require(min(self.train_size, self.validation_size) >= 10, "train-size and validation-size", "at least 10", used)
        require(used <= 1697, "train-size and validation-size", "at most 1697 rows together", used)
        same_length(self, "l1", "l2", "group")


@dataclasses.dataclass(frozen=True)
class LinearStudy:
    """Linear models with a known answer: the lasso and ridge regression over whole paths, and how stable a choice is."""

    seeds: int = 20
    """Data sets of each kind."""
    features: int = 100
    """Columns."""
    rows: int = 100
    """Rows to train on, and as many to choose λ."""
    signal_to_noise: float = 3.0
    """Variance of the signal divided by that of the noise."""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Shares of the features whose true weight is 0; the others are ±1, scaled."""
    correlations: tuple[float, ...] = (0.0, 0.8)
    """Correlation of neighbouring columns, falling off with their distance, for the support that is found."""
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
        require(self.features >= 20, "features", "at least 20", self.features)
        require(self.rows >= 10, "rows", "at least 10", self.rows)
        require(self.signal_to_noise > 0, "signal-to-noise", "a positive number", self.signal_to_noise)
        good = len(self.shares) >= 2 and list(self.shares) == sorted(set(self.shares)) and self.shares[0] == 0
        require(good and self.shares[-1] <= 0.95, "shares", "increasing shares from 0 on, at most 0.95", self.shares)
        for name in ("correlations", "block_correlations"):
            values = getattr(self, name)
            require(all(0 <= value < 1 for value in values), name.replace("_", "-"), "numbers from 0 to below 1", values)
        require(self.strengths >= 5, "strengths", "at least 5", self.strengths)
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(self.resamples >= 2, "resamples", "at least 2", self.resamples)
        require(self.blocks >= 3, "blocks", "at least 3", self.blocks)


@dataclasses.dataclass(frozen=True)
class ChatterStudy:
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
class Claims:
    """What is said of L1 and L2, each claim tested: a table of verdicts and a figure each."""

    out: Path = Path("results/claims")
    """Folder for the table, and for each claim a folder with its figure, numbers and records."""
    strength: StrengthStudy = StrengthStudy()
    relevance: RelevanceStudy = RelevanceStudy()
    linear: LinearStudy = LinearStudy()
    chatter: ChatterStudy = ChatterStudy()
    devices: int | None = None
    """JAX devices to spread the runs over: by default one for each CPU core, or every GPU."""
    cache: Path | None = Path("~/.cache/jaxreg")
    """Folder where JAX keeps compiled programs, so that a second start does not compile again; None keeps none."""
    quick: bool = False
    """A small version, to see it work: few seeds, strengths and steps, and so verdicts that say little."""

    def __post_init__(self) -> None:
        require(self.devices is None or 1 <= self.devices <= 512, "devices", "1 to 512", self.devices)


QUICK_CLAIMS = Claims(
    strength=StrengthStudy(
        seeds=3,
        hidden=(32,),
        l1=strengths(1e-4, 1e-2, 3),
        decoupled_l1=strengths(1e-3, 1e-1, 3),
        l2=strengths(1e-4, 1e-1, 3),
        decay=strengths(1e-2, 1e1, 3),
        training=Training(epochs=40),
    ),
    relevance=RelevanceStudy(
        seeds=3,
        shares=(0.0, 0.5, 0.9),
        hidden=16,
        l1=strengths(1e-3, 1e-2, 3),
        l2=strengths(1e-3, 1e-1, 3),
        group=strengths(1e-3, 3e-2, 3),
        training=Training(epochs=30),
    ),
    linear=LinearStudy(
        seeds=4, features=40, rows=40, shares=(0.0, 0.5, 0.9), strengths=12, steps=1000, resamples=8, blocks=8
    ),
    chatter=ChatterStudy(seeds=3, steps=1000),
    quick=True,
)
"""The defaults that `claims --quick` stands for."""
