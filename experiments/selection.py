"""The one place where validation data choose a setting. Test data are read only at the setting that
was chosen.

    dataset["test_accuracy"].isel(level=best_level(dataset, "validation_accuracy"))
    sparsest(points, one_standard_error_below(best(points)))  # fewest weights that are as good
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import numpy as np

from experiments.claims import mean_and_error
from experiments.lazy import jaxreg, xr


def best_level(dataset: xr.Dataset, by: str, largest: bool = True, first: int = 1) -> xr.DataArray:
    """The level with the best validation metric, for each seed and each entry along the other
    dimensions.

    Args:
        dataset: metrics along `level`, from weak to strong, and other dimensions.
        by: name of the metric to choose by.
        largest: whether the largest value is the best.
        first: the first level that may be chosen; 1 leaves out λ = 0, if that is level 0.

    Returns:
        Levels, to be used as an index: `dataset["test_accuracy"].isel(level=best_level(...))`,
        chosen by `jaxreg.select_strength`. Among equally good levels it is the one with the largest
        λ, the simplest network. A network that diverged has the metric NaN and is never chosen,
        unless all did.
    """

    def pick(values: np.ndarray) -> int:
        last = len(values) - 1
        found = (
            jaxreg.select_strength(range(len(values)), values, "best", largest)
            if np.isfinite(values).any()
            else last
        )
        return first + found

    metric = dataset[by].isel(level=slice(first, None))
    picked: xr.DataArray = xr.apply_ufunc(pick, metric, input_core_dims=[["level"]], vectorize=True)
    return picked


class Point(Protocol):
    """One setting, with the validation accuracies and the shares of weights kept for every seed."""

    @property
    def validation(self) -> np.ndarray:
        """Validation accuracy for each seed (seeds,)."""

    @property
    def kept(self) -> np.ndarray:
        """Share of weights kept for each seed (seeds,)."""

    @property
    def measured(self) -> bool:
        """Whether the numbers of all seeds are finite."""


P = TypeVar("P", bound=Point)
NEAR = 1.05
"""The factor by which a share may lie beyond the last point of a curve."""


def best(points: Iterable[P]) -> P | None:
    """The point with the highest mean validation accuracy, the first among equals; None if no point
    was measured.
    """
    measured = [point for point in points if point.measured]
    return max(measured, key=lambda point: point.validation.mean(), default=None)


def one_standard_error_below(point: Point) -> float:
    """A point's mean validation accuracy minus its standard error."""
    mean, error = mean_and_error(point.validation)
    return mean - error


def sparsest(points: Iterable[P], least: float) -> P | None:
    """The point that keeps the fewest weights among those whose mean validation accuracy is at
    least `least`.

    Args:
        points: the points to choose from.
        least: the smallest mean validation accuracy that qualifies.

    Returns:
        The sparsest point, the most accurate one among equally sparse points; None if no point
        qualifies.
    """
    good = [point for point in points if point.measured and point.validation.mean() >= least]
    return min(good, key=lambda point: (point.kept.mean(), -point.validation.mean()), default=None)


def interpolate(kept: np.ndarray, accuracy: np.ndarray, share: float) -> float:
    """Interpolates accuracy at a share of the weights.

    Args:
        kept: shares of weights kept of several networks (networks,).
        accuracy: their accuracies (networks,); NaN for a network that diverged.
        share: where to interpolate.

    Returns:
        The accuracy, linear in the logarithm of the share; that of the last network up to 5 %
        beyond it, and NaN farther away.
    """
    usable = np.flatnonzero(np.isfinite(accuracy) & (kept > 0))
    order = usable[np.argsort(kept[usable])]
    if order.size == 0 or not kept[order[0]] / NEAR <= share <= kept[order[-1]] * NEAR:
        return np.nan
    return float(np.interp(np.log(share), np.log(kept[order]), accuracy[order]))
