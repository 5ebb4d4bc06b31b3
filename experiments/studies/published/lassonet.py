"""Fifty pixels of Fashion-MNIST, as in LassoNet's published table.

The data are those of the paper's code: the 10,000 test images with pixels scaled to 0…1, of which
4,000 rows are trained on and 6,000 tested on. λ of a concave group penalty on the first layer grows
from epoch to epoch until few enough pixels are left, so that their number alone decides where the
path stops. The network is then refitted on these pixels. The settings were chosen on the data set's
60,000 training images, which are not used here.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import train_test_split

import jaxreg
from experiments import idx
from experiments.datasets import Rows
from experiments.layout import described
from experiments.settings import SettingError
from experiments.studies.published import peer
from experiments.studies.published.network import FIRST, accuracy, initial, live_pixels, loss
from experiments.studies.published.settings import Settings
from experiments.study import Session

TEST_SHARE = 0.6
LARGEST = 50.0
"""The largest λ of the path, divided by the first; all pixels are dropped long before."""
TEXTS = {
    "split": ("seed of the split", "1"),
    "pixels": ("pixels left", "count"),
    "network_accuracy": ("test accuracy of the network on these pixels", "1"),
    "trees_accuracy": ("test accuracy of extra trees on these pixels", "1"),
    "all_trees_accuracy": ("test accuracy of extra trees on all pixels", "1"),
    "epochs": ("epochs of the path and of refitting", "count"),
    "seconds": ("time of the path and of refitting", "s"),
    "peer_pixels": ("pixels that the package lassonet left", "count"),
    "peer_network_accuracy": ("test accuracy of its network on its pixels", "1"),
    "peer_trees_accuracy": ("test accuracy of extra trees on its pixels", "1"),
    "peer_seconds": ("its time for the path and for refitting", "s"),
}
"""Names and units of the measurements; those of the package are NaN on splits on which it did not
run.
"""


def count_splits(config: Settings) -> int:
    """Number of splits."""
    return config.splits


def fit_splits(config: Settings, session: Session) -> xr.Dataset:
    """Selects pixels on every split; returns the variables in `TEXTS` along `split`."""
    rows = idx.load(idx.FASHION)[1]
    selection = pixel_selection(config, rows.inputs.shape[1])
    results = []
    for split in range(config.splits):
        inputs, test_inputs, labels, test_labels = train_test_split(
            rows.inputs, rows.labels, test_size=TEST_SHARE, random_state=split
        )
        train, test = Rows(inputs, labels), Rows(test_inputs, test_labels)
        results.append(fit_split(config, session, split, train, test, selection))
        session.advance(1)
    variables = {
        name: ("split", np.array([result[name] for result in results]))
        for name in TEXTS
        if name != "split"
    }
    return described(
        xr.Dataset(variables, {"split": np.arange(config.splits)}, {"limit": config.pixels}), TEXTS
    )


def fit_split(
    config: Settings,
    session: Session,
    split: int,
    train: Rows,
    test: Rows,
    selection: Callable[..., jaxreg.RegularizationPath],
) -> dict[str, float]:
    """Selects pixels on one split.

    Args:
        config: the settings.
        session: of the command.
        split: its number, which seeds everything.
        train: training rows.
        test: test rows.
        selection: the function of `pixel_selection`.

    Returns:
        The measurements.
    """
    began = time.perf_counter()
    folder = None if session.folder is None else session.folder / f"path-{split}"
    path = selection(train, key=jax.random.key(split), folder=folder)
    last = int(np.flatnonzero(path.record["fitted"])[-1])
    selected = path.at(last)
    chosen = np.flatnonzero(live_pixels(selected))
    if not 0 < len(chosen) <= config.pixels:
        raise SettingError(
            f"growth: expected 1 to {config.pixels} pixels at the end of the path, got "
            f"{len(chosen)}"
        )
    params = refit(config, selected, train, split)
    seconds = time.perf_counter() - began

    def judge(pixels: np.ndarray) -> float:
        trees = ExtraTreesClassifier(config.trees, random_state=split, n_jobs=-1)
        return float(
            trees.fit(train.inputs[:, pixels], train.labels).score(
                test.inputs[:, pixels], test.labels
            )
        )

    found = {
        "pixels": len(chosen),
        "network_accuracy": accuracy(params, test),
        "trees_accuracy": judge(chosen),
        "all_trees_accuracy": judge(np.arange(train.inputs.shape[1])),
        "epochs": int(path.record["epochs"][: last + 1].sum()) + config.refit_epochs,
        "seconds": seconds,
    }
    others = dict.fromkeys((name for name in TEXTS if name.startswith("peer")), np.nan)
    if split < config.peer_splits and peer.installed():
        result = peer.select_pixels(train, test, config, split)
        others = {
            "peer_pixels": len(result.pixels),
            "peer_network_accuracy": result.accuracy,
            "peer_trees_accuracy": judge(result.pixels),
            "peer_seconds": result.seconds,
        }
    return found | others


def pixel_selection(config: Settings, pixels: int) -> Callable[..., jaxreg.RegularizationPath]:
    """The function from rows to the path, which ends where few enough pixels are left.

    All splits use the same one, so that it is compiled once.
    """

    def few_enough(params: Any) -> jax.Array:
        return jnp.sum(live_pixels(params)) <= config.pixels

    steps = 1 + int(np.ceil(np.log(LARGEST) / np.log(config.growth)))
    recipe = jaxreg.Recipe(
        loss,
        functools.partial(initial, pixels=pixels, hidden=config.hidden),
        lambda strength: jaxreg.Group(jaxreg.LogSum(strength, config.scale), axis=1),
        lambda penalties: jaxreg.prox_adamw(
            config.learning_rate, penalties, weight_decay=config.weight_decay
        ),
        mask=FIRST,
        epochs=1,
        first_epochs=config.first_epochs,
        batch_size=config.batch_size,
        stop=few_enough,
    )
    strengths = config.first_strength * config.growth ** np.arange(steps)
    return functools.partial(jaxreg.fit_path, recipe, strengths=strengths, progress=False)


def refit(config: Settings, params: Any, rows: Rows, split: int) -> Any:
    """Trains the network further on the pixels left, without a penalty."""
    steps = config.refit_epochs * (len(rows.labels) // config.batch_size)
    rate = optax.cosine_decay_schedule(config.refit_rate, steps)
    recipe = jaxreg.Recipe(
        loss,
        params,
        lambda strength: jaxreg.GroupL2(strength, axis=1),
        lambda _: jaxreg.hold_zeros(optax.adamw(rate, weight_decay=config.refit_decay), FIRST),
        mask=FIRST,
        epochs=config.refit_epochs,
        batch_size=config.batch_size,
    )
    path = jaxreg.fit_path(recipe, rows, [0.0], key=jax.random.key(split), progress=False)
    return path.at(0)
