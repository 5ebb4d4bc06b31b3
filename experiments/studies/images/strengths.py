"""The claim that a strength which grows or is steered is better than a constant one, and that one λ serves all layers.

Most penalties are trained with the first seed only, so the tests compare pairs of networks of that seed: one pair for each
penalty, or one for each share of the weights.
"""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import NOT_MEASURED, Finding, above
from experiments.figures.style import COLOURS, new_figure
from experiments.studies.images.figures import finish
from experiments.studies.images.tradeoff import (
    ADAMW,
    CONSTANT,
    GROWN,
    L0,
    L0_BY_WIDTH,
    L1,
    LOG_SUM,
    PENALTIES,
    STEERED,
    Point,
    at_share,
    curves_of,
)
from experiments.study import Results

SHARES = (0.1, 0.05, 0.02, 0.01)
"""Shares of the weights at which strengths are compared."""
LINES = {CONSTANT: ("o", ":"), GROWN: ("s", "--"), STEERED: ("P", "-")}
"""Marker and line for each way to set the strength."""
SHOWN = (L1, LOG_SUM, L0)
"""Penalties in the figure."""


def strengths(results: Results) -> list[Finding]:
    """Growing and steered strengths against constant ones, and L0 with λ by width against L0."""
    curves = {method: first_seed(points) for method, points in curves_of(results["images"]).items()}
    findings = []
    for share in SHARES:
        for way in (GROWN, STEERED):
            pairs = [(penalty + way, penalty + CONSTANT) for penalty in PENALTIES]
            found = {names[0]: difference(curves, *names, share) for names in pairs}
            measured = {name: value for name, value in found.items() if np.isfinite(value)}
            kind = way.removeprefix(", ")
            statement = (
                f"At {100 * share:g} % of the weights, a strength that is {kind} is more accurate than a constant one."
            )
            names = ", ".join(name.removesuffix(way) for name in measured)
            tested = (
                f"Difference of the test accuracies for the first seed, over the penalties that reach this share: {names}"
            )
            findings.append(enough(statement, tested, list(measured.values())))
    wide = curves.get(L0_BY_WIDTH + STEERED, [])
    gains = [difference(curves, L0 + STEERED, L0_BY_WIDTH + STEERED, point.share) for point in wide]
    statement = "L0 with one λ for all layers is more accurate than with λ divided by the number of inputs of a layer."
    tested = "Difference of the test accuracies for the first seed, over the shares of weights that both were steered to"
    findings.append(enough(statement, tested, [value for value in gains if np.isfinite(value)]))
    return findings


def enough(statement: str, tested: str, differences: list[float]) -> Finding:
    """The finding that differences are above 0, not measured unless there are two."""
    if len(differences) < 2:
        return Finding(statement, tested, "fewer than two pairs of networks", NOT_MEASURED)
    return above(statement, tested, np.array(differences), unit="points", digits=2, sign=True)


def first_seed(points: Iterable[Point]) -> list[Point]:
    """The points with the numbers of the first seed alone."""
    return [
        point._replace(kept=point.kept[:1], validation=point.validation[:1], test=point.test[:1], live=point.live[:1])
        for point in points
    ]


def difference(curves: dict[str, list[Point]], method: str, rival: str, share: float) -> float:
    """Test accuracy of one method minus that of another at a share, in points; NaN where one of them does not reach it."""
    ours, other = (at_share(curves[name], share)[0] if curves.get(name) else np.nan for name in (method, rival))
    return float(100 * (ours - other))


def draw_strengths(results: Results) -> Figure:
    """Test accuracy against the share of weights kept for constant, growing and steered strengths, first seed."""
    figure = new_figure(6.4, 5.2)
    axes = figure.subplots()
    curves = curves_of(results["images"])
    for penalty in SHOWN:
        for way in LINES:
            draw_line(axes, first_seed(curves.get(penalty + way, [])), penalty, way)
    title = f"{results['images'].attrs['data']}: constant, growing and steered strengths"
    finish(figure, axes, {ADAMW: curves.get(ADAMW, [])}, title, columns=2)
    return figure


def draw_line(axes: Axes, points: list[Point], penalty: str, way: str) -> None:
    """The networks of one penalty whose strength is set in one way."""
    shown = sorted((point.kept[0], point.test[0]) for point in points if point.measured and point.kept[0] > 0)
    if shown:
        kept, test = 100 * np.array(shown).T
        marker, line = LINES[way]
        axes.plot(kept, test, color=COLOURS[penalty], marker=marker, ls=line, lw=1.3, ms=5, label=penalty + way)
