"""The player's frames: the small network at one λ, the histogram of its weights, and its accuracy.

    frame(dataset, "L1", 3)            # a Figure, from the dataset that `train_wine` returns: L1 at the fourth λ
    description(dataset, "L1", 3)      # the same in words

Every frame has the same size, axes and scales, so that only the data move from frame to frame. Each
penalty has a picture of its own: on a wide screen the two are side by side, on a narrow one below
each other.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.network import NAMES_LEFT, NAMES_RIGHT, draw_network, weights_of
from experiments.figures.style import COLOURS, largest_of

METHODS = {"L1": "Proximal L1", "L2": "Coupled L2"}
BINS = 41
FONTSIZE = 10.5


def frame(dataset: xr.Dataset, penalty: str, index: int) -> Figure:
    """Draws the network, its weights and its accuracies with one penalty.

    Args:
        dataset: the small networks along (penalty, strength), as in `wine.nc`.
        penalty: "L1" or "L2".
        index: the position of the strength λ.
    """
    network = dataset.sel(penalty=penalty).isel(strength=index)
    # A fixed layout: a fitted one would move the axes from frame to frame.
    figure = Figure(figsize=(4.5, 5.8), dpi=115)
    graph = figure.add_axes((0.0, 0.48, 1.0, 0.515))
    graph.set_xlim(-NAMES_LEFT, 2 + NAMES_RIGHT)
    draw_network(graph, network, largest_in_figures(dataset), FONTSIZE)
    weights, colour = weights_of(network), COLOURS[penalty]
    largest = largest_of(dataset["first"].values, dataset["second"].values)
    draw_histogram(figure.add_axes((0.12, 0.32, 0.58, 0.12)), weights, largest, colour)
    draw_zeros(figure.add_axes((0.83, 0.32, 0.08, 0.12)), weights, colour)
    draw_accuracies(
        figure.add_axes((0.12, 0.085, 0.85, 0.12)), dataset.sel(penalty=penalty), index, colour
    )
    return figure


def description(dataset: xr.Dataset, penalty: str, index: int) -> str:
    """A frame's numbers in words; the arguments are those of `frame`."""
    network = dataset.sel(penalty=penalty).isel(strength=index)
    weights = weights_of(network)
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


def largest_in_figures(dataset: xr.Dataset) -> float:
    """The largest absolute weight of the networks in the figures, so that lines in the player are
    as wide as there.
    """
    shown = [dataset.isel(strength=0)]
    if "figure_strength" in dataset:
        pairs = zip(dataset["penalty"].values, dataset["figure_strength"].values, strict=True)
        shown += [
            dataset.sel(penalty=penalty).sel(strength=strength, method="nearest")
            for penalty, strength in pairs
        ]
    return largest_of(*(network[name].values for network in shown for name in ("first", "second")))


def draw_histogram(axes: Axes, weights: np.ndarray, largest: float, colour: str) -> None:
    """Draws a histogram of the weights that are not 0. Its scale is logarithmic, because one bin
    may hold nearly all.
    """
    nonzero = weights[(weights != 0) & np.isfinite(weights)]
    counts, edges = np.histogram(nonzero, np.linspace(-largest, largest, BINS + 1))
    # Bars start at half a weight, because a logarithmic scale has no 0.
    heights = np.maximum(counts, 0.5) - 0.5
    axes.bar(
        edges[:-1], heights, np.diff(edges), 0.5, align="edge", color=colour, lw=0.3, edgecolor="w"
    )
    axes.set_yscale("log")
    axes.set(xlim=(-largest, largest), ylim=(0.5, 1.5 * weights.size), yticks=[1, 10, 100])
    axes.set_yticklabels(["1", "10", "100"])
    axes.minorticks_off()
    axes.set_xlabel("weight", fontsize=FONTSIZE, labelpad=1)
    axes.set_title("weights that are not 0 (count)", fontsize=FONTSIZE, loc="left", pad=3)
    simplify(axes)


def draw_zeros(axes: Axes, weights: np.ndarray, colour: str) -> None:
    """Draws the share of exact zeros as a bar of its own: they are in no bin of the histogram."""
    share = float(np.mean(weights == 0))
    axes.bar([0], [100], 1, color="#EEEEEE")
    axes.bar([0], [100 * share], 1, color=colour)
    axes.set(xlim=(-0.5, 0.5), ylim=(0, 100), xticks=[0], yticks=[0, 50, 100])
    axes.set_xticklabels([f"{int((weights == 0).sum())} of {weights.size}"])
    axes.set_title("exactly 0, %", fontsize=FONTSIZE, pad=6)
    simplify(axes)


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
    axes.plot(
        places[index], train[index], "o", color="w", markeredgecolor="#444444", ms=8, zorder=3
    )
    axes.plot(places[index], test[index], "o", color=colour, ms=5, zorder=4)
    decades = 10.0 ** np.arange(
        np.ceil(np.log10(strengths[1]) - 1e-9), np.log10(strengths[-1]) + 1e-9, 2
    )
    axes.set_xscale("log")
    axes.set_xticks(
        [places[0], *decades], ["0", *(f"$10^{{{np.log10(decade):.0f}}}$" for decade in decades)]
    )
    axes.minorticks_off()
    axes.set(xlim=(places[0] / 1.5, places[-1] * 1.5), ylim=(0, 108), yticks=[0, 50, 100])
    axes.set_xlabel("strength λ", fontsize=FONTSIZE, labelpad=1)
    axes.set_title("accuracy, %", fontsize=FONTSIZE, loc="left", pad=3)
    axes.legend(fontsize=FONTSIZE, frameon=False, loc="lower right", bbox_to_anchor=(1.01, 0.97),
    ncols=2, borderpad=0,
                borderaxespad=0.3, handlelength=1.6)  # fmt: skip
    simplify(axes)


def simplify(axes: Axes) -> None:
    """Makes ticks readable and removes the frame where nothing is read off."""
    axes.tick_params(labelsize=FONTSIZE, length=3, pad=2)
    axes.spines[["top", "right"]].set_visible(False)
