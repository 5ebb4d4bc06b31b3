"""The main job: what L1 and L2 do to the weights of two networks.

A network on scikit-learn's digits is trained with four methods of regularization at several
strengths. A network on the wine data is small enough to draw: it is trained without a penalty, and
from those weights further with L1 or with L2. The figures show three of these small networks, the
player on the page shows all.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import datasets
from experiments.claims import mean_and_error
from experiments.figures import COLOURS, DPI, MARKERS, largest_of, new_figure
from experiments.lab import Picture, Results, Session, Study
from experiments.lazy import Axes, Figure, jax, jaxreg, networks, xr
from experiments.settings import Training, at_least, positive, require, same_length, strengths
from experiments.tables import Table
from experiments.training import (
    Strengths,
    accuracy,
    along_levels,
    charged,
    described,
    evaluate,
    kernels_of,
    layers_of,
    optimizer,
    settings_of,
    split,
    train_params,
    weights_of,
)


@dataclasses.dataclass(frozen=True)
class Grid:
    """The penalties and their strengths λ. The loss is the mean cross-entropy in nats."""

    seeds: int = 8
    """Number of repetitions, with seeds 0, 1, … Each has its own training split, initial weights
    and order of batches.
    """
    l1: tuple[float, ...] = strengths(1e-5, 1e-2, 10)
    """λ of λΣ|w|, for coupled and for proximal L1. `l1`, `l2` and `decay` need the same number of
    strengths.
    """
    l2: tuple[float, ...] = strengths(1e-5, 1e-1, 10)
    """λ of λΣw², for coupled L2."""
    decay: tuple[float, ...] = strengths(1e-3, 1e1, 10)
    """λ of decoupled L2, which is half of optax's weight_decay."""

    def __post_init__(self) -> None:
        at_least(self, seeds=1)
        same_length(self, "l1", "l2", "decay")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """The small network on the wine data, drawn as a graph. It is trained without a penalty, then
    further with one.
    """

    hidden: int = 8
    """Number of hidden units, between 13 inputs and 3 classes."""
    steps: int = 3000
    """Number of full-batch steps without the penalty, and the same number with it."""
    learning_rate: float = 1e-2
    """Adam's learning rate at the first step, without the penalty and again with it."""
    strengths: tuple[float, ...] = (
        1e-6, 3e-6, 1e-5, 1.8e-5, 3e-5, 5.6e-5, 1e-4, 1.8e-4, 3e-4, 5.6e-4,
        1e-3, 1.8e-3, 3e-3, 5.6e-3, 1e-2, 1.8e-2, 3e-2, 5.6e-2, 1e-1, 0.3, 1.0,
    )  # fmt: skip
    """λ of both penalties in the page's player, besides 0. The player ends at the first λ that sets
    every weight to 0.
    """
    l1: float = 3e-3
    """λ of proximal L1 in the figures; one of `strengths`."""
    l2: float = 1e-2
    """λ of coupled L2 in the figures; one of `strengths`."""
    seed: int = 0
    """Seed of the training split and of the initial weights."""

    def __post_init__(self) -> None:
        at_least(self, hidden=1, steps=1, seed=0)
        require(self.hidden <= 32, "hidden", "at most 32 units that can be drawn", self.hidden)
        positive(self, "learning_rate")
        same_length(self, "strengths")
        for name in ("l1", "l2"):
            value = getattr(self, name)
            expected = f"one of drawing.strengths {self.strengths}"
            require(value in self.strengths, f"drawing.{name}", expected, value)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What L1 and L2 regularization do to a network."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the network on the digits."""
    train_size: int = 200
    """Number of the 1797 digits to train on: few, so that the network can overfit. The others are
    the test set.
    """
    sweep: Grid = Grid()
    training: Training = Training()
    drawing: Drawing = Drawing()

    def __post_init__(self) -> None:
        at_least(self, hidden=1, train_size=10)
        require(self.train_size <= 1787, "train_size", "at most 1787 rows", self.train_size)


