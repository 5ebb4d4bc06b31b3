"""The command line.

    python -m experiments                 what L1 and L2 do to a network: records, table and figures
    python -m experiments claims          every claim about L1 and L2 tested: verdicts and figures
    python -m experiments baselines       L1 and L2 against weight decay
    python -m experiments images          accuracy against weights kept, on Fashion-MNIST and other images
    python -m experiments report          one HTML page from what is on disk
    python -m experiments bench update    what a regularized update costs beside optax.adamw
    python -m experiments bench lasso     one λ, one answer: every optimizer against scikit-learn's lasso
    python -m experiments bench sweep     the sweep beside a Flax loop and PyTorch, and how it scales

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
    from experiments.commands import bench, claims, images, report, study
    from experiments.config import SettingError

    commands = {"bench": bench.run, "report": report.run, "images": images.run, **claims.COMMANDS}
    console = Console()
    try:
        if not words or words[0].startswith("-"):
            study.run(words, console)
        elif words[0] in commands:
            commands[words[0]](words[1:], console)
        else:
            expected = f"expected none, or {', '.join(commands)}"
            raise SettingError(f"unknown command {words[0]!r}: {expected}; see python -m experiments --help")
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
