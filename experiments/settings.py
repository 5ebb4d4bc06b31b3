"""What every configuration is made of: checked settings, grids of strengths, and how a network is trained."""

import dataclasses
from pathlib import Path

import numpy as np


def strengths(first: float, last: float, count: int) -> tuple[float, ...]:
    """`count` strengths evenly spaced in their logarithm, rounded to three digits so that they read and retype well."""
    return tuple(float(f"{value:.3g}") for value in np.geomspace(first, last, count))


class SettingError(Exception):
    """A user's setting that cannot be used: the command line prints its one line, where any other error is a traceback.

    It is no ValueError, because tyro catches those and frames them.
    """


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Raises a `SettingError` that names the setting, what was expected and what came."""
    if not condition:
        raise SettingError(f"{name}: expected {expected}, got {got}")


def same_length(config: object, *names: str) -> None:
    """Requires grids of positive strengths, increasing and all of one length, as records have one axis for their levels."""
    for name in names:
        values = getattr(config, name)
        good = len(values) > 0 and all(value > 0 for value in values) and list(values) == sorted(set(values))
        require(good, name.replace("_", "-"), "increasing positive strengths", values)
    lengths = {name.replace("_", "-"): len(getattr(config, name)) for name in names}
    require(len(set(lengths.values())) == 1, " and ".join(lengths), "as many strengths each", lengths)


@dataclasses.dataclass(frozen=True)
class Training:
    """How one network is trained, whatever its penalty: Adam, the learning rate falling to 0 along a cosine."""

    epochs: int = 400
    """Passes over the training rows."""
    batch_size: int = 50
    """Rows a step; what does not fill a batch is left out of that epoch's shuffle."""
    learning_rate: float = 3e-3
    """Adam's learning rate at the first step."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.batch_size >= 1, "batch-size", "at least 1", self.batch_size)
        require(0 < self.learning_rate < np.inf, "learning-rate", "a positive number", self.learning_rate)


@dataclasses.dataclass(frozen=True)
class Options:
    """What every command that runs studies is asked besides the studies' own settings."""

    out: Path | None = None
    """Folder of results, which is replaced as a whole once everything is written. By default results/NAME, with --quick
    results/quick/NAME."""
    devices: int | None = None
    """JAX devices to spread the runs over: by default one for each CPU core, or every GPU."""
    cache: Path | None = Path("~/.cache/jaxreg")
    """Folder where JAX keeps compiled programs, so that a second start does not compile again; None keeps none."""
    quick: bool = False
    """A small version, in seconds: few seeds, strengths and epochs, so its numbers and verdicts are not final. Any setting
    given beside it still holds."""

    def __post_init__(self) -> None:
        require(self.devices is None or 1 <= self.devices <= 512, "devices", "1 to 512", self.devices)
