"""The small tables of the main job, for the documents."""

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.sheet import Sheet
from experiments.studies.l1_l2.drawing import stages
from experiments.studies.l1_l2.table import cell
from experiments.study import Results, Summary

NETWORKS = {"before": "no penalty", "L1": "L1", "L2": "L2"}
SHOWN = {
    "coupled L1": (1e-3,),
    "proximal L1": (1e-4, 1e-3),
    "coupled L2": (1.67e-3,),
    "decoupled L2": (0.464,),
}
"""The strengths that the table shows of each method, or the nearest ones on the grid."""
COLUMNS = {
    "test_accuracy": "test accuracy %",
    "zero_fraction": "exact zeros %",
    "live_inputs": "inputs in use",
    "norm": "norm of the weights",
}


def picture(results: Results) -> Summary:
    """The three networks of the figure `L1_L2`."""
    networks = stages(results["wine"])
    rows = []
    for stage, name in NETWORKS.items():
        one = networks.sel(stage=stage)
        weights = np.concatenate([one["first"].values.ravel(), one["second"].values.ravel()])
        zeros = f"{int((weights == 0).sum())} of {weights.size}"
        strength = "0" if stage == "before" else f"{float(one['strength']):g}"
        rows.append(
            [
                name,
                strength,
                zeros,
                f"{np.linalg.norm(weights):.1f}",
                f"{100 * float(one['test_accuracy']):.0f} %",
            ]
        )
    headings = [
        "network",
        "λ",
        "weights that are exactly 0",
        "norm of the weights",
        "test accuracy",
    ]
    return Summary(Sheet(headings, rows))


def digits(results: Results) -> Summary:
    """Some settings of the network on the digits, and the best test accuracy of each method."""
    dataset = results["digits"]
    none = dataset.isel(method=0, level=0)
    rows = [setting_row("none", "–", none)]
    best = [f"none {accuracy(none)}"]
    for method, strengths in SHOWN.items():
        one = dataset.sel({"method": method})
        levels = sorted({nearest(one, strength) for strength in strengths})
        rows += [
            setting_row(method, f"{float(one['strength'][level]):.3g}", one.isel(level=level))
            for level in levels
        ]
        means = one["test_accuracy"].mean("seed").isel(level=slice(1, None)).values
        if np.isfinite(means).any():
            best.append(f"{method} {accuracy(one.isel(level=1 + int(np.nanargmax(means))))}")
    seeds, inputs = dataset.sizes["seed"], int(none["live_inputs"].max(skipna=True).fillna(0))
    title = f"Mean ± standard error over {seeds} seeds; the network has {inputs} inputs"
    text = f"Highest mean test accuracy of each method over all λ, in percent: {', '.join(best)}."
    return Summary(Sheet(["method", "λ", *COLUMNS.values()], rows, title), text)


def nearest(method: xr.Dataset, strength: float) -> int:
    """The level whose strength is nearest, on a logarithmic scale; never level 0."""
    return 1 + int(np.abs(np.log(method["strength"].values[1:] / strength)).argmin())


def setting_row(name: str, strength: str, setting: xr.Dataset) -> list[str]:
    """One setting as mean ± standard error of each column."""
    return [name, strength, *(spaced(column, setting) for column in COLUMNS)]


def accuracy(setting: xr.Dataset) -> str:
    """The test accuracy of a setting, mean ± standard error in percent."""
    return spaced("test_accuracy", setting)


def spaced(column: str, setting: xr.Dataset) -> str:
    """One metric of a setting, mean ± standard error."""
    return cell(column, *mean_and_error(setting[column].values.astype(float))).replace("±", " ± ")
