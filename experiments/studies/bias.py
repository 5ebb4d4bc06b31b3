"""What L1 costs besides zeros: the weights that it keeps are too small, and what refitting and
concave penalties change.

Linear models with known coefficients: the loss is (1/2n)‖y − Xw‖², without an intercept. Each
penalty has a path of strengths, solved in float64 by proximal gradient steps that start at w = 0. A
refit is the least-squares solution on the columns that were kept. MCP and log-sum are not convex:
their solutions are stationary points. λ is chosen on validation data: for the penalised
coefficients, and once more for the refitted ones.

Networks on the digits: after training with a penalty, each network is refitted, which means that it
is trained for a quarter of the epochs without the penalty, with its zeros held. The true weights of
a network are not known, so its shrinkage is 1 − Σ|w| / Σ|v|, where v are the refitted weights.
Without a penalty, weights also grow because training goes on; a second refit of the same length
shows by how much. λ of L1 is constant. MCP and log-sum would set too many weights to zero at the
start, when all are small, so their λ grows from 0 along a cube. "L1, growing λ" has the same
schedule, to separate the effect of the schedule from the effect of the penalty.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments import datasets, training
from experiments.claims import Finding, above, below, between, mean_and_error
from experiments.figures import COLOURS, curve, new_figure
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Axes, Figure, jax, jaxreg, jnp, networks, optax, xr
from experiments.settings import Training, at_least, positive, require, same_length, strengths
from experiments.tables import Table


@dataclasses.dataclass(frozen=True)
class Regression:
    """Linear models with known coefficients and correlated columns."""

    seeds: int = 50
    """Number of data sets."""
    rows: int = 150
    """Number of training rows; there are as many validation rows."""
    relevant: int = 15
    """Number of columns with a coefficient that is not 0. The largest coefficient is ten times the
    smallest.
    """
    irrelevant: int = 45
    """Number of columns whose coefficient is 0."""
    correlation: float = 0.5
    """Correlation between neighbouring columns; the correlation decays with the distance between
    columns.
    """
    signal_to_noise: float = 3.0
    """Variance of the signal divided by the variance of the noise."""
    strengths: int = 30
    """Number of strengths on each path."""
    gamma: float = 3.0
    """γ of MCP."""
    scale: float = 0.1
    """ε of log-sum; the signal has variance 1."""
    steps: int = 4000
    """Full-batch steps for each path."""

    def __post_init__(self) -> None:
        at_least(self, seeds=2, rows=10, relevant=3, irrelevant=1, strengths=5, steps=1)
        positive(self, "signal_to_noise", "scale")
        require(0 <= self.correlation < 1, "correlation", "0 to below 1", self.correlation)
        require(self.gamma > 1, "gamma", "a number above 1", self.gamma)


@dataclasses.dataclass(frozen=True)
class Network:
    """Networks on the digits, with the width, the number of training rows and the epochs of the
    relevance study.
    """

    seeds: int = 10
    """Number of repetitions, each with its own rows, initial weights and order of batches."""
    hidden: int = 64
    """Width of the hidden layer."""
    train_size: int = 300
    """Number of training rows; all remaining rows are test rows."""
    share: float = 0.1
    """Share of the weights kept at which the methods are compared."""
    l1: tuple[float, ...] = strengths(1e-3, 1.5e-2, 6)
    """Values of λ for L1."""
    growing_l1: tuple[float, ...] = strengths(3e-3, 6e-2, 6)
    """Values of λ, at the end of its growth, for L1 with a growing λ."""
    log_sum: tuple[float, ...] = strengths(1e-1, 8.0, 6)
    """Values of λ, at the end of its growth, for log-sum."""
    mcp: tuple[float, ...] = strengths(1e-2, 8e-2, 6)
    """Values of λ, at the end of its growth, for MCP."""
    growth: float = 0.75
    """Share of the steps during which a growing λ grows, as the cube of the step; it is constant
    after them.
    """
    scale: float = 0.001
    """ε of log-sum; chosen among 0.001, 0.01 and 0.03 for the accuracy at few weights, partly on
    the same seeds.
    """
    gamma: float = 10.0
    """γ of MCP; chosen among 10, 30 and 100 for the accuracy at few weights, partly on the same
    seeds.
    """
    refit: float = 0.25
    """Epochs of a refit, as a share of the epochs of training."""
    training: Training = Training(epochs=150, batch_size=50)

    def __post_init__(self) -> None:
        at_least(self, seeds=2, hidden=1)
        require(10 <= self.train_size <= 1697, "train-size", "10 to 1697", self.train_size)
        require(0 < self.share < 1, "share", "between 0 and 1", self.share)
        same_length(self, "l1", "growing_l1", "log_sum", "mcp")
        require(0 < self.growth <= 1, "growth", "above 0 and at most 1", self.growth)
        positive(self, "scale", "refit")
        require(self.gamma > 1, "gamma", "a number above 1", self.gamma)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Shrinkage of the weights that a penalty keeps, before and after refitting."""

    regression: Regression = Regression()
    network: Network = Network()


