"""The parts of the main study: methods are what they are called, and datasets, tables and figures
agree with the weights.
"""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from flax import nnx
from rich.console import Console

import jaxreg
from experiments import claims, datasets, runner
from experiments.figures import network
from experiments.networks import initial, kernels_of
from experiments.results import store, tables
from experiments.settings import Training
from experiments.studies.l1_l2 import digits, drawing, table
from experiments.studies.l1_l2.effect import BANDS, effect
from experiments.studies.l1_l2.settings import Drawing, Grid, Settings
from experiments.study import Session
from experiments.training import Strengths, accuracy, cross_entropy, optimizer

TINY = Settings(
    hidden=(16,),
    sweep=Grid(seeds=3, l1=(1e-4, 3e-2), l2=(1e-3, 3e-2), decay=(1e-2, 1.0)),
    training=Training(epochs=60),
    drawing=Drawing(steps=300, hidden=4),
)
METHODS = ("coupled L1", "proximal L1", "coupled L2", "decoupled L2")


@pytest.fixture(scope="module")
def swept():
    return digits.train_digits(TINY, Session(devices=2))


@pytest.fixture(scope="module")
def drawn():
    return drawing.stages(drawing.train_wine(TINY, Session()))


def pick(dataset, method, name, level=None):
    """A metric of a method along its levels above 0, or at one of them."""
    metric = dataset[name].sel({"method": method})
    return (
        metric.isel(level=slice(1, None)).values
        if level is None
        else metric.isel(level=level).values
    )


def test_without_strengths_the_chain_is_adam():
    structure, params = initial((6, 4, 3), jax.random.key(0))
    rows = datasets.Rows(jax.random.normal(jax.random.key(1), (20, 6)), jnp.arange(20) % 3)
    schedule = optax.cosine_decay_schedule(1e-2, 30)
    ends = []
    for tx in (optimizer(Strengths(), schedule), optax.adam(schedule)):
        p, state = params, tx.init(params)
        for _ in range(30):
            updates, state = tx.update(
                jax.grad(lambda p: cross_entropy(structure, p, rows))(p), state, p
            )
            p = optax.apply_updates(p, updates)
        ends.append(kernels_of(p))
    for ours, adam in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, adam, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "ready_made"),
    [
        ("proximal_l1", lambda rate: jaxreg.prox_adam(rate, jaxreg.L1(1e-2), mask=jaxreg.kernels)),
        (
            "coupled_l1",
            lambda rate: optax.chain(jaxreg.add_l1(1e-2, mask=jaxreg.kernels), optax.adam(rate)),
        ),
        (
            "coupled_l2",
            lambda rate: optax.chain(
                optax.masked(optax.add_decayed_weights(2e-2), jaxreg.kernels), optax.adam(rate)
            ),
        ),
        ("decoupled_l2", lambda rate: optax.adamw(rate, weight_decay=2e-2, mask=jaxreg.kernels)),
    ],
)
def test_each_method_is_the_optimizer_a_user_would_type(field, ready_made):
    _, params = initial((6, 4, 3), jax.random.key(0))
    gradient = jax.tree.map(jnp.sin, params)
    schedule = optax.cosine_decay_schedule(1e-2, 30)
    ends = []
    for tx in (optimizer(Strengths(**{field: 1e-2}), schedule), ready_made(schedule)):
        p, state = params, tx.init(params)
        for _ in range(10):
            updates, state = tx.update(gradient, state, p)
            p = optax.apply_updates(p, updates)
        ends.append(jnp.concatenate([kernel.ravel() for kernel in kernels_of(p)]))
    np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-6)


def test_the_metrics_agree_with_the_weights(swept):
    layer = swept["weight_layer"].values
    for method in METHODS:
        for level in range(3):
            one = swept.sel({"method": method}).isel(level=level)
            weights, first_seed = one["weights"].values, one.isel(seed=0)
            assert first_seed["zero_fraction"] == pytest.approx((weights == 0).mean(), abs=1e-6)
            assert first_seed["norm"] == pytest.approx(np.linalg.norm(weights), rel=1e-5)
            for number in range(2):
                own = weights[layer == number]
                assert first_seed["layer_norm"].values[number] == pytest.approx(
                    np.linalg.norm(own), rel=1e-5
                )
                assert first_seed["layer_zero_fraction"].values[number] == pytest.approx(
                    (own == 0).mean(), abs=1e-6
                )
            first = weights[layer == 0].reshape(64, 16)
            assert first_seed["live_inputs"] == (first != 0).any(1).sum()
    np.testing.assert_allclose(
        swept["gap"], swept["train_accuracy"] - swept["test_accuracy"], atol=1e-6
    )


