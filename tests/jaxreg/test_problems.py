"""The reference solutions refuse themselves where they are wrong, so no test can pass against a
wrong one.
"""

import numpy as np
import pytest
from problems import assert_optimal, diabetes, elastic_net, group_lasso


def slope_of(problem, w):
    return problem.inputs.T @ (problem.inputs @ w - problem.targets) / len(problem.inputs)


def test_a_wrong_support_or_sign_is_refused():
    problem = diabetes()
    strength = 0.05 * problem.critical
    w = elastic_net(problem.inputs, problem.targets, strength)
    assert_optimal(w[:, None], slope_of(problem, w)[:, None], strength)
    kept, dropped = np.flatnonzero(w), np.flatnonzero(w == 0)
    # The equations solved on a support that lacks a weight, and on one that has a weight too many.
    for support in (kept[1:], [*kept, dropped[0]]):
        chosen = problem.inputs[:, support]
        normal = chosen.T @ chosen / len(chosen)
        signs = np.where(w[support] == 0, 1.0, np.sign(w[support]))
        wrong = np.zeros_like(w)
        wrong[support] = np.linalg.solve(
            normal, chosen.T @ problem.targets / len(chosen) - strength * signs
        )
        with pytest.raises(AssertionError):
            assert_optimal(wrong[:, None], slope_of(problem, wrong)[:, None], strength)


def test_a_group_that_should_not_be_zero_is_refused():
    problem = diabetes(outputs=2)
    w = group_lasso(problem.inputs, problem.targets, 0.05)
    assert_optimal(w, slope_of(problem, w), 0.05)
    wrong = w.copy()
    wrong[np.argmax(np.linalg.norm(w, axis=1))] = 0
    with pytest.raises(AssertionError):
        assert_optimal(wrong, slope_of(problem, wrong), 0.05)
