"""The metric D of a proximal step: its floor, and a check that it belongs to the direction that it
is used with.

Along a constant gradient g, a direction settles at g/D, so the threshold of an exact proximal step
is lr·λ/D. For a weight without a gradient so far (in a row of an embedding that was not in the
first batch, for example) √ν̂ is 0 and D is just eps, so that this threshold would set the weight to
0 in one step. Fixed points do not depend on D as long as direction and prox share it. So D is kept
at or above slope/max_shrink, with `Penalty.slope`, and the direction is scaled down to match.
"""

from __future__ import annotations

import operator
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from jaxreg import preconditioners
from jaxreg._arrays import fusible, like, tracing_number
from jaxreg._masking import is_function
from jaxreg._spanning import Spanning, each
from jaxreg._typing import Preconditioner, PyTree
from jaxreg.penalties import Penalty

PROBES = (1e-6, 1e-2, 1.0, 3e2)
"""Sizes of the constant gradients of a probe: an eps hides D from small ones, and a clip acts on
large ones.
"""
PROBED_WEIGHT = 1e-9
"""The weight of a probe: too small for weight decay to matter, but not 0, where trust ratios (LAMB,
LARS) are off.
"""
NESTEROV = 1.6
"""A bound on D·direction/g at the first step: Nesterov's Adam starts at 1 + b1/(1 + b1) < 1.5."""
LATE = 3.0
"""By how much this may vary with the size of g for averages that start at 0: AdaDelta's by √2."""


def in_metric(
    penalty: Penalty | Spanning, weight: Any, move: Any, d: Any, max_shrink: Any
) -> tuple[Any, Any]:
    """Pools D as the penalty wants it (`Penalty.pool`), raises it to its floor, and scales the move
    −lr·direction to match; where D is larger, the move keeps every bit.

    Returns:
        The move, and 1/D.
    """

    def inverted(d: jax.Array, floor: jax.Array) -> jax.Array:
        return fusible(1 / jnp.maximum(d, floor))

    def lowered(d: jax.Array, floor: jax.Array, inverse: jax.Array) -> jax.Array:
        return jnp.where(d < floor, d * inverse, 1)

    wanted = penalty.pool(d)
    if wanted is not d:
        inverse = each(penalty, lambda wanted: 1 / jnp.where(wanted == 0, 1, wanted), wanted)
        move = each(penalty, lambda move, d, inverse: move * (d * inverse), move, d, inverse)
        d = wanted
    if max_shrink is None:
        return move, each(penalty, lambda d: 1 / d, d)
    slope = penalty.slope(weight)
    floor = each(penalty, lambda slope, d: like(slope, d) / like(max_shrink, d), slope, d)
    inverse = each(penalty, inverted, d, floor)
    return each(penalty, operator.mul, move, each(penalty, lowered, d, floor, inverse)), inverse


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
        ValueError: the preconditioner does not fit the state, or is missing although the direction
            divides the gradient by a D, or no diagonal D exists (L-BFGS).
    """
    check_diagonal(state)
    if preconditioner is None:
        names = preconditioners.suited(state)
        if names:
            raise ValueError(
                "proximal: expected the preconditioner of a direction with the state of "
                f"{' and '.join(names)}, got None, which solves the problem for a different λ; "
                "pass the one from jaxreg.preconditioners, with the arguments of the direction"
            )
        return

    def metric(state: Any) -> Any:
        diagonal = preconditioner(state)
        if is_function(diagonal):
            raise TypeError(
                f"proximal: preconditioner returned {diagonal!r} instead of D; call it first, as "
                "in preconditioners.adam()"
            )
        return diagonal

    jax.eval_shape(metric, state)


def check_diagonal(state: Any) -> None:
    """Raises a ValueError if the metric of a direction with this state is a full matrix, as that of
    L-BFGS.
    """
    quasi_newton = optax.ScaleByLBFGSState
    if any(
        isinstance(node, quasi_newton)
        for node in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, quasi_newton))
    ):
        raise ValueError(
            "proximal: expected a direction that divides the gradient by a diagonal D, got L-BFGS, "
            "whose metric is a full matrix, so it would solve the problem for a different λ; pass "
            "optax.scale_by_adam() or, for SGD, optax.identity()"
        )


def check_direction(
    direction: optax.GradientTransformation, preconditioner: Preconditioner | None
) -> bool:
    """Takes a step of the direction along small and large constant gradients g and compares it with
    g/D.

    Directions of traced values pass.

    Returns:
        Whether the direction could be tried out; if not, `check_tried` tries again with the
        parameters.

    Raises:
        ValueError: the direction reverses the gradient, so it contains a learning rate and its
            sign.

    Warns:
        UserWarning: a step is not g/D, so the preconditioner belongs to another direction (or has
            another b2); or the direction holds a clip.
    """
    gradient = {str(size): np.array([[size, -size]]) for size in PROBES}
    return compare(direction, preconditioner, gradient, 4)


def check_tried(
    direction: optax.GradientTransformation, preconditioner: Preconditioner | None, params: PyTree
) -> None:
    """As `check_direction`, for a direction that fits the user's parameters alone, with arrays of
    two weights.

    Warns:
        UserWarning: also if the direction cannot be tried out.
    """
    for size in PROBES:
        pair = np.array([size, -size])
        gradient = jax.tree.map(
            lambda leaf, pair=pair: (
                pair.reshape((1,) * (jnp.ndim(leaf) - 1) + (2,)) if jnp.ndim(leaf) else pair[0]
            ),
            params,
        )
        if not compare(direction, preconditioner, gradient, 5):
            warnings.warn(
                "proximal: expected a direction that can be tried out with small parameters, got "
                "one that cannot, so its preconditioner may be another's and λ a different one; "
                "compare jaxreg.kkt_residual with λ after training",
                stacklevel=4,
            )
            return


def compare(
    direction: optax.GradientTransformation,
    preconditioner: Preconditioner | None,
    gradient: PyTree,
    stacklevel: int,
) -> bool:
    """Takes the first step along a gradient and compares it with g/D; returns whether it could be
    taken.
    """
    try:
        ratios, state = probe(direction, preconditioner, gradient)
    except Exception:  # whatever the user's direction raises for parameters that are not the user's
        return False
    check_diagonal(state)
    # Noise does not follow the sign of the gradient.
    clear = [
        ratio
        for ratio in ratios
        if ratio.size == 1 or np.isclose(ratio.min(), ratio.max(), rtol=0.01)
    ]
    if ratios and not clear:
        return False
    values = [float(ratio.flat[0]) for ratio in clear]
    if any(value < 0 for value in values):
        raise ValueError(
            "proximal: expected a direction along the gradient, got one against it, so it already "
            "contains a learning rate (as optax.adam(1e-3) does); pass optax.scale_by_adam() or "
            "another direction without one"
        )
    # Momentum starts at g and only approaches g/(1 − momentum); averages without bias correction
    # start below g. These are short by a factor that does not depend on the size of g, or by
    # little.
    late = accumulates(state)
    least = max(max(values, default=0) / LATE, 0) if late else 0.99
    wrong = [value for value in values if not least <= value < NESTEROV or value == 0]
    if wrong:
        worst = min(wrong) if min(wrong) < least else max(wrong)
        warnings.warn(
            f"proximal: along a constant gradient g, expected a first step of g/D, got {worst:.3g} "
            "times that, which solves the problem for a different λ; pass the preconditioner named "
            "after the direction, with the same arguments (b2, eps, …), and clip by the argument "
            "clip=, not inside the direction. Directions of signs, such as Lion's, and of "
            "orthogonal matrices, such as Muon's, have none: use jaxreg.proximal_step",
            stacklevel=stacklevel,
        )
    return True


def probe(
    direction: optax.GradientTransformation, preconditioner: Preconditioner | None, gradient: PyTree
) -> tuple[list[np.ndarray], Any]:
    """Returns D·direction/g of each array after one step along g, and the direction's state."""
    # Every sweep would compile these few operations again in its own context. Centred squares lose
    # the digits of float32.
    with tracing_number(None), jax.ensure_compile_time_eval(), jax.enable_x64(True):
        gradient = jax.tree.map(jnp.asarray, gradient)
        weight = jax.tree.map(lambda leaf: jnp.full_like(leaf, PROBED_WEIGHT), gradient)
        update = optax.with_extra_args_support(direction).update
        moved, state = update(gradient, direction.init(weight), weight, value=jnp.zeros([]))
        metric = 1.0 if preconditioner is None else preconditioner(state)
        if is_shared(metric, weight):
            metric = jax.tree.map(lambda _: metric, weight)
        inside = jax.tree.map(
            lambda move, slope, d: None if isinstance(d, optax.MaskedNode) else d * move / slope,
            moved, gradient, metric, is_leaf=lambda node: isinstance(node, optax.MaskedNode),
        )  # fmt: skip
        ratios = jax.tree.leaves(inside)
    return [np.asarray(ratio) for ratio in ratios if not isinstance(ratio, jax.core.Tracer)], state


