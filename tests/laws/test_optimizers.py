"""Laws of optimizers: the floor under D, lazy penalties, clips, float32 copies and held zeros."""

import functools

import chex
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
TABLE = 0.5 * np.random.default_rng(0).normal(size=(110, 8)).astype(np.float32)
"""An embedding of which only the first ten rows are looked up."""


@functools.cache
def program(make):
    """Trains a table for each penalty; rate, strengths, floor and steps are its arguments."""

    @jax.jit
    def train(penalties, rate, max_shrink, steps):
        tx = make(rate, penalties, max_shrink=max_shrink)

        def loss(tables):
            return sum(jnp.mean(jnp.square(table[:10] - 1)) for table in tables.values())

        def step(_, carry):
            w, state = carry
            updates, state = tx.update(jax.grad(loss)(w), state, w)
            return optax.apply_updates(w, updates), state

        tables = dict.fromkeys(penalties, jnp.asarray(TABLE))
        return jax.lax.fori_loop(0, steps, step, (tables, tx.init(tables)))[0]

    def tuned(penalties, rate=RATE, max_shrink=1.0, steps=STEPS):
        found = train(jax.tree.map(jnp.float32, penalties), rate, max_shrink, steps)
        return {name: np.asarray(table)[10:] for name, table in found.items()}

    return tuned


FLOORED = {
    "L1": jaxreg.L1(1e-4),
    "a strong L1": jaxreg.L1(10.0),
    "squared L2": jaxreg.SquaredL2(1e-4),
    "elastic net": jaxreg.ElasticNet(1e-4, 1e-4),
    "log-sum": jaxreg.LogSum(1e-4),
    "a strong log-sum": jaxreg.LogSum(10.0, 0.03),
    "MCP": jaxreg.MCP(1e-2),
    "SCAD": jaxreg.SCAD(1e-2),
    "a strong bridge": jaxreg.Bridge(10.0, 0.9),
    "L0": jaxreg.L0(1e-3),
    "weighted": jaxreg.Weighted(jaxreg.L1(1e-4), np.full(8, 1e4, np.float32)),
    "groups": jaxreg.GroupL2(1e-4, axis=1),
    "groups of a column": jaxreg.GroupL2(1e-4, axis=0),
    "sparse groups": jaxreg.SparseGroupL2(1e-4, 1e-4, axis=1),
    "groups of log-sum": jaxreg.Group(jaxreg.LogSum(1e-2), axis=1),
    "groups of bridge": jaxreg.Group(jaxreg.Bridge(1e-2), axis=1),
}


def check_survivors(penalties, after, pace=1.0):
    """A step moves no weight, and no group per root of its size, further than the learning rate."""
    before = TABLE[10:]
    for name, charged in penalties.items():
        moved = np.abs(after[name] - before)
        if "groups" in name:
            axis = charged.axis
            assert (after[name] != 0).any(axis).all(), name
            moved = np.linalg.norm(moved, axis=axis) / np.sqrt(TABLE.shape[axis])
        elif name in ("squared L2", "elastic net"):
            # A relative step; Yogi's moments start at 1e-6, which moves small weights a little.
            moved = moved / np.maximum(np.abs(before), 0.05 if name == "squared L2" else 1)
        assert moved.max() <= 1.01 * STEPS * RATE * pace, name


def test_rows_that_no_batch_has_met_survive_under_every_penalty():
    check_survivors(FLOORED, program(jaxreg.prox_adam)(FLOORED))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_floor_of_every_optimizer(name):
    tuned = program(OPTIMIZERS[name])
    penalties = {
        key: FLOORED[key] for key in ("L1", "a strong L1", "squared L2", "elastic net", "groups")
    }
    # RMSProp's momentum takes steps ten times as large.
    check_survivors(penalties, tuned(penalties), 10.0 if "momentum" in name else 1.0)
    # Without the floor D falls to eps, and a strong penalty wipes the rows out.
    assert np.mean(tuned(penalties, max_shrink=1e9)["a strong L1"] == 0) > 0.99
    # A weight without a gradient still reaches 0.
    assert (tuned(penalties, rate=0.1, steps=40)["a strong L1"] == 0).all()
    assert (tuned(penalties, steps=500)["squared L2"] != 0).all()


