"""Settings of the main job: the sweep on the digits, the drawn network, and the small version of both."""

import dataclasses
from pathlib import Path

import numpy as np

from experiments.config.base import Training, require, strengths


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
    player: tuple[float, ...] = strengths(1e-6, 1.0, 25)
    """λ of either penalty, besides 0, that the page's player steps through, up to where nothing is left of either."""
    seed: int = 0
    """Seed of the split and of the initial weights."""

    def __post_init__(self) -> None:
        require(1 <= self.hidden <= 32, "drawing.hidden", "1 to 32 units, as more cannot be drawn", self.hidden)
        require(self.steps >= 1, "drawing.steps", "at least 1", self.steps)
        require(0 < self.learning_rate < np.inf, "drawing.learning-rate", "a positive number", self.learning_rate)
        require(0 <= self.l1 < np.inf, "drawing.l1", "a number of at least 0", self.l1)
        require(0 <= self.l2 < np.inf, "drawing.l2", "a number of at least 0", self.l2)
        good = len(self.player) > 0 and all(0 < value < np.inf for value in self.player)
        good = good and len(set(self.player)) == len(self.player)
        require(good, "drawing.player", "positive strengths, none twice", self.player)
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
    drawing=Drawing(steps=1000, player=strengths(1e-5, 1.0, 6)),
    quick=True,
)
"""The defaults that `--quick` stands for."""
