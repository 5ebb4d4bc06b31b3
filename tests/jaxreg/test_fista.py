"""FISTA: scikit-learn's solutions, stationary points under concave penalties, derivatives of
solutions, and wrong use.
"""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, LogisticRegression, MultiTaskLasso

import jaxreg
from jaxreg._fista import solve_linear


@pytest.fixture(autouse=True)
def _double(float64):
    """All tests compute in float64 unless their arrays are float32."""


@pytest.fixture
def diabetes():
    x, y = load_diabetes(return_X_y=True)
    return jnp.asarray(x * np.sqrt(len(y))), jnp.asarray(y - y.mean())


def squares(w, data):
    x, y = data
    return jnp.mean((x @ w - y) ** 2) / 2


def logistic(params, data):
    x, y = data
    return optax.sigmoid_binary_cross_entropy(x @ params["kernel"] + params["bias"], y).mean()


@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("strength", [20.0, 2.0, 0.1])
def test_elastic_nets_meet_scikit_learn(diabetes, strength, ratio):
    x, y = diabetes
    expected = (
        ElasticNet(alpha=strength, l1_ratio=ratio, fit_intercept=False, tol=1e-14, max_iter=10**6)
        .fit(x, y)
        .coef_
    )
    # scikit-learn halves the squares in its penalty.
    penalty = jaxreg.ElasticNet(strength * ratio, strength * (1 - ratio) / 2)
    params, state = jaxreg.fista(squares, penalty, tol=1e-9).run(jnp.zeros(10), diabetes)
    np.testing.assert_allclose(params, expected, atol=1e-7)
    np.testing.assert_array_equal(params == 0, expected == 0)
    assert state.converged
    assert (
        float(jaxreg.kkt_residual(penalty, params, jax.grad(squares)(params, diabetes)))
        <= 1e-9 * strength * ratio
    )


def test_a_logistic_model_with_a_free_intercept_meets_scikit_learn():
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    strength = 0.01
    model = LogisticRegression(
        l1_ratio=1, C=1 / (strength * len(y)), solver="saga", tol=1e-12, max_iter=100_000
    )
    model.fit(x, y)
    start = {"kernel": jnp.zeros(30), "bias": jnp.zeros([])}
    solver = jaxreg.fista(logistic, {"kernel": jaxreg.L1(strength), "bias": None}, tol=1e-10)
    params, state = solver.run(start, (jnp.asarray(x), jnp.asarray(y, float)))
    assert state.converged
    np.testing.assert_allclose(params["kernel"], model.coef_[0], atol=1e-5)
    np.testing.assert_allclose(params["bias"], model.intercept_[0], atol=1e-5)
    assert 3 < int(jnp.sum(params["kernel"] == 0)) == int(np.sum(model.coef_ == 0)) < 29


def test_groups_meet_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 12))
    y = x[:, :3] @ rng.normal(size=(3, 4)) + 0.1 * rng.normal(size=(60, 4))
    expected = (
        MultiTaskLasso(alpha=0.5, fit_intercept=False, tol=1e-14, max_iter=10**6).fit(x, y).coef_.T
    )

    def loss(w, data):
        return jnp.sum((data[0] @ w - data[1]) ** 2) / (2 * len(x))

    solver = jaxreg.fista(loss, jaxreg.GroupL2(0.5, axis=1), tol=1e-10)
    params = solver.run(jnp.zeros((12, 4)), (jnp.asarray(x), jnp.asarray(y))).params
    np.testing.assert_allclose(params, expected, atol=1e-8)


def test_acceleration_pays(diabetes):
    # Plain proximal gradient descent, with the step of FISTA's own search, needs far more steps for
    # the same residual.
    solver = jaxreg.fista(squares, jaxreg.L1(0.1), tol=1e-6)
    _, state = solver.run(jnp.zeros(10), diabetes)
    largest = np.linalg.eigvalsh(diabetes[0].T @ diabetes[0] / len(diabetes[1]))[-1]
    # The search sees the curvature along its own steps alone; beyond 2/L they would grow without
    # end.
    assert 0.5 / largest <= state.step_size <= 2 / largest

    @jax.jit
    def plain_steps():
        def residual(w):
            return jaxreg.kkt_residual(jaxreg.L1(0.1), w, jax.grad(squares)(w, diabetes))

        def step(now):
            w = now[0] - state.step_size * jax.grad(squares)(now[0], diabetes)
            return jaxreg.L1(0.1).prox(w, state.step_size), now[1] + 1

        return jax.lax.while_loop(
            lambda now: residual(now[0]) > 1e-6 * 0.1, step, (jnp.zeros(10), 0)
        )[1]

    assert int(state.steps) < int(plain_steps()) / 3


