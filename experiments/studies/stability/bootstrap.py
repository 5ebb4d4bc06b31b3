"""Stability of feature selection: how much supports differ between bootstrap resamples when columns
are correlated.

The data have blocks of five columns, which are correlated within a block and independent between
blocks. In two blocks all columns are relevant, with equal weights. Each method's λ is chosen on
validation data; then the problem is solved for this λ on bootstrap resamples of the training rows.

The Jaccard index of two supports is the size of their intersection divided by the size of their
union. Its mean over all pairs of resamples is 1 if every resample selects the same columns. The
index grows with the number of selected columns, whichever they are. Therefore we also report the
index of Nogueira, Sechidis & Brown (2018, "On the stability of feature selection algorithms"),
whose expectation is 0 for a random selection of the same size.

Claim: L1's selection among correlated columns is unstable; elastic net and group L2 select more
stably.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.typing import ArrayLike

import jaxreg
from experiments.layout import described
from experiments.linear_models import grid_of, solve_path, support
from experiments.selection import best_index
from experiments.studies.stability.settings import Bootstrap, Settings
from experiments.study import Session

BLOCK = 5
"""Columns in a block."""
TEXTS = {
    "jaccard": ("mean Jaccard index over pairs of resamples", "1"),
    "corrected": ("stability index of Nogueira, Sechidis & Brown, corrected for chance", "1"),
    "precision": ("share of the selected columns that are relevant", "1"),
    "recall": ("share of the relevant columns that are selected", "1"),
    "f1": ("F1 score of the selected columns", "1"),
    "size": ("number of selected columns", "count"),
    "correlation": ("correlation within a block of columns", "1"),
}


class Method(NamedTuple):
    """A method of regularization.

    Attributes:
        penalty: function from a strength, or an array of them, to the penalty.
        shape: the shape that the weights are given for the penalty; for groups, one block in a row.
    """

    penalty: Callable[[jax.Array], jaxreg.Penalty]
    shape: tuple[int, ...]


METHODS = {
    "L1": Method(jaxreg.L1, (-1,)),
    # Half of the strength in each part; scikit-learn calls this l1_ratio = 0.5.
    "elastic net": Method(lambda strength: jaxreg.ElasticNet(strength / 2, strength / 4), (-1,)),
    "group L2": Method(lambda strength: jaxreg.GroupL2(strength, axis=1), (-1, BLOCK)),
}


class Run(TypedDict):
    """What distinguishes one data set.

    Attributes:
        correlation: between the columns of a block.
        seed: number of the repetition.
    """

    correlation: jax.Array
    seed: jax.Array


def count_data_sets(settings: Settings) -> int:
    """Number of data sets."""
    config = settings.bootstrap
    return len(config.block_correlations) * config.seeds


def bootstrap_data_sets(settings: Settings, session: Session) -> xr.Dataset:
    """Measures the stability of every method's selection on every data set.

    Returns:
        `jaccard`, `corrected` (Nogueira's index) and the quality of the support on all training
        rows, along (correlation, seed, method).
    """
    config = settings.bootstrap
    grid = jaxreg.grid(correlation=list(config.block_correlations), seed=range(config.seeds))
    runs = session.sweep(functools.partial(bootstrap_data_set, config=config), grid)
    variables = {
        name: (("correlation", "seed", "method"), values) for name, values in runs.outputs.items()
    }
    diverged = (("correlation", "seed"), runs.diverged)
    coords = {
        "correlation": list(config.block_correlations),
        "method": list(METHODS),
        "seed": range(config.seeds),
    }
    return described(xr.Dataset({**variables, "diverged": diverged}, coords), TEXTS)


def bootstrap_data_set(
    key: jax.Array, run: Run, _: None, config: Bootstrap
) -> dict[str, jax.Array]:
    """Measures the stability of every method's selection on one data set: arrays of shape
    (methods,).
    """
    draw_key, resample_key = jax.random.split(key)
    drawn = draw(draw_key, config, run["correlation"])
    (inputs, validation_inputs), (targets, validation_targets) = drawn["inputs"], drawn["targets"]
    resamples = jax.random.randint(resample_key, (config.resamples, config.rows), 0, config.rows)
    metrics: dict[str, list[jax.Array]] = {}
    for method in METHODS.values():
        # The solutions of the elastic net and of group L2 become 0 at up to a few times the lasso's
        # largest strength.
        strengths = 2 * grid_of(inputs, targets, "L1", config.strengths)
        weights, _residuals = solve_path(
            inputs, targets, method.penalty(strengths), config.steps, method.shape
        )
        best = best_index(
            jnp.mean(jnp.square(validation_targets - weights @ validation_inputs.T), 1)
        )
        penalty = method.penalty(strengths[best][None])

        def selected(
            rows: jax.Array, method: Method = method, penalty: jaxreg.Penalty = penalty
        ) -> jax.Array:
            weights, _ = solve_path(
                inputs[rows], targets[rows], penalty, config.steps, method.shape
            )
            return weights[0] != 0

        supports = jax.vmap(selected)(resamples)
        stability = {"jaccard": mean_jaccard(supports), "corrected": nogueira(supports)}
        for name, value in {**stability, **support(weights[best], drawn["true"])}.items():
            metrics.setdefault(name, []).append(value)
    return {name: jnp.stack(values) for name, values in metrics.items()}


def draw(key: jax.Array, config: Bootstrap, correlation: ArrayLike) -> dict[str, jax.Array]:
    """Draws training and validation data with blocks of correlated columns; the signal has variance
    1.

    Args:
        key: random key.
        config: numbers of rows and blocks, and the signal-to-noise ratio.
        correlation: between the columns of a block.

    Returns:
        `inputs` (2, rows, columns) and `targets` (2, rows), training data first, and the `true`
        weights (columns,).
    """
    block_key, own_key, noise_key = jax.random.split(key, 3)
    shape = (2, config.rows, config.blocks)
    shared = jax.random.normal(block_key, (*shape, 1))
    own = jax.random.normal(own_key, (*shape, BLOCK))
    inputs = (jnp.sqrt(correlation) * shared + jnp.sqrt(1 - correlation) * own).reshape(
        *shape[:2], -1
    )
    true = (jnp.arange(config.blocks * BLOCK) < 2 * BLOCK).astype(jnp.float32)
    # The divisor is the standard deviation of the sum of the ten relevant columns.
    true = true / jnp.sqrt(2 * BLOCK * (1 + (BLOCK - 1) * correlation))
    noise = jax.random.normal(noise_key, shape[:2]) / np.sqrt(config.signal_to_noise)
    return {"inputs": inputs, "targets": inputs @ true + noise, "true": true}


def mean_jaccard(supports: jax.Array) -> jax.Array:
    """Mean Jaccard index over all pairs of supports.

    Args:
        supports: boolean, (resamples, columns). Two empty supports count as equal.
    """
    table = supports.astype(jnp.float32)
    sizes = table.sum(1)
    both = table @ table.T
    either = sizes[:, None] + sizes[None] - both
    index = jnp.where(either > 0, both / jnp.maximum(either, 1), 1.0)
    count = len(supports)
    return (index.sum() - jnp.trace(index)) / (count * (count - 1))


def nogueira(supports: jax.Array) -> jax.Array:
    """Stability index of Nogueira, Sechidis & Brown: 1 if all supports are equal, with expectation
    0 for random ones.

    The index is 1 minus a ratio: the mean variance of a column's selection, divided by the variance
    under random selection of as many columns.

    Args:
        supports: boolean, (resamples, columns). The index is 1 if all supports are empty or all are
            full.
    """
    table = supports.astype(jnp.float32)
    count, columns = table.shape
    frequency = table.mean(0)
    variance = jnp.mean(frequency * (1 - frequency)) * count / (count - 1)
    share = table.sum() / (count * columns)
    random = share * (1 - share)
    return jnp.where(random > 0, 1 - variance / jnp.where(random > 0, random, 1), 1.0)
