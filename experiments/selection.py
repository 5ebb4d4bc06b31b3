"""The one place where validation data choose a setting. Test data are only read at what was chosen.

records["test_accuracy"].isel(level=best_level(records, "validation_accuracy"))
weights[best_index(errors)]                                    # the same inside jit
sparsest(points, one_standard_error_below(best(points)))       # fewest weights within one standard error
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.claims import mean_and_error


def best_level(records: xr.Dataset, by: str, largest: bool = True, first: int = 1) -> xr.DataArray:
    """The level with the best validation metric, for each seed and whatever else the records lie along.

    Args:
        records: along `level`, from weak to strong, and other dimensions.
        by: the metric that chooses.
        largest: whether the largest is best.
        first: the first level that may be chosen; 1 leaves out λ = 0, where that is level 0.

    Returns:
        Levels, to be used as an index: `records["test_accuracy"].isel(level=best_level(...))`. Among equals the largest λ,
        the simplest network; a network that diverged, whose metric is NaN, is never chosen.
    """
    metric = records[by].isel(level=slice(first, None))
    worst = -np.inf if largest else np.inf
    backwards = metric.fillna(worst).isel(level=slice(None, None, -1))
    picked = backwards.argmax("level") if largest else backwards.argmin("level")
    return first + metric.sizes["level"] - 1 - picked


def best_index(errors: jax.Array) -> jax.Array:
    """The index of the smallest validation error, for use under `jax.jit`: errors (strengths,), from weak to strong."""
    return jnp.argmin(errors)


class Point(Protocol):
    """One setting with its validation accuracies (seeds,) and the shares of weights that it keeps (seeds,)."""

    @property
    def validation(self) -> np.ndarray:
        """Validation accuracy of each seed."""

    @property
    def kept(self) -> np.ndarray:
        """Share of weights kept, of each seed."""

    @property
    def measured(self) -> bool:
        """Whether every seed has its numbers."""


P = TypeVar("P", bound=Point)


def best(points: Iterable[P]) -> P | None:
    """The point with the highest mean validation accuracy, the first of equals; None where none was measured."""
    measured = [point for point in points if point.measured]
    return max(measured, key=lambda point: point.validation.mean(), default=None)


def one_standard_error_below(point: Point) -> float:
    """One standard error below a point's mean validation accuracy."""
    mean, error = mean_and_error(point.validation)
    return mean - error


def sparsest(points: Iterable[P], least: float) -> P | None:
    """The point that keeps the fewest weights of those whose mean validation accuracy is `least` or more.

    Of equally sparse ones the most accurate; None where no point qualifies.
    """
    good = [point for point in points if point.measured and point.validation.mean() >= least]
    return min(good, key=lambda point: (point.kept.mean(), -point.validation.mean()), default=None)