def test_only_the_proximal_step_makes_zeros_and_more_of_them_with_strength(swept):
    for method in ("coupled L1", "coupled L2", "decoupled L2"):
        assert (pick(swept, method, "zero_fraction") == 0).all()
    none, low, high = (pick(swept, "proximal L1", "zero_fraction", level) for level in range(3))
    assert (none == 0).all()
    assert (low > 0).all()
    assert (low < high).all()


def test_larger_l2_smaller_norm(swept):
    for method in ("coupled L2", "decoupled L2"):
        norms = [pick(swept, method, "norm", level).mean() for level in range(3)]
        assert norms[2] < norms[1] < norms[0]


def test_the_unpenalised_network_learns(swept):
    assert pick(swept, "coupled L1", "train_accuracy", 0).mean() > 0.9
    assert pick(swept, "coupled L1", "test_accuracy", 0).mean() > 0.8


@pytest.mark.parametrize("devices", [1, 3])
def test_devices_do_not_change_the_numbers(swept, devices):
    alone = digits.train_digits(TINY, Session(devices=devices))
    assert digits.count_networks(TINY) == 27
    # One device is compiled into another program, with rounding errors of its own.
    np.testing.assert_allclose(alone["weights"], swept["weights"], atol=0 if devices > 1 else 2e-3)
    np.testing.assert_allclose(
        alone["test_accuracy"], swept["test_accuracy"], atol=0 if devices > 1 else 2e-3
    )


def test_a_diverged_run_is_named_and_leaves_the_others_alone(swept):
    huge = Settings(
        TINY.hidden,
        TINY.train_size,
        Grid(3, TINY.sweep.l1, TINY.sweep.l2, (1e-2, 1e30)),
        TINY.training,
    )
    broken = digits.train_digits(huge, Session(devices=2))
    lost = broken["diverged"].sel({"method": "decoupled L2"}).isel(level=2)
    assert lost.all()
    metrics = [
        name
        for name, values in broken.data_vars.items()
        if "seed" in values.dims and values.dtype.kind == "f"
    ]
    assert all(
        np.isnan(broken[name].sel({"method": "decoupled L2"}).isel(level=2)).all()
        for name in metrics
    )
    assert int(broken["diverged"].sum()) == 3
    np.testing.assert_array_equal(
        pick(broken, "proximal L1", "norm"), pick(swept, "proximal L1", "norm")
    )
    names = runner.diverged_runs(broken)
    assert len(names) == 3
    assert names[1] == "method decoupled L2, strength 1e+30, seed 1"
    assert runner.diverged_runs(swept) == []


def test_accuracy_of_a_broken_network_is_no_number():
    structure, params = initial((2, 3, 2), jax.random.key(0))
    rows = datasets.Rows(jnp.ones((4, 2)), jnp.zeros(4, jnp.int32))
    assert np.isnan(accuracy(structure, jax.tree.map(lambda p: p * jnp.nan, params), rows))


def test_a_row_is_mean_and_standard_error(swept):
    one = swept.sel({"method": "coupled L2"}).isel(level=1)
    values = 100 * one["test_accuracy"].values
    error = np.sqrt(((values - values.mean()) ** 2).sum() / 2 / 3)
    assert table.row(one, "λ")[2] == f"{values.mean():.1f}±{error:.1f}"
    assert np.isnan(claims.mean_and_error(np.array([1.0]))[1])
    assert np.isnan(claims.mean_and_error(np.array([1.0, np.nan]))[0])


def test_the_table_has_a_row_for_each_setting_and_fits_80_columns(swept):
    console = Console(width=80, record=True, file=io.StringIO())
    sheet = table.tabulate({"digits": swept}).table
    console.print(sheet)
    text = console.export_text()
    assert "…" not in text
    assert text.count("±") >= 9 * 7
    lines = tables.markdown(sheet)
    assert lines[0] == "Digits: mean±standard error over 3 seeds"
    assert sum(line.startswith("| ") for line in lines) == 1 + 1 + 9