QUICK = Settings(
    regression=Regression(seeds=4, rows=80, relevant=6, irrelevant=14, strengths=12, steps=2000),
    network=Network(
        seeds=3,
        hidden=16,
        share=0.3,
        l1=strengths(1e-3, 3e-2, 4),
        growing_l1=strengths(1e-2, 1.0, 4),
        log_sum=strengths(1e-1, 2e1, 4),
        mcp=strengths(1e-2, 1.5e-1, 4),
        training=Training(epochs=40),
    ),
)
FITS = ("penalised", "refitted", "refitted at its own λ")
TEXTS = {
    "shrinkage": ("1 − Σ|w| / Σ|v|, with v the true or the refitted weights", "1"),
    "explained": ("share of the signal's variance that the model explains", "1"),
    "relevant": ("number of relevant columns kept", "count"),
    "irrelevant": ("number of irrelevant columns kept", "count"),
    "kkt": ("KKT residual of the penalised model, divided by λ", "1"),
    "chosen": ("strength λ chosen on validation data", "1"),
    "estimate": ("estimated coefficient", "1"),
    "true": ("true coefficient", "1"),
    "fit": ("what was chosen on validation data, and whether it was refitted", "1"),
    "share": ("share of the weights kept at which the methods are compared", "1"),
    "kept": ("share of kernel weights that are not 0", "1"),
    "growth": ("1 − Σ|v| / Σ|u| of the kernels, with u the weights after a second refit", "1"),
    "refitted_test_accuracy": ("accuracy on test rows after refitting", "1"),
    "refitted_test_loss": ("mean cross-entropy on test rows after refitting", "nats"),
}


def penalties(config: Regression | Network) -> dict[str, Callable[[Any], jaxreg.Penalty]]:
    """By name, a function from a strength to the penalty."""
    return {
        "L1": jaxreg.L1,
        "MCP": lambda strength: jaxreg.MCP(strength, config.gamma),
        "log-sum": lambda strength: jaxreg.LogSum(strength, config.scale),
    }


def fit_data_sets(settings: Settings, session: Session) -> xr.Dataset:
    """Fits every path to every data set.

    Returns:
        `shrinkage`, `explained`, `relevant`, `irrelevant`, `kkt` and `chosen` along (seed, method,
        fit), `estimate` (seed, method, fit, column) and `true` (seed, column).
    """
    config = settings.regression
    with jax.enable_x64(True):
        fit = functools.partial(fit_data_set, config=config)
        runs = session.sweep(fit, jaxreg.grid(seed=range(config.seeds)))
    root = root_of(config)
    fits = [
        measure_fits(jax.tree.map(lambda values, seed=seed: values[seed], runs.outputs), root)
        for seed in range(config.seeds)
    ]
    variables = jax.tree.map(lambda *values: np.stack(values), *fits)
    axes = ("seed", "method", "fit", "column")
    dataset = xr.Dataset(
        {name: (axes[: values.ndim], values) for name, values in variables.items()},
        {"method": list(penalties(config)), "fit": list(FITS), "seed": range(config.seeds)},
    )
    true = (("seed", "column"), runs.outputs["true"])
    return training.described(dataset.assign(true=true, diverged=("seed", runs.diverged)), TEXTS)


