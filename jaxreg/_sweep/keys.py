"""Converts typed PRNG keys to plain arrays and back, and other arrays to NumPy's, for files,
workers and programs.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._typing import PyTree

Kinds = tuple[Any, ...]


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed keys, or a tracer of one."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def unwrap(tree: PyTree) -> tuple[PyTree, Kinds]:
    """Replaces typed keys by their data; also returns the key implementation of each leaf, None for
    other arrays.
    """
    leaves, structure = jax.tree.flatten(tree)
    kinds = tuple(jax.random.key_impl(leaf) if is_key(leaf) else None for leaf in leaves)
    plain = [
        leaf if kind is None else jax.random.key_data(leaf)
        for leaf, kind in zip(leaves, kinds, strict=True)
    ]
    return jax.tree.unflatten(structure, plain), kinds


def wrap(tree: PyTree, kinds: Kinds) -> PyTree:
    """Inverts `unwrap`; leaves may have gained or lost leading axes in between."""
    leaves, structure = jax.tree.flatten(tree)
    typed = [
        leaf if kind is None else jax.random.wrap_key_data(leaf, impl=kind)
        for leaf, kind in zip(leaves, kinds, strict=True)
    ]
    return jax.tree.unflatten(structure, typed)


def on_host(tree: PyTree) -> PyTree:
    """Copies JAX arrays to the host, as those on a mesh can be used under it alone; other leaves
    and typed keys stay.
    """
    return jax.tree.map(
        lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) and not is_key(leaf) else leaf,
        tree,
    )


def savable(leaf: Any) -> np.ndarray:
    """Converts a leaf to an array that netCDF can hold: keys to their data, and bfloat16 and
    narrower floats to float32.
    """
    if is_key(leaf):
        return np.asarray(jax.random.key_data(leaf))
    array = np.asarray(leaf)
    return (
        array.astype(np.float32)
        if array.dtype.itemsize < 4 and jnp.issubdtype(array.dtype, jnp.floating)
        else array
    )
