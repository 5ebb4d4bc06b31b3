"""Counts of 2³¹ weights and more, without 64-bit integers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import _sparsity

SHAPE = (2**15, 2**14)


def large(scale):
    """Arrays that XLA never makes, as they are constants: five of 2²⁹ weights."""
    return {
        name: jnp.full(SHAPE, scale * (name != "e"), jnp.int8).astype(jnp.bfloat16)
        for name in "abcde"
    }


def test_more_weights_than_int32_counts():
    counts = jax.jit(lambda scale: jaxreg.sparsity(large(scale)))(jnp.int8(1))
    assert int(counts.nonzeros) == 4 * 2**29
    assert counts.nonzeros.dtype == np.int64
    assert counts.size == 5 * 2**29
    assert float(counts.fraction) == pytest.approx(0.2)
    assert str(counts).splitlines()[-1].split() == [
        "total",
        str(4 * 2**29),
        str(5 * 2**29),
        "20.0%",
    ]
    assert counts.leaves["a"].nonzeros.dtype == np.int32
    shares = jax.eval_shape(lambda scale: jaxreg.sparsity(large(scale)).fraction, jnp.int8(1))
    assert shares.dtype == np.float32


def test_an_array_of_more_weights_than_int32_counts():
    size = 2**16 * (2**15 + 1)
    counts = jax.jit(lambda scale: jaxreg.sparsity({"w": jnp.full((2**16, 2**15 + 1), scale)}))(
        jnp.int8(1).astype(jnp.bfloat16)
    )
    assert int(counts.leaves["w"].nonzeros) == int(counts.nonzeros) == size
    assert float(counts.fraction) == 0


def test_optimizers_and_pruning_take_as_many_weights():
    tx = jaxreg.steer_strength(lambda s: jaxreg.prox_sgd(1e-2, jaxreg.L1(s)), share=0.1, steps=100)
    jax.eval_shape(lambda scale: tx.init(large(scale)), jnp.int8(1))
    kept = jax.eval_shape(lambda scale: jaxreg.keep_largest(large(scale), 1), jnp.int8(1))
    assert kept["a"].shape == SHAPE


def test_pairs_count_what_integers_count(monkeypatch):
    params = {
        "a": jnp.ones((40, 30)).at[:7].set(0).at[:, :3].set(0),
        "b": jnp.ones((30, 20)).at[:9].set(0),
        "bias": jnp.ones(20),
    }
    many = jax.tree.map(lambda x: jnp.stack([x, 0 * x, x]), params)

    def count(params):
        return jaxreg.sparsity(params, layers=("a", "b"))

    plain, plain_runs = count(params), jax.vmap(count)(many)
    monkeypatch.setattr(_sparsity, "LARGE", 8)
    pairs, runs = jax.jit(count)(params), jax.jit(jax.vmap(count))(many)
    assert isinstance(pairs.nonzeros, np.ndarray) and pairs.nonzeros.dtype == np.int64
    assert int(pairs.nonzeros) == int(plain.nonzeros) == 33 * 27 + 21 * 20 + 20
    assert int(pairs.connected) == int(plain.connected)
    np.testing.assert_array_equal(runs.nonzeros, plain_runs.nonzeros)
    np.testing.assert_array_equal(runs.fraction, plain_runs.fraction)
    assert str(pairs) == str(plain)
    assert str(runs) == str(plain_runs)
    assert str(runs[1]) == str(count(jax.tree.map(jnp.zeros_like, params)))
    traced = jax.jit(
        lambda params: (count(params).nonzeros, count(params).connected, count(params).fraction)
    )(params)
    assert [x.dtype for x in traced] == [np.float32] * 3
    np.testing.assert_allclose(traced, [plain.nonzeros, plain.connected, plain.fraction], rtol=1e-6)
