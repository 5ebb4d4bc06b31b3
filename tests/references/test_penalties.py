"""Penalties against closed forms, brute force, finite differences and skglm."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import skglm.utils.prox_funcs as theirs
from jax.test_util import check_grads
from penalty_table import CONVEX, Draw, charge

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
prox = jax.jit(jax.vmap(lambda penalty, x, step: penalty.prox(x, step)))


def plain_conjugate_prox(penalty, x, step):
    """prox of R*/step at x/step, from the conjugates' own formulas."""
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
        case jaxreg.Weighted(jaxreg.GroupL2(strength, axis), factors):
            return plain_conjugate_prox(jaxreg.GroupL2(strength * factors[:, None], axis), x, step)
        case jaxreg.GroupL2(strength, axis):
            return plain_conjugate_prox(jaxreg.Group(jaxreg.L1(strength), axis), x, step)
        case jaxreg.Group(inner, axis):
            length = np.sqrt((x**2).sum(axis, keepdims=True))
            return x / np.where(length == 0, 1, length) * plain_conjugate_prox(inner, length, step)
    raise NotImplementedError(f"{type(penalty).__name__} has no formula in plain_conjugate_prox")


@pytest.mark.parametrize("name", [name for name in CONVEX if "Sparse" not in name])
def test_moreau_identity(name):
    draw = Draw(5, 60)
    penalties, xs, steps = CONVEX[name](draw), draw.weights(), draw.between(1e-3, 10)
    for i, u in enumerate(np.asarray(prox(penalties, xs, steps))):
        penalty = jax.tree.map(lambda leaf, i=i: leaf[i], penalties)
        np.testing.assert_allclose(
            u + steps[i] * plain_conjugate_prox(penalty, xs[i], steps[i]),
            xs[i],
            rtol=1e-9,
            atol=1e-9,
        )


KINDS = {
    "LogSum": lambda d, s: jaxreg.LogSum(s, d.between(1e-4, 1e3)),
    "MCP": lambda d, s: jaxreg.MCP(s, 1 + d.between(1e-2, 1e3)),
    "SCAD": lambda d, s: jaxreg.SCAD(s, 2 + d.between(1e-2, 1e3)),
    "Bridge ½": lambda d, s: jaxreg.Bridge(s),
    "Bridge ⅔": lambda d, s: jaxreg.Bridge(s, 2 / 3),
    "Bridge 0.1": lambda d, s: jaxreg.Bridge(s, 0.1),
    "Bridge 0.97": lambda d, s: jaxreg.Bridge(s, 0.97),
    "L0": lambda d, s: jaxreg.L0(s),
}


def brute_force(objective, x):
    """The smallest objective on grids of u from 0 to x that close in on the best point."""
    grid = x * np.concatenate([np.linspace(0, 1, 4001), np.geomspace(1e-9, 1, 2000)])
    values = objective(grid)
    best, least = grid[values.argmin()], values.min()
    for width in (2e-3, 1e-5, 1e-7, 1e-9):
        near = np.clip(best + x * width * np.linspace(-1, 1, 401), 0, x)
        values = objective(near)
        if values.min() < least:
            best, least = near[values.argmin()], values.min()
    return least


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-15), (np.float32, 1e-12)])
def test_a_concave_prox_is_the_global_minimum_for_steps_of_any_size(kind, dtype, tolerance):
    draw = Draw(0, 300)
    x, strength = draw.between(1e-3, 100), draw.between(1e-4, 10)
    # Most steps are of the size at which a threshold is near the weight.
    near = np.clip(x / strength * draw.between(0.1, 10), 1e-6, 1e6)
    step = np.where(draw.random.random(300) < 0.4, draw.between(1e-6, 1e6), near)
    penalties = KINDS[kind](draw, strength)
    x, step = x.astype(dtype), step.astype(dtype)
    u = np.asarray(prox(penalties, x, step), float)
    x, step = x.astype(float), step.astype(float)
    assert ((u >= 0) & (u <= x)).all()
    for i in range(300):
        penalty = jax.tree.map(lambda leaf, i=i: leaf[i], penalties)

        def objective(u, i=i, penalty=penalty):
            return (u - x[i]) ** 2 / 2 + step[i] * charge(penalty, u)

        assert objective(u[i]) <= brute_force(objective, x[i]) + tolerance * x[i] ** 2
    assert np.sum((u > 0) & (u < x)) > 20 or kind == "L0"
    np.testing.assert_array_equal(prox(penalties, -x, step), -np.asarray(prox(penalties, x, step)))


