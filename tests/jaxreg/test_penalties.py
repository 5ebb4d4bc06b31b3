"""Properties of every penalty: each is a line of the table, each test a law. Some laws hold for
convex penalties alone.
"""

import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from penalty_table import (
    BOUNDED,
    CONVEX,
    NEVER_ALL_ZERO,
    PENALTIES,
    STEEP,
    plain_value,
    positive,
    prox,
    prox_jacobians,
    single,
    steps_of,
    subgradient,
    unweighted,
    value_and_slope,
    violation,
    weights,
    with_strength,
)

import jaxreg

every_penalty = pytest.mark.parametrize("name", PENALTIES)
every_convex_penalty = pytest.mark.parametrize("name", CONVEX)

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(autouse=True)
def strict_promotion():
    """No penalty may rely on JAX guessing a dtype."""
    with jax.numpy_dtype_promotion("strict"):
        yield


PRUNING = [
    jaxreg.L1(0.01),
    jaxreg.ElasticNet(0.01, 1.0),
    jaxreg.GroupL2(0.01, 0),
    jaxreg.GroupL2(0.01, 1),
    jaxreg.SparseGroupL2(0.01, 0.01, 1),
]
SINGLE = [
    jaxreg.LogSum(0.01),
    jaxreg.MCP(0.01),
    jaxreg.SCAD(0.01),
    jaxreg.Bridge(0.01),
    jaxreg.Bridge(0.01, 0.9),
    jaxreg.L0(0.01),
]
CONCAVE = [*SINGLE, *(jaxreg.Group(penalty, axis) for penalty in SINGLE for axis in (0, 1))]


def shared(penalty, step):
    """The step, or its mean over each group for penalties that need one step per group."""
    penalty = unweighted(penalty)
    if isinstance(penalty, jaxreg.Group) and np.ndim(step):
        return step.mean(penalty.axis, keepdims=True) if step.size else 1.0
    return step


def plain_conjugate_prox(penalty, x, step):
    """prox of R*/step at x/step in NumPy, from the conjugates' own formulas."""
    v = x / step
    match penalty:
        case jaxreg.L1(strength):
            return np.clip(v, -strength, strength)
        case jaxreg.SquaredL2(strength):
            return v * (2 * strength * step) / (2 * strength * step + 1)
        case jaxreg.ElasticNet(l1, l2):
            outside = (2 * l2 * step * np.abs(v) + l1) / (2 * l2 * step + 1)
            return np.where(np.abs(v) <= l1, v, np.sign(v) * outside)
        case jaxreg.Weighted(jaxreg.ElasticNet(l1, l2), factors):
            return plain_conjugate_prox(jaxreg.ElasticNet(l1 * factors, l2 * factors), x, step)
        case jaxreg.Weighted(jaxreg.GroupL2(strength, 1), factors):
            return plain_conjugate_prox(jaxreg.GroupL2(strength * factors[:, None], 1), x, step)
        case jaxreg.GroupL2(strength, axis):
            return plain_conjugate_prox(jaxreg.Group(jaxreg.L1(strength), axis), x, step)
        case jaxreg.Group(inner, axis):
            length = np.sqrt((x**2).sum(axis, keepdims=True))
            return x / np.where(length == 0, 1, length) * plain_conjugate_prox(inner, length, step)
        case _:
            raise NotImplementedError(
                f"{type(penalty).__name__} has no formula in plain_conjugate_prox"
            )


@every_penalty
@given(data=st.data(), x=weights)
def test_value_and_its_gradient(name, data, x):
    penalty = data.draw(PENALTIES[name])
    value, gradient = value_and_slope(penalty, x)
    np.testing.assert_allclose(value, plain_value(penalty, x), rtol=1e-12)
    np.testing.assert_allclose(gradient, subgradient(penalty, x), rtol=1e-12, atol=1e-12)


@every_convex_penalty
@given(data=st.data(), x=weights, y=weights)
def test_subgradient_inequality(name, data, x, y):
    penalty = data.draw(PENALTIES[name])
    slope = np.asarray(subgradient(penalty, x))
    bound = plain_value(penalty, x) + (slope * (y - x)).sum()
    assert plain_value(penalty, y) >= bound - 1e-9 * (
        1 + abs(bound) + np.abs(slope * (y - x)).sum()
    )


@every_convex_penalty
@given(data=st.data())
def test_prox_is_the_numerical_argmin(name, data):
    penalty = data.draw(PENALTIES[name])
    step = data.draw(steps_of(penalty))
    x = data.draw(arrays.arrays(np.float64, (2, 3), elements=st.floats(-5, 5)))

    def objective(u):
        u = u.reshape(x.shape)
        return 0.5 * ((u - x) ** 2 / step).sum() + plain_value(penalty, u)

    ours = np.asarray(prox(penalty, x, step))
    here = objective(ours)
    starts = [x, np.zeros_like(x), ours]
    found = [
        scipy.optimize.minimize(objective, s.ravel(), method="Powell", options={"ftol": 1e-14})
        for s in starts
    ]
    best = min(found, key=lambda result: result.fun)
    assert here <= best.fun + 1e-9 * (1 + abs(best.fun))
    # The objective is strongly convex with modulus 1/step, so a value this near means an argument
    # this near.
    np.testing.assert_allclose(ours.ravel(), best.x, atol=2e-3)


