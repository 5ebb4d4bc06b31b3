"""Figures of accuracy against weights kept."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import mean_and_error
from experiments.figures.style import COLOURS, new_figure
from experiments.selection import best
from experiments.studies.images.tradeoff import (
    ADAMW,
    BRIDGE,
    CONCAVE,
    CONSTANT,
    CUT,
    GRADUAL,
    GRADUAL_ADAM,
    GROUP,
    GROUP_L0,
    GROUP_LOG_SUM,
    GROWN,
    L0,
    L1,
    LOG_SUM,
    MCP,
    RIVALS,
    SPRED,
    STEERED,
    UNIT_PRUNING,
    UNIT_PRUNING_ADAM,
    Point,
    curves_of,
    most_accurate,
)
from experiments.study import Results

STYLES: Mapping[str, tuple[str, str, str]] = {
    L1 + CONSTANT: (COLOURS[L1], "o", ":"),
    L1 + STEERED: (COLOURS[L1], "o", "-"),
    LOG_SUM + STEERED: (COLOURS[LOG_SUM], "s", "-"),
    BRIDGE + STEERED: (COLOURS[BRIDGE], "D", "-"),
    MCP + STEERED: (COLOURS[MCP], "^", "-"),
    L0 + STEERED: (COLOURS[L0], "P", "-"),
    CUT: ("#999999", "v", ":"),
    GRADUAL: ("#555555", "x", "--"),
    GRADUAL_ADAM: ("#999999", "+", "--"),
    SPRED: ("#999999", "*", "-."),
}
"""Colour, marker and line of each method."""
UNIT_STYLES: Mapping[str, tuple[str, str, str]] = {
    GROUP + STEERED: (COLOURS[L1], "o", "-"),
    GROUP_LOG_SUM + STEERED: (COLOURS[LOG_SUM], "s", "-"),
    GROUP_L0 + STEERED: (COLOURS[L0], "P", "-"),
    UNIT_PRUNING: ("#555555", "x", "--"),
    UNIT_PRUNING_ADAM: ("#999999", "+", "--"),
}
"""The same for methods that remove inputs and units."""
WAYS = {CONSTANT: ("o", ":"), GROWN: ("s", "--"), STEERED: ("P", "-")}
"""Marker and line for each way to set the strength."""
OTHERS = ("#aa8866", "d", "-")
"""The same for methods that are trained with several seeds only if a user asks for it."""
DEPTH = 14.0
"""Points of accuracy below AdamW's best that the figures show."""
COMMON = (0.1, 0.05, 0.02, 0.01)
"""Shares of the weights at which methods are compared to find the strongest one."""
TICKS = (100, 30, 10, 3, 1, 0.3)


def pareto(results: Results) -> Figure:
    """Test accuracy against the share of weights kept, for every method with several seeds."""
    figure = new_figure(7.6, 6.4)
    axes = figure.subplots()
    curves = repeated(results)
    for method in [
        *STYLES,
        *(name for name in curves if name not in STYLES and name.endswith(STEERED)),
    ]:
        draw_curve(axes, curves.get(method, []), method)
    finish(figure, axes, curves, f"{title_of(results)}: accuracy against weights kept", columns=2)
    return figure


def duel(results: Results) -> Figure:
    """The same for our best method, the best rival, gradual magnitude pruning and L1."""
    figure = new_figure(6.4, 4.6)
    axes = figure.subplots()
    curves = repeated(results)
    ours = strongest(curves, [name + STEERED for name in CONCAVE])
    rival = strongest(curves, RIVALS)
    for method in dict.fromkeys([ours, rival, GRADUAL, L1 + STEERED]):
        if method is not None:
            draw_curve(axes, curves.get(method, []), method)
    finish(figure, axes, curves, f"{title_of(results)}: penalties against pruning", columns=2)
    return figure


