"""A user's script with every public name, which type checkers accept in their strict modes;
`laws/test_interface.py` runs it.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

import jaxreg

Params = dict[str, jax.Array]


class Huber(jaxreg.Penalty):
    """A penalty of the user's own."""

    strength: float
    axis: int = field(default=0, metadata={"static": True})

    def value(self, x: ArrayLike) -> jax.Array:
        """Computes the penalty."""
        x = jnp.abs(jnp.asarray(x))
        return self.strength * jnp.sum(jnp.where(x < 1, x * x / 2, x - 0.5))

    def prox(self, x: ArrayLike, step: ArrayLike) -> jax.Array:
        """Computes its proximal operator."""
        x, t = jnp.asarray(x), jnp.asarray(step) * self.strength
        return jnp.where(jnp.abs(x) < 1 + t, x / (1 + t), x - t * jnp.sign(x))


def loss(params: Params, inputs: jax.Array) -> jax.Array:
    """Computes a loss."""
    return jnp.mean(jnp.square(inputs @ params["kernel"] + params["bias"] - 1))


def only_kernels(params: Params) -> dict[str, bool]:
    """Selects the kernels, as `jaxreg.kernels` does."""
    return {name: name == "kernel" for name in params}


def by_fan_in(params: Params) -> dict[str, jaxreg.Penalty | None]:
    """Gives each kernel a λ of its own."""
    return {
        name: jaxreg.L1(1e-3 / len(leaf)) if leaf.ndim > 1 else None
        for name, leaf in params.items()
    }


penalties: list[jaxreg.Penalty] = [
    jaxreg.L1(1e-3),
    jaxreg.L1(jnp.array([1e-3, 1e-2])),
    jaxreg.SquaredL2(strength=optax.constant_schedule(1e-3)),
    jaxreg.ElasticNet(l1_strength=1e-3, l2_strength=np.float32(1e-3)),
    jaxreg.GroupL2(1e-3, axis=(0, 1)),
    jaxreg.Group(jaxreg.LogSum(1e-3, scale=0.1), axis=1),
    jaxreg.SparseGroupL2(1e-4, group_strength=optax.constant_schedule(1e-3), axis=0),
    jaxreg.NOfM(1e-3, 2, 4, per="unit"),
    jaxreg.GroupL2(1e-3, per={"kernel": "unit", "bias": "unit"}),
    jaxreg.MCP(1e-3, gamma=jnp.array([2.0, 3.0])),
    jaxreg.SCAD(1e-3, a=3.7),
    jaxreg.Bridge(1e-3, power=2 / 3),
    jaxreg.L0(1e-3),
    jaxreg.Weighted(jaxreg.L1(1e-3), factors=jnp.ones((2, 1))),
    jaxreg.Limited(jaxreg.L1(1e-3), low=0.0, high=np.ones((2, 1))),
    Huber(1e-3),
    Huber(strength=1e-3, axis=1).at(0),
]
links: list[optax.GradientTransformation] = [
    jaxreg.add_penalty(jaxreg.L1(1e-3), mask=jaxreg.kernels),
    jaxreg.add_l1(1e-3, mask=only_kernels),
    jaxreg.add_l1(1e-3, mask=jaxreg.kernels & ~jaxreg.matching("bias")),
    jaxreg.add_l2(optax.linear_schedule(0.0, 1e-3, 10), {"kernel": True, "bias": False}),
    jaxreg.proximal_step(jaxreg.L1(1e-3), step_size=0.1),
    jaxreg.prox_l1(1e-3, 0.1, mask=None),
    jaxreg.add_penalty({"kernel": jaxreg.L1(1e-3), "bias": None}),
    jaxreg.proximal_step(by_fan_in, step_size=0.1),
]
optimizers: list[optax.GradientTransformationExtraArgs] = [
    make(1e-2, jaxreg.L1(1e-3), mask=jaxreg.kernels)
    for make in (
        jaxreg.prox_sgd,
        jaxreg.prox_adam,
        jaxreg.prox_nadam,
        jaxreg.prox_adamw,
        jaxreg.prox_amsgrad,
        jaxreg.prox_yogi,
        jaxreg.prox_adabelief,
        jaxreg.prox_adamax,
        jaxreg.prox_rmsprop,
        jaxreg.prox_adagrad,
    )
]
optimizers.append(
    jaxreg.proximal(
        optax.chain(optax.scale_by_adam(), optax.trace(0.9)),
        Huber(1e-3),
        optax.cosine_decay_schedule(1e-2, 10),
        jaxreg.preconditioners.product(
            jaxreg.preconditioners.adam(), jaxreg.preconditioners.trace(0.9)
        ),
        max_shrink=None,
    )
)
optimizers += [
    jaxreg.master_weights(
        jaxreg.prox_adam(1e-2, jaxreg.L1(1e-3), clip=optax.clip_by_global_norm(1.0), lazy=True)
    ),
    jaxreg.hold_zeros(optax.adam(1e-3), mask=jaxreg.kernels),
    jaxreg.steer_strength(
        lambda strength: jaxreg.prox_adam(1e-3, jaxreg.ElasticNet(strength, 0.1 * strength)),
        0.1,
        100,
        begin=10,
        axis=(0, 1),
    ),
]
inputs = jnp.ones((4, 2))
params: Params = {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}
gradient = jax.grad(loss)(params, inputs)
tx = jaxreg.prox_adam(1e-2, penalties[0], b1=0.8, mask=jaxreg.kernels)
state = tx.init(params)
steps_taken = 0
updates, state = tx.update(gradient, state, params)
if isinstance(state, jaxreg.ProximalState):
    steps_taken = int(state.count)
