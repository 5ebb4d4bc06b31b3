"""The study of paths: the command from end to end, the choice of λ, the verdicts and the comparison
at equal shares.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from processes import run

from experiments import idx
from experiments.settings import SettingError
from experiments.studies.path import STUDY, problem, singles, sweep
from experiments.studies.path.settings import FASHION, Settings, defaults

TINY = [
    "--folds",
    "2",
    "--noise",
    "8",
    "--hidden",
    "6",
    "--strengths",
    "5",
    "--first-epochs",
    "3",
    "--passes",
    "2",
]
TINY += [
    "--refit-epochs",
    "1",
    "--scratch-epochs",
    "2",
    "--rounds",
    "3",
    "--penalties",
    "group log-sum",
    "--seeds",
    "2",
]


def test_the_command_from_end_to_end(tmp_path):
    out = tmp_path / "results"
    status, said = run("path", "--cache", "None", "--out", out, *TINY)
    assert status == 0, said
    assert "72–6–10 → " in said
    written = {
        f"path-{name}.{kind}" for name in ("cost", "choice", "norms") for kind in ("png", "svg")
    }
    assert {path.name for path in out.iterdir()} == {
        "path.nc",
        "summary.md",
        "study.json",
        *written,
    }
    with xr.open_dataset(out / "path.nc", engine="netcdf4") as dataset:
        own = dataset.sel(penalty="group log-sum").load()
    # 3 epochs for the first λ, 1 for the four others, and 5 in the second pass.
    np.testing.assert_array_equal(own["epochs"].sum("place"), [12, 12])
    np.testing.assert_allclose(own["strength"][-1] / own["strength"][0], 1e3, rtol=1e-6)
    score = own["score"].values
    assert score.shape == (2, 5)
    mean, error = score.mean(0), score.std(0, ddof=1) / 2**0.5
    best = int(own["best"])
    assert mean[best] == mean.max()
    assert int(own["chosen"]) == np.flatnonzero(mean >= mean[best] - error[best]).max()
    chosen = own.isel(place=int(own["chosen"]))
    np.testing.assert_allclose(own["small_accuracy"], chosen["test_accuracy"], atol=1e-3)
    assert own["small_widths"].values[0, 0] <= 72
    assert float(own["deviation"].max()) < 1e-4
    assert np.isfinite(own["scratch_objective"]).all()
    assert (own["speedup"] > 0).all()
    with xr.open_dataset(out / "path.nc", engine="netcdf4") as dataset:
        table = STUDY.excerpts["choice"]({"path": dataset.load()}).table
    assert table.headings[:2] == ("penalty", "network")
    assert [row[:2] for row in table.rows[:2]] == [
        ["group log-sum", "best λ"],
        ["group log-sum", "largest λ within one standard error"],
    ]


def test_a_network_from_scratch_is_that_of_its_penalty():
    config = Settings(noise=0, hidden=(5,), scratch_epochs=2)
    own = problem.load(config)
    rows = jax.tree.map(jnp.asarray, (own.train, own.test))

    def trained(strength, name):
        return sweep.train_network(
            jax.random.key(0), {"strength": jnp.array(strength)}, rows, own, config, name
        )

    assert float(trained(1e-30, "L1")["objective"]) == pytest.approx(
        float(trained(1e-30, "log-sum")["objective"]), rel=1e-3
    )
    assert 0.3 < float(trained(1e-30, "L1")["accuracy"]) <= 1
    # Without weights only the biases are left, and all classes are about as frequent.
    assert float(trained(1e3, "group log-sum")["objective"]) == pytest.approx(np.log(10), rel=0.02)


def made_up(objective, epochs=36, scratch=True):
    shape = ("penalty", "seed", "place")
    variables = {
        "objective": (shape, np.full((1, 3, 10), objective)),
        "epochs": (shape, np.full((1, 3, 10), epochs)),
    }
    if scratch:
        variables["scratch_objective"] = (shape, np.ones((1, 3, 10)))
    return {"path": xr.Dataset(variables, {"penalty": ["L1"]}, {"training": 120})}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (made_up(0.9), ["supported", "supported"]),
        (made_up(1.01), ["supported", "contradicted"]),
        (made_up(np.where(np.arange(10) == 4, 1.5, 0.5)), ["supported", "contradicted"]),
        (made_up(np.where(np.arange(10) == 4, np.nan, 0.5)), ["not measured", "not measured"]),
        (made_up(0.9, epochs=37), ["contradicted", "supported"]),
        (made_up(0.9, scratch=False), ["not measured"]),
    ],
)
def test_the_verdict_on_cost(results, expected):
    claim = next(claim for claim in STUDY.claims if claim.name == "path-cost")
    assert [finding.verdict for finding in claim.evaluate(results)] == expected


def test_single_networks_are_the_best_by_validation_at_each_share(tmp_path):
    kept = np.array([[0.3, 0.3], [0.005, 0.005], [0.3, 0.3], [0.005, 0.005], [0.3, 0.3]])
    variables = {
        "kept": (("setting", "seed"), kept),
        "validation_accuracy": (
            ("setting", "seed"),
            np.array([[0.9], [0.5], [0.8], [0.7], [1.0]]) + np.zeros(2),
        ),
        "test_accuracy": (
            ("setting", "seed"),
            np.array([[0.91], [0.52], [0.83], [0.74], [1.0]]) + np.zeros(2),
        ),
    }
    coords = {
        "method": ("setting", ["a", "a", "b", "b", "c"]),
        "role": ("setting", ["main"] * 4 + ["rate"]),
        "repeats": ("setting", [2] * 5),
    }
    found = xr.Dataset(variables, coords, {"data": FASHION})
    found.to_netcdf(tmp_path / "images.nc", engine="netcdf4")
    single = singles.single_networks(
        dataclasses.replace(defaults(FASHION, quick=False), images=tmp_path)
    )
    assert single["single_method"].values[0] == "a"
    assert single["single_method"].values[-1] == "b"
    place = np.log(0.2 / 0.005) / np.log(0.3 / 0.005)
    np.testing.assert_allclose(single["single_accuracy"].values[0], 0.52 + place * (0.91 - 0.52))
    assert not singles.single_networks(Settings(images=tmp_path)).sizes


def test_held_out_rows_are_neither_trained_on_nor_test_rows():
    if not idx.FASHION.is_dir():
        pytest.skip(
            f"no Fashion-MNIST at {idx.FASHION}: Debian's package dataset-fashion-mnist is not "
            "installed"
        )
    found = problem.load(defaults(FASHION, quick=True))
    train, test = idx.load(idx.FASHION)
    assert (len(found.train.labels), len(found.validation.labels)) == (55_000, 5_000)
    np.testing.assert_array_equal(found.test.inputs, test.inputs)
    together = np.concatenate([found.train.inputs.sum(1), found.validation.inputs.sum(1)])
    np.testing.assert_allclose(np.sort(together), np.sort(train.inputs.sum(1)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"folds": 1}, "folds: expected 0, or at least 2, got 1"),
        ({"penalties": ()}, "penalties: expected at least one penalty, none twice"),
        ({"ratio": 1.0}, "ratio: expected a number between 0 and 1"),
        ({"strengths": 2}, "strengths: expected at least 3"),
        ({"test_size": 1797}, "test-size: expected fewer than the 1797 rows"),
        ({"batch_size": 1200}, "batch-size: expected at most the 1149 training rows, got 1200"),
    ],
)
def test_mistakes_are_one_line(changes, expected):
    with pytest.raises(SettingError, match=expected):
        problem.load(Settings(**changes))
