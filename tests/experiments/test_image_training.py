"""The images study from data to results: rows, choices by validation, counts of networks, and the
command.
"""

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

from experiments import datasets, idx
from experiments.settings import SettingError
from experiments.studies.images import STUDY, fit, methods, results
from experiments.studies.images import sweep as images
from experiments.studies.images.settings import Settings
from experiments.study import Session

TINY = [
    "--seeds",
    "2",
    "--l1",
    "1e-3",
    "1e-1",
    "--penalties",
    "L1",
    "L0",
    "--repeated",
    "L1",
    "L0",
    "--l0",
    "1e-2",
]
TINY += [
    "--decay",
    "0",
    "--hidden",
    "8",
    "--batch-size",
    "20",
    "--epochs",
    "60",
    "--refit-epochs",
    "20",
]
TINY += [
    "--validation-size",
    "30",
    "--learning-rates",
    "0.02",
    "--shares",
    "0.5",
    "0.05",
    "--few-shares",
    "0.5",
    "0.05",
]
TINY += ["--unit-shares", "0.5", "0.25", "--cache", "None"]
SMALL = {
    "seeds": 2,
    "l1": (1e-3, 1e-1),
    "penalties": ("L1", "L0"),
    "repeated": ("L1", "L0"),
    "l0": (1e-2,),
    "decay": (0,),
}
SMALL |= {"learning_rates": (0.02,), "shares": (0.5, 0.05), "few_shares": (0.5, 0.05)}


MEASURED = (
    "validation_accuracy",
    "test_accuracy",
    "unrefitted_test_accuracy",
    "kept",
    "train_loss",
)


class Counting:
    """A session that counts networks and makes up their results."""

    def __init__(self):
        self.count = 0

    def sweep(self, fit, runs, data, *, part, chunk):
        count = len(runs.seed)
        self.count += count
        rng = np.random.default_rng(self.count)
        outputs = {name: rng.random(count) for name in MEASURED}
        return SimpleNamespace(
            outputs={**outputs, "live": rng.random((count, 3))}, diverged=np.zeros(count, bool)
        )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": "lenet-5"},
        {"learning_rates": (1e-3,)},
        {"learning_rates": (1e-3,), "decay": (0.0,)},
        {"rate_shares": (0.25,), "finalists": 40},
        {"rate_shares": (0.1, 0.03, 0.02)},
        {"penalties": ("MCP",), "rivals": ("spred",), "seeds": 2},
        {
            "penalties": ("L1", "L0 by width"),
            "repeated": ("L0 by width",),
            "rivals": (),
            "scheduled": (),
        },
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
        # A penalty whose choices are the same has fewer networks.
        same = 2 * sum(
            len(config.grid(one)) for one in set(config.scheduled) & set(config.repeated)
        )
        assert (
            count(config) - same * (len(config.rate_shares) - 1) <= session.count <= count(config)
        )
    for claim in STUDY.claims:
        assert claim.evaluate(datasets)
        claim.draw(datasets).canvas.draw()
    assert STUDY.tabulate(datasets).table.rows
    for excerpt in STUDY.excerpts.values():
        assert not any("nan" in cell for row in excerpt(datasets).table.rows for cell in row)


def test_rate_and_decay_are_chosen_and_no_network_is_trained_twice(tmp_path):
    write_folder(tmp_path)
    config = Settings(
        data=str(tmp_path), hidden=(4,), epochs=2, refit_epochs=1, validation_size=30, batch_size=20
    )
    table = results.Table(config, results.load_source(config), Session())
    method = methods.steered_method("L0")
    own = table.choose(method, 0.1)
    tried = table.dataset()
    assert list(tried["decay"].values) == [0] * 5 + [0.1, 0.3]
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
    config = Settings(
        data=str(tmp_path),
        validation_size=30,
        batch_size=20,
        learning_rates=(1e-3, 1e-2),
        rate_shares=(0.1,),
    )
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


def test_rows_are_split_by_the_seed(tmp_path):
    write_folder(tmp_path)
    source = results.Source("x", *idx.load(tmp_path))
    config = Settings(data=str(tmp_path), validation_size=30, batch_size=20)
    parts = fit.split_rows(jax.random.key(0), jax.tree.map(jnp.asarray, source[1:]), config)
    assert {name: len(rows.labels) for name, rows in parts.items()} == {
        "validation": 30,
        "train": 90,
        "test": 40,
    }
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
    pictures = {
        f"{name}.{kind}"
        for name in ("images", "pruning", "growth", "units")
        for kind in ("png", "svg")
    }
    written = {"images.nc", "units.nc", "summary.md", "study.json", *pictures}
    assert {path.name for path in out.iterdir()} == written
    with xr.open_dataset(out / "images.nc", engine="netcdf4") as dataset:
        means, names = dataset.mean("seed"), dataset["method"].values
        assert int(dataset["repeats"].sum()) == images.count_networks(Settings(**SMALL))
        assert float(means["test_accuracy"].values[names == "AdamW"].max()) > 0.9
        for method in (
            "L1, steered",
            "L0, steered",
            "gradual magnitude pruning",
            "AdamW, cut to its largest weights",
        ):
            np.testing.assert_allclose(
                means["nonzero"].values[names == method], [0.5, 0.05], rtol=0.15
            )
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
        pytest.skip(
            f"no Fashion-MNIST at {idx.FASHION}: Debian's package dataset-fashion-mnist is not "
            "installed"
        )
    config = Settings(hidden=(16,), epochs=2, refit_epochs=1, learning_rates=(4e-3,))
    source = results.load_source(config)
    table = results.Table(config, source, Session(folder=tmp_path))
    setting = results.Setting("L0, steered", 4e-3, 0, 0, 0, 0.3, "main", 2)
    assert table.train(methods.steered_method("L0"), [setting], "l0")[0] > 0.7
    assert float(table.dataset()["test_accuracy"].min()) > 0.7


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--data", "nothing"],
            "data: expected fashion-mnist, mnist-5000 or a folder of four IDX files, got nothing",
        ),
        (
            ["--data", "tests"],
            "data: expected the file train-images-idx3-ubyte or train-images-idx3-ubyte.gz in ",
        ),
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
