"""Settings of the benchmarks."""

import dataclasses
from pathlib import Path

import numpy as np

from experiments.settings import require

RESULTS = Path("results/bench")


@dataclasses.dataclass(frozen=True)
class UpdateBenchmark:
    """The cost of one update of the weights, compared with `optax.adamw`: bytes as XLA counts them,
    and time.
    """

    parameters: int = 4_000_000
    """Number of weights in the float32 matrix that is updated."""
    rounds: int = 200
    """Number of rounds; each round times every optimizer once, in random order."""
    seed: int = 0
    """Seed of the weights, the gradient and the order."""
    out: Path = RESULTS / "update.json"
    """JSON file for the numbers."""

    def __post_init__(self) -> None:
        require(self.parameters >= 1, "parameters", "at least 1", self.parameters)
        require(self.rounds >= 3, "rounds", "at least 3", self.rounds)


@dataclasses.dataclass(frozen=True)
class LassoBenchmark:
    """Every optimizer on the same lasso with the same λ, compared with scikit-learn's solution."""

    share: float = 0.05
    """λ as a share of λ_max, the smallest strength whose solution is 0."""
    steps: int = 20_000
    """Number of full-batch steps of every optimizer."""
    torch: bool = True
    """Whether to measure the optimizers of torchao, if it is installed."""
    out: Path = RESULTS / "lasso.json"
    """JSON file for the numbers."""

    def __post_init__(self) -> None:
        require(0 < self.share < np.inf, "share", "a positive number", self.share)
        require(self.steps >= 1, "steps", "at least 1", self.steps)


@dataclasses.dataclass(frozen=True)
class SweepBenchmark:
    """The speed of `jaxreg.sweep`, compared with a Flax loop, one jitted scan per run, and
    PyTorch.
    """

    widths: tuple[int, ...] = (32, 128, 512)
    """Widths of the two hidden layers; each width is a comparison of its own."""
    runs: int = 64
    """Number of networks that are trained in each way."""
    epochs: int = 20
    """Passes over the 1437 training rows of the digits."""
    batch_size: int = 128
    """Rows per step."""
    learning_rate: float = 3e-3
    """Adam's constant learning rate."""
    strength: float = 1e-4
    """λ of the proximal L1 penalty."""
    torch: bool = True
    """Whether to measure PyTorch, if it is installed."""
    scaling_width: int = 128
    """Width of the hidden layers in the table of scaling."""
    scaling_devices: tuple[int, ...] = (1, 2, 4)
    """Numbers of networks that are trained at a time, for `runs` networks."""
    scaling_runs: tuple[int, ...] = (16, 64, 256, 1024)
    """Numbers of networks, on all devices."""
    scaling_workers: tuple[int, ...] = (1, 2, 4)
    """Numbers of worker processes of a `ProcessPoolExecutor`, for `runs` networks."""
    out: Path = RESULTS / "sweep.json"
    """JSON file for the numbers."""

    def __post_init__(self) -> None:
        require(
            len(self.widths) > 0 and min(self.widths) >= 1,
            "widths",
            "widths of at least 1",
            self.widths,
        )
        require(self.runs >= 1, "runs", "at least 1", self.runs)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(1 <= self.batch_size <= 1437, "batch-size", "1 to 1437", self.batch_size)
        require(
            0 < self.learning_rate < np.inf,
            "learning-rate",
            "a positive number",
            self.learning_rate,
        )
        require(0 <= self.strength < np.inf, "strength", "a number of at least 0", self.strength)
        require(self.scaling_width >= 1, "scaling-width", "at least 1", self.scaling_width)
        for name in ("scaling_devices", "scaling_runs", "scaling_workers"):
            values = getattr(self, name)
            require(
                all(value >= 1 for value in values),
                name.replace("_", "-"),
                "numbers of at least 1",
                values,
            )


@dataclasses.dataclass(frozen=True)
class LinearBenchmark:
    """Whole paths of linear models, compared with scikit-learn, celer, skglm and jaxopt at the same
    accuracy.
    """

    models: tuple[str, ...] = ("lasso", "elastic net", "sparse logistic", "group lasso")
    """Which models."""
    large: int = 2000
    """Rows of problems with many rows, and features of those with few."""
    small: int = 200
    """Features of problems with many rows, and rows of those with few; a multiple of 5, the size of
    groups.
    """
    correlation: float = 0.9
    """Correlation of neighbouring columns in the correlated designs; with 0 there are none of
    these.
    """
    strengths: int = 100
    """Number of λ in a path."""
    ratio: float = 1e-3
    """The smallest λ as a share of the largest, from which on all weights are 0."""
    distance: float = 1e-8
    """The largest distance of the objective from its minimum, as a share of it, at which a solver
    counts as accurate.
    """
    folds: int = 10
    """Folds of the cross-validation."""
    cv_tolerances: tuple[float, ...] = (1e-4, 1e-8)
    """The tolerances of scikit-learn's `LassoCV`; the first is its default."""
    repeats: int = 5
    """Number of timed calls of every solver; the median counts."""
    limit: float = 60.0
    """Seconds that one call of a solver may take."""
    packages: tuple[str, ...] = ("scikit-learn", "celer", "skglm", "jaxopt")
    """What to compare with, where it is installed."""
    seed: int = 0
    """Seed of the data."""
    out: Path = RESULTS / "linear.json"
    """JSON file for the numbers."""

    def __post_init__(self) -> None:
        known = LinearBenchmark.models
        require(
            set(self.models) <= set(known),
            "models",
            f"some of {', '.join(known)}",
            ", ".join(self.models),
        )
        for name in ("large", "small"):
            value = getattr(self, name)
            require(value >= 10 and value % 5 == 0, name, "a multiple of 5, at least 10", value)
        require(
            0 <= self.correlation < 1, "correlation", "a number from 0 to below 1", self.correlation
        )
        require(self.strengths >= 2, "strengths", "at least 2", self.strengths)
        require(0 < self.ratio < 1, "ratio", "a number between 0 and 1", self.ratio)
        require(
            2 <= self.folds <= min(self.large, self.small),
            "folds",
            "2 to the number of rows",
            self.folds,
        )
        require(
            min(self.cv_tolerances, default=0) > 0,
            "cv-tolerances",
            "positive numbers",
            self.cv_tolerances,
        )
        for name in ("distance", "limit"):
            value = getattr(self, name)
            require(0 < value < np.inf, name.replace("_", "-"), "a positive number", value)
        require(self.repeats >= 1, "repeats", "at least 1", self.repeats)


BENCHMARKS: dict[str, type] = {
    "update": UpdateBenchmark,
    "lasso": LassoBenchmark,
    "sweep": SweepBenchmark,
    "linear": LinearBenchmark,
}
"""The settings of every benchmark, by the name of its subcommand and of its module."""
