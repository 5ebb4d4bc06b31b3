"""Links and optimizers obey optax's contract, with one penalty, a tree of penalties, and masks."""

import functools

import chex
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.core import freeze

import jaxreg

L1 = jaxreg.L1
RAMP = optax.linear_schedule(0.0, 0.2, 9)
RATE = optax.linear_schedule(0.1, 0.0, 9)
LINKS = {
    "add_l1": lambda mask=None: optax.chain(jaxreg.add_l1(0.1, mask), optax.sgd(0.1)),
    "add_l2": lambda mask=None: optax.chain(
        optax.scale_by_adam(), jaxreg.add_l2(0.1, mask), optax.scale_by_learning_rate(0.1)
    ),
    "add_penalty": lambda mask=None: optax.chain(
        jaxreg.add_penalty(jaxreg.ElasticNet(0.1, 0.1), mask), optax.sgd(0.1)
    ),
    "proximal_step": lambda mask=None: optax.chain(
        optax.sgd(0.1), jaxreg.proximal_step(jaxreg.GroupL2(0.1), 0.1, mask)
    ),
    "scheduled prox_l1": lambda mask=None: optax.chain(
        optax.sgd(RATE), jaxreg.prox_l1(RAMP, RATE, mask)
    ),
    "prox_sgd": lambda mask=None: jaxreg.prox_sgd(0.1, L1(0.1), momentum=0.9, mask=mask),
    "prox_adam": lambda mask=None: jaxreg.prox_adam(0.1, L1(RAMP), mask=mask),
    "prox_adam, groups": lambda mask=None: jaxreg.prox_adam(0.1, jaxreg.GroupL2(0.1), mask=mask),
}
every_link = pytest.mark.parametrize("name", LINKS)


def tree(seed=0):
    random = np.random.default_rng(seed)
    return {
        "kernel": jnp.asarray(random.normal(size=(8, 4)), jnp.float32),
        "bias": jnp.asarray(random.normal(size=4), jnp.float32),
    }


def one_step(tx, params, gradient, state=None):
    updates, state = tx.update(gradient, tx.init(params) if state is None else state, params)
    return optax.apply_updates(params, updates), state


def train(tx, params, count=3):
    state = tx.init(params)
    for seed in range(1, count + 1):
        gradient = jax.tree.map(lambda p, seed=seed: jnp.sin(3 * p + seed), params)
        params, state = one_step(tx, params, gradient, state)
    return params


@every_link
def test_one_trace_serves_every_step_with_donated_buffers_under_scan_and_vmap(name):
    tx, traces = LINKS[name](), []

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, seed):
        traces.append(name)
        gradient = jax.tree.map(lambda p: jnp.sin(3 * p + seed), params)
        updates, state = tx.update(gradient, state, params, value=jnp.zeros([]), unheard_of=3)
        return optax.apply_updates(params, updates), state

    def fit(params):
        return jax.lax.scan(
            lambda now, seed: (step(*now, seed), None),
            (params, tx.init(params)),
            jnp.arange(1.0, 4),
        )[0]

    params, state = tree(), tx.init(tree())
    for seed in (1.0, 2.0, 3.0):
        params, state = step(params, state, seed)
    assert len(traces) == 1
    chex.assert_trees_all_close(params, train(tx, tree()), rtol=1e-5, atol=1e-6)
    many = jax.jit(jax.vmap(fit))(jax.tree.map(lambda *leaves: jnp.stack(leaves), tree(7), tree()))
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], many[0]), params, rtol=1e-5, atol=1e-6)