@pytest.mark.parametrize("step", [2.1, 3.0, 3.9])
def test_scad_where_its_prox_jumps_over_the_falling_part(step, float64):
    x = np.linspace(0.1, 6, 60)  # with a = 3, steps from a − 1 to a + 1
    penalty = jaxreg.SCAD(1.0, 3.0)
    u = np.asarray(penalty.prox(jnp.asarray(x), step), float)
    for point, found in zip(x, u, strict=True):

        def objective(u, point=point):
            return (u - point) ** 2 / 2 + step * charge(penalty, u)

        assert objective(found) <= brute_force(objective, point) + 1e-15 * point**2


DEFAULTS = [
    jaxreg.LogSum(0.3, 0.5), jaxreg.MCP(0.3), jaxreg.SCAD(0.3),
    jaxreg.Bridge(0.3), jaxreg.Bridge(0.3, 2 / 3), jaxreg.L0(0.3),
]  # fmt: skip


@pytest.mark.parametrize("penalty", DEFAULTS, ids=repr)
def test_a_concave_prox_without_strength_and_its_derivatives(penalty):
    x, step = jnp.array([-2.0, 0.45, 1.5, 0.01]), jnp.array([0.3, 1.2, 0.7, 0.2])
    assert np.sum(penalty.prox(x, step) == 0) in (1, 2)
    nothing = dataclasses.replace(penalty, strength=0.0)
    np.testing.assert_array_equal(penalty.prox(x, 0.0), x)
    np.testing.assert_array_equal(nothing.prox(x, 1e6), x)

    def shrunk(penalty, x, step):
        return penalty.prox(x, step)

    check_grads(
        lambda x, step: shrunk(penalty, x, step),
        (x, step),
        order=1,
        modes=["rev"],
        rtol=1e-5,
        atol=1e-6,
    )
    # At strength 0 the first weight moves by −step·φ'(|w|)·sign(w).
    slope = jax.grad(lambda p: shrunk(p, x, step)[0])(nothing).strength
    scale = dataclasses.replace(penalty, strength=1e-9)
    np.testing.assert_allclose(slope, -0.3 * scale.subgradient(x)[0] / 1e-9, rtol=1e-6)


def test_for_a_large_shape_concave_penalties_are_l1():
    x = jnp.concatenate([size * jnp.linspace(-1, 1, 41) for size in (1e-3, 0.1, 0.7, 4.0)])
    l1 = jaxreg.L1(0.3)
    for penalty in (
        jaxreg.LogSum(0.3, scale=1e9),
        jaxreg.MCP(0.3, gamma=1e9),
        jaxreg.SCAD(0.3, a=1e9),
    ):
        for step in (0.1, 1.0, 100.0):
            np.testing.assert_allclose(penalty.prox(x, step), l1.prox(x, step), atol=1e-6)
        np.testing.assert_allclose(penalty.slope(x), 0.3, rtol=1e-6)


def test_large_weights_are_not_shrunk():
    x = jnp.array([5.0, -7.0])
    for penalty in (jaxreg.MCP(0.3), jaxreg.SCAD(0.3), jaxreg.L0(0.3)):
        np.testing.assert_array_equal(penalty.prox(x, 2.0), x)
    np.testing.assert_allclose(
        x - jaxreg.LogSum(0.3, 0.01).prox(x, 2.0), 2 * 0.3 * 0.01 / x, rtol=0.01
    )


