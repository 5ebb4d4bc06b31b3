"""Methods, each with strengths of its own, as one list of settings for a sweep, and the results laid out by method again.

settings, places, levels = settings_of({"L1": ("proximal_l1", (1e-3, 1e-2)), "L2": ("coupled_l2", (1e-2, 1e-1))})
# settings: five of them, the first being λ = 0, which is level 0 of both methods
"""

from typing import Any

import numpy as np
import xarray as xr

from experiments.train import Strengths


def settings_of(methods: dict[str, tuple[str, tuple[float, ...]]]) -> tuple[Strengths, np.ndarray, xr.DataArray]:
    """Every setting once.

    Args:
        methods: from a method's name to its field of `Strengths` and its strengths, as many for each.

    Returns:
        The settings, λ = 0 first; for (way, level) the number of its setting; and its strength, labelled.
    """
    table = [dict.fromkeys(Strengths._fields, 0.0)]
    places, levels = [], []
    for field, strengths in methods.values():
        places.append([0, *range(len(table), len(table) + len(strengths))])
        levels.append([0.0, *strengths])
        table += [{**table[0], field: strength} for strength in strengths]
    columns = {field: np.array([row[field] for row in table], np.float32) for field in Strengths._fields}
    labelled = xr.DataArray(np.array(levels), dims=("way", "level"), coords={"way": list(methods)})
    return Strengths(**columns), np.array(places), labelled


def along_levels(
    outputs: dict[str, np.ndarray], places: np.ndarray, levels: xr.DataArray, axes: tuple[str, ...], coords: dict[str, Any]
) -> xr.Dataset:
    """Outputs along (setting, *axes, …) as records along (way, level, *axes, …), with the coordinate `strength`."""
    variables = {}
    for name, values in outputs.items():
        extra = ["layer"] * (values.ndim - 1 - len(axes))
        variables[name] = (("way", "level", *axes, *extra), values[places])
    return xr.Dataset(variables, {"strength": levels, "way": levels["way"], **coords})


def chosen(records: xr.Dataset, by: str, largest: bool = True) -> xr.DataArray:
    """The level above 0 that validation rows choose, for each seed and whatever else the records lie along.

    Args:
        records: along `level` and others. by: the metric that chooses. largest: whether the largest is best.

    Returns:
        Levels, to be used as an index: `records["test_accuracy"].isel(level=chosen(...))`. Among equals the largest λ, the
        simplest network; a network that diverged, whose metric is NaN, is never chosen.
    """
    metric = records[by].isel(level=slice(1, None))
    worst = -np.inf if largest else np.inf
    backwards = metric.fillna(worst).isel(level=slice(None, None, -1))
    picked = backwards.argmax("level") if largest else backwards.argmin("level")
    return metric.sizes["level"] - picked