QUICK = Settings(
    sweep=Grid(
        seeds=2,
        l1=strengths(1e-4, 1e-2, 3),
        l2=strengths(1e-4, 1e-1, 3),
        decay=strengths(1e-2, 1e1, 3),
    ),
    training=Training(epochs=60),
    drawing=Drawing(steps=1000, strengths=(1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)),
)
"""Defaults of `--quick`."""
PENALTIES = {"L1": "proximal_l1", "L2": "coupled_l2"}
"""The penalties of the small network, and the field of `Strengths` that each sets."""
TEXTS = {
    "layer": ("layer of the network, from 0", "1"),
    "weight": ("position of a weight in the network", "1"),
    "first": ("kernel of the first layer", "1"),
    "second": ("kernel of the second layer", "1"),
    "input": ("chemical measurement of the wine", "1"),
    "hidden": ("hidden unit, from 0", "1"),
    "class": ("cultivar of the wine", "1"),
    "penalty": ("penalty that the network is trained with", "1"),
    "figure_strength": ("strength λ in the figures", "nats per unit of the penalty"),
}


def train_digits(config: Settings, session: Session) -> xr.Dataset:
    """Trains every network on the digits.

    Returns:
        The metrics of `experiments.training.evaluate` along (method, level, seed), with the
        coordinate `strength` (method, level); and for seed 0 the kernels as `weights` (method,
        level, weight), with the coordinate `weight_layer`. Level 0 of every method is the same
        network, without a penalty.
    """
    rows = datasets.digits()
    widths = (rows.inputs.shape[1], *config.hidden, 10)

    def train(key: jax.Array, run: dict[str, Any], rows: datasets.Rows) -> dict[str, jax.Array]:
        # The seed alone decides the key, which pairs the methods: they share split, initial weights
        # and order of batches.
        split_key, model_key, order_key = jax.random.split(key, 3)
        train_rows, test_rows = split(split_key, rows, [config.train_size])
        structure, params = networks.initial(widths, model_key)
        make = functools.partial(optimizer, run["setting"])
        params = train_params(structure, params, make, order_key, train_rows, config.training)
        parts = {"train": train_rows, "test": test_rows}
        metrics = evaluate(structure, params, charged(run["setting"]), parts)
        return {**metrics, "weights": weights_of(params)}

    methods = {
        "coupled L1": ("coupled_l1", config.sweep.l1),
        "proximal L1": ("proximal_l1", config.sweep.l1),
        "coupled L2": ("coupled_l2", config.sweep.l2),
        "decoupled L2": ("decoupled_l2", config.sweep.decay),
    }
    settings, places, levels = settings_of(methods)
    seeds = range(config.sweep.seeds)
    runs = session.sweep(train, jaxreg.grid(setting=settings, seed=seeds), rows)
    outputs = {**runs.outputs, "diverged": runs.diverged}
    weights = outputs.pop("weights")[:, 0]
    dataset = along_levels(outputs, places, levels, ("seed",), {"seed": seeds})
    dataset = dataset.assign(weights=(("method", "level", "weight"), weights[places]))
    numbers = {name: np.arange(dataset.sizes[name]) for name in ("level", "layer", "weight")}
    layers = {"weight_layer": ("weight", layers_of(widths))}
    return described(dataset.assign_coords({**numbers, **layers}), TEXTS)


