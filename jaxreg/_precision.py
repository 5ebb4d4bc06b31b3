"""The precision of matrix products where a result is compared with a tolerance."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax


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
