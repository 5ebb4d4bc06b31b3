"""Regularization paths: their cost, the choice of λ, and the small network that it leads to.

For each penalty the study finds a grid of λ up to where the network is empty, and fits paths on all
training rows with several seeds, refitting the network of each λ. It chooses λ by the refitted
networks' accuracy in cross-validation, or on held-out rows, with the rule of one standard error. To
compare, it trains a network from scratch for every λ. The chosen networks are compacted and timed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from experiments import datasets
from experiments.claims import NOT_MEASURED, Finding, above, below, mean_and_error, within
from experiments.datasets import Rows
from experiments.figures import COLOURS, curve, new_figure
from experiments.lab import Claim, Picture, Results, Session, Study, load
from experiments.lazy import Figure, jax, jaxreg, jnp, networks, nnx, optax, xr
from experiments.selection import interpolate
from experiments.settings import Training, at_least, positive, require
from experiments.tables import Table
from experiments.timing import paired
from experiments.training import accuracy, cross_entropy, described, kernels_of, train_params

DIGITS: Final = "noisy-digits"
FASHION: Final = "fashion-mnist"


@dataclasses.dataclass(frozen=True)
class Settings:
    """A whole regularization path, the choice of λ, and the small network that it leads to."""

    data: Literal["noisy-digits", "fashion-mnist"] = DIGITS
    """noisy-digits (scikit-learn's digits with irrelevant columns) or fashion-mnist (Debian's
    dataset-fashion-mnist).
    """
    noise: int = 448
    """Number of irrelevant columns of noisy-digits: copies of pixels with their rows shuffled."""
    test_size: int = 360
    """Number of test rows of noisy-digits."""
    folds: int = 5
    """Folds of the cross-validation; 0 chooses λ on held-out rows instead, with the seeds as
    repeats.
    """
    validation_size: int = 5000
    """Number of held-out rows if there are no folds."""
    seeds: int = 3
    """Number of paths on all training rows, with different initial weights and orders of
    batches.
    """
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden layers."""
    penalties: tuple[Literal["L1", "log-sum", "group log-sum"], ...] = ("L1", "group log-sum")
    """Penalties on the kernels; the groups of group log-sum are all weights that leave an input or
    a unit.
    """
    scale: float = 0.03
    """ε of log-sum."""
    group_scale: float = 0.1
    """ε of group log-sum."""
    strengths: int = 100
    """Number of λ; the largest is where no remaining weight is worth its penalty."""
    ratio: float = 1e-3
    """The smallest λ divided by the largest."""
    first_epochs: int = 60
    """Epochs for the first, smallest λ."""
    epochs: int = 1
    """Epochs for every further λ, in every pass."""
    passes: int = 3
    """How often the path goes along all λ, each time in the opposite direction."""
    refit_epochs: int = 5
    """Epochs for refitting the network of each λ without the penalty, with its zeros held."""
    scratch_epochs: int = 120
    """Epochs of each of the networks that are trained from scratch, one for each λ, to compare; 0
    trains none.
    """
    batch_size: int = 64
    """Rows per step."""
    learning_rate: float = 4e-3
    """Adam's learning rate on the path, and at the first step of refitting, where it falls to 0
    along a cosine.
    """
    rounds: int = 200
    """How often inference is timed."""
    images: Path = Path("results/images-fashion-mnist.nc")
    """Result of the images study on the same data, to compare at equal shares of weights; without
    it the table lacks this comparison.
    """

    def __post_init__(self) -> None:
        counts = "test_size validation_size hidden first_epochs epochs passes refit_epochs"
        at_least(self, **dict.fromkeys(f"{counts} batch_size rounds".split(), 1))
        at_least(self, noise=0, folds=0, seeds=2, strengths=3, scratch_epochs=0)
        positive(self, "scale", "group_scale", "learning_rate")
        require(self.folds != 1, "folds", "0, or at least 2", self.folds)
        good = len(self.penalties) == len(set(self.penalties)) > 0
        require(good, "penalties", "at least one penalty, none twice", self.penalties)
        require(0 < self.ratio < 1, "ratio", "a number between 0 and 1", self.ratio)


