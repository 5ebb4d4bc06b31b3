"""Adam and its closest relatives with an exact proximal step."""

from __future__ import annotations

import optax

from jaxreg import preconditioners
from jaxreg._checks import check_moments
from jaxreg._proximal import proximal
from jaxreg._typing import Clipping, DTypeLike, Mask, Penalties, ScalarOrSchedule


def prox_adam(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adam` with an exact proximal step: it minimises loss + penalty, and L1 gives exact
    zeros.

    The threshold is lr·λ/(√ν̂ + eps) for each weight, where ν̂ is Adam's bias-corrected average of
    squared gradients. Any other threshold solves the problem for a different λ.

    Where √ν̂ + eps is below slope/max_shrink (λ/max_shrink for L1), it is raised to that. So a
    weight whose gradient has always been 0, in the row of an embedding for a rare word or behind a
    pixel that is always black, shrinks by at most max_shrink·lr per step: under L1 it reaches 0
    gradually, and under squared L2 it decays as by AdamW with weight_decay = max_shrink. Of the
    values from 0.1 to 10, the default of 1 was the smallest that slowed down neither the lasso nor
    the networks of the experiments.

    Minibatch noise at a constant learning rate never settles on a set of zeros: let the learning
    rate decay.

        >>> import optax, jaxreg
        >>> import jax.numpy as jnp
        >>> params = {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)}
        >>> schedule = optax.cosine_decay_schedule(1e-3, 1000)
        >>> tx = jaxreg.prox_adam(schedule, jaxreg.L1(1e-4), mask=jaxreg.kernels)
        >>> state = tx.init(params)
        >>> gradient = {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)}
        >>> updates, state = tx.update(gradient, state, params)
        >>> params = optax.apply_updates(params, updates)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        b1: decay rate of the average of gradients, in [0, 1).
        b2: decay rate of the average of squared gradients, in [0, 1).
        eps: added to the root of the average of squared gradients.
        eps_root: added inside the root; needed only to differentiate through the optimizer.
        mu_dtype: dtype of the average of gradients; None uses that of the parameters.
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
    check_moments("prox_adam", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.adam(b2, eps, eps_root),
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )


def prox_nadam(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.nadam` with an exact proximal step: `prox_adam` with Nesterov's momentum.

    The threshold is lr·λ/(√ν̂ + eps) for each weight, as in `prox_adam`.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_nadam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        b1: decay rate of the average of gradients, in [0, 1).
        b2: decay rate of the average of squared gradients, in [0, 1).
        eps: added to the root of the average of squared gradients.
        eps_root: added inside the root; needed only to differentiate through the optimizer.
        mu_dtype: dtype of the average of gradients; None uses that of the parameters.
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
    return prox_adam(
        learning_rate,
        penalty,
        b1,
        b2,
        eps,
        eps_root,
        mu_dtype,
        nesterov=True,
        mask=mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )


def prox_adamw(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    weight_decay_mask: Mask = None,
    *,
    nesterov: bool = False,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adamw` with an exact proximal step.

    Decoupled weight decay has its own fixed point, ∇L + λ∂|w| + D·weight_decay·w = 0, which
    minimises no penalised loss: this is the only optimizer here whose solution depends on D. Where
    D is raised to slope/max_shrink, the decay is scaled down with the rest of the direction, and
    only the penalty shrinks a weight without a gradient. For an L2 term in the objective, use
    `prox_adam` with `jaxreg.ElasticNet`.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_adamw(1e-3, jaxreg.L1(1e-4), weight_decay=1e-2, mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        b1: decay rate of the average of gradients, in [0, 1).
        b2: decay rate of the average of squared gradients, in [0, 1).
        eps: added to the root of the average of squared gradients.
        eps_root: added inside the root; needed only to differentiate through the optimizer.
        mu_dtype: dtype of the average of gradients; None uses that of the parameters.
        weight_decay: the strength of the decay, a number or a schedule; twice the λ of
            `jaxreg.SquaredL2`.
        weight_decay_mask: which leaves decay, the `mask` of `optax.adamw`; None decays all of them.
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
    check_moments("prox_adamw", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.chain(
        optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        optax.add_decayed_weights(weight_decay, weight_decay_mask),
    )
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.adam(b2, eps, eps_root),
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )


def prox_amsgrad(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    mask: Mask = None,
    clip: Clipping = None,
    max_shrink: float | None = 1.0,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.amsgrad` with an exact proximal step.

    The threshold is lr·λ/(√ν_max + eps) for each weight, where ν_max is the largest average of
    squared gradients so far.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_amsgrad(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        b1: decay rate of the average of gradients, in [0, 1).
        b2: decay rate of the average of squared gradients, in [0, 1).
        eps: added to the root of the average of squared gradients.
        eps_root: added inside the root; needed only to differentiate through the optimizer.
        mu_dtype: dtype of the average of gradients; None uses that of the parameters.
        bias_correction_mu: whether to correct the bias of the average of gradients.
        bias_correction_nu: whether to correct the bias of the average of squared gradients.
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
    check_moments("prox_amsgrad", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.scale_by_amsgrad(
        b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu
    )
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.amsgrad(eps, eps_root),
        mask,
        clip=clip,
        max_shrink=max_shrink,
        lazy=lazy,
    )
