"""What all figures share.

Every method keeps its colour from figure to figure (Okabe and Ito's palette, which colour-blind readers can tell apart).
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import interval

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
}
MARKERS = ["o", "s", "^", "D", "v"]
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, laid out so that nothing overlaps."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def largest_of(*arrays: np.ndarray) -> float:
    """The largest finite |value|, or 1 where there is none but 0: a scale that a diverged network cannot break."""
    values = np.abs(np.concatenate([np.ravel(array) for array in arrays]))
    return float(np.max(values[np.isfinite(values)], initial=0)) or 1.0


def curve(axes: Axes, places: np.ndarray, values: np.ndarray, label: str, **style: Any) -> None:
    """A line of means with 95 % intervals: places (points,), values (points, seeds)."""
    found = [interval(one) for one in values]
    mean = np.array([one.mean for one in found])
    reach = np.nan_to_num([one.high - one.mean for one in found])
    style = {"marker": "o", "ms": 4, "lw": 1.5, "capsize": 2, "color": COLOURS.get(label), **style}
    axes.errorbar(places, mean, reach, label=label, **style)


def against_strength(
    axes: Axes, of: xr.Dataset, name: str, label: str, scale: float = 1, zero: float | None = None, **style: Any
) -> None:
    """A way's metric against λ on a logarithmic axis, whose left end is λ = 0.

    Args:
        axes: to draw on. of: a way's records along (level, seed), level 0 being λ = 0. name: of the metric.
        label: of the line. scale: what the metric is multiplied by. style: as for `curve`.
        zero: where λ = 0 stands; ways with different grids must be given one place. By default a third of the smallest λ.
    """
    strengths = of["strength"].values
    places = np.concatenate([[zero or strengths[1] / 3], strengths[1:]])
    curve(axes, places, scale * of[name].transpose("level", "seed").values, label, **style)
    axes.set_xscale("log")
    # Not the axes' own limits, which leave out what has no number.
    every = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes.get_lines()])
    first, last = every.min(), every.max()
    powers = np.arange(np.ceil(np.log10(1.5 * first)), np.floor(np.log10(last) + 1e-9) + 1)
    axes.set_xticks([first, *10.0**powers], ["0", *(f"$10^{{{int(power)}}}$" for power in powers)])
    axes.minorticks_off()
    axes.set_xlabel("strength λ")
    axes.grid(alpha=0.25)


def zero_of(strengths: xr.DataArray) -> float:
    """One place for λ = 0 on an axis that several grids of strengths share."""
    return float(strengths.where(strengths > 0).min()) / 3
