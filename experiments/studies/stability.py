"""How stable L1 is: weights during optimization, and the selection among correlated columns.

Oscillation: the lasso on a bootstrap resample of scikit-learn's diabetes data, and a network on 200
of its digits, both on the full batch at a constant learning rate, so that only the method can keep
weights moving. After many steps we count how often a weight changes its sign and how often it
becomes 0 or stops being 0, and record the largest step. Runs without a penalty show what the
penalty does not cause.

Bootstrap: linear models with blocks of five columns, which are correlated within a block and
independent between blocks. In two blocks all columns are relevant, with equal weights. Each
method's λ is chosen on validation data; then the problem is solved for this λ on bootstrap
resamples of the training rows. The Jaccard index of two supports is the size of their intersection
divided by the size of their union. It grows with the number of selected columns, whichever they
are. Therefore we also report the index of Nogueira, Sechidis & Brown (2018, "On the stability of
feature selection algorithms"), whose expectation is 0 for a random selection of the same size.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import datasets, training
from experiments.claims import Finding, above, below, interval, within
from experiments.figures import COLOURS, new_figure
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Axes, Figure, jax, jaxreg, jnp, networks, optax, xr
from experiments.settings import at_least, positive, require

if TYPE_CHECKING:
    from jax.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Oscillation:
    """How much weights oscillate at a constant learning rate, with coupled and with proximal L1."""

    seeds: int = 10
    """Number of bootstrap resamples of the diabetes data, and of splits of the digits."""
    share: float = 0.1
    """λ of the lasso, as a share of the smallest λ whose solution is 0."""
    network_strength: float = 1e-3
    """λ of the network on the digits."""
    steps: int = 3000
    """Full-batch steps before the measurement."""
    watched: int = 200
    """Full-batch steps that are measured."""

    def __post_init__(self) -> None:
        at_least(self, seeds=2, steps=1, watched=2)
        positive(self, "network_strength")
        require(0 < self.share < 1, "share", "between 0 and 1", self.share)


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Stability of feature selection in linear models with blocks of correlated columns."""

    seeds: int = 20
    """Number of data sets for each correlation."""
    rows: int = 100
    """Number of training rows; there are as many validation rows."""
    signal_to_noise: float = 3.0
    """Variance of the signal divided by the variance of the noise."""
    strengths: int = 30
    """Number of strengths on each path."""
    resamples: int = 30
    """Number of bootstrap resamples of each data set."""
    blocks: int = 20
    """Number of blocks of five correlated columns; two of the blocks are relevant."""
    block_correlations: tuple[float, float] = (0.0, 0.95)
    """Correlations within a block, the lower one first; they are compared with each other."""

    def __post_init__(self) -> None:
        at_least(self, seeds=2, rows=10, strengths=5, resamples=2, blocks=3)
        positive(self, "signal_to_noise")
        low, high = self.block_correlations
        expected = "two numbers from 0 to below 1, the lower one first"
        require(0 <= low < high < 1, "block-correlations", expected, self.block_correlations)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Oscillation of weights during optimization, and supports over bootstrap resamples."""

    oscillation: Oscillation = Oscillation()
    bootstrap: Bootstrap = Bootstrap()


QUICK = Settings(
    oscillation=Oscillation(seeds=3, steps=1000),
    bootstrap=Bootstrap(seeds=4, rows=40, strengths=12, resamples=8, blocks=8),
)
TEXTS = {
    "sign_changes": ("sign changes per weight", "per 100 steps"),
    "support_changes": ("changes from or to exactly 0 per weight", "per 100 steps"),
    "largest_step": ("largest step of a weight, as a share of the largest weight", "1"),
    "problem": ("loss and optimizer", "1"),
    "jaccard": ("mean Jaccard index over pairs of resamples", "1"),
    "corrected": ("stability index of Nogueira, Sechidis & Brown, corrected for chance", "1"),
    "size": ("number of selected columns", "count"),
    "correlation": ("correlation within a block of columns", "1"),
}
PROBLEMS = {"lasso, SGD": 0.1, "lasso, Adam": 1e-2, "network, Adam": 1e-3}
"""Constant learning rate of each problem."""
METHODS = ("none", "coupled", "proximal")


class Data(NamedTuple):
    """The data of both models.

    Attributes:
        inputs: of the diabetes data, (rows, features).
        targets: of the diabetes data, (rows,).
        digits: all rows of the digits.
    """

    inputs: np.ndarray
    targets: np.ndarray
    digits: datasets.Rows


def run_problems(settings: Settings, session: Session) -> xr.Dataset:
    """Runs every problem with every method, for every seed.

    Returns:
        The results of `measure_oscillation` along (seed, problem, method).
    """
    from sklearn.datasets import load_diabetes

    config = settings.oscillation
    inputs, targets = load_diabetes(return_X_y=True)
    inputs, targets = inputs / inputs.std(0), (targets - targets.mean()) / targets.std()
    data = Data(inputs.astype(np.float32), targets.astype(np.float32), datasets.digits())
    grid = jaxreg.grid(seed=range(config.seeds))
    runs = session.sweep(functools.partial(run_seed, config=config), grid, data)
    axes = ("seed", "problem", "method")
    variables = {name: (axes, values) for name, values in runs.outputs.items()}
    coords = {"problem": list(PROBLEMS), "method": list(METHODS), "seed": range(config.seeds)}
    dataset = xr.Dataset({**variables, "diverged": ("seed", runs.diverged)}, coords)
    return training.described(dataset, TEXTS)


def run_seed(key: jax.Array, _: Any, data: Data, config: Oscillation) -> dict[str, jax.Array]:
    """Runs every problem with every method on one seed's data: arrays of shape (problems,
    methods).
    """
    resample_key, split_key, model_key = jax.random.split(key, 3)
    resample = jax.random.randint(resample_key, (len(data.targets),), 0, len(data.targets))
    inputs = data.inputs[resample]
    targets = data.targets[resample] - jnp.mean(data.targets[resample])
    lasso_strength = config.share * jnp.max(jnp.abs(inputs.T @ targets)) / len(targets)
    rows, _rest = training.split(split_key, data.digits, [200])
    structure, params = networks.initial((64, 64, 10), model_key)

    def lasso_loss(params: dict[str, jax.Array]) -> jax.Array:
        return 0.5 * jnp.mean(jnp.square(inputs @ params["kernel"][:, 0] - targets))

    network_loss = functools.partial(training.cross_entropy, structure, rows=rows)
    models: dict[str, Any] = {
        "lasso": (lasso_loss, {"kernel": jnp.zeros((inputs.shape[1], 1))}, lasso_strength),
        "network": (network_loss, params, config.network_strength),
    }
    measured = []
    for problem, rate in PROBLEMS.items():
        model, base = problem.split(", ")
        loss, start, strength = models[model]
        for method in METHODS:
            tx = optimizer(base, method, rate, strength)
            measured.append(measure_oscillation(loss, start, tx, config))
    shape = (len(PROBLEMS), len(METHODS))
    return jax.tree.map(lambda *values: jnp.stack(values).reshape(shape), *measured)


def optimizer(
    base: str, method: str, rate: float, strength: ArrayLike
) -> optax.GradientTransformation:
    """SGD or Adam at a constant learning rate, with L1 on the kernels by one of `METHODS`."""
    if method == "proximal":
        proximal = jaxreg.prox_sgd if base == "SGD" else jaxreg.prox_adam
        return proximal(rate, jaxreg.L1(strength), mask=jaxreg.kernels)
    plain = optax.sgd(rate) if base == "SGD" else optax.adam(rate)
    coupled = optax.chain(jaxreg.add_l1(strength, mask=jaxreg.kernels), plain)
    return coupled if method == "coupled" else plain


def measure_oscillation(
    loss: Callable[[Any], jax.Array],
    params: Any,
    tx: optax.GradientTransformation,
    config: Oscillation,
) -> dict[str, jax.Array]:
    """Takes `config.steps` steps, then measures how kernels change during `config.watched` more.

    Args:
        loss: function of the parameters.
        params: at the start.
        tx: optimizer.
        config: numbers of steps.

    Returns:
        `sign_changes`, from one side of 0 to the other, and `support_changes`, from or to exactly
        0, both per weight and 100 steps; and `largest_step`, the largest |change| of a weight in
        one step divided by the largest |weight| at the end.
    """

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Any]:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        moved = optax.apply_updates(params, updates)
        return (moved, state), changes(weights_of(params), weights_of(moved))

    def unwatched(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        return step(carry, None)[0], None

    carry, _ = jax.lax.scan(unwatched, (params, tx.init(params)), length=config.steps)
    (params, _), (signs, supports, steps) = jax.lax.scan(step, carry, length=config.watched)
    weights = weights_of(params)
    per_100_steps = 100 / (weights.size * config.watched)
    return {
        "sign_changes": jnp.sum(signs) * per_100_steps,
        "support_changes": jnp.sum(supports) * per_100_steps,
        "largest_step": jnp.max(steps) / jnp.max(jnp.abs(weights)),
    }


def changes(before: jax.Array, after: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What one step changes: how many weights change their sign, how many become 0 or stop being 0,
    and the largest absolute change.
    """
    return (
        jnp.sum(before * after < 0),
        jnp.sum((before == 0) != (after == 0)),
        jnp.max(jnp.abs(after - before)),
    )


