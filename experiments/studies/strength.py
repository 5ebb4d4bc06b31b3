"""The effects of a growing λ on a network, on the digits: zeros, smaller norms and less
overfitting.

The sweep is setting (a method and its λ, or no penalty) × share of wrong training labels × seed, in
one compiled program. Level 0 of every method is λ = 0, where all methods share the same networks.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TypedDict

import numpy as np

from experiments import datasets
from experiments.claims import Finding, above, below, increasing, none_of, within
from experiments.figures import COLOURS, against_strength, largest_of, new_figure, zero_of
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Figure, jax, jaxreg, jnp, networks, optax, xr
from experiments.selection import best_level
from experiments.settings import Training, at_least, require, same_length, strengths
from experiments.training import (
    Strengths,
    along_levels,
    charged,
    described,
    evaluate,
    kernels_of,
    layers_of,
    mislabelled,
    optimizer,
    settings_of,
    split,
    train_params,
    weights_of,
)


@dataclasses.dataclass(frozen=True)
class Ridge:
    """Ridge regression on orthonormal designs, where the shrinkage has a closed form."""

    seeds: int = 20
    """Number of random designs."""
    rows: int = 100
    """Rows of each design."""

    def __post_init__(self) -> None:
        at_least(self, seeds=1, rows=10)


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
        at_least(self, seeds=2, hidden=1, train_size=10, validation_size=10)
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


SHRUNK = 0.9
"""A norm counts as shrunk if it is at most this share of the unpenalised network's norm."""
NEAR = 0.1
"""A weight counts as shrunk in proportion if its own factor differs from the common one by at most
this share.
"""
PROPORTION_TEXTS = {
    "factor": ("the c that minimises ‖w − c·w₀‖, with w₀ the unpenalised network", "1"),
    "explained": ("share of ‖w‖² explained by c·w₀", "1"),
    "near_factor": ("share of weights whose own factor is within 10 % of c", "1"),
    "smaller": ("share of weights with |w| < |w₀|", "1"),
}


