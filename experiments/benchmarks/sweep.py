"""The speed of `jaxreg.sweep`, compared with what a user would run instead, and how it scales with
threads, worker processes and runs.

All contestants train the same MLP (tanh, two hidden layers of equal width) on the digits with the
same batch size, by Adam and a proximal L1 step in Adam's metric. We report the time of all runs
together and the test accuracy. The arithmetic is counted as 6 operations per weight and row
(forward and backward pass) and compared with the speed of a large float32 matrix product, measured
in the same run. In the table of scaling, each row is measured in a process of its own, so that its
peak memory is its own.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.util
import itertools
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from experiments import datasets
from experiments.datasets import Rows
from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, networks, nnx, optax, xr
from experiments.settings import at_least, positive, require
from experiments.tables import Table
from experiments.training import accuracy, cross_entropy, described

if TYPE_CHECKING:
    from experiments.networks import MLP

TRAIN_ROWS = 1437


@dataclasses.dataclass(frozen=True)
class Settings:
    """The speed of `jaxreg.sweep`, compared with a Flax loop, one jitted scan per run, and
    PyTorch.
    """

    widths: tuple[int, ...] = (32, 128, 512)
    """Widths of the two hidden layers; each width is a comparison of its own."""
    runs: int = 64
    """Number of networks that are trained in each way."""
    epochs: int = 20
    """Passes over the 1437 training rows of the digits."""
    batch_size: int = 128
    """Rows per step."""
    learning_rate: float = 3e-3
    """Adam's constant learning rate."""
    strength: float = 1e-4
    """λ of the proximal L1 penalty."""
    torch: bool = True
    """Whether to measure PyTorch, if it is installed."""
    scaling_width: int = 128
    """Width of the hidden layers in the table of scaling."""
    scaling_threads: tuple[int, ...] = (1, 2, 4)
    """Numbers of networks that are trained at a time, for `runs` networks."""
    scaling_workers: tuple[int, ...] = (1, 2, 4)
    """Numbers of worker processes of a `ProcessPoolExecutor`, for `runs` networks."""
    scaling_runs: tuple[int, ...] = (16, 64, 256, 1024)
    """Numbers of networks, trained as many at a time as `jaxreg.sweep` does by default."""

    def __post_init__(self) -> None:
        at_least(self, widths=1, runs=1, epochs=1, batch_size=1, strength=0, scaling_width=1)
        for name in ("scaling_threads", "scaling_workers", "scaling_runs"):
            values = getattr(self, name)
            require(min(values, default=1) >= 1, name, "numbers of at least 1", values)
        positive(self, "learning_rate")
        require(self.batch_size <= TRAIN_ROWS, "batch_size", f"1 to {TRAIN_ROWS}", self.batch_size)


class Split(NamedTuple):
    """Training and test rows, the same for all contestants."""

    train: Rows
    test: Rows


def split_digits() -> Split:
    """1437 training rows and 360 test rows of the digits."""
    rows = datasets.digits()
    order = np.random.default_rng(0).permutation(len(rows.labels))
    parts = order[:TRAIN_ROWS], order[TRAIN_ROWS:]
    return Split(*(Rows(rows.inputs[part], rows.labels[part]) for part in parts))


Train: TypeAlias = Callable[[int], np.ndarray]
"""Trains this many networks and returns their test accuracies (runs,)."""


def optimizer(config: Settings) -> optax.GradientTransformation:
    """The optimizer of the contestants that use JAX."""
    return jaxreg.prox_adam(config.learning_rate, jaxreg.L1(config.strength), mask=jaxreg.kernels)


def train_network(key: jax.Array, _: Any, data: Split, config: Settings, width: int) -> jax.Array:
    """Trains one network in a scan and returns its test accuracy."""
    model_key, order_key = jax.random.split(key)
    structure, params = networks.initial((64, width, width, 10), model_key)
    tx = optimizer(config)
    count = data.train.labels.shape[0]
    batches = count // config.batch_size

    def step(carry: Any, picked: jax.Array) -> tuple[Any, None]:
        params, state = carry
        rows = Rows(data.train.inputs[picked], data.train.labels[picked])
        gradient = jax.grad(functools.partial(cross_entropy, structure))(params, rows)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry: Any, key: jax.Array) -> tuple[Any, None]:
        order = jax.random.permutation(key, count)[: batches * config.batch_size]
        return jax.lax.scan(step, carry, order.reshape(batches, config.batch_size))

    keys = jax.random.split(order_key, config.epochs)
    (params, _), _ = jax.lax.scan(epoch, (params, tx.init(params)), keys)
    return accuracy(structure, params, data.test)