def root_of(config: Regression) -> np.ndarray:
    """The square root of the columns' covariance matrix, which is root @ root.T."""
    columns = np.arange(config.relevant + config.irrelevant)
    return np.linalg.cholesky(config.correlation ** abs(columns[:, None] - columns))


def fit_data_set(key: jax.Array, _: Any, __: None, config: Regression) -> dict[str, jax.Array]:
    """Draws data of a linear model whose signal has variance 1, and solves every path.

    Returns:
        `inputs` (2, rows, columns) and `targets` (2, rows), training data first; the `true`
        coefficients (columns,); the `strengths` of all paths (strengths,); and the `weights`
        (methods, strengths, columns) with their KKT residual divided by λ, `kkt` (methods,
        strengths).
    """
    keys, root = jax.random.split(key, 4), jnp.asarray(root_of(config))
    signs = jax.random.rademacher(keys[0], (config.relevant,))
    sizes = jnp.linspace(0.1, 1, config.relevant) * signs
    true = jax.random.permutation(keys[1], jnp.concatenate([sizes, jnp.zeros(config.irrelevant)]))
    true = true / jnp.linalg.norm(root.T @ true)
    inputs = jax.random.normal(keys[2], (2, config.rows, len(root))) @ root.T
    noise = jax.random.normal(keys[3], (2, config.rows)) / np.sqrt(config.signal_to_noise)
    targets = inputs @ true + noise
    gram, moment = inputs[0].T @ inputs[0] / config.rows, inputs[0].T @ targets[0] / config.rows
    grid = jnp.max(jnp.abs(moment)) * jnp.logspace(-2, 0, config.strengths)
    paths = [
        jax.vmap(functools.partial(solve, gram, moment, penalty, config.steps))(grid)
        for penalty in penalties(config).values()
    ]
    weights, residuals = map(jnp.stack, zip(*paths, strict=True))
    drawn = {"inputs": inputs, "targets": targets, "true": true}
    return {**drawn, "strengths": grid, "weights": weights, "kkt": residuals / grid}


