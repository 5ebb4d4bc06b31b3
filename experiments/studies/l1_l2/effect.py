"""The effect of λ on the weights of the network on the digits."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import mean_and_error
from experiments.figures.style import MARKERS, new_figure
from experiments.study import Results

LAYERS = ["#000000", "#E69F00", "#56B4E9", "#888888", "#F0E442"]
SIZES = (0.01, 0.1)
"""Edges between small, middle and large |w|."""
BANDS = {
    "exactly 0": "#D55E00",
    f"0 < |w| < {SIZES[0]:g}": "#CFE3F1",
    f"{SIZES[0]:g} ≤ |w| < {SIZES[1]:g}": "#7FB6DB",
    f"|w| ≥ {SIZES[1]:g}": "#12507F",
}


def effect(records: Results, method: str) -> Figure:
    """The effect of λ on a network's weights, for one method.

    Left, the weights of the first seed's networks by their size, a bar for each λ. Right, each layer's share of exact zeros
    and its norm against λ, mean ± standard error over the seeds. Figures of different methods have the same axes.
    """
    digits = records["digits"]
    one = digits.sel({"method": method})
    figure = new_figure(8.8, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
    by_size(left, one)
    right.remove()
    grid = right.get_subplotspec().subgridspec(2, 1)
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    every = digits["strength"].sel({"method": ["coupled L1", "proximal L1", "coupled L2"]})
    reach = (float(every.where(every > 0).min()), float(every.max()))
    by_layer(top, one, "layer_zero_fraction", 100, reach)
    by_layer(bottom, one, "layer_norm", 1, reach)
    top.set(ylabel="exact zeros, %", ylim=(-4, 104))
    top.tick_params(labelbottom=False)
    top.legend(fontsize=9, frameon=False)
    top.set_title(f"by layer, {digits.sizes['seed']} seeds, ± standard error", fontsize=10)
    largest = float(digits["layer_norm"].isel(level=0).max())
    bottom.set(ylabel="norm of the kernel", xlabel="strength λ", ylim=(0, 1.15 * largest if np.isfinite(largest) else None))
    figure.suptitle(f"{method}: the weights of the network on the digits as λ grows", fontsize=12)
    return figure


def by_size(axes: Axes, one: xr.Dataset) -> None:
    """A stacked bar for each λ: the shares of weights that are exactly 0, small, middle and large."""
    weights, strengths = one["weights"].values, one["strength"].values
    places = np.arange(len(strengths))
    finite = np.isfinite(weights).all(1)
    shares = 100 * np.array([shares_of(row) for row in weights])
    bottom = np.zeros(len(places))
    for band, (label, colour) in enumerate(BANDS.items()):
        height = np.where(finite, shares[:, band], 0)
        axes.bar(places, height, 0.86, bottom, color=colour, label=label, edgecolor="w", lw=0.4)
        bottom += height
    for place, share, sound in zip(places.tolist(), shares[:, 0].tolist(), finite, strict=True):
        if not sound:
            axes.text(place, 50, "diverged", rotation=90, ha="center", va="center", fontsize=9)
        elif share > 5:
            # Rounding must not turn the last few weights into none.
            text = f"{share:.0f}" if round(share) < 100 or share == 100 else "99+"
            axes.text(place, share - 1.5, text, ha="center", va="top", fontsize=8.5, color="w")
    axes.set_xticks(places, ["0", *(f"{strength:.2g}" for strength in strengths[1:])], rotation=60, fontsize=9)
    axes.set(ylim=(0, 100), xlabel="strength λ", ylabel="share of the weights, % (seed 0)", xlim=(-0.6, len(places) - 0.4))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=9, frameon=False, columnspacing=1.0,
                handlelength=1.2)  # fmt: skip


def shares_of(weights: np.ndarray) -> list[float]:
    """Shares of the weights that are exactly 0, small, middle and large."""
    size = np.abs(weights)
    small, middle = SIZES
    kinds = (size == 0, (size > 0) & (size < small), (size >= small) & (size < middle), size >= middle)
    return [float(kind.mean()) for kind in kinds]


def by_layer(axes: Axes, one: xr.Dataset, name: str, scale: float, reach: tuple[float, float]) -> None:
    """A line for each layer against λ, the unpenalised network at the left end of an axis that reaches over `reach`."""
    first, last = reach
    places = np.concatenate([[first / 7], one["strength"].values[1:]])
    for layer in range(one.sizes["layer"]):
        values = scale * one[name].isel(layer=layer).transpose("level", "seed").values.astype(float)
        mean, error = zip(*map(mean_and_error, values), strict=True)
        style: dict[str, Any] = {"color": LAYERS[layer % 5], "marker": MARKERS[layer % 5], "ms": 4, "lw": 1.3, "capsize": 2}
        axes.errorbar(places, mean, np.nan_to_num(error), label=f"layer {layer + 1}", **style)
    axes.set_xscale("log")
    decades = np.arange(np.ceil(np.log10(first) - 1e-9), np.floor(np.log10(last) + 1e-9) + 1)
    axes.set_xticks([first / 7, *10.0**decades], ["0", *(f"$10^{{{decade:.0f}}}$" for decade in decades)])
    axes.minorticks_off()
    axes.set_xlim(first / 10, 1.6 * last)
    axes.grid(alpha=0.25)
