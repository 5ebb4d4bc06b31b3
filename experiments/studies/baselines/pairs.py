"""Pairs of training runs that should, or should not, give the same network, in float64.

Decay: coupled squared L2 at λ compared with a weight decay of 2λ, for SGD, SGD with momentum, and
Adam. For SGD both are the same update. With momentum or Adam they differ, because only the coupled
penalty passes through the optimizer's state.

Scale: every optimizer on the loss compared with the same optimizer on 100 times the loss. An
optimizer is scale-free (Zhuang et al. 2022, "Understanding AdamW through proximal methods and
scale-freeness") if this changes nothing. AdamW is scale-free except for its eps. With a penalty in
the objective, this holds only if λ is multiplied too.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypedDict

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
"""An eps that is practically 0, but avoids 0/0 where the gradient of a pixel's weights is always
0.
"""
TEXTS = {
    f"{comparison}_{name}": (text, "1")
    for comparison in ("decay", "scale")
    for name, text in (
        ("distance", "‖w − w'‖/‖w'‖ over the kernels after each epoch"),
        ("accuracy", "accuracy on test rows"),
        ("pair", "optimizer whose two training runs are compared"),
    )
} | {"factor": ("constant by which the loss is multiplied", "1")}

OptimizerFromSchedule = Callable[[optax.Schedule], optax.GradientTransformation]
"""A function from a learning-rate schedule to an optimizer."""


class Member(NamedTuple):
    """One of the two training runs of a pair.

    Attributes:
        make: function from the learning-rate schedule to the optimizer.
        rate: learning rate at the first step.
        factor: constant by which the loss is multiplied.
    """

    make: OptimizerFromSchedule
    rate: float
    factor: float = 1.0


Pair = tuple[Member, Member]


class Run(TypedDict):
    """Hyperparameters of one run: only its seed."""

    seed: jax.Array


def decay_by_hand(decay: float, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Weight decay as a separate step after an optimizer, w ← w − rate·decay·w on kernels, written
    without jaxreg.

    Args:
        decay: coefficient, multiplied by the learning rate.
        schedule: the learning rate.
    """

    def init(_: optax.Params) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(jnp.zeros([], jnp.int32))

    def update(
        updates: optax.Updates,
        state: optax.ScaleByScheduleState,
        params: optax.Params | None = None,
    ) -> tuple[optax.Updates, optax.ScaleByScheduleState]:
        rate = schedule(state.count)
        decayed = jax.tree.map(
            lambda u, w: u - rate * decay * w if w.ndim >= 2 else u, updates, params
        )
        return decayed, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def decay_pairs(config: PairStudy) -> dict[str, Pair]:
    """For each optimizer, the coupled penalty at λ and weight decay at 2λ."""
    add_l2 = jaxreg.add_l2(config.l2, mask=jaxreg.kernels)

    def pair(make: OptimizerFromSchedule, rate: float) -> Pair:
        def decayed(schedule: optax.Schedule) -> optax.GradientTransformation:
            return optax.chain(make(schedule), decay_by_hand(2 * config.l2, schedule))

        return Member(lambda schedule: optax.chain(add_l2, make(schedule)), rate), Member(
            decayed, rate
        )

    return {
        "SGD": pair(optax.sgd, config.sgd_rate),
        "SGD, momentum 0.9": pair(functools.partial(optax.sgd, momentum=0.9), config.sgd_rate / 10),
        "Adam": pair(optax.adam, config.training.learning_rate),
    }


def scale_pairs(config: PairStudy) -> dict[str, Pair]:
    """For each optimizer, the loss and the loss times the factor; for penalties also with λ times
    the factor.
    """

    def adamw(schedule: optax.Schedule, eps: float) -> optax.GradientTransformation:
        return optax.adamw(schedule, weight_decay=2 * config.decay, eps=eps, mask=jaxreg.kernels)

    def coupled_l2(schedule: optax.Schedule, factor: float) -> optax.GradientTransformation:
        return optax.chain(
            jaxreg.add_l2(factor * config.l2, mask=jaxreg.kernels), optax.adam(schedule, eps=TINY)
        )

    def proximal_l2(schedule: optax.Schedule, factor: float) -> optax.GradientTransformation:
        return jaxreg.prox_adam(
            schedule, jaxreg.SquaredL2(factor * config.l2), mask=jaxreg.kernels, eps=TINY
        )

    def proximal_l1(schedule: optax.Schedule, factor: float) -> optax.GradientTransformation:
        return jaxreg.prox_adam(
            schedule, jaxreg.L1(factor * config.l1), mask=jaxreg.kernels, eps=TINY
        )

    def pair(on_loss: OptimizerFromSchedule, on_scaled_loss: OptimizerFromSchedule) -> Pair:
        rate = config.training.learning_rate
        return Member(on_loss, rate), Member(on_scaled_loss, rate, config.factor)

    pairs = {}
    for name, eps in (("AdamW, eps → 0", TINY), ("AdamW, eps 1e-8", 1e-8)):
        make = functools.partial(adamw, eps=eps)
        pairs[name] = pair(make, make)
    penalised = {
        "Adam, coupled L2": coupled_l2,
        "proximal Adam, L2": proximal_l2,
        "proximal Adam, L1": proximal_l1,
    }
    for name, maker in penalised.items():
        same, scaled = (
            functools.partial(maker, factor=1.0),
            functools.partial(maker, factor=config.factor),
        )
        pairs[f"{name}, λ"] = pair(same, same)
        pairs[f"{name}, {config.factor:g}·λ"] = pair(same, scaled)
    return pairs