@every_link
def test_states_and_updates_keep_types(name):
    def check_named(state):
        assert isinstance(state, tuple)
        if type(state) is tuple:
            jax.tree.map(check_named, state, is_leaf=lambda node: node is not state)
        else:
            assert hasattr(state, "_fields")

    for mask in (None, jaxreg.kernels, {"kernel": True, "bias": False}):
        tx = LINKS[name](mask)
        state = tx.init(tree())
        check_named(state)
        raised = optax.tree_map_params(tx, lambda x: x + 1, state)
        chex.assert_trees_all_equal_shapes_and_dtypes(raised, state)
        for dtype in (jnp.bfloat16, jnp.float16, jnp.float32):
            params = jax.tree.map(
                lambda x, dtype=dtype: jax.ShapeDtypeStruct(x.shape, dtype), tree()
            )
            before = jax.eval_shape(tx.init, params)
            updates, after = jax.eval_shape(tx.update, params, before, params)
            assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}
            assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
                lambda x: (x.shape, x.dtype), before
            )


@every_link
def test_a_mask_spares_what_it_leaves_out_and_sees_parameters(name):
    seen = []

    def function(params):
        seen.append(params)
        return jaxreg.kernels(params)

    everywhere = train(LINKS[name](), tree())
    for mask in (jaxreg.kernels, {"kernel": True, "bias": False}, function):
        spared = train(LINKS[name](mask), tree(), 1 if mask is function else 3)
        if mask is not function:
            chex.assert_trees_all_close(spared["kernel"], everywhere["kernel"], rtol=1e-6)
            assert not np.allclose(spared["bias"], everywhere["bias"])
    assert len(seen) >= 2
    for params in seen:
        chex.assert_trees_all_equal(params, tree())
    others = train(LINKS[name]({"kernel": False, "bias": True}), tree())
    chex.assert_trees_all_close(others["bias"], everywhere["bias"], rtol=1e-6)
    assert not np.allclose(others["kernel"], everywhere["kernel"])


@every_link
def test_none_leaves_and_masked_nodes_pass(name):
    tx, full = LINKS[name](), one_step(LINKS[name](), tree(), tree(1))[0]
    params, _ = one_step(tx, {**tree(), "static": None}, {**tree(1), "static": None})
    assert params["static"] is None
    if "prox_sgd" not in name and "adam" not in name and name != "add_l2":
        # A frozen parameter has no update.
        tx = LINKS[name](jaxreg.kernels)
        updates, _ = tx.update({"kernel": None, "bias": tree(1)["bias"]}, tx.init(tree()), tree())
        assert updates["kernel"] is None and updates["bias"] is not None
    masked = optax.masked(LINKS[name](), {"kernel": True, "bias": False})
    params, _ = one_step(masked, tree(), tree(1))
    chex.assert_trees_all_equal(params["bias"], tree()["bias"] + tree(1)["bias"])
    chex.assert_trees_all_close(params["kernel"], full["kernel"], rtol=1e-6)


