"""The figure of the bias study: estimated against true coefficients, and networks before and after refitting."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, curve, largest_of, new_figure
from experiments.study import Results

MARKERS = {"L1": "o", "MCP": "^", "log-sum": "s"}


def bias(results: Results) -> Figure:
    """Linear models on the left; shrinkage and accuracy of networks against the share of weights kept."""
    figure = new_figure(12.4, 4.1)
    left, middle, right = figure.subplots(1, 3)
    estimates(left, results["regression"])
    networks = results["network"]
    for method in networks["method"].values.tolist():
        against_share(middle, networks, method, "shrinkage", method)
        against_share(right, networks, method, "test_accuracy", method)
        against_share(right, networks, method, "refitted_test_accuracy", None)
    middle.set(ylabel="Σ|w| below its value after refitting, %", title="network on digits: shrinkage")
    right.set(ylabel="test accuracy, %", title="network: before (solid) and after refitting (dashed)")
    right.set_ylim(*accuracy_limits(networks))
    for axes in (left, middle, right):
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8.5)
    return figure


def estimates(axes: Axes, dataset: xr.Dataset) -> None:
    """Mean estimate of the relevant columns kept against the mean true size, by rank of the true size."""
    true, order = ranked(dataset)
    end = 1.05 * largest_of(true)
    axes.plot([0, end], [0, end], color="k", lw=1)
    _, l1 = kept_of(dataset, "L1", "penalised", order)
    axes.plot(true.ravel(), l1.ravel(), ".", ms=3, color=COLOURS["L1"], alpha=0.2)
    for method, fit in (("log-sum", "penalised"), ("MCP", "penalised"), ("L1", "refitted"), ("L1", "penalised")):
        sizes, kept = kept_of(dataset, method, fit, order)
        # Ranks that fewer than two data sets keep have no interval.
        enough = np.isfinite(kept).sum(0) >= 2
        places = np.nanmean(sizes[:, enough], 0)
        groups = [column[np.isfinite(column)] for column in kept[:, enough].T]
        label, style = method, {"color": COLOURS[method], "marker": MARKERS[method]}
        if fit == "refitted":
            label, style = "L1, refitted", {**style, "ls": "--", "mfc": "white"}
        for at, values in enumerate(groups):
            curve(axes, places[at : at + 1], values[None], "_", **{**style, "ls": "none"})
        means = [values.mean() for values in groups]
        axes.plot(places, means, label=label, ms=4, lw=1.5, **style)
    axes.set(xlabel="true size of the coefficient", ylabel="estimated, if kept", title="linear model: coefficients kept")


def ranked(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The sizes of the relevant true coefficients of each seed in increasing order (seeds, relevant), and their columns."""
    sizes = np.abs(dataset["true"].transpose("seed", "column").values)
    relevant = int((sizes > 0).sum(1).max(initial=0))
    order = np.argsort(sizes, 1)[:, sizes.shape[1] - relevant :]
    return np.take_along_axis(sizes, order, 1), order


def kept_of(dataset: xr.Dataset, method: str, fit: str, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True sizes and estimates, counted in the true direction, in the given order (seeds, relevant); NaN where not kept."""
    true = np.take_along_axis(dataset["true"].transpose("seed", "column").values, order, 1)
    found = dataset["estimate"].sel({"method": method, "fit": fit}).transpose("seed", "column").values
    found = np.take_along_axis(found, order, 1)
    kept = found != 0
    return np.where(kept, np.abs(true), np.nan), np.where(kept, found * np.sign(true), np.nan)


def against_share(axes: Axes, networks: xr.Dataset, method: str, metric: str, label: str | None) -> None:
    """A metric in percent against the mean share of weights kept; without a label dashed and hollow."""
    selected = networks.sel({"method": method}).transpose("level", "seed")
    base = method.split(",")[0]
    style = {"color": COLOURS[base], "marker": MARKERS[base], "ls": "-" if base == method else ":"}
    if label is None:
        style |= {"ls": "--" if base == method else ":", "mfc": "white", "lw": 1.1}
    places = 100 * selected["kept"].values.mean(1)
    curve(axes, places, 100 * selected[metric].values, label or "_", **style)
    share = 100 * float(networks["share"])
    axes.axvline(share, color="#999999", lw=0.8, zorder=0)
    axes.set(xscale="log", xlabel="weights kept, %")
    ticks = [value for value in (1, 2, 5, 10, 20, 50, 100) if places.min() <= 2 * value and value <= 2 * places.max()]
    axes.set_xticks(ticks, [f"{value}" for value in ticks])
    axes.minorticks_off()


def accuracy_limits(networks: xr.Dataset) -> tuple[float, float]:
    """Limits for accuracies in percent that leave out the networks that keep too few weights to learn."""
    values = 100 * networks["refitted_test_accuracy"].mean("seed").values
    best = float(np.nanmax(values, initial=0))
    return best - 16, best + 1.5
