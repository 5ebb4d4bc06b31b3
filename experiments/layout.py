"""Methods with strengths of their own as one list of settings for a sweep, and the results laid out by method again.

settings, places, strengths = settings_of({"L1": ("proximal_l1", (1e-3, 1e-2)), "L2": ("coupled_l2", (1e-2, 1e-1))})
# five settings, the first being λ = 0, which is level 0 of both methods
described(dataset, {"factor": ("the c that minimises ‖w − c·w₀‖", "1")})
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from experiments.training import Strengths

STRENGTH = {"long_name": "strength λ", "units": "nats per unit of the penalty"}
# A dimension called `method` is selected by records.sel({"method": …}): xarray has a keyword of that name of its own.
METRICS = {
    "gap": ("training accuracy minus test accuracy", "1"),
    "zero_fraction": ("share of kernel weights that are exactly 0", "1"),
    "live_inputs": ("inputs with a weight that is not 0", "count"),
    "norm": ("norm of all kernels, ‖w‖", "1"),
    "absolute_sum": ("sum of the absolute kernel weights, Σ|w|", "1"),
    "kkt_residual": ("largest violation of optimality of loss + penalty", "nats per unit of weight"),
    "layer_zero_fraction": ("share of a layer's kernel weights that are exactly 0", "1"),
    "layer_norm": ("norm of a layer's kernel", "1"),
    "weights": ("kernel weights, layer after layer", "1"),
    "diverged": ("whether the run diverged, so that its numbers are nan", "1"),
    "level": ("position on the grid of strengths; 0 is λ = 0", "1"),
    "strength": (STRENGTH["long_name"], STRENGTH["units"]),
    "seed": ("seed of rows, initial weights and order of batches", "1"),
    "method": ("method of regularization", "1"),
    "wrong": ("share of training labels replaced by a wrong class", "1"),
    "weight_layer": ("layer that a weight belongs to, from 0", "1"),
    **{f"{rows}_accuracy": (f"accuracy on {rows} rows", "1") for rows in ("train", "validation", "test")},
    **{f"{rows}_loss": (f"mean cross-entropy on {rows} rows", "nats") for rows in ("train", "validation", "test")},
}
"""What variables mean that several studies record, and their units."""


def settings_of(methods: dict[str, tuple[str, tuple[float, ...]]]) -> tuple[Strengths, np.ndarray, xr.DataArray]:
    """Every setting once.

    Args:
        methods: from a method's name to its field of `Strengths` and its strengths, as many for each.

    Returns:
        The settings, λ = 0 first; for (method, level) the number of its setting; and its strength, labelled.
    """
    table = [dict.fromkeys(Strengths._fields, 0.0)]
    places, levels = [], []
    for field, strengths in methods.values():
        places.append([0, *range(len(table), len(table) + len(strengths))])
        levels.append([0.0, *strengths])
        table += [{**table[0], field: strength} for strength in strengths]
    columns = {field: np.array([row[field] for row in table], np.float32) for field in Strengths._fields}
    labelled = xr.DataArray(np.array(levels), dims=("method", "level"), coords={"method": list(methods)})
    return Strengths(**columns), np.array(places), labelled


def along_levels(
    outputs: dict[str, np.ndarray], places: np.ndarray, levels: xr.DataArray, axes: tuple[str, ...], coords: dict[str, Any]
) -> xr.Dataset:
    """Outputs along (setting, *axes, …) as a dataset along (method, level, *axes, …), with the coordinate `strength`."""
    variables = {}
    for name, values in outputs.items():
        extra = ["layer"] * (values.ndim - 1 - len(axes))
        variables[name] = (("method", "level", *axes, *extra), values[places])
    return xr.Dataset(variables, {"strength": levels, "method": levels["method"], **coords})


def layers_of(widths: Sequence[int]) -> np.ndarray:
    """For each kernel weight of a network with these widths, layer after layer, the number of its layer."""
    sizes = [before * after for before, after in itertools.pairwise(widths)]
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int8)


def described(dataset: xr.Dataset, texts: Mapping[str, tuple[str, str]] | None = None) -> xr.Dataset:
    """The dataset with `long_name` and `units` on its variables and coordinates.

    Args:
        dataset: to describe.
        texts: by name, what a variable means and its units, where `METRICS` does not say it.
    """
    dataset = dataset.copy()
    for name, (text, units) in {**METRICS, **(texts or {})}.items():
        if name in dataset.variables:
            dataset[name].attrs.update(long_name=text, units=units)
    return dataset
