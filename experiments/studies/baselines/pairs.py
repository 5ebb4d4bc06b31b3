"""Training runs in pairs that ought to be the same, or ought not: in float64, where equal means equal to rounding.

Decay: coupled squared L2 at λ beside a weight decay of 2λ, for SGD, SGD with momentum, and Adam. For SGD the two are one
and the same update; with momentum or Adam only the coupled penalty passes through the optimizer's state.

Scale: every optimizer on the loss and on 100 times the loss. An optimizer is scale-free (Zhuang et al. 2022, "Understanding
AdamW through proximal methods and scale-freeness") where that changes nothing. AdamW is, but for its eps; a penalty in the
objective is so only if λ is multiplied too.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import jaxreg
from experiments import datasets
from experiments.layout import described
from experiments.networks import initial, kernels_of
from experiments.studies.baselines.settings import PairStudy, Settings
from experiments.study import Session
from experiments.training import accuracy, cross_entropy, split

TINY = 1e-30
"""An eps that is as good as 0, but divides 0 by it where a pixel's gradient is always 0."""
TEXTS = {
    f"{family}_{name}": (text, "1")
    for family in ("decay", "scale")
    for name, text in (
        ("distance", "‖w − w'‖/‖w'‖ over the kernels after each epoch"),
        ("accuracy", "accuracy on test rows"),
        ("pair", "optimizer whose two training runs are compared"),
    )
}
Optimizers = dict[str, tuple[Callable[[optax.Schedule], optax.GradientTransformation], float, float]]
"""From a name to an optimizer of its schedule, its learning rate, and the factor of its loss."""


