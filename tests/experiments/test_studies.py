"""The studies behind the claims, on problems with known answers, and the layout of their
datasets.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from problems import elastic_net, group_lasso
from sklearn.linear_model import Ridge

import jaxreg
from experiments import datasets, linear_models, training
from experiments.layout import along_levels, settings_of
from experiments.selection import best_level
from experiments.studies.baselines import pairs, tilt
from experiments.studies.relevance import linear
from experiments.studies.relevance.settings import Linear
from experiments.studies.stability import bootstrap, oscillation
from experiments.studies.stability.settings import Bootstrap, Oscillation
from experiments.studies.strength import proportion, ridge, sweep
from experiments.studies.strength.settings import Ridge as RidgeSettings


def problem(rows=60, features=12, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((rows, features))
    targets = inputs @ np.r_[3.0, -2, 1, np.zeros(features - 3)] + 0.5 * generator.standard_normal(
        rows
    )
    return jnp.asarray(inputs), jnp.asarray(targets)


@pytest.mark.parametrize(
    ("penalty_of", "solve"),
    [
        (jaxreg.L1, elastic_net),
        (
            lambda s: jaxreg.ElasticNet(s / 2, s / 4),
            lambda x, y, s: elastic_net(x, y, s / 2, s / 4),
        ),
        (
            jaxreg.SquaredL2,
            lambda x, y, s: Ridge(alpha=2 * 60 * s, fit_intercept=False).fit(x, y).coef_,
        ),
    ],
)
def test_a_path_is_scikit_learns(penalty_of, solve, float64):
    inputs, targets = problem()
    strengths = np.array([0.03, 0.1, 0.4])
    weights, residuals = linear_models.solve_path(
        inputs, targets, penalty_of(jnp.asarray(strengths)), 2000
    )
    theirs = [solve(np.asarray(inputs), np.asarray(targets), strength) for strength in strengths]
    np.testing.assert_allclose(weights, theirs, atol=1e-7)
    assert residuals.max() < 1e-8


def test_a_path_of_groups_is_scikit_learns(float64):
    # A lasso over tasks with the same design is a group lasso on the design repeated block by
    # block.
    generator = np.random.default_rng(3)
    inputs, targets = generator.standard_normal((40, 6)), generator.standard_normal((40, 3))
    theirs = group_lasso(inputs, targets, 0.1)
    stacked = np.zeros((40, 3, 6, 3))
    for task in range(3):
        stacked[:, task, :, task] = inputs
    wide = jnp.asarray(stacked.reshape(120, 18))
    penalty = jaxreg.GroupL2(jnp.asarray([0.1 / 3]), axis=1)
    weights, _ = linear_models.solve_path(
        wide, jnp.asarray(targets.reshape(120)), penalty, 3000, (-1, 3)
    )
    np.testing.assert_allclose(weights[0].reshape(6, 3), theirs, atol=1e-8)


def test_the_path_ends_where_the_lasso_is_zero():
    inputs, targets = problem()
    weights, _ = linear_models.solve_path(
        inputs, targets, jaxreg.L1(linear_models.grid_of(inputs, targets, "L1", 8)), 2000
    )
    kept = np.count_nonzero(weights, axis=1)
    assert kept[-1] == 0
    assert kept[-2] > 0


def test_ridge_on_an_orthonormal_design_has_its_closed_form():
    assert ridge.orthonormal_deviation(RidgeSettings(seeds=3, rows=30)).max() < 1e-10


def test_power_iteration_finds_the_largest_eigenvalue():
    inputs, _ = problem()
    gram = inputs.T @ inputs / 60
    assert float(linear_models.largest_eigenvalue(gram)) == pytest.approx(
        np.linalg.eigvalsh(gram)[-1], rel=0.02
    )


def test_support_is_counted():
    found = linear_models.support(
        jnp.array([[1.0, 0, 2, 0], [0, 0, 0, 0]]), jnp.array([1.0, 1, 0, 0])
    )
    np.testing.assert_allclose(found["precision"], [0.5, 1])
    np.testing.assert_allclose(found["recall"], [0.5, 0])
    np.testing.assert_allclose(found["f1"], [0.5, 0])
    np.testing.assert_array_equal(found["size"], [2, 0])


def test_mean_jaccard_over_pairs():
    supports = np.random.default_rng(0).random((7, 9)) < 0.4
    supports[0] = supports[1] = False
    sets = [set(np.flatnonzero(row)) for row in supports]
    expected = [
        len(a & b) / len(a | b) if a | b else 1.0 for a, b in itertools.combinations(sets, 2)
    ]
    assert float(bootstrap.mean_jaccard(jnp.asarray(supports))) == pytest.approx(
        np.mean(expected), rel=1e-6
    )


def test_the_corrected_index_is_nogueiras():
    supports = np.random.default_rng(0).random((30, 40)) < np.r_[np.full(10, 0.9), np.full(30, 0.1)]
    p, m, k = supports.mean(0), 30, supports.sum(1).mean()
    expected = 1 - (m / (m - 1) * p * (1 - p)).mean() / (k / 40 * (1 - k / 40))
    assert float(bootstrap.nogueira(jnp.asarray(supports))) == pytest.approx(expected, rel=1e-5)
    assert float(bootstrap.nogueira(jnp.asarray(supports[:1].repeat(5, 0)))) == pytest.approx(1)
    assert float(bootstrap.nogueira(jnp.zeros((5, 4), bool))) == 1
    random = np.random.default_rng(1).random((400, 50)) < 0.7
    assert float(bootstrap.nogueira(jnp.asarray(random))) == pytest.approx(0, abs=0.01)


def test_weights_of_constant_pixels_are_not_counted():
    rows = datasets.Rows(jnp.array([[0.0, 1, 5], [0, 2, 5]]), jnp.array([0, 1]))
    kernels = [jnp.array([[0.0, 0], [0, 1], [2, 0]]), jnp.array([[0.0], [1]])]
    found = sweep.count_varying(kernels, rows)
    assert (float(found["varying_weights"]), float(found["varying_zeros"])) == (2 + 2, 1 + 1)


def test_drawn_data_have_the_stated_signal_and_noise():
    config = Linear(features=50, rows=20_000)
    drawn = linear.draw(jax.random.key(0), config, 0.8, jnp.eye(50))
    assert int((drawn["true"] != 0).sum()) == 10
    signal = drawn["inputs"][0] @ drawn["true"]
    assert float(signal.var()) == pytest.approx(1, rel=0.05)
    assert float((drawn["targets"][0] - signal).var()) == pytest.approx(1 / 3, rel=0.05)
    blocks = bootstrap.draw(jax.random.key(1), Bootstrap(rows=20_000), 0.95)
    together = np.corrcoef(blocks["inputs"][0][:, :10].T)
    assert together[0, 4] == pytest.approx(0.95, abs=0.02)
    assert together[0, 5] == pytest.approx(0, abs=0.03)
    assert float((blocks["inputs"][0] @ blocks["true"]).var()) == pytest.approx(1, rel=0.05)


def test_irrelevant_columns_are_shuffled_pixels():
    rows = datasets.digits()
    noisy, other = (datasets.with_noise(rows, 70, seed) for seed in (0, 1))
    np.testing.assert_array_equal(noisy[:, :64], rows.inputs)
    varying = np.flatnonzero(np.ptp(rows.inputs, 0))
    for column in (0, 20, 66):
        source = rows.inputs[:, varying[column % len(varying)]]
        np.testing.assert_array_equal(np.sort(noisy[:, 64 + column]), np.sort(source))
        assert (noisy[:, 64 + column] != source).any()
    assert (np.ptp(noisy[:, 64:], 0) > 0).all()
    assert (noisy != other).any()
    assert abs(np.corrcoef(noisy[:, 64 + 20], noisy[:, 64 + 21])[0, 1]) < 0.1


def test_exactly_the_share_of_labels_is_wrong():
    rows = datasets.Rows(jnp.zeros((200, 1)), jnp.arange(200) % 10)
    wrong = training.mislabelled(jax.random.key(0), rows, 0.2)
    assert int((wrong.labels != rows.labels).sum()) == 40
    assert wrong.labels.min() >= 0
    assert wrong.labels.max() <= 9
    np.testing.assert_array_equal(
        training.mislabelled(jax.random.key(0), rows, 0.0).labels, rows.labels
    )


def test_proportion_of_known_weights():
    start = np.array([1.0, -2, 4, 8])
    found = proportion.proportion(
        np.stack([start, 0.5 * start, np.array([0.5, 1, 2, 4]), np.zeros(4)])[:, None, None]
    )
    np.testing.assert_allclose(found["factor"][:, 0, 0], [1, 0.5, (0.5 - 2 + 8 + 32) / 85, 0])
    np.testing.assert_allclose(found["near_factor"][1:, 0, 0], [1, 0, 1])
    np.testing.assert_allclose(found["smaller"][:, 0, 0], [0, 1, 1, 1])
    np.testing.assert_allclose(found["explained"][[0, 1, 3], 0, 0], [1, 1, 1])
    assert found["explained"][2, 0, 0] < 0.95


def test_levels_share_the_unpenalised_run():
    methods = {"L1": ("proximal_l1", (0.1, 0.2)), "L2": ("coupled_l2", (1.0, 2.0))}
    settings, places, levels = settings_of(methods)
    np.testing.assert_allclose(settings.proximal_l1, [0, 0.1, 0.2, 0, 0])
    np.testing.assert_allclose(settings.coupled_l2, [0, 0, 0, 1, 2])
    dataset = along_levels({"metric": np.arange(5.0)[:, None]}, places, levels, ("seed",), {})
    np.testing.assert_array_equal(dataset["metric"].sel({"method": "L2"}).values.ravel(), [0, 3, 4])
    np.testing.assert_array_equal(dataset["strength"].sel({"method": "L2"}), [0, 1, 2])


def test_the_best_level_is_the_largest_of_equals_and_never_a_diverged_run():
    metric = xr.DataArray([[9.0, 9], [1, 2], [3, np.nan], [3, 1]], dims=("level", "seed"))
    dataset = metric.to_dataset(name="metric")
    np.testing.assert_array_equal(best_level(dataset, "metric"), [3, 1])
    np.testing.assert_array_equal(best_level(dataset, "metric", largest=False), [1, 3])


def test_coupled_steps_oscillate_and_proximal_steps_come_to_rest():
    config = Oscillation(steps=500, watched=50)

    def loss(params):
        return 0.5 * jnp.sum(jnp.square(params["kernel"] - jnp.array([[0.02, 1.0]])))

    start = {"kernel": jnp.full((1, 2), 0.7)}
    none, coupled, proximal = (
        oscillation.measure_oscillation(
            loss, start, oscillation.make_optimizer("SGD", method, 0.1, 0.1), config
        )
        for method in oscillation.METHODS
    )
    # One of two weights is 0 in the solution; it crosses 0 in almost every step of 0.1 · 0.1.
    assert 25 < float(coupled["sign_changes"]) <= 50
    assert all(
        float(quiet[name]) == 0
        for quiet in (none, proximal)
        for name in ("sign_changes", "support_changes")
    )
    assert float(proximal["largest_step"]) < 1e-6 < float(coupled["largest_step"])


def test_changes_of_sign_and_of_support_are_counted():
    # Of three weights one changes its sign, one becomes 0 and one stays: over two steps, back and
    # forth.
    ends = jnp.array([[[1.0], [2.0], [3.0]], [[-1.0], [0.0], [3.0]]])

    def update(updates, state, params=None):
        return {"kernel": ends[state] - params["kernel"]}, 1 - state

    tx = optax.GradientTransformation(lambda _: jnp.array(1), update)
    found = oscillation.measure_oscillation(
        lambda p: 0.0 * p["kernel"].sum(), {"kernel": ends[0]}, tx, Oscillation(steps=2, watched=4)
    )
    assert float(found["sign_changes"]) == pytest.approx(100 / 3)
    assert float(found["support_changes"]) == pytest.approx(100 / 3)
    assert float(found["largest_step"]) == pytest.approx(2 / 3)


def test_the_best_strength_is_the_vertex_of_a_parabola():
    strengths = np.logspace(-3, 1, 9)
    vertices = np.array([-1.2, 0.1, -2.9, 2.0])
    losses = (np.log10(strengths)[:, None] - vertices) ** 2
    np.testing.assert_allclose(tilt.best_strength(losses, strengths)[:2], vertices[:2])
    assert np.isnan(tilt.best_strength(losses, strengths)[2:]).all()
    losses[:, 0] = np.nan
    assert np.isnan(tilt.best_strength(losses, strengths)[0])


def tilted(**best):
    """Methods whose log best λ is a line over the log learning rate; at the last rate λ makes no
    difference.
    """
    rates, strengths = np.logspace(-3, -1, 5), np.logspace(-6, 3, 46)
    logs = np.log10(rates)
    losses = []
    for slope, offset in best.values():
        distance = np.log10(strengths)[:, None] - (slope * logs + offset)
        losses.append(np.where(logs == logs[-1], 1, 1 + 0.1 * distance**2))
    return xr.Dataset(
        {
            "test_loss": (
                ("method", "level", "rate", "seed"),
                np.repeat(np.array(losses)[..., None], 3, -1),
            )
        },
        {
            "method": list(best),
            "strength": (("method", "level"), np.repeat(strengths[None], len(best), 0)),
            "rate": rates,
        },
    )


def test_known_slopes_are_found_at_rates_with_a_best_strength():
    dataset = tilted(one=(-0.7, -3.2), other=(0.3, -1.0))
    used = tilt.usable_rates(dataset, 0.05)
    np.testing.assert_array_equal(used, [True] * 4 + [False])
    dataset = dataset.assign(used=("rate", used))
    np.testing.assert_allclose(tilt.slopes(dataset, "one"), -0.7, rtol=1e-9)
    np.testing.assert_allclose(tilt.slopes(dataset, "other"), 0.3, rtol=1e-9)
    # A rate at which one method's best λ lies outside its grid is used for no method.
    outside = tilt.usable_rates(tilted(one=(-0.7, -3.2), other=(3.0, 8.0)), 0.05)
    np.testing.assert_array_equal(outside, [True] * 3 + [False] * 2)
    few = dataset.assign(used=("rate", used & (np.arange(5) < 2)))
    assert np.isnan(tilt.slopes(few, "one")).all()


def test_decay_by_hand_after_adam_is_adamw():
    params = {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.ones(4)}
    schedule = optax.cosine_decay_schedule(1e-2, 20)
    ends = []
    for tx in (
        optax.chain(optax.adam(schedule), pairs.decay_by_hand(0.3, schedule)),
        optax.adamw(schedule, weight_decay=0.3, mask=jaxreg.kernels),
    ):
        p, state = params, tx.init(params)
        for step in range(20):
            updates, state = tx.update(
                jax.tree.map(lambda w, n=step: jnp.sin(5 * w + n), p), state, p
            )
            p = optax.apply_updates(p, updates)
        ends.append(p)
    for ours, theirs in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-7)
