"""Which penalty each leaf of a parameter tree has, and how to map a function over leaves and
penalties.

A tree of penalties is matched to the parameters by paths rather than by structure (see `match` in
`_masking.py`), so that a plain dict fits the parameters of linen, nnx and Equinox alike. An entry,
a penalty or None, holds for every parameter at its path or below.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp

from jaxreg._arrays import wide
from jaxreg._masking import Entries, check_arrays, chosen, chosen_leaves, is_hole, match, name_of
from jaxreg._patterns import Words
from jaxreg._roles import Across, Leaf, leaf_roles
from jaxreg._spanning import Spanning
from jaxreg._spans import Span, find_spans
from jaxreg._typing import ArrayLike, Mask, Penalties, PyTree
from jaxreg.penalties import Penalty
from jaxreg.penalties.group import GroupPenalty

EXPECTED = (
    "one penalty or None for each of {}, at its path or above; write None for parameters "
    "that are not penalised"
)


def makes_penalties(penalty: Penalties) -> TypeGuard[Callable[[PyTree], PyTree]]:
    """Whether this is a function from parameters to penalties; a module that holds penalties is a
    tree, though callable.
    """
    is_leaf = jax.tree_util.all_leaves([penalty]) and not isinstance(penalty, type)
    return callable(penalty) and (is_leaf or isinstance(penalty, jax.tree_util.Partial))


def is_scheduled(penalty: Penalties) -> bool:
    """Whether any strength may be a schedule, which is not known of a function before it sees the
    parameters.
    """
    leaves = jax.tree.leaves(penalty, is_leaf=lambda node: isinstance(node, Penalty))
    return makes_penalties(penalty) or any(leaf.scheduled for leaf in leaves)


def check_penalty(owner: str, penalty: Penalties) -> None:
    """Checks a penalty or a tree of penalties; a function is checked once it sees the parameters.

    Raises:
        TypeError: it is or holds something other than penalties and None, a bare number for
            example.
        ValueError: it is a tree without any penalty.
    """
    if not makes_penalties(penalty):
        entries_of(owner, penalty)


def entries_of(owner: str, tree: PyTree) -> Entries:
    """Lists the paths and penalties of a tree of penalties, which may be a single one; raises as
    `check_penalty` does.
    """
    entries = jax.tree_util.tree_leaves_with_path(
        tree, is_leaf=lambda node: isinstance(node, Penalty) or is_hole(node)
    )
    for path, entry in entries:
        if not isinstance(entry, Penalty) and not (path and is_hole(entry)):
            place = f" or None at {name_of(path)}" if path else ""
            hint = (
                "; with optax.inject_hyperparams, name functions in static_args"
                if entry is None
                else ""
            )
            raise TypeError(
                f"{owner}: expected a penalty such as jaxreg.L1(1e-4){place}, got {entry!r}{hint}"
            )
    if not any(isinstance(entry, Penalty) for _, entry in entries):
        content = "only None" if entries else "an empty tree"
        raise ValueError(
            f"{owner}: expected a tree with at least one penalty, got {content}, so nothing would "
            "be penalised; write a penalty such as jaxreg.L1(1e-4) for some of the parameters"
        )
    return entries


@dataclasses.dataclass(frozen=True, eq=False)
class Assigned:
    """The penalty of one parameter, or None. To JAX this is a leaf, whereas a penalty is itself a
    tree.

    Attributes:
        penalty: of the parameter, or of the parameters that the groups run across, one object for
            all of them.
    """

    penalty: Penalty | Spanning | None

    @property
    def span(self) -> Span | None:
        """The parameters that the groups run across."""
        return self.penalty.span if isinstance(self.penalty, Spanning) else None


def assign(
    owner: str, penalty: Penalties, params: PyTree, mask: Mask, count: ArrayLike | None = None
) -> PyTree:
    """Finds the penalty of every parameter.

    Args:
        owner: the function that the user called, for messages.
        penalty: a penalty, a tree of penalties, or a function from `params` to one.
        params: the parameters.
        mask: which of them to penalise.
        count: the step at which schedules are evaluated; None leaves them as they are.

    Returns:
        A tree of `Assigned` with the structure of `params`.

    Raises:
        TypeError: the mask is not made of bools, or the penalties are not penalties.
        ValueError: the mask or the tree of penalties does not fit the parameters, or a leaf does
            not have the groups that a penalty's `per` names.
    """
    selected, structure = jax.tree.flatten(chosen(mask, params))
    if not selected:
        return params
    tree = penalty(params) if makes_penalties(penalty) else penalty
    entries = [
        (
            path,
            entry.at(count)
            if count is not None and isinstance(entry, Penalty) and entry.scheduled
            else entry,
        )
        for path, entry in entries_of(owner, tree)
    ]
    matched = match(
        Words(f"{owner}: the tree of penalties", "a penalty", EXPECTED), entries, params
    )
    leaves = leaf_roles(params)
    owned = [Assigned(None)] * len(leaves)
    spanning: dict[int, tuple[Penalty, Across]] = {}
    for place in itertools.compress(range(len(leaves)), selected):
        entry = matched[place]
        across = None if entry is None else across_of(entry)
        if across is not None:
            spanning[id(entry)] = entry, across
        elif entry is not None:
            owned[place] = Assigned(with_axes(owner, entry, leaves[place]))
    for entry, across in spanning.values():
        kept = [keep and own is entry for keep, own in zip(selected, matched, strict=True)]
        whole = with_axes(owner, entry, None)
        for span in find_spans(f"{owner}: {type(entry).__name__}", across, leaves, kept):
            spanned = Assigned(Spanning(whole, span))
            for part in span.parts:
                owned[part.place] = spanned
    assigned = jax.tree.unflatten(structure, owned)
    check_penalised(owner, assigned, params)
    return assigned


def parts_of(penalty: Penalty) -> Iterator[tuple[str, Penalty]]:
    """Yields the fields of a penalty that are penalties."""
    for field in dataclasses.fields(penalty):  # type: ignore[arg-type]
        part = getattr(penalty, field.name)
        if isinstance(part, Penalty):
            yield field.name, part


def across_of(penalty: Penalty) -> Across | None:
    """The patterns of the parameters that the groups of a penalty run across, or of one that it is
    made of.
    """
    if isinstance(penalty, GroupPenalty) and isinstance(penalty.per, tuple):
        return penalty.per
    found = (across_of(part) for _, part in parts_of(penalty))
    return next((across for across in found if across is not None), None)


def with_axes(owner: str, penalty: Penalty, leaf: Leaf | None) -> Penalty:
    """Replaces `per` by the axes of one leaf, in a penalty and in those that it is made of; by
    those of a span's array for None.

    Raises:
        ValueError: the leaf has no such groups, or the roles of its axes are not known.
    """
    if isinstance(penalty, GroupPenalty) and penalty.per is not None:
        role: Any = penalty.per
        axes = (1,) if leaf is None else leaf.along(f"{owner}: {type(penalty).__name__}", role)
        penalty = dataclasses.replace(penalty, axis=axes, per=None)  # type: ignore[call-arg]
    for name, part in parts_of(penalty):
        if (changed := with_axes(owner, part, leaf)) is not part:
            penalty = dataclasses.replace(penalty, **{name: changed})  # type: ignore[type-var]
    return penalty


def leaf_penalties(owner: str, penalty: Penalties, params: PyTree, mask: Mask) -> PyTree:
    """Finds the penalty of every parameter, None for those without; raises as `assign` does.

    Raises:
        ValueError: also if groups run across several parameters.
    """

    def one(entry: Assigned) -> Any:
        if entry.span is not None:
            raise ValueError(
                f"{owner}: expected groups in one parameter each, got groups across "
                f"{entry.span.name}; use one of jaxreg's optimizers, such as prox_adam"
            )
        return entry.penalty

    return jax.tree.map(one, assign(owner, penalty, params, mask))


def check_penalised(owner: str, assigned: PyTree, params: PyTree) -> None:
    """Raises a TypeError that names a penalised leaf that is no array of real floating-point
    numbers.
    """
    penalised = jax.tree.map(lambda leaf: leaf.penalty is not None, assigned)
    check_arrays(owner, params, penalised)
    for name, leaf in chosen_leaves(params, penalised):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            try:
                wide(leaf)
            except TypeError as error:
                raise TypeError(f"{owner}: parameter {name}: {error}") from None


def penalised_leaves(assigned: PyTree, params: PyTree) -> Iterator[tuple[str, Any, Any]]:
    """Yields the name, the array and the penalty of every penalised leaf, and the name, the arrays
    and the penalty of every span.
    """
    owned, leaves = jax.tree.leaves(assigned), jax.tree_util.tree_leaves_with_path(params)
    for place, ((path, leaf), entry) in enumerate(zip(leaves, owned, strict=True)):
        if entry.span is not None and place == entry.span.parts[0].place:
            arrays = [jnp.asarray(leaves[part.place][1]) for part in entry.span.parts]
            yield entry.span.name, arrays, entry.penalty
        elif entry.penalty is not None and entry.span is None:
            yield name_of(path), jnp.asarray(leaf), entry.penalty


def map_penalised(
    penalised: Callable[..., jax.Array],
    other: Callable[..., jax.Array],
    assigned: PyTree,
    updates: PyTree,
    params: PyTree,
    *rest: PyTree,
) -> PyTree:
    """Maps `penalised` over (penalty, update, param, *rest) of the penalised leaves, `other` over
    the rest without penalty.

    None stays None. For a span these are lists of arrays; if the result is no list, it stands at
    the first parameter, and None at the others.
    """
    structure: Any
    moves, structure = jax.tree.flatten(updates, is_leaf=is_hole)
    entries = structure.flatten_up_to(assigned)
    columns = [moves, *(structure.flatten_up_to(tree) for tree in (params, *rest))]
    results = list(moves)
    spans: dict[Spanning, list[int]] = {}
    for at, entry in enumerate(entries):
        if is_hole(moves[at]):
            continue
        if entry.span is not None:
            spans.setdefault(entry.penalty, []).append(at)
            continue
        function = other if entry.penalty is None else functools.partial(penalised, entry.penalty)
        move, param, *more = (column[at] for column in columns)
        results[at] = function(jnp.asarray(move), jnp.asarray(param), *more)
    for spanning, places in spans.items():
        if len(places) < len(spanning.span.parts):
            raise ValueError(
                f"expected updates of all parameters of a group, got some of {spanning.span.name}; "
                "leave them all out, or none"
            )
        result = penalised(spanning, *([column[at] for at in places] for column in columns))
        parts = result if isinstance(result, list) else [result, *[None] * (len(places) - 1)]
        for at, part in zip(places, parts, strict=True):
            results[at] = part
    return jax.tree.unflatten(structure, results)


def check_params(owner: str, penalty: Penalties, params: PyTree, mask: Mask) -> None:
    """Evaluates each penalty on the shape of every leaf that it penalises, so that a mismatch
    raises at `init`.

    Raises:
        TypeError: a penalised leaf is not floating point, or the penalties are not penalties.
        ValueError: the mask selects nothing, a penalty or the tree of penalties does not fit the
            parameters, or a strength is an array that should be mapped over.

    Warns:
        UserWarning: groups run along one axis of arrays of several ranks.
    """
    if not jax.tree.leaves(params):
        # optax.tree_map_params calls init with a placeholder without leaves, which no mask would
        # fit.
        return
    check_arrays(owner, params)
    penalised = list(penalised_leaves(assign(owner, penalty, params, mask, 0), params))
    if not penalised:
        shapes = {
            name_of(path): jnp.shape(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        }
        among = "" if isinstance(penalty, Penalty) else " that have a penalty among"
        raise ValueError(
            f"{owner}: the mask selects none of the parameters{among} {shapes}, so nothing would "
            "be penalised; jaxreg.kernels selects leaves of rank 2 and more (none are left after "
            "optax.flatten). Pass another mask, or strength 0"
        )
    for name, leaf, leaf_penalty in penalised:
        check_fits(owner, name, leaf, leaf_penalty)
    warn_of_ranks(owner, penalised)


def warn_of_ranks(owner: str, penalised: list[tuple[str, Any, Any]]) -> None:
    """Warns if one penalty of groups along an axis has kernels of several ranks, in which the axis
    means several things.
    """
    for penalty in {id(penalty): penalty for _, _, penalty in penalised}.values():
        kernels = [
            (name, leaf)
            for name, leaf, other in penalised
            if other is penalty and not isinstance(leaf, list) and leaf.ndim > 1
        ]
        by_rank = {leaf.ndim: (name, leaf.shape) for name, leaf in reversed(kernels)}
        if len(by_rank) > 1 and penalty.axes(penalised[0][1]) is not None:
            shapes = ", ".join(f"{name} {shape}" for name, shape in by_rank.values())
            warnings.warn(
                f"{owner}: expected kernels of one rank for groups along an axis, which is not "
                "the same thing in all of "
                f'{shapes}; pass per="input" or per="unit" in place of axis, or write a penalty '
                "for each layer",
                stacklevel=4,
            )


def check_fits(owner: str, name: str, leaf: Any, penalty: Penalty | Spanning) -> None:
    """Checks that this is one penalty on an array of this shape, or on the arrays of a span.

    Raises:
        TypeError: the array is not floating point.
        ValueError: a strength is an array, or the penalty does not fit the array.
    """
    try:
        value = jax.eval_shape(lambda x: penalty.value(x), leaf)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{owner}: parameter {name}: {error}") from error
    if value.shape:
        raise ValueError(
            f"{owner}: parameter {name}: expected one strength, got an array of shape "
            f"{value.shape}; for a strength of each weight pass jaxreg.Weighted(jaxreg.L1(λ), "
            "factors), and to try many strengths use jax.vmap over the penalty"
        )