def test_drawing_keeps_the_columns_names_and_l1_alone_prunes(drawn):
    assert drawn["input"].values[0] == "alcohol"
    assert drawn["first"].shape == (3, 13, 4)
    zeros = [
        (drawn["first"].sel(stage=stage) == 0).sum().item() for stage in ("before", "L1", "L2")
    ]
    assert zeros[0] == zeros[2] == 0
    assert zeros[1] > 0
    assert (drawn["test_accuracy"] > 0.9).all()


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_drawn_network_leaves_zero_weights_out(drawn):
    figure = network.network_row(drawn, ("before", "L1"))
    for axes, stage in zip(figure.axes, ("before", "L1"), strict=True):
        one = drawn.sel(stage=stage)
        assert len(axes.lines) == int((one["first"] != 0).sum() + (one["second"] != 0).sum())
        widest = max(line.get_linewidth() for line in axes.lines)
        largest = max(float(np.abs(one["first"]).max()), float(np.abs(one["second"]).max()))
        pair = drawn.sel(stage=["before", "L1"])
        everywhere = max(float(np.abs(pair["first"]).max()), float(np.abs(pair["second"]).max()))
        assert widest == pytest.approx(5 * largest / everywhere)
        assert min(line.get_linewidth() for line in axes.lines) >= network.THINNEST
    dead = int((one["first"] == 0).all("hidden").sum())
    greyed = sum(text.get_color() == "#999999" for text in figure.axes[1].texts)
    assert greyed == dead


@pytest.mark.parametrize("method", ["proximal L1", "coupled L2"])
def test_the_effect_shows_the_share_of_every_size_of_weight(swept, method):
    figure = effect({"digits": swept}, method)
    left, *others = figure.axes
    heights = np.array([patch.get_height() for patch in left.patches]).reshape(len(BANDS), 3)
    np.testing.assert_allclose(heights.sum(0), 100, rtol=1e-6)
    zeros = 100 * (swept["weights"].sel({"method": method}) == 0).mean("weight").values
    np.testing.assert_allclose(heights[0], zeros, atol=1e-9)
    assert (heights[0, 1:].max() > 0) == (method == "proximal L1")
    shown = {
        "strength λ",
        "share of the weights, % (seed 0)",
        "exact zeros, %",
        "norm of the kernel",
    }
    assert shown <= set(texts(figure))
    other = effect({"digits": swept}, "decoupled L2")
    assert [axes.get_xlim() for axes in others] == [axes.get_xlim() for axes in other.axes[1:]]


def test_the_bars_count_what_they_show(drawn):
    figure = network.weight_bars(drawn)
    heights = [[patch.get_height() for patch in axes.patches] for axes in figure.axes]
    assert [len(row) for row in heights] == [52, 52, 52]
    assert np.all(np.diff(np.abs(heights[0])) <= 0)
    assert f"{sum(h == 0 for h in heights[1])} exactly 0" in figure.axes[1].get_title(loc="left")


def test_diverged_networks_are_drawn_as_such(swept, drawn):
    weights = swept["weights"].copy()
    weights[{"method": 1, "level": 1}] = np.nan
    assert (
        texts(effect({"digits": swept.assign(weights=weights)}, "proximal L1")).count("diverged")
        == 1
    )
    broken = drawn.copy(deep=True)
    broken["first"].loc[{"stage": "L1"}] = np.nan
    assert any("diverged" in text for text in texts(network.network_row(broken, ("before", "L1"))))
    assert any(
        "L1: diverged, 52 of 52 weights" in text for text in texts(network.weight_bars(broken))
    )


def test_datasets_have_their_provenance_and_named_axes(swept, tmp_path):
    store.save_dataset(
        swept, tmp_path / "digits.nc", store.provenance({"seeds": 3}, "the command", 1.23)
    )
    with xr.open_dataset(tmp_path / "digits.nc", engine="netcdf4") as loaded:
        np.testing.assert_array_equal(loaded["weights"], swept["weights"])
        assert loaded["norm"].dims == ("method", "level", "seed")
        assert loaded["method"].values.tolist() == list(METHODS)
        made_by = json.loads(loaded.attrs["made_by"])
    assert made_by["config"] == {"seeds": 3}
    assert made_by["command"] == "the command"
    assert made_by["versions"]["jax"] == jax.__version__


def test_the_model_is_an_ordinary_nnx_module():
    structure, params = initial((5, 4, 3), jax.random.key(0))
    model = nnx.merge(structure, params)
    assert model(jnp.ones((2, 5))).shape == (2, 3)
    assert [kernel.shape for kernel in kernels_of(params)] == [(5, 4), (4, 3)]


def test_a_single_seed_has_a_value_and_no_standard_error():
    assert table.cell("test_accuracy", 0.5, np.nan) == "50.0"
    assert table.cell("kkt_residual", 1e-3, np.nan) == "1e-03"
    assert table.cell("norm", 1.5, 0.25) == "1.5±0.2"
    assert table.cell("norm", np.nan, np.nan) == "nan±nan"
