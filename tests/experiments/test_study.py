"""The study's parts: one fit is what it says, the engine returns every run, records and figures tell the truth."""

import dataclasses
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
from experiments import data, records, report, verdicts
from experiments.config import Drawing, Study, Sweep, Training
from experiments.figures import effect, network
from experiments.model import initial, kernels_of
from experiments.studies import drawing, l1_l2
from experiments.train import Strengths, accuracy, cross_entropy, fit, optimizer

TINY = Study(
    hidden=(16,),
    sweep=Sweep(seeds=3, l1=(1e-4, 3e-2), l2=(1e-3, 3e-2), decay=(1e-2, 1.0)),
    training=Training(epochs=60),
    drawing=Drawing(steps=300, hidden=4),
)


@pytest.fixture(scope="module")
def swept():
    return l1_l2.sweep(dataclasses.replace(TINY, devices=2), lambda _: None)


@pytest.fixture(scope="module")
def drawn():
    return drawing.draw(TINY.drawing)


def pick(records, method, strength=None):
    chosen = records["method"].values == method
    return chosen if strength is None else chosen & (records["strength"].values == strength)


def test_without_strengths_the_chain_is_adam():
    structure, params = initial((6, 4, 3), jax.random.key(0))
    rows = data.Rows(jax.random.normal(jax.random.key(1), (20, 6)), jnp.arange(20) % 3)
    schedule = optax.cosine_decay_schedule(1e-2, 30)
    ends = []
    for tx in (optimizer(Strengths(), schedule), optax.adam(schedule)):
        p, state = params, tx.init(params)
        for _ in range(30):
            updates, state = tx.update(jax.grad(lambda p: cross_entropy(structure, p, rows))(p), state, p)
            p = optax.apply_updates(p, updates)
        ends.append(kernels_of(p))
    for ours, adam in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, adam, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "ready_made"),
    [
        ("proximal_l1", lambda rate: jaxreg.prox_adam(rate, jaxreg.L1(1e-2), mask=jaxreg.kernels)),
        ("coupled_l1", lambda rate: optax.chain(jaxreg.add_l1(1e-2, mask=jaxreg.kernels), optax.adam(rate))),
        (
            "coupled_l2",
            lambda rate: optax.chain(optax.masked(optax.add_decayed_weights(2e-2), jaxreg.kernels), optax.adam(rate)),
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


def test_the_records_agree_with_the_weights_they_come_with(swept):
    for at, run in enumerate(swept["shown_run"].values):
        weights, layer = swept["weights"].values[at], swept["weight_layer"].values
        assert swept["zero_fraction"].values[run] == pytest.approx((weights == 0).mean(), abs=1e-6)
        assert swept["norm"].values[run] == pytest.approx(np.linalg.norm(weights), rel=1e-5)
        for number in range(2):
            own = weights[layer == number]
            assert swept["layer_norm"].values[run, number] == pytest.approx(np.linalg.norm(own), rel=1e-5)
            assert swept["layer_zero_fraction"].values[run, number] == pytest.approx((own == 0).mean(), abs=1e-6)
        first = weights[layer == 0].reshape(64, 16)
        assert swept["live_inputs"].values[run] == (first != 0).any(1).sum()
    np.testing.assert_allclose(swept["gap"], swept["train_accuracy"] - swept["test_accuracy"], atol=1e-6)


def test_only_the_proximal_step_makes_zeros_and_more_of_them_with_strength(swept):
    for method in ("none", "coupled L1", "coupled L2", "decoupled L2"):
        assert (swept["zero_fraction"].values[pick(swept, method)] == 0).all()
    low, high = (swept["zero_fraction"].values[pick(swept, "proximal L1", strength)] for strength in TINY.sweep.l1)
    assert (low > 0).all()
    assert (low < high).all()


def test_larger_l2_smaller_norm(swept):
    for method in ("coupled L2", "decoupled L2"):
        norms = [
            swept["norm"].values[pick(swept, method, s)].mean()
            for s in np.unique(swept["strength"].values[pick(swept, method)])
        ]
        assert norms[1] < norms[0] < swept["norm"].values[pick(swept, "none")].mean()


def test_the_unpenalised_network_learns(swept):
    assert swept["train_accuracy"].values[pick(swept, "none")].mean() > 0.9
    assert swept["test_accuracy"].values[pick(swept, "none")].mean() > 0.8


@pytest.mark.parametrize("devices", [1, 3])
def test_devices_do_not_change_the_numbers(swept, devices):
    plan = l1_l2.plan(TINY)
    alone = l1_l2.sweep(dataclasses.replace(TINY, devices=devices), lambda _: None)
    assert alone.sizes["run"] == plan.sizes["run"] == 27
    # One device is compiled into another program, with rounding errors of its own.
    np.testing.assert_allclose(alone["weights"], swept["weights"], atol=0 if devices > 1 else 2e-3)
    np.testing.assert_allclose(alone["test_accuracy"], swept["test_accuracy"], atol=0 if devices > 1 else 2e-3)


def test_a_run_of_the_sweep_is_a_fit_by_itself(swept):
    run = int(np.flatnonzero(pick(swept, "proximal L1", 1e-4))[1])
    alone = jax.jit(fit, static_argnums=(3, 4, 5))(
        1, Strengths(proximal_l1=1e-4), data.digits(), (64, 16, 10), 200, TINY.training
    )
    assert float(alone["test_accuracy"]) == pytest.approx(float(swept["test_accuracy"][run]), abs=2e-3)
    assert float(alone["norm"]) == pytest.approx(float(swept["norm"][run]), rel=1e-3)


def test_a_diverged_run_is_named_and_leaves_the_others_alone(swept):
    plan = l1_l2.plan(TINY)
    strengths = l1_l2.strengths_of(plan)
    broken = strengths._replace(coupled_l2=np.where(np.arange(27) == 20, np.nan, strengths.coupled_l2).astype(np.float32))
    results = jaxreg.sweep(
        lambda _, run, rows: fit(*run, rows, (64, 16, 10), 200, TINY.training),
        (plan["seed"].values, broken), data.digits(), devices=2,
    ).outputs  # fmt: skip
    assert np.isnan(results["train_loss"][20])
    assert all(np.isnan(values[20]).all() for name, values in results.items() if name != "weights")
    assert np.isfinite(np.delete(results["train_loss"], 20)).all()
    np.testing.assert_array_equal(np.delete(results["norm"], 20), np.delete(swept["norm"].values, 20))
    marked = swept.assign(run_diverged=("run", ~np.isfinite(results["train_loss"])))
    (name,) = report.diverged(marked)
    method, strength, seed = (plan[key].values[20] for key in ("method", "strength", "seed"))
    assert name == f"{method}, λ = {strength:g}, seed {seed}"


def test_accuracy_of_a_broken_network_is_no_number():
    structure, params = initial((2, 3, 2), jax.random.key(0))
    rows = data.Rows(jnp.ones((4, 2)), jnp.zeros(4, jnp.int32))
    assert np.isnan(accuracy(structure, jax.tree.map(lambda p: p * jnp.nan, params), rows))


def test_summary_is_mean_and_standard_error(swept):
    summary = report.summarise(swept)
    row = int(np.flatnonzero((summary["method"] == "coupled L2") & (summary["strength"] == 1e-3))[0])
    values = swept["test_accuracy"].values[pick(swept, "coupled L2", 1e-3)]
    assert len(values) == 3
    mean, error = summary["test_accuracy"].values[row]
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 2 / 3))
    assert np.isnan(verdicts.mean_and_error(np.array([1.0]))[1])
    assert np.isnan(verdicts.mean_and_error(np.array([1.0, np.nan]))[0])


