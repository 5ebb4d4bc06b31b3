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

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike, DTypeLike

from jaxreg import preconditioners
from jaxreg._checks import check_momentum, check_number
from jaxreg._tree import Mask, check_params, is_function, map_penalised
from jaxreg.penalties import Penalty, Schedule, like, wide
from jaxreg.preconditioners import Preconditioner
from jaxreg.transforms import check_penalty, prox_update, require_params

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
) -> optax.GradientTransformationExtraArgs:
    """One step of w ← prox_{lr·R, D}(w − lr·direction), the proximal step in the direction's own metric.

    Args:
        direction: an optax transformation without a learning rate: `optax.scale_by_adam()`, `optax.trace(0.9)`, a chain.
        penalty: what is charged, per unit of the loss; strengths may be schedules.
        learning_rate: a positive number, array or schedule; step and prox read it at the same count.
        preconditioner: from the direction's state to D, a scalar or a tree like the parameters (see
            `jaxreg.preconditioners`); None is D = 1, right for plain SGD alone.
        mask: which leaves to charge, as `optax.masked` takes it; None charges all. The others just follow the direction.

    Returns:
        A transformation that is an optimizer by itself: nothing comes after it, no learning rate and no sign.

    Raises:
        TypeError, ValueError: at once for a bad direction, penalty or learning rate, at `init` where penalty or mask does
            not fit the parameters. ValueError: at `update`, optax's own, where `params` is missing.

    Source: proximal gradient in a variable metric; Yun, Lozano and Yang, Adaptive Proximal Gradient Methods for
        Structured Neural Networks (2021), equation 3.
    """
    check_penalty("proximal", penalty)
    check_number("proximal", "learning_rate", learning_rate, positive=True, scalar=True)
    if not isinstance(direction, optax.GradientTransformation):
        raise TypeError(f"proximal: direction must be a transformation such as optax.scale_by_adam(), got {direction!r}")
    direction = optax.with_extra_args_support(direction)

    def init(params: optax.Params) -> ProximalState:
        check_params("proximal", penalty, params, mask)
        return ProximalState(jnp.zeros([], jnp.int32), direction.init(params))

    def update(gradient: Any, state: ProximalState, params: Any = None, **extra_args: Any) -> tuple[Any, ProximalState]:
        require_params(params)
        towards, inner = direction.update(gradient, state.direction, params, **extra_args)
        now = penalty.at(state.count) if penalty.scheduled else penalty
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        metric = 1.0 if preconditioner is None else preconditioner(inner)
        if is_function(metric):
            raise TypeError(
                f"proximal: preconditioner gave {metric!r} and no D; it must be called, as preconditioners.adam()"
            )
        diagonal = jax.tree.map(lambda _: metric, params) if jax.tree_util.all_leaves([metric]) else metric

        def step(towards: jax.Array, weight: jax.Array, d: Any) -> jax.Array:
            move = -like(rate, wide(towards)) * wide(towards)
            # What optax.masked left out of the direction moved by the plain gradient, and that is D = 1.
            d = jnp.ones([]) if isinstance(d, optax.MaskedNode) else d
            return prox_update(now, weight, move, like(rate, move) / like(d, move))

        def follow(towards: jax.Array, weight: jax.Array, d: Any) -> jax.Array:
            del weight, d
            return -like(rate, towards) * towards

        updates = map_penalised(step, follow, mask, towards, params, diagonal)
        return updates, ProximalState(optax.safe_increment(state.count), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def prox_sgd(
    learning_rate: Rate,
    penalty: Penalty,
    momentum: float | None = None,
    nesterov: bool = False,
    accumulator_dtype: DTypeLike | None = None,
    mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """`optax.sgd` with an exact proximal step: ISTA, or with momentum its heavy-ball or Nesterov form.

    The threshold is lr·λ/(1 − momentum). Momentum gathers gradients, not steps (as in `optax.sgd`), so that a scheduled
    learning rate acts on step and threshold alike.

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
) -> optax.GradientTransformationExtraArgs:
    """`optax.adam` with an exact proximal step: threshold lr·λ/(√ν̂ + eps), weight by weight.

    A weight whose gradient is always 0 (that of a pixel that is always black) has D = eps and is set to 0 at once, as the
    penalised loss asks for.

    Args and errors: see `proximal`; the others are those of `optax.adam`.
    """
    direction = optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return proximal(direction, penalty, learning_rate, preconditioners.adam(b2, eps, eps_root), mask)


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
) -> optax.GradientTransformationExtraArgs:
    """`optax.nadam` with an exact proximal step: `prox_adam` with Nesterov's momentum.

    Args and errors: see `proximal`; the others are those of `optax.nadam`.
    """
    return prox_adam(learning_rate, penalty, b1, b2, eps, eps_root, mu_dtype, nesterov=True, mask=mask)


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
) -> optax.GradientTransformationExtraArgs:
    """`optax.adamw` with an exact proximal step.

    Decoupled decay has a fixed point of its own, ∇L + λ∂|w| + D·weight_decay·w = 0, which is no minimiser of a loss plus
    a penalty: of these optimizers it is the only one whose answer depends on D. For an L2 term in the objective use
    `prox_adam` with `ElasticNet`.

    Args:
        weight_decay, weight_decay_mask: `weight_decay` and `mask` of `optax.adamw`.
        mask: which leaves the penalty charges, as everywhere in jaxreg.
        learning_rate, penalty: see `proximal`. The others are those of `optax.adamw`.
    """
    direction = optax.chain(
        optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        optax.add_decayed_weights(weight_decay, weight_decay_mask),
    )
    return proximal(direction, penalty, learning_rate, preconditioners.adam(b2, eps, eps_root), mask)


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
) -> optax.GradientTransformationExtraArgs:
    """`optax.amsgrad` with an exact proximal step: threshold lr·λ/(√ν_max + eps).

    Args and errors: see `proximal`; the others are those of `optax.amsgrad`.
    """
    direction = optax.scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu)
    return proximal(direction, penalty, learning_rate, preconditioners.amsgrad(eps, eps_root), mask)


def prox_yogi(
    learning_rate: Rate, penalty: Penalty, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-3, *, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """`optax.yogi` with an exact proximal step: threshold lr·λ/(√ν̂ + eps).

    Args and errors: see `proximal`; the others are those of `optax.yogi`.
    """
    return proximal(optax.scale_by_yogi(b1, b2, eps), penalty, learning_rate, preconditioners.adam(b2, eps), mask)


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
) -> optax.GradientTransformationExtraArgs:
    """`optax.adabelief` with an exact proximal step: threshold lr·λ/(√ν̂ + eps), ν the variance of the gradient.

    Where the gradient hardly varies (full batches near the optimum) the variance falls towards eps and the effective
    step lr/D grows without bound: decay the learning rate, or raise eps. On the diabetes lasso a constant rate jitters
    about the solution by 1e-12 to 1e-6; a cosine to 0 reaches it to rounding.

    Args and errors: see `proximal`; the others are those of `optax.adabelief`.
    """
    direction = optax.scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov)
    return proximal(direction, penalty, learning_rate, preconditioners.belief(b2, eps), mask)


def prox_adamax(
    learning_rate: Rate, penalty: Penalty, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """`optax.adamax` with an exact proximal step: threshold lr·λ/ν, ν the decaying maximum of |g| + eps.

    Args and errors: see `proximal`; the others are those of `optax.adamax`.
    """
    return proximal(optax.scale_by_adamax(b1, b2, eps), penalty, learning_rate, preconditioners.adamax(), mask)


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
) -> optax.GradientTransformationExtraArgs:
    """`optax.rmsprop` with an exact proximal step: threshold lr·λ/√(ν + eps), times 1/(1 − momentum).

    Momentum gathers directions before the learning rate, where `optax.rmsprop` gathers steps after it: the same for a
    constant learning rate; with a schedule, step and threshold keep the same rate this way.

    Args:
        learning_rate, penalty, mask: see `proximal`. The others are those of `optax.rmsprop`.

    Raises:
        ValueError: momentum outside [0, 1), or `nesterov` without momentum; and the errors of `proximal`.
    """
    check_momentum("prox_rmsprop", momentum, nesterov)
    link = optax.scale_by_stddev if centered else optax.scale_by_rms
    direction = link(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    preconditioner = preconditioners.rms(decay, eps, eps_in_sqrt, bias_correction)
    if momentum is not None:
        direction = optax.chain(direction, optax.trace(momentum, nesterov))
        preconditioner = preconditioners.product(preconditioner, preconditioners.trace(momentum))
    return proximal(direction, penalty, learning_rate, preconditioner, mask)


def prox_adagrad(
    learning_rate: Rate, penalty: Penalty, initial_accumulator_value: float = 0.1, eps: float = 1e-7, *, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """`optax.adagrad` with an exact proximal step: threshold lr·λ/√(Σg² + eps).

    Args and errors: see `proximal`; the others are those of `optax.adagrad`.
    """
    direction = optax.scale_by_rss(initial_accumulator_value, eps)
    return proximal(direction, penalty, learning_rate, preconditioners.rss(eps), mask)
