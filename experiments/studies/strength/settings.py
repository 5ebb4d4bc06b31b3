"""Settings of the strength study."""

import dataclasses

from experiments.settings import Training, require, same_length, strengths


@dataclasses.dataclass(frozen=True)
class Ridge:
    """Ridge regression on orthonormal designs, where the shrinkage has a closed form."""

    seeds: int = 20
    """Number of random designs."""
    rows: int = 100
    """Rows of each design."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "ridge.seeds", "at least 1", self.seeds)
        require(self.rows >= 10, "ridge.rows", "at least 10", self.rows)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Networks on the digits, with every method of regularization at every strength."""

    seeds: int = 10
    """Number of repetitions, each with its own rows, initial weights and order of batches."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""
    train_size: int = 200
    """Number of training rows; only a few, so that networks overfit."""
    validation_size: int = 300
    """Number of validation rows, on which λ is chosen; all remaining rows are test rows."""
    wrong: tuple[float, ...] = (0.0, 0.2)
    """Shares of the training labels that are replaced by a wrong class; validation and test labels
    stay correct.
    """
    l1: tuple[float, ...] = strengths(1e-5, 1e-2, 7)
    """Values of λ in λΣ|w|, for coupled and proximal L1."""
    decoupled_l1: tuple[float, ...] = strengths(1e-4, 1e-1, 7)
    """Values of λ for decoupled L1."""
    l2: tuple[float, ...] = strengths(1e-5, 1e-1, 7)
    """Values of λ in λΣw², for coupled L2."""
    decay: tuple[float, ...] = strengths(1e-3, 1e1, 7)
    """Values of λ for decoupled L2 (weight decay): optax's weight_decay is 2λ."""
    training: Training = Training()
    ridge: Ridge = Ridge()

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(
            len(self.hidden) > 0 and min(self.hidden) >= 1,
            "hidden",
            "widths of at least 1",
            self.hidden,
        )
        require(self.train_size >= 10, "train-size", "at least 10", self.train_size)
        require(self.validation_size >= 10, "validation-size", "at least 10", self.validation_size)
        used = self.train_size + self.validation_size
        require(used <= 1697, "train-size and validation-size", "at most 1697 rows together", used)
        require(
            all(0 <= share < 1 for share in self.wrong) and 0 in self.wrong,
            "wrong",
            "shares, 0 among them",
            self.wrong,
        )
        same_length(self, "l1", "decoupled_l1", "l2", "decay")


QUICK = Settings(
    seeds=3,
    hidden=(32,),
    l1=strengths(1e-4, 1e-2, 3),
    decoupled_l1=strengths(1e-3, 1e-1, 3),
    l2=strengths(1e-4, 1e-1, 3),
    decay=strengths(1e-2, 1e1, 3),
    training=Training(epochs=40),
    ridge=Ridge(seeds=4, rows=40),
)
"""Defaults of `--quick`."""
