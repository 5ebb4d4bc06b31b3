"""Yogi, AdaBelief and Adamax with an exact proximal step."""

from __future__ import annotations

import optax

from jaxreg import preconditioners
from jaxreg._checks import check_moments
from jaxreg._proximal import proximal
from jaxreg._typing import Clipping, Mask, Penalties, ScalarOrSchedule


def prox_yogi(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-3,
    *,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.yogi` with an exact proximal step.

    The threshold is lr·λ/(√ν̂ + eps) for each weight, where ν̂ is Yogi's average of squared
    gradients.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_yogi(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        b1: decay rate of the average of gradients, in [0, 1).
        b2: decay rate of the average of squared gradients, in [0, 1).
        eps: added to the root of the average of squared gradients.
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
        ValueError: b1 or b2 is outside [0, 1), eps is negative, or the learning rate is not
            positive; at `init`, the penalty or the mask does not fit the parameters; at `update`,
            `params` is missing.
    """
    check_moments("prox_yogi", {"b1": b1, "b2": b2}, {"eps": eps})
    direction = optax.scale_by_yogi(b1, b2, eps)
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.adam(b2, eps),
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )


def prox_adabelief(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    *,
    nesterov: bool = False,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adabelief` with an exact proximal step.

    The threshold is lr·λ/(√ν̂ + eps) for each weight, where ν̂ is the variance of the gradient
    around its average.

    Where the gradient hardly varies (full batches near the optimum) the variance falls towards eps,
    and only the bound slope/max_shrink keeps the effective step lr/D finite. With max_shrink=None,
    let the learning rate decay or raise eps.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_adabelief(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        b1: decay rate of the average of gradients, in [0, 1).
        b2: decay rate of the average of squared deviations, in [0, 1).
        eps: added to the root of the variance.
        eps_root: added to the variance at each step.
        nesterov: whether to use Nesterov's momentum.
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
        ValueError: b1 or b2 is outside [0, 1), eps or eps_root is negative, or the learning rate is
            not positive; at `init`, the penalty or the mask does not fit the parameters; at
            `update`, `params` is missing.
    """
    check_moments("prox_adabelief", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov)
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.belief(b2, eps),
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )


def prox_adamax(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adamax` with an exact proximal step.

    The threshold is lr·λ/ν for each weight, where ν is the decaying maximum of |g| + eps.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_adamax(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        b1: decay rate of the average of gradients, in [0, 1).
        b2: decay rate of the maximum, in [0, 1).
        eps: added to |g|.
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
        ValueError: b1 or b2 is outside [0, 1), eps is negative, or the learning rate is not
            positive; at `init`, the penalty or the mask does not fit the parameters; at `update`,
            `params` is missing.
    """
    check_moments("prox_adamax", {"b1": b1, "b2": b2}, {"eps": eps})
    direction = optax.scale_by_adamax(b1, b2, eps)
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.adamax(),
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )
