"""Studies and suites on the command line: what they write, print, refuse and resume."""

import json
import signal
import time

import pytest
import xarray as xr
from processes import run, start

SMALL = ["--quick", "--seeds", "2", "--training.epochs", "4", "--hidden", "8", "--cache", "None"]


def test_a_study_is_evaluated_and_written(tmp_path):
    out = tmp_path / "strength"
    status, said = run("strength", *SMALL, "--out", out)
    assert status == 0, said
    assert "training (strength)" in said
    assert (
        "quick run: few seeds and few strengths, so its numbers and verdicts are not final" in said
    )
    assert "L1 gives exact zeros: " in said
    assert "(quick run, not final)" in said
    names = {path.name for path in out.iterdir()}
    pictures = {
        f"{name}.{ending}"
        for name in ("zeros", "shrinkage", "norm", "overfitting")
        for ending in ("png", "svg")
    }
    assert names == pictures | {"strength.nc", "ridge.nc", "study.json", "summary.md"}
    written = json.loads((out / "study.json").read_text())
    assert written["command"].startswith("python -m experiments strength --quick --seeds 2")
    assert written["config"]["seeds"] == 2
    assert written["quick"] is True
    assert [claim["name"] for claim in written["claims"]] == [
        "zeros",
        "shrinkage",
        "norm",
        "overfitting",
    ]
    assert len(written["claims"][0]["findings"]) == 3
    with xr.open_dataset(out / "strength.nc", engine="netcdf4") as dataset:
        assert dataset["zero_fraction"].dims == ("method", "level", "wrong", "seed")
        assert json.loads(dataset.attrs["made_by"])["seconds"] > 0
    summary = (out / "summary.md").read_text()
    assert (
        "**Quick run: few seeds and few strengths, so its numbers and verdicts are not final.**"
        in summary
    )
    assert summary.index("L1 drives weights to exactly zero") < summary.index(
        "Both reduce overfitting"
    )


def test_a_quick_run_never_replaces_full_results(tmp_path):
    out = tmp_path / "strength"
    out.mkdir()
    (out / "study.json").write_text(json.dumps({"quick": False, "files": ["study.json"]}))
    status, said = run("strength", *SMALL, "--out", out)
    assert status == 2
    assert f"error: out: expected a folder without full results for a quick run, got {out}" in said
    assert json.loads((out / "study.json").read_text())["quick"] is False


# The command with a suite of two studies, whose networks are trained for few epochs.
TWO_STUDIES = """
import dataclasses
import sys

from experiments import __main__, studies

load = studies.load

def shortened(study):
    training = dataclasses.replace(study.quick.training, epochs=8)
    return dataclasses.replace(study, quick=dataclasses.replace(study.quick, training=training))

def two_studies():
    found = {study.name: study for study in load()}
    return [shortened(found["strength"]), found["stability"]]

studies.load = two_studies
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_an_interrupted_suite_resumes(tmp_path):
    program = ("-c", TWO_STUDIES)
    out = tmp_path / "results"
    words = ["claims", "--quick", "--out", out, "--cache", "None"]
    process = start(*words, program=program)
    chunks = out / ".claims.unfinished" / "chunks"
    deadline = time.time() + 120
    while not list(chunks.glob("strength-*/chunk-*")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = "".join(process.communicate(timeout=120))
    assert process.returncode == 130, said
    assert "the same command resumes from there" in said
    kept = {path.name: path.stat().st_mtime_ns for path in chunks.glob("strength-*/chunk-*")}
    assert kept
    process = start(*words, program=program)
    seen = dict(kept)
    while process.poll() is None:
        seen |= {
            path.name: path.stat().st_mtime_ns
            for path in chunks.glob("strength-*/chunk-*")
            if path.name in kept and path.exists()
        }
        time.sleep(0.02)
    said = "".join(process.communicate())
    assert process.returncode == 0, said
    assert seen == kept
    assert {path.name for path in out.iterdir()} == {"strength", "stability"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["strength", "--seeds", "1"],
            "seeds: expected at least 2, as an interval needs them, got 1",
        ),
        (
            ["strength", "--l1", "0.2", "0.1"],
            "l1: expected increasing positive strengths, got (0.2, 0.1)",
        ),
        (
            ["strength", "--l1", "0.1", "0.2"],
            "the same number of strengths, got 2 for l1, 7 for decoupled-l1, 7 for l2",
        ),
        (["claims", "--out", "jaxreg"], "error: out: "),
    ],
)
def test_mistakes_are_one_line(words, expected, tmp_path):
    folder = tmp_path / "jaxreg" / "strength"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("")
    status, said = run(*[folder.parent if word == "jaxreg" else word for word in words])
    assert status == 2, said
    assert expected in said
    assert len(said.strip().splitlines()) == 1


def test_help_explains_a_study():
    for words in (["relevance", "--help"], ["help", "relevance"]):
        status, said = run(*words)
        assert status == 0
        for word in ("Tests four claims", "--network.shares", "--linear.rows", "--quick", "--out"):
            assert word in said
    status, said = run("baselines", "--help")
    assert status == 0
    assert "--tilt.rates" in said
