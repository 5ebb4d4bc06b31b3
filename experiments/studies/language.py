"""Bits per byte against the share of weights kept, of a small GPT that reads bytes of a text.

All methods have the same number of steps, clip, warm-up and cosine. A learning rate and a decay are
chosen for each baseline by validation text, with the first seed; a method that takes a share of the
block weights (attention and perceptrons, without embeddings, norms and head) chooses its learning
rate at `rate_share`, with the decay of its dense baseline, and uses it for every share. A steered
penalty ends at `released`: from then on no weight that is 0 changes, and the others are trained on
without it. Pruning has reached its share when steering has, and its zeros stay anyway. A dense
network "with as many weights" has as many parameters as the sparse one has nonzero ones, all
counted, or a few more.

Muon has no metric D. After it a penalty is applied either with a plain threshold of learning rate ×
λ, or in the metric that Adam would have, the root mean square of the gradients: then the threshold
is larger where the loss depends less on a weight. Neither minimises a penalised loss, so λ means
nothing by itself, and only its steering makes sense.

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

from experiments import datasets
from experiments.claims import NOT_MEASURED, Finding, above, below, mean_and_error
from experiments.figures import COLOURS, new_figure
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Figure, jax, jaxreg, jnp, networks, nnx, optax, xr
from experiments.rivals import hyperbolic, keep_largest_always, prune_gradually
from experiments.settings import SettingError, at_least, positive, require, shares, strengths
from experiments.tables import Table
from experiments.trials import MAIN, Trials, fit_of

if TYPE_CHECKING:
    from jax.typing import ArrayLike

BIBLE = "bible"
"""Name of the text that needs no file."""
Penalty = Literal["L1", "log-sum", "L0"]
"""Names of the penalties."""
Rival = Literal["magnitude", "metric", "top", "hyperbolic"]
"""Names of the ways of pruning."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Bits per byte against the share of weights kept, of a small GPT: penalties, pruning and small
    dense networks.
    """

    text: str = BIBLE
    """bible (Debian's bible-kjv and bible-kjv-text), or a file of any text."""
    preset: Literal["cpu", "gpu"] = "cpu"
    """cpu is a network of 0.1 million weights; gpu one of 29 million in bfloat16 with float32
    master weights, fewer settings and one seed.
    """
    layers: int = 2
    """Number of blocks."""
    width: int = 48
    """Width of the stream between blocks; hidden layers have four times as many units."""
    heads: int = 4
    """Number of heads of each block."""
    context: int = 32
    """Bytes that the network sees at once."""
    batch_size: int = 8
    """Rows of that many bytes in a batch."""
    steps: int = 1200
    """Steps of every network."""
    warm_up: float = 0.05
    """The part of the steps in which the learning rate grows; then it falls along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    half: bool = False
    """Whether weights are bfloat16, with float32 copies in the optimizer."""
    reached: float = 0.8
    """The part of the steps after which a share is reached, by steering and by pruning."""
    released: float = 0.85
    """The part of the steps after which there is no penalty, and zeros are held."""
    seeds: int = 3
    """Number of repetitions, each with its own initial weights and batches."""
    evaluated: int = 1024
    """Rows of validation and of test text, evenly spaced."""
    learning_rates: tuple[float, ...] = (4e-3, 8e-3)
    """Learning rates to choose from, for Adam and its relatives."""
    muon_rates: tuple[float, ...] = (1.6e-2, 3.2e-2)
    """Learning rates to choose from, for Muon, whose updates have Adam's size."""
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
        at_least(self, layers=1, width=4, heads=1, context=2, batch_size=1, steps=10, seeds=2)
        at_least(self, evaluated=1, decay=0, coupled=0, alpha=0)
        positive(self, "clip", "learning_rates", "muon_rates", "scale", "l1", "log_sum", "l0")
        positive(self, "independent")
        for name in ("penalties", "rivals"):
            values = getattr(self, name)
            require(0 < len(values) == len(set(values)), name, "one or several", values)
        shares(self, "shares", "warm_up", "reached", "released", "rate_share")
        ordered = self.warm_up < self.reached <= self.released
        require(ordered, "released", "at least reached, and that above warm-up", self.released)
        divides = self.width % self.heads == 0
        require(divides, "heads", f"a divisor of the width {self.width}", self.heads)


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
            layers=1,
            width=16,
            heads=2,
            context=16,
            steps=40,
            evaluated=16,
            learning_rates=(8e-3,),
            muon_rates=(1.6e-2,),
            decay=(0.1,),
            coupled=(1e-5,),
            independent=(1e-3,),
            penalties=("log-sum",),
            rivals=("magnitude",),
            shares=(0.5, 0.1),
            l1=(1e-3,),
            log_sum=(1e-3,),
            l0=(1e-3,),
            seeds=2,
        )
    return config


