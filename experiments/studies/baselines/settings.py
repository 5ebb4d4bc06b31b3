"""Settings of the weight-decay baselines."""

import dataclasses

from experiments.settings import Training, require, strengths

BASELINE_NAMES = ("decay", "tilt", "scale")
"""Every baseline, in the order in which they are told."""


@dataclasses.dataclass(frozen=True)
class PairStudy:
    """Digits, one network: coupled L2 beside weight decay, and the loss beside 100 times the loss, in float64."""

    seeds: int = 5
    """Repetitions, each with rows, initial weights and an order of batches of its own."""
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Rows to train on."""
    l2: float = 1e-3
    """λ of λΣw², coupled, and of the weight decay 2λ beside it."""
    decay: float = 0.1
    """λ of decoupled L2 in the runs of AdamW that the loss is multiplied for; optax's weight_decay divided by 2."""
    l1: float = 1e-3
    """λ of λΣ|w|, proximal."""
    factor: float = 100.0
    """What the loss is multiplied by."""
    sgd_rate: float = 0.1
    """Learning rate of SGD; with momentum a tenth of it."""
    training: Training = Training(epochs=60, batch_size=50)

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(10 <= self.train_size <= 1697, "train-size", "10 to 1697 rows", self.train_size)
        for name in ("l2", "decay", "l1", "factor", "sgd_rate"):
            require(getattr(self, name) > 0, name.replace("_", "-"), "a positive number", getattr(self, name))


@dataclasses.dataclass(frozen=True)
class TiltStudy:
    """Digits with wrong labels: learning rate × λ, by Adam with L2 in four places."""

    seeds: int = 6
    """Repetitions, each with rows, initial weights and an order of batches of its own."""
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Rows to train on."""
    wrong: float = 0.2
    """Share of the training labels that are replaced by a wrong class, so that there is a best λ well above 0."""
    rates: tuple[float, ...] = strengths(1e-3, 3e-2, 7)
    """Adam's learning rates at the first step."""
    overfit: float = 0.05
    """A learning rate is used where the best λ lowers the test loss by more than this share of it, for every way."""
    coupled: tuple[float, ...] = strengths(1e-4, 1e-1, 13)
    """λ of coupled and of proximal L2."""
    decoupled: tuple[float, ...] = strengths(1e-2, 1e2, 13)
    """λ of AdamW as optax and PyTorch have it, where the learning rate multiplies the decay."""
    unscaled: tuple[float, ...] = strengths(1e-4, 1e0, 13)
    """λ of AdamW as first published, where only the schedule's shape multiplies the decay."""
    training: Training = Training(epochs=300, batch_size=50)

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", "at least 2, as an interval needs them", self.seeds)
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(10 <= self.train_size <= 1697, "train-size", "10 to 1697 rows", self.train_size)
        require(0 <= self.wrong < 1, "wrong", "a share from 0 to below 1", self.wrong)
        for name in ("rates", "coupled", "decoupled", "unscaled"):
            values = getattr(self, name)
            good = len(values) >= 3 and all(value > 0 for value in values) and list(values) == sorted(set(values))
            require(good, name, "at least three positive numbers, increasing", values)
        lengths = {len(values) for values in (self.coupled, self.decoupled, self.unscaled)}
        require(len(lengths) == 1, "coupled, decoupled and unscaled", "as many strengths each", sorted(lengths))


@dataclasses.dataclass(frozen=True)
class Settings:
    """L1 and L2 against weight decay: where it is the same, where it differs, and how its best setting moves."""

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
"""The defaults that `baselines --quick` stands for."""
