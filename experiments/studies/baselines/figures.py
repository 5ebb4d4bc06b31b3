"""Figures of the weight-decay baselines."""

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.style import new_figure
from experiments.studies.baselines.tilt import best_strength, tilts
from experiments.study import Results

FLOOR = 1e-17
"""Where a distance of exactly 0 is drawn on a logarithmic axis."""


def decay(records: Results) -> Figure:
    """Distance of coupled L2 from weight decay over the epochs, for each optimizer."""
    of = records["pairs"]["decay_distance"]
    figure = new_figure(7.4, 3.8)
    axes = figure.subplots()
    epochs = np.arange(1, of.sizes["epoch"] + 1)
    for pair, colour, marker in zip(of["decay_pair"].values, ("#009E73", "#E69F00", "#0072B2"), "os^", strict=True):
        mean = np.maximum(of.sel(decay_pair=pair).mean("seed").values, FLOOR)
        axes.plot(epochs, mean, color=colour, marker=marker, ms=4, markevery=max(1, len(epochs) // 12), label=pair)
    axes.axhline(np.finfo(float).eps, color="#999999", lw=1, ls=":")
    axes.text(epochs[-1], 1.4 * np.finfo(float).eps, "rounding of float64", ha="right", fontsize=9, color="#666666")
    axes.set(yscale="log", xlabel="epoch", ylabel="relative distance of the weights", ylim=(FLOOR, 3))
    axes.set_title("coupled L2 at λ against weight decay at 2λ", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="center right")
    return figure


def tilt(records: Results) -> Figure:
    """Heat maps of the test loss over learning rate and λ, one a method, with the best λ and its slope."""
    of = records["tilt"]
    figure = new_figure(9.2, 6.6)
    panels = figure.subplots(2, 2, sharex=True).ravel()
    loss = of["test_loss"].mean("seed", skipna=False)
    lowest = float(loss.min())
    rates = np.log10(of["rate"].values)
    for axes, method in zip(panels, of["method"].values, strict=True):
        one = of.sel({"method": method})
        logs = np.log10(one["strength"].values)
        values = loss.sel({"method": method}).transpose("level", "rate").values
        axes.pcolormesh(rates, logs, values, cmap="viridis_r", vmin=lowest, vmax=2 * lowest, shading="nearest")
        best = best_strength(one["test_loss"].transpose("level", "rate", "seed").values, one["strength"].values)
        used = of["used"].values.astype(bool)
        for chosen, face in ((used, "w"), (~used, "#888888")):
            axes.plot(np.repeat(rates[chosen], best.shape[1]), best[chosen].ravel(), "o", ms=4, mfc=face, mec="k", mew=0.7)
        slope = float(tilts(of, method).mean())
        if np.isfinite(slope):
            offset = best[used].mean() - slope * rates[used].mean()
            axes.plot(rates, slope * rates + offset, color="k", lw=1.5)
        found = f"tilt {slope:+.2f}" if np.isfinite(slope) else "no tilt, the best λ lies outside"
        axes.set_title(f"{method}: {found}", fontsize=10)
        axes.set_ylim(logs[0] - 0.1, logs[-1] + 0.1)
        powers = np.unique(np.round(logs)).astype(int)
        axes.set_yticks(powers, [f"$10^{{{power}}}$" for power in powers])
        axes.set_xticks(rates[::2], [f"{10**rate:.1g}" for rate in rates[::2]])
        axes.set_xlim(rates[0] - 0.12, rates[-1] + 0.12)
    for axes in panels[::2]:
        axes.set_ylabel("strength λ")
    for axes in panels[2:]:
        axes.set_xlabel("learning rate")
    figure.colorbar(panels[0].collections[0], ax=list(panels), label="test loss, nats", extend="max", shrink=0.7)
    return figure


def scale(records: Results) -> Figure:
    """Distance between the network on the loss and that on the scaled loss, for each optimizer."""
    of = records["pairs"]["scale_distance"].isel(epoch=-1)
    figure = new_figure(7.8, 3.9)
    axes = figure.subplots()
    pairs = of["scale_pair"].values
    for at, pair in enumerate(pairs[::-1]):
        values = np.maximum(of.sel(scale_pair=pair).values, FLOOR)
        moved = np.median(values) > 1e-3
        colour, marker = ("#D55E00", "s") if moved else ("#0072B2", "o")
        axes.plot(values, np.full(len(values), at), marker, ms=7, color=colour, alpha=0.6)
    axes.set_yticks(range(len(pairs)), list(pairs[::-1]))
    axes.axvline(np.finfo(float).eps, color="#999999", lw=1, ls=":")
    axes.set(xscale="log", xlim=(FLOOR, 3), xlabel="relative distance of the weights (dotted: rounding of float64)")
    axes.set_title("the loss against 100 times the loss", fontsize=11)
    axes.grid(axis="x", alpha=0.25)
    return figure
