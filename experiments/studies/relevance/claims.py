"""Claims about feature selection: by L1, by L2 and by group L2, and how well it predicts."""

import numpy as np
import xarray as xr

from experiments.claims import (
    CONTRADICTED,
    NOT_MEASURED,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    above,
    below,
    none_of,
)
from experiments.selection import best_level
from experiments.studies.relevance import figures, headlines
from experiments.studies.relevance.choices import (
    MARGIN,
    accuracy_by_share,
    at_matched_accuracy,
    explained_by_share,
    least_error,
    most_noise,
)
from experiments.study import Claim, Results

EXACT = 95.0
"""Percent: a support counts as found if its F1 score, or its recall, is larger."""
RESAMPLES = 2000
"""Bootstrap resamples of the seeds."""


def selection(results: Results) -> list[Finding]:
    """The lasso's support at the chosen λ, and the inputs that L1 keeps on the digits."""
    lasso = results["linear"].isel(share=-1).sel({"method": "L1"})
    findings = [
        finding
        for design in range(lasso.sizes["design"])
        for finding in lasso_support(lasso.isel(design=design))
    ]
    return [*findings, pixels_before_noise(most_noise(results["network"]).sel({"method": "L1"}))]


def lasso_support(paths: xr.Dataset) -> list[Finding]:
    """Recall, precision and F1 score of the lasso's support on one design."""
    correlation, irrelevant = float(paths["correlation"]), 100 * float(paths["share"])
    columns = (
        "independent columns" if correlation == 0 else f"columns of correlation {correlation:g}"
    )
    chosen = least_error(paths)
    tested = (
        f"lasso at the λ with the smallest validation error, {irrelevant:.0f} % of the features "
        "irrelevant (KKT residual at "
        f"most {float(chosen['kkt'].max(skipna=False)):.0e}·λ)"
    )
    return [
        above(
            f"The lasso keeps the relevant features ({columns}).",
            f"Recall of the {tested}; above {EXACT:.0f} %",
            100 * chosen["recall"].values,
            EXACT,
            "%",
        ),
        above(
            "The features that the lasso keeps are relevant more often than by chance "
            f"({columns}).",
            f"Precision of the {tested}; above {100 - irrelevant:.0f} %, the share of relevant "
            "features",
            100 * chosen["precision"].values,
            100 - irrelevant,
            "%",
        ),
        above(
            f"The lasso finds the support ({columns}).",
            f"F1 score of the {tested}; above {EXACT:.0f} % (at the λ with the best F1 score of "
            "each path: "
            f"{100 * float(paths['f1'].max('level').mean()):.1f} %)",
            100 * chosen["f1"].values,
            EXACT,
            "%",
        ),
    ]


def pixels_before_noise(networks: xr.Dataset) -> Finding:
    """Whether L1 keeps a larger share of the pixels than of the irrelevant columns, at the λ chosen
    on validation data.
    """
    chosen = networks.isel(level=best_level(networks, "validation_accuracy"))
    pixels, noise = (
        100 * chosen["live_pixels"] / chosen["pixels"],
        100 * chosen["live_noise"] / chosen["noise"],
    )
    return above(
        "On digits with irrelevant columns, L1 keeps pixels rather than irrelevant columns.",
        f"Share of the pixels kept ({float(pixels.mean()):.0f} %) minus share of the "
        f"{int(networks['noise'])} irrelevant "
        f"columns kept ({float(noise.mean()):.0f} %), network at the λ with the best validation "
        "accuracy",
        (pixels - noise).values,
        unit="points",
        sign=True,
    )


def relevance(results: Results) -> list[Finding]:
    """L1 compared with L2 as the share of irrelevant features grows, for the network and for the
    linear model.
    """
    networks, paths = results["network"], results["linear"]
    unpenalised = 100 * networks["test_accuracy"].isel(method=0, level=0, share=0).values
    by_network = accuracy_by_share(networks, "L1") - accuracy_by_share(networks, "L2")
    by_path = explained_by_share(paths, "L1") - explained_by_share(paths, "L2")
    return [
        *l1_against_l2("network", by_network, networks["share"].values, "points"),
        *l1_against_l2(
            "linear model", by_path, paths["share"].values, "points of the signal's variance"
        ),
        below(
            "Without irrelevant columns, L1 predicts worse than no penalty (network).",
            "Test accuracy of L1 at the λ with the best validation accuracy, minus test accuracy "
            "at λ = 0, at 0 % "
            "irrelevant",
            accuracy_by_share(networks, "L1")[0] - unpenalised,
            unit="points",
            sign=True,
        ),
    ]


