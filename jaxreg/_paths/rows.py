"""Rows of a data set, and their division into folds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._masking import name_of
from jaxreg._typing import PyTree


def row_count(owner: str, rows: PyTree) -> int:
    """Number of rows of a tree of arrays.

    Raises:
        ValueError: there is no array, one has no axis, their first axes differ, or there are no
            rows.
    """
    counts = {
        name_of(path): np.shape(leaf)[:1]
        for path, leaf in jax.tree_util.tree_leaves_with_path(rows)
    }
    if not counts or len(set(counts.values())) > 1 or () in counts.values():
        raise ValueError(
            f"{owner}: expected arrays with the same number of rows along their first axis, got "
            f"{counts}"
        )
    count = int(next(iter(counts.values()))[0])
    if not count:
        raise ValueError(
            f"{owner}: expected at least one row, got arrays without rows: {', '.join(counts)}"
        )
    return count


def take_rows(rows: PyTree, places: Any) -> PyTree:
    """Takes rows of every array."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[places], rows)


def split_rows(owner: str, rows: int, folds: Any, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divides rows into folds.

    Args:
        owner: the function that the user called.
        rows: their number.
        folds: how many, of sizes that differ by at most 1, at random; or a label for each row; or
            pairs of indices of the rows to train on and of those to hold out, such as
            scikit-learn's splitters yield.
        seed: of the random division.

    Returns:
        For each fold the rows that are trained on, and those that are held out, int32.

    Raises:
        TypeError: the folds are none of these.
        ValueError: there are fewer than 2 folds, or more than rows, or labels or indices do not fit
            the rows.
    """
    listed = list(folds) if np.iterable(folds) and not isinstance(folds, str | bytes) else None
    pairs: list[Any]
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        if not 2 <= folds <= rows:
            raise ValueError(
                f"{owner}: folds must be a whole number from 2 to {rows}, the rows, got {folds!r}"
            )
        places = np.random.default_rng(seed).permutation(rows)
        pairs = [(np.setdiff1d(places, part), part) for part in np.array_split(places, folds)]
    elif listed is None:
        raise TypeError(
            f"{owner}: folds must be a number, a label for each row, or pairs of indices, got "
            f"{folds!r}"
        )
    elif listed and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in listed):
        pairs = [tuple(np.asarray(part) for part in pair) for pair in listed]
    else:
        labels = np.unique(np.asarray(listed), return_inverse=True)[1]
        if labels.shape != (rows,):
            raise ValueError(
                f"{owner}: expected a label in folds for each of {rows} rows, got shape "
                f"{labels.shape}"
            )
        pairs = [
            (np.flatnonzero(labels != label), np.flatnonzero(labels == label))
            for label in range(labels.max() + 1)
        ]
    if len(pairs) < 2:
        raise ValueError(f"{owner}: expected at least 2 folds, got {len(pairs)}")
    for number, pair in enumerate(pairs):
        for part in pair:
            indices = part.ndim == 1 and part.dtype.kind in "iu" and part.size
            if not indices or not 0 <= part.min() <= part.max() < rows:
                raise ValueError(
                    f"{owner}: expected indices from 0 to {rows - 1} in fold {number}, at least "
                    f"one to train on and one to hold out, got {part!r}"
                )
        if np.intersect1d(*pair).size:
            raise ValueError(
                f"{owner}: fold {number} holds out rows that it trains on, such as "
                f"{np.intersect1d(*pair)[0]}"
            )
    return [(trained.astype(np.int32), held_out.astype(np.int32)) for trained, held_out in pairs]
