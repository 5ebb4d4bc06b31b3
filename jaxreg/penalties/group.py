"""Penalties of groups: all weights of a group become zero together.

    # The group lasso
    tx = jaxreg.prox_adam(1e-3, jaxreg.GroupL2(1e-3, per="input"), mask=jaxreg.kernels)
    by_unit = jaxreg.Group(jaxreg.LogSum(1e-3, 0.1), per="unit")
    tx = jaxreg.prox_adam(1e-3, by_unit, mask=jaxreg.kernels)
    # Zeros in groups too
    tx = jaxreg.prox_adam(1e-3, jaxreg.SparseGroupL2(1e-4, 1e-3, axis=1), mask=jaxreg.kernels)

The prox of a group has a closed form if all weights of the group have the same step. `pool`
therefore returns one D per group, the root mean square of D over its weights, and jaxreg's
optimizers scale the direction to match.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from jaxreg import _groups, _roles
from jaxreg._arrays import like, wide
from jaxreg._checks import check_number
from jaxreg._roles import Per
from jaxreg._typing import ArrayLike, ScalarOrSchedule
from jaxreg.penalties.base import Penalty
from jaxreg.penalties.elementwise import L1, scale_within, soft_threshold

HALVINGS = 64
"""Enough to find a number between 0 and a bound up to the rounding of float64."""


class GroupPenalty(Penalty):
    """A penalty of groups: what those with the fields `axis` and `per` share."""

    if TYPE_CHECKING:  # as a field of this class, it would come before the strength

        @property
        def axis(self) -> int | tuple[int, ...] | None: ...
        @property
        def per(self) -> Per | None: ...

    def check_groups(self) -> None:
        """Checks `axis` and `per`, and stores them in a form that can be hashed; raises as
        `_roles.check_groups` does.
        """
        groups = _roles.check_groups(type(self).__name__, self.axis, self.per, 0)
        for name, value in zip(("axis", "per"), groups, strict=True):
            object.__setattr__(self, name, value)

    def axes(self, x: ArrayLike) -> tuple[int, ...]:
        if self.per is not None:
            return _roles.along(type(self).__name__, x, self.per)  # type: ignore[arg-type]
        return _groups.check_range(x, self.axis or 0)

    def pool(self, d: jax.Array) -> jax.Array:
        return _groups.root_mean_square(d, self.axes(d)) if d.ndim else d


class GroupL2(GroupPenalty):
    """R(x) = λ Σ_g ‖x_g‖₂, the group lasso: the weights of a group become zero together.

    prox(x, step) = argmin_u ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + λ Σ_g ‖u_g‖. With one step for a whole group it
    is x_g · max(0, 1 − step·λ/‖x_g‖). With a step per weight it has no closed form, and one
    monotone equation per group is solved for ‖u_g‖. λ is not scaled by the sizes of the groups.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        axis: the axis, or axes, that a group runs along. For a kernel of shape (in, out), axis=1
            makes one group of all weights that leave an input, and axis=0 one group of all weights
            that enter a unit. For a convolution (h, w, in, out), axis=(0, 1, 2) makes one group per
            output channel. The default is 0.
        per: what a group belongs to, in place of `axis`: "input", "unit" (an output channel of a
            convolution) or "head" (of attention). It is right for kernels of several ranks, each by
            itself: dense layers, convolutions and attention of Flax and Equinox, each layer of a
            stack, and embeddings, whose inputs are the tokens. The kernel's name in the tree of
            parameters and its bias tell where the rank alone does not (see `jaxreg.sparsity`). An
            array without a name is taken for a kernel of Flax, of a dense layer or, from rank 4 on,
            of a convolution. In a grouped convolution an "input" is what the kernel's axis of
            inputs holds. A dict from names or patterns (see `jaxreg.matching`) to these makes
            groups that lie in several parameters:
            `{"blocks/*/up": "unit", "blocks/*/down/kernel": "input"}` are the neurons of each
            block, with their biases, as a wildcard stands for the same text in all of them. In
            vectors, such as biases and scales of norms, "unit" means each entry. `("unit", 8)`
            means 8 groups of adjacent units, such as the heads of an attention whose kernels are
            matrices. Parameters that no pattern fits have no penalty.

    Raises:
        TypeError: the strength or the axis is not a number.
        ValueError: the strength is negative, NaN or infinite, an axis is named twice, `axis` and
            `per` are both given, or (once the penalty sees an array) the array has no such axis,
            has no heads, or may be a kernel of several kinds.

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables
        (2006).
    """

    strength: ScalarOrSchedule
    axis: int | tuple[int, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    per: Per | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        check_number("GroupL2", "strength", self.strength)
        self.check_groups()

    def value(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * jnp.sum(_groups.norm(x, self.axes(x)))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        return _groups.prox(w, like(step, w), like(self.strength, w), self.axes(w)).astype(
            jnp.asarray(x).dtype
        )

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        return like(self.strength, x) * _groups.unit_vectors(x, self.axes(x))

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        axes, strength = self.axes(x), like(self.strength, x)
        slope = like(gradient, x)
        at_zero = jnp.maximum(_groups.norm(slope, axes) - strength, 0)
        elsewhere = _groups.norm(slope + strength * _groups.unit_vectors(x, axes), axes)
        return jnp.squeeze(jnp.where(_groups.norm(x, axes) == 0, at_zero, elsewhere), axes)

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """0 where ‖v_g‖ ≤ λ."""
        v, axes = wide(v), self.axes(v)
        return jnp.zeros_like(jnp.squeeze(_groups.norm(v, axes), axes))

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        return scale_within(like(self.strength, wide(v)), self.critical_strength(v))

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ/√n for groups of n weights: the slope per weight if all weights of a group have the
        same size.
        """
        x = wide(x)
        return like(self.strength, x) / _groups.count(x, self.axes(x)) ** 0.5

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        return jnp.max(_groups.norm(wide(gradient), self.axes(gradient)), initial=0)


