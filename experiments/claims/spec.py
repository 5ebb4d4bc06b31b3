"""What a claim is made of."""

import dataclasses
from collections.abc import Callable, Sequence

import xarray as xr
from matplotlib.figure import Figure

from experiments.verdicts import Finding

Records = dict[str, xr.Dataset]
"""From a study's name to its records."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """A claim that can be tested.

    Attributes:
        name: of the command and the folder. title: a few words. statement: the claim in its usual words.
        studies: whose records it needs. judge: from the records to the findings. figure: from the records to the picture.
        caption: what the picture shows.
    """

    name: str
    title: str
    statement: str
    studies: tuple[str, ...]
    judge: Callable[[Records], Sequence[Finding]]
    figure: Callable[[Records], Figure]
    caption: str
