"""`proximal`: any optax direction, followed by the proximal step in that direction's own metric."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxreg._checks import check_number
from jaxreg._dtypes import Schedule, like, wide
from jaxreg._masking import Mask, check_params, check_shapes, map_penalised
from jaxreg._metric import check_direction, check_preconditioner, floored, is_shared
from jaxreg.penalties import Penalty
from jaxreg.preconditioners import Preconditioner
from jaxreg.transforms import check_penalty, prox_update, require_params, require_state

Rate = ArrayLike | Schedule


class ProximalState(NamedTuple):
    """Steps taken so far (int32 scalar), and the direction's own state."""

    count: jax.Array  # type: ignore[assignment]  # optax's name for it; tuples have a method of that name
    direction: Any


def proximal(
    direction: optax.GradientTransformation,
    penalty: Penalty,
    learning_rate: Rate,
    preconditioner: Preconditioner | None = None,
    mask: Mask = None,
    *,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """One step of w ← prox_{lr·R, D}(w − lr·direction), the proximal step in the direction's own metric.

    Before the step, a D given per weight is raised to at least slope/max_shrink and the direction is scaled down to match
    (`Penalty.slope`: λ for L1, 2λ for squared L2, λ/√n for groups of n). The fixed points stay the same, since direction
    and prox share D. Without it, a weight that has met no gradient yet, whose D is eps, would be set to 0 in one step.

    Args:
        direction: an optax transformation without a learning rate: `optax.scale_by_adam()`, `optax.trace(0.9)`, a chain.
        penalty: what is charged, per unit of the loss; strengths may be schedules.
        learning_rate: a positive number, array or schedule; step and prox read it at the same count.
        preconditioner: from the direction's state to D, a scalar or a tree like the parameters (see
            `jaxreg.preconditioners`); None is D = 1, right for plain SGD alone.
        mask: which leaves to charge, as `optax.masked` takes it; None charges all. The others just follow the direction.
        max_shrink: the most that the penalty moves a weight in one step, in units of the learning rate: |w| falls by at
            most max_shrink·lr under L1, ‖w_g‖/√n by that under group L2, and |w| to no less than 1/(1 + max_shrink·lr) of
            itself under squared L2. Larger values reach zero faster where gradients are 0; smaller ones slow the direction
            wherever D < slope/max_shrink. None sets no bound. A scalar D (SGD, momentum) is left as it is.

    Returns:
        A transformation that is a whole optimizer: no learning rate, no sign and no other optimizer before or after it.
        In a chain it stands last, behind what changes gradients (clipping, `add_l2`). A chain does not let its links see
        each other, so `optax.chain(optax.adam(lr), jaxreg.prox_adam(…))` cannot be refused; it increases the loss.

    Raises:
        TypeError, ValueError: at once for a bad direction (one that holds a learning rate), penalty or learning rate; at
            `init` where penalty or mask does not fit the parameters, or the preconditioner not the direction; at `update`
            for gradients of other shapes or another optimizer's state, and optax's own where `params` is missing.

    Warns:
        UserWarning: the direction's first step is not g/D, so the preconditioner is another direction's.

    Source: proximal gradient in a variable metric; Yun, Lozano and Yang, Adaptive Proximal Gradient Methods for
        Structured Neural Networks (2021), equation 3.
    """
    check_penalty("proximal", penalty)
    check_number("proximal", "learning_rate", learning_rate, positive=True, scalar=True)
    if max_shrink is not None:
        check_number("proximal", "max_shrink", max_shrink, positive=True, scalar=True)
    if not isinstance(direction, optax.GradientTransformation):
        raise TypeError(f"proximal: direction must be a transformation such as optax.scale_by_adam(), got {direction!r}")
    check_direction(direction, preconditioner)
    direction = optax.with_extra_args_support(direction)

    def init(params: optax.Params) -> ProximalState:
        check_params("proximal", penalty, params, mask)
        inner = direction.init(params)
        check_preconditioner(preconditioner, inner)
        return ProximalState(jnp.zeros([], jnp.int32), inner)

    def update(gradient: Any, state: ProximalState, params: Any = None, **extra_args: Any) -> tuple[Any, ProximalState]:
        require_params(params)
        require_state("proximal", state, ProximalState)
        check_shapes("proximal", gradient, params)
        towards, inner = direction.update(gradient, state.direction, params, **extra_args)
        now = penalty.at(state.count) if penalty.scheduled else penalty
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        metric = 1.0 if preconditioner is None else preconditioner(inner)
        shared = is_shared(metric, params)
        diagonal = jax.tree.map(lambda _: metric, params) if shared else metric

        def step(towards: jax.Array, weight: jax.Array, d: Any) -> jax.Array:
            move = -like(rate, wide(towards)) * wide(towards)
            if isinstance(d, optax.MaskedNode):
                # What optax.masked left out of the direction moved by the plain gradient, and that is D = 1.
                return prox_update(now, weight, move, like(rate, move))
            d = like(d, move)
            if max_shrink is not None and not shared:
                move, d = floored(move, d, like(now.slope(weight), move) / like(max_shrink, move))
            return prox_update(now, weight, move, like(rate, move) / d)

        def follow(towards: jax.Array, weight: jax.Array, d: Any) -> jax.Array:
            del weight, d
            return -like(rate, towards) * towards

        updates = map_penalised(step, follow, mask, towards, params, diagonal)
        return updates, ProximalState(optax.safe_increment(state.count), inner)

    return optax.GradientTransformationExtraArgs(init, update)
