"""The images study's best single networks, for a comparison at equal shares of weights."""

import numpy as np
import xarray as xr

from experiments.results.store import load_dataset
from experiments.selection import interpolate
from experiments.studies.path.settings import Settings

SHARES = (0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of the weights at which networks are compared."""
MAIN = "main"
"""The role of the images study's settings that are compared."""


def single_networks(config: Settings) -> xr.Dataset:
    """The method with the highest validation accuracy at each share.

    Returns:
        `single_accuracy` (share, single), test accuracies of its seeds, and `single_method`
        (share); empty if the results are of other data or cannot be read.
    """
    try:
        found = load_dataset(config.images / "images.nc")
    except (OSError, ValueError):
        return xr.Dataset()
    if found.attrs.get("data") != config.data:
        return xr.Dataset()
    compared = found.isel(
        setting=np.flatnonzero((found["role"] == MAIN) & (found["repeats"] == found.sizes["seed"]))
    )
    names, tests = [], []
    for share in SHARES:
        best = max(
            np.unique(compared["method"]),
            key=lambda name: at_share(compared, name, "validation_accuracy", share)[0],
        )
        names.append(str(best))
        tests.append(at_share(compared, best, "test_accuracy", share)[1])
    texts = {"long_name": "accuracy on test rows of the images study's best networks", "units": "1"}
    name_texts = {"long_name": "method of these networks", "units": "1"}
    share_texts = {"long_name": "share of weights kept", "units": "1"}
    return xr.Dataset(
        {
            "single_accuracy": (("share", "single"), np.array(tests), texts),
            "single_method": ("share", np.array(names), name_texts),
        },
        {"share": ("share", np.array(SHARES), share_texts)},
    )


def at_share(
    dataset: xr.Dataset, method: str, metric: str, share: float
) -> tuple[float, np.ndarray]:
    """A metric of one method at a share of weights kept: the mean, −1 if it has none there, and the
    seeds' values.
    """
    own = dataset.isel(setting=np.flatnonzero(dataset["method"] == method))
    pairs = zip(own["kept"].values.T, own[metric].values.T, strict=True)
    values = np.array([interpolate(kept, accuracy, share) for kept, accuracy in pairs])
    return float(np.nan_to_num(values.mean(), nan=-1.0)), values
