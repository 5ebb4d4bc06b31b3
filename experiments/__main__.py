"""The command line.

    python -m experiments                 the main job: what L1 and L2 do to a network
    python -m experiments --help          every command, a line each
    python -m experiments claims --quick  a suite of studies, in its small version

Messages about mistakes and interruptions go to stderr. The exit status is 0, 1 for a failure, 2 for a wrong setting,
and 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.
"""

import os
import sys

from experiments import output, stopping


def main(words: list[str]) -> int:
    """Runs one command; returns its exit status."""
    stopping.listen()
    try:
        status = dispatch(words)
        stopping.check()
    except KeyboardInterrupt as interrupt:
        say("; ".join(["interrupted", *notes(interrupt)]))
        return stopping.exit_status()
    except Exception as error:
        # Code that is interrupted may turn the KeyboardInterrupt into an exception of its own, as imports do.
        if stopping.state.signal is None:
            raise
        say("; ".join(["interrupted", *notes(error)]))
        return stopping.exit_status()
    return status


def dispatch(words: list[str]) -> int:
    """Runs the command that the words name; what a user can mend is one line on stderr."""
    # Only now, as JAX takes seconds to import, in which Ctrl-C should be handled already.
    from rich.console import Console

    import jaxreg
    from experiments import command_line
    from experiments.settings import SettingError

    try:
        command, parsed = command_line.parse(words)
        command.run(parsed, words, Console())
    except (SettingError, jaxreg.SweepMismatchError) as error:
        say(f"error: {error}")
        return 2
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        say("; ".join([f"error: {error.strerror or error}{place}", *notes(error)]))
        return 1
    return 0


def notes(error: BaseException) -> list[str]:
    """What was added to an exception: what is kept on disk."""
    return getattr(error, "__notes__", [])


def say(message: str) -> None:
    """Prints a line to stderr, in red on a terminal with colours."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    print(f"\x1b[31m{message}\x1b[0m" if coloured else message, file=sys.stderr)


if __name__ == "__main__":
    output.protect()
    try:
        exit_status = main(sys.argv[1:])
    except SystemExit as leaving:
        exit_status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    exit_status = output.finish(exit_status)
    if stopping.state.signal is not None or exit_status == 130:
        # A chunk may still be computing, and JAX crashes when the interpreter is torn down under it.
        os._exit(exit_status)
    sys.exit(exit_status)
