"""The claims that sparse training keeps AdamW's accuracy with few weights, and that concave
penalties beat pruning.

Settings are chosen on validation data and compared on test data. AdamW's best setting has the
highest mean validation accuracy. A setting is within one standard error if its mean validation
accuracy is at least that of AdamW's best setting minus its standard error.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from experiments.claims import NOT_MEASURED, NOT_SUPPORTED, Finding, above, below, mean_and_error
from experiments.selection import best, one_standard_error_below, sparsest
from experiments.studies.images import figures
from experiments.studies.images.tradeoff import (
    ADAMW,
    CONCAVE,
    CONSTANT,
    GRADUAL,
    GRADUAL_ADAM,
    GROUP,
    GROUP_L0,
    GROUP_LOG_SUM,
    GROWN,
    L0,
    L0_BY_WIDTH,
    L1,
    PENALTIES,
    RIVALS,
    STEERED,
    UNIT_PRUNING,
    UNIT_PRUNING_ADAM,
    Point,
    at_share,
    curves_of,
    most_accurate,
    repeated_methods,
)
from experiments.study import Claim, Results

FEW = 10.0
"""Percent of the weights that a sparse network may keep."""
MARGIN = 0.5
"""Points of test accuracy within which two networks count as equally accurate."""
SHARES = (0.05, 0.02, 0.01)
"""Shares of the weights at which penalties are compared with pruning."""
STRENGTH_SHARES, WIDTH_SHARES = (0.05, 0.02), (0.1, 0.02, 0.01)
"""Shares of the weights at which ways to set the strength are compared, and λ by width with one λ
for all layers.
"""
GROUPS = (GROUP_LOG_SUM, GROUP_L0)
UNIT_SHARES = (0.2, 0.1)
"""Shares of the inputs and units at which penalties of groups are compared."""

Curves = Mapping[str, Sequence[Point]]


def sparse(results: Results) -> list[Finding]:
    """For each penalty: the weights needed for AdamW's accuracy, and the test accuracy with them."""
    curves = curves_of(results["images"])
    reference = best(curves[ADAMW])
    if reference is None:
        return [no_reference()]
    findings = []
    for method in repeated_methods(
        curves, (L1 + CONSTANT, L1 + STEERED, *(name + STEERED for name in CONCAVE))
    ):
        findings += within_one_error(curves[method], method, reference)
    missing = "no penalty was trained with several seeds"
    return findings or [
        Finding("A penalty keeps AdamW's accuracy.", "Weights kept", missing, NOT_MEASURED)
    ]


def no_reference() -> Finding:
    """The finding where every AdamW network diverged."""
    tested = "Validation accuracy of every AdamW setting"
    return Finding(
        "AdamW has a best setting.", tested, "every AdamW setting diverged", NOT_MEASURED
    )


def within_one_error(points: Sequence[Point], method: str, reference: Point) -> list[Finding]:
    """Tests the sparsest network of a method within one standard error of AdamW's best: its weights
    and its test accuracy.

    Args:
        points: settings of the method.
        method: name of the method.
        reference: AdamW's best setting.
    """
    mean, error = (100 * value for value in mean_and_error(reference.validation))
    few = f"{capitalized(method)} keeps AdamW's accuracy with less than {FEW:.0f} % of the weights."
    accurate = (
        f"The sparsest network of {method} that keeps AdamW's validation accuracy also "
        "keeps its test accuracy."
    )
    rule = (
        f"sparsest setting of {method} whose mean validation accuracy is within one standard "
        f"error ({error:.2f} points) of "
        f"AdamW's best ({mean:.2f} %; {reference.label})"
    )
    found = sparsest(points, one_standard_error_below(reference))
    if found is None:
        none = "no setting is that accurate"
        return [
            Finding(few, f"The {rule}", none, NOT_SUPPORTED),
            Finding(accurate, f"The {rule}", none, NOT_MEASURED),
        ]
    live = found.live.mean(0)
    units = f"{live[0]:.0f} inputs and {' and '.join(f'{layer:.0f}' for layer in live[1:])} hidden units in use"
    return [
        below(
            few,
            f"Weights kept by the {rule}: {found.label}, {units}",
            100 * found.kept,
            FEW,
            "%",
            2,
        ),
        above(
            accurate,
            f"Test accuracy of this network, {100 * found.test.mean():.2f} %, minus test accuracy "
            "of AdamW, "
            f"{100 * reference.test.mean():.2f} %; above −{MARGIN} points",
            100 * (found.test - reference.test),
            -MARGIN,
            "points",
            2,
            sign=True,
        ),
    ]


