"""Tables of pandas and polars as arrays."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def as_numbers(owner: str, name: str, given: Any) -> Any:
    """Converts a table, or a column of one, to an array of numbers; other things become NumPy's
    array of them.

    Args:
        owner: the function that the user called.
        name: of the argument.
        given: a table with named columns of numbers, bools or nullable numbers, a series, or an
            array.

    Raises:
        TypeError: a column does not hold numbers.
        ValueError: a number is missing.
    """
    if isinstance(given, jax.core.Tracer | np.ndarray):
        return given
    if isinstance(given, jax.Array):
        # What is sharded over devices comes together on one.
        return (
            given
            if isinstance(given.sharding, jax.sharding.SingleDeviceSharding)
            else np.asarray(given)
        )
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):
        columns = [
            column_of(owner, f"column {label!r} of {name}", given[label]) for label in given.columns
        ]
        return np.stack(columns, 1) if columns else np.empty((len(given), 0))
    return column_of(owner, name, given) if hasattr(given, "to_numpy") else np.asarray(given)


def column_of(owner: str, name: str, series: Any) -> np.ndarray:
    """Converts one column."""
    values = np.asarray(series.to_numpy())
    missing = sum(
        value is None or type(value).__name__ == "NAType" or value != value
        for value in values.tolist()
    )
    if missing:
        raise ValueError(f"{owner}: {name} has {missing} missing values; drop or impute these rows")
    if values.dtype.kind in "iuf":
        return values
    if all(isinstance(value, int | float) for value in values.tolist()):
        return values.astype(float)
    example = next(iter(values), None)
    raise TypeError(
        f"{owner}: {name} must hold numbers, got {values.dtype} such as {example!r}; drop it, or "
        "make numbers of it, for "
        "categories by pandas.get_dummies, say"
    )