def growth(results: Results) -> Figure:
    """Test accuracy against the share of weights kept for constant, growing and steered
    strengths.
    """
    figure = new_figure(6.4, 5.2)
    axes = figure.subplots()
    curves = repeated(results)
    for penalty in (L1, LOG_SUM, L0):
        for way, style in WAYS.items():
            draw_curve(
                axes, curves.get(penalty + way, []), penalty + way, (COLOURS[penalty], *style)
            )
    finish(
        figure,
        axes,
        curves,
        f"{title_of(results)}: constant, growing and steered strengths",
        columns=2,
    )
    return figure


def units(results: Results) -> Figure:
    """Test accuracy against the share of inputs and hidden units that are used."""
    figure = new_figure(6.4, 4.6)
    axes = figure.subplots()
    curves = curves_of(results["units"], units=True) if "method" in results["units"] else {}
    for method in UNIT_STYLES:
        draw_curve(axes, curves.get(method, []), method)
    dense = repeated(results).get(ADAMW, [])
    title = f"{title_of(results)}: accuracy against inputs and units"
    finish(figure, axes, {ADAMW: dense}, title, columns=2)
    axes.set(xlim=(110, 3), xlabel="inputs and hidden units used, % (fewer to the right)")
    return figure


def title_of(results: Results) -> str:
    """The data set, and the network if it is not the usual one."""
    attributes = results["images"].attrs
    network = "" if attributes["network"] == "mlp" else f", {attributes['network']}"
    return f"{attributes['data']}{network}"


def repeated(results: Results) -> dict[str, list[Point]]:
    """The curves, without settings of a single seed."""
    curves = curves_of(results["images"])
    return {
        method: [point for point in points if point.repeated] for method, points in curves.items()
    }


def strongest(curves: Mapping[str, Sequence[Point]], names: Sequence[str]) -> str | None:
    """The method with the highest validation accuracy over `COMMON` shares, or the first one that
    has any networks.
    """
    return most_accurate(curves, names, COMMON) or next(
        (name for name in names if curves.get(name)), None
    )


def draw_curve(
    axes: Axes, points: Sequence[Point], method: str, style: tuple[str, str, str] | None = None
) -> None:
    """A method's settings: means over the seeds with standard errors."""
    # A network without weights has no place on a logarithmic axis.
    shown = (point for point in points if point.measured and point.kept.mean() > 0)
    ordered = sorted(shown, key=lambda point: point.kept.mean())
    if not ordered:
        return
    kept = [100 * point.kept.mean() for point in ordered]
    mean, error = np.array([mean_and_error(100 * point.test) for point in ordered]).T
    colour, marker, line = style or {**STYLES, **UNIT_STYLES}.get(method, OTHERS)
    # Only vertical errors: those of the share kept are smaller than the markers.
    axes.errorbar(
        kept,
        mean,
        np.nan_to_num(error),
        label=method,
        color=colour,
        ls=line,
        lw=1.3,
        marker=marker,
        ms=5,
        capsize=2,
        alpha=0.9,
    )


def finish(
    figure: Figure, axes: Axes, curves: Mapping[str, Sequence[Point]], title: str, columns: int
) -> None:
    """AdamW's best setting as a band, the axes and the legend."""
    reference = best(curves.get(ADAMW, []))
    if reference is not None:
        mean, error = (100 * value for value in mean_and_error(reference.test))
        label = f"best AdamW ({reference.label}) ± standard error"
        axes.axhspan(
            mean - error, mean + error, color=COLOURS["none"], alpha=0.25, lw=0, label=label
        )
        axes.set_ylim(mean - DEPTH, mean + 1.5)
    axes.set(
        xscale="log",
        xlim=(110, 0.25),
        xlabel="weights kept, % (fewer to the right)",
        ylabel="test accuracy, %",
    )
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.set_title(title, fontsize=11)
    if len(axes.lines) == 0:
        axes.text(
            0.5, 0.5, "not measured with these settings", transform=axes.transAxes, ha="center"
        )
    if axes.get_legend_handles_labels()[0]:
        figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=columns)
