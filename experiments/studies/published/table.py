"""The table of published results: published value, ours, difference."""

import itertools
from collections.abc import Sequence

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.sheet import Sheet
from experiments.studies.published.diabetes import PUBLISHED_SHARE
from experiments.study import Results, Summary

GROUP = "source"
HEADINGS = ("number", "published", "ours", "difference")
SOURCE = "Lemhadri et al., LassoNet: A Neural Network with Feature Sparsity (2021), extended table"
PUBLISHED = {"LassoNet": 0.794, "PFA": 0.784, "HSIC-Lasso": 0.775, "Fisher score": 0.660}
"""Published test accuracy of extra trees on the 50 pixels that each method chose."""
PUBLISHED_ALL = 0.831
"""Published test accuracy of extra trees on all pixels."""


EVENTS = (3, 9, 4, 7, 2, 10, 5, 8, 6, 1, -7, 7)
"""Features that enter (+) or leave (−) the lasso path of Efron et al. (2004), in order."""
KNOTS = (949.44, 889.31, 452.9, 316.07, 130.13, 88.78, 68.96, 19.98, 5.48, 5.09, 2.18, 1.31)
"""Published rows · λ at these events."""
COEFFICIENTS = (0.0, -195.13, 521.95, 295.79, -100.76, 0.0, -223.07, 0.0, 512.84, 53.46)
"""The lasso's weights by leave-one-out cross-validation in table 1 of Park and Casella (2008)."""
NAMES = ("age", "sex", "bmi", "map", "tc", "ldl", "hdl", "tch", "ltg", "glu")
"""The features as these papers call them."""


def tabulate(results: Results) -> Summary:
    """The rows of both tables, one below the other."""
    parts = [diabetes_table(results), lassonet_table(results)]
    rows = [row for part in parts for row in part.table.rows]
    return Summary(Sheet(HEADINGS, rows, group=GROUP), " ".join(part.text for part in parts))


def diabetes_table(results: Results) -> Summary:
    """A row for each published number of the lasso on the diabetes data."""
    dataset = results["diabetes"]
    rows: list[Sequence[str] | str] = [
        "Efron et al. 2004: n · λ where a feature enters (+) or leaves (−)"
    ]
    found = zip(
        dataset["feature"].values * dataset["sign"].values, dataset["knot"].values, strict=True
    )
    for known, ours in itertools.zip_longest(zip(EVENTS, KNOTS, strict=True), found):
        cells = [
            "–" if one is None else f"{named(int(one[0]))} {one[1]:.2f}" for one in (known, ours)
        ]
        missed = known is None or ours is None or known[0] != ours[0]
        rows.append(
            [
                f"event {len(rows)}",
                *cells,
                "another event" if missed else f"{ours[1] - known[1]:+.2f}",
            ]
        )
    share = float(dataset["share"])
    rows.append("Park and Casella 2008: weights of the lasso")
    rows.append(
        [
            "‖w‖₁ ÷ that of least squares",
            f"{PUBLISHED_SHARE:.2f}",
            f"{share:.3f}",
            f"{share - PUBLISHED_SHARE:+.3f}",
        ]
    )
    for name, known, ours in zip(NAMES, COEFFICIENTS, dataset["coefficients"].values, strict=True):
        rows.append(
            [
                f"{name} where it is {PUBLISHED_SHARE:g}",
                f"{known:.2f}",
                f"{ours:.2f}",
                f"{ours - known:+.2f}",
            ]
        )
    rows.append("Ziyin and Wang 2023: w = u⊙v under weight decay, against the lasso")
    for strength in dataset["strength"].values:
        excess, error = (
            float(np.abs(dataset[name].sel(strength=strength)).max())
            for name in ("excess", "error")
        )
        rows.append(
            [
                f"objective ÷ the lasso's, n · λ = {strength:g}",
                "1",
                f"{1 + excess:.6f}",
                f"{excess:.0e}",
            ]
        )
        rows.append(
            [
                f"difference ÷ largest weight, n · λ = {strength:g}",
                "0",
                f"{error:.0e}",
                f"{error:.0e}",
            ]
        )
    text = (
        "Published: Efron et al., Least Angle Regression (2004); Park and Casella, The Bayesian "
        "Lasso (2008), table 1, with "
        "‖w‖₁ on a grid of hundredths; Ziyin and Wang, spred: Solving L1 Penalty with SGD (2023), "
        "theorem 1. Ours: "
        "`fit_linear_path` and `cross_validate_linear_path` in float64, and gradient descent on u "
        "and v with "
        f"`optax.add_decayed_weights`, the largest distance of {dataset.sizes['seed']} random "
        "starts."
    )
    return Summary(Sheet(HEADINGS, rows, group=GROUP), text)


def named(event: int) -> str:
    """A feature with its sign and number."""
    return f"{event:+d} ({NAMES[abs(event) - 1]})".replace("-", "−")


def lassonet_table(results: Results) -> Summary:
    """A row for each published accuracy on Fashion-MNIST, and one for each that has none."""
    dataset = results["lassonet"]
    limit = dataset.attrs["limit"]
    ours = dataset["trees_accuracy"]
    rows: list[Sequence[str] | str] = ["Lemhadri et al. 2021: test accuracy on Fashion-MNIST"]
    rows.append(row("extra trees, all pixels", dataset["all_trees_accuracy"], PUBLISHED_ALL))
    rows += [
        row(f"extra trees, {limit} pixels, against {name}", ours, value)
        for name, value in PUBLISHED.items()
    ]
    rows.append(row(f"network, {limit} pixels", dataset["network_accuracy"], None))
    ran = dataset.where(np.isfinite(dataset["peer_seconds"]), drop=True)
    pixels, seconds = dataset["pixels"].values, dataset["seconds"].values
    text = (
        f"Mean ± standard error over {dataset.sizes['split']} splits of 10,000 rows into 4,000 "
        "for training and 6,000 for "
        f"testing; {int(pixels.min())} to {int(pixels.max())} pixels, "
        f"{dataset['epochs'].values.mean():.0f} epochs and "
        f"{seconds.mean():.0f} s for each split. Published: {SOURCE}."
    )
    if count := ran.sizes["split"]:
        package = f"of the package lassonet, splits: {count}"
        rows.append(
            row(f"extra trees, pixels {package}", ran["peer_trees_accuracy"], PUBLISHED["LassoNet"])
        )
        rows.append(row(f"network {package}", ran["peer_network_accuracy"], None))
        text += f" The package lassonet took {ran['peer_seconds'].values.mean():.0f} s for a split."
    else:
        text += " The package lassonet was not run."
    return Summary(Sheet(HEADINGS, rows, group=GROUP), text)


def row(name: str, values: xr.DataArray, published: float | None) -> list[str]:
    """One row: what was published, what came out here, and their difference."""
    mean, error = mean_and_error(values.values)
    ours = f"{mean:.4f} ± {error:.4f}" if np.isfinite(error) else f"{mean:.4f}"
    return (
        [name, "–", ours, "–"]
        if published is None
        else [name, f"{published:.3f}", ours, f"{mean - published:+.4f}"]
    )
