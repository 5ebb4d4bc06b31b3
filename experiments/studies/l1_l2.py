"""The first study: one network, five ways of regularizing it, every strength, several seeds.

Swept, on scikit-learn's digits: method × λ × seed, in one compiled program.

Claimed of L1: weights become exactly zero by the proximal step, more of them as λ grows, and inputs leave altogether; the
coupled subgradient gives none. Claimed of L2: weights shrink and none becomes zero. The table and the figures show how far
that holds, with mean ± standard error over the seeds.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import xarray as xr

import jaxreg
from experiments import data
from experiments.config import Study
from experiments.train import Strengths, fit

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
