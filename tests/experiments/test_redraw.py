"""`--redraw`: claims and figures are made again from the datasets on disk, without training."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments import layout, runner
from experiments.claims import above
from experiments.figures.style import new_figure
from experiments.results import store
from experiments.results.saved import load_saved
from experiments.settings import Options, SettingError
from experiments.study import Claim, Study, Sweep

TEXTS = {
    "share": ("share of something", "1"),
    "seconds": ("duration", "seconds"),
    "size": ("size", "count"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a study that trains nothing."""

    seeds: int = 3
    rates: tuple[float, ...] = (0.1, 0.2)


def train(settings, _):
    seeds = range(settings.seeds)
    variables = {
        "share": (
            ("method", "seed"),
            0.5 + 0.1 * np.arange(2 * settings.seeds, dtype=np.float32).reshape(2, -1),
        ),
        "seconds": ("seed", np.ones(settings.seeds)),
        "size": ("seed", np.arange(settings.seeds, dtype=np.int8)),
        "diverged": (("method", "seed"), np.arange(2 * settings.seeds).reshape(2, -1) == 4),
    }
    return layout.described(
        xr.Dataset(variables, {"method": ["L1", "group L2"], "seed": seeds}), TEXTS
    )


def evaluate(results):
    dataset = results["parts"]
    kept = dataset["share"].sel({"method": "L1"}).where(~dataset["diverged"].sel({"method": "L1"}))
    return [above("The share is positive.", "the share", 100 * kept.values, unit="%")]


def draw(results):
    figure = new_figure(3, 2)
    figure.subplots().plot(results["parts"]["share"].values.T)
    return figure


STUDY = Study(
    "parts",
    "A study",
    Settings(),
    Settings(seeds=2),
    [Sweep("parts", lambda settings: settings.seeds, train)],
    [Claim("parts-claim", "Title", "As people say.", evaluate, draw, "A caption.")],
)


def refuse_to_train(*_):
    raise AssertionError("redrawing must not train")


def changed(**fields):
    """The study as if its code had changed since the run; it can no longer train."""
    sweeps = [
        sweep._replace(train=refuse_to_train, count=refuse_to_train) for sweep in STUDY.sweeps
    ]
    claims = [claim._replace(title="New title", caption="A new caption.") for claim in STUDY.claims]
    return dataclasses.replace(STUDY, sweeps=sweeps, claims=claims, check=refuse_to_train, **fields)


def run_study(study, settings=Settings(), words=("parts",), **options):
    console = Console(file=io.StringIO(), width=200)
    runner.run_studies([(study, settings)], Options(**options), list(words), console)
    return console.file.getvalue()


def titles_in(folder):
    return [claim["title"] for claim in json.loads((folder / "study.json").read_text())["claims"]]


@pytest.fixture(autouse=True)
def devices(monkeypatch):
    """The devices that the process of the tests has: JAX cannot change their number any more."""
    monkeypatch.setattr(runner, "use_devices", lambda _: jax.device_count())


@pytest.fixture
def out(tmp_path):
    run_study(STUDY, words=["parts", "--out", "results"], out=tmp_path / "results")
    return tmp_path / "results"


def test_redrawing_trains_nothing_and_keeps_datasets_and_provenance(out):
    before = json.loads((out / "study.json").read_text())
    dataset = (out / "parts.nc").read_bytes()
    said = run_study(changed(), words=["parts", "--redraw"], out=out, redraw=True)
    assert (
        "redrawing the results in" in said
        and "made by `python -m experiments parts --out results`" in said
    )
    assert "New title: supported" in said
    assert "parts: 1 of 6 runs diverged; their numbers are nan: method group L2, seed 1" in said
    after = json.loads((out / "study.json").read_text())
    for name in ("command", "config", "versions", "devices", "seconds", "study", "quick", "files"):
        assert after[name] == before[name], name
    assert after["redrawn"]["command"] == "python -m experiments parts --redraw"
    assert after["claims"] == [
        {**before["claims"][0], "title": "New title", "caption": "A new caption."}
    ]
    assert (out / "parts.nc").read_bytes() == dataset
    assert (
        (out / "summary.md")
        .read_text()
        .startswith("Made by `python -m experiments parts --out results`.")
    )
    assert [path.name for path in out.parent.iterdir()] == ["results"]


def test_redrawn_results_can_be_redrawn(out):
    run_study(changed(), out=out, redraw=True)
    first = (out / "study.json").read_text()
    run_study(changed(), out=out, redraw=True)
    assert (out / "study.json").read_text() == first


def test_a_failure_leaves_the_results_unchanged(out):
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    broken = [claim._replace(draw=lambda results: results["other"]) for claim in STUDY.claims]
    with pytest.raises(KeyError, match="other") as caught:
        run_study(dataclasses.replace(STUDY, claims=broken), out=out, redraw=True)
    assert caught.value.__notes__ == [
        "the datasets on disk may be from another version; if so, run without --redraw"
    ]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir()] == ["results"]


def test_a_loaded_dataset_is_the_one_that_was_saved(tmp_path):
    dataset = train(Settings(), None)
    store.save_dataset(dataset, tmp_path / "parts.nc", {})
    loaded = store.load_dataset(tmp_path / "parts.nc")
    assert loaded.attrs.pop("made_by") == "{}"
    xr.testing.assert_identical(loaded, dataset)
    for name, variable in dataset.variables.items():
        assert loaded[name].dtype == variable.dtype, name


