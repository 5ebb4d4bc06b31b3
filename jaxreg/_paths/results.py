"""What `jaxreg.fit_path` and `jaxreg.cross_validate_path` return."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxreg._masking import dotted
from jaxreg._paths.selection import select_strength
from jaxreg._sweep.keys import savable
from jaxreg._typing import PyTree

if TYPE_CHECKING:
    import xarray as xr

SHOWN = 12
"""About how many strengths `print` shows."""


@dataclasses.dataclass(frozen=True)
class Path:
    """The solutions along a grid of λ; `print` shows a table.

    Arrays have the axes (strengths, …), or (seeds, strengths, …) if `fit_path` was called with
    seeds.

    Attributes:
        strengths: λ (strengths,), ascending.
        params: the parameters at each kept strength; None if none was kept.
        refitted: the refitted parameters at each kept strength; None without refitting.
        record: numbers by name. `objective`, `loss`, `residual` (of the KKT conditions), `epochs`,
            `converged`, `fitted` (False for a λ that `stop` left out), `nonzeros` (of penalised
            parameters); `validation_loss` if there are validation rows; the caller's metrics;
            `live_inputs` and `live_units`, dicts by kernel; and, after refitting, `refitted_loss`
            and the same of the others.
        kept: indices of the strengths whose parameters were kept.
        seeds: the seeds; None if there is one run alone.
    """

    strengths: np.ndarray
    params: PyTree
    refitted: PyTree
    record: dict[str, Any]
    kept: np.ndarray
    seeds: np.ndarray | None

    def __len__(self) -> int:
        return self.strengths.size

    def at(self, index: int, *, seed: int | None = None, refitted: bool = False) -> PyTree:
        """Returns the parameters at one strength.

        Args:
            index: of the strength; negative numbers count from the end.
            seed: index of the seed, if there are seeds.
            refitted: whether to return the refitted parameters.

        Raises:
            ValueError: the parameters at this strength were not kept, there was no refitting, or
                `seed` is missing or superfluous.
        """
        tree = self.refitted if refitted else self.params
        place = np.flatnonzero(self.kept == range(len(self))[index])
        if tree is None or not place.size:
            what = (
                "refitted parameters; pass refit_epochs"
                if refitted and tree is None
                else "parameters; pass keep"
            )
            raise ValueError(f"Path.at: there are no {what} to fit_path for strength {index}")
        if (seed is None) != (self.seeds is None):
            wanted = "None" if self.seeds is None else "an index"
            raise ValueError(
                f"Path.at: expected seed to be {wanted}, got {seed}; the path has seeds "
                f"{self.seeds}"
            )
        where = (place[0],) if seed is None else (seed, place[0])
        return jax.tree.map(lambda leaf: jax.numpy.asarray(leaf[where]), tree)

    def select(self, rule: str = "best", by: str = "validation_loss", largest: bool = False) -> int:
        """Picks a strength by its scores on the validation rows; see `jaxreg.select_strength`.

        Args:
            rule: "best", or "one_se", which needs seeds.
            by: the name of a number in `record`.
            largest: whether large numbers are good.

        Returns:
            The index of the strength.

        Raises:
            ValueError: there is no such number, or the rule needs more runs.
        """
        return select_strength(self.strengths, scores_of(self.record, by), rule, largest)

    def dataset(self) -> xr.Dataset:
        """Returns the numbers as an `xarray.Dataset` with the dimensions `strength` and, with
        seeds, `seed`.

        Raises:
            ImportError: xarray is not installed.
        """
        return labelled(
            self.record,
            {**({} if self.seeds is None else {"seed": self.seeds}), "strength": self.strengths},
        )

    def __str__(self) -> str:
        names = [
            name
            for name, value in self.record.items()
            if np.ndim(value) and np.asarray(value).dtype != bool
        ]
        mean = {name: np.asarray(self.record[name], float) for name in names}
        if self.seeds is not None:
            mean = {name: value.mean(0) for name, value in mean.items()}
        picked = np.unique(np.linspace(0, len(self) - 1, min(len(self), SHOWN)).round().astype(int))
        rows = [["strength", *names]]
        rows += [
            [f"{self.strengths[at]:.4g}", *(f"{mean[name][at]:.5g}" for name in names)]
            for at in picked
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        text = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """Scores on held-out rows for each fold, seed and λ; `print` shows the choices of both rules.

    Attributes:
        strengths: λ (strengths,), ascending.
        record: numbers by name, as those of `Path`, with the axes (folds, seeds, strengths).
    """

    strengths: np.ndarray
    record: dict[str, Any]

    def scores(self, by: str = "validation_loss") -> np.ndarray:
        """Returns a score for each fold, averaged over seeds: (folds, strengths)."""
        return scores_of(self.record, by).mean(1)

    def mean(self, by: str = "validation_loss") -> np.ndarray:
        """Returns the mean score over folds (strengths,)."""
        return self.scores(by).mean(0)

    def error(self, by: str = "validation_loss") -> np.ndarray:
        """Returns the standard error of that mean over folds (strengths,)."""
        scores = self.scores(by)
        return scores.std(0, ddof=1) / len(scores) ** 0.5

    def select(
        self, rule: str = "one_se", by: str = "validation_loss", largest: bool = False
    ) -> int:
        """Picks a strength by its scores; see `jaxreg.select_strength`.

        Args:
            rule: "best" or "one_se".
            by: the name of a number in `record`.
            largest: whether large numbers are good.

        Returns:
            The index of the strength.

        Raises:
            ValueError: there is no such number.
        """
        return select_strength(self.strengths, self.scores(by), rule, largest)

    def dataset(self) -> xr.Dataset:
        """Returns the numbers as an `xarray.Dataset` with the dimensions `fold`, `seed` and
        `strength`.

        Raises:
            ImportError: xarray is not installed.
        """
        folds, seeds = self.record["loss"].shape[:2]
        return labelled(
            self.record,
            {"fold": np.arange(folds), "seed": np.arange(seeds), "strength": self.strengths},
        )

    def __str__(self) -> str:
        mean, error = self.mean(), self.error()
        lines = [
            f"{len(self.strengths)} strengths, {len(self.scores())} folds; validation loss (mean "
            "± standard error)"
        ]
        for rule in ("best", "one_se"):
            at = self.select(rule)
            lines.append(
                f"{rule:>6}: {mean[at]:.5g} ± {error[at]:.2g} at strength "
                f"{self.strengths[at]:.4g} (index {at})"
            )
        return "\n".join(lines)


def scores_of(record: dict[str, Any], by: str) -> np.ndarray:
    """Returns the numbers of one name; raises a ValueError if there is none."""
    numbers = sorted(name for name, value in record.items() if not isinstance(value, dict))
    if by not in numbers:
        raise ValueError(
            f"select: by must be one of {', '.join(numbers)}, got {by!r}; validation_loss needs "
            "validation rows"
        )
    return np.asarray(record[by], float)


def labelled(record: dict[str, Any], coordinates: dict[str, np.ndarray]) -> xr.Dataset:
    """Makes a dataset of numbers and of dicts of numbers."""
    import xarray as xr

    flat = {}
    for path, value in jax.tree_util.tree_leaves_with_path(record):
        flat[dotted(path)] = (list(coordinates), savable(value))
    return xr.Dataset(flat, coordinates)
