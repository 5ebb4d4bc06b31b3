"""The claim that L1 is unstable: to optimise, and in what it selects."""

import xarray as xr

from experiments.claims import Finding, above, below, within
from experiments.studies.stability import figures, headlines
from experiments.study import Claim, Results

REST = 1e-4
"""A largest step of at most this share of the largest weight counts as rest."""


def stability(records: Results) -> list[Finding]:
    """How restless the two methods are, and how stable the supports."""
    return [*chatter(records["oscillation"]), *choices(records["bootstrap"])]


def chatter(records: xr.Dataset) -> list[Finding]:
    """Coupled against no penalty, proximal against coupled, and whether the proximal step comes to rest, on each problem."""
    findings = []
    watched = "in 100 full-batch steps at a constant rate, after thousands of steps"
    for problem in records["problem"].values:
        of = records.sel(problem=problem)
        signs, crossings = of["sign_changes"], of["sign_changes"] + of["support_changes"]
        findings += [
            above(
                f"The coupled subgradient keeps weights chattering about 0 ({problem}).",
                f"Sign changes per weight {watched}, minus those without a penalty",
                (signs.sel({"method": "coupled"}) - signs.sel({"method": "none"})).values,
                unit="per 100 steps",
            ),
            below(
                f"The proximal step at the same λ is quieter ({problem}).",
                f"Changes of sign, and from or to exactly 0, per weight {watched}, proximal minus coupled",
                (crossings.sel({"method": "proximal"}) - crossings.sel({"method": "coupled"})).values,
                unit="per 100 steps",
                sign=True,
            ),
            within(
                f"The proximal step comes to rest ({problem}).",
                "Largest step of a weight, as a share of the largest weight, over the steps that are watched",
                float(of["largest_step"].sel({"method": "proximal"}).max(skipna=False)),
                REST,
                "largest",
            ),
        ]
    return findings


def choices(records: xr.Dataset) -> list[Finding]:
    """L1 with and without correlation, and against elastic net and groups, by both indices."""
    findings = []
    sizes = records["size"].mean("seed", skipna=False)
    rho = float(records["correlation"][-1])
    for name, title in (("jaccard", "Jaccard index"), ("corrected", "Nogueira's index, corrected for chance,")):
        low, high = (100 * records[name].isel(correlation=at) for at in (0, -1))
        index = f"{title} of supports over bootstrap resamples, times 100"

        def text(of: xr.DataArray, at: int, method: str) -> str:
            value, size = of.sel({"method": method}).mean(skipna=False), sizes.isel(correlation=at).sel({"method": method})
            return f"{float(value):.0f}, {float(size):.0f} kept"

        findings.append(
            below(
                f"Correlated columns make L1's choice less stable ({title.split(',')[0]}).",
                f"{index}; at correlation {rho:g} ({text(high, -1, 'L1')}) minus at none ({text(low, 0, 'L1')})",
                (high - low).sel({"method": "L1"}).values,
                unit="points",
                sign=True,
            )
        )
        for method, name_of in (("elastic net", "Elastic net"), ("group L2", "Group L2, given the blocks,")):
            findings.append(
                above(
                    f"{name_of} chooses more stably than L1 among correlated columns ({title.split(',')[0]}).",
                    f"{index}; {method} ({text(high, -1, method)}) minus L1 ({text(high, -1, 'L1')}) at correlation {rho:g}",
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
        "L1 can be unstable to optimise, and what it selects among correlated features is unstable.",
        stability,
        figures.stability,
        "Left: how often a weight changes its sign, or becomes or ceases to be 0, in 100 steps long after the start, full "
        "batch at a constant rate, without a penalty and with coupled and proximal L1 at the same λ. Right: Jaccard "
        "index of supports over bootstrap resamples, and an index corrected for the number of columns kept. Mean "
        "and 95 % interval, a dot a seed.",
        headlines.stability,
    ),
)
