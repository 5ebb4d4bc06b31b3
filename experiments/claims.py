"""Verdicts: numbers from records in, and by a rule stated beforehand, "supported", "not supported" or "contradicted" out.

A test is, as a rule, an interval: 95 %, Student's t over the seeds, of a difference taken seed by seed (the seed pairs the
methods: they share rows, initial weights and order of batches). The claim names a side of a threshold. With the whole
interval on that side it is supported, with the whole interval on the other side contradicted, and else not supported: not
shown, which is not the same as shown to be wrong. A run that diverged has no number, and what rests on it reads "not
measured".

    above("L1 gives zeros", "exact zeros at λ = 0.01", shares, unit="%")
    steps("more λ, smaller norm", "‖w‖, every step up in λ", -norms)

An interval speaks of other splits and initial weights of the same data, not of other data; and each stands for itself,
with no correction for their number.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

SUPPORTED, NOT_SUPPORTED, CONTRADICTED, NOT_MEASURED = "supported", "not supported", "contradicted", "not measured"
IN_PART, CONTRADICTED_IN_PART = "supported in part", "contradicted in part"
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval; NaN ends for a single number."""

    mean: float
    low: float
    high: float


def interval(values: Any) -> Interval:
    """Mean and t interval of one number a seed; NaN anywhere makes all of it NaN."""
    # Only here, as importing it takes a while.
    from scipy import stats

    array = np.asarray(values, float)
    mean = float(array.mean())
    if array.size < 2:
        return Interval(mean, np.nan, np.nan)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, array.size - 1) * stats.sem(array))
    return Interval(mean, mean - reach, mean + reach)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over the seeds, and its standard error (NaN for a single seed); a NaN run makes both NaN."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One test of a claim.

    Attributes:
        statement: what is claimed, in a sentence. tested: how, in a sentence. verdict: one of the words above.
        numbers: what was found, as text with its unit and interval. mean, low, high: the same as numbers, NaN where the
            test is a count and no interval.
    """

    statement: str
    tested: str
    numbers: str
    verdict: str
    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan


def verdict_of(findings: Sequence[Finding]) -> str:
    """That of all findings where they agree; else supported in part where one is, contradicted in part where one is."""
    verdicts = [finding.verdict for finding in findings]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    for found, whole in ((SUPPORTED, IN_PART), (CONTRADICTED, CONTRADICTED_IN_PART), (NOT_SUPPORTED, NOT_SUPPORTED)):
        if found in verdicts:
            return whole
    return NOT_MEASURED


def counts_of(findings: Sequence[Finding]) -> str:
    """How many findings came out how, in words."""
    verdicts = [finding.verdict for finding in findings]
    words = (SUPPORTED, CONTRADICTED, NOT_SUPPORTED, NOT_MEASURED)
    return ", ".join(f"{verdicts.count(word)} {word}" for word in words if word in verdicts)


def findings_as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as JSON holds them: it has no NaN, and such a number becomes None."""
    return [
        {name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in vars(one).items()}
        for one in findings
    ]


def above(
    statement: str, tested: str, values: Any, threshold: float = 0.0, unit: str = "", digits: int = 1, sign: bool = False
) -> Finding:
    """The claim that a mean is above a threshold, from one value a seed in the unit that is printed."""
    found = interval(values)
    return Finding(statement, tested, text_of(found, unit, digits, sign), side(found, threshold, 1), *found)


def below(
    statement: str, tested: str, values: Any, threshold: float = 0.0, unit: str = "", digits: int = 1, sign: bool = False
) -> Finding:
    """The claim that a mean is below a threshold, from one value a seed in the unit that is printed."""
    found = interval(values)
    return Finding(statement, tested, text_of(found, unit, digits, sign), side(found, threshold, -1), *found)