def against_pruning(results: Results) -> list[Finding]:
    """Each penalty against gradual magnitude pruning at each share, and the best penalty against
    the best rival.
    """
    curves = curves_of(results["images"])
    findings = []
    for share in SHARES:
        methods = repeated_methods(curves, [name + STEERED for name in CONCAVE])
        findings += [compared(curves, method, GRADUAL, share) for method in methods]
        ours = most_accurate(curves, [name + STEERED for name in CONCAVE], [share])
        rival = most_accurate(curves, RIVALS, [share])
        if ours and rival and rival != GRADUAL:
            findings.append(compared(curves, ours, rival, share))
    tested = (
        f"Test accuracy at {' and '.join(f'{100 * share:g} %' for share in SHARES)} of the weights"
    )
    missing = "no concave penalty was trained with several seeds"
    return findings or [
        Finding("A concave penalty is more accurate than pruning.", tested, missing, NOT_MEASURED)
    ]


def units(results: Results) -> list[Finding]:
    """Concave penalties of groups against the group lasso and against pruning, at equal shares of
    inputs and units.
    """
    if "method" not in results["units"]:
        tested = "Test accuracy against inputs and units kept"
        return [
            Finding(
                "A concave penalty of groups is more accurate than group L2 and pruning.",
                tested,
                "inputs and units are removed only in multilayer perceptrons",
                NOT_MEASURED,
            )
        ]
    curves = curves_of(results["units"], units=True)
    pairs = [
        (name + STEERED, rival)
        for name in GROUPS
        for rival in (GROUP + STEERED, UNIT_PRUNING, UNIT_PRUNING_ADAM)
    ]
    return [
        compared(curves, *pair, share, "inputs and units")
        for share in UNIT_SHARES
        for pair in pairs
    ]


def strengths(results: Results) -> list[Finding]:
    """Growing and steered strengths against constant ones, and L0 with one λ for all layers against
    λ by width.
    """
    curves = curves_of(results["images"])
    pairs = [
        (penalty + way, penalty + CONSTANT) for penalty in PENALTIES for way in (GROWN, STEERED)
    ]
    compared_at = [(pair, STRENGTH_SHARES) for pair in pairs] + [
        ((L0 + STEERED, L0_BY_WIDTH + STEERED), WIDTH_SHARES)
    ]
    findings = [
        compared(curves, *pair, share)
        for pair, shares in compared_at
        if len(repeated_methods(curves, pair)) == len(pair)
        for share in shares
    ]
    statement = "A strength that grows or is steered is more accurate than a constant one."
    missing = "no penalty has several ways to set its strength and several seeds"
    return findings or [
        Finding(statement, "Test accuracy at equal shares of the weights", missing, NOT_MEASURED)
    ]


def compared(
    curves: Curves, method: str, rival: str, share: float, what: str = "weights"
) -> Finding:
    """Compares the test accuracies of a method and a rival at a share of the weights or units, seed
    by seed.
    """
    ours, other = (100 * at_share(curves.get(name, []), share) for name in (method, rival))
    means = [
        f"{one.mean():.1f} %"
        if np.isfinite(one).all()
        else "outside its settings"
        if curves.get(name)
        else "not trained"
        for name, one in ((method, ours), (rival, other))
    ]
    return above(
        f"At {100 * share:g} % of the {what}, {method} is more accurate than {rival}.",
        f"Test accuracy of {method}, interpolated between its settings ({means[0]}), minus test "
        f"accuracy of {rival} "
        f"({means[1]}), seed by seed",
        ours - other,
        unit="points",
        digits=2,
        sign=True,
    )


def capitalized(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]


