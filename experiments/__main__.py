"""The command line.

    python -m experiments                 what L1 and L2 do to a network: records, table and figures
    python -m experiments claims          every claim about L1 and L2 tested: verdicts and figures
    python -m experiments baselines       L1 and L2 against weight decay
    python -m experiments images          accuracy against weights kept, on Fashion-MNIST and other images
    python -m experiments report          one HTML page from what is on disk
    python -m experiments bench update    what a regularized update costs beside optax.adamw
    python -m experiments bench lasso     one λ, one answer: every optimizer against scikit-learn's lasso
    python -m experiments bench sweep     the sweep beside a Flax loop and PyTorch, and how it scales

A wrong setting is told in one line; an interruption leaves earlier results as they were.
"""

import os
import signal
import sys
from collections.abc import Callable

from rich.console import Console

import jaxreg
from experiments.commands import bench, claims, images, report, study
from experiments.config import SettingError
from experiments.terminal import INTERRUPTED, remember_interrupt

COMMANDS: dict[str, Callable[[list[str], Console], None]] = {
    "bench": bench.run,
    "report": report.run,
    "images": images.run,
    **claims.COMMANDS,
}


def main(words: list[str]) -> int:
    """Runs one command; returns its exit status: 0, 1 for a failure, 2 for a wrong setting, 130 when interrupted."""
    console = Console()
    try:
        signal.signal(signal.SIGINT, remember_interrupt)
        if not words or words[0].startswith("-"):
            study.run(words, console)
        elif words[0] in COMMANDS:
            COMMANDS[words[0]](words[1:], console)
        else:
            raise SettingError(f"unknown command {words[0]!r}: expected none, or {', '.join(COMMANDS)}; see --help")
    except (SettingError, jaxreg.SweepMismatchError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except OSError as error:
        console.print(
            f"error: results could not be written: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 1
    except KeyboardInterrupt as interrupt:
        told = str(interrupt) or "nothing new was kept"
        console.print(f"interrupted: {told}; earlier results are as they were", markup=False, soft_wrap=True)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    exit_status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if exit_status == INTERRUPTED:
        # A chunk may still be computing, and JAX crashes when the interpreter is torn down under it.
        os._exit(exit_status)
    sys.exit(exit_status)
