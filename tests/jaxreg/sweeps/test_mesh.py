"""Sweeps and paths in a program that has set a mesh: the same results, with sharded data too, and
the mesh stays.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxreg

ROWS = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
STRENGTHS = np.geomspace(0.01, 1, 3)
CONSTANT = np.arange(8, dtype=np.float32)
START = {"kernel": np.ones((4, 1), np.float32)}


def error(params, rows):
    return jnp.mean(jnp.square((rows["X"] @ params["kernel"])[:, 0] - rows["y"]))


def problem(rows, params, **options):
    recipe = jaxreg.Recipe(
        error, params, jaxreg.L1, lambda penalty: jaxreg.prox_adam(1e-2, penalty), **options
    )
    return recipe, {"X": rows, "y": rows[:, 0]}


def swept(rows, constant, _):
    def fit(key, hyperparams, data):
        return (
            hyperparams["penalty"].prox(data, 1.0).sum(0) + jax.random.normal(key) + constant.sum()
        )

    return jaxreg.sweep(
        fit, jaxreg.grid(penalty=jaxreg.L1(jnp.logspace(-3, 0, 3))), rows, seeds=2
    ).outputs


CALLS = {
    "sweep": swept,
    "fit_path": lambda rows, _, start: jaxreg.fit_path(
        *problem(rows, start, epochs=2, batch_size=8), STRENGTHS
    ).record["loss"],
    "cross_validate_path": lambda rows, _, start: jaxreg.cross_validate_path(
        *problem(rows, start, epochs=2, batch_size=8), STRENGTHS, folds=2
    ).record["loss"],
    "strength_grid": lambda rows, _, start: jaxreg.strength_grid(
        *problem(rows, start, epochs=20), start=0.1, count=3
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_under_a_mesh(call, kind):
    expected = CALLS[call](ROWS, CONSTANT, START)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        sharded = jax.device_put((ROWS, CONSTANT, START), NamedSharding(mesh, P("data")))
        found = CALLS[call](*sharded)
        assert jax.sharding.get_mesh() == mesh
    assert jax.sharding.get_mesh().empty
    np.testing.assert_array_equal(found, expected)


def test_the_mesh_comes_back_after_an_error():
    mesh = jax.make_mesh((2,), ("data",))
    with jax.set_mesh(mesh), pytest.raises(ValueError, match="at least one array"):
        try:
            jaxreg.sweep(lambda key, hyperparams, data: (), jaxreg.grid(a=[1.0]))
        finally:
            assert jax.sharding.get_mesh() == mesh
