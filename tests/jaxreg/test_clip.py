"""Clipped gradients: the solutions for the given λ, whatever the clip."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from sklearn.linear_model import Lasso

import jaxreg
from jaxreg import preconditioners

STRENGTH = 0.15
CLIPS = {
    "global norm": optax.clip_by_global_norm(0.1),
    "single gradients": optax.clip(0.08),
    "norm of each array": optax.clip_by_block_rms(0.05),
    "by the norms of weights": optax.adaptive_grad_clip(0.05),
    "a masked one": optax.masked(optax.clip_by_global_norm(0.1), {"a": True, "b": False}),
    "two after each other": optax.chain(optax.clip(0.1), optax.clip_by_global_norm(0.15)),
}
SCHEDULE = optax.exponential_decay(1e-2, 1000, 0.3)
OPTIMIZERS = {
    "SGD": functools.partial(jaxreg.prox_sgd, 0.1),
    "momentum": functools.partial(jaxreg.prox_sgd, 0.02, momentum=0.9),
    "Adam": functools.partial(jaxreg.prox_adam, SCHEDULE),
    "RMSProp": functools.partial(jaxreg.prox_rmsprop, SCHEDULE),
}
PENALTIES = {
    "L1": jaxreg.L1(STRENGTH),
    "squared L2": jaxreg.SquaredL2(STRENGTH),
    "elastic net": jaxreg.ElasticNet(STRENGTH, 0.1),
    "groups": jaxreg.GroupL2(STRENGTH, axis=1),
    "groups, concave": jaxreg.Group(jaxreg.LogSum(STRENGTH, 1.0), axis=1),
    "log-sum": jaxreg.LogSum(STRENGTH, 1.0),
    "MCP": jaxreg.MCP(STRENGTH, 5.0),
    "weighted": jaxreg.Weighted(
        jaxreg.L1(STRENGTH), np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 0.5]])
    ),
}


@functools.cache
def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 10))
    y = x @ np.array([1.0, -1, 0.3, 0, 0, 0.1, 0.8, -0.5, 0, 0]) + 0.3 * random.normal(size=100)
    return x, y


def loss(params, x, y):
    return (
        jnp.mean(jnp.square(x @ jnp.concatenate([params["a"].ravel(), params["b"].ravel()]) - y))
        / 2
    )


def train(tx, steps):
    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, *data()), state, params)
        return (optax.apply_updates(params, updates), state), None

    params = {"a": jnp.full((3, 2), 0.1), "b": jnp.full((2, 2), 0.1)}
    return jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps)[0][0])(
        (params, tx.init(params))
    )


def residual(penalty, params):
    return float(jaxreg.kkt_residual(penalty, params, jax.grad(loss)(params, *data())))


PAIRS = [("L1", clip, optimizer) for clip in CLIPS for optimizer in OPTIMIZERS] + [
    (penalty, *pair)
    for penalty in list(PENALTIES)[1:]
    for pair in (("global norm", "Adam"), ("single gradients", "momentum"))
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("penalty", "clip", "optimizer"), PAIRS)
def test_the_solution_is_the_one_for_the_given_strength(penalty, clip, optimizer):
    mask = {"a": penalty != "weighted", "b": False} if penalty == "weighted" else None
    chosen = {"a": PENALTIES[penalty], "b": None} if mask else PENALTIES[penalty]
    params = train(OPTIMIZERS[optimizer](chosen, clip=CLIPS[clip]), 12_000)
    assert residual(chosen, params) <= 1e-8 * STRENGTH
    # Without a clip that is active at the solution this would show nothing.
    gradient = jax.grad(loss)(params, *data())
    clipped, _ = CLIPS[clip].update(gradient, CLIPS[clip].init(params), params)
    assert optax.tree.norm(clipped) < 0.95 * optax.tree.norm(gradient)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_lasso_of_scikit_learn(optimizer):
    expected = (
        Lasso(alpha=STRENGTH, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(*data()).coef_
    )
    params = train(OPTIMIZERS[optimizer](jaxreg.L1(STRENGTH), clip=CLIPS["global norm"]), 12_000)
    found = np.concatenate([np.ravel(params["a"]), np.ravel(params["b"])])
    np.testing.assert_allclose(found, expected, atol=1e-8)
    np.testing.assert_array_equal(found == 0, expected == 0)
    before = optax.chain(CLIPS["global norm"], OPTIMIZERS[optimizer](jaxreg.L1(STRENGTH)))
    assert residual(jaxreg.L1(STRENGTH), train(before, 12_000)) > 0.5 * STRENGTH


def test_what_is_clipped_is_what_the_direction_sees():
    params = {"kernel": jnp.array([[3.0, -4.0]]), "bias": jnp.zeros(2)}
    gradient = {"kernel": jnp.array([[30.0, 40.0]]), "bias": jnp.zeros(2)}
    tx = jaxreg.prox_sgd(
        1.0, jaxreg.L1(0.5), mask=jaxreg.kernels, clip=optax.clip_by_global_norm(1.0)
    )
    updates, _ = tx.update(gradient, tx.init(params), params)
    # The factor is 1/50, so the threshold is 0.01.
    np.testing.assert_allclose(updates["kernel"], [[-0.6 - 0.01, -0.8 + 0.01]], rtol=1e-5)


def test_weights_without_a_gradient_take_the_factor_of_their_array():
    params = {"a": jnp.array([1.0, 1.0]), "b": jnp.array([1.0])}
    gradient = {"a": jnp.array([0.0, 8.0]), "b": jnp.array([0.0])}
    for clip in (optax.clip(1.0), optax.clip_by_global_norm(1.0)):
        tx = jaxreg.prox_sgd(1.0, jaxreg.L1(0.4), clip=clip)
        updates, _ = tx.update(gradient, tx.init(params), params)
        np.testing.assert_allclose(updates["a"], [-0.05, -1.0], rtol=1e-5)
        np.testing.assert_allclose(updates["b"], [-0.05], rtol=1e-5)


def test_state_of_a_clip_is_kept_and_nan_is_not_hidden():
    params, bad = jnp.ones(3), jnp.array([1.0, jnp.nan, 1.0])
    for clip in (optax.clip_by_global_norm(1.0), optax.clip(1.0)):
        tx = jaxreg.prox_adam(1e-2, jaxreg.L1(0.1), clip=clip)
        updates, _ = tx.update(bad, tx.init(params), params)
        assert jnp.isnan(updates[1])
    counted = optax.chain(optax.scale_by_schedule(lambda count: 0.5**count), optax.clip(1.0))
    tx = jaxreg.prox_sgd(1.0, jaxreg.L1(0.4), clip=counted)
    state = tx.init(params)
    for factor in (1.0, 0.5, 0.25):
        updates, state = tx.update(jnp.full(3, 0.1), state, params)
        np.testing.assert_allclose(updates, -0.5 * factor, rtol=1e-5)


@pytest.mark.parametrize(
    "clip",
    [optax.scale(-1.0), jaxreg.add_l2(0.1), optax.set_to_zero(), optax.sgd(0.1)],
    ids=["sign", "L2", "zero", "sgd"],
)
def test_what_is_no_clip_is_refused(clip):
    with pytest.raises(
        ValueError, match="expected a clip that multiplies each gradient by a positive factor"
    ):
        jaxreg.prox_adam(1e-3, jaxreg.L1(0.1), clip=clip)


def test_a_number_is_no_clip():
    with pytest.raises(
        TypeError,
        match=r"clip must be a transformation such as optax.clip_by_global_norm\(1.0\), got 1.0",
    ):
        jaxreg.prox_sgd(0.1, jaxreg.L1(0.1), clip=1.0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("direction", ["Adam, plateau", "AdaDelta", "NovoGrad"])
def test_preconditioners_of_more_directions(direction):
    made = {
        "Adam, plateau": (
            optax.chain(
                optax.scale_by_adam(),
                optax.contrib.reduce_on_plateau(factor=0.7, patience=200, rtol=1e-9),
            ),
            preconditioners.product(preconditioners.adam(), preconditioners.plateau()),
            1e-2,
        ),
        "AdaDelta": (optax.scale_by_adadelta(eps=0.01), preconditioners.adadelta(0.01), 0.2),
        "NovoGrad": (optax.scale_by_novograd(), preconditioners.novograd(), 2e-3),
    }[direction]
    tx = optax.with_extra_args_support(
        jaxreg.proximal(made[0], jaxreg.L1(STRENGTH), made[2], made[1])
    )
    with_value = optax.GradientTransformation(
        tx.init,
        lambda gradient, state, params: tx.update(
            gradient, state, params, value=loss(params, *data())
        ),
    )
    assert residual(jaxreg.L1(STRENGTH), train(with_value, 12_000)) <= 1e-6 * STRENGTH