@pytest.mark.parametrize(
    "penalty", [jaxreg.LogSum(2.0, 1.0), jaxreg.MCP(2.0, 3.0), jaxreg.SCAD(2.0, 3.7)]
)
def test_concave_penalties_end_at_a_stationary_point(diabetes, penalty):
    params, state = jaxreg.fista(squares, penalty, tol=1e-8).run(jnp.zeros(10), diabetes)
    assert state.converged
    assert (
        float(jaxreg.kkt_residual(penalty, params, jax.grad(squares)(params, diabetes)))
        <= 1e-8 * penalty.strength
    )


def test_a_loop_of_ones_own(diabetes):
    solver = jaxreg.fista(squares, jaxreg.L1(2.0), tol=1e-9)
    params = jnp.zeros(10)
    state = solver.init(params, diabetes)
    update = jax.jit(solver.update)
    while not state.converged:
        params, state = update(params, state, diabetes)
        assert state.steps < 500
    solution = solver.run(jnp.zeros(10), diabetes)
    np.testing.assert_allclose(params, solution.params, atol=1e-8)
    # `run` looks at the residual every ten steps.
    assert state.steps <= solution.state.steps < state.steps + 10


def test_a_fixed_step_and_many_strengths_at_once(diabetes):
    largest = np.linalg.eigvalsh(diabetes[0].T @ diabetes[0] / len(diabetes[1]))[-1]

    def at(strength, **options):
        return (
            jaxreg.fista(squares, jaxreg.L1(strength), tol=1e-9, **options)
            .run(jnp.zeros(10), diabetes)
            .params
        )

    strengths = jnp.array([20.0, 2.0])
    together = jax.jit(jax.vmap(at))(strengths)
    np.testing.assert_allclose(
        together, [at(20.0, step_size=1 / largest), at(2.0, restart=False)], atol=1e-7
    )


def test_a_sweep_solves_for_many_strengths(diabetes):
    def fit(key, hyperparams, data):
        return (
            jaxreg.fista(squares, hyperparams["penalty"], tol=1e-9).run(jnp.zeros(10), data).params
        )

    runs = jaxreg.sweep(
        fit, jaxreg.grid(penalty=jaxreg.L1(jnp.array([2.0, 20.0]))), diabetes, progress=False
    )
    expected = jaxreg.fista(squares, jaxreg.L1(20.0), tol=1e-9).run(jnp.zeros(10), diabetes).params
    np.testing.assert_allclose(runs.outputs[1], expected, atol=1e-7)


def slope(function, at, step=1e-4):
    """Central differences."""
    return [
        (function(at.at[i].add(step)) - function(at.at[i].add(-step))) / (2 * step)
        for i in range(at.size)
    ]


