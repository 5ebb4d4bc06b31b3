"""Bits per byte against the share of weights kept, of a small GPT that reads bytes of a text.

All methods have the same number of steps, clip, warm-up and cosine. A learning rate and a decay are
chosen for each baseline by validation text, with the first seed; a method that takes a share of the
block weights (attention and perceptrons, without embeddings, norms and head) chooses its learning
rate at `rate_share`, with the decay of its dense baseline, and uses it for every share. A steered
penalty ends at `released`: from then on no weight that is 0 changes, and the others are trained on
without it. Pruning has reached its share when steering has, and its zeros stay anyway. A dense
network "with as many weights" has as many parameters as the sparse one has nonzero ones, all
counted, or a few more.

Muon has no metric D, and neither has AdamW with a hyperbolic step after each of its own. After them
a penalty is applied in the metric that Adam would have, the root mean square of the gradients, so
that the threshold is larger where the loss depends less on a weight; after Muon also with a plain
threshold of learning rate × λ. Neither minimises a penalised loss, so λ means nothing by itself,
and only its steering makes sense.

A seed determines the initial weights and the batches, so methods are compared seed by seed.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from experiments import transformer
from experiments.claims import Finding, above, below, mean_and_error, mean_text
from experiments.figures import COLOURS, new_figure
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Figure, jax, jaxreg, jnp, optax, xr
from experiments.rivals import hyperbolic, keep_largest_always, prune_gradually
from experiments.settings import at_least, positive, require, shares, strengths
from experiments.tables import Table
from experiments.transformer import (
    B2,
    BIBLE,
    Method,
    Sizes,
    adamw,
    blocks,
    clipping,
    count_weights,
    largest_blocks,
    scaled,
)
from experiments.trials import MAIN, Trials, fit_of

if TYPE_CHECKING:
    from jax.typing import ArrayLike

Baseline = Literal["adamw", "coupled", "independent", "cautious", "hyperbolic", "muon"]
"""Names of the dense optimizers."""
Penalty = Literal["L1", "log-sum", "L0"]
"""Names of the penalties."""
Rival = Literal["magnitude", "metric", "top", "hyperbolic"]
"""Names of the ways of pruning."""


@dataclasses.dataclass(frozen=True)
class Settings(transformer.Settings):
    """Bits per byte against the share of weights kept, of a small GPT: penalties, pruning and small
    dense networks.
    """

    preset: Literal["cpu", "gpu"] = "cpu"
    """cpu is a network of 0.1 million weights; gpu one of 29 million in bfloat16 with float32
    master weights, fewer settings and two seeds.
    """
    half: bool = False
    """Whether weights are bfloat16, with float32 copies in the optimizer."""
    muon_rates: tuple[float, ...] = (1.6e-2, 3.2e-2)
    """Learning rates to choose from, for Muon, whose updates have Adam's size."""
    baselines: tuple[Baseline, ...] = get_args(Baseline)
    """Dense optimizers, adamw among them: AdamW; Adam with coupled L2, with decay that is
    independent of the learning rate, and with cautious decay; AdamW with hyperbolic steps; and
    Muon. Penalties and pruning follow adamw, hyperbolic and muon.
    """
    decay: tuple[float, ...] = (0.1, 0.0, 0.3)
    """Values of optax's weight_decay to choose from, for AdamW, cautious decay and Muon; the first
    is used where a learning rate is chosen.
    """
    coupled: tuple[float, ...] = (1e-5, 1e-4)
    """Values of λ of coupled L2, in the same way."""
    independent: tuple[float, ...] = (1e-3, 3e-4)
    """Values of the part of a weight that decay removes in a step at the peak of the schedule, if
    it is independent of the learning rate, in the same way.
    """
    penalties: tuple[Penalty, ...] = get_args(Penalty)
    """Penalties, each steered and constant in AdamW's metric, and steered after Muon."""
    rivals: tuple[Rival, ...] = get_args(Rival)
    """Gradual pruning by |w| and by |w|√D, also after Muon; the largest weights of each matrix at
    every step; and pruning by |w| with hyperbolic steps.
    """
    shares: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05, 0.02)
    """Shares of the block weights to keep."""
    rate_share: float = 0.1
    """The share at which a learning rate is chosen."""
    l1: tuple[float, ...] = strengths(1e-4, 1e-2, 3)
    """Constant values of λ of L1."""
    log_sum: tuple[float, ...] = strengths(1e-4, 3e-3, 3)
    """Constant values of λ of log-sum."""
    l0: tuple[float, ...] = strengths(1e-4, 1e-2, 3)
    """Constant values of λ of L0."""
    scale: float = 0.01
    """ε of log-sum."""
    alpha: float = 200.0
    """α of hyperbolic steps, their authors' default."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, decay=0, coupled=0, alpha=0)
        positive(self, "muon_rates", "scale", "l1", "log_sum", "l0", "independent")
        for name in ("baselines", "penalties", "rivals"):
            values = getattr(self, name)
            require(0 < len(values) == len(set(values)), name, "one or several", values)
        require("adamw" in self.baselines, "baselines", "adamw among them", self.baselines)
        shares(self, "shares", "rate_share")


def defaults(typed: Settings, quick: bool) -> Settings:
    """The defaults for a preset and for `--quick`."""
    config = Settings(text=typed.text, preset=typed.preset)
    if typed.preset == "gpu":
        config = dataclasses.replace(
            config,
            layers=9,
            width=512,
            heads=8,
            context=256,
            batch_size=64,
            steps=1500,
            half=True,
            learning_rates=(2e-3,),
            muon_rates=(4e-3,),
            decay=(0.1,),
            coupled=(1e-5,),
            independent=(2e-4,),
            shares=(0.1, 0.02),
            l1=(1e-4,),
            log_sum=(1e-4,),
            l0=(1e-4,),
            seeds=2,
        )
    if quick:
        config = dataclasses.replace(
            config,
            **transformer.QUICK,
            baselines=("adamw", "muon"),
            muon_rates=(1.6e-2,),
            decay=(0.1,),
            coupled=(1e-5,),
            independent=(1e-3,),
            penalties=("log-sum",),
            rivals=("magnitude",),
            shares=(0.1,),
            l1=(1e-3,),
            log_sum=(1e-3,),
            l0=(1e-3,),
        )
    return config


class Run(NamedTuple):
    """The hyperparameters of one network: scalars in one fit, arrays with one entry for each run in
    a sweep.

    Attributes:
        learning_rate: at the peak of the schedule.
        decay: of the weights, in the unit of the method.
        strength: λ; 0 where it is steered or there is none.
        share: of the block weights to keep; 1 where the method has no such target.
        seed: number of the repetition.
    """

    learning_rate: ArrayLike
    decay: ArrayLike = 0.0
    strength: ArrayLike = 0.0
    share: ArrayLike = 1.0
    seed: ArrayLike = 0


ADAMW, HYPERBOLIC, MUON = "AdamW", "AdamW with hyperbolic steps", "Muon"
COUPLED, INDEPENDENT = "Adam, coupled L2", "Adam, decay independent of the rate"
CAUTIOUS = "Adam, cautious decay"
STEERED, CONSTANT = ", steered", ", constant"
AFTER = {ADAMW: "", HYPERBOLIC: " after hyperbolic steps", MUON: " after Muon"}
"""What follows the name of a penalty or of a way of pruning, by the dense baseline."""
PLAIN = ", plain threshold"
SMALL = {base: f"{base}, as many weights" for base in AFTER}
"""The dense networks with as many weights as sparse ones have nonzeros."""
MAGNITUDE, METRIC = "gradual magnitude pruning", "gradual pruning by |w|√D"
TOP = "largest of each matrix at every step"
PENALTIES = get_args(Penalty)
OURS, OURS_HAM, OURS_MUON = (
    tuple(f"{name}{after}{STEERED}" for name in PENALTIES) for after in AFTER.values()
)
PLAIN_MUON = f"log-sum{AFTER[MUON]}{PLAIN}{STEERED}"
HAM = f"{MAGNITUDE}{AFTER[HYPERBOLIC]}"
RIVALS = (MAGNITUDE, METRIC, TOP, HAM)
RIVALS_MUON = (f"{MAGNITUDE}{AFTER[MUON]}", f"{METRIC}{AFTER[MUON]}")


def coupled(run: Run, config: Settings) -> optax.GradientTransformation:
    """Adam with the gradient of L2 in its own."""
    penalty = jaxreg.add_l2(run.decay, jaxreg.kernels)
    adam = optax.adam(scaled(run.learning_rate, config), b2=B2)
    return optax.chain(clipping(config), penalty, adam)


def independent(run: Run, config: Settings) -> optax.GradientTransformation:
    """Adam and decay that follows the schedule, but not the learning rate."""
    size = scaled(run.decay, config)
    decay = jaxreg.add_penalty(jaxreg.SquaredL2(0.5), jaxreg.kernels, step_size=size)
    adam = optax.adam(scaled(run.learning_rate, config), b2=B2)
    return optax.chain(clipping(config), adam, decay)


def cautious(run: Run, config: Settings) -> optax.GradientTransformation:
    """Adam and decay of the weights that Adam makes smaller."""
    penalty = jaxreg.SquaredL2(run.decay / 2)
    decay = jaxreg.add_penalty(penalty, jaxreg.kernels, cautious=True)
    rate = optax.scale_by_learning_rate(scaled(run.learning_rate, config))
    return optax.chain(clipping(config), optax.scale_by_adam(b2=B2), decay, rate)


def muon(run: Run, config: Settings) -> optax.GradientTransformation:
    """Muon for the block weights, AdamW for the rest."""
    from optax import contrib

    def matrices(params: Any) -> Any:
        def axes(path: tuple[Any, ...], leaf: jax.Array, inside: bool) -> Any:
            if not inside or leaf.ndim == 2:
                return contrib.MuonDimensionNumbers() if inside else None
            to_heads = "out" not in (getattr(key, "key", "") for key in path)
            return contrib.MuonDimensionNumbers(*(((0,), (1, 2)) if to_heads else ((0, 1), (2,))))

        return jax.tree_util.tree_map_with_path(axes, params, blocks(params))

    decayed = contrib.muon(
        scaled(run.learning_rate, config),
        weight_decay=run.decay,
        adam_weight_decay=run.decay,
        weight_decay_mask=jaxreg.kernels,
        adam_b2=B2,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,
    )
    return optax.chain(clipping(config), decayed)


def penalty_of(name: str, strength: Any, config: Settings) -> jaxreg.Penalty:
    """A penalty by its name."""
    if name == "log-sum":
        return jaxreg.LogSum(strength, config.scale)
    return jaxreg.L1(strength) if name == "L1" else jaxreg.L0(strength)


class SquaresState(NamedTuple):
    """The step count, the running mean of squared gradients, and the state of the wrapped
    optimizer.
    """

    count: jax.Array  # type: ignore[assignment]  # tuples have a method of that name
    squares: Any
    inner: Any


def metric_of(state: SquaresState) -> Any:
    """The metric that Adam would have: the root mean square of the gradients."""
    return jax.tree.map(lambda s: jnp.sqrt(s / (1 - B2**state.count)) + 1e-8, state.squares)


def with_squares(
    optimizer: optax.GradientTransformation, penalty: Any = None, rate: Any = None
) -> optax.GradientTransformationExtraArgs:
    """An optimizer that also remembers squared gradients, and after each step takes a proximal step
    of a penalty on the block weights in their metric.
    """

    def init(params: Any) -> SquaresState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return SquaresState(jnp.zeros([], jnp.int32), zeros, optimizer.init(params))

    def update(
        gradient: Any, state: SquaresState, params: Any = None, **_: Any
    ) -> tuple[Any, SquaresState]:
        squares = jax.tree.map(
            lambda s, g: B2 * s + (1 - B2) * jnp.square(g), state.squares, gradient
        )
        updates, inner = optimizer.update(gradient, state.inner, params)
        after = SquaresState(state.count + 1, squares, inner)
        if penalty is None:
            return updates, after
        now = penalty.at(state.count)

        def step(move: jax.Array, w: jax.Array, d: jax.Array, inside: bool) -> jax.Array:
            return now.prox(w + move, rate(state.count) / d) - w if inside else move

        return jax.tree.map(step, updates, params, metric_of(after), blocks(params)), after

    return optax.GradientTransformationExtraArgs(init, update)


def penalised(
    name: str, strength: Any, run: Run, config: Settings, base: str, plain: bool = False
) -> optax.GradientTransformation:
    """AdamW with a penalty in its own metric, or another optimizer and then a proximal step."""
    penalty, rate = penalty_of(name, strength, config), scaled(run.learning_rate, config)
    if base == ADAMW:
        shrink = 1.0 if name == "L1" else None
        return transformer.prox_adamw(run, penalty, config, blocks, shrink)
    first = OPTIMIZERS[base](run, config)
    if plain:
        return optax.chain(first, jaxreg.proximal_step(penalty, rate, blocks))
    return with_squares(first, penalty, rate)


def steered(name: str, base: str = ADAMW, plain: bool = False) -> Method:
    """A penalty whose strength is steered to a share, until zeros are held."""

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        def with_strength(strength: optax.Schedule) -> optax.GradientTransformation:
            return penalised(name, strength, run, config, base, plain)

        return transformer.steered(with_strength, run.share, config, mask=blocks)

    return Method(f"{name}{AFTER[base]}{PLAIN * plain}{STEERED}", optimizer, base, largest_blocks)


def constant(name: str) -> Method:
    """A penalty with a constant strength."""

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        return penalised(name, run.strength, run, config, ADAMW)

    return Method(name + CONSTANT, optimizer, ADAMW)


def pruned(name: str, base: str = ADAMW, in_metric: bool = False) -> Method:
    """Gradual pruning of the network that an optimizer trains."""

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        begin, reached = transformer.pruning_steps(config)
        metric = metric_of if in_metric else None
        tx = with_squares(OPTIMIZERS[base](run, config))
        return prune_gradually(tx, run.share, reached, metric, begin=begin, mask=blocks)

    return Method(f"{name}{AFTER[base]}", optimizer, base, largest_blocks)


def top(run: Run, config: Settings) -> optax.GradientTransformation:
    """The largest weights of each matrix at every step, fewer and fewer for half of the steps."""
    return keep_largest_always(adamw(run, config), run.share, config.steps // 2, blocks)


def with_hyperbolic_steps(run: Run, config: Settings) -> optax.GradientTransformation:
    """AdamW with a hyperbolic step after each of its own."""
    rate = scaled(run.learning_rate, config)
    return hyperbolic(adamw(run, config), rate, config.alpha, blocks)


OPTIMIZERS: Mapping[str, Callable[[Run, Settings], optax.GradientTransformation]] = {
    ADAMW: adamw,
    COUPLED: coupled,
    INDEPENDENT: independent,
    CAUTIOUS: cautious,
    HYPERBOLIC: with_hyperbolic_steps,
    MUON: muon,
}
RIVAL_METHODS: Mapping[Rival, tuple[Method, ...]] = {
    "magnitude": (pruned(MAGNITUDE), pruned(MAGNITUDE, MUON)),
    "metric": (pruned(METRIC, in_metric=True), pruned(METRIC, MUON, True)),
    "top": (Method(TOP, top, ADAMW, largest_blocks),),
    "hyperbolic": (pruned(MAGNITUDE, HYPERBOLIC),),
}


def dense_methods(config: Settings) -> list[Method]:
    """The dense baselines."""
    names = dict(zip(get_args(Baseline), OPTIMIZERS, strict=True))
    return [Method(names[name], OPTIMIZERS[names[name]]) for name in config.baselines]


def sparse_methods(config: Settings, bases: Sequence[str]) -> list[Method]:
    """The methods with a target, in the order of their dense baselines."""
    methods = [steered(name, base) for base in bases for name in config.penalties]
    if "log-sum" in config.penalties:
        methods.append(steered("log-sum", MUON, plain=True))
    methods += itertools.chain.from_iterable(RIVAL_METHODS[name] for name in config.rivals)
    kept = [method for method in methods if method.base in bases]
    return sorted(kept, key=lambda method: bases.index(method.base))


def heads_of(width: int, config: Settings) -> int:
    """The number of heads of a dense network: the largest one that divides its width and is not
    above that of the large network.
    """
    return max(count for count in range(1, config.heads + 1) if width % count == 0)


def as_many(config: Settings, vocabulary: int, share: float) -> Sizes:
    """The sizes of the dense network with as many parameters as a sparse one has nonzero ones.

    Its hidden layers have about four times its width, as those of the large network have.
    """
    inside = config.layers * 12 * config.width**2
    large = count_weights(config, vocabulary, transformer.sizes_of(config))
    wanted = large - round((1 - share) * inside)

    def count(width: int, hidden: int) -> int:
        return count_weights(config, vocabulary, sizes(width, hidden))

    def sizes(width: int, hidden: int) -> Sizes:
        heads, layers = heads_of(width, config), config.layers
        return Sizes(width, (heads,) * layers, width // heads, (hidden,) * layers)

    step = 2 if config.width <= 64 else config.heads
    widths = range(step, config.width + 1, step)
    width = max((width for width in widths if count(width, 4 * width) <= wanted), default=step)
    left, unit = wanted - count(width, 0), count(width, 1) - count(width, 0)
    return sizes(width, max(1, math.ceil(left / unit)))


TEXTS = transformer.TEXTS | {
    "decay": ("strength of the decay, in the unit of the method", "1"),
    "strength": ("constant λ; 0 where there is none", "nats per unit of the penalty"),
    "share": ("share of the block weights that the method had to keep", "1"),
}
LABELS = ("learning_rate", "decay", "strength", "share")


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method.

    Returns:
        Along (setting, seed): bits per byte and shares of weights kept. NaN for seeds beyond a
        setting's `repeats`, and for networks that diverged.
    """
    text = transformer.load_text(config)
    vocabulary = len(text.vocabulary)
    fit = functools.partial(transformer.train_network, vocabulary=vocabulary, half=config.half)
    rows = transformer.rows_of(text, config)
    trials = Trials(session, fit_of(fit, config), rows, "validation_bits", largest=False)
    values = {COUPLED: config.coupled, INDEPENDENT: config.independent}
    chosen: dict[str, Run] = {}
    for method in dense_methods(config):
        rates = config.muon_rates if method.name == MUON else config.learning_rates
        first, *others = values.get(method.name, config.decay)
        best = trials.choose(method, [Run(rate, first) for rate in rates])
        tried = [best, *(best._replace(decay=other) for other in others)]
        chosen[method.name] = trials.choose(method, tried)
        trials.train(method, [chosen[method.name]], config.seeds)
    bases = [base for base in AFTER if base in chosen]
    for method in sparse_methods(config, bases):
        rates = config.muon_rates if method.base == MUON else config.learning_rates
        decay = chosen[method.base].decay
        runs = [Run(rate, decay, share=config.rate_share) for rate in rates]
        best = trials.choose(method, runs)
        targets = [best._replace(share=share) for share in config.shares]
        trials.train(method, targets, config.seeds)
        name = method.name.removesuffix(STEERED)
        if method.base == ADAMW and name in PENALTIES:
            grid = getattr(config, name.lower().replace("-", "_"))
            fixed = [best._replace(share=1.0, strength=value) for value in grid]
            trials.train(constant(name), fixed, config.seeds)
    for share, base in itertools.product(config.shares, bases):
        sizes = as_many(config, vocabulary, share)
        small = Method(f"{SMALL[base]} at {100 * share:g} %", OPTIMIZERS[base], sizes=sizes)
        rates = config.muon_rates if base == MUON else config.learning_rates
        runs = [Run(rate, chosen[base].decay, share=share) for rate in rates]
        trials.train(small, [trials.choose(small, runs)], config.seeds)
    return trials.dataset(TEXTS, (), LABELS, transformer.attributes_of(text, config))


