"""How stable a selection is: supports over bootstrap resamples, as the columns of the data grow alike.

Data: blocks of five columns, correlated within a block and independent between blocks; in two of the blocks every column
matters alike. Each method chooses its λ on validation rows, then solves for that λ on bootstrap resamples of the training
rows. The Jaccard index of two supports is the size of their intersection divided by that of their union; its mean over all
pairs of resamples is 1 where every resample chooses the same columns. It grows with the number of columns that are kept,
whatever they are; so beside it stands the index of Nogueira, Sechidis & Brown (2018, "On the stability of feature selection
algorithms"), which is 0 for a choice of as many columns at random.

Claimed: L1's choice between correlated columns is unstable; elastic net and group L2 choose more stably.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import jaxreg
from experiments.layout import described
from experiments.linear_models import grid_of, solve_path, support
from experiments.selection import best_index
from experiments.studies.stability.settings import Bootstrap, Settings
from experiments.study import Session

BLOCK = 5
TEXTS = {
    "jaccard": ("mean Jaccard index over pairs of resamples", "1"),
    "corrected": ("stability of Nogueira, Sechidis & Brown, corrected for chance", "1"),
    "precision": ("share of the selected columns that matter", "1"),
    "recall": ("share of the columns that matter that are selected", "1"),
    "f1": ("F1 of the selected columns", "1"),
    "size": ("number of selected columns", "count"),
    "correlation": ("correlation within a block of columns", "1"),
}
METHODS: dict[str, tuple[Callable[[Any], jaxreg.Penalty], tuple[int, ...]]] = {
    "L1": (jaxreg.L1, (-1,)),
    # Half of the strength on each part, in scikit-learn's terms an l1_ratio of 0.5.
    "elastic net": (lambda strength: jaxreg.ElasticNet(strength / 2, strength / 4), (-1,)),
    "group L2": (lambda strength: jaxreg.GroupL2(strength, axis=1), (-1, BLOCK)),
}
"""Each method's penalty at a strength, and the shape of the weights that it sees: a block a row for the group."""


def draw(key: jax.Array, config: Bootstrap, correlation: Any) -> dict[str, jax.Array]:
    """Rows to train on and to choose λ: inputs (2, rows, columns), targets (2, rows), and the true weights (columns,)."""
    block_key, own_key, noise_key = jax.random.split(key, 3)
    shape = (2, config.rows, config.blocks)
    shared = jax.random.normal(block_key, (*shape, 1))
    own = jax.random.normal(own_key, (*shape, BLOCK))
    inputs = (jnp.sqrt(correlation) * shared + jnp.sqrt(1 - correlation) * own).reshape(*shape[:2], -1)
    true = (jnp.arange(config.blocks * BLOCK) < 2 * BLOCK).astype(jnp.float32)
    # The variance of the signal is that of two sums of five columns.
    true = true / jnp.sqrt(2 * BLOCK * (1 + (BLOCK - 1) * correlation))
    noise = jax.random.normal(noise_key, shape[:2]) / np.sqrt(config.signal_to_noise)
    return {"inputs": inputs, "targets": inputs @ true + noise, "true": true}


def fit(key: jax.Array, run: dict[str, Any], config: Bootstrap) -> dict[str, jax.Array]:
    """For one data set and each method: the mean Jaccard index over resamples, and what the choice on all rows is like."""
    draw_key, resample_key = jax.random.split(key)
    drawn = draw(draw_key, config, run["correlation"])
    (inputs, other_inputs), (targets, other_targets) = drawn["inputs"], drawn["targets"]
    resamples = jax.random.randint(resample_key, (config.resamples, config.rows), 0, config.rows)
    found: dict[str, list[jax.Array]] = {}
    for penalty_of, shape in METHODS.values():
        # The elastic net's and the groups' solutions are 0 within a factor of a few of the lasso's.
        strengths = 2 * grid_of(inputs, targets, "L1", config.strengths)
        weights, _ = solve_path(inputs, targets, penalty_of(strengths), config.steps, shape)
        best = best_index(jnp.mean(jnp.square(other_targets - weights @ other_inputs.T), 1))
        penalty = penalty_of(strengths[best][None])

        def kept(rows: jax.Array, penalty: Any = penalty, shape: Any = shape) -> jax.Array:
            return solve_path(inputs[rows], targets[rows], penalty, config.steps, shape)[0][0] != 0

        supports = jax.vmap(kept)(resamples)
        stability = {"jaccard": mean_jaccard(supports), "corrected": nogueira(supports)}
        numbers = {**stability, **support(weights[best], drawn["true"])}
        for name, value in numbers.items():
            found.setdefault(name, []).append(value)
    return {name: jnp.stack(values) for name, values in found.items()}


def mean_jaccard(supports: jax.Array) -> jax.Array:
    """Mean Jaccard index over all pairs of supports (count, columns); two empty ones are equal."""
    table = supports.astype(jnp.float32)
    sizes = table.sum(1)
    both = table @ table.T
    either = sizes[:, None] + sizes[None] - both
    index = jnp.where(either > 0, both / jnp.maximum(either, 1), 1.0)
    count = len(supports)
    return (index.sum() - jnp.trace(index)) / (count * (count - 1))


def nogueira(supports: jax.Array) -> jax.Array:
    """Stability of supports (count, columns), corrected for chance: 1 where all are equal, 0 expected of random ones.

    1 minus the mean variance of a column's being kept, divided by that of as many kept at random; 1 where all columns or
    none are always kept.
    """
    table = supports.astype(jnp.float32)
    count, columns = table.shape
    frequency = table.mean(0)
    variance = jnp.mean(frequency * (1 - frequency)) * count / (count - 1)
    share = table.sum() / (count * columns)
    random = share * (1 - share)
    return jnp.where(random > 0, 1 - variance / jnp.where(random > 0, random, 1), 1.0)


def count(settings: Settings) -> int:
    """Number of data sets."""
    config = settings.bootstrap
    return len(config.block_correlations) * config.seeds


def train_all(settings: Settings, session: Session) -> xr.Dataset:
    """Every data set: `jaccard`, `corrected` (Nogueira's) and the support on all rows, along (correlation, seed, method)."""
    config = settings.bootstrap

    def fit_one(key: jax.Array, run: dict[str, Any], _: Any) -> dict[str, jax.Array]:
        return fit(key, run, config)

    grid = jaxreg.grid(correlation=list(config.block_correlations), seed=range(config.seeds))
    swept = session.sweep(fit_one, grid)
    coords = {"correlation": list(config.block_correlations), "method": list(METHODS)}
    variables: dict[str, Any] = {name: (("correlation", "seed", "method"), values) for name, values in swept.outputs.items()}
    variables["diverged"] = (("correlation", "seed"), swept.diverged)
    return described(xr.Dataset(variables, {**coords, "seed": range(config.seeds)}), TEXTS)
