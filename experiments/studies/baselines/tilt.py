"""Learning rate × λ for Adam with squared L2 in four places, and by how much the best λ moves with the learning rate.

After Figures 1 and 2 of Loshchilov & Hutter (2019), "Decoupled weight decay regularization", in small: digits with wrong
labels, and a fixed number of epochs. The tilt is the slope of log₁₀ λ, at the smallest test loss, against log₁₀ of the
learning rate: 0 where the best λ does not depend on the learning rate, −1 where only their product counts.

The two forms of AdamW are one family of networks, with the decay of the one being that of the other times the learning rate:
their tilts differ by 1.

Claimed: decoupling the decay makes the best λ independent of the learning rate.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import jaxreg
from experiments import datasets
from experiments.layout import described
from experiments.networks import initial
from experiments.studies.baselines.settings import Settings, TiltStudy
from experiments.study import Session
from experiments.training import Strengths, charged, evaluate, mislabelled, optimizer, split, train_network

TEXTS = {
    "rate": ("Adam's learning rate at the first step", "1"),
    "used": ("whether every method has a best λ at this learning rate", "1"),
}


def methods(config: TiltStudy) -> dict[str, tuple[str, tuple[float, ...], bool]]:
    """Each method's field of `Strengths`, its strengths, and whether they are divided by the learning rate."""
    return {
        "Adam, coupled L2": ("coupled_l2", config.coupled, False),
        "proximal Adam, L2": ("proximal_l2", config.coupled, False),
        "AdamW, rate × decay": ("decoupled_l2", config.decoupled, False),
        "AdamW, decay alone": ("decoupled_l2", config.unscaled, True),
    }


def count(settings: Settings) -> int:
    """Number of networks."""
    config = settings.tilt
    return len(methods(config)) * len(config.coupled) * len(config.rates) * config.seeds


def train_all(settings: Settings, session: Session) -> xr.Dataset:
    """Trains every network.

    Returns:
        `test_loss` and `test_accuracy` along (method, level, rate, seed), with `strength` (method, level); `used` (rate)
        marks the rates that `usable` finds.
    """
    config = settings.tilt
    rows = datasets.digits()
    table = methods(config)
    fields: dict[str, list[float]] = {field: [] for field in Strengths._fields}
    divided = []
    for field, levels, by_rate in table.values():
        for strength in levels:
            for name, column in fields.items():
                column.append(strength if name == field else 0.0)
            divided.append(float(by_rate))
    columns = {name: np.array(column, np.float32) for name, column in fields.items()}
    every_setting = {"strengths": Strengths(**columns), "divided": np.array(divided, np.float32)}
    grid = jaxreg.grid(setting=every_setting, rate=list(config.rates), seed=range(config.seeds))
    fit = functools.partial(fit_one, config=config)
    swept = session.sweep(fit, grid, rows)
    shape = (len(table), len(config.coupled), len(config.rates), config.seeds)
    outputs = {**swept.outputs, "diverged": swept.diverged}
    variables = {name: (("method", "level", "rate", "seed"), values.reshape(shape)) for name, values in outputs.items()}
    every = [levels for _, levels, _ in table.values()]
    records = xr.Dataset(
        variables, {"method": list(table), "strength": (("method", "level"), every), "rate": list(config.rates)}
    )
    records = records.assign(used=("rate", usable(records, config.overfit))).assign_coords(seed=range(config.seeds))
    return described(records, TEXTS)


def fit_one(key: jax.Array, run: dict[str, Any], rows: datasets.Rows, config: TiltStudy) -> dict[str, jax.Array]:
    """One network at one learning rate."""
    split_key, label_key, model_key, order_key = jax.random.split(key, 4)
    train_rows, test_rows = split(split_key, rows, [config.train_size])
    train_rows = mislabelled(label_key, train_rows, config.wrong)
    structure, params = initial((64, config.hidden, 10), model_key)
    setting, rate = run["setting"], run["rate"]
    divisor = jnp.where(setting["divided"] > 0, rate, 1.0)
    strengths = jax.tree.map(lambda strength: strength / divisor, setting["strengths"])

    def make(schedule: optax.Schedule) -> optax.GradientTransformation:
        # The schedule's own rate is static; what is swept takes its place.
        return optimizer(strengths, lambda count: rate / config.training.learning_rate * schedule(count))

    params = train_network(structure, params, make, order_key, train_rows, config.training)
    metrics = evaluate(structure, params, charged(strengths), {"train": train_rows, "test": test_rows})
    return {name: metrics[name] for name in ("test_loss", "test_accuracy")}


def best_strength(losses: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """log₁₀ of the λ with the smallest loss, by a parabola through the smallest value and its neighbours.

    Args:
        losses: (level, …). strengths: (level,), evenly spaced in their logarithm.

    Returns:
        (…); NaN where the smallest is at an end of the grid, or a loss beside it is no number: nothing is known there.
    """
    logs = np.log10(strengths)
    flat = losses.reshape(len(logs), -1)
    found = np.full(flat.shape[1], np.nan)
    for column in range(flat.shape[1]):
        values = flat[:, column]
        at = int(np.nanargmin(values)) if np.isfinite(values).any() else 0
        if not 0 < at < len(logs) - 1 or not np.isfinite(values[at - 1 : at + 2]).all():
            continue
        before, here, after = values[at - 1 : at + 2]
        curvature = before - 2 * here + after
        shift = 0.5 * (before - after) / curvature if curvature > 0 else 0.0
        found[column] = logs[at] + shift * (logs[1] - logs[0])
    return found.reshape(losses.shape[1:])


def usable(records: xr.Dataset, overfit: float) -> np.ndarray:
    """Which learning rates have a best λ to speak of, for every method: booleans (rate,).

    A rate is used where the best λ lowers the mean test loss of every method by more than the share `overfit` of that at its
    smallest λ, and where no method has its smallest loss at an end of its grid, for any seed: with a rate left out of one
    method only, the methods' tilts could not be compared.
    """
    good = np.ones(records.sizes["rate"], bool)
    for method in records["method"].values:
        of = records.sel({"method": method})
        mean = of["test_loss"].mean("seed").transpose("level", "rate").values
        good &= np.nanmin(np.where(np.isfinite(mean), mean, np.inf), 0) < (1 - overfit) * mean[0]
        best = best_strength(of["test_loss"].transpose("level", "rate", "seed").values, of["strength"].values)
        good &= np.isfinite(best).all(1)
    return good


def tilts(records: xr.Dataset, method: str) -> np.ndarray:
    """The tilt of each seed over the rates that `records["used"]` marks; NaN with fewer than three of them."""
    of = records.sel({"method": method})
    best = best_strength(of["test_loss"].transpose("level", "rate", "seed").values, of["strength"].values)
    logs, used = np.log10(records["rate"].values), records["used"].values.astype(bool)
    if used.sum() < 3:
        return np.full(best.shape[1], np.nan)
    return np.array([np.polyfit(logs[used], column[used], 1)[0] for column in best.T])
