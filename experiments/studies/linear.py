"""Linear models with a known answer: which features the lasso finds, and whether it or ridge regression predicts better.

The loss is (1/2n)‖y − Xw‖², without an intercept. A path solves all strengths at once by proximal gradient steps on the Gram
matrix, with momentum, from w = 0; the KKT residual tells how far it came.

Selection: at the λ that validation rows choose, the lasso keeps the features that matter and drops others. Relevance: the
share of features that matter decides whether L1 or squared L2 predicts better. Shrinkage: on an orthonormal design squared
L2 multiplies every weight by the same factor.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from scipy.linalg import toeplitz

import jaxreg
from experiments.config import LinearStudy

MOMENTUM = 0.9
PENALTIES = {"L1": jaxreg.L1, "L2": jaxreg.SquaredL2}


def path(
    inputs: jax.Array, targets: jax.Array, penalty: jaxreg.Penalty, steps: int, shape: tuple[int, ...] = (-1,)
) -> tuple[jax.Array, jax.Array]:
    """Solutions for every strength.

    Args:
        inputs: (rows, features). targets: (rows,). penalty: with strengths (count,). steps: static.
        shape: of the weights as the penalty sees them; for `GroupL2(axis=1)` one group a row.

    Returns:
        Weights (count, features), and the KKT residual of each divided by its strength (count,).
    """
    gram, moment = inputs.T @ inputs / len(targets), inputs.T @ targets / len(targets)
    rate = (1 - MOMENTUM) / largest_eigenvalue(gram)

    def gradient(w: jax.Array) -> jax.Array:
        return (gram @ w.ravel() - moment).reshape(w.shape)

    def solve(penalty: jaxreg.Penalty) -> tuple[jax.Array, jax.Array]:
        tx = jaxreg.prox_sgd(rate, penalty, momentum=MOMENTUM, nesterov=True)

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            w, state = carry
            updates, state = tx.update(gradient(w), state, w)
            return (optax.apply_updates(w, updates), state), None

        start = jnp.zeros_like(moment).reshape(shape)
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
        return w.ravel(), jaxreg.kkt_residual(penalty, w, gradient(w))

    weights, residuals = jax.vmap(solve)(penalty)
    return weights, residuals / jax.tree.leaves(penalty)[0]


def largest_eigenvalue(gram: jax.Array) -> jax.Array:
    """Of a positive definite matrix, by power iteration: as near as a step size needs it.

    A batched LAPACK call inside a program that runs on several CPU devices can wait for itself in jaxlib's one thread pool.
    """

    def step(_: int, vector: jax.Array) -> jax.Array:
        image = gram @ vector
        return image / jnp.linalg.norm(image)

    vector = jax.lax.fori_loop(0, 50, step, jnp.ones(len(gram)))
    return vector @ gram @ vector


def grid_of(inputs: jax.Array, targets: jax.Array, way: str, count: int) -> jax.Array:
    """Strengths from where nothing is left down to almost no penalty, spaced evenly in their logarithm.

    For L1 they end at λ_max, the smallest strength whose solution is 0; squared L2 has none, and its are multiples of the
    mean eigenvalue of the Gram matrix.
    """
    if way == "L2":
        return jnp.mean(jnp.square(inputs)) * jnp.logspace(-2, 2, count)
    largest = jaxreg.critical_strength(jaxreg.L1(1.0), inputs.T @ targets / len(targets))
    return largest * jnp.logspace(-2, 0, count)


def draw(key: jax.Array, config: LinearStudy, share: Any, root: jax.Array) -> dict[str, Any]:
    """A data set: rows to train on and to choose λ, the true weights, and the square root of the columns' covariance.

    Args:
        key: of everything. share: of the features whose weight is 0. root: (features, features), covariance = root @ root.T.
    """
    keys = jax.random.split(key, 5)
    features = config.features
    relevant = jax.random.permutation(keys[0], features) >= jnp.round(share * features)
    signs = jax.random.rademacher(keys[1], (features,), jnp.float32)
    true = jnp.where(relevant, signs, 0.0)
    true = true / jnp.linalg.norm(root.T @ true)
    inputs = jax.random.normal(keys[2], (2, config.rows, features)) @ root.T
    noise = jax.random.normal(keys[3], (2, config.rows)) / np.sqrt(config.signal_to_noise)
    return {"inputs": inputs, "targets": inputs @ true + noise, "true": true}


def fit(key: jax.Array, run: dict[str, Any], roots: jax.Array, config: LinearStudy) -> dict[str, jax.Array]:
    """Both paths on one data set, and along each: error on validation rows, signal explained, and the support's quality."""
    root = roots[run["design"]]
    drawn = draw(key, config, run["share"], root)
    (inputs, other_inputs), (targets, other_targets) = drawn["inputs"], drawn["targets"]
    found: dict[str, list[jax.Array]] = {}
    for way, kind in PENALTIES.items():
        strengths = grid_of(inputs, targets, way, config.strengths)
        weights, residuals = path(inputs, targets, kind(strengths), config.steps)
        errors = jnp.mean(jnp.square(other_targets - weights @ other_inputs.T), 1)
        # The signal has variance 1, so this is 1 for the true weights and 0 for w = 0.
        explained = 1 - jnp.sum(jnp.square((weights - drawn["true"]) @ root), 1)
        numbers = {"validation_error": errors, "explained": explained, "kkt": residuals, **support(weights, drawn["true"])}
        for name, values in numbers.items():
            found.setdefault(name, []).append(values)
    return {name: jnp.stack(values) for name, values in found.items()}


