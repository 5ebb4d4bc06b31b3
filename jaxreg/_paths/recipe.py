"""How a path is trained, and the rows that it is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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
        budgets[-1 if self.order == SPARSE_TO_DENSE else 0] = self.epochs if self.first_epochs is None else self.first_epochs
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
        ValueError: there is no array, one has no axis, their first axes differ, or there are no rows.
    """
    counts = {name_of(path): np.shape(leaf)[:1] for path, leaf in jax.tree_util.tree_leaves_with_path(rows)}
    if not counts or len(set(counts.values())) > 1 or () in counts.values():
        raise ValueError(f"{owner}: expected arrays with the same number of rows along their first axis, got {counts}")
    count = int(next(iter(counts.values()))[0])
    if not count:
        raise ValueError(f"{owner}: expected at least one row, got arrays without rows: {', '.join(counts)}")
    return count


def take_rows(rows: PyTree, places: Any) -> PyTree:
    """Takes rows of every array."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[places], rows)


def split_rows(owner: str, rows: int, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divides rows at random into folds of the same size.

    Returns:
        The rows that are trained on, and those that are held out, int32 (folds, …). What is left over is always trained on.

    Raises:
        ValueError: there are fewer than 2 folds, or more than rows.
    """
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or not 2 <= folds <= rows:
        raise ValueError(f"{owner}: folds must be a whole number from 2 to {rows}, the rows, got {folds!r}")
    places = np.random.default_rng(seed).permutation(rows)
    held_out = places[: rows // folds * folds].reshape(folds, -1).astype(np.int32)
    return np.stack([np.setdiff1d(places, part) for part in held_out]).astype(np.int32), held_out
