"""Published numbers of the lasso on the diabetes data, computed by `jaxreg.fit_linear_path` in
float64.

Three papers: the path of Efron et al. (2004), Least Angle Regression, whose events are a feature
that enters or leaves at a knot λ; the coefficients of Park and Casella (2008), The Bayesian Lasso,
table 1, with λ chosen by leave-one-out cross-validation; and the equivalence of Ziyin and Wang
(2023), spred: Solving L1 Penalty with SGD, that gradient descent on w = u⊙v with weight decay
minimises the L1 objective.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from sklearn.datasets import load_diabetes

import jaxreg
from experiments.layout import described
from experiments.studies.published.settings import Settings
from experiments.study import Session

COUNT = 256
"""Number of λ in each call, so that all calls share one program."""
SMALLEST = 0.5
"""n·λ where the search for events ends, below the last published knot."""
WIDTH = 1e-9
"""A knot is known to this share of it."""
TOLERANCE = 1e-11
"""The largest KKT residual as a share of λ, finer than the knots."""
PARTS = 3
MOMENTUM = 0.9
TEXTS = {
    "event": ("number of the event on the lasso path", "1"),
    "feature": ("feature, counted from 1", "1"),
    "sign": ("+1 for a feature that enters, −1 for one that leaves", "1"),
    "knot": ("rows · λ at the event", "1"),
    "share": ("‖w‖₁ at the λ of leave-one-out cross-validation ÷ that of least squares", "1"),
    "coefficients": ("weights at the published ‖w‖₁", "1"),
    "strength": ("rows · λ of u⊙v", "1"),
    "seed": ("seed of u and v", "1"),
    "excess": ("objective of u⊙v ÷ that of the lasso − 1", "1"),
    "error": ("largest difference of u⊙v from the lasso, divided by the largest weight", "1"),
}
PUBLISHED_SHARE = 0.55
"""‖w‖₁ of the published coefficients ÷ that of least squares, to the two digits of the R package
lars.
"""


class Diabetes(NamedTuple):
    """The data: columns x (rows, 10) with mean 0 and norm 1, and y (rows,)."""

    x: np.ndarray
    y: np.ndarray

    def path(self, scaled: np.ndarray) -> np.ndarray:
        """The lasso's weights (strengths, 10) for ascending values of rows · λ."""
        path = jaxreg.fit_linear_path(
            self.x, self.y, jaxreg.L1, scaled / len(self.y), tolerance=TOLERANCE
        )
        return np.asarray(path.params.weights)


def count_parts(_: Settings) -> int:
    """Number of steps of the progress bar."""
    return PARTS


def fit_diabetes(config: Settings, session: Session) -> xr.Dataset:
    """Computes all numbers; returns the variables in `TEXTS`."""
    with jax.enable_x64(True):
        data = Diabetes(*load_diabetes(return_X_y=True))
        events = find_events(data)
        session.advance(1)
        share, coefficients = cross_validated(data)
        session.advance(1)
        excess, error = factorised(config, data)
        session.advance(1)
    variables = {
        "feature": ("event", [abs(event) for event, _ in events]),
        "sign": ("event", [int(np.sign(event)) for event, _ in events]),
        "knot": ("event", [knot for _, knot in events]),
        "share": ((), share),
        "coefficients": ("column", coefficients),
        "excess": (("strength", "seed"), excess),
        "error": (("strength", "seed"), error),
    }
    places = {
        "event": np.arange(len(events)) + 1,
        "column": np.arange(len(coefficients)) + 1,
        "strength": np.asarray(config.decay_strengths),
        "seed": np.arange(config.decay_seeds),
    }
    return described(xr.Dataset(variables, places), TEXTS | {"column": TEXTS["feature"]})


