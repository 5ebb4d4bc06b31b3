"""The floor under D: weights that have met no gradient survive, and the solutions stay those of the
λ given.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg

RATE, STEPS = 1e-3, 10
OPTIMIZERS = {
    "adam": jaxreg.prox_adam,
    "adamw": functools.partial(jaxreg.prox_adamw, weight_decay=0.0),
    "nadam": jaxreg.prox_nadam,
    "amsgrad": jaxreg.prox_amsgrad,
    "yogi": jaxreg.prox_yogi,
    "adabelief": jaxreg.prox_adabelief,
    "adamax": jaxreg.prox_adamax,
    "rmsprop": jaxreg.prox_rmsprop,
    "rmsprop, momentum": functools.partial(jaxreg.prox_rmsprop, momentum=0.9),
    "rmsprop, centered": functools.partial(jaxreg.prox_rmsprop, centered=True),
    "adagrad": functools.partial(jaxreg.prox_adagrad, initial_accumulator_value=0.0),
}
PENALTIES = {
    "L1": jaxreg.L1(1e-4),
    "squared L2": jaxreg.SquaredL2(1e-4),
    "elastic net": jaxreg.ElasticNet(1e-4, 1e-4),
    "groups of a row": jaxreg.GroupL2(1e-4, axis=1),
    "groups of a column": jaxreg.GroupL2(1e-4, axis=0),
    "a strong L1": jaxreg.L1(10.0),
    "log-sum": jaxreg.LogSum(1e-4),
    "a strong log-sum": jaxreg.LogSum(10.0, 0.03),
    "MCP": jaxreg.MCP(1e-2),
    "SCAD": jaxreg.SCAD(1e-2),
    "bridge": jaxreg.Bridge(1e-3),
    "a strong bridge": jaxreg.Bridge(10.0, 0.9),
    "L0": jaxreg.L0(1e-3),
    "groups of a row, sparse": jaxreg.SparseGroupL2(1e-4, 1e-4, axis=1),
    "groups of a row, log-sum": jaxreg.Group(jaxreg.LogSum(1e-2), axis=1),
    "groups of a row, bridge": jaxreg.Group(jaxreg.Bridge(1e-2), axis=1),
}
# How much faster than lr a step along a constant gradient is.
PACE = {"rmsprop, momentum": 10.0}


def embedding():
    """A table as large as a small vocabulary's, with typical weights of 0.5."""
    return 0.5 * jax.random.normal(jax.random.key(0), (1000, 16))


def tuned(tx, steps):
    """The table after steps in which only its first ten rows are looked up."""
    table = embedding()

    def step(carry, _):
        w, state = carry
        gradient = jax.grad(lambda w: jnp.mean(jnp.square(w[:10] - 1.0)))(w)
        updates, state = tx.update(gradient, state, w)
        return (optax.apply_updates(w, updates), state), None

    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), None, length=steps)[0][0])(table)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_that_no_batch_has_met_survive(name, penalty):
    charged = PENALTIES[penalty]
    before, after = embedding()[10:], tuned(OPTIMIZERS[name](RATE, charged), STEPS)[10:]
    bound = 1.01 * STEPS * RATE * PACE.get(name, 1.0)
    if "groups" in penalty:
        # A group moves along itself: as a whole by at most lr·√n a step, and a column's group has
        # met some gradients.
        axis = charged.axis
        assert (after != 0).any(axis).all()
        moved = np.linalg.norm(after - before, axis=axis) / np.sqrt(embedding().shape[axis])
    elif penalty == "squared L2":
        # Yogi's moments start at 1e-6 rather than 0, which moves the smallest weights a little by
        # itself.
        moved = np.abs(after - before) / np.maximum(np.abs(before), 0.05)
    elif penalty == "elastic net":
        moved = np.abs(after - before) / np.maximum(np.abs(before), 1)
    else:
        moved = np.abs(after - before)
    assert moved.max() <= bound


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_the_floor_adaptive_optimizers_wipe_them(name):
    """The fault that the floor mends, and how `max_shrink=None` brings it back where D falls to
    eps.
    """
    after = tuned(OPTIMIZERS[name](RATE, jaxreg.L1(10.0), max_shrink=None), STEPS)[10:]
    assert np.mean(after == 0) > 0.99


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_weight_without_a_gradient_still_reaches_zero(name):
    charged = OPTIMIZERS[name](0.1, jaxreg.L1(1.0))
    after = tuned(charged, 40)[10:]
    np.testing.assert_array_equal(after, 0)


@pytest.mark.parametrize(
    "penalty",
    [
        jaxreg.LogSum(1.0, 0.05),
        jaxreg.MCP(1.0),
        jaxreg.SCAD(1.0),
        jaxreg.Bridge(1.0),
        jaxreg.Group(jaxreg.LogSum(1.0, 0.05), axis=1),
        jaxreg.Group(jaxreg.MCP(1.0, 10.0), axis=1),
    ],
    ids=repr,
)
def test_concave_penalties_move_such_a_weight_to_zero_bit_by_bit(penalty):
    tx = jaxreg.prox_adam(0.1, penalty)
    assert np.mean(tuned(tx, 1)[10:] == 0) < 0.17
    np.testing.assert_array_equal(tuned(tx, 400)[10:], 0)
    assert np.mean(tuned(jaxreg.prox_adam(0.1, penalty, max_shrink=None), 1)[10:] == 0) > 0.99


