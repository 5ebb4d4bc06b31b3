"""Signals that end a command: the exit status, the message, and what remains on disk."""

import signal
import subprocess
import sys
import time

import pytest
from processes import ROOT, start

ENDING = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}

IMPORTING = """
import signal
from experiments import stopping
stopping.listen()
try:
    signal.raise_signal(signal.{name})
except BaseException:
    pass  # as an extension module does with an exception from its callback
print("went on")
"""


@pytest.mark.parametrize("name", ENDING)
def test_a_signal_during_imports_ends_the_process_even_if_exceptions_are_swallowed(name):
    script = [sys.executable, "-c", IMPORTING.format(name=name)]
    ended = subprocess.run(
        script, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (ENDING[name], "", "interrupted\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_during_training_keeps_the_finished_chunks_and_says_so(tmp_path, name):
    hidden = tmp_path / ".results.unfinished"
    process = start(
        "--out",
        tmp_path / "results",
        "--cache",
        "None",
        "--hidden",
        "8",
        "--training.epochs",
        "1000",
    )
    try:
        deadline = time.monotonic() + 120
        while not list(hidden.glob("chunks/*/chunk-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(getattr(signal, name))
        _said, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == ENDING[name], err
    assert "Traceback" not in err
    assert (
        "finished runs are kept, and the same command resumes from there; earlier results are "
        "unchanged" in err
    )
    assert list(hidden.glob("chunks/*/chunk-*"))
    assert {path.name for path in tmp_path.iterdir()} == {hidden.name}
    assert {path.name for path in hidden.iterdir()} == {"chunks"}
