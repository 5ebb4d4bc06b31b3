"""The effect of λ on the weights of the network on the digits."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.figures.style import MARKERS, largest_of, new_figure
from experiments.verdicts import mean_and_error

LAYERS = ["#000000", "#E69F00", "#56B4E9", "#888888", "#F0E442"]


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

    zero_bars(middle, [shown[level] for level in levels], paint)
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


def zero_bars(axes: Axes, weights: list[np.ndarray], paint: list) -> None:
    """The share of exact zeros as a bar a row, with its number."""
    diverged = [not np.isfinite(values).all() for values in weights]
    zeros = [float(np.mean(values == 0)) for values in weights]
    axes.barh(range(len(weights)), [100 * zero for zero in zeros], 0.6, color=paint)
    for row, zero in enumerate(zeros):
        inside = zero > 0.6
        # Rounding must not turn the last few weights into none.
        label = f"{100 * zero:.0f} %" if round(100 * zero) < 100 or zero == 1 else f"{min(100 * zero, 99.9):.1f} %"
        label = "diverged" if diverged[row] else label
        axes.text(
            100 * zero - 3 if inside else 100 * zero + 3, row, label,
            va="center", ha="right" if inside else "left", fontsize=8, color="w" if inside else "k",
        )  # fmt: skip


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
