"""`keep_largest` keeps the exact number of weights or groups, the largest, over all selected leaves
together.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg


def tree(seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), 3)
    return {
        "a": {
            "kernel": jax.random.normal(keys[0], (9, 7), dtype),
            "bias": jax.random.normal(keys[1], (7,), dtype),
        },
        "b": {"kernel": 2 * jax.random.normal(keys[2], (7, 4), dtype)},
    }


def kernels(params):
    return np.concatenate(
        [np.ravel(np.asarray(params[name]["kernel"], np.float32)) for name in ("a", "b")]
    )


@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 1])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_exactly_the_largest_are_kept(share, dtype):
    params = tree(dtype=dtype)
    rest = jaxreg.keep_largest(params, share, mask=jaxreg.kernels)
    before, after = kernels(params), kernels(rest)
    count = max(1, round(share * before.size))
    assert np.count_nonzero(after) == count
    np.testing.assert_array_equal(
        np.sort(np.abs(after[after != 0])), np.sort(np.abs(before))[before.size - count :]
    )
    np.testing.assert_array_equal(rest["a"]["bias"], params["a"]["bias"])
    assert rest["a"]["kernel"].dtype == dtype


def test_jit_and_vmap_over_traced_shares():
    shares = jnp.array([0.1, 0.25, 1.0])
    many = jax.jit(jax.vmap(lambda share: jaxreg.keep_largest(tree(), share, jaxreg.kernels)))(
        shares
    )
    for at, share in enumerate(shares):
        alone = jaxreg.keep_largest(tree(), float(share), jaxreg.kernels)
        np.testing.assert_array_equal(many["b"]["kernel"][at], alone["b"]["kernel"])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), tree(0), tree(1))
    pruned = jax.vmap(lambda params: jaxreg.keep_largest(params, 0.2))(stacked)
    np.testing.assert_array_equal(
        pruned["a"]["bias"][1], jaxreg.keep_largest(tree(1), 0.2)["a"]["bias"]
    )


@pytest.mark.parametrize("count", [1, 5, 11, 12])
def test_very_different_magnitudes(float64, count):
    weights = jnp.array(
        [0.0, 1e-300, 1e-200, 1e300, -1e300, 1e308, -3, 3 + 1e-15, jnp.inf, 1e-5, -0.0, 1]
    )
    rest = np.asarray(jaxreg.keep_largest(weights, count / 12))
    order = np.argsort(-np.abs(weights), kind="stable")
    np.testing.assert_array_equal(
        np.flatnonzero(rest), sorted(at for at in order[:count] if weights[at] != 0)
    )


def test_ties_zeros_and_nan():
    np.testing.assert_array_equal(
        jaxreg.keep_largest(jnp.array([1.0, -2, 2, 1, 2]), 0.4), [0, -2, 2, 0, 0]
    )
    np.testing.assert_array_equal(
        jaxreg.keep_largest([jnp.ones(3), jnp.ones(3)], 0.5), [np.ones(3), np.zeros(3)]
    )
    # With fewer nonzero weights than the share nothing changes.
    np.testing.assert_array_equal(jaxreg.keep_largest(jnp.array([0.0, 0, 3, 0]), 0.5), [0, 0, 3, 0])
    np.testing.assert_array_equal(
        jaxreg.keep_largest(jnp.array([1.0, jnp.nan, jnp.inf, 5]), 0.5), [0, jnp.nan, jnp.inf, 0]
    )
    assert jaxreg.keep_largest({"w": jnp.ones(2), "static": None}, 0.5)["static"] is None


def test_groups_are_kept_whole_by_their_norm():
    params = {
        "first": jnp.array([[3.0, 4], [0, 5.5], [1, 1]]),
        "last": jnp.array([[6.0, 0, 0], [2, 2, 2]]),
    }
    inputs = jaxreg.keep_largest(params, 0.4, axis=1)
    np.testing.assert_array_equal(inputs["first"], [[0, 0], [0, 5.5], [0, 0]])
    np.testing.assert_array_equal(inputs["last"], [[6, 0, 0], [0, 0, 0]])
    units = jaxreg.keep_largest(params, 0.2, axis=0)
    np.testing.assert_array_equal(units["first"], [[0, 4], [0, 5.5], [0, 1]])
    assert (units["last"] == 0).all()
    convolution = jaxreg.keep_largest(jnp.ones((3, 3, 2, 4)), 0.25, axis=(0, 1))
    assert int(jaxreg.sparsity(convolution).nonzeros) == 2 * 9


@pytest.mark.parametrize("share", [0, -0.1, 1.5, jnp.nan])
def test_shares_out_of_range(share):
    with pytest.raises(ValueError, match="keep_largest: share must"):
        jaxreg.keep_largest(tree(), share)


def test_mistakes_are_explained():
    with pytest.raises(TypeError, match="keep_largest: share must be a number"):
        jaxreg.keep_largest(tree(), "10%")
    with pytest.raises(ValueError, match="keep_largest: the mask selects none of the parameters"):
        jaxreg.keep_largest({"bias": jnp.ones(3)}, 0.5, jaxreg.kernels)
    with pytest.raises(ValueError, match="keep_largest: axis=1 does not fit an array of shape"):
        jaxreg.keep_largest(tree(), 0.5, axis=1)
    with pytest.raises(TypeError, match="keep_largest: axis must be an int"):
        jaxreg.keep_largest(tree(), 0.5, axis="in")


@pytest.mark.parametrize("share", [0.01, jnp.float32(0.01)], ids=["number", "array"])
def test_one_weight_is_kept_however_small_the_share(share):
    rest = jaxreg.keep_largest(jnp.array([1.0, 3.0, -2.0]), share)
    np.testing.assert_array_equal(rest, [0, 3, 0])
