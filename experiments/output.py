"""Makes sure that standard output cannot fail a run if it is closed, is full, or has an encoding
without λ.

output.protect()                    # once, before anything is printed
print("λ = 0.1")                    # prints "lambda = 0.1" in an ASCII locale
return output.finish(status)        # 1 if some of the output could not be written
"""

import codecs
import contextlib
import errno
import os
import sys
from typing import Any

SPELLINGS = {
    "λ": "lambda",
    "±": "+-",
    "–": "-",
    "−": "-",
    "×": "x",
    "÷": "/",
    "‖": "||",
    "→": "->",
    "…": "...",
    "Σ": " sum ",
    "²": "^2",
    "½": "1/2",
    "₁": "1",
    "₂": "2",
    "ν": "nu",
    "β": "beta",
    "ε": "eps",
    "√": "sqrt",
    "“": '"',
    "”": '"',
    "≤": "<=",
    "≥": ">=",
    "’": "'",
    "•": "*",
    "│": "|",
    "─": "-",
}
"""Replacements for characters that the encoding lacks; other characters are escaped."""


def spell(error: UnicodeError) -> tuple[str, int]:
    """The codec error handler `spell`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    words = (
        SPELLINGS.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii")
        for sign in missing
    )
    return "".join(words), error.end


codecs.register_error("spell", spell)


def printable(text: str, encoding: str) -> str:
    """The text as a stream with this encoding prints it."""
    return text.encode(encoding, "spell").decode(encoding)


class Stream:
    """A text stream that discards everything after its first failure instead of raising.

    Attributes:
        stream: the stream that is wrapped.
        error: the first failure; None if there was none.
    """

    def __init__(self, stream: Any):
        self.stream = stream
        self.error: OSError | None = None
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="spell")

    def write(self, text: str) -> int:
        """Writes the text, or discards it after a failure."""
        try:
            return int(self.stream.write(text))
        except OSError as error:
            self.give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flushes the stream, or discards its buffer after a failure."""
        try:
            self.stream.flush()
        except OSError as error:
            self.give_up(error)

    def give_up(self, error: OSError) -> None:
        """Connects the stream to the null device, so that its buffer cannot fail again when Python
        exits.
        """
        self.error = self.error or error
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def protect() -> None:
    """Opens closed standard streams on the null device, and wraps stdout and stderr in a
    `Stream`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # This opens the lowest free number, which is `number`. If it stayed free, the next file
            # to be opened would get it and receive what is printed.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        setattr(sys, name, Stream(getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")))  # noqa: SIM115


def finish(status: int) -> int:
    """Flushes the output and reports on stderr if some of it could not be written.

    A closed pipe does not count as a failure, because readers such as `head` close it early.

    Args:
        status: exit status of the command.

    Returns:
        The exit status of the process.
    """
    sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    if error is not None and error.errno != errno.EPIPE:
        saved = "; the command finished, and its files are saved" if status == 0 else ""
        print(
            f"error: standard output could not be written ({error.strerror}){saved}",
            file=sys.stderr,
        )
        status = status or 1
    sys.stderr.flush()
    return status