def load_text(config: Settings) -> datasets.Text:
    """Loads the text that the settings name.

    Raises:
        SettingError: there is no such file, or too little text.
    """
    if config.text == BIBLE:
        content = datasets.bible()
    else:
        try:
            content = Path(config.text).expanduser().read_bytes()
        except OSError as error:
            raise SettingError(f"text: expected {BIBLE} or a file, got {error}") from error
    needed = datasets.PIECES * (config.context + 1)
    require(len(content) >= needed, "text", f"at least {needed} bytes", len(content))
    return datasets.split_text(content)


class Rows(NamedTuple):
    """What a network is trained and evaluated on, all uint8.

    Attributes:
        train: the training text (bytes,).
        validation: rows of validation text (rows, context + 1).
        test: rows of test text (rows, context + 1).
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def rows_of(text: datasets.Text, config: Settings) -> Rows:
    """The training text, and evenly spaced rows of the others."""

    def spaced(part: np.ndarray) -> np.ndarray:
        starts = np.linspace(0, part.size - config.context - 1, config.evaluated).astype(int)
        return part[starts[:, None] + np.arange(config.context + 1)]

    return Rows(text.train, spaced(text.validation), spaced(text.test))


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


class Sizes(NamedTuple):
    """The sizes of a dense network: the stream's width and the hidden units of each block."""

    width: int
    hidden: int


class Method(NamedTuple):
    """What trains a network.

    Attributes:
        name: name of the method.
        optimizer: from the hyperparameters and the settings to the optimizer.
        base: the dense baseline that it belongs to, whose decay it uses.
        target: whether the share of weights to keep is an input of the method.
        sizes: of the network, if it is smaller than that of the settings.
    """

    name: str
    optimizer: Callable[[Run, Settings], optax.GradientTransformation]
    base: str = ""
    target: bool = False
    sizes: Sizes | None = None


ADAMW, MUON = "AdamW", "Muon"
COUPLED, INDEPENDENT = "Adam, coupled L2", "Adam, decay independent of the rate"
CAUTIOUS = "Adam, cautious decay"
SMALL, SMALL_MUON = "AdamW, as many weights", "Muon, as many weights"
STEERED, CONSTANT, AFTER_MUON = ", steered", ", constant", " after Muon"
MAGNITUDE, METRIC = "gradual magnitude pruning", "gradual pruning by |w|√D"
TOP, HAM = "largest of each matrix at every step", "hyperbolic steps and magnitude pruning"
PENALTIES = get_args(Penalty)
OURS = tuple(f"{name}{STEERED}" for name in PENALTIES)
IN_METRIC = " in Adam's metric"
OURS_MUON = tuple(f"{name}{AFTER_MUON}{IN_METRIC}{STEERED}" for name in PENALTIES)
PLAIN_MUON = f"log-sum{AFTER_MUON}{STEERED}"
RIVALS = (MAGNITUDE, METRIC, TOP, HAM)
RIVALS_MUON = (f"{MAGNITUDE}{AFTER_MUON}", f"{METRIC}{AFTER_MUON}")
B2 = 0.99
"""Adam's decay of squared gradients; fewer steps than usual need a shorter memory."""


def blocks(params: Any) -> Any:
    """The mask of the block weights."""
    return (jaxreg.kernels & jaxreg.matching("blocks"))(params)


def shape(config: Settings) -> optax.Schedule:
    """The schedule with peak 1."""
    first = max(1, round(config.warm_up * config.steps))
    return optax.warmup_cosine_decay_schedule(1 / first, 1.0, first, config.steps, 1e-3)


def scaled(factor: ArrayLike, config: Settings) -> optax.Schedule:
    """The schedule with another peak."""
    schedule = shape(config)
    return lambda count: jnp.asarray(factor) * schedule(count)


def clipping(config: Settings) -> optax.GradientTransformation:
    """The clip of every method."""
    return optax.clip_by_global_norm(config.clip)


