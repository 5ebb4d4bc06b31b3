"""A network on scikit-learn's digits: four methods of regularization, several strengths and seeds,
all in one program.
"""

import functools
from typing import Any

import jax
import numpy as np
import xarray as xr

import jaxreg
from experiments import datasets
from experiments.layout import along_levels, described, layers_of, settings_of
from experiments.networks import initial
from experiments.studies.l1_l2.settings import Settings
from experiments.study import Session
from experiments.training import charged, evaluate, optimizer, split, train_params, weights_of

LONG_NAMES = {
    "layer": ("layer of the network, from 0", "1"),
    "weight": ("position of a weight in the network", "1"),
}


def methods(config: Settings) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Each method's field of `Strengths` and its strengths."""
    return {
        "coupled L1": ("coupled_l1", config.sweep.l1),
        "proximal L1": ("proximal_l1", config.sweep.l1),
        "coupled L2": ("coupled_l2", config.sweep.l2),
        "decoupled L2": ("decoupled_l2", config.sweep.decay),
    }


def count_networks(config: Settings) -> int:
    """The number of networks."""
    return (1 + len(methods(config)) * len(config.sweep.l1)) * config.sweep.seeds


def train_digits(config: Settings, session: Session) -> xr.Dataset:
    """Trains every network on the digits.

    Args:
        config: the settings of the main job.
        session: the devices, folder and progress of the command.

    Returns:
        The metrics of `experiments.training.evaluate` along (method, level, seed), with the
        coordinate `strength` (method, level); and for seed 0 the kernels as `weights` (method,
        level, weight), with the coordinate `weight_layer`. Level 0 of every method is the same
        network, without a penalty.
    """
    rows = datasets.digits()
    widths = (rows.inputs.shape[1], *config.hidden, 10)

    def train_network(
        key: jax.Array, run: dict[str, Any], rows: datasets.Rows
    ) -> dict[str, jax.Array]:
        # The seed alone decides the key, which pairs the methods: they share split, initial weights
        # and order of batches.
        split_key, model_key, order_key = jax.random.split(key, 3)
        parts = dict(
            zip(("train", "test"), split(split_key, rows, [config.train_size]), strict=True)
        )
        structure, params = initial(widths, model_key)
        make_optimizer = functools.partial(optimizer, run["setting"])
        params = train_params(
            structure, params, make_optimizer, order_key, parts["train"], config.training
        )
        return {
            **evaluate(structure, params, charged(run["setting"]), parts),
            "weights": weights_of(params),
        }

    settings, places, levels = settings_of(methods(config))
    runs = session.sweep(
        train_network, jaxreg.grid(setting=settings, seed=range(config.sweep.seeds)), rows
    )
    outputs = {**runs.outputs, "diverged": runs.diverged}
    weights = np.asarray(outputs.pop("weights"))[:, 0]
    dataset = along_levels(outputs, places, levels, ("seed",), {"seed": range(config.sweep.seeds)})
    dataset = dataset.assign(weights=(("method", "level", "weight"), weights[places]))
    numbers = {name: np.arange(dataset.sizes[name]) for name in ("level", "layer", "weight")}
    return described(
        dataset.assign_coords({**numbers, "weight_layer": ("weight", layers_of(widths))}),
        LONG_NAMES,
    )
