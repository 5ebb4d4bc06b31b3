"""Published results, computed again on the published data.

Three papers on scikit-learn's diabetes data: the lasso path of Efron et al. (2004), whose events
are a feature that enters or leaves at a knot λ; the coefficients of Park and Casella (2008), with λ
chosen by leave-one-out cross-validation; and the equivalence of Ziyin and Wang (2023), that
gradient descent on w = u⊙v with weight decay minimises the L1 objective.

And LassoNet's 50 pixels of Fashion-MNIST (Lemhadri et al. 2021), on the rows of the paper's code:
the 10,000 test images, of which 4,000 are trained on and 6,000 tested on. λ of a concave group
penalty on the first layer grows from epoch to epoch until few enough pixels are left, so that their
number alone ends the path. The network is then refitted on these pixels. The settings were chosen
on the data set's 60,000 training images, which are not used here.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import time
from typing import Any

import numpy as np

from experiments import datasets
from experiments.claims import mean_and_error
from experiments.datasets import Rows
from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, optax, xr
from experiments.settings import at_least, positive, require
from experiments.tables import Table
from experiments.training import described

LARGEST = 949.0
"""Rows · λ of the diabetes data near its largest knot, from which on all weights are 0."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Published results, computed again on the published data."""

    splits: int = 10
    """Number of random splits of the 10,000 rows into 4,000 for training and 6,000 for testing."""
    pixels: int = 50
    """The most pixels that may be left."""
    hidden: int = 261
    """Width of the hidden layer, a third of the number of pixels as in the paper."""
    scale: float = 0.1
    """ε of the log-sum of the norms of the pixels' weights."""
    first_epochs: int = 15
    """Epochs of the dense network at the first λ."""
    first_strength: float = 2e-3
    """The first λ."""
    growth: float = 1.02
    """The factor by which λ grows with every epoch, until few enough pixels are left."""
    refit_epochs: int = 60
    """Epochs of refitting on the pixels left."""
    batch_size: int = 256
    """Rows per step."""
    learning_rate: float = 6e-3
    """Learning rate of the path."""
    weight_decay: float = 0.3
    """Weight decay on the path."""
    refit_rate: float = 3e-3
    """Learning rate at the beginning of refitting; it falls to 0 along a cosine."""
    refit_decay: float = 0.3
    """Weight decay of refitting."""
    trees: int = 50
    """Number of extra trees that are fitted on the selected pixels, as in the paper."""
    peer_splits: int = 1
    """On how many of the splits the package lassonet runs where it is installed; it takes minutes
    for each.
    """
    decay_strengths: tuple[float, ...] = (600.0, 200.0, 50.0, 10.0)
    """Values of rows · λ at which u⊙v under weight decay is compared with the lasso on the diabetes
    data.
    """
    decay_seeds: int = 5
    """Number of random starts of u and v."""
    decay_steps: int = 100_000
    """Steps of gradient descent for u and v."""
    decay_rate: float = 0.1
    """Learning rate for u and v."""

    def __post_init__(self) -> None:
        counts = "pixels hidden first_epochs refit_epochs batch_size trees decay_seeds decay_steps"
        at_least(self, splits=2, weight_decay=0, refit_decay=0, **dict.fromkeys(counts.split(), 1))
        positive(self, "scale", "first_strength", "learning_rate", "refit_rate", "decay_rate")
        positive(self, "decay_strengths")
        require(self.pixels < 784, "pixels", "below 784", self.pixels)
        require(self.growth > 1, "growth", "a factor above 1", self.growth)
        strengths, peers = self.decay_strengths, self.peer_splits
        below = f"numbers below {LARGEST:g}, where w is 0"
        require(max(strengths) < LARGEST, "decay_strengths", below, strengths)
        within = "from 0 to the number of splits"
        require(0 <= peers <= self.splits, "peer_splits", within, peers)


QUICK = Settings(
    splits=2, hidden=40, first_epochs=3, refit_epochs=3, growth=1.4, first_strength=1e-2,
    peer_splits=0, decay_seeds=2, decay_steps=30_000,
)  # fmt: skip

