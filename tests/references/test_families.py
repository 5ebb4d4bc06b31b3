"""Losses and penalties of linear paths against other packages, and against a general solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import statsmodels.api as sm
from jax.experimental.sparse import BCOO
from lifelines import CoxPHFitter
from pandas import DataFrame
from scipy.optimize import minimize
from skglm import GeneralizedLinearEstimator
from skglm.datafits import Huber, Poisson
from skglm.penalties import L1
from skglm.solvers import AndersonCD, ProxNewton
from sklearn.linear_model import Lasso, LogisticRegression, MultiTaskElasticNet

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
RANDOM = np.random.default_rng(0)
ROWS, FEATURES = 90, 6
X = RANDOM.normal(size=(ROWS, FEATURES)) @ (np.eye(FEATURES) + 0.3) + 0.5
TRUE = np.array([0.5, -0.4, 0.3, 0, 0, 0])
OFFSET = RANDOM.normal(size=ROWS) / 4
WEIGHTS = RANDOM.integers(0, 3, ROWS).astype(float)
COUNTS = RANDOM.poisson(np.exp(X @ TRUE + OFFSET)).astype(float)
NOISY = X @ TRUE + RANDOM.standard_t(2, ROWS)
CLASSES = RANDOM.integers(0, 3, ROWS) + (X[:, 0] > 1)
OUTPUTS = X @ RANDOM.normal(size=(FEATURES, 3)) * [1, 0.1, 3] + RANDOM.normal(size=(ROWS, 3))
# Whole numbers of months, so that there are ties.
TIMES = np.ceil(10 * RANDOM.exponential(np.exp(-X @ TRUE)))
EVENTS = (RANDOM.random(ROWS) < 0.7).astype(float)
SURVIVAL = np.stack([TIMES, EVENTS], 1)
BY_ROWS = {"poisson": COUNTS, "huber": NOISY, "multinomial": CLASSES, "cox": SURVIVAL}

THIN = np.where(RANDOM.random((ROWS, 30)) < 0.2, RANDOM.normal(size=(ROWS, 30)) + 1, 0)
NOT_ALL = np.where(np.arange(30) % 7, 1 + np.arange(30) % 3, 0.0)


def rows(strength):
    return jaxreg.GroupL2(strength, axis=1)


def fit(y, make=jaxreg.L1, loss="squares", x=X, **options):
    options = {"count": 4, "ratio": 0.05, "tolerance": 1e-9, **options}
    path = jaxreg.fit_linear_path(x, y, make, loss=loss, **options)
    assert path.record["converged"].all()
    if "gap" in path.record:
        assert path.record["gap"].max() < 1e-8 * path.record["objective"].max()
    return path


def partial_likelihood(z, weights):
    """The negative logarithm of the Cox model's, as its textbook formula."""
    total = 0.0
    for at in np.flatnonzero(EVENTS):
        risk = TIMES[at] <= TIMES
        total += weights[at] * (np.log(np.sum(weights[risk] * np.exp(z[risk]))) - z[at])
    # The factor of all weights in the logarithms.
    return total / weights.sum() + np.log(np.mean(weights[weights > 0])) * (
        -(weights * EVENTS).sum() / weights.sum()
    )


def value(loss, z, weights):
    """The mean loss in NumPy."""
    if loss == "cox":
        return partial_likelihood(z, weights)
    if loss == "poisson":
        each = np.exp(z) - COUNTS * z
    elif loss == "huber":
        far = np.abs(z - NOISY)
        each = np.where(far <= 1.35, far**2 / 2, 1.35 * far - 1.35**2 / 2)
    else:
        each = np.log(np.exp(z).sum(1)) - z[np.arange(ROWS), CLASSES]
    return np.average(each, weights=weights)


@pytest.mark.parametrize("loss", BY_ROWS)
def test_a_general_solver_finds_no_smaller_objective(loss):
    """Signed weights become two that are positive, so that a quasi-Newton method with bounds solves
    the problem.
    """
    outputs = 4 if loss == "multinomial" else 0
    offset = np.stack([OFFSET, 0 * OFFSET, -OFFSET, OFFSET], 1) if outputs else OFFSET
    path = fit(BY_ROWS[loss], loss=loss, offset=offset, sample_weight=WEIGHTS, standardize=True)
    scale = np.sqrt(np.average((X - np.average(X, 0, WEIGHTS)) ** 2, 0, WEIGHTS))
    size, constants = FEATURES * max(outputs, 1), 0 if loss == "cox" else max(outputs, 1)
    shape = (FEATURES, outputs) if outputs else (FEATURES,)
    scales = scale[:, None] if outputs else scale

    def objective(both, strength):
        w = (both[:size] - both[size : 2 * size]).reshape(shape)
        constant = both[2 * size :] if outputs else both[2 * size :].sum()
        z = X @ (w / scales) + constant + offset
        return value(loss, z, WEIGHTS) + strength * both[: 2 * size].sum()

    bounds = [(0, None)] * (2 * size) + [(None, None)] * constants
    for at in (0, 2):
        strength, model = path.strengths[at], path.at(at)
        w = np.asarray(model.weights) * scales
        start = [np.maximum(w, 0).ravel(), np.maximum(-w, 0).ravel(), np.ravel(model.intercept)]
        begun = np.concatenate(start)[: 2 * size + constants]
        ours = objective(begun, strength)
        assert ours == pytest.approx(path.record["objective"][at], rel=1e-9)
        cold = minimize(
            objective, np.zeros_like(begun), (strength,), "L-BFGS-B", bounds=bounds,
            options={"maxfun": 10**6, "maxiter": 10**4, "ftol": 1e-15, "gtol": 1e-9},
        )  # fmt: skip
        assert ours <= cold.fun + 1e-10
        assert cold.fun == pytest.approx(ours, rel=1e-5)


@pytest.mark.parametrize("loss", ["poisson", "huber"])
def test_skglm(loss):
    # Its solver for counts has no intercept that it fits to this accuracy.
    counts = loss == "poisson"
    path = fit(BY_ROWS[loss], loss=loss, intercept=False)
    for strength, weights in zip(path.strengths, path.params.weights, strict=True):
        datafit = Poisson() if counts else Huber(1.35)
        options = {"fit_intercept": False, "tol": 1e-11, "max_iter": 1000}
        solver = ProxNewton(**options) if counts else AndersonCD(**options, max_epochs=10**5)
        model = GeneralizedLinearEstimator(datafit, L1(strength), solver)
        np.testing.assert_allclose(weights, model.fit(X, BY_ROWS[loss]).coef_, atol=1e-7)


def test_statsmodels_with_an_exposure():
    """Without a penalty to speak of, and with one on the squares."""
    exposure = np.exp(OFFSET)
    reference = sm.GLM(
        COUNTS, sm.add_constant(X), sm.families.Poisson(), exposure=exposure, freq_weights=WEIGHTS
    )
    expected = reference.fit(tol=1e-12).params
    path = fit(
        COUNTS,
        loss="poisson",
        offset=np.log(exposure),
        sample_weight=WEIGHTS,
        strengths=[1e-9],
        tolerance=1e-4,
    )
    np.testing.assert_allclose(path.at(0).weights, expected[1:], atol=1e-6)
    np.testing.assert_allclose(path.at(0).intercept, expected[0], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.02, 0.1])
def test_multinomial_models_of_scikit_learn(alpha):
    path = fit(CLASSES, loss="multinomial", strengths=[alpha], intercept=True)
    model = LogisticRegression(
        C=1 / (ROWS * alpha), l1_ratio=1, solver="saga", tol=1e-10, max_iter=10**5
    )
    model.fit(X, CLASSES)
    ours, theirs = path.at(0), model.intercept_ - model.intercept_.mean()
    np.testing.assert_allclose(ours.weights, model.coef_.T, atol=1e-6)
    np.testing.assert_allclose(ours.intercept, theirs, atol=1e-6)
    np.testing.assert_allclose(ours.mean(X), model.predict_proba(X), atol=1e-6)


def test_losses_near_0_keep_their_digits():
    z, y = np.array([[40.0, 0, 0], [-40, 0, 1]]), np.eye(3)[:2]
    losses = jaxreg.losses.Multinomial().value(z, y)
    expected = [np.log1p(2 * np.exp(-40.0)), np.log1p(np.exp(-40.0) + np.exp(1.0))]
    np.testing.assert_allclose(losses, expected, rtol=1e-14)


