"""Computing in float32 or wider: numbers enter through here, and results are cast once at the end.

Shrinking a bfloat16 weight of 1.0 by 1e-3 would round back to 1.0, and so would a threshold that is kept in bfloat16.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Schedule = Callable[[ArrayLike], ArrayLike]


def wide(x: ArrayLike) -> jax.Array:
    """`x` in the dtype that penalties compute in: its own, but never narrower than float32."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"a penalty needs real floating-point weights, got an array of {x.dtype} with shape {x.shape}; "
            "cast it, or leave it out with a mask"
        )
    return at_least_float32(x)


def at_least_float32(x: ArrayLike) -> jax.Array:
    """`x` in float32 or wider; unlike `wide`, it takes integers and complex numbers too."""
    x = jnp.asarray(x)
    narrow = x.dtype.itemsize < 4 or not jnp.issubdtype(x.dtype, jnp.inexact)
    return x.astype(jnp.float32) if narrow else x


def like(number: ArrayLike | Schedule, x: jax.Array) -> jax.Array:
    """A strength or a step, as an array of `x`'s dtype."""
    if callable(number):
        raise TypeError("this penalty's strength is a schedule: call penalty.at(count) first to fix the step it is read at")
    return jnp.asarray(number, x.dtype)
