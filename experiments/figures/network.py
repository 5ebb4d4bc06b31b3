"""One network as a picture: as a graph before and after a penalty, and its first layer as bars."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.figures.style import COLOURS, DPI, largest_of, new_figure

THINNEST = 0.6
"""The smallest width of a line, in points. A thinner line could not be seen and would look like a
zero.
"""
WIDEST = 5.0
"""The width of the line of the largest weight, in points."""
POSITIVE, NEGATIVE, DEAD = "#009E73", "#AA3377", "#CCCCCC"
NAMES_LEFT, NAMES_RIGHT, MARGIN = 1.8, 0.72, 0.22
"""The space for the names of the inputs, for those of the classes, and beside a graph without
names; layers are 1 apart.
"""


def weights_of(network: xr.Dataset) -> np.ndarray:
    """Both kernels as one vector."""
    return np.concatenate([network["first"].values.ravel(), network["second"].values.ravel()])


def network_row(networks: xr.Dataset, stages: Sequence[str]) -> Figure:
    """Draws one network as a graph, before and after some penalties, side by side.

    All figures of the same networks have the same scale of widths. With three graphs only the first
    has the names of the inputs and only the last those of the classes, so that everything can be
    read at the width of a page.

    Args:
        networks: the kernels and accuracies along `stage`.
        stages: which networks to draw, some of "before", "L1" and "L2".
    """
    figure = Figure(figsize=(8.8, 5.4), dpi=DPI)
    largest = largest_of(networks["first"].values, networks["second"].values)
    last = len(stages) - 1
    names_in_all = len(stages) <= 2
    lefts = [NAMES_LEFT if names_in_all or at == 0 else MARGIN for at in range(len(stages))]
    rights = [NAMES_RIGHT if names_in_all or at == last else MARGIN for at in range(len(stages))]
    widths = np.array(lefts) + 2 + np.array(rights)
    widths, starts = widths / widths.sum(), np.concatenate([[0], np.cumsum(widths)]) / widths.sum()
    for at, stage in enumerate(stages):
        axes = figure.add_axes((starts[at], 0.09, widths[at], 0.71))
        axes.set_xlim(-lefts[at], 2 + rights[at])
        draw_network(
            axes, networks.sel(stage=stage), largest, 10, lefts[at] > MARGIN, rights[at] > MARGIN
        )
        write_heading(
            figure,
            starts[at] + widths[at] * (lefts[at] + 1) / (lefts[at] + 2 + rights[at]),
            networks,
            stage,
        )
    figure.legend(handles=legend_of(largest), loc="lower center", ncols=6, frameon=False,
    fontsize=10,
                  columnspacing=1.4, handletextpad=0.6)  # fmt: skip
    return figure


def write_heading(figure: Figure, center: float, networks: xr.Dataset, stage: str) -> None:
    """Writes a network's penalty, zeros, norm and accuracy above its graph."""
    network = networks.sel(stage=stage)
    weights = weights_of(network)
    name = "no penalty" if stage == "before" else f"{stage}, λ = {float(network['strength']):g}"
    zeros = f"{int((weights == 0).sum())} of {weights.size} weights are 0"
    numbers = (
        f"‖w‖ = {np.linalg.norm(weights):.1f}\ntest accuracy "
        f"{100 * float(network['test_accuracy']):.0f} %"
    )
    if not np.isfinite(weights).all():
        numbers = "diverged: lines are missing"
    figure.text(
        center,
        0.985,
        name,
        ha="center",
        va="top",
        fontsize=13,
        fontweight="bold",
        color=COLOURS[stage],
    )
    figure.text(center, 0.925, zeros, ha="center", va="top", fontsize=10.5, fontweight="bold")
    figure.text(center, 0.885, numbers, ha="center", va="top", fontsize=10)


def legend_of(largest: float) -> list[Line2D]:
    """The legend of a graph: signs, widths and units."""
    thin = largest * THINNEST / WIDEST
    return [
        Line2D([], [], color=POSITIVE, lw=2.5, label="positive weight"),
        Line2D([], [], color=NEGATIVE, lw=2.5, label="negative weight"),
        Line2D([], [], color="k", lw=line_width(largest, largest), label=f"|w| = {largest:.1f}"),
        Line2D([], [], color="k", lw=THINNEST, label=f"|w| ≤ {thin:.1f}"),
        Line2D(
            [],
            [],
            marker="o",
            color="w",
            markerfacecolor="w",
            markeredgecolor="k",
            ms=9,
            label="unit",
        ),
        Line2D(
            [],
            [],
            marker="o",
            color="w",
            markerfacecolor=DEAD,
            markeredgecolor=DEAD,
            ms=9,
            label="dead unit",
        ),
    ]


