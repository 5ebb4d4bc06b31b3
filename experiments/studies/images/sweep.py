"""Sparse training on images compared with AdamW at its own best setting, from dense networks to 1 % of the weights.

The sweep is learning rate × weight decay for AdamW, and strength for L1, the elastic net and group L2, each with several
seeds. A seed determines the validation rows, the initial weights and the order of batches, so that methods can be compared
seed by seed. Every sparse network is also refitted: it is trained for a few more epochs without its penalty, while its zeros
are held. As a reference, every AdamW network is also cut to its largest weights after training, without further training.

A weight counts as kept if it is not 0 and leads to an output (see `pruning`), for every method.

Settings are chosen on validation data and reported on test data. The best setting has the highest mean validation accuracy.
A setting is within one standard error if its mean validation accuracy is at most one standard error below that of the best
AdamW setting, where the standard error is that of the best AdamW setting.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from flax import nnx
from jax.typing import ArrayLike

import jaxreg
from experiments import datasets, idx
from experiments.datasets import Rows
from experiments.layout import described
from experiments.networks import initial, kernels_of
from experiments.settings import SettingError, require
from experiments.studies.images.pruning import count_kept, evaluate_cuts
from experiments.studies.images.settings import FASHION, MNIST, Settings
from experiments.studies.images.tradeoff import ADAMW, ELASTIC, GROUP, L1
from experiments.study import Session
from experiments.training import accuracy, evaluate, split, train_params

PROGRAMS = {"adamw": (ADAMW,), "elastic": (L1, ELASTIC), "group": (GROUP,)}
"""The methods that each compiled program trains: L1 is an elastic net with λ₂ = 0."""
METRICS = ("train_accuracy", "validation_accuracy", "test_accuracy", "train_loss", "validation_loss", "test_loss")
TEXTS = {
    "nonzero": ("share of weights that are not 0", "1"),
    "kept": ("share of weights that are not 0 and lead to an output", "1"),
    "live": ("units of a layer, starting with the inputs, that have an outgoing weight which is kept", "count"),
    "pruned_kept": ("share of weights kept after cutting", "1"),
    "learning_rate": ("learning rate at the first step", "1"),
    "strength": ("strength λ; for AdamW optax's weight_decay", "nats per unit of the penalty"),
    "second": ("λ₂ of the elastic net", "nats per unit of the penalty"),
    "share": ("share of the weights, the largest, that cutting leaves", "1"),
    **{
        f"{prefix}_{rows}_accuracy": (f"accuracy on {rows} rows, {text}", "1")
        for prefix, text in (("pruned", "cut without further training"), ("refitted", "trained on without the penalty"))
        for rows in ("validation", "test")
    },
}


class Source(NamedTuple):
    """A data set.

    Attributes:
        name: of the data set.
        rows: training and validation rows, and test rows too if `test` is None.
        test: separate test rows, or None if the data set has none.
    """

    name: str
    rows: Rows
    test: Rows | None


class Run(NamedTuple):
    """The hyperparameters of one network: scalars in one fit, arrays with one entry for each run in a sweep.

    Attributes:
        seed: number of the repetition.
        learning_rate: at the first step.
        strength: λ; for AdamW optax's weight_decay.
        second: λ₂ of the elastic net.
    """

    seed: ArrayLike
    learning_rate: ArrayLike
    strength: ArrayLike
    second: ArrayLike


def load_source(config: Settings) -> Source:
    """Loads the data set that the settings name.

    Raises:
        SettingError: there is no such data set or folder, the folder is not as expected, or there are too few rows.
    """
    if config.data == MNIST:
        source = Source(MNIST, datasets.mnist_5000(), None)
    else:
        folder = idx.FASHION if config.data == FASHION else Path(config.data).expanduser()
        known = config.data == FASHION or folder.is_dir()
        require(known, "data", f"{FASHION}, {MNIST} or a folder of four IDX files", config.data)
        source = Source(config.data if config.data == FASHION else folder.resolve().name, *idx.load(folder))
    drawn = config.validation_size + (config.test_size if source.test is None else 0)
    left = len(source.rows.labels) - drawn
    if left < config.training.batch_size:
        expected = f"training.batch-size: expected at most the {max(left, 0)} rows that are left to train on"
        raise SettingError(f"{expected} of {len(source.rows.labels)}, got {config.training.batch_size}")
    return source


def plan_settings(config: Settings) -> xr.Dataset:
    """Every setting along `setting` (its method, learning rate, strength and second strength), and the seeds."""
    rate = config.training.learning_rate
    settings = [
        *((ADAMW, each, decay, 0.0) for each in config.learning_rates for decay in config.decay),
        *((L1, rate, strength, 0.0) for strength in config.l1),
        *((ELASTIC, rate, strength, strength * config.l2_ratio) for strength in config.elastic_net),
        *((GROUP, rate, strength, 0.0) for strength in config.group),
    ]
    names = ("method", "learning_rate", "strength", "second")
    columns = {name: ("setting", np.array(column)) for name, column in zip(names, zip(*settings, strict=True), strict=True)}
    return xr.Dataset(coords={**columns, "seed": np.arange(config.seeds), "share": np.array(config.shares)})


def count_networks(config: Settings) -> int:
    """Number of networks."""
    return int(plan_settings(config).sizes["setting"]) * config.seeds


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every setting with every seed, in one compiled program for each entry of `PROGRAMS`.

    Returns:
        Along (setting, seed): accuracies (shares), losses (nats), shares of weights kept, `live` units along `layer` from
        the inputs on, accuracies of the refitted sparse networks, and for AdamW the share kept and the accuracies after
        cutting, along `share`. NaN where a method has no such number.
    """
    source = load_source(config)
    dataset = plan_settings(config)
    widths = source.rows.inputs.shape[1], *config.hidden, int(source.rows.labels.max()) + 1
    outputs: dict[str, np.ndarray] = {}
    for program, methods in PROGRAMS.items():
        at = np.flatnonzero(np.isin(dataset["method"], methods))
        fit = functools.partial(train_network, program=program, widths=widths, config=config)
        # One network takes long enough to be a chunk of its own.
        runs = session.sweep(fit, all_runs(dataset.isel(setting=at)), source[1:], part=program, chunk=1)
        for name, values in {**runs.outputs, "diverged": runs.diverged.astype(float)}.items():
            shape = (dataset.sizes["setting"], config.seeds, *values.shape[1:])
            outputs.setdefault(name, np.full(shape, np.nan))[at] = values.reshape(len(at), *shape[1:])
    last = {"live": "layer", "pruned_kept": "share", "pruned_validation_accuracy": "share", "pruned_test_accuracy": "share"}
    for name, values in outputs.items():
        dataset[name] = (("setting", "seed", *([last[name]] if name in last else [])), values)
    dataset["diverged"] = dataset["diverged"].astype(bool)
    return described(dataset.assign_attrs(data=source.name), TEXTS)


