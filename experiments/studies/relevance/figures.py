"""Figures of the relevance study: which inputs are kept, and how well models predict, as irrelevant
features are added.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, against_strength, curve, new_figure, zero_of
from experiments.selection import best_level
from experiments.studies.relevance.choices import accuracy_by_share, explained_by_share, most_noise
from experiments.study import Results


def selection(results: Results) -> Figure:
    """Quality of the lasso's support along its path, for each design, and the inputs that a network
    keeps.
    """
    lasso = results["linear"].isel(share=-1).sel({"method": "L1"})
    figure = new_figure(9.6, 3.9)
    *panels, last = figure.subplots(1, lasso.sizes["design"] + 1)
    for design, axes in enumerate(panels):
        support_quality(axes, lasso.isel(design=design))
    panels[0].set_ylabel("recall, precision, F1, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    kept_inputs(last, most_noise(results["network"]), "L1")
    last.set_title("network on digits, L1", fontsize=10)
    return figure


def support_quality(axes: Axes, paths: xr.Dataset) -> None:
    """Precision, recall and F1 score of the support along the lasso's path, with the median of the
    chosen λ.
    """
    places = np.logspace(-2, 0, paths.sizes["level"])
    for name, colour, marker in (
        ("recall", "#009E73", "s"),
        ("precision", "#AA3377", "^"),
        ("f1", "#000000", "o"),
    ):
        values = 100 * paths[name].transpose("level", "seed").values
        curve(
            axes,
            places,
            values,
            "F1" if name == "f1" else name,
            color=colour,
            marker=marker,
            ms=3,
            capsize=0,
        )
    chosen = np.median(places[best_level(paths, "validation_error", largest=False, first=0).values])
    axes.axvline(chosen, color="#999999", lw=1, ls=":", label="chosen λ (median)")
    correlation = float(paths["correlation"])
    columns = "independent columns" if correlation == 0 else f"correlation {correlation:g}"
    axes.set(
        xscale="log", xlabel="λ / smallest λ with w = 0", ylim=(-4, 104), title=f"lasso, {columns}"
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.25)


def kept_inputs(axes: Axes, networks: xr.Dataset, method: str) -> None:
    """Percent of the pixels and of the irrelevant columns that have a nonzero weight, against λ."""
    selected = networks.sel({"method": method})
    shares = selected.assign(
        pixels_kept=selected["live_pixels"] / networks["pixels"],
        noise_kept=selected["live_noise"] / networks["noise"],
    )
    colour = COLOURS[method]
    against_strength(
        axes, shares, "pixels_kept", f"{int(networks['pixels'])} pixels", 100, color=colour
    )
    noise = f"{int(networks['noise'])} irrelevant columns"
    against_strength(axes, shares, "noise_kept", noise, 100, color=colour, ls=":", marker="x")
    axes.set(ylabel="inputs kept, %", ylim=(-4, 104))
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")


def relevance(results: Results) -> Figure:
    """Quality of the predictions at the chosen λ against the share of irrelevant features."""
    figure = new_figure(8.4, 3.7)
    left, right = figure.subplots(1, 2)
    networks, paths = results["network"], results["linear"]
    columns, features = 100 * networks["share"].values, 100 * paths["share"].values
    unpenalised = networks["test_accuracy"].isel(method=0, level=0).transpose("share", "seed")
    curve(left, columns, 100 * unpenalised.values, "none", marker="v")
    for method, marker in (("L2", "s"), ("L1", "o"), ("group L2", "D")):
        curve(left, columns, accuracy_by_share(networks, method), method, marker=marker)
    left.set(xlabel="irrelevant columns, %", ylabel="test accuracy, %", title="network on digits")
    for method, marker in (("L2", "s"), ("L1", "o")):
        curve(right, features, explained_by_share(paths, method), method, marker=marker)
    right.set(xlabel="irrelevant features, %", ylabel="signal explained, %", title="linear model")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
        axes.title.set_fontsize(10)
    return figure


def no_selection(results: Results) -> Figure:
    """Irrelevant columns kept and test accuracy against λ, for L2 and L1."""
    figure = new_figure(8.4, 3.6)
    left, right = figure.subplots(1, 2)
    networks = most_noise(results["network"])
    shares = networks.assign(noise_kept=networks["live_noise"] / networks["noise"])
    zero = zero_of(networks["strength"].sel({"method": ["L1", "L2"]}))
    for method, marker in (("L2", "s"), ("L1", "o")):
        selected = shares.sel({"method": method})
        against_strength(left, selected, "noise_kept", method, 100, zero, marker=marker)
        against_strength(right, selected, "test_accuracy", method, 100, zero, marker=marker)
    left.set(ylabel=f"of {int(networks['noise'])} irrelevant columns kept, %", ylim=(-4, 104))
    right.set(ylabel="test accuracy, %")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def groups(results: Results) -> Figure:
    """Test accuracy against the number of irrelevant inputs kept, along each path."""
    figure = new_figure(7.4, 4)
    axes = figure.subplots()
    networks = most_noise(results["network"])
    for method, marker, offset in (("L1", "o", (3, 5)), ("group L2", "D", (-26, -26))):
        selected = networks.sel({"method": method})
        means = selected.mean("seed", skipna=False)
        noise, accuracy = means["live_noise"].values, 100 * means["test_accuracy"].values
        values = 100 * selected["test_accuracy"].transpose("level", "seed").values
        curve(axes, noise, values, method, marker=marker)
        for level in range(1, len(noise)):
            text = f"{float(means['strength'][level]):.2g}"
            place = (noise[level], accuracy[level])
            axes.annotate(
                text,
                place,
                offset,
                textcoords="offset points",
                fontsize=8,
                rotation=40,
                color=COLOURS[method],
            )
    axes.set(
        xlabel=f"irrelevant inputs kept, of {int(networks['noise'])}", ylabel="test accuracy, %"
    )
    axes.set_title("each path starts at λ = 0 (right); numbers are λ", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure
