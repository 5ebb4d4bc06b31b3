"""Building blocks of every study's settings: checks, grids of strengths, and how a network is
trained.
"""

import dataclasses
from pathlib import Path

import numpy as np


def strengths(first: float, last: float, count: int) -> tuple[float, ...]:
    """Strengths that are evenly spaced on a logarithmic scale, rounded to three digits so that they
    are easy to retype.

    Args:
        first: the smallest strength.
        last: the largest strength.
        count: number of strengths.

    Returns:
        The strengths, increasing.
    """
    return tuple(float(f"{value:.3g}") for value in np.geomspace(first, last, count))


class SettingError(Exception):
    """A setting that cannot be used. The command line prints its message as one line, and
    tracebacks for all other errors.

    It is not a ValueError, because tyro catches those and prints them in a frame.
    """


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Checks a setting.

    Args:
        condition: whether the setting is valid.
        name: name of the setting, as typed.
        expected: what is valid, in words.
        got: the value.

    Raises:
        SettingError: `condition` is False; the message gives the name, what was expected and the
            value.
    """
    if not condition:
        raise SettingError(f"{name}: expected {expected}, got {got}")


def same_length(config: object, *names: str) -> None:
    """Requires grids of positive, increasing strengths of the same length, as a dataset has one
    axis for their levels.

    Args:
        config: the settings.
        *names: names of the grids, fields of `config`.

    Raises:
        SettingError: a grid is empty, not positive or not increasing, or the lengths differ.
    """
    for name in names:
        values = getattr(config, name)
        good = (
            len(values) > 0
            and all(value > 0 for value in values)
            and list(values) == sorted(set(values))
        )
        require(good, name.replace("_", "-"), "increasing positive strengths", values)
    lengths = {name.replace("_", "-"): len(getattr(config, name)) for name in names}
    numbers = ", ".join(f"{length} for {name}" for name, length in lengths.items())
    require(
        len(set(lengths.values())) == 1,
        " and ".join(lengths),
        "the same number of strengths",
        numbers,
    )


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
        require(self.epochs >= 1, "training.epochs", "at least 1", self.epochs)
        require(self.batch_size >= 1, "training.batch-size", "at least 1", self.batch_size)
        good = 0 < self.learning_rate < np.inf
        require(good, "training.learning-rate", "a positive number", self.learning_rate)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of every command that runs studies, besides the studies' own settings."""

    out: Path | None = None
    """Results folder, which is replaced as a whole once everything is written. By default
    results/NAME, and results/quick/NAME with --quick.
    """
    devices: int | None = None
    """Number of JAX devices to spread the runs over. By default one per CPU core, or every GPU."""
    cache: Path | None = Path("~/.cache/jaxreg")
    """Folder where JAX keeps compiled programs, so that a second start does not compile them again;
    None for no cache.
    """
    quick: bool = False
    """Run a small version with few seeds, strengths and epochs, whose numbers and verdicts are not
    final. Other settings that are given still apply.
    """
    redraw: bool = False
    """Evaluate the claims and draw the figures again from the datasets on disk, without
    training.
    """

    def __post_init__(self) -> None:
        require(
            self.devices is None or 1 <= self.devices <= 512, "devices", "1 to 512", self.devices
        )