def solve(
    gram: jax.Array,
    moment: jax.Array,
    penalty_of: Callable[[Any], jaxreg.Penalty],
    steps: int,
    strength: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Minimises ½ wᵀGw − mᵀw + R(w) by proximal gradient steps that start at w = 0.

    There is no momentum, as with a concave penalty only steps without it lower the objective one by
    one.

    Returns:
        The weights, and their KKT residual.
    """

    def power(_: int, vector: jax.Array) -> jax.Array:
        return gram @ vector / jnp.linalg.norm(gram @ vector)

    penalty = penalty_of(strength)
    # The largest eigenvalue, without LAPACK, whose batched calls on several CPU devices can block
    # one another.
    vector = jax.lax.fori_loop(0, 50, power, jnp.ones_like(moment))
    tx = jaxreg.prox_sgd(1 / (vector @ gram @ vector), penalty)

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        w, state = carry
        updates, state = tx.update(gram @ w - moment, state, w)
        return (optax.apply_updates(w, updates), state), None

    start = jnp.zeros_like(moment)
    (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return w, jaxreg.kkt_residual(penalty, w, gram @ w - moment)


def measure_fits(outputs: dict[str, np.ndarray], root: np.ndarray) -> dict[str, np.ndarray]:
    """Chooses λ for each of the three `FITS`, and measures them.

    Args:
        outputs: of `fit_data_set`.
        root: square root of the columns' covariance matrix.

    Returns:
        Arrays (methods, fits), but (methods, fits, columns) for `estimate`.
    """
    (x, held_out), (y, targets) = outputs["inputs"], outputs["targets"]
    at, estimates = [], []
    for penalised in outputs["weights"]:
        refitted = np.array([np.linalg.lstsq(x * kept, y)[0] * kept for kept in penalised != 0])
        best, own = (
            int(np.argmin(np.square(targets - weights @ held_out.T).mean(1)))
            for weights in (penalised, refitted)
        )
        at.append([best, best, own])
        estimates.append([penalised[best], refitted[best], refitted[own]])
    estimate, true = np.array(estimates), outputs["true"]
    kept, relevant = estimate != 0, true != 0
    size, true_size = (np.sum(kept * relevant * abs(values), -1) for values in (estimate, true))
    return {
        # Nothing kept has no shrinkage.
        "shrinkage": 1 - size / np.where(true_size > 0, true_size, np.nan),
        # The signal has variance 1, so this is 1 for the true coefficients and 0 for w = 0.
        "explained": 1 - np.square((estimate - true) @ root).sum(-1),
        "relevant": (kept & relevant).sum(-1).astype(float),
        "irrelevant": (kept & ~relevant).sum(-1).astype(float),
        "kkt": np.take_along_axis(outputs["kkt"], np.array(at), 1),
        "chosen": outputs["strengths"][np.array(at)],
        "estimate": estimate,
    }


def train_networks(settings: Settings, session: Session) -> xr.Dataset:
    """Trains and refits every network, in one compiled program for each method.

    Returns:
        `kept`, `shrinkage`, `growth`, and accuracy and loss on test rows before and after
        refitting, along (method, level, seed), with the coordinate `strength` (method, level); and
        `share`, at which the methods are compared.
    """
    config, rows = settings.network, datasets.digits()
    grids = {
        "L1": config.l1,
        "L1, growing λ": config.growing_l1,
        "MCP": config.mcp,
        "log-sum": config.log_sum,
    }
    outputs: dict[str, list[np.ndarray]] = {}
    for method, values in grids.items():
        fit = functools.partial(train_network, method=method, config=config)
        grid = jaxreg.grid(strength=list(values), seed=range(config.seeds))
        runs = session.sweep(fit, grid, rows, part=method.replace(", growing λ", "-growing"))
        for metric, measured in {**runs.outputs, "diverged": runs.diverged}.items():
            outputs.setdefault(metric, []).append(measured)
    axes = ("method", "level", "seed")
    variables = {metric: (axes, np.stack(measured)) for metric, measured in outputs.items()}
    strength = (axes[:2], list(grids.values()))
    coords = {"method": list(grids), "strength": strength, "seed": range(config.seeds)}
    dataset = xr.Dataset({**variables, "share": config.share}, coords)
    return training.described(dataset, TEXTS)


def train_network(
    key: jax.Array, run: Any, rows: datasets.Rows, method: str, config: Network
) -> dict[str, jax.Array]:
    """Trains one network at the strength of the run, refits it twice, and evaluates it; the metrics
    are scalars.
    """
    split_key, model_key, order_key, *refit_keys = jax.random.split(key, 5)
    train, test = training.split(split_key, rows, [config.train_size])
    structure, params = networks.initial((rows.inputs.shape[1], config.hidden, 10), model_key)
    strength = run["strength"] if method == "L1" else growing(run["strength"], config)
    penalty = penalties(config)[method.removesuffix(", growing λ")](strength)

    # Under a concave penalty, weights of any size may jump to 0.
    max_shrink = 1.0 if method.startswith("L1") else None

    def penalised(rate: optax.Schedule) -> optax.GradientTransformation:
        return jaxreg.prox_adam(rate, penalty, mask=jaxreg.kernels, max_shrink=max_shrink)

    def held(rate: optax.Schedule) -> optax.GradientTransformation:
        return jaxreg.hold_zeros(optax.adam(rate), mask=jaxreg.kernels)

    epochs = max(1, round(config.refit * config.training.epochs))
    again = dataclasses.replace(config.training, epochs=epochs)
    stages = [
        training.train_params(structure, params, penalised, order_key, train, config.training)
    ]
    for refit_key in refit_keys:
        stages.append(training.train_params(structure, stages[-1], held, refit_key, train, again))
    sums = [jnp.sum(jnp.abs(training.weights_of(stage))) for stage in stages]
    metrics = {
        "kept": 1 - jaxreg.sparsity(stages[0], jaxreg.kernels).fraction,
        "shrinkage": 1 - sums[0] / sums[1],
        "growth": 1 - sums[1] / sums[2],
    }
    for name, stage in (("test", stages[0]), ("refitted_test", stages[1])):
        metrics[f"{name}_accuracy"] = training.accuracy(structure, stage, test)
        metrics[f"{name}_loss"] = training.cross_entropy(structure, stage, test)
    return training.unless_diverged(metrics["test_loss"], metrics)


def growing(strength: jax.Array, config: Network) -> optax.Schedule:
    """A schedule of λ that grows from 0 along a cube and is constant at the end."""
    batch = min(config.training.batch_size, config.train_size)
    steps = config.growth * config.training.epochs * (config.train_size // batch)
    return lambda count: strength * jnp.minimum(1, count / steps) ** 3


def tabulate(results: Results) -> list[Table]:
    """A row for each fit of the linear models, and for each method and λ of the networks."""
    paths, trained = results["regression"], excess(results["network"])

    def text(values: xr.DataArray) -> str:
        mean, error = mean_and_error(np.asarray(values, float))
        return f"{mean:.1f} ± {error:.1f}" if np.isfinite(mean) else "diverged"

    rows = []
    for method in paths["method"].values.tolist():
        for fit in paths["fit"].values.tolist():
            chosen = paths.sel({"method": method, "fit": fit})
            cells = [f"{fit}, λ = {float(np.median(chosen['chosen'])):.2g}"]
            cells += [text(100 * chosen[name]) for name in ("shrinkage", "explained")]
            kept = " + ".join(text(chosen[name]) for name in ("relevant", "irrelevant"))
            rows.append([f"linear model, {method}", *cells, "–", kept])
    for method in trained["method"].values.tolist():
        for level in range(trained.sizes["level"]):
            runs = trained.sel({"method": method}).isel(level=level)
            names = ("excess", "test_accuracy", "refitted_test_accuracy", "kept")
            cells = [text(100 * runs[name]) for name in names]
            rows.append([f"network, {method}", f"λ = {float(runs['strength']):g}", *cells])
    legend = (
        "Mean ± standard error over the seeds. Linear model: λ is chosen on validation data, and "
        "its median is shown; shrinkage: percent by which Σ|w| over the relevant columns kept is "
        "below the sum of their true magnitudes; explained: share of the signal's variance; kept: "
        "relevant + irrelevant columns. Network: shrinkage: percent by which Σ|w| is below its "
        "value after refitting, minus the same percentage for a second refit; accuracy on test "
        "rows, before and after refitting; kept: percent of the weights."
    )
    headings = ("model", "fit", "shrinkage %", "explained or accuracy %", "refitted %", "kept")
    return [Table(headings, rows, legend=legend)]


HARDLY = 5.0
"""Percent: weights count as hardly shrunk if the sum of their magnitudes is too small by less than
this.
"""
CONCAVE = ("MCP", "log-sum")


def excess(trained: xr.Dataset) -> xr.Dataset:
    """Adds `excess`, the shrinkage of networks minus the growth in a second refit."""
    return trained.assign(excess=trained["shrinkage"] - trained["growth"])


def bias(results: Results) -> list[Finding]:
    """Linear models with known coefficients, then networks at an equal share of weights kept."""
    return [*regression(results["regression"]), *network(results["network"])]


def regression(dataset: xr.Dataset) -> list[Finding]:
    """Shrinkage, prediction and support of L1, of its refits, and of the concave penalties."""

    def values(metric: str, method: str = "L1", fit: str = FITS[0]) -> np.ndarray:
        return np.asarray(dataset[metric].sel({"method": method, "fit": fit}), float)

    relevant = round(float((dataset["true"] != 0).sum("column").mean()))
    totals = {"relevant": relevant, "irrelevant": dataset.sizes["column"] - relevant}

    def kept(method: str, fit: str = FITS[0]) -> str:
        counts = {name: mean_and_error(values(name, method, fit)) for name in totals}
        texts = (f"{counts[n][0]:.1f} ± {counts[n][1]:.1f} of {totals[n]} {n}" for n in totals)
        return f"{' and '.join(texts)} columns"

    shrunk = (
        "percent by which Σ|w| over the relevant columns kept is below the sum of their true "
        "magnitudes, at the λ with the smallest validation error of the penalised model (KKT "
        f"residual at most {float(dataset['kkt'].max(skipna=False)):.0e}·λ)"
    )
    shrinks = "L1 shrinks the coefficients that it keeps (linear model)."
    undone = "Refitting with the zeros held undoes the shrinkage (linear model)."
    same = f"L1, refitted at the same λ: {shrunk}; between −{HARDLY:.0f} and {HARDLY:.0f}"
    l1, refitted = 100 * values("shrinkage"), 100 * values("shrinkage", fit="refitted")
    findings = [
        above(shrinks, f"L1: {shrunk}; above {HARDLY:.0f} %", l1, HARDLY, "%", sign=True),
        between(undone, same, refitted, -HARDLY, HARDLY, digits=1),
    ]
    for method in CONCAVE:
        concave, tested = 100 * values("shrinkage", method), f"{method}: {shrunk}"
        hardly = f"{method} hardly shrinks the coefficients that it keeps (linear model)."
        less = f"{method} shrinks the coefficients that it keeps less than L1 (linear model)."
        findings += [
            below(hardly, f"{tested}; below {HARDLY:.0f} %", concave, HARDLY, "%", sign=True),
            below(less, f"{method} minus L1: {shrunk}", concave - l1, unit="points"),
        ]
    refits = f" ({kept('L1')}, at its own λ {kept('L1', FITS[2])})"
    own = "Refitting predicts better than L1 if λ is chosen for the refitted model"
    for statement, method, fit, how in (
        ("Refitting at the λ of L1 predicts better than L1", "L1", 1, " refitted at the same λ"),
        (own, "L1", 2, " refitted at its own λ"),
        ("MCP predicts better than L1", "MCP", 0, ""),
        ("log-sum predicts better than L1", "log-sum", 0, ""),
    ):
        tested = (
            f"Share of the signal's variance explained, {method}{how} minus L1, each λ chosen on "
            f"validation data{refits if fit else ''}"
        )
        gain = 100 * (values("explained", method, FITS[fit]) - values("explained"))
        findings.append(above(f"{statement} (linear model).", tested, gain, unit="points"))
    for method in CONCAVE:
        statement = f"{method} keeps fewer irrelevant columns than L1 (linear model)."
        tested = (
            f"Irrelevant columns kept, {method} minus L1, each at the λ with the smallest "
            f"validation error ({method} keeps {kept(method)}; L1 keeps {kept('L1')})"
        )
        fewer = values("irrelevant", method) - values("irrelevant")
        findings.append(below(statement, tested, fewer, unit="columns", sign=True))
    return findings


def at_share(trained: xr.Dataset, metric: str, method: str, share: float) -> np.ndarray:
    """Interpolates a metric to a share of weights kept, linearly in the logarithm of the share.

    Args:
        trained: networks; `kept` and the metric lie along (method, level, seed).
        metric: name of the metric.
        method: name of the method.
        share: the share of weights kept.

    Returns:
        The metric for each seed (seeds,); NaN for a seed whose networks do not keep both more and
        less than the share, or of which one diverged.
    """
    runs = trained.sel({"method": method}).sortby("level").transpose("seed", "level")
    interpolated = []
    for kept, values in zip(runs["kept"].values, runs[metric].values, strict=True):
        order = np.argsort(kept)
        # Networks without a weight lie at −∞ and are left out.
        order = order[kept[order] > 0]
        inside = kept[order[:1]].min(initial=1) <= share <= kept.max()
        number = np.interp(np.log(share), np.log(kept[order]), values[order]) if inside else np.nan
        interpolated.append(number if np.isfinite([*kept, *values]).all() else np.nan)
    return np.array(interpolated)


def network(trained: xr.Dataset) -> list[Finding]:
    """Shrinkage and test accuracy at an equal share of weights kept, before and after refitting."""
    share = float(trained["share"])
    at = f"network on digits, {100 * share:g} % of the weights kept, interpolated between strengths"
    shrunk = (
        "percent by which Σ|w| is below its value after refitting with the zeros held, minus the "
        "same percentage for a second refit, since weights also grow because training goes on"
    )
    methods = trained["method"].values.tolist()
    shrinkage, accuracy, refitted = (
        {method: 100 * at_share(excess(trained), name, method, share) for method in methods}
        for name in ("excess", "test_accuracy", "refitted_test_accuracy")
    )
    points = {method: f"{values.mean():.1f} points" for method, values in shrinkage.items()}
    percents = {
        method: f"{method} ({values.mean():.1f} %, refitted {refitted[method].mean():.1f} %)"
        for method, values in accuracy.items()
    }
    shrinks = "L1 shrinks the weights that it keeps (network)."
    improves = "Refitting with the zeros held improves the accuracy of L1 (network)."
    after = f"Test accuracy after refitting minus before, L1; {at}"
    margin = f"{HARDLY:.0f} points; {at}"
    findings = [
        above(shrinks, f"L1: {shrunk}; above {margin}", shrinkage["L1"], HARDLY, "points"),
        above(improves, after, refitted["L1"] - accuracy["L1"], unit="points"),
    ]
    for method in CONCAVE:
        less_shrunk, gain = (numbers[method] - numbers["L1"] for numbers in (shrinkage, accuracy))
        hardly = f"{method} hardly shrinks the weights that it keeps (network)."
        less = f"{method} shrinks the weights that it keeps less than L1 (network)."
        minus_l1 = (
            f"{method} ({points[method]}) minus L1 ({points['L1']}; {points['L1, growing λ']} for "
            f"L1 with a λ that grows in the same way): {shrunk}; {at}"
        )
        before = f"Test accuracy before refitting, {percents[method]} minus {percents['L1']}; {at}"
        findings += [
            below(
                hardly, f"{method}: {shrunk}; below {margin}", shrinkage[method], HARDLY, "points"
            ),
            below(less, minus_l1, less_shrunk, unit="points"),
            above(f"{method} predicts better than L1 (network).", before, gain, unit="points"),
        ]
    return findings


MARKERS = {"L1": "o", "MCP": "^", "log-sum": "s"}


def draw_bias(results: Results) -> Figure:
    """Linear models on the left; shrinkage and accuracy of networks against the share of weights
    kept.
    """
    figure = new_figure(12.4, 4.1)
    left, middle, right = figure.subplots(1, 3)
    draw_estimates(left, results["regression"])
    trained = excess(results["network"]).transpose("method", "level", "seed")
    kept = 100 * trained["kept"].mean("seed", skipna=False)
    for method in trained["method"].values.tolist():
        penalty = method.removesuffix(", growing λ")
        style: dict[str, Any] = {"color": COLOURS[penalty], "marker": MARKERS[penalty]}
        places, runs = kept.sel({"method": method}).values, 100 * trained.sel({"method": method})
        dashes = "-" if penalty == method else ":"
        curve(middle, places, runs["excess"].values, method, ls=dashes, **style)
        if penalty == method:
            curve(right, places, runs["test_accuracy"].values, method, ls="-", **style)
            style |= {"ls": "--", "mfc": "white", "lw": 1.1}
            curve(right, places, runs["refitted_test_accuracy"].values, "_", **style)
    shown = kept.values[kept.values > 0]
    limits = 0.8 * np.nanmin([*shown, 50]), 1.2 * np.nanmax([*shown, 60])
    for axes in (middle, right):
        axes.set(xscale="log", xlabel="weights kept, %")
        ticks = [1, 2, 5, 10, 20, 50, 100]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlim(*limits)
        axes.axvline(100 * float(trained["share"]), color="#999999", lw=0.8, zorder=0)
    middle.axhline(0, color="k", lw=1)
    middle.set_ylabel("shrinkage, percentage points")
    # Networks that keep too few weights to learn lie below the limits.
    best = np.nanmax([*100 * trained["refitted_test_accuracy"].mean("seed").values.ravel(), 0])
    right.set(ylabel="test accuracy, %", ylim=(best - 16, best + 1.5))
    for axes, place, title in (
        (left, "upper right", "linear model: bias of the coefficients kept"),
        (middle, "upper right", "network on digits: shrinkage of the weights kept"),
        (right, "lower right", "before (solid) and after refitting (dashed)"),
    ):
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8.5, loc=place)
    return figure


def draw_estimates(axes: Axes, dataset: xr.Dataset) -> None:
    """Estimate minus true size of the relevant columns kept, against the true size, by rank of the
    true size.
    """
    true = dataset["true"].transpose("seed", "column").values
    relevant = int((true != 0).sum(1).max(initial=0))
    order = np.argsort(abs(true), 1)[:, true.shape[1] - relevant :]
    true = np.take_along_axis(true, order, 1)
    axes.axhline(0, color="k", lw=1)
    for method, fit, label in (
        ("L1", "penalised", "L1"),
        ("L1", "refitted", "L1, refitted"),
        ("MCP", "penalised", "MCP"),
        ("log-sum", "penalised", "log-sum"),
    ):
        fitted = dataset["estimate"].sel({"method": method, "fit": fit})
        estimate = np.take_along_axis(fitted.transpose("seed", "column").values, order, 1)
        errors = estimate * np.sign(true) - abs(true)
        style: dict[str, Any] = {"color": COLOURS[method], "marker": MARKERS[method]}
        if fit == "refitted":
            style |= {"ls": "--", "mfc": "white"}
        line = []
        for rank, kept in enumerate((estimate != 0).T):
            # Ranks that fewer than two data sets keep have no interval.
            if kept.sum() >= 2:
                size, error = abs(true[kept, rank]).mean(), errors[kept, rank]
                curve(
                    axes, np.array([size]), error[None], "_", **style | {"ls": "none", "alpha": 0.6}
                )
                line.append((size, error.mean()))
        axes.plot(*np.array(line).reshape(-1, 2).T, label=label, ms=4, lw=1.5, **style)
    axes.set(xlabel="true size of the coefficient", ylabel="estimate minus true size, if kept")


STUDY = Study(
    name="bias",
    summary="How much L1 shrinks the weights that it keeps",
    description="Tests the claim that L1 pays for its zeros with bias, in linear models with known "
    "coefficients and in networks on scikit-learn's digits: how much L1, MCP and log-sum shrink "
    "the weights that they keep, and what refitting with the zeros held changes.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"regression": fit_data_sets, "network": train_networks},
    claims=[
        Claim(
            "bias",
            "L1 pays for its zeros with bias",
            "L1 pays for its zeros with bias: it shrinks the weights that it keeps. Refitting with "
            "the zeros held undoes this, and concave penalties (MCP, log-sum) hardly shrink.",
            bias,
            draw_bias,
            "Left: estimate minus true size of the coefficient (vertical) against its true size "
            "(horizontal) in linear models, for the relevant columns kept at the λ chosen on "
            "validation data: L1 (red-orange dots), L1 refitted with the zeros held (dashed, "
            "hollow dots), MCP (light orange triangles) and log-sum (blue squares). On the black "
            "line there is no bias. Small coefficients are kept only where noise makes them large, "
            "which makes their bias larger. Middle: shrinkage of the weights that a network on the "
            "digits keeps (vertical; how far Σ|w| is below its value after refitting, minus the "
            "same for a second refit, in percentage points) against the share of weights kept "
            "(horizontal, logarithmic). Dotted red-orange: L1 with a growing λ, the schedule of "
            "MCP and log-sum. Right: test accuracy before (solid) and after refitting (dashed) "
            "against the share of weights kept. In the middle and on the right each marker is one "
            "λ, and the vertical line is the share at which the methods are compared. Means over "
            "the seeds with 95 % intervals.",
        )
    ],
    tabulate=tabulate,
    suite="claims",
)
