"""The study of bias: shrinkage against closed forms, refits against least squares, and findings
that follow the datasets.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from problems import elastic_net

import jaxreg
from experiments import linear_models
from experiments.claims import verdict_of
from experiments.studies.bias import claims, figures, headlines, network, regression, table
from experiments.studies.bias.equal import at_share
from experiments.studies.bias.settings import QUICK, Network, Regression, Settings

TRUE = np.array([3.0, -2.0, 0.05, 0.0, 1.0])
SPREAD = np.linspace(-1e-3, 1e-3, 4)
METHODS, FITS = ["L1", "MCP", "log-sum"], list(regression.FITS)
NETWORKS = ["L1", "L1, growing λ", "MCP", "log-sum"]


def orthogonal(rows=50):
    """A design with XᵀX/n = 1 whose targets are exactly X·w*."""
    inputs = (
        np.sqrt(rows) * np.linalg.qr(np.random.default_rng(0).standard_normal((rows, len(TRUE))))[0]
    )
    return jnp.asarray(inputs), jnp.asarray(inputs @ TRUE)


def path(penalty, **kwargs):
    return linear_models.solve_path(*orthogonal(), penalty, 300, **kwargs)


def test_soft_thresholding_shrinks_every_kept_coefficient_by_the_strength(float64):
    strengths = jnp.array([0.1, 0.4])
    weights, _ = path(jaxreg.L1(strengths))
    for found, strength in zip(weights, (0.1, 0.4), strict=True):
        kept = np.abs(TRUE) > strength
        np.testing.assert_array_equal(found != 0, kept)
        np.testing.assert_allclose((np.abs(TRUE) - np.abs(found))[kept], strength, rtol=1e-9)
        assert float(regression.shrinkage(found, jnp.asarray(TRUE))) == pytest.approx(
            strength * 3 / 6, rel=1e-9
        )


def test_concave_penalties_shrink_large_coefficients_less(float64):
    mcp, _ = path(jaxreg.MCP(jnp.array([0.4]), jnp.array([2.0])), momentum=0.0)
    # All kept coefficients are above γλ = 0.8.
    np.testing.assert_allclose(mcp[0], np.where(np.abs(TRUE) > 0.4, TRUE, 0), atol=1e-9)
    assert float(regression.shrinkage(mcp[0], jnp.asarray(TRUE))) == pytest.approx(0, abs=1e-9)
    log_sum, _ = path(jaxreg.LogSum(jnp.array([0.4]), jnp.array([0.5])), momentum=0.0)
    kept = log_sum[0] != 0
    shrunk = (np.abs(TRUE) - np.abs(log_sum[0]))[kept]
    np.testing.assert_allclose(shrunk, 0.4 / (1 + np.abs(log_sum[0])[kept] / 0.5), rtol=1e-8)


def test_nothing_kept_has_no_shrinkage():
    assert np.isnan(regression.shrinkage(jnp.zeros(5), jnp.asarray(TRUE)))
    assert np.isnan(regression.shrinkage(jnp.array([0.0, 0, 0, 1, 0]), jnp.asarray(TRUE)))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_path_does_not_depend_on_momentum(momentum, float64):
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((60, 12))
    targets = inputs @ np.r_[TRUE, np.zeros(7)] + 0.5 * generator.standard_normal(60)
    penalty = jaxreg.L1(jnp.array([0.1]))
    weights, residuals = linear_models.solve_path(
        jnp.asarray(inputs), jnp.asarray(targets), penalty, 3000, momentum=momentum
    )
    np.testing.assert_allclose(weights[0], elastic_net(inputs, targets, 0.1), atol=1e-7)
    assert float(residuals[0]) < 1e-8


def test_a_refit_is_least_squares_on_the_columns_kept(float64):
    generator = np.random.default_rng(1)
    inputs, targets = generator.standard_normal((40, 6)), generator.standard_normal(40)
    start = np.array([[0.5, 0, -0.1, 0, 0, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    found, slopes = regression.refit_path(*map(jnp.asarray, (inputs, targets, start)), 3000)
    for weights, support in zip(found, start != 0, strict=True):
        expected = np.zeros(6)
        expected[support] = np.linalg.lstsq(inputs[:, support], targets)[0]
        np.testing.assert_allclose(weights, expected, atol=1e-9)
        np.testing.assert_array_equal(np.asarray(weights)[~support], 0)
    assert float(slopes.max()) < 1e-9


def test_drawn_data_have_the_stated_signal_noise_and_sizes():
    config = Regression(rows=20_000, correlation=0.6)
    drawn = regression.draw(jax.random.key(0), config)
    sizes = np.sort(np.abs(drawn["true"]))[-config.relevant :]
    assert int((drawn["true"] != 0).sum()) == config.relevant
    np.testing.assert_allclose(sizes / sizes[-1], np.linspace(0.1, 1, config.relevant), rtol=1e-5)
    signal = drawn["inputs"][0] @ drawn["true"]
    assert float(signal.var()) == pytest.approx(1, rel=0.05)
    assert float((drawn["targets"][0] - signal).var()) == pytest.approx(
        1 / config.signal_to_noise, rel=0.05
    )
    assert float(jnp.corrcoef(drawn["inputs"][0][:, :2].T)[0, 1]) == pytest.approx(0.6, abs=0.02)
    assert float(regression.measure(drawn["true"], drawn)["explained"]) == pytest.approx(1)
    assert float(regression.measure(0 * drawn["true"], drawn)["explained"]) == pytest.approx(
        0, abs=1e-5
    )


def test_every_fit_is_chosen_on_validation_data_and_is_stationary(float64):
    config = Regression(seeds=2, rows=60, relevant=4, irrelevant=8, strengths=10, steps=3000)
    found = regression.fit_data_set(jax.random.key(3), {"seed": jnp.array(0)}, None, config)
    assert {
        name: values.shape for name, values in found.items() if name not in ("estimate", "true")
    } == dict.fromkeys(
        ("shrinkage", "explained", "relevant", "irrelevant", "kkt", "chosen"), (3, 3)
    )
    assert float(found["kkt"].max()) < 1e-6
    assert (found["chosen"][:, 0] == found["chosen"][:, 1]).all()
    same_support = (found["estimate"][:, 0] != 0) == (found["estimate"][:, 1] != 0)
    assert same_support.all()
    drawn = regression.draw(jax.random.key(3), config)
    grid = linear_models.grid_of(drawn["inputs"][0], drawn["targets"][0], "L1", 10)
    weights, _ = linear_models.solve_path(
        drawn["inputs"][0], drawn["targets"][0], jaxreg.L1(grid), config.steps
    )
    errors = ((drawn["targets"][1] - weights @ drawn["inputs"][1].T) ** 2).mean(1)
    np.testing.assert_allclose(found["estimate"][0, 0], weights[errors.argmin()], atol=1e-9)


def test_a_growing_strength_ends_at_its_value():
    config = Network(growth=0.5)
    steps = 150 * 6
    schedule = network.growing(jnp.array(2.0), config)
    np.testing.assert_allclose(
        [schedule(count) for count in (0, steps // 4, steps // 2, steps)],
        [0, 0.25, 2, 2],
        rtol=1e-6,
    )


def test_a_network_is_refitted_on_its_support():
    config = QUICK.network
    method = network.Method(jaxreg.L1, (3e-2,), False)
    rows = jax.tree.map(jnp.asarray, network.datasets.digits())
    found = jax.jit(
        lambda key: network.train_network(key, {"strength": jnp.array(3e-2)}, rows, method, config)
    )(jax.random.key(0))
    assert 0 < float(found["kept"]) < 1
    assert float(found["shrinkage"]) > float(found["growth"]) > 0
    assert float(found["refitted_test_loss"]) < float(found["test_loss"])


def regression_dataset(shrinkage, explained, irrelevant):
    """Four seeds whose metrics (method, fit) differ a little."""
    axes = ("seed", "method", "fit")
    metrics = {
        "shrinkage": shrinkage,
        "explained": explained,
        "irrelevant": irrelevant,
        "relevant": np.full((3, 3), 2.0),
    }
    variables = {
        name: (axes, np.asarray(values, float)[None] + SPREAD[:, None, None])
        for name, values in metrics.items()
    }
    true = np.array([[1.0, -2.0, 0.0]] * 4)
    dataset = xr.Dataset(variables, {"method": METHODS, "fit": FITS, "seed": range(4)})
    return dataset.assign(
        kkt=(axes, np.full((4, 3, 3), 1e-9)),
        chosen=(axes, np.full((4, 3, 3), 0.1)),
        true=(("seed", "column"), true),
        estimate=((*axes, "column"), np.broadcast_to(0.9 * true[:, None, None], (4, 3, 3, 3))),
    )


def network_dataset(shrinkage, accuracy, refitted):
    """Four methods at two levels that keep 20 % and 5 % of the weights; 10 % lies halfway on the
    scale of logarithms.
    """
    axes = ("method", "level", "seed")
    kept = np.broadcast_to(np.array([0.2, 0.05])[None, :, None], (4, 2, 4))
    spread = np.zeros((4, 2, 4)) + SPREAD

    def of_methods(values):
        halfway = np.asarray(values, float)[:, None, None]
        return (
            halfway
            + np.array([-0.01, 0.01])[None, :, None]
            + spread * np.array([1, 2, 3, 4])[:, None, None]
        )

    metrics = {
        "shrinkage": shrinkage,
        "test_accuracy": accuracy,
        "refitted_test_accuracy": refitted,
    }
    variables = {name: (axes, of_methods(values)) for name, values in metrics.items()}
    strengths = (("method", "level"), np.tile([0.1, 0.2], (4, 1)))
    dataset = xr.Dataset(
        {**variables, "kept": (axes, kept)},
        {"method": NETWORKS, "strength": strengths, "seed": range(4)},
    )
    return dataset.assign(growth=(axes, np.full((4, 2, 4), 0.1)), share=0.1)


@pytest.fixture
def expected():
    """Results in which the claim holds everywhere."""
    fits = [[0.2, 0.01, 0.0], [0.01, 0.0, 0.0], [0.03, 0.0, 0.0]]
    explained = [[0.8, 0.85, 0.9], [0.95, 0.9, 0.9], [0.93, 0.9, 0.9]]
    paths = regression_dataset(fits, explained, [[9, 9, 3], [2, 2, 2], [3, 3, 3]])
    return {
        "regression": paths,
        "network": network_dataset([0.3, 0.5, 0.12, 0.13], [0.8, 0.7, 0.9, 0.92], [0.9] * 4),
    }


def test_findings_follow_results_in_which_the_claim_holds(expected):
    found = claims.bias(expected)
    assert verdict_of(found) == "supported"
    means = [one.mean for one in found]
    assert means[:6] == pytest.approx([20, 1, 1, -19, 3, -17])
    assert means[6:12] == pytest.approx([5, 10, 15, 13, -7, -6])
    assert means[12:] == pytest.approx([20, 10, 2, -18, 10, 3, -17, 12])
    assert (
        "L1 keeps 2.0 ± 0.0 of 2 relevant and 9.0 ± 0.0 of 1 irrelevant columns" in found[10].tested
    )
    assert "40.0 points for L1 with a λ that grows in the same way" in found[15].tested


def test_findings_follow_results_in_which_the_claim_fails(expected):
    fits = [[0.02, 0.3, 0.0], [0.2, 0.0, 0.0], [0.3, 0.0, 0.0]]
    explained = [[0.95, 0.85, 0.9], [0.8, 0.9, 0.9], [0.9, 0.9, 0.9]]
    paths = regression_dataset(fits, explained, [[2, 2, 2], [9, 9, 9], [8, 8, 8]])
    networks = network_dataset([0.12, 0.1, 0.3, 0.2], [0.9, 0.7, 0.8, 0.7], [0.8] * 4)
    found = claims.bias({"regression": paths, "network": networks})
    assert {one.verdict for one in found} == {"contradicted"}
    # Overestimating by more than the margin is not "undone", and it is no shrinkage of MCP.
    over = expected["regression"].assign(shrinkage=expected["regression"]["shrinkage"] - 0.1)
    verdicts = [one.verdict for one in claims.regression(over)]
    assert verdicts[:3] == ["supported", "contradicted", "supported"]


def test_a_share_that_no_network_brackets_is_not_measured(expected):
    networks = expected["network"]
    verdicts = [one.verdict for one in claims.network(networks.assign(share=0.01))]
    assert set(verdicts) == {"not measured"}
    lost = networks.copy(deep=True)
    lost["kept"][{"method": 3, "level": 0, "seed": 1}] = np.nan
    verdicts = [one.verdict for one in claims.network(lost)]
    assert verdicts == ["supported"] * 5 + ["not measured"] * 3


def test_metrics_are_interpolated_in_the_logarithm_of_the_share():
    kept = np.array([[0.4, 0.4], [0.1, 0.1], [0.0, 0.05]])
    dataset = xr.Dataset(
        {
            "kept": (("method", "level", "seed"), kept[None]),
            "metric": (("method", "level", "seed"), [[[1, 2], [3, 6], [9, 9]]]),
        },
        {"method": ["L1"]},
    )
    np.testing.assert_allclose(at_share(dataset, "metric", "L1", 0.2), [2, 4])
    np.testing.assert_allclose(at_share(dataset, "metric", "L1", 0.05), [np.nan, 9])
    np.testing.assert_array_equal(at_share(dataset, "metric", "L1", 0.5), [np.nan, np.nan])


def test_headlines_table_and_figure_show_the_results(expected):
    found = claims.bias(expected)
    lines = headlines.bias(expected, found)
    assert lines[0].startswith(
        "linear model, relevant coefficients kept are too small by: L1 +20.0 % ["
    )
    assert "log-sum -6.0 columns" in lines[2]
    assert lines[3].startswith("network, 10 % of the weights kept, shrinkage: L1 +20.0 points [")
    assert "log-sum minus L1 +12.0 points" in lines[4]
    rows = table.tabulate(expected).table.rows
    assert rows[1][:3] == ["penalised, λ = 0.1", "20.0 ± 0.0", "80.0 ± 0.0"]
    assert len(rows) == (1 + 3) * 3 + (1 + 2) * 4
    drawn = figures.bias(expected)
    assert [axes.get_xlabel() for axes in drawn.axes] == [
        "true size of the coefficient",
        *["weights kept, %"] * 2,
    ]
    lines = {line.get_label(): line for line in drawn.axes[0].get_lines()}
    np.testing.assert_allclose(lines["MCP"].get_ydata(), [-0.1, -0.2])


def test_a_figure_of_diverged_runs_is_drawn(expected):
    lost = {name: dataset.copy(deep=True) for name, dataset in expected.items()}
    for name in ("kept", "shrinkage", "test_accuracy", "refitted_test_accuracy"):
        lost["network"][name][{"method": 0}] = np.nan
    lost["regression"]["estimate"][{"method": 1}] = 0
    figures.bias(lost).canvas.draw()
    assert table.tabulate(lost).table.rows[13][1] == "diverged"


@pytest.mark.parametrize(
    ("section", "changed", "message"),
    [
        (Regression, {"gamma": 1.0}, "gamma: expected a number above 1"),
        (Regression, {"correlation": 1.0}, "correlation: expected a number from 0 to below 1"),
        (Network, {"share": 1.0}, "share: expected between 0 and 1"),
        (Network, {"l1": (0.1,)}, "the same number of strengths"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(section, changed, message):
    with pytest.raises(Exception, match=message):
        section(**changed)


def test_default_sizes():
    settings = Settings()
    assert regression.count_data_sets(settings) == settings.regression.seeds >= 20
    assert network.count_networks(settings) == 4 * len(settings.network.l1) * settings.network.seeds
