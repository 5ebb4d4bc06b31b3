"""Feature selection: which inputs L1, L2 and group L2 keep, and when that improves predictions.

There are two sweeps over the share of irrelevant features.

Networks on digits with irrelevant columns: such a column is a copy of a pixel's column with its
rows shuffled, so that it has the same distribution as the pixel and no relation to the label.

Linear models with known weights: whole paths of lasso and ridge regression, with the loss
(1/2n)‖y − Xw‖² and without an intercept, solved in float64.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments import claims, datasets, training
from experiments.claims import Finding, above, below, none_of
from experiments.figures import COLOURS, against_strength, curve, new_figure, zero_of
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Figure, jax, jaxreg, jnp, networks, optax, xr
from experiments.selection import best_level
from experiments.settings import Training, at_least, positive, require, same_length, strengths


def increasing_from_zero(shares: tuple[float, ...], largest: float) -> None:
    """Requires at least two increasing shares of irrelevant features, the first of them 0."""
    good = len(shares) >= 2 and list(shares) == sorted(set(shares)) and shares[0] == 0
    expected = f"increasing shares from 0 on, at most {largest}"
    require(good and shares[-1] <= largest, "shares", expected, shares)


@dataclasses.dataclass(frozen=True)
class Network:
    """Networks on digits with irrelevant columns added."""

    seeds: int = 10
    """Number of repetitions, each with its own rows, irrelevant columns, initial weights and order
    of batches.
    """
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Shares of irrelevant columns; an irrelevant column is a copy of a pixel's column with its
    rows shuffled.
    """
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Number of training rows."""
    validation_size: int = 500
    """Number of validation rows, on which λ is chosen; all remaining rows are test rows."""
    l1: tuple[float, ...] = strengths(1e-4, 1e-2, 7)
    """Values of λ in λΣ|w|, for proximal L1 on every kernel."""
    l2: tuple[float, ...] = strengths(1e-4, 1e-1, 7)
    """Values of λ in λΣw², for coupled L2 on every kernel."""
    group: tuple[float, ...] = strengths(3e-4, 3e-2, 7)
    """Values of λ in λΣ‖w_g‖, for proximal group L2 on every kernel; a group is all weights that
    leave an input or unit.
    """
    training: Training = Training(epochs=150, batch_size=50)

    def __post_init__(self) -> None:
        at_least(self, seeds=2, hidden=1, train_size=10, validation_size=10)
        used = self.train_size + self.validation_size
        require(used <= 1697, "train-size and validation-size", "at most 1697 rows together", used)
        increasing_from_zero(self.shares, 0.97)
        same_length(self, "l1", "l2", "group")


@dataclasses.dataclass(frozen=True)
class Linear:
    """Linear models with known weights: whole paths of lasso and ridge regression."""

    seeds: int = 20
    """Number of data sets for each share and correlation."""
    features: int = 100
    """Number of columns."""
    rows: int = 100
    """Number of training rows; there are as many validation rows."""
    signal_to_noise: float = 3.0
    """Variance of the signal divided by the variance of the noise."""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Shares of features whose true weight is 0; the other weights are ±1 times a constant."""
    correlations: tuple[float, ...] = (0.0, 0.8)
    """Correlations between neighbouring columns; the correlation decays with the distance between
    columns.
    """
    strengths: int = 30
    """Number of strengths on each path."""

    def __post_init__(self) -> None:
        at_least(self, seeds=2, features=20, rows=10, strengths=5, correlations=0)
        positive(self, "signal_to_noise")
        increasing_from_zero(self.shares, 0.95)
        require(max(self.correlations) < 1, "correlations", "numbers below 1", self.correlations)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Networks and linear models, as the share of irrelevant features grows."""

    network: Network = Network()
    linear: Linear = Linear()


QUICK = Settings(
    network=Network(
        seeds=3,
        shares=(0.0, 0.5, 0.9),
        hidden=16,
        l1=strengths(1e-3, 1e-2, 3),
        l2=strengths(1e-3, 1e-1, 3),
        group=strengths(1e-3, 3e-2, 3),
        training=Training(epochs=30),
    ),
    linear=Linear(seeds=4, features=40, rows=40, shares=(0.0, 0.5, 0.9), strengths=12),
)
GROUP = "group L2"
TEXTS = {
    "design": ("index of the design", "1"),
    "live_pixels": ("pixels with a weight that is not 0", "count"),
    "live_noise": ("irrelevant columns with a weight that is not 0", "count"),
    "share": ("share of the features that are irrelevant", "1"),
    "noise": ("number of irrelevant columns", "count"),
    "pixels": ("number of pixels that vary", "count"),
    "validation_error": ("mean squared error on validation data", "1"),
    "explained": ("share of the signal's variance that the model explains", "1"),
    "kkt": ("KKT residual divided by λ", "1"),
    "precision": ("share of the selected features that are relevant", "1"),
    "recall": ("share of the relevant features that are selected", "1"),
    "f1": ("F1 score of the selected features", "1"),
    "size": ("number of selected features", "count"),
    "correlation": ("correlation of neighbouring columns", "1"),
}


def fit_data_sets(settings: Settings, session: Session) -> xr.Dataset:
    """Fits the paths of lasso and ridge regression to every data set.

    Returns:
        `validation_error`, `explained` (share of the signal's variance, at most 1), `kkt` (KKT
        residual / λ), `precision`, `recall`, `f1` and `size` of the support, along (design, share,
        seed, method, level), levels from weak to strong.
    """
    config = settings.linear
    columns = np.arange(config.features)
    roots = [np.linalg.cholesky(c ** abs(columns[:, None] - columns)) for c in config.correlations]
    places = {"design": range(len(roots)), "share": list(config.shares)}
    grid = jaxreg.grid(**places, seed=range(config.seeds))
    fit = functools.partial(draw_data, config=config)
    drawn = session.sweep(fit, grid, np.array(roots, np.float32)).outputs
    with jax.enable_x64(True):
        fitted = [
            fit_paths({name: drawn[name][at] for name in drawn}, roots[at[0]], config.strengths)
            for at in np.ndindex(grid.shape)
        ]
    shape = (*grid.shape, 2, config.strengths)
    stacked = jax.tree.map(lambda *values: np.reshape(values, shape), *fitted)
    axes = ("design", "share", "seed", "method", "level")
    variables = {name: (axes, values) for name, values in stacked.items()}
    coords = {**places, "method": ["L1", "L2"], "seed": range(config.seeds)}
    correlation = ("design", list(config.correlations))
    dataset = xr.Dataset(variables, coords).assign_coords(correlation=correlation)
    return training.described(dataset, TEXTS)


def draw_data(key: jax.Array, run: Any, roots: jax.Array, config: Linear) -> dict[str, jax.Array]:
    """Draws training and validation data of a linear model whose signal has variance 1.

    Args:
        key: random key of the run.
        run: `design`, an index, and `share`, of the features that are irrelevant.
        roots: square roots of the designs' covariance matrices, (designs, features, features): a
            covariance is root @ root.T.
        config: numbers of rows and features, and the signal-to-noise ratio.

    Returns:
        `inputs` (2, rows, features) and `targets` (2, rows), training data first, and the `true`
        weights (features,).
    """
    keys, root, count = jax.random.split(key, 5), roots[run["design"]], config.features
    relevant = jax.random.permutation(keys[0], count) >= jnp.round(run["share"] * count)
    true = jnp.where(relevant, jax.random.rademacher(keys[1], (count,), jnp.float32), 0.0)
    true = true / jnp.linalg.norm(root.T @ true)
    inputs = jax.random.normal(keys[2], (2, config.rows, count)) @ root.T
    noise = jax.random.normal(keys[3], (2, config.rows)) / np.sqrt(config.signal_to_noise)
    return {"inputs": inputs, "targets": inputs @ true + noise, "true": true}


def fit_paths(drawn: dict[str, np.ndarray], root: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Fits both paths of `count` strengths to one data set; each result is (methods, strengths)."""
    (x, held_out), (y, targets), true = (values.astype(float) for values in drawn.values())
    largest = np.max(np.abs(x.T @ y)) / len(y)
    fit = functools.partial(jaxreg.fit_linear_path, x, y, validation=(held_out, targets))
    ridge, curvature = lambda strength: jaxreg.ElasticNet(0 * strength, strength), np.mean(x**2)
    paths = [
        fit(jaxreg.L1, largest * np.logspace(-2, 0, count), intercept=False),
        fit(ridge, curvature * np.logspace(-2, 2, count), intercept=False),
    ]
    weights = np.stack([np.asarray(path.params.weights) for path in paths])
    selected, relevant = weights != 0, true != 0
    hits, size = (selected & relevant).sum(-1), selected.sum(-1)
    return {
        "validation_error": np.stack([2 * path.record["validation_loss"] for path in paths]),
        # The signal has variance 1, so this is 1 for the true weights and 0 for w = 0.
        "explained": 1 - np.square((weights - true) @ root).sum(-1),
        "kkt": np.stack([path.record["residual"] / path.strengths for path in paths]),
        # An empty support has no false positives, so its precision is 1.
        "precision": np.where(size > 0, hits / np.maximum(size, 1), 1.0),
        "recall": hits / relevant.sum(),
        "f1": 2 * hits / (size + relevant.sum()),
        "size": size,
    }


