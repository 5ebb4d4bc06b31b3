"""Limits on weights: nonnegative ones, and boxes.

tx = jaxreg.prox_adam(1e-3, jaxreg.Limited(jaxreg.L1(1e-4), low=0.0), mask=jaxreg.kernels)
path = jaxreg.fit_linear_path(x, y, lambda s: jaxreg.Limited(jaxreg.L1(s), low=0.0))
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import like, wide
from jaxreg._typing import ArrayLike
from jaxreg.penalties.base import Penalty
from jaxreg.penalties.concave import Concave
from jaxreg.penalties.group import GroupPenalty
from jaxreg.penalties.weighted import Weighted


class Limited(Penalty):
    """R(x) = φ(x) where low ≤ xᵢ ≤ high for every weight, else infinity: another penalty between
    limits that 0 lies between.

    prox(x, step) = argmin over low ≤ u ≤ high of ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + φ(u), which is the prox of
    φ cut to the limits.

        >>> import jax.numpy as jnp, jaxreg
        >>> print(jaxreg.Limited(jaxreg.L1(1.0), low=0.0).prox(jnp.array([3.0, -3.0]), step=1.0))
        [2. 0.]

    Args:
        penalty: φ, a penalty of single weights such as `L1(1e-3)`; `L1(0.0)` for limits alone.
        low: the least value, at most 0: a number, or an array that broadcasts to the weights.
        high: the largest value, at least 0.

    Raises:
        TypeError: the penalty is not a penalty of single weights.
        ValueError: 0 is not between the limits, or the penalty is concave and a limit is neither 0
            nor infinite, where cutting its prox would not give the minimum.

    Source: Parikh and Boyd, Proximal Algorithms (2014), section 6.8.
    """

    penalty: Penalty
    low: ArrayLike = -np.inf
    high: ArrayLike = np.inf

    def __post_init__(self) -> None:
        base = self.penalty.penalty if isinstance(self.penalty, Weighted) else self.penalty
        if not isinstance(base, Penalty) or isinstance(base, GroupPenalty | Limited):
            raise TypeError(
                f"Limited: expected a penalty of single weights, got {self.penalty!r}; pass "
                "jaxreg.L1(1e-3), say"
            )
        for name, limit, side in (("low", self.low, -1), ("high", self.high, 1)):
            if isinstance(limit, jax.core.Tracer):
                continue
            numbers = np.asarray(limit)
            if numbers.dtype.kind not in "iuf" or not (side * numbers >= 0).all():
                raise ValueError(
                    f"Limited: expected {'low ≤ 0' if side < 0 else 'high ≥ 0'}, so that a weight "
                    f"may be 0, got {name}={limit!r}"
                )
            if isinstance(base, Concave) and not (np.isinf(numbers) | (numbers == 0)).all():
                raise ValueError(
                    f"Limited: expected limits of 0 or infinity for a concave penalty, got "
                    f"{name}={limit!r}"
                )

    def bounds(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The limits as arrays."""
        return like(self.low, x), like(self.high, x)

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        low, high = self.bounds(x)
        return self.penalty.value(x) + jnp.where(jnp.any((x < low) | (x > high)), jnp.inf, 0)

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        return jnp.clip(self.penalty.prox(w, step), *self.bounds(w)).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        """That of φ, as if there were no limits."""
        return self.penalty.subgradient(x)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        slope = like(gradient, x)
        low, high = self.bounds(x)
        # At a limit, what pushes across it does not count.
        move = self.penalty.prox(x - slope, 1.0) - x
        held = ((x == high) & (move >= 0)) | ((x == low) & (move <= 0))
        outside = jnp.maximum(low - x, x - high)
        inside = jnp.where(held, 0, self.penalty.violation(x, slope))
        return jnp.where(outside > 0, outside, inside)

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """The largest of v·x − φ(x) at 0, at finite limits, and at the solution of φ* between
        them.
        """
        v = wide(v)
        low, high = (jnp.broadcast_to(limit, v.shape) for limit in self.bounds(v))
        free = jax.grad(lambda v: jnp.sum(self.penalty.conjugate(v)))(v)
        tried = [jnp.zeros_like(v), jnp.clip(free, low, high)]
        tried += [jnp.where(jnp.isfinite(limit), limit, 0) for limit in (low, high)]
        return jnp.stack([v * x - self.each(x) for x in tried]).max(0)

    def each(self, x: jax.Array) -> jax.Array:
        """φ of each weight, in the shape of x."""
        weighted = self.penalty
        if not isinstance(weighted, Weighted):
            weighted = Weighted(self.penalty, 1.0)
        values = jax.vmap(weighted.penalty.value)(x.ravel()).reshape(x.shape)
        return weighted.spread(x) * values

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        v = wide(v)
        low, high = self.bounds(v)
        bounded = jnp.where(v > 0, jnp.isfinite(high), jnp.isfinite(low))
        return self.penalty.dual_scale(jnp.where(bounded, 0, v))

    def slope(self, x: ArrayLike) -> jax.Array:
        """That of φ."""
        return self.penalty.slope(x)

    def pool(self, d: jax.Array) -> jax.Array:
        return self.penalty.pool(d)

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """That of φ, where what pushes weights across a limit at 0 does not count."""
        slope = wide(gradient)
        low, high = self.bounds(slope)
        held = ((slope < 0) & (high == 0)) | ((slope > 0) & (low == 0))
        return self.penalty.critical_strength(jnp.where(held, 0, slope))
