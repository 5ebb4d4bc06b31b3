"""The command that writes the tables of the documents: from results to numbers.json, and from there
into the documents.
"""

import io
import json

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments import claims
from experiments.report import documents, numbers, readme
from experiments.report.settings import Readme
from experiments.results import store
from experiments.settings import SettingError
from experiments.sheet import Sheet
from experiments.study import Claim, Study, Summary, Sweep

MADE_BY = {
    "command": "python -m experiments toy --out /somewhere/else --cache=x --seeds 3",
    "config": {"seeds": 3, "out": "/somewhere/else"},
    "devices": ["cpu", "cpu"],
    "seconds": 12.4,
    "versions": {"jax": "0.10.2"},
    "quick": False,
}
SUITES = {"all": "Every toy"}


def evaluate(results):
    return [claims.above("It grows.", "Growth", results["toy"]["growth"].values, unit="%")]


def excerpt(results):
    rows = [[f"{value:.1f}"] for value in results["toy"]["growth"].values]
    return Summary(Sheet(["|growth|"], rows, "Growth over seeds"), "It depends.")


TOY = Study(
    "toy", "What a toy does", None, None,
    [Sweep("toy", lambda _: 3, lambda *_: xr.Dataset())],
    [Claim("toy", "Toys grow", "A toy grows.", evaluate, lambda _: None, "")],
    suite="all", excerpts={"growth": excerpt},
)  # fmt: skip
TEXT = """# Toys
<!-- table toy/growth: written by `python -m experiments readme` -->
old
<!-- end -->
between
<!-- table all: written by `python -m experiments readme` -->
<!-- end -->
"""