def count_pairs(settings: Settings) -> int:
    """Number of runs: for each seed, one with all decay pairs and one with all scale pairs."""
    return 2 * settings.pairs.seeds


def train_pairs(settings: Settings, session: Session) -> xr.Dataset:
    """Trains the pairs of both comparisons.

    Returns:
        `decay_distance` (seed, decay_pair, epoch) and `decay_accuracy` (seed, decay_pair, member),
        the same for `scale`, and the `factor` of the loss.
    """
    config = settings.pairs
    rows = datasets.digits()
    variables: dict[str, tuple[tuple[str, ...], np.ndarray | float]] = {
        "factor": ((), config.factor)
    }
    coords: dict[str, Sequence[int | str]] = {"seed": range(config.seeds)}
    diverged = np.zeros(config.seeds, bool)
    for comparison, pairs in (("decay", decay_pairs(config)), ("scale", scale_pairs(config))):
        with jax.enable_x64(True):
            wide = datasets.Rows(rows.inputs.astype(np.float64), rows.labels)
            fit = functools.partial(train_seed, pairs=pairs, config=config)
            runs = session.sweep(fit, jaxreg.grid(seed=range(config.seeds)), wide, part=comparison)
        variables[f"{comparison}_distance"] = (
            ("seed", f"{comparison}_pair", "epoch"),
            runs.outputs["distance"],
        )
        variables[f"{comparison}_accuracy"] = (
            ("seed", f"{comparison}_pair", "member"),
            runs.outputs["accuracy"],
        )
        coords[f"{comparison}_pair"] = list(pairs)
        diverged |= runs.diverged
    variables["diverged"] = (("seed",), diverged)
    return described(xr.Dataset(variables, coords), TEXTS)


def train_seed(
    key: jax.Array, _: Run, rows: datasets.Rows, pairs: Mapping[str, Pair], config: PairStudy
) -> dict[str, jax.Array]:
    """Trains every pair on one seed; the results of `train_pair`, stacked."""
    results = [train_pair(key, rows, pair, config) for pair in pairs.values()]
    return {name: jnp.stack([result[name] for result in results]) for name in results[0]}


def train_pair(
    key: jax.Array, rows: datasets.Rows, pair: Pair, config: PairStudy
) -> dict[str, jax.Array]:
    """Trains both networks of a pair from the same weights and on the same batches.

    Args:
        key: random key of the seed.
        rows: all rows, in float64.
        pair: the two training runs.
        config: sizes and epochs.

    Returns:
        `distance`, ‖w − w'‖/‖w'‖ over the kernels after each epoch, (epochs,), and `accuracy` of
        both on the test rows, (2,).
    """
    split_key, model_key, order_key = jax.random.split(key, 3)
    train_rows, test_rows = split(split_key, rows, [config.train_size])
    structure, params = initial((64, config.hidden, 10), model_key)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    batch = min(config.training.batch_size, config.train_size)
    steps = config.train_size // batch
    total = config.training.epochs * steps
    optimizers = [
        (member.make(optax.cosine_decay_schedule(member.rate, total)), member.factor)
        for member in pair
    ]
    State = list[tuple[optax.Params, optax.OptState]]

    def step(carry: State, picked: jax.Array) -> tuple[State, None]:
        batch_rows = datasets.Rows(train_rows.inputs[picked], train_rows.labels[picked])
        moved = []
        for (params, state), (tx, factor) in zip(carry, optimizers, strict=True):
            gradient = jax.grad(
                lambda p, times=factor: times * cross_entropy(structure, p, batch_rows)
            )(params)
            updates, state = tx.update(gradient, state, params)
            moved.append((optax.apply_updates(params, updates), state))
        return moved, None

    def epoch(carry: State, key: jax.Array) -> tuple[State, jax.Array]:
        order = jax.random.permutation(key, config.train_size)[: steps * batch]
        carry, _ = jax.lax.scan(step, carry, order.reshape(steps, batch))
        first, second = (kernels_of(params) for params, _ in carry)
        return carry, relative_distance(first, second)

    start = [(params, tx.init(params)) for tx, _ in optimizers]
    ends, distance = jax.lax.scan(epoch, start, jax.random.split(order_key, config.training.epochs))
    return {
        "distance": distance,
        "accuracy": jnp.stack([accuracy(structure, params, test_rows) for params, _ in ends]),
    }


def relative_distance(first: list[jax.Array], second: list[jax.Array]) -> jax.Array:
    """‖w − w'‖/‖w'‖ for the kernels w of the first and w' of the second network; relative to ‖w‖ if
    w' is 0.
    """
    norm, reference = optax.tree.norm(first), optax.tree.norm(second)
    distance = optax.tree.norm(jax.tree.map(jnp.subtract, first, second))
    return distance / jnp.where(reference > 0, reference, jnp.maximum(norm, TINY))
