"""Settings of Sphinx. `python -m sphinx -W -b html docs docs/_build` builds the pages, offline."""

import logging
import re
import textwrap
from typing import Any

import jaxreg

project = "jaxreg"
author = copyright = "The jaxreg authors"  # noqa: A001
release = jaxreg.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "jaxreg"
myst_heading_anchors = 3
# A checkout without published results is complete; Sphinx cannot suppress this warning by its type.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: "glob pattern" not in str(record.msg)
)

autodoc_member_order = "bysource"
# Docstrings say what the arguments are; the annotations would make signatures many lines long.
autodoc_typehints = "none"
napoleon_use_ivar = True
napoleon_custom_sections = ["Source"]

EXAMPLE = re.compile(r"^(    >>>.*\n(?:    .*\S.*\n)*)", re.MULTILINE)
SECTION = re.compile(r"^(Source|Warns): (.+(?:\n *\S.*)*)", re.MULTILINE)
CODE = re.compile(r"(`[^`]+`)")


def to_rst(
    _app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Turns what docstrings take from Markdown into reStructuredText, before napoleon reads them:
    `code`, indented examples, and sections that begin on the line of their heading.
    """
    parts = EXAMPLE.split("\n".join(lines) + "\n")
    parts[1::2] = [textwrap.dedent(example) for example in parts[1::2]]
    parts[::2] = [escaped(SECTION.sub(section, prose)) for prose in parts[::2]]
    lines[:] = "".join(parts).splitlines()


def section(match: re.Match[str]) -> str:
    """Moves the text of a section below its heading."""
    return f"{match[1]}:\n    {' '.join(match[2].split())}"


def escaped(prose: str) -> str:
    """Writes `code` as ``code``, and takes their meaning from |, * and _ elsewhere."""
    parts = CODE.split(prose)
    parts[::2] = [re.sub(r"(\||\*|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"`{' '.join(code.split())}`" for code in parts[1::2]]
    return "".join(parts)


def setup(app: Any) -> None:
    """Connects the hook; Sphinx calls this."""
    app.connect("autodoc-process-docstring", to_rst, priority=400)