class Point(NamedTuple):
    """One setting of one method.

    Attributes:
        label: the setting in a few words.
        share: the share of block weights that was wanted.
        kept: the share that is not 0 (seeds,).
        validation: bits per byte of validation text (seeds,).
        test: bits per byte of test text (seeds,).
        nonzeros: number of parameters that are not 0 (seeds,).
    """

    label: str
    share: float
    kept: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    nonzeros: np.ndarray


def points_of(results: Results) -> dict[str, list[Point]]:
    """The compared settings of every method."""
    dataset = results["language"]
    points: dict[str, list[Point]] = {}
    for setting in range(dataset.sizes["setting"]):
        row = dataset.isel(setting=setting)
        if row["role"] != MAIN:
            continue
        row = row.isel(seed=slice(int(row["repeats"])))
        label = f"rate {float(row['learning_rate']):.3g}, decay {float(row['decay']):.3g}"
        if row["strength"] > 0:
            label += f", λ = {float(row['strength']):.2g}"
        names = ("kept", "validation_bits", "test_bits", "nonzeros")
        numbers = (row[name].values.astype(float) for name in names)
        point = Point(label, round(float(row["share"]), 6), *numbers)
        # Small networks have a method of their own for each share.
        method = str(row["method"].values)
        method = next((name for name in SMALL.values() if method.startswith(name)), method)
        points.setdefault(method, []).append(point)
    return points