def l1_against_l2(
    model: str, difference: np.ndarray, shares: np.ndarray, unit: str
) -> list[Finding]:
    """Compares L1 with L2 at the largest and the smallest share of irrelevant features, and finds
    where L1 overtakes L2.

    Args:
        model: what predicts, in words.
        difference: quality of L1 minus quality of L2, (shares, seeds).
        shares: shares of irrelevant features, increasing.
        unit: of the difference.
    """
    at = f"{model}, each penalty at the λ chosen on validation data"
    return [
        above(
            f"Where irrelevant features dominate, L1 predicts better than L2 ({model}).",
            f"L1 minus L2 at {100 * shares[-1]:.0f} % irrelevant, {at}",
            difference[-1],
            unit=unit,
            sign=True,
        ),
        below(
            f"Without irrelevant features, L2 predicts better than L1 ({model}).",
            f"L1 minus L2 at {100 * shares[0]:.0f} % irrelevant, {at}",
            difference[0],
            unit=unit,
            sign=True,
        ),
        crossing(model, difference, shares),
    ]


def crossing(model: str, difference: np.ndarray, shares: np.ndarray) -> Finding:
    """Finds the share of irrelevant features at which L1 overtakes L2, with a bootstrap interval
    over the seeds.

    Args:
        model: what predicts, in words.
        difference: quality of L1 minus quality of L2, (shares, seeds).
        shares: shares of irrelevant features, increasing.
    """
    statement = f"L1 overtakes L2 at some share of irrelevant features ({model})."
    tested = (
        "Share at which the mean of L1 minus L2 becomes positive, bootstrap over seeds "
        f"({RESAMPLES} resamples, {model})"
    )
    if not np.isfinite(difference).all():
        return Finding(statement, tested, "a run diverged", NOT_MEASURED)
    resamples = np.random.default_rng(0).integers(
        0, difference.shape[1], (RESAMPLES, difference.shape[1])
    )
    found = np.array([crossing_of(difference[:, seeds].mean(1), shares) for seeds in resamples])
    crossed = np.isfinite(found)
    if crossed.mean() < 0.95:
        text = f"it does in {100 * crossed.mean():.0f} % of the resamples"
        return Finding(
            statement, tested, text, CONTRADICTED if crossed.mean() < 0.05 else NOT_SUPPORTED
        )
    low, high = np.percentile(found[crossed], [2.5, 97.5])
    mean = crossing_of(difference.mean(1), shares)
    numbers = f"at {100 * mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return Finding(statement, tested, numbers, SUPPORTED, mean, low, high)


def crossing_of(values: np.ndarray, shares: np.ndarray) -> float:
    """The share at which the line through the values first rises from below 0 to 0 or more; NaN if
    it never does.
    """
    for at in range(len(values) - 1):
        if values[at] < 0 <= values[at + 1]:
            return float(
                shares[at]
                + (shares[at + 1] - shares[at]) * -values[at] / (values[at + 1] - values[at])
            )
    return float("nan")


def no_selection(results: Results) -> list[Finding]:
    """L2 keeps every input, and its effect where irrelevant columns dominate."""
    networks = most_noise(results["network"])
    penalised = networks.sel({"method": "L2"}).isel(level=slice(1, None))
    noise, share = int(networks["noise"]), 100 * float(networks["share"])
    unpenalised = 100 * networks["test_accuracy"].isel(method=0, level=0).values
    l1, l2 = (accuracy_by_share(results["network"], method)[-1] for method in ("L1", "L2"))
    return [
        none_of(
            "L2 drops no input.",
            f"Irrelevant columns whose weights are all 0, at {share:.0f} % irrelevant, every λ > "
            "0 and seed of coupled L2",
            noise - penalised["live_noise"].values,
            noise,
            "inputs dropped",
        ),
        below(
            "L2 is not effective where irrelevant features dominate.",
            f"Test accuracy of L2 minus test accuracy without penalty, at {share:.0f} % "
            "irrelevant; a gain below "
            f"{MARGIN:.0f} point counts as not effective",
            l2 - unpenalised,
            MARGIN,
            "points",
            sign=True,
        ),
        below(
            "L2 is less effective than L1 where irrelevant features dominate.",
            f"Test accuracy of L2 minus test accuracy of L1, at {share:.0f} % irrelevant",
            l2 - l1,
            unit="points",
            sign=True,
        ),
    ]


