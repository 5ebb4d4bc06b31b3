"""Patterns of names: `blocks/*/kernel` fits the names of kernels, and `blocks/*` those of whole
blocks and what is below.

A name is a tuple of its parts. In a pattern, `*` stands for any characters of one part, and the
part `**` for any parts.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from typing import NamedTuple

WILDCARDS = set("*?[")


def joined(path: tuple[str, ...]) -> str:
    """Formats the parts of a name as `layer/kernel`."""
    return "/".join(path) or "(the only leaf)"


def has_wildcards(path: tuple[str, ...]) -> bool:
    """Whether a pattern can fit several names."""
    return bool(WILDCARDS & set("".join(path)))


def is_pattern(path: tuple[str, ...]) -> bool:
    """Whether the text of a path has wildcards, or keys that hold several parts."""
    return has_wildcards(path) or any("/" in part for part in path)


def rank(path: tuple[str, ...]) -> tuple[bool, int, int]:
    """How much a pattern says: first those without wildcards, then those with more other characters
    and fewer stars.
    """
    text = "/".join(path)
    return not has_wildcards(path), len(text) - text.count("*"), -text.count("*")


def split(path: tuple[str, ...]) -> tuple[str, ...]:
    """Splits keys that hold slashes."""
    return tuple("/".join(path).split("/"))


def fits(pattern: tuple[str, ...], path: tuple[str, ...], below: bool = False) -> bool:
    """Whether a pattern fits a path or begins it, or if `below` is set, could fit something below
    it.
    """
    return captured(pattern, path, below) is not None


def captured(
    pattern: tuple[str, ...], path: tuple[str, ...], below: bool = False
) -> tuple[str, ...] | None:
    """Returns what the wildcards of a pattern stand for in a path that it fits, or else None;
    arguments are those of `fits`.
    """
    if not pattern:
        return ()
    if pattern[0] == "**":
        starts = range(len(path) + 1)
        tried = ((start, captured(pattern[1:], path[start:], below)) for start in starts)
        return next((("/".join(path[:n]), *rest) for n, rest in tried if rest is not None), None)
    if not path:
        return () if below else None
    # Each star stands for the shortest text that fits; other wildcards are matched first.
    texts = re.fullmatch(re.escape(pattern[0]).replace(r"\*", "(.*?)"), path[0])
    if path[0] == pattern[0]:
        here: tuple[str, ...] = ()
    elif not fnmatch.fnmatchcase(path[0], pattern[0]):
        return None
    else:
        here = texts.groups() if texts else (path[0],)
    rest = captured(pattern[1:], path[1:], below)
    return None if rest is None else (*here, *rest)


def some(paths: list[tuple[str, ...]], count: int = 3) -> str:
    """Formats the first of a list of names."""
    more = f" and {len(paths) - count} more" if len(paths) > count else ""
    return ", ".join(map(joined, paths[:count])) + more


class Words(NamedTuple):
    """What `match` calls a tree of entries, an entry, and what was expected, in its messages."""

    tree: str
    entry: str
    expected: str


def misfit(
    words: Words,
    bare: list[tuple[str, ...]],
    unused: list[tuple[str, ...]],
    leaves: list[tuple[str, ...]],
) -> str:
    """Formats the message about leaves without an entry and entries without a leaf, with similar
    names.
    """
    problems = [f"nothing for {some(bare)}"] if bare else []
    problems += [f"{words.entry} at {some(unused)}, where there is no parameter"] if unused else []
    known = {joined(path[:length]): None for path in leaves for length in range(len(path), 0, -1)}
    near = {
        name: None
        for entry in unused[:3]
        for name in difflib.get_close_matches(joined(entry), known, 3)
    }
    similar = f"; similar names are: {', '.join(near)}" if near else ""
    return (
        f"{words.tree} does not fit the parameters: it has {' and '.join(problems)}; expected "
        f"{words.expected.format(some(leaves, 8))}{similar}"
    )
