"""One network on paper: as a graph before and after a penalty, and its first layer as bars."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.figures.style import COLOURS, largest_of, new_figure

THINNEST = 0.35
"""The least width of a line, in points."""
POSITIVE, NEGATIVE, DEAD = "#009E73", "#AA3377", "#CCCCCC"


def network_row(networks: xr.Dataset, stages: Sequence[str]) -> Figure:
    """One network as a graph, before and after some penalties, side by side.

    Args:
        networks: kernels and accuracies along `stage`.
        stages: which of them to draw: "before", "L1", "L2".
    """
    figure = new_figure(10.4 if len(stages) > 2 else 9, 5.2)
    shown = networks.sel(stage=list(stages))
    largest = largest_of(shown["first"].values, shown["second"].values)
    for axes, stage in zip(figure.subplots(1, len(stages)), stages, strict=True):
        one = networks.sel(stage=stage)
        draw_network(axes, one, largest, 9.5, -1.45)
        weights = np.concatenate([one["first"].values.ravel(), one["second"].values.ravel()])
        zeros = int((weights == 0).sum())
        name = "no penalty" if stage == "before" else f"after {stage}, λ = {float(one['strength']):g}"
        name += "" if np.isfinite(weights).all() else " (diverged: lines are missing)"
        axes.set_title(f"{name}\n{zeros} of {weights.size} weights exactly 0\n‖w‖ = {np.linalg.norm(weights):.1f}, "
                       f"test accuracy {100 * float(one['test_accuracy']):.0f} %", fontsize=11)  # fmt: skip
    legend = [
        Line2D([], [], color=POSITIVE, lw=2.5, label="positive"),
        Line2D([], [], color=NEGATIVE, lw=2.5, label="negative weight"),
        Line2D([], [], color="k", lw=line_width(largest, largest), label=f"|w| = {largest:.1f}"),
        Line2D([], [], color="k", lw=line_width(largest / 10, largest), label=f"|w| = {largest / 10:.2f}"),
        Line2D([], [], marker="o", color="w", markerfacecolor="w", markeredgecolor="k", ms=9, label="unit"),
        Line2D([], [], marker="o", color="w", markerfacecolor=DEAD, markeredgecolor=DEAD, ms=9, label="dead unit"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=6, frameon=False, fontsize=10)
    return figure


def line_width(weight: float, largest: float) -> float:
    """Width in points, proportional to |weight|, but at least `THINNEST`: a line that cannot be seen reads as a zero."""
    return max(THINNEST, 5 * abs(weight) / largest)


def draw_network(axes: Axes, one: xr.Dataset, largest: float, fontsize: float = 8, left: float = -1.05) -> None:
    """Draws one network: lines as wide as |weight|, zero weights not at all, units without a way through them in grey.

    Args:
        axes: to draw on, from `left`, which leaves room for the inputs' names, on. one: its kernels. largest: the |weight|
            that is drawn widest. fontsize: of the names, in points.
    """
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
        axes.text(-0.12, y, name, ha="right", va="center", fontsize=fontsize, color="k" if live else "#999999")
    for y, name in zip(heights[2], one["class"].values, strict=True):
        axes.text(2.12, y, name.replace("_", " "), ha="left", va="center", fontsize=fontsize)
    axes.set_xlim(left, 2.5 + 0.02 * (fontsize - 8))
    axes.set_ylim(-0.05, 1.05)
    axes.set_axis_off()


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