def weights_of(params: Any) -> jax.Array:
    """The weights of all kernels, the arrays of rank 2, as one vector."""
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params) if leaf.ndim == 2])


BLOCK = 5
"""Columns in a block."""
PENALTIES: dict[str, tuple[Callable[[Any], jaxreg.Penalty], tuple[int, ...]]] = {
    "L1": (lambda strength: jaxreg.L1(strength), (-1,)),
    # Half of the strength in each part; scikit-learn calls this l1_ratio = 0.5.
    "elastic net": (lambda strength: jaxreg.ElasticNet(strength / 2, strength / 4), (-1,)),
    "group L2": (lambda strength: jaxreg.GroupL2(strength, axis=1), (-1, BLOCK)),
}
"""For each method the penalty at a strength, and the shape of the weights, for groups a block in a
row.
"""


def bootstrap_data_sets(settings: Settings, session: Session) -> xr.Dataset:
    """Measures the stability of every method's selection on every data set.

    Returns:
        `jaccard`, `corrected` (Nogueira's index) and `size`, the number of columns selected on all
        training rows, along (correlation, seed, method).
    """
    config = settings.bootstrap
    places = {"correlation": list(config.block_correlations), "seed": range(config.seeds)}
    grid = jaxreg.grid(**places)
    drawn = session.sweep(functools.partial(draw_data, config=config), grid).outputs
    with jax.enable_x64(True):
        measured = [
            measure_selection([values[at] for values in drawn], penalty, shape, config.strengths)
            for at in np.ndindex(grid.shape)
            for penalty, shape in PENALTIES.values()
        ]
    table = np.reshape(measured, (*grid.shape, len(PENALTIES), 3))
    variables = {
        name: (("correlation", "seed", "method"), table[..., at])
        for at, name in enumerate(("jaccard", "corrected", "size"))
    }
    return training.described(xr.Dataset(variables, {**places, "method": list(PENALTIES)}), TEXTS)


