"""What a regularized update costs beside `optax.adamw`, in one run on one machine.

Each optimizer's update and `optax.apply_updates` are compiled together, with weights and state donated, for one float32
array. Bytes are XLA's own count (`cost_analysis`) for the compiled program, per parameter. Times are paired: every round
times every optimizer once, in random order, and the ratio to AdamW is taken within the round before the median.

On CPU cores XLA compiles Adam's two moments and the weights as three loops. Between them AdamW reads and writes ten
float32 numbers a weight, 40 bytes, and the proximal step works on values that the third loop holds already. A coupled
penalty changes the gradient that both moment loops read, so both must read the weights as well: 48 bytes. Barriers,
one variadic reduction for all three results, and XLA's experimental multi-output fusion were tried and save none of it.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

import jaxreg
from experiments.benchmarks.settings import UpdateBenchmark
from experiments.results.disk import write_whole
from experiments.results.store import provenance
from experiments.sheet import Sheet

BASELINE = "optax.adamw"


def optimizers() -> dict[str, optax.GradientTransformation]:
    """What is compared, by the words a user would type."""
    return {
        BASELINE: optax.adamw(1e-3, weight_decay=1e-4),
        "prox_adam(L1)": jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4)),
        "add_l1 → adam": optax.chain(jaxreg.add_l1(1e-4), optax.adam(1e-3)),
        "add_l2 → adam": optax.chain(jaxreg.add_l2(5e-5), optax.adam(1e-3)),
        "scale_by_adam → add_l2": optax.chain(
            optax.scale_by_adam(), jaxreg.add_l2(5e-5), optax.scale_by_learning_rate(1e-3)
        ),
    }


def compile_update(tx: optax.GradientTransformation, weights: jax.Array) -> Any:
    """One update of the weights as a compiled program that takes over weights and state."""

    def update(weights: jax.Array, state: Any, gradient: jax.Array) -> tuple[Any, Any]:
        updates, state = tx.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state

    return jax.jit(update, donate_argnums=(0, 1)).lower(weights, tx.init(weights), weights).compile()


def measure(config: UpdateBenchmark, advance: Callable[[int], None]) -> dict[str, dict[str, Any]]:
    """Bytes per parameter, median milliseconds, and the median and quartiles of the paired ratio, by optimizer."""
    weights_key, gradient_key = jax.random.split(jax.random.key(config.seed))
    weights = jax.random.normal(weights_key, (config.parameters,))
    gradient = 0.1 * jax.random.normal(gradient_key, (config.parameters,))
    compared = optimizers()
    programs = {name: compile_update(tx, weights) for name, tx in compared.items()}
    states = {name: (jnp.copy(weights), tx.init(weights)) for name, tx in compared.items()}
    order = np.random.default_rng(config.seed)
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    # Two rounds go unmeasured: the first touches fresh memory.
    for round_number in range(config.rounds + 2):
        for name in order.permutation(list(programs)):
            began = time.perf_counter()
            states[name] = jax.block_until_ready(programs[name](*states[name], gradient))
            if round_number >= 2:
                seconds[name].append(time.perf_counter() - began)
        advance(1)
    ratios = {name: np.array(times) / np.array(seconds[BASELINE]) for name, times in seconds.items()}
    return {
        name: {
            "bytes_per_parameter": programs[name].cost_analysis()["bytes accessed"] / config.parameters,
            "milliseconds": float(np.median(seconds[name])) * 1e3,
            "ratio": float(np.median(ratios[name])),
            "ratio_quartiles": [float(quartile) for quartile in np.quantile(ratios[name], [0.25, 0.75])],
        }
        for name in programs
    }


def steps(config: UpdateBenchmark) -> int:
    """How often `advance` will be called."""
    return config.rounds + 2


def run(config: UpdateBenchmark, command: str, console: Console, advance: Callable[[int], None]) -> None:
    """Measures, prints the table and, where `config.out` is set, saves the numbers with what made them."""
    began = time.perf_counter()
    numbers = measure(config, advance)
    made_by = provenance(dataclasses.asdict(config), command, time.perf_counter() - began)
    title = f"One update of {config.parameters:,} float32 weights, {made_by['devices'][0]}, {config.rounds} paired rounds"
    rows = []
    for name, row in numbers.items():
        low, high = row["ratio_quartiles"]
        measured = f"{row['bytes_per_parameter']:.1f}", f"{row['milliseconds']:.2f}", f"{row['ratio']:.3f}"
        rows.append([name, *measured, f"{low:.3f}–{high:.3f}"])
    console.print(Sheet(["optimizer", "bytes/weight", "ms", "time ÷ AdamW", "quartiles"], rows, title))
    if config.out is not None:
        write_whole(config.out, json.dumps({"made_by": made_by, "numbers": numbers}, indent=2, default=str) + "\n")
        console.print(f"saved {config.out}", markup=False)