def train_wine(settings: Settings, session: Session) -> xr.Dataset:
    """Trains the small network on the wine data without a penalty, then with either penalty, at λ =
    0 and every strength.

    Returns:
        The kernels `first` (penalty, strength, input, hidden) and `second` (penalty, strength,
        hidden, class), the accuracies (penalty, strength), and `figure_strength` (penalty), the
        strength in the figures. At λ = 0 both penalties have the same network, trained for as long
        as the others. The strengths end where L1 has set every weight to 0, but not before those of
        the figures.
    """
    config = settings.drawing
    wine = datasets.wine(config.seed)
    training = Training(config.steps, len(wine.train.labels), config.learning_rate)
    model_key, first_key, second_key = jax.random.split(jax.random.key(config.seed), 3)
    widths = (len(wine.features), config.hidden, len(wine.classes))
    structure, params = networks.initial(widths, model_key)

    def train(_: jax.Array, setting: Strengths, data: Any) -> dict[str, Any]:
        params, key, train_rows, test_rows = data
        make = functools.partial(optimizer, setting)
        params = train_params(structure, params, make, key, train_rows, training)
        first, second = kernels_of(params)
        return {
            "params": params,
            "first": first,
            "second": second,
            "train_accuracy": accuracy(structure, params, train_rows),
            "test_accuracy": accuracy(structure, params, test_rows),
        }

    grid, places, _ = settings_of(
        {name: (field, config.strengths) for name, field in PENALTIES.items()}
    )
    unpenalised = jax.tree.map(lambda values: values[:1], grid)
    for part, setting, key in (("start", unpenalised, first_key), ("further", grid, second_key)):
        runs = session.sweep(train, setting, (params, key, wine.train, wine.test), part=part)
        params = jax.tree.map(lambda leaf: leaf[0], runs.outputs["params"])
    trailing = {"first": ["input", "hidden"], "second": ["hidden", "class"]}
    outputs = {**runs.outputs, "diverged": runs.diverged}
    del outputs["params"]
    dataset = xr.Dataset(
        {
            name: (["penalty", "strength", *trailing.get(name, [])], values[places])
            for name, values in outputs.items()
        },
        {
            "penalty": list(PENALTIES),
            "strength": [0.0, *config.strengths],
            "input": wine.features,
            "hidden": np.arange(config.hidden),
            "class": wine.classes,
        },
    ).assign(figure_strength=("penalty", [config.l1, config.l2]))
    l1 = dataset.sel(penalty="L1")
    empty = (l1["first"] == 0).all(["input", "hidden"]) & (l1["second"] == 0).all(
        ["hidden", "class"]
    )
    late = dataset["strength"] >= max(config.l1, config.l2)
    last = np.flatnonzero(empty & late)
    return described(dataset.isel(strength=slice(int(last[0]) + 1 if last.size else None)), TEXTS)


def stages(wine: xr.Dataset) -> xr.Dataset:
    """The three small networks of the figures along `stage`: "before" (λ = 0), "L1" and "L2"."""
    names = ["before", *PENALTIES]
    penalty = xr.DataArray(["L1", *PENALTIES], dims="stage", coords={"stage": names})
    strength = xr.DataArray([0.0, *wine["figure_strength"].values], dims="stage")
    return wine.drop_vars("figure_strength").sel(penalty=penalty, strength=strength)


def small_weights(network: xr.Dataset) -> np.ndarray:
    """Both kernels of a small network as one vector."""
    return np.concatenate([network["first"].values.ravel(), network["second"].values.ravel()])


COLUMNS = {
    "train_accuracy": ("train %", 100, ".1f"),
    "test_accuracy": ("test %", 100, ".1f"),
    "gap": ("gap", 100, ".1f"),
    "zero_fraction": ("zeros %", 100, ".1f"),
    "live_inputs": ("inputs", 1, ".1f"),
    "norm": ("‖w‖", 1, ".1f"),
    "kkt_residual": ("KKT", 1, ".0e"),
}
LEGEND = (
    "Train, test: accuracy in percent; gap: their difference in percentage points; zeros: kernel "
    "weights that are exactly 0; inputs: how many of the 64 pixels have a weight that is not 0; "
    "‖w‖: norm of all kernels; KKT: mean of the largest violation of the optimality conditions of "
    "loss + penalty, in the units of λ (for decoupled L2, of the loss alone, as it has no "
    "objective)."
)


def tabulate(results: Results) -> list[Table | str]:
    """The small networks of the figures, all settings on the digits, and the best accuracies."""
    small, digits, rows = stages(results["wine"]), results["digits"], []
    for network in (small.sel(stage=stage) for stage in small["stage"]):
        name, zeros, norm, accuracy = numbers_of(network)
        rows.append([name, f"{float(network['strength']):g}", zeros, norm, accuracy])
    headings = [
        "network",
        "λ",
        "weights that are exactly 0",
        "norm of the weights",
        "test accuracy",
    ]
    parts: list[Table | str] = [Table(headings, rows, "The small network on the wine data:")]
    best = [f"none {cells(digits.isel(method=0, level=0))[1]}"]
    names = ["λ", *(name for name, _, _ in COLUMNS.values())]
    over = f"mean±standard error over {digits.sizes['seed']} seeds"
    for method in digits["method"].values:
        runs = digits.sel({"method": method})
        levels = [runs.isel(level=level) for level in range(runs.sizes["level"])]
        rows = [[f"{float(level['strength']):.3g}", *cells(level)] for level in levels]
        parts.append(Table(names, rows, f"The network on the digits with {method}, {over}:"))
        means = runs["test_accuracy"].mean("seed").values[1:]
        if np.isfinite(means).any():
            best.append(f"{method} {rows[1 + int(np.nanargmax(means))][2]}")
    text = f"Highest mean test accuracy over all λ, in percent: {', '.join(best)}."
    return [*parts, LEGEND, text]


