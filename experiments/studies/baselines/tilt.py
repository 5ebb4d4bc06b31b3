"""Learning rate × λ for Adam with squared L2 in four places, and how the best λ depends on the
learning rate.

This follows Figures 1 and 2 of Loshchilov & Hutter (2019), "Decoupled weight decay regularization",
on a small scale: digits with wrong labels and a fixed number of epochs. The tilt is the slope of
log₁₀(best λ), at the smallest test loss, against log₁₀(learning rate). It is 0 if the best λ does
not depend on the learning rate, and −1 if only their product matters.

The two forms of AdamW describe the same networks: a decay that the learning rate does not multiply
is λ times the learning rate of the other form. So their slopes differ by 1.

Claim: decoupling the decay makes the best λ independent of the learning rate.
"""

import functools
from typing import NamedTuple, TypedDict

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
from experiments.training import (
    Strengths,
    charged,
    evaluate,
    mislabelled,
    optimizer,
    split,
    train_params,
)

TEXTS = {
    "rate": ("Adam's learning rate at the first step", "1"),
    "used": ("whether every method has a best λ at this learning rate", "1"),
}


class Method(NamedTuple):
    """A method of regularization.

    Attributes:
        field: its field of `Strengths`.
        levels: values of λ, increasing.
        divided: whether they are divided by the learning rate, so that the decay does not depend on
            it.
    """

    field: str
    levels: tuple[float, ...]
    divided: bool


class Setting(NamedTuple):
    """One method at one λ, or arrays of them.

    Attributes:
        strengths: before division.
        divided: 1 if they are divided by the learning rate, else 0.
    """

    strengths: Strengths
    divided: jax.Array | np.ndarray


class Run(TypedDict):
    """Hyperparameters of one network.

    Attributes:
        setting: method and λ.
        rate: learning rate at the first step.
        seed: number of the repetition.
    """

    setting: Setting
    rate: jax.Array
    seed: jax.Array


def methods(config: TiltStudy) -> dict[str, Method]:
    """The four places of squared L2."""
    return {
        "Adam, coupled L2": Method("coupled_l2", config.coupled, divided=False),
        "proximal Adam, L2": Method("proximal_l2", config.coupled, divided=False),
        "AdamW, rate × decay": Method("decoupled_l2", config.decoupled, divided=False),
        "AdamW, decay alone": Method("decoupled_l2", config.unscaled, divided=True),
    }


def count_networks(settings: Settings) -> int:
    """Number of networks."""
    config = settings.tilt
    return len(methods(config)) * len(config.coupled) * len(config.rates) * config.seeds


def train_networks(settings: Settings, session: Session) -> xr.Dataset:
    """Trains every network.

    Returns:
        `test_loss` and `test_accuracy` along (method, level, rate, seed), with `strength` (method,
        level); `used` (rate) marks the rates found by `usable_rates`.
    """
    config = settings.tilt
    table = methods(config)
    grid = jaxreg.grid(
        setting=all_settings(table), rate=list(config.rates), seed=range(config.seeds)
    )
    runs = session.sweep(functools.partial(train_network, config=config), grid, datasets.digits())
    shape = (len(table), len(config.coupled), len(config.rates), config.seeds)
    outputs = {**runs.outputs, "diverged": runs.diverged}
    variables = {
        name: (("method", "level", "rate", "seed"), values.reshape(shape))
        for name, values in outputs.items()
    }
    strengths = (("method", "level"), [method.levels for method in table.values()])
    dataset = xr.Dataset(
        variables, {"method": list(table), "strength": strengths, "rate": list(config.rates)}
    )
    dataset = dataset.assign(used=("rate", usable_rates(dataset, config.overfit)))
    return described(dataset.assign_coords(seed=range(config.seeds)), TEXTS)


