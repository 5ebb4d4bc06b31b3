"""A new study needs a folder with at most forty lines of code and one line in the registry, and
nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

ROOT = Path(__file__).parents[2]
TOY = '''"""How many of ten weights an L1 penalty sets to zero."""

import dataclasses

import jax
import jax.numpy as jnp

import jaxreg
from experiments.claims import above
from experiments.figures.style import new_figure
from experiments.study import Claim, Study, Sweep


@dataclasses.dataclass(frozen=True)
class Settings:
    """Ten weights drawn from a normal distribution."""

    seeds: int = 8
    """Number of repetitions."""


def draw_weights(settings, session):
    def count_zeros(key, run, _):
        return {"zeros": jnp.mean(run["penalty"].prox(jax.random.normal(key, (10,)), 1.0) == 0)}

    grid = jaxreg.grid(penalty=jaxreg.L1(jnp.array([0.5, 1.0])), seed=range(settings.seeds))
    return session.sweep(count_zeros, grid).dataset()


def evaluate(results):
    zeros = 100 * results["toy"]["zeros"].values[1]
    return [above("L1 makes zeros.", "Share of zeros at λ = 1", zeros, unit="%")]


def draw(results):
    figure = new_figure(4, 3)
    figure.subplots().boxplot(results["toy"]["zeros"].values.T)
    return figure


SWEEP = Sweep("toy", lambda settings: 2 * settings.seeds, draw_weights)
CAPTION = "Share of zeros for both strengths."
CLAIM = Claim("toy-zeros", "Zeros of a toy", "L1 makes zeros.", evaluate, draw, CAPTION)
STUDY = Study("toy", "What L1 does to ten weights", Settings(), Settings(seeds=3), [SWEEP], [CLAIM])
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the experiments with the toy in it, and a fresh working folder."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(
        ROOT / "experiments",
        folder / "experiments",
        ignore=shutil.ignore_patterns("gallery", "__pycache__"),
    )
    toy = folder / "experiments" / "studies" / "toy"
    toy.mkdir()
    (toy / "__init__.py").write_text(TOY, encoding="utf-8")
    registry = toy.parent / "__init__.py"
    text = registry.read_text(encoding="utf-8")
    registry.write_text(
        text.replace('    "images",\n', '    "images",\n    "toy",\n'), encoding="utf-8"
    )
    return folder


def run(place, *words):
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "COLUMNS": "200",
        "PYTHONPATH": f"{place}{os.pathsep}{ROOT}",
    }
    command = [sys.executable, "-m", "experiments", *words]
    done = subprocess.run(
        command,
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_toy_study_gets_everything_from_forty_lines(place):
    assert len([line for line in TOY.splitlines() if line.strip()]) <= 40
    status, said = run(place, "--help")
    assert status == 0
    assert "• toy " in said and "What L1 does to ten weights" in said
    status, said = run(place, "toy", "--help")
    assert "--seeds" in said and "Number of repetitions." in said and "--quick" in said

    status, said = run(place, "toy", "--quick", "--cache", "None")
    assert status == 0, said
    assert "training (toy)" in said and "6/6" in said
    assert "Zeros of a toy: supported" in said and "(quick run, not final)" in said
    status, said = run(place, "toy", "--cache", "None")
    assert status == 0, said
    assert "16/16" in said and "not final" not in said
    for out, seeds in ((place / "results" / "quick" / "toy", 3), (place / "results" / "toy", 8)):
        assert {path.name for path in out.iterdir()} == {
            "toy.nc", "toy-zeros.png", "toy-zeros.svg", "summary.md", "study.json",
        }  # fmt: skip
        with xr.open_dataset(out / "toy.nc", engine="netcdf4") as dataset:
            assert dataset["zeros"].shape == (2, seeds)
        assert json.loads((out / "study.json").read_text())["config"]["seeds"] == seeds

    status, said = run(place, "report", "--gallery", "gallery")
    assert status == 0, said
    page = (place / "results" / "report.html").read_text(encoding="utf-8")
    assert "What L1 does to ten weights" in page and "Zeros of a toy" in page
    assert "quick run" not in page
    assert "![Zeros of a toy: supported](toy-zeros.png)" in (
        place / "gallery" / "README.md"
    ).read_text(encoding="utf-8")
    assert (place / "gallery" / "toy-zeros.png").exists()

    block = "<!-- table {}: written by `python -m experiments readme` -->\n<!-- end -->\n"
    (place / "README.md").write_text(block.format("toy/claims"), encoding="utf-8")
    (place / "experiments" / "README.md").write_text(block.format("commands"), encoding="utf-8")
    status, said = run(place, "readme")
    assert status == 0, said
    assert "| L1 makes zeros | supported | " in (place / "README.md").read_text(encoding="utf-8")
    commands = (place / "experiments" / "README.md").read_text(encoding="utf-8")
    assert "| `python -m experiments toy` | What L1 does to ten weights |" in commands


def test_a_toy_study_resumes_after_a_kill(place):
    toy = place / "experiments" / "studies" / "toy" / "__init__.py"
    # The evaluation is interrupted after the sweep is done: its chunks are kept, and the next start
    # computes none of them.
    toy.write_text(
        TOY.replace(
            "def evaluate(results):", "def evaluate(results):\n    raise KeyboardInterrupt\n"
        ),
        encoding="utf-8",
    )
    status, said = run(place, "toy", "--out", "again", "--cache", "None")
    assert status == 130
    assert "16 finished runs are kept, and the same command resumes from there" in said
    chunks = {
        path: path.stat().st_mtime_ns for path in place.glob(".again.unfinished/chunks/*/chunk-*")
    }
    assert chunks
    status, said = run(place, "toy", "--out", "again", "--cache", "None")
    assert status == 130
    assert chunks == {
        path: path.stat().st_mtime_ns for path in place.glob(".again.unfinished/chunks/*/chunk-*")
    }
    toy.write_text(TOY, encoding="utf-8")
    status, said = run(place, "toy", "--out", "again", "--cache", "None")
    assert status == 0, said
    assert not list(place.glob(".again*"))
