"""Sparse training against AdamW at its own best setting, on real images: how few weights keep its accuracy.

Validation rows choose, test rows report. AdamW's best setting is the one with the highest mean validation accuracy; a
network is within one standard error of it if its setting's mean is no lower by more than that one's standard error.
"""

import numpy as np
import xarray as xr

from experiments.claims import NOT_MEASURED, NOT_SUPPORTED, Finding, above, below, mean_and_error
from experiments.selection import best, one_standard_error_below, sparsest
from experiments.studies.images import figures
from experiments.studies.images.tradeoff import ADAMW, REFITTED, SPARSE, TUNED, Point, at_share, curves_of
from experiments.study import Claim, Results

FEW = 10.0
"""Percent of the weights that a network may keep to be called sparse."""
MARGIN = 0.5
"""Points of test accuracy within which two networks count as equally accurate."""
SHARES = (0.05, 0.01)
"""Shares of the weights at which sparse training is compared with cutting."""


def sparse(records: Results) -> list[Finding]:
    """For each sparse method: how few weights, at what accuracy, and whether it beats cutting AdamW's networks."""
    curves = curves_of(records["images"])
    base = best(curves[ADAMW])
    if base is None:
        tested = "validation accuracy of every AdamW setting"
        return [Finding("AdamW has a best setting.", tested, "every one of them diverged", NOT_MEASURED)]
    findings = []
    for method, refitted in REFITTED.items():
        findings += within_one_error(curves[method], method, base)[:1]
        findings += within_one_error(curves[refitted], refitted, base)
        findings += [against_cutting(curves, refitted, share) for share in SHARES]
    return findings


def within_one_error(points: list[Point], method: str, base: Point) -> list[Finding]:
    """The sparsest network of a method within one standard error of AdamW's best: its weights and its test accuracy."""
    mean, error = (100 * value for value in mean_and_error(base.validation))
    rule = (
        f"sparsest {method} setting whose mean validation accuracy is within one standard error ({error:.2f} points) of "
        f"AdamW's best ({mean:.2f} %; {base.label})"
    )
    few = f"{method} keeps AdamW's accuracy with less than {FEW:.0f} % of the weights."
    same = f"On test rows that network of {method} is as accurate as AdamW's, or more."
    found = sparsest(points, one_standard_error_below(base))
    if found is None:
        return [Finding(claim, f"The {rule}", "no setting is that accurate", NOT_SUPPORTED) for claim in (few, same)]
    live = found.live.mean(0)
    units = f"{live[0]:.0f} inputs and {' and '.join(f'{layer:.0f}' for layer in live[1:])} units alive"
    return [
        below(few, f"Weights kept by the {rule}: {found.label}, {units}", 100 * found.kept, FEW, "%", 2),
        above(
            same,
            f"Test accuracy of it, {100 * found.test.mean():.2f} %, minus that of AdamW, {100 * base.test.mean():.2f} %; "
            f"above −{MARGIN} points",
            100 * (found.test - base.test),
            -MARGIN,
            "points",
            2,
            sign=True,
        ),
    ]


def against_cutting(curves: dict[str, list[Point]], method: str, share: float) -> Finding:
    """Test accuracy at a share of the weights, of a method and of AdamW's networks cut to it."""
    mine, theirs = (100 * at_share(curves[name], share) for name in (method, TUNED))
    told = [f"{one.mean():.1f} %" if np.isfinite(one).all() else "beyond its settings" for one in (mine, theirs)]
    return above(
        f"At {100 * share:g} % of the weights, {method} beats AdamW's networks cut to their largest weights.",
        f"Test accuracy of {method}, on a line between its settings on either side ({told[0]}), minus that of the AdamW "
        f"setting that validation rows choose for this cut, not trained again ({told[1]})",
        mine - theirs,
        unit="points",
        sign=True,
    )


def answer(records: xr.Dataset) -> str:
    """The sparsest network within one standard error of the best AdamW network, and within a point, in two sentences."""
    curves = curves_of(records)
    base = best(curves[ADAMW])
    if base is None:
        return "Every AdamW setting diverged, so nothing can be compared with it."
    every = [point for method in (*SPARSE, *REFITTED.values()) for point in curves[method]]
    theirs = f"the best AdamW setting ({base.label}; {percent(base.test)} on test rows)"
    near = sparsest(every, one_standard_error_below(base))
    point = sparsest(every, float(base.validation.mean()) - 0.01)
    return (
        f"The sparsest network within one standard error of {theirs} on validation rows is {described(near)}. "
        f"The sparsest within one point of it is {described(point)}."
    )


def described(point: Point | None) -> str:
    """A setting with its weights and its test accuracy, in words."""
    if point is None:
        return "none"
    kept, test = percent(point.kept), percent(point.test)
    return f"that of {point.method}, {point.label}, with {kept} of the weights and {test} on test rows"


def percent(values: np.ndarray) -> str:
    """Mean ± standard error in percent."""
    mean, error = (100 * value for value in mean_and_error(values))
    return f"{mean:.2f} ± {error:.2f} %"


CLAIMS = (
    Claim(
        "images",
        "Sparse networks",
        "Sparse training keeps the accuracy that AdamW has at its best setting, with a small part of the weights.",
        sparse,
        figures.pareto,
        "Test accuracy against the share of weights kept, mean ± standard error over the seeds; a weight counts if it is "
        "not 0 and leads to an output. Dashed: trained on without the penalty, zeros held. The black line is the Pareto "
        "front of all, the band AdamW's best setting ± one standard error, and a ring marks the sparsest setting of each "
        "method within one standard error of it on validation rows.",
    ),
)
