"""The command line, as its users type it."""

import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from experiments.benchmarks import BENCHMARKS
from experiments.studies import STUDIES

NAMES = [study.name for study in (*STUDIES, *BENCHMARKS)]


def command(*words, **options):
    words = [sys.executable, "-m", "experiments", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, **options)


def seconds_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="module")
def at_once():
    """A second of processor time, or what it is on a machine that is slow to import tyro."""
    before = seconds_of_children()
    light = [sys.executable, "-c", "import numpy, rich.console, rich.markdown, tyro"]
    subprocess.run(light, check=True)
    return max(1.0, 2.5 * (seconds_of_children() - before))


def test_help_names_every_command_at_once(at_once):
    before = seconds_of_children()
    shown = command("--help")
    assert seconds_of_children() - before < at_once
    assert shown.returncode == 0
    for name in [*NAMES, "claims", "draw", "publish", "report"]:
        assert f"\n {name} " in shown.stdout


@pytest.mark.parametrize("name", NAMES)
def test_help_of_each_command_shows_its_settings(name):
    shown = command(*name.split(), "--help")
    assert shown.returncode == 0 and "--quick" in shown.stdout and "(default: " in shown.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("strength --seeds 1", "seeds: expected at least 2, got 1"),
        ("strength --train-size 9", "train-size: expected at least 10, got 9"),
        ("strength --l1 1e-3 1e-2", "as many of each"),
        ("strength --training.learning-rate 0", "learning-rate: expected positive numbers"),
        ("strength --seeds two", "invalid"),
        ("strength --unknown 3", "--unknown"),
        ("strenth", "strenth"),
        ("bench nothing", "nothing"),
        ("images --data nowhere", "data: expected"),
    ],
)
def test_a_wrong_setting_is_said_at_once(words, said, at_once):
    before = seconds_of_children()
    refused = command(*words.split())
    assert refused.returncode == 2
    assert said in " ".join(re.sub("[│─╭╮╰╯]", " ", refused.stderr + refused.stdout).split())
    assert seconds_of_children() - before < at_once


def test_ctrl_c_keeps_what_is_done_and_the_next_start_resumes(tmp_path):
    words = f"-m experiments strength --quick --seeds 2 --devices 1 --out {tmp_path}"
    words = [sys.executable, *words.split(), "--training.epochs", "200"]
    started = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("quick/.strength.chunks/*/strength/chunk-*")):
        time.sleep(0.1)
        assert started.poll() is None
    started.send_signal(signal.SIGINT)
    _, said = started.communicate()
    assert started.returncode == 130
    assert "interrupted: stopped after" in said.splitlines()[-1]
    chunks = set(tmp_path.glob("quick/.strength.chunks/*/strength/chunk-*"))
    assert chunks and not (tmp_path / "quick" / "strength.nc").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    refused = command("strength", "--quick", "--out", tmp_path / "file")
    assert refused.returncode == 1
    assert f"{tmp_path / 'file'}" in refused.stderr.splitlines()[-1]


def test_without_results_there_is_nothing_to_show(tmp_path):
    for name in ("draw", "publish", "report"):
        refused = command(name, "--out", tmp_path)
        assert refused.returncode == 1 and "no results" in refused.stderr


def test_a_terminal_without_greek_gets_all_the_same(tmp_path):
    shown = command("--help", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert shown.returncode == 0 and "strength" in shown.stdout
