"""The quick version of every study: its runs, and the findings and figure of every claim, also if
all runs diverged.
"""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from experiments import studies
from experiments.results import store
from experiments.settings import Training
from experiments.studies.strength import claims as strength_claims
from experiments.study import Session

STUDIES = {study.name: study for study in studies.load() if study.name != "images"}
# The claims on relevance are tested for their form here, which networks that hardly trained have as
# well.
QUICK = {name: study.quick for name, study in STUDIES.items()}
FAST = dataclasses.replace(
    QUICK["relevance"].network, seeds=2, shares=(0.0, 0.9), training=Training(epochs=3)
)
QUICK["relevance"] = dataclasses.replace(QUICK["relevance"], network=FAST)
CLAIMS = [(study.name, claim) for study in STUDIES.values() for claim in study.claims]


@pytest.fixture(scope="module")
def every():
    """The results of every study's quick version, and the number of runs that each sweep
    reported.
    """
    results, counted = {}, {}
    for name, study in STUDIES.items():
        results[name] = {}
        for sweep in study.sweeps:
            done = []
            results[name][sweep.name] = sweep.train(QUICK[name], Session(2, None, done.append))
            counted[name, sweep.name] = sum(done)
    return results, counted


@pytest.fixture(scope="module")
def swept(every):
    return every[0]["strength"]["strength"]


def test_every_figure_has_a_name_of_its_own():
    names = [name for study in studies.load() for name in study.names]
    assert len(names) == len(set(names))


def test_every_sweep_counts_its_runs(every):
    for (name, sweep_name), count in every[1].items():
        sweep = next(one for one in STUDIES[name].sweeps if one.name == sweep_name)
        assert count == sweep.count(QUICK[name]), sweep_name


@pytest.mark.parametrize("name", STUDIES)
def test_every_variable_has_units_and_a_long_name_on_disk(name, every, tmp_path):
    for sweep_name, dataset in every[0][name].items():
        store.save_dataset(dataset, tmp_path / f"{sweep_name}.nc", {})
        with xr.open_dataset(tmp_path / f"{sweep_name}.nc", engine="netcdf4") as loaded:
            for variable, values in loaded.variables.items():
                assert values.attrs.get("units"), (sweep_name, variable)
                assert values.attrs.get("long_name"), (sweep_name, variable)


@pytest.mark.parametrize("name", STUDIES)
def test_loaded_datasets_equal_those_that_were_saved(name, every, tmp_path):
    for sweep_name, dataset in every[0][name].items():
        store.save_dataset(dataset, tmp_path / f"{sweep_name}.nc", {})
        loaded = store.load_dataset(tmp_path / f"{sweep_name}.nc")
        del loaded.attrs["made_by"]
        xr.testing.assert_identical(loaded, dataset)
        types = {key: variable.dtype for key, variable in dataset.variables.items()}
        assert {key: variable.dtype for key, variable in loaded.variables.items()} == types


@pytest.mark.parametrize(("name", "claim"), CLAIMS, ids=[claim.name for _, claim in CLAIMS])
def test_every_claim_has_findings_and_a_figure(name, claim, every):
    found = claim.evaluate(every[0][name])
    assert len(found) >= 3
    assert all(one.statement.endswith(".") and one.numbers and one.tested for one in found)
    lines = claim.headlines(every[0][name], found)
    assert lines and all(lines)
    figure = claim.draw(every[0][name])
    figure.canvas.draw()
    assert all(axes.get_xlabel() or axes.get_title() or axes.get_ylabel() for axes in figure.axes)


@pytest.mark.parametrize(("name", "claim"), CLAIMS, ids=[claim.name for _, claim in CLAIMS])
def test_if_every_run_diverged_nothing_is_measured(name, claim, every):
    broken = {
        key: dataset.map(lambda values: values * np.nan if values.dtype.kind == "f" else values)
        for key, dataset in every[0][name].items()
    }
    found = claim.evaluate(broken)
    assert {one.verdict for one in found} == {"not measured"}
    assert all(claim.headlines(broken, found))
    claim.draw(broken).canvas.draw()


EXCERPTS = [(study.name, name) for study in STUDIES.values() for name in study.excerpts]


@pytest.mark.parametrize("diverged", [False, True])
@pytest.mark.parametrize(("name", "excerpt"), EXCERPTS, ids=[name for _, name in EXCERPTS])
def test_every_excerpt_is_a_table(name, excerpt, diverged, every):
    results = every[0][name]
    if diverged:
        results = {
            key: one.map(
                lambda values: (
                    values * np.nan
                    if values.dtype.kind == "f" and values.name != "figure_strength"
                    else values
                )
            )
            for key, one in results.items()
        }
    table, _ = STUDIES[name].excerpts[excerpt](results)
    # A row that is a string is a heading for those below it.
    rows = [row for row in table.rows if not isinstance(row, str)]
    assert len(rows) >= 3
    assert {len(row) for row in rows} == {len(table.headings)}
    assert any("nan" in cell for row in rows for cell in row) == diverged


def test_pairs_of_equal_updates_stay_together_and_other_pairs_do_not(every):
    end = every[0]["baselines"]["pairs"].isel(epoch=-1)
    apart = {
        str(name): end["decay_distance"].sel(decay_pair=name).values
        for name in end["decay_pair"].values
    }
    assert apart["SGD"].max() < 1e-14
    assert apart["SGD, momentum 0.9"].min() > 1e-4
    assert apart["Adam"].min() > 1e-2
    scaled = {
        str(name): end["scale_distance"].sel(scale_pair=name).values
        for name in end["scale_pair"].values
    }
    for name, values in scaled.items():
        assert (
            values.max() < 1e-3
            if "100·λ" in name or name.startswith("AdamW")
            else values.min() > 1e-2
        ), name


def test_zeros_are_distinguished_from_none(swept):
    found = strength_claims.zeros({"strength": swept})
    assert [one.verdict for one in found] == ["supported"] * 3


def test_a_diverged_run_leaves_its_claim_unmeasured(swept):
    broken = swept.copy(deep=True)
    broken["norm"][{"method": 3, "level": 2, "wrong": 0, "seed": 1}] = np.nan
    found = strength_claims.norm({"strength": broken})
    assert [one.verdict == "not measured" for one in found] == [False, True, False]
