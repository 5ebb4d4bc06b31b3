"""Times of programs that are compared with each other.

    calls = [lambda: dense(x), lambda: sparse(x)]
    seconds = paired(calls, rounds=200)                     # (rounds, programs)
    speedup = np.median(seconds[:, 0] / seconds[:, 1])

What else runs on the machine slows down a whole round, so ratios are taken within a round, before
the median over all rounds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.lazy import jax

WARM_UP = 2
"""Rounds that are not measured: the first one compiles, and fresh memory is slow."""
FEWEST = 3
"""Rounds that are measured even if they take longer than was wanted."""


def paired(
    programs: Sequence[Callable[[], Any]], rounds: int, seed: int = 0, longest: float = np.inf
) -> np.ndarray:
    """Times every program once in each round, in random order.

    Args:
        programs: called without arguments; JAX's arrays among their results are waited for.
        rounds: number of rounds that are measured.
        seed: of the order.
        longest: seconds after which no further round begins, if three are done.

    Returns:
        Seconds (rounds, programs).
    """
    rng = np.random.default_rng(seed)
    measured: list[np.ndarray] = []
    for program in [*programs] * WARM_UP:
        jax.block_until_ready(program())
    ends = time.perf_counter() + longest
    while len(measured) < rounds and (len(measured) < FEWEST or time.perf_counter() < ends):
        passed = np.zeros(len(programs))
        for at in rng.permutation(len(programs)):
            began = time.perf_counter()
            jax.block_until_ready(programs[at]())
            passed[at] = time.perf_counter() - began
        measured.append(passed)
    return np.array(measured)


class Measured(NamedTuple):
    """What one call returned and needed.

    Attributes:
        result: what it returned.
        seconds: how long it took.
        memory: bytes by which the resident memory of the process rose at its peak; NaN where the
            system is not Linux.
    """

    result: Any
    seconds: float
    memory: float


def measured(call: Callable[[], Any]) -> Measured:
    """Calls once, and measures time and peak memory."""
    peak = Path("/proc/self/clear_refs")
    linux = os.access(peak, os.W_OK)
    if linux:
        peak.write_text("5")  # the peak is what there is now
    before = resident("VmRSS") if linux else np.nan
    began = time.perf_counter()
    result = call()
    passed = time.perf_counter() - began
    return Measured(result, passed, resident("VmHWM") - before if linux else np.nan)


def resident(name: str) -> float:
    """Bytes of this process's memory, by the name in Linux's table."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * float(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