def test_no_floor_is_none():
    tx = jaxreg.prox_adam(RATE, jaxreg.L1(10.0), max_shrink=None)
    updates, _ = tx.update(jnp.zeros(4), tx.init(jnp.ones(4)), jnp.ones(4))
    np.testing.assert_array_equal(updates, -1)
    # Where D is above the floor nothing changes, to the bit.
    random = np.random.default_rng(1)
    w, gradient = (
        jnp.asarray(random.normal(size=50), jnp.float32),
        1 + jnp.abs(jnp.asarray(random.normal(size=50), jnp.float32)),
    )
    found = []
    for max_shrink in (1.0, None):
        tx = jaxreg.prox_adam(RATE, jaxreg.L1(0.5), max_shrink=max_shrink)
        found.append(tx.update(gradient, tx.init(w), w)[0])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("max_shrink", [0.5, 2.0])
def test_max_shrink_is_the_pace_without_a_gradient(max_shrink):
    w = {"L1": jnp.full(4, 0.5), "L2": jnp.full(4, 0.5), "number": jnp.asarray(0.5)}
    penalties = {"L1": jaxreg.L1(1e-2), "L2": jaxreg.SquaredL2(1e-2), "number": jaxreg.L1(1.0)}
    tx = jaxreg.prox_adam(RATE, penalties, max_shrink=max_shrink)
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, w), tx.init(w), w)
    np.testing.assert_allclose(updates["L1"], -max_shrink * RATE, rtol=1e-4)
    np.testing.assert_allclose(
        w["L2"] + updates["L2"], w["L2"] / (1 + max_shrink * RATE), rtol=1e-6
    )
    np.testing.assert_allclose(updates["number"], -max_shrink * RATE, rtol=1e-4)


def test_sgd_has_no_floor():
    # It steps by lr·gradient whatever the weight, so its prox is ISTA's for any λ.
    tx = jaxreg.prox_sgd(0.1, jaxreg.L1(3.0))
    np.testing.assert_allclose(
        tx.update(jnp.zeros(()), tx.init(jnp.asarray(0.5)), jnp.asarray(0.5))[0], -0.3, rtol=1e-6
    )


def test_concave_penalties_move_a_weight_to_zero_bit_by_bit_and_leave_large_ones():
    moving = {
        "log-sum": jaxreg.LogSum(1.0, 0.05),
        "MCP": jaxreg.MCP(1.0),
        "SCAD": jaxreg.SCAD(1.0),
        "bridge": jaxreg.Bridge(1.0),
        "groups of log-sum": jaxreg.Group(jaxreg.LogSum(1.0, 0.05), axis=1),
        "groups of MCP": jaxreg.Group(jaxreg.MCP(1.0, 10.0), axis=1),
    }
    reach = {"MCP, weak": 0.3, "SCAD, weak": 0.37, "L0": 0.01}
    bounded = {"MCP, weak": jaxreg.MCP(0.1), "SCAD, weak": jaxreg.SCAD(0.1), "L0": jaxreg.L0(0.1)}
    tuned = program(jaxreg.prox_adam)
    penalties = moving | bounded
    first, last = tuned(penalties, 0.1, steps=1), tuned(penalties, 0.1, steps=400)
    for name in moving:
        assert np.mean(first[name] == 0) < 0.17 and (last[name] == 0).all(), name
    slowly, before = tuned(penalties, 0.01, steps=100), TABLE[10:]
    for name in bounded:
        beyond = np.abs(before) > 1.01 * reach[name]
        np.testing.assert_array_equal(slowly[name][beyond], before[beyond])
        assert (slowly[name][np.abs(before) < 0.009] == 0).all(), name


