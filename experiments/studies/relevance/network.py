"""Networks on digits with irrelevant columns: the effect of L1, squared L2 and group L2 as the
share of such columns grows.

The sweep is setting × seed for each share of irrelevant columns, and the dataset has the dimensions
(method, level, share, seed). An irrelevant column is a copy of a pixel's column with its rows
shuffled: it has the same distribution as the pixel and no relation to the label.

Selection: L1 drops irrelevant inputs rather than pixels. Relevance: L1 is preferable where
irrelevant columns dominate, L2 where all columns are relevant. No selection: L2 drops no input, and
does not help where irrelevant columns dominate. Groups: group L2, with all outgoing weights of an
input as one group, selects inputs better than plain L1 at the same accuracy.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypedDict

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
from experiments.training import Strengths, charged, evaluate, optimizer, split, train_params

GROUP = "group L2"
TEXTS = {
    "live_pixels": ("pixels with a weight that is not 0", "count"),
    "live_noise": ("irrelevant columns with a weight that is not 0", "count"),
    "share": ("share of the columns that are irrelevant", "1"),
    "noise": ("number of irrelevant columns", "count"),
    "pixels": ("number of pixels that vary", "count"),
}


class Run(TypedDict):
    """Hyperparameters of one network.

    Attributes:
        setting: strengths of L1 and L2, or the strength of group L2 alone.
        seed: number of the repetition.
    """

    setting: Strengths | jax.Array
    seed: jax.Array


class Data(NamedTuple):
    """The digits with irrelevant columns.

    Attributes:
        inputs: pixels followed by irrelevant columns, (seeds, rows, columns).
        labels: (rows,).
        varying: which pixels are not constant over all rows, (pixels,).
    """

    inputs: np.ndarray
    labels: np.ndarray
    varying: np.ndarray


def count_networks(settings: Settings) -> int:
    """Number of networks."""
    config = settings.network
    return (1 + 3 * len(config.l1)) * len(config.shares) * config.seeds


def train_networks(settings: Settings, session: Session) -> xr.Dataset:
    """Trains every network; each share has two programs, as the proximal step of groups costs more
    than the others.

    Returns:
        Metrics of `experiments.training.evaluate`, with `live_pixels` and `live_noise`, the numbers
        of pixels and of irrelevant columns with a nonzero weight, along (method, level, share,
        seed). Coordinates are `strength` (method, level), and `noise` and `pixels` (share), the
        numbers of irrelevant columns and of pixels that are not constant.
    """
    config = settings.network
    rows = datasets.digits()
    varying = np.ptp(rows.inputs, 0) > 0
    counts = [round(64 * share / (1 - share)) for share in config.shares]
    by_share = []
    for noise in counts:
        inputs = np.stack([datasets.with_noise(rows, noise, seed) for seed in range(config.seeds)])
        by_share.append(
            train_share(config, Data(inputs, rows.labels, varying), session, f"{noise}")
        )
    dataset = xr.concat(by_share, "share", join="exact", coords="minimal", compat="equals")
    pixels = ("share", [int(varying.sum())] * len(counts))
    coords = {
        "share": list(config.shares),
        "noise": ("share", counts),
        "pixels": pixels,
        "seed": range(config.seeds),
    }
    return described(dataset.assign_coords(coords), TEXTS)


def train_share(config: Network, data: Data, session: Session, part: str) -> xr.Dataset:
    """Trains all networks of one share of irrelevant columns; the dataset lies along (method,
    level, seed).
    """
    settings, places, levels = settings_of(
        {"L1": ("proximal_l1", config.l1), "L2": ("coupled_l2", config.l2)}
    )
    plain = jaxreg.grid(setting=settings, seed=range(config.seeds))
    groups = jaxreg.grid(setting=list(config.group), seed=range(config.seeds))
    outputs = {}
    for name, grid in (("plain", plain), ("group", groups)):
        runs = session.sweep(
            functools.partial(train_network, config=config), grid, data, part=f"{part}/{name}"
        )
        outputs[name] = {**runs.outputs, "diverged": runs.diverged}
    plain_dataset = along_levels(outputs["plain"], places, levels, ("seed",), {})
    # Level 0 of group L2 is the unpenalised network that all methods share.
    with_zero = {
        name: np.concatenate([outputs["plain"][name][:1], values])
        for name, values in outputs["group"].items()
    }
    group_levels = xr.DataArray(
        [[0.0, *config.group]], dims=("method", "level"), coords={"method": [GROUP]}
    )
    group_dataset = along_levels(
        with_zero, np.arange(1 + len(config.group))[None], group_levels, ("seed",), {}
    )
    return xr.concat(
        [plain_dataset, group_dataset], "method", join="exact", coords="minimal", compat="equals"
    )


def train_network(key: jax.Array, run: Run, data: Data, config: Network) -> dict[str, jax.Array]:
    """Trains and evaluates one network on its seed's rows and irrelevant columns."""
    rows = datasets.Rows(data.inputs[run["seed"]], data.labels)
    split_key, model_key, order_key = jax.random.split(key, 3)
    sizes = [config.train_size, config.validation_size]
    parts = dict(zip(("train", "validation", "test"), split(split_key, rows, sizes), strict=True))
    structure, params = initial((rows.inputs.shape[1], config.hidden, 10), model_key)
    penalty, make_optimizer = regularization(run["setting"])
    params = train_params(
        structure, params, make_optimizer, order_key, parts["train"], config.training
    )
    alive = jnp.any(kernels_of(params)[0] != 0, 1)
    metrics = evaluate(structure, params, penalty, parts)
    pixels = data.varying.size
    counts = {
        "live_pixels": jnp.sum(alive[:pixels] & data.varying),
        "live_noise": jnp.sum(alive[pixels:]),
    }
    finite = jnp.isfinite(metrics["train_loss"])
    return {
        **metrics,
        **{name: jnp.where(finite, count, jnp.nan) for name, count in counts.items()},
    }


def regularization(
    setting: Strengths | jax.Array,
) -> tuple[jaxreg.Penalty, Callable[[optax.Schedule], optax.GradientTransformation]]:
    """The penalty of a setting, and the function from a learning rate to an optimizer that applies
    it.
    """
    if isinstance(setting, Strengths):
        return charged(setting), functools.partial(optimizer, setting)
    penalty = jaxreg.GroupL2(setting, axis=1)
    return penalty, functools.partial(jaxreg.prox_adam, penalty=penalty, mask=jaxreg.kernels)
