"""Linear paths against scikit-learn, skglm, a published path and optimality conditions in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from skglm import GroupLasso
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso, LassoCV, lars_path
from sklearn.model_selection import GroupKFold, KFold

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 8)) @ (np.eye(8) + 0.4) + 2
Y = X @ np.array([1.0, -1, 0.5, 0, 0, 0, 2, 0]) + RANDOM.normal(size=60) + 3
LABEL = (np.median(Y) < Y).astype(float)
WEIGHTS = RANDOM.integers(0, 3, 60).astype(float)
POSITIVE = np.array([0.5, 1, 2, 1, 0.1, 3, 1, 1])
SOME_FREE = np.array([1.0, 0, 2, 1, 1, 0.5, 0, 1])
SUBJECTS = np.repeat(["a", "b", "c", "d"], [20, 5, 17, 18])
PRECISE = {"tol": 1e-14, "max_iter": 10**6}


def half(strength):
    """scikit-learn's elastic net with l1_ratio=0.5, which halves the squares."""
    return jaxreg.ElasticNet(0.5 * strength, 0.25 * strength)


def positive(**options):
    return Lasso(positive=True, **options)


def rows(strength):
    return jaxreg.GroupL2(strength, axis=1)


def weighted(factors, base=jaxreg.L1):
    return lambda strength: jaxreg.Weighted(base(strength), factors)


def fit(make, x=X, y=Y, **options):
    path = jaxreg.fit_linear_path(x, y, make, **{"count": 6, "tolerance": 1e-10, **options})
    assert path.record["converged"].all()
    assert path.record["gap"].max() < 1e-9
    return path


class NonNegativeL1(jaxreg.Penalty):
    """λ Σ xᵢ for x ≥ 0, else infinity."""

    strength: float

    def value(self, x):
        return self.strength * jnp.sum(jnp.where(x < 0, jnp.inf, x))

    def prox(self, x, step):
        return jnp.maximum(x - step * self.strength, 0)

    def conjugate(self, v):
        return jnp.zeros_like(v)

    def dual_scale(self, v):
        largest = jnp.max(v, initial=0)
        return jnp.where(largest > 0, self.strength / jnp.where(largest > 0, largest, 1), jnp.inf)


@pytest.mark.parametrize(
    ("make", "model", "intercept", "sample_weight"),
    [
        (jaxreg.L1, Lasso, True, None),
        (jaxreg.L1, Lasso, False, WEIGHTS),
        (half, ElasticNet, True, WEIGHTS),
        (NonNegativeL1, positive, True, None),
        (lambda s: jaxreg.Limited(jaxreg.L1(s), low=0), positive, True, WEIGHTS),
    ],
    ids=["lasso", "lasso of weighted rows", "elastic net", "nonnegative", "limited"],
)
def test_squares(make, model, intercept, sample_weight):
    path = fit(make, intercept=intercept, sample_weight=sample_weight)
    for strength, weights, constant in zip(path.strengths, *path.params, strict=True):
        reference = model(alpha=strength, fit_intercept=intercept, **PRECISE)
        reference.fit(X, Y, sample_weight=sample_weight)
        np.testing.assert_allclose(weights, reference.coef_, atol=1e-7)
        np.testing.assert_allclose(constant, reference.intercept_, atol=1e-6)
        np.testing.assert_array_equal(weights == 0, reference.coef_ == 0)
    # The grid ends at the first λ that leaves nothing.
    assert path.record["nonzeros"][-1] == 0 < path.record["nonzeros"][-2]
    below = model(alpha=0.999 * path.strengths[-1], fit_intercept=intercept, **PRECISE)
    assert np.count_nonzero(below.fit(X, Y, sample_weight=sample_weight).coef_) == 1


