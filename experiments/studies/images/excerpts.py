"""The small table of accuracy against weights kept, for the documents."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.selection import best, one_standard_error_below, sparsest
from experiments.sheet import Sheet
from experiments.studies.images.tradeoff import (
    ADAMW,
    CONCAVE,
    GRADUAL,
    L1,
    RIVALS,
    STEERED,
    Point,
    at_share,
    curves_of,
    most_accurate,
    repeated_methods,
)
from experiments.study import Results, Summary

SHARES = (0.1, 0.05, 0.02, 0.01, 0.003)
"""Shares of the weights at which the table compares methods."""
PUBLISHED: Mapping[str, Sequence[tuple[str, float, float]]] = {
    "mlp": (
        ("pruning, Han et al. (2015)", 8.3, 98.41),
        ("dynamic network surgery, Guo et al. (2016)", 1.8, 98.01),
        ("sparse variational dropout, Molchanov et al. (2017)", 1.5, 98.08),
    ),
    "lenet-5": (
        ("pruning, Han et al. (2015)", 8.3, 99.23),
        ("dynamic network surgery, Guo et al. (2016)", 0.9, 99.09),
        ("sparse variational dropout, Molchanov et al. (2017)", 0.36, 99.25),
    ),
}
"""Published weights kept and test accuracies in percent on full MNIST, for LeNet-300-100, and for
Caffe's LeNet-5 with 430,500 weights. Source: the table of Molchanov, Ashukha and Vetrov,
Variational Dropout Sparsifies Deep Neural Networks (2017).
"""
NAMES = {"mlp": "LeNet-300-100", "lenet-5": "Caffe's LeNet-5"}
LENET_300_100 = [784, 300, 100]
HEADINGS = ("network", "setting", "weights kept %", "test accuracy %")


def tradeoff(results: Results) -> Summary:
    """The best AdamW network, the sparsest networks that are nearly as accurate, and methods
    compared at some shares.
    """
    dataset: xr.Dataset = results["images"]
    curves = curves_of(dataset)
    title = (
        f"{dataset.attrs['data']}, mean ± standard error over {dataset.sizes['seed']} seeds "
        "on test rows"
    )
    base = best(curves[ADAMW])
    if base is None:
        return Summary(
            Sheet(HEADINGS, [], title),
            "Every AdamW setting diverged, so nothing can be compared with it.",
        )
    error = 100 * mean_and_error(base.validation)[1]
    rows = [row_of("AdamW at its best", base)]
    ours = [name + STEERED for name in CONCAVE]
    for name, methods in (
        ("concave penalties", ours),
        ("L1", [L1 + STEERED]),
        ("rivals", list(RIVALS)),
    ):
        points = [point for method in repeated_methods(curves, methods) for point in curves[method]]
        rows.append(
            row_of(
                f"{name}: the sparsest within one standard error",
                sparsest(points, one_standard_error_below(base)),
            )
        )
        rows.append(
            row_of(
                f"{name}: the sparsest within one point",
                sparsest(points, float(base.validation.mean()) - 0.01),
            )
        )
    for share in SHARES:
        best_of = [
            most_accurate(curves, ours, [share]),
            most_accurate(curves, RIVALS, [share]),
            GRADUAL,
            L1 + STEERED,
        ]
        several = repeated_methods(curves, [method for method in dict.fromkeys(best_of) if method])
        found = [(method, at_share(curves[method], share)) for method in several]
        rows += [
            at(method, share, accuracy) for method, accuracy in found if np.isfinite(accuracy).all()
        ]
    text = (
        "“Within one standard error” and “within one point” are decided on validation rows, where "
        "AdamW's standard error is "
        f"{error:.2f} points. Accuracies at a share are interpolated between a method's settings. "
        "Learning rates and decays "
        "are chosen with the first seed."
    )
    return Summary(Sheet(HEADINGS, rows, title), text)


def at(method: str, share: float, accuracy: np.ndarray) -> list[str]:
    """A method's row at a share of the weights."""
    mean, error = mean_and_error(100 * accuracy)
    return [method, "interpolated", f"{100 * share:g}", f"{mean:.2f} ± {error:.2f}"]


def published(results: Results) -> Summary:
    """Published results of the same kind of network on full MNIST."""
    attributes = results["images"].attrs
    network = attributes["network"]
    usual = network != "mlp" or list(attributes["widths"]) == LENET_300_100
    rows = (
        [[name, f"{kept:g}", f"{test:.2f}"] for name, kept, test in PUBLISHED[network]]
        if usual
        else []
    )
    title = f"Published results of {NAMES[network]} on full MNIST, which was not run here"
    text = (
        "For orientation only: these numbers are from the papers, on other data and after longer "
        "training. `--data FOLDER` "
        "runs the study on MNIST's files."
    )
    return Summary(Sheet(("method", "weights kept %", "test accuracy %"), rows, title), text)


def row_of(name: str, point: Point | None) -> list[str]:
    """A network's row."""
    if point is None:
        return [name, "no network", "–", "–"]
    cells = (mean_and_error(100 * values) for values in (point.kept, point.test))
    setting = point.label if point.method == ADAMW else f"{point.method}, {point.label}"
    return [name, setting, *(f"{mean:.2f} ± {error:.2f}" for mean, error in cells)]
