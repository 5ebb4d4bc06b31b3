"""The losses of linear models, as functions of predictions z and targets y, with what solvers and gaps need of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import xlogy

BALANCING = 100
"""The most steps in which an intercept is found."""


class Loss(NamedTuple):
    """A loss F(z) of predictions z (rows, …), convex and smooth: a sum over rows, each multiplied by its share.

    Every function takes predictions (or slopes), targets and shares: 1/rows for a mean, or an array (rows,) that sums to 1.

    Attributes:
        value: F(z).
        slope: its gradient with respect to z.
        curvature: the diagonal of its second derivative, which is diagonal.
        conjugate: F*(v) at a vector v of slopes.
        balance: the constant c that minimises F(z + c).
    """

    value: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    slope: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    curvature: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    conjugate: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    balance: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


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
    """The conjugate of the logistic loss; v/share + y is a probability between the target and the prediction."""
    probability = jnp.clip(divided(v, share) + y, 0, 1)
    return jnp.sum(share * (xlogy(probability, probability) + xlogy(1 - probability, 1 - probability)))


def mean(x: jax.Array, share: jax.Array) -> jax.Array:
    """The sum over rows, each multiplied by its share."""
    return jnp.sum(share * x)


def balance_odds(z: jax.Array, y: jax.Array, share: jax.Array) -> jax.Array:
    """The constant at which the mean of sigmoid(z + c) is that of y, by Newton's method inside a shrinking bracket.

    If all targets are the same it is infinite.
    """
    positive = mean(y, share)
    odds = jnp.log(positive) - jnp.log1p(-positive)

    def improve(now: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        low, high, at, _, count = now
        p = jax.nn.sigmoid(z + at)
        excess = mean(p, share) - positive
        low, high = jnp.where(excess < 0, at, low), jnp.where(excess < 0, high, at)
        after = at - excess / mean(p * (1 - p), share)
        after = jnp.where((after >= low) & (after <= high), after, (low + high) / 2)
        return low, high, after, jnp.abs(after - at), count + 1

    def unfinished(now: tuple[jax.Array, ...]) -> jax.Array:
        return (now[3] > 4 * jnp.finfo(z.dtype).eps * (1 + jnp.abs(now[2]))) & (now[4] < BALANCING)

    low, high = odds - jnp.max(z), odds - jnp.min(z)
    start: tuple[jax.Array, ...] = (low, high, jnp.clip(0, low, high), jnp.asarray(jnp.inf, z.dtype), jnp.zeros([], int))
    return jax.lax.while_loop(unfinished, improve, start)[2]


LOSSES = {
    "squares": Loss(
        lambda z, y, share: mean(jnp.square(z - y), share) / 2,
        lambda z, y, share: (z - y) * share,
        lambda z, _, share: jnp.broadcast_to(share, z.shape),
        half_squares,
        lambda z, y, share: mean(y - z, share),
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
