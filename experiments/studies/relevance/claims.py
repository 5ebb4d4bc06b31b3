"""Claims about which inputs are kept: selection, relevance, no selection by L2, and groups."""

import numpy as np
import xarray as xr

from experiments.claims import CONTRADICTED, NOT_MEASURED, NOT_SUPPORTED, SUPPORTED, Finding, above, below, none_of
from experiments.selection import best_level
from experiments.studies.relevance import figures, headlines
from experiments.study import Claim, Results

EXACT = 95.0
"""Percent of F1 from which a support counts as found."""
MARGIN = 1.0
"""Points of accuracy below which a gain counts as none, and within which two accuracies count as the same."""
RESAMPLES = 2000


def most_noise(records: xr.Dataset) -> xr.Dataset:
    """The networks with the largest share of irrelevant columns."""
    return records.isel(share=-1)


def by_validation(linear: xr.Dataset) -> xr.Dataset:
    """Each path at the strength of the smallest error on validation rows."""
    return linear.isel(level=best_level(linear, "validation_error", largest=False, first=0))


def selection(records: Results) -> list[Finding]:
    """The lasso's support at the chosen λ, and the inputs that L1 keeps of the digits."""
    findings = []
    for design in range(records["linear"].sizes["design"]):
        of = records["linear"].isel(design=design, share=-1).sel({"method": "L1"})
        correlation = float(of["correlation"])
        columns = "independent columns" if correlation == 0 else f"columns of correlation {correlation:g}"
        irrelevant = 100 * float(of["share"])
        best = by_validation(of)
        tested = (
            f"lasso at the λ of the smallest validation error, {irrelevant:.0f} % of the features irrelevant (KKT residual "
            f"at most {float(best['kkt'].max(skipna=False)):.0e}·λ)"
        )
        findings += [
            above(
                f"The lasso keeps the features that matter ({columns}).",
                f"Recall of the {tested}; above {EXACT:.0f} %",
                100 * best["recall"].values,
                EXACT,
                "%",
            ),
            above(
                f"What the lasso keeps, matters, more often than by chance ({columns}).",
                f"Precision of the {tested}; above {100 - irrelevant:.0f} %, the share of features that matter",
                100 * best["precision"].values,
                100 - irrelevant,
                "%",
            ),
            above(
                f"The lasso finds the support ({columns}).",
                f"F1 of the {tested}; above {EXACT:.0f} % (at the best λ of each path "
                f"{100 * float(of['f1'].max('level').mean()):.1f} %)",
                100 * best["f1"].values,
                EXACT,
                "%",
            ),
        ]
    return [*findings, pixels_before_noise(records["network"])]


def pixels_before_noise(records: xr.Dataset) -> Finding:
    """On digits with irrelevant columns, L1 at its chosen λ keeps pixels rather than them."""
    of = most_noise(records).sel({"method": "L1"})
    best = of.isel(level=best_level(of, "validation_accuracy"))
    pixels, noise = 100 * best["live_pixels"] / of["pixels"], 100 * best["live_noise"] / of["noise"]
    return above(
        "On digits with irrelevant columns, L1 keeps pixels rather than those.",
        f"Share of the pixels kept ({float(pixels.mean()):.0f} %) minus share of the {int(of['noise'])} irrelevant columns "
        f"kept ({float(noise.mean()):.0f} %), network at the λ of the best validation accuracy",
        (pixels - noise).values,
        unit="points",
        sign=True,
    )


def accuracy_by_share(records: xr.Dataset, method: str) -> np.ndarray:
    """Test accuracy in percent at the λ of the best validation accuracy: (share, seed)."""
    of = records.sel({"method": method})
    return 100 * of["test_accuracy"].isel(level=best_level(of, "validation_accuracy")).transpose("share", "seed").values


def explained_by_share(records: xr.Dataset, method: str) -> np.ndarray:
    """Percent of the signal that a linear model explains at the λ of the smallest validation error: (share, seed)."""
    return 100 * by_validation(records.isel(design=0).sel({"method": method}))["explained"].transpose("share", "seed").values