def proportion(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Measures how well one common factor describes the change of each network's weights.

    Args:
        weights: (setting, wrong, seed, weight); the first setting is λ = 0.

    Returns:
        Arrays of shape (setting, wrong, seed): `factor`, the c that minimises ‖w − c·w₀‖;
        `explained`, the share of ‖w‖² explained by c·w₀; `near_factor`, the share of weights whose
        own factor w/w₀ is within 10 % of c; `smaller`, the share of weights with |w| < |w₀|.
    """
    start = weights[0]
    factor = np.sum(weights * start, -1) / np.sum(start * start, -1)
    fitted = factor[..., None] * start
    # If every weight is 0, there is nothing to explain: avoid 0/0.
    unexplained = np.sum((weights - fitted) ** 2, -1) / np.maximum(
        np.sum(weights**2, -1), np.finfo(np.float32).tiny
    )
    near = np.abs(weights - fitted) <= NEAR * np.abs(fitted)
    return {
        "factor": factor,
        "explained": 1 - unexplained,
        "near_factor": near.mean(-1),
        "smaller": (np.abs(weights) < np.abs(start)).mean(-1),
    }


def most_proportional(dataset: xr.Dataset, method: str) -> int:
    """Finds the λ at which a method's shrinkage comes closest to one common factor.

    Args:
        dataset: of the strength sweep; networks trained on correct labels are used.
        method: name of the method.

    Returns:
        The level with the largest mean share of ‖w‖² explained, among the levels above 0 whose mean
        norm is at most `SHRUNK` of the unpenalised one; 0 if there is none.
    """
    means = dataset.sel({"wrong": 0.0, "method": method}).mean("seed", skipna=False)
    ratio = means["norm"] / means["norm"].isel(level=0)
    eligible = (ratio <= SHRUNK) & (ratio > 0) & (np.arange(means.sizes["level"]) > 0)
    return int(means["explained"].where(eligible).fillna(-1).argmax("level"))


TEXTS = {
    "varying_weights": (
        "kernel weights, without those of pixels that are constant over the training rows",
        "count",
    ),
    "varying_zeros": (
        "exact zeros, without weights of pixels that are constant over the training rows",
        "count",
    ),
    **PROPORTION_TEXTS,
}


class Run(TypedDict):
    """Hyperparameters of one network.

    Attributes:
        setting: strengths of its penalties.
        wrong: share of wrong training labels.
        seed: number of the repetition.
    """

    setting: Strengths
    wrong: jax.Array
    seed: jax.Array


def methods(config: Settings) -> dict[str, tuple[str, tuple[float, ...]]]:
    """For each method, its field of `Strengths` and the values of λ."""
    return {
        "coupled L1": ("coupled_l1", config.l1),
        "decoupled L1": ("decoupled_l1", config.decoupled_l1),
        "proximal L1": ("proximal_l1", config.l1),
        "coupled L2": ("coupled_l2", config.l2),
        "decoupled L2": ("decoupled_l2", config.decay),
    }


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every network.

    Returns:
        Metrics of `experiments.training.evaluate` along (method, level, wrong, seed), with the
        coordinate `strength` (method, level); the counts of `count_varying` and the results of
        `proportion.proportion`; and the kernels of seed 0 with correct labels, `weights` (method,
        level, weight), with the coordinate `weight_layer`.
    """
    rows = datasets.digits()
    widths = (rows.inputs.shape[1], *config.hidden, 10)
    settings, places, levels = settings_of(methods(config))
    grid = jaxreg.grid(setting=settings, wrong=list(config.wrong), seed=range(config.seeds))
    runs = session.sweep(functools.partial(train_network, widths=widths, config=config), grid, rows)
    outputs = runs.outputs
    weights = outputs.pop("weights")
    outputs |= proportion(weights) | {"diverged": runs.diverged}
    dataset = along_levels(
        outputs, places, levels, ("wrong", "seed"), {"wrong": list(config.wrong)}
    )
    correct_labels = weights[:, list(config.wrong).index(0), 0]
    dataset = dataset.assign(weights=(("method", "level", "weight"), correct_labels[places]))
    dataset = dataset.assign_coords(
        weight_layer=("weight", layers_of(widths)), seed=range(config.seeds)
    )
    return described(dataset, TEXTS)


def train_network(
    key: jax.Array, run: Run, rows: datasets.Rows, widths: tuple[int, ...], config: Settings
) -> dict[str, jax.Array]:
    """Splits the rows, trains one network and evaluates it."""
    split_key, label_key, model_key, order_key = jax.random.split(key, 4)
    names = ("train", "validation", "test")
    parts = dict(
        zip(names, split(split_key, rows, [config.train_size, config.validation_size]), strict=True)
    )
    parts["train"] = mislabelled(label_key, parts["train"], run["wrong"])
    structure, params = networks.initial(widths, model_key)
    make = functools.partial(optimizer, run["setting"])
    params = train_params(structure, params, make, order_key, parts["train"], config.training)
    metrics = evaluate(structure, params, charged(run["setting"]), parts)
    counts = count_varying(kernels_of(params), parts["train"])
    counts = {
        name: jnp.where(jnp.isfinite(metrics["train_loss"]), count, jnp.nan)
        for name, count in counts.items()
    }
    return {**metrics, **counts, "weights": weights_of(params)}


def count_varying(kernels: list[jax.Array], rows: datasets.Rows) -> dict[str, jax.Array]:
    """Counts weights and exact zeros, without the weights of pixels that are constant over the
    rows.

    A pixel that is always black gives its weights no gradient, so only the penalty moves them. Its
    steps shrink with the learning rate, and one of them can end exactly at 0 with any method.

    Args:
        kernels: of the network, (in, out) each.
        rows: training rows.

    Returns:
        `varying_weights` and `varying_zeros`, the number of weights and of zeros among them, as
        float32 scalars.
    """
    varies = jnp.ptp(rows.inputs, 0) > 0
    first, *others = kernels
    weights = jnp.sum(varies) * first.shape[1] + sum(kernel.size for kernel in others)
    zeros = jnp.sum((first == 0) & varies[:, None]) + sum(jnp.sum(kernel == 0) for kernel in others)
    return {
        "varying_weights": weights.astype(jnp.float32),
        "varying_zeros": zeros.astype(jnp.float32),
    }


def correctly_labelled(dataset: xr.Dataset) -> xr.Dataset:
    """The networks trained on correct labels."""
    return dataset.sel(wrong=0.0)


STEPS = 4000
"""Adam steps for each problem."""


def solve_designs(settings: Settings, _: Session) -> xr.Dataset:
    """Solves ridge regression on every design.

    Returns:
        `deviation` along `design`: the largest difference from the closed form.
    """
    deviation = orthonormal_deviation(settings.ridge)
    text = "largest deviation of a shrinkage factor from 1/(1 + 2λ)"
    return xr.Dataset({"deviation": ("design", deviation, {"long_name": text, "units": "1"})})


def orthonormal_deviation(config: Ridge) -> np.ndarray:
    """Compares `prox_adam` and squared L2 with the closed form of ridge regression on orthonormal
    designs.

    The loss is ½‖y − Xw‖² with XᵀX = 1. Its minimiser is Xᵀy, and with the penalty λΣw² it is
    Xᵀy/(1 + 2λ). The problems are solved in float64 for λ from 0.01 to 100.

    Args:
        config: number and size of the designs.

    Returns:
        The largest |w/(Xᵀy) − 1/(1 + 2λ)| over all weights and strengths, for each design:
        (designs,).
    """
    strengths = np.logspace(-2, 2, 9)
    generator = np.random.default_rng(0)
    shape = (config.seeds, config.rows, min(10, config.rows))
    inputs = np.linalg.qr(generator.standard_normal(shape))[0]
    targets = generator.standard_normal((config.seeds, config.rows))
    with jax.enable_x64(True):
        solve = jax.jit(jax.vmap(lambda x, y: ridge_by_adam(x, y, jnp.asarray(strengths), STEPS)))
        factors = (
            np.asarray(solve(inputs, targets))
            / np.einsum("srf,sr->sf", inputs, targets)[:, None, :]
        )
    return np.max(np.abs(factors - 1 / (1 + 2 * strengths)[:, None]), (1, 2))


def ridge_by_adam(
    inputs: jax.Array, targets: jax.Array, strengths: jax.Array, steps: int
) -> jax.Array:
    """Minimises ½‖y − Xw‖² + λΣw² by `prox_adam`, starting at w = 0.

    Args:
        inputs: X, (rows, features).
        targets: y, (rows,).
        strengths: the λ, (strengths,).
        steps: number of steps.

    Returns:
        The weights, (strengths, features).
    """

    def solve(strength: jax.Array) -> jax.Array:
        tx = jaxreg.prox_adam(optax.cosine_decay_schedule(3e-2, steps), jaxreg.SquaredL2(strength))

        def step(
            carry: tuple[jax.Array, optax.OptState], _: None
        ) -> tuple[tuple[jax.Array, optax.OptState], None]:
            w, state = carry
            updates, state = tx.update(inputs.T @ (inputs @ w - targets), state, w)
            return (optax.apply_updates(w, updates), state), None

        start = jnp.zeros(inputs.shape[1], inputs.dtype)
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
        return w

    return jax.vmap(solve)(strengths)


ALL = 95.0
"""Percent of the weights that must have a property before nearly all weights are said to have
it.
"""


def zeros(results: Results) -> list[Finding]:
    """Exact zeros against λ, for three methods of applying L1."""
    trained = correctly_labelled(results["strength"])
    share = 100 * trained["zero_fraction"]
    proximal = share.sel({"method": "proximal L1"}).transpose("level", "seed").values
    findings = [
        increasing(
            "Proximal L1 sets weights exactly to 0, and more of them at every larger λ.",
            "Increase of the share of kernel weights that are exactly 0, from each λ to the next "
            "larger one, starting at "
            f"λ = 0 ({proximal[1].mean():.1f} % are 0 at the smallest λ > 0, "
            f"{proximal[-1].mean():.1f} % at the largest)",
            proximal,
            "points",
        )
    ]
    findings += [
        no_zeros(
            trained,
            method,
            f"The {method.split()[0]} subgradient of the same penalty makes no weight exactly 0.",
        )
        for method in ("coupled L1", "decoupled L1")
    ]
    return findings


def no_zeros(trained: xr.Dataset, method: str, statement: str) -> Finding:
    """Tests that a method makes no weight exactly zero.

    Weights of pixels that are constant over the training rows are left out of the test and counted
    in its text.

    Args:
        trained: one share of wrong labels.
        method: name of the method.
        statement: the claim, in a sentence.
    """
    penalised = trained.sel({"method": method}).isel(level=slice(1, None))
    size = int(trained.sizes["weight"])
    others = round(float((penalised["zero_fraction"] * size - penalised["varying_zeros"]).sum()))
    tested = (
        f"All kernel weights of the networks trained with {method}, for every λ > 0 and seed, "
        "without the weights of pixels "
        "that are constant over the training rows, because only the penalty moves those "
        f"({others} of them are 0)"
    )
    counts = penalised["varying_weights"]
    each = round(float(counts.mean())) if np.isfinite(counts).any() else size
    return none_of(statement, tested, penalised["varying_zeros"].values, each, "weights are 0")


def shrinkage(results: Results) -> list[Finding]:
    """L2 makes no weight zero, all weights smaller, and all by the same factor."""
    deviation = float(results["ridge"]["deviation"].max(skipna=False))
    findings = [
        within(
            "On an orthonormal design, L2 multiplies every weight by 1/(1 + 2λ).",
            "Ridge regression, ½‖y − Xw‖² + λΣw², solved by prox_adam in float64 for λ from 0.01 "
            "to 100 and compared with "
            "this formula",
            deviation,
            1e-9,
            "largest deviation of a factor",
        ),
        no_zeros(
            correctly_labelled(results["strength"]),
            "coupled L2",
            "L2 makes no weight of a network exactly 0.",
        ),
    ]
    for method in ("coupled L2", "decoupled L2"):
        findings += proportional_shrinkage(results["strength"], method)
    return findings


def proportional_shrinkage(dataset: xr.Dataset, method: str) -> list[Finding]:
    """Whether nearly all weights shrink, and whether they shrink by the same factor, at the λ where
    one factor fits best.
    """
    level = most_proportional(dataset, method)
    trained = correctly_labelled(dataset).sel({"method": method}).isel(level=level).where(level > 0)
    at = (
        f"{method} with Adam, λ = {float(trained['strength']):g}: among the λ that reduce the "
        "norm by at least a tenth, "
        f"the one where a common factor fits best (c = {float(trained['factor'].mean()):.2f}, R² "
        "= "
        f"{float(trained['explained'].mean()):.2f})"
    )
    return [
        above(
            f"L2 makes nearly every weight of a network smaller ({method}).",
            "Share of weights with |w| below that of the same seed's unpenalised network, above "
            f"{ALL:.0f} %. {at}",
            100 * trained["smaller"].values,
            ALL,
            "%",
        ),
        above(
            f"L2 shrinks nearly all weights of a network by the same factor ({method}).",
            "Share of weights within 10 % of c·w₀, where w₀ is the unpenalised weight, above "
            f"{ALL:.0f} %. {at}",
            100 * trained["near_factor"].values,
            ALL,
            "%",
        ),
    ]


def norm(results: Results) -> list[Finding]:
    """A larger λ gives a smaller norm."""
    findings = []
    for method, measure, symbol in (
        ("proximal L1", "absolute_sum", "Σ|w|"),
        ("coupled L2", "norm", "‖w‖"),
        ("decoupled L2", "norm", "‖w‖"),
    ):
        values = (
            correctly_labelled(results["strength"])[measure]
            .sel({"method": method})
            .transpose("level", "seed")
        )
        findings.append(
            increasing(
                f"A larger λ of {method} makes {symbol} smaller.",
                f"Decrease of {symbol} from each λ to the next larger one, in percent of the "
                f"unpenalised network's {symbol}",
                (-100 * values / values.isel(level=0)).values,
                "%",
            )
        )
    return findings


def overfitting(results: Results) -> list[Finding]:
    """The gap, the test accuracy and the test loss at the λ chosen on validation data, compared
    with λ = 0.
    """
    dataset = results["strength"]
    findings = []
    for wrong in dataset["wrong"].values:
        labels = "correct labels" if wrong == 0 else f"{100 * wrong:.0f} % wrong training labels"
        for method, name in (("proximal L1", "L1"), ("coupled L2", "L2")):
            findings += less_overfitting(
                dataset.sel({"wrong": wrong, "method": method}), name, labels
            )
    return findings


def less_overfitting(trained: xr.Dataset, name: str, labels: str) -> list[Finding]:
    """Three tests of one method on one share of wrong labels: the gap, the test accuracy and the
    test loss.
    """
    by_accuracy = best_level(trained, "validation_accuracy")
    by_loss = best_level(trained, "validation_loss", largest=False)
    return [
        below(
            f"{name} narrows the gap between training and test accuracy ({labels}).",
            "Absolute gap at the λ with the best validation loss, minus the absolute gap at λ = "
            "0; training accuracy is "
            "measured against the labels used for training",
            100 * against_zero(abs(trained["gap"]), by_loss),
            unit="points",
            sign=True,
        ),
        above(
            f"{name} at its best λ > 0 has a higher test accuracy than λ = 0 ({labels}).",
            "Test accuracy at the λ with the best validation accuracy, minus test accuracy at λ = "
            "0",
            100 * against_zero(trained["test_accuracy"], by_accuracy),
            unit="points",
            sign=True,
        ),
        below(
            f"{name} at its best λ > 0 has a lower test loss than λ = 0 ({labels}).",
            "Test cross-entropy at the λ with the best validation loss, minus test cross-entropy "
            "at λ = 0",
            against_zero(trained["test_loss"], by_loss),
            unit="nats",
            digits=3,
            sign=True,
        ),
    ]


def against_zero(metric: xr.DataArray, level: xr.DataArray) -> np.ndarray:
    """A metric at the chosen level minus its value at λ = 0, for each seed."""
    return np.asarray(metric.isel(level=level) - metric.isel(level=0))


def draw_zeros(results: Results) -> Figure:
    """Share of exact zeros against λ, for three methods of applying L1."""
    figure = new_figure(7.4, 3.6)
    axes = figure.subplots()
    trained = correctly_labelled(results["strength"])
    markers = {"decoupled L1": "^", "coupled L1": "s", "proximal L1": "o"}
    zero = zero_of(trained["strength"].sel({"method": list(markers)}))
    for method, marker in markers.items():
        against_strength(
            axes, trained.sel({"method": method}), "zero_fraction", method, 100, zero, marker=marker
        )
    axes.set(ylabel="weights exactly 0, %", ylim=(-4, 104))
    axes.legend(frameon=False, loc="center left")
    axes.set_title("exact zeros, three methods of applying L1", fontsize=11)
    return figure


def draw_shrinkage(results: Results) -> Figure:
    """Weights with coupled L2 against weights without penalty, and the shares that shrink and that
    follow one factor.
    """
    figure = new_figure(8.4, 3.9)
    left, right = figure.subplots(1, 2)
    trained = correctly_labelled(results["strength"]).sel({"method": "coupled L2"})
    level = most_proportional(results["strength"], "coupled L2")
    first = results["strength"]["weight_layer"].values == 0
    before, after = (trained["weights"].isel(level=at).values[first] for at in (0, level))
    reach = largest_of(before)
    factor = float(np.dot(before, after) / np.dot(before, before))
    left.plot(before, after, ".", ms=2, color=COLOURS["L2"], alpha=0.4, rasterized=True)
    left.plot(
        [-reach, reach],
        [-factor * reach, factor * reach],
        color="k",
        lw=1.2,
        label=f"in proportion: {factor:.2f}·w",
    )
    left.axline((0, 0), slope=1, color="#999999", lw=1, ls=":", label="unchanged")
    left.set(
        xlabel="weight without penalty",
        ylabel=f"weight with L2, λ = {float(trained['strength'][level]):.2g}",
    )
    left.legend(frameon=False, fontsize=9, loc="upper left")
    left.set_title(f"{before.size:,} weights of the first layer, seed 0", fontsize=10)
    against_strength(
        right, trained, "near_factor", "within 10 % of one factor", 100, color=COLOURS["L2"]
    )
    against_strength(
        right,
        trained,
        "smaller",
        "smaller than without penalty",
        100,
        color="#444444",
        marker="s",
        ls="--",
    )
    right.set(ylabel="share of the weights, %", ylim=(-4, 104))
    right.legend(frameon=False, fontsize=9)
    right.set_title("all weights, coupled L2", fontsize=10)
    return figure


def draw_norm(results: Results) -> Figure:
    """Norms against λ, in percent of the unpenalised network's norm."""
    figure = new_figure(8.4, 3.6)
    trained = correctly_labelled(results["strength"])
    panels = figure.subplots(1, 2, sharey=True)
    for axes, methods in zip(
        panels, (("proximal L1", "coupled L1"), ("coupled L2", "decoupled L2")), strict=True
    ):
        zero = zero_of(trained["strength"].sel({"method": list(methods)}))
        for method in methods:
            selected = trained.sel({"method": method})
            for name, symbol, dashes, marker in (
                ("absolute_sum", "Σ|w|", "-", "o"),
                ("norm", "‖w‖", "--", "s"),
            ):
                relative = selected.assign({name: selected[name] / selected[name].isel(level=0)})
                style = {"color": COLOURS[method], "ls": dashes, "marker": marker, "alpha": 0.85}
                against_strength(axes, relative, name, f"{method}, {symbol}", 100, zero, **style)
        axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    panels[0].set(ylabel="norm, % of the unpenalised network's", ylim=(-4, 108))
    return figure


def draw_overfitting(results: Results) -> Figure:
    """Training and test accuracy, and test loss, against λ, for correct and for wrong labels."""
    trained = results["strength"]
    shares = trained["wrong"].values
    zero = zero_of(trained["strength"].sel({"method": ["proximal L1", "coupled L2"]}))
    figure = new_figure(8.4, 3.0 * len(shares))
    rows = np.atleast_2d(figure.subplots(len(shares), 2))
    for (left, right), share in zip(rows, shares, strict=True):
        for method, marker in (("proximal L1", "o"), ("coupled L2", "s")):
            selected = trained.sel({"wrong": share, "method": method})
            style = {"color": COLOURS[method], "marker": marker}
            against_strength(left, selected, "test_accuracy", f"{method}, test", 100, zero, **style)
            against_strength(
                left,
                selected,
                "train_accuracy",
                f"{method}, training",
                100,
                zero,
                **style,
                ls=":",
                alpha=0.6,
            )
            against_strength(right, selected, "test_loss", f"{method}, test", 1, zero, **style)
        lowest = 100 * float(
            trained.sel(wrong=share)["test_accuracy"].isel(level=0, method=0).mean()
        )
        left.set(ylabel="accuracy, %", ylim=(lowest - 14 if np.isfinite(lowest) else 0, 101.5))
        right.set(ylabel="cross-entropy, nats", yscale="log")
        labels = "correct labels" if share == 0 else f"{100 * share:.0f} % wrong training labels"
        left.set_title(f"accuracy, {labels}", fontsize=10)
        right.set_title(f"test loss, {labels}", fontsize=10)
    rows[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


CLAIMS = (
    Claim(
        "zeros",
        "L1 gives exact zeros",
        "L1 drives weights to exactly zero, more of them as λ grows.",
        zeros,
        draw_zeros,
        "Share of kernel weights that are exactly 0 (vertical) against the strength λ "
        "(horizontal, logarithmic, λ = 0 at "
        "the left end), for networks on the digits. Each colour is one method of applying the "
        "same L1 penalty; markers are "
        "means over the seeds, error bars 95 % intervals. A method sets weights exactly to zero "
        "only if its line leaves 0. "
        "The λ of decoupled L1 has another scale, since Adam's preconditioner D does not divide "
        "it.",
    ),
    Claim(
        "shrinkage",
        "L2 shrinks weights without zeros",
        "L2 makes all weights smaller, by the same factor, and none zero.",
        shrinkage,
        draw_shrinkage,
        "Left: each dot is a first-layer weight, with coupled L2 (vertical) against without "
        "penalty (horizontal), for seed "
        "0 and the tested λ. If all weights shrank by the same factor, all dots would lie on the "
        "black line; on the dotted "
        "line weights are unchanged. Right: share of all weights (vertical) against λ "
        "(horizontal, λ = 0 at the left end); "
        "blue dots: weights within 10 % of one common factor, grey squares: weights smaller than "
        "without penalty. Means "
        "over the seeds with 95 % intervals.",
    ),
    Claim(
        "norm",
        "A larger λ gives a smaller norm",
        "The larger λ is, the smaller the norm of the weights.",
        norm,
        draw_norm,
        "Norm of all kernels in percent of the unpenalised network's (vertical) against λ "
        "(horizontal, λ = 0 at the left "
        "end), for networks on the digits; left methods of applying L1, right methods of applying "
        "L2. Each colour is a "
        "method; solid lines with dots show Σ|w|, dashed lines with squares ‖w‖. Means over the "
        "seeds with 95 % intervals. "
        "Each line should fall at every step.",
    ),
    Claim(
        "overfitting",
        "Both penalties reduce overfitting",
        "Both reduce overfitting: a well chosen λ narrows the gap between training and test "
        "accuracy and predicts better.",
        overfitting,
        draw_overfitting,
        "Left: accuracy on test rows (solid) and training rows (dotted); right: cross-entropy on "
        "test rows; both against λ "
        "(horizontal, λ = 0 at the left end). Top row: correct labels; below: some of the "
        "training labels are wrong. "
        "Orange dots: proximal L1; blue squares: coupled L2. Means over the seeds with 95 % "
        "intervals. Regularization "
        "helps where the test accuracy is above, or the test loss below, its value at λ = 0.",
    ),
)


STUDY = Study(
    name="strength",
    summary="Zeros, norms and overfitting as λ grows",
    description="Tests four claims on networks trained on scikit-learn's digits: L1 gives exact "
    "zeros; L2 shrinks all weights and makes none zero; a larger λ makes the norm smaller; both "
    "penalties reduce overfitting.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"strength": train_networks, "ridge": solve_designs},
    claims=CLAIMS,
    suite="claims",
)
