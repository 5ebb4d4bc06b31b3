"""Linear models with known coefficients: how much penalties shrink those that they keep, before and
after refitting.

The loss is (1/2n)‖y − Xw‖², without an intercept. Each penalty has a path of strengths, solved in
float64 by proximal gradient steps that start at w = 0. A refit minimises the loss alone while the
zeros are held, so it is the least-squares solution on the columns that were kept. MCP and log-sum
are not convex: their solutions are stationary points.

λ is chosen on validation data: for the penalised coefficients, and once more for the refitted ones.
So there are three fits: penalised, refitted at the same λ, and refitted at its own λ.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import jaxreg
from experiments.layout import described
from experiments.linear_models import MOMENTUM, grid_of, largest_eigenvalue, solve_path
from experiments.selection import best_index
from experiments.studies.bias.settings import Regression, Settings
from experiments.study import Session

FITS = ("penalised", "refitted", "refitted at its own λ")
TEXTS = {
    "shrinkage": (
        "1 − Σ|w| / Σ|w*| over the relevant columns kept, with w* the true coefficients",
        "1",
    ),
    "explained": ("share of the signal's variance that the model explains", "1"),
    "relevant": ("number of relevant columns kept", "count"),
    "irrelevant": ("number of irrelevant columns kept", "count"),
    "kkt": (
        "KKT residual divided by λ; of a refit, the largest gradient at a coefficient kept, "
        "divided by λ",
        "1",
    ),
    "chosen": ("strength λ chosen on validation data", "1"),
    "estimate": ("estimated coefficient", "1"),
    "true": ("true coefficient", "1"),
    "fit": ("what was chosen on validation data, and whether it was refitted", "1"),
}


class Method(NamedTuple):
    """A penalty of a path.

    Attributes:
        penalty: function from strengths (count,) to the penalty.
        momentum: of the proximal gradient steps.
    """

    penalty: Callable[[jax.Array], jaxreg.Penalty]
    momentum: float


class Run(TypedDict):
    """What distinguishes one data set: the number of the repetition."""

    seed: jax.Array


def methods(config: Regression) -> dict[str, Method]:
    """Every penalty by name."""
    return {
        "L1": Method(jaxreg.L1, MOMENTUM),
        "MCP": Method(
            lambda strength: jaxreg.MCP(strength, jnp.full_like(strength, config.gamma)), 0.0
        ),
        "log-sum": Method(
            lambda strength: jaxreg.LogSum(strength, jnp.full_like(strength, config.scale)), 0.0
        ),
    }


def count_data_sets(settings: Settings) -> int:
    """Number of data sets."""
    return settings.regression.seeds


def fit_data_sets(settings: Settings, session: Session) -> xr.Dataset:
    """Fits every path to every data set.

    Returns:
        `shrinkage`, `explained`, `relevant`, `irrelevant`, `kkt` and `chosen` along (seed, method,
        fit), `estimate` (seed, method, fit, column) and `true` (seed, column).
    """
    config = settings.regression
    with jax.enable_x64(True):
        runs = session.sweep(
            functools.partial(fit_data_set, config=config), jaxreg.grid(seed=range(config.seeds))
        )
    axes = ("seed", "method", "fit", "column")
    true = runs.outputs.pop("true")
    dataset = xr.Dataset(
        {name: (axes[: values.ndim], values) for name, values in runs.outputs.items()}
    )
    dataset = dataset.assign(true=(("seed", "column"), true), diverged=("seed", runs.diverged))
    coords = {"method": list(methods(config)), "fit": list(FITS), "seed": range(config.seeds)}
    return described(dataset.assign_coords(coords), TEXTS)


def fit_data_set(key: jax.Array, _: Run, __: None, config: Regression) -> dict[str, jax.Array]:
    """Draws one data set and fits every path.

    Args:
        key: random key of the run.
        _: the seed, which the key follows from.
        __: no shared data.
        config: sizes and grids.

    Returns:
        Arrays of shape (methods, fits), but (methods, fits, columns) for `estimate` and (columns,)
        for `true`.
    """
    drawn = draw(key, config)
    (inputs, validation_inputs), (targets, validation_targets) = drawn["inputs"], drawn["targets"]
    strengths = grid_of(inputs, targets, "L1", config.strengths)

    def chosen(weights: jax.Array) -> jax.Array:
        return best_index(
            jnp.mean(jnp.square(validation_targets - weights @ validation_inputs.T), 1)
        )

    metrics: dict[str, list[dict[str, jax.Array]]] = {}
    for name, method in methods(config).items():
        penalised, residuals = solve_path(
            inputs, targets, method.penalty(strengths), config.steps, momentum=method.momentum
        )
        refitted, slopes = refit_path(inputs, targets, penalised, config.steps)
        best, own = chosen(penalised), chosen(refitted)
        fits = [
            (penalised[best], residuals[best], strengths[best]),
            (refitted[best], slopes[best] / strengths[best], strengths[best]),
            (refitted[own], slopes[own] / strengths[own], strengths[own]),
        ]
        metrics[name] = [
            {**measure(weights, drawn), "kkt": kkt, "chosen": strength, "estimate": weights}
            for weights, kkt, strength in fits
        ]
    stacked = [jax.tree.map(lambda *values: jnp.stack(values), *fits) for fits in metrics.values()]
    return {**jax.tree.map(lambda *values: jnp.stack(values), *stacked), "true": drawn["true"]}


def draw(key: jax.Array, config: Regression) -> dict[str, jax.Array]:
    """Draws training and validation data of a linear model whose signal has variance 1.

    Args:
        key: random key.
        config: numbers of rows and columns, correlation and signal-to-noise ratio.

    Returns:
        `inputs` (2, rows, columns) and `targets` (2, rows), training data first, the `true`
        coefficients (columns,), and the square `root` of the columns' covariance matrix, (columns,
        columns): the covariance is root @ root.T.
    """
    keys = jax.random.split(key, 4)
    columns = config.relevant + config.irrelevant
    places = np.arange(columns)
    root = jnp.asarray(np.linalg.cholesky(config.correlation ** np.abs(places[:, None] - places)))
    sizes = jnp.linspace(0.1, 1, config.relevant) * jax.random.rademacher(
        keys[0], (config.relevant,)
    )
    true = jax.random.permutation(keys[1], jnp.concatenate([sizes, jnp.zeros(config.irrelevant)]))
    true = true / jnp.linalg.norm(root.T @ true)
    inputs = jax.random.normal(keys[2], (2, config.rows, columns)) @ root.T
    noise = jax.random.normal(keys[3], (2, config.rows)) / np.sqrt(config.signal_to_noise)
    return {"inputs": inputs, "targets": inputs @ true + noise, "true": true, "root": root}


def refit_path(
    inputs: jax.Array, targets: jax.Array, weights: jax.Array, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Minimises the loss with the zeros held: least squares on the columns that are kept.

    Args:
        inputs: (rows, columns).
        targets: (rows,).
        weights: where to start, (count, columns).
        steps: number of gradient steps, static under `jax.jit`.

    Returns:
        The refitted weights (count, columns), and the largest gradient at a weight that is kept
        (count,).
    """
    gram, moment = inputs.T @ inputs / len(targets), inputs.T @ targets / len(targets)
    rate = (1 - MOMENTUM) / largest_eigenvalue(gram)
    tx = jaxreg.hold_zeros(optax.sgd(rate, momentum=MOMENTUM, nesterov=True))

    def refit(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            w, state = carry
            updates, state = tx.update(gram @ w - moment, state, w)
            return (optax.apply_updates(w, updates), state), None

        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
        return w, jnp.max(jnp.where(start != 0, jnp.abs(gram @ w - moment), 0))

    return jax.vmap(refit)(weights)


def measure(weights: jax.Array, drawn: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Shrinkage, signal explained and columns kept of one fit, as scalars."""
    relevant = drawn["true"] != 0
    return {
        "shrinkage": shrinkage(weights, drawn["true"]),
        # The signal has variance 1, so this is 1 for the true coefficients and 0 for w = 0.
        "explained": 1 - jnp.sum(jnp.square((weights - drawn["true"]) @ drawn["root"])),
        "relevant": jnp.sum((weights != 0) & relevant).astype(float),
        "irrelevant": jnp.sum((weights != 0) & ~relevant).astype(float),
    }


def shrinkage(weights: jax.Array, true: jax.Array) -> jax.Array:
    """Computes 1 − Σ|w| / Σ|w*| over the relevant columns that are kept; NaN if there are none.

    Args:
        weights: w, (columns,).
        true: the true coefficients w*, (columns,).
    """
    kept = (weights != 0) & (true != 0)
    return 1 - jnp.sum(jnp.where(kept, jnp.abs(weights), 0)) / jnp.sum(
        jnp.where(kept, jnp.abs(true), 0)
    )