@pytest.mark.parametrize("name", ["add_l1", "scheduled prox_l1", "prox_adam"])
def test_wrappers_of_optax_and_gradients_through_an_update(name):
    tx = LINKS[name]()
    once = one_step(tx, tree(), tree(1))[0]
    accumulated = optax.MultiSteps(tx, 2)
    params, state = one_step(accumulated, tree(), tree(1))
    chex.assert_trees_all_equal(params, tree())
    chex.assert_trees_all_close(
        one_step(accumulated, params, tree(1), state)[0], once, rtol=1e-5, atol=1e-6
    )

    guarded = optax.apply_if_finite(tx, 3)
    chex.assert_trees_all_close(one_step(guarded, tree(), tree(1))[0], once, rtol=1e-5, atol=1e-6)
    broken = jax.tree.map(lambda x: x * jnp.nan, tree(1))
    chex.assert_trees_all_equal(one_step(guarded, tree(), broken)[0], tree())

    parts = optax.partition(
        {"all": tx, "none": optax.set_to_zero()}, {"kernel": "all", "bias": "none"}
    )
    params = one_step(parts, tree(), tree(1))[0]
    chex.assert_trees_all_close(params["kernel"], once["kernel"], rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(params["bias"], tree()["bias"])
    # A part without parameters is not a mistake.
    optax.partition({"on": tx, "off": optax.set_to_zero()}, "off").init(tree())

    slopes = jax.grad(
        lambda *at: optax.tree.norm(one_step(tx, *at)[0], squared=True), argnums=(0, 1)
    )(tree(), tree(1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(slopes))


def test_injected_strengths_follow_their_schedule():
    schedule = optax.linear_schedule(0.0, 0.3, 3)
    factory = optax.inject_hyperparams(
        lambda strength, learning_rate: jaxreg.prox_sgd(learning_rate, L1(strength)),
        hyperparam_dtype=jnp.float32,
    )
    injected = train(factory(strength=schedule, learning_rate=0.1), tree())
    chex.assert_trees_all_close(
        injected, train(jaxreg.prox_sgd(0.1, L1(schedule)), tree()), rtol=1e-6
    )
    masked = optax.inject_hyperparams(jaxreg.add_l1, static_args="mask")(
        strength=0.1, mask=jaxreg.kernels
    )
    updates, _ = masked.update(tree(1), masked.init(tree()), tree())
    chex.assert_trees_all_equal(updates["bias"], tree(1)["bias"])
    expected = tree(1)["kernel"] + 0.1 * jnp.sign(tree()["kernel"])
    chex.assert_trees_all_close(updates["kernel"], expected, rtol=1e-6)
    # A function is an argument like the mask that is a function, and a tree needs nothing.
    both = {"kernel": L1(0.3), "bias": None}
    expected = train(jaxreg.prox_adam(0.1, both), tree())
    static = optax.inject_hyperparams(jaxreg.prox_adam, static_args=("penalty", "mask"))
    for tx in (optax.inject_hyperparams(jaxreg.prox_adam)(0.1, both), static(0.1, lambda _: both)):
        # The wrapper rounds b1 and b2 to float32.
        chex.assert_trees_all_close(train(tx, tree()), expected, rtol=1e-4, atol=1e-5)


def test_schedules_are_read_before_the_count_moves_and_multisteps_shrinks_once():
    rate = optax.piecewise_constant_schedule(1.0, {1: 0.5})  # 1 at count 0, 0.5 from count 1
    for tx in (
        jaxreg.prox_sgd(rate, L1(0.1)),
        optax.chain(optax.sgd(rate), jaxreg.prox_l1(0.1, rate)),
    ):
        params, state = jnp.array([2.0]), tx.init(jnp.array([2.0]))
        for expected in (2 - 1 - 0.1, 2 - 1 - 0.1 - 0.5 - 0.05):
            params, state = one_step(tx, params, jnp.array([1.0]), state)
            np.testing.assert_allclose(params, expected, rtol=1e-6)
    # A prox outside of MultiSteps would shrink at every micro-step; inside, four shrink once.
    tx = optax.MultiSteps(optax.chain(optax.sgd(0.1), jaxreg.prox_l1(1.0, 0.1)), 4)
    params, state = jnp.ones(3), tx.init(jnp.ones(3))
    for _ in range(4):
        params, state = one_step(tx, params, jnp.zeros(3), state)
    np.testing.assert_allclose(params, 0.9, rtol=1e-6)


@pytest.mark.parametrize("strength", [1e-3, 0.1])
def test_coupled_and_decoupled_l2_are_those_of_optax(float64, strength):
    direction = optax.chain(
        optax.scale_by_adam(), jaxreg.add_l2(strength), optax.scale_by_learning_rate(1e-2)
    )
    w = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)))
    sgd = optax.sgd(0.1, momentum=0.9)
    decayed = train(optax.chain(optax.add_decayed_weights(2 * strength), sgd), w, 20)
    np.testing.assert_allclose(
        train(optax.chain(jaxreg.add_l2(strength), sgd), w, 20), decayed, rtol=1e-11
    )
    adamw = train(optax.adamw(1e-2, weight_decay=2 * strength), w, 20)
    np.testing.assert_allclose(train(direction, w, 20), adamw, rtol=1e-11)
    coupled = train(optax.chain(jaxreg.add_l2(strength), optax.adam(1e-2)), w, 20)
    assert np.abs(coupled - adamw).max() > 1e-4  # with Adam, the place in the chain matters


