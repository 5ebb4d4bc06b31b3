"""Minimises a quadratic + a convex penalty by coordinate descent with Newton steps on the support.

Coordinate descent finds which blocks are nonzero, and a Newton step on these finds their values,
which coordinate descent alone would approach slowly where columns are correlated. Every step lowers
the objective.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from jaxreg.penalties import Limited, Penalty, Weighted

CROSSINGS = 6
"""How many of the points where blocks change their sign are tried in a line search."""
SIZES, SMALL = 8, 64
"""For how many sizes of the support there is a linear system, at most: all blocks, and shares of
them, with at least so many weights between two sizes. Each size is compiled.
"""
PATIENCE = 10
"""Rounds that may pass without a smaller violation where violations are as small as rounding."""
RIDGE = 4.0
"""What is added to the diagonal of a linear system, in units of its rounding, so that equal columns
are no exception.
"""
UNROLLED = 16
"""Up to this many weights in a block, sums over them are written out."""
PASSES = 3
"""Passes of coordinate descent before a Newton step, which costs as much as several of them."""
WORTH = 200
"""A Newton step on k of n weights costs about as much as 1 + k²/(WORTH·n) rounds of passes."""
CAREFUL = 20
"""Rounds after which coordinate descent visits one block at a time, and only once the support is
solved for.

