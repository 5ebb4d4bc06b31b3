"""`sparsity` with `layers`: nonzero weights that lead to no output, through dense layers and
convolutions.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxreg

LAYERS = ("layers/0/kernel", "layers/1/kernel", "layers/2/kernel")


def network(seed=0, widths=(6, 8, 5, 3), share=0.3):
    """A sparse network, with biases that are not 0."""
    layers = []
    for at, shape in enumerate(itertools.pairwise(widths)):
        keys = jax.random.split(jax.random.key(100 * seed + at), 3)
        kernel = jax.random.normal(keys[0], shape) * jax.random.bernoulli(keys[1], share, shape)
        layers.append({"kernel": kernel, "bias": jax.random.normal(keys[2], shape[1:])})
    return {"layers": layers}


def logits(params, inputs):
    *hidden, last = params["layers"]
    for layer in hidden:
        inputs = jnp.tanh(inputs @ layer["kernel"] + layer["bias"])
    return inputs @ last["kernel"] + last["bias"]


@pytest.mark.parametrize("seed", range(2))
def test_weights_lead_to_an_output_where_they_change_one(seed):
    params = network(seed)
    inputs = jax.random.normal(jax.random.key(seed), (7, 6))
    jacobian = jax.jit(jax.jacobian(logits))(params, inputs)
    counts = jaxreg.sparsity(params, layers=LAYERS)
    connected = 0
    for name, layer, slopes in zip(LAYERS, params["layers"], jacobian["layers"], strict=True):
        matters = np.asarray((slopes["kernel"] != 0).any((0, 1)) & (layer["kernel"] != 0))
        leaf = counts.leaves[name]
        assert int(leaf.nonzeros - leaf.disconnected) == matters.sum()
        assert int(leaf.live_inputs) == matters.any(1).sum()
        connected += matters.sum()
    assert int(counts.connected) == connected
    assert sum(int(counts.leaves[name].disconnected) for name in LAYERS) > 0
    assert counts.leaves["layers/0/bias"].disconnected is None


def test_a_unit_is_useless_two_layers_before_the_output():
    first, second, third = jnp.ones((2, 2)), jnp.array([[1.0, 0], [0, 1]]), jnp.array([[1.0], [0]])
    counts = jaxreg.sparsity([first, second, third], layers=("0", "1", "2"))
    # Unit 1 of the second layer has no outgoing weight, so neither it nor unit 1 of the first layer
    # has an effect.
    assert [int(counts.leaves[name].disconnected) for name in "012"] == [2, 1, 0]
    assert [int(counts.leaves[name].live_inputs) for name in "012"] == [2, 1, 1]
    assert int(counts.connected) == 2 + 1 + 1
    assert int(counts.nonzeros) == 4 + 2 + 1


class Convolutional(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(1, 3, (3, 3), padding="SAME", rngs=rngs)
        self.second = nnx.Conv(3, 4, (3, 3), padding="SAME", rngs=rngs)
        self.last = nnx.Linear(4 * 5 * 5, 2, rngs=rngs)

    def __call__(self, x):
        x = jnp.tanh(self.second(jnp.tanh(self.first(x))))
        return self.last(x.reshape(x.shape[0], -1))


def test_a_dense_layer_after_a_flattened_convolution():
    model = Convolutional(nnx.Rngs(0))
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 5, 1))
    dense = (
        model.last.kernel[...]
        .reshape(25, 4, 2)
        .at[:, 1]
        .set(0)
        .at[:, 2]
        .set(0)
        .at[7, 2, 1]
        .set(1.0)
    )
    model.last.kernel[...] = dense.reshape(100, 2)
    model.second.kernel[...] = (
        model.second.kernel[...].at[:, :, 0, :].set(0).at[1, 1, 0, 1].set(2.0)
    )
    graph, params = nnx.split(model, nnx.Param)
    jacobian = jax.jit(jax.jacobian(lambda params: nnx.merge(graph, params)(inputs)))(params)
    counts = jaxreg.sparsity(params, layers=["first/kernel", "second/kernel", "last/kernel"])
    for name in ("first", "second", "last"):
        slopes, kernel = jacobian[name]["kernel"][...], params[name]["kernel"][...]
        matters = np.asarray((slopes != 0).any((0, 1)) & (kernel != 0))
        leaf = counts.leaves[f"{name}/kernel"]
        assert int(leaf.nonzeros - leaf.disconnected) == matters.sum(), name
    # Input channel 0 of the second layer feeds channel 1 alone, which the dense layer ignores.
    assert [
        int(counts.leaves[f"{name}/kernel"].live_inputs) for name in ("first", "second", "last")
    ] == [1, 2, 51]
    assert int(counts.leaves["first/kernel"].disconnected) == 9


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_flattened_convolution_with_its_channels_first_or_last(channels_first):
    # Three channels at four positions; the dense layer uses channel 1 alone.
    conv = np.ones((2, 2, 1, 3))
    used = np.zeros((4, 3))
    used[2, 1] = 1
    dense = (used.T if channels_first else used).reshape(12, 1)
    if channels_first:
        params, axes = (
            {"a": conv.transpose(3, 2, 0, 1), "b": dense.T},
            {"input_axis": 1, "unit_axis": 0},
        )
    else:
        params, axes = {"a": conv, "b": dense}, {}
    counts = jaxreg.sparsity(params, layers=("a", "b"), **axes)
    assert int(counts.leaves["a"].disconnected) == 8
    assert int(counts.connected) == 4 + 1


def test_other_axes_and_transformations():
    params = network(1)
    transposed = jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, params)
    ours = jaxreg.sparsity(params, jaxreg.kernels, layers=LAYERS)
    theirs = jaxreg.sparsity(transposed, jaxreg.kernels, input_axis=-1, unit_axis=-2, layers=LAYERS)
    assert int(ours.connected) == int(theirs.connected)
    assert int(theirs.leaves[LAYERS[1]].live_inputs) == int(ours.leaves[LAYERS[1]].live_inputs)
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), network(1), network(2))
    swept = jax.jit(jax.vmap(lambda params: jaxreg.sparsity(params, layers=LAYERS)))(many)
    np.testing.assert_array_equal(
        swept.connected,
        [jaxreg.sparsity(network(seed), layers=LAYERS).connected for seed in (1, 2)],
    )
    assert int(swept[0].leaves[LAYERS[0]].disconnected) == int(ours.leaves[LAYERS[0]].disconnected)


def test_nan_leads_to_an_output():
    counts = jaxreg.sparsity(
        {"a": jnp.array([[jnp.nan]]), "b": jnp.array([[jnp.nan]])}, layers=("a", "b")
    )
    assert int(counts.connected) == 2


def test_the_table_has_the_columns_only_with_layers():
    params = {"a": jnp.ones((2, 2)), "b": jnp.array([[1.0], [0]]), "bias": jnp.ones(1)}
    assert str(jaxreg.sparsity(params, layers=("a", "b"))).splitlines() == [
        "parameter  shape   nonzero  of  zeros  dead inputs  dead units  disconnected  live inputs",
        "-----------------------------------------------------------------------------------------",
        "a          (2, 2)        4   4   0.0%            0           0             2            2",
        "b          (2, 1)        1   2  50.0%            1           0             0            1",
        "bias       (1,)          1   1   0.0%",
        "total                    6   7  14.3%                                      2",
    ]
    assert "disconnected" not in str(jaxreg.sparsity(params))
    many = jax.vmap(
        lambda scale: jaxreg.sparsity(jax.tree.map(lambda x: x * scale, params), layers=("a", "b"))
    )
    lines = str(many(jnp.array([0.0, 1.0]))).splitlines()
    assert lines[0].split("  ")[:5] == ["run", "nonzero", "of", " zeros", "connected"]
    assert lines[2].split()[:5] == ["0", "0", "7", "100.0%", "0"]
    assert lines[3].split()[:5] == ["1", "6", "7", "14.3%", "3"]


@pytest.mark.parametrize(
    ("layers", "mask", "error", "message"),
    [
        (
            "layers/0/kernel",
            None,
            TypeError,
            r"layers must be a list or a tuple of names, got 'layers/0/kernel'",
        ),
        (
            ("layers/0/kernal",),
            None,
            ValueError,
            r"'layers/0/kernal', which is not a counted kernel; .*: layers/0/kernel",
        ),
        (("layers/0/bias",), None, ValueError, "'layers/0/bias', which is not a counted kernel"),
        (LAYERS[:1], {"layers": [False, True, True]}, ValueError, "not a counted kernel"),
        ((LAYERS[0], LAYERS[0]), None, ValueError, "none twice"),
        ((), None, ValueError, "at least one kernel"),
        (
            LAYERS[::-1],
            None,
            ValueError,
            r"layer layers/0/kernel of shape \(6, 8\) has 6 inputs, .* the 5 units of layer",
        ),
        ((LAYERS[0], LAYERS[2]), None, ValueError, "has 5 inputs, which do not fit the 8 units"),
    ],
)
def test_mistakes_are_explained(layers, mask, error, message):
    with pytest.raises(error, match=message):
        jaxreg.sparsity(network(), mask, layers=layers)


def test_connected_needs_the_layers():
    with pytest.raises(ValueError, match=r"call jaxreg\.sparsity\(params, layers=…\)"):
        _ = jaxreg.sparsity(network()).connected
