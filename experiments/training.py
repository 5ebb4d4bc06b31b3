"""Training and evaluation of one network as pure functions of strengths, a key and data.

Every method is one setting of the same chain of transformations, because a link with strength 0
changes nothing. So all methods run in one program that is compiled once, and a method is a set of
numbers.

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
    """The strength λ of each method on the kernels, in nats of the mean cross-entropy per unit of
    the penalty.
    """

    coupled_l1: ArrayLike = 0.0
    decoupled_l1: ArrayLike = 0.0
    proximal_l1: ArrayLike = 0.0
    coupled_l2: ArrayLike = 0.0
    decoupled_l2: ArrayLike = 0.0
    proximal_l2: ArrayLike = 0.0


OptimizerOf = Callable[[optax.Schedule], optax.GradientTransformation]
"""A function from a learning-rate schedule to an optimizer."""


def optimizer(
    strengths: Strengths, learning_rate: optax.Schedule
) -> optax.GradientTransformationExtraArgs:
    """Adam with coupled penalties before it, decoupled penalties after it, and the proximal step at
    the end.
    """
    direction = optax.chain(
        jaxreg.add_penalty(
            jaxreg.ElasticNet(strengths.coupled_l1, strengths.coupled_l2), mask=jaxreg.kernels
        ),
        optax.scale_by_adam(),
        jaxreg.add_penalty(
            jaxreg.ElasticNet(strengths.decoupled_l1, strengths.decoupled_l2), mask=jaxreg.kernels
        ),
    )
    penalty = jaxreg.ElasticNet(strengths.proximal_l1, strengths.proximal_l2)
    return jaxreg.proximal(
        direction, penalty, learning_rate, jaxreg.preconditioners.adam(), mask=jaxreg.kernels
    )


def cross_entropy(structure: Any, params: Any, rows: Rows) -> jax.Array:
    """The mean cross-entropy in nats."""
    logits = nnx.merge(structure, params)(rows.inputs)
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, rows.labels).mean()


def accuracy(structure: Any, params: Any, rows: Rows) -> jax.Array:
    """The share of rows with the largest logit at their label; NaN if any logit is not finite."""
    logits = nnx.merge(structure, params)(rows.inputs)
    correct = jnp.argmax(logits, -1) == rows.labels
    return jnp.where(jnp.all(jnp.isfinite(logits)), jnp.mean(correct), jnp.nan)


def train_state(
    structure: Any,
    params: Any,
    optimizer_of: OptimizerOf,
    key: jax.Array,
    rows: Rows,
    settings: Training,
) -> tuple[Any, Any]:
    """Trains a network for `settings.epochs` epochs in one scan.

    Args:
        structure: the graph definition of an nnx model.
        params: its parameters.
        optimizer_of: function from the learning-rate schedule to the optimizer.
        key: random key for the order of the rows.
        rows: the training data.
        settings: how the network is trained; static under `jax.jit`.

    Returns:
        The trained parameters, and the last state of the optimizer.
    """
    count = rows.labels.shape[0]
    batch = min(settings.batch_size, count)
    steps = settings.epochs * (count // batch)
    tx = optimizer_of(optax.cosine_decay_schedule(settings.learning_rate, steps))

    def step(carry: tuple[Any, Any], picked: jax.Array) -> tuple[tuple[Any, Any], None]:
        params, state = carry
        minibatch = Rows(rows.inputs[picked], rows.labels[picked])
        gradient = jax.grad(functools.partial(cross_entropy, structure))(params, minibatch)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        order = jax.random.permutation(key, count)[: count // batch * batch]
        return jax.lax.scan(step, carry, order.reshape(-1, batch))

    trained, _ = jax.lax.scan(
        epoch, (params, tx.init(params)), jax.random.split(key, settings.epochs)
    )
    return trained


def train_params(
    structure: Any,
    params: Any,
    optimizer_of: OptimizerOf,
    key: jax.Array,
    rows: Rows,
    settings: Training,
) -> Any:
    """The trained parameters, as `train_state` returns them."""
    return train_state(structure, params, optimizer_of, key, rows, settings)[0]


def evaluate(
    structure: Any, params: Any, penalty: jaxreg.Penalty, parts: dict[str, Rows]
) -> dict[str, jax.Array]:
    """The metrics of one trained network.

    Args:
        structure: the graph definition of the network.
        params: its trained parameters.
        penalty: the penalty that the method minimises together with the loss, for the KKT residual.
            Decoupled decay minimises no penalty; there it has strength 0, and the residual is that
            of the loss alone.
        parts: rows to evaluate the network on, by name, among them "train" and "test".

    Returns:
        Metrics by name, scalars () or one value per layer (layers,); all are NaN if the network
        diverged.
    """
    kernels = kernels_of(params)
    gradient = jax.grad(functools.partial(cross_entropy, structure))(params, parts["train"])
    metrics = {
        f"{name}_accuracy": accuracy(structure, params, rows) for name, rows in parts.items()
    }
    metrics |= {
        f"{name}_loss": cross_entropy(structure, params, rows) for name, rows in parts.items()
    }
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
    # Also the counts of a diverged network become NaN, so that they cannot be mistaken for
    # measurements.
    finite = jnp.isfinite(metrics["train_loss"])
    return {name: jnp.where(finite, value, jnp.nan) for name, value in metrics.items()}


def charged(strengths: Strengths) -> jaxreg.ElasticNet:
    """The penalty that a method minimises together with the loss."""
    return jaxreg.ElasticNet(
        strengths.coupled_l1 + strengths.proximal_l1, strengths.coupled_l2 + strengths.proximal_l2
    )


def split(key: jax.Array, rows: Rows, sizes: Sequence[int]) -> list[Rows]:
    """Splits rows at random.

    Args:
        key: random key.
        rows: the rows to split.
        sizes: sizes of all parts but the last.

    Returns:
        Parts of these sizes, and a last part with the remaining rows.
    """
    order = jax.random.permutation(key, rows.labels.shape[0])
    return [
        Rows(rows.inputs[picked], rows.labels[picked])
        for picked in jnp.split(order, np.cumsum(np.array(sizes)))
    ]


def mislabelled(key: jax.Array, rows: Rows, share: Any) -> Rows:
    """Replaces some labels by another class.

    Args:
        key: random key.
        rows: the rows.
        share: the share of labels that are replaced, drawn at random; each gets one of the other
            nine classes.

    Returns:
        The rows with the changed labels.
    """
    row_key, class_key = jax.random.split(key)
    count = rows.labels.shape[0]
    picked = jax.random.permutation(row_key, count) < jnp.round(share * count)
    other = (rows.labels + jax.random.randint(class_key, (count,), 1, 10)) % 10
    labels: Any = jnp.where(picked, other, rows.labels)
    return Rows(rows.inputs, labels)


def weights_of(params: Any) -> jax.Array:
    """The weights of all kernels as one vector, one layer after another."""
    return jnp.concatenate([kernel.ravel() for kernel in kernels_of(params)])
