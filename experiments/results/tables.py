"""Tables as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from experiments.sheet import Sheet

FINDING_TEXTS = ("statement", "tested", "numbers", "verdict")
"""What a table shows of a test, in this order."""


def heading(command: str, warning: str) -> list[str]:
    """The first lines of a summary: what made it, and whether it is final."""
    return [f"Made by `{command}`.", "", *([f"**{warning[0].upper()}{warning[1:]}.**", ""] if warning else [])]


def markdown(table: Sheet) -> list[str]:
    """A table of a terminal as Markdown, the heading of a group of rows as a first column."""
    grouped = any(isinstance(row, str) for row in table.rows)
    group, rows = "", []
    for row in table.rows:
        if isinstance(row, str):
            group = row
        else:
            rows.append([group, *row] if grouped else list(row))
    headings = [table.group, *table.headings] if grouped else list(table.headings)
    notes = [line for text in (table.title, table.legend) if text for line in (f"{text[0].upper()}{text[1:]}", "")]
    return [*notes, *rows_as_markdown(headings, rows)]


def rows_as_markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    every = ("| " + " | ".join(map(in_cell, row)) + " |" for row in rows)
    return ["| " + " | ".join(map(in_cell, headings)) + " |", "|" + " --- |" * len(headings), *every]


def claims(found: Iterable[dict[str, Any]]) -> list[str]:
    """Claims with their findings as one table."""
    rows = []
    for claim in found:
        rows.append([f"**{claim['statement']}**", "", "", f"**{claim['verdict']}** ({claim['counts']})"])
        rows += [[str(finding[name]) for name in FINDING_TEXTS] for finding in claim["findings"]]
    note = (
        "Intervals are 95 %, Student's t over the seeds, of differences taken seed by seed. They are not corrected for "
        "multiple testing."
    )
    return [note, "", *rows_as_markdown(["claim or test", "method", "result", "verdict"], rows)]


def in_cell(text: str) -> str:
    """Text for a cell of a Markdown table: a bar would end it."""
    return text.replace("|", "\\|")
