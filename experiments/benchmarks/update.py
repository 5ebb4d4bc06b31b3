"""The cost of a regularized update of the weights, compared with `optax.adamw`.

Each optimizer's update and `optax.apply_updates` are compiled into one program for one float32
matrix; weights and state are donated. Bytes are XLA's own count (`cost_analysis`) for the compiled
program, per weight. Every round times every optimizer once, in random order, and the ratio to AdamW
(with the same clip, where there is one) is computed within each round before the median over all
rounds is taken.

On CPU cores XLA computes Adam's two moments and the new weights in three loops. AdamW reads and
writes ten float32 numbers per weight in them, 40 bytes. The proximal step uses only values that the
third loop has already loaded. A coupled penalty changes the gradient that both moment loops read,
so both must read the weights as well: 48 bytes. Barriers, one variadic reduction for all three
results, and XLA's experimental multi-output fusion did not avoid this.

The proximal steps of concave penalties are computed in the third loop too, with two or three more
divisions and roots per weight. Penalties of groups need sums over groups, which XLA computes from
arrays in memory: it writes √ν, D and the weights before the prox, and reads them once for D, twice
for the norm and once for the result.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxreg
from experiments.benchmarks.benchmark import Benchmark
from experiments.benchmarks.settings import UpdateBenchmark
from experiments.sheet import Sheet

BASELINE = "optax.adamw"
CLIPPED = "clip → optax.adamw"
WARM_UP = 2
"""Rounds that are not measured: the first ones touch fresh memory."""


def optimizers() -> dict[str, optax.GradientTransformation]:
    """The optimizers that are compared, by the words that a user would type."""
    return {
        BASELINE: optax.adamw(1e-3, weight_decay=1e-4),
        "prox_adam(L1)": jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4)),
        "prox_adam(LogSum)": jaxreg.prox_adam(1e-3, jaxreg.LogSum(1e-4)),
        "prox_adam(MCP)": jaxreg.prox_adam(1e-3, jaxreg.MCP(1e-4)),
        "prox_adam(Bridge ½)": jaxreg.prox_adam(1e-3, jaxreg.Bridge(1e-5)),
        "prox_adam(GroupL2)": jaxreg.prox_adam(1e-3, jaxreg.GroupL2(1e-4, axis=1)),
        "prox_adam(Group(LogSum))": jaxreg.prox_adam(
            1e-3, jaxreg.Group(jaxreg.LogSum(1e-4), axis=1)
        ),
        "add_l1 → adam": optax.chain(jaxreg.add_l1(1e-4), optax.adam(1e-3)),
        "add_l2 → adam": optax.chain(jaxreg.add_l2(5e-5), optax.adam(1e-3)),
        "scale_by_adam → add_l2": optax.chain(
            optax.scale_by_adam(), jaxreg.add_l2(5e-5), optax.scale_by_learning_rate(1e-3)
        ),
        CLIPPED: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=1e-4)),
        "prox_adam(L1, clip)": jaxreg.prox_adam(
            1e-3, jaxreg.L1(1e-4), clip=optax.clip_by_global_norm(1.0)
        ),
    }


def compile_update(tx: optax.GradientTransformation, weights: jax.Array) -> Any:
    """One update of the weights as a compiled program that reuses the memory of weights and
    state.
    """

    def update(weights: jax.Array, state: Any, gradient: jax.Array) -> tuple[Any, Any]:
        updates, state = tx.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state

    return (
        jax.jit(update, donate_argnums=(0, 1)).lower(weights, tx.init(weights), weights).compile()
    )


def nearly_square(size: int) -> tuple[int, int]:
    """The shape of a matrix with `size` weights and about as many rows as columns; a row is a
    group.
    """
    rows = next(rows for rows in range(math.isqrt(size), 0, -1) if size % rows == 0)
    return rows, size // rows


def count_rounds(config: UpdateBenchmark) -> int:
    """Number of rounds, including the warm-up."""
    return config.rounds + WARM_UP


def measure_updates(config: UpdateBenchmark, advance: Callable[[int], None]) -> dict[str, Any]:
    """Times every optimizer.

    Args:
        config: the size of the matrix and the number of rounds.
        advance: called with 1 after each round.

    Returns:
        `numbers`: by optimizer, the bytes per weight, the median time in milliseconds, and the
        median and the quartiles of the time divided by AdamW's with the same clip.
    """
    weights_key, gradient_key = jax.random.split(jax.random.key(config.seed))
    shape = nearly_square(config.parameters)
    weights = jax.random.normal(weights_key, shape)
    gradient = 0.1 * jax.random.normal(gradient_key, shape)
    compared = optimizers()
    programs = {name: compile_update(tx, weights) for name, tx in compared.items()}
    states = {name: (jnp.copy(weights), tx.init(weights)) for name, tx in compared.items()}
    order = np.random.default_rng(config.seed)
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for round_number in range(count_rounds(config)):
        for name in order.permutation(list(programs)):
            began = time.perf_counter()
            states[name] = jax.block_until_ready(programs[name](*states[name], gradient))
            if round_number >= WARM_UP:
                seconds[name].append(time.perf_counter() - began)
        advance(1)
    baselines = {name: CLIPPED if "clip" in name else BASELINE for name in seconds}
    ratios = {
        name: np.array(times) / np.array(seconds[baselines[name]])
        for name, times in seconds.items()
    }
    numbers = {
        name: {
            "bytes_per_parameter": programs[name].cost_analysis()["bytes accessed"]
            / config.parameters,
            "milliseconds": float(np.median(seconds[name])) * 1e3,
            "ratio": float(np.median(ratios[name])),
            "ratio_quartiles": [
                float(quartile) for quartile in np.quantile(ratios[name], [0.25, 0.75])
            ],
        }
        for name in programs
    }
    return {"numbers": numbers}


def show_updates(config: UpdateBenchmark, numbers: dict[str, Any]) -> Iterable[Sheet]:
    """The table of all optimizers."""
    device = jax.devices()[0].device_kind
    title = f"One update of {config.parameters:,} float32 weights, {device}, {config.rounds} rounds"
    rows = []
    for name, row in numbers["numbers"].items():
        low, high = row["ratio_quartiles"]
        measured = (
            f"{row['bytes_per_parameter']:.1f}",
            f"{row['milliseconds']:.2f}",
            f"{row['ratio']:.3f}",
        )
        rows.append([name, *measured, f"{low:.3f}–{high:.3f}"])
    yield Sheet(["optimizer", "bytes/weight", "ms", "time ÷ AdamW", "quartiles"], rows, title)


BENCHMARK = Benchmark(count_rounds, measure_updates, show_updates)
