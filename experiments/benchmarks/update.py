"""The cost of a regularized update of the weights, compared with `optax.adamw`.

Each optimizer's update and `optax.apply_updates` are compiled into one program, for one float32
matrix and for the parameters of a transformer; weights and state are donated. Bytes are XLA's own
count (`cost_analysis`) for the compiled program, per weight. Every round times every optimizer
once, in random order, and the ratio to AdamW (with the same clip, where there is one) is computed
within each round before the median over all rounds is taken. Compile times are of one compilation
each, with tracing, and without JAX's cache.

On CPU cores XLA computes Adam's two moments and the new weights in three loops. AdamW reads and
writes ten float32 numbers per weight in them, 40 bytes. The proximal step uses only values that the
third loop has already loaded. A coupled penalty changes the gradient that both moment loops read,
so both must read the weights as well: 48 bytes. Barriers, one variadic reduction for all three
results, and XLA's experimental multi-output fusion did not avoid this.

The proximal steps of concave penalties are computed in the third loop too, with two or three more
divisions and roots per weight. Penalties of groups need sums over groups, which XLA computes from
arrays in memory: it writes √ν, D and the weights before the prox, and reads them once for D, twice
for the norm (once for groups across parameters) and once for the result.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, networks, nnx, optax, xr
from experiments.settings import at_least, require
from experiments.tables import Table
from experiments.training import described


@dataclasses.dataclass(frozen=True)
class Settings:
    """The cost of one update of the weights: bytes as XLA counts them, and time."""

    parameters: int = 4_000_000
    """Number of weights in the float32 matrix that is updated."""
    rounds: int = 200
    """Number of rounds; each round times every optimizer once, in random order."""
    blocks: int = 4
    """Number of blocks of the transformer; 12 for a GPU."""
    width: int = 256
    """Width of the transformer, a multiple of its 64 wide heads; 768 for a GPU."""
    seed: int = 0
    """Seed of the weights, the gradient and the order."""

    def __post_init__(self) -> None:
        at_least(self, parameters=1, rounds=3, blocks=1, width=64)
        require(self.width % 64 == 0, "width", "a multiple of 64", self.width)


BASELINE = "optax.adamw"
CLIPPED = "clip → optax.adamw"
WARM_UP = 2
"""Rounds that are not measured: the first ones touch fresh memory."""
QUARTILES = (0.25, 0.5, 0.75)
TEXTS = {
    "optimizer": ("how a penalty is applied", "1"),
    "quartile": ("quartile over the rounds", "1"),
    "bytes": ("bytes that XLA counts per weight", "B"),
    "temporary": ("memory of the program besides its arguments and results, per weight", "B"),
    "compiling": ("compile time divided by AdamW's with the same clip", "1"),
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


STEERING_STEPS = 10
"""Steps after which steering has found its λ, so that the rounds after it time what it costs."""


def optimizers_of_transformers() -> dict[str, optax.GradientTransformation]:
    """The optimizers that are compared on a transformer, all with a clip."""
    clip = optax.clip_by_global_norm(1.0)
    neurons = {"blocks/*/up": "unit", "blocks/*/down/kernel": "input"}
    parts = ("query", "key", "value", "out/kernel")
    heads = {f"blocks/*/attention/{part}": "head" for part in parts}

    def proximal(penalty: jaxreg.Penalty, **options: Any) -> optax.GradientTransformation:
        return jaxreg.prox_adam(1e-3, penalty, clip=clip, **options)

    def steered(kind: Any, **options: Any) -> optax.GradientTransformation:
        return jaxreg.steer_strength(
            lambda strength: proximal(kind(strength), mask=jaxreg.kernels, **options),
            0.5,
            STEERING_STEPS,
            mask=jaxreg.kernels,
        )

    return {
        CLIPPED: optax.chain(clip, optax.adamw(1e-3, weight_decay=1e-4, mask=jaxreg.kernels)),
        "prox_adam(L1)": proximal(jaxreg.L1(1e-4), mask=jaxreg.kernels),
        "prox_adam(L0)": proximal(jaxreg.L0(1e-4), mask=jaxreg.kernels, max_shrink=None),
        "steered L1": steered(jaxreg.L1),
        "steered L0": steered(jaxreg.L0, max_shrink=None),
        "prox_adam(GroupL2 by neuron)": proximal(jaxreg.GroupL2(1e-4, per=neurons)),
        "prox_adam(GroupL2 by head)": proximal(jaxreg.GroupL2(1e-4, per=heads)),
    }


def measure_matrix(config: Settings, _: Session) -> xr.Dataset:
    """Times every optimizer on a matrix; returns the variables in `TEXTS`."""
    # About as many rows as columns; a row is a group.
    size = config.parameters
    rows = next(rows for rows in range(math.isqrt(size), 0, -1) if size % rows == 0)
    weights = jax.random.normal(jax.random.key(config.seed), (rows, size // rows))
    return measure(optimizers(), weights, config)


def measure_transformer(config: Settings, _: Session) -> xr.Dataset:
    """Times every optimizer on the parameters of a transformer; returns the variables in
    `TEXTS`.
    """
    heads, hidden = ((n,) * config.blocks for n in (config.width // 64, 4 * config.width))
    rngs = nnx.Rngs(config.seed)
    model = networks.GPT(256, 256, config.width, heads, 64, hidden, rngs=rngs)
    return measure(optimizers_of_transformers(), nnx.split(model, nnx.Param)[1], config)


def measure(
    transformations: Mapping[str, optax.GradientTransformation], params: Any, config: Settings
) -> xr.Dataset:
    """Compiles the update of every optimizer, times them, and compares each with AdamW's."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(config.seed + 1), len(leaves))
    slopes = [0.1 * jax.random.normal(key, x.shape) for key, x in zip(keys, leaves, strict=True)]
    gradient = jax.tree.unflatten(structure, slopes)
    forget_programs()
    updates = [compile_update(tx, params, gradient) for tx in transformations.values()]
    seconds = time_in_turn(updates, params, gradient, config)
    names: list[str] = list(transformations)
    baselines = [names.index(base_of(name, names)) for name in names]
    size = sum(leaf.size for leaf in leaves)
    compiling = np.array([update.seconds for update in updates])
    programs = [update.program for update in updates]
    counted = [program.cost_analysis()["bytes accessed"] / size for program in programs]
    memory = [program.memory_analysis().temp_size_in_bytes / size for program in programs]
    ratios = np.quantile(seconds / seconds[:, baselines], QUARTILES, axis=0)
    variables = {
        "bytes": ("optimizer", counted),
        "temporary": ("optimizer", memory),
        "compiling": ("optimizer", compiling / compiling[baselines]),
        "milliseconds": ("optimizer", 1e3 * np.median(seconds, 0)),
        "ratio": (("quartile", "optimizer"), ratios),
    }
    attributes = {
        "parameters": size, "rounds": config.rounds, "device": jax.devices()[0].device_kind
    }  # fmt: skip
    axes = {"optimizer": names, "quartile": list(QUARTILES)}
    return described(xr.Dataset(variables, axes, attributes), TEXTS)


