"""Checks of settings, and how every study trains its networks.

A setting that is wrong raises a `SettingError`, which tyro shows with the option's name.
"""

import dataclasses
import math
from typing import Any

import numpy as np


class SettingError(ValueError):
    """A setting has a value that cannot be used."""


def strengths(smallest: float, largest: float, count: int) -> tuple[float, ...]:
    """Values of λ, evenly spaced on a logarithmic scale, rounded to three digits."""
    return tuple(float(f"{value:.3g}") for value in np.geomspace(smallest, largest, count))


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Raises a `SettingError` with the setting's name as typed, unless the condition holds."""
    if not condition:
        raise SettingError(f"{name.replace('_', '-')}: expected {expected}, got {got}")


def at_least(settings: Any, **smallest: float) -> None:
    """Requires numbers, or every number of a tuple, to be at least these."""
    for name, least in smallest.items():
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        good = len(values) > 0 and all(least <= each < math.inf for each in values)
        require(good, name, f"at least {least:g}", value)


def positive(settings: Any, *names: str) -> None:
    """Requires numbers above 0, in a tuple none of them twice."""
    for name in names:
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        good = all(0 < each < math.inf for each in values) and 0 < len(values) == len(set(values))
        require(good, name, "positive numbers, none of them twice", value)


def shares(settings: Any, *names: str) -> None:
    """Requires numbers above 0 and up to 1, in a tuple none of them twice."""
    positive(settings, *names)
    for name in names:
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        require(max(values) <= 1, name, "shares of at most 1", value)


def same_length(settings: Any, *names: str) -> None:
    """Requires grids of positive, increasing strengths of the same length, as a dataset has one
    axis for their levels.
    """
    positive(settings, *names)
    for name in names:
        value = getattr(settings, name)
        require(list(value) == sorted(value), name, "increasing strengths", value)
    lengths = {name: len(getattr(settings, name)) for name in names}
    numbers = ", ".join(f"{length} for {name}" for name, length in lengths.items())
    require(len(set(lengths.values())) == 1, " and ".join(lengths), "as many of each", numbers)


@dataclasses.dataclass(frozen=True)
class Training:
    """How one network is trained, whatever its penalty: by Adam, with a learning rate that falls to
    0 along a cosine.
    """

    epochs: int = 400
    """Passes over the training rows."""
    batch_size: int = 50
    """Rows per step; in each epoch, shuffled rows that do not fill a batch are left out."""
    learning_rate: float = 3e-3
    """Adam's learning rate at the first step."""

    def __post_init__(self) -> None:
        at_least(self, epochs=1, batch_size=1)
        positive(self, "learning_rate")
