"""The blocks of the documents that a command writes: tables by name, between two comments.

    <!-- table l1-l2/picture: written by `python -m experiments readme` -->
    ...
    <!-- end -->

A table is named by its result and its own name. Besides there is a table of claims for each result
that has any ("baselines/claims") and for each suite ("claims"), and the table of all commands with
their seconds ("commands").
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.report.page import format_devices
from experiments.results.tables import rows_as_markdown
from experiments.settings import require

OPENING = "<!-- table {}: written by `python -m experiments readme` -->"
CLOSING = "<!-- end -->"
BLOCK = re.compile(
    "^" + OPENING.format("([^\\n:]+)") + "\n(.*?)^" + CLOSING + "$", re.MULTILINE | re.DOTALL
)
QUICK = " (quick run, not final)"


def rendered(text: str, tables: Mapping[str, Sequence[str]], document: str) -> str:
    """A document with every block as the tables have it.

    Args:
        text: the document so far.
        tables: the lines of every table, by its name.
        document: the name of the document, for messages.

    Returns:
        The document with its blocks replaced, and everything else as it was.

    Raises:
        SettingError: A block has no end, or there is no table of its name.
    """

    def block(match: re.Match[str]) -> str:
        name = match[1]
        require(name in tables, document, f"a block named as one of {', '.join(tables)}", name)
        return "\n".join([OPENING.format(name), "", *tables[name], "", CLOSING])

    opened, whole = (
        len(re.findall(form, text, re.MULTILINE)) for form in ("^<!-- table ", "^<!-- end")
    )
    found = len(BLOCK.findall(text))
    expected = f"every block to begin with {OPENING.format('NAME')} and to end with {CLOSING}"
    require(
        found == opened == whole,
        document,
        expected,
        f"{opened} beginnings and {whole} ends, {found} of them in pairs",
    )
    return BLOCK.sub(block, text)


def differing(text: str, tables: Mapping[str, Sequence[str]], document: str) -> list[str]:
    """The names of the blocks that are not as the tables have them."""
    names = (match[1] for match in BLOCK.finditer(rendered(text, tables, document)))
    pairs = zip(
        names, BLOCK.finditer(text), BLOCK.finditer(rendered(text, tables, document)), strict=True
    )
    return [name for name, old, new in pairs if old[0] != new[0]]


def tables_of(numbers: Mapping[str, Any], suites: Mapping[str, str]) -> dict[str, list[str]]:
    """Every table as the lines of its block, by name.

    Args:
        numbers: the content of numbers.json.
        suites: what each suite does, by its name.
    """
    found = {"commands": commands_table(numbers, suites)}
    for suite in suites:
        members = [one for one in numbers.values() if one["suite"] == suite]
        if members:
            found[suite] = claims_table(members)
    for name, one in numbers.items():
        if one["claims"]:
            found[f"{name}/claims"] = claims_table([one])
        found |= {
            f"{name}/{table}": small_table(content, one) for table, content in one["tables"].items()
        }
    return found


def small_table(content: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """A small table with its title, its text, and the command that measures it."""
    above = [f"{content['title']}:", ""] if content["title"] else []
    below = " ".join(filter(None, (content["text"], made_by([result]))))
    return [*above, *rows_as_markdown(content["headings"], content["rows"]), "", below]


def claims_table(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Claims with their verdicts and their numbers."""
    results = list(results)
    rows = [
        [claim["statement"].rstrip("."), claim["verdict"], "<br>".join(claim["headlines"])]
        for one in results
        for claim in one["claims"]
    ]
    return [*rows_as_markdown(["claim", "verdict", "result"], rows), "", made_by(results)]


def made_by(results: Iterable[Mapping[str, Any]]) -> str:
    """The commands that measured the results."""
    commands = dict.fromkeys(
        f"`{one['made_by']['command']}`{QUICK if one['quick'] else ''}" for one in results
    )
    return f"Made by {' and '.join(commands)}."


def commands_table(numbers: Mapping[str, Any], suites: Mapping[str, str]) -> list[str]:
    """Every command with what it does, how long it took and on which devices, of which each has a
    row of its own.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in numbers.values():
        devices = format_devices(one["made_by"].get("devices"))
        groups.setdefault((one["made_by"]["command"], devices), []).append(one)
    rows = []
    for (command, devices), results in groups.items():
        suite = results[0]["suite"]
        what = results[0]["summary"] if len(results) == 1 else suites.get(suite, suite)
        seconds = sum(float(one["made_by"].get("seconds", "nan")) for one in results)
        rows.append([f"`{command}`", what, f"{seconds:.0f}", devices])
    return rows_as_markdown(["command", "what it does", "seconds", "devices"], rows)