def find_events(data: Diabetes) -> list[tuple[int, float]]:
    """The features that enter (+) or leave (−) the lasso path, each with rows · λ, from the
    largest.

    Supports at many λ are compared, and where they change, λ between them are added until every
    change is known well.
    """
    largest = np.abs(data.x.T @ (data.y - data.y.mean())).max()
    scaled = np.geomspace(SMALLEST, 1.1 * largest, COUNT)
    supports = data.path(scaled) != 0
    while True:
        changes = np.flatnonzero(np.any(supports[1:] != supports[:-1], axis=1))
        if np.all(scaled[changes + 1] / scaled[changes] < 1 + WIDTH):
            break
        between = [
            np.linspace(scaled[at], scaled[at + 1], COUNT // len(changes) + 2)[1:-1]
            for at in changes
        ]
        finer = np.unique(np.concatenate(between))
        # Every call gets the same number of λ; those that are missing lie above all others, where
        # the weights are 0.
        finer = np.append(finer, 2 * largest * np.arange(1, COUNT - len(finer) + 1))
        order = np.argsort(np.append(scaled, finer), kind="stable")
        scaled, supports = (
            np.append(scaled, finer)[order],
            np.append(supports, data.path(finer) != 0, axis=0)[order],
        )
    events = []
    for at in changes[::-1]:
        for column in np.flatnonzero(supports[at] != supports[at + 1]):
            sign = 1 if supports[at, column] else -1
            events.append((sign * (int(column) + 1), float(scaled[at : at + 2].mean())))
    return events


def cross_validated(data: Diabetes) -> tuple[float, np.ndarray]:
    """Leave-one-out cross-validation's ‖w‖₁ as a share of least squares', and the weights at the
    published share.
    """
    norm = np.abs(np.linalg.lstsq(data.x, data.y - data.y.mean())[0]).sum()
    grid = np.geomspace(SMALLEST, 100, COUNT)
    scores = jaxreg.cross_validate_linear_path(
        data.x, data.y, jaxreg.L1, grid / len(data.y), folds=len(data.y)
    )
    best = int(np.argmin(np.asarray(scores.record["validation_loss"]).mean((0, 1))))
    weights = data.path(grid)
    shares = np.abs(weights).sum(1) / norm
    # Between two knots w is linear in λ, and so is ‖w‖₁, which falls.
    above = int(np.searchsorted(-shares, -PUBLISHED_SHARE))
    part = (PUBLISHED_SHARE - shares[above]) / (shares[above - 1] - shares[above])
    return float(shares[best]), (1 - part) * weights[above] + part * weights[above - 1]


def factorised(config: Settings, data: Diabetes) -> tuple[np.ndarray, np.ndarray]:
    """Trains w = u⊙v with weight decay, for every λ and from every random start, and compares it
    with the lasso.

    Returns:
        How far its objective is above the lasso's, as a share, and the largest difference of a
        weight, as a share of the largest weight; both (strengths, seeds).
    """
    rows = len(data.y)
    # In these units the weights are of the order of 1, so that one learning rate fits all.
    unit = float(data.y.std())
    x, y = jnp.asarray(data.x * rows**0.5), jnp.asarray((data.y - data.y.mean()) / unit)
    strengths = jnp.asarray(config.decay_strengths) / (unit * rows**0.5)
    gram, moment = x.T @ x / rows, x.T @ y / rows

    def loss(factors: tuple[jax.Array, jax.Array]) -> jax.Array:
        w = factors[0] * factors[1]
        return w @ gram @ w / 2 - moment @ w

    def train(strength: jax.Array, key: jax.Array) -> jax.Array:
        # Decay adds λu to the gradient, so the objective has λ/2 ‖u‖² + λ/2 ‖v‖², which is at least
        # λ‖u⊙v‖₁.
        tx = optax.chain(
            optax.add_decayed_weights(strength),
            optax.sgd(config.decay_rate, momentum=MOMENTUM, nesterov=True),
        )
        start = jax.random.normal(key, (2, x.shape[1]))
        factors = (start[0], start[1])

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            factors, state = carry
            updates, state = tx.update(jax.grad(loss)(factors), state, factors)
            return (optax.apply_updates(factors, updates), state), None

        (u, v), _ = jax.lax.scan(
            step, (factors, tx.init(factors)), None, length=config.decay_steps
        )[0]
        return u * v

    def objective(w: jax.Array, strength: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(x @ w - y)) / 2 + strength * jnp.sum(jnp.abs(w))

    keys = jax.vmap(jax.random.key)(jnp.arange(config.decay_seeds))
    found = jax.jit(jax.vmap(jax.vmap(train, (None, 0)), (0, None)))(strengths, keys)
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, np.sort(strengths))
    lasso = jnp.asarray(path.params.weights)[jnp.argsort(jnp.argsort(strengths))]
    values = jax.vmap(objective)(lasso, strengths)
    excess = jax.vmap(jax.vmap(objective, (0, None)))(found, strengths) / values[:, None] - 1
    error = jnp.max(jnp.abs(found - lasso[:, None]), 2) / jnp.max(jnp.abs(lasso), 1)[:, None]
    return np.asarray(excess), np.asarray(error)