# Below and above the gradient of 1, or what the first step can overcome.
REVIVALS = {
    "L1": (jaxreg.L1, 0.9, 1.1),
    "log-sum": (jaxreg.LogSum, 0.9, 1.1),
    "MCP": (jaxreg.MCP, 0.9, 1.1),
    "SCAD": (jaxreg.SCAD, 0.9, 1.1),
    # lr > 1.5·(lr·λ)^(2/3), so λ < √lr·(2/3)^1.5
    "bridge": (jaxreg.Bridge, 0.053, 0.056),
    # lr² > 2·lr·λ
    "L0": (jaxreg.L0, 0.0049, 0.0051),
    "groups of log-sum": (lambda strength: jaxreg.Group(jaxreg.LogSum(strength)), 1.8, 2.2),
}


@pytest.mark.parametrize("optimizer", [jaxreg.prox_adam, jaxreg.prox_sgd])
def test_a_weight_at_zero_with_a_gradient_revives_where_the_penalty_is_weak_enough(optimizer):
    weak = {f"weak {name}": make(strength) for name, (make, strength, _) in REVIVALS.items()}
    strong = {f"strong {name}": make(strength) for name, (make, _, strength) in REVIVALS.items()}
    w, tx = dict.fromkeys(weak | strong, jnp.zeros(4)), optimizer(0.01, weak | strong)
    updates, _ = jax.jit(tx.update)(jax.tree.map(lambda _: jnp.full(4, -1.0), w), tx.init(w), w)
    for name, update in updates.items():
        assert ((update > 0) == name.startswith("weak")).all(), name


def train(tx, start, gradient, steps):
    """Weights and state after some steps along gradient(w, count), optimized as users have it: some
    tests compare bits.
    """

    def step(carry, count):
        w, state = carry
        updates, state = tx.update(gradient(w, count), state, w)
        return (optax.apply_updates(w, updates), state), None

    def steps_from(w):
        return jax.lax.scan(step, (w, tx.init(w)), jnp.arange(steps))[0]

    return jax.jit(steps_from, compiler_options={"xla_backend_optimization_level": 3})(start)


ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
TARGET = jnp.array([1.0, -0.5, 0.05])
LAZY = {
    "sgd": functools.partial(jaxreg.prox_sgd, 0.02, momentum=0.9),
    "adam": functools.partial(jaxreg.prox_adam, 0.02),
    "nadam, clip": functools.partial(jaxreg.prox_nadam, 0.02, clip=optax.clip_by_global_norm(0.5)),
    "rmsprop": functools.partial(jaxreg.prox_rmsprop, 0.02),
    "adagrad": functools.partial(jaxreg.prox_adagrad, 0.5),
}
CHARGED = {
    "L1": jaxreg.L1(0.1),
    "L2": jaxreg.SquaredL2(0.1),
    "log-sum": jaxreg.LogSum(0.1, 1.0),
    "groups": jaxreg.GroupL2(0.1, axis=1),
}


@pytest.mark.parametrize("name", LAZY)
def test_lazy_penalties_leave_rows_without_a_gradient_alone(name):
    def last_row(w, count):
        return jax.tree.map(lambda x: jnp.zeros_like(x).at[-1].set(x[-1] - TARGET), w)

    start = dict.fromkeys(CHARGED, ROWS)
    lazy, eager = (
        train(LAZY[name](CHARGED, lazy=lazy), start, last_row, 400)[0] for lazy in (True, False)
    )
    for penalty in CHARGED:
        np.testing.assert_array_equal(lazy[penalty][:-1], ROWS[:-1])
        # The row that is trained takes the very path that it takes otherwise.
        np.testing.assert_array_equal(lazy[penalty][-1], eager[penalty][-1])
        assert (eager[penalty][:-1] != ROWS[:-1]).all(), penalty
    assert lazy["L1"][-1, 2] == 0 and (lazy["L1"][-1, :2] != 0).all()


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_the_price_of_lazy_is_a_strength_times_the_share_of_steps_with_a_gradient(share, float64):
    """The mean loss share·(w − 1)²/2 has the solution 1 − λ/share for λ, and 1 − λ for share·λ."""

    def gradient(w, count):
        return jnp.where(count % round(1 / share) == 0, w - 1, 0)

    found = {
        lazy: float(
            train(
                jaxreg.prox_sgd(2e-3, jaxreg.L1(0.1), lazy=lazy), jnp.array([0.7]), gradient, 50_000
            )[0][0]
        )
        for lazy in (False, True)
    }
    assert found[True] == pytest.approx(0.9, abs=1e-6)
    assert found[False] == pytest.approx(1 - 0.1 / share, abs=1e-3)


