"""`fit_path`, `strength_grid` and `cross_validate_path` against scikit-learn and NumPy."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, LassoCV
from sklearn.model_selection import PredefinedSplit

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
X, Y = load_diabetes(return_X_y=True)
X, Y = (X - X.mean(0)) / X.std(0), (Y - Y.mean()) / Y.std()
DATA = {"x": X, "y": Y}
CRITICAL = np.abs(X.T @ Y).max() / len(Y)
PRECISE = {"fit_intercept": False, "tol": 1e-12, "max_iter": 10**6}


def loss(w, rows):
    return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2


def by_gradient(penalty):
    return jaxreg.prox_sgd(0.2, penalty, momentum=0.9)


def lasso(**options):
    return jaxreg.Recipe(loss, jnp.zeros(10), jaxreg.L1, by_gradient, **options)


@pytest.mark.parametrize("order", ["dense_to_sparse", "sparse_to_dense"])
def test_a_path_meets_scikit_learn_at_every_strength(order):
    strengths = np.geomspace(CRITICAL / 100, CRITICAL * 1.001, 8)
    recipe = jaxreg.Recipe(
        loss, jnp.zeros(10), lambda s: jaxreg.ElasticNet(s, 0.05), by_gradient, epochs=20_000,
        tolerance=1e-7, order=order,
    )  # fmt: skip
    path = jaxreg.fit_path(recipe, DATA, strengths)
    assert path.record["converged"].all()
    assert (path.record["residual"] <= 1e-7 * strengths).all()
    assert not path.params[-1].any()
    for at, strength in enumerate(strengths[:-1]):
        ratio = strength / (strength + 0.1)
        w = ElasticNet(strength + 0.1, l1_ratio=ratio, **PRECISE).fit(X, Y).coef_
        np.testing.assert_allclose(path.params[at], w, atol=2e-6)
        assert path.record["nonzeros"][at] == np.count_nonzero(w)
        objective = loss(w, DATA) + strength * np.abs(w).sum() + 0.05 * (w**2).sum()
        np.testing.assert_allclose(path.record["objective"][at], objective, rtol=1e-9)


def test_warm_starts_save_epochs():
    recipe = jaxreg.Recipe(
        loss, jnp.zeros(10), jaxreg.L1, functools.partial(jaxreg.prox_sgd, 0.2), epochs=20_000,
        tolerance=1e-2,
    )  # fmt: skip
    strengths = np.geomspace(CRITICAL / 20, CRITICAL, 25)
    path = jaxreg.fit_path(recipe, DATA, strengths)
    picked = [1, 5, 9, 13]
    alone = [jaxreg.fit_path(recipe, DATA, strengths[[at]]).record["epochs"][0] for at in picked]
    assert path.record["epochs"][picked].sum() < 0.7 * sum(alone)


def test_a_grid_ends_where_all_is_zero():
    grid = jaxreg.strength_grid(lasso(epochs=300), DATA, count=30)
    assert len(grid) == 30
    assert grid[0] == pytest.approx(grid[-1] / 1000)
    assert CRITICAL <= grid[-1] <= 1.2 * CRITICAL


def test_a_grid_ends_where_zero_is_the_better_solution():
    data, scale = {"x": jnp.eye(2), "y": jnp.array([6.0, 3.0])}, 0.1
    recipe = jaxreg.Recipe(
        loss, jnp.zeros(2), lambda strength: jaxreg.LogSum(strength, scale),
        functools.partial(jaxreg.prox_sgd, 0.5), epochs=300,
    )  # fmt: skip
    grid = jaxreg.strength_grid(recipe, data, start=1e-3)
    # The larger target by itself, over a fine grid of weights: training keeps it beyond the λ at
    # which zero is the better.
    w = np.linspace(0, 6, 60_001)[1:]
    gain = (6**2 - (w - 6) ** 2) / 4
    worth = np.max(gain / (scale * np.log1p(w / scale)))
    assert worth < 0.7 * (6 + scale) ** 2 / 8 / scale
    assert worth <= grid[-1] <= worth * 2**0.25 * 1.01


@pytest.mark.parametrize("folds", [4, "labels"])
def test_folds_score_what_scikit_learn_leaves_out(folds):
    strengths = np.geomspace(CRITICAL / 100, CRITICAL, 5)
    labels = np.random.default_rng(1).integers(0, 3, len(Y))
    recipe = lasso(epochs=3000, tolerance=1e-6)
    scores = jaxreg.cross_validate_path(
        recipe, DATA, strengths, folds=labels if folds == "labels" else folds, seeds=2
    )
    if folds != "labels":  # the folds are those of NumPy's permutation with the seed 0
        labels = np.empty(len(Y), int)
        for fold, rows in enumerate(
            np.array_split(np.random.default_rng(0).permutation(len(Y)), folds)
        ):
            labels[rows] = fold
    other = LassoCV(alphas=strengths[::-1], cv=PredefinedSplit(labels), **PRECISE).fit(X, Y)
    expected = other.mse_path_[::-1].T / 2
    assert scores.record["validation_loss"].shape == (len(expected), 2, 5)
    np.testing.assert_allclose(scores.scores(), expected, rtol=1e-4)
    np.testing.assert_allclose(scores.mean(), expected.mean(0), rtol=1e-4)
    error = expected.std(0, ddof=1) / len(expected) ** 0.5
    np.testing.assert_allclose(scores.error(), error, rtol=1e-3)
    best = expected.mean(0).argmin()
    within = np.flatnonzero(expected.mean(0) <= expected.mean(0)[best] + error[best])
    assert (scores.select("best"), scores.select()) == (best, within.max())
    assert dict(scores.dataset().sizes) == {"fold": len(expected), "seed": 2, "strength": 5}
    assert f"{len(expected)} folds" in str(scores)
