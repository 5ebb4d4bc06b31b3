"""`compact`: the smaller network computes the same, in plain trees, linen, nnx and Equinox's
layout.
"""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jaxreg

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
}


def sparse_network(seed, widths, share, biases=True):
    """Kernels with a share of nonzeros, some units without inputs and some without outputs."""
    random = np.random.default_rng(seed)
    layers = {}
    for number, (inputs, units) in enumerate(itertools.pairwise(widths)):
        kernel = random.normal(size=(inputs, units)) * (random.random((inputs, units)) < share)
        kernel[:, random.random(units) < 0.2] = 0
        kernel[random.random(inputs) < 0.2] = 0
        layer = {"kernel": jnp.asarray(kernel, jnp.float32)}
        if biases:
            layer["bias"] = jnp.asarray(random.normal(size=units), jnp.float32)
        layers[f"layer_{number}"] = layer
    return layers


def outputs(params, x, activation):
    for number in range(len(params)):
        layer = params[f"layer_{number}"]
        x = (activation(x) if number else x) @ layer["kernel"] + layer.get("bias", 0)
    return x


@hypothesis.given(
    seed=st.integers(0, 10**6),
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    share=st.floats(0, 0.6),
    name=st.sampled_from(sorted(ACTIVATIONS)),
    biases=st.booleans(),
)
def test_the_smaller_network_computes_the_same(seed, widths, share, name, biases):
    params = sparse_network(seed, widths, share, biases)
    small = jaxreg.compact(params, ACTIVATIONS[name])
    x = np.random.default_rng(seed + 1).normal(size=(5, widths[0])).astype(np.float32)
    expected = outputs(params, x, ACTIVATIONS[name])
    np.testing.assert_allclose(
        outputs(small.params, x[:, small.inputs], ACTIVATIONS[name]), expected, rtol=2e-5, atol=2e-5
    )
    assert small.widths[-1] == widths[-1]
    assert small.widths_before == tuple(widths)
    assert small.widths == (len(small.inputs), *map(len, small.units), widths[-1])
    # Nothing that is left can be cut: each input and each unit has a weight onward, unless it is
    # the last of its layer.
    for layer in small.params.values():
        kernel = np.asarray(layer["kernel"])
        assert (kernel != 0).any(1).all() or kernel.shape[0] == 1


def test_a_chain_of_dead_and_constant_units():
    first = jnp.array(
        [[1.0, 0, 2, 0], [0, 0, 3, 0], [0, 0, 0, 0]]
    )  # unit 1 and unit 3 are constant
    second = jnp.array([[1.0, 0], [5, 0], [0, 4], [7, 0]])  # unit 1 has no effect on the output
    third = jnp.array([[2.0], [0]])
    params = [
        {"w": first, "b": jnp.array([0.1, 0.2, 0.3, 0.4])},
        {"w": second, "b": jnp.zeros(2)},
        {"w": third, "b": jnp.ones(1)},
    ]
    small = jaxreg.compact(params, jnp.tanh)
    assert str(small) == "3–4–2–1 → 1–1–1–1, 13.6 % of the weights"
    assert [list(small.inputs), *map(list, small.units)] == [[0], [0], [0]]
    assert float(small.params[1]["b"][0]) == pytest.approx(
        5 * np.tanh(0.2) + 7 * np.tanh(0.4), rel=1e-6
    )


def test_a_network_without_weights_keeps_a_unit_in_each_layer():
    params = {
        "a": {"kernel": jnp.zeros((3, 4)), "bias": jnp.ones(4)},
        "b": {"kernel": jnp.ones((4, 2)), "bias": jnp.zeros(2)},
    }
    small = jaxreg.compact(params, jnp.tanh)
    assert small.widths == (1, 1, 2)
    np.testing.assert_allclose(small.params["b"]["bias"], 4 * np.tanh([1, 1]), rtol=1e-6)


def test_a_constant_unit_stays_where_no_bias_can_take_it():
    params = [
        {"kernel": jnp.array([[1.0, 0]]), "bias": jnp.array([0.0, 2.0])},
        {"kernel": jnp.array([[1.0], [1.0]])},
    ]
    assert jaxreg.compact(params, jnp.tanh).widths == (1, 2, 1)
    # An activation of 0 needs no bias to be added to.
    params[0]["bias"] = jnp.zeros(2)
    assert jaxreg.compact(params, jnp.tanh).widths == (1, 1, 1)


