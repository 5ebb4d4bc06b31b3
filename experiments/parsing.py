"""One call of tyro whose help fits the terminal and whose errors are one line each.

    parsed = call_tyro(kind, words, prog="python -m experiments")
    explain("Unrecognized options: --seed, 3", ["strength", "--seed", "3"], {"strength": settings})
    # "unknown option --seed; did you mean --seeds?"

tyro prints errors as a frame of many lines, in which options of other commands may hide the
mistake.
"""

import contextlib
import dataclasses
import difflib
import io
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from experiments.settings import SettingError
from experiments.terminal import import_tyro

ANSI = re.compile(r"\x1b\[[0-9;]*m")
FRAME = "╭│╰─+|- "
SIMILAR = 0.7
"""Similarity, from 0 to 1, at which a name is suggested instead of another one."""


class UnreadableWordsError(Exception):
    """The words cannot be parsed; the message is tyro's reason in one line."""


class Folding:
    """A text stream that breaks lines which are wider than the terminal, except those of frames."""

    def __init__(self, stream: Any):
        self.stream = stream
        self.width = shutil.get_terminal_size().columns

    def write(self, text: str) -> int:
        """Writes the text, which tyro prints line by line."""
        framed = ANSI.sub("", text).startswith(tuple(FRAME))
        return int(self.stream.write(text if framed else fold(text, self.width)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def fold(text: str, width: int) -> str:
    """Breaks a line after spaces and commas where it would be wider than `width`, not counting
    colours.
    """
    lines = [""]
    for part in re.findall(r"[^ ,]*[ ,]|[^ ,]+", text):
        if lines[-1] and len(ANSI.sub("", lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip(" ") for line in lines) if len(lines) > 1 else text


def call_tyro(kind: Any, words: Sequence[str], **options: Any) -> Any:
    """Calls `tyro.cli`.

    Args:
        kind: the type to parse the words into.
        words: the words.
        **options: further arguments of `tyro.cli`.

    Returns:
        The parsed value.

    Raises:
        UnreadableWordsError: the words cannot be parsed.
        SystemExit: help was printed.
    """
    tyro = import_tyro()
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(Folding(sys.stdout)):
            return tyro.cli(kind, args=words, **options)
    except SystemExit as leaving:
        if not leaving.code:
            raise
        raise UnreadableWordsError(reason_in(errors.getvalue())) from None


def reason_in(text: str) -> str:
    """The first paragraph in a frame that tyro printed, as one line."""
    lines = [line.strip(FRAME) for line in ANSI.sub("", text).splitlines()[1:]]
    paragraph = lines[: lines.index("")] if "" in lines else lines
    return " ".join(paragraph) or " ".join(text.split())


def check_command(words: Sequence[str], names: Sequence[str], what: str = "command") -> None:
    """Checks that the first word, if there is one, is an option or the name of a command.

    Args:
        words: the words.
        names: the names of all commands.
        what: what the names are.

    Raises:
        SettingError: the first word is something else; the message suggests a similar name or lists
            all of them.
    """
    if not words or words[0].startswith("-") or words[0] in names:
        return
    near = difflib.get_close_matches(words[0], names, 1, SIMILAR)
    advice = (
        f"did you mean {near[0]!r}?" if near else f"expected {', '.join(names[:-1])} or {names[-1]}"
    )
    raise SettingError(f"unknown {what} {words[0]!r}; {advice}")


def explain(reason: str, words: Sequence[str], settings: Any) -> str:
    """Says in plain words why the words of a command cannot be parsed.

    Args:
        reason: the reason that tyro gave.
        words: the words.
        settings: the command's default settings.

    Returns:
        One line, without the advice to read the help.
    """
    if reason.startswith("Unrecognized"):
        known = option_names(settings)
        for word in words:
            option = word.partition("=")[0].replace("_", "-")
            if option.startswith("--") and option not in known:
                near = difflib.get_close_matches(option, known, 1, SIMILAR)
                return f"unknown option {option}" + (f"; did you mean {near[0]}?" if near else "")
        unexpected = re.findall(r"(\S+) \(applied to", reason) or reason.partition(": ")[2].split(
            ", "
        )
        return f"expected only options, got {' '.join(unexpected)}"
    if match := re.fullmatch(
        r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)", reason
    ):
        return f"{match[1]}: expected an integer, got {match[2]}"
    if match := re.fullmatch(
        r"Error parsing (\S+): could not convert string to float: (.*)", reason
    ):
        return f"{match[1]}: expected a number, got {match[2]}"
    if match := re.fullmatch(r"Missing value for argument '(\S+)'.*", reason):
        return f"{match[1]}: expected a value, got none"
    if match := re.fullmatch(r"Expected one of {(.*)}.*", reason):
        return f"expected one of {match[1]}, got none"
    return reason.rstrip(".")


def with_typed_name(message: str, words: Sequence[str]) -> str:
    """A message about a setting with the option's full name, `sweep.l1` instead of `l1`, if it was
    typed.
    """
    name, _, rest = message.partition(":")
    options = [word.partition("=")[0][2:] for word in words if word.startswith("--")]
    typed = [option for option in options if option.endswith(f".{name}")]
    return f"{typed[0]}:{rest}" if typed else message


def option_names(settings: Any, prefix: str = "") -> list[str]:
    """The options of a command, from its default settings, whose fields `settings` and `options`
    add no prefix.
    """
    names = ["--help"] if not prefix else []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            names += option_names(
                value, "" if name in ("settings", "options") else f"{prefix}{name}."
            )
        else:
            names.append(f"--{prefix}{name}" if value is not True else f"--{prefix}no-{name}")
    return names
