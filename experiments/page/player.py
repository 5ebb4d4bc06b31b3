"""The player's frames: the small network at each λ, the histogram of its weights and its accuracy.

Every frame has the same size, axes and scales, so that only the data move from frame to frame. Each
penalty has a picture of its own: on a wide screen the two are side by side, on a narrow one below
each other.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from experiments import page
from experiments.figures import COLOURS, largest_of
from experiments.lazy import Axes, Figure, xr
from experiments.studies.l1_l2 import NAMES_LEFT, NAMES_RIGHT, draw_network, small_weights, stages

METHODS = {"L1": "Proximal L1", "L2": "Coupled L2"}
BINS = 41
FONTSIZE = 10.5
PALETTE = 128
"""Number of colours of a picture; a palette takes a quarter of the bytes."""


def frames(wine: xr.Dataset) -> list[dict[str, Any]]:
    """The strength of each frame, and for each penalty its picture as a data URI and in words."""
    from PIL import Image

    def view(penalty: str, index: int) -> dict[str, str]:
        pixels, packed = io.BytesIO(), io.BytesIO()
        draw_frame(wine, penalty, index).savefig(pixels, format="png")
        # The usual median cut would merge rare colours, such as that of a line, with their
        # neighbours.
        method, dither = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
        reduced = Image.open(pixels).convert("RGB").quantize(PALETTE, method, dither=dither)
        reduced.save(packed, "PNG", optimize=True)
        described = f"{METHODS[penalty]}: {description(wine, penalty, index)}"
        return {"image": page.data_uri(packed.getvalue(), "png"), "description": described}

    return [
        {"strength": f"λ = {strength:g}", **{penalty: view(penalty, index) for penalty in METHODS}}
        for index, strength in enumerate(wine["strength"].values)
    ]


def draw_frame(wine: xr.Dataset, penalty: str, index: int) -> Figure:
    """Draws the small network, its weights and its accuracies with a penalty at the λ of an
    index.
    """
    from matplotlib.figure import Figure

    networks, colour = wine.sel(penalty=penalty), COLOURS[penalty]
    network, shown = networks.isel(strength=index), stages(wine)
    # A fixed layout: a fitted one would move the axes from frame to frame.
    figure = Figure(figsize=(4.5, 5.8), dpi=115)
    graph = figure.add_axes((0.0, 0.48, 1.0, 0.515))
    graph.set_xlim(-NAMES_LEFT, 2 + NAMES_RIGHT)
    # Lines are as wide as in the figures of the main job.
    widest = largest_of(shown["first"].values, shown["second"].values)
    draw_network(graph, network, widest, FONTSIZE)
    largest = largest_of(wine["first"].values, wine["second"].values)
    weights = small_weights(network)
    draw_histogram(figure.add_axes((0.12, 0.32, 0.58, 0.12)), weights, largest, colour)
    draw_zeros(figure.add_axes((0.83, 0.32, 0.08, 0.12)), weights, colour)
    draw_accuracies(figure.add_axes((0.12, 0.085, 0.85, 0.12)), networks, index, colour)
    for axes in figure.axes[1:]:
        axes.tick_params(labelsize=FONTSIZE, length=3, pad=2)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def description(wine: xr.Dataset, penalty: str, index: int) -> str:
    """A frame's numbers in words."""
    network = wine.sel(penalty=penalty).isel(strength=index)
    weights = small_weights(network)
    if not np.isfinite(weights).all():
        return "diverged: some weights are not finite"
    train, test = (
        f"{100 * float(network[f'{rows}_accuracy']):.0f}\N{NO-BREAK SPACE}%"
        for rows in ("train", "test")
    )
    zeros = f"{int((weights == 0).sum())} of {weights.size} weights exactly 0"
    # No line ends between a number and what it belongs to.
    norm = f"‖w‖ = {np.linalg.norm(weights):.2g}".replace(" ", "\N{NO-BREAK SPACE}")
    return f"{zeros}; {norm}; training accuracy {train}, test accuracy {test}"


def draw_histogram(axes: Axes, weights: np.ndarray, largest: float, colour: str) -> None:
    """Draws a histogram of the weights that are not 0. Its scale is logarithmic, because one bin
    may hold nearly all.
    """
    nonzero = weights[(weights != 0) & np.isfinite(weights)]
    counts, edges = np.histogram(nonzero, np.linspace(-largest, largest, BINS + 1))
    # Bars start at half a weight, because a logarithmic scale has no 0.
    heights = np.maximum(counts, 0.5) - 0.5
    style: dict[str, Any] = {"align": "edge", "color": colour, "lw": 0.3, "edgecolor": "w"}
    axes.bar(edges[:-1], heights, np.diff(edges), 0.5, **style)
    axes.set(yscale="log", xlim=(-largest, largest), ylim=(0.5, 1.5 * weights.size))
    axes.set_yticks([1, 10, 100], ["1", "10", "100"])
    axes.minorticks_off()
    axes.set_xlabel("weight", fontsize=FONTSIZE, labelpad=1)
    axes.set_title("weights that are not 0 (count)", fontsize=FONTSIZE, loc="left", pad=3)


def draw_zeros(axes: Axes, weights: np.ndarray, colour: str) -> None:
    """Draws the share of exact zeros as a bar of its own: they are in no bin of the histogram."""
    zeros = int((weights == 0).sum())
    axes.bar([0], [100], 1, color="#EEEEEE")
    axes.bar([0], [100 * zeros / weights.size], 1, color=colour)
    axes.set(xlim=(-0.5, 0.5), ylim=(0, 100), yticks=[0, 50, 100])
    axes.set_xticks([0], [f"{zeros} of {weights.size}"])
    axes.set_title("exactly 0, %", fontsize=FONTSIZE, pad=6)


def draw_accuracies(axes: Axes, networks: xr.Dataset, index: int, colour: str) -> None:
    """Draws training and test accuracy against λ, with λ = 0 at the left end and a mark at the λ of
    the frame.
    """
    strengths = networks["strength"].values
    places = np.concatenate([[strengths[1] / 4], strengths[1:]])
    train, test = (100 * networks[f"{rows}_accuracy"].values for rows in ("train", "test"))
    axes.axvline(places[index], color="#BBBBBB", lw=4, zorder=0)
    axes.plot(places, train, "--", color="#444444", lw=1.2, label=f"training {train[index]:.0f}")
    axes.plot(places, test, "-", color=colour, lw=1.6, label=f"test {test[index]:.0f}")
    axes.plot(places[index], train[index], "o", color="w", mec="#444444", ms=8, zorder=3)
    axes.plot(places[index], test[index], "o", color=colour, ms=5, zorder=4)
    first, last = np.ceil(np.log10(strengths[1]) - 1e-9), np.log10(strengths[-1]) + 1e-9
    powers = np.arange(first, last, 2)
    axes.set_xscale("log")
    names = ["0", *(f"$10^{{{power:.0f}}}$" for power in powers)]
    axes.set_xticks([places[0], *10.0**powers], names)
    axes.minorticks_off()
    axes.set(xlim=(places[0] / 1.5, places[-1] * 1.5), ylim=(0, 108), yticks=[0, 50, 100])
    axes.set_xlabel("strength λ", fontsize=FONTSIZE, labelpad=1)
    axes.set_title("accuracy, %", fontsize=FONTSIZE, loc="left", pad=3)
    axes.legend(fontsize=FONTSIZE, frameon=False, loc="lower right", bbox_to_anchor=(1.01, 0.97),
                ncols=2, borderpad=0, borderaxespad=0.3, handlelength=1.6)  # fmt: skip