def all_settings(table: dict[str, Method]) -> Setting:
    """Every method at every λ, as arrays of shape (methods × levels,)."""
    pairs = [(method, strength) for method in table.values() for strength in method.levels]
    columns = {
        field: np.array(
            [strength if method.field == field else 0.0 for method, strength in pairs], np.float32
        )
        for field in Strengths._fields
    }
    return Setting(
        Strengths(**columns), np.array([method.divided for method, _ in pairs], np.float32)
    )


def train_network(
    key: jax.Array, run: Run, rows: datasets.Rows, config: TiltStudy
) -> dict[str, jax.Array]:
    """Trains one network at one learning rate; its test loss and test accuracy."""
    split_key, label_key, model_key, order_key = jax.random.split(key, 4)
    train_rows, test_rows = split(split_key, rows, [config.train_size])
    train_rows = mislabelled(label_key, train_rows, config.wrong)
    structure, params = initial((64, config.hidden, 10), model_key)
    setting, rate = run["setting"], run["rate"]
    divisor = jnp.where(setting.divided > 0, rate, 1.0)
    strengths = jax.tree.map(lambda strength: strength / divisor, setting.strengths)

    def make_optimizer(schedule: optax.Schedule) -> optax.GradientTransformation:
        # The schedule has a fixed learning rate, so that one program serves all runs; replace it by
        # the run's own.
        return optimizer(
            strengths, lambda count: rate / config.training.learning_rate * schedule(count)
        )

    params = train_params(structure, params, make_optimizer, order_key, train_rows, config.training)
    metrics = evaluate(
        structure, params, charged(strengths), {"train": train_rows, "test": test_rows}
    )
    return {name: metrics[name] for name in ("test_loss", "test_accuracy")}


def best_strengths(dataset: xr.Dataset, method: str) -> np.ndarray:
    """log₁₀ of a method's best λ at each learning rate and seed: (rate, seed), NaN where there is
    none.
    """
    selected = dataset.sel({"method": method})
    return best_strength(
        selected["test_loss"].transpose("level", "rate", "seed").values, selected["strength"].values
    )


def best_strength(losses: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """log₁₀ of the λ with the smallest loss, from a parabola through the smallest value and its
    neighbours.

    Args:
        losses: (levels, …).
        strengths: (levels,), evenly spaced in their logarithm.

    Returns:
        Shape (…). NaN where the smallest loss is at an end of the grid, or next to a loss that is
        not finite, because the minimum is then unknown.
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


def usable_rates(dataset: xr.Dataset, overfit: float) -> np.ndarray:
    """Finds the learning rates at which every method has a best λ.

    A rate is used if, for every method, the best λ lowers the mean test loss by more than the share
    `overfit` of the loss at the smallest λ, and if no seed has its smallest loss at an end of the
    grid. A rate that one method cannot use is used by none, because the slopes would not be
    comparable.

    Args:
        dataset: of the tilt sweep.
        overfit: share of the test loss.

    Returns:
        Booleans, (rates,).
    """
    usable = np.ones(dataset.sizes["rate"], bool)
    for method in dataset["method"].values:
        mean = (
            dataset["test_loss"]
            .sel({"method": method})
            .mean("seed")
            .transpose("level", "rate")
            .values
        )
        usable &= np.nanmin(np.where(np.isfinite(mean), mean, np.inf), 0) < (1 - overfit) * mean[0]
        usable &= np.isfinite(best_strengths(dataset, method)).all(1)
    return usable


def slopes(dataset: xr.Dataset, method: str) -> np.ndarray:
    """A method's tilt: the slope of log₁₀(best λ) against log₁₀(learning rate) for each seed.

    Args:
        dataset: of the tilt sweep.
        method: name of the method.

    Returns:
        Slopes over the rates marked by `used`, (seeds,); NaN if there are fewer than three.
    """
    best = best_strengths(dataset, method)
    logs, used = np.log10(dataset["rate"].values), dataset["used"].values.astype(bool)
    if used.sum() < 3:
        return np.full(best.shape[1], np.nan)
    return np.array([np.polyfit(logs[used], column[used], 1)[0] for column in best.T])
