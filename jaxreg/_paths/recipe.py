"""How a path is trained, and the rows that it is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._assigning import assign
from jaxreg._masking import name_of
from jaxreg._typing import Mask, Penalties, PyTree

DENSE_TO_SPARSE, SPARSE_TO_DENSE = "dense_to_sparse", "sparse_to_dense"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The arguments of `jaxreg.fit_path` that are not arrays, under the same names."""

    loss: Callable[[PyTree, PyTree], jax.Array]
    penalty: Callable[[Any], Penalties]
    optimizer: Callable[[Penalties], optax.GradientTransformation]
    epochs: int
    first_epochs: int | None = None
    batch_size: int | None = None
    mask: Mask = None
    order: str = DENSE_TO_SPARSE
    passes: int = 1
    restart: bool = False
    tolerance: float | None = None
    patience: int | None = None
    check_every: int | None = None
    metrics: Callable[[PyTree, PyTree], dict[str, Any]] | None = None
    stop: Callable[[PyTree], Any] | None = None
    refit_epochs: int = 0
    refit_optimizer: Callable[[Penalties], optax.GradientTransformation] | None = None

    @property
    def epochs_between_checks(self) -> int:
        """The epochs between two checks of tolerance and patience."""
        return self.check_every or (10 if self.batch_size is None else 1)

    def budgets(self, count: int) -> np.ndarray:
        """The most epochs for each of `count` strengths in ascending order, int32 (count,)."""
        budgets = np.full(count, self.epochs, np.int32)
        budgets[-1 if self.order == SPARSE_TO_DENSE else 0] = (
            self.epochs if self.first_epochs is None else self.first_epochs
        )
        return budgets

    def penalties(self, strength: Any, params: PyTree) -> PyTree:
        """The tree of penalties at one λ, with None for parameters that are not penalised."""
        assigned = assign("fit_path", self.penalty(strength), params, self.mask)
        return jax.tree.map(lambda own: own.penalty, assigned)

    def penalised(self, params: PyTree) -> PyTree:
        """A tree of bools: which parameters have a penalty."""
        assigned = assign("fit_path", self.penalty(1.0), params, self.mask)
        return jax.tree.map(lambda own: own.penalty is not None, assigned)

    def emptied(self, params: PyTree) -> jax.Array:
        """Whether all penalised parameters are 0."""
        pairs = zip(jax.tree.leaves(params), jax.tree.leaves(self.penalised(params)), strict=True)
        return ~jnp.any(jnp.stack([jnp.any(leaf != 0) for leaf, keep in pairs if keep]))


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows that one path sees.

    Attributes:
        train: a tree of arrays with the training rows along their first axis.
        validation: the same of the validation rows; None if there are none.
    """

    train: PyTree
    validation: PyTree | None


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
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        if not 2 <= folds <= rows:
            raise ValueError(
                f"{owner}: folds must be a whole number from 2 to {rows}, the rows, got {folds!r}"
            )
        places = np.random.default_rng(seed).permutation(rows)
        pairs: list[Any] = [
            (np.setdiff1d(places, part), part) for part in np.array_split(places, folds)
        ]
    elif isinstance(folds, str | bytes | bool) or not isinstance(folds, Iterable):
        raise TypeError(
            f"{owner}: folds must be a number, a label for each row, or pairs of indices, got "
            f"{folds!r}"
        )
    else:
        listed = list(folds)
        if listed and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in listed):
            pairs = [tuple(np.asarray(part) for part in pair) for pair in listed]
        else:
            labels = np.unique(np.asarray(listed), return_inverse=True)[1]
            if labels.shape != (rows,):
                raise ValueError(
                    f"{owner}: expected a label in folds for each of {rows} rows, got shape "
                    f"{labels.shape}"
                )
            pairs = [
                (np.flatnonzero(labels != one), np.flatnonzero(labels == one))
                for one in range(labels.max() + 1)
            ]
    if len(pairs) < 2:
        raise ValueError(f"{owner}: expected at least 2 folds, got {len(pairs)}")
    for number, pair in enumerate(pairs):
        for part in pair:
            if (
                part.ndim != 1
                or part.dtype.kind not in "iu"
                or not part.size
                or not 0 <= part.min() <= part.max() < rows
            ):
                raise ValueError(
                    f"{owner}: expected indices from 0 to {rows - 1} in fold {number}, at least "
                    "one to train on and one to "
                    f"hold out, got {part!r}"
                )
        if np.intersect1d(*pair).size:
            raise ValueError(
                f"{owner}: fold {number} holds out rows that it trains on, such as "
                f"{np.intersect1d(*pair)[0]}"
            )
    return [(trained.astype(np.int32), held_out.astype(np.int32)) for trained, held_out in pairs]