def test_concave_proxes_are_those_of_skglm():
    draw = Draw(2, 200)
    x, strength, scale = (
        3 * draw.random.normal(size=200),
        draw.between(0.1, 1),
        draw.between(0.01, 3),
    )
    # skglm's proxes of MCP and SCAD need steps below γ and a − 1.
    shape, step = draw.between(2.5, 6), draw.between(0.05, 1)
    for ours, expected, digits in (
        (
            jaxreg.MCP(strength, shape),
            lambda i: theirs.prox_MCP(x[i], step[i], strength[i], shape[i]),
            1e-9,
        ),
        (
            jaxreg.SCAD(strength, shape),
            lambda i: theirs.prox_SCAD(x[i], step[i], strength[i], shape[i]),
            1e-9,
        ),
        (jaxreg.Bridge(strength), lambda i: theirs.prox_05(x[i], step[i] * strength[i]), 1e-9),
        (
            jaxreg.Bridge(strength, 2 / 3),
            lambda i: theirs.prox_2_3(x[i], step[i] * strength[i]),
            1e-6,
        ),
    ):
        np.testing.assert_allclose(
            prox(ours, x, step), [expected(i) for i in range(200)], rtol=digits
        )
    log_sum = jaxreg.LogSum(strength, scale)
    found = np.asarray(prox(log_sum, x, step))
    expected = np.array(
        [theirs.prox_log_sum(x[i], step[i] * strength[i] * scale[i], scale[i]) for i in range(200)]
    )

    def objective(u):
        return (u - np.abs(x)) ** 2 / 2 + step * charge(log_sum, u)

    # Where rounding makes the root of its first bisection point NaN, skglm's threshold is too high.
    missed = (expected == 0) & (found != 0)
    assert missed.sum() < 10 and (objective(np.abs(found)) < objective(0 * x))[missed].all()
    np.testing.assert_allclose(found[~missed], expected[~missed], rtol=1e-6)


def test_derivatives_of_the_group_prox_in_a_diagonal_metric():
    random = np.random.default_rng(0)
    x, step = (
        jnp.asarray(random.normal(size=(4, 5))),
        jnp.asarray(random.uniform(0.1, 1, size=(4, 5))),
    )
    check_grads(jaxreg.GroupL2(0.7, axis=1).prox, (x, step), order=1, modes=["rev"], rtol=1e-5)
    slope = jax.jit(jax.grad(lambda strength: jnp.sum(jaxreg.GroupL2(strength).prox(x, step))))
    numerical = (slope(0.7 + 1e-5) - slope(0.7 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.jit(jax.grad(slope))(0.7), numerical, rtol=1e-6)


def test_derivatives_of_soft_thresholding():
    for x in (0.0, 1.0):
        assert jax.grad(lambda x: jaxreg.L1(0.0).prox(x, 1.0))(x) == 1
    assert jax.grad(lambda strength: jaxreg.L1(strength).prox(0.0, 1.0))(0.0) == 0
    assert jax.grad(lambda strength: jaxreg.L1(strength).prox(2.0, 0.5))(1.0) == -0.5


@pytest.mark.parametrize(
    "make", [lambda s: jaxreg.GroupL2(s, 1), lambda s: jaxreg.Group(jaxreg.L1(s), 1)]
)
def test_the_derivative_of_the_group_prox_does_not_depend_on_the_unit(make):
    jacobian = jax.jit(jax.jacobian(lambda x, penalty: penalty.prox(x, jnp.float32(0.7))))
    x = np.array([[1, -2, 0.5], [0, 3, 1]], np.float32)
    plain = jacobian(x, make(np.float32(0.9)))
    for size in np.float32([1e-20, 1e-30]):
        np.testing.assert_allclose(
            jacobian(x * size, make(np.float32(0.9) * size)), plain, rtol=1e-4, atol=1e-6
        )


def test_the_group_equation_is_solved_over_twelve_orders_of_magnitude():
    random = np.random.default_rng(0)
    x = random.normal(size=(20_000, 8)) * 10 ** random.uniform(-4, 4, size=(20_000, 8))
    step = 10 ** random.uniform(-6, 6, size=(20_000, 8))
    u = np.asarray(jaxreg.GroupL2(1.0, axis=1).prox(x, step))
    length = np.linalg.norm(u, axis=1)
    alive = length > 0
    assert 0.2 < alive.mean() < 1
    assert (np.linalg.norm(x / step, axis=1)[~alive] <= 1 + 1e-12).all()
    left_side = ((x[alive] / (length[alive, None] + step[alive])) ** 2).sum(1)
    np.testing.assert_allclose(left_side, 1, rtol=1e-12)


@pytest.mark.parametrize("steps", [[1e-15, 10.0], [0.0, 10.0], [1e-30, 1e30]])
def test_very_uneven_steps_overflow_nothing_in_float32(steps):
    u = np.asarray(
        jaxreg.GroupL2(1.0).prox(np.ones(2, np.float32), np.array(steps, np.float32)), np.float64
    )
    # The first weight cannot move, so the second shrinks by the factor s/(s + t) of its own.
    s = np.linalg.norm(u)
    np.testing.assert_allclose(u, [1, s / (s + steps[1])], rtol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e25])
