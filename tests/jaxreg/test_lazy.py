"""`lazy=True`: a penalty leaves weights alone in steps in which their gradient is exactly 0, at the
stated price.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg

OPTIMIZERS = {
    "SGD": functools.partial(jaxreg.prox_sgd, 0.02),
    "momentum": functools.partial(jaxreg.prox_sgd, 0.02, momentum=0.9),
    "Adam": functools.partial(jaxreg.prox_adam, 0.02),
    "NAdam": functools.partial(jaxreg.prox_nadam, 0.02),
    "RMSProp": functools.partial(jaxreg.prox_rmsprop, 0.02),
    "AdaGrad": functools.partial(jaxreg.prox_adagrad, 0.5),
    "Adamax": functools.partial(jaxreg.prox_adamax, 0.02),
    "AdaBelief": functools.partial(jaxreg.prox_adabelief, 0.02),
}
# The last row alone is trained, towards the target.
START = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
TARGET = jnp.array([1.0, -0.5, 0.05])


def train(tx, start, gradient, steps):
    """Weights after some steps, where gradient(w, count) is the gradient of the loss."""

    def step(carry, count):
        weights, state = carry
        updates, state = tx.update(gradient(weights, count), state, weights)
        return (optax.apply_updates(weights, updates), state), None

    return jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(steps))[0][0])(
        (start, tx.init(start))
    )


def one_row(weights, count):
    return jnp.zeros_like(weights).at[-1].set(weights[-1] - TARGET)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rows_without_a_gradient_stay_as_they_are(optimizer, float64):
    make, start = OPTIMIZERS[optimizer], START.astype(jnp.float64)
    lazy = train(make(jaxreg.L1(0.1), lazy=True), start, one_row, 500)
    np.testing.assert_array_equal(lazy[:-1], start[:-1])
    # The row that is trained takes the very path that it takes otherwise.
    np.testing.assert_array_equal(lazy[-1], train(make(jaxreg.L1(0.1)), start, one_row, 500)[-1])
    assert lazy[-1, 2] == 0
    assert np.all(lazy[-1, :2] != 0)


@pytest.mark.parametrize(
    "penalty", [jaxreg.SquaredL2(0.1), jaxreg.ElasticNet(0.1, 0.1), jaxreg.LogSum(0.1, 1.0)]
)
def test_every_penalty_leaves_them_alone(penalty):
    lazy = train(jaxreg.prox_adam(0.02, penalty, lazy=True), START, one_row, 100)
    np.testing.assert_array_equal(lazy[:-1], START[:-1])


def test_without_it_adam_removes_them():
    assert np.all(train(jaxreg.prox_adam(0.02, jaxreg.L1(0.1)), START, one_row, 500)[:-1] == 0)


def test_a_group_is_left_alone_where_all_its_gradients_are_zero():
    def gradient(weights, count):
        return jnp.zeros_like(weights).at[0, 0].set(weights[0, 0])

    start = jnp.ones((2, 3))
    weights = train(
        jaxreg.prox_adam(0.01, jaxreg.GroupL2(0.5, axis=1), lazy=True), start, gradient, 20
    )
    np.testing.assert_array_equal(weights[1], start[1])
    assert np.all(np.abs(weights[0]) < 1)


def test_clipped_gradients_are_zero_where_they_were():
    tx = jaxreg.prox_adam(0.02, jaxreg.L1(0.1), lazy=True, clip=optax.clip_by_global_norm(0.01))
    np.testing.assert_array_equal(train(tx, START, one_row, 100)[:-1], START[:-1])


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_the_price_is_a_strength_times_the_share_of_steps_with_a_gradient(share, float64):
    """The loss is share·(w − 1)²/2 on average; its solutions for λ and for share·λ are 1 − λ/share
    and 1 − λ.
    """

    def gradient(weights, count):
        return jnp.where(count % round(1 / share) == 0, weights - 1, 0)

    strength, start = 0.1, jnp.array([0.7])
    trained = {
        lazy: float(
            train(jaxreg.prox_sgd(2e-3, jaxreg.L1(strength), lazy=lazy), start, gradient, 50_000)[0]
        )
        for lazy in (False, True)
    }
    assert trained[True] == pytest.approx(1 - strength, abs=1e-6)
    assert trained[False] == pytest.approx(1 - strength / share, abs=1e-3)
