"""Regularization paths: the solutions for a whole grid of λ, each trained from its neighbour's, and
the choice of λ.

    def loss(params, rows): ...  # the mean over rows, without the penalty

    recipe = jaxreg.Recipe(
        loss, params, jaxreg.L1, lambda penalty: jaxreg.prox_adam(1e-3, penalty),
        mask=jaxreg.kernels, epochs=2, first_epochs=60, batch_size=64,
    )
    strengths = jaxreg.strength_grid(recipe, data)
    path = jaxreg.fit_path(recipe, data, strengths, validation=held_out)
    print(path)
    params = path.at(path.select())

Linear models have solutions that are exact, and a grid that is known: `jaxreg.fit_linear_path`.

All λ are trained in one compiled program, which takes the data as arguments; seeds and folds are
runs of `jaxreg.sweep`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jaxreg._checks import check_number
from jaxreg._paths.recipe import DENSE_TO_SPARSE, Recipe
from jaxreg._paths.results import (
    CrossValidation,
    RegularizationPath,
    check_results,
    select_strength,
)
from jaxreg._paths.rows import row_count, split_rows, take_rows
from jaxreg._paths.training import constants, initial, run
from jaxreg._sweep.grids import grid
from jaxreg._sweep.keys import on_host
from jaxreg._typing import PyTree
from jaxreg.sweeps import sweep

__all__ = (
    "CrossValidation",
    "Recipe",
    "RegularizationPath",
    "cross_validate_path",
    "fit_path",
    "select_strength",
    "strength_grid",
)

DOUBLINGS = 40
"""How many strengths `strength_grid` tries."""
FINER, AFTER, SLOWER = 4, 4, 4
"""In how many steps λ doubles in the second search, after how many doublings it ends, and with how
many times the epochs.
"""


def fit_path(
    recipe: Recipe,
    data: PyTree,
    strengths: Any,
    *,
    validation: PyTree = None,
    keep: Sequence[int] | None = None,
    seeds: int | Sequence[int] | None = None,
    key: jax.Array | None = None,
    folder: str | os.PathLike[str] | None = None,
    devices: int | None = None,
    progress: bool | Callable[[int], None] | None = None,
) -> RegularizationPath:
    """Minimises loss + penalty for a grid of strengths, each from its neighbour's solution.

    For linear models `jaxreg.fit_linear_path` is exact and faster.

        >>> import jax.numpy as jnp, jaxreg
        >>> def loss(w, rows):
        ...     return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2
        >>> data = {"x": jnp.array([[1.0, 0.0], [0.0, 1.0]]), "y": jnp.array([2.0, 1.0])}
        >>> recipe = jaxreg.Recipe(
        ...     loss, jnp.zeros(2), jaxreg.L1, lambda penalty: jaxreg.prox_sgd(1.0, penalty),
        ...     epochs=50,
        ... )
        >>> path = jaxreg.fit_path(recipe, data, jnp.array([0.1, 0.7, 1.0]))
        >>> print(path.params.round(3))
        [[1.8 0.8]
         [0.6 0. ]
         [0.  0. ]]

    Args:
        recipe: how to train.
        data: a tree of arrays with the training rows along their first axis.
        strengths: λ (strengths,), strictly ascending, from 0 on.
        validation: rows like those of `data` that are not trained on.
        keep: indices of the strengths whose parameters are returned; None for all.
        seeds: how many paths with different keys, or a list of seeds, as for `jaxreg.sweep`.
        key: instead of seeds, of the one path; default `jax.random.key(0)`.
        folder: where finished paths are saved; the same call resumes from there.
        devices: how many devices to use, as for `jaxreg.sweep`.
        progress: as for `jaxreg.sweep`, with paths as runs.

    Returns:
        The solutions and their numbers.

    Raises:
        TypeError: strengths are not numbers, or a function of the recipe returns the wrong type.
        ValueError: the strengths are empty, negative or not ascending, rows are missing or do not
            fit the recipe, the optimizer does not use the penalties, or the loss at the first λ is
            not finite.

    Warns:
        UserWarning: the budget of epochs ended before the tolerance was met; or the loss was not
            finite later on.
    """
    options = {"seeds": seeds, "key": key, "folder": folder, "devices": devices}
    return train("fit_path", recipe, data, strengths, validation, keep, progress, options)


def train(
    owner: str, recipe: Recipe, data: PyTree, strengths: Any, validation: PyTree,
    keep: Sequence[int] | None, progress: Any, options: dict[str, Any],
) -> RegularizationPath:  # fmt: skip
    """Does what `fit_path` does, for a function of this name."""
    strengths = check_strengths(owner, strengths)
    places = check_keep(owner, keep, strengths.size)
    recipe.check_rows(owner, data, validation, bool(strengths.any()))

    def run_path(key: jax.Array, hyperparams: Any, data: Any) -> dict[str, Any]:
        del hyperparams
        return run(recipe, key, data["train"], data["validation"], data, places)

    shared = {"train": data, "validation": validation, **constants(recipe, strengths)}
    runs = sweep(
        run_path, grid(path=np.zeros(1, np.int32)), shared, chunk=1, progress=progress,
        diverged=lambda _: False, **options,
    )  # fmt: skip
    outputs = jax.tree.map(lambda leaf: leaf[0], runs.outputs)
    check_results(owner, recipe, outputs["record"], strengths)
    seeds = None if options.get("seeds") is None else np.asarray(runs.grid.axes["seed"])
    return RegularizationPath(
        strengths, outputs.get("params"), outputs.get("refitted"), outputs["record"], places, seeds
    )


def cross_validate_path(
    recipe: Recipe,
    data: PyTree,
    strengths: Any,
    *,
    folds: int | Iterable[Any] = 5,
    split_seed: int = 0,
    seeds: int | Sequence[int] = 1,
    folder: str | os.PathLike[str] | None = None,
    devices: int | None = None,
    progress: bool | Callable[[int], None] | None = None,
) -> CrossValidation:
    """Fits a path without each fold of the rows and scores it on that fold; all folds of one size
    and seeds are one sweep.

        >>> import jax, jax.numpy as jnp, jaxreg
        >>> def loss(w, rows):
        ...     return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2
        >>> x = jax.random.normal(jax.random.key(0), (40, 3))
        >>> data = {"x": x, "y": x[:, 0] + 0.1 * jax.random.normal(jax.random.key(1), (40,))}
        >>> recipe = jaxreg.Recipe(
        ...     loss, jnp.zeros(3), jaxreg.L1, lambda penalty: jaxreg.prox_sgd(0.3, penalty),
        ...     epochs=100,
        ... )
        >>> scores = jaxreg.cross_validate_path(recipe, data, jnp.geomspace(0.01, 1, 5), folds=4)
        >>> scores.select("one_se") >= scores.select("best")
        True

    Args:
        recipe: how to train, without `patience`, which would end the training on the rows that
            score it.
        data: as for `fit_path`.
        strengths: as for `fit_path`.
        folds: how many parts the rows are divided into at random, at least 2, of sizes that differ
            by at most 1; or a label for each row, or pairs of indices, as for
            `cross_validate_linear_path`. Each size is a program of its own.
        split_seed: of the random division.
        seeds: how many paths for each fold, or a list of seeds.
        folder: as for `fit_path`.
        devices: as for `fit_path`.
        progress: as for `fit_path`.

    Returns:
        The scores.

    Raises:
        TypeError: as for `fit_path`.
        ValueError: as for `fit_path`; or the recipe has a patience, there are fewer than 2 folds,
            or folds that do not fit the rows.

    Warns:
        UserWarning: as for `fit_path`.
    """
    owner = "cross_validate_path"
    strengths = check_strengths(owner, strengths)
    if recipe.patience is not None:
        raise ValueError(
            f"{owner}: expected a recipe without patience, which would end the training on the "
            f"rows that score it, got {recipe.patience}; pass "
            "dataclasses.replace(recipe, patience=None)"
        )
    folded = split_rows(owner, row_count(owner, data), folds, split_seed)
    data = on_host(data)
    train_rows, test_rows = (take_rows(data, rows) for rows in folded[0])
    recipe.check_rows(owner, train_rows, test_rows, bool(strengths.any()))
    nothing = np.zeros(0, int)

    def run_path(key: jax.Array, hyperparams: Any, data: Any) -> dict[str, Any]:
        train, validation = (
            take_rows(data["rows"], data[part][hyperparams["fold"]])
            for part in ("trained", "held_out")
        )
        return run(recipe, key, train, validation, data, nothing)

    # The loss is the user's mean over rows, which no rows may fill up: folds of one size are one
    # program.
    sizes = [tuple(map(len, pair)) for pair in folded]
    outputs: list[Any] = [None] * len(folded)
    for size in sorted(set(sizes)):
        places = [place for place, other in enumerate(sizes) if other == size]
        trained, held_out = (np.stack([folded[at][side] for at in places]) for side in (0, 1))
        shared = {"rows": data, "trained": trained, "held_out": held_out}
        if folder is not None and len(set(sizes)) > 1:
            part: str | os.PathLike[str] | None = os.path.join(folder, "-".join(map(str, size)))
        else:
            part = folder
        runs = sweep(
            run_path,
            grid(fold=np.arange(len(places), dtype=np.int32)),
            shared | constants(recipe, strengths),
            seeds=seeds,
            folder=part,
            devices=devices,
            chunk=1,
            progress=progress,
            diverged=lambda _: False,
        )
        for number, place in enumerate(places):
            outputs[place] = jax.tree.map(
                lambda leaf, number=number: np.asarray(leaf[number]), runs.outputs["record"]
            )
    record = jax.tree.map(lambda *leaves: np.stack(leaves), *outputs)
    check_results(owner, recipe, record, strengths)
    return CrossValidation(strengths, record)


def strength_grid(
    recipe: Recipe,
    data: PyTree,
    *,
    count: int = 100,
    ratio: float = 1e-3,
    start: float = 1e-6,
    epochs: int | None = None,
    key: jax.Array | None = None,
    devices: int | None = None,
) -> np.ndarray:
    """Finds a geometric grid up to where nothing is worth its penalty, by doubling λ from `start`.

    λ doubles until all penalised parameters are 0. The grid ends at the first λ from which on these
    zeros have the lower objective, among those tried. Under L1 little is left there; under a
    concave penalty training can keep weights for longer than they are worth it.

    Args:
        recipe: how to train; `order`, `passes`, `patience`, `stop` and refitting have no effect.
        data: as for `fit_path`.
        count: number of strengths.
        ratio: of the smallest strength to the largest, in (0, 1).
        start: the first strength that is tried.
        epochs: the most epochs for each strength that is tried as λ doubles, and four times as many
            around the end, where it grows more slowly; None takes the recipe's, at least 5.
        key: as for `fit_path`.
        devices: as for `fit_path`.

    Returns:
        Strengths (count,), ascending, float64.

    Raises:
        TypeError: as for `fit_path`.
        ValueError: as for `fit_path`; or all parameters are 0 at `start` already, or some do not
            become 0 within 40 doublings, as under squared L2.
    """
    owner = "strength_grid"
    check_number(owner, "start", start, positive=True, scalar=True)
    check_grid(owner, count, ratio)
    # Both searches begin at parameters, with as many strengths, so that they are one compiled
    # program.
    search = dataclasses.replace(
        recipe, params=initial(recipe, key), epochs=epochs or max(5, recipe.epochs),
        order=DENSE_TO_SPARSE, passes=1, patience=None, metrics=None,
        stop=recipe.emptied, refit_epochs=0,
    )  # fmt: skip

    def try_strengths(recipe: Recipe, tried: np.ndarray) -> RegularizationPath:
        options = {"key": key, "devices": devices}
        return train(owner, recipe, data, tried, None, None, False, options)

    tried = start * 2.0 ** np.arange(DOUBLINGS)
    path = try_strengths(search, tried)
    left = path.record["nonzeros"]
    if not np.any(left == 0):
        raise ValueError(
            f"{owner}: expected the penalised parameters to become 0, got {left.min()} that do not "
            f"up to strength {tried[-1]:.3g}; squared L2 makes none 0, and small learning rates "
            "need more epochs. Pass a larger start or more epochs, or write the grid down yourself"
        )
    if left[0] == 0:
        raise ValueError(
            f"{owner}: expected a start at which some weights are not 0, got {start:g}, where all "
            "are 0; pass a smaller one"
        )
    emptied = int(np.argmax(left == 0))
    objective = float(path.record["objective"][emptied])

    def last_worth(path: RegularizationPath, default: int) -> int:
        """The place of the largest strength at which what is left is worth its penalty."""
        worth = (path.record["nonzeros"] > 0) & (path.record["objective"] < objective)
        return int(max(np.flatnonzero(worth), default=default))

    last = last_worth(path, 0)
    # While λ doubles quickly, the weights lag behind it. So it grows more slowly from the last
    # strength that is worth it. After that λ leaps, which empties what is left, and with it ends
    # the search.
    doublings = np.arange(DOUBLINGS + 1) / FINER
    finer = tried[last] * 2 ** np.where(
        doublings <= AFTER, doublings, AFTER + 2 * FINER * (doublings - AFTER)
    )
    slower = dataclasses.replace(
        search, params=path.at(last), epochs=SLOWER * search.epochs, first_epochs=None
    )
    largest = finer[last_worth(try_strengths(slower, finer[:-1]), -1) + 1]
    return np.geomspace(largest * ratio, largest, count)


def check_strengths(owner: str, strengths: Any) -> np.ndarray:
    """Returns a grid of strengths in float64.

    Raises:
        TypeError: they are not numbers.
        ValueError: there is none, or they are not finite, not from 0 on or not strictly ascending.
    """
    array = np.asarray(strengths) if isinstance(strengths, list | tuple) else strengths
    check_number(owner, "strengths", array)
    values = np.asarray(array, float)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"{owner}: expected strengths of shape (strengths,) with at least one, got shape "
            f"{values.shape}; pass jnp.geomspace(1e-5, 1e-2, 50), say"
        )
    if np.any(np.diff(values) <= 0):
        raise ValueError(
            f"{owner}: strengths must be strictly ascending, got {strengths!r}; sort them, as "
            "np.unique does"
        )
    return values


def check_grid(owner: str, count: int, ratio: float) -> None:
    """Raises a ValueError unless these describe a geometric grid."""
    if not isinstance(count, int | np.integer) or count < 2 or not 0 < ratio < 1:
        raise ValueError(
            f"{owner}: expected count ≥ 2 and ratio in (0, 1), got count={count!r} and "
            f"ratio={ratio!r}"
        )


def check_keep(owner: str, keep: Sequence[int] | None, count: int) -> np.ndarray:
    """Returns indices of strengths, ascending; raises a ValueError if they are none."""
    places = np.asarray(range(count) if keep is None else keep)
    integers = places.ndim == 1 and (places.dtype.kind in "iu" or not places.size)
    if not integers or np.any((places < -count) | (places >= count)):
        raise ValueError(
            f"{owner}: keep must be a list of indices from {-count} to {count - 1}, got {keep!r}"
        )
    return np.unique(places.astype(int) % count)
