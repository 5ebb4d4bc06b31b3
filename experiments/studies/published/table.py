"""The table of published results: published value, ours, difference."""

import numpy as np
import xarray as xr

from experiments.claims import mean_and_error
from experiments.sheet import Sheet
from experiments.study import Results, Summary

HEADINGS = ("test accuracy on Fashion-MNIST", "published", "ours", "difference", "seconds")
SOURCE = "Lemhadri et al., LassoNet: A Neural Network with Feature Sparsity (2021), extended table"
PUBLISHED = {"LassoNet": 0.794, "PFA": 0.784, "HSIC-Lasso": 0.775, "Fisher score": 0.660}
"""Published test accuracy of extra trees on the 50 pixels that each method chose."""
PUBLISHED_ALL = 0.831
"""Published test accuracy of extra trees on all pixels."""


def tabulate(results: Results) -> Summary:
    """A row for each published number, and one for each number that has none."""
    dataset = results["lassonet"]
    limit = dataset.attrs["limit"]
    ours = dataset["trees_accuracy"]
    rows = [row("extra trees, all pixels", dataset["all_trees_accuracy"], PUBLISHED_ALL)]
    rows += [row(f"extra trees, {limit} pixels, against {name}", ours, value) for name, value in PUBLISHED.items()]
    rows.append(row(f"network, {limit} pixels", dataset["network_accuracy"], None, dataset["seconds"]))
    ran = dataset.where(np.isfinite(dataset["peer_seconds"]), drop=True)
    if count := ran.sizes["split"]:
        package = f"of the package lassonet, splits: {count}"
        rows.append(row(f"extra trees, pixels {package}", ran["peer_trees_accuracy"], PUBLISHED["LassoNet"]))
        rows.append(row(f"network {package}", ran["peer_network_accuracy"], None, ran["peer_seconds"]))
    pixels, seconds = dataset["pixels"].values, dataset["seconds"].values
    text = (
        f"Mean ± standard error over {dataset.sizes['split']} splits of 10,000 rows into 4,000 for training and 6,000 for "
        f"testing; {int(pixels.min())} to {int(pixels.max())} pixels, {dataset['epochs'].values.mean():.0f} epochs and "
        f"{seconds.mean():.0f} s for each split. Published: {SOURCE}."
    )
    if not count:
        text += " The package lassonet was not run."
    return Summary(Sheet(HEADINGS, rows), text)


def row(name: str, values: xr.DataArray, published: float | None, seconds: xr.DataArray | None = None) -> list[str]:
    """One row: what was published, what came out here, and their difference."""
    mean, error = mean_and_error(values.values)
    ours = f"{mean:.4f} ± {error:.4f}" if np.isfinite(error) else f"{mean:.4f}"
    cells = ["–", ours, "–"] if published is None else [f"{published:.3f}", ours, f"{mean - published:+.4f}"]
    return [name, *cells, "–" if seconds is None else f"{seconds.values.mean():.0f}"]
