"""A small GPT that reads bytes of a text: the settings, the data and the training that studies of
transformers share. All of them have the same clip, warm-up and cosine.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import datasets
from experiments.lazy import jax, jaxreg, jnp, networks, nnx, optax
from experiments.settings import SettingError, at_least, positive, require, shares

if TYPE_CHECKING:
    from jax.typing import ArrayLike

BIBLE = "bible"
"""Name of the text that needs no file."""
B2 = 0.99
"""Adam's decay of squared gradients; fewer steps than usual need a shorter memory."""
NEURONS: Mapping[str, Any] = {"blocks/*/up": "unit", "blocks/*/down/kernel": "input"}
HEADS: Mapping[str, Any] = {
    f"blocks/*/attention/{part}": "head" for part in ("query", "key", "value", "out/kernel")
}
"""What a neuron and what a head of a block consists of, for `per`."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Training of a small GPT."""

    text: str = BIBLE
    """bible (Debian's bible-kjv and bible-kjv-text), or a file of any text."""
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

    def __post_init__(self) -> None:
        at_least(self, layers=1, width=4, heads=1, context=2, batch_size=1, steps=10, seeds=2)
        at_least(self, evaluated=1)
        positive(self, "clip", "learning_rates")
        shares(self, "warm_up", "reached", "released")
        ordered = self.warm_up < self.reached <= self.released
        require(ordered, "released", "at least reached, and that above warm-up", self.released)
        divides = self.width % self.heads == 0
        require(divides, "heads", f"a divisor of the width {self.width}", self.heads)


QUICK: Mapping[str, Any] = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "context": 16,
    "steps": 40,
    "evaluated": 16,
    "learning_rates": (8e-3,),
    "seeds": 2,
}
"""Fields of the settings of `--quick`."""


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


def attributes_of(text: datasets.Text, config: Settings) -> dict[str, Any]:
    """The name of the text, the number of kinds of bytes, and the size of each part."""
    sizes = {name: len(part) for name, part in text._asdict().items() if name != "vocabulary"}
    return {"text": Path(config.text).name, "vocabulary": len(text.vocabulary), **sizes}


def sentence_of(attributes: Mapping[str, Any]) -> str:
    """What `attributes_of` gives, in words."""
    return (
        f"The text `{attributes['text']}` has {attributes['train']:,} bytes to train on, "
        f"{attributes['validation']:,} for validation and {attributes['test']:,} for tests, of "
        f"{attributes['vocabulary']} kinds."
    )