def at(points: Mapping[str, Sequence[Point]], method: str, share: float) -> Point:
    """The point of a method at a wanted share."""
    return next(point for point in points[method] if np.isclose(point.share, share))


def best_of(
    points: Mapping[str, Sequence[Point]], methods: Sequence[str], share: float
) -> tuple[str, Point]:
    """The method with the fewest bits per byte of validation text at a share, among those that were
    trained; the first if none was measured.
    """
    methods = [name for name in methods if name in points]
    means = [at(points, name, share).validation.mean() for name in methods]
    name = methods[int(np.argmin(np.nan_to_num(means, nan=np.inf)))]
    return name, at(points, name, share)


def shares_of(points: Mapping[str, Sequence[Point]]) -> list[float]:
    """The wanted shares, from large to small."""
    return sorted({point.share for point in points[SMALL[ADAMW]]}, reverse=True)


NO_WORSE = 0.01
"""Bits per byte within which two networks count as equally good."""


def difference(
    statement: str, ours: tuple[str, Point], theirs: tuple[str, Point], share: float
) -> Finding:
    """Tests that the first network needs fewer bits than the second."""
    tested = (
        f"Bits per byte of test text of {theirs[0]}, {theirs[1].test.mean():.3f}, minus those of "
        f"{ours[0]}, {ours[1].test.mean():.3f}, with {100 * share:g} % of the block weights; both "
        "chosen by validation text"
    )
    gain = theirs[1].test - ours[1].test
    return above(statement, tested, gain, 0.0, "bits", 3, sign=True)


