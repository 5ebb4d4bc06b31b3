"""Digits with irrelevant columns: what L1, squared L2 and group L2 make of them, as their share grows.

Swept: setting × seed for each share of irrelevant columns, and records along (method, level, share, seed). An irrelevant
column is a pixel's column with its rows shuffled: it looks like a pixel and knows nothing of the label.

Selection: L1 kills irrelevant inputs rather than pixels. Relevance: L1 is to be preferred where irrelevant columns
dominate, L2 where all matter. No selection: L2 kills none, and does not help where they dominate. Groups: group L2
on what leaves an input selects inputs better than plain L1 at the same accuracy.
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
from experiments.layout import along_levels, described, settings_of
from experiments.networks import initial, kernels_of
from experiments.studies.relevance.settings import Network, Settings
from experiments.study import Session
from experiments.training import charged, evaluate, optimizer, split, train_network

GROUP = "group L2"
TEXTS = {
    "live_pixels": ("pixels with a weight that is not 0", "count"),
    "live_noise": ("irrelevant columns with a weight that is not 0", "count"),
    "share": ("share of the columns that are irrelevant", "1"),
    "noise": ("number of irrelevant columns", "count"),
    "pixels": ("number of pixels that vary", "count"),
}


def count(settings: Settings) -> int:
    """Number of networks."""
    config = settings.network
    return (1 + 3 * len(config.l1)) * len(config.shares) * config.seeds


def train_all(settings: Settings, session: Session) -> xr.Dataset:
    """Trains every network; for each share two programs, as the groups' prox costs more than the others'.

    Returns:
        Metrics of `experiments.training.evaluate`, and `live_pixels` and `live_noise`, the inputs of each kind with a
        weight left, along (method, level, share, seed), with coordinates `strength` (method, level), and `noise` and
        `pixels` (share), the numbers of inputs of each kind; a pixel that is the same in all of the data is none.
    """
    config = settings.network
    rows = datasets.digits()
    varying = np.ptp(rows.inputs, 0) > 0
    every = []
    for share in config.shares:
        noise = round(64 * share / (1 - share))
        inputs = np.stack([datasets.with_noise(rows, noise, seed) for seed in range(config.seeds)])
        every.append(one_share(config, inputs, rows.labels, varying, session, f"{noise}"))
    records = xr.concat(every, "share", join="exact", coords="minimal", compat="equals")
    counts = [round(64 * share / (1 - share)) for share in config.shares]
    pixels = ("share", [int(varying.sum())] * len(counts))
    coordinates = {"share": list(config.shares), "noise": ("share", counts), "pixels": pixels, "seed": range(config.seeds)}
    return described(records.assign_coords(coordinates), TEXTS)


def one_share(
    config: Network, inputs: np.ndarray, labels: np.ndarray, varying: np.ndarray, session: Session, part: str
) -> xr.Dataset:
    """All networks of one share: inputs (seeds, rows, pixels and noise) and labels (rows,) to records without it."""
    settings, places, levels = settings_of({"L1": ("proximal_l1", config.l1), "L2": ("coupled_l2", config.l2)})
    plain = jaxreg.grid(setting=settings, seed=range(config.seeds))
    groups = jaxreg.grid(setting=list(config.group), seed=range(config.seeds))
    parts = {}
    for name, grid in (("plain", plain), ("group", groups)):
        fit = functools.partial(fit_one, config=config, grouped=name == "group")
        swept = session.sweep(fit, grid, (inputs, labels, varying), part=f"{part}/{name}")
        parts[name] = {**swept.outputs, "diverged": swept.diverged}
    first = along_levels(parts["plain"], places, levels, ("seed",), {})
    # The groups' level 0 is the network that all share.
    own = {name: np.concatenate([parts["plain"][name][:1], values]) for name, values in parts["group"].items()}
    own_levels = xr.DataArray([[0.0, *config.group]], dims=("method", "level"), coords={"method": [GROUP]})
    second = along_levels(own, np.arange(1 + len(config.group))[None], own_levels, ("seed",), {})
    return xr.concat([first, second], "method", join="exact", coords="minimal", compat="equals")


def fit_one(key: jax.Array, run: dict[str, Any], shared: Any, config: Network, grouped: bool) -> dict[str, jax.Array]:
    """One network on one seed's rows and noise columns."""
    inputs, labels, varying = shared
    rows = datasets.Rows(inputs[run["seed"]], labels)
    split_key, model_key, order_key = jax.random.split(key, 3)
    sizes = [config.train_size, config.validation_size]
    parts = dict(zip(("train", "validation", "test"), split(split_key, rows, sizes), strict=True))
    structure, params = initial((rows.inputs.shape[1], config.hidden, 10), model_key)

    def group_optimizer(rate: optax.Schedule) -> optax.GradientTransformation:
        return jaxreg.prox_adam(rate, jaxreg.GroupL2(run["setting"], axis=1), mask=jaxreg.kernels)

    make = group_optimizer if grouped else functools.partial(optimizer, run["setting"])
    penalty = jaxreg.GroupL2(run["setting"], axis=1) if grouped else charged(run["setting"])
    params = train_network(structure, params, make, order_key, parts["train"], config.training)
    alive = jnp.any(kernels_of(params)[0] != 0, 1)
    metrics = evaluate(structure, params, penalty, parts)
    counts = {"live_pixels": jnp.sum(alive[: varying.size] & varying), "live_noise": jnp.sum(alive[varying.size :])}
    sound = jnp.isfinite(metrics["train_loss"])
    return {**metrics, **{name: jnp.where(sound, count, jnp.nan) for name, count in counts.items()}}
