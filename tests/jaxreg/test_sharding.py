"""Weights sharded over eight devices by explicit sharding, the default of jax.make_mesh (counts by
automatic sharding too).

Every public function gives what it gives on one device. An update gathers no weights on one device,
and states lie where their parameters lie. Sweeps and paths of networks have their own test
(laws/test_sweeps.py).
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

SPECS = {
    "query": {"kernel": P("x", "y", None)},
    "in": {"kernel": P("x", "y"), "bias": P("y")},
    "out": {"kernel": P("y", None)},
}
SHAPES = {
    "query": {"kernel": (32, 4, 8)},
    "in": {"kernel": (32, 64), "bias": (64,)},
    "out": {"kernel": (64, 16)},
}
SMALLEST_KERNEL = 64 * 16
PENALTY = jaxreg.L1(1e-2)
MASK = jaxreg.kernels
TREE = {
    "query": {"kernel": jaxreg.GroupL2(1e-2, per="head")},
    "in": {"kernel": jaxreg.GroupL2(1e-2, per="input"), "bias": None},
    "out": {"kernel": jaxreg.Weighted(PENALTY, np.linspace(0, 2, 16, dtype=np.float32))},
}
PENALTIES = {
    "L1": PENALTY,
    "SquaredL2": jaxreg.SquaredL2(1e-2),
    "ElasticNet": jaxreg.ElasticNet(1e-2, 1e-2),
    "GroupL2": jaxreg.GroupL2(1e-2, per="input"),
    "GroupL2 of units": jaxreg.GroupL2(1e-2, per="unit"),
    "SparseGroupL2": jaxreg.SparseGroupL2(1e-2, 1e-2, per="input"),
    "Group": jaxreg.Group(jaxreg.LogSum(1e-2, 1.0), per="unit"),
    "LogSum": jaxreg.LogSum(1e-2, 1.0),
    "MCP": jaxreg.MCP(1e-2, 3.0),
    "SCAD": jaxreg.SCAD(1e-2, 3.0),
    "Bridge": jaxreg.Bridge(1e-2),
    "L0": jaxreg.L0(1e-4),
    "Weighted": TREE,
}
OPTIMIZERS = {
    **{
        name: functools.partial(getattr(jaxreg, name), 1e-2, PENALTY, mask=MASK)
        for name in sorted(jaxreg.__all__)
        if name.startswith("prox_") and name not in ("prox_l1", "prox_adamw")
    },
    "prox_adamw": lambda: jaxreg.prox_adamw(1e-2, PENALTY, weight_decay=1e-2, mask=MASK),
    "prox_sgd, momentum": lambda: jaxreg.prox_sgd(1e-2, PENALTY, momentum=0.9, mask=MASK),
    "prox_adam, clip": lambda: jaxreg.prox_adam(
        1e-2, PENALTY, mask=MASK, clip=optax.clip_by_global_norm(0.1)
    ),
    "prox_adam, clip of arrays": lambda: jaxreg.prox_adam(
        1e-2, PENALTY, mask=MASK, clip=optax.clip_by_block_rms(0.1)
    ),
    "prox_adam, lazy": lambda: jaxreg.prox_adam(1e-2, PENALTY, mask=MASK, lazy=True),
    "prox_adam, matching": lambda: jaxreg.prox_adam(
        1e-2, PENALTY, mask=jaxreg.matching("*/kernel")
    ),
    "proximal": lambda: jaxreg.proximal(
        optax.scale_by_novograd(), PENALTY, 1e-2, preconditioners.novograd(), MASK
    ),
    "hold_zeros": lambda: jaxreg.hold_zeros(optax.adam(1e-2), mask=MASK),
    "master_weights": lambda: jaxreg.master_weights(jaxreg.prox_adam(1e-2, PENALTY, mask=MASK)),
    "steer_strength": lambda: jaxreg.steer_strength(
        lambda s: jaxreg.prox_adam(1e-2, jaxreg.L1(s)), 0.3, 10, mask=MASK
    ),
    "steer_strength, groups": lambda: jaxreg.steer_strength(
        lambda s: jaxreg.prox_adam(1e-2, jaxreg.GroupL2(s, per="unit"), mask=MASK),
        0.3,
        10,
        per="unit",
        mask=MASK,
    ),
    "prox_l1": lambda: optax.chain(optax.sgd(1e-2), jaxreg.prox_l1(1e-2, 1e-2, MASK)),
    "proximal_step": lambda: optax.chain(
        optax.sgd(1e-2), jaxreg.proximal_step(PENALTY, 1e-2, MASK)
    ),
    "add_l1": lambda: optax.chain(jaxreg.add_l1(1e-2, MASK), optax.adam(1e-2)),
    "add_l2": lambda: optax.chain(jaxreg.add_l2(1e-2, MASK), optax.adam(1e-2)),
    "add_penalty": lambda: optax.chain(jaxreg.add_penalty(PENALTY, MASK), optax.adam(1e-2)),
    **{
        f"prox_adam with {name}": functools.partial(
            jaxreg.prox_adam, 1e-2, penalty, mask=None if isinstance(penalty, dict) else MASK
        )
        for name, penalty in PENALTIES.items()
    },
}


def tree(seed):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: 0.1 * random.standard_normal(shape, np.float32),
        SHAPES,
        is_leaf=lambda s: isinstance(s, tuple),
    )


def line(params, rows):
    return jnp.einsum("nd,dhk->nhk", rows, params["query"]["kernel"]).sum((1, 2))


def loss(params, rows):
    return jnp.mean(jnp.square(line(params, rows) - rows[:, 0])) / 2


ROWS = np.random.default_rng(2).standard_normal((64, 32)).astype(np.float32)
ONE_KERNEL = {"query": {"kernel": tree(0)["query"]["kernel"]}}
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
        PENALTY,
        {"query": {"kernel": params["query"]["kernel"]}},
        lambda p: line(p, rows),
        rows[:, 0],
    ),
    "keep_largest": lambda params, gradient, rows: jaxreg.keep_largest(params, 0.3, MASK),
    "keep_largest, groups": lambda params, gradient, rows: jaxreg.keep_largest(
        params, 0.3, MASK, per="unit"
    ),
    "fista": lambda params, gradient, rows: (
        jaxreg.fista(loss, PENALTY, max_steps=50)
        .run({"query": {"kernel": params["query"]["kernel"]}}, rows)
        .params["query"]["kernel"]
    ),
}
# These read their arrays on the host, or decide sizes by the weights, so they are not compiled by
# their caller.
OUTSIDE_JIT = {
    "fit_linear_path": lambda params, rows: (
        jaxreg.fit_linear_path(rows, rows[:, 0], jaxreg.L1, [0.1, 0.5]).params.weights
    ),
    "cross_validate_linear_path": lambda params, rows: jaxreg.cross_validate_linear_path(
        rows, rows[:, 0], jaxreg.L1, [0.1, 0.5], folds=4
    ).record["loss"],
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
    "laws/test_sweeps.py": ("sweep", "grid", "fit_path", "cross_validate_path", "strength_grid"),
    "no arrays of weights": (
        "select_strength",
        "plotting",
        "kernels",
        "matching",
        "preconditioners",
        "__version__",
    ),
    "a result or a state": {name for name in jaxreg.__all__ if name[0].isupper()} - set(PENALTIES),
}


def test_every_public_name_is_here():
    tested = {
        *PENALTIES,
        *OPTIMIZERS,
        *MEASURES,
        *OUTSIDE_JIT,
        *(name for names in ELSEWHERE.values() for name in names),
    }
    assert not set(jaxreg.__all__) - tested


def kinds(names):
    """Each name with explicit sharding, and those that count over all weights with automatic
    sharding too.
    """
    counting = [
        name for name in names if name.startswith(("steer", "keep", "sparsity")) or "clip" in name
    ]
    pairs = [(name, AxisType.Explicit) for name in names] + [
        (name, AxisType.Auto) for name in counting
    ]
    return pytest.mark.parametrize(
        ("name", "kind"), pairs, ids=lambda value: getattr(value, "name", value)
    )


def make_mesh(kind):
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))


def sharded(mesh, params):
    return jax.tree.map(lambda p, spec: jax.device_put(p, NamedSharding(mesh, spec)), params, SPECS)


def gathered(compiled):
    """Sizes of what the program collects from several devices or sends on to another."""
    text = compiled.as_text()
    found = re.findall(
        r"= \(?\w+\[([\d,]*)\][^=]*? (?:all-gather|collective-permute|all-to-all)(?:-start)?\(",
        text,
    )
    return [int(np.prod([int(n) for n in shape.split(",") if n])) for shape in found]


def expect_close(result, expected):
    chex.assert_trees_all_close(
        jax.device_get(result), jax.device_get(expected), rtol=2e-5, atol=1e-6
    )


@kinds(OPTIMIZERS)
def test_an_update_stays_where_the_weights_are(name, kind):
    mesh = make_mesh(kind)
    tx, params, gradient = OPTIMIZERS[name](), tree(0), tree(1)
    expected = jax.jit(tx.update)(gradient, tx.init(params), params)
    with jax.set_mesh(mesh):
        params, gradient = sharded(mesh, params), sharded(mesh, gradient)
        state = jax.jit(tx.init)(params)
        compiled = jax.jit(tx.update).lower(gradient, state, params).compile()
        updates, state = compiled(gradient, state, params)
    expect_close(updates, expected[0])
    assert max(gathered(compiled), default=0) < SMALLEST_KERNEL / 8
    shards = {leaf.shape: leaf.sharding for leaf in jax.tree.leaves(params)}
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape in shards]
    for leaf in jax.tree.leaves(updates) + moments:
        assert leaf.sharding.is_equivalent_to(shards[leaf.shape], leaf.ndim)


@kinds(MEASURES)
def test_measures_pruning_and_fista(name, kind):
    mesh = make_mesh(kind)
    expected = jax.jit(MEASURES[name])(tree(0), tree(1), ROWS)
    with jax.set_mesh(mesh):
        args = (
            sharded(mesh, tree(0)),
            sharded(mesh, tree(1)),
            jax.device_put(ROWS, NamedSharding(mesh, P("x", None))),
        )
        compiled = jax.jit(MEASURES[name]).lower(*args).compile()
        result = compiled(*args)
    expect_close(result, expected)
    if name not in ("fista", "duality_gap"):  # their predictions multiply sharded matrices
        assert max(gathered(compiled), default=0) < SMALLEST_KERNEL / 8


@kinds(OUTSIDE_JIT)
def test_functions_of_arrays_with_values(name, kind):
    mesh = make_mesh(kind)
    expected = OUTSIDE_JIT[name](tree(0), ROWS)
    with jax.set_mesh(mesh):
        result = OUTSIDE_JIT[name](
            sharded(mesh, tree(0)), jax.device_put(ROWS, NamedSharding(mesh, P("x", None)))
        )
    if isinstance(expected, str):
        assert result == expected
    else:
        expect_close(result, expected)
