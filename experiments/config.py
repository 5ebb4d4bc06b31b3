"""Every setting of the experiments, with its default and its seed, as frozen dataclasses that become the command line."""

import dataclasses
from pathlib import Path

import numpy as np


def strengths(first: float, last: float, count: int) -> tuple[float, ...]:
    """`count` strengths evenly spaced in their logarithm, rounded to three digits so that they read and retype well."""
    return tuple(float(f"{value:.3g}") for value in np.geomspace(first, last, count))


class SettingError(ValueError):
    """A user's setting that cannot be used: the command line prints its one line, where any other error is a traceback."""


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Raises a `SettingError` that names the setting, what was expected and what came."""
    if not condition:
        raise SettingError(f"{name}: expected {expected}, got {got}")


@dataclasses.dataclass(frozen=True)
class Training:
    """How one network is trained, whatever its penalty: Adam, the learning rate falling to 0 along a cosine."""

    epochs: int = 400
    """Passes over the training rows."""
    batch_size: int = 50
    """Rows a step; what does not fill a batch is left out of that epoch's shuffle."""
    learning_rate: float = 3e-3
    """Adam's learning rate at the first step."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.batch_size >= 1, "batch-size", "at least 1", self.batch_size)
        require(0 < self.learning_rate < np.inf, "learning-rate", "a positive number", self.learning_rate)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Which penalties are swept, over which strengths λ. A strength is per unit of the mean cross-entropy, in nats."""

    seeds: int = 8
    """Repetitions, seeds 0, 1, …: each draws a training split, initial weights and an order of batches of its own."""
    l1: tuple[float, ...] = strengths(1e-5, 1e-2, 10)
    """λ of λΣ|w|, for the coupled subgradient and for the proximal step."""
    l2: tuple[float, ...] = strengths(1e-5, 1e-1, 10)
    """λ of λΣw², coupled."""
    decay: tuple[float, ...] = strengths(1e-3, 1e1, 10)
    """λ of decoupled weight decay, which is optax's weight_decay divided by 2."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "seeds", "at least 1", self.seeds)
        for name in ("l1", "l2", "decay"):
            values = getattr(self, name)
            good = len(values) > 0 and all(0 < value < np.inf for value in values) and len(set(values)) == len(values)
            require(good, name, "positive strengths, none twice", values)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """The small network on the wine data that is drawn as a graph: trained without a penalty, then trained on with one."""

    hidden: int = 8
    """Hidden units between 13 inputs and 3 classes."""
    steps: int = 3000
    """Full-batch steps before the penalty is switched on, and as many after it."""
    learning_rate: float = 1e-2
    """Adam's learning rate at the first step of both parts."""
    l1: float = 3e-3
    """λ of the proximal L1 penalty."""
    l2: float = 1e-2
    """λ of the coupled squared L2 penalty."""
    seed: int = 0
    """Seed of the split and of the initial weights."""

    def __post_init__(self) -> None:
        require(1 <= self.hidden <= 32, "drawing.hidden", "1 to 32 units, as more cannot be drawn", self.hidden)
        require(self.steps >= 1, "drawing.steps", "at least 1", self.steps)
        require(0 < self.learning_rate < np.inf, "drawing.learning-rate", "a positive number", self.learning_rate)
        require(0 <= self.l1 < np.inf, "drawing.l1", "a number of at least 0", self.l1)
        require(0 <= self.l2 < np.inf, "drawing.l2", "a number of at least 0", self.l2)
        require(self.seed >= 0, "drawing.seed", "at least 0", self.seed)


@dataclasses.dataclass(frozen=True)
class Study:
    """What L1 and L2 regularization do to a network: the main job."""

    out: Path = Path("results/l1-l2")
    """Folder for records, table and figures; it is replaced as a whole, once everything is written."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the network on the digits."""
    train_size: int = 200
    """Rows of the 1797 digits to train on (few, so that there is something to overfit); the others are the test set."""
    sweep: Sweep = Sweep()
    training: Training = Training()
    drawing: Drawing = Drawing()
    devices: int | None = None
    """JAX devices to spread the runs over: by default one for each CPU core, or every GPU."""
    cache: Path | None = Path("~/.cache/jaxreg")
    """Folder where JAX keeps compiled programs, so that a second start does not compile again; None keeps none."""
    quick: bool = False
    """A small version, in under 20 seconds: fewer seeds, strengths and epochs. Any setting given beside it still holds."""

    def __post_init__(self) -> None:
        require(len(self.hidden) > 0 and all(w >= 1 for w in self.hidden), "hidden", "widths of at least 1", self.hidden)
        require(10 <= self.train_size <= 1787, "train-size", "10 to 1787 rows", self.train_size)
        require(
            self.training.batch_size <= self.train_size,
            "training.batch-size",
            f"at most train-size = {self.train_size}",
            self.training.batch_size,
        )
        require(self.devices is None or 1 <= self.devices <= 512, "devices", "1 to 512", self.devices)