def steps(statement: str, tested: str, values: Any, unit: str = "", digits: int = 1) -> Finding:
    """The claim that values grow with every step: the smallest mean step is told, and each must be above 0.

    Args:
        statement, tested, unit, digits: as for `above`. values: (settings, seeds), settings in their order.
    """
    differences = [interval(later - earlier) for earlier, later in itertools.pairwise(values)]
    verdicts = [side(one, 0.0, 1) for one in differences]
    smallest = min(differences, key=lambda one: one.low if np.isfinite(one.low) else -np.inf)
    holding = verdicts.count(SUPPORTED)
    numbers = f"{holding} of {len(verdicts)} steps grow; the least certain by {text_of(smallest, unit, digits, True)}"
    if NOT_MEASURED in verdicts:
        verdict = NOT_MEASURED
    elif holding == len(verdicts):
        verdict = SUPPORTED
    else:
        verdict = CONTRADICTED if CONTRADICTED in verdicts else NOT_SUPPORTED
    return Finding(statement, tested, numbers, verdict, *smallest)


def between(statement: str, tested: str, values: Any, low: float, high: float, digits: int = 2) -> Finding:
    """The claim that a mean lies in a range: supported with all of its interval inside, contradicted with all outside."""
    found = interval(values)
    sides = side(found, low, 1), side(found, high, -1)
    verdict = NOT_MEASURED if NOT_MEASURED in sides else NOT_SUPPORTED
    if sides == (SUPPORTED, SUPPORTED):
        verdict = SUPPORTED
    elif CONTRADICTED in sides:
        verdict = CONTRADICTED
    return Finding(statement, tested, text_of(found, "", digits, True), verdict, *found)


def outside(statement: str, tested: str, values: Any, low: float, high: float, digits: int = 2) -> Finding:
    """The claim that a mean lies outside a range: `between` turned round."""
    found = between(statement, tested, values, low, high, digits)
    turned = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}
    return dataclasses.replace(found, verdict=turned.get(found.verdict, found.verdict))


def none_of(statement: str, tested: str, found: Any, each: int, what: str) -> Finding:
    """The claim that something does not happen, over everything that was looked at.

    Args:
        statement, tested: as for `above`. found: how often it happened, a count a run; NaN for a run that diverged.
        each: of how many in a run. what: in words.
    """
    counts = np.asarray(found, float)
    violations, total, lost = round(float(np.nansum(counts))), each * counts.size, int(np.isnan(counts).sum())
    verdict = CONTRADICTED if violations else NOT_MEASURED if lost else SUPPORTED
    diverged = f"; {lost} of {counts.size} runs diverged" if lost else ""
    return Finding(statement, tested, f"{violations:,} of {total:,} {what}{diverged}", verdict)


def within(statement: str, tested: str, largest: float, tolerance: float, what: str) -> Finding:
    """The claim that two things agree, to a tolerance that is stated."""
    verdict = NOT_MEASURED if not np.isfinite(largest) else SUPPORTED if largest <= tolerance else CONTRADICTED
    return Finding(statement, f"{tested}; within {tolerance:.0e}", f"{what} {largest:.1e}", verdict)


def side(found: Interval, threshold: float, direction: int) -> str:
    """The verdict on a claim that a mean is above (direction 1) or below (-1) a threshold."""
    if not np.isfinite([found.low, found.high]).all():
        return NOT_MEASURED
    low, high = sorted((direction * (found.low - threshold), direction * (found.high - threshold)))
    return SUPPORTED if low > 0 else CONTRADICTED if high < 0 else NOT_SUPPORTED


def text_of(found: Interval, unit: str, digits: int, sign: bool) -> str:
    """A mean and its interval with their unit."""
    if not np.isfinite(found.mean):
        return "no number: a run diverged, or nothing could be measured"
    form = f"{'+' if sign else ''}.{digits}f"
    # A share cannot leave 0…100 %, where Student's t, which does not know that, would.
    low, high = np.clip([found.low, found.high], 0, 100) if unit == "%" and not sign else (found.low, found.high)
    return f"{found.mean:{form}}{' ' if unit else ''}{unit} [{low:{form}}, {high:{form}}]"