def test_multinomial_targets_may_be_probabilities():
    z, y = jnp.array([[0.3, 0.3, -1], [2, 1, 5]]), jnp.array([[0.9, 0.05, 0.05], [0.2, 0, 0.8]])
    loss = jaxreg.losses.Multinomial()
    values = jax.nn.logsumexp(z, 1) - jnp.sum(y * z, 1)
    np.testing.assert_allclose(loss.value(z, y), values, rtol=1e-14)
    gradient = jax.grad(lambda z: jnp.sum(loss.value(z, y)))(z)
    np.testing.assert_allclose(gradient, jax.nn.softmax(z, 1) - y, atol=1e-15)


def test_several_outputs_of_scikit_learn():
    path = fit(OUTPUTS, lambda s: jaxreg.Group(jaxreg.ElasticNet(0.7 * s, 0.15 * s), axis=1))
    for at, strength in enumerate(path.strengths):
        model = MultiTaskElasticNet(alpha=strength, l1_ratio=0.7, tol=1e-13, max_iter=10**5)
        model.fit(X, OUTPUTS)
        np.testing.assert_allclose(path.at(at).weights, model.coef_.T, atol=1e-7)
        np.testing.assert_allclose(path.at(at).intercept, model.intercept_, atol=1e-7)
        np.testing.assert_allclose(path.at(at).predict(X), model.predict(X), atol=1e-6)


def test_outputs_apart_are_models_apart():
    factors = np.array([[1.0], [2], [0], [1], [1], [0.5]])
    path = fit(OUTPUTS, lambda s: jaxreg.Weighted(jaxreg.L1(s), factors), sample_weight=WEIGHTS)
    for at in range(3):
        alone = fit(
            OUTPUTS[:, at], lambda s: jaxreg.Weighted(jaxreg.L1(s), factors[:, 0]),
            strengths=path.strengths, sample_weight=WEIGHTS,
        )  # fmt: skip
        np.testing.assert_allclose(path.params.weights[..., at], alone.params.weights, atol=1e-8)
        np.testing.assert_allclose(
            path.params.intercept[..., at], alone.params.intercept, atol=1e-8
        )


def test_groups_of_classes_meet_their_optimality_conditions():
    path = fit(CLASSES, rows, "multinomial", standardize=True)
    scale, labels = X.std(0), CLASSES[:, None] == np.arange(4)
    for at, strength in enumerate(path.strengths):
        model = path.at(at)
        gradient = X.T @ (np.asarray(model.mean(X)) - labels) / ROWS / scale[:, None]
        w = np.asarray(model.weights) * scale[:, None]
        length = np.linalg.norm(w, axis=1, keepdims=True)
        inside = (length > 0)[:, 0]
        pull = -strength * (w / np.where(length > 0, length, 1))
        np.testing.assert_allclose(gradient[inside], pull[inside], atol=1e-8)
        assert (np.linalg.norm(gradient, axis=1) <= strength * (1 + 1e-8)).all()


@pytest.mark.parametrize("strength", [0.02, 0.2])
def test_ridge_cox_models_of_lifelines(strength):
    """It has standardised columns, a smooth L1, and ties as Efron has them: so squares alone, and
    times that differ.
    """
    times = TIMES + RANDOM.random(ROWS)
    x = X / X.std(0, ddof=1)
    frame = DataFrame(x).assign(time=times, event=EVENTS)
    model = CoxPHFitter(penalizer=strength, l1_ratio=0.0)
    model.fit(frame, "time", "event", fit_options={"precision": 1e-12})
    y = np.stack([times, EVENTS], 1)
    path = fit(y, lambda s: jaxreg.SquaredL2(s / 2), "cox", x, strengths=[strength])
    np.testing.assert_allclose(path.at(0).weights, model.params_, atol=1e-6)


def test_times_and_events_as_scikit_survival_writes_them():
    pairs = np.array(list(zip(EVENTS > 0, TIMES, strict=True)), [("died", "?"), ("months", "<f8")])
    plain, path = fit(SURVIVAL, loss="cox"), fit(pairs, loss="cox")
    np.testing.assert_array_equal(path.params.weights, plain.params.weights)
    assert not plain.params.intercept.any()


