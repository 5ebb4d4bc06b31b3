"""Optimizers with a proximal step: exact zeros, and the same λ gives the same solution in every one of them.

Each is one visible composition of `proximal`, a direction of optax's and that direction's preconditioner, with optax's
own argument names and defaults; copy one and change it:

    tx = jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    tx = jaxreg.proximal(                       # the same, with clipped gradients and a mean over four of them
        optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam()),
        jaxreg.L1(1e-4), 1e-3, jaxreg.preconditioners.adam(), mask=jaxreg.kernels,
    )
    tx = optax.MultiSteps(tx, 4)

Along a constant gradient g a direction settles at g/D, with D its preconditioner, so one step is
w ← prox(w − lr·direction) in the metric D: the threshold is lr·λ/D, weight by weight. At a fixed point that solves
loss + penalty for the λ given. The plain threshold lr·λ solves it for another: 0.1·λ after momentum 0.9, and for Adam a
different λ for every weight.

Minibatch noise at a constant learning rate never settles on a support: decay the learning rate before judging zeros.
"""

import optax
from jax.typing import DTypeLike

from jaxreg import preconditioners
from jaxreg._checks import check_moments, check_momentum
from jaxreg._masking import Mask
from jaxreg._proximal import Rate, proximal
from jaxreg.penalties import Penalty


