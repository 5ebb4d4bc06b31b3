"""Every way of regularizing the network on the digits, every strength: what four claims are judged by.

Swept: setting (a method and its λ, or none) × share of wrong training labels × seed, in one compiled program. The records
lie along (way, level, wrong, seed); level 0 of each method is λ = 0, one set of networks that all methods share.

Zeros: L1 drives weights to exactly zero, more of them as λ grows; only the proximal step does. Shrinkage: L2 makes weights
smaller and none zero, all in proportion. Norm: the larger λ, the smaller the norm. Overfitting: both reduce the gap between
training and test rows, and the λ that validation rows choose beats λ = 0 on test rows.
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
from experiments.config import StrengthStudy
from experiments.model import initial, kernels_of
from experiments.studies.layout import along_levels, settings_of
from experiments.train import charged, judge, optimizer, split, train, weights_of

SHRUNK = 0.9
"""A norm of at most this share of the unpenalised network's counts as shrunk."""
NEAR = 0.1
"""How near the common factor a weight's own factor must be, relatively, for the two to be called proportional."""


def methods(config: StrengthStudy) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Each method's field of `Strengths` and its strengths."""
    return {
        "coupled L1": ("coupled_l1", config.l1),
        "decoupled L1": ("decoupled_l1", config.decoupled_l1),
        "proximal L1": ("proximal_l1", config.l1),
        "coupled L2": ("coupled_l2", config.l2),
        "decoupled L2": ("decoupled_l2", config.decay),
    }


def runs(config: StrengthStudy) -> int:
    """Number of networks."""
    return (1 + len(methods(config)) * len(config.l1)) * len(config.wrong) * config.seeds


def sweep(config: StrengthStudy, devices: int | None, folder: Path | None, advance: Callable[[int], None]) -> xr.Dataset:
    """Trains every network.

    Returns:
        Metrics of `experiments.train.judge` along (way, level, wrong, seed), with coordinate `strength` (way, level); what
        `fed_zeros` counts and `proportion` finds; and for seed 0 without wrong labels the kernels, `weights` (way, level,
        weight), with the coordinate `weight_layer`.
    """
    rows = data.digits()
    widths = (rows.inputs.shape[1], *config.hidden, 10)

    def one(key: jax.Array, run: dict[str, Any], rows: data.Rows) -> dict[str, jax.Array]:
        split_key, label_key, model_key, order_key = jax.random.split(key, 4)
        names = ("train", "validation", "test")
        parts = dict(zip(names, split(split_key, rows, [config.train_size, config.validation_size]), strict=True))
        parts["train"] = mislabelled(label_key, parts["train"], run["wrong"])
        structure, params = initial(widths, model_key)
        make = functools.partial(optimizer, run["setting"])
        params = train(structure, params, make, order_key, parts["train"], config.training)
        metrics = judge(structure, params, charged(run["setting"]), parts)
        counts = fed_zeros(kernels_of(params), parts["train"])
        counts = {name: jnp.where(jnp.isfinite(metrics["train_loss"]), count, jnp.nan) for name, count in counts.items()}
        return {**metrics, **counts, "weights": weights_of(params)}

    settings, places, levels = settings_of(methods(config))
    grid = jaxreg.grid(setting=settings, wrong=list(config.wrong), seed=range(config.seeds))
    swept = jaxreg.sweep(one, grid, rows, devices=devices, folder=folder, progress=advance)
    outputs = swept.outputs
    weights = outputs.pop("weights")
    outputs |= proportion(weights)
    records = along_levels(outputs, places, levels, ("wrong", "seed"), {"wrong": list(config.wrong)})
    shown = weights[:, list(config.wrong).index(0), 0]
    sizes = [before * after for before, after in itertools.pairwise(widths)]
    layers = np.repeat(np.arange(len(sizes)), sizes).astype(np.int8)
    return records.assign(weights=(("way", "level", "weight"), shown[places])).assign_coords(weight_layer=("weight", layers))


def fed_zeros(kernels: list[jax.Array], rows: data.Rows) -> dict[str, jax.Array]:
    """Of the weights that data reach, how many there are (`fed`) and how many are exactly 0 (`fed_zeros`).

    A pixel that is the same in all training rows does not reach its weights: where it is black, nothing but the penalty
    moves them, in steps that shrink with the learning rate, and one of those can end on 0 whatever the way.
    """
    varies = jnp.ptp(rows.inputs, 0) > 0
    first, *others = kernels
    fed = jnp.sum(varies) * first.shape[1] + sum(kernel.size for kernel in others)
    zeros = jnp.sum((first == 0) & varies[:, None]) + sum(jnp.sum(kernel == 0) for kernel in others)
    return {"fed": fed.astype(jnp.float32), "fed_zeros": zeros.astype(jnp.float32)}


def most_proportional(records: xr.Dataset, way: str) -> int:
    """Of the levels above 0 whose mean norm is at most `SHRUNK` of the unpenalised one, the one that c·w₀ fits best."""
    of = records.sel(wrong=0.0, way=way).mean("seed", skipna=False)
    ratio = of["norm"] / of["norm"].isel(level=0)
    fit = of["explained"].where((ratio <= SHRUNK) & (ratio > 0) & (np.arange(of.sizes["level"]) > 0))
    return int(fit.fillna(-1).argmax("level"))


def mislabelled(key: jax.Array, rows: data.Rows, share: Any) -> data.Rows:
    """The rows with a share of their labels replaced by another class, which ones and by what at random."""
    which_key, what_key = jax.random.split(key)
    count = rows.labels.shape[0]
    picked = jax.random.permutation(which_key, count) < jnp.round(share * count)
    other = (rows.labels + jax.random.randint(what_key, (count,), 1, 10)) % 10
    labels: Any = jnp.where(picked, other, rows.labels)
    return data.Rows(rows.inputs, labels)


def proportion(weights: np.ndarray) -> dict[str, np.ndarray]:
    """How far each network's weights are the unpenalised network's times one factor.

    Args:
        weights: (setting, wrong, seed, weight), the first setting being λ = 0.

    Returns:
        Along (setting, wrong, seed): `factor`, the c that minimises ‖w − c·w₀‖; `explained`, the share of ‖w‖² that c·w₀
        explains; `near_factor`, the share of weights whose own factor w/w₀ is within 10 % of c; `smaller`, the share of
        weights with |w| < |w₀|.
    """
    start = weights[0]
    factor = np.sum(weights * start, -1) / np.sum(start * start, -1)
    fitted = factor[..., None] * start
    # Where every weight is 0 nothing is left to explain.
    left = np.sum((weights - fitted) ** 2, -1) / np.maximum(np.sum(weights**2, -1), np.finfo(np.float32).tiny)
    near = np.abs(weights - fitted) <= NEAR * np.abs(fitted)
    return {
        "factor": factor,
        "explained": 1 - left,
        "near_factor": near.mean(-1),
        "smaller": (np.abs(weights) < np.abs(start)).mean(-1),
    }
