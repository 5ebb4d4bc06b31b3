"""One frame of the player: the drawn network at one λ, the histogram of its weights, and where its accuracy stands.

    frame(records, "L1", 3)        # a Figure, from what `drawing.play` records: L1 at the fourth λ
    told(records, "L1", 3)         # the same in words

Every frame has the same size, axes and scales, so that stepping through them moves the data and nothing else. A penalty is
a picture of its own: the two stand side by side on a wide screen and below each other on a narrow one.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.network import draw_network
from experiments.figures.style import COLOURS, largest_of

METHODS = {"L1": "L1, proximal", "L2": "L2, coupled"}
BINS = 41
TEXT = 9.5


def frame(records: xr.Dataset, penalty: str, at: int) -> Figure:
    """The network, its weights and its accuracies under one penalty at the strength of index `at`."""
    one = records.sel(penalty=penalty).isel(strength=at)
    # A fixed layout: a fitted one would move the axes from frame to frame.
    figure = Figure(figsize=(4.5, 6.0), dpi=115)
    figure.text(0.5, 0.985, f"{METHODS[penalty]}: λ = {float(one['strength']):g}", ha="center", va="top", fontsize=12)
    largest = largest_of(records["first"].values, records["second"].values)
    draw_network(figure.add_axes((0.0, 0.47, 1.0, 0.465)), one, largest, TEXT, -1.4)
    weights, colour = weights_of(one), COLOURS[penalty]
    histogram(figure.add_axes((0.12, 0.28, 0.6, 0.13)), weights, largest, colour)
    zeros(figure.add_axes((0.84, 0.28, 0.08, 0.13)), weights, colour)
    accuracies(figure.add_axes((0.12, 0.08, 0.85, 0.125)), records.sel(penalty=penalty), at, colour)
    return figure


def told(records: xr.Dataset, penalty: str, at: int) -> str:
    """What a frame shows, counted."""
    one = records.sel(penalty=penalty).isel(strength=at)
    weights = weights_of(one)
    if not np.isfinite(weights).all():
        return "diverged: some weights are no numbers"
    train, test = (f"{100 * float(one[f'{rows}_accuracy']):.0f}\N{NO-BREAK SPACE}%" for rows in ("train", "test"))
    exact = f"{int((weights == 0).sum())} of {weights.size} weights exactly 0"
    # No line ends between a number and what it belongs to.
    norm = f"‖w‖ = {np.linalg.norm(weights):.2g}".replace(" ", "\N{NO-BREAK SPACE}")
    return f"{exact}; {norm}; train accuracy {train}, test accuracy {test}"


def weights_of(one: xr.Dataset) -> np.ndarray:
    """Both kernels as one vector."""
    return np.concatenate([one["first"].values.ravel(), one["second"].values.ravel()])


def histogram(axes: Axes, weights: np.ndarray, largest: float, colour: str) -> None:
    """How many of the weights that are not 0 lie where, on a logarithmic scale, as one bin may hold nearly all."""
    nonzero = weights[(weights != 0) & np.isfinite(weights)]
    counts, edges = np.histogram(nonzero, np.linspace(-largest, largest, BINS + 1))
    # From half a weight up, as a logarithmic scale has no 0 for a bar to stand on.
    heights = np.maximum(counts, 0.5) - 0.5
    axes.bar(edges[:-1], heights, np.diff(edges), 0.5, align="edge", color=colour, lw=0.3, edgecolor="w")
    axes.set_yscale("log")
    axes.set(xlim=(-largest, largest), ylim=(0.5, 1.5 * weights.size), yticks=[1, 10, 100])
    axes.set_yticklabels(["1", "10", "100"])
    axes.minorticks_off()
    axes.set_title("weights that are not 0: how many", fontsize=TEXT, loc="left", pad=3)
    quiet(axes)


def zeros(axes: Axes, weights: np.ndarray, colour: str) -> None:
    """The exact zeros as a bar of their own, with their number: they are no part of any bin."""
    share = float(np.mean(weights == 0))
    axes.bar([0], [100], 1, color="#EEEEEE")
    axes.bar([0], [100 * share], 1, color=colour)
    axes.set(xlim=(-0.5, 0.5), ylim=(0, 100), xticks=[0], yticks=[0, 50, 100])
    axes.set_xticklabels([f"{int((weights == 0).sum())} of {weights.size}"])
    axes.set_title("exactly 0: %", fontsize=TEXT, pad=6)
    quiet(axes)


def accuracies(axes: Axes, records: xr.Dataset, at: int, colour: str) -> None:
    """Train and test accuracy against λ, λ = 0 at the left end, with a mark where this frame is."""
    strengths = records["strength"].values
    places = np.concatenate([[strengths[1] / 4], strengths[1:]])
    train, test = (100 * records[f"{rows}_accuracy"].values for rows in ("train", "test"))
    axes.axvline(places[at], color="#BBBBBB", lw=4, zorder=0)
    axes.plot(places, train, "--", color="#444444", lw=1.2, label=f"train {train[at]:.0f}")
    axes.plot(places, test, "-", color=colour, lw=1.6, label=f"test {test[at]:.0f}")
    axes.plot(places[at], train[at], "o", color="w", markeredgecolor="#444444", ms=8, zorder=3)
    axes.plot(places[at], test[at], "o", color=colour, ms=5, zorder=4)
    decades = 10.0 ** np.arange(np.ceil(np.log10(strengths[1]) - 1e-9), np.log10(strengths[-1]) + 1e-9, 2)
    axes.set_xscale("log")
    axes.set_xticks([places[0], *decades], ["0", *(f"$10^{{{np.log10(decade):.0f}}}$" for decade in decades)])
    axes.minorticks_off()
    axes.set(xlim=(places[0] / 1.5, places[-1] * 1.5), ylim=(0, 108), yticks=[0, 50, 100])
    axes.set_xlabel("strength λ", fontsize=TEXT, labelpad=1)
    axes.set_title("accuracy, %", fontsize=TEXT, loc="left", pad=3)
    axes.legend(fontsize=TEXT, frameon=False, loc="lower left", ncols=2, borderpad=0, handlelength=1.6)
    quiet(axes)


def quiet(axes: Axes) -> None:
    """Readable ticks, and no frame where nothing is read off."""
    axes.tick_params(labelsize=TEXT, length=3, pad=2)
    axes.spines[["top", "right"]].set_visible(False)
