"""FISTA in the forms of Optimistix and NeMoS: their runs with it against `jaxreg.fista`, finite
differences and NeMoS's own solver.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from problems import diabetes

import jaxreg
import jaxreg.nemos
from jaxreg.optimistix import Fista, ProximalAdjoint

pytestmark = pytest.mark.usefixtures("float64")
X, Y, CRITICAL = diabetes()
DATA = X, Y
START = np.zeros(10)


def squares(w, data):
    return jnp.mean((data[0] @ w - data[1]) ** 2) / 2


def minimise(fun, penalty, start, data, *, rtol=1e-10, atol=0.0, **options):
    solver = Fista(penalty, rtol=rtol, atol=atol)
    return optimistix.minimise(
        fun, solver, start, args=data, adjoint=ProximalAdjoint(), max_steps=2000, **options
    )


def test_optimistix_finds_the_solution_and_its_aux():
    def fun(params, data):
        prediction = data[0] @ params["w"] + params["b"]
        return jnp.mean((prediction - data[1]) ** 2) / 2, {"prediction": prediction}

    penalty = {"w": jaxreg.ElasticNet(0.05, 0.1), "b": None}
    start, data = {"w": jnp.zeros(10), "b": 0.0}, (X, Y + 1)
    solution = minimise(fun, penalty, start, data, has_aux=True)
    assert solution.result == optimistix.RESULTS.successful
    expected, state = jaxreg.fista(lambda w, data: fun(w, data)[0], penalty, tol=1e-10).run(
        jax.tree.map(jnp.asarray, start), data
    )
    assert solution.stats["num_steps"] <= state.steps
    assert solution.stats["residual"] <= 1e-10
    for name, array in expected.items():
        np.testing.assert_allclose(solution.value[name], array, atol=1e-8)
    np.testing.assert_allclose(
        solution.aux["prediction"], X @ solution.value["w"] + solution.value["b"]
    )
    gradient = jax.grad(lambda w: fun(w, data)[0])(solution.value)
    assert jaxreg.kkt_residual(penalty, solution.value, gradient) <= 1e-10


def test_optimistix_differentiates_the_solution():
    """By a strength, the data and what the loss closes over, in both modes and for a batch."""
    weights = jnp.cos(jnp.arange(10.0))

    def measure(solve, at):
        def fun(w, data):
            return squares(w, data) + at[2] * jnp.sum(w**2)

        return solve(fun, jaxreg.L1(jnp.exp(at[0])), START, (X, Y * at[1])) @ weights

    def theirs(at):
        return measure(lambda *args: minimise(*args).value, at)

    def ours(at):
        return measure(
            lambda fun, penalty, *rest: jaxreg.fista(fun, penalty, tol=1e-10).run(*rest).params, at
        )

    points = jnp.array([[-3.0, 1.0, 0.1], [-2.0, 2.0, 0.2]])
    value = jax.jit(jax.vmap(theirs))
    backward = jax.jit(jax.vmap(jax.grad(theirs)))(points)
    np.testing.assert_allclose(backward, jax.jit(jax.vmap(jax.grad(ours)))(points), rtol=1e-6)
    steps = 1e-5 * jnp.eye(3)
    for at, found in zip(points, backward, strict=True):
        np.testing.assert_allclose(
            found, (value(at + steps) - value(at - steps)) / 2e-5, rtol=1e-5, atol=1e-8
        )
    assert (jnp.abs(backward) > 1e-3).all()
    forward = jax.jit(lambda at: jax.jvp(theirs, (at,), (jnp.ones(3),))[1])(points[0])
    np.testing.assert_allclose(forward, backward[0].sum(), rtol=1e-6)


def test_optimistix_reports_how_a_run_ended():
    results = optimistix.RESULTS
    penalty = jaxreg.L1(0.05)
    found = minimise(squares, penalty, START, DATA, atol=1e-3)
    residual = jaxreg.kkt_residual(penalty, found.value, jax.grad(squares)(found.value, DATA))
    assert found.result == results.successful and 1e-8 < residual <= 1e-3
    broken = minimise(squares, penalty, START, (X, Y * jnp.nan), throw=False)
    assert broken.result == results.nonlinear_divergence
    solver = Fista(penalty, rtol=1e-10)
    limited = optimistix.minimise(
        squares, solver, START, DATA, adjoint=ProximalAdjoint(), max_steps=3, throw=False
    )
    assert limited.result == results.nonlinear_max_steps_reached
    assert limited.stats["num_steps"] == 3 and limited.stats["residual"] > 1e-10


def test_optimistix_cannot_differentiate_without_the_penalty():
    solver = Fista(jaxreg.L1(0.05))
    for options in ({}, {"adjoint": optimistix.RecursiveCheckpointAdjoint()}):
        with pytest.raises(TypeError, match=r"pass adjoint=jaxreg.optimistix.ProximalAdjoint"):
            optimistix.minimise(squares, solver, START, DATA, **options)
    with pytest.raises(TypeError, match=r"expected a jaxreg.optimistix.Fista as solver, got BFGS"):
        optimistix.minimise(
            squares, optimistix.BFGS(1e-5, 1e-5), START, DATA, adjoint=ProximalAdjoint()
        )


@pytest.fixture(scope="module")
def glm():
    """Fits a model of NeMoS by the solver named first."""
    nemos = pytest.importorskip("nemos")
    with jax.enable_x64(True):
        # NeMoS's own checks of a solver, with `update` and with an aux.
        nemos.solvers.register(
            "ProximalGradient",
            jaxreg.nemos.Fista,
            backend="jaxreg",
            test_ridge_without_aux=True,
            test_ridge_with_aux=True,
        )

    def fit(backend, x, y, regularizer, strength, observations="Poisson", **options):
        if regularizer == "GroupLasso":
            regularizer = nemos.regularizer.GroupLasso(mask=np.kron(np.eye(5), np.ones(2)))
        model = nemos.glm.GLM(
            observation_model=observations,
            regularizer=regularizer,
            regularizer_strength=strength,
            solver_name=f"ProximalGradient[{backend}]",
            solver_kwargs=options,
        )
        return model.fit(x, y)

    return fit


COUNTS = np.random.default_rng(0).poisson(np.exp(X[:, :3] @ [0.4, -0.3, 0.2])).astype(float)
# What NeMoS takes, and the penalty that it stands for.
REGULARIZERS = {
    "Lasso": (0.02, jaxreg.L1(0.02)),
    "ElasticNet": ((0.02, 0.5), jaxreg.ElasticNet(0.01, 0.005)),
    "GroupLasso": (0.02, jaxreg.GroupL2(0.02 * 2**0.5, axis=1)),
    "Ridge": (0.02, jaxreg.SquaredL2(0.01)),
    "UnRegularized": (None, jaxreg.SquaredL2(0.0)),
}


@pytest.mark.parametrize(
    ("observations", "regularizer"),
    [("Gaussian", "Lasso"), *(("Poisson", name) for name in REGULARIZERS)],
)
def test_nemos_meets_the_optimality_conditions(glm, observations, regularizer):
    strength, penalty = REGULARIZERS[regularizer]
    y = COUNTS if observations == "Poisson" else Y
    shape = (5, 2) if regularizer == "GroupLasso" else (10,)

    def loss(params):
        z = X @ params["w"].ravel() + params["b"]
        return jnp.mean(jnp.exp(z) - y * z if observations == "Poisson" else (z - y) ** 2)

    def measured(model):
        params = {"w": jnp.asarray(model.coef_).reshape(shape), "b": model.intercept_[0]}
        value, gradient = jax.value_and_grad(loss)(params)
        residual = jaxreg.kkt_residual({"w": penalty, "b": None}, params, gradient)
        return float(value + penalty.value(params["w"])), float(residual), params["w"]

    model = glm("jaxreg", X, y, regularizer, strength, observations, tol=1e-8)
    objective, residual, weights = measured(model)
    assert model.solver_state_.converged and residual <= 1e-7
    if regularizer in ("Lasso", "ElasticNet"):
        assert 0 < jnp.sum(weights == 0) < 10
    if observations == "Gaussian":
        return
    reference = glm("optimistix", X, y, regularizer, strength, observations, tol=1e-7, maxiter=5000)
    expected, less_exact, _ = measured(reference)
    assert objective <= expected + 1e-14 and objective == pytest.approx(expected, rel=1e-8)
    assert residual < less_exact


def test_nemos_finds_the_same_model_in_any_units(glm):
    small, usual = (
        glm("jaxreg", X * unit, COUNTS, "Lasso", 0.02 * unit, tol=1e-8) for unit in (1e-4, 1.0)
    )
    np.testing.assert_allclose(small.coef_ * 1e-4, usual.coef_, atol=1e-7)
    assert small.solver_state_.steps == usual.solver_state_.steps
    with (
        pytest.warns(UserWarning, match=r"fista: the residual is"),
        pytest.warns(RuntimeWarning, match=r"The fit did not converge"),
    ):
        limited = glm("jaxreg", X, COUNTS, "Lasso", 0.02, tol=1e-8, maxiter=3)
    assert not limited.solver_state_.converged and limited.solver_state_.steps == 3
