"""Every method on images: which networks are trained, and the dataset that they make.

For each method that takes a share of the weights as its target, a learning rate is chosen first: with the first seed, at
`rate_shares`, by the mean validation accuracy. Then the method is trained to every share with every seed. AdamW's learning
rate and weight decay are chosen with all seeds, and pruning uses the same decay. A penalty with a constant or a growing
strength uses the learning rate that was chosen for its steered strength, and factorised weights that of L1. Methods that
remove inputs and units use no decay.

A seed determines the validation rows, the initial weights and the order of batches, so methods are compared seed by seed.
"""

import numpy as np
import xarray as xr

from experiments.studies.images.methods import DENSE, RIVALS, UNIT_METHODS, scheduled_method, steered_method
from experiments.studies.images.results import Setting, Table, load_source, part_of
from experiments.studies.images.settings import Settings
from experiments.studies.images.tradeoff import ADAMW, CONSTANT, GROWN, L1, MAIN, SPRED
from experiments.study import Session

GROWTH = 3.0
"""A growing strength is proportional to this power of time."""


def count_networks(config: Settings) -> int:
    """Number of networks."""
    rates = len(config.learning_rates) * len(config.rate_shares) if len(config.learning_rates) > 1 else 0
    total = len(config.learning_rates) * len(config.decay) * config.seeds
    targets = sum(method.target for method in RIVALS)
    total += targets * (rates + len(config.shares) * config.seeds) + len(config.l1) * config.seeds
    for penalty in config.penalties:
        shares = len(config.shares) * config.seeds if penalty in config.repeated else len(config.few_shares)
        constant = len(config.grid(penalty)) * (config.seeds if penalty == L1 else 1)
        total += rates + shares + constant + len(config.grid(penalty))
    return total


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method.

    Returns:
        Along (setting, seed): accuracies (shares) before and after refitting, the training loss (nats), shares of weights
        kept, the strength reached, and `live` units along `layer` from the inputs on. NaN for seeds beyond a setting's
        `repeats`, and for networks that diverged.
    """
    table = Table(config, load_source(config), session)
    seeds = config.seeds
    dense = [Setting(ADAMW, rate, decay, 0, 0, 1, MAIN, seeds) for rate in config.learning_rates for decay in config.decay]
    decay = dense[int(np.argmax(table.train(DENSE, dense, "adamw")))].decay
    chosen: dict[str, float] = {}
    for penalty in config.penalties:
        method = steered_method(penalty)
        chosen[penalty] = table.choose_rate(method, 0.0)
        repeated = penalty in config.repeated
        shares, repeats = (config.shares, seeds) if repeated else (config.few_shares, 1)
        settings = [Setting(method.name, chosen[penalty], 0, 0, 0, share, MAIN, repeats) for share in shares]
        table.train(method, settings, part_of(method.name))
        scheduled = scheduled_method(penalty)
        for name, growth in ((CONSTANT, 0.0), (GROWN, GROWTH)):
            repeats = seeds if (penalty, name) == (L1, CONSTANT) else 1
            values = config.grid(penalty)
            settings = [Setting(penalty + name, chosen[penalty], 0, value, growth, 1, MAIN, repeats) for value in values]
            table.train(scheduled, settings, part_of(penalty + name))
    for method in RIVALS:
        if method.target:
            rate = table.choose_rate(method, decay)
            settings = [Setting(method.name, rate, decay, 0, 0, share, MAIN, seeds) for share in config.shares]
        else:
            rate = chosen.get(L1, config.learning_rates[0])
            settings = [Setting(SPRED, rate, 0, value, 0, 1, MAIN, seeds) for value in config.l1]
        table.train(method, settings, part_of(method.name))
    return table.dataset()


def count_units(config: Settings) -> int:
    """Number of networks that methods for inputs and units are trained for."""
    if config.network != "mlp":
        return 0
    rates = len(config.learning_rates) if len(config.learning_rates) > 1 else 0
    return len(UNIT_METHODS) * (rates + len(config.unit_shares) * config.seeds)


def train_units(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method that removes inputs and units.

    Returns:
        As `train_networks`; `share` is that of inputs and hidden units together.
    """
    table = Table(config, load_source(config), session)
    for method in UNIT_METHODS if config.network == "mlp" else ():
        rate = table.choose_rate(method, 0.0)
        settings = [Setting(method.name, rate, 0, 0, 0, share, MAIN, config.seeds) for share in config.unit_shares]
        table.train(method, settings, part_of(method.name))
    return table.dataset()
