"""One of two processes that sweep together: python two_processes.py CASE FOLDER PROCESS PORT.
Prints what it saw.
"""

import errno
import os
import signal
import sys

import jax

case, folder, process, port = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 1)
jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)

import numpy as np  # noqa: E402

import jaxreg  # noqa: E402
from jaxreg._sweep import store  # noqa: E402


def times(factor):
    return lambda key, x, data: x * factor


def sweep(factor, place, **options):
    return jaxreg.sweep(
        times(factor), np.arange(1.0, 4.0, dtype=np.float32), folder=place, chunk=1, **options
    )


def attempt(factor, place, **options):
    """Prints the outcome in one line."""
    try:
        print("saw: results", sweep(factor, place, **options).outputs.tolist(), flush=True)
    except BaseException as error:
        print("saw:", type(error).__name__, error, flush=True)


def full(path, content, **options):
    if path.name.startswith("chunk-"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return write(path, content, **options)


def interrupted(count):
    if process == 1:
        signal.raise_signal(signal.SIGINT)


def failing(count):
    if process == 1:
        raise ZeroDivisionError("only here")


write = store.write_whole
if case == "mismatch":
    sweep(2.0, folder)
    attempt(3.0, folder)
elif case == "full":
    if process == 0:
        store.write_whole = full
    attempt(2.0, folder)
    store.write_whole = write
elif case == "interrupt":
    attempt(2.0, folder, progress=interrupted)
elif case == "callback":
    attempt(2.0, folder, progress=failing)
elif case == "different":
    attempt(2.0 + process, folder)
# Whatever happened, the next sweeps are in step: they return their own results, and keep them.
attempt(5.0, folder + "-next")
attempt(5.0, folder + "-next")
