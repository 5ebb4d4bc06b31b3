"""The group lasso: all weights of a group become zero together."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxreg import _groups
from jaxreg._checks import check_number
from jaxreg._dtypes import like, wide
from jaxreg._typing import ArrayLike, ScalarOrSchedule
from jaxreg.penalties.base import Penalty


class GroupL2(Penalty):
    """R(x) = λ Σ_g ‖x_g‖₂, the group lasso: the weights of a group become zero together.

    prox(x, step) = argmin_u ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + λ Σ_g ‖u_g‖. With one step for a whole group it is
    x_g · max(0, 1 − step·λ/‖x_g‖). With a step per weight it has no closed form, and one monotone equation per group is
    solved for ‖u_g‖. λ is not scaled by the sizes of the groups.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        axis: the axis, or axes, that a group runs along. For a kernel of shape (in, out), axis=1 makes one group of all
            weights that leave an input, and axis=0 one group of all weights that enter a unit. For a convolution
            (h, w, in, out), axis=(0, 1, 2) makes one group per output channel.

    Raises:
        TypeError: the strength or the axis is not a number.
        ValueError: the strength is negative, NaN or infinite, an axis is named twice, or (once the penalty sees an array)
            the array has no such axis.

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables (2006).
    """

    strength: ScalarOrSchedule
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
        """λ/√n for groups of n weights: the slope per weight if all weights of a group have the same size."""
        x = wide(x)
        return like(self.strength, x) / _groups.count(x, self.axis) ** 0.5

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        return jnp.max(_groups.norm(wide(gradient), self.axis), initial=0)
