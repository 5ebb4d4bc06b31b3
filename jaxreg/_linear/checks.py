"""Checks of the arguments of linear paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._linear.programs import Data
from jaxreg._linear.tables import as_numbers
from jaxreg._typing import ArrayLike
from jaxreg.paths import check_strengths
from jaxreg.penalties import L1, ElasticNet, Group, GroupL2, Penalty, Weighted


def grouped(owner: str, penalty: Callable[[Any], Penalty]) -> bool:
    """Whether a penalty is one on the rows of w (groups, size), rather than on single weights.

    Raises:
        TypeError: it is not a function from a strength to one of the penalties that a linear path
            has.
        ValueError: features or groups have strengths of their own.
    """
    made = penalty(1.0) if callable(penalty) else None
    if isinstance(made, Penalty) and made.scheduled:
        raise TypeError(
            f"{owner}: penalty must be a function from λ to a penalty with numbers, got a "
            f"schedule: {made!r}"
        )
    own = base_of(made) if isinstance(made, Penalty) else made
    if isinstance(own, Penalty) and any(np.shape(leaf) != () for leaf in jax.tree.leaves(own)):
        raise ValueError(
            f"{owner}: expected one strength for all features, got {made!r} at λ = 1; for "
            "strengths of their own pass "
            "lambda s: jaxreg.Weighted(jaxreg.L1(s), factors)"
        )
    if isinstance(own, L1 | ElasticNet):
        return False
    known = isinstance(own, GroupL2) or (isinstance(own, Group) and isinstance(own.penalty, L1))
    if known and getattr(own, "axis", None) in (1, -1, (1,), (-1,)):
        return True
    raise TypeError(
        f"{owner}: penalty must be a function from λ to L1, ElasticNet, GroupL2(λ, axis=1) or "
        "Group(L1(λ), axis=1), alone "
        "or in Weighted, such as jaxreg.L1 or lambda s: jaxreg.ElasticNet(0.5 * s, 0.25 * s), "
        f"got {penalty!r}, at λ = 1 "
        f"{made!r}; jaxreg.fista takes any penalty"
    )


def check_factors(
    owner: str, penalty: Callable[[Any], Penalty], shape: tuple[int, ...]
) -> np.ndarray:
    """Returns the factors of features or groups (blocks,), 1 without `Weighted`.

    Args:
        owner: the function that the user called.
        penalty: from λ to a penalty.
        shape: of w, (features,) or (groups, size).

    Raises:
        TypeError: they are traced.
        ValueError: they have another shape, depend on λ, or are all 0.
    """
    made = penalty(1.0)
    if not isinstance(made, Weighted):
        return np.ones(shape[0])
    if isinstance(made.factors, jax.core.Tracer):
        raise TypeError(
            f"{owner}: factors must be numbers, as it is a compiled program itself; see "
            "jaxreg.fista"
        )
    factors = np.asarray(made.spread(jnp.zeros(shape))).reshape(shape[0])
    other = penalty(2.0)
    if not isinstance(other, Weighted) or np.any(
        np.asarray(other.factors) != np.asarray(made.factors)
    ):
        raise ValueError(
            f"{owner}: expected factors that are the same at every λ, got {made!r} at λ = 1 and "
            f"{other!r} at 2; write "
            "lambda s: jaxreg.Weighted(jaxreg.L1(s), factors)"
        )
    if not factors.any():
        raise ValueError(
            f"{owner}: expected a factor above 0, got {made!r}; without a penalty all λ have one "
            "solution"
        )
    return factors


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
    if any(hasattr(one, "todense") for one in (x, y)):
        raise TypeError(
            f"{owner}: x and y must be dense arrays, got {type(x).__name__} and "
            f"{type(y).__name__}; x.toarray()"
        )
    if any(np.ma.is_masked(one) for one in (x, y)):
        raise ValueError(
            f"{owner}: x and y must be complete, got masked numbers; drop or impute these rows"
        )
    x, y = as_numbers(owner, "x", x), as_numbers(owner, "y", y)
    axes = "(rows, groups, size)" if groups else "(rows, features)"
    if (
        np.ndim(x) != 2 + groups
        or np.ndim(y) != 1
        or np.shape(x)[0] != np.shape(y)[0]
        or not np.size(x)
    ):
        raise ValueError(
            f"{owner}: expected x {axes} and y (rows,) for this penalty, got shapes {np.shape(x)} "
            f"and {np.shape(y)}"
        )
    if isinstance(x, jax.core.Tracer) or isinstance(y, jax.core.Tracer):
        raise TypeError(
            f"{owner}: x and y must be arrays, as it is a compiled program itself; call it "
            "outside of jit and vmap"
        )
    if any(
        jnp.issubdtype(one.dtype, np.complexfloating) or one.dtype.kind in "OSU" for one in (x, y)
    ):
        raise TypeError(f"{owner}: x and y must be real numbers, got {x.dtype} and {y.dtype}")
    # Integers become the widest floats that there are, and neither x nor y loses digits to the
    # other.
    floats = [
        jnp.asarray(one if jnp.issubdtype(one.dtype, np.floating) else one.astype(float))
        for one in (x, y)
    ]
    dtype = jnp.promote_types(jnp.result_type(*floats), jnp.float32)
    columns, targets = (one.astype(dtype) for one in floats)
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
    return Data(blocks, targets, check_weights(owner, weights, len(targets), dtype))


def check_weights(owner: str, weights: ArrayLike | None, rows: int, dtype: Any) -> jax.Array | None:
    """Converts weights of rows to an array (rows,).

    Raises:
        TypeError: they are not real numbers.
        ValueError: they have another shape, or are negative, not finite or all 0.
    """
    if weights is None:
        return None
    found = np.asarray(as_numbers(owner, "sample_weight", weights))
    if found.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: sample_weight must be real numbers, got {found.dtype}")
    if found.shape != (rows,):
        raise ValueError(
            f"{owner}: expected sample_weight of shape ({rows},), one for each row, got "
            f"{found.shape}"
        )
    if not (np.isfinite(found) & (found >= 0)).all() or not found.any():
        raise ValueError(
            f"{owner}: expected a sample_weight of finite numbers of at least 0 that are not all "
            f"0, got {found}"
        )
    return jnp.asarray(found / found.max(), dtype)


def check_grid(
    owner: str, data: Data, gradient: Callable[[], jax.Array], penalty: Callable[[Any], Penalty],
    strengths: Any, count: int,
    ratio: float,
) -> np.ndarray:  # fmt: skip
    """Returns the strengths that were passed, or makes a grid of them, ascending and float64.

    Raises:
        TypeError: they are not numbers, or are traced.
        ValueError: they are not positive and strictly ascending, `count` or `ratio` is out of
            range, w = 0 is no solution at any λ.
    """
    if any(
        isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((strengths, penalty(1.0)))
    ):
        raise TypeError(
            f"{owner}: λ must be numbers, as it is a compiled program itself; for a gradient see "
            "jaxreg.fista"
        )
    if strengths is not None:
        grid = check_strengths(owner, strengths)
        if grid[0] <= 0:
            raise ValueError(
                f"{owner}: strengths must be positive, got {grid[0]:g}; without a penalty w is "
                "not unique"
            )
        return grid
    if (
        isinstance(count, bool)
        or not isinstance(count, int | np.integer)
        or count < 2
        or not 0 < ratio < 1
    ):
        raise ValueError(
            f"{owner}: expected count ≥ 2 and ratio in (0, 1), got count={count!r} and "
            f"ratio={ratio!r}"
        )
    made = base_of(penalty(1.0))
    critical = float(made.critical_strength(gradient()))
    # For a penalty that is proportional to λ.
    level = level_of(made)
    if level and critical == 0:
        # Targets that do not vary: w is 0 at every λ, and so in the unit of products of x and y.
        largest = float(jnp.max(jnp.abs(data.x)) * jnp.max(jnp.abs(data.y))) or 1.0
        return np.geomspace(largest * ratio, largest, int(count))
    largest = critical / level if level else np.inf
    if not 0 < largest < np.inf or not np.isclose(
        level_of(base_of(penalty(largest))), critical, rtol=1e-3
    ):
        raise ValueError(
            f"{owner}: found no λ from which on w is 0 (the gradient at w = 0 is {critical:g}); "
            "pass strengths"
        )
    return np.geomspace(largest * ratio, largest, int(count))


def check_penalties(owner: str, grid: np.ndarray, penalties: Penalty) -> None:
    """Checks the penalties of all λ, whose numbers are all strengths.

    Args:
        owner: the function that the user called.
        grid: strengths, ascending.
        penalties: one with arrays (strengths,) of its own, for the strengths descending.

    Raises:
        ValueError: a number is negative or not finite.
    """
    for leaf in jax.tree.leaves(penalties):
        numbers = np.broadcast_to(np.asarray(leaf), grid.shape)[::-1]
        wrong = ~(np.isfinite(numbers) & (numbers >= 0))
        if wrong.any():
            place = np.argmax(wrong)
            raise ValueError(
                f"{owner}: expected penalty(λ) with strengths that are finite and not negative, "
                "got one of "
                f"{numbers[place]:g} at λ = {grid[place]:g}"
            )


def base_of(penalty: Penalty) -> Penalty:
    """The penalty without its factors."""
    return penalty.penalty if isinstance(penalty, Weighted) else penalty


def level_of(penalty: Penalty) -> float:
    """The gradient from which on a penalty lets a block leave 0."""
    if isinstance(penalty, Group):
        return level_of(penalty.penalty)
    names = ("l1_strength", "strength")
    return float(next(getattr(penalty, name) for name in names if hasattr(penalty, name)))
