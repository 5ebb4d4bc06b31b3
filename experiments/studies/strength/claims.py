"""Claims about what grows and shrinks with λ: zeros, shrinkage, norm and overfitting, on the digits."""

import numpy as np
import xarray as xr

from experiments.claims import Finding, above, below, increasing, none_of, within
from experiments.selection import best_level
from experiments.studies.strength import figures
from experiments.studies.strength.sweep import most_proportional
from experiments.study import Claim, Results

ALL = 95.0
"""Percent of the weights that have to do what is said of all weights."""


def clean(records: xr.Dataset) -> xr.Dataset:
    """The networks trained on right labels."""
    return records.sel(wrong=0.0)


def zeros(records: Results) -> list[Finding]:
    """Exact zeros against λ, three methods."""
    of = clean(records["strength"])
    share = 100 * of["zero_fraction"]
    proximal = share.sel({"method": "proximal L1"}).transpose("level", "seed").values
    findings = [
        increasing(
            "By the proximal step, weights are exactly 0, and more of them for every larger λ.",
            "Share of kernel weights that are exactly 0, each λ against the next smaller one, from λ = 0 on "
            f"({proximal[1].mean():.1f} % at the smallest, {proximal[-1].mean():.1f} % at the largest)",
            proximal,
            "points",
        )
    ]
    findings += [
        no_zeros(of, method, f"The {method.split()[0]} subgradient of the same penalty makes no weight exactly 0.")
        for method in ("coupled L1", "decoupled L1")
    ]
    return findings


def no_zeros(of: xr.Dataset, method: str, statement: str) -> Finding:
    """That a method makes no zero among the weights that data reach; those of pixels that never change are told beside."""
    one = of.sel({"method": method}).isel(level=slice(1, None))
    size = int(of.sizes["weight"])
    others = round(float((one["zero_fraction"] * size - one["fed_zeros"]).sum()))
    tested = (
        f"Kernel weights of all networks trained with {method}, every λ and seed, without those of pixels that are the "
        f"same in all training rows, which nothing but the penalty moves ({others} of those are 0)"
    )
    each = round(float(one["fed"].mean())) if np.isfinite(one["fed"]).any() else size
    return none_of(statement, tested, one["fed_zeros"].values, each, "weights are 0")


def shrinkage(records: Results) -> list[Finding]:
    """None zero; smaller; in proportion."""
    of = clean(records["strength"])
    deviation = float(records["ridge"]["deviation"].max(skipna=False))
    findings = [
        within(
            "On an orthonormal design L2 multiplies every weight by 1/(1 + 2λ).",
            "Ridge regression ½‖y − Xw‖² + λΣw² by prox_adam in float64, λ from 0.01 to 100, against that formula",
            deviation,
            1e-9,
            "largest deviation of a factor",
        ),
        no_zeros(of, "coupled L2", "L2 makes no weight of a network exactly 0."),
    ]
    for method in ("coupled L2", "decoupled L2"):
        level = most_proportional(records["strength"], method)
        one = of.sel({"method": method}).isel(level=level).where(level > 0)
        at = (
            f"{method} with Adam, λ = {float(one['strength']):g}: of those that shrink the norm by a tenth or more, the one "
            f"where one factor fits best (c = {float(one['factor'].mean()):.2f}, R² = {float(one['explained'].mean()):.2f})"
        )
        findings += [
            above(
                f"L2 makes (nearly) every weight of a network smaller ({method}).",
                f"Share of weights with |w| below that of the same seed's unpenalised network; above {ALL:.0f} %. {at}",
                100 * one["smaller"].values,
                ALL,
                "%",
            ),
            above(
                f"L2 shrinks (nearly) all weights of a network in proportion ({method}).",
                f"Share of weights within 10 % of c·w₀; above {ALL:.0f} %. {at}",
                100 * one["near_factor"].values,
                ALL,
                "%",
            ),
        ]
    return findings