def groups(results: Results) -> list[Finding]:
    """Group L2 compared with L1 at matched accuracy: irrelevant inputs kept, F1 score of the
    inputs, test accuracy.
    """
    networks = most_noise(results["network"])
    matched = {method: at_matched_accuracy(networks, method) for method in ("L1", "group L2")}
    difference = {
        name: (matched["group L2"][name] - matched["L1"][name]).values
        for name in ("live_noise", "f1", "test_accuracy")
    }
    counts = "; ".join(
        f"{method} keeps {float(chosen['live_pixels'].mean()):.0f} pixels and "
        f"{float(chosen['live_noise'].mean()):.0f} "
        "irrelevant"
        for method, chosen in matched.items()
    )
    rule = (
        f"at the largest λ whose validation accuracy is within {MARGIN:.0f} point of plain "
        "L1's best"
    )
    return [
        below(
            "Group L2 keeps fewer irrelevant inputs than L1 at the same accuracy.",
            f"Irrelevant inputs kept, group L2 minus L1, each {rule} ({counts})",
            difference["live_noise"],
            unit="inputs",
            sign=True,
        ),
        above(
            "Group L2 selects inputs better than L1 at the same accuracy.",
            "F1 score of the inputs kept, with the pixels as relevant inputs, group L2 minus L1, "
            f"each {rule}",
            100 * difference["f1"],
            unit="points",
            sign=True,
        ),
        above(
            "Group L2's test accuracy is at least that of L1.",
            f"Test accuracy, group L2 minus L1, each {rule}; above −{MARGIN:.0f} point",
            100 * difference["test_accuracy"],
            -MARGIN,
            "points",
            sign=True,
        ),
    ]


CLAIMS = (
    Claim(
        "selection",
        "L1 selects features",
        "L1 selects features: it keeps the relevant ones and drops the others.",
        selection,
        figures.selection,
        "First panels: recall (green squares), precision (purple triangles) and F1 score (black "
        "dots) of the lasso's "
        "support in percent (vertical) against λ relative to the smallest λ whose solution is 0 "
        "(horizontal), for "
        "independent and correlated columns; the dotted line is the median of the λ chosen on "
        "validation data. There, "
        "recall is high if the lasso keeps the relevant features, and precision if it drops the "
        "others. Last panel: "
        "percent of the pixels (solid) and of the irrelevant columns (dotted) that a network "
        "keeps under L1, against λ; "
        "selection works where the dotted line is below the solid one. Means over the seeds with "
        "95 % intervals.",
        headlines.selection,
    ),
    Claim(
        "relevance",
        "L1 for few relevant features, L2 for many",
        "L1 is preferable where irrelevant features dominate, L2 where all features are relevant; "
        "L1 may then work badly.",
        relevance,
        figures.relevance,
        "Left: test accuracy of a network on digits with irrelevant columns; right: share of the "
        "signal explained by a "
        "linear model; both in percent against the percentage of irrelevant inputs (horizontal). "
        "Each line is a penalty at "
        "the λ chosen on validation data: L2 (blue squares), L1 (orange dots), group L2 (green "
        "diamonds), no penalty (dark "
        "triangles). Means over the seeds with 95 % intervals. Compare L1 and L2 at the left and "
        "right ends, and see where "
        "they cross.",
        headlines.relevance,
    ),
    Claim(
        "no-selection",
        "L2 does not select features",
        "L2 does not select features, and is not effective where irrelevant features dominate.",
        no_selection,
        figures.no_selection,
        "Digits with the largest share of irrelevant columns, L2 (blue squares) and L1 (orange "
        "dots), against λ "
        "(horizontal, λ = 0 at the left end). Left: percent of the irrelevant columns that keep a "
        "nonzero weight; a line "
        "that stays at 100 % selects nothing. Right: test accuracy; a penalty is effective where "
        "its line rises above the "
        "value at λ = 0. Means over the seeds with 95 % intervals.",
        headlines.no_selection,
    ),
    Claim(
        "groups",
        "Group L2 selects inputs better",
        "Group L2, with all outgoing weights of an input as one group, selects inputs better than "
        "plain L1 at the same "
        "accuracy.",
        groups,
        figures.groups,
        "Test accuracy (vertical) against the number of irrelevant inputs that a network keeps "
        "(horizontal), along the "
        "path of L1 (orange dots) and of group L2 (green diamonds); each marker is one λ, printed "
        "beside it. Digits with "
        "the largest share of irrelevant columns; means over the seeds with 95 % intervals of the "
        "accuracy. At the same "
        "height, the marker farther left keeps fewer irrelevant inputs.",
        headlines.groups,
    ),
)
