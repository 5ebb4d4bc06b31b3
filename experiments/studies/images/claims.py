"""The claim that sparse training keeps AdamW's accuracy with few weights, on images.

Settings are chosen on validation data and compared on test data. AdamW's best setting has the highest mean validation
accuracy. A setting is within one standard error if its mean validation accuracy is at most one standard error of AdamW's
best setting below the mean of that setting.
"""

import numpy as np
import xarray as xr

from experiments.claims import NOT_MEASURED, NOT_SUPPORTED, Finding, above, below, mean_and_error
from experiments.selection import best, one_standard_error_below, sparsest
from experiments.studies.images import figures
from experiments.studies.images.tradeoff import ADAMW, CUT, REFITTED, SPARSE, Point, at_share, curves_of
from experiments.study import Claim, Results

FEW = 10.0
"""Percent of the weights that a sparse network may keep."""
MARGIN = 0.5
"""Points of test accuracy within which two networks count as equally accurate."""
SHARES = (0.05, 0.01)
"""Shares of the weights at which sparse training is compared with cutting."""


def sparse(results: Results) -> list[Finding]:
    """For each sparse method: the weights needed for AdamW's accuracy, the test accuracy, and a comparison with cutting."""
    curves = curves_of(results["images"])
    reference = best(curves[ADAMW])
    if reference is None:
        tested = "Validation accuracy of every AdamW setting"
        return [Finding("AdamW has a best setting.", tested, "every AdamW setting diverged", NOT_MEASURED)]
    findings = []
    for method, refitted in REFITTED.items():
        findings += within_one_error(curves[method], method, reference)[:1]
        findings += within_one_error(curves[refitted], refitted, reference)
        findings += [against_cutting(curves, refitted, share) for share in SHARES]
    return findings


def within_one_error(points: list[Point], method: str, reference: Point) -> list[Finding]:
    """Tests the sparsest network of a method within one standard error of AdamW's best: its weights and its test accuracy.

    Args:
        points: settings of the method.
        method: name of the method.
        reference: AdamW's best setting.
    """
    mean, error = (100 * value for value in mean_and_error(reference.validation))
    name = in_words(method)
    few = f"{capitalized(name)} keeps AdamW's accuracy with less than {FEW:.0f} % of the weights."
    accurate = f"The sparsest network of {name} that keeps AdamW's validation accuracy also keeps its test accuracy."
    rule = (
        f"sparsest {name} setting whose mean validation accuracy is within one standard error ({error:.2f} points) of "
        f"AdamW's best ({mean:.2f} %; {reference.label})"
    )
    found = sparsest(points, one_standard_error_below(reference))
    if found is None:
        return [Finding(claim, f"The {rule}", "no setting is that accurate", NOT_SUPPORTED) for claim in (few, accurate)]
    live = found.live.mean(0)
    units = f"{live[0]:.0f} inputs and {' and '.join(f'{layer:.0f}' for layer in live[1:])} hidden units in use"
    return [
        below(few, f"Weights kept by the {rule}: {found.label}, {units}", 100 * found.kept, FEW, "%", 2),
        above(
            accurate,
            f"Test accuracy of this network, {100 * found.test.mean():.2f} %, minus test accuracy of AdamW, "
            f"{100 * reference.test.mean():.2f} %; above −{MARGIN} points",
            100 * (found.test - reference.test),
            -MARGIN,
            "points",
            2,
            sign=True,
        ),
    ]


def against_cutting(curves: dict[str, list[Point]], method: str, share: float) -> Finding:
    """Compares test accuracy at a share of the weights: a method, and AdamW networks cut to that share.

    Args:
        curves: points of every method.
        method: name of the method.
        share: of weights kept.
    """
    sparse, cut = (100 * at_share(curves[name], share) for name in (method, CUT))
    means = [f"{one.mean():.1f} %" if np.isfinite(one).all() else "outside its settings" for one in (sparse, cut)]
    name = in_words(method)
    return above(
        f"At {100 * share:g} % of the weights, {name} is more accurate than AdamW cut to its largest weights.",
        f"Test accuracy of {name}, interpolated between its settings ({means[0]}), minus test accuracy of the AdamW setting "
        f"that is best on validation data after this cut, without further training ({means[1]})",
        sparse - cut,
        unit="points",
        sign=True,
    )


def in_words(method: str) -> str:
    """A method's name within a sentence: "refitted L1" for "L1, refitted"."""
    return f"refitted {method.removesuffix(', refitted')}" if method.endswith(", refitted") else method


def capitalized(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]


def answer(dataset: xr.Dataset) -> str:
    """The sparsest networks within one standard error and within one point of the best AdamW setting, in one sentence."""
    curves = curves_of(dataset)
    reference = best(curves[ADAMW])
    if reference is None:
        return "Every AdamW setting diverged, so there is nothing to compare with."
    points = [point for method in (*SPARSE, *REFITTED.values()) for point in curves[method]]
    near = sparsest(points, one_standard_error_below(reference))
    within_a_point = sparsest(points, float(reference.validation.mean()) - 0.01)
    return (
        f"The best AdamW setting ({reference.label}) has a test accuracy of {percent(reference.test)}. By validation "
        f"accuracy, the sparsest network within one standard error of it is {described(near)}, and the sparsest within one "
        f"point of it is {described(within_a_point)}."
    )


def described(point: Point | None) -> str:
    """A setting with its weights and its test accuracy, in words."""
    if point is None:
        return "none"
    kept, test = percent(point.kept), percent(point.test)
    return f"{in_words(point.method)}, {point.label}, with {kept} of the weights and a test accuracy of {test}"


def percent(values: np.ndarray) -> str:
    """Mean ± standard error in percent."""
    mean, error = (100 * value for value in mean_and_error(values))
    return f"{mean:.2f} ± {error:.2f} %"


CLAIMS = (
    Claim(
        "images",
        "Sparse networks",
        "Sparse training keeps the accuracy of AdamW at its best setting, with a small part of the weights.",
        sparse,
        figures.pareto,
        "Test accuracy in percent (vertical) against the share of weights kept (horizontal, logarithmic, fewer to the "
        "right); a weight counts if it is not 0 and leads to an output. Each marker is one setting, mean ± standard error "
        "over the seeds: L1 (red-orange dots), elastic net (pink squares), group L2 (green diamonds), and AdamW cut to its "
        "largest weights (grey triangles). Open markers on dashed lines: refitted, that is, trained on without the penalty "
        "while the zeros are held. The black steps are the Pareto front of all methods; the grey band is AdamW's best "
        "setting ± one standard error; a ring marks each method's sparsest setting within one standard error of it by "
        "validation accuracy. A method keeps AdamW's accuracy with few weights if its curve stays in the band far to the "
        "right.",
    ),
)
