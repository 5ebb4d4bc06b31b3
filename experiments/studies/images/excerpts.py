"""The small table of accuracy against weights kept, for the documents."""

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.selection import best, one_standard_error_below, sparsest
from experiments.sheet import Sheet
from experiments.studies.images.tradeoff import ADAMW, CUT, L1, REFITTED, SPARSE, Point, curves_of
from experiments.study import Results, Summary

SHARES = (0.05, 0.015)
"""Shares of the weights near which the table shows L1; at the first also AdamW's networks cut to it."""
HEADINGS = ("network", "setting", "weights kept %", "test accuracy %")


def tradeoff(results: Results) -> Summary:
    """The best AdamW network, the sparsest networks that are nearly as accurate, and some sparser ones."""
    dataset: xr.Dataset = results["images"]
    curves = curves_of(dataset)
    title = f"{dataset.attrs['data']}, mean ± standard error over {dataset.sizes['seed']} seeds on test rows"
    base = best(curves[ADAMW])
    if base is None:
        return Summary(Sheet(HEADINGS, [], title), "Every AdamW setting diverged, so nothing can be compared with it.")
    every = [point for method in (*SPARSE, *REFITTED.values()) for point in curves[method]]
    error = 100 * mean_and_error(base.validation)[1]
    rows = [
        row_of("AdamW at its best", base),
        row_of("the sparsest within one standard error of it", sparsest(every, one_standard_error_below(base)), named=True),
        row_of("the sparsest within one point of it", sparsest(every, float(base.validation.mean()) - 0.01), named=True),
    ]
    for share in SHARES:
        pair = [row_of(method, nearest(curves[method], share)) for method in (L1, REFITTED[L1])]
        rows += pair if pair[0] not in rows else []
    rows.append(row_of(CUT, nearest(curves.get(CUT, []), SHARES[0])))
    text = (
        "“Within one standard error” and “within one point” are decided on validation rows, where AdamW's standard error is "
        f"{error:.2f} points."
    )
    return Summary(Sheet(HEADINGS, rows, title), text)


def nearest(points: list[Point], share: float) -> Point | None:
    """The measured point whose share of weights kept is nearest, on a logarithmic scale."""
    measured = [point for point in points if point.measured and point.kept.mean() > 0]
    return min(measured, key=lambda point: abs(np.log(point.kept.mean() / share)), default=None)


def row_of(name: str, point: Point | None, named: bool = False) -> list[str]:
    """A network's row; `named` puts the method before the setting."""
    if point is None:
        return [name, "no network", "–", "–"]
    cells = (mean_and_error(100 * values) for values in (point.kept, point.test))
    setting = f"{point.method}, {point.label}" if named else point.label
    return [name, setting, *(f"{mean:.2f} ± {error:.2f}" for mean, error in cells)]