@pytest.mark.parametrize(
    "penalty",
    [
        lambda log: jaxreg.ElasticNet(jnp.exp(log[0]), jnp.exp(log[1])),
        lambda log: jaxreg.GroupL2(jnp.exp(log[0]), axis=0),
        lambda log: jaxreg.MCP(jnp.exp(log[0]), 3.0),
        lambda log: {"a": jaxreg.L1(jnp.exp(log[0])), "b": jaxreg.SquaredL2(jnp.exp(log[1]))},
    ],
    ids=["elastic net", "group", "MCP", "tree"],
)
def test_solutions_can_be_differentiated(diabetes, penalty):
    x, y = diabetes
    tree = isinstance(penalty(jnp.zeros(2)), dict)
    start = {"a": jnp.zeros(6), "b": jnp.zeros(4)} if tree else jnp.zeros(10)

    def loss(params, data):
        return squares(jnp.concatenate([params["a"], params["b"]]) if tree else params, data)

    @jax.jit
    def held_out(log):
        solver = jaxreg.fista(loss, penalty(log), tol=1e-11, max_steps=100_000)
        return loss(solver.run(start, (x[:300], y[:300])).params, (x[300:], y[300:]))

    at = jnp.log(jnp.array([2.0, 0.05]))
    expected = slope(held_out, at)
    assert abs(expected[0]) > 0.1
    for derivative in (jax.grad(held_out), jax.jacfwd(held_out)):
        np.testing.assert_allclose(derivative(at), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "dtype", [jnp.float64, jnp.float32], ids=["float64", "an intercept of float32"]
)
@pytest.mark.parametrize("mask", [None, {"w": True, "b": False}], ids=["tree", "mask"])
def test_a_parameter_without_a_penalty_has_derivatives_too(diabetes, mask, dtype):
    x, y = diabetes

    def loss(params, data):
        return squares(params["w"], (data[0], data[1] - 3 - params["b"]))

    def held_out(log, dtype=jnp.float64):
        own = jaxreg.L1(jnp.exp(log[0]))
        tol = 1e-10 if dtype is jnp.float64 else 1e-3
        solver = jaxreg.fista(loss, own if mask else {"w": own, "b": None}, tol=tol, mask=mask)
        start = {"w": jnp.zeros(10), "b": jnp.zeros([], dtype)}
        return loss(solver.run(start, (x[:300] + 1, y[:300])).params, (x[300:] + 1, y[300:]))

    at, bound = jnp.log(jnp.array([2.0])), 1e-5 if dtype is jnp.float64 else 1e-2
    expected = slope(held_out, at)
    for derivative in (jax.grad(held_out), jax.jacrev(held_out), jax.jacfwd(held_out)):
        np.testing.assert_allclose(derivative(at, dtype), expected, rtol=bound)


def test_derivatives_with_respect_to_the_data(diabetes):
    x, y = diabetes

    @jax.jit
    def first(targets):
        solution = jaxreg.fista(squares, jaxreg.L1(2.0), tol=1e-11).run(
            jnp.zeros(10), (x[:60], targets)
        )
        return solution.params[2] * solution.params[8]

    found = jax.grad(first)(y[:60])
    np.testing.assert_allclose(
        found[:3], slope(lambda some: first(y[:60].at[:3].set(some)), y[:3]), rtol=1e-5, atol=1e-7
    )


def test_derivatives_with_respect_to_what_the_loss_closes_over():
    @jax.jit
    def sum_of(center):
        return (
            jaxreg.fista(lambda w, _: jnp.sum((w - center) ** 2) / 2, jaxreg.L1(0.1))
            .run(jnp.zeros(2))
            .params.sum()
        )

    for compiled in (jax.grad(sum_of), jax.grad(sum_of.__wrapped__)):
        assert compiled(1.0) == pytest.approx(2)
        assert compiled(0.05) == 0


def test_lambda_by_its_own_gradient_is_as_good_as_a_grid(diabetes):
    x, y = diabetes
    train, held_out = (x[:200], y[:200]), (x[200:], y[200:])

    @jax.jit
    @jax.value_and_grad
    def validation_loss(log):
        penalty = jaxreg.ElasticNet(jnp.exp(log[0]), jnp.exp(log[1]))
        return squares(
            jaxreg.fista(squares, penalty, tol=1e-8).run(jnp.zeros(10), train).params, held_out
        )

    log, optimizer = jnp.log(jnp.array([1.0, 0.1])), optax.adam(0.1)
    state = optimizer.init(log)
    for _ in range(100):
        loss, gradient = validation_loss(log)
        updates, state = optimizer.update(gradient, state)
        log = optax.apply_updates(log, updates)
    axes = jnp.linspace(-5, 4, 13)
    grid = jnp.stack(jnp.meshgrid(axes, axes), -1).reshape(-1, 2)
    best = float(jnp.min(jax.lax.map(lambda log: validation_loss(log)[0], grid)))
    assert float(loss) <= best + 1e-3 * abs(best)


