"""The table of the main job, and the numbers that stand beside its figures."""

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.sheet import Sheet
from experiments.studies.l1_l2.drawing import stages
from experiments.study import Results, Summary

COLUMNS = {
    "train_accuracy": "train %",
    "test_accuracy": "test %",
    "gap": "gap",
    "zero_fraction": "zeros %",
    "live_inputs": "inputs",
    "norm": "‖w‖",
    "kkt_residual": "KKT",
}
LEGEND = (
    "train and test accuracy and their gap in percent and percent points; zeros: kernel weights that are exactly 0; inputs: "
    "those of the 64 pixels with a weight left; ‖w‖: norm of all kernels; KKT: largest violation of optimality of "
    "loss + penalty, in the units of λ (for decoupled decay, which has no objective, of the loss alone)."
)
PERCENT = ("train_accuracy", "test_accuracy", "gap", "zero_fraction")


def tabulate(records: Results) -> Summary:
    """A row for each method and strength: mean ± standard error over the seeds."""
    digits = records["digits"]
    rows: list[list[str] | str] = ["none", row(digits.isel(method=0, level=0), "–")]
    for method in digits["method"].values:
        one = digits.sel({"method": method})
        rows.append(str(method))
        rows += [row(one.isel(level=at), f"{float(one['strength'][at]):.3g}") for at in range(1, one.sizes["level"])]
    title = f"Digits: mean±standard error over {digits.sizes['seed']} seed{'s' if digits.sizes['seed'] > 1 else ''}"
    return Summary(Sheet(["λ", *COLUMNS.values()], rows, title, LEGEND, left=(), group="method"))


def row(setting: xr.Dataset, name: str) -> list[str]:
    """One setting's cells, from its metrics along `seed`."""
    return [name, *(cell(column, *mean_and_error(setting[column].values.astype(float))) for column in COLUMNS)]


def cell(name: str, mean: float, error: float) -> str:
    """One cell as mean±standard error, in the column's unit; the value alone where a single seed has no standard error."""
    scale, form = (100 if name in PERCENT else 1), (".0e" if name == "kkt_residual" else ".1f")
    values = (mean,) if np.isnan(error) and not np.isnan(mean) else (mean, error)
    return "±".join(f"{scale * value:{form}}" for value in values)


def swept_numbers(records: Results, method: str) -> list[str]:
    """Zeros, norm and test accuracy at three strengths of a method."""
    one = records["digits"].sel({"method": method})
    last = one.sizes["level"] - 1
    lines = []
    for level in sorted({1, 1 + last // 2, last}):
        texts = []
        for metric, scale, text in (
            ("zero_fraction", 100, "% zeros"),
            ("norm", 1, "‖w‖"),
            ("test_accuracy", 100, "% test accuracy"),
        ):
            mean, error = mean_and_error(scale * one[metric].isel(level=level).values.astype(float))
            texts.append(f"{mean:.1f} ± {error:.1f} {text}")
        lines.append(f"{method}, λ = {float(one['strength'][level]):.3g}: {', '.join(texts)}")
    return lines


def drawn_numbers(records: Results, *penalties: str) -> list[str]:
    """Zeros, norm and test accuracy of the drawn networks."""
    networks = stages(records["wine"])
    lines = []
    for stage in ("before", *penalties):
        one = networks.sel(stage=stage)
        weights = np.concatenate([one["first"].values.ravel(), one["second"].values.ravel()])
        strength = "" if stage == "before" else f", λ = {float(one['strength']):g}"
        lines.append(
            f"{stage}{strength}: {int((weights == 0).sum())} of {weights.size} weights 0, "
            f"‖w‖ = {np.linalg.norm(weights):.1f}, test accuracy {100 * float(one['test_accuracy']):.0f} %"
        )
    return lines