class Rows(NamedTuple):
    """What a network starts from, and what it is trained and evaluated on; text is uint8.

    Attributes:
        train: the training text (bytes,).
        validation: rows of validation text (rows, context + 1).
        test: rows of test text (rows, context + 1).
        start: the initial parameters for each seed (seeds, …). Drawing them here, once, saves a
            third of the time to compile the training.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    start: Any


def rows_of(text: datasets.Text, config: Settings) -> Rows:
    """The training text, evenly spaced rows of the others, and initial parameters."""

    def spaced(part: np.ndarray) -> np.ndarray:
        starts = np.linspace(0, part.size - config.context - 1, config.evaluated).astype(int)
        return part[starts[:, None] + np.arange(config.context + 1)]

    def drawn(seed: jax.Array) -> Any:
        return initial(config, len(text.vocabulary), sizes_of(config), keys_of(seed)[0])[1]

    start = jax.jit(jax.vmap(drawn))(jnp.arange(config.seeds, dtype=jnp.uint32))
    return Rows(text.train, spaced(text.validation), spaced(text.test), start)


def keys_of(seed: ArrayLike) -> jax.Array:
    """The keys of the initial weights and of the batches."""
    return jax.random.split(jax.random.key(seed))


def blocks(params: Any) -> Any:
    """The mask of the block weights: the kernels of attention and perceptrons."""
    return (jaxreg.kernels & jaxreg.matching("blocks"))(params)


def scaled(peak: ArrayLike, config: Settings) -> optax.Schedule:
    """The schedule with a given peak."""
    first = max(1, round(config.warm_up * config.steps))
    shape = optax.warmup_cosine_decay_schedule(1 / first, 1.0, first, config.steps, 1e-3)
    return lambda count: jnp.asarray(peak) * shape(count)


def clipping(config: Settings) -> optax.GradientTransformation:
    """The clip of every method."""
    return optax.clip_by_global_norm(config.clip)


def adamw(run: Any, config: Settings) -> optax.GradientTransformation:
    """AdamW with decay on the kernels; `run` has a learning rate and a decay."""
    rate = scaled(run.learning_rate, config)
    decayed = optax.adamw(rate, b2=B2, weight_decay=run.decay, mask=jaxreg.kernels)
    return optax.chain(clipping(config), decayed)


def prox_adamw(
    run: Any, penalty: Any, config: Settings, mask: Any = None, max_shrink: float | None = None
) -> optax.GradientTransformation:
    """AdamW as in `adamw`, with the exact proximal step of a penalty."""
    return jaxreg.prox_adamw(
        scaled(run.learning_rate, config),
        penalty,
        b2=B2,
        weight_decay=run.decay,
        weight_decay_mask=jaxreg.kernels,
        mask=mask,
        max_shrink=max_shrink,
        clip=clipping(config),
    )


def pruning_steps(config: Settings) -> tuple[int, int]:
    """The steps at which pruning begins and has reached its share."""
    return round(config.warm_up * config.steps), round(config.reached * config.steps)


def steered(
    with_strength: Callable[[Any], optax.GradientTransformation],
    share: Any,
    config: Settings,
    **counted: Any,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose strengths, schedules, are steered to a share until `released`. From then
    on they are 0, and no block weight that is 0 changes.

    Args:
        with_strength: from a schedule, or a dict of them where `share` is one, to the optimizer.
        share: as for `jaxreg.steer_strength`.
        config: the settings.
        counted: what is counted, as for `jaxreg.steer_strength`: `per` or `mask`.
    """
    begin, reached = pruning_steps(config)
    released = round(config.released * config.steps)

    def until_released(strength: jax.Array) -> optax.Schedule:
        return lambda count: jnp.where(jnp.asarray(count) < released, strength, 0)

    tx = jaxreg.steer_strength(
        lambda strengths: with_strength(jax.tree.map(until_released, strengths)),
        share,
        released,
        begin=begin,
        reached=(reached - begin) / (released - begin),
        **counted,
    )

    def update(
        updates: Any, state: jaxreg.SteeredState, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        held = state.controller.count >= released
        moves, state = tx.update(updates, state, params, **extra)

        def hold(move: jax.Array, weight: jax.Array, inside: bool) -> jax.Array:
            return jnp.where(held & (weight == 0), 0, move) if inside else move

        return jax.tree.map(hold, moves, params, blocks(params)), state

    return optax.GradientTransformationExtraArgs(tx.init, update)


class Sizes(NamedTuple):
    """The sizes of a network: the stream's width, the number of heads of each block and their
    width, and the hidden units of each block.
    """

    width: int
    heads: tuple[int, ...]
    head: int
    hidden: tuple[int, ...]


def sizes_of(config: Settings) -> Sizes:
    """The sizes of the large network."""
    layers, head = config.layers, config.width // config.heads
    return Sizes(config.width, (config.heads,) * layers, head, (4 * config.width,) * layers)


def count_weights(config: Settings, vocabulary: int, sizes: Sizes) -> int:
    """Number of parameters of a network, all counted."""
    width, inside, hidden = sizes.width, sum(sizes.heads) * sizes.head, sum(sizes.hidden)
    attention, perceptrons = (4 * width + 3) * inside, (2 * width + 1) * hidden
    others = 6 * width * config.layers  # norms and biases
    ends = (2 * vocabulary + config.context + 2) * width
    return attention + perceptrons + others + ends


def initial(config: Settings, vocabulary: int, sizes: Sizes, key: jax.Array) -> tuple[Any, Any]:
    """The graph definition and the initial parameters of a network."""
    model = networks.GPT(vocabulary, config.context, *sizes, rngs=nnx.Rngs(key))
    return nnx.split(model, nnx.Param)


def structure_of(config: Settings, vocabulary: int, sizes: Sizes) -> Any:
    """The graph definition of a network."""
    model = nnx.eval_shape(
        lambda: networks.GPT(vocabulary, config.context, *sizes, rngs=nnx.Rngs(0))
    )
    return nnx.split(model, nnx.Param)[0]


def bits(structure: Any, params: Any, tokens: jax.Array) -> jax.Array:
    """Mean bits per byte of rows (rows, positions + 1)."""
    logits = nnx.merge(structure, params)(tokens[:, :-1]).astype(jnp.float32)
    nats = optax.losses.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
    return nats.mean() / math.log(2)


def train(
    tx: optax.GradientTransformation,
    seed: ArrayLike,
    rows: Rows,
    config: Settings,
    vocabulary: int,
    sizes: Sizes | None = None,
    half: bool = False,
) -> tuple[Any, Any, Any]:
    """Trains one network; the seed determines its initial weights and the batches.

    Returns:
        The graph definition, the parameters and the optimizer's state.
    """
    model_key, order_key = keys_of(seed)
    if sizes is None:
        structure = structure_of(config, vocabulary, sizes_of(config))
        params = jax.tree.map(lambda start: jnp.asarray(start)[seed], rows.start)
    else:
        structure, params = initial(config, vocabulary, sizes, model_key)
    if half:
        params = jax.tree.map(lambda w: w.astype(jnp.bfloat16), params)
        tx = jaxreg.master_weights(tx)

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        params, state = carry
        last = rows.train.shape[0] - config.context - 1
        starts = jax.random.randint(key, (config.batch_size, 1), 0, last)
        tokens = jnp.asarray(rows.train)[starts + jnp.arange(config.context + 1)].astype(int)
        # Strengths are in nats, as the loss is.
        gradient = jax.grad(lambda w: math.log(2) * bits(structure, w, tokens))(params)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(order_key, config.steps)
    start: Any = (params, tx.init(params))
    (params, state), _ = jax.lax.scan(step, start, keys)
    return structure, params, state


def evaluate(structure: Any, params: Any, rows: Rows, config: Settings) -> dict[str, jax.Array]:
    """Bits per byte of validation and of test text, and the number of parameters that are not 0."""
    each = jax.lax.map(
        lambda row: bits(structure, params, row[None].astype(int)),
        jnp.concatenate([rows.validation, rows.test]),
        batch_size=config.batch_size,
    )
    validation, test = jnp.mean(each.reshape(2, -1), 1)
    nonzeros = jnp.sum(jnp.array([jnp.sum(leaf != 0) for leaf in jax.tree.leaves(params)]))
    return {"validation_bits": validation, "test_bits": test, "nonzeros": nonzeros}


def largest_blocks(params: Any, share: ArrayLike, _: Any) -> Any:
    """Keeps exactly a share of the block weights."""
    return jaxreg.keep_largest(params, share, mask=blocks)


class Method(NamedTuple):
    """What trains a network.

    Attributes:
        name: name of the method.
        optimizer: from the hyperparameters and the settings to the optimizer.
        base: the dense baseline that it belongs to, if any.
        cut: from trained parameters, a share and the settings to parameters of which exactly that
            share is kept; None if the share is no input of the method.
        per: the groups that are kept or cut as a whole, if any.
        sizes: of the network, if it is smaller than that of the settings.
    """

    name: str
    optimizer: Callable[[Any, Any], optax.GradientTransformation]
    base: str = ""
    cut: Callable[[Any, ArrayLike, Any], Any] | None = None
    per: Mapping[str, Any] | None = None
    sizes: Sizes | None = None


def train_network(
    _: jax.Array,
    run: Any,
    rows: Rows,
    *,
    method: Method,
    config: Any,
    vocabulary: int,
    half: bool = False,
) -> dict[str, jax.Array]:
    """Trains and evaluates one network; `run` has a share, a seed and what the optimizer needs.

    Returns:
        Scalars; NaN if the network diverged.
    """
    tx = method.optimizer(run, config)
    structure, params, _ = train(tx, run.seed, rows, config, vocabulary, method.sizes, half)
    if method.cut is not None:
        params = method.cut(params, run.share, config)
    kept = 1 - jaxreg.sparsity(params, blocks).fraction
    return finite({**evaluate(structure, params, rows, config), "kept": kept})


def finite(metrics: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The metrics; NaN if the network diverged."""
    good = jnp.isfinite(metrics["validation_bits"])
    return {name: jnp.where(good, value, jnp.nan) for name, value in metrics.items()}


TEXTS = {
    "validation_bits": ("bits per byte of validation text", "bit"),
    "test_bits": ("bits per byte of test text", "bit"),
    "nonzeros": ("number of parameters that are not 0, all counted", "count"),
    "kept": ("share of the block weights that are not 0", "1"),
    "learning_rate": ("learning rate at the peak of the schedule", "1"),
    "role": ("what the setting is for", "1"),
    "repeats": ("number of seeds with which the setting was trained", "count"),
}
"""`long_name` and `units` of what all of these studies measure."""