def prox_sgd(
    learning_rate: Rate,
    penalty: Penalty,
    momentum: float | None = None,
    nesterov: bool = False,
    accumulator_dtype: DTypeLike | None = None,
    mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """`optax.sgd` with an exact proximal step: without momentum the proximal gradient method (ISTA).

    With momentum the threshold is lr·λ/(1 − momentum), the step along a constant gradient, so the fixed points are those of
    the λ given. The algorithm is `optax.sgd`'s: momentum accumulates gradients, and the displacement by the prox is no part
    of it. So it is neither the proximal heavy-ball method nor FISTA, whose rates do not apply. As in `optax.sgd`, the
    accumulator holds gradients and not steps, so a scheduled learning rate acts on step and threshold alike.

    Args:
        learning_rate, penalty, mask: see `proximal`. The others are those of `optax.sgd`.

    Raises:
        ValueError: momentum outside [0, 1), or `nesterov` without momentum; and the errors of `proximal`.
    """
    check_momentum("prox_sgd", momentum, nesterov)
    if momentum is None:
        return proximal(optax.identity(), penalty, learning_rate, mask=mask)
    direction = optax.trace(momentum, nesterov, accumulator_dtype)
    return proximal(direction, penalty, learning_rate, preconditioners.trace(momentum), mask)


def prox_adam(
    learning_rate: Rate,
    penalty: Penalty,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adam` with an exact proximal step: threshold lr·λ/(√ν̂ + eps), weight by weight.

    Where √ν̂ + eps is below slope/max_shrink (λ/max_shrink for L1), that takes its place. So a weight whose gradient has
    always been 0, the row of an embedding for a rare word or the weight of a pixel that is always black, shrinks by at most
    max_shrink·lr a step: under L1 it reaches 0 gradually, under squared L2 it decays as by AdamW with weight_decay =
    max_shrink. `proximal` explains the bound; 1, its default, was the smallest of 0.1 to 10 that slowed neither the
    lasso's support nor the networks that were tried.

    Args:
        learning_rate, penalty, mask, max_shrink: see `proximal`. The others are those of `optax.adam`.

    Raises:
        TypeError, ValueError: b1 or b2 outside [0, 1), a negative eps or eps_root; and the errors of `proximal`.
    """
    check_moments("prox_adam", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return proximal(direction, penalty, learning_rate, preconditioners.adam(b2, eps, eps_root), mask, max_shrink=max_shrink)


def prox_nadam(
    learning_rate: Rate,
    penalty: Penalty,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.nadam` with an exact proximal step: `prox_adam` with Nesterov's momentum.

    Args and errors: see `prox_adam`; the others are those of `optax.nadam`.
    """
    return prox_adam(
        learning_rate, penalty, b1, b2, eps, eps_root, mu_dtype, nesterov=True, mask=mask, max_shrink=max_shrink
    )


def prox_adamw(
    learning_rate: Rate,
    penalty: Penalty,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: Rate = 1e-4,
    weight_decay_mask: Mask = None,
    *,
    nesterov: bool = False,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adamw` with an exact proximal step.

    Decoupled decay has a fixed point of its own, ∇L + λ∂|w| + D·weight_decay·w = 0, which is no minimiser of a loss plus
    a penalty: of these optimizers it is the only one whose answer depends on D. Where D is raised to slope/max_shrink the
    decay is scaled down with the rest of the direction, and the penalty alone shrinks a weight without a gradient. For an
    L2 term in the objective use `prox_adam` with `ElasticNet`.

    Args:
        weight_decay, weight_decay_mask: `weight_decay` and `mask` of `optax.adamw`.
        mask: which leaves the penalty charges, as everywhere in jaxreg.
        learning_rate, penalty, max_shrink: see `proximal`. The others are those of `optax.adamw`.
    """
    check_moments("prox_adamw", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.chain(
        optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        optax.add_decayed_weights(weight_decay, weight_decay_mask),
    )
    return proximal(direction, penalty, learning_rate, preconditioners.adam(b2, eps, eps_root), mask, max_shrink=max_shrink)


def prox_amsgrad(
    learning_rate: Rate,
    penalty: Penalty,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: DTypeLike | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.amsgrad` with an exact proximal step: threshold lr·λ/(√ν_max + eps).

    Args and errors: see `prox_adam`; the others are those of `optax.amsgrad`.
    """
    check_moments("prox_amsgrad", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu)
    return proximal(direction, penalty, learning_rate, preconditioners.amsgrad(eps, eps_root), mask, max_shrink=max_shrink)


def prox_yogi(
    learning_rate: Rate,
    penalty: Penalty,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-3,
    *,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.yogi` with an exact proximal step: threshold lr·λ/(√ν̂ + eps).

    Args and errors: see `prox_adam`; the others are those of `optax.yogi`.
    """
    check_moments("prox_yogi", {"b1": b1, "b2": b2}, {"eps": eps})
    direction = optax.scale_by_yogi(b1, b2, eps)
    return proximal(direction, penalty, learning_rate, preconditioners.adam(b2, eps), mask, max_shrink=max_shrink)


def prox_adabelief(
    learning_rate: Rate,
    penalty: Penalty,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    *,
    nesterov: bool = False,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adabelief` with an exact proximal step: threshold lr·λ/(√ν̂ + eps), ν the variance of the gradient.

    Where the gradient hardly varies (full batches near the optimum) the variance falls towards eps, and only the bound
    slope/max_shrink keeps the effective step lr/D finite. With max_shrink=None, decay the learning rate or raise eps.

    Args and errors: see `prox_adam`; the others are those of `optax.adabelief`.
    """
    check_moments("prox_adabelief", {"b1": b1, "b2": b2}, {"eps": eps, "eps_root": eps_root})
    direction = optax.scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov)
    return proximal(direction, penalty, learning_rate, preconditioners.belief(b2, eps), mask, max_shrink=max_shrink)


def prox_adamax(
    learning_rate: Rate,
    penalty: Penalty,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adamax` with an exact proximal step: threshold lr·λ/ν, ν the decaying maximum of |g| + eps.

    Args and errors: see `prox_adam`; the others are those of `optax.adamax`.
    """
    check_moments("prox_adamax", {"b1": b1, "b2": b2}, {"eps": eps})
    direction = optax.scale_by_adamax(b1, b2, eps)
    return proximal(direction, penalty, learning_rate, preconditioners.adamax(), mask, max_shrink=max_shrink)


def prox_rmsprop(
    learning_rate: Rate,
    penalty: Penalty,
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
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.rmsprop` with an exact proximal step: threshold lr·λ/√(ν + eps), times 1/(1 − momentum).

    Momentum gathers directions before the learning rate, where `optax.rmsprop` gathers steps after it: the same for a
    constant learning rate; with a schedule, step and threshold keep the same rate this way.

    Args:
        learning_rate, penalty, mask, max_shrink: see `proximal`; with momentum the bound is max_shrink/(1 − momentum). The
            others are those of `optax.rmsprop`.

    Raises:
        ValueError: momentum outside [0, 1), or `nesterov` without momentum; and the errors of `proximal`.
    """
    check_momentum("prox_rmsprop", momentum, nesterov)
    check_moments("prox_rmsprop", {"decay": decay}, {"eps": eps, "initial_scale": initial_scale})
    link = optax.scale_by_stddev if centered else optax.scale_by_rms
    direction = link(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    preconditioner = preconditioners.rms(decay, eps, eps_in_sqrt, bias_correction)
    if momentum is not None:
        direction = optax.chain(direction, optax.trace(momentum, nesterov))
        preconditioner = preconditioners.product(preconditioner, preconditioners.trace(momentum))
        # A step along a constant gradient is longer by this factor, and so is the one that the penalty may take.
        max_shrink = None if max_shrink is None else max_shrink / (1 - momentum)
    return proximal(direction, penalty, learning_rate, preconditioner, mask, max_shrink=max_shrink)


def prox_adagrad(
    learning_rate: Rate,
    penalty: Penalty,
    initial_accumulator_value: float = 0.1,
    eps: float = 1e-7,
    *,
    mask: Mask = None,
    max_shrink: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`optax.adagrad` with an exact proximal step: threshold lr·λ/√(Σg² + eps).

    Args and errors: see `prox_adam`; the others are those of `optax.adagrad`.
    """
    offsets = {"initial_accumulator_value": initial_accumulator_value, "eps": eps}
    check_moments("prox_adagrad", {}, offsets)
    direction = optax.scale_by_rss(initial_accumulator_value, eps)
    return proximal(direction, penalty, learning_rate, preconditioners.rss(eps), mask, max_shrink=max_shrink)