def train_networks(settings: Settings, session: Session) -> xr.Dataset:
    """Trains every network; each share has two programs, as the proximal step of groups costs more
    than the others.

    Returns:
        Metrics of `experiments.training.evaluate`, with `live_pixels` and `live_noise`, the numbers
        of pixels and of irrelevant columns with a nonzero weight, along (method, level, share,
        seed). Coordinates are `strength` (method, level), and `noise` and `pixels` (share), the
        numbers of irrelevant columns and of pixels that are not constant.
    """
    config, rows = settings.network, datasets.digits()
    plain, places, levels = training.settings_of(
        {"L1": ("proximal_l1", config.l1), "L2": ("coupled_l2", config.l2)}
    )
    # The settings of group L2 follow those of the others; all share the unpenalised network.
    first = 1 + places.max()
    places = np.vstack([places, [0, *range(first, first + len(config.group))]])
    levels = xr.DataArray(
        np.vstack([levels, [0.0, *config.group]]),
        dims=("method", "level"),
        coords={"method": ["L1", "L2", GROUP]},
    )
    counts = [round(64 * share / (1 - share)) for share in config.shares]
    fit = functools.partial(train_network, config=config)
    by_share = []
    for noise in counts:
        inputs = np.stack([datasets.with_noise(rows, noise, seed) for seed in range(config.seeds)])
        data, both = datasets.Rows(inputs, rows.labels), []
        for part, setting in (("plain", plain), ("group", list(config.group))):
            grid = jaxreg.grid(setting=setting, seed=range(config.seeds))
            runs = session.sweep(fit, grid, data, part=f"{noise}/{part}")
            both.append({**runs.outputs, "diverged": runs.diverged})
        by_share.append(jax.tree.map(lambda *values: np.concatenate(values), *both))
    outputs = jax.tree.map(lambda *values: np.stack(values, 1), *by_share)
    coords = {
        "share": list(config.shares),
        "noise": ("share", counts),
        "pixels": ("share", [int(np.sum(np.ptp(rows.inputs, 0) > 0))] * len(counts)),
        "seed": range(config.seeds),
    }
    dataset = training.along_levels(outputs, places, levels, ("share", "seed"), coords)
    return training.described(dataset, TEXTS)


