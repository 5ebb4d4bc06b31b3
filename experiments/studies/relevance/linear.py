"""Linear models with known weights: which features the lasso finds, and whether lasso or ridge
regression predicts better.

The loss is (1/2n)‖y − Xw‖², without an intercept. A path solves the problem for all strengths at
once, by proximal gradient steps with momentum on the Gram matrix, starting at w = 0. The KKT
residual measures how accurate the solutions are.

Selection: at the λ chosen on validation data, the lasso keeps the relevant features and drops
others. Relevance: whether L1 or squared L2 predicts better depends on the share of relevant
features.
"""

import functools
from typing import TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.typing import ArrayLike

import jaxreg
from experiments.layout import described
from experiments.linear_models import grid_of, solve_path, support
from experiments.studies.relevance.settings import Linear, Settings
from experiments.study import Session

TEXTS = {
    "validation_error": ("mean squared error on validation data", "1"),
    "explained": ("share of the signal's variance that the model explains", "1"),
    "kkt": ("KKT residual divided by λ", "1"),
    "precision": ("share of the selected features that are relevant", "1"),
    "recall": ("share of the relevant features that are selected", "1"),
    "f1": ("F1 score of the selected features", "1"),
    "size": ("number of selected features", "count"),
    "correlation": ("correlation of neighbouring columns", "1"),
    "share": ("share of the features whose true weight is 0", "1"),
}
PENALTIES = {"L1": jaxreg.L1, "L2": jaxreg.SquaredL2}


class Run(TypedDict):
    """What distinguishes one data set.

    Attributes:
        design: index of the correlation between columns.
        share: share of irrelevant features.
        seed: number of the repetition.
    """

    design: jax.Array
    share: jax.Array
    seed: jax.Array


def count_data_sets(settings: Settings) -> int:
    """Number of data sets."""
    config = settings.linear
    return len(config.shares) * len(config.correlations) * config.seeds


def fit_data_sets(settings: Settings, session: Session) -> xr.Dataset:
    """Fits the paths of lasso and ridge regression to every data set.

    Returns:
        `validation_error`, `explained` (share of the signal's variance, at most 1), `kkt` (KKT
        residual / λ), `precision`, `recall`, `f1` and `size` of the support, along (design, share,
        seed, method, level), levels from weak to strong.
    """
    # Imported here because the import is slow.
    from scipy.linalg import toeplitz

    config = settings.linear
    roots = np.stack(
        [np.linalg.cholesky(toeplitz(c ** np.arange(config.features))) for c in config.correlations]
    )
    grid = jaxreg.grid(
        design=range(len(roots)), share=list(config.shares), seed=range(config.seeds)
    )
    runs = session.sweep(
        functools.partial(fit_data_set, config=config), grid, roots.astype(np.float32)
    )
    axes = ("design", "share", "seed", "method", "level")
    coords = {
        "correlation": ("design", list(config.correlations)),
        "share": list(config.shares),
        "method": list(PENALTIES),
    }
    dataset = xr.Dataset({name: (axes, values) for name, values in runs.outputs.items()}, coords)
    diverged = (("design", "share", "seed"), runs.diverged)
    return described(
        dataset.assign(diverged=diverged).assign_coords(seed=range(config.seeds)), TEXTS
    )


def fit_data_set(
    key: jax.Array, run: Run, roots: jax.Array, config: Linear
) -> dict[str, jax.Array]:
    """Draws one data set and fits both paths to it.

    Args:
        key: random key of the run.
        run: design and share of irrelevant features.
        roots: square roots of the designs' covariance matrices, (designs, features, features).
        config: sizes and grids.

    Returns:
        Errors on validation data, signal explained, KKT residuals and quality of the support, each
        (methods, strengths).
    """
    root = roots[run["design"]]
    drawn = draw(key, config, run["share"], root)
    (inputs, validation_inputs), (targets, validation_targets) = drawn["inputs"], drawn["targets"]
    metrics: dict[str, list[jax.Array]] = {}
    for method, penalty in PENALTIES.items():
        strengths = grid_of(inputs, targets, method, config.strengths)
        weights, residuals = solve_path(inputs, targets, penalty(strengths), config.steps)
        errors = jnp.mean(jnp.square(validation_targets - weights @ validation_inputs.T), 1)
        # The signal has variance 1, so this is 1 for the true weights and 0 for w = 0.
        explained = 1 - jnp.sum(jnp.square((weights - drawn["true"]) @ root), 1)
        numbers = {
            "validation_error": errors,
            "explained": explained,
            "kkt": residuals,
            **support(weights, drawn["true"]),
        }
        for name, values in numbers.items():
            metrics.setdefault(name, []).append(values)
    return {name: jnp.stack(values) for name, values in metrics.items()}


def draw(key: jax.Array, config: Linear, share: ArrayLike, root: jax.Array) -> dict[str, jax.Array]:
    """Draws training and validation data of a linear model whose signal has variance 1.

    Args:
        key: random key.
        config: numbers of rows and features, and the signal-to-noise ratio.
        share: share of the features whose true weight is 0.
        root: square root of the columns' covariance matrix, (features, features): the covariance is
            root @ root.T.

    Returns:
        `inputs` (2, rows, features) and `targets` (2, rows), training data first, and the `true`
        weights (features,).
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
