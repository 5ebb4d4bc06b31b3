"""Training at one λ after another in one program: what `jaxreg.sweep` runs for each seed and each
fold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._masking import is_function
from jaxreg._paths.checks import check_metrics, check_stop
from jaxreg._paths.recipe import SPARSE_TO_DENSE, Recipe, Rows, row_count, take_rows
from jaxreg._typing import PyTree
from jaxreg.measures import kkt_residual, penalty_value, sparsity
from jaxreg.pruning import hold_zeros

REFIT = 2**31 - 1
"""Folded into keys for refitting and for further passes; epochs and strengths have smaller
numbers.
"""


class At(NamedTuple):
    """One λ of a path.

    Attributes:
        strength: λ.
        budget: the most epochs, an int32 scalar.
        key: of the order of rows.
    """

    strength: Any
    budget: Any
    key: jax.Array


class Start(NamedTuple):
    """Where the training at the next λ begins, and whether it is left out."""

    params: PyTree
    state: PyTree
    stopped: jax.Array


class Training(NamedTuple):
    """The state of the training at one λ.

    Attributes:
        params: the parameters.
        state: of the optimizer.
        epoch: number of epochs so far.
        done: whether the tolerance or the patience ends it.
        best: the lowest validation loss so far.
        waited: epochs since then.
    """

    params: PyTree
    state: PyTree
    epoch: jax.Array
    done: jax.Array
    best: jax.Array
    waited: jax.Array


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Trains one path.

    Attributes:
        recipe: how.
        rows: on which rows.
    """

    recipe: Recipe
    rows: Rows

    def fit_all(
        self, params: PyTree, strengths: jax.Array, budgets: jax.Array, key: jax.Array
    ) -> dict[str, Any]:
        """Trains at every λ, each time from the solution at the λ before.

        Args:
            params: where the first λ begins.
            strengths: λ (strengths,), ascending.
            budgets: the most epochs for each λ, int32 (strengths,).
            key: of the order of rows.

        Returns:
            What `fit` recorded, with the strengths along the first axis, and `fitted`, which is
            False for a λ after `stop`.
        """
        optimizer = self.recipe.optimizer(self.recipe.penalties(strengths[0], params))
        first = Start(params, optimizer.init(params), jnp.asarray(False))
        backwards = self.recipe.order == SPARSE_TO_DENSE
        places = jnp.arange(strengths.size)

        def points(key: jax.Array, budgets: jax.Array) -> At:
            return At(strengths, budgets, jax.vmap(jax.random.fold_in, (None, 0))(key, places))

        if self.recipe.passes == 1:
            return jax.lax.scan(self.visit, first, points(key, budgets), reverse=backwards)[1]

        def one_pass(
            carry: tuple[Start, PyTree], turn: jax.Array
        ) -> tuple[tuple[Start, PyTree], None]:
            start, before = carry
            turn_key = jax.random.fold_in(jax.random.fold_in(key, REFIT), turn)
            at = choose(
                turn == 0,
                points(key, budgets),
                points(turn_key, jnp.full_like(budgets, self.recipe.epochs)),
            )
            downwards = (turn % 2 == 1) != backwards
            order = jnp.where(downwards, places[::-1], places)
            last, record = jax.lax.scan(
                self.improve, start, jax.tree.map(lambda leaf: leaf[order], (at, before))
            )
            # Reversing is its own inverse.
            return (last, jax.tree.map(lambda leaf: leaf[order], record)), None

        # All passes are the same loop, which is compiled once: the first improves on results that
        # diverged.
        shapes = jax.eval_shape(
            self.visit, first, jax.tree.map(lambda leaf: leaf[0], points(key, budgets))
        )[1]
        nothing = jax.tree.map(
            lambda shape: jnp.broadcast_to(missing(shape), (strengths.size, *shape.shape)), shapes
        )
        nothing |= {
            "epochs": jnp.zeros_like(nothing["epochs"]),
            "fitted": jnp.ones_like(nothing["fitted"]),
        }
        return jax.lax.scan(one_pass, (first, nothing), jnp.arange(self.recipe.passes))[0][1]

    def visit(self, start: Start, at: At) -> tuple[Start, dict[str, Any]]:
        """Fits one λ unless the path was stopped before."""

        def left_out(start: Start, at: At) -> tuple[Start, dict[str, Any]]:
            shapes = jax.eval_shape(self.fit, start, at)[1]
            return start, jax.tree.map(missing, shapes)

        if self.recipe.stop is None:
            after, record = self.fit(start, at)
        else:
            after, record = jax.lax.cond(start.stopped, left_out, self.fit, start, at)
        return after, {**record, "fitted": ~start.stopped}

    def improve(
        self, start: Start, entry: tuple[At, dict[str, Any]]
    ) -> tuple[Start, dict[str, Any]]:
        """Trains one λ again and keeps the result if its objective is lower.

        The training begins at the better of two points: what was found before, and what was found
        at the neighbour.
        """
        at, before = entry
        diverged = ~jnp.isfinite(before["objective"])
        lower = self.objective(start.params, at.strength) < before["objective"]
        after, found = self.fit(
            start._replace(params=choose(lower | diverged, start.params, before["params"])), at
        )
        found = {**found, "fitted": before["fitted"]}
        kept = choose((found["objective"] < before["objective"]) | diverged, found, before)
        kept["epochs"] = before["epochs"] + found["epochs"]
        better = choose(jnp.isfinite(kept["objective"]), kept["params"], after.params)
        return after._replace(params=better), kept

    def fit(self, start: Start, at: At) -> tuple[Start, dict[str, Any]]:
        """Trains at one λ from a neighbour's solution, and measures the result."""
        penalties = self.recipe.penalties(at.strength, start.params)
        optimizer = self.recipe.optimizer(penalties)
        state = optimizer.init(start.params) if self.recipe.restart else start.state
        ended = self.train(optimizer, penalties, start.params, state, at)
        record = {
            "epochs": ended.epoch,
            "params": ended.params,
            **self.measure(ended.params, penalties, at.strength),
        }
        if self.recipe.refit_epochs:
            refitted = self.refit(ended.params, jax.random.fold_in(at.key, REFIT))
            record["refitted_params"] = refitted
            record |= {f"refitted_{name}": value for name, value in self.scores(refitted).items()}
        stopped = (
            jnp.asarray(False)
            if self.recipe.stop is None
            else check_stop(self.recipe.stop(ended.params))
        )
        # A λ that diverged is left out of the way of the others.
        finite = jnp.isfinite(record["objective"])
        params, state = choose(finite, (ended.params, ended.state), (start.params, start.state))
        return Start(params, state, stopped), record

    def train(
        self,
        optimizer: optax.GradientTransformation,
        penalties: PyTree,
        params: PyTree,
        state: PyTree,
        at: At,
    ) -> Training:
        """Trains at one λ until the budget of epochs, the tolerance or the patience ends it."""
        recipe = self.recipe

        def some_epochs(now: Training, count: Any) -> Training:
            def epoch(index: Any, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
                return self.one_epoch(
                    optimizer, *carry, jax.random.fold_in(at.key, now.epoch + index)
                )

            params, state = jax.lax.fori_loop(0, count, epoch, (now.params, now.state))
            return now._replace(params=params, state=state, epoch=now.epoch + count)

        def until_checked(now: Training) -> Training:
            count = jnp.minimum(recipe.epochs_between_checks, at.budget - now.epoch)
            ended = some_epochs(now, count)
            done, best, waited = now.done, now.best, now.waited
            if recipe.tolerance is not None:
                gradient = jax.grad(recipe.loss)(ended.params, self.rows.train)
                done = (
                    kkt_residual(penalties, ended.params, gradient)
                    <= recipe.tolerance * at.strength
                )
            if recipe.patience is not None:
                score = recipe.loss(ended.params, self.rows.validation).astype(best.dtype)
                waited = jnp.where(score < best, 0, waited + count)
                best = jnp.minimum(score, best)
                done |= waited >= recipe.patience
            return ended._replace(done=done, best=best, waited=waited)

        zero = jnp.zeros([], jnp.int32)
        start = Training(params, state, zero, jnp.asarray(False), jnp.asarray(jnp.inf), zero)
        if recipe.tolerance is None and recipe.patience is None:
            return some_epochs(start, at.budget)
        return jax.lax.while_loop(
            lambda now: (now.epoch < at.budget) & ~now.done, until_checked, start
        )

    def one_epoch(
        self, optimizer: optax.GradientTransformation, params: PyTree, state: PyTree, key: jax.Array
    ) -> tuple[PyTree, PyTree]:
        """Takes a step for each batch of a random order of the rows, or one step with all rows."""

        def step(carry: tuple[PyTree, PyTree], batch: PyTree) -> tuple[PyTree, PyTree]:
            params, state = carry
            updates, state = optimizer.update(
                jax.grad(self.recipe.loss)(params, batch), state, params
            )
            return optax.apply_updates(params, updates), state

        def on_batch(
            carry: tuple[PyTree, PyTree], picked: jax.Array
        ) -> tuple[tuple[PyTree, PyTree], None]:
            return step(carry, take_rows(self.rows.train, picked)), None

        size = self.recipe.batch_size
        if size is None:
            return step((params, state), self.rows.train)
        order = jax.random.permutation(key, row_count("fit_path", self.rows.train))
        batches = order[: len(order) // size * size].reshape(-1, size)
        return jax.lax.scan(on_batch, (params, state), batches)[0]

    def refit(self, params: PyTree, key: jax.Array) -> PyTree:
        """Trains the nonzero weights further with penalty(0)."""
        recipe = self.recipe
        inner = (recipe.refit_optimizer or recipe.optimizer)(recipe.penalties(0.0, params))
        optimizer = hold_zeros(inner, recipe.penalised(params))

        def epoch(index: Any, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            return self.one_epoch(optimizer, *carry, jax.random.fold_in(key, index))

        return jax.lax.fori_loop(0, recipe.refit_epochs, epoch, (params, optimizer.init(params)))[0]

    def objective(self, params: PyTree, strength: Any) -> jax.Array:
        """Loss + penalty on all training rows."""
        return self.recipe.loss(params, self.rows.train) + penalty_value(
            self.recipe.penalties(strength, params), params
        )

    def measure(self, params: PyTree, penalties: PyTree, strength: Any) -> dict[str, Any]:
        """Objective, KKT residual, exact zeros and scores of a solution."""
        value, gradient = jax.value_and_grad(self.recipe.loss)(params, self.rows.train)
        residual = kkt_residual(penalties, params, gradient)
        counts = sparsity(params, self.recipe.penalised(params))
        tolerance = self.recipe.tolerance
        return {
            "objective": value + penalty_value(penalties, params),
            "residual": residual,
            "converged": jnp.asarray(True)
            if tolerance is None
            else residual <= tolerance * strength,
            "nonzeros": counts.nonzeros,
            "live_inputs": {
                name: leaf.inputs - leaf.dead_inputs
                for name, leaf in counts.leaves.items()
                if leaf.inputs is not None and leaf.dead_inputs is not None
            },
            "live_units": {
                name: leaf.units - leaf.dead_units
                for name, leaf in counts.leaves.items()
                if leaf.units is not None and leaf.dead_units is not None
            },
            **self.scores(params, value),
        }

    def scores(self, params: PyTree, loss: jax.Array | None = None) -> dict[str, Any]:
        """The loss on training and validation rows, and the caller's metrics."""
        recipe, rows = self.recipe, self.rows
        found: dict[str, Any] = {"loss": recipe.loss(params, rows.train) if loss is None else loss}
        if rows.validation is not None:
            found["validation_loss"] = recipe.loss(params, rows.validation)
        if recipe.metrics is not None:
            own = recipe.metrics(params, rows.train if rows.validation is None else rows.validation)
            found |= {name: jnp.asarray(value) for name, value in check_metrics(own).items()}
        return found


def run(
    recipe: Recipe, params: Any, key: jax.Array, rows: Rows, data: dict[str, Any], kept: np.ndarray
) -> dict[str, Any]:
    """Trains one path, as a run of a sweep.

    Args:
        recipe: how.
        params: a function from a key to where the first λ begins; anything else stands for
            `data["start"]`.
        key: of the initial parameters and of the order of rows.
        rows: on which rows.
        data: with `strengths` and `budgets`, arrays (strengths,), and `start`, the parameters where
            the first λ begins. They are an argument and no constant, so that the program is the
            same for every start.
        kept: indices of the strengths whose parameters are returned.

    Returns:
        The `record`, and the `params` and `refitted` parameters of kept strengths.
    """
    initial_key, order_key = jax.random.split(key)
    start = params(initial_key) if is_function(params) else data["start"]
    record = Trainer(recipe, rows).fit_all(start, data["strengths"], data["budgets"], order_key)
    solutions, refitted = record.pop("params"), record.pop("refitted_params", None)
    outputs: dict[str, Any] = {"record": record}
    if kept.size:
        outputs["params"] = jax.tree.map(lambda leaf: leaf[kept], solutions)
        if refitted is not None:
            outputs["refitted"] = jax.tree.map(lambda leaf: leaf[kept], refitted)
    return outputs


def initial(params: Callable[[jax.Array], PyTree], key: jax.Array | None) -> PyTree:
    """The initial parameters of the one path that `jaxreg.fit_path` trains with this key, made from
    `params(key)`.
    """
    only = jax.random.fold_in(jax.random.key(0) if key is None else key, 0)
    return jax.jit(params)(jax.random.split(only)[0])


def choose(condition: jax.Array, left: PyTree, right: PyTree) -> PyTree:
    """Selects one of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), left, right)


def missing(shape: Any) -> jax.Array:
    """What stands for a result at a λ that was left out: NaN, −1 for counts, True for
    `converged`.
    """
    if jnp.issubdtype(shape.dtype, jnp.inexact):
        return jnp.full(shape.shape, jnp.nan, shape.dtype)
    return jnp.full(shape.shape, True if shape.dtype == bool else -1, shape.dtype)
