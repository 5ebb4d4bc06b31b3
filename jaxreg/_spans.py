"""Groups of weights that lie in several parameters: a neuron is a column of one kernel, an entry of
its bias and a row of the next kernel.

A `per` of patterns says what tells the groups apart in each of these parameters:

    neurons = {"blocks/*/up": "unit", "blocks/*/down/kernel": "input"}

Parameters in which the wildcards stand for the same text belong together, here those of one block.
For penalties, a span of parameters is one array with a row for each group.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

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

    def rows(self, x: jax.Array) -> jax.Array:
        """Arranges the parameter as (groups, weights)."""
        front = jnp.moveaxis(x, self.axes, range(len(self.axes)))
        if self.strided:
            front = front.reshape(self.repeats, self.groups, -1).swapaxes(0, 1)
        return front.reshape(self.groups, -1)

    def back(self, rows: jax.Array) -> jax.Array:
        """Puts (groups, weights) back into the shape of the parameter."""
        groups, weights = rows.shape
        if self.strided:
            rows = rows.reshape(groups, self.repeats, weights // self.repeats).swapaxes(0, 1)
        rest = tuple(size for a, size in enumerate(self.shape) if a not in self.axes)
        front = rows.reshape(tuple(self.shape[a] for a in self.axes) + rest)
        return jnp.moveaxis(front, range(len(self.axes)), self.axes)


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

    def join(self, arrays: Sequence[Any]) -> Any:
        """Arranges arrays like the parameters as one array (groups, weights) in float32 or wider.

        A scalar that all parameters share stays one, and so does a hole.
        """
        first = arrays[0]
        if all(array is first for array in arrays) and jnp.ndim(first) == 0:
            return first
        whole = [
            jnp.broadcast_to(
                at_least_float32(1.0 if isinstance(array, optax.MaskedNode) else array), part.shape
            )
            for array, part in zip(arrays, self.parts, strict=True)
        ]
        dtype = max((array.dtype for array in whole), key=lambda dtype: dtype.itemsize)
        rows = [part.rows(x.astype(dtype)) for part, x in zip(self.parts, whole, strict=True)]
        return jnp.concatenate(rows, 1)

    def split(self, joined: jax.Array) -> list[jax.Array]:
        """Divides an array (groups, weights), or (groups, 1) for one number per group, into arrays
        like the parameters.
        """
        groups = joined.shape[0]
        widths = [math.prod(part.shape) // max(groups, 1) for part in self.parts]
        if joined.shape[1] == 1:
            return [
                part.back(jnp.broadcast_to(joined, (groups, width)))
                for part, width in zip(self.parts, widths, strict=True)
            ]
        ends = list(itertools.accumulate(widths))
        pieces = jnp.split(joined, ends[:-1], 1)
        return [part.back(piece) for part, piece in zip(self.parts, pieces, strict=True)]


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
    sets: dict[tuple[str, ...], list[tuple[int, Leaf, str, Role, int | None]]] = {}
    for place, leaf in enumerate(leaves):
        path = tuple(leaf.name.split("/"))
        found = ((captured(pattern, path), patterns[pattern]) for pattern in ranked)
        texts, entry = next(
            ((texts, entry) for texts, entry in found if texts is not None), (None, None)
        )
        if texts is not None and entry is not None:
            sets.setdefault(texts, []).append((place, leaf, *entry))
    for pattern, _, _ in per:
        for texts, members in sets.items() or [((), [])]:
            if all(entry[2] != pattern for entry in members):
                beside = f" beside {members[0][1].name}" if members and any(texts) else ""
                known = some([tuple(leaf.name.split("/")) for leaf in leaves], 8)
                raise ValueError(
                    f"{owner}: per has the pattern {pattern!r}, which fits no parameter{beside}; "
                    f"the parameters are {known}"
                )
    spans = []
    for members in sets.values():
        kept = [member for member in members if selected[member[0]]]
        if kept:
            count = count_groups(owner, members, leaves)
            spans.append(Span(tuple(part_of(owner, *member, leaves, count) for member in kept)))
    if not spans:
        raise ValueError(
            f"{owner}: the mask selects none of the parameters that per names, "
            f"{some([(pattern,) for pattern, _, _ in per])}; pass another mask"
        )
    return spans


Member = tuple[int, Leaf, str, Role, "int | None"]


def telling(owner: str, leaf: Leaf, role: Role, leaves: Sequence[Leaf]) -> tuple[int, ...]:
    """The axes that tell inputs, units or heads apart; in a vector beside a kernel those of the
    kernel's units.

    Raises:
        ValueError: the parameter has no such axes, or they are not known.
    """
    ndim, kind = len(leaf.shape), last_part(leaf.name)
    if ndim >= 2 and kind not in ("bias", "scale"):
        inside = leaf.along(owner, role)
        return tuple(a for a in range(ndim) if a not in inside)
    if role == "unit" and ndim:
        # Equinox's biases of convolutions have axes of length 1 for the window.
        return tuple(a for a, size in enumerate(leaf.shape) if size > 1) or (0,)
    kernel = next(
        (
            other.roles
            for other in leaves
            if other.roles is not None
            and other.name.removesuffix(last_part(other.name)) == leaf.name.removesuffix(kind)
        ),
        None,
    )
    axes = (
        ()
        if kernel is None
        else tuple(at for at, axis in enumerate(kernel.units) if axis in kernel.heads)
    )
    if role == "input" or not axes:
        raise ValueError(
            f"{owner}: per={role!r} does not tell groups apart in {leaf.name} of shape "
            f'{leaf.shape}; write "unit", or a pattern that does not fit it'
        )
    return axes


def entries(owner: str, member: Member, leaves: Sequence[Leaf]) -> int:
    """The number of entries along the axes that tell groups apart."""
    _, leaf, _, role, _ = member
    return math.prod(leaf.shape[a] for a in telling(owner, leaf, role, leaves))


def count_groups(owner: str, members: Sequence[Member], leaves: Sequence[Leaf]) -> int:
    """The number of groups: a stated one, or the smallest number of entries of a parameter.

    Raises:
        ValueError: several are stated, or a parameter does not have a multiple of it.
    """
    sizes = {member[1].name: entries(owner, member, leaves) for member in members}
    stated = {number for *_, number in members if number is not None}
    count = min(sizes.values()) if not stated else max(stated)
    if len(stated) > 1 or count < 1 or any(size % count for size in sizes.values()):
        raise ValueError(
            f"{owner}: expected parameters with the same number of groups, or a multiple of it, "
            f"got {', '.join(f'{size} in {name}' for name, size in sizes.items())}"
            + f" for {count} groups"
            * bool(stated)
        )
    return count


def part_of(
    owner: str,
    place: int,
    leaf: Leaf,
    pattern: str,
    role: Role,
    number: int | None,
    leaves: Sequence[Leaf],
    count: int,
) -> Part:
    """How one parameter is cut into `count` groups."""
    axes = telling(owner, leaf, role, leaves)
    repeats = entries(owner, (place, leaf, pattern, role, number), leaves) // count
    # A flattened convolution of Flax has its channels last. Without a stated number, several
    # entries of a group are its positions.
    channels_last = leaf.roles is None or max(leaf.roles.units, default=0) == len(leaf.shape) - 1
    return Part(
        place,
        leaf.name,
        axes,
        leaf.shape,
        repeats,
        repeats > 1 and number is None and channels_last,
    )
