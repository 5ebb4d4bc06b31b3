"""What `jaxreg.fit_path` and `jaxreg.cross_validate_path` return, and the choice of λ."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxreg._masking import dotted
from jaxreg._paths.recipe import SPARSE_TO_DENSE, Recipe
from jaxreg._sweep.keys import savable
from jaxreg._typing import PyTree

if TYPE_CHECKING:
    import xarray as xr

SHOWN = 12
"""About how many strengths `print` shows."""
RULES = ("best", "one_se")


@dataclasses.dataclass(frozen=True)
class RegularizationPath:
    """The solutions along a grid of λ; `print` shows a table.

    Arrays have the axes (strengths, …), or (seeds, strengths, …) if `fit_path` was called with
    seeds.

    Attributes:
        strengths: λ (strengths,), ascending.
        params: the parameters at each strength in `kept_indices`; None if there is none.
        refitted: the refitted parameters at the same strengths; None without refitting.
        record: numbers by name. `objective`, `loss`, `residual` (of the KKT conditions), `epochs`,
            `converged`, `fitted` (False for a λ that `stop` left out), `nonzeros` (of penalised
            parameters); `validation_loss` if there are validation rows; the caller's metrics;
            `live_inputs` and `live_units`, dicts by kernel; and, after refitting, `refitted_loss`
            and the same of the others.
        kept_indices: indices of the strengths whose parameters are held, ascending.
        seeds: the seeds; None if there is one run alone.
    """

    strengths: np.ndarray
    params: PyTree
    refitted: PyTree
    record: dict[str, Any]
    kept_indices: np.ndarray
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
            IndexError: there is no such strength.
            ValueError: the parameters at this strength were not kept, there was no refitting, or
                `seed` is missing or superfluous.
        """
        tree = self.refitted if refitted else self.params
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"RegularizationPath.at: index must be from {-len(self)} to {len(self) - 1}, got "
                f"{index}"
            )
        place = np.flatnonzero(self.kept_indices == range(len(self))[index])
        if tree is None or not place.size:
            what = (
                "refitted parameters; pass refit_epochs"
                if refitted and tree is None
                else "parameters; pass keep"
            )
            raise ValueError(
                f"RegularizationPath.at: there are no {what} to fit_path for strength {index}"
            )
        if (seed is None) != (self.seeds is None):
            wanted = "None" if self.seeds is None else "an index"
            raise ValueError(
                f"RegularizationPath.at: expected seed to be {wanted}, got {seed}; the path has "
                f"seeds {self.seeds}"
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
            ({} if self.seeds is None else {"seed": self.seeds}) | {"strength": self.strengths},
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
        record: numbers by name, as those of `RegularizationPath`, with the axes (folds, seeds,
            strengths).
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


def select_strength(
    strengths: Any, scores: Any, rule: str = "one_se", largest: bool = False
) -> int:
    """Picks a λ by its scores on validation rows.

    "best" takes the λ with the best mean score, the largest λ among equals. "one_se" takes the
    largest λ whose mean score is within one standard error of the best one's, with the standard
    error of the best; it is the simplest solution that the data cannot tell from the best.

        >>> import numpy as np, jaxreg
        >>> strengths = np.array([0.01, 0.1, 1.0])
        >>> # A row for each fold
        >>> errors = np.array([[0.30, 0.26, 0.50], [0.20, 0.28, 0.52], [0.24, 0.25, 0.54]])
        >>> select = jaxreg.select_strength
        >>> select(strengths, errors, "best"), select(strengths, errors)
        (0, 1)

    Args:
        strengths: λ (strengths,), in any order.
        scores: (repeats, strengths), a row for each fold or seed; or (strengths,) for the rule
            "best". A strength with a score that is not finite is never picked.
        rule: "best" or "one_se".
        largest: whether large scores are good (accuracies) rather than small ones (losses).

    Returns:
        The index of the strength.

    Raises:
        ValueError: the rule is unknown, the shapes do not fit, no strength has finite scores, or
            "one_se" has fewer than two repeats.

    Source: Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984), section
        3.4.3; Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models
        via coordinate descent (2010).
    """
    if rule not in RULES:
        raise ValueError(f"select: rule must be one of {', '.join(RULES)}, got {rule!r}")
    strengths = np.asarray(strengths, float)
    scores = np.atleast_2d(np.asarray(scores, float))
    if strengths.ndim != 1 or scores.ndim != 2 or scores.shape[1] != strengths.size:
        raise ValueError(
            f"select: expected scores of shape (repeats, {strengths.size}) for strengths of shape "
            f"(strengths,), got {scores.shape} for {strengths.shape}"
        )
    if rule == "one_se" and len(scores) < 2:
        raise ValueError(
            "select: the rule one_se needs a standard error, so at least 2 repeats (folds or "
            "seeds), got 1; use "
            'cross_validate_path, several seeds, or rule="best"'
        )
    usable = np.isfinite(scores).all(0)
    if not usable.any():
        raise ValueError(
            "select: expected finite scores for at least one strength, got none; the training "
            "diverged, or the rows that score it hold NaN"
        )
    means = np.where(usable, (-scores if largest else scores).mean(0), np.inf)
    best = max(np.flatnonzero(means == means.min()), key=lambda index: strengths[index])
    if rule == "best":
        return int(best)
    error = scores[:, best].std(ddof=1) / len(scores) ** 0.5
    return int(
        max(np.flatnonzero(means <= means[best] + error), key=lambda index: strengths[index])
    )


def check_results(
    owner: str, recipe: Recipe, record: dict[str, Any], strengths: np.ndarray
) -> None:
    """Checks what came out of the training.

    Args:
        owner: the function that the user called.
        recipe: how it was trained.
        record: numbers with the strengths along the last axis.
        strengths: λ, ascending.

    Raises:
        ValueError: the loss at the λ that came first is not finite.

    Warns:
        UserWarning: the loss is not finite at other λ, or the tolerance was not met.
    """
    fitted = record["fitted"]
    lost = ~np.isfinite(record["objective"]) & fitted
    first = -1 if recipe.order == SPARSE_TO_DENSE else 0
    if lost[..., first].any():
        raise ValueError(
            f"{owner}: the loss at the strength that comes first, {strengths[first]:.4g}, is not "
            "finite, so no other can start there; check the data for NaN, or use a smaller "
            "learning rate"
        )
    report = warn_at(owner, strengths)
    report(lost, "the loss is not finite")
    if "validation_loss" in record:
        unscored = fitted & ~lost & ~np.isfinite(record["validation_loss"])
        report(unscored, "the loss of the validation rows is not finite; look for NaN among them,")
    report(
        ~record["converged"] & fitted & ~lost,
        f"the budget of epochs ended before the residual was {recipe.tolerance}·λ",
    )


def warn_at(owner: str, strengths: np.ndarray) -> Callable[[np.ndarray, str], None]:
    """Makes a function that warns of what happened at some strengths."""

    def report(where: np.ndarray, what: str) -> None:
        places = np.flatnonzero(where.reshape(-1, strengths.size).any(0))
        if places.size:
            some = ", ".join(f"{strengths[place]:.4g}" for place in places[:6])
            more = f" and {places.size - 6} more" if places.size > 6 else ""
            warnings.warn(f"{owner}: {what} at strength {some}{more}", stacklevel=5)

    return report
