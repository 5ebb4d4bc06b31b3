"""A user's mistake gets one error that names the argument, the value and the way out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg

PARAMS = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}

AT_CONSTRUCTION = {
    "negative": (
        lambda: jaxreg.L1(-0.1),
        ValueError,
        r"L1: strength must not be negative, got -0\.1",
    ),
    "nan": (
        lambda: jaxreg.SquaredL2(float("nan")),
        ValueError,
        "SquaredL2: strength must be finite, got nan",
    ),
    "infinite": (
        lambda: jaxreg.ElasticNet(0.1, np.inf),
        ValueError,
        "ElasticNet: l2_strength must be finite, got inf",
    ),
    "in an array": (
        lambda: jaxreg.L1(jnp.array([0.1, -1])),
        ValueError,
        "L1: strength must not be negative",
    ),
    "text": (
        lambda: jaxreg.GroupL2("0.1"),
        TypeError,
        "GroupL2: strength must be a number.*'0.1' of type str",
    ),
    "bool": (
        lambda: jaxreg.L1(True),
        TypeError,
        "L1: strength must be a number.*True of type bool",
    ),
    "list": (
        lambda: jaxreg.L1([0.1, 0.2]),
        TypeError,
        r"L1: strength must be a number.*jnp.array\(\[0.1, 0.2\]\)",
    ),
    "none": (lambda: jaxreg.L1(None), TypeError, "L1: strength must be a number.*NoneType"),
    "complex": (lambda: jaxreg.L1(np.complex64(1j)), TypeError, "pass real numbers"),
    "link": (lambda: jaxreg.add_l1(-1.0), ValueError, "strength must not be negative, got -1.0"),
    "not a penalty": (
        lambda: jaxreg.add_penalty(1e-4),
        TypeError,
        r"add_penalty: expected a penalty such as jaxreg.L1\(1e-4\)",
    ),
    "not a penalty, prox": (
        lambda: jaxreg.prox_adam(1e-3, 1e-4),
        TypeError,
        "proximal: expected a penalty",
    ),
    "step 0": (
        lambda: jaxreg.prox_l1(0.1, 0.0),
        ValueError,
        r"step_size must be greater than 0, got 0\.0",
    ),
    "step < 0": (
        lambda: jaxreg.proximal_step(jaxreg.L1(1.0), -0.1),
        ValueError,
        "step_size must not be negative, got -0.1",
    ),
    "step text": (lambda: jaxreg.prox_l1(0.1, "fast"), TypeError, "step_size must be a number"),
    "rate < 0": (
        lambda: jaxreg.prox_adam(-1e-3, jaxreg.L1(1.0)),
        ValueError,
        "learning_rate must not be negative.*pass a positive learning_rate",
    ),
    "rate of many": (
        lambda: jaxreg.prox_sgd(jnp.ones(3), jaxreg.L1(1.0)),
        ValueError,
        r"learning_rate must be one number.*\(3,\)",
    ),
    "not called": (
        lambda: jaxreg.proximal(optax.adam, jaxreg.L1(1.0), 0.1),
        TypeError,
        "direction must be a transformation",
    ),
    "axis text": (
        lambda: jaxreg.GroupL2(0.1, axis="in"),
        TypeError,
        "GroupL2: axis must be an int or a tuple",
    ),
    "axis twice": (
        lambda: jaxreg.GroupL2(0.1, axis=(1, 1)),
        ValueError,
        r"axis must name .* got \(1, 1\)",
    ),
    "no axis": (lambda: jaxreg.GroupL2(0.1, axis=()), ValueError, "at least one axis"),
    "momentum 1": (
        lambda: jaxreg.prox_sgd(0.1, jaxreg.L1(1.0), 1.0),
        ValueError,
        r"momentum must lie in \[0, 1\), got 1.0",
    ),
    "momentum < 0": (
        lambda: jaxreg.prox_sgd(0.1, jaxreg.L1(1.0), -0.9),
        ValueError,
        r"momentum must lie in \[0, 1\), got -0.9",
    ),
    "momentum text": (
        lambda: jaxreg.prox_sgd(0.1, jaxreg.L1(1.0), "0.9"),
        TypeError,
        "momentum must be a number",
    ),
    "nesterov alone": (
        lambda: jaxreg.prox_rmsprop(0.1, jaxreg.L1(1.0), nesterov=True),
        ValueError,
        "prox_rmsprop: nesterov=True needs a momentum, got momentum=None; pass momentum=0.9",
    ),
}

LINKS = {
    "add_penalty": lambda penalty, mask: jaxreg.add_penalty(penalty, mask),
    "proximal_step": lambda penalty, mask: jaxreg.proximal_step(penalty, 0.1, mask),
    "proximal": lambda penalty, mask: jaxreg.prox_adam(1e-3, penalty, mask=mask),
}

# Penalty, mask and parameters that do not fit each other: init raises.
AT_INIT = {
    "axis": (
        jaxreg.GroupL2(0.1, axis=1),
        None,
        PARAMS,
        ValueError,
        r"parameter bias: .*axis=1 .*\(3,\).*mask",
    ),
    "axis far": (
        jaxreg.GroupL2(0.1, axis=-3),
        jaxreg.kernels,
        PARAMS,
        ValueError,
        r"parameter kernel: .*axis=-3 .*\(4, 3\)",
    ),
    "axis same": (
        jaxreg.GroupL2(0.1, axis=(1, -1)),
        jaxreg.kernels,
        PARAMS,
        ValueError,
        r"axis=\(1, -1\) does not fit",
    ),
    "integers": (
        jaxreg.L1(0.1),
        None,
        {"steps": jnp.arange(3)},
        TypeError,
        "parameter steps: .*int32.*mask",
    ),
    "mask shape": (
        jaxreg.L1(0.1),
        {"kernel": True},
        PARAMS,
        ValueError,
        "mask: .* it has nothing for bias; expected True or False for each of bias, kernel",
    ),
    "mask leaves": (
        jaxreg.L1(0.1),
        {"kernel": 1.0, "bias": True},
        PARAMS,
        TypeError,
        "mask: expected True or False at kernel, got 1.0",
    ),
    "mask arrays": (
        jaxreg.L1(0.1),
        lambda p: p,
        PARAMS,
        TypeError,
        "mask: expected True or False at bias",
    ),
    "mask text": (
        jaxreg.L1(0.1),
        {"kernel": "yes", "bias": True},
        PARAMS,
        TypeError,
        "mask: expected True or False at kernel, got 'yes'",
    ),
    "a grid": (
        jaxreg.L1(jnp.ones(7)),
        None,
        PARAMS,
        ValueError,
        r"strength, got an array of shape \(7,\).*jax.vmap",
    ),
}


@pytest.mark.parametrize("name", AT_CONSTRUCTION)
def test_construction(name):
    mistake, kind, message = AT_CONSTRUCTION[name]
    with pytest.raises(kind, match=message):
        mistake()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", AT_INIT)
def test_init(name, link):
    penalty, mask, params, kind, message = AT_INIT[name]
    with pytest.raises(kind, match=message):
        LINKS[link](penalty, mask).init(params)


@pytest.mark.parametrize("link", LINKS)
def test_missing_params_is_optax_own_error(link):
    tx = LINKS[link](jaxreg.L1(0.1), None)
    with pytest.raises(ValueError) as theirs:
        optax.add_decayed_weights(0.1).update(PARAMS, optax.EmptyState(), None)
    with pytest.raises(ValueError) as ours:
        tx.update(PARAMS, tx.init(PARAMS))
    assert str(ours.value) == str(theirs.value)


def test_a_preconditioner_of_another_direction_is_refused():
    tx = jaxreg.proximal(optax.scale_by_adam(), jaxreg.L1(0.1), 0.1, jaxreg.preconditioners.rss())
    with pytest.raises(
        ValueError, match="expected one ScaleByRssState .* found 0 in ScaleByAdamState"
    ):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_a_preconditioner_that_was_not_called_is_refused():
    tx = jaxreg.proximal(optax.scale_by_adam(), jaxreg.L1(0.1), 0.1, jaxreg.preconditioners.adam)
    with pytest.raises(
        TypeError, match=r"preconditioner returned .* call it first, as in preconditioners.adam\(\)"
    ):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize("factory", [jaxreg.prox_adam, jaxreg.prox_sgd])
def test_a_mask_that_optax_takes_for_a_schedule_is_no_silent_nothing(factory):
    tx = optax.inject_hyperparams(factory)(
        learning_rate=0.1, penalty=jaxreg.L1(0.1), mask=jaxreg.kernels
    )
    with pytest.raises(
        TypeError, match='kernels: expected parameters, got a step count.*static_args="mask"'
    ):
        tx.init(PARAMS)


def test_what_is_not_known_yet_passes():
    jax.jit(lambda strength: jaxreg.L1(strength).value(jnp.ones(3)))(-1.0)
    jaxreg.prox_sgd(optax.constant_schedule(0.1), jaxreg.L1(optax.constant_schedule(0.1)))
    # A warm-up that starts at 0 reaches the constructor as a JAX array.
    optax.inject_hyperparams(jaxreg.prox_l1)(
        strength=0.1, step_size=optax.linear_schedule(0.0, 1.0, 5)
    ).init(PARAMS)
