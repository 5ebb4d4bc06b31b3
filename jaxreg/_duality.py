"""The duality gap of linear models."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._assigning import assign
from jaxreg._dtypes import like, wide
from jaxreg._losses import Loss, even, loss_named, orthonormal
from jaxreg._masking import check_arrays, name_of
from jaxreg._precision import full_precision
from jaxreg._typing import ArrayLike, Penalties, PyTree
from jaxreg.penalties import L1, ElasticNet, Group, GroupL2, Penalty, SquaredL2, Weighted

HAVE_GAPS = "L1, SquaredL2, ElasticNet, GroupL2, Group(L1(…)) or one of these in Weighted"


class Conjugate(NamedTuple):
    """What the dual objective needs of a penalty R at a vector v.

    Attributes:
        longest: the largest factor a, possibly infinite, for which R*(a·v) is finite.
        at: from a factor up to that to R*(factor·v).
    """

    longest: jax.Array
    at: Callable[[jax.Array], jax.Array]


@full_precision()
def duality_gap(
    penalty: Penalties,
    params: PyTree,
    predict: Callable[[PyTree], jax.Array],
    targets: ArrayLike,
    loss: str = "squares",
    intercept: ArrayLike | None = None,
) -> jax.Array:
    """Computes an upper bound on how far the objective of a linear model is above its minimum.

    The objective is loss + R(w). The dual point is the gradient of the loss with respect to the
    predictions, scaled until it is feasible, so the bound goes to 0 as w goes to a solution. It
    needs no other solution to compare with. Weights with a factor of 0 and the intercept are first
    moved to their minimum for the others, where the gradient along them is 0.

        >>> import jax.numpy as jnp, jaxreg
        >>> x, y = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([4.0, 1.0])
        >>> # A solution
        >>> print(jaxreg.duality_gap(jaxreg.L1(1.0), jnp.array([2.0, 0.0]), lambda w: x @ w, y))
        0.0

    Args:
        penalty: L1, SquaredL2, ElasticNet, GroupL2, Group(L1(…)), one of these in `Weighted`, or a
            tree of them. Under `jit` factors of 0 must not be traced, as the bound is far from
            tight otherwise.
        params: w, all of it with a penalty.
        predict: from parameters to predictions (rows,) or (rows, outputs), a linear function such
            as `lambda w: x @ w`.
        targets: y in the shape of the predictions; 0 or 1 under logistic loss.
        loss: "squares" for (1/2n) Σ (prediction − y)² with n rows, or "logistic" for the mean over
            rows of log(1 + exp(prediction)) − y·prediction.
        intercept: a constant, without a penalty, that is added to all predictions; None for a model
            that has none. The bound is on the distance from the minimum over both.

    Returns:
        A scalar in the units of the loss, at least 0. Below the dtype's precision times the
        objective it is rounding alone.

    Raises:
        TypeError: a parameter has no penalty, or a penalty of another kind.
        ValueError: the loss is unknown, logistic targets are not 0 and 1, `predict` is not linear,
            targets and predictions differ in shape, the intercept is not one number, or the weights
            of a parameter have strengths of their own.

    Source: Fercoq, Gramfort and Salmon, Mind the duality gap: safer rules for the Lasso (2015); for
        the elastic net, whose conjugate is finite everywhere, Rockafellar, Convex Analysis (1970),
        section 31.
    """
    function = loss_named("duality_gap", loss)
    check_arrays("duality_gap", params)
    params = jax.tree.map(wide, params)
    predictions, transposed = linear(predict, params)
    y = jnp.asarray(targets, predictions.dtype)
    if y.shape != predictions.shape:
        raise ValueError(
            f"duality_gap: predictions have shape {predictions.shape}, but targets {y.shape}"
        )
    if (
        loss == "logistic"
        and not isinstance(y, jax.core.Tracer)
        and not np.isin(np.asarray(y), (0, 1)).all()
    ):
        raise ValueError(
            "duality_gap: logistic loss needs targets 0 and 1; pass (targets + 1) / 2 if they are "
            "−1 and 1"
        )
    if intercept is not None:
        if predictions.ndim != 1 or jnp.shape(intercept) != ():
            raise ValueError(
                "duality_gap: an intercept must be one number, for predictions of shape (rows,), "
                "got shape "
                f"{jnp.shape(intercept)} for predictions of shape {predictions.shape}"
            )
        predictions += jnp.asarray(intercept, predictions.dtype)
    assigned = [
        own.penalty for own in jax.tree.leaves(assign("duality_gap", penalty, params, None))
    ]
    shape, share = predictions.shape, even(predictions)
    predictions, y = predictions.ravel(), y.ravel()
    without = [
        unpenalised(own, leaf) for own, leaf in zip(assigned, jax.tree.leaves(params), strict=True)
    ]
    basis, _ = orthonormal(
        columns_of(predict, params, without, predictions), share, intercept is not None
    )
    slope = function.slope(function.balance(basis, predictions, y, share), y, share)
    (along,) = transposed(slope.reshape(shape))
    named = zip(
        jax.tree_util.tree_leaves_with_path(params),
        jax.tree.leaves(along),
        assigned,
        without,
        strict=True,
    )
    conjugates, values = [], []
    for (path, leaf), direction, own, free in named:
        # There the gradient is 0 up to rounding.
        conjugates.append(
            conjugate(
                own, jnp.where(free, 0, direction) if free.any() else direction, name_of(path)
            )
        )
        values.append(own.value(leaf))
    objective = function.value(predictions, y, share) + functools.reduce(operator.add, values)
    return gap_below(objective, function, slope, y, share, conjugates)


def unpenalised(own: Penalty | None, leaf: jax.Array) -> np.ndarray:
    """Marks the weights of a parameter whose factor is 0, unless factors are traced."""
    if not isinstance(own, Weighted) or isinstance(own.factors, jax.core.Tracer):
        return np.zeros(leaf.shape, bool)
    with jax.ensure_compile_time_eval():
        factors = np.asarray(own.spread(jnp.zeros(leaf.shape, leaf.dtype)))
    return np.broadcast_to(factors == 0, leaf.shape)


def columns_of(
    predict: Callable[[PyTree], jax.Array],
    params: PyTree,
    marked: Sequence[np.ndarray],
    like_it: jax.Array,
) -> jax.Array:
    """The predictions (…, columns) of a linear function for each marked weight at 1 and all others
    at 0.
    """
    count = sum(int(mask.sum()) for mask in marked)
    if not count:
        return jnp.zeros((*like_it.shape, 0), like_it.dtype)
    leaves, structure = jax.tree.flatten(params)
    units, done = [], 0
    for leaf, mask in zip(leaves, marked, strict=True):
        places = np.flatnonzero(mask)
        unit = np.zeros((count, leaf.size))
        unit[done + np.arange(len(places)), places] = 1
        units.append(jnp.asarray(unit.reshape(count, *leaf.shape), leaf.dtype))
        done += len(places)
    return jax.vmap(lambda one: predict(one).ravel(), out_axes=1)(
        jax.tree.unflatten(structure, units)
    )


def linear(
    predict: Callable[[PyTree], jax.Array], params: PyTree
) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """Evaluates a linear function, and transposes it; raises a ValueError if it is not linear."""
    try:
        transposed = jax.linear_transpose(predict, params)
        predictions = predict(params)
        constant = jnp.any(predict(jax.tree.map(jnp.zeros_like, params)) != 0)
        if not isinstance(constant, jax.core.Tracer) and constant:
            raise TypeError(
                "predictions for parameters of 0 are not 0; pass the constant as intercept"
            )
        # A function that is not linear fails only once it is transposed.
        transposed(jnp.zeros_like(predictions))
    except (NotImplementedError, TypeError, AssertionError) as error:
        raise ValueError(
            "duality_gap: expected a linear predict(params), such as lambda w: x @ w, without a "
            f"constant added: {error}"
        ) from error
    return predictions, transposed


def gap_below(
    objective: jax.Array,
    loss: Loss,
    slope: jax.Array,
    y: jax.Array,
    share: jax.Array,
    conjugates: Sequence[Conjugate],
) -> jax.Array:
    """How far an objective is above the dual objective at the gradient of the loss, which is scaled
    until it is feasible.

    Args:
        objective: loss + penalty.
        loss: the loss.
        slope: its gradient with respect to the predictions, which sums to 0 if the model has an
            intercept.
        y: targets.
        share: of the rows.
        conjugates: of the penalties, at the gradient with respect to their weights.

    Returns:
        The gap, at least 0.
    """
    scale = functools.reduce(
        jnp.minimum, [one.longest for one in conjugates], jnp.ones([], slope.dtype)
    )
    dual = -loss.conjugate(scale * slope, y, share) - functools.reduce(
        operator.add, [one.at(scale) for one in conjugates]
    )
    return jnp.maximum(objective - dual, 0)


def conjugate(own: Penalty | None, v: jax.Array, name: str, factors: ArrayLike = 1.0) -> Conjugate:
    """Finds the conjugate of a penalty, Σ f φ for factors f > 0, at f·v.

    Raises:
        TypeError: there is no penalty, or its conjugate is not known here.
        ValueError: weights have strengths of their own.
    """
    if isinstance(own, Weighted):
        factors = own.spread(v)
        # Where the factor is 0, the conjugate is finite at 0 alone.
        free = jnp.any((factors == 0) & (v != 0))
        scaled = jnp.where(factors == 0, 0, own.divided(v))
        known = conjugate(own.penalty, scaled, name, factors)
        return known._replace(longest=jnp.where(free, 0, known.longest))
    if isinstance(own, Group) and isinstance(own.penalty, L1):
        own = GroupL2(own.penalty.strength, own.axis)
    if isinstance(own, L1 | GroupL2 | SquaredL2 | ElasticNet) and any(
        jnp.ndim(leaf) for leaf in jax.tree.leaves(own)
    ):
        raise ValueError(
            f"duality_gap: expected one strength for all of parameter {name}, got {own!r}; see "
            "jaxreg.Weighted"
        )
    if isinstance(own, L1 | GroupL2):
        largest, strength = own.critical_strength(v), like(own.strength, v)
        feasible = jnp.where(
            largest > strength, strength / jnp.where(largest > 0, largest, 1), jnp.inf
        )
        return Conjugate(jnp.where(jnp.isnan(largest), jnp.nan, feasible), jnp.zeros_like)
    if isinstance(own, SquaredL2):
        own = ElasticNet(0.0, own.strength)
    if isinstance(own, ElasticNet):
        l1, l2 = like(own.l1_strength, v), like(own.l2_strength, v)
        alone = conjugate(L1(own.l1_strength), v, name)

        def at(scale: jax.Array) -> jax.Array:
            beyond = jnp.maximum(jnp.abs(scale * v) - l1, 0)
            return jnp.where(
                l2 > 0, jnp.sum(factors * jnp.square(beyond)) / (4 * jnp.where(l2 > 0, l2, 1)), 0
            )

        return Conjugate(jnp.where(l2 > 0, jnp.inf, alone.longest), at)
    raise TypeError(
        f"duality_gap: expected {HAVE_GAPS} for parameter {name}, got {own!r}; see "
        "jaxreg.kkt_residual"
    )