def cells(setting: xr.Dataset) -> list[str]:
    """The metrics of a setting as mean±standard error over the seeds, the KKT residual as mean."""
    texts = []
    for name, (_, scale, form) in COLUMNS.items():
        mean, error = mean_and_error(scale * setting[name].values.astype(float))
        alone = setting.sizes["seed"] == 1 or name == "kkt_residual"
        texts.append(f"{mean:{form}}" + ("" if alone else f"±{error:{form}}"))
    return texts


def numbers_of(network: xr.Dataset) -> tuple[str, str, str, str]:
    """A small network's penalty, zeros, norm and test accuracy in words."""
    weights, stage = small_weights(network), str(network["stage"].values)
    return (
        "no penalty" if stage == "before" else stage,
        f"{int((weights == 0).sum())} of {weights.size}",
        f"{np.linalg.norm(weights):.1f}",
        f"{100 * float(network['test_accuracy']):.0f} %",
    )


THINNEST, WIDEST = 0.6, 5.0
"""Widths of lines in points: the smallest, as a thinner line would look like a zero, and that of
the largest weight.
"""
POSITIVE, NEGATIVE, DEAD = "#009E73", "#AA3377", "#CCCCCC"
NAMES_LEFT, NAMES_RIGHT, MARGIN = 1.8, 0.72, 0.22
"""The space for the names of the inputs, for those of the classes, and beside a graph without
names; layers are 1 apart.
"""


