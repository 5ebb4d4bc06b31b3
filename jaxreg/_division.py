"""Division whose derivative survives small denominators."""

from __future__ import annotations

import jax


@jax.custom_jvp
def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes a/b.

    The usual derivative −a/b² divides by a square, which is 0 in float32 from b = 1e-23 on:
    infinity, or NaN if a is 0 too.
    """
    return a / b


@ratio.defjvp
def derivative(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The derivative (da − (a/b)·db)/b, without a square."""
    (a, b), (da, db) = primals, tangents
    quotient = ratio(a, b)
    return quotient, ratio(da - quotient * db, b)
