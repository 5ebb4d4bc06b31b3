"""Every Python line of the README and of the docstrings runs, and prints what it says it prints."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_readme_examples():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    examples = [block for block in blocks if ">>>" in block]
    assert examples
    assert len(examples) == len(blocks), "a Python block without a prompt is one that nobody runs"
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(parser.get_doctest("\n".join(examples), {}, "README", str(README), 0))
    assert runner.summarize().failed == 0


def test_readme_files_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (README.parent / link).exists(), link


@pytest.mark.parametrize("module", ["penalties"])
def test_docstring_examples(module):
    failed, tried = doctest.testmod(importlib.import_module(f"jaxreg.{module}"))
    assert tried > 0
    assert failed == 0
