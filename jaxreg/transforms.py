"""The optax links. Where a penalty stands in the chain decides what it means.

Coupled, before the direction: the optimizer sees the gradient of loss + penalty, as if the penalty were in the loss.

    optax.chain(jaxreg.add_l2(1e-4), optax.adam(1e-3))

Decoupled, between the direction and the learning rate: with `add_l2(wd / 2)` this is `optax.adamw(weight_decay=wd)`.

    optax.chain(optax.scale_by_adam(), jaxreg.add_l2(1e-4), optax.scale_by_learning_rate(1e-3))

Proximal, after the learning rate and last of all: exact zeros. The step size is the one the weights really moved by
along a constant gradient, which for plain SGD is the learning rate. For every other direction use the ready-made
optimizers (`jaxreg.prox_adam` and so on): with a threshold of learning rate × λ they would solve for another λ.

    optax.chain(optax.sgd(0.1), jaxreg.prox_l1(1e-4, step_size=0.1))

With `optax.MultiSteps` the proximal link belongs inside, with `optax.inject_hyperparams` a `mask` that is a function must
be named in `static_args`, and a mean over iterates (EMA, lookahead, schedule-free) has no exact zeros.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxreg._checks import check_number
from jaxreg._dtypes import Schedule, like, wide
from jaxreg._masking import Mask, check_params, check_shapes, map_penalised
from jaxreg.penalties import L1, Penalty, SquaredL2, Strength

# optax keeps its message for this mistake in a private module; it is raised here by the same words.
NO_PARAMS = (
    "You are using a transformation that requires the current value of "
    "parameters, but you are not passing `params` when calling `update`."
)


class PenaltyState(NamedTuple):
    """Steps taken so far, which a scheduled strength or step size is read at: int32 scalar."""

    count: jax.Array  # type: ignore[assignment]  # optax's name for it; tuples have a method of that name


def add_penalty(penalty: Penalty, mask: Mask = None) -> optax.GradientTransformationExtraArgs:
    """Adds a penalty's (sub)gradient to the updates: g + ∂R(w), with 0 from ∂|w| at w = 0.

    Before the direction it is coupled, after it decoupled (see the module's first lines). No weight becomes exactly 0.

    Args:
        penalty: whose strengths are per unit of the loss; schedules are read at the count before it is incremented.
        mask: which leaves to charge; None charges all of them, biases too. `jaxreg.kernels` is the usual choice.

    Raises:
        TypeError, ValueError: at `init`, where the penalty or the mask does not fit the parameters.
        ValueError: at `update`, optax's own, where `params` is missing.
    """
    check_penalty("add_penalty", penalty)

    def init(params: optax.Params) -> PenaltyState | optax.EmptyState:
        check_params("add_penalty", penalty, params, mask)
        return PenaltyState(jnp.zeros([], jnp.int32)) if penalty.scheduled else optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        del extra_args
        require_params(params)
        check_shapes("add_penalty", updates, params)
        if penalty.scheduled:
            require_state("add_penalty", state, PenaltyState)
        now = penalty.at(state.count) if penalty.scheduled else penalty

        def charge(update: jax.Array, weight: jax.Array) -> jax.Array:
            slope = now.subgradient(weight)
            return (update.astype(slope.dtype) + slope).astype(update.dtype)

        return map_penalised(charge, lambda update, _: update, mask, updates, params), next_state(state)

    return optax.GradientTransformationExtraArgs(init, update)


def add_l1(strength: Strength, mask: Mask = None) -> optax.GradientTransformationExtraArgs:
    """Adds λ sign(w) to the updates. Weights chatter about 0 and none reaches it: for zeros see `prox_l1`.

    Arguments and errors are those of `add_penalty(L1(strength), mask)`, which this is.
    """
    return add_penalty(L1(strength), mask)


def add_l2(strength: Strength, mask: Mask = None) -> optax.GradientTransformationExtraArgs:
    """Adds 2λw to the updates, the gradient of λΣw²: `optax.add_decayed_weights(2 * strength)`.

    Arguments and errors are those of `add_penalty(SquaredL2(strength), mask)`, which this is.
    """
    return add_penalty(SquaredL2(strength), mask)


def proximal_step(
    penalty: Penalty, step_size: ArrayLike | Schedule, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """Makes the new parameters prox(params + updates, step_size). Last in the chain: nothing may come after it.

    update = prox_{step·R}(w + update) − w, in the parameters' dtype, so that a weight the prox sets to 0 is exactly +0.0
    after `optax.apply_updates`.

    Args:
        penalty: what is charged; schedules are read at the count before it is incremented, as the learning rate's are.
        step_size: the step the updates were taken with: a positive number, array or schedule. For plain SGD the
            learning rate; for a direction with momentum or a preconditioner use `jaxreg.proximal` instead.
        mask: which leaves to charge; None charges all of them.

    Raises:
        TypeError, ValueError: at once for a bad step size, at `init` where penalty or mask does not fit the parameters.
        ValueError: at `update`, optax's own, where `params` is missing.

    Source: proximal gradient method, Parikh and Boyd, Proximal Algorithms (2014), section 4.2.
    """
    check_penalty("proximal_step", penalty)
    check_number("proximal_step", "step_size", step_size, positive=True, scalar=True)
    scheduled = penalty.scheduled or callable(step_size)

    def init(params: optax.Params) -> PenaltyState | optax.EmptyState:
        check_params("proximal_step", penalty, params, mask)
        return PenaltyState(jnp.zeros([], jnp.int32)) if scheduled else optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        del extra_args
        require_params(params)
        check_shapes("proximal_step", updates, params)
        if scheduled:
            require_state("proximal_step", state, PenaltyState)
        now = penalty.at(state.count) if penalty.scheduled else penalty
        step = step_size(state.count) if callable(step_size) else step_size

        def to_prox(update: jax.Array, weight: jax.Array) -> jax.Array:
            return prox_update(now, weight, wide(update), step)

        return map_penalised(to_prox, lambda update, _: update, mask, updates, params), next_state(state)

    return optax.GradientTransformationExtraArgs(init, update)


def prox_l1(strength: Strength, step_size: ArrayLike | Schedule, mask: Mask = None) -> optax.GradientTransformationExtraArgs:
    """Soft-thresholds the new parameters by step_size·λ: exact zeros. Last in the chain, after plain SGD.

    Arguments and errors are those of `proximal_step(L1(strength), step_size, mask)`, which this is.
    """
    return proximal_step(L1(strength), step_size, mask)


def prox_update(penalty: Penalty, weight: jax.Array, move: jax.Array, step: ArrayLike) -> jax.Array:
    """The update that takes `weight` to prox(weight + move), in the dtype of `weight`."""
    target = penalty.prox(wide(weight) + like(move, wide(weight)), step)
    # Both sides in one dtype: only then is w + (0 − w) exactly 0.
    return target.astype(weight.dtype) - weight


def next_state(state: Any) -> Any:
    """The state after one more step."""
    return PenaltyState(optax.safe_increment(state.count)) if isinstance(state, PenaltyState) else state


def require_params(params: Any) -> None:
    """Raises optax's own error where `params` was not passed to `update`."""
    if params is None:
        raise ValueError(NO_PARAMS)


def require_state(owner: str, state: Any, kind: Any) -> None:
    """Raises a TypeError where `update` got something other than the state that its own `init` returned.

    Fields are asked for rather than the class, since a checkpoint may restore a state as another class with its fields.
    """
    if not all(hasattr(state, field) for field in kind._fields) or not hasattr(state.count, "dtype"):
        raise TypeError(
            f"{owner}: expected the {kind.__name__} that init returned, got {type(state).__name__}; call "
            "update(gradient, state, params) with this optimizer's own state"
        )


def check_penalty(owner: str, penalty: Any) -> None:
    """Raises a TypeError for what is no penalty, a bare number for example."""
    if not isinstance(penalty, Penalty):
        raise TypeError(f"{owner}: expected a penalty such as jaxreg.L1(1e-4), got {penalty!r}")
