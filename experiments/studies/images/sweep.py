"""Real images: sparse training beside AdamW at its own best setting, from dense networks to 1 % of the weights.

Swept: learning rate × weight decay for AdamW, and the strength for L1, the elastic net and group L2, each with several
seeds; a seed draws the validation rows, the initial weights and the order of batches, and pairs the methods. Every sparse
network is also refitted: trained on for a few epochs without its penalty, its zeros held. For reference, every AdamW network
is also cut down to its largest weights after training, and not trained again.

A weight counts as kept if it is not 0 and leads to an output (see `pruning`). Networks of every method are counted so.

Validation rows choose, test rows report. "Best" is the setting with the highest mean validation accuracy; a setting is
within one standard error if its mean is no lower than that of the best AdamW setting by more than that one's standard error.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax.typing import ArrayLike

import jaxreg
from experiments import datasets, idx
from experiments.datasets import Rows
from experiments.layout import described
from experiments.networks import initial, kernels_of
from experiments.settings import SettingError, require
from experiments.studies.images.pruning import kept, pruned
from experiments.studies.images.settings import FASHION, MNIST, Settings
from experiments.studies.images.tradeoff import ADAMW, ELASTIC, GROUP, L1
from experiments.study import Session
from experiments.training import accuracy, evaluate, split, train_network

FAMILIES = {"adamw": (ADAMW,), "elastic": (L1, ELASTIC), "group": (GROUP,)}
"""Which methods share a compiled program: L1 is the elastic net whose second strength is 0."""
METRICS = ("train_accuracy", "validation_accuracy", "test_accuracy", "train_loss", "validation_loss", "test_loss")


TEXTS = {
    "nonzero": ("share of weights that are not 0", "1"),
    "kept": ("share of weights that are not 0 and lead to an output", "1"),
    "live": ("units of a layer, from the inputs on, that a kept weight leaves", "count"),
    "pruned_kept": ("share of weights kept after cutting", "1"),
    "learning_rate": ("learning rate at the first step", "1"),
    "strength": ("strength λ; of AdamW optax's weight_decay", "nats per unit of the penalty"),
    "second": ("λ₂ of the elastic net", "nats per unit of the penalty"),
    "share": ("share of weights that pruning keeps", "1"),
    **{
        f"{how}_{rows}_accuracy": (f"accuracy on {rows} rows, {text}", "1")
        for how, text in (("pruned", "cut without training again"), ("refitted", "trained on without the penalty"))
        for rows in ("validation", "test")
    },
}


class Source(NamedTuple):
    """A data set: its name, the rows to train and to choose on, and its own test rows, or None where they must be drawn."""

    name: str
    rows: Rows
    test: Rows | None


class Run(NamedTuple):
    """What differs between runs of one program: scalars in a fit, arrays with one entry a run in a sweep."""

    seed: ArrayLike
    learning_rate: ArrayLike
    strength: ArrayLike
    second: ArrayLike


def source(config: Settings) -> Source:
    """The data that the settings name.

    Raises:
        SettingError: no such data set or folder, a folder with a mistake in it, or too few rows for the settings.
    """
    if config.data == MNIST:
        found = Source(MNIST, datasets.mnist_5000(), None)
    else:
        folder = idx.FASHION if config.data == FASHION else Path(config.data).expanduser()
        known = config.data == FASHION or folder.is_dir()
        require(known, "data", f"{FASHION}, {MNIST} or a folder of four IDX files", config.data)
        found = Source(config.data if config.data == FASHION else folder.resolve().name, *idx.load(folder))
    drawn = config.validation_size + (config.test_size if found.test is None else 0)
    left = len(found.rows.labels) - drawn
    if left < config.training.batch_size:
        what = f"training.batch-size: expected at most the {max(left, 0)} rows that are left to train on"
        raise SettingError(f"{what} of {len(found.rows.labels)}, got {config.training.batch_size}")
    return found


def plan(config: Settings) -> xr.Dataset:
    """Every setting along `setting` (its method, learning rate, strength and second strength), and the seeds."""
    rate = config.training.learning_rate
    settings = [
        *((ADAMW, each, decay, 0.0) for each in config.learning_rates for decay in config.decay),
        *((L1, rate, strength, 0.0) for strength in config.l1),
        *((ELASTIC, rate, strength, strength * config.l2_ratio) for strength in config.elastic_net),
        *((GROUP, rate, strength, 0.0) for strength in config.group),
    ]
    methods, rates, strengths, seconds = zip(*settings, strict=True)
    name = "strength λ; of AdamW optax's weight_decay"
    return xr.Dataset(
        coords={
            "method": ("setting", np.array(methods)),
            "learning_rate": ("setting", np.array(rates), {"long_name": "learning rate at the first step"}),
            "strength": ("setting", np.array(strengths), {"long_name": name}),
            "second": ("setting", np.array(seconds), {"long_name": "λ₂ of the elastic net"}),
            "seed": np.arange(config.seeds),
            "share": ("share", np.array(config.shares), {"long_name": "share of weights that pruning keeps"}),
        }
    )


def count(config: Settings) -> int:
    """Number of networks."""
    return int(plan(config).sizes["setting"]) * config.seeds


def train_all(config: Settings, session: Session) -> xr.Dataset:
    """Trains every setting of the plan with every seed, a program for each family of methods.

    Args:
        config: the settings.
        session: of the command.

    Returns:
        Records along `setting` and `seed`: accuracies (shares), losses (nats), shares of weights kept, living units of each
        `layer` from the inputs on, accuracies of the refitted sparse networks, and for AdamW's networks the share kept and
        accuracies of each along `share`; NaN elsewhere.
    """
    found = source(config)
    records = plan(config)
    width = found.rows.inputs.shape[1], *config.hidden, int(found.rows.labels.max()) + 1
    outputs: dict[str, np.ndarray] = {}
    for family, methods in FAMILIES.items():
        at = np.flatnonzero(np.isin(records["method"], methods))
        runs = runs_of(records.isel(setting=at))
        one = functools.partial(fit, family=family, widths=width, config=config)
        # One network takes long enough to be a chunk of its own.
        swept = session.sweep(one, runs, found[1:], part=family, chunk=1)
        for name, values in {**swept.outputs, "diverged": swept.diverged.astype(float)}.items():
            whole = outputs.setdefault(name, np.full((records.sizes["setting"], config.seeds, *values.shape[1:]), np.nan))
            whole[at] = values.reshape(len(at), config.seeds, *values.shape[1:])
    last = {"live": "layer", "pruned_kept": "share", "pruned_validation_accuracy": "share", "pruned_test_accuracy": "share"}
    for name, values in outputs.items():
        records[name] = (("setting", "seed", *([last[name]] if name in last else [])), values)
    records["diverged"] = records["diverged"].astype(bool)
    return described(records.assign_attrs(data=found.name), TEXTS)


def runs_of(settings: xr.Dataset) -> Run:
    """Every setting with every seed, as arrays with one entry a run, a setting's seeds side by side."""
    columns = (settings[name].values for name in ("learning_rate", "strength", "second"))
    repeated = (np.repeat(column, settings.sizes["seed"]).astype(np.float32) for column in columns)
    return Run(np.tile(settings["seed"].values, settings.sizes["setting"]), *repeated)


