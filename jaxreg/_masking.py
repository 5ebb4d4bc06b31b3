"""Which leaves of a parameter tree a mask selects. No other file than this and `_assigning.py`
walks trees.

    mask = jaxreg.kernels                                      # a function of the parameters
    mask = jaxreg.kernels & ~jaxreg.matching("embed")  # kernels, but not those of the embedding
    mask = {"embed": False, "blocks/*/attention": True, "**": False}

A tree can be whatever holds the parameters: dicts, linen or nnx states, Equinox modules. Masks and
trees of penalties are matched to it by paths rather than by structure, and a key may be a pattern.
None leaves (removed by a filter) and `optax.MaskedNode` (removed by `optax.masked`) are skipped.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._arrays import is_array, is_weights
from jaxreg._patterns import Words, fits, has_wildcards, is_pattern, joined, misfit, rank, split
from jaxreg._typing import Mask, PyTree


def kernels(params: PyTree) -> PyTree:
    """Mask that selects the kernels: floating-point leaves of rank 2 or more that are not named
    `bias` or `scale`.

    Pass the function itself as `mask`: `jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4),
    mask=jaxreg.kernels)`. Embeddings count as kernels; `jaxreg.kernels & ~jaxreg.matching("embed")`
    leaves out one that is called `embed`. Layers stacked along a leading axis (`nnx.vmap`,
    `nn.scan`) may have norm scales of rank 2 under other names: leave them out likewise.

        >>> import jax.numpy as jnp, jaxreg
        >>> jaxreg.kernels({"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)})
        {'bias': False, 'kernel': True}

    Args:
        params: the parameters, a tree of arrays.

    Returns:
        A tree of Python bools with the structure of `params`.

    Raises:
        TypeError: `params` is a step count: `optax.inject_hyperparams` mistook this function for a
            schedule.
    """
    if jax.tree_util.all_leaves([params]) and jnp.issubdtype(jnp.result_type(params), jnp.integer):
        raise TypeError(
            "kernels: expected parameters, got a step count; with "
            'optax.inject_hyperparams pass static_args="mask", or it '
            "takes a mask that is a function for a schedule"
        )
    return jax.tree_util.tree_map_with_path(
        lambda path, x: is_weights(x) and jnp.ndim(x) >= 2 and last_name(path) not in NO_KERNELS,
        params,
    )


NO_KERNELS = ("bias", "scale")


@dataclasses.dataclass(frozen=True)
class Selection:
    """A mask that is a function of the parameters, which `&` and `~` combine with others.

    Attributes:
        select: from parameters to a tree of bools.
    """

    select: Callable[[PyTree], PyTree]

    def __call__(self, params: PyTree) -> PyTree:
        return self.select(params)

    def __and__(self, other: Mask) -> Selection:
        return Selection(
            lambda params: jax.tree.map(operator.and_, chosen(self, params), chosen(other, params))
        )

    __rand__ = __and__

    def __invert__(self) -> Selection:
        return Selection(lambda params: jax.tree.map(operator.not_, chosen(self, params)))


def matching(*patterns: str) -> Selection:
    """Mask that selects leaves by their names, as `jaxreg.sparsity` prints them.

    A pattern fits a leaf if it matches the leaf's name or that of a module above it: `embed`
    selects `embed/embedding`. In a pattern, `*` stands for any characters but `/`, and `**` for any
    number of parts between slashes, also none: `**/kernel` selects `kernel` and `blocks/0/kernel`.
    `?` and `[…]` are as in `fnmatch`; upper and lower case differ.

        >>> import jax.numpy as jnp, jaxreg
        >>> block = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
        >>> params = {"embed": {"table": jnp.ones((8, 2))}, "blocks": [block]}
        >>> jaxreg.matching("blocks/*/kernel")(params)
        {'blocks': [{'bias': False, 'kernel': True}], 'embed': {'table': False}}
        >>> mask = jaxreg.kernels & ~jaxreg.matching("embed")  # kernels, but not the embedding
        >>> mask(params)
        {'blocks': [{'bias': False, 'kernel': True}], 'embed': {'table': False}}

    Keys of a tree of penalties, or of a mask, may be such patterns too: `{"blocks/*/attention":
    jaxreg.L1(1e-4), "**": None}`. Where several fit, a key without wildcards comes first, then the
    pattern with the most other characters.

    Args:
        *patterns: one or several; a leaf is selected if any of them fits.

    Returns:
        A function from parameters to a tree of bools, for `mask`; `&` combines it with another
        mask, and `~` negates it.

    Raises:
        TypeError: a pattern is not a string.
        ValueError: there is no pattern; or, once it is called, a pattern fits no parameter.
    """
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(
                f'matching: expected patterns such as "blocks/*/kernel", got {pattern!r}; '
                "pass several as arguments"
            )
    if not patterns:
        raise ValueError(
            'matching: expected at least one pattern, such as "blocks/*/kernel", got none'
        )
    entries = [((jax.tree_util.DictKey(pattern),), True) for pattern in patterns]

    def select(params: PyTree) -> PyTree:
        matched = match(
            Words("matching: the list", "a pattern", "patterns of names such as {}"),
            entries,
            params,
            rest=False,
        )
        return jax.tree.unflatten(jax.tree.structure(params), matched)

    return Selection(select)


def last_name(path: tuple[Any, ...]) -> str:
    """Returns the last part of a leaf's path, the name that its module gave it."""
    return name_of(path).rsplit("/", 1)[-1]


def is_hole(x: Any) -> bool:
    """Whether a node stands for a leaf that was removed."""
    return x is None or isinstance(x, optax.MaskedNode)


def name_of(path: tuple[Any, ...]) -> str:
    """Formats a leaf's path as `layer/kernel`, without the attribute `value` of Flax variables."""
    return joined(parts(path))


def dotted(path: tuple[Any, ...]) -> str:
    """Formats a path as `layer.kernel`, for data sets: netCDF allows no slash in a name. Empty for
    the root.
    """
    return ".".join(parts(path)).replace("/", ".")


def parts(path: tuple[Any, ...]) -> tuple[str, ...]:
    """Converts a path to text, which is the same for a key of a dict, an attribute and an index of
    that name.

    The attribute `value` of Flax variables is left out: `nnx.Optimizer` passes variables to `init`
    and arrays to `update`.
    """
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def is_function(node: Any) -> bool:
    """Whether something is a function rather than a tree; modules are trees, though they may be
    callable too.
    """
    return callable(node) and all(callable(leaf) for leaf in jax.tree.leaves(node))


def takes_path(function: Any) -> bool:
    """Whether a function takes a path and a leaf, as filters of nnx do, rather than the
    parameters.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in by_position and p.default is p.empty for p in parameters) == 2


def expanded(mask: Any, params: PyTree) -> PyTree:
    """Evaluates a mask that is a function; raises a TypeError for a type, as arrays do not know
    that of their variables.
    """
    if mask is None or mask is ...:
        return True
    if isinstance(mask, type):
        raise TypeError(
            f"mask: expected a mask, got the type {mask.__name__}; update gets plain arrays, not "
            "variables of a type. "
            'Select by name, as jaxreg.matching("**/kernel") does, or pass the type as wrt= to '
            "nnx.Optimizer"
        )
    if not is_function(mask):
        return mask
    if not takes_path(mask):
        return mask(params)

    def keep(path: tuple[Any, ...], leaf: Any) -> Any:
        path = path[: len(parts(path))]
        return mask(
            tuple(
                getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))) for key in path
            ),
            leaf,
        )

    return jax.tree_util.tree_map_with_path(keep, params)


def chosen(mask: Mask, params: PyTree) -> PyTree:
    """Expands a mask to a tree of bools with the structure of `params`.

    Args:
        mask: None (every leaf), a tree of bools whose paths are those of `params` or begin them, a
            function from `params` to such a tree, or a function of the path and the leaf, such as
            `nnx.PathContains("kernel")`. `optax.masked` accepts trees and functions of one argument
            too, but here a function always gets parameters, never updates.
        params: the parameters.

    Raises:
        TypeError: the mask holds something other than bools, or is a type.
        ValueError: the paths of the mask do not fit those of `params`.
    """
    entries = jax.tree_util.tree_leaves_with_path(expanded(mask, params))
    for path, leaf in entries:
        if not isinstance(leaf, bool | np.bool_) and not is_concrete_bool(leaf):
            raise TypeError(
                f"mask: expected True or False at {name_of(path)}, got {leaf!r}; a mask is a tree "
                "of Python bools"
            )
    words = Words(
        "mask: the tree of bools",
        "a bool",
        'True or False for each of {}, at its path or above; "**" fits all',
    )
    matched = match(words, [(path, bool(leaf)) for path, leaf in entries], params)
    return jax.tree.unflatten(jax.tree.structure(params), matched)


Entries = Sequence[tuple[tuple[Any, ...], Any]]
"""The paths and the leaves of a mask or of a tree of penalties."""


def match(words: Words, entries: Entries, params: PyTree, rest: Any = None) -> list[Any]:
    """Finds, for each leaf of `params`, the entry whose path is that leaf's, begins it, or is a
    pattern that does.

    Args:
        words: for messages.
        entries: the paths, each with a bool, or with a penalty or None.
        params: the parameters.
        rest: for leaves without an entry; None raises.

    Raises:
        ValueError: a leaf has no entry, or two patterns that fit equally well; or an entry other
            than False and None has no leaf (not even one that was removed), or any entry if some
            have wildcards.
    """
    leaves = [
        (parts(path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params, is_leaf=is_hole)
    ]
    by_path = {parts(path): None if is_hole(entry) else entry for path, entry in entries}
    patterns = sorted(
        (path for path in by_path.keys() - dict(leaves).keys() if is_pattern(path)),
        key=rank,
        reverse=True,
    )
    strict = any(has_wildcards(pattern) for pattern in patterns)
    unused = {
        path: None
        for path, entry in by_path.items()
        if path and (strict or entry not in (None, False))
    }
    matched, bare = [], []
    for path, leaf in leaves:
        above = [path[:length] for length in range(len(path), -1, -1) if path[:length] in by_path]
        fitting = [
            pattern
            for pattern in patterns
            if fits(split(pattern), split(path), below=is_hole(leaf))
        ]
        # `optax.masked` may put one hole in place of a whole subtree.
        below = [entry for entry in unused if is_hole(leaf) and entry[: len(path)] == path]
        for entry in (*above, *fitting, *below):
            unused.pop(entry, None)
        if is_hole(leaf):
            continue
        best = above or [pattern for pattern in fitting if rank(pattern) == rank(fitting[0])]
        if not above and any(by_path[pattern] is not by_path[best[0]] for pattern in best):
            raise ValueError(
                f"{words.tree} has {' and '.join(map(joined, best))}, which fit {joined(path)} "
                "equally well; write a key without wildcards for it"
            )
        matched.append(by_path[best[0]] if best else rest)
        bare += [] if best or rest is not None else [path]
    if bare or unused:
        raise ValueError(
            misfit(words, bare, list(unused), [path for path, leaf in leaves if not is_hole(leaf)])
        )
    return matched


def is_concrete_bool(leaf: Any) -> bool:
    """Whether a leaf is a JAX or NumPy array that holds one bool."""
    array = isinstance(leaf, jax.Array | np.ndarray) and not isinstance(leaf, jax.core.Tracer)
    return array and leaf.shape == () and leaf.dtype == bool


def check_arrays(owner: str, params: PyTree, selected: PyTree = None) -> None:
    """Raises a TypeError that names a leaf that is no array.

    Args:
        owner: the function that the user called.
        params: the parameters.
        selected: a tree of bools, which leaves to look at; None for all.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    keep = [True] * len(leaves) if selected is None else jax.tree.leaves(selected)
    for (path, leaf), is_selected in zip(leaves, keep, strict=True):
        if is_selected and not is_array(leaf):
            named = (
                f"the function {getattr(leaf, '__name__', '')}".rstrip()
                if callable(leaf)
                else type(leaf).__name__
            )
            raise TypeError(
                f"{owner}: expected arrays, got {named} at {name_of(path)}; pass the arrays of the "
                "module alone, eqx.filter(module, eqx.is_inexact_array) in Equinox"
            )


def chosen_leaves(params: PyTree, mask: Mask) -> Iterator[tuple[str, jax.Array]]:
    """Yields the name and the array of every leaf that the mask selects."""
    selected = jax.tree.leaves(chosen(mask, params))
    for path, leaf in itertools.compress(jax.tree_util.tree_leaves_with_path(params), selected):
        yield name_of(path), jnp.asarray(leaf)


def check_shapes(owner: str, gradient: PyTree, params: PyTree) -> None:
    """Checks a gradient.

    Raises:
        TypeError: a leaf is no array.
        ValueError: a leaf has another shape than its parameter, even if it would broadcast.
    """
    check_arrays(owner, gradient)

    def check(path: tuple[Any, ...], slope: Any, param: Any) -> None:
        if not is_hole(slope) and jnp.shape(slope) != jnp.shape(param):
            raise ValueError(
                f"{owner}: expected a gradient of the parameter's shape {jnp.shape(param)} at "
                f"{name_of(path)}, got {jnp.shape(slope)}; pass the gradient of a scalar loss with "
                "respect to these parameters"
            )

    jax.tree_util.tree_map_with_path(check, gradient, params, is_leaf=is_hole)
