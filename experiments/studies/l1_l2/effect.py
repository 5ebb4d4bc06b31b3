"""The effect of λ on the weights of the network on the digits."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import mean_and_error
from experiments.figures.style import COLOURS, MARKERS, new_figure
from experiments.study import Results

LAYERS = ["#000000", "#555555", "#888888", "#AAAAAA", "#CCCCCC"]
LINES = ["-", "--", ":", "-.", "-"]
SIZES = (0.01, 0.1)
"""The bounds between small, medium and large |w|."""
BANDS = {
    "exactly 0": "",
    f"0 < |w| < {SIZES[0]:g}": "#E6E6E6",
    f"{SIZES[0]:g} ≤ |w| < {SIZES[1]:g}": "#A6A6A6",
    f"|w| ≥ {SIZES[1]:g}": "#4D4D4D",
}
"""The sizes of weights and their colours. Exact zeros have the colour of the method."""
SHARED = ["coupled L1", "proximal L1", "coupled L2"]
"""The methods whose strengths decide the range of the λ-axes."""


def effect(results: Results, method: str) -> Figure:
    """Draws the effect of λ on a network's weights, for one method.

    Left: the weights of the first seed's networks by their size, a bar for each λ. Right: each
    layer's share of exact zeros and its norm against λ, mean ± standard error over the seeds.
    Figures of different methods have the same axes.

    Args:
        results: the dataset "digits" of the main job.
        method: the method to draw.
    """
    digits = results["digits"]
    selected = digits.sel({"method": method})
    strengths = digits["strength"].sel({"method": SHARED})
    limits = (float(strengths.where(strengths > 0).min()), float(strengths.max()))
    figure = new_figure(8.8, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
    draw_sizes(left, selected, method, limits[0])
    right.remove()
    grid = right.get_subplotspec().subgridspec(2, 1)
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    draw_layers(top, selected, "layer_zero_fraction", 100, limits)
    draw_layers(bottom, selected, "layer_norm", 1, limits)
    for axes in (left, top):
        mark_strengths(axes, limits)
    left.set(xlabel="strength λ")
    top.set(ylabel="exact zeros, %", ylim=(-4, 104))
    top.tick_params(labelbottom=False)
    top.set_title(f"by layer, {digits.sizes['seed']} seeds, ± standard error", fontsize=10)
    # No place within the axes is free of curves for every method.
    handles, labels = top.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower right", ncols=len(labels), fontsize=10, frameon=False
    )
    largest = float(digits["layer_norm"].isel(level=0).max())
    bottom.set(
        ylabel="norm of the kernel",
        xlabel="strength λ",
        ylim=(0, 1.15 * largest if np.isfinite(largest) else None),
    )
    figure.suptitle(f"Network on the digits: its weights as λ grows, {method}", fontsize=12)
    return figure


def positions_of(strengths: np.ndarray, first: float) -> np.ndarray:
    """The positions (level,) of strengths (level,) on a λ-axis in decades: log10(λ), and left of
    the grid for λ = 0.
    """
    return np.log10(np.concatenate([[first / 5], strengths[1:]]))


def mark_strengths(axes: Axes, limits: tuple[float, float]) -> None:
    """Sets the range and the ticks of a λ-axis in decades."""
    first, last = limits
    decades = np.arange(np.ceil(np.log10(first) - 1e-9), np.floor(np.log10(last) + 1e-9) + 1)
    axes.set_xticks(
        [np.log10(first / 5), *decades], ["0", *(f"$10^{{{decade:.0f}}}$" for decade in decades)]
    )
    axes.set_xlim(np.log10(first / 8.5), np.log10(1.6 * last))


def draw_sizes(axes: Axes, selected: xr.Dataset, method: str, first: float) -> None:
    """Draws a stacked bar for each λ: the shares of weights that are exactly 0, small, medium and
    large.
    """
    weights, strengths = selected["weights"].values, selected["strength"].values
    places = positions_of(strengths, first)
    width = 0.86 * float(np.diff(places[1:]).min(initial=0.44))
    finite = np.isfinite(weights).all(1)
    shares = 100 * np.array([shares_of(row) for row in weights])
    bottom = np.zeros(len(places))
    for band, (label, colour) in enumerate(BANDS.items()):
        height = np.where(finite, shares[:, band], 0)
        axes.bar(
            places,
            height,
            width,
            bottom,
            color=colour or COLOURS[method],
            label=label,
            edgecolor="w",
            lw=0.4,
        )
        bottom += height
    for place, share, sound in zip(places.tolist(), shares[:, 0].tolist(), finite, strict=True):
        if not sound:
            axes.text(
                place,
                50,
                "diverged",
                rotation=90,
                ha="center",
                va="center",
                fontsize=9,
                clip_on=True,
            )
        elif share > 5:
            # Rounding must not turn the last few weights into none.
            text = f"{share:.0f}" if round(share) < 100 or share == 100 else "99+"
            axes.text(
                place,
                share - 1.5,
                text,
                ha="center",
                va="top",
                fontsize=8.5,
                color="w",
                clip_on=True,
            )
    axes.set(ylim=(0, 100), ylabel="share of the weights, % (seed 0)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=9.5,
    frameon=False, columnspacing=1.0,
                handlelength=1.2)  # fmt: skip


def shares_of(weights: np.ndarray) -> list[float]:
    """Shares of the weights that are exactly 0, small, medium and large."""
    size = np.abs(weights)
    small, medium = SIZES
    bands = (
        size == 0,
        (size > 0) & (size < small),
        (size >= small) & (size < medium),
        size >= medium,
    )
    return [float(band.mean()) for band in bands]


def draw_layers(
    axes: Axes, selected: xr.Dataset, name: str, scale: float, limits: tuple[float, float]
) -> None:
    """Draws a metric of each layer against λ, the network without a penalty at the left end."""
    places = positions_of(selected["strength"].values, limits[0])
    for layer in range(selected.sizes["layer"]):
        values = scale * selected[name].isel(layer=layer).transpose("level", "seed").values.astype(
            float
        )
        mean, error = zip(*map(mean_and_error, values), strict=True)
        style: dict[str, Any] = {
            "color": LAYERS[layer % 5],
            "ls": LINES[layer % 5],
            "marker": MARKERS[layer % 5],
        }
        axes.errorbar(
            places,
            mean,
            np.nan_to_num(error),
            label=f"layer {layer + 1}",
            ms=4.5,
            lw=1.5,
            capsize=2,
            **style,
        )
    axes.grid(alpha=0.25)
