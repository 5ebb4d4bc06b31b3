"""Small tables for the documents, from the files that the benchmarks save.

tables = EXCERPTS["lasso"](json.loads(Path("results/bench/lasso.json").read_text()))
tables["optimizers"]                    # a `Summary`: a table, and a line of text below it
"""

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.sheet import Sheet
from experiments.study import Summary

REFERENCE = "scikit-learn's Lasso"
Saved = Mapping[str, Any]
"""The content of a benchmark's file."""


def lasso_tables(saved: Saved) -> dict[str, Summary]:
    """The distance from scikit-learn's solution by optimizer; the exact optimizers are grouped and
    show their largest.
    """
    scores, config = saved["scores"], saved["made_by"]["config"]
    headings = ["optimizer", "largest error of a weight", "nonzero weights", "KKT residual ÷ λ"]
    groups = {"scikit-learn's `Lasso`": [REFERENCE]}
    for prefix in ("prox_sgd", "prox_"):
        taken = set(itertools.chain(*groups.values()))
        names = [name for name in scores if name.startswith(prefix) and name not in taken]
        groups[", ".join(code(name) for name in names)] = names
    taken = set(itertools.chain(*groups.values()))
    groups |= {code(name): [name] for name in scores if name not in taken}
    rows = [
        [name, *lasso_cells([scores[member] for member in members])]
        for name, members in groups.items()
        if members
    ]
    title = (
        f"λ = {config['share']:g} λ_max on scikit-learn's diabetes data, {config['steps']:,} "
        "full-batch steps in float64; a "
        "row of several optimizers shows the largest number among them"
    )
    return {"optimizers": Summary(Sheet(headings, rows, title))}


def lasso_cells(scores: Sequence[Mapping[str, float]]) -> list[str]:
    """The largest error, number of nonzero weights and KKT residual of some optimizers."""
    error, nonzero, residual = (
        max(row[key] for row in scores) for key in ("error", "nonzero", "residual")
    )
    return [f"{error:.2g}", f"{nonzero:g}", f"{residual:.2g}"]


def code(name: str) -> str:
    """An optimizer's name as inline code; of a single optimizer, what follows the comma is plain
    text.
    """
    first, *others = [name] if "→" in name else name.split(", ", 1)
    return " ".join([f"`{first}`", *others])


def update_tables(saved: Saved) -> dict[str, Summary]:
    """Bytes and time of one update by optimizer."""
    config, devices = saved["made_by"]["config"], saved["made_by"]["devices"]
    rows = []
    for name, row in saved["numbers"].items():
        low, high = row["ratio_quartiles"]
        rows.append(
            [
                f"`{name}`",
                f"{row['bytes_per_parameter']:.0f}",
                f"{row['ratio']:.2f}",
                f"{low:.2f} to {high:.2f}",
            ]
        )
    headings = [
        "optimizer",
        "bytes per weight",
        "time ÷ `optax.adamw`",
        "quartiles over the rounds",
    ]
    title = (
        f"One update of {config['parameters']:,} float32 weights on {devices[0]}, median of "
        f"{config['rounds']} rounds"
    )
    return {"optimizers": Summary(Sheet(headings, rows, title))}


def sweep_tables(saved: Saved) -> dict[str, Summary]:
    """The contestants' seconds by width, and seconds and memory by number of devices and of
    runs.
    """
    tables = {"speed": speed_table(saved)}
    if saved["scaling"]:
        tables["scaling"] = scaling_table(saved)
    return tables


