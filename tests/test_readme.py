"""The documents: their Python lines run and print what they say, links lead somewhere, and no
number is typed by hand.
"""

import doctest
import importlib
import json
import re
from pathlib import Path

import pytest

from experiments.command_line import SUITES
from experiments.report.documents import BLOCK, differing, tables_of
from experiments.report.readme import DOCUMENTS, NUMBERS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
WRITTEN = [ROOT / name for name in DOCUMENTS]
ALL = [*WRITTEN, ROOT / "experiments" / "gallery" / "README.md"]
NUMBER_FILE = json.loads((ROOT / NUMBERS).read_text(encoding="utf-8"))

# Definitions and names with digits in them, which no run measures.
DEFINITIONS = (
    *(
        "L0",
        "L1",
        "L2",
        "prox_l1",
        "float16",
        "bfloat16",
        "float32",
        "Python 3.11",
        "Python 3.13",
        "JAX 0.10",
        "JAX 0.12",
        "Apache-2.0",
        "LeNet-300-100",
    ),
    *("95 % interval", "±0.25", "decay at 2λ", "= 2λ", "multiplies the loss by 100", "differ by 1"),
    *("around 0", "exactly 0", "none is 0", "weights are 0", "reach 0", "residual is 0", "λ = 0"),
)
COUNTED = (
    "a|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|"
    "twenty|thirty|forty|fifty|half|½|[0-9]"
)
UNITS = "seconds?|minutes?|hours?|points?|percent|times|bytes|MiB|GFLOP"


def name_of(document):
    return str(document.relative_to(ROOT))


def python_blocks(document):
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def test_examples(tmp_path, monkeypatch):
    # The examples save files.
    monkeypatch.chdir(tmp_path)
    blocks = [block for document in WRITTEN for block in python_blocks(document)]
    assert len(blocks) > 5
    assert all(">>>" in block for block in blocks), (
        "a Python block without a prompt is one that no test runs"
    )
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(parser.get_doctest("\n".join(blocks), {}, "README", str(README), 0))
    assert runner.summarize().failed == 0


@pytest.mark.parametrize("document", ALL, ids=name_of)
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for link, place in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", text):
        if link.startswith("https://"):
            continue
        target = document.parent / link if link else document
        assert target.exists(), link
        if place:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in [
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
            ], place


def test_the_readme_can_be_read_in_one_go():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("document", WRITTEN, ids=name_of)
def test_tables_are_what_the_command_writes(document):
    text = document.read_text(encoding="utf-8")
    assert BLOCK.search(text)
    assert differing(text, tables_of(NUMBER_FILE, SUITES), name_of(document)) == [], (
        "run: python -m experiments readme"
    )


def test_numbers_come_from_full_runs_and_say_what_made_them():
    for name, result in NUMBER_FILE.items():
        assert result["quick"] is False, name
        assert {"command", "config", "devices", "seconds", "versions"} <= set(result["made_by"]), (
            name
        )
        assert not re.search(r"(^|[\s='\"])(/|~)\w", json.dumps(result["made_by"])), (
            f"{name} names a path of one machine"
        )


def test_gallery_and_numbers_come_from_the_same_runs():
    sections = ALL[-1].read_text(encoding="utf-8").split("\n## ")
    for name, result in NUMBER_FILE.items():
        variant = name.split("/")[1:]
        for claim in result["claims"]:
            picture = "-".join([claim["name"], *variant])
            own = next(section for section in sections if f"]({picture}.png)" in section)
            assert own.splitlines()[0].endswith(f": {claim['verdict']}"), picture
            assert (
                f"`{result['made_by']['command']}`: {result['made_by']['seconds']} s on" in own
            ), picture


@pytest.mark.parametrize("document", WRITTEN, ids=name_of)
def test_no_measured_number_is_typed_by_hand(document):
    assert numbers_in(prose_of(document.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "93.0 accuracy",
            "the accuracy is 93 %",
            "1,742,720 weights",
            "L1 wins by 3 points",
            "takes two minutes",
            "½ minute",
        ),
        *(
            "as fast as ± nothing",
            "24× as fast",
            "7e-14",
            "`93.0`",
            "`541` MiB",
            "| 40 |",
            "three times as fast",
        ),
    ],
)
def test_a_measured_number_is_found(text):
    assert numbers_in(prose_of(text))


@pytest.mark.parametrize(
    "text",
    ["L1 and L2", "`prox_adam(1e-3)`", "[x](images/L1_2.png)", "two methods", "a 95 % interval"],
)
def test_names_and_definitions_are_no_measured_numbers(text):
    assert numbers_in(prose_of(text)) == []


def prose_of(text):
    """A document without what a command writes, code, the targets of links, names and
    definitions.
    """
    text = BLOCK.sub("", text)
    text = re.sub(r"```.*?```|<!--.*?-->|\]\(.*?\)|https://\S+", "", text, flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*[A-Za-zλ][^`\n]*`", "", text)
    for definition in DEFINITIONS:
        text = re.sub(rf"(?<![\w.]){re.escape(definition)}(?![\w.]*[0-9])", "", text)
    return text


def numbers_in(prose):
    """The lines with a digit, or with a number in words before a unit."""
    measured = re.compile(rf"[0-9±]|\b({COUNTED})\s+({UNITS})\b")
    return [line for line in prose.splitlines() if measured.search(line)]


@pytest.mark.parametrize(
    "module",
    sorted(
        path.relative_to(ROOT)
        for path in (ROOT / "jaxreg").rglob("*.py")
        if ">>>" in path.read_text("utf-8")
    ),
)
def test_docstring_examples(module):
    name = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert tried > 0
