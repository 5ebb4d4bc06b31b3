"""Trains settings of several methods and collects their results in one dataset."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments import datasets, idx
from experiments.datasets import Rows
from experiments.layout import described
from experiments.settings import SettingError, require
from experiments.studies.images.fit import train_network
from experiments.studies.images.methods import Method, Run
from experiments.studies.images.settings import FASHION, MNIST, Settings
from experiments.study import Session

RATE = "rate"
"""The role of a setting that chooses a learning rate with the first seed."""
TEXTS = {
    "nonzero": ("share of weights that are not 0", "1"),
    "kept": ("share of weights that are not 0 and lead to an output", "1"),
    "live": ("units of a layer, starting with the inputs, that have an outgoing weight which is kept", "count"),
    "learning_rate": ("learning rate of the first phase", "1"),
    "decay": ("optax's weight_decay", "1"),
    "strength": ("strength λ, or the λ that a growing strength ends with", "nats per unit of the penalty"),
    "reached": ("strength λ at the end of the first phase", "nats per unit of the penalty"),
    "share": ("share of the weights that the method had to keep", "1"),
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
        SettingError: there is no such data set or folder, the folder is not as expected, or there are too few rows.
    """
    if config.data == MNIST:
        source = Source(MNIST, datasets.mnist_5000(), None)
    else:
        folder = idx.FASHION if config.data == FASHION else Path(config.data).expanduser()
        known = config.data == FASHION or folder.is_dir()
        require(known, "data", f"{FASHION}, {MNIST} or a folder of four IDX files", config.data)
        source = Source(config.data if config.data == FASHION else folder.resolve().name, *idx.load(folder))
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

    def train(self, method: Method, settings: list[Setting], part: str) -> np.ndarray:
        """Trains settings of one method, and returns their validation accuracies (settings,), means over the seeds.

        A setting in which a network diverged has the accuracy −1.
        """
        pairs = [(setting, seed) for setting in settings for seed in range(setting.repeats)]
        columns = {name: [getattr(setting, name) for setting, _ in pairs] for name in Run._fields if name != "seed"}
        numbers = {name: np.array(column, np.float32) for name, column in columns.items()}
        runs = Run(seed=np.array([seed for _, seed in pairs], np.uint32), **numbers)
        fit = functools.partial(train_network, method=method, config=self.config)
        # One network takes long enough to be a chunk of its own.
        trained = self.session.sweep(fit, runs, self.source[1:], part=part, chunk=1)
        outputs = {**trained.outputs, "diverged": trained.diverged.astype(float)}
        means, start = [], 0
        for setting in settings:
            rows = slice(start, start + setting.repeats)
            start += setting.repeats
            self.settings.append(setting)
            self.outputs.append({name: np.asarray(values[rows], float) for name, values in outputs.items()})
            accuracy = self.outputs[-1]["validation_accuracy"]
            means.append(float(accuracy.mean()) if np.isfinite(accuracy).all() else -1.0)
        return np.array(means)

    def choose_rate(self, method: Method, decay: float) -> float:
        """Chooses the learning rate of a method with a target."""
        rates = self.config.learning_rates
        shares = (
            self.config.rate_shares if method.axis is None else (self.config.unit_shares[len(self.config.unit_shares) // 2],)
        )
        if len(rates) == 1:
            return rates[0]
        settings = [Setting(method.name, rate, decay, 0, 0, share, RATE, 1) for rate in rates for share in shares]
        accuracies = self.train(method, settings, f"{part_of(method.name)}-rate")
        return rates[int(np.argmax(accuracies.reshape(len(rates), -1).mean(1)))]

    def dataset(self) -> xr.Dataset:
        """All settings with their results; empty if nothing was trained."""
        if not self.settings:
            return xr.Dataset()
        seeds = max(setting.repeats for setting in self.settings)
        dataset = xr.Dataset(coords={"seed": np.arange(seeds)})
        for name in ("method", "learning_rate", "decay", "strength", "share", "role", "repeats"):
            dataset = dataset.assign_coords({name: ("setting", np.array([getattr(one, name) for one in self.settings]))})
        for name, example in self.outputs[0].items():
            values = np.full((len(self.settings), seeds, *example.shape[1:]), np.nan)
            for at, outputs in enumerate(self.outputs):
                values[at, : len(outputs[name])] = outputs[name]
            dataset[name] = (("setting", "seed", *(["layer"] if example.ndim > 1 else [])), values)
        dataset["diverged"] = dataset["diverged"] == 1
        widths = (self.source.rows.inputs.shape[1], *self.config.hidden)
        return described(dataset.assign_attrs(data=self.source.name, widths=widths), TEXTS)


def part_of(name: str) -> str:
    """The name of a method as that of a folder."""
    return "".join(letter if letter.isalnum() else "-" for letter in name).strip("-").lower()
