"""The effects of a growing λ on a network, on the digits: zeros, smaller norms and less
overfitting.

The sweep is setting (a method and its λ, or no penalty) × share of wrong training labels × seed, in
one compiled program. Level 0 of every method is λ = 0, where all methods share the same networks.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from experiments import datasets, training
from experiments.claims import Finding, above, below, increasing, none_of, within
from experiments.figures import COLOURS, against_strength, largest_of, new_figure, zero_of
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Figure, jax, jaxreg, jnp, networks, optax, xr
from experiments.selection import best_level
from experiments.settings import Training, at_least, require, same_length, strengths


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
TEXTS = {
    "varying_weights": ("kernel weights, without those of constant pixels", "count"),
    "varying_zeros": ("exact zeros, without weights of constant pixels", "count"),
    "factor": ("the c that minimises ‖w − c·w₀‖, with w₀ the unpenalised network", "1"),
    "explained": ("share of ‖w‖² explained by c·w₀", "1"),
    "near_factor": ("share of weights whose own factor is within 10 % of c", "1"),
    "smaller": ("share of weights with |w| < |w₀|", "1"),
}


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every network.

    Returns:
        Metrics of `experiments.training.evaluate` along (method, level, wrong, seed), with the
        coordinate `strength` (method, level); the counts of `count_varying` and the results of
        `proportion`; and the kernels of seed 0 with correct labels, `weights` (method, level,
        weight), with the coordinate `weight_layer`.
    """
    rows, wrong = datasets.digits(), list(config.wrong)
    widths = (rows.inputs.shape[1], *config.hidden, 10)
    settings, places, levels = training.settings_of(
        {
            "coupled L1": ("coupled_l1", config.l1),
            "decoupled L1": ("decoupled_l1", config.decoupled_l1),
            "proximal L1": ("proximal_l1", config.l1),
            "coupled L2": ("coupled_l2", config.l2),
            "decoupled L2": ("decoupled_l2", config.decay),
        }
    )
    grid = jaxreg.grid(setting=settings, wrong=wrong, seed=range(config.seeds))
    runs = session.sweep(functools.partial(train_network, widths=widths, config=config), grid, rows)
    outputs = dict(runs.outputs)
    weights = outputs.pop("weights")
    outputs |= proportion(weights) | {"diverged": runs.diverged}
    coords = {
        "wrong": wrong,
        "seed": range(config.seeds),
        "weight_layer": ("weight", training.layers_of(widths)),
    }
    dataset = training.along_levels(outputs, places, levels, ("wrong", "seed"), coords)
    correctly_labelled = weights[places, wrong.index(0), 0]
    dataset = dataset.assign(weights=(("method", "level", "weight"), correctly_labelled))
    return training.described(dataset, TEXTS)