class Group(GroupPenalty):
    """R(x) = Σ_g φ(‖x_g‖₂), the function φ of another penalty applied to the norms of groups.

    prox(x, step) = argmin_u ½‖u − x‖²/step + Σ_g φ(‖u_g‖) = x_g/‖x_g‖ · prox_φ(‖x_g‖, step) for a
    step that all weights of a group share. `Group(L1(λ))` is `GroupL2(λ)`, which accepts a step per
    weight as well.

        >>> import jax.numpy as jnp
        >>> print(Group(L1(1.0), axis=1).prox(jnp.array([[3.0, 4.0], [0.3, 0.4]]), step=1.0))
        [[2.4 3.2]
         [0.  0. ]]

    Args:
        penalty: a penalty of single weights, such as `LogSum(1e-3)`, which sees one number per
            group, its norm.
        axis: the axis, or axes, that a group runs along, as for `GroupL2`.
        per: in place of `axis`, as for `GroupL2`.

    Raises:
        TypeError: the penalty is not a penalty of single weights, or the axis is not a number.
        ValueError: an axis is named twice, or `axis` and `per` are both given; once the penalty
            sees an array, it does not have these groups, as for `GroupL2`; or the step of a prox
            differs between the weights of a group.

    Source: Huang, Breheny and Ma, A selective review of group selection in high-dimensional models
        (2012).
    """

    penalty: Penalty
    axis: int | tuple[int, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    per: Per | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        if not isinstance(self.penalty, Penalty) or isinstance(self.penalty, GroupPenalty):
            raise TypeError(
                f"Group: expected a penalty of single weights, got {self.penalty!r}; pass "
                "jaxreg.LogSum(1e-3), say"
            )
        self.check_groups()

    def value(self, x: ArrayLike) -> jax.Array:
        return self.penalty.value(_groups.norm(wide(x), self.axes(x)))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        w = wide(x)
        step, axes = like(step, w), self.axes(w)
        if not _groups.is_shared(step, w, axes):
            raise ValueError(
                "Group: expected one step per group, a scalar or an array of length 1 along "
                f"axis={axes if self.axis is None else self.axis!r}, got a step of shape "
                f"{step.shape}; jaxreg's optimizers pool the step over each group, so in your own "
                "code pass a pooled step (see Penalty.pool), or use GroupL2 for the group lasso"
            )
        length = _groups.norm(w, axes)
        shrunk = like(self.penalty.prox(length, step), w)
        factor = _groups.change(length, shrunk)
        return jnp.where(shrunk == 0, 0, w * factor).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        x = wide(x)
        axes = self.axes(x)
        return like(self.penalty.subgradient(_groups.norm(x, axes)), x) * _groups.unit_vectors(
            x, axes
        )

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        x = wide(x)
        gradient, axes = like(gradient, x), self.axes(x)
        length = _groups.norm(x, axes)
        at_zero = like(
            self.penalty.violation(jnp.zeros_like(length), _groups.norm(gradient, axes)), x
        )
        elsewhere = _groups.norm(gradient + self.subgradient(x), axes)
        return jnp.squeeze(jnp.where(length == 0, at_zero, elsewhere), axes)

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """φ*(‖v_g‖)."""
        v, axes = wide(v), self.axes(v)
        return jnp.squeeze(self.penalty.conjugate(_groups.norm(v, axes)), axes)

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        return self.penalty.dual_scale(_groups.norm(wide(v), self.axes(v)))

    def slope(self, x: ArrayLike) -> jax.Array:
        """The slope of φ at the norms of the groups, divided by √n for groups of n weights."""
        x = wide(x)
        axes = self.axes(x)
        root = max(_groups.count(x, axes), 1) ** 0.5
        # A bound needs no exact norm: the mean square saves a pass over the weights.
        return like(self.penalty.slope(root * _groups.root_mean_square(x, axes)), x) / root

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """The critical strength of φ for the norms of the gradient's groups."""
        return self.penalty.critical_strength(_groups.norm(wide(gradient), self.axes(gradient)))


class SparseGroupL2(GroupPenalty):
    """R(x) = λ₁ Σ|xᵢ| + λ₂ Σ_g ‖x_g‖₂, the sparse group lasso: whole groups become zero, and single
    weights of the others.

    prox(x, step) = argmin_u ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + λ₁‖u‖₁ + λ₂ Σ_g ‖u_g‖: soft-threshold by
    step·λ₁, then apply the prox of `GroupL2(λ₂)`. This holds for a step per weight too, since the
    second prox keeps the sign of every weight that it does not set to 0.

    Args:
        l1_strength: λ₁ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        group_strength: λ₂ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        axis: the axis, or axes, that a group runs along, as for `GroupL2`.
        per: in place of `axis`, as for `GroupL2`.

    Raises:
        TypeError: a strength or the axis is not a number.
        ValueError: a strength is negative, NaN or infinite, an axis is named twice, both `axis` and
            `per` are given, or (once the penalty sees an array) the array does not have these
            groups, as for `GroupL2`.

    Source: Simon, Friedman, Hastie and Tibshirani, A sparse-group lasso (2013).
    """

    l1_strength: ScalarOrSchedule
    group_strength: ScalarOrSchedule
    axis: int | tuple[int, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    per: Per | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        check_number("SparseGroupL2", "l1_strength", self.l1_strength)
        check_number("SparseGroupL2", "group_strength", self.group_strength)
        self.check_groups()

    @property
    def parts(self) -> tuple[L1, GroupL2]:
        """The two penalties whose sum this is."""
        return L1(self.l1_strength), GroupL2(self.group_strength, self.axis, self.per)

    def value(self, x: ArrayLike) -> jax.Array:
        l1, group = self.parts
        return l1.value(x) + group.value(x)

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        l1, group = self.parts
        return group.prox(l1.prox(wide(x), step), step).astype(jnp.asarray(x).dtype)

    def subgradient(self, x: ArrayLike) -> jax.Array:
        l1, group = self.parts
        return l1.subgradient(x) + group.subgradient(x)

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        l1, group = self.parts
        x = wide(x)
        axes = self.axes(x)
        slope = like(gradient, x) + group.subgradient(x)
        # In a group that is not 0, R is the sum of functions of single weights as far as its zeros
        # are concerned.
        elsewhere = _groups.norm(l1.violation(x, slope), axes)
        left = soft_threshold(like(gradient, x), like(self.l1_strength, x))
        at_zero = jnp.maximum(_groups.norm(left, axes) - like(self.group_strength, x), 0)
        return jnp.squeeze(jnp.where(_groups.norm(x, axes) == 0, at_zero, elsewhere), axes)

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """0 where ‖soft(v_g, λ₁)‖ ≤ λ₂."""
        return self.parts[1].conjugate(v)

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        size = jnp.abs(wide(v))
        axes, l1 = self.axes(size), like(self.l1_strength, size)
        group = like(self.group_strength, size)
        largest = jnp.max(size, axes, keepdims=True, initial=0)

        def enough(scale: jax.Array) -> jax.Array:
            return _groups.norm(jnp.maximum(scale * size - l1, 0), axes) <= group

        # Below the lower bound all weights are within λ₁, above the upper one the largest alone is
        # too large.
        low, high = scale_within(l1, largest), scale_within(l1 + group, largest)
        return jnp.min(bisect(enough, low, high)[0], initial=jnp.inf)

    def slope(self, x: ArrayLike) -> jax.Array:
        """λ₁ + λ₂/√n for groups of n weights, the sum of the slopes of its parts."""
        l1, group = self.parts
        return l1.slope(x) + group.slope(x)

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """The smallest `l1_strength` at which x = 0 is optimal for this `group_strength`: there
        ‖soft(g, λ₁)‖ ≤ λ₂.
        """
        slope = jnp.abs(wide(gradient))
        axes = self.axes(slope)
        strength = like(self.group_strength, slope)
        largest = jnp.max(slope, axes, keepdims=True, initial=0)

        def short(l1: jax.Array) -> jax.Array:
            return _groups.norm(jnp.maximum(slope - l1, 0), axes) > strength

        _, high = bisect(short, jnp.zeros_like(largest), largest)
        return jnp.max(jnp.where(_groups.norm(slope, axes) <= strength, 0, high), initial=0)


def bisect(
    below: Callable[[jax.Array], jax.Array], low: jax.Array, high: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Halves intervals until rounding: `below` holds up to a point in them, and not beyond."""

    def halve(
        bounds: tuple[jax.Array, jax.Array], _: None
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        low, high = bounds
        middle = (low + high) / 2
        holds = below(middle)
        return (jnp.where(holds, middle, low), jnp.where(holds, high, middle)), None

    return jax.lax.scan(halve, (low, high), length=HALVINGS)[0]
