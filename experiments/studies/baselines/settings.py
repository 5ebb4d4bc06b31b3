"""Settings of the baselines study."""

import dataclasses

from experiments.settings import Training, require, strengths


@dataclasses.dataclass(frozen=True)
class PairStudy:
    """Pairs of networks in float64: coupled L2 and weight decay, and the loss and a multiple of the
    loss.
    """

    seeds: int = 5
    """Number of repetitions, each with its own rows, initial weights and order of batches."""
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Number of training rows."""
    l2: float = 1e-3
    """λ in λΣw², for coupled L2; it is compared with a weight decay of 2λ."""
    decay: float = 0.1
    """λ of decoupled L2 in the AdamW runs on a multiple of the loss: optax's weight_decay is 2λ."""
    l1: float = 1e-3
    """λ in λΣ|w|, for proximal L1."""
    factor: float = 100.0
    """Constant by which the loss is multiplied."""
    sgd_rate: float = 0.1
    """Learning rate of SGD; SGD with momentum uses a tenth of it."""
    training: Training = Training(epochs=60, batch_size=50)

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(10 <= self.train_size <= 1697, "train-size", "10 to 1697 rows", self.train_size)
        for name in ("l2", "decay", "l1", "factor", "sgd_rate"):
            require(
                getattr(self, name) > 0,
                name.replace("_", "-"),
                "a positive number",
                getattr(self, name),
            )


@dataclasses.dataclass(frozen=True)
class TiltStudy:
    """Digits with wrong labels: learning rate × λ, for Adam with L2 in four places."""

    seeds: int = 6
    """Number of repetitions, each with its own rows, initial weights and order of batches."""
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Number of training rows."""
    wrong: float = 0.2
    """Share of the training labels that are replaced by a wrong class, so that the best λ is well
    above 0.
    """
    rates: tuple[float, ...] = strengths(1e-3, 3e-2, 7)
    """Adam's learning rates at the first step."""
    overfit: float = 0.05
    """A learning rate is used if, for every method, the best λ lowers the test loss by more than
    this share.
    """
    coupled: tuple[float, ...] = strengths(1e-4, 1e-1, 13)
    """Values of λ for coupled and proximal L2."""
    decoupled: tuple[float, ...] = strengths(1e-2, 1e2, 13)
    """Values of λ for AdamW as in optax and PyTorch, where the learning rate multiplies the
    decay.
    """
    unscaled: tuple[float, ...] = strengths(1e-4, 1e0, 13)
    """Values of λ for AdamW as first published, where only the shape of the schedule multiplies the
    decay.
    """
    training: Training = Training(epochs=300, batch_size=50)

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(10 <= self.train_size <= 1697, "train-size", "10 to 1697 rows", self.train_size)
        require(0 <= self.wrong < 1, "wrong", "a share from 0 to below 1", self.wrong)
        for name in ("rates", "coupled", "decoupled", "unscaled"):
            values = getattr(self, name)
            good = (
                len(values) >= 3
                and all(value > 0 for value in values)
                and list(values) == sorted(set(values))
            )
            require(good, name, "at least three positive numbers, increasing", values)
        lengths = {len(values) for values in (self.coupled, self.decoupled, self.unscaled)}
        require(
            len(lengths) == 1,
            "coupled, decoupled and unscaled",
            "as many strengths each",
            sorted(lengths),
        )


@dataclasses.dataclass(frozen=True)
class Settings:
    """L1 and L2 compared with weight decay: equal updates, the best λ, and the scale of the
    loss.
    """

    pairs: PairStudy = PairStudy()
    tilt: TiltStudy = TiltStudy()


QUICK = Settings(
    pairs=PairStudy(seeds=2, hidden=16, training=Training(epochs=10)),
    tilt=TiltStudy(
        seeds=2,
        hidden=16,
        rates=strengths(1e-3, 1e-2, 3),
        coupled=strengths(1e-3, 1e-1, 5),
        decoupled=strengths(1e-1, 1e2, 5),
        unscaled=strengths(1e-3, 1e0, 5),
        training=Training(epochs=20),
    ),
)
"""Defaults of `--quick`."""
