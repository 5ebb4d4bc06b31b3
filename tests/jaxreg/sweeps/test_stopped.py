"""Sweeps in processes of their own: killed, interrupted, and over two processes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ports import free_port

SLOW = Path(__file__).with_name("killed_sweep.py")


def slow_sweep(folder, result, *distributed):
    command = [sys.executable, str(SLOW), str(folder), str(result), *map(str, distributed)]
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    result = tmp_path_factory.mktemp("undisturbed") / "result.npz"
    process = slow_sweep("none", result)
    said, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "25 runs (penalty 5 × seed 5), none diverged" in said
    return dict(np.load(result))


def assert_result(result, undisturbed):
    with np.load(result) as found:
        for name, values in undisturbed.items():
            np.testing.assert_array_equal(found[name], values)


def test_killed_at_ten_moments_it_ends_as_if_undisturbed(tmp_path, undisturbed):
    moments = random.Random(0)
    folder, result = tmp_path / "chunks", tmp_path / "result.npz"
    finished, latest = [], 1.5  # seconds after the start
    for _ in range(10):
        process = slow_sweep(folder, result)
        assert process.stdout.readline() == "started\n"
        time.sleep(moments.uniform(0.0, latest))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        finished.append(len(list(folder.glob("chunk-*"))) if folder.exists() else 0)
        if finished[-1] == 0:
            latest *= 1.5  # a busy or slow machine needs longer for its first chunk
    assert finished == sorted(finished)
    assert finished[-1] > 0
    process = slow_sweep(folder, result)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert_result(result, undisturbed)


def test_ctrl_c_saves_the_chunk_and_says_how_to_go_on(tmp_path, undisturbed):
    folder, result = tmp_path / "chunks", tmp_path / "result.npz"
    process = slow_sweep(folder, result)
    deadline = time.monotonic() + 60
    while not list(folder.glob("chunk-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt: stopped after " in err
    assert f"they are saved in {folder}, and the same call resumes from there" in err
    done = len(list(folder.glob("chunk-*")))
    assert 1 <= done < 13
    process = slow_sweep(folder, result)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert_result(result, undisturbed)


def test_two_processes_give_the_numbers_of_one(tmp_path, undisturbed):
    for folder in (
        "none",
        tmp_path / "chunks",
        tmp_path / "chunks",
    ):  # the third time, from the chunks
        port = free_port()
        result = tmp_path / "result.npz"
        both = [slow_sweep(folder, result, 2, process, port) for process in (0, 1)]
        for process in both:
            said, err = process.communicate(timeout=180)
            assert process.returncode == 0, err
            assert "25 runs (penalty 5 × seed 5), none diverged" in said
        assert_result(result, undisturbed)
