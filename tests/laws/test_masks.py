"""Masks by path select the same leaves of dicts, lists, linen, nnx and Equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from jax.experimental import sparse

import jaxreg

L1 = jaxreg.L1(0.1)
LAYER = {
    "attention": {"key": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}},
    "norm": {"scale": jnp.ones(2)},
}
NESTED = {
    "embed": {"table": jnp.ones((5, 2))},
    "blocks": [LAYER] * 2,
    "head": {"kernel": jnp.ones((2, 3))},
}
NAMES = set(jaxreg.sparsity(NESTED).leaves)
KEYS = {f"blocks/{i}/attention/key/kernel" for i in (0, 1)}
BIASES = {f"blocks/{i}/attention/key/bias" for i in (0, 1)}
FIRST = {name for name in NAMES if name.startswith("blocks/0/")}
NORMS = {f"blocks/{i}/norm/scale" for i in (0, 1)}


def selected(mask, params=NESTED):
    return set(jaxreg.sparsity(params, mask).leaves)


PATTERNS = {
    "embed": {"embed/table"},
    "embed/table": {"embed/table"},
    "blocks/*/attention": KEYS | BIASES,
    "blocks/*/attention/*": KEYS | BIASES,
    "blocks/0": FIRST,
    "*/kernel": {"head/kernel"},
    "**/kernel": KEYS | {"head/kernel"},
    "blocks/**/bias": BIASES,
    "blocks/?/norm/**/scale": NORMS,
    "blocks/[!0]": {name.replace("0", "1") for name in FIRST},
    "**": NAMES,
    "*": NAMES,
    "*e*": {"embed/table", "head/kernel"},
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern):
    expected = PATTERNS[pattern]
    assert selected(jaxreg.matching(pattern)) == expected
    assert selected(~jaxreg.matching(pattern)) == NAMES - expected
    assert selected({pattern: True, **({} if expected == NAMES else {"**": False})}) == expected
    rest = {} if expected == NAMES else {"**": None}
    value = jaxreg.penalty_value(L1, NESTED, jaxreg.matching(pattern))
    assert jaxreg.penalty_value({pattern: L1, **rest}, NESTED) == value > 0


def test_combinations():
    embed, bias = jaxreg.matching("embed"), jaxreg.matching("**/bias")
    kernels = KEYS | {"head/kernel"}
    assert selected(jaxreg.kernels & ~embed) == selected(~embed & jaxreg.kernels) == kernels
    assert selected(jaxreg.matching("embed", "blocks/*/norm", "e*")) == {"embed/table"} | NORMS
    assert selected(jaxreg.matching("blocks/*/attention") & ~bias) == KEYS
    prefix = {"blocks/0": True, "**": False}
    assert selected(jaxreg.matching("blocks") & prefix & ~bias) == FIRST - BIASES
    assert selected(lambda params: {"embed": True, "**": False}) == {"embed/table"}


def test_the_most_specific_key_holds():
    # Each penalty has a strength of its own, so that the value says which leaves have it.
    tree = {
        "**": jaxreg.L1(1.0),
        "**/kernel": jaxreg.L1(100.0),
        "embed": None,
        "blocks/1/attention/key/kernel": jaxreg.L1(1e4),
    }
    assert jaxreg.penalty_value(tree, NESTED) == 1e4 * 4 + 100 * (4 + 6) + 1 * (2 + 2 + 2 + 2)


def test_names_that_hold_slashes_or_patterns():
    haiku = {
        "mlp/~/linear_0": {"w": jnp.ones((2, 2))},
        "mlp/~/linear_1": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)},
    }
    weights = {"mlp/~/linear_0/w", "mlp/~/linear_1/w"}
    assert selected(jaxreg.matching("mlp/~/linear_?/w"), haiku) == weights
    prefix = {"mlp/~/linear_0": True, "mlp/~/linear_1": False}
    assert selected(prefix, haiku) == {"mlp/~/linear_0/w"}
    assert selected({"w*": True, "wide": False}, {"w*": jnp.ones(2), "wide": jnp.ones(2)}) == {"w*"}


class Net(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(4, 6, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(6, 6, rngs=rngs) for _ in range(2)])

    def __call__(self, x):
        return self.blocks[1](self.blocks[0](self.embed(x)))


STATE = nnx.state(Net(nnx.Rngs(0)), nnx.Param)
LAYERS = {0: {"kernel": True, "bias": False}, 1: {"kernel": True, "bias": False}}
BOTH = {"blocks/0/kernel", "blocks/1/kernel"}
WAYS = {
    "dict": ({"embed": False, "blocks": LAYERS}, BOTH),
    "prefix": ({"embed": False, "blocks": True}, BOTH | {"blocks/0/bias", "blocks/1/bias"}),
    "state": (jax.tree.map(lambda leaf: leaf.shape == (6, 6), STATE), BOTH),
    "kernels": (jaxreg.kernels(STATE), BOTH | {"embed/embedding"}),
    "matching": (jaxreg.matching("blocks/*/kernel"), BOTH),
    "keys": ({"blocks/*/kernel": True, "**": False}, BOTH),
    "filter": (nnx.PathContains("kernel"), BOTH),
    "filters": (nnx.All(nnx.PathContains("blocks"), nnx.Not(nnx.PathContains("bias"))), BOTH),
    "function of the path": (lambda path, leaf: path[0] == "blocks" and leaf.ndim == 2, BOTH),
    "everything": (..., set(jaxreg.sparsity(STATE).leaves)),
}


@pytest.mark.parametrize("way", WAYS)
def test_nnx_optimizer_takes_every_kind_of_mask(way):
    mask, expected = WAYS[way]
    net = Net(nnx.Rngs(0))
    # nnx.Optimizer calls init with variables and update with arrays.
    optimizer = nnx.Optimizer(net, jaxreg.prox_sgd(1.0, jaxreg.L1(1e3), mask=mask), wrt=nnx.Param)
    optimizer.update(net, nnx.grad(lambda net: jnp.mean(net(jnp.arange(4)) ** 2))(net))
    leaves = jaxreg.sparsity(nnx.state(net, nnx.Param)).leaves
    assert {name for name, leaf in leaves.items() if int(leaf.nonzeros) == 0} == expected


def test_penalties_that_are_a_state():
    net = Net(nnx.Rngs(0))
    penalties = jax.tree.map(lambda leaf: jaxreg.L1(1e3), nnx.state(net, nnx.Param))
    optimizer = nnx.Optimizer(net, jaxreg.prox_sgd(1.0, penalties), wrt=nnx.Param)
    optimizer.update(net, nnx.grad(lambda net: jnp.mean(net(jnp.arange(4)) ** 2))(net))
    assert int(jaxreg.sparsity(nnx.state(net, nnx.Param)).nonzeros) == 0


def test_masks_inside_optax_masked():
    params, outer = {"a": {"w": jnp.ones(2)}, "b": jnp.ones(3)}, {"a": True, "b": False}
    for mask in (
        outer,
        {"a": {"w": True}, "b": False},
        jaxreg.matching("a/w"),
        {"**/w": True, "b": False},
    ):
        tx = optax.masked(jaxreg.prox_sgd(1.0, L1, mask=mask), outer)
        updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
        np.testing.assert_allclose(updates["a"]["w"], -0.1, rtol=1e-6)
    # What was removed is no mistake, even if it is all that a pattern selects.
    tx = optax.masked(jaxreg.prox_sgd(1.0, L1, mask=jaxreg.matching("a", "b/c")), outer)
    tx.init({"a": jnp.ones(2), "b": {"c": {"d": jnp.ones(2)}}})


def test_values_beside_other_leaves():
    # The attribute `value` is left out of names, but the leaves beside it keep their own entry.
    class Module(eqx.Module):
        value: jax.Array
        other: jax.Array

    params = {"layer": Module(jnp.ones(2), jnp.ones(3))}
    assert selected({"layer": Module(True, False)}, params) == {"layer"}
    assert selected({"layer": Module(False, True)}, params) == {"layer/other"}


def test_what_a_mask_leaves_out_need_not_be_an_array():
    module = eqx.nn.MLP(6, 1, 4, 2, key=jax.random.key(0))
    arrays = eqx.filter(module, eqx.is_inexact_array)
    gradient, mask = jax.tree.map(jnp.ones_like, arrays), jaxreg.kernels
    assert str(jaxreg.sparsity(module, mask)) == str(jaxreg.sparsity(arrays, mask))
    assert jaxreg.penalty_value(L1, module, mask) == jaxreg.penalty_value(L1, arrays, mask)
    residual = jaxreg.kkt_residual(L1, arrays, gradient, mask)
    assert jaxreg.kkt_residual(L1, module, gradient, mask) == residual
    few = eqx.filter(jaxreg.keep_largest(module, 0.5, mask), eqx.is_inexact_array)
    assert eqx.tree_equal(few, jaxreg.keep_largest(arrays, 0.5, mask))


def test_integers_are_no_weights():
    params = {
        "count": jnp.arange(4).reshape(2, 2),
        "key": jax.random.split(jax.random.key(0), (2, 2)),
        "held": jnp.ones((2, 2), bool),
        "kernel": jnp.array([[1.0, 0.0], [2.0, 3.0]]),
        "steps": 3,
    }
    assert set(jaxreg.sparsity(params).leaves) == selected(jaxreg.kernels, params) == {"kernel"}
    assert [name for name, chosen in jaxreg.kernels(params).items() if chosen] == ["kernel"]
    dense = jnp.zeros((20, 10)).at[3, 4].set(1.0).at[5, 0].set(2.0)
    layer = {"kernel": sparse.BCOO.fromdense(dense), "bias": jnp.ones(10)}
    shapes = {leaf.shape for leaf in jaxreg.sparsity({"first": layer}).leaves.values()}
    assert shapes == {(2,), (10,)}
    assert not jaxreg.sparsity({"first": layer}, jaxreg.kernels).leaves
    assert jaxreg.penalty_value(L1, params, jaxreg.kernels) == jnp.float32(0.1) * 6
    few = jaxreg.keep_largest(params, 0.25, jaxreg.kernels)
    assert jnp.array_equal(few["count"], params["count"]) and int(jnp.sum(few["kernel"] != 0)) == 1


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_strict_promotion(dtype):
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), dtype)
    params = {"kernel": kernel, "bias": jnp.ones(3, jnp.float32)}
    gradient = jax.tree.map(lambda leaf: (0.5 * leaf).astype(leaf.dtype), params)

    def measures():
        return (
            jaxreg.kkt_residual(L1, params, gradient, jaxreg.kernels),
            jaxreg.kkt_residual(L1, params, gradient),
            jaxreg.penalty_value(L1, params),
            jaxreg.critical_strength(L1, gradient),
        )

    expected = measures()
    with jax.numpy_dtype_promotion("strict"):
        assert measures() == expected
        tx = jaxreg.prox_sgd(optax.constant_schedule(0.1), L1, momentum=0.9, mask=jaxreg.kernels)
        assert tx.update(gradient, tx.init(params), params)[0]["kernel"].dtype == dtype


X = jnp.asarray(np.random.default_rng(0).normal(size=(32, 6)), jnp.float32)
Y = X[:, :1] - 2 * X[:, 1:2]
MLP = eqx.nn.MLP(6, 1, 8, 1, activation=jnp.tanh, key=jax.random.key(1))
ARRAYS, STATIC = eqx.partition(MLP, eqx.is_inexact_array)
LINEN = linen.Sequential([linen.Dense(8), linen.tanh, linen.Dense(1)])
PLAIN = [
    jax.random.normal(jax.random.key(1), (6, 8)),
    (jnp.ones(8), 0.3 * jax.random.normal(jax.random.key(2), (8, 1))),
]
TRAINED = {
    "plain": (lambda p, x: jnp.tanh(x @ p[0] + p[1][0]) @ p[1][1], PLAIN, {"0", "1/1"}),
    "linen": (
        LINEN.apply,
        LINEN.init(jax.random.key(1), X),
        {"params/layers_0/kernel", "params/layers_2/kernel"},
    ),
    "equinox": (
        lambda p, x: jax.vmap(eqx.combine(p, STATIC))(x),
        ARRAYS,
        {"layers/0/weight", "layers/1/weight"},
    ),
}


def check_pruned(before, params, kernels):
    """Kernels have exact zeros now; what the mask spares has none."""
    assert selected(jaxreg.kernels, params) == kernels
    for name, leaf in jaxreg.sparsity(params).leaves.items():
        assert (int(leaf.nonzeros) < leaf.size) == (name in kernels), name
    assert jax.tree.structure(before) == jax.tree.structure(params)


@pytest.mark.parametrize("name", TRAINED)
def test_networks_are_pruned(name):
    apply, before, kernels = TRAINED[name]
    tx = jaxreg.prox_adam(3e-2, jaxreg.L1(6e-2), mask=jaxreg.kernels)

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda p: jnp.mean(jnp.square(apply(p, X) - Y)))(params)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    carry = before, tx.init(before)
    check_pruned(
        before, jax.jit(lambda now: jax.lax.scan(step, now, length=200)[0][0])(carry), kernels
    )


class Normed(nnx.Module):
    def __init__(self, rngs):
        # Before the layer, not behind it: there it would undo the shrinking of that layer's kernel.
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.hidden = nnx.Linear(6, 8, rngs=rngs)
        self.out = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.out(jnp.tanh(self.hidden(self.norm(x))))


WRAPPED = {
    "groups": lambda: jaxreg.prox_adam(3e-2, jaxreg.GroupL2(0.2, axis=1), mask=jaxreg.kernels),
    "hold_zeros": lambda: jaxreg.hold_zeros(optax.adamw(0.1), jaxreg.kernels),
    "steer_strength": lambda: jaxreg.steer_strength(
        lambda s: jaxreg.prox_adam(1e-2, jaxreg.L1(s), mask=jaxreg.kernels),
        0.5,
        150,
        mask=jaxreg.kernels,
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_nnx_networks_are_pruned(name):
    model = Normed(nnx.Rngs(0))
    if name == "hold_zeros":
        model.hidden.kernel[...] = model.hidden.kernel[...].at[:, :2].set(0).at[3, 3].set(0)
        model.out.kernel[...] = model.out.kernel[...].at[3].set(0)
        # Nothing depends on the bias of a unit without outgoing weights.
        model.hidden.bias[...] = jnp.full(8, 0.1)
    before = nnx.state(model, nnx.Param)
    optimizer = nnx.Optimizer(model, WRAPPED[name](), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda model: jnp.mean(jnp.square(model(X) - Y)))(model))

    for _ in range(160):
        step(model, optimizer)
    params = nnx.state(model, nnx.Param)
    check_pruned(before, params, {"hidden/kernel", "out/kernel"})
    nonzeros = int(jaxreg.sparsity(params, jaxreg.kernels).nonzeros)
    if name == "groups":
        assert jaxreg.sparsity(params).leaves["hidden/kernel"].dead_inputs > 0
    else:
        assert nonzeros in {"hold_zeros": (56 - 14,), "steer_strength": (27, 28, 29)}[name]


def test_kernels_are_no_biases_whatever_their_rank():
    attention = nnx.state(nnx.MultiHeadAttention(2, 6, decode=False, rngs=nnx.Rngs(0)), nnx.Param)
    names = {f"{name}/kernel" for name in ("key", "query", "value", "out")}
    assert selected(jaxreg.kernels, attention) == names
    convolution = eqx.filter(eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(0)), eqx.is_inexact_array)
    assert selected(jaxreg.kernels, convolution) == {"weight"}


def test_parameters_may_be_plain_numbers():
    tx = jaxreg.prox_sgd(0.1, jaxreg.L1(1.0))
    updates, _ = tx.update({"w": 0.5}, tx.init({"w": 1.0}), {"w": 1.0})
    assert float(updates["w"]) == pytest.approx(-0.15)
