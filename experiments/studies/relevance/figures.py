"""Figures of which inputs are kept, and of what that is worth as irrelevant ones come in."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, against_strength, curve, new_figure, zero_of
from experiments.selection import best_level
from experiments.study import Results


def selection(records: Results) -> Figure:
    """The lasso's support along its path, for each design, and the inputs that a network keeps."""
    linear = records["linear"].isel(share=-1).sel({"method": "L1"})
    figure = new_figure(9.6, 3.9)
    *panels, last = figure.subplots(1, linear.sizes["design"] + 1)
    places = np.logspace(-2, 0, linear.sizes["level"])
    for design, axes in enumerate(panels):
        of = linear.isel(design=design)
        for name, colour, marker in (("recall", "#009E73", "s"), ("precision", "#AA3377", "^"), ("f1", "#000000", "o")):
            values = 100 * of[name].transpose("level", "seed").values
            curve(axes, places, values, "F1" if name == "f1" else name, color=colour, marker=marker, ms=3, capsize=0)
        best = np.median(places[of["validation_error"].fillna(np.inf).argmin("level").values])
        axes.axvline(best, color="#999999", lw=1, ls=":", label="chosen (median)")
        correlation = float(of["correlation"])
        what = "independent columns" if correlation == 0 else f"correlation {correlation:g}"
        axes.set(xscale="log", xlabel="λ / smallest λ that leaves none", ylim=(-4, 104), title=f"lasso, {what}")
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("%")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    kept_inputs(last, records["network"].isel(share=-1), "L1")
    last.set_title("network on digits, L1", fontsize=10)
    return figure


def kept_inputs(axes: Axes, of: xr.Dataset, method: str) -> None:
    """Percent of the pixels and of the irrelevant columns that have a weight left, against λ."""
    kept = of.sel({"method": method}).assign(pixels_kept=of["live_pixels"].sel({"method": method}) / of["pixels"])
    kept = kept.assign(noise_kept=of["live_noise"].sel({"method": method}) / of["noise"])
    colour = COLOURS[method]
    against_strength(axes, kept, "pixels_kept", f"{int(of['pixels'])} pixels", 100, color=colour)
    noise = f"{int(of['noise'])} irrelevant columns"
    against_strength(axes, kept, "noise_kept", noise, 100, color=colour, ls=":", marker="x")
    axes.set(ylabel="inputs kept, %", ylim=(-4, 104))
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")


def relevance(records: Results) -> Figure:
    """Quality at the chosen λ against the share of irrelevant features."""
    figure = new_figure(8.4, 3.7)
    left, right = figure.subplots(1, 2)
    network, linear = records["network"], records["linear"].isel(design=0)
    shares = 100 * network["share"].values
    curve(left, shares, 100 * network["test_accuracy"].isel(method=0, level=0).values, "none", marker="v")
    for method, marker in (("L2", "s"), ("L1", "o"), ("group L2", "D")):
        of = network.sel({"method": method})
        picked = of["test_accuracy"].isel(level=best_level(of, "validation_accuracy")).transpose("share", "seed")
        curve(left, shares, 100 * picked.values, method, marker=marker)
    left.set(xlabel="irrelevant columns, %", ylabel="test accuracy, %", title="network on digits")
    for method, marker in (("L2", "s"), ("L1", "o")):
        of = linear.sel({"method": method})
        picked = of["explained"].isel(level=of["validation_error"].fillna(np.inf).argmin("level")).transpose("share", "seed")
        curve(right, 100 * linear["share"].values, 100 * picked.values, method, marker=marker)
    right.set(xlabel="irrelevant features, %", ylabel="signal explained, %", title="linear model")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
        axes.title.set_fontsize(10)
    return figure


def no_selection(records: Results) -> Figure:
    """Inputs kept and test accuracy against λ, L2 beside L1."""
    figure = new_figure(8.4, 3.6)
    left, right = figure.subplots(1, 2)
    of = records["network"].isel(share=-1)
    noise = of.assign(noise_kept=of["live_noise"] / of["noise"])
    zero = zero_of(of["strength"].sel({"method": ["L1", "L2"]}))
    for method, marker in (("L2", "s"), ("L1", "o")):
        against_strength(left, noise.sel({"method": method}), "noise_kept", method, 100, zero, marker=marker)
        against_strength(right, of.sel({"method": method}), "test_accuracy", method, 100, zero, marker=marker)
    left.set(ylabel=f"of {int(of['noise'])} irrelevant columns kept, %", ylim=(-4, 104))
    right.set(ylabel="test accuracy, %")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def groups(records: Results) -> Figure:
    """Test accuracy against the irrelevant inputs that are left, along each path."""
    figure = new_figure(7.4, 4)
    axes = figure.subplots()
    of = records["network"].isel(share=-1)
    for method, marker, offset in (("L1", "o", (3, 5)), ("group L2", "D", (-26, -26))):
        one = of.sel({"method": method}).mean("seed", skipna=False)
        noise, accuracy = one["live_noise"].values, 100 * one["test_accuracy"].values
        curve(
            axes,
            noise,
            100 * of["test_accuracy"].sel({"method": method}).transpose("level", "seed").values,
            method,
            marker=marker,
        )
        for level in range(1, len(noise)):
            text = f"{float(one['strength'][level]):.2g}"
            place = (noise[level], accuracy[level])
            axes.annotate(text, place, offset, textcoords="offset points", fontsize=8, rotation=40, color=COLOURS[method])
    axes.set(xlabel=f"irrelevant inputs kept, of {int(of['noise'])}", ylabel="test accuracy, %")
    axes.set_title("each path from λ = 0 (right) on; the numbers are λ", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure
