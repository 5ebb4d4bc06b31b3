"""Regressions under concave penalties: every optimizer ends at a stationary point, for MCP and SCAD
that of skglm.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import diabetes, minimise
from skglm import GeneralizedLinearEstimator
from skglm.datafits import Quadratic
from skglm.penalties import SCAD, LogSumPenalty, MCPenalty
from skglm.solvers import AndersonCD

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
STEPS = 20_000


def decaying(rate):
    return optax.cosine_decay_schedule(rate, STEPS)


OPTIMIZERS = {
    "sgd": functools.partial(jaxreg.prox_sgd, decaying(0.1)),
    "sgd, momentum": functools.partial(jaxreg.prox_sgd, decaying(0.02), momentum=0.9),
    "adam": functools.partial(jaxreg.prox_adam, decaying(1e-2)),
    "adamw without decay": functools.partial(jaxreg.prox_adamw, decaying(1e-2), weight_decay=0.0),
    "nadam": functools.partial(jaxreg.prox_nadam, decaying(1e-2)),
    "amsgrad": functools.partial(jaxreg.prox_amsgrad, decaying(1e-2)),
    "yogi": functools.partial(jaxreg.prox_yogi, decaying(1e-2)),
    "adabelief": functools.partial(jaxreg.prox_adabelief, decaying(1e-2)),
    "adamax": functools.partial(jaxreg.prox_adamax, decaying(1e-2)),
    "rmsprop": functools.partial(jaxreg.prox_rmsprop, decaying(1e-2)),
    "rmsprop, momentum": functools.partial(jaxreg.prox_rmsprop, decaying(1e-3), momentum=0.9),
    "adagrad": functools.partial(jaxreg.prox_adagrad, decaying(0.3)),
}
PENALTIES = {
    "LogSum": jaxreg.LogSum(0.05, 0.1),
    "steep LogSum": jaxreg.LogSum(1.0, 1e-3),
    "MCP": jaxreg.MCP(0.05),
    "SCAD": jaxreg.SCAD(0.05),
    "Bridge": jaxreg.Bridge(0.02),
    "L0": jaxreg.L0(0.003),
    "Group LogSum": jaxreg.Group(jaxreg.LogSum(0.1, 0.1), axis=1),
    "Group MCP": jaxreg.Group(jaxreg.MCP(0.1), axis=1),
    "Group Bridge": jaxreg.Group(jaxreg.Bridge(0.03), axis=1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_ends_at_a_stationary_point(optimizer):
    # One problem for each penalty, all solved at once by a tree of penalties: one program to
    # compile instead of nine.
    problems = {name: diabetes(outputs=2 if "Group" in name else 1) for name in PENALTIES}
    start = {
        name: jnp.asarray(np.linalg.lstsq(one.inputs, one.targets, rcond=None)[0])
        for name, one in problems.items()
    }

    def loss(weights):
        return sum(problems[name].loss(w) for name, w in weights.items())

    found = minimise(OPTIMIZERS[optimizer](PENALTIES), loss, start, STEPS)
    for name, penalty in PENALTIES.items():
        problem, w = problems[name], found[name]
        assert jaxreg.kkt_residual(penalty, w, jax.grad(problem.loss)(w)) < 1e-7, name
        assert problem.loss(w) + penalty.value(w) < problem.loss(start[name]) + penalty.value(
            start[name]
        ), name
        dead = np.asarray(w == 0).reshape(10, -1)
        assert 0 < dead.all(1).sum() < 10, name
        np.testing.assert_array_equal(dead.all(1), dead.any(1), err_msg=name)


def by_skglm(problem, penalty):
    """skglm's coordinate descent from 0."""
    solver = AndersonCD(tol=1e-12, max_iter=1000, max_epochs=100_000, fit_intercept=False)
    return (
        GeneralizedLinearEstimator(Quadratic(), penalty, solver)
        .fit(problem.inputs, problem.targets)
        .coef_
    )


@pytest.mark.parametrize("optimizer", [jaxreg.prox_sgd, jaxreg.prox_adam])
def test_mcp_and_scad_reach_the_point_of_skglm_from_zero(optimizer):
    problem = diabetes()
    strength = 0.05 * problem.critical
    for ours, theirs in (
        (jaxreg.MCP(strength, 3.0), MCPenalty(strength, 3.0)),
        (jaxreg.SCAD(strength, 3.7), SCAD(strength, 3.7)),
    ):
        w = minimise(
            optimizer(decaying(1e-1 if optimizer is jaxreg.prox_sgd else 1e-2), ours),
            problem.loss,
            jnp.zeros(10),
            STEPS,
        )
        solution = by_skglm(problem, theirs)
        np.testing.assert_allclose(w, solution, atol=1e-9)
        np.testing.assert_array_equal(w != 0, solution != 0)
        assert (
            jaxreg.kkt_residual(
                ours, jnp.asarray(solution), jax.grad(problem.loss)(jnp.asarray(solution))
            )
            < 1e-9
        )


def test_stationary_points_of_log_sum_are_many():
    """skglm's point and that of proximal Adam differ; the residual certifies both and a smaller
    strength neither.
    """
    problem = diabetes()
    ours = jaxreg.LogSum(0.05 * problem.critical, 0.1)
    w = minimise(jaxreg.prox_adam(decaying(1e-2), ours), problem.loss, jnp.zeros(10), STEPS)
    other = jnp.asarray(by_skglm(problem, LogSumPenalty(ours.strength * ours.scale, ours.scale)))
    for point in (w, other):
        gradient = jax.grad(problem.loss)(point)
        assert jaxreg.kkt_residual(ours, point, gradient) < 1e-9
        assert jaxreg.kkt_residual(jaxreg.LogSum(0.9 * ours.strength, 0.1), point, gradient) > 1e-4
    assert np.abs(w - other).max() > 0.05


def test_above_the_critical_strength_zero_is_stationary_and_below_it_is_not():
    problem = diabetes()
    gradient = jax.grad(problem.loss)(jnp.zeros(10))
    for make in (jaxreg.LogSum, jaxreg.MCP, jaxreg.SCAD):
        critical = float(jaxreg.critical_strength(make(1.0), gradient))
        assert critical == pytest.approx(problem.critical, rel=1e-12)
        for factor, alive in ((1.001, False), (0.99, True)):
            w = minimise(
                jaxreg.prox_adam(decaying(1e-2), make(factor * critical)),
                problem.loss,
                jnp.zeros(10),
                5000,
            )
            assert np.any(w != 0) == alive
