"""The rule for verdicts, on numbers whose verdict is known."""

import numpy as np
import pytest
from scipy import stats

from experiments.claims import (
    Finding,
    above,
    below,
    between,
    counts_of,
    increasing,
    interval,
    none_of,
    outside,
    verdict_of,
    within,
)

AROUND = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])


def test_the_interval_agrees_with_scipys_t_test():
    values = np.random.default_rng(0).normal(3, 2, 12)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(interval(values), [values.mean(), *theirs], rtol=1e-12)


def test_the_interval_covers_the_true_mean_in_95_percent_of_draws():
    draws = np.random.default_rng(1).normal(1.5, 4, (4000, 6))
    covered = [low <= 1.5 <= high for _, low, high in map(interval, draws)]
    assert abs(np.mean(covered) - 0.95) < 0.012


@pytest.mark.parametrize(
    ("centre", "verdict_above", "verdict_below"),
    [
        (2.0, "supported", "contradicted"),
        (-2.0, "contradicted", "supported"),
        (1.1, "not supported", "not supported"),
    ],
)
def test_a_side_of_a_threshold(centre, verdict_above, verdict_below):
    assert above("s", "t", centre + AROUND, 1.0).verdict == verdict_above
    assert below("s", "t", centre + AROUND, 1.0).verdict == verdict_below


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan, 1.0]])
def test_without_an_interval_a_claim_is_not_measured(values):
    for test in (above, below):
        assert test("s", "t", values).verdict == "not measured"
    assert between("s", "t", values, 0, 2).verdict == "not measured"
    assert increasing("s", "t", np.array([np.zeros(len(values)), values])).verdict == "not measured"
    assert within("s", "t", np.nan, 1.0, "far").verdict == "not measured"
    assert "nan" not in above("s", "t", [1.0, np.nan]).numbers


def test_a_range_and_its_outside():
    assert between("s", "t", AROUND, -1, 1).verdict == "supported"
    assert between("s", "t", 2 + AROUND, -1, 1).verdict == "contradicted"
    assert between("s", "t", -2 + AROUND, -1, 1).verdict == "contradicted"
    assert between("s", "t", 1 + AROUND, -1, 1).verdict == "not supported"
    assert [outside("s", "t", shift + AROUND, -1, 1).verdict for shift in (0, 2, 1)] == [
        "contradicted",
        "supported",
        "not supported",
    ]


def test_increasing_requires_every_step_to_increase():
    rising = np.arange(4.0)[:, None] + AROUND
    assert increasing("s", "t", rising).verdict == "supported"
    flat = rising.copy()
    flat[2] = flat[1] + np.array([0.1, -0.1, 0.1, -0.1, 0.0])
    found = increasing("s", "t", flat, "points")
    assert found.verdict == "not supported"
    assert found.numbers.startswith("2 of 3 steps increase; least certain step +0.0 points [")
    assert increasing("s", "t", rising[::-1]).verdict == "contradicted"


def test_counts_and_tolerances():
    assert none_of("s", "t", [0, 0], 5, "w").verdict == "supported"
    once = none_of("s", "t", [0, 1], 5000, "w")
    assert (once.verdict, once.numbers) == ("contradicted", "1 of 10,000 w")
    lost = none_of("s", "t", [0, np.nan], 5, "w")
    assert (lost.verdict, lost.numbers) == ("not measured", "0 of 10 w; 1 of 2 runs diverged")
    assert none_of("s", "t", [3, np.nan], 5, "w").verdict == "contradicted"
    assert within("s", "t", 1e-12, 1e-9, "far").verdict == "supported"
    assert within("s", "t", 1e-3, 1e-9, "far").verdict == "contradicted"


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        (["supported", "supported"], "supported"),
        (["contradicted", "contradicted"], "contradicted"),
        (["not measured"], "not measured"),
        (["supported", "contradicted"], "supported in part"),
        (["contradicted", "not supported"], "contradicted in part"),
        (["not supported", "not measured"], "not supported"),
    ],
)
def test_a_claims_verdict(verdicts, whole):
    findings = [Finding("s", "t", "", verdict) for verdict in verdicts]
    assert verdict_of(findings) == whole
    assert sum(int(part.split()[0]) for part in counts_of(findings).split(", ")) == len(verdicts)


def test_a_share_stays_between_0_and_100_percent():
    shares = [100.0] * 9 + [90.0]
    assert above("s", "t", shares, unit="%").numbers == "99.0 % [96.7, 100.0]"
    assert above("s", "t", shares, unit="points").numbers == "+99.0 points [+96.7, +101.3]"
