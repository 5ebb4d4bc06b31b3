"""Verdicts: a rule that is fixed beforehand turns numbers into "supported", "not supported" or
"contradicted".

Most tests compute a 95 % interval, Student's t over the seeds, of a difference between two methods.
The difference is taken seed by seed, because with the same seed all methods share the rows, the
initial weights and the order of batches. The claim says on which side of a threshold the mean lies.
If the whole interval is on that side, the claim is supported; if the whole interval is on the other
side, it is contradicted; otherwise it is not supported, which does not mean that it is wrong. A run
that diverged has no number, and a test that needs this number is "not measured".

    above("L1 gives zeros", "exact zeros at λ = 0.01", shares, unit="%")
    increasing("more λ, smaller norm", "‖w‖, every step up in λ", -norms)

Intervals cover new splits and initial weights of the same data, not other data sets, and are not
corrected for multiple testing.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

SUPPORTED, NOT_SUPPORTED, CONTRADICTED, NOT_MEASURED = (
    "supported",
    "not supported",
    "contradicted",
    "not measured",
)
IN_PART, CONTRADICTED_IN_PART = "supported in part", "contradicted in part"
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval; NaN ends for a single number."""

    mean: float
    low: float
    high: float


def interval(values: Any) -> Interval:
    """Mean and t interval of values with one entry per seed (seeds,); all NaN if any value is
    NaN.
    """
    # Imported here because importing SciPy's statistics takes a while.
    from scipy import stats

    array = np.asarray(values, float)
    mean = float(array.mean())
    if array.size < 2:
        return Interval(mean, np.nan, np.nan)
    half_width = float(stats.t.ppf((1 + CONFIDENCE) / 2, array.size - 1) * stats.sem(array))
    return Interval(mean, mean - half_width, mean + half_width)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over the seeds and its standard error (NaN for a single seed); both are NaN if any value
    is NaN.
    """
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


def mean_text(values: np.ndarray, digits: int = 3) -> str:
    """Mean ± standard error over the seeds as text; "not measured" if a run diverged."""
    if not np.isfinite(values).all():
        return NOT_MEASURED
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


@dataclasses.dataclass(frozen=True)
class Finding:
    """The outcome of one test of a claim.

    Attributes:
        statement: what is claimed, in one sentence.
        tested: how it is tested, in one sentence.
        numbers: what was found, as text with unit and interval.
        verdict: "supported", "not supported", "contradicted" or "not measured".
        mean: the mean that `numbers` gives; NaN for a test that counts and has no interval.
        low: lower end of the mean's interval; NaN likewise.
        high: upper end of the mean's interval; NaN likewise.
    """

    statement: str
    tested: str
    numbers: str
    verdict: str
    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan


def verdict_of(findings: Sequence[Finding]) -> str:
    """The verdict on a claim: the common verdict of its findings, or else "supported in part" or
    "contradicted in part".
    """
    verdicts = [finding.verdict for finding in findings]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    for verdict, combined in (
        (SUPPORTED, IN_PART),
        (CONTRADICTED, CONTRADICTED_IN_PART),
        (NOT_SUPPORTED, NOT_SUPPORTED),
    ):
        if verdict in verdicts:
            return combined
    return NOT_MEASURED


def counts_of(findings: Sequence[Finding]) -> str:
    """The number of findings with each verdict, in words."""
    verdicts = [finding.verdict for finding in findings]
    words = (SUPPORTED, CONTRADICTED, NOT_SUPPORTED, NOT_MEASURED)
    return ", ".join(f"{verdicts.count(word)} {word}" for word in words if word in verdicts)


def above(
    statement: str,
    tested: str,
    values: Any,
    threshold: float = 0.0,
    unit: str = "",
    digits: int = 1,
    sign: bool | None = None,
    direction: int = 1,
) -> Finding:
    """Tests the claim that a mean is above a threshold.

    Args:
        statement: what is claimed, in one sentence.
        tested: how it is tested, in one sentence.
        values: one value per seed (seeds,), in the unit that is printed.
        threshold: the threshold, in the same unit.
        unit: the unit that is printed; empty for none.
        digits: decimal digits that are printed.
        sign: whether a plus sign is printed before positive numbers; by default before points,
            which are differences of percentages.
        direction: 1, or -1 for the claim that the mean is below.

    Returns:
        The finding.
    """
    mean = interval(values)
    text = text_of(mean, unit, digits, unit.startswith("points") if sign is None else sign)
    return Finding(statement, tested, text, verdict_on_side(mean, threshold, direction), *mean)


below = functools.partial(above, direction=-1)
"""Tests the claim that a mean is below a threshold, with the arguments of `above`."""


def increasing(
    statement: str, tested: str, values: Any, unit: str = "", digits: int = 1
) -> Finding:
    """Tests the claim that values increase at every step from one setting to the next.

    Args:
        statement: what is claimed, in one sentence.
        tested: how it is tested, in one sentence.
        values: the values (settings, seeds), with the settings in their order.
        unit: the unit that is printed; empty for none.
        digits: decimal digits that are printed.

    Returns:
        The finding, supported if the mean difference is above 0 at every step. Its numbers are
        those of the least certain step, whose interval has the smallest lower end.
    """
    differences = [interval(later - earlier) for earlier, later in itertools.pairwise(values)]
    verdicts = [verdict_on_side(difference, 0.0, 1) for difference in differences]
    smallest = min(differences, key=lambda step: step.low if np.isfinite(step.low) else -np.inf)
    growing = verdicts.count(SUPPORTED)
    numbers = (
        f"{growing} of {len(verdicts)} steps increase; least certain step "
        f"{text_of(smallest, unit, digits, True)}"
    )
    if NOT_MEASURED in verdicts:
        verdict = NOT_MEASURED
    elif growing == len(verdicts):
        verdict = SUPPORTED
    else:
        verdict = CONTRADICTED if CONTRADICTED in verdicts else NOT_SUPPORTED
    return Finding(statement, tested, numbers, verdict, *smallest)


def between(
    statement: str, tested: str, values: Any, low: float, high: float, digits: int = 2
) -> Finding:
    """Tests the claim that a mean lies in a range.

    Args:
        statement: what is claimed, in one sentence.
        tested: how it is tested, in one sentence.
        values: one value per seed (seeds,).
        low: lower end of the range.
        high: upper end of the range.
        digits: decimal digits that are printed.

    Returns:
        The finding: supported if the whole interval lies in the range, contradicted if the whole
        interval lies outside.
    """
    found = interval(values)
    sides = verdict_on_side(found, low, 1), verdict_on_side(found, high, -1)
    verdict = NOT_MEASURED if NOT_MEASURED in sides else NOT_SUPPORTED
    if sides == (SUPPORTED, SUPPORTED):
        verdict = SUPPORTED
    elif CONTRADICTED in sides:
        verdict = CONTRADICTED
    return Finding(statement, tested, text_of(found, "", digits, True), verdict, *found)


def outside(
    statement: str, tested: str, values: Any, low: float, high: float, digits: int = 2
) -> Finding:
    """Tests the claim that a mean lies outside a range, the opposite of `between`.

    Args:
        statement: what is claimed, in one sentence.
        tested: how it is tested, in one sentence.
        values: one value per seed (seeds,).
        low: lower end of the range.
        high: upper end of the range.
        digits: decimal digits that are printed.

    Returns:
        The finding: supported if the whole interval lies outside the range, contradicted if the
        whole interval lies in it.
    """
    found = between(statement, tested, values, low, high, digits)
    opposite = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}
    return dataclasses.replace(found, verdict=opposite.get(found.verdict, found.verdict))


def none_of(statement: str, tested: str, counts: Any, each: int, what: str) -> Finding:
    """Tests the claim that something never happens, by counting.

    Args:
        statement: what is claimed, in one sentence.
        tested: how it is tested, in one sentence.
        counts: how often it happened in each run, of any shape; NaN for a run that diverged.
        each: how often it could have happened in each run.
        what: what was counted, in words.

    Returns:
        The finding: supported if it never happened and no run diverged, contradicted if it happened
        at all.
    """
    counts = np.asarray(counts, float)
    violations, total, lost = (
        round(float(np.nansum(counts))),
        each * counts.size,
        int(np.isnan(counts).sum()),
    )
    verdict = CONTRADICTED if violations else NOT_MEASURED if lost else SUPPORTED
    diverged = f"; {lost} of {counts.size} runs diverged" if lost else ""
    return Finding(statement, tested, f"{violations:,} of {total:,} {what}{diverged}", verdict)


def within(statement: str, tested: str, largest: float, tolerance: float, what: str) -> Finding:
    """Tests the claim that two quantities agree to a stated tolerance.

    Args:
        statement: what is claimed, in one sentence.
        tested: how it is tested, in one sentence.
        largest: the largest difference.
        tolerance: the largest difference at which the claim is supported.
        what: what the difference is, in words.

    Returns:
        The finding: supported or contradicted, or not measured if `largest` is not finite.
    """
    verdict = (
        NOT_MEASURED
        if not np.isfinite(largest)
        else SUPPORTED
        if largest <= tolerance
        else CONTRADICTED
    )
    return Finding(statement, f"{tested}; within {tolerance:.0e}", f"{what} {largest:.1e}", verdict)


def verdict_on_side(found: Interval, threshold: float, direction: int) -> str:
    """The verdict on a claim that a mean is above (direction 1) or below (direction -1) a
    threshold.
    """
    if not np.isfinite([found.low, found.high]).all():
        return NOT_MEASURED
    low, high = sorted((direction * (found.low - threshold), direction * (found.high - threshold)))
    return SUPPORTED if low > 0 else CONTRADICTED if high < 0 else NOT_SUPPORTED


def text_of(found: Interval, unit: str, digits: int, sign: bool) -> str:
    """A mean and its interval as text with their unit."""
    if not np.isfinite(found.mean):
        return "no number: a run diverged, or nothing could be measured"
    form = f"{'+' if sign else ''}.{digits}f"
    # A share lies between 0 and 100 %, but the t interval may reach beyond these limits.
    low, high = (
        np.clip([found.low, found.high], 0, 100)
        if unit == "%" and not sign
        else (found.low, found.high)
    )
    return f"{found.mean:{form}}{' ' if unit else ''}{unit} [{low:{form}}, {high:{form}}]"
