"""What all figures share.

Every method keeps its colour from figure to figure (Okabe and Ito's palette, which colour-blind readers can tell apart).
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.verdicts import interval

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


def places_of(strengths: np.ndarray) -> np.ndarray:
    """Where strengths stand on a logarithmic axis: 0, the first, a step and a half to the left of the next."""
    return np.concatenate([[strengths[1] / (strengths[2] / strengths[1]) ** 1.5], strengths[1:]])


def strength_axis(axes: Axes, places: np.ndarray) -> None:
    """A logarithmic axis of λ whose left end is λ = 0."""
    axes.set_xscale("log")
    inner = np.arange(np.ceil(np.log10(places[1]) - 1e-9), np.floor(np.log10(places[-1]) + 1e-9) + 1)
    axes.set_xticks([places[0], *10.0**inner], ["0", *(f"$10^{{{power:.0f}}}$" for power in inner)])
    axes.minorticks_off()
    axes.set_xlabel("strength λ")
    axes.grid(alpha=0.25)
