"""Claims about paths: what they cost, and the small networks that they lead to."""

import numpy as np
import xarray as xr

from experiments.claims import NOT_MEASURED, Finding, above, below, within
from experiments.studies.path import figures
from experiments.study import Claim, Results

TRAININGS = 3.0
"""A path may cost this many trainings from scratch."""
WORSE = 0.1
"""Percent by which an objective counts as worse."""
POINT = -1.0
"""Points of accuracy that a small network may lose."""
ROUNDING = 1e-4
"""Largest difference of a logit that rounding explains."""


def cost(results: Results) -> list[Finding]:
    """The epochs of a path and its objectives, against training from scratch for every λ."""
    dataset = results["path"]
    findings = []
    for name in dataset["penalty"].values:
        own = dataset.sel(penalty=name)
        count = own.sizes["place"]
        statement = (
            f"A path over {count} λ costs at most {TRAININGS:g} trainings and is nowhere "
            f"worse ({name})."
        )
        if "scratch_objective" not in own:
            findings.append(
                Finding(statement, "No networks were trained from scratch", "–", NOT_MEASURED)
            )
            continue
        training = int(dataset.attrs["training"])
        findings.append(
            below(
                f"A path over {count} λ costs at most {TRAININGS:g} trainings ({name}).",
                "Epochs of the path, refitting left out, divided by those of one training from "
                f"scratch ({training})",
                own["epochs"].where(np.isfinite(own["objective"])).sum("place", skipna=False).values
                / training,
                # A path whose cost is exactly the limit is within it.
                TRAININGS * (1 + 1e-9),
                "trainings",
            )
        )
        change = changes(own)
        findings.append(
            below(
                f"Its objective is nowhere worse than that of training from scratch ({name}).",
                "Largest change over all λ of loss + penalty on the training rows against "
                "training from scratch with the "
                f"same optimizer, whose median over λ is {float(change.median()):+.1f} %; below "
                f"{WORSE:g} %",
                change.max("place", skipna=False).values,
                WORSE,
                "%",
                digits=3,
                sign=True,
            )
        )
    return findings


def changes(dataset: xr.Dataset) -> xr.DataArray:
    """The path's objective against that of training from scratch, in percent, (seed, place)."""
    return 100 * (dataset["objective"] / dataset["scratch_objective"] - 1)


def small(results: Results) -> list[Finding]:
    """The chosen networks after compaction, against the network with the smallest λ."""
    dataset = results["path"]
    findings = []
    for name in dataset["penalty"].values:
        own = dataset.sel(penalty=name)
        findings += [
            above(
                f"The small network loses less than a point of accuracy ({name}).",
                "Test accuracy of the compacted network of the chosen λ, minus that of the "
                "network with the smallest λ, "
                f"both refitted; above {POINT:g} point",
                100 * (own["small_accuracy"] - own["dense_accuracy"]).values,
                POINT,
                "points",
                digits=2,
                sign=True,
            ),
            within(
                f"Compaction changes logits by rounding only ({name}).",
                "Logits of all test rows before and after compaction",
                float(np.max(own["deviation"].values)),
                ROUNDING,
                "largest difference of a logit",
            ),
        ]
    return findings


CLAIMS = (
    Claim(
        name="path-cost",
        title="The cost of a path",
        statement="Warm starts give the solutions for a hundred λ at the price of three trainings.",
        evaluate=cost,
        draw=figures.cost,
        caption="Objective and test accuracy against λ on the path and for networks trained from "
        "scratch, before refitting, "
        "and the epochs that were spent. Lines are means over the seeds with 95 % intervals.",
    ),
    Claim(
        name="path-choice",
        title="From the path to a small network",
        statement="The largest λ within one standard error of the best gives a small network that "
        "is as accurate.",
        evaluate=small,
        draw=figures.choice,
        caption="Accuracy of the refitted networks on rows that they were not trained on against "
        "λ, with standard errors, "
        "the best λ and the largest λ within one standard error of it; above, the number of "
        "inputs that are used.",
    ),
)