def test_group_norms_neither_overflow_nor_vanish_in_float32(size):
    x = np.array([[3.0, 4.0]], np.float32) * np.float32(size)
    np.testing.assert_allclose(jaxreg.GroupL2(1.0, axis=1).value(x), 5 * size, rtol=1e-5)
    np.testing.assert_allclose(
        jaxreg.GroupL2(np.float32(size), axis=1).prox(x, 1.0), 0.8 * x, rtol=1e-5
    )


def test_even_steps_reduce_to_the_closed_form_and_groups_of_l1_to_group_l2():
    x, gradient = np.random.default_rng(1).normal(size=(2, 50, 8))
    penalty, group = jaxreg.GroupL2(2.0, axis=1), jaxreg.Group(jaxreg.L1(2.0), axis=1)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    expected = x * np.maximum(1 - 1.8 / lengths, 0)
    for step in (0.9, np.full((50, 1), 0.9), np.full((50, 8), 0.9)):
        np.testing.assert_allclose(penalty.prox(x, step), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(group.prox(x, 0.9), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        group.violation(x, gradient), penalty.violation(x, gradient), rtol=1e-12
    )
    # One number per weight of a group: the strength divided by the root of its size.
    np.testing.assert_allclose(penalty.slope(x), 2 / np.sqrt(8), rtol=1e-12)
    np.testing.assert_allclose(
        group.slope(x), np.broadcast_to(2 / np.sqrt(8), group.slope(x).shape), rtol=1e-12
    )


@pytest.mark.parametrize("axis", [(0, 1, 2), (-4, -3, -2)])
def test_groups_of_a_convolution_are_output_channels(axis):
    kernel = np.random.default_rng(2).normal(size=(3, 3, 2, 4)) * np.array([0.01, 1, 1, 0.01])
    pruned = np.asarray(jaxreg.GroupL2(1.0, axis=axis).prox(kernel, 1.0))
    np.testing.assert_array_equal((pruned != 0).any((0, 1, 2)), [False, True, True, False])


@pytest.mark.parametrize("uneven", [False, True])
def test_sparse_group_prox_is_the_numerical_argmin(uneven):
    random = np.random.default_rng(4)
    x, step = random.normal(size=(3, 4)) * 2, random.uniform(0.1, 2, size=(3, 4)) if uneven else 0.7

    def objective(u):
        u = u.reshape(x.shape)
        return (
            ((u - x) ** 2 / (2 * step)).sum()
            + 0.6 * np.abs(u).sum()
            + 0.9 * np.sqrt((u**2).sum(1)).sum()
        )

    u = np.asarray(jaxreg.SparseGroupL2(0.6, 0.9, axis=1).prox(x, step))
    for start in (x, u):
        best = scipy.optimize.minimize(
            objective, start.ravel(), method="Powell", options={"ftol": 1e-14}
        )
        assert objective(u) <= best.fun + 1e-9


def test_critical_strength_of_a_sparse_group_depends_on_its_group_strength():
    gradient = jnp.array([[3.0, -4.0], [0.1, 0.2]])
    # ‖(3 − λ, 4 − λ)‖ = √5 at λ = 2.
    for group_strength, critical in ((0.0, 4), (5.0, 0), (np.sqrt(5), 2)):
        penalty = jaxreg.SparseGroupL2(1.0, group_strength, axis=1)
        assert penalty.critical_strength(gradient) == pytest.approx(critical, rel=1e-12)


def test_groups_share_one_metric_and_single_weights_do_not():
    d = jnp.array([[3.0, 4.0], [0.0, 2.0]])
    for penalty in (
        jaxreg.GroupL2(0.1, 1),
        jaxreg.SparseGroupL2(0.1, 0.1, 1),
        jaxreg.Group(jaxreg.MCP(0.1), 1),
    ):
        np.testing.assert_allclose(penalty.pool(d), np.sqrt([[12.5], [2.0]]), rtol=1e-12)
        assert penalty.pool(jnp.asarray(0.1)) == 0.1
    assert jaxreg.L1(0.1).pool(d) is d


def test_a_factor_of_zero_frees_a_weight_or_a_group():
    x, gradient = jnp.array([[3.0, -1.0], [0.0, 0.0]]), jnp.array([[0.6, -0.8], [3.0, 4.0]])
    single = jaxreg.Weighted(jaxreg.L1(0.5), np.array([0.0, 2.0]))
    np.testing.assert_allclose(single.prox(x, 0.4), [[3.0, -0.6], [0, 0]], rtol=1e-12)
    np.testing.assert_allclose(single.violation(x, gradient), [[0.6, 1.8], [3, 3]], rtol=1e-12)
    assert single.critical_strength(gradient) == pytest.approx(2)
    groups = jaxreg.Weighted(jaxreg.GroupL2(0.5, axis=1), np.array([0.0, 2.0]))
    np.testing.assert_allclose(groups.prox(x, 0.4), x, rtol=1e-12)
    np.testing.assert_allclose(groups.violation(x, gradient), [1, 4], rtol=1e-12)
    assert groups.critical_strength(gradient) == pytest.approx(2.5)


@pytest.mark.parametrize(("low", "high"), [(0, np.inf), (-0.3, np.inf), (-0.2, 0.4), (-np.inf, 0)])
@pytest.mark.parametrize(
    "base",
    [
        jaxreg.L1(0.5),
        jaxreg.ElasticNet(0.5, 0.3),
        jaxreg.Weighted(jaxreg.ElasticNet(0.5, 0.3), np.linspace(0.5, 2, 40)),
        jaxreg.MCP(0.5, 3.0),
    ],
    ids=["L1", "ElasticNet", "Weighted", "MCP"],
)
def test_limits_against_every_point_of_a_grid(base, low, high):
    if isinstance(base, jaxreg.MCP) and {low, high} & {-0.3, -0.2, 0.4}:
        with pytest.raises(ValueError, match="limits of 0 or infinity for a concave penalty"):
            jaxreg.Limited(base, low, high)
        return
    random = np.random.default_rng(0)
    penalty = jaxreg.Limited(base, low, high)
    grid = np.clip(np.linspace(-9, 9, 180_001), low, high)
    kind = base.penalty if isinstance(base, jaxreg.Weighted) else base
    factors = base.factors if isinstance(base, jaxreg.Weighted) else np.ones(40)
    charges = charge(kind, np.abs(grid))
    x, step = random.normal(size=40), 0.7
    found = penalty.prox(x, step)
    best = [
        grid[np.argmin((grid - at) ** 2 / (2 * step) + factor * charges)]
        for at, factor in zip(x, factors, strict=True)
    ]
    np.testing.assert_allclose(found, best, atol=2e-4)
    # A point is stationary where the prox of a step along the gradient returns it.
    np.testing.assert_allclose(penalty.violation(found, (found - x) / step), 0, atol=1e-12)
    outside = np.where(np.isfinite(high), high, 0) + 1.0
    if np.isfinite(high):
        assert penalty.value(np.full(40, outside)) == np.inf
    assert penalty.value(found) == pytest.approx(float(base.value(found)))
    if isinstance(base, jaxreg.MCP):
        return
    v = 2 * x * min(float(penalty.dual_scale(2 * x)), 1.0)
    expected = [np.max(at * grid - factor * charges) for at, factor in zip(v, factors, strict=True)]
    np.testing.assert_allclose(penalty.conjugate(v), expected, atol=1e-3)


def test_slopes_of_bounded_penalties_fall_as_the_chord_from_zero():
    x = np.array([0.1, -2.0, 50.0])
    for penalty, slope in (
        (jaxreg.MCP(0.3, 2.0), 0.3 * np.minimum(1, 2 * 0.3 / np.abs(x))),
        (jaxreg.SCAD(0.3, 3.7), 0.3 * np.minimum(1, 4.7 * 0.3 / np.abs(x))),
        (jaxreg.L0(0.3), 0.6 / np.abs(x)),
    ):
        np.testing.assert_allclose(penalty.slope(x), slope, rtol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 3)])
