"""Float32 copies of parameters in bfloat16: what is lost without them, and that nothing is lost
with them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg

LOST = {
    "proximal L1": jaxreg.prox_sgd(0.01, jaxreg.L1(0.1)),
    "squared L2": optax.chain(jaxreg.add_l2(0.05), optax.sgd(0.01)),
    "optax.add_decayed_weights": optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.01)),
}
OPTIMIZERS = {
    **LOST,
    "prox_adam": jaxreg.prox_adam(1e-3, jaxreg.L1(0.02), mask=jaxreg.kernels),
    "prox_adam, clipped": jaxreg.prox_adam(
        1e-3, jaxreg.L1(0.02), clip=optax.clip_by_global_norm(0.1)
    ),
    "adamw": optax.adamw(1e-3, weight_decay=0.1),
}


def train(tx, params, steps, gradient=lambda params, step: jax.tree.map(jnp.zeros_like, params)):
    def step(carry, number):
        params, state = carry
        updates, state = tx.update(gradient(params, number), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.jit(
        lambda params: jax.lax.scan(step, (params, tx.init(params)), jnp.arange(steps))[0]
    )(params)


def noisy(params, step):
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), step), len(params))
    return {
        name: (leaf.astype(jnp.float32) * 0.1 + 0.05 * jax.random.normal(key, leaf.shape)).astype(
            leaf.dtype
        )
        for key, (name, leaf) in zip(keys, params.items(), strict=True)
    }


@pytest.mark.parametrize("name", LOST)
def test_a_step_below_half_a_unit_in_the_last_place_is_lost_without_and_kept_with_the_copy(name):
    params = jnp.ones(3, jnp.bfloat16)
    assert (train(LOST[name], params, 500)[0] == 1).all()
    expected = train(LOST[name], jnp.ones(3), 500)[0]
    found = train(jaxreg.master_weights(LOST[name]), params, 500)[0]
    assert expected[0] < 0.7
    np.testing.assert_array_equal(found, expected.astype(jnp.bfloat16))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_are_the_rounded_copy_with_the_same_zeros(name, dtype):
    start = jax.random.normal(jax.random.key(1), (20, 5)) * 0.1
    params = {"kernel": start.astype(dtype), "bias": jnp.ones(5, jnp.float32)}
    after, state = train(jaxreg.master_weights(OPTIMIZERS[name]), params, 300, noisy)
    assert (
        after["kernel"].dtype == dtype
        and state.master["kernel"].dtype == jnp.float32
        and state.master["bias"] is None
    )
    np.testing.assert_array_equal(after["kernel"], state.master["kernel"].astype(dtype))
    np.testing.assert_array_equal(after["kernel"] == 0, state.master["kernel"] == 0)
    assert not (after["kernel"] == params["kernel"]).all()


def test_float32_parameters_are_updated_as_without_the_wrapper():
    params = {"kernel": jax.random.normal(jax.random.key(1), (4, 3)), "bias": jnp.ones(3)}
    for tx in OPTIMIZERS.values():
        plain, wrapped = (
            train(tx, params, 20, noisy)[0],
            train(jaxreg.master_weights(tx), params, 20, noisy)[0],
        )
        jax.tree.map(np.testing.assert_array_equal, plain, wrapped)


def test_parameters_that_were_changed_from_outside_replace_the_copy():
    params = {"kernel": jnp.linspace(0.1, 1, 12, dtype=jnp.bfloat16).reshape(4, 3)}
    tx = jaxreg.master_weights(optax.sgd(1e-3))
    gradient = {"kernel": jnp.ones((4, 3), jnp.bfloat16)}
    _, state = tx.update(gradient, tx.init(params), params)
    few = jaxreg.keep_largest(params, 0.25)
    updates, state = tx.update(jax.tree.map(jnp.zeros_like, gradient), state, few)
    assert jaxreg.sparsity(optax.apply_updates(few, updates)).nonzeros == 3
    np.testing.assert_array_equal(state.master["kernel"] == 0, few["kernel"] == 0)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="master_weights: expected an optax optimizer"):
        jaxreg.master_weights(jaxreg.L1(0.1))
    tx = jaxreg.master_weights(optax.sgd(0.1))
    with pytest.raises(ValueError, match="params"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    with pytest.raises(TypeError, match="expected the MasterState that init returned"):
        tx.update(jnp.ones(2), optax.EmptyState(), jnp.ones(2))
