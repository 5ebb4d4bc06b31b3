"""What the axes of a kernel run over: inputs, units, heads of attention, stacked layers, or the
window of a convolution.

| kernel | shape | inputs | units | heads |
| --- | --- | --- | --- | --- |
| dense, embedding; convolution (Flax) | (…, in, out) | −2 | −1 | |
| dense; convolution (Equinox) | (out, in, …) | 1 | 0 | |
| query, key and value of attention (Flax) | (in, heads, size) | 0 | 1, 2 | 1 |
| out of attention (Flax) | (heads, size, out) | 0, 1 | 2 | 0 |

Leading axes may run over layers, which `nnx.vmap` and `nn.scan` stack: each layer has inputs, units
and heads of its own. The rank alone does not tell all of these apart, so names and the shape of the
bias beside a kernel are read too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxreg._groups import check_axis
from jaxreg._masking import NO_KERNELS, name_of
from jaxreg._typing import ArrayLike, PyTree

Role: TypeAlias = Literal["input", "unit", "head"]
"""What all weights of a group belong to."""
Across: TypeAlias = tuple[tuple[str, Role, int | None], ...]
"""Patterns of parameters, what tells groups apart in each, and in how many of them, if stated."""
Per: TypeAlias = Role | Mapping[str, str | tuple[str, int]] | Across
"""What a group belongs to in one parameter, or in several; the last form is how penalties store
this.
"""

STACKED = re.compile(r"(Scan|Vmap)[A-Z]\w*|stacked")
"""Parts of a path that stand for a stack of layers: linen names modules of `nn.scan` and `nn.vmap`
so.
"""
INTO_HEADS = ("query", "key", "value")


class Layout(NamedTuple):
    """Axes of one layer's kernel, those below 0 counted from the last one."""

    inputs: tuple[int, ...]
    units: tuple[int, ...]
    heads: tuple[int, ...] = ()

    def fits(self, rank: int) -> bool:
        """Whether kernels of one layer may have this rank."""
        return rank == 3 if self.heads else rank >= 2


FLAX, EQUINOX = Layout((-2,), (-1,)), Layout((1,), (0,))
TO_HEADS, FROM_HEADS = Layout((0,), (1, 2), (1,)), Layout((0, 1), (2,), (0,))


class Roles(NamedTuple):
    """Axes of a kernel, ascending from 0 on. Axes of stacked layers are among `inputs`, `units` and
    `heads`.

    Attributes:
        inputs: the axes that tell inputs apart.
        units: the axes that tell units apart.
        heads: the axes that tell heads apart; empty if the kernel has none.
    """

    inputs: tuple[int, ...]
    units: tuple[int, ...]
    heads: tuple[int, ...]


class Leaf(NamedTuple):
    """A parameter and the roles of its axes, which are None if it is no kernel or they are not
    known.
    """

    name: str
    shape: tuple[int, ...]
    roles: Roles | None

    @property
    def is_kernel(self) -> bool:
        """Whether this is a kernel rather than a vector of a bias or a norm."""
        return len(self.shape) > 1 and last_part(self.name) not in NO_KERNELS

    def along(self, owner: str, per: Role) -> tuple[int, ...]:
        """Returns the axes that a group runs along.

        Raises:
            ValueError: this is no kernel, it has no heads, or the roles of its axes are not known.
        """
        what = (
            f"{owner}: per={per!r} needs a kernel{{}}, got the shape {self.shape}"
            + f" at {self.name}" * bool(self.name)
        )
        if not self.is_kernel:
            raise ValueError(
                what.format("") + "; leave this parameter out with a mask such as jaxreg.kernels"
            )
        if self.roles is None:
            raise ValueError(
                what.format(" whose axes are known by rank, name or bias")
                + ", which may be a convolution, attention or "
                "stacked layers; pass axis=… for it, as one of a tree of penalties for example, "
                "or leave it out with a mask"
            )
        axes = {"input": self.roles.inputs, "unit": self.roles.units, "head": self.roles.heads}[per]
        if not axes:
            raise ValueError(
                what.format(" with an axis of heads")
                + "; leave it out with a mask, or give it the shape (in, heads, size) "
                "under the name query, key or value, or (heads, size, out) under the name out"
            )
        return tuple(a for a in range(len(self.shape)) if a not in axes)


