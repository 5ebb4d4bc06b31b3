"""The command line as a user meets it: in a process of its own."""

import json
import signal
import time

import pytest
import xarray as xr
from processes import run, start

SMALL = ["--sweep.seeds", "2", "--training.epochs", "2", "--drawing.steps", "20", "--hidden", "8", "--sweep.l1", "1e-3"]
SMALL += ["--drawing.player", "1e-3", "1"]


def test_the_main_job_writes_everything(tmp_path):
    out = tmp_path / "results"
    status, said = run("--out", out, *SMALL, "--devices", "2")
    assert status == 0, said
    assert "on 2 cpu device(s)" in said
    files = {path.name for path in out.iterdir()}
    pictures = {f"{name}.{ending}" for name in ("L1_1", "L2_1", "L1_2", "L2_2", "L1_3") for ending in ("png", "svg")}
    assert files == pictures | {"digits.nc", "wine.nc", "player.nc", "summary.md", "records.json"}
    assert (out / "L1_1.png").read_bytes().startswith(b"\x89PNG")
    made_by = json.loads((out / "records.json").read_text())
    assert made_by["config"]["sweep"]["l1"] == [0.001]
    assert made_by["command"].startswith("python -m experiments --out")
    with xr.open_dataset(out / "digits.nc", engine="netcdf4") as records:
        told = json.loads(records.attrs["made_by"])
        assert {**told, "seconds": 0, "files": sorted(files)} == {**made_by, "seconds": 0}
        assert records.sizes["run"] == 2 * (1 + 1 + 1 + 10 + 10)
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


def test_help_explains_every_setting():
    status, said = run("--help")
    assert status == 0
    settings = ("--sweep.l1", "--training.learning-rate", "--devices", "--quick", "--out", "λ of λΣ|w|")
    for word in (*settings, "claims", "baselines", "images", "report", "bench update", "bench lasso", "bench sweep"):
        assert word in said, word
    status, said = run("bench", "update", "--help")
    assert status == 0
    assert "--parameters" in said


