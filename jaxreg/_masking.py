"""Which leaves of a parameter tree a mask selects. No other file than this and `_assigning.py` walks trees.

A tree can be whatever holds the parameters: dicts, linen or nnx states, Equinox modules. None leaves (removed by a filter)
and `optax.MaskedNode` (removed by `optax.masked`) are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxreg._typing import Mask, PyTree


def kernels(params: PyTree) -> PyTree:
    """Mask that selects the kernels: leaves of rank 2 or more that are not named `bias` or `scale`.

    Pass the function itself as `mask`: `jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)`. Embeddings count as
    kernels. Layers stacked along a leading axis (`nnx.vmap`, `nn.scan`) may have norm scales of rank 2 under other names:
    write your own mask for them.

        >>> import jax.numpy as jnp, jaxreg
        >>> jaxreg.kernels({"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)})
        {'bias': False, 'kernel': True}

    Args:
        params: the parameters, a tree of arrays.

    Returns:
        A tree of Python bools with the structure of `params`.

    Raises:
        TypeError: `params` is a step count: `optax.inject_hyperparams` mistook this function for a schedule.
    """
    if jax.tree_util.all_leaves([params]) and jnp.issubdtype(jnp.result_type(params), jnp.integer):
        raise TypeError(
            'kernels: expected parameters, got a step count; with optax.inject_hyperparams pass static_args="mask", or it '
            "takes a mask that is a function for a schedule"
        )
    return jax.tree_util.tree_map_with_path(lambda path, x: jnp.ndim(x) >= 2 and last_name(path) not in NO_KERNELS, params)


NO_KERNELS = ("bias", "scale")


def last_name(path: tuple[Any, ...]) -> str:
    """Returns the last part of a leaf's path, the name that its module gave it."""
    return name_of(path).rsplit("/", 1)[-1]


def is_hole(x: Any) -> bool:
    """Whether a node stands for a leaf that was removed."""
    return x is None or isinstance(x, optax.MaskedNode)


def name_of(path: tuple[Any, ...]) -> str:
    """Formats a leaf's path as `layer/kernel`, without the attribute `value` of Flax variables."""
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]
    return jax.tree_util.keystr(path, simple=True, separator="/") or "(the only leaf)"


def is_function(node: Any) -> bool:
    """Whether something is a function rather than a tree; modules are trees, though they may be callable too."""
    return callable(node) and all(callable(leaf) for leaf in jax.tree.leaves(node))


def chosen(mask: Mask, params: PyTree) -> PyTree:
    """Expands a mask to a tree of bools with the structure of `params`.

    Args:
        mask: None (every leaf), a tree of bools with the structure of `params` or a prefix of it, or a function from
            `params` to such a tree. `optax.masked` accepts the same, but here the function always gets parameters, never
            updates.
        params: the parameters.

    Raises:
        TypeError: the mask holds something other than bools.
        ValueError: the structure of the mask is not a prefix of that of `params`.
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
            f"mask: its structure {jax.tree.structure(tree)} is not a prefix of the parameters' structure "
            f"{jax.tree.structure(params)}; pass a tree of bools shaped like the parameters, or a function of them such as "
            "jaxreg.kernels"
        ) from error


def is_concrete_bool(leaf: Any) -> bool:
    """Whether a leaf is a JAX or NumPy array that holds one bool."""
    array = isinstance(leaf, jax.Array | np.ndarray) and not isinstance(leaf, jax.core.Tracer)
    return array and leaf.shape == () and leaf.dtype == bool


def chosen_leaves(params: PyTree, mask: Mask) -> Iterator[tuple[str, jax.Array]]:
    """Yields the name and the array of every leaf that the mask selects."""
    keep = jax.tree.leaves(chosen(mask, params))
    for (path, leaf), kept in zip(jax.tree_util.tree_leaves_with_path(params), keep, strict=True):
        if kept:
            yield name_of(path), jnp.asarray(leaf)


def check_shapes(owner: str, gradient: PyTree, params: PyTree) -> None:
    """Raises a ValueError if a leaf of the gradient has another shape than its parameter, even if it would broadcast."""

    def check(path: tuple[Any, ...], slope: Any, param: Any) -> None:
        if not is_hole(slope) and jnp.shape(slope) != jnp.shape(param):
            raise ValueError(
                f"{owner}: expected a gradient of the parameter's shape {jnp.shape(param)} at {name_of(path)}, got "
                f"{jnp.shape(slope)}; pass the gradient of a scalar loss with respect to these parameters"
            )

    jax.tree_util.tree_map_with_path(check, gradient, params, is_leaf=is_hole)
