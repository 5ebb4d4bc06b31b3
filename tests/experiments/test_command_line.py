"""The command line, run in a separate process."""

import importlib.metadata
import json

import pytest
import xarray as xr
from processes import SMALL, run, start


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("main")


@pytest.fixture(scope="module")
def words(place):
    return ["--out", place / "results", "--cache", place / "cache", *SMALL, "--devices", "2"]


@pytest.fixture(scope="module")
def first_start(words):
    """Status and output of the first run of the main job."""
    return run(*words)


def test_the_main_job_writes_everything(place, first_start):
    out = place / "results"
    status, said = first_start
    assert status == 0, said
    assert "on 2 cpu devices" in said
    files = {path.name for path in out.iterdir()}
    names = ("L1_L2", "L1_1", "L2_1", "L1_2", "L2_2", "L1_3")
    pictures = {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    assert files == pictures | {"digits.nc", "wine.nc", "summary.md", "study.json"}
    assert (out / "L1_1.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((out / "study.json").read_text())
    assert written["config"]["sweep"]["l1"] == [0.001]
    assert written["command"].startswith("python -m experiments --out")
    assert [figure["name"] for figure in written["figures"]] == list(names)
    with xr.open_dataset(out / "digits.nc", engine="netcdf4") as dataset:
        made_by = json.loads(dataset.attrs["made_by"])
        assert {**made_by, "seconds": 0} == {**{key: written[key] for key in made_by}, "seconds": 0}
        assert dict(dataset["norm"].sizes) == {"method": 4, "level": 2, "seed": 2}
    assert {path.name for path in place.iterdir()} == {"results", "cache"}


COMMANDS = (
    *("l1-l2", "strength", "relevance", "stability", "bias", "baselines", "images"),
    *("claims", "report", "readme", "help", "version", "bench"),
)


def test_help_lists_every_command_and_explains_every_setting():
    status, said = run("--help")
    assert status == 0
    for word in (
        "--sweep.l1",
        "--training.learning-rate",
        "--devices",
        "--quick",
        "--out",
        "λ of λΣ|w|",
    ):
        assert word in said, word
    for name in COMMANDS:
        assert len([line for line in said.splitlines() if f"• {name} " in line]) == 1, name
    assert run("help") == (status, said)
    for words in (["bench", "--help"], ["help", "bench"]):
        status, said = run(*words)
        assert status == 0
        assert all(f"• {name} " in said for name in ("update", "lasso", "sweep"))
    status, said = run("bench", "update", "--help")
    assert status == 0
    assert "--parameters" in said


def test_the_version_is_the_package_version():
    for words in (["--version"], ["version"]):
        assert run(*words) == (0, f"jaxreg {importlib.metadata.version('jaxreg')}\n")


@pytest.mark.parametrize(
    ("word", "meant"), [("claim", "claims"), ("strenght", "strength"), ("benchmark", "bench")]
)
def test_a_near_miss_is_suggested(word, meant):
    status, said = run(word)
    assert status == 2
    assert f"error: unknown command '{word}'; did you mean '{meant}'?" in said


MISTAKES = {
    "unknown setting": (
        ["--bogus", "3"],
        "error: unknown option --bogus; see python -m experiments --help",
    ),
    "no number": (
        ["--training.epochs", "abc"],
        "error: --training.epochs: expected an integer, got 'abc'; see python -m experiments "
        "--help",
    ),
    "out of range": (
        ["--sweep.l1", "-1"],
        "error: sweep.l1: expected increasing positive strengths, got (-1.0,)",
    ),
    "too large a batch": (
        ["--training.batch-size", "500"],
        "training.batch-size: expected at most train-size = 200, got 500",
    ),
    "too many rows": (["--train-size", "1797"], "train-size: expected 10 to 1787 rows, got 1797"),
    "nearly a setting": (
        ["strength", "--seed", "3"],
        "unknown option --seed; did you mean --seeds? See python -m experiments str",
    ),
    "no value": (
        ["strength", "--seeds"],
        "error: --seeds: expected a value, got none; see python -m experiments strength --help",
    ),
    "a word too many": (
        ["images", "--data", "a", "b"],
        "error: expected only options, got b; see python -m experiments images",
    ),
    "no benchmark": (
        ["bench"],
        "error: expected one of update, lasso, sweep, linear, got none; see python -m experiments "
        "bench --help",
    ),
    "help for an unknown command": (
        ["help", "plot"],
        "error: unknown command 'plot'; expected l1-l2, ",
    ),
    "folder that is not there": (
        ["images", "--data", "nowhere"],
        "error: data: expected fashion-mnist, mnist-5000 or a folder of four IDX files, got "
        "nowhere",
    ),
    "unknown command": (
        ["plot"],
        "error: unknown command 'plot'; expected l1-l2, strength, relevance, stability, bias, ",
    ),
    "unknown benchmark": (
        ["bench", "plot"],
        "error: unknown benchmark 'plot'; expected update, lasso, sweep or linear",
    ),
    "file that is a folder": (
        ["bench", "update", "--out", "jaxreg"],
        "error: out: expected a file, got the folder jaxreg",
    ),
    "working folder": (
        ["--out", "."],
        "error: out: expected a folder that can be moved, got ., the working directory",
    ),
    "foreign folder": (
        ["--out", "jaxreg"],
        "error: out: expected a new, empty or results folder, as it will be replaced, got jaxreg, "
        "which holds other files",
    ),
    "results that are not there": (
        ["report", "--results", "nowhere"],
        "error: results: expected a folder with results, as `python -m experiments` makes one, "
        "got nowhere",
    ),
    "results that are none": (
        ["report", "--results", "tests"],
        "makes one, got tests, which holds none",
    ),
    "documents without numbers": (
        ["readme", "--results", "nowhere", "--clone", "tests"],
        "error: results: expected a folder with results, as `python -m experiments` makes one, "
        "got nowhere",
    ),
    "page that is a folder": (
        ["report", "--results", ".", "--out", "tests"],
        "error: out: expected a file, got the folder",
    ),
    "claims into a file": (
        ["claims", "--out", "README.md"],
        "error: out: expected a folder, got the file README.md",
    ),
    "images into a file": (
        ["images", "--data", "mnist-5000", "--out", "README.md"],
        "error: out: expected a folder, got the file README.md",
    ),
    "nothing to redraw": (
        ["--out", "nowhere", "--redraw"],
        "error: redraw: expected results of l1-l2 in nowhere, got none; run the command without "
        "--redraw first",
    ),
    "no devices": (["--devices", "0"], "devices: expected 1 to 512, got 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_value_gets_one_clear_line(name):
    words, message = MISTAKES[name]
    status, said = run(*words)
    assert status == 2
    assert message in said
    assert any(
        word in said for word in ("--help", "out: ", "results: ", "redraw: ", "data: ", "unknown ")
    )
    assert said.startswith("error: ")
    assert len(said.strip().splitlines()) == 1
    assert "Traceback" not in said


def test_a_place_that_cannot_be_written_gets_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    status, said = run("--out", tmp_path / "file" / "results", *SMALL)
    assert status in (1, 2)
    assert "error:" in said
    assert "Traceback" not in said


def test_a_second_start_finds_its_program_compiled(place, words, first_start):
    def sweeps_compiled():
        return {
            path.name: path.stat().st_mtime_ns
            for path in (place / "cache").glob("jit_run_shard*-cache")
        }

    first = sweeps_compiled()
    # The sweep of the digits; those of the drawing and of the player differ only in their number of
    # runs.
    assert len(first) == 2
    assert run(*words)[0] == 0
    # Another key or another compilation would change the names or the times.
    assert sweeps_compiled() == first


def test_every_variable_has_a_long_name_and_units(place, first_start):
    for path in (place / "results").glob("*.nc"):
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            for name, variable in dataset.variables.items():
                assert variable.attrs.get("long_name") and variable.attrs.get("units"), (
                    path.name,
                    name,
                )


def test_the_main_job_is_redrawn_without_training(place, words, first_start):
    out = place / "results"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    status, said = run(*words, "--redraw")
    assert status == 0, said
    assert "training (" not in said
    assert (
        f"l1-l2: redrawing the results in {out}, made by `python -m experiments --out {out}" in said
    )
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    same = [name for name in before if name.endswith((".nc", ".png", ".md"))]
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    written = json.loads(after["study.json"])
    assert written.pop("redrawn")["command"].endswith("--redraw")
    assert written == json.loads(before["study.json"])


def test_a_diverged_study_says_so_and_is_saved(tmp_path):
    rates = ["--training.learning-rate", "1e38", "--drawing.learning-rate", "1e38"]
    status, said = run("--out", tmp_path / "results", *SMALL, *rates)
    assert status == 0, said
    assert "digits: 10 of 10 runs diverged; their numbers are nan: " in said
    assert "wine: 6 of 6 runs diverged" in said
    assert "and 2 more" in said
    assert (tmp_path / "results" / "L1_2.png").exists()


def test_a_backend_that_is_not_there_gets_one_clear_line(tmp_path):
    process = start("--out", tmp_path / "results", platform="cuda")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: devices: JAX cannot start its backend" in err
    assert "Traceback" not in out + err