def support(weights: jax.Array, true: jax.Array) -> dict[str, jax.Array]:
    """Precision, recall and F1 of the nonzero weights (…, features), against the true ones (features,), and their number."""
    kept, relevant = weights != 0, true != 0
    right = jnp.sum(kept & relevant, -1)
    size, wanted = jnp.sum(kept, -1), jnp.sum(relevant)
    # An empty choice holds nothing wrong, and finds nothing.
    precision = jnp.where(size > 0, right / jnp.maximum(size, 1), 1.0)
    return {"precision": precision, "recall": right / wanted, "f1": 2 * right / (size + wanted), "size": size}


def runs(config: LinearStudy) -> int:
    """Number of data sets."""
    return len(config.shares) * len(config.correlations) * config.seeds


def sweep(config: LinearStudy, devices: int | None, folder: Path | None, advance: Callable[[int], None]) -> xr.Dataset:
    """Every data set.

    Returns:
        `validation_error`, `explained` (share of the signal's variance, at most 1), `kkt` (KKT residual / λ), `precision`,
        `recall`, `f1` and `size` of the support, along (design, share, seed, way, level), levels from weak to strong; and
        the deviations `orthonormal` of `orthonormal_deviation`.
    """
    roots = np.stack([np.linalg.cholesky(toeplitz(c ** np.arange(config.features))) for c in config.correlations])
    grid = jaxreg.grid(design=range(len(roots)), share=list(config.shares), seed=range(config.seeds))

    def one(key: jax.Array, run: dict[str, Any], roots: jax.Array) -> dict[str, jax.Array]:
        return fit(key, run, roots, config)

    swept = jaxreg.sweep(one, grid, roots.astype(np.float32), devices=devices, folder=folder, progress=advance)
    axes = ("design", "share", "seed", "way", "level")
    coords = {"correlation": ("design", list(config.correlations)), "share": list(config.shares), "way": list(PENALTIES)}
    records = xr.Dataset({name: (axes, values) for name, values in swept.outputs.items()}, coords)
    return records.assign(orthonormal_deviation=("seed", orthonormal_deviation(config)))


def orthonormal_deviation(config: LinearStudy) -> np.ndarray:
    """By how much `prox_adam` with squared L2 misses the closed form of ridge regression on an orthonormal design.

    The loss is ½‖y − Xw‖² with XᵀX = 1, whose minimiser is Xᵀy, and Xᵀy/(1 + 2λ) with the penalty λΣw². Solved in float64
    for λ from 0.01 to 100.

    Returns:
        For each seed, the largest |w/(Xᵀy) − 1/(1 + 2λ)| over weights and strengths.
    """
    strengths = np.logspace(-2, 2, 9)
    generator = np.random.default_rng(0)
    shape = (config.seeds, config.rows, min(10, config.rows))
    inputs = np.linalg.qr(generator.standard_normal(shape))[0]
    targets = generator.standard_normal((config.seeds, config.rows))
    with jax.enable_x64(True):
        steps = 4000
        solved = jax.jit(jax.vmap(lambda x, y: ridge_by_adam(x, y, jnp.asarray(strengths), steps)))(inputs, targets)
        factors = np.asarray(solved) / np.einsum("srf,sr->sf", inputs, targets)[:, None, :]
    return np.max(np.abs(factors - 1 / (1 + 2 * strengths)[:, None]), (1, 2))


def ridge_by_adam(inputs: jax.Array, targets: jax.Array, strengths: jax.Array, steps: int) -> jax.Array:
    """Weights (strengths, features) that minimise ½‖y − Xw‖² + λΣw², by `prox_adam` from w = 0."""

    def solve(strength: jax.Array) -> jax.Array:
        tx = jaxreg.prox_adam(optax.cosine_decay_schedule(3e-2, steps), jaxreg.SquaredL2(strength))

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            w, state = carry
            updates, state = tx.update(inputs.T @ (inputs @ w - targets), state, w)
            return (optax.apply_updates(w, updates), state), None

        start = jnp.zeros(inputs.shape[1], inputs.dtype)
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
        return w

    return jax.vmap(solve)(strengths)