def as_good(results: Results) -> list[Finding]:
    """The steered penalties at the largest share against the dense baselines."""
    points = points_of(results)
    share, findings = shares_of(points)[0], []
    compared = ((ADAMW, OURS), (ADAMW, OURS_HAM), (HYPERBOLIC, OURS_HAM), (MUON, OURS_MUON))
    for base, methods in compared:
        if not points.keys() & set(methods):
            continue
        name, point = best_of(points, methods, share)
        dense = points[base][0]
        after = next(after for after in reversed(AFTER.values()) if after in name)
        findings.append(
            below(
                f"With {100 * share:g} % of the block weights a steered penalty{after} is no worse "
                f"than {base}.",
                f"Bits per byte of test text of {name}, {point.test.mean():.3f}, minus those of "
                f"{base}, {dense.test.mean():.3f} ({dense.label}); below {NO_WORSE}",
                point.test - dense.test,
                NO_WORSE,
                "bits",
                3,
                sign=True,
            )
        )
    return findings


def sparse_against_small(results: Results) -> list[Finding]:
    """The best steered penalty against the dense network with as many weights, at each share."""
    points = points_of(results)
    return [
        difference(
            f"By {base}, a sparse network with {100 * share:g} % of the block weights beats a "
            "dense one with as many weights.",
            best_of(points, methods, share),
            (SMALL[base], at(points, SMALL[base], share)),
            share,
        )
        for share in shares_of(points)
        for base, methods in zip(AFTER, (OURS, OURS_HAM, OURS_MUON), strict=True)
        if base in points
    ]


