"""The claim that L1 is unstable: in optimization, and in what it selects."""

import xarray as xr

from experiments.claims import Finding, above, below, within
from experiments.studies.stability import figures, headlines
from experiments.study import Claim, Results

REST = 1e-4
"""An optimizer counts as at rest if its largest step is at most this share of the largest
weight.
"""


def stability(results: Results) -> list[Finding]:
    """Oscillation of the optimizers, and stability of the supports."""
    return [*oscillation(results["oscillation"]), *selection(results["bootstrap"])]


def oscillation(dataset: xr.Dataset) -> list[Finding]:
    """For each problem: coupled L1 against no penalty, proximal against coupled L1, and the largest
    proximal step.
    """
    findings = []
    period = "in 100 full-batch steps at a constant learning rate, after thousands of steps"
    for problem in dataset["problem"].values:
        runs = dataset.sel(problem=problem)
        signs, all_changes = runs["sign_changes"], runs["sign_changes"] + runs["support_changes"]
        findings += [
            above(
                f"With the coupled subgradient, weights keep oscillating around 0 ({problem}).",
                f"Sign changes per weight {period}, minus sign changes without a penalty",
                (signs.sel({"method": "coupled"}) - signs.sel({"method": "none"})).values,
                unit="per 100 steps",
            ),
            below(
                f"With the proximal step at the same λ, weights oscillate less ({problem}).",
                f"Changes of sign and changes from or to exactly 0, per weight {period}, proximal "
                "minus coupled",
                (
                    all_changes.sel({"method": "proximal"}) - all_changes.sel({"method": "coupled"})
                ).values,
                unit="per 100 steps",
                sign=True,
            ),
            within(
                f"With the proximal step, weights come to rest ({problem}).",
                "Largest step of a weight during the measured steps, as a share of the largest "
                "weight",
                float(runs["largest_step"].sel({"method": "proximal"}).max(skipna=False)),
                REST,
                "largest step",
            ),
        ]
    return findings


def selection(dataset: xr.Dataset) -> list[Finding]:
    """L1 with and without correlation, and against elastic net and group L2, by both indices."""
    return [
        *selection_by_index(dataset, "jaccard", "Jaccard index"),
        *selection_by_index(dataset, "corrected", "Nogueira's index", ", corrected for chance,"),
    ]


def selection_by_index(
    dataset: xr.Dataset, name: str, title: str, detail: str = ""
) -> list[Finding]:
    """The tests of selection by one index.

    Args:
        dataset: of the bootstrap sweep.
        name: variable of the index.
        title: name of the index.
        detail: what to say after the name where it is explained.
    """
    index = 100 * dataset[name]
    sizes = dataset["size"].mean("seed", skipna=False)
    low, high = (index.isel(correlation=at) for at in (0, -1))
    low_correlation, high_correlation = (
        f"correlation {float(dataset['correlation'][at]):g}" for at in (0, -1)
    )
    tested = f"{title}{detail} of the supports over bootstrap resamples, times 100"

    def mean_of(method: str, at: int = -1) -> str:
        chosen = {"method": method}
        value, size = (
            index.isel(correlation=at).sel(chosen).mean(skipna=False),
            sizes.isel(correlation=at).sel(chosen),
        )
        return f"{float(value):.0f}, {float(size):.0f} columns kept"

    findings = [
        below(
            f"Correlated columns make L1's selection less stable ({title}).",
            f"{tested}; L1 at {high_correlation} ({mean_of('L1')}) minus L1 at {low_correlation} "
            f"({mean_of('L1', 0)})",
            (high - low).sel({"method": "L1"}).values,
            unit="points",
            sign=True,
        )
    ]
    for method, subject in (
        ("elastic net", "Elastic net"),
        ("group L2", "Group L2, which knows the blocks,"),
    ):
        findings.append(
            above(
                f"{subject} selects more stably than L1 among correlated columns ({title}).",
                f"{tested}; {method} ({mean_of(method)}) minus L1 ({mean_of('L1')}) at "
                f"{high_correlation}",
                (high.sel({"method": method}) - high.sel({"method": "L1"})).values,
                unit="points",
                sign=True,
            )
        )
    return findings


CLAIMS = (
    Claim(
        "stability",
        "L1 is unstable",
        "L1 can be unstable to optimize, and its selection among correlated features is unstable.",
        stability,
        figures.stability,
        "Left: changes of sign and changes from or to 0, per weight in 100 full-batch steps at a "
        "constant learning rate "
        "(vertical), long after the start, for three problems (horizontal): without a penalty "
        "(dark grey), and with "
        "coupled (orange) and proximal L1 (red-orange) at the same λ. Weights at rest have a "
        "value of 0. Right: stability "
        "of the supports over bootstrap resamples (vertical; 1 means that all resamples select "
        "the same columns) by two "
        "indices and for two correlations (horizontal): L1 (red-orange), elastic net (pink) and "
        "group L2 (green). The "
        "corrected index does not reward keeping more columns. Dots are seeds, diamonds their "
        "means, bars 95 % intervals.",
        headlines.stability,
    ),
)
