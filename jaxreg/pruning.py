"""Zeros that last: `keep_largest` cuts all but the largest weights, and `hold_zeros` trains the
others further.

    params = jaxreg.keep_largest(params, 0.05, mask=jaxreg.kernels)  # 5 % of the weights stay
    tx = jaxreg.hold_zeros(optax.adam(1e-4), mask=jaxreg.kernels)  # their zeros stay 0
    state = tx.init(params)

Training further without a penalty (refitting) undoes the shrinkage of the weights that a penalty
has kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxreg._arrays import at_least_float32, is_weights
from jaxreg._checks import check_number
from jaxreg._counting import exactly, largest
from jaxreg._groups import check_pattern, check_range, largest_of_adjacent, norm
from jaxreg._masking import (
    check_arrays,
    check_shapes,
    chosen,
    chosen_leaves,
    is_hole,
    match,
    name_of,
)
from jaxreg._patterns import Words
from jaxreg._roles import Per, check_groups, leaf_roles
from jaxreg._spans import Span, find_spans
from jaxreg._states import HeldState, require_state
from jaxreg._typing import ArrayLike, Mask, PyTree

Axis: TypeAlias = int | tuple[int, ...] | None
"""The axis along which groups run; None where each weight is its own."""
Share: TypeAlias = ArrayLike | Mapping[str, ArrayLike]
"""The share of weights to keep, or one for each part of the parameters, by name or pattern."""


def hold_zeros(
    optimizer: optax.GradientTransformation, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that weights that are exactly 0 at `init` stay exactly 0.

    At these weights the optimizer sees a gradient of 0, and the update is 0 whatever the optimizer
    does (weight decay, momentum, noise). The gradient is replaced before the optimizer sees it, so
    norms for clipping do not count it, and a NaN in the gradient of a held weight has no effect.

        >>> import jax.numpy as jnp, optax, jaxreg
        >>> params = {"kernel": jnp.array([[0.0, 2.0]]), "bias": jnp.zeros(2)}
        >>> tx = jaxreg.hold_zeros(optax.sgd(0.5), mask=jaxreg.kernels)
        >>> gradient = {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(2)}
        >>> updates, state = tx.update(gradient, tx.init(params), params)
        >>> print(optax.apply_updates(params, updates)["kernel"])
        [[0.  1.5]]

    Args:
        optimizer: any optax optimizer, also one of jaxreg's.
        mask: the leaves whose zeros are held, as for `optax.masked`; None holds those of all
            leaves, also of biases, which often start at 0. `jaxreg.kernels` is the usual choice;
            leave out kernels that start at 0 by design.

    Returns:
        An optax optimizer with the state `HeldState`; its `update` needs `params` if that of
        `optimizer` does.

    Raises:
        TypeError: `optimizer` is not an optax optimizer; at `init`, the mask is not made of bools;
            at `update`, the state is another optimizer's.
        ValueError: at `init`, the mask selects nothing or does not fit the parameters; at `update`,
            gradients have other shapes than the parameters, or `params` is missing although the
            optimizer needs it.
    """
    check_optimizer("hold_zeros", optimizer)
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> HeldState:
        check_arrays("hold_zeros", params)
        # optax.tree_map_params calls init with a placeholder without leaves, which no mask would
        # fit.
        selected = select("hold_zeros", params, mask) if jax.tree.leaves(params) else params
        support = jax.tree.map(
            lambda leaf, keep: leaf if is_hole(leaf) else (jnp.asarray(leaf) != 0) | (not keep),
            params,
            selected,
            is_leaf=is_hole,
        )
        return HeldState(support, inner.init(params))

    def update(
        updates: PyTree, state: HeldState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, HeldState]:
        require_state("hold_zeros", state, HeldState)
        check_shapes("hold_zeros", updates, state.support)

        def hold(tree: PyTree) -> PyTree:
            return jax.tree.map(
                lambda leaf, free: leaf if is_hole(leaf) else jnp.where(free, leaf, 0),
                tree,
                state.support,
                is_leaf=is_hole,
            )

        updates, after = inner.update(hold(updates), state.inner, params, **extra_args)
        return hold(updates), HeldState(state.support, after)

    return optax.GradientTransformationExtraArgs(init, update)