def train_network(
    key: jax.Array, run: Any, data: datasets.Rows, config: Network
) -> dict[str, jax.Array]:
    """Trains and evaluates one network.

    Args:
        key: random key of the run.
        run: its `seed`, and its `setting`: the strengths of L1 and L2, or of group L2 alone.
        data: pixels followed by irrelevant columns, (seeds, rows, columns), with labels (rows,).
        config: sizes, and how the network is trained.
    """
    rows = datasets.Rows(data.inputs[run["seed"]], data.labels)
    split_key, model_key, order_key = jax.random.split(key, 3)
    rest = training.split(split_key, rows, [config.train_size, config.validation_size])
    parts = dict(zip(("train", "validation", "test"), rest, strict=True))
    structure, params = networks.initial((rows.inputs.shape[1], config.hidden, 10), model_key)
    penalty, make = regularization(run["setting"])
    params = training.train_params(
        structure, params, make, order_key, parts["train"], config.training
    )
    metrics = training.evaluate(structure, params, penalty, parts)
    alive = jnp.any(training.kernels_of(params)[0] != 0, 1)
    varying = jnp.ptp(rows.inputs[:, :64], 0) > 0
    counts = {"live_pixels": jnp.sum(alive[:64] & varying), "live_noise": jnp.sum(alive[64:])}
    return metrics | training.unless_diverged(metrics["train_loss"], counts)


