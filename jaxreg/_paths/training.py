"""Training at one λ after another in one program: what `jaxreg.sweep` runs for each seed and each
fold.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._paths.recipe import SPARSE_TO_DENSE, Recipe
from jaxreg._paths.rows import row_count, take_rows
from jaxreg._typing import PyTree
from jaxreg.measures import kkt_residual, penalty_value, sparsity
from jaxreg.pruning import hold_zeros

REFIT = 2**31 - 1
"""Folded into keys for refitting and for further passes; epochs and strengths have smaller
numbers.
"""
CHECK_EVERY = 10
"""Full-batch epochs between two checks of tolerance and patience, which cost a gradient each."""
RECORDED = {
    "epochs", "params", "objective", "residual", "converged", "nonzeros", "live_inputs",
    "live_units", "fitted", "loss", "validation_loss",
}  # fmt: skip
"""What a path records, so that no metric of the caller's may have these names."""


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
        rows: training rows.
        validation: validation rows; None if there are none.
    """

    recipe: Recipe
    rows: PyTree
    validation: PyTree | None

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

        The training begins at the better of two points: the previous result, and the neighbour's.
        """
        at, before = entry
        diverged = ~jnp.isfinite(before["objective"])
        lower = self.objective(start.params, at.strength) < before["objective"]
        after, record = self.fit(
            start._replace(params=choose(lower | diverged, start.params, before["params"])), at
        )
        record["fitted"] = before["fitted"]
        better = choose((record["objective"] < before["objective"]) | diverged, record, before)
        better["epochs"] = before["epochs"] + record["epochs"]
        params = choose(jnp.isfinite(better["objective"]), better["params"], after.params)
        return after._replace(params=params), better

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
        every = CHECK_EVERY if recipe.batch_size is None else 1

        def some_epochs(now: Training, count: Any) -> Training:
            def epoch(index: Any, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
                return self.one_epoch(
                    optimizer, *carry, jax.random.fold_in(at.key, now.epoch + index)
                )

            params, state = jax.lax.fori_loop(0, count, epoch, (now.params, now.state))
            return now._replace(params=params, state=state, epoch=now.epoch + count)

        def until_checked(now: Training) -> Training:
            count = jnp.minimum(every, at.budget - now.epoch)
            ended = some_epochs(now, count)
            done, best, waited = now.done, now.best, now.waited
            if recipe.tolerance is not None:
                gradient = jax.grad(recipe.loss)(ended.params, self.rows)
                done = (
                    kkt_residual(penalties, ended.params, gradient)
                    <= recipe.tolerance * at.strength
                )
            if recipe.patience is not None:
                score = recipe.loss(ended.params, self.validation).astype(best.dtype)
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
            return step(carry, take_rows(self.rows, picked)), None

        size = self.recipe.batch_size
        if size is None:
            return step((params, state), self.rows)
        order = jax.random.permutation(key, row_count("fit_path", self.rows))
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
        return self.recipe.loss(params, self.rows) + penalty_value(
            self.recipe.penalties(strength, params), params
        )

    def measure(self, params: PyTree, penalties: PyTree, strength: Any) -> dict[str, Any]:
        """Objective, KKT residual, exact zeros and scores of a solution."""
        value, gradient = jax.value_and_grad(self.recipe.loss)(params, self.rows)
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
        recipe = self.recipe
        scores: dict[str, Any] = {"loss": recipe.loss(params, self.rows) if loss is None else loss}
        if self.validation is not None:
            scores["validation_loss"] = recipe.loss(params, self.validation)
        if recipe.metrics is not None:
            rows = self.rows if self.validation is None else self.validation
            scores |= check_metrics(recipe.metrics(params, rows))
        return scores


def run(
    recipe: Recipe,
    key: jax.Array,
    rows: PyTree,
    validation: PyTree | None,
    data: dict[str, Any],
    keep: np.ndarray,
) -> dict[str, Any]:
    """Trains one path, as a run of a sweep.

    Args:
        recipe: how.
        key: of the initial parameters and of the order of rows.
        rows: training rows.
        validation: validation rows; None if there are none.
        data: what `constants` returns.
        keep: indices of the strengths whose parameters are returned.

    Returns:
        The `record`, and the `params` and `refitted` parameters of these strengths.
    """
    initial_key, order_key = jax.random.split(key)
    params = recipe.begin(initial_key, data["start"])
    record = Trainer(recipe, rows, validation).fit_all(
        params, data["strengths"], data["budgets"], order_key
    )
    solutions, refitted = record.pop("params"), record.pop("refitted_params", None)
    outputs: dict[str, Any] = {"record": record}
    if keep.size:
        outputs["params"] = jax.tree.map(lambda leaf: leaf[keep], solutions)
        if refitted is not None:
            outputs["refitted"] = jax.tree.map(lambda leaf: leaf[keep], refitted)
    return outputs


def constants(recipe: Recipe, strengths: np.ndarray) -> dict[str, Any]:
    """What a program of paths takes as arguments beside the rows, so that another start or grid
    compiles no other program.
    """
    return {
        "start": recipe.start,
        "strengths": strengths,
        "budgets": recipe.budgets(strengths.size),
    }


def initial(recipe: Recipe, key: jax.Array | None) -> PyTree:
    """The initial parameters of the one path that `jaxreg.fit_path` trains with this key."""
    if recipe.start is not None:
        return recipe.start
    only = jax.random.fold_in(jax.random.key(0) if key is None else key, 0)
    return jax.jit(recipe.params)(jax.random.split(only)[0])


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


def check_stop(stopped: Any) -> jax.Array:
    """Checks what the caller's `stop` returns; raises a TypeError if it is not a scalar."""
    if jnp.shape(stopped) != ():
        raise TypeError(
            f"fit_path: stop(params) must return a scalar bool, got shape {jnp.shape(stopped)}; "
            "use jnp.all, say"
        )
    return jnp.asarray(stopped, bool)


def check_metrics(metrics: Any) -> dict[str, jax.Array]:
    """Checks what the caller's metrics return.

    Raises:
        TypeError: it is not a dict.
        ValueError: a value is not a scalar, or a name belongs to a number of the path itself.
    """
    if not isinstance(metrics, dict):
        raise TypeError(
            f"fit_path: metrics(params, rows) must return a dict of scalars, got {metrics!r}"
        )
    for name, value in metrics.items():
        if jnp.shape(value) != ():
            raise ValueError(
                f"fit_path: metrics must be scalars, got shape {jnp.shape(value)} for {name!r}"
            )
        if name in RECORDED or str(name).startswith("refitted_"):
            raise ValueError(
                f"fit_path: the path records a number named {name!r} itself; give the metric "
                "another name"
            )
    return {name: jnp.asarray(value) for name, value in metrics.items()}
