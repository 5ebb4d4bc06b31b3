"""`steer_strength`: name the share of weights to keep, and λ is adjusted at every step to reach it.

Write a function from a strength to an optimizer, and say how many weights to keep and by which step:

    tx = jaxreg.steer_strength(
        lambda strength: jaxreg.prox_adam(schedule, jaxreg.L1(strength), mask=jaxreg.kernels),
        share=0.05,
        steps=4_000,  # of 4,500
        mask=jaxreg.kernels,
    )

The strength may be used in several places, for example in `jaxreg.ElasticNet(strength, 0.1 * strength)`. After training,
`jaxreg.keep_largest(params, 0.05, jaxreg.kernels)` makes the share exact.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._counting import count, total
from jaxreg._dtypes import at_least_float32
from jaxreg._groups import check_axis
from jaxreg._masking import check_arrays, check_shapes, chosen, is_hole
from jaxreg._states import SteeredState, require_state
from jaxreg._typing import ArrayLike, Mask, PyTree
from jaxreg.pruning import Axis, check_optimizer, check_share, grouped
from jaxreg.transforms import require_params

# Tuned together on the digits (64–64–10) and on MNIST (784–300–100–10), with L1, log-sum and group penalties, shares from
# 0.5 to 0.005, 300 to 4,000 steps and learning rates that are constant or decay to 0.
START = 0.1
"""The first λ, in units of the root mean square of the gradient; values from 0.001 to 1 end about equally well."""
LEAD = 0.25
"""The part of the steps, at the end, in which the target stays at the wanted share, so that λ can still correct."""
GAIN = 1000.0
"""How much log λ changes, over all steps, per unit of log kept − log target."""
FASTEST = 0.7
"""A bound on that change in one step: weights need some steps to follow λ."""
PROPORTIONAL = 0.5
"""How much log λ follows changes of log kept − log target; at 2 and above it oscillates from step to step."""
MOST_ABOVE, MOST_BELOW = 0.3, 1.0
"""Bounds on |log kept − log target|: λ falls faster than it grows, as it may grow too far while weights still shrink."""
LARGEST = 1e20
"""A bound on λ, for optimizers that make no weight 0 whatever λ is."""
SMALLEST = 1e-20
"""Another, for weights that stay 0 whatever λ is; λ = 0 means that it has not started."""


def steer_strength(
    make_optimizer: Callable[[jax.Array], optax.GradientTransformation],
    share: ArrayLike,
    steps: int,
    *,
    begin: int = 0,
    axis: Axis = None,
    mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """Makes an optimizer that adjusts the strength λ of its penalty until a given share of the weights is nonzero.

    Until `begin`, λ is 0. It starts at a tenth of the root mean square of the gradient. Then log λ changes at each step by a
    multiple of log kept − log target, where kept is the share of nonzero weights after the step. The target is
    1 − (1 − share)(1 − (1 − q)³), the schedule of gradual magnitude pruning, where q grows from 0 at `begin` to 1 after
    three quarters of the way to `steps`. From there on it is `share`, also after `steps`.

    Train for about a tenth longer than `steps`. Weights can follow λ only as fast as the learning rate lets them: with
    `max_shrink=1` no weight moves by more than the learning rate per step because of the penalty. If the learning rates of
    the remaining steps sum to less than the size of a weight, no λ makes it 0. Then λ grows to large values, and all weights
    shrink alike; use more steps or a larger learning rate. If the learning rate decays to 0, the share freezes with it.

    Under a concave penalty only weights up to max_shrink·lr may jump to 0, so pass `max_shrink=None` there if the gradients
    are those of minibatches. An optimizer that sets no weight to exactly 0, such as one with `add_l1`, cannot be steered: λ
    grows until it destroys the weights. Start from dense weights, as the target starts at 1.

    λ is in the state (`state.strength`), which works inside `jit`, `vmap` and `scan`. Outside of them `make_optimizer` is
    called at every step, which is slow.

        >>> import jax.numpy as jnp, jaxreg
        >>> tx = jaxreg.steer_strength(
        ...     lambda strength: jaxreg.prox_adam(1e-3, jaxreg.L1(strength), mask=jaxreg.kernels),
        ...     share=0.05,
        ...     steps=4_000,
        ...     mask=jaxreg.kernels,
        ... )
        >>> state = tx.init({"kernel": jnp.ones((4, 2)), "bias": jnp.zeros(2)})
        >>> float(state.strength)
        0.0

    Args:
        make_optimizer: function from a strength, a traced float32 scalar, to an optax optimizer that uses it, in one or
            several penalties. The state of the optimizer must not depend on the strength's value.
        share: the share of weights (groups) to keep, in (0, 1]; a number or a traced scalar, such as a field of a sweep.
        steps: number of steps after which the share is reached.
        begin: number of steps without a penalty before λ starts.
        axis: the axis or axes along which groups run, as for `jaxreg.GroupL2`; a group is kept if any of its weights is not
            0, so axis=1 of kernels (in, out) counts inputs. None counts single weights.
        mask: the leaves whose weights are counted, as for `optax.masked`; None counts all of them, biases too. It is usually
            the mask of the penalty, `jaxreg.kernels`.

    Returns:
        An optax optimizer with the state `SteeredState`.

    Raises:
        TypeError: `make_optimizer` is not a function or returns no optimizer, the share is not a number, or `steps` or
            `begin` is not an int; at `update`, the state is another optimizer's.
        ValueError: the share is outside (0, 1], `steps` is below 1, or `begin` is not below `steps`; at `init`, the mask
            selects nothing or a leaf does not have the axis; at `update`, gradients have other shapes than the parameters,
            or `params` is missing.

    Source: Zhu and Gupta, To prune, or not to prune (2017), for the target.
    """
    check_arguments(make_optimizer, share, steps, begin)
    if axis is not None:
        check_axis("steer_strength", axis)

    def made(strength: jax.Array) -> optax.GradientTransformationExtraArgs:
        optimizer = make_optimizer(strength)
        check_optimizer("steer_strength: make_optimizer", optimizer)
        return optax.with_extra_args_support(optimizer)

    def target(count: jax.Array) -> jax.Array:
        progress = jnp.clip((count - begin).astype(jnp.float32) / ((1 - LEAD) * (steps - begin)), 0, 1)
        wanted = jnp.asarray(share, jnp.float32)
        return wanted + (1 - wanted) * (1 - progress) ** 3

    def init(params: PyTree) -> SteeredState:
        check_arrays("steer_strength", params)
        # optax.tree_map_params calls init with a placeholder without leaves, which no mask would fit.
        if jax.tree.leaves(params):
            jax.eval_shape(lambda: kept_share(params, mask, axis))
        strength = jnp.zeros([], jnp.float32)
        return SteeredState(jnp.zeros([], jnp.int32), strength, made(strength).init(params))

    def update(
        updates: PyTree, state: SteeredState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, SteeredState]:
        require_params(params)
        require_state("steer_strength", state, SteeredState)
        check_shapes("steer_strength", updates, params)
        first = START * typical_size(updates, params, mask)
        updates, inner = made(state.strength).update(updates, state.inner, params, **extra_args)
        count = optax.safe_increment(state.count)
        before = jnp.log(kept_share(params, mask, axis) / target(state.count))
        after = jnp.log(kept_share(moved(params, updates), mask, axis) / target(count))
        gain = min(GAIN / (steps - begin), FASTEST)
        change = gain * jnp.clip(after, -MOST_BELOW, MOST_ABOVE) + PROPORTIONAL * (after - before)
        grown = jnp.clip(state.strength * jnp.exp(change), SMALLEST, LARGEST)
        # Without a gradient so far λ stays 0, and starts with the first one.
        strength = jnp.where(state.count < begin, 0, jnp.where(state.strength == 0, first, grown))
        return updates, SteeredState(count, strength.astype(jnp.float32), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def kept_share(params: PyTree, mask: Mask, axis: Axis) -> jax.Array:
    """Computes the share of selected weights (groups) that are not 0, a float32 scalar; half a weight where none is left."""
    alive = [
        leaf != 0 if groups is None else jnp.any(leaf != 0, groups)
        for _, leaf, groups in grouped("steer_strength", params, mask, axis)
    ]
    high, low = total(map(count, alive))
    nonzeros = high.astype(jnp.float32) * 256 + low.astype(jnp.float32)
    return jnp.maximum(nonzeros, 0.5) / float(sum(leaf.size for leaf in alive))


def typical_size(gradient: PyTree, params: PyTree, mask: Mask) -> jax.Array:
    """Computes the root mean square of the gradient of each selected leaf, and the largest of them; 0 if not finite."""

    def size(slope: Any, keep: bool) -> Any:
        if is_hole(slope) or not keep or not jnp.size(slope):
            return None
        return jnp.sqrt(jnp.mean(jnp.square(jnp.abs(at_least_float32(slope))))).astype(jnp.float32)

    sizes = jax.tree.leaves(jax.tree.map(size, gradient, chosen(mask, params), is_leaf=is_hole))
    largest = functools.reduce(jnp.maximum, sizes, jnp.zeros([], jnp.float32))
    return jnp.where(jnp.isfinite(largest), largest, 0)


def moved(params: PyTree, updates: PyTree) -> PyTree:
    """Computes what `optax.apply_updates` will, where parameters without an update stay."""

    def move(update: Any, param: Any) -> Any:
        return param if is_hole(update) else jnp.asarray(param + update, jnp.result_type(param))

    return jax.tree.map(move, updates, params, is_leaf=is_hole)


def check_arguments(make_optimizer: Any, share: Any, steps: Any, begin: Any) -> None:
    """Checks the arguments of `steer_strength`.

    Raises:
        TypeError: one has the wrong type.
        ValueError: one is out of range.
    """
    if not callable(make_optimizer):
        raise TypeError(
            f"steer_strength: make_optimizer must be a function of the strength, got {make_optimizer!r}; pass for example "
            "lambda strength: jaxreg.prox_adam(1e-3, jaxreg.L1(strength))"
        )
    check_share("steer_strength", share)
    for name, value in (("steps", steps), ("begin", begin)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"steer_strength: {name} must be an int, got {value!r}")
    if steps < 1:
        raise ValueError(f"steer_strength: steps must be at least 1, got {steps}")
    if not 0 <= begin < steps:
        raise ValueError(f"steer_strength: begin must be at least 0 and below steps={steps}, got {begin}")
