"""A penalty of groups that lie in several parameters (see `_spans.py`).

`GroupL2` and `Group` depend on a group through its norm alone. So they are computed from one norm
per group, and their prox multiplies all weights of a group by one factor: parameters stay where
they are. For other penalties the parameters are joined to one array.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from jaxreg._arrays import wide
from jaxreg._groups import change, count, norm, root_mean_square
from jaxreg._spans import Span, alike
from jaxreg.penalties import Group, GroupL2, Penalty, Weighted

Parts: TypeAlias = list[jax.Array]
"""Arrays like the parameters of a span."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spanning:
    """A penalty of the groups of a span. It has the functions of a penalty, which take lists of
    arrays like the parameters, and numbers per group in arrays (groups, 1).

    Attributes:
        penalty: of an array (groups, weights).
        span: the parameters that the groups run across.
    """

    penalty: Penalty
    span: Span

    @property
    def of_norms(self) -> bool:
        """Whether the penalty depends on a group through its norm alone."""
        inner = self.penalty
        while isinstance(inner, Weighted):
            inner = inner.penalty
        return type(inner) in (Group, GroupL2)

    @property
    def root(self) -> float:
        """√n for groups of n weights."""
        weights = sum(math.prod(part.shape) for part in self.span.parts)
        return max(weights // max(self.span.groups, 1), 1) ** 0.5

    def seen(self, xs: Parts) -> jax.Array:
        """What the penalty is computed from: norms (groups, 1), or (groups, weights)."""
        return self.span.reduce(norm, alike(xs)) if self.of_norms else self.span.join(xs)

    def value(self, xs: Parts) -> jax.Array:
        return self.penalty.value(self.seen(xs))

    def critical_strength(self, gradients: Parts) -> jax.Array:
        return self.penalty.critical_strength(self.seen(gradients))

    def prox(self, xs: Parts, step: Any) -> Parts:
        if not self.of_norms:
            joined = self.span.join(step) if isinstance(step, list) else step
            return self.span.split(self.penalty.prox(self.span.join(xs), joined))
        # A group whose squares underflow lies far below any threshold but 0, and one whose squares
        # overflow far above. So the plain norm will do, which reads the weights once.
        length = self.plain_norm(xs)
        length = jnp.maximum(length, jnp.finfo(length.dtype).tiny ** 0.5)
        return self.scaled(xs, length, self.penalty.prox(length, step))

    def subgradient(self, xs: Parts) -> Parts:
        seen = self.seen(xs)
        slopes = self.penalty.subgradient(seen)
        return self.scaled(xs, seen, slopes) if self.of_norms else self.span.split(slopes)

    def scaled(self, xs: Parts, length: jax.Array, wanted: jax.Array) -> Parts:
        """Changes the norms of groups from `length` to `wanted`."""
        factor = change(length, wanted)
        return self.each(lambda x, c: jnp.where(c == 0, 0, wide(x) * c), xs, factor)

    def violation(self, xs: Parts, gradients: Parts) -> jax.Array:
        seen = self.seen(xs)
        if not self.of_norms:
            return self.penalty.violation(seen, self.seen(gradients))
        # The violation of a group that is not 0 is the norm of gradient + subgradient. The penalty
        # adds its own subgradient to the second argument, so that is subtracted first.
        slopes = self.each(lambda g, s: wide(g) + s, gradients, self.subgradient(xs))
        return self.penalty.violation(seen, self.seen(slopes) - self.penalty.subgradient(seen))

    def pool(self, ds: Parts) -> jax.Array | Parts:
        if self.of_norms:
            return self.plain_norm(ds) / self.root
        return self.parted(self.penalty.pool(self.span.join(ds)))

    def slope(self, xs: Parts) -> jax.Array | Parts:
        if self.of_norms:
            return self.penalty.slope(self.plain_norm(xs)) / self.root
        return self.parted(self.penalty.slope(self.span.join(xs)))

    def plain_norm(self, xs: Parts) -> jax.Array:
        """The norms of groups, whose squares may underflow and overflow."""
        return self.span.reduce(lambda x, a: root_mean_square(x, a) * count(x, a) ** 0.5, alike(xs))

    def parted(self, result: jax.Array) -> jax.Array | Parts:
        """Divides numbers per weight; those per group, and scalars, stay in one array."""
        return self.span.split(result) if result.ndim and result.shape[1] > 1 else result

    def each(self, function: Callable[..., jax.Array], *columns: Any) -> Any:
        """Maps a function over the parameters' arrays and the numbers of their groups."""
        lists = [column for column in columns if isinstance(column, list)]
        if not lists:
            return function(*columns)
        spread = [
            column
            if isinstance(column, list)
            else self.span.split(column)
            if jnp.ndim(column)
            else [column] * len(lists[0])
            for column in columns
        ]
        return [function(*arrays) for arrays in zip(*spread, strict=True)]


def each(penalty: Penalty | Spanning, function: Callable[..., jax.Array], *columns: Any) -> Any:
    """Maps a function over arrays like the weights of a penalty: over one, or over those of a
    span.
    """
    return penalty.each(function, *columns) if isinstance(penalty, Spanning) else function(*columns)
