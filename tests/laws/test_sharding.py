"""Weights sharded over eight devices by explicit sharding, the default of jax.make_mesh.

Every public function gives what it gives on one device. An update gathers no weights on one device,
and states lie where their parameters lie. Sweeps and paths of networks have their own tests.
"""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxreg
from jaxreg import preconditioners

SHAPES = {
    "query": {"kernel": ((32, 4, 8), P("x", "y", None))},
    "in": {"kernel": ((32, 64), P("x", "y")), "bias": ((64,), P("y"))},
    "out": {"kernel": ((64, 16), P("y", None))},
}
SMALLEST_KERNEL = 64 * 16
PENALTY, MASK = jaxreg.L1(1e-2), jaxreg.kernels
FACTORS = np.linspace(0, 2, 16, dtype=np.float32)
PENALTIES = {
    "L1": PENALTY,
    "SquaredL2": jaxreg.SquaredL2(1e-2),
    "ElasticNet": jaxreg.ElasticNet(1e-2, 1e-2),
    "GroupL2": jaxreg.GroupL2(1e-2, per="input"),
    # Heads are known by the name of the layer.
    "query": jaxreg.GroupL2(1e-2, per="head"),
    "SparseGroupL2": jaxreg.SparseGroupL2(1e-2, 1e-2, per="unit"),
    "Group": jaxreg.Group(jaxreg.LogSum(1e-2, 1.0), per="unit"),
    "LogSum": jaxreg.LogSum(1e-2, 1.0),
    "MCP": jaxreg.MCP(1e-2, 3.0),
    "SCAD": jaxreg.SCAD(1e-2, 3.0),
    "Bridge": jaxreg.Bridge(1e-2),
    "L0": jaxreg.L0(1e-4),
    "NOfM": jaxreg.NOfM(1e-2, per="unit"),
    "Weighted": jaxreg.Weighted(PENALTY, FACTORS),
    "Limited": jaxreg.Limited(PENALTY, low=-0.1, high=0.1),
}
make_adam = functools.partial(jaxreg.prox_adam, 1e-2, PENALTY, mask=MASK)
OPTIMIZERS = {
    **{
        name: functools.partial(getattr(jaxreg, name), 1e-2, PENALTY, mask=MASK)
        for name in sorted(jaxreg.__all__)
        if name.startswith("prox_") and name not in ("prox_l1", "prox_adamw")
    },
    "prox_adamw": lambda: jaxreg.prox_adamw(1e-2, PENALTY, weight_decay=1e-2, mask=MASK),
    "prox_sgd, momentum": lambda: jaxreg.prox_sgd(1e-2, PENALTY, momentum=0.9, mask=MASK),
    "prox_adam, clip": functools.partial(make_adam, clip=optax.clip_by_global_norm(0.1)),
    "prox_adam, clip of arrays": functools.partial(make_adam, clip=optax.clip_by_block_rms(0.1)),
    "prox_adam, lazy": functools.partial(make_adam, lazy=True),
    "proximal": lambda: jaxreg.proximal(
        optax.scale_by_novograd(),
        PENALTY,
        1e-2,
        preconditioners.novograd(),
        jaxreg.matching("*/kernel"),
    ),
    "hold_zeros": lambda: jaxreg.hold_zeros(optax.adam(1e-2), mask=MASK),
    "master_weights": lambda: jaxreg.master_weights(make_adam()),
    "steer_strength": lambda: jaxreg.steer_strength(
        lambda s: jaxreg.prox_adam(1e-2, jaxreg.GroupL2(s, per="unit"), mask=MASK),
        0.3,
        10,
        per="unit",
        mask=MASK,
    ),
    "steer_strength, shares": lambda: jaxreg.steer_strength(
        lambda strengths: jaxreg.prox_adam(
            1e-2, {**jax.tree.map(jaxreg.L1, strengths), "**": None}
        ),
        {"in/kernel": 0.3},
        10,
    ),
    "prox_l1": lambda: optax.chain(optax.sgd(1e-2), jaxreg.prox_l1(1e-2, 1e-2, MASK)),
    "proximal_step": lambda: optax.chain(
        optax.sgd(1e-2), jaxreg.proximal_step(PENALTY, 1e-2, MASK)
    ),
    "add_l1": lambda: optax.chain(jaxreg.add_l1(1e-2, MASK), optax.sgd(1e-2)),
    "add_l2": lambda: optax.chain(jaxreg.add_l2(1e-2, MASK), optax.sgd(1e-2)),
    "add_penalty": lambda: optax.chain(jaxreg.add_penalty(PENALTY, MASK), optax.sgd(1e-2)),
}