class LinenNetwork(linen.Module):
    widths: tuple[int, ...]

    @linen.compact
    def __call__(self, x):
        for width in self.widths[1:-1]:
            x = linen.relu(linen.Dense(width)(x))
        return linen.Dense(self.widths[-1])(x)


def cut(params, share=0.06):
    return jaxreg.keep_largest(params, share, mask=jaxreg.kernels)


def test_linen_with_more_than_ten_layers():
    widths = (9, *[8] * 11, 3)
    x = jax.random.normal(jax.random.key(1), (4, 9))
    params = cut(LinenNetwork(widths).init(jax.random.key(0), x))
    small = jaxreg.compact(params, linen.relu)
    assert sum(small.widths) < sum(widths)
    smaller = LinenNetwork(small.widths).apply(small.params, x[:, small.inputs])
    np.testing.assert_allclose(smaller, LinenNetwork(widths).apply(params, x), rtol=1e-5, atol=1e-6)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.tree.map(jnp.shape, small.params),
        jax.tree.map(
            jnp.shape, LinenNetwork(small.widths).init(jax.random.key(0), x[:, small.inputs])
        ),
    )


class Network(nnx.Module):
    def __init__(self, widths, rngs):
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(widths)])

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def test_nnx_computes_with_the_smaller_parameters():
    model = Network((20, 15, 10, 4), nnx.Rngs(0))
    graph, params = nnx.split(model, nnx.Param)
    params = cut(params, 0.1)
    small = jaxreg.compact(params, jnp.tanh)
    x = jax.random.normal(jax.random.key(1), (6, 20))
    smaller = nnx.merge(graph, small.params)(x[:, small.inputs])
    np.testing.assert_allclose(smaller, nnx.merge(graph, params)(x), rtol=1e-5, atol=1e-6)
    assert small.widths[0] < 20


def test_kernels_of_units_by_inputs():
    params = sparse_network(3, (8, 6, 3), 0.2)
    turned = {
        name: {"weight": layer["kernel"].T, "bias": layer["bias"]} for name, layer in params.items()
    }
    small = jaxreg.compact(turned, jnp.tanh, input_axis=-1, unit_axis=-2)
    expected = jaxreg.compact(params, jnp.tanh)
    assert small.widths == expected.widths
    for name, layer in expected.params.items():
        np.testing.assert_array_equal(small.params[name]["weight"], layer["kernel"].T)


def test_half_precision_stays():
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), sparse_network(0, (8, 6, 3), 0.3))
    small = jaxreg.compact(params, jnp.tanh)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(small.params)} == {"bfloat16"}


def dense(inputs, units):
    return {"kernel": jnp.ones((inputs, units)), "bias": jnp.ones(units)}


def test_named_layers_need_no_order():
    params = {"z": dense(2, 3), "a": dense(3, 1)}
    small = jaxreg.compact(params, jnp.tanh, layers=("z/kernel", ("a/kernel", "a/bias")))
    assert small.widths == (2, 3, 1)
    assert small.share == 1
    # By their shapes the layers fit in this order alone.
    assert jaxreg.compact(params, jnp.tanh).widths == (2, 3, 1)
    turned = jax.tree.map(jnp.transpose, params)
    assert jaxreg.compact(turned, jnp.tanh, input_axis=1, unit_axis=0).widths == (2, 3, 1)


@pytest.mark.parametrize(
    ("layers", "widths"),
    [
        (
            {
                "embed": (7, 4),
                "head": (4, 2),
                **{f"Dense_{number}": (4, 4) for number in range(11)},
            },
            (7, *[4] * 12, 2),
        ),
        ({"in": (3, 5), "loop": (5, 5), "out": (5, 3)}, None),
        ({"down": (8, 3), "up": (3, 8)}, None),
        ({"in": (3, 5), "a": (5, 5), "b": (5, 5), "out": (5, 1)}, None),
        ({"a_0": (3, 5), "b": (5, 3), "a_1": (3, 2)}, (3, 5, 3, 2)),
    ],
)
def test_an_order_is_taken_only_if_no_other_fits(layers, widths):
    params = {name: dense(*shape) for name, shape in layers.items()}
    # Every order by brute force, with numbered names in the order of their numbers.
    if len(layers) < 6:
        orders = [order for order in itertools.permutations(layers) if fits(order, layers)]
        assert (len(orders) == 1) == (widths is not None)
    if widths is not None:
        assert jaxreg.compact(params, jnp.tanh).widths_before == widths
    else:
        with pytest.raises(
            ValueError, match=r"compact: expected layers=…, .*several orders, .*of: .*kernel"
        ):
            jaxreg.compact(params, jnp.tanh)


