"""The numbers of each claim of this study in a few short lines, for the table of claims in the
documents.

Each function takes the results and the findings of its claim, in the order in which the claim
reports them.
"""

from collections.abc import Sequence

from experiments.claims import Finding
from experiments.study import Results


def decay(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Relative distance of the weights, by optimizer."""
    pairs = results["pairs"]["decay_pair"].values
    return [f"{pair}: {one.numbers}" for pair, one in zip(pairs, findings, strict=True)]


def tilt(results: Results, findings: Sequence[Finding]) -> list[str]:
    """The slope of log(best λ) against log(learning rate), by method."""
    methods = results["tilt"]["method"].values
    return [
        f"{method}: slope {one.numbers}"
        for method, one in zip(methods, findings[: len(methods)], strict=True)
    ]


def scale(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Relative distance of the weights after training on the multiplied loss, by optimizer."""
    pairs = results["pairs"]["scale_pair"].values
    return [f"{pair}: {one.numbers}" for pair, one in zip(pairs, findings, strict=True)]
