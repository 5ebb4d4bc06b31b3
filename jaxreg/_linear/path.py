"""The path of a linear model: λ after λ from the largest, each on working sets of blocks until no
other violates.

The weights are blocks (blocks, size): single weights of size 1, or the groups of a group lasso.
With several outputs, a block is a weight of a feature for one output, or those for all of them.
What has no penalty, an intercept and features with a factor of 0, is not among them: it is a basis
(rows, directions) with coefficients.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._basis import Directions, profile
from jaxreg._linear.quadratic import Charge, Quadratic, Stall, minimise, pull
from jaxreg._typing import PyTree
from jaxreg.losses import ARMIJO, Loss, Squares
from jaxreg.penalties import Penalty

PATIENCE = 5
"""Steps at one λ that may pass without a smaller violation where violations are as small as
rounding.
"""
MAX_STEPS = 100
"""The most steps at one λ."""
STEPS = 12
"""How many step sizes a proximal gradient step tries, each a fourth of the one before."""
LEAST = 2.0**-11
"""The least share of a step that a line search tries; each is half of the one before."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a program is compiled for, beside its shapes.

    Attributes:
        loss: the loss.
        intercept: whether there is one.
        standardize: whether columns are divided by their standard deviations.
        size: weights in a block.
        outputs: how many there are; 0 for predictions (rows,).
        jagged: whether the penalty has a kink wherever a single weight of a block is 0.
        certified: whether loss and penalty have conjugates, for a duality gap.
        capacity: how many blocks a working set has; all of them make the program simpler.
    """

    loss: Loss
    intercept: bool
    standardize: bool
    size: int
    outputs: int
    jagged: bool
    certified: bool
    capacity: int

    @property
    def quadratic(self) -> bool:
        """Whether the loss has the same Hessian everywhere."""
        return isinstance(self.loss, Squares)


class Grid(NamedTuple):
    """The λ of a path, from the largest.

    Attributes:
        penalties: with leaves (strengths,).
        tols: of the residual (strengths,).
        ahead: the step to each λ as a share of the one before (strengths,), at most 1; 0 for the
            first two.
    """

    penalties: PyTree
    tols: jax.Array
    ahead: jax.Array

    @classmethod
    def of(cls, penalties: PyTree, tols: np.ndarray, strengths: np.ndarray) -> Grid:
        """That of some strengths, descending."""
        steps, ahead = -np.diff(strengths), np.zeros(len(strengths))
        ahead[2:] = np.minimum(steps[1:] / steps[:-1], 1)
        return cls(penalties, *jax.device_put((tols, ahead.astype(tols.dtype))))


class Now(NamedTuple):
    """Where the solver is at one λ.

    Attributes:
        w: weights (blocks, size).
        free: coefficients of the basis (directions,) or (directions, outputs).
        z: predictions (rows,) or (rows, outputs); under squares, those after the last step.
        gradient: of the loss with respect to w there.
        stall: the largest violations of the optimality conditions at this λ, after each step.
        working: the working set.
        full: whether more blocks are needed than a working set has.
    """

    w: jax.Array
    free: jax.Array
    z: jax.Array
    gradient: jax.Array
    stall: Stall
    working: Working
    full: jax.Array


class Curved(NamedTuple):
    """The second derivative of the loss with respect to the weights of a working set and the
    coefficients of the basis.

    Attributes:
        hessian: by the weights twice (capacity·size, capacity·size), where the coefficients follow
            to their minimum.
        mixed: by weights and coefficients (capacity·size, coefficients).
        free: by the coefficients twice.
    """

    hessian: jax.Array
    mixed: jax.Array
    free: jax.Array


class Working(NamedTuple):
    """Blocks that are solved for.

    Attributes:
        places: their indices (capacity,).
        along: what their weights add to the predictions (capacity·size, rows).
        curved: the second derivative: of a quadratic loss, or of others where it was last computed.
        old: whether it is to be computed again; False for a quadratic loss.
        linear: minus the gradient of a quadratic loss at w = 0 (capacity, size); empty for others.
    """

    places: jax.Array
    along: Directions
    curved: Curved
    old: jax.Array
    linear: jax.Array


class Progress(NamedTuple):
    """How far a path has come; the next program goes on from there.

    Attributes:
        done: how many λ are solved, from the largest.
        w: weights (strengths, blocks, size) so far, in the order of solving.
        free: coefficients of the basis (strengths, directions, …).
        steps: steps at each λ.
        start: weights and coefficients where the next λ begins.
    """

    done: jax.Array
    w: jax.Array
    free: jax.Array
    steps: jax.Array
    start: tuple[jax.Array, jax.Array]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("columns", "y", "offset", "share", "basis", "unit", "factors", "limits", "gram"),
    meta_fields=("settings",),
)
@dataclasses.dataclass(frozen=True)
class Solver:
    """Solves one path.

    Attributes:
        settings: what the program is compiled for.
        columns: the data (features, rows), without their part along the basis.
        y: targets, as the loss arranges them.
        offset: what is added to all predictions, in their shape; None for nothing.
        share: of the rows in the loss: 1/rows, or (rows,).
        basis: of what has no penalty (rows, directions), orthonormal under the shares.
        unit: what the conditions along the basis, in units of y, are multiplied by to compare them
            with those of the weights: the largest root mean square of a column, divided by its
            factor.
        factors: of the penalty of each block (blocks, 1); None for 1.
        limits: of the weights (blocks, 1); None for none.
        gram: the second derivative of squares (features, features), where it is known already.
    """

    settings: Settings
    columns: jax.Array
    y: PyTree
    offset: jax.Array | None
    share: jax.Array
    basis: jax.Array
    unit: jax.Array
    factors: jax.Array | None
    limits: tuple[jax.Array, jax.Array] | None
    gram: jax.Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weights (blocks, size)."""
        size = self.settings.size
        return len(self.columns) * max(self.settings.outputs, 1) // size, size

    @property
    def whole(self) -> bool:
        """Whether a working set has all blocks."""
        return self.settings.capacity >= self.shape[0]

    def charge(self, penalty: Penalty) -> Charge:
        """The penalty of all blocks."""
        return Charge(penalty, self.factors, self.limits, self.settings.jagged)

    def by_feature(self, numbers: jax.Array) -> jax.Array:
        """Weights (blocks, size) as (features,) or (features, outputs)."""
        outputs = self.settings.outputs
        return numbers.reshape(-1, outputs) if outputs else numbers.ravel()

    def predict(self, w: jax.Array, free: jax.Array) -> jax.Array:
        """The predictions."""
        return self.shifted(combined(self.columns, self.by_feature(w)), free)

    def shifted(self, z: jax.Array, free: jax.Array) -> jax.Array:
        """Adds what has no penalty to predictions."""
        z += self.basis @ free
        return z if self.offset is None else z + self.offset

    def along(self, places: jax.Array) -> Directions:
        """What the weights of some blocks add to the predictions."""
        size = self.settings.size
        return self.single((places[:, None] * size + jnp.arange(size)).ravel())

    def single(self, places: jax.Array) -> Directions:
        """What single weights add to the predictions, by their places among all."""
        outputs = self.settings.outputs
        if not outputs:
            return Directions(self.columns[places], None)
        return Directions(self.columns[places // outputs], places % outputs)

    def choose(self, w: jax.Array, gradient: jax.Array) -> Working:
        """The support, and those of the other blocks that have the largest gradient."""
        blocks, capacity = self.shape[0], self.settings.capacity
        if self.whole:
            places = jnp.arange(blocks)
        else:
            priority = jnp.where(
                jnp.any(w != 0, 1), jnp.inf, pull(w, gradient, self.factors, self.limits)
            )
            places = jax.lax.top_k(priority, capacity)[1]
        alone = self.whole and not self.settings.outputs
        along = Directions(self.columns, None) if alone else self.along(places)
        count, free = len(along.rows), self.basis.shape[1] * max(self.settings.outputs, 1)
        empty = jnp.zeros((0, 0), self.columns.dtype)
        if not self.settings.quadratic:
            shapes = (count, count), (count, free), (free, free)
            unknown = Curved(*(jnp.zeros(shape, self.columns.dtype) for shape in shapes))
            return Working(places, along, unknown, jnp.asarray(True), empty)
        hessian = self.gram
        if hessian is None:
            hessian = self.settings.loss.form(self.y, self.y, self.share)(along, along)
        slope = self.settings.loss.gradient(jnp.zeros_like(self.y), self.y, self.share)
        # Columns are orthogonal to the basis.
        return Working(
            places, along, Curved(hessian, empty, empty), jnp.asarray(False),
            -along.along(slope).reshape(-1, w.shape[1]),
        )  # fmt: skip

    def curved(self, along: Directions, z: jax.Array) -> Curved:
        """The second derivative at some predictions."""
        form = self.settings.loss.form(z, self.y, self.share)
        basis = Directions.of(self.basis, self.settings.outputs)
        hessian, mixed, free = form(along, along), form(along, basis), form(basis, basis)
        if len(free):
            hessian -= mixed @ profile(free)(mixed.T)
        return Curved(hessian, mixed, free)

    def slopes(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The gradient with respect to the weights, and to the coefficients of the basis."""
        slope = self.settings.loss.gradient(z, self.y, self.share)
        return (self.columns @ slope).reshape(self.shape), self.basis.T @ slope

    def residual(self, violations: jax.Array, unbalanced: jax.Array) -> jax.Array:
        """The largest violation of all conditions, in the unit of λ."""
        return jnp.maximum(jnp.max(violations), jnp.max(jnp.abs(unbalanced), initial=0) * self.unit)

    def model(self, now: Now) -> tuple[Quadratic, Callable[[jax.Array], jax.Array]]:
        """The second-order model of the loss in the weights of the working set, with what has no
        penalty at its minimum.

        Returns:
            The model, and a function from a change of the weights (capacity, size) to the change of
            the coefficients of the basis.
        """
        working, settings = now.working, self.settings
        hessian, mixed, free = working.curved
        if settings.quadratic:
            # Columns are orthogonal to the basis, so its coefficients do not change.
            return Quadratic(hessian, working.linear), lambda _: jnp.zeros_like(now.free)
        gradient, w = now.gradient[working.places], now.w[working.places]
        linear = (hessian @ w.ravel()).reshape(w.shape) - gradient
        if not now.free.size:
            return Quadratic(hessian, linear), lambda _: jnp.zeros_like(now.free)
        basis = Directions.of(self.basis, settings.outputs)
        slope, solve = basis.along(settings.loss.gradient(now.z, self.y, self.share)), profile(free)
        linear += (mixed @ solve(slope)).reshape(w.shape)

        def follow(change: jax.Array) -> jax.Array:
            return -solve(slope + change.ravel() @ mixed).reshape(now.free.shape)

        return Quadratic(hessian, linear), follow

    def step(self, penalty: Penalty, tol: jax.Array, now: Now) -> Now:
        """Solves the model on the working set, and goes there as far as the objective falls."""
        settings, charge = self.settings, self.charge(penalty)
        old = now.working.old
        if not settings.quadratic:
            curved = jax.lax.cond(
                old, self.curved, lambda *_: now.working.curved, now.working.along, now.z
            )
            now = now._replace(working=now.working._replace(curved=curved))
        working = now.working
        inside = charge.at(working.places)
        model, shift = self.model(now)
        before = now.w[working.places]
        # With fewer rows than weights the Hessian is singular, and coordinate descent alone leads
        # far away from the solution at the last λ. Otherwise it finds most of the way to the next
        # one, at less than a Newton step's cost.
        singular = self.columns.shape[1] < len(self.columns)
        # The gap follows the residual closely, so a fourth of it costs little and certifies more.
        after = minimise(model, inside, before, tol / 4, MAX_STEPS, singular)
        rounding, free = model.rounding(inside, after), now.free
        if settings.quadratic:
            # With all blocks the gradient does not need the predictions.
            z = now.z if self.whole else self.shifted(self.combine(working, after), free)
        else:
            moved = shift(after - before)
            along = self.combine(working, after - before) + self.basis @ moved
            part = self.longest(inside, now.z, before, after, along)
            after = jnp.where(part == 1, after, before + part * (after - before))
            free = free + part * moved
            if settings.certified:
                z = now.z + part * along
                # The same step would be tried again.
                rounding = jnp.where((part == 0) & old, jnp.inf, rounding)
            else:
                after = jax.lax.cond(
                    part == 0, lambda: self.forward(inside, now, before), lambda: after
                )
                z = self.shifted(self.combine(working, after), free)
        w = now.w.at[working.places].set(after)
        if self.whole and settings.quadratic:
            gradient, unbalanced = model.gradient(after), jnp.zeros_like(free)
        else:
            gradient, unbalanced = self.slopes(z)
        violations = charge.violations(w, gradient)
        residual = self.residual(violations, unbalanced)
        if not settings.quadratic:
            # One more step like this one would not be enough, but one with a new second derivative
            # may be.
            violated = jnp.max(charge.violations(now.w, now.gradient))
            slow = (residual / violated * residual > tol) | (part < 1)
            working = working._replace(old=(residual > tol) & slow)
        now = now._replace(
            w=w, free=free, z=z, gradient=gradient, stall=now.stall.after(residual, rounding),
            working=working,
        )  # fmt: skip
        if self.whole:
            return now
        outside = violations.at[working.places].set(0) > tol
        needed = jnp.sum(jnp.any(w != 0, 1) | outside)
        working = jax.lax.cond(jnp.any(outside), self.choose, lambda *_: working, w, gradient)
        return now._replace(working=working, full=(needed > settings.capacity) & (residual > tol))

    def combine(self, working: Working, w: jax.Array) -> jax.Array:
        """The predictions of weights of a working set."""
        return working.along.combine(w.ravel(), self.settings.outputs)

    def longest(
        self, charge: Charge, z: jax.Array, before: jax.Array, after: jax.Array, along: jax.Array
    ) -> jax.Array:
        """The largest of the shares 1, ½, … of a step that lowers the objective enough; 0 if none
        does.
        """
        loss, y, share = self.settings.loss, self.y, self.share
        charged = charge.values(before)

        def objective(part: jax.Array) -> jax.Array:
            extra = charge.values(before + part * (after - before)) - charged
            return loss.total(z + part * along, y, share) + jnp.sum(extra)

        value = loss.total(z, y, share)
        expected = jnp.sum(loss.gradient(z, y, share) * along) + jnp.sum(
            charge.values(after) - charged
        )
        above = value + loss.rounding(z, y, share)

        def halve(tried: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            part = tried[0] / 2
            return part, objective(part) <= above + ARMIJO * part * expected

        part, enough = jax.lax.while_loop(
            lambda tried: ~tried[1] & (tried[0] > LEAST), halve,
            (jnp.full_like(value, 2), jnp.asarray(False)),
        )  # fmt: skip
        return jnp.where(enough, part, 0)

    def forward(self, charge: Charge, now: Now, before: jax.Array) -> jax.Array:
        """A proximal gradient step, with the largest of some step sizes that lowers the objective.

        Under a concave penalty, a share of a Newton step need not lower it; this does.
        """
        gradient = now.gradient[now.working.places]
        sizes = jnp.sum(jnp.square(now.working.along.rows), 1) * jnp.max(self.share)
        steps = 4.0 ** jnp.arange(4, -STEPS, -1, dtype=before.dtype) / jnp.max(sizes)

        def tried(step: jax.Array) -> tuple[jax.Array, jax.Array]:
            after = charge.prox(before - step * gradient, step)
            along = self.combine(now.working, after - before)
            return after, along

        after, along = jax.vmap(tried)(steps)
        return after[self.lowest(charge, now.z, before, after, along)]

    def lowest(
        self, charge: Charge, z: jax.Array, before: jax.Array, after: jax.Array, along: jax.Array
    ) -> jax.Array:
        """The index of the weights (tried, blocks, size) with the lowest objective."""
        values = jax.vmap(lambda each: self.settings.loss.total(z + each, self.y, self.share))(
            along
        )
        changes = jnp.sum(jax.vmap(charge.values)(after) - charge.values(before), 1)
        return jnp.nanargmin(values + changes)

    def begun(
        self, penalty: Penalty, before: tuple[jax.Array, jax.Array], now: Now, ahead: jax.Array
    ) -> Now:
        """Where a λ begins: weights and coefficients move on as they did from those two λ before,
        in proportion to the step in λ, unless the objective is larger there.
        """
        pairs = zip(before, (now.w, now.free), strict=True)
        w, free = (new + ahead * (new - old) for old, new in pairs)
        w = jnp.where(jnp.sign(w) == jnp.sign(now.w), w, 0)
        w = w if self.limits is None else jnp.clip(w, *self.limits)
        if self.settings.quadratic:
            # Predictions and gradient are not what the next step takes.
            return now._replace(w=w, free=free)
        places, charge = now.working.places, self.charge(penalty)
        z = self.shifted(self.combine(now.working, w[places]), free)
        loss, y, share = self.settings.loss, self.y, self.share
        more = jnp.sum(charge.values(w) - charge.values(now.w))
        lower = loss.total(z, y, share) + more <= loss.total(now.z, y, share)
        new, old = (w, free, z, self.slopes(z)[0]), (now.w, now.free, now.z, now.gradient)
        w, free, z, gradient = jax.tree.map(functools.partial(jnp.where, lower), new, old)
        return now._replace(w=w, free=free, z=z, gradient=gradient)

    def run(self, grid: Grid, progress: Progress) -> Progress:
        """Solves λ after λ, until all are solved or a working set is full."""
        count = len(grid.tols)

        def solve_next(carry: tuple[Progress, Now]) -> tuple[Progress, Now]:
            progress, now = carry
            penalty, tol, ahead = jax.tree.map(lambda leaf: leaf[progress.done], grid)
            at = progress.done
            if self.settings.certified:
                # Where a working set was full, the λ has begun.
                now = jax.lax.cond(
                    (ahead > 0) & (progress.steps[at] == 0),
                    lambda now: self.begun(
                        penalty, (progress.w[at - 2], progress.free[at - 2]), now, ahead
                    ),
                    lambda now: now,
                    now,
                )
            now = now._replace(stall=Stall.begin(jnp.full_like(tol, jnp.inf)))

            def unfinished(now: Now) -> jax.Array:
                tried = now.stall
                return (
                    (tried.last > tol)
                    & tried.hopeful(PATIENCE)
                    & (tried.taken < MAX_STEPS)
                    & ~now.full
                )

            now = jax.lax.while_loop(unfinished, functools.partial(self.step, penalty, tol), now)
            # Where a working set is full, the same place is written again when there are larger
            # ones.
            w, free = progress.w.at[at].set(now.w), progress.free.at[at].set(now.free)
            steps = progress.steps.at[at].add(now.stall.taken)
            return Progress(at + jnp.where(now.full, 0, 1), w, free, steps, (now.w, now.free)), now

        w, free = progress.start
        z = self.predict(w, free)
        gradient = self.slopes(z)[0]
        stall = Stall.begin(jnp.asarray(jnp.inf, z.dtype))
        first = Now(w, free, z, gradient, stall, self.choose(w, gradient), jnp.asarray(False))
        return jax.lax.while_loop(
            lambda carry: (carry[0].done < count) & ~carry[1].full, solve_next, (progress, first)
        )[0]


@jax.custom_batching.custom_vmap
def combined(columns: jax.Array, w: jax.Array) -> jax.Array:
    """The predictions (rows, …) of weights (features, …) of columns (features, rows)."""
    return columns.T @ w


@combined.def_vmap
def combined_at_once(
    count: int, batched: Any, columns: jax.Array, w: jax.Array
) -> tuple[jax.Array, bool]:
    """Those of several weights, as XLA's CPU computes them without copies."""
    assert batched == [False, True]
    each = w.reshape(count, len(columns), -1).swapaxes(1, 2)
    z = (each.reshape(-1, len(columns)) @ columns).reshape(*each.shape[:2], -1)
    return z.swapaxes(1, 2).reshape(count, -1, *w.shape[2:]), True
