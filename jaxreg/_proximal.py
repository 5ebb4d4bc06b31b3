"""`proximal`: any optax direction, followed by the proximal step in the metric of that
direction.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxreg._arrays import like, wide
from jaxreg._assigning import assign, check_params, check_penalty, map_penalised
from jaxreg._checks import check_number
from jaxreg._clipping import Clip, check_clip
from jaxreg._masking import check_shapes
from jaxreg._metric import (
    check_direction,
    check_preconditioner,
    check_scales,
    check_tried,
    in_metric,
    is_shared,
)
from jaxreg._spanning import Spanning, each
from jaxreg._states import ProximalState, require_state
from jaxreg._typing import Clipping, Mask, Penalties, Preconditioner, PyTree, ScalarOrSchedule
from jaxreg.penalties import Penalty
from jaxreg.transforms import prox_update, require_params


def proximal(
    direction: optax.GradientTransformation,
    penalty: Penalties,
    learning_rate: ScalarOrSchedule,
    preconditioner: Preconditioner | None = None,
    mask: Mask = None,
    *,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Makes an optimizer with exact zeros of any optax direction: w ← prox_{lr·R, D}(w −
    lr·direction).

    Along a constant gradient g, a direction settles at g/D, where D is its preconditioner. The
    proximal step uses the same metric, so its threshold is lr·λ/D for each weight, and fixed points
    solve loss + penalty for the given λ.

    Before the step, a D given per weight is raised to at least slope/max_shrink, and the direction
    is scaled down to match (`Penalty.slope`: λ for L1, 2λ for squared L2, λ/√n for groups of n).
    Fixed points do not change, since direction and prox share D. Without this floor, a weight
    without a gradient so far, whose D is just eps, would be set to 0 in one step. For the same
    reason penalties of groups can share one D in each group (`Penalty.pool`), for which the prox is
    cheap.

        >>> import optax, jaxreg
        >>> tx = jaxreg.proximal(  # prox_adam with clipped gradients
        ...     optax.scale_by_adam(),
        ...     jaxreg.L1(1e-4),
        ...     learning_rate=1e-3,
        ...     preconditioner=jaxreg.preconditioners.adam(),
        ...     mask=jaxreg.kernels,
        ...     clip=optax.clip_by_global_norm(1.0),
        ... )

    Clip gradients by `clip`, not before the optimizer in a chain or inside the direction. At a
    solution of loss + penalty the gradient of the loss is not 0: its norm is up to λ√p for p
    weights. A clip below that norm scales it by c < 1, and a proximal step that does not know c
    solves the problem for λ/c. With `clip` the threshold is lr·c·λ/D, and a constant c changes
    nothing at the solution. Where c changes from batch to batch, step and threshold of each batch
    use its own c.

    The result is a whole optimizer: add no learning rate, no sign and no other optimizer before or
    after it. In a chain it comes last, after transformations that add to gradients (`add_l2`). A
    transformation cannot see the others of its chain, so two mistakes raise no error:
    `optax.chain(optax.clip_by_global_norm(1.0), jaxreg.prox_adam(…))` solves for a different λ, and
    `optax.chain(optax.adam(lr), jaxreg.prox_adam(…))` increases the loss. The same holds for a
    scale that changes later: pass a schedule as `learning_rate`, and see
    `jaxreg.preconditioners.plateau`.

    Args:
        direction: an optax transformation without a learning rate: `optax.scale_by_adam()`,
            `optax.trace(0.9)`, a chain.
        penalty: a penalty, or a tree of penalties, in units of the loss; strengths may be
            schedules. The tree has a penalty or None at the path of each parameter or above it (see
            `jaxreg.transforms`). A function from the parameters to such a tree will do too.
        learning_rate: a positive number or a schedule; step and prox evaluate it at the same count.
        preconditioner: from the direction's state to D, a scalar or a tree like the parameters (see
            `jaxreg.preconditioners`); None means D = 1, which is right for plain SGD only.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all. The others follow
            the direction alone.
        max_shrink: limits how far the penalty alone moves a weight in one step, in units of the
            learning rate; 1 is nearly always right. |w| falls by at most max_shrink·lr under L1,
            ‖w_g‖/√n by as much under group L2, and |w| to no less than |w|/(1 + max_shrink·lr)
            under squared L2. Larger values reach zero faster where gradients are 0; smaller ones
            slow the direction down wherever D < slope/max_shrink. Under a concave penalty weights
            may reach 0 by a jump, but only those up to max_shrink·lr: to prune a network with
            minibatches, pass None, which sets no bound. Then weights without a gradient are not
            protected, and where all gradients vanish, as on full batches, D falls to 0 and every
            weight may jump. A scalar D (SGD, momentum) has no floor.
        clip: a transformation that multiplies gradients by positive factors, such as
            `optax.clip_by_global_norm(1.0)`, `optax.clip(0.1)` or `optax.adaptive_grad_clip(0.01)`;
            the direction sees its result. A factor that all weights share is exact. Others are
            measured as out/in for each weight; for a weight without a gradient, from the norms of
            its array.
        lazy: whether the penalty leaves weights alone in steps in which their gradient is exactly 0
            (a group, if all of its gradients are 0), such as rows of an embedding that are not in
            the batch. The price: a weight whose gradient is nonzero in a share p of the steps is
            penalised by pλ instead of λ, and weights that never receive a gradient, behind a pixel
            that is always black for example, never become 0. Where the rows to leave alone are
            known, use `jaxreg.Weighted` with factors of 0 instead.

    Returns:
        An optax optimizer.

    Raises:
        TypeError: the direction, the penalty or the learning rate has the wrong type; at `init`,
            the mask is not made of bools or a penalised leaf is not floating point; at `update`,
            the state is another optimizer's.
        ValueError: the direction holds a learning rate, the clip reverses or shifts gradients, or a
            number is out of range; at `init`, penalty, mask or preconditioner do not fit; at
            `update`, gradients have other shapes than the parameters, or `params` is missing.

    Warns:
        UserWarning: the direction's first step is not g/D, so the preconditioner belongs to
            another direction; the direction holds a clip, or a scale that changes later; or it
            cannot be tried out.

    Source: proximal gradient in a variable metric; Yun, Lozano and Yang, Adaptive Proximal Gradient
        Methods for Structured Neural Networks (2021), equation 3.
    """
    check_penalty("proximal", penalty)
    check_number("proximal", "learning_rate", learning_rate, positive=True, scalar=True)
    if max_shrink is not None:
        check_number("proximal", "max_shrink", max_shrink, positive=True, scalar=True)
    if not isinstance(direction, optax.GradientTransformation):
        raise TypeError(
            "proximal: direction must be a transformation such as optax.scale_by_adam(), got "
            f"{direction!r}"
        )
    tried = check_direction(direction, preconditioner)
    if clip is not None:
        check_clip(clip)
    direction = optax.with_extra_args_support(direction)
    clipping = Clip(clip)

    def init(params: PyTree) -> ProximalState:
        check_params("proximal", penalty, params, mask)
        inner = direction.init(params)
        check_preconditioner(preconditioner, inner)
        check_scales(preconditioner, inner)
        if not tried:
            check_tried(direction, preconditioner, params)
        return ProximalState(jnp.zeros([], jnp.int32), inner, clipping.init(params))

    def update(
        gradient: PyTree, state: ProximalState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, ProximalState]:
        require_params(params)
        require_state("proximal", state, ProximalState)
        check_shapes("proximal", gradient, params)
        clipped, factors, clip_state = clipping.update(gradient, state.clip, params, extra_args)
        directions, inner = direction.update(clipped, state.direction, params, **extra_args)
        assigned = assign("proximal", penalty, params, mask, state.count)
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        metric = 1.0 if preconditioner is None else preconditioner(inner)
        shared = is_shared(metric, params)
        diagonal = jax.tree.map(lambda _: metric, params) if shared else metric

        def step(
            now: Penalty | Spanning, towards: Any, weight: Any, d: Any, factor: Any, slope: Any
        ) -> Any:
            def divided(move: jax.Array, d: Any, factor: Any) -> jax.Array:
                # What optax.masked left out of the direction moves by the plain gradient: there
                # D = 1.
                d = like(1.0 if isinstance(d, optax.MaskedNode) else d, move)
                return d if jnp.ndim(factor) == 0 else d / like(factor, move)

            # A factor that all weights share scales the step and the floor, in place of each D.
            first = factor[0] if isinstance(factor, list) else factor
            common = first if jnp.ndim(first) == 0 else 1.0
            plain = shared or isinstance(d, optax.MaskedNode)
            move = each(now, lambda towards: -like(rate, wide(towards)) * wide(towards), towards)
            d = each(now, divided, move, d, factor)
            if plain and not isinstance(d, list) and d.ndim == 0:
                inverse = 1 / d
            else:
                most = None if plain or max_shrink is None else max_shrink / common
                move, inverse = in_metric(now, weight, move, d, most)
            if lazy:
                some = now.pool(each(now, lambda g, move: (g != 0).astype(move.dtype), slope, move))
                inverse = each(now, lambda i, some: jnp.where(some > 0, i, 0), inverse, some)
            step_size = each(now, lambda i: like(rate, i) * like(common, i) * i, inverse)
            return prox_update(now, weight, move, step_size)

        def follow(towards: jax.Array, *_: Any) -> jax.Array:
            return -like(rate, towards) * towards

        updates = map_penalised(
            step, follow, assigned, directions, params, diagonal, factors, gradient
        )
        return updates, ProximalState(optax.safe_increment(state.count), inner, clip_state)

    return optax.GradientTransformationExtraArgs(init, update)
