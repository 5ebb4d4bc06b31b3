"""Groups of weights that lie in several parameters: a neuron is a column of one kernel, an entry of
its bias and a row of the next kernel.

A `per` of patterns says what tells the groups apart in each of these parameters:

    neurons = {"blocks/*/up": "unit", "blocks/*/down/kernel": "input"}

Parameters in which the wildcards stand for the same text belong together, here those of one block.
Norms and other numbers per group are computed in each parameter by itself and then put together, so
that no weights are moved. Only what looks at single weights joins them to one array, with a row for
each group.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxreg._arrays import at_least_float32
from jaxreg._patterns import captured, rank, some, split
from jaxreg._roles import Across, Leaf, Role, last_part


class Part(NamedTuple):
    """How one parameter is cut into groups.

    Attributes:
        place: its place among all leaves.
        name: of the parameter.
        axes: the axes that tell groups apart, ascending from 0 on.
        shape: of the parameter.
        repeats: how many entries along these axes belong to one group.
        strided: whether these entries are as many places apart as there are groups, as the
            positions of a flattened convolution with the channels last are; otherwise they are
            adjacent.
    """

    place: int
    name: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    repeats: int
    strided: bool

    @property
    def groups(self) -> int:
        """The number of groups."""
        return math.prod(self.shape[a] for a in self.axes) // self.repeats

    @property
    def inside(self) -> tuple[int, ...]:
        """The axes that lie inside groups as a whole."""
        return tuple(a for a in range(len(self.shape)) if a not in self.axes)

    def rows(self, x: jax.Array) -> jax.Array:
        """Arranges the parameter as (groups, weights), or what was reduced along `inside` to length
        1 as (groups, repeats).
        """
        front = jnp.moveaxis(replicated(x), self.axes, range(len(self.axes)))
        if self.strided:
            front = front.reshape(self.repeats, self.groups, -1).swapaxes(0, 1)
        return front.reshape(self.groups, -1)

    def back(self, rows: jax.Array) -> jax.Array:
        """Puts (groups, weights) back into the shape of the parameter, and one number per group, as
        (groups, 1), into one that broadcasts against it.
        """
        rest = [self.shape[a] for a in self.inside]
        if rows.shape[1] < self.repeats * math.prod(rest):
            rows, rest = jnp.broadcast_to(rows, (rows.shape[0], self.repeats)), [1] * len(rest)
        if self.strided:
            rows = rows.reshape(rows.shape[0], self.repeats, -1).swapaxes(0, 1)
        front = rows.reshape(*(self.shape[a] for a in self.axes), *rest)
        return jnp.moveaxis(front, range(len(self.axes)), self.axes)


def replicated(x: jax.Array) -> jax.Array:
    """Collects an array that is sharded explicitly, since JAX joins none that lie along different
    axes of the devices.
    """
    sharded = any(place is not None for place in jax.typeof(x).sharding.spec)
    return jax.sharding.reshard(x, jax.sharding.PartitionSpec()) if sharded else x


class Span(NamedTuple):
    """Parameters that groups run across."""

    parts: tuple[Part, ...]

    @property
    def groups(self) -> int:
        """The number of groups."""
        return self.parts[0].groups

    @property
    def name(self) -> str:
        """The names of all parameters."""
        return " + ".join(part.name for part in self.parts)

    def join(self, arrays: Sequence[Any]) -> jax.Array:
        """Arranges arrays like the parameters, or that broadcast to them, as one array (groups,
        weights) in float32 or wider.
        """
        whole = [
            jnp.broadcast_to(array, part.shape)
            for array, part in zip(alike(arrays), self.parts, strict=True)
        ]
        return jnp.concatenate([part.rows(x) for part, x in zip(self.parts, whole, strict=True)], 1)

    def split(self, joined: jax.Array) -> list[jax.Array]:
        """Divides an array (groups, weights) into arrays like the parameters, or (groups, 1) with
        one number per group into arrays that broadcast against them.
        """
        if joined.shape[1] == 1:
            return [part.back(joined) for part in self.parts]
        widths = [math.prod(part.shape) // max(self.groups, 1) for part in self.parts]
        pieces = jnp.split(joined, list(itertools.accumulate(widths))[:-1], 1)
        return [part.back(piece) for part, piece in zip(self.parts, pieces, strict=True)]

    def reduce(
        self, function: Callable[[jax.Array, tuple[int, ...]], jax.Array], arrays: Sequence[Any]
    ) -> jax.Array:
        """Reduces arrays like the parameters to one number per group (groups, 1), each where it
        lies.

        Args:
            function: reduces an array along some axes and keeps these at length 1; reducing some
                first and the others later gives the same.
            arrays: like the parameters, or scalars, of one dtype.
        """
        reduced = [
            part.rows(function(jnp.broadcast_to(array, part.shape), part.inside))
            for array, part in zip(arrays, self.parts, strict=True)
        ]
        return function(jnp.concatenate(reduced, 1), (1,))


def alike(arrays: Sequence[Any]) -> list[jax.Array]:
    """Casts arrays to the widest of their dtypes, float32 or wider."""
    whole = [at_least_float32(array) for array in arrays]
    dtype = max((array.dtype for array in whole), key=lambda dtype: dtype.itemsize)
    return [array.astype(dtype) for array in whole]


class Member(NamedTuple):
    """A parameter that a pattern fits.

    Attributes:
        place: its place among all leaves.
        leaf: its name, shape and roles.
        pattern: the pattern.
        axes: the axes that tell groups apart.
        number: how many groups there are, if that is stated.
    """

    place: int
    leaf: Leaf
    pattern: str
    axes: tuple[int, ...]
    number: int | None

    @property
    def size(self) -> int:
        """The number of entries along the axes."""
        return math.prod(self.leaf.shape[a] for a in self.axes)

    def part(self, groups: int) -> Part:
        """How the parameter is cut into groups."""
        leaf, repeats = self.leaf, self.size // groups
        # A flattened convolution of Flax has its channels last. Without a stated number, several
        # entries of a group are its positions.
        channels_last = leaf.roles is None or max(leaf.roles.units) == len(leaf.shape) - 1
        strided = repeats > 1 and self.number is None and channels_last
        return Part(self.place, leaf.name, self.axes, leaf.shape, repeats, strided)


def find_spans(
    owner: str, per: Across, leaves: Sequence[Leaf], selected: Sequence[bool]
) -> list[Span]:
    """Finds the spans of a `per` of patterns, of the selected parameters alone.

    Raises:
        ValueError: a pattern fits nothing, or has nothing that belongs to the parameters of the
            others; a parameter cannot be cut into these groups; or none is selected.
    """
    patterns = {split((pattern,)): (pattern, role, number) for pattern, role, number in per}
    ranked = sorted(patterns, key=rank, reverse=True)
    sets: dict[tuple[str, ...], list[Member]] = {}
    for place, leaf in enumerate(leaves):
        path = tuple(leaf.name.split("/"))
        for parts in ranked:
            texts = captured(parts, path)
            if texts is not None:
                pattern, role, number = patterns[parts]
                axes = telling(owner, leaf, role, leaves)
                sets.setdefault(texts, []).append(Member(place, leaf, pattern, axes, number))
                break
    for pattern, _, _ in per:
        for texts, members in sets.items() or [((), [])]:
            if all(member.pattern != pattern for member in members):
                beside = f" beside {members[0].leaf.name}" if any(texts) else ""
                known = some([tuple(leaf.name.split("/")) for leaf in leaves], 8)
                raise ValueError(
                    f"{owner}: per has the pattern {pattern!r}, which fits no parameter{beside}; "
                    f"the parameters are {known}"
                )
    spans = []
    for members in sets.values():
        kept = [member for member in members if selected[member.place]]
        if kept:
            groups = count_groups(owner, members)
            spans.append(Span(tuple(member.part(groups) for member in kept)))
    if not spans:
        raise ValueError(
            f"{owner}: the mask selects none of the parameters that per names, "
            f"{some([(pattern,) for pattern, _, _ in per])}; pass another mask"
        )
    return spans


def telling(owner: str, leaf: Leaf, role: Role, leaves: Sequence[Leaf]) -> tuple[int, ...]:
    """The axes that tell inputs, units or heads apart; in a vector beside a kernel those of the
    kernel's units.

    Raises:
        ValueError: the parameter has no such axes, or they are not known.
    """
    if leaf.is_kernel:
        inside = leaf.along(owner, role)
        return tuple(a for a in range(len(leaf.shape)) if a not in inside)
    if role == "unit" and leaf.shape:
        # Equinox's biases of convolutions have axes of length 1 for the window.
        return tuple(a for a, size in enumerate(leaf.shape) if size > 1) or (0,)
    layer = leaf.name.removesuffix(last_part(leaf.name))
    kernel = next(
        (
            other.roles
            for other in leaves
            if other.roles is not None and other.name.removesuffix(last_part(other.name)) == layer
        ),
        None,
    )
    heads = set(kernel.heads) if kernel is not None and role == "head" else set()
    axes = () if kernel is None else tuple(at for at, a in enumerate(kernel.units) if a in heads)
    if not axes:
        raise ValueError(
            f"{owner}: per={role!r} does not tell groups apart in {leaf.name} of shape "
            f'{leaf.shape}; write "unit", or a pattern that does not fit it'
        )
    return axes


def count_groups(owner: str, members: Sequence[Member]) -> int:
    """The number of groups: a stated one, or the smallest number of entries of a parameter.

    Raises:
        ValueError: several are stated, or a parameter does not have a multiple of it.
    """
    stated = {member.number for member in members if member.number is not None}
    groups = max(stated) if stated else min(member.size for member in members)
    if len(stated) > 1 or groups < 1 or any(member.size % groups for member in members):
        sizes = ", ".join(f"{member.size} in {member.leaf.name}" for member in members)
        wanted = f" for {groups} groups" if stated else ""
        raise ValueError(
            f"{owner}: expected parameters with the same number of groups, or a multiple of it, "
            f"got {sizes}{wanted}"
        )
    return groups
