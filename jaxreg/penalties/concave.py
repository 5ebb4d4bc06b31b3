"""Concave penalties of single weights: sparse like L1, but large weights are shrunk less or not at
all.

Each is a sum of φ(|wᵢ|) with φ increasing and concave. `LogSum`, `MCP` and `SCAD` have the slope λ
at 0, so that λ means what it means in `L1`: their critical strength is L1's, and for a large shape
parameter they become L1. `Bridge` and `L0`, in `jaxreg.penalties.bridge`, are infinitely steep at
0.

    tx = jaxreg.prox_adam(1e-3, jaxreg.LogSum(1e-4, scale=0.01), mask=jaxreg.kernels)
    tx = jaxreg.prox_adam(1e-3, jaxreg.MCP(1e-4, gamma=100.0), mask=jaxreg.kernels)

The objective loss + R is not convex, even if the loss is. It may have many stationary points, each
of which is a local minimum at best. `kkt_residual` certifies that a point is stationary, not that
it is the global minimum.

`prox`, however, is the global minimum of its own problem, argmin_u ½(u − x)²/step + φ(|u|), for
steps of any size. Textbooks bound the step (step < γ for MCP), but the step lr/D of an adaptive
optimizer is large where gradients are small. Where 0 and another point have the same value, the
prox is 0.
"""

from __future__ import annotations

import abc
import math

import jax
import jax.numpy as jnp

from jaxreg._arrays import fusible, like, wide
from jaxreg._checks import check_above, check_number
from jaxreg._typing import ArrayLike, ScalarOrSchedule
from jaxreg.penalties.base import Penalty

LOG1P = (
    0.999999811,
    -0.499974505,
    0.332761874,
    -0.244996566,
    0.177571175,
    -0.107854691,
    0.0442147247,
    -0.00857478033,
)
"""A polynomial close to log(1 + f)/f for f from 0 to 1, fitted at Chebyshev points; the constant
comes first.
"""


