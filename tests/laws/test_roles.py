"""Groups per input, unit and head, and dead inputs and units, in kernels of every framework."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jaxreg

KEY = jax.random.key(0)


class Block(linen.Module):
    @linen.compact
    def __call__(self, x, _):
        x = linen.Dense(5)(linen.Conv(4, (3,))(x))
        x = linen.MultiHeadDotProductAttention(2, qkv_features=6)(x)
        return linen.Conv(3, (2, 3))(x[None])[0], None


class Linen(linen.Module):
    @linen.compact
    def __call__(self, tokens):
        x, _ = Block(name="one")(linen.Embed(7, 3)(tokens), None)
        stack = linen.scan(
            Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=4
        )
        return stack()(x, None)


@nnx.vmap(in_axes=0)
def stacked(key):
    rngs = nnx.Rngs(key)
    return nnx.List(
        [
            nnx.Linear(3, 5, rngs=rngs),
            nnx.Conv(3, 4, (5,), rngs=rngs),
            nnx.Conv(3, 4, (3, 3), rngs=rngs),
        ]
    )


def equinox():
    layers = {
        "embedding": eqx.nn.Embedding(9, 4, key=KEY),
        "linear": eqx.nn.Linear(3, 5, key=KEY),
        "conv": [eqx.nn.Conv1d(2, 3, 5, key=KEY), eqx.nn.Conv2d(2, 3, 5, use_bias=False, key=KEY)],
        "attention": eqx.nn.MultiheadAttention(2, 6, key=KEY),
        "stack": eqx.filter_vmap(lambda key: eqx.nn.Linear(3, 5, key=key))(
            jax.random.split(KEY, 4)
        ),
    }
    return eqx.filter(layers, eqx.is_array)


def attention_of(path, features, out, stack=()):
    to_heads = ((*stack, features), (*stack, 2, 3), (*stack, 2))
    kernels = dict.fromkeys(
        (f"{path}{name}/kernel" for name in ("query", "key", "value")), to_heads
    )
    return kernels | {f"{path}out/kernel": ((*stack, 2, 3), (*stack, out), (*stack, 2))}


def block_of(path, stack=()):
    return {
        f"{path}Dense_0/kernel": ((*stack, 4), (*stack, 5), None),
        f"{path}Conv_0/kernel": ((*stack, 3), (*stack, 4), None),
        f"{path}Conv_1/kernel": ((*stack, 5), (*stack, 3), None),
        **attention_of(f"{path}MultiHeadDotProductAttention_0/", 5, 5, stack),
    }


PLAIN = {
    # Only one order fits the bias.
    "torch": {"weight": jnp.ones((5, 2)), "bias": jnp.ones(5)},
    "other": {"weight": jnp.ones((2, 5)), "bias": jnp.ones(5)},
    "out": {"kernel": jnp.ones((3, 4, 5)), "bias": jnp.ones(5)},
    "stacked": jnp.ones((3, 4, 5)),
    "conv": jnp.ones((3, 4, 5)),
    "square": jnp.ones((4, 4)),
}
# For each model the shapes that inputs, units and heads have in its kernels, stacked layers first.
MODELS = {
    "linen": (
        lambda: Linen().init(KEY, jnp.zeros(6, int))["params"],
        {
            "Embed_0/embedding": ((7,), (3,), None),
            **block_of("one/"),
            **block_of("ScanBlock_0/", (4,)),
        },
    ),
    "nnx": (
        lambda: nnx.state(
            nnx.MultiHeadAttention(2, 6, decode=False, use_bias=False, rngs=nnx.Rngs(0)), nnx.Param
        ),
        attention_of("", 6, 6),
    ),
    "nnx stacked": (
        lambda: nnx.state(stacked(jax.random.split(KEY, 4)), nnx.Param),
        {f"{i}/kernel": ((4, 3), (4, units), None) for i, units in enumerate((5, 4, 4))},
    ),
    "equinox": (
        equinox,
        {
            "embedding/weight": ((9,), (4,), None),
            "linear/weight": ((3,), (5,), None),
            "conv/0/weight": ((2,), (3,), None),
            "conv/1/weight": ((2,), (3,), None),
            **{
                f"attention/{name}_proj/weight": ((6,), (6,), None)
                for name in ("query", "key", "value", "output")
            },
            "stack/weight": ((4, 3), (4, 5), None),
        },
    ),
    "plain": (
        lambda: PLAIN,
        {
            "torch/weight": ((2,), (5,), None),
            "other/weight": ((2,), (5,), None),
            "out/kernel": ((4,), (5,), None),
            "stacked": ((3, 4), (3, 5), None),
            "conv": ((4,), (5,), None),
            "square": ((4,), (4,), None),
        },
    ),
}


@pytest.mark.parametrize("model", MODELS)
def test_inputs_and_units_of_every_kernel(model):
    make, expected = MODELS[model]
    shapes = jax.eval_shape(make)

    @jax.jit
    def measure(params):
        groups = [jaxreg.GroupL2(1.0, per=per) for per in ("input", "unit")]
        values = [jaxreg.penalty_value(penalty, params, jaxreg.kernels) for penalty in groups]
        return values, jaxreg.sparsity(params, jaxreg.kernels)

    counts = measure(jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes))[1]
    assert set(counts.leaves) == set(expected)
    for name, (inputs, units, _) in expected.items():
        leaf = counts.leaves[name]
        assert (leaf.inputs, leaf.units) == (np.prod(inputs), np.prod(units)), name
        assert (int(leaf.dead_inputs), int(leaf.dead_units)) == (leaf.inputs, leaf.units), name
    # The norm of a group of n ones is √n; each kernel has its own number, so that the sum tells.
    random = np.random.default_rng(0)
    scales = {name: random.uniform(1, 2) for name in expected}

    def filled(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")
        return np.full(leaf.shape, scales.get(name, 0), np.float32)

    values, _ = measure(jax.tree.map_with_path(filled, shapes))
    for number in (0, 1):
        norms = (
            scales[name] * np.sqrt(counts.leaves[name].size * np.prod(roles[number]))
            for name, roles in expected.items()
        )
        np.testing.assert_allclose(values[number], sum(norms), rtol=1e-5)


def attention():
    random = np.random.default_rng(0)
    return {
        "value": {
            "kernel": jnp.asarray(random.normal(size=(4, 2, 3)), jnp.float32),
            "bias": jnp.zeros((2, 3)),
        },
        "out": {
            "kernel": jnp.asarray(random.normal(size=(2, 3, 4)), jnp.float32),
            "bias": jnp.zeros(4),
        },
    }


@pytest.mark.parametrize(
    "make",
    [
        jaxreg.GroupL2,
        lambda s, **kw: jaxreg.Group(jaxreg.MCP(s), **kw),
        lambda s, **kw: jaxreg.SparseGroupL2(s, s, **kw),
    ],
)
def test_groups_per_head(make):
    params, axes = attention(), {"value": (0, 2), "out": (1, 2)}
    value = sum(make(0.3, axis=axes[name]).value(params[name]["kernel"]) for name in axes)
    found = jaxreg.penalty_value(make(0.3, per="head"), params, jaxreg.kernels)
    assert found == pytest.approx(float(value), rel=1e-6)
    by_axis = {name: {"kernel": make(0.3, axis=axis), "bias": None} for name, axis in axes.items()}
    assert found == jaxreg.penalty_value(by_axis, params)
    if make is jaxreg.GroupL2:
        by_head = jaxreg.prox_sgd(1e-2, make(0.3, per="head"), mask=jaxreg.kernels)
        steps = [
            jax.jit(tx.update)(params, tx.init(params), params)[0]
            for tx in (by_head, jaxreg.prox_sgd(1e-2, by_axis))
        ]
        jax.tree.map(np.testing.assert_array_equal, *steps)


def test_a_penalty_inside_another_one_has_its_axes_too():
    params = attention()
    factors = {"value": jnp.array([[[1.0], [0.0]]]), "out": jnp.array([[[2.0]], [[3.0]]])}
    tree = {
        name: {"kernel": jaxreg.Weighted(jaxreg.GroupL2(0.5, per="head"), factor), "bias": None}
        for name, factor in factors.items()
    }
    value = np.sqrt(np.square(params["value"]["kernel"]).sum((0, 2)))
    out = np.sqrt(np.square(params["out"]["kernel"]).sum((1, 2)))
    assert jaxreg.penalty_value(tree, params) == pytest.approx(
        0.5 * (value[0] + 2 * out[0] + 3 * out[1]), rel=1e-6
    )


def test_keep_largest_of_inputs_and_heads():
    params = {
        "Conv_0": {"kernel": jnp.ones((3, 3, 2, 4)).at[:, :, 1].mul(5)},
        "Dense_0": {"kernel": jnp.ones((8, 4)).at[3].mul(20)},
    }
    rest = jaxreg.keep_largest(params, 0.2, per="input")
    assert [int(leaf.dead_inputs) for leaf in jaxreg.sparsity(rest).leaves.values()] == [1, 7]
    assert (rest["Conv_0"]["kernel"][:, :, 1] == 5).all() and (
        rest["Dense_0"]["kernel"][3] == 20
    ).all()
    heads = {name: {"kernel": layer["kernel"]} for name, layer in attention().items()}
    heads["value"]["kernel"] *= jnp.array([[[0.01], [1]]])
    rest = jaxreg.keep_largest(heads, 0.75, per="head")
    assert (rest["value"]["kernel"] != 0).any((0, 2)).sum() == 1 and (
        rest["out"]["kernel"] != 0
    ).all()


@pytest.mark.parametrize(
    ("per", "axis"),
    [
        ("input", {2: 1, 4: (0, 1, 3), 5: (0, 1, 2, 4)}),
        ("unit", {2: 0, 4: (0, 1, 2), 5: (0, 1, 2, 3)}),
    ],
)
def test_an_array_alone_is_a_kernel_of_flax(per, axis):
    penalty = jaxreg.GroupL2(0.4, per=per)
    for rank, axes in axis.items():
        x = np.ones((2, 3, 2, 4, 5)[5 - rank :], np.float32)
        assert penalty.axes(x) == (axes if isinstance(axes, tuple) else (axes,))
    assert penalty.pool(jnp.float32(2)) == 2


def test_dead_inputs_and_units_of_attention_and_stacked_layers():
    params = {
        "query": jnp.ones((8, 2, 4)).at[3].set(0),
        "value": jnp.ones((8, 2, 4)).at[:, 1].set(0),
        "out": jnp.ones((2, 4, 8)).at[1].set(0),
        "stacked": jnp.ones((3, 6, 5)).at[0, :4].set(0).at[2, :, 1].set(0),
        "position": jnp.zeros((1, 6, 5)),
    }
    leaves = jaxreg.sparsity(params).leaves
    found = {name: (leaf.dead_inputs, leaf.dead_units) for name, leaf in leaves.items()}
    assert found.pop("position") == (None, None)
    expected = {"query": (1, 0), "value": (0, 4), "out": (4, 0), "stacked": (4, 1)}
    assert {name: tuple(map(int, dead)) for name, dead in found.items()} == expected
    # The same by stated axes.
    for name, axes in (("stacked", ((0, 1), (0, -1))), ("value", (0, (1, 2)))):
        leaf = jaxreg.sparsity({"x": params[name]}, input_axis=axes[0], unit_axis=axes[1]).leaves[
            "x"
        ]
        assert (int(leaf.dead_inputs), int(leaf.dead_units)) == expected[name]


def test_the_value_and_the_output_of_attention_are_a_chain():
    params = attention()
    params["out"]["kernel"] = params["out"]["kernel"].at[1].set(0).at[0, 2].set(0)
    counts = jaxreg.sparsity(params, layers=("value/kernel", "out/kernel"))
    # Four units of `value` have no outgoing weight, with four weights each.
    assert int(counts.leaves["value/kernel"].disconnected) == 4 * 4
    assert int(counts.connected) == 2 * 4 + 2 * 4
