"""One pure fit: strengths, a key and data go in, arrays come out. No files, no printing, no Python loop over steps.

Every method of the study is one setting of the same chain, since a link of strength 0 changes nothing: so the whole study
is one program, compiled once, and a method is four numbers.

    Strengths(proximal_l1=1e-3)      # an L1 penalty by the proximal step, exact zeros
    Strengths(decoupled_l2=0.005)    # optax.adamw(weight_decay=0.01)
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

import jaxreg
from experiments.datasets import Rows
from experiments.networks import kernels_of
from experiments.settings import Training


class Strengths(NamedTuple):
    """How strongly each way of regularizing charges the kernels, per unit of the mean cross-entropy."""

    coupled_l1: ArrayLike = 0.0
    decoupled_l1: ArrayLike = 0.0
    proximal_l1: ArrayLike = 0.0
    coupled_l2: ArrayLike = 0.0
    decoupled_l2: ArrayLike = 0.0
    proximal_l2: ArrayLike = 0.0


OptimizerOf = Callable[[optax.Schedule], optax.GradientTransformation]
"""Makes an optimizer of a learning rate."""


def optimizer(strengths: Strengths, learning_rate: optax.Schedule) -> optax.GradientTransformationExtraArgs:
    """Adam with each penalty in its place: coupled before it, decoupled behind it, the proximal step last of all."""
    direction = optax.chain(
        jaxreg.add_penalty(jaxreg.ElasticNet(strengths.coupled_l1, strengths.coupled_l2), mask=jaxreg.kernels),
        optax.scale_by_adam(),
        jaxreg.add_penalty(jaxreg.ElasticNet(strengths.decoupled_l1, strengths.decoupled_l2), mask=jaxreg.kernels),
    )
    penalty = jaxreg.ElasticNet(strengths.proximal_l1, strengths.proximal_l2)
    return jaxreg.proximal(direction, penalty, learning_rate, jaxreg.preconditioners.adam(), mask=jaxreg.kernels)


def cross_entropy(structure: Any, params: Any, rows: Rows) -> jax.Array:
    """Mean cross-entropy in nats."""
    logits = nnx.merge(structure, params)(rows.inputs)
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, rows.labels).mean()


def accuracy(structure: Any, params: Any, rows: Rows) -> jax.Array:
    """Share of rows whose largest logit is their label's; NaN where the logits are."""
    logits = nnx.merge(structure, params)(rows.inputs)
    right = jnp.argmax(logits, -1) == rows.labels
    return jnp.where(jnp.all(jnp.isfinite(logits)), jnp.mean(right), jnp.nan)


def train(structure: Any, params: Any, optimizer_of: OptimizerOf, key: jax.Array, rows: Rows, settings: Training) -> Any:
    """Trains `params` for the epochs that `settings` says, in one scan, and returns them.

    Args:
        structure, params: the two parts of an nnx model. optimizer_of: from the learning rate to the optimizer.
        key: for the order of the rows. rows: all of the training data. settings: static.
    """
    count = rows.labels.shape[0]
    batch = min(settings.batch_size, count)
    steps = settings.epochs * (count // batch)
    tx = optimizer_of(optax.cosine_decay_schedule(settings.learning_rate, steps))

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


def evaluate(structure: Any, params: Any, penalty: jaxreg.Penalty, parts: dict[str, Rows]) -> dict[str, jax.Array]:
    """What is recorded of one trained network: scalars and per-layer arrays.

    Args:
        structure, params: of the network. penalty: that the method was asked to minimise, for the KKT residual; decoupled
            decay minimises none, and there it is the residual of the loss alone.
        parts: the rows to evaluate it on, by name; "train" and "test" are among them.
    """
    kernels = kernels_of(params)
    gradient = jax.grad(functools.partial(cross_entropy, structure))(params, parts["train"])
    metrics = {f"{name}_accuracy": accuracy(structure, params, rows) for name, rows in parts.items()}
    metrics |= {f"{name}_loss": cross_entropy(structure, params, rows) for name, rows in parts.items()}
    metrics |= {
        "gap": metrics["train_accuracy"] - metrics["test_accuracy"],
        "zero_fraction": jaxreg.sparsity(params, jaxreg.kernels).fraction,
        "live_inputs": jnp.sum(jnp.any(kernels[0] != 0, 1)),
        "norm": optax.tree.norm(kernels),
        "absolute_sum": optax.tree.norm(kernels, ord=1),
        "kkt_residual": jaxreg.kkt_residual(penalty, params, gradient, jaxreg.kernels),
        "layer_zero_fraction": jnp.stack([jnp.mean(kernel == 0) for kernel in kernels]),
        "layer_norm": jnp.stack([jnp.linalg.norm(kernel) for kernel in kernels]),
    }
    # A diverged network has no zeros and no live inputs to report either: nothing of it may pass for a measurement.
    sound = jnp.isfinite(metrics["train_loss"])
    return {name: jnp.where(sound, value, jnp.nan) for name, value in metrics.items()}


def charged(strengths: Strengths) -> jaxreg.ElasticNet:
    """The penalty that a method minimises together with the loss."""
    return jaxreg.ElasticNet(strengths.coupled_l1 + strengths.proximal_l1, strengths.coupled_l2 + strengths.proximal_l2)


def split(key: jax.Array, rows: Rows, sizes: Sequence[int]) -> list[Rows]:
    """The rows in a random order, cut into parts of the given sizes and a last one of what is left."""
    order = jax.random.permutation(key, rows.labels.shape[0])
    return [Rows(rows.inputs[picked], rows.labels[picked]) for picked in jnp.split(order, np.cumsum(np.array(sizes)))]


def mislabelled(key: jax.Array, rows: Rows, share: Any) -> Rows:
    """The rows with a share of their labels replaced by another class, which ones and by what at random."""
    which_key, what_key = jax.random.split(key)
    count = rows.labels.shape[0]
    picked = jax.random.permutation(which_key, count) < jnp.round(share * count)
    other = (rows.labels + jax.random.randint(what_key, (count,), 1, 10)) % 10
    labels: Any = jnp.where(picked, other, rows.labels)
    return Rows(rows.inputs, labels)


def weights_of(params: Any) -> jax.Array:
    """All kernels as one vector, layer after layer."""
    return jnp.concatenate([kernel.ravel() for kernel in kernels_of(params)])
