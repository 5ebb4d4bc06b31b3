"""The study of published results: pixels selected on small images, and its table."""

import dataclasses

import idx_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from sklearn.datasets import load_diabetes
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import lars_path
from sklearn.model_selection import train_test_split

from experiments import idx
from experiments.settings import SettingError
from experiments.studies.published import STUDY, diabetes, lassonet, network, peer
from experiments.studies.published.settings import QUICK, Settings
from experiments.study import Session

SMALL = dataclasses.replace(
    QUICK,
    pixels=6,
    hidden=8,
    batch_size=8,
    learning_rate=0.02,
    first_epochs=20,
    refit_epochs=20,
    growth=1.1,
    weight_decay=0.0,
    refit_decay=0.0,
)


@pytest.fixture
def images(tmp_path, monkeypatch):
    pixels, labels = idx_files.write_folder(tmp_path, test=200)
    monkeypatch.setattr(idx, "FASHION", tmp_path)
    return pixels["t10k"].reshape(200, 16) / np.float32(255), labels["t10k"].astype(np.int32)


def test_few_pixels_are_selected_and_judged(images, monkeypatch):
    chosen = []
    monkeypatch.setattr(
        lassonet, "live_pixels", lambda params: chosen.append(params) or network.live_pixels(params)
    )
    found = lassonet.fit_splits(SMALL, Session())
    assert (found["pixels"] >= 1).all()
    assert (found["pixels"] <= 6).all()
    assert (found["network_accuracy"] > 0.8).all()
    # The accuracy of extra trees is that of trees fitted here, on the pixels of the last solution
    # on the last split.
    pixels = np.flatnonzero(network.live_pixels(chosen[-1]))
    inputs, test_inputs, labels, test_labels = train_test_split(
        *images, test_size=0.6, random_state=1
    )
    for name, columns in (("trees_accuracy", pixels), ("all_trees_accuracy", np.arange(16))):
        trees = ExtraTreesClassifier(SMALL.trees, random_state=1).fit(inputs[:, columns], labels)
        assert float(found[name][1]) == pytest.approx(
            trees.score(test_inputs[:, columns], test_labels)
        )
    assert np.isnan(found["peer_seconds"]).all()


@pytest.mark.usefixtures("images")
def test_the_package_runs_on_the_first_splits_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(peer, "installed", lambda: True)
    monkeypatch.setattr(
        peer, "select_pixels", lambda *_: peer.Selection(np.array([0, 5]), 0.75, 3.0)
    )
    found = lassonet.fit_splits(dataclasses.replace(SMALL, peer_splits=1), Session())
    np.testing.assert_array_equal(found["peer_pixels"], [2, np.nan])
    table, text = STUDY.excerpts["lassonet"]({"lassonet": found})
    assert [row[2] for row in table.rows if "package" in row[0]][1] == "0.7500"
    assert "The package lassonet took 3 s for a split." in text


@pytest.mark.usefixtures("images")
def test_a_path_that_drops_every_pixel_at_once_is_an_error():
    config = dataclasses.replace(SMALL, pixels=1, first_strength=0.5, growth=500.0, first_epochs=1)
    with pytest.raises(
        SettingError, match="growth: expected 1 to 1 pixels at the end of the path, got"
    ):
        lassonet.fit_splits(config, Session())


def test_refitting_holds_the_pixels_left():
    rows = lassonet.Rows(
        np.random.default_rng(0).random((40, 5), np.float32), np.arange(40, dtype=np.int32) % 3
    )
    params = network.initial(jax.random.key(0), 5, 7)
    params["first"]["kernel"] = params["first"]["kernel"].at[jnp.array([1, 4])].set(0)
    fitted = lassonet.refit(SMALL, params, rows, 0)
    np.testing.assert_array_equal(network.live_pixels(fitted), [True, False, True, True, False])
    assert float(network.loss(fitted, rows)) < 0.8 * float(network.loss(params, rows))


