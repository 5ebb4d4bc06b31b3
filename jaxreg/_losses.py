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
    """A loss F(z) of predictions z (rows, …), convex and smooth, the mean over rows.

    Attributes:
        value: F(z).
        slope: its gradient with respect to z.
        curvature: the diagonal of its second derivative, which is diagonal.
        conjugate: F*(v) at a vector v of slopes.
        balance: the constant c that minimises F(z + c).
    """

    value: Callable[[jax.Array, jax.Array], jax.Array]
    slope: Callable[[jax.Array, jax.Array], jax.Array]
    curvature: Callable[[jax.Array, jax.Array], jax.Array]
    conjugate: Callable[[jax.Array, jax.Array], jax.Array]
    balance: Callable[[jax.Array, jax.Array], jax.Array]


def rows_of(z: jax.Array) -> int:
    """The number of rows."""
    return z.shape[0] if z.ndim else 1


def negative_entropy(v: jax.Array, y: jax.Array) -> jax.Array:
    """The conjugate of the logistic loss; rows·v + y is a probability between the target and the prediction."""
    rows = rows_of(v)
    probability = jnp.clip(rows * v + y, 0, 1)
    return jnp.sum(xlogy(probability, probability) + xlogy(1 - probability, 1 - probability)) / rows


def balance_odds(z: jax.Array, y: jax.Array) -> jax.Array:
    """The constant at which the mean of sigmoid(z + c) is that of y, by Newton's method inside a shrinking bracket.

    If all targets are the same it is infinite.
    """
    share = jnp.mean(y)
    odds = jnp.log(share) - jnp.log1p(-share)

    def improve(now: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        low, high, at, _, count = now
        p = jax.nn.sigmoid(z + at)
        excess = jnp.mean(p) - share
        low, high = jnp.where(excess < 0, at, low), jnp.where(excess < 0, high, at)
        after = at - excess / jnp.mean(p * (1 - p))
        after = jnp.where((after >= low) & (after <= high), after, (low + high) / 2)
        return low, high, after, jnp.abs(after - at), count + 1

    def unfinished(now: tuple[jax.Array, ...]) -> jax.Array:
        return (now[3] > 4 * jnp.finfo(z.dtype).eps * (1 + jnp.abs(now[2]))) & (now[4] < BALANCING)

    low, high = odds - jnp.max(z), odds - jnp.min(z)
    start: tuple[jax.Array, ...] = (low, high, jnp.clip(0, low, high), jnp.asarray(jnp.inf, z.dtype), jnp.zeros([], int))
    return jax.lax.while_loop(unfinished, improve, start)[2]


LOSSES = {
    "squares": Loss(
        lambda z, y: jnp.sum(jnp.square(z - y)) / (2 * rows_of(z)),
        lambda z, y: (z - y) / rows_of(z),
        lambda z, _: jnp.full_like(z, 1 / rows_of(z)),
        lambda v, y: rows_of(v) / 2 * jnp.sum(jnp.square(v)) + jnp.sum(v * y),
        lambda z, y: jnp.mean(y - z),
    ),
    "logistic": Loss(
        lambda z, y: jnp.sum(optax.sigmoid_binary_cross_entropy(z, y)) / rows_of(z),
        lambda z, y: (jax.nn.sigmoid(z) - y) / rows_of(z),
        lambda z, _: jax.nn.sigmoid(z) * jax.nn.sigmoid(-z) / rows_of(z),
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
