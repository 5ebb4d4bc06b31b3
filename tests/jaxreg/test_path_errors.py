"""Wrong arguments of `fit_path` and `cross_validate_path` get one clear error; what did not
converge is said.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg

ROWS = {
    "x": jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32),
    "y": jnp.arange(8.0),
}


def loss(w, rows):
    return jnp.mean((rows["x"] @ w - rows["y"]) ** 2)


def optimizer(penalty):
    return jaxreg.prox_sgd(0.1, penalty)


GOOD = {
    "loss": loss, "params": jnp.zeros(3), "data": ROWS, "penalty": jaxreg.L1,
    "optimizer": optimizer,
    "strengths": [0.1, 0.2], "epochs": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"strengths": []},
            r"expected strengths of shape \(strengths,\) with at least one, got shape \(0,\)",
        ),
        ({"strengths": [0.2, 0.1]}, r"strengths must be strictly ascending, got \[0.2, 0.1\]"),
        ({"strengths": [0.1, 0.1]}, r"strengths must be strictly ascending"),
        ({"strengths": [-0.1, 0.1]}, r"strengths must not be negative"),
        ({"strengths": [0.1, np.nan]}, r"strengths must be finite"),
        ({"strengths": 0.1}, r"expected strengths of shape \(strengths,\)"),
        ({"epochs": 0}, r"epochs must be at least 1, got 0"),
        ({"epochs": 2.5}, r"epochs must be a whole number, got 2.5"),
        ({"batch_size": 9}, r"batch_size must be at most the number of training rows, 8, got 9"),
        ({"patience": 2}, r"patience needs validation rows"),
        ({"tolerance": 0}, r"tolerance must be greater than 0"),
        ({"order": "down"}, r"order must be 'dense_to_sparse' or 'sparse_to_dense', got 'down'"),
        ({"passes": 2, "stop": lambda w: True}, r"passes must be 1 with stop"),
        ({"penalty": jaxreg.L1(0.1)}, r"penalty must be a function, got L1.*pass jaxreg.L1, say"),
        ({"penalty": lambda strength: strength}, r"expected a penalty such as jaxreg.L1"),
        (
            {"penalty": lambda strength: [None]},
            r"expected a tree with at least one penalty, got only None",
        ),
        ({"mask": jaxreg.kernels}, r"the mask selects none of the parameters"),
        ({"optimizer": jaxreg.prox_sgd(0.1, jaxreg.L1(0.1))}, r"optimizer must be a function"),
        (
            {"optimizer": lambda _: optax.adamw(0.1)},
            r"returned an optimizer that does not use the penalties",
        ),
        (
            {"optimizer": lambda _: jaxreg.prox_sgd(0.1, jaxreg.L1(0.1))},
            r"an optimizer that does not use the penalties",
        ),
        ({"stop": lambda w: w == 0}, r"stop\(params\) must return a scalar bool, got shape \(3,\)"),
        (
            {"loss": lambda w, rows: rows["x"] @ w},
            r"loss\(params, rows\) must return a scalar, got .*shape=\(8,\)",
        ),
        (
            {"data": {"x": ROWS["x"], "y": jnp.ones(7)}},
            r"expected arrays with the same number of rows.*\(8,\), .*\(7,\)",
        ),
        ({"metrics": lambda w, rows: w}, r"metrics\(params, rows\) must return a dict of scalars"),
        (
            {"metrics": lambda w, rows: {"w": w}},
            r"metrics must be scalars, got shape \(3,\) for 'w'",
        ),
        (
            {"metrics": lambda w, rows: {"loss": 1.0}},
            r"the path has a number named 'loss' of its own",
        ),
        ({"keep": "some"}, r'keep must be "all", "none" or a list of indices'),
        ({"keep": [2]}, r"keep must be a list of indices from -2 to 1"),
        (
            {"data": {"x": ROWS["x"][:0], "y": ROWS["y"][:0]}},
            r"expected at least one row, got arrays without rows",
        ),
        (
            {"validation": {"x": ROWS["x"][:0], "y": ROWS["y"][:0]}},
            r"expected at least one row, got arrays without rows",
        ),
        (
            {"data": {**ROWS, "y": jnp.full(8, jnp.nan)}},
            r"the loss at the strength that comes first, 0.1, is not finite",
        ),
    ],
)
def test_wrong_arguments(changed, message):
    with pytest.raises((ValueError, TypeError), match="fit_path: .*" + message):
        jaxreg.fit_path(**{**GOOD, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"folds": 1}, r"folds must be a whole number from 2 to 8, the rows, got 1"),
        ({"folds": 9}, r"folds must be a whole number from 2 to 8"),
        ({"epoch": 3}, r"epoch is no argument of it; it takes batch_size"),
        ({"patience": 3}, r"patience is no argument of it"),
        ({"strengths": []}, r"expected strengths"),
    ],
)
def test_wrong_arguments_of_cross_validation(changed, message):
    with pytest.raises((ValueError, TypeError), match="cross_validate_path: " + message):
        jaxreg.cross_validate_path(**{**GOOD, **changed})


def test_validation_rows_that_score_nothing_are_named():
    validation = {**ROWS, "y": jnp.full(8, jnp.nan)}
    with pytest.warns(
        UserWarning,
        match="the loss of the validation rows is not finite; look for NaN among them, at "
        "strength 0",
    ):
        path = jaxreg.fit_path(**GOOD, validation=validation, patience=1)
    with pytest.raises(
        ValueError, match="the training diverged, or the rows that score it hold NaN"
    ):
        path.select()


def test_it_says_where_the_budget_was_too_small():
    with pytest.warns(
        UserWarning,
        match="fit_path: the budget of epochs .* residual was 1e-06·λ at strength 0.1, 0.2",
    ):
        path = jaxreg.fit_path(**GOOD, tolerance=1e-6)
    assert not path.record["converged"].any()


def breaking_penalty(strength):
    return jaxreg.L1(jnp.where(strength == 2.0, jnp.nan, strength))


@pytest.mark.parametrize("passes", [1, 2])
def test_a_strength_that_diverges_does_not_spoil_the_others(passes):
    options = {**GOOD, "strengths": [0.5, 1.0, 2.0, 4.0], "epochs": 300, "passes": passes}
    with pytest.warns(UserWarning, match=r"fit_path: the loss is not finite at strength 2$"):
        path = jaxreg.fit_path(**{**options, "penalty": breaking_penalty})
    whole = jaxreg.fit_path(**options)
    np.testing.assert_allclose(path.params[[0, 1, 3]], whole.params[[0, 1, 3]], atol=1e-4)


def test_a_module_that_can_be_called_is_a_start():
    model = eqx.nn.Linear(3, "scalar", key=jax.random.key(0))

    def model_loss(model, rows):
        return jnp.mean((jax.vmap(model)(rows["x"]) - rows["y"]) ** 2)

    path = jaxreg.fit_path(**{**GOOD, "loss": model_loss, "params": model, "mask": jaxreg.kernels})
    assert path.at(1).weight.shape == (1, 3)


def test_indices_and_seeds_of_a_path():
    path = jaxreg.fit_path(**GOOD)
    assert len(path) == 2
    np.testing.assert_array_equal(path.at(-1), path.params[1])
    with pytest.raises(ValueError, match="expected seed to be None"):
        path.at(0, seed=1)
    with pytest.raises(IndexError):
        path.at(2)
    with pytest.raises(ValueError, match="no refitted parameters; pass refit_epochs"):
        path.at(0, refitted=True)
    with pytest.raises(ValueError, match="by must be one of .*loss.*got 'validation_loss'"):
        path.select()
    assert path.select(by="residual") == 1
    seeds = jaxreg.fit_path(
        **{**GOOD, "params": lambda key: jax.random.normal(key, (3,))}, seeds=[3, 4]
    )
    assert seeds.at(0, seed=1).shape == (3,)
    with pytest.raises(ValueError, match="expected seed to be an index"):
        seeds.at(0)
