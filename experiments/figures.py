"""Figures: records in, a matplotlib Figure out. Nothing here trains, and nothing saves.

Every method keeps its colour from figure to figure (Okabe and Ito's palette, which colour-blind readers can tell apart).
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.report import mean_and_error

COLOURS = {"before": "#444444", "L1": "#D55E00", "L2": "#0072B2"}
POSITIVE, NEGATIVE, DEAD = "#009E73", "#AA3377", "#CCCCCC"
LAYERS = ["#000000", "#E69F00", "#56B4E9", "#888888", "#F0E442"]
MARKERS = ["o", "s", "^", "D", "v"]
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, laid out so that nothing overlaps."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def largest_of(*arrays: np.ndarray) -> float:
    """The largest finite |value|, or 1 where there is none but 0: a scale that a diverged network cannot break."""
    values = np.abs(np.concatenate([np.ravel(array) for array in arrays]))
    return float(np.max(values[np.isfinite(values)], initial=0)) or 1.0


def network_pair(records: xr.Dataset, penalty: str) -> Figure:
    """One network as a graph, before and after a penalty ("L1" or "L2"), from the drawing's records."""
    figure = new_figure(9, 5.4)
    largest = largest_of(records["first"].values, records["second"].values)
    for axes, stage in zip(figure.subplots(1, 2), ("before", penalty), strict=True):
        one = records.sel(stage=stage)
        draw_network(axes, one, largest)
        weights = np.concatenate([one["first"].values.ravel(), one["second"].values.ravel()])
        zeros = int((weights == 0).sum())
        name = "before: no penalty" if stage == "before" else f"after {penalty}, λ = {float(one['strength']):g}"
        name += "" if np.isfinite(weights).all() else " (diverged: lines are missing)"
        axes.set_title(
            f"{name}\n{zeros} of {weights.size} weights exactly 0, ‖w‖ = {np.linalg.norm(weights):.1f}, "
            f"test accuracy {100 * float(one['test_accuracy']):.0f} %",
            fontsize=10,
        )
    legend = [
        Line2D([], [], color=POSITIVE, lw=2.5, label="positive weight"),
        Line2D([], [], color=NEGATIVE, lw=2.5, label="negative weight"),
        Line2D([], [], color="k", lw=line_width(largest, largest), label=f"|w| = {largest:.1f}"),
        Line2D([], [], color="k", lw=line_width(largest / 10, largest), label=f"|w| = {largest / 10:.2f}"),
        Line2D([], [], marker="o", color="w", markerfacecolor="w", markeredgecolor="k", ms=9, label="unit"),
        Line2D([], [], marker="o", color="w", markerfacecolor=DEAD, markeredgecolor=DEAD, ms=9, label="dead unit"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return figure


def line_width(weight: float, largest: float) -> float:
    """Width in points, proportional to |weight|."""
    return 5 * abs(weight) / largest


def draw_network(axes: Axes, one: xr.Dataset, largest: float) -> None:
    """Draws one stage: lines as wide as |weight|, zero weights not at all, units without a way through them in grey."""
    kernels = [one["first"].values, one["second"].values]
    heights = [
        np.linspace(1, 0, kernels[0].shape[0]),
        np.linspace(0.95, 0.05, kernels[0].shape[1]),
        np.linspace(0.8, 0.2, kernels[1].shape[1]),
    ]
    for column, kernel in enumerate(kernels):
        for source, target in np.argwhere((kernel != 0) & np.isfinite(kernel)):
            weight = kernel[source, target]
            axes.plot(
                [column, column + 1],
                [heights[column][source], heights[column + 1][target]],
                color=POSITIVE if weight > 0 else NEGATIVE,
                lw=line_width(weight, largest),
                alpha=0.7,
                solid_capstyle="butt",
                zorder=1,
            )
    leaves = [(kernel != 0).any(1) for kernel in kernels]
    enters = [(kernel != 0).any(0) for kernel in kernels]
    alive = [leaves[0], enters[0] & leaves[1], enters[1]]
    for column, (ys, live) in enumerate(zip(heights, alive, strict=True)):
        faces = np.where(live, "w", DEAD)
        axes.scatter(np.full(len(ys), column), ys, s=90, c=faces, edgecolors=np.where(live, "k", DEAD).tolist(), zorder=2)
    for y, name, live in zip(heights[0], one["input"].values, alive[0], strict=True):
        axes.text(-0.08, y, name, ha="right", va="center", fontsize=8, color="k" if live else "#999999")
    for y, name in zip(heights[2], one["class"].values, strict=True):
        axes.text(2.08, y, name.replace("_", " "), ha="left", va="center", fontsize=8)
    axes.set_xlim(-1.05, 2.45)
    axes.set_ylim(-0.05, 1.05)
    axes.set_axis_off()


def effect(records: xr.Dataset, method: str) -> Figure:
    """The effect of λ on a network's weights, for one method of the sweep's records.

    Left, the distribution of the nonzero weights for each λ (first seed), and beside it the exact zeros, which are no
    part of any bin. Right, each layer's share of exact zeros and its norm against λ, mean ± standard error over the seeds.
    """
    figure = new_figure(8.8, 5)
    left, middle, right = figure.subplots(1, 3, width_ratios=[2.3, 0.9, 2.2])
    runs = records["method"].values
    strengths = np.unique(records["strength"].values[runs == method])
    shown = {
        strength: records["weights"].values[at]
        for at, run in enumerate(records["shown_run"].values)
        for strength in [records["strength"].values[run]]
        if runs[run] in (method, "none")
    }
    levels = sorted(shown)
    colours = ScalarMappable(LogNorm(strengths[0], strengths[-1] * 1.0001), "viridis_r")
    paint = ["#444444" if level == 0 else colours.to_rgba(level) for level in levels]
    ridges(left, [shown[level] for level in levels], paint)
    labels = ["none" if level == 0 else f"{level:.2g}" for level in levels]
    left.set_yticks(range(len(levels)), labels)
    left.set_ylabel("strength λ")
    left.set_xlabel("weight")
    left.set_title("nonzero weights: share of all\n(log scale, 10⁻⁵ to 1 per row)", fontsize=10)

    diverged = [not np.isfinite(shown[level]).all() for level in levels]
    zeros = [float(np.mean(shown[level] == 0)) for level in levels]
    middle.barh(range(len(levels)), [100 * zero for zero in zeros], 0.6, color=paint)
    for row, zero in enumerate(zeros):
        inside = zero > 0.6
        # Rounding must not turn the last few weights into none.
        label = f"{100 * zero:.0f} %" if round(100 * zero) < 100 or zero == 1 else f"{min(100 * zero, 99.9):.1f} %"
        label = "diverged" if diverged[row] else label
        middle.text(
            100 * zero - 3 if inside else 100 * zero + 3, row, label,
            va="center", ha="right" if inside else "left", fontsize=8, color="w" if inside else "k",
        )  # fmt: skip
    middle.set(xlim=(0, 100), ylim=left.get_ylim(), yticks=[], xticks=[0, 50, 100], xlabel="% of weights")
    middle.set_title("exact\nzeros", fontsize=10)

    right.remove()
    grid = right.get_subplotspec().subgridspec(2, 1)
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    by_layer(top, records, method, strengths, "layer_zero_fraction", 100)
    by_layer(bottom, records, method, strengths, "layer_norm", 1)
    top.set(ylabel="exact zeros, %", ylim=(-4, 104))
    top.tick_params(labelbottom=False)
    top.legend(fontsize=8, frameon=False)
    top.set_title("layer by layer", fontsize=10)
    bottom.set(ylabel="norm of the kernel", xlabel="strength λ", ylim=(0, None))
    seeds = len(np.unique(records["seed"]))
    figure.suptitle(
        f"{method}: weights of the network on the digits as λ grows\n"
        f"(left: seed 0; right: mean ± standard error over {seeds} seeds)",
        fontsize=11,
    )
    return figure


def ridges(axes: Axes, weights: list[np.ndarray], paint: list) -> None:
    """One histogram of the nonzero weights a row, on a shared logarithmic scale of the share of all weights."""
    reach = largest_of(*[values for values in weights if np.isfinite(values).all()] or [np.zeros(1)])
    edges = np.linspace(-reach, reach, 102)
    centres = (edges[:-1] + edges[1:]) / 2
    floor = 1e-5
    for row, (values, colour) in reversed(list(enumerate(zip(weights, paint, strict=True)))):
        nonzero = values[(values != 0) & np.isfinite(values)]
        share = np.histogram(nonzero, edges)[0] / values.size
        height = 0.95 * np.log10(np.maximum(share, floor) / floor) / -np.log10(floor)
        axes.fill_between(centres, row, row + height, step="mid", color=colour, lw=0.4, edgecolor="w")
        axes.axhline(row, color="#DDDDDD", lw=0.5, zorder=0)
    axes.set_ylim(-0.5, len(weights) + 0.1)
    axes.set_xlim(-reach, reach)


def by_layer(axes: Axes, records: xr.Dataset, method: str, strengths: np.ndarray, name: str, scale: float) -> None:
    """A line a layer against λ, the unpenalised network at the left end."""
    methods, of = records["method"].values, records["strength"].values
    places = np.concatenate([[strengths[0] / 7], strengths])
    for layer in range(records.sizes["layer"]):
        values = records[name].values[:, layer].astype(float) * scale
        picked = [values[methods == "none"], *(values[(methods == method) & (of == strength)] for strength in strengths)]
        mean, error = zip(*map(mean_and_error, picked), strict=True)
        style: dict[str, Any] = {"color": LAYERS[layer % 5], "marker": MARKERS[layer % 5], "ms": 4, "lw": 1.3, "capsize": 2}
        axes.errorbar(places, mean, np.nan_to_num(error), label=f"layer {layer + 1}", **style)
    axes.set_xscale("log")
    decades = np.arange(np.ceil(np.log10(strengths[0]) - 1e-9), np.floor(np.log10(strengths[-1]) + 1e-9) + 1)
    axes.set_xticks([places[0], *10.0**decades], ["none", *(f"$10^{{{decade:.0f}}}$" for decade in decades)])
    axes.minorticks_off()
    axes.grid(alpha=0.25)


def weight_bars(records: xr.Dataset) -> Figure:
    """Every weight of the drawn network's first layer as a bar: before, after L1 and after L2, in one order."""
    figure = new_figure(8.4, 5.6)
    kernels = {stage: records["first"].sel(stage=stage).values.ravel() for stage in ("before", "L1", "L2")}
    before = kernels["before"]
    order = np.argsort(-np.abs(before))
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for axes, (stage, kernel) in zip(panels, kernels.items(), strict=True):
        axes.bar(range(kernel.size), np.where(np.isfinite(kernel), kernel, 0)[order], 0.8, color=COLOURS[stage])
        zero = np.flatnonzero(kernel[order] == 0)
        axes.plot(zero, np.zeros(len(zero)), "|", color=COLOURS[stage], ms=5, mew=0.8)
        axes.axhline(0, color="k", lw=0.6)
        axes.grid(axis="y", alpha=0.25)
        axes.set_title(describe(stage, kernel, before, float(records["strength"].sel(stage=stage))), fontsize=10, loc="left")
    panels[1].set_ylabel("weight")
    panels[2].set_xlabel("weights of the first layer, the largest of the unpenalised network first")
    panels[0].set_xlim(-1, before.size)
    return figure


def describe(stage: str, kernel: np.ndarray, before: np.ndarray, strength: float) -> str:
    """What a panel of the bars shows, counted."""
    if not np.isfinite(kernel).all():
        return f"{stage}: diverged, {int((~np.isfinite(kernel)).sum())} of {kernel.size} weights are no numbers"
    if stage == "before":
        return f"before: {kernel.size} weights, no penalty, {int((kernel == 0).sum())} exactly 0"
    zeros = int((kernel == 0).sum())
    smaller = int((np.abs(kernel) < np.abs(before)).sum())
    text = f"after {stage}, λ = {strength:g}: {zeros} exactly 0{' (ticks)' if zeros else ''}, {smaller} smaller than before"
    largest = np.argsort(-np.abs(before))[: max(1, kernel.size // 10)]
    return f"{text}; of the {len(largest)} largest, {int((kernel[largest] != 0).sum())} are left"
