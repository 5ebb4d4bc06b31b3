"""A table for terminals of any width: if the columns do not all fit side by side, it is split into
several tables.

    console.print(Sheet(["λ", "test %", "zeros %"], ["proximal L1", ["0.001", "92.3±0.3", "95.5±0.1"]]))

Numbers are never cut off: only the first column and the headings are wrapped.
"""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.text import Text

from experiments.output import printable

NARROWEST = 8
"""Smallest width of the first column in characters, on terminals of any width."""


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table that fits its terminal.

    Attributes:
        headings: one heading per column. The first column identifies a row and is repeated if the
            columns are split.
        rows: a row is a sequence with one cell per column, or a string, which is a heading for the
            rows below it.
        title: printed above the table.
        legend: printed below the table.
        left: indices of the columns that are aligned to the left; the others are aligned to the
            right.
        group: heading of the extra first column that the headings among the rows become in
            Markdown.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str] | str]
    title: str = ""
    legend: str = ""
    left: tuple[int, ...] = (0,)
    group: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yields the lines, for rich's `Console.print`."""
        shown = self.spelled(options.encoding)
        if shown.title:
            yield Text(shown.title, style="italic")
        first, blocks = shown.layout(options.max_width)
        for number, columns in enumerate(blocks):
            if number:
                yield Text()
            yield from shown.block(first, columns)
        if shown.legend:
            yield Text(shown.legend, style="dim italic")

    def spelled(self, encoding: str) -> "Sheet":
        """The same table in an encoding; replacing characters before the layout keeps the columns
        aligned.
        """
        rows = [
            printable(row, encoding)
            if isinstance(row, str)
            else [printable(cell, encoding) for cell in row]
            for row in self.rows
        ]
        headings = [printable(heading, encoding) for heading in self.headings]
        title, legend = printable(self.title, encoding), printable(self.legend, encoding)
        return Sheet(headings, rows, title, legend, self.left, self.group)

    def cells(self) -> list[Sequence[str]]:
        """The rows without the headings among them."""
        return [row for row in self.rows if not isinstance(row, str)]

    def width_of(self, column: int) -> int:
        """The width of a column: that of its widest cell or of the longest word in its heading."""
        words = self.headings[column].split() or [""]
        return max(map(len, [*words, *(row[column] for row in self.cells())]))

    def layout(self, available: int) -> tuple[int, list[list[int]]]:
        """The width of the first column, and the other columns in groups that each fit beside
        it.
        """
        widths = {column: self.width_of(column) for column in range(1, len(self.headings))}
        first = min(
            self.width_of(0), max(NARROWEST, available - 1 - max(widths.values(), default=0))
        )
        blocks: list[list[int]] = [[]]
        used = first
        for column, width in widths.items():
            if blocks[-1] and used + 1 + width > available:
                blocks.append([])
                used = first
            blocks[-1].append(column)
            used += 1 + width
        return first, blocks

    def block(self, first: int, columns: list[int]) -> Iterator[Text]:
        """Yields the lines of the first column and some others."""
        widths = [first, *map(self.width_of, columns)]
        picked = [0, *columns]
        heading = [
            textwrap.wrap(self.headings[column], width)
            for column, width in zip(picked, widths, strict=True)
        ]
        yield from (
            self.line(cells, picked, widths, "bold") for cells in stacked(heading, bottom=True)
        )
        for row in self.rows:
            if isinstance(row, str):
                yield Text(row, style="bold")
                continue
            name = textwrap.wrap(row[0], first) or [""]
            numbers = [[row[column]] for column in columns]
            yield from (self.line(cells, picked, widths, "") for cells in stacked([name, *numbers]))

    def line(
        self, cells: Sequence[str], columns: Sequence[int], widths: Sequence[int], style: str
    ) -> Text:
        """One line with aligned cells."""
        aligned = (
            cell.ljust(width) if column in self.left else cell.rjust(width)
            for cell, column, width in zip(cells, columns, widths, strict=True)
        )
        return Text(" ".join(aligned).rstrip(), style=style, no_wrap=True, overflow="fold")


def stacked(cells: Sequence[list[str]], bottom: bool = False) -> list[list[str]]:
    """Turns cells of several lines each into lines of cells, with empty lines added above or
    below.
    """
    height = max(map(len, cells))
    filled = [
        [""] * (height - len(cell)) + cell if bottom else cell + [""] * (height - len(cell))
        for cell in cells
    ]
    return [list(line) for line in zip(*filled, strict=True)]