def test_diverged_is_boolean_in_a_file_that_does_not_mark_it(tmp_path):
    dataset = train(Settings(), None)
    unmarked = dataset.assign(diverged=dataset["diverged"].astype("int8"))
    unmarked.to_netcdf(tmp_path / "parts.nc", engine="netcdf4")
    loaded = store.load_dataset(tmp_path / "parts.nc")
    assert loaded["diverged"].dtype == bool
    assert loaded["size"].dtype == np.int8
    xr.testing.assert_identical(loaded, dataset)


def damage_marker(folder, **entries):
    path = folder / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


MISTAKES = {
    "nothing": (
        lambda folder: [path.unlink() for path in folder.iterdir()],
        "got none; run the command without --redraw",
    ),
    "no marker": (
        lambda folder: (folder / "study.json").write_text("{"),
        "got none; run the command without",
    ),
    "half a marker": (
        lambda folder: damage_marker(folder, seconds=None),
        "without a valid entry seconds; run the command",
    ),
    "another study": (
        lambda folder: damage_marker(folder, study="other"),
        "results of parts in .*, got results of other",
    ),
    "quick results": (
        lambda folder: damage_marker(folder, quick=True),
        "of a full run in .*, got those of a quick run; add",
    ),
    "no dataset": (
        lambda folder: (folder / "parts.nc").unlink(),
        "the dataset .*parts.nc, got no such file; run the command",
    ),
    "no netCDF": (
        lambda folder: (folder / "parts.nc").write_text("hello"),
        "parts.nc, which cannot be read .*; run the",
    ),
    "half a file": (
        lambda folder: (folder / "parts.nc").write_bytes((folder / "parts.nc").read_bytes()[:5000]),
        "parts.nc, which cannot be read .*; run the command",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_unsuitable_results_are_refused_and_left_unchanged(name, out):
    spoil, message = MISTAKES[name]
    spoil(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()} if out.exists() else None
    if name == "no marker":
        # A folder without a list of its files is not replaced either.
        message = "out: expected a new, empty or results folder"
    with pytest.raises(SettingError, match=message) as caught:
        run_study(changed(), out=out, redraw=True)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_full_results_are_not_redrawn_as_quick_ones(out):
    with pytest.raises(
        SettingError, match="of a quick run in .*, got those of a full run; leave out --quick"
    ):
        run_study(changed(), Settings(seeds=2), out=out, redraw=True, quick=True)


def test_settings_must_be_those_of_the_results(tmp_path):
    out = tmp_path / "results"
    run_study(STUDY, Settings(seeds=4), out=out)
    run_study(changed(), Settings(seeds=4), out=out, redraw=True)
    run_study(changed(), out=out, redraw=True)
    assert json.loads((out / "study.json").read_text())["config"]["seeds"] == 4
    with pytest.raises(
        SettingError,
        match="expected no settings, or those that .*, got other values of seeds; leave",
    ):
        run_study(changed(), Settings(seeds=5), out=out, redraw=True)


def test_a_suite_is_redrawn_and_checked_before_anything_is_replaced(tmp_path):
    folder, console = tmp_path / "all", Console(file=io.StringIO(), width=200)
    studies = [changed(), changed(name="other")]
    run_study(STUDY, out=folder / "parts")

    def redraw():
        jobs = [(study, Settings()) for study in studies]
        runner.run_studies(
            jobs, Options(out=folder, redraw=True), ["suite", "--redraw"], console, "suite"
        )

    with pytest.raises(
        SettingError, match="redraw: expected results of other in .*other, got none"
    ):
        redraw()
    assert titles_in(folder / "parts") == ["Title"]
    run_study(dataclasses.replace(STUDY, name="other"), out=folder / "other")
    redraw()
    assert titles_in(folder / "parts") == titles_in(folder / "other") == ["New title"]
    assert {path.name for path in folder.iterdir()} == {"parts", "other"}


def test_variants_are_redrawn_in_their_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variants = {
        "variant": lambda settings: f"seeds-{settings.seeds}",
        "adapt": lambda settings, _: settings,
    }
    for seeds in (3, 4):
        run_study(dataclasses.replace(STUDY, **variants), Settings(seeds=seeds))
    run_study(changed(**variants), Settings(seeds=4), redraw=True)
    titles = {
        seeds: titles_in(tmp_path / "results" / "parts" / f"seeds-{seeds}") for seeds in (3, 4)
    }
    assert titles == {3: ["Title"], 4: ["New title"]}


def test_a_dataset_needs_long_names_and_units():
    bare = train(Settings(), None)
    for variable in bare.variables.values():
        variable.attrs.clear()
    filled = layout.with_attributes(bare, "parts")
    assert filled["share"].attrs == {"long_name": "share", "units": "1"}
    assert filled["seed"].attrs["long_name"] == layout.METRICS["seed"][0]
    bare["share"].attrs.update(long_name="share of something", units="1")
    with pytest.raises(
        ValueError,
        match="dataset parts: the variable 'method' has no attribute 'long_name'; add 'method'",
    ):
        layout.with_attributes(bare[["share", "method"]].drop_vars("seed"), "parts")


def test_the_saved_results_are_what_the_run_wrote(out):
    saved = load_saved(STUDY, out, quick=False)
    assert saved.provenance["config"] == {"seeds": 3, "rates": [0.1, 0.2], "devices": None}
    assert saved.results["parts"]["method"].values.tolist() == ["L1", "group L2"]
