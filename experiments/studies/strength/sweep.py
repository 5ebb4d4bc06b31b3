"""Networks on the digits with every method of regularization at every strength: the data behind
four claims.

The sweep is setting (a method and its λ, or no penalty) × share of wrong training labels × seed, in
one compiled program. The dataset has the dimensions (method, level, wrong, seed). Level 0 of every
method is λ = 0, where all methods share the same networks.

Zeros: L1 sets weights exactly to zero, more of them as λ grows, but only with the proximal step.
Shrinkage: L2 makes weights smaller, all by the same factor, and none zero. Norm: a larger λ gives a
smaller norm. Overfitting: both penalties narrow the gap between training and test accuracy, and the
λ chosen on validation data predicts test data better than λ = 0.
"""

import functools
from typing import TypedDict

import jax
import jax.numpy as jnp
import xarray as xr

import jaxreg
from experiments import datasets
from experiments.layout import along_levels, described, layers_of, settings_of
from experiments.networks import initial, kernels_of
from experiments.studies.strength import proportion
from experiments.studies.strength.settings import Settings
from experiments.study import Session
from experiments.training import (
    Strengths,
    charged,
    evaluate,
    mislabelled,
    optimizer,
    split,
    train_params,
    weights_of,
)

TEXTS = {
    "varying_weights": (
        "kernel weights, without those of pixels that are constant over the training rows",
        "count",
    ),
    "varying_zeros": (
        "exact zeros, without weights of pixels that are constant over the training rows",
        "count",
    ),
    **proportion.TEXTS,
}


class Run(TypedDict):
    """Hyperparameters of one network.

    Attributes:
        setting: strengths of its penalties.
        wrong: share of wrong training labels.
        seed: number of the repetition.
    """

    setting: Strengths
    wrong: jax.Array
    seed: jax.Array


def methods(config: Settings) -> dict[str, tuple[str, tuple[float, ...]]]:
    """For each method, its field of `Strengths` and the values of λ."""
    return {
        "coupled L1": ("coupled_l1", config.l1),
        "decoupled L1": ("decoupled_l1", config.decoupled_l1),
        "proximal L1": ("proximal_l1", config.l1),
        "coupled L2": ("coupled_l2", config.l2),
        "decoupled L2": ("decoupled_l2", config.decay),
    }


def count_networks(config: Settings) -> int:
    """Number of networks."""
    return (1 + len(methods(config)) * len(config.l1)) * len(config.wrong) * config.seeds


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every network.

    Returns:
        Metrics of `experiments.training.evaluate` along (method, level, wrong, seed), with the
        coordinate `strength` (method, level); the counts of `count_varying` and the results of
        `proportion.proportion`; and the kernels of seed 0 with correct labels, `weights` (method,
        level, weight), with the coordinate `weight_layer`.
    """
    rows = datasets.digits()
    widths = (rows.inputs.shape[1], *config.hidden, 10)
    settings, places, levels = settings_of(methods(config))
    grid = jaxreg.grid(setting=settings, wrong=list(config.wrong), seed=range(config.seeds))
    runs = session.sweep(functools.partial(train_network, widths=widths, config=config), grid, rows)
    outputs = runs.outputs
    weights = outputs.pop("weights")
    outputs |= proportion.proportion(weights) | {"diverged": runs.diverged}
    dataset = along_levels(
        outputs, places, levels, ("wrong", "seed"), {"wrong": list(config.wrong)}
    )
    correct_labels = weights[:, list(config.wrong).index(0), 0]
    dataset = dataset.assign(weights=(("method", "level", "weight"), correct_labels[places]))
    dataset = dataset.assign_coords(
        weight_layer=("weight", layers_of(widths)), seed=range(config.seeds)
    )
    return described(dataset, TEXTS)


def train_network(
    key: jax.Array, run: Run, rows: datasets.Rows, widths: tuple[int, ...], config: Settings
) -> dict[str, jax.Array]:
    """Splits the rows, trains one network and evaluates it."""
    split_key, label_key, model_key, order_key = jax.random.split(key, 4)
    names = ("train", "validation", "test")
    parts = dict(
        zip(names, split(split_key, rows, [config.train_size, config.validation_size]), strict=True)
    )
    parts["train"] = mislabelled(label_key, parts["train"], run["wrong"])
    structure, params = initial(widths, model_key)
    make = functools.partial(optimizer, run["setting"])
    params = train_params(structure, params, make, order_key, parts["train"], config.training)
    metrics = evaluate(structure, params, charged(run["setting"]), parts)
    counts = count_varying(kernels_of(params), parts["train"])
    counts = {
        name: jnp.where(jnp.isfinite(metrics["train_loss"]), count, jnp.nan)
        for name, count in counts.items()
    }
    return {**metrics, **counts, "weights": weights_of(params)}


def count_varying(kernels: list[jax.Array], rows: datasets.Rows) -> dict[str, jax.Array]:
    """Counts weights and exact zeros, without the weights of pixels that are constant over the
    rows.

    A pixel that is always black gives its weights no gradient, so only the penalty moves them. Its
    steps shrink with the learning rate, and one of them can end exactly at 0 with any method.

    Args:
        kernels: of the network, (in, out) each.
        rows: training rows.

    Returns:
        `varying_weights` and `varying_zeros`, the number of weights and of zeros among them, as
        float32 scalars.
    """
    varies = jnp.ptp(rows.inputs, 0) > 0
    first, *others = kernels
    weights = jnp.sum(varies) * first.shape[1] + sum(kernel.size for kernel in others)
    zeros = jnp.sum((first == 0) & varies[:, None]) + sum(jnp.sum(kernel == 0) for kernel in others)
    return {
        "varying_weights": weights.astype(jnp.float32),
        "varying_zeros": zeros.astype(jnp.float32),
    }


def correctly_labelled(dataset: xr.Dataset) -> xr.Dataset:
    """The networks trained on correct labels."""
    return dataset.sel(wrong=0.0)
