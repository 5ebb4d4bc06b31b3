"""Figures of paths: their cost, the choice of λ, and the norms of inputs."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import jaxreg.plotting
from experiments.figures.style import COLOURS, curve, new_figure
from experiments.studies.path.sweep import SCORE
from experiments.study import Results

SCRATCH = "from scratch"
INPUTS = "the network"


def cost(results: Results) -> Figure:
    """Objective, test accuracy and epochs against λ."""
    dataset = results["path"]
    names = list(dataset["penalty"].values)
    figure = new_figure(4.2 * len(names), 7.2)
    columns = figure.subplots(3, len(names), squeeze=False, sharex="col", height_ratios=(2, 2, 1)).T
    for axes, name in zip(columns, names, strict=True):
        own = dataset.sel(penalty=name)
        lambdas = own["strength"].values
        lines = {"on the path": ("objective", "unrefitted_accuracy", COLOURS["L1"])}
        if "scratch_objective" in own:
            lines[SCRATCH] = ("scratch_objective", "scratch_accuracy", COLOURS["none"])
        for label, (objective, accuracy, colour) in lines.items():
            style = {"color": colour, "lw": 1.3, "elinewidth": 0.7}
            curve(
                axes[0], lambdas, own[objective].transpose("place", "seed").values, label, **style
            )
            curve(
                axes[1],
                lambdas,
                100 * own[accuracy].transpose("place", "seed").values,
                label,
                **style,
            )
        spent = own["epochs"].mean("seed").values
        total = f"on the path: {spent.sum():.0f} epochs"
        axes[2].plot(
            lambdas, spent, color=COLOURS["L1"], lw=1.3, drawstyle="steps-mid", label=total
        )
        if SCRATCH in lines:
            each = int(dataset.attrs["training"])
            label = f"{SCRATCH}: {each * lambdas.size:,} epochs"
            axes[2].plot(
                lambdas, np.full(lambdas.size, each), color=COLOURS["none"], lw=1.3, label=label
            )
        axes[0].set(title=name, xscale="log", yscale="log", ylabel="loss + penalty, nats")
        axes[1].set(ylabel="test accuracy, %", ylim=(0, 102))
        axes[2].set(xlabel="λ", ylabel="epochs for each λ", yscale="log")
        for one in axes:
            one.grid(alpha=0.25)
            one.legend(frameon=False, fontsize=8.5)
    return figure


def choice(results: Results) -> Figure:
    """The validation curve of every penalty, with both choices."""
    dataset = results["path"]
    figure, axes = panels(dataset)
    repeats = "fold" if dataset.attrs["folds"] else "seed"
    for one, name in zip(axes, dataset["penalty"].values, strict=True):
        own = dataset.sel(penalty=name)
        one.set_title(str(name), fontsize=11)
        if not own["score"].notnull().all("repeat").any():
            one.text(
                0.5,
                0.5,
                "not measured, as every path diverged",
                transform=one.transAxes,
                ha="center",
            )
            continue
        live = {INPUTS: own["score_live"].transpose("repeat", "place").values[:, None]}
        record = {
            SCORE: own["score"].transpose("repeat", "place").values[:, None],
            "live_inputs": live,
        }
        scores = jaxreg.CrossValidation(own["strength"].values, record)
        jaxreg.plotting.validation_curve(scores, SCORE, largest=True, count=INPUTS, ax=one)
        one.set(ylabel=f"held-out accuracy, mean over {own.sizes['repeat']} {repeats}s")
        one.legend(loc="lower left", fontsize=8.5, edgecolor="none", framealpha=0.9)
    return figure


def norms(results: Results) -> Figure:
    """The norm of every input's weights against λ."""
    dataset = results["path"]
    figure, axes = panels(dataset)
    for one, name in zip(axes, dataset["penalty"].values, strict=True):
        own = dataset.sel(penalty=name)
        values = {INPUTS: own["norms"].transpose("place", "input").values}
        path = jaxreg.RegularizationPath(
            own["strength"].values, values, None, {}, np.arange(own.sizes["place"]), None
        )
        jaxreg.plotting.coefficient_paths(path, INPUTS, ax=one)
        one.axvline(float(own["strength"][int(own["chosen"])]), color="0.3", ls=":")
        one.set(ylabel="norm of an input's weights")
        one.set_title(str(name), fontsize=11)
    return figure


def panels(dataset: xr.Dataset) -> tuple[Figure, np.ndarray]:
    """A figure with one plot for each penalty."""
    count = dataset.sizes["penalty"]
    figure = new_figure(5.2 * count, 4.2)
    return figure, figure.subplots(1, count, squeeze=False)[0]
