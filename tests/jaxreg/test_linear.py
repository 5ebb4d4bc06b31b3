"""Linear paths: the solutions of scikit-learn and skglm, published knots, working sets, degenerate
data, and wrong use.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import threadpoolctl
from problems import correlated_rows
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, lars_path
from sklearn.model_selection import PredefinedSplit

import jaxreg
from jaxreg import linear
from jaxreg._linear import programs
from jaxreg._linear.quadratic import Stall


@pytest.fixture(autouse=True)
def _double(float64):
    """All tests compute in float64 unless their arrays are float32."""


@pytest.fixture(scope="module")
def diabetes():
    x, y = load_diabetes(return_X_y=True)
    return x * np.sqrt(len(y)) + 3, y


def half(strength):
    """scikit-learn's elastic net with l1_ratio=0.5, which halves the squares."""
    return jaxreg.ElasticNet(0.5 * strength, 0.25 * strength)


def rows(strength):
    return jaxreg.GroupL2(strength, axis=1)


def check_certified(path, bound=1e-9):
    assert path.record["converged"].all()
    assert (path.record["gap"] <= bound * path.record["objective"].max()).all()


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("penalty", "ratio"), [(jaxreg.L1, 1.0), (half, 0.5)])
def test_squares_meet_scikit_learn_at_every_strength(diabetes, penalty, ratio, intercept):
    x, y = diabetes
    path = jaxreg.fit_linear_path(x, y, penalty, intercept=intercept, count=10)
    check_certified(path)
    assert len(path) == 10
    for strength, weights, constant in zip(path.strengths, *path.params, strict=True):
        model = ElasticNet(
            alpha=strength, l1_ratio=ratio, fit_intercept=intercept, tol=1e-13, max_iter=10**6
        ).fit(x, y)
        np.testing.assert_allclose(weights, model.coef_, atol=1e-4)
        np.testing.assert_allclose(constant, model.intercept_, rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(weights == 0, model.coef_ == 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore:fit_linear_path. the KKT residual is above")
def test_almost_equal_columns_meet_lars_far_below_the_largest_strength(seed):
    # λ is so small that its tolerance is below rounding; from w = 0, tens of blocks must change in
    # the right order.
    random = np.random.default_rng(seed)
    x = random.standard_normal((40, 1)) + 1e-3 * random.standard_normal((40, 12))
    y = 3 * x[:, 0] - 2 * x[:, 3] + random.standard_normal(40)
    x, y = x - x.mean(0), y - y.mean()
    for strength in (1e-6, 3e-5):
        path = jaxreg.fit_linear_path(x, y, jaxreg.L1, [strength])
        weights = lars_path(x, y, method="lasso", alpha_min=strength)[2][:, -1]
        expected = np.mean((x @ weights - y) ** 2) / 2 + strength * np.abs(weights).sum()
        assert path.record["objective"][0] == pytest.approx(expected, rel=1e-9)
        assert path.record["gap"][0] < 1e-8


@pytest.mark.filterwarnings("ignore:fit_linear_path. the KKT residual is above")
def test_units_may_differ_by_orders_of_magnitude():
    x, y = correlated_rows()
    scales = np.where(np.arange(x.shape[1]) % 2, 1e8, 1.0)
    for penalty, shaped in (
        (jaxreg.L1, x * scales),
        (rows, (x * scales).reshape(len(x), -1, 2, order="F")),
    ):
        path = jaxreg.fit_linear_path(shaped, y, penalty, [1e-3, 1e-2])
        assert (path.record["gap"] <= 1e-8 * np.var(y)).all()


def test_the_largest_strength_of_the_grid_is_the_first_that_leaves_nothing(diabetes):
    x, y = diabetes
    for penalty, shaped in ((jaxreg.L1, x), (half, x), (rows, x.reshape(-1, 5, 2))):
        path = jaxreg.fit_linear_path(shaped, y, penalty, count=10)
        assert path.record["nonzeros"][-1] == 0
        slightly = jaxreg.fit_linear_path(shaped, y, penalty, path.strengths * 0.999)
        assert 1 <= slightly.record["nonzeros"][-1] <= 2


def test_logistic_models_meet_scikit_learn():
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    strengths = np.array([1e-3, 1e-2, 1e-1])
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, strengths, loss="logistic")
    check_certified(path)
    for place, strength in enumerate(strengths):
        model = LogisticRegression(
            l1_ratio=1, C=1 / (strength * len(y)), solver="saga", tol=1e-8, max_iter=100_000
        )
        model.fit(x, y)
        fitted = path.at(place)
        np.testing.assert_allclose(fitted.weights, model.coef_[0], atol=2e-3)
        np.testing.assert_allclose(fitted.intercept, model.intercept_[0], atol=2e-3)
        np.testing.assert_allclose(fitted.predict(x), model.decision_function(x), atol=0.02)

        def objective(weights, constant, strength=strength):
            z = x @ weights + constant
            return np.mean(np.logaddexp(0, z) - y * z) + strength * np.abs(weights).sum()

        np.testing.assert_allclose(path.record["objective"][place], objective(*fitted), rtol=1e-12)
        assert objective(*fitted) <= objective(model.coef_[0], model.intercept_[0]) + 1e-12


def test_groups_meet_skglm():
    from skglm import GroupLasso

    x, y = correlated_rows()
    path = jaxreg.fit_linear_path(x.reshape(40, 40, 3), y, rows, count=5, ratio=0.01)
    check_certified(path, 1e-7)
    for place, strength in enumerate(path.strengths):
        model = GroupLasso(
            groups=3,
            alpha=strength,
            tol=1e-10,
            max_iter=1000,
            max_epochs=10_000,
            fit_intercept=True,
        )
        expected = model.fit(x, y).coef_.reshape(40, 3)
        weights = path.at(place).weights
        np.testing.assert_allclose(weights, expected, atol=1e-5)
        np.testing.assert_array_equal((weights != 0).any(1), (expected != 0).any(1))
        # A group is zero as a whole.
        assert ((weights != 0).all(1) == (weights != 0).any(1)).all()


def test_the_lasso_path_of_the_diabetes_data_is_the_published_one():
    """The order and the knots of Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression
    (2004), figure 1.
    """
    x, y = load_diabetes(return_X_y=True)
    knots = np.array(
        [949.44, 889.31, 452.9, 316.07, 130.13, 88.78, 68.96, 19.98, 5.48, 5.09, 2.18, 1.31]
    )
    events = [3, 9, 4, 7, 2, 10, 5, 8, 6, 1, -7, 7]
    # Between two knots the support does not change; just below each of them it is that of the
    # event.
    strengths = np.sort(np.concatenate([knots + 0.011, knots - 0.011])) / len(y)
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, strengths)
    supports = [
        set(np.flatnonzero(weights) + 1) for weights in np.asarray(path.params.weights)[::-1]
    ]
    expected = set()
    for event, above, below in zip(events, supports[::2], supports[1::2], strict=True):
        assert above == expected
        expected = expected | {event} if event > 0 else expected - {-event}
        assert below == expected


