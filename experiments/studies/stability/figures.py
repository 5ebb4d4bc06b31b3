"""The figure of the stability study: oscillation of weights, and stability of supports."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import interval
from experiments.figures.style import COLOURS, new_figure
from experiments.study import Results

SHIFTS = (-0.25, 0.0, 0.25)
"""Horizontal places of three methods around their tick."""


def stability(results: Results) -> Figure:
    """Oscillation by method on the left, stability of supports by method on the right."""
    figure = new_figure(10.2, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    oscillation(left, results["oscillation"])
    supports(right, results["bootstrap"])
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
    return figure


def oscillation(axes: Axes, dataset: xr.Dataset) -> None:
    """Changes of sign and of support per weight, for each problem and method."""
    problems = dataset["problem"].values
    changes = dataset["sign_changes"] + dataset["support_changes"]
    for at, problem in enumerate(problems):
        for method, shift in zip(("none", "coupled", "proximal"), SHIFTS, strict=True):
            name = "none" if method == "none" else f"{method} L1"
            label = "no penalty" if method == "none" else name
            values = changes.sel({"problem": problem, "method": method}).values
            dots(axes, at + shift, values, COLOURS[name], None if at else label)
    axes.set_xticks(range(len(problems)), [problem.replace(", ", "\n") for problem in problems])
    axes.set(ylabel="changes of sign, or from or to 0,\nper weight in 100 steps", ylim=(-1, None))
    axes.set_title("oscillation long after the start", fontsize=10)


def supports(axes: Axes, dataset: xr.Dataset) -> None:
    """Both stability indices, for each correlation and method."""
    indices = (("jaccard", "Jaccard"), ("corrected", "corrected for chance"))
    ticks = [
        (name, text, value) for name, text in indices for value in dataset["correlation"].values
    ]
    for at, (name, _, correlation) in enumerate(ticks):
        for method, shift in zip(("L1", "elastic net", "group L2"), SHIFTS, strict=True):
            values = dataset[name].sel({"correlation": correlation, "method": method}).values
            dots(axes, at + shift, values, COLOURS[method], None if at else method)
    axes.set_xticks(
        range(len(ticks)),
        [f"{text}\ncorrelation {value:g}" for _, text, value in ticks],
        fontsize=8,
    )
    axes.set(ylabel="stability index of the supports", ylim=(0, 1.05))
    axes.set_title("supports over bootstrap resamples", fontsize=10)


def dots(axes: Axes, place: float, values: np.ndarray, colour: str, label: str | None) -> None:
    """One dot for each seed, and their mean with its 95 % interval."""
    spread = np.linspace(-0.06, 0.06, len(values))
    axes.plot(place + spread, values, ".", ms=4, color=colour, alpha=0.45)
    found = interval(values)
    reach = np.nan_to_num(found.high - found.mean)
    axes.errorbar(
        place,
        found.mean,
        reach,
        fmt="D",
        ms=6,
        color=colour,
        mec="k",
        mew=0.6,
        capsize=4,
        label=label,
    )
