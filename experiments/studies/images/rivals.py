"""Baselines as optax transformations: gradual pruning, and L1 by factorised weights.

Each is a wrapper: `prune_gradually(optax.adam(1e-3), share=0.05, steps=3000)`,
`factorise(optax.adam(1e-3), strength=1e-4)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

import jaxreg

UPDATES = 64
"""How many times the set of pruned weights changes; each needs many passes over all weights."""


class PruningState(NamedTuple):
    """State of `prune_gradually`: the step count, the weights that are left (a tree of bools) and
    the optimizer's state.
    """

    count: jax.Array  # type: ignore[assignment]  # tuples have a method of that name
    support: Any
    inner: Any


def magnitude(kernel: jax.Array, d: jax.Array) -> jax.Array:
    """|w|, the usual importance of a weight."""
    del d
    return jnp.abs(kernel)


def adam_magnitude(kernel: jax.Array, d: jax.Array) -> jax.Array:
    """|w| √D with Adam's D = √ν̂: a weight of the same size is more important where gradients are
    larger.
    """
    return jnp.abs(kernel) * jnp.sqrt(d)


def mean_magnitude(kernel: jax.Array, d: jax.Array) -> jax.Array:
    """|w| divided by the root of the number of outgoing weights, so that norms of inputs of several
    layers compare.
    """
    del d
    return jnp.abs(kernel) / kernel.shape[-1] ** 0.5


def mean_adam_magnitude(kernel: jax.Array, d: jax.Array) -> jax.Array:
    """|w| √D, divided likewise."""
    return adam_magnitude(kernel, d) / kernel.shape[-1] ** 0.5


def prune_gradually(
    optimizer: optax.GradientTransformation,
    share: ArrayLike,
    steps: int,
    importance: Callable[[jax.Array, jax.Array], jax.Array] = magnitude,
    axis: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Gradual pruning: the least important weights of all kernels are cut, more and more of them up
    to `steps`.

    The share of weights kept falls along 1 − (1 − share)(1 − (1 − q)³), q = count / steps: the
    cubic schedule of Zhu and Gupta, To Prune, or Not to Prune (2017), as in jaxpruner. Pruned
    weights stay 0.

    Args:
        optimizer: a chain that contains Adam.
        share: of the kernels' weights to keep at the end.
        steps: the step at which the share is reached.
        importance: function from a kernel and Adam's D to the importance of each weight.
        axis: the axis of a group; groups are pruned by the norm of their importance, and `share`
            counts groups. None prunes single weights.

    Returns:
        An optax optimizer.
    """
    every = max(1, steps // UPDATES)
    diagonal = jaxreg.preconditioners.adam()

    def init(params: optax.Params) -> PruningState:
        support = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
        return PruningState(jnp.zeros([], jnp.int32), support, optimizer.init(params))

    def update(
        updates: optax.Updates, state: PruningState, params: Any = None, **_: Any
    ) -> tuple[Any, PruningState]:
        updates, inner = optimizer.update(updates, state.inner, params)
        updates = jax.tree.map(
            lambda update, kept: jnp.where(kept, update, 0), updates, state.support
        )
        count = optax.safe_increment(state.count)

        def prune() -> Any:
            new = jax.tree.map(jnp.add, params, updates)
            scores = jax.tree.map(
                lambda leaf, d: importance(leaf, d) if leaf.ndim > 1 else leaf, new, diagonal(inner)
            )
            left = 1 - (1 - share) * (1 - (1 - count / steps) ** 3)
            cut = jaxreg.keep_largest(scores, left, mask=jaxreg.kernels, axis=axis)
            return jax.tree.map(
                lambda leaf, kept: (leaf != 0) & kept if leaf.ndim > 1 else kept, cut, state.support
            )

        due = (count <= steps) & ((count % every == 0) | (count == steps))
        support = jax.lax.cond(due, prune, lambda: state.support)
        updates = jax.tree.map(
            lambda update, leaf, kept: jnp.where(kept, update, -leaf), updates, params, support
        )
        return updates, PruningState(count, support, inner)

    return optax.GradientTransformationExtraArgs(init, update)


class FactorState(NamedTuple):
    """State of `factorise`: the factors (u, v) of each kernel, other parameters as they are, and
    the optimizer's state.
    """

    factors: Any
    inner: Any


def factorise(
    optimizer: optax.GradientTransformation, strength: ArrayLike
) -> optax.GradientTransformationExtraArgs:
    """L1 by factorised weights (spred): each kernel is u ⊙ v, and λ/2 Σ (u² + v²) is added to the
    loss.

    For a given product u·v = w, the smallest value of that term is λ|w|, so that the minima are
    those of L1 with strength λ. Source: Ziyin and Wang, spred: Solving L1 Penalty with SGD (2023).

    Args:
        optimizer: of the factors.
        strength: λ.

    Returns:
        An optax optimizer of the kernels.
    """

    def init(params: optax.Params) -> FactorState:
        def split(leaf: jax.Array, factorised: bool) -> Any:
            # Factors of about the same size, but not |u| = |v|, where gradients could not change
            # the sign of a weight.
            root = jnp.sqrt(jnp.mean(jnp.abs(leaf)))
            return (leaf / root, jnp.full_like(leaf, root)) if factorised else leaf

        factors = jax.tree.map(split, params, jaxreg.kernels(params))
        return FactorState(factors, optimizer.init(factors))

    def update(
        updates: optax.Updates, state: FactorState, params: Any = None, **_: Any
    ) -> tuple[Any, FactorState]:
        def chain_rule(gradient: jax.Array, factorised: bool, own: Any) -> Any:
            if not factorised:
                return gradient
            u, v = own
            return gradient * v + strength * u, gradient * u + strength * v

        kernels = jaxreg.kernels(params)
        gradient = jax.tree.map(chain_rule, updates, kernels, state.factors)
        moves, inner = optimizer.update(gradient, state.inner, state.factors)
        factors = optax.apply_updates(state.factors, moves)
        products = jax.tree.map(
            lambda _, one, own: own[0] * own[1] if one else own, params, kernels, factors
        )
        return jax.tree.map(jnp.subtract, products, params), FactorState(factors, inner)

    return optax.GradientTransformationExtraArgs(init, update)