@pytest.mark.parametrize(
    ("loss", "penalty", "first"),
    [("squares", half, 24), ("squares", rows, 32), ("logistic", jaxreg.L1, 8)],
)
def test_working_sets_lead_to_the_same_path(monkeypatch, loss, penalty, first):
    x, y = correlated_rows()
    x, y = (
        x.reshape(40, 30, 4) if penalty is rows else x,
        (y > 0).astype(float) if loss == "logistic" else y,
    )
    whole = jaxreg.fit_linear_path(x, y, penalty, loss=loss, count=8, ratio=1e-3)
    monkeypatch.setattr(linear, "WHOLE", 0)
    monkeypatch.setattr(linear, "FIRST", first)
    path = jaxreg.fit_linear_path(x, y, penalty, loss=loss, count=8, ratio=1e-3)
    check_certified(path, 1e-7)
    # They were too small, so that some grew.
    assert whole.record["nonzeros"].max() > first
    np.testing.assert_allclose(path.params.weights, whole.params.weights, atol=1e-5)
    np.testing.assert_allclose(path.params.intercept, whole.params.intercept, atol=1e-5)
    np.testing.assert_array_equal(path.record["nonzeros"], whole.record["nonzeros"])


@pytest.mark.parametrize(
    ("loss", "penalty"),
    [
        ("squares", jaxreg.L1),
        ("squares", half),
        ("squares", rows),
        ("logistic", jaxreg.L1),
        ("logistic", rows),
    ],
)
def test_the_gap_bounds_how_far_an_objective_is_above_its_minimum(loss, penalty):
    x, y = correlated_rows()
    x, y = (
        x.reshape(40, 30, 4) if penalty is rows else x,
        (y > 0).astype(float) if loss == "logistic" else y,
    )
    exact = jaxreg.fit_linear_path(x, y, penalty, loss=loss, count=8, ratio=0.05, tolerance=1e-10)
    loose = jaxreg.fit_linear_path(x, y, penalty, exact.strengths, loss=loss, tolerance=0.5)
    above = loose.record["objective"] - exact.record["objective"]
    assert above.max() > 1e-6
    assert (loose.record["gap"] >= above - 1e-14).all()


def test_two_calls_at_a_time_leave_the_number_of_blas_threads():
    def threads():
        return [
            one["num_threads"]
            for one in threadpoolctl.threadpool_info()
            if one["user_api"] == "blas"
        ]

    before, limit = threads(), programs.OneThread()
    first, second = limit.held(), limit.held()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(threads()) == {1}
    second.__exit__(None, None, None)
    assert threads() == before


def test_the_gap_is_that_of_duality_gap(diabetes):
    x, y = diabetes
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, count=10, tolerance=0.3)
    for place, strength in enumerate(path.strengths):
        model = path.at(place)
        gap = jaxreg.duality_gap(
            jaxreg.L1(strength), model.weights, lambda w: x @ w, y, intercept=model.intercept
        )
        np.testing.assert_allclose(path.record["gap"][place], gap, rtol=1e-6, atol=1e-9 * np.var(y))


