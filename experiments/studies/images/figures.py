"""The figure of accuracy against weights kept."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import mean_and_error
from experiments.figures.style import COLOURS, new_figure
from experiments.selection import best, one_standard_error_below, sparsest
from experiments.studies.images.tradeoff import (
    ADAMW,
    CUT,
    ELASTIC,
    GROUP,
    L1,
    REFITTED,
    SPARSE,
    Point,
    curves_of,
    pareto_front,
)
from experiments.study import Results

MARKERS = {L1: "o", ELASTIC: "s", GROUP: "D", CUT: "v"}
METHODS = (CUT, *SPARSE, *REFITTED.values())
DEPTH = 14.0
"""Points of accuracy below the best that the figure shows."""


def pareto(results: Results) -> Figure:
    """Test accuracy against the share of weights kept, for every method, with the Pareto front."""
    figure = new_figure(7.6, 5.9)
    axes = figure.subplots()
    curves = curves_of(results["images"])
    for method in METHODS:
        draw_curve(axes, curves.get(method, []), method)
    draw_front(axes, [point for method in (ADAMW, *METHODS) for point in curves.get(method, [])])
    reference = best(curves[ADAMW])
    if reference is not None:
        mean, error = (100 * value for value in mean_and_error(reference.test))
        label = f"best AdamW ({reference.label}) ± standard error"
        axes.axhspan(mean - error, mean + error, color=COLOURS["none"], alpha=0.25, lw=0, label=label)
        least = one_standard_error_below(reference)
        draw_rings(axes, [sparsest(curves[method], least) for method in (*SPARSE, *REFITTED.values())])
    axes.set(xscale="log", xlim=(110, 0.4), xlabel="weights kept, % (fewer to the right)", ylabel="test accuracy, %")
    axes.set_xticks([100, 30, 10, 3, 1, 0.5], ["100", "30", "10", "3", "1", "0.5"])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=3)
    axes.set_title(f"{results['images'].attrs['data']}: accuracy against weights kept", fontsize=11)
    return figure


def draw_curve(axes: Axes, points: Sequence[Point], method: str) -> None:
    """A method's settings: means over the seeds with standard errors."""
    # A network without weights has no place on a logarithmic axis.
    shown = (point for point in points if point.measured and point.kept.mean() > 0)
    ordered = sorted(shown, key=lambda point: point.kept.mean())
    if not ordered:
        return
    kept = [100 * point.kept.mean() for point in ordered]
    mean, error = np.array([mean_and_error(100 * point.test) for point in ordered]).T
    plain, refitted = method.removesuffix(", refitted"), method in REFITTED.values()
    colour = COLOURS.get(plain, "#666666")
    # Only vertical errors: those of the share kept are smaller than the markers.
    axes.errorbar(
        kept,
        mean,
        np.nan_to_num(error),
        label=method,
        color=colour,
        ls="--" if refitted else ":" if method == CUT else "-",
        lw=1.3,
        marker=MARKERS[plain],
        ms=5,
        mfc="w" if refitted else colour,
        capsize=2,
        alpha=0.85,
    )


def draw_front(axes: Axes, points: Sequence[Point]) -> None:
    """The Pareto front as steps, and the range of accuracies to show."""
    front = pareto_front(points)
    if not front:
        return
    kept, test = ([100 * getattr(point, name).mean() for point in front] for name in ("kept", "test"))
    # The front is constant beyond its densest point, since more weights need not be used.
    axes.step([*kept, 100], [*test, test[-1]], where="post", color="k", lw=1, alpha=0.6, label="Pareto front", zorder=1)
    axes.set_ylim(test[-1] - DEPTH, test[-1] + 1.5)


def draw_rings(axes: Axes, points: Sequence[Point | None]) -> None:
    """Rings around the chosen settings."""
    chosen = [point for point in points if point is not None]
    if chosen:
        kept, test = ([100 * getattr(point, name).mean() for point in chosen] for name in ("kept", "test"))
        label = "sparsest within one standard error"
        axes.plot(kept, test, "o", ms=13, mfc="none", mec="k", mew=1.3, ls="none", label=label)
