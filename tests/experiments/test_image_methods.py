"""The methods of the images study: rivals, penalties and networks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxreg
from experiments import datasets
from experiments.networks import kernels_of
from experiments.studies.images import methods, network, rivals
from experiments.studies.images.settings import Settings


def test_a_weight_counts_if_it_leads_to_an_output():
    first = jnp.array([[1.0, 2, 0], [0, 3, 0]])
    second = jnp.array([[1.0], [0], [5]])
    # Unit 1 has no outgoing weight, so weights into it do not count; the weight that leaves unit 2
    # counts, since its bias makes it active.
    found = network.count_kept([first, second])
    assert float(found["kept"]) == pytest.approx(3 / 9)
    np.testing.assert_array_equal(found["live"], [1, 2])


def quadratic(optimizer, start, target, steps):
    """Minimises ½‖w − target‖² over a tree, with an optimizer."""

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.tree.map(jnp.subtract, w, target), state, w)
        return (optax.apply_updates(w, updates), state), None

    return jax.lax.scan(step, (start, optimizer.init(start)), length=steps)[0]


def test_gradual_pruning_keeps_the_largest_and_its_zeros_stay():
    target = {"kernel": jnp.linspace(0.1, 4, 40).reshape(8, 5), "bias": jnp.ones(5)}
    start = jax.tree.map(lambda leaf: leaf + 0.5, target)
    tx = rivals.prune_gradually(optax.adam(0.02), 0.25, 300)
    w, state = quadratic(tx, start, target, 600)
    kept = np.asarray(w["kernel"]) != 0
    np.testing.assert_array_equal(kept.ravel(), np.arange(40) >= 30)
    np.testing.assert_allclose(w["kernel"][kept], target["kernel"][kept], atol=1e-3)
    np.testing.assert_allclose(w["bias"], 1, atol=1e-3)
    assert int(state.count) == 600
    # Half way, the cubic schedule keeps 1 − 0.75·(1 − 0.5³) = 34 % of the weights.
    half, _ = quadratic(tx, start, target, 150)
    assert np.count_nonzero(half["kernel"]) in (13, 14, 15)


def test_importance_in_the_metric_of_adam_prefers_weights_with_large_gradients():
    kernel, d = jnp.array([1.0, 0.5]), jnp.array([1.0, 16.0])
    assert np.argmax(rivals.magnitude(kernel, d)) == 0
    assert np.argmax(rivals.adam_magnitude(kernel, d)) == 1


def test_factorised_weights_solve_the_problem_of_l1():
    target, strength = jnp.array([[2.0, -1.0, 0.3, -0.2]]), 0.5
    tx = rivals.factorise(optax.adam(optax.cosine_decay_schedule(0.02, 4000)), strength)
    start = {"kernel": jnp.full((1, 4), 0.7), "bias": jnp.zeros(1)}
    w, _ = quadratic(tx, start, {"kernel": target, "bias": jnp.ones(1)}, 4000)
    np.testing.assert_allclose(w["kernel"], jaxreg.L1(strength).prox(target, 1.0), atol=1e-3)
    np.testing.assert_allclose(w["bias"], 1, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["L1", "elastic net", "group L2", "log-sum", "bridge", "MCP", "L0"]
)
def test_every_penalty_takes_a_number_and_a_schedule(name):
    config = Settings()
    constant = methods.penalty_of(name, 0.3, config)
    scheduled = methods.penalty_of(name, lambda count: 0.1 * count, config).at(3)
    x = jnp.linspace(-1, 1, 12).reshape(3, 4)
    np.testing.assert_allclose(constant.value(x), scheduled.value(x), rtol=1e-6)
    assert len(config.grid(name)) >= 3


def test_lenet_5_maps_rows_to_logits_and_its_kernels_form_a_chain():
    structure, params = network.initial(
        Settings(network="lenet-5"),
        datasets.Rows(np.zeros((3, 784)), np.zeros(3)),
        jax.random.key(0),
    )
    assert sum(kernel.size for kernel in kernels_of(params)) == 61_470
    found = network.count_kept(kernels_of(params))
    assert float(found["kept"]) == 1
    np.testing.assert_array_equal(found["live"], [1, 6, 400, 120, 84])
    assert nnx.merge(structure, params)(jnp.zeros((3, 784))).shape == (3, 10)


def test_lenet_5_agrees_with_the_convolution_of_xla():
    net, other = (network.LeNet5(10, rngs=nnx.Rngs(0)) for _ in range(2))
    for layer in other.layers[:2]:
        layer.conv_general_dilated = jax.lax.conv_general_dilated
    # More rows than it takes at once, and not a multiple.
    rows = jax.random.uniform(jax.random.key(1), (network.BLOCK + 3, 784))
    np.testing.assert_allclose(net(rows), other(rows), atol=1e-5)
    assert np.abs(net(rows)).max() > 0.1
