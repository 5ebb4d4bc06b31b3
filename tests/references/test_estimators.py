"""The estimators against scikit-learn's checks, and against its own models."""

import pickle

import jax
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_friedman1, make_regression
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LassoCV, LogisticRegression, MultiTaskLasso
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

import jaxreg
from jaxreg.estimators import (
    LinearPathClassifier,
    LinearPathRegressor,
    SparseMLPClassifier,
    SparseMLPRegressor,
)

SMALL = {"strengths": [0.01, 0.1], "epochs": 5, "first_epochs": 50, "batch_size": 20}
X, y = make_regression(80, 12, n_informative=4, noise=20, random_state=0)
FLOWERS, SPECIES = load_iris(return_X_y=True)
FOLDS = KFold(4, shuffle=True, random_state=1)


# Compiling for each shape takes most of the time, so folds are checked below.
@parametrize_with_checks(
    [
        LinearPathRegressor(strengths=0.02),
        LinearPathClassifier(strengths=0.02),
        SparseMLPRegressor(20, **SMALL),
        SparseMLPClassifier(20, **SMALL),
    ]
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [LinearPathRegressor, LinearPathClassifier])
def test_weights_of_rows_in_folds(kind):
    check_sample_weight_equivalence_on_dense_data(kind.__name__, kind(count=20))


def test_lasso_of_scikit_learn():
    ours = LinearPathRegressor(cv=FOLDS, selection="best", count=30, tolerance=1e-8).fit(X, y)
    theirs = LassoCV(alphas=ours.scores_.strengths, cv=FOLDS, tol=1e-12, max_iter=10**6).fit(X, y)
    assert ours.strength_ == theirs.alpha_
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)
    np.testing.assert_allclose(2 * ours.scores_.mean(), theirs.mse_path_.mean(1)[::-1], rtol=1e-6)
    simpler = clone(ours).set_params(selection="one_se").fit(X, y)
    assert simpler.strength_ > ours.strength_
    assert set(simpler.get_support(indices=True)) <= set(ours.get_support(indices=True))


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_models_of_scikit_learn(classes):
    rows = np.isin(SPECIES, range(classes))
    x, names = FLOWERS[rows] - FLOWERS.mean(0), np.array(["a", "b", "c"])[SPECIES[rows]]
    ours = LinearPathClassifier(count=10, ratio=0.02, tolerance=1e-8).fit(x, names)
    theirs = LogisticRegression(
        C=1 / (len(x) * ours.strength_), l1_ratio=1, solver="saga", tol=1e-10, max_iter=10**5
    ).fit(x, names)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.score(x, names) > 0.9
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-5)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)


def test_several_outputs_and_penalties():
    targets = np.stack([y, -2 * y + X[:, 0]], 1)
    make = lambda s: jaxreg.GroupL2(s, axis=1)  # noqa: E731
    ours = LinearPathRegressor(make, strengths=2.0, tolerance=1e-8).fit(X, targets)
    theirs = MultiTaskLasso(alpha=2.0, tol=1e-12, max_iter=10**6).fit(X, targets)
    assert ours.scores_ is None and ours.strength_ == 2
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)


def test_rates_of_counts():
    rates = np.exp(X[:, 0] / 2 + 1)
    model = LinearPathRegressor(loss="poisson", standardize=True, count=20)
    counts = np.random.default_rng(0).poisson(rates)
    model.fit(X, counts)
    assert np.corrcoef(model.predict(X), rates)[0, 1] > 0.95
    assert model.predict(X).mean() == pytest.approx(counts.mean())
    assert model.get_support()[0]


def test_networks_find_the_relevant_inputs():
    x, target = make_friedman1(700, 20, noise=1.0, random_state=0)
    network = SparseMLPRegressor(count=30, random_state=0).fit(x[:400], target[:400])
    np.testing.assert_array_equal(network.get_support(indices=True), range(5))
    assert network.score(x[400:], target[400:]) > 0.88
    importance = network.feature_importances_
    assert importance[:5].min() > importance[5:].max()
    assert network.coefs_[0].shape == (20, 100) and not network.coefs_[0][5:].any()
    again = clone(network).fit(x[:400], target[:400])
    np.testing.assert_array_equal(again.coefs_[0], network.coefs_[0])
    assert len(network.path_) == 30 and network.strength_ in network.path_.strengths


def test_networks_of_classes():
    x = np.random.default_rng(0).normal(size=(600, 10))
    names = np.array(["no", "yes"])[(x[:, 2] * x[:, 7] > 0).astype(int)]
    network = SparseMLPClassifier((50, 20), count=30, random_state=0).fit(x[:400], names[:400])
    np.testing.assert_array_equal(network.get_support(indices=True), [2, 7])
    assert network.score(x[400:], names[400:]) > 0.9


@pytest.mark.parametrize("table", [pd.DataFrame, lambda x, columns: pl.DataFrame(x, columns)])
def test_tables_keep_their_names(table):
    columns = [f"column {at}" for at in range(X.shape[1])]
    frame = table(X, columns=columns)
    model = LinearPathRegressor(count=20).fit(frame, y)
    assert list(model.feature_names_in_) == columns
    np.testing.assert_allclose(model.predict(frame), clone(model).fit(X, y).predict(X))


def test_pipelines_grids_and_selectors():
    inner = LinearPathRegressor(strengths=1.0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), inner),
        {"linearpathregressor__strengths": [0.1, 1.0, 100.0]}, cv=3, n_jobs=2,
    ).fit(X, y)  # fmt: skip
    assert search.best_params_["linearpathregressor__strengths"] < 100
    selector = SelectFromModel(LinearPathRegressor(count=20)).fit(X, y)
    np.testing.assert_array_equal(selector.get_support(), selector.estimator_.get_support())


@pytest.mark.parametrize("make", [LinearPathClassifier, lambda: SparseMLPClassifier(20, **SMALL)])
def test_pickles(make):
    model = make().fit(FLOWERS, SPECIES)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(FLOWERS), model.predict_proba(FLOWERS))
    assert str(copy.path_) == str(model.path_)


def test_results_do_not_depend_on_the_global_precision():
    model = LinearPathRegressor(count=20).fit(X, y)
    assert model.coef_.dtype == float and not jax.config.jax_enable_x64
    with jax.enable_x64(True):
        np.testing.assert_array_equal(clone(model).fit(X, y).coef_, model.coef_)
        network = SparseMLPRegressor(8, **SMALL, random_state=0).fit(X, y)
    np.testing.assert_allclose(clone(network).fit(X, y).predict(X), network.predict(X), atol=0.1)


@pytest.mark.parametrize(
    "model, message",
    [
        (LinearPathRegressor("l2"), 'penalty must be "l1" or a function'),
        (LinearPathRegressor(loss="absolute"), "LinearPathRegressor: loss must be one of squares"),
        (LinearPathRegressor(selection="two_se"), "selection must be one of best, one_se"),
        (LinearPathRegressor(loss="poisson"), "poisson loss needs counts"),
        (LinearPathRegressor(cv=200), "greater than the number of samples"),
        (SparseMLPRegressor(selection="two_se"), "SparseMLPRegressor: selection must be one of"),
        (SparseMLPRegressor((10, 0)), "hidden_layer_sizes must be whole numbers of at least 1"),
        (SparseMLPRegressor(10.5), "hidden_layer_sizes must be whole numbers of at least 1"),
    ],
)
def test_errors(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