MISTAKES = {
    "unknown setting": (["--bogus", "3"], "Unrecognized options: --bogus, 3"),
    "no number": (["--training.epochs", "abc"], "Error parsing --training.epochs: invalid literal for int"),
    "out of range": (["--sweep.l1", "-1"], "l1: expected positive strengths, none twice, got (-1.0,)"),
    "too large a batch": (
        ["--training.batch-size", "500"],
        "training.batch-size: expected at most train-size = 200, got 500",
    ),
    "too many rows": (["--train-size", "1797"], "train-size: expected 10 to 1787 rows, got 1797"),
    "unknown command": (["plot"], "error: unknown command 'plot'"),
    "unknown benchmark": (
        ["bench", "plot"],
        "error: bench: expected `bench update` or `bench lasso` or `bench sweep`, got 'plot'",
    ),
    "file that is a folder": (["bench", "update", "--out", "jaxreg"], "error: out: expected a file, got the folder jaxreg"),
    "working folder": (["--out", "."], "error: out: expected a folder that can be moved, got ., the working directory"),
    "foreign folder": (
        ["--out", "jaxreg"],
        "error: out: expected an empty, a new or a results folder, as it is replaced, got jaxreg, which holds other files",
    ),
    "results that are not there": (
        ["report", "--results", "nowhere"],
        "error: results: expected a folder with results, as `python -m experiments` makes one, got nowhere",
    ),
    "results that are none": (["report", "--results", "tests"], "makes one, got tests, which holds none"),
    "page that is a folder": (["report", "--results", ".", "--out", "tests"], "error: out: expected a file, got the folder"),
    "claims into a file": (["claims", "--out", "README.md"], "error: out: expected a folder, got the file README.md"),
    "images into a file": (
        ["images", "--data", "mnist-5000", "--out", "README.md"],
        "error: out: expected a folder, got the file README.md",
    ),
    "no devices": (["--devices", "0"], "devices: expected 1 to 512, got 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_value_gets_one_clear_line(name):
    words, message = MISTAKES[name]
    status, said = run(*words)
    assert status == 2
    assert message in said
    assert "--help" in said or "out: " in said or "results: " in said or "bench: " in said
    if "error: " in said:
        assert len(said.strip().splitlines()) == 1
    assert "Traceback" not in said


def test_a_place_that_cannot_be_written_gets_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    status, said = run("--out", tmp_path / "file" / "results", *SMALL)
    assert status in (1, 2)
    assert "error:" in said
    assert "Traceback" not in said


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path):
    out, hidden = tmp_path / "results", tmp_path / ".results.unfinished"
    words = ["--out", out, "--cache", "None", "--sweep.seeds", "3", "--training.epochs", "400", "--drawing.steps", "20"]
    process = start(*words)
    deadline = time.monotonic() + 120
    while not list(hidden.glob("chunks/*/chunk-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert said.strip().count("\n") <= 2
    assert "finished runs are kept, and the same command goes on from there; earlier results are as they were" in err
    assert {path.name for path in hidden.iterdir()} == {"chunks"}
    kept = {path.name: path.stat().st_mtime_ns for path in hidden.glob("chunks/*/chunk-*")}
    assert 1 <= len(kept) < 8

    # Another variant neither collides with the interrupted one nor removes what it has.
    status, said = run("--out", out, *SMALL)
    assert status == 0, said
    assert "interrupted runs with other settings are kept in" in said
    assert kept == {path.name: path.stat().st_mtime_ns for path in hidden.glob("chunks/*/chunk-*")}

    process = start(*words)
    while len(list(hidden.glob("chunks/*/chunk-*"))) <= len(kept) and process.poll() is None:
        time.sleep(0.02)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in hidden.glob("chunks/*/chunk-*")}.items()
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


def test_a_second_start_finds_its_program_compiled(tmp_path):
    words = ["--out", tmp_path / "results", "--cache", tmp_path / "cache", *SMALL]

    def sweeps_compiled():
        assert run(*words)[0] == 0
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("jit_share*-cache")}

    first = sweeps_compiled()
    # The sweep of the digits; those of the drawing and of the player differ only in their number of runs.
    assert len(first) == 2
    # Another key, or a program compiled anew, would be another file or another time.
    assert sweeps_compiled() == first


def test_a_diverged_study_says_so_and_is_saved(tmp_path):
    rates = ["--training.learning-rate", "1e38", "--drawing.learning-rate", "1e38"]
    status, said = run("--out", tmp_path / "results", *SMALL, *rates)
    assert status == 0, said
    assert "diverged, and read nan: 55 of 55 networks: the drawn network, before; the drawn network, L1;" in said
    assert "and 47 more" in said
    assert (tmp_path / "results" / "L1_2.png").exists()


def test_a_backend_that_is_not_there_gets_one_clear_line(tmp_path):
    process = start("--out", tmp_path / "results", platform="cuda")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: devices: JAX cannot start its backend" in err
    assert "Traceback" not in out + err


def test_bench_update_prints_bytes_and_ratios(tmp_path):
    status, said = run("bench", "update", "--parameters", "100000", "--rounds", "5", "--out", tmp_path / "update.json")
    assert status == 0, said
    numbers = json.loads((tmp_path / "update.json").read_text())["numbers"]
    # What the proximal step adds to AdamW's traffic is nothing but a few scalars.
    assert numbers["prox_adam(L1)"]["bytes_per_parameter"] <= numbers["optax.adamw"]["bytes_per_parameter"] + 0.01
    assert numbers["optax.adamw"]["ratio"] == 1.0
    assert {"optax.adamw", "prox_adam(L1)", "add_l1 → adam", "add_l2 → adam"} <= set(numbers)


def test_bench_lasso_tells_the_exact_from_the_naive(tmp_path):
    status, said = run("bench", "lasso", "--out", tmp_path / "lasso.json")
    assert status == 0, said
    scores = json.loads((tmp_path / "lasso.json").read_text())["scores"]
    exact = {name: row for name, row in scores.items() if name.startswith("prox_")}
    assert len(exact) == 11
    for name, row in exact.items():
        assert row["error"] < 1e-8, name
        assert row["nonzero"] == scores["scikit-learn's Lasso"]["nonzero"] == 7
    naive = scores["sgd, momentum 0.9 → prox_l1"]
    assert naive["nonzero"] == 10
    assert naive["residual"] > 0.5


def test_bench_sweep_trains_the_same_network_everywhere(tmp_path):
    words = ["--widths", "16", "--runs", "6", "--epochs", "8", "--scaling-width", "16"]
    scaling = ["--scaling-devices", "1", "--scaling-runs", "12", "--no-torch"]
    status, said = run("bench", "sweep", *words, *scaling, "--out", tmp_path / "sweep.json")
    assert status == 0, said
    assert "PyTorch was not measured" in said
    assert "On a GPU: not measured here." in said
    told = json.loads((tmp_path / "sweep.json").read_text())
    measured = {row["contestant"]: row for row in told["rows"]}
    accuracies = [row["accuracy"] for row in measured.values() if "accuracy" in row]
    assert len(accuracies) == 4
    assert min(accuracies) > 0.7
    assert max(accuracies) - min(accuracies) < 0.08
    assert "seconds" not in measured["PyTorch"]
    assert [row["runs"] for row in told["scaling"]] == [6, 12]
    assert told["ceiling_gflops"] > 1
    assert 50 < told["scaling"][0]["mib_before"] <= told["scaling"][0]["mib_after"]
