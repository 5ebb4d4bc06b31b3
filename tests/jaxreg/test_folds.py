"""Folds of one's own, weights of rows, tables, and targets that do not vary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso, LassoCV, LogisticRegression
from sklearn.model_selection import GroupKFold, KFold

import jaxreg
from jaxreg._linear import programs
from jaxreg._paths.recipe import split_rows

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(57, 6))
Y = X @ np.array([1.0, -1, 0.5, 0, 0, 0]) + RANDOM.normal(size=57) + 3
LABEL = (X[:, 0] - X[:, 1] + RANDOM.normal(size=57) > 0).astype(float)
WEIGHTS = RANDOM.integers(0, 4, 57).astype(float)
STRENGTHS = np.geomspace(0.01, 0.5, 8)
SUBJECTS = np.repeat(["a", "b", "c", "d"], [20, 5, 17, 15])

FOLDS = {
    "numbers that divide": (3, None),
    "numbers that do not": (10, None),
    "labels": (SUBJECTS, None),
    "pairs": (list(KFold(4).split(X)), list(KFold(4).split(X))),
    "a generator": (
        GroupKFold(3).split(X, groups=SUBJECTS),
        list(GroupKFold(3).split(X, groups=SUBJECTS)),
    ),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", FOLDS)
def test_scores_of_scikit_learn_in_one_program(name):
    folds, pairs = FOLDS[name]
    if pairs is None:
        pairs = split_rows("", len(Y), folds, 0)
    folds = folds if not hasattr(folds, "__next__") else iter(pairs)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([held_out for _, held_out in pairs])), np.arange(len(Y))
    )
    before = programs.advance._cache_size()
    scores = jaxreg.cross_validate_linear_path(
        X, Y, jaxreg.L1, STRENGTHS, folds=folds, tolerance=1e-10
    )
    assert programs.advance._cache_size() <= before + 1
    other = LassoCV(alphas=STRENGTHS[::-1], cv=pairs, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(scores.scores(), other.mse_path_[::-1].T / 2, rtol=1e-7)
    assert scores.strengths[scores.select("best")] == pytest.approx(other.alpha_)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("intercept", [True, False])
def test_weights_of_rows_as_in_scikit_learn(intercept):
    for make, other in (
        (jaxreg.L1, Lasso),
        (lambda s: jaxreg.ElasticNet(s / 2, s / 4), ElasticNet),
    ):
        path = jaxreg.fit_linear_path(
            X, Y, make, STRENGTHS, intercept=intercept, sample_weight=WEIGHTS, tolerance=1e-10
        )
        for place, strength in enumerate(STRENGTHS):
            fit = other(alpha=strength, fit_intercept=intercept, tol=1e-13, max_iter=100_000).fit(
                X, Y, sample_weight=WEIGHTS
            )
            np.testing.assert_allclose(path.at(place).weights, fit.coef_, atol=1e-7)
            np.testing.assert_allclose(path.at(place).intercept, fit.intercept_, atol=1e-7)
        assert path.record["gap"].max() < 1e-9 and path.record["converged"].all()
    path = jaxreg.fit_linear_path(
        X,
        LABEL,
        jaxreg.L1,
        [0.02, 0.1],
        loss="logistic",
        intercept=intercept,
        sample_weight=WEIGHTS,
        tolerance=1e-10,
    )
    for place, strength in enumerate([0.02, 0.1]):
        fit = LogisticRegression(
            l1_ratio=1,
            C=1 / strength / WEIGHTS.sum(),
            solver="saga",
            fit_intercept=intercept,
            tol=1e-10,
            max_iter=100_000,
        ).fit(X, LABEL, sample_weight=WEIGHTS)
        np.testing.assert_allclose(path.at(place).weights, fit.coef_[0], atol=1e-5)
    assert path.record["gap"].max() < 1e-9


@pytest.mark.usefixtures("float64")
def test_weights_count_rows():
    repeated = np.repeat(np.arange(57), WEIGHTS.astype(int))
    for loss, y in (("squares", Y), ("logistic", LABEL)):
        weighted = jaxreg.fit_linear_path(
            X, y, jaxreg.L1, loss=loss, sample_weight=WEIGHTS, count=10, tolerance=1e-10
        )
        plain = jaxreg.fit_linear_path(
            X[repeated], y[repeated], jaxreg.L1, loss=loss, count=10, tolerance=1e-10
        )
        np.testing.assert_allclose(weighted.strengths, plain.strengths, rtol=1e-9)
        for name in ("objective", "loss"):
            np.testing.assert_allclose(weighted.record[name], plain.record[name], rtol=1e-8)
        np.testing.assert_allclose(weighted.params.weights, plain.params.weights, atol=1e-6)


@pytest.mark.usefixtures("float64")
def test_folds_of_a_network_score_every_row():
    def loss(w, rows):
        return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2

    data = {"x": jnp.asarray(X), "y": jnp.asarray(Y - 3)}
    for folds in (10, SUBJECTS):
        scores = jaxreg.cross_validate_path(
            loss, jnp.zeros(6), data, jaxreg.L1, lambda penalty: jaxreg.prox_sgd(0.3, penalty),
            STRENGTHS, epochs=400,
            folds=folds,
        )  # fmt: skip
        exact = jaxreg.cross_validate_linear_path(
            X, Y - 3, jaxreg.L1, STRENGTHS, folds=folds, intercept=False
        )
        np.testing.assert_allclose(scores.scores(), exact.scores(), rtol=1e-5)


def test_targets_that_do_not_vary_have_the_null_model():
    for value in (0.0, 5.0, 0.1):
        y = np.full(57, value)
        path = jaxreg.fit_linear_path(X, y, jaxreg.L1, count=5)
        assert not path.params.weights.any() and path.record["converged"].all()
        np.testing.assert_allclose(path.params.intercept, value, rtol=1e-6)
        scores = jaxreg.cross_validate_linear_path(
            X, y, lambda s: jaxreg.ElasticNet(s, s), folds=4, count=5
        )
        np.testing.assert_allclose(scores.mean(), 0, atol=1e-10)
    mixed = np.where(SUBJECTS == "a", Y, 1.0)
    assert np.isfinite(
        jaxreg.cross_validate_linear_path(
            X, mixed, jaxreg.L1, folds=SUBJECTS == "a", count=5
        ).mean()
    ).all()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("loss", ["squares", "logistic"])
def test_convergence_does_not_depend_on_units(loss, scale):
    y = Y + 100 if loss == "squares" else LABEL
    path, plain = (
        jaxreg.fit_linear_path(
            (X * unit).astype(np.float32), y.astype(np.float32), jaxreg.L1, count=20, loss=loss
        )
        for unit in (scale, 1.0)
    )
    assert path.record["converged"].all()
    assert path.record["steps"].sum() <= 1.5 * plain.record["steps"].sum()


def test_a_mesh_of_explicit_axes_and_strict_dtypes():
    mesh = jax.make_mesh((1,), ("rows",))
    x, y = X.astype(np.float32), Y.astype(np.float32)
    plain = jaxreg.fit_linear_path(x, y, jaxreg.L1, count=5)
    with jax.set_mesh(mesh), jax.numpy_dtype_promotion("strict"):
        sharded = jax.device_put(
            x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
        )
        path = jaxreg.fit_linear_path(sharded, y, jaxreg.L1, count=5)
    np.testing.assert_allclose(path.params.weights, plain.params.weights, atol=1e-6)


def test_tables():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    raw = {"age": X[:, 0], "member": LABEL == 1, "count": WEIGHTS.astype(int)}
    array = np.stack([raw["age"], LABEL, WEIGHTS], 1)
    expected = jaxreg.fit_linear_path(array, Y, jaxreg.L1, [0.05])
    nullable = {"age": "Float64", "member": "boolean", "count": "Int64"}
    for table in (
        pandas.DataFrame(raw),
        pandas.DataFrame(raw).astype(nullable),
        polars.DataFrame(raw),
    ):
        y = type(table)({"y": Y})["y"]
        path = jaxreg.fit_linear_path(table, y, jaxreg.L1, [0.05], validation=(table, y))
        np.testing.assert_allclose(path.params.weights, expected.params.weights, rtol=1e-6)
        np.testing.assert_allclose(
            path.at(0).predict(table), expected.at(0).predict(array), rtol=1e-5
        )
        assert np.isfinite(
            jaxreg.cross_validate_linear_path(table, y, jaxreg.L1, count=3, folds=3).mean()
        ).all()
    missing = pandas.DataFrame(raw).astype(nullable)
    missing.loc[3, "count"] = pandas.NA
    with pytest.raises(
        ValueError, match="column 'count' of x has 1 missing values; drop or impute"
    ):
        jaxreg.fit_linear_path(missing, Y, jaxreg.L1)
    for table in (pandas.DataFrame({"city": SUBJECTS}), polars.DataFrame({"city": SUBJECTS})):
        with pytest.raises(
            TypeError, match="column 'city' of x must hold numbers, got .* such as 'a'"
        ):
            jaxreg.fit_linear_path(table, Y, jaxreg.L1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"folds": 1}, ValueError, "folds must be a whole number from 2 to 57"),
        (
            {"folds": "ab"},
            TypeError,
            "folds must be a number, a label for each row, or pairs of indices",
        ),
        ({"folds": SUBJECTS[:5]}, ValueError, "expected a label in folds for each of 57 rows"),
        ({"folds": np.zeros(57)}, ValueError, "at least 2 folds, got 1"),
        ({"folds": [([0, 1], [57]), ([0], [1])]}, ValueError, "indices from 0 to 56 in fold 0"),
        (
            {"folds": [([0, 1], [2]), ([0, 1], [1])]},
            ValueError,
            "fold 1 holds out rows that it trains on, such as 1",
        ),
        (
            {"sample_weight": np.ones(3)},
            ValueError,
            r"sample_weight of shape \(57,\), one for each row, got \(3,\)",
        ),
        ({"sample_weight": -np.ones(57)}, ValueError, "finite numbers of at least 0"),
        ({"sample_weight": SUBJECTS}, TypeError, "sample_weight must be real numbers"),
        (
            {"folds": SUBJECTS, "sample_weight": SUBJECTS != "b"},
            ValueError,
            "on both sides of fold 1, got none",
        ),
    ],
)
def test_what_does_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        jaxreg.cross_validate_linear_path(X, Y, jaxreg.L1, **options)