ZEROS = {
    "chain": optax.chain(optax.sgd(0.1), jaxreg.prox_l1(1.0, 0.1)),
    "prox_adam": jaxreg.prox_adam(0.1, jaxreg.ElasticNet(0.05, 0.1)),
    "groups": jaxreg.prox_adam(0.1, jaxreg.GroupL2(0.12, axis=1), mask=jaxreg.kernels),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ZEROS)
def test_zeros_are_exact_and_positive_after_apply_updates(name, dtype):
    params = jax.tree.map(lambda x: (0.3 * x).astype(dtype), tree())
    params["kernel"] = params["kernel"].at[0, 0].set(-0.0).at[1].multiply(1e-3)
    step, state = jax.jit(lambda g, s, p: one_step(ZEROS[name], p, g, s)), ZEROS[name].init(params)
    for seed in range(5):
        params, state = step(
            jax.tree.map(lambda x: (0.1 * x).astype(dtype), tree(seed)), state, params
        )
    kernel = np.asarray(params["kernel"], np.float32)
    assert params["kernel"].dtype == dtype and 0 < (kernel == 0).sum() < kernel.size
    assert not np.signbit(kernel[kernel == 0]).any()


# Trees of penalties.
USES = {
    "add_penalty": lambda penalty, mask=None: optax.chain(
        jaxreg.add_penalty(penalty, mask), optax.sgd(0.1)
    ),
    "proximal_step": lambda penalty, mask=None: optax.chain(
        optax.sgd(0.1), jaxreg.proximal_step(penalty, 0.1, mask)
    ),
    "prox_adam": lambda penalty, mask=None: jaxreg.prox_adam(0.1, penalty, mask=mask),
}
every_use = pytest.mark.parametrize("use", USES)
PENALTIES = {
    "a": L1(0.3),
    "b": {"kernel": jaxreg.GroupL2(0.5, axis=1), "bias": jaxreg.SquaredL2(0.1)},
    "c": None,
}
NONE = {"a": None, "b": {"kernel": None, "bias": None}, "c": None}
# The path of each leaf, and the same tree with None for the other leaves.
ALONE = {
    ("a",): {**NONE, "a": PENALTIES["a"]},
    ("b", "kernel"): {**NONE, "b": {"kernel": PENALTIES["b"]["kernel"], "bias": None}},
    ("b", "bias"): {**NONE, "b": {"kernel": None, "bias": PENALTIES["b"]["bias"]}},
}


def blocks(seed=0):
    random = np.random.default_rng(seed)
    shapes = {"a": (5, 2), "b": {"kernel": (4, 3), "bias": (3,)}, "c": {"w": (2, 2)}}
    return jax.tree.map(
        lambda shape: jnp.asarray(random.normal(size=shape), jnp.float32),
        shapes,
        is_leaf=lambda s: isinstance(s, tuple),
    )


def leaf_at(params, path):
    return functools.reduce(lambda node, key: node[key], path, params)


@every_use
def test_each_leaf_is_what_its_penalty_makes_of_it_alone(use):
    together = train(USES[use](PENALTIES), blocks())
    for path, alone in ALONE.items():
        np.testing.assert_array_equal(
            leaf_at(together, path), leaf_at(train(USES[use](alone), blocks()), path)
        )
        mask = jax.tree.map_with_path(
            lambda keys, _, path=path: tuple(k.key for k in keys) == path, blocks()
        )
        masked = train(USES[use](leaf_at(PENALTIES, path), mask), blocks())
        np.testing.assert_array_equal(leaf_at(together, path), leaf_at(masked, path))
        np.testing.assert_array_equal(together["c"]["w"], masked["c"]["w"])


