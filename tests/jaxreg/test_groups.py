"""Norms of groups, the group lasso in a diagonal metric, and groups of other penalties."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax.test_util import check_grads
from problems import diabetes, minimise

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")


def test_gradient_of_the_group_prox_in_a_diagonal_metric():
    penalty = jaxreg.GroupL2(0.7, axis=1)
    rng = np.random.default_rng(0)
    x, step = rng.normal(size=(4, 5)), rng.uniform(0.1, 1, size=(4, 5))
    check_grads(
        penalty.prox, (jnp.asarray(x), jnp.asarray(step)), order=1, modes=["rev"], rtol=1e-5
    )


def test_second_derivatives_of_the_group_prox():
    step = jnp.array([0.1, 1.0])

    def shrunk(strength):
        return jnp.sum(jaxreg.GroupL2(strength).prox(jnp.array([1.0, 2.0]), step))

    slope = jax.grad(shrunk)
    numerical = (slope(0.7 + 1e-5) - slope(0.7 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(slope)(0.7), numerical, rtol=1e-6)


@pytest.mark.parametrize("steps", [[1e-15, 10.0], [0.0, 10.0], [1e-30, 1e30]])
def test_very_uneven_steps_overflow_nothing_in_float32(steps):
    step, x = np.array(steps, np.float32), np.ones(2, np.float32)
    u = np.asarray(jaxreg.GroupL2(1.0).prox(x, step), np.float64)
    # The first weight cannot move, so the second shrinks by the factor s/(s + t) of its own.
    s = np.linalg.norm(u)
    np.testing.assert_allclose(u, [1, s / (s + steps[1])], rtol=1e-5)


def test_group_equation_is_solved_over_twelve_orders_of_magnitude():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 8)) * 10 ** rng.uniform(-4, 4, size=(20_000, 8))
    step = 10 ** rng.uniform(-6, 6, size=(20_000, 8))
    u = np.asarray(jaxreg.GroupL2(1.0, axis=1).prox(x, step))
    length = np.linalg.norm(u, axis=1)
    alive = length > 0
    assert 0.2 < alive.mean() < 1
    assert (np.linalg.norm(x / step, axis=1)[~alive] <= 1 + 1e-12).all()
    left_side = ((x[alive] / (length[alive, None] + step[alive])) ** 2).sum(1)
    np.testing.assert_allclose(left_side, 1, rtol=1e-12)


def test_uneven_steps_reduce_to_the_closed_form_when_even():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 8))
    penalty = jaxreg.GroupL2(2.0, axis=1)
    np.testing.assert_allclose(
        penalty.prox(x, np.full(x.shape, 0.9)), penalty.prox(x, 0.9), rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(
        penalty.prox(x, np.full((50, 1), 0.9)), penalty.prox(x, 0.9), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e25])
def test_group_norms_neither_overflow_nor_vanish_in_float32(size):
    x = np.array([[3.0, 4.0]], np.float32) * np.float32(size)
    np.testing.assert_allclose(jaxreg.GroupL2(1.0, axis=1).value(x), 5 * size, rtol=1e-5)
    shrunk = jaxreg.GroupL2(np.float32(size), axis=1).prox(x, 1.0)
    np.testing.assert_allclose(shrunk, 0.8 * x, rtol=1e-5)


@pytest.mark.parametrize("axis", [(0, 1, 2), (-4, -3, -2)])
def test_convolution_groups_are_output_channels(axis):
    kernel = np.random.default_rng(2).normal(size=(3, 3, 2, 4)) * np.array([0.01, 1, 1, 0.01])
    pruned = np.asarray(jaxreg.GroupL2(1.0, axis=axis).prox(kernel, 1.0))
    np.testing.assert_array_equal((pruned != 0).any((0, 1, 2)), [False, True, True, False])


def test_a_group_of_l1_is_group_l2():
    rng = np.random.default_rng(3)
    x, gradient = rng.normal(size=(2, 6, 5))
    step = rng.uniform(0.5, 2, size=(6, 1))
    ours, theirs = jaxreg.Group(jaxreg.L1(0.9), axis=1), jaxreg.GroupL2(0.9, axis=1)
    np.testing.assert_allclose(ours.prox(x, step), theirs.prox(x, step), rtol=1e-12)
    np.testing.assert_allclose(
        ours.violation(x, gradient), theirs.violation(x, gradient), rtol=1e-12
    )
    np.testing.assert_allclose(ours.value(x), theirs.value(x), rtol=1e-12)
    np.testing.assert_allclose(ours.slope(x), theirs.slope(x), rtol=1e-12)
    assert ours.critical_strength(gradient) == theirs.critical_strength(gradient)


def test_a_group_needs_one_step_and_a_penalty_of_single_weights():
    penalty = jaxreg.Group(jaxreg.LogSum(0.1), axis=1)
    with pytest.raises(
        ValueError,
        match=r"expected one step per group.*axis=1, got a step of shape \(2, 3\).*pool the step",
    ):
        penalty.prox(jnp.ones((2, 3)), jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="expected one step per group"):
        penalty.prox(jnp.ones((2, 3)), jnp.ones((1, 3)))
    for wrong in (0.1, jaxreg.GroupL2(0.1), jaxreg.Group(jaxreg.L1(0.1)), jaxreg.L1):
        with pytest.raises(TypeError, match="Group: expected a penalty of single weights"):
            jaxreg.Group(wrong)


@pytest.mark.parametrize("uneven", [False, True])
def test_sparse_group_prox_is_the_argmin(uneven):
    rng = np.random.default_rng(4)
    penalty = jaxreg.SparseGroupL2(0.6, 0.9, axis=1)
    for _ in range(20):
        x = rng.normal(size=(3, 4)) * 2
        step = (
            rng.uniform(0.1, 2, size=x.shape) if uneven else np.full(x.shape, rng.uniform(0.1, 2))
        )

        def objective(u, x=x, step=step):
            u = u.reshape(x.shape)
            lengths = np.sqrt((u**2).sum(1))
            return ((u - x) ** 2 / (2 * step)).sum() + 0.6 * np.abs(u).sum() + 0.9 * lengths.sum()

        ours = np.asarray(penalty.prox(x, step if uneven else step[0, 0]))
        for start in (x, ours):
            best = scipy.optimize.minimize(
                objective, start.ravel(), method="Powell", options={"ftol": 1e-14}
            )
            assert objective(ours) <= best.fun + 1e-9
        assert np.max(penalty.violation(ours, (ours - x) / step)) < 1e-12


def test_critical_strength_of_a_sparse_group_depends_on_its_group_strength():
    gradient = jnp.array([[3.0, -4.0], [0.1, 0.2]])
    assert jaxreg.SparseGroupL2(1.0, 0.0, axis=1).critical_strength(gradient) == pytest.approx(4)
    assert jaxreg.SparseGroupL2(1.0, 5.0, axis=1).critical_strength(gradient) == 0
    # ‖(3 − λ, 4 − λ)‖ = √5 at λ = 2.
    assert jaxreg.SparseGroupL2(1.0, np.sqrt(5), axis=1).critical_strength(
        gradient
    ) == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize(
    "penalty",
    [jaxreg.GroupL2(0.1, 1), jaxreg.SparseGroupL2(0.1, 0.1, 1), jaxreg.Group(jaxreg.MCP(0.1), 1)],
    ids=lambda penalty: type(penalty).__name__,
)
def test_optimizers_share_one_metric_in_each_group(penalty):
    d = jnp.array([[3.0, 4.0], [0.0, 2.0]])
    np.testing.assert_allclose(penalty.pool(d), np.sqrt([[12.5], [2.0]]), rtol=1e-12)
    assert penalty.pool(jnp.asarray(0.1)) == 0.1
    # Along a constant gradient Adam's D is its absolute value, so that a step is lr·g/√(mean g²).
    w, gradient = jnp.full((2, 2), 50.0), jnp.array([[3.0, -4.0], [0.5, 2.0]])
    plain = penalty.at(0) if penalty.scheduled else penalty
    tx = jaxreg.prox_adam(1e-3, plain, max_shrink=None)
    updates, _ = tx.update(gradient, tx.init(w), w)
    pooled = np.sqrt((np.asarray(gradient) ** 2).mean(1, keepdims=True))
    expected = plain.prox(w - 1e-3 * gradient / pooled, 1e-3 / pooled) - w
    np.testing.assert_allclose(updates, expected, rtol=1e-6)


def test_a_penalty_without_pool_keeps_a_step_per_weight():
    d = jnp.array([[1.0, 2.0]])
    assert jaxreg.L1(0.1).pool(d) is d


def test_groups_that_a_mask_keeps_from_adam_have_one_step_too():
    params = {"adam": jnp.ones((2, 3)), "sgd": jnp.ones((2, 3))}
    masked = optax.masked(optax.scale_by_adam(), {"adam": True, "sgd": False})
    tx = jaxreg.proximal(
        masked, jaxreg.Group(jaxreg.LogSum(0.1), 1), 1e-2, jaxreg.preconditioners.adam()
    )
    updates, _ = tx.update(params, tx.init(params), params)
    expected = jaxreg.Group(jaxreg.LogSum(0.1), 1).prox(params["sgd"] * 0.99, 1e-2) - 1
    np.testing.assert_allclose(updates["sgd"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "optimizer", [jaxreg.prox_sgd, jaxreg.prox_adam, jaxreg.prox_rmsprop, jaxreg.prox_adagrad]
)
def test_sparse_groups_reach_one_solution_with_zeros_inside_groups(optimizer):
    problem = diabetes()
    # The second output needs two inputs alone.
    second = problem.inputs[:, 2] - problem.inputs[:, 6]
    problem = problem._replace(targets=np.stack([problem.targets, second], 1))
    penalty = jaxreg.SparseGroupL2(0.05, 0.05, axis=1)
    w = minimise(
        optimizer(optax.cosine_decay_schedule(3e-2, 20_000), penalty),
        problem.loss,
        jnp.zeros((10, 2)),
    )
    assert jaxreg.kkt_residual(penalty, w, jax.grad(problem.loss)(w)) < 1e-8
    reference = minimise(jaxreg.prox_sgd(0.1, penalty), problem.loss, jnp.zeros((10, 2)))
    np.testing.assert_allclose(w, reference, atol=1e-7)
    dead = ~np.asarray(w != 0)
    assert dead.all(1).any()
    assert (dead.any(1) & ~dead.all(1)).any()