def speed_table(saved: Saved) -> Summary:
    """A row for each width: seconds of the sweep, of the others, and how fast the sweep
    computes.
    """
    config, devices = saved["made_by"]["config"], saved["made_by"]["devices"]
    rows, compiling, spread = [], [], []
    for width, group in itertools.groupby(saved["rows"], operator.itemgetter("width")):
        by_name = {row["contestant"]: row for row in group if "seconds" in row}
        warm = by_name["sweep, warm"]
        others = [
            slower(by_name.get(name), warm["seconds"])
            for name in ("Flax loop, warm", "jitted scan, warm", "PyTorch")
        ]
        share = f"{100 * warm['gflops'] / saved['ceiling_gflops']:.0f} %"
        rows.append([str(width), f"{warm['seconds']:.2f}", *others, share])
        compiling.append(by_name["sweep, cold"]["seconds"] - warm["seconds"])
        accuracies = [100 * row["accuracy"] for row in by_name.values()]
        spread.append(max(accuracies) - min(accuracies))
    headings = [
        "width",
        "`jaxreg.sweep`",
        "Flax loop",
        "one jitted scan per run",
        "PyTorch",
        "share of a matrix product",
    ]
    title = (
        f"Seconds for {config['runs']} networks of two hidden layers on {len(devices)} "
        f"{devices[0]} devices, "
        f"{config['epochs']} epochs, after a first run; in brackets, the time divided by that of "
        "`jaxreg.sweep`"
    )
    text = (
        f"At each width, the contestants' mean test accuracies differ by {max(spread):.1f} points "
        "or less. The first sweep "
        f"of a shape also compiles, which takes {min(compiling):.1f} to {max(compiling):.1f} "
        "seconds. The last column is "
        "the sweep's arithmetic per second, divided by that of a large float32 matrix product."
    )
    return Summary(Sheet(headings, rows, title), text)


def slower(row: Mapping[str, float] | None, seconds: float) -> str:
    """A contestant's seconds, and how many times those of the sweep."""
    return (
        "not measured"
        if row is None
        else f"{row['seconds']:.2f} ({row['seconds'] / seconds:.1f} ×)"
    )


def scaling_table(saved: Saved) -> Summary:
    """A row for each number of devices and of runs."""
    rows = []
    for row in saved["scaling"]:
        speed = f"{row['seconds']:.2f}", f"{row['runs'] / row['seconds']:.1f}"
        rows.append([str(row["devices"]), str(row["runs"]), *speed, f"{row['mib_after']:.0f}"])
    title = (
        f"The sweep at width {saved['made_by']['config']['scaling_width']}, after a first "
        "run, one process per row"
    )
    headings = ["CPU devices", "runs", "seconds", "runs per second", "peak memory, MiB"]
    return Summary(Sheet(headings, rows, title, left=()))


def linear_tables(saved: Saved) -> dict[str, Summary]:
    """Times of whole paths, how far the solvers agree, and times of cross-validation."""
    return {
        "paths": path_times(saved),
        "agreement": agreement(saved),
        "validation": validation_times(saved),
    }


def named(design: Sequence[float]) -> str:
    """A design in words."""
    rows, features, correlation = design
    return f"{rows} × {features}" + (f", correlation {correlation:g}" if correlation else "")


def by_model(
    saved: Saved, cells: Callable[[Mapping[str, Any]], Sequence[str]]
) -> list[Sequence[str] | str]:
    """Rows of a table, with a heading for each model."""
    rows: list[Sequence[str] | str] = []
    for model, members in itertools.groupby(saved["rows"], operator.itemgetter("model")):
        rows.append(model)
        rows += [[named(row["design"]), *cells(row["solvers"])] for row in members]
    return rows


def path_times(saved: Saved) -> Summary:
    """A row for each problem: warm seconds of every package, with their ratio to jaxreg's, and
    seconds of the first call.
    """
    config = saved["made_by"]["config"]
    others = config["packages"]

    def cells(solvers: Mapping[str, Any]) -> list[str]:
        ours = median(solvers["jaxreg"].get("seconds", [np.nan]))
        return [
            f"{ours:.2f} · {solvers['jaxreg'].get('cold', np.nan):.1f}",
            *(against(solvers.get(name), ours) for name in others),
        ]

    title = (
        f"Seconds for {config['strengths']} λ down to {config['ratio']:g} λ_max in float64, rows "
        "× features, with an "
        f"objective within {config['distance']:g} of its minimum at every λ; in brackets, the "
        "time divided by jaxreg's; "
        "after the dot, seconds of the first call, which compiles"
    )
    text = (
        "Medians of calls after the first, each solver in a process of its own, with the first "
        "tolerance of 1e-4, 1e-5, … "
        "that is small enough. A dash: it has no such model, or a call took more than "
        f"{config['limit']:g} seconds. "
        f"{ahead(saved)}"
    )
    return Summary(
        Sheet(["data", "jaxreg", *others], by_model(saved, cells), title, group="model"), text
    )