def defaults(data: str, quick: bool) -> Settings:
    """The default settings for a data set, in full or for `--quick`."""
    config = Settings()
    if data == FASHION:
        config = Settings(
            FASHION, folds=0, hidden=(300, 100), penalties=("log-sum", "group log-sum"),
            scale=0.01, strengths=40, first_epochs=20, passes=1, refit_epochs=3, scratch_epochs=0,
            batch_size=256, learning_rate=2e-3,
        )  # fmt: skip
    if not quick:
        return config
    return dataclasses.replace(
        config, strengths=8, first_epochs=4, refit_epochs=1, seeds=2, rounds=20,
        folds=min(config.folds, 2), scratch_epochs=min(config.scratch_epochs, 8),
    )  # fmt: skip


CLASSES = 10
SPLIT_SEED = 0
"""Draws the test rows, the held-out rows and the folds."""


class Problem(NamedTuple):
    """What a path is fitted to.

    Attributes:
        train: training rows.
        validation: held-out rows, or None if the path is cross-validated.
        test: test rows.
        widths: number of inputs, of the units of each hidden layer and of classes.
        structure: the graph definition of the network.
    """

    train: Rows
    validation: Rows | None
    test: Rows
    widths: tuple[int, ...]
    structure: Any

    def start(self, key: jax.Array) -> Any:
        """Random initial parameters."""
        return networks.initial(self.widths, key)[1]

    def loss(self, params: Any, rows: Rows) -> jax.Array:
        """The mean cross-entropy in nats."""
        return cross_entropy(self.structure, params, rows)

    def metrics(self, params: Any, rows: Rows) -> dict[str, Any]:
        """Accuracy, and the share of the weights that are not 0 and lead to an output."""
        kernels = kernels_of(params)
        counts = jaxreg.sparsity(kernels, layers=[str(layer) for layer in range(len(kernels))])
        right = accuracy(self.structure, params, rows)
        return {"accuracy": right, "kept": counts.connected / counts.size}

    def accuracies(self, params: Any) -> np.ndarray:
        """Test accuracies (seeds, strengths) of a tree of parameters (seeds, strengths, …)."""
        test = jax.tree.map(jnp.asarray, self.test)

        @jax.jit
        def all_of(tree: Any) -> jax.Array:
            along = functools.partial(
                jax.lax.map, lambda leaf: accuracy(self.structure, leaf, test)
            )
            return jax.lax.map(along, tree)

        return np.asarray(all_of(params))

    def logits(self, params: Any, inputs: jax.Array) -> jax.Array:
        """The logits (rows, classes) of a network; its kernels determine its widths."""
        return jnp.asarray(nnx.merge(self.structure, params)(inputs))


def load_rows(config: Settings) -> tuple[Rows, Rows | None, Rows]:
    """The training, held-out and test rows of the data set that the settings name.

    Raises:
        SettingError: Fashion-MNIST is not on this machine, or there are too few rows.
    """
    if config.data == DIGITS:
        rows = datasets.digits()
        rows = Rows(datasets.with_noise(rows, config.noise, SPLIT_SEED), rows.labels)
        train, test = divided(rows, config.test_size, "test_size")
    else:
        train, test = datasets.load_images(datasets.FASHION)
    validation = None
    if not config.folds:
        train, validation = divided(train, config.validation_size, "validation_size")
    count = len(train.labels)
    count = count * (config.folds - 1) // config.folds if config.folds else count
    expected = f"at most the {count} training rows"
    require(config.batch_size <= count, "batch_size", expected, config.batch_size)
    return train, validation, test


def divided(rows: Rows, size: int, name: str) -> list[Rows]:
    """Splits `size` random rows off: the remaining rows, and these."""
    count = len(rows.labels)
    require(size < count, name, f"fewer than the {count} rows", size)
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    return [Rows(rows.inputs[at], rows.labels[at]) for at in (order[size:], order[:size])]


def penalty_of(config: Settings, name: str) -> Callable[[Any], jaxreg.Penalty]:
    """The function from λ to the penalty of this name."""
    if name == "L1":
        return jaxreg.L1
    if name == "log-sum":
        return lambda strength: jaxreg.LogSum(strength, config.scale)
    return lambda strength: jaxreg.Group(jaxreg.LogSum(strength, config.group_scale), axis=1)


def optimizer(config: Settings, penalty: Any, mask: Any = None) -> optax.GradientTransformation:
    """The optimizer of the path; it does not bound its proximal steps, as λ changes fast."""
    return jaxreg.prox_adam(config.learning_rate, penalty, mask=mask, max_shrink=None)


