"""A tree of penalties does to each parameter what its own penalty does alone, whatever holds the
parameters.
"""

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
from problems import diabetes, elastic_net, minimise

import jaxreg

L1 = jaxreg.L1
LINKS = {
    "add_penalty": lambda penalty, mask=None: optax.chain(
        jaxreg.add_penalty(penalty, mask), optax.sgd(0.1)
    ),
    "proximal_step": lambda penalty, mask=None: optax.chain(
        optax.sgd(0.1), jaxreg.proximal_step(penalty, 0.1, mask)
    ),
    "prox_adam": lambda penalty, mask=None: jaxreg.prox_adam(0.1, penalty, mask=mask),
    "prox_sgd": lambda penalty, mask=None: jaxreg.prox_sgd(0.1, penalty, momentum=0.9, mask=mask),
}
every_link = pytest.mark.parametrize("link", LINKS)
PENALTIES = {
    "a": L1(0.3),
    "b": {"kernel": jaxreg.GroupL2(0.5, axis=1), "bias": jaxreg.SquaredL2(0.1)},
    "c": None,
}
# The same tree with the entries of the other leaves replaced by None.
ALONE = {
    "a": {"a": PENALTIES["a"], "b": None, "c": None},
    "b/kernel": {"a": None, "b": {"kernel": PENALTIES["b"]["kernel"], "bias": None}, "c": None},
    "b/bias": {"a": None, "b": {"kernel": None, "bias": PENALTIES["b"]["bias"]}, "c": None},
}


def tree(seed=0):
    a, kernel, bias, c = jax.random.split(jax.random.key(seed), 4)
    layer = {"kernel": jax.random.normal(kernel, (4, 3)), "bias": jax.random.normal(bias, (3,))}
    return {"a": jax.random.normal(a, (5, 2)), "b": layer, "c": {"w": jax.random.normal(c, (2, 2))}}


def name_of(path):
    return jax.tree_util.keystr(path, simple=True, separator="/")


def flat(params):
    return {name_of(path): leaf for path, leaf in jax.tree.leaves_with_path(params)}


def train(tx, params, count=3):
    state = tx.init(params)
    for seed in range(1, count + 1):
        gradient = jax.tree.map(lambda p, seed=seed: jnp.sin(3 * p + seed), params)
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


@every_link
def test_each_leaf_is_what_its_penalty_makes_of_it_alone(link):
    together = flat(train(LINKS[link](PENALTIES), tree()))
    for name, alone in ALONE.items():
        np.testing.assert_array_equal(together[name], flat(train(LINKS[link](alone), tree()))[name])
        (own,) = jax.tree.leaves(alone, is_leaf=lambda node: isinstance(node, jaxreg.Penalty))
        mask = jax.tree.map_with_path(lambda path, _, name=name: name_of(path) == name, tree())
        masked = flat(train(LINKS[link](own, mask), tree()))
        np.testing.assert_array_equal(together[name], masked[name])
        np.testing.assert_array_equal(together["c/w"], masked["c/w"])


@every_link
def test_it_equals_a_partition_into_optimizers(link):
    parts = {name: LINKS[link](L1(strength)) for name, strength in (("strong", 0.3), ("weak", 0.1))}
    labels = {"a": "strong", "b": {"kernel": "weak", "bias": "strong"}, "c": "weak"}
    penalties = {"a": L1(0.3), "b": {"kernel": L1(0.1), "bias": L1(0.3)}, "c": L1(0.1)}
    chex.assert_trees_all_equal(
        train(LINKS[link](penalties), tree()), train(optax.partition(parts, labels), tree())
    )


