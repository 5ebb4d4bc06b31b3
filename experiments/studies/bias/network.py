"""Networks on the digits: how much smaller the kept weights are than after refitting, by penalty
and share of weights kept.

After training with a penalty, each network is refitted: it is trained for a quarter of the epochs
without the penalty, with its zeros held. The true weights of a network are not known, so its
shrinkage is 1 − Σ|w| / Σ|v|, where v are the refitted weights. Without a penalty, weights also grow
because training goes on. A second refit of the same length shows by how much.

λ of L1 is constant, as usual. MCP and log-sum would set too many weights to zero at the start, when
all are small, so their λ grows from 0 along a cube. "L1, growing λ" has the same schedule, to tell
the effect of the schedule from the effect of the penalty.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import jaxreg
from experiments import datasets
from experiments.layout import described
from experiments.networks import initial, kernels_of
from experiments.studies.bias.settings import Network, Settings
from experiments.study import Session
from experiments.training import accuracy, cross_entropy, split, train_params

TEXTS = {
    "share": ("share of the weights kept at which the methods are compared", "1"),
    "kept": ("share of kernel weights that are not 0", "1"),
    "shrinkage": ("1 − Σ|w| / Σ|v| of the kernels, with v the refitted weights", "1"),
    "growth": ("1 − Σ|v| / Σ|u| of the kernels, with u the weights after a second refit", "1"),
    "refitted_test_accuracy": ("accuracy on test rows after refitting", "1"),
    "refitted_test_loss": ("mean cross-entropy on test rows after refitting", "nats"),
}


class Method(NamedTuple):
    """A way to train a sparse network.

    Attributes:
        penalty: function from a strength, a number or a schedule, to the penalty.
        strengths: values of λ; if λ grows, at the end of its growth.
        grows: whether λ grows from 0 along a cube.
    """

    penalty: Callable[[Any], jaxreg.Penalty]
    strengths: tuple[float, ...]
    grows: bool


class Run(TypedDict):
    """Hyperparameters of one network.

    Attributes:
        strength: λ.
        seed: number of the repetition.
    """

    strength: jax.Array
    seed: jax.Array


def methods(config: Network) -> dict[str, Method]:
    """Every method by name."""
    return {
        "L1": Method(jaxreg.L1, config.l1, False),
        "L1, growing λ": Method(jaxreg.L1, config.growing_l1, True),
        "MCP": Method(lambda strength: jaxreg.MCP(strength, config.gamma), config.mcp, True),
        "log-sum": Method(
            lambda strength: jaxreg.LogSum(strength, config.scale), config.log_sum, True
        ),
    }


def count_networks(settings: Settings) -> int:
    """Number of networks."""
    config = settings.network
    return sum(len(method.strengths) for method in methods(config).values()) * config.seeds


def train_networks(settings: Settings, session: Session) -> xr.Dataset:
    """Trains and refits every network, in one compiled program for each method.

    Returns:
        `kept`, `shrinkage`, `growth`, and accuracy and loss on test rows before and after
        refitting, along (method, level, seed), with the coordinate `strength` (method, level); and
        `share`, at which the methods are compared.
    """
    config = settings.network
    rows = datasets.digits()
    outputs: dict[str, list[np.ndarray]] = {}
    for name, method in methods(config).items():
        grid = jaxreg.grid(strength=list(method.strengths), seed=range(config.seeds))
        fit = functools.partial(train_network, method=method, config=config)
        runs = session.sweep(fit, grid, rows, part=name.replace(", growing λ", "-growing"))
        for metric, values in {**runs.outputs, "diverged": runs.diverged}.items():
            outputs.setdefault(metric, []).append(values)
    variables = {
        metric: (("method", "level", "seed"), np.stack(values))
        for metric, values in outputs.items()
    }
    strengths = (("method", "level"), [method.strengths for method in methods(config).values()])
    coords = {"method": list(methods(config)), "strength": strengths, "seed": range(config.seeds)}
    return described(xr.Dataset(variables, coords).assign(share=config.share), TEXTS)


def train_network(
    key: jax.Array, run: Run, rows: datasets.Rows, method: Method, config: Network
) -> dict[str, jax.Array]:
    """Trains one network, refits it twice, and evaluates it; the metrics are scalars."""
    split_key, model_key, order_key, *refit_keys = jax.random.split(key, 5)
    train, test = split(split_key, rows, [config.train_size])
    structure, params = initial((rows.inputs.shape[1], config.hidden, 10), model_key)
    penalty = method.penalty(growing(run["strength"], config) if method.grows else run["strength"])

    def make_optimizer(rate: optax.Schedule) -> optax.GradientTransformation:
        return jaxreg.prox_adam(rate, penalty, mask=jaxreg.kernels)

    def held(rate: optax.Schedule) -> optax.GradientTransformation:
        return jaxreg.hold_zeros(optax.adam(rate), mask=jaxreg.kernels)

    stages = [train_params(structure, params, make_optimizer, order_key, train, config.training)]
    again = dataclasses.replace(
        config.training, epochs=max(1, round(config.refit * config.training.epochs))
    )
    for refit_key in refit_keys:
        stages.append(train_params(structure, stages[-1], held, refit_key, train, again))
    penalised, refitted, _ = stages
    sums = [absolute_sum(stage) for stage in stages]
    metrics = {
        "kept": 1 - jaxreg.sparsity(penalised, jaxreg.kernels).fraction,
        "shrinkage": 1 - sums[0] / sums[1],
        "growth": 1 - sums[1] / sums[2],
    }
    for name, stage in (("test", penalised), ("refitted_test", refitted)):
        metrics |= {
            f"{name}_accuracy": accuracy(structure, stage, test),
            f"{name}_loss": cross_entropy(structure, stage, test),
        }
    finite = jnp.isfinite(metrics["test_loss"])
    return {name: jnp.where(finite, value, jnp.nan) for name, value in metrics.items()}


def growing(strength: jax.Array, config: Network) -> optax.Schedule:
    """A schedule of λ that grows from 0 along a cube and is constant at the end."""
    batch = min(config.training.batch_size, config.train_size)
    steps = config.growth * config.training.epochs * (config.train_size // batch)
    return lambda count: strength * jnp.minimum(1, count / steps) ** 3


def absolute_sum(params: Any) -> jax.Array:
    """Σ|w| over all kernels."""
    return sum((jnp.sum(jnp.abs(kernel)) for kernel in kernels_of(params)), start=jnp.zeros([]))
