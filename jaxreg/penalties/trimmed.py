"""`NOfM`: at most n weights of every m adjacent ones, the pattern 2:4 of sparse tensor cores."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxreg import _groups
from jaxreg._arrays import like, wide
from jaxreg._checks import check_number
from jaxreg._roles import Per
from jaxreg._typing import ArrayLike, ScalarOrSchedule
from jaxreg.penalties.elementwise import distance_to_sign, soft_threshold
from jaxreg.penalties.group import GroupPenalty


class NOfM(GroupPenalty):
    """R(x) = λ Σ over groups of m adjacent weights of the sum of the m − n smallest |xᵢ|: leads to
    at most n nonzero weights in every group, which it does not shrink.

    prox(x, step) = argmin_u ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + R(u): soft thresholding by stepᵢ·λ of the m − n
    weights of a group for which min_u ½(u − xᵢ)²/stepᵢ + λ|u| is smallest, the others stay. It is
    the global minimum for any steps. Of equally small ones the last are thresholded.

    R is 0 exactly where no group has more than n nonzero weights, so a λ that is large enough gives
    the pattern, and from there on it makes no difference how large.

        >>> import jax.numpy as jnp
        >>> print(NOfM(1.0, axis=0).prox(jnp.array([3.0, -0.5, 2.0, 2.5]), step=1.0))
        [3.  0.  1.  2.5]

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        n: how many weights of each group may be nonzero, at least 1.
        m: number of weights in a group, above n.
        axis: the axis, or axes, whose entries, in their order, are cut into groups, with a multiple
            of m entries; the default is 0, the inputs of kernels (in, out).
        per: in place of `axis`, as for `GroupL2`: per="unit" cuts the weights that enter a unit, in
            kernels of several ranks; this is what sparse tensor cores need.

    Raises:
        TypeError: the strength, n, m or the axis is not a number.
        ValueError: the strength is negative, NaN or infinite, not 1 ≤ n < m, `axis` and `per` are
            both given, or (once the penalty sees an array) the array has no such axes, or not a
            multiple of m entries along them.

    Source: Bertsimas, Copenhaver and Mazumder, The trimmed lasso (2017), in each group.
    """

    strength: ScalarOrSchedule
    n: int = dataclasses.field(default=2, metadata={"static": True})
    m: int = dataclasses.field(default=4, metadata={"static": True})
    axis: int | tuple[int, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    per: Per | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        check_number("NOfM", "strength", self.strength)
        _groups.check_pattern("NOfM", self.n, self.m)
        self.check_groups()

    def pool(self, d: jax.Array) -> jax.Array:
        """D itself, as the prox is exact in any metric."""
        return d

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        trimmed = ~self.largest(jnp.abs(x))
        # As in L1, the derivative at 0 is 0.
        sign = jax.lax.stop_gradient(jnp.where(trimmed, jnp.sign(x), 0))
        return like(self.strength, x) * jnp.sum(x * sign)

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        strength, step = like(self.strength, w), like(step, w)
        size, threshold = jnp.abs(w), step * strength
        # The cost of thresholding; at a step of 0 nothing moves.
        below = size < threshold
        inside = jnp.where(below, jnp.square(size) / (2 * jnp.where(below, step, 1)), 0)
        cost = jnp.where(below, inside, strength * (size - threshold / 2))
        kept = self.largest(cost)
        return jnp.where(kept, w, soft_threshold(w, threshold)).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * jnp.where(self.largest(jnp.abs(x)), 0, jnp.sign(x))

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        slope, kept = like(gradient, x), self.largest(jnp.abs(x))
        # In a group with fewer than n nonzero weights any weight may leave 0 at no cost.
        full = _groups.in_adjacent(x, self.axes(x), self.m, lambda g: jnp.sum(g != 0, -1) >= self.n)
        free = kept | (~full & (x == 0))
        charged = distance_to_sign(x, slope, like(self.strength, x))
        return jnp.where(free, jnp.abs(slope), charged)

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ, whatever the weights."""
        return like(self.strength, wide(x))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """0 if the gradient is 0, else infinity: no λ makes every weight 0."""
        largest = jnp.max(jnp.abs(wide(gradient)), initial=0)
        return jnp.where(largest == 0, 0, largest * jnp.inf)

    def largest(self, size: jax.Array) -> jax.Array:
        """Marks the n largest of each group; NaN comes last, so that its charge is seen."""
        size = jnp.where(jnp.isnan(size), -jnp.inf, size)
        return _groups.largest_of_adjacent(size, self.axes(size), self.n, self.m)