@every_link
def test_function_mask_and_wrappers(link):
    def by_fan_in(params):
        return jax.tree.map(lambda w: L1(1 / w.shape[0]) if w.ndim > 1 else None, params)

    expected = train(
        LINKS[link]({"a": L1(1 / 5), "b": {"kernel": L1(1 / 4), "bias": None}, "c": L1(1 / 2)}),
        tree(),
    )
    made = LINKS[link](by_fan_in)
    chex.assert_trees_all_equal(train(made, tree()), expected)
    chex.assert_trees_all_equal(
        train(LINKS[link](jax.tree_util.Partial(by_fan_in)), tree()), expected
    )
    # A mask takes away from it.
    masked = flat(train(LINKS[link](by_fan_in, {"a": True, "b": False, "c": True}), tree()))
    unpenalised = flat(train(LINKS[link](ALONE["a"]), tree()))
    np.testing.assert_array_equal(masked["a"], expected["a"])
    np.testing.assert_array_equal(masked["b/kernel"], unpenalised["b/kernel"])

    traces = []
    update = jax.jit(lambda *args: traces.append(link) or made.update(*args))
    params, state = tree(), made.init(tree())
    for seed in (1, 2, 3):
        updates, state = update(tree(seed), state, params)
    assert len(traces) == 1
    several = optax.MultiSteps(made, 2)
    _, waiting = several.update(tree(1), several.init(params), params)
    updates, _ = several.update(tree(1), waiting, params)
    chex.assert_trees_all_close(
        updates, made.update(tree(1), made.init(params), params)[0], rtol=1e-5, atol=1e-6
    )
    for tx in (made, LINKS[link](PENALTIES)):
        doubled = optax.tree_map_params(tx, lambda x: x + 1, tx.init(params))
        chex.assert_trees_all_equal_shapes_and_dtypes(doubled, tx.init(params))


@every_link
def test_holes_need_no_entry_and_may_have_one(link):
    full, expected = LINKS[link](PENALTIES), flat(train(LINKS[link](PENALTIES), tree()))
    without = {**tree(), "b": {**tree()["b"], "bias": None}}
    for penalties in (
        PENALTIES,
        {**PENALTIES, "b": {"kernel": PENALTIES["b"]["kernel"], "bias": None}},
    ):
        np.testing.assert_array_equal(
            train(LINKS[link](penalties), without)["b"]["kernel"], expected["b/kernel"]
        )
    # The first mask replaces the whole subtree `b` by one hole, and functions see the holes too.
    for mask in (
        {"a": True, "b": False, "c": True},
        {"a": True, "b": {"kernel": False, "bias": True}, "c": False},
    ):
        for tx in (
            full,
            LINKS[link](
                lambda params: {**PENALTIES, "a": jax.tree.map(lambda _: L1(0.3), params["a"])}
            ),
        ):
            np.testing.assert_array_equal(train(optax.masked(tx, mask), tree())["a"], expected["a"])
    parts = optax.partition(
        {"on": full, "off": optax.set_to_zero()}, {"a": "on", "b": "on", "c": "off"}
    )
    np.testing.assert_array_equal(train(parts, tree())["b"]["kernel"], expected["b/kernel"])
    optax.partition({"on": full, "off": optax.set_to_zero()}, "off").init(tree())


OPTIMIZERS = {
    "sgd": lambda penalty: jaxreg.prox_sgd(0.1, penalty),
    "sgd, momentum": lambda penalty: jaxreg.prox_sgd(0.02, penalty, momentum=0.9),
    "adam": lambda penalty: jaxreg.prox_adam(1e-2, penalty),
    "rmsprop": lambda penalty: jaxreg.prox_rmsprop(1e-3, penalty),
    "adagrad": lambda penalty: jaxreg.prox_adagrad(0.1, penalty),
    "chain": lambda penalty: optax.chain(optax.sgd(0.1), jaxreg.proximal_step(penalty, 0.1)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_lambda_by_block_reaches_the_weighted_lasso(float64, name):
    problem = diabetes()
    strength = 0.05 * problem.critical
    # λ_b = 3 λ_a is the lasso with one λ for the columns of block b divided by 3, and weights
    # multiplied by 3.
    scales = np.repeat([1.0, 3.0], 5)
    solution = elastic_net(problem.inputs / scales, problem.targets, strength) / scales
    penalty = {"a": L1(strength), "b": L1(3 * strength)}

    def loss(w):
        return problem.loss(jnp.concatenate([w["a"], w["b"]]))

    w = minimise(OPTIMIZERS[name](penalty), loss, {"a": jnp.zeros(5), "b": jnp.zeros(5)})
    joined = np.concatenate([w["a"], w["b"]])
    np.testing.assert_allclose(joined, solution, atol=1e-8)
    np.testing.assert_array_equal(joined != 0, solution != 0)
    assert 0 < np.sum(solution != 0) < 10
    gradient = jax.grad(loss)(w)
    assert jaxreg.kkt_residual(penalty, w, gradient) < 1e-8
    assert jaxreg.kkt_residual(L1(strength), w, gradient) > strength


def test_measures():
    params, gradient = (
        {"w": jnp.array([2.0, 0.0]), "b": jnp.array([1.0])},
        {"w": jnp.array([-0.5, 9.0]), "b": jnp.ones(1)},
    )
    for penalty in ({"w": L1(0.5), "b": None}, lambda params: {"w": L1(0.5), "b": None}):
        assert jaxreg.penalty_value(penalty, params) == 1
        assert jaxreg.kkt_residual(penalty, params, gradient) == 8.5
        assert jaxreg.critical_strength(penalty, gradient) == 9
    both = {"w": L1(10.0), "b": jaxreg.SquaredL2(3.0)}
    assert jaxreg.penalty_value(both, params) == 23
    assert jaxreg.penalty_value(both, params, {"w": False, "b": True}) == 3
    assert jaxreg.kkt_residual(both, params, gradient) == 9.5
    assert jaxreg.kkt_residual(both, params, gradient, {"w": True, "b": False}) == 9.5
    assert jaxreg.critical_strength(both, gradient, {"w": True, "b": False}) == 9
    assert jaxreg.critical_strength(both, gradient) == jnp.inf
    assert jaxreg.penalty_value(lambda _: pytest.fail("called without parameters"), {}) == 0
    scheduled = {"w": L1(optax.constant_schedule(0.5)), "b": None}
    with pytest.raises(TypeError, match=r"call penalty.at\(count\) first"):
        jaxreg.penalty_value(scheduled, params)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)])