def test_weights_beyond_the_reach_of_a_bounded_penalty_stay():
    before = embedding()[10:]
    for penalty, reach in (
        (jaxreg.MCP(0.1), 0.3),
        (jaxreg.SCAD(0.1), 0.37),
        (jaxreg.L0(0.1), 0.01),
    ):
        after = tuned(jaxreg.prox_adam(0.01, penalty), 100)[10:]
        np.testing.assert_array_equal(
            after[np.abs(before) > 1.01 * reach], before[np.abs(before) > 1.01 * reach]
        )
        np.testing.assert_array_equal(after[np.abs(before) < 0.009], 0)


# Weak and strong: below and above the gradient of 1, or what the first step can overcome.
REVIVALS = {
    "L1": (jaxreg.L1, 0.9, 1.1),
    "log-sum": (jaxreg.LogSum, 0.9, 1.1),
    "MCP": (jaxreg.MCP, 0.9, 1.1),
    "SCAD": (jaxreg.SCAD, 0.9, 1.1),
    # lr > 1.5·(lr·λ)^(2/3), so λ < √lr·(2/3)^1.5
    "bridge": (jaxreg.Bridge, 0.053, 0.056),
    # lr² > 2·lr·λ
    "L0": (jaxreg.L0, 0.0049, 0.0051),
    "groups of log-sum": (lambda strength: jaxreg.Group(jaxreg.LogSum(strength)), 0.9 * 2, 1.1 * 2),
}


@pytest.mark.parametrize("name", REVIVALS)
@pytest.mark.parametrize("optimizer", [jaxreg.prox_adam, jaxreg.prox_sgd])
def test_a_weight_at_zero_with_a_gradient_revives_where_the_penalty_is_weak_enough(optimizer, name):
    make, weak, strong = REVIVALS[name]
    for strength, revived in ((weak, True), (strong, False)):
        w, tx = jnp.zeros(4), optimizer(0.01, make(strength))
        updates, _ = tx.update(jnp.full(4, -1.0), tx.init(w), w)
        assert np.all((updates > 0) == revived), strength


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_squared_l2_makes_no_weight_zero(name):
    after = tuned(OPTIMIZERS[name](0.01, jaxreg.SquaredL2(1.0)), 500)
    assert np.all(after != 0)


@pytest.mark.parametrize("max_shrink", [0.5, 2.0, 5.0])
def test_max_shrink_is_the_pace_without_a_gradient(max_shrink):
    w, gradient = jnp.full(4, 0.5), jnp.zeros(4)
    tx = jaxreg.prox_adam(RATE, jaxreg.L1(1e-2), max_shrink=max_shrink)
    updates, _ = tx.update(gradient, tx.init(w), w)
    np.testing.assert_allclose(updates, -max_shrink * RATE, rtol=1e-4)
    tx = jaxreg.prox_adam(RATE, jaxreg.SquaredL2(1e-2), max_shrink=max_shrink)
    updates, _ = tx.update(gradient, tx.init(w), w)
    np.testing.assert_allclose(w + updates, w / (1 + max_shrink * RATE), rtol=1e-6)


def test_where_d_is_above_the_floor_nothing_changes_to_the_bit():
    w = jax.random.normal(jax.random.key(1), (50,))
    gradient = 1 + jnp.abs(jax.random.normal(jax.random.key(2), (50,)))
    updates = []
    for max_shrink in (1.0, None):
        tx = jaxreg.prox_adam(RATE, jaxreg.L1(0.5), max_shrink=max_shrink)
        updates.append(tx.update(gradient, tx.init(w), w)[0])
    np.testing.assert_array_equal(*updates)


def test_a_weight_of_rank_zero_has_a_floor_and_sgd_has_none():
    w = jnp.asarray(0.5)
    tx = jaxreg.prox_adam(RATE, jaxreg.L1(1.0))
    updates, _ = tx.update(jnp.zeros(()), tx.init(w), w)
    np.testing.assert_allclose(updates, -RATE, rtol=1e-4)
    # Plain SGD steps by lr·gradient whatever the weight, so its prox is ISTA's for any λ.
    tx = jaxreg.prox_sgd(0.1, jaxreg.L1(3.0))
    np.testing.assert_allclose(tx.update(jnp.zeros(()), tx.init(w), w)[0], -0.3, rtol=1e-6)


class Huber(jaxreg.Penalty):
    """A penalty of one's own that does not say its slope: λ(√(1 + w²) − 1)."""

    strength: float

    def value(self, x):
        return self.strength * jnp.sum(jnp.sqrt(1 + jnp.square(x)) - 1)

    def prox(self, x, step):
        # One fixed-point sweep is enough here: the test asks for the size of a step only.
        return x / (1 + step * self.strength / jnp.sqrt(1 + jnp.square(x)))

    def subgradient(self, x):
        return self.strength * x / jnp.sqrt(1 + jnp.square(x))

    def violation(self, x, gradient):
        return jnp.abs(gradient + self.subgradient(x))

    def critical_strength(self, gradient):
        return jnp.max(jnp.abs(gradient)) * jnp.inf


def test_a_penalty_without_a_slope_of_its_own_has_the_steepest_in_the_array():
    w = jnp.array([0.1, -2.0, 0.0])
    penalty = Huber(0.3)
    np.testing.assert_allclose(penalty.slope(w), 0.3 * 2 / np.sqrt(5), rtol=1e-6)
    after = tuned(jaxreg.prox_adam(RATE, Huber(1.0)), STEPS)[10:]
    np.testing.assert_allclose(after, embedding()[10:], rtol=2 * STEPS * RATE)
