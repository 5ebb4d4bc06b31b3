"""The only file that walks a parameter tree: which leaves are penalised, and a function mapped over just those.

A tree is whatever holds the parameters: dicts, linen or nnx states, Equinox modules. None leaves (what a filter left
out) and `optax.MaskedNode` (what `optax.masked` left out) are passed over.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg.penalties import Penalty

Mask = Any


def kernels(params: Any) -> Any:
    """Mask of the kernels: leaves of rank 2 and more that are not named `bias` or `scale`.

    Embeddings count as kernels. Layers stacked along a leading axis (`nnx.vmap`, `nn.scan`) may have norm scales of rank 2
    under another name: write a mask of your own for them.

    Returns:
        A tree like `params` of Python bools, to be passed as any `mask` argument.

    Raises:
        TypeError: `params` is a step count, which is what `optax.inject_hyperparams` calls every function with.
    """
    if jax.tree_util.all_leaves([params]) and jnp.issubdtype(jnp.result_type(params), jnp.integer):
        raise TypeError(
            'kernels: expected parameters, got a step count; with optax.inject_hyperparams pass static_args="mask", or it '
            "takes a mask that is a function for a schedule"
        )
    return jax.tree_util.tree_map_with_path(lambda path, x: jnp.ndim(x) >= 2 and last_name(path) not in NO_KERNELS, params)


NO_KERNELS = ("bias", "scale")


def last_name(path: tuple[Any, ...]) -> str:
    """The name that a module gave a leaf."""
    return name_of(path).rsplit("/", 1)[-1]


def is_hole(x: Any) -> bool:
    """Whether a node stands for a leaf that somebody took out."""
    return x is None or isinstance(x, optax.MaskedNode)


def name_of(path: tuple[Any, ...]) -> str:
    """A leaf's path as `layer/kernel`; the attribute `value` of a Flax variable is dropped, since it names nothing."""
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]
    return jax.tree_util.keystr(path, simple=True, separator="/") or "(the only leaf)"


def is_function(node: Any) -> bool:
    """Whether something is a function and no tree; a module is a tree of its leaves, though it may be callable too."""
    return callable(node) and all(callable(leaf) for leaf in jax.tree.leaves(node))


def chosen(mask: Mask, params: Any) -> Any:
    """The mask as a tree of bools with just the structure of `params`.

    Args:
        mask: None (every leaf), a tree of bools with the structure of `params` or a prefix of it, or a function from
            `params` to such a tree: what `optax.masked` takes, but the function always sees parameters, never updates.

    Raises:
        ValueError: the mask's structure fits no prefix of `params`. TypeError: it holds something other than bools.
    """
    tree = True if mask is None else mask(params) if is_function(mask) else mask
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not isinstance(leaf, bool | np.bool_) and not is_concrete_bool(leaf):
            raise TypeError(
                f"mask: expected True or False at {name_of(path)}, got {leaf!r}; a mask is a tree of Python bools"
            )
    try:
        return jax.tree.map(lambda keep, below: jax.tree.map(lambda _: bool(keep), below), tree, params)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"mask: its structure {jax.tree.structure(tree)} is no prefix of the parameters' structure "
            f"{jax.tree.structure(params)}; pass a tree of bools shaped like the parameters, or a function of them such as "
            "jaxreg.kernels"
        ) from error


def is_concrete_bool(leaf: Any) -> bool:
    """Whether a leaf is a JAX or NumPy array that holds one bool."""
    array = isinstance(leaf, jax.Array | np.ndarray) and not isinstance(leaf, jax.core.Tracer)
    return array and leaf.shape == () and leaf.dtype == bool


def penalised_leaves(params: Any, mask: Mask) -> Iterator[tuple[str, jax.Array]]:
    """Name and array of every leaf that the mask chooses."""
    keep = jax.tree.leaves(chosen(mask, params))
    for (path, leaf), kept in zip(jax.tree_util.tree_leaves_with_path(params), keep, strict=True):
        if kept:
            yield name_of(path), jnp.asarray(leaf)


def map_penalised(
    penalised: Callable[..., Any], other: Callable[..., Any], mask: Mask, updates: Any, params: Any, *rest: Any
) -> Any:
    """Maps `penalised` over the chosen leaves of (updates, params, *rest) and `other` over the rest; None stays None."""

    def visit(update: Any, param: Any, keep: Any, *more: Any) -> Any:
        if is_hole(update):
            return update
        return (penalised if keep else other)(jnp.asarray(update), jnp.asarray(param), *more)

    return jax.tree.map(visit, updates, params, chosen(mask, params), *rest, is_leaf=is_hole)


def check_shapes(owner: str, gradient: Any, params: Any) -> None:
    """Refuses a gradient whose leaves do not have the parameters' shapes, even where they would broadcast.

    Raises:
        ValueError: with the leaf's name and both shapes.
    """

    def check(path: tuple[Any, ...], slope: Any, param: Any) -> None:
        if not is_hole(slope) and jnp.shape(slope) != jnp.shape(param):
            raise ValueError(
                f"{owner}: expected a gradient of the parameter's shape {jnp.shape(param)} at {name_of(path)}, got "
                f"{jnp.shape(slope)}; pass the gradient of a scalar loss with respect to these parameters"
            )

    jax.tree_util.tree_map_with_path(check, gradient, params, is_leaf=is_hole)


def check_params(owner: str, penalty: Penalty, params: Any, mask: Mask) -> None:
    """Asks a penalty about every leaf it will see, by shape alone, so that a misfit raises at `init`.

    Raises:
        TypeError: a penalised leaf is not floating point.
        ValueError: the mask leaves nothing to penalise, the penalty does not fit a leaf's shape, or its strength is an
            array that is to be mapped over.
    """
    if not jax.tree.leaves(params):
        # Nothing to charge; optax.tree_map_params calls init with such a stand-in, which no mask would fit.
        return
    now = penalty.at(0) if penalty.scheduled else penalty
    penalised = list(penalised_leaves(params, mask))
    if not penalised:
        shapes = {name_of(path): jnp.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
        raise ValueError(
            f"{owner}: the mask selects none of the parameters {shapes}, so nothing would be penalised; jaxreg.kernels "
            "selects leaves of rank 2 and more (none are left after optax.flatten). Pass another mask, or strength 0"
        )
    for name, leaf in penalised:
        try:
            value = jax.eval_shape(lambda x: now.value(x), leaf)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{owner}: parameter {name}: {error}") from error
        if value.shape:
            raise ValueError(
                f"{owner}: a strength of shape {value.shape} is many penalties at once; use jax.vmap over the penalty to "
                "train with each of them"
            )
