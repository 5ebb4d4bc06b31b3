"""Claims about weight decay: when it equals L2, how its best λ depends on the learning rate, and
the scale of the loss.
"""

import numpy as np
import xarray as xr

from experiments.claims import Finding, above, below, between, outside, within
from experiments.studies.baselines import figures, headlines
from experiments.studies.baselines.tilt import slopes
from experiments.study import Claim, Results

SAME = 1e-9
"""Largest relative distance, in float64, at which two networks count as the same."""
NEARLY_SAME = 1e-2
"""The same for AdamW with its default eps, which makes it only nearly scale-free."""
INDEPENDENT = 0.25
"""A slope within ± this counts as independent: a ten times larger learning rate changes the best λ
by a factor below 1.8.
"""
DIFFERENT = 0.1
"""Relative distance in percent above which two networks count as different."""
VERY_DIFFERENT = 5.0
"""Relative distance in percent above which two networks count as very different."""


def final_distance(dataset: xr.Dataset, comparison: str, pair: str) -> np.ndarray:
    """The relative distance ‖w − w'‖/‖w'‖ of a pair at the end of training, (seeds,)."""
    return dataset[f"{comparison}_distance"].sel({f"{comparison}_pair": pair}).isel(epoch=-1).values


def decay(results: Results) -> list[Finding]:
    """Coupled L2 at λ compared with weight decay at 2λ, for each optimizer."""
    dataset = results["pairs"]
    largest = dataset["decay_distance"].sel(decay_pair="SGD").max()
    findings = [
        within(
            "For SGD, L2 in the loss at λ equals weight decay at 2λ.",
            "Whole training runs in float64, coupled add_l2(λ) compared with a decay step written "
            "without jaxreg; the "
            "largest relative distance of the weights after any epoch",
            float(largest),
            SAME,
            "largest distance",
        )
    ]
    for pair, threshold, different in (
        ("SGD, momentum 0.9", DIFFERENT, "different"),
        ("Adam", VERY_DIFFERENT, "very different"),
    ):
        accuracies = 100 * dataset["decay_accuracy"].sel(decay_pair=pair).mean("seed").values
        findings.append(
            above(
                f"For {pair.replace(', ', ' with ')}, L2 in the loss and weight decay give "
                f"{different} networks.",
                "Relative distance of the weights at the end of training, in percent, above "
                f"{threshold:g}; test accuracy "
                f"{accuracies[0]:.1f} % with coupled L2, {accuracies[1]:.1f} % with weight decay",
                100 * final_distance(dataset, "decay", pair),
                threshold,
                "%",
            )
        )
    return findings


def tilt(results: Results) -> list[Finding]:
    """The slope of the best λ against the learning rate for each method, and whether decoupling
    reduces it.
    """
    dataset = results["tilt"]
    used = [
        f"{rate:.2g}"
        for rate, used in zip(dataset["rate"].values, dataset["used"].values, strict=True)
        if used
    ]
    rates = (
        f"at the {len(used)} of {dataset.sizes['rate']} learning rates where every method has a "
        "best λ within its grid that "
        f"clearly reduces the test loss: {', '.join(used)}"
    )
    by_method = {str(method): slopes(dataset, method) for method in dataset["method"].values}
    findings = []
    for method, values in by_method.items():
        decoupled = method.startswith("AdamW")
        findings.append(
            (between if decoupled else outside)(
                f"The best λ {'does not depend' if decoupled else 'depends'} on the learning rate "
                f"({method}).",
                "Slope of log(best λ), at the smallest test loss, against log(learning rate); a "
                "slope within "
                f"±{INDEPENDENT} counts as independent; {rates}",
                values,
                -INDEPENDENT,
                INDEPENDENT,
            )
        )
    reductions = [
        below(
            f"Decoupling makes the best λ depend less on the learning rate ({method}).",
            "Absolute slope minus the absolute slope of Adam with coupled L2",
            np.abs(by_method[method]) - np.abs(by_method["Adam, coupled L2"]),
            digits=2,
            sign=True,
        )
        for method in ("AdamW, rate × decay", "AdamW, decay alone")
    ]
    return [*findings, *reductions]


