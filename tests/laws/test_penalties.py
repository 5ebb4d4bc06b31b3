"""Laws of every penalty in the table; some hold for convex penalties alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from penalty_table import (
    BOUNDED,
    CONCAVE,
    CONVEX,
    NEVER_ALL_ZERO,
    PENALTIES,
    SHAPE,
    STEEP,
    Draw,
    example,
    plain_value,
    single,
    with_strengths,
)

import jaxreg

COUNT = 60
pytestmark = pytest.mark.usefixtures("float64")
# Only groups of weights compute otherwise with one step than with a step for each weight.
ONE_STEP = " with one step"
CONVEX_CASES = [*CONVEX, *(name + ONE_STEP for name in CONVEX if "GroupL2" in name)]
CASES = [*CONVEX_CASES, *CONCAVE]
every_penalty = pytest.mark.parametrize("name", CASES, indirect=True)
every_convex_penalty = pytest.mark.parametrize("name", CONVEX_CASES, indirect=True)


@pytest.fixture(scope="module")
def name(request):
    """The name of a penalty, whose tests follow each other, so that few programs are in memory."""
    yield request.param
    jax.clear_caches()


@pytest.fixture(autouse=True)
def strict_promotion():
    """No penalty may rely on JAX guessing a dtype."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@jax.jit
@jax.vmap
def proxes(penalty, x, other, step):
    """The prox of two points, and the violation at the first for its own gradient and another."""
    u, v = jax.vmap(penalty.prox, (0, None))(jnp.stack([x, other]), step)
    slope = (u - x) / step
    off = slope + 1e3 * (1 + jnp.max(jnp.abs(slope)))
    return u, v, slope, jnp.max(penalty.violation(u, slope)), jnp.max(penalty.violation(u, off))


@jax.jit
@jax.vmap
def measured(penalty, x, gradient):
    """Value, derivative, subgradient, and what 0 violates at the critical strength and below."""
    critical = penalty.critical_strength(gradient)
    finite = jnp.where(jnp.isfinite(critical), critical, 1e6)
    zero = jnp.zeros_like(x)
    at = [
        jnp.max(with_strengths(penalty, f * finite, False).violation(zero, gradient))
        for f in (1, 0.9)
    ]
    value, slope = jax.value_and_grad(penalty.value)(x)
    return (
        value,
        slope,
        penalty.subgradient(x),
        critical,
        at[0],
        at[1],
        penalty.violation(x, gradient),
    )


@functools.cache
def drawn(name):
    draw = Draw(1, COUNT)
    return PENALTIES[name.removesuffix(ONE_STEP)](draw), draw.weights(), draw.weights()


def steps_of(draw, name, penalty):
    return draw.steps(penalty, not name.endswith(ONE_STEP))


@functools.cache
def proxes_of(name):
    penalty, x, other = drawn(name)
    step = steps_of(Draw(2, COUNT), name, penalty)
    return step, *(np.asarray(out) for out in proxes(penalty, x, other, step))


def alone(batch, i):
    return jax.tree.map(lambda leaf: leaf[i], batch)


@every_penalty
def test_value_subgradient_and_critical_strength(name):
    penalty, x, other = drawn(name)
    value, slope, subgradient, critical, at_critical, below, _ = (
        np.asarray(out) for out in measured(penalty, x, other)
    )
    plain = [plain_value(alone(penalty, i), x[i : i + 1])[0] for i in range(COUNT)]
    np.testing.assert_allclose(value, plain, rtol=1e-12)
    np.testing.assert_allclose(slope, subgradient, rtol=1e-12, atol=1e-12)
    if isinstance(single(penalty), NEVER_ALL_ZERO):
        assert not np.isfinite(critical[other.any((1, 2))]).any()
    else:
        assert (at_critical <= 1e-12 * (1 + critical)).all()
    assert ((below > 0) | (critical == 0)).all()


@every_convex_penalty
def test_subgradient_inequality(name):
    penalty, x, y = drawn(name)
    linear = (np.asarray(measured(penalty, x, y)[2]) * (y - x)).sum((1, 2))
    for i in range(COUNT):
        at_y, at_x = plain_value(alone(penalty, i), np.stack([y[i], x[i]]))
        assert at_y >= at_x + linear[i] - 1e-9 * (1 + abs(at_x) + abs(linear[i]))


@every_penalty
def test_no_point_is_better_than_the_prox(name):
    """At no distance beside it, along its weights, on the way to x or 0, or elsewhere."""
    penalty, x, _ = drawn(name)
    step, u, *_ = proxes_of(name)
    random = np.random.default_rng(3)
    along = np.concatenate([np.eye(6).reshape(6, 2, 3), random.normal(size=(20, 2, 3))])
    sizes = (np.array([[1], [-1]]) * 10.0 ** np.arange(-5, 2)).reshape(-1, 1, 1, 1)
    for i in range(COUNT):
        directions = np.concatenate(
            [along, [u[i], x[i] - u[i]], u[i] * np.eye(2)[..., None], u[i] * np.eye(3)[:, None]]
        )
        points = (u[i] + sizes * directions).reshape(-1, 2, 3)
        points = np.concatenate(
            [[u[i], x[i], 0 * x[i]], points, np.where(np.abs(u[i]) < np.abs(along), 0, u[i])]
        )
        objective = ((points - x[i]) ** 2 / step[i] / 2).sum((1, 2)) + plain_value(
            alone(penalty, i), points
        )
        assert objective[0] <= objective.min() + 1e-12 * (1 + abs(objective[0]))


