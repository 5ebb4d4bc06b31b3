"""The factors by which a transformation rescales gradients, such as those of gradient clipping.

A rescaled gradient is a shorter step. Along a constant gradient g, a direction after a clip settles
at c·g/D, so the metric of the proximal step is D/c. Otherwise fixed points balance the penalty
against c·g instead of g.

A factor c that all weights share, as in `optax.clip_by_global_norm`, is read off an additional
entry of the gradient, which is too small to change a norm. Other factors are out/in for each
weight.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._arrays import at_least_float32, tracing_number
from jaxreg._typing import PyTree

ENTRY = 1e-25
"""The gradient of the additional entry: its square underflows in float32, and its quotient with a
norm does not.
"""
SIZES = (1e-6, 1.0, 1e3)
"""Sizes of the gradients with which a clip is probed: below and above common thresholds."""
LEAST = 1e-15
"""A bound below factors, so that D/c stays finite where a clip makes a gradient 0."""


def check_clip(clip: Any) -> None:
    """Checks that a clip multiplies gradients by positive factors.

    Raises:
        TypeError: it is not an optax transformation.
        ValueError: it reverses, shifts or drops gradients, as learning rates, weight decay and
            noise do.
    """
    if not isinstance(clip, optax.GradientTransformation):
        raise TypeError(
            "proximal: clip must be a transformation such as optax.clip_by_global_norm(1.0), got "
            f"{clip!r}"
        )
    weights = {
        "kernel": np.array([[1.0, -1.0]], np.float32),
        "bias": np.array([1.0, -1.0, 1.0], np.float32),
    }
    signs = {
        "kernel": np.array([[1.0, 1.0]], np.float32),
        "bias": np.array([-1.0, 0.5, -0.5], np.float32),
    }
    ratios: list[Any] = []
    with tracing_number(None), jax.ensure_compile_time_eval(), contextlib.suppress(Exception):
        # A clip with masks or labels for the user's own parameters is not probed.
        for size in SIZES:
            gradient = jax.tree.map(lambda sign, size=size: size * jnp.asarray(sign), signs)
            after, _ = optax.with_extra_args_support(clip).update(
                gradient, clip.init(weights), weights
            )
            ratios += jax.tree.leaves(
                jax.tree.map(lambda out, into: np.asarray(out / into), after, gradient)
            )
    if not all(np.all(ratio > 0) for ratio in ratios):
        raise ValueError(
            "proximal: expected a clip that multiplies each gradient by a positive factor, as "
            "optax.clip_by_global_norm(1.0) does, got one that reverses, shifts or drops "
            "gradients; pass a learning rate as learning_rate, and put transformations such as "
            "jaxreg.add_l2 before this optimizer in optax.chain"
        )


class Clip:
    """A clip, with its factors.

    Args:
        clip: the transformation; None leaves gradients as they are.
    """

    def __init__(self, clip: optax.GradientTransformation | None) -> None:
        self.clip = None if clip is None else optax.with_extra_args_support(clip)

    def init(self, params: PyTree) -> Any:
        """Makes the state of the clip."""
        if self.clip is None:
            return optax.EmptyState()
        return self.clip.init((params, jnp.zeros([])) if is_shared(self.clip, params) else params)

    def update(
        self, gradient: PyTree, state: Any, params: PyTree, extra_args: dict[str, Any]
    ) -> tuple[PyTree, PyTree, Any]:
        """Clips a gradient.

        Returns:
            The clipped gradient; a tree like it with the factor of each array, a scalar or an array
            like it; the new state.
        """
        if self.clip is None:
            return gradient, jax.tree.map(lambda _: 1.0, gradient), state
        if is_shared(self.clip, params):
            dtype = jnp.result_type(jnp.float32, *map(jnp.result_type, jax.tree.leaves(gradient)))
            entry = jnp.full([], ENTRY, dtype)
            (after, entry_after), state = self.clip.update(
                (gradient, entry), state, (params, jnp.zeros([], dtype)), **extra_args
            )
            factor = jnp.maximum(entry_after / entry, LEAST)
            return after, jax.tree.map(lambda _: factor, gradient), state
        after, state = self.clip.update(gradient, state, params, **extra_args)
        return after, factors(gradient, after), state


def is_shared(clip: optax.GradientTransformation, params: PyTree) -> bool:
    """Whether all weights and an additional entry have one factor, whatever the sizes of their
    gradients.
    """
    leaves, structure = jax.tree.flatten(params)
    return probed(clip, structure, tuple(map(jnp.ndim, leaves)))


@functools.lru_cache(maxsize=256)
def probed(
    clip: optax.GradientTransformationExtraArgs, structure: Any, ranks: tuple[int, ...]
) -> bool:
    """Answers `is_shared` for one weight of each array, with gradients of very different sizes."""
    random = np.random.default_rng(0)
    with tracing_number(None), jax.ensure_compile_time_eval(), contextlib.suppress(Exception):
        weights = [np.ones((1,) * rank, np.float32) for rank in ranks]
        params = jax.tree.unflatten(structure, weights), jnp.ones([])
        for size in SIZES:
            drawn = [
                jnp.asarray(size * np.exp(random.normal()) * weight, jnp.float32)
                for weight in weights
            ]
            before = jax.tree.unflatten(structure, drawn), jnp.full([], ENTRY)
            after, _ = clip.update(before, clip.init(params), params)
            ratios = jax.tree.leaves(
                jax.tree.map(lambda out, into: np.asarray(out / into).item(), after, before)
            )
            if not np.allclose(ratios, ratios[-1], rtol=1e-4) or not ratios[-1] > 0:
                return False
        return True
    return False


def factors(before: PyTree, after: PyTree) -> PyTree:
    """Computes out/in for each weight, and for weights without a gradient the ratio of the ℓ1 norms
    of their array.

    The ratio of all arrays stands for that of an array without any gradient.
    """

    def usable(into: jax.Array) -> jax.Array:
        return (into != 0) & jnp.isfinite(into)

    def length(x: jax.Array, into: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(usable(into), jnp.abs(at_least_float32(x)), 0))

    def ratio(out: Any, into: Any, otherwise: Any) -> jax.Array:
        return jnp.where(into > 0, out / jnp.where(into > 0, into, 1), otherwise)

    lengths = [jax.tree.map(length, tree, before) for tree in (after, before)]
    after_all, before_all = (sum(jax.tree.leaves(tree)) for tree in lengths)
    whole = ratio(after_all, before_all, 1.0)

    def factor(
        into: jax.Array, out: jax.Array, length_after: jax.Array, length_before: jax.Array
    ) -> jax.Array:
        into, out = at_least_float32(into), at_least_float32(out)
        quotient = out / jnp.where(usable(into), into, 1)
        return jnp.maximum(
            jnp.where(usable(into), quotient, ratio(length_after, length_before, whole)), LEAST
        )

    return jax.tree.map(factor, before, after, *lengths)
