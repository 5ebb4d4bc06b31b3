"""The command line.

    python -m experiments                 the main job: what L1 and L2 do to a network
    python -m experiments --help          all commands, one per line
    python -m experiments claims --quick  the small version of a suite of studies

Error messages go to stderr. The exit status is 0 for success, 1 for a failure, 2 for a wrong
setting, and 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.
"""

import os
import sys

from experiments import output, stopping


def main(words: list[str]) -> int:
    """Runs the command given by the words; returns the exit status."""
    stopping.listen()
    try:
        status = dispatch(words)
        stopping.check()
    except KeyboardInterrupt as interrupt:
        say("; ".join(["interrupted", *notes(interrupt)]))
        return stopping.exit_status()
    except Exception as error:
        # Interrupted code, such as an import, may turn the KeyboardInterrupt into another
        # exception.
        if stopping.state.signal is None:
            raise
        say("; ".join(["interrupted", *notes(error)]))
        return stopping.exit_status()
    return status


def dispatch(words: list[str]) -> int:
    """Runs the command and reports the errors that a user can correct as one line on stderr;
    returns the exit status.
    """
    # Imported here because importing JAX takes seconds, and Ctrl-C must be handled before that.
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
    """The notes that were added to an exception, about what is kept on disk."""
    return getattr(error, "__notes__", [])


def say(message: str) -> None:
    """Prints a line to stderr, in red if it is a terminal with colours."""
    coloured = (
        sys.stderr.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )
    print(f"\x1b[31m{message}\x1b[0m" if coloured else message, file=sys.stderr)


if __name__ == "__main__":
    output.protect()
    try:
        exit_status = main(sys.argv[1:])
    except SystemExit as error:
        exit_status = error.code if isinstance(error.code, int) else int(error.code is not None)
    exit_status = output.finish(exit_status)
    if stopping.state.signal is not None or exit_status == 130:
        # A chunk may still be computing, and JAX crashes if the interpreter shuts down during it.
        os._exit(exit_status)
    sys.exit(exit_status)
