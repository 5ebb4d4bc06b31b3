"""From a chosen λ to a small network: compaction, its exactness, and the time of inference before
and after.
"""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxreg
from experiments.studies.path.problem import Problem
from experiments.studies.path.settings import Settings

BATCHES = (1, 256)
"""Rows at once when inference is timed."""
TEXTS = {
    "dense_accuracy": ("accuracy on test rows of the network with the smallest λ, refitted", "1"),
    "small_accuracy": ("accuracy on test rows of the small network", "1"),
    "small_widths": (
        "inputs, units of each hidden layer and outputs of the small network",
        "count",
    ),
    "small_share": ("weights of the small network, zeros included, as a share of all", "1"),
    "nonzero_share": (
        "share of weights that are not 0 and lead to an output, at the chosen λ",
        "1",
    ),
    "deviation": (
        "largest difference between a logit of the small network and that before compaction",
        "nats",
    ),
    "batch": ("rows in a batch", "count"),
    "quartile": ("quartile over the rounds", "1"),
    "milliseconds": ("median time of inference of the small network, first seed", "ms"),
    "dense_milliseconds": ("median time of inference of the network before", "ms"),
    "speedup": (
        "time of inference before divided by that of the small network in the same round",
        "1",
    ),
}


def compacted(problem: Problem, config: Settings, path: jaxreg.RegularizationPath, chosen: int) -> dict[str, Any]:
    """Compacts the refitted networks of one λ, and times the first seed's.

    Args:
        problem: the data and the network.
        config: the settings.
        path: with refitted parameters of several seeds.
        chosen: index of λ.

    Returns:
        The variables in `TEXTS`, but for coordinates.
    """
    images = jnp.asarray(problem.test.inputs)
    widths, shares, deviations, accuracies = [], [], [], []
    for seed in range(config.seeds):
        params = path.at(chosen, seed=seed, refitted=True)
        small = jaxreg.compact(params, activation=jnp.tanh)
        before, after = (
            logits(problem, params, images),
            logits(problem, small.params, images[:, small.inputs]),
        )
        widths.append(small.widths)
        shares.append(small.share)
        deviations.append(float(jnp.abs(before - after).max()))
        accuracies.append(float(jnp.mean(after.argmax(-1) == problem.test.labels)))
        if seed == 0:
            times = timed(problem, config, params, small, images)
    dense = problem.accuracies(jax.tree.map(lambda leaf: leaf[:, :1], path.refitted))[:, 0]
    return {
        "dense_accuracy": ("seed", dense),
        "small_accuracy": ("seed", accuracies),
        "small_widths": (("seed", "layer"), np.array(widths)),
        "small_share": ("seed", shares),
        "nonzero_share": ("seed", path.record["refitted_kept"][:, chosen]),
        "deviation": ("seed", deviations),
        **times,
    }


def logits(problem: Problem, params: Any, images: jax.Array) -> jax.Array:
    """The logits (rows, classes) of a network; its kernels determine its widths."""
    return jnp.asarray(nnx.merge(problem.structure, params)(images))


def timed(
    problem: Problem, config: Settings, params: Any, small: jaxreg.Compacted, images: jax.Array
) -> dict[str, Any]:
    """Times inference before and after, in random order within each round; the small network is
    given its own inputs.
    """
    program = jax.jit(functools.partial(logits, problem))
    networks = {"before": (params, images), "after": (small.params, images[:, small.inputs])}
    order = np.random.default_rng(0)
    speedups, medians = [], []
    for batch in BATCHES:
        calls = {name: (own, jnp.array(rows[:batch])) for name, (own, rows) in networks.items()}
        for call in calls.values():
            jax.block_until_ready(program(*call))
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(config.rounds):
            for name in order.permutation(list(calls)).tolist():
                began = time.perf_counter()
                jax.block_until_ready(program(*calls[name]))
                seconds[name].append(time.perf_counter() - began)
        ratios = np.array(seconds["before"]) / np.array(seconds["after"])
        speedups.append(np.quantile(ratios, [0.25, 0.5, 0.75]))
        medians.append([1e3 * float(np.median(times)) for times in seconds.values()])
    before, after = np.array(medians).T
    return {
        "batch": np.array(BATCHES),
        "quartile": np.array([0.25, 0.5, 0.75]),
        "dense_milliseconds": ("batch", before),
        "milliseconds": ("batch", after),
        "speedup": (("batch", "quartile"), np.array(speedups)),
    }
