"""Groups per input, unit and head, and dead inputs and units, in kernels of every kind."""

import warnings

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
        layers = linen.scan(
            Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=4
        )
        return layers()(x, None)


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
    conv = [eqx.nn.Conv1d(2, 3, 5, key=KEY), eqx.nn.Conv2d(2, 3, 5, use_bias=False, key=KEY)]
    layers = {
        "embedding": eqx.nn.Embedding(9, 4, key=KEY),
        "linear": eqx.nn.Linear(3, 5, key=KEY),
        "conv": conv,
        "attention": eqx.nn.MultiheadAttention(2, 6, key=KEY),
        "stack": eqx.filter_vmap(lambda key: eqx.nn.Linear(3, 5, key=key))(
            jax.random.split(KEY, 4)
        ),
    }
    return eqx.filter(layers, eqx.is_array)


# For each model the shapes that inputs, units and heads have in its kernels, stacked layers first.
MODELS = {
    "linen": (
        lambda: Linen().init(KEY, jnp.zeros(6, int))["params"],
        {
            "Embed_0/embedding": ((7,), (3,), None),
            "one/Dense_0/kernel": ((4,), (5,), None),
            "one/Conv_0/kernel": ((3,), (4,), None),
            "one/Conv_1/kernel": ((5,), (3,), None),
            "one/MultiHeadDotProductAttention_0/query/kernel": ((5,), (2, 3), (2,)),
            "one/MultiHeadDotProductAttention_0/key/kernel": ((5,), (2, 3), (2,)),
            "one/MultiHeadDotProductAttention_0/value/kernel": ((5,), (2, 3), (2,)),
            "one/MultiHeadDotProductAttention_0/out/kernel": ((2, 3), (5,), (2,)),
            "ScanBlock_0/Dense_0/kernel": ((4, 4), (4, 5), None),
            "ScanBlock_0/Conv_0/kernel": ((4, 3), (4, 4), None),
            "ScanBlock_0/Conv_1/kernel": ((4, 5), (4, 3), None),
            "ScanBlock_0/MultiHeadDotProductAttention_0/query/kernel": ((4, 5), (4, 2, 3), (4, 2)),
            "ScanBlock_0/MultiHeadDotProductAttention_0/key/kernel": ((4, 5), (4, 2, 3), (4, 2)),
            "ScanBlock_0/MultiHeadDotProductAttention_0/value/kernel": ((4, 5), (4, 2, 3), (4, 2)),
            "ScanBlock_0/MultiHeadDotProductAttention_0/out/kernel": ((4, 2, 3), (4, 5), (4, 2)),
        },
    ),
    "nnx": (
        lambda: nnx.state(
            nnx.MultiHeadAttention(2, 6, decode=False, use_bias=False, rngs=nnx.Rngs(0)), nnx.Param
        ),
        {
            "query/kernel": ((6,), (2, 3), (2,)),
            "key/kernel": ((6,), (2, 3), (2,)),
            "value/kernel": ((6,), (2, 3), (2,)),
            "out/kernel": ((2, 3), (6,), (2,)),
        },
    ),
    "nnx stacked": (
        lambda: nnx.state(stacked(jax.random.split(KEY, 4)), nnx.Param),
        {
            "0/kernel": ((4, 3), (4, 5), None),
            "1/kernel": ((4, 3), (4, 4), None),
            "2/kernel": ((4, 3), (4, 4), None),
        },
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
        lambda: {
            # Only one order fits the bias.
            "torch": {"weight": jnp.ones((5, 2)), "bias": jnp.ones(5)},
            "other": {"weight": jnp.ones((2, 5)), "bias": jnp.ones(5)},
            "out": {"kernel": jnp.ones((3, 4, 5)), "bias": jnp.ones(5)},
            "stacked": jnp.ones((3, 4, 5)),
            "conv": jnp.ones((3, 4, 5)),
            "square": jnp.ones((4, 4)),
        },
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


def filled(make, value):
    """The parameters of a model, with one value everywhere."""
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, np.float32), jax.eval_shape(make))


def step_from_ones(make, per):
    """A proximal step of length 1 from weights of 1, with a penalty of groups in kernels."""
    ones = filled(make, 1)
    tx = jaxreg.prox_sgd(1.0, jaxreg.GroupL2(1.0, per=per), mask=jaxreg.kernels)
    state = tx.init(ones)
    return jax.jit(
        lambda params: tx.update(jax.tree.map(jnp.zeros_like, params), state, params)[0]
    )(ones)


@pytest.mark.parametrize("model", MODELS)
def test_inputs_and_units_of_every_kernel(model):
    make, expected = MODELS[model]
    counts = jax.jit(lambda params: jaxreg.sparsity(params, jaxreg.kernels))(filled(make, 0))
    assert set(counts.leaves) == set(expected)
    for name, (inputs, units, _) in expected.items():
        leaf = counts.leaves[name]
        assert (leaf.inputs, leaf.units) == (np.prod(inputs), np.prod(units)), name
        assert (int(leaf.dead_inputs), int(leaf.dead_units)) == (leaf.inputs, leaf.units), name