@every_convex_penalty
@given(data=st.data(), x=weights, y=weights)
def test_prox_is_firmly_nonexpansive_in_the_metric_of_its_steps(name, data, x, y):
    penalty = data.draw(PENALTIES[name])
    step = data.draw(steps_of(penalty))
    p, q = np.asarray(prox(penalty, x, step)), np.asarray(prox(penalty, y, step))
    moved = ((p - q) ** 2 / step).sum()
    assert moved <= ((p - q) * (x - y) / step).sum() + 1e-9 * (1 + moved)


@pytest.mark.parametrize("name", [name for name in CONVEX if "Sparse" not in name])
@given(data=st.data(), x=weights, step=positive)
def test_moreau_identity(name, data, x, step):
    penalty = data.draw(PENALTIES[name])
    both = np.asarray(prox(penalty, x, step)) + step * plain_conjugate_prox(penalty, x, step)
    np.testing.assert_allclose(both, x, rtol=1e-9, atol=1e-9)


@every_penalty
@given(data=st.data(), x=weights)
def test_no_violation_at_the_optimum_of_the_prox(name, data, x):
    penalty = data.draw(PENALTIES[name])
    step = data.draw(steps_of(penalty))
    u = np.asarray(prox(penalty, x, step))
    slope = (u - x) / step
    assert np.max(violation(penalty, u, slope)) <= 1e-9 * (1 + np.abs(slope).max())
    # The check can fail: any other slope has a distance above 0, except at a weight of infinite
    # slope.
    assert (not u.any() and isinstance(single(penalty), STEEP)) or np.max(
        violation(penalty, u, slope + 1e3 * (1 + np.abs(slope).max()))
    ) > 1


@every_penalty
@given(data=st.data(), gradient=weights)
def test_critical_strength_is_where_zero_becomes_optimal(name, data, gradient):
    penalty = data.draw(PENALTIES[name])
    critical = float(penalty.critical_strength(gradient))
    if not np.isfinite(critical):
        assert isinstance(penalty, NEVER_ALL_ZERO)
        critical = 1e6
    at_zero = [
        np.max(with_strength(penalty, strength).violation(np.zeros_like(gradient), gradient))
        for strength in (critical, 0.9 * critical)
    ]
    if not isinstance(penalty, NEVER_ALL_ZERO):
        assert at_zero[0] <= 1e-12 * (1 + critical)
    assert at_zero[1] > 0 or critical == 0


@every_penalty
@pytest.mark.parametrize(
    "step",
    [0.5, np.full((2, 3), 0.5), np.linspace(0.1, 0.6, 6).reshape(2, 3)],
    ids=["scalar", "even", "uneven"],
)
@given(data=st.data())
def test_nan_and_infinity_are_never_hidden(name, step, data):
    penalty = data.draw(PENALTIES[name])
    for bad in (np.nan, np.inf, -np.inf):
        x = np.array([[bad, 0.1, 5.0], [0.2, -3.0, 0.0]])
        assert not np.isfinite(prox(penalty, x, shared(penalty, step))[0, 0])
        bounded = isinstance(single(penalty), BOUNDED) and np.isinf(bad)
        assert (
            bounded
            or not np.isfinite(value_and_slope(penalty, x)[0])
            or plain_value(penalty, np.ones((2, 3))) == 0
        )
        if np.isnan(bad):
            assert np.isnan(violation(penalty, x, np.ones_like(x))).any()
            assert np.isnan(violation(penalty, np.zeros_like(x), x)).any()
            assert np.isnan(subgradient(penalty, x)[0, 0])


@every_penalty
@pytest.mark.parametrize("step", [0.5, np.full((2, 3), 0.5)], ids=["scalar", "array"])
@given(data=st.data(), x=weights)
def test_gradients_of_the_prox_are_finite_at_zero_and_elsewhere(name, step, data, x):
    penalty = data.draw(PENALTIES[name])
    for point in (x, np.zeros_like(x), np.array([[0.0, 0, 0], [1, 2, 3]])):
        by_weight, by_step = prox_jacobians(penalty, point, shared(penalty, step))
        assert np.isfinite(by_weight).all() and np.isfinite(by_step).all()


