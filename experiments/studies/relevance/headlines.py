"""The numbers of each claim of this study in a few short lines, for the table of claims in the
documents.

Each function takes the results and the findings of its claim, in the order in which the claim
reports them.
"""

from collections.abc import Sequence

from experiments.claims import Finding
from experiments.study import Results


def selection(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Recall and precision of the lasso by design, and what the network keeps of the digits."""
    *lasso, pixels = findings
    lines = []
    for design in range(results["linear"].sizes["design"]):
        recall, precision, _ = lasso[3 * design : 3 * design + 3]
        correlation = float(results["linear"]["correlation"][design])
        lines.append(
            f"lasso, columns of correlation {correlation:g}: recall {recall.numbers}, precision "
            f"{precision.numbers}"
        )
    return [
        *lines,
        f"network: share of pixels kept minus share of irrelevant columns kept {pixels.numbers}",
    ]


def relevance(results: Results, findings: Sequence[Finding]) -> list[str]:
    """L1 minus L2 at the largest and the smallest share of irrelevant features, and where L1
    overtakes L2.
    """
    lines = []
    for at, (what, sweep) in enumerate((("network", "network"), ("linear model", "linear"))):
        most, least, crossing = findings[3 * at : 3 * at + 3]
        share = 100 * float(results[sweep]["share"][-1])
        lines += [
            f"{what}, L1 minus L2: {most.numbers} with {share:.0f} % irrelevant features, "
            f"{least.numbers} without them",
            f"{what}, L1 overtakes L2 as irrelevant features are added: {crossing.numbers}",
        ]
    return lines


def no_selection(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Dropped inputs, and what L2 gains."""
    dropped, gain, against_l1 = findings
    share = 100 * float(results["network"]["share"][-1])
    return [
        dropped.numbers,
        f"test accuracy with {share:.0f} % irrelevant columns: L2 minus no penalty "
        f"{gain.numbers}, L2 minus L1 "
        f"{against_l1.numbers}",
    ]


def groups(_: Results, findings: Sequence[Finding]) -> list[str]:
    """Group L2 minus L1."""
    labels = ("irrelevant inputs kept", "F1 of the inputs kept", "test accuracy")
    return [
        f"{label}, group L2 minus L1: {one.numbers}"
        for label, one in zip(labels, findings, strict=True)
    ]
