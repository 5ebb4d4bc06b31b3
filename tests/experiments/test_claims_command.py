"""`claims` and `baselines` as a user meets them: what is written, said, refused, and gone on with."""

import json
import signal
import time

import pytest
import xarray as xr
from processes import run, start

TINY = ["--quick", "--linear.seeds", "3", "--linear.steps", "200", "--linear.resamples", "3", "--chatter.steps", "200"]
SMALL = [*TINY, "--strength.seeds", "2", "--strength.training.epochs", "4", "--strength.hidden", "8", "--cache", "None"]


def test_a_claim_is_judged_written_and_joined_to_the_table(tmp_path):
    out = tmp_path / "claims"
    status, said = run("claims", "zeros", *SMALL, "--out", out)
    assert status == 0, said
    assert "study strength" in said
    assert "L1 gives exact zeros: " in said
    told = json.loads((out / "zeros" / "claim.json").read_text())
    assert told["name"] == "zeros"
    # What makes it again, settings and all.
    assert told["command"].startswith("python -m experiments claims zeros --quick --linear.seeds 3")
    assert told["made_by"]["config"]["strength"]["seeds"] == 2
    assert len(told["findings"]) == 3
    assert (out / "zeros" / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "zeros" / "figure.svg").stat().st_size > 1000
    with xr.open_dataset(out / "records" / "strength.nc", engine="netcdf4") as records:
        assert records["zero_fraction"].dims == ("way", "level", "wrong", "seed")
        assert json.loads(records.attrs["made_by"])["seconds"] > 0
    status, said = run("claims", "stability", *SMALL, "--out", out)
    assert status == 0, said
    table = (out / "claims.md").read_text()
    assert table.index("L1 drives weights to exactly zero") < table.index("L1 can be unstable to optimise")
    assert "| **supported" in table
    assert "python -m experiments claims stability --quick" in table
    assert {path.name for path in out.iterdir()} == {"zeros", "stability", "records", "claims.md"}


def test_an_interrupted_claim_goes_on(tmp_path):
    out = tmp_path / "claims"
    words = ["claims", "norm", "--quick", "--out", out, "--cache", "None", "--strength.training.epochs", "400"]
    process = start(*words)
    chunks = out / ".unfinished" / "chunks"
    deadline = time.time() + 120
    while not list(chunks.glob("strength-*/chunk-*")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = "".join(process.communicate(timeout=120))
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    kept = {path.name: path.stat().st_mtime_ns for path in chunks.glob("strength-*/chunk-*")}
    assert kept
    process = start(*words)
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
    assert not chunks.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["claims", "zero"],
            "error: claims: expected names among zeros, shrinkage, norm, overfitting, selection, relevance, ",
        ),
        (["baselines", "zeros"], "error: baselines: expected names among decay, tilt, scale, got zeros"),
        (["claims", "--quick", "zeros"], "error: claims: expected names before the settings, got zeros behind --quick"),
        (["claims", "--strength.seeds", "1"], "seeds: expected at least 2, as an interval needs them, got 1"),
        (["claims", "--strength.l1", "0.2", "0.1"], "l1: expected increasing positive strengths, got (0.2, 0.1)"),
        (["claims", "--strength.l1", "0.1", "0.2"], "as many strengths each, got {'l1': 2, 'decoupled-l1': 7, 'l2': 7"),
        (["claims", "zeros", "--out", "jaxreg"], "error: out: "),
    ],
)
def test_mistakes_are_one_line(words, expected, tmp_path):
    folder = tmp_path / "jaxreg" / "zeros"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("")
    status, said = run(*[folder.parent if word == "jaxreg" else word for word in words])
    assert status == 2, said
    assert expected in said
    assert len(said.strip().splitlines()) == 1


def test_help_names_every_claim():
    status, said = run("claims", "--help")
    assert status == 0
    for word in ("zeros", "no-selection", "--strength.seeds", "--relevance.shares", "--quick"):
        assert word in said
    status, said = run("baselines", "--help")
    assert status == 0
    assert "--tilt.rates" in said


def test_baselines_quickly(tmp_path):
    status, said = run("baselines", "decay", "--quick", "--out", tmp_path / "baselines", "--cache", "None")
    assert status == 0, said
    told = json.loads((tmp_path / "baselines" / "decay" / "claim.json").read_text())
    assert [one["verdict"] for one in told["findings"]] == ["supported"] * 3
