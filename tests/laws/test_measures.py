"""Diagnostics, pruning and steering to a share, and networks without their dead units."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from problems import diabetes, elastic_net
from sklearn.datasets import load_digits

import jaxreg
from jaxreg._counting import count


def params():
    kernel = jnp.array([[1.0, 0, 0], [0, 0, 0], [2, 0, 3], [0, 0, 0]])
    return {
        "dense": {"kernel": kernel, "bias": jnp.zeros(3)},
        "conv": {"kernel": jnp.zeros((3, 3, 2, 4)).at[0, 1, 1, 2].set(1.0)},
    }


def test_the_residual_certifies_the_lasso_and_refuses_another_strength(float64):
    problem = diabetes()
    strength = 0.05 * problem.critical
    w = elastic_net(problem.inputs, problem.targets, strength)
    gradient = jax.grad(problem.loss)(jnp.asarray(w))
    assert jaxreg.kkt_residual(jaxreg.L1(strength), w, gradient) < 1e-12
    other = jaxreg.kkt_residual(jaxreg.L1(1.1 * strength), w, gradient)
    assert other == pytest.approx(0.1 * strength, rel=1e-6)


def test_measures_of_a_tree_and_a_mask():
    both = {"w": jaxreg.L1(10.0), "b": jaxreg.SquaredL2(3.0)}
    weights = {"w": jnp.array([2.0, 0.0]), "b": jnp.array([1.0])}
    gradient = {"w": jnp.array([-0.5, 9.0]), "b": jnp.ones(1)}
    first = {"w": True, "b": False}
    for penalty in (
        {"w": jaxreg.L1(0.5), "b": None},
        lambda params: {"w": jaxreg.L1(0.5), "b": None},
    ):
        assert jaxreg.penalty_value(penalty, weights) == 1
        assert jaxreg.kkt_residual(penalty, weights, gradient) == 8.5
        assert jaxreg.critical_strength(penalty, gradient) == 9
    assert jaxreg.penalty_value(both, weights) == 23
    assert jaxreg.penalty_value(both, weights, {"w": False, "b": True}) == 3
    # Where nothing is charged the whole gradient counts.
    assert jaxreg.kkt_residual(both, weights, {**gradient, "b": jnp.array([-40.0])}, first) == 40
    assert jaxreg.kkt_residual(both, weights, gradient) == 9.5
    assert jaxreg.critical_strength(both, gradient, first) == 9
    assert jaxreg.critical_strength(both, gradient) == jnp.inf
    assert (
        jaxreg.critical_strength(
            jaxreg.GroupL2(1.0, axis=1), {"w": jnp.array([[3.0, -4.0], [0, 1]])}
        )
        == 5
    )
    assert jaxreg.penalty_value(lambda _: pytest.fail("called without parameters"), {}) == 0


def test_the_residual_maps_and_never_hides_nan():
    w, gradient = jnp.array([0.0, 1.0]), jnp.array([0.3, -0.1])
    swept = jax.jit(jax.vmap(lambda penalty: jaxreg.kkt_residual(penalty, w, gradient)))
    np.testing.assert_allclose(
        swept(jaxreg.L1(jnp.array([0.0, 0.1, 0.3]))), [0.3, 0.2, 0.2], rtol=1e-6
    )
    assert np.isnan(jaxreg.kkt_residual(jaxreg.L1(0.1), w, gradient.at[0].set(jnp.nan)))
    assert np.isnan(jaxreg.kkt_residual(jaxreg.SquaredL2(0.1), w.at[1].set(jnp.nan), gradient))


def test_sparsity_counts_weights_inputs_and_units():
    counts = jaxreg.sparsity(params())
    dense, conv = counts.leaves["dense/kernel"], counts.leaves["conv/kernel"]
    assert [int(n) for n in (dense.nonzeros, dense.size, dense.dead_inputs, dense.dead_units)] == [
        3,
        12,
        2,
        1,
    ]
    assert [int(n) for n in (conv.nonzeros, conv.size, conv.dead_inputs, conv.dead_units)] == [
        1,
        72,
        1,
        3,
    ]
    assert counts.leaves["dense/bias"].dead_inputs is None
    assert (int(counts.nonzeros), counts.size, float(counts.fraction)) == (
        4,
        87,
        pytest.approx(83 / 87),
    )
    assert jaxreg.sparsity(params(), mask=jaxreg.kernels).size == 84
    model = {"weight": params()["dense"]["kernel"].T}
    turned = jaxreg.sparsity(model, input_axis=-1, unit_axis=-2).leaves["weight"]
    assert (int(turned.dead_inputs), int(turned.dead_units)) == (2, 1)
    assert np.isnan(jaxreg.sparsity({}).fraction) and "total" in str(
        jaxreg.sparsity({"gone": None})
    )
    # NaN counts as alive, and leaves whose names meet are all counted.
    counts = jax.jit(jaxreg.sparsity)({"w": jnp.array([[jnp.nan, 0.0]])})
    assert int(counts.nonzeros) == 1 and int(counts.leaves["w"].dead_units) == 1
    counts = jaxreg.sparsity({"a/b": jnp.ones(3), "a": {"b": jnp.zeros(5)}})
    assert (int(counts.nonzeros), counts.size) == (3, 8)
    assert set(jaxreg.sparsity({"attention": {"value": jnp.ones(2)}}).leaves) == {"attention/value"}


def test_sparsity_prints_a_table():
    lines = str(jaxreg.sparsity(params()["dense"])).splitlines()
    assert lines[2].split() == ["bias", "(3,)", "0", "3", "100.0%"]
    assert lines[3].split() == ["kernel", "(4,", "3)", "3", "12", "75.0%", "2", "1"]
    assert lines[4].split() == ["total", "3", "15", "80.0%"]
    layers = {"a": jnp.ones((2, 2)), "b": jnp.array([[1.0], [0]]), "bias": jnp.ones(1)}
    assert str(jaxreg.sparsity(layers, layers=("a", "b"))).splitlines() == [
        "parameter  shape   nonzero  of  zeros  dead inputs  dead units  disconnected  live inputs",
        "-----------------------------------------------------------------------------------------",
        "a          (2, 2)        4   4   0.0%            0           0             2            2",
        "b          (2, 1)        1   2  50.0%            1           0             0            1",
        "bias       (1,)          1   1   0.0%",
        "total                    6   7  14.3%                                      2",
    ]
    assert "disconnected" not in str(jaxreg.sparsity(layers))


def test_counts_of_many_runs_print_a_line_for_each():
    kernels = jnp.stack([jnp.ones((2, 3)), jnp.eye(2, 3), jnp.zeros((2, 3))])
    counts = jax.vmap(lambda kernel: jaxreg.sparsity({"a": kernel, "b": jnp.ones(2)}))(kernels)
    assert str(counts).splitlines() == [
        "run  nonzero  of  zeros  zeros in a  zeros in b",
        "-----------------------------------------------",
        "0          8   8   0.0%        0.0%        0.0%",
        "1          4   8  50.0%       66.7%        0.0%",
        "2          2   8  75.0%      100.0%        0.0%",
    ]
    alone = jaxreg.sparsity({"a": kernels[1], "b": jnp.ones(2)})
    assert str(counts[1]) == str(alone)
    grid = jax.tree.map(lambda count: jnp.broadcast_to(count, (10, 3)), counts)
    lines = str(grid).splitlines()
    assert lines[2].startswith("0, 0 ") and len(lines) == 2 + 20 + 1
    assert lines[-1] == "and 10 more runs; counts[i] is one of them"
    assert str(grid[4, 1]) == str(alone)
    seen = []
    jax.jit(lambda kernel: seen.append(str(jaxreg.sparsity({"a": kernel}))) or kernel)(kernels[0])
    assert seen == ["Sparsity of 1 parameters, under a JAX transformation"]


LAYERS = ("first/kernel", "second/kernel", "last/kernel")


class Convolutional(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(1, 3, (3, 3), padding="SAME", rngs=rngs)
        self.second = nnx.Conv(3, 4, (3, 3), padding="SAME", rngs=rngs)
        self.last = nnx.Linear(4 * 5 * 5, 2, rngs=rngs)

    def __call__(self, x):
        x = jnp.tanh(self.second(jnp.tanh(self.first(x))))
        return self.last(x.reshape(x.shape[0], -1))


class Dense(nnx.Module):
    def __init__(self, rngs):
        self.first, self.second = nnx.Linear(6, 8, rngs=rngs), nnx.Linear(8, 5, rngs=rngs)
        self.last = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.second(jnp.tanh(self.first(x)))))


@pytest.mark.parametrize(("make", "shape"), [(Dense, (7, 6)), (Convolutional, (2, 5, 5, 1))])
def test_weights_are_connected_where_they_change_an_output(make, shape):
    random, model = np.random.default_rng(0), make(nnx.Rngs(0))
    for layer in (model.first, model.second, model.last):
        layer.kernel[...] *= random.random(layer.kernel.shape) < 0.3
        layer.bias[...] = random.normal(size=layer.bias.shape)
    model.second.kernel[...] = model.second.kernel[...].at[..., 0, 1:].set(0)
    # Without weights of units 1 and 2 in the next layer; a convolution's are spread over 25 places.
    last = model.last.kernel[...].reshape(-1, model.second.bias.size, model.last.bias.size)
    model.last.kernel[...] = last.at[:, :2].set(0).reshape(model.last.kernel.shape)
    graph, weights = nnx.split(model, nnx.Param)
    inputs = random.normal(size=shape)
    jacobian = jax.jit(jax.jacobian(lambda weights: nnx.merge(graph, weights)(inputs)))(weights)
    counts = jaxreg.sparsity(weights, layers=LAYERS)
    total = 0
    for name in ("first", "second", "last"):
        slopes, kernel = jacobian[name]["kernel"][...], weights[name]["kernel"][...]
        matters = np.asarray((slopes != 0).any((0, 1)) & (kernel != 0))
        leaf = counts.leaves[f"{name}/kernel"]
        assert int(leaf.nonzeros - leaf.disconnected) == matters.sum(), name
        assert (
            int(leaf.live_inputs) == matters.reshape(-1, *matters.shape[-2:]).any((0, 2)).sum()
        ), name
        total += matters.sum()
    assert int(counts.connected) == total and int(counts.leaves["first/kernel"].disconnected) > 0
    if make is Dense:
        turned = jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, weights)
        theirs = jaxreg.sparsity(turned, input_axis=-1, unit_axis=-2, layers=LAYERS)
        assert int(theirs.connected) == total


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_flattened_convolution_with_its_channels_first_or_last(channels_first):
    # Three channels at four positions; the dense layer uses channel 1 alone.
    conv, used = np.ones((2, 2, 1, 3)), np.zeros((4, 3))
    used[2, 1] = 1
    dense = (used.T if channels_first else used).reshape(12, 1)
    if channels_first:
        network, axes = (
            {"a": conv.transpose(3, 2, 0, 1), "b": dense.T},
            {"input_axis": 1, "unit_axis": 0},
        )
    else:
        network, axes = {"a": conv, "b": dense}, {}
    counts = jaxreg.sparsity(network, layers=("a", "b"), **axes)
    assert int(counts.leaves["a"].disconnected) == 8 and int(counts.connected) == 4 + 1


def test_a_unit_two_layers_before_the_output_and_nan():
    chain = [jnp.ones((2, 2)), jnp.eye(2), jnp.array([[1.0], [0]])]
    counts = jaxreg.sparsity(chain, layers=("0", "1", "2"))
    # Unit 1 of the second layer has no outgoing weight, so unit 1 of the first has no effect.
    assert [int(counts.leaves[name].disconnected) for name in "012"] == [2, 1, 0]
    assert [int(counts.leaves[name].live_inputs) for name in "012"] == [2, 1, 1]
    swept = jax.jit(
        jax.vmap(lambda s: jaxreg.sparsity([s * w for w in chain], layers=("0", "1", "2")))
    )
    np.testing.assert_array_equal(swept(jnp.array([0.0, 1.0])).connected, [0, 4])
    broken = jaxreg.sparsity(
        {"a": jnp.array([[jnp.nan]]), "b": jnp.array([[jnp.nan]])}, layers=("a", "b")
    )
    assert int(broken.connected) == 2


SHAPE = (2**29,)


def large(scale):
    """Arrays that XLA never makes, as they are constants: five of 2²⁹ weights."""
    return {name: jnp.full(SHAPE, scale * (name != "e")) for name in "abcde"}


def test_more_weights_than_int32_counts():
    scale = jnp.bfloat16(1)
    counts = jax.jit(lambda scale: jaxreg.sparsity(large(scale)))(scale)
    assert int(counts.nonzeros) == 4 * 2**29 and counts.nonzeros.dtype == np.int64
    assert counts.size == 5 * 2**29 and float(counts.fraction) == pytest.approx(0.2)
    total = ["total", str(4 * 2**29), str(5 * 2**29), "20.0%"]
    assert str(counts).splitlines()[-1].split() == total
    share = jax.eval_shape(lambda scale: jaxreg.sparsity(large(scale)).fraction, scale)
    assert share.dtype == np.float32
    shape = (2**16 * (2**15 + 1),)
    counts = jax.jit(lambda scale: jaxreg.sparsity({"w": jnp.full(shape, scale)}))(scale)
    assert int(counts.leaves["w"].nonzeros) == int(counts.nonzeros) == np.prod(shape)
    assert float(counts.fraction) == 0
    tx = jaxreg.steer_strength(lambda s: jaxreg.prox_sgd(1e-2, jaxreg.L1(s)), share=0.1, steps=100)
    jax.eval_shape(lambda scale: tx.init(large(scale)), scale)
    few = jax.eval_shape(lambda scale: jaxreg.keep_largest(large(scale), 1), scale)
    assert few["a"].shape == SHAPE


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1000,), (30, 7, 40), (2**24 + 5,)])
@pytest.mark.parametrize("dtype", [bool, jnp.float32, jnp.bfloat16])
def test_counts_of_weights_and_marks(shape, dtype):
    random = np.random.default_rng(0)
    x = random.standard_normal(shape, np.float32) * (random.random(shape, np.float32) < 0.6)
    number = int(np.count_nonzero(x))
    assert int(jax.jit(count)(jnp.asarray(x).astype(dtype))) == number
    # Weights that are NaN do not look sparse.
    if dtype is jnp.float32 and shape == (1000,):
        assert int(count(jnp.asarray(x).at[3].set(jnp.nan))) >= number


def tree(dtype=jnp.float32, seed=0):
    random = np.random.default_rng(seed)
    return {
        "a": {
            "kernel": jnp.asarray(random.normal(size=(29, 7)), dtype),
            "bias": jnp.ones(7, dtype),
        },
        "b": {"kernel": jnp.asarray(2 * random.normal(size=(7, 20)), dtype)},
    }


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_keep_largest_keeps_exactly_the_largest(dtype):
    weights = tree(dtype)
    shares = np.array([0.005, 0.1, 0.5, 0.9, 1], np.float32)
    many = jax.jit(jax.vmap(lambda share: jaxreg.keep_largest(weights, share, jaxreg.kernels)))(
        shares
    )
    before = np.concatenate(
        [np.ravel(np.asarray(weights[name]["kernel"], np.float32)) for name in "ab"]
    )
    for i, share in enumerate(shares):
        rest = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        after = np.concatenate(
            [np.ravel(np.asarray(rest[name]["kernel"], np.float32)) for name in "ab"]
        )
        count = max(1, round(float(share) * before.size))
        assert np.count_nonzero(after) == count
        expected = np.sort(np.abs(before))[before.size - count :]
        np.testing.assert_array_equal(np.sort(np.abs(after[after != 0])), expected)
        np.testing.assert_array_equal(rest["a"]["bias"], weights["a"]["bias"])
        assert rest["a"]["kernel"].dtype == dtype
        alone = jaxreg.keep_largest(weights, float(share), jaxreg.kernels)
        jax.tree.map(np.testing.assert_array_equal, alone, rest)
    other = jax.tree.map(lambda leaf: leaf[::-1], weights)
    pairs = jax.tree.map(lambda *leaves: jnp.stack(leaves), weights, other)
    pruned = jax.vmap(lambda weights: jaxreg.keep_largest(weights, 0.2))(pairs)
    alone = jaxreg.keep_largest(other, 0.2)
    jax.tree.map(lambda leaf, pair: np.testing.assert_array_equal(leaf, pair[1]), alone, pruned)


@pytest.mark.parametrize("count", [1, 5, 11, 12])
def test_keep_largest_of_very_different_magnitudes(float64, count):
    weights = jnp.array(
        [0.0, 1e-300, 1e-200, 1e300, -1e300, 1e308, -3, 3 + 1e-15, jnp.inf, 1e-5, -0.0, 1]
    )
    rest = np.asarray(jaxreg.keep_largest(weights, count / 12))
    order = np.argsort(-np.abs(weights), kind="stable")
    expected = sorted(at for at in order[:count] if weights[at] != 0)
    np.testing.assert_array_equal(np.flatnonzero(rest), expected)


def test_keep_largest_with_ties_zeros_nan_and_groups():
    keep = jaxreg.keep_largest
    np.testing.assert_array_equal(keep(jnp.array([1.0, -2, 2, 1, 2]), 0.4), [0, -2, 2, 0, 0])
    np.testing.assert_array_equal(keep([jnp.ones(3), jnp.ones(3)], 0.5), [np.ones(3), np.zeros(3)])
    # With fewer nonzero weights than the share nothing changes.
    np.testing.assert_array_equal(keep(jnp.array([0.0, 0, 3, 0]), 0.5), [0, 0, 3, 0])
    np.testing.assert_array_equal(
        keep(jnp.array([1.0, jnp.nan, jnp.inf, 5]), 0.5), [0, jnp.nan, jnp.inf, 0]
    )
    assert keep({"w": jnp.ones(2), "static": None}, 0.5)["static"] is None
    for share in (0.01, jnp.float32(0.01)):  # at least one weight
        np.testing.assert_array_equal(keep(jnp.array([1.0, 3.0, -2.0]), share), [0, 3, 0])
    groups = {
        "first": jnp.array([[3.0, 4], [0, 5.5], [1, 1]]),
        "last": jnp.array([[6.0, 0, 0], [2, 2, 2]]),
    }
    inputs = keep(groups, 0.4, axis=1)
    np.testing.assert_array_equal(inputs["first"], [[0, 0], [0, 5.5], [0, 0]])
    np.testing.assert_array_equal(inputs["last"], [[6, 0, 0], [0, 0, 0]])
    units = keep(groups, 0.2, axis=0)
    np.testing.assert_array_equal(units["first"], [[0, 4], [0, 5.5], [0, 1]])
    assert (units["last"] == 0).all()
    assert int(jaxreg.sparsity(keep(jnp.ones((3, 3, 2, 4)), 0.25, axis=(0, 1))).nonzeros) == 2 * 9


def network(widths=(64, 64, 10), dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 2)
    return [
        {
            "kernel": (jax.random.normal(key, shape) / shape[0] ** 0.5).astype(dtype),
            "bias": jnp.zeros(shape[1], dtype),
        }
        for key, shape in zip(keys, itertools.pairwise(widths), strict=True)
    ]


def loss(weights, inputs, labels):
    hidden = jnp.tanh(inputs @ weights[0]["kernel"] + weights[0]["bias"])
    logits = hidden @ weights[1]["kernel"] + weights[1]["bias"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def steered(make, share, data, axis=None, begin=0, reached=0.75):
    """Trains on random batches of 100 rows; returns the loss, and shares and strengths by step."""
    inputs, labels = data
    tx = jaxreg.steer_strength(
        make, share, 300, begin=begin, reached=reached, axis=axis, mask=jaxreg.kernels
    )

    def step(carry, key):
        weights, state = carry
        rows = jax.random.randint(key, (100,), 0, len(labels))
        updates, state = tx.update(
            jax.grad(loss)(weights, inputs[rows], labels[rows]), state, weights
        )
        weights = optax.apply_updates(weights, updates)
        kernels = [layer["kernel"] for layer in weights]
        alive = [kernel != 0 if axis is None else jnp.any(kernel != 0, axis) for kernel in kernels]
        return (weights, state), (
            sum(map(jnp.sum, alive)) / sum(a.size for a in alive),
            state.strength,
        )

    start = network(), tx.init(network())
    (weights, _), (shares, strengths) = jax.lax.scan(
        step, start, jax.random.split(jax.random.key(1), 350)
    )
    return loss(weights, *data), shares, strengths


DECAYING = optax.cosine_decay_schedule(1e-2, 350)
STEERED = {
    "L1": lambda s: jaxreg.prox_adam(DECAYING, jaxreg.L1(s), mask=jaxreg.kernels),
    "elastic net at a constant rate": lambda s: jaxreg.prox_adam(
        1e-2, jaxreg.ElasticNet(s, 0.5 * s), mask=jaxreg.kernels
    ),
    "groups": lambda s: jaxreg.prox_adam(DECAYING, jaxreg.GroupL2(s, axis=1), mask=jaxreg.kernels),
}


@pytest.mark.parametrize("name", STEERED)
def test_every_share_is_reached(name):
    inputs, labels = load_digits(return_X_y=True)
    data = jnp.asarray(inputs / 16, jnp.float32), jnp.asarray(labels)
    axis, begin = 1 if name == "groups" else None, 20 if name == "L1" else 0
    # With fewer than a fifth of its 128 inputs and units the network falls apart.
    targets = np.array([0.5, 0.2, 0.1, 0.05][: 2 if axis else 4], np.float32)
    run = jax.jit(jax.vmap(lambda share: steered(STEERED[name], share, data, axis, begin)))
    losses, shares, strengths = run(targets)
    # At a constant learning rate the share fluctuates from step to step.
    final = shares[:, -50:].mean(1) if "constant" in name else shares[:, -1]
    np.testing.assert_allclose(final, targets, rtol=0.05)
    assert losses[0] < 0.7
    if name == "L1":
        assert (strengths[:, :begin] == 0).all() and (strengths[:, begin:] > 0).all()
        assert (shares[:, :begin] == 1).all()
        # Then the share follows 1 − (1 − share)(1 − (1 − q)³) for three quarters of the steps.
        q = np.clip((np.arange(350) - begin) / (0.75 * (300 - begin)), 0, 1)
        path = targets[:, None] + (1 - targets[:, None]) * (1 - q) ** 3
        assert np.mean(np.abs(shares - path)[:, 60:] / path[:, 60:]) < 0.05


def make_l1(strength):
    return jaxreg.prox_sgd(0.1, jaxreg.L1(strength))


def test_the_controller_of_a_strength():
    weights = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    gradient = {"kernel": jnp.array([[3.0, -3], [3, 3]]), "bias": jnp.full(2, 100.0)}
    tx = jaxreg.steer_strength(make_l1, 0.5, 10, mask=jaxreg.kernels)
    _, state = tx.update(jax.tree.map(jnp.zeros_like, gradient), tx.init(weights), weights)
    assert isinstance(state, jaxreg.SteeredState) and float(state.strength) == 0
    _, broken = tx.update(jax.tree.map(lambda leaf: leaf * jnp.nan, gradient), state, weights)
    assert float(broken.strength) == 0
    # Among few steps the second strength is a tenth of the selected gradients.
    tx = jaxreg.steer_strength(make_l1, 0.5, 10, mask=jaxreg.kernels)
    _, state = tx.update(gradient, tx.init(weights), weights)
    assert float(state.strength) == pytest.approx(0.3e-9)
    _, state = tx.update(gradient, state, weights)
    assert float(state.strength) == pytest.approx(0.3)
    # It falls where too little is left, and stays finite where it has no effect.
    tx = jaxreg.steer_strength(make_l1, 0.5, 10)
    few = jnp.zeros(4).at[0].set(1.0)
    _, first = tx.update(few, tx.init(few), few)
    _, second = tx.update(few, first, few)
    assert 0 < second.strength < first.strength
    tx, ones = jaxreg.steer_strength(lambda strength: optax.sgd(0.1), 0.5, 10), jnp.ones(4)
    scan = jax.lax.scan(
        lambda state, _: (tx.update(ones, state, ones)[1], None), tx.init(ones), length=500
    )
    assert 1e19 < float(scan[0].strength) < 1.01e20 and int(scan[0].behind) > 400
    late = scan[0]._replace(controller=scan[0].controller._replace(behind=jnp.int32(1)))
    with pytest.warns(UserWarning, match="for 2 steps more weights were kept than the target"):
        tx.update(ones, late, ones)


@pytest.mark.parametrize("steepness", [0.3, 2.0, 30.0])
@pytest.mark.parametrize("delay", [0, 20])
def test_the_controller_reaches_what_is_measured(steepness, delay):
    """Of a count that falls with λ slowly or steeply, at once or with a delay."""
    controller = jaxreg.Controller(lambda count: jnp.where(count > 50, 32.0, 64.0), 4 * delay + 4)

    def step(carry, _):
        state, slow = carry
        slow += (jnp.log(state.strength) - slow) / (1 + delay)
        measured = 40 * jnp.exp(-steepness * (slow - jnp.log(0.03)))
        state = controller.update(state, measured)
        return (state, slow), measured

    def run(start):
        carry = controller.init(start), jnp.log(start)
        return jax.lax.scan(step, carry, length=3000)[1]

    # Many at a time, from strengths far below and above.
    measured = jax.jit(jax.vmap(run))(jnp.array([1e-3, 1.0]))
    np.testing.assert_allclose(measured[:, -100:].mean(1), 32, rtol=0.01)
    assert jnp.abs(jnp.log(measured[:, -100:] / 32)).max() < 0.1


def test_a_controller_waits_out_nan_and_bounds_what_is_not_finite():
    controller = jaxreg.Controller(10.0)
    state = controller.init(jnp.array([0.5, 0.5, 0.5, 0.0]))
    state = controller.update(state, jnp.array([jnp.nan, 0.0, jnp.inf, 3.0]))
    assert float(state.strength[0]) == 0.5 and float(state.strength[3]) == 0
    assert 0 < state.strength[1] < 0.5 < state.strength[2] < jnp.inf


def test_a_steep_count_of_groups_does_not_oscillate():
    """Units of almost equal gradients, which λ removes or revives almost all at once."""
    X = jax.random.normal(jax.random.key(0), (256, 16))
    y = jnp.tanh(X @ jax.random.normal(jax.random.key(1), (16, 4))).sum(1)
    start = {
        "up": jax.random.normal(jax.random.key(2), (16, 64)) / 4,
        "down": jax.random.normal(jax.random.key(3), (64, 1)) / 8,
    }
    tx = jaxreg.steer_strength(
        lambda s: jaxreg.prox_adam(4e-3, {"down": jaxreg.GroupL2(s, axis=1), "up": None}),
        share=0.25, steps=360, axis=1, mask={"down": True, "up": False},
    )  # fmt: skip

    def loss(params, rows):
        return jnp.mean(
            jnp.square((jnp.tanh(X[rows] @ params["up"]) @ params["down"])[:, 0] - y[rows])
        )

    def step(carry, key):
        params, state = carry
        gradient = jax.grad(loss)(params, jax.random.randint(key, (32,), 0, 256))
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (jnp.sum(params["down"] != 0), state.strength)

    keys = jax.random.split(jax.random.key(4), 400)
    _, (kept, strengths) = jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), keys))()
    assert abs(np.log(kept[-50:].mean() / 16)) < 0.2
    assert np.abs(np.diff(np.log(strengths[-50:]))).mean() < 0.1


def test_a_share_for_each_layer():
    weights = {
        "first": jnp.arange(1.0, 41),
        "second": 100 * jnp.arange(1.0, 21),
        "other": jnp.ones(3),
    }
    few = jaxreg.keep_largest(weights, {"fir*": 0.1, "second": jnp.float32(0.5)})
    counts = {name: int(jnp.sum(leaf != 0)) for name, leaf in few.items()}
    assert counts == {"first": 4, "second": 10, "other": 3}
    target = jax.tree.map(lambda leaf: leaf * (jnp.arange(leaf.size) % 3 > 0), weights)

    def make(strengths):
        return jaxreg.prox_sgd(0.3, {**jax.tree.map(jaxreg.L1, strengths), "other": None})

    tx = jaxreg.steer_strength(make, {"first": 0.1, "second": 0.5}, 800)

    def step(carry, _):
        params, state = carry
        gradient = jax.tree.map(jnp.subtract, params, target)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (weights, tx.init(weights)), length=900)
    counts = {name: int(jnp.sum(leaf != 0)) for name, leaf in params.items()}
    assert abs(counts["first"] - 4) <= 1 and abs(counts["second"] - 10) <= 1
    assert state.strength.shape == (2,) and state.strength[1] > 5 * state.strength[0]


def test_the_target_is_reached_when_it_is_wanted():
    inputs, labels = load_digits(return_X_y=True)
    data = jnp.asarray(inputs / 16, jnp.float32), jnp.asarray(labels)
    _, shares, _ = steered(STEERED["L1"], 0.1, data, begin=20, reached=0.3)
    at = 20 + round(0.3 * 280)
    assert float(shares[at + 5]) < 0.12 < float(shares[at - 30])


def test_steering_with_dtypes_holes_and_wrappers():
    weights = {"layers": network((3, 4, 2), jnp.bfloat16), "static": None}
    gradient = jax.tree.map(jnp.ones_like, weights)
    tx = jaxreg.steer_strength(make_l1, 0.2, 10, mask=jaxreg.kernels)
    updates, state = jax.eval_shape(
        lambda: tx.update(gradient, tx.init(weights), weights, value=1.0)
    )
    assert updates["static"] is None and updates["layers"][0]["kernel"].dtype == jnp.bfloat16
    first = tx.init(weights)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), first
    )
    same = optax.tree_map_params(tx, lambda leaf: leaf, first)
    assert jax.tree.structure(same) == jax.tree.structure(first)
    several = optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), tx), 2)
    state, update = several.init(weights), jax.jit(several.update)
    for _ in range(4):
        _, state = update(gradient, state, weights)
    assert int(state.inner_opt_state[1].controller.count) == 2


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
        layers[f"layer_{number}"] = {"kernel": kernel.astype(np.float32)}
        if biases:
            layers[f"layer_{number}"]["bias"] = random.normal(size=units).astype(np.float32)
    return layers


def outputs(weights, x, activation):
    for number in range(len(weights)):
        layer = weights[f"layer_{number}"]
        x = (np.asarray(activation(x)) if number else x) @ np.asarray(layer["kernel"]) + np.asarray(
            layer.get("bias", 0)
        )
    return x


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    seed=st.integers(0, 10**6),
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    share=st.floats(0, 0.6),
    name=st.sampled_from(sorted(ACTIVATIONS)),
    biases=st.booleans(),
)
def test_the_compacted_network_computes_the_same(seed, widths, share, name, biases):
    weights, activation = sparse_network(seed, widths, share, biases), ACTIVATIONS[name]
    small = jaxreg.compact(weights, activation)
    x = np.random.default_rng(seed + 1).normal(size=(5, widths[0])).astype(np.float32)
    found = outputs(small.params, x[:, small.inputs], activation)
    np.testing.assert_allclose(found, outputs(weights, x, activation), rtol=2e-5, atol=2e-5)
    assert small.widths[-1] == widths[-1] and small.widths_before == tuple(widths)
    assert small.widths == (len(small.inputs), *map(len, small.units), widths[-1])
    # Each input and unit has a weight onward, unless it is the last of its layer.
    for layer in small.params.values():
        kernel = np.asarray(layer["kernel"])
        assert (kernel != 0).any(1).all() or kernel.shape[0] == 1


def test_a_chain_of_dead_and_constant_units():
    # Units 1 and 3 of the first layer are constant; unit 1 of the second has no effect.
    first = jnp.array([[1.0, 0, 2, 0], [0, 0, 3, 0], [0, 0, 0, 0]])
    second = jnp.array([[1.0, 0], [5, 0], [0, 4], [7, 0]])
    weights = [
        {"w": first, "b": jnp.array([0.1, 0.2, 0.3, 0.4])},
        {"w": second, "b": jnp.zeros(2)},
        {"w": jnp.array([[2.0], [0]]), "b": jnp.ones(1)},
    ]
    small = jaxreg.compact(weights, jnp.tanh)
    assert str(small) == "3–4–2–1 → 1–1–1–1, 13.6 % of the weights"
    assert [list(small.inputs), *map(list, small.units)] == [[0], [0], [0]]
    assert float(small.params[1]["b"][0]) == pytest.approx(
        5 * np.tanh(0.2) + 7 * np.tanh(0.4), rel=1e-6
    )
    # A network without weights keeps a unit in each layer.
    empty = [{"w": jnp.zeros((3, 4)), "b": jnp.ones(4)}, {"w": jnp.ones((4, 2)), "b": jnp.zeros(2)}]
    small = jaxreg.compact(empty, jnp.tanh)
    assert small.widths == (1, 1, 2)
    np.testing.assert_allclose(small.params[1]["b"], 4 * np.tanh([1, 1]), rtol=1e-6)
    # A constant unit stays where no bias can take it; an activation of 0 needs none.
    for bias, widths in ((2.0, (1, 2, 1)), (0.0, (1, 1, 1))):
        last = {"kernel": jnp.array([[1.0], [1.0]])}
        one = [{"kernel": jnp.array([[1.0, 0]]), "bias": jnp.array([0.0, bias])}, last]
        assert jaxreg.compact(one, jnp.tanh).widths == widths


class LinenNetwork(linen.Module):
    widths: tuple[int, ...]

    @linen.compact
    def __call__(self, x):
        for width in self.widths[1:-1]:
            x = linen.relu(linen.Dense(width)(x))
        return linen.Dense(self.widths[-1])(x)


def test_linen_and_nnx_compute_with_the_smaller_parameters():
    # More than ten layers, whose names do not sort by their numbers.
    widths, x = (9, *[8] * 11, 3), jax.random.normal(jax.random.key(1), (4, 9))
    weights = LinenNetwork(widths).init(jax.random.key(0), x)
    weights = jaxreg.keep_largest(weights, 0.06, mask=jaxreg.kernels)
    small = jaxreg.compact(weights, linen.relu)
    assert sum(small.widths) < sum(widths)
    found = LinenNetwork(small.widths).apply(small.params, x[:, small.inputs])
    np.testing.assert_allclose(found, LinenNetwork(widths).apply(weights, x), rtol=1e-5, atol=1e-6)

    model = Dense(nnx.Rngs(0))
    graph, weights = nnx.split(model, nnx.Param)
    weights = jaxreg.keep_largest(weights, 0.1, mask=jaxreg.kernels)
    small = jaxreg.compact(weights, jnp.tanh, layers=LAYERS)
    found = nnx.merge(graph, small.params)(x[:, :6][:, small.inputs])
    np.testing.assert_allclose(found, nnx.merge(graph, weights)(x[:, :6]), rtol=1e-5, atol=1e-6)


def test_kernels_of_units_by_inputs_and_half_precision():
    weights = sparse_network(3, (8, 6, 3), 0.2)
    turned = {
        name: {"weight": layer["kernel"].T, "bias": layer["bias"]}
        for name, layer in weights.items()
    }
    small = jaxreg.compact(turned, jnp.tanh, input_axis=-1, unit_axis=-2)
    expected = jaxreg.compact(weights, jnp.tanh)
    assert small.widths == expected.widths
    for name, layer in expected.params.items():
        np.testing.assert_array_equal(small.params[name]["weight"], layer["kernel"].T)
    narrow = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), weights)
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(jaxreg.compact(narrow, jnp.tanh).params)}
    assert dtypes == {"bfloat16"}


def dense(inputs, units):
    return {"kernel": jnp.ones((inputs, units)), "bias": jnp.ones(units)}


def test_an_order_of_layers_is_taken_where_names_numbers_or_shapes_leave_one():
    weights = {"z": dense(2, 3), "a": dense(3, 1)}
    small = jaxreg.compact(weights, jnp.tanh, layers=("z/kernel", ("a/kernel", "a/bias")))
    assert (
        small.widths == jaxreg.compact(weights, jnp.tanh).widths == (2, 3, 1) and small.share == 1
    )
    numbered = {f"Dense_{number}": dense(4, 4) for number in range(11)}
    deep = {"embed": dense(7, 4), "head": dense(4, 2), **numbered}
    assert jaxreg.compact(deep, jnp.tanh).widths_before == (7, *[4] * 12, 2)
    mixed = {"a_0": dense(3, 5), "b": dense(5, 3), "a_1": dense(3, 2)}
    assert jaxreg.compact(mixed, jnp.tanh).widths_before == (3, 5, 3, 2)