@every_use
def test_functions_masks_schedules_and_partitions(use):
    def by_fan_in(params):
        return jax.tree.map(lambda w: L1(1 / w.shape[0]) if w.ndim > 1 else None, params)

    tree = {"a": L1(1 / 5), "b": {"kernel": L1(1 / 4), "bias": None}, "c": L1(1 / 2)}
    expected = train(USES[use](tree), blocks())
    for function in (by_fan_in, jax.tree_util.Partial(by_fan_in)):
        chex.assert_trees_all_equal(train(USES[use](function), blocks()), expected)
    # A mask takes away from it.
    masked = train(USES[use](by_fan_in, {"a": True, "b": False, "c": True}), blocks())
    np.testing.assert_array_equal(masked["a"], expected["a"])
    np.testing.assert_array_equal(
        masked["b"]["kernel"], train(USES[use](ALONE["a",]), blocks())["b"]["kernel"]
    )
    parts = {name: USES[use](L1(strength)) for name, strength in (("strong", 0.3), ("weak", 0.1))}
    labels = {"a": "strong", "b": {"kernel": "weak", "bias": "strong"}, "c": "weak"}
    tree = {"a": L1(0.3), "b": {"kernel": L1(0.1), "bias": L1(0.3)}, "c": L1(0.1)}
    chex.assert_trees_all_equal(
        train(USES[use](tree), blocks()), train(optax.partition(parts, labels), blocks())
    )
    # Each leaf may have a schedule.
    both = train(USES[use]({"a": L1(RAMP), "b": L1(0.2), "c": None}), blocks())
    alone = train(USES[use](L1(RAMP), {"a": True, "b": False, "c": False}), blocks())
    np.testing.assert_array_equal(both["a"], alone["a"])
    late = train(USES[use](lambda params: jax.tree.map(lambda _: L1(RAMP), params)), blocks())
    chex.assert_trees_all_equal(late, train(USES[use](L1(RAMP)), blocks()))


def test_only_a_schedule_needs_the_count():
    for penalty, kind in (
        (PENALTIES, optax.EmptyState),
        ({**PENALTIES, "c": L1(RAMP)}, jaxreg.PenaltyState),
    ):
        assert isinstance(jaxreg.add_penalty(penalty).init(blocks()), kind)
        assert isinstance(jaxreg.proximal_step(penalty, 0.1).init(blocks()), kind)
    # What a function returns is not known in advance.
    assert isinstance(jaxreg.add_penalty(lambda _: PENALTIES).init(blocks()), jaxreg.PenaltyState)


@every_use
def test_holes_need_no_entry_and_may_have_one(use):
    full = USES[use](PENALTIES)
    expected = train(full, blocks())
    without = {**blocks(), "b": {**blocks()["b"], "bias": None}}
    for penalties in (
        PENALTIES,
        {**PENALTIES, "b": {"kernel": PENALTIES["b"]["kernel"], "bias": None}},
    ):
        found = train(USES[use](penalties), without)
        np.testing.assert_array_equal(found["b"]["kernel"], expected["b"]["kernel"])
    # Masks of optax replace whole subtrees by one hole, which functions see too.
    late = USES[use](
        lambda params: {**PENALTIES, "a": jax.tree.map(lambda _: L1(0.3), params["a"])}
    )
    for mask in (
        {"a": True, "b": False, "c": True},
        {"a": True, "b": {"kernel": False, "bias": True}, "c": False},
    ):
        for tx in (full, late):
            np.testing.assert_array_equal(
                train(optax.masked(tx, mask), blocks())["a"], expected["a"]
            )