def test_the_table_has_a_row_for_each_setting_and_fits_80_columns(swept, tmp_path):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.summary_table(swept))
    text = console.export_text()
    assert "…" not in text
    assert text.count("±") >= 9 * 7
    report.write_markdown(swept, "the command", tmp_path / "summary.md")
    lines = (tmp_path / "summary.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "Mean ± standard error over 3 seeds, by `the command`."
    assert sum(line.startswith("| ") for line in lines) == 2 + 9


def test_drawing_keeps_the_columns_names_and_l1_alone_prunes(drawn):
    assert drawn["input"].values[0] == "alcohol"
    assert drawn["first"].shape == (3, 13, 4)
    zeros = [(drawn["first"].sel(stage=stage) == 0).sum().item() for stage in ("before", "L1", "L2")]
    assert zeros[0] == zeros[2] == 0
    assert zeros[1] > 0
    assert (drawn["test_accuracy"] > 0.9).all()


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_drawn_network_leaves_zero_weights_out(drawn):
    figure = network.network_pair(drawn, "L1")
    for axes, stage in zip(figure.axes, ("before", "L1"), strict=True):
        one = drawn.sel(stage=stage)
        assert len(axes.lines) == int((one["first"] != 0).sum() + (one["second"] != 0).sum())
        widest = max(line.get_linewidth() for line in axes.lines)
        largest = max(float(np.abs(one["first"]).max()), float(np.abs(one["second"]).max()))
        everywhere = max(float(np.abs(drawn["first"]).max()), float(np.abs(drawn["second"]).max()))
        assert widest == pytest.approx(5 * largest / everywhere)
    dead = int((one["first"] == 0).all("hidden").sum())
    greyed = sum(text.get_color() == "#999999" for text in figure.axes[1].texts)
    assert greyed == dead


@pytest.mark.parametrize("method", ["proximal L1", "coupled L2"])
def test_the_effect_shows_the_exact_zeros_apart_from_the_bins(swept, method):
    figure = effect.effect(swept, method)
    _, middle, *_ = figure.axes
    widths = [patch.get_width() for patch in middle.patches]
    assert len(widths) == 3
    assert widths[0] == 0
    assert (max(widths) > 0) == (method == "proximal L1")
    assert {"weight", "strength λ", "% of weights", "exact zeros, %", "norm of the kernel"} <= set(texts(figure))


def test_the_bars_count_what_they_show(drawn):
    figure = network.weight_bars(drawn)
    heights = [[patch.get_height() for patch in axes.patches] for axes in figure.axes]
    assert [len(row) for row in heights] == [52, 52, 52]
    assert np.all(np.diff(np.abs(heights[0])) <= 0)
    assert f"{sum(h == 0 for h in heights[1])} exactly 0" in figure.axes[1].get_title(loc="left")


def test_diverged_networks_are_drawn_as_such(swept, drawn):
    run = int(swept["shown_run"][np.flatnonzero(pick(swept, "proximal L1")[swept["shown_run"].values])[0]])
    weights = swept["weights"].copy()
    weights[list(swept["shown_run"].values).index(run)] = np.nan
    assert texts(effect.effect(swept.assign(weights=weights), "proximal L1")).count("diverged") == 1
    broken = drawn.copy(deep=True)
    broken["first"].loc[{"stage": "L1"}] = np.nan
    assert any("diverged" in text for text in texts(network.network_pair(broken, "L1")))
    assert any("L1: diverged, 52 of 52 weights" in text for text in texts(network.weight_bars(broken)))
    assert report.diverged_drawings(broken) == ["the drawn network, L1"]
    assert report.diverged_drawings(drawn) == []


def test_records_carry_what_made_them(swept, tmp_path):
    made_by = records.provenance(TINY, "the command", 1.23)
    records.save_dataset(swept, tmp_path / "digits.nc", made_by)
    with xr.open_dataset(tmp_path / "digits.nc", engine="netcdf4") as loaded:
        np.testing.assert_array_equal(loaded["weights"], swept["weights"])
        np.testing.assert_array_equal(loaded["method"], swept["method"])
        told = json.loads(loaded.attrs["made_by"])
    assert told["config"]["sweep"]["seeds"] == 3
    assert told["command"] == "the command"
    assert told["versions"]["jax"] == jax.__version__
    assert set(told["config"]) == {field.name for field in dataclasses.fields(Study)}


def test_the_model_is_an_ordinary_nnx_module():
    structure, params = initial((5, 4, 3), jax.random.key(0))
    model = nnx.merge(structure, params)
    assert model(jnp.ones((2, 5))).shape == (2, 3)
    assert [kernel.shape for kernel in kernels_of(params)] == [(5, 4), (4, 3)]


def test_a_single_seed_has_a_value_and_no_standard_error():
    assert report.cell("test_accuracy", 0.5, np.nan) == "50.0"
    assert report.cell("kkt_residual", 1e-3, np.nan) == "1e-03"
    assert report.cell("norm", 1.5, 0.25) == "1.5±0.2"
    assert report.cell("norm", np.nan, np.nan) == "nan±nan"