def is_entry(node):
    return isinstance(node, tuple)


def tree(seed, shapes=SHAPES):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda entry: 0.1 * random.standard_normal(entry[0], np.float32), shapes, is_leaf=is_entry
    )


def sharded(mesh, arrays, shapes=SHAPES):
    layout = jax.tree.map(lambda entry: NamedSharding(mesh, entry[1]), shapes, is_leaf=is_entry)
    return jax.device_put(arrays, layout)


def query(params):
    return {"query": {"kernel": params["query"]["kernel"]}}


def line(params, rows):
    return jnp.einsum("nd,dhk->nhk", rows, params["query"]["kernel"]).sum((1, 2))


def loss(params, rows):
    return jnp.mean(jnp.square(line(params, rows) - rows[:, 0])) / 2


ROWS = np.random.default_rng(2).standard_normal((64, 32)).astype(np.float32)
# Each is a function of parameters, a gradient and rows of data.
MEASURES = {
    "sparsity": lambda params, gradient, rows: jaxreg.sparsity(params, MASK).nonzeros,
    "kkt_residual": lambda params, gradient, rows: jaxreg.kkt_residual(
        PENALTY, params, gradient, MASK
    ),
    "penalty_value": lambda params, gradient, rows: jaxreg.penalty_value(PENALTY, params, MASK),
    "critical_strength": lambda params, gradient, rows: jaxreg.critical_strength(
        PENALTY, gradient, MASK
    ),
    "duality_gap": lambda params, gradient, rows: jaxreg.duality_gap(
        PENALTY, query(params), lambda p: line(p, rows), rows[:, 0]
    ),
    "keep_largest": lambda params, gradient, rows: jaxreg.keep_largest(params, 0.3, MASK),
    "keep_largest, groups": lambda params, gradient, rows: jaxreg.keep_largest(
        params, 0.3, MASK, per="unit"
    ),
    "fista": lambda params, gradient, rows: (
        jaxreg.fista(loss, PENALTY, max_steps=50).run(query(params), rows).params["query"]["kernel"]
    ),
}
# These read arrays on the host, or decide sizes by the weights, so a caller cannot compile them.
OUTSIDE_JIT = {
    "fit_linear_path": lambda params, rows: (
        jaxreg.fit_linear_path(rows, rows[:, 0], jaxreg.L1, [0.1, 0.5]).params.weights
    ),
    "cross_validate_linear_path": lambda params, rows: jaxreg.cross_validate_linear_path(
        rows, rows[:, 0], jaxreg.L1, [0.1, 0.5], folds=4
    ).record["loss"],
    "stability_selection": lambda params, rows: (
        jaxreg.stability_selection(rows, rows[:, 0], jaxreg.L1, [0.1, 0.5], pairs=1).frequencies
    ),
    "predict": lambda params, rows: jaxreg.LinearModel(ROWS[0], np.float32(1)).predict(rows),
    "compact": lambda params, rows: (
        jaxreg.compact(
            jaxreg.keep_largest({k: params[k] for k in ("in", "out")}, 0.01, MASK),
            jax.nn.relu,
            ["in/kernel", "out/kernel"],
        ).params
    ),
    "sparsity": lambda params, rows: str(jaxreg.sparsity(params, MASK)),
}
ELSEWHERE = {
    "sweeps and paths": ("sweep", "grid", "fit_path", "cross_validate_path", "strength_grid"),
    "no arrays of weights": (
        *("select_strength", "plotting", "kernels", "matching", "preconditioners", "__version__"),
        *("losses", "StabilitySelection"),
    ),
    "traces a forward pass of the user": ("sparsify",),
    "a result or a state": {name for name in jaxreg.__all__ if name[0].isupper()} - set(PENALTIES),
}