def by_hand(decay: float, rate: optax.Schedule) -> optax.GradientTransformation:
    """Weight decay as a step of its own behind an optimizer: w ← w − rate·decay·w, on kernels, and nothing of jaxreg."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        step = rate(state.count)
        new = jax.tree.map(lambda u, w: u - step * decay * w if w.ndim >= 2 else u, updates, params)
        return new, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(lambda _: optax.ScaleByScheduleState(jnp.zeros([], jnp.int32)), update)


def decay_pairs(config: PairStudy) -> dict[str, Optimizers]:
    """For each optimizer: the coupled penalty, and weight decay at 2λ."""
    add = jaxreg.add_l2(config.l2, mask=jaxreg.kernels)
    decay, adam_rate = 2 * config.l2, config.training.learning_rate

    def both(make: Callable[[optax.Schedule], optax.GradientTransformation], rate: float) -> Optimizers:
        return {
            "coupled": (lambda schedule: optax.chain(add, make(schedule)), rate, 1.0),
            "decay": (lambda schedule: optax.chain(make(schedule), by_hand(decay, schedule)), rate, 1.0),
        }

    return {
        "SGD": both(optax.sgd, config.sgd_rate),
        "SGD, momentum 0.9": both(functools.partial(optax.sgd, momentum=0.9), config.sgd_rate / 10),
        "Adam": both(optax.adam, adam_rate),
    }


def scale_pairs(config: PairStudy) -> dict[str, Optimizers]:
    """For each optimizer: on the loss, and on the loss times the factor."""
    adam = functools.partial(optax.adam, eps=TINY)
    proximal = functools.partial(jaxreg.prox_adam, mask=jaxreg.kernels, eps=TINY)

    def adamw(schedule: optax.Schedule, eps: float) -> optax.GradientTransformation:
        return optax.adamw(schedule, weight_decay=2 * config.decay, eps=eps, mask=jaxreg.kernels)

    def coupled(schedule: optax.Schedule, factor: float) -> optax.GradientTransformation:
        return optax.chain(jaxreg.add_l2(factor * config.l2, mask=jaxreg.kernels), adam(schedule))

    def prox(schedule: optax.Schedule, factor: float, kind: str) -> optax.GradientTransformation:
        penalty = jaxreg.L1(factor * config.l1) if kind == "L1" else jaxreg.SquaredL2(factor * config.l2)
        return proximal(schedule, penalty)

    def both(first: Any, second: Any) -> Optimizers:
        rate = config.training.learning_rate
        return {"loss": (first, rate, 1.0), "scaled": (second, rate, config.factor)}

    pairs = {}
    for name, eps in (("AdamW, eps → 0", TINY), ("AdamW, eps 1e-8", 1e-8)):
        make = functools.partial(adamw, eps=eps)
        pairs[name] = both(make, make)
    for name, maker in (
        ("Adam, coupled L2", coupled),
        ("proximal Adam, L2", functools.partial(prox, kind="L2")),
        ("proximal Adam, L1", functools.partial(prox, kind="L1")),
    ):
        same, times = functools.partial(maker, factor=1.0), functools.partial(maker, factor=config.factor)
        pairs[f"{name}, λ"] = both(same, same)
        pairs[f"{name}, {config.factor:g}·λ"] = both(same, times)
    return pairs


def run_pair(key: jax.Array, rows: datasets.Rows, pair: Optimizers, config: PairStudy) -> dict[str, jax.Array]:
    """Trains both networks of a pair side by side.

    Returns:
        `distance`, ‖w − w'‖/‖w'‖ over the kernels after each epoch, and `accuracy` of each on the test rows.
    """
    split_key, model_key, order_key = jax.random.split(key, 3)
    train_rows, test_rows = split(split_key, rows, [config.train_size])
    structure, params = initial((64, config.hidden, 10), model_key)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    batch = min(config.training.batch_size, config.train_size)
    steps = config.train_size // batch
    optimizers = [
        (make(optax.cosine_decay_schedule(rate, config.training.epochs * steps)), factor)
        for make, rate, factor in pair.values()
    ]

    def step(carry: list[tuple[Any, Any]], picked: jax.Array) -> tuple[list[tuple[Any, Any]], None]:
        few = datasets.Rows(train_rows.inputs[picked], train_rows.labels[picked])
        moved = []
        for (params, state), (tx, factor) in zip(carry, optimizers, strict=True):
            gradient = jax.grad(lambda p, times=factor: times * cross_entropy(structure, p, few))(params)
            updates, state = tx.update(gradient, state, params)
            moved.append((optax.apply_updates(params, updates), state))
        return moved, None

    def epoch(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        order = jax.random.permutation(key, config.train_size)[: steps * batch]
        carry, _ = jax.lax.scan(step, carry, order.reshape(steps, batch))
        one, other = (optax.tree.norm(kernels_of(params)) for params, _ in carry)
        apart = optax.tree.norm(jax.tree.map(jnp.subtract, *(kernels_of(params) for params, _ in carry)))
        return carry, apart / jnp.where(other > 0, other, jnp.maximum(one, TINY))

    start = [(params, tx.init(params)) for tx, _ in optimizers]
    ends, distance = jax.lax.scan(epoch, start, jax.random.split(order_key, config.training.epochs))
    return {"distance": distance, "accuracy": jnp.stack([accuracy(structure, params, test_rows) for params, _ in ends])}


def count(settings: Settings) -> int:
    """Number of seeds, each with every pair; once for decay, once for scale."""
    return 2 * settings.pairs.seeds


def train_all(settings: Settings, session: Session) -> xr.Dataset:
    """Both families of pairs.

    Returns:
        `decay_distance` (seed, decay_pair, epoch) and `decay_accuracy` (seed, decay_pair, member), and the same for `scale`.
    """
    config = settings.pairs
    rows = datasets.digits()
    found: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    lost = np.zeros(config.seeds, bool)
    for family, pairs in (("decay", decay_pairs(config)), ("scale", scale_pairs(config))):
        fit = functools.partial(every_pair, pairs=pairs, config=config)
        with jax.enable_x64(True):
            wide = datasets.Rows(rows.inputs.astype(np.float64), rows.labels)
            grid = jaxreg.grid(seed=range(config.seeds))
            swept = session.sweep(fit, grid, wide, part=family)
        found[f"{family}_distance"] = (("seed", f"{family}_pair", "epoch"), swept.outputs["distance"])
        found[f"{family}_accuracy"] = (("seed", f"{family}_pair", "member"), swept.outputs["accuracy"])
        lost |= swept.diverged
        coords[f"{family}_pair"] = list(pairs)
    found["diverged"] = ("seed", lost)
    return described(xr.Dataset(found, {**coords, "seed": range(config.seeds)}), TEXTS)


def every_pair(
    key: jax.Array, _: Any, rows: datasets.Rows, pairs: dict[str, Optimizers], config: PairStudy
) -> dict[str, jax.Array]:
    """Every pair of a family on one seed, stacked."""
    results = [run_pair(key, rows, pair, config) for pair in pairs.values()]
    return {name: jnp.stack([result[name] for result in results]) for name in results[0]}
