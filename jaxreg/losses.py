"""The losses of linear models, as functions of linear predictions z and targets y.

    path = jaxreg.fit_linear_path(x, counts, jaxreg.L1, loss="poisson")  # by name
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, loss=jaxreg.losses.Huber(delta=1.35))

The loss of a model is the mean over rows, or the weighted mean. A loss of your own needs one
method, the value of each row:

    class Gamma(jaxreg.losses.Loss):
        def value(self, z, y):
            return z + y * jnp.exp(-z)
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import xlogy

from jaxreg._basis import Directions, by_rows, profile, projected
from jaxreg._checks import check_above

__all__ = ("Cox", "Huber", "Logistic", "Loss", "Multinomial", "Poisson", "Squares")

BALANCING = 100
"""The most Newton steps to the minimum without a penalty."""
ARMIJO = 1e-4
"""The share of the expected decrease that a step must reach."""
FLOOR = 1e-3
"""The least curvature of a row that Huber's loss reports, where its own is 0: with no row inside δ
there would be no Newton step.
"""


class Loss(abc.ABC):
    """A convex and smooth loss, a sum over rows. Instances are hashable, as programs are compiled
    for them.

    A subclass defines `value`. `slope` and `curvature` have defaults by differentiation.
    `conjugate` is what a duality gap needs; without it, a path has KKT residuals alone.
    """

    name: ClassVar[str] = "the"
    shifted: ClassVar[bool] = True
    """Whether a constant that is added to all predictions changes the loss; without, there is no
    intercept.
    """

    invariant: ClassVar[bool] = False
    """Whether the same number added to all outputs of a row changes nothing; what has no penalty
    sums to 0 over the outputs then.
    """

    @abc.abstractmethod
    def value(self, z: jax.Array, y: Any) -> jax.Array:
        """Computes the loss of each row.

        Args:
            z: linear predictions (rows,), or (rows, outputs).
            y: targets, as `encode` returns them.

        Returns:
            (rows,)
        """

    def slope(self, z: jax.Array, y: Any) -> jax.Array:
        """Computes the derivative of each row's loss by its predictions, in the shape of z."""
        return jax.grad(lambda z: jnp.sum(self.value(z, y)))(z)

    def curvature(self, z: jax.Array, y: Any) -> jax.Array:
        """Computes the second derivative of each row's loss, at least 0.

        Returns:
            In the shape of z; or, where outputs depend on each other, (rows, outputs, outputs).
        """
        if z.ndim == 1:
            return jax.jvp(lambda z: self.slope(z, y), (z,), (jnp.ones_like(z),))[1]
        units = jnp.broadcast_to(jnp.eye(z.shape[1])[:, None], (z.shape[1], *z.shape))
        along = jax.vmap(lambda unit: jax.jvp(lambda z: self.slope(z, y), (z,), (unit,))[1])
        return jnp.moveaxis(along(units.astype(z.dtype)), 0, -1)

    def conjugate(self, v: jax.Array, y: Any) -> jax.Array:
        """Computes the convex conjugate of each row's loss at slopes v.

        It is called at fractions of slopes, where it is finite.

        Args:
            v: in the shape of z.
            y: targets.

        Returns:
            (rows,)

        Raises:
            NotImplementedError: it is not defined.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define conjugate(v, y)")

    def mean(self, z: jax.Array) -> jax.Array:
        """Computes expected targets, such as probabilities or rates: the inverse of the link."""
        return z

    def encode(self, y: np.ndarray, outputs: int | None = None) -> np.ndarray:
        """Checks targets, and brings them into the form that the other methods take.

        Args:
            y: real and finite numbers (rows, …).
            outputs: how many outputs there are, where other rows have decided that.

        Raises:
            ValueError: they are none of this loss; the message goes behind the caller's name.
        """
        del outputs
        if y.ndim != 1:
            raise ValueError(f"{self.name} loss needs targets (rows,), got shape {y.shape}")
        return y

    def lacking(self, y: np.ndarray) -> str | None:
        """Says what encoded targets lack for a model to have a minimum; None if nothing."""
        del y
        return None

    def arrange(self, y: jax.Array, share: jax.Array) -> Any:
        """Computes once, for all predictions, what the other methods need of the targets."""
        del share
        return y

    def total(self, z: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        """Computes F(z), the sum of the rows' losses times their shares: 1/rows, or (rows,)."""
        return jnp.sum(share * self.value(z, y))

    def rounding(self, z: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        """Estimates the rounding of F(z), whose rows may cancel."""
        return 8 * jnp.finfo(z.dtype).eps * jnp.sum(jnp.abs(share * self.value(z, y)))

    def gradient(self, z: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        """Computes the gradient of F."""
        return by_rows(share, self.slope(z, y))

    def form(
        self, z: jax.Array, y: Any, share: jax.Array
    ) -> Callable[[Directions, Directions], jax.Array]:
        """Makes a function that computes aᵀF''(z)b for all pairs of some directions."""
        curvature = by_rows(share, self.curvature(z, y))
        if z.ndim == 1:
            return lambda a, b: (a.rows * curvature) @ b.rows.T
        if curvature.ndim == 2:
            return functools.partial(within_outputs, curvature.T)
        sizes, vectors = jnp.linalg.eigh(curvature)
        roots = vectors * jnp.sqrt(jnp.maximum(sizes, 0))[:, None]
        columns = jnp.moveaxis(roots, 0, -1).swapaxes(0, 1)

        def product(a: Directions, b: Directions) -> jax.Array:
            return sum(
                (a.rows * column[a.outputs]) @ (b.rows * column[b.outputs]).T for column in columns
            )

        return product

    def dual(self, z: jax.Array, scale: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        """Computes the conjugate of F, or a number above it, at a fraction of its gradient."""
        return jnp.sum(share * self.conjugate(scale * self.slope(z, y), y))

    def balance(self, basis: jax.Array, z: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        """Computes z + basis·c for the c that minimises F(z + basis·c)."""
        outputs = z.shape[1] if z.ndim > 1 else 0
        return self.settle(Directions.of(basis, outputs), z, y, share)[0]

    def settle(
        self, along: Directions, z: jax.Array, y: Any, share: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Moves predictions along some directions to the minimum of F.

        By Newton's method, with steps that are halved until the loss falls. Where there is no
        minimum, as along a direction that separates classes, the steps end after `BALANCING`.

        Returns:
            The predictions, the coefficients (directions,) that were added, and the derivative by
            them that is left, as a share of what its terms sum to without their signs.
        """
        limits, outputs = jnp.finfo(z.dtype), z.shape[1] if z.ndim > 1 else 0
        if not len(along.rows):
            return z, jnp.zeros(0, z.dtype), jnp.zeros([], z.dtype)

        def improve(now: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            z, added, part, left, count = now
            slope, value = self.gradient(z, y, share), self.total(z, y, share)
            unbalanced = along.along(slope)
            step = profile(self.form(z, y, share)(along, along))(unbalanced)
            tried = z - part * along.combine(step, outputs)
            enough = self.total(tried, y, share) <= value + self.rounding(
                z, y, share
            ) - ARMIJO * part * (unbalanced @ step)
            sizes = along._replace(rows=jnp.abs(along.rows)).along(jnp.abs(slope))
            left = jnp.max(jnp.abs(unbalanced) / (sizes + limits.tiny))
            return (
                jnp.where(enough, tried, z), jnp.where(enough, added - part * step, added),
                jnp.where(enough, 1, part / 2), left, count + 1,
            )  # fmt: skip

        def unfinished(now: tuple[jax.Array, ...]) -> jax.Array:
            return (now[3] > 4 * limits.eps) & (now[2] > limits.eps) & (now[4] < BALANCING)

        whole = jnp.ones([], z.dtype)
        added = jnp.zeros(len(along.rows), z.dtype)
        start: tuple[jax.Array, ...] = (z, added, whole, whole, jnp.zeros([], jnp.int32))
        z, added, _, left, _ = jax.lax.while_loop(unfinished, improve, start)
        return z, added, left


def inner(a: jax.Array, b: jax.Array) -> jax.Array:
    """The sum of products: as one of vectors, which are not copied, unless JAX would have to be
    told where the result of sharded ones lies.
    """
    sharded = any(place is not None for place in jax.typeof(a).sharding.spec)
    return jnp.sum(a * b) if sharded else jnp.vdot(a, b)


def within_outputs(curvature: jax.Array, a: Directions, b: Directions) -> jax.Array:
    """The form of a second derivative (outputs, rows) that is diagonal."""
    assert a.outputs is not None and b.outputs is not None
    products = (a.rows * curvature[a.outputs]) @ b.rows.T
    return jnp.where(a.outputs[:, None] == b.outputs, products, 0)


@dataclasses.dataclass(frozen=True)
class Squares(Loss):
    """½ Σₖ (zₖ − yₖ)², over one output or several."""

    name = "squares"

    def value(self, z: jax.Array, y: Any) -> jax.Array:
        squares = jnp.square(z - y) / 2
        return squares if z.ndim == 1 else jnp.sum(squares, 1)

    def slope(self, z: jax.Array, y: Any) -> jax.Array:
        return z - y

    def curvature(self, z: jax.Array, y: Any) -> jax.Array:
        return jnp.ones_like(z)

    def form(
        self, z: jax.Array, y: Any, share: jax.Array
    ) -> Callable[[Directions, Directions], jax.Array]:
        if z.ndim > 1 or share.ndim:
            return super().form(z, y, share)
        # Without a copy of a that is multiplied by the share.
        return lambda a, b: share * (a.rows @ b.rows.T)

    def conjugate(self, v: jax.Array, y: Any) -> jax.Array:
        each = v * (v / 2 + y)
        return each if v.ndim == 1 else jnp.sum(each, 1)

    def encode(self, y: np.ndarray, outputs: int | None = None) -> np.ndarray:
        if y.ndim not in (1, 2) or not y.size:
            raise ValueError(f"expected y (rows,) or (rows, outputs), got shape {y.shape}")
        if outputs is not None and (y.shape[1] if y.ndim == 2 else 0) != outputs:
            raise ValueError(f"expected {outputs or 'no axis of'} outputs, got shape {y.shape}")
        return y

    def total(self, z: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        return inner(z - y, by_rows(share, z - y)) / 2

    def dual(self, z: jax.Array, scale: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        # The sums do not need the scale, which is known last.
        slopes = by_rows(share, z - y)
        return scale * (scale / 2 * inner(z - y, slopes) + inner(slopes, y))

    def balance(self, basis: jax.Array, z: jax.Array, y: Any, share: jax.Array) -> jax.Array:
        return y - projected((y - z).T, basis, share)[0].T


@dataclasses.dataclass(frozen=True)
class Logistic(Loss):
    """log(1 + exp z) − y·z for targets 0 and 1, where z are log-odds."""

    name = "logistic"

    def value(self, z: jax.Array, y: Any) -> jax.Array:
        return optax.sigmoid_binary_cross_entropy(z, y)

    def slope(self, z: jax.Array, y: Any) -> jax.Array:
        return jax.nn.sigmoid(z) - y

    def curvature(self, z: jax.Array, y: Any) -> jax.Array:
        return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)

    def conjugate(self, v: jax.Array, y: Any) -> jax.Array:
        # Between the target and the prediction.
        probability = jnp.clip(v + y, 0, 1)
        return xlogy(probability, probability) + xlogy(1 - probability, 1 - probability)

    def mean(self, z: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(z)

    def encode(self, y: np.ndarray, outputs: int | None = None) -> np.ndarray:
        y = super().encode(y, outputs)
        if not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"logistic loss needs targets 0 and 1, got {np.unique(y)[:5]}; pass (y + 1) / 2 if "
                "they are −1 and 1"
            )
        return y

    def lacking(self, y: np.ndarray) -> str | None:
        values = np.unique(y)
        if len(values) == 2:
            return None
        return f"logistic loss needs targets 0 and 1, both of them, got only {values}"


@dataclasses.dataclass(frozen=True)
class Poisson(Loss):
    """exp z − y·z for counts y, where z are logarithms of rates; the negative log-likelihood is
    this and log y!, which no weight changes.

    For an exposure, such as a time of observation, pass its logarithm as `offset`.
    """

    name = "poisson"

    def value(self, z: jax.Array, y: Any) -> jax.Array:
        return jnp.exp(z) - y * z

    def slope(self, z: jax.Array, y: Any) -> jax.Array:
        return jnp.exp(z) - y

    def curvature(self, z: jax.Array, y: Any) -> jax.Array:
        return jnp.exp(z)

    def conjugate(self, v: jax.Array, y: Any) -> jax.Array:
        rate = jnp.maximum(v + y, 0)
        return xlogy(rate, rate) - rate

    def mean(self, z: jax.Array) -> jax.Array:
        return jnp.exp(z)

    def encode(self, y: np.ndarray, outputs: int | None = None) -> np.ndarray:
        y = super().encode(y, outputs)
        wrong = y[(y < 0) | (y != np.floor(y))]
        if wrong.size:
            raise ValueError(
                f"poisson loss needs counts, whole numbers of at least 0, got {wrong[0]:g}; for "
                "rates pass the counts, and the logarithm of the exposure as offset"
            )
        return y

    def lacking(self, y: np.ndarray) -> str | None:
        return None if y.any() else "poisson loss needs a count above 0, got only 0"


@dataclasses.dataclass(frozen=True)
class Huber(Loss):
    """½ r² for |r| ≤ δ and δ|r| − ½ δ² beyond, of the residual r = z − y: squares, whose outliers
    count linearly.

    Args:
        delta: δ > 0, in units of y.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """

    name = "huber"
    delta: float = 1.35

    def __post_init__(self) -> None:
        check_above("Huber", "delta", self.delta, 0, "1.35 times the standard deviation of noise")

    def value(self, z: jax.Array, y: Any) -> jax.Array:
        inside = self.slope(z, y)
        return inside * (z - y - inside / 2)

    def slope(self, z: jax.Array, y: Any) -> jax.Array:
        return jnp.clip(z - y, -self.delta, self.delta)

    def curvature(self, z: jax.Array, y: Any) -> jax.Array:
        return jnp.where(jnp.abs(z - y) <= self.delta, 1, FLOOR).astype(z.dtype)

    def conjugate(self, v: jax.Array, y: Any) -> jax.Array:
        return v * (v / 2 + y)


@dataclasses.dataclass(frozen=True)
class Multinomial(Loss):
    """log Σₖ exp zₖ − z at the row's class, for classes 0, 1, …; weights are (features, classes),
    all of which have a penalty.

    `L1` sees single weights, and `GroupL2(λ, axis=1)` the weights of a feature for all classes.
    Probabilities do not change if the weights of a feature move by the same number in all classes;
    of an even number of classes L1 leaves that open between the two middle ones, so that weights
    are not unique there.
    """

    name = "multinomial"
    invariant = True

    def value(self, z: jax.Array, y: Any) -> jax.Array:
        # The largest term of Σ exp(zₖ − max z) is 1, and apart, so that losses near 0 keep their
        # digits.
        largest = jax.lax.stop_gradient(jnp.max(z, 1, keepdims=True))
        first = jax.nn.one_hot(jnp.argmax(z, 1), z.shape[1], dtype=bool)
        others = jnp.sum(jnp.where(first, jnp.expm1(z - largest), jnp.exp(z - largest)), 1)
        return largest[:, 0] - jnp.sum(y * z, 1) + jnp.log1p(others)

    def slope(self, z: jax.Array, y: Any) -> jax.Array:
        return jax.nn.softmax(z, 1) - y

    def conjugate(self, v: jax.Array, y: Any) -> jax.Array:
        probability = jnp.clip(v + y, 0, 1)
        return jnp.sum(xlogy(probability, probability), 1)

    def mean(self, z: jax.Array) -> jax.Array:
        return jax.nn.softmax(z, -1)

    def form(
        self, z: jax.Array, y: Any, share: jax.Array
    ) -> Callable[[Directions, Directions], jax.Array]:
        probability = jax.nn.softmax(z, 1)
        diagonal = functools.partial(within_outputs, by_rows(share, probability).T)
        root = by_rows(jnp.sqrt(share), probability).T

        def product(a: Directions, b: Directions) -> jax.Array:
            return diagonal(a, b) - (a.rows * root[a.outputs]) @ (b.rows * root[b.outputs]).T

        return product

    def encode(self, y: np.ndarray, outputs: int | None = None) -> np.ndarray:
        y = super().encode(y)
        wrong = y[(y < 0) | (y != np.floor(y))]
        if wrong.size:
            raise ValueError(
                f"multinomial loss needs classes 0, 1, …, got {wrong[0]:g}; "
                "np.unique(y, return_inverse=True)[1] numbers them"
            )
        count = int(y.max()) + 1 if outputs is None else outputs
        if y.max() >= count:
            raise ValueError(f"expected classes below {count}, as in x and y, got {y.max():g}")
        if count > len(y) and outputs is None:
            raise ValueError(
                f"multinomial loss needs a row for each class 0, 1, …, got {len(y)} rows and the "
                f"class {count - 1}; np.unique(y, return_inverse=True)[1] numbers classes"
            )
        return (y[:, None] == np.arange(count)).astype(y.dtype)

    def lacking(self, y: np.ndarray) -> str | None:
        absent = np.flatnonzero(~y.any(0))
        if absent.size:
            return f"multinomial loss needs rows of every class, got none of class {absent[0]}"
        return None if y.shape[1] > 1 else "multinomial loss needs at least 2 classes, got 1"


class Risk(NamedTuple):
    """Times and events of the Cox model, in the order of the rows or, where it says so, sorted from
    the last time.

    Attributes:
        event: 1 where it happened, 0 where the row is censored.
        order: the rows, sorted.
        place: of each row among the sorted ones.
        first: the first sorted place with the time of each row.
        last: the last one, up to which the rows of its risk set lie.
        weight: of the rows in risk sets.
    """

    event: jax.Array
    order: jax.Array
    place: jax.Array
    first: jax.Array
    last: jax.Array
    weight: jax.Array


@dataclasses.dataclass(frozen=True)
class Cox(Loss):
    """The partial likelihood of the Cox model, with ties as Breslow has them: at each event, log
    Σⱼ exp zⱼ over the rows that are at risk, minus z; where z are logarithms of hazards.

    The loss is the mean over all rows, not over events. It has no intercept. Targets are (rows, 2),
    times above 0 and events 0 or 1, or an array with such fields.

    Source: Cox, Regression models and life-tables (1972); Breslow's discussion of it; Simon,
        Friedman, Hastie and Tibshirani, Regularization paths for Cox's proportional hazards model
        via coordinate descent (2011).
    """

    name = "cox"
    shifted = False

    def value(self, z: jax.Array, y: Risk) -> jax.Array:
        return y.event * (self.at_risk(z, y)[1] - z)

    def mean(self, z: jax.Array) -> jax.Array:
        """The hazard, as a multiple of that at z = 0."""
        return jnp.exp(z)

    def encode(self, y: np.ndarray, outputs: int | None = None) -> np.ndarray:
        if y.ndim != 2 or y.shape[1] != 2:
            raise ValueError(
                "cox loss needs y (rows, 2), a time and an event, 0 or 1, for each row, got shape "
                f"{y.shape}"
            )
        if not np.isin(y[:, 1], (0, 1)).all():
            raise ValueError(f"cox loss needs events 0 and 1, got {np.unique(y[:, 1])[:5]}")
        if not (y[:, 0] > 0).all():
            raise ValueError(f"cox loss needs times above 0, got {y[:, 0].min():g}")
        return y

    def lacking(self, y: np.ndarray) -> str | None:
        return None if y[:, 1].any() else "cox loss needs an event, got censored rows alone"

    def arrange(self, y: jax.Array, share: jax.Array) -> Risk:
        time, event = y.T
        share = jnp.broadcast_to(share, time.shape)
        order = jnp.argsort(-time, stable=True)
        falling = -time[order]
        place = jnp.argsort(order)
        first = jnp.searchsorted(falling, -time, side="left")
        last = jnp.searchsorted(falling, -time, side="right") - 1
        return Risk(event, order, place, first, last, share * jnp.sum(share > 0))

    def at_risk(self, z: jax.Array, y: Risk) -> tuple[jax.Array, jax.Array]:
        """Each row's part of risk sets, in units of the largest, and the logarithm of the sum over
        the risk set at its time.
        """
        largest = jnp.max(z)
        part = y.weight * jnp.exp(z - largest)
        total = self.up_to(part, y)
        return part, largest + jnp.log(jnp.maximum(total, jnp.finfo(z.dtype).tiny))

    def up_to(self, numbers: jax.Array, y: Risk) -> jax.Array:
        """The sums of numbers (…, rows) over the risk set at the time of each row."""
        return jnp.cumsum(numbers[..., y.order], -1)[..., y.last]

    def pull(self, z: jax.Array, y: Risk, share: jax.Array) -> jax.Array:
        """The sum over events of each row's probability in the risk set."""
        part, logs = self.at_risk(z, y)
        each = (share * y.event * jnp.exp(jnp.max(z) - logs))[y.order]
        return part * jnp.cumsum(each[::-1])[::-1][y.first]

    def gradient(self, z: jax.Array, y: Risk, share: jax.Array) -> jax.Array:
        return self.pull(z, y, share) - share * y.event

    def form(
        self, z: jax.Array, y: Risk, share: jax.Array
    ) -> Callable[[Directions, Directions], jax.Array]:
        part, logs = self.at_risk(z, y)
        pull, each = self.pull(z, y, share), share * y.event

        def means(a: Directions) -> jax.Array:
            return self.up_to(a.rows * part, y) * jnp.exp(jnp.max(z) - logs)

        def product(a: Directions, b: Directions) -> jax.Array:
            return (a.rows * pull) @ b.rows.T - (means(a) * each) @ means(b).T

        return product

    def dual(self, z: jax.Array, scale: jax.Array, y: Risk, share: jax.Array) -> jax.Array:
        """The entropy of the probabilities in each risk set, moved towards the row of the event:
        these have the slopes scale·∇F.
        """
        part, logs = self.at_risk(z, y)
        inverse = jnp.exp(jnp.max(z) - logs)
        own, mean = part * inverse, self.up_to(part * z, y) * inverse
        moved = scale * own + 1 - scale
        others = xlogy(scale, scale) * (1 - own) + scale * (mean - own * z - logs * (1 - own))
        weight = jnp.where(y.weight > 0, y.weight, 1)
        return jnp.sum(share * y.event * (others + xlogy(moved, moved / weight)))


LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (Squares(), Logistic(), Poisson(), Huber(), Multinomial(), Cox())
}
"""By name."""


def loss_named(owner: str, loss: str | Loss) -> Loss:
    """Returns a loss or the one of a name.

    Raises:
        TypeError: it cannot be hashed.
        ValueError: there is none of this name.
    """
    if isinstance(loss, Loss):
        try:
            hash(loss)
        except TypeError as error:
            raise TypeError(
                f"{owner}: loss must be hashable, as programs are compiled for it, got {loss!r}; "
                "make it a frozen dataclass of numbers"
            ) from error
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ValueError(
            f"{owner}: loss must be one of {', '.join(LOSSES)}, or a jaxreg.losses.Loss, got "
            f"{loss!r}"
        )
    return LOSSES[loss]
