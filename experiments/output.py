"""Standard output that cannot fail a run: closed, full, or in an encoding without λ.

output.protect()                    # once, before anything is printed
print("λ = 0.1")                    # in an ASCII locale: lambda = 0.1
return output.finish(status)        # 1 if a full disk swallowed some of the output
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
"""What is printed where the encoding lacks a character; any other becomes its escape."""


def spell(error: UnicodeError) -> tuple[str, int]:
    """The codec error handler `spell`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    words = (SPELLINGS.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii") for sign in missing)
    return "".join(words), error.end


codecs.register_error("spell", spell)


def printable(text: str, encoding: str) -> str:
    """The text as a stream of this encoding will show it."""
    return text.encode(encoding, "spell").decode(encoding)


class Stream:
    """A text stream whose first failure is kept in `error`; what is written after it is discarded."""

    def __init__(self, stream: Any):
        self.stream = stream
        self.error: OSError | None = None
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="spell")

    def write(self, text: str) -> int:
        """Writes the text, or discards it."""
        try:
            return int(self.stream.write(text))
        except OSError as error:
            self.give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flushes the stream, or discards what is buffered."""
        try:
            self.stream.flush()
        except OSError as error:
            self.give_up(error)

    def give_up(self, error: OSError) -> None:
        """Connects the stream to the null device, so that its buffer cannot fail again when Python exits."""
        self.error = self.error or error
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def protect() -> None:
    """Opens the standard streams that are closed, on the null device, and wraps stdout and stderr in a `Stream`."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one; left free, the next file to be opened would receive what is printed.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        setattr(sys, name, Stream(getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")))  # noqa: SIM115


def finish(status: int) -> int:
    """The exit status of a command that ended with `status`, once its output is flushed.

    A reader that left, as `head` does, is no failure. Any other is, and is named on stderr.
    """
    sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    if error is not None and error.errno != errno.EPIPE:
        saved = "; the command itself finished, and its files are saved" if status == 0 else ""
        print(f"error: standard output could not be written ({error.strerror}){saved}", file=sys.stderr)
        status = status or 1
    sys.stderr.flush()
    return status
