"""L1 and L2 against weight decay: where they are one, how the best setting moves, and what a scaled loss does."""

import numpy as np
import xarray as xr

from experiments.claims import Finding, above, below, between, outside, within
from experiments.studies.baselines import figures, headlines
from experiments.studies.baselines.tilt import tilts
from experiments.study import Claim, Results

SAME = 1e-9
"""Relative distance of two networks, in float64, up to which they count as the same."""
STILL = 0.25
"""A tilt within ± this counts as none: a learning rate ten times larger moves the best λ by less than a factor of 1.8."""
NOT_SAME = 0.1
"""Percent of relative distance from which two networks count as not the same."""
FAR = 5.0
"""Percent of relative distance from which two networks count as different."""


def distances(records: xr.Dataset, family: str, pair: str) -> np.ndarray:
    """‖w − w'‖/‖w'‖ at the end of training, for each seed; 0 where nothing moved apart."""
    return records[f"{family}_distance"].sel({f"{family}_pair": pair}).isel(epoch=-1).values


def decay(records: Results) -> list[Finding]:
    """Coupled L2 at λ beside weight decay at 2λ, for each optimizer."""
    of = records["pairs"]
    whole = of["decay_distance"].sel(decay_pair="SGD").max()
    findings = [
        within(
            "For SGD, L2 in the loss at λ is weight decay at 2λ.",
            "Whole training runs in float64, coupled add_l2(λ) beside a decay step written by hand; the largest relative "
            "distance of the weights after any epoch",
            float(whole),
            SAME,
            "largest distance",
        )
    ]
    for pair in ("SGD, momentum 0.9", "Adam"):
        accuracies = 100 * of["decay_accuracy"].sel(decay_pair=pair).mean("seed").values
        threshold, what = (NOT_SAME, "not the same") if pair.startswith("SGD") else (FAR, "far apart")
        findings.append(
            above(
                f"For {pair}, they are {what}.",
                f"Relative distance of the weights at the end, in percent, above {threshold:g}; test accuracy "
                f"{accuracies[0]:.1f} % coupled, {accuracies[1]:.1f} % decayed",
                100 * distances(of, "decay", pair),
                threshold,
                "%",
            )
        )
    return findings


def tilt(records: Results) -> list[Finding]:
    """The tilt of each method, and whether decoupling lessens it."""
    of = records["tilt"]
    findings, slopes = [], {}
    kept = [f"{rate:.2g}" for rate, used in zip(of["rate"].values, of["used"].values, strict=True) if used]
    rates = f"at the {len(kept)} of {of.sizes['rate']} rates where every method has a best λ to speak of, {', '.join(kept)}"
    for method in of["method"].values:
        slopes[method] = tilts(of, method)
        decoupled = method.startswith("AdamW")
        findings.append(
            (between if decoupled else outside)(
                f"The best λ {'does not depend' if decoupled else 'depends'} on the learning rate ({method}).",
                f"Tilt: slope of log λ, at the smallest test loss, against log learning rate; within ±{STILL} untied; "
                f"{rates}",
                slopes[method],
                -STILL,
                STILL,
            )
        )
    less = [
        below(
            f"Decoupling makes the best λ depend less on the learning rate ({method}).",
            "Size of the tilt minus that of Adam with coupled L2",
            np.abs(slopes[method]) - np.abs(slopes["Adam, coupled L2"]),
            digits=2,
            sign=True,
        )
        for method in ("AdamW, rate × decay", "AdamW, decay alone")
    ]
    return [*findings, *less]


def scale(records: Results) -> list[Finding]:
    """What multiplying the loss does to each optimizer."""
    of = records["pairs"]
    findings = []
    for pair in of["scale_pair"].values:
        far = distances(of, "scale", pair)
        adapted = "·λ" in pair or pair.startswith("AdamW")
        accuracies = 100 * of["scale_accuracy"].sel(scale_pair=pair).mean("seed", skipna=False).values
        tested = (
            f"Relative distance of the weights at the end of training in float64; test accuracy {accuracies[0]:.1f} % on "
            f"the loss, {accuracies[1]:.1f} % on 100 times the loss"
        )
        if adapted:
            tolerance = SAME if "1e-8" not in pair else 1e-2
            findings.append(
                within(
                    f"A loss 100 times as large changes nothing ({pair}).", tested, float(far.max()), tolerance, "largest"
                )
            )
        else:
            findings.append(
                above(
                    f"A loss 100 times as large gives another network ({pair}).",
                    f"{tested}, in percent, above {FAR:g}",
                    100 * far,
                    FAR,
                    "%",
                )
            )
    return findings


CLAIMS = (
    Claim(
        "decay",
        "L2 and weight decay",
        "For SGD, L2 in the loss at λ is weight decay at 2λ; for Adam they differ.",
        decay,
        figures.decay,
        "How far two networks are apart, one trained with coupled L2 at λ and one with weight decay at 2λ, from the same "
        "weights and on the same batches, epoch by epoch in float64: mean over the seeds.",
        headlines.decay,
    ),
    Claim(
        "tilt",
        "Does decoupling untie λ from the learning rate?",
        "Decoupled weight decay makes the best λ independent of the learning rate, to which L2 in the objective ties it.",
        tilt,
        figures.tilt,
        "Test loss over learning rate and λ for Adam with L2 in four places, mean over the seeds; dots mark the best λ of "
        "each learning rate and seed, white where the rate is used and grey where it is not; the line is the tilt. The two "
        "forms of AdamW are one family of networks, so their tilts differ by 1. White cells diverged. After Loshchilov & "
        "Hutter's Figures 1 and 2.",
        headlines.tilt,
    ),
    Claim(
        "scale",
        "Scale-freeness",
        "AdamW does not notice when the loss is multiplied; Adam with L2 in the loss does, unless λ is multiplied with it.",
        scale,
        figures.scale,
        "How far the network that is trained on 100 times the loss is from the one trained on the loss, relatively, in "
        "float64, a dot a seed. After Zhuang et al. (2022).",
        headlines.scale,
    ),
)