def test_what_did_not_converge_is_said(diabetes):
    with pytest.warns(
        UserWarning,
        match=r"fista: the residual is .* after 3 steps, above tol=1e-05; pass a larger max_steps",
    ):
        state = (
            jaxreg.fista(squares, jaxreg.L1(0.1), max_steps=3).run(jnp.zeros(10), diabetes).state
        )
    assert not state.converged
    assert int(state.steps) == 3
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), diabetes)
    with pytest.warns(
        UserWarning, match=r"float32 resolves about .* here, so pass a larger tol, or use float64"
    ):
        state = (
            jaxreg.fista(squares, jaxreg.L1(0.1), tol=1e-12, max_steps=500)
            .run(jnp.zeros(10, jnp.float32), single)
            .state
        )
    assert state.residual < 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jaxreg.fista(squares, jaxreg.L1(0.1), tol=1e-2).run(jnp.zeros(10, jnp.float32), single)


UNHASHABLE = type(
    "Unhashable", (), {"__hash__": None, "__call__": lambda _, w, data: squares(w, data)}
)()


@pytest.mark.parametrize(
    ("fun", "options", "message"),
    [
        (squares, {"tol": 0.0}, "tol must be greater than 0"),
        (squares, {"step_size": 0.0}, "step_size must be greater than 0"),
        (squares, {"max_steps": 0}, "max_steps must be a whole number of at least 1, got 0"),
        (squares, {"penalty": 0.1}, "expected a penalty such as jaxreg.L1"),
        (
            squares,
            {"penalty": jaxreg.L1(optax.constant_schedule(0.1))},
            "got a schedule; evaluate it by penalty.at",
        ),
        (squares, {"mask": jaxreg.kernels}, "the mask selects none of the parameters"),
        (
            squares,
            {"start": jnp.zeros(10, jnp.bfloat16)},
            "expected parameters in float32 or float64, got bfloat16",
        ),
        (lambda w, data: data[0] @ w, {}, r"fun\(params, data\) must return a scalar, got .*442"),
        (
            lambda w, data: squares(w, data) * jnp.nan,
            {},
            "NaN or infinite after 0 steps; check the data for NaN",
        ),
        (
            lambda w, data: -jnp.sum(jnp.exp(w)),
            {},
            "NaN or infinite after .* steps; .* bounded from below",
        ),
        (
            squares,
            {"step_size": 1e9},
            "NaN or infinite .*, whether step_size=1e\\+09 is too large, and",
        ),
        ("loss", {}, "fun must be a function of params and data, got 'loss'"),
        (
            UNHASHABLE,
            {},
            r"fun must be hashable, .* wrap it once in a function, def loss\(params, data\)",
        ),
        (squares, {"start": {}}, "expected parameters, got a tree without arrays, {}"),
    ],
)
def test_wrong_use(diabetes, fun, options, message):
    penalty, start = options.pop("penalty", jaxreg.L1(0.1)), options.pop("start", jnp.zeros(10))
    with pytest.raises((ValueError, TypeError), match=r"fista: .*" + message):
        jaxreg.fista(fun, penalty, **options).run(start, diabetes)


def test_one_trace_for_many_strengths(diabetes):
    traces = []

    @functools.wraps(squares)
    def counted(w, data):
        traces.append(1)
        return squares(w, data)

    for strength in (1.0, 2.0):
        jaxreg.fista(counted, jaxreg.L1(strength)).run(jnp.zeros(10), diabetes)
        after = len(traces)
        traces.clear()
    # JAX remembers every trace of the loss, so that the second strength needs none.
    assert after == 0


def test_a_derivative_that_cannot_be_computed_is_nan():
    singular = jnp.array([1.0, 0.0])
    assert jnp.isnan(solve_linear(1e-15, lambda v: singular * v, jnp.ones(2))).all()
    np.testing.assert_allclose(solve_linear(1e-15, lambda v: singular * v, singular), singular)


@pytest.mark.parametrize("fun", [lambda w, data: -jnp.sum(w), lambda w, data: -jnp.sum(w**2)])
def test_parameters_that_grow_without_end_are_named(fun):
    with pytest.warns(
        UserWarning, match="parameters have grown to .*, so look whether the loss is bounded"
    ) as said:
        assert not jaxreg.fista(fun, jaxreg.L1(0.1)).run(jnp.ones(6)).state.converged
    assert said[0].filename == __file__
