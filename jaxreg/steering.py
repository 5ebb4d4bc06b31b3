"""A strength λ that follows: name the share of weights to keep, and λ is adjusted at every step to reach it.

Make an optimizer from a strength, and say how many weights to keep and by which step:

    tx = jaxreg.steer_strength(
        lambda strength: jaxreg.prox_adam(rate, jaxreg.L1(strength), mask=jaxreg.kernels),
        share=0.05,              # of the kernels' weights
        steps=4_000,             # of 4,500, with a learning rate that decays to 0
        mask=jaxreg.kernels,
    )
    params = jaxreg.keep_largest(params, 0.05, mask=jaxreg.kernels)     # after training: the exact share
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxreg._masking import check_shapes, chosen_leaves, is_hole
from jaxreg._states import SteeredState, require_state
from jaxreg._typing import ArrayLike, Mask, PyTree
from jaxreg.pruning import check_optimizer, check_share, count_nonzeros, select
from jaxreg.transforms import require_params

START = 0.1
INTEGRAL = 80.0
PROPORTIONAL = 3.0
FASTEST = 0.1
TINY = 1e-12


def steer_strength(
    make_optimizer: Callable[[jax.Array], optax.GradientTransformation],
    share: ArrayLike,
    steps: int,
    *,
    begin: int = 0,
    axis: int | tuple[int, ...] | None = None,
    mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """Steers the strength λ of a penalty so that a wanted share of the weights is nonzero after `steps` steps.

    Args:
        make_optimizer: from a strength, a traced float32 scalar, to an optimizer that uses it.
        share: the share of weights (groups) to keep, in (0, 1]; a number or a traced scalar.
        steps: the step at which the share is reached.
        begin: the step at which λ starts to grow; it is 0 before.
        axis: the axis or axes of a group, as for `jaxreg.GroupL2`; a group counts if any of its weights is not 0. None
            counts single weights.
        mask: the leaves whose weights are counted, as for `optax.masked`; None counts all of them, biases too.

    Returns:
        An optax optimizer with the state `SteeredState`.

    Raises:
        TypeError: `make_optimizer` is not a function or does not return an optimizer.
        ValueError: the share is outside (0, 1], or `begin` and `steps` do not fit; at `init`, the mask selects nothing; at
            `update`, `params` is missing.
    """
    check_share("steer_strength", share)
    if not callable(make_optimizer):
        raise TypeError(f"steer_strength: make_optimizer must be a function of the strength, got {make_optimizer!r}")
    if steps < 1 or not 0 <= begin < steps:
        raise ValueError(f"steer_strength: expected 0 ≤ begin < steps, got begin={begin} and steps={steps}")

    def made(strength: jax.Array) -> optax.GradientTransformationExtraArgs:
        optimizer = make_optimizer(strength)
        check_optimizer("steer_strength: make_optimizer", optimizer)
        return optax.with_extra_args_support(optimizer)

    def kept(params: PyTree) -> jax.Array:
        """The logarithm of the share of weights (groups) that are not 0; where none is left, that of half a weight."""
        counted = [count_nonzeros("steer_strength", leaf, axis) for _, leaf in chosen_leaves(params, mask)]
        nonzeros = functools.reduce(operator.add, [count for count, _ in counted])
        return jnp.log(jnp.maximum(nonzeros, 0.5) / sum(size for _, size in counted))

    def target(count: jax.Array) -> jax.Array:
        progress = jnp.clip((count - begin) / (steps - begin), 0, 1)
        return jnp.log(share + (1 - share) * (1 - progress) ** 3)

    def init(params: PyTree) -> SteeredState:
        if jax.tree.leaves(params):
            select("steer_strength", params, mask)
        strength = jnp.zeros([], jnp.float32)
        return SteeredState(jnp.zeros([], jnp.int32), strength, made(strength).init(params))

    def update(
        updates: PyTree, state: SteeredState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, SteeredState]:
        require_params(params)
        require_state("steer_strength", state, SteeredState)
        check_shapes("steer_strength", updates, params)
        start = START * typical(updates, mask)
        updates, inner = made(state.strength).update(updates, state.inner, params, **extra_args)
        new = jax.tree.map(
            lambda update, param: param if is_hole(update) else jnp.asarray(param + update, jnp.result_type(param)),
            updates,
            params,
            is_leaf=is_hole,
        )
        count = optax.safe_increment(state.count)
        kept_now = kept(new)
        error = kept_now - target(count)
        before = kept(params) - target(state.count)
        change = INTEGRAL / (steps - begin) * error + PROPORTIONAL * (error - before)
        grown = state.strength * jnp.exp(jnp.clip(change, -FASTEST, FASTEST))
        grown = jnp.where(state.strength == 0, jnp.maximum(start, TINY), grown)
        return updates, SteeredState(count, jnp.where(state.count < begin, 0, grown).astype(jnp.float32), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def typical(gradient: PyTree, mask: Mask) -> jax.Array:
    """Computes the root mean square of the selected gradients."""
    leaves = [leaf for _, leaf in chosen_leaves(gradient, mask)]
    total = functools.reduce(operator.add, [jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in leaves])
    return jnp.sqrt(total / sum(leaf.size for leaf in leaves))
