"""One pure fit: strengths, a key and data go in, arrays come out. No files, no printing, no Python loop over steps.

Every method of the study is one setting of the same chain, since a link of strength 0 changes nothing: so the whole study
is one program, compiled once, and a method is four numbers.

    Strengths(proximal_l1=1e-3)      # an L1 penalty by the proximal step, exact zeros
    Strengths(decoupled_l2=0.005)    # optax.adamw(weight_decay=0.01)
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.typing import ArrayLike

import jaxreg
from experiments.config import Training
from experiments.data import Rows
from experiments.model import initial, kernels_of


class Strengths(NamedTuple):
    """How strongly each way of regularizing charges the kernels, per unit of the mean cross-entropy."""

    coupled_l1: ArrayLike = 0.0
    proximal_l1: ArrayLike = 0.0
    coupled_l2: ArrayLike = 0.0
    decoupled_l2: ArrayLike = 0.0


def optimizer(strengths: Strengths, learning_rate: optax.Schedule) -> optax.GradientTransformationExtraArgs:
    """Adam with each penalty in its place: coupled before it, decoupled behind it, the proximal step last of all."""
    direction = optax.chain(
        jaxreg.add_l1(strengths.coupled_l1, mask=jaxreg.kernels),
        jaxreg.add_l2(strengths.coupled_l2, mask=jaxreg.kernels),
        optax.scale_by_adam(),
        jaxreg.add_l2(strengths.decoupled_l2, mask=jaxreg.kernels),
    )
    metric = jaxreg.preconditioners.adam()
    return jaxreg.proximal(direction, jaxreg.L1(strengths.proximal_l1), learning_rate, metric, mask=jaxreg.kernels)


def cross_entropy(structure: Any, params: Any, rows: Rows) -> jax.Array:
    """Mean cross-entropy in nats."""
    logits = nnx.merge(structure, params)(rows.inputs)
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, rows.labels).mean()


def accuracy(structure: Any, params: Any, rows: Rows) -> jax.Array:
    """Share of rows whose largest logit is their label's; NaN where the logits are."""
    logits = nnx.merge(structure, params)(rows.inputs)
    right = jnp.argmax(logits, -1) == rows.labels
    return jnp.where(jnp.all(jnp.isfinite(logits)), jnp.mean(right), jnp.nan)


def train(structure: Any, params: Any, strengths: Strengths, key: jax.Array, rows: Rows, settings: Training) -> Any:
    """Trains `params` for the epochs that `settings` says, in one scan, and returns them.

    Args:
        structure, params: the two parts of an nnx model. strengths: of each way of regularizing.
        key: for the order of the rows. rows: all of the training data. settings: static.
    """
    count = rows.labels.shape[0]
    batch = min(settings.batch_size, count)
    steps = settings.epochs * (count // batch)
    tx = optimizer(strengths, optax.cosine_decay_schedule(settings.learning_rate, steps))

    def step(carry: tuple[Any, Any], picked: jax.Array) -> tuple[tuple[Any, Any], None]:
        params, state = carry
        few = Rows(rows.inputs[picked], rows.labels[picked])
        gradient = jax.grad(functools.partial(cross_entropy, structure))(params, few)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        order = jax.random.permutation(key, count)[: count // batch * batch]
        return jax.lax.scan(step, carry, order.reshape(-1, batch))

    (params, _), _ = jax.lax.scan(epoch, (params, tx.init(params)), jax.random.split(key, settings.epochs))
    return params


def judge(structure: Any, params: Any, strengths: Strengths, train_rows: Rows, test_rows: Rows) -> dict[str, jax.Array]:
    """What the study records of one trained network: scalars, per-layer arrays, and the kernels as one vector.

    The KKT residual is that of the objective a method was asked to minimise; decoupled decay has none, and there it
    is the residual of the loss alone.
    """
    kernels = kernels_of(params)
    gradient = jax.grad(functools.partial(cross_entropy, structure))(params, train_rows)
    penalty = jaxreg.ElasticNet(strengths.coupled_l1 + strengths.proximal_l1, strengths.coupled_l2)
    train_accuracy, test_accuracy = (accuracy(structure, params, rows) for rows in (train_rows, test_rows))
    metrics = {
        "train_accuracy": train_accuracy,
        "test_accuracy": test_accuracy,
        "gap": train_accuracy - test_accuracy,
        "train_loss": cross_entropy(structure, params, train_rows),
        "test_loss": cross_entropy(structure, params, test_rows),
        "zero_fraction": jaxreg.sparsity(params, jaxreg.kernels).fraction,
        "live_inputs": jnp.sum(jnp.any(kernels[0] != 0, 1)),
        "norm": optax.tree.norm(kernels),
        "kkt_residual": jaxreg.kkt_residual(penalty, params, gradient, jaxreg.kernels),
        "layer_zero_fraction": jnp.stack([jnp.mean(kernel == 0) for kernel in kernels]),
        "layer_norm": jnp.stack([jnp.linalg.norm(kernel) for kernel in kernels]),
    }
    # A diverged network has no zeros and no live inputs to report either: nothing of it may pass for a measurement.
    sound = jnp.isfinite(metrics["train_loss"])
    metrics = {name: jnp.where(sound, value, jnp.nan) for name, value in metrics.items()}
    return {**metrics, "weights": jnp.concatenate([kernel.ravel() for kernel in kernels])}


def fit(
    seed: ArrayLike, strengths: Strengths, rows: Rows, widths: Sequence[int], train_size: int, settings: Training
) -> dict[str, jax.Array]:
    """Splits, initialises, trains and judges one network: the unit that a study sweeps.

    Args:
        seed: of the split, the initial weights and the order of the rows; one seed pairs the methods.
        strengths: of each way of regularizing. rows: all the data.
        widths: of the layers, inputs and classes included. train_size, settings: static.
    """
    split_key, model_key, order_key = jax.random.split(jax.random.key(seed), 3)
    order = jax.random.permutation(split_key, rows.labels.shape[0])
    train_rows, test_rows = (
        Rows(rows.inputs[picked], rows.labels[picked]) for picked in (order[:train_size], order[train_size:])
    )
    structure, params = initial(widths, model_key)
    params = train(structure, params, strengths, order_key, train_rows, settings)
    return judge(structure, params, strengths, train_rows, test_rows)