def regularization(
    setting: training.Strengths | jax.Array,
) -> tuple[jaxreg.Penalty, Callable[[optax.Schedule], optax.GradientTransformation]]:
    """The penalty of a setting, and the function from a learning rate to an optimizer that applies
    it.
    """
    if isinstance(setting, training.Strengths):
        return training.charged(setting), functools.partial(training.optimizer, setting)
    penalty = jaxreg.GroupL2(setting, axis=1)
    return penalty, functools.partial(jaxreg.prox_adam, penalty=penalty, mask=jaxreg.kernels)


MARGIN = 1.0
"""Points of accuracy: a smaller gain counts as none, and accuracies this close count as the
same.
"""
EXACT = 95.0
"""Percent: a support counts as found if its F1 score, or its recall, is larger."""
RESAMPLES = 2000
"""Bootstrap resamples of the seeds."""


def least_error(paths: xr.Dataset) -> xr.DataArray:
    """The level with the smallest validation error of each linear path."""
    return best_level(paths, "validation_error", largest=False, first=0)


def accuracy_by_share(trained: xr.Dataset, method: str) -> np.ndarray:
    """Test accuracy in percent at the λ with the best validation accuracy: (share, seed)."""
    runs = trained.sel({"method": method}).transpose("share", "seed", ...)
    return np.asarray(
        100 * runs["test_accuracy"].isel(level=best_level(runs, "validation_accuracy"))
    )


def explained_by_share(paths: xr.Dataset, method: str) -> np.ndarray:
    """Percent of the signal that a linear model explains at the λ with the smallest validation
    error: (share, seed).
    """
    runs = paths.isel(design=0).sel({"method": method}).transpose("share", "seed", ...)
    return np.asarray(100 * runs["explained"].isel(level=least_error(runs)))


def at_matched_accuracy(trained: xr.Dataset, method: str) -> xr.Dataset:
    """For each seed, a method's sparsest network that is about as accurate as the best L1 network.

    Args:
        trained: networks of one share of irrelevant columns, along (method, level, seed).
        method: name of the method.

    Returns:
        Along `seed`, the network with the largest λ whose validation accuracy is within `MARGIN` of
        the best one of L1, with `f1`, the F1 score of its inputs (pixels are relevant). NaN for a
        seed that has no such network with λ > 0.
    """
    target = trained["validation_accuracy"].sel({"method": "L1"}).max("level") - MARGIN / 100
    accurate = trained["validation_accuracy"].sel({"method": method}) >= target
    levels = xr.DataArray(np.arange(trained.sizes["level"]), dims="level")
    exists = (accurate & (levels > 0)).any("level")
    level = levels.where(accurate, 0).max("level")
    chosen = trained.sel({"method": method}).isel(level=level).where(exists)
    relevant, kept = chosen["live_pixels"], chosen["live_pixels"] + chosen["live_noise"]
    return chosen.assign(f1=2 * relevant / (kept + trained["pixels"]))


