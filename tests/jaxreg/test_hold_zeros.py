"""Zeros stay exactly 0 under `hold_zeros`, whatever the optimizer; `keep_largest` keeps the exact
number of weights.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxreg

OPTIMIZERS = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.1),
    "adamw": optax.adamw(0.1, weight_decay=0.1),
    "lion": optax.lion(0.1),
    "clipped": optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)),
    "prox_adam": jaxreg.prox_adam(0.1, jaxreg.L1(0.05)),
    "prox_sgd": jaxreg.prox_sgd(0.1, jaxreg.SquaredL2(0.5), momentum=0.9),
    "several steps": optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(),
    "polyak_sgd": optax.polyak_sgd(0.1),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def tree(seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), 2)
    return {
        "kernel": jax.random.normal(keys[0], (8, 4), dtype),
        "bias": jax.random.normal(keys[1], (4,), dtype),
    }


def sparse(seed=0, dtype=jnp.float32):
    """A kernel with zeros, one of them negative, and biases that start at 0."""
    params = tree(seed, dtype)
    kernel = jnp.where(jnp.abs(params["kernel"]) < 0.7, 0, params["kernel"]).at[0, 0].set(-0.0)
    return {"kernel": kernel, "bias": jnp.zeros(4, dtype)}


def fit(tx, params, count=6):
    def step(carry, seed):
        params, state = carry
        gradient = jax.tree.map(lambda p: jnp.sin(3 * p + seed).astype(p.dtype), params)
        updates, state = tx.update(gradient, state, params, value=jnp.ones([]))
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), jnp.arange(1.0, count + 1))[0]


@every_optimizer
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_zeros_stay_zero_and_other_weights_move(name, dtype):
    before = sparse(dtype=dtype)
    after, state = jax.jit(
        lambda: fit(jaxreg.hold_zeros(OPTIMIZERS[name], jaxreg.kernels), before)
    )()
    held = np.asarray(before["kernel"] == 0)
    assert 5 < held.sum() < 30
    assert (np.asarray(after["kernel"], np.float32)[held] == 0).all()
    assert np.asarray(after["kernel"] != before["kernel"])[~held].mean() > 0.5
    assert (np.asarray(after["bias"]) != 0).all() or name in ("prox_adam",)
    assert after["kernel"].dtype == dtype
    assert isinstance(state, jaxreg.HeldState)
    np.testing.assert_array_equal(state.support["kernel"], ~held)
    assert state.support["bias"].all()


@every_optimizer
def test_many_runs_at_once_are_the_same_as_each_alone(name):
    tx = jaxreg.hold_zeros(OPTIMIZERS[name], jaxreg.kernels)
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), sparse(0), sparse(7))
    together = jax.jit(jax.vmap(lambda params: fit(tx, params)[0]))(many)
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[1], together), fit(tx, sparse(7))[0], rtol=1e-5, atol=1e-6
    )


def test_without_zeros_nothing_changes():
    params = tree()
    held = fit(jaxreg.hold_zeros(optax.adam(0.1)), params)[0]
    chex.assert_trees_all_close(held, fit(optax.adam(0.1), params)[0], rtol=1e-6, atol=1e-7)


def test_the_mask_selects_whose_zeros_are_held():
    params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    for mask, moved in (
        ({"kernel": False, "bias": True}, "kernel"),
        (jaxreg.kernels, "bias"),
        (None, ""),
    ):
        after, _ = fit(jaxreg.hold_zeros(optax.sgd(0.1), mask), params)
        assert [name for name in params if (after[name] != 0).any()] == [moved] * bool(moved)


def test_the_optimizer_sees_no_gradient_of_a_held_weight():
    params, gradient = jnp.array([0.0, 1.0]), jnp.array([100.0, 3.0])
    tx = jaxreg.hold_zeros(
        optax.chain(optax.clip_by_global_norm(5.0), optax.sgd(1.0, momentum=0.9))
    )
    updates, state = tx.update(gradient, tx.init(params), params)
    np.testing.assert_array_equal(updates, [0, -3])
    np.testing.assert_array_equal(state.inner[1][0].trace, [0, 3])
    updates, _ = tx.update(gradient.at[0].set(jnp.nan), state, params)
    assert updates[0] == 0 and np.isfinite(updates[1])
    updates, _ = tx.update(gradient.at[1].set(jnp.nan), state, params)
    assert np.isnan(updates[1])
    # A weight that is NaN is not 0.
    assert tx.init(jnp.array([jnp.nan])).support.all()


def test_holes_and_wrappers():
    tx = jaxreg.hold_zeros(optax.adam(0.1), jaxreg.kernels)
    params = {**sparse(), "static": None}
    updates, state = tx.update({**tree(1), "static": None}, tx.init(params), params)
    assert updates["static"] is None and state.support["static"] is None
    masked = optax.masked(jaxreg.hold_zeros(optax.adam(0.1)), {"kernel": True, "bias": False})
    updates, _ = masked.update(tree(1), masked.init(sparse()), sparse())
    assert (np.asarray(updates["kernel"])[np.asarray(sparse()["kernel"] == 0)] == 0).all()
    # Decay outside cannot move a zero either.
    chained = optax.chain(
        tx,
        optax.add_decayed_weights(0.1),
        optax.MultiSteps(optax.identity(), 1).gradient_transformation(),
    )
    after, _ = fit(chained, sparse())
    np.testing.assert_array_equal(
        np.asarray(sparse()["kernel"] == 0), np.asarray(after["kernel"] == 0)
    )
    doubled = optax.tree_map_params(tx, lambda x: x, tx.init(sparse()))
    assert jax.tree.structure(doubled) == jax.tree.structure(tx.init(sparse()))
    several = optax.MultiSteps(tx, 2)
    state = several.init(sparse())
    for _ in range(2):
        updates, state = several.update(tree(1), state, sparse())
    assert (np.asarray(updates["kernel"] == 0) == np.asarray(sparse()["kernel"] == 0)).all()


def test_nnx_optimizer():
    model = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
    model.kernel[...] = jnp.where(jnp.abs(model.kernel[...]) < 0.2, 0, model.kernel[...])
    before = np.asarray(model.kernel[...])
    optimizer = nnx.Optimizer(
        model, jaxreg.hold_zeros(optax.adamw(0.1), jaxreg.kernels), wrt=nnx.Param
    )
    inputs = jax.random.normal(jax.random.key(1), (16, 6))

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(
            model, nnx.grad(lambda model: jnp.mean(jnp.square(model(inputs) - 1)))(model)
        )

    for _ in range(3):
        step(model, optimizer)
    np.testing.assert_array_equal(np.asarray(model.kernel[...]) == 0, before == 0)
    assert (np.asarray(model.bias[...]) != 0).all()


def test_mistakes_are_explained():
    with pytest.raises(
        TypeError,
        match=r"hold_zeros: expected an optax optimizer such as optax\.adam\(1e-3\), got 0\.1",
    ):
        jaxreg.hold_zeros(0.1)
    with pytest.raises(TypeError, match=r"call its gradient_transformation\(\)"):
        jaxreg.hold_zeros(optax.MultiSteps(optax.sgd(0.1), 2))
    with pytest.raises(
        ValueError, match=r"hold_zeros: the mask selects none of the parameters \{'bias': \(4,\)\}"
    ):
        jaxreg.hold_zeros(optax.sgd(0.1), jaxreg.kernels).init({"bias": jnp.zeros(4)})
    with pytest.raises(ValueError, match="nothing for bias, kernel and a bool at weight"):
        jaxreg.hold_zeros(optax.sgd(0.1), {"weight": True}).init(sparse())
    tx = jaxreg.hold_zeros(jaxreg.prox_adam(0.1, jaxreg.L1(0.1)))
    with pytest.raises(ValueError, match="not passing `params`"):
        tx.update(tree(), tx.init(sparse()))
    with pytest.raises(
        ValueError, match=r"hold_zeros: .* of the parameter's shape \(4,\) at bias, got \(1,\)"
    ):
        tx.update({**tree(), "bias": jnp.ones(1)}, tx.init(sparse()), sparse())
    with pytest.raises(
        TypeError, match="hold_zeros: expected the HeldState that init returned, got EmptyState"
    ):
        tx.update(tree(), optax.EmptyState(), sparse())
