"""Arithmetic that keeps digits and speed: dtypes, precision, division and fusion.

Numbers are widened to float32 or more when they enter, and results are cast once at the end. In
bfloat16, shrinking a weight of 1.0 by 1e-3 rounds back to 1.0, and a threshold stored in bfloat16
loses its digits too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._typing import ArrayLike, ScalarOrSchedule

tracing_number: Any = jax.make_user_context(None)
"""A context in which JAX's caches of traces and compiled operations match nothing that was made in
another one.

`jaxreg.sweep` traces every fit under its own number, as JAX would not notice a global variable that
changed. What does not depend on such things leaves the context by `tracing_number(None)`, so that
it is compiled once and not for every sweep.
"""


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
            f"{x.shape}; cast it, or leave it out with a mask"
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


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Traces products of float32 matrices as such; a precision set with
    `jax.default_matmul_precision` is respected.

    By default GPUs and TPUs round the factors to some 10 bits, and no optimality condition holds to
    more than that.
    """
    config: Any = jax.config
    if config.jax_default_matmul_precision is not None:
        yield
        return
    with jax.default_matmul_precision("highest"):
        yield


@jax.custom_jvp
def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes a/b.

    The usual derivative −a/b² divides by a square, which is 0 in float32 from b = 1e-23 on:
    infinity, or NaN if a is 0 too.
    """
    return a / b


@ratio.defjvp
def ratio_derivative(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The derivative (da − (a/b)·db)/b, without a square."""
    (a, b), (da, db) = primals, tangents
    quotient = ratio(a, b)
    return quotient, ratio(da - quotient * db, b)


@jax.custom_jvp
def fusible(x: jax.Array) -> jax.Array:
    """Returns x ≥ 0 unchanged, in a form that XLA can compute in one loop together with everything
    that uses it.

    XLA does not repeat a division or a root, so one with several users is written to memory, with
    all that it depends on. Here its only user is an absolute value, which is cheap enough to be
    repeated.
    """
    return jnp.abs(x)


# The derivative of the identity, also at 0.
fusible.defjvps(lambda tangent, *_: tangent)
