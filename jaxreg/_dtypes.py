"""Computing in float32 or wider: numbers are widened here when they enter, and results are cast
once at the end.

In bfloat16, shrinking a weight of 1.0 by 1e-3 rounds back to 1.0, and a threshold kept in bfloat16
loses its digits too.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._typing import ArrayLike, ScalarOrSchedule


def wide(x: ArrayLike) -> jax.Array:
    """Casts weights to the dtype that penalties compute in: their own, but never narrower than
    float32.

    Raises:
        TypeError: `x` is not real floating point.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"a penalty needs real floating-point weights, got an array of {x.dtype} with shape "
            f"{x.shape}; "
            "cast it, or leave it out with a mask"
        )
    return at_least_float32(x)


def at_least_float32(x: ArrayLike) -> jax.Array:
    """Casts to float32 or wider; unlike `wide`, it accepts integers and complex numbers too."""
    x = jnp.asarray(x)
    narrow = x.dtype.itemsize < 4 or not jnp.issubdtype(x.dtype, jnp.inexact)
    return x.astype(jnp.float32) if narrow else x


def like(number: ScalarOrSchedule, x: jax.Array) -> jax.Array:
    """Converts a strength or a step to an array of `x`'s dtype.

    Raises:
        TypeError: the number is a schedule, which has no value without a step count.
    """
    if callable(number):
        raise TypeError(
            "this penalty's strength is a schedule: call penalty.at(count) first to evaluate it "
            "at a step"
        )
    return jnp.asarray(number, x.dtype)


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or a number."""
    known = isinstance(
        leaf, jax.Array | jax.ShapeDtypeStruct | np.ndarray | np.generic | int | float | complex
    )
    return known and getattr(getattr(leaf, "dtype", None), "kind", "f") not in "OSUmM"


def is_weights(leaf: Any) -> bool:
    """Whether a leaf is an array of floating-point or complex numbers; indices, step counts and
    PRNG keys are no weights.
    """
    return is_array(leaf) and jnp.issubdtype(getattr(leaf, "dtype", type(leaf)), jnp.inexact)
