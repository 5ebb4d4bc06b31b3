"""SGD with an exact proximal step."""

from __future__ import annotations

import optax

from jaxreg import preconditioners
from jaxreg._checks import check_momentum
from jaxreg._proximal import proximal
from jaxreg._typing import Clipping, DTypeLike, Mask, Penalties, ScalarOrSchedule


def prox_sgd(
    learning_rate: ScalarOrSchedule,
    penalty: Penalties,
    momentum: float | None = None,
    nesterov: bool = False,
    accumulator_dtype: DTypeLike | None = None,
    mask: Mask = None,
    *,
    clip: Clipping = None,
    lazy: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optax.sgd` with an exact proximal step; without momentum, the proximal gradient method
    (ISTA).

    With momentum, the threshold is lr·λ/(1 − momentum), the step along a constant gradient, so that
    fixed points solve the problem for the given λ. As in `optax.sgd`, momentum accumulates
    gradients; it does not include the displacement by the prox. This is therefore neither the
    proximal heavy-ball method nor FISTA, and their convergence rates do not apply. The accumulator
    holds gradients and not steps, so a scheduled learning rate acts on step and threshold alike.

        >>> import optax, jaxreg
        >>> tx = jaxreg.prox_sgd(0.1, jaxreg.L1(1e-3), momentum=0.9, mask=jaxreg.kernels)

    Args:
        learning_rate: a positive number or an optax schedule of the step count.
        penalty: a penalty such as `jaxreg.L1(1e-4)`, or a tree of penalties, in units of the loss;
            strengths may be schedules.
        momentum: decay rate of the accumulated gradients, in [0, 1); None uses none.
        nesterov: whether to use Nesterov's momentum.
        accumulator_dtype: dtype of the accumulated gradients; None uses that of the parameters.
        mask: which leaves to penalise, as for `optax.masked`; None penalises all of them, biases
            too. `jaxreg.kernels` is the usual choice.
        clip: a transformation that clips gradients, such as `optax.clip_by_global_norm(1.0)`.
            Before this optimizer in a chain it would solve the problem for a different λ (see
            `jaxreg.proximal`).
        lazy: whether the penalty leaves weights alone in steps in which their gradient is exactly 0
            (see `jaxreg.proximal`).

    Returns:
        An optax optimizer; its `update` needs `params`.

    Raises:
        TypeError: an argument has the wrong type, for example a mask passed by position.
        ValueError: momentum is outside [0, 1), `nesterov` is set without it, or the learning rate
            is not positive; at `init`, the penalty or the mask does not fit the parameters; at
            `update`, `params` is missing.
    """
    check_momentum("prox_sgd", momentum, nesterov)
    if momentum is None:
        return proximal(optax.identity(), penalty, learning_rate, mask=mask, clip=clip, lazy=lazy)
    direction = optax.trace(momentum, nesterov, accumulator_dtype)
    return proximal(
        direction,
        penalty,
        learning_rate,
        preconditioners.trace(momentum),
        mask,
        clip=clip,
        lazy=lazy,
    )
