"""RMSProp and Adagrad with an exact proximal step."""

from __future__ import annotations

import optax

from jaxreg import preconditioners
from jaxreg._checks import check_moments, check_momentum
from jaxreg._proximal import proximal
from jaxreg._typing import Clipping, Mask, Penalties, ScalarOrSchedule


def prox_rmsprop(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.rmsprop` with an exact proximal step.

    The threshold is lr·λ/√(ν + eps) for each weight, divided by 1 − momentum, where ν is the
    average of squared gradients.

    Momentum accumulates directions before the learning rate, whereas `optax.rmsprop` accumulates
    steps after it. For a constant learning rate both are the same; with a schedule, this order
    applies one rate to step and threshold.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_rmsprop(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        decay: decay rate of the average of squared gradients, in [0, 1).
        eps: added to that average, or to its root.
        initial_scale: initial value of the average.
        eps_in_sqrt: whether eps is added inside the root.
        centered: whether the squared average of gradients is subtracted.
        momentum: decay rate of the accumulated directions, in [0, 1); None uses none.
        nesterov: whether to use Nesterov's momentum.
        bias_correction: whether to correct the bias of the averages.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them, biases
            too. `jaxreg.kernels` is the usual choice.
        clip: a transformation that clips gradients, such as `optax.clip_by_global_norm(1.0)`.
            Before this optimizer in a chain it would solve the problem for a different λ (see
            `jaxreg.proximal`).
        max_shrink: the most that the penalty moves a weight in one step, in units of the learning
            rate; None sets no bound. It protects weights that have not received a gradient yet (see
            `jaxreg.proximal`). With momentum the bound is max_shrink/(1 − momentum).
        lazy: whether the penalty leaves weights alone in steps in which their gradient is exactly 0
            (see `jaxreg.proximal`).

    Returns:
        An optax optimizer; its `update` needs `params`.

    Raises:
        TypeError: an argument has the wrong type, for example a mask passed by position.
        ValueError: decay or momentum is outside [0, 1), eps or initial_scale is negative,
            `nesterov` is set without momentum, or the learning rate is not positive; at `init`, the
            penalty or the mask does not fit the parameters; at `update`, `params` is missing.
    """
    check_momentum("prox_rmsprop", momentum, nesterov)
    check_moments("prox_rmsprop", {"decay": decay}, {"eps": eps, "initial_scale": initial_scale})
    scale = optax.scale_by_stddev if centered else optax.scale_by_rms
    direction = scale(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    preconditioner = preconditioners.rms(decay, eps, eps_in_sqrt, bias_correction)
    if momentum is not None:
        direction = optax.chain(direction, optax.trace(momentum, nesterov))
        preconditioner = preconditioners.product(preconditioner, preconditioners.trace(momentum))
        # Momentum makes a step along a constant gradient longer by this factor, so the bound of the
        # penalty's step grows too.
        max_shrink = None if max_shrink is None else max_shrink / (1 - momentum)
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioner,
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )


def prox_adagrad(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    initial_accumulator_value: float = 0.1,
    eps: float = 1e-7,
    *,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adagrad` with an exact proximal step.

    The threshold is lr·λ/√(Σg² + eps) for each weight, where Σg² is the sum of all squared
    gradients.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_adagrad(0.1, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        initial_accumulator_value: what the sum of squared gradients starts at.
        eps: added to that sum inside the root.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them, biases
            too. `jaxreg.kernels` is the usual choice.
        clip: a transformation that clips gradients, such as `optax.clip_by_global_norm(1.0)`.
            Before this optimizer in a chain it would solve the problem for a different λ (see
            `jaxreg.proximal`).
        max_shrink: the most that the penalty moves a weight in one step, in units of the learning
            rate; None sets no bound. It protects weights that have not received a gradient yet (see
            `jaxreg.proximal`).
        lazy: whether the penalty leaves weights alone in steps in which their gradient is exactly 0
            (see `jaxreg.proximal`).

    Returns:
        An optax optimizer; its `update` needs `params`.

    Raises:
        TypeError: an argument has the wrong type, for example a mask passed by position.
        ValueError: eps or initial_accumulator_value is negative, or the learning rate is not
            positive; at `init`, the penalty or the mask does not fit the parameters; at `update`,
            `params` is missing.
    """
    offsets = {"initial_accumulator_value": initial_accumulator_value, "eps": eps}
    check_moments("prox_adagrad", {}, offsets)
    direction = optax.scale_by_rss(initial_accumulator_value, eps)
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.rss(eps),
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )
