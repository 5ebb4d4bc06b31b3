"""Networks and linear models at the λ that is chosen on validation data."""

import numpy as np
import xarray as xr

from experiments.selection import best_level

MARGIN = 1.0
"""Points of accuracy: a smaller gain counts as none, and accuracies this close count as the
same.
"""


def most_noise(networks: xr.Dataset) -> xr.Dataset:
    """The networks with the largest share of irrelevant columns."""
    return networks.isel(share=-1)


def least_error(paths: xr.Dataset) -> xr.Dataset:
    """Each path at the strength with the smallest validation error."""
    return paths.isel(level=best_level(paths, "validation_error", largest=False, first=0))


def accuracy_by_share(networks: xr.Dataset, method: str) -> np.ndarray:
    """Test accuracy in percent at the λ with the best validation accuracy: (share, seed)."""
    selected = networks.sel({"method": method})
    chosen = selected["test_accuracy"].isel(level=best_level(selected, "validation_accuracy"))
    return 100 * chosen.transpose("share", "seed").values


def explained_by_share(paths: xr.Dataset, method: str) -> np.ndarray:
    """Percent of the signal that a linear model explains at the λ with the smallest validation
    error: (share, seed).
    """
    chosen = least_error(paths.isel(design=0).sel({"method": method}))
    return 100 * chosen["explained"].transpose("share", "seed").values


def at_matched_accuracy(networks: xr.Dataset, method: str) -> xr.Dataset:
    """For each seed, a method's sparsest network that is about as accurate as the best L1 network.

    Args:
        networks: of one share of irrelevant columns, along (method, level, seed).
        method: name of the method.

    Returns:
        Along `seed`, the network with the largest λ whose validation accuracy is within `MARGIN` of
        the best one of L1, with `f1`, the F1 score of its inputs (pixels are relevant). NaN for a
        seed that has no such network with λ > 0.
    """
    target = networks["validation_accuracy"].sel({"method": "L1"}).max("level") - MARGIN / 100
    accurate = networks["validation_accuracy"].sel({"method": method}) >= target
    levels = xr.DataArray(np.arange(networks.sizes["level"]), dims="level")
    exists = (accurate & (levels > 0)).any("level")
    chosen = (
        networks.sel({"method": method})
        .isel(level=levels.where(accurate, 0).max("level"))
        .where(exists)
    )
    relevant, kept = chosen["live_pixels"], chosen["live_pixels"] + chosen["live_noise"]
    return chosen.assign(f1=2 * relevant / (kept + networks["pixels"]))
