"""Linear paths: what is refused, what is warned about, and what is said."""

import jax
import numpy as np
import pytest
from problems import correlated_rows
from scipy.sparse import csr_array
from sklearn.datasets import load_diabetes

import jaxreg
from jaxreg import linear


@pytest.fixture(autouse=True)
def _double(float64):
    """All tests compute in float64 unless their arrays are float32."""


def rows(strength):
    return jaxreg.GroupL2(strength, axis=1)


def test_what_did_not_converge_is_said(monkeypatch):
    x, y = correlated_rows()
    monkeypatch.setattr(linear, "MAX_STEPS", 1)
    with pytest.warns(
        UserWarning, match=r"fit_linear_path: the KKT residual is above 1e-12·λ; .* at strength"
    ):
        path = jaxreg.fit_linear_path(
            x, (y > 0) * 1.0, jaxreg.L1, loss="logistic", count=4, tolerance=1e-12
        )
    assert not path.record["converged"].all()


def test_rounding_ends_the_search_where_a_tolerance_cannot_be_met():
    x, y = correlated_rows()
    with pytest.warns(
        UserWarning,
        match="the KKT residual is above 1e-07·λ; pass a larger tolerance, or use float64",
    ):
        path = jaxreg.fit_linear_path(
            x.astype(np.float32),
            y.astype(np.float32),
            jaxreg.L1,
            count=5,
            ratio=0.05,
            tolerance=1e-7,
        )
    assert not path.record["converged"].all()
    assert path.record["steps"].max() < 30
    exact = jaxreg.fit_linear_path(x, y, jaxreg.L1, path.strengths)
    np.testing.assert_allclose(path.record["objective"], exact.record["objective"], rtol=1e-4)


def test_one_model_predicts_and_a_whole_path_does_not():
    x, y = load_diabetes(return_X_y=True)
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, count=10)
    np.testing.assert_allclose(
        jax.vmap(lambda model: model.predict(x))(path.params)[3], path.at(3).predict(x)
    )
    with pytest.raises(
        ValueError, match=r"expected one model, got 10 of a path; take one with path.at\(i\)"
    ):
        path.params.predict(x[:10])
    with pytest.raises(ValueError, match=r"expected x of shape \(rows, 10\), got \(442, 9\)"):
        path.at(3).predict(x[:, 1:])


