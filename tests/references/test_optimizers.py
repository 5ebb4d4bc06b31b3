"""One λ, one answer: every optimizer against solutions of scikit-learn, NumPy and skglm."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from problems import UNCORRELATED, assert_optimal, diabetes, elastic_net, group_lasso, minimise
from skglm import GeneralizedLinearEstimator
from skglm.datafits import Quadratic
from skglm.penalties import SCAD, MCPenalty
from skglm.solvers import AndersonCD

import jaxreg
from jaxreg import preconditioners

pytestmark = pytest.mark.usefixtures("float64")
STEPS = 6000
CRITICAL = diabetes(1, UNCORRELATED).critical
STRENGTH = 0.05 * CRITICAL
FACTORS = np.array([1.0, 1, 1, 1, 3, 3, 3])


def decaying(rate):
    return optax.cosine_decay_schedule(rate, STEPS)


def partly_adam(penalty):
    """What the mask keeps from Adam follows plain gradients, and its D is 1."""
    masked = optax.masked(optax.scale_by_adam(), {name: name != "elastic net" for name in CONVEX})
    return jaxreg.proximal(masked, penalty, 3e-2, preconditioners.adam())


def plateau(penalty):
    direction = optax.chain(
        optax.scale_by_adam(), optax.contrib.reduce_on_plateau(factor=0.7, patience=200, rtol=1e-9)
    )
    return jaxreg.proximal(
        direction,
        penalty,
        1e-2,
        preconditioners.product(preconditioners.adam(), preconditioners.plateau()),
    )


OPTIMIZERS = {
    "sgd": functools.partial(jaxreg.prox_sgd, 0.1),
    "sgd, nesterov": functools.partial(jaxreg.prox_sgd, 0.02, momentum=0.9, nesterov=True),
    "sgd, clip of single gradients": functools.partial(
        jaxreg.prox_sgd, 0.02, momentum=0.9, clip=optax.clip(0.5 * STRENGTH)
    ),
    "sgd, clip by the norms of weights": functools.partial(
        jaxreg.prox_sgd, 0.1, clip=optax.adaptive_grad_clip(0.05)
    ),
    "adam": functools.partial(jaxreg.prox_adam, 1e-2),
    "adam, eps_root": functools.partial(jaxreg.prox_adam, 1e-2, eps=1e-3, eps_root=1e-4),
    "adam, no floor": functools.partial(jaxreg.prox_adam, 1e-2, max_shrink=None),
    "adam, clip of the global norm": functools.partial(
        jaxreg.prox_adam, 1e-2, clip=optax.chain(optax.clip(1.0), optax.clip_by_global_norm(0.05))
    ),
    "adam, a schedule": functools.partial(
        jaxreg.prox_adam, optax.linear_schedule(1e-2, 1e-3, STEPS)
    ),
    "adam, a part": partly_adam,
    "adam, plateau": plateau,
    "nadam": functools.partial(jaxreg.prox_nadam, 1e-2),
    "amsgrad": functools.partial(jaxreg.prox_amsgrad, 1e-2),
    "yogi": functools.partial(jaxreg.prox_yogi, 1e-2),
    # With full batches AdaBelief's variance goes to 0: without the floor under D only a rate that
    # decays comes to rest.
    "adabelief": functools.partial(jaxreg.prox_adabelief, 1e-2),
    "adabelief, no floor": functools.partial(
        jaxreg.prox_adabelief, decaying(1e-2), max_shrink=None
    ),
    "adamax": functools.partial(jaxreg.prox_adamax, 1e-2),
    "rmsprop, eps outside": functools.partial(
        jaxreg.prox_rmsprop, 1e-3, eps_in_sqrt=False, bias_correction=True
    ),
    "rmsprop, momentum": functools.partial(jaxreg.prox_rmsprop, 1e-3, momentum=0.9),
    "rmsprop, centered": functools.partial(jaxreg.prox_rmsprop, 1e-3, centered=True),
    "adagrad": functools.partial(jaxreg.prox_adagrad, 0.1),
    "adadelta": lambda penalty: jaxreg.proximal(
        optax.scale_by_adadelta(eps=0.01), penalty, 0.2, preconditioners.adadelta(0.01)
    ),
    "novograd": lambda penalty: jaxreg.proximal(
        optax.scale_by_novograd(), penalty, 2e-3, preconditioners.novograd()
    ),
}
CONVEX = {
    "lasso": jaxreg.L1(STRENGTH),
    "elastic net": jaxreg.ElasticNet(STRENGTH, 0.1),
    "ridge": jaxreg.SquaredL2(0.1),
    "weighted lasso": jaxreg.Weighted(jaxreg.L1(STRENGTH), FACTORS),
    "group lasso": jaxreg.GroupL2(STRENGTH, axis=1),
}


def problem_of(name):
    return diabetes(2 if "roup" in name else 1, UNCORRELATED)


def loss(weights):
    return sum(problem_of(name).loss(w) for name, w in weights.items())


@functools.cache
def solutions():
    x, y, _ = diabetes(1, UNCORRELATED)
    ridge = np.linalg.solve(x.T @ x / len(x) + 0.2 * np.eye(7), x.T @ y / len(x))
    return {
        "lasso": elastic_net(x, y, STRENGTH),
        "elastic net": elastic_net(x, y, STRENGTH, 0.1),
        "ridge": ridge,
        # A factor f is the lasso of columns divided by f, with weights multiplied by f.
        "weighted lasso": elastic_net(x / FACTORS, y, STRENGTH) / FACTORS,
        "group lasso": group_lasso(x, diabetes(2, UNCORRELATED).targets, STRENGTH),
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_penalty_reaches_its_solution(name):
    start = jax.tree.map(jnp.zeros_like, solutions())
    tx = OPTIMIZERS[name](CONVEX)
    found = minimise(tx, loss, start, STEPS)
    gradient = jax.grad(loss)(found)
    for penalty, expected in solutions().items():
        np.testing.assert_allclose(found[penalty], expected, atol=1e-8, err_msg=penalty)
        np.testing.assert_array_equal(found[penalty] != 0, expected != 0, err_msg=penalty)
        assert jaxreg.kkt_residual(CONVEX[penalty], found[penalty], gradient[penalty]) < 1e-8
        assert ("lasso" in penalty) == (
            0 < np.sum(expected == 0) < expected.size
        ) or penalty == "elastic net"
    if "clip" in name:
        clip = inspect.signature(OPTIMIZERS[name]).parameters["clip"].default
        clipped, _ = clip.update(gradient, clip.init(found), found)
        assert optax.tree.norm(clipped) < 0.95 * optax.tree.norm(gradient), "the clip is not active"


def test_the_references_refuse_a_wrong_support():
    x, y, _ = diabetes(1, UNCORRELATED)
    w = solutions()["lasso"].copy()
    w[np.flatnonzero(w)[0]] = 0
    with pytest.raises(AssertionError):
        assert_optimal(w[:, None], (x.T @ (x @ w - y) / len(x))[:, None], STRENGTH)


CONCAVE = {
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


@pytest.mark.parametrize(
    "tx",
    [
        jaxreg.prox_sgd(decaying(0.02), CONCAVE, momentum=0.9),
        jaxreg.prox_adam(decaying(3e-2), CONCAVE),
        jaxreg.prox_rmsprop(decaying(3e-2), CONCAVE),
        jaxreg.prox_adagrad(decaying(0.3), CONCAVE),
    ],
    ids=["sgd", "adam", "rmsprop", "adagrad"],
)
def test_concave_penalties_end_at_a_better_stationary_point(tx):
    start = {
        name: jnp.asarray(
            np.linalg.lstsq(problem_of(name).inputs, problem_of(name).targets, rcond=None)[0]
        )
        for name in CONCAVE
    }
    found = minimise(tx, loss, start, STEPS)
    for name, penalty in CONCAVE.items():
        w, own = found[name], problem_of(name).loss
        assert jaxreg.kkt_residual(penalty, w, jax.grad(own)(w)) < 1e-7, name
        assert own(w) + penalty.value(w) < own(start[name]) + penalty.value(start[name]), name
        dead = np.asarray(w == 0).reshape(7, -1)
        assert 0 < dead.all(1).sum() < 7 and (dead.all(1) == dead.any(1)).all(), name


def test_mcp_and_scad_reach_the_point_of_skglm_from_zero():
    problem = diabetes(1, UNCORRELATED)
    ours = {"MCP": jaxreg.MCP(STRENGTH, 3.0), "SCAD": jaxreg.SCAD(STRENGTH, 3.7)}
    theirs = {"MCP": MCPenalty(STRENGTH, 3.0), "SCAD": SCAD(STRENGTH, 3.7)}
    start = dict.fromkeys(ours, jnp.zeros(7))
    found = minimise(jaxreg.prox_sgd(decaying(0.1), ours), loss, start, STEPS)
    for name, penalty in theirs.items():
        solver = AndersonCD(tol=1e-12, max_iter=1000, max_epochs=100_000, fit_intercept=False)
        model = GeneralizedLinearEstimator(Quadratic(), penalty, solver).fit(
            problem.inputs, problem.targets
        )
        np.testing.assert_allclose(found[name], model.coef_, atol=1e-9)
        np.testing.assert_array_equal(found[name] != 0, model.coef_ != 0)


def test_sparse_groups_have_zeros_inside_groups():
    problem = diabetes(1, UNCORRELATED)
    # The second output needs two inputs alone.
    second = problem.inputs[:, 2] - problem.inputs[:, 5]
    problem = problem._replace(targets=np.stack([problem.targets, second], 1))
    penalty = jaxreg.SparseGroupL2(0.05, 0.05, axis=1)
    w = minimise(jaxreg.prox_adam(decaying(3e-2), penalty), problem.loss, jnp.zeros((7, 2)), STEPS)
    assert jaxreg.kkt_residual(penalty, w, jax.grad(problem.loss)(w)) < 1e-8
    dead = np.asarray(w == 0)
    assert dead.all(1).any() and (dead.any(1) & ~dead.all(1)).any()


def test_above_the_critical_strength_everything_is_zero_and_just_below_one_weight_is_not():
    problem = diabetes(1, UNCORRELATED)
    gradient = jax.grad(problem.loss)(jnp.zeros(7))
    makes = {"L1": jaxreg.L1, "LogSum": jaxreg.LogSum, "MCP": jaxreg.MCP, "SCAD": jaxreg.SCAD}
    for make in makes.values():
        assert jaxreg.critical_strength(make(1.0), gradient) == pytest.approx(CRITICAL, rel=1e-12)
    penalties = {
        (name, f): make(f * CRITICAL) for name, make in makes.items() for f in (1.001, 0.99)
    }
    start = dict.fromkeys(map(str, penalties), jnp.zeros(7))
    named = {str(key): penalty for key, penalty in penalties.items()}
    found = minimise(jaxreg.prox_adam(decaying(1e-2), named), loss, start, 3000)
    for name, factor in penalties:
        count = np.sum(found[str((name, factor))] != 0)
        assert count == 0 if factor > 1 else count >= 1, (name, factor)


def test_a_plain_threshold_after_momentum_or_adam_solves_another_problem():
    """After momentum it is the problem with a tenth of λ; after Adam there are no zeros."""
    x, y, _ = diabetes(1, UNCORRELATED)
    for direction in (optax.sgd(0.02, momentum=0.9), optax.adam(0.02)):
        naive = optax.chain(direction, jaxreg.prox_l1(STRENGTH, step_size=0.02))
        w = minimise(naive, problem_of("lasso").loss, jnp.zeros(7), STEPS)
        assert np.abs(w - solutions()["lasso"]).max() > 0.02
        assert np.sum(w != 0) > np.sum(solutions()["lasso"] != 0)
        if direction.init(jnp.zeros(7))[0]._fields == ("trace",):
            np.testing.assert_allclose(w, elastic_net(x, y, 0.1 * STRENGTH), atol=1e-8)
        else:
            assert (w != 0).all()


def test_decay_in_prox_adamw_is_the_fixed_point_that_its_docstring_names():
    own, penalty = problem_of("lasso").loss, jaxreg.L1(STRENGTH)
    w = minimise(
        jaxreg.prox_adamw(1e-2, penalty, b2=0.99, weight_decay=0.1), own, jnp.zeros(7), STEPS
    )
    gradient = np.asarray(jax.grad(own)(w))
    # D tends to |gradient| + eps.
    slope = gradient + 0.1 * np.asarray(w) * (np.abs(gradient) + 1e-8)
    assert np.max(penalty.violation(w, slope)) < 1e-8


# Each with optax's own optimizer; what has no penalty, or one of strength 0, takes the same steps.
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
        {"centered": True, "momentum": 0.9, "nesterov": True, "bias_correction": True, "eps": 1e-3},
    ),
    "adagrad": (jaxreg.prox_adagrad, optax.adagrad, {}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_without_a_penalty_each_is_optax(name):
    ours, theirs, options = PAIRS[name]
    own = problem_of("lasso").loss
    start = {
        "spared": jnp.linspace(-1, 1, 7),
        "weak": jnp.linspace(-1, 1, 7),
        "charged": jnp.ones(7),
    }

    def every(w):
        return sum(own(leaf) for leaf in jax.tree.leaves(w))

    penalties = {"spared": None, "weak": jaxreg.L1(0.0), "charged": jaxreg.L1(1.0)}
    plain = minimise(theirs(1e-2, **options), every, {"w": start["spared"]}, steps=100)["w"]
    found = minimise(ours(1e-2, penalties, **options), every, start, steps=100)
    assert np.isfinite(plain).all()
    np.testing.assert_allclose(found["spared"], plain, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["weak"], plain, rtol=1e-9, atol=1e-12)
    assert np.abs(found["charged"] - plain).max() > 1e-2


@pytest.mark.parametrize("name", PAIRS)
def test_defaults_are_optax_own(name):
    ours, theirs, _ = PAIRS[name]
    mine = {k: p.default for k, p in inspect.signature(ours).parameters.items()}
    for key, parameter in inspect.signature(theirs).parameters.items():
        if key not in ("nesterov", "mask"):  # nadam fixes the one; the other is the penalty's here
            assert mine[key] == parameter.default, key
