"""The contestants of `bench sweep`: `jaxreg.sweep`, a Flax loop, one jitted scan per run, and
PyTorch.

Each contestant is a function that trains all runs and returns their test accuracies, of shape
(runs,). All of them train the same MLP (tanh, two hidden layers of equal width) with the same batch
size, by Adam and a proximal L1 step in Adam's metric. Their arguments are the settings, the width
of the hidden layers, the data and the number of runs.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxreg
from experiments.benchmarks.settings import SweepBenchmark
from experiments.datasets import Rows
from experiments.networks import MLP, initial
from experiments.training import accuracy, cross_entropy


class Split(NamedTuple):
    """Training and test rows."""

    train: Rows
    test: Rows


def optimizer(config: SweepBenchmark) -> optax.GradientTransformation:
    """The optimizer of the contestants that use JAX."""
    return jaxreg.prox_adam(config.learning_rate, jaxreg.L1(config.strength), mask=jaxreg.kernels)


@functools.lru_cache(maxsize=8)
def scanned_fit(config: SweepBenchmark, width: int) -> Callable[[Any, Any, Any], jax.Array]:
    """The training of one network as a pure function of key, hyperparameters (none) and data,
    returning its accuracy.
    """
    widths = (64, width, width, 10)
    tx = optimizer(config)

    def fit(key: jax.Array, _: Any, data: Split) -> jax.Array:
        model_key, order_key = jax.random.split(key)
        structure, params = initial(widths, model_key)
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

    return fit


def by_sweep(
    config: SweepBenchmark, width: int, data: Split, runs: int, devices: int | None = None
) -> np.ndarray:
    """`jaxreg.sweep`: all runs in one program, on all devices or as many as `devices` says."""
    return np.asarray(
        jaxreg.sweep(
            scanned_fit(config, width), np.zeros(runs), data, seeds=None, devices=devices
        ).outputs
    )


@functools.lru_cache(maxsize=8)
def flax_step(config: SweepBenchmark) -> tuple[optax.GradientTransformation, Callable[..., None]]:
    """The optimizer and the jitted step of the Flax loop, cached so that only the first run
    compiles.
    """

    @nnx.jit
    def step(model: MLP, optimizer: nnx.Optimizer, rows: Rows) -> None:
        def loss(model: MLP) -> jax.Array:
            logits = model(jnp.asarray(rows.inputs))
            return optax.losses.softmax_cross_entropy_with_integer_labels(
                logits, rows.labels
            ).mean()

        optimizer.update(model, nnx.grad(loss)(model))

    return optimizer(config), step


def by_flax_loop(config: SweepBenchmark, width: int, data: Split, runs: int) -> np.ndarray:
    """The usual Flax loop: a Python loop over batches with a jitted step, one run after another."""
    tx, step = flax_step(config)
    scores = []
    for run in range(runs):
        model = MLP((64, width, width, 10), rngs=nnx.Rngs(run))
        state = nnx.Optimizer(model, tx, wrt=nnx.Param)
        for rows in batches(config, data, run):
            step(model, state, rows)
        logits = model(jnp.asarray(data.test.inputs))
        scores.append(float(jnp.mean(jnp.argmax(logits, -1) == data.test.labels)))
    return np.array(scores)


def by_jitted_run(config: SweepBenchmark, width: int, data: Split, runs: int) -> np.ndarray:
    """One jitted scan per run, one run after another."""
    program = jitted_run(scanned_fit(config, width))
    return np.array([float(program(jax.random.key(run), data)) for run in range(runs)])


@functools.lru_cache(maxsize=8)
def jitted_run(fit: Callable[[Any, Any, Any], jax.Array]) -> Any:
    """The jitted training of one network, cached so that only the first run compiles."""
    return jax.jit(lambda key, data: fit(key, None, data))


def by_torch(config: SweepBenchmark, width: int, data: Split, runs: int) -> np.ndarray:
    """PyTorch: Adam and the same proximal step written by hand, one run after another, with
    PyTorch's own threads.
    """
    import torch

    sides = [
        torch.from_numpy(np.asarray(side, np.float32 if side.ndim == 2 else np.int64))
        for part in data
        for side in part
    ]
    inputs, labels, test_inputs, test_labels = sides
    scores = []
    for run in range(runs):
        torch.manual_seed(run)
        layers = [
            torch.nn.Linear(64, width),
            torch.nn.Tanh(),
            torch.nn.Linear(width, width),
            torch.nn.Tanh(),
        ]
        model = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))
        adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        for picked in orders(config, len(labels), run):
            adam.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(inputs[picked]), labels[picked]).backward()
            adam.step()
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.ndim == 2:
                        state = adam.state[weight]
                        root = (
                            (state["exp_avg_sq"] / (1 - 0.999 ** float(state["step"])))
                            .sqrt_()
                            .add_(1e-8)
                        )
                        threshold = config.learning_rate * config.strength / root
                        weight.sub_(torch.maximum(torch.minimum(weight, threshold), -threshold))
        with torch.no_grad():
            scores.append(float((model(test_inputs).argmax(1) == test_labels).float().mean()))
    return np.array(scores)


def orders(config: SweepBenchmark, count: int, run: int) -> list[np.ndarray]:
    """The row numbers of every batch of one run, each of shape (batch_size,), for contestants that
    loop in Python.

    Args:
        config: the batch size and the number of epochs.
        count: number of training rows.
        run: number of the run, which seeds the order.
    """
    random = np.random.default_rng(run)
    whole = count // config.batch_size * config.batch_size
    epochs = [
        random.permutation(count)[:whole].reshape(-1, config.batch_size)
        for _ in range(config.epochs)
    ]
    return list(np.concatenate(epochs))


def batches(config: SweepBenchmark, data: Split, run: int) -> list[Rows]:
    """The batches of one run, as rows."""
    rows = data.train
    return [
        Rows(rows.inputs[picked], rows.labels[picked])
        for picked in orders(config, len(rows.labels), run)
    ]