def train_network(
    key: jax.Array, run: Any, rows: datasets.Rows, widths: tuple[int, ...], config: Settings
) -> dict[str, jax.Array]:
    """Splits the rows, trains one network and evaluates it.

    Args:
        key: random key of the run.
        run: its `setting`, the strengths of its penalties, and its share of `wrong` labels.
        rows: the digits.
        widths: of the layers.
        config: sizes, and how the network is trained.
    """
    split_key, label_key, model_key, order_key = jax.random.split(key, 4)
    sizes = [config.train_size, config.validation_size]
    train, validation, test = training.split(split_key, rows, sizes)
    train = training.mislabelled(label_key, train, run["wrong"])
    structure, params = networks.initial(widths, model_key)
    make = functools.partial(training.optimizer, run["setting"])
    params = training.train_params(structure, params, make, order_key, train, config.training)
    penalty = training.charged(run["setting"])
    parts = {"train": train, "validation": validation, "test": test}
    metrics = training.evaluate(structure, params, penalty, parts)
    counts = count_varying(training.kernels_of(params), train)
    counts = training.unless_diverged(metrics["train_loss"], counts)
    return {**metrics, **counts, "weights": training.weights_of(params)}


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
    varying = [jnp.broadcast_to(jnp.ptp(rows.inputs, 0)[:, None] > 0, kernels[0].shape)]
    varying += [jnp.ones(kernel.shape, bool) for kernel in kernels[1:]]
    zeros = [(kernel == 0) & counted for kernel, counted in zip(kernels, varying, strict=True)]
    return {
        name: jnp.stack([jnp.sum(mask) for mask in masks]).sum().astype(jnp.float32)
        for name, masks in (("varying_weights", varying), ("varying_zeros", zeros))
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
    deviation = np.abs(weights - fitted)
    # If every weight is 0, there is nothing to explain: avoid 0/0.
    squares = np.maximum(np.sum(weights**2, -1), np.finfo(np.float32).tiny)
    return {
        "factor": factor,
        "explained": 1 - np.sum(deviation**2, -1) / squares,
        "near_factor": (deviation <= NEAR * np.abs(fitted)).mean(-1),
        "smaller": (np.abs(weights) < np.abs(start)).mean(-1),
    }


def solve_designs(settings: Settings, _: Session) -> xr.Dataset:
    """Compares `prox_adam` and squared L2 with the closed form of ridge regression on random
    orthonormal designs.

    The loss is ½‖y − Xw‖² with XᵀX = 1. Its minimiser is Xᵀy, and with the penalty λΣw² it is
    Xᵀy/(1 + 2λ). The problems are solved in float64 for λ from 0.01 to 100.

    Returns:
        `deviation` along `design`: the largest |w/(Xᵀy) − 1/(1 + 2λ)| over all weights and λ.
    """
    config, penalties = settings.ridge, np.logspace(-2, 2, 9)
    generator = np.random.default_rng(0)
    inputs = np.linalg.qr(generator.standard_normal((config.seeds, config.rows, 10)))[0]
    targets = generator.standard_normal((config.seeds, config.rows))
    with jax.enable_x64(True):
        for_all = jax.vmap(jax.vmap(ridge_by_adam, (None, None, 0)), (0, 0, None))
        weights = np.asarray(jax.jit(for_all)(inputs, targets, penalties))
    factors = weights / np.einsum("srf,sr->sf", inputs, targets)[:, None]
    deviation = np.max(np.abs(factors - 1 / (1 + 2 * penalties)[:, None]), (1, 2))
    text = "largest deviation of a shrinkage factor from 1/(1 + 2λ)"
    return xr.Dataset({"deviation": ("design", deviation, {"long_name": text, "units": "1"})})


def ridge_by_adam(
    inputs: jax.Array, targets: jax.Array, strength: jax.Array, steps: int = 4000
) -> jax.Array:
    """Minimises ½‖y − Xw‖² + λΣw² by `prox_adam`, starting at w = 0.

    Args:
        inputs: X, (rows, features).
        targets: y, (rows,).
        strength: λ.
        steps: number of steps.

    Returns:
        The weights, (features,).
    """
    tx = jaxreg.prox_adam(optax.cosine_decay_schedule(3e-2, steps), jaxreg.SquaredL2(strength))

    def step(carry: tuple[jax.Array, Any], _: None) -> tuple[tuple[jax.Array, Any], None]:
        w, state = carry
        updates, state = tx.update(inputs.T @ (inputs @ w - targets), state, w)
        return (optax.apply_updates(w, updates), state), None

    start = jnp.zeros(inputs.shape[1], inputs.dtype)
    (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return w


ALL = 95.0
"""Percent of the weights that must have a property before nearly all weights are said to have
it.
"""


def correctly_labelled(results: Results) -> xr.Dataset:
    """The networks trained on correct labels, with the axes (method, level, seed) last."""
    return results["strength"].sel(wrong=0.0).transpose(..., "level", "seed")


def most_proportional(trained: xr.Dataset, method: str) -> int:
    """Finds the λ at which a method's shrinkage comes closest to one common factor.

    Args:
        trained: networks trained on correct labels.
        method: name of the method.

    Returns:
        The level with the largest mean share of ‖w‖² explained, among the levels above 0 whose mean
        norm is at most `SHRUNK` of the unpenalised one; 0 if there is none.
    """
    means = trained[["norm", "explained"]].sel({"method": method}).mean("seed", skipna=False)
    ratio = means["norm"] / means["norm"].isel(level=0)
    eligible = (ratio <= SHRUNK) & (ratio > 0) & (np.arange(means.sizes["level"]) > 0)
    return int(means["explained"].where(eligible).fillna(-1).argmax("level"))


def zeros(results: Results) -> list[Finding]:
    """Exact zeros against λ, for three methods of applying L1."""
    trained = correctly_labelled(results)
    proximal = 100 * trained["zero_fraction"].sel({"method": "proximal L1"}).values
    more = "Proximal L1 sets weights exactly to 0, and more of them at every larger λ."
    tested = (
        "Increase of the share of kernel weights that are exactly 0, from each λ to the next "
        f"larger one, starting at λ = 0 ({proximal[1].mean():.1f} % are 0 at the smallest λ > 0, "
        f"{proximal[-1].mean():.1f} % at the largest)"
    )
    findings = [increasing(more, tested, proximal, "points")]
    for way in ("coupled", "decoupled"):
        statement = f"The {way} subgradient of the same penalty makes no weight exactly 0."
        findings.append(no_zeros(trained, f"{way} L1", statement))
    return findings


def no_zeros(trained: xr.Dataset, method: str, statement: str) -> Finding:
    """Tests that a method makes no weight exactly zero.

    Weights of pixels that are constant over the training rows are left out of the test and counted
    in its text.

    Args:
        trained: networks trained on correct labels.
        method: name of the method.
        statement: the claim, in a sentence.
    """
    penalised = trained.sel({"method": method}).isel(level=slice(1, None))
    size, counts = int(trained.sizes["weight"]), penalised["varying_weights"]
    others = round(float((penalised["zero_fraction"] * size - penalised["varying_zeros"]).sum()))
    tested = (
        f"All kernel weights of the networks trained with {method}, for every λ > 0 and seed, "
        "without the weights of pixels that are constant over the training rows, because only the "
        f"penalty moves those ({others} of them are 0)"
    )
    each = round(float(counts.mean())) if np.isfinite(counts).any() else size
    return none_of(statement, tested, penalised["varying_zeros"].values, each, "weights are 0")


def shrinkage(results: Results) -> list[Finding]:
    """L2 makes no weight zero, all weights smaller, and all by the same factor, at the λ where one
    factor fits best.
    """
    labelled = correctly_labelled(results)
    scaled = "On an orthonormal design, L2 multiplies every weight by 1/(1 + 2λ)."
    solved = (
        "Ridge regression, ½‖y − Xw‖² + λΣw², solved by prox_adam in float64 for λ from 0.01 to "
        "100 and compared with this formula"
    )
    deviation = float(results["ridge"]["deviation"].max(skipna=False))
    findings = [
        within(scaled, solved, deviation, 1e-9, "largest deviation of a factor"),
        no_zeros(labelled, "coupled L2", "L2 makes no weight of a network exactly 0."),
    ]
    smaller = "with |w| below that of the same seed's unpenalised network"
    near = "within 10 % of c·w₀, where w₀ is the unpenalised weight"
    for method in ("coupled L2", "decoupled L2"):
        level = most_proportional(labelled, method)
        trained = labelled.sel({"method": method}).isel(level=level).where(level > 0)
        at = (
            f"above {ALL:.0f} %. {method} with Adam, λ = {float(trained['strength']):g}: among the "
            "λ that reduce the norm by at least a tenth, the one where a common factor fits best "
            f"(c = {float(trained['factor'].mean()):.2f}, "
            f"R² = {float(trained['explained'].mean()):.2f})"
        )
        for name, statement, which in (
            ("smaller", "L2 makes nearly every weight of a network smaller", smaller),
            ("near_factor", "L2 shrinks nearly all weights of a network by the same factor", near),
        ):
            statement, tested = f"{statement} ({method}).", f"Share of weights {which}, {at}"
            findings.append(above(statement, tested, 100 * trained[name].values, ALL, "%"))
    return findings


def norm(results: Results) -> list[Finding]:
    """A larger λ gives a smaller norm."""
    findings = []
    for method, measure, symbol in (
        ("proximal L1", "absolute_sum", "Σ|w|"),
        ("coupled L2", "norm", "‖w‖"),
        ("decoupled L2", "norm", "‖w‖"),
    ):
        values = correctly_labelled(results)[measure].sel({"method": method}).values
        tested = (
            f"Decrease of {symbol} from each λ to the next larger one, in percent of the "
            f"unpenalised network's {symbol}"
        )
        statement = f"A larger λ of {method} makes {symbol} smaller."
        findings.append(increasing(statement, tested, -100 * values / values[0], "%"))
    return findings


def labels_text(wrong: float) -> str:
    """The training labels in words."""
    return "correct labels" if wrong == 0 else f"{100 * wrong:.0f} % wrong training labels"


def overfitting(results: Results) -> list[Finding]:
    """The gap, the test accuracy and the test loss at the λ chosen on validation data, compared
    with λ = 0.
    """
    gap = (
        "Absolute gap at the λ with the best validation loss, minus the absolute gap at λ = 0; "
        "training accuracy is measured against the labels used for training"
    )
    at_best = "at the λ with the best validation"
    accuracy = f"Test accuracy {at_best} accuracy, minus test accuracy at λ = 0"
    loss = f"Test cross-entropy {at_best} loss, minus test cross-entropy at λ = 0"
    findings = []
    for wrong in results["strength"]["wrong"].values:
        for method in ("proximal L1", "coupled L2"):
            runs = results["strength"].sel({"wrong": wrong, "method": method})
            name, labels = method.split()[1], labels_text(wrong)
            by_loss = best_level(runs, "validation_loss", largest=False)
            by_accuracy = best_level(runs, "validation_accuracy")
            gaps, accuracies, losses = (
                np.asarray(metric.isel(level=level) - metric.isel(level=0))
                for metric, level in (
                    (100 * abs(runs["gap"]), by_loss),
                    (100 * runs["test_accuracy"], by_accuracy),
                    (runs["test_loss"], by_loss),
                )
            )
            narrower = f"{name} narrows the gap between training and test accuracy ({labels})."
            higher = f"{name} at its best λ > 0 has a higher test accuracy than λ = 0 ({labels})."
            lower = f"{name} at its best λ > 0 has a lower test loss than λ = 0 ({labels})."
            findings += [
                below(narrower, gap, gaps, unit="points"),
                above(higher, accuracy, accuracies, unit="points"),
                below(lower, loss, losses, unit="nats", digits=3, sign=True),
            ]
    return findings


def draw_zeros(results: Results) -> Figure:
    """Share of exact zeros against λ, for three methods of applying L1."""
    figure = new_figure(7.4, 3.6)
    axes = figure.subplots()
    markers = {"decoupled L1": "^", "coupled L1": "s", "proximal L1": "o"}
    trained = correctly_labelled(results).sel({"method": list(markers)})
    zero = zero_of(trained["strength"])
    for method, marker in markers.items():
        runs = trained.sel({"method": method})
        against_strength(axes, runs, "zero_fraction", method, 100, zero, marker=marker)
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
    level = most_proportional(correctly_labelled(results), "coupled L2")
    trained, blue = correctly_labelled(results).sel({"method": "coupled L2"}), COLOURS["L2"]
    weights = trained["weights"].isel(weight=trained["weight_layer"].values == 0)
    before, after = (weights.isel(level=at).values for at in (0, level))
    factor = float(np.dot(before, after) / np.dot(before, before))
    ends = largest_of(before) * np.array([-1, 1])
    left.plot(before, after, ".", ms=2, color=blue, alpha=0.4, rasterized=True)
    left.plot(ends, factor * ends, color="k", lw=1.2, label=f"in proportion: {factor:.2f}·w")
    left.axline((0, 0), slope=1, color="#999999", lw=1, ls=":", label="unchanged")
    penalised = f"weight with L2, λ = {float(trained['strength'][level]):.2g}"
    left.set(xlabel="weight without penalty", ylabel=penalised)
    left.legend(frameon=False, fontsize=9, loc="upper left")
    left.set_title(f"{before.size:,} weights of the first layer, seed 0", fontsize=10)
    for name, label, colour, marker, dashes in (
        ("near_factor", "within 10 % of one factor", blue, "o", "-"),
        ("smaller", "smaller than without penalty", "#444444", "s", "--"),
    ):
        style: dict[str, Any] = {"color": colour, "marker": marker, "ls": dashes}
        against_strength(right, trained, name, label, 100, **style)
    right.set(ylabel="share of the weights, %", ylim=(-4, 104))
    right.legend(frameon=False, fontsize=9)
    right.set_title("all weights, coupled L2", fontsize=10)
    return figure


def draw_norm(results: Results) -> Figure:
    """Norms against λ, in percent of the unpenalised network's norm."""
    figure = new_figure(8.4, 3.6)
    trained = correctly_labelled(results)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, ways, letter in (
        (left, ("proximal", "coupled"), "L1"),
        (right, ("coupled", "decoupled"), "L2"),
    ):
        methods = [f"{way} {letter}" for way in ways]
        zero = zero_of(trained["strength"].sel({"method": methods}))
        for method in methods:
            runs = trained.sel({"method": method})
            for name, symbol, dashes, marker in (
                ("absolute_sum", "Σ|w|", "-", "o"),
                ("norm", "‖w‖", "--", "s"),
            ):
                relative = runs.assign({name: runs[name] / runs[name].isel(level=0)})
                style = {"color": COLOURS[method], "ls": dashes, "marker": marker, "alpha": 0.85}
                against_strength(axes, relative, name, f"{method}, {symbol}", 100, zero, **style)
        axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    left.set(ylabel="norm, % of the unpenalised network's", ylim=(-4, 108))
    return figure


def draw_overfitting(results: Results) -> Figure:
    """Training and test accuracy, and test loss, against λ, for correct and for wrong labels."""
    trained = results["strength"].sel({"method": ["proximal L1", "coupled L2"]})
    zero, shares = zero_of(trained["strength"]), trained["wrong"].values
    figure = new_figure(8.4, 3.0 * len(shares))
    panels = figure.subplots(len(shares), 2, squeeze=False)
    for (left, right), share in zip(panels, shares, strict=True):
        for method, marker in (("proximal L1", "o"), ("coupled L2", "s")):
            runs = trained.sel({"wrong": share, "method": method})
            style: dict[str, Any] = {"color": COLOURS[method], "marker": marker}
            against_strength(right, runs, "test_loss", f"{method}, test", 1, zero, **style)
            against_strength(left, runs, "test_accuracy", f"{method}, test", 100, zero, **style)
            label, style = f"{method}, training", {**style, "ls": ":", "alpha": 0.6}
            against_strength(left, runs, "train_accuracy", label, 100, zero, **style)
        unpenalised = trained["test_accuracy"].sel(wrong=share).isel(level=0, method=0)
        lowest = 100 * float(unpenalised.mean())
        left.set(ylabel="accuracy, %", ylim=(lowest - 14 if np.isfinite(lowest) else 0, 101.5))
        right.set(ylabel="cross-entropy, nats", yscale="log")
        left.set_title(f"accuracy, {labels_text(share)}", fontsize=10)
        right.set_title(f"test loss, {labels_text(share)}", fontsize=10)
    panels[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


CLAIMS = (
    Claim(
        "zeros",
        "L1 gives exact zeros",
        "L1 drives weights to exactly zero, more of them as λ grows.",
        zeros,
        draw_zeros,
        "Share of kernel weights that are exactly 0 (vertical) against the strength λ (horizontal, "
        "logarithmic, λ = 0 at the left end), for networks on the digits. Each colour is one "
        "method of applying the same L1 penalty; markers are means over the seeds, error bars 95 % "
        "intervals. A method sets weights exactly to zero only if its line leaves 0. The λ of "
        "decoupled L1 has another scale, since Adam's preconditioner D does not divide it.",
    ),
    Claim(
        "shrinkage",
        "L2 shrinks weights without zeros",
        "L2 makes all weights smaller, by the same factor, and none zero.",
        shrinkage,
        draw_shrinkage,
        "Left: each dot is a first-layer weight, with coupled L2 (vertical) against without "
        "penalty (horizontal), for seed 0 and the tested λ. If all weights shrank by the same "
        "factor, all dots would lie on the black line; on the dotted line weights are unchanged. "
        "Right: share of all weights (vertical) against λ (horizontal, λ = 0 at the left end); "
        "blue dots: weights within 10 % of one common factor, grey squares: weights smaller than "
        "without penalty. Means over the seeds with 95 % intervals.",
    ),
    Claim(
        "norm",
        "A larger λ gives a smaller norm",
        "The larger λ is, the smaller the norm of the weights.",
        norm,
        draw_norm,
        "Norm of all kernels in percent of the unpenalised network's (vertical) against λ "
        "(horizontal, λ = 0 at the left end), for networks on the digits; left methods of applying "
        "L1, right methods of applying L2. Each colour is a method; solid lines with dots show "
        "Σ|w|, dashed lines with squares ‖w‖. Means over the seeds with 95 % intervals. Each line "
        "should fall at every step.",
    ),
    Claim(
        "overfitting",
        "Both penalties reduce overfitting",
        "Both reduce overfitting: a well chosen λ narrows the gap between training and test "
        "accuracy and predicts better.",
        overfitting,
        draw_overfitting,
        "Left: accuracy on test rows (solid) and training rows (dotted); right: cross-entropy on "
        "test rows; both against λ (horizontal, λ = 0 at the left end). Top row: correct labels; "
        "below: some of the training labels are wrong. Orange dots: proximal L1; blue squares: "
        "coupled L2. Means over the seeds with 95 % intervals. Regularization helps where the test "
        "accuracy is above, or the test loss below, its value at λ = 0.",
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
