"""Keeps XLA's CPU backend from splitting an update into several loops over memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp


@jax.custom_jvp
def fusible(x: jax.Array) -> jax.Array:
    """Returns x ≥ 0 unchanged, in a form that XLA can compute in one loop together with everything
    that uses it.

    XLA does not repeat a division or a root, so one with several users is written to memory, with
    all that it depends on. Here its only user is an absolute value, which is cheap enough to be
    repeated.
    """
    return jnp.abs(x)


@fusible.defjvp
def derivative(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The derivative of the identity, also at 0."""
    return fusible(*primals), tangents[0]
