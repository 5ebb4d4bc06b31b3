"""Accuracy against the share of weights kept: the settings of a dataset as points.

    curves = curves_of(dataset)                       # a list of points for each method
    at_share(curves[GRADUAL], 0.05)                   # test accuracy of each seed where 5 % of the weights are kept

Settings are chosen by validation accuracy and shown by test accuracy. A setting is never chosen if
one of its runs diverged.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.selection import interpolate

ADAMW, CUT = "AdamW", "AdamW, cut to its largest weights"
GRADUAL, GRADUAL_ADAM = "gradual magnitude pruning", "gradual pruning by |w|√D"
SPRED = "factorised weights (spred)"
RIVALS = (CUT, GRADUAL, GRADUAL_ADAM, SPRED)
L0_BY_WIDTH = "L0 by width"
L1, ELASTIC, GROUP, LOG_SUM, BRIDGE, MCP, L0 = (
    "L1",
    "elastic net",
    "group L2",
    "log-sum",
    "bridge",
    "MCP",
    "L0",
)
GROUP_LOG_SUM, GROUP_L0 = "group log-sum", "group L0"
UNIT_PRUNING, UNIT_PRUNING_ADAM = "gradual pruning of units", "gradual pruning of units by |w|√D"
PENALTIES = (L1, ELASTIC, GROUP, LOG_SUM, BRIDGE, MCP, L0)
"""Penalties that have values of λ."""
CONCAVE = (LOG_SUM, BRIDGE, MCP, L0)
STEERED, GROWN, CONSTANT = ", steered", ", grown", ", constant"
"""What follows the name of a penalty in that of a method: how its strength is set."""
MAIN = "main"
"""The role of settings that are compared; others only choose a learning rate and a decay."""


class Point(NamedTuple):
    """One setting of one method.

    Attributes:
        method: name of the method.
        label: the setting in a few words.
        kept: share of weights kept, (seeds,).
        validation: validation accuracy as a share, (seeds,).
        test: test accuracy as a share, (seeds,).
        live: number of inputs or units of each layer that are used, (seeds, layers).
        unrefitted: test accuracy as a share before refitting, (seeds,).
    """

    method: str
    label: str
    kept: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    live: np.ndarray
    unrefitted: np.ndarray

    @property
    def measured(self) -> bool:
        """Whether every seed has its numbers."""
        return bool(np.isfinite([self.kept, self.validation, self.test]).all())

    @property
    def repeated(self) -> bool:
        """Whether there is more than one seed, so that there is a standard error."""
        return len(self.kept) > 1


def curves_of(dataset: xr.Dataset, units: bool = False) -> dict[str, list[Point]]:
    """The compared settings of every method as points.

    Args:
        dataset: of the study.
        units: whether the share kept counts inputs and hidden units that are used, rather than
            weights.
    """
    curves: dict[str, list[Point]] = {}
    for at in np.flatnonzero(dataset["role"].values == MAIN).tolist():
        point = point_of(dataset, at)
        if units:
            point = point._replace(kept=point.live.sum(1) / sum(dataset.attrs["widths"]))
        curves.setdefault(point.method, []).append(point)
    return curves


def repeated_methods(curves: Mapping[str, Sequence[Point]], names: Sequence[str]) -> list[str]:
    """The methods among `names` that were trained with several seeds."""
    return [
        name for name in names if name in curves and all(point.repeated for point in curves[name])
    ]


def point_of(dataset: xr.Dataset, at: int) -> Point:
    """A setting as a point, with the seeds that it was trained with."""
    names = ("kept", "validation_accuracy", "test_accuracy", "live", "unrefitted_test_accuracy")
    repeats = int(dataset["repeats"].values[at])
    arrays = (dataset[name].values[at, :repeats].astype(float) for name in names)
    return Point(str(dataset["method"].values[at]), setting_label(dataset, at), *arrays)


def setting_label(dataset: xr.Dataset, at: int) -> str:
    """A setting in a few words."""
    rate, decay, strength, share = (
        float(dataset[name].values[at]) for name in ("learning_rate", "decay", "strength", "share")
    )
    if dataset["method"].values[at] == ADAMW:
        return f"decay {decay:.3g}, rate {rate:.3g}"
    return f"λ = {strength:.3g}" if strength > 0 else f"target {100 * share:g} %"


def at_share(points: Sequence[Point], share: float) -> np.ndarray:
    """Interpolates a method's test accuracy at a share of weights kept.

    Args:
        points: of one method.
        share: of weights kept.

    Returns:
        Test accuracy, (seeds,): linear in the logarithm of the share between the seed's own points,
        that of the last point up to 5 % beyond it, NaN farther away, and NaN for every seed if no
        point was measured.
    """
    measured = [point for point in points if point.measured]
    if not measured:
        return np.full(len(points[0].test) if points else 1, np.nan)
    kept = np.array([point.kept for point in measured])
    test = np.array([point.test for point in measured])
    return np.array([interpolate(x, y, share) for x, y in zip(kept.T, test.T, strict=True)])


def most_accurate(
    curves: Mapping[str, Sequence[Point]], names: Sequence[str], shares: Sequence[float]
) -> str | None:
    """Finds the method with the highest validation accuracy, averaged over shares of weights kept.

    Args:
        curves: points of every method.
        names: methods to choose from; those with a single seed, or that do not reach all shares,
            are left out.
        shares: shares of weights kept.

    Returns:
        Its name, or None if no method is left.
    """
    averages = {}
    for name in repeated_methods(curves, names):
        by_validation = [point._replace(test=point.validation) for point in curves[name]]
        average = float(np.mean([at_share(by_validation, share) for share in shares]))
        if np.isfinite(average):
            averages[name] = average
    return max(averages, key=lambda name: averages[name], default=None)
