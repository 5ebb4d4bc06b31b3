"""Penalties: what is charged for a weight, and the four questions an optimizer or a judge asks of it.

A penalty sees one array. It knows nothing of parameter trees, masks, optimizers or learning rates:

    >>> import jax, jax.numpy as jnp
    >>> weights = jnp.array([3.0, -0.2, 0.0])
    >>> print(L1(0.5).prox(weights, step=1.0))
    [2.5 0.  0. ]

Its strength is a leaf of a pytree, so one traced program serves every strength:

    >>> values = jax.vmap(lambda penalty: penalty.value(weights))(L1(jnp.array([0.0, 1.0, 2.0])))
    >>> print(values)
    [0.  3.2 6.4]

and a strength may be an optax schedule, which a link of the chain resolves at its own count: `L1(schedule).at(count)`.

Strengths are per unit of the loss that is being minimised: with a loss that is a mean over examples, λ is per example.
All arithmetic is done in float32 or wider and cast once at the end, since shrinking a bfloat16 weight of 1.0 by 1e-3
would otherwise round back to 1.0.
"""

import abc
import dataclasses
from typing import Any, Self, dataclass_transform

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxreg import _groups
from jaxreg._checks import check_number
from jaxreg._dtypes import Schedule, like, wide
from jaxreg._pytrees import register

Strength = ArrayLike | Schedule


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Penalty(abc.ABC):
    """A convex function R of one array.

    For a penalty of your own, subclass it, declare its strengths as annotated fields, and define `value` and `prox`. The
    subclass becomes a frozen dataclass and a pytree whose fields are leaves; a field that is no number, such as an axis, is
    declared with `dataclasses.field(metadata={"static": True})`. Every transformation, optimizer and diagnostic accepts it:

        >>> class Huber(Penalty):
        ...     strength: float
        ...     def value(self, x):
        ...         return self.strength * jnp.sum(jnp.where(jnp.abs(x) < 1, x * x / 2, jnp.abs(x) - 0.5))
        ...     def prox(self, x, step):
        ...         t = step * self.strength
        ...         return jnp.where(jnp.abs(x) < 1 + t, x / (1 + t), x - t * jnp.sign(x))
        >>> print(Huber(1.0).prox(jnp.array([3.0, 1.0]), step=1.0))
        [2.  0.5]
        >>> print(Huber(1.0).subgradient(jnp.array([3.0, 0.5])))
        [1.  0.5]
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)

    @abc.abstractmethod
    def value(self, x: ArrayLike) -> jax.Array:
        """R(x): a scalar, in float32 or wider. Its gradient under `jax.grad` is `subgradient`."""

    @abc.abstractmethod
    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        """Argmin over u of ½ Σᵢ (uᵢ − xᵢ)² / stepᵢ + R(u).

        Args:
            x: array of any shape; its dtype is the result's.
            step: a scalar, or an array like `x` (the diagonal metric of a preconditioned step); positive.
        """

    def subgradient(self, x: ArrayLike) -> jax.Array:
        """The element of ∂R(x) of least norm, in float32 or wider; shape of `x`. By default the gradient of `value`."""
        return jax.grad(self.value)(wide(x))

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        """How far −`gradient` is from ∂R(x): 0 exactly where x is optimal for loss + R.

        One number per weight (shape of `x`) or, where weights are penalised in groups, one per group (`axis` removed). The
        default is |x − prox(x − gradient, 1)|, the step that proximal gradient descent would take. It is also 0 exactly at
        an optimum, but elsewhere it differs from the distance that jaxreg's own penalties report.
        """
        x = wide(x)
        return jnp.abs(x - self.prox(x - like(gradient, x), 1.0))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """The smallest strength at which x = 0 is optimal, given the loss's gradient there: a scalar.

        Raises:
            NotImplementedError: the penalty does not define it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define critical_strength(gradient): the smallest strength at which 0 is optimal"
        )

    def slope(self, x: ArrayLike) -> jax.Array:
        """How steep R is where weights are like `x`: a scalar, or one number per weight, in float32 or wider.

        An adaptive step divides by D, and `proximal` keeps D at or above slope / max_shrink, so that one step of the prox
        moves no weight much further than the learning rate. The default is the largest |subgradient| in `x`.
        """
        return jnp.max(jnp.abs(self.subgradient(x)), initial=0)

    def at(self, count: ArrayLike) -> Self:
        """The same penalty with every scheduled strength read off at step `count`."""
        return jax.tree.map(lambda strength: strength(count) if callable(strength) else strength, self)

    @property
    def scheduled(self) -> bool:
        """Whether any strength is a schedule."""
        return any(callable(strength) for strength in jax.tree.leaves(self))


