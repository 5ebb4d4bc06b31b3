"""Two processes: what one of them learns, both raise, within seconds; and the sweeps after it are
whole.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port

SCRIPT = Path(__file__).with_name("two_processes.py")
SECONDS = 60  # compilation and start included; what this replaces hung for 34 to 305 s

CASES = {
    "mismatch": "SweepMismatchError sweep: {folder} holds the chunks of another sweep (program: "
    "fit computes",
    "full": "OSError [Errno 28] sweep: a chunk of 2 runs could not be written (No space left on "
    "device)",
    "interrupt": "KeyboardInterrupt stopped after 2 of 3 runs; they are saved in {folder}, and "
    "the same call resumes",
    "callback": "ZeroDivisionError only here",
    "different": "ValueError sweep: the processes were given different sweeps",
}


@pytest.mark.parametrize("case", CASES)
def test_both_processes_raise_the_same_error_and_go_on(tmp_path, case):
    folder = tmp_path / "chunks"
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    both = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), case, str(folder), str(process), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for process in (0, 1)
    ]
    try:
        reported = [process.communicate(timeout=SECONDS) for process in both]
    finally:
        for process in both:
            process.kill()
            process.communicate()
    assert [process.returncode for process in both] == [0, 0], reported
    first, second = (
        [line[5:] for line in said.splitlines() if line.startswith("saw: ")] for said, _ in reported
    )
    assert first == second
    assert first[0].startswith(CASES[case].format(folder=folder))
    assert first[1:] == ["results [5.0, 10.0, 15.0]"] * 2