def by_sweep(config: Settings, width: int, data: Split, **options: Any) -> Train:
    """`jaxreg.sweep`: all runs in one program; `options` say on which devices or workers."""
    fit = functools.partial(train_network, config=config, width=width)
    return lambda runs: np.asarray(
        jaxreg.sweep(fit, np.zeros(runs), data, seeds=None, progress=False, **options).outputs
    )


def by_flax_loop(config: Settings, width: int, data: Split) -> Train:
    """The usual Flax loop: a Python loop over batches with a jitted step, one run after another."""
    tx = optimizer(config)

    @nnx.jit
    def step(model: MLP, optimizer: nnx.Optimizer, rows: Rows) -> None:
        def loss(model: MLP) -> jax.Array:
            losses = optax.losses.softmax_cross_entropy_with_integer_labels
            return losses(model(jnp.asarray(rows.inputs)), rows.labels).mean()

        optimizer.update(model, nnx.grad(loss)(model))

    def train(run: int) -> float:
        model = networks.MLP((64, width, width, 10), rngs=nnx.Rngs(run))
        state = nnx.Optimizer(model, tx, wrt=nnx.Param)
        for picked in orders(config, run):
            step(model, state, Rows(data.train.inputs[picked], data.train.labels[picked]))
        logits = model(jnp.asarray(data.test.inputs))
        return float(jnp.mean(jnp.argmax(logits, -1) == data.test.labels))

    return lambda runs: np.array([train(run) for run in range(runs)])


def by_jitted_run(config: Settings, width: int, data: Split) -> Train:
    """One jitted scan per run, one run after another."""
    program = jax.jit(lambda key, data: train_network(key, None, data, config=config, width=width))
    return lambda runs: np.array([float(program(jax.random.key(run), data)) for run in range(runs)])


def by_torch(config: Settings, width: int, data: Split) -> Train:
    """PyTorch: Adam and the same proximal step written by hand, one run after another, with
    PyTorch's own threads.
    """
    import torch

    inputs, labels, test_inputs, test_labels = (
        torch.from_numpy(np.asarray(side, np.float32 if side.ndim == 2 else np.int64))
        for part in data
        for side in part
    )

    def train(run: int) -> float:
        torch.manual_seed(run)
        widths = (64, width, width)
        layers = [
            layer
            for sizes in itertools.pairwise(widths)
            for layer in (torch.nn.Linear(*sizes), torch.nn.Tanh())
        ]
        model = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))
        adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        for picked in orders(config, run):
            adam.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(inputs[picked]), labels[picked]).backward()
            adam.step()
            with torch.no_grad():
                for weight in (weight for weight in model.parameters() if weight.ndim == 2):
                    state = adam.state[weight]
                    corrected = state["exp_avg_sq"] / (1 - 0.999 ** float(state["step"]))
                    root = corrected.sqrt_().add_(1e-8)
                    threshold = config.learning_rate * config.strength / root
                    weight.sub_(torch.maximum(torch.minimum(weight, threshold), -threshold))
        with torch.no_grad():
            return float((model(test_inputs).argmax(1) == test_labels).float().mean())

    return lambda runs: np.array([train(run) for run in range(runs)])


def orders(config: Settings, run: int) -> Iterator[np.ndarray]:
    """The row numbers (batch_size,) of every batch of one run, for loops in Python."""
    random = np.random.default_rng(run)
    whole = TRAIN_ROWS // config.batch_size * config.batch_size
    for _ in range(config.epochs):
        yield from random.permutation(TRAIN_ROWS)[:whole].reshape(-1, config.batch_size)