def line_width(weight: float, largest: float) -> float:
    """The width of a line in points: proportional to |weight|, but at least `THINNEST`."""
    return max(THINNEST, WIDEST * abs(weight) / largest)


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
    kernels = [network["first"].values, network["second"].values]
    heights = [
        np.linspace(1, 0, kernels[0].shape[0]),
        np.linspace(0.95, 0.05, kernels[0].shape[1]),
        np.linspace(0.8, 0.2, kernels[1].shape[1]),
    ]
    draw_weights(axes, kernels, heights, largest)
    leaves = [(kernel != 0).any(1) for kernel in kernels]
    enters = [(kernel != 0).any(0) for kernel in kernels]
    alive = [leaves[0], enters[0] & leaves[1], enters[1]]
    for column, (ys, live) in enumerate(zip(heights, alive, strict=True)):
        faces = np.where(live, "w", DEAD)
        axes.scatter(
            np.full(len(ys), column),
            ys,
            s=90,
            c=faces,
            edgecolors=np.where(live, "k", DEAD).tolist(),
            zorder=2,
        )
    if inputs:
        for y, name, live in zip(heights[0], network["input"].values, alive[0], strict=True):
            axes.text(
                -0.13,
                y,
                name,
                ha="right",
                va="center",
                fontsize=fontsize,
                color="k" if live else "#999999",
            )
    if classes:
        for y, name in zip(heights[2], network["class"].values, strict=True):
            axes.text(2.13, y, name.replace("_", " "), ha="left", va="center", fontsize=fontsize)
    axes.set_ylim(-0.05, 1.05)
    axes.set_axis_off()


def draw_weights(
    axes: Axes, kernels: Sequence[np.ndarray], heights: Sequence[np.ndarray], largest: float
) -> None:
    """Draws a line for each weight that is a number other than 0."""
    for column, kernel in enumerate(kernels):
        for source, target in np.argwhere((kernel != 0) & np.isfinite(kernel)):
            weight = kernel[source, target]
            axes.plot(
                [column, column + 1],
                [heights[column][source], heights[column + 1][target]],
                color=POSITIVE if weight > 0 else NEGATIVE,
                lw=line_width(weight, largest),
                alpha=0.75,
                solid_capstyle="butt",
                zorder=1,
            )


def weight_bars(networks: xr.Dataset) -> Figure:
    """Draws every weight of the small network's first layer as a bar: before, after L1 and after
    L2, in the same order.

    Args:
        networks: the kernels along `stage`.
    """
    figure = new_figure(8.4, 5.8)
    kernels = {
        stage: networks["first"].sel(stage=stage).values.ravel() for stage in ("before", "L1", "L2")
    }
    before = kernels["before"]
    order = np.argsort(-np.abs(before))
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for axes, (stage, kernel) in zip(panels, kernels.items(), strict=True):
        axes.bar(
            range(kernel.size),
            np.where(np.isfinite(kernel), kernel, 0)[order],
            0.8,
            color=COLOURS[stage],
        )
        zero = np.flatnonzero(kernel[order] == 0)
        axes.plot(zero, np.zeros(len(zero)), "|", color=COLOURS[stage], ms=5, mew=0.8)
        axes.axhline(0, color="k", lw=0.8)
        axes.grid(axis="y", alpha=0.25)
        axes.set_ylabel("weight")
        text = describe_bars(stage, kernel, before, float(networks["strength"].sel(stage=stage)))
        axes.set_title(text, fontsize=10.5, loc="left", color=COLOURS[stage])
    panels[2].set_xlabel(
        "weights of the first layer, sorted by their size in the network without a penalty"
    )
    panels[0].set_xlim(-1, before.size)
    return figure


def describe_bars(stage: str, kernel: np.ndarray, before: np.ndarray, strength: float) -> str:
    """What a panel of the bars shows, in numbers."""
    if not np.isfinite(kernel).all():
        return (
            f"{stage}: diverged, {int((~np.isfinite(kernel)).sum())} of {kernel.size} weights "
            "are not finite"
        )
    zeros = int((kernel == 0).sum())
    if stage == "before":
        return f"no penalty: {kernel.size} weights, {zeros} exactly 0"
    smaller = int((np.abs(kernel) < np.abs(before)).sum())
    text = (
        f"{stage}, λ = {strength:g}: {zeros} exactly 0{' (ticks)' if zeros else ''}, {smaller} "
        "smaller than before"
    )
    largest = np.argsort(-np.abs(before))[: max(1, kernel.size // 10)]
    return f"{text}; {int((kernel[largest] != 0).sum())} of the {len(largest)} largest are left"
