"""The losses of linear models, as functions of predictions z and targets y, with what solvers and
gaps need of them.

What no penalty charges, an intercept and columns with a factor of 0, is eliminated: at each w it
stands at its minimum. It enters as a basis (rows, directions) of what it adds to the predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import xlogy

BALANCING = 100
"""The most Newton steps to the minimum without a penalty."""
ARMIJO = 1e-4
"""The share of the expected decrease that a step must reach."""


class Loss(NamedTuple):
    """A loss F(z) of predictions z (rows, …), convex and smooth: a sum over rows, each multiplied
    by its share.

    Every function takes predictions (or slopes), targets and shares: 1/rows for a mean, or an array
    (rows,) that sums to 1. `balance` takes a basis before them.

    Attributes:
        value: F(z).
        slope: its gradient with respect to z.
        curvature: the diagonal of its second derivative, which is diagonal.
        conjugate: F*(v) at a vector v of slopes.
        balance: z + basis·c for the c that minimises F(z + basis·c).
    """

    value: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    slope: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    curvature: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    conjugate: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    balance: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def even(z: jax.Array) -> jax.Array:
    """The share of each row in a mean."""
    return jnp.asarray(1 / max(z.shape[0] if z.ndim else 1, 1), z.dtype)


def divided(v: jax.Array, share: jax.Array) -> jax.Array:
    """Divides slopes by the shares of their rows; 0 for a row without a share."""
    return jnp.where(share > 0, v / jnp.where(share > 0, share, 1), 0)


def half_squares(v: jax.Array, y: jax.Array, share: jax.Array) -> jax.Array:
    """The conjugate of the squared loss."""
    return jnp.sum(v * divided(v, share)) / 2 + jnp.sum(v * y)


def negative_entropy(v: jax.Array, y: jax.Array, share: jax.Array) -> jax.Array:
    """The conjugate of the logistic loss; v/share + y is a probability between the target and the
    prediction.
    """
    probability = jnp.clip(divided(v, share) + y, 0, 1)
    return jnp.sum(
        share * (xlogy(probability, probability) + xlogy(1 - probability, 1 - probability))
    )


def mean(x: jax.Array, share: jax.Array) -> jax.Array:
    """The sum over rows, each multiplied by its share."""
    return jnp.sum(share * x)


def orthonormal(
    columns: jax.Array, share: jax.Array, intercept: bool
) -> tuple[jax.Array, jax.Array]:
    """Finds a basis of what coefficients without a penalty add to the predictions.

    Args:
        columns: their columns of the data (rows, columns), which may depend on each other.
        share: of the rows.
        intercept: whether a constant is among them.

    Returns:
        The basis (rows, directions), orthonormal under the shares, in which superfluous directions
        are 0; and a matrix (1 + columns, directions) that turns coefficients of the basis into the
        intercept and those of the columns.
    """
    ones = jnp.ones((len(columns), int(intercept)), columns.dtype)
    if not columns.shape[1]:
        return ones, ones[:1]
    centred, means = projected(columns.T, ones, share)
    # Each in a unit of its own. Of a constant column nothing but rounding is left.
    lengths, eps = jnp.sqrt(jnp.sum(jnp.square(centred) * share, 1)), jnp.finfo(columns.dtype).eps
    varied = lengths > 8 * eps * jnp.max(jnp.abs(columns), 0)
    scales = jnp.where(varied, 1 / jnp.where(varied, lengths, 1), 0)
    _, sizes, right = jnp.linalg.svd(
        (centred * scales[:, None] * jnp.sqrt(share)).T, full_matrices=False
    )
    used = sizes > max(columns.shape) * eps * sizes[0]
    back = scales[:, None] * right.T * jnp.where(used, 1 / jnp.where(used, sizes, 1), 0)
    # What is subtracted from the columns goes to the intercept.
    above = jnp.concatenate([ones[:1], -(jnp.sum(means, 1) @ back)[None]], 1)
    below = jnp.concatenate([jnp.zeros((len(back), int(intercept)), back.dtype), back], 1)
    return jnp.concatenate([ones, centred.T @ back], 1), jnp.concatenate([above, below])


def projected(
    numbers: jax.Array, basis: jax.Array, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Subtracts from numbers (…, rows) their part along an orthonormal basis; returns its
    coefficients (…, directions) too.

    It does so twice, as the first coefficients are rounded: small numbers keep their digits beside
    large means.
    """
    if not basis.shape[1]:
        return numbers, jnp.zeros((*numbers.shape[:-1], 0), numbers.dtype)
    dual = (basis.T * share).T
    first = numbers @ dual
    numbers -= first @ basis.T
    second = numbers @ dual
    return numbers - second @ basis.T, first + second


