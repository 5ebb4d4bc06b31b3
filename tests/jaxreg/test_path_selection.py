"""`select_strength`: the rules, and that one-SE takes the largest λ."""

import numpy as np
import pytest

import jaxreg

STRENGTHS = np.array([0.1, 0.2, 0.3, 0.4, 0.5])


def test_one_standard_error_takes_the_largest_strength_within_it():
    # Means 1.0, 0.8, 0.85, 0.95, 2; the standard error of the best is 0.1.
    around = np.array([-0.1, 0.1]) * [[1], [1], [1], [1], [1]]
    scores = (np.array([1.0, 0.8, 0.85, 0.95, 2])[:, None] + around).T
    assert jaxreg.select_strength(STRENGTHS, scores, "best") == 1
    assert jaxreg.select_strength(STRENGTHS, scores) == 2
    assert jaxreg.select_strength(STRENGTHS, -scores, largest=True) == 2
    # A strength beyond one that is worse still counts, and the order of the strengths does not
    # matter.
    scores[:, 4] = scores[:, 1]
    assert jaxreg.select_strength(STRENGTHS, scores) == 4
    assert jaxreg.select_strength(STRENGTHS[::-1], scores[:, ::-1]) == 0


def test_glmnet_rule_by_hand():
    random = np.random.default_rng(0)
    scores = random.random((10, 50)) + np.linspace(-1, 1, 50) ** 2
    strengths = np.geomspace(1e-3, 1, 50)
    mean, error = scores.mean(0), scores.std(0, ddof=1) / 10**0.5
    best = mean.argmin()
    assert (
        strengths[jaxreg.select_strength(strengths, scores)]
        == strengths[mean <= mean[best] + error[best]].max()
    )


def test_the_largest_of_equals_and_what_diverged():
    assert jaxreg.select_strength([0.1, 0.3, 0.2], [1.0, 1.0, 1.0], "best") == 1
    assert jaxreg.select_strength([0.1, 0.3, 0.2], [[1.0, np.nan, 1.0], [1.0, 0.0, 1.0]]) == 2


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([[1.0, 2], [1, 2]], {"rule": "1se"}, "rule must be one of best, one_se, got '1se'"),
        ([1.0, 2], {}, "needs a standard error, so at least 2 repeats"),
        ([[1.0], [2]], {}, r"expected scores of shape \(repeats, 2\)"),
        ([[np.nan, np.inf], [1, 2]], {}, "expected finite scores for at least one strength"),
    ],
)
def test_wrong_use(scores, options, message):
    with pytest.raises(ValueError, match=message):
        jaxreg.select_strength([0.1, 0.2], scores, **options)
