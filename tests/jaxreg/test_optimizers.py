"""One λ, one answer: every proximal optimizer against solutions that scikit-learn and NumPy
compute.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import diabetes, elastic_net, group_lasso, minimise

import jaxreg
from jaxreg import preconditioners

decay = optax.exponential_decay

# Learning rates are those at which the smooth part converges in 20,000 full-batch steps.
OPTIMIZERS = {
    "sgd": lambda penalty: jaxreg.prox_sgd(0.1, penalty),
    "sgd, momentum": lambda penalty: jaxreg.prox_sgd(0.02, penalty, momentum=0.9),
    "sgd, nesterov": lambda penalty: jaxreg.prox_sgd(0.02, penalty, momentum=0.9, nesterov=True),
    "adam": lambda penalty: jaxreg.prox_adam(1e-2, penalty),
    "adam, eps_root": lambda penalty: jaxreg.prox_adam(1e-2, penalty, eps=1e-3, eps_root=1e-4),
    "adamw without decay": lambda penalty: jaxreg.prox_adamw(1e-2, penalty, weight_decay=0.0),
    "nadam": lambda penalty: jaxreg.prox_nadam(1e-2, penalty),
    "amsgrad": lambda penalty: jaxreg.prox_amsgrad(1e-2, penalty),
    "yogi": lambda penalty: jaxreg.prox_yogi(1e-2, penalty),
    # With full batches AdaBelief's variance goes to 0: without the floor under D only a rate that
    # decays comes to rest.
    "adabelief": lambda penalty: jaxreg.prox_adabelief(1e-2, penalty),
    "adabelief, no floor": lambda penalty: jaxreg.prox_adabelief(
        optax.cosine_decay_schedule(1e-2, 20_000), penalty, max_shrink=None
    ),
    "adabelief, eps": lambda penalty: jaxreg.prox_adabelief(1e-2, penalty, eps=1e-3),
    "adamax": lambda penalty: jaxreg.prox_adamax(1e-2, penalty),
    "rmsprop": lambda penalty: jaxreg.prox_rmsprop(1e-3, penalty),
    "rmsprop, eps outside": lambda penalty: jaxreg.prox_rmsprop(
        1e-3, penalty, eps_in_sqrt=False, bias_correction=True
    ),
    "rmsprop, momentum": lambda penalty: jaxreg.prox_rmsprop(1e-3, penalty, momentum=0.9),
    # The centered variance goes to 0 as well, and without the floor the effective step to lr/√eps.
    "rmsprop, centered": lambda penalty: jaxreg.prox_rmsprop(1e-3, penalty, centered=True),
    "rmsprop, centered, no floor": lambda penalty: jaxreg.prox_rmsprop(
        decay(1e-3, 200, 0.9), penalty, eps=1e-4, centered=True, max_shrink=None
    ),
    "adam, no floor": lambda penalty: jaxreg.prox_adam(1e-2, penalty, max_shrink=None),
    "adagrad": lambda penalty: jaxreg.prox_adagrad(0.1, penalty),
    "a schedule": lambda penalty: jaxreg.prox_adam(
        optax.linear_schedule(1e-2, 1e-3, 10_000), penalty
    ),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
pytestmark = pytest.mark.usefixtures("float64")


def lasso(strength):
    problem = diabetes()
    return elastic_net(problem.inputs, problem.targets, strength)


@every_optimizer
def test_l1_reaches_the_lasso(name):
    problem = diabetes()
    penalty = jaxreg.L1(0.05 * problem.critical)
    w = minimise(OPTIMIZERS[name](penalty), problem.loss, jnp.zeros(10))
    solution = lasso(penalty.strength)
    np.testing.assert_allclose(w, solution, atol=1e-8)
    np.testing.assert_array_equal(w != 0, solution != 0)
    assert 0 < np.sum(solution != 0) < 10
    assert jaxreg.kkt_residual(penalty, w, jax.grad(problem.loss)(w)) < 1e-8


@every_optimizer
def test_elastic_net_reaches_scikit_learn(name):
    problem = diabetes()
    alpha, ratio = 0.2 * problem.critical, 0.3
    penalty = jaxreg.ElasticNet(alpha * ratio, alpha * (1 - ratio) / 2)
    w = minimise(OPTIMIZERS[name](penalty), problem.loss, jnp.zeros(10))
    solution = elastic_net(
        problem.inputs, problem.targets, penalty.l1_strength, penalty.l2_strength
    )
    np.testing.assert_allclose(w, solution, atol=1e-8)
    np.testing.assert_array_equal(w != 0, solution != 0)
    assert jaxreg.kkt_residual(penalty, w, jax.grad(problem.loss)(w)) < 1e-8


@every_optimizer
def test_squared_l2_reaches_ridge(name):
    problem = diabetes()
    n = len(problem.inputs)
    penalty = jaxreg.SquaredL2(0.1)
    w = minimise(OPTIMIZERS[name](penalty), problem.loss, jnp.zeros(10))
    normal = problem.inputs.T @ problem.inputs / n + 2 * 0.1 * np.eye(10)
    np.testing.assert_allclose(
        w, np.linalg.solve(normal, problem.inputs.T @ problem.targets / n), atol=1e-8
    )


@every_optimizer
def test_group_lasso_is_optimal_and_matches_scikit_learn(name):
    problem = diabetes(outputs=2)
    gradient = jax.grad(problem.loss)(jnp.zeros((10, 2)))
    strength = 0.1 * float(jaxreg.critical_strength(jaxreg.GroupL2(1.0, axis=1), gradient))
    penalty = jaxreg.GroupL2(strength, axis=1)
    w = minimise(OPTIMIZERS[name](penalty), problem.loss, jnp.zeros((10, 2)))
    assert jaxreg.kkt_residual(penalty, w, jax.grad(problem.loss)(w)) < 1e-8
    # Groups of an input's weights to all outputs are scikit-learn's multi-task lasso.
    np.testing.assert_allclose(w, group_lasso(problem.inputs, problem.targets, strength), atol=1e-7)
    assert 0 < jaxreg.sparsity(w).leaves["(the only leaf)"].dead_inputs < 10


def test_above_the_critical_strength_everything_is_zero():
    problem = diabetes()
    critical = float(
        jaxreg.critical_strength(jaxreg.L1(1.0), jax.grad(problem.loss)(jnp.zeros(10)))
    )
    assert critical == pytest.approx(problem.critical, rel=1e-12)
    for factor, alive in ((1.001, 0), (0.99, 1)):
        w = minimise(
            jaxreg.prox_adam(1e-2, jaxreg.L1(factor * critical)), problem.loss, jnp.zeros(10)
        )
        assert np.sum(w != 0) == alive


def test_the_plain_threshold_after_momentum_solves_for_a_tenth_of_the_strength():
    problem = diabetes()
    strength = 0.05 * problem.critical
    naive = optax.chain(optax.sgd(0.02, momentum=0.9), jaxreg.prox_l1(strength, step_size=0.02))
    w = minimise(naive, problem.loss, jnp.zeros(10))
    np.testing.assert_allclose(w, lasso(0.1 * strength), atol=1e-8)
    assert np.abs(w - lasso(strength)).max() == pytest.approx(0.14, abs=0.005)
    assert np.sum(w != 0) == 10 and np.sum(lasso(strength) != 0) == 7


def test_the_plain_threshold_after_adam_has_no_zeros():
    problem = diabetes()
    strength = 0.05 * problem.critical
    naive = optax.chain(optax.adam(1e-2), jaxreg.prox_l1(strength, step_size=1e-2))
    w = minimise(naive, problem.loss, jnp.zeros(10))
    assert np.sum(w != 0) == 10
    assert np.abs(w - lasso(strength)).max() == pytest.approx(0.46, abs=0.005)


def test_decay_in_prox_adamw_is_the_fixed_point_that_its_docstring_names():
    problem = diabetes()
    strength, weight_decay = 0.05 * problem.critical, 0.1
    tx = jaxreg.prox_adamw(1e-2, jaxreg.L1(strength), weight_decay=weight_decay)
    w = minimise(tx, problem.loss, jnp.zeros(10))
    gradient = np.asarray(jax.grad(problem.loss)(w))
    slope = gradient + weight_decay * np.asarray(w) * (
        np.abs(gradient) + 1e-8
    )  # D tends to |gradient| + eps
    assert np.max(jaxreg.L1(strength).violation(w, slope)) < 1e-8


def test_proximal_composes_with_chains_and_masked_directions():
    problem = diabetes()
    penalty = jaxreg.L1(0.05 * problem.critical)
    solution = lasso(penalty.strength)
    decayed = optax.chain(optax.scale_by_adam(b2=0.99), optax.add_decayed_weights(0.0))
    tx = jaxreg.proximal(
        decayed, penalty, 1e-2, preconditioners.adam(b2=0.99), clip=optax.clip_by_global_norm(1.0)
    )
    np.testing.assert_allclose(minimise(tx, problem.loss, jnp.zeros(10)), solution, atol=1e-8)

    # A weight that the mask keeps from Adam follows plain gradients, and its D is 1.
    halves = {"adam": jnp.zeros(5), "sgd": jnp.zeros(5)}
    masked = optax.masked(optax.scale_by_adam(), {"adam": True, "sgd": False})
    tx = jaxreg.proximal(masked, penalty, 1e-2, preconditioners.adam())
    w = minimise(
        tx, lambda half: problem.loss(jnp.concatenate([half["adam"], half["sgd"]])), halves, 60_000
    )
    np.testing.assert_allclose(np.concatenate([w["adam"], w["sgd"]]), solution, atol=1e-8)


# Each with optax's own optimizer; the steps of a penalty of strength 0 must be the same.
PAIRS = {
    "sgd": (jaxreg.prox_sgd, optax.sgd, {}),
    "sgd, nesterov": (jaxreg.prox_sgd, optax.sgd, {"momentum": 0.9, "nesterov": True}),
    "adam": (jaxreg.prox_adam, optax.adam, {}),
    "adamw": (jaxreg.prox_adamw, optax.adamw, {"weight_decay": 0.1}),
    "nadam": (jaxreg.prox_nadam, optax.nadam, {}),
    "amsgrad": (jaxreg.prox_amsgrad, optax.amsgrad, {}),
    "yogi": (jaxreg.prox_yogi, optax.yogi, {}),
    "adabelief": (jaxreg.prox_adabelief, optax.adabelief, {}),
    "adamax": (jaxreg.prox_adamax, optax.adamax, {}),
    "rmsprop": (jaxreg.prox_rmsprop, optax.rmsprop, {}),
    "rmsprop, all on": (
        jaxreg.prox_rmsprop,
        optax.rmsprop,
        {
            "centered": True,
            "momentum": 0.9,
            "nesterov": True,
            "bias_correction": True,
            "eps_in_sqrt": False,
            "eps": 1e-3,
        },
    ),
    "adagrad": (jaxreg.prox_adagrad, optax.adagrad, {}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_without_a_penalty_each_is_optax(name):
    ours, theirs, options = PAIRS[name]
    problem = diabetes()
    start = jnp.linspace(-1, 1, 10)
    plain = minimise(theirs(1e-2, **options), problem.loss, start, steps=200)
    w = minimise(ours(1e-2, jaxreg.L1(0.0), **options), problem.loss, start, steps=200)
    np.testing.assert_allclose(w, plain, rtol=1e-9, atol=1e-12)
    # So must those of a leaf that the mask leaves out.
    mask = {"spared": False, "charged": True}
    both = {"spared": start, "charged": jnp.ones(1)}
    tx = ours(1e-2, jaxreg.L1(1.0), mask=mask, **options)
    w = minimise(tx, lambda w: problem.loss(w["spared"]) + jnp.sum(w["charged"]), both, steps=200)
    np.testing.assert_allclose(w["spared"], plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_defaults_are_optax_own(name):
    ours, theirs, _ = PAIRS[name]
    mine = {k: p.default for k, p in inspect.signature(ours).parameters.items()}
    for key, parameter in inspect.signature(theirs).parameters.items():
        if key not in ("nesterov", "mask"):  # nadam fixes the one; the other is the penalty's here
            assert mine[key] == parameter.default, key
