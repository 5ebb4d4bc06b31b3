"""Checks of the arguments of linear paths, and the data that their programs take."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from jaxreg._basis import even
from jaxreg.losses import Loss
from jaxreg.paths import check_grid, check_strengths
from jaxreg.penalties import Limited, Penalty, Weighted

DOUBLINGS = 60
"""How often λ is doubled, or halved, to find the largest λ of a grid."""


class Data(NamedTuple):
    """Rows of a data set.

    Attributes:
        columns: x by columns (features, all rows), a sparse matrix of SciPy's if x is one.
        y: targets, as the loss encodes them (all rows, …).
        weights: how much each row counts (all rows,); None counts all alike.
        offset: what is added to the predictions (all rows, …); None for nothing.
        rows: the indices of those that are meant; None means all.
        counted: 1 for each of `rows` and 0 for those that fill up the array; None counts all.
        free: columns without a penalty (all rows, columns); None for none.
        factors: of the penalty of each block (blocks, 1); None for 1.
        limits: of the weight of each block (blocks, 1), in the units of the data; None for none.
    """

    columns: jax.Array
    y: jax.Array
    weights: jax.Array | None = None
    offset: jax.Array | None = None
    rows: jax.Array | None = None
    counted: jax.Array | None = None
    free: jax.Array | None = None
    factors: jax.Array | None = None
    limits: tuple[jax.Array, jax.Array] | None = None

    @property
    def sparse(self) -> bool:
        """Whether x is a sparse matrix of SciPy's."""
        return hasattr(self.columns, "tocsc")

    def largest(self) -> float:
        """The largest |x|."""
        return float(abs(self.columns).max())

    def taken(self) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None, jax.Array]:
        """The columns, y, columns without a penalty and offset of the rows that are meant, and
        their shares: 1/rows, or (rows,).
        """
        columns, free = self.columns, self.free
        free = jnp.zeros((len(self.y), 0), columns.dtype) if free is None else free
        every = (self.y, free, self.offset, self.weights)
        if self.rows is not None:
            rows = np.asarray(self.rows) if self.sparse else self.rows
            columns, every = columns[:, rows], jax.tree.map(lambda leaf: leaf[rows], every)
        y, free, offset, weights = every
        if self.counted is not None:
            weights = self.counted if weights is None else self.counted * weights
        return columns, y, free, offset, even(y) if weights is None else weights / jnp.sum(weights)

    def part(self, rows: np.ndarray, length: int | None) -> Data:
        """Takes some rows and, for a length, fills their array up with rows that do not count."""
        if length is None or self.sparse:
            return self._replace(rows=jnp.asarray(rows))
        counted = jnp.asarray(np.arange(length) < len(rows), self.columns.dtype)
        return self._replace(rows=jnp.asarray(np.resize(rows, length)), counted=counted)

    def charged(self, charges: Charges) -> Data:
        """With the factors and limits of a penalty, and with features whose factor is 0 apart."""
        kept, dtype = charges.kept, self.columns.dtype
        factors, limits = charges.factors, charges.limits
        data = self
        if not kept.all():
            free = np.repeat(~kept, self.columns.shape[0] // len(kept))
            apart: Any = self.columns[free]
            apart = jnp.asarray(apart.toarray()) if self.sparse else apart
            data = data._replace(columns=self.columns[~free], free=apart.T)
        if factors is not None and (factors != 1).any():
            data = data._replace(factors=jnp.asarray(factors[factors > 0][:, None], dtype))
        if limits is not None:
            low, high = (jnp.asarray(limit[:, None], dtype) for limit in limits)
            data = data._replace(limits=(low, high))
        return data


class Charges(NamedTuple):
    """What a penalty asks of the programs.

    Attributes:
        shape: of the weights as the penalty sees them: (features,), (groups, size), or with outputs
            (features, outputs).
        size: weights in a block.
        jagged: whether there is a kink wherever a single weight of a block is 0.
        certified: whether there is a conjugate, for a duality gap.
        factors: of each block (blocks,); None without `Weighted`.
        limits: of each block (blocks,); None without `Limited`.
        kept: which features, or groups of x, have a penalty.
    """

    shape: tuple[int, ...]
    size: int
    jagged: bool
    certified: bool
    factors: np.ndarray | None
    limits: tuple[np.ndarray, np.ndarray] | None
    kept: np.ndarray


def check_penalty(
    owner: str, penalty: Callable[[Any], Penalty], shape: tuple[int, ...], outputs: int
) -> Charges:
    """Checks that linear paths can take a penalty.

    Args:
        owner: the function that the user called.
        penalty: from λ to a penalty.
        shape: of a row of x, (features,) or (groups, size).
        outputs: of the loss; 0 for predictions (rows,).

    Returns:
        What it asks of the programs.

    Raises:
        TypeError: it is no function from a strength to a penalty, or is traced.
        ValueError: features have strengths of their own without `Weighted`, groups are not the rows
            of w, factors or limits have another shape, depend on λ, or are all 0, a feature has
            limits without a penalty, or the penalty is infinitely steep at 0.
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
    base = base_of(made)
    if any(np.shape(leaf) != () for leaf in jax.tree.leaves(base)):
        raise ValueError(
            f"{owner}: expected one strength for all features, got {made!r} at λ = 1; for "
            "strengths of their own pass lambda s: jaxreg.Weighted(jaxreg.L1(s), factors)"
        )
    abilities = abilities_of(jax.tree.structure(base))
    if abilities.axes not in (None, (1,)):
        raise ValueError(
            f"{owner}: expected a penalty of features or of groups along axis 1, got {made!r}; "
            "pass lambda s: jaxreg.GroupL2(s, axis=1), say"
        )
    if abilities.steep:
        raise ValueError(
            f"{owner}: under {type(base).__name__} w = 0 is stationary at every λ, and a path "
            "would never leave it; pass jaxreg.LogSum, jaxreg.MCP or jaxreg.SCAD"
        )
    grouped = abilities.axes is not None
    check_groups(owner, grouped, shape, outputs)
    whole = (*shape, outputs) if outputs else shape
    size = whole[1] if grouped else 1
    factors = factors_of(owner, penalty, made, whole)
    limits = None
    if isinstance(made, Limited):
        low, high = (np.broadcast_to(np.asarray(at), whole).ravel() for at in (made.low, made.high))
        limits = (low, high)
    kept: np.ndarray = np.ones(shape[0], bool)
    if factors is not None:
        apart = (factors > 0).reshape(shape[0], -1)
        kept = np.asarray(apart.any(1))
        if (kept[:, None] != apart).any():
            raise ValueError(
                f"{owner}: expected a factor of 0 for all outputs of a feature or for none"
            )
        if limits is not None and not kept.all():
            raise ValueError(
                f"{owner}: a feature with a factor of 0 cannot have limits; give it a small factor"
            )
    return Charges(whole, size, abilities.jagged, abilities.certified, factors, limits, kept)


def check_groups(owner: str, grouped: bool, shape: tuple[int, ...], outputs: int) -> None:
    """Raises a ValueError unless a row of x has the shape that the penalty and the loss ask for."""
    if len(shape) == 2 and outputs:
        raise ValueError(
            f"{owner}: with several outputs expected x (rows, features), got groups of features; "
            "under jaxreg.GroupL2(s, axis=1) a group is a feature's weights for all outputs"
        )
    if len(shape) != (2 if grouped and not outputs else 1):
        axes = "(rows, groups, size)" if grouped else "(rows, features)"
        raise ValueError(f"{owner}: expected x {axes} for this penalty, got rows of shape {shape}")


def factors_of(
    owner: str, penalty: Callable[[Any], Penalty], made: Penalty, shape: tuple[int, ...]
) -> np.ndarray | None:
    """The factors of blocks (blocks,), which are the same at every λ; None without `Weighted`."""
    if not isinstance(made, Limited | Weighted):
        return None
    other = penalty(2.0)
    if isinstance(made, Limited):
        if not (
            isinstance(other, Limited)
            and np.array_equal(made.low, other.low)
            and np.array_equal(made.high, other.high)
        ):
            raise ValueError(
                f"{owner}: expected limits that are the same at every λ, got {made!r} at λ = 1 and "
                f"{other!r} at 2"
            )
        made, other = made.penalty, other.penalty
    if not isinstance(made, Weighted):
        return None
    factors = np.asarray(made.spread(jnp.zeros(shape))).ravel()
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
    return factors


class Abilities(NamedTuple):
    """What a kind of penalty can do.

    Attributes:
        axes: that groups run along; None for single weights.
        jagged: whether there is a kink wherever a single weight of a group is 0.
        certified: whether there is a conjugate.
        steep: whether 0 is stationary, whatever the gradient.
    """

    axes: tuple[int, ...] | None
    jagged: bool
    certified: bool
    steep: bool


@functools.lru_cache(64)
def abilities_of(structure: Any) -> Abilities:
    """Finds out what penalties of a structure can do."""
    leaves = [1.0] * structure.num_leaves
    penalty = jax.tree.unflatten(structure, leaves)
    square = np.zeros((2, 2), np.float32)
    axes = penalty.axes(square)
    try:
        for method in (penalty.conjugate, penalty.dual_scale):
            jax.eval_shape(method, square)
        certified = True
    except NotImplementedError:
        certified = False
    if axes is None and certified:
        return Abilities(None, False, True, False)
    still, pushed = kinks_of(penalty)
    return Abilities(axes, axes is not None and float(still) < 0.01, certified, float(pushed) == 0)


@jax.jit
def kinks_of(penalty: Penalty) -> tuple[jax.Array, jax.Array]:
    """How far a penalty of strength 1 is from stationary after a small push at a zero beside a
    nonzero weight, and after a large one where all are 0.
    """
    x, push = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 0.1]])
    beside = penalty.violation(x, push - penalty.subgradient(x))
    alone = penalty.violation(jnp.zeros((2, 2)), jnp.array([[1e6, -1e6]] * 2))
    return jnp.max(beside), jnp.max(alone)


def check_data(
    owner: str, x: Any, y: Any, loss: Loss, *, weights: Any = None, offset: Any = None,
    outputs: int | None = None,
) -> Data:  # fmt: skip
    """Converts the data to arrays.

    Args:
        owner: the function that the user called.
        x: (rows, features) or (rows, groups, size).
        y: (rows, …).
        loss: the loss.
        weights: how much each row counts (rows,), or None.
        offset: what is added to the predictions, in their shape, or None.
        outputs: how many the loss must have, or None.

    Raises:
        TypeError: the data are not real numbers, or are traced.
        ValueError: shapes do not fit, numbers are NaN, infinite or masked, or targets are none of
            the loss.
    """
    if hasattr(y, "todense"):
        raise TypeError(f"{owner}: y must be a dense array, got {type(y).__name__}; y.toarray()")
    sparse = hasattr(x, "todense")
    x = csc_of(owner, x) if sparse else x
    if any(np.ma.is_masked(array) for array in (x, y)):
        raise ValueError(
            f"{owner}: x and y must be complete, got masked numbers; drop or impute these rows"
        )
    x, y = x if sparse else as_numbers(owner, "x", x), as_numbers(owner, "y", y)
    if isinstance(x, jax.core.Tracer) or isinstance(y, jax.core.Tracer):
        raise TypeError(
            f"{owner}: x and y must be arrays, as it is a compiled program itself; call it "
            "outside of jit and vmap"
        )
    if y.dtype.names and len(y.dtype.names) == 2:  # an event and a time, in either order
        fields = sorted((y[name] for name in y.dtype.names), key=lambda field: field.dtype == bool)
        y = np.stack([field.astype(float) for field in fields], -1)
    if x.ndim not in (2, 3) or y.ndim not in (1, 2) or x.shape[0] != len(y) or 0 in x.shape:
        raise ValueError(
            f"{owner}: expected x (rows, features), or (rows, groups, size) for a penalty of "
            f"groups, and y (rows,), got shapes {x.shape} and {y.shape}"
        )
    if any(
        jnp.issubdtype(array.dtype, np.complexfloating) or array.dtype.kind in "OSUV"
        for array in (x, y)
    ):
        raise TypeError(f"{owner}: x and y must be real numbers, got {x.dtype} and {y.dtype}")
    # Integers become the widest floats that there are, and neither x nor y loses digits to the
    # other. In NumPy, as JAX would compile each of these operations.
    with jax.numpy_dtype_promotion("standard"):
        kinds = [a.dtype if jnp.issubdtype(a.dtype, np.floating) else float for a in (x, y)]
        widest = jax.dtypes.canonicalize_dtype(jnp.promote_types(*kinds))
        dtype = np.dtype(jnp.promote_types(widest, jnp.float32))
    targets = np.asarray(y).astype(dtype)
    with np.errstate(over="ignore"):  # which is found below
        x = x.astype(dtype) if sparse else np.asarray(x).astype(dtype, copy=False)
    values = x.data if sparse else x
    for name, array in (("x", values), ("y", targets)):
        with np.errstate(all="ignore"):
            # A sum takes a fifth of the time.
            finite = np.isfinite(array.sum()) or np.isfinite(array)
        if not np.all(finite):
            place = np.argwhere(~finite)[0]
            if sparse and name == "x":
                entries = x.tocoo()  # in the order of the numbers
                place = [int(part[place[0]]) for part in (entries.row, entries.col)]
            where = f"row {place[0]}" + "".join(f", column {at}" for at in place[1:])
            raise ValueError(
                f"{owner}: x and y must be finite, got NaN or infinity in {name} at {where}; drop "
                "or impute these rows"
            )
    try:
        encoded = loss.encode(targets, outputs)
    except ValueError as error:
        raise ValueError(f"{owner}: {error}") from None
    weights = check_weights(owner, weights, len(targets))
    if offset is not None:
        offset = check_offset(owner, offset, (len(targets), *encoded.shape[1:]), loss)
    if weights is not None and not weights.all():
        # A row that does not count must not overflow either.
        left_out = weights == 0
        offset = None if offset is None else np.where(left_out, 0, offset.T).T
        if sparse:
            x.data[left_out[x.indices]] = 0
            x.eliminate_zeros()
        else:
            values = values.copy()
            values[left_out] = 0
    # By columns, as the programs go through them.
    columns: Any = x.T if sparse else jax.device_put(values.reshape(len(targets), -1).T)
    y, weights, offset = (
        None if each is None else jax.device_put(np.asarray(each, dtype))
        for each in (encoded, weights, offset)
    )
    return Data(columns, y, weights, offset)


def check_offset(owner: str, given: Any, shape: tuple[int, ...], loss: Loss) -> np.ndarray:
    """Returns an offset for encoded targets of a shape; raises a ValueError if it is none."""
    shape = shape if loss.shifted else shape[:1]
    offset = np.asarray(as_numbers(owner, "offset", given))
    if offset.shape != shape or offset.dtype.kind not in "biuf" or not np.isfinite(offset).all():
        raise ValueError(
            f"{owner}: expected an offset of finite numbers of shape {shape}, got "
            f"{offset.dtype} of shape {offset.shape}"
        )
    return offset


def check_weights(owner: str, given: Any, rows: int) -> np.ndarray | None:
    """Returns the weights of rows as shares of the largest; None for none.

    Raises:
        TypeError: they are not real numbers.
        ValueError: they are not finite and at least 0, all are 0, or there is not one for each row.
    """
    if given is None:
        return None
    weights = np.asarray(as_numbers(owner, "sample_weight", given))
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: sample_weight must be real numbers, got {weights.dtype}")
    if weights.shape != (rows,):
        raise ValueError(
            f"{owner}: expected sample_weight of shape {(rows,)}, one for each row, got "
            f"{weights.shape}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError(
            f"{owner}: expected a sample_weight of finite numbers of at least 0, not all zero, got "
            f"{weights}"
        )
    return weights / weights.max()


def csc_of(owner: str, x: Any) -> Any:
    """A sparse matrix of SciPy's or JAX's, by columns and without explicit zeros.

    Raises:
        TypeError: it is one of JAX's in another form than BCOO (rows, features).
    """
    if isinstance(getattr(x, "data", None), jax.Array):
        if getattr(x, "n_batch", 1) or x.n_dense or x.ndim != 2 or hasattr(x, "indptr"):
            raise TypeError(
                f"{owner}: expected a BCOO of shape (rows, features) without batch and dense axes, "
                f"got {x!r}"
            )
        indices = np.asarray(x.indices)
        # JAX fills arrays up with entries outside of the shape, as in slices.
        inside = (indices < np.asarray(x.shape)).all(1)
        numbers = np.asarray(x.data)[inside], tuple(indices[inside].T)
        x = scipy.sparse.coo_array(numbers, x.shape)
    x = scipy.sparse.csc_array(x)
    if not (x.has_canonical_format and x.data.all()):
        x = x.copy()  # not the caller's arrays
        x.sum_duplicates()
        x.eliminate_zeros()
    return x


def outputs_of(loss: Loss, encoded: Any) -> int:
    """How many outputs a model has; 0 for predictions (rows,)."""
    return encoded.shape[1] if encoded.ndim == 2 and loss.shifted else 0


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
        largest = largest_strength(owner, penalty, data.limits, gradient())
    else:
        # Targets that do not vary: w is 0 at every λ, and so in the unit of products of x and y.
        largest = data.largest() * float(jnp.max(jnp.abs(data.y))) or 1.0
    return np.geomspace(largest * ratio, largest, int(count))


def largest_strength(
    owner: str, penalty: Callable[[Any], Penalty], limits: Any, gradient: jax.Array
) -> float:
    """The smallest λ at which w = 0 is optimal; raises a ValueError if there is none."""

    def violation(strength: float) -> float:
        return float(largest_violation(base_of(penalty(strength)), limits, gradient))

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
def largest_violation(penalty: Penalty, limits: Any, gradient: jax.Array) -> jax.Array:
    """How far w = 0 is from optimal."""
    limited = penalty if limits is None else Limited(penalty, *limits)
    return jnp.max(limited.violation(jnp.zeros_like(gradient), gradient))


def stack_penalties(
    owner: str, penalty: Callable[[Any], Penalty], strengths: np.ndarray, dtype: Any
) -> Penalty:
    """The penalties at all λ without limits and factors, as one with arrays (strengths,)."""
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
    """The penalty without its limits and factors."""
    return base_of(penalty.penalty) if isinstance(penalty, Limited | Weighted) else penalty
