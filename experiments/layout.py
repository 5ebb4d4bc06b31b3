"""Turns methods, each with its own strengths, into one list of settings for a sweep, and its
outputs back into a dataset.

settings, places, strengths = settings_of({"L1": ("proximal_l1", (1e-3, 1e-2)), "L2": ("coupled_l2",
(1e-2, 1e-1))}) # five settings, the first being λ = 0, which is level 0 of both methods
described(dataset, {"factor": ("the c that minimises ‖w − c·w₀‖", "1")})   # sets `long_name` and
`units`
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from experiments.training import Strengths

STRENGTH = {"long_name": "strength λ", "units": "nats per unit of the penalty"}
# Select along the dimension `method` by dataset.sel({"method": …}): the keyword `method` of `sel`
# means something else.
METRICS = {
    "gap": ("training accuracy minus test accuracy", "1"),
    "zero_fraction": ("share of kernel weights that are exactly 0", "1"),
    "live_inputs": ("number of inputs with a nonzero weight", "count"),
    "norm": ("norm of all kernels, ‖w‖", "1"),
    "absolute_sum": ("sum of the absolute kernel weights, Σ|w|", "1"),
    "kkt_residual": (
        "largest violation of the optimality conditions of loss + penalty",
        "nats per unit of weight",
    ),
    "layer_zero_fraction": ("share of a layer's kernel weights that are exactly 0", "1"),
    "layer_norm": ("norm of a layer's kernel", "1"),
    "weights": ("kernel weights, one layer after another", "1"),
    "diverged": ("whether the run diverged, which makes its numbers NaN", "1"),
    "level": ("position on the grid of strengths; 0 is λ = 0", "1"),
    "strength": (STRENGTH["long_name"], STRENGTH["units"]),
    "seed": ("seed of rows, initial weights and batch order", "1"),
    "method": ("method of regularization", "1"),
    "wrong": ("share of training labels that are replaced by a wrong class", "1"),
    "weight_layer": ("index of the layer that a weight belongs to", "1"),
    **{
        f"{rows}_accuracy": (f"accuracy on {rows} rows", "1")
        for rows in ("train", "validation", "test")
    },
    **{
        f"{rows}_loss": (f"mean cross-entropy on {rows} rows", "nats")
        for rows in ("train", "validation", "test")
    },
}
"""`long_name` and `units` of the variables that several studies share."""


def settings_of(
    methods: dict[str, tuple[str, tuple[float, ...]]],
) -> tuple[Strengths, np.ndarray, xr.DataArray]:
    """Lists every setting once, with λ = 0 shared by all methods.

    Args:
        methods: mapping from a method's name to its field of `Strengths` and its strengths, the
            same number for each.

    Returns:
        The settings, λ = 0 first; the index of the setting at each (method, level); and the
        labelled strengths there.
    """
    table = [dict.fromkeys(Strengths._fields, 0.0)]
    places, levels = [], []
    for field, strengths in methods.values():
        places.append([0, *range(len(table), len(table) + len(strengths))])
        levels.append([0.0, *strengths])
        table += [{**table[0], field: strength} for strength in strengths]
    columns = {
        field: np.array([row[field] for row in table], np.float32) for field in Strengths._fields
    }
    labelled = xr.DataArray(
        np.array(levels), dims=("method", "level"), coords={"method": list(methods)}
    )
    return Strengths(**columns), np.array(places), labelled


def along_levels(
    outputs: dict[str, np.ndarray],
    places: np.ndarray,
    levels: xr.DataArray,
    axes: tuple[str, ...],
    coords: dict[str, Any],
) -> xr.Dataset:
    """Lays out the outputs of a sweep by method and level.

    Args:
        outputs: arrays (setting, *axes) by name, or (setting, *axes, layer).
        places: index of the setting at each (method, level), as `settings_of` returns it.
        levels: the strengths (method, level), as `settings_of` returns them.
        axes: names of the axes that follow the settings.
        coords: further coordinates.

    Returns:
        A dataset along (method, level, *axes) with the coordinate `strength` (method, level).
    """
    variables = {}
    for name, values in outputs.items():
        extra = ["layer"] * (values.ndim - 1 - len(axes))
        variables[name] = (("method", "level", *axes, *extra), values[places])
    return xr.Dataset(variables, {"strength": levels, "method": levels["method"], **coords})


def layers_of(widths: Sequence[int]) -> np.ndarray:
    """The index of the layer of each kernel weight (weights,), for a network with layers of the
    given widths.
    """
    sizes = [before * after for before, after in itertools.pairwise(widths)]
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int8)


def described(
    dataset: xr.Dataset, texts: Mapping[str, tuple[str, str]] | None = None
) -> xr.Dataset:
    """Adds the attributes `long_name` and `units` to variables and coordinates.

    Args:
        dataset: the dataset.
        texts: mapping from a variable's name to its `long_name` and `units`, for variables that
            `METRICS` lacks.

    Returns:
        A copy of the dataset with these attributes.
    """
    dataset = dataset.copy()
    for name, (text, units) in {**METRICS, **(texts or {})}.items():
        if name in dataset.variables:
            dataset[name].attrs.update(long_name=text, units=units)
    return dataset


def with_attributes(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Checks that each variable and coordinate has `long_name` and `units`.

    A dataset in which nothing has these attributes, as `jaxreg.Runs.dataset` returns it, gets them
    from `METRICS`, or else its variables' names and "1".

    Args:
        dataset: the dataset.
        name: its name, for the error message.

    Returns:
        The dataset, in which every variable and coordinate has both attributes.

    Raises:
        ValueError: some variables have the attributes and another one lacks them.
    """
    attributes = ("long_name", "units")
    if not any(
        attribute in variable.attrs
        for variable in dataset.variables.values()
        for attribute in attributes
    ):
        return described(
            dataset, {str(key): (str(key), "1") for key in dataset.variables if key not in METRICS}
        )
    for key, variable in dataset.variables.items():
        for attribute in attributes:
            if not variable.attrs.get(attribute):
                remedy = f"add {key!r} to the texts that experiments.layout.described receives"
                raise ValueError(
                    f"dataset {name}: the variable {key!r} has no attribute {attribute!r}; {remedy}"
                )
    return dataset