@pytest.mark.parametrize("l1", [0.0, 0.3, 0.9])
def test_sparse_groups_meet_their_optimality_conditions(l1):
    """Those of Simon, Friedman, Hastie and Tibshirani (2013), section 3."""
    x, y = X.reshape(ROWS, 2, 3), X @ np.array([1, 0.3, 0, 0.5, -0.1, 0]) + OFFSET
    path = fit(y, lambda s: jaxreg.SparseGroupL2(l1 * s, (1 - l1) * s, axis=1), x=x, ratio=0.02)
    for at, strength in enumerate(path.strengths):
        model = path.at(at)
        slope = x.reshape(ROWS, -1).T @ np.asarray(model.predict(x) - y) / ROWS
        for w, gradient in zip(np.asarray(model.weights), slope.reshape(2, 3), strict=True):
            single, group = l1 * strength, (1 - l1) * strength
            left = np.sign(gradient) * np.maximum(np.abs(gradient) - single, 0)
            if not w.any():
                assert np.linalg.norm(left) <= group + 1e-8
                continue
            pull = gradient + group * w / np.linalg.norm(w)
            np.testing.assert_allclose(pull[w != 0], -single * np.sign(w[w != 0]), atol=1e-8)
            assert (np.abs(pull[w == 0]) <= single + 1e-8).all()


CONCAVE = {
    "mcp": (lambda s: jaxreg.MCP(s, 3.0), lambda u, s: np.maximum(s - u / 3, 0)),
    "scad": (
        lambda s: jaxreg.SCAD(s, 3.7),
        lambda u, s: np.where(u <= s, s, np.maximum(3.7 * s - u, 0) / 2.7),
    ),
    "log-sum": (lambda s: jaxreg.LogSum(s, 0.1), lambda u, s: s / (1 + u / 0.1)),
}


@pytest.mark.parametrize(
    ("loss", "name"),
    [*(("squares", name) for name in CONCAVE), ("poisson", "mcp"), ("cox", "scad")],
)
def test_concave_penalties_end_at_stationary_points(loss, name):
    make, steepness = CONCAVE[name]
    y = NOISY if loss == "squares" else BY_ROWS[loss]
    path = fit(y, make, loss, intercept=False)
    assert "gap" not in path.record
    for strength, w in zip(path.strengths, np.asarray(path.params.weights), strict=True):
        z, step = X @ w, 1e-6
        if loss == "cox":
            unit = np.ones(ROWS)
            gradient = [
                partial_likelihood(z + step * column, unit)
                - partial_likelihood(z - step * column, unit)
                for column in X.T
            ]
            gradient = np.array(gradient) / (2 * step)
        else:
            gradient = X.T @ ((z if loss == "squares" else np.exp(z)) - y) / ROWS
        alive = w != 0
        pull = steepness(np.abs(w), strength) * np.sign(w)
        np.testing.assert_allclose(gradient[alive], -pull[alive], atol=1e-7)
        assert (np.abs(gradient[~alive]) <= strength + 1e-7).all()


@pytest.mark.parametrize("x", [THIN, scipy.sparse.csr_array(THIN)], ids=["dense", "sparse"])
def test_flat_losses_under_concave_penalties(x):
    """Far from all targets Huber's loss has no curvature, so that Newton steps lead far away."""
    make = lambda s: jaxreg.Weighted(jaxreg.SCAD(s), NOT_ALL)  # noqa: E731
    path = fit(NOISY, make, "huber", x, offset=OFFSET, sample_weight=WEIGHTS, standardize=True)
    assert path.record["residual"].max() < 1e-9


