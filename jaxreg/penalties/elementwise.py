"""Penalties of single weights: L1, squared L2 and their sum, the elastic net."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxreg._arrays import like, wide
from jaxreg._checks import check_number
from jaxreg._typing import ArrayLike, ScalarOrSchedule
from jaxreg.penalties.base import Penalty


def soft_threshold(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """Moves x towards 0 by `threshold` and stops there: exactly +0.0 inside, NaN and infinities
    pass through.

    The usual where(|x| > t, …, 0) would turn NaN into 0, and a diverged run would look perfectly
    sparse. The value equals x − clip(x, −t, t), but the derivative of `where` at |x| = t is 1, so
    with t = 0 the function is the identity.
    """
    return x - jnp.where(jnp.abs(x) < threshold, x, with_sign(threshold, x))


@jax.custom_jvp
def with_sign(size: jax.Array, x: jax.Array) -> jax.Array:
    """Gives a size the sign of x, in less time on a CPU than size · sign(x), whose derivatives it
    has; it is not 0 at x = 0.
    """
    return jnp.where(x < 0, -size, size)


with_sign.defjvps(lambda tangent, *rest: tangent * jnp.sign(rest[-1]), None)


def distance_to_sign(x: jax.Array, slope: jax.Array, strength: jax.Array) -> jax.Array:
    """Distance of −slope from strength·∂|x|, per weight: from the interval [−strength, strength] if
    x = 0, else a point.
    """
    # Only x == 0 selects the interval, so that a NaN weight or gradient gives a NaN violation.
    return jnp.where(
        x == 0, jnp.maximum(jnp.abs(slope) - strength, 0), jnp.abs(slope + strength * jnp.sign(x))
    )


def scale_within(bound: jax.Array, size: jax.Array) -> jax.Array:
    """The largest factor a for which a·size is at most a bound; NaN if the size is."""
    return jnp.where(size == 0, jnp.inf, bound / jnp.where(size == 0, 1, size))


class L1(Penalty):
    """R(x) = λ Σ|xᵢ|, the lasso penalty.

    prox(x, step) = argmin_u ½‖u − x‖²/step + λ‖u‖₁ = x − clip(x, −step·λ, step·λ): soft
    thresholding.

    λ equals `alpha` of scikit-learn's `Lasso` with the loss (1/2n)‖y − Xw‖², and Keras's `l1`.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.

    Raises:
        TypeError: the strength is not a number.
        ValueError: the strength is negative, NaN or infinite.

    Source: Parikh and Boyd, Proximal Algorithms (2014), section 6.5.2.
    """

    strength: ScalarOrSchedule

    def __post_init__(self) -> None:
        check_number("L1", "strength", self.strength)

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        # x·sign(x) has derivative 0 at 0, the least subgradient; jax.grad of jnp.abs gives 1 there.
        return like(self.strength, x) * jnp.sum(x * jax.lax.stop_gradient(jnp.sign(x)))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        return soft_threshold(w, like(step, w) * like(self.strength, w)).astype(
            jnp.asarray(x).dtype
        )

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * jnp.sign(x)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        return distance_to_sign(x, like(gradient, x), like(self.strength, x))

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """0 where |vᵢ| ≤ λ."""
        return jnp.zeros_like(wide(v))

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        return scale_within(like(self.strength, wide(v)), self.critical_strength(v))

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ, whatever the weights."""
        return like(self.strength, wide(x))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        return jnp.max(jnp.abs(wide(gradient)), initial=0)


