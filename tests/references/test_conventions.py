"""The factors of docs/conventions.md: a solution of another package is a solution here, with the λ
that the table names.

Losses and their gradients are written in NumPy, without a look at either package.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skglm.penalties
from sklearn import linear_model, neural_network

import jaxreg

ROWS, FEATURES = 60, 10
rng = np.random.default_rng(0)
X = rng.normal(size=(ROWS, FEATURES)) * np.linspace(0.5, 2, FEATURES)
WEIGHTS = np.array([2.0, -1.5, 1.0, 0, 0, 0, 0, 0.5, 0, 0])
Y = X @ WEIGHTS + 0.5 + rng.normal(size=ROWS)
OUTPUTS = Y[:, None] * np.array([1.0, -0.5, 0.3]) + rng.normal(size=(ROWS, 3))
LABELS = np.greater(Y, np.median(Y)).astype(float)
ALPHA, RATIO, C = 0.15, 0.6, 0.3

pytestmark = pytest.mark.usefixtures("float64")


def half_mean_squares(kernel, bias, y):
    residual = X @ kernel + bias - y
    return {"kernel": X.T @ residual / ROWS, "bias": residual.mean(0)}


def mean_log_loss(kernel, bias, y):
    residual = 1 / (1 + np.exp(-(X @ kernel + bias))) - y
    return {"kernel": X.T @ residual / ROWS, "bias": residual.mean(0)}


def lasso():
    return linear_model.Lasso(ALPHA, tol=1e-12, max_iter=100_000)


def elastic_net():
    return linear_model.ElasticNet(ALPHA, l1_ratio=RATIO, tol=1e-12, max_iter=100_000)


def multi_task():
    return linear_model.MultiTaskLasso(ALPHA, tol=1e-12, max_iter=100_000)


def logistic(**options):
    return linear_model.LogisticRegression(C=C, tol=1e-12, max_iter=100_000, **options)


# From a package's estimator to the gradient of the loss, the targets, and the penalty here.
CASES = {
    "Lasso": (lasso, half_mean_squares, Y, jaxreg.L1(ALPHA)),
    "ElasticNet": (
        elastic_net, half_mean_squares, Y,
        jaxreg.ElasticNet(ALPHA * RATIO, ALPHA * (1 - RATIO) / 2),
    ),
    "Ridge": (
        lambda: linear_model.Ridge(10.0), half_mean_squares, Y, jaxreg.SquaredL2(10 / (2 * ROWS)),
    ),
    "MultiTaskLasso": (multi_task, half_mean_squares, OUTPUTS, jaxreg.GroupL2(ALPHA, axis=1)),
    "LogisticRegression, L1": (
        lambda: logistic(l1_ratio=1, solver="saga"), mean_log_loss, LABELS,
        jaxreg.L1(1 / (ROWS * C)),
    ),
    "LogisticRegression, L2": (
        lambda: logistic(solver="newton-cholesky"), mean_log_loss, LABELS,
        jaxreg.SquaredL2(1 / (2 * ROWS * C)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_another_package_s_solution_is_a_solution_here(name):
    make, gradient_of, y, penalty = CASES[name]
    model = make().fit(X, y)
    kernel = np.reshape(model.coef_, (-1, FEATURES)).T.reshape(FEATURES, *y.shape[1:])
    bias = np.reshape(model.intercept_, y.shape[1:])
    params, gradient = {"kernel": kernel, "bias": bias}, gradient_of(kernel, bias, y)
    mask = {"kernel": True, "bias": False}
    assert not np.all(kernel == 0)
    strength = float(jax.tree.leaves(penalty)[0])
    assert jaxreg.kkt_residual(penalty, params, gradient, mask) < 1e-5 * strength
    doubled = jax.tree.map(lambda number: 2 * number, penalty)
    assert jaxreg.kkt_residual(doubled, params, gradient, mask) > 0.1 * strength


def test_liblinear_penalises_the_intercept():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = logistic(solver="liblinear").fit(X, LABELS)
    params = {"kernel": model.coef_[0], "bias": model.intercept_}
    gradient = mean_log_loss(model.coef_[0], model.intercept_, LABELS)
    gradient["bias"] = np.atleast_1d(gradient["bias"])
    penalty = jaxreg.SquaredL2(1 / (2 * ROWS * C))
    assert jaxreg.kkt_residual(penalty, params, gradient) < 1e-5
    assert jaxreg.kkt_residual(penalty, params, gradient, {"kernel": True, "bias": False}) > 1e-4


def test_huber_regressor_sums_its_loss_without_a_half():
    model = linear_model.HuberRegressor(alpha=5.0, tol=1e-10, max_iter=100_000).fit(X, Y)
    z = (X @ model.coef_ + model.intercept_ - Y) / model.scale_
    slope = np.where(np.abs(z) < model.epsilon, 2 * z, 2 * model.epsilon * np.sign(z))
    assert np.any(np.abs(z) > model.epsilon)
    gradient, slope_of_penalty = X.T @ slope, 2 * 5.0 * np.max(np.abs(model.coef_))
    # L-BFGS ends where the objective no longer falls, so the gradient is less exact.
    residual = jaxreg.kkt_residual(jaxreg.SquaredL2(5.0), model.coef_, gradient)
    assert residual < 1e-3 * slope_of_penalty
    halved = jaxreg.kkt_residual(jaxreg.SquaredL2(2.5), model.coef_, gradient)
    assert halved > 0.1 * slope_of_penalty


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (skglm.penalties.LogSumPenalty(0.3 * 0.5, 0.5), jaxreg.LogSum(0.3, 0.5)),
        (skglm.penalties.MCPenalty(0.3, 3.0), jaxreg.MCP(0.3, 3.0)),
        (skglm.penalties.SCAD(0.3, 3.7), jaxreg.SCAD(0.3, 3.7)),
        (skglm.penalties.L0_5(0.3), jaxreg.Bridge(0.3)),
        (skglm.penalties.L2_3(0.3), jaxreg.Bridge(0.3, 2 / 3)),
    ],
    ids=lambda penalty: type(penalty).__name__,
)
def test_penalties_with_a_shape_have_skglm_s_parameters(theirs, ours):
    for w in (np.linspace(-4, 4, 41), np.array([0.01]), np.array([0.7]), np.array([50.0])):
        np.testing.assert_allclose(ours.value(w), theirs.value(w), rtol=1e-12)


def test_mlp_divides_alpha_by_the_batch_size():
    batch, rate, alpha = 20, 0.1, 3.0

    def weights_after_a_step(rate, alpha):
        model = neural_network.MLPRegressor(
            hidden_layer_sizes=(4,),
            solver="sgd",
            alpha=alpha,
            momentum=0,
            learning_rate_init=rate,
            random_state=0,
        )
        model.partial_fit(X[:batch], Y[:batch])
        return model.coefs_, model.intercepts_

    start, _ = weights_after_a_step(1e-15, 0)
    (free, free_biases), (decayed, biases) = (
        weights_after_a_step(rate, strength) for strength in (0, alpha)
    )
    penalty = jaxreg.SquaredL2(alpha / (2 * batch))
    for before, without, after in zip(start, free, decayed, strict=True):
        np.testing.assert_allclose(
            without - after, rate * penalty.subgradient(before), rtol=1e-9, atol=1e-12
        )
    for without, after in zip(free_biases, biases, strict=True):
        np.testing.assert_array_equal(without, after)


def test_weight_decay_is_2_lambda_coupled_and_decoupled():
    w, g, decay, rate, eps = np.array([1.0, -2.0]), np.array([0.3, 0.1]), 0.2, 0.5, 1e-8
    added = optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate))
    direction = g / (np.abs(g) + eps)  # of Adam's first step
    for theirs, ours, expected in (
        (added, optax.chain(jaxreg.add_l2(decay / 2), optax.sgd(rate)), -rate * (g + decay * w)),
        (
            optax.adamw(rate, weight_decay=decay),
            optax.chain(
                optax.scale_by_adam(), jaxreg.add_l2(decay / 2), optax.scale_by_learning_rate(rate)
            ),
            -rate * (direction + decay * w),
        ),
    ):
        for optimizer in (theirs, ours):
            params = jnp.asarray(w)
            updates, _ = optimizer.update(jnp.asarray(g), optimizer.init(params), params)
            np.testing.assert_allclose(updates, expected, rtol=1e-12)
