"""Claims about what grows and shrinks with λ: zeros, shrinkage, norm and overfitting, on the digits."""

import numpy as np
import xarray as xr

from experiments.claims.spec import Records, Spec
from experiments.figures import strength as figures
from experiments.studies.layout import chosen
from experiments.verdicts import Finding, above, below, none_of, steps, within

SHRUNK = 0.9
"""A norm of at most this share of the unpenalised network's counts as shrunk."""
ROUNDING = 1e-4
"""Share of weights that may be 0 by chance: where a pixel is always black nothing but the penalty moves its weights, in
steps that shrink with the learning rate, and one of them can end on 0."""
ALL = 95.0
"""Percent of the weights that have to do what is said of all weights."""


def clean(records: xr.Dataset) -> xr.Dataset:
    """The networks trained on right labels."""
    return records.sel(wrong=0.0)


def zeros(records: Records) -> list[Finding]:
    """Exact zeros against λ, three ways."""
    of = clean(records["strength"])
    share = 100 * of["zero_fraction"]
    proximal = share.sel(way="proximal L1").transpose("level", "seed").values
    weights = int(records["strength"].sizes["weight"])
    findings = [
        steps(
            "By the proximal step, weights are exactly 0, and more of them for every larger λ.",
            "Share of kernel weights that are exactly 0, each λ against the next smaller one, from λ = 0 on "
            f"({proximal[1].mean():.1f} % at the smallest, {proximal[-1].mean():.1f} % at the largest)",
            proximal,
            "points",
        )
    ]
    for way in ("coupled L1", "decoupled L1"):
        one = share.sel(way=way).isel(level=slice(1, None))
        findings.append(
            none_of(
                f"The {way.split()[0]} subgradient of the same penalty makes no weight exactly 0.",
                f"Kernel weights of all networks trained with {way}, every λ and seed",
                (one / 100 * weights).values,
                weights,
                "weights are 0",
                ROUNDING,
            )
        )
    return findings


def shrinkage(records: Records) -> list[Finding]:
    """None zero; smaller; in proportion."""
    of = clean(records["strength"]).sel(way="coupled L2").isel(level=slice(1, None))
    weights = int(records["strength"].sizes["weight"])
    level = most_proportional(records["strength"])
    one = of.isel(level=level)
    at = f"coupled L2, λ = {float(one['strength']):g}"
    deviation = float(records["linear"]["orthonormal_deviation"].max())
    return [
        within(
            "On an orthonormal design L2 multiplies every weight by 1/(1 + 2λ).",
            "Ridge regression ½‖y − Xw‖² + λΣw² by prox_adam in float64, λ from 0.01 to 100, against that formula",
            deviation,
            1e-9,
            "largest deviation of a factor",
        ),
        none_of(
            "L2 makes no weight of a network exactly 0.",
            "Kernel weights of all networks trained with coupled L2, every λ and seed",
            (of["zero_fraction"] * weights).values,
            weights,
            "weights are 0",
            ROUNDING,
        ),
        above(
            "L2 makes (nearly) every weight of a network smaller.",
            f"Share of weights with |w| below that of the same seed's unpenalised network, {at}; above {ALL:.0f} %",
            100 * one["smaller"].values,
            ALL,
            "%",
        ),
        above(
            "L2 shrinks (nearly) all weights of a network in proportion.",
            f"Share of weights within 10 % of c·w₀, with the c that fits best; {at}, of all λ that shrink the norm by a "
            f"tenth or more the one where c·w₀ fits best (R² {float(one['explained'].mean()):.2f}); above {ALL:.0f} %",
            100 * one["near_factor"].values,
            ALL,
            "%",
        ),
    ]


def most_proportional(records: xr.Dataset) -> int:
    """Of the strengths of coupled L2 that shrink the norm by a tenth or more, the one that c·w₀ fits best: level − 1."""
    of = clean(records).sel(way="coupled L2").mean("seed")
    ratio = (of["norm"] / of["norm"].isel(level=0)).isel(level=slice(1, None))
    fit = of["explained"].isel(level=slice(1, None)).where((ratio <= SHRUNK) & (ratio > 0))
    return int(fit.fillna(-1).argmax("level"))


def norm(records: Records) -> list[Finding]:
    """Larger λ, smaller norm."""
    findings = []
    for way, measure, symbol in (
        ("proximal L1", "absolute_sum", "Σ|w|"),
        ("coupled L2", "norm", "‖w‖"),
        ("decoupled L2", "norm", "‖w‖"),
    ):
        values = clean(records["strength"])[measure].sel(way=way).transpose("level", "seed")
        findings.append(
            steps(
                f"The larger λ of {way}, the smaller {symbol}.",
                f"Fall of {symbol} from each λ to the next, in percent of the unpenalised network's",
                (-100 * values / values.isel(level=0)).values,
                "%",
            )
        )
    return findings


def overfitting(records: Records) -> list[Finding]:
    """The gap, the accuracy and the loss at the λ that validation rows choose, against λ = 0."""
    findings = []
    every = records["strength"]
    for wrong in every["wrong"].values:
        labels = "right labels" if wrong == 0 else f"{100 * wrong:.0f} % wrong training labels"
        for way, name in (("proximal L1", "L1"), ("coupled L2", "L2")):
            of = every.sel(wrong=wrong, way=way)
            by_accuracy, by_loss = chosen(of, "validation_accuracy"), chosen(of, "validation_loss", largest=False)
            findings += [
                below(
                    f"{name} narrows the gap between training and test accuracy ({labels}).",
                    "Gap at the λ of the best validation loss, minus that at λ = 0",
                    100 * against_zero(of["gap"], by_loss),
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


SPECS = (
    Spec(
        "zeros",
        "L1 gives exact zeros",
        "L1 drives weights to exactly zero, more of them as λ grows.",
        ("strength",),
        zeros,
        figures.zeros,
        "Share of kernel weights that are exactly 0 against λ, three ways of applying the same L1 penalty (λ of the "
        "decoupled way is in other units: it is not divided by Adam's D). Digits, mean and 95 % interval.",
    ),
    Spec(
        "shrinkage",
        "L2 shrinks and spares",
        "L2 makes weights smaller, none zero, and all in proportion, like turning down the volume.",
        ("strength", "linear"),
        shrinkage,
        figures.shrinkage,
        "Left: each first-layer weight of a network with coupled L2 against the same weight without (seed 0); in "
        "proportion, all would lie on one line. Right: how much of the penalised weights one factor explains, against λ.",
    ),
    Spec(
        "norm",
        "More λ, smaller norm",
        "The larger λ, the smaller the norm of the weights.",
        ("strength",),
        norm,
        figures.norm,
        "Norm of all kernels against λ, in percent of the unpenalised network's: Σ|w| and ‖w‖ for each way. Digits, mean "
        "and 95 % interval.",
    ),
    Spec(
        "overfitting",
        "Both reduce overfitting",
        "Both reduce overfitting: a well chosen λ narrows the gap between training and test rows, and predicts better.",
        ("strength",),
        overfitting,
        figures.overfitting,
        "Accuracy on training and test rows, and cross-entropy on test rows, against λ; above with right labels, below with "
        "a fifth of the training labels wrong. Mean and 95 % interval; λ = 0 at the left end.",
    ),
)