def against_pruning(results: Results) -> list[Finding]:
    """The best steered penalty against each rival, at each share."""
    points = points_of(results)
    findings = []
    for share, (methods, rivals) in itertools.product(
        shares_of(points), ((OURS, RIVALS), (OURS_HAM, RIVALS), (OURS_MUON, RIVALS_MUON))
    ):
        if not points.keys() & set(methods):
            continue
        ours = best_of(points, methods, share)
        findings += [
            difference(
                f"{ours[0]} beats {rival} at {100 * share:g} %.",
                ours,
                (rival, at(points, rival, share)),
                share,
            )
            for rival in rivals
            if rival in points
        ]
    return findings


def tabulate(results: Results) -> list[Table | str]:
    """Bits per byte of the dense networks, of every method at every share, and of constant
    strengths.
    """
    points = points_of(results)
    targets = shares_of(points)
    dense = [
        (name, points[name][0].label, mean_text(points[name][0].test))
        for name in OPTIMIZERS
        if name in points
    ]
    sparse = [
        (name, *(mean_text(at(points, name, share).test) for share in targets))
        for name, (point, *_) in points.items()
        if point.share < 1
    ]
    fixed = [
        (name, point.label, f"{100 * abs(point.kept.mean()):.1f}", mean_text(point.test))
        for name in (f"{penalty}{CONSTANT}" for penalty in PENALTIES)
        for point in points.get(name, ())
    ]
    return [
        transformer.sentence_of(results["language"].attrs),
        Table(
            ("dense", "setting", "bits per byte"),
            dense,
            "Bits per byte of test text, mean ± standard error over the seeds.",
        ),
        Table(
            ("block weights kept", *(f"{100 * share:g} %" for share in targets)),
            sparse,
            "Bits per byte of test text at each share, mean ± standard error over the seeds.",
        ),
        Table(
            ("constant strength", "setting", "kept, %", "bits per byte"),
            fixed,
            "Constant strengths, by AdamW.",
        ),
    ]