def test_the_penalty_is_clipped_with_its_gradient():
    params = {"kernel": jnp.array([[3.0, -4.0]]), "bias": jnp.zeros(2)}
    gradient = {"kernel": jnp.array([[30.0, 40.0]]), "bias": jnp.zeros(2)}
    tx = jaxreg.prox_sgd(
        1.0, jaxreg.L1(0.5), mask=jaxreg.kernels, clip=optax.clip_by_global_norm(1.0)
    )
    updates, _ = tx.update(gradient, tx.init(params), params)
    # The factor is 1/50, so the threshold is 0.01.
    np.testing.assert_allclose(updates["kernel"], [[-0.6 - 0.01, -0.8 + 0.01]], rtol=1e-5)
    # Weights without a gradient take the factor of their array.
    params = {"a": jnp.array([1.0, 1.0]), "b": jnp.array([1.0])}
    gradient = {"a": jnp.array([0.0, 8.0]), "b": jnp.array([0.0])}
    for clip in (optax.clip(1.0), optax.clip_by_global_norm(1.0)):
        tx = jaxreg.prox_sgd(1.0, jaxreg.L1(0.4), clip=clip)
        updates, _ = tx.update(gradient, tx.init(params), params)
        np.testing.assert_allclose(updates["a"], [-0.05, -1.0], rtol=1e-5)
        np.testing.assert_allclose(updates["b"], [-0.05], rtol=1e-5)
        bad = jnp.array([1.0, jnp.nan])
        assert jnp.isnan(tx.update({**gradient, "a": bad}, tx.init(params), params)[0]["a"][1])


def test_the_state_of_a_clip_is_kept():
    counted = optax.chain(optax.scale_by_schedule(lambda count: 0.5**count), optax.clip(1.0))
    tx = jaxreg.prox_sgd(1.0, jaxreg.L1(0.4), clip=counted)
    state = tx.init(jnp.ones(3))
    for factor in (1.0, 0.5, 0.25):
        updates, state = tx.update(jnp.full(3, 0.1), state, jnp.ones(3))
        np.testing.assert_allclose(updates, -0.5 * factor, rtol=1e-5)


def test_one_step_of_each_group_and_of_what_a_mask_keeps_from_the_direction():
    w, gradient = jnp.full((2, 2), 0.5), jnp.array([[3.0, -4.0], [0.5, 2.0]])
    # Along a constant gradient Adam's D is its absolute value, so a step is lr·g/√(mean g²).
    pooled = np.sqrt((np.asarray(gradient) ** 2).mean(1, keepdims=True))
    for penalty in (jaxreg.GroupL2(0.1, 1), jaxreg.Group(jaxreg.MCP(0.1), 1)):
        tx = jaxreg.prox_adam(1e-3, penalty, max_shrink=None)
        expected = penalty.prox(w - 1e-3 * gradient / pooled, 1e-3 / pooled) - w
        np.testing.assert_allclose(tx.update(gradient, tx.init(w), w)[0], expected, rtol=1e-3)
    params, penalty = (
        {"adam": jnp.ones((2, 3)), "sgd": jnp.ones((2, 3))},
        jaxreg.Group(jaxreg.LogSum(0.1), 1),
    )
    masked = optax.masked(optax.scale_by_adam(), {"adam": True, "sgd": False})
    tx = jaxreg.proximal(masked, penalty, 1e-2, jaxreg.preconditioners.adam())
    updates, _ = tx.update(params, tx.init(params), params)
    np.testing.assert_allclose(
        updates["sgd"], penalty.prox(params["sgd"] * 0.99, 1e-2) - 1, rtol=1e-4
    )


