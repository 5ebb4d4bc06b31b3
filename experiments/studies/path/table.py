"""The table of the path study: both choices of λ, and accuracy at equal shares of weights."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.selection import interpolate
from experiments.sheet import Sheet
from experiments.studies.path.singles import SHARES
from experiments.study import Results, Summary

HEADINGS = ("network", "λ", "weights kept %", "inputs", "test accuracy %")
SINGLE = "single networks %"
RULES = {"best": "best λ", "chosen": "largest λ within one standard error"}


def tabulate(results: Results) -> Summary:
    """Both choices of λ for every penalty, accuracy at equal shares, and the small network in one
    line.
    """
    dataset = results["path"]
    rows: list[list[str] | str] = []
    lines = []
    for name in dataset["penalty"].values:
        own = dataset.sel(penalty=name)
        rows += [str(name), *(rule_row(own, rule) for rule in RULES), *share_rows(own)]
        lines.append(f"{name}: {small_line(own)}.")
    chosen_by = f"{dataset.attrs['folds']} folds" if dataset.attrs["folds"] else "held-out rows"
    title = (
        f"{dataset.attrs['data']}: paths, refitted, mean ± standard error over "
        f"{dataset.sizes['seed']} seeds on test rows"
    )
    note = (
        f"λ is chosen by the accuracy of refitted networks on {chosen_by}. Accuracies at a "
        "share are interpolated."
    )
    if "single_method" in dataset:
        note += (
            " Single networks are those of the images study whose method has the best "
            "validation accuracy at the share."
        )
    headings = (*HEADINGS, SINGLE) if "single_method" in dataset else HEADINGS
    return Summary(Sheet(headings, rows, title, group="penalty"), " ".join([*lines, note]))


def choice(results: Results) -> Summary:
    """The same for the documents, with the penalty in a column of its own."""
    table, text = tabulate(results)
    rows: list[list[str] | str] = []
    penalty = ""
    for row in table.rows:
        if isinstance(row, str):
            penalty = row
        else:
            rows.append([penalty, *row])
    return Summary(Sheet(("penalty", *table.headings), rows, table.title), text)


def rule_row(dataset: xr.Dataset, rule: str) -> list[str]:
    """The networks that a rule chooses."""
    own = dataset.isel(place=int(dataset[rule]))
    kept, test = (with_error(100 * own[name].values) for name in ("kept", "test_accuracy"))
    cells = [
        RULES[rule],
        f"{float(own['strength']):.3g}",
        kept,
        f"{float(own['live'].mean()):.0f}",
        test,
    ]
    return [*cells, "–"] if "single_method" in dataset else cells


def share_rows(dataset: xr.Dataset) -> list[list[str]]:
    """The accuracy at every share of weights that all paths reach."""
    rows = []
    for number, share in enumerate(SHARES):
        pairs = zip(dataset["kept"].values, dataset["test_accuracy"].values, strict=True)
        values = 100 * np.array([interpolate(kept, accuracy, share) for kept, accuracy in pairs])
        if np.isfinite(values).all():
            cells = [
                f"{100 * share:g} % of the weights",
                "–",
                f"{100 * share:g}",
                "–",
                with_error(values),
            ]
            if "single_method" in dataset:
                accuracies = with_error(100 * dataset["single_accuracy"].values[number])
                cells.append(f"{accuracies} ({dataset['single_method'].values[number]})")
            rows.append(cells)
    return rows


def small_line(dataset: xr.Dataset) -> str:
    """From the whole network to the small one, in one line; widths and times are those of the first
    seed.
    """
    before = dataset.attrs["widths"]
    after = dataset["small_widths"].values[0]
    dense, small = (
        100 * float(dataset[name].mean()) for name in ("dense_accuracy", "small_accuracy")
    )
    factors = dict(
        zip(
            dataset["batch"].values.tolist(),
            dataset["speedup"].sel(quartile=0.5).values,
            strict=True,
        )
    )
    faster = " and ".join(
        f"{factor:.1f}× with {batch} row{'s' * (batch > 1)}" for batch, factor in factors.items()
    )
    return (
        f"{dashed(before)} → {dashed(after)}, {100 * float(dataset['small_share'][0]):.1f} % of "
        "the weights "
        f"({100 * float(dataset['nonzero_share'][0]):.1f} % not 0), test accuracy {dense:.1f} → "
        f"{small:.1f} %, "
        f"inference faster by {faster} at once"
    )


def dashed(widths: Sequence[int]) -> str:
    """Widths with dashes between them."""
    return "–".join(str(int(width)) for width in widths)


def with_error(values: np.ndarray) -> str:
    """Mean ± standard error."""
    mean, error = mean_and_error(values)
    return f"{mean:.2f} ± {error:.2f}"
