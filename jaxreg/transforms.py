"""Transformations for `optax.chain`. Their place in the chain decides what a penalty does.

Coupled, before the direction: the optimizer sees the gradient of loss + penalty, as if the penalty
were in the loss.

    optax.chain(jaxreg.add_l2(1e-4), optax.adam(1e-3))

Decoupled, between the direction and the learning rate: with `add_l2(wd / 2)` this is
`optax.adamw(weight_decay=wd)`.

    optax.chain(optax.scale_by_adam(), jaxreg.add_l2(1e-4), optax.scale_by_learning_rate(1e-3))

Proximal, after the learning rate and last in the chain: exact zeros. The step size must be the
distance that weights move per unit of a constant gradient, which for plain SGD is the learning
rate. For every other direction use the ready-made optimizers (`jaxreg.prox_adam` and others): a
threshold of learning rate × λ would solve the problem for a different λ.

    optax.chain(optax.sgd(0.1), jaxreg.prox_l1(1e-4, step_size=0.1))

For a λ by layer, pass a tree of penalties to any of these, or a function from the parameters to
such a tree:

    rest = {"kernel": jaxreg.SquaredL2(1e-4), "bias": None}
    jaxreg.add_penalty({"first": jaxreg.L1(1e-3), "rest": rest})

An entry holds for every parameter at its path or below. A plain dict fits the parameters of linen,
nnx and Equinox alike, as only paths are compared. Write None for parameters that are not penalised.
Keys may be patterns (see `jaxreg.matching`):

    by_path = {"blocks/*/attention": jaxreg.L1(1e-3), "embed": None}
    jaxreg.add_penalty({**by_path, "**": jaxreg.SquaredL2(1e-4)})

A mask is matched in the same way: `{"embed": False, "**": True}`. It may also be a function from
the parameters to such a tree, or one of the path and the leaf, such as
`nnx.PathContains("kernel")`. A function is called with the current parameters at every update, so
it should use their shapes rather than their values.

With `optax.MultiSteps` the proximal step belongs inside. With `optax.inject_hyperparams` a `mask`
or a `penalty` that is a function must be named in `static_args`. Averages of iterates (EMA,
lookahead, schedule-free) have no exact zeros.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxreg._arrays import like, wide
from jaxreg._assigning import assign, check_params, check_penalty, is_scheduled, map_penalised
from jaxreg._checks import check_number
from jaxreg._masking import check_shapes
from jaxreg._spanning import Spanning, each
from jaxreg._states import PenaltyState, next_state, require_state
from jaxreg._typing import Mask, Penalties, PyTree, ScalarOrSchedule
from jaxreg.penalties import L1, Penalty, SquaredL2

# optax keeps its message for this mistake in a private module; these are the same words.
NO_PARAMS = (
    "You are using a transformation that requires the current value of "
    "parameters, but you are not passing `params` when calling `update`."
)


def add_penalty(
    penalty: Penalties,
    mask: Mask = None,
    *,
    step_size: ScalarOrSchedule | None = None,
    cautious: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Adds a penalty's subgradient to the updates: g + ∂R(w), with 0 as the subgradient of |w| at w
    = 0.

    Before the direction it is coupled, after the direction decoupled (see `jaxreg.transforms`). It
    makes no weight exactly 0. With a `step_size` it comes last, after the learning rate, and does
    not depend on that: update − step_size·∂R(w). With squared L2, decay that is independent of the
    rate, and cautious decay, are:

        >>> import optax, jaxreg
        >>> decay = jaxreg.add_penalty(jaxreg.SquaredL2(0.5), step_size=1e-4)  # −1e-4·w a step
        >>> independent = optax.chain(optax.adam(1e-3), decay)
        >>> cautious = jaxreg.add_penalty(jaxreg.SquaredL2(0.05), cautious=True)
        >>> tx = optax.chain(optax.scale_by_adam(), cautious, optax.scale_by_learning_rate(1e-3))

    Args:
        penalty: a penalty such as `jaxreg.ElasticNet(1e-4, 1e-5)`, or a tree of penalties (see
            `jaxreg.transforms`), in units of the loss; schedules are evaluated at the number of
            steps taken before.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them, biases
            too. `jaxreg.kernels` is the usual choice.
        step_size: what the subgradient is multiplied by after the learning rate: a positive number
            or a schedule. None before the learning rate.
        cautious: whether to pull only weights that the update moves in the direction of the pull,
            or not at all. A fixed point then minimises no penalised loss, also of SGD.

    Returns:
        An `optax.GradientTransformation`.

    Raises:
        TypeError: the penalty is neither a `jaxreg.Penalty` nor made of them, or the step size is
            not a number; at `init`, the mask is not made of bools or a penalised leaf is not
            floating point.
        ValueError: the step size is not positive; at `init`, the penalty or the mask does not fit
            the parameters; at `update`, `params` is missing.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization (2019); Chen and others,
        Cautious weight decay (2025).
    """
    check_penalty("add_penalty", penalty)
    if step_size is not None:
        check_number("add_penalty", "step_size", step_size, positive=True, scalar=True)
    scheduled = is_scheduled(penalty) or callable(step_size)

    def init(params: PyTree) -> PenaltyState | optax.EmptyState:
        check_params("add_penalty", penalty, params, mask)
        return PenaltyState(jnp.zeros([], jnp.int32)) if scheduled else optax.EmptyState()

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, Any]:
        del extra_args
        require_params(params)
        check_shapes("add_penalty", updates, params)
        if scheduled:
            require_state("add_penalty", state, PenaltyState)
        assigned = assign("add_penalty", penalty, params, mask, state.count if scheduled else None)

        step = step_size(state.count) if callable(step_size) else step_size

        def add(update: jax.Array, pull: jax.Array) -> jax.Array:
            pull = pull if step is None else -like(step, pull) * pull
            move = update.astype(pull.dtype)
            pull = jnp.where(move * pull < 0, 0, pull) if cautious else pull
            return (move + pull).astype(update.dtype)

        def pulled(now: Penalty | Spanning, update: Any, weight: Any) -> Any:
            return each(now, add, update, now.subgradient(weight))

        return map_penalised(
            pulled, lambda update, _: update, assigned, updates, params
        ), next_state(state)

    return optax.GradientTransformationExtraArgs(init, update)


