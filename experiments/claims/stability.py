"""The claim that L1 is unstable: to optimise, and in what it selects."""

import xarray as xr

from experiments.claims.spec import Records, Spec
from experiments.figures import stability as figures
from experiments.verdicts import Finding, above, below, none_of


def stability(records: Records) -> list[Finding]:
    """Sign changes of the two ways at rest, and Jaccard indices of the supports."""
    return [*chatter(records["chatter"]), *jaccard(records["stability"])]


def chatter(records: xr.Dataset) -> list[Finding]:
    """Coupled against proximal on each problem."""
    findings = []
    for problem in records["problem"].values:
        changes = records["sign_changes"].sel(problem=problem)
        findings.append(
            above(
                f"The coupled subgradient does not come to rest ({problem}).",
                "Sign changes per weight in 100 full-batch steps at a constant rate, after thousands of steps",
                changes.sel(way="coupled").values,
                unit="per 100 steps",
            )
        )
    proximal = records["sign_changes"].sel(way="proximal")
    findings.append(
        none_of(
            "The proximal step at the same λ does: no weight changes its sign.",
            "Runs with any sign change, all problems and seeds",
            (proximal != 0).where(proximal.notnull()).values,
            1,
            "runs",
        )
    )
    return findings


def jaccard(records: xr.Dataset) -> list[Finding]:
    """L1 with and without correlation, and against elastic net and groups."""
    index = 100 * records["jaccard"]
    low, high = index.isel(correlation=0), index.isel(correlation=-1)
    rho = float(records["correlation"][-1])
    resamples = "Mean Jaccard index of supports over bootstrap resamples, in percent"
    return [
        below(
            "Correlated columns make L1's choice less stable.",
            f"{resamples}; correlation {rho:g} ({float(high.sel(way='L1').mean()):.0f} %) minus none "
            f"({float(low.sel(way='L1').mean()):.0f} %)",
            (high - low).sel(way="L1").values,
            unit="points",
            sign=True,
        ),
        above(
            "Elastic net chooses more stably than L1 among correlated columns.",
            f"{resamples}; elastic net minus L1 at correlation {rho:g}",
            (high.sel(way="elastic net") - high.sel(way="L1")).values,
            unit="points",
            sign=True,
        ),
        above(
            "Group L2 chooses more stably than L1 among correlated columns.",
            f"{resamples}; group L2, its groups being the blocks, minus L1 at correlation {rho:g}",
            (high.sel(way="group L2") - high.sel(way="L1")).values,
            unit="points",
            sign=True,
        ),
    ]


SPECS = (
    Spec(
        "stability",
        "L1 is unstable",
        "L1 can be unstable to optimise, and what it selects among correlated features is unstable.",
        ("chatter", "stability"),
        stability,
        figures.stability,
        "Left: sign changes per weight in 100 steps, long after the start, full batch at a constant rate, coupled and "
        "proximal L1 at the same λ. Right: Jaccard index of supports over bootstrap resamples. Mean and 95 % interval, a "
        "dot a seed.",
    ),
)