SWEEP = "`jaxreg.sweep`"
TORCH = "PyTorch"
CONTESTANTS: dict[str, Callable[..., Train]] = {
    SWEEP: by_sweep,
    "Flax loop": by_flax_loop,
    "one jitted scan per run": by_jitted_run,
    TORCH: by_torch,
}
TEXTS = {
    "width": ("width of the hidden layers", "1"),
    "contestant": ("how the networks are trained", "1"),
    "seconds": ("time of all runs after a first call", "s"),
    "first_seconds": ("time of the first sweep of a shape, which compiles", "s"),
    "accuracy": ("mean test accuracy", "1"),
    "gflops": ("arithmetic per second", "GFLOP/s"),
    "product_gflops": ("arithmetic per second of a large matrix product", "GFLOP/s"),
    "kind": ("what computes: threads of a process, or worker processes", "1"),
    "count": ("number of threads or workers; 0 is the default", "count"),
    "runs": ("number of networks", "count"),
    "mebibytes": ("peak memory of the process", "MiB"),
}


def timed(train: Train, runs: int) -> tuple[float, np.ndarray]:
    """Seconds and test accuracies of some runs."""
    began = time.perf_counter()
    scores = train(runs)
    return time.perf_counter() - began, scores


def matrix_product_speed() -> float:
    """GFLOP/s of a large square float32 matrix product on the first device, the best of five."""
    size = 4096 if jax.devices()[0].platform == "cpu" else 16384
    left = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    seconds = []
    for _ in range(6):  # the first one compiles
        began = time.perf_counter()
        jax.block_until_ready(product(left, left))
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds) / 1e9


def measure_speed(config: Settings, session: Session) -> xr.Dataset:
    """Trains all runs with every contestant, at every width."""
    data = split_digits()
    shape = len(config.widths), len(CONTESTANTS)
    seconds, scores = np.full(shape, np.nan), np.full(shape, np.nan)
    first_seconds = []
    # Compiling is measured, so programs that earlier commands compiled must not be loaded.
    jax.config.update("jax_enable_compilation_cache", False)
    product = matrix_product_speed()
    for row, width in enumerate(config.widths):
        for column, (name, contestant) in enumerate(CONTESTANTS.items()):
            if name == TORCH and not (config.torch and importlib.util.find_spec("torch")):
                continue
            options = {"devices": session.devices} if name == SWEEP else {}
            train = contestant(config, width, data, **options)
            first, _ = timed(train, config.runs if name == SWEEP else 1)
            if name == SWEEP:
                first_seconds.append(first)
            seconds[row, column], accuracies = timed(train, config.runs)
            scores[row, column] = accuracies.mean()
    product = max(product, matrix_product_speed())
    widths = np.array(config.widths)
    weights = 64 * widths + widths * widths + widths * 10
    rows = config.epochs * (TRAIN_ROWS // config.batch_size) * config.batch_size
    operations = 6.0 * weights * rows * config.runs
    variables = {
        "seconds": (("width", "contestant"), seconds),
        "accuracy": (("width", "contestant"), scores),
        "gflops": (("width", "contestant"), operations[:, None] / seconds / 1e9),
        "first_seconds": ("width", first_seconds),
        "product_gflops": product,
    }
    device = jax.devices()[0].device_kind
    attributes = {"runs": config.runs, "epochs": config.epochs, "device": device}
    axes = {"width": widths, "contestant": list(CONTESTANTS)}
    return described(xr.Dataset(variables, axes, attributes), TEXTS)


def measure_scaling(config: Settings, _: Session) -> xr.Dataset:
    """Measures warm sweeps with several numbers of threads, workers and runs, each in a process of
    its own; none on an accelerator, which one process claims.
    """
    points: list[tuple[str, int, int]] = []
    if jax.devices()[0].platform == "cpu":
        points += [("threads", count, config.runs) for count in config.scaling_threads]
        if importlib.util.find_spec("flatbuffers"):
            points += [("workers", count, config.runs) for count in config.scaling_workers]
        points += [("threads", 0, runs) for runs in config.scaling_runs]
    measured = []
    for point in points:
        with process_pool(1) as pool:
            measured.append((*point, *pool.submit(measure_in_child, config, *point).result()))
    columns = list(zip(*measured, strict=True)) or [()] * 5
    names = ("kind", "count", "runs", "seconds", "mebibytes")
    variables = {name: ("row", list(values)) for name, values in zip(names, columns, strict=True)}
    return described(xr.Dataset(variables, attrs={"width": config.scaling_width}), TEXTS)


def process_pool(workers: int) -> concurrent.futures.Executor:
    """New processes, which start without this one's JAX."""
    spawn = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, spawn)


