"""The lab: a result is whole or absent, an interrupted command resumes, and all that is shown comes
from the result.
"""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy

import jaxreg
from experiments import lab
from experiments.settings import SettingError

OPTIONS = {"cache": None, "devices": 1}


def start(tmp_path, sleep, *strengths, **environment):
    words = [sys.executable, toy.__file__, tmp_path, tmp_path / "log", str(sleep), *strengths]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, **pipes, env={**os.environ, **environment})


def end(process):
    """Its exit status and what it said on stderr."""
    said = process.communicate()[1]
    return process.returncode, said


def runs_logged(tmp_path):
    log = tmp_path / "log"
    return len(log.read_text().split()) if log.exists() else 0


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy")
    lab.run(toy.STUDY, toy.Settings(), lab.Options(out=out, **OPTIONS), "python -m toy")
    return out / "toy.nc"


def test_a_sweep_sees_the_results_of_those_before_it(tmp_path):
    def count(_, session):
        (before,) = session.results
        return session.results[before].sum()

    study = dataclasses.replace(toy.STUDY, sweeps={"toy": toy.train, "sums": count})
    lab.run(study, toy.Settings(), lab.Options(out=tmp_path, **OPTIONS), "toy")
    groups, _ = lab.load(tmp_path / "toy.nc")
    assert groups["sums"]["zeros"] == groups["toy"]["zeros"].sum() > 0


def test_a_result_is_one_file_that_says_how_it_was_made(result):
    assert sorted(path.name for path in result.parent.iterdir()) == [".toy.lock", "toy", "toy.nc"]
    groups, made_by = lab.load(result)
    assert groups["toy"]["zeros"].dims == ("penalty", "seed")
    assert groups["toy"]["zeros"].values[0].tolist() == [0, 0, 0]
    assert groups["toy"].coords["penalty"].values.tolist() == [0, 1, 4]
    assert made_by["study"] == "toy" and made_by["command"] == "python -m toy"
    assert made_by["config"]["seeds"] == 3 and made_by["quick"] is False
    assert made_by["versions"]["jaxreg"] == jaxreg.__version__ and set(made_by["devices"]) == {
        "cpu"
    }


def test_the_summary_shows_tables_verdicts_and_figures(result, capsys):
    lab.draw(toy.STUDY, result)
    printed = capsys.readouterr().out
    text = (result.parent / "toy" / "summary.md").read_text()
    for shown in ("What L1 does", "A table.", "A paragraph.", "Zeros: supported in part"):
        assert shown in text and shown in printed
    assert "| a\\|b |" in text
    assert "- **supported**: A large λ gives zeros: 86.7 % [" in text
    assert "1 supported, 1 contradicted." in text
    assert "How: Share of zeros." in text and "How:" not in printed
    for name in ("zeros", "plain"):
        assert f"]({name}.png)" in text
        assert (result.parent / "toy" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (result.parent / "toy" / f"{name}.svg").read_text()


def test_drawing_reads_the_file_alone(result, tmp_path):
    groups, made_by = lab.load(result)
    groups["toy"]["zeros"][...] = 0
    lab.save(groups, made_by, tmp_path / "toy.nc")
    lab.draw(toy.STUDY, tmp_path / "toy.nc")
    assert (
        "contradicted**: A large λ gives zeros: 0.0 %"
        in (tmp_path / "toy" / "summary.md").read_text()
    )


def test_diverged_runs_are_named(tmp_path):
    settings = toy.Settings(strengths=(0.0, 1e7), seeds=2)
    lab.run(toy.STUDY, settings, lab.Options(out=tmp_path, **OPTIONS), "toy")
    text = (tmp_path / "toy" / "summary.md").read_text()
    assert "toy: 2 runs diverged; their numbers are nan: penalty 10000000.0, seed 0; " in text


def test_what_other_code_has_finished_is_not_mixed_with_ours(tmp_path):
    def train(settings, session, *, factor):
        runs = jaxreg.grid(seed=range(2))
        swept = session.sweep(lambda key, run, data: {"x": factor * run["seed"]}, runs)
        if factor == 1.0:
            raise KeyboardInterrupt
        return swept.dataset()

    again = "delete this folder to begin anew"
    for factor, error, message in ((1.0, KeyboardInterrupt, None), (2.0, SettingError, again)):
        sweeps = {"toy": functools.partial(train, factor=factor)}
        study = dataclasses.replace(toy.STUDY, sweeps=sweeps)
        with pytest.raises(error, match=message):
            lab.run(study, toy.Settings(), lab.Options(out=tmp_path, **OPTIONS), "toy")


def test_after_a_kill_the_old_result_is_whole_and_the_command_resumes(tmp_path):
    assert end(start(tmp_path, 0))[0] == 0
    before = (tmp_path / "toy.nc").read_bytes()
    (tmp_path / "log").unlink()
    killed = start(tmp_path, 0.5, "1", "2")
    while runs_logged(tmp_path) < 3:
        time.sleep(0.05)
        assert killed.poll() is None
    killed.kill()
    end(killed)
    assert (tmp_path / "toy.nc").read_bytes() == before
    saved = len(list(tmp_path.glob(".toy.chunks/*/toy/chunk-*")))
    done = runs_logged(tmp_path)
    assert saved >= 2
    assert end(start(tmp_path, 0.5, "1", "2"))[0] == 0
    assert runs_logged(tmp_path) - done == 6 - saved
    assert lab.load(tmp_path / "toy.nc")[0]["toy"].sizes == {"penalty": 2, "seed": 3}
    assert not (tmp_path / ".toy.chunks").exists()


def test_a_second_command_for_the_same_result_says_so(tmp_path):
    first = start(tmp_path, 0.5)
    while not runs_logged(tmp_path):
        time.sleep(0.05)
    second = start(tmp_path, 0)
    assert "another command is writing this result" in end(second)[1]
    assert end(first)[0] == 0


def test_a_full_disk_leaves_the_old_result(tmp_path):
    assert end(start(tmp_path, 0))[0] == 0
    before = (tmp_path / "toy.nc").read_bytes()
    status, said = end(start(tmp_path, 0, "0", "2", LARGEST_FILE="4000"))
    assert status == 1 and str(tmp_path) in said.splitlines()[-1]
    assert (tmp_path / "toy.nc").read_bytes() == before
    assert not list(tmp_path.glob("*.nc.*"))


def test_what_is_no_result_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such result; run its command first"):
        lab.load(tmp_path / "toy.nc")
    (tmp_path / "toy.nc").write_text("{}")
    with pytest.raises(ValueError, match=r"toy.nc: expected the result of a study, got"):
        lab.load(tmp_path / "toy.nc")


def test_provenance_is_json(result):
    made_by = lab.load(result)[1]
    assert json.loads(json.dumps(made_by)) == made_by
    assert Path(toy.__file__).exists()