def test_ridge():
    path = fit(jaxreg.SquaredL2, strengths=[0.1, 1.0])
    x, y = X - X.mean(0), Y - Y.mean()
    for strength, weights in zip(path.strengths, path.params.weights, strict=True):
        expected = np.linalg.solve(x.T @ x / 60 + 2 * strength * np.eye(8), x.T @ y / 60)
        np.testing.assert_allclose(weights, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("factors", "intercept", "sample_weight"), [(POSITIVE, False, None), (SOME_FREE, True, WEIGHTS)]
)
def test_factors_are_the_lasso_of_what_is_left_of_rescaled_columns(
    factors, intercept, sample_weight
):
    path = fit(weighted(factors), intercept=intercept, sample_weight=sample_weight)
    shares = np.ones(60) if sample_weight is None else 60 * WEIGHTS / WEIGHTS.sum()
    free, charged, roots = factors == 0, factors > 0, np.sqrt(shares)[:, None]
    columns = roots * np.concatenate([np.ones((60, int(intercept))), X[:, free]], 1)
    both = roots * np.column_stack([X[:, charged] / factors[charged], Y])
    both -= columns @ np.linalg.lstsq(columns, both)[0]
    left, target = both[:, :-1], both[:, -1]
    np.testing.assert_allclose(path.strengths[-1], np.abs(left.T @ target).max() / 60, rtol=1e-9)
    for place, strength in enumerate(path.strengths):
        model = path.at(place)
        w = Lasso(alpha=strength, fit_intercept=False, **PRECISE).fit(left, target).coef_
        np.testing.assert_allclose(model.weights[charged], w / factors[charged], atol=1e-7)
        rest = roots[:, 0] * (Y - X[:, charged] @ model.weights[charged])
        others = np.linalg.lstsq(columns, rest)[0]
        np.testing.assert_allclose(model.weights[free], others[int(intercept) :], atol=1e-7)
        np.testing.assert_allclose(model.intercept, others[0] if intercept else 0, atol=1e-6)
    assert path.record["nonzeros"][-1] == free.sum()


@pytest.mark.parametrize(
    ("make", "size", "factors"),
    [
        (weighted(SOME_FREE), 1, SOME_FREE),
        (weighted(np.array([1.0, 0, 2, 0.5]), rows), 2, np.array([1.0, 0, 2, 0.5])),
    ],
    ids=["features", "groups"],
)
def test_logistic_models_meet_their_optimality_conditions(make, size, factors):
    x = X if size == 1 else X.reshape(60, 4, 2)
    path = fit(make, x, LABEL, loss="logistic", sample_weight=WEIGHTS, ratio=0.05)
    for place, strength in enumerate(path.strengths):
        w, constant = (np.asarray(leaf) for leaf in path.at(place))
        slope = (1 / (1 + np.exp(-X @ w.ravel() - constant)) - LABEL) * WEIGHTS / WEIGHTS.sum()
        assert abs(slope.sum()) < 1e-8
        blocks = w.reshape(-1, size)
        lengths, bounds = np.linalg.norm(blocks, axis=1), strength * np.array(factors)
        alive = lengths > 0
        gradient = (X.T @ slope).reshape(-1, size)
        directions = blocks[alive] / lengths[alive, None]
        np.testing.assert_allclose(
            gradient[alive], -bounds[alive, None] * directions, atol=1e-8, rtol=0
        )
        assert (np.linalg.norm(gradient, axis=1) <= bounds + 1e-8).all()
    assert path.record["nonzeros"][-1] == size * np.sum(np.array(factors) == 0)


def test_groups():
    factors = np.array([[1.0], [0.3], [2.0], [1.0]])
    path = fit(weighted(factors, rows), X.reshape(60, 4, 2), ratio=0.01, tolerance=1e-9)
    for place, strength in enumerate(path.strengths):
        model = GroupLasso(
            groups=2, alpha=strength, weights=factors[:, 0], tol=1e-12, max_epochs=10_000,
            max_iter=1000,
        )  # fmt: skip
        weights = path.at(place).weights
        np.testing.assert_allclose(weights.ravel(), model.fit(X, Y).coef_, atol=1e-6)
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


@pytest.mark.filterwarnings("ignore:fit_linear_path. the KKT residual is above")
def test_almost_equal_columns_in_units_of_their_own():
    """λ is so small that its tolerance is below rounding, and tens of blocks must change in the
    right order.
    """
    random = np.random.default_rng(1)
    x = random.standard_normal((40, 1)) + 1e-3 * random.standard_normal((40, 12))
    y = 3 * x[:, 0] - 2 * x[:, 3] + random.standard_normal(40)
    x, y = x - x.mean(0), y - y.mean()
    strength = 1e-6
    weights = lars_path(x, y, method="lasso", alpha_min=strength)[2][:, -1]
    expected = np.mean((x @ weights - y) ** 2) / 2 + strength * np.abs(weights).sum()
    units = np.where(np.arange(12) % 2, 1e8, 1.0)
    for make, columns in ((jaxreg.L1, x), (weighted(units), x * units)):
        path = jaxreg.fit_linear_path(columns, y, make, [strength])
        assert path.record["objective"][0] == pytest.approx(expected, rel=1e-9)
        assert path.record["gap"][0] < 1e-8