def selection(results: Results) -> list[Finding]:
    """The lasso's support at the chosen λ, and the inputs that L1 keeps on the digits."""
    lasso = results["linear"].isel(share=-1).sel({"method": "L1"})
    irrelevant, findings = 100 * float(lasso["share"]), []
    by_chance = "The features that the lasso keeps are relevant more often than by chance"
    for design in range(lasso.sizes["design"]):
        paths = lasso.isel(design=design)
        chosen = paths.isel(level=least_error(paths))
        kkt, best = chosen["kkt"].max(skipna=False), 100 * paths["f1"].max("level").mean()
        best_f1 = f" (at the λ with the best F1 score of each path: {float(best):.1f} %)"
        relevant = ", the share of relevant features"
        for name, label, statement, threshold, more in (
            ("recall", "Recall", "The lasso keeps the relevant features", EXACT, ""),
            ("precision", "Precision", by_chance, 100 - irrelevant, relevant),
            ("f1", "F1 score", "The lasso finds the support", EXACT, best_f1),
        ):
            tested = (
                f"{label} of the lasso at the λ with the smallest validation error, "
                f"{irrelevant:.0f} % of the features irrelevant (KKT residual at most "
                f"{float(kkt):.0e}·λ); above {threshold:.0f} %{more}"
            )
            statement = f"{statement} ({columns_text(paths)})."
            findings.append(above(statement, tested, 100 * chosen[name].values, threshold, "%"))
    trained = results["network"].isel(share=-1).sel({"method": "L1"})
    chosen = trained.isel(level=best_level(trained, "validation_accuracy"))
    pixels, noise = (100 * chosen[f"live_{name}"] / chosen[name] for name in ("pixels", "noise"))
    statement = "On digits with irrelevant columns, L1 keeps pixels rather than irrelevant columns."
    tested = (
        f"Share of the pixels kept ({float(pixels.mean()):.0f} %) minus share of the "
        f"{int(trained['noise'])} irrelevant columns kept ({float(noise.mean()):.0f} %), network "
        "at the λ with the best validation accuracy"
    )
    return [*findings, above(statement, tested, (pixels - noise).values, unit="points")]


def columns_text(paths: xr.Dataset) -> str:
    """The columns of a design in words."""
    correlation = float(paths["correlation"])
    return "independent columns" if correlation == 0 else f"columns of correlation {correlation:g}"


def relevance(results: Results) -> list[Finding]:
    """L1 compared with L2 as the share of irrelevant features grows, for the network and for the
    linear model.
    """
    trained, paths = results["network"], results["linear"]
    l1, l2 = (accuracy_by_share(trained, method) for method in ("L1", "L2"))
    lasso, ridge = (explained_by_share(paths, method) for method in ("L1", "L2"))
    findings = []
    for model, difference, shares, unit in (
        ("network", l1 - l2, trained["share"].values, "points"),
        ("linear model", lasso - ridge, paths["share"].values, "points of the signal's variance"),
    ):
        for at, direction, statement in (
            (-1, 1, "Where irrelevant features dominate, L1 predicts better than L2"),
            (0, -1, "Without irrelevant features, L2 predicts better than L1"),
        ):
            tested = (
                f"L1 minus L2 at {100 * shares[at]:.0f} % irrelevant, {model}, each penalty at the "
                "λ chosen on validation data"
            )
            test = functools.partial(above, f"{statement} ({model}).", tested, direction=direction)
            findings.append(test(difference[at], unit=unit))
        findings.append(crossing(model, difference, shares))
    unpenalised = 100 * trained["test_accuracy"].isel(method=0, level=0, share=0).values
    statement = "Without irrelevant columns, L1 predicts worse than no penalty (network)."
    tested = (
        "Test accuracy of L1 at the λ with the best validation accuracy, minus test accuracy at "
        "λ = 0, at 0 % irrelevant"
    )
    return [*findings, below(statement, tested, l1[0] - unpenalised, unit="points")]


