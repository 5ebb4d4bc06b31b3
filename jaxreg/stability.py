"""Stability selection: which features are selected again and again on halves of the rows, with a
bound on how many of them are selected falsely.

    stable = jaxreg.stability_selection(x, y, jaxreg.L1)
    print(stable)
    stable.select(threshold=0.75, false=1.0)  # at most one false selection expected
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxreg._linear.inputs import Data
from jaxreg._typing import ArrayLike
from jaxreg.linear import Task
from jaxreg.losses import Loss
from jaxreg.penalties import Penalty

__all__ = ("StabilitySelection", "stability_selection")

ASSUMPTIONS = ("unimodal", "r-concave", "none")
ROUNDS, POINTS = 3, 17
"""How many times a maximum is looked for among so many points, each time between two of the last.
"""
HALVINGS, WIDEST = 60, 1e12
"""How often the range of a, 1/WIDEST to WIDEST, is halved to find the one of a mean."""


@dataclasses.dataclass(frozen=True)
class StabilitySelection:
    """How often features were selected on halves of the rows; `print` shows the most stable ones.

    Attributes:
        strengths: λ (strengths,), ascending.
        frequencies: the share of half-samples that selected a feature, or group, at this λ or a
            larger one (strengths, features).
        selected: the average number of features that a half-sample selected at this λ or a larger
            one (strengths,), q of the bounds.
        pairs: the number of pairs of halves, B.
        features: how many features have a penalty, p of the bounds.
    """

    strengths: np.ndarray
    frequencies: np.ndarray
    selected: np.ndarray
    pairs: int
    features: int

    def bound(self, threshold: float = 0.75, assumption: str = "unimodal") -> np.ndarray:
        """Bounds the expected number of falsely selected features, at each λ.

        Falsely selected means: selected with a frequency of at least `threshold`, though on half of
        the rows the feature is selected with a probability of at most q/p, no more often than by
        chance.

        Args:
            threshold: τ, above 0.5 and at most 1.
            assumption: "unimodal" if the number of pairs that select such a feature has a unimodal
                distribution; the bound is θ·q·C with θ = q/p and C = 1/(4τ − 2 − 1/B) up to τ =
                0.75, and 4(1 − τ + 1/2B)/(1 + 1/B) beyond. "r-concave" if the probabilities of
                these numbers, to the power −1/2, are convex, and those of the numbers of halves, to
                the power −1/4: the bound is p·min{D(θ², 2τ − 1, B, −1/2), D(θ, τ, 2B, −1/4)}, see
                `largest_tail`, and often a fraction of the others. "none" assumes nothing:
                θ·q/(2τ − 1), which is also the bound where θ is too large for "unimodal", and where
                it is the smaller one.

        Returns:
            (strengths,)

        Raises:
            ValueError: an argument is none of these.

        Source: Shah and Samworth, Variable selection with error control: another look at stability
            selection (2013), theorem 1, theorem 2 and the bounds under r-concavity that follow
            them; Meinshausen and Bühlmann, Stability selection (2010).
        """
        if not 0.5 < threshold <= 1:
            raise ValueError(
                f"StabilitySelection: threshold must be above 0.5 and at most 1, got {threshold!r}"
            )
        if assumption not in ASSUMPTIONS:
            raise ValueError(
                f"StabilitySelection: assumption must be one of {', '.join(ASSUMPTIONS)}, got "
                f"{assumption!r}"
            )
        theta, pairs = self.selected / self.features, self.pairs
        plain = theta * self.selected / (2 * threshold - 1)
        if assumption == "none":
            return plain
        if assumption == "r-concave":
            # Frequencies are whole numbers of pairs, or of halves.
            both, one = (math.ceil(part - 1e-9) for part in (
                (2 * threshold - 1) * pairs, 2 * threshold * pairs
            ))  # fmt: skip
            tails = [
                min(
                    largest_tail(share**2 * pairs, both, pairs, 2),
                    largest_tail(2 * share * pairs, one, 2 * pairs, 4),
                )
                for share in theta
            ]
            return np.minimum(self.features * np.array(tails), plain)
        factor = 4 * (1 - threshold + 0.5 / pairs) / (1 + 1 / pairs)
        if threshold <= 0.75:
            factor = 1 / (4 * threshold - 2 - 1 / pairs) if threshold > 0.5 + 0.25 / pairs else 0
        least = np.minimum(0.5 + theta**2, 0.5 + 0.5 / pairs + 0.75 * theta**2)
        holds = (theta <= 3**-0.5) & (threshold > least) & (factor > 0)
        return np.where(holds, np.minimum(theta * self.selected * factor, plain), plain)

    def select(
        self, threshold: float = 0.75, false: float = 1.0, assumption: str = "unimodal"
    ) -> np.ndarray:
        """Selects features with a bound on how many of them are false.

        Args:
            threshold: the least frequency of a selected feature.
            false: the largest bound on the expected number of false selections; the smallest λ that
                meets it is taken.
            assumption: of the bound.

        Returns:
            The indices of the features, ascending.

        Raises:
            ValueError: no λ meets the bound, or an argument is out of range.
        """
        met = np.flatnonzero(self.bound(threshold, assumption) <= false)
        if not met.size:
            raise ValueError(
                f"StabilitySelection: at no λ the bound is at most {false:g}, got "
                f"{self.bound(threshold, assumption).min():.3g} at the largest; pass a larger "
                "threshold, or larger strengths"
            )
        return np.flatnonzero(self.frequencies[met[0]] >= threshold)

    def __str__(self) -> str:
        most = self.frequencies[0]
        order = np.argsort(-most, kind="stable")[:12]
        lines = [
            f"{2 * self.pairs} half-samples, {len(self.strengths)} strengths, {self.features} "
            f"features; {self.selected[0]:.1f} selected on average down to λ = "
            f"{self.strengths[0]:.4g}",
            "feature  frequency",
        ]
        return "\n".join([*lines, *(f"{at:>7}  {most[at]:>9.2f}" for at in order)])


def largest_tail(mean: float, least: int, count: int, power: int) -> float:
    """Computes D(mean/count, least/count, count, −1/power): the largest P(X ≥ least) of all X in 0,
    1, …, count with a mean of at most that and with P(X = i)^(−1/power) convex in i, which includes
    infinity. Up to least = 2·mean it is Markov's bound instead.

    It is reached by P(X = i) ∝ (a + i)^(−power) up to some i = k, and what is left at k + 1, which
    is at most as much as that formula says. Between the a of which k + 1 has nothing and that of
    which it has all, a maximum is looked for.

    Source: Shah and Samworth (2013), on r-concave distributions.
    """
    if mean <= 0:
        return 0.0
    if least <= 2 * mean:
        return min(1.0, mean / least)
    numbers = np.arange(count + 1)

    def powers(a: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.where(numbers <= last[:, None], (1 + numbers / a[:, None]) ** -power, 0)

    last = np.arange(least - 1, count + 1)
    low, high = np.full(len(last), 1 / WIDEST), np.full(len(last), WIDEST)
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        each = powers(middle, last)
        above = each @ numbers > mean * each.sum(1)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    # Without a solution, where even equal probabilities have a smaller mean, it is the largest a.
    low, high, last = low[1:], low[:-1], last[:-1]
    best = np.zeros(len(last))
    for _ in range(ROUNDS):
        points = np.geomspace(low, high, POINTS)
        each = powers(points.ravel(), np.tile(last, POINTS))
        left = np.tile(last, POINTS) + 1
        below = (left - mean) * each[:, :least].sum(1)
        tails = (1 - below / (each * (left[:, None] - numbers)).sum(1)).reshape(POINTS, -1)
        at = tails.argmax(0)
        best = np.maximum(best, tails.max(0))
        low, high = (
            np.take_along_axis(points, np.clip(at + side, 0, POINTS - 1)[None], 0)[0]
            for side in (-1, 1)
        )
    return float(min(best.max(initial=0), mean / least))


def stability_selection(
    x: ArrayLike,
    y: ArrayLike,
    penalty: Callable[[Any], Penalty],
    strengths: Any = None,
    *,
    pairs: int = 50,
    split_seed: int = 0,
    loss: str | Loss = "squares",
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    tolerance: float | None = None,
    count: int = 50,
    ratio: float = 0.05,
) -> StabilitySelection:
    """Fits linear paths to complementary halves of the rows, drawn again and again, and counts how
    often each feature is selected.

        >>> import jax, jaxreg
        >>> x = jax.random.normal(jax.random.key(0), (80, 30))
        >>> y = x[:, 0] - x[:, 1] + jax.random.normal(jax.random.key(1), (80,))
        >>> print(jaxreg.stability_selection(x, y, jaxreg.L1, pairs=20).select())
        [0 1]

    All halves are of the same size, so one compiled program serves them all.

    Args:
        x: as for `jaxreg.fit_linear_path`.
        y: as for `jaxreg.fit_linear_path`.
        penalty: as for `jaxreg.fit_linear_path`; of groups, groups are selected.
        strengths: as for `jaxreg.fit_linear_path`; without any they are those of all rows.
        pairs: how many times the rows are divided into two halves, at least 1. Of an odd number of
            rows one is left out.
        split_seed: of these divisions.
        loss: as for `jaxreg.fit_linear_path`.
        intercept: as for `jaxreg.fit_linear_path`.
        standardize: as for `jaxreg.fit_linear_path`.
        sample_weight: as for `jaxreg.fit_linear_path`.
        offset: as for `jaxreg.fit_linear_path`.
        tolerance: as for `jaxreg.fit_linear_path`.
        count: number of strengths, if there are none.
        ratio: of the smallest to the largest of these.

    Returns:
        The frequencies. Features with a factor of 0 have the frequency 1 and do not count.

    Raises:
        TypeError: as for `jaxreg.fit_linear_path`.
        ValueError: as for `jaxreg.fit_linear_path`; or half of the rows lack something that the
            loss needs, such as a class.

    Warns:
        UserWarning: as for `jaxreg.fit_linear_path`.

    Source: Shah and Samworth (2013), complementary pairs stability selection.
    """
    owner = "stability_selection"
    if isinstance(pairs, bool) or not isinstance(pairs, int | np.integer) or pairs < 1:
        raise ValueError(f"{owner}: pairs must be a whole number of at least 1, got {pairs!r}")
    task = Task.of(owner, x, y, penalty, loss, intercept, standardize, sample_weight, offset, False)
    targets, random = np.asarray(task.data.y), np.random.default_rng(split_seed)
    half = len(targets) // 2
    if half < 2:
        raise ValueError(f"{owner}: expected at least 4 rows, got {len(targets)}")
    jobs: list[tuple[Data, Data | None]] = []
    weights = task.data.weights
    for _ in range(pairs):
        order = random.permutation(len(targets)).astype(np.int32)
        for rows in (order[:half], order[half : 2 * half]):
            alive = rows if weights is None else rows[np.asarray(weights)[rows] > 0]
            lacking = task.lacking(targets[alive]) if len(alive) else "all weights are 0"
            if lacking:
                raise ValueError(
                    f"{owner}: half {len(jobs)} of the rows: {lacking}; pass another split_seed, "
                    "or more rows of rare targets"
                )
            jobs.append((task.data.part(np.sort(rows), None), None))
    grid, solutions = task.solve(jobs, strengths, tolerance, count, ratio, False)
    free = ~task.charges.kept
    total, sizes = 0, np.zeros(len(grid))
    for solution in solutions:
        found = np.asarray(task.model(solution.found).weights) != 0
        alive = found.reshape(len(grid), len(free), -1).any(2)
        # At this λ or a larger one.
        reached = np.logical_or.accumulate(alive[::-1])[::-1] | free
        total, sizes = total + reached, sizes + reached[:, ~free].sum(1)
    return StabilitySelection(
        grid, np.asarray(total) / len(jobs), sizes / len(jobs), int(pairs), int((~free).sum())
    )
