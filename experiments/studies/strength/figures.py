"""Figures of the strength study: zeros, proportional shrinkage, norms and overfitting against λ."""

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, against_strength, largest_of, new_figure, zero_of
from experiments.studies.strength.proportion import most_proportional
from experiments.studies.strength.sweep import correctly_labelled
from experiments.study import Results


def zeros(results: Results) -> Figure:
    """Share of exact zeros against λ, for three methods of applying L1."""
    figure = new_figure(7.4, 3.6)
    axes = figure.subplots()
    networks = correctly_labelled(results["strength"])
    markers = {"decoupled L1": "^", "coupled L1": "s", "proximal L1": "o"}
    zero = zero_of(networks["strength"].sel({"method": list(markers)}))
    for method, marker in markers.items():
        against_strength(
            axes,
            networks.sel({"method": method}),
            "zero_fraction",
            method,
            100,
            zero,
            marker=marker,
        )
    axes.set(ylabel="weights exactly 0, %", ylim=(-4, 104))
    axes.legend(frameon=False, loc="center left")
    axes.set_title("exact zeros, three methods of applying L1", fontsize=11)
    return figure


def shrinkage(results: Results) -> Figure:
    """Weights with coupled L2 against weights without penalty, and the shares that shrink and that
    follow one factor.
    """
    figure = new_figure(8.4, 3.9)
    left, right = figure.subplots(1, 2)
    networks = correctly_labelled(results["strength"]).sel({"method": "coupled L2"})
    level = most_proportional(results["strength"], "coupled L2")
    first = results["strength"]["weight_layer"].values == 0
    before, after = (networks["weights"].isel(level=at).values[first] for at in (0, level))
    reach = largest_of(before)
    factor = float(np.dot(before, after) / np.dot(before, before))
    left.plot(before, after, ".", ms=2, color=COLOURS["L2"], alpha=0.4, rasterized=True)
    left.plot(
        [-reach, reach],
        [-factor * reach, factor * reach],
        color="k",
        lw=1.2,
        label=f"in proportion: {factor:.2f}·w",
    )
    left.axline((0, 0), slope=1, color="#999999", lw=1, ls=":", label="unchanged")
    left.set(
        xlabel="weight without penalty",
        ylabel=f"weight with L2, λ = {float(networks['strength'][level]):.2g}",
    )
    left.legend(frameon=False, fontsize=9, loc="upper left")
    left.set_title(f"{before.size:,} weights of the first layer, seed 0", fontsize=10)
    against_strength(
        right, networks, "near_factor", "within 10 % of one factor", 100, color=COLOURS["L2"]
    )
    against_strength(
        right,
        networks,
        "smaller",
        "smaller than without penalty",
        100,
        color="#444444",
        marker="s",
        ls="--",
    )
    right.set(ylabel="share of the weights, %", ylim=(-4, 104))
    right.legend(frameon=False, fontsize=9)
    right.set_title("all weights, coupled L2", fontsize=10)
    return figure


def norm(results: Results) -> Figure:
    """Norms against λ, in percent of the unpenalised network's norm."""
    figure = new_figure(8.4, 3.6)
    networks = correctly_labelled(results["strength"])
    panels = figure.subplots(1, 2, sharey=True)
    for axes, methods in zip(
        panels, (("proximal L1", "coupled L1"), ("coupled L2", "decoupled L2")), strict=True
    ):
        zero = zero_of(networks["strength"].sel({"method": list(methods)}))
        for method in methods:
            selected = networks.sel({"method": method})
            for name, symbol, dashes, marker in (
                ("absolute_sum", "Σ|w|", "-", "o"),
                ("norm", "‖w‖", "--", "s"),
            ):
                relative = selected.assign({name: selected[name] / selected[name].isel(level=0)})
                style = {"color": COLOURS[method], "ls": dashes, "marker": marker, "alpha": 0.85}
                against_strength(axes, relative, name, f"{method}, {symbol}", 100, zero, **style)
        axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    panels[0].set(ylabel="norm, % of the unpenalised network's", ylim=(-4, 108))
    return figure


def overfitting(results: Results) -> Figure:
    """Training and test accuracy, and test loss, against λ, for correct and for wrong labels."""
    networks = results["strength"]
    shares = networks["wrong"].values
    zero = zero_of(networks["strength"].sel({"method": ["proximal L1", "coupled L2"]}))
    figure = new_figure(8.4, 3.0 * len(shares))
    rows = np.atleast_2d(figure.subplots(len(shares), 2))
    for (left, right), share in zip(rows, shares, strict=True):
        for method, marker in (("proximal L1", "o"), ("coupled L2", "s")):
            selected = networks.sel({"wrong": share, "method": method})
            style = {"color": COLOURS[method], "marker": marker}
            against_strength(left, selected, "test_accuracy", f"{method}, test", 100, zero, **style)
            against_strength(
                left,
                selected,
                "train_accuracy",
                f"{method}, training",
                100,
                zero,
                **style,
                ls=":",
                alpha=0.6,
            )
            against_strength(right, selected, "test_loss", f"{method}, test", 1, zero, **style)
        lowest = 100 * float(
            networks.sel(wrong=share)["test_accuracy"].isel(level=0, method=0).mean()
        )
        left.set(ylabel="accuracy, %", ylim=(lowest - 14 if np.isfinite(lowest) else 0, 101.5))
        right.set(ylabel="cross-entropy, nats", yscale="log")
        labels = "correct labels" if share == 0 else f"{100 * share:.0f} % wrong training labels"
        left.set_title(f"accuracy, {labels}", fontsize=10)
        right.set_title(f"test loss, {labels}", fontsize=10)
    rows[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure
