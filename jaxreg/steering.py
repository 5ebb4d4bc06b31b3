"""`steer_strength`: name the share of weights to keep, and λ is adjusted at every step to reach it.

Write a function from a strength to an optimizer, and say how many weights to keep and by which
step:

    tx = jaxreg.steer_strength(
        lambda strength: jaxreg.prox_adam(schedule, jaxreg.L1(strength), mask=jaxreg.kernels),
        share=0.05,
        steps=4_000,  # of 4,500
        mask=jaxreg.kernels,
    )

The strength may be used in several places, for example in `jaxreg.ElasticNet(strength, 0.1 *
strength)`. After training, `jaxreg.keep_largest(params, 0.05, jaxreg.kernels)` makes the share
exact.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._arrays import at_least_float32
from jaxreg._checks import check_number
from jaxreg._counting import count, exactly, largest, total
from jaxreg._masking import check_arrays, check_shapes, chosen, is_hole
from jaxreg._roles import Per, check_groups
from jaxreg._states import ControllerState, SteeredState, require_state
from jaxreg._typing import ArrayLike, Mask, PyTree, ScalarOrSchedule
from jaxreg.pruning import Axis, Share, check_optimizer, check_share, divided
from jaxreg.transforms import require_params

# Tuned together on the digits (64–64–10) and on MNIST (784–300–100–10), with L1, log-sum and group
# penalties, shares from 0.5 to 0.005, 300 to 4,000 steps and learning rates that are constant or
# decay to 0.
START = 0.1
"""The first λ, in units of the root mean square of the gradient; values from 0.001 to 1 end about
equally well.
"""
LOWEST = 1e-9
"""Where the search for the first λ begins, in units of the first λ above."""
SEARCH = 0.1
"""The part of the steps, at the begin, in which λ may grow faster than the controller lets it."""
FASTER = 4.0
"""The factor by which it then grows in a step, as long as too much is kept; more if there are too
few steps.
"""
HOPELESS = 0.2
"""The part of the steps that λ may be behind its target before it counts as run away."""
RESPONSES = 1000.0
"""How many times the response of the controller fits into all steps."""
FASTEST = 0.7
"""The inverse of the shortest response: weights need some steps to follow λ."""
PROPORTIONAL = 0.5
"""How much log λ follows changes of log measured − log target, before damping."""
DAMPED = 0.5
"""What damping is multiplied by when λ was too high and then too low, or the other way round."""
RECOVERS = 1.05
"""What damping is multiplied by at every other step, up to 1."""
MOST_DAMPED = 0.05
"""A bound on damping, so that λ can still follow."""
FLIPPED = 0.05
"""What log measured − log target must exceed to be too high or too low rather than noise."""
MOST_ABOVE, MOST_BELOW = 0.3, 1.0
"""Bounds on |log measured − log target|: λ falls faster than it grows, as it may grow too far while
weights still shrink.
"""
LOG_LIMIT = 20.0
"""A bound on |log measured − log target|; the log of 0 is not finite."""
LARGEST = 1e20
"""A bound on λ, for optimizers that make no weight 0 whatever λ is."""
SMALLEST = 1e-20
"""Another, for weights that stay 0 whatever λ is; λ = 0 means that it has not started."""


@dataclasses.dataclass(frozen=True)
class Controller:
    """Finds the strength λ at which something that is measured has a wanted value.

    Read `state.strength` before a step, train with it, and tell `update` what was measured after
    the step: any positive number that falls as λ grows, such as the number of active features of a
    sparse autoencoder, of weights or of heads. Both are pure functions, for `jit`, `scan` and
    `vmap`; the state is a tree of arrays, for checkpoints.

    With the error e = log measured − log target, each update changes log λ by
    damping · (e/response + (e − e before)/2), where e/response counts an e above 0.3 as 0.3 and one
    below −1 as −1. Damping is halved when e jumps from one side of 0 to the other, and recovers by
    5 % at other updates, so that λ does not oscillate where a small change of λ has a large effect.

        >>> import jax.numpy as jnp, jaxreg
        >>> controller = jaxreg.Controller(target=32, response=3)
        >>> state = controller.init(1e-3)
        >>> for _ in range(300):
        ...     active = 10 / jnp.sqrt(state.strength)  # measured in a real training step
        ...     state = controller.update(state, active)
        >>> print(round(float(active), 1), round(float(state.strength), 3))
        32.0 0.098

    Args:
        target: the wanted value, above 0; a schedule gets the number of updates, this one included.
        response: number of updates in which a constant error e would change log λ by e. Longer than
            what is measured needs to follow λ: 1 for weights that a proximal step sets to 0, a
            hundred steps and more for activations.

    Raises:
        TypeError: the target or the response is not a number.
        ValueError: one of them is not above 0.
    """

    target: ScalarOrSchedule
    response: float = 100.0

    def __post_init__(self) -> None:
        check_number("Controller", "target", self.target, positive=True)
        check_number("Controller", "response", self.response, positive=True, scalar=True)

    def init(self, strength: ArrayLike) -> ControllerState:
        """Makes the state for a first λ, a number above 0 or an array of several."""
        strength = jnp.asarray(strength, jnp.float32)
        zeros = jnp.zeros_like(strength)
        return ControllerState(
            jnp.zeros([], jnp.int32), strength, zeros, zeros + 1, zeros.astype(jnp.int32)
        )

    def update(self, state: ControllerState, measured: ArrayLike) -> ControllerState:
        """Adjusts λ to what was measured with it; a measured NaN changes nothing."""
        count = optax.safe_increment(state.count)
        target = self.target(count) if callable(self.target) else self.target
        measured = jnp.asarray(measured, jnp.float32)
        ratio = jnp.log(measured / jnp.asarray(target, jnp.float32))
        bad = jnp.isnan(ratio)
        error = jnp.where(bad, state.error, jnp.clip(ratio, -LOG_LIMIT, LOG_LIMIT))
        flipped = (error * state.error < 0) & (
            jnp.minimum(jnp.abs(error), jnp.abs(state.error)) > FLIPPED
        )
        changed = jnp.where(flipped, DAMPED, RECOVERS) * state.damping
        damping = jnp.clip(changed, MOST_DAMPED, 1)
        change = jnp.clip(error, -MOST_BELOW, MOST_ABOVE) / self.response
        change += PROPORTIONAL * (error - state.error)
        grown = jnp.clip(state.strength * jnp.exp(damping * change), SMALLEST, LARGEST)
        # λ = 0 has not started.
        strength = jnp.where(bad | (state.strength == 0), state.strength, grown)
        behind = jnp.where(error > MOST_ABOVE, optax.safe_increment(state.behind), 0)
        return ControllerState(count, strength, error, damping, behind)


def steer_strength(
    make_optimizer: Callable[[jax.Array], optax.GradientTransformation],
    share: Share,
    steps: int,
    *,
    begin: int = 0,
    reached: float = 0.75,
    axis: Axis = None,
    per: Per | None = None,
    mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """Makes an optimizer that adjusts the strength λ of its penalty until a given share of the
    weights is nonzero.

    Until `begin`, λ is 0. Then log λ changes at each step by a multiple of log kept − log target,
    where kept is the share of nonzero weights after the step. The target is 1 − (1 − share)(1 − (1
    − q)³), rounded to a number of weights (groups): the schedule of gradual magnitude pruning,
    where q grows from 0 at `begin` to 1 after the part `reached` of the way to `steps`. From there
    on it is `share`, also after `steps`.

    Groups that lie in several parameters, such as neurons, cannot grow again once they are 0, as
    they get no gradient. So no step removes more of them than the target says: where one would, the
    largest of those that it would remove move without the penalty.

    λ has a unit of its own under each penalty: the loss for `L0`, its slope for `L1`. So in the
    first tenth of the steps λ is searched: it starts very small and is multiplied by 4 in each step
    that keeps more than the target, up to a tenth of the root mean square of the gradient.

    Train for about a tenth longer than `steps`. Weights can follow λ only as fast as the learning
    rate lets them: with `max_shrink=1` no weight moves by more than the learning rate per step
    because of the penalty. If the learning rates of the remaining steps sum to less than the size
    of a weight, no λ makes it 0. Then λ grows to large values, and all weights shrink alike; use
    more steps or a larger learning rate. If the learning rate decays to 0, the share freezes with
    it.

    Under a concave penalty only weights up to max_shrink·lr may jump to 0, so pass
    `max_shrink=None` there if the gradients are those of minibatches. An optimizer that sets no
    weight to exactly 0, such as one with `add_l1`, cannot be steered: λ grows until it destroys the
    weights. `state.behind` counts the steps in a row in which more than 1.35 times the target was
    kept: look at it after training. Start from dense weights, as the target starts at 1.

    λ is in the state (`state.strength`), which works inside `jit`, `vmap` and `scan`. Outside of
    them `make_optimizer` is called at every step, which is slow.

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
        make_optimizer: function from a strength, a traced float32 scalar, to an optax optimizer
            that uses it, in one or several penalties. The state of the optimizer must not depend on
            the strength's value.
        share: the share of weights (groups) to keep, in (0, 1]; a number or a traced scalar, such
            as a field of a sweep. With a dict from names or patterns (see `jaxreg.matching`) to
            shares, the leaves of each key are counted by themselves and have a λ of their own, and
            `make_optimizer` gets a dict from these keys to their λ, of which
            `jax.tree.map(jaxreg.L1, strengths)` makes a tree of penalties; add `"*": None` if the
            keys leave parameters out. Then no layer loses all of its weights to another.
        steps: number of steps after which the share is reached.
        begin: number of steps without a penalty before λ starts.
        reached: the part of the steps from `begin` to `steps` after which the target is the share,
            in (0, 1]. Later is better for the loss, and leaves λ less time to correct.
        axis: the axis or axes along which groups run, as for `jaxreg.GroupL2`; a group is kept if
            any of its weights is not 0, so axis=1 of kernels (in, out) counts inputs. None counts
            single weights.
        per: in place of `axis`, as for `jaxreg.GroupL2`: right for kernels of several ranks, and
            for groups that lie in several parameters.
        mask: the leaves whose weights are counted, as for `optax.masked`; None counts all of them,
            biases too. It is usually the mask of the penalty, `jaxreg.kernels`.

    Returns:
        An optax optimizer with the state `SteeredState`.

    Raises:
        TypeError: `make_optimizer` is not a function or returns no optimizer, the share is not a
            number, or `steps` or `begin` is not an int; at `update`, the state is another
            optimizer's.
        ValueError: a share or `reached` is outside (0, 1], `steps` is below 1, or `begin` is not
            below `steps`; at `init`, the mask selects nothing or a leaf does not have the groups;
            at `update`, gradients have other shapes than the parameters, or `params` is missing.

    Warns:
        UserWarning: outside of `jit`, λ has run away: for a fifth of the steps in a row too many
            weights were kept.

    Source: Zhu and Gupta, To prune, or not to prune (2017), for the target.
    """
    check_arguments(make_optimizer, share, steps, begin, reached)
    check_groups("steer_strength", axis, per, None)
    keys = tuple(share) if isinstance(share, Mapping) else None
    wanted: Any = (
        jnp.stack([*map(jnp.asarray, share.values())]) if isinstance(share, Mapping) else share
    )

    def target(count: ArrayLike) -> jax.Array:
        taken = jnp.asarray(count - begin, jnp.float32)
        progress = jnp.clip(taken / (reached * (steps - begin)), 0, 1)
        return jnp.asarray(wanted + (1 - wanted) * (1 - progress) ** 3, jnp.float32)

    searched = max(SEARCH * (steps - begin), 1)
    faster = max(FASTER, LOWEST ** (-1 / searched))

    def rounded(count: ArrayLike, size: Any) -> jax.Array:
        # With few groups the target is a number that can be reached, as for `keep_largest`.
        # Otherwise the first group would go as soon as the target is below 1.
        return jnp.maximum(jnp.round(target(count) * size), 1)

    def controller(size: Any) -> Controller:
        response = max((steps - begin) / RESPONSES, 1 / FASTEST)
        return Controller(lambda count: rounded(count, size), response)

    def made(strength: jax.Array) -> optax.GradientTransformationExtraArgs:
        named: Any = strength if keys is None else dict(zip(keys, strength, strict=True))
        optimizer = make_optimizer(named)
        check_optimizer("steer_strength: make_optimizer", optimizer)
        return optax.with_extra_args_support(optimizer)

    def kept(params: PyTree) -> tuple[jax.Array, np.ndarray]:
        return kept_numbers(params, mask, axis, per, keys)

    def init(params: PyTree) -> SteeredState:
        check_arrays("steer_strength", params)
        # optax.tree_map_params calls init with a placeholder without leaves, which no mask would
        # fit.
        if jax.tree.leaves(params):
            jax.eval_shape(kept, params)
        state = controller(1.0).init(jnp.zeros(jnp.shape(wanted), jnp.float32))
        return SteeredState(state, made(state.strength).init(params))

    def update(
        updates: PyTree, state: SteeredState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, SteeredState]:
        require_params(params)
        require_state("steer_strength", state, SteeredState)
        check_shapes("steer_strength", updates, params)

        before = state.controller
        moves, inner = made(before.strength).update(updates, state.inner, params, **extra_args)
        number, size = kept(moved(params, moves))
        after = controller(size).update(before, number)
        if isinstance(per, Mapping):
            few = jnp.atleast_1d(rounded(after.count, size))
            free, _ = made(0 * before.strength).update(updates, state.inner, params, **extra_args)
            moves = spare(moves, free, params, few, mask, per, keys)
        # Without a gradient so far λ stays 0, and starts with the first one.
        searching = before.count <= begin + searched
        needed = searching | jnp.any(before.strength == 0)
        largest = START * typical_size(needed, selected_leaves(updates, params, mask))
        starts = (before.strength == 0) & (before.count >= begin) & (largest > 0)
        # A λ that already removes too much is left to the controller.
        searches = (after.error > 0) & searching
        grown = jnp.where(searches, jnp.minimum(faster * before.strength, largest), 0)
        strength = jnp.where(starts, LOWEST * largest, jnp.maximum(after.strength, grown))
        warn_if_behind(after.behind, strength, max(int(HOPELESS * steps), 1))
        return moves, SteeredState(after._replace(strength=strength.astype(jnp.float32)), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def warn_if_behind(behind: jax.Array, strength: jax.Array, patience: int) -> None:
    """Warns once when too many weights have been kept for some steps in a row; under a
    transformation nothing is known.
    """
    if not isinstance(behind, jax.core.Tracer) and np.any(np.asarray(behind) == patience):
        warnings.warn(
            f"steer_strength: for {patience} steps more weights were kept than the target, while λ "
            f"grew to {float(np.max(strength)):.3g}; use more steps or a larger learning rate, "
            "max_shrink=None under a concave penalty, and an optimizer that makes exact zeros",
            stacklevel=3,
        )


def kept_numbers(
    params: PyTree, mask: Mask, axis: Axis, per: Per | None, keys: tuple[str, ...] | None
) -> tuple[jax.Array, np.ndarray]:
    """Counts the selected weights (groups) that are not 0, half a weight where none is left, and
    all of them: two float32 scalars, or for keys two arrays (keys,).
    """
    numbers, sizes = [], []
    for part in divided("steer_strength", params, mask, axis, per, keys):
        alive = [counted.alive for counted in part]
        high, low = total(map(count, alive))
        nonzeros = high.astype(jnp.float32) * 256 + low.astype(jnp.float32)
        numbers.append(jnp.maximum(nonzeros, 0.5))
        sizes.append(sum(leaf.size for leaf in alive))
    size = np.array(sizes, np.float32)
    return (numbers[0], size[0]) if keys is None else (jnp.stack(numbers), size)


def spare(
    moves: PyTree, free: PyTree, params: PyTree, few: jax.Array, mask: Mask, per: Per, keys: Any
) -> PyTree:
    """Where a step would leave fewer groups than `few`, one number for each key (keys,), the
    largest of those that it removes move as if there were no penalty.

    A single weight grows again when λ falls. A neuron or a head does not: without weights on both
    sides its gradient is 0, so a λ that is too high for one step would be final.
    """
    after = divided("steer_strength", moved(params, moves), mask, None, per, keys)
    before = divided("steer_strength", params, mask, None, per, keys)
    leaves, structure = jax.tree.flatten(moves, is_leaf=is_hole)
    others = jax.tree.leaves(free, is_leaf=is_hole)
    for part, then, number in zip(before, after, few, strict=True):
        # Groups that the step leaves come first, since it may rank groups by more than their norms.
        sizes = [
            jnp.where(moved_to.alive, jnp.inf, counted.sizes)
            for counted, moved_to in zip(part, then, strict=True)
        ]
        marks = largest(sizes, exactly(number))
        for counted, moved_to, mark in zip(part, then, marks, strict=True):
            spared = mark & counted.alive & ~moved_to.alive
            counted.cut(leaves, ~spared)
            counted.cut(others, spared)
            for place in counted.places:
                leaves[place] += others[place]
    return jax.tree.unflatten(structure, leaves)


def selected_leaves(gradient: PyTree, params: PyTree, mask: Mask) -> list[jax.Array]:
    """Lists the leaves of the gradient that the mask selects."""

    def select(slope: Any, keep: bool) -> Any:
        return slope if keep and not is_hole(slope) and jnp.size(slope) else None

    return jax.tree.leaves(jax.tree.map(select, gradient, chosen(mask, params), is_leaf=is_hole))


@jax.jit
def typical_size(needed: jax.Array, gradient: list[jax.Array]) -> jax.Array:
    """Computes the root mean square of each leaf, and the largest of them; 0 if not finite, or if
    it is not needed, as then the leaves are not read.
    """

    def largest() -> jax.Array:
        sizes = [jnp.sqrt(jnp.mean(jnp.square(jnp.abs(at_least_float32(x))))) for x in gradient]
        narrow = (size.astype(jnp.float32) for size in sizes)
        return functools.reduce(jnp.maximum, narrow, jnp.zeros([], jnp.float32))

    found = jax.lax.cond(needed, largest, lambda: jnp.zeros([], jnp.float32))
    return jnp.where(jnp.isfinite(found), found, 0)


def moved(params: PyTree, updates: PyTree) -> PyTree:
    """Computes what `optax.apply_updates` will, where parameters without an update stay."""

    def move(update: Any, param: Any) -> Any:
        return param if is_hole(update) else jnp.asarray(param + update, jnp.result_type(param))

    return jax.tree.map(move, updates, params, is_leaf=is_hole)


def check_arguments(make_optimizer: Any, share: Any, steps: Any, begin: Any, reached: Any) -> None:
    """Checks the arguments of `steer_strength`.

    Raises:
        TypeError: one has the wrong type.
        ValueError: one is out of range.
    """
    if not callable(make_optimizer):
        raise TypeError(
            "steer_strength: make_optimizer must be a function of the strength, got "
            f"{make_optimizer!r}; pass for example "
            "lambda strength: jaxreg.prox_adam(1e-3, jaxreg.L1(strength))"
        )
    check_share("steer_strength", share)
    check_number("steer_strength", "reached", reached, positive=True, scalar=True)
    if float(reached) > 1:
        raise ValueError(
            f"steer_strength: reached must be at most 1, the part of the steps, got {reached!r}"
        )
    for name, value in (("steps", steps), ("begin", begin)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"steer_strength: {name} must be an int, got {value!r}")
    if steps < 1:
        raise ValueError(f"steer_strength: steps must be at least 1, got {steps}")
    if not 0 <= begin < steps:
        raise ValueError(
            f"steer_strength: begin must be at least 0 and below steps={steps}, got {begin}"
        )