def scale(results: Results) -> list[Finding]:
    """The effect of multiplying the loss, for each optimizer."""
    return [
        scaled_loss(results["pairs"], str(pair)) for pair in results["pairs"]["scale_pair"].values
    ]


def scaled_loss(dataset: xr.Dataset, pair: str) -> Finding:
    """Whether multiplying the loss leaves an optimizer's network as it is, or changes it, as
    claimed of that optimizer.
    """
    distance = final_distance(dataset, "scale", pair)
    accuracies = (
        100 * dataset["scale_accuracy"].sel(scale_pair=pair).mean("seed", skipna=False).values
    )
    factor = f"{float(dataset['factor']):g}"
    tested = (
        "Relative distance of the weights at the end of training in float64; test accuracy "
        f"{accuracies[0]:.1f} % on the "
        f"loss, {accuracies[1]:.1f} % on {factor} times the loss"
    )
    if "·λ" in pair or pair.startswith("AdamW"):
        tolerance = NEARLY_SAME if "1e-8" in pair else SAME
        statement = f"Multiplying the loss by {factor} changes nothing ({pair})."
        return within(statement, tested, float(distance.max()), tolerance, "largest distance")
    statement = f"Multiplying the loss by {factor} gives a different network ({pair})."
    return above(
        statement,
        f"{tested}, in percent, above {VERY_DIFFERENT:g}",
        100 * distance,
        VERY_DIFFERENT,
        "%",
    )


CLAIMS = (
    Claim(
        "decay",
        "L2 and weight decay",
        "For SGD, L2 in the loss at λ equals weight decay at 2λ; for Adam they differ.",
        decay,
        figures.decay,
        "Relative distance ‖w − w'‖/‖w'‖ (vertical, logarithmic) after each epoch (horizontal) "
        "between two networks that "
        "start from the same weights and see the same batches: w is trained with coupled L2 at λ, "
        "w' with weight decay at "
        "2λ. Green dots: SGD; orange squares: SGD with momentum 0.9; blue triangles: Adam. Means "
        "over the seeds, in "
        "float64. Two methods are the same if their line stays near the dotted one, the rounding "
        "error of float64.",
        headlines.decay,
    ),
    Claim(
        "tilt",
        "Decoupled decay and the learning rate",
        "Decoupled weight decay makes the best λ independent of the learning rate; with L2 in the "
        "objective it depends on "
        "it.",
        tilt,
        figures.tilt,
        "Test loss (colour, dark is high) over learning rate (horizontal) and λ (vertical), both "
        "logarithmic, for Adam "
        "with L2 in four places; mean over the seeds, white cells diverged. A dot marks the best "
        "λ of one seed at one "
        "learning rate; the line is fitted to the white dots, grey dots are not used because some "
        "method has no clear best "
        "λ at that rate. A horizontal line means that the best λ does not depend on the learning "
        "rate. Both forms of AdamW "
        "describe the same networks, so their slopes differ by 1. After Figures 1 and 2 of "
        "Loshchilov & Hutter (2019).",
        headlines.tilt,
    ),
    Claim(
        "scale",
        "Scale of the loss",
        "Multiplying the loss by a constant does not change what AdamW learns. It changes what "
        "Adam with L2 in the loss "
        "learns, unless λ is multiplied too.",
        scale,
        figures.scale,
        "Relative distance ‖w − w'‖/‖w'‖ (horizontal, logarithmic) between a network w trained on "
        "the loss and w' trained "
        "on a multiple of it, for each optimizer (vertical), in float64; one marker for each "
        "seed. Blue dots: median "
        "distance at most 0.001; red-orange squares: more. An optimizer is scale-free if its dots "
        "lie near the dotted "
        "line, the rounding error of float64. After Zhuang et al. (2022).",
        headlines.scale,
    ),
)