STYLES = {
    ADAMW: {
        OURS[0]: (COLOURS["L1"], "o", "-"),
        OURS[1]: (COLOURS["log-sum"], "s", "-"),
        OURS[2]: (COLOURS["L0"], "^", "-"),
        MAGNITUDE: ("#888888", "v", "--"),
        METRIC: ("#444444", "D", "--"),
        TOP: ("#888888", "x", ":"),
        SMALL[ADAMW]: (COLOURS["elastic net"], "*", "-."),
    },
    HYPERBOLIC: {
        OURS_HAM[0]: (COLOURS["L1"], "o", "-"),
        OURS_HAM[1]: (COLOURS["log-sum"], "s", "-"),
        OURS_HAM[2]: (COLOURS["L0"], "^", "-"),
        HAM: ("#888888", "v", "--"),
        SMALL[HYPERBOLIC]: (COLOURS["elastic net"], "*", "-."),
    },
    MUON: {
        OURS_MUON[0]: (COLOURS["L1"], "o", "-"),
        OURS_MUON[1]: (COLOURS["log-sum"], "s", "-"),
        OURS_MUON[2]: (COLOURS["L0"], "^", "-"),
        PLAIN_MUON: (COLOURS["bridge"], "s", ":"),
        RIVALS_MUON[0]: ("#888888", "v", "--"),
        RIVALS_MUON[1]: ("#444444", "D", "--"),
        SMALL[MUON]: (COLOURS["elastic net"], "*", "-."),
    },
}