def test_a_leaf_that_the_mask_leaves_out_may_be_of_any_dtype():
    for odd in (jnp.arange(3), jnp.ones(3, jnp.complex64)):
        params = {"kernel": jnp.ones((4, 3)), "odd": odd}
        for make in (jaxreg.prox_sgd, jaxreg.prox_adam):
            tx = make(0.1, jaxreg.L1(0.1), mask={"kernel": True, "odd": False})
            updates, _ = tx.update(
                {"kernel": jnp.ones((4, 3)), "odd": 0 * odd}, tx.init(params), params
            )
            after = optax.apply_updates(params, updates)
            assert (
                after["odd"].dtype == odd.dtype
                and (after["odd"] == odd).all()
                and (after["kernel"] < 1).all()
            )


LOST = {
    "proximal L1": jaxreg.prox_sgd(0.01, jaxreg.L1(0.1)),
    "squared L2": optax.chain(jaxreg.add_l2(0.05), optax.sgd(0.01)),
    "optax.add_decayed_weights": optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.01)),
}


@pytest.mark.parametrize("name", LOST)
def test_master_weights_keep_a_step_below_half_a_unit_in_the_last_place(name):
    def nothing(w, count):
        return jnp.zeros_like(w)

    narrow = jnp.ones(3, jnp.bfloat16)
    assert (train(LOST[name], narrow, nothing, 500)[0] == 1).all()
    expected = train(LOST[name], jnp.ones(3), nothing, 500)[0]
    assert expected[0] < 0.7
    found = train(jaxreg.master_weights(LOST[name]), narrow, nothing, 500)[0]
    np.testing.assert_array_equal(found, expected.astype(jnp.bfloat16))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_parameters_are_the_rounded_copy_with_the_same_zeros(dtype):
    def noisy(w, count):
        return jax.tree.map(lambda x: (0.1 * x + 0.05 * jnp.sin(7 * x + count)).astype(x.dtype), w)

    tx = jaxreg.master_weights(
        jaxreg.prox_adam(1e-3, jaxreg.L1(0.02), clip=optax.clip_by_global_norm(0.1))
    )
    start = {"kernel": (0.4 * TABLE[:20]).astype(dtype), "bias": jnp.ones(8)}
    after, state = train(tx, start, noisy, 300)
    assert after["kernel"].dtype == dtype and state.master["kernel"].dtype == jnp.float32
    assert state.master["bias"] is None and after["bias"].dtype == jnp.float32
    np.testing.assert_array_equal(after["kernel"], state.master["kernel"].astype(dtype))
    np.testing.assert_array_equal(after["kernel"] == 0, state.master["kernel"] == 0)
    assert (after["kernel"] == 0).any() and (after["kernel"] != start["kernel"]).any()
    # Parameters that were changed from outside replace the copy.
    few = {"kernel": jaxreg.keep_largest(after["kernel"], 0.1), "bias": after["bias"]}
    plain = jaxreg.master_weights(optax.sgd(1e-3))
    _, state = plain.update(jax.tree.map(jnp.ones_like, start), plain.init(start), start)
    updates, state = plain.update(jax.tree.map(jnp.zeros_like, few), state, few)
    assert jaxreg.sparsity(optax.apply_updates(few, updates)["kernel"]).nonzeros == 16
    np.testing.assert_array_equal(state.master["kernel"] == 0, few["kernel"] == 0)


def test_master_weights_leave_float32_parameters_to_the_optimizer():
    tx = jaxreg.prox_adam(1e-3, jaxreg.L1(0.02))
    plain, wrapped = (
        train(one, ROWS, lambda w, count: jnp.sin(w + count), 20)[0]
        for one in (tx, jaxreg.master_weights(tx))
    )
    np.testing.assert_array_equal(plain, wrapped)


HELD = {
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adamw": optax.adamw(0.1, weight_decay=0.1),
    "lion": optax.lion(0.1),
    "clipped": optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)),
    "prox_adam": jaxreg.prox_adam(0.1, jaxreg.L1(0.05)),
    "several steps": optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(),
    "polyak_sgd": optax.polyak_sgd(0.1),
}