def check_scales(preconditioner: Preconditioner | None, state: Any) -> None:
    """Looks for scales inside a direction that change later, by its state.

    Warns:
        UserWarning: there is a schedule, or a `reduce_on_plateau` that the preconditioner does not
            know.
    """
    plateau = optax.contrib.ReduceLROnPlateauState
    kinds = (optax.ScaleByScheduleState, plateau)

    def is_scale(node: Any) -> bool:
        return isinstance(node, kinds)

    scales = {type(node) for node in jax.tree.leaves(state, is_leaf=is_scale) if is_scale(node)}
    if scales == {plateau} and preconditioner is not None:
        # A preconditioner that reads the scale misses it.
        without = jax.tree.map(
            lambda node: None if is_scale(node) else node, state, is_leaf=is_scale
        )
        try:
            jax.eval_shape(preconditioner, without)
        except ValueError:
            return
    if scales:
        warnings.warn(
            "proximal: expected a direction with a constant scale, got a schedule or "
            "reduce_on_plateau inside it, which changes λ; pass a schedule as learning_rate, and "
            "for reduce_on_plateau the preconditioner preconditioners.product(…, "
            "preconditioners.plateau())",
            stacklevel=4,
        )


def accumulates(state: Any) -> bool:
    """Whether a direction's state holds an average, with which the first step is shorter than later
    ones.
    """
    averages = (optax.TraceState, optax.EmaState, *preconditioners.late_states())
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, averages))
    return any(isinstance(node, averages) for node in nodes)
