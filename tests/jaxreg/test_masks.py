"""Masks by path: dicts, prefixes, patterns and filters select the same leaves, whatever holds the
parameters.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.experimental import sparse

import jaxreg

L1 = jaxreg.L1(0.1)
BLOCK = {
    "attention": {"key": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}},
    "norm": {"scale": jnp.ones(2)},
}
NESTED = {
    "embed": {"table": jnp.ones((5, 2))},
    "blocks": [
        {
            "attention": {"key": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}},
            "norm": {"scale": jnp.ones(2)},
        }
    ]
    * 2,
    "head": {"kernel": jnp.ones((2, 3))},
}
NAMES = set(jaxreg.sparsity(NESTED).leaves)
KEYS = {f"blocks/{i}/attention/key/kernel" for i in (0, 1)}
BIASES = {f"blocks/{i}/attention/key/bias" for i in (0, 1)}
FIRST = {name for name in NAMES if name.startswith("blocks/0/")}
NORMS = {f"blocks/{i}/norm/scale" for i in (0, 1)}


class Net(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(4, 6, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(6, 6, rngs=rngs) for _ in range(2)])

    def __call__(self, x):
        return self.blocks[1](self.blocks[0](self.embed(x)))


def selected(mask, params=NESTED):
    return set(jaxreg.sparsity(params, mask).leaves)


PATTERNS = {
    "embed": {"embed/table"},
    "embed/table": {"embed/table"},
    "blocks/*/attention": KEYS | BIASES,
    "blocks/*/attention/*": KEYS | BIASES,
    "blocks/0": FIRST,
    "*/kernel": {"head/kernel"},
    "**/kernel": KEYS | {"head/kernel"},
    "blocks/**/bias": BIASES,
    "blocks/?/norm/**/scale": NORMS,
    "blocks/[!0]": {name.replace("0", "1") for name in FIRST},
    "**": NAMES,
    "*": NAMES,
    "*e*": {"embed/table", "head/kernel"},
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern):
    expected = PATTERNS[pattern]
    assert selected(jaxreg.matching(pattern)) == expected
    assert selected(~jaxreg.matching(pattern)) == NAMES - expected
    assert selected({pattern: True, **({} if expected == NAMES else {"**": False})}) == expected
    rest = {} if expected == NAMES else {"**": None}
    value = jaxreg.penalty_value(L1, NESTED, jaxreg.matching(pattern))
    assert jaxreg.penalty_value({pattern: L1, **rest}, NESTED) == value > 0


def test_combinations():
    embed, bias = jaxreg.matching("embed"), jaxreg.matching("**/bias")
    assert (
        selected(jaxreg.kernels & ~embed)
        == selected(~embed & jaxreg.kernels)
        == KEYS | {"head/kernel"}
    )
    assert selected(jaxreg.matching("embed", "blocks/*/norm", "e*")) == {"embed/table"} | NORMS
    assert selected(jaxreg.matching("blocks/*/attention") & ~bias) == KEYS
    assert (
        selected(jaxreg.matching("blocks") & {"blocks/0": True, "**": False} & ~bias)
        == FIRST - BIASES
    )
    assert selected(lambda params: {"embed": True, "**": False}) == {"embed/table"}


def test_the_key_that_says_most_holds():
    # Each penalty has a strength of its own, so that the value says which leaves have it.
    tree = {
        "**": jaxreg.L1(1.0),
        "**/kernel": jaxreg.L1(100.0),
        "embed": None,
        "blocks/1/attention/key/kernel": jaxreg.L1(1e4),
    }
    sizes = {name: leaf.size for name, leaf in jaxreg.sparsity(NESTED).leaves.items()}
    kernel, head = "blocks/0/attention/key/kernel", "head/kernel"
    others = sum(sizes[name] for name in BIASES | NORMS)
    expected = (
        1e4 * sizes["blocks/1/attention/key/kernel"] + 100 * (sizes[kernel] + sizes[head]) + others
    )
    assert jaxreg.penalty_value(tree, NESTED) == expected
    with pytest.raises(
        ValueError, match=r"the tree of penalties has .* which fit head/kernel equally well"
    ):
        jaxreg.penalty_value({"*ead/kernel": L1, "head/*ernel": None, "**": None}, NESTED)


def test_names_that_hold_slashes():
    haiku = {
        "mlp/~/linear_0": {"w": jnp.ones((2, 2))},
        "mlp/~/linear_1": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)},
    }
    assert selected(jaxreg.matching("mlp/~/linear_?/w"), haiku) == {
        "mlp/~/linear_0/w",
        "mlp/~/linear_1/w",
    }
    assert selected({"mlp/~/linear_0": True, "mlp/~/linear_1": False}, haiku) == {
        "mlp/~/linear_0/w"
    }
    # A name that looks like a pattern stands for itself.
    assert selected({"w*": True, "wide": False}, {"w*": jnp.ones(2), "wide": jnp.ones(2)}) == {"w*"}


MISTAKES = {
    "misspelt": (
        lambda: jaxreg.matching("blocks/*/atention"),
        ValueError,
        r"a pattern at blocks/\*/atention, where there",
    ),
    "near": (
        lambda: jaxreg.matching("embedd"),
        ValueError,
        "embedd, where there is no .* similar names are: embed",
    ),
    "no text": (
        lambda: jaxreg.matching(["embed"]),
        TypeError,
        "expected patterns such as .*; pass several as",
    ),
    "none": (lambda: jaxreg.matching(), ValueError, "at least one pattern"),
    "prefix": (
        lambda: {"embed": True},
        ValueError,
        "mask: .* nothing for blocks/0/.* and 4 more; expected",
    ),
    "unused": (
        lambda: {"embde": False, "**": True},
        ValueError,
        "a bool at embde, where there is no .* names are: embed",
    ),
    "type": (
        lambda: nnx.Param,
        TypeError,
        "got the type Param; update gets plain arrays.*jaxreg.matching.*wrt=",
    ),
    "text": (
        lambda: "embed",
        TypeError,
        r"expected True or False at \(the only leaf\), got 'embed'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    make, kind, message = MISTAKES[name]
    with pytest.raises(kind, match=message) as raised:
        jaxreg.prox_sgd(0.1, L1, mask=make()).init(NESTED)
    assert len(str(raised.value)) < 450


STATE = nnx.state(Net(nnx.Rngs(0)), nnx.Param)
KERNELS = {
    "embed": False,
    "blocks": {0: {"kernel": True, "bias": False}, 1: {"kernel": True, "bias": False}},
}
WAYS = {
    "dict": KERNELS,
    "prefix": {"embed": False, "blocks": True},
    "state": jax.tree.map(lambda leaf: leaf.shape == (6, 6), STATE),
    "kernels": jaxreg.kernels(STATE),
    "matching": jaxreg.matching("blocks/*/kernel"),
    "keys": {"blocks/*/kernel": True, "**": False},
    "filter": nnx.PathContains("kernel"),
    "filters": nnx.All(nnx.PathContains("blocks"), nnx.Not(nnx.PathContains("bias"))),
    "function of the path": lambda path, leaf: path[0] == "blocks" and leaf.ndim == 2,
    "everything": ...,
}


@pytest.mark.parametrize("way", WAYS)
def test_nnx_optimizer_takes_every_kind_of_mask(way):
    net = Net(nnx.Rngs(0))
    # nnx.Optimizer calls init with variables and update with arrays.
    optimizer = nnx.Optimizer(
        net, jaxreg.prox_sgd(1.0, jaxreg.L1(1e3), mask=WAYS[way]), wrt=nnx.Param
    )
    optimizer.update(net, nnx.grad(lambda net: jnp.mean(net(jnp.arange(4)) ** 2))(net))
    emptied = {
        name
        for name, leaf in jaxreg.sparsity(nnx.state(net, nnx.Param)).leaves.items()
        if int(leaf.nonzeros) == 0
    }
    names = {"blocks/0/kernel", "blocks/1/kernel"}
    names |= {"prefix": {"blocks/0/bias", "blocks/1/bias"}, "kernels": {"embed/embedding"}}.get(
        way, set()
    )
    assert emptied == (set(jaxreg.sparsity(STATE).leaves) if way == "everything" else names)


def test_penalties_that_are_a_state():
    net = Net(nnx.Rngs(0))
    penalties = jax.tree.map(lambda leaf: jaxreg.L1(1e3), nnx.state(net, nnx.Param))
    optimizer = nnx.Optimizer(net, jaxreg.prox_sgd(1.0, penalties), wrt=nnx.Param)
    optimizer.update(net, nnx.grad(lambda net: jnp.mean(net(jnp.arange(4)) ** 2))(net))
    assert int(jaxreg.sparsity(nnx.state(net, nnx.Param)).nonzeros) == 0


def test_a_plain_mask_inside_optax_masked():
    params = {"a": {"w": jnp.ones(2)}, "b": jnp.ones(3)}
    for mask in (
        {"a": True, "b": False},
        {"a": {"w": True}, "b": False},
        jaxreg.matching("a/w"),
        {"**/w": True, "b": False},
    ):
        tx = optax.masked(jaxreg.prox_sgd(1.0, L1, mask=mask), {"a": True, "b": False})
        updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
        np.testing.assert_allclose(updates["a"]["w"], -0.1, rtol=1e-6)
    # What was removed is no mistake, even if it is all that a pattern selects.
    tx = optax.masked(
        jaxreg.prox_sgd(1.0, L1, mask=jaxreg.matching("a", "b/c")), {"a": True, "b": False}
    )
    tx.init({"a": jnp.ones(2), "b": {"c": {"d": jnp.ones(2)}}})


def test_values_beside_other_leaves():
    # The attribute `value` is left out of names, but the leaves beside it keep their own entry.
    class Module(eqx.Module):
        value: jax.Array
        other: jax.Array

    params = {"layer": Module(jnp.ones(2), jnp.ones(3))}
    assert selected({"layer": Module(True, False)}, params) == {"layer"}
    assert selected({"layer": Module(False, True)}, params) == {"layer/other"}


MODULE = eqx.nn.MLP(6, 1, 4, 2, key=jax.random.key(0))
ARRAYS = eqx.filter(MODULE, eqx.is_inexact_array)
LOSS = lambda net, data: 0.0  # noqa: E731  # never called
UNFILTERED = {
    "proximal": lambda net: jaxreg.prox_adam(1e-2, L1, mask=jaxreg.kernels).init(net),
    "add_penalty": lambda net: jaxreg.add_l1(0.1).init(net),
    "hold_zeros": lambda net: jaxreg.hold_zeros(optax.sgd(0.1), mask=jaxreg.kernels).init(net),
    "steer_strength": lambda net: jaxreg.steer_strength(
        lambda s: jaxreg.prox_sgd(1e-2, jaxreg.L1(s)), 0.5, 9
    ).init(net),
    "keep_largest": lambda net: jaxreg.keep_largest(net, 0.5),
    "sparsity": jaxreg.sparsity,
    "penalty_value": lambda net: jaxreg.penalty_value(L1, net),
    "kkt_residual": lambda net: jaxreg.kkt_residual(L1, net, net),
    "critical_strength": lambda net: jaxreg.critical_strength(L1, net),
    "fista": lambda net: jaxreg.fista(LOSS, L1).run(net),
    "duality_gap": lambda net: jaxreg.duality_gap(L1, net, lambda net: 0.0, 0.0),
    "compact": lambda net: jaxreg.compact(net, jax.nn.relu),
    "Recipe": lambda net: jaxreg.Recipe(
        LOSS, net, jaxreg.L1, lambda p: jaxreg.prox_sgd(0.1, p), epochs=1
    ),
}


@pytest.mark.parametrize("use", UNFILTERED)
def test_a_module_that_was_not_filtered(use):
    message = f"{use}: expected arrays, got the function relu at activation; .* eqx.filter"
    with pytest.raises(TypeError, match=message):
        UNFILTERED[use](MODULE)


def test_other_leaves_that_are_no_arrays():
    for leaf, named in (("relu", "str"), (object(), "object"), (np.array(["a"]), "ndarray")):
        with pytest.raises(TypeError, match=f"sparsity: expected arrays, got {named} at act;"):
            jaxreg.sparsity({"act": leaf, "w": jnp.ones(2)})


def test_what_a_mask_leaves_out_need_not_be_an_array():
    assert str(jaxreg.sparsity(MODULE, jaxreg.kernels)) == str(
        jaxreg.sparsity(ARRAYS, jaxreg.kernels)
    )
    value = jaxreg.penalty_value(L1, MODULE, jaxreg.kernels)
    assert value == jaxreg.penalty_value(L1, ARRAYS, jaxreg.kernels)
    gradient = jax.tree.map(jnp.ones_like, ARRAYS)
    residual = jaxreg.kkt_residual(L1, MODULE, gradient, jaxreg.kernels)
    assert residual == jaxreg.kkt_residual(L1, ARRAYS, gradient, jaxreg.kernels)
    kept = eqx.filter(jaxreg.keep_largest(MODULE, 0.5, jaxreg.kernels), eqx.is_inexact_array)
    assert eqx.tree_equal(kept, jaxreg.keep_largest(ARRAYS, 0.5, jaxreg.kernels))


INTEGERS = {
    "count": jnp.arange(4).reshape(2, 2),
    "key": jax.random.split(jax.random.key(0), (2, 2)),
    "held": jnp.ones((2, 2), bool),
    "kernel": jnp.array([[1.0, 0.0], [2.0, 3.0]]),
    "steps": 3,
}


def test_integers_are_no_weights():
    assert set(jaxreg.sparsity(INTEGERS).leaves) == {"kernel"}
    assert selected(jaxreg.kernels, INTEGERS) == {"kernel"}
    assert jaxreg.kernels(INTEGERS) == {
        "count": False,
        "key": False,
        "held": False,
        "kernel": True,
        "steps": False,
    }
    dense = jnp.zeros((20, 10)).at[3, 4].set(1.0).at[5, 0].set(2.0)
    layer = {"kernel": sparse.BCOO.fromdense(dense), "bias": jnp.ones(10)}
    assert {leaf.shape for leaf in jaxreg.sparsity({"first": layer}).leaves.values()} == {
        (2,),
        (10,),
    }
    assert not jaxreg.sparsity({"first": layer}, jaxreg.kernels).leaves
    assert jaxreg.penalty_value(L1, INTEGERS, jaxreg.kernels) == jnp.float32(0.1) * 6
    kept = jaxreg.keep_largest(INTEGERS, 0.25, jaxreg.kernels)
    assert jnp.array_equal(kept["count"], INTEGERS["count"])
    assert int(jnp.sum(kept["kernel"] != 0)) == 1


REFUSED = (
    "proximal",
    "add_penalty",
    "hold_zeros",
    "steer_strength",
    "keep_largest",
    "penalty_value",
    "critical_strength",
)


@pytest.mark.parametrize("use", REFUSED)
@pytest.mark.parametrize("name", ["count", "key", "held"])
def test_integers_that_a_mask_selects(use, name):
    uses = {**UNFILTERED, "proximal": lambda tree: jaxreg.prox_sgd(0.1, L1).init(tree)}
    uses["hold_zeros"] = lambda tree: jaxreg.hold_zeros(optax.sgd(0.1)).init(tree)
    with pytest.raises(TypeError, match=f"{use}: .*{name}.* mask"):
        uses[use]({name: INTEGERS[name], "w": jnp.ones(2)})


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_strict_promotion(dtype):
    kernel = jax.random.normal(jax.random.key(0), (4, 3))
    params = {"kernel": kernel.astype(dtype), "bias": jnp.ones(3, jnp.float32)}
    gradient = jax.tree.map(lambda leaf: (0.5 * leaf).astype(leaf.dtype), params)
    measures = {
        "kkt_residual": lambda: jaxreg.kkt_residual(L1, params, gradient, jaxreg.kernels),
        "of all": lambda: jaxreg.kkt_residual(L1, params, gradient),
        "penalty_value": lambda: jaxreg.penalty_value(L1, params),
        "critical_strength": lambda: jaxreg.critical_strength(L1, gradient),
    }
    for name, measure in measures.items():
        expected = measure()
        with jax.numpy_dtype_promotion("strict"):
            assert measure() == expected, name
    with jax.numpy_dtype_promotion("strict"):
        tx = jaxreg.prox_sgd(optax.constant_schedule(0.1), L1, momentum=0.9, mask=jaxreg.kernels)
        updates, _ = tx.update(gradient, tx.init(params), params)
        assert updates["kernel"].dtype == dtype
