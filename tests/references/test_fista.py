"""FISTA against scikit-learn, closed forms and finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import diabetes, elastic_net, group_lasso
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
X, Y, CRITICAL = diabetes()
DATA = X, Y
LARGEST = np.linalg.eigvalsh(X.T @ X / len(X))[-1]


def squares(w, data):
    return jnp.mean((data[0] @ w - data[1]) ** 2) / 2


def logistic(params, data):
    x, y = data
    return optax.sigmoid_binary_cross_entropy(x @ params["w"] + params["b"], y).mean()


def poisson(params, data):
    z = data[0] @ params["w"] + params["b"]
    return jnp.mean(jnp.exp(z) - data[1] * z)


solve = jax.jit(lambda penalty: jaxreg.fista(squares, penalty, tol=1e-9).run(jnp.zeros(10), DATA))


@pytest.mark.parametrize("share", [0.5, 0.05, 0.002])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_elastic_nets_meet_scikit_learn(share, l2):
    strength = share * CRITICAL
    expected = elastic_net(X, Y, strength, l2)
    params, state = solve(jaxreg.ElasticNet(strength, l2))
    assert state.converged and state.residual <= 1e-9
    np.testing.assert_allclose(params, expected, atol=1e-7)
    np.testing.assert_array_equal(params == 0, expected == 0)


def test_a_logistic_model_with_a_free_intercept_meets_scikit_learn():
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0))[:, ::2]
    model = LogisticRegression(
        l1_ratio=1, C=1 / (0.01 * len(y)), solver="saga", tol=1e-10, max_iter=10**5
    )
    model.fit(x, y)
    start = {"w": jnp.zeros(15), "b": jnp.zeros([])}
    solver = jaxreg.fista(logistic, {"w": jaxreg.L1(0.01), "b": None}, tol=1e-10)
    params, state = solver.run(start, (x, y.astype(float)))
    assert state.converged
    np.testing.assert_allclose(params["w"], model.coef_[0], atol=1e-5)
    np.testing.assert_allclose(params["b"], model.intercept_[0], atol=1e-5)
    assert 1 < int(jnp.sum(params["w"] == 0)) == int(np.sum(model.coef_ == 0)) < 15


def test_groups_factors_and_parameters_without_a_penalty_meet_theirs():
    """Separate problems in one tree: FISTA finds a step size and a residual for each array."""
    both = diabetes(2)
    factors = np.repeat([0.5, 1, 2, 4, 0], 2)
    penalties = {
        "groups": jaxreg.GroupL2(0.1, axis=1),
        "factors": jaxreg.Weighted(jaxreg.L1(0.02), factors),
        "free": None,
    }
    start = {"groups": jnp.zeros((10, 2)), "factors": jnp.zeros(10), "free": jnp.zeros(10)}

    def loss(params, data):
        return (
            both.loss(params["groups"])
            + squares(params["factors"], data)
            + squares(params["free"][:4], (X[:, :4], Y))
        )

    params, state = jaxreg.fista(loss, penalties, tol=1e-10).run(start, DATA)
    assert state.converged
    np.testing.assert_allclose(
        params["groups"], group_lasso(both.inputs, both.targets, 0.1), atol=1e-7
    )
    # What the columns without a penalty explain is taken out of the others and of y.
    free = np.linalg.qr(X[:, 8:])[0]
    others, y = (array - free @ (free.T @ array) for array in (X[:, :8] / factors[:8], Y))
    expected = elastic_net(others, y, 0.02) / factors[:8]
    np.testing.assert_allclose(params["factors"][:8], expected, atol=1e-7)
    rest = np.linalg.lstsq(X[:, 8:], Y - X[:, :8] @ expected, rcond=None)[0]
    np.testing.assert_allclose(params["factors"][8:], rest, atol=1e-7)
    assert 0 < np.sum(expected == 0) < 8
    np.testing.assert_allclose(
        params["free"][:4], np.linalg.lstsq(X[:, :4], Y, rcond=None)[0], atol=1e-7
    )


def test_acceleration_pays():
    # Plain proximal gradient descent, with the step of FISTA's own search, needs far more steps.
    strength = 0.001 * CRITICAL
    params, state = jaxreg.fista(squares, jaxreg.L1(strength), tol=1e-6).run(jnp.zeros(10), DATA)
    # The search sees the curvature along its own steps; beyond 2/L they would grow without end.
    assert 0.5 / LARGEST <= state.step_size <= 2 / LARGEST
    w, steps, step_size = np.zeros(10), 0, float(state.step_size)
    while (
        np.max(jaxreg.L1(strength).violation(w, X.T @ (X @ w - Y) / len(X))) > 1e-6 * strength
        if steps % 50 == 0
        else True
    ):
        w = w - step_size * X.T @ (X @ w - Y) / len(X)
        w, steps = np.sign(w) * np.maximum(np.abs(w) - step_size * strength, 0), steps + 1
    np.testing.assert_allclose(params, w, atol=1e-4)
    assert int(state.steps) < steps / 3
    # Without restarts the momentum overshoots and oscillates.
    solver = jaxreg.fista(squares, jaxreg.L1(strength), tol=1e-6, restart=False)
    assert 1.5 * int(state.steps) < int(solver.run(jnp.zeros(10), DATA).state.steps)


def test_concave_penalties_end_at_a_stationary_point_and_a_loop_of_the_user_at_the_same():
    for penalty in (jaxreg.LogSum(0.05, 0.1), jaxreg.MCP(0.05)):
        params, state = solve(penalty)
        assert state.converged
        assert jaxreg.kkt_residual(penalty, params, jax.grad(squares)(params, DATA)) <= 1e-9 * 0.05
    solver = jaxreg.fista(squares, jaxreg.L1(0.05), tol=1e-9)
    params, update = jnp.zeros(10), jax.jit(solver.update)
    state = solver.init(params, DATA)
    while not state.converged:
        params, state = update(params, state, DATA)
        assert state.steps < 500
    solution = solve(jaxreg.L1(0.05))
    np.testing.assert_allclose(params, solution.params, atol=1e-8)
    # `run` looks at the residual every ten steps.
    assert state.steps <= solution.state.steps < state.steps + 10


def test_fixed_steps_no_restart_and_many_strengths_at_once():
    strengths = jnp.array([0.5, 0.05]) * CRITICAL
    together = jax.jit(jax.vmap(lambda s: solve(jaxreg.L1(s)).params))(strengths)
    for options in ({"step_size": 1 / LARGEST}, {"restart": False}):
        params = (
            jaxreg.fista(squares, jaxreg.L1(strengths[1]), tol=1e-9, **options)
            .run(jnp.zeros(10), DATA)
            .params
        )
        np.testing.assert_allclose(together[1], params, atol=1e-7)
    np.testing.assert_allclose(together[0], elastic_net(X, Y, float(strengths[0])), atol=1e-7)


def test_one_trace_for_many_strengths():
    traces = []

    @functools.wraps(squares)
    def counted(w, data):
        traces.append(1)
        return squares(w, data)

    for strength in (0.1, 0.2):
        jaxreg.fista(counted, jaxreg.L1(strength)).run(jnp.zeros(10), DATA)
        after = len(traces)
        traces.clear()
    # JAX remembers every trace of the loss, so that the second strength needs none.
    assert after == 0


def differences(function, at, step):
    return [
        (function(at.at[i].add(step)) - function(at.at[i].add(-step))) / (2 * step)
        for i in range(at.size)
    ]


def test_solutions_can_be_differentiated():
    """By strengths, factors and data, in both modes; one tree holds a problem for each penalty."""
    x, y = X[:60], Y[:60]

    def loss(params, data):
        x, y = data
        others = sum(squares(w, data) for name, w in params.items() if name not in ("tree", "b"))
        return others + squares(params["tree"], (x[:, :3] + 1, y - 3 - params["b"]))

    def penalties(at):
        strength = jnp.exp(at)
        return {
            "elastic net": jaxreg.ElasticNet(strength[0], strength[1]),
            "group": jaxreg.GroupL2(strength[2], axis=0),
            "MCP": jaxreg.MCP(strength[3], 3.0),
            "weighted": jaxreg.Weighted(
                jaxreg.L1(strength[0]), jnp.concatenate([at[4:7] + 1, jnp.ones(7)])
            ),
            "tree": jaxreg.L1(strength[0]),
            "b": None,
        }

    def held_out(at):
        start = {name: jnp.zeros(3 if name == "tree" else 10) for name in penalties(at)} | {
            "b": jnp.zeros([])
        }
        target = y.at[:2].set(at[7:9])
        solver = jaxreg.fista(loss, penalties(at), tol=1e-11, max_steps=100_000)
        return loss(solver.run(start, (x, target)).params, (X[60:200], Y[60:200]))

    y = jnp.asarray(y)
    at = jnp.concatenate(
        [jnp.log(jnp.array([0.05, 0.1, 0.2, 0.05])), jnp.array([0.5, 1.0, 2.0]), y[:2]]
    )
    backward = jax.jit(jax.value_and_grad(held_out))
    expected = np.array(differences(lambda at: backward(at)[0], at, 1e-5))
    assert (np.abs(expected[[0, 1, 2, 3, 7]]) > 1e-3).all()
    assert np.count_nonzero(np.abs(expected[4:7]) > 1e-4) > 0
    np.testing.assert_allclose(backward(at)[1], expected, rtol=1e-5, atol=1e-6)
    along = jnp.linspace(-1, 1, at.size)
    forward = jax.jit(lambda at: jax.jvp(held_out, (at,), (along,))[1])(at)
    np.testing.assert_allclose(forward, expected @ along, rtol=1e-5, atol=1e-6)


def test_derivatives_with_respect_to_what_the_loss_closes_over_in_two_dtypes():
    def sum_of(center):
        def loss(params, _):
            return jnp.sum((params["w"] - center) ** 2) / 2 + (params["b"] - center) ** 2 / 2

        solver = jaxreg.fista(loss, {"w": jaxreg.L1(0.1), "b": None})
        params = solver.run({"w": jnp.zeros(2), "b": jnp.zeros([], jnp.float32)}).params
        assert params["w"].dtype == jnp.float64 and params["b"].dtype == jnp.float32
        return params["w"].sum() + params["b"]

    derivative = jax.jit(jax.grad(sum_of))
    assert derivative(1.0) == pytest.approx(3, rel=1e-6)
    assert derivative(0.05) == pytest.approx(1, rel=1e-6)


def test_a_derivative_that_does_not_exist_is_nan():
    # The solution is the cube root of t, which is infinitely steep at 0.
    def solution(t):
        solver = jaxreg.fista(lambda w, t: w**4 / 4 - t * w, jaxreg.SquaredL2(0.0))
        return solver.run(jnp.zeros([]), t).params

    assert jnp.isnan(jax.grad(solution)(0.0))


POWERS = [(-20, 0), (0, -12), (15, 10)]
"""Powers of two, which change no digit: of the features and of the targets."""


@pytest.mark.parametrize(("loss", "dtype"), [("squares", jnp.float32), ("logistic", jnp.float64)])
def test_scaled_data_give_the_scaled_path_of_iterates(loss, dtype):
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 4)) + 0.5
    y = x[:, 0] - x[:, 1] + 2 + 0.3 * random.normal(size=50)
    y = np.where(y > 2, 1.0, 0.0) if loss == "logistic" else y

    def fun(params, data):
        return (
            logistic(params, data)
            if loss == "logistic"
            else squares(params["w"], (data[0], data[1] - params["b"]))
        )

    @jax.jit
    def solved(x, y, strength):
        return jaxreg.fista(fun, {"w": jaxreg.L1(strength), "b": None}).run(
            {"w": jnp.zeros(4, dtype), "b": jnp.zeros([], dtype)}, (x, y)
        )

    expected, state = solved(x.astype(dtype), y.astype(dtype), jnp.asarray(0.1, dtype))
    assert state.converged and state.steps > 0 and jnp.any(expected["w"] != 0)
    for power_x, power_y in POWERS if loss == "squares" else POWERS[:1]:
        a, b = 2.0**power_x, 2.0**power_y
        found, scaled = solved(
            (x * a).astype(dtype), (y * b).astype(dtype), jnp.asarray(0.1 * a * b, dtype)
        )
        assert scaled.steps == state.steps and scaled.residual == state.residual
        np.testing.assert_array_equal(found["w"] * a / b, expected["w"])
        np.testing.assert_array_equal(found["b"] / b, expected["b"])


@pytest.mark.parametrize("begin", [None, 0.0])
def test_poisson_of_small_counts_meets_its_closed_form(begin):
    y = np.array([2.631007e-13, 2.953114e-09, 1.537151e-03], np.float32)
    third, mean = float(y[2]), float(y.mean())
    strength = 0.1 * (third - mean) / 3
    # w = (0, 0, v), where exp(b + v) = y₂ − 3λ and 2 exp(b) = y₀ + y₁ + 3λ.
    b = np.log((float(y[0] + y[1]) + 3 * strength) / 2)
    start = {
        "w": jnp.zeros(3, jnp.float32),
        "b": jnp.float32(np.log(mean) if begin is None else begin),
    }
    solver = jaxreg.fista(poisson, {"w": jaxreg.L1(strength), "b": None})
    params, state = solver.run(start, (jnp.eye(3, dtype=jnp.float32), y))
    assert state.converged
    np.testing.assert_allclose(params["w"], [0, 0, np.log(third - 3 * strength) - b], atol=2e-3)
    np.testing.assert_allclose(params["b"], b, atol=2e-3)


class Own(jaxreg.Penalty):
    """L1, written without its violation."""

    strength: float

    def value(self, x):
        return self.strength * jnp.sum(jnp.abs(x))

    def prox(self, x, step):
        return x - jnp.clip(x, -step * self.strength, step * self.strength)


def root(loss):
    return np.sqrt(2 * loss)


# The strength, and √(2·objective) for penalties that are flat or infinitely steep at 0.
SCALES = {
    "L1": (jaxreg.L1(0.1), lambda _: 0.1),
    "own": (Own(0.1), lambda _: 0.1),
    "elastic net": (jaxreg.ElasticNet(0.1, 3.0), lambda _: 0.1),
    "group": (jaxreg.GroupL2(0.1, axis=0), lambda _: 0.05),
    "squared L2": (jaxreg.SquaredL2(0.1), root),
    "strength 0": (jaxreg.L1(0.0), root),
    "L0": (jaxreg.L0(0.1), root),
}


@pytest.mark.parametrize("name", SCALES)
def test_what_a_residual_is_divided_by(name):
    penalty, expected = SCALES[name]
    center = jnp.array([1.0, -0.8, 0.7, 0.02])

    def loss(w, _):
        return jnp.sum((w - center) ** 2) / 2 + 1.0

    params, state = jaxreg.fista(loss, penalty).run(jnp.zeros(4))
    assert state.converged
    objective = loss(params, None) + jaxreg.penalty_value(penalty, params)
    np.testing.assert_allclose(state.scale, expected(objective), rtol=1e-6)
    if name != "own":
        residual = jaxreg.kkt_residual(penalty, params, params - center)
        np.testing.assert_allclose(state.residual, residual / state.scale, rtol=1e-6, atol=1e-15)


def test_a_penalty_of_the_user_in_small_units():
    x, y = np.float32(X[:, :4] * 2.0**-30), np.float32(Y)
    found, expected = (
        jaxreg.fista(squares, make(np.float32(0.1 * 2.0**-30)))
        .run(jnp.zeros(4, jnp.float32), (x, y))
        .params
        for make in (Own, jaxreg.L1)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert jnp.max(jnp.abs(found)) > 2**27
