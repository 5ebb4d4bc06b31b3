"""The metric D of a proximal step: its floor, and a check that it belongs to the direction that it is used with.

Along a constant gradient g, a direction settles at g/D, so the threshold of an exact proximal step is lr·λ/D. For a weight
without a gradient so far (in a row of an embedding that was not in the first batch, for example) √ν̂ is 0 and D is just eps,
so that this threshold would set the weight to 0 in one step. Fixed points do not depend on D as long as direction and prox
share it. So D is kept at or above slope/max_shrink, with `Penalty.slope`, and the direction is scaled down to match.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._fusion import fusible
from jaxreg._masking import is_function
from jaxreg._tracing import tracing_number
from jaxreg._typing import ArrayLike, Preconditioner, PyTree
from jaxreg.preconditioners import suited

PROBE = 1e-6
"""The constant gradient of a probe: so small that gradient clipping does not change it."""
PROBED_WEIGHT = 1e-9
"""The weight of a probe: too small for weight decay to matter, but not 0, where trust ratios (LAMB, LARS) are off."""
NESTEROV = 1.6
"""A bound on D·direction/g at the first step: Nesterov's Adam starts at 1 + b1/(1 + b1) < 1.5."""


def pooled(move: jax.Array, d: jax.Array, pool: Callable[[jax.Array], jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Replaces D by the metric that the penalty wants (`Penalty.pool`) and scales the move −lr·direction to match."""
    wanted = pool(d)
    if wanted is d:
        return move, d
    return move * (d / jnp.where(wanted == 0, 1, wanted)), wanted


def floored(move: jax.Array, d: jax.Array, floor: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Raises D to at least `floor` and scales the move −lr·direction to match; where D is larger, both keep every bit.

    Returns:
        The move, and 1/D.
    """
    low = d < floor
    inverse = fusible(1 / jnp.where(low, floor, d))
    return jnp.where(low, move * (d * inverse), move), inverse


def is_shared(metric: PyTree, params: PyTree) -> bool:
    """Whether D is one number for all weights, as for plain SGD and momentum."""
    if isinstance(metric, float | int):
        return True
    # A rank-0 array is shared too, unless the parameters are a single rank-0 weight.
    alone = jax.tree_util.all_leaves([params]) and jnp.ndim(params) == 0
    return jax.tree_util.all_leaves([metric]) and jnp.ndim(metric) == 0 and not alone


def check_preconditioner(preconditioner: Preconditioner | None, state: Any) -> None:
    """Checks at `init` that the preconditioner finds its state inside the direction's.

    Raises:
        TypeError: the preconditioner returns a function, so it was passed without calling it first.
        ValueError: the preconditioner does not fit the state, or is missing although the direction divides the gradient by a
            D, or no diagonal D exists (L-BFGS).
    """
    quasi_newton = optax.ScaleByLBFGSState
    if any(isinstance(node, quasi_newton) for node in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, quasi_newton))):
        raise ValueError(
            "proximal: expected a direction that divides the gradient by a diagonal D, got L-BFGS, whose metric is a full "
            "matrix, so it would solve the problem for a different λ; pass optax.scale_by_adam() or, for SGD, "
            "optax.identity()"
        )
    if preconditioner is None:
        names = suited(state)
        if names:
            raise ValueError(
                f"proximal: expected the preconditioner of a direction with the state of {' and '.join(names)}, got None, "
                "which solves the problem for a different λ; pass the one from jaxreg.preconditioners, with the "
                "arguments of the direction"
            )
        return

    def metric(state: Any) -> Any:
        found = preconditioner(state)
        if is_function(found):
            raise TypeError(
                f"proximal: preconditioner returned {found!r} instead of D; call it first, as in preconditioners.adam()"
            )
        return found

    jax.eval_shape(metric, state)


def check_direction(direction: optax.GradientTransformation, preconditioner: Preconditioner | None) -> None:
    """Takes one step of the direction along a small constant gradient g and compares it with g/D.

    Directions that cannot be probed pass: those made of traced values, of noise, or for parameters of another structure.

    Raises:
        ValueError: the direction reverses the gradient, so it contains a learning rate and its sign.

    Warns:
        UserWarning: the step is not g/D, so the preconditioner belongs to another direction (or has another b2).
    """
    ratio, starts_low = probe(direction, preconditioner, PROBE)
    opposite, _ = probe(direction, preconditioner, -PROBE)
    # Noise does not follow the sign of the gradient, and a direction that is 0 here (centralized gradients) says nothing.
    if not ratio or not opposite or not np.isclose(ratio, opposite, rtol=0.01):
        return
    if ratio < 0:
        raise ValueError(
            "proximal: expected a direction along the gradient, got one against it, so it already contains a learning rate "
            "(as optax.adam(1e-3) does); pass optax.scale_by_adam() or another direction without one"
        )
    # Momentum starts at g and only approaches g/(1 − momentum); averages without bias correction start below g.
    lowest = 0.0 if starts_low else 0.99
    if not lowest < ratio < NESTEROV:
        warnings.warn(
            f"proximal: along a constant gradient g, expected a first step of g/D, got {ratio:.3g} times that, which solves "
            "the problem for a different λ; pass the preconditioner named after the direction, with the same arguments "
            "(b2, eps, …). Directions of signs, such as Lion's, have none: use jaxreg.proximal_step",
            stacklevel=4,
        )


def probe(
    direction: optax.GradientTransformation, preconditioner: Preconditioner | None, gradient: float
) -> tuple[float | None, bool]:
    """Returns D·direction/g after one step along g, None if unknown, and whether the direction accumulates."""
    # Every sweep would compile these few operations again in its own context.
    with tracing_number(None), jax.ensure_compile_time_eval(), contextlib.suppress(Exception):
        weight = {"w": jnp.full((1, 1), PROBED_WEIGHT, jnp.float32)}
        start = direction.init(weight)
        moved, state = direction.update({"w": jnp.full((1, 1), gradient, jnp.float32)}, start, weight)
        metric = 1.0 if preconditioner is None else preconditioner(state)
        ratio = (metric["w"] if isinstance(metric, dict) else metric) * moved["w"] / gradient
        if not isinstance(ratio, jax.core.Tracer):
            return float(np.asarray(ratio).reshape(())), accumulates(state)
    return None, False


def accumulates(state: Any) -> bool:
    """Whether a direction's state holds a moving average, which starts below its limit."""
    averages = (optax.TraceState, optax.EmaState)
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, averages))
    return any(isinstance(node, averages) for node in nodes)