def measure_in_child(config: Settings, kind: str, count: int, runs: int) -> tuple[float, float]:
    """Runs one warm sweep in this process; returns its seconds and its peak memory, which is not
    measured for workers.
    """
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"devices": count or None}
        if kind == "workers":
            options = {"executor": stack.enter_context(process_pool(count))}
        train = by_sweep(config, config.scaling_width, split_digits(), **options)
        train(16 * max(count, 1))  # every worker compiles
        seconds, _ = timed(train, runs)
    return seconds, peak_memory() if kind == "threads" else math.nan


def peak_memory() -> float:
    """Peak resident memory of this process in MiB; NaN on a system without /proc.

    getrusage cannot be used here, because a new process starts with the peak of its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def tabulate(results: Results) -> list[Table]:
    """The contestants' seconds by width, and seconds and memory by threads, workers and runs."""
    speed, scaling = results["speed"], results["scaling"]
    rows = []
    for width in speed["width"].values:
        measured = speed.sel(width=width)
        seconds = measured["seconds"].values
        others = [
            f"{value:.2f} ({value / seconds[0]:.1f} ×)" if np.isfinite(value) else "not measured"
            for value in seconds[1:]
        ]
        share = float(measured["gflops"][0] / measured["product_gflops"])
        rows.append([str(width), f"{seconds[0]:.2f}", *others, f"{share:.0%}"])
    title = (
        f"Seconds for {speed.attrs['runs']} networks of two hidden layers on "
        f"{speed.attrs['device']}, {speed.attrs['epochs']} epochs, after a first run; in "
        f"brackets, the time divided by that of {SWEEP}"
    )
    spread = 100 * float(
        (speed["accuracy"].max("contestant") - speed["accuracy"].min("contestant")).max()
    )
    compiling = (speed["first_seconds"] - speed["seconds"].sel(contestant=SWEEP)).values
    legend = (
        f"At each width, the contestants' mean test accuracies differ by {spread:.1f} points or "
        f"less. The first sweep of a shape also compiles, which takes {compiling.min():.1f} to "
        f"{compiling.max():.1f} seconds. The last column is the sweep's arithmetic per second, "
        "divided by that of a large float32 matrix product."
    )
    if speed["seconds"].sel(contestant=TORCH).isnull().all():
        legend += " PyTorch was not measured; the extra `torch` installs it."
    headings = ["width", *map(str, speed["contestant"].values), "share of a matrix product"]
    tables = [Table(headings, rows, title, legend)]
    if scaling.sizes["row"]:
        lines = []
        for row in range(scaling.sizes["row"]):
            kind, count, runs, seconds, memory = (
                scaling[name].values[row]
                for name in ("kind", "count", "runs", "seconds", "mebibytes")
            )
            peak = f"{memory:.0f}" if np.isfinite(memory) else "–"
            numbers = [str(runs), f"{seconds:.2f}", f"{runs / seconds:.1f}"]
            lines.append([f"{count} {kind}" if count else kind, *numbers, peak])
        title = (
            f"The sweep at width {scaling.attrs['width']}, after a first run, one process per row: "
            "with this many threads, by default two for each core, or with the workers of a "
            "`ProcessPoolExecutor`"
        )
        headings = ["on", "runs", "seconds", "runs per second", "peak memory, MiB"]
        complete = "workers" in scaling["kind"].values
        missing = "Workers were not measured; the extra `dask` installs what they need."
        tables.append(Table(headings, lines, title, "" if complete else missing))
    return tables


STUDY = Study(
    name="bench sweep",
    summary="The speed of jaxreg.sweep, compared with a Flax loop, jitted scans and PyTorch",
    settings=Settings(),
    quick=Settings(
        widths=(16,), runs=8, epochs=4, scaling_width=16, scaling_threads=(1, 2),
        scaling_workers=(1, 2), scaling_runs=(16,),
    ),
    sweeps={"speed": measure_speed, "scaling": measure_scaling},
    tabulate=tabulate,
)  # fmt: skip
