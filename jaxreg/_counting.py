"""The largest of the values in several arrays, found by counting alone.

Arrays are neither joined nor sorted, so sharded ones stay where they are: devices exchange counts
and nothing else. A count is a pair of uint32 (high, low) that stands for high·2⁸ + low, exact up to
10¹² without 64-bit integers.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Count(NamedTuple):
    """A number of weights, high·2⁸ + low with low below 2⁸; both are uint32."""

    high: jax.Array
    low: jax.Array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Converts to int64, which NumPy has where JAX does not."""
        del copy
        return np.asarray(
            np.asarray(self.high, np.int64) * 256 + np.asarray(self.low, np.int64), dtype
        )

    def __int__(self) -> int:
        return int(np.asarray(self))


def exactly(number: int | jax.Array) -> Count:
    """Makes a count of an int, or of a scalar float that holds one."""
    high = number // 256
    return Count(jnp.asarray(high, jnp.uint32), jnp.asarray(number - 256 * high, jnp.uint32))


def carried(high: jax.Array, low: jax.Array) -> Count:
    """Makes a count of a `low` that may be larger than 2⁸."""
    return Count(high + (low >> 8), low & 255)


def total(counts: Iterable[Count]) -> Count:
    """Adds counts, up to 2²⁴ of them."""
    return carried(*(functools.reduce(operator.add, parts) for parts in zip(*counts, strict=True)))


def at_least(a: Count, b: Count) -> jax.Array:
    """Whether a ≥ b."""
    return (a.high > b.high) | ((a.high == b.high) & (a.low >= b.low))


def count(x: jax.Array) -> Count:
    """Counts what is True, or not 0, in an array whose axes are each shorter than 2³².

    Up to 2²⁴ floats are counted by their signs, which XLA sums while it reads them; it would write
    marks to memory first. If there is a NaN among them, all of them count.
    """
    axis, most = (None, x.size) if x.size < 2**24 else (-1, x.shape[-1])
    if most < 2**24:
        marks = x if x.dtype == bool else jnp.square(jnp.abs(jnp.sign(x)))
        ones = jnp.sum(marks, axis, dtype=jnp.float32)
        part = jnp.where(jnp.isnan(ones), most, ones).astype(jnp.uint32)
    else:
        part = jnp.sum(x != 0, None if x.size < 2**32 else -1, dtype=jnp.uint32)
    both = Count(part >> 8, part & 255)
    for _ in range(part.ndim):
        both = carried(*(jnp.sum(half, -1, dtype=jnp.uint32) for half in both))
    return both


class Place(NamedTuple):
    """A place in the order of all values, the largest first: of equal ones those of lower rows,
    then of lower columns.

    Attributes:
        value: the bits of the largest value minus those of this one.
        row: over all axes but the last, counted on from array to array.
        column: along the last axis.
    """

    value: jax.Array
    row: jax.Array
    column: jax.Array


@jax.jit
def largest(values: Sequence[jax.Array], number: Count) -> list[jax.Array]:
    """Marks the `number` largest of the values in all arrays, floats of at least 0; of equal ones
    the first.

    The bits of such floats, read as integers, have the same order. So bisection finds the first
    place that is not kept, one bit at a time, and ends as soon as the right number lies before it:
    in about a tenth of the time that sorting takes.
    """
    places, ends = places_of(values)
    lengths = [end.bit_length() for end in ends]
    start = Place(*(jnp.zeros([], part.dtype) for part in places[0]))

    def before(cut: Place) -> list[jax.Array]:
        return [
            (value < cut.value)
            | (
                (value == cut.value)
                & ((row < cut.row) | ((row == cut.row) & (column < cut.column)))
            )
            for value, row, column in places
        ]

    def bit(step: jax.Array) -> Place:
        left = [sum(lengths[: part + 1]) - 1 - step for part in range(3)]
        return Place(
            *(
                jnp.where(
                    (at >= 0) & (at < length),
                    jnp.ones_like(part) << at.astype(part.dtype),
                    jnp.zeros_like(part),
                )
                for at, length, part in zip(left, lengths, start, strict=True)
            )
        )

    def unfinished(carry: tuple[jax.Array, Place, jax.Array]) -> jax.Array:
        step, _, exact = carry
        return (step < sum(lengths)) & ~exact

    def add_bit(carry: tuple[jax.Array, Place, jax.Array]) -> tuple[jax.Array, Place, jax.Array]:
        step, cut, _ = carry
        raised = jax.tree.map(jnp.bitwise_or, cut, bit(step))
        counted = total(map(count, before(raised)))
        fits = at_least(number, counted)
        return (
            step + 1,
            jax.tree.map(lambda new, old: jnp.where(fits, new, old), raised, cut),
            fits & at_least(counted, number),
        )

    _, cut, _ = jax.lax.while_loop(
        unfinished, add_bit, (jnp.zeros([], jnp.int32), start, jnp.zeros([], bool))
    )
    return [mask.reshape(value.shape) for mask, value in zip(before(cut), values, strict=True)]


def places_of(values: Sequence[jax.Array]) -> tuple[list[Place], tuple[int, int, int]]:
    """Computes the place of every value, and numbers that none exceeds."""
    width = max(8 * value.dtype.itemsize for value in values)
    floats, unsigned = (jnp.float64, jnp.uint64) if width == 64 else (jnp.float32, jnp.uint32)
    places, rows, columns = [], 0, 0
    for value in map(jnp.atleast_1d, values):
        shape, last = (*value.shape[:-1], 1), value.ndim - 1
        row = jnp.zeros(shape, jnp.uint32)
        for axis in range(last):
            row = row * jnp.uint32(shape[axis]) + jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        bits = jax.lax.bitcast_convert_type(value.astype(floats), unsigned)
        column = jax.lax.broadcasted_iota(jnp.uint32, (1,) * last + value.shape[last:], last)
        places.append(
            Place(
                jnp.asarray(2 ** (width - 1) - 1, unsigned) - bits, row + jnp.uint32(rows), column
            )
        )
        rows, columns = rows + math.prod(shape), max(columns, value.shape[last])
    return places, (2 ** (width - 1) - 1, rows, columns)
