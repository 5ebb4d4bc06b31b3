"""Starts commands in separate processes, as a user does."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The main job's settings for a run of seconds.
SMALL = [
    "--sweep.seeds",
    "2",
    "--training.epochs",
    "2",
    "--drawing.steps",
    "20",
    "--hidden",
    "8",
    "--sweep.l1",
    "1e-3",
]
SMALL += [
    "--sweep.l2",
    "1e-3",
    "--sweep.decay",
    "1",
    "--drawing.strengths",
    "1e-3",
    "1",
    "--drawing.l1",
    "1e-3",
    "--drawing.l2",
    "1",
]


def start(*words, platform="cpu", program=("-m", "experiments")):
    environment = {**os.environ, "JAX_PLATFORMS": platform, "COLUMNS": "200"}
    command = [sys.executable, *program, *map(str, words)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*words):
    process = start(*words)
    out, err = process.communicate(timeout=300)
    return process.returncode, out + err
