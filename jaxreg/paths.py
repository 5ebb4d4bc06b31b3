"""Regularization paths: the solutions for a whole grid of λ, each trained from its neighbour's, and
the choice of λ.

    def loss(params, rows): ...  # the mean over rows, without the penalty

    def optimizer(penalty):                                      # the penalty at one λ
        return jaxreg.prox_adam(1e-3, penalty)

    strengths = jaxreg.strength_grid(
        loss, params, data, jaxreg.L1, optimizer, mask=jaxreg.kernels, batch_size=64
    )
    path = jaxreg.fit_path(
        loss, params, data, jaxreg.L1, optimizer, strengths,
        epochs=2, first_epochs=60, batch_size=64, mask=jaxreg.kernels, validation=held_out,
    )
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
import optax

from jaxreg._checks import check_number
from jaxreg._masking import is_function
from jaxreg._paths.checks import check_options, check_path, check_results, kept_places
from jaxreg._paths.recipe import DENSE_TO_SPARSE, Recipe, Rows, row_count, split_rows, take_rows
from jaxreg._paths.results import CrossValidation, Path
from jaxreg._paths.selection import select_strength
from jaxreg._paths.training import initial, run
from jaxreg._sweep.grids import grid
from jaxreg._sweep.keys import on_host
from jaxreg._typing import Mask, Penalties, PyTree
from jaxreg.sweeps import sweep

__all__ = (
    "CrossValidation",
    "Path",
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
RECIPE_OPTIONS = {field.name for field in dataclasses.fields(Recipe)} - {
    "loss",
    "penalty",
    "optimizer",
    "patience",
}
SWEEP_OPTIONS = {"folder", "devices", "progress"}
GRID_OPTIONS = {"first_epochs", "batch_size", "mask", "restart", "key", "devices", "progress"}
"""Further arguments of `fit_path` that the other functions take."""


def fit_path(
    loss: Callable[[PyTree, PyTree], jax.Array],
    params: PyTree | Callable[[jax.Array], PyTree],
    data: PyTree,
    penalty: Callable[[Any], Penalties],
    optimizer: Callable[[Penalties], optax.GradientTransformation],
    strengths: Any,
    *,
    epochs: int,
    first_epochs: int | None = None,
    batch_size: int | None = None,
    mask: Mask = None,
    order: str = DENSE_TO_SPARSE,
    passes: int = 1,
    restart: bool = False,
    tolerance: float | None = None,
    patience: int | None = None,
    check_every: int | None = None,
    validation: PyTree = None,
    metrics: Callable[[PyTree, PyTree], dict[str, Any]] | None = None,
    stop: Callable[[PyTree], Any] | None = None,
    refit_epochs: int = 0,
    refit_optimizer: Callable[[Penalties], optax.GradientTransformation] | None = None,
    keep: str | Sequence[int] = "all",
    seeds: int | Sequence[int] | None = None,
    key: jax.Array | None = None,
    folder: str | os.PathLike[str] | None = None,
    devices: int | None = None,
    progress: bool | Callable[[int], None] | None = None,
) -> Path:
    """Minimises loss + penalty for a grid of strengths, each from its neighbour's solution.

    For linear models `jaxreg.fit_linear_path` is exact and faster.

        >>> import jax.numpy as jnp, jaxreg
        >>> def loss(w, rows):
        ...     return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2
        >>> data = {"x": jnp.array([[1.0, 0.0], [0.0, 1.0]]), "y": jnp.array([2.0, 1.0])}
        >>> def optimizer(penalty):
        ...     return jaxreg.prox_sgd(1.0, penalty)
        >>> strengths = jnp.array([0.1, 0.7, 1.0])
        >>> path = jaxreg.fit_path(
        ...     loss, jnp.zeros(2), data, jaxreg.L1, optimizer, strengths, epochs=50
        ... )
        >>> print(path.params.round(3))
        [[1.8 0.8]
         [0.6 0. ]
         [0.  0. ]]

    Args:
        loss: `loss(params, rows)`, the mean over rows without the penalty; a function that JAX can
            trace.
        params: where the first λ begins: a tree of arrays, or a function from a key to one, for
            seeds.
        data: a tree of arrays with the training rows along their first axis.
        penalty: from a strength to a penalty, such as `jaxreg.L1`, or to a tree of penalties.
        optimizer: from the penalties at one λ, a tree with None where `mask` leaves out, to an
            optimizer.
        strengths: λ (strengths,), strictly ascending, from 0 on.
        epochs: the most epochs for each λ. An epoch is a step for each batch, or a single step
            without `batch_size`.
        first_epochs: the most epochs for the λ that comes first, in the first pass; None takes
            `epochs`.
        batch_size: rows in a batch; the rows that are left over change from epoch to epoch. None
            takes all rows in one step.
        mask: which parameters to penalise, as for `optax.masked`.
        order: "dense_to_sparse" begins with the smallest λ, "sparse_to_dense" with the largest.
        passes: 2 and more go over all λ again in the opposite direction, and keep at each what has
            the lower objective. The training begins at the better of what was found there and what
            was found at the neighbour.
        restart: whether the optimizer's state, and with it every schedule, begins anew at each λ.
        tolerance: a λ ends once the KKT residual on all rows is at most tolerance·λ.
        patience: a λ ends once the validation loss has not improved for this many epochs.
        check_every: epochs between two checks of tolerance and patience; None takes 1, or 10
            without `batch_size`.
        validation: rows like those of `data` that are not trained on.
        metrics: `metrics(params, rows)`, a dict of scalars, evaluated on the validation rows, or on
            `data` without any.
        stop: `stop(params)`, a scalar bool; the strengths after the first one where it is true are
            left out, and hold NaN, or −1 for counts.
        refit_epochs: how long to train the solution of each λ further with penalty(0) and its zeros
            held.
        refit_optimizer: as `optimizer`, for refitting; None takes `optimizer`.
        keep: the strengths whose parameters are kept, "all", "none" or indices.
        seeds: how many paths with different keys, or a list of seeds, as for `jaxreg.sweep`.
        key: instead of seeds, of the one path; default `jax.random.key(0)`.
        folder: where finished paths are saved; the same call resumes from there.
        devices: how many devices to use, as for `jaxreg.sweep`.
        progress: as for `jaxreg.sweep`, with paths as runs.

    Returns:
        The solutions and their numbers.

    Raises:
        TypeError: a function or a number has the wrong type.
        ValueError: the strengths are empty, negative or not ascending, a number is out of range,
            the penalties charge nothing or are not used by the optimizer, `patience` comes without
            validation rows, or the loss at the first λ is not finite.

    Warns: UserWarning: the budget of epochs ended before the tolerance was met; or the loss was not
        finite later on.
    """
    recipe = Recipe(
        loss, penalty, optimizer, epochs, first_epochs, batch_size, mask, order, passes, restart,
        tolerance, patience,
        check_every, metrics, stop, refit_epochs, refit_optimizer,
    )  # fmt: skip
    strengths = check_path("fit_path", recipe, params, strengths, data, validation)
    kept = kept_places("fit_path", keep, strengths.size)
    shared = {
        "train": data, "validation": validation, "start": None if is_function(params) else params,
        "strengths": strengths, "budgets": recipe.budgets(strengths.size),
    }  # fmt: skip

    def one_path(key: jax.Array, hyperparams: Any, data: Any) -> dict[str, Any]:
        del hyperparams
        return run(recipe, params, key, Rows(data["train"], data["validation"]), data, kept)

    runs = sweep(
        one_path, grid(path=np.zeros(1, np.int32)), shared, seeds=seeds, key=key, folder=folder,
        devices=devices, chunk=1,
        progress=progress, diverged=lambda _: False,
    )  # fmt: skip
    outputs = jax.tree.map(lambda leaf: leaf[0], runs.outputs)
    check_results("fit_path", outputs["record"], strengths, order, tolerance)
    seed_numbers = None if seeds is None else np.asarray(runs.grid.axes["seed"])
    return Path(
        strengths,
        outputs.get("params"),
        outputs.get("refitted"),
        outputs["record"],
        kept,
        seed_numbers,
    )


def cross_validate_path(
    loss: Callable[[PyTree, PyTree], jax.Array],
    params: PyTree | Callable[[jax.Array], PyTree],
    data: PyTree,
    penalty: Callable[[Any], Penalties],
    optimizer: Callable[[Penalties], optax.GradientTransformation],
    strengths: Any,
    *,
    folds: int | Iterable[Any] = 5,
    seeds: int | Sequence[int] = 1,
    split_seed: int = 0,
    **options: Any,
) -> CrossValidation:
    """Fits a path without each fold of the rows and scores it on that fold; all folds of one size
    and seeds are one sweep.

        >>> import jax, jax.numpy as jnp, jaxreg
        >>> def loss(w, rows):
        ...     return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2
        >>> x = jax.random.normal(jax.random.key(0), (40, 3))
        >>> data = {"x": x, "y": x[:, 0] + 0.1 * jax.random.normal(jax.random.key(1), (40,))}
        >>> scores = jaxreg.cross_validate_path(
        ...     loss, jnp.zeros(3), data, jaxreg.L1, lambda penalty: jaxreg.prox_sgd(0.3, penalty),
        ...     jnp.geomspace(0.01, 1, 5), epochs=100, folds=4,
        ... )
        >>> scores.select("one_se") >= scores.select("best")
        True

    Args:
        loss: as for `fit_path`.
        params: as for `fit_path`.
        data: as for `fit_path`.
        penalty: as for `fit_path`.
        optimizer: as for `fit_path`.
        strengths: as for `fit_path`.
        folds: how many parts the rows are divided into at random, at least 2, of sizes that differ
            by at most 1; or a label for each row, or pairs of indices, as for
            `cross_validate_linear_path`. Each size is a program of its own.
        seeds: how many paths for each fold, or a list of seeds.
        split_seed: of the random division.
        **options: further arguments of `fit_path`, but for `validation`, `keep`, `key` and
            `patience`, which would end the training on the rows that score it.

    Returns:
        The scores.

    Raises:
        TypeError: as for `fit_path`.
        ValueError: as for `fit_path`; or there are fewer than 2 folds, or folds that do not fit the
            rows.
    """
    check_options("cross_validate_path", options, RECIPE_OPTIONS | SWEEP_OPTIONS)
    own = {name: value for name, value in options.items() if name in RECIPE_OPTIONS}
    others = {name: value for name, value in options.items() if name in SWEEP_OPTIONS}
    recipe = Recipe(loss, penalty, optimizer, **own)
    count = row_count("cross_validate_path", data)
    data = on_host(data)
    parts = split_rows("cross_validate_path", count, folds, split_seed)
    strengths = check_path(
        "cross_validate_path",
        recipe,
        params,
        strengths,
        *(take_rows(data, rows) for rows in parts[0]),
    )
    nothing = np.zeros(0, int)

    def one_path(key: jax.Array, hyperparams: Any, data: Any) -> dict[str, Any]:
        train, validation = (
            take_rows(data["rows"], data[part][hyperparams["fold"]])
            for part in ("trained", "held_out")
        )
        return run(recipe, params, key, Rows(train, validation), data, nothing)

    # The loss is the user's mean over rows, which no rows may fill up: folds of one size are one
    # program.
    sizes = sorted({(len(trained), len(held_out)) for trained, held_out in parts})
    outputs: list[Any] = [None] * len(parts)
    for size in sizes:
        places = [place for place, pair in enumerate(parts) if tuple(map(len, pair)) == size]
        shared = {
            "rows": data, "start": None if is_function(params) else params,
            "strengths": strengths, "budgets": recipe.budgets(strengths.size),
            **{part: np.stack([parts[at][side] for at in places]) for side,
            part in enumerate(("trained", "held_out"))},
        }  # fmt: skip
        if others.get("folder") is not None and len(sizes) > 1:
            others["folder"] = os.path.join(options["folder"], "-".join(map(str, size)))
        runs = sweep(
            one_path, grid(fold=np.arange(len(places), dtype=np.int32)), shared, seeds=seeds,
            chunk=1,
            diverged=lambda _: False, **others,
        )  # fmt: skip
        for number, place in enumerate(places):
            outputs[place] = jax.tree.map(
                lambda leaf, number=number: np.asarray(leaf[number]), runs.outputs["record"]
            )
    record = jax.tree.map(lambda *leaves: np.stack(leaves), *outputs)
    check_results("cross_validate_path", record, strengths, recipe.order, recipe.tolerance)
    return CrossValidation(strengths, record)


def strength_grid(
    loss: Callable[[PyTree, PyTree], jax.Array],
    params: PyTree | Callable[[jax.Array], PyTree],
    data: PyTree,
    penalty: Callable[[Any], Penalties],
    optimizer: Callable[[Penalties], optax.GradientTransformation],
    *,
    count: int = 100,
    ratio: float = 1e-3,
    start: float = 1e-6,
    epochs: int = 5,
    **options: Any,
) -> np.ndarray:
    """Finds a geometric grid up to where nothing is worth its penalty, by doubling λ from `start`.

    λ doubles until all penalised parameters are 0. The grid ends at the first λ from which on these
    zeros have the lower objective, among those tried. Under L1 little is left there; under a
    concave penalty training can keep weights for longer than they are worth it.

    Args:
        loss: as for `fit_path`.
        params: as for `fit_path`.
        data: as for `fit_path`.
        penalty: as for `fit_path`.
        optimizer: as for `fit_path`.
        count: number of strengths.
        ratio: of the smallest strength to the largest, in (0, 1).
        start: the first strength that is tried.
        epochs: the most epochs for each strength that is tried as λ doubles, and more around the
            end, where it grows more slowly.
        **options: further arguments of `fit_path`: `first_epochs`, `batch_size`, `mask`, `restart`,
            `key`, `devices`.

    Returns:
        Strengths (count,), ascending, float64.

    Raises:
        TypeError: as for `fit_path`.
        ValueError: as for `fit_path`; or all parameters are 0 at `start` already, or some do not
            become 0 within `DOUBLINGS` doublings, as under squared L2.
    """
    check_number("strength_grid", "start", start, positive=True, scalar=True)
    if not isinstance(count, int) or count < 2 or not 0 < ratio < 1:
        raise ValueError(
            f"strength_grid: expected count ≥ 2 and ratio in (0, 1), got count={count!r} and "
            f"ratio={ratio!r}"
        )

    check_options("strength_grid", options, GRID_OPTIONS)

    empty = Recipe(loss, penalty, optimizer, epochs, mask=options.get("mask")).emptied

    def search(tried: np.ndarray, begin: Any, epochs: int, options: dict[str, Any]) -> Path:
        return fit_path(
            loss, begin, data, penalty, optimizer, tried, epochs=epochs, stop=empty, **options
        )

    def worth(path: Path) -> np.ndarray:
        """The places of the strengths at which what is left is worth its penalty."""
        return np.flatnonzero(
            (path.record["nonzeros"] > 0) & (path.record["objective"] < objective)
        )

    # Both searches begin at parameters, with as many strengths, so that they are one compiled
    # program.
    begin = initial(params, options.get("key")) if is_function(params) else params
    tried = start * 2.0 ** np.arange(DOUBLINGS)
    path = search(tried, begin, epochs, options)
    left = path.record["nonzeros"]
    if not np.any(left == 0):
        raise ValueError(
            f"strength_grid: expected the penalised parameters to become 0, got {left.min()} that "
            "do not up to strength "
            f"{tried[-1]:.3g}; squared L2 makes none 0, and small learning rates need more "
            "epochs. Pass a larger start or "
            "more epochs, or write the grid down yourself"
        )
    if left[0] == 0:
        raise ValueError(
            f"strength_grid: expected a start at which some weights are not 0, got {start:g}, "
            "where all are 0; pass a "
            "smaller one"
        )
    emptied = int(np.argmax(left == 0))
    objective = float(path.record["objective"][emptied])
    last = max(worth(path), default=0)
    # While λ doubles quickly, the weights lag behind it. So it grows more slowly from the last
    # strength that is worth it. After that λ leaps, which empties what is left, and with it ends
    # the search.
    doublings = np.arange(DOUBLINGS + 1) / FINER
    finer = tried[last] * 2 ** np.where(
        doublings <= AFTER, doublings, AFTER + 2 * FINER * (doublings - AFTER)
    )
    slower = search(finer[:-1], path.at(last), SLOWER * epochs, {**options, "first_epochs": None})
    largest = finer[max(worth(slower), default=-1) + 1]
    return np.geomspace(largest * ratio, largest, count)
