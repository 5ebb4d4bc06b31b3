"""`compact` of blocks: the smaller network computes the same, by its own class."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxreg
from experiments import networks

NEURONS = {"blocks/*/up": "unit", "blocks/*/down/kernel": "input"}
HEADS = {f"blocks/*/attention/{name}": "head" for name in ("query", "key", "value", "out/kernel")}


def punctured(params, random, share=0.3):
    """Zeros whole slices of some leaves, along every axis, and draws new biases and scales."""

    def cut(leaf):
        leaf = np.array(leaf, np.float32)
        if leaf.ndim == 1 or not random.integers(3):
            leaf = random.normal(size=leaf.shape).astype(np.float32)
        for axis, size in enumerate(leaf.shape):
            if random.random() < 0.6:
                leaf = np.moveaxis(leaf, axis, 0)
                leaf[random.random(size) < share] = 0
                leaf = np.moveaxis(leaf, 0, axis)
        return jnp.asarray(leaf)

    return jax.tree.map(cut, params)


def assert_close(found, expected):
    scale = max(1.0, float(jnp.max(jnp.abs(expected))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale)


@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_neurons_and_heads_of_a_transformer(seed):
    def gpt(heads, hidden):
        return networks.GPT(11, 6, 8, heads, 2, hidden, rngs=nnx.Rngs(0))

    graph, params = nnx.split(gpt((4, 4), (10, 6)), nnx.Param)
    params = punctured(params, np.random.default_rng(seed))
    tokens = jax.random.randint(jax.random.key(seed), (3, 6), 0, 11)
    few = jaxreg.compact(params, nnx.gelu, per=NEURONS)
    fewer = jaxreg.compact(few.params, None, per=HEADS)
    assert few.widths_before == (10, 6) and fewer.widths_before == (4, 4)
    smaller = gpt(fewer.widths, few.widths)
    nnx.update(smaller, fewer.params)
    assert_close(smaller(tokens), nnx.merge(graph, params)(tokens))
    for number, (heads, units) in enumerate(zip(fewer.widths, few.widths, strict=True)):
        block = fewer.params["blocks"][number]
        assert block["attention"]["value"]["bias"].shape == (heads, 2)
        assert block["up"]["bias"].shape == (units,)
        leaving = np.asarray(block["down"]["kernel"][...])
        assert units == 1 or (leaving != 0).any(1).all()


class Linen(linen.Module):
    channels: int
    heads: int
    positions: int = 4

    @linen.compact
    def __call__(self, x):
        y = linen.Conv(self.channels, (3, 3), name="first")(x)
        y = linen.relu(linen.BatchNorm(use_running_average=True, name="norm")(y))
        y = linen.Conv(4, (3, 3), name="second")(y)
        y = y.reshape(len(y), -1, 8)
        attention = linen.MultiHeadDotProductAttention
        return attention(self.heads, qkv_features=2 * self.heads, name="attention")(y)


@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_channels_with_their_norm_and_heads_of_linen(seed):
    x = jax.random.normal(jax.random.key(seed), (2, 4, 4, 3))
    variables = Linen(6, 4).init(jax.random.key(0), x)
    variables = punctured(variables, np.random.default_rng(seed))
    variables["batch_stats"] = jax.tree.map(jnp.square, variables["batch_stats"])
    names = ("params/first", "params/norm", "batch_stats/norm")
    per = dict.fromkeys(names, "unit") | {"params/second/kernel": "input"}
    few = jaxreg.compact(variables, linen.relu, per=per)
    heads = dict.fromkeys(("**/query", "**/key", "**/value", "**/out/kernel"), "head")
    fewer = jaxreg.compact(few.params, None, per=heads)
    smaller = Linen(*few.widths, *fewer.widths)
    found = smaller.apply(fewer.params, x)
    assert_close(found, Linen(6, 4).apply(variables, x))


@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_channels_before_a_flattened_dense_layer(seed):
    """Channels last, as in Flax."""
    x = jax.random.normal(jax.random.key(seed), (2, 5, 5, 3))
    params = {
        "conv": {"kernel": jnp.ones((2, 2, 3, 6)), "bias": jnp.ones(6)},
        "dense": {"kernel": jnp.ones((16 * 6, 4)), "bias": jnp.ones(4)},
    }

    def apply(params):
        shape = ("NHWC", "HWIO", "NHWC")
        kernel = params["conv"]["kernel"]
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=shape)
        y = jax.nn.gelu(y + params["conv"]["bias"]).reshape(2, -1)
        return y @ params["dense"]["kernel"] + params["dense"]["bias"]

    params = punctured(params, np.random.default_rng(seed))
    small = jaxreg.compact(params, jax.nn.gelu, per={"conv": "unit", "dense/kernel": "input"})
    assert_close(apply(small.params), apply(params))


def with_leaves(module, params):
    """An Equinox module with the arrays of another one, which knows its sizes by fields."""
    arrays, rest = eqx.partition(module, eqx.is_inexact_array)
    leaves = jax.tree.leaves(params)
    assert [leaf.shape for leaf in leaves] == [leaf.shape for leaf in jax.tree.leaves(arrays)]
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), rest)


@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_channels_first_as_in_equinox(seed):
    x, keys = (
        jax.random.normal(jax.random.key(seed), (3, 5, 5)),
        jax.random.split(jax.random.key(0)),
    )

    def network(channels):
        conv = eqx.nn.Conv2d(3, channels, 2, key=keys[0])
        return {"conv": conv, "dense": eqx.nn.Linear(16 * channels, 4, key=keys[1])}

    def apply(layers):
        return layers["dense"](jax.nn.gelu(layers["conv"](x)).ravel())

    params = eqx.filter(network(6), eqx.is_inexact_array)
    params = punctured(params, np.random.default_rng(seed))
    small = jaxreg.compact(params, jax.nn.gelu, per={"conv": "unit", "dense/weight": "input"})
    found = apply(with_leaves(network(*small.widths), small.params))
    assert_close(found, apply(with_leaves(network(6), params)))


@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_heads_of_equinox(seed):
    x = jax.random.normal(jax.random.key(seed), (5, 8))

    def attention(heads):
        biases = {f"use_{name}_bias": True for name in ("query", "key", "value", "output")}
        sizes = {"qk_size": 2, "vo_size": 2, "key": jax.random.key(0)}
        return eqx.nn.MultiheadAttention(heads, 8, **biases, **sizes)

    params = eqx.filter(attention(4), eqx.is_inexact_array)
    params = punctured(params, np.random.default_rng(seed))
    per = dict.fromkeys(("query_proj", "key_proj", "value_proj"), ("unit", 4))
    small = jaxreg.compact(params, None, per=per | {"output_proj/weight": ("input", 4)})
    module = with_leaves(attention(*small.widths), small.params)
    assert_close(module(x, x, x), with_leaves(attention(4), params)(x, x, x))


@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_a_gated_perceptron(seed):
    random = np.random.default_rng(seed)
    shapes = {"gate": (3, 6), "up": (3, 6), "down": (6, 3)}
    params = {name: {"kernel": jnp.ones(shape)} for name, shape in shapes.items()}
    params["up"]["bias"] = jnp.ones(6)

    def apply(p):
        hidden = jax.nn.silu(x @ p["gate"]["kernel"]) * (x @ p["up"]["kernel"] + p["up"]["bias"])
        return hidden @ p["down"]["kernel"]

    x, params = jnp.asarray(random.normal(size=(4, 3))), punctured(params, random, 0.5)
    per = {"gate": "unit", "up": "unit", "down/kernel": "input"}
    small = jaxreg.compact(params, jax.nn.silu, per=per)
    assert_close(apply(small.params), apply(params))


def test_what_cannot_be_cut_says_so():
    block = {
        "up": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
        "down": {"kernel": jnp.ones((3, 2))},
    }
    for per, message in (
        ({"up": "unit"}, "expected a kernel that takes the groups of up/bias"),
        ({"up/kernel": "unit", "down": "input"}, "expected up/bias beside up/kernel in per"),
        ({"up": "unit", "down": "input", "gate": "unit"}, "pattern 'gate', which fits no"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxreg.compact(block, jax.nn.relu, per=per)
    with pytest.raises(TypeError, match="call it outside jit"):
        jax.jit(lambda p: jaxreg.compact(p, None, per={"up": "unit", "down": "input"}).params)(
            block
        )
