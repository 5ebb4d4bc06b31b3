"""Accuracy against weights kept: counting and cutting weights, choosing settings, and the command from end to end."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from idx_files import write_folder
from processes import run, start

from experiments import datasets, idx, selection
from experiments.networks import initial, kernels_of
from experiments.settings import SettingError, Training
from experiments.studies.images import STUDY, claims, figures, pruning, tradeoff
from experiments.studies.images import sweep as images
from experiments.studies.images.settings import Settings

TINY = ["--seeds", "2", "--l1", "1e-3", "1e-1", "--elastic-net", "1e-3", "1e-1", "--group", "1e-3", "1e-1", "--decay", "0"]
TINY += ["--hidden", "8", "--training.batch-size", "20", "--training.epochs", "60", "--validation-size", "30"]
TINY += [
    "--learning-rates",
    "0.02",
    "--training.learning-rate",
    "0.02",
    "--shares",
    "0.5",
    "0.05",
    "0.01",
    "--cache",
    "None",
]


def test_a_weight_counts_if_it_leads_to_an_output():
    first = jnp.array([[1.0, 2, 0], [0, 3, 0]])
    second = jnp.array([[1.0], [0], [5]])
    # Unit 1 has no outgoing weight, so weights into it do not count; the weight that leaves unit 2 counts, since its bias
    # makes it active.
    found = pruning.count_kept([first, second])
    assert float(found["kept"]) == pytest.approx(3 / 9)
    np.testing.assert_array_equal(found["live"], [1, 2])


@pytest.mark.parametrize("count", [0, 1, 7, 24])
def test_cutting_keeps_exactly_the_largest(count):
    _, params = initial((4, 4, 2), jax.random.key(0))
    rest = pruning.cut(params, pruning.magnitude_ranks(params), count)
    before, after = (np.concatenate([np.ravel(k) for k in kernels_of(tree)]) for tree in (params, rest))
    assert np.count_nonzero(after) == count
    np.testing.assert_array_equal(np.sort(np.abs(after[after != 0])), np.sort(np.abs(before))[24 - count :])
    biases = [leaf for leaf in jax.tree.leaves(rest) if leaf.ndim == 1]
    assert all((a == b).all() for a, b in zip(biases, [x for x in jax.tree.leaves(params) if x.ndim == 1], strict=True))


def test_refitting_holds_the_zeros_and_fits_better():
    rows = datasets.digits()
    few = datasets.Rows(jnp.asarray(rows.inputs[:200]), jnp.asarray(rows.labels[:200]))
    structure, params = initial((64, 16, 10), jax.random.key(0))
    params = pruning.cut(params, pruning.magnitude_ranks(params), 400)
    config = Settings(training=Training(epochs=5, batch_size=50), refit_epochs=20)
    refitted = images.refit(structure, params, jax.random.key(1), few, config)
    for before, after in zip(kernels_of(params), kernels_of(refitted), strict=True):
        assert (np.asarray(after)[np.asarray(before) == 0] == 0).all()
    assert float(images.accuracy(structure, refitted, few)) > float(images.accuracy(structure, params, few)) + 0.2


def dataset_of(settings, shares=(0.5, 0.1), seeds=4):
    """A hand-made dataset from settings (method, strength, kept, validation, test), with a small spread over the seeds."""
    spread = np.linspace(-0.002, 0.002, seeds)
    methods, strengths, kept, validation, test = zip(*settings, strict=True)
    shape = (len(settings), seeds)
    table = {name: np.array(column)[:, None] + spread for name, column in (("v", validation), ("t", test))}
    cut = np.where(np.array(methods)[:, None, None] == "AdamW", np.array(shares), np.nan) + np.zeros((*shape, len(shares)))
    fall = np.array([0.05, 0.3])
    axes = ("setting", "seed")
    return xr.Dataset(
        {
            "kept": (axes, np.array(kept)[:, None] + np.zeros(shape)),
            "validation_accuracy": (axes, table["v"]),
            "test_accuracy": (axes, table["t"]),
            "refitted_validation_accuracy": (axes, table["v"] + 0.01),
            "refitted_test_accuracy": (axes, table["t"] + 0.01),
            "train_loss": (axes, np.ones(shape)),
            "live": ((*axes, "layer"), np.ones((*shape, 3))),
            "pruned_kept": ((*axes, "share"), cut),
            "pruned_validation_accuracy": ((*axes, "share"), table["v"][..., None] - fall),
            "pruned_test_accuracy": ((*axes, "share"), table["t"][..., None] - fall),
        },
        {
            "method": ("setting", list(methods)),
            "strength": ("setting", list(strengths)),
            "learning_rate": ("setting", np.full(len(settings), 1e-3)),
            "share": list(shares),
        },
    )


SETTINGS = [
    ("AdamW", 0.0, 1.0, 0.90, 0.89),
    ("AdamW", 0.1, 1.0, 0.92, 0.90),
    ("L1", 1e-4, 0.4, 0.9205, 0.901),
    ("L1", 1e-3, 0.08, 0.9198, 0.902),
    ("L1", 1e-2, 0.01, 0.88, 0.86),
    ("elastic net", 1e-3, 0.3, 0.80, 0.79),
    ("group L2", 1e-2, 0.2, 0.91, 0.90),
]


def test_validation_chooses_and_the_sparsest_within_one_error_is_found():
    dataset = dataset_of(SETTINGS)
    curves = tradeoff.curves_of(dataset)
    base = selection.best(curves["AdamW"])
    assert base.label == "decay 0.1, rate 0.001"
    # Spread ±0.002 in even steps over four seeds: the standard error is 0.00086.
    assert selection.one_standard_error_below(base) == pytest.approx(0.92 - 0.0008607, abs=1e-6)
    assert selection.sparsest(curves["L1"], selection.one_standard_error_below(base)).label == "λ = 0.001"
    assert selection.sparsest(curves["elastic net"], selection.one_standard_error_below(base)) is None
    said = claims.answer(dataset.assign(refitted_validation_accuracy=dataset["validation_accuracy"] - 0.02))
    network = "L1, λ = 0.001, with 8.00 ± 0.00 % of the weights and a test accuracy of 90.20 ± 0.09 %"
    assert f"By validation accuracy, the sparsest network within one standard error of it is {network}, and" in said
    # Another network is sparser, but 4 points less accurate; refitted, it would be within 3.
    assert said.endswith(f"and the sparsest within one point of it is {network}.")


def test_findings_follow_the_dataset():
    found = {one.statement: one for one in claims.sparse({"images": dataset_of(SETTINGS)})}
    assert found["L1 keeps AdamW's accuracy with less than 10 % of the weights."].verdict == "supported"
    assert found["Elastic net keeps AdamW's accuracy with less than 10 % of the weights."].verdict == "not supported"
    assert found["Refitted group L2 keeps AdamW's accuracy with less than 10 % of the weights."].verdict == "contradicted"
    same = found["The sparsest network of refitted L1 that keeps AdamW's validation accuracy also keeps its test accuracy."]
    assert (same.verdict, same.mean) == ("supported", pytest.approx(1.2))
    # AdamW's networks are cut to 50 % and to 1 % of their weights, and both accuracies are interpolated at 5 %.
    cut = {one.statement: one for one in claims.sparse({"images": dataset_of(SETTINGS, shares=(0.5, 0.01))})}
    beaten = cut["At 5 % of the weights, refitted L1 is more accurate than AdamW cut to its largest weights."]
    sparse = 0.87 + 0.042 * np.log(5) / np.log(8)
    assert (beaten.verdict, beaten.mean) == (
        "supported",
        pytest.approx(100 * (sparse - 0.60 - 0.25 * np.log(5) / np.log(50))),
    )


def test_between_settings_accuracy_is_a_line_over_the_logarithm():
    curves = tradeoff.curves_of(dataset_of(SETTINGS))
    at = tradeoff.at_share(curves["L1"], 0.0282842712)  # half-way between 1 % and 8 % in the logarithm
    np.testing.assert_allclose(at.mean(), (0.86 + 0.902) / 2, atol=1e-6)
    assert np.isnan(tradeoff.at_share(curves["L1"], 0.005)).all()
    # Cutting costs 0.05 of the accuracy at half of the weights and 0.3 at a tenth.
    np.testing.assert_allclose(tradeoff.at_share(curves["AdamW, cut to its largest weights"], 0.1).mean(), 0.60, atol=1e-9)


def test_nothing_dominates_the_pareto_front():
    def point(kept, test):
        return tradeoff.Point(
            "m", "", np.array([kept, kept]), np.array([test, test]), np.array([test, test]), np.ones((2, 1))
        )

    points = [point(1.0, 0.9), point(0.5, 0.9), point(0.5, 0.8), point(0.1, 0.7), point(0.2, 0.6), point(0.05, np.nan)]
    assert [(one.kept[0], one.test[0]) for one in tradeoff.pareto_front(points)] == [(0.1, 0.7), (0.5, 0.9)]


def test_a_diverged_setting_is_never_chosen():
    dataset = dataset_of(SETTINGS)
    dataset["validation_accuracy"][1, 0] = np.nan
    base = selection.best(tradeoff.curves_of(dataset)["AdamW"])
    assert base.label.startswith("decay 0,")
    dataset["validation_accuracy"][0, 0] = np.nan
    assert [one.verdict for one in claims.sparse({"images": dataset})] == ["not measured"]
    assert "there is nothing to compare with" in claims.answer(dataset)
    figures.pareto({"images": dataset.assign_attrs(data="broken")}).canvas.draw()


def test_the_excerpt_shows_the_best_the_sparsest_and_some_sparser_networks():
    dataset = dataset_of(SETTINGS).assign_attrs(data="made by hand")
    dataset = dataset.assign(refitted_validation_accuracy=dataset["validation_accuracy"] - 0.02)
    table, text = STUDY.excerpts["tradeoff"]({"images": dataset})
    assert [row[:3] for row in table.rows] == [
        ["AdamW at its best", "decay 0.1, rate 0.001", "100.00 ± 0.00"],
        ["the sparsest within one standard error of it", "L1, λ = 0.001", "8.00 ± 0.00"],
        ["the sparsest within one point of it", "L1, λ = 0.001", "8.00 ± 0.00"],
        ["L1", "λ = 0.001", "8.00 ± 0.00"],
        ["L1, refitted", "λ = 0.001", "8.00 ± 0.00"],
        ["L1", "λ = 0.01", "1.00 ± 0.00"],
        ["L1, refitted", "λ = 0.01", "1.00 ± 0.00"],
        ["AdamW, cut to its largest weights", "decay 0.1, rate 0.001, cut to 10 %", "10.00 ± 0.00"],
    ]
    assert "AdamW's standard error is 0.09 points" in text
    dataset["validation_accuracy"][:2, 0] = np.nan
    table, text = STUDY.excerpts["tradeoff"]({"images": dataset})
    assert not table.rows
    assert "nothing can be compared" in text


def test_rows_are_split_by_the_seed(tmp_path):
    write_folder(tmp_path)
    source = images.Source("x", *idx.load(tmp_path))
    config = Settings(data=str(tmp_path), validation_size=30, training=Training(batch_size=20))
    parts = images.split_rows(jax.random.key(0), jax.tree.map(jnp.asarray, source[1:]), config)
    assert {name: len(rows.labels) for name, rows in parts.items()} == {"validation": 30, "train": 90, "test": 40}
    together = np.concatenate([parts["validation"].inputs, parts["train"].inputs])
    np.testing.assert_array_equal(np.sort(together.sum(1)), np.sort(source.rows.inputs.sum(1)))
    with pytest.raises(SettingError, match="expected at most the 90 rows that are left"):
        images.load_source(dataclasses.replace(config, training=Training(batch_size=91)))


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
    assert "images: 14 runs on" in said
    assert "within one standard error of" in said
    out = tmp_path / "results"
    assert {path.name for path in out.iterdir()} == {"images.nc", "images.png", "images.svg", "summary.md", "study.json"}
    with xr.open_dataset(out / "images.nc", engine="netcdf4") as dataset:
        means, methods = dataset.mean("seed"), dataset["method"].values
        assert float(means["test_accuracy"].values[methods == "AdamW"].max()) > 0.9
        for method in ("L1", "elastic net", "group L2"):
            weak, strong = means["kept"].values[methods == method]
            assert weak > strong
            assert strong < 0.2
        assert dataset["pruned_kept"].sel(share=0.5).max() <= 0.5
        assert dataset.attrs["data"] == "shapes"
    study = json.loads((out / "study.json").read_text())
    assert study["config"]["validation_size"] == 30
    assert (study["study"], study["variant"], study["quick"]) == ("images", "shapes", False)
    assert len(study["claims"][0]["findings"]) == 15
    assert "| AdamW | decay 0, rate 0.02 | 100.00 ± 0.00 |" in (out / "summary.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"results", "shapes"}


def test_fashion_mnist_runs(tmp_path):
    if not idx.FASHION.is_dir():
        pytest.skip(f"no Fashion-MNIST at {idx.FASHION}: Debian's package dataset-fashion-mnist is not installed")
    fast = ["--cache", "None", "--training.epochs", "1"]
    words = ["--quick", "--hidden", "16", "--seeds", "2", "--l1", "3e-4", "--elastic-net", "3e-4", "--group", "1e-3"]
    status, said = run("images", *words, "--decay", "0", "--out", tmp_path / "fashion", *fast)
    assert status == 0, said
    with xr.open_dataset(tmp_path / "fashion" / "images.nc", engine="netcdf4") as dataset:
        assert float(dataset["test_accuracy"].min()) > 0.7


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
