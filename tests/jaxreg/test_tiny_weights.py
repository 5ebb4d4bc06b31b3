"""Derivatives at weights so small that their squares are 0."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import penalty_table as table
import pytest
from hypothesis import strategies as st

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")

X = np.array([[1, -2, 0.5], [0, 3, 1]])
SIZES = {
    "float32": [1e-15, 1e-20, 1e-30, 1e-37, 5e-39, 1e-44],
    "float64": [1e-30, 1e-155, 1e-200, 1e-300, 5e-324],
}
SIZES["bfloat16"] = SIZES["float32"]


def check(penalty, x, step):
    value, slope = table.value_and_slope(penalty, x)
    outputs = (value, slope, table.prox(penalty, x, step), table.prox_jacobians(penalty, x, step))
    for number in jax.tree.leaves(outputs):
        assert np.isfinite(np.asarray(number, float)).all(), (penalty, x, step)


@pytest.mark.parametrize("name", table.PENALTIES)
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=25)
def test_derivatives_are_finite_at_tiny_weights(name, data):
    size = data.draw(st.sampled_from(SIZES["float32"]))
    strength = data.draw(st.sampled_from([0.0, size / 100, size, 0.5]))
    penalty = table.with_strength(data.draw(table.PENALTIES[name]), strength)
    penalty = jax.tree.map(jnp.float32, penalty)
    check(
        penalty,
        jnp.asarray(X * size, jnp.float32),
        jnp.float32(data.draw(st.sampled_from([0.0, 1e-3, 1.0]))),
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
@pytest.mark.parametrize(
    "penalty",
    [
        jaxreg.GroupL2(0.0, 1),
        jaxreg.SparseGroupL2(0.0, 0.0, 1),
        jaxreg.Group(jaxreg.L1(0.0), 1),
        jaxreg.Bridge(0.0),
    ],
)
def test_in_other_dtypes_and_with_a_step_for_each_weight(penalty, dtype):
    uneven = np.array([[1, 0.5, 0.2], [0.3, 2, 1]])
    for size in SIZES[dtype]:
        for strength in (0.0, size / 100, 0.5):
            steps = jnp.float64(1) if isinstance(penalty, jaxreg.Group) else jnp.asarray(uneven)
            check(
                table.with_strength(penalty, jnp.float64(strength)),
                jnp.asarray(X * size, dtype),
                steps,
            )


@pytest.mark.parametrize(
    "make", [lambda s: jaxreg.GroupL2(s, 1), lambda s: jaxreg.Group(jaxreg.L1(s), 1)]
)
def test_the_derivative_of_the_prox_does_not_depend_on_the_unit(make):
    step = jnp.float32(0.7)
    plain = table.prox_jacobians(make(jnp.float32(0.9)), jnp.asarray(X, jnp.float32), step)[0]
    for size in (1e-20, 1e-30):
        tiny = table.prox_jacobians(
            make(jnp.float32(0.9 * size)), jnp.asarray(X * size, jnp.float32), step
        )[0]
        np.testing.assert_allclose(tiny, plain, rtol=1e-4, atol=1e-6)