def profile(basis: jax.Array, curvature: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Makes a function that solves linear systems with the second derivative of the loss along a
    basis.
    """
    matrix = (basis.T * curvature) @ basis
    if len(matrix) == 1:
        return lambda right: right / matrix[0, 0]
    superfluous = jnp.diag(jnp.where(jnp.any(basis != 0, 0), 0, 1).astype(basis.dtype))
    factor = jax.scipy.linalg.cho_factor(matrix + superfluous)
    return lambda right: jax.scipy.linalg.cho_solve(factor, right)


def balance_odds(basis: jax.Array, z: jax.Array, y: jax.Array, share: jax.Array) -> jax.Array:
    """Newton's method, with steps that are halved until the loss falls.

    Where a direction separates the classes its coefficient is infinite, and the steps end after
    `BALANCING`.
    """
    loss, limits = LOSSES["logistic"], jnp.finfo(z.dtype)
    if not basis.shape[1]:
        return z

    def improve(now: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        z, part, _, count = now
        slope, value = loss.slope(z, y, share), loss.value(z, y, share)
        unbalanced = slope @ basis
        step = profile(basis, loss.curvature(z, y, share))(unbalanced)
        tried = z - part * (basis @ step)
        enough = loss.value(tried, y, share) <= value * (1 + 8 * limits.eps) - ARMIJO * part * (
            unbalanced @ step
        )
        left = jnp.max(jnp.abs(unbalanced) / (jnp.abs(slope) @ jnp.abs(basis) + limits.tiny))
        return jnp.where(enough, tried, z), jnp.where(enough, 1, part / 2), left, count + 1

    def unfinished(now: tuple[jax.Array, ...]) -> jax.Array:
        return (now[2] > 4 * limits.eps) & (now[1] > limits.eps) & (now[3] < BALANCING)

    whole = jnp.ones([], z.dtype)
    start: tuple[jax.Array, ...] = (z, whole, whole, jnp.zeros([], jnp.int32))
    return jax.lax.while_loop(unfinished, improve, start)[0]


LOSSES = {
    "squares": Loss(
        lambda z, y, share: mean(jnp.square(z - y), share) / 2,
        lambda z, y, share: (z - y) * share,
        lambda z, _, share: jnp.broadcast_to(share, z.shape),
        half_squares,
        lambda basis, z, y, share: y - projected(y - z, basis, share)[0],
    ),
    "logistic": Loss(
        lambda z, y, share: mean(optax.sigmoid_binary_cross_entropy(z, y), share),
        lambda z, y, share: (jax.nn.sigmoid(z) - y) * share,
        lambda z, _, share: jax.nn.sigmoid(z) * jax.nn.sigmoid(-z) * share,
        negative_entropy,
        balance_odds,
    ),
}
"""By name: (1/2n) Σ (z − y)² with n rows, and the mean of log(1 + exp(z)) − y·z."""


def loss_named(owner: str, name: str) -> Loss:
    """Returns the loss of this name; raises a ValueError if there is none."""
    if name not in LOSSES:
        raise ValueError(f'{owner}: loss must be "squares" or "logistic", got {name!r}')
    return LOSSES[name]
