"""Tables as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from experiments.sheet import Sheet

FINDING_TEXTS = ("statement", "tested", "numbers", "verdict")
"""The columns of a table of findings, in their order."""


def heading(command: str, warning: str) -> list[str]:
    """The first lines of a summary: the command that made it, and a warning if the results are not
    final.
    """
    return [
        f"Made by `{command}`.",
        "",
        *([f"**{warning[0].upper()}{warning[1:]}.**", ""] if warning else []),
    ]


def markdown(table: Sheet) -> list[str]:
    """A table as lines of Markdown."""
    notes = [
        line
        for text in (table.title, table.legend)
        if text
        for line in (f"{text[0].upper()}{text[1:]}", "")
    ]
    return [*notes, *rows_as_markdown(*flattened(table))]


def flattened(table: Sheet) -> tuple[list[str], list[list[str]]]:
    """The headings and rows of a table whose headings among the rows, if there are any, become a
    first column.
    """
    grouped = any(isinstance(row, str) for row in table.rows)
    group, rows = "", []
    for row in table.rows:
        if isinstance(row, str):
            group = row
        else:
            rows.append([group, *row] if grouped else list(row))
    return [table.group, *table.headings] if grouped else list(table.headings), rows


def rows_as_markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ("| " + " | ".join(map(in_cell, row)) + " |" for row in rows)
    return [
        "| " + " | ".join(map(in_cell, headings)) + " |",
        "|" + " --- |" * len(headings),
        *lines,
    ]


def claims(evaluated: Iterable[dict[str, Any]]) -> list[str]:
    """Claims and their findings as lines of one Markdown table."""
    rows = []
    for claim in evaluated:
        rows.append(
            [f"**{claim['statement']}**", "", "", f"**{claim['verdict']}** ({claim['counts']})"]
        )
        rows += [[str(finding[name]) for name in FINDING_TEXTS] for finding in claim["findings"]]
    note = (
        "Intervals are 95 % intervals by Student's t over the seeds, of differences taken seed by "
        "seed. They are not "
        "corrected for multiple testing."
    )
    return [note, "", *rows_as_markdown(["claim or test", "method", "result", "verdict"], rows)]


def in_cell(text: str) -> str:
    """Text for a cell of a Markdown table, with bars escaped, because a bar ends a cell."""
    return text.replace("|", "\\|")