def linen_params():
    return nn.Sequential([nn.Dense(4), nn.Dense(2)]).init(jax.random.key(0), jnp.ones((1, 3)))[
        "params"
    ]


def by_size(params):
    return jax.tree.map(lambda w: L1(1 / w.size) if w.ndim > 1 else None, params)


dense = {"kernel": L1(1 / 12), "bias": None}
last = {"kernel": L1(1 / 8), "bias": None}
MODELS = {
    "linen": (linen_params, {"layers_0": dense, "layers_1": last}),
    "frozen": (lambda: freeze(linen_params()), {"layers_0": dense, "layers_1": last}),
    "nnx": (lambda: nnx.state(Net(nnx.Rngs(0)), nnx.Param), {"layers": {0: dense, 1: last}}),
    "nnx, a list": (lambda: nnx.state(Net(nnx.Rngs(0)), nnx.Param), {"layers": [dense, last]}),
    "equinox": (
        lambda: eqx.filter(eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0)), eqx.is_inexact_array),
        {"layers": [{"weight": L1(1 / 12), "bias": None}, {"weight": L1(1 / 8), "bias": None}]},
    ),
}


@pytest.mark.parametrize("model", MODELS)
@every_link
def test_a_plain_dict_fits_every_framework(model, link):
    make, penalties = MODELS[model]
    params = make()
    expected = train(LINKS[link](by_size), params)
    # Made in advance, it is a state or a module like the parameters.
    for given in (penalties, by_size(params)):
        chex.assert_trees_all_equal(train(LINKS[link](given), params), expected)
        assert jaxreg.penalty_value(given, params) == jaxreg.penalty_value(by_size, params) > 0
        assert jaxreg.kkt_residual(given, params, params) == jaxreg.kkt_residual(
            by_size, params, params
        )
    assert jax.tree.structure(expected) == jax.tree.structure(params)


def test_nnx_optimizer():
    model = Net(nnx.Rngs(0))
    tx = jaxreg.prox_adam(3e-2, {"layers": {0: {"kernel": L1(1.0), "bias": None}, 1: L1(1e-4)}})
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    step = nnx.jit(lambda model, optimizer: optimizer.update(model, nnx.state(model, nnx.Param)))
    for _ in range(50):
        step(model, optimizer)
    assert jnp.all(model.layers[0].kernel[...] == 0)
    assert not jnp.all(model.layers[1].kernel[...] == 0)


def test_schedules_by_leaf():
    ramp = optax.linear_schedule(0.0, 0.3, 3)
    for link in LINKS:
        both = train(LINKS[link]({"a": L1(ramp), "b": L1(0.2), "c": None}), tree())
        alone = train(LINKS[link](L1(ramp), {"a": True, "b": False, "c": False}), tree())
        np.testing.assert_array_equal(both["a"], alone["a"])
        constant = train(LINKS[link](L1(0.2), {"a": False, "b": True, "c": False}), tree())
        chex.assert_trees_all_equal(both["b"], constant["b"])
        late = train(LINKS[link](lambda params: jax.tree.map(lambda _: L1(ramp), params)), tree())
        chex.assert_trees_all_equal(late, train(LINKS[link](L1(ramp)), tree()))
    # Only a schedule needs the count, and of a function it is not known in advance.
    for penalty, kind in (
        (PENALTIES, optax.EmptyState),
        ({**PENALTIES, "c": L1(ramp)}, jaxreg.PenaltyState),
    ):
        assert isinstance(jaxreg.add_penalty(penalty).init(tree()), kind)
        assert isinstance(jaxreg.proximal_step(penalty, 0.1).init(tree()), kind)
    assert isinstance(jaxreg.add_penalty(lambda _: PENALTIES).init(tree()), jaxreg.PenaltyState)


