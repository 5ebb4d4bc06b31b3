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

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np

from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, optax, xr
from experiments.settings import at_least
from experiments.tables import Table
from experiments.training import described


@dataclasses.dataclass(frozen=True)
class Settings:
    """The cost of one update of the weights: bytes as XLA counts them, and time."""

    parameters: int = 4_000_000
    """Number of weights in the float32 matrix that is updated."""
    rounds: int = 200
    """Number of rounds; each round times every optimizer once, in random order."""
    seed: int = 0
    """Seed of the weights, the gradient and the order."""

    def __post_init__(self) -> None:
        at_least(self, parameters=1, rounds=3)


BASELINE = "optax.adamw"
CLIPPED = "clip → optax.adamw"
WARM_UP = 2
"""Rounds that are not measured: the first ones touch fresh memory."""
QUARTILES = (0.25, 0.5, 0.75)
TEXTS = {
    "optimizer": ("how a penalty is applied", "1"),
    "quartile": ("quartile over the rounds", "1"),
    "bytes": ("bytes that XLA counts per weight", "B"),
    "milliseconds": ("median time of an update", "ms"),
    "ratio": ("time divided by AdamW's with the same clip", "1"),
}


def optimizers() -> dict[str, optax.GradientTransformation]:
    """The optimizers that are compared, by the words that a user would type."""
    clip = optax.clip_by_global_norm(1.0)
    group = jaxreg.Group(jaxreg.LogSum(1e-4), axis=1)
    return {
        BASELINE: optax.adamw(1e-3, weight_decay=1e-4),
        "prox_adam(L1)": jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4)),
        "prox_adam(LogSum)": jaxreg.prox_adam(1e-3, jaxreg.LogSum(1e-4)),
        "prox_adam(MCP)": jaxreg.prox_adam(1e-3, jaxreg.MCP(1e-4)),
        "prox_adam(Bridge ½)": jaxreg.prox_adam(1e-3, jaxreg.Bridge(1e-5)),
        "prox_adam(GroupL2)": jaxreg.prox_adam(1e-3, jaxreg.GroupL2(1e-4, axis=1)),
        "prox_adam(Group(LogSum))": jaxreg.prox_adam(1e-3, group),
        "add_l1 → adam": optax.chain(jaxreg.add_l1(1e-4), optax.adam(1e-3)),
        "add_l2 → adam": optax.chain(jaxreg.add_l2(5e-5), optax.adam(1e-3)),
        "scale_by_adam → add_l2": optax.chain(
            optax.scale_by_adam(), jaxreg.add_l2(5e-5), optax.scale_by_learning_rate(1e-3)
        ),
        CLIPPED: optax.chain(clip, optax.adamw(1e-3, weight_decay=1e-4)),
        "prox_adam(L1, clip)": jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), clip=clip),
    }


def measure(config: Settings, _: Session) -> xr.Dataset:
    """Times every optimizer; returns the variables in `TEXTS`."""
    weights_key, gradient_key = jax.random.split(jax.random.key(config.seed))
    # About as many rows as columns; a row is a group.
    size = config.parameters
    rows = next(rows for rows in range(math.isqrt(size), 0, -1) if size % rows == 0)
    weights = jax.random.normal(weights_key, (rows, size // rows))
    gradient = 0.1 * jax.random.normal(gradient_key, weights.shape)
    names, states = list(optimizers()), []
    programs: list[Any] = []
    for tx in optimizers().values():

        def update(weights: Any, state: Any, gradient: Any, tx: Any = tx) -> tuple[Any, Any]:
            updates, state = tx.update(gradient, state, weights)
            return optax.apply_updates(weights, updates), state

        lowered = jax.jit(update, donate_argnums=(0, 1)).lower(weights, tx.init(weights), weights)
        programs.append(lowered.compile())
        states.append((jnp.copy(weights), tx.init(weights)))
    order = np.random.default_rng(config.seed)
    seconds = np.zeros((WARM_UP + config.rounds, len(names)))
    for passed in seconds:
        for at in order.permutation(len(names)):
            began = time.perf_counter()
            states[at] = jax.block_until_ready(programs[at](*states[at], gradient))
            passed[at] = time.perf_counter() - began
    seconds = seconds[WARM_UP:]
    baselines = [names.index(CLIPPED if "clip" in name else BASELINE) for name in names]
    ratios = np.quantile(seconds / seconds[:, baselines], QUARTILES, axis=0)
    counted = [program.cost_analysis()["bytes accessed"] / size for program in programs]
    variables = {
        "bytes": ("optimizer", counted),
        "milliseconds": ("optimizer", 1e3 * np.median(seconds, 0)),
        "ratio": (("quartile", "optimizer"), ratios),
    }
    attributes = {
        "parameters": size, "rounds": config.rounds, "device": jax.devices()[0].device_kind
    }  # fmt: skip
    axes = {"optimizer": names, "quartile": list(QUARTILES)}
    return described(xr.Dataset(variables, axes, attributes), TEXTS)


def tabulate(results: Results) -> list[Table]:
    """Bytes and time of one update by optimizer."""
    dataset = results["optimizers"]
    numbers = zip(
        dataset["optimizer"].values, dataset["bytes"].values, dataset["milliseconds"].values,
        dataset["ratio"].transpose("optimizer", "quartile").values, strict=True,
    )  # fmt: skip
    rows = [
        [f"`{name}`", f"{count:.0f}", f"{time:.2f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}"]
        for name, count, time, (low, ratio, high) in numbers
    ]
    title = (
        f"One update of {dataset.attrs['parameters']:,} float32 weights on "
        f"{dataset.attrs['device']}, median of {dataset.attrs['rounds']} rounds"
    )
    headings = ["optimizer", "bytes per weight", "ms", "time ÷ `optax.adamw`", "quartiles"]
    legend = "Rows with a clip are divided by AdamW with this clip."
    return [Table(headings, rows, title, legend)]


STUDY = Study(
    name="bench update",
    summary="The cost of one update of the weights, compared with optax.adamw",
    settings=Settings(),
    quick=Settings(parameters=100_000, rounds=20),
    sweeps={"optimizers": measure},
    tabulate=tabulate,
)