def test_working_sets_that_grow():
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 600)) + random.normal(size=(40, 1))
    y = x[:, :5] @ random.normal(size=5) + 0.3 * random.normal(size=40)
    path = fit(lambda s: jaxreg.ElasticNet(0.05 * s, s), x, y, count=3, ratio=1e-2)
    assert path.record["nonzeros"][0] > 256
    for strength, weights in zip(path.strengths, path.params.weights, strict=True):
        model = ElasticNet(alpha=2.05 * strength, l1_ratio=0.05 / 2.05, **PRECISE).fit(x, y)
        np.testing.assert_allclose(weights, model.coef_, atol=1e-6)


def test_a_second_derivative_serves_no_other_working_set():
    """A logistic path with an intercept and a column without a penalty, on sets that change and
    grow, meets its optimality conditions in NumPy.
    """
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 600)) + random.normal(size=(60, 1))
    y = (x[:, :5] @ random.normal(size=5) + random.normal(size=60) > 0).astype(float)
    factors = np.where(np.arange(600) == 7, 0.0, 1.0)
    path = fit(
        weighted(factors, lambda s: jaxreg.ElasticNet(0.05 * s, s)), x, y, count=6, ratio=1e-2,
        loss="logistic", tolerance=1e-7,
    )  # fmt: skip
    assert path.record["nonzeros"][0] > 256 > path.record["nonzeros"][-2]
    assert path.record["steps"].max() <= 5  # with one of another set there are 7
    assert (path.record["gap"] < 1e-7 * path.record["objective"]).all()
    for place, strength in enumerate(path.strengths):
        model = path.at(place)
        w = np.asarray(model.weights)
        slope = (1 / (1 + np.exp(-x @ w - model.intercept)) - y) / 60
        gradient = x.T @ slope + 2 * strength * factors * w
        bound = np.where(w == 0, 0.05 * strength * factors, 0)
        sign = 0.05 * strength * factors * np.sign(w)
        assert np.maximum(np.abs(gradient + sign) - bound, 0).max() < 1e-6 * strength
        assert abs(slope.sum()) < 1e-6 * strength


BY_SUBJECT = [(np.flatnonzero(SUBJECTS != s), np.flatnonzero(SUBJECTS == s)) for s in "abcd"]  # noqa: SIM300
IN_ORDER = list(KFold(4).split(X))
GROUPED = list(GroupKFold(3).split(X, groups=SUBJECTS))


@pytest.mark.parametrize(
    ("folds", "pairs"),
    [(SUBJECTS, BY_SUBJECT), (iter(IN_ORDER), IN_ORDER), (GROUPED, GROUPED), (7, None)],
    ids=["labels", "a generator", "pairs", "a number"],
)
def test_folds_score_what_scikit_learn_leaves_out(folds, pairs):
    strengths = np.geomspace(0.01, 0.5, 6)
    scores = jaxreg.cross_validate_linear_path(
        X, Y, jaxreg.L1, strengths, folds=folds, split_seed=3, tolerance=1e-10
    )
    if pairs is None:  # the folds are those of NumPy's permutation with the same seed
        places = np.random.default_rng(3).permutation(60)
        parts = np.array_split(places, folds)
        pairs = [(np.setdiff1d(places, part), part) for part in parts]
    other = LassoCV(alphas=strengths[::-1], cv=pairs, **PRECISE).fit(X, Y)
    np.testing.assert_allclose(scores.scores(), other.mse_path_[::-1].T / 2, rtol=1e-7)
    assert scores.strengths[scores.select("best")] == pytest.approx(other.alpha_)
    assert scores.select("one_se") >= scores.select("best")


def test_folds_of_factors_and_weighted_rows():
    order = np.arange(60) % 3
    make = weighted(SOME_FREE)
    scores = jaxreg.cross_validate_linear_path(
        X, Y, make, folds=order, count=6, sample_weight=WEIGHTS, tolerance=1e-9
    )
    whole = fit(make, sample_weight=WEIGHTS)
    np.testing.assert_allclose(scores.strengths, whole.strengths, rtol=1e-12)
    for fold in range(3):
        train, test = order != fold, order == fold
        path = jaxreg.fit_linear_path(
            X[train], Y[train], make, scores.strengths, sample_weight=WEIGHTS[train], tolerance=1e-9
        )
        expected = [
            np.average((path.at(at).predict(X[test]) - Y[test]) ** 2, weights=WEIGHTS[test]) / 2
            for at in range(6)
        ]
        np.testing.assert_allclose(scores.scores()[fold], expected, rtol=1e-7)
