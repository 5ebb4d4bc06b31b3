"""Claims about the effects of a growing λ: zeros, shrinkage, norm and overfitting, on the
digits.
"""

import numpy as np
import xarray as xr

from experiments.claims import Finding, above, below, increasing, none_of, within
from experiments.selection import best_level
from experiments.studies.strength import figures, headlines
from experiments.studies.strength.proportion import most_proportional
from experiments.studies.strength.sweep import correctly_labelled
from experiments.study import Claim, Results

ALL = 95.0
"""Percent of the weights that must have a property before nearly all weights are said to have
it.
"""


def zeros(results: Results) -> list[Finding]:
    """Exact zeros against λ, for three methods of applying L1."""
    networks = correctly_labelled(results["strength"])
    share = 100 * networks["zero_fraction"]
    proximal = share.sel({"method": "proximal L1"}).transpose("level", "seed").values
    findings = [
        increasing(
            "Proximal L1 sets weights exactly to 0, and more of them at every larger λ.",
            "Increase of the share of kernel weights that are exactly 0, from each λ to the next "
            "larger one, starting at "
            f"λ = 0 ({proximal[1].mean():.1f} % are 0 at the smallest λ > 0, "
            f"{proximal[-1].mean():.1f} % at the largest)",
            proximal,
            "points",
        )
    ]
    findings += [
        no_zeros(
            networks,
            method,
            f"The {method.split()[0]} subgradient of the same penalty makes no weight exactly 0.",
        )
        for method in ("coupled L1", "decoupled L1")
    ]
    return findings


def no_zeros(networks: xr.Dataset, method: str, statement: str) -> Finding:
    """Tests that a method makes no weight exactly zero.

    Weights of pixels that are constant over the training rows are left out of the test and counted
    in its text.

    Args:
        networks: one share of wrong labels.
        method: name of the method.
        statement: the claim, in a sentence.
    """
    penalised = networks.sel({"method": method}).isel(level=slice(1, None))
    size = int(networks.sizes["weight"])
    others = round(float((penalised["zero_fraction"] * size - penalised["varying_zeros"]).sum()))
    tested = (
        f"All kernel weights of the networks trained with {method}, for every λ > 0 and seed, "
        "without the weights of pixels "
        "that are constant over the training rows, because only the penalty moves those "
        f"({others} of them are 0)"
    )
    counts = penalised["varying_weights"]
    each = round(float(counts.mean())) if np.isfinite(counts).any() else size
    return none_of(statement, tested, penalised["varying_zeros"].values, each, "weights are 0")


def shrinkage(results: Results) -> list[Finding]:
    """L2 makes no weight zero, all weights smaller, and all by the same factor."""
    deviation = float(results["ridge"]["deviation"].max(skipna=False))
    findings = [
        within(
            "On an orthonormal design, L2 multiplies every weight by 1/(1 + 2λ).",
            "Ridge regression, ½‖y − Xw‖² + λΣw², solved by prox_adam in float64 for λ from 0.01 "
            "to 100 and compared with "
            "this formula",
            deviation,
            1e-9,
            "largest deviation of a factor",
        ),
        no_zeros(
            correctly_labelled(results["strength"]),
            "coupled L2",
            "L2 makes no weight of a network exactly 0.",
        ),
    ]
    for method in ("coupled L2", "decoupled L2"):
        findings += proportional_shrinkage(results["strength"], method)
    return findings


def proportional_shrinkage(dataset: xr.Dataset, method: str) -> list[Finding]:
    """Whether nearly all weights shrink, and whether they shrink by the same factor, at the λ where
    one factor fits best.
    """
    level = most_proportional(dataset, method)
    networks = (
        correctly_labelled(dataset).sel({"method": method}).isel(level=level).where(level > 0)
    )
    at = (
        f"{method} with Adam, λ = {float(networks['strength']):g}: among the λ that reduce the "
        "norm by at least a tenth, "
        f"the one where a common factor fits best (c = {float(networks['factor'].mean()):.2f}, R² "
        "= "
        f"{float(networks['explained'].mean()):.2f})"
    )
    return [
        above(
            f"L2 makes nearly every weight of a network smaller ({method}).",
            "Share of weights with |w| below that of the same seed's unpenalised network, above "
            f"{ALL:.0f} %. {at}",
            100 * networks["smaller"].values,
            ALL,
            "%",
        ),
        above(
            f"L2 shrinks nearly all weights of a network by the same factor ({method}).",
            "Share of weights within 10 % of c·w₀, where w₀ is the unpenalised weight, above "
            f"{ALL:.0f} %. {at}",
            100 * networks["near_factor"].values,
            ALL,
            "%",
        ),
    ]


def norm(results: Results) -> list[Finding]:
    """A larger λ gives a smaller norm."""
    findings = []
    for method, measure, symbol in (
        ("proximal L1", "absolute_sum", "Σ|w|"),
        ("coupled L2", "norm", "‖w‖"),
        ("decoupled L2", "norm", "‖w‖"),
    ):
        values = (
            correctly_labelled(results["strength"])[measure]
            .sel({"method": method})
            .transpose("level", "seed")
        )
        findings.append(
            increasing(
                f"A larger λ of {method} makes {symbol} smaller.",
                f"Decrease of {symbol} from each λ to the next larger one, in percent of the "
                f"unpenalised network's {symbol}",
                (-100 * values / values.isel(level=0)).values,
                "%",
            )
        )
    return findings


