"""Stability selection against bounds that another package prints, and against single fits."""

import numpy as np
import pytest
from scipy.optimize import minimize

import jaxreg
from jaxreg.stability import largest_tail

pytestmark = pytest.mark.usefixtures("float64")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(61, 12))
Y = X[:, 0] - X[:, 1] + RANDOM.normal(size=61)


def of(selected, features, pairs):
    return jaxreg.StabilitySelection(
        np.ones(1), np.ones((1, features)), np.array([float(selected)]), pairs, features
    )


@pytest.mark.parametrize(
    ("features", "selected", "pairs", "threshold", "printed"),
    [(88, 20, 50, 0.8, 3.743316), (32, 15, 100, 0.97, 0.975)],
)
def test_bounds_are_those_that_stabs_prints(features, selected, pairs, threshold, printed):
    """R's stabs, "with unimodality assumption", in published logs."""
    bound = of(selected, features, pairs).bound(threshold)[0]
    assert bound == pytest.approx(printed, abs=0.0005)


def test_bounds_in_other_cases():
    # Theorem 2 up to 0.75, Meinshausen and Bühlmann's q²/((2τ − 1)p), which holds always.
    assert of(2, 9, 50).bound(0.75)[0] == pytest.approx((4 / 9) / (2 * (0.5 - 0.01)))
    assert of(2, 9, 50).bound(0.75, "none")[0] == pytest.approx((4 / 9) / 0.5)
    # The theorem asks for q/p of at most 1/√3, which stabs does not check.
    for many in (6, 9):
        assert of(many, 9, 50).bound(0.9)[0] == of(many, 9, 50).bound(0.9, "none")[0]
    assert of(0.1, 9, 2).bound(0.51)[0] == of(0.1, 9, 2).bound(0.51, "none")[0]


@pytest.mark.parametrize(
    ("mean", "least", "count", "power"),
    [
        (0.3, 3, 5, 2),
        (0.05, 5, 8, 2),
        (1.0, 4, 6, 2),
        (1.2, 3, 6, 2),
        (0.3, 4, 6, 4),
        (1.0, 5, 10, 4),
        (1.4, 3, 6, 4),
    ],
)
def test_a_general_solver_finds_no_larger_tail(mean, least, count, power):
    """In g(i) = P(X = i)^(−1/power), which is convex."""
    numbers = np.arange(count + 1)
    conditions = [
        {"type": "eq", "fun": lambda g: (g**-power).sum() - 1},
        {"type": "ineq", "fun": lambda g: mean - g**-power @ numbers},
        {"type": "ineq", "fun": lambda g: np.diff(g, 2)},
    ]
    found = []
    for seed in range(6):
        start = np.random.default_rng(seed).uniform(0.05, 3) + numbers
        solution = minimize(
            lambda g: -(g[least:] ** -power).sum(), start * (start**-power).sum() ** (1 / power),
            method="SLSQP", bounds=[(1, 1e4)] * len(numbers), constraints=conditions,
            options={"maxiter": 2000, "ftol": 1e-12},
        )  # fmt: skip
        if solution.success:
            found.append(-solution.fun)
    assert largest_tail(mean, least, count, power) == pytest.approx(max(found), rel=1e-6)


def test_concave_distributions_have_smaller_bounds():
    few, many = (of(20, 88, pairs) for pairs in (50, 500))
    for stable in (few, many):
        bounds = [stable.bound(0.8, name)[0] for name in ("r-concave", "unimodal", "none")]
        assert 0.1 < bounds[0] < bounds[1] < bounds[2]
    # No more than all can be selected, and nothing is where nothing was.
    assert of(9, 9, 5).bound(0.6, "r-concave")[0] == 9
    assert of(0, 9, 5).bound(0.6, "r-concave")[0] == 0


@pytest.mark.parametrize("groups", [False, True])
def test_frequencies_are_those_of_single_fits(groups):
    x = X.reshape(61, 6, 2) if groups else X
    make = (lambda s: jaxreg.GroupL2(s, axis=1)) if groups else jaxreg.L1
    stable = jaxreg.stability_selection(x, Y, make, pairs=3, split_seed=5, count=6)
    random, expected = np.random.default_rng(5), []
    for _ in range(3):
        order = random.permutation(61)
        for rows in (order[:30], order[30:60]):
            path = jaxreg.fit_linear_path(x[rows], Y[rows], make, stable.strengths)
            alive = np.asarray(path.params.weights).reshape(6, x.shape[1], -1).any(2)
            expected.append(np.array([alive[at:].any(0) for at in range(6)]))
    np.testing.assert_allclose(stable.frequencies, np.mean(expected, 0))
    np.testing.assert_allclose(stable.selected, np.sum(np.mean(expected, 0), 1))
    assert "half-samples" in str(stable)


def test_false_selections_are_as_rare_as_the_bound_says():
    """Targets are noise but for two features, and the others are exchangeable."""
    false, bounds = [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        x = random.normal(size=(60, 30))
        y = 2 * x[:, 0] - 2 * x[:, 1] + random.normal(size=60)
        stable = jaxreg.stability_selection(x, y, jaxreg.L1, pairs=10, count=10, ratio=0.1)
        chosen = stable.select(0.75, 1.0)
        assert {0, 1} <= set(chosen)
        false.append(len(chosen) - 2)
        bounds.append(stable.bound(0.75)[np.argmax(stable.bound(0.75) <= 1)])
    assert np.mean(false) <= np.mean(bounds)


def test_what_has_no_penalty_and_what_weights_leave_out():
    factors = np.where(np.arange(12) == 3, 0.0, 1.0)
    weights = (np.arange(61) % 5 > 0).astype(float)
    stable = jaxreg.stability_selection(
        X, Y, lambda s: jaxreg.Weighted(jaxreg.L1(s), factors), pairs=2, count=4,
        sample_weight=weights, standardize=True,
    )  # fmt: skip
    assert (stable.frequencies[:, 3] == 1).all() and stable.features == 11
    assert stable.selected[-1] < 3


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: jaxreg.stability_selection(X, Y, jaxreg.L1, pairs=0), "pairs must be a whole"),
        (lambda: jaxreg.stability_selection(X[:3], Y[:3], jaxreg.L1), "at least 4 rows, got 3"),
        (
            lambda: jaxreg.stability_selection(X, np.arange(61) == 0, jaxreg.L1, loss="logistic"),
            "half 0 of the rows: logistic loss needs targets 0 and 1|half 1 of the rows",
        ),
        (lambda: of(3, 9, 5).bound(0.5), "threshold must be above 0.5 and at most 1, got 0.5"),
        (
            lambda: of(3, 9, 5).bound(0.8, "convex"),
            "assumption must be one of unimodal, r-concave, none",
        ),
        (lambda: of(9, 9, 5).select(0.8, 0.1), "at no λ the bound is at most 0.1"),
    ],
)
def test_wrong_use(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
