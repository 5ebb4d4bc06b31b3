"""The numbers of each claim of this study in a few short lines, for the table of claims in the
documents.

Each function takes the results and the findings of its claim, in the order in which the claim
reports them.
"""

import re
from collections.abc import Sequence

from experiments.claims import Finding
from experiments.study import Results


def zeros(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Exact zeros by method."""
    proximal, coupled, decoupled = findings
    share = (
        100
        * results["strength"]["zero_fraction"]
        .sel({"wrong": 0.0, "method": "proximal L1"})
        .mean("seed")
        .values
    )
    return [
        f"proximal: {share[1]:.0f} % of the weights are 0 at the smallest λ, {share[-1]:.1f} % at "
        "the largest, "
        f"and more at {steps_in(proximal)}",
        f"coupled: {coupled.numbers}",
        f"decoupled: {decoupled.numbers}",
    ]


def shrinkage(_: Results, findings: Sequence[Finding]) -> list[str]:
    """Zeros, size and proportion under L2."""
    ridge, none, *networks = findings
    smaller, near = networks[::2], networks[1::2]
    return [
        f"orthonormal design: {ridge.numbers}",
        f"network: {none.numbers}",
        f"weights that are smaller: {by_method(smaller)}",
        f"weights within 10 % of one common factor: {by_method(near)}",
    ]


def by_method(findings: Sequence[Finding]) -> str:
    """The numbers with coupled and with decoupled L2."""
    return ", ".join(
        f"{method} {one.numbers}"
        for one, method in zip(findings, ("coupled", "decoupled"), strict=True)
    )


def norm(_: Results, findings: Sequence[Finding]) -> list[str]:
    """At how many steps of λ the norm falls."""
    labels = ("proximal L1: Σ|w|", "coupled L2: ‖w‖", "decoupled L2: ‖w‖")
    return [
        f"{label} falls at {steps_in(one)}" for label, one in zip(labels, findings, strict=True)
    ]


def overfitting(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Test accuracy and test loss, minus those at λ = 0, by share of wrong labels."""
    lines = []
    for at, wrong in enumerate(results["strength"]["wrong"].values):
        labels = "right labels" if wrong == 0 else f"{100 * wrong:.0f} % wrong labels"
        # Six tests for each share of wrong labels: gap, accuracy and loss of L1, then of L2.
        for method, tests in (
            ("L1", findings[6 * at : 6 * at + 3]),
            ("L2", findings[6 * at + 3 : 6 * at + 6]),
        ):
            _, accuracy, loss = tests
            lines.append(
                f"{labels}, {method} minus λ = 0: test accuracy {accuracy.numbers}, test loss "
                f"{loss.numbers}"
            )
    return lines


def steps_in(finding: Finding) -> str:
    """How many steps of λ a finding counts, in words; all of its numbers if it counts none."""
    counted = re.match(r"\d+ of \d+ steps", finding.numbers)
    return f"{counted[0]} of λ" if counted else finding.numbers
