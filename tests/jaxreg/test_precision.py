"""Products of float32 matrices keep their digits on accelerators, where JAX's default rounds the
factors.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg._linear import programs
from jaxreg._linear.path import Settings

X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
Y = X[:, 0] - X[:, 1]


def precisions(function, *arguments):
    """The precisions of all matrix products in a traced function, also in those that it calls."""
    found = set()

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                precision = equation.params["precision"]
                found.add(precision if precision is None else precision[0].name)
            for inner in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda one: hasattr(one, "eqns")
            ):
                if hasattr(inner, "eqns"):
                    visit(inner)

    visit(jax.make_jaxpr(function)(*arguments))
    return found


def loss(w, data):
    return jnp.mean((data[0] @ w - data[1]) ** 2) / 2


def solved(strength):
    return jaxreg.fista(loss, jaxreg.L1(strength)).run(jnp.zeros(5), (X, Y)).params


def gap(w):
    return jaxreg.duality_gap(jaxreg.L1(0.1), w, lambda w: jnp.asarray(X) @ w, Y)


def path(strength):
    settings, data = (
        Settings("logistic", True, 3, 10),
        programs.Data(jnp.asarray(X)[..., None], jnp.asarray(Y > 0, float)),
    )
    penalties = jaxreg.L1(strength[None])
    prepared = programs.prepare(settings, data)
    progress = programs.advance(
        prepared.solver, penalties, strength[None] * 1e-3, prepared.progress(1)
    )
    return programs.measure(prepared.solver, prepared.subtracted, penalties, progress, data)


def predictions(w):
    return jaxreg.LinearModel(w, 0.0).predict(X)


def test_the_default_asks_for_no_precision():
    assert precisions(loss, np.ones(5, np.float32), (X, Y)) == {None}


@pytest.mark.parametrize(
    ("function", "argument"),
    [(solved, np.float32(0.1)), (jax.jacobian(solved), np.float32(0.1)), (gap, np.ones(5,
    np.float32)),
     (path, np.float32(0.1)), (predictions, np.ones(5, np.float32))],
    ids=["fista", "its derivative", "duality gap", "linear path", "linear model"],
)  # fmt: skip
def test_products_are_not_rounded_further_than_float32(function, argument):
    assert precisions(function, argument) == {"HIGHEST"}


def test_a_precision_that_was_set_is_respected():
    with jax.default_matmul_precision("bfloat16"):
        assert precisions(gap, np.ones(5, np.float32)) == {"DEFAULT"}
