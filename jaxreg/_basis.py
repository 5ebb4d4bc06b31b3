"""What no penalty charges in a linear model: an intercept and columns with a factor of 0.

It enters as a basis (rows, directions) of what it adds to the predictions. At each w its
coefficients stand at their minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Directions(NamedTuple):
    """Directions in the space of predictions.

    Attributes:
        rows: what each adds to the predictions (directions, rows).
        outputs: to which of several outputs it adds that (directions,); None if there is one.
    """

    rows: jax.Array
    outputs: jax.Array | None

    @classmethod
    def of(cls, basis: jax.Array, outputs: int) -> Directions:
        """Those of a basis (rows, directions), once for each of several outputs."""
        if not outputs:
            return cls(basis.T, None)
        each = jnp.tile(jnp.arange(outputs), basis.shape[1])
        return cls(jnp.repeat(basis.T, outputs, 0), each)

    def combine(self, coefficients: jax.Array, outputs: int) -> jax.Array:
        """Predictions (rows,) or (rows, outputs) of coefficients (directions,)."""
        if self.outputs is None:
            return coefficients @ self.rows
        apart = jax.nn.one_hot(self.outputs, outputs, dtype=self.rows.dtype)
        return self.rows.T @ (coefficients[:, None] * apart)

    def along(self, slope: jax.Array) -> jax.Array:
        """The products (directions,) with a gradient by the predictions."""
        if self.outputs is None:
            return self.rows @ slope
        return jnp.take_along_axis(self.rows @ slope, self.outputs[:, None], 1)[:, 0]


def even(z: jax.Array) -> jax.Array:
    """The share of each row in a mean."""
    return jnp.asarray(1 / max(z.shape[0] if z.ndim else 1, 1), z.dtype)


def by_rows(share: jax.Array, numbers: jax.Array) -> jax.Array:
    """Multiplies numbers (rows, …) by the shares of their rows."""
    return jnp.reshape(share, share.shape + (1,) * (numbers.ndim - 1) if share.ndim else ()) * (
        numbers
    )


def orthonormal(
    columns: jax.Array, share: jax.Array, intercept: bool
) -> tuple[jax.Array, jax.Array]:
    """Finds a basis of what coefficients without a penalty add to the predictions.

    Args:
        columns: their columns of the data (rows, columns), which may depend on each other.
        share: of the rows.
        intercept: whether a constant is among them.

    Returns:
        The basis (rows, directions), orthonormal under the shares, in which superfluous directions
        are 0; and a matrix (1 + columns, directions) that turns coefficients of the basis into the
        intercept and those of the columns.
    """
    ones = jnp.ones((len(columns), int(intercept)), columns.dtype)
    if not columns.shape[1]:
        return ones, ones[:1]
    centred, means = projected(columns.T, ones, share)
    # Each in a unit of its own. Of a constant column nothing but rounding is left.
    lengths, eps = jnp.sqrt(jnp.sum(jnp.square(centred) * share, 1)), jnp.finfo(columns.dtype).eps
    varied = lengths > 8 * eps * jnp.max(jnp.abs(columns), 0)
    scales = jnp.where(varied, 1 / jnp.where(varied, lengths, 1), 0)
    _, sizes, right = jnp.linalg.svd(
        (centred * scales[:, None] * jnp.sqrt(share)).T, full_matrices=False
    )
    used = sizes > max(columns.shape) * eps * sizes[0]
    back = scales[:, None] * right.T * jnp.where(used, 1 / jnp.where(used, sizes, 1), 0)
    # What is subtracted from the columns goes to the intercept.
    above = jnp.concatenate([ones[:1], -(jnp.sum(means, 1) @ back)[None]], 1)
    below = jnp.concatenate([jnp.zeros((len(back), int(intercept)), back.dtype), back], 1)
    return jnp.concatenate([ones, centred.T @ back], 1), jnp.concatenate([above, below])


def projected(
    numbers: jax.Array, basis: jax.Array, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Subtracts from numbers (…, rows) their part along an orthonormal basis; returns its
    coefficients (…, directions) too.

    It does so twice, as the first coefficients are rounded: small numbers keep their digits beside
    large means.
    """
    if not basis.shape[1]:
        return numbers, jnp.zeros((*numbers.shape[:-1], 0), numbers.dtype)
    dual = (basis.T * share).T
    first = numbers @ dual
    numbers -= first @ basis.T
    second = numbers @ dual
    return numbers - second @ basis.T, first + second


def profile(matrix: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Makes a function that solves linear systems with the second derivative of a loss along some
    directions.

    Superfluous directions are rows of zeros. Others, such as the same shift of all classes, change
    nothing but rounding, so a little is added to the diagonal.
    """
    if len(matrix) == 1:
        return lambda right: right / matrix[0, 0]
    diagonal = jnp.diag(matrix)
    ridge = jnp.finfo(matrix.dtype).eps ** 0.75 * jnp.where(diagonal > 0, diagonal, 1)
    factor = jax.scipy.linalg.cho_factor(matrix + jnp.diag(jnp.where(diagonal == 0, 1, ridge)))
    return lambda right: jax.scipy.linalg.cho_solve(factor, right)
