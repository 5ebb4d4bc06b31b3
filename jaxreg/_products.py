"""Products with a sparse matrix, and how long they take.

A product is computed as W xᵀ with W in compressed rows: then the inner loop runs over the batch, in
adjacent memory. JAX calls a kernel of its own for it on CPUs, in float32, float64 and complex.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

from jaxreg._arrays import at_least_float32
from jaxreg._typing import PyTree

WARM_UP = 2
"""Rounds that are not counted, as the first one compiles."""
ROUNDS = WARM_UP + 20
"""How many times both forms of a product are timed; fewer if that takes `LONGEST` seconds."""
LONGEST = 1.0
LANES = 8
"""The batch is filled up to a multiple of this. JAX's product for CPUs computes as many of its rows
at a time, and one by one what is left of them, which takes longer than all others.
"""
BLOCK = 16
"""Rows and columns of a block of a matrix that fits into the fastest cache."""


def compressed(kernel: jax.Array, contracted: Sequence[int]) -> sparse.BCSR:
    """Converts a kernel to a matrix of compressed rows, (free, contracted), in float32 or wider.

    Args:
        kernel: an array of any rank.
        contracted: its axes that a product sums over.
    """
    free = [axis for axis in range(kernel.ndim) if axis not in contracted]
    width = math.prod(kernel.shape[axis] for axis in contracted)
    matrix = np.asarray(kernel).transpose(*free, *contracted).reshape(-1, width)
    row, column = np.nonzero(matrix)
    begins = np.searchsorted(row, np.arange(len(matrix) + 1))
    with jax.ensure_compile_time_eval():
        values = at_least_float32(matrix[row, column])
        columns, starts = (jnp.asarray(places, jnp.int32) for places in (column, begins))
        return sparse.BCSR((values, columns, starts), shape=matrix.shape)


def sparse_product(
    matrix: sparse.BCSR, x: jax.Array, axes: Sequence[int], first: bool, output: Any
) -> jax.Array:
    """Computes the product of a sparse matrix and an array.

    Args:
        matrix: (free, contracted).
        x: the array.
        axes: the axes of `x` that the product sums over.
        first: whether the axes of the matrix come first in the result.
        output: shape and dtype of the result.
    """
    free = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.astype(matrix.dtype).transpose(*free, *axes).reshape(-1, matrix.shape[1])
    count = len(rows)
    rows = jnp.pad(rows, ((0, -count % LANES), (0, 0)))
    result = (matrix @ transposed(rows))[:, :count]
    return (result if first else result.T).reshape(output.shape).astype(output.dtype)


def transposed(x: jax.Array) -> jax.Array:
    """Transposes a matrix in blocks, if it can be cut into them: XLA's loop for CPUs, over single
    rows, takes twice as long.
    """
    rows, columns = x.shape
    if rows % BLOCK or columns % BLOCK:
        return x.T
    blocks = x.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    return blocks.transpose(2, 3, 0, 1).reshape(columns, rows)


class Times(NamedTuple):
    """Median times of both forms of a product in µs, and the median of sparse ÷ dense."""

    dense: float
    sparse: float
    ratio: float


Form = Callable[[Any, PyTree], Any]
"""From what stays the same, such as a kernel, and a batch to outputs."""


def compared(dense: tuple[Form, Any], sparse: tuple[Form, Any], examples: PyTree) -> Times:
    """Times a dense and a sparse form, each with its first argument, in turn.

    Args:
        dense: the dense one.
        sparse: the other one.
        examples: arrays, or shapes and dtypes, of their second argument.
    """
    batch = jax.tree.map(
        lambda x: x if isinstance(x, jax.Array) else jnp.ones(jnp.shape(x), jnp.result_type(x)),
        examples,
    )
    # Compiled ahead of time, since calls of jax.jit are slow while a program is traced.
    programs = [jax.jit(form).lower(kernel, batch).compile() for form, kernel in (dense, sparse)]
    times: list[tuple[float, ...]] = []
    ends = time.perf_counter() + LONGEST
    while len(times) < WARM_UP + 3 or (len(times) < ROUNDS and time.perf_counter() < ends):
        clock = [time.perf_counter()]
        for program, (_, kernel) in zip(programs, (dense, sparse), strict=True):
            jax.block_until_ready(program(kernel, batch))
            clock.append(time.perf_counter())
        times.append((clock[1] - clock[0], clock[2] - clock[1]))
    first, second = 1e6 * np.transpose(times[WARM_UP:])
    return Times(*(float(np.median(part)) for part in (first, second, second / first)))
