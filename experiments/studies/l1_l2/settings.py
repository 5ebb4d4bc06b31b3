"""Settings of the main job: the networks on the digits, the small network that is drawn, and the quick version of both."""

import dataclasses

import numpy as np

from experiments.settings import Training, require, same_length, strengths


@dataclasses.dataclass(frozen=True)
class Grid:
    """Which penalties are swept, over which strengths λ. A strength is per unit of the mean cross-entropy, in nats."""

    seeds: int = 8
    """Repetitions, seeds 0, 1, …: each draws a training split, initial weights and an order of batches of its own."""
    l1: tuple[float, ...] = strengths(1e-5, 1e-2, 10)
    """λ of λΣ|w|, for the coupled subgradient and for the proximal step. As many as `l2` and `decay`."""
    l2: tuple[float, ...] = strengths(1e-5, 1e-1, 10)
    """λ of λΣw², coupled."""
    decay: tuple[float, ...] = strengths(1e-3, 1e1, 10)
    """λ of decoupled weight decay, which is optax's weight_decay divided by 2."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "seeds", "at least 1", self.seeds)
        same_length(self, "l1", "l2", "decay")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """The small network on the wine data that is drawn as a graph: trained without a penalty, then trained on with one."""

    hidden: int = 8
    """Hidden units between 13 inputs and 3 classes."""
    steps: int = 3000
    """Full-batch steps before the penalty is switched on, and as many after it."""
    learning_rate: float = 1e-2
    """Adam's learning rate at the first step of both parts."""
    strengths: tuple[float, ...] = (
        1e-6, 3e-6, 1e-5, 1.8e-5, 3e-5, 5.6e-5, 1e-4, 1.8e-4, 3e-4, 5.6e-4,
        1e-3, 1.8e-3, 3e-3, 5.6e-3, 1e-2, 1.8e-2, 3e-2, 5.6e-2, 1e-1, 0.3, 1.0,
    )  # fmt: skip
    """λ of either penalty, besides 0, that the page's player steps through. It stops where L1 leaves no weight."""
    l1: float = 3e-3
    """λ of the proximal L1 penalty in the figures; one of `strengths`."""
    l2: float = 1e-2
    """λ of the coupled squared L2 penalty in the figures; one of `strengths`."""
    seed: int = 0
    """Seed of the split and of the initial weights."""

    def __post_init__(self) -> None:
        require(1 <= self.hidden <= 32, "drawing.hidden", "1 to 32 units, as more cannot be drawn", self.hidden)
        require(self.steps >= 1, "drawing.steps", "at least 1", self.steps)
        require(0 < self.learning_rate < np.inf, "drawing.learning-rate", "a positive number", self.learning_rate)
        same_length(self, "strengths")
        for name in ("l1", "l2"):
            value = getattr(self, name)
            require(value in self.strengths, f"drawing.{name}", f"one of drawing.strengths {self.strengths}", value)
        require(self.seed >= 0, "drawing.seed", "at least 0", self.seed)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What L1 and L2 regularization do to a network."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the network on the digits."""
    train_size: int = 200
    """Rows of the 1797 digits to train on (few, so that there is something to overfit); the others are the test set."""
    sweep: Grid = Grid()
    training: Training = Training()
    drawing: Drawing = Drawing()

    def __post_init__(self) -> None:
        require(len(self.hidden) > 0 and all(w >= 1 for w in self.hidden), "hidden", "widths of at least 1", self.hidden)
        require(10 <= self.train_size <= 1787, "train-size", "10 to 1787 rows", self.train_size)
        require(
            self.training.batch_size <= self.train_size,
            "training.batch-size",
            f"at most train-size = {self.train_size}",
            self.training.batch_size,
        )


QUICK = Settings(
    sweep=Grid(seeds=2, l1=strengths(1e-4, 1e-2, 3), l2=strengths(1e-4, 1e-1, 3), decay=strengths(1e-2, 1e1, 3)),
    training=Training(epochs=60),
    drawing=Drawing(steps=1000, strengths=(1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)),
)
"""The defaults of `--quick`."""
