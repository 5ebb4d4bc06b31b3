"""Groups across parameters: the same as groups of one array that holds all of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from hypothesis import given
from hypothesis import strategies as st

import jaxreg
from jaxreg._spans import Part

NEURONS = {"*/up": "unit", "*/down/kernel": "input"}


def blocks(key, sizes=(5, 7), dtype=float):
    """Two blocks with hidden layers of different widths."""
    keys = iter(jax.random.split(key, 3 * len(sizes)))
    return {
        f"block_{number}": {
            "up": {
                "kernel": jax.random.normal(next(keys), (3, size)).astype(dtype),
                "bias": jax.random.normal(next(keys), (size,)),
            },
            "down": {"kernel": jax.random.normal(next(keys), (size, 2)), "bias": jnp.ones(2)},
        }
        for number, size in enumerate(sizes)
    }


def joined(params):
    """One array per block, with a row for each neuron, and the rest."""
    rows = {
        name: jnp.concatenate(
            [block["down"]["kernel"], block["up"]["bias"][:, None], block["up"]["kernel"].T], 1
        )
        for name, block in params.items()
    }
    return {"rows": rows, "rest": {name: block["down"]["bias"] for name, block in params.items()}}


PENALTIES = {
    "GroupL2": lambda **groups: jaxreg.GroupL2(0.3, **groups),
    "log-sum": lambda **groups: jaxreg.Group(jaxreg.LogSum(0.3, 0.5), **groups),
    "sparse": lambda **groups: jaxreg.SparseGroupL2(0.05, 0.2, **groups),
    "weighted": lambda **groups: jaxreg.Weighted(jaxreg.GroupL2(0.3, **groups), 0.5),
}
OPTIMIZERS = {
    "sgd": lambda penalty: jaxreg.prox_sgd(0.1, penalty, momentum=0.5),
    "adam": lambda penalty: jaxreg.prox_adam(0.05, penalty, clip=optax.clip_by_global_norm(1.0)),
    "coupled": lambda penalty: optax.chain(jaxreg.add_penalty(penalty), optax.sgd(0.1)),
}


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("way", OPTIMIZERS)
def test_training_is_that_of_one_array(name, way, float64):
    params = blocks(jax.random.key(0))
    target = jax.tree.map(lambda leaf: leaf + 0.1, blocks(jax.random.key(1)))
    across = PENALTIES[name](per=NEURONS)
    alone = {"rows": PENALTIES[name](axis=1), "rest": None}

    def train(tx, params, target):
        def step(carry, _):
            params, state = carry
            updates, state = tx.update(jax.tree.map(jnp.subtract, params, target), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, tx.init(params)), length=60)[0][0]

    found = train(OPTIMIZERS[way](across), params, target)
    expected = train(OPTIMIZERS[way](alone), joined(params), joined(target))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
        joined(found),
        expected,
    )
    value = jaxreg.penalty_value(across, found)
    np.testing.assert_allclose(value, jaxreg.penalty_value(alone, expected), rtol=1e-9)
    residual, wanted = (
        jaxreg.kkt_residual(penalty, at, jax.tree.map(jnp.subtract, at, to))
        for penalty, at, to in ((across, found, target), (alone, expected, joined(target)))
    )
    # A difference of slopes of about 0.3, which float64 rounds.
    np.testing.assert_allclose(residual, wanted, rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("strength", [0.0, 1e-3])
def test_sizes_beyond_those_of_squares(strength):
    """Neurons of tiny weights vanish under any penalty, and huge ones stay."""
    size = jnp.array([1e-25, 1e-12, 1.0, 1e25])
    params = {"a": {"up": {"kernel": jnp.ones((3, 4)) * size}, "down": {"kernel": -size[:, None]}}}
    tx = jaxreg.prox_adam(0.1, jaxreg.GroupL2(strength, per=NEURONS))
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(still, tx.init(params), params)
    found = optax.apply_updates(params, updates)["a"]
    for kernel, before, axis in (
        (found["up"]["kernel"], params["a"]["up"]["kernel"], 0),
        (found["down"]["kernel"], params["a"]["down"]["kernel"], 1),
    ):
        kernel, before = (np.moveaxis(np.asarray(x), axis, 1) for x in (kernel, before))
        if strength == 0:
            np.testing.assert_array_equal(kernel, before)
        else:
            # No weight moves by more than the learning rate.
            expected = np.where(np.abs(before) < 0.1, 0, before - 0.1 * np.sign(before))
            np.testing.assert_allclose(kernel, expected, rtol=1e-6)
            assert (kernel[:2] == 0).all() and not np.signbit(kernel[:2]).any()
    lengths = jaxreg.penalty_value(jaxreg.GroupL2(1.0, per=NEURONS), {"a": {
        "up": {"kernel": params["a"]["up"]["kernel"][:, :1]},
        "down": {"kernel": params["a"]["down"]["kernel"][:1]},
    }})  # fmt: skip
    np.testing.assert_allclose(lengths, 2e-25, rtol=1e-6)


def test_whole_neurons_are_kept_counted_and_removed():
    params = blocks(jax.random.key(0), dtype=jnp.bfloat16)
    few = jaxreg.keep_largest(params, 0.25, per=NEURONS)
    rows = joined(few)["rows"].values()
    alive = [np.asarray(jnp.any(block != 0, 1)) for block in rows]
    assert sum(map(np.sum, alive)) == 3 and few["block_0"]["up"]["kernel"].dtype == jnp.bfloat16
    assert all(
        (np.asarray(block)[mark] != 0).all() for block, mark in zip(rows, alive, strict=True)
    )
    sizes = jnp.concatenate([jnp.linalg.norm(x, axis=1) for x in joined(params)["rows"].values()])
    assert (np.argsort(-sizes)[:3] == np.argsort(-sizes * np.concatenate(alive))[:3]).all()
    # Without biases, each block by itself.
    shares = {"block_0": 0.4, "block_1": 1 / 7}
    few = jaxreg.keep_largest(params, shares, jaxreg.kernels, per=NEURONS)
    counts = [int(jnp.any(b["up"]["kernel"] != 0, 0).sum()) for b in few.values()]
    assert counts == [2, 1] and (few["block_0"]["up"]["bias"] != 0).all()
    tx = jaxreg.steer_strength(
        lambda s: jaxreg.prox_adam(0.03, jaxreg.GroupL2(s, per=NEURONS)), 0.25, 400, per=NEURONS
    )

    def step(carry, _):
        params, state = carry
        gradient = jax.tree.map(lambda w, s: w - 1.1 * s, params, start)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = blocks(jax.random.key(0))
    (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=450)
    assert sum(int(jnp.any(x != 0, 1).sum()) for x in joined(params)["rows"].values()) == 3


@pytest.mark.parametrize("kind", [jaxreg.L0, lambda s: jaxreg.LogSum(s, 0.1)])
def test_steering_never_removes_more_neurons_than_its_target(kind):
    def loss(params, rows):
        """A network learns another one, so that a neuron without weights has no gradient."""
        outputs = [
            jnp.tanh(rows @ p["up"]["kernel"] + p["up"]["bias"]) @ p["down"]["kernel"]
            for p in (params, teacher)
        ]
        return jnp.mean(jnp.square(outputs[0] - outputs[1]))

    teacher = blocks(jax.random.key(0))["block_0"]
    # All neurons have about the same norm, so any λ that removes one removes nearly all.
    start = jax.tree.map(
        lambda w: 0.5 + 0.001 * jax.random.normal(jax.random.key(1), w.shape), teacher
    )
    start["down"]["kernel"] = start["down"]["kernel"].at[::2].multiply(-1)
    rows = jax.random.normal(jax.random.key(2), (64, start["up"]["kernel"].shape[0]))
    neurons = {"up": "unit", "down/kernel": "input"}
    tx = jaxreg.steer_strength(
        lambda s: jaxreg.prox_adam(0.02, jaxreg.Group(kind(s), per=neurons), max_shrink=None),
        0.25, 200, begin=20, per=neurons,
    )  # fmt: skip

    def step(carry, number):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, rows), state, params)
        params = optax.apply_updates(params, updates)
        alive = jnp.sum(jnp.any(params["down"]["kernel"] != 0, 1))
        return (params, state), alive

    _, alive = jax.lax.scan(step, (start, tx.init(start)), jnp.arange(240))
    size = start["down"]["kernel"].shape[0]
    done = np.clip((1 + np.arange(240) - 20) / (0.75 * 180), 0, 1)
    target = np.maximum(np.round((0.25 + 0.75 * (1 - done) ** 3) * size), 1)
    assert (np.asarray(alive) >= target).all() and alive[-1] == round(0.25 * size)


def test_neurons_are_spared_only_where_too_few_are_left():
    """L0 removes neurons whose norm in D is small, here the last two first. Those that are spared
    have the largest norms, here the last two, and move without the penalty.
    """

    def made(strength):
        penalty = jaxreg.Group(jaxreg.L0(strength), per=neurons)
        return jaxreg.prox_adam(0.01, penalty, max_shrink=None)

    def alone(strength):
        updates, _ = made(strength).update(gradient, made(strength).init(params), params)
        return optax.apply_updates(params, updates)["up"][0]

    def steered(strength):
        state = tx.init(params)
        now = state.controller._replace(strength=jnp.float32(strength))
        updates, _ = tx.update(gradient, state._replace(controller=now), params)
        return optax.apply_updates(params, updates)["up"][0]

    neurons = {"up": "unit", "down": "input"}
    params = {"up": jnp.array([[1.0, 2, 3, 4]]), "down": jnp.ones((4, 1))}
    gradient = {"up": jnp.array([[0.5, 0.5, 1e-4, 1e-4]]), "down": jnp.zeros((4, 1))}
    tx = jaxreg.steer_strength(made, 0.5, 10, reached=0.1, per=neurons)
    assert np.flatnonzero(alone(1.0)).tolist() == [0, 1] and not alone(1e3).any()
    np.testing.assert_array_equal(steered(1.0), alone(1.0))
    np.testing.assert_array_equal(steered(1e3), jnp.where(jnp.arange(4) > 1, alone(0.0), 0))


HEADS = {"**/query": "head", "**/key": "head", "**/value": "head", "**/out/kernel": "head"}


def of_nnx():
    model = nnx.MultiHeadAttention(4, 8, decode=False, rngs=nnx.Rngs(0))
    return nnx.split(model, nnx.Param)[1], {
        name.removeprefix("**/"): r for name, r in HEADS.items()
    }


def of_linen():
    module = linen.MultiHeadDotProductAttention(4, qkv_features=8)
    return {"attention": module.init(jax.random.key(0), jnp.ones((1, 3, 8)))}, HEADS


def of_equinox():
    module = eqx.nn.MultiheadAttention(4, 8, key=jax.random.key(0))
    names = [f"{name}_proj/weight" for name in ("query", "key", "value")]
    per = dict.fromkeys(names, ("unit", 4)) | {"output_proj/weight": ("input", 4)}
    return eqx.filter(module, eqx.is_inexact_array), per


@pytest.mark.parametrize("framework", [of_nnx, of_linen, of_equinox])
def test_heads_of_every_framework(framework):
    params, per = framework()
    penalty = jaxreg.GroupL2(1.0, per=per)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    # Each head has 2 of the 8 entries along one axis; all biases are 0 at first.
    heads = np.zeros(4)
    for leaf in leaves:
        if leaf.ndim == 3:
            axis = leaf.shape.index(4)
            heads += np.square(np.moveaxis(leaf, axis, 0).reshape(4, -1)).sum(1)
    if framework is of_equinox:
        output = np.asarray(params.output_proj.weight)
        parts = [np.asarray(getattr(params, f"{n}_proj").weight) for n in ("query", "key", "value")]
        heads = sum(np.square(part.reshape(4, -1)).sum(1) for part in [*parts, output.T])
    np.testing.assert_allclose(
        jaxreg.penalty_value(penalty, params), np.sqrt(heads).sum(), rtol=1e-5
    )
    few = jaxreg.keep_largest(params, 0.25, per=per)
    assert 4 * int(jaxreg.sparsity(few).nonzeros) == int(jaxreg.sparsity(params).nonzeros)


@pytest.mark.parametrize("channels_last", [True, False])
def test_channels_of_a_convolution_before_a_dense_layer(channels_last):
    """Each channel has four positions in the flattened image."""
    if channels_last:
        conv, dense = {"kernel": jnp.ones((3, 3, 1, 6))}, {"kernel": jnp.arange(24.0)[:, None]}
    else:
        cut = eqx.filter(eqx.nn.Conv2d(1, 6, 3, key=jax.random.key(0)), eqx.is_array)
        conv, dense = cut, eqx.nn.Linear(24, 1, use_bias=False, key=jax.random.key(0))
    params = {"conv": conv, "norm": {"scale": jnp.ones(6)}, "dense": dense}
    per = {"conv": "unit", "norm/scale": "unit", "dense": "input"}
    few = jaxreg.keep_largest(params, 1 / 6, per=per)
    if channels_last:  # the last channel has the largest sum
        np.testing.assert_array_equal(np.flatnonzero(few["dense"]["kernel"]), [5, 11, 17, 23])
        np.testing.assert_array_equal(few["norm"]["scale"], [0, 0, 0, 0, 0, 1])
    else:
        kept = np.flatnonzero(few["dense"].weight)
        assert len(kept) == 4 and (np.diff(kept) == 1).all() and kept[0] % 4 == 0


@given(st.data())
def test_rows_are_put_back(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    size = int(np.prod([shape[a] for a in axes]))
    repeats = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    part = Part(0, "w", axes, shape, repeats, data.draw(st.booleans()))
    x = jnp.arange(float(np.prod(shape))).reshape(shape)
    rows = part.rows(x)
    assert rows.shape[0] == size // repeats
    np.testing.assert_array_equal(part.back(rows), x)
    numbers = jnp.arange(float(len(rows)))[:, None]
    spread = jnp.broadcast_to(part.back(numbers), shape)
    np.testing.assert_array_equal(part.rows(spread), jnp.broadcast_to(numbers, rows.shape))
    sums = part.rows(jnp.sum(x, part.inside, keepdims=True)).sum(1)
    np.testing.assert_array_equal(sums, rows.sum(1))