@every_penalty
def test_the_prox_is_stationary_and_its_gradient_can_be_told_from_others(name):
    penalty, _, _ = drawn(name)
    _, u, _, slope, violation, off = proxes_of(name)
    assert (violation <= 1e-9 * (1 + np.abs(slope).max((1, 2)))).all()
    # At 0 every gradient is stationary under an infinite slope.
    assert ((off > 1) | ((u == 0).any((1, 2)) & isinstance(single(penalty), STEEP))).all()
    assert (u == 0).any() and (u != 0).any() and not np.signbit(u[u == 0]).any()


@every_convex_penalty
def test_the_prox_is_firmly_nonexpansive_in_the_metric_of_its_steps(name):
    _, x, y = drawn(name)
    step, p, q, *_ = proxes_of(name)
    step = step.reshape(COUNT, *(step.shape[1:] or (1, 1)))
    moved = ((p - q) ** 2 / step).sum((1, 2))
    assert (moved <= ((p - q) * (x - y) / step).sum((1, 2)) + 1e-9 * (1 + moved)).all()


@every_penalty
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_never_hidden(name, bad):
    penalty, x, other = drawn(name)
    step = steps_of(Draw(2, COUNT), name, penalty)
    broken = x.copy()
    broken[:, 0, 0] = bad
    assert not np.isfinite(proxes(penalty, broken, other, step)[0][:, 0, 0]).any()
    value, _, subgradient, critical, *_, violation = measured(penalty, broken, other)
    charged = np.array(
        [plain_value(alone(penalty, i), np.ones((1, 2, 3)))[0] != 0 for i in range(COUNT)]
    )
    assert not np.isfinite(value[charged]).any() or (
        np.isinf(bad) and isinstance(single(penalty), BOUNDED)
    )
    if np.isnan(bad):
        assert np.isnan(np.asarray(subgradient)[:, 0, 0]).all()
        assert np.isnan(np.asarray(violation).reshape(COUNT, -1)).any(1).all()
        *_, critical, _, _, violation = measured(penalty, np.zeros_like(x), broken)
        assert (
            np.isnan(critical).all()
            and np.isnan(np.asarray(violation).reshape(COUNT, -1)).any(1).all()
        )


@jax.jit
@jax.vmap
def derivatives(penalty, x, step, direction):
    by_prox = jax.grad(
        lambda *at: jnp.sum(direction * at[0].prox(at[1], at[2])), argnums=(0, 1, 2)
    )(penalty, x, step)
    return by_prox, jax.value_and_grad(penalty.value)(x)


@every_penalty
def test_derivatives_are_finite_at_zero_and_at_weights_whose_squares_are_zero(name):
    draw = Draw(4, 200)
    size = draw.random.choice([0, 1e-44, 5e-39, 1e-37, 1e-30, 1e-20, 1e-15, 1, 100], 200)
    strength = draw.random.choice([0, 0.01, 1], 200) * size
    penalty = with_strengths(
        PENALTIES[name.removesuffix(ONE_STEP)](draw),
        np.where(draw.random.random(200) < 0.5, strength, 0.5),
    )
    x, step = draw.weights(3) * size[:, None, None], steps_of(draw, name, penalty)
    step *= draw.random.choice([0, 1], 200, p=[0.2, 0.8]).reshape(-1, *[1] * (step.ndim - 1))
    narrow = jax.tree.map(np.float32, (penalty, x, step, draw.random.normal(size=x.shape)))
    # A weight at the end of float32's range may charge more than float32 holds.
    for leaf in jax.tree.leaves(derivatives(*narrow)):
        assert np.isfinite(leaf).all()


def test_one_trace_serves_every_strength():
    traces = []

    def shrink(penalty, x):
        traces.append(penalty)
        return penalty.prox(x, 0.1)

    x = jnp.linspace(-1, 1, 7)
    swept = jax.jit(jax.vmap(shrink, (0, None)))(jaxreg.L1(jnp.logspace(-5, -1, 64)), x)
    assert len(traces) == 1 and swept.shape == (64, 7)
    np.testing.assert_allclose(swept[-1], jaxreg.L1(0.1).prox(x, 0.1), rtol=1e-12)


@every_penalty
def test_results_keep_the_dtype(name):
    penalty = example(name.removesuffix(ONE_STEP))
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64):
        x = jax.ShapeDtypeStruct(SHAPE, dtype)
        assert jax.eval_shape(lambda x: penalty.prox(x, 0.5), x).dtype == dtype
        wide = jnp.float64 if dtype is jnp.float64 else jnp.float32
        assert jax.eval_shape(penalty.value, x).dtype == wide