def relevance(records: Results) -> list[Finding]:
    """L1 against L2 as the share of irrelevant features grows, for the network and for the linear model."""
    findings = []
    for what, difference, shares in differences(records):
        unit = "points" if what == "network" else "points of the signal's variance"
        least, most = shares[0], shares[-1]
        at = f"{what}, each at the λ that validation rows choose"
        findings += [
            above(
                f"Where irrelevant features dominate, L1 beats L2 ({what}).",
                f"L1 minus L2 at {100 * most:.0f} % irrelevant, {at}",
                difference[-1],
                unit=unit,
                sign=True,
            ),
            below(
                f"Where no irrelevant features are added, L2 beats L1 ({what}).",
                f"L1 minus L2 at {100 * least:.0f} % irrelevant, {at}",
                difference[0],
                unit=unit,
                sign=True,
            ),
            crossing(what, difference, shares),
        ]
    none = 100 * records["network"]["test_accuracy"].isel(method=0, level=0, share=0).values
    return [
        *findings,
        below(
            "Where no irrelevant columns are added, L1 does worse than no penalty at all (network).",
            "L1 at the λ of the best validation accuracy minus λ = 0, test accuracy at 0 % irrelevant",
            accuracy_by_share(records["network"], "L1")[0] - none,
            unit="points",
            sign=True,
        ),
    ]


def differences(records: Results) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """L1 minus L2 along (share, seed), with the shares, for the network and the linear model."""
    network, linear = records["network"], records["linear"]
    return [
        ("network", accuracy_by_share(network, "L1") - accuracy_by_share(network, "L2"), network["share"].values),
        ("linear model", explained_by_share(linear, "L1") - explained_by_share(linear, "L2"), linear["share"].values),
    ]


def crossing(what: str, difference: np.ndarray, shares: np.ndarray) -> Finding:
    """At which share L1 overtakes L2: of the mean over seeds, with a bootstrap interval over seeds."""
    tested = f"Share at which the mean of L1 minus L2 turns positive, bootstrap over seeds ({RESAMPLES} resamples, {what})"
    statement = f"The lines cross at some share of irrelevant features ({what})."
    if not np.isfinite(difference).all():
        return Finding(statement, tested, "a run diverged", NOT_MEASURED)
    picked = np.random.default_rng(0).integers(0, difference.shape[1], (RESAMPLES, difference.shape[1]))
    found = np.array([crossing_of(difference[:, seeds].mean(1), shares) for seeds in picked])
    crossed = np.isfinite(found)
    if crossed.mean() < 0.95:
        text = f"in {100 * crossed.mean():.0f} % of the resamples they do"
        return Finding(statement, tested, text, CONTRADICTED if crossed.mean() < 0.05 else NOT_SUPPORTED)
    low, high = np.percentile(found[crossed], [2.5, 97.5])
    mean = crossing_of(difference.mean(1), shares)
    return Finding(
        statement, tested, f"at {100 * mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]", SUPPORTED, mean, low, high
    )


def crossing_of(values: np.ndarray, shares: np.ndarray) -> float:
    """Where a line through the values first rises above 0, from below; NaN where it does not."""
    for at in range(len(values) - 1):
        if values[at] < 0 <= values[at + 1]:
            return float(shares[at] + (shares[at + 1] - shares[at]) * -values[at] / (values[at + 1] - values[at]))
    return float("nan")


def no_selection(records: Results) -> list[Finding]:
    """L2 keeps every input, and what it does where irrelevant columns dominate."""
    of = most_noise(records["network"])
    penalised = of.sel({"method": "L2"}).isel(level=slice(1, None))
    noise = int(of["noise"])
    none = 100 * of["test_accuracy"].isel(method=0, level=0).values
    l1, l2 = (accuracy_by_share(records["network"], method)[-1] for method in ("L1", "L2"))
    share = 100 * float(of["share"])
    return [
        none_of(
            "L2 drops no input.",
            f"Irrelevant columns without a weight left, at {share:.0f} % irrelevant, every λ and seed of coupled L2",
            noise - penalised["live_noise"].values,
            noise,
            "inputs dropped",
        ),
        below(
            "L2 is not effective where irrelevant features dominate.",
            f"Test accuracy of L2 minus that of no penalty at {share:.0f} % irrelevant; not effective means less than "
            f"{MARGIN:.0f} point",
            l2 - none,
            MARGIN,
            "points",
            sign=True,
        ),
        below(
            "L2 is less effective than L1 where irrelevant features dominate.",
            f"Test accuracy of L2 minus that of L1 at {share:.0f} % irrelevant",
            l2 - l1,
            unit="points",
            sign=True,
        ),
    ]