def test_the_prox_of_n_of_m_is_the_best_of_all_choices(n, m, float64):
    """By brute force over the weights of a group that are thresholded, with uneven steps."""
    random = np.random.default_rng(0)
    x, step = random.normal(size=(50, m)), np.exp(random.normal(size=(50, m)))
    found = np.asarray(jaxreg.NOfM(0.7, n, m, axis=1).prox(x, step))
    shrunk = np.sign(x) * np.maximum(np.abs(x) - 0.7 * step, 0)

    def cost(u):
        trimmed = np.sort(np.abs(u))[:, : m - n].sum(1)
        return (np.square(u - x) / (2 * step)).sum(1) + 0.7 * trimmed

    choices = [
        cost(np.where(np.isin(range(m), kept), x, shrunk))
        for kept in itertools.combinations(range(m), n)
    ]
    np.testing.assert_allclose(cost(found), np.min(choices, 0), rtol=1e-12)


def test_training_leads_to_two_of_four_and_does_not_shrink_them(float64):
    """In every layout, as `keep_largest` keeps them."""
    random = np.random.default_rng(1)
    target = {
        "dense": jnp.asarray(random.normal(size=(8, 5))),
        "conv": jnp.asarray(random.normal(size=(3, 2, 2, 3))),
        "attention": {"query": {"kernel": jnp.asarray(random.normal(size=(4, 2, 3)))}},
    }
    tx = jaxreg.prox_adam(optax.cosine_decay_schedule(0.1, 400), jaxreg.NOfM(3.0, per="unit"))

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.tree.map(jnp.subtract, params, target), state, params)
        return (optax.apply_updates(params, updates), state), None

    start = jax.tree.map(lambda leaf: 1.1 * leaf, target)
    (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=400)
    expected = jaxreg.keep_largest(target, (2, 4), per="unit")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), params, expected)
    groups = {
        "dense": np.asarray(params["dense"]).reshape(2, 4, 5).swapaxes(1, 2),
        "conv": np.moveaxis(np.asarray(params["conv"]), 3, 0).reshape(3, 3, 4),
        "query": np.moveaxis(np.asarray(params["attention"]["query"]["kernel"]), 0, 2),
    }
    for name, group in groups.items():
        assert (np.count_nonzero(group, axis=-1) == 2).all(), name