class SquaredL2(Penalty):
    """R(x) = λ Σ xᵢ², without a factor ½: its gradient is 2λx.

    prox(x, step) = argmin_u ½‖u − x‖²/step + λ‖u‖² = x / (1 + 2·step·λ).

    λ equals Keras's `l2`, and `weight_decay` of optax and PyTorch equals 2λ. scikit-learn's
    `Ridge(alpha)`, with the loss ‖y − Xw‖², corresponds to λ = alpha/(2n) with the loss (1/2n)‖y −
    Xw‖².

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.

    Raises:
        TypeError: the strength is not a number.
        ValueError: the strength is negative, NaN or infinite.

    Source: Parikh and Boyd, Proximal Algorithms (2014), section 6.1.1.
    """

    strength: ScalarOrSchedule

    def __post_init__(self) -> None:
        check_number("SquaredL2", "strength", self.strength)

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * jnp.sum(x * x)

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        return (w / (1 + 2 * like(step, w) * like(self.strength, w))).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return 2 * like(self.strength, x) * x

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        return jnp.abs(like(gradient, x) + 2 * like(self.strength, x) * x)

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """vᵢ²/4λ."""
        return ElasticNet(0.0, self.strength).conjugate(v)

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        return ElasticNet(0.0, self.strength).dual_scale(v)

    def slope(self, x: ArrayLike) -> jax.Array:
        """2λ, the slope at |w| = 1, for weights of any size: each shrinks by a fraction of itself
        and none becomes 0.
        """
        return 2 * like(self.strength, wide(x))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """0 if the gradient is 0, else infinity: no finite λ makes every weight 0."""
        largest = jnp.max(jnp.abs(wide(gradient)), initial=0)
        # Multiplied by infinity rather than replaced by it, so that a NaN gradient gives NaN.
        return jnp.where(largest == 0, 0, largest * jnp.inf)


class ElasticNet(Penalty):
    """R(x) = λ₁ Σ|xᵢ| + λ₂ Σ xᵢ².

    prox(x, step) = argmin_u ½‖u − x‖²/step + λ₁‖u‖₁ + λ₂‖u‖²: soft-threshold by step·λ₁, then
    divide by 1 + 2·step·λ₂.

    scikit-learn's `ElasticNet(alpha, l1_ratio)` corresponds to λ₁ = alpha·l1_ratio and λ₂ =
    alpha·(1 − l1_ratio)/2, with the loss (1/2n)‖y − Xw‖².

    Args:
        l1_strength: λ₁ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        l2_strength: λ₂ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.

    Raises:
        TypeError: a strength is not a number.
        ValueError: a strength is negative, NaN or infinite.

    Source: Zou and Hastie (2005); prox as in Parikh and Boyd (2014), section 6.5.3.
    """

    l1_strength: ScalarOrSchedule
    l2_strength: ScalarOrSchedule

    def __post_init__(self) -> None:
        check_number("ElasticNet", "l1_strength", self.l1_strength)
        check_number("ElasticNet", "l2_strength", self.l2_strength)

    @property
    def parts(self) -> tuple[L1, SquaredL2]:
        """The two penalties whose sum this is."""
        return L1(self.l1_strength), SquaredL2(self.l2_strength)

    def value(self, x: ArrayLike) -> jax.Array:
        l1, l2 = self.parts
        return l1.value(x) + l2.value(x)

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        l1, l2 = self.parts
        return l2.prox(l1.prox(wide(x), step), step).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        l1, l2 = self.parts
        return l1.subgradient(x) + l2.subgradient(x)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        l1, l2 = self.parts
        return l1.violation(x, like(gradient, wide(x)) + l2.subgradient(x))

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """max(|vᵢ| − λ₁, 0)²/4λ₂; L1's for λ₂ = 0."""
        v = wide(v)
        l2 = like(self.l2_strength, v)
        beyond = jnp.maximum(jnp.abs(v) - like(self.l1_strength, v), 0)
        return jnp.where(l2 > 0, jnp.square(beyond) / (4 * jnp.where(l2 > 0, l2, 1)), 0)

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        """Infinity; L1's for λ₂ = 0."""
        l1, _ = self.parts
        return jnp.where(like(self.l2_strength, wide(v)) > 0, jnp.inf, l1.dual_scale(v))

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ₁ + 2λ₂, the sum of the slopes of its parts."""
        l1, l2 = self.parts
        return l1.slope(x) + l2.slope(x)

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """The smallest `l1_strength` at which x = 0 is optimal; it does not depend on
        `l2_strength`.
        """
        return jnp.max(jnp.abs(wide(gradient)), initial=0)