COUNT = 256
"""Number of λ in each call, so that all calls share one program."""
SMALLEST = 0.5
"""Rows · λ where the search for events ends, below the last published knot."""
WIDTH = 1e-9
"""The precision of a knot, as a share of it."""
TOLERANCE = 1e-11
"""The largest KKT residual as a share of λ, finer than the knots."""
MOMENTUM = 0.9
DIABETES_TEXTS = {
    "event": ("number of the event on the lasso path", "1"),
    "feature": ("feature, counted from 1", "1"),
    "column": ("feature, counted from 1", "1"),
    "sign": ("+1 for a feature that enters, −1 for one that leaves", "1"),
    "knot": ("rows · λ at the event", "1"),
    "share": ("‖w‖₁ at the λ of leave-one-out cross-validation ÷ that of least squares", "1"),
    "coefficients": ("weights at the published ‖w‖₁", "1"),
    "strength": ("rows · λ of u⊙v", "1"),
    "seed": ("seed of u and v", "1"),
    "excess": ("objective of u⊙v ÷ that of the lasso − 1", "1"),
    "error": ("largest difference of u⊙v from the lasso, divided by the largest weight", "1"),
}
PUBLISHED_SHARE = 0.55
"""‖w‖₁ of the published coefficients ÷ that of least squares, to the two digits of the R package
lars.
"""


def fit_diabetes(config: Settings, _: Session) -> xr.Dataset:
    """Computes the numbers of the lasso in float64; returns the variables in `DIABETES_TEXTS`."""
    from sklearn.datasets import load_diabetes

    with jax.enable_x64(True):
        x, y = load_diabetes(return_X_y=True)
        events = find_events(x, y)
        share, coefficients = cross_validated(x, y)
        excess, error = factorised(config, x, y)
    signed, knots = np.array([event for event, _ in events]), [knot for _, knot in events]
    variables = {
        "feature": ("event", abs(signed)),
        "sign": ("event", np.sign(signed)),
        "knot": ("event", knots),
        "share": ((), share),
        "coefficients": ("column", coefficients),
        "excess": (("strength", "seed"), excess),
        "error": (("strength", "seed"), error),
    }
    places = {"event": np.arange(len(events)) + 1, "column": np.arange(len(coefficients)) + 1}
    places |= {"strength": np.array(config.decay_strengths), "seed": np.arange(config.decay_seeds)}
    return described(xr.Dataset(variables, places), DIABETES_TEXTS)


def lasso(x: np.ndarray, y: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """The lasso's weights (strengths, features) for ascending values of rows · λ (strengths,)."""
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, scaled / len(y), tolerance=TOLERANCE)
    return np.asarray(path.params.weights)


def find_events(x: np.ndarray, y: np.ndarray) -> list[tuple[int, float]]:
    """The features that enter (+) or leave (−) the lasso path, each with rows · λ, from the
    largest.

    Supports at many λ are compared. Where they change, λ between them are added until every knot is
    known to `WIDTH`.
    """
    largest = np.abs(x.T @ (y - y.mean())).max()
    scaled = np.geomspace(SMALLEST, 1.1 * largest, COUNT)
    supports = lasso(x, y, scaled) != 0
    while True:
        changes = np.flatnonzero(np.any(supports[1:] != supports[:-1], axis=1))
        if np.all(scaled[changes + 1] / scaled[changes] < 1 + WIDTH):
            break
        each = COUNT // len(changes) + 2
        between = [np.linspace(scaled[at], scaled[at + 1], each)[1:-1] for at in changes]
        finer = np.unique(np.concatenate(between))
        # Every call gets the same number of λ; those that are missing lie above all others, where
        # the weights are 0.
        finer = np.append(finer, 2 * largest * np.arange(1, COUNT - len(finer) + 1))
        scaled = np.append(scaled, finer)
        order = np.argsort(scaled, kind="stable")
        supports = np.append(supports, lasso(x, y, finer) != 0, axis=0)[order]
        scaled = scaled[order]
    return [
        ((1 if supports[at, column] else -1) * (int(column) + 1), scaled[at : at + 2].mean())
        for at in changes[::-1]
        for column in np.flatnonzero(supports[at] != supports[at + 1])
    ]