@pytest.mark.parametrize("per", ["input", "unit"])
@pytest.mark.parametrize("model", MODELS)
def test_groups_keep_what_they_are_named_after(model, per):
    make, expected = MODELS[model]
    updates = step_from_ones(make, per)
    moved = {
        jax.tree_util.keystr(path, simple=True, separator="/"): x
        for path, x in jax.tree.leaves_with_path(updates)
    }
    for name, shapes in expected.items():
        leaf = next(x for at, x in moved.items() if at.removesuffix("/value") == name)
        number = np.prod(shapes[("input", "unit").index(per)])
        # A step of 1 from a group of n ones takes 1/√n off each.
        np.testing.assert_allclose(leaf, -1 / np.sqrt(leaf.size / number), rtol=1e-5, err_msg=name)


def attention(seed=0):
    keys = jax.random.split(jax.random.key(seed), 2)
    return {
        "value": {"kernel": jax.random.normal(keys[0], (4, 2, 3)), "bias": jnp.zeros((2, 3))},
        "out": {"kernel": jax.random.normal(keys[1], (2, 3, 4)), "bias": jnp.zeros(4)},
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
    assert jaxreg.penalty_value(make(0.3, per="head"), params, jaxreg.kernels) == pytest.approx(
        float(value), rel=1e-6
    )
    by_axis = {name: {"kernel": make(0.3, axis=axis), "bias": None} for name, axis in axes.items()}
    steps = []
    for penalty, mask in ((make(0.3, per="head"), jaxreg.kernels), (by_axis, None)):
        tx = jaxreg.prox_adam(1e-2, penalty, mask=mask)
        state = tx.init(params)
        steps.append(
            jax.jit(lambda params, tx=tx, state=state: tx.update(params, state, params)[0])(params)
        )
    jax.tree.map(np.testing.assert_array_equal, *steps)


def test_a_penalty_inside_another_one_has_its_axes_too():
    params = attention()
    factors = {"value": jnp.array([[[1.0], [0.0]]]), "out": jnp.array([[[2.0]], [[3.0]]])}
    tree = {
        name: {"kernel": jaxreg.Weighted(jaxreg.GroupL2(0.5, per="head"), factor), "bias": None}
        for name, factor in factors.items()
    }
    lengths = [
        np.sqrt((np.square(params[name]["kernel"])).sum(axes))
        for name, axes in (("value", (0, 2)), ("out", (1, 2)))
    ]
    expected = 0.5 * (lengths[0][0] + 2 * lengths[1][0] + 3 * lengths[1][1])
    assert jaxreg.penalty_value(tree, params) == pytest.approx(expected, rel=1e-6)


def test_keep_largest_of_inputs_and_heads():
    params = {
        "Conv_0": {"kernel": jnp.ones((3, 3, 2, 4)).at[:, :, 1].mul(5)},
        "Dense_0": {"kernel": jnp.ones((8, 4)).at[3].mul(20)},
    }
    rest = jaxreg.keep_largest(params, 0.2, per="input")
    counts = jaxreg.sparsity(rest)
    assert [int(leaf.dead_inputs) for leaf in counts.leaves.values()] == [1, 7]
    assert (rest["Conv_0"]["kernel"][:, :, 1] == 5).all() and (
        rest["Dense_0"]["kernel"][3] == 20
    ).all()
    heads = {name: {"kernel": leaf["kernel"]} for name, leaf in attention().items()}
    heads["value"]["kernel"] *= jnp.array([[[0.01], [1]]])
    rest = jaxreg.keep_largest(heads, 0.75, per="head")
    assert [
        int((rest["value"]["kernel"] != 0).any((0, 2)).sum()),
        int((rest["out"]["kernel"] != 0).sum()),
    ] == [1, 24]


@pytest.mark.parametrize(
    ("per", "axis"),
    [
        ("input", {2: 1, 4: (0, 1, 3), 5: (0, 1, 2, 4)}),
        ("unit", {2: 0, 4: (0, 1, 2), 5: (0, 1, 2, 3)}),
    ],
)
def test_an_array_alone_is_a_kernel_of_flax(per, axis):
    for rank, axes in axis.items():
        x = jax.random.normal(KEY, (2, 3, 2, 4, 5)[5 - rank :])
        np.testing.assert_array_equal(
            jaxreg.GroupL2(0.4, per=per).prox(x, 1.0), jaxreg.GroupL2(0.4, axis=axes).prox(x, 1.0)
        )
        d = jnp.abs(x)
        np.testing.assert_array_equal(
            jaxreg.GroupL2(0.4, per=per).pool(d), jaxreg.GroupL2(0.4, axis=axes).pool(d)
        )
    assert jaxreg.GroupL2(0.4, per=per).pool(jnp.float32(2)) == 2


PER_INPUT = jaxreg.GroupL2(0.1, per="input")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda: jaxreg.GroupL2(0.1, 1, "input"),
            r"GroupL2: expected axis or per, got axis=1 and per='input'",
        ),
        (
            lambda: jaxreg.Group(jaxreg.L1(0.1), per="row"),
            r'Group: per must be "input", "unit" or "head", got \'row\'',
        ),
        (
            lambda: PER_INPUT.value(jnp.ones((2, 3, 4))),
            r"GroupL2: per='input' needs .* got the shape \(2, 3, 4\), which may be",
        ),
        (
            lambda: PER_INPUT.value(jnp.ones(3)),
            r"needs a kernel, got the shape \(3,\); leave this parameter out with a mask",
        ),
        (
            lambda: jaxreg.prox_sgd(0.1, PER_INPUT).init(
                {"a": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
            ),
            r"proximal: GroupL2: per='input' needs a kernel, got the shape \(3,\) at a/bias",
        ),
        (
            lambda: jaxreg.penalty_value(PER_INPUT, {"position": jnp.ones((1, 3, 4))}),
            r"\(1, 3, 4\) at position, which may be",
        ),
        (
            lambda: jaxreg.penalty_value(PER_INPUT, {"attention": {"q": jnp.ones((2, 3, 4, 5))}}),
            r"at attention/q, which may be",
        ),
        (
            lambda: jaxreg.penalty_value(
                jaxreg.SparseGroupL2(0.1, 0.1, per="head"), {"up": jnp.ones((2, 3))}
            ),
            r"penalty_value: SparseGroupL2: per='head' needs a kernel with an axis of heads, "
            r"got the shape \(2, 3\) at up",
        ),
        (
            lambda: jaxreg.keep_largest({"up": jnp.ones((2, 3))}, 0.5, per="head"),
            r"keep_largest: per='head' needs",
        ),
        (
            lambda: jaxreg.keep_largest({"up": jnp.ones((2, 3))}, 0.5, axis=1, per="unit"),
            r"keep_largest: expected axis or per",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused(use, message):
    with pytest.raises(ValueError, match=message):
        use()


def test_one_axis_for_kernels_of_several_ranks_is_a_warning():
    params = {"conv": jnp.ones((3, 3, 2, 4)), "dense": jnp.ones((8, 2))}
    with pytest.warns(
        UserWarning, match=r"proximal: .*dense \(8, 2\), conv \(3, 3, 2, 4\); pass per=\"input\""
    ) as caught:
        jaxreg.prox_adam(1e-3, jaxreg.GroupL2(0.1, axis=1)).init(params)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jaxreg.prox_adam(1e-3, jaxreg.GroupL2(0.1, per="input")).init(params)
        jaxreg.prox_adam(1e-3, jaxreg.L1(0.1)).init(params)
        jaxreg.prox_adam(
            1e-3,
            {"conv": jaxreg.GroupL2(0.1, axis=(0, 1, 3)), "dense": jaxreg.GroupL2(0.1, axis=1)},
        ).init(params)


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
    assert {name: tuple(map(int, dead)) for name, dead in found.items()} == {
        "query": (1, 0),
        "value": (0, 4),
        "out": (4, 0),
        "stacked": (4, 1),
    }
    # The same by stated axes.
    stated = jaxreg.sparsity({"x": params["stacked"]}, input_axis=(0, 1), unit_axis=(0, -1)).leaves[
        "x"
    ]
    assert (int(stated.dead_inputs), int(stated.dead_units)) == (4, 1)
    stated = jaxreg.sparsity({"x": params["value"]}, input_axis=0, unit_axis=(1, 2)).leaves["x"]
    assert (int(stated.dead_inputs), int(stated.dead_units)) == (0, 4)


def test_the_value_and_the_output_of_attention_are_a_chain():
    params = attention()
    params["out"]["kernel"] = params["out"]["kernel"].at[1].set(0).at[0, 2].set(0)
    counts = jaxreg.sparsity(params, layers=("value/kernel", "out/kernel"))
    # Four units of `value` have no outgoing weight, with four weights each.
    assert int(counts.leaves["value/kernel"].disconnected) == 4 * 4
    assert int(counts.connected) == 2 * 4 + 2 * 4
    for shape, message in (
        ((3, 5, 5), "the stack stacked of shape"),
        ((5, 5), "the stack stacked"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxreg.sparsity({"stacked": jnp.ones((3, 5, shape[-1]))}, layers=("stacked",))
    with pytest.raises(
        ValueError, match=r"whose axes are known, got 'x', .*pass input_axis and unit_axis"
    ):
        jaxreg.sparsity({"x": jnp.ones((3, 5, 5))}, layers=("x",))
