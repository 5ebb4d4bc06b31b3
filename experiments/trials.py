"""Settings of several methods, trained in turn, and all their results as one dataset.

Some settings are trained with the first seed only, to choose a learning rate; others with several.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from experiments.lab import Session
from experiments.lazy import xr
from experiments.training import described

MAIN, RATE = "main", "rate"
"""Roles of settings: those that are compared, and those that only choose a learning rate, a decay
or both.
"""


class Named(Protocol):
    """What trains a network; its name stands for it."""

    @property
    def name(self) -> str:
        """Name of the method."""


class Trials:
    """Trains settings of several methods and collects their results in one dataset.

    Args:
        session: runs the sweeps.
        fit: from a method to the function that `jaxreg.sweep` takes. Its runs are named tuples of
            scalars, among them `seed`.
        data: shared by all runs.
        score: name of the output that settings are chosen by.
        largest: whether the largest score is the best; otherwise the smallest is.
    """

    def __init__(
        self, session: Session, fit: Callable[[Any], Any], data: Any, score: str, largest: bool
    ):
        self.session, self.fit, self.data = session, fit, data
        self.score, self.sign = score, 1 if largest else -1
        self.settings: list[dict[str, Any]] = []
        self.outputs: list[dict[str, np.ndarray]] = []
        self.trained: dict[tuple[str, Any], dict[str, np.ndarray]] = {}

    def train(
        self, method: Named, runs: Sequence[Any], repeats: int, role: str = MAIN
    ) -> np.ndarray:
        """Trains settings of one method, each with the first `repeats` seeds.

        A network that was trained before is not trained again.

        Returns:
            The mean score of each setting over the seeds (settings,), negative if the smallest is
            the best; −∞ for a setting in which a network diverged.
        """
        seeded = [[run._replace(seed=seed) for seed in range(repeats)] for run in runs]
        every = dict.fromkeys(itertools.chain.from_iterable(seeded))
        missing = [run for run in every if (method.name, run) not in self.trained]
        if missing:
            kind = type(missing[0])
            columns = kind(*(np.array(column, np.float32) for column in zip(*missing, strict=True)))
            columns = columns._replace(seed=np.array([run.seed for run in missing], np.uint32))
            letters = (letter if letter.isalnum() else "-" for letter in f"{method.name} {role}")
            # One network takes long enough to be a chunk of its own.
            part = "".join(letters).lower()
            swept = self.session.sweep(self.fit(method), columns, self.data, part=part, chunk=1)
            outputs = {**swept.outputs, "diverged": swept.diverged}
            for at, run in enumerate(missing):
                self.trained[method.name, run] = {
                    name: np.asarray(values[at], float) for name, values in outputs.items()
                }
        for run, repetitions in zip(runs, seeded, strict=True):
            by_seed = [self.trained[method.name, repetition] for repetition in repetitions]
            labels = {"method": method.name, "role": role, "repeats": repeats}
            self.settings.append(labels | run._asdict())
            self.outputs.append(
                {name: np.stack([network[name] for network in by_seed]) for name in by_seed[0]}
            )
        latest = self.outputs[len(self.outputs) - len(runs) :]
        means = np.array([self.sign * outputs[self.score].mean() for outputs in latest])
        return np.nan_to_num(means, nan=-np.inf)

    def choose(self, method: Named, runs: Sequence[Any]) -> Any:
        """The run with the best score, with the first seed; the first among equals."""
        return runs[int(np.argmax(self.train(method, runs, 1, RATE)))] if len(runs) > 1 else runs[0]

    def dataset(
        self,
        texts: Mapping[str, tuple[str, str]],
        dims: tuple[str, ...],
        coordinates: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> xr.Dataset:
        """All settings with their results; empty if nothing was trained.

        Args:
            texts: `long_name` and `units` of variables.
            dims: names of the axes that outputs of a network may have.
            coordinates: the fields of runs, except the seed, that label the settings.
            attributes: of the dataset.

        Returns:
            Outputs along (setting, seed, *dims); NaN for seeds beyond a setting's `repeats`.
        """
        if not self.settings:
            return xr.Dataset()
        seeds = max(setting["repeats"] for setting in self.settings)
        dataset = xr.Dataset(coords={"seed": np.arange(seeds)})
        for name in ("method", "role", "repeats", *coordinates):
            dataset.coords[name] = ("setting", [setting[name] for setting in self.settings])
        for name, example in self.outputs[0].items():
            values = np.full((len(self.settings), seeds, *example.shape[1:]), np.nan)
            for row, outputs in zip(values, self.outputs, strict=True):
                row[: len(outputs[name])] = outputs[name]
            dataset[name] = (("setting", "seed", *dims)[: values.ndim], values)
        dataset["diverged"] = dataset["diverged"] == 1
        dataset.attrs = dict(attributes)
        return described(dataset, texts)


def fit_of(function: Callable[..., Any], config: Any) -> Callable[[Any], Any]:
    """From a method to `function` with this method and these settings."""
    return lambda method: functools.partial(function, method=method, config=config)