def adamw(run: Run, config: Settings) -> optax.GradientTransformation:
    """AdamW with decay on the kernels."""
    rate = scaled(run.learning_rate, config)
    decayed = optax.adamw(rate, b2=B2, weight_decay=run.decay, mask=jaxreg.kernels)
    return optax.chain(clipping(config), decayed)


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
    name: str, strength: Any, run: Run, config: Settings, after_muon: bool, in_metric: bool
) -> optax.GradientTransformation:
    """AdamW with a penalty in its own metric, or Muon and then a proximal step."""
    penalty = penalty_of(name, strength, config)
    if after_muon:
        rate = scaled(run.learning_rate, config)
        if in_metric:
            return with_squares(muon(run, config), penalty, rate)
        return optax.chain(muon(run, config), jaxreg.proximal_step(penalty, rate, blocks))
    return jaxreg.prox_adamw(
        scaled(run.learning_rate, config),
        penalty,
        b2=B2,
        weight_decay=run.decay,
        weight_decay_mask=jaxreg.kernels,
        mask=blocks,
        max_shrink=1.0 if name == "L1" else None,
        clip=clipping(config),
    )


def steered(name: str, after_muon: bool = False, in_metric: bool = False) -> Method:
    """A penalty whose strength is steered to a share, until zeros are held."""

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        begin, reached, released = (
            round(part * config.steps) for part in (config.warm_up, config.reached, config.released)
        )

        def with_strength(strength: jax.Array) -> optax.GradientTransformation:
            def until_released(count: ArrayLike) -> ArrayLike:
                return jnp.where(jnp.asarray(count) < released, strength, 0)

            return penalised(name, until_released, run, config, after_muon, in_metric)

        part = (reached - begin) / (released - begin)
        tx = jaxreg.steer_strength(
            with_strength, run.share, released, begin=begin, reached=part, mask=blocks
        )
        return held_after(tx, released)

    label = f"{name}{AFTER_MUON * after_muon}{IN_METRIC * in_metric}{STEERED}"
    return Method(label, optimizer, MUON if after_muon else ADAMW, True)


