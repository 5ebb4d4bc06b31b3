"""Every method on images: which networks are trained, and the dataset that they make.

AdamW's learning rate and weight decay are chosen by validation accuracy in two rounds, the second
with every seed. Every method that takes a share of the weights as its target has learning rates and
decays of its own, chosen with the first seed at `rate_shares`: first the rate, with the smallest
decay, then the decay. Then the method is trained to its shares, each with the choice at the nearest
of `rate_shares`; methods that are trained to few shares choose at the smallest. A penalty with a
constant or a growing strength uses for each λ that choice of its steered strength which is the
better one for the first seed. Factorised weights have no decay besides their own.

A seed determines the validation rows, the initial weights and the order of batches, so methods are
compared seed by seed.
"""

import functools
import itertools
import math

import numpy as np
import xarray as xr

from experiments.studies.images.methods import (
    DENSE,
    RIVALS,
    UNIT_METHODS,
    Method,
    scheduled_method,
    steered_method,
)
from experiments.studies.images.results import RATE, Setting, Table, load_source, part_of
from experiments.studies.images.settings import Settings
from experiments.studies.images.tradeoff import ADAMW, CONSTANT, GROWN, L0_BY_WIDTH, MAIN, SPRED
from experiments.study import Session

GROWTH = 3.0
"""A growing strength is proportional to this power of time."""


def count_networks(config: Settings) -> int:
    """Number of networks; fewer are trained if a penalty's choices at all `rate_shares` are the
    same.
    """
    rates, seeds = len(config.learning_rates), config.seeds
    pairs = rates * len(config.decay)
    finalists = min(config.finalists, pairs)
    total = finalists * seeds + (pairs - finalists)
    plans = [target_plan(config, penalty) for penalty in config.penalties]
    plans += [
        (few_or_all(config, rival == "cut"), seeds) for rival in config.rivals if rival != "spred"
    ]
    total += sum(
        count_targets(config, shares, repeats, choice_shares(config, shares))
        for shares, repeats in plans
    )
    if "spred" in config.rivals:
        total += len(config.l1) * (seeds + rates - 1)
    for penalty in set(config.scheduled) & set(config.penalties):
        shares, repeats = target_plan(config, penalty)
        choices = len(choice_shares(config, shares)) if rates > 1 or len(config.decay) > 1 else 1
        total += 2 * len(config.grid(penalty)) * (choices - 1 + repeats)
    return total


def count_targets(
    config: Settings, shares: tuple[float, ...], repeats: int, chosen_at: tuple[float, ...]
) -> int:
    """Number of networks of a method with a target: those to choose from, and all shares, in which
    the chosen ones are.
    """
    choices = len(config.learning_rates) + len(config.decay) - 1
    if choices == 1:
        return len(shares) * repeats
    return choices * len(chosen_at) + len(shares) * repeats - len(set(chosen_at) & set(shares))