def overfitting(results: Results) -> list[Finding]:
    """The gap, the test accuracy and the test loss at the λ chosen on validation data, compared
    with λ = 0.
    """
    dataset = results["strength"]
    findings = []
    for wrong in dataset["wrong"].values:
        labels = "correct labels" if wrong == 0 else f"{100 * wrong:.0f} % wrong training labels"
        for method, name in (("proximal L1", "L1"), ("coupled L2", "L2")):
            findings += less_overfitting(
                dataset.sel({"wrong": wrong, "method": method}), name, labels
            )
    return findings


def less_overfitting(networks: xr.Dataset, name: str, labels: str) -> list[Finding]:
    """Three tests of one method on one share of wrong labels: the gap, the test accuracy and the
    test loss.
    """
    by_accuracy = best_level(networks, "validation_accuracy")
    by_loss = best_level(networks, "validation_loss", largest=False)
    return [
        below(
            f"{name} narrows the gap between training and test accuracy ({labels}).",
            "Absolute gap at the λ with the best validation loss, minus the absolute gap at λ = "
            "0; training accuracy is "
            "measured against the labels used for training",
            100 * against_zero(abs(networks["gap"]), by_loss),
            unit="points",
            sign=True,
        ),
        above(
            f"{name} at its best λ > 0 has a higher test accuracy than λ = 0 ({labels}).",
            "Test accuracy at the λ with the best validation accuracy, minus test accuracy at λ = "
            "0",
            100 * against_zero(networks["test_accuracy"], by_accuracy),
            unit="points",
            sign=True,
        ),
        below(
            f"{name} at its best λ > 0 has a lower test loss than λ = 0 ({labels}).",
            "Test cross-entropy at the λ with the best validation loss, minus test cross-entropy "
            "at λ = 0",
            against_zero(networks["test_loss"], by_loss),
            unit="nats",
            digits=3,
            sign=True,
        ),
    ]


def against_zero(metric: xr.DataArray, level: xr.DataArray) -> np.ndarray:
    """A metric at the chosen level minus its value at λ = 0, for each seed."""
    return np.asarray(metric.isel(level=level) - metric.isel(level=0))


CLAIMS = (
    Claim(
        "zeros",
        "L1 gives exact zeros",
        "L1 drives weights to exactly zero, more of them as λ grows.",
        zeros,
        figures.zeros,
        "Share of kernel weights that are exactly 0 (vertical) against the strength λ "
        "(horizontal, logarithmic, λ = 0 at "
        "the left end), for networks on the digits. Each colour is one method of applying the "
        "same L1 penalty; markers are "
        "means over the seeds, error bars 95 % intervals. A method sets weights exactly to zero "
        "only if its line leaves 0. "
        "The λ of decoupled L1 has another scale, since Adam's preconditioner D does not divide "
        "it.",
        headlines.zeros,
    ),
    Claim(
        "shrinkage",
        "L2 shrinks weights without zeros",
        "L2 makes all weights smaller, by the same factor, and none zero.",
        shrinkage,
        figures.shrinkage,
        "Left: each dot is a first-layer weight, with coupled L2 (vertical) against without "
        "penalty (horizontal), for seed "
        "0 and the tested λ. If all weights shrank by the same factor, all dots would lie on the "
        "black line; on the dotted "
        "line weights are unchanged. Right: share of all weights (vertical) against λ "
        "(horizontal, λ = 0 at the left end); "
        "blue dots: weights within 10 % of one common factor, grey squares: weights smaller than "
        "without penalty. Means "
        "over the seeds with 95 % intervals.",
        headlines.shrinkage,
    ),
    Claim(
        "norm",
        "A larger λ gives a smaller norm",
        "The larger λ is, the smaller the norm of the weights.",
        norm,
        figures.norm,
        "Norm of all kernels in percent of the unpenalised network's (vertical) against λ "
        "(horizontal, λ = 0 at the left "
        "end), for networks on the digits; left methods of applying L1, right methods of applying "
        "L2. Each colour is a "
        "method; solid lines with dots show Σ|w|, dashed lines with squares ‖w‖. Means over the "
        "seeds with 95 % intervals. "
        "Each line should fall at every step.",
        headlines.norm,
    ),
    Claim(
        "overfitting",
        "Both penalties reduce overfitting",
        "Both reduce overfitting: a well chosen λ narrows the gap between training and test "
        "accuracy and predicts better.",
        overfitting,
        figures.overfitting,
        "Left: accuracy on test rows (solid) and training rows (dotted); right: cross-entropy on "
        "test rows; both against λ "
        "(horizontal, λ = 0 at the left end). Top row: correct labels; below: some of the "
        "training labels are wrong. "
        "Orange dots: proximal L1; blue squares: coupled L2. Means over the seeds with 95 % "
        "intervals. Regularization "
        "helps where the test accuracy is above, or the test loss below, its value at λ = 0.",
        headlines.overfitting,
    ),
)