def add_l1(strength: ScalarOrSchedule, mask: Mask = None) -> optax.GradientTransformationExtraArgs:
    """Adds λ sign(w) to the updates: `add_penalty(L1(strength), mask)`.

    Weights jitter around 0 without becoming exactly 0. For exact zeros see `prox_adam` or
    `prox_l1`.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them.

    Returns:
        An `optax.GradientTransformation`.

    Raises:
        TypeError: as for `add_penalty`, or the strength is not a number.
        ValueError: as for `add_penalty`, or the strength is negative, NaN or infinite.
    """
    return add_penalty(L1(strength), mask)


def add_l2(strength: ScalarOrSchedule, mask: Mask = None) -> optax.GradientTransformationExtraArgs:
    """Adds 2λw to the updates, the gradient of λΣw²: `add_penalty(SquaredL2(strength), mask)`.

    It equals `optax.add_decayed_weights(2 * strength, mask)`.

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them.

    Returns:
        An `optax.GradientTransformation`.

    Raises:
        TypeError: as for `add_penalty`, or the strength is not a number.
        ValueError: as for `add_penalty`, or the strength is negative, NaN or infinite.
    """
    return add_penalty(SquaredL2(strength), mask)


def proximal_step(
    penalty: Penalties, step_size: ScalarOrSchedule, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """Replaces the new parameters by prox(params + updates, step_size). It must be the last
    transformation of the chain.

    update = prox_{step·R}(w + update) − w, in the dtype of the parameters, so that a weight that
    the prox sets to 0 is exactly +0.0 after `optax.apply_updates`.

    Args:
        penalty: a penalty, or a tree of penalties (see `jaxreg.transforms`), in units of the loss;
            schedules are evaluated at the number of steps taken before, like optax's learning
            rates.
        step_size: the step that the updates were taken with: a positive number or a schedule. For
            plain SGD it is the learning rate. For a direction with momentum or a preconditioner use
            `jaxreg.proximal` instead.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them.

    Returns:
        An `optax.GradientTransformation`.

    Raises:
        TypeError: the penalty is neither a `jaxreg.Penalty` nor made of them, or the step size is
            not a number; at `init`, the mask is not made of bools or a penalised leaf is not
            floating point.
        ValueError: the step size is not positive; at `init`, the penalty or the mask does not fit
            the parameters; at `update`, `params` is missing.

    Source: proximal gradient method; Parikh and Boyd, Proximal Algorithms (2014), section 4.2.
    """
    check_penalty("proximal_step", penalty)
    check_number("proximal_step", "step_size", step_size, positive=True, scalar=True)
    scheduled = is_scheduled(penalty) or callable(step_size)

    def init(params: PyTree) -> PenaltyState | optax.EmptyState:
        check_params("proximal_step", penalty, params, mask)
        return PenaltyState(jnp.zeros([], jnp.int32)) if scheduled else optax.EmptyState()

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, Any]:
        del extra_args
        require_params(params)
        check_shapes("proximal_step", updates, params)
        if scheduled:
            require_state("proximal_step", state, PenaltyState)
        assigned = assign(
            "proximal_step", penalty, params, mask, state.count if scheduled else None
        )
        step = step_size(state.count) if callable(step_size) else step_size

        def to_prox(now: Penalty | Spanning, update: Any, weight: Any) -> Any:
            return prox_update(now, weight, each(now, wide, update), step)

        return map_penalised(
            to_prox, lambda update, _: update, assigned, updates, params
        ), next_state(state)

    return optax.GradientTransformationExtraArgs(init, update)


def prox_l1(
    strength: ScalarOrSchedule, step_size: ScalarOrSchedule, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """Soft-thresholds the new parameters by step_size·λ: `proximal_step(L1(strength), step_size,
    mask)`.

    It gives exact zeros. It must be the last transformation of the chain, after plain SGD; after
    Adam or momentum it silently solves the problem for a different λ, so use `prox_adam` or
    `prox_sgd` there.

        >>> import optax, jaxreg
        >>> tx = optax.chain(optax.sgd(0.1), jaxreg.prox_l1(1e-4, step_size=0.1))

    Args:
        strength: λ ≥ 0, a number, an array (for `jax.vmap`) or an optax schedule.
        step_size: the learning rate of the SGD before it: a positive number or a schedule.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them.

    Returns:
        An `optax.GradientTransformation`.

    Raises:
        TypeError: as for `proximal_step`, or the strength is not a number.
        ValueError: as for `proximal_step`, or the strength is negative, NaN or infinite.
    """
    return proximal_step(L1(strength), step_size, mask)


def prox_update(penalty: Penalty | Spanning, weight: Any, move: Any, step: Any) -> Any:
    """Computes the update that takes `weight` to prox(weight + move), in the dtype of `weight`."""
    moved = each(penalty, lambda w, move: wide(w) + like(move, wide(w)), weight, move)
    # Both sides in one dtype: only then is w + (0 − w) exactly 0.
    return each(penalty, lambda u, w: u.astype(w.dtype) - w, penalty.prox(moved, step), weight)


def require_params(params: PyTree) -> None:
    """Raises optax's own ValueError if `params` was not passed to `update`."""
    if params is None:
        raise ValueError(NO_PARAMS)
