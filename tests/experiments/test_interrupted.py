"""Ctrl-C in the main job: only finished runs are kept, and the same command resumes from there."""

import signal
import time

import pytest
from processes import SMALL, run, start


def test_an_interrupted_study_resumes_where_it_stopped(tmp_path):
    out, hidden = tmp_path / "results", tmp_path / ".results.unfinished"
    words = [
        "--out",
        out,
        "--cache",
        "None",
        "--sweep.seeds",
        "2",
        "--training.epochs",
        "100",
        "--drawing.steps",
        "20",
    ]
    words += ["--drawing.strengths", "1", "--drawing.l1", "1", "--drawing.l2", "1"]
    process = start(*words)
    deadline = time.monotonic() + 120
    while not list(hidden.glob("chunks/*/chunk-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert said.strip().count("\n") <= 2
    assert (
        "finished runs are kept, and the same command resumes from there; earlier results are "
        "unchanged" in err
    )
    assert {path.name for path in hidden.iterdir()} == {"chunks"}
    kept = {path.name: path.stat().st_mtime_ns for path in hidden.glob("chunks/*/chunk-*")}
    assert 1 <= len(kept) < 6

    # A run with other settings neither collides with the interrupted one nor removes its finished
    # runs.
    status, said = run("--out", out, *SMALL)
    assert status == 0, said
    assert "interrupted runs with other settings are kept in" in said
    assert kept == {path.name: path.stat().st_mtime_ns for path in hidden.glob("chunks/*/chunk-*")}

    process = start(*words)
    while len(list(hidden.glob("chunks/*/chunk-*"))) <= len(kept) and process.poll() is None:
        time.sleep(0.02)
    assert (
        kept.items()
        <= {path.name: path.stat().st_mtime_ns for path in hidden.glob("chunks/*/chunk-*")}.items()
    )
    said, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


@pytest.mark.parametrize("wait", [0.2, 1.5])
def test_an_early_interrupt_leaves_nothing_behind_but_chunks(tmp_path, wait):
    process = start("--out", tmp_path / "results", "--cache", "None")
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _said, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert not list(tmp_path.glob(".results.unfinished/new-*"))
