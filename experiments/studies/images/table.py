"""The table of the images study: every setting with its weights and its accuracy."""

import itertools
import operator

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.sheet import Sheet
from experiments.studies.images.claims import answer
from experiments.studies.images.tradeoff import curves_of
from experiments.study import Results, Summary

HEADINGS = ("setting", "kept %", "test %", "before refitting %", "validation %", "inputs", "units")


def tabulate(results: Results) -> Summary:
    """Every setting, mean ± standard error, and the sparsest network that keeps AdamW's
    accuracy.
    """
    dataset = results["images"]
    rows: list[list[str] | str] = []
    for method, group in itertools.groupby(setting_rows(dataset), operator.itemgetter(0)):
        rows += [method, *(cells for _, *cells in group)]
    title = f"{dataset.attrs['data']}: mean ± standard error over {dataset.sizes['seed']} seeds"
    return Summary(Sheet(HEADINGS, rows, title=title, group="method"), answer(dataset))


def setting_rows(dataset: xr.Dataset) -> list[list[str]]:
    """A row for each setting, starting with its method. Settings of one seed have no standard
    error.
    """
    rows = []
    for method, points in curves_of(dataset).items():
        for point in points:
            cells = [
                mean_and_error(100 * values)
                for values in (point.kept, point.test, point.unrefitted, point.validation)
            ]
            texts = [
                with_error(mean, error) if point.measured else "diverged" for mean, error in cells
            ]
            live = point.live.mean(0)
            counted = point.measured and np.isfinite(live).all()
            units = (
                [f"{live[0]:.0f}", " + ".join(f"{layer:.0f}" for layer in live[1:])]
                if counted
                else ["–", "–"]
            )
            rows.append([method, point.label, *texts, *units])
    return rows


def with_error(mean: float, error: float) -> str:
    """A mean with its standard error, if there is one."""
    return f"{mean:.2f} ± {error:.2f}" if np.isfinite(error) else f"{mean:.2f} (1 seed)"
