"""Grids of hyperparameters: named axes and the runs that they span."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._masking import dotted
from jaxreg._sweep import keys
from jaxreg._typing import PyTree
from jaxreg.penalties import Penalty, Weighted

LARGEST_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Grid:
    """Named axes of hyperparameters; made by `grid`.

    Attributes:
        axes: the values of each axis by name, a tree of arrays with one leading axis.
    """

    axes: dict[str, PyTree]

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(len(jax.tree.leaves(values)[0]) for values in self.axes.values())

    @property
    def size(self) -> int:
        """The number of runs, one for each combination."""
        return math.prod(self.shape)

    def runs(self) -> dict[str, PyTree]:
        """Lists every combination, with the last axis varying fastest.

        Returns:
            The values of each axis by name, trees of arrays with one entry per run.
        """
        places = np.unravel_index(np.arange(self.size), self.shape)
        return {
            name: jax.tree.map(lambda leaf, place=place: leaf[place], values)
            for (name, values), place in zip(self.axes.items(), places, strict=True)
        }

    def coordinates(self) -> dict[str, tuple[str, np.ndarray]]:
        """Collects the labels of the axes.

        Returns:
            For each one-dimensional array of an axis, by a name such as `penalty`, the axis and the
            array.
        """
        coordinates = {}
        for name, values in self.axes.items():
            leaves = jax.tree_util.tree_leaves_with_path(values)
            for path, leaf in leaves:
                label = name if len(leaves) == 1 else f"{name}.{dotted(path)}"
                if leaf.ndim == 1 and not keys.is_key(leaf):
                    coordinates[label] = (name, leaf)
        return coordinates

    def describe(self, run: int) -> str:
        """Formats the position of a run on the grid, such as `penalty = 0.001, seed = 3`.

        Args:
            run: its index, with the last axis varying fastest.

        Returns:
            The description.
        """
        place = dict(zip(self.axes, np.unravel_index(run, self.shape), strict=True))
        return ", ".join(
            f"{label} = {values[place[axis]]:.6g}"
            for label, (axis, values) in self.coordinates().items()
        )


def grid(**axes: PyTree) -> Grid:
    """Makes a grid of every combination of its axes, for `sweep`.

        >>> import jax.numpy as jnp, jaxreg
        >>> jaxreg.grid(penalty=jaxreg.L1(jnp.logspace(-5, -1, 32)), seed=range(5)).shape
        (32, 5)

    Args:
        **axes: each a range, a list, an array, or a tree of arrays (such as a penalty) whose
            leading axes have the same length; scalars in a tree, and the factors of `Weighted`, are
            repeated along the axis. A tree of penalties is one axis too, `{"first":
            jaxreg.L1(strengths), "rest": jaxreg.L1(1e-4), "bias": None}` for example, and each run
            gets a tree with numbers. The key of each run is made from an axis named `seed`.

    Returns:
        The grid.

    Raises:
        TypeError: an axis does not hold numbers.
        ValueError: there is no axis; an axis has no array, is empty or has arrays of different
            lengths; an integer does not fit JAX's dtype; a seed is not an integer from 0 to 2³² −
            1.
    """
    if not axes:
        raise ValueError(
            "grid: expected at least one axis, as in grid(penalty=jaxreg.L1(strengths), "
            "seed=range(5))"
        )
    return Grid(
        {
            name: as_seeds(values) if name == "seed" else as_axis(name, values)
            for name, values in axes.items()
        }
    )


def as_axis(name: str, values: PyTree) -> PyTree:
    """Converts an axis to a tree of NumPy arrays, or of typed keys, with the same leading axis."""
    numbers_alone = isinstance(values, list | tuple) and not any(
        isinstance(value, Penalty) for value in values
    )
    listed = isinstance(values, range) or (
        numbers_alone and all(np.ndim(value) == 0 for value in values)
    )
    typed = listed and any(keys.is_key(value) for value in values)
    tree = jnp.stack(values) if typed else np.asarray(values) if listed else values
    tree = jax.tree.map(repeat_factors, tree, is_leaf=lambda node: isinstance(node, Weighted))
    try:
        arrays = jax.tree.map(as_array, tree)
    except OverflowError as error:
        raise ValueError(f"grid: {name} {error}") from None
    except (TypeError, ValueError) as error:
        raise TypeError(f"grid: {name} must hold numbers, got {values!r}: {error}") from None
    lengths = {len(leaf) for leaf in jax.tree.leaves(arrays) if leaf.ndim}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"grid: {name} must have one leading axis that is not empty, got lengths "
            f"{sorted(lengths)}; for one value write a list of one"
        )
    (length,) = lengths

    def repeated(leaf: Any) -> Any:
        return jnp.broadcast_to(leaf, (length,)) if keys.is_key(leaf) else np.full(length, leaf)

    return jax.tree.map(lambda leaf: leaf if leaf.ndim else repeated(leaf), arrays)


def repeat_factors(node: Any) -> Any:
    """Gives every run the same factors, if the strengths of a `Weighted` penalty are the axis;
    other nodes stay.
    """
    lengths = (
        [len(leaf) for leaf in jax.tree.leaves(node.penalty) if np.ndim(leaf)]
        if isinstance(node, Weighted)
        else []
    )
    return (
        dataclasses.replace(node, factors=np.stack([node.factors] * lengths[0]))
        if lengths
        else node
    )


def as_array(leaf: Any) -> Any:
    """Converts a leaf to JAX's dtype for it; typed keys stay as they are.

    Raises:
        OverflowError: an integer does not fit that dtype.
    """
    if keys.is_key(leaf):
        return leaf
    given = np.asarray(leaf)
    array = np.asarray(jnp.asarray(leaf))
    if given.dtype.kind in "iu" and not np.array_equal(given, array):
        raise OverflowError(
            f"holds integers that {array.dtype} cannot, up to {int(abs(given).max())}; "
            "use smaller ones, or floating-point numbers, or "
            'jax.config.update("jax_enable_x64", True)'
        )
    return array


def as_seeds(seeds: int | Sequence[int] | Any) -> np.ndarray:
    """Converts a number of seeds, or a list of them, to an axis.

    Raises:
        ValueError: a seed is not an integer from 0 to 2³² − 1, the range of `jax.random.key`
            without 64-bit types.
    """
    if isinstance(seeds, numbers.Integral) or (
        np.ndim(seeds) == 0 and np.asarray(seeds).dtype.kind in "iu"
    ):
        seeds = range(int(np.asarray(seeds)))
    values = np.asarray(seeds)
    if values.size == 0:
        raise ValueError(
            "grid: seeds must have one leading axis that is not empty; for one value write a list "
            "of one"
        )
    if (
        values.dtype.kind not in "iu"
        or values.ndim != 1
        or values.min() < 0
        or values.max() > LARGEST_SEED
    ):
        raise ValueError(
            f"sweep: seeds must be whole numbers from 0 on, up to {LARGEST_SEED} (32 bits), got "
            f"{seeds!r}; pass seeds=5 or seeds=[0, 3]"
        )
    # The dtype of any other axis of integers, if they fit.
    return np.asarray(jnp.asarray(values)) if values.max() < 2**31 else values.astype(np.uint32)