X, Y = np.eye(6), np.arange(6.0)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, Y, jaxreg.L1(0.1)), {}, "penalty must be a function from λ to L1"),
        ((X, Y, jaxreg.LogSum), {}, "penalty"),
        (
            (X, Y, jaxreg.SquaredL2),
            {},
            "penalty must be a function .* jaxreg.fista takes any penalty",
        ),
        (
            (X, Y, lambda s: jaxreg.L1(s * np.ones(6))),
            {},
            "expected one strength for all features, .* jaxreg.Weighted",
        ),
        (
            (X, Y, rows),
            {},
            r"expected x \(rows, groups, size\) and y \(rows,\) for this penalty, got shapes "
            r"\(6, 6\)",
        ),
        ((X.reshape(6, 3, 2), Y, jaxreg.L1), {}, r"expected x \(rows, features\)"),
        ((X, Y[1:], jaxreg.L1), {}, r"got shapes \(6, 6\) and \(5,\)"),
        ((X * np.nan, Y, jaxreg.L1), {}, "x and y must be finite"),
        ((X + 1j, Y, jaxreg.L1), {}, "x and y must be real numbers, got complex128 and float64"),
        (
            (csr_array(X), Y, jaxreg.L1),
            {},
            r"x and y must be dense arrays, got csr_array and ndarray; x.toarray\(\)",
        ),
        (
            (np.ma.masked_less(X, 1), Y, jaxreg.L1),
            {},
            "x and y must be complete, got masked numbers; drop or impute",
        ),
        (
            (X, Y, lambda s: jaxreg.L1(s - 0.5), [0.25, 1.0]),
            {},
            "strengths that are finite .* one of -0.25 at λ = 0.25",
        ),
        (
            (X, Y, lambda s: jaxreg.ElasticNet(s, 0.1 / abs(s - 2)), [2.0, 3.0]),
            {},
            "one of inf at λ = 2",
        ),
        ((X.astype(str), Y, jaxreg.L1), {}, "x and y must be real numbers, got <U32 and float64"),
        ((X, Y, lambda s: jaxreg.L1(lambda step: s)), {}, "penalty with numbers, got a schedule"),
        ((X, Y, jaxreg.L1), {"intercept": "no"}, "intercept must be True or False, got 'no'"),
        ((X, Y + np.inf, jaxreg.L1), {}, "x and y must be finite"),
        ((X, Y, jaxreg.L1), {"loss": "hinge"}, 'loss must be "squares" or "logistic"'),
        (
            (X, Y, jaxreg.L1),
            {"loss": "logistic"},
            "logistic loss needs targets 0 and 1, both of them",
        ),
        (
            (X, 0 * Y, jaxreg.L1),
            {"loss": "logistic"},
            "logistic loss needs targets 0 and 1, both of them",
        ),
        ((X, Y, jaxreg.L1, [0.0, 1.0]), {}, "strengths must be positive"),
        (
            (X, Y, jaxreg.L1, [2.0, 1.0]),
            {},
            r"strengths must be strictly ascending, got \[2.0, 1.0\]; sort them",
        ),
        ((X, Y, jaxreg.L1), {"count": 1}, "expected count ≥ 2 and ratio"),
        ((X, Y, jaxreg.L1), {"ratio": 1.0}, "expected count ≥ 2 and ratio"),
        (
            (X, Y, jaxreg.L1),
            {"tolerance": 0.0},
            "tolerance must be greater than 0, got 0.0; pass tolerance > 0",
        ),
        ((X, Y, lambda s: jaxreg.L1(s**2)), {}, "found no λ from which on w is 0"),
        ((X, Y, jaxreg.L1), {"validation": (X, Y, Y)}, r"validation must be a pair \(x, y\)"),
        ((X, Y, jaxreg.L1), {"validation": (X[:, 1:], Y)}, "expected validation rows of shape"),
    ],
)
def test_wrong_use(arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        jaxreg.fit_linear_path(*arguments, **options)


@pytest.mark.parametrize(
    ("folds", "error"), [(1, ValueError), (7, ValueError), (2.5, TypeError), (True, TypeError)]
)
def test_folds_must_fit_the_rows(folds, error):
    with pytest.raises(
        error,
        match="folds must be a (whole number from 2 to 6|number, a label for each row, or pairs)",
    ):
        jaxreg.cross_validate_linear_path(X, Y, jaxreg.L1, folds=folds)


def test_a_fold_whose_rest_has_one_class_is_an_error():
    with pytest.raises(
        ValueError, match="without fold [0-5] all targets are the same; pass fewer folds, another"
    ):
        jaxreg.cross_validate_linear_path(X, (Y == 2) * 1.0, jaxreg.L1, loss="logistic", folds=6)
    # Without an intercept such a fold has a solution, as a fit of one class has.
    scores = jaxreg.cross_validate_linear_path(
        X, (Y == 2) * 1.0, jaxreg.L1, loss="logistic", folds=6, intercept=False
    )
    assert scores.record["converged"].all()


def test_it_is_no_part_of_another_program():
    with pytest.raises(
        TypeError, match="x and y must be arrays, .* call it outside of jit and vmap"
    ):
        jax.jit(lambda y: jaxreg.fit_linear_path(X, y, jaxreg.L1).params)(Y)
    for made in (lambda s: (jaxreg.L1, [s]), lambda s: (lambda one: jaxreg.L1(s * one), [1.0])):
        with pytest.raises(TypeError, match=r"λ must be numbers, .*jaxreg\.fista"):
            jax.grad(
                lambda s, made=made: jaxreg.fit_linear_path(X, Y, *made(s)).params.weights.sum()
            )(1.0)


def test_numbers_that_overflow_have_not_converged():
    with pytest.warns(UserWarning, match="the loss is not finite at strength 0.1"):
        path = jaxreg.fit_linear_path(np.float32(X[:, :1]), np.float32(1e20 * Y), jaxreg.L1, [0.1])
    assert not path.record["converged"].any()


@pytest.mark.parametrize(
    ("x", "y"), [(int, float), (np.float32, float), (float, np.float32), (bool, int)]
)
def test_no_argument_loses_digits(x, y):
    numbers = np.random.default_rng(0).integers(0, 2, (20, 3)).astype(x)
    targets = (1e8 + numbers[:, 0] + 0.125).astype(y)
    path = jaxreg.fit_linear_path(numbers, targets, jaxreg.L1, [1e-3])
    expected = jaxreg.fit_linear_path(
        numbers.astype(float), targets.astype(float), jaxreg.L1, [1e-3]
    )
    assert path.params.weights.dtype == np.float64
    np.testing.assert_array_equal(path.params.weights, expected.params.weights)
    # Without float64 it is float32, whatever is passed, and nothing warns.
    with jax.enable_x64(False):
        for one in (numbers, jax.numpy.asarray(numbers)):
            single = jaxreg.fit_linear_path(one, targets - targets.mean(), jaxreg.L1, [0.1])
            assert single.params.weights.dtype == np.float32
