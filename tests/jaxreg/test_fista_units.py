"""The tolerance of FISTA has no units: scaled features and targets give scaled solutions, after as
many steps.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import Lasso

import jaxreg


@pytest.fixture(autouse=True)
def _double(float64):
    """All tests compute in float64 unless their arrays are float32."""


def predicted(params, x):
    return x @ params["w"] + params.get("b", 0.0)


def squares(params, data):
    return jnp.mean((predicted(params, data[0]) - data[1]) ** 2) / 2


def poisson(params, data):
    z = predicted(params, data[0])
    return jnp.mean(jnp.exp(z) - data[1] * z)


def logistic(params, data):
    return optax.sigmoid_binary_cross_entropy(predicted(params, data[0]), data[1]).mean()


def regression(rows=50, columns=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)) + 0.5
    return x, x[:, 0] - x[:, 1] + 2 + 0.3 * rng.normal(size=rows)


TARGETS = {
    squares: lambda y: y,
    poisson: lambda y: np.floor(np.exp(y / 2)),
    logistic: lambda y: np.where(y > 2, 1.0, 0.0),
}
POWERS = [(-20, 0), (15, 0), (0, -12), (-20, 10)]
"""Powers of two, which change no digit: of the features and of the targets."""


@pytest.mark.parametrize(
    ("loss", "dtype", "intercept"),
    [
        (squares, jnp.float32, False),
        (squares, jnp.float32, True),
        (squares, jnp.float64, True),
        (poisson, jnp.float32, True),
        (logistic, jnp.float64, True),
    ],
)
def test_scaled_data_give_the_scaled_path_of_iterates(loss, dtype, intercept):
    x, y = regression()
    start = {"w": jnp.zeros(4, dtype)} | ({"b": jnp.zeros([], dtype)} if intercept else {})

    def solve(a, b):
        penalty = {"w": jaxreg.L1(0.1 * a * b)} | ({"b": None} if intercept else {})
        data = jnp.asarray(x * a, dtype), jnp.asarray(TARGETS[loss](y) * b, dtype)
        params, state = jaxreg.fista(loss, penalty).run(start, data)
        assert state.converged
        return {"w": params["w"] * a / b} | ({"b": params["b"] / b} if intercept else {}), state

    expected, state = solve(1.0, 1.0)
    assert jnp.any(expected["w"] != 0)
    assert state.steps > 0
    for a, b in POWERS if loss is squares else POWERS[:2]:
        found, scaled = solve(2.0**a, 2.0**b)
        assert scaled.steps == state.steps
        assert scaled.residual == state.residual
        jax.tree.map(np.testing.assert_array_equal, found, expected)


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


SCALES = {
    "L1": (jaxreg.L1, lambda _: 0.1),
    "own": (Own, lambda _: 0.1),
    "elastic net": (lambda strength: jaxreg.ElasticNet(strength, 3.0), lambda _: 0.1),
    "group": (lambda strength: jaxreg.GroupL2(strength, axis=0), lambda _: 0.05),
    "MCP": (lambda strength: jaxreg.MCP(strength, 3.0), lambda _: 0.1),
    "squared L2": (jaxreg.SquaredL2, lambda loss: np.sqrt(2 * loss)),
    "strength 0": (lambda _: jaxreg.L1(0.0), lambda loss: np.sqrt(2 * loss)),
    "L0": (jaxreg.L0, lambda loss: np.sqrt(2 * loss)),
}


@pytest.mark.parametrize("name", SCALES)
def test_what_a_residual_is_divided_by(name):
    make, expected = SCALES[name]
    center = jnp.array([1.0, -0.8, 0.7, 0.02])

    def loss(w, _):
        return jnp.sum((w - center) ** 2) / 2 + 1.0

    penalty = make(0.1)
    params, state = jaxreg.fista(loss, penalty).run(jnp.zeros(4))
    assert state.converged
    objective = loss(params, None) + jaxreg.penalty_value(penalty, params)
    np.testing.assert_allclose(state.scale, expected(objective), rtol=1e-6)
    if name != "own":
        residual = jaxreg.kkt_residual(penalty, params, params - center)
        np.testing.assert_allclose(state.residual, residual / state.scale, rtol=1e-6, atol=1e-15)


def test_a_penalty_of_ones_own_in_small_units():
    x, y = (jnp.asarray(array, jnp.float32) for array in regression())
    x *= 2.0**-30
    found, expected = (
        jaxreg.fista(squares, {"w": make(0.1 * 2.0**-30)})
        .run({"w": jnp.zeros(4, jnp.float32)}, (x, y))
        .params["w"]
        for make in (Own, jaxreg.L1)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert jnp.max(jnp.abs(found)) > 2**29


def test_factors_of_weights_are_the_units_of_columns():
    x, y = regression(80, 6)
    factors = np.array([0.5, 1.0, 2.0, 4.0, 0.25, 0.0])
    penalty = jaxreg.Weighted(jaxreg.L1(0.3), factors)
    found = (
        jaxreg.fista(squares, {"w": penalty}, tol=1e-10)
        .run({"w": jnp.zeros(6)}, (x, y))
        .params["w"]
    )
    # What the column without a penalty explains is taken out of the others and of y.
    free, others = x[:, 5], x[:, :5] / factors[:5]
    taken = [
        array - np.outer(free, free @ array / (free @ free)).reshape(array.shape)
        for array in (others, y)
    ]
    expected = (
        Lasso(alpha=0.3, fit_intercept=False, tol=1e-12, max_iter=10**5).fit(*taken).coef_
        / factors[:5]
    )
    np.testing.assert_allclose(found[:5], expected, atol=1e-6)
    np.testing.assert_allclose(
        found[5], free @ (y - x[:, :5] @ expected) / (free @ free), atol=1e-6
    )
    assert 0 < np.sum(expected == 0) < 5


def test_derivatives_with_respect_to_factors_and_their_strength():
    x, y = regression(80, 6)

    @jax.jit
    def held_out(both):
        penalty = jaxreg.Weighted(jaxreg.L1(both[0]), both[1:])
        params = (
            jaxreg.fista(squares, {"w": penalty}, tol=1e-11)
            .run({"w": jnp.zeros(6)}, (x[:60], y[:60]))
            .params
        )
        return squares(params, (x[60:], y[60:]))

    at = jnp.array([0.1, 0.5, 1.0, 2.0, 4.0, 0.25, 1.0])
    step = 1e-5
    expected = [
        (held_out(at.at[i].add(step)) - held_out(at.at[i].add(-step))) / (2 * step)
        for i in range(7)
    ]
    assert np.count_nonzero(np.abs(expected) > 1e-3) > 3
    np.testing.assert_allclose(jax.grad(held_out)(at), expected, rtol=1e-5, atol=1e-7)
