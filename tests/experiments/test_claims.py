"""Every study in its small version: its runs, and every claim's findings and figure, also where all diverged."""

import dataclasses

import numpy as np
import pytest

from experiments.claims import baselines as baseline_claims
from experiments.claims import relevance as relevance_claims
from experiments.claims import stability as stability_claims
from experiments.claims import strength as strength_claims
from experiments.config import BASELINE_NAMES, CLAIM_NAMES, QUICK_BASELINES, QUICK_CLAIMS, Training
from experiments.studies import chatter, linear, pairs, relevance, stability, strength, tilt

# Its claims are tested for their form here, which networks that hardly trained have as well.
FAST_RELEVANCE = dataclasses.replace(QUICK_CLAIMS.relevance, seeds=2, shares=(0.0, 0.9), training=Training(epochs=3))
STUDIES = {
    "strength": (strength, QUICK_CLAIMS.strength),
    "relevance": (relevance, FAST_RELEVANCE),
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


def test_every_name_is_a_claim():
    assert sorted(spec.name for spec in SPECS) == sorted((*CLAIM_NAMES, *BASELINE_NAMES))


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


def test_pairs_that_are_one_update_stay_together_and_others_part(records):
    end = records[0]["pairs"].isel(epoch=-1)
    apart = {str(name): end["decay_distance"].sel(decay_pair=name).values for name in end["decay_pair"].values}
    assert apart["SGD"].max() < 1e-14
    assert apart["SGD, momentum 0.9"].min() > 1e-4
    assert apart["Adam"].min() > 1e-2
    scaled = {str(name): end["scale_distance"].sel(scale_pair=name).values for name in end["scale_pair"].values}
    for name, values in scaled.items():
        assert values.max() < 1e-3 if "100·λ" in name or name.startswith("AdamW") else values.min() > 1e-2, name


def test_zeros_are_told_apart_from_none(swept):
    found = strength_claims.zeros({"strength": swept})
    assert [one.verdict for one in found] == ["supported"] * 3


def test_a_diverged_run_leaves_its_claim_unmeasured(swept):
    broken = swept.copy(deep=True)
    broken["norm"][{"way": 3, "level": 2, "wrong": 0, "seed": 1}] = np.nan
    found = strength_claims.norm({"strength": broken})
    assert [one.verdict == "not measured" for one in found] == [False, True, False]