EMPTY = [
    jaxreg.L1(0.1), jaxreg.Bridge(0.1), jaxreg.GroupL2(0.1, 1), jaxreg.SparseGroupL2(0.1, 0.1, 1),
    jaxreg.Group(jaxreg.MCP(0.1), 1),
]  # fmt: skip


@pytest.mark.parametrize("penalty", EMPTY, ids=lambda penalty: type(penalty).__name__)
def test_empty_arrays(penalty):
    for x in (np.zeros((0, 3)), np.zeros((3, 0))):
        assert penalty.value(x) == 0 and penalty.critical_strength(x) == 0
        assert penalty.prox(x, 1.0).shape == x.shape and np.size(penalty.slope(x)) <= 3


def test_narrow_weights_are_shrunk_in_float32_and_zeros_are_positive():
    x = jnp.asarray(0.8984375, jnp.bfloat16)
    wide = (x.astype(jnp.float32) - jnp.float32(0.433) * jnp.float32(0.59)).astype(jnp.bfloat16)
    narrow = x - jnp.bfloat16(0.433) * jnp.bfloat16(0.59)
    assert wide != narrow  # these numbers can tell the one from the other
    assert jaxreg.L1(0.433).prox(x, 0.59) == wide
    x = jnp.asarray([-1e-3, -0.0, 0.0, 1e-4], jnp.bfloat16)
    for penalty in (jaxreg.L1(0.1), jaxreg.GroupL2(0.1), jaxreg.MCP(0.1)):
        assert not np.signbit(np.asarray(penalty.prox(x, 1.0), np.float32)).any()


def test_penalties_are_pytrees_that_keep_their_axis_and_compare_by_identity():
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
    first, second = jaxreg.L1(jnp.arange(3.0)), jaxreg.L1(jnp.arange(3.0))
    assert first == first and first != second and len({first, second}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.strength = 1.0


def test_a_scheduled_strength_is_read_at_a_count():
    penalty = jaxreg.ElasticNet(lambda count: 0.1 * count, 0.5)
    assert penalty.scheduled and not penalty.at(3).scheduled
    assert penalty.at(3).l1_strength == pytest.approx(0.3)
    growing = jaxreg.Group(jaxreg.LogSum(lambda count: 0.1 * count, scale=0.5), axis=0)
    assert growing.scheduled and growing.at(2).penalty.strength == pytest.approx(0.2)
    assert jaxreg.Bridge(0.1, power=0.25).at(0).power == 0.25


class NonNegative(jaxreg.Penalty):
    """A user's penalty by its two required methods: 0 where x ≥ 0 and λ|x| below."""

    strength: float
    unit: float = dataclasses.field(default=1.0, metadata={"static": True})

    def value(self, x):
        return self.strength * jnp.sum(jnp.maximum(-x, 0)) / self.unit

    def prox(self, x, step):
        return jnp.where(x < 0, jnp.minimum(x + step * self.strength / self.unit, 0), x)


def test_a_penalty_of_the_user_has_defaults_for_the_rest():
    penalty = NonNegative(0.5)
    x = jnp.array([0.5, -2.0])
    np.testing.assert_allclose(penalty.subgradient(x), [0, -0.5])
    assert penalty.subgradient(x.astype(jnp.bfloat16)).dtype == jnp.float32
    # The violation is the length of a proximal step of 1.
    np.testing.assert_allclose(penalty.violation(x, jnp.array([0.0, 0.5])), 0)
    np.testing.assert_allclose(
        penalty.violation(jnp.zeros(3), jnp.array([0.4, -0.3, 0.9])), [0, 0.3, 0.4]
    )
    # The slope is the steepest in the array, which keeps D above it.
    np.testing.assert_allclose(penalty.slope(x), 0.5)
    with pytest.raises(
        NotImplementedError, match=r"NonNegative does not define critical_strength\(gradient\)"
    ):
        penalty.critical_strength(x)
    leaves, structure = jax.tree.flatten(NonNegative(0.5, 2.0))
    assert leaves == [0.5] and jax.tree.unflatten(structure, [2.0]).unit == 2.0
    assert jax.vmap(lambda p: p.value(jnp.array([-1.0])))(
        NonNegative(jnp.arange(3.0))
    ).tolist() == [0, 1, 2]
    assert NonNegative(optax.linear_schedule(0.0, 1.0, 10)).at(5).strength == 0.5
    with pytest.raises(TypeError, match="abstract method"):
        type("Half", (jaxreg.Penalty,), {"value": lambda self, x: x})()


def test_a_penalty_of_the_user_is_optimized():
    target, penalty = jnp.array([2.0, -0.4, -1.5]), NonNegative(0.5)
    tx = jaxreg.prox_adam(0.1, penalty)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(w - target, state, w)
        return (optax.apply_updates(w, updates), state), None

    with jax.numpy_dtype_promotion("standard"):
        w = jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), length=600)[0][0])(jnp.ones(3))
    np.testing.assert_allclose(w, [2.0, 0.0, -1.0], atol=1e-6)
    assert jaxreg.kkt_residual(penalty, w, w - target) < 1e-6
