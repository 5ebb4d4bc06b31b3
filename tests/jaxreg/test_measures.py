"""The judges: KKT residuals, critical strengths, penalty values and counts of zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import diabetes, elastic_net

import jaxreg


def params():
    return {
        "dense": {
            "kernel": jnp.array([[1.0, 0, 0], [0, 0, 0], [2, 0, 3], [0, 0, 0]]),
            "bias": jnp.zeros(3),
        },
        "conv": {"kernel": jnp.zeros((3, 3, 2, 4)).at[0, 1, 1, 2].set(1.0)},
    }


def test_residual_certifies_the_lasso_and_refuses_another_strength(float64):
    problem = diabetes()
    strength = 0.05 * problem.critical
    w = elastic_net(problem.inputs, problem.targets, strength)
    gradient = jax.grad(problem.loss)(jnp.asarray(w))
    assert jaxreg.kkt_residual(jaxreg.L1(strength), w, gradient) < 1e-12
    assert jaxreg.kkt_residual(jaxreg.L1(1.1 * strength), w, gradient) == pytest.approx(
        0.1 * strength, rel=1e-6
    )


def test_residual_counts_the_whole_gradient_where_nothing_is_charged():
    gradient = jax.tree.map(jnp.zeros_like, params())
    gradient["dense"]["bias"] = jnp.array([0.0, -0.7, 0.2])
    zeros = jax.tree.map(jnp.zeros_like, gradient)
    assert jaxreg.kkt_residual(
        jaxreg.L1(0.5), zeros, gradient, mask=jaxreg.kernels
    ) == pytest.approx(0.7)
    assert jaxreg.kkt_residual(jaxreg.L1(0.5), zeros, gradient) == pytest.approx(0.2)


def test_residual_maps_and_never_hides_nan():
    w, gradient = jnp.array([0.0, 1.0]), jnp.array([0.3, -0.1])
    swept = jax.jit(jax.vmap(lambda penalty: jaxreg.kkt_residual(penalty, w, gradient)))(
        jaxreg.L1(jnp.array([0.0, 0.1, 0.3]))
    )
    np.testing.assert_allclose(swept, [0.3, 0.2, 0.2], rtol=1e-6)
    assert np.isnan(jaxreg.kkt_residual(jaxreg.L1(0.1), w, gradient.at[0].set(jnp.nan)))
    assert np.isnan(jaxreg.kkt_residual(jaxreg.SquaredL2(0.1), w.at[1].set(jnp.nan), gradient))


def test_penalty_value_sums_the_chosen_leaves():
    assert jaxreg.penalty_value(jaxreg.L1(0.5), params()) == pytest.approx(0.5 * 7)
    dense_only = {"dense": True, "conv": False}
    assert jaxreg.penalty_value(jaxreg.SquaredL2(0.5), params(), mask=dense_only) == pytest.approx(
        0.5 * 14
    )
    groups = jaxreg.penalty_value(jaxreg.GroupL2(2.0, axis=0), {"w": params()["dense"]["kernel"]})
    assert groups == pytest.approx(2 * (np.sqrt(5) + 3))
    assert jaxreg.penalty_value(jaxreg.L1(1.0), {}) == 0


def test_critical_strength_takes_the_worst_chosen_leaf():
    gradient = {"kernel": jnp.array([[3.0, -4.0], [0, 1]]), "bias": jnp.array([9.0])}
    assert jaxreg.critical_strength(jaxreg.L1(1.0), gradient, mask=jaxreg.kernels) == 4
    assert jaxreg.critical_strength(jaxreg.GroupL2(1.0, axis=1), gradient, mask=jaxreg.kernels) == 5
    assert jaxreg.critical_strength(jaxreg.ElasticNet(1.0, 7.0), gradient) == 9
    assert jaxreg.critical_strength(jaxreg.SquaredL2(1.0), gradient) == jnp.inf


def test_sparsity_counts_weights_inputs_and_units():
    report = jaxreg.sparsity(params())
    dense, conv = report.leaves["dense/kernel"], report.leaves["conv/kernel"]
    assert (int(dense.nonzeros), dense.size, int(dense.dead_inputs), int(dense.dead_units)) == (
        3,
        12,
        2,
        1,
    )
    assert (int(conv.nonzeros), conv.size, int(conv.dead_inputs), int(conv.dead_units)) == (
        1,
        72,
        1,
        3,
    )
    assert report.leaves["dense/bias"].dead_inputs is None
    assert (int(report.nonzeros), report.size) == (4, 87)
    assert float(report.fraction) == pytest.approx(83 / 87)
    assert jax.jit(lambda p: jaxreg.sparsity(p).fraction)(jnp.ones(10656)) == 0
    assert jaxreg.sparsity(params(), mask=jaxreg.kernels).size == 84


def test_sparsity_prints_a_table():
    lines = str(jaxreg.sparsity(params()["dense"])).splitlines()
    assert lines[0].split("  ")[0] == "parameter" and "dead units" in lines[0]
    assert lines[2].split() == ["bias", "(3,)", "0", "3", "100.0%"]
    assert lines[3].split() == ["kernel", "(4,", "3)", "3", "12", "75.0%", "2", "1"]
    assert lines[4].split() == ["total", "3", "15", "80.0%"]


def test_sparsity_goes_through_jit_and_counts_nan_as_alive():
    report = jax.jit(jaxreg.sparsity)({"w": jnp.array([[jnp.nan, 0.0]])})
    assert int(report.nonzeros) == 1 and int(report.leaves["w"].dead_units) == 1


def test_leaves_whose_names_meet_are_all_counted():
    report = jaxreg.sparsity({"a/b": jnp.ones(3), "a": {"b": jnp.zeros(5)}})
    assert (int(report.nonzeros), report.size) == (3, 8)
    assert set(jaxreg.sparsity({"attention": {"value": jnp.ones(2)}}).leaves) == {"attention/value"}


def test_sparsity_of_nothing():
    assert np.isnan(jaxreg.sparsity({}).fraction)
    assert "total" in str(jaxreg.sparsity({"gone": None}))


def test_counts_of_many_runs_print_a_line_for_each():
    kernels = jnp.stack([jnp.ones((2, 3)), jnp.eye(2, 3), jnp.zeros((2, 3))])
    counts = jax.vmap(lambda kernel: jaxreg.sparsity({"a": kernel, "b": jnp.ones(2)}))(kernels)
    assert str(counts).splitlines() == [
        "run  nonzero  of  zeros  zeros in a  zeros in b",
        "-----------------------------------------------",
        "0          8   8   0.0%        0.0%        0.0%",
        "1          4   8  50.0%       66.7%        0.0%",
        "2          2   8  75.0%      100.0%        0.0%",
    ]
    alone = jaxreg.sparsity({"a": kernels[1], "b": jnp.ones(2)})
    assert str(counts[1]) == str(alone)
    grid = jax.tree.map(lambda count: jnp.broadcast_to(count, (10, 3)), counts)
    lines = str(grid).splitlines()
    assert lines[2].startswith("0, 0 ")
    assert len(lines) == 2 + 20 + 1
    assert lines[-1] == "and 10 more runs; counts[i] is one of them"
    assert str(grid[4, 1]) == str(alone)
    seen = []
    jax.jit(lambda kernel: seen.append(str(jaxreg.sparsity({"a": kernel}))) or kernel)(kernels[0])
    assert seen == ["Sparsity of 1 parameters, under a JAX transformation"]
    repr(counts)
