"""Norms of groups of weights, and the prox of the group lasso in a diagonal metric.

A group runs along `axis` of one array; norms keep that axis with length 1, so that they broadcast
against the array.

With a step per weight, the group's prox minimises ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + λ‖u‖. Its optimum is 0
where ‖x/step‖ ≤ λ, and else uᵢ = xᵢ s/(s + stepᵢλ), where s = ‖u‖ solves

    Σᵢ (xᵢ / (s + tᵢ))² = 1,   tᵢ = stepᵢ λ.

The left side decreases with s, so there is one root. Written as 1/√(left side) − 1 = 0 the equation
is increasing, concave and nearly straight, the form that Moré and Sorensen (1983) gave to the
equation of the trust-region problem: Newton's method, started left of the root, converges to it
monotonically. It starts at the largest |xᵢ| − tᵢ (or 0), where no term of the sum is above 1, so
that nothing overflows however different the steps are.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxreg._arrays import ratio
from jaxreg._typing import ArrayLike

# Enough for steps that span 12 orders of magnitude; the tests have the worst case.
NEWTON_STEPS = 16


def check_axis(owner: str, axis: Any) -> int | tuple[int, ...]:
    """Converts an axis or axes to plain, hashable ints.

    Raises:
        TypeError: they are not integers.
        ValueError: there is none, or one is named twice.
    """
    try:
        axes = (
            tuple(operator.index(a) for a in axis)
            if isinstance(axis, tuple | list)
            else operator.index(axis)
        )
    except TypeError:
        raise TypeError(
            f"{owner}: axis must be an int or a tuple of ints, got {axis!r}; pass axis=1, say"
        ) from None
    if isinstance(axes, tuple) and (not axes or len(set(axes)) < len(axes)):
        raise ValueError(f"{owner}: axis must name at least one axis and none twice, got {axis!r}")
    return axes


def check_range(
    x: ArrayLike, axis: int | tuple[int, ...], owner: str = "groups"
) -> tuple[int, ...]:
    """Returns the axes ascending from 0 on.

    Raises:
        ValueError: the array does not have them.
    """
    axes, rank = axis if isinstance(axis, tuple) else (axis,), jnp.ndim(x)
    if any(not -rank <= a < rank for a in axes) or len({a % rank for a in axes}) < len(axes):
        raise ValueError(
            f"{owner}: axis={axis!r} does not fit an array of shape {jnp.shape(x)}; choose axes "
            f"below {rank}, or leave the array out with a mask such as jaxreg.kernels"
        )
    return tuple(sorted(a % rank for a in axes))


def count(x: jax.Array, axis: int | tuple[int, ...]) -> int:
    """Counts the weights of a group."""
    return math.prod(x.shape[a] for a in check_range(x, axis))


def check_pattern(owner: str, n: Any, m: Any) -> None:
    """Checks a pattern n of m.

    Raises:
        TypeError: they are not integers.
        ValueError: not 1 ≤ n < m.
    """
    for name, number in (("n", n), ("m", m)):
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{owner}: {name} must be an int, got {number!r}; pass n=2, m=4, say")
    if not 1 <= n < m:
        raise ValueError(f"{owner}: expected n weights of every m with 1 ≤ n < m, got n={n}, m={m}")


def in_adjacent(
    x: jax.Array, axes: tuple[int, ...], m: int, function: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Maps a function over groups of m entries that are adjacent along some axes, taken as one.

    Args:
        x: an array.
        axes: ascending from 0 on.
        m: number of entries of a group.
        function: from (…, m) to the same shape, or to (…) for one result per group.

    Returns:
        An array in the shape of `x`.

    Raises:
        ValueError: there is no multiple of m entries along the axes.
    """
    size = math.prod(x.shape[a] for a in axes)
    if size % m:
        raise ValueError(
            f"expected a multiple of {m} weights along the axes {axes} of an array of shape "
            f"{x.shape}, got {size}; leave the array out with a mask, or choose another m or axis"
        )
    ends = range(x.ndim - len(axes), x.ndim)
    last = jnp.moveaxis(x, axes, ends)
    groups = last.reshape(*last.shape[: x.ndim - len(axes)], -1, m)
    result = function(groups)
    whole = result if result.ndim == groups.ndim else jnp.expand_dims(result, -1)
    return jnp.moveaxis(jnp.broadcast_to(whole, groups.shape).reshape(last.shape), ends, axes)


def largest_of_adjacent(size: jax.Array, axes: tuple[int, ...], n: int, m: int) -> jax.Array:
    """Marks the n largest of every m adjacent entries, of equal ones the first."""

    def mark(group: jax.Array) -> jax.Array:
        place = jnp.arange(m)
        # How many come before each; m is small, so that comparing all pairs is faster than sorting.
        before = [
            (group[..., at : at + 1] > group) | ((group[..., at : at + 1] == group) & (at < place))
            for at in range(m)
        ]
        return sum(mark.astype(jnp.int32) for mark in before) < n  # type: ignore[return-value]

    return in_adjacent(size, axes, m, mark)


