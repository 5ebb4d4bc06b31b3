"""Every Python line of the README and of the docstrings runs, and prints what it says it prints."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "experiments" / "README.md", ROOT / "experiments" / "gallery" / "README.md"]


def test_readme_examples():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    examples = [block for block in blocks if ">>>" in block]
    assert examples
    assert len(examples) == len(blocks), "a Python block without a prompt is one that nobody runs"
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(parser.get_doctest("\n".join(examples), {}, "README", str(README), 0))
    assert runner.summarize().failed == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for link, place in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", text):
        if link.startswith("https://"):
            continue
        target = document.parent / link if link else document
        assert target.exists(), link
        if place:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings], place


def test_the_readme_can_be_read_in_one_go():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("module", ["penalties"])
def test_docstring_examples(module):
    failed, tried = doctest.testmod(importlib.import_module(f"jaxreg.{module}"))
    assert tried > 0
    assert failed == 0
