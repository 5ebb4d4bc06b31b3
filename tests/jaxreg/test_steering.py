"""`steer_strength` ends at the wanted share of weights or groups, for several penalties, optimizers
and horizons.
"""

import functools
from dataclasses import field

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from sklearn.datasets import load_digits

import jaxreg

STEPS = 300
SHARES = np.array([0.5, 0.2, 0.1, 0.05], np.float32)


class LogSum(jaxreg.Penalty):
    """λ ε Σ log(1 + |w|/ε), a concave penalty."""

    strength: float
    scale: float = field(default=0.01, metadata={"static": True})

    def value(self, x):
        return self.strength * self.scale * jnp.sum(jnp.log1p(jnp.abs(x) / self.scale))

    def subgradient(self, x):
        return self.strength * jnp.sign(x) / (1 + jnp.abs(x) / self.scale)

    def slope(self, x):
        return self.strength / (1 + jnp.abs(x) / self.scale)

    def prox(self, x, step):
        size, scale, weight = jnp.abs(x), self.scale, jnp.asarray(step) * self.strength * self.scale
        root = jnp.square(size + scale) - 4 * weight
        inner = jnp.maximum((size - scale + jnp.sqrt(jnp.maximum(root, 0))) / 2, 0)
        better = (
            jnp.square(inner - size) / 2 + weight * jnp.log1p(inner / scale) < jnp.square(size) / 2
        )
        return jnp.where((root >= 0) & better, jnp.sign(x) * inner, 0)


PENALTIES = {
    "L1": jaxreg.L1,
    "elastic net": lambda strength: jaxreg.ElasticNet(strength, 0.5 * strength),
    "groups": lambda strength: jaxreg.GroupL2(strength, axis=1),
    "log-sum": LogSum,
}


@functools.cache
def digits():
    inputs, labels = load_digits(return_X_y=True)
    return jnp.asarray(inputs / 16, jnp.float32), jnp.asarray(labels)


def network(seed=0, widths=(64, 64, 10), dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), 2)
    return [
        {
            "kernel": (jax.random.normal(key, shape) / shape[0] ** 0.5).astype(dtype),
            "bias": jnp.zeros(shape[1], dtype),
        }
        for key, shape in zip(keys, ((widths[0], widths[1]), (widths[1], widths[2])), strict=True)
    ]


def loss(params, inputs, labels):
    hidden = jnp.tanh(inputs @ params[0]["kernel"] + params[0]["bias"])
    logits = hidden @ params[1]["kernel"] + params[1]["bias"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def train(tx, params, data, steps, axis=None):
    """Trains on random batches of 100 rows; returns parameters, state, and strengths and shares by
    step.
    """
    inputs, labels = data

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (100,), 0, len(labels))
        updates, state = tx.update(
            jax.grad(loss)(params, inputs[rows], labels[rows]), state, params
        )
        params = optax.apply_updates(params, updates)
        return (params, state), (state.strength, kernel_share(params, axis))

    start = params, tx.init(params)
    (params, state), (strengths, shares) = jax.lax.scan(
        step, start, jax.random.split(jax.random.key(1), steps)
    )
    return params, state, strengths, shares


def kernel_share(params, axis=None):
    kernels = [layer["kernel"] for layer in params]
    alive = [kernel != 0 if axis is None else jnp.any(kernel != 0, axis) for kernel in kernels]
    return sum(jnp.sum(a) for a in alive) / sum(a.size for a in alive)


def prox_adam(penalty, decay):
    rate = optax.cosine_decay_schedule(1e-2, 350) if decay else 1e-2
    return lambda strength: jaxreg.prox_adam(rate, penalty(strength), mask=jaxreg.kernels)


def make_l1(strength):
    return jaxreg.prox_sgd(0.1, jaxreg.L1(strength))


@pytest.mark.parametrize(
    ("name", "decay"),
    [("L1", True), ("elastic net", False), ("groups", True), ("log-sum", True), ("log-sum", False)],
)
def test_every_share_is_reached(name, decay):
    axis = 1 if name == "groups" else None

    def fit(share, data):
        tx = jaxreg.steer_strength(
            prox_adam(PENALTIES[name], decay), share, STEPS, axis=axis, mask=jaxreg.kernels
        )
        params, _, _, shares = train(tx, network(), data, 350, axis)
        # At a constant learning rate the share fluctuates from step to step.
        return shares[-1] if decay else jnp.mean(shares[-50:]), loss(params, *data)

    # With fewer than a fifth of its 128 inputs and units the network falls apart.
    shares = SHARES[:2] if axis else SHARES
    kept, losses = jax.jit(jax.vmap(fit, (0, None)))(shares, digits())
    np.testing.assert_allclose(kept, shares, rtol=0.05)
    assert losses[0] < 0.7


def test_lambda_is_zero_until_it_begins_and_can_be_read():
    tx = jaxreg.steer_strength(prox_adam(jaxreg.L1, False), 0.2, 120, begin=20, mask=jaxreg.kernels)
    _, state, strengths, shares = jax.jit(lambda data: train(tx, network(), data, 30))(digits())
    assert isinstance(state, jaxreg.SteeredState)
    assert state.strength.dtype == jnp.float32
    assert int(state.count) == 30
    assert (strengths[:20] == 0).all() and (strengths[20:] > 0).all()
    assert (shares[:20] == 1).all() and shares[-1] < 1