def draw_curves(results: Results, shown: Sequence[str]) -> Figure:
    """Bits per byte of some methods against the share of weights kept, and the dense baseline as a
    band.
    """
    points = points_of(results)
    figure = new_figure(13.5, 6.6)
    bases = [base for base in STYLES if base in points]
    panels = figure.subplots(1, len(bases), sharey=True, squeeze=False)[0]
    for axes, base in zip(panels, bases, strict=True):
        for method, (colour, marker, line) in STYLES[base].items():
            measured = points.get(method, ()) if method in shown else ()
            drawn = [p for p in measured if np.isfinite(p.test).all()]
            if not drawn:
                continue
            mean, error = np.array([mean_and_error(point.test) for point in drawn]).T
            style: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "ls": line,
                "ms": 5,
                "lw": 1.3,
            }
            places = [100 * point.share for point in drawn]
            axes.errorbar(places, mean, error, label=method, capsize=2, **style)
        mean, error = mean_and_error(points[base][0].test)
        axes.axhspan(
            mean - error,
            mean + error,
            color=COLOURS["none"],
            alpha=0.3,
            lw=0,
            label=f"{base}, dense",
        )
        ticks = [100 * share for share in shares_of(points)]
        axes.set(xscale="log", xlabel="block weights kept, % (fewer to the right)", title=base)
        axes.set_xlim(1.25 * max(ticks), 0.8 * min(ticks))
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    panels[0].set_ylabel("bits per byte of test text")
    return figure


