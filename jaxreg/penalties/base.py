"""The interface of a penalty, and how to write one."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable
from typing import Any, Self, dataclass_transform

import jax
import jax.numpy as jnp

from jaxreg._arrays import like, wide
from jaxreg._typing import ArrayLike


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Penalty(abc.ABC):
    """A function R of one array, convex or not.

    To write a penalty of your own, subclass it, declare the strengths as annotated fields, and
    define `value` and `prox`. The subclass becomes a frozen dataclass and a pytree whose fields are
    leaves. Declare a field that is not a number, such as an axis, with
    `dataclasses.field(metadata={"static": True})`. Every transformation, every optimizer,
    `penalty_value` and `kkt_residual` accept the new penalty:

        >>> import jax.numpy as jnp
        >>> class Huber(Penalty):
        ...     strength: float
        ...     def value(self, x):
        ...         u = jnp.abs(x)
        ...         return self.strength * jnp.sum(jnp.where(u < 1, u * u / 2, u - 0.5))
        ...     def prox(self, x, step):
        ...         t = step * self.strength
        ...         return jnp.where(jnp.abs(x) < 1 + t, x / (1 + t), x - t * jnp.sign(x))
        >>> print(Huber(1.0).prox(jnp.array([3.0, 1.0]), step=1.0))
        [2.  0.5]
        >>> print(Huber(1.0).subgradient(jnp.array([3.0, 0.5])))
        [1.  0.5]

    `subgradient`, `violation` and `slope` have defaults made from these two; override them where a
    formula is known. `jaxreg.critical_strength` needs the method of its name. `jaxreg.duality_gap`
    needs `conjugate` and `dual_scale` of a convex penalty, as do the gaps of
    `jaxreg.fit_linear_path`.

    For a convex R (`L1`, `SquaredL2`, `ElasticNet`, `GroupL2`, `SparseGroupL2`) the prox is firmly
    nonexpansive, and a stationary point of a convex loss + R is its minimum. For a concave penalty
    such as `LogSum` the prox may jump, and a stationary point is a local minimum at best.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)

    @abc.abstractmethod
    def value(self, x: ArrayLike) -> jax.Array:
        """Computes R(x).

        Args:
            x: weights, an array of any shape.

        Returns:
            A scalar in float32 or wider. Its gradient under `jax.grad` equals `subgradient`.
        """

    @abc.abstractmethod
    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        """Computes the proximal operator, argmin over u of ½ Σᵢ (uᵢ − xᵢ)² / stepᵢ + R(u), the
        global minimum.

        Args:
            x: weights, an array of any shape.
            step: a positive scalar, or an array like `x` (the diagonal metric of a preconditioned
                step).

        Returns:
            An array with the shape and dtype of `x`.
        """

    def subgradient(self, x: ArrayLike) -> jax.Array:
        """Computes the element of the subdifferential ∂R(x) with the least norm; by default the
        gradient of `value`.

        For a concave penalty it is the derivative where that exists, and 0 at x = 0.

        Args:
            x: weights, an array of any shape.

        Returns:
            An array with the shape of `x`, in float32 or wider.
        """
        return jax.grad(self.value)(wide(x))

    def violation(self, x: ArrayLike, gradient: ArrayLike) -> jax.Array:
        """Measures how far −gradient is from ∂R(x), which is 0 exactly where x is a stationary
        point of loss + R.

        The default is |x − prox(x − gradient, 1)|, the length of a step of proximal gradient
        descent. For a convex R it is 0 at the same points, but elsewhere it differs from the
        distance that jaxreg's own penalties compute.

        Args:
            x: weights, an array of any shape.
            gradient: of the loss at `x`, in the shape of `x`.

        Returns:
            One number per weight (shape of `x`) or, for penalties of groups, one per group (`axis`
            removed).
        """
        x = wide(x)
        return jnp.abs(x - self.prox(x - like(gradient, x), 1.0))

    def critical_strength(self, gradient: ArrayLike) -> jax.Array:
        """Computes the smallest strength at which x = 0 is optimal; for a concave penalty, at which
        it is stationary.

        Args:
            gradient: of the loss at x = 0, an array of any shape.

        Returns:
            A scalar.

        Raises:
            NotImplementedError: the penalty does not define it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define critical_strength(gradient): the smallest "
            "strength at which 0 is optimal"
        )

    def conjugate(self, v: ArrayLike) -> jax.Array:
        """Computes the convex conjugate, R*(v) = sup over x of ⟨v, x⟩ − R(x), of a convex R.

        It is called at vectors that `dual_scale` has made feasible, some of which rounding puts
        just outside. There it returns the finite value of the nearest feasible vector, not
        infinity.

        Args:
            v: an array in the shape of the weights.

        Returns:
            One number per weight (shape of `v`) or, for penalties of groups, one per group (`axis`
            removed), whose sum is R*(v).

        Raises:
            NotImplementedError: the penalty does not define it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define conjugate(v) and dual_scale(v), which a "
            "duality gap and linear paths need: the convex conjugate, and the largest factor a "
            "for which it is finite at a·v"
        )

    def dual_scale(self, v: ArrayLike) -> jax.Array:
        """Computes the largest factor a ≥ 0 for which R*(a·v) is finite: λ/max|v| for L1.

        Args:
            v: an array in the shape of the weights.

        Returns:
            A scalar, infinity where every factor will do.

        Raises:
            NotImplementedError: the penalty does not define it.
        """
        return Penalty.conjugate(self, v)

    def slope(self, x: ArrayLike) -> jax.Array:
        """Computes how steep R is for weights like `x`; by default the largest |subgradient| in
        `x`.

        An adaptive step divides by D. `proximal` keeps D at or above slope / max_shrink, so that
        one proximal step moves no weight much further than the learning rate.

        Args:
            x: weights, an array of any shape.

        Returns:
            A scalar or one number per weight, in float32 or wider.
        """
        return jnp.max(jnp.abs(self.subgradient(x)), initial=0)

    def axes(self, x: ArrayLike) -> tuple[int, ...] | None:
        """Returns the axes that a group of weights runs along, ascending from 0 on; None for a
        penalty of single weights.

        Args:
            x: weights; only their shape counts.

        Raises:
            ValueError: the array does not have these axes.
        """
        del x
        return None

    def pool(self, d: jax.Array) -> jax.Array:
        """Returns the metric D that the prox is cheap in; by default D itself.

        Fixed points do not depend on D as long as direction and prox share it, so a penalty may
        choose: `proximal` scales the direction by D/pool(D) and takes the prox with the step
        lr/pool(D). Penalties of groups return one number per group.

        Args:
            d: the diagonal of D, an array like the weights.

        Returns:
            An array that broadcasts against the weights.
        """
        return d

    def at(self, count: ArrayLike) -> Self:
        """Evaluates every scheduled strength.

        Args:
            count: the step, an integer scalar.

        Returns:
            The same penalty with numbers in place of schedules.
        """
        return jax.tree.map(
            lambda strength: strength(count) if callable(strength) else strength, self
        )

    @property
    def scheduled(self) -> bool:
        """Whether any strength is a schedule."""
        return any(callable(strength) for strength in jax.tree.leaves(self))


def register(cls: type) -> None:
    """Makes a class a frozen dataclass and a pytree: its fields are leaves, those marked `static`
    are structure.

    Instances are equal only if they are the same object: comparing arrays of strengths would give
    arrays, which have no truth value and no hash.

    `jax.tree_util.register_dataclass` would run the constructor's checks on whatever a
    transformation puts into the leaves (tracers, shapes, sentinels). Unflattening here bypasses the
    constructor.
    """
    dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(cls)
    leaves = [field.name for field in fields if not field.metadata.get("static")]
    static = [field.name for field in fields if field.metadata.get("static")]

    def flatten(penalty: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(penalty, name)) for name in leaves]
        return children, tuple(getattr(penalty, name) for name in static)

    def unflatten(structure: tuple[Any, ...], children: Iterable[Any]) -> Any:
        penalty: Any = object.__new__(cls)
        for name, value in zip([*leaves, *static], [*children, *structure], strict=True):
            object.__setattr__(penalty, name, value)
        return penalty

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
