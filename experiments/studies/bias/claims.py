"""The claim that L1 pays for its zeros with bias, which refitting undoes and concave penalties
avoid.
"""

import numpy as np
import xarray as xr

from experiments.claims import Finding, above, below, between, mean_and_error
from experiments.studies.bias import figures, headlines
from experiments.studies.bias.equal import at_share
from experiments.study import Claim, Results

HARDLY = 5.0
"""Percent: weights count as hardly shrunk if the sum of their magnitudes is too small by less than
this.
"""
CONCAVE = ("MCP", "log-sum")
TESTED_SHRINKAGE = (
    "percent by which Σ|w| is below its value after refitting with the zeros held, minus the same "
    "percentage for a second "
    "refit, since weights also grow because training goes on"
)


def bias(results: Results) -> list[Finding]:
    """Linear models with known coefficients, then networks at an equal share of weights kept."""
    return [*regression(results["regression"]), *network(results["network"])]


def regression(dataset: xr.Dataset) -> list[Finding]:
    """Shrinkage, prediction and support of L1, of its refits, and of the concave penalties."""
    return [*coefficients(dataset), *predictions(dataset), *supports(dataset)]


def values_of(
    dataset: xr.Dataset, metric: str, method: str, fit: str = "penalised", factor: float = 1.0
) -> np.ndarray:
    """A metric of the linear models for each seed (seeds,), times a factor."""
    return np.asarray(factor * dataset[metric].sel({"method": method, "fit": fit}).values, float)


def coefficients(dataset: xr.Dataset) -> list[Finding]:
    """How much too small the relevant coefficients are that a method keeps."""
    residual = float(dataset["kkt"].max(skipna=False))
    tested = (
        "percent by which Σ|w| over the relevant columns kept is below the sum of their true "
        "magnitudes, at the λ with the "
        f"smallest validation error of the penalised model (KKT residual at most {residual:.0e}·λ)"
    )
    l1 = values_of(dataset, "shrinkage", "L1", factor=100)
    findings = [
        above(
            "L1 shrinks the coefficients that it keeps (linear model).",
            f"L1: {tested}; above {HARDLY:.0f} %",
            l1,
            HARDLY,
            "%",
            sign=True,
        ),
        between(
            "Refitting with the zeros held undoes the shrinkage (linear model).",
            f"L1, refitted at the same λ: {tested}; between −{HARDLY:.0f} and {HARDLY:.0f}",
            values_of(dataset, "shrinkage", "L1", "refitted", 100),
            -HARDLY,
            HARDLY,
            digits=1,
        ),
    ]
    for method in CONCAVE:
        findings += concave_coefficients(
            method, values_of(dataset, "shrinkage", method, factor=100), l1, tested
        )
    return findings


def concave_coefficients(
    method: str, own: np.ndarray, l1: np.ndarray, tested: str
) -> list[Finding]:
    """Two tests of one concave penalty: its shrinkage in percent (seeds,), alone and minus that of
    L1.
    """
    return [
        below(
            f"{method} hardly shrinks the coefficients that it keeps (linear model).",
            f"{method}: {tested}; below {HARDLY:.0f} %",
            own,
            HARDLY,
            "%",
            sign=True,
        ),
        below(
            f"{method} shrinks the coefficients that it keeps less than L1 (linear model).",
            f"{method} minus L1: {tested}",
            own - l1,
            unit="points",
            sign=True,
        ),
    ]


def predictions(dataset: xr.Dataset) -> list[Finding]:
    """Share of the signal's variance explained, minus that of L1 at its best λ."""
    l1 = values_of(dataset, "explained", "L1", factor=100)
    kept = (
        f"{count_text(dataset, 'L1')}, at its own λ "
        f"{count_text(dataset, 'L1', 'refitted at its own λ')}"
    )
    compared = (
        "Share of the signal's variance explained, {} minus L1, each λ chosen on validation data"
    )
    tests = [
        (
            "Refitting at the λ of L1 predicts better than L1 (linear model).",
            f"{compared.format('L1 refitted at the same λ')} ({kept})",
            values_of(dataset, "explained", "L1", "refitted", 100),
        ),
        (
            "Refitting predicts better than L1 if λ is chosen for the refitted model (linear "
            "model).",
            f"{compared.format('L1 refitted at its own λ')} ({kept})",
            values_of(dataset, "explained", "L1", "refitted at its own λ", 100),
        ),
        *(
            (
                f"{method} predicts better than L1 (linear model).",
                compared.format(method),
                values_of(dataset, "explained", method, factor=100),
            )
            for method in CONCAVE
        ),
    ]
    return [
        above(statement, tested, values - l1, unit="points", sign=True)
        for statement, tested, values in tests
    ]


def supports(dataset: xr.Dataset) -> list[Finding]:
    """Irrelevant columns kept, minus those that L1 keeps."""
    l1 = values_of(dataset, "irrelevant", "L1")
    return [
        below(
            f"{method} keeps fewer irrelevant columns than L1 (linear model).",
            f"Irrelevant columns kept, {method} minus L1, each at the λ with the smallest "
            f"validation error ({method} keeps "
            f"{count_text(dataset, method)}; L1 keeps {count_text(dataset, 'L1')})",
            values_of(dataset, "irrelevant", method) - l1,
            unit="columns",
            sign=True,
        )
        for method in CONCAVE
    ]


