"""The claim that a strength which grows or is steered is better than a constant one, and that one λ serves all layers."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from experiments.claims import NOT_MEASURED, Finding, above
from experiments.figures.style import COLOURS, new_figure
from experiments.studies.images.figures import draw_curve, finish, repeated, title_of
from experiments.studies.images.tradeoff import (
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
    repeated_methods,
)
from experiments.study import Results

SHARES = (0.05, 0.02)
"""Shares of the weights at which strengths are compared."""
LINES = {CONSTANT: ("o", ":"), GROWN: ("s", "--"), STEERED: ("P", "-")}
"""Marker and line for each way to set the strength."""
WORDS = {GROWN: "a growing strength", STEERED: "a steered strength"}
SHOWN = (L1, LOG_SUM, L0)
"""Penalties in the figure."""


def strengths(results: Results) -> list[Finding]:
    """Growing and steered strengths against constant ones, and one λ for all layers against λ by width, seed by seed."""
    curves = curves_of(results["images"])
    findings = []
    for penalty in PENALTIES:
        for way, words in WORDS.items():
            findings += [
                compared_over_seeds(
                    curves,
                    (penalty + way, penalty + CONSTANT),
                    share,
                    f"At {100 * share:g} % of the weights, {words} of {penalty} is more accurate than a constant one.",
                )
                for share in SHARES
                if repeated_methods(curves, [penalty + way]) and repeated_methods(curves, [penalty + CONSTANT])
            ]
    findings += [
        compared_over_seeds(
            curves,
            (L0 + STEERED, L0_BY_WIDTH + STEERED),
            share,
            f"At {100 * share:g} % of the weights, L0 with one λ for all layers is more accurate than with λ by width.",
        )
        for share in (0.1, 0.02, 0.01)
        if repeated_methods(curves, [L0 + STEERED]) and repeated_methods(curves, [L0_BY_WIDTH + STEERED])
    ]
    statement = "A strength that grows or is steered is more accurate than a constant one."
    missing = "no penalty has several ways to set its strength and several seeds"
    return findings or [Finding(statement, "Test accuracy at equal shares of the weights", missing, NOT_MEASURED)]


def compared_over_seeds(curves: Mapping[str, list[Point]], pair: tuple[str, str], share: float, statement: str) -> Finding:
    """Compares two methods at a share of the weights, seed by seed."""
    ours, other = (at_share(curves[name], share) for name in pair)
    tested = "Difference of the test accuracies, interpolated between settings, seed by seed"
    return above(statement, tested, 100 * (ours - other), unit="points", digits=2, sign=True)


def draw_strengths(results: Results) -> Figure:
    """Test accuracy against the share of weights kept for constant, growing and steered strengths."""
    figure = new_figure(6.4, 5.2)
    axes = figure.subplots()
    curves = repeated(results)
    for penalty in SHOWN:
        for way, (marker, line) in LINES.items():
            draw_curve(axes, curves.get(penalty + way, []), penalty + way, (COLOURS[penalty], marker, line))
    finish(figure, axes, curves, f"{title_of(results)}: constant, growing and steered strengths", columns=2)
    return figure