QUICK = Study(
    sweep=Sweep(seeds=2, l1=strengths(1e-4, 1e-2, 3), l2=strengths(1e-4, 1e-1, 3), decay=strengths(1e-2, 1e1, 3)),
    training=Training(epochs=60),
    drawing=Drawing(steps=1000),
    quick=True,
)
"""The defaults that `--quick` stands for."""


@dataclasses.dataclass(frozen=True)
class UpdateBenchmark:
    """What a regularized update costs beside `optax.adamw`: XLA's own count of bytes, and paired times."""

    parameters: int = 4_000_000
    """Weights in the one array that is updated, float32."""
    rounds: int = 200
    """Paired measurements: each round times every optimizer once, in a fresh random order."""
    seed: int = 0
    """Seed of weights, gradients and order."""
    out: Path | None = None
    """JSON file for the numbers; by default they are only printed."""

    def __post_init__(self) -> None:
        require(self.parameters >= 1, "parameters", "at least 1", self.parameters)
        require(self.rounds >= 3, "rounds", "at least 3", self.rounds)


@dataclasses.dataclass(frozen=True)
class LassoBenchmark:
    """One λ, one answer: every optimizer on the same lasso, judged against scikit-learn's solution."""

    share: float = 0.05
    """λ as a share of λ_max, the smallest strength whose solution is 0."""
    steps: int = 20_000
    """Full-batch steps that every optimizer takes."""
    out: Path | None = None
    """JSON file for the numbers; by default they are only printed."""

    def __post_init__(self) -> None:
        require(0 < self.share < np.inf, "share", "a positive number", self.share)
        require(self.steps >= 1, "steps", "at least 1", self.steps)


@dataclasses.dataclass(frozen=True)
class SweepBenchmark:
    """The sweep beside a Flax loop, a jitted scan a run and PyTorch, and how it scales with devices and runs."""

    widths: tuple[int, ...] = (32, 128, 512)
    """Widths of the two hidden layers, each a comparison of its own."""
    runs: int = 64
    """Networks that every contestant trains."""
    epochs: int = 20
    """Passes over the 1437 training rows of the digits."""
    batch_size: int = 128
    """Rows a step."""
    learning_rate: float = 3e-3
    """Adam's constant learning rate."""
    strength: float = 1e-4
    """λ of the proximal L1 penalty."""
    torch: bool = True
    """Whether PyTorch takes part, where it is installed."""
    scaling_width: int = 128
    """Width of the hidden layers in the table of scaling."""
    scaling_devices: tuple[int, ...] = (1, 2, 4)
    """Numbers of CPU devices, for `runs` networks; more than cores are virtual."""
    scaling_runs: tuple[int, ...] = (16, 64, 256, 1024)
    """Numbers of networks, on all devices."""
    out: Path | None = None
    """JSON file for the numbers; by default they are only printed."""

    def __post_init__(self) -> None:
        require(len(self.widths) > 0 and min(self.widths) >= 1, "widths", "widths of at least 1", self.widths)
        require(self.runs >= 1, "runs", "at least 1", self.runs)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(1 <= self.batch_size <= 1437, "batch-size", "1 to 1437", self.batch_size)
        require(0 < self.learning_rate < np.inf, "learning-rate", "a positive number", self.learning_rate)
        require(0 <= self.strength < np.inf, "strength", "a number of at least 0", self.strength)
        require(self.scaling_width >= 1, "scaling-width", "at least 1", self.scaling_width)
        for name in ("scaling_devices", "scaling_runs"):
            values = getattr(self, name)
            require(all(value >= 1 for value in values), name.replace("_", "-"), "numbers of at least 1", values)
