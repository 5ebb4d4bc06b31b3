"""Training and evaluation of one network as pure functions of strengths, a key and data.

Every method is one setting of the same chain of transformations, because a transformation with
strength 0 changes nothing. So all methods run in one program that is compiled once, and a method
is a set of numbers.

    Strengths(proximal_l1=1e-3)      # an L1 penalty by the proximal step, exact zeros
    Strengths(decoupled_l2=0.005)    # optax.adamw(weight_decay=0.01)
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.datasets import Rows
from experiments.lazy import jax, jaxreg, jnp, nnx, optax, xr
from experiments.settings import Training

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    OptimizerOf = Callable[[optax.Schedule], optax.GradientTransformation]
    """A function from a learning-rate schedule to an optimizer."""


METRICS = {
    "gap": ("training accuracy minus test accuracy", "1"),
    "zero_fraction": ("share of kernel weights that are exactly 0", "1"),
    "live_inputs": ("number of inputs with a nonzero weight", "count"),
    "norm": ("norm of all kernels, ‖w‖", "1"),
    "absolute_sum": ("sum of the absolute kernel weights, Σ|w|", "1"),
    "kkt_residual": (
        "largest violation of the optimality conditions of loss + penalty",
        "nats per unit of weight",
    ),
    "layer_zero_fraction": ("share of a layer's kernel weights that are exactly 0", "1"),
    "layer_norm": ("norm of a layer's kernel", "1"),
    "weights": ("kernel weights, one layer after another", "1"),
    "diverged": ("whether the run diverged, which makes its numbers NaN", "1"),
    "level": ("position on the grid of strengths; 0 is λ = 0", "1"),
    "strength": ("strength λ", "nats per unit of the penalty"),
    "seed": ("seed of rows, initial weights and batch order", "1"),
    "method": ("method of regularization", "1"),
    "wrong": ("share of training labels that are replaced by a wrong class", "1"),
    "weight_layer": ("index of the layer that a weight belongs to", "1"),
    **{
        f"{rows}_accuracy": (f"accuracy on {rows} rows", "1")
        for rows in ("train", "validation", "test")
    },
    **{
        f"{rows}_loss": (f"mean cross-entropy on {rows} rows", "nats")
        for rows in ("train", "validation", "test")
    },
}
"""`long_name` and `units` of the variables that several studies share."""


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
    return unless_diverged(metrics["train_loss"], metrics)


def unless_diverged(loss: jax.Array, metrics: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Makes all metrics of a diverged network NaN, also counts, so that they cannot be mistaken for
    measurements.
    """
    return {
        name: jnp.where(jnp.isfinite(loss), metric, jnp.nan) for name, metric in metrics.items()
    }


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


def kernels_of(params: Any) -> list[jax.Array]:
    """The kernels (in, out) of all layers, first layer first."""
    layers = params["layers"]
    return [layers[index]["kernel"][...] for index in sorted(layers)]


def settings_of(
    methods: dict[str, tuple[str, tuple[float, ...]]],
) -> tuple[Strengths, np.ndarray, xr.DataArray]:
    """Lists every setting once, with λ = 0 shared by all methods.

    Args:
        methods: mapping from a method's name to its field of `Strengths` and its strengths, the
            same number for each.

    Returns:
        The settings, λ = 0 first; the index of the setting at each (method, level); and the
        labelled strengths there.
    """
    table = [dict.fromkeys(Strengths._fields, 0.0)]
    places, levels = [], []
    for field, strengths in methods.values():
        places.append([0, *range(len(table), len(table) + len(strengths))])
        levels.append([0.0, *strengths])
        table += [{**table[0], field: strength} for strength in strengths]
    columns = {
        field: np.array([row[field] for row in table], np.float32) for field in Strengths._fields
    }
    labelled = xr.DataArray(
        np.array(levels), dims=("method", "level"), coords={"method": list(methods)}
    )
    return Strengths(**columns), np.array(places), labelled


def along_levels(
    outputs: dict[str, np.ndarray],
    places: np.ndarray,
    levels: xr.DataArray,
    axes: tuple[str, ...],
    coords: dict[str, Any],
) -> xr.Dataset:
    """Lays out the outputs of a sweep by method and level.

    Args:
        outputs: arrays (setting, *axes) by name, or (setting, *axes, layer).
        places: index of the setting at each (method, level), as `settings_of` returns it.
        levels: the strengths (method, level), as `settings_of` returns them.
        axes: names of the axes that follow the settings.
        coords: further coordinates.

    Returns:
        A dataset along (method, level, *axes) with the coordinate `strength` (method, level).
    """
    variables = {}
    for name, values in outputs.items():
        extra = ["layer"] * (values.ndim - 1 - len(axes))
        variables[name] = (("method", "level", *axes, *extra), values[places])
    return xr.Dataset(variables, {"strength": levels, "method": levels["method"], **coords})


def layers_of(widths: Sequence[int]) -> np.ndarray:
    """The index of the layer of each kernel weight (weights,), for a network with layers of the
    given widths.
    """
    sizes = [before * after for before, after in itertools.pairwise(widths)]
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int8)


def described(
    dataset: xr.Dataset, texts: Mapping[str, tuple[str, str]] | None = None
) -> xr.Dataset:
    """Adds the attributes `long_name` and `units` to variables and coordinates.

    Args:
        dataset: the dataset.
        texts: mapping from a variable's name to its `long_name` and `units`, for variables that
            `METRICS` lacks.

    Returns:
        A copy of the dataset with these attributes.
    """
    dataset = dataset.copy()
    for name, (text, units) in {**METRICS, **(texts or {})}.items():
        if name in dataset.variables:
            dataset[name].attrs.update(long_name=text, units=units)
    return dataset