def sparse(dtype=jnp.float32, seed=0):
    """A kernel with zeros, one of them negative, and biases that start at 0."""
    kernel = np.random.default_rng(seed).normal(size=(8, 4))
    kernel = jnp.asarray(np.where(np.abs(kernel) < 0.7, 0, kernel), dtype).at[0, 0].set(-0.0)
    return {"kernel": kernel, "bias": jnp.zeros(4, dtype)}


@functools.partial(jax.jit, static_argnums=0)
def fit(tx, params):
    def step(carry, count):
        params, state = carry
        gradient = jax.tree.map(lambda p: jnp.sin(3 * p + count).astype(p.dtype), params)
        updates, state = tx.update(gradient, state, params, value=jnp.ones([]))
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), jnp.arange(1.0, 7))[0]


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, jnp.float32) for name in HELD] + [("adamw", jnp.bfloat16)]
)
def test_held_zeros_stay_zero_and_other_weights_move(name, dtype):
    tx = jaxreg.hold_zeros(HELD[name], jaxreg.kernels)
    runs = [sparse(dtype, 0), sparse(dtype, 7)]
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)
    together, states = jax.vmap(functools.partial(fit, tx))(many)
    assert isinstance(states, jaxreg.HeldState) and together["kernel"].dtype == dtype
    for i, before in enumerate(runs):
        after, held = (
            np.asarray(together["kernel"][i], np.float32),
            np.asarray(before["kernel"] == 0),
        )
        assert 5 < held.sum() < 30 and (after[held] == 0).all()
        assert np.mean(after[~held] != np.asarray(before["kernel"], np.float32)[~held]) > 0.5
        assert (together["bias"][i] != 0).all() or name == "prox_adam"
        np.testing.assert_array_equal(states.support["kernel"][i], ~held)
        assert states.support["bias"].all()


def test_hold_zeros_holds_those_of_its_mask_alone():
    chex.assert_trees_all_close(
        fit(jaxreg.hold_zeros(optax.adam(0.1)), {"w": ROWS})[0],
        fit(optax.with_extra_args_support(optax.adam(0.1)), {"w": ROWS})[0],
    )
    params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    for mask, moved in (
        ({"kernel": False, "bias": True}, ["kernel"]),
        (jaxreg.kernels, ["bias"]),
        (None, []),
    ):
        after, _ = fit(jaxreg.hold_zeros(optax.sgd(0.1), mask), params)
        assert [name for name in params if (after[name] != 0).any()] == moved


def test_the_optimizer_sees_no_gradient_of_a_held_weight():
    params, gradient = jnp.array([0.0, 1.0]), jnp.array([100.0, 3.0])
    tx = jaxreg.hold_zeros(
        optax.chain(optax.clip_by_global_norm(5.0), optax.sgd(1.0, momentum=0.9))
    )
    updates, state = tx.update(gradient, tx.init(params), params)
    np.testing.assert_array_equal(updates, [0, -3])
    np.testing.assert_array_equal(state.inner[1][0].trace, [0, 3])
    updates, _ = tx.update(gradient.at[0].set(jnp.nan), state, params)
    assert updates[0] == 0 and np.isfinite(updates[1])
    assert np.isnan(tx.update(gradient.at[1].set(jnp.nan), state, params)[0][1])
    # A weight that is NaN is not 0.
    assert tx.init(jnp.array([jnp.nan])).support.all()
    # Decay outside cannot move a zero, and several steps inside MultiSteps do not either.
    held = np.asarray(sparse()["kernel"] == 0)
    for around in (
        optax.chain(
            jaxreg.hold_zeros(optax.adam(0.1), jaxreg.kernels), optax.add_decayed_weights(0.1)
        ),
        optax.MultiSteps(
            jaxreg.hold_zeros(optax.adam(0.1), jaxreg.kernels), 2
        ).gradient_transformation(),
    ):
        np.testing.assert_array_equal(
            fit(optax.with_extra_args_support(around), sparse())[0]["kernel"] == 0, held
        )
