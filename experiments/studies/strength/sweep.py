"""Every method of regularizing the network on the digits, every strength: what four claims are judged by.

Swept: setting (a method and its λ, or none) × share of wrong training labels × seed, in one compiled program. The records
lie along (method, level, wrong, seed); level 0 of each method is λ = 0, one set of networks that all methods share.

Zeros: L1 drives weights to exactly zero, more of them as λ grows; only the proximal step does. Shrinkage: L2 makes weights
smaller and none zero, all in proportion. Norm: the larger λ, the smaller the norm. Overfitting: both reduce the gap between
training and test rows, and the λ that validation rows choose beats λ = 0 on test rows.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import jaxreg
from experiments import datasets
from experiments.layout import along_levels, described, layers_of, settings_of
from experiments.networks import initial, kernels_of
from experiments.studies.strength.settings import Settings
from experiments.study import Session
from experiments.training import charged, evaluate, mislabelled, optimizer, split, train_network, weights_of

SHRUNK = 0.9
"""A norm of at most this share of the unpenalised network's counts as shrunk."""
TEXTS = {
    "fed": ("kernel weights that the training data reach", "count"),
    "fed_zeros": ("of the weights that the training data reach, those that are exactly 0", "count"),
    "factor": ("the c that minimises ‖w − c·w₀‖, w₀ being the unpenalised network", "1"),
    "explained": ("share of ‖w‖² that c·w₀ explains", "1"),
    "near_factor": ("share of weights whose own factor is within 10 % of c", "1"),
    "smaller": ("share of weights with |w| < |w₀|", "1"),
}
NEAR = 0.1
"""How near the common factor a weight's own factor must be, relatively, for the two to be called proportional."""


def methods(config: Settings) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Each method's field of `Strengths` and its strengths."""
    return {
        "coupled L1": ("coupled_l1", config.l1),
        "decoupled L1": ("decoupled_l1", config.decoupled_l1),
        "proximal L1": ("proximal_l1", config.l1),
        "coupled L2": ("coupled_l2", config.l2),
        "decoupled L2": ("decoupled_l2", config.decay),
    }


def count(config: Settings) -> int:
    """Number of networks."""
    return (1 + len(methods(config)) * len(config.l1)) * len(config.wrong) * config.seeds


def train_all(config: Settings, session: Session) -> xr.Dataset:
    """Trains every network.

    Returns:
        Metrics of `experiments.training.evaluate` along (method, level, wrong, seed), with coordinate `strength` (method,
        level); what `fed_zeros` counts and `proportion` finds; and for seed 0 without wrong labels the kernels, `weights`
        (method, level, weight), with the coordinate `weight_layer`.
    """
    rows = datasets.digits()
    widths = (rows.inputs.shape[1], *config.hidden, 10)

    def fit(key: jax.Array, run: dict[str, Any], rows: datasets.Rows) -> dict[str, jax.Array]:
        split_key, label_key, model_key, order_key = jax.random.split(key, 4)
        names = ("train", "validation", "test")
        parts = dict(zip(names, split(split_key, rows, [config.train_size, config.validation_size]), strict=True))
        parts["train"] = mislabelled(label_key, parts["train"], run["wrong"])
        structure, params = initial(widths, model_key)
        make = functools.partial(optimizer, run["setting"])
        params = train_network(structure, params, make, order_key, parts["train"], config.training)
        metrics = evaluate(structure, params, charged(run["setting"]), parts)
        counts = fed_zeros(kernels_of(params), parts["train"])
        counts = {name: jnp.where(jnp.isfinite(metrics["train_loss"]), count, jnp.nan) for name, count in counts.items()}
        return {**metrics, **counts, "weights": weights_of(params)}

    settings, places, levels = settings_of(methods(config))
    grid = jaxreg.grid(setting=settings, wrong=list(config.wrong), seed=range(config.seeds))
    swept = session.sweep(fit, grid, rows)
    outputs = swept.outputs
    weights = outputs.pop("weights")
    outputs |= proportion(weights) | {"diverged": swept.diverged}
    records = along_levels(outputs, places, levels, ("wrong", "seed"), {"wrong": list(config.wrong)})
    shown = weights[:, list(config.wrong).index(0), 0]
    records = records.assign(weights=(("method", "level", "weight"), shown[places]))
    records = records.assign_coords(weight_layer=("weight", layers_of(widths)), seed=range(config.seeds))
    return described(records, TEXTS)


def fed_zeros(kernels: list[jax.Array], rows: datasets.Rows) -> dict[str, jax.Array]:
    """Of the weights that data reach, how many there are (`fed`) and how many are exactly 0 (`fed_zeros`).

    A pixel that is the same in all training rows does not reach its weights: where it is black, nothing but the penalty
    moves them, in steps that shrink with the learning rate, and one of those can end on 0 whatever the method.
    """
    varies = jnp.ptp(rows.inputs, 0) > 0
    first, *others = kernels
    fed = jnp.sum(varies) * first.shape[1] + sum(kernel.size for kernel in others)
    zeros = jnp.sum((first == 0) & varies[:, None]) + sum(jnp.sum(kernel == 0) for kernel in others)
    return {"fed": fed.astype(jnp.float32), "fed_zeros": zeros.astype(jnp.float32)}


def most_proportional(records: xr.Dataset, method: str) -> int:
    """Of the levels above 0 whose mean norm is at most `SHRUNK` of the unpenalised one, the one that c·w₀ fits best."""
    of = records.sel({"wrong": 0.0, "method": method}).mean("seed", skipna=False)
    ratio = of["norm"] / of["norm"].isel(level=0)
    fit = of["explained"].where((ratio <= SHRUNK) & (ratio > 0) & (np.arange(of.sizes["level"]) > 0))
    return int(fit.fillna(-1).argmax("level"))


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
