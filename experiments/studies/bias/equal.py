"""Networks compared at an equal share of weights kept, by interpolation along each method's
path.
"""

import numpy as np
import xarray as xr


def at_share(networks: xr.Dataset, metric: str, method: str, share: float) -> np.ndarray:
    """Interpolates a metric to a share of weights kept, linearly in the logarithm of the share.

    Args:
        networks: of the network sweep; `kept` and the metric lie along (method, level, seed).
        metric: name of the metric.
        method: name of the method.
        share: the share of weights kept.

    Returns:
        The metric for each seed (seeds,); NaN for a seed whose networks do not keep both more and
        less than the share, or of which one diverged.
    """
    selected = networks.sel({"method": method}).transpose("level", "seed")
    kept, values = selected["kept"].values, selected[metric].values
    found = []
    for seed in range(kept.shape[1]):
        order = np.argsort(kept[:, seed])
        x, y = kept[order, seed], values[order, seed]
        inside = np.isfinite([*x, *y]).all() and x[0] <= share <= x[-1]
        # Networks without a weight lie at −∞ and are left out.
        some = x > 0
        found.append(
            np.interp(np.log(share), np.log(x[some]), y[some])
            if inside and x[some][0] <= share
            else np.nan
        )
    return np.array(found)
