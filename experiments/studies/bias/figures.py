"""The figure of the bias study: estimated against true coefficients, and networks before and after
refitting.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, curve, new_figure
from experiments.study import Results

MARKERS = {"L1": "o", "MCP": "^", "log-sum": "s"}


def bias(results: Results) -> Figure:
    """Linear models on the left; shrinkage and accuracy of networks against the share of weights
    kept.
    """
    figure = new_figure(12.4, 4.1)
    left, middle, right = figure.subplots(1, 3)
    estimates(left, results["regression"])
    networks = results["network"]
    networks = networks.assign(excess=networks["shrinkage"] - networks["growth"])
    share_axis(middle, networks)
    share_axis(right, networks)
    for method in networks["method"].values.tolist():
        against_share(middle, networks, method, "excess", method)
        if method in MARKERS:
            against_share(right, networks, method, "test_accuracy", method)
            against_share(
                right, networks, method, "refitted_test_accuracy", "_", ls="--", mfc="white", lw=1.1
            )
    middle.axhline(0, color="k", lw=1)
    middle.set(
        ylabel="shrinkage, percentage points",
        title="network on digits: shrinkage of the weights kept",
    )
    right.set(ylabel="test accuracy, %", title="before (solid) and after refitting (dashed)")
    right.set_ylim(*accuracy_limits(networks))
    for axes, place in ((left, "upper right"), (middle, "upper right"), (right, "lower right")):
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8.5, loc=place)
    return figure


def estimates(axes: Axes, dataset: xr.Dataset) -> None:
    """Estimate minus true size of the relevant columns kept, against the true size, by rank of the
    true size.
    """
    true, order = ranked(dataset)
    axes.axhline(0, color="k", lw=1)
    for method, fit in (
        ("L1", "penalised"),
        ("L1", "refitted"),
        ("MCP", "penalised"),
        ("log-sum", "penalised"),
    ):
        errors = errors_of(dataset, method, fit, order)
        # Ranks that fewer than two data sets keep have no interval.
        ranks = np.flatnonzero(np.isfinite(errors).sum(0) >= 2)
        label = method
        style: dict[str, Any] = {"color": COLOURS[method], "marker": MARKERS[method]}
        if fit == "refitted":
            label, style = "L1, refitted", {**style, "ls": "--", "mfc": "white"}
        places, groups = [], []
        for rank in ranks:
            kept = np.isfinite(errors[:, rank])
            places.append(true[kept, rank].mean())
            groups.append(errors[kept, rank])
            curve(
                axes,
                np.array(places[-1:]),
                groups[-1][None],
                "_",
                **{**style, "ls": "none"},
                alpha=0.6,
            )
        axes.plot(places, [group.mean() for group in groups], label=label, ms=4, lw=1.5, **style)
    axes.set(xlabel="true size of the coefficient", ylabel="estimate minus true size, if kept")
    axes.set_title("linear model: bias of the coefficients kept")


def ranked(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The sizes of the relevant true coefficients of each seed in increasing order (seeds,
    relevant), and their columns.
    """
    sizes = np.abs(dataset["true"].transpose("seed", "column").values)
    relevant = int((sizes > 0).sum(1).max(initial=0))
    order = np.argsort(sizes, 1)[:, sizes.shape[1] - relevant :]
    return np.take_along_axis(sizes, order, 1), order


def errors_of(dataset: xr.Dataset, method: str, fit: str, order: np.ndarray) -> np.ndarray:
    """Estimates in the direction of the true coefficients, minus their sizes (seeds, relevant); NaN
    where not kept.
    """
    true = np.take_along_axis(dataset["true"].transpose("seed", "column").values, order, 1)
    found = (
        dataset["estimate"].sel({"method": method, "fit": fit}).transpose("seed", "column").values
    )
    found = np.take_along_axis(found, order, 1)
    return np.where(found != 0, found * np.sign(true) - np.abs(true), np.nan)


def against_share(
    axes: Axes, networks: xr.Dataset, method: str, metric: str, label: str, **style: Any
) -> None:
    """A metric in percent against the mean share of weights kept."""
    selected = networks.sel({"method": method}).transpose("level", "seed")
    penalty = method.split(",")[0]
    places = 100 * selected["kept"].values.mean(1)
    style = {
        "color": COLOURS[penalty],
        "marker": MARKERS[penalty],
        "ls": "-" if penalty == method else ":",
        **style,
    }
    curve(axes, places, 100 * selected[metric].values, label, **style)


def share_axis(axes: Axes, networks: xr.Dataset) -> None:
    """Makes the horizontal axis the share of weights kept, with a line at the share at which
    methods are compared.
    """
    kept = 100 * networks["kept"].mean("seed").values
    limits = 0.8 * np.nanmin(kept[kept > 0], initial=50), 1.2 * np.nanmax(kept, initial=60)
    axes.set(xscale="log", xlabel="weights kept, %")
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_xlim(*limits)
    axes.axvline(100 * float(networks["share"]), color="#999999", lw=0.8, zorder=0)


def accuracy_limits(networks: xr.Dataset) -> tuple[float, float]:
    """Limits for accuracies in percent that leave out the networks that keep too few weights to
    learn.
    """
    values = 100 * networks["refitted_test_accuracy"].mean("seed").values
    best = float(np.nanmax(values, initial=0))
    return best - 16, best + 1.5
