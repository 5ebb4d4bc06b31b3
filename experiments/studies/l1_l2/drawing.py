"""One network small enough for a picture: 13 chemical measurements of a wine in, its grower out of 3, a few hidden units.

It is trained without a penalty, and from those weights trained on with L1 (proximal) or with L2 (coupled), at λ = 0 and at
every strength. The figures show two of these networks beside the one at λ = 0; the player on the page steps through all of
them.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments import datasets
from experiments.layout import described
from experiments.networks import initial, kernels_of
from experiments.settings import Training
from experiments.studies.l1_l2.settings import Drawing, Settings
from experiments.study import Session
from experiments.training import Strengths, accuracy, optimizer, train_network

METHODS = {"L1": "proximal_l1", "L2": "coupled_l2"}
"""Each penalty's name in records and figures, and the strength that it sets."""
TEXTS = {
    "first": ("kernel of the first layer", "1"),
    "second": ("kernel of the second layer", "1"),
    "input": ("chemical measurement", "1"),
    "class": ("grower of the wine", "1"),
    "penalty": ("penalty that the network is trained on with", "1"),
    "shown": ("strength λ that the figures show for each penalty", "nats per unit of the penalty"),
}


def count(config: Settings) -> int:
    """Number of networks that are trained on."""
    return len(METHODS) * (1 + len(config.drawing.strengths))


def train_all(settings: Settings, session: Session) -> xr.Dataset:
    """Trains the small network on with either penalty, at λ = 0 and at every strength.

    Returns:
        Kernels `first` (penalty, strength, input, hidden) and `second` (penalty, strength, hidden, class), the accuracies,
        and `shown` (penalty), the strength that the figures show. At λ = 0 both are the same network, trained on for as long
        as the others. The strengths end where L1 leaves no weight.
    """
    config = settings.drawing
    wine = datasets.wine(config.seed)
    rows = len(wine.train.labels)
    training = Training(config.steps, rows, config.learning_rate)
    model_key, order_key, next_key = jax.random.split(jax.random.key(config.seed), 3)
    structure, start = initial((len(wine.features), config.hidden, len(wine.classes)), model_key)
    plain = functools.partial(optimizer, Strengths(*jnp.zeros(len(Strengths._fields))))
    unpenalised = jax.jit(lambda params, rows: train_network(structure, params, plain, order_key, rows, training))(
        start, wine.train
    )

    def fit(_: jax.Array, strengths: Strengths, data: tuple[Any, datasets.Rows, datasets.Rows]) -> dict[str, jax.Array]:
        params, train_rows, test_rows = data
        params = train_network(structure, params, functools.partial(optimizer, strengths), next_key, train_rows, training)
        first, second = kernels_of(params)
        accuracies = {"train_accuracy": accuracy(structure, params, train_rows)}
        return {"first": first, "second": second, **accuracies, "test_accuracy": accuracy(structure, params, test_rows)}

    levels = np.array([0.0, *config.strengths])
    runs = session.sweep(fit, runs_of(levels), (unpenalised, wine.train, wine.test))
    trailing = {"first": ["input", "hidden"], "second": ["hidden", "class"]}
    dataset = xr.Dataset(
        {
            name: (["penalty", "strength", *trailing.get(name, [])], laid_out(values, len(levels)))
            for name, values in {**runs.outputs, "diverged": runs.diverged}.items()
        },
        {"penalty": list(METHODS), "strength": levels, "input": wine.features, "class": wine.classes},
    )
    shown = ("penalty", [config.l1, config.l2])
    return described(up_to_empty(dataset, config).assign(shown=shown), TEXTS)


def runs_of(levels: np.ndarray) -> Strengths:
    """The strengths of every run, a penalty after the other."""
    fields = [METHODS[penalty] for penalty in METHODS for _ in levels]
    values = np.tile(levels, len(METHODS)).astype(np.float32)
    return Strengths(*(np.where(np.array(fields) == field, values, 0).astype(np.float32) for field in Strengths._fields))


def laid_out(values: np.ndarray, levels: int) -> np.ndarray:
    """Values (run, …) as (penalty, strength, …)."""
    return values.reshape(len(METHODS), levels, *values.shape[1:])


def up_to_empty(dataset: xr.Dataset, config: Drawing) -> xr.Dataset:
    """The strengths up to the first, among those from the figures' on, at which L1 leaves no weight."""
    l1 = dataset.sel(penalty="L1")
    empty = (l1["first"] == 0).all(["input", "hidden"]) & (l1["second"] == 0).all(["hidden", "class"])
    last = np.flatnonzero(empty.values & (dataset["strength"].values >= max(config.l1, config.l2)))
    return dataset.isel(strength=slice(None, int(last[0]) + 1)) if last.size else dataset


def stages(dataset: xr.Dataset) -> xr.Dataset:
    """The three networks of the figures along `stage`: "before" (λ = 0), "L1" and "L2"."""
    picked = [dataset.sel(penalty="L1", strength=0.0)]
    picked += [dataset.sel(penalty=name, strength=float(dataset["shown"].sel(penalty=name))) for name in METHODS]
    joined = xr.concat(
        [one.drop_vars(["penalty", "shown"]) for one in picked], "stage", coords=["strength"], compat="equals", join="exact"
    )
    return joined.assign_coords(stage=["before", *METHODS])