def test_without_strength_the_prox_is_the_identity_and_so_is_its_derivative():
    for x in (0.0, 1.0):
        assert jax.grad(lambda x: jaxreg.L1(0.0).prox(x, 1.0))(x) == 1
    assert jax.grad(lambda strength: jaxreg.L1(strength).prox(0.0, 1.0))(0.0) == 0
    assert jax.grad(lambda strength: jaxreg.L1(strength).prox(2.0, 0.5))(1.0) == -0.5


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_arrays(shape):
    for penalty in (*PRUNING, *CONCAVE):
        assert penalty.value(np.zeros(shape)) == 0
        assert penalty.prox(np.zeros(shape), shared(penalty, np.ones(shape))).shape == shape
        assert np.size(penalty.slope(np.zeros(shape))) <= 3
        assert penalty.critical_strength(np.zeros(shape)) == 0


def test_critical_strength_never_hides_nan():
    for penalty in (*PRUNING, *CONCAVE, jaxreg.SquaredL2(1.0)):
        assert np.isnan(penalty.critical_strength(np.array([[np.nan, 1.0]])))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("penalty", [*PRUNING, *CONCAVE, jaxreg.SquaredL2(0.01)], ids=repr)
def test_the_result_keeps_the_dtype_and_zeros_are_positive(penalty, dtype):
    x = jnp.asarray(np.array([[-1e-3, -0.0, 0.0], [-2e-3, 1e-3, -1e-4]]), dtype)
    for step in (1.0, jnp.linspace(0.5, 1, 6, dtype=jnp.float32).reshape(2, 3)):
        result = penalty.prox(x, shared(penalty, step))
        assert result.dtype == dtype
        if penalty in (*PRUNING, *CONCAVE):
            assert (result == 0).all() and not np.signbit(np.asarray(result, np.float64)).any()


def test_bfloat16_weights_are_shrunk_in_float32():
    x = jnp.asarray(0.8984375, jnp.bfloat16)
    wide = (x.astype(jnp.float32) - jnp.float32(0.433) * jnp.float32(0.59)).astype(jnp.bfloat16)
    narrow = x - jnp.bfloat16(0.433) * jnp.bfloat16(0.59)
    assert wide != narrow  # these numbers can tell the one from the other
    assert jaxreg.L1(0.433).prox(x, 0.59) == wide


def test_one_trace_serves_every_strength():
    traces = []

    def shrink(penalty, x):
        traces.append(penalty)
        return penalty.prox(x, 0.1)

    x = jnp.linspace(-1, 1, 7)
    swept = jax.jit(jax.vmap(shrink, (0, None)))(jaxreg.L1(jnp.logspace(-5, -1, 64)), x)
    assert len(traces) == 1 and swept.shape == (64, 7)
    np.testing.assert_allclose(swept[-1], jaxreg.L1(0.1).prox(x, 0.1), rtol=1e-12)


def test_penalties_are_pytrees_that_keep_their_axis():
    penalty = jaxreg.GroupL2(0.1, axis=(0, 1))
    doubled = jax.tree.map(lambda strength: 2 * strength, penalty)
    assert (doubled.strength, doubled.axis) == (0.2, (0, 1))
    (path, _), *rest = jax.tree_util.tree_leaves_with_path(penalty)
    assert jax.tree_util.keystr(path) == ".strength" and not rest
    # Shapes and sentinels pass through where a constructor would have refused them.
    assert jax.tree.structure(jax.tree.map(lambda _: object(), penalty)) == jax.tree.structure(
        penalty
    )
    jax.eval_shape(lambda p: p.value(jnp.ones((2, 2))), penalty)


def test_a_scheduled_strength_is_read_at_a_count():
    penalty = jaxreg.ElasticNet(lambda count: 0.1 * count, 0.5)
    assert penalty.scheduled and not penalty.at(3).scheduled
    assert penalty.at(3).l1_strength == pytest.approx(0.3)
    with pytest.raises(TypeError, match="schedule.*penalty.at"):
        penalty.value(jnp.ones(3))


def test_shapes_of_concave_penalties_are_swept_and_scheduled_too():
    x = jnp.linspace(-1, 1, 7)
    swept = jax.vmap(lambda penalty: penalty.prox(x, 0.5))(
        jaxreg.Group(jaxreg.MCP(jnp.full(3, 0.4), jnp.array([1.5, 3.0, 9.0])))
    )
    for row, gamma in zip(swept, (1.5, 3.0, 9.0), strict=True):
        np.testing.assert_allclose(
            row, jaxreg.Group(jaxreg.MCP(0.4, gamma)).prox(x, 0.5), rtol=1e-12
        )
    growing = jaxreg.Group(jaxreg.LogSum(lambda count: 0.1 * count, scale=0.5), axis=0)
    assert growing.scheduled and growing.at(2).penalty.strength == pytest.approx(0.2)
    assert jaxreg.Bridge(0.1, power=0.25).at(0).power == 0.25