def test_equal_columns_constant_columns_and_columns_of_zeros(diabetes):
    x, y = diabetes
    x = np.concatenate(
        [x, x[:, 2:3], -x[:, 8:9], np.zeros((len(y), 1)), np.ones((len(y), 1))], axis=1
    )
    for loss, targets in (("squares", y), ("logistic", (y > np.median(y)).astype(float))):
        path = jaxreg.fit_linear_path(x, targets, jaxreg.L1, loss=loss, count=10)
        check_certified(path, 1e-8)
        assert not np.asarray(path.params.weights)[:, -2:].any()


def test_means_that_are_large_cost_no_accuracy(diabetes):
    x, y = diabetes
    near = jaxreg.fit_linear_path(x, y, jaxreg.L1, count=10)
    far = jaxreg.fit_linear_path(x + 1e5, y + 1e5, jaxreg.L1, near.strengths)
    np.testing.assert_allclose(far.params.weights, near.params.weights, atol=1e-6)
    np.testing.assert_allclose(far.at(3).predict(x + 1e5), near.at(3).predict(x) + 1e5, rtol=1e-9)


def test_float32_is_enough_for_a_certificate_of_its_precision(diabetes):
    x, y = (np.asarray(leaf, np.float32) for leaf in diabetes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = jaxreg.fit_linear_path(x, y, jaxreg.L1)
    assert path.params.weights.dtype == jnp.float32
    assert (path.record["gap"] <= 2e-5 * path.record["objective"]).all()
    exact = jaxreg.fit_linear_path(*diabetes, jaxreg.L1, path.strengths)
    np.testing.assert_allclose(path.params.weights, exact.params.weights, atol=0.05)


def test_cross_validation_scores_what_scikit_learn_leaves_out(diabetes):
    x, y = diabetes
    scores = jaxreg.cross_validate_linear_path(x, y, jaxreg.L1, folds=4, count=10, split_seed=3)
    assert scores.record["loss"].shape == (4, 1, 10)
    assert (scores.record["gap"] < 1e-8 * np.var(y)).all()
    # The folds are those of NumPy's permutation with the same seed.
    fold = np.full(len(y), -1)
    places = np.random.default_rng(3).permutation(len(y))
    fold[places] = np.repeat(np.arange(4), [111, 111, 110, 110])
    for number, (train, test) in enumerate(PredefinedSplit(fold).split()):
        for place, strength in enumerate(scores.strengths):
            model = Lasso(alpha=strength, tol=1e-12, max_iter=10**6).fit(x[train], y[train])
            expected = np.mean((model.predict(x[test]) - y[test]) ** 2) / 2
            np.testing.assert_allclose(scores.scores()[number, place], expected, rtol=1e-6)
    whole = jaxreg.fit_linear_path(x, y, jaxreg.L1, count=10)
    np.testing.assert_allclose(scores.strengths, whole.strengths)
    assert scores.select("one_se") >= scores.select("best")


def test_validation_rows_choose_a_strength(diabetes):
    x, y = diabetes
    path = jaxreg.fit_linear_path(
        x[:300], y[:300], jaxreg.L1, validation=(x[300:], y[300:]), count=15
    )
    model = path.at(path.select())
    expected = np.mean((np.asarray(model.predict(x[300:])) - y[300:]) ** 2) / 2
    assert path.record["validation_loss"].min() == pytest.approx(expected, rel=1e-9)
    assert "gap" in str(path)


def test_one_program_solves_all_strengths_and_other_data_of_the_shape(diabetes):

    x, y = diabetes
    jaxreg.fit_linear_path(x, y, half, count=10)
    before = programs.advance._cache_size()
    jaxreg.fit_linear_path(
        x[::-1] * 2, y + 1, lambda s: jaxreg.ElasticNet(0.2 * s, 0.1 * s), count=10
    )
    assert programs.advance._cache_size() == before


def test_groups_of_l1_and_of_different_sizes():
    """Groups of L1, and groups that fill up with zeros, are the same as GroupL2 on what is left."""
    x, y = correlated_rows(features=30)
    grouped = x.reshape(40, 10, 3)
    grouped[:, ::2, 2] = 0
    path = jaxreg.fit_linear_path(grouped, y, lambda s: jaxreg.Group(jaxreg.L1(s), axis=1), count=5)
    other = jaxreg.fit_linear_path(grouped, y, rows, count=5)
    check_certified(path, 1e-7)
    np.testing.assert_allclose(path.params.weights, other.params.weights, atol=1e-6)
    assert not np.asarray(path.params.weights)[:, ::2, 2].any()
    assert jax.tree.structure(path.params) == jax.tree.structure(other.params)


def test_only_violations_as_small_as_rounding_end_a_search_early():
    def searched(rounding):
        stall = Stall.begin(jnp.asarray(1e-7))
        for _ in range(20):
            stall = stall.after(jnp.asarray(2e-7), jnp.asarray(rounding))
        return bool(stall.hopeful(10))

    assert searched(1e-15)
    assert not searched(1e-6)
