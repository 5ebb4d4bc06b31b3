"""`fit_path` against scikit-learn's solutions, its schedules and its ends, and
`cross_validate_path`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

import jaxreg


def regression():
    problem = problems.diabetes()
    return {"x": jnp.asarray(problem.inputs), "y": jnp.asarray(problem.targets)}, problem


def loss(w, rows):
    return jnp.mean((rows["x"] @ w - rows["y"]) ** 2) / 2


def by_gradient(penalty):
    return jaxreg.prox_sgd(0.2, penalty, momentum=0.9)


def by_adam(penalty):
    return jaxreg.prox_adam(0.01, penalty)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("order", ["dense_to_sparse", "sparse_to_dense"])
@pytest.mark.parametrize("penalty", ["lasso", "elastic net"])
def test_a_path_meets_scikit_learn_at_every_strength(order, penalty):
    data, problem = regression()
    l2 = 0.05 if penalty == "elastic net" else 0.0
    strengths = np.geomspace(problem.critical / 100, problem.critical * 1.001, 12)
    path = jaxreg.fit_path(
        loss, jnp.zeros(10), data, lambda strength: jaxreg.ElasticNet(strength, l2), by_gradient,
        strengths,
        epochs=20_000, tolerance=1e-7, order=order,
    )  # fmt: skip
    expected = [
        problems.elastic_net(data["x"], data["y"], strength, l2) for strength in strengths[:-1]
    ]
    np.testing.assert_allclose(path.params[:-1], expected, atol=2e-6)
    assert not np.any(path.params[-1])
    assert path.record["converged"].all()
    assert (path.record["residual"] <= 1e-7 * strengths).all()
    np.testing.assert_array_equal(
        path.record["nonzeros"], [*(np.count_nonzero(w) for w in expected), 0]
    )
    objective = [
        float(loss(w, data)) + s * np.abs(w).sum() + l2 * (w**2).sum()
        for w, s in zip(expected, strengths, strict=False)
    ]
    np.testing.assert_allclose(path.record["objective"][:-1], objective, rtol=1e-9)


@pytest.mark.usefixtures("float64")
def test_warm_starts_save_epochs():
    data, problem = regression()
    strengths = np.geomspace(problem.critical / 20, problem.critical, 25)

    def plain(penalty):
        return jaxreg.prox_sgd(0.2, penalty)

    options = {"epochs": 20_000, "tolerance": 1e-2, "check_every": 1}
    path = jaxreg.fit_path(loss, jnp.zeros(10), data, jaxreg.L1, plain, strengths, **options)
    picked = range(1, 20, 4)
    alone = [
        jaxreg.fit_path(
            loss, jnp.zeros(10), data, jaxreg.L1, plain, strengths[[at]], **options
        ).record["epochs"][0]
        for at in picked
    ]
    assert path.record["epochs"][list(picked)].sum() < 0.7 * sum(alone)


def test_budgets_and_schedules():
    data, _ = regression()

    def decaying(penalty):
        return jaxreg.prox_sgd(lambda count: jnp.where(count < 3, 0.1, 0.0), penalty)

    strengths = [0.01, 0.02, 0.04]
    options = {"epochs": 4, "first_epochs": 6}
    path = jaxreg.fit_path(loss, jnp.zeros(10), data, jaxreg.L1, decaying, strengths, **options)
    np.testing.assert_array_equal(path.record["epochs"], [6, 4, 4])
    # The learning rate is 0 from the third step of the whole path on.
    np.testing.assert_allclose(path.params[1], path.params[0], rtol=1e-6)
    anew = jaxreg.fit_path(
        loss, jnp.zeros(10), data, jaxreg.L1, decaying, strengths, restart=True, **options
    )
    assert not np.allclose(anew.params[1], anew.params[0], rtol=1e-3)
    up = jaxreg.fit_path(
        loss,
        jnp.zeros(10),
        data,
        jaxreg.L1,
        decaying,
        strengths,
        order="sparse_to_dense",
        **options,
    )
    np.testing.assert_array_equal(up.record["epochs"], [4, 4, 6])


def network(key):
    first, last = jax.random.split(key)
    return {
        "first": {"kernel": jax.random.normal(first, (6, 5)), "bias": jnp.zeros(5)},
        "last": {"kernel": jax.random.normal(last, (5, 1)), "bias": jnp.zeros(1)},
    }


def network_loss(params, rows):
    hidden = jnp.tanh(rows["x"] @ params["first"]["kernel"] + params["first"]["bias"])
    return jnp.mean((hidden @ params["last"]["kernel"] + params["last"]["bias"] - rows["y"]) ** 2)


def noisy_rows(count, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 6)).astype(np.float32)
    return {
        "x": x,
        "y": np.sin(x[:, :1])
        + x[:, 1:2] * x[:, :1]
        + 0.1 * random.normal(size=(count, 1)).astype(np.float32),
    }


def network_path(**options):
    settings = {
        "params": network, "data": noisy_rows(64), "penalty": jaxreg.L1, "optimizer": by_adam,
        "strengths": np.geomspace(1e-3, 1, 6), "epochs": 10, "first_epochs": 60, "batch_size": 16,
        "mask": jaxreg.kernels,
    }  # fmt: skip
    return jaxreg.fit_path(network_loss, **{**settings, **options})


@pytest.fixture(scope="module")
def seeds_path():
    return network_path(
        seeds=2,
        validation=noisy_rows(32, 1),
        refit_epochs=20,
        metrics=lambda params, rows: {"spread": jnp.std(rows["y"])},
    )


def test_a_network_over_seeds(seeds_path):
    record = seeds_path.record
    assert record["objective"].shape == (2, 6)
    kernels = [seeds_path.params[layer]["kernel"] for layer in ("first", "last")]
    np.testing.assert_array_equal(
        record["nonzeros"], sum(np.count_nonzero(k, axis=(2, 3)) for k in kernels)
    )
    np.testing.assert_array_equal(
        record["live_inputs"]["first/kernel"], (kernels[0] != 0).any(3).sum(2)
    )
    np.testing.assert_array_equal(
        record["live_units"]["first/kernel"], (kernels[0] != 0).any(2).sum(2)
    )
    assert (record["nonzeros"][:, 0] > record["nonzeros"][:, -1]).all()
    for seed, at in ((0, 1), (1, 4)):
        params = seeds_path.at(at, seed=seed)
        value = network_loss(params, noisy_rows(64))
        np.testing.assert_allclose(record["loss"][seed, at], value, rtol=1e-5)
        np.testing.assert_allclose(
            record["validation_loss"][seed, at], network_loss(params, noisy_rows(32, 1)), rtol=1e-5
        )
        penalty = jaxreg.L1(seeds_path.strengths[at])
        charged = jaxreg.penalty_value(penalty, params, mask=jaxreg.kernels)
        np.testing.assert_allclose(record["objective"][seed, at], value + charged, rtol=1e-5)
        gradient = jax.grad(network_loss)(params, noisy_rows(64))
        residual = jaxreg.kkt_residual(penalty, params, gradient, mask=jaxreg.kernels)
        np.testing.assert_allclose(record["residual"][seed, at], residual, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(record["spread"], np.std(noisy_rows(32, 1)["y"]), rtol=1e-5)


def test_refitting_keeps_the_zeros_and_lowers_the_loss(seeds_path):
    for layer in ("first", "last"):
        zeros = seeds_path.params[layer]["kernel"] == 0
        assert not seeds_path.refitted[layer]["kernel"][zeros].any()
    assert (seeds_path.record["refitted_loss"][:, 1:5] < seeds_path.record["loss"][:, 1:5]).all()
    refitted = seeds_path.at(2, seed=1, refitted=True)
    np.testing.assert_allclose(
        seeds_path.record["refitted_loss"][1, 2], network_loss(refitted, noisy_rows(64)), rtol=1e-5
    )


def test_labels_and_tables(seeds_path):
    dataset = seeds_path.dataset()
    assert dict(dataset.sizes) == {"seed": 2, "strength": 6}
    # netCDF allows no slash in a name.
    assert float(dataset["live_inputs.first.kernel"].sel(seed=1).isel(strength=0)) > 0
    assert str(seeds_path).splitlines()[0].split()[:2] == ["strength", "epochs"]
    assert len(str(seeds_path).splitlines()) == 8
    assert seeds_path.select("best") == int(np.argmin(seeds_path.record["validation_loss"].mean(0)))
    assert seeds_path.select("one_se") >= seeds_path.select("best")


def test_a_second_pass_is_nowhere_worse():
    once, twice = network_path(), network_path(passes=2)
    assert (twice.record["objective"] <= once.record["objective"]).all()
    assert (twice.record["objective"] < once.record["objective"]).any()
    np.testing.assert_array_equal(twice.record["epochs"], once.record["epochs"] + 10)
    for at in (0, 3, 5):
        params = twice.at(at)
        charged = jaxreg.penalty_value(jaxreg.L1(twice.strengths[at]), params, mask=jaxreg.kernels)
        np.testing.assert_allclose(
            twice.record["objective"][at], network_loss(params, noisy_rows(64)) + charged, rtol=1e-5
        )


def test_patience_ends_a_strength_early():
    path = network_path(validation=noisy_rows(32, 1), patience=3, epochs=200, first_epochs=200)
    assert (path.record["epochs"] < 200).any()
    assert (path.record["epochs"] >= 4).all()


def test_stop_leaves_the_other_strengths_out():
    def few(params):
        return jnp.sum(jnp.any(params["first"]["kernel"] != 0, 1)) <= 3

    path = network_path(stop=few, strengths=np.geomspace(1e-3, 10, 12))
    live = path.record["live_inputs"]["first/kernel"]
    fitted = path.record["fitted"]
    last = np.flatnonzero(fitted)[-1]
    assert 0 < last < 11
    assert live[last] <= 3 < live[last - 1]
    np.testing.assert_array_equal(fitted, np.arange(12) <= last)
    assert np.isnan(path.record["objective"][last + 1 :]).all()
    assert (live[last + 1 :] == -1).all()
    assert np.isfinite(path.at(last)["first"]["kernel"]).all()
    # What came before the stop is the same as without it.
    whole = network_path(strengths=np.geomspace(1e-3, 10, 12)).record["objective"]
    np.testing.assert_allclose(path.record["objective"][: last + 1], whole[: last + 1], rtol=1e-5)


def test_only_some_parameters_are_kept():
    data = {"x": jnp.eye(2), "y": jnp.array([2.0, 1.0])}

    def fit(keep):
        return jaxreg.fit_path(
            loss,
            jnp.zeros(2),
            data,
            jaxreg.L1,
            by_gradient,
            [0.01, 0.1, 0.2],
            epochs=300,
            keep=keep,
        )

    path = fit([0, -1])
    np.testing.assert_array_equal(path.kept, [0, 2])
    np.testing.assert_allclose(path.at(2), [1.6, 0.6], atol=1e-4)
    with pytest.raises(ValueError, match="no parameters; pass keep to fit_path for strength 1"):
        path.at(1)
    assert fit("none").params is None


def test_a_tree_of_penalties_charges_what_it_names():
    def groups(strength):
        inputs = {"kernel": jaxreg.GroupL2(strength, axis=1), "bias": None}
        return {"first": inputs, "last": None}

    path = network_path(penalty=groups, mask=None, strengths=np.geomspace(1e-2, 1, 5))
    live = path.record["live_inputs"]
    assert list(live) == ["first/kernel"]
    assert live["first/kernel"][0] > live["first/kernel"][-1]
    np.testing.assert_array_equal(path.record["nonzeros"], 5 * live["first/kernel"])


@pytest.mark.usefixtures("float64")
def test_a_found_grid_ends_where_all_is_zero():
    data, problem = regression()
    grid = jaxreg.strength_grid(
        loss, jnp.zeros(10), data, jaxreg.L1, by_gradient, epochs=300, count=30
    )
    assert len(grid) == 30
    assert grid[0] == pytest.approx(grid[-1] / 1000)
    assert problem.critical <= grid[-1] <= 2 * problem.critical
    with pytest.raises(
        ValueError, match="expected the penalised parameters to become 0, got 10 that do not"
    ):
        jaxreg.strength_grid(
            loss, jnp.ones(10), data, jaxreg.SquaredL2, by_gradient, start=1e-9, epochs=1
        )
    with pytest.raises(
        ValueError, match="expected a start at which some weights are not 0, got 100"
    ):
        jaxreg.strength_grid(
            loss, jnp.zeros(10), data, jaxreg.L1, by_gradient, start=100, epochs=10
        )


@pytest.mark.usefixtures("float64")
def test_a_found_grid_ends_where_zero_is_the_better_solution():
    data = {"x": jnp.eye(2), "y": jnp.array([6.0, 3.0])}
    scale = 0.1
    grid = jaxreg.strength_grid(
        loss, jnp.zeros(2), data, lambda strength: jaxreg.LogSum(strength, scale),
        functools.partial(jaxreg.prox_sgd, 0.5),
        start=1e-3, epochs=300,
    )  # fmt: skip
    # The larger target by itself, over a fine grid of weights: training keeps it beyond the λ at
    # which zero is the better.
    w = np.linspace(0, 6, 60_001)[1:]
    gain = (6**2 - (w - 6) ** 2) / 4
    worth = np.max(gain / (scale * np.log1p(w / scale)))
    kept = (6 + scale) ** 2 / 8 / scale
    assert worth < 0.7 * kept
    assert worth <= grid[-1] <= worth * 2**0.25 * 1.01


def test_cross_validation_scores_rows_that_were_not_trained_on():
    data, problem = regression()
    data = jax.tree.map(lambda leaf: jnp.asarray(leaf[:101], jnp.float32), data)
    strengths = np.geomspace(problem.critical / 100, problem.critical, 6)
    scores = jaxreg.cross_validate_path(
        loss,
        jnp.zeros(10),
        data,
        jaxreg.L1,
        by_gradient,
        strengths,
        epochs=2000,
        tolerance=1e-3,
        folds=4,
        seeds=2,
    )
    assert scores.record["validation_loss"].shape == (4, 2, 6)
    places = np.random.default_rng(0).permutation(101)
    for fold, at in ((0, 0), (3, 2)):
        held = np.array_split(places, 4)[fold]
        x, y = (np.delete(np.asarray(data[name], float), held, axis=0) for name in ("x", "y"))
        w = problems.elastic_net(x, y, strengths[at])
        expected = np.mean((np.asarray(data["x"])[held] @ w - np.asarray(data["y"])[held]) ** 2) / 2
        np.testing.assert_allclose(
            scores.record["validation_loss"][fold, :, at], expected, rtol=2e-3
        )
    by_fold = scores.record["validation_loss"].astype(float).mean(1)
    np.testing.assert_allclose(scores.mean(), by_fold.mean(0))
    np.testing.assert_allclose(scores.error(), by_fold.std(0, ddof=1) / 2)
    best, simple = scores.select("best"), scores.select()
    assert simple == max(
        np.flatnonzero(scores.mean() <= scores.mean()[best] + scores.error()[best])
    )
    assert dict(scores.dataset().sizes) == {"fold": 4, "seed": 2, "strength": 6}
    assert "4 folds" in str(scores)


def test_a_path_resumes_from_its_folder(tmp_path):
    loaded = []
    first = network_path(seeds=2, folder=tmp_path / "path")
    again = network_path(seeds=3, folder=tmp_path / "path", progress=loaded.append)
    assert loaded == [2, 1]
    jax.tree.map(
        np.testing.assert_array_equal,
        first.params,
        jax.tree.map(lambda leaf: leaf[:2], again.params),
    )