def groups(records: Results) -> list[Finding]:
    """Group L2 against L1 at matched accuracy: how many irrelevant inputs are left."""
    of = most_noise(records["network"])
    found = {method: at_matched_accuracy(of, method) for method in ("L1", "group L2")}
    difference = {
        name: (found["group L2"][name] - found["L1"][name]).values for name in ("live_noise", "f1", "test_accuracy")
    }
    kept = {
        method: {name: float(one[name].mean()) for name in ("live_noise", "live_pixels")} for method, one in found.items()
    }
    counts = "; ".join(
        f"{method} keeps {one['live_pixels']:.0f} pixels and {one['live_noise']:.0f} irrelevant"
        for method, one in kept.items()
    )
    rule = f"at the largest λ whose validation accuracy is within {MARGIN:.0f} point of plain L1's best"
    return [
        below(
            "Group L2 keeps fewer irrelevant inputs than L1 at the same accuracy.",
            f"Irrelevant inputs kept, group L2 minus L1, each {rule} ({counts})",
            difference["live_noise"],
            unit="inputs",
            sign=True,
        ),
        above(
            "Group L2's choice of inputs is better than L1's at the same accuracy.",
            f"F1 of the inputs kept, the pixels being right, group L2 minus L1, each {rule}",
            100 * difference["f1"],
            unit="points",
            sign=True,
        ),
        above(
            "The test accuracy is the same, or better.",
            f"Test accuracy, group L2 minus L1, each {rule}; above −{MARGIN:.0f} point",
            100 * difference["test_accuracy"],
            -MARGIN,
            "points",
            sign=True,
        ),
    ]


def at_matched_accuracy(of: xr.Dataset, method: str) -> xr.Dataset:
    """Each seed's network of the largest λ whose validation accuracy is within the margin of plain L1's best."""
    target = of["validation_accuracy"].sel({"method": "L1"}).max("level") - MARGIN / 100
    accurate = of["validation_accuracy"].sel({"method": method}) >= target
    levels = xr.DataArray(np.arange(of.sizes["level"]), dims="level")
    # A seed without any such network has nothing to compare: all of it becomes NaN.
    reached = (accurate & (levels > 0)).any("level")
    picked = of.sel({"method": method}).isel(level=levels.where(accurate, 0).max("level")).where(reached)
    right, size = picked["live_pixels"], picked["live_pixels"] + picked["live_noise"]
    return picked.assign(f1=2 * right / (size + of["pixels"]))


CLAIMS = (
    Claim(
        "selection",
        "L1 selects features",
        "L1 selects features: it keeps those that matter and drops the others.",
        selection,
        figures.selection,
        "Left: precision, recall and F1 of the lasso's support along its path, for independent and for correlated columns. "
        "Right: how many pixels and how many irrelevant columns a network keeps under L1.",
        headlines.selection,
    ),
    Claim(
        "relevance",
        "L1 where little matters, L2 where all does",
        "L1 is to be preferred where irrelevant features dominate, L2 where all features matter; L1 may then not work well.",
        relevance,
        figures.relevance,
        "Quality on test rows against the share of irrelevant features, each penalty at the λ that validation rows choose. "
        "Left a network on digits with irrelevant columns, right linear models. Mean and 95 % interval.",
        headlines.relevance,
    ),
    Claim(
        "no-selection",
        "L2 does not select",
        "L2 does not select features, and is not effective where irrelevant features dominate.",
        no_selection,
        figures.no_selection,
        "Digits with the largest share of irrelevant columns. Left: columns with a weight left against λ. Right: test "
        "accuracy against λ, λ = 0 at the left end. Mean and 95 % interval.",
        headlines.no_selection,
    ),
    Claim(
        "groups",
        "Groups select inputs better",
        "Group L2 on what leaves an input selects inputs better than plain L1 at the same accuracy.",
        groups,
        figures.groups,
        "Test accuracy against the number of irrelevant inputs that a network keeps, along each path. Digits with the "
        "largest share of irrelevant columns; mean and 95 % interval of the accuracy.",
        headlines.groups,
    ),
)
