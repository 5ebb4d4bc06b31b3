"""The rows, the network and the penalties of the path study."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxreg
from experiments import datasets, idx
from experiments.datasets import Rows
from experiments.networks import initial, kernels_of
from experiments.settings import SettingError, require
from experiments.studies.path.settings import DIGITS, Settings
from experiments.training import accuracy, cross_entropy

CLASSES = 10
SPLIT_SEED = 0
"""Draws the test rows, the held-out rows and the folds."""


class Problem(NamedTuple):
    """What a path is fitted to.

    Attributes:
        train: training rows.
        validation: held-out rows, or None if the path is cross-validated.
        test: test rows.
        widths: number of inputs, of the units of each hidden layer and of classes.
        structure: the graph definition of the network.
    """

    train: Rows
    validation: Rows | None
    test: Rows
    widths: tuple[int, ...]
    structure: Any

    def start(self, key: jax.Array) -> Any:
        """Random initial parameters."""
        return initial(self.widths, key)[1]

    def loss(self, params: Any, rows: Rows) -> jax.Array:
        """The mean cross-entropy in nats."""
        return cross_entropy(self.structure, params, rows)

    def metrics(self, params: Any, rows: Rows) -> dict[str, Any]:
        """Accuracy, and the share of the weights that are not 0 and lead to an output."""
        kernels = kernels_of(params)
        counts = jaxreg.sparsity(
            list(kernels), layers=[str(layer) for layer in range(len(kernels))]
        )
        return {
            "accuracy": accuracy(self.structure, params, rows),
            "kept": counts.connected / counts.size,
        }

    def accuracies(self, params: Any) -> np.ndarray:
        """Test accuracies of a tree of parameters with the axes (seeds, strengths, …): (seeds,
        strengths).
        """
        one = functools.partial(accuracy, self.structure, rows=jax.tree.map(jnp.asarray, self.test))
        return np.asarray(
            jax.jit(lambda tree: jax.lax.map(lambda seed: jax.lax.map(one, seed), tree))(params)
        )


def load(config: Settings) -> Problem:
    """Loads the data set that the settings name.

    Raises:
        SettingError: Fashion-MNIST is not on this machine, or there are too few rows.
    """
    if config.data == DIGITS:
        rows = datasets.digits()
        rows = Rows(datasets.with_noise(rows, config.noise, SPLIT_SEED), rows.labels)
        train, test = divided(rows, config.test_size, "test-size")
    else:
        train, test = idx.load(idx.FASHION)
    validation = None
    if not config.folds:
        train, validation = divided(train, config.validation_size, "validation-size")
    count = (
        len(train.labels) * (config.folds - 1) // config.folds
        if config.folds
        else len(train.labels)
    )
    if config.batch_size > count:
        raise SettingError(
            f"batch-size: expected at most the {count} training rows, got {config.batch_size}"
        )
    widths = (train.inputs.shape[1], *config.hidden, CLASSES)
    return Problem(train, validation, test, widths, initial(widths, jax.random.key(0))[0])


def divided(rows: Rows, size: int, name: str) -> tuple[Rows, Rows]:
    """Splits `size` random rows off: the rows that are left, and these."""
    count = len(rows.labels)
    require(size < count, name, f"fewer than the {count} rows", size)
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    first, second = (
        Rows(rows.inputs[part], rows.labels[part]) for part in (order[size:], order[:size])
    )
    return first, second


def penalty_of(name: str, config: Settings) -> Callable[[Any], jaxreg.Penalty]:
    """The function from λ to a penalty."""
    made: Mapping[str, Callable[[Any], jaxreg.Penalty]] = {
        "L1": jaxreg.L1,
        "log-sum": lambda strength: jaxreg.LogSum(strength, config.scale),
        "group log-sum": lambda strength: jaxreg.Group(
            jaxreg.LogSum(strength, config.group_scale), axis=1
        ),
    }
    return made[name]


def optimizer_of(config: Settings) -> Callable[[Any], optax.GradientTransformation]:
    """The function from the penalties at one λ to the optimizer of the path; its steps have no
    bound, as λ changes fast.
    """
    return lambda penalties: jaxreg.prox_adam(config.learning_rate, penalties, max_shrink=None)


def refitting(config: Settings, rows: int) -> Callable[[Any], optax.GradientTransformation]:
    """The function from the penalties to the optimizer that refits."""
    steps = config.refit_epochs * (rows // config.batch_size)
    return lambda _: optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps))