@pytest.mark.parametrize("loss", ["squares", "poisson", "multinomial"])
def test_limits(loss):
    """In the units of the data, whatever the columns are divided by; one of them excludes a
    feature.
    """
    y = NOISY if loss == "squares" else BY_ROWS[loss]
    low = np.array([0.0, -0.1, 0, 0, -np.inf, 0])
    high = np.array([0.2, np.inf, 0, np.inf, np.inf, 0.01])
    if loss == "multinomial":
        low, high = low[:, None], high[:, None]
    make = lambda s: jaxreg.Limited(jaxreg.ElasticNet(s, s / 5), low, high)  # noqa: E731
    path = fit(y, make, loss, standardize=True, ratio=1e-3)
    weights = np.asarray(path.params.weights)
    assert (weights >= low - 1e-12).all() and (weights <= high + 1e-12).all()
    assert np.isclose(weights[0], high).any() and np.isclose(weights[0], low).any()
    if loss != "squares":
        return
    # Weights are a positive part less a negative one, each within bounds.
    scale, x, y = X.std(0), X - X.mean(0), NOISY - NOISY.mean()
    bounds = [*((0, at) for at in high), *((0, -at) for at in low)]
    for strength, found in zip(path.strengths, weights, strict=True):

        def objective(parts, strength=strength):
            w = parts[:FEATURES] - parts[FEATURES:]
            left, scaled = x @ w - y, scale * w
            slope = x.T @ left / ROWS + 0.4 * strength * scale * scaled
            value = left @ left / ROWS / 2 + strength * (
                scale @ (parts[:FEATURES] + parts[FEATURES:])
            )
            both = np.concatenate([slope, -slope]) + strength * np.tile(scale, 2)
            return value + strength / 5 * scaled @ scaled, both

        options = {"maxiter": 10**4, "ftol": 1e-16, "gtol": 1e-12}
        best = minimize(
            objective, np.zeros(2 * FEATURES), jac=True, method="L-BFGS-B", bounds=bounds,
            options=options,
        )  # fmt: skip
        np.testing.assert_allclose(found, best.x[:FEATURES] - best.x[FEATURES:], atol=1e-5)


def test_nonnegative_least_squares():
    from scipy.optimize import nnls

    path = fit(
        NOISY,
        lambda s: jaxreg.Limited(jaxreg.L1(s), low=0),
        intercept=False,
        ratio=1e-9,
        tolerance=1e-4,
    )
    np.testing.assert_allclose(path.at(0).weights, nnls(X, NOISY)[0], atol=1e-6)


def test_standardised_columns_are_divided_columns():
    scale = X.std(0)
    inside, outside = fit(NOISY, standardize=True), fit(NOISY, x=X / scale)
    np.testing.assert_allclose(inside.strengths, outside.strengths, rtol=1e-10)
    np.testing.assert_allclose(inside.params.weights, outside.params.weights / scale, atol=1e-9)
    np.testing.assert_allclose(inside.record["gap"], outside.record["gap"], atol=1e-12)
    # What is free of a penalty does not change the standard deviations.
    factors = np.array([1.0, 0, 1, 2, 0, 1])
    make = lambda s: jaxreg.Weighted(jaxreg.ElasticNet(s, s), factors)  # noqa: E731
    apart, beside = fit(NOISY, make, standardize=True), fit(NOISY, make, x=X / scale)
    np.testing.assert_allclose(apart.params.weights, beside.params.weights / scale, atol=1e-9)
    np.testing.assert_allclose(inside.at(1).predict(X), outside.at(1).predict(X / scale), atol=1e-8)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_squares_of_standardised_columns_may_overflow_or_vanish(unit):
    units = np.where(np.arange(FEATURES) % 2, unit, 1)
    path, scaled = (fit(NOISY, x=x, standardize=True) for x in (X, X * units))
    np.testing.assert_allclose(scaled.strengths, path.strengths, rtol=1e-12)
    np.testing.assert_allclose(scaled.params.weights * units, path.params.weights, rtol=1e-6)


def test_folds_with_an_offset_and_standardised_columns():
    labels = np.arange(ROWS) % 3
    options = {"offset": OFFSET, "standardize": True}
    scores = jaxreg.cross_validate_linear_path(
        X, COUNTS, jaxreg.L1, loss="poisson", folds=labels, count=4, tolerance=1e-9, **options
    )
    for fold in range(3):
        train, test = labels != fold, labels == fold
        part = {**options, "offset": OFFSET[train]}
        path = fit(COUNTS[train], loss="poisson", x=X[train], strengths=scores.strengths, **part)
        z = np.array([path.at(at).predict(X[test], OFFSET[test]) for at in range(4)])
        expected = np.mean(np.exp(z) - COUNTS[test] * z, axis=1)
        np.testing.assert_allclose(scores.scores()[fold], expected, rtol=1e-8)


