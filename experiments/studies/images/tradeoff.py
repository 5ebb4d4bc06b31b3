"""Accuracy against the share of weights kept: the settings of a dataset as points.

    curves = curves_of(dataset)                       # a list of points for each method
    at_share(curves["L1"], 0.05)                      # test accuracy of each seed where 5 % of the weights are kept

Settings are chosen by validation accuracy and shown by test accuracy. A setting is never chosen if one of its runs diverged.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.selection import best

ADAMW, L1, ELASTIC, GROUP = "AdamW", "L1", "elastic net", "group L2"
CUT = "AdamW, cut to its largest weights"
SPARSE = (L1, ELASTIC, GROUP)
REFITTED = {method: f"{method}, refitted" for method in SPARSE}


class Point(NamedTuple):
    """One setting of one method.

    Attributes:
        method: name of the method.
        label: the setting in a few words.
        kept: share of weights kept, (seeds,).
        validation: validation accuracy as a share, (seeds,).
        test: test accuracy as a share, (seeds,).
        live: number of inputs or units of each layer that are used, (seeds, layers); NaN where it was not counted.
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


def curves_of(dataset: xr.Dataset) -> dict[str, list[Point]]:
    """The settings of every method as points, for sparse methods also refitted, and AdamW cut to its largest weights.

    The points of cut AdamW networks are the best AdamW setting and, for each share, the setting with the best validation
    accuracy after cutting to it. This is the best that cutting achieves here.
    """
    curves: dict[str, list[Point]] = {}
    for at, method in enumerate(dataset["method"].values):
        curves.setdefault(str(method), []).append(trained_point(dataset, at))
        if method in REFITTED:
            curves.setdefault(REFITTED[str(method)], []).append(refitted_point(dataset, at))
    whole = best(curves[ADAMW])
    if whole is not None:
        settings = np.flatnonzero(dataset["method"].values == ADAMW).tolist()
        cuts = ([cut_point(dataset, at, share) for at in settings] for share in range(dataset.sizes["share"]))
        chosen = [point for points in cuts if (point := best(points)) is not None]
        curves[CUT] = [whole._replace(method=CUT), *chosen]
    return curves


def trained_point(dataset: xr.Dataset, at: int) -> Point:
    """A setting as it was trained."""
    names = ("kept", "validation_accuracy", "test_accuracy", "live")
    kept, validation, test, live = (dataset[name].values[at].astype(float) for name in names)
    return Point(str(dataset["method"].values[at]), setting_label(dataset, at), kept, validation, test, live)


def refitted_point(dataset: xr.Dataset, at: int) -> Point:
    """A sparse setting after refitting: the same number of weights, other accuracies."""
    names = ("refitted_validation_accuracy", "refitted_test_accuracy")
    validation, test = (dataset[name].values[at].astype(float) for name in names)
    point = trained_point(dataset, at)
    return point._replace(method=REFITTED[point.method], validation=validation, test=test)


def cut_point(dataset: xr.Dataset, at: int, share: int) -> Point:
    """An AdamW setting after cutting to a share of its weights, given by its index."""
    names = ("pruned_kept", "pruned_validation_accuracy", "pruned_test_accuracy")
    kept, validation, test = (dataset[name].values[at, :, share].astype(float) for name in names)
    label = f"{setting_label(dataset, at)}, cut to {100 * float(dataset['share'].values[share]):g} %"
    uncounted = np.full((len(kept), dataset.sizes["layer"]), np.nan)
    return Point(CUT, label, kept, validation, test, uncounted)


def setting_label(dataset: xr.Dataset, at: int) -> str:
    """A setting in a few words."""
    strength = f"{dataset['strength'].values[at]:.3g}"
    if dataset["method"].values[at] == ADAMW:
        return f"decay {strength}, rate {dataset['learning_rate'].values[at]:.3g}"
    return f"λ = {strength}"


def at_share(points: Sequence[Point], share: float) -> np.ndarray:
    """Interpolates a method's test accuracy at a share of weights kept.

    Args:
        points: of one method.
        share: of weights kept.

    Returns:
        Test accuracy, (seeds,): linear in the logarithm of the share between the seed's own points, NaN beyond the last of
        them, and NaN for every seed if no point was measured.
    """
    measured = [point for point in points if point.measured]
    if not measured:
        return np.full(len(points[0].test) if points else 1, np.nan)
    kept = np.array([point.kept for point in measured])
    test = np.array([point.test for point in measured])
    accuracies = []
    for x, y in zip(kept.T, test.T, strict=True):
        order = np.argsort(x)[(x == 0).sum() :]
        accuracies.append(np.interp(np.log(share), np.log(x[order]), y[order], np.nan, np.nan) if order.size else np.nan)
    return np.array(accuracies)


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points for which no other is both at least as sparse and at least as accurate on test rows, sparsest first."""
    ordered = sorted((p for p in points if p.measured), key=lambda point: (point.kept.mean(), -point.test.mean()))
    best_before = list(itertools.accumulate((point.test.mean() for point in ordered), max, initial=-np.inf))
    return [point for point, before in zip(ordered, best_before, strict=False) if point.test.mean() > before]