link_state: Any = links[2].init(params)
if isinstance(link_state, jaxreg.PenaltyState):
    steps_taken = int(link_state.count)
master_state: Any = optimizers[-3].init(params)
if isinstance(master_state, jaxreg.MasterState):
    steps_taken = len(jax.tree.leaves(master_state.master))
held_state: Any = optimizers[-2].init(params)
if isinstance(held_state, jaxreg.HeldState):
    steps_taken = len(jax.tree.leaves(held_state.support))
steered_state: Any = optimizers[-1].init({"kernel": params["kernel"]})
if isinstance(steered_state, jaxreg.SteeredState):
    strength: jax.Array = steered_state.strength
    controller: jaxreg.ControllerState = steered_state.controller
controller = jaxreg.Controller(32, response=200.0).init(1e-3)
controller = jaxreg.Controller(optax.constant_schedule(32)).update(controller, jnp.float32(40))
largest_weights = jaxreg.keep_largest(params, jnp.asarray(0.5), mask=jaxreg.kernels, axis=1)

counts: jaxreg.Sparsity = jaxreg.sparsity(params, jaxreg.kernels, input_axis=-2, unit_axis=-1)
share: jax.Array = counts.fraction
connected: jax.Array = jaxreg.sparsity(params, layers=("kernel",)).connected
residual: jax.Array = jaxreg.kkt_residual(jaxreg.L1(1e-3), params, gradient, mask=jaxreg.kernels)
value: jax.Array = jaxreg.penalty_value(by_fan_in, params)
largest: jax.Array = jaxreg.critical_strength(jaxreg.L1(1.0), gradient)
shrunk: jax.Array = jaxreg.L1(1e-3).prox(inputs, 0.1) + jaxreg.L1(1e-3).subgradient(inputs)


def fit(key: jax.Array, run: dict[str, Any], data: jax.Array) -> dict[str, jax.Array]:
    """One run of a sweep."""
    return {"value": run["penalty"].value(data + jax.random.normal(key, data.shape))}