def recipe_of(problem: Problem, config: Settings, name: str) -> jaxreg.Recipe:
    """How the paths on all rows and on folds are trained."""
    steps = config.refit_epochs * (len(problem.train.labels) // config.batch_size)
    rate = optax.cosine_decay_schedule(config.learning_rate, steps)
    return jaxreg.Recipe(
        problem.loss, problem.start, penalty_of(config, name), functools.partial(optimizer, config),
        mask=jaxreg.kernels, epochs=config.epochs, first_epochs=config.first_epochs,
        batch_size=config.batch_size, passes=config.passes, metrics=problem.metrics,
        refit_epochs=config.refit_epochs, refit_optimizer=lambda _: optax.adam(rate),
    )  # fmt: skip


SCORE = "refitted_accuracy"
"""What λ is chosen by."""
FIRST_KERNEL = "layers/0/kernel"
SMALL = 1e-4
"""Where the search for the largest λ begins."""
BATCHES = (1, 256)
"""Rows at once when inference is timed."""
TEXTS = {
    "penalty": ("penalty", "1"),
    "place": ("position on the grid of λ, from weak to strong", "1"),
    "repeat": ("fold of the cross-validation, or seed", "1"),
    "score": ("accuracy of the refitted network on rows that are not trained on", "1"),
    "score_live": ("inputs with a weight that is not 0, in the network that is scored", "count"),
    "objective": ("mean cross-entropy of the training rows plus penalty", "nats"),
    "scratch_objective": ("the same for a network trained from scratch", "nats"),
    "epochs": ("epochs on the path, without refitting", "count"),
    "kept": ("share of weights that are not 0 and lead to an output", "1"),
    "live": ("inputs with a weight that is not 0", "count"),
    "unrefitted_accuracy": ("accuracy on test rows before refitting", "1"),
    "scratch_accuracy": ("accuracy on test rows of a network trained from scratch", "1"),
    "norms": ("norm of the weights that leave an input, first seed", "1"),
    "best": ("position of the λ with the best mean score", "1"),
    "chosen": ("position of the largest λ within one standard error of the best", "1"),
    "small_accuracy": ("accuracy on test rows of the small network", "1"),
    "small_widths": ("inputs, units of each hidden layer and outputs when small", "count"),
    "small_share": ("weights of the small network, zeros included, as a share of all", "1"),
    "deviation": ("largest change of a logit by compaction", "nats"),
    "batch": ("rows in a batch", "count"),
    "milliseconds": ("time of inference before and after compaction, first seed", "ms"),
    "share": ("share of weights kept", "1"),
    "single_accuracy": ("accuracy on test rows of the images study's best networks", "1"),
    "single_method": ("method of these networks", "1"),
}


def fit_paths(config: Settings, session: Session) -> xr.Dataset:
    """Fits every path; returns the variables in `TEXTS`, those of single networks if the images
    study has a result on the same data.
    """
    rows = load_rows(config)
    widths = (rows[0].inputs.shape[1], *config.hidden, CLASSES)
    problem = Problem(*rows, widths, networks.initial(widths, jax.random.key(0))[0])
    parts = [fit_penalty(problem, config, session, name) for name in config.penalties]
    dataset = xr.concat(parts, xr.DataArray(list(config.penalties), dims="penalty", name="penalty"))
    dataset = dataset.assign_coords(seed=range(config.seeds), place=range(config.strengths))
    dataset = dataset.merge(single_networks(config)).assign_attrs(
        data=config.data, widths=problem.widths, folds=config.folds, training=config.scratch_epochs
    )
    return described(dataset, TEXTS)


def fit_penalty(problem: Problem, config: Settings, session: Session, name: str) -> xr.Dataset:
    """Fits the paths of one penalty, chooses λ and makes the small networks."""
    recipe, rows = recipe_of(problem, config, name), problem.train
    # The search starts at random parameters, which need no long training at the first λ.
    search = dataclasses.replace(recipe, first_epochs=None)
    strengths = jaxreg.strength_grid(
        search, rows, count=config.strengths, ratio=config.ratio, start=SMALL, epochs=1
    )
    part = name.replace(" ", "-").lower()
    folder = session.folder and session.folder / part
    path = jaxreg.fit_path(
        recipe, rows, strengths, validation=problem.validation, seeds=config.seeds,
        folder=folder and folder / "paths", devices=session.devices,
    )  # fmt: skip
    record, live_inputs = path.record, path.record["live_inputs"][FIRST_KERNEL]
    along = {
        "objective": record["objective"],
        "epochs": record["epochs"],
        "kept": record["refitted_kept"],
        "live": live_inputs,
        "unrefitted_accuracy": problem.accuracies(path.params),
        "test_accuracy": problem.accuracies(path.refitted),
    }
    if config.folds:
        tested = jaxreg.cross_validate_path(
            recipe, rows, strengths, folds=config.folds, split_seed=SPLIT_SEED,
            folder=folder and folder / "folds", devices=session.devices,
        )  # fmt: skip
        scores, score_live = tested.scores(SCORE), tested.record["live_inputs"][FIRST_KERNEL][:, 0]
    else:
        scores, score_live = record[SCORE], live_inputs
    if config.scratch_epochs:
        grid = jaxreg.grid(strength=strengths.astype(np.float32), seed=range(config.seeds))
        fit = functools.partial(train_scratch, problem=problem, config=config, name=name)
        runs = session.sweep(fit, grid, (rows, problem.test), part=f"{part}/scratch")
        along |= {f"scratch_{key}": values.T for key, values in runs.outputs.items()}
    select = functools.partial(jaxreg.select_strength, strengths, scores, largest=True)
    chosen = select("one_se")
    return xr.Dataset(
        {key: (("seed", "place"), values) for key, values in along.items()}
        | compact_networks(problem, config, path, chosen)
        | {
            "strength": ("place", strengths),
            "score": (("repeat", "place"), scores),
            "score_live": (("repeat", "place"), score_live),
            "norms": (("place", "input"), np.linalg.norm(kernels_of(path.params)[0][0], axis=-1)),
            "best": select("best"),
            "chosen": chosen,
        }
    )


def train_scratch(
    key: jax.Array, run: Any, rows: tuple[Rows, Rows], problem: Problem, config: Settings, name: str
) -> dict[str, jax.Array]:
    """Trains one network from scratch with the optimizer of the path."""
    train, test = rows
    model_key, order_key = jax.random.split(key)
    penalty = penalty_of(config, name)(run["strength"])
    settings = Training(config.scratch_epochs, config.batch_size, config.learning_rate)
    params = train_params(
        problem.structure, problem.start(model_key),
        lambda _: optimizer(config, penalty, jaxreg.kernels), order_key, train, settings,
    )  # fmt: skip
    objective = problem.loss(params, train) + jaxreg.penalty_value(penalty, params, jaxreg.kernels)
    return {"objective": objective, "accuracy": accuracy(problem.structure, params, test)}


def compact_networks(
    problem: Problem, config: Settings, path: jaxreg.RegularizationPath, chosen: int
) -> dict[str, Any]:
    """Compacts the refitted networks of the chosen λ, and times the first seed's before and after,
    in random order within each round; the small network gets its own inputs alone.
    """
    images = jnp.asarray(problem.test.inputs)
    rows, compared = [], []
    for seed in range(config.seeds):
        params = path.at(chosen, seed=seed, refitted=True)
        small = jaxreg.compact(params, activation=jnp.tanh)
        compared += [(params, images), (small.params, images[:, small.inputs])]
        before, after = (problem.logits(*call) for call in compared[-2:])
        right = jnp.mean(after.argmax(-1) == problem.test.labels)
        rows.append((small.widths, small.share, float(abs(before - after).max()), float(right)))
    widths, shares, deviations, accuracies = map(np.array, zip(*rows, strict=True))
    program = jax.jit(problem.logits)
    times = []
    for batch in BATCHES:
        calls = [
            functools.partial(program, params, jnp.array(inputs[:batch]))
            for params, inputs in compared[:2]
        ]
        times.append(paired(calls, config.rounds))
    return {
        "small_accuracy": ("seed", accuracies),
        "small_widths": (("seed", "layer"), widths),
        "small_share": ("seed", shares),
        "deviation": ("seed", deviations),
        "batch": np.array(BATCHES),
        "milliseconds": (("batch", "round", "network"), 1e3 * np.array(times)),
    }


SHARES = (0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of the weights at which networks are compared."""


def single_networks(config: Settings) -> xr.Dataset:
    """The images study's single networks whose method has the highest validation accuracy at each
    share.

    Returns:
        `single_accuracy` (share, single), test accuracies of its seeds, and `single_method`
        (share); empty without a result on the same data.
    """
    if not config.images.exists():
        return xr.Dataset()
    dataset = load(config.images)[0]["images"]
    if dataset.attrs["data"] != config.data:
        return xr.Dataset()
    complete = dataset["repeats"].values == dataset.sizes["seed"]
    dataset = dataset.isel(setting=(dataset["role"].values == "main") & complete)

    def at(metric: str, share: float, method: str) -> np.ndarray:
        of_method = dataset.isel(setting=dataset["method"].values == method)
        pairs = zip(of_method["kept"].values.T, of_method[metric].values.T, strict=True)
        return np.array([interpolate(kept, values, share) for kept, values in pairs])

    def validation(share: float, method: str) -> float:
        return float(np.nan_to_num(at("validation_accuracy", share, method).mean(), nan=-1.0))

    methods = [str(method) for method in np.unique(dataset["method"])]
    best = [max(methods, key=functools.partial(validation, share)) for share in SHARES]
    tests = [at("test_accuracy", share, name) for share, name in zip(SHARES, best, strict=True)]
    variables = {"single_accuracy": (("share", "single"), tests), "single_method": ("share", best)}
    return xr.Dataset(variables, {"share": list(SHARES)})


TRAININGS = 3.0
"""A path may cost this many trainings from scratch."""
WORSE = 0.1
"""Percent by which an objective counts as worse."""
POINT = -1.0
"""Points of accuracy that a small network may lose."""
ROUNDING = 1e-4
"""Largest difference of a logit that rounding explains."""


def cost(results: Results) -> list[Finding]:
    """The epochs of a path and its objectives, against training from scratch for every λ."""
    dataset = results["path"]
    findings = []
    for name in dataset["penalty"].values:
        path = dataset.sel(penalty=name)
        cheap = f"A path over {path.sizes['place']} λ costs at most {TRAININGS:g} trainings"
        if "scratch_objective" not in path:
            statement = f"{cheap} and is nowhere worse ({name})."
            how = "No networks were trained from scratch"
            findings.append(Finding(statement, how, "–", NOT_MEASURED))
            continue
        training = int(dataset.attrs["training"])
        epochs = path["epochs"].where(np.isfinite(path["objective"])).sum("place", skipna=False)
        change = 100 * (path["objective"] / path["scratch_objective"] - 1)
        findings += [
            below(
                f"{cheap} ({name}).",
                "Epochs of the path, without refitting, divided by those of one training from "
                f"scratch ({training})",
                epochs.values / training,
                # A path whose cost is exactly the limit is within it.
                TRAININGS * (1 + 1e-9), "trainings",
            ),
            below(
                f"Its objective is nowhere worse than that of training from scratch ({name}).",
                "Largest change over all λ of loss + penalty on the training rows against "
                "training from scratch with the same optimizer, whose median over λ is "
                f"{float(change.median()):+.1f} %; below {WORSE:g} %",
                change.max("place", skipna=False).values, WORSE, "%", digits=3, sign=True,
            ),
        ]  # fmt: skip
    return findings


def small_network(results: Results) -> list[Finding]:
    """The chosen networks after compaction, against the network with the smallest λ."""
    findings = []
    for name in results["path"]["penalty"].values:
        path = results["path"].sel(penalty=name)
        dense = path["test_accuracy"].isel(place=0)
        findings += [
            above(
                f"The small network loses less than a point of accuracy ({name}).",
                "Test accuracy of the compacted network of the chosen λ, minus that of the "
                f"network with the smallest λ, both refitted; above {POINT:g} point",
                100 * (path["small_accuracy"] - dense).values, POINT, "points", digits=2, sign=True,
            ),
            within(
                f"Compaction changes logits by rounding only ({name}).",
                "Logits of all test rows before and after compaction",
                float(np.max(path["deviation"].values)), ROUNDING, "largest difference of a logit",
            ),
        ]  # fmt: skip
    return findings


INPUTS = "the network"


def draw_cost(results: Results) -> Figure:
    """Objective, test accuracy and epochs against λ."""
    dataset = results["path"]
    names = dataset["penalty"].values
    figure = new_figure(4.2 * len(names), 7.2)
    columns = figure.subplots(3, len(names), squeeze=False, sharex="col", height_ratios=(2, 2, 1)).T
    for axes, name in zip(columns, names, strict=True):
        path = dataset.sel(penalty=name)
        lambdas = path["strength"].values
        spent = path["epochs"].mean("seed").values
        lines = [("on the path", "objective", "unrefitted_accuracy", COLOURS["L1"], spent)]
        if "scratch_objective" in path:
            each = np.full(lambdas.size, int(dataset.attrs["training"]))
            named = ("from scratch", "scratch_objective", "scratch_accuracy", COLOURS["none"])
            lines.append((*named, each))
        for label, objective, right, colour, epochs in lines:
            style = {"color": colour, "lw": 1.3}
            for panel, metric, scale in ((axes[0], objective, 1), (axes[1], right, 100)):
                values = scale * path[metric].transpose("place", "seed").values
                curve(panel, lambdas, values, label, elinewidth=0.7, **style)
            total = f"{label}: {epochs.sum():,.0f} epochs"
            axes[2].plot(lambdas, epochs, label=total, drawstyle="steps-mid", **style)
        axes[0].set(title=name, xscale="log", yscale="log", ylabel="loss + penalty, nats")
        axes[1].set(ylabel="test accuracy, %", ylim=(0, 102))
        axes[2].set(xlabel="λ", ylabel="epochs for each λ", yscale="log")
        for panel in axes:
            panel.grid(alpha=0.25)
            panel.legend(frameon=False, fontsize=8.5)
    return figure


def panels(dataset: xr.Dataset) -> tuple[Figure, list[tuple[Any, xr.Dataset]]]:
    """A figure, and a plot with its dataset for each penalty."""
    names = dataset["penalty"].values
    figure = new_figure(5.2 * len(names), 4.2)
    pairs = list(zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True))
    return figure, [(axes, dataset.sel(penalty=name)) for axes, name in pairs]


def draw_choice(results: Results) -> Figure:
    """The validation curve of every penalty, with both choices."""
    from jaxreg import plotting

    dataset = results["path"]
    figure, plots = panels(dataset)
    repeats = "folds" if dataset.attrs["folds"] else "seeds"
    for axes, path in plots:
        score, live = (
            path[name].transpose("repeat", "place").values[:, None]
            for name in ("score", "score_live")
        )
        if np.isfinite(score).all((0, 1)).any():
            record = {SCORE: score, "live_inputs": {INPUTS: live}}
            scores = jaxreg.CrossValidation(path["strength"].values, record)
            plotting.validation_curve(scores, SCORE, largest=True, count=INPUTS, ax=axes)
            axes.set(ylabel=f"held-out accuracy, mean over {path.sizes['repeat']} {repeats}")
            axes.legend(loc="lower left", fontsize=8.5, edgecolor="none", framealpha=0.9)
        else:
            text = "not measured, as every path diverged"
            axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center")
        axes.set_title(path["penalty"].item(), fontsize=11)
    return figure


def draw_norms(results: Results) -> Figure:
    """The norm of every input's weights against λ."""
    from jaxreg import plotting

    figure, plots = panels(results["path"])
    for axes, path in plots:
        strengths, kept = path["strength"].values, np.arange(path.sizes["place"])
        norms = {INPUTS: path["norms"].transpose("place", "input").values}
        shown = jaxreg.RegularizationPath(strengths, norms, None, {}, kept, None)
        plotting.coefficient_paths(shown, INPUTS, ax=axes)
        axes.axvline(strengths[int(path["chosen"])], color="0.3", ls=":")
        axes.set(ylabel="norm of an input's weights")
        axes.set_title(path["penalty"].item(), fontsize=11)
    return figure


RULES = {"best": "best λ", "chosen": "largest λ within one standard error"}


def tabulate(results: Results) -> list[Table | str]:
    """Both choices of λ for every penalty, accuracy at equal shares, and the small networks."""
    dataset = results["path"]
    headings = ["penalty", "network", "λ", "weights kept %", "inputs", "test accuracy %"]
    single = "single_method" in dataset
    rows, lines = [], []
    for name in dataset["penalty"].values:
        path = dataset.sel(penalty=name)
        for rule, text in RULES.items():
            chosen = path.isel(place=int(path[rule]))
            kept, test = (with_error(chosen[key].values) for key in ("kept", "test_accuracy"))
            strength, live = float(chosen["strength"]), float(chosen["live"].mean())
            cells = [name, text, f"{strength:.3g}", kept, f"{live:.0f}", test]
            rows.append([*cells, "–"] if single else cells)
        for number, share in enumerate(SHARES):
            pairs = zip(path["kept"].values, path["test_accuracy"].values, strict=True)
            values = np.array([interpolate(kept, right, share) for kept, right in pairs])
            if np.isfinite(values).all():
                numbers = ["–", f"{100 * share:g}", "–", with_error(values)]
                if single:
                    accuracies = with_error(path["single_accuracy"].values[number])
                    numbers.append(f"{accuracies} ({path['single_method'].values[number]})")
                rows.append([name, f"{100 * share:g} % of the weights", *numbers])
        lines.append(f"- {name}: {small_line(path)}.")
    chosen_by = f"{dataset.attrs['folds']} folds" if dataset.attrs["folds"] else "held-out rows"
    title = (
        f"{dataset.attrs['data']}: paths, refitted, mean ± standard error over "
        f"{dataset.sizes['seed']} seeds on test rows"
    )
    legend = (
        f"λ is chosen by the accuracy of refitted networks on {chosen_by}. Accuracies at a share "
        "are interpolated."
    )
    if single:
        headings.append("single networks %")
        legend += (
            " Single networks are those of the images study whose method has the best validation "
            "accuracy at the share."
        )
    return [Table(headings, rows, title, legend), "\n".join(lines)]


def small_line(path: xr.Dataset) -> str:
    """From the whole network to the small one; widths and times are those of the first seed."""
    before, after = (
        "–".join(str(int(width)) for width in widths)
        for widths in (path.attrs["widths"], path["small_widths"].values[0])
    )
    chosen = path["kept"][0, int(path["chosen"])]
    accuracies = path["test_accuracy"].isel(place=0).mean(), path["small_accuracy"].mean()
    share, nonzero, dense, left = (
        100 * float(value) for value in (path["small_share"][0], chosen, *accuracies)
    )
    times = path["milliseconds"]
    one, many = (times.isel(network=0) / times.isel(network=1)).median("round").values
    return (
        f"{before} → {after}, {share:.1f} % of the weights ({nonzero:.1f} % not 0), test "
        f"accuracy {dense:.1f} → {left:.1f} %, inference faster by {one:.1f}× with {BATCHES[0]} "
        f"row and {many:.1f}× with {BATCHES[1]} rows at once"
    )


def with_error(shares: np.ndarray) -> str:
    """Mean ± standard error in percent."""
    mean, error = mean_and_error(100 * shares)
    return f"{mean:.2f} ± {error:.2f}"


STUDY = Study(
    name="path",
    summary="Regularization paths, the choice of λ, and the small network",
    description="Fits networks for a whole grid of λ, each from its neighbour's solution, on "
    "digits with irrelevant columns or on Fashion-MNIST. Chooses λ by cross-validation or held-out "
    "rows with the rule of one standard error, refits, cuts dead inputs and units out, and times "
    "inference. Compares the cost and the objectives with training from scratch.",
    settings=Settings(),
    quick=defaults(DIGITS, quick=True),
    sweeps={"path": fit_paths},
    claims=(
        Claim(
            "path-cost",
            "The cost of a path",
            "Warm starts give the solutions for a hundred λ at the price of three trainings.",
            cost,
            draw_cost,
            "Objective and test accuracy against λ on the path and for networks trained from "
            "scratch, before refitting, and the epochs that were spent. Lines are means over the "
            "seeds with 95 % intervals.",
        ),
        Claim(
            "path-choice",
            "From the path to a small network",
            "The largest λ within one standard error of the best gives a small network that is as "
            "accurate.",
            small_network,
            draw_choice,
            "Accuracy of the refitted networks on rows that they were not trained on against λ, "
            "with standard errors, the best λ and the largest λ within one standard error of it; "
            "above, the number of inputs that are used.",
        ),
    ),
    pictures=(
        Picture(
            "path-norms",
            "Norms of inputs along the path",
            draw_norms,
            "Each line is an input's norm on the path, before refitting, for the first seed; "
            "above, the number of inputs that are left. The dotted line marks the λ that is "
            "chosen.",
        ),
    ),
    tabulate=tabulate,
    variant=lambda settings: settings.data,
    check=load_rows,
    adapt=lambda typed, quick: defaults(typed.data, quick),
)
