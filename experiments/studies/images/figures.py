"""The figure of accuracy against weights kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import mean_and_error
from experiments.figures.style import COLOURS, new_figure
from experiments.selection import best, one_standard_error_below, sparsest
from experiments.studies.images.tradeoff import ADAMW, REFITTED, SPARSE, TUNED, Point, curves_of, front
from experiments.study import Results

MARKERS = {ADAMW: "*", "L1": "o", "elastic net": "s", "group L2": "D", TUNED: "v"}
LABELS = {TUNED: "AdamW, cut to its largest weights"}
DEPTH = 14.0
"""Points of accuracy below the best that are shown; what lies deeper is no alternative."""


def pareto(records: Results) -> Figure:
    """Test accuracy against the share of weights kept, for every method, with the Pareto front."""
    figure = new_figure(7.6, 5.2)
    axes = figure.subplots()
    curves = curves_of(records["images"])
    for method in (TUNED, *SPARSE, *REFITTED.values()):
        draw(axes, curves.get(method, []), method)
    every = [point for method in (ADAMW, TUNED, *SPARSE, *REFITTED.values()) for point in curves.get(method, [])]
    reached = front(every)
    kept, test = ([100 * getattr(point, name).mean() for point in reached] for name in ("kept", "test"))
    if reached:
        # Beyond its last point the front goes on: more weights need not be used.
        axes.step([*kept, 100], [*test, test[-1]], where="post", color="k", lw=1, alpha=0.6, label="Pareto front", zorder=1)
        axes.set_ylim(test[-1] - DEPTH, test[-1] + 1.5)
    base = best(curves[ADAMW])
    if base is not None:
        mean, error = (100 * value for value in mean_and_error(base.test))
        band = f"best AdamW ({base.label}) ± standard error"
        axes.axhspan(mean - error, mean + error, color=COLOURS["none"], alpha=0.25, lw=0, label=band)
        ring(axes, [sparsest(curves[method], one_standard_error_below(base)) for method in (*SPARSE, *REFITTED.values())])
    axes.set(xscale="log", xlim=(110, 0.4), xlabel="weights kept, % (fewer to the right)", ylabel="test accuracy, %")
    axes.set_xticks([100, 30, 10, 3, 1, 0.5], ["100", "30", "10", "3", "1", "0.5"])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    axes.set_title(f"{records['images'].attrs['data']}: accuracy against weights kept", fontsize=11)
    return figure


def draw(axes: Axes, points: Sequence[Point], method: str) -> None:
    """A method's settings, means with standard errors."""
    # A network without a weight has no place on a logarithmic axis.
    shown = (point for point in points if point.measured and point.kept.mean() > 0)
    measured = sorted(shown, key=lambda point: point.kept.mean())
    if not measured:
        return
    kept = [100 * point.kept.mean() for point in measured]
    mean, error = np.array([mean_and_error(100 * point.test) for point in measured]).T
    plain, refitted = method.removesuffix(", refitted"), method.endswith(", refitted")
    style: dict[str, Any] = {
        "color": COLOURS.get(plain, "#666666"),
        "marker": MARKERS[plain],
        "ms": 5,
        "lw": 1.3,
        "capsize": 2,
    }
    if refitted:
        style["mfc"] = "w"
    dashes = "--" if refitted else ":" if method == TUNED else "-"
    # Errors to the side are smaller than the markers wherever a network is of use.
    axes.errorbar(kept, mean, np.nan_to_num(error), label=LABELS.get(method, method), ls=dashes, alpha=0.85, **style)


def ring(axes: Axes, points: Sequence[Point | None]) -> None:
    """Rings around the chosen settings."""
    chosen = [point for point in points if point is not None]
    if chosen:
        kept, test = ([100 * getattr(point, name).mean() for point in chosen] for name in ("kept", "test"))
        label = "sparsest within one standard error"
        axes.plot(kept, test, "o", ms=13, mfc="none", mec="k", mew=1.3, ls="none", label=label)