def test_the_first_strength_is_a_tenth_of_the_gradient():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    gradient = {"kernel": jnp.array([[3.0, -3], [3, 3]]), "bias": jnp.full(2, 100.0)}
    tx = jaxreg.steer_strength(
        lambda strength: jaxreg.prox_sgd(0.1, jaxreg.L1(strength)), 0.5, 10, mask=jaxreg.kernels
    )
    nothing = jax.tree.map(jnp.zeros_like, gradient)
    _, state = tx.update(nothing, tx.init(params), params)
    assert float(state.strength) == 0
    _, broken = tx.update(jax.tree.map(lambda leaf: leaf * jnp.nan, gradient), state, params)
    assert float(broken.strength) == 0
    _, state = tx.update(gradient, state, params)
    assert float(state.strength) == pytest.approx(0.3)


def test_lambda_falls_where_too_little_is_left():
    params = jnp.zeros(4).at[0].set(1.0)
    tx = jaxreg.steer_strength(make_l1, 0.5, 10)
    _, first = tx.update(params, tx.init(params), params)
    _, second = tx.update(params, first, params)
    assert 0 < second.strength < first.strength


def test_lambda_stays_finite_where_it_has_no_effect():
    params = jnp.ones(4)
    tx = jaxreg.steer_strength(lambda strength: optax.sgd(0.1), 0.5, 10)
    state, _ = jax.lax.scan(
        lambda state, _: (tx.update(params, state, params)[1], None), tx.init(params), length=500
    )
    assert 1e19 < float(state.strength) < 1.01e20


def test_dtypes_holes_and_wrappers():
    dtype = jnp.bfloat16
    params = {"layers": network(widths=(3, 4, 2), dtype=dtype), "static": None}
    gradient = jax.tree.map(jnp.ones_like, params)
    tx = jaxreg.steer_strength(make_l1, 0.2, 10, mask=jaxreg.kernels)
    updates, state = tx.update(gradient, tx.init(params), params, value=1.0)
    assert updates["static"] is None
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}
    chex.assert_trees_all_equal_shapes_and_dtypes(state, tx.init(params))
    frozen = {"layers": [{"kernel": None, "bias": None}, gradient["layers"][1]], "static": None}
    chain = jaxreg.steer_strength(
        lambda strength: optax.chain(optax.sgd(0.1), jaxreg.prox_l1(strength, 0.1)), 0.2, 10
    )
    updates, _ = chain.update(frozen, chain.init(params), params)
    assert updates["layers"][0]["kernel"] is None
    several = optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), tx), 2)
    state = several.init(params)
    step = jax.jit(several.update)
    for _ in range(4):
        _, state = step(gradient, state, params)
    assert int(state.inner_opt_state[1].count) == 2
    doubled = optax.tree_map_params(tx, lambda x: x, tx.init(params))
    assert jax.tree.structure(doubled) == jax.tree.structure(tx.init(params))


def test_nnx_optimizer():
    model = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
    make = prox_adam(jaxreg.L1, False)
    optimizer = nnx.Optimizer(
        model, jaxreg.steer_strength(make, 0.5, 100, mask=jaxreg.kernels), wrt=nnx.Param
    )
    inputs = jax.random.normal(jax.random.key(1), (16, 6))

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(
            model, nnx.grad(lambda model: jnp.mean(jnp.square(model(inputs) - 1)))(model)
        )

    for _ in range(110):
        step(model, optimizer)
    assert int(jnp.sum(model.kernel[...] != 0)) in (11, 12, 13)
    assert float(optimizer.opt_state.strength[...]) > 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((jaxreg.L1(0.1), 0.5, 10), TypeError, "make_optimizer must be a function of the strength"),
        ((make_l1, 0.0, 10), ValueError, r"share must lie in \(0, 1\], got 0\.0"),
        ((make_l1, 5, 10), ValueError, r"share must lie in \(0, 1\], got 5"),
        ((make_l1, "half", 10), TypeError, "share must be a number"),
        (
            (make_l1, optax.constant_schedule(0.1), 10),
            TypeError,
            r"share must be a number in \(0, 1\]",
        ),
        (
            (make_l1, jnp.array([0.5, 0.1]), 10),
            ValueError,
            r"share must be one number, .* use jax\.vmap",
        ),
        ((make_l1, 0.5, 0), ValueError, "steps must be at least 1, got 0"),
        ((make_l1, 0.5, 1e3), TypeError, r"steps must be an int, got 1000\.0"),
        ((make_l1, 0.5, 10, 10), ValueError, "begin must be at least 0 and below steps=10, got 10"),
    ],
)
def test_mistakes_in_arguments_are_explained(arguments, error, message):
    begin = arguments[3] if len(arguments) > 3 else 0
    with pytest.raises(error, match=f"steer_strength: {message}"):
        jaxreg.steer_strength(*arguments[:3], begin=begin)


def test_mistakes_in_parameters_are_explained():
    params = {"bias": jnp.ones(3)}
    with pytest.raises(TypeError, match="make_optimizer: expected an optax optimizer .*, got L1"):
        jaxreg.steer_strength(jaxreg.L1, 0.5, 10).init(params)
    with pytest.raises(ValueError, match="steer_strength: the mask selects none of the parameters"):
        jaxreg.steer_strength(make_l1, 0.5, 10, mask=jaxreg.kernels).init(params)
    with pytest.raises(ValueError, match="steer_strength: axis=1 does not fit"):
        jaxreg.steer_strength(make_l1, 0.5, 10, axis=1).init(params)
    with pytest.raises(TypeError, match="steer_strength: axis must be an int"):
        jaxreg.steer_strength(make_l1, 0.5, 10, axis="in")
    tx = jaxreg.steer_strength(make_l1, 0.5, 10)
    with pytest.raises(ValueError, match="not passing `params`"):
        tx.update(params, tx.init(params))
    with pytest.raises(
        TypeError, match="steer_strength: expected the SteeredState that init returned"
    ):
        tx.update(params, optax.EmptyState(), params)