def test_vmap_over_a_tree():
    strengths = jnp.array([0.0, 0.2, 0.4])
    many = {"a": L1(strengths), "b": jaxreg.ElasticNet(strengths / 2, jnp.ones(3)), "c": None}
    last = {"a": L1(0.4), "b": jaxreg.ElasticNet(0.2, 1.0), "c": None}
    found = jax.jit(jax.vmap(lambda penalty: train(USES["prox_adam"](penalty), blocks())))(many)
    expected = train(USES["prox_adam"](last), blocks())
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[2], found), expected, rtol=1e-5, atol=1e-6)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)])


def linen_params():
    return nn.Sequential([nn.Dense(4), nn.Dense(2)]).init(jax.random.key(0), jnp.ones((1, 3)))[
        "params"
    ]


def by_size(params):
    return jax.tree.map(lambda w: L1(1 / w.size) if w.ndim > 1 else None, params)


FIRST, LAST = {"kernel": L1(1 / 12), "bias": None}, {"kernel": L1(1 / 8), "bias": None}
MODELS = {
    "frozen": (lambda: freeze(linen_params()), {"layers_0": FIRST, "layers_1": LAST}),
    "nnx": (lambda: nnx.state(Net(nnx.Rngs(0)), nnx.Param), {"layers": {0: FIRST, 1: LAST}}),
    "nnx, a list": (lambda: nnx.state(Net(nnx.Rngs(0)), nnx.Param), {"layers": [FIRST, LAST]}),
    "equinox": (
        lambda: eqx.filter(eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0)), eqx.is_inexact_array),
        {"layers": [{"weight": L1(1 / 12), "bias": None}, {"weight": L1(1 / 8), "bias": None}]},
    ),
}


@pytest.mark.parametrize("model", MODELS)
def test_a_plain_dict_fits_every_framework(model):
    make, penalties = MODELS[model]
    params = make()
    expected = train(USES["prox_adam"](by_size), params)
    # Made in advance, it is a state or a module like the parameters.
    for given in (penalties, by_size(params)):
        chex.assert_trees_all_equal(train(USES["prox_adam"](given), params), expected)
        assert jaxreg.penalty_value(given, params) == jaxreg.penalty_value(by_size, params) > 0
        residual = jaxreg.kkt_residual(by_size, params, params)
        assert jaxreg.kkt_residual(given, params, params) == residual
    assert jax.tree.structure(expected) == jax.tree.structure(params)


def test_decay_that_does_not_depend_on_the_rate():
    """As plain formulas, with a rate and a step size that both change."""
    rates, sizes = optax.linear_schedule(0.5, 0.0, 4), optax.linear_schedule(0.01, 0.03, 4)
    tx = optax.chain(optax.sgd(rates), jaxreg.add_penalty(jaxreg.SquaredL2(0.5), step_size=sizes))
    w = expected = jnp.array([1.0, -2.0])
    state = tx.init(w)
    for count in range(4):
        updates, state = tx.update(jnp.ones(2), state, w)
        w, expected = w + updates, expected - rates(count) - sizes(count) * expected
    np.testing.assert_allclose(w, expected, rtol=1e-6)


@pytest.mark.parametrize("after", [False, True])
def test_a_cautious_penalty_pulls_where_the_update_agrees(after):
    w, gradient = jnp.array([1.0, -2.0, 3.0, -4.0, 5.0]), jnp.array([1.0, 1.0, -1.0, -1.0, 0.0])
    pull = jnp.array([1.0, 0.0, 0.0, 1.0, 1.0])
    if after:
        l1 = jaxreg.add_penalty(jaxreg.L1(2.0), step_size=0.1, cautious=True)
        tx, rate = optax.chain(optax.sgd(0.5), l1), 0.1
    else:
        tx, rate = (
            optax.chain(jaxreg.add_penalty(jaxreg.L1(2.0), cautious=True), optax.sgd(0.5)),
            0.5,
        )
    updates, _ = tx.update(gradient, tx.init(w), w)
    expected = -0.5 * gradient - rate * 2.0 * pull * jnp.sign(w)
    np.testing.assert_allclose(updates, expected, rtol=1e-6)