@pytest.fixture
def root(tmp_path):
    """A folder with the results of a toy."""
    folder = tmp_path / "results" / "toy"
    growth = xr.Dataset(
        {"growth": ("seed", [1.0, 2.0, 1.5]), "diverged": ("seed", np.zeros(3, bool))}
    )
    store.save_dataset(growth, folder / "toy.nc", MADE_BY)
    (folder / "study.json").write_text(json.dumps(MADE_BY))
    return tmp_path / "results"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with the two documents, in which `readme` knows the toy alone."""
    (tmp_path / "clone" / "experiments").mkdir(parents=True)
    for name in readme.DOCUMENTS:
        (tmp_path / "clone" / name).write_text(TEXT)
    monkeypatch.setattr(readme.studies, "load", lambda: [TOY])
    return tmp_path / "clone"


def run(**settings):
    said = io.StringIO()
    readme.run(Readme(**settings), Console(file=said, width=200), SUITES)
    return said.getvalue()


def test_numbers_of_a_study_are_its_claims_and_tables_with_what_made_them(root):
    found, notes = numbers.collect(root, [TOY], {})
    assert notes == []
    assert found["toy"]["made_by"] == {
        **{name: value for name, value in MADE_BY.items() if name != "quick"},
        "command": "python -m experiments toy --seeds 3",
        "config": {"seeds": 3},
    }
    growth = "1.5 % [0.3, 2.7]"
    assert found["toy"]["claims"] == [
        {"name": "toy", "statement": "A toy grows.", "verdict": "supported", "headlines": [growth]}
    ]
    assert found["toy"]["tables"]["growth"] == {
        "title": "Growth over seeds", "headings": ["|growth|"], "rows": [["1.0"], ["2.0"],
        ["1.5"]], "text": "It depends.",
    }  # fmt: skip
    assert json.loads(numbers.dumped(found)) == found
    assert max(map(len, numbers.dumped(found).splitlines())) <= numbers.WIDTH + 20


def test_booleans_are_booleans_again(root):
    assert numbers.load_results(TOY, root / "toy")["toy"]["diverged"].dtype == bool


@pytest.mark.parametrize("broken", ["missing", "cut off"])
def test_numbers_are_kept_where_the_folder_does_not_have_them(root, broken):
    before = {"toy": {"kept": 1}, "bench/lasso": {"kept": 2}, "gone": {"kept": 3}}
    if broken == "missing":
        (root / "toy" / "study.json").unlink()
    else:
        (root / "toy" / "toy.nc").write_bytes(b"\x89HDF\r\n\x1a\n")
    found, notes = numbers.collect(root, [TOY], before)
    assert found == {"toy": {"kept": 1}, "bench/lasso": {"kept": 2}}
    assert notes[-1] == f"kept, as {root} does not have them: toy, bench/lasso"
    assert ("cannot be read" in notes[0]) == (broken == "cut off")


def test_variants_of_a_study_are_results_of_their_own(root):
    (root / "toy").rename(root / "variant")
    (root / "toy").mkdir()
    (root / "variant").rename(root / "toy" / "wooden")
    found, _ = numbers.collect(root, [TOY], {})
    assert list(found) == ["toy/wooden"]
    assert list(documents.tables_of(found, SUITES)) == [
        "commands",
        "all",
        "toy/wooden/claims",
        "toy/wooden/growth",
    ]


def test_the_command_writes_blocks_and_nothing_else(root, clone):
    said = run(results=root, clone=clone)
    assert "README.md: 2 of 2 tables changed: toy/growth, all" in said
    text = (clone / "README.md").read_text()
    assert text == (clone / "experiments" / "README.md").read_text()
    assert text.startswith("# Toys\n<!-- table toy/growth: ")
    assert "\n<!-- end -->\nbetween\n<!-- table all: " in text
    assert "old" not in text
    assert "\nGrowth over seeds:\n\n| \\|growth\\| |\n| --- |\n| 1.0 |\n" in text
    assert "| A toy grows | supported | 1.5 % [0.3, 2.7] |" in text
    assert text.count("Made by `python -m experiments toy --seeds 3`.") == 2
    # The second time, and without any results, nothing changes.
    assert "README.md: 0 of 2 tables changed" in run(results=clone / "nowhere", clone=clone)
    assert (clone / "README.md").read_text() == text


def test_check_writes_nothing_and_fails_where_a_table_differs(root, clone, capsys):
    run(results=root, clone=clone)
    assert "0 of 2 tables differ" in run(results=root, clone=clone, check=True)
    document = clone / "README.md"
    text = document.read_text().replace("| 1.0 |", "| 1.1 |")
    document.write_text(text)
    with pytest.raises(SystemExit, match="1"):
        run(results=root, clone=clone, check=True)
    assert document.read_text() == text


def test_quick_results_are_marked(root, clone):
    (root / "toy" / "study.json").write_text(json.dumps({**MADE_BY, "quick": True}))
    run(results=root, clone=clone)
    assert "toy --seeds 3` (quick run, not final)." in (clone / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TEXT.replace("table all", "table some"),
            "one of commands, all, toy/claims, toy/growth, got some",
        ),
        (
            TEXT.replace("old\n<!-- end -->", "old"),
            "got 2 beginnings and 1 ends, 1 of them in pairs",
        ),
        (TEXT.replace("written by", "made by"), "got 2 beginnings and 2 ends, 0 of them in pairs"),
    ],
)
def test_a_broken_block_gets_one_clear_line_and_nothing_is_written(root, clone, text, message):
    (clone / "experiments" / "README.md").write_text(text)
    with pytest.raises(SettingError) as caught:
        run(results=root, clone=clone)
    assert message in str(caught.value)
    assert (clone / "README.md").read_text() == TEXT
    assert not (clone / readme.NUMBERS).exists()


def test_commands_are_listed_once_with_their_seconds():
    made_by = {"command": "python -m experiments all", "seconds": 10.2, "devices": ["cpu", "cpu"]}
    one = {
        "summary": "One",
        "suite": "all",
        "quick": False,
        "made_by": made_by,
        "claims": [],
        "tables": {},
    }
    alone = {
        **one,
        "summary": "Alone",
        "made_by": {**made_by, "command": "python -m experiments alone"},
    }
    elsewhere = {**alone, "made_by": {**alone["made_by"], "devices": ["H100"], "seconds": 1.0}}
    table = documents.commands_table({"a": one, "b": one, "c": alone, "d": elsewhere}, SUITES)
    assert table[2:] == [
        "| `python -m experiments all` | Every toy | 20 | 2 × cpu |",
        "| `python -m experiments alone` | Alone | 10 | 2 × cpu |",
        "| `python -m experiments alone` | Alone | 1 | 1 × H100 |",
    ]


def test_a_benchmark_has_a_result_for_each_device(root):
    row = {"bytes_per_parameter": 28.0, "ratio": 1.0, "ratio_quartiles": [0.9, 1.1]}
    (root / "bench").mkdir()
    for name, device in (("update", "cpu"), ("update-gpu", "H100"), ("updates", "another file")):
        made_by = {
            "command": "python -m experiments bench update",
            "devices": [device],
            "seconds": 5.0,
        }
        saved = {
            "made_by": {**made_by, "config": {"parameters": 10, "rounds": 3}},
            "numbers": {"adam": row},
        }
        (root / "bench" / f"{name}.json").write_text(json.dumps(saved))
    found, _ = numbers.collect(root, [], {})
    assert list(found) == ["bench/update", "bench/update-gpu"]
    assert "on H100" in found["bench/update-gpu"]["tables"]["optimizers"]["title"]


def test_headings_among_the_rows_of_a_small_table_become_a_column():
    summary = Summary(
        Sheet(
            ["rows", "seconds"],
            ["lasso", ["10", "1.0"], "group lasso", ["10", "2.0"]],
            group="model",
        )
    )
    table = numbers.numbers_of_table(summary)
    assert table["headings"] == ["model", "rows", "seconds"]
    assert table["rows"] == [["lasso", "10", "1.0"], ["group lasso", "10", "2.0"]]