def choice_shares(config: Settings, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The shares at which a method that is trained to some shares chooses its learning rate and
    decay.
    """
    return config.rate_shares if shares == config.shares else (min(config.rate_shares),)


def few_or_all(config: Settings, few: bool) -> tuple[float, ...]:
    """`few_shares` or all shares."""
    return config.few_shares if few else config.shares


def target_plan(config: Settings, penalty: str) -> tuple[tuple[float, ...], int]:
    """Shares and number of seeds of a penalty with a steered strength."""
    repeated = penalty in config.repeated
    return few_or_all(
        config, not repeated
    ), config.seeds if repeated or penalty == L0_BY_WIDTH else 1


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method.

    Returns:
        Along (setting, seed): accuracies (shares) before and after refitting, the training loss
        (nats), shares of weights kept, the strength reached, and `live` units along `layer` from
        the inputs on. NaN for seeds beyond a setting's `repeats`, and for networks that diverged.
    """
    table = Table(config, load_source(config), session)
    train_dense(table)
    for penalty in config.penalties:
        choices = train_targets(table, steered_method(penalty), *target_plan(config, penalty))
        if penalty in config.scheduled:
            train_scheduled(table, penalty, choices)
    for name in config.rivals:
        method = RIVALS[name]
        if method.target:
            train_targets(table, method, few_or_all(config, name == "cut"), config.seeds)
        else:
            rate = table.choose_without_target(method, config.l1)
            settings = [
                Setting(SPRED, rate, 0, value, 0, 1, MAIN, config.seeds) for value in config.l1
            ]
            table.train(method, settings, part_of(method.name))
    return table.dataset()


def train_targets(
    table: Table, method: Method, shares: tuple[float, ...], repeats: int
) -> list[tuple[float, float]]:
    """Trains a method with a target to every share; returns its choices of learning rate and decay,
    none twice.
    """
    chosen = {share: table.choose(method, share) for share in choice_shares(table.config, shares)}
    settings = []
    for share in shares:
        nearest = min(chosen, key=functools.partial(distance, share))
        settings.append(Setting(method.name, *chosen[nearest], 0, 0, share, MAIN, repeats))
    table.train(method, settings, part_of(method.name))
    return list(dict.fromkeys(chosen.values()))


def distance(share: float, other: float) -> float:
    """How far a share is from another, as the logarithm of their ratio."""
    return abs(math.log(share / other))


def train_dense(table: Table) -> None:
    """Trains AdamW."""
    config = table.config
    pairs = list(itertools.product(config.learning_rates, config.decay))
    if len(pairs) > config.finalists:
        first = [Setting(ADAMW, rate, decay, 0, 0, 1, RATE, 1) for rate, decay in pairs]
        order = np.argsort(-table.train(DENSE, first, "adamw-first"), kind="stable")
        pairs = [pairs[at] for at in order[: config.finalists]]
    settings = [Setting(ADAMW, rate, decay, 0, 0, 1, MAIN, config.seeds) for rate, decay in pairs]
    table.train(DENSE, settings, "adamw")


def train_scheduled(table: Table, penalty: str, choices: list[tuple[float, float]]) -> None:
    """Trains a penalty with constant and with growing strengths, each value of λ with the best of
    some choices.

    Args:
        table: collects the results.
        penalty: name of the penalty.
        choices: of learning rate and decay.
    """
    config, method = table.config, scheduled_method(penalty)
    repeats = config.seeds if penalty in config.repeated else 1
    for name, growth in ((CONSTANT, 0.0), (GROWN, GROWTH)):
        values = config.grid(penalty)
        best = [choices[0]] * len(values)
        if len(choices) > 1:
            pairs = itertools.product(values, choices)
            tried = [
                Setting(penalty + name, *choice, value, growth, 1, RATE, 1)
                for value, choice in pairs
            ]
            accuracies = table.train(method, tried, f"{part_of(penalty + name)}-rate").reshape(
                len(values), -1
            )
            best = [choices[at] for at in accuracies.argmax(1)]
        chosen = zip(values, best, strict=True)
        settings = [
            Setting(penalty + name, *choice, value, growth, 1, MAIN, repeats)
            for value, choice in chosen
        ]
        table.train(method, settings, part_of(penalty + name))


def count_units(config: Settings) -> int:
    """Number of networks that methods for inputs and units are trained for."""
    if config.network != "mlp":
        return 0
    shares = config.unit_shares
    return len(UNIT_METHODS) * count_targets(config, shares, config.seeds, (middle(shares),))


def middle(shares: tuple[float, ...]) -> float:
    """The middle one of some shares, at which learning rates and decays of methods for units are
    chosen.
    """
    return sorted(shares)[len(shares) // 2]


def train_units(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method that removes inputs and units.

    Returns:
        As `train_networks`; `share` is that of inputs and hidden units together.
    """
    table = Table(config, load_source(config), session)
    for method in UNIT_METHODS if config.network == "mlp" else ():
        own = table.choose(method, middle(config.unit_shares))
        settings = [
            Setting(method.name, *own, 0, 0, share, MAIN, config.seeds)
            for share in config.unit_shares
        ]
        table.train(method, settings, part_of(method.name))
    return table.dataset()
