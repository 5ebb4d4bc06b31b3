"""The duality gap of linear models."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import full_precision, wide
from jaxreg._assigning import assign, check_fits, penalised_leaves
from jaxreg._basis import even, orthonormal
from jaxreg._masking import check_arrays, name_of
from jaxreg._typing import ArrayLike, Penalties, PyTree
from jaxreg.losses import Cox, Loss, Multinomial, loss_named
from jaxreg.penalties import Penalty, Weighted


@full_precision()
def duality_gap(
    penalty: Penalties,
    params: PyTree,
    predict: Callable[[PyTree], jax.Array],
    targets: ArrayLike,
    loss: str | Loss = "squares",
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
        penalty: a convex penalty that defines `value`, `conjugate` and `dual_scale` (see
            `Penalty`), or a tree of them. jaxreg's are L1, SquaredL2, ElasticNet, GroupL2, and
            those that `Group` and `Weighted` make of these. Under `jit` factors of 0 must not be
            traced, as the bound is far from tight otherwise.
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
        NotImplementedError: the penalty does not define `conjugate` and `dual_scale`.
        TypeError: a parameter has no penalty.
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
    if function.name in (Cox.name, Multinomial.name):
        raise ValueError(
            f"duality_gap: {function.name} loss is for jaxreg.fit_linear_path, whose record has "
            "the gap"
        )
    if not isinstance(y, jax.core.Tracer):
        try:
            function.encode(np.asarray(y).ravel())
        except ValueError as error:
            raise ValueError(f"duality_gap: {error}") from None
    if intercept is not None:
        if predictions.ndim != 1 or jnp.shape(intercept) != ():
            raise ValueError(
                "duality_gap: an intercept must be one number, for predictions of shape (rows,), "
                f"got shape {jnp.shape(intercept)} for predictions of shape {predictions.shape}"
            )
        predictions += jnp.asarray(intercept, predictions.dtype)
    assigned = assign("duality_gap", penalty, params, None)
    charged = list(penalised_leaves(assigned, params))
    if len(charged) < len(jax.tree.leaves(params)):
        names = [name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        missing = ", ".join(sorted(set(names) - {name for name, _, _ in charged}))
        raise TypeError(
            f"duality_gap: expected a penalty for every parameter, got none for {missing}; leave "
            "it out of params, and pass a constant as intercept"
        )
    for name, leaf, part in charged:
        check_fits("duality_gap", name, leaf, part)
    shape, share = predictions.shape, even(predictions)
    predictions, y = predictions.ravel(), y.ravel()
    free = [unpenalised(part, leaf) for _, leaf, part in charged]
    basis, _ = orthonormal(
        columns_of(predict, params, free, predictions), share, intercept is not None
    )
    balanced = function.balance(basis, predictions, y, share)
    (along,) = transposed(function.gradient(balanced, y, share).reshape(shape))
    objective = function.total(predictions, y, share)
    duals = []
    for (_, leaf, part), slopes, mask in zip(charged, jax.tree.leaves(along), free, strict=True):
        objective += part.value(leaf)
        # There the gradient is 0 up to rounding.
        duals.append((part, -jnp.where(mask, 0, slopes) if mask.any() else -slopes))
    return gap_below(objective, function, balanced, None, y, share, duals)


def unpenalised(penalty: Penalty, leaf: jax.Array) -> np.ndarray:
    """Marks the weights of a parameter whose factor is 0, unless factors are traced."""
    if not isinstance(penalty, Weighted) or isinstance(penalty.factors, jax.core.Tracer):
        return np.zeros(leaf.shape, bool)
    with jax.ensure_compile_time_eval():
        factors = np.asarray(penalty.spread(jnp.zeros(leaf.shape, leaf.dtype)))
    return np.broadcast_to(factors == 0, leaf.shape)


def columns_of(
    predict: Callable[[PyTree], jax.Array],
    params: PyTree,
    marked: Sequence[np.ndarray],
    predictions: jax.Array,
) -> jax.Array:
    """The predictions (…, columns) of a linear function for each marked weight at 1 and all others
    at 0.
    """
    count = sum(int(mask.sum()) for mask in marked)
    if not count:
        return jnp.zeros((*predictions.shape, 0), predictions.dtype)
    leaves, structure = jax.tree.flatten(params)
    units, done = [], 0
    for leaf, mask in zip(leaves, marked, strict=True):
        places = np.flatnonzero(mask)
        unit = np.zeros((count, leaf.size))
        unit[done + np.arange(len(places)), places] = 1
        units.append(jnp.asarray(unit.reshape(count, *leaf.shape), leaf.dtype))
        done += len(places)
    return jax.vmap(lambda unit: predict(unit).ravel(), out_axes=1)(
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
    z: jax.Array,
    offset: jax.Array | None,
    y: PyTree,
    share: jax.Array,
    duals: Sequence[tuple[Penalty, jax.Array]],
) -> jax.Array:
    """How far an objective is above the dual objective at the gradient of the loss, which is scaled
    until it is feasible.

    Args:
        objective: loss + penalty.
        loss: the loss.
        z: predictions at whose gradient of the loss the dual point is, which is 0 along what has no
            penalty.
        offset: the part of the predictions that is no product with weights; None for none.
        y: targets, as the loss arranges them.
        share: of the rows.
        duals: each penalty with minus the gradient with respect to its weights.

    Returns:
        The gap, at least 0.
    """
    scale = functools.reduce(
        jnp.minimum,
        [penalty.dual_scale(v).astype(z.dtype) for penalty, v in duals],
        jnp.ones([], z.dtype),
    )
    dual = -loss.dual(z, scale, y, share)
    if offset is not None:
        dual += scale * jnp.sum(offset * loss.gradient(z, y, share))
    for penalty, v in duals:
        dual -= jnp.sum(penalty.conjugate(scale * v))
    return jnp.maximum(objective - dual, 0)
