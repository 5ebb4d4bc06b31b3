"""The numbers of this study's claim in a few short lines, for the table of claims in the
documents.
"""

from collections.abc import Sequence

from experiments.claims import Finding
from experiments.study import Results


def stability(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Oscillation by problem, and how much correlated columns change the stability of the support.

    Args:
        results: the results of the study.
        findings: three for each problem (coupled, proximal, rest), then three for each index (L1,
            elastic net, group L2).

    Returns:
        The lines.
    """
    problems = results["oscillation"]["problem"].values
    lines = []
    for at, problem in enumerate(problems):
        coupled, _, rest = findings[3 * at : 3 * at + 3]
        lines.append(
            f"{problem}: sign changes of a weight, coupled minus no penalty, {coupled.numbers}; "
            "proximal, as a share of the "
            f"largest weight: {rest.numbers}"
        )
    jaccard, corrected = findings[3 * len(problems) :: 3]
    return [
        *lines,
        f"similarity of supports, correlated minus independent columns: {jaccard.numbers}; "
        "corrected for chance: "
        f"{corrected.numbers}",
    ]
