"""L1 and L2 compared with weight decay: equal updates, the best λ, and the scale of the loss.

Pairs of training runs, in float64. Decay: coupled squared L2 at λ compared with a weight decay of
2λ. For SGD both are the same update. With momentum or Adam they differ, because only the coupled
penalty passes through the optimizer's state. Scale: every optimizer on the loss compared with the
same optimizer on a multiple of the loss. An optimizer is scale-free (Zhuang et al. 2022,
"Understanding AdamW through proximal methods and scale-freeness") if this changes nothing. AdamW is
scale-free except for its eps. With a penalty in the objective, this holds only if λ is multiplied
too.

Tilt: learning rate × λ for Adam with squared L2 in four places, as in Figures 1 and 2 of Loshchilov
& Hutter (2019), "Decoupled weight decay regularization", on a small scale: digits with wrong labels
and a fixed number of epochs. The tilt is the slope of log₁₀(best λ), at the smallest test loss,
against log₁₀(learning rate). It is 0 if the best λ does not depend on the learning rate, and −1 if
only their product matters. The two forms of AdamW describe the same networks: a decay that the
learning rate does not multiply is λ times the learning rate of the other form. So their slopes
differ by 1.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from experiments import datasets, training
from experiments.claims import Finding, above, below, between, outside, within
from experiments.figures import new_figure
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Axes, Figure, jax, jaxreg, jnp, networks, optax, xr
from experiments.settings import Training, at_least, positive, require, same_length, strengths
from experiments.training import Strengths, described

if TYPE_CHECKING:
    from experiments.training import OptimizerOf


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
        at_least(self, seeds=2, hidden=1, train_size=10)
        require(self.train_size <= 1697, "train-size", "at most 1697 rows", self.train_size)
        positive(self, "l2", "decay", "l1", "factor", "sgd_rate")


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
        at_least(self, seeds=2, hidden=1, train_size=10)
        require(self.train_size <= 1697, "train-size", "at most 1697 rows", self.train_size)
        require(0 <= self.wrong < 1, "wrong", "a share from 0 to below 1", self.wrong)
        same_length(self, "rates")
        same_length(self, "coupled", "decoupled", "unscaled")
        for name in ("rates", "coupled"):
            values = getattr(self, name)
            require(len(values) >= 3, name, "at least three values", values)


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

DECAY_ALONE = "AdamW, decay alone"
"""The method whose decay the learning rate does not multiply."""
TINY = 1e-30
"""An eps that is practically 0, but avoids 0/0 where the gradient of a pixel's weights is always
0.
"""


class Pair(NamedTuple):
    """Two training runs that are compared.

    Attributes:
        makers: functions from the learning-rate schedule to the optimizers.
        rate: learning rate at the first step.
        factor: constant by which the loss is multiplied in the second one.
    """

    makers: tuple[OptimizerOf, OptimizerOf]
    rate: float
    factor: float = 1.0


def decay_pairs(config: PairStudy) -> dict[str, Pair]:
    """For each optimizer, the coupled penalty at λ and weight decay at 2λ."""

    def pair(make: OptimizerOf, rate: float) -> Pair:
        def coupled(schedule: optax.Schedule) -> optax.GradientTransformation:
            return optax.chain(jaxreg.add_l2(config.l2, mask=jaxreg.kernels), make(schedule))

        def decayed(schedule: optax.Schedule) -> optax.GradientTransformation:
            # w ← w − rate·2λ·w on kernels as a step of its own, without jaxreg.
            decay = optax.add_decayed_weights(
                lambda count: -2 * config.l2 * schedule(count),
                lambda params: jax.tree.map(lambda w: w.ndim >= 2, params),
            )
            return optax.chain(make(schedule), decay)

        return Pair((coupled, decayed), rate)

    return {
        "SGD": pair(optax.sgd, config.sgd_rate),
        "SGD, momentum 0.9": pair(functools.partial(optax.sgd, momentum=0.9), config.sgd_rate / 10),
        "Adam": pair(optax.adam, config.training.learning_rate),
    }


def scale_pairs(config: PairStudy) -> dict[str, Pair]:
    """For each optimizer, the loss and the loss times the factor; for penalties also with λ times
    the factor.
    """

    def adamw(eps: float, schedule: optax.Schedule) -> optax.GradientTransformation:
        return optax.adamw(schedule, weight_decay=2 * config.decay, eps=eps, mask=jaxreg.kernels)

    def coupled(factor: float, schedule: optax.Schedule) -> optax.GradientTransformation:
        add_l2 = jaxreg.add_l2(factor * config.l2, mask=jaxreg.kernels)
        return optax.chain(add_l2, optax.adam(schedule, eps=TINY))

    def proximal(
        penalty: Any, strength: float, factor: float, schedule: optax.Schedule
    ) -> optax.GradientTransformation:
        scaled = penalty(factor * strength)
        return jaxreg.prox_adam(schedule, scaled, mask=jaxreg.kernels, eps=TINY)

    first, second = (functools.partial(adamw, eps) for eps in (TINY, 1e-8))
    makers: dict[str, tuple[OptimizerOf, OptimizerOf]] = {
        "AdamW, eps → 0": (first, first),
        "AdamW, eps 1e-8": (second, second),
    }
    penalised: dict[str, Callable[[float, optax.Schedule], optax.GradientTransformation]] = {
        "Adam, coupled L2": coupled,
        "proximal Adam, L2": functools.partial(proximal, jaxreg.SquaredL2, config.l2),
        "proximal Adam, L1": functools.partial(proximal, jaxreg.L1, config.l1),
    }
    for name, make in penalised.items():
        plain, scaled = (functools.partial(make, factor) for factor in (1.0, config.factor))
        makers[f"{name}, λ"] = (plain, plain)
        makers[f"{name}, {config.factor:g}·λ"] = (plain, scaled)
    rate = config.training.learning_rate
    return {name: Pair(pair, rate, config.factor) for name, pair in makers.items()}


def train_pairs(settings: Settings, session: Session) -> xr.Dataset:
    """Trains the pairs of both comparisons.

    Returns:
        `decay_distance` (seed, decay_pair, epoch) and `decay_accuracy` (seed, decay_pair, member),
        the same for `scale`, and the `factor` of the loss.
    """
    config, rows = settings.pairs, datasets.digits()
    wide = datasets.Rows(rows.inputs.astype(np.float64), rows.labels)
    dataset = xr.Dataset({"factor": config.factor}, {"seed": range(config.seeds)})
    texts = {"factor": ("constant by which the loss is multiplied", "1")}
    diverged = np.zeros(config.seeds, bool)
    for comparison, pairs in (("decay", decay_pairs(config)), ("scale", scale_pairs(config))):
        with jax.enable_x64(True):
            fit = functools.partial(train_seed, pairs=pairs, config=config)
            runs = session.sweep(fit, jaxreg.grid(seed=range(config.seeds)), wide, part=comparison)
        diverged |= runs.diverged
        dataset.coords[f"{comparison}_pair"] = list(pairs)
        for name, axis, text in (
            ("distance", "epoch", "‖w − w'‖/‖w'‖ over the kernels after each epoch"),
            ("accuracy", "member", "accuracy on test rows"),
        ):
            dimensions = ("seed", f"{comparison}_pair", axis)
            dataset[f"{comparison}_{name}"] = (dimensions, runs.outputs[name])
            texts[f"{comparison}_{name}"] = (text, "1")
        texts[f"{comparison}_pair"] = ("optimizer whose two training runs are compared", "1")
    return described(dataset.assign(diverged=("seed", diverged)), texts)


def train_seed(
    key: jax.Array, _: Any, rows: datasets.Rows, pairs: Mapping[str, Pair], config: PairStudy
) -> dict[str, jax.Array]:
    """Trains every pair on one seed; the results of `train_pair`, stacked."""
    results = [train_pair(key, rows, pair, config) for pair in pairs.values()]
    return {name: jnp.stack([result[name] for result in results]) for name in results[0]}


def train_pair(
    key: jax.Array, rows: datasets.Rows, pair: Pair, config: PairStudy
) -> dict[str, jax.Array]:
    """Trains both networks of a pair from the same weights and on the same batches.

    Args:
        key: random key of the seed.
        rows: all rows, in float64.
        pair: the two training runs.
        config: sizes and epochs.

    Returns:
        `distance`, ‖w − w'‖/‖w'‖ over the kernels after each epoch, (epochs,), and `accuracy` of
        both on the test rows, (2,).
    """
    split_key, model_key, order_key = jax.random.split(key, 3)
    train_rows, test_rows = training.split(split_key, rows, [config.train_size])
    structure, params = networks.initial((64, config.hidden, 10), model_key)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    batch = min(config.training.batch_size, config.train_size)
    steps = config.train_size // batch
    schedule = optax.cosine_decay_schedule(pair.rate, config.training.epochs * steps)
    optimizers = [make(schedule) for make in pair.makers]

    def step(carry: Any, picked: jax.Array) -> tuple[Any, None]:
        minibatch = datasets.Rows(train_rows.inputs[picked], train_rows.labels[picked])
        moved = []
        for (params, state), tx, factor in zip(carry, optimizers, (1.0, pair.factor), strict=True):

            def loss(params: Any, factor: float = factor) -> jax.Array:
                return factor * training.cross_entropy(structure, params, minibatch)

            updates, state = tx.update(jax.grad(loss)(params), state, params)
            moved.append((optax.apply_updates(params, updates), state))
        return moved, None

    def epoch(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        order = jax.random.permutation(key, config.train_size)[: steps * batch]
        carry, _ = jax.lax.scan(step, carry, order.reshape(steps, batch))
        first, second = (training.kernels_of(params) for params, _ in carry)
        norm, reference = optax.tree.norm(first), optax.tree.norm(second)
        distance = optax.tree.norm(jax.tree.map(jnp.subtract, first, second))
        # If w' is 0, the distance is relative to w.
        relative = jnp.where(reference > 0, reference, jnp.maximum(norm, TINY))
        return carry, distance / relative

    start = [(params, tx.init(params)) for tx in optimizers]
    ends, distance = jax.lax.scan(epoch, start, jax.random.split(order_key, config.training.epochs))
    accuracies = [training.accuracy(structure, params, test_rows) for params, _ in ends]
    return {"distance": distance, "accuracy": jnp.stack(accuracies)}


class Setting(NamedTuple):
    """One method at one λ, or arrays of them.

    Attributes:
        strengths: the strength of each penalty.
        divided: 1 if they are divided by the learning rate, so that the decay does not depend on
            it, else 0.
    """

    strengths: Strengths
    divided: Any


class Run(TypedDict):
    """Hyperparameters of one network: method and λ, learning rate at the first step, and seed."""

    setting: Setting
    rate: jax.Array
    seed: jax.Array


def train_grid(settings: Settings, session: Session) -> xr.Dataset:
    """Trains every network of the tilt.

    Returns:
        `test_loss` and `test_accuracy` along (method, level, rate, seed), with `strength` (method,
        level); `used` (rate) marks the rates found by `usable_rates`.
    """
    config = settings.tilt
    methods = {
        "Adam, coupled L2": ("coupled_l2", config.coupled),
        "proximal Adam, L2": ("proximal_l2", config.coupled),
        "AdamW, rate × decay": ("decoupled_l2", config.decoupled),
        DECAY_ALONE: ("decoupled_l2", config.unscaled),
    }
    levels = [values for _, values in methods.values()]
    columns = {
        other: np.ravel([np.multiply(values, field == other) for field, values in methods.values()])
        for other in Strengths._fields
    }
    strengths = Strengths(**{name: column.astype(np.float32) for name, column in columns.items()})
    divided = np.repeat([name == DECAY_ALONE for name in methods], len(config.coupled))
    setting = Setting(strengths, divided.astype(np.float32))
    grid = jaxreg.grid(setting=setting, rate=list(config.rates), seed=range(config.seeds))
    runs = session.sweep(functools.partial(train_network, config=config), grid, datasets.digits())
    axes = ("method", "level", "rate", "seed")
    shape = (len(methods), len(config.coupled), len(config.rates), config.seeds)
    outputs = {**runs.outputs, "diverged": runs.diverged}
    dataset = xr.Dataset(
        {name: (axes, values.reshape(shape)) for name, values in outputs.items()},
        {
            "method": list(methods),
            "strength": (("method", "level"), levels),
            "rate": list(config.rates),
            "seed": range(config.seeds),
        },
    )
    texts = {
        "rate": ("Adam's learning rate at the first step", "1"),
        "used": ("whether every method has a best λ at this learning rate", "1"),
    }
    return described(dataset.assign(used=("rate", usable_rates(dataset, config.overfit))), texts)


def train_network(
    key: jax.Array, run: Run, rows: datasets.Rows, config: TiltStudy
) -> dict[str, jax.Array]:
    """Trains one network at one learning rate; its test loss and test accuracy."""
    split_key, label_key, model_key, order_key = jax.random.split(key, 4)
    train_rows, test_rows = training.split(split_key, rows, [config.train_size])
    train_rows = training.mislabelled(label_key, train_rows, config.wrong)
    structure, params = networks.initial((64, config.hidden, 10), model_key)
    setting, rate = run["setting"], run["rate"]
    divisor = jnp.where(setting.divided > 0, rate, 1.0)
    strengths = jax.tree.map(lambda strength: strength / divisor, setting.strengths)

    def make_optimizer(schedule: optax.Schedule) -> optax.GradientTransformation:
        # The schedule has a fixed learning rate, so that one program serves all runs; replace it by
        # the run's own.
        return training.optimizer(
            strengths, lambda count: rate / config.training.learning_rate * schedule(count)
        )

    params = training.train_params(
        structure, params, make_optimizer, order_key, train_rows, config.training
    )
    parts = {"train": train_rows, "test": test_rows}
    metrics = training.evaluate(structure, params, training.charged(strengths), parts)
    return {name: metrics[name] for name in ("test_loss", "test_accuracy")}


def best_strengths(dataset: xr.Dataset, method: str) -> np.ndarray:
    """log₁₀ of a method's best λ: the vertex of the parabola through the smallest loss and its
    neighbours.

    Args:
        dataset: of the tilt sweep, with strengths evenly spaced in their logarithm.
        method: name of the method.

    Returns:
        (rate, seed). NaN where the smallest loss is at an end of the grid, or next to a loss that
        is not finite, because the minimum is then unknown.
    """
    selected = dataset.sel({"method": method})
    logs = np.log10(selected["strength"].values)

    def vertex(losses: np.ndarray) -> float:
        at = int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0
        around = losses[max(at - 1, 0) : at + 2]
        if len(around) < 3 or not np.isfinite(around).all():
            return np.nan
        before, here, after = around
        curvature = before - 2 * here + after
        shift = 0.5 * (before - after) / curvature if curvature > 0 else 0.0
        return float(logs[at] + shift * (logs[1] - logs[0]))

    losses = selected["test_loss"].transpose("level", "rate", "seed").values
    return np.apply_along_axis(vertex, 0, losses)


def usable_rates(dataset: xr.Dataset, overfit: float) -> np.ndarray:
    """Finds the learning rates at which every method has a best λ.

    A rate is used if, for every method, the best λ lowers the mean test loss by more than the share
    `overfit` of the loss at the smallest λ, and if no seed has its smallest loss at an end of the
    grid. A rate that one method cannot use is used by none, because the slopes would not be
    comparable.

    Args:
        dataset: of the tilt sweep.
        overfit: share of the test loss.

    Returns:
        Booleans, (rates,).
    """
    usable = np.ones(dataset.sizes["rate"], bool)
    for method in dataset["method"].values:
        losses = dataset["test_loss"].sel({"method": method}).mean("seed")
        mean = losses.transpose("level", "rate").values
        usable &= np.nanmin(np.where(np.isfinite(mean), mean, np.inf), 0) < (1 - overfit) * mean[0]
        usable &= np.isfinite(best_strengths(dataset, method)).all(1)
    return usable


def slopes(dataset: xr.Dataset, method: str) -> np.ndarray:
    """A method's tilt: the slope of log₁₀(best λ) against log₁₀(learning rate) over the rates
    marked by `used`, (seeds,); NaN if there are fewer than three.
    """
    best, used = best_strengths(dataset, method), dataset["used"].values.astype(bool)
    if used.sum() < 3:
        return np.full(best.shape[1], np.nan)
    return np.asarray(np.polyfit(np.log10(dataset["rate"].values[used]), best[used], 1)[0])


SAME = 1e-9
"""Largest relative distance, in float64, at which two networks count as the same."""
NEARLY_SAME = 1e-2
"""The same for AdamW with its default eps, which makes it only nearly scale-free."""
INDEPENDENT = 0.25
"""A slope within ± this counts as independent: a ten times larger learning rate changes the best λ
by a factor below 1.8.
"""
DIFFERENT, VERY_DIFFERENT = 0.1, 5.0
"""Relative distances in percent above which two networks count as different, and as very
different.
"""


def compared(dataset: xr.Dataset, comparison: str, pair: str) -> tuple[np.ndarray, list[str]]:
    """The relative distance of a pair at the end of training, (seeds,), and both test accuracies in
    words.
    """
    selected = dataset.sel({f"{comparison}_pair": pair})
    accuracies = 100 * selected[f"{comparison}_accuracy"].mean("seed", skipna=False).values
    distance = selected[f"{comparison}_distance"].isel(epoch=-1).values
    return distance, [f"{value:.1f} %" for value in accuracies]


def decay(results: Results) -> list[Finding]:
    """Coupled L2 at λ compared with weight decay at 2λ, for each optimizer."""
    dataset = results["pairs"]
    findings = [
        within(
            "For SGD, L2 in the loss at λ equals weight decay at 2λ.",
            "Whole training runs in float64, coupled add_l2(λ) compared with a decay step written "
            "without jaxreg; the largest relative distance of the weights after any epoch",
            float(dataset["decay_distance"].sel(decay_pair="SGD").max(skipna=False)),
            SAME,
            "largest distance",
        )
    ]
    for pair, threshold, different in (
        ("SGD, momentum 0.9", DIFFERENT, "different"),
        ("Adam", VERY_DIFFERENT, "very different"),
    ):
        distance, (coupled, decayed) = compared(dataset, "decay", pair)
        findings.append(
            above(
                f"For {pair.replace(', ', ' with ')}, L2 in the loss and weight decay give "
                f"{different} networks.",
                "Relative distance of the weights at the end of training, in percent, above "
                f"{threshold:g}; test accuracy {coupled} with coupled L2, {decayed} with weight "
                "decay",
                100 * distance,
                threshold,
                "%",
            )
        )
    return findings


def tilt(results: Results) -> list[Finding]:
    """The slope of the best λ against the learning rate for each method, and whether decoupling
    reduces it.
    """
    dataset = results["tilt"]
    used = [f"{rate:.2g}" for rate in dataset["rate"].values[dataset["used"].values.astype(bool)]]
    tested = (
        "Slope of log(best λ), at the smallest test loss, against log(learning rate); a slope "
        f"within ±{INDEPENDENT} counts as independent; at the {len(used)} of "
        f"{dataset.sizes['rate']} learning rates where every method has a best λ within its grid "
        f"that clearly reduces the test loss: {', '.join(used)}"
    )
    by_method = {str(method): slopes(dataset, method) for method in dataset["method"].values}
    findings = []
    for method, values in by_method.items():
        test, depends = outside, "depends"
        if method.startswith("AdamW"):
            test, depends = between, "does not depend"
        statement = f"The best λ {depends} on the learning rate ({method})."
        findings.append(test(statement, tested, values, -INDEPENDENT, INDEPENDENT))
    coupled = np.abs(by_method["Adam, coupled L2"])
    return findings + [
        below(
            f"Decoupling makes the best λ depend less on the learning rate ({method}).",
            "Absolute slope minus the absolute slope of Adam with coupled L2",
            np.abs(values) - coupled,
            digits=2,
            sign=True,
        )
        for method, values in by_method.items()
        if method.startswith("AdamW")
    ]


def scale(results: Results) -> list[Finding]:
    """Whether multiplying the loss leaves each optimizer's network as it is, or changes it, as
    claimed of that optimizer.
    """
    dataset = results["pairs"]
    findings = []
    factor = f"{float(dataset['factor']):g}"
    for pair in map(str, dataset["scale_pair"].values):
        distance, (plain, multiplied) = compared(dataset, "scale", pair)
        tested = (
            "Relative distance of the weights at the end of training in float64; test accuracy "
            f"{plain} on the loss, {multiplied} on {factor} times the loss"
        )
        if "·λ" in pair or pair.startswith("AdamW"):
            tolerance = NEARLY_SAME if "1e-8" in pair else SAME
            statement = f"Multiplying the loss by {factor} changes nothing ({pair})."
            largest = float(distance.max())
            findings.append(within(statement, tested, largest, tolerance, "largest distance"))
        else:
            statement = f"Multiplying the loss by {factor} gives a different network ({pair})."
            tested = f"{tested}, in percent, above {VERY_DIFFERENT:g}"
            findings.append(above(statement, tested, 100 * distance, VERY_DIFFERENT, "%"))
    return findings


FLOOR = 1e-17
"""Where a distance of exactly 0 is drawn on a logarithmic axis."""
ROUNDING = float(np.finfo(float).eps)
"""The rounding error of float64."""


def draw_decay(results: Results) -> Figure:
    """Distance between coupled L2 and weight decay over the epochs, for each optimizer."""
    distance = results["pairs"]["decay_distance"]
    figure = new_figure(7.4, 3.8)
    axes = figure.subplots()
    epochs = np.arange(1, distance.sizes["epoch"] + 1)
    styles = zip(("#009E73", "#E69F00", "#0072B2"), "os^", strict=True)
    for pair, (colour, marker) in zip(distance["decay_pair"].values, styles, strict=True):
        mean = np.maximum(distance.sel(decay_pair=pair).mean("seed").values, FLOOR)
        every = max(1, len(epochs) // 12)
        axes.plot(epochs, mean, color=colour, marker=marker, ms=4, markevery=every, label=pair)
    axes.axhline(ROUNDING, color="#999999", lw=1, ls=":")
    words = "rounding error of float64"
    axes.text(epochs[-1], 1.4 * ROUNDING, words, ha="right", fontsize=9, color="#666666")
    axes.set(yscale="log", xlabel="epoch", ylim=(FLOOR, 3))
    axes.set_ylabel("relative distance of the weights")
    axes.set_title("coupled L2 at λ against weight decay at 2λ", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="center right")
    return figure


def draw_tilt(results: Results) -> Figure:
    """Heat maps of the test loss over learning rate and λ, one for each method, with the best λ and
    its slope.
    """
    dataset = results["tilt"]
    figure = new_figure(9.2, 6.6)
    panels = figure.subplots(2, 2, sharex=True).ravel()
    for axes, method in zip(panels, dataset["method"].values, strict=True):
        heat_map(axes, dataset, method)
    for axes in panels[::2]:
        axes.set_ylabel("strength λ")
    for axes in panels[2:]:
        axes.set_xlabel("learning rate")
    colours = panels[0].collections[0]
    figure.colorbar(colours, ax=list(panels), label="test loss, nats", extend="max", shrink=0.7)
    return figure


def heat_map(axes: Axes, dataset: xr.Dataset, method: str) -> None:
    """Test loss of one method over learning rate and λ, with each seed's best λ and the mean slope.

    The colours start at the smallest mean test loss of all methods and end at twice this loss.
    """
    rates = np.log10(dataset["rate"].values)
    logs = np.log10(dataset["strength"].sel({"method": method}).values)
    means = dataset["test_loss"].mean("seed", skipna=False)
    lowest = float(means.min())
    loss = means.sel({"method": method}).transpose("level", "rate").values
    colours: dict[str, Any] = {"cmap": "viridis_r", "vmin": lowest, "vmax": 2 * lowest}
    axes.pcolormesh(rates, logs, loss, shading="nearest", **colours)
    best, used = best_strengths(dataset, method), dataset["used"].values.astype(bool)
    for chosen, face in ((used, "w"), (~used, "#888888")):
        places = np.repeat(rates[chosen], best.shape[1])
        axes.plot(places, best[chosen].ravel(), "o", ms=4, mfc=face, mec="k", mew=0.7)
    slope = float(slopes(dataset, method).mean())
    text = "no slope measured"
    if np.isfinite(slope):
        text = f"slope {slope:+.2f}"
        offset = best[used].mean() - slope * rates[used].mean()
        axes.plot(rates, slope * rates + offset, color="k", lw=1.5)
    axes.set_title(f"{method}: {text}", fontsize=10)
    powers = np.unique(np.round(logs)).astype(int)
    axes.set_yticks(powers, [f"$10^{{{power}}}$" for power in powers])
    axes.set_xticks(rates[::2], [f"{10**rate:.1g}" for rate in rates[::2]])
    axes.set(xlim=(rates[0] - 0.12, rates[-1] + 0.12), ylim=(logs[0] - 0.1, logs[-1] + 0.1))


def draw_scale(results: Results) -> Figure:
    """Distance between the network trained on the loss and the one trained on the scaled loss, for
    each optimizer.
    """
    dataset = results["pairs"]
    distance = dataset["scale_distance"].isel(epoch=-1)
    figure = new_figure(7.8, 3.9)
    axes = figure.subplots()
    pairs = dataset["scale_pair"].values[::-1]
    for at, pair in enumerate(pairs):
        values = np.maximum(distance.sel(scale_pair=pair).values, FLOOR)
        colour, marker = ("#D55E00", "s") if np.median(values) > 1e-3 else ("#0072B2", "o")
        axes.plot(values, np.full(len(values), at), marker, ms=7, color=colour, alpha=0.6)
    axes.set_yticks(range(len(pairs)), list(pairs))
    axes.axvline(ROUNDING, color="#999999", lw=1, ls=":")
    axes.set(xscale="log", xlim=(FLOOR, 3))
    axes.set_xlabel("relative distance of the weights (dotted: rounding error of float64)")
    axes.set_title(f"the loss against {float(dataset['factor']):g} times the loss", fontsize=11)
    axes.grid(axis="x", alpha=0.25)
    return figure


CLAIMS = (
    Claim(
        "decay",
        "L2 and weight decay",
        "For SGD, L2 in the loss at λ equals weight decay at 2λ; for Adam they differ.",
        decay,
        draw_decay,
        "Relative distance ‖w − w'‖/‖w'‖ (vertical, logarithmic) after each epoch (horizontal) "
        "between two networks that start from the same weights and see the same batches: w is "
        "trained with coupled L2 at λ, w' with weight decay at 2λ. Green dots: SGD; orange "
        "squares: SGD with momentum 0.9; blue triangles: Adam. Means over the seeds, in float64. "
        "Two methods are the same if their line stays near the dotted one, the rounding error of "
        "float64.",
    ),
    Claim(
        "tilt",
        "Decoupled decay and the learning rate",
        "Decoupled weight decay makes the best λ independent of the learning rate; with L2 in the "
        "objective it depends on it.",
        tilt,
        draw_tilt,
        "Test loss (colour, dark is high) over learning rate (horizontal) and λ (vertical), both "
        "logarithmic, for Adam with L2 in four places; mean over the seeds, white cells diverged. "
        "A dot marks the best λ of one seed at one learning rate; the line is fitted to the white "
        "dots, grey dots are not used because some method has no clear best λ at that rate. A "
        "horizontal line means that the best λ does not depend on the learning rate. Both forms of "
        "AdamW describe the same networks, so their slopes differ by 1. After Figures 1 and 2 of "
        "Loshchilov & Hutter (2019).",
    ),
    Claim(
        "scale",
        "Scale of the loss",
        "Multiplying the loss by a constant does not change what AdamW learns. It changes what "
        "Adam with L2 in the loss learns, unless λ is multiplied too.",
        scale,
        draw_scale,
        "Relative distance ‖w − w'‖/‖w'‖ (horizontal, logarithmic) between a network w trained on "
        "the loss and w' trained on a multiple of it, for each optimizer (vertical), in float64; "
        "one marker for each seed. Blue dots: median distance at most 0.001; red-orange squares: "
        "more. An optimizer is scale-free if its dots lie near the dotted line, the rounding error "
        "of float64. After Zhuang et al. (2022).",
    ),
)


STUDY = Study(
    name="baselines",
    summary="L1 and L2 compared with weight decay",
    description="Compares L2 in the loss with weight decay, tests whether decoupling makes the "
    "best λ independent of the learning rate, and measures what multiplying the loss by a constant "
    "changes.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"pairs": train_pairs, "tilt": train_grid},
    claims=CLAIMS,
)