Among strongly correlated columns, a pass over all of them undoes what the last Newton step did,
again and again. With one block at a time this is an active-set method, which ends after finitely
many steps, as no support comes twice.
"""


class Charge(NamedTuple):
    """A penalty R(w) = Σ f φ(w_block) of blocks, with a factor f > 0 for each.

    Attributes:
        penalty: φ, which charges blocks (blocks, size) all alike.
        factors: f (blocks, 1); None for 1.
        limits: the least and the largest value of each weight (blocks, 1), for blocks of one
            weight; None for none.
        jagged: whether φ has a kink wherever one weight of a block is 0, not only where all are.
    """

    penalty: Penalty
    factors: jax.Array | None
    limits: tuple[jax.Array, jax.Array] | None
    jagged: bool

    def times(self, numbers: jax.Array) -> jax.Array:
        """Multiplies numbers (blocks, …) by the factors."""
        return (
            numbers if self.factors is None else jax.vmap(jnp.multiply)(numbers, self.factors[:, 0])
        )

    def divided(self, gradient: jax.Array) -> jax.Array:
        """Divides a gradient (blocks, size) by the factors, which gives it the unit of λ."""
        return gradient if self.factors is None else gradient / self.factors

    def values(self, w: jax.Array) -> jax.Array:
        """R block by block (blocks,)."""
        return self.times(jax.vmap(lambda block: self.penalty.value(block[None]))(w))

    def subgradient(self, w: jax.Array) -> jax.Array:
        """The least subgradient (blocks, size)."""
        return self.times(self.penalty.subgradient(w))

    def curvature(self, w: jax.Array) -> jax.Array:
        """The second derivative (blocks, size, size), where no block is 0."""
        return self.times(
            jax.vmap(jax.jacfwd(lambda block: self.penalty.subgradient(block[None])[0]))(w)
        )

    def violations(self, w: jax.Array, gradient: jax.Array) -> jax.Array:
        """How far each block is from optimal (blocks,), in the unit of λ."""
        penalty = self._replace(factors=None).whole()
        return jnp.max(penalty.violation(w, self.divided(gradient)).reshape(len(w), -1), 1)

    def at(self, places: jax.Array) -> Charge:
        """That of some blocks."""
        factors, limits = jax.tree.map(lambda leaf: leaf[places], (self.factors, self.limits))
        return self._replace(factors=factors, limits=limits)

    def within(self, w: jax.Array) -> jax.Array:
        """The nearest weights between the limits."""
        return w if self.limits is None else jnp.clip(w, *self.limits)

    def prox(self, w: jax.Array, step: jax.Array) -> jax.Array:
        """The prox of all blocks with one step."""
        return self.within(self.penalty.prox(w, self.times(jnp.full((len(w), 1), step))))

    def active(self, w: jax.Array) -> jax.Array:
        """The weights (blocks, size) near which φ is smooth, so that they have Newton steps."""
        active = w != 0 if self.jagged else jnp.broadcast_to(jnp.any(w != 0, 1)[:, None], w.shape)
        if self.limits is None:
            return active
        return active & (w > self.limits[0]) & (w < self.limits[1])

    def whole(self) -> Penalty:
        """The penalty with its factors and limits, as one."""
        penalty = self.penalty if self.limits is None else Limited(self.penalty, *self.limits)
        return penalty if self.factors is None else Weighted(penalty, self.factors)


def pull(w: jax.Array, gradient: jax.Array, factors: jax.Array | None, limits: Any) -> jax.Array:
    """The squared length of the gradient of each block (blocks,), in the unit of λ, where what
    pushes weights across a limit does not count.
    """
    if factors is not None:
        gradient = gradient / factors
    if limits is not None:
        low, high = limits
        gradient = gradient * ~(((w == low) & (gradient > 0)) | ((w == high) & (gradient < 0)))
    return (gradient * gradient).sum(1)


class Quadratic(NamedTuple):
    """The function ½ wᵀHw − cᵀw of w (blocks, size).

    Attributes:
        hessian: H (blocks·size, blocks·size), positive semidefinite.
        linear: c (blocks, size).
    """

    hessian: jax.Array
    linear: jax.Array

    def curvatures(self) -> jax.Array:
        """A bound on the largest eigenvalue of the diagonal block of every block (blocks,); 1 for a
        block of zeros.
        """
        blocks, size = self.linear.shape
        every = jnp.arange(blocks)
        diagonal = self.hessian.reshape(blocks, size, blocks, size)[every, :, every]
        bound = jnp.max(jnp.sum(jnp.abs(diagonal), 2), 1)
        return jnp.where(bound > 0, bound, 1)

    def rounding(self, charge: Charge, w: jax.Array) -> jax.Array:
        """A bound on the rounding of violations near w, by |H_ij| ≤ √(H_ii H_jj)."""
        lengths = jnp.sqrt(jnp.diag(self.hessian)).reshape(w.shape)
        products = lengths * jnp.sum(lengths * jnp.abs(w))
        return jnp.finfo(w.dtype).eps * jnp.max(charge.divided(products + jnp.abs(self.linear)))

    def gradient(self, w: jax.Array) -> jax.Array:
        """Hw − c."""
        return (self.hessian @ w.ravel()).reshape(w.shape) - self.linear


class Point(NamedTuple):
    """Weights w (blocks, size) and the gradient there."""

    w: jax.Array
    gradient: jax.Array


class Stall(NamedTuple):
    """How the largest violation of the optimality conditions has come down.

    Attributes:
        last: the latest one.
        least: the smallest so far.
        since: how many have passed since the smallest, of those that are as small as rounding.
        taken: how many there were after the first.
    """

    last: jax.Array
    least: jax.Array
    since: jax.Array
    taken: jax.Array

    @classmethod
    def begin(cls, violation: jax.Array) -> Stall:
        """The first violation."""
        zero = jnp.zeros([], jnp.int32)
        return cls(violation, violation, zero, zero)

    def after(self, violation: jax.Array, rounding: jax.Array) -> Stall:
        """With one more violation, where rounding alone can cause one of `rounding`."""
        since = jnp.where((violation < self.least) | (self.least > rounding), 0, self.since + 1)
        return Stall(violation, jnp.minimum(violation, self.least), since, self.taken + 1)

    def hopeful(self, patience: int) -> jax.Array:
        """Whether the violation may still become smaller."""
        return self.since < patience


def minimise(
    model: Quadratic, charge: Charge, w: jax.Array, tol: jax.Array, rounds: int, newton_first: bool
) -> jax.Array:
    """Minimises ½ wᵀHw − cᵀw + R(w).

    Args:
        model: the quadratic.
        charge: R, convex, and smooth where a block is not 0.
        w: where to begin.
        tol: the largest violation of the optimality conditions.
        rounds: the most rounds of passes of coordinate descent and a Newton step.
        newton_first: whether the first round is a Newton step alone, on the support of w.

    Returns:
        The weights.
    """
    curvatures, rounding = model.curvatures(), model.rounding(charge, w)

    def measured(w: jax.Array) -> tuple[Point, jax.Array]:
        at = Point(w, model.gradient(w))
        return at, charge.violations(*at)

    def improve(now: tuple[Point, jax.Array, Stall]) -> tuple[Point, jax.Array, Stall]:
        at, violations, stall = now
        wanted = to_visit(at.w, violations, stall.taken >= CAREFUL)
        passes = jnp.where(stall.taken == 0, 0, PASSES) if newton_first else PASSES
        at = jax.lax.fori_loop(
            0, passes, lambda _, at: descend(model, curvatures, charge, at, wanted), at
        )
        violations = charge.violations(*at)
        # A Newton step costs as much as some more rounds of passes, which may be enough.
        left = jnp.max(violations)
        more = 1 + jnp.sum(at.w != 0) ** 2 / (WORTH * at.w.size)
        enough = (left <= tol) | (
            (left * (left / stall.last) ** more <= tol) & (stall.taken < CAREFUL)
        )
        at, violations = jax.lax.cond(
            enough,
            lambda at: (at, violations),
            lambda at: measured(newton_step(model, charge, at)),
            at,
        )
        return at, violations, stall.after(jnp.max(violations), rounding)

    def unfinished(now: tuple[Point, jax.Array, Stall]) -> jax.Array:
        stall = now[2]
        return (stall.last > tol) & stall.hopeful(PATIENCE) & (stall.taken < rounds)

    start, violations = measured(w)
    first = (start, violations, Stall.begin(jnp.max(violations)))
    return jax.lax.while_loop(unfinished, improve, first)[0].w


def to_visit(w: jax.Array, violations: jax.Array, careful: jax.Array) -> jax.Array:
    """The support and what violates the optimality conditions, as a mask (blocks,).

    If careful, the block alone that violates them most, and none while it is in the support, for a
    Newton step.
    """
    support = jnp.any(w != 0, 1)
    most = (jnp.arange(len(violations)) == jnp.argmax(violations)) & ~support
    return jnp.where(careful, most, support | (violations > 0))


def descend(
    model: Quadratic, curvatures: jax.Array, charge: Charge, at: Point, wanted: jax.Array
) -> Point:
    """One pass of block coordinate descent over the blocks of a mask."""
    blocks, size = at.w.shape
    order, steps = jnp.nonzero(wanted, size=blocks, fill_value=0)[0], 1 / curvatures
    thresholds = charge.times(steps)

    # XLA's CPU runs a loop whose body has more than eight kernels several times as slowly. So
    # weights come from where the pass began, short sums are written out, as products of matrices
    # are kernels of their own, and indices are not checked.
    def visit(count: jax.Array, now: Point) -> Point:
        block = order[count]
        before, step = at.w[block], steps[block]
        moving = (before - step * now.gradient[block])[None]
        after = charge.penalty.prox(moving, thresholds[block])[0]
        if charge.limits is not None:
            after = jnp.clip(after, *(limit[block] for limit in charge.limits))
        rows = jax.lax.dynamic_slice_in_dim(model.hessian, block * size, size)
        moved = after - before
        change = moved @ rows if size > UNROLLED else sum(map(jnp.multiply, moved, rows))
        return Point(
            jax.lax.dynamic_update_index_in_dim(now.w, after, block, 0),
            now.gradient + jnp.reshape(change, at.w.shape),
        )

    return jax.lax.fori_loop(0, jnp.sum(wanted), visit, at)


def newton_step(model: Quadratic, charge: Charge, at: Point) -> jax.Array:
    """The weights after a Newton step on the support, as far as it lowers the objective.

    Blocks that point away from themselves after the step become 0, and so do single weights that
    change their sign under a penalty with a kink there. Of the step and the first points on the way
    to it where this happens, the one with the lowest objective is taken.
    """
    w, gradient = at
    active = charge.active(w)
    step = support_step(model.hessian, charge, at, active)
    # A block w + t·step is orthogonal to w at t = −‖w‖²/⟨w, step⟩, which for a single weight is
    # where its sign changes.
    along, lengths = step * w, w * w
    if not charge.jagged:
        along, lengths = (jnp.sum(each, 1, keepdims=True) for each in (along, lengths))
    crossings = jnp.where(along < 0, -lengths / jnp.where(along < 0, along, 1), jnp.inf)
    first = -jax.lax.top_k(-crossings.ravel(), min(CROSSINGS, crossings.size))[0]
    fractions = jnp.minimum(jnp.concatenate([jnp.ones(1, w.dtype), first]), 1)[:, None, None]
    tried = charge.within(jnp.where(crossings <= fractions, 0, w + fractions * step))
    moved = tried - w
    changes = (moved.reshape(len(tried), -1) @ model.hessian).reshape(moved.shape)
    # Differences block by block keep their digits where the objective itself no longer changes.
    charged = jnp.sum(jax.vmap(charge.values)(tried) - charge.values(w), 1)
    lowered = jnp.sum(moved * gradient + moved * changes / 2, (1, 2)) + charged
    best = jnp.argmin(jnp.where(jnp.isnan(lowered), jnp.inf, lowered))
    return jnp.where(lowered[best] < 0, tried[best], w)


def support_step(hessian: jax.Array, charge: Charge, at: Point, active: jax.Array) -> jax.Array:
    """The Newton step (blocks, size) of active weights; 0 for the others."""
    w, gradient = at
    blocks, size = w.shape
    slope = gradient + charge.subgradient(w)
    curvature = charge.curvature(jnp.where(jnp.any(active, 1, keepdims=True), w, 1))
    # Of its own for every column, as their units may differ by orders of magnitude.
    ridge = RIDGE * jnp.finfo(w.dtype).eps * jnp.diag(hessian).reshape(w.shape)
    # What can be is computed outside of the branches, which are compiled one by one.
    places = jnp.nonzero(jnp.any(active, 1), size=blocks, fill_value=blocks)[0]
    inside = jnp.where((places < blocks)[:, None], active.at[places].get(mode="clip"), False)
    used = inside.ravel()
    flat = jnp.minimum((places[:, None] * size + jnp.arange(size)).ravel(), blocks * size - 1)
    right = jnp.where(used, slope.ravel()[flat], 0)
    eye = jnp.eye(size, dtype=w.dtype)
    added = jnp.where(
        inside[:, :, None] & inside[:, None],
        (curvature + ridge[..., None] * eye).at[places].get(mode="clip"),
        eye,
    )

    def solve_for(count: int) -> jax.Array:
        """Solves the system of the active blocks, of which there are at most `count`."""
        first = count * size
        # Rows first, as they lie together in memory.
        matrix = jnp.where(
            used[:first, None] & used[:first], hessian[flat[:first]][:, flat[:first]], 0
        )
        diagonal = jnp.eye(count, dtype=w.dtype)[:, None, :, None] * added[:count, :, None, :]
        factor = jax.lax.linalg.cholesky(
            matrix + diagonal.reshape(matrix.shape), symmetrize_input=False
        )
        return jnp.zeros_like(right).at[:first].set(-cho_solve((factor, True), right[:first]))

    sizes = min(SIZES, -(-blocks * size // SMALL))
    counts = sorted({-(-blocks * part // sizes) for part in range(1, sizes + 1)})
    rung = jnp.searchsorted(jnp.asarray(counts), jnp.sum(jnp.any(active, 1)))
    steps = jax.lax.switch(rung, [lambda count=count: solve_for(count) for count in counts])
    return jnp.zeros_like(w).at[places].set(steps.reshape(w.shape), mode="drop")
