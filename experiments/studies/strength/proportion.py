"""Does L2 shrink all weights by the same factor? A comparison of each network with the unpenalised
one.

With w₀ the weights of the unpenalised network, the common factor c minimises ‖w − c·w₀‖. All
weights shrink in proportion if w = c·w₀.
"""

import numpy as np
import xarray as xr

SHRUNK = 0.9
"""A norm counts as shrunk if it is at most this share of the unpenalised network's norm."""
NEAR = 0.1
"""A weight counts as shrunk in proportion if its own factor differs from the common one by at most
this share.
"""
TEXTS = {
    "factor": ("the c that minimises ‖w − c·w₀‖, with w₀ the unpenalised network", "1"),
    "explained": ("share of ‖w‖² explained by c·w₀", "1"),
    "near_factor": ("share of weights whose own factor is within 10 % of c", "1"),
    "smaller": ("share of weights with |w| < |w₀|", "1"),
}


def proportion(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Measures how well one common factor describes the change of each network's weights.

    Args:
        weights: (setting, wrong, seed, weight); the first setting is λ = 0.

    Returns:
        Arrays of shape (setting, wrong, seed): `factor`, the c that minimises ‖w − c·w₀‖;
        `explained`, the share of ‖w‖² explained by c·w₀; `near_factor`, the share of weights whose
        own factor w/w₀ is within 10 % of c; `smaller`, the share of weights with |w| < |w₀|.
    """
    start = weights[0]
    factor = np.sum(weights * start, -1) / np.sum(start * start, -1)
    fitted = factor[..., None] * start
    # If every weight is 0, there is nothing to explain: avoid 0/0.
    unexplained = np.sum((weights - fitted) ** 2, -1) / np.maximum(
        np.sum(weights**2, -1), np.finfo(np.float32).tiny
    )
    near = np.abs(weights - fitted) <= NEAR * np.abs(fitted)
    return {
        "factor": factor,
        "explained": 1 - unexplained,
        "near_factor": near.mean(-1),
        "smaller": (np.abs(weights) < np.abs(start)).mean(-1),
    }


def most_proportional(dataset: xr.Dataset, method: str) -> int:
    """Finds the λ at which a method's shrinkage comes closest to one common factor.

    Args:
        dataset: of the strength sweep; networks trained on correct labels are used.
        method: name of the method.

    Returns:
        The level with the largest mean share of ‖w‖² explained, among the levels above 0 whose mean
        norm is at most `SHRUNK` of the unpenalised one; 0 if there is none.
    """
    means = dataset.sel({"wrong": 0.0, "method": method}).mean("seed", skipna=False)
    ratio = means["norm"] / means["norm"].isel(level=0)
    eligible = (ratio <= SHRUNK) & (ratio > 0) & (np.arange(means.sizes["level"]) > 0)
    return int(means["explained"].where(eligible).fillna(-1).argmax("level"))
