"""Figures of the baselines study."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import new_figure
from experiments.studies.baselines.tilt import best_strengths, slopes
from experiments.study import Results

FLOOR = 1e-17
"""Where a distance of exactly 0 is drawn on a logarithmic axis."""
MOVED = 1e-3
"""Relative distance from which a pair is drawn as different."""


def decay(results: Results) -> Figure:
    """Distance between coupled L2 and weight decay over the epochs, for each optimizer."""
    distance = results["pairs"]["decay_distance"]
    figure = new_figure(7.4, 3.8)
    axes = figure.subplots()
    epochs = np.arange(1, distance.sizes["epoch"] + 1)
    for pair, colour, marker in zip(
        distance["decay_pair"].values, ("#009E73", "#E69F00", "#0072B2"), "os^", strict=True
    ):
        mean = np.maximum(distance.sel(decay_pair=pair).mean("seed").values, FLOOR)
        axes.plot(
            epochs,
            mean,
            color=colour,
            marker=marker,
            ms=4,
            markevery=max(1, len(epochs) // 12),
            label=pair,
        )
    axes.axhline(np.finfo(float).eps, color="#999999", lw=1, ls=":")
    axes.text(
        epochs[-1],
        1.4 * np.finfo(float).eps,
        "rounding error of float64",
        ha="right",
        fontsize=9,
        color="#666666",
    )
    axes.set(
        yscale="log", xlabel="epoch", ylabel="relative distance of the weights", ylim=(FLOOR, 3)
    )
    axes.set_title("coupled L2 at λ against weight decay at 2λ", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="center right")
    return figure


def tilt(results: Results) -> Figure:
    """Heat maps of the test loss over learning rate and λ, one for each method, with the best λ and
    its slope.
    """
    dataset = results["tilt"]
    figure = new_figure(9.2, 6.6)
    panels = figure.subplots(2, 2, sharex=True).ravel()
    lowest = float(dataset["test_loss"].mean("seed", skipna=False).min())
    for axes, method in zip(panels, dataset["method"].values, strict=True):
        heat_map(axes, dataset, method, lowest)
    for axes in panels[::2]:
        axes.set_ylabel("strength λ")
    for axes in panels[2:]:
        axes.set_xlabel("learning rate")
    figure.colorbar(
        panels[0].collections[0], ax=list(panels), label="test loss, nats", extend="max", shrink=0.7
    )
    return figure


def heat_map(axes: Axes, dataset: xr.Dataset, method: str, lowest: float) -> None:
    """Test loss of one method over learning rate and λ, with each seed's best λ and the mean slope.

    Args:
        axes: to draw on.
        dataset: of the tilt sweep.
        method: name of the method.
        lowest: smallest mean test loss of all methods, where the colours start; they end at twice
            this loss.
    """
    selected = dataset.sel({"method": method})
    rates, logs = np.log10(dataset["rate"].values), np.log10(selected["strength"].values)
    loss = selected["test_loss"].mean("seed", skipna=False).transpose("level", "rate").values
    axes.pcolormesh(
        rates, logs, loss, cmap="viridis_r", vmin=lowest, vmax=2 * lowest, shading="nearest"
    )
    best, used = best_strengths(dataset, method), dataset["used"].values.astype(bool)
    for chosen, face in ((used, "w"), (~used, "#888888")):
        axes.plot(
            np.repeat(rates[chosen], best.shape[1]),
            best[chosen].ravel(),
            "o",
            ms=4,
            mfc=face,
            mec="k",
            mew=0.7,
        )
    slope = float(slopes(dataset, method).mean())
    if np.isfinite(slope):
        offset = best[used].mean() - slope * rates[used].mean()
        axes.plot(rates, slope * rates + offset, color="k", lw=1.5)
    text = f"slope {slope:+.2f}" if np.isfinite(slope) else "no slope measured"
    axes.set_title(f"{method}: {text}", fontsize=10)
    axes.set_ylim(logs[0] - 0.1, logs[-1] + 0.1)
    powers = np.unique(np.round(logs)).astype(int)
    axes.set_yticks(powers, [f"$10^{{{power}}}$" for power in powers])
    axes.set_xticks(rates[::2], [f"{10**rate:.1g}" for rate in rates[::2]])
    axes.set_xlim(rates[0] - 0.12, rates[-1] + 0.12)


def scale(results: Results) -> Figure:
    """Distance between the network trained on the loss and the one trained on the scaled loss, for
    each optimizer.
    """
    dataset = results["pairs"]
    distance = dataset["scale_distance"].isel(epoch=-1)
    figure = new_figure(7.8, 3.9)
    axes = figure.subplots()
    pairs = dataset["scale_pair"].values[::-1]
    for at, pair in enumerate(pairs):
        values = np.maximum(distance.sel(scale_pair=pair).values, FLOOR)
        colour, marker = ("#D55E00", "s") if np.median(values) > MOVED else ("#0072B2", "o")
        axes.plot(values, np.full(len(values), at), marker, ms=7, color=colour, alpha=0.6)
    axes.set_yticks(range(len(pairs)), list(pairs))
    axes.axvline(np.finfo(float).eps, color="#999999", lw=1, ls=":")
    axes.set(
        xscale="log",
        xlim=(FLOOR, 3),
        xlabel="relative distance of the weights (dotted: rounding error of float64)",
    )
    axes.set_title(f"the loss against {float(dataset['factor']):g} times the loss", fontsize=11)
    axes.grid(axis="x", alpha=0.25)
    return figure