def held_after(
    optimizer: optax.GradientTransformationExtraArgs, step: int
) -> optax.GradientTransformationExtraArgs:
    """An optimizer with the state of `steer_strength`, but from a step on no block weight that is 0
    changes.
    """

    def update(
        updates: Any, state: jaxreg.SteeredState, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        held = state.controller.count >= step
        moves, state = optimizer.update(updates, state, params, **extra)

        def hold(move: jax.Array, weight: jax.Array, inside: bool) -> jax.Array:
            return jnp.where(held & (weight == 0), 0, move) if inside else move

        return jax.tree.map(hold, moves, params, blocks(params)), state

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def constant(name: str) -> Method:
    """A penalty with a constant strength."""

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        return penalised(name, run.strength, run, config, after_muon=False, in_metric=False)

    return Method(name + CONSTANT, optimizer, ADAMW)


def pruned(
    name: str,
    base: Callable[[Run, Settings], optax.GradientTransformation],
    in_metric: bool = False,
    of: str = ADAMW,
) -> Method:
    """Gradual pruning of the network that an optimizer trains."""

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        begin, reached = (round(part * config.steps) for part in (config.warm_up, config.reached))
        metric = metric_of if in_metric else None
        tx = with_squares(base(run, config))
        return prune_gradually(tx, run.share, reached, metric, begin=begin, mask=blocks)

    return Method(name, optimizer, of, True)


def top(run: Run, config: Settings) -> optax.GradientTransformation:
    """The largest weights of each matrix at every step, fewer and fewer for half of the steps."""
    return keep_largest_always(adamw(run, config), run.share, config.steps // 2, blocks)


def with_hyperbolic_steps(run: Run, config: Settings) -> optax.GradientTransformation:
    """AdamW with a hyperbolic step after each of its own."""
    rate = scaled(run.learning_rate, config)
    return hyperbolic(adamw(run, config), rate, config.alpha, blocks)


DENSE = (
    Method(ADAMW, adamw),
    Method(COUPLED, coupled),
    Method(INDEPENDENT, independent),
    Method(CAUTIOUS, cautious),
    Method(MUON, muon),
)
RIVAL_METHODS: Mapping[Rival, tuple[Method, ...]] = {
    "magnitude": (pruned(MAGNITUDE, adamw), pruned(RIVALS_MUON[0], muon, of=MUON)),
    "metric": (pruned(METRIC, adamw, True), pruned(RIVALS_MUON[1], muon, True, MUON)),
    "top": (Method(TOP, top, ADAMW, True),),
    "hyperbolic": (pruned(HAM, with_hyperbolic_steps),),
}


def sparse_methods(config: Settings) -> list[Method]:
    """The methods with a target, those after Muon last."""
    methods = [
        method
        for name in config.penalties
        for method in (steered(name), steered(name, after_muon=True, in_metric=True))
    ]
    if "log-sum" in config.penalties:
        methods.append(steered("log-sum", after_muon=True))
    methods += itertools.chain.from_iterable(RIVAL_METHODS[name] for name in config.rivals)
    return sorted(methods, key=lambda method: method.base == MUON)


def network_of(config: Settings, sizes: Sizes | None, vocabulary: int, key: jax.Array) -> Any:
    """The graph definition and the initial parameters of a network."""
    width, hidden = sizes or Sizes(config.width, 4 * config.width)
    # A narrow network has heads of the size of the large one's, or a single one.
    heads = config.heads if sizes is None else heads_of(width, config)
    model = networks.GPT(
        vocabulary,
        config.context,
        width,
        (heads,) * config.layers,
        width // heads,
        (hidden,) * config.layers,
        rngs=nnx.Rngs(key),
    )
    return nnx.split(model, nnx.Param)


def heads_of(width: int, config: Settings) -> int:
    """The number of heads of a dense network: the largest one that divides its width and is not
    above that of the large network.
    """
    return max(count for count in range(1, config.heads + 1) if width % count == 0)


def count_weights(config: Settings, vocabulary: int, sizes: Sizes) -> int:
    """Number of parameters of a network, all counted."""
    width, hidden = sizes
    norms, biases = 4 * width, 4 * width + hidden + width
    block = 4 * width**2 + 2 * width * hidden + norms + biases
    return (2 * vocabulary + config.context) * width + 2 * width + config.layers * block


def as_many(config: Settings, vocabulary: int, share: float) -> Sizes:
    """The sizes of the dense network with as many parameters as a sparse one has nonzero ones.

    Its hidden layers have about four times its width, as those of the large network have.
    """
    large = Sizes(config.width, 4 * config.width)
    inside = config.layers * 12 * config.width**2
    wanted = count_weights(config, vocabulary, large) - round((1 - share) * inside)
    step = 2 if config.width <= 64 else config.heads
    width = max(
        (
            width
            for width in range(step, config.width + 1, step)
            if count_weights(config, vocabulary, Sizes(width, 4 * width)) <= wanted
        ),
        default=step,
    )
    unit = count_weights(config, vocabulary, Sizes(width, 1)) - count_weights(
        config, vocabulary, Sizes(width, 0)
    )
    left = wanted - count_weights(config, vocabulary, Sizes(width, 0))
    return Sizes(width, max(1, math.ceil(left / unit)))


def train_network(
    _: jax.Array, run: Run, rows: Rows, *, method: Method, config: Settings, vocabulary: int
) -> dict[str, jax.Array]:
    """Trains and evaluates one network.

    Returns:
        Scalars; NaN if the network diverged.
    """
    model_key, order_key = jax.random.split(jax.random.key(run.seed))
    structure, params = network_of(config, method.sizes, vocabulary, model_key)
    tx = method.optimizer(run, config)
    if config.half:
        params, tx = (
            jax.tree.map(lambda w: w.astype(jnp.bfloat16), params),
            jaxreg.master_weights(tx),
        )

    def bits(params: Any, tokens: jax.Array) -> jax.Array:
        logits = nnx.merge(structure, params)(tokens[:, :-1]).astype(jnp.float32)
        nats = optax.losses.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
        return nats.mean() / math.log(2)

    def step(carry: Any, key: jax.Array) -> tuple[Any, Any]:
        params, state = carry
        last = rows.train.shape[0] - config.context - 1
        starts = jax.random.randint(key, (config.batch_size, 1), 0, last)
        tokens = jnp.asarray(rows.train)[starts + jnp.arange(config.context + 1)].astype(int)
        # Strengths are in nats, as the loss is.
        gradient = jax.grad(lambda w: math.log(2) * bits(w, tokens))(params)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(order_key, config.steps)
    start: Any = (params, tx.init(params))
    (params, state), _ = jax.lax.scan(step, start, keys)
    if method.target:
        params = jaxreg.keep_largest(params, run.share, mask=blocks)
    evaluated = {
        f"{name}_bits": jnp.mean(
            jax.lax.map(
                lambda row: bits(params, row[None].astype(int)), part, batch_size=config.batch_size
            )
        )
        for name, part in (("validation", rows.validation), ("test", rows.test))
    }
    steered_states = jax.tree.leaves(
        state, is_leaf=lambda node: isinstance(node, jaxreg.SteeredState)
    )
    found = [node.strength for node in steered_states if isinstance(node, jaxreg.SteeredState)]
    metrics = evaluated | {
        "kept": 1 - jaxreg.sparsity(params, blocks).fraction,
        "nonzeros": jnp.sum(jnp.array([jnp.sum(leaf != 0) for leaf in jax.tree.leaves(params)])),
        "reached_strength": jnp.asarray(found[0] if found else run.strength, jnp.float32),
    }
    finite = jnp.isfinite(metrics["validation_bits"])
    return {name: jnp.where(finite, value, jnp.nan) for name, value in metrics.items()}


TEXTS = {
    "validation_bits": ("bits per byte of validation text", "bit"),
    "test_bits": ("bits per byte of test text", "bit"),
    "kept": ("share of the block weights that are not 0", "1"),
    "nonzeros": ("number of parameters that are not 0, all counted", "count"),
    "reached_strength": ("λ at the end", "nats per unit of the penalty"),
    "learning_rate": ("learning rate at the peak of the schedule", "1"),
    "decay": ("strength of the decay, in the unit of the method", "1"),
    "strength": ("constant λ; 0 where there is none", "nats per unit of the penalty"),
    "share": ("share of the block weights that the method had to keep", "1"),
    "role": ("what the setting is for", "1"),
    "repeats": ("number of seeds with which the setting was trained", "count"),
}
LABELS = ("learning_rate", "decay", "strength", "share")


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method.

    Returns:
        Along (setting, seed): bits per byte, shares of weights kept, and the strength reached. NaN
        for seeds beyond a setting's `repeats`, and for networks that diverged.
    """
    text = load_text(config)
    vocabulary = len(text.vocabulary)
    fit = functools.partial(train_network, vocabulary=vocabulary)
    rows = rows_of(text, config)
    trials = Trials(session, fit_of(fit, config), rows, "validation_bits", largest=False)
    values = {COUPLED: config.coupled, INDEPENDENT: config.independent}
    chosen: dict[str, Run] = {}
    for method in DENSE:
        rates = config.muon_rates if method.name == MUON else config.learning_rates
        first, *others = values.get(method.name, config.decay)
        best = trials.choose(method, [Run(rate, first) for rate in rates])
        tried = [best, *(best._replace(decay=other) for other in others)]
        chosen[method.name] = trials.choose(method, tried)
        trials.train(method, [chosen[method.name]], config.seeds)
    for method in sparse_methods(config):
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
    for share, (label, optimizer, base, rates) in itertools.product(
        config.shares,
        ((SMALL, adamw, ADAMW, config.learning_rates), (SMALL_MUON, muon, MUON, config.muon_rates)),
    ):
        sizes = as_many(config, vocabulary, share)
        small = Method(f"{label} at {100 * share:g} %", optimizer, sizes=sizes)
        runs = [Run(rate, chosen[base].decay, share=share) for rate in rates]
        trials.train(small, [trials.choose(small, runs)], config.seeds)
    bytes_of = {name: len(part) for name, part in text._asdict().items() if name != "vocabulary"}
    attributes = {"text": Path(config.text).name, "vocabulary": vocabulary, **bytes_of}
    return trials.dataset(TEXTS, (), LABELS, attributes)


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
        method = next((name for name in (SMALL, SMALL_MUON) if method.startswith(name)), method)
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
    return sorted({point.share for point in points[SMALL]}, reverse=True)


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
    for base, methods in ((ADAMW, OURS), (MUON, OURS_MUON)):
        name, point = best_of(points, methods, share)
        dense = points[base][0]
        findings.append(
            below(
                f"With {100 * share:g} % of the block weights a steered penalty is no worse than "
                f"{base}.",
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
            (small, at(points, small, share)),
            share,
        )
        for share in shares_of(points)
        for base, methods, small in ((ADAMW, OURS, SMALL), (MUON, OURS_MUON, SMALL_MUON))
    ]


def against_pruning(results: Results) -> list[Finding]:
    """The best steered penalty against each rival, at each share."""
    points = points_of(results)
    findings = []
    for share, (methods, rivals) in itertools.product(
        shares_of(points), ((OURS, RIVALS), (OURS_MUON, RIVALS_MUON))
    ):
        ours = best_of(points, methods, share)
        findings += [
            difference(
                f"A steered penalty beats {rival} at {100 * share:g} %.",
                ours,
                (rival, at(points, rival, share)),
                share,
            )
            for rival in rivals
            if rival in points
        ]
    return findings


def text_of(values: np.ndarray) -> str:
    """Mean ± standard error."""
    if not np.isfinite(values).all():
        return NOT_MEASURED
    mean, error = mean_and_error(values)
    return f"{mean:.3f} ± {error:.3f}"


def tabulate(results: Results) -> list[Table | str]:
    """Bits per byte of the dense networks, of every method at every share, and of constant
    strengths.
    """
    points = points_of(results)
    targets = shares_of(points)
    sizes = results["language"].attrs
    dense = [(m.name, points[m.name][0].label, text_of(points[m.name][0].test)) for m in DENSE]
    sparse = [
        (name, *(text_of(at(points, name, share).test) for share in targets))
        for name, (point, *_) in points.items()
        if point.share < 1
    ]
    fixed = [
        (name, point.label, f"{100 * abs(point.kept.mean()):.1f}", text_of(point.test))
        for name in (f"{penalty}{CONSTANT}" for penalty in PENALTIES)
        for point in points.get(name, ())
    ]
    return [
        f"The text `{sizes['text']}` has {sizes['train']:,} bytes to train on, "
        f"{sizes['validation']:,} for validation and {sizes['test']:,} for tests, of "
        f"{sizes['vocabulary']} kinds.",
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
        "L1, steered": (COLOURS["L1"], "o", "-"),
        "log-sum, steered": (COLOURS["log-sum"], "s", "-"),
        "L0, steered": (COLOURS["L0"], "^", "-"),
        MAGNITUDE: ("#888888", "v", "--"),
        METRIC: ("#444444", "D", "--"),
        TOP: ("#888888", "x", ":"),
        HAM: ("#444444", "P", ":"),
        SMALL: (COLOURS["elastic net"], "*", "-."),
    },
    MUON: {
        OURS_MUON[0]: (COLOURS["L1"], "o", "-"),
        OURS_MUON[1]: (COLOURS["log-sum"], "s", "-"),
        OURS_MUON[2]: (COLOURS["L0"], "^", "-"),
        PLAIN_MUON: (COLOURS["bridge"], "s", ":"),
        RIVALS_MUON[0]: ("#888888", "v", "--"),
        RIVALS_MUON[1]: ("#444444", "D", "--"),
        SMALL_MUON: (COLOURS["elastic net"], "*", "-."),
    },
}


def draw_curves(results: Results, shown: Sequence[str]) -> Figure:
    """Bits per byte of some methods against the share of weights kept, and the dense baseline as a
    band.
    """
    points = points_of(results)
    figure = new_figure(10.4, 6.6)
    for axes, base in zip(figure.subplots(1, len(STYLES), sharey=True), STYLES, strict=True):
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
        axes.set_ylabel("bits per byte of test text")
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12))
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
        functools.partial(draw_curves, shown=(*OURS, *OURS_MUON, PLAIN_MUON)),
        CAPTION,
    ),
    Claim(
        "large-sparse",
        "Large and sparse against small and dense",
        "A large sparse model beats a small dense one with as many weights.",
        sparse_against_small,
        functools.partial(draw_curves, shown=(*OURS, SMALL, *OURS_MUON, SMALL_MUON)),
        f"{CAPTION} Stars are dense networks with as many parameters as the sparse ones have "
        "nonzero ones, embeddings and head included.",
    ),
    Claim(
        "pruning",
        "Penalties against pruning of transformers",
        "A penalty whose strength is steered needs fewer bits than pruning with as many weights.",
        against_pruning,
        functools.partial(
            draw_curves, shown=(*OURS, *RIVALS, *OURS_MUON, PLAIN_MUON, *RIVALS_MUON)
        ),
        f"{CAPTION} Left: penalties in AdamW's metric, and rivals on AdamW. Right: a proximal step "
        "after Muon, in Adam's metric or with a plain threshold, and pruning of Muon's network.",
    ),
)

STUDY = Study(
    name="language",
    summary="Bits per byte against weights kept, of a small GPT",
    description="Compares sparse training of a transformer by penalties (L1, log-sum and L0, in "
    "AdamW's metric and after Muon) with five dense baselines, with four ways of pruning, and with "
    "dense networks of as many weights, on the text of the King James Bible or on any file.",
    settings=Settings(),
    sweeps={"language": train_networks},
    claims=CLAIMS,
    tabulate=tabulate,
    variant=lambda config: "-".join(
        [Path(config.text).stem] * (config.text != BIBLE) + ["gpu"] * (config.preset == "gpu")
    ),
    check=load_text,
    adapt=defaults,
)
