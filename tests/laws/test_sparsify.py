"""`sparsify`: the outputs of the dense forward pass, in every framework. `max_share` decides here,
as timing would differ between runs.
"""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given
from hypothesis import strategies as st

import jaxreg

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).standard_normal((16, 3, 32)), jnp.float32)


class Two(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(32, 7, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 7, qkv_features=6, decode=False, rngs=rngs)

    def __call__(self, x):
        return self.attention(nnx.remat(lambda layer, x: nnx.gelu(layer(x)))(self.first, x))


def of_linen(module):
    return module.apply, module.init(KEY, X)


def of_nnx():
    graph, params = nnx.split(Two(nnx.Rngs(0)))
    return lambda params, x: nnx.merge(graph, params)(x), params


def of_equinox():
    params, rest = eqx.partition(eqx.nn.MLP(32, 3, 5, 1, key=KEY), eqx.is_array)
    return lambda params, x: jax.vmap(jax.vmap(eqx.combine(params, rest)))(x), params


def derived():
    """Kernels that are reshaped, transposed, cast, rectified and shared, in jitted functions."""
    layer = jax.jit(lambda kernel, x: jnp.einsum("oi,bti->bto", jax.nn.relu(kernel), x))

    def apply(params, x):
        kernel = params["a"].reshape(6, 32)
        x = layer(kernel.astype(jnp.bfloat16).astype(kernel.dtype), x)
        x = layer(kernel.T, jnp.tanh(x))
        return {"out": params["b"] @ x[0].T + params["bias"]}

    shapes = {"a": (2, 3, 32), "b": (5, 32), "bias": (3,)}
    return apply, {name: jax.random.normal(KEY, shape) for name, shape in shapes.items()}


def of_scan():
    def apply(params, x):
        scanned, _ = jax.lax.scan(lambda x, kernel: (x @ kernel, None), x, params["stacked"])
        return scanned @ params["last"]

    return apply, {"stacked": jnp.ones((2, 32, 32)) / 8, "last": jax.random.normal(KEY, (32, 5))}


FORWARD = {
    "linen": of_linen(linen.Sequential([linen.Dense(5), jnp.tanh, linen.Dense(3)])),
    "linen attention": of_linen(linen.MultiHeadDotProductAttention(2, qkv_features=6)),
    "nnx attention": of_nnx(),
    "equinox": of_equinox(),
    "derived": derived(),
    "scan": of_scan(),
}


@pytest.mark.parametrize("name", FORWARD)
def test_outputs_are_those_of_the_dense_forward_pass(name):
    apply, params = FORWARD[name]
    params = jaxreg.keep_largest(params, 0.1, mask=jaxreg.kernels)
    fast = jaxreg.sparsify(apply, params, X, max_share=1.0)
    expected = apply(params, X)
    for outputs in (fast(X), jax.jit(lambda fast, x: fast(x))(fast, X), jax.jit(fast)(X)):
        chex.assert_trees_all_close(outputs, expected, rtol=1e-5, atol=1e-5)
    forms = [product.form for product in fast.products]
    count = jax.tree.leaves(jaxreg.kernels(params)).count(True)
    assert forms == {
        "scan": ["dense: used in scan", "sparse"], "derived": ["sparse"] * 3
    }.get(name, ["sparse"] * count)  # fmt: skip


def product(x, kernel):
    return x @ kernel


USES = {
    "no zeros": lambda kernel, x: x @ (kernel + 1),
    "above max_share": lambda kernel, x: x @ kernel.at[0].set(1),
    "integer": lambda kernel, x: x.astype(int) @ kernel.astype(int),
    "batched over the kernel": lambda kernel, x: jax.vmap(product)(x, kernel.reshape(16, 32, 2)),
    "used in conv_general_dilated": lambda kernel, x: jax.lax.conv(
        x, kernel[..., None], (1,), "SAME"
    ),
    "used in gather": lambda kernel, x: kernel[x[:, 0, 0].astype(int)],
    "used in mul": lambda kernel, x: x @ (kernel * x[0, 0, 0]),
}


@pytest.mark.parametrize("reason", USES)
def test_what_cannot_be_sparse_stays_dense_with_a_reason(reason):
    shape = (4, 3) if "conv" in reason else (32, 32)
    params = {"kernel": jnp.zeros(shape).at[1, 2].set(2), "free": jnp.zeros((32, 4))}

    def apply(params, x):
        return USES[reason](params["kernel"], x), x @ params["free"]

    mask = ~jaxreg.matching("free") & jaxreg.kernels
    fast = jaxreg.sparsify(apply, params, X, mask=mask, max_share=0.01)
    jax.tree.map(np.testing.assert_array_equal, fast(X), apply(params, X))
    assert [product.form for product in fast.products] == [f"dense: {reason}"]
    assert f"dense: {reason}" in str(fast)


@given(
    st.sampled_from(["float32", "bfloat16", "float64"]),
    st.integers(0, 40), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from([0.0, 0.3, 1.0]), st.booleans(),
)  # fmt: skip
def test_product_of_any_size_dtype_and_order(dtype, batch, inputs, units, share, kernel_first):
    rng = np.random.default_rng(batch + 41 * inputs + units)
    with jax.enable_x64(dtype == "float64"):
        kernel = rng.standard_normal((inputs, units)) * (rng.random((inputs, units)) < share)
        kernel, x = (
            jnp.asarray(kernel, dtype),
            jnp.asarray(rng.standard_normal((batch, inputs)), dtype),
        )
        apply = (lambda w, x: w.T @ x.T) if kernel_first else (lambda w, x: x @ w)
        fast = jaxreg.sparsify(apply, kernel, jax.ShapeDtypeStruct(x.shape, x.dtype), max_share=1.0)
        outputs, exact = fast(x), np.asarray(x, np.float64) @ np.asarray(kernel, np.float64)
        assert outputs.dtype == dtype
        # A sum of n terms in the wider of float32 and the dtype, then one rounding.
        bound = np.abs(x).astype(float) @ np.abs(kernel).astype(float)
        error = (
            inputs * jnp.finfo(jnp.promote_types(dtype, "float32")).eps + jnp.finfo(dtype).eps
        ) * bound
        assert np.all(
            np.abs(np.asarray(outputs, float) - (exact.T if kernel_first else exact))
            <= (error.T if kernel_first else error)
        )


def test_both_forms_are_timed_and_the_faster_one_is_chosen():
    kernel = jnp.zeros((512, 512)).at[0, 0].set(1)
    fast = jaxreg.sparsify(lambda w, x: x @ w, kernel, jnp.ones((512, 512)))
    (use,) = fast.products
    # A product that is faster alone may still be slower in the whole program.
    faster = use.times.ratio <= 1
    forms = ("sparse", "dense: slower together") if faster else ("dense: slower",)
    assert min(use.times) > 0 and use.form in forms
    slope = jax.grad(lambda x: fast(x).sum())(jnp.ones((512, 512)))
    np.testing.assert_array_equal(slope, np.eye(1, 512)[0] * np.ones((512, 1)))


def test_other_shapes_and_traced_parameters_raise():
    fast = jaxreg.sparsify(lambda w, x: x @ w, jnp.eye(3), jnp.ones((4, 3)), max_share=1.0)
    with pytest.raises(ValueError, match=r"float32\(4, 3\), got float32\(2, 3\); call"):
        fast(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"float32\(4, 3\), got int32\(4, 3\), int32\(\)"):
        fast(jnp.ones((4, 3), int), 1)
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda w: jaxreg.sparsify(lambda w: w, w).constants)(jnp.eye(3))