def cross_validated(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Leave-one-out cross-validation's ‖w‖₁ as a share of least squares', and the weights at the
    published share.
    """
    norm = np.abs(np.linalg.lstsq(x, y - y.mean())[0]).sum()
    grid = np.geomspace(SMALLEST, 100, COUNT)
    scores = jaxreg.cross_validate_linear_path(x, y, jaxreg.L1, grid / len(y), folds=len(y))
    best = int(np.argmin(np.asarray(scores.record["validation_loss"]).mean((0, 1))))
    weights = lasso(x, y, grid)
    shares = np.abs(weights).sum(1) / norm
    # Between two knots w is linear in λ, and so is ‖w‖₁, which falls.
    above = int(np.searchsorted(-shares, -PUBLISHED_SHARE))
    part = (PUBLISHED_SHARE - shares[above]) / (shares[above - 1] - shares[above])
    return float(shares[best]), (1 - part) * weights[above] + part * weights[above - 1]


def factorised(config: Settings, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Trains w = u⊙v with weight decay, for every λ and from every random start, and compares it
    with the lasso.

    Returns:
        How far its objective is above the lasso's, as a share, and the largest difference of a
        weight, as a share of the largest weight; both (strengths, seeds).
    """
    rows = len(y)
    # In these units the weights are of the order of 1, so that one learning rate fits all.
    unit = float(y.std())
    x, y = jnp.asarray(x * rows**0.5), jnp.asarray((y - y.mean()) / unit)
    strengths = jnp.asarray(config.decay_strengths) / (unit * rows**0.5)
    gram, moment = x.T @ x / rows, x.T @ y / rows

    def loss(factors: tuple[jax.Array, jax.Array]) -> jax.Array:
        w = factors[0] * factors[1]
        return w @ gram @ w / 2 - moment @ w

    def train(strength: jax.Array, key: jax.Array) -> jax.Array:
        # Decay adds λu to the gradient, so the objective has λ/2 ‖u‖² + λ/2 ‖v‖², which is at least
        # λ‖u⊙v‖₁.
        descent = optax.sgd(config.decay_rate, momentum=MOMENTUM, nesterov=True)
        tx = optax.chain(optax.add_decayed_weights(strength), descent)
        start = jax.random.normal(key, (2, x.shape[1]))

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            factors, state = carry
            updates, state = tx.update(jax.grad(loss)(factors), state, factors)
            return (optax.apply_updates(factors, updates), state), None

        factors = (start[0], start[1])
        carry = (factors, tx.init(factors))
        ((u, v), _), _ = jax.lax.scan(step, carry, None, length=config.decay_steps)
        return u * v

    def objective(w: jax.Array, strength: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(x @ w - y)) / 2 + strength * jnp.sum(jnp.abs(w))

    keys = jax.vmap(jax.random.key)(jnp.arange(config.decay_seeds))
    weights = jax.jit(jax.vmap(jax.vmap(train, (None, 0)), (0, None)))(strengths, keys)
    path = jaxreg.fit_linear_path(x, y, jaxreg.L1, np.sort(strengths))
    exact = jnp.asarray(path.params.weights)[jnp.argsort(jnp.argsort(strengths))]
    values = jax.vmap(objective)(exact, strengths)
    excess = jax.vmap(jax.vmap(objective, (0, None)))(weights, strengths) / values[:, None] - 1
    error = jnp.max(jnp.abs(weights - exact[:, None]), 2) / jnp.max(jnp.abs(exact), 1)[:, None]
    return np.asarray(excess), np.asarray(error)


CLASSES = 10
FIRST = {"first": {"kernel": True, "bias": False}, "last": {"kernel": False, "bias": False}}
"""The mask of the first layer's kernel (pixels, hidden): axis 1 holds the weights of one pixel."""
TEST_SHARE = 0.6
LARGEST_FACTOR = 50.0
"""The largest λ of the path, divided by the first; all pixels are dropped long before."""
PEER_BATCH, PEER_EPOCHS, PEER_VALIDATION = 256, 1000, 0.125
"""From the script of LassoNet's authors: rows per step, the most epochs for each λ, and the share
of rows whose loss ends the training at each λ.
"""
SPLIT_TEXTS = {
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
"""Measurements on each split; those of the package are NaN where it did not run."""


def logits(params: Any, inputs: Any) -> jax.Array:
    """Logits (rows, classes) of a network with one hidden layer for inputs (rows, pixels)."""
    units = jax.nn.relu(inputs @ params["first"]["kernel"] + params["first"]["bias"])
    return units @ params["last"]["kernel"] + params["last"]["bias"]


def loss(params: Any, rows: Any) -> jax.Array:
    """Mean cross-entropy in nats."""
    losses = optax.softmax_cross_entropy_with_integer_labels
    return losses(logits(params, rows.inputs), rows.labels).mean()


def live_pixels(params: Any) -> jax.Array:
    """Which pixels have a weight that is not 0 (pixels,)."""
    return jnp.any(params["first"]["kernel"] != 0, 1)


def fit_splits(config: Settings, session: Session) -> xr.Dataset:
    """Selects pixels on every split; returns the variables in `SPLIT_TEXTS` along `split`."""
    rows = datasets.load_images(datasets.FASHION)[1]
    # All splits share it, so that it is compiled once.
    recipe = selection(config, rows.inputs.shape[1])
    found = [fit_split(config, session, split, rows, recipe) for split in range(config.splits)]
    variables = {
        name: ("split", [float(numbers.get(name, np.nan)) for numbers in found])
        for name in SPLIT_TEXTS
        if name != "split"
    }
    dataset = xr.Dataset(variables, {"split": range(config.splits)}, {"limit": config.pixels})
    return described(dataset, SPLIT_TEXTS)


def fit_split(
    config: Settings, session: Session, split: int, rows: Rows, recipe: jaxreg.Recipe
) -> dict[str, Any]:
    """Selects pixels on one split of the rows, whose number seeds everything; returns variables in
    `SPLIT_TEXTS`.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import train_test_split

    inputs, test_inputs, labels, test_labels = train_test_split(
        rows.inputs, rows.labels, test_size=TEST_SHARE, random_state=split
    )
    train, test = Rows(inputs, labels), Rows(test_inputs, test_labels)

    def by_trees(pixels: np.ndarray) -> float:
        trees = ExtraTreesClassifier(config.trees, random_state=split, n_jobs=-1)
        trees.fit(train.inputs[:, pixels], train.labels)
        return float(trees.score(test.inputs[:, pixels], test.labels))

    began = time.perf_counter()
    steps = 1 + int(np.ceil(np.log(LARGEST_FACTOR) / np.log(config.growth)))
    strengths = config.first_strength * config.growth ** np.arange(steps)
    folder = session.folder and session.folder / f"path-{split}"
    path = jaxreg.fit_path(recipe, train, strengths, key=jax.random.key(split), folder=folder)
    last = int(np.flatnonzero(path.record["fitted"])[-1])
    pixels = np.flatnonzero(live_pixels(path.at(last)))
    expected = f"1 to {config.pixels} pixels at the end of the path"
    require(0 < len(pixels) <= config.pixels, "growth", expected, len(pixels))
    params = refit(config, path.at(last), train, split)
    found = {
        "pixels": len(pixels),
        "seconds": time.perf_counter() - began,
        "epochs": path.record["epochs"][: last + 1].sum() + config.refit_epochs,
        "network_accuracy": jnp.mean(logits(params, test.inputs).argmax(1) == test.labels),
        "trees_accuracy": by_trees(pixels),
        "all_trees_accuracy": by_trees(np.arange(train.inputs.shape[1])),
    }
    if split < config.peer_splits and importlib.util.find_spec("lassonet"):
        pixels, accuracy, seconds = by_lassonet(train, test, config, split)
        found |= {
            "peer_pixels": len(pixels),
            "peer_network_accuracy": accuracy,
            "peer_trees_accuracy": by_trees(pixels),
            "peer_seconds": seconds,
        }
    return found


def selection(config: Settings, pixels: int) -> jaxreg.Recipe:
    """How the path is trained; it ends where few enough pixels are left."""

    def start(key: jax.Array) -> Any:
        first, last = jax.random.split(key)
        normal, hidden = jax.nn.initializers.he_normal(), config.hidden
        return {
            "first": {"kernel": normal(first, (pixels, hidden)), "bias": jnp.zeros(hidden)},
            "last": {"kernel": normal(last, (hidden, CLASSES)), "bias": jnp.zeros(CLASSES)},
        }

    return jaxreg.Recipe(
        loss,
        start,
        lambda strength: jaxreg.Group(jaxreg.LogSum(strength, config.scale), axis=1),
        lambda penalty: jaxreg.prox_adamw(
            config.learning_rate, penalty, weight_decay=config.weight_decay
        ),
        mask=FIRST, epochs=1, first_epochs=config.first_epochs, batch_size=config.batch_size,
        stop=lambda params: jnp.sum(live_pixels(params)) <= config.pixels,
    )  # fmt: skip


def refit(config: Settings, params: Any, rows: Rows, split: int) -> Any:
    """Trains the network further on the pixels left, without a penalty."""
    steps = config.refit_epochs * (len(rows.labels) // config.batch_size)
    rate = optax.cosine_decay_schedule(config.refit_rate, steps)
    recipe = jaxreg.Recipe(
        loss,
        params,
        lambda strength: jaxreg.GroupL2(strength, axis=1),
        lambda _: jaxreg.hold_zeros(optax.adamw(rate, weight_decay=config.refit_decay), FIRST),
        mask=FIRST, epochs=config.refit_epochs, batch_size=config.batch_size,
    )  # fmt: skip
    return jaxreg.fit_path(recipe, rows, [0.0], key=jax.random.key(split), progress=False).at(0)


def by_lassonet(
    train: Rows, test: Rows, config: Settings, split: int
) -> tuple[np.ndarray, float, float]:
    """Follows the path of LassoNet's own package from dense to sparse until few enough pixels are
    left, and trains again on these.

    Returns:
        The indices of the pixels, the test accuracy of its network on them, and seconds.

    Raises:
        SettingError: the path ended before.
    """
    from lassonet import LassoNetClassifier
    from sklearn.model_selection import train_test_split

    began = time.perf_counter()
    inputs, held_inputs, labels, held_labels = train_test_split(
        train.inputs, train.labels.astype(np.int64), test_size=PEER_VALIDATION, random_state=split
    )
    options = {
        "M": 10, "hidden_dims": (config.hidden,), "verbose": 0, "torch_seed": split,
        "random_state": split, "n_iters": PEER_EPOCHS, "batch_size": PEER_BATCH,
    }  # fmt: skip
    path = LassoNetClassifier(**options).path(
        inputs, labels, X_val=held_inputs, y_val=held_labels, return_state_dicts=False
    )
    few = [point.selected.numpy() for point in path if int(point.selected.sum()) <= config.pixels]
    expected = f"a path of lassonet that reaches {config.pixels}"
    require(bool(few), "pixels", expected, min(int(point.selected.sum()) for point in path))
    pixels = np.flatnonzero(few[0])
    again = LassoNetClassifier(**options)
    held = held_inputs[:, pixels]
    again.path(inputs[:, pixels], labels, X_val=held, y_val=held_labels, lambda_seq=[])
    seconds = time.perf_counter() - began
    return pixels, float(np.mean(again.predict(test.inputs[:, pixels]) == test.labels)), seconds


PUBLISHED = {"LassoNet": 0.794, "PFA": 0.784, "HSIC-Lasso": 0.775, "Fisher score": 0.660}
"""Published test accuracy of extra trees on the 50 pixels that each method chose."""
PUBLISHED_ALL = 0.831
"""Published test accuracy of extra trees on all pixels."""
EVENTS = (3, 9, 4, 7, 2, 10, 5, 8, 6, 1, -7, 7)
"""Features that enter (+) or leave (−) the lasso path of Efron et al. (2004), in order."""
KNOTS = (949.44, 889.31, 452.9, 316.07, 130.13, 88.78, 68.96, 19.98, 5.48, 5.09, 2.18, 1.31)
"""Published rows · λ at these events."""
COEFFICIENTS = (0.0, -195.13, 521.95, 295.79, -100.76, 0.0, -223.07, 0.0, 512.84, 53.46)
"""The lasso's weights by leave-one-out cross-validation in table 1 of Park and Casella (2008)."""
NAMES = ("age", "sex", "bmi", "map", "tc", "ldl", "hdl", "tch", "ltg", "glu")
"""The features as these papers call them."""
HEADINGS = ("number", "published", "ours", "difference")


def tabulate(results: Results) -> list[Table]:
    """A table for each paper: published value, ours, difference."""
    dataset = results["diabetes"]
    ours = zip(
        dataset["feature"].values * dataset["sign"].values, dataset["knot"].values, strict=True
    )
    events: list[list[str]] = []
    for known, own in itertools.zip_longest(zip(EVENTS, KNOTS, strict=True), ours):
        cells = [
            "–"
            if event is None
            else f"{event[0]:+d} ({NAMES[abs(event[0]) - 1]}) {event[1]:.2f}".replace("-", "−")
            for event in (known, own)
        ]
        same = known is not None and own is not None and known[0] == own[0]
        difference = f"{own[1] - known[1]:+.2f}" if same else "another event"
        events.append([f"event {len(events) + 1}", *cells, difference])
    share = float(dataset["share"])
    weights = [["‖w‖₁ ÷ that of least squares", f"{PUBLISHED_SHARE:.2f}", f"{share:.3f}",
                f"{share - PUBLISHED_SHARE:+.3f}"]]  # fmt: skip
    weights += [
        [f"{name} where it is {PUBLISHED_SHARE:g}", f"{w:.2f}", f"{own:.2f}", f"{own - w:+.2f}"]
        for name, w, own in zip(NAMES, COEFFICIENTS, dataset["coefficients"].values, strict=True)
    ]
    decayed = []
    for at in dataset["strength"].values:
        excess, error = (
            float(np.abs(dataset[name].sel(strength=at)).max()) for name in ("excess", "error")
        )
        objective = f"objective ÷ the lasso's, n · λ = {at:g}"
        decayed.append([objective, "1", f"{1 + excess:.6f}", f"{excess:.0e}"])
        largest = f"difference ÷ largest weight, n · λ = {at:g}"
        decayed.append([largest, "0", f"{error:.0e}", f"{error:.0e}"])
    in_float64 = "Ours: `fit_linear_path`{} in float64."
    return [
        Table(
            HEADINGS, events,
            "Efron et al., Least Angle Regression (2004), diabetes data: n · λ where a feature "
            "enters (+) or leaves (−)",
            in_float64.format(""),
        ),
        Table(
            HEADINGS, weights,
            "Park and Casella, The Bayesian Lasso (2008), table 1, diabetes data: weights of the "
            "lasso, with ‖w‖₁ on a grid of hundredths",
            in_float64.format(" and `cross_validate_linear_path`"),
        ),
        Table(
            HEADINGS, decayed,
            "Ziyin and Wang, spred: Solving L1 Penalty with SGD (2023), theorem 1, diabetes data: "
            "w = u⊙v under weight decay, against the lasso",
            "Ours: gradient descent on u and v with `optax.add_decayed_weights`, the largest "
            f"distance of {dataset.sizes['seed']} random starts.",
        ),
        pixels_table(results["lassonet"]),
    ]  # fmt: skip


def pixels_table(dataset: xr.Dataset) -> Table:
    """A row for each published accuracy on Fashion-MNIST, and one for each that has none."""
    limit, ours = dataset.attrs["limit"], dataset["trees_accuracy"]
    compared: list[tuple[str, xr.DataArray, float | None]] = [
        ("extra trees, all pixels", dataset["all_trees_accuracy"], PUBLISHED_ALL)
    ]
    compared += [
        (f"extra trees, {limit} pixels, against {name}", ours, value)
        for name, value in PUBLISHED.items()
    ]
    compared.append((f"network, {limit} pixels", dataset["network_accuracy"], None))
    pixels, seconds = dataset["pixels"].values, dataset["seconds"].values
    legend = (
        f"Mean ± standard error over {dataset.sizes['split']} splits of 10,000 rows into 4,000 "
        f"for training and 6,000 for testing; {int(pixels.min())} to {int(pixels.max())} pixels, "
        f"{dataset['epochs'].values.mean():.0f} epochs and {seconds.mean():.0f} s for each split."
    )
    peer = dataset.where(np.isfinite(dataset["peer_seconds"]), drop=True)
    if count := peer.sizes["split"]:
        package = f"of the package lassonet, splits: {count}"
        lassonet = PUBLISHED["LassoNet"]
        compared += [
            (f"extra trees, pixels {package}", peer["peer_trees_accuracy"], lassonet),
            (f"network {package}", peer["peer_network_accuracy"], None),
        ]
        legend += f" The package lassonet took {peer['peer_seconds'].values.mean():.0f} s a split."
    else:
        legend += " The package lassonet was not run; the extra `lassonet` installs it."
    rows = []
    for name, values, value in compared:
        mean, error = mean_and_error(values.values)
        shown = f"{mean:.4f} ± {error:.4f}" if np.isfinite(error) else f"{mean:.4f}"
        known = ("–", "–") if value is None else (f"{value:.3f}", f"{mean - value:+.4f}")
        rows.append([name, known[0], shown, known[1]])
    title = (
        "Lemhadri et al., LassoNet: A Neural Network with Feature Sparsity (2021), extended table: "
        "test accuracy on Fashion-MNIST"
    )
    return Table(HEADINGS, rows, title, legend)


STUDY = Study(
    name="published",
    summary="Published results on the same data",
    description="Published value, ours, difference. On scikit-learn's diabetes data: the lasso "
    "path of Efron et al. (2004), the coefficients of Park and Casella (2008), and u⊙v under "
    "weight decay as L1 (Ziyin and Wang 2023). On Fashion-MNIST: LassoNet's selection of 50 pixels "
    "(Lemhadri et al. 2021), by a path of a concave group penalty on the first layer; where the "
    "package lassonet is installed (the extra `lassonet`), it runs on the same splits.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"diabetes": fit_diabetes, "lassonet": fit_splits},
    tabulate=tabulate,
    check=lambda _: datasets.load_images(datasets.FASHION),
)