@every_link
def test_vmap_over_a_tree(link):
    strengths = jnp.array([0.0, 0.2, 0.4])
    penalties = {"a": L1(strengths), "b": jaxreg.ElasticNet(strengths / 2, jnp.ones(3)), "c": None}
    many = jax.vmap(lambda penalty: train(LINKS[link](penalty), tree()))(penalties)
    one = train(LINKS[link]({"a": L1(0.4), "b": jaxreg.ElasticNet(0.2, 1.0), "c": None}), tree())
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[2], many), one, rtol=1e-5, atol=1e-6)
    values = jax.jit(jax.vmap(lambda penalty: jaxreg.penalty_value(penalty, tree())))(penalties)
    assert values[2] == pytest.approx(
        float(
            jaxreg.penalty_value(
                {"a": L1(0.4), "b": jaxreg.ElasticNet(0.2, 1.0), "c": None}, tree()
            )
        ),
        rel=1e-6,
    )


def test_a_sweep_over_trees():
    def fit(key, hyperparameters, data):
        penalty = hyperparameters["penalty"]
        trained = train(jaxreg.prox_adam(0.1, penalty), data)
        return {
            "zeros": jaxreg.sparsity(trained).fraction,
            "value": jaxreg.penalty_value(penalty, trained),
        }

    strong, weak = np.array([0.0, 0.5], np.float32), np.array([0.25, 0.0], np.float32)
    penalty = {"a": L1(strong), "b": jaxreg.ElasticNet(weak, 0.125), "c": None}
    runs = jaxreg.sweep(fit, jaxreg.grid(penalty=penalty), tree(), seeds=2)
    dataset = runs.dataset()
    assert dict(dataset.sizes) == {"penalty": 2, "seed": 2}
    np.testing.assert_array_equal(dataset["penalty.a.strength"], strong)
    np.testing.assert_array_equal(dataset["penalty.b.l1_strength"], weak)
    np.testing.assert_array_equal(dataset["penalty.b.l2_strength"], 0.125)
    assert dataset["penalty.a.strength"].dims == ("penalty",)
    assert runs.grid.describe(0).startswith("penalty.a.strength = 0, penalty.b.l1_strength = 0.25")
    for i in range(2):
        own = {"a": L1(strong[i]), "b": jaxreg.ElasticNet(weak[i], 0.125), "c": None}
        trained = train(jaxreg.prox_adam(0.1, own), tree())
        np.testing.assert_allclose(
            dataset["value"][i, 1], jaxreg.penalty_value(own, trained), rtol=1e-5
        )
        assert float(dataset["zeros"][i, 1]) == pytest.approx(
            float(jaxreg.sparsity(trained).fraction)
        )
    # Penalties in a list are a tree too, not numbers.
    assert jaxreg.grid(penalty=[L1(strong), L1(weak)]).shape == (2,)


def test_inject_hyperparams():
    # A function is an argument like the mask that is a function, and a tree needs nothing.
    factory = optax.inject_hyperparams(jaxreg.prox_adam, static_args=("penalty", "mask"))
    expected = train(LINKS["prox_adam"](PENALTIES), tree())
    for tx in (
        optax.inject_hyperparams(jaxreg.prox_adam)(0.1, PENALTIES),
        factory(0.1, PENALTIES),
        factory(0.1, lambda _: PENALTIES),
    ):
        # The wrapper rounds b1 and b2 to float32.
        chex.assert_trees_all_close(train(tx, tree()), expected, rtol=1e-4)
    forgotten = optax.inject_hyperparams(jaxreg.prox_adam)(0.1, by_size)
    with pytest.raises(
        TypeError,
        match="expected a penalty .* got None; with optax.inject_hyperparams, .* static_args",
    ):
        forgotten.init(tree())