def keep_largest(
    params: PyTree, share: Share, mask: Mask = None, axis: Axis = None, *, per: Per | None = None
) -> PyTree:
    """Sets all but the largest weights, or groups of weights, to 0.

    All selected leaves are compared together, by |w|, or by ‖w_g‖₂ for groups. Exactly
    round(share·size) weights (groups), and at least one, are kept, where size is the number in all
    selected leaves. If fewer are nonzero, nothing changes. Of equally large ones the first are
    kept, in the order of the leaves. NaN counts as the largest.

        >>> import jax.numpy as jnp, jaxreg
        >>> params = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]]), "bias": jnp.ones(2)}
        >>> jaxreg.keep_largest(params, 0.5, jaxreg.kernels)
        {'bias': Array([1., 1.], dtype=float32), 'kernel': Array([[3., 0.],
               [0., 2.]], dtype=float32)}

    Args:
        params: the parameters, a tree of arrays.
        share: the share to keep, in (0, 1]; a number or a traced scalar. With a dict from names or
            patterns (see `jaxreg.matching`) to shares, the leaves of each key are compared by
            themselves, and others are not cut. A pair (n, m) keeps the n largest of every m weights
            that are adjacent along `axis`, or in the groups of `per`, as `jaxreg.NOfM` counts them.
        mask: which leaves to cut, as for `optax.masked`; None cuts all of them, biases too.
            `jaxreg.kernels` is the usual choice.
        axis: the axis or axes along which groups run, as for `jaxreg.GroupL2`: axis=1 of kernels
            (in, out) keeps inputs and drops others whole. None compares single weights.
        per: in place of `axis`, as for `jaxreg.GroupL2`: right for kernels of several ranks, and
            for groups that lie in several parameters.

    Returns:
        The parameters with zeros, in their own dtypes. It works inside `jit` and `vmap`.

    Raises:
        TypeError: the share is not a number, the axis is not an int, or the mask is not made of
            bools.
        ValueError: the share is outside (0, 1], the mask selects nothing or does not fit the
            parameters, both `axis` and `per` are given, or a leaf does not have these groups.
    """
    if isinstance(share, tuple):
        return keep_adjacent(params, share, mask, axis, per)
    check_share("keep_largest", share)
    keys = tuple(share) if isinstance(share, Mapping) else None
    shares = list(share.values()) if isinstance(share, Mapping) else [share]
    leaves, structure = jax.tree.flatten(params)
    parts = divided("keep_largest", params, mask, axis, per, keys)
    for selected, wanted in zip(parts, shares, strict=True):
        sizes = [counted.sizes for counted in selected]
        number = sum(size.size for size in sizes)
        if isinstance(wanted, int | float):
            kept = exactly(max(1, round(wanted * number)))
        else:
            kept = exactly(jnp.maximum(1, jnp.round(at_least_float32(wanted) * float(number))))
        for counted, keep in zip(selected, largest(sizes, kept), strict=True):
            counted.cut(leaves, keep)
    return jax.tree.unflatten(structure, leaves)


def keep_adjacent(
    params: PyTree, pattern: tuple[int, int], mask: Mask, axis: Axis, per: Per | None
) -> PyTree:
    """Keeps n of every m adjacent weights, as `keep_largest` says."""
    if len(pattern) != 2:
        raise ValueError(f"keep_largest: expected a pair (n, m) such as (2, 4), got {pattern!r}")
    n, m = pattern
    check_pattern("keep_largest", n, m)
    leaves, structure = jax.tree.flatten(params)
    along = 0 if axis is None and per is None else axis
    for counted in grouped("keep_largest", params, mask, along, per):
        assert isinstance(counted.axis, tuple)
        size = magnitudes(counted.joined)
        try:
            counted.cut(leaves, largest_of_adjacent(size, counted.axis, n, m))
        except ValueError as error:
            raise ValueError(f"keep_largest: {error}") from None
    return jax.tree.unflatten(structure, leaves)


class Counted(NamedTuple):
    """What is counted together: a leaf, or several that groups run across.

    Attributes:
        places: of the leaves among all leaves.
        arrays: the leaves.
        axis: the axis along which groups run; None counts single weights.
        span: how groups run across the leaves; None for one leaf.
    """

    places: tuple[int, ...]
    arrays: list[jax.Array]
    axis: Axis
    span: Span | None = None

    def reduced(self, function: Callable[..., jax.Array], arrays: list[jax.Array]) -> jax.Array:
        """Reduces groups along their axis, which stays with length 1; single weights remain."""
        if self.span is not None:
            return self.span.reduce(function, arrays)
        return arrays[0] if self.axis is None else function(arrays[0], self.axis)

    @property
    def alive(self) -> jax.Array:
        """The weights, or which groups are not 0."""
        return self.reduced(lambda x, axes: jnp.any(x != 0, axes, keepdims=True), self.arrays)

    @property
    def sizes(self) -> jax.Array:
        """|w| or ‖w_g‖."""
        return magnitudes(self.reduced(norm, list(map(at_least_float32, self.arrays))))

    @property
    def joined(self) -> jax.Array:
        """All weights in one array."""
        return self.arrays[0] if self.span is None else self.span.join(self.arrays)

    def cut(self, leaves: list[Any], keep: jax.Array) -> None:
        """Sets what is not marked to 0, in a list of all leaves."""
        marks = [keep] if self.span is None else self.span.split(keep)
        for place, mark in zip(self.places, marks, strict=True):
            leaves[place] = jnp.where(mark, jnp.asarray(leaves[place]), 0)


