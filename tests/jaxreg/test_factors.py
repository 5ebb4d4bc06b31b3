"""Linear models in which each feature or group has a strength of its own, and some have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso, LogisticRegression

import jaxreg
from jaxreg import linear

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 8)) @ (np.eye(8) + 0.4) + 2
Y = X @ np.array([1.0, -1, 0.5, 0, 0, 0, 2, 0]) + RANDOM.normal(size=60) + 3
LABEL = (np.median(Y) < Y).astype(float)
POSITIVE = np.array([0.5, 1, 2, 1, 0.1, 3, 1, 1])
SOME_FREE = np.array([1.0, 0, 2, 1, 1, 0.5, 0, 1])


@pytest.fixture(autouse=True)
def _double(float64):
    """All tests compute in float64."""


def weighted(factors, base=jaxreg.L1):
    return lambda strength: jaxreg.Weighted(base(strength), factors)


def half(strength):
    return jaxreg.ElasticNet(0.5 * strength, 0.25 * strength)


def rows(strength):
    return jaxreg.GroupL2(strength, axis=1)


def lasso(x, y, strength):
    return Lasso(alpha=strength, fit_intercept=False, tol=1e-14, max_iter=10**6).fit(x, y).coef_


def without(columns, numbers):
    """What is left of numbers after a least-squares fit of columns."""
    return numbers - columns @ np.linalg.lstsq(columns, numbers)[0]


@pytest.mark.parametrize("sample_weight", [None, RANDOM.integers(0, 3, 60)])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("factors", [POSITIVE, SOME_FREE])
def test_the_lasso_is_scikit_learns_on_what_is_left_of_rescaled_columns(
    factors, intercept, sample_weight
):
    path = jaxreg.fit_linear_path(
        X,
        Y,
        weighted(factors),
        intercept=intercept,
        sample_weight=sample_weight,
        count=6,
        tolerance=1e-10,
    )
    shares = np.full(60, 1 / 60) if sample_weight is None else sample_weight / sample_weight.sum()
    roots = np.sqrt(60 * shares)
    free, kept = factors == 0, factors > 0
    columns = np.concatenate([np.ones((60, int(intercept))), X[:, free]], 1)
    scaled, y = roots[:, None] * columns, roots * Y
    left = (
        without(scaled, roots[:, None] * X[:, kept]) / factors[kept]
        if columns.size
        else X * roots[:, None] / factors
    )
    target = without(scaled, y) if columns.size else y
    np.testing.assert_allclose(path.strengths[-1], np.abs(left.T @ target).max() / 60, rtol=1e-9)
    for place, strength in enumerate(path.strengths):
        w = lasso(left, target, strength) / factors[kept]
        np.testing.assert_allclose(path.at(place).weights[kept], w, atol=1e-7)
        others = (
            np.linalg.lstsq(scaled, roots * (Y - X[:, kept] @ w))[0]
            if columns.size
            else np.zeros(0)
        )
        np.testing.assert_allclose(
            path.at(place).weights[free], others[int(intercept) :], atol=1e-7
        )
        np.testing.assert_allclose(
            path.at(place).intercept, others[0] if intercept else 0, atol=1e-6
        )
    assert path.record["gap"].max() < 1e-9 and path.record["converged"].all()
    assert path.record["nonzeros"][-1] == free.sum()


def test_the_elastic_net_is_the_lasso_of_more_rows():
    path = jaxreg.fit_linear_path(X, Y, weighted(POSITIVE, half), count=6, tolerance=1e-10)
    x, y = X - X.mean(0), Y - Y.mean()
    for place, strength in enumerate(path.strengths):
        # λ₂ f w² is the square of a row of its own, and (1/2n) stays that of the 60 rows.
        more = np.concatenate([x, np.diag(np.sqrt(2 * 60 * 0.25 * strength * POSITIVE))]) / POSITIVE
        expected = (
            lasso(more, np.concatenate([y, np.zeros(8)]), 0.5 * strength * 60 / 68) / POSITIVE
        )
        np.testing.assert_allclose(path.at(place).weights, expected, atol=1e-7)
    assert path.record["gap"].max() < 1e-9


def test_groups_meet_skglm():
    from skglm import GroupLasso

    factors = np.array([[1.0], [0.3], [2.0], [1.0]])
    path = jaxreg.fit_linear_path(
        X.reshape(60, 4, 2), Y, weighted(factors, rows), count=6, ratio=0.01, tolerance=1e-9
    )
    for place, strength in enumerate(path.strengths):
        model = GroupLasso(
            groups=2,
            alpha=strength,
            weights=factors[:, 0],
            tol=1e-12,
            max_epochs=10_000,
            max_iter=1000,
        )
        np.testing.assert_allclose(path.at(place).weights.ravel(), model.fit(X, Y).coef_, atol=1e-6)
    assert path.record["gap"].max() < 1e-8


@pytest.mark.parametrize("shape", ["features", "groups"])
def test_logistic_models_begin_where_what_has_no_penalty_is_fitted(shape):
    x, factors, base = X, SOME_FREE, jaxreg.L1
    if shape == "groups":
        x, factors, base = X.reshape(60, 4, 2), np.array([1.0, 0, 2, 0.5]), rows
    path = jaxreg.fit_linear_path(
        x, LABEL, weighted(factors, base), loss="logistic", count=6, ratio=0.05, tolerance=1e-9
    )
    free = np.repeat(factors == 0, 8 // len(factors))
    null = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(X[:, free], LABEL)
    first = path.at(-1)
    np.testing.assert_allclose(first.weights.ravel()[free], null.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(first.intercept, null.intercept_[0], rtol=1e-4)
    assert not first.weights.ravel()[~free].any()
    assert jaxreg.fit_linear_path(
        x, LABEL, weighted(factors, base), path.strengths[-1:] * 0.99, loss="logistic"
    ).record["nonzeros"][0] > free.sum()  # fmt: skip
    for place, strength in enumerate(path.strengths):
        w, constant = (np.asarray(leaf) for leaf in path.at(place))
        z = X @ w.ravel() + constant
        gradient = X.T @ (1 / (1 + np.exp(-z)) - LABEL) / 60
        assert np.abs(gradient[free]).max() < 1e-6 * strength
        assert np.mean(1 / (1 + np.exp(-z)) - LABEL) == pytest.approx(0, abs=1e-7)
        assert (
            jaxreg.kkt_residual(weighted(factors, base)(strength), w, gradient.reshape(w.shape))
            < 1e-7
        )
        assert path.record["residual"][place] <= 1e-9 * strength
    assert path.record["gap"].max() < 1e-9 and path.record["converged"].all()


@pytest.mark.parametrize("loss", ["squares", "logistic"])
@pytest.mark.parametrize("base", [jaxreg.L1, half, rows])
def test_gaps_bound_the_distance_from_the_minimum_and_are_those_of_duality_gap(loss, base):
    x, factors = (
        (X.reshape(60, 4, 2), np.array([1.0, 0, 2, 0.5])) if base is rows else (X, SOME_FREE)
    )
    y = Y if loss == "squares" else LABEL
    make = weighted(factors, base)
    exact = jaxreg.fit_linear_path(x, y, make, loss=loss, count=6, ratio=0.05, tolerance=1e-10)
    loose = jaxreg.fit_linear_path(x, y, make, exact.strengths, loss=loss, tolerance=0.5)
    above = loose.record["objective"] - exact.record["objective"]
    assert (loose.record["gap"] >= above - 1e-14).all()

    @jax.jit
    def gap(strength, w, constant):
        return jaxreg.duality_gap(
            make(strength), w, lambda w: jnp.tensordot(x, w, w.ndim), y, loss, intercept=constant
        )

    for place, strength in enumerate(exact.strengths):
        w, constant = loose.at(place)
        np.testing.assert_allclose(
            gap(strength, w, constant), loose.record["gap"][place], rtol=1e-5, atol=1e-12
        )
        for seed in range(3):
            # Anywhere, also far from the minimum of what has no penalty.
            noise = 0.1 * jax.random.normal(jax.random.key(seed), (w.size + 1,))
            other = w + noise[1:].reshape(w.shape)
            z = np.tensordot(x, other, w.ndim) + constant + noise[0]
            value = (
                np.mean((z - y) ** 2) / 2
                if loss == "squares"
                else np.mean(np.logaddexp(0, z) - y * z)
            )
            value += make(strength).value(other)
            assert (
                gap(strength, other, constant + noise[0])
                >= value - exact.record["objective"][place] - 1e-10
            )


def test_traced_factors_of_0_leave_a_bound():
    path = jaxreg.fit_linear_path(X, Y, weighted(SOME_FREE), [0.1], intercept=False)

    def gap(factors):
        return jaxreg.duality_gap(
            jaxreg.Weighted(jaxreg.L1(0.1), factors), path.at(0).weights, lambda w: X @ w, Y
        )

    assert gap(SOME_FREE) < 1e-8
    assert jax.jit(gap)(SOME_FREE) >= 0
    np.testing.assert_allclose(jax.jit(gap)(POSITIVE), gap(POSITIVE), rtol=1e-9)


def test_the_adaptive_lasso():
    first = np.linalg.lstsq(X - X.mean(0), Y - Y.mean())[0]
    factors = 1 / np.abs(first)
    path = jaxreg.fit_linear_path(X, Y, weighted(factors), count=6, tolerance=1e-9)
    for place, strength in enumerate(path.strengths):
        expected = lasso((X - X.mean(0)) / factors, Y - Y.mean(), strength) / factors
        np.testing.assert_allclose(path.at(place).weights, expected, atol=1e-7)


def test_columns_without_a_penalty_may_depend_on_each_other():
    dependent = np.concatenate(
        [X, X[:, 1:2] - 3 * X[:, 6:7], np.ones((60, 1)), np.zeros((60, 1))], 1
    )
    factors = np.concatenate([SOME_FREE, [0, 0, 0]])
    for loss, y in (("squares", Y), ("logistic", LABEL)):
        plain = jaxreg.fit_linear_path(
            X, y, weighted(SOME_FREE), loss=loss, count=6, tolerance=1e-9
        )
        path = jaxreg.fit_linear_path(
            dependent, y, weighted(factors), plain.strengths, loss=loss, tolerance=1e-9
        )
        np.testing.assert_allclose(path.record["objective"], plain.record["objective"], rtol=1e-9)
        for place in range(6):
            np.testing.assert_allclose(
                path.at(place).predict(dependent), plain.at(place).predict(X), atol=1e-6
            )
    # Where they explain all there is, nothing is left for the others.
    path = jaxreg.fit_linear_path(X, X[:, 1], weighted(SOME_FREE), count=6)
    np.testing.assert_allclose(path.params.weights, np.eye(8)[[1] * 6], atol=1e-9)
    assert path.record["converged"].all()


def test_folds_score_factors():
    order = np.arange(60) % 3
    scores = jaxreg.cross_validate_linear_path(
        X, Y, weighted(SOME_FREE), folds=order, count=6, tolerance=1e-9
    )
    for fold in range(3):
        train, test = order != fold, order == fold
        path = jaxreg.fit_linear_path(
            X[train],
            Y[train],
            weighted(SOME_FREE),
            scores.strengths,
            validation=(X[test], Y[test]),
            tolerance=1e-9,
        )
        np.testing.assert_allclose(scores.scores()[fold], path.record["validation_loss"], rtol=1e-7)
        expected = [np.mean((path.at(at).predict(X[test]) - Y[test]) ** 2) / 2 for at in range(6)]
        np.testing.assert_allclose(path.record["validation_loss"], expected, rtol=1e-9)


@pytest.mark.parametrize(("loss", "base"), [("squares", half), ("logistic", jaxreg.L1)])
def test_working_sets_lead_to_the_same_path(monkeypatch, loss, base):
    y = Y if loss == "squares" else LABEL
    whole = jaxreg.fit_linear_path(
        X, y, weighted(SOME_FREE, base), loss=loss, count=6, tolerance=1e-9
    )
    monkeypatch.setattr(linear, "WHOLE", 0)
    monkeypatch.setattr(linear, "FIRST", 4)
    path = jaxreg.fit_linear_path(
        X, y, weighted(SOME_FREE, base), loss=loss, count=6, tolerance=1e-9
    )
    np.testing.assert_allclose(path.params.weights, whole.params.weights, atol=1e-6)
    assert path.record["converged"].all() and path.record["gap"].max() < 1e-9


def test_units_of_columns_go_with_their_factors():
    units = 10.0 ** np.arange(-4, 4)
    for loss, y in (("squares", Y), ("logistic", LABEL)):
        plain = jaxreg.fit_linear_path(X, y, jaxreg.L1, loss=loss, count=6)
        path = jaxreg.fit_linear_path(X * units, y, weighted(units), loss=loss, count=6)
        np.testing.assert_allclose(path.strengths, plain.strengths, rtol=1e-9)
        np.testing.assert_allclose(path.params.weights * units, plain.params.weights, atol=1e-6)
        assert path.record["converged"].all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (weighted(np.zeros(8)), "expected a factor above 0"),
        (
            lambda s: jaxreg.Weighted(jaxreg.L1(1.0), s * POSITIVE),
            "expected factors that are the same at every λ",
        ),
        (weighted(np.ones(3)), r"Weighted: expected factors that broadcast to \(8,\)"),
        (weighted(POSITIVE, jaxreg.SquaredL2), "penalty must be a function from λ to L1"),
        (
            lambda s: jaxreg.L1(s * POSITIVE),
            r"pass lambda s: jaxreg.Weighted\(jaxreg.L1\(s\), factors\)",
        ),
    ],
)
def test_factors_that_do_not_fit(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        jaxreg.fit_linear_path(X, Y, make)