def answer(dataset: xr.Dataset) -> str:
    """The sparsest networks within one standard error and within one point of the best AdamW
    setting, in one sentence.
    """
    curves = curves_of(dataset)
    reference = best(curves[ADAMW])
    if reference is None:
        return "Every AdamW setting diverged, so there is nothing to compare with."
    points = [
        point
        for method, own in curves.items()
        if method != ADAMW
        for point in own
        if point.repeated
    ]
    penalties = [point for point in points if point.method not in RIVALS]
    near = sparsest(penalties, one_standard_error_below(reference))
    within_a_point = sparsest(penalties, float(reference.validation.mean()) - 0.01)
    pruned = [point for point in points if point.method in (GRADUAL, GRADUAL_ADAM)]
    rival = sparsest(pruned, float(reference.validation.mean()) - 0.01)
    return (
        f"The best AdamW setting ({reference.label}) has a test accuracy of "
        f"{percent(reference.test)}. By validation "
        "accuracy, the sparsest network of a penalty within one standard error of it is "
        f"{in_words(near)}, and the "
        f"sparsest within one point of it is {in_words(within_a_point)}. The sparsest network "
        "from gradual pruning within "
        f"one point is {in_words(rival)}."
    )


def in_words(point: Point | None) -> str:
    """A setting with its weights and its test accuracy, in words."""
    if point is None:
        return "not to be found"
    kept, test = percent(point.kept), percent(point.test)
    return (
        f"{point.method}, {point.label}, with {kept} of the weights and a test accuracy of {test}"
    )


def percent(values: np.ndarray) -> str:
    """Mean ± standard error in percent."""
    mean, error = (100 * value for value in mean_and_error(values))
    return f"{mean:.2f} ± {error:.2f} %"


CLAIMS = (
    Claim(
        "images",
        "Sparse networks",
        "Sparse training keeps the accuracy of AdamW at its best setting, with a small part of "
        "the weights.",
        sparse,
        figures.pareto,
        "Test accuracy in percent (vertical) against the share of weights kept (horizontal, "
        "logarithmic, fewer to the "
        "right); a weight counts if it is not 0 and leads to an output. Markers are settings with "
        "several seeds, mean ± "
        "standard error: L1 with a constant and a steered strength, steered concave penalties, "
        "and rivals (grey): AdamW cut "
        "to its largest weights and trained on, gradual pruning by magnitude and in Adam's "
        "metric, and factorised weights. "
        "All have the same number of epochs, of which the last are refitting with the zeros held. "
        "The grey band is AdamW's "
        "best setting ± one standard error. A method keeps AdamW's accuracy with few weights if "
        "its curve stays in the band "
        "far to the right.",
    ),
    Claim(
        "pruning",
        "Penalties against pruning",
        "A concave penalty whose strength is steered is more accurate than gradual magnitude "
        "pruning at the same number of "
        "weights.",
        against_pruning,
        figures.duel,
        "Test accuracy in percent against the share of weights kept, mean ± standard error: the "
        "best of our methods and the "
        "best rival by validation accuracy, averaged over 10, 5, 2 and 1 % of the weights, "
        "gradual magnitude pruning, and "
        "L1 with a steered strength.",
    ),
    Claim(
        "growth",
        "Constant, growing and steered strengths",
        "With the same number of weights, a strength that grows during training, or is steered to "
        "a share of the weights, "
        "gives more accurate networks than a constant one. One λ for all layers is better than λ "
        "divided by their widths.",
        strengths,
        figures.growth,
        "Test accuracy in percent against the share of weights kept: L1, log-sum and L0 with "
        "constant "
        "strengths (dotted), strengths that grow with the third power of time (dashed), and "
        "strengths that are steered to a "
        "share (solid), mean ± standard error. All have the learning rate and the decay that were "
        "chosen for the "
        "steered one. The grey band is AdamW's best setting ± one standard error.",
    ),
    Claim(
        "units",
        "Inputs and units",
        "A concave penalty of groups is more accurate than group L2 and pruning, with the same "
        "number of inputs and units.",
        units,
        figures.units,
        "Test accuracy in percent against the share of inputs and hidden units that are used, "
        "mean ± standard error. A "
        "group is all weights that leave an input or a unit. Strengths are steered. The rivals "
        "prune inputs and units "
        "gradually, by the root mean square of their outgoing weights |w| or of |w|√D, with "
        "Adam's D.",
    ),
)