def test_the_table_gives_differences():
    variables = dict.fromkeys(lassonet.TEXTS, ("split", np.full(3, np.nan)))
    variables |= {
        name: ("split", np.array([0.81, 0.82, 0.83]))
        for name in ("trees_accuracy", "network_accuracy")
    }
    variables |= {
        "all_trees_accuracy": ("split", np.full(3, 0.83)),
        "pixels": ("split", np.array([48, 50, 49])),
    }
    variables |= {
        "epochs": ("split", np.full(3, 180)),
        "seconds": ("split", np.array([10.0, 12.0, 14.0])),
    }
    del variables["split"]
    summary = STUDY.excerpts["lassonet"]({"lassonet": xr.Dataset(variables, attrs={"limit": 50})})
    rows = {row[0]: row[1:] for row in summary.table.rows}
    assert rows["extra trees, 50 pixels, against LassoNet"] == [
        "0.794",
        "0.8200 ± 0.0058",
        "+0.0260",
    ]
    assert rows["extra trees, all pixels"][2] == "-0.0010"
    assert rows["network, 50 pixels"] == ["–", "0.8200 ± 0.0058", "–"]
    assert "48 to 50 pixels, 180 epochs and 12 s" in summary.text
    assert "The package lassonet was not run." in summary.text


@pytest.fixture(scope="module")
def lasso():
    return diabetes.fit_diabetes(
        dataclasses.replace(QUICK, decay_strengths=(50.0, 600.0)), Session()
    )


def test_the_lasso_of_the_diabetes_data_is_the_published_one(lasso):
    table, _ = STUDY.excerpts["diabetes"]({"diabetes": lasso})
    rows = [row for row in table.rows if not isinstance(row, str)]
    # The published numbers are rounded to hundredths, and so are the data that scikit-learn has.
    assert [row[1].split()[0] for row in rows[:12]] == [row[2].split()[0] for row in rows[:12]]
    assert all(abs(float(row[3])) <= 0.01 for row in rows[:12] + rows[13:23])
    assert abs(float(rows[12][3])) < 0.005
    assert len(rows) == 27


def test_knots_are_those_of_the_homotopy(lasso):
    x, y = load_diabetes(return_X_y=True)
    alphas = lars_path(x, y - y.mean(), method="lasso")[0]
    np.testing.assert_allclose(lasso["knot"], len(y) * alphas[:-1], rtol=1e-8)


def test_factors_under_weight_decay_find_the_lasso(lasso):
    assert lasso["excess"].dims == ("strength", "seed")
    np.testing.assert_allclose(lasso["excess"], 0, atol=1e-10)
    np.testing.assert_allclose(lasso["error"], 0, atol=1e-6)


def test_another_event_than_the_published_one_is_seen(lasso):
    other = lasso.isel(event=slice(0, 11)).assign(
        feature=lasso["feature"].where(lasso["event"] != 2, 5)
    )
    rows = STUDY.excerpts["diabetes"]({"diabetes": other}).table.rows
    assert rows[2][1:] == ["+9 (ltg) 889.31", "+5 (tc) 889.31", "another event"]
    assert rows[12][2:] == ["–", "another event"]


def test_the_printed_table_has_both_parts(lasso, images):
    found = lassonet.fit_splits(SMALL, Session())
    table, _ = STUDY.tabulate({"diabetes": lasso, "lassonet": found})
    assert [row.split(":")[0] for row in table.rows if isinstance(row, str)] == [
        "Efron et al. 2004",
        "Park and Casella 2008",
        "Ziyin and Wang 2023",
        "Lemhadri et al. 2021",
    ]
    assert {len(row) for row in table.rows if not isinstance(row, str)} == {len(table.headings)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": 1}, "splits: expected at least 2"),
        ({"pixels": 784}, "pixels: expected at least 1, below 784"),
        ({"growth": 1.0}, "growth: expected a factor above 1"),
        ({"peer_splits": 11}, "peer-splits: expected from 0 to the number of splits"),
        (
            {"decay_strengths": (0.0,)},
            "decay-strengths: expected different numbers between 0 and 949",
        ),
        (
            {"decay_strengths": (950.0,)},
            "decay-strengths: expected different numbers between 0 and 949",
        ),
        ({"decay_strengths": (5.0, 5.0)}, "decay-strengths: expected different numbers"),
        ({"decay_seeds": 0}, "decay-seeds: expected at least 1"),
        ({"weight_decay": -0.1}, "weight-decay: expected a number of at least 0"),
    ],
)
def test_mistakes_are_one_line(changes, message):
    with pytest.raises(SettingError, match=message):
        dataclasses.replace(Settings(), **changes)
