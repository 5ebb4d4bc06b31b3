"""Penalties that are infinitely steep at 0: the bridge λ Σ|w|^q with q < 1, and the number of nonzero weights.

0 is a local minimum of loss + R for every positive λ. A weight that is 0 remains 0 unless one step carries it over the
threshold of the prox, so start from weights that are not 0.

    tx = jaxreg.prox_adam(1e-3, jaxreg.Bridge(1e-5), mask=jaxreg.kernels)              # λ Σ √|w|
    tx = jaxreg.prox_adam(1e-3, jaxreg.L0(1e-6), mask=jaxreg.kernels)
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from jaxreg._checks import check_number, check_power
from jaxreg._dtypes import like, wide
from jaxreg._typing import ArrayLike, ScalarOrSchedule
from jaxreg.penalties.concave import Concave


class Steep(Concave):
    """A penalty that is infinitely steep at 0, where every gradient is stationary."""

    def excess(self, gradient: jax.Array) -> jax.Array:
        # 0, but NaN for a NaN gradient.
        return jnp.minimum(jnp.abs(gradient), 0)

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """0, as x = 0 is a local minimum for every positive λ; NaN if the gradient has a NaN."""
        return self.excess(jnp.max(jnp.abs(wide(gradient)), initial=0))


class Bridge(Steep):
    """R(x) = λ Σ |xᵢ|^q with a power q between 0 and 1, by default λ Σ √|xᵢ|.

    prox(x, step) = argmin_u ½(u − x)²/step + λ|u|^q. With κ = step·λ it is 0 while |x|^(2−q) ≤ κq/c, where c depends on q
    alone (for q = ½, up to |x| = 1.5·κ^(2/3)), and else the larger root u of u − |x| + κq·u^(q−1) = 0, by Newton's method.

    Its slope at 0 is infinite: 0 is a local minimum for every positive λ, so a weight that is 0 remains 0 unless a step
    carries it over the threshold of the prox. Start from weights that are not 0.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule. λ is not a slope, so it is not comparable
            with L1's.
        power: q, a Python number; ½ is the cheapest, then ⅔. It is part of the structure, not data.

    Raises:
        TypeError: the strength is not a number, or the power is not a Python number.
        ValueError: the strength is negative, NaN or infinite, or the power is not between 0 and 1.

    Source: Frank and Friedman, A statistical view of some chemometrics regression tools (1993); for the prox, Marjanovic and
        Solo, On ℓq optimization and matrix completion (2012).
    """

    strength: ScalarOrSchedule
    power: float = dataclasses.field(default=0.5, metadata={"static": True})

    def __post_init__(self) -> None:
        check_number("Bridge", "strength", self.strength)
        object.__setattr__(self, "power", check_power("Bridge", self.power))

    def charge(self, u: jax.Array) -> jax.Array:
        zero = u == 0
        return like(self.strength, u) * jnp.where(zero, 0, raised(jnp.where(zero, 1, u), self.power))

    def steepness(self, u: jax.Array) -> jax.Array:
        zero = u == 0
        rising = raised(jnp.where(zero, 1, u), self.power - 1)
        return like(self.strength, u) * self.power * jnp.where(zero, 0, rising)

    def shrink(self, u: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        exponent, _, largest = newton_constants(self.power)
        size = raised(u, 2 - self.power)
        strength = step * (like(self.strength, u) * self.power)
        # Without strength the prox is the identity, even where `size` underflows.
        zero = (u == 0) | ((size * largest <= strength) & (strength > 0))
        # The unknown is s = (v/u)^(1−q), with s^(m+1) − s + c = 0, where Newton's method falls from 1 to the root.
        c = jnp.where(zero, 0, strength) / jnp.where(zero | (size == 0), 1, size)
        s = 1 - c / exponent
        for _ in range(count_newton_steps(self.power, float(jnp.finfo(u.dtype).eps))):
            power = raised(s, exponent)
            s = (exponent * s * power - c) / ((exponent + 1) * power - 1)
        return zero, u * raised(s, exponent)

    def slope(self, x: ArrayLike) -> jax.Array:
        """(q/c)·λ|x|^(q−1), for q = ½ 1.84·λ/√|x|, below which a step could set the weight to 0; 0 for a weight at 0."""
        u = jnp.abs(wide(x))
        _, _, largest = newton_constants(self.power)
        return self.steepness(jnp.where(u == 0, 0, jnp.maximum(u, smallest(u)))) / largest


class L0(Steep):
    """R(x) = λ·(number of nonzero weights).

    prox(x, step) = argmin_u ½(u − x)²/step + λ[u ≠ 0] is hard thresholding: 0 up to |x| = √(2·step·λ), and x above.

    The derivative of R is 0 wherever it exists: 0 is a local minimum for every positive λ, and so is every minimum of the
    loss over a set of weights. A weight reaches 0 only in one step, from below the threshold of the prox.

    Args:
        strength: λ ≥ 0, the loss that a nonzero weight must save: a number, an array (for `jax.vmap`) or a schedule.

    Raises:
        TypeError: the strength is not a number.
        ValueError: the strength is negative, NaN or infinite.

    Source: Blumensath and Davies, Iterative thresholding for sparse approximations (2008).
    """

    strength: ScalarOrSchedule

    def __post_init__(self) -> None:
        check_number("L0", "strength", self.strength)

    def charge(self, u: jax.Array) -> jax.Array:
        # The sign of a NaN is NaN.
        return like(self.strength, u) * jnp.sign(u)

    def steepness(self, u: jax.Array) -> jax.Array:
        # 0, but NaN for a NaN weight.
        return jnp.minimum(u, 0)

    def shrink(self, u: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        return u <= jnp.sqrt(step * (2 * like(self.strength, u))), u

    def slope(self, x: ArrayLike) -> jax.Array:
        """2λ/|x|, below which a step could set the weight to 0; 0 for a weight at 0."""
        u = jnp.abs(wide(x))
        return 2 * like(self.strength, u) * jnp.where(u == 0, 0, 1 / jnp.maximum(u, smallest(u)))


def smallest(u: jax.Array) -> float:
    """A magnitude whose inverse is far from overflow."""
    return float(jnp.finfo(u.dtype).tiny) ** 0.5


def raised(u: jax.Array, power: float) -> jax.Array:
    """Computes u^power for u ≥ 0, without logarithms for the powers that the bridge of ½ needs."""
    if power == int(power) and 0 < power < 8:
        return jax.lax.integer_pow(u, int(power))
    match power:
        case 0.5:
            return root(u)
        case -0.5:
            return jax.lax.rsqrt(u)
        case 1.5:
            return u * root(u)
        case _:
            return jnp.where(u == 0, 0, jnp.power(jnp.where(u == 0, 1, u), power))


def root(u: jax.Array) -> jax.Array:
    """Computes √u, with derivative 0 at 0."""
    return jnp.where(u == 0, 0, jnp.sqrt(jnp.where(u == 0, 1, u)))


@functools.cache
def newton_constants(power: float) -> tuple[float, float, float]:
    """The bridge's prox in the unknown s = (v/u)^(1−q), which solves s^(m+1) − s + c = 0.

    Returns:
        m = 1/(1 − q), and s and c at the threshold of the prox, where v/u = 2/(m + 1).
    """
    m = 1 / (1 - power)
    m = float(round(m)) if math.isclose(m, round(m), rel_tol=1e-12) else m
    s = (2 / (m + 1)) ** (1 / m)
    return m, s, s * (m - 1) / (m + 1)


@functools.cache
def count_newton_steps(power: float, eps: float) -> int:
    """Number of Newton steps at the threshold, where they are slowest, until the relative error is below 2·eps."""
    m, solution, c = newton_constants(power)
    s, steps = 1 - c / m, 0
    while s > solution * (1 + 2 * eps) and steps < 100:
        s = (m * s ** (m + 1) - c) / ((m + 1) * s**m - 1)
        steps += 1
    return steps
