"""The studies behind the claims against known answers, and the judges on records whose verdict is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from sklearn.linear_model import ElasticNet, Lasso, MultiTaskLasso, Ridge

import jaxreg
from experiments import data
from experiments.claims import baselines as baseline_claims
from experiments.claims import relevance as relevance_claims
from experiments.claims import stability as stability_claims
from experiments.claims import strength as strength_claims
from experiments.config import QUICK_BASELINES, QUICK_CLAIMS, ChatterStudy, LinearStudy
from experiments.studies import chatter, linear, pairs, relevance, stability, strength, tilt
from experiments.studies.layout import along_levels, chosen, settings_of


def problem(rows=60, features=12, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((rows, features))
    targets = inputs @ np.r_[3.0, -2, 1, np.zeros(features - 3)] + 0.5 * generator.standard_normal(rows)
    return jnp.asarray(inputs), jnp.asarray(targets)


def sklearn_coefficients(make, inputs, targets, strengths):
    settings = {"fit_intercept": False, "tol": 1e-12, "max_iter": 100_000}
    return [make(strength, settings).fit(inputs, targets).coef_ for strength in strengths]


@pytest.mark.parametrize(
    ("penalty_of", "make"),
    [
        (jaxreg.L1, lambda s, kw: Lasso(alpha=s, **kw)),
        (lambda s: jaxreg.ElasticNet(s / 2, s / 4), lambda s, kw: ElasticNet(alpha=s, l1_ratio=0.5, **kw)),
        (jaxreg.SquaredL2, lambda s, _: Ridge(alpha=2 * 60 * s, fit_intercept=False)),
    ],
)
def test_a_path_is_scikit_learns(penalty_of, make, float64):
    inputs, targets = problem()
    strengths = np.array([0.03, 0.1, 0.4])
    weights, residuals = linear.path(inputs, targets, penalty_of(jnp.asarray(strengths)), 2000)
    theirs = sklearn_coefficients(make, np.asarray(inputs), np.asarray(targets), strengths)
    np.testing.assert_allclose(weights, theirs, atol=1e-7)
    assert residuals.max() < 1e-8


def test_a_path_of_groups_is_scikit_learns(float64):
    # A lasso over tasks with the same design is a group lasso on the design repeated block by block.
    generator = np.random.default_rng(3)
    inputs, targets = generator.standard_normal((40, 6)), generator.standard_normal((40, 3))
    theirs = MultiTaskLasso(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(inputs, targets).coef_.T
    stacked = np.zeros((40, 3, 6, 3))
    for task in range(3):
        stacked[:, task, :, task] = inputs
    wide = jnp.asarray(stacked.reshape(120, 18))
    penalty = jaxreg.GroupL2(jnp.asarray([0.1 / 3]), axis=1)
    weights, _ = linear.path(wide, jnp.asarray(targets.reshape(120)), penalty, 3000, (-1, 3))
    np.testing.assert_allclose(weights[0].reshape(6, 3), theirs, atol=1e-8)


def test_the_path_ends_where_the_lasso_is_zero():
    inputs, targets = problem()
    weights, _ = linear.path(inputs, targets, jaxreg.L1(linear.grid_of(inputs, targets, "L1", 8)), 2000)
    kept = np.count_nonzero(weights, axis=1)
    assert kept[-1] == 0
    assert kept[-2] > 0


def test_ridge_on_an_orthonormal_design_has_its_closed_form():
    assert linear.orthonormal_deviation(LinearStudy(seeds=3, rows=30)).max() < 1e-10


def test_power_iteration_finds_the_largest_eigenvalue():
    inputs, _ = problem()
    gram = inputs.T @ inputs / 60
    assert float(linear.largest_eigenvalue(gram)) == pytest.approx(np.linalg.eigvalsh(gram)[-1], rel=0.02)


def test_support_is_counted():
    found = linear.support(jnp.array([[1.0, 0, 2, 0], [0, 0, 0, 0]]), jnp.array([1.0, 1, 0, 0]))
    np.testing.assert_allclose(found["precision"], [0.5, 1])
    np.testing.assert_allclose(found["recall"], [0.5, 0])
    np.testing.assert_allclose(found["f1"], [0.5, 0])
    np.testing.assert_array_equal(found["size"], [2, 0])


def test_mean_jaccard_over_pairs():
    supports = np.random.default_rng(0).random((7, 9)) < 0.4
    supports[0] = supports[1] = False
    sets = [set(np.flatnonzero(row)) for row in supports]
    expected = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in itertools.combinations(sets, 2)]
    assert float(stability.mean_jaccard(jnp.asarray(supports))) == pytest.approx(np.mean(expected), rel=1e-6)


def test_drawn_data_have_the_signal_and_the_noise_that_they_say():
    config = LinearStudy(features=50, rows=20_000)
    drawn = linear.draw(jax.random.key(0), config, 0.8, jnp.eye(50))
    assert int((drawn["true"] != 0).sum()) == 10
    signal = drawn["inputs"][0] @ drawn["true"]
    assert float(signal.var()) == pytest.approx(1, rel=0.05)
    assert float((drawn["targets"][0] - signal).var()) == pytest.approx(1 / 3, rel=0.05)
    blocks = stability.draw(jax.random.key(1), LinearStudy(rows=20_000), 0.95)
    together = np.corrcoef(blocks["inputs"][0][:, :10].T)
    assert together[0, 4] == pytest.approx(0.95, abs=0.02)
    assert together[0, 5] == pytest.approx(0, abs=0.03)
    assert float((blocks["inputs"][0] @ blocks["true"]).var()) == pytest.approx(1, rel=0.05)


def test_irrelevant_columns_are_shuffled_pixels():
    rows = data.digits()
    noisy, other = (data.with_noise(rows, 70, seed) for seed in (0, 1))
    np.testing.assert_array_equal(noisy[:, :64], rows.inputs)
    np.testing.assert_array_equal(np.sort(noisy[:, 64 + 20]), np.sort(rows.inputs[:, 20]))
    np.testing.assert_array_equal(np.sort(noisy[:, 64 + 66]), np.sort(rows.inputs[:, 2]))
    assert (noisy[:, 64 + 20] != rows.inputs[:, 20]).any()
    assert (noisy != other).any()
    assert abs(np.corrcoef(noisy[:, 64 + 20], noisy[:, 64 + 21])[0, 1]) < 0.1


def test_exactly_the_share_of_labels_is_wrong():
    rows = data.Rows(jnp.zeros((200, 1)), jnp.arange(200) % 10)
    wrong = strength.mislabelled(jax.random.key(0), rows, 0.2)
    assert int((wrong.labels != rows.labels).sum()) == 40
    assert wrong.labels.min() >= 0
    assert wrong.labels.max() <= 9
    np.testing.assert_array_equal(strength.mislabelled(jax.random.key(0), rows, 0.0).labels, rows.labels)


def test_proportion_of_known_weights():
    start = np.array([1.0, -2, 4, 8])
    found = strength.proportion(np.stack([start, 0.5 * start, np.array([0.5, 1, 2, 4]), np.zeros(4)])[:, None, None])
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
    records = along_levels({"metric": np.arange(5.0)[:, None]}, places, levels, ("seed",), {})
    np.testing.assert_array_equal(records["metric"].sel(way="L2").values.ravel(), [0, 3, 4])
    np.testing.assert_array_equal(records["strength"].sel(way="L2"), [0, 1, 2])


def test_validation_rows_choose_the_largest_of_equals_and_no_diverged_run():
    metric = xr.DataArray([[9.0, 9], [1, 2], [3, np.nan], [3, 1]], dims=("level", "seed"))
    records = metric.to_dataset(name="metric")
    np.testing.assert_array_equal(chosen(records, "metric"), [3, 1])
    np.testing.assert_array_equal(chosen(records, "metric", largest=False), [1, 3])


def test_coupled_steps_chatter_and_proximal_ones_rest():
    config = ChatterStudy(steps=500, watched=50)

    def loss(params):
        return 0.5 * jnp.sum(jnp.square(params["kernel"] - jnp.array([[0.02, 1.0]])))

    start = {"kernel": jnp.full((1, 2), 0.7)}
    coupled, proximal = (
        chatter.watch(loss, start, chatter.optimizer("SGD", way, 0.1, 0.1), config) for way in ("coupled", "proximal")
    )
    # One of two weights is 0 in the solution; it crosses 0 in almost every step of 0.1 · 0.1.
    assert 25 < float(coupled["sign_changes"]) <= 50
    assert float(coupled["zeros"]) == 0
    assert (float(proximal["sign_changes"]), float(proximal["zeros"])) == (0, 0.5)
    assert float(proximal["largest_step"]) < 1e-6 < float(coupled["largest_step"])


def test_the_best_strength_is_the_vertex_of_a_parabola():
    strengths = np.logspace(-3, 1, 9)
    vertices = np.array([-1.2, 0.1, -2.9, 2.0])
    losses = (np.log10(strengths)[:, None] - vertices) ** 2
    np.testing.assert_allclose(tilt.best_strength(losses, strengths)[:2], vertices[:2])
    assert np.isnan(tilt.best_strength(losses, strengths)[2:]).all()
    losses[:, 0] = np.nan
    assert np.isnan(tilt.best_strength(losses, strengths)[0])


def test_a_known_tilt_is_found():
    rates, strengths = np.logspace(-3, -1, 5), np.logspace(-4, 1, 26)
    best = -0.7 * np.log10(rates) - 3.2
    losses = (np.log10(strengths)[:, None] - best) ** 2
    records = xr.Dataset(
        {"test_loss": (("way", "level", "rate", "seed"), np.repeat(losses[None, ..., None], 3, -1))},
        {"way": ["one"], "strength": (("way", "level"), strengths[None]), "rate": rates},
    )
    slopes, known, total = tilt.tilts(records, "one")
    np.testing.assert_allclose(slopes, -0.7, rtol=1e-9)
    assert (known, total) == (15, 15)


def test_decay_by_hand_behind_adam_is_adamw():
    params = {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.ones(4)}
    schedule = optax.cosine_decay_schedule(1e-2, 20)
    ends = []
    for tx in (
        optax.chain(optax.adam(schedule), pairs.by_hand(0.3, schedule)),
        optax.adamw(schedule, weight_decay=0.3, mask=jaxreg.kernels),
    ):
        p, state = params, tx.init(params)
        for step in range(20):
            updates, state = tx.update(jax.tree.map(lambda w, n=step: jnp.sin(5 * w + n), p), state, p)
            p = optax.apply_updates(p, updates)
        ends.append(p)
    for ours, theirs in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-7)


def test_pairs_that_are_one_update_stay_together_and_others_part(records):
    end = records[0]["pairs"].isel(epoch=-1)
    apart = {str(name): end["decay_distance"].sel(decay_pair=name).values for name in end["decay_pair"].values}
    assert apart["SGD"].max() < 1e-14
    assert apart["SGD, momentum 0.9"].min() > 1e-4
    assert apart["Adam"].min() > 1e-2
    scaled = {str(name): end["scale_distance"].sel(scale_pair=name).values for name in end["scale_pair"].values}
    for name, values in scaled.items():
        assert values.max() < 1e-3 if "100·λ" in name or name.startswith("AdamW") else values.min() > 1e-2, name


def relevance_records(accuracy, live_noise, live_pixels=30.0):
    """Records along (way, level, share, seed): per way, the accuracies and the irrelevant inputs of each level."""
    shape = (2, 3, 2, 4)
    spread = np.linspace(-0.001, 0.001, 4)
    table = np.asarray(accuracy)[:, :, None, None] + np.zeros(shape) + spread
    noise = np.asarray(live_noise, float)[:, :, None, None] + np.zeros(shape)
    axes = ("way", "level", "share", "seed")
    return xr.Dataset(
        {
            "test_accuracy": (axes, table),
            "validation_accuracy": (axes, table),
            "live_noise": (axes, noise),
            "live_pixels": (axes, np.full(shape, live_pixels)),
        },
        {
            "way": ["L1", "group L2"],
            "share": [0.0, 0.9],
            "noise": ("share", [0, 100]),
            "pixels": ("share", [60, 60]),
            "strength": (("way", "level"), [[0, 0.1, 0.2]] * 2),
        },
    )


@pytest.mark.parametrize(
    ("noise", "verdict"), [([[100, 80, 60], [100, 40, 10]], "supported"), ([[100, 40, 10], [100, 80, 60]], "contradicted")]
)
def test_groups_are_judged_at_matched_accuracy(noise, verdict):
    # The strongest setting of each way is too inaccurate to be compared, so the middle one is.
    records = relevance_records([[0.8, 0.9, 0.7], [0.8, 0.9, 0.7]], noise)
    found = relevance_claims.groups({"relevance": records})
    assert found[0].verdict == verdict
    gap = noise[1][1] - noise[0][1]
    assert found[0].mean == pytest.approx(gap)
    assert found[1].verdict == verdict
    assert found[2].verdict == "supported"
    assert found[2].mean == pytest.approx(0)


def test_where_lines_cross():
    shares = np.array([0.0, 0.5, 0.9])
    assert relevance_claims.crossing_of(np.array([-1.0, 1.0, 2.0]), shares) == pytest.approx(0.25)
    assert np.isnan(relevance_claims.crossing_of(np.array([1.0, 2.0, 3.0]), shares))
    assert np.isnan(relevance_claims.crossing_of(np.array([-3.0, -2.0, -1.0]), shares))
    certain = relevance_claims.crossing("m", np.array([[-1.0] * 4, [1.0] * 4, [2.0] * 4]), shares)
    assert certain.verdict == "supported"
    assert certain.numbers == "at 25 % [25, 25]"
    assert relevance_claims.crossing("m", np.ones((3, 4)), shares).verdict == "not supported"
    assert relevance_claims.crossing("m", np.full((3, 4), np.nan), shares).verdict == "not measured"


STUDIES = {
    "strength": (strength, QUICK_CLAIMS.strength),
    "relevance": (relevance, QUICK_CLAIMS.relevance),
    "linear": (linear, QUICK_CLAIMS.linear),
    "stability": (stability, QUICK_CLAIMS.linear),
    "chatter": (chatter, QUICK_CLAIMS.chatter),
    "pairs": (pairs, QUICK_BASELINES.pairs),
    "tilt": (tilt, QUICK_BASELINES.tilt),
}
SPECS = (*strength_claims.SPECS, *relevance_claims.SPECS, *stability_claims.SPECS, *baseline_claims.SPECS)


@pytest.fixture(scope="module")
def records():
    """Every study in its small version, and how many runs each told its progress."""
    found, told = {}, {}
    for name, (study, settings) in STUDIES.items():
        done = []
        found[name] = study.sweep(settings, 2, None, done.append)
        told[name] = sum(done)
    return found, told


@pytest.fixture(scope="module")
def swept(records):
    return records[0]["strength"]


def test_every_study_counts_its_runs(records):
    for name, (study, settings) in STUDIES.items():
        assert records[1][name] == study.runs(settings), name


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_claim_has_findings_and_a_figure(spec, records):
    found = spec.judge(records[0])
    assert len(found) >= 3
    assert all(one.statement.endswith(".") and one.numbers and one.tested for one in found)
    figure = spec.figure(records[0])
    figure.canvas.draw()
    assert all(axes.get_xlabel() or axes.get_title() or axes.get_ylabel() for axes in figure.axes)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_where_every_run_diverged_nothing_is_measured(spec, records):
    broken = {
        name: one.map(lambda values: values * np.nan if values.dtype.kind == "f" else values)
        for name, one in records[0].items()
    }
    found = spec.judge(broken)
    assert {one.verdict for one in found} == {"not measured"}
    spec.figure(broken).canvas.draw()


def test_zeros_are_judged_by_the_records(swept):
    found = strength_claims.zeros({"strength": swept})
    assert found[0].verdict == "supported"
    assert [one.numbers.split()[0] for one in found[1:]] == ["0", "0"]
    # The same records with the ways' zeros exchanged must turn every verdict.
    of = swept["zero_fraction"]
    turned = swept.assign(zero_fraction=of.sel(way="coupled L1", drop=True).expand_dims(way=swept["way"]))
    assert strength_claims.zeros({"strength": turned})[0].verdict == "not supported"
    proximal = of.sel(way="proximal L1", drop=True).expand_dims(way=swept["way"])
    assert [one.verdict for one in strength_claims.zeros({"strength": swept.assign(zero_fraction=proximal)})[1:]] == [
        "contradicted",
        "contradicted",
    ]


def test_a_diverged_run_leaves_its_claim_unmeasured(swept):
    broken = swept.copy(deep=True)
    broken["norm"][{"way": 3, "level": 2, "wrong": 0, "seed": 1}] = np.nan
    found = strength_claims.norm({"strength": broken})
    assert [one.verdict == "not measured" for one in found] == [False, True, False]
