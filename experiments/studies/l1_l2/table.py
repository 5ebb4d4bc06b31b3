"""The table of the main job, and the numbers beside its figures."""

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.figures.network import weights_of
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
    "train, test: accuracy in percent; gap: their difference in percentage points; zeros: kernel "
    "weights that are exactly "
    "0; inputs: how many of the 64 pixels have a weight that is not 0; ‖w‖: norm of all kernels; "
    "KKT: largest violation of "
    "the optimality conditions of loss + penalty, in the units of λ (for decoupled L2, of the "
    "loss alone, as it has no "
    "objective)."
)
PERCENT = ("train_accuracy", "test_accuracy", "gap", "zero_fraction")


def tabulate(results: Results) -> Summary:
    """A row for each method and strength: mean ± standard error over the seeds.

    Args:
        results: the dataset "digits" of the main job.
    """
    digits = results["digits"]
    rows: list[list[str] | str] = ["none", row(digits.isel(method=0, level=0), "–")]
    for method in digits["method"].values:
        method_runs = digits.sel({"method": method})
        strengths = enumerate(method_runs["strength"].values.tolist())
        next(strengths)  # λ = 0 is the row "none"
        rows.append(str(method))
        rows += [
            row(method_runs.isel(level=level), f"{strength:.3g}") for level, strength in strengths
        ]
    title = (
        f"Digits: mean±standard error over {digits.sizes['seed']} "
        f"seed{'s' if digits.sizes['seed'] > 1 else ''}"
    )
    return Summary(Sheet(["λ", *COLUMNS.values()], rows, title, LEGEND, left=(), group="method"))


def row(setting: xr.Dataset, name: str) -> list[str]:
    """The cells of one setting, from its metrics along `seed`."""
    return [
        name,
        *(
            cell(column, *mean_and_error(setting[column].values.astype(float)))
            for column in COLUMNS
        ),
    ]


def cell(name: str, mean: float, error: float) -> str:
    """A cell as mean±standard error, in the column's unit. A single seed has no standard error,
    only a value.
    """
    scale, form = (100 if name in PERCENT else 1), (".0e" if name == "kkt_residual" else ".1f")
    values = (mean,) if np.isnan(error) and not np.isnan(mean) else (mean, error)
    return "±".join(f"{scale * value:{form}}" for value in values)


def swept_numbers(results: Results, method: str) -> list[str]:
    """The zeros, norm and test accuracy of a method at three strengths, one line each.

    Args:
        results: the dataset "digits" of the main job.
        method: the method of regularization.
    """
    method_runs = results["digits"].sel({"method": method})
    last = method_runs.sizes["level"] - 1
    metrics = (
        ("zero_fraction", 100, "% zeros"),
        ("norm", 1, "‖w‖"),
        ("test_accuracy", 100, "% test accuracy"),
    )
    lines = []
    for level in sorted({1, 1 + last // 2, last}):
        texts = []
        for metric, scale, text in metrics:
            mean, error = mean_and_error(
                scale * method_runs[metric].isel(level=level).values.astype(float)
            )
            texts.append(f"{mean:.1f} ± {error:.1f} {text}")
        lines.append(
            f"{method}, λ = {float(method_runs['strength'][level]):.3g}: {', '.join(texts)}"
        )
    return lines


def drawn_numbers(results: Results, *penalties: str) -> list[str]:
    """The zeros, norm and test accuracy of the small network before and after penalties, one line
    each.

    Args:
        results: the dataset "wine" of the main job.
        *penalties: some of "L1" and "L2".
    """
    networks = stages(results["wine"])
    lines = []
    for stage in ("before", *penalties):
        network = networks.sel(stage=stage)
        weights = weights_of(network)
        name = "no penalty" if stage == "before" else f"{stage}, λ = {float(network['strength']):g}"
        lines.append(
            f"{name}: {int((weights == 0).sum())} of {weights.size} weights exactly 0, "
            f"‖w‖ = {np.linalg.norm(weights):.1f}, test accuracy "
            f"{100 * float(network['test_accuracy']):.0f} %"
        )
    return lines
