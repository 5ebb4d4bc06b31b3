"""The programs that solve the paths of all folds, and measure what came out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxreg._duality import conjugate, gap_below
from jaxreg._linear.path import Progress, Settings, Solver
from jaxreg._typing import PyTree
from jaxreg.penalties import Penalty


class Data(NamedTuple):
    """What a model is fitted to.

    Attributes:
        x: (rows, blocks, size).
        y: targets (rows,).
        trained: the rows of each fold (folds, rows of a fold); None for one fold of all rows.
        held_out: the other rows of each fold; None if there are none.
    """

    x: jax.Array
    y: jax.Array
    trained: jax.Array | None
    held_out: jax.Array | None


def fold_of(settings: Settings, data: Data, rows: jax.Array | None) -> tuple[Solver, jax.Array]:
    """The solver for some rows, and the means (blocks, size) that were subtracted from their columns."""
    x, y = (data.x, data.y) if rows is None else (data.x[rows], data.y[rows])
    columns = jnp.moveaxis(x, 0, -1)
    means = jnp.mean(columns, -1) if settings.intercept else jnp.zeros(columns.shape[:-1], columns.dtype)
    return Solver(settings, columns - means[..., None], y), means


def over_folds(function: Callable[..., Any], data: Data, *mapped: Any) -> Any:
    """Calls `function(rows, held_out, *mapped)` for every fold, one after the other."""
    if data.trained is None:
        first = jax.tree.map(lambda leaf: leaf[0], mapped)
        return jax.tree.map(lambda leaf: leaf[None], function(None, None, *first))
    return jax.lax.map(lambda at: function(*at), (data.trained, data.held_out, *mapped))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def begin(settings: Settings, folds: int, count: int, data: Data) -> tuple[Progress, jax.Array]:
    """Where the paths of all folds begin, and the gradient (blocks, size) there for all rows."""
    blocks, size = data.x.shape[1:]
    zeros = functools.partial(jnp.zeros, dtype=data.x.dtype)

    def empty(rows: jax.Array | None, _: Any) -> tuple[Progress, jax.Array]:
        solver, _ = fold_of(settings, data, rows)
        z = jnp.zeros_like(solver.y)
        intercept = settings.functions.balance(z, solver.y) if settings.intercept else zeros(())
        counts = jnp.zeros(count, jnp.int32)
        start = (zeros((blocks, size)), intercept)
        progress = Progress(counts[0], zeros((count, blocks, size)), zeros(count), counts, zeros(count), start)
        return progress, solver.slopes(z + intercept)[0]

    progress, gradients = over_folds(empty, data)
    return progress, gradients


@functools.partial(jax.jit, static_argnums=0, donate_argnums=4)
def advance(settings: Settings, data: Data, penalties: PyTree, tols: jax.Array, progress: Progress) -> Progress:
    """Solves as many λ of every fold as the capacity of its working sets allows."""

    def one(rows: jax.Array | None, _: Any, progress: Progress) -> Progress:
        return fold_of(settings, data, rows)[0].run(penalties, tols, progress)

    return over_folds(one, data, progress)


@functools.partial(jax.jit, static_argnums=0)
def measure(
    settings: Settings, data: Data, penalties: PyTree, progress: Progress, validation: tuple[jax.Array, jax.Array] | None
) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    """Measures the solutions on the data as they came.

    Returns:
        Intercepts for columns that are not centred (folds, strengths), and numbers by name, each (folds, strengths).
    """
    loss = settings.functions

    def one(rows: jax.Array | None, held_out: jax.Array | None, progress: Progress) -> Any:
        solver, means = fold_of(settings, data, rows)
        y = solver.y

        def at(penalty: Penalty, w: jax.Array, z: jax.Array) -> dict[str, jax.Array]:
            value, charged = loss.value(z, y), penalty.value(w)
            gradient, unbalanced = solver.slopes(z)
            residual = jnp.maximum(jnp.max(penalty.violation(w, gradient)), jnp.abs(unbalanced) * settings.intercept)
            balanced = z + loss.balance(z, y) if settings.intercept else z
            slope = loss.slope(balanced, y)
            known = conjugate(penalty, solver.columns @ slope, "w")
            gap = gap_below(value + charged, loss, slope, y, [known])
            return {"objective": value + charged, "loss": value, "gap": gap, "residual": residual, "nonzeros": jnp.sum(w != 0)}

        z = jnp.einsum("lbs,bsn->ln", progress.w, solver.columns) + progress.intercepts[:, None]
        record = jax.vmap(at)(penalties, progress.w, z)
        intercepts = progress.intercepts - jnp.einsum("lbs,bs->l", progress.w, means)
        tested = validation if held_out is None else (data.x[held_out], data.y[held_out])
        if tested is not None:
            predictions = jnp.einsum("lbs,nbs->ln", progress.w, tested[0]) + intercepts[:, None]
            record["validation_loss"] = jax.vmap(loss.value, (0, None))(predictions, tested[1])
        return intercepts, record

    return over_folds(one, data, progress)
