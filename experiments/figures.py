"""What all figures share: colours, sizes, and curves against λ.

Every method has one colour in all figures. The palette is Okabe and Ito's, which colour-blind
readers can tell apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.claims import interval
from experiments.lazy import Axes, Figure, xr

COLOURS = {
    "before": "#444444",
    "none": "#444444",
    "L1": "#D55E00",
    "proximal L1": "#D55E00",
    "coupled L1": "#E69F00",
    "decoupled L1": "#AA7733",
    "L2": "#0072B2",
    "coupled L2": "#0072B2",
    "decoupled L2": "#56B4E9",
    "proximal L2": "#004477",
    "elastic net": "#CC79A7",
    "group L2": "#009E73",
    "log-sum": "#0072B2",
    "bridge": "#56B4E9",
    "MCP": "#E69F00",
    "L0": "#009E73",
}
MARKERS = ["o", "s", "^", "D", "v"]
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure whose layout keeps its parts from overlapping; sizes in inches."""
    from matplotlib import figure

    return figure.Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def largest_of(*arrays: np.ndarray) -> float:
    """The largest finite absolute value, or 1 if none is above 0: a diverged network does not break
    a scale.
    """
    values = np.abs(np.concatenate([np.ravel(array) for array in arrays]))
    return float(np.max(values[np.isfinite(values)], initial=0)) or 1.0


def curve(axes: Axes, places: np.ndarray, values: np.ndarray, label: str, **style: Any) -> None:
    """Draws a line of means with 95 % intervals.

    Args:
        axes: the axes to draw on.
        places: the horizontal positions (points,).
        values: one value for each seed (points, seeds).
        label: the line's name in the legend. A method's name also sets the colour.
        **style: keyword arguments of `Axes.errorbar`.
    """
    intervals = [interval(row) for row in values]
    means = np.array([found.mean for found in intervals])
    errors = np.nan_to_num([found.high - found.mean for found in intervals])
    style = {"marker": "o", "ms": 4, "lw": 1.5, "capsize": 2, "color": COLOURS.get(label), **style}
    axes.errorbar(places, means, errors, label=label, **style)


def against_strength(
    axes: Axes,
    method_runs: xr.Dataset,
    name: str,
    label: str,
    scale: float = 1,
    zero: float | None = None,
    **style: Any,
) -> None:
    """Draws a metric of one method against λ on a logarithmic axis, whose left end stands for λ =
    0.

    Args:
        axes: the axes to draw on.
        method_runs: the runs of one method along (level, seed). Level 0 is λ = 0.
        name: the name of the metric.
        label: the line's name in the legend.
        scale: the factor that the metric is multiplied by.
        zero: the position of λ = 0, by default a third of the smallest λ. Methods with different
            grids need the same one.
        **style: keyword arguments of `curve`.
    """
    strengths = method_runs["strength"].values
    places = np.concatenate([[zero or strengths[1] / 3], strengths[1:]])
    curve(axes, places, scale * method_runs[name].transpose("level", "seed").values, label, **style)
    axes.set_xscale("log")
    # The axes' own limits leave out points without a number.
    positions = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes.get_lines()])
    first, last = positions.min(), positions.max()
    powers = np.arange(np.ceil(np.log10(1.5 * first)), np.floor(np.log10(last) + 1e-9) + 1)
    axes.set_xticks([first, *10.0**powers], ["0", *(f"$10^{{{int(power)}}}$" for power in powers)])
    axes.minorticks_off()
    axes.set_xlabel("strength λ")
    axes.grid(alpha=0.25)


def zero_of(strengths: xr.DataArray) -> float:
    """The position of λ = 0 on an axis that several grids of strengths share."""
    return float(strengths.where(strengths > 0).min()) / 3