def crossing(model: str, difference: np.ndarray, shares: np.ndarray) -> Finding:
    """Finds the share of irrelevant features at which L1 overtakes L2, with a bootstrap interval
    over the seeds.

    Args:
        model: what predicts, in words.
        difference: quality of L1 minus quality of L2, (shares, seeds).
        shares: shares of irrelevant features, increasing.
    """
    finding = functools.partial(
        Finding,
        f"L1 overtakes L2 at some share of irrelevant features ({model}).",
        "Share at which the mean of L1 minus L2 becomes positive, bootstrap over seeds "
        f"({RESAMPLES} resamples, {model})",
    )
    if not np.isfinite(difference).all():
        return finding("a run diverged", claims.NOT_MEASURED)
    seeds = difference.shape[1]
    resamples = np.random.default_rng(0).integers(0, seeds, (RESAMPLES, seeds))
    places = np.array([crossing_of(difference[:, rows].mean(1), shares) for rows in resamples])
    crossed = np.isfinite(places).mean()
    if crossed < 0.95:
        verdict = claims.CONTRADICTED if crossed < 0.05 else claims.NOT_SUPPORTED
        return finding(f"it does in {100 * crossed:.0f} % of the resamples", verdict)
    low, high = np.nanpercentile(places, [2.5, 97.5])
    mean = crossing_of(difference.mean(1), shares)
    numbers = f"at {100 * mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return finding(numbers, claims.SUPPORTED, mean, low, high)


def crossing_of(values: np.ndarray, shares: np.ndarray) -> float:
    """The share at which the line through the values first rises from below 0 to 0 or more; NaN if
    it never does.
    """
    for at in range(len(values) - 1):
        if values[at] < 0 <= values[at + 1]:
            return float(np.interp(0, values[at : at + 2], shares[at : at + 2]))
    return np.nan


def no_selection(results: Results) -> list[Finding]:
    """L2 keeps every input, and its effect where irrelevant columns dominate."""
    trained = results["network"].isel(share=-1)
    kept = trained["live_noise"].sel({"method": "L2"}).isel(level=slice(1, None)).values
    noise, at = int(trained["noise"]), f"at {100 * float(trained['share']):.0f} % irrelevant"
    l1, l2 = (accuracy_by_share(results["network"], method)[-1] for method in ("L1", "L2"))
    unpenalised = 100 * trained["test_accuracy"].isel(method=0, level=0).values
    every = f"Irrelevant columns whose weights are all 0, {at}, every λ > 0 and seed of coupled L2"
    ineffective = "L2 is not effective where irrelevant features dominate."
    gain = (
        f"Test accuracy of L2 minus test accuracy without penalty, {at}; a gain below "
        f"{MARGIN:.0f} point counts as not effective"
    )
    weaker = "L2 is less effective than L1 where irrelevant features dominate."
    compared = f"Test accuracy of L2 minus test accuracy of L1, {at}"
    return [
        none_of("L2 drops no input.", every, noise - kept, noise, "inputs dropped"),
        below(ineffective, gain, l2 - unpenalised, MARGIN, "points"),
        below(weaker, compared, l2 - l1, unit="points"),
    ]


def groups(results: Results) -> list[Finding]:
    """Group L2 compared with L1 at matched accuracy: irrelevant inputs kept, F1 score of the
    inputs, test accuracy.
    """
    trained = results["network"].isel(share=-1)
    l1, group = (at_matched_accuracy(trained, method) for method in ("L1", GROUP))
    noise, f1, accuracy = (
        (group[name] - l1[name]).values for name in ("live_noise", "f1", "test_accuracy")
    )
    counts = "; ".join(
        f"{method} keeps {float(chosen['live_pixels'].mean()):.0f} pixels and "
        f"{float(chosen['live_noise'].mean()):.0f} irrelevant"
        for method, chosen in (("L1", l1), (GROUP, group))
    )
    rule = (
        "group L2 minus L1, each at the largest λ whose validation accuracy is within "
        f"{MARGIN:.0f} point of plain L1's best"
    )
    fewer = "Group L2 keeps fewer irrelevant inputs than L1 at the same accuracy."
    better = "Group L2 selects inputs better than L1 at the same accuracy."
    score = f"F1 score of the inputs kept, with the pixels as relevant inputs, {rule}"
    least = f"Test accuracy, {rule}; above −{MARGIN:.0f} point"
    no_worse = "Group L2's test accuracy is at least that of L1."
    return [
        below(fewer, f"Irrelevant inputs kept, {rule} ({counts})", noise, unit="inputs", sign=True),
        above(better, score, 100 * f1, unit="points"),
        above(no_worse, least, 100 * accuracy, -MARGIN, "points"),
    ]


