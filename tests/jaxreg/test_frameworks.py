"""Parameters of linen, nnx, Equinox and plain trees all train, prune and report."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

import jaxreg

X = jax.random.normal(jax.random.key(0), (32, 6))
Y = X[:, :1] - 2 * X[:, 1:2]


def optimizer():
    return jaxreg.prox_adam(3e-2, jaxreg.L1(3e-2), mask=jaxreg.kernels)


def assert_pruned(before, params, kernels):
    """Kernels have exact zeros now; biases and norm scales, which the mask spares, have none."""
    report = jaxreg.sparsity(params)
    assert set(jaxreg.sparsity(params, jaxreg.kernels).leaves) == kernels
    for name, leaf in report.leaves.items():
        share = int(leaf.nonzeros) / leaf.size
        assert (share < 1) == (name in kernels), name
    assert jaxreg.penalty_value(jaxreg.L1(1.0), params, jaxreg.kernels) > 0
    assert jax.tree.structure(before) == jax.tree.structure(params)


def fit(loss, params, steps=200):
    tx = optimizer()

    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    residual = jaxreg.kkt_residual(jaxreg.L1(3e-2), params, jax.grad(loss)(params), jaxreg.kernels)
    assert jnp.isfinite(residual)
    return params


def test_plain_tree():
    params = [
        jnp.ones((6, 8)) * jax.random.normal(jax.random.key(1), (6, 8)),
        (jnp.ones(8), jnp.ones((8, 1))),
    ]
    trained = fit(
        lambda p: jnp.mean(jnp.square(jnp.tanh(X @ p[0] + p[1][0]) @ p[1][1] - Y)), params
    )
    assert_pruned(params, trained, {"0", "1/1"})


def test_linen():
    model = nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(1)])
    params = model.init(jax.random.key(1), X)
    trained = fit(lambda p: jnp.mean(jnp.square(model.apply(p, X) - Y)), params)
    assert_pruned(params, trained, {"params/layers_0/kernel", "params/layers_2/kernel"})


class Net(nnx.Module):
    def __init__(self, rngs):
        # Before the layer, not behind it: there it would undo the shrinking of that layer's kernel.
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.hidden = nnx.Linear(6, 8, rngs=rngs)
        self.out = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.out(jnp.tanh(self.hidden(self.norm(x))))


TRANSFORMS = {
    "prox_adam": optimizer,
    "chain": lambda: optax.chain(optax.sgd(0.1), jaxreg.prox_l1(0.2, 0.1, mask=jaxreg.kernels)),
    "groups": lambda: jaxreg.prox_adam(3e-2, jaxreg.GroupL2(0.2, axis=1), mask=jaxreg.kernels),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_nnx(name):
    model = Net(nnx.Rngs(0))
    before = nnx.state(model, nnx.Param)
    optimizer = nnx.Optimizer(model, TRANSFORMS[name](), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda model: jnp.mean(jnp.square(model(X) - Y)))(model))

    for _ in range(200):
        step(model, optimizer)
    params = nnx.state(model, nnx.Param)
    assert_pruned(before, params, {"hidden/kernel", "out/kernel"})
    if name == "groups":
        assert jaxreg.sparsity(params).leaves["hidden/kernel"].dead_inputs > 0


def test_kernels_are_no_biases_whatever_their_rank():
    attention = nnx.state(nnx.MultiHeadAttention(2, 6, decode=False, rngs=nnx.Rngs(0)), nnx.Param)
    assert set(jaxreg.sparsity(attention, jaxreg.kernels).leaves) == {
        f"{name}/kernel" for name in ("key", "query", "value", "out")
    }
    convolution = eqx.filter(eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(0)), eqx.is_inexact_array)
    assert set(jaxreg.sparsity(convolution, jaxreg.kernels).leaves) == {"weight"}


def test_equinox_layouts_and_masks():
    model = eqx.nn.Linear(5, 2, key=jax.random.key(0))
    model = eqx.tree_at(lambda m: m.weight, model, model.weight.at[:, :3].set(0))
    params = eqx.filter(model, eqx.is_inexact_array)
    leaf = jaxreg.sparsity(params, input_axis=-1, unit_axis=-2).leaves["weight"]
    assert (int(leaf.dead_inputs), int(leaf.dead_units)) == (3, 0)
    # A mask made in advance is a module too, and callable like one.
    explicit = jaxreg.prox_adam(1e-1, jaxreg.L1(1.0), mask=jaxreg.kernels(params))
    updates, _ = explicit.update(params, explicit.init(params), params)
    by_function = jaxreg.prox_adam(1e-1, jaxreg.L1(1.0), mask=jaxreg.kernels)
    expected, _ = by_function.update(params, by_function.init(params), params)
    assert jnp.array_equal(updates.weight, expected.weight)
    assert jnp.array_equal(updates.bias, expected.bias)


def test_equinox():
    model = eqx.nn.MLP(6, 1, 8, 1, activation=jnp.tanh, key=jax.random.key(1))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    trained = fit(lambda p: jnp.mean(jnp.square(jax.vmap(eqx.combine(p, static))(X) - Y)), params)
    assert_pruned(params, trained, {"layers/0/weight", "layers/1/weight"})
    assert jnp.isfinite(eqx.combine(trained, static)(X[0])).all()


def test_parameters_may_be_plain_numbers():
    tx = jaxreg.prox_sgd(0.1, jaxreg.L1(1.0))
    updates, _ = tx.update({"w": 0.5}, tx.init({"w": 1.0}), {"w": 1.0})
    assert float(updates["w"]) == pytest.approx(-0.15)