CAPTION = (
    "Bits per byte of test text (fewer are better) against the share of the block weights that are "
    "kept, mean ± standard error over the seeds; the band is the dense network."
)
CLAIMS = (
    Claim(
        "half",
        "Half of the weights",
        "A network that keeps half of its block weights is as good as the dense one.",
        as_good,
        functools.partial(draw_curves, shown=(*OURS, *OURS_HAM, *OURS_MUON, PLAIN_MUON)),
        CAPTION,
    ),
    Claim(
        "large-sparse",
        "Large and sparse against small and dense",
        "A large sparse model beats a small dense one with as many weights.",
        sparse_against_small,
        functools.partial(draw_curves, shown=(*OURS, *OURS_HAM, *OURS_MUON, *SMALL.values())),
        f"{CAPTION} Stars are dense networks with as many parameters as the sparse ones have "
        "nonzero ones, embeddings and head included.",
    ),
    Claim(
        "pruning",
        "Penalties against pruning of transformers",
        "A penalty whose strength is steered needs fewer bits than pruning with as many weights.",
        against_pruning,
        functools.partial(
            draw_curves, shown=(*OURS, *OURS_HAM, *RIVALS, *OURS_MUON, PLAIN_MUON, *RIVALS_MUON)
        ),
        f"{CAPTION} Left: penalties in AdamW's metric, and rivals on AdamW. Middle: all with "
        "hyperbolic steps. Right: a proximal step after Muon, in Adam's metric or with a plain "
        "threshold, and pruning of Muon's network.",
    ),
)

STUDY = Study(
    name="language",
    summary="Bits per byte against weights kept, of a small GPT",
    description="Compares sparse training of a transformer by penalties (L1, log-sum and L0, in "
    "AdamW's metric, after hyperbolic steps and after Muon) with six dense baselines, with four "
    "ways of pruning, and with dense networks of as many weights, on the text of the King James "
    "Bible or on any file.",
    settings=Settings(),
    sweeps={"language": train_networks},
    claims=CLAIMS,
    tabulate=tabulate,
    variant=lambda config: "-".join(
        [Path(config.text).stem] * (config.text != BIBLE) + ["gpu"] * (config.preset == "gpu")
    ),
    check=transformer.load_text,
    adapt=defaults,
)