def forget_programs() -> None:
    """Turns JAX's cache off, as a program from it would take no time to compile."""
    from jax.experimental.compilation_cache import compilation_cache

    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()


class Update(NamedTuple):
    """A compiled update: from parameters, state and gradient to new parameters and state.

    Attributes:
        program: the compiled function.
        state: the optimizer's first state.
        seconds: to trace and compile it.
    """

    program: Any
    state: Any
    seconds: float


def compile_update(tx: optax.GradientTransformation, params: Any, gradient: Any) -> Update:
    """Compiles an optimizer's update together with `optax.apply_updates`."""

    def update(weights: Any, state: Any, gradient: Any) -> tuple[Any, Any]:
        updates, state = tx.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state

    state = jax.jit(tx.init)(params)
    began = time.perf_counter()
    program = jax.jit(update, donate_argnums=(0, 1)).lower(params, state, gradient).compile()
    return Update(program, state, time.perf_counter() - began)


def time_in_turn(
    updates: Sequence[Update], params: Any, gradient: Any, config: Settings
) -> np.ndarray:
    """Times every update once in each round, in random order; seconds (rounds, optimizers)."""
    states = [(jax.tree.map(jnp.copy, params), update.state) for update in updates]
    order = np.random.default_rng(config.seed)
    seconds = np.zeros((WARM_UP + config.rounds, len(updates)))
    for passed in seconds:
        for at in order.permutation(len(updates)):
            began = time.perf_counter()
            states[at] = jax.block_until_ready(updates[at].program(*states[at], gradient))
            passed[at] = time.perf_counter() - began
    return seconds[WARM_UP:]


def base_of(name: str, names: Sequence[str]) -> str:
    """The baseline that an optimizer is divided by: AdamW, with a clip if it has one."""
    return CLIPPED if "clip" in name or BASELINE not in names else BASELINE


def tabulate(results: Results) -> list[Table]:
    """Bytes, memory and time of one update by optimizer."""
    tables = []
    for name, what, legend in (
        ("optimizers", "one matrix", "Rows with a clip are divided by AdamW with this clip."),
        ("transformer", "the parameters of a transformer", "All have the same clip."),
    ):
        dataset = results[name]
        columns = ("bytes", "temporary", "compiling", "milliseconds")
        numbers = zip(
            dataset["optimizer"].values, *(dataset[column].values for column in columns),
            dataset["ratio"].transpose("optimizer", "quartile").values, strict=True,
        )  # fmt: skip
        rows = [
            [
                f"`{optimizer}`", f"{count:.0f}", f"{memory:.1f}", f"{compiling:.2f}",
                f"{milliseconds:.2f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}",
            ]
            for optimizer, count, memory, compiling, milliseconds, (low, ratio, high) in numbers
        ]  # fmt: skip
        title = (
            f"One update of {what}, {dataset.attrs['parameters']:,} float32 weights, on "
            f"{dataset.attrs['device']}, median of {dataset.attrs['rounds']} rounds"
        )
        headings = [
            "optimizer", "bytes per weight", "temporary bytes per weight",
            "compile time ÷ `optax.adamw`", "ms", "time ÷ `optax.adamw`", "quartiles",
        ]  # fmt: skip
        tables.append(Table(headings, rows, title, legend))
    return tables


STUDY = Study(
    name="bench update",
    summary="The cost of one update of the weights, compared with optax.adamw",
    settings=Settings(),
    quick=Settings(parameters=100_000, rounds=20, blocks=1, width=64),
    sweeps={"optimizers": measure_matrix, "transformer": measure_transformer},
    tabulate=tabulate,
)
