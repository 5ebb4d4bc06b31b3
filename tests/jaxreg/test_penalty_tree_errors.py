"""A tree of penalties that does not fit raises one error with the path, what was expected and what
to do.
"""

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

import jaxreg

L1 = jaxreg.L1(0.1)
PARAMS = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
USES = {
    "add_penalty": lambda penalty, params, mask=None: jaxreg.add_penalty(penalty, mask).init(
        params
    ),
    "proximal_step": lambda penalty, params, mask=None: jaxreg.proximal_step(
        penalty, 0.1, mask
    ).init(params),
    "proximal": lambda penalty, params, mask=None: jaxreg.prox_adam(1e-3, penalty, mask=mask).init(
        params
    ),
    "penalty_value": jaxreg.penalty_value,
    "kkt_residual": lambda penalty, params, mask=None: jaxreg.kkt_residual(
        penalty, params, params, mask
    ),
    "critical_strength": jaxreg.critical_strength,
}
LINKS = ("add_penalty", "proximal_step", "proximal")
every_use = pytest.mark.parametrize("use", USES)

# What is no tree of penalties is refused at construction; what a function returns, once it is
# called.
NO_TREES = {
    "a number": (
        {"kernel": 0.1, "bias": None},
        TypeError,
        r"expected a penalty such as .* or None at kernel, got 0\.1",
    ),
    "a mask": ({"kernel": L1, "bias": False}, TypeError, "or None at bias, got False"),
    "a schedule": (
        {"a": {"b": optax.constant_schedule(0.1)}},
        TypeError,
        "or None at a/b, got <function",
    ),
    "only None": (
        {"kernel": None, "bias": None},
        ValueError,
        "at least one penalty, got only None, so nothing .* write a",
    ),
    "empty": ({}, ValueError, "expected a tree with at least one penalty, got an empty tree"),
    "None": (None, TypeError, r"expected a penalty such as jaxreg.L1\(1e-4\), got None"),
    "a bare number": (0.1, TypeError, r"expected a penalty such as jaxreg.L1\(1e-4\), got 0\.1"),
}
MISFITS = {
    "missing": (
        {"kernel": L1},
        PARAMS,
        "it has nothing for bias; expected one penalty or None for each of bias, kernel, at its "
        "path or above; write None ",
    ),
    "misspelt": (
        {"kernle": L1, "bias": None},
        PARAMS,
        "it has nothing for kernel and a penalty at kernle, where there is no parameter; expected",
    ),
    "too deep": (
        {"kernel": {"w": L1}, "bias": None},
        PARAMS,
        "nothing for kernel and a penalty at kernel/w, where there is no parameter",
    ),
    "too much": (
        {"kernel": L1, "bias": None, "scale": L1},
        PARAMS,
        "it has a penalty at scale, where there is no param",
    ),
    "of one array": (
        {"kernel": L1},
        jnp.ones(3),
        r"nothing for \(the only leaf\) and a penalty at kernel, where",
    ),
    "many": (
        {"a": L1},
        {str(i): jnp.ones(2) for i in range(12)},
        "nothing for 0, 1, 10 and 9 more and a penalty at a, .* each of 0, 1, 10, 11, 2, 3, 4, 5 "
        "and 4 more, at its path",
    ),
    "an index": (
        {"layers": {0: L1, 2: L1}},
        nnx.State({"layers": {0: nnx.Param(jnp.ones(2)), 1: nnx.Param(jnp.ones(2))}}),
        "nothing for layers/1 and a penalty at layers/2, where",
    ),
}


@every_use
@pytest.mark.parametrize("name", NO_TREES)
def test_no_tree_of_penalties(name, use):
    given, kind, message = NO_TREES[name]
    with pytest.raises(kind, match=f"^{use}: .*{message}"):
        USES[use](given, PARAMS)
    with pytest.raises(kind, match=f"^{use}: .*{message}"):
        USES[use](lambda params: given, PARAMS)


@pytest.mark.parametrize("name", NO_TREES)
def test_construction(name):
    given, kind, _ = NO_TREES[name]
    for make in (
        jaxreg.add_penalty,
        lambda penalty: jaxreg.proximal_step(penalty, 0.1),
        lambda p: jaxreg.prox_sgd(0.1, p),
    ):
        with pytest.raises(kind):
            make(given)
        make(lambda params: given)


@every_use
@pytest.mark.parametrize("name", MISFITS)
def test_a_tree_that_does_not_fit(name, use):
    given, params, message = MISFITS[name]
    for penalty in (given, lambda params: given):
        with pytest.raises(
            ValueError,
            match=f"^{use}: the tree of penalties does not fit the parameters: .*{message}",
        ):
            USES[use](penalty, params)


def test_update_checks_too():
    tx, other = jaxreg.prox_sgd(0.1, {"kernel": L1}), {"kernel": jnp.ones(3), "bias": jnp.ones(3)}
    with pytest.raises(ValueError, match="nothing for bias"):
        tx.update(other, tx.init({"kernel": jnp.ones(3)}), other)


@pytest.mark.parametrize("use", LINKS)
def test_entries_that_do_not_fit_their_parameter(use):
    with pytest.raises(
        ValueError, match=f"^{use}: parameter bias: .*axis=1 does not fit .* \\(3,\\)"
    ):
        USES[use]({"kernel": L1, "bias": jaxreg.GroupL2(0.1, axis=1)}, PARAMS)
    with pytest.raises(
        ValueError,
        match=r"expected one strength, got an array of shape \(7,\); for a strength of each "
        "weight pass jaxreg.Weighted",
    ):
        USES[use]({"kernel": jaxreg.L1(jnp.ones(7)), "bias": None}, PARAMS)
    with pytest.raises(TypeError, match="parameter steps: .*int32"):
        USES[use]({"steps": L1, "kernel": L1}, {"steps": jnp.arange(3), "kernel": jnp.ones(3)})
    USES[use]({"steps": None, "kernel": L1}, {"steps": jnp.arange(3), "kernel": jnp.ones(3)})


@pytest.mark.parametrize("use", LINKS)
def test_mask_and_tree_that_leave_nothing(use):
    with pytest.raises(
        ValueError,
        match="selects none of the parameters that have a penalty among .*nothing would be",
    ):
        USES[use]({"kernel": None, "bias": L1}, PARAMS, jaxreg.kernels)


@every_use
def test_a_class_is_no_function(use):
    with pytest.raises(TypeError, match=f"{use}: expected a penalty such as .* got <class .*L1'>"):
        USES[use](jaxreg.L1, PARAMS)


def test_modules_of_penalties_are_trees_though_callable():
    equinox = pytest.importorskip("equinox")
    params = equinox.filter(
        equinox.nn.Linear(2, 3, key=jax.random.key(0)), equinox.is_inexact_array
    )
    with pytest.raises(ValueError, match="got only None"):
        jaxreg.add_penalty(jax.tree.map(lambda _: None, params))
    scheduled = jax.tree.map(lambda _: jaxreg.L1(optax.constant_schedule(0.1)), params)
    assert isinstance(jaxreg.add_penalty(scheduled).init(params), jaxreg.PenaltyState)