def divided(
    owner: str,
    params: PyTree,
    mask: Mask,
    axis: Axis,
    per: Per | None,
    keys: tuple[str, ...] | None,
) -> list[list[Counted]]:
    """Lists the leaves that the mask selects, for each key by themselves, or all in one list.

    Raises:
        TypeError: the axis is not an int, or the mask is not made of bools.
        ValueError: the mask selects nothing or does not fit the parameters, a key fits nothing that
            is selected, `axis` and `per` are both given, or a leaf does not have these groups.
    """
    selected = grouped(owner, params, mask, axis, per)
    if keys is None:
        return [selected]
    words = Words(f"{owner}: share", "a key", "names or patterns of some of {}")
    entries = [((jax.tree_util.DictKey(key),), key) for key in keys]
    owned = match(words, entries, params, rest=False)
    parts = [
        [counted for counted in selected if all(owned[place] == key for place in counted.places)]
        for key in keys
    ]
    for key, part in zip(keys, parts, strict=True):
        if not part:
            raise ValueError(
                f"{owner}: the mask selects none of the parameters at {key!r} in share; leave the "
                "key out, or pass another mask"
            )
    return parts


def grouped(
    owner: str, params: PyTree, mask: Mask, axis: Axis, per: Per | None = None
) -> list[Counted]:
    """Lists what is counted of the leaves that the mask selects; raises as `divided` does."""
    groups, role = check_groups(owner, axis, per, None)
    keep, leaves = jax.tree.leaves(select(owner, params, mask)), jax.tree.leaves(params)
    named = leaf_roles(params) if role is not None else []
    if isinstance(role, tuple):
        spans = find_spans(owner, role, named, keep)
        places = [tuple(part.place for part in span.parts) for span in spans]
        return [
            Counted(at, [jnp.asarray(leaves[place]) for place in at], (1,), span)
            for at, span in zip(places, spans, strict=True)
        ]
    selected: list[Counted] = []
    for place in itertools.compress(range(len(keep)), keep):
        leaf = jnp.asarray(leaves[place])
        along = named[place].along(owner, role) if role is not None else groups
        axes = None if along is None else check_range(leaf, along, owner)
        selected.append(Counted((place,), [leaf], axes))
    return selected


def magnitudes(x: jax.Array) -> jax.Array:
    """Computes |x|, infinite where it is NaN."""
    size = jnp.abs(at_least_float32(x))
    return jnp.where(jnp.isnan(size), jnp.inf, size)


def select(owner: str, params: PyTree, mask: Mask) -> PyTree:
    """Expands a mask to a tree of bools.

    Raises:
        TypeError: the mask holds something other than bools, or selects a leaf that holds no
            floating-point numbers.
        ValueError: the mask selects nothing, or does not fit the parameters.
    """
    selected = chosen(mask, params)
    if not any(jax.tree.leaves(selected)):
        shapes = {
            name_of(path): jnp.shape(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        }
        raise ValueError(
            f"{owner}: the mask selects none of the parameters {shapes}; jaxreg.kernels selects "
            "leaves of rank 2 and more. Pass another mask"
        )
    check_arrays(owner, params, selected)
    for name, leaf in chosen_leaves(params, selected):
        if not is_weights(leaf):
            raise TypeError(
                f"{owner}: expected floating-point weights, got an array of {leaf.dtype} at "
                f"{name}; leave it out with a mask such as jaxreg.kernels"
            )
    return selected


def check_optimizer(owner: str, optimizer: Any) -> None:
    """Raises a TypeError for what is not an optax optimizer."""
    if not isinstance(optimizer, optax.GradientTransformation):
        hint = (
            "; call its gradient_transformation()"
            if isinstance(optimizer, optax.MultiSteps)
            else ""
        )
        raise TypeError(
            f"{owner}: expected an optax optimizer such as optax.adam(1e-3), got "
            f"{optimizer!r}{hint}"
        )


def check_share(owner: str, share: Any) -> None:
    """Checks a share of weights to keep, or a dict of shares.

    Raises:
        TypeError: it is not a number.
        ValueError: it is outside (0, 1], or there is none.
    """
    if isinstance(share, Mapping):
        if not share:
            raise ValueError(f"{owner}: share must be a number or a dict of shares, got {share!r}")
        for one in share.values():
            check_share(owner, one)
        return
    if callable(share):
        raise TypeError(
            f"{owner}: share must be a number in (0, 1], got {share!r}; pass the share to end with"
        )
    check_number(owner, "share", share, scalar=True)
    if not isinstance(share, jax.core.Tracer) and not 0 < float(share) <= 1:
        raise ValueError(
            f"{owner}: share must lie in (0, 1], got {share!r}; it is the share of weights that "
            "are kept"
        )
