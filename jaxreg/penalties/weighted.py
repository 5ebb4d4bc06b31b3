"""A strength for each weight, or for each group."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxreg._arrays import like, wide
from jaxreg._checks import check_number
from jaxreg._groups import norm
from jaxreg._typing import ArrayLike
from jaxreg.penalties.base import Penalty


class Weighted(Penalty):
    """R(x) = Σᵢ fᵢ φ(xᵢ), another penalty Σᵢ φ(xᵢ) with a factor fᵢ ≥ 0 for each weight: its
    strength there is fᵢλ.

    prox(x, step) = argmin_u ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + Σᵢ fᵢ φ(uᵢ) = prox_φ(x, f·step), and x where f
    = 0. For a penalty of groups there is one factor for each group, R(x) = Σ_g f_g φ(‖x_g‖).

    Weights with a factor of 0 are not penalised. Factors are glmnet's `penalty.factor`, but are not
    rescaled to a mean of 1. The adaptive lasso has the factors 1/|ŵᵢ|^γ, with ŵ the solution of a
    first fit:

        >>> import jax.numpy as jnp
        >>> from jaxreg import L1
        >>> first_fit = jnp.array([2.0, 0.5, 0.1])
        >>> print(Weighted(L1(0.1), 1 / jnp.abs(first_fit)).prox(first_fit, step=1.0).round(1))
        [2.  0.3 0. ]

    Factors belong to one array. In a tree of parameters, write a penalty for each leaf:
    `{"embedding": Weighted(L1(1e-4), factors), "blocks": L1(1e-4)}`.

    Args:
        penalty: a penalty of single weights or of groups.
        factors: f ≥ 0, an array that broadcasts against the weights. For a penalty of groups it
            broadcasts against the norms of the groups with `axis` kept at length 1, or has their
            shape without `axis`.

    Raises:
        TypeError: the penalty is not a `Penalty`, or the factors are not numbers.
        ValueError: a factor is negative, NaN or infinite, or (once the penalty sees an array) the
            factors do not fit.

    Source: Zou, The adaptive lasso and its oracle properties (2006).
    """

    penalty: Penalty
    factors: ArrayLike

    def __post_init__(self) -> None:
        if not isinstance(self.penalty, Penalty):
            raise TypeError(
                f"Weighted: expected a penalty such as jaxreg.L1(1e-4), got {self.penalty!r}"
            )
        from jaxreg.penalties.limited import Limited  # which knows this class

        if isinstance(self.penalty, Limited):
            raise TypeError(
                "Weighted: limits come last, jaxreg.Limited(jaxreg.Weighted(penalty, factors), low)"
            )
        check_number("Weighted", "factors", self.factors)

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        axes = self.axes(x) or ()
        others = [a for a in range(x.ndim) if a not in axes]

        def value(group: jax.Array) -> jax.Array:
            # In the rank of x, as the penalty knows its axes there.
            return self.penalty.value(jnp.expand_dims(group, others))

        for axis in others:
            value = jax.vmap(value, in_axes=axis, out_axes=-1)
        return jnp.sum(jnp.squeeze(self.spread(x), axes) * value(x))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        factors = self.spread(w)
        # A prox need not accept a step of 0.
        step = like(step, w) * jnp.where(factors == 0, 1, factors)
        return jnp.where(factors == 0, w, self.penalty.prox(w, step)).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return self.spread(x) * self.penalty.subgradient(x)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        axes, slope = self.axes(x), like(gradient, x)
        factors, scaled = self.spread(x), self.divided(slope)
        free = jnp.abs(slope)
        if axes is not None:
            free, factors = jnp.squeeze(norm(slope, axes), axes), jnp.squeeze(factors, axes)
        return jnp.where(factors == 0, free, factors * self.penalty.violation(x, scaled))

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """Σᵢ fᵢ φ*(vᵢ/fᵢ), where vᵢ = 0 for weights with a factor of 0."""
        v = wide(v)
        return jnp.squeeze(self.spread(v), self.axes(v) or ()) * self.penalty.conjugate(
            self.divided(v)
        )

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        v = wide(v)
        free = jnp.any((self.spread(v) == 0) & (v != 0))
        return jnp.where(free, 0, self.penalty.dual_scale(self.divided(v)))

    def slope(self, x: ArrayLike) -> jax.Array:
        """The slope of the penalty, multiplied by the factors."""
        x = wide(x)
        return self.spread(x) * self.penalty.slope(x)

    def axes(self, x: ArrayLike) -> tuple[int, ...] | None:
        return self.penalty.axes(x)

    def pool(self, d: jax.Array) -> jax.Array:
        return self.penalty.pool(d)

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """The critical strength of the penalty for gradient/factors, where weights with a factor of
        0 do not count.
        """
        slope = wide(gradient)
        return self.penalty.critical_strength(self.divided(slope))

    def divided(self, slope: jax.Array) -> jax.Array:
        """Divides a gradient by the factors; 0 where they are 0."""
        factors = self.spread(slope)
        return jnp.where(factors == 0, 0, slope / jnp.where(factors == 0, 1, factors))

    def spread(self, x: jax.Array) -> jax.Array:
        """Broadcasts the factors to the shape of `x` or, for groups, of the groups' norms with
        their axes at length 1.

        Raises:
            ValueError: they have another shape.
        """
        factors, axes = like(self.factors, x), self.axes(x) or ()
        # Zeros with the sharding of x, which the factors take.
        blank = jnp.sum(jnp.zeros_like(x), axes, keepdims=True)
        shape = blank.shape
        if axes and factors.shape == tuple(size for a, size in enumerate(x.shape) if a not in axes):
            return factors.reshape(shape) + blank
        fits = factors.ndim <= x.ndim and all(
            length in (1, size)
            for length, size in zip(factors.shape[::-1], shape[::-1], strict=False)
        )
        if not fits:
            per = "group of" if axes else "weight of"
            raise ValueError(
                f"Weighted: expected factors that broadcast to {shape}, one for each {per} an "
                f"array of shape {x.shape}, got shape {factors.shape}; in a tree of parameters "
                "write a penalty with its factors for each leaf"
            )
        return factors + blank
