"""Tables as Markdown, which summaries hold and terminals show."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """A table.

    Attributes:
        headings: one heading per column.
        rows: one sequence of cells per row.
        title: a sentence above the table.
        legend: a sentence below the table.
    """

    headings: Sequence[str]
    rows: Iterable[Sequence[str]]
    title: str = ""
    legend: str = ""


def markdown(table: Table) -> str:
    """A table as Markdown, with bars in cells escaped."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = [line(table.headings), line(["---"] * len(table.headings)), *map(line, table.rows)]
    return "\n\n".join(filter(None, (table.title, "\n".join(lines), table.legend)))