def all_runs(settings: xr.Dataset) -> Run:
    """Every setting with every seed, as arrays with one entry for each run; the seeds of a setting are adjacent."""
    columns = (settings[name].values for name in ("learning_rate", "strength", "second"))
    repeated = (np.repeat(column, settings.sizes["seed"]).astype(np.float32) for column in columns)
    return Run(np.tile(settings["seed"].values, settings.sizes["setting"]), *repeated)


def train_network(
    _: jax.Array, run: Run, rows: tuple[Rows, Rows | None], *, program: str, widths: Sequence[int], config: Settings
) -> dict[str, jax.Array]:
    """Splits the rows, trains and evaluates one network, and then cuts it (AdamW) or refits it (sparse methods).

    Args:
        run: scalars.
        rows: training and validation rows, and the test rows or None.
        program: a key of `PROGRAMS`.
        widths: of the inputs, the hidden layers and the outputs.
        config: the settings of the study.

    Returns:
        Metrics, NaN if the network diverged.
    """
    split_key, model_key, order_key = jax.random.split(jax.random.key(run.seed), 3)
    parts = split_rows(split_key, rows, config)
    structure, start = initial(widths, model_key)
    penalty = penalty_of(program, run)

    def make_optimizer(schedule: optax.Schedule) -> optax.GradientTransformation:
        # The schedule has a fixed learning rate, so that one program serves all runs; rescale it to the run's own.
        def rate(count: ArrayLike) -> jax.Array:
            return run.learning_rate * schedule(count) / config.training.learning_rate

        if program == "adamw":
            return optax.adamw(rate, weight_decay=run.strength, mask=jaxreg.kernels)
        return jaxreg.prox_adam(rate, penalty, mask=jaxreg.kernels)

    params = train_params(structure, start, make_optimizer, order_key, parts["train"], config.training)
    evaluated = evaluate(structure, params, penalty, parts)
    metrics = {name: evaluated[name] for name in (*METRICS, "kkt_residual")}
    metrics |= {"nonzero": 1 - evaluated["zero_fraction"], **count_kept(kernels_of(params))}
    held_out = {name: parts[name] for name in ("validation", "test")}
    if program == "adamw":
        metrics |= evaluate_cuts(structure, params, config.shares, held_out)
    else:
        params = refit(structure, params, order_key, parts["train"], config)
        metrics |= {f"refitted_{name}_accuracy": accuracy(structure, params, rows) for name, rows in held_out.items()}
    finite = jnp.isfinite(metrics["train_loss"])
    return {name: jnp.where(finite, value, jnp.nan) for name, value in metrics.items()}


def refit(structure: nnx.GraphDef, params: optax.Params, key: jax.Array, rows: Rows, config: Settings) -> optax.Params:
    """Trains a network further with Adam, without a penalty, while its zeros are held: this undoes the shrinkage."""
    support = jax.tree.map(lambda leaf: (leaf != 0) | (leaf.ndim < 2), params)
    held = optax.stateless(lambda updates, _: jax.tree.map(lambda update, free: update * free, updates, support))
    settings = dataclasses.replace(config.training, epochs=config.refit_epochs)
    return train_params(structure, params, lambda rate: optax.chain(optax.adam(rate), held), key, rows, settings)


def split_rows(key: jax.Array, rows: tuple[Rows, Rows | None], config: Settings) -> dict[str, Rows]:
    """Training, validation and test rows; test rows are drawn only if the data set has none of its own."""
    pool, test = rows
    if test is None:
        names, sizes = ("validation", "test", "train"), [config.validation_size, config.test_size]
        return dict(zip(names, split(key, pool, sizes), strict=True))
    return {**dict(zip(("validation", "train"), split(key, pool, [config.validation_size]), strict=True)), "test": test}


def penalty_of(program: str, run: Run) -> jaxreg.Penalty:
    """The penalty that a run minimises together with the loss; zero for AdamW, whose decay minimises none."""
    if program == "adamw":
        return jaxreg.SquaredL2(0.0)
    if program == "group":
        return jaxreg.GroupL2(run.strength, axis=1)
    return jaxreg.ElasticNet(run.strength, run.second)