def count_text(dataset: xr.Dataset, method: str, fit: str = "penalised") -> str:
    """The columns that a fit keeps, mean ± standard error, and how many there are."""
    relevant = round(float((dataset["true"] != 0).sum("column").mean()))
    totals = {"relevant": relevant, "irrelevant": dataset.sizes["column"] - relevant}
    counts = {name: mean_and_error(values_of(dataset, name, method, fit)) for name in totals}
    texts = (
        f"{mean:.1f} ± {error:.1f} of {totals[name]} {name}"
        for name, (mean, error) in counts.items()
    )
    return f"{' and '.join(texts)} columns"


def network(networks: xr.Dataset) -> list[Finding]:
    """Shrinkage and test accuracy at an equal share of weights kept, before and after refitting."""
    share = float(networks["share"])
    at = (
        f"network on digits, {100 * share:g} % of the weights kept, interpolated between values "
        "of λ"
    )
    names = ("excess", "test_accuracy", "refitted_test_accuracy")
    networks = networks.assign(excess=networks["shrinkage"] - networks["growth"])
    found = {
        method: {name: 100 * at_share(networks, name, method, share) for name in names}
        for method in networks["method"].values.tolist()
    }
    l1 = found["L1"]
    findings = [
        above(
            "L1 shrinks the weights that it keeps (network).",
            f"L1: {TESTED_SHRINKAGE}; above {HARDLY:.0f} points; {at}",
            l1["excess"],
            HARDLY,
            "points",
            sign=True,
        ),
        above(
            "Refitting with the zeros held improves the accuracy of L1 (network).",
            f"Test accuracy after refitting minus before, L1; {at}",
            l1["refitted_test_accuracy"] - l1["test_accuracy"],
            unit="points",
            sign=True,
        ),
    ]
    schedule = (
        f"{found['L1, growing λ']['excess'].mean():.1f} points for L1 with a λ that grows "
        "in the same way"
    )
    return findings + [
        one
        for method in CONCAVE
        for one in concave_network(method, found[method], l1, at, schedule)
    ]


def concave_network(
    method: str, own: dict[str, np.ndarray], l1: dict[str, np.ndarray], at: str, schedule: str
) -> list[Finding]:
    """Three tests of one concave penalty: its shrinkage, its shrinkage minus that of L1, and its
    accuracy minus that of L1.

    Args:
        method: name of the penalty.
        own: its metrics for each seed, in percent.
        l1: the same of L1.
        at: where they are compared, in words.
        schedule: the shrinkage of L1 with a growing λ, in words.
    """
    return [
        below(
            f"{method} hardly shrinks the weights that it keeps (network).",
            f"{method}: {TESTED_SHRINKAGE}; below {HARDLY:.0f} points; {at}",
            own["excess"],
            HARDLY,
            "points",
            sign=True,
        ),
        below(
            f"{method} shrinks the weights that it keeps less than L1 (network).",
            f"{method} ({own['excess'].mean():.1f} points) minus L1 ({l1['excess'].mean():.1f} "
            f"points; {schedule}): "
            f"{TESTED_SHRINKAGE}; {at}",
            own["excess"] - l1["excess"],
            unit="points",
            sign=True,
        ),
        above(
            f"{method} predicts better than L1 (network).",
            f"Test accuracy before refitting, {method} ({accuracies_text(own)}) minus L1 "
            f"({accuracies_text(l1)}); {at}",
            own["test_accuracy"] - l1["test_accuracy"],
            unit="points",
            sign=True,
        ),
    ]


def accuracies_text(found: dict[str, np.ndarray]) -> str:
    """Mean test accuracies before and after refitting."""
    return (
        f"{found['test_accuracy'].mean():.1f} %, refitted "
        f"{found['refitted_test_accuracy'].mean():.1f} %"
    )


CLAIMS = (
    Claim(
        "bias",
        "L1 pays for its zeros with bias",
        "L1 pays for its zeros with bias: it shrinks the weights that it keeps. Refitting with "
        "the zeros held undoes this, "
        "and concave penalties (MCP, log-sum) hardly shrink.",
        bias,
        figures.bias,
        "Left: estimate minus true size of the coefficient (vertical) against its true size "
        "(horizontal) in linear models, "
        "for the relevant columns kept at the λ chosen on validation data: L1 (red-orange dots), "
        "L1 refitted with the zeros "
        "held (dashed, hollow dots), MCP (light orange triangles) and log-sum (blue squares). On "
        "the black line there is no "
        "bias. Small coefficients are kept only where noise makes them large, which makes their "
        "bias larger. Middle: "
        "shrinkage of the weights that a network on the digits keeps (vertical; how far Σ|w| is "
        "below its value after "
        "refitting, minus the same for a second refit, in percentage points) against the share of "
        "weights kept (horizontal, "
        "logarithmic). Dotted red-orange: L1 with a growing λ, the schedule of MCP and log-sum. "
        "Right: test accuracy "
        "before (solid) and after refitting (dashed) against the share of weights kept. In the "
        "middle and on the right each "
        "marker is one λ, and the vertical line is the share at which the methods are compared. "
        "Means over the seeds with "
        "95 % intervals.",
        headlines.bias,
    ),
)
