"""Tables: records in, rows of text out."""

import itertools
import operator
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from experiments.disk import write_whole
from experiments.sheet import Sheet
from experiments.verdicts import mean_and_error

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


def summarise(records: xr.Dataset) -> xr.Dataset:
    """Mean and standard error over the seeds, for each method and strength, along `setting`."""
    methods, strengths = records["method"].values, records["strength"].values
    settings = list(dict.fromkeys(zip(methods.tolist(), strengths.tolist(), strict=True)))
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in COLUMNS}
    for method, strength in settings:
        picked = (methods == method) & (strengths == strength)
        for name in COLUMNS:
            rows[name].append(mean_and_error(records[name].values[picked].astype(float)))
    return xr.Dataset(
        {name: (("setting", "of"), np.array(values)) for name, values in rows.items()},
        coords={
            "method": ("setting", [m for m, _ in settings]),
            "strength": ("setting", [s for _, s in settings]),
            "of": ["mean", "error"],
        },
    )


def cell(name: str, mean: float, error: float) -> str:
    """One cell as mean±standard error, in the column's unit; the value alone where a single seed has no standard error."""
    scale, form = (100 if name in PERCENT else 1), (".0e" if name == "kkt_residual" else ".1f")
    values = (mean,) if np.isnan(error) and not np.isnan(mean) else (mean, error)
    return "±".join(f"{scale * value:{form}}" for value in values)


def rows_of(records: xr.Dataset) -> list[list[str]]:
    """The summary as text: method, strength, and a cell for each column."""
    summary = summarise(records)
    settings = zip(summary["method"].values, summary["strength"].values, strict=True)
    return [
        [
            str(method),
            "–" if method == "none" else f"{strength:.3g}",
            *(cell(name, *summary[name].values[at]) for name in COLUMNS),
        ]
        for at, (method, strength) in enumerate(settings)
    ]


def summary_table(records: xr.Dataset) -> Sheet:
    """The summary for a terminal: a heading a method, a row a strength."""
    title = f"Digits: mean±standard error over {len(np.unique(records['seed']))} seeds"
    rows: list[list[str] | str] = []
    for method, group in itertools.groupby(rows_of(records), operator.itemgetter(0)):
        rows += [method, *(cells for _, *cells in group)]
    return Sheet(["λ", *COLUMNS.values()], rows, title, LEGEND, left=())


def write_markdown(records: xr.Dataset, command: str, path: Path) -> None:
    """The summary as a Markdown table, with the command that made it."""
    heading = ["method", "λ", *COLUMNS.values()]
    lines = [
        f"Mean ± standard error over {len(np.unique(records['seed']))} seeds, by `{command}`.",
        "",
        f"Columns: {LEGEND}",
        "",
        *markdown_table(heading, rows_of(records)),
    ]
    write_whole(path, "\n".join(lines) + "\n")


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    every = ("| " + " | ".join(row) + " |" for row in rows)
    return ["| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading), *every]


def diverged(records: xr.Dataset) -> list[str]:
    """The runs whose loss is no number, by name."""
    bad = records["run_diverged"].values
    columns = (records[name].values[bad].tolist() for name in ("method", "strength", "seed"))
    return [f"{method}, λ = {strength:g}, seed {seed}" for method, strength, seed in zip(*columns, strict=True)]


def diverged_drawings(drawn: xr.Dataset) -> list[str]:
    """The stages of the drawn network that hold a weight that is no number, by name."""
    broken = [
        str(stage)
        for stage in drawn["stage"].values
        if not all(np.isfinite(drawn[kernel].sel(stage=stage)).all() for kernel in ("first", "second"))
    ]
    return [f"the drawn network, {stage}" for stage in broken]


def diverged_frames(played: xr.Dataset) -> list[str]:
    """The networks of the player that hold a weight that is no number, by name."""
    return [
        f"the player's network, {penalty}, λ = {strength:g}"
        for penalty in played["penalty"].values
        for strength in played["strength"].values
        for one in [played.sel(penalty=penalty, strength=strength)]
        if not all(np.isfinite(one[kernel]).all() for kernel in ("first", "second"))
    ]
