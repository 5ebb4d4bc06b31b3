"""Trains settings of several methods and collects their results in one dataset."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from experiments import datasets, idx
from experiments.datasets import Rows
from experiments.layout import described
from experiments.selection import interpolate
from experiments.settings import SettingError, require
from experiments.studies.images.fit import train_network
from experiments.studies.images.methods import Method, Run
from experiments.studies.images.network import CLASSES
from experiments.studies.images.settings import FASHION, MNIST, Settings
from experiments.study import Session

RATE = "rate"
"""The role of a setting that chooses a learning rate with the first seed."""
TEXTS = {
    "nonzero": ("share of weights that are not 0", "1"),
    "kept": ("share of weights that are not 0 and lead to an output", "1"),
    "live": (
        "units of a layer, starting with the inputs, that have an outgoing weight which is kept",
        "count",
    ),
    "learning_rate": ("learning rate of the first phase", "1"),
    "decay": ("optax's weight_decay", "1"),
    "strength": (
        "strength λ, or the λ that a growing strength ends with",
        "nats per unit of the penalty",
    ),
    "reached": ("strength λ at the end of the first phase", "nats per unit of the penalty"),
    "share": ("share of the weights, or of inputs and units, that the method had to keep", "1"),
    "role": ("what the setting is for", "1"),
    "repeats": ("number of seeds with which the setting was trained", "count"),
    "train_loss": ("mean cross-entropy of the training rows", "nats"),
    **{
        f"{prefix}{rows}_accuracy": (f"accuracy on {rows} rows{text}", "1")
        for prefix, text in (("", ""), ("unrefitted_", ", before refitting"))
        for rows in ("validation", "test")
    },
}


class Source(NamedTuple):
    """A data set.

    Attributes:
        name: of the data set.
        rows: training and validation rows, and test rows too if `test` is None.
        test: separate test rows, or None if the data set has none.
    """

    name: str
    rows: Rows
    test: Rows | None


class Setting(NamedTuple):
    """One setting of one method, trained with the first `repeats` seeds."""

    method: str
    learning_rate: float
    decay: float
    strength: float
    growth: float
    share: float
    role: str
    repeats: int


def load_source(config: Settings) -> Source:
    """Loads the data set that the settings name.

    Raises:
        SettingError: there is no such data set or folder, the folder is not as expected, or there
            are too few rows.
    """
    if config.data == MNIST:
        source = Source(MNIST, datasets.mnist_5000(), None)
    else:
        folder = idx.FASHION if config.data == FASHION else Path(config.data).expanduser()
        known = config.data == FASHION or folder.is_dir()
        require(known, "data", f"{FASHION}, {MNIST} or a folder of four IDX files", config.data)
        source = Source(
            config.data if config.data == FASHION else folder.resolve().name, *idx.load(folder)
        )
    inputs, largest = source.rows.inputs.shape[1], int(np.max(source.rows.labels))
    require(largest < CLASSES, "data", f"labels below {CLASSES}", largest)
    require(
        config.network == "mlp" or inputs == 784,
        "data",
        "images of 28 × 28 pixels for lenet-5",
        f"{inputs} pixels",
    )
    drawn = config.validation_size + (config.test_size if source.test is None else 0)
    left = len(source.rows.labels) - drawn
    if left < config.batch_size:
        expected = f"batch-size: expected at most the {max(left, 0)} rows that are left to train on"
        raise SettingError(f"{expected} of {len(source.rows.labels)}, got {config.batch_size}")
    return source


class Table:
    """Trains settings and collects their results.

    Args:
        config: the settings of the study.
        source: the data set.
        session: runs the sweeps.
    """

    def __init__(self, config: Settings, source: Source, session: Session):
        self.config, self.source, self.session = config, source, session
        self.settings: list[Setting] = []
        self.outputs: list[dict[str, np.ndarray]] = []
        self.networks: dict[tuple[Any, ...], dict[str, np.ndarray]] = {}

    def train(self, method: Method, settings: list[Setting], part: str) -> np.ndarray:
        """Trains settings of one method, and returns their validation accuracies (settings,), means
        over the seeds.

        A network that is already in the table is not trained again. A setting in which a network
        diverged has the accuracy −1.
        """
        pairs = [(setting, seed) for setting in settings for seed in range(setting.repeats)]
        missing = list(
            dict.fromkeys(pair for pair in map(network_of, pairs) if pair not in self.networks)
        )
        if missing:
            # The name of the method comes first.
            columns = [
                np.array(column, np.float32) for column in list(zip(*missing, strict=True))[1:-1]
            ]
            runs = Run(np.array([network[-1] for network in missing], np.uint32), *columns)
            fit = functools.partial(train_network, method=method, config=self.config)
            # One network takes long enough to be a chunk of its own.
            trained = self.session.sweep(fit, runs, self.source[1:], part=part, chunk=1)
            outputs = {**trained.outputs, "diverged": trained.diverged.astype(float)}
            for at, network in enumerate(missing):
                self.networks[network] = {
                    name: np.asarray(values[at], float) for name, values in outputs.items()
                }
        means = []
        for setting in settings:
            own = [self.networks[network_of((setting, seed))] for seed in range(setting.repeats)]
            self.settings.append(setting)
            self.outputs.append(
                {name: np.stack([network[name] for network in own]) for name in own[0]}
            )
            accuracy = self.outputs[-1]["validation_accuracy"]
            means.append(float(accuracy.mean()) if np.isfinite(accuracy).all() else -1.0)
        return np.array(means)

    def choose(self, method: Method, share: float) -> tuple[float, float]:
        """Chooses the learning rate and the decay of a method with a target, by validation accuracy
        with the first seed.

        The learning rate is chosen with the smallest decay, and other decays are tried at that
        rate.

        Args:
            method: with a target.
            share: the target.

        Returns:
            Learning rate and decay.
        """
        rates, (decay, *others) = self.config.learning_rates, sorted(self.config.decay)
        if len(rates) == 1 and not others:
            return rates[0], decay
        part = f"{part_of(method.name)}-rate"
        settings = [Setting(method.name, rate, decay, 0, 0, share, RATE, 1) for rate in rates]
        accuracies = self.train(method, settings, part)
        rate = rates[int(np.argmax(accuracies))]
        if not others:
            return rate, decay
        settings = [Setting(method.name, rate, other, 0, 0, share, RATE, 1) for other in others]
        decays = self.train(method, settings, part)
        return rate, others[int(np.argmax(decays))] if decays.max() > accuracies.max() else decay

    def choose_without_target(self, method: Method, strengths: Sequence[float]) -> float:
        """Chooses the learning rate of a method without a target, with the first seed.

        Args:
            method: without a target.
            strengths: values of λ.

        Returns:
            The learning rate with the highest validation accuracy at the smallest of `rate_shares`,
            interpolated between values of λ; where no rate comes near that share, the highest mean
            accuracy.
        """
        rates = self.config.learning_rates
        if len(rates) == 1:
            return rates[0]
        settings = [
            Setting(method.name, rate, 0, value, 0, 1, RATE, 1)
            for rate in rates
            for value in strengths
        ]
        means = self.train(method, settings, f"{part_of(method.name)}-rate").reshape(len(rates), -1)
        kept = np.array([outputs["kept"][0] for outputs in self.outputs[-len(settings) :]]).reshape(
            means.shape
        )
        # A network that diverged has a mean of −1.
        measured = np.where(means < 0, np.nan, means)
        found = np.array(
            [
                interpolate(*pair, min(self.config.rate_shares))
                for pair in zip(kept, measured, strict=True)
            ]
        )
        return rates[
            int(np.argmax(means.mean(1)) if np.isnan(found).all() else np.nanargmax(found))
        ]

    def dataset(self) -> xr.Dataset:
        """All settings with their results; empty if nothing was trained."""
        if not self.settings:
            return xr.Dataset()
        seeds = max(setting.repeats for setting in self.settings)
        dataset = xr.Dataset(coords={"seed": np.arange(seeds)})
        for name in ("method", "learning_rate", "decay", "strength", "share", "role", "repeats"):
            dataset = dataset.assign_coords(
                {name: ("setting", np.array([getattr(one, name) for one in self.settings]))}
            )
        for name, example in self.outputs[0].items():
            values = np.full((len(self.settings), seeds, *example.shape[1:]), np.nan)
            for at, outputs in enumerate(self.outputs):
                values[at, : len(outputs[name])] = outputs[name]
            dataset[name] = (("setting", "seed", *(["layer"] if example.ndim > 1 else [])), values)
        dataset["diverged"] = dataset["diverged"] == 1
        network, hidden = self.config.network, self.config.hidden
        dataset = dataset.assign_attrs(data=self.source.name, network=network)
        if network == "mlp":
            dataset = dataset.assign_attrs(widths=(self.source.rows.inputs.shape[1], *hidden))
        return described(dataset, TEXTS)


def network_of(pair: tuple[Setting, int]) -> tuple[Any, ...]:
    """What makes a network: the method, the hyperparameters of `Run` and, last, the seed."""
    setting, seed = pair
    return (
        setting.method,
        *(getattr(setting, name) for name in Run._fields if name != "seed"),
        seed,
    )


def part_of(name: str) -> str:
    """The name of a method as that of a folder."""
    return "".join(letter if letter.isalnum() else "-" for letter in name).strip("-").lower()
