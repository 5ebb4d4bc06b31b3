"""Accuracy against weights kept: rivals, choosing settings, findings, and the command from end to end."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from idx_files import write_folder
from processes import run, start

from experiments import datasets, idx, selection
from experiments.settings import SettingError
from experiments.studies.images import STUDY, claims, figures, fit, methods, results, strengths, tradeoff
from experiments.studies.images import sweep as images
from experiments.studies.images.settings import Settings
from experiments.study import Session

TINY = ["--seeds", "2", "--l1", "1e-3", "1e-1", "--penalties", "L1", "L0", "--repeated", "L1", "L0", "--l0", "1e-2"]
TINY += ["--decay", "0", "--hidden", "8", "--batch-size", "20", "--epochs", "60", "--refit-epochs", "20"]
TINY += ["--validation-size", "30", "--learning-rates", "0.02", "--shares", "0.5", "0.05", "--few-shares", "0.5", "0.05"]
TINY += ["--unit-shares", "0.5", "0.25", "--cache", "None"]
SMALL = {"seeds": 2, "l1": (1e-3, 1e-1), "penalties": ("L1", "L0"), "repeated": ("L1", "L0"), "l0": (1e-2,), "decay": (0,)}
SMALL |= {"learning_rates": (0.02,), "shares": (0.5, 0.05), "few_shares": (0.5, 0.05)}


def dataset_of(settings, seeds=4):
    """A hand-made dataset from settings (method, strength, kept, validation, test), with a small spread over the seeds."""
    spread = np.linspace(-0.002, 0.002, seeds)
    names, strengths, kept, validation, test = zip(*settings, strict=True)
    shape = (len(settings), seeds)
    axes = ("setting", "seed")
    return xr.Dataset(
        {
            "kept": (axes, np.array(kept)[:, None] + np.zeros(shape)),
            "validation_accuracy": (axes, np.array(validation)[:, None] + spread),
            "test_accuracy": (axes, np.array(test)[:, None] + spread),
            "live": ((*axes, "layer"), np.ones((*shape, 3))),
        },
        {
            "method": ("setting", list(names)),
            "strength": ("setting", list(strengths)),
            "share": ("setting", list(kept)),
            "decay": ("setting", np.where(np.array(names) == "AdamW", strengths, 0)),
            "learning_rate": ("setting", np.full(len(settings), 1e-3)),
            "role": ("setting", ["main"] * len(settings)),
            "repeats": ("setting", [seeds] * len(settings)),
        },
    )


SETTINGS = [
    ("AdamW", 0.0, 1.0, 0.90, 0.89),
    ("AdamW", 0.1, 1.0, 0.92, 0.90),
    ("L1, constant", 1e-4, 0.4, 0.9205, 0.901),
    ("L1, constant", 1e-3, 0.08, 0.9198, 0.902),
    ("L1, constant", 1e-2, 0.01, 0.88, 0.86),
    ("L1, steered", 0, 0.05, 0.90, 0.88),
    ("L1, steered", 0, 0.01, 0.88, 0.86),
    ("L0, steered", 0, 0.05, 0.91, 0.90),
    ("L0, steered", 0, 0.01, 0.90, 0.88),
    ("gradual magnitude pruning", 0, 0.05, 0.90, 0.89),
    ("gradual magnitude pruning", 0, 0.01, 0.88, 0.89),
]


def test_validation_chooses_and_the_sparsest_within_one_error_is_found():
    dataset = dataset_of(SETTINGS)
    curves = tradeoff.curves_of(dataset)
    base = selection.best(curves["AdamW"])
    assert base.label == "decay 0.1, rate 0.001"
    # Spread ±0.002 in even steps over four seeds: the standard error is 0.00086.
    assert selection.one_standard_error_below(base) == pytest.approx(0.92 - 0.0008607, abs=1e-6)
    least = selection.one_standard_error_below(base)
    assert selection.sparsest(curves["L1, constant"], least).label == "λ = 0.001"
    assert selection.sparsest(curves["L1, steered"], least) is None
    said = claims.answer(dataset)
    chosen = "L1, constant, λ = 0.001, with 8.00 ± 0.00 % of the weights and a test accuracy of 90.20 ± 0.09 %"
    assert f"within one standard error of it is {chosen}, and the sparsest within one point" in said
    assert "L0, steered, target 5 %, with 5.00 ± 0.00 % of the weights" in said
    assert said.endswith("The sparsest network from gradual pruning within one point is not to be found.")


def test_findings_follow_the_dataset():
    found = {one.statement: one for one in claims.sparse({"images": dataset_of(SETTINGS)})}
    assert found["L1, constant keeps AdamW's accuracy with less than 10 % of the weights."].verdict == "supported"
    assert found["L1, steered keeps AdamW's accuracy with less than 10 % of the weights."].verdict == "not supported"
    same = found["The sparsest network of L1, constant that keeps AdamW's validation accuracy also keeps its test accuracy."]
    assert (same.verdict, same.mean) == ("supported", pytest.approx(0.2))


def test_penalties_are_compared_with_pruning_at_equal_shares():
    found = {one.statement: one for one in claims.against_pruning({"images": dataset_of(SETTINGS)})}
    better = found["At 5 % of the weights, L0, steered is more accurate than gradual magnitude pruning."]
    worse = found["At 1 % of the weights, L0, steered is more accurate than gradual magnitude pruning."]
    assert (better.verdict, better.mean) == ("supported", pytest.approx(1.0))
    assert (worse.verdict, worse.mean) == ("contradicted", pytest.approx(-1.0))
    alone = dataset_of([row for row in SETTINGS if row[0] != "gradual magnitude pruning"])
    assert "not trained" in claims.against_pruning({"images": alone})[0].tested
    between = found["At 2 % of the weights, L0, steered is more accurate than gradual magnitude pruning."]
    assert between.mean == pytest.approx(100 * (0.88 + 0.02 * np.log(2) / np.log(5) - 0.89))


def test_ways_to_set_the_strength_are_compared():
    rows = []
    for penalty, gain in (("L1", 0.01), ("L0", 0.02)):
        for way, test in (("constant", 0.8), ("grown", 0.8 + gain), ("steered", 0.8 - gain)):
            rows += [(f"{penalty}, {way}", 0, share, test, test) for share in (0.1, 0.01)]
    rows += [("L0 by width, steered", 0, share, 0.77, 0.77) for share in (0.1, 0.01)]
    dataset = dataset_of(rows).assign_attrs(data="made by hand", network="mlp", widths=(784, 300, 100))
    found = {one.statement: one for one in strengths.strengths({"images": dataset})}
    grown = found["At 5 % of the weights, a growing strength of L0 is more accurate than a constant one."]
    assert (grown.verdict, grown.mean) == ("supported", pytest.approx(2))
    steered = found["At 2 % of the weights, a steered strength of L1 is more accurate than a constant one."]
    assert (steered.verdict, steered.mean) == ("contradicted", pytest.approx(-1))
    layers = found["At 1 % of the weights, L0 with one λ for all layers is more accurate than with λ by width."]
    assert layers.mean == pytest.approx(1)
    assert len(found) == 2 * 2 * 2 + 3
    dataset["repeats"][:] = 1
    assert [one.verdict for one in strengths.strengths({"images": dataset})] == ["not measured"]
    strengths.draw_strengths({"images": dataset}).canvas.draw()


class Counting:
    """A session that counts networks and makes up their results."""

    def __init__(self):
        self.count = 0

    def sweep(self, fit, runs, data, *, part, chunk):
        count = len(runs.seed)
        self.count += count
        rng = np.random.default_rng(self.count)
        outputs = {name: rng.random(count) for name in ("validation_accuracy", "test_accuracy", "kept", "train_loss")}
        return SimpleNamespace(outputs={**outputs, "live": rng.random((count, 3))}, diverged=np.zeros(count, bool))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": "lenet-5"},
        {"learning_rates": (1e-3,)},
        {"learning_rates": (1e-3,), "decay": (0.0,)},
        {"rate_share": 0.25, "finalists": 40},
        {"penalties": ("MCP",), "rivals": ("spred",), "seeds": 2},
        {"penalties": ("L1", "L0 by width"), "repeated": ("L0 by width",), "rivals": (), "scheduled": ()},
    ],
)
def test_the_number_of_networks_is_known_and_everything_can_be_shown(monkeypatch, changes):
    rows = SimpleNamespace(inputs=np.zeros((9, 784)), labels=np.zeros(9))
    monkeypatch.setattr(images, "load_source", lambda config: results.Source("made up", rows, None))
    config = dataclasses.replace(Settings(), **changes)
    datasets = {}
    for name, count, train in (
        ("images", images.count_networks, images.train_networks),
        ("units", images.count_units, images.train_units),
    ):
        session = Counting()
        datasets[name] = train(config, session)
        assert session.count == count(config)
    for claim in STUDY.claims:
        assert claim.evaluate(datasets)
        claim.draw(datasets).canvas.draw()
    assert STUDY.tabulate(datasets).table.rows
    for excerpt in STUDY.excerpts.values():
        assert not any("nan" in cell for row in excerpt(datasets).table.rows for cell in row)


def test_rate_and_decay_are_chosen_and_no_network_is_trained_twice(tmp_path):
    write_folder(tmp_path)
    config = Settings(data=str(tmp_path), hidden=(4,), epochs=2, refit_epochs=1, validation_size=30, batch_size=20)
    table = results.Table(config, results.load_source(config), Session())
    method = methods.steered_method("L0")
    own = table.choose(method, 0.1, 0.1)
    tried = table.dataset()
    assert list(tried["decay"].values) == [0.1] * 5 + [0, 0.3]
    assert list(tried["learning_rate"].values[5:]) == [own[0]] * 2
    accuracies = tried["validation_accuracy"].values[:, 0]
    pairs = list(zip(tried["learning_rate"].values, tried["decay"].values, strict=True))
    assert accuracies[pairs.index(own)] == accuracies.max()
    found = table.train(method, [results.Setting(method.name, *own, 0, 0, 0.1, "main", 2)], "main")
    assert len(table.networks) == len(pairs) + 1
    both = table.dataset()["validation_accuracy"].values[-1]
    assert both[0] == accuracies.max()
    assert found[0] == pytest.approx(both.mean())


def test_a_rate_without_a_target_is_the_best_at_the_share(tmp_path, monkeypatch):
    write_folder(tmp_path)
    config = Settings(data=str(tmp_path), validation_size=30, batch_size=20, learning_rates=(1e-3, 1e-2), rate_share=0.1)
    table = results.Table(config, results.load_source(config), Session())
    # The second rate is better at 10 % of the weights, though worse on average.
    kept, accuracy = np.array([0.5, 0.05, 0.5, 0.05]), np.array([0.9, 0.1, 0.6, 0.5])

    def train(method, settings, part):
        table.outputs = [{"kept": np.array([one])} for one in kept]
        return accuracy

    monkeypatch.setattr(table, "train", train)
    assert table.choose_without_target(methods.RIVALS["spred"], (1e-4, 1e-3)) == 1e-2
    kept = np.array([0.5, 0.2, 0.5, 0.2])
    accuracy = np.array([0.9, 0.3, 0.6, 0.5])
    assert table.choose_without_target(methods.RIVALS["spred"], (1e-4, 1e-3)) == 1e-3


def test_methods_with_one_seed_are_shown_but_not_compared():
    dataset = dataset_of([*SETTINGS, ("MCP, steered", 0, 0.05, 0.99, 0.99)])
    dataset["repeats"][-1] = 1
    assert not any("MCP" in one.statement for one in claims.against_pruning({"images": dataset}))
    rows = STUDY.tabulate({"images": dataset.assign_attrs(data="x", network="mlp", widths=(784, 300, 100))}).table.rows
    assert ["target 5 %", "5.00 (1 seed)", "98.80 (1 seed)", "98.80 (1 seed)", "1", "1 + 1"] in rows


def test_between_settings_accuracy_is_a_line_over_the_logarithm():
    curves = tradeoff.curves_of(dataset_of(SETTINGS))
    at = tradeoff.at_share(curves["L1, constant"], 0.0282842712)  # half-way between 1 % and 8 % in the logarithm
    np.testing.assert_allclose(at.mean(), (0.86 + 0.902) / 2, atol=1e-6)
    assert np.isnan(tradeoff.at_share(curves["L1, constant"], 0.005)).all()
    # A target of 1 % leaves slightly fewer weights that lead to an output, and the curve ends there.
    np.testing.assert_allclose(tradeoff.at_share(curves["L1, constant"], 0.0098).mean(), 0.86, atol=1e-9)


def test_a_diverged_setting_is_never_chosen():
    dataset = dataset_of(SETTINGS).assign_attrs(data="broken", network="mlp", widths=(784, 300, 100))
    dataset["validation_accuracy"][1, 0] = np.nan
    base = selection.best(tradeoff.curves_of(dataset)["AdamW"])
    assert base.label.startswith("decay 0,")
    dataset["validation_accuracy"][0, 0] = np.nan
    assert [one.verdict for one in claims.sparse({"images": dataset})] == ["not measured"]
    assert "there is nothing to compare with" in claims.answer(dataset)
    for draw in (figures.pareto, figures.duel):
        draw({"images": dataset}).canvas.draw()


def test_the_excerpt_compares_the_best_of_both_sides():
    dataset = dataset_of(SETTINGS).assign_attrs(data="made by hand", network="mlp", widths=(784, 300, 100))
    table, text = STUDY.excerpts["tradeoff"]({"images": dataset})
    rows = [row[:2] for row in table.rows]
    assert rows[0] == ["AdamW at its best", "decay 0.1, rate 0.001"]
    assert ["concave penalties: the sparsest within one point", "L0, steered, target 5 %"] in rows
    assert ["L0, steered", "interpolated", "5", "90.00 ± 0.09"] in table.rows
    assert "AdamW's standard error is 0.09 points" in text
    assert not any("nan" in cell for row in table.rows for cell in row)
    published = STUDY.excerpts["published"]
    assert published({"images": dataset}).table.rows[-1] == [
        "sparse variational dropout, Molchanov et al. (2017)",
        "1.5",
        "98.08",
    ]
    assert not published({"images": dataset.assign_attrs(widths=(784, 16))}).table.rows
    assert "Caffe" in published({"images": dataset.assign_attrs(network="lenet-5")}).table.title
    dataset["validation_accuracy"][:2, 0] = np.nan
    table, text = STUDY.excerpts["tradeoff"]({"images": dataset})
    assert not table.rows
    assert "nothing can be compared" in text


def test_inputs_and_units_are_compared_by_what_is_used():
    names = ("group L2, steered", "group log-sum, steered", "group L0, steered", "gradual pruning of units")
    rows = [(name, 0, 0.3, 0.5, 0.5 + 0.1 * better) for better, name in enumerate(names)] * 2
    dataset = dataset_of(rows).assign_attrs(data="made by hand", widths=(10, 6, 4))
    # The first four settings use 2 + 1 + 1 of 20 inputs and units, the others 1 + 1 + 0.
    live = np.repeat([[2.0, 1, 1], [1, 1, 0]], 4, 0)[:, None] + np.zeros((8, 4, 1))
    dataset = dataset.assign(live=(("setting", "seed", "layer"), live))
    curves = tradeoff.curves_of(dataset, units=True)
    np.testing.assert_allclose([point.kept.mean() for point in curves["group L2, steered"]], [0.2, 0.1])
    found = {one.statement: one for one in claims.units({"units": dataset})}
    better = found["At 20 % of the inputs and units, group L0, steered is more accurate than group L2, steered."]
    worse = found["At 10 % of the inputs and units, group L0, steered is more accurate than gradual pruning of units."]
    assert (better.verdict, better.mean) == ("supported", pytest.approx(20))
    assert (worse.verdict, worse.mean) == ("contradicted", pytest.approx(-10))
    figures.units(
        {"units": dataset, "images": dataset_of(SETTINGS).assign_attrs(data="x", network="mlp", widths=(784, 300, 100))}
    ).canvas.draw()
    assert [one.verdict for one in claims.units({"units": xr.Dataset()})] == ["not measured"]
    figures.units(
        {"units": xr.Dataset(), "images": dataset_of(SETTINGS).assign_attrs(data="x", network="mlp", widths=(784, 300, 100))}
    ).canvas.draw()


def test_rows_are_split_by_the_seed(tmp_path):
    write_folder(tmp_path)
    source = results.Source("x", *idx.load(tmp_path))
    config = Settings(data=str(tmp_path), validation_size=30, batch_size=20)
    parts = fit.split_rows(jax.random.key(0), jax.tree.map(jnp.asarray, source[1:]), config)
    assert {name: len(rows.labels) for name, rows in parts.items()} == {"validation": 30, "train": 90, "test": 40}
    together = np.concatenate([parts["validation"].inputs, parts["train"].inputs])
    np.testing.assert_array_equal(np.sort(together.sum(1)), np.sort(source.rows.inputs.sum(1)))
    with pytest.raises(SettingError, match="expected at most the 90 rows that are left"):
        results.load_source(dataclasses.replace(config, batch_size=91))


def test_mnist_has_500_of_each_digit():
    rows = datasets.mnist_5000()
    assert rows.inputs.shape == (5000, 784)
    assert (rows.inputs.min(), rows.inputs.max()) == (0, 1)
    np.testing.assert_array_equal(np.bincount(rows.labels), np.full(10, 500))


def test_the_command_from_end_to_end(tmp_path):
    folder = tmp_path / "shapes"
    folder.mkdir()
    write_folder(folder)
    status, said = run("images", "--data", folder, "--out", tmp_path / "results", *TINY)
    assert status == 0, said
    assert "within one standard error of" in said
    out = tmp_path / "results"
    pictures = {f"{name}.{kind}" for name in ("images", "pruning", "growth", "units") for kind in ("png", "svg")}
    written = {"images.nc", "units.nc", "summary.md", "study.json", *pictures}
    assert {path.name for path in out.iterdir()} == written
    with xr.open_dataset(out / "images.nc", engine="netcdf4") as dataset:
        means, names = dataset.mean("seed"), dataset["method"].values
        assert int(dataset["repeats"].sum()) == images.count_networks(Settings(**SMALL))
        assert float(means["test_accuracy"].values[names == "AdamW"].max()) > 0.9
        for method in ("L1, steered", "L0, steered", "gradual magnitude pruning", "AdamW, cut to its largest weights"):
            np.testing.assert_allclose(means["nonzero"].values[names == method], [0.5, 0.05], rtol=0.15)
        weak, strong = means["kept"].values[names == "L1, constant"]
        assert weak > strong
        assert dataset.attrs["data"] == "shapes"
    study = json.loads((out / "study.json").read_text())
    assert study["config"]["validation_size"] == 30
    assert (study["study"], study["variant"], study["quick"]) == ("images", "shapes", False)
    assert "| AdamW | decay 0, rate 0.02 | 100.00 ± 0.00 |" in (out / "summary.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"results", "shapes"}


def test_fashion_mnist_runs(tmp_path):
    if not idx.FASHION.is_dir():
        pytest.skip(f"no Fashion-MNIST at {idx.FASHION}: Debian's package dataset-fashion-mnist is not installed")
    config = Settings(hidden=(16,), epochs=2, refit_epochs=1, learning_rates=(4e-3,))
    source = results.load_source(config)
    table = results.Table(config, source, Session(folder=tmp_path))
    setting = results.Setting("L0, steered", 4e-3, 0, 0, 0, 0.3, "main", 2)
    assert table.train(methods.steered_method("L0"), [setting], "l0")[0] > 0.7
    assert float(table.dataset()["test_accuracy"].min()) > 0.7


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "nothing"], "data: expected fashion-mnist, mnist-5000 or a folder of four IDX files, got nothing"),
        (["--data", "tests"], "data: expected the file train-images-idx3-ubyte or train-images-idx3-ubyte.gz in "),
        (["--l1", "-1"], "l1: expected positive numbers, none twice, got (-1.0,)"),
        (
            ["--data", "mnist-5000", "--validation-size", "4500"],
            "expected at most the 0 rows that are left to train on of 5000",
        ),
    ],
)
def test_mistakes_are_one_line(words, expected):
    status, said = run("images", *words)
    assert status == 2, said
    assert expected in said
    assert len(said.strip().splitlines()) == 1


def test_help_says_where_data_come_from():
    process = start("images", "--help")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "dataset-fashion-mnist" in said
    assert "--refit-epochs" in said
