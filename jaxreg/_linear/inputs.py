"""Checks of the arguments of linear paths, and the data that their programs take."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._losses import even
from jaxreg._typing import ArrayLike
from jaxreg.paths import check_grid, check_strengths
from jaxreg.penalties import Penalty, Weighted

DOUBLINGS = 60
"""How often λ is doubled, or halved, to find the largest λ of a grid."""


class Data(NamedTuple):
    """Rows of a data set.

    Attributes:
        x: (all rows, blocks, size).
        y: targets (all rows,).
        weights: how much each row counts (all rows,); None counts all alike.
        rows: the indices of those that are meant; None means all.
        counted: 1 for each of `rows` and 0 for those that fill up the array; None counts all.
        free: columns without a penalty (all rows, columns); None for none.
        factors: of the penalty of each block (blocks, 1); None for 1.
    """

    x: jax.Array
    y: jax.Array
    weights: jax.Array | None = None
    rows: jax.Array | None = None
    counted: jax.Array | None = None
    free: jax.Array | None = None
    factors: jax.Array | None = None

    def taken(self) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """The x, y and columns without a penalty of the rows that are meant, and their shares:
        1/rows, or (rows,).
        """
        free = jnp.zeros((len(self.y), 0), self.y.dtype) if self.free is None else self.free
        x, y, weights = self.x, self.y, self.weights
        if self.rows is not None:
            x, y, free = x[self.rows], y[self.rows], free[self.rows]
            weights = None if weights is None else weights[self.rows]
        if self.counted is not None:
            weights = self.counted if weights is None else self.counted * weights
        return x, y, free, even(y) if weights is None else weights / jnp.sum(weights)

    def part(self, rows: np.ndarray, length: int | None) -> Data:
        """Takes some rows and, for a length, fills their array up with rows that do not count."""
        if length is None:
            return self._replace(rows=jnp.asarray(rows))
        counted = jnp.asarray(np.arange(length) < len(rows), self.x.dtype)
        return self._replace(rows=jnp.asarray(np.resize(rows, length)), counted=counted)

    def split(self, factors: np.ndarray) -> Data:
        """Takes features or groups with a factor of 0 out of x."""
        if (factors == 1).all():
            return self
        charged, x = factors > 0, self.x
        return self._replace(
            x=x[:, charged],
            free=x[:, ~charged].reshape(len(x), -1),
            factors=jnp.asarray(factors[charged, None], x.dtype),
        )


def check_penalty(
    owner: str, penalty: Callable[[Any], Penalty], shape: tuple[int, ...]
) -> tuple[bool, np.ndarray]:
    """Checks that linear paths can take a penalty.

    Args:
        owner: the function that the user called.
        penalty: from λ to a penalty.
        shape: of w, (features,) or (groups, size).

    Returns:
        Whether it is a penalty of groups, the rows of w, and the factors of features or groups
        (blocks,), which are 1 without `Weighted`.

    Raises:
        NotImplementedError: it does not define `conjugate` and `dual_scale`.
        TypeError: it is no function from a strength to a penalty, or is traced.
        ValueError: features have strengths of their own without `Weighted`, groups are not the rows
            of w, or factors have another shape, depend on λ, or are all 0.
    """
    made = penalty(1.0) if callable(penalty) else None
    if not isinstance(made, Penalty) or made.scheduled:
        raise TypeError(
            f"{owner}: penalty must be a function from λ to a penalty with numbers, such as "
            "jaxreg.L1 or lambda s: jaxreg.ElasticNet(0.5 * s, 0.25 * s), got "
            f"{penalty if made is None else made!r}"
        )
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(made)):
        raise TypeError(
            f"{owner}: λ and factors must be numbers, as it is a compiled program itself; for a "
            "gradient see jaxreg.fista"
        )
    if any(np.shape(leaf) != () for leaf in jax.tree.leaves(base_of(made))):
        raise ValueError(
            f"{owner}: expected one strength for all features, got {made!r} at λ = 1; for "
            "strengths of their own pass lambda s: jaxreg.Weighted(jaxreg.L1(s), factors)"
        )
    axes = axes_of(jax.tree.structure(base_of(made)))
    if axes not in (None, (1,)):
        raise ValueError(
            f"{owner}: expected a penalty of features or of groups along axis 1, got {made!r}; "
            "pass lambda s: jaxreg.GroupL2(s, axis=1), say"
        )
    if not isinstance(made, Weighted):
        return axes is not None, np.ones(shape[0])
    factors = np.asarray(made.spread(jnp.zeros(shape))).reshape(shape[0])
    other = penalty(2.0)
    if not isinstance(other, Weighted) or np.any(
        np.asarray(other.factors) != np.asarray(made.factors)
    ):
        raise ValueError(
            f"{owner}: expected factors that are the same at every λ, got {made!r} at λ = 1 and "
            f"{other!r} at 2; write lambda s: jaxreg.Weighted(jaxreg.L1(s), factors)"
        )
    if not factors.any():
        raise ValueError(
            f"{owner}: expected a factor above 0, got {made!r}; without a penalty all λ have one "
            "solution"
        )
    return axes is not None, factors


@functools.lru_cache(64)
def axes_of(structure: Any) -> tuple[int, ...] | None:
    """The axes that groups run along in a penalty of this structure, which must define what a
    duality gap needs.
    """
    penalty = jax.tree.unflatten(structure, [1.0] * structure.num_leaves)
    square = jnp.zeros((2, 2))
    for method in (penalty.conjugate, penalty.dual_scale):
        jax.eval_shape(method, square)
    return penalty.axes(square)


def check_data(
    owner: str, x: Any, y: Any, weights: ArrayLike | None, loss: str, varied: bool, groups: bool
) -> Data:
    """Converts the data to arrays, with x (rows, blocks, size).

    Args:
        owner: the function that the user called.
        x: (rows, features), or (rows, groups, size) with `groups`.
        y: (rows,).
        weights: how much each row counts (rows,), or None.
        loss: "squares" or "logistic".
        varied: whether logistic targets must be of both classes.
        groups: whether the penalty is one on groups.

    Raises:
        TypeError: the data are not real numbers, or are traced.
        ValueError: shapes do not fit, numbers are NaN, infinite or masked, or logistic targets are
            not 0 and 1.
    """
    if any(hasattr(array, "todense") for array in (x, y)):
        raise TypeError(
            f"{owner}: x and y must be dense arrays, got {type(x).__name__} and "
            f"{type(y).__name__}; x.toarray()"
        )
    if any(np.ma.is_masked(array) for array in (x, y)):
        raise ValueError(
            f"{owner}: x and y must be complete, got masked numbers; drop or impute these rows"
        )
    x, y = as_numbers(owner, "x", x), as_numbers(owner, "y", y)
    if isinstance(x, jax.core.Tracer) or isinstance(y, jax.core.Tracer):
        raise TypeError(
            f"{owner}: x and y must be arrays, as it is a compiled program itself; call it "
            "outside of jit and vmap"
        )
    axes = "(rows, groups, size)" if groups else "(rows, features)"
    if x.ndim != 2 + groups or y.ndim != 1 or len(x) != len(y) or not x.size:
        raise ValueError(
            f"{owner}: expected x {axes} and y (rows,) for this penalty, got shapes {x.shape} and "
            f"{y.shape}"
        )
    if any(
        jnp.issubdtype(array.dtype, np.complexfloating) or array.dtype.kind in "OSU"
        for array in (x, y)
    ):
        raise TypeError(f"{owner}: x and y must be real numbers, got {x.dtype} and {y.dtype}")
    # Integers become the widest floats that there are, and neither x nor y loses digits to the
    # other.
    floats = [
        jnp.asarray(array if jnp.issubdtype(array.dtype, np.floating) else array.astype(float))
        for array in (x, y)
    ]
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.promote_types(jnp.result_type(*floats), jnp.float32)
    columns, targets = (array.astype(dtype) for array in floats)
    if not bool(jnp.isfinite(columns).all() & jnp.isfinite(targets).all()):
        raise ValueError(
            f"{owner}: x and y must be finite, got NaN or infinity; drop or impute these rows"
        )
    if loss == "logistic":
        values = np.unique(np.asarray(targets))
        if not np.isin(values, (0, 1)).all() or (varied and len(values) < 2):
            raise ValueError(
                f"{owner}: logistic loss needs targets 0 and 1, both of them, got {values[:5]}"
            )
    blocks = columns.reshape(len(columns), columns.shape[1], -1)
    if weights is None:
        return Data(blocks, targets)
    weights = np.asarray(as_numbers(owner, "sample_weight", weights))
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: sample_weight must be real numbers, got {weights.dtype}")
    if weights.shape != targets.shape:
        raise ValueError(
            f"{owner}: expected sample_weight of shape {targets.shape}, one for each row, got "
            f"{weights.shape}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError(
            f"{owner}: expected a sample_weight of finite numbers of at least 0 that are not all "
            f"0, got {weights}"
        )
    return Data(blocks, targets, jnp.asarray(weights / weights.max(), dtype))


def as_numbers(owner: str, name: str, given: Any) -> Any:
    """Converts a table of pandas or polars, or a column of one, to an array of numbers; other
    things become NumPy's array of them.

    Args:
        owner: the function that the user called.
        name: of the argument.
        given: a table with named columns of numbers, bools or nullable numbers, a series, or an
            array.

    Raises:
        TypeError: a column does not hold numbers.
        ValueError: a number is missing.
    """
    if isinstance(given, jax.core.Tracer | np.ndarray):
        return given
    if isinstance(given, jax.Array):
        single = isinstance(given.sharding, jax.sharding.SingleDeviceSharding)
        # What is sharded over devices comes together on one.
        return given if single else np.asarray(given)
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):
        columns = [
            column_of(owner, f"column {label!r} of {name}", given[label]) for label in given.columns
        ]
        return np.stack(columns, 1) if columns else np.empty((len(given), 0))
    return column_of(owner, name, given) if hasattr(given, "to_numpy") else np.asarray(given)


def column_of(owner: str, name: str, series: Any) -> np.ndarray:
    """Converts one column."""
    values = np.asarray(series.to_numpy())
    missing = sum(
        value is None or type(value).__name__ == "NAType" or value != value
        for value in values.tolist()
    )
    if missing:
        raise ValueError(f"{owner}: {name} has {missing} missing values; drop or impute these rows")
    if values.dtype.kind in "iuf":
        return values
    if all(isinstance(value, int | float) for value in values.tolist()):
        return values.astype(float)
    raise TypeError(
        f"{owner}: {name} must hold numbers, got {values.dtype} such as "
        f"{next(iter(values), None)!r}; drop it, or make numbers of it, for categories by "
        "pandas.get_dummies, say"
    )


def choose_strengths(
    owner: str, data: Data, gradient: Callable[[], jax.Array], penalty: Callable[[Any], Penalty],
    strengths: Any, count: int, ratio: float,
) -> np.ndarray:  # fmt: skip
    """Returns the strengths that were passed, or a geometric grid of them, ascending and float64.

    Raises:
        TypeError: they are not numbers, or are traced.
        ValueError: they are not positive and strictly ascending, `count` or `ratio` is out of
            range, or w = 0 is no solution at any λ.
    """
    if isinstance(strengths, jax.core.Tracer) or any(
        isinstance(strength, jax.core.Tracer) for strength in jax.tree.leaves(strengths)
    ):
        raise TypeError(
            f"{owner}: λ must be numbers, as it is a compiled program itself; for a gradient see "
            "jaxreg.fista"
        )
    if strengths is not None:
        passed = check_strengths(owner, strengths)
        if passed[0] <= 0:
            raise ValueError(
                f"{owner}: strengths must be positive, got {passed[0]:g}; without a penalty w is "
                "not unique"
            )
        return passed
    check_grid(owner, count, ratio)
    if jnp.any(gradient() != 0):
        largest = largest_strength(owner, penalty, gradient())
    else:
        # Targets that do not vary: w is 0 at every λ, and so in the unit of products of x and y.
        largest = float(jnp.max(jnp.abs(data.x)) * jnp.max(jnp.abs(data.y))) or 1.0
    return np.geomspace(largest * ratio, largest, int(count))


def largest_strength(owner: str, penalty: Callable[[Any], Penalty], gradient: jax.Array) -> float:
    """The smallest λ at which w = 0 is optimal; raises a ValueError if there is none."""

    def violation(strength: float) -> float:
        return float(largest_violation(base_of(penalty(strength)), gradient))

    high = float(jnp.max(jnp.abs(gradient)))
    for _ in range(DOUBLINGS):
        if violation(high) <= 0:
            break
        high *= 2
    low = high / 2
    for _ in range(DOUBLINGS):
        if violation(low) > 0:
            break
        low, high = low / 2, low
    first, second = violation(low), violation(low / 2)
    if not violation(high) <= 0 < first < second:
        raise ValueError(
            f"{owner}: found no λ from which on w is 0 (the gradient at w = 0 is "
            f"{float(jnp.max(jnp.abs(gradient))):g}); pass strengths"
        )
    # Where the penalty is proportional to λ the violation is linear in λ, and the first two of
    # these are as close as it gets.
    root, tiny = low * (1 + first / (second - first) / 2), 4 * float(jnp.finfo(gradient).eps)
    tried = [root * (1 - tiny), root * (1 + tiny)]
    while high - low > 3 * tiny * high:
        middle = tried.pop() if tried else (low + high) / 2
        if low < middle < high:
            low, high = (low, middle) if violation(middle) <= 0 else (middle, high)
    return high


@jax.jit
def largest_violation(penalty: Penalty, gradient: jax.Array) -> jax.Array:
    """How far w = 0 is from optimal."""
    return jnp.max(penalty.violation(jnp.zeros_like(gradient), gradient))


def stack_penalties(
    owner: str, penalty: Callable[[Any], Penalty], strengths: np.ndarray, dtype: Any
) -> Penalty:
    """The penalties at all λ without their factors, as one with arrays (strengths,)."""
    for strength in strengths[[0, -1]]:
        penalty(float(strength))  # which checks numbers; under vmap they are traced
    stacked = jax.vmap(lambda strength: base_of(penalty(strength)))(jnp.asarray(strengths, dtype))
    for leaf in jax.tree.leaves(stacked):
        if not (finite := np.isfinite(leaf)).all():
            raise ValueError(
                f"{owner}: expected penalty(λ) with finite numbers, got {leaf[~finite][0]} at "
                f"λ = {strengths[~finite][0]:g}"
            )
    return stacked


def base_of(penalty: Penalty) -> Penalty:
    """The penalty without its factors."""
    return penalty.penalty if isinstance(penalty, Weighted) else penalty
