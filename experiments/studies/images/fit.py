"""Training of one network in two phases, and its evaluation.

In the first phase the learning rate is constant and the method makes the network sparse. In the
second phase the learning rate falls to 0 along a cosine, without jaxreg's penalties but with the
same decay, while all zeros are held. The dense network has the same two phases, so all methods have
the same number of epochs and the same schedule.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

import jaxreg
from experiments.datasets import Rows
from experiments.networks import kernels_of
from experiments.settings import Training
from experiments.studies.images.methods import Method, Run
from experiments.studies.images.network import count_kept, initial
from experiments.studies.images.settings import Settings
from experiments.training import accuracy, cross_entropy, split, train_state

TEST_SEED = 0
"""Draws the test rows of a data set that has none of its own."""
RATE = 1.0
"""The learning rate of the schedules that `train_state` makes; each run multiplies them by its
own.
"""


def train_network(
    _: jax.Array, run: Run, rows: tuple[Rows, Rows | None], *, method: Method, config: Settings
) -> dict[str, jax.Array]:
    """Splits the rows, and trains and evaluates one network.

    Args:
        run: scalars.
        rows: training and validation rows, and the test rows or None.
        method: of training.
        config: the settings of the study.

    Returns:
        Metrics, NaN if the network diverged.
    """
    split_key, model_key, order_key = jax.random.split(jax.random.key(run.seed), 3)
    parts = split_rows(split_key, rows, config)
    structure, params = initial(config, parts["train"], model_key)
    first_key, second_key = jax.random.split(order_key)
    first, second = phases(config)
    steps = first.epochs * (parts["train"].labels.shape[0] // config.batch_size)
    optimizer = method.optimizer(run, steps, config)
    params, state = train_state(
        structure, params, lambda _: optimizer, first_key, parts["train"], first
    )
    params = cut(params, method, run)
    held_out = {name: parts[name] for name in ("validation", "test")}
    metrics = {
        f"unrefitted_{name}_accuracy": accuracy(structure, params, rows)
        for name, rows in held_out.items()
    }

    def refitting(schedule: optax.Schedule) -> optax.GradientTransformation:
        def rate(count: ArrayLike) -> ArrayLike:
            return run.learning_rate * schedule(count)

        return jaxreg.hold_zeros(
            optax.adamw(rate, weight_decay=run.decay, mask=jaxreg.kernels), mask=jaxreg.kernels
        )

    params, _ = train_state(structure, params, refitting, second_key, parts["train"], second)
    metrics |= {
        f"{name}_accuracy": accuracy(structure, params, rows) for name, rows in held_out.items()
    }
    metrics["train_loss"] = cross_entropy(structure, params, parts["train"])
    reached = state.strength if isinstance(state, jaxreg.SteeredState) else run.strength
    metrics |= {"reached": jnp.asarray(reached, jnp.float32), **count_kept(kernels_of(params))}
    metrics["nonzero"] = 1 - jaxreg.sparsity(params, jaxreg.kernels).fraction
    finite = jnp.isfinite(metrics["train_loss"])
    return {name: jnp.where(finite, value, jnp.nan) for name, value in metrics.items()}


def phases(config: Settings) -> tuple[Training, Training]:
    """The two phases of training."""
    first = Training(config.epochs - config.refit_epochs, config.batch_size, RATE)
    return first, Training(config.refit_epochs, config.batch_size, RATE)


def cut(params: Any, method: Method, run: Run) -> Any:
    """Cuts to the wanted share, or sets tiny weights to 0, if the method asks for it."""
    if method.target:
        return jaxreg.keep_largest(params, run.share, mask=jaxreg.kernels, axis=method.axis)
    if method.zero:
        small = method.zero
        return jax.tree.map(
            lambda leaf: jnp.where(jnp.abs(leaf) > small, leaf, 0) if leaf.ndim > 1 else leaf,
            params,
        )
    return params


def split_rows(key: jax.Array, rows: tuple[Rows, Rows | None], config: Settings) -> dict[str, Rows]:
    """Training, validation and test rows; test rows are drawn only if the data set has none of its
    own.
    """
    pool, test = rows
    if test is None:
        # The same test rows for all seeds, so that no row that chooses a setting is a test row of
        # another seed.
        test, pool = split(jax.random.key(TEST_SEED), pool, [config.test_size])
    return {
        **dict(
            zip(("validation", "train"), split(key, pool, [config.validation_size]), strict=True)
        ),
        "test": test,
    }