def ahead(saved: Saved) -> str:
    """Which problems another package solves faster, in a sentence."""
    slower = []
    for row in saved["rows"]:
        times = {
            name: median(found["seconds"])
            for name, found in row["solvers"].items()
            if found.get("seconds")
        }
        first = min(times, key=times.__getitem__, default="no package in this time")
        if first != "jaxreg":
            slower.append(f"{row['model']} {named(row['design'])} ({first})")
    count = f"{len(saved['rows']) - len(slower)} of {len(saved['rows'])} problems"
    return f"After a first call jaxreg is the fastest on {count}" + (
        f"; another is on {'; '.join(slower)}." if slower else "."
    )


def against(found: Mapping[str, Any] | None, ours: float) -> str:
    """Another solver's seconds, or how far it came."""
    if found is None:
        return "–"
    if "seconds" not in found:
        return (
            "– error"
            if "error" in found
            else f"– {found['distance']:.0e} above"
            if "distance" in found
            else "–"
        )
    seconds = median(found["seconds"])
    return f"{seconds:.2f} ({seconds / ours:.1f} ×) · {found['cold']:.1f}"


def agreement(saved: Saved) -> Summary:
    """A row for each problem: the largest difference of objectives, and how many supports are the
    same.
    """
    config = saved["made_by"]["config"]
    names = ["jaxreg", *config["packages"]]
    gaps = [row["gap"] for row in saved["rows"]]

    def cells(solvers: Mapping[str, Any]) -> list[str]:
        return [agreed(solvers.get(name)) for name in names]

    def agreed(found: Mapping[str, Any] | None) -> str:
        return (
            "–"
            if not found or "objective" not in found
            else f"{found['objective']:.0e}, {found.get('support', '–')}"
        )

    title = (
        "Largest relative difference of the objective from an accurate solution's over all λ, and "
        "the number of "
        f"{config['strengths']} λ with its support"
    )
    text = (
        "The accurate solution is jaxreg's with a tolerance of 1e-12, certified by its duality "
        "gap of at most "
        f"{max(gaps, default=0):.0e} of the objective. Supports are those of one more call, with "
        "a tolerance 1,000 times "
        f"smaller than that of the times; a dash: it took more than {config['limit']:g} seconds. "
        f"{', '.join(' '.join(one) for one in saved['packages'].items())}."
    )
    return Summary(Sheet(["data", *names], by_model(saved, cells), title, group="model"), text)


def validation_times(saved: Saved) -> Summary:
    """A row for each design: seconds of cross-validation here and by scikit-learn."""
    config = saved["made_by"]["config"]
    rows = []
    for row in saved["validation"]:
        ours = median(row["jaxreg"])
        peers = [median(peer["seconds"]) for peer in row["LassoCV"]]
        theirs = (f"{seconds:.2f} ({seconds / ours:.1f} ×)" for seconds in peers)
        rows.append([named(row["design"]), f"{row['gap']:.0e}", f"{ours:.2f}", *theirs])
    headings = [
        "data",
        "gap of jaxreg",
        "jaxreg",
        *(f"`LassoCV(tol={tol:g})`" for tol in config["cv_tolerances"]),
    ]
    title = (
        f"Seconds for {config['folds']} folds and {config['strengths']} λ of the lasso and a fit "
        "of all rows, on all cores, "
        "after a first run: `jaxreg.cross_validate_linear_path` with `fit_linear_path`, and "
        "scikit-learn's "
        "`LassoCV(n_jobs=-1)`, whose default is tol=0.0001; in brackets, the time divided by "
        "jaxreg's"
    )
    return Summary(Sheet(headings, rows, title))


def median(times: Sequence[float]) -> float:
    """The median of some times."""
    return float(np.median(times))


EXCERPTS: dict[str, Callable[[Saved], dict[str, Summary]]] = {
    "update": update_tables, "lasso": lasso_tables, "sweep": sweep_tables, "linear": linear_tables,
}  # fmt: skip
"""From a benchmark's name to the tables of its saved file."""