def fits(order, kernels):
    numbers = [name for name in order if name[-1].isdigit()]
    return numbers == sorted(numbers) and all(
        kernels[a][1] == kernels[b][0] for a, b in itertools.pairwise(order)
    )


def test_what_fits_in_no_order_is_named():
    with pytest.raises(
        ValueError,
        match=r"b/kernel has 5 inputs, which do not fit the 4 units of layer a/kernel.*pass layers",
    ):
        jaxreg.compact({"a": dense(3, 4), "b": dense(5, 2)}, jnp.tanh)


def test_attention_is_no_chain_of_dense_layers():
    params = {
        "value": {"kernel": jnp.ones((6, 2, 3)), "bias": jnp.ones((2, 3))},
        "out": {"kernel": jnp.ones((2, 3, 6)), "bias": jnp.ones(6)},
    }
    with pytest.raises(
        ValueError,
        match=r"got kernels of attention with an axis of heads: out/kernel of shape \(2, 3, 6\)",
    ):
        jaxreg.compact(params, jnp.tanh, layers=("value/kernel", "out/kernel"))


KERNEL, BIAS = jnp.ones((2, 2)), jnp.ones(2)
GOOD = {"kernel": KERNEL, "bias": BIAS}


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        (
            {"a": GOOD, "norm": {"scale": BIAS}},
            {},
            r"expected dense layers alone, got other parameters too: norm/scale",
        ),
        (
            {"kernel": jnp.ones((3, 3, 2, 2))},
            {},
            r"expected kernels of rank 2.*got shape \(3, 3, 2, 2\) at kernel",
        ),
        (
            {"kernel": KERNEL, "bias": jnp.ones(3)},
            {},
            r"expected a bias of shape \(2,\) for the kernel kernel, got \(3,\)",
        ),
        (
            GOOD,
            {"layers": ("kernel", "kernel")},
            r"expected every kernel and bias in one layer, got bias, kernel in several",
        ),
        (
            {"k1": KERNEL, "b1": BIAS, "k2": KERNEL},
            {},
            r"expected every kernel and bias in one layer, got b1 in several",
        ),
        (
            {"kernel": KERNEL, "scale": BIAS},
            {},
            r"expected dense layers alone, got other parameters too: scale",
        ),
        ({"bias": BIAS}, {}, r"expected kernels \(leaves of rank 2\), found none"),
        (
            GOOD,
            {"layers": ("kernle",)},
            r"layers names 'kernle', which is not a parameter; similar names are: kernel",
        ),
        (GOOD, {"layers": "kernel"}, r"layers must be a list or a tuple of names, got 'kernel'"),
        (
            GOOD,
            {"layers": ("kernel", 3)},
            r"each of layers must be a name .* or a pair \(kernel, bias or None\), got 3",
        ),
        (GOOD, {"layers": (("kernel",),)}, r"each of layers must be a name .*, got \('kernel',\)"),
        (
            GOOD,
            {"layers": ((None, "bias"),)},
            r"each of layers must be a name .*, got \(None, 'bias'\)",
        ),
        (
            GOOD,
            {"input_axis": -1},
            r"expected input_axis and unit_axis to be the two axes of a matrix, got -1 and -1",
        ),
        (
            GOOD,
            {"activation": "tanh"},
            r"activation must be a function such as jnp.tanh, got 'tanh'",
        ),
        (
            {"kernel": KERNEL, "bias": jnp.array([0, jnp.nan])},
            {},
            r"expected finite parameters, got NaN or infinity at bias",
        ),
        (
            [GOOD, GOOD],
            {"activation": jax.nn.softmax},
            r"expected an activation that acts on each unit alone.*softmax",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(params, options, message):
    with pytest.raises((ValueError, TypeError), match="compact: " + message):
        jaxreg.compact(params, **{"activation": jnp.tanh, **options})


def test_under_jit_is_refused():
    with pytest.raises(TypeError, match="compact: expected arrays, got traced values.*outside jit"):
        jax.jit(lambda params: jaxreg.compact(params, jnp.tanh).params)(GOOD)