SPARSE = {
    "squares": (NOISY, jaxreg.L1),
    "squares of outputs": (OUTPUTS, rows),
    "logistic": (np.sign(NOISY) / 2 + 0.5, lambda s: jaxreg.Weighted(jaxreg.L1(s), NOT_ALL)),
    "poisson": (COUNTS, lambda s: jaxreg.Limited(jaxreg.ElasticNet(s, s), low=0)),
    "multinomial": (CLASSES, lambda s: jaxreg.Weighted(rows(s), NOT_ALL + 1)),
    "cox": (SURVIVAL, lambda s: jaxreg.Weighted(jaxreg.L1(s), NOT_ALL)),
}


@pytest.mark.parametrize("name", SPARSE)
def test_a_sparse_design_has_the_solutions_of_a_dense_one(name):
    y, make = SPARSE[name]
    loss = name.split()[0]
    x = scipy.sparse.csr_array(THIN)
    x = {"squares": BCOO.from_scipy_sparse(x), "logistic": x.tocsc()}.get(name, x)
    single = loss not in ("multinomial", "squares") or name == "squares"
    options = {"offset": OFFSET} if single else {"intercept": loss != "squares"}
    options |= {"sample_weight": WEIGHTS, "standardize": loss != "poisson", "ratio": 0.1}
    held = (y[:40], OFFSET[:40]) if single else (y[:40],)
    if loss == "multinomial":
        held = (y[:40],)
    dense = fit(y, make, loss, THIN, validation=(THIN[:40], *held), **options)
    path = fit(y, make, loss, x, validation=(x[:40], *held), **options)
    # Rows to score on may come in the other form.
    other = {**options, "count": 2}
    for design, rows in ((x, THIN[:40]), (THIN, x[:40])):
        scored = fit(y, make, loss, design, validation=(rows, *held), **other)
        np.testing.assert_allclose(
            scored.record["validation_loss"][-1], dense.record["validation_loss"][-1], atol=1e-7
        )
    np.testing.assert_allclose(path.strengths, dense.strengths, rtol=1e-9)
    np.testing.assert_allclose(path.params.weights, dense.params.weights, atol=1e-6)
    np.testing.assert_allclose(path.params.intercept, dense.params.intercept, atol=1e-6)
    for number in set(path.record) - {"steps", "residual"}:
        np.testing.assert_allclose(path.record[number], dense.record[number], atol=1e-7)
    np.testing.assert_allclose(path.at(0).predict(x), dense.at(0).predict(THIN), atol=1e-5)


def test_folds_of_a_sparse_design():
    labels = np.arange(ROWS) % 3
    options = {"loss": "poisson", "folds": labels, "count": 4, "tolerance": 1e-9}
    dense = jaxreg.cross_validate_linear_path(THIN, COUNTS, jaxreg.L1, **options)
    scores = jaxreg.cross_validate_linear_path(
        scipy.sparse.csr_array(THIN), COUNTS, jaxreg.L1, **options
    )
    np.testing.assert_allclose(scores.scores(), dense.scores(), rtol=1e-7)


@pytest.mark.parametrize("ratio", [0.3, 0.003])
def test_a_sparse_design_with_more_features_than_a_working_set_has(ratio):
    random = np.random.default_rng(0)
    x = scipy.sparse.random_array((200, 1000), density=0.02, rng=random, format="csc")
    y = x[:, :50] @ random.normal(size=50) + 0.05 * random.normal(size=200)
    path = fit(y, x=x, ratio=ratio)
    for strength, weights in zip(path.strengths, path.params.weights, strict=True):
        model = Lasso(alpha=strength, tol=1e-13, max_iter=10**6).fit(x, y)
        np.testing.assert_allclose(weights, model.coef_, atol=1e-6)
    # Whose gaps are checked.
    fit((y > 0).astype(float), x=x, loss="logistic", ratio=ratio, tolerance=1e-8)


