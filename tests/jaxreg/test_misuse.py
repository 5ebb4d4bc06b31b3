"""Wrong uses that can be known are refused, and what only a trial step can tell is a warning."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jaxreg
from jaxreg import preconditioners

PARAMS = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
L1 = jaxreg.L1(0.1)

LINKS = {
    "add_penalty": lambda mask=None: jaxreg.add_penalty(L1, mask),
    "proximal_step": lambda mask=None: jaxreg.proximal_step(L1, 0.1, mask),
    "proximal": lambda mask=None: jaxreg.prox_adam(1e-3, L1, mask=mask),
}
every_link = pytest.mark.parametrize("link", LINKS)


@every_link
@pytest.mark.parametrize(
    "mask, params",
    [
        (False, PARAMS),
        ({"kernel": False, "bias": False}, PARAMS),
        (jaxreg.kernels, {"bias": jnp.ones(3), "scale": jnp.ones((2, 2))}),
    ],
)
def test_a_mask_that_selects_nothing_is_refused(link, mask, params):
    with pytest.raises(
        ValueError, match=r"the mask selects none of the parameters .*bias.*\(3,\).*another mask"
    ):
        LINKS[link](mask).init(params)


def test_kernels_under_flatten_is_refused():
    with pytest.raises(ValueError, match="nothing would be penalised.*optax.flatten"):
        optax.flatten(LINKS["proximal"](jaxreg.kernels)).init(PARAMS)


@every_link
def test_a_part_without_parameters_is_none_of_that(link):
    # A partition hands each optimizer the whole tree with the other parts' leaves taken out.
    tx = optax.partition({"on": LINKS[link](), "off": optax.set_to_zero()}, "off")
    tx.init(PARAMS)


WITHOUT = {
    "adam": (optax.scale_by_adam(), r"adam \(or adamax\)"),
    "momentum": (optax.trace(0.9), "trace"),
    "rms": (optax.scale_by_rms(), "rms"),
    "belief": (optax.scale_by_belief(), "belief"),
    "amsgrad": (optax.scale_by_amsgrad(), "amsgrad"),
    "adagrad": (optax.scale_by_rss(), "rss"),
    "inside a chain": (optax.chain(optax.clip(1.0), optax.scale_by_adam()), "adam"),
}


@pytest.mark.filterwarnings("ignore:proximal. along a constant gradient")
@pytest.mark.parametrize("name", WITHOUT)
def test_a_direction_without_its_preconditioner_is_refused(name):
    direction, wanted = WITHOUT[name]
    with pytest.raises(
        ValueError,
        match=f"expected the preconditioner of a direction with the state of {wanted}.*None",
    ):
        jaxreg.proximal(direction, L1, 1e-3).init(PARAMS)


@pytest.mark.parametrize(
    "direction",
    [optax.adam(1e-3), optax.adamw(1e-3), optax.chain(optax.scale_by_adam(), optax.scale(-1))],
)
def test_an_optimizer_as_a_direction_is_refused(direction):
    with pytest.raises(
        ValueError, match="expected a direction along the gradient.*optax.scale_by_adam"
    ):
        jaxreg.proximal(direction, L1, 1e-3, preconditioners.adam())


def test_a_direction_with_a_full_matrix_is_refused():
    with pytest.raises(ValueError, match="a diagonal D, got L-BFGS"):
        jaxreg.proximal(optax.scale_by_lbfgs(), L1, 0.1).init(PARAMS)


OTHERS = {
    "another b2": (optax.scale_by_adam(b2=0.99), preconditioners.adam()),
    "another b2, the other way": (optax.scale_by_adam(), preconditioners.adam(b2=0.99)),
    "another eps": (optax.scale_by_adam(eps=1e-3), preconditioners.adam()),
    "adamax for adam": (optax.scale_by_adam(), preconditioners.adamax()),
    "a learning rate": (
        optax.chain(optax.scale_by_adam(), optax.scale(1e-3)),
        preconditioners.adam(),
    ),
    "signs": (optax.scale_by_lion(), None),
    "a trust ratio": (
        optax.chain(optax.scale_by_adam(), optax.scale_by_trust_ratio()),
        preconditioners.adam(),
    ),
    "a trust ratio alone": (optax.scale_by_trust_ratio(), None),
    "a clip": (
        optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam()),
        preconditioners.adam(),
    ),
    "a clip of single gradients": (
        optax.chain(optax.clip(0.5), optax.trace(0.9)),
        preconditioners.trace(0.9),
    ),
    "AdaDelta": (optax.scale_by_adadelta(), None),
    "another eps of AdaDelta": (optax.scale_by_adadelta(), preconditioners.adadelta(1e-2)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_direction_s_preconditioner_is_a_warning(name):
    with pytest.warns(
        UserWarning, match=r"expected a first step of g/D, got .* preconditioner named after"
    ) as caught:
        jaxreg.proximal(OTHERS[name][0], L1, 1e-3, OTHERS[name][1])
    assert len(caught) == 1


FITTING = {
    "nesterov": (optax.scale_by_adam(nesterov=True), preconditioners.adam()),
    "yogi": (optax.scale_by_yogi(), preconditioners.adam(eps=1e-3)),
    "adamax": (optax.scale_by_adamax(), preconditioners.adamax()),
    "centered": (optax.scale_by_stddev(), preconditioners.rms()),
    "decayed": (
        optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.1)),
        preconditioners.adam(),
    ),
    "momentum": (optax.trace(0.99), preconditioners.trace(0.99)),
    "rms and momentum": (
        optax.chain(optax.scale_by_rms(), optax.trace(0.9, nesterov=True)),
        preconditioners.product(preconditioners.rms(), preconditioners.trace(0.9)),
    ),
    "coupled L2": (optax.chain(jaxreg.add_l2(0.1), optax.scale_by_adam()), preconditioners.adam()),
    "AdaDelta": (optax.scale_by_adadelta(), preconditioners.adadelta()),
    "NovoGrad": (optax.scale_by_novograd(), preconditioners.novograd()),
    "a scale that adapts": (
        optax.chain(optax.scale_by_adam(), optax.contrib.reduce_on_plateau()),
        preconditioners.product(preconditioners.adam(), preconditioners.plateau()),
    ),
    "plain": (optax.identity(), None),
    "plain, decayed": (optax.add_decayed_weights(10.0), None),
    "plain average": (optax.ema(0.9, debias=False), None),
    "average of gradients": (
        optax.chain(optax.ema(0.9, debias=False), optax.scale_by_adam()),
        preconditioners.adam(),
    ),
    "noise": (
        optax.chain(optax.add_noise(1.0, 0.5, 0), optax.scale_by_adam()),
        preconditioners.adam(),
    ),
    "centralized": (optax.chain(optax.centralize(), optax.scale_by_adam()), preconditioners.adam()),
    "for other parameters": (
        optax.masked(optax.scale_by_adam(), {"kernel": True, "bias": False}),
        preconditioners.adam(),
    ),
}


@pytest.mark.parametrize("name", FITTING)
def test_a_fitting_preconditioner_passes_in_silence(name):
    direction, preconditioner = FITTING[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tx = jaxreg.proximal(direction, L1, 1e-3, preconditioner)
        updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=1.0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def test_init_leaks_no_tracer():
    tx = jaxreg.prox_adam(1e-3, L1)
    with jax.checking_leaks():
        state = jax.jit(tx.init)(PARAMS)
    assert state.count == 0


def test_a_direction_of_traced_values_passes():
    @jax.jit
    def update(b2, momentum):
        adam = jaxreg.proximal(optax.scale_by_adam(b2=b2), L1, 1e-3, preconditioners.adam(b2))
        sgd = jaxreg.prox_sgd(0.1, L1, momentum=momentum)
        return [tx.update(PARAMS, tx.init(PARAMS), PARAMS)[0]["bias"] for tx in (adam, sgd)]

    assert all(np.isfinite(leaf).all() for leaf in update(0.99, 0.9))


NUMBERS = {
    "b1 of 1": (
        lambda: jaxreg.prox_adam(1e-3, L1, b1=1.0),
        ValueError,
        r"prox_adam: b1 must lie in \[0, 1\), got 1.0",
    ),
    "b2 of 2": (
        lambda: jaxreg.prox_nadam(1e-3, L1, b2=2),
        ValueError,
        r"b2 must lie in \[0, 1\), got 2",
    ),
    "b2 of 1, adamax": (
        lambda: jaxreg.prox_adamax(1e-3, L1, b2=1.0),
        ValueError,
        "prox_adamax: b2 must lie",
    ),
    "b2 of 1, yogi": (
        lambda: jaxreg.prox_yogi(1e-3, L1, b2=1.0),
        ValueError,
        "prox_yogi: b2 must lie",
    ),
    "b2 of 1, amsgrad": (
        lambda: jaxreg.prox_amsgrad(1e-3, L1, b2=1.0),
        ValueError,
        "prox_amsgrad: b2 must lie",
    ),
    "b2 of 1, adabelief": (
        lambda: jaxreg.prox_adabelief(1e-3, L1, b2=1.0),
        ValueError,
        "prox_adabelief: b2 must lie",
    ),
    "b1 below 0": (
        lambda: jaxreg.prox_adamw(1e-3, L1, b1=-0.1),
        ValueError,
        "prox_adamw: b1 must lie",
    ),
    "decay of 1": (
        lambda: jaxreg.prox_rmsprop(1e-3, L1, decay=1.0),
        ValueError,
        "prox_rmsprop: decay must lie",
    ),
    "eps below 0": (
        lambda: jaxreg.prox_adam(1e-3, L1, eps=-1e-8),
        ValueError,
        "prox_adam: eps must not be negative",
    ),
    "eps, adagrad": (
        lambda: jaxreg.prox_adagrad(1e-3, L1, eps=-1e-8),
        ValueError,
        "prox_adagrad: eps must not be negative",
    ),
    "a mask by position": (
        lambda: jaxreg.prox_adam(1e-3, L1, jaxreg.kernels),
        TypeError,
        r"b1 must be a number in \[0, 1\), got the function 'kernels'; pass a mask by name, mask=",
    ),
    "a tree by position": (
        lambda: jaxreg.prox_sgd(1e-3, L1, {"kernel": True}),
        TypeError,
        r"momentum must be a number in \[0, 1\), got {'kernel': True}; pass a mask by name",
    ),
    "max_shrink of 0": (
        lambda: jaxreg.prox_adam(1e-3, L1, max_shrink=0.0),
        ValueError,
        "max_shrink must be greater than 0",
    ),
    "a rate that turns negative": (
        lambda: jaxreg.prox_adam(lambda count: 1e-3 - 1e-5 * count, L1),
        ValueError,
        r"learning_rate is a schedule .* at least 0, got -0.009 at step 1000; clip it at 0",
    ),
    "a rate of NaN": (
        lambda: jaxreg.prox_sgd(lambda _: np.nan, L1),
        ValueError,
        "at least 0, got nan at step 0",
    ),
    "no rate": (
        lambda: jaxreg.prox_sgd(lambda _: None, L1),
        TypeError,
        "must return a number for every step, got None at",
    ),
    "no strength": (
        lambda: jaxreg.L1(lambda _: None),
        TypeError,
        "L1: strength is a schedule .* got None at step 0",
    ),
    "a negative step": (
        lambda: jaxreg.prox_l1(0.1, lambda _: -0.1),
        ValueError,
        "step_size is a schedule.* got -0.1",
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    mistake, kind, message = NUMBERS[name]
    with pytest.raises(kind, match=message):
        mistake()


def test_another_optimizer_s_state_is_named():
    tx = jaxreg.prox_adam(1e-3, L1)
    with pytest.raises(
        TypeError, match="expected the ProximalState that init returned, got tuple; call update"
    ):
        tx.update(PARAMS, optax.adam(1e-3).init(PARAMS), PARAMS)
    # The second and third arguments exchanged.
    with pytest.raises(TypeError, match="expected the ProximalState that init returned, got dict"):
        tx.update(PARAMS, PARAMS, tx.init(PARAMS))
    scheduled = jaxreg.add_l1(optax.constant_schedule(0.1))
    with pytest.raises(TypeError, match="add_penalty: expected the PenaltyState"):
        scheduled.update(PARAMS, optax.EmptyState(), PARAMS)


@every_link
def test_gradients_that_only_broadcast_are_refused(link):
    tx = LINKS[link]()
    short = {"kernel": jnp.ones((1, 3)), "bias": jnp.ones(3)}
    with pytest.raises(ValueError, match=r"shape \(4, 3\) at kernel, got \(1, 3\)"):
        tx.update(short, tx.init(PARAMS), PARAMS)
    with pytest.raises(
        ValueError, match=r"kkt_residual: expected .* \(4, 3\) at kernel, got \(1, 3\)"
    ):
        jaxreg.kkt_residual(L1, PARAMS, short)


@pytest.mark.parametrize(
    "axes", [{"input_axis": 5}, {"unit_axis": -3}, {"input_axis": 1, "unit_axis": -1}]
)
def test_axes_that_a_kernel_does_not_have(axes):
    with pytest.raises(
        ValueError, match=r"sparsity: expected two different axes of a kernel of shape \(4, 3\)"
    ):
        jaxreg.sparsity(PARAMS, **axes)


@pytest.mark.parametrize(
    "make",
    [
        jaxreg.prox_sgd,
        jaxreg.prox_adam,
        jaxreg.prox_adamax,
        jaxreg.prox_rmsprop,
        jaxreg.prox_adagrad,
    ],
)
@pytest.mark.parametrize(
    "odd", [jnp.arange(3), jnp.ones(3, jnp.complex64)], ids=["integers", "complex"]
)
def test_a_leaf_that_the_mask_leaves_out_may_be_of_any_dtype(make, odd):
    params = {"kernel": jnp.ones((4, 3)), "odd": odd}
    gradient = {"kernel": jnp.ones((4, 3)), "odd": jnp.zeros_like(odd)}
    tx = make(0.1, L1, mask={"kernel": True, "odd": False})
    updates, _ = tx.update(gradient, tx.init(params), params)
    after = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(after["odd"], odd)
    assert after["odd"].dtype == odd.dtype and np.all(after["kernel"] < 1)