def norm(records: Results) -> list[Finding]:
    """Larger λ, smaller norm."""
    findings = []
    for method, measure, symbol in (
        ("proximal L1", "absolute_sum", "Σ|w|"),
        ("coupled L2", "norm", "‖w‖"),
        ("decoupled L2", "norm", "‖w‖"),
    ):
        values = clean(records["strength"])[measure].sel({"method": method}).transpose("level", "seed")
        findings.append(
            increasing(
                f"The larger λ of {method}, the smaller {symbol}.",
                f"Fall of {symbol} from each λ to the next, in percent of the unpenalised network's",
                (-100 * values / values.isel(level=0)).values,
                "%",
            )
        )
    return findings


def overfitting(records: Results) -> list[Finding]:
    """The gap, the accuracy and the loss at the λ that validation rows choose, against λ = 0."""
    findings = []
    every = records["strength"]
    for wrong in every["wrong"].values:
        labels = "right labels" if wrong == 0 else f"{100 * wrong:.0f} % wrong training labels"
        for method, name in (("proximal L1", "L1"), ("coupled L2", "L2")):
            of = every.sel({"wrong": wrong, "method": method})
            by_accuracy, by_loss = best_level(of, "validation_accuracy"), best_level(of, "validation_loss", largest=False)
            findings += [
                below(
                    f"{name} narrows the gap between training and test accuracy ({labels}).",
                    "Size of the gap at the λ of the best validation loss, minus that at λ = 0; training rows with the "
                    "labels that they were trained on",
                    100 * against_zero(abs(of["gap"]), by_loss),
                    unit="points",
                    sign=True,
                ),
                above(
                    f"{name} at its best λ > 0 beats λ = 0 in test accuracy ({labels}).",
                    "Test accuracy at the λ of the best validation accuracy, minus that at λ = 0",
                    100 * against_zero(of["test_accuracy"], by_accuracy),
                    unit="points",
                    sign=True,
                ),
                below(
                    f"{name} at its best λ > 0 beats λ = 0 in test loss ({labels}).",
                    "Test cross-entropy at the λ of the best validation loss, minus that at λ = 0",
                    against_zero(of["test_loss"], by_loss),
                    unit="nats",
                    digits=3,
                    sign=True,
                ),
            ]
    return findings


def against_zero(metric: xr.DataArray, level: xr.DataArray) -> np.ndarray:
    """A metric at the chosen level minus its value at λ = 0, seed by seed."""
    return np.asarray(metric.isel(level=level) - metric.isel(level=0))


CLAIMS = (
    Claim(
        "zeros",
        "L1 gives exact zeros",
        "L1 drives weights to exactly zero, more of them as λ grows.",
        zeros,
        figures.zeros,
        "Share of kernel weights that are exactly 0 against λ, three methods of applying the same L1 penalty (λ of the "
        "decoupled method is in other units: it is not divided by Adam's D). Digits, mean and 95 % interval.",
    ),
    Claim(
        "shrinkage",
        "L2 shrinks and spares",
        "L2 makes weights smaller, none zero, and all in proportion, like turning down the volume.",
        shrinkage,
        figures.shrinkage,
        "Left: each first-layer weight of a network with coupled L2 against the same weight without (seed 0, the λ that is "
        "judged); in proportion, all would lie on the black line. Right: shares of all weights that get smaller, and that "
        "stay within 10 % of one factor, against λ. Mean and 95 % interval.",
    ),
    Claim(
        "norm",
        "More λ, smaller norm",
        "The larger λ, the smaller the norm of the weights.",
        norm,
        figures.norm,
        "Norm of all kernels against λ, in percent of the unpenalised network's: Σ|w| and ‖w‖ for each method. Digits, mean "
        "and 95 % interval.",
    ),
    Claim(
        "overfitting",
        "Both reduce overfitting",
        "Both reduce overfitting: a well chosen λ narrows the gap between training and test rows, and predicts better.",
        overfitting,
        figures.overfitting,
        "Accuracy on training and test rows, and cross-entropy on test rows, against λ; above with right labels, below with "
        "a fifth of the training labels wrong. Mean and 95 % interval; λ = 0 at the left end.",
    ),
)
