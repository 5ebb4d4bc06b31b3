"""The duality gap: a bound on the distance from the minimum, 0 at a solution, for every loss and
penalty that has one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 12))
Y = X[:, :3] @ np.array([2.0, -1.0, 0.5]) + RNG.normal(size=40)
PENALTIES = {
    "L1": jaxreg.L1(0.1),
    "elastic net": jaxreg.ElasticNet(0.1, 0.05),
    "an elastic net that is L1": jaxreg.ElasticNet(0.1, 0.0),
    "squared L2": jaxreg.SquaredL2(0.05),
    "group": jaxreg.GroupL2(0.1, axis=1),
    "group of L1": jaxreg.Group(jaxreg.L1(0.1), axis=1),
    "tree": {"a": jaxreg.L1(0.1), "b": jaxreg.ElasticNet(0.05, 0.1)},
}


@pytest.fixture(autouse=True)
def _double(float64):
    """All tests compute in float64."""


def problem(loss, name):
    """A start, a linear function, targets, and the loss as a function of parameters."""
    x = jnp.asarray(X)
    start = (
        {"a": jnp.zeros(5), "b": jnp.zeros(7)}
        if name == "tree"
        else jnp.zeros((6, 2) if "group" in name else 12)
    )

    def predict(params):
        leaves = jax.tree.leaves(params)
        return x @ jnp.concatenate([leaf.reshape(-1) for leaf in leaves])

    targets = jnp.asarray(Y if loss == "squares" else Y > 0, float)

    def objective(params):
        z = predict(params)
        if loss == "squares":
            return jnp.mean((z - targets) ** 2) / 2
        return jnp.mean(jnp.logaddexp(0, z) - targets * z)

    return start, predict, targets, objective


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        *(("squares", name) for name in PENALTIES),
        ("logistic", "L1"),
        ("logistic", "group"),
        ("logistic", "tree"),
    ],
)
def test_it_bounds_the_distance_from_the_minimum(loss, name):
    penalty = PENALTIES[name]
    start, predict, targets, objective = problem(loss, name)
    solver = jaxreg.fista(
        lambda params, _: objective(params), penalty, tol=1e-12, max_steps=100_000
    )
    solution = solver.run(start).params

    @jax.jit
    def measured(params):
        value, gradient = jax.value_and_grad(objective)(params)
        gap = jaxreg.duality_gap(penalty, params, predict, targets, loss)
        residual = jaxreg.kkt_residual(penalty, params, gradient)
        return value + jaxreg.penalty_value(penalty, params), gap, residual

    # The two certificates agree on what a solution is, and below on what is none.
    least, gap, residual = measured(solution)
    assert 0 <= gap < 1e-10
    assert residual <= 1e-12
    for seed in range(20):
        keys = jax.random.split(jax.random.key(seed), 2)
        noise = jax.tree.map(lambda leaf, keys=keys: jax.random.normal(keys[0], leaf.shape), start)
        size = 10.0 ** jax.random.uniform(keys[1], minval=-4, maxval=1)
        value, gap, residual = measured(
            jax.tree.map(lambda w, e, size=size: w + size * e, solution, noise)
        )
        assert gap >= value - least - 1e-12
        # It is a bound that follows the distance, not just any large number.
        assert gap <= 1e4 * (value - least + 1e-8) ** 0.5
        assert gap > 1e-10
        assert residual > 1e-6
    assert measured(start)[1] >= measured(start)[0] - least


def test_it_agrees_with_scikit_learn():
    from sklearn.linear_model import Lasso

    model = Lasso(alpha=0.1, fit_intercept=False, tol=1e-3).fit(X, Y)
    gap = jaxreg.duality_gap(jaxreg.L1(0.1), jnp.asarray(model.coef_), lambda w: X @ w, Y)
    np.testing.assert_allclose(gap, model.dual_gap_, rtol=1e-6, atol=1e-12)


def test_it_ends_where_the_residual_does():
    start, predict, targets, objective = problem("squares", "L1")
    for tol in (1e-2, 1e-5, 1e-8):
        params = jaxreg.fista(lambda w, _: objective(w), jaxreg.L1(0.1), tol=tol).run(start).params
        # The penalty and ⟨w, gradient⟩ differ by at most residual·‖w‖₁, and scaling takes
        # residual/λ of the dual value.
        bound = tol * (jnp.sum(jnp.abs(params)) + jnp.mean(targets**2) / 0.1)
        assert jaxreg.duality_gap(jaxreg.L1(0.1), params, predict, targets) < bound


def test_nan_is_not_hidden():
    assert jnp.isnan(jaxreg.duality_gap(jaxreg.L1(0.1), jnp.full(12, jnp.nan), lambda w: X @ w, Y))


@pytest.mark.parametrize(
    ("penalty", "predict", "targets", "loss", "message"),
    [
        (
            jaxreg.L1(jnp.ones(12)),
            lambda w: X @ w,
            Y,
            "squares",
            "expected one strength for all of parameter",
        ),
        (
            jaxreg.SquaredL2(jnp.ones((1, 12))),
            lambda w: X @ w,
            Y,
            "squares",
            "expected one strength for all of parameter",
        ),
        (jaxreg.LogSum(0.1, 0.1), lambda w: X @ w, Y, "squares", r"expected L1, .* got LogSum"),
        (jaxreg.L1(0.1), lambda w: X @ w + 1, Y, "squares", r"expected a linear predict\(params\)"),
        (jaxreg.L1(0.1), lambda w: X @ w**2, Y, "squares", r"expected a linear predict\(params\)"),
        (
            jaxreg.L1(0.1),
            lambda w: X @ w,
            Y[1:],
            "squares",
            r"predictions have shape \(40,\), but targets \(39,\)",
        ),
        (
            jaxreg.L1(0.1),
            lambda w: X @ w,
            np.sign(Y),
            "logistic",
            "logistic loss needs targets 0 and 1; pass",
        ),
        (
            jaxreg.L1(0.1),
            lambda w: X @ w,
            Y,
            "hinge",
            r'loss must be "squares" or "logistic", got \'hinge\'',
        ),
    ],
)
def test_wrong_use(penalty, predict, targets, loss, message):
    with pytest.raises((TypeError, ValueError), match="duality_gap: .*" + message):
        jaxreg.duality_gap(penalty, jnp.ones(12), predict, targets, loss)


def test_a_parameter_without_a_penalty_is_refused():
    params = {"a": jnp.zeros(12), "b": jnp.zeros(1)}
    with pytest.raises(TypeError, match="duality_gap: expected L1, .* for parameter b, got None"):
        jaxreg.duality_gap(
            {"a": jaxreg.L1(0.1), "b": None}, params, lambda p: X @ p["a"] + p["b"], Y
        )


@pytest.mark.parametrize("loss", ["squares", "logistic"])
def test_it_bounds_the_distance_from_the_minimum_over_an_intercept_too(loss):
    targets = jnp.asarray(Y + 3 if loss == "squares" else Y > 0.5, float)

    def value(params):
        z = X @ params["w"] + params["b"]
        return (
            jnp.mean((z - targets) ** 2) / 2
            if loss == "squares"
            else jnp.mean(jnp.logaddexp(0, z) - targets * z)
        )

    penalty = jaxreg.L1(0.05)
    solver = jaxreg.fista(
        lambda params, _: value(params), {"w": penalty, "b": None}, tol=1e-12, max_steps=100_000
    )
    solution = solver.run({"w": jnp.zeros(12), "b": jnp.zeros([])}).params
    least = value(solution) + penalty.value(solution["w"])

    def gap(params):
        return jaxreg.duality_gap(
            penalty, params["w"], lambda w: X @ w, targets, loss, intercept=params["b"]
        )

    assert gap(solution) < 1e-10
    for seed in range(10):
        keys = jax.random.split(jax.random.key(seed), 2)
        near = {
            "w": solution["w"] + 0.1 * jax.random.normal(keys[0], (12,)),
            "b": solution["b"] + jax.random.normal(keys[1]),
        }
        assert gap(near) >= value(near) + penalty.value(near["w"]) - least
    # Without an intercept, the model has another minimum.
    without = jaxreg.duality_gap(penalty, solution["w"], lambda w: X @ w, targets, loss)
    assert without > 1e-3


def test_an_intercept_is_one_number():
    with pytest.raises(ValueError, match="duality_gap: an intercept must be one number"):
        jaxreg.duality_gap(
            jaxreg.L1(0.1), jnp.zeros(12), lambda w: X @ w, Y, intercept=jnp.zeros(2)
        )
