"""Penalties that are infinitely steep at 0: the bridge λ Σ|w|^q with q < 1, and the number of
nonzero weights.

0 is a local minimum of loss + R for every positive λ. A weight that is 0 remains 0 unless one step
carries it over the threshold of the prox, so start from weights that are not 0.

    tx = jaxreg.prox_adam(1e-3, jaxreg.Bridge(1e-5), mask=jaxreg.kernels)              # λ Σ √|w|
    tx = jaxreg.prox_adam(1e-3, jaxreg.L0(1e-6), mask=jaxreg.kernels)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import fusible, like, ratio, wide
from jaxreg._checks import check_number, check_power
from jaxreg._typing import ArrayLike, ScalarOrSchedule
from jaxreg.penalties.concave import Concave, smallest

DEGREE = 4
"""Of the polynomial that starts Newton's method: one step is then enough for the power ½ in
float32, and two in float64.
"""

ROUNDING = 4e-15
"""What float64 leaves of the error of s."""


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

    prox(x, step) = argmin_u ½(u − x)²/step + λ|u|^q. With κ = step·λ it is 0 while |x|^(2−q) ≤
    κq/c, where c depends on q alone (for q = ½, up to |x| = 1.5·κ^(2/3)), and else the larger root
    u of u − |x| + κq·u^(q−1) = 0, by Newton's method.

    Its slope at 0 is infinite: 0 is a local minimum for every positive λ, so a weight that is 0
    remains 0 unless a step carries it over the threshold of the prox. Start from weights that are
    not 0.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule. λ is not a slope,
            so it is not comparable with L1's.
        power: q, a Python number; ½ is the cheapest, then ⅔. It is part of the structure, not data.

    Raises:
        TypeError: the strength is not a number, or the power is not a Python number.
        ValueError: the strength is negative, NaN or infinite, or the power is not between 0 and 1.

    Source: Frank and Friedman, A statistical view of some chemometrics regression tools (1993); for
        the prox, Marjanovic and Solo, On ℓq optimization and matrix completion (2012).
    """

    strength: ScalarOrSchedule
    power: float = dataclasses.field(default=0.5, metadata={"static": True})

    def __post_init__(self) -> None:
        check_number("Bridge", "strength", self.strength)
        object.__setattr__(self, "power", check_power("Bridge", self.power))

    def charge(self, u: jax.Array) -> jax.Array:
        zero = u == 0
        return like(self.strength, u) * jnp.where(
            zero, 0, raised(jnp.where(zero, 1, u), self.power)
        )

    def steepness(self, u: jax.Array) -> jax.Array:
        zero = u == 0
        rising = raised(jnp.where(zero, 1, u), self.power - 1)
        return like(self.strength, u) * self.power * jnp.where(zero, 0, rising)

    def shrink(self, u: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        root = bridge_root(self.power)
        size = raised(u, 2 - self.power)
        strength = step * (like(self.strength, u) * self.power)
        # Without strength the prox is the identity, even where `size` underflows.
        zero = (size * root.largest <= strength) & ((strength > 0) | (u == 0))
        c = jnp.where(
            zero,
            0,
            fusible(ratio(strength, jnp.where(zero, 1, size + float(jnp.finfo(u.dtype).tiny)))),
        )
        return zero, u * (1 - root.shrinkage(c))

    def slope(self, x: ArrayLike) -> jax.Array:
        """(q/c)·λ|x|^(q−1), for q = ½ 1.84·λ/√|x|, below which a step could set the weight to 0; 0
        for a weight at 0.
        """
        u = jnp.abs(wide(x))
        rising = raised(jnp.where(u < smallest(u), jnp.inf, u), self.power - 1)
        return like(self.strength, u) * (self.power / bridge_root(self.power).largest) * rising


class L0(Steep):
    """R(x) = λ·(number of nonzero weights).

    prox(x, step) = argmin_u ½(u − x)²/step + λ[u ≠ 0] is hard thresholding: 0 up to |x| =
    √(2·step·λ), and x above.

    The derivative of R is 0 wherever it exists: 0 is a local minimum for every positive λ, and so
    is every minimum of the loss over a set of weights. A weight reaches 0 only in one step, from
    below the threshold of the prox.

    With an adaptive optimizer and minibatches, pass `max_shrink=None`: by default only weights up
    to the learning rate may jump to 0. The prox then removes weights with |w|√D below √(2·lr·λ),
    those that are small in the metric of D.

    Args:
        strength: λ ≥ 0, the loss that a nonzero weight must save: a number, an array (for
            `jax.vmap`) or a schedule.

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
        threshold = step * (2 * like(self.strength, u))
        # Without strength the prox is the identity, even where u² underflows.
        return (u == 0) | ((jnp.square(u) <= threshold) & (threshold > 0)), u

    def slope(self, x: ArrayLike) -> jax.Array:
        """2λ/|x|, below which a step could set the weight to 0; 0 for a weight at 0."""
        u = jnp.abs(wide(x))
        return 2 * like(self.strength, u) / jnp.where(u < smallest(u), jnp.inf, u)


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
            # The smallest number makes the derivative finite at 0.
            return u * jnp.sqrt(u + float(jnp.finfo(u.dtype).tiny))
        case _:
            return jnp.where(u == 0, 0, jnp.power(jnp.where(u == 0, 1, u), power))


def root(u: jax.Array) -> jax.Array:
    """Computes √u, with derivative 0 at 0."""
    return jnp.where(u == 0, 0, jnp.sqrt(jnp.where(u == 0, 1, u)))


class BridgeRoot(NamedTuple):
    """The larger root of the bridge's stationarity condition, in units of the weight.

    The unknown is s = (v/u)^(1−q), which solves s^(m+1) − s + c = 0 with m = 1/(1 − q) and c =
    step·λq/u^(2−q). It falls from 1 at c = 0 to `end` at the threshold of the prox, where v/u =
    2/(m + 1).

    Attributes:
        m: 1/(1 − q).
        end: s at the threshold.
        largest: c at the threshold.
        start: coefficients of a polynomial in c that is near s, the constant first.
    """

    m: float
    end: float
    largest: float
    start: tuple[float, ...]

    def newton(self, s: Any, c: Any) -> tuple[Any, Any]:
        """Numerator and denominator of Newton's next s. The denominator is at least 1 from `end`
        on.
        """
        power = raised(s, self.m)
        return self.m * s * power - c, (self.m + 1) * power - 1

    def shrinkage(self, c: jax.Array) -> jax.Array:
        """Computes 1 − v/u = c/s."""
        s = jnp.full_like(c, self.start[-1])
        for coefficient in self.start[-2::-1]:
            s = s * c + coefficient
        s = jnp.where(s < self.end, self.end, s)
        for _ in range(count_newton_steps(self, float(jnp.finfo(c.dtype).eps)) - 1):
            over, under = self.newton(s, c)
            s = fusible(over / under)
        # The last step is not divided out, as its inverse is what is needed.
        over, under = self.newton(s, c)
        return c * under / over


@functools.cache
def bridge_root(power: float) -> BridgeRoot:
    """The constants of a power, with a polynomial fitted to the root."""
    m = 1 / (1 - power)
    m = float(round(m)) if math.isclose(m, round(m), rel_tol=1e-12) else m
    end = (2 / (m + 1)) ** (1 / m)
    largest = end * (m - 1) / (m + 1)
    exact = BridgeRoot(m, end, largest, ())
    c, s = roots(exact)
    fit = np.polynomial.Chebyshev.fit(c, s, DEGREE, domain=[0, largest])
    return exact._replace(
        start=tuple(float(number) for number in fit.convert(kind=np.polynomial.Polynomial).coef)
    )


def roots(root: BridgeRoot) -> tuple[np.ndarray, np.ndarray]:
    """Values of c from 0 to the threshold, dense at the ends, and s there."""
    c = root.largest * (1 - np.cos(np.linspace(0, np.pi, 201))) / 2
    s = np.ones_like(c)
    for _ in range(100):
        s = (root.m * s ** (root.m + 1) - c) / ((root.m + 1) * s**root.m - 1)
    return c, s


@functools.cache
def count_newton_steps(root: BridgeRoot, eps: float) -> int:
    """Number of Newton steps from the polynomial, at least 1, until s has a relative error below
    2·eps, or rounding.
    """
    c, solution = roots(root)
    s = np.maximum(np.polynomial.Polynomial(root.start)(c), root.end)
    steps = 0
    while steps == 0 or (np.max(np.abs(s / solution - 1)) > max(2 * eps, ROUNDING) and steps < 20):
        s = (root.m * s ** (root.m + 1) - c) / ((root.m + 1) * s**root.m - 1)
        steps += 1
    return steps