def fit(
    _: jax.Array, run: Run, rows: tuple[Rows, Rows | None], *, family: str, widths: Sequence[int], config: Settings
) -> dict[str, jax.Array]:
    """Draws the rows, trains and judges one network; then prunes one of AdamW's, and refits any other.

    Args:
        run: scalars. rows: to train and to choose on, and the test rows. family, widths, config: static.
    """
    split_key, model_key, order_key = jax.random.split(jax.random.key(run.seed), 3)
    parts = parts_of(split_key, rows, config)
    structure, start = initial(widths, model_key)
    penalty = penalty_of(family, run)

    def optimizer(schedule: optax.Schedule) -> optax.GradientTransformation:
        # The schedule is the same for all runs, so that each can scale it by a learning rate of its own.
        def rate(count: ArrayLike) -> jax.Array:
            return run.learning_rate * schedule(count) / config.training.learning_rate

        if family == "adamw":
            return optax.adamw(rate, weight_decay=run.strength, mask=jaxreg.kernels)
        return jaxreg.prox_adam(rate, penalty, mask=jaxreg.kernels)

    params = train_network(structure, start, optimizer, order_key, parts["train"], config.training)
    evaluated = evaluate(structure, params, penalty, parts)
    measured = {name: evaluated[name] for name in (*METRICS, "kkt_residual")}
    counts = {"nonzero": 1 - evaluated["zero_fraction"], **kept(kernels_of(params))}
    chosen_by = {name: parts[name] for name in ("validation", "test")}
    if family == "adamw":
        counts |= pruned(structure, params, config.shares, chosen_by)
    else:
        params = refitted(structure, params, order_key, parts["train"], config)
        counts |= {f"refitted_{name}_accuracy": accuracy(structure, params, rows) for name, rows in chosen_by.items()}
    sound = jnp.isfinite(measured["train_loss"])
    return {name: jnp.where(sound, value, jnp.nan) for name, value in {**measured, **counts}.items()}


def refitted(structure: Any, params: Any, key: jax.Array, rows: Rows, config: Settings) -> Any:
    """The network trained on by Adam without a penalty, its zeros held: what is left is freed of the penalty's shrinkage."""
    support = jax.tree.map(lambda leaf: (leaf != 0) | (leaf.ndim < 2), params)
    held = optax.stateless(lambda updates, _: jax.tree.map(lambda update, free: update * free, updates, support))
    settings = dataclasses.replace(config.training, epochs=config.refit_epochs)
    return train_network(structure, params, lambda rate: optax.chain(optax.adam(rate), held), key, rows, settings)


def parts_of(key: jax.Array, rows: tuple[Rows, Rows | None], config: Settings) -> dict[str, Rows]:
    """Training, validation and test rows; test rows are drawn only where the data brings none."""
    pool, test = rows
    if test is None:
        names, sizes = ("validation", "test", "train"), [config.validation_size, config.test_size]
        return dict(zip(names, split(key, pool, sizes), strict=True))
    return {**dict(zip(("validation", "train"), split(key, pool, [config.validation_size]), strict=True)), "test": test}


def penalty_of(family: str, run: Run) -> jaxreg.Penalty:
    """What a run minimises together with the loss; decoupled decay minimises no penalty, here one of strength 0."""
    if family == "adamw":
        return jaxreg.SquaredL2(0.0)
    if family == "group":
        return jaxreg.GroupL2(run.strength, axis=1)
    return jaxreg.ElasticNet(run.strength, run.second)