def norm(x: jax.Array, axis: int | tuple[int, ...]) -> jax.Array:
    """Computes ‖x_g‖₂ per group, with `axis` kept at length 1; its gradient is 0 at a zero group.

    Weights are divided by the largest, so that squares neither overflow nor underflow.
    """
    check_range(x, axis)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis, keepdims=True, initial=0))
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    squares = jnp.sum(jnp.square(x / scale), axis, keepdims=True)
    zero = squares == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares))) * scale


def change(length: jax.Array, changed: jax.Array) -> jax.Array:
    """Computes the factor from norms of groups to others; 1 where they are equal, so that a group
    is kept to the bit, and infinities are.
    """
    return jnp.where(changed == length, 1, ratio(changed, jnp.where(length == 0, 1, length)))


def unit_vectors(x: jax.Array, axis: int | tuple[int, ...]) -> jax.Array:
    """Computes x_g/‖x_g‖ per group, and 0 for a zero group."""
    length = norm(x, axis)
    return ratio(x, jnp.where(length == 0, 1, length))


def root_mean_square(d: jax.Array, axis: int | tuple[int, ...]) -> jax.Array:
    """Computes √(mean dᵢ²) over each group, with `axis` kept at length 1; a scalar stays as it
    is.
    """
    if d.ndim == 0:
        return d
    mean = jnp.sum(jnp.square(d), axis, keepdims=True) / max(count(d, axis), 1)
    zero = mean == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, mean)))


def is_shared(step: jax.Array, x: jax.Array, axis: int | tuple[int, ...]) -> bool:
    """Whether all weights of a group have the same step, by the shape of the step."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    return step.ndim == 0 or (step.ndim == x.ndim and all(step.shape[a] == 1 for a in axes))


def prox(
    x: jax.Array, step: jax.Array, strength: jax.Array, axis: int | tuple[int, ...]
) -> jax.Array:
    """Computes argmin over u of ½ Σᵢ (uᵢ − xᵢ)²/stepᵢ + strength·Σ_g ‖u_g‖, with `step` a scalar or
    an array like `x`.
    """
    check_range(x, axis)
    length = norm(x, axis)
    if is_shared(step, x, axis):
        keep = jnp.logical_not(length <= step * strength)
        shrunk = length - step * strength
    else:
        # A schedule may end in a step of 0; there 0/0 stands for a weight of 0.
        keep = jnp.logical_not(norm(jnp.where(x == 0, 0, x / step), axis) <= strength)
        shrunk = shrunk_norm(x, step * strength, length, keep, axis)
    threshold = step * strength
    # In a kept group uᵢ = xᵢ s/(s + tᵢ); elsewhere a constant replaces s, so that the gradient
    # stays finite.
    s = jnp.where(keep, shrunk, 1)
    return jnp.where(keep, x / (1 + ratio(threshold, s)), 0)


def shrunk_norm(
    x: jax.Array,
    threshold: jax.Array,
    length: jax.Array,
    keep: jax.Array,
    axis: int | tuple[int, ...],
) -> jax.Array:
    """Solves Σᵢ (xᵢ/(s + tᵢ))² = 1 for s in each kept group; 1 elsewhere."""
    sum_groups = functools.partial(jnp.sum, axis=axis, keepdims=True)
    solvable = keep & jnp.isfinite(length)
    # Everything is divided by the norm of the group, so that the unknown lies between 0 and 1.
    scale = jax.lax.stop_gradient(jnp.where(solvable, length, 1))
    x = jnp.where(solvable, x / scale, 1)
    threshold = jnp.where(solvable, threshold / scale, 1)

    def newton(s: jax.Array, x: jax.Array, threshold: jax.Array) -> jax.Array:
        ratio = jnp.square(x / (s + threshold))
        total = sum_groups(ratio)
        slope = sum_groups(ratio / (s + threshold))
        return s + total * (jnp.sqrt(total) - 1) / slope

    def climb(s: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jnp.clip(newton(s, *fixed), lower, 1), None

    fixed = jax.lax.stop_gradient((x, threshold))
    lower = jnp.max(jnp.abs(fixed[0]) - fixed[1], axis, keepdims=True, initial=0)
    root, _ = jax.lax.scan(climb, lower, None, length=NEWTON_STEPS)
    # Two more steps from the root, outside the loop, carry the derivatives of the implicit
    # function: the first step those of first order, the second, which squares the error, those up
    # to third order.
    root = newton(newton(root, x, threshold), x, threshold)
    return jnp.where(solvable, root * scale, length)