def draw_small(results: Results, penalties: Sequence[str]) -> Figure:
    """Draws the small network as a graph without a penalty and with some penalties, side by side.

    All figures have the same scale of widths. With three graphs only the first has the names of the
    inputs and only the last those of the classes, so that everything can be read at the width of a
    page.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    wine = stages(results["wine"])
    largest = largest_of(wine["first"].values, wine["second"].values)
    shown = ("before", *penalties)
    all_names, last = len(shown) <= 2, len(shown) - 1
    lefts = [NAMES_LEFT if all_names or at == 0 else MARGIN for at in range(len(shown))]
    rights = [NAMES_RIGHT if all_names or at == last else MARGIN for at in range(len(shown))]
    widths = np.array(lefts) + 2 + np.array(rights)
    starts = np.cumsum(widths) - widths
    figure = Figure(figsize=(8.8, 5.4), dpi=DPI)
    for stage, left, right, width, start in zip(shown, lefts, rights, widths, starts, strict=True):
        network = wine.sel(stage=stage)
        axes = figure.add_axes((start / widths.sum(), 0.09, width / widths.sum(), 0.71))
        axes.set_xlim(-left, 2 + right)
        draw_network(axes, network, largest, 10, left > MARGIN, right > MARGIN)
        name, zeros, norm, accuracy = numbers_of(network)
        name = name if stage == "before" else f"{name}, λ = {float(network['strength']):g}"
        numbers = f"‖w‖ = {norm}\ntest accuracy {accuracy}"
        if not np.isfinite(small_weights(network)).all():
            numbers = "diverged: lines are missing"
        heading: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 10}
        bold = {**heading, "fontweight": "bold"}
        center = (start + left + 1) / widths.sum()
        figure.text(center, 0.985, name, **{**bold, "fontsize": 13, "color": COLOURS[stage]})
        figure.text(center, 0.925, f"{zeros} weights are 0", **{**bold, "fontsize": 10.5})
        figure.text(center, 0.885, numbers, **heading)
    unit: dict[str, Any] = {"marker": "o", "color": "w", "ms": 9}
    handles = [
        Line2D([], [], color=POSITIVE, lw=2.5, label="positive weight"),
        Line2D([], [], color=NEGATIVE, lw=2.5, label="negative weight"),
        Line2D([], [], color="k", lw=WIDEST, label=f"|w| = {largest:.1f}"),
        Line2D([], [], color="k", lw=THINNEST, label=f"|w| ≤ {largest * THINNEST / WIDEST:.1f}"),
        Line2D([], [], mfc="w", mec="k", label="unit", **unit),
        Line2D([], [], mfc=DEAD, mec=DEAD, label="dead unit", **unit),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=6, frameon=False, fontsize=10,
                  columnspacing=1.4, handletextpad=0.6)  # fmt: skip
    return figure


def draw_network(
    axes: Axes,
    network: xr.Dataset,
    largest: float,
    fontsize: float,
    inputs: bool = True,
    classes: bool = True,
) -> None:
    """Draws one network as a graph: inputs at x = 0, hidden units at x = 1, classes at x = 2.

    A line is as wide as its weight's absolute value. A zero weight has no line; a unit without a
    path through it is grey.

    Args:
        axes: the axes to draw on. Their horizontal limits leave room for the names.
        network: the kernels `first` (input, hidden) and `second` (hidden, class).
        largest: the absolute weight that is drawn `WIDEST` points wide.
        fontsize: of the names, in points.
        inputs: whether to write the names of the inputs.
        classes: whether to write the names of the classes.
    """
    from matplotlib.collections import LineCollection

    kernels = [network["first"].values, network["second"].values]
    (count, hidden), outputs = kernels[0].shape, kernels[1].shape[1]
    heights = [
        np.linspace(1, 0, count),
        np.linspace(0.95, 0.05, hidden),
        np.linspace(0.8, 0.2, outputs),
    ]
    for column, kernel in enumerate(kernels):
        drawn = np.argwhere((kernel != 0) & np.isfinite(kernel))
        weights = kernel[tuple(drawn.T)]
        lines = [
            [(column, heights[column][source]), (column + 1, heights[column + 1][target])]
            for source, target in drawn
        ]
        colours = np.where(weights > 0, POSITIVE, NEGATIVE).tolist()
        widths = np.maximum(THINNEST, WIDEST * np.abs(weights) / largest)
        style: dict[str, Any] = {"alpha": 0.75, "capstyle": "butt", "zorder": 1}
        axes.add_collection(LineCollection(lines, colors=colours, linewidths=widths, **style))
    leaves, enters = ([(kernel != 0).any(axis) for kernel in kernels] for axis in (1, 0))
    alive = [leaves[0], enters[0] & leaves[1], enters[1]]
    for column, (ys, live) in enumerate(zip(heights, alive, strict=True)):
        faces, edges = np.where(live, "w", DEAD), np.where(live, "k", DEAD)
        axes.scatter([column] * len(ys), ys, s=90, c=faces, edgecolors=edges.tolist(), zorder=2)
    text: dict[str, Any] = {"va": "center", "fontsize": fontsize}
    if inputs:
        for y, name, live in zip(heights[0], network["input"].values, alive[0], strict=True):
            axes.text(-0.13, y, name, ha="right", color="k" if live else "#999999", **text)
    if classes:
        for y, name in zip(heights[2], network["class"].values, strict=True):
            axes.text(2.13, y, name.replace("_", " "), ha="left", **text)
    axes.set_ylim(-0.05, 1.05)
    axes.set_axis_off()


def draw_bars(results: Results) -> Figure:
    """Draws every weight of the small network's first layer as a bar: without a penalty, with L1
    and with L2, in the same order.
    """
    wine = stages(results["wine"])
    figure = new_figure(8.4, 5.8)
    before = wine["first"].sel(stage="before").values.ravel()
    order = np.argsort(-np.abs(before))
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for axes, stage in zip(panels, wine["stage"].values, strict=True):
        kernel, colour = wine["first"].sel(stage=stage).values.ravel()[order], COLOURS[stage]
        axes.bar(range(kernel.size), np.where(np.isfinite(kernel), kernel, 0), 0.8, color=colour)
        zero = np.flatnonzero(kernel == 0)
        axes.plot(zero, np.zeros(len(zero)), "|", color=colour, ms=5, mew=0.8)
        axes.axhline(0, color="k", lw=0.8)
        axes.grid(axis="y", alpha=0.25)
        axes.set_ylabel("weight")
        broken, largest = int((~np.isfinite(kernel)).sum()), kernel[: max(1, kernel.size // 10)]
        if broken:
            text = f"{stage}: diverged, {broken} of {kernel.size} weights are not finite"
        elif stage == "before":
            text = f"no penalty: {kernel.size} weights, {len(zero)} exactly 0"
        else:
            text = (
                f"{stage}, λ = {float(wine['strength'].sel(stage=stage)):g}: {len(zero)} exactly 0"
                f"{' (ticks)' if len(zero) else ''}, "
                f"{int((np.abs(kernel) < np.abs(before[order])).sum())} smaller than before; "
                f"{int((largest != 0).sum())} of the {len(largest)} largest are left"
            )
        axes.set_title(text, fontsize=10.5, loc="left", color=colour)
    panels[2].set_xlabel(
        "weights of the first layer, sorted by their size in the network without a penalty"
    )
    panels[0].set_xlim(-1, before.size)
    return figure


LAYERS = ["#000000", "#555555", "#888888", "#AAAAAA", "#CCCCCC"]
LINES = ["-", "--", ":", "-.", "-"]
BANDS = {
    "exactly 0": "",
    "0 < |w| < 0.01": "#E6E6E6",
    "0.01 ≤ |w| < 0.1": "#A6A6A6",
    "|w| ≥ 0.1": "#4D4D4D",
}
"""The sizes of weights and their colours. Exact zeros have the colour of the method."""


def draw_effect(results: Results, method: str) -> Figure:
    """Draws the effect of λ on the weights of the network on the digits, for one method.

    Left: the weights of the first seed's networks by their size, a bar for each λ. Right: each
    layer's share of exact zeros and its norm against λ, mean ± standard error over the seeds.
    Figures of different methods have the same axes, with log10(λ) and λ = 0 left of the grid.
    """
    digits = results["digits"]
    selected = digits.sel({"method": method})
    used = digits["strength"].sel({"method": ["coupled L1", "proximal L1", "coupled L2"]})
    first, last = float(used.where(used > 0).min()), float(used.max())
    places = np.log10([first / 5, *selected["strength"].values[1:]])
    figure = new_figure(8.8, 4.8)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.45, 1])
    left, top = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])
    bottom = figure.add_subplot(grid[1, 1], sharex=top)
    draw_sizes(left, selected, method, places)
    for axes, name, scale in ((top, "layer_zero_fraction", 100), (bottom, "layer_norm", 1)):
        for layer in range(digits.sizes["layer"]):
            values = scale * selected[name].isel(layer=layer).transpose("level", "seed").values
            mean, error = zip(*map(mean_and_error, values.astype(float)), strict=True)
            style: dict[str, Any] = {
                "ms": 4.5,
                "lw": 1.5,
                "capsize": 2,
                "label": f"layer {layer + 1}",
            }
            style |= {
                "color": LAYERS[layer % 5],
                "ls": LINES[layer % 5],
                "marker": MARKERS[layer % 5],
            }
            axes.errorbar(places, mean, np.nan_to_num(error), **style)
        axes.grid(alpha=0.25)
    decades = np.arange(np.ceil(np.log10(first) - 1e-9), np.floor(np.log10(last) + 1e-9) + 1)
    names = ["0", *(f"$10^{{{decade:.0f}}}$" for decade in decades)]
    for axes in (left, top):
        axes.set_xticks([np.log10(first / 5), *decades], names)
        axes.set_xlim(np.log10(first / 8.5), np.log10(1.6 * last))
    left.set(xlabel="strength λ")
    top.set(ylabel="exact zeros, %", ylim=(-4, 104))
    top.tick_params(labelbottom=False)
    top.set_title(f"by layer, {digits.sizes['seed']} seeds, ± standard error", fontsize=10)
    # No place within the axes is free of curves for every method.
    handles, labels = top.get_legend_handles_labels()
    outside: dict[str, Any] = {"loc": "outside lower right", "ncols": len(labels), "frameon": False}
    figure.legend(handles, labels, fontsize=10, **outside)
    largest = float(digits["layer_norm"].isel(level=0).max())
    limit = 1.15 * largest if np.isfinite(largest) else None
    bottom.set(ylabel="norm of the kernel", xlabel="strength λ", ylim=(0, limit))
    figure.suptitle(f"Network on the digits: its weights as λ grows, {method}", fontsize=12)
    return figure


def draw_sizes(axes: Axes, selected: xr.Dataset, method: str, places: np.ndarray) -> None:
    """Draws a stacked bar for each λ: the shares of weights that are exactly 0, small, medium and
    large.
    """
    width = 0.86 * float(np.diff(places[1:]).min(initial=0.44))
    size = np.abs(selected["weights"].transpose("level", "weight").values)
    finite = np.isfinite(size).all(1)
    small, medium = (size > 0) & (size < 0.01), (size >= 0.01) & (size < 0.1)
    bands = [100 * band.mean(1) for band in (size == 0, small, medium, size >= 0.1)]
    bottom = np.zeros(len(places))
    for share, (label, colour) in zip(bands, BANDS.items(), strict=True):
        height = np.where(finite, share, 0)
        style: dict[str, Any] = {"color": colour or COLOURS[method], "edgecolor": "w", "lw": 0.4}
        axes.bar(places, height, width, bottom, label=label, **style)
        bottom += height
    for place, share, sound in zip(places, bands[0], finite, strict=True):
        text: dict[str, Any] = {"ha": "center", "clip_on": True}
        if not sound:
            axes.text(place, 50, "diverged", rotation=90, va="center", fontsize=9, **text)
        elif share > 5:
            # Rounding must not turn the last few weights into none.
            name = f"{share:.0f}" if round(share) < 100 or share == 100 else "99+"
            axes.text(place, share - 1.5, name, va="top", fontsize=8.5, color="w", **text)
    axes.set(ylim=(0, 100), ylabel="share of the weights, % (seed 0)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=9.5, frameon=False,
                columnspacing=1.0, handlelength=1.2)  # fmt: skip


DRAWN = (
    "A small network on the wine data, without a penalty and with {}. All were trained from the "
    "same weights for the same number of steps. A line is a weight: green if it is positive, "
    "purple if it is negative. The line is as wide as the weight is large, but never too thin to "
    "be seen. A weight that is exactly 0 has no line. An input or a unit is grey if all weights "
    "that enter it or all that leave it are exactly 0."
)
SWEPT = (
    "The network on the digits, for each strength λ of {}. Left: the weights by their size, one "
    "bar for each λ; the number in a bar is the share of exact zeros in percent. Right: each "
    "layer's share of exact zeros and its norm, mean ± standard error over the seeds. The figures "
    "for L1 and L2 have the same axes."
)
PICTURES = [
    *(
        Picture(name, title, functools.partial(draw_small, penalties=shown),
                DRAWN.format(" and with ".join(shown)))
        for name, title, shown in (
            ("L1_L2", "A small network without a penalty, with L1 and with L2", ("L1", "L2")),
            ("L1_1", "The small network without a penalty and with L1", ("L1",)),
            ("L2_1", "The small network without a penalty and with L2", ("L2",)),
        )
    ),
    *(
        Picture(f"{name}_2", f"The weights of a larger network as λ grows, with {name}",
                functools.partial(draw_effect, method=f"{kind} {name}"),
                SWEPT.format(f"{name} ({kind})"))
        for name, kind in (("L1", "proximal"), ("L2", "coupled"))
    ),
    Picture(
        "L1_3",
        "Which weights become zero and which only shrink",
        draw_bars,
        "Every weight of the small network's first layer as a bar: without a penalty, with L1 and "
        "with L2. The order is the same in all three panels: from the largest weight without a "
        "penalty to the smallest. A tick on the zero line marks a weight that is exactly 0.",
    ),
]  # fmt: skip


STUDY = Study(
    name="l1-l2",
    summary="What L1 and L2 do to the weights of a network",
    description="Trains a network on scikit-learn's digits for every method, strength and seed in "
    "one compiled program, and a small network on the wine data that can be drawn.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"digits": train_digits, "wine": train_wine},
    pictures=PICTURES,
    tabulate=tabulate,
)