def draw_data(
    key: jax.Array, run: Any, _: None, config: Bootstrap
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws training and validation data with blocks of correlated columns; the signal has variance
    1.

    Args:
        key: random key of the run.
        run: `correlation`, between the columns of a block.
        _: no shared data.
        config: numbers of rows, blocks and resamples, and the signal-to-noise ratio.

    Returns:
        Inputs (2, rows, columns) and targets (2, rows), training data first, and the rows of the
        resamples (resamples, rows).
    """
    draw_key, resample_key = jax.random.split(key)
    block_key, own_key, noise_key = jax.random.split(draw_key, 3)
    shape, correlation = (2, config.rows, config.blocks), run["correlation"]
    shared = jax.random.normal(block_key, (*shape, 1))
    own = jax.random.normal(own_key, (*shape, BLOCK))
    inputs = jnp.sqrt(correlation) * shared + jnp.sqrt(1 - correlation) * own
    # The divisor is the standard deviation of the sum of the ten relevant columns.
    signal = inputs[:, :, :2].sum((2, 3)) / jnp.sqrt(2 * BLOCK * (1 + (BLOCK - 1) * correlation))
    noise = jax.random.normal(noise_key, shape[:2]) / np.sqrt(config.signal_to_noise)
    resamples = jax.random.randint(resample_key, (config.resamples, config.rows), 0, config.rows)
    return inputs.reshape(*shape[:2], -1), signal + noise, resamples


def measure_selection(
    drawn: list[np.ndarray],
    penalty: Callable[[Any], jaxreg.Penalty],
    shape: tuple[int, ...],
    count: int,
) -> tuple[float, float, float]:
    """Measures the stability of one method's selection on one data set.

    Args:
        drawn: the data set, as `draw_data` returns it.
        penalty: of the method, at a strength.
        shape: of the weights.
        count: number of strengths on the path.

    Returns:
        The mean Jaccard index, Nogueira's index, and the number of columns selected on all rows.
    """
    inputs, targets, resamples = drawn
    x, held_out = inputs.astype(float).reshape(*inputs.shape[:2], *shape)
    y, held_out_y = targets.astype(float)
    # The solutions of the elastic net and of group L2 become 0 at up to a few times the lasso's
    # largest strength.
    largest = 2 * np.max(np.abs(inputs[0].T @ targets[0])) / len(y)
    strengths = largest * np.logspace(-2, 0, count)
    fit = functools.partial(jaxreg.fit_linear_path, penalty=penalty, intercept=False)
    path = fit(x, y, strengths=strengths, validation=(held_out, held_out_y))
    best = int(np.argmin(path.record["validation_loss"]))
    at_best = strengths[best : best + 1]
    paths = [fit(x[rows], y[rows], strengths=at_best) for rows in resamples]
    supports = np.array([np.ravel(path.params.weights) != 0 for path in paths])
    size = float(path.record["nonzeros"][best])
    return mean_jaccard(supports), nogueira(supports), size


def mean_jaccard(supports: np.ndarray) -> float:
    """Mean Jaccard index over all pairs of supports (resamples, columns); two empty supports count
    as equal.
    """
    table = supports.astype(float)
    both = table @ table.T
    either = np.add.outer(table.sum(1), table.sum(1)) - both
    index = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return float(index[~np.eye(len(index), dtype=bool)].mean())


def nogueira(supports: np.ndarray) -> float:
    """Stability index of Nogueira, Sechidis & Brown: 1 if all supports are equal, with expectation
    0 for random ones.

    The index is 1 minus a ratio: the mean variance of a column's selection, divided by the variance
    under random selection of as many columns.

    Args:
        supports: boolean, (resamples, columns). The index is 1 if all supports are empty or all are
            full.
    """
    share = supports.mean()
    random = share * (1 - share)
    return float(1 - supports.var(0, ddof=1).mean() / random) if random > 0 else 1.0


REST = 1e-4
"""An optimizer counts as at rest if its largest step is at most this share of the largest
weight.
"""


def stability(results: Results) -> list[Finding]:
    """Oscillation of the optimizers, and stability of the supports."""
    return [*oscillation(results["oscillation"]), *selection(results["bootstrap"])]


def oscillation(dataset: xr.Dataset) -> list[Finding]:
    """For each problem: coupled L1 against no penalty, proximal against coupled L1, and the largest
    proximal step.
    """
    findings = []
    period = "in 100 full-batch steps at a constant learning rate, after thousands of steps"
    signs = f"Sign changes per weight {period}, minus sign changes without a penalty"
    both = f"Changes of sign, or from or to exactly 0, per weight {period}, proximal minus coupled"
    step = "Largest step of a weight during the measured steps, as a share of the largest weight"
    for problem in dataset["problem"].values:
        runs = dataset.assign(both=dataset["sign_changes"] + dataset["support_changes"])
        none, coupled, proximal = (
            runs.sel({"problem": problem, "method": method}) for method in METHODS
        )
        more = (coupled["sign_changes"] - none["sign_changes"]).values
        fewer = (proximal["both"] - coupled["both"]).values
        largest = float(proximal["largest_step"].max(skipna=False))
        oscillate = f"With the coupled subgradient, weights keep oscillating around 0 ({problem})."
        less = f"With the proximal step at the same λ, weights oscillate less ({problem})."
        rest = f"With the proximal step, weights come to rest ({problem})."
        findings += [
            above(oscillate, signs, more, unit="per 100 steps"),
            below(less, both, fewer, unit="per 100 steps", sign=True),
            within(rest, step, largest, REST, "largest step"),
        ]
    return findings


def selection(dataset: xr.Dataset) -> list[Finding]:
    """L1 with and without correlation, and against elastic net and group L2, by both indices."""
    findings = []
    for name, title, detail in (
        ("jaccard", "Jaccard index", ""),
        ("corrected", "Nogueira's index", ", corrected for chance,"),
    ):
        tested = f"{title}{detail} of the supports over bootstrap resamples, times 100"
        more = "selects more stably than L1 among correlated columns"
        for statement, first, second in (
            ("Correlated columns make L1's selection less stable", ("L1", -1), ("L1", 0)),
            (f"Elastic net {more}", ("elastic net", -1), ("L1", -1)),
            (f"Group L2, which knows the blocks, {more}", ("group L2", -1), ("L1", -1)),
        ):
            values, texts = [], []
            for method, at in (first, second):
                runs = dataset.sel({"method": method}).isel(correlation=at)
                values.append(100 * runs[name].values)
                texts.append(
                    f"{method} at correlation {float(runs['correlation']):g} "
                    f"({values[-1].mean():.0f}, {runs['size'].values.mean():.0f} columns kept)"
                )
            statement, compared = f"{statement} ({title}).", f"{tested}; {' minus '.join(texts)}"
            test = below if second == ("L1", 0) else above
            findings.append(test(statement, compared, values[0] - values[1], unit="points"))
    return findings


def draw_stability(results: Results) -> Figure:
    """Oscillation by method on the left, stability of supports by method on the right."""
    figure = new_figure(10.2, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    dataset = results["oscillation"]
    changes = dataset["sign_changes"] + dataset["support_changes"]
    problems = dataset["problem"].values.tolist()
    labels = {"none": "no penalty", "coupled": "coupled L1", "proximal": "proximal L1"}
    groups = [changes.sel({"problem": problem}) for problem in problems]
    dots(left, groups, labels, [problem.replace(", ", "\n") for problem in problems])
    left.set(ylabel="changes of sign, or from or to 0,\nper weight in 100 steps", ylim=(-1, None))
    left.set_title("oscillation long after the start", fontsize=10)
    dataset = results["bootstrap"]
    groups, ticks = [], []
    for name, text in (("jaccard", "Jaccard"), ("corrected", "corrected for chance")):
        for correlation in dataset["correlation"].values:
            groups.append(dataset[name].sel({"correlation": correlation}))
            ticks.append(f"{text}\ncorrelation {correlation:g}")
    dots(right, groups, {name: name for name in PENALTIES}, ticks)
    right.tick_params("x", labelsize=8)
    right.set(ylabel="stability index of the supports", ylim=(0, 1.05))
    right.set_title("supports over bootstrap resamples", fontsize=10)
    return figure


def dots(axes: Axes, groups: list[xr.DataArray], labels: dict[str, str], ticks: list[str]) -> None:
    """One dot for each seed, and their mean with its 95 % interval, for each method in each group.

    Args:
        axes: the axes to draw on.
        groups: values along (method, seed).
        labels: of the three methods, in their order from left to right.
        ticks: of the groups.
    """
    for at, group in enumerate(groups):
        for (method, label), shift in zip(labels.items(), (-0.25, 0.0, 0.25), strict=True):
            values = group.sel({"method": method}).values
            colour = COLOURS["none" if method == "none" else label]
            places = at + shift + np.linspace(-0.06, 0.06, len(values))
            axes.plot(places, values, ".", ms=4, color=colour, alpha=0.45)
            mean = interval(values)
            style: dict[str, Any] = {
                "fmt": "D",
                "ms": 6,
                "mec": "k",
                "mew": 0.6,
                "capsize": 4,
                "color": colour,
            }
            reach = np.nan_to_num(mean.high - mean.mean)
            axes.errorbar(at + shift, mean.mean, reach, label=None if at else label, **style)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


STUDY = Study(
    name="stability",
    summary="How stable L1 is",
    description="Tests the claim that L1 is unstable: how much weights oscillate around 0 with the "
    "coupled subgradient and with the proximal step, and how much the selected columns change "
    "between bootstrap resamples.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"oscillation": run_problems, "bootstrap": bootstrap_data_sets},
    claims=[
        Claim(
            "stability",
            "L1 is unstable",
            "L1 can be unstable to optimize, and its selection among correlated features is "
            "unstable.",
            stability,
            draw_stability,
            "Left: changes of sign and changes from or to 0, per weight in 100 full-batch steps at "
            "a constant learning rate (vertical), long after the start, for three problems "
            "(horizontal): without a penalty (dark grey), and with coupled (orange) and proximal "
            "L1 (red-orange) at the same λ. Weights at rest have a value of 0. Right: stability of "
            "the supports over bootstrap resamples (vertical; 1 means that all resamples select "
            "the same columns) by two indices and for two correlations (horizontal): L1 "
            "(red-orange), elastic net (pink) and group L2 (green). The corrected index does not "
            "reward keeping more columns. Dots are seeds, diamonds their means, bars 95 % "
            "intervals.",
        )
    ],
    suite="claims",
)