def test_columns_of_a_sparse_design_in_units_of_their_own():
    units = 10.0 ** np.linspace(-3, 3, THIN.shape[1])
    factors = units * np.where(np.arange(THIN.shape[1]) % 9, 1, 0)
    make = lambda s: jaxreg.Weighted(jaxreg.L1(s), factors)  # noqa: E731
    path = fit(COUNTS, make, "poisson", scipy.sparse.csc_array(THIN * units), ratio=0.02)
    make = lambda s: jaxreg.Weighted(jaxreg.L1(s), factors / units)  # noqa: E731
    plain = fit(COUNTS, make, "poisson", THIN, ratio=0.02)
    np.testing.assert_allclose(path.strengths, plain.strengths, rtol=1e-7)
    np.testing.assert_allclose(path.params.weights * units, plain.params.weights, atol=1e-6)


def test_refitted_models_have_no_penalty_on_the_support():
    path = fit(COUNTS, loss="poisson", sample_weight=WEIGHTS, standardize=True, refit=True)
    assert (path.record["refitted_loss"] <= path.record["loss"]).all()
    for at in range(4):
        model = path.at(at, refitted=True)
        support = np.flatnonzero(path.at(at).weights)
        columns = sm.add_constant(X[:, support], has_constant="add")
        reference = sm.GLM(COUNTS, columns, sm.families.Poisson(), freq_weights=WEIGHTS)
        expected = reference.fit(tol=1e-12).params
        np.testing.assert_allclose(model.weights[support], expected[1:], atol=1e-8)
        np.testing.assert_allclose(model.intercept, expected[0], atol=1e-8)
        assert np.count_nonzero(model.weights) == len(support)


@pytest.mark.parametrize("name", ["squares of outputs", "logistic", "cox"])
def test_refitted_models_of_sparse_designs_and_folds(name):
    y, make = SPARSE[name]
    loss, labels = name.split()[0], np.arange(ROWS) % 3
    options = {"loss": loss, "refit": True, "count": 3, "ratio": 0.4, "tolerance": 1e-9}
    dense = jaxreg.fit_linear_path(THIN, y, make, **options)
    x = scipy.sparse.csr_array(THIN)
    path = jaxreg.fit_linear_path(x, y, make, **options)
    np.testing.assert_allclose(path.refitted.weights, dense.refitted.weights, atol=1e-6)
    scores = jaxreg.cross_validate_linear_path(THIN, y, make, folds=labels, **options)
    train, test = labels != 0, labels == 0
    alone = jaxreg.fit_linear_path(
        THIN[train], y[train], make, scores.strengths, validation=(THIN[test], y[test]),
        **{**options, "count": 2},
    )  # fmt: skip
    by = "refitted_validation_loss"
    np.testing.assert_allclose(scores.scores(by)[0], alone.record[by], rtol=1e-6)


def test_a_refit_without_a_minimum_is_said():
    separated = (X[:, 0] > 0.5).astype(float)
    with pytest.warns(UserWarning, match="refit did not come to a minimum, as there may be none"):
        jaxreg.fit_linear_path(X, separated, jaxreg.L1, loss="logistic", count=3, refit=True)


def test_a_loss_of_ones_own():
    """Gamma with a logarithmic link; statsmodels has it too."""

    class Gamma(jaxreg.losses.Loss):
        def value(self, z, y):
            return z + y * jnp.exp(-z)

    y = RANDOM.gamma(2.0, np.exp(X @ TRUE) / 2)
    path = fit(y, loss=Gamma(), strengths=[1e-9, 0.1], tolerance=1e-4)
    reference = sm.GLM(y, sm.add_constant(X), sm.families.Gamma(sm.families.links.Log()))
    expected = reference.fit(tol=1e-12).params
    np.testing.assert_allclose(path.at(0).weights, expected[1:], atol=1e-6)
    assert "gap" not in path.record

    class Softmax(jaxreg.losses.Multinomial):
        """Without its formulas."""

        slope, form = jaxreg.losses.Loss.slope, jaxreg.losses.Loss.form

    ours, theirs = fit(CLASSES, loss=Softmax()), fit(CLASSES, loss="multinomial")
    # Of four classes, the weights of a feature may be shifted by what lies between their medians.
    np.testing.assert_allclose(ours.record["objective"], theirs.record["objective"], rtol=1e-12)
    np.testing.assert_allclose(ours.at(0).mean(X), theirs.at(0).mean(X), atol=1e-8)
