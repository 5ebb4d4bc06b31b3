"""Paths of networks: what they record, where they end, and the choice and the plots of λ."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pytest

import jaxreg

mpl.use("agg")
STRENGTHS = np.geomspace(1e-3, 1, 6)


def network(key):
    first, last = jax.random.split(key)
    return {
        "first": {"kernel": jax.random.normal(first, (6, 5)), "bias": jnp.zeros(5)},
        "last": {"kernel": jax.random.normal(last, (5, 1)), "bias": jnp.zeros(1)},
    }


def loss(params, rows):
    hidden = jnp.tanh(rows["x"] @ params["first"]["kernel"] + params["first"]["bias"])
    return jnp.mean((hidden @ params["last"]["kernel"] + params["last"]["bias"] - rows["y"]) ** 2)


def noisy_rows(count, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 6)).astype(np.float32)
    noise = 0.1 * random.normal(size=(count, 1)).astype(np.float32)
    return {"x": x, "y": np.sin(x[:, :1]) + x[:, 1:2] * x[:, :1] + noise}


ROWS, VALIDATION = noisy_rows(64, 0), noisy_rows(32, 1)
RECIPE = jaxreg.Recipe(
    loss, network, jaxreg.L1, lambda penalty: jaxreg.prox_adam(0.01, penalty),
    mask=jaxreg.kernels, epochs=10, first_epochs=60, batch_size=16,
)  # fmt: skip


def fit(strengths=STRENGTHS, changes=None, **options):
    return jaxreg.fit_path(
        dataclasses.replace(RECIPE, **(changes or {})), ROWS, strengths, **options
    )


@pytest.fixture(scope="module")
def seeds_path():
    changes = {"refit_epochs": 20, "metrics": lambda params, rows: {"spread": jnp.std(rows["y"])}}
    return fit(changes=changes, seeds=2, validation=VALIDATION)


@pytest.fixture(scope="module")
def plain_path():
    return fit()


def test_what_a_path_records(seeds_path):
    record = seeds_path.record
    assert record["objective"].shape == (2, 6)
    kernels = [seeds_path.params[layer]["kernel"] for layer in ("first", "last")]
    np.testing.assert_array_equal(
        record["nonzeros"], sum(np.count_nonzero(kernel, axis=(2, 3)) for kernel in kernels)
    )
    alive = kernels[0] != 0
    np.testing.assert_array_equal(record["live_inputs"]["first/kernel"], alive.any(3).sum(2))
    np.testing.assert_array_equal(record["live_units"]["first/kernel"], alive.any(2).sum(2))
    assert (record["nonzeros"][:, 0] > record["nonzeros"][:, -1]).all()
    np.testing.assert_allclose(record["spread"], np.std(VALIDATION["y"]), rtol=1e-5)
    for seed, at in ((0, 1), (1, 4)):
        params, penalty = seeds_path.at(at, seed=seed), jaxreg.L1(seeds_path.strengths[at])
        value, gradient = jax.value_and_grad(loss)(params, ROWS)
        expected = {
            "loss": value,
            "validation_loss": loss(params, VALIDATION),
            "objective": value + jaxreg.penalty_value(penalty, params, mask=jaxreg.kernels),
            "residual": jaxreg.kkt_residual(penalty, params, gradient, mask=jaxreg.kernels),
        }
        for name, number in expected.items():
            np.testing.assert_allclose(record[name][seed, at], number, rtol=1e-4, atol=1e-6)


def test_refitting_keeps_the_zeros_and_lowers_the_loss(seeds_path):
    for layer in ("first", "last"):
        zeros = seeds_path.params[layer]["kernel"] == 0
        assert not seeds_path.refitted[layer]["kernel"][zeros].any()
    record = seeds_path.record
    assert (record["refitted_loss"][:, 1:5] < record["loss"][:, 1:5]).all()
    refitted = seeds_path.at(2, seed=1, refitted=True)
    np.testing.assert_allclose(record["refitted_loss"][1, 2], loss(refitted, ROWS), rtol=1e-5)


def test_labels_and_tables(seeds_path):
    dataset = seeds_path.dataset()
    assert dict(dataset.sizes) == {"seed": 2, "strength": 6}
    # netCDF allows no slash in a name.
    assert float(dataset["live_inputs.first.kernel"].sel(seed=1).isel(strength=0)) > 0
    assert str(seeds_path).splitlines()[0].split()[:2] == ["strength", "epochs"]
    assert len(str(seeds_path).splitlines()) == 8
    means = seeds_path.record["validation_loss"].mean(0)
    assert seeds_path.select("best") == int(np.argmin(means))
    assert seeds_path.select("one_se") >= seeds_path.select("best")


def test_a_path_resumes_from_its_folder(tmp_path):
    loaded = []
    first = fit(seeds=2, folder=tmp_path)
    again = fit(seeds=3, folder=tmp_path, progress=loaded.append)
    assert loaded == [2, 1]
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:2]), first.params, again.params)


def test_a_second_pass_is_nowhere_worse(plain_path):
    once, twice = plain_path.record, fit(changes={"passes": 2})
    assert (twice.record["objective"] <= once["objective"]).all()
    assert (twice.record["objective"] < once["objective"]).any()
    np.testing.assert_array_equal(twice.record["epochs"], once["epochs"] + 10)
    for at in (0, 3, 5):
        params, penalty = twice.at(at), jaxreg.L1(STRENGTHS[at])
        charged = jaxreg.penalty_value(penalty, params, mask=jaxreg.kernels)
        np.testing.assert_allclose(
            twice.record["objective"][at], loss(params, ROWS) + charged, rtol=1e-5
        )


@pytest.mark.parametrize("order", ["dense_to_sparse", "sparse_to_dense"])
def test_each_strength_starts_where_the_one_before_ended(order):
    """All rows are in every step, so nothing but the start differs from a path of one λ."""
    changes = {"batch_size": None, "order": order, "restart": True}
    strengths = STRENGTHS[[1, 3]]
    path = fit(strengths, changes=changes).record["loss"]
    first, second = (1, 0) if order == "sparse_to_dense" else (0, 1)
    alone = fit(strengths[[first]], changes=changes)
    then = {**changes, "params": alone.at(0), "first_epochs": RECIPE.epochs}
    continued = fit(strengths[[second]], changes=then)
    ends = [path[first], path[second]]
    np.testing.assert_allclose(
        ends, [alone.record["loss"][0], continued.record["loss"][0]], rtol=1e-5
    )


def test_patience_ends_a_strength_early():
    changes = {"patience": 3, "epochs": 200, "first_epochs": 200}
    epochs = fit(changes=changes, validation=VALIDATION).record["epochs"]
    assert (epochs < 200).any() and (epochs >= 4).all()


def test_stop_leaves_the_other_strengths_out(plain_path):
    def few(params):
        return sum(jnp.sum(params[layer]["kernel"] != 0) for layer in ("first", "last")) <= 30

    path = fit(changes={"stop": few})
    nonzeros, fitted = path.record["nonzeros"], path.record["fitted"]
    last = np.flatnonzero(fitted)[-1]
    assert 0 < last < 5
    assert nonzeros[last] <= 30 < nonzeros[last - 1]
    np.testing.assert_array_equal(fitted, np.arange(6) <= last)
    assert np.isnan(path.record["objective"][last + 1 :]).all()
    assert (nonzeros[last + 1 :] == -1).all()
    # What came before the stop is the same as without it.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), path.at(last), plain_path.at(last)
    )


def test_a_tree_of_penalties_charges_what_it_names():
    def groups(strength):
        return {"first": {"kernel": jaxreg.GroupL2(strength, axis=1), "bias": None}, "last": None}

    path = fit(changes={"penalty": groups, "mask": None})
    live = path.record["live_inputs"]
    assert list(live) == ["first/kernel"]
    assert live["first/kernel"][0] > live["first/kernel"][-1]
    np.testing.assert_array_equal(path.record["nonzeros"], 5 * live["first/kernel"])


def linear_loss(w, rows):
    return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2


LINEAR = jaxreg.Recipe(
    linear_loss, jnp.zeros(2), jaxreg.L1, lambda penalty: jaxreg.prox_sgd(0.5, penalty), epochs=100
)
EYE = {"x": jnp.eye(2), "y": jnp.array([2.0, 1.0])}


@pytest.mark.parametrize(
    ("changes", "epochs"), [({}, [6, 4, 4]), ({"order": "sparse_to_dense"}, [4, 4, 6])]
)
def test_budgets_and_schedules(changes, epochs):
    def decaying(penalty):
        return jaxreg.prox_sgd(lambda count: jnp.where(count < 3, 0.1, 0.0), penalty)

    recipe = dataclasses.replace(LINEAR, optimizer=decaying, epochs=4, first_epochs=6, **changes)
    path = jaxreg.fit_path(recipe, EYE, [0.01, 0.02, 0.04])
    np.testing.assert_array_equal(path.record["epochs"], epochs)
    # The learning rate is 0 from the third step of the whole path on.
    np.testing.assert_allclose(path.params[1], path.params[0], rtol=1e-6)
    anew = jaxreg.fit_path(dataclasses.replace(recipe, restart=True), EYE, [0.01, 0.02, 0.04])
    assert not np.allclose(anew.params[1], anew.params[0], rtol=1e-3)


def test_only_some_parameters_are_held():
    path = jaxreg.fit_path(LINEAR, EYE, [0.01, 0.1, 0.2], keep=[-1, 0])
    np.testing.assert_array_equal(path.kept_indices, [0, 2])
    np.testing.assert_allclose(path.at(-1), [1.6, 0.6], atol=1e-4)
    assert len(path) == 3
    assert jaxreg.fit_path(LINEAR, EYE, [0.01, 0.1, 0.2], keep=[]).params is None


@pytest.mark.parametrize("passes", [1, 2])
def test_a_strength_that_diverges_does_not_spoil_the_others(passes):
    def breaking(strength):
        return jaxreg.L1(jnp.where(strength == 0.25, jnp.nan, strength))

    strengths = [0.125, 0.2, 0.25, 0.5]
    recipe = dataclasses.replace(LINEAR, penalty=breaking, passes=passes)
    with pytest.warns(UserWarning, match=r"fit_path: the loss is not finite at strength 0.25$"):
        path = jaxreg.fit_path(recipe, EYE, strengths)
    expected = np.maximum(np.array([2.0, 1.0]) - 2 * np.array(strengths)[:, None], 0)
    np.testing.assert_allclose(path.params[[0, 1, 3]], expected[[0, 1, 3]], atol=1e-4)


def test_a_module_that_can_be_called_is_a_start():
    def module_loss(model, rows):
        return jnp.mean((jax.vmap(model)(rows["x"]) - rows["y"]) ** 2)

    model = eqx.nn.Linear(2, "scalar", key=jax.random.key(0))
    recipe = dataclasses.replace(LINEAR, loss=module_loss, params=model, mask=jaxreg.kernels)
    assert jaxreg.fit_path(recipe, EYE, [0.1]).at(0).weight.shape == (1, 2)


def test_one_standard_error_takes_the_largest_strength_within_it():
    strengths = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    # Means 1.0, 0.8, 0.85, 0.95, 2; the standard error of the best is 0.1.
    scores = np.array([[-0.1], [0.1]]) + np.array([1.0, 0.8, 0.85, 0.95, 2])
    assert jaxreg.select_strength(strengths, scores, "best") == 1
    assert jaxreg.select_strength(strengths, scores) == 2
    assert jaxreg.select_strength(strengths, -scores, largest=True) == 2
    # A strength beyond one that is worse still counts, in any order of the strengths.
    scores[:, 4] = scores[:, 1]
    assert jaxreg.select_strength(strengths, scores) == 4
    assert jaxreg.select_strength(strengths[::-1], scores[:, ::-1]) == 0
    # The largest of equals, and never one that diverged.
    assert jaxreg.select_strength([0.1, 0.3, 0.2], [1.0, 1.0, 1.0], "best") == 1
    assert jaxreg.select_strength([0.1, 0.3, 0.2], [[1.0, np.nan, 1.0], [1.0, 0.0, 1.0]]) == 2


def scores_by_hand():
    """Three folds whose mean loss is lowest at the second strength, and equal within the error at
    the third.
    """
    losses = np.array([[1.0, 0.5, 0.55, 2], [1.2, 0.7, 0.75, 2], [1.1, 0.6, 0.65, 2]])[:, None]
    live = np.broadcast_to(np.array([9, 7, 4, 0]), (3, 1, 4))
    record = {
        "loss": losses / 2, "validation_loss": losses, "accuracy": -losses, "nonzeros": 2 * live,
        "live_inputs": {"first/kernel": live},
    }  # fmt: skip
    return jaxreg.CrossValidation(np.array([0.0, 0.1, 0.2, 0.4]), record)


def top_labels(axes):
    (above,) = axes.child_axes
    return [label.get_text() for label in above.get_xticklabels()], above.get_xlabel()


@pytest.mark.parametrize(("by", "largest"), [("validation_loss", False), ("accuracy", True)])
def test_the_curve_marks_both_choices_and_counts_inputs(by, largest):
    scores, figure = scores_by_hand(), mpl.figure.Figure()
    axes = jaxreg.plotting.validation_curve(scores, by, largest, ax=figure.subplots())
    assert axes.figure is figure
    marks = {
        line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() in ("--", ":")
    }
    assert marks == {0.1, 0.2}
    ((points, *_),) = axes.containers
    np.testing.assert_allclose(points.get_xdata(), [0.01, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(np.abs(points.get_ydata()), [1.1, 0.6, 0.65, 2])
    assert axes.get_xscale() == "log"
    assert top_labels(axes) == (["9", "7", "4", "0"], "live inputs of first/kernel")
    scores.record["live_inputs"] = {}
    assert top_labels(jaxreg.plotting.validation_curve(scores))[1] == "nonzero parameters"


def test_paths_of_norms_and_of_weights():
    """Two inputs become zero at the second and the third of four strengths; the last is not
    held.
    """
    kernel = np.array(
        [[[3.0, 4], [1, 0], [0, 2]], [[0, 0], [1, 0], [0, 2]], [[0, 0], [0, 0], [0, 2]]]
    )
    params = {"first": {"kernel": kernel, "bias": np.zeros((3, 2))}}
    path = jaxreg.RegularizationPath(
        np.array([0.0, 0.1, 0.2, 0.4]), params, None, {"loss": np.ones(4)}, np.arange(3), None
    )
    axes = jaxreg.plotting.coefficient_paths(path, axis=1)
    drawn = sorted(
        tuple(line.get_ydata()) for line in axes.get_lines() if len(line.get_xdata()) == 3
    )
    assert drawn == [(1, 1, 0), (2, 2, 2), (5, 0, 0)]
    assert top_labels(axes) == (["3", "2", "1"], "live")
    axes = jaxreg.plotting.coefficient_paths(path, "first/kernel")
    assert len([line for line in axes.get_lines() if len(line.get_xdata()) == 3]) == 6
    axes.figure.canvas.draw()
