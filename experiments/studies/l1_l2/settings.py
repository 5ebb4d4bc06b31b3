"""Settings of the main job: the network on the digits, the small network that is drawn, and the
quick version of both.
"""

import dataclasses

import numpy as np

from experiments.settings import Training, require, same_length, strengths


@dataclasses.dataclass(frozen=True)
class Grid:
    """The penalties and their strengths λ. The loss is the mean cross-entropy in nats."""

    seeds: int = 8
    """Number of repetitions, with seeds 0, 1, … Each has its own training split, initial weights
    and order of batches.
    """
    l1: tuple[float, ...] = strengths(1e-5, 1e-2, 10)
    """λ of λΣ|w|, for coupled and for proximal L1. `l1`, `l2` and `decay` need the same number of
    strengths.
    """
    l2: tuple[float, ...] = strengths(1e-5, 1e-1, 10)
    """λ of λΣw², for coupled L2."""
    decay: tuple[float, ...] = strengths(1e-3, 1e1, 10)
    """λ of decoupled L2, which is half of optax's weight_decay."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "seeds", "at least 1", self.seeds)
        same_length(self, "l1", "l2", "decay")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """The small network on the wine data, drawn as a graph. It is trained without a penalty, then
    further with one.
    """

    hidden: int = 8
    """Number of hidden units, between 13 inputs and 3 classes."""
    steps: int = 3000
    """Number of full-batch steps without the penalty, and the same number with it."""
    learning_rate: float = 1e-2
    """Adam's learning rate at the first step, without the penalty and again with it."""
    strengths: tuple[float, ...] = (
        1e-6, 3e-6, 1e-5, 1.8e-5, 3e-5, 5.6e-5, 1e-4, 1.8e-4, 3e-4, 5.6e-4,
        1e-3, 1.8e-3, 3e-3, 5.6e-3, 1e-2, 1.8e-2, 3e-2, 5.6e-2, 1e-1, 0.3, 1.0,
    )  # fmt: skip
    """λ of both penalties in the page's player, besides 0. The player ends at the first λ that sets
    every weight to 0.
    """
    l1: float = 3e-3
    """λ of proximal L1 in the figures; one of `strengths`."""
    l2: float = 1e-2
    """λ of coupled L2 in the figures; one of `strengths`."""
    seed: int = 0
    """Seed of the training split and of the initial weights."""

    def __post_init__(self) -> None:
        require(
            1 <= self.hidden <= 32,
            "drawing.hidden",
            "1 to 32 units, because more cannot be drawn",
            self.hidden,
        )
        require(self.steps >= 1, "drawing.steps", "at least 1", self.steps)
        require(
            0 < self.learning_rate < np.inf,
            "drawing.learning-rate",
            "a positive number",
            self.learning_rate,
        )
        same_length(self, "strengths")
        for name in ("l1", "l2"):
            value = getattr(self, name)
            require(
                value in self.strengths,
                f"drawing.{name}",
                f"one of drawing.strengths {self.strengths}",
                value,
            )
        require(self.seed >= 0, "drawing.seed", "at least 0", self.seed)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What L1 and L2 regularization do to a network."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the network on the digits."""
    train_size: int = 200
    """Number of the 1797 digits to train on: few, so that the network can overfit. The others are
    the test set.
    """
    sweep: Grid = Grid()
    training: Training = Training()
    drawing: Drawing = Drawing()

    def __post_init__(self) -> None:
        require(
            len(self.hidden) > 0 and all(w >= 1 for w in self.hidden),
            "hidden",
            "widths of at least 1",
            self.hidden,
        )
        require(10 <= self.train_size <= 1787, "train-size", "10 to 1787 rows", self.train_size)
        require(
            self.training.batch_size <= self.train_size,
            "training.batch-size",
            f"at most train-size = {self.train_size}",
            self.training.batch_size,
        )


QUICK = Settings(
    sweep=Grid(
        seeds=2,
        l1=strengths(1e-4, 1e-2, 3),
        l2=strengths(1e-4, 1e-1, 3),
        decay=strengths(1e-2, 1e1, 3),
    ),
    training=Training(epochs=60),
    drawing=Drawing(steps=1000, strengths=(1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)),
)
"""The defaults of `--quick`."""
