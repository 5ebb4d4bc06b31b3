"""The first study: one network, five ways of regularizing it, every strength, several seeds.

Swept, on scikit-learn's digits: method × λ × seed, in one compiled program. Drawn, on its wine data: one network small
enough for a picture, trained without a penalty and then trained on with L1 and with L2 from the same weights.

Claimed of L1: weights become exactly zero by the proximal step, more of them as λ grows, and inputs leave altogether; the
coupled subgradient gives none. Claimed of L2: weights shrink and none becomes zero. The table and the figures show how far
that holds, with mean ± standard error over the seeds.
"""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import jaxreg
from experiments import data
from experiments.config import Drawing, Study, Training
from experiments.model import initial, kernels_of
from experiments.train import Strengths, accuracy, fit, optimizer, train

METHODS = {
    "none": None,
    "coupled L1": "coupled_l1",
    "proximal L1": "proximal_l1",
    "coupled L2": "coupled_l2",
    "decoupled L2": "decoupled_l2",
}
"""Each method's name in records and figures, and the one strength that it sets."""


def plan(config: Study) -> xr.Dataset:
    """Every run of the sweep along the dimension `run`: its method, strength and seed."""
    grids = {
        "none": (0.0,),
        "coupled L1": config.sweep.l1,
        "proximal L1": config.sweep.l1,
        "coupled L2": config.sweep.l2,
        "decoupled L2": config.sweep.decay,
    }
    seeds = range(config.sweep.seeds)
    runs = [(method, strength, seed) for method, grid in grids.items() for strength in grid for seed in seeds]
    methods, strengths, numbers = zip(*runs, strict=True)
    return xr.Dataset(
        coords={
            "method": ("run", np.array(methods)),
            "strength": ("run", np.array(strengths), {"long_name": "strength λ", "units": "nats per unit of the penalty"}),
            "seed": ("run", np.array(numbers)),
        }
    )


def strengths_of(runs: xr.Dataset) -> Strengths:
    """The plan's strengths, each in the place that its method gives it: arrays with one entry a run."""
    places = {
        field: np.where(runs["method"] == method, runs["strength"], 0.0).astype(np.float32)
        for method, field in METHODS.items()
        if field
    }
    return Strengths(**places)


def sweep(config: Study, advance: Callable[[int], None], folder: Path | None = None) -> xr.Dataset:
    """Trains every run of the plan on the digits.

    Args:
        config: the study's settings. advance: told how many runs were finished.
        folder: where finished chunks are kept, so that an interrupted study goes on; None keeps nothing.

    Returns:
        Records along `run`: metrics, per-layer arrays along `layer`, and for the first seed's runs (`shown`) the kernels
        as one vector along `weight`, with the layer that each came from.
    """
    rows = data.digits()
    widths = (rows.inputs.shape[1], *config.hidden, 10)
    runs = plan(config)

    def one(_: jax.Array, run: tuple[jax.Array, Strengths], rows: data.Rows) -> dict[str, jax.Array]:
        # The seed is the key: it pairs the methods, which share split, initial weights and order of batches.
        seed, strengths = run
        return fit(seed, strengths, rows, widths, config.train_size, config.training)

    every = (runs["seed"].values, strengths_of(runs))
    swept = jaxreg.sweep(one, every, rows, devices=config.devices, folder=folder, progress=advance)
    results = swept.outputs
    weights = results.pop("weights")
    for name, values in results.items():
        runs[name] = ((("run", "layer") if values.ndim == 2 else "run"), values)
    shown = np.flatnonzero(runs["seed"].values == 0)
    runs["weights"] = (("shown", "weight"), weights[shown])
    sizes = [inputs * outputs for inputs, outputs in itertools.pairwise(widths)]
    return runs.assign_coords(
        shown_run=("shown", shown), weight_layer=("weight", np.repeat(np.arange(len(sizes)), sizes).astype(np.int8))
    ).assign(run_diverged=("run", swept.diverged))


def draw(config: Drawing) -> xr.Dataset:
    """Trains the small network without a penalty, then on from there with L1 and with L2.

    Returns:
        Kernels `first` (stage, input, hidden) and `second` (stage, hidden, class), and the accuracies, along `stage`:
        "before", "L1" and "L2".
    """
    wine = data.wine(config.seed)
    settings = Training(config.steps, len(wine.train.labels), config.learning_rate)
    widths = (len(wine.features), config.hidden, len(wine.classes))
    model_key, *order_keys = jax.random.split(jax.random.key(config.seed), 3)
    structure, start = initial(widths, model_key)

    @jax.jit
    def phase(params: Any, strengths: Strengths, key: jax.Array, rows: data.Rows) -> Any:
        return train(structure, params, functools.partial(optimizer, strengths), key, rows, settings)

    stages: dict[str, Any] = {
        "before": phase(start, Strengths(*jnp.zeros(len(Strengths._fields))), order_keys[0], wine.train)
    }
    penalties = {"L1": Strengths(proximal_l1=config.l1), "L2": Strengths(coupled_l2=config.l2)}
    for name, strengths in penalties.items():
        stages[name] = phase(stages["before"], Strengths(*map(jnp.float32, strengths)), order_keys[1], wine.train)
    kernels = {name: kernels_of(params) for name, params in stages.items()}
    score = jax.jit(functools.partial(accuracy, structure))
    return xr.Dataset(
        {
            "first": (("stage", "input", "hidden"), np.stack([kernel for kernel, _ in kernels.values()])),
            "second": (("stage", "hidden", "class"), np.stack([kernel for _, kernel in kernels.values()])),
            "train_accuracy": ("stage", np.array([score(params, wine.train) for params in stages.values()])),
            "test_accuracy": ("stage", np.array([score(params, wine.test) for params in stages.values()])),
        },
        coords={
            "stage": list(stages),
            "input": wine.features,
            "class": wine.classes,
            "strength": ("stage", [0.0, config.l1, config.l2]),
        },
    )
