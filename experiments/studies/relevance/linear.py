"""Linear models with a known answer: which features the lasso finds, and whether it or ridge regression predicts better.

The loss is (1/2n)‖y − Xw‖², without an intercept. A path solves all strengths at once by proximal gradient steps on the Gram
matrix, with momentum, from w = 0; the KKT residual tells how far it came.

Selection: at the λ that validation rows choose, the lasso keeps the features that matter and drops others. Relevance: the
share of features that matter decides whether L1 or squared L2 predicts better.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import jaxreg
from experiments.layout import described
from experiments.linear_models import grid_of, solve_path, support
from experiments.studies.relevance.settings import Linear, Settings
from experiments.study import Session

TEXTS = {
    "validation_error": ("mean squared error on validation rows", "1"),
    "explained": ("share of the signal's variance that the model explains", "1"),
    "kkt": ("KKT residual divided by λ", "1"),
    "precision": ("share of the selected columns that matter", "1"),
    "recall": ("share of the columns that matter that are selected", "1"),
    "f1": ("F1 of the selected columns", "1"),
    "size": ("number of selected columns", "count"),
    "correlation": ("correlation of neighbouring columns", "1"),
    "share": ("share of the features whose true weight is 0", "1"),
}
PENALTIES = {"L1": jaxreg.L1, "L2": jaxreg.SquaredL2}


def draw(key: jax.Array, config: Linear, share: Any, root: jax.Array) -> dict[str, Any]:
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


def fit(key: jax.Array, run: dict[str, Any], roots: jax.Array, config: Linear) -> dict[str, jax.Array]:
    """Both paths on one data set, and along each: error on validation rows, signal explained, and the support's quality."""
    root = roots[run["design"]]
    drawn = draw(key, config, run["share"], root)
    (inputs, other_inputs), (targets, other_targets) = drawn["inputs"], drawn["targets"]
    found: dict[str, list[jax.Array]] = {}
    for method, kind in PENALTIES.items():
        strengths = grid_of(inputs, targets, method, config.strengths)
        weights, residuals = solve_path(inputs, targets, kind(strengths), config.steps)
        errors = jnp.mean(jnp.square(other_targets - weights @ other_inputs.T), 1)
        # The signal has variance 1, so this is 1 for the true weights and 0 for w = 0.
        explained = 1 - jnp.sum(jnp.square((weights - drawn["true"]) @ root), 1)
        numbers = {"validation_error": errors, "explained": explained, "kkt": residuals, **support(weights, drawn["true"])}
        for name, values in numbers.items():
            found.setdefault(name, []).append(values)
    return {name: jnp.stack(values) for name, values in found.items()}


def count(settings: Settings) -> int:
    """Number of data sets."""
    config = settings.linear
    return len(config.shares) * len(config.correlations) * config.seeds


def train_all(settings: Settings, session: Session) -> xr.Dataset:
    """Every data set.

    Returns:
        `validation_error`, `explained` (share of the signal's variance, at most 1), `kkt` (KKT residual / λ), `precision`,
        `recall`, `f1` and `size` of the support, along (design, share, seed, method, level), levels from weak to strong.
    """
    # Only here, as importing it takes a while.
    from scipy.linalg import toeplitz

    config = settings.linear
    roots = np.stack([np.linalg.cholesky(toeplitz(c ** np.arange(config.features))) for c in config.correlations])
    grid = jaxreg.grid(design=range(len(roots)), share=list(config.shares), seed=range(config.seeds))

    def fit_one(key: jax.Array, run: dict[str, Any], roots: jax.Array) -> dict[str, jax.Array]:
        return fit(key, run, roots, config)

    swept = session.sweep(fit_one, grid, roots.astype(np.float32))
    axes = ("design", "share", "seed", "method", "level")
    coords = {"correlation": ("design", list(config.correlations)), "share": list(config.shares), "method": list(PENALTIES)}
    records = xr.Dataset({name: (axes, values) for name, values in swept.outputs.items()}, coords)
    diverged = (("design", "share", "seed"), swept.diverged)
    return described(records.assign(diverged=diverged).assign_coords(seed=range(config.seeds)), TEXTS)
