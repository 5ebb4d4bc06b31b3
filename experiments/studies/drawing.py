"""One network small enough for a picture: 13 chemical measurements of a wine in, its grower out of 3, a few hidden units.

It is trained without a penalty, and from those weights trained on with L1 (proximal) and with L2 (coupled):

    draw(config)        # at one λ each: the networks before and after, for figures
    play(config)        # at λ = 0 and at every λ of config.player: what the player on the page steps through
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import jaxreg
from experiments import data
from experiments.config import Drawing, Training
from experiments.model import initial, kernels_of
from experiments.train import Strengths, accuracy, optimizer, train

METHODS = {"L1": "proximal_l1", "L2": "coupled_l2"}
"""Each penalty's name in records and figures, and the strength that it sets."""


class Unpenalised(NamedTuple):
    """The small network as it is before a penalty, and its data."""

    wine: data.Wine
    structure: Any
    params: Any


def draw(config: Drawing, devices: int | None = None) -> xr.Dataset:
    """Trains the small network without a penalty, then on from there with L1 and with L2.

    Args:
        config: its settings. devices: as for `jaxreg.sweep`.

    Returns:
        Kernels `first` (stage, input, hidden) and `second` (stage, hidden, class), and the accuracies, along `stage`:
        "before", "L1" and "L2".
    """
    start = unpenalised(config)
    before = judged(start.structure, start.params, start.wine.train, start.wine.test)
    after = trained_on(config, list(METHODS), [config.l1, config.l2], devices)
    stages = {name: np.concatenate([np.asarray(before[name])[None], values]) for name, values in after.items()}
    strengths = ("stage", [0.0, config.l1, config.l2])
    return labelled(stages, ["stage"], start.wine, {"stage": ["before", *METHODS], "strength": strengths})


def play(config: Drawing, advance: Callable[[int], None] = lambda _: None, devices: int | None = None) -> xr.Dataset:
    """Trains the small network on with either penalty, at λ = 0 and at every λ of the player, rising.

    Args:
        config: its settings. advance: told how many networks were finished. devices: as for `jaxreg.sweep`.

    Returns:
        What `draw` returns, along `penalty` ("L1", "L2") and `strength`. At λ = 0 both are the same network, trained on
        for as long as the others.
    """
    levels = [0.0, *sorted(config.player)]
    penalties = [penalty for penalty in METHODS for _ in levels]
    flat = trained_on(config, penalties, levels * len(METHODS), devices, advance)
    grid = {name: values.reshape(len(METHODS), len(levels), *values.shape[1:]) for name, values in flat.items()}
    strength = ("strength", levels, {"long_name": "strength λ", "units": "nats per unit of the penalty"})
    coordinates = {"penalty": list(METHODS), "strength": strength}
    return labelled(grid, ["penalty", "strength"], unpenalised(config).wine, coordinates)


@functools.lru_cache(maxsize=1)
def unpenalised(config: Drawing) -> Unpenalised:
    """The network trained without a penalty; kept, since drawing and player begin with the same one."""
    wine = data.wine(config.seed)
    model_key, order_key, _ = keys(config)
    structure, start = initial((len(wine.features), config.hidden, len(wine.classes)), model_key)
    plain = functools.partial(optimizer, Strengths(*jnp.zeros(len(Strengths._fields))))

    @jax.jit
    def phase(params: Any, rows: data.Rows) -> Any:
        return train(structure, params, plain, order_key, rows, training(config, wine))

    return Unpenalised(wine, structure, phase(start, wine.train))


def trained_on(
    config: Drawing,
    penalties: Sequence[str],
    levels: Sequence[float],
    devices: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, np.ndarray]:
    """Networks trained on from the unpenalised one, one for each pair of a penalty and its λ, with what `judged` says."""
    start = unpenalised(config)
    settings = training(config, start.wine)
    charged = np.array([[field == METHODS[penalty] for penalty in penalties] for field in Strengths._fields])

    def one(_: jax.Array, strengths: Strengths, given: tuple[Any, data.Rows, data.Rows]) -> dict[str, jax.Array]:
        params, train_rows, test_rows = given
        regularized = functools.partial(optimizer, strengths)
        params = train(start.structure, params, regularized, keys(config)[2], train_rows, settings)
        return judged(start.structure, params, train_rows, test_rows)

    grid = Strengths(*(charged * np.asarray(levels)).astype(np.float32))
    given = (start.params, start.wine.train, start.wine.test)
    return jaxreg.sweep(one, grid, given, devices=devices, progress=advance).outputs


def keys(config: Drawing) -> jax.Array:
    """Keys of the initial weights, and of the order of rows without and with a penalty."""
    return jax.random.split(jax.random.key(config.seed), 3)


def training(config: Drawing, wine: data.Wine) -> Training:
    """Full batches, as many as `config` says."""
    return Training(config.steps, len(wine.train.labels), config.learning_rate)


def judged(structure: Any, params: Any, train_rows: data.Rows, test_rows: data.Rows) -> dict[str, jax.Array]:
    """What is recorded of one network."""
    first, second = kernels_of(params)
    accuracies = {"train_accuracy": accuracy(structure, params, train_rows)}
    return {"first": first, "second": second, **accuracies, "test_accuracy": accuracy(structure, params, test_rows)}


def labelled(values: dict[str, np.ndarray], leading: list[str], wine: data.Wine, coordinates: dict[str, Any]) -> xr.Dataset:
    """Records with the names of the wine data's columns and classes."""
    trailing = {"first": ["input", "hidden"], "second": ["hidden", "class"]}
    return xr.Dataset(
        {name: ([*leading, *trailing.get(name, [])], array) for name, array in values.items()},
        coords={"input": wine.features, "class": wine.classes, **coordinates},
    )