def test_every_public_name_is_here():
    elsewhere = (name for names in ELSEWHERE.values() for name in names)
    assert not set(jaxreg.__all__) - {*PENALTIES, *OPTIMIZERS, *MEASURES, *OUTSIDE_JIT, *elsewhere}


def kinds(names):
    """Each name with explicit sharding, and what counts all weights with automatic sharding too."""
    counting = [
        name for name in names if name.startswith(("steer", "keep", "sparsity")) or "clip" in name
    ]
    return [(name, AxisType.Explicit) for name in names] + [
        (name, AxisType.Auto) for name in counting
    ]


def make_mesh(kind):
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))


def gathered(compiled):
    """The largest array that the program collects from several devices or sends on to another."""
    found = re.findall(
        r"= \(?\w+\[([\d,]*)\][^=]*? (?:all-gather|collective-permute|all-to-all)(?:-start)?\(",
        compiled.as_text(),
    )
    return max(
        (int(np.prod([int(n) for n in shape.split(",") if n])) for shape in found), default=0
    )


def check_close(result, expected):
    chex.assert_trees_all_close(
        jax.device_get(result), jax.device_get(expected), rtol=2e-5, atol=1e-6
    )


def check_update(tx, kind, shapes):
    mesh, params, gradient = make_mesh(kind), tree(0, shapes), tree(1, shapes)

    def update(gradient, params):
        return tx.update(gradient, tx.init(params), params)

    expected = jax.jit(update)(gradient, params)
    with jax.set_mesh(mesh):
        params, gradient = sharded(mesh, params, shapes), sharded(mesh, gradient, shapes)
        compiled = jax.jit(update).lower(gradient, params).compile()
        updates, state = compiled(gradient, params)
    check_close(updates, expected[0])
    assert gathered(compiled) < SMALLEST_KERNEL / 8
    shards = {leaf.shape: leaf.sharding for leaf in jax.tree.leaves(params)}
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape in shards]
    for leaf in jax.tree.leaves(updates) + moments:
        assert leaf.sharding.is_equivalent_to(shards[leaf.shape], leaf.ndim)


@pytest.mark.parametrize(("name", "kind"), kinds(OPTIMIZERS))
def test_an_update_stays_where_the_weights_are(name, kind):
    check_update(OPTIMIZERS[name](), kind, {"in": SHAPES["in"]})


def test_so_does_that_of_every_penalty():
    layers = {name: {"kernel": SHAPES["in"]["kernel"]} for name in PENALTIES}
    layers["query"], layers["Weighted"] = SHAPES["query"], SHAPES["out"]
    check_update(jaxreg.prox_adam(1e-2, PENALTIES), AxisType.Explicit, layers)


NEURONS = {"up": "unit", "down/kernel": "input"}
# Kernels cut along the hidden axis, across it, and each along another one.
LAYOUTS = {
    "hidden": (P(None, "x"), P("x"), P("x", None)),
    "across": (P("x", None), P(None), P(None, "x")),
    "mixed": (P("x", "y"), P("y"), P("x", None)),
}
ACROSS = {
    "GroupL2": lambda: jaxreg.prox_adam(1e-2, jaxreg.GroupL2(1e-2, per=NEURONS)),
    "Group, clip, lazy": lambda: jaxreg.prox_adam(
        1e-2,
        jaxreg.Group(jaxreg.LogSum(1e-2, 1.0), per=NEURONS),
        clip=optax.clip_by_global_norm(0.1),
        lazy=True,
    ),
    "add_penalty": lambda: optax.chain(
        jaxreg.add_penalty(jaxreg.GroupL2(1e-2, per=NEURONS)), optax.sgd(1e-2)
    ),
    "steer_strength": lambda: jaxreg.steer_strength(
        lambda s: jaxreg.prox_sgd(1e-2, jaxreg.GroupL2(s, per=NEURONS)), 0.3, 10, per=NEURONS
    ),
}