def draw_selection(results: Results) -> Figure:
    """Quality of the lasso's support along its path, for each design, with the median of the chosen
    λ; and the inputs that a network keeps.
    """
    lasso = results["linear"].isel(share=-1).sel({"method": "L1"})
    places = np.logspace(-2, 0, lasso.sizes["level"])
    figure = new_figure(9.6, 3.9)
    *panels, last = figure.subplots(1, lasso.sizes["design"] + 1)
    for design, axes in enumerate(panels):
        paths = lasso.isel(design=design).transpose("level", "seed")
        for name, label, colour, marker in (
            ("recall", "recall", "#009E73", "s"),
            ("precision", "precision", "#AA3377", "^"),
            ("f1", "F1", "#000000", "o"),
        ):
            style: dict[str, Any] = {"color": colour, "marker": marker, "ms": 3, "capsize": 0}
            curve(axes, places, 100 * paths[name].values, label, **style)
        chosen = np.median(places[least_error(paths).values])
        axes.axvline(chosen, color="#999999", lw=1, ls=":", label="chosen λ (median)")
        axes.set(xscale="log", xlabel="λ / smallest λ with w = 0", ylim=(-4, 104))
        axes.set_title(f"lasso, {columns_text(paths)}".replace("columns of ", ""), fontsize=10)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("recall, precision, F1, %")
    labels = panels[0].get_legend_handles_labels()
    figure.legend(*labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    trained = results["network"].isel(share=-1).sel({"method": "L1"})
    for name, label, dashes, marker in (
        ("pixels", "pixels", "-", "o"),
        ("noise", "irrelevant columns", ":", "x"),
    ):
        kept = trained.assign(kept=trained[f"live_{name}"] / trained[name])
        style = {"color": COLOURS["L1"], "ls": dashes, "marker": marker}
        against_strength(last, kept, "kept", f"{int(trained[name])} {label}", 100, **style)
    last.set(ylabel="inputs kept, %", ylim=(-4, 104))
    last.legend(frameon=False, fontsize=8.5, loc="lower left")
    last.set_title("network on digits, L1", fontsize=10)
    return figure


def draw_relevance(results: Results) -> Figure:
    """Quality of the predictions at the chosen λ against the share of irrelevant features."""
    figure = new_figure(8.4, 3.7)
    left, right = figure.subplots(1, 2)
    trained, paths = results["network"], results["linear"]
    noise, irrelevant = 100 * trained["share"].values, 100 * paths["share"].values
    unpenalised = trained["test_accuracy"].isel(method=0, level=0).transpose("share", "seed")
    curve(left, noise, 100 * unpenalised.values, "none", marker="v")
    for method, marker in (("L2", "s"), ("L1", "o"), (GROUP, "D")):
        curve(left, noise, accuracy_by_share(trained, method), method, marker=marker)
        if method != GROUP:
            curve(right, irrelevant, explained_by_share(paths, method), method, marker=marker)
    left.set(xlabel="irrelevant columns, %", ylabel="test accuracy, %")
    right.set(xlabel="irrelevant features, %", ylabel="signal explained, %")
    for axes, title in ((left, "network on digits"), (right, "linear model")):
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
    return figure


def draw_no_selection(results: Results) -> Figure:
    """Irrelevant columns kept and test accuracy against λ, for L2 and L1."""
    figure = new_figure(8.4, 3.6)
    left, right = figure.subplots(1, 2)
    trained = results["network"].isel(share=-1)
    trained = trained.assign(noise_kept=trained["live_noise"] / trained["noise"])
    zero = zero_of(trained["strength"].sel({"method": ["L1", "L2"]}))
    for axes, name in ((left, "noise_kept"), (right, "test_accuracy")):
        for method, marker in (("L2", "s"), ("L1", "o")):
            runs = trained.sel({"method": method})
            against_strength(axes, runs, name, method, 100, zero, marker=marker)
        axes.legend(frameon=False, fontsize=9, loc="lower left")
    left.set(ylabel=f"of {int(trained['noise'])} irrelevant columns kept, %", ylim=(-4, 104))
    right.set(ylabel="test accuracy, %")
    return figure


def draw_groups(results: Results) -> Figure:
    """Test accuracy against the number of irrelevant inputs kept, along each path."""
    figure = new_figure(7.4, 4)
    axes = figure.subplots()
    trained = results["network"].isel(share=-1).transpose("level", "seed", ...)
    for method, marker, offset in (("L1", "o", (3, 5)), (GROUP, "D", (-26, -26))):
        runs = trained.sel({"method": method})
        noise, accuracy = runs["live_noise"].values.mean(1), 100 * runs["test_accuracy"].values
        curve(axes, noise, accuracy, method, marker=marker)
        style: dict[str, Any] = {"fontsize": 8, "rotation": 40, "color": COLOURS[method]}
        for level in range(1, len(noise)):
            text, place = f"{runs['strength'][level]:.2g}", (noise[level], accuracy[level].mean())
            axes.annotate(text, place, offset, textcoords="offset points", **style)
    kept = f"irrelevant inputs kept, of {int(trained['noise'])}"
    axes.set(xlabel=kept, ylabel="test accuracy, %")
    axes.set_title("each path starts at λ = 0 (right); numbers are λ", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


CLAIMS = (
    Claim(
        "selection",
        "L1 selects features",
        "L1 selects features: it keeps the relevant ones and drops the others.",
        selection,
        draw_selection,
        "First panels: recall (green squares), precision (purple triangles) and F1 score (black "
        "dots) of the lasso's support against λ relative to the smallest λ whose solution is 0, "
        "for independent and correlated columns; the dotted line is the median of the λ chosen on "
        "validation data. There, recall is high if the lasso keeps the relevant features, and "
        "precision if it drops the others. Last panel: percent of the pixels (solid) and of the "
        "irrelevant columns (dotted) that a network keeps under L1; selection works where the "
        "dotted line is below the solid one. Means over the seeds with 95 % intervals.",
    ),
    Claim(
        "relevance",
        "L1 for few relevant features, L2 for many",
        "L1 is preferable where irrelevant features dominate, L2 where all features are relevant; "
        "L1 may then work badly.",
        relevance,
        draw_relevance,
        "Left: test accuracy of a network on digits with irrelevant columns; right: share of the "
        "signal explained by a linear model; both against the percentage of irrelevant inputs. "
        "Each line is a penalty at the λ chosen on validation data: L2 (blue squares), L1 (orange "
        "dots), group L2 (green diamonds), no penalty (dark triangles). Means over the seeds with "
        "95 % intervals. Compare L1 and L2 at the left and right ends, and see where they cross.",
    ),
    Claim(
        "no-selection",
        "L2 does not select features",
        "L2 does not select features, and is not effective where irrelevant features dominate.",
        no_selection,
        draw_no_selection,
        "Digits with the largest share of irrelevant columns, L2 (blue squares) and L1 (orange "
        "dots), against λ. Left: percent of the irrelevant columns that keep a nonzero weight; a "
        "line that stays at 100 % selects nothing. Right: test accuracy; a penalty is effective "
        "where its line rises above the value at λ = 0. Means over the seeds with 95 % intervals.",
    ),
    Claim(
        "groups",
        "Group L2 selects inputs better",
        "Group L2, with all outgoing weights of an input as one group, selects inputs better than "
        "plain L1 at the same accuracy.",
        groups,
        draw_groups,
        "Test accuracy against the number of irrelevant inputs that a network keeps, along the "
        "path of L1 (orange dots) and of group L2 (green diamonds); each marker is one λ, printed "
        "beside it. Digits with the largest share of irrelevant columns; means over the seeds with "
        "95 % intervals of the accuracy. At the same height, the marker farther left keeps fewer "
        "irrelevant inputs.",
    ),
)


STUDY = Study(
    name="relevance",
    summary="Which inputs are kept, and when that improves predictions",
    description="Tests four claims on digits with irrelevant columns and on linear models: L1 "
    "selects features; L1 is preferable where few features are relevant and L2 where all are; L2 "
    "selects none; group L2 selects inputs better.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"linear": fit_data_sets, "network": train_networks},
    claims=CLAIMS,
    suite="claims",
)
