"""Accuracy against the share of weights kept: records in, points and choices out.

    curves = curves_of(records)                       # a list of points for each method
    at_share(curves["L1"], 0.05)                      # test accuracy of each seed where 5 % of the weights are kept

Validation accuracy chooses and test accuracy is what is shown. A setting one of whose runs diverged has no numbers and is
never chosen.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.selection import best

ADAMW, L1, ELASTIC, GROUP = "AdamW", "L1", "elastic net", "group L2"
TUNED = "AdamW, chosen to prune"
SPARSE = (L1, ELASTIC, GROUP)
REFITTED = {method: f"{method}, refitted" for method in SPARSE}


class Point(NamedTuple):
    """One setting of one method: its name, and one number a seed for each of the rest, accuracies and `kept` as shares.

    Attributes:
        method, label: what it is called. kept: share of weights kept. validation, test: accuracies. live: (seeds, layers)
            units alive, from the inputs on; NaN where it was not counted.
    """

    method: str
    label: str
    kept: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    live: np.ndarray

    @property
    def measured(self) -> bool:
        """Whether every seed has its numbers."""
        return bool(np.isfinite([self.kept, self.validation, self.test]).all())


def curves_of(records: xr.Dataset) -> dict[str, list[Point]]:
    """The settings of every method as points, the sparse ones also refitted, and the AdamW networks cut down.

    "AdamW, chosen to prune" is the best AdamW setting, and then at each share the one with the best validation accuracy once
    cut to it: the strongest that pruning has to offer here.
    """
    found: dict[str, list[Point]] = {}
    for at, method in enumerate(records["method"].values):
        found.setdefault(str(method), []).append(trained(records, at))
        if method in REFITTED:
            found.setdefault(REFITTED[str(method)], []).append(refitted(records, at))
    settings = np.flatnonzero(records["method"].values == ADAMW)
    cuts = [[pruned(records, at, share) for at in settings.tolist()] for share in range(records.sizes["share"])]
    whole = best(found[ADAMW])
    if whole is not None:
        winners = [winner for row in cuts if (winner := best(row)) is not None]
        found[TUNED] = [whole._replace(method=TUNED), *winners]
    return found


def refitted(records: xr.Dataset, at: int) -> Point:
    """A sparse setting's point after it was trained on without its penalty: the same weights, other accuracies."""
    validation, test = (records[f"refitted_{name}_accuracy"].values[at].astype(float) for name in ("validation", "test"))
    point = trained(records, at)
    return point._replace(method=REFITTED[point.method], validation=validation, test=test)


def trained(records: xr.Dataset, at: int) -> Point:
    """A setting's point as it was trained."""
    names = ("kept", "validation_accuracy", "test_accuracy", "live")
    kept, validation, test, live = (records[name].values[at].astype(float) for name in names)
    return Point(str(records["method"].values[at]), label(records, at), kept, validation, test, live)


def pruned(records: xr.Dataset, at: int, share: int) -> Point:
    """An AdamW setting's point after cutting to one of the shares."""
    names = ("pruned_kept", "pruned_validation_accuracy", "pruned_test_accuracy")
    kept, validation, test = (records[name].values[at, :, share].astype(float) for name in names)
    asked = float(records["share"].values[share])
    nowhere = np.full((len(kept), records.sizes["layer"]), np.nan)
    return Point(TUNED, f"{label(records, at)}, cut to {100 * asked:g} %", kept, validation, test, nowhere)


def label(records: xr.Dataset, at: int) -> str:
    """A setting in a few words."""
    strength = f"{records['strength'].values[at]:.3g}"
    if records["method"].values[at] == ADAMW:
        return f"decay {strength}, rate {records['learning_rate'].values[at]:.3g}"
    return f"λ = {strength}"


def at_share(points: Sequence[Point], share: float) -> np.ndarray:
    """Test accuracy where just that share of weights is kept, one number a seed.

    Each seed's own points are joined by straight lines over the logarithm of the share; beyond the last of them it is NaN,
    and so it is for every seed where no point was measured.
    """
    measured = [point for point in points if point.measured]
    if not measured:
        return np.full(len(points[0].test) if points else 1, np.nan)
    kept = np.array([point.kept for point in measured])
    test = np.array([point.test for point in measured])
    found = []
    for x, y in zip(kept.T, test.T, strict=True):
        order = np.argsort(x)[(x == 0).sum() :]
        found.append(np.interp(np.log(share), np.log(x[order]), y[order], np.nan, np.nan) if order.size else np.nan)
    return np.array(found)


def front(points: Iterable[Point]) -> list[Point]:
    """Those that no other beats in both means, sparser (or as sparse) and more accurate on the test rows; sparsest first."""
    ordered = sorted((p for p in points if p.measured), key=lambda point: (point.kept.mean(), -point.test.mean()))
    reached = list(itertools.accumulate((point.test.mean() for point in ordered), max, initial=-np.inf))
    return [point for point, before in zip(ordered, reached, strict=False) if point.test.mean() > before]
