"""A network small enough to draw: 13 chemical measurements of a wine are the inputs, three
cultivars the classes.

It is trained without a penalty. From those weights it is trained further with proximal L1 or with
coupled L2, at λ = 0 and at every strength. The figures show two of these networks beside the one at
λ = 0. The player on the page shows all.
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
from experiments.training import Strengths, accuracy, optimizer, train_params

METHODS = {"L1": "proximal_l1", "L2": "coupled_l2"}
"""Each penalty's name in results and figures, and the strength that it sets."""
LONG_NAMES = {
    "first": ("kernel of the first layer", "1"),
    "second": ("kernel of the second layer", "1"),
    "input": ("chemical measurement of the wine", "1"),
    "hidden": ("hidden unit, from 0", "1"),
    "class": ("cultivar of the wine", "1"),
    "penalty": ("penalty that the network is trained with", "1"),
    "figure_strength": (
        "strength λ of each penalty in the figures",
        "nats per unit of the penalty",
    ),
}


def count_networks(config: Settings) -> int:
    """The number of networks that are trained with a penalty, λ = 0 included."""
    return len(METHODS) * (1 + len(config.drawing.strengths))


def train_wine(settings: Settings, session: Session) -> xr.Dataset:
    """Trains the small network on the wine data without a penalty, then with either penalty, at λ =
    0 and every strength.

    Args:
        settings: the settings of the main job.
        session: the devices, folder and progress of the command.

    Returns:
        The kernels `first` (penalty, strength, input, hidden) and `second` (penalty, strength,
        hidden, class), the accuracies (penalty, strength), and `figure_strength` (penalty), the
        strength in the figures. At λ = 0 both penalties have the same network, trained for as long
        as the others. The strengths end where L1 has set every weight to 0.
    """
    config = settings.drawing
    wine = datasets.wine(config.seed)
    rows = len(wine.train.labels)
    training = Training(config.steps, rows, config.learning_rate)
    model_key, order_key, next_key = jax.random.split(jax.random.key(config.seed), 3)
    structure, start = initial((len(wine.features), config.hidden, len(wine.classes)), model_key)
    plain = functools.partial(optimizer, Strengths(*jnp.zeros(len(Strengths._fields))))
    unpenalised = jax.jit(
        lambda params, rows: train_params(structure, params, plain, order_key, rows, training)
    )(start, wine.train)

    def train_further(
        _: jax.Array, strengths: Strengths, data: tuple[Any, datasets.Rows, datasets.Rows]
    ) -> dict[str, jax.Array]:
        params, train_rows, test_rows = data
        params = train_params(
            structure,
            params,
            functools.partial(optimizer, strengths),
            next_key,
            train_rows,
            training,
        )
        first, second = kernels_of(params)
        accuracies = {"train_accuracy": accuracy(structure, params, train_rows)}
        return {
            "first": first,
            "second": second,
            **accuracies,
            "test_accuracy": accuracy(structure, params, test_rows),
        }

    levels = np.array([0.0, *config.strengths])
    runs = session.sweep(
        train_further, strengths_of_runs(levels), (unpenalised, wine.train, wine.test)
    )
    trailing = {"first": ["input", "hidden"], "second": ["hidden", "class"]}
    dataset = xr.Dataset(
        {
            name: (
                ["penalty", "strength", *trailing.get(name, [])],
                by_penalty(values, len(levels)),
            )
            for name, values in {**runs.outputs, "diverged": runs.diverged}.items()
        },
        {
            "penalty": list(METHODS),
            "strength": levels,
            "input": wine.features,
            "hidden": np.arange(config.hidden),
            "class": wine.classes,
        },
    )
    dataset = dataset.assign(figure_strength=("penalty", [config.l1, config.l2]))
    return described(up_to_empty(dataset, config), LONG_NAMES)


def strengths_of_runs(levels: np.ndarray) -> Strengths:
    """The strengths of every run (runs,): all levels of the first penalty, then all of the
    second.
    """
    fields = [METHODS[penalty] for penalty in METHODS for _ in levels]
    values = np.tile(levels, len(METHODS)).astype(np.float32)
    return Strengths(
        *(
            np.where(np.array(fields) == field, values, 0).astype(np.float32)
            for field in Strengths._fields
        )
    )


def by_penalty(values: np.ndarray, levels: int) -> np.ndarray:
    """Values (run, …) as (penalty, strength, …)."""
    return values.reshape(len(METHODS), levels, *values.shape[1:])


def up_to_empty(dataset: xr.Dataset, config: Drawing) -> xr.Dataset:
    """The strengths up to the first at which L1 has set every weight to 0, but at least up to those
    of the figures.
    """
    l1 = dataset.sel(penalty="L1")
    empty = (l1["first"] == 0).all(["input", "hidden"]) & (l1["second"] == 0).all(
        ["hidden", "class"]
    )
    last = np.flatnonzero(empty.values & (dataset["strength"].values >= max(config.l1, config.l2)))
    return dataset.isel(strength=slice(None, int(last[0]) + 1)) if last.size else dataset


def stages(dataset: xr.Dataset) -> xr.Dataset:
    """The three networks of the figures along `stage`: "before" (λ = 0), "L1" and "L2".

    Args:
        dataset: what `train_wine` returns.
    """
    networks = [dataset.sel(penalty="L1", strength=0.0)]
    networks += [
        dataset.sel(penalty=name, strength=float(dataset["figure_strength"].sel(penalty=name)))
        for name in METHODS
    ]
    networks = [network.drop_vars(["penalty", "figure_strength"]) for network in networks]
    joined = xr.concat(networks, "stage", coords=["strength"], compat="equals", join="exact")
    return joined.assign_coords(stage=["before", *METHODS])
