"""The links obey optax's contract, and each place in a chain means what the documentation says."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg

LINKS = {
    "add_l1": lambda mask=None: optax.chain(jaxreg.add_l1(0.1, mask), optax.sgd(0.1)),
    "add_l2": lambda mask=None: optax.chain(
        optax.scale_by_adam(), jaxreg.add_l2(0.1, mask), optax.scale_by_learning_rate(0.1)
    ),
    "add_penalty": lambda mask=None: optax.chain(
        jaxreg.add_penalty(jaxreg.ElasticNet(0.1, 0.1), mask), optax.sgd(0.1)
    ),
    "prox_l1": lambda mask=None: optax.chain(optax.sgd(0.1), jaxreg.prox_l1(0.1, 0.1, mask)),
    "proximal_step": lambda mask=None: optax.chain(
        optax.sgd(0.1), jaxreg.proximal_step(jaxreg.GroupL2(0.1), 0.1, mask)
    ),
    "scheduled": lambda mask=None: optax.chain(
        optax.sgd(optax.linear_schedule(0.1, 0.0, 9)),
        jaxreg.prox_l1(
            optax.linear_schedule(0.0, 0.2, 9), optax.linear_schedule(0.1, 0.0, 9), mask
        ),
    ),
    "prox_sgd": lambda mask=None: jaxreg.prox_sgd(0.1, jaxreg.L1(0.1), momentum=0.9, mask=mask),
    "prox_adam": lambda mask=None: jaxreg.prox_adam(
        0.1, jaxreg.L1(optax.linear_schedule(0.0, 0.2, 9)), mask=mask
    ),
    "prox_adam, groups": lambda mask=None: jaxreg.prox_adam(0.1, jaxreg.GroupL2(0.1), mask=mask),
}
every_link = pytest.mark.parametrize("name", LINKS)


def tree(seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), 2)
    return {
        "kernel": jax.random.normal(keys[0], (8, 4), dtype),
        "bias": jax.random.normal(keys[1], (4,), dtype),
    }


def steps(tx, params, count=3):
    """A few steps along fixed gradients; returns parameters and state."""
    state = tx.init(params)
    for seed in range(1, count + 1):
        gradient = jax.tree.map(lambda p, g: g.astype(p.dtype), params, tree(seed))
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@every_link
def test_jit_traces_once_and_agrees(name):
    tx = LINKS[name]()
    traces = []

    def update(gradient, state, params):
        traces.append(name)
        updates, state = tx.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    jitted = jax.jit(update)
    params, state = tree(), tx.init(tree())
    for seed in (1, 2, 3):
        params, state = jitted(tree(seed), state, params)
    assert len(traces) == 1
    chex.assert_trees_all_close(params, steps(tx, tree())[0], rtol=1e-5, atol=1e-6)


@every_link
def test_scan_vmap_and_extra_args(name):
    tx = LINKS[name]()

    def fit(params):
        def step(carry, seed):
            params, state = carry
            gradient = jax.tree.map(lambda p: jnp.sin(p + seed), params)
            updates, state = tx.update(gradient, state, params, value=jnp.zeros([]), unheard_of=3)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, tx.init(params)), jnp.arange(3.0))[0][0]

    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), tree(0), tree(7))
    together = jax.vmap(fit)(many)
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[1], together), fit(tree(7)), rtol=1e-5, atol=1e-6
    )


@every_link
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_updates_keep_the_parameters_dtype(name, dtype):
    params, state = steps(LINKS[name](), tree(dtype=dtype))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
    before = LINKS[name]().init(tree(dtype=dtype))
    chex.assert_trees_all_equal_shapes_and_dtypes(before, state)


@every_link
def test_states_are_named_tuples(name):
    def walk(state):
        assert isinstance(state, tuple)
        if type(state) is tuple:
            for part in state:
                walk(part)
        else:
            assert hasattr(state, "_fields")

    walk(LINKS[name]().init(tree()))


@every_link
def test_the_mask_spares_what_it_leaves_out(name):
    spared, _ = steps(LINKS[name](jaxreg.kernels), tree())
    explicit, _ = steps(LINKS[name]({"kernel": True, "bias": False}), tree())
    chex.assert_trees_all_close(spared, explicit, rtol=1e-6)
    everywhere, _ = steps(LINKS[name](), tree())
    chex.assert_trees_all_close(spared["kernel"], everywhere["kernel"], rtol=1e-6)
    assert not np.allclose(spared["bias"], everywhere["bias"])
    others, _ = steps(LINKS[name]({"kernel": False, "bias": True}), tree())
    chex.assert_trees_all_close(others["bias"], everywhere["bias"], rtol=1e-6)
    assert not np.allclose(spared["kernel"], others["kernel"])


@every_link
def test_a_mask_function_sees_parameters_not_updates(name):
    seen = []

    def mask(params):
        seen.append(params)
        return jaxreg.kernels(params)

    tx = LINKS[name](mask)
    tx.update(tree(1), tx.init(tree()), tree())
    assert len(seen) >= 2
    for params in seen:
        chex.assert_trees_all_equal(params, tree())


@every_link
def test_none_leaves_and_masked_nodes_pass(name):
    with_none = {**tree(), "static": None}
    params, _ = steps_with(LINKS[name](), with_none, {**tree(1), "static": None})
    assert params["static"] is None
    # A frozen parameter has no update.
    tx = LINKS[name](jaxreg.kernels)
    if name in ("add_l1", "add_penalty", "prox_l1", "proximal_step"):
        updates, _ = tx.update({"kernel": None, "bias": tree(1)["bias"]}, tx.init(tree()), tree())
        assert updates["kernel"] is None and updates["bias"] is not None
    masked = optax.masked(LINKS[name](), {"kernel": True, "bias": False})
    params, _ = steps_with(masked, tree(), tree(1))
    chex.assert_trees_all_equal(params["bias"], tree()["bias"] + tree(1)["bias"])
    chex.assert_trees_all_close(
        params["kernel"], steps_with(LINKS[name](), tree(), tree(1))[0]["kernel"], rtol=1e-6
    )


def steps_with(tx, params, gradient):
    updates, state = tx.update(gradient, tx.init(params), params)
    return optax.apply_updates(params, updates), state


@every_link
def test_wrappers_of_optax(name):
    tx = LINKS[name]()
    once = steps_with(tx, tree(), tree(1))[0]

    def assert_same(params):
        chex.assert_trees_all_close(params, once, rtol=1e-5, atol=1e-6)

    accumulated = optax.MultiSteps(tx, 2)
    params, state = steps_with(accumulated, tree(), tree(1))
    chex.assert_trees_all_equal(params, tree())
    updates, _ = accumulated.update(tree(1), state, params)
    assert_same(optax.apply_updates(params, updates))

    guarded = optax.apply_if_finite(tx, 3)
    assert_same(steps_with(guarded, tree(), tree(1))[0])
    broken = jax.tree.map(lambda x: x * jnp.nan, tree(1))
    chex.assert_trees_all_equal(steps_with(guarded, tree(), broken)[0], tree())

    parts = optax.partition(
        {"all": tx, "none": optax.set_to_zero()}, {"kernel": "all", "bias": "none"}
    )
    params = steps_with(parts, tree(), tree(1))[0]
    chex.assert_trees_all_close(params["kernel"], once["kernel"], rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(params["bias"], tree()["bias"])


@every_link
@pytest.mark.parametrize("mask", [None, jaxreg.kernels, {"kernel": True, "bias": False}])
def test_optax_finds_the_parameters_in_the_state(name, mask):
    tx = LINKS[name](mask)
    state = tx.init(tree())
    doubled = optax.tree_map_params(tx, lambda x: x + 1, state)
    assert jax.tree.structure(doubled) == jax.tree.structure(state)
    chex.assert_trees_all_equal_shapes_and_dtypes(doubled, state)


@every_link
def test_gradients_go_through_the_update(name):
    tx = LINKS[name]()

    def after(params, gradient):
        return optax.tree.norm(steps_with(tx, params, gradient)[0], squared=True)

    slopes = jax.grad(after, argnums=(0, 1))(tree(), tree(1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(slopes))


@every_link
def test_donated_buffers(name):
    tx = LINKS[name]()

    def step(params, state, gradient):
        updates, state = tx.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    expected = steps_with(tx, tree(), tree(1))[0]
    params, _ = jax.jit(step, donate_argnums=(0, 1))(tree(), tx.init(tree()), tree(1))
    chex.assert_trees_all_close(params, expected, rtol=1e-5, atol=1e-6)


def test_injected_strengths_follow_their_schedule():
    schedule = optax.linear_schedule(0.0, 0.3, 3)
    factory = optax.inject_hyperparams(
        lambda strength, learning_rate: jaxreg.prox_sgd(learning_rate, jaxreg.L1(strength)),
        hyperparam_dtype=jnp.float32,
    )
    injected, state = steps(factory(strength=schedule, learning_rate=0.1), tree())
    chex.assert_trees_all_close(
        injected, steps(jaxreg.prox_sgd(0.1, jaxreg.L1(schedule)), tree())[0], rtol=1e-6
    )
    assert state.hyperparams["strength"] == pytest.approx(0.2)
    masked = optax.inject_hyperparams(jaxreg.add_l1, static_args="mask")(
        strength=0.1, mask=jaxreg.kernels
    )
    updates, _ = masked.update(tree(1), masked.init(tree()), tree())
    chex.assert_trees_all_equal(updates["bias"], tree(1)["bias"])
    chex.assert_trees_all_close(
        updates["kernel"], tree(1)["kernel"] + 0.1 * jnp.sign(tree()["kernel"]), rtol=1e-6
    )


def test_multisteps_outside_shrinks_once_per_step():
    # A prox outside of MultiSteps would shrink at every micro-step; inside, four micro-steps shrink
    # once.
    params, nothing = {"w": jnp.ones(3)}, {"w": jnp.zeros(3)}
    tx = optax.MultiSteps(optax.chain(optax.sgd(0.1), jaxreg.prox_l1(1.0, 0.1)), 4)
    state = tx.init(params)
    for _ in range(4):
        updates, state = tx.update(nothing, state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params["w"], 0.9, rtol=1e-6)


def test_schedules_are_read_before_the_count_moves():
    rate = optax.piecewise_constant_schedule(1.0, {1: 0.5})  # 1 at count 0, 0.5 from count 1
    tx = jaxreg.prox_sgd(rate, jaxreg.L1(0.1))
    chained = optax.chain(optax.sgd(rate), jaxreg.prox_l1(0.1, rate))
    for optimizer in (tx, chained):
        params, state = {"w": jnp.array([2.0])}, optimizer.init({"w": jnp.array([2.0])})
        for expected in (2 - 1 - 0.1, 2 - 1 - 0.1 - 0.5 - 0.05):
            updates, state = optimizer.update({"w": jnp.array([1.0])}, state, params)
            params = optax.apply_updates(params, updates)
            np.testing.assert_allclose(params["w"], expected, rtol=1e-6)


def train(tx, seed, count=100):
    """A hundred noisy steps on a small regression; float64."""
    key = jax.random.key(seed)
    x, y, w = (
        jax.random.normal(k, s)
        for k, s in zip(jax.random.split(key, 3), ((64, 8), (64, 4), (8, 4)), strict=True)
    )

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(
            jax.grad(lambda w: jnp.mean(jnp.square(jnp.tanh(x @ w) - y)))(w), state, w
        )
        return (optax.apply_updates(w, updates), state), w

    return jax.jit(lambda: jax.lax.scan(step, (w, tx.init(w)), None, length=count)[1])()


@pytest.mark.parametrize("strength", [1e-3, 0.1])
def test_coupled_l2_is_weight_decay_under_sgd(float64, strength):
    ours = train(optax.chain(jaxreg.add_l2(strength), optax.sgd(0.1, momentum=0.9)), 0)
    decay = train(
        optax.chain(optax.add_decayed_weights(2 * strength), optax.sgd(0.1, momentum=0.9)), 0
    )
    np.testing.assert_allclose(ours, decay, rtol=1e-12)


@pytest.mark.parametrize("strength", [1e-3, 0.1])
def test_decoupled_l2_is_adamw(float64, strength):
    chain = optax.chain(
        optax.scale_by_adam(), jaxreg.add_l2(strength), optax.scale_by_learning_rate(1e-2)
    )
    adamw = train(optax.adamw(1e-2, weight_decay=2 * strength), 0)
    np.testing.assert_allclose(train(chain, 0), adamw, rtol=1e-11)
    coupled = train(optax.chain(jaxreg.add_l2(strength), optax.adam(1e-2)), 0)
    assert np.abs(coupled[-1] - adamw[-1]).max() > 1e-3  # with Adam, the place in the chain matters


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ["chain", "prox_sgd", "prox_adam", "elastic net", "groups"])
def test_zeros_are_exact_and_positive_after_apply_updates(name, dtype):
    tx = {
        "chain": optax.chain(optax.sgd(0.1), jaxreg.prox_l1(1.0, 0.1)),
        "prox_sgd": jaxreg.prox_sgd(0.1, jaxreg.L1(1.0)),
        "prox_adam": jaxreg.prox_adam(0.1, jaxreg.L1(0.05)),
        "elastic net": jaxreg.prox_adam(0.1, jaxreg.ElasticNet(0.05, 0.1)),
        "groups": jaxreg.prox_adam(0.1, jaxreg.GroupL2(0.12, axis=1), mask=jaxreg.kernels),
    }[name]
    params = jax.tree.map(lambda x: (0.3 * x).astype(dtype), tree())
    params["kernel"] = params["kernel"].at[0, 0].set(-0.0).at[1].multiply(1e-3)
    state = tx.init(params)
    step = jax.jit(
        lambda g, s, p: (lambda u, s: (optax.apply_updates(p, u), s))(*tx.update(g, s, p))
    )
    for seed in range(5):
        gradient = jax.tree.map(lambda x: (0.1 * x).astype(dtype), tree(seed))
        params, state = step(gradient, state, params)
    kernel = np.asarray(params["kernel"], np.float32)
    assert params["kernel"].dtype == dtype
    assert 0 < (kernel == 0).sum() < kernel.size
    assert not np.signbit(kernel[kernel == 0]).any()


@every_link
def test_sharded_parameters_stay_sharded_and_get_the_same_result(name):
    devices = jax.devices()
    assert len(devices) == 8
    mesh = jax.make_mesh((4, 2), ("rows", "columns"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    layout = {
        "kernel": jax.NamedSharding(mesh, jax.P("rows", "columns")),
        "bias": jax.NamedSharding(mesh, jax.P("columns")),
    }
    tx = LINKS[name]()
    params, gradient = jax.device_put(tree(), layout), jax.device_put(tree(1), layout)
    state = jax.jit(tx.init)(params)
    updates, _ = jax.jit(tx.update)(gradient, state, params)
    for key in layout:
        assert updates[key].sharding.is_equivalent_to(layout[key], updates[key].ndim)
    alone, _ = tx.update(tree(1), tx.init(tree()), tree())
    chex.assert_trees_all_close(
        jax.device_get(updates), jax.device_get(alone), rtol=1e-5, atol=1e-6
    )