def soft_threshold(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """Moves x towards 0 by `threshold` and stops there: exactly +0.0 inside, NaN and infinities pass through.

    The usual where(|x| > t, …, 0) would turn NaN into 0, and a diverged run would read as perfectly sparse. The value is
    x − clip(x, −t, t); written with `where`, its derivative at |x| = t is the outer one: at t = 0 it is the identity's.
    """
    return x - jnp.where(jnp.abs(x) < threshold, x, threshold * jnp.sign(x))


def distance_to_sign(x: jax.Array, slope: jax.Array, strength: jax.Array) -> jax.Array:
    """How far −slope is from strength·∂|x|, per weight: the interval [−strength, strength] where x = 0, else a point."""
    # The interval's case is the second one only for x == 0, so that a NaN weight or gradient is a NaN violation.
    return jnp.where(x == 0, jnp.maximum(jnp.abs(slope) - strength, 0), jnp.abs(slope + strength * jnp.sign(x)))


class L1(Penalty):
    """R(x) = λ Σ|xᵢ|, the lasso penalty.

    prox(x, step) = argmin_u ½‖u − x‖²/step + λ‖u‖₁ = x − clip(x, −step·λ, step·λ): soft thresholding.

    The same λ as `alpha` in scikit-learn's `Lasso` on the loss (1/2n)‖y − Xw‖², and as Keras's `l1`.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.

    Raises:
        TypeError: the strength is not a number. ValueError: it is negative, NaN or infinite.

    Source: Parikh and Boyd, Proximal Algorithms (2014), section 6.5.2.
    """

    strength: Strength

    def __post_init__(self) -> None:
        check_number("L1", "strength", self.strength)

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        # x·sign(x) has derivative 0 at 0, the least subgradient; jax.grad of jnp.abs gives 1 there.
        return like(self.strength, x) * jnp.sum(x * jax.lax.stop_gradient(jnp.sign(x)))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        return soft_threshold(w, like(step, w) * like(self.strength, w)).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * jnp.sign(x)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        return distance_to_sign(x, like(gradient, x), like(self.strength, x))

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ, whatever the weights."""
        return like(self.strength, wide(x))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        return jnp.max(jnp.abs(wide(gradient)), initial=0)


class SquaredL2(Penalty):
    """R(x) = λ Σ xᵢ², without a factor ½: its gradient is 2λx.

    prox(x, step) = argmin_u ½‖u − x‖²/step + λ‖u‖² = x / (1 + 2·step·λ).

    The same λ as Keras's `l2`; optax's and PyTorch's `weight_decay` is 2λ; scikit-learn's `Ridge(alpha)`, whose loss is
    ‖y − Xw‖², is λ = alpha/(2n) on the loss (1/2n)‖y − Xw‖².

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.

    Raises:
        TypeError: the strength is not a number. ValueError: it is negative, NaN or infinite.

    Source: Parikh and Boyd, Proximal Algorithms (2014), section 6.1.1.
    """

    strength: Strength

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

    def slope(self, x: ArrayLike) -> jax.Array:
        """2λ, the slope at |w| = 1, for weights of any size: each then shrinks by a share of itself and none becomes 0."""
        return 2 * like(self.strength, wide(x))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """0 where the gradient is 0 already, else infinity: no finite λ makes every weight 0."""
        largest = jnp.max(jnp.abs(wide(gradient)), initial=0)
        # Infinity times a slope: NaN where the gradient is NaN.
        return jnp.where(largest == 0, 0, largest * jnp.inf)


class ElasticNet(Penalty):
    """R(x) = λ₁ Σ|xᵢ| + λ₂ Σ xᵢ².

    prox(x, step) = argmin_u ½‖u − x‖²/step + λ₁‖u‖₁ + λ₂‖u‖²: soft-threshold by step·λ₁, then divide by 1 + 2·step·λ₂.

    scikit-learn's `ElasticNet(alpha, l1_ratio)` is λ₁ = alpha·l1_ratio and λ₂ = alpha·(1 − l1_ratio)/2, on the loss
    (1/2n)‖y − Xw‖².

    Args:
        l1_strength: λ₁ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        l2_strength: λ₂ ≥ 0, likewise.

    Raises:
        TypeError: a strength is not a number. ValueError: it is negative, NaN or infinite.

    Source: Zou and Hastie (2005); prox as in Parikh and Boyd (2014), section 6.5.3.
    """

    l1_strength: Strength
    l2_strength: Strength

    def __post_init__(self) -> None:
        check_number("ElasticNet", "l1_strength", self.l1_strength)
        check_number("ElasticNet", "l2_strength", self.l2_strength)

    @property
    def parts(self) -> tuple[L1, SquaredL2]:
        """The two penalties that it is the sum of."""
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

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ₁ + 2λ₂, the sum of its parts' slopes."""
        l1, l2 = self.parts
        return l1.slope(x) + l2.slope(x)

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """The smallest `l1_strength` at which x = 0 is optimal; `l2_strength` plays no part in it."""
        return jnp.max(jnp.abs(wide(gradient)), initial=0)


class GroupL2(Penalty):
    """R(x) = λ Σ_g ‖x_g‖₂, the group lasso: the weights of a group leave together.

    prox(x, step) = argmin_u ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + λ Σ_g ‖u_g‖₂. With one step for a whole group it is
    x_g · max(0, 1 − step·λ/‖x_g‖); with a step per weight it has no closed form and one monotone equation per group is
    solved for ‖u_g‖ (see `jaxreg._groups`). λ is not scaled by the groups' sizes.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        axis: the axis, or axes, that a group runs along. For a kernel of shape (in, out), axis=1 makes one group of the
            weights that leave an input and axis=0 one of those that enter a unit; for a convolution (h, w, in, out),
            axis=(0, 1, 2) is one group per output channel.

    Raises:
        TypeError: the strength or axis is not a number. ValueError: the strength is negative, NaN or infinite, an axis
            is named twice, or (when it meets an array) is out of that array's range.

    Source: Yuan and Lin (2006).
    """

    strength: Strength
    axis: int | tuple[int, ...] = dataclasses.field(default=0, metadata={"static": True})

    def __post_init__(self) -> None:
        check_number("GroupL2", "strength", self.strength)
        object.__setattr__(self, "axis", _groups.check_axis(self.axis))

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * jnp.sum(_groups.norm(x, self.axis))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        return _groups.prox(w, like(step, w), like(self.strength, w), self.axis).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * _groups.unit_vectors(x, self.axis)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        strength = like(self.strength, x)
        slope = like(gradient, x)
        at_zero = jnp.maximum(_groups.norm(slope, self.axis) - strength, 0)
        elsewhere = _groups.norm(slope + strength * _groups.unit_vectors(x, self.axis), self.axis)
        return jnp.squeeze(jnp.where(_groups.norm(x, self.axis) == 0, at_zero, elsewhere), self.axis)

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ/√n for groups of n weights: the slope per weight of a group whose weights are of one size."""
        x = wide(x)
        return like(self.strength, x) / _groups.count(x, self.axis) ** 0.5

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        return jnp.max(_groups.norm(wide(gradient), self.axis), initial=0)
