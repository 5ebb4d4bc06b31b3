"""The table of the bias study: every fit of the linear models, and every network."""

import numpy as np

from experiments.claims import mean_and_error
from experiments.sheet import Sheet
from experiments.study import Results, Summary

HEADINGS = ("fit", "shrinkage %", "explained or accuracy %", "refitted %", "kept")
LEGEND = (
    "Mean ± standard error over the seeds. Linear model: λ is chosen on validation data, and its "
    "median is shown; "
    "shrinkage: percent by which Σ|w| over the relevant columns kept is below the sum of their "
    "true magnitudes; explained: "
    "share of the signal's variance; kept: relevant + irrelevant columns. Network: shrinkage: "
    "percent by which Σ|w| is "
    "below its value after refitting, minus the same percentage for a second refit; accuracy on "
    "test rows, before and after "
    "refitting; kept: percent of the weights."
)


def tabulate(results: Results) -> Summary:
    """A row for each fit of the linear models, and for each method and λ of the networks."""
    paths, networks = results["regression"], results["network"]
    networks = networks.assign(excess=networks["shrinkage"] - networks["growth"])
    rows: list[list[str] | str] = []
    for method in paths["method"].values.tolist():
        rows.append(f"linear model, {method}")
        for fit in paths["fit"].values.tolist():
            one = paths.sel({"method": method, "fit": fit})
            kept = " + ".join(text(one[name].values) for name in ("relevant", "irrelevant"))
            numbers = [text(100 * one[name].values) for name in ("shrinkage", "explained")]
            rows.append([f"{fit}, λ = {float(np.median(one['chosen'])):.2g}", *numbers, "–", kept])
    for method in networks["method"].values.tolist():
        rows.append(f"network, {method}")
        for level in range(networks.sizes["level"]):
            one = networks.sel({"method": method}).isel(level=level)
            names = ("excess", "test_accuracy", "refitted_test_accuracy", "kept")
            numbers = [text(100 * one[name].values) for name in names]
            rows.append([f"λ = {float(one['strength']):g}", *numbers])
    return Summary(Sheet(HEADINGS, rows, legend=LEGEND, group="model"))


def text(values: np.ndarray) -> str:
    """Mean ± standard error, or "diverged"."""
    mean, error = mean_and_error(np.asarray(values, float))
    return f"{mean:.1f} ± {error:.1f}" if np.isfinite(mean) else "diverged"
