"""The documents: their Python blocks run, shown outputs are right, links lead somewhere, and Sphinx
builds them without warnings.

A block runs in the namespace of those before it on the page. One that begins with `>>>` is a
doctest; any other is executed.
"""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxreg

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", ROOT / "experiments" / "README.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if BLOCK.search(page.read_text("utf-8"))], ids=name_of
)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some save files
    text, namespace = page.read_text("utf-8"), {"__name__": "__main__"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        if block[1].startswith(">>>"):
            parser = doctest.DocTestParser()
            test = parser.get_doctest(block[1], {}, name_of(page), str(page), line)
            test.globs = namespace
            assert runner.run(test, clear_globs=False).failed == 0
        else:
            exec(compile("\n" * line + block[1], str(page), "exec"), namespace)


@pytest.mark.parametrize("page", READMES, ids=name_of)
def test_links_of_a_readme_lead_somewhere(page):
    links = re.findall(r"\]\((?!https:)([^)#]+)", page.read_text("utf-8"))
    assert links
    for link in links:
        assert (page.parent / link).exists(), link


def test_sphinx_builds_all_pages_without_warnings_and_every_public_name_has_an_entry(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "api.html").read_text("utf-8")
    entries = set(re.findall(r'id="(?:module-)?jaxreg\.(\w+)"', reference))
    assert set(jaxreg.__all__) - {"__version__"} <= entries