def check_groups(
    owner: str, axis: Any, per: Any, default: int | None
) -> tuple[int | tuple[int, ...] | None, Role | Across | None]:
    """Checks what says how weights are grouped, and returns the axis (`default` if nothing does,
    None if `per` does), and `per` in a form that can be hashed.

    Raises:
        TypeError: the axis is not an int.
        ValueError: both are given, `per` is unknown, or an axis is named twice.
    """
    if per is None:
        return default if axis is None else check_axis(owner, axis), None
    if axis is not None:
        raise ValueError(
            f"{owner}: expected axis or per, got axis={axis!r} and per={per!r}; pass one of them"
        )
    if isinstance(per, Mapping):
        per = tuple(
            (pattern, *(role if isinstance(role, tuple) else (role, None)))
            for pattern, role in per.items()
        )
    entries = per if isinstance(per, tuple) else (("", per, None),)
    good = bool(entries) and all(
        len(entry) == 3
        and isinstance(entry[0], str)
        and entry[1] in ("input", "unit", "head")
        and (entry[2] is None or (isinstance(entry[2], int) and entry[2] > 0))
        for entry in entries
    )
    if not good:
        raise ValueError(
            f'{owner}: per must be "input", "unit" or "head", or a dict from patterns to these, '
            f"got {per!r}; axis=… says anything else"
        )
    return None, per


def along(owner: str, x: ArrayLike, per: Role | Across) -> tuple[int, ...]:
    """Returns the axes that a group of one array without a name runs along.

    Raises:
        ValueError: as `Leaf.along` does, or the groups run across several parameters.
    """
    if isinstance(per, tuple):
        raise ValueError(  # noqa: TRY004  # the type is right, in a tree
            f"{owner}: per={per!r} names several parameters, got one array; pass the tree of "
            "parameters to an optimizer or to a measure such as jaxreg.penalty_value"
        )
    return Leaf("", jnp.shape(x), read("", jnp.shape(x))).along(owner, per)


def leaf_roles(params: PyTree) -> list[Leaf]:
    """Finds the roles of the axes of every leaf, in the order of the leaves."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    shapes = {name_of(path): getattr(leaf, "shape", ()) for path, leaf in leaves}
    folders = {name[: match.start()] for name in shapes for match in re.finditer("/|$", name)}
    roles = []
    for path, leaf in leaves:
        name, shape, key = name_of(path), getattr(leaf, "shape", ()), path[-1] if path else None
        # An attribute, as a dict with this key may come from anywhere.
        attribute = isinstance(key, jax.tree_util.GetAttrKey) and key.name.startswith("weight")
        layouts = [
            *attention(name, folders),
            *((EQUINOX, FLAX) if attribute and "embed" not in name.lower() else (FLAX, EQUINOX)),
        ]
        bias = shapes.get(name.removesuffix(last_part(name)) + "bias")
        roles.append(Leaf(name, shape, read(name, shape, bias, layouts)))
    return roles


def last_part(name: str) -> str:
    """Returns what follows the last slash."""
    return name.rsplit("/", 1)[-1]


def attention(name: str, folders: set[str]) -> list[Layout]:
    """Lists the layout of attention that a name stands for, `query/kernel` for example; empty for
    other names.
    """
    parts = name.split("/")
    for at in range(max(len(parts) - 2, 0), len(parts)):
        folder = "".join(f"{part}/" for part in parts[:at])
        if parts[at] in INTO_HEADS:
            return [TO_HEADS]
        # Any layer may be called `out`.
        if parts[at] == "out" and (
            "atten" in folder.lower() or any(folder + other in folders for other in INTO_HEADS)
        ):
            return [FROM_HEADS]
    return []


def read(
    name: str,
    shape: tuple[int, ...],
    bias: tuple[int, ...] | None = None,
    layouts: list[Layout] | None = None,
) -> Roles | None:
    """Finds the roles of a kernel's axes.

    Args:
        name: of the leaf.
        shape: of the leaf.
        bias: the shape of the bias beside it, if it has one, which is that of the units with
            stacked layers before it.
        layouts: the layouts that the kernel may have, the most likely first.

    Returns:
        The roles, or None if this is no kernel or the axes may have several roles.
    """
    rank, layouts = len(shape), layouts or [FLAX]
    if rank < 2 or last_part(name) in NO_KERNELS:
        return None
    named = min(sum(bool(STACKED.fullmatch(part)) for part in name.split("/")), rank - 2)
    for stacked in (named, *(number for number in range(rank - 1) if number != named)):
        for layout in layouts:
            if bias is not None and layout.fits(rank - stacked):
                roles = placed(layout, stacked, rank)
                expected = tuple(shape[a] for a in roles.units)
                # Equinox's convolutions have an axis of length 1 in a bias for each axis of the
                # window.
                if bias in (expected, expected + (1,) * (rank - stacked - 2)):
                    return roles
    if layouts[0].heads and rank - named >= 3:
        return placed(layouts[0], rank - 3, rank)
    likely = next(layout for layout in layouts if not layout.heads)
    known = (
        rank - named == 2
        or "conv" in name.lower()
        or (rank - named > 3 and not re.search("atten|attn", name.lower()))
    )
    return placed(likely, named, rank) if known else None


def placed(layout: Layout, stacked: int, rank: int) -> Roles:
    """Counts the axes of a layout from the first axis of the array, after some axes of stacked
    layers.
    """
    before = tuple(range(stacked))
    return Roles(
        *(
            before + tuple(sorted(stacked + a % (rank - stacked) for a in axes)) if axes else ()
            for axes in layout
        )
    )