class Concave(Penalty):
    """R(x) = Σ φ(|xᵢ|). Subclasses define φ, its derivative and its prox for magnitudes u ≥ 0 in
    float32 or wider.
    """

    strength: ScalarOrSchedule

    @abc.abstractmethod
    def charge(self, u: jax.Array) -> jax.Array:
        """Computes φ(u), differentiable with derivative φ'(u) wherever u > 0."""

    @abc.abstractmethod
    def steepness(self, u: jax.Array) -> jax.Array:
        """Computes φ'(u) where u > 0, and any finite number where u = 0."""

    @abc.abstractmethod
    def shrink(self, u: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Solves argmin over v ≥ 0 of ½(v − u)²/step + φ(v).

        Returns:
            Where the solution is 0 (False where u is NaN), and the solution elsewhere.
        """

    def excess(self, gradient: jax.Array) -> jax.Array:
        """Distance of the gradient at a zero weight from the interval [−φ'(0), φ'(0)]."""
        return jnp.maximum(jnp.abs(gradient) - like(self.strength, gradient), 0)

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        # |x| written so that its derivative at 0 is 0.
        return jnp.sum(self.charge(x * jax.lax.stop_gradient(jnp.sign(x))))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        zero, shrunk = self.shrink(jnp.abs(w), fusible(like(step, w)))
        return jnp.where(zero, 0, jnp.where(w < 0, -shrunk, shrunk)).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return self.steepness(jnp.abs(x)) * jnp.sign(x)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        gradient = like(gradient, x)
        # Only x == 0 selects the interval, so that a NaN weight or gradient gives a NaN violation.
        return jnp.where(x == 0, self.excess(gradient), jnp.abs(gradient + self.subgradient(x)))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """max|gradient|, as for L1: for smaller λ, 0 is not even a local minimum."""
        return jnp.max(jnp.abs(wide(gradient)), initial=0)


class LogSum(Concave):
    """R(x) = λε Σ log(1 + |xᵢ|/ε), the log-sum penalty; its slope falls from λ at 0 to λ/2 at |xᵢ|
    = ε and on to 0.

    prox(x, step) = argmin_u ½(u − x)²/step + λε log(1 + |u|/ε). Its solution is 0 or x − δ·sign(x),
    where δ = 2κε/(|x| + ε + √((|x| − ε)² + 4ε(|x| − κ))) and κ = step·λ; it is not 0 where |x| > κ,
    and else where the second point exists and has the smaller objective.

    With `scale` → ∞ it becomes L1. With `scale` → 0 and λ·scale·log(1/scale) fixed, it approaches
    L0.

    Args:
        strength: λ ≥ 0, the slope at 0: a number, an array (for `jax.vmap`) or an optax schedule.
        scale: ε > 0, the size of a weight at which the slope is half of λ: a number, an array or a
            schedule.

    Raises:
        TypeError: an argument is not numeric.
        ValueError: the strength is negative, NaN or infinite, or the scale is not positive.

    Source: Candès, Wakin and Boyd, Enhancing Sparsity by Reweighted ℓ1 Minimization (2008); prox as
        in Prater-Bennette, Shen and Tripp, The Proximity Operator of the Log-Sum Penalty (2021),
        here for steps of any size.
    """

    strength: ScalarOrSchedule
    scale: ScalarOrSchedule = 0.01

    def __post_init__(self) -> None:
        check_number("LogSum", "strength", self.strength)
        check_above("LogSum", "scale", self.scale, 0, "0.01; a large one gives L1")

    def charge(self, u: jax.Array) -> jax.Array:
        scale = like(self.scale, u)
        return like(self.strength, u) * scale * jnp.log1p(u / scale)

    def steepness(self, u: jax.Array) -> jax.Array:
        return like(self.strength, u) / (1 + u / like(self.scale, u))

    def shrink(self, u: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        # In units of ε. The inverse of a scalar is computed once, not for each weight.
        scale = like(self.scale, u)
        inverse = 1 / scale
        y, k = u * inverse, step * (like(self.strength, u) * inverse)
        # This form of (y + 1)² − 4k does not cancel where y > k. There the point is the minimum
        # without a comparison.
        discriminant = jnp.square(y - 1) + 4 * (y - k)
        # Where the root is not real, it is not used; the smallest number makes its derivative
        # finite at 0.
        root = jnp.sqrt(jnp.abs(discriminant) + float(jnp.finfo(u.dtype).tiny))
        # v = u − δ has an error of a few roundings of u, as for soft thresholding, and is u itself
        # without strength or step.
        moved = fusible(2 * k / (y + 1 + root))
        z = y - moved
        lower = (y > 1) & (discriminant > 0) & (2 * k * log(1 + z) < z * (y + moved))
        # Rounding must not carry a weight past 0.
        return (y <= k) & ~lower | (z <= 0), u - scale * moved

    def slope(self, x: ArrayLike) -> jax.Array:
        """At most λ, and at least 2φ(|x|)/|x|, twice the slope of the chord from 0, where that is
        below λ.

        Tangents of the logarithm at |x|/ε = 4 and 100 bound φ, to a third of its value up to |x| =
        300·ε.
        """
        x = wide(x)
        # At 0 the inverse is a large number instead of infinity, so that derivatives are finite.
        inverse = fusible(like(self.scale, x) / (jnp.abs(x) + smallest(x)))
        near, far = (2 * ((math.log1p(z) - z / (1 + z)) * inverse + 1 / (1 + z)) for z in (4, 100))
        bound = jnp.where(near < far, near, far)
        return like(self.strength, x) * jnp.where(bound < 1, bound, 1)


class MCP(Concave):
    """R(x) = Σ φ(|xᵢ|), φ(u) = λu − u²/(2γ) up to u = γλ and γλ²/2 beyond: the minimax concave
    penalty.

    Weights above γλ are not shrunk at all. prox(x, step) = argmin_u ½(u − x)²/step + φ(|u|) is firm
    thresholding if step < γ: 0 up to step·λ, x above γλ, and (x ∓ step·λ)/(1 − step/γ) between. For
    larger steps it is hard thresholding at λ√(step·γ).

    With `gamma` → ∞ it becomes L1.

    Args:
        strength: λ ≥ 0, the slope at 0: a number, an array (for `jax.vmap`) or an optax schedule.
        gamma: γ > 1; the penalty is constant above γλ. A number, an array or a schedule.

    Raises:
        TypeError: an argument is not numeric.
        ValueError: the strength is negative, NaN or infinite, or gamma is not above 1.

    Source: Zhang, Nearly unbiased variable selection under minimax concave penalty (2010).
    """

    strength: ScalarOrSchedule
    gamma: ScalarOrSchedule = 3.0

    def __post_init__(self) -> None:
        check_number("MCP", "strength", self.strength)
        check_above("MCP", "gamma", self.gamma, 1, "3.0; a large one gives L1")

    def charge(self, u: jax.Array) -> jax.Array:
        strength, gamma = like(self.strength, u), like(self.gamma, u)
        rising = jnp.minimum(u, gamma * strength)
        return strength * rising - jnp.square(rising) / (2 * gamma)

    def steepness(self, u: jax.Array) -> jax.Array:
        return jnp.maximum(like(self.strength, u) - u / like(self.gamma, u), 0)

    def shrink(self, u: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        strength, gamma = like(self.strength, u), like(self.gamma, u)
        gentle = step < gamma
        # Without strength the prox is the identity, even where u² underflows.
        jump = (jnp.square(u) <= jnp.square(strength) * gamma * step) & (strength > 0)
        zero = (u <= step * strength) & gentle | (jump | (u == 0)) & ~gentle
        firm = gentle & (u < gamma * strength)
        soft = u - step * strength
        # Just below step = γ the factor is so large that rounding could carry the weight beyond u.
        between = soft + soft * (step / jnp.where(firm, gamma - step, 1))
        return zero, jnp.where(firm & (between < u), between, u)

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ·min(1, γλ/|x|), at least the slope of the chord from 0 that a jump to 0 has to
        overcome.
        """
        u = jnp.abs(wide(x))
        strength = like(self.strength, u)
        return strength * share_above(u, like(self.gamma, u) * strength)


class SCAD(Concave):
    """R(x) = Σ φ(|xᵢ|), φ'(u) = λ up to u = λ, then falling on a line to 0 at u = aλ: smoothly
    clipped absolute deviation.

    φ(u) is λu, then (2aλu − u² − λ²)/(2(a − 1)), and λ²(a + 1)/2 beyond aλ. Weights above aλ are
    not shrunk at all. prox(x, step) = argmin_u ½(u − x)²/step + φ(|u|) soft-thresholds by step·λ up
    to an edge. Above it, the prox is ((a − 1)x ∓ aλ·step)/(a − 1 − step) while |x| < aλ, and then
    x. The edge is (1 + step)λ if step < a − 1; for larger steps the middle part is missing and the
    edge is λ(a + 1 + step)/2, or λ√(step(a + 1)) from step = a + 1 on.

    With `a` → ∞ it becomes L1.

    Args:
        strength: λ ≥ 0, the slope at 0: a number, an array (for `jax.vmap`) or an optax schedule.
        a: above 2; the penalty is constant above aλ. A number, an array or a schedule.

    Raises:
        TypeError: an argument is not numeric.
        ValueError: the strength is negative, NaN or infinite, or a is not above 2.

    Source: Fan and Li, Variable selection via nonconcave penalized likelihood and its oracle
        properties (2001).
    """

    strength: ScalarOrSchedule
    a: ScalarOrSchedule = 3.7

    def __post_init__(self) -> None:
        check_number("SCAD", "strength", self.strength)
        check_above("SCAD", "a", self.a, 2, "3.7; a large one gives L1")

    def charge(self, u: jax.Array) -> jax.Array:
        strength, a = like(self.strength, u), like(self.a, u)
        rising = jnp.minimum(u, a * strength)
        return strength * rising - jnp.square(jnp.maximum(rising - strength, 0)) / (2 * (a - 1))

    def steepness(self, u: jax.Array) -> jax.Array:
        strength = like(self.strength, u)
        return jnp.maximum(strength - jnp.maximum(u - strength, 0) / (like(self.a, u) - 1), 0)

    def shrink(self, u: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        strength, a = like(self.strength, u), like(self.a, u)
        short = step < a - 1
        edge = strength * jnp.where(short, 1 + step, (a + 1 + step) / 2)
        # Beyond step = a + 1 the jump starts at 0. Without strength the prox is the identity, even
        # where u² underflows.
        jump = (jnp.square(u) <= jnp.square(strength) * (a + 1) * step) & (strength > 0)
        below = (u <= edge) & (step < a + 1) | (jump | (u == 0)) & (step >= a + 1)
        soft = u - step * strength
        falling = short & (u < a * strength)
        middle = jnp.maximum(
            u - step * ((a * strength - u) / jnp.where(short, a - 1 - step, 1)), strength
        )
        return below & (soft <= 0), jnp.where(below, soft, jnp.where(falling, middle, u))

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ·min(1, (a + 1)λ/|x|), at least the slope of the chord from 0 that a jump to 0 has to
        overcome.
        """
        u = jnp.abs(wide(x))
        strength = like(self.strength, u)
        return strength * share_above(u, (like(self.a, u) + 1) * strength)


def log(x: jax.Array) -> jax.Array:
    """Computes log x for x ≥ 1; in float32 to 1e-7, which on CPUs takes a third of the time of
    `jnp.log` and its cases.
    """
    if x.dtype != jnp.float32:
        return jnp.log(x)
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    exponent = ((bits >> 23) - 127).astype(jnp.float32)
    fraction = jax.lax.bitcast_convert_type((bits & 0x7FFFFF) | 0x3F800000, jnp.float32) - 1
    ratio = jnp.full_like(x, LOG1P[-1])
    for coefficient in LOG1P[-2::-1]:
        ratio = ratio * fraction + coefficient
    return exponent * math.log(2) + fraction * ratio


def share_above(u: jax.Array, edge: jax.Array) -> jax.Array:
    """Computes min(1, edge/u), also where both are 0."""
    edge = jnp.maximum(edge, smallest(u))
    return edge / jnp.where(u > edge, u, edge)


def smallest(u: jax.Array) -> float:
    """A magnitude whose inverse is far from overflow."""
    return float(jnp.finfo(u.dtype).tiny) ** 0.5