@pytest.mark.parametrize("kind", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_neurons_are_joined_by_numbers_per_neuron(layout, kind):
    """Devices send norms of neurons to each other, but no weights."""
    up, bias, down = LAYOUTS[layout]
    layers = {
        "up": {"kernel": ((64, 128), up), "bias": ((128,), bias)},
        "down": {"kernel": ((128, 64), down)},
    }
    mesh, params, gradient = make_mesh(kind), tree(0, layers), tree(1, layers)

    def everything(gradient, params):
        penalty = jaxreg.GroupL2(1e-2, per=NEURONS)
        moved = {
            name: tx.update(gradient, tx.init(params), params)[0]
            for name, tx in ((name, make()) for name, make in ACROSS.items())
        }
        few = jaxreg.keep_largest(params, 0.3, per=NEURONS)
        return moved, few, jaxreg.kkt_residual(penalty, params, gradient)

    expected = jax.jit(everything)(gradient, params)
    with jax.set_mesh(mesh):
        params, gradient = sharded(mesh, params, layers), sharded(mesh, gradient, layers)
        compiled = jax.jit(everything).lower(gradient, params).compile()
        result = compiled(gradient, params)
    check_close(result, expected)
    assert gathered(compiled) <= 3 * 128  # a norm for each part of a neuron
    for move in result[0].values():
        for part, weights in zip(jax.tree.leaves(move), jax.tree.leaves(params), strict=True):
            assert part.ndim == 1 or part.sharding.is_equivalent_to(weights.sharding, part.ndim)


def test_single_weights_of_neurons_are_joined_wherever_they_lie():
    layers = {
        "up": {"kernel": ((8, 32), P(None, "x"))},
        "down": {"kernel": ((32, 8), P("y", None))},
    }
    mesh, params, gradient = make_mesh(AxisType.Explicit), tree(0, layers), tree(1, layers)
    tx = jaxreg.prox_adam(1e-2, jaxreg.SparseGroupL2(1e-2, 1e-2, per=NEURONS))

    def update(gradient, params):
        return tx.update(gradient, tx.init(params), params)[0]

    expected = jax.jit(update)(gradient, params)
    with jax.set_mesh(mesh):
        result = jax.jit(update)(sharded(mesh, gradient, layers), sharded(mesh, params, layers))
    check_close(result, expected)


@pytest.mark.parametrize(("name", "kind"), kinds(MEASURES))
def test_measures_pruning_and_fista(name, kind):
    mesh, measure = make_mesh(kind), jax.jit(MEASURES[name])
    expected = measure(tree(0), tree(1), ROWS)
    with jax.set_mesh(mesh):
        rows = jax.device_put(ROWS, NamedSharding(mesh, P("x", None)))
        arguments = sharded(mesh, tree(0)), sharded(mesh, tree(1)), rows
        compiled = measure.lower(*arguments).compile()
        result = compiled(*arguments)
    check_close(result, expected)
    if name not in ("fista", "duality_gap"):  # their predictions multiply sharded matrices
        assert gathered(compiled) < SMALLEST_KERNEL / 8


@pytest.mark.parametrize(("name", "kind"), kinds(OUTSIDE_JIT))
def test_functions_of_arrays_with_values(name, kind):
    mesh, function = make_mesh(kind), OUTSIDE_JIT[name]
    expected = function(tree(0), ROWS)
    with jax.set_mesh(mesh):
        result = function(
            sharded(mesh, tree(0)), jax.device_put(ROWS, NamedSharding(mesh, P("x", None)))
        )
    if isinstance(expected, str):
        assert result == expected
    else:
        check_close(result, expected)