runs = jaxreg.sweep(
    fit, jaxreg.grid(penalty=jaxreg.L1(jnp.logspace(-3, 0, 2))), inputs, seeds=2, progress=False
)
values: jax.Array = runs.outputs["value"]
again: jaxreg.Runs[dict[str, jax.Array]] = runs
axes: jaxreg.Grid = runs.grid
try:
    jaxreg.sweep(fit, axes, inputs, progress=lambda finished: None)
except jaxreg.SweepMismatchError as error:
    print(error)


def mean_loss(params: Params, rows: dict[str, jax.Array]) -> jax.Array:
    """The loss of a path."""
    return loss(params, rows["inputs"])


def make_optimizer(penalty: Any) -> optax.GradientTransformation:
    """The optimizer at one λ of a path."""
    return jaxreg.prox_adam(1e-2, penalty)


rows = {"inputs": inputs}
recipe = jaxreg.Recipe(
    mean_loss,
    params,
    jaxreg.L1,
    make_optimizer,
    mask=jaxreg.kernels,
    epochs=1,
    metrics=lambda _, __: {"one": 1},
)
strengths = jaxreg.strength_grid(recipe, rows, count=2, start=1.0)
path: jaxreg.RegularizationPath = jaxreg.fit_path(recipe, rows, strengths)
scores: jaxreg.CrossValidation = jaxreg.cross_validate_path(recipe, rows, strengths, folds=2)
picked: int = jaxreg.select_strength(scores.strengths, scores.scores(), "one_se") + path.select(
    "best", by="loss"
)
small: jaxreg.Compacted = jaxreg.compact(path.at(picked % 2), jax.nn.relu, ("kernel",))
faster: jaxreg.Sparsified = jaxreg.sparsify(
    loss, params, inputs, mask=jaxreg.kernels, max_share=0.5
)
solver: jaxreg.Fista = jaxreg.fista(
    mean_loss, jaxreg.L1(0.1), max_steps=20, tol=100.0, mask=jaxreg.kernels
)
solution: jaxreg.Solution = solver.run(params, rows)
reached: jaxreg.FistaState = solution.state
gap: jax.Array = jaxreg.duality_gap(
    jaxreg.L1(0.1), jnp.zeros(2), lambda w: jnp.ones((3, 2)) @ w, jnp.ones(3)
)
curve = jaxreg.plotting.validation_curve(scores)
lines = jaxreg.plotting.coefficient_paths(path, "kernel", axis=1, ax=curve)
columns = jnp.eye(4)
exact: jaxreg.RegularizationPath = jaxreg.fit_linear_path(
    columns, jnp.arange(4.0), jaxreg.L1, count=3, validation=(columns, jnp.ones(4))
)
model: jaxreg.LinearModel = exact.at(0)
held: jaxreg.CrossValidation = jaxreg.cross_validate_linear_path(
    columns, jnp.arange(4.0), jaxreg.L1, folds=[0, 0, 1, 1], count=3, loss=jaxreg.losses.Huber(1.0)
)
stable: jaxreg.StabilitySelection = jaxreg.stability_selection(
    columns, jnp.arange(4.0), jaxreg.L1, pairs=2, count=2
)
print(
    stable.bound(0.6).shape, model.predict(columns).shape, model.mean(columns), held.select("best")
)
print(
    gap,
    reached.residual,
    small.widths,
    faster.products,
    faster(inputs),
    path.dataset().sizes,
    lines.get_xlabel(),
)
print(jaxreg.__version__, steps_taken, values.shape, runs.diverged.any(), runs.dataset().sizes)


def mistakes() -> None:
    """Mistakes that a checker must find: a wrong argument, and two wrong types of results."""
    jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), b3=0.9)  # type: ignore[call-arg]
    _: int = jaxreg.penalty_value(jaxreg.L1(1e-4), params)  # type: ignore[assignment]
    again.outputs["value"].no_such_method()  # type: ignore[attr-defined]
