"""Each wrong use gets one sentence: the argument, what was expected, what came and what to do."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from flax import nnx

import jaxreg
from jaxreg import preconditioners

V, T = ValueError, TypeError
L1 = jaxreg.L1(0.1)
PARAMS = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
NESTED = {
    "embed": {"table": jnp.ones((5, 2))},
    "blocks": [{"attention": {"key": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}}] * 2,
    "head": {"kernel": jnp.ones((2, 3))},
}
CHAIN = {"layers": [jnp.ones((6, 8)), jnp.ones((8, 5)), jnp.ones((5, 3))]}
GROUPS = jaxreg.GroupL2(0.1, axis=1)
PER_INPUT = jaxreg.GroupL2(0.1, per="input")
SPARSE_HEADS = jaxreg.SparseGroupL2(0.1, 0.1, per="head")
ONE = {"kernel": L1}
ODD = {
    "integers": jnp.arange(4),
    "bools": jnp.ones(2, bool),
    "keys": jax.random.split(jax.random.key(0)),
}
INJECTED = optax.inject_hyperparams(jaxreg.prox_adam)
NO_CLIPS = (optax.scale(-1.0), jaxreg.add_l2(0.1), optax.set_to_zero(), optax.sgd(0.1))
DESCENT = optax.chain(optax.scale_by_adam(), optax.scale(-1))
DENSE = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
MODULE = eqx.nn.MLP(6, 1, 4, 2, key=jax.random.key(0))
constant, scheduled = optax.constant_schedule, jaxreg.L1(optax.constant_schedule(0.1))


def make_l1(strength):
    return jaxreg.prox_sgd(0.1, jaxreg.L1(strength))


def link(penalty, mask=None, params=PARAMS):
    return jaxreg.add_penalty(penalty, mask).init(params)


def sgd(penalty, mask=None, params=PARAMS):
    return jaxreg.prox_sgd(0.1, penalty, mask=mask).init(params)


def proximal(direction, preconditioner=None):
    return jaxreg.proximal(direction, L1, 1e-3, preconditioner).init(PARAMS)


def updated(tx, gradient=PARAMS, state=None):
    return tx.update(gradient, tx.init(PARAMS) if state is None else state, PARAMS)


def steer(*args, params=PARAMS, **options):
    return jaxreg.steer_strength(*args, **options).init(params)


def compact(params, **options):
    return jaxreg.compact(params, **{"activation": jnp.tanh, **options})


def squares(w, data):
    return jnp.mean((data[0] @ w - data[1]) ** 2) / 2


def fista(fun=squares, penalty=L1, start=None, mask=None, **options):
    data = jnp.eye(3), jnp.arange(3.0)
    start = jnp.zeros(3) if start is None else start
    return jaxreg.fista(fun, penalty, mask=mask, **options).run(start, data)


UNHASHABLE = type(
    "Unhashable", (), {"__hash__": None, "__call__": lambda self, w, data: squares(w, data)}
)()

# fmt: off
WRONG = {
    # Numbers of penalties
    "negative": (lambda: jaxreg.L1(-0.1), V, r"L1: strength must not be negative, got -0\.1"),
    "nan": (
        lambda: jaxreg.SquaredL2(float("nan")), V, "SquaredL2: strength must be finite, got nan"),
    "infinite": (
        lambda: jaxreg.ElasticNet(0.1, np.inf), V,
        "ElasticNet: l2_strength must be finite, got inf"),
    "in an array": (
        lambda: jaxreg.L1(jnp.array([0.1, -1])), V, "L1: strength must not be negative"),
    "text": (
        lambda: jaxreg.GroupL2("0.1"), T, "GroupL2: strength must be a number.*'0.1' of type str"),
    "bool": (lambda: jaxreg.L1(True), T, "L1: strength must be a number.*True of type bool"),
    "list": (
        lambda: jaxreg.L1([0.1, 0.2]), T,
        r"L1: strength must be a number.*jnp.array\(\[0.1, 0.2\]\)"),
    "none": (lambda: jaxreg.L1(None), T, "L1: strength must be a number.*NoneType"),
    "complex": (lambda: jaxreg.L1(np.complex64(1j)), T, "pass real numbers"),
    "no strength": (
        lambda: jaxreg.L1(lambda _: None), T, "L1: strength is a schedule .* got None at step 0"),
    "a schedule's value": (lambda: scheduled.value(jnp.ones(3)), T, "schedule.*penalty.at"),
    "gamma": (
        lambda: jaxreg.MCP(0.1, 1.0), V,
        "MCP: gamma must be finite and greater than 1, got 1.0; pass gamma=3.0"),
    "gammas": (
        lambda: jaxreg.MCP(0.1, jnp.array([3.0, 0.5])), V,
        "MCP: gamma must be finite and greater than 1"),
    "gamma inf": (
        lambda: jaxreg.MCP(0.1, np.inf), V,
        "gamma must be finite .* got inf; .*a large one gives L1"),
    "gamma text": (lambda: jaxreg.MCP(0.1, "3"), T, "MCP: gamma must be a number.*'3' of type str"),
    "a": (
        lambda: jaxreg.SCAD(0.1, 2), V,
        "SCAD: a must be finite and greater than 2, got 2; pass a=3.7"),
    "scale": (
        lambda: jaxreg.LogSum(0.1, 0.0), V,
        "LogSum: scale must be finite and greater than 0, got 0.0; pass scale=0.01"),
    "power 1": (
        lambda: jaxreg.Bridge(0.1, 1.0), V,
        "Bridge: power must lie between 0 and 1, got 1.0; .* L1 for 1"),
    "power 0": (
        lambda: jaxreg.Bridge(0.1, 0), V,
        "Bridge: power must lie between 0 and 1, got 0; .* L0 for 0"),
    "power array": (
        lambda: jaxreg.Bridge(0.1, jnp.array(0.5)), T,
        "power must be a Python number.*one penalty per power"),
    "L0": (lambda: jaxreg.L0(-0.1), V, "L0: strength must not be negative"),
    "Bridge nan": (lambda: jaxreg.Bridge(np.nan), V, "Bridge: strength must be finite"),
    "factors": (lambda: jaxreg.Weighted(L1, -1.0), V, "Weighted: factors must not be negative"),
    "factors' shape": (
        lambda: jaxreg.Weighted(L1, np.ones(5)).value(jnp.ones(3)), V,
        "Weighted: expected factors that broadcast"),
    "weighted number": (lambda: jaxreg.Weighted(0.1, 1.0), T, "Weighted: expected a penalty"),
    # Axes and groups
    "axis text": (
        lambda: jaxreg.GroupL2(0.1, axis="in"), T, "GroupL2: axis must be an int or a tuple"),
    "axis twice": (lambda: jaxreg.GroupL2(0.1, axis=(1, 1)), V, r"axis must name .* got \(1, 1\)"),
    "no axis": (lambda: jaxreg.GroupL2(0.1, axis=()), V, "at least one axis"),
    "axis and per": (
        lambda: jaxreg.GroupL2(0.1, 1, "input"), V,
        "expected axis or per, got axis=1 and per='input'"),
    "per": (
        lambda: jaxreg.Group(L1, per="row"), V,
        r'Group: per must be "input", "unit" or "head", got \'row\''),
    "group of groups": (
        lambda: jaxreg.Group(jaxreg.GroupL2(0.1)), T,
        "Group: expected a penalty of single weights"),
    "group of a number": (
        lambda: jaxreg.Group(0.1), T, "Group: expected a penalty of single weights"),
    "uneven steps": (
        lambda: jaxreg.Group(jaxreg.MCP(0.1), axis=1).prox(np.ones((2, 3)), np.ones((2, 3))), V,
        r"expected one step per group.*axis=1, got a step of shape \(2, 3\).*pool the step"),
    "rank 3": (
        lambda: PER_INPUT.value(jnp.ones((2, 3, 4))), V,
        r"per='input' needs .* got the shape \(2, 3, 4\), which may be"),
    "rank 1": (
        lambda: PER_INPUT.value(jnp.ones(3)), V,
        r"needs a kernel, got the shape \(3,\); leave this parameter out with a mask"),
    "per of a bias": (
        lambda: sgd(PER_INPUT), V,
        r"proximal: GroupL2: per='input' needs a kernel, got the shape \(3,\) at bias"),
    "per unknown": (
        lambda: jaxreg.penalty_value(PER_INPUT, {"position": jnp.ones((1, 3, 4))}), V,
        r"\(1, 3, 4\) at position, which may be"),
    "no heads": (
        lambda: jaxreg.penalty_value(SPARSE_HEADS, {"up": jnp.ones((2, 3))}), V,
        r"penalty_value: SparseGroupL2: per='head' needs a kernel with an axis of heads, .* at up"),
    "axis of a bias": (
        lambda: link(GROUPS), V,
        r"add_penalty: parameter bias: .*axis=1 does not fit .*\(3,\).*mask"),
    "axis far": (
        lambda: sgd(jaxreg.GroupL2(0.1, axis=-3), jaxreg.kernels), V,
        r"parameter kernel: .*axis=-3 .*\(4, 3\)"),
    "axis same": (
        lambda: link(jaxreg.GroupL2(0.1, axis=(1, -1)), jaxreg.kernels), V,
        r"axis=\(1, -1\) does not fit"),
    "axis in a tree": (
        lambda: sgd({"kernel": L1, "bias": GROUPS}), V, r"parameter bias: .*axis=1 does not fit"),
    # Arguments of links and optimizers
    "link": (lambda: jaxreg.add_l1(-1.0), V, "strength must not be negative, got -1.0"),
    "no penalty": (
        lambda: jaxreg.add_penalty(1e-4), T,
        r"add_penalty: expected a penalty such as jaxreg.L1\(1e-4\)"),
    "a class": (
        lambda: jaxreg.prox_adam(1e-3, jaxreg.L1), T,
        "proximal: expected a penalty such as .* got <class .*L1'>"),
    "step 0": (lambda: jaxreg.prox_l1(0.1, 0.0), V, r"step_size must be greater than 0, got 0\.0"),
    "step < 0": (
        lambda: jaxreg.proximal_step(L1, -0.1), V, "step_size must not be negative, got -0.1"),
    "step text": (lambda: jaxreg.prox_l1(0.1, "fast"), T, "step_size must be a number"),
    "step schedule": (
        lambda: jaxreg.prox_l1(0.1, lambda _: -0.1), V, "step_size is a schedule.* got -0.1"),
    "rate < 0": (
        lambda: jaxreg.prox_adam(-1e-3, L1), V,
        "learning_rate must not be negative.*pass a positive learning_rate"),
    "rates": (
        lambda: jaxreg.prox_sgd(jnp.ones(3), L1), V, r"learning_rate must be one number.*\(3,\)"),
    "rate turns": (
        lambda: jaxreg.prox_adam(lambda count: 1e-3 - 1e-5 * count, L1), V,
        r"learning_rate is a schedule .* at least 0, got -0.009 at step 1000; clip it at 0"),
    "rate nan": (lambda: jaxreg.prox_sgd(lambda _: np.nan, L1), V, "at least 0, got nan at step 0"),
    "no rate": (
        lambda: jaxreg.prox_sgd(lambda _: None, L1), T,
        "must return a number for every step, got None at"),
    "not called": (
        lambda: jaxreg.proximal(optax.adam, L1, 0.1), T, "direction must be a transformation"),
    "momentum 1": (
        lambda: jaxreg.prox_sgd(0.1, L1, 1.0), V, r"momentum must lie in \[0, 1\), got 1.0"),
    "momentum text": (lambda: jaxreg.prox_sgd(0.1, L1, "0.9"), T, "momentum must be a number"),
    "nesterov": (
        lambda: jaxreg.prox_rmsprop(0.1, L1, nesterov=True), V,
        "prox_rmsprop: nesterov=True needs a momentum, got momentum=None; pass momentum=0.9"),
    "b1": (
        lambda: jaxreg.prox_adam(1e-3, L1, b1=1.0), V,
        r"prox_adam: b1 must lie in \[0, 1\), got 1.0"),
    "b1 < 0": (lambda: jaxreg.prox_adamw(1e-3, L1, b1=-0.1), V, "prox_adamw: b1 must lie"),
    "nadam": (lambda: jaxreg.prox_nadam(1e-3, L1, b2=2), V, r"b2 must lie in \[0, 1\), got 2"),
    "adamax": (lambda: jaxreg.prox_adamax(1e-3, L1, b2=1.0), V, "prox_adamax: b2 must lie"),
    "yogi": (lambda: jaxreg.prox_yogi(1e-3, L1, b2=1.0), V, "prox_yogi: b2 must lie"),
    "amsgrad": (lambda: jaxreg.prox_amsgrad(1e-3, L1, b2=1.0), V, "prox_amsgrad: b2 must lie"),
    "adabelief": (
        lambda: jaxreg.prox_adabelief(1e-3, L1, b2=1.0), V, "prox_adabelief: b2 must lie"),
    "rmsprop": (
        lambda: jaxreg.prox_rmsprop(1e-3, L1, decay=1.0), V, "prox_rmsprop: decay must lie"),
    "eps": (
        lambda: jaxreg.prox_adam(1e-3, L1, eps=-1e-8), V, "prox_adam: eps must not be negative"),
    "eps, adagrad": (
        lambda: jaxreg.prox_adagrad(1e-3, L1, eps=-1e-8), V,
        "prox_adagrad: eps must not be negative"),
    "max_shrink": (
        lambda: jaxreg.prox_adam(1e-3, L1, max_shrink=0.0), V, "max_shrink must be greater than 0"),
    "mask by position": (
        lambda: jaxreg.prox_adam(1e-3, L1, jaxreg.kernels), T,
        r"b1 must be a number in \[0, 1\), got the function 'kernels'; pass a mask by name, mask="),
    "tree by position": (
        lambda: jaxreg.prox_sgd(1e-3, L1, {"kernel": True}), T,
        r"got {'kernel': True}; pass a mask by name"),
    "clip": (
        lambda: jaxreg.prox_sgd(0.1, L1, clip=1.0), T,
        r"clip must be .* such as optax.clip_by_global_norm\(1.0\), got 1.0"),
    **{f"no clip {i}": (
        lambda clip=clip: jaxreg.prox_adam(1e-3, L1, clip=clip), V,
        "expected a clip that multiplies each gradient by a positive")
       for i, clip in enumerate(NO_CLIPS)},
    # Directions and their preconditioners
    **{f"without {name}": (
        lambda direction=direction: proximal(direction), V,
        f"expected the preconditioner of a direction with the state of {name}.*None")
       for name, direction in {
           r"adam \(or adamax\)": optax.scale_by_adam(), "trace": optax.trace(0.9),
           "rms": optax.scale_by_rms(), "belief": optax.scale_by_belief(),
           "amsgrad": optax.scale_by_amsgrad(), "rss": optax.scale_by_rss(),
           "adam": optax.chain(optax.clip(1.0), optax.scale_by_adam())}.items()},
    **{f"an optimizer {i}": (
        lambda direction=direction: proximal(direction, preconditioners.adam()), V,
        "expected a direction along the gradient.*optax.scale_by_adam")
       for i, direction in enumerate((optax.adamw(1e-3), DESCENT))},
    "a matrix": (lambda: proximal(optax.scale_by_lbfgs()), V, "a diagonal D, got L-BFGS"),
    "another state": (
        lambda: updated(jaxreg.proximal(optax.scale_by_adam(), L1, 0.1, preconditioners.rss())), V,
        "expected one ScaleByRssState .* found 0 in ScaleByAdamState"),
    "D not called": (
        lambda: updated(jaxreg.proximal(optax.scale_by_adam(), L1, 0.1, preconditioners.adam)), T,
        r"preconditioner returned .* call it first, as in preconditioners.adam\(\)"),
    # Parameters, gradients and states
    "integers": (
        lambda: link(L1, None, {"steps": jnp.arange(3)}), T, "parameter steps: .*int32.*mask"),
    "a grid": (
        lambda: link(jaxreg.L1(jnp.ones(7))), V,
        r"strength, got an array of shape \(7,\).*jax.vmap"),
    "a grid in a tree": (
        lambda: sgd({"kernel": jaxreg.L1(jnp.ones(7)), "bias": None}), V,
        "for a strength of each weight pass jaxreg.Weighted"),
    "state": (
        lambda: updated(jaxreg.prox_adam(1e-3, L1), state=optax.adam(1e-3).init(PARAMS)), T,
        "expected the ProximalState that init returned, got tuple; call update"),
    "exchanged": (
        lambda: updated(jaxreg.prox_adam(1e-3, L1), state=PARAMS), T,
        "expected the ProximalState that init returned, got dict"),
    "link's state": (
        lambda: updated(jaxreg.add_penalty(scheduled), state=optax.EmptyState()), T,
        "add_penalty: expected the PenaltyState"),
    "broadcast": (
        lambda: updated(jaxreg.prox_sgd(0.1, L1), {**PARAMS, "kernel": jnp.ones((1, 3))}), V,
        r"shape \(4, 3\) at kernel, got \(1, 3\)"),
    "link broadcast": (
        lambda: updated(jaxreg.add_penalty(L1), {**PARAMS, "kernel": jnp.ones((1, 3))}), V,
        r"shape \(4, 3\) at kernel, got \(1, 3\)"),
    "residual": (
        lambda: jaxreg.kkt_residual(L1, PARAMS, {**PARAMS, "kernel": jnp.ones((1, 3))}), V,
        r"kkt_residual: expected .* \(4, 3\) at kernel, got \(1, 3\)"),
    "update's tree": (
        lambda: updated(jaxreg.prox_sgd(0.1, ONE), state=sgd(ONE, None, {"kernel": np.ones(3)})), V,
        "nothing for bias"),
    # Masks
    "mask shape": (
        lambda: link(L1, {"kernel": True}), V,
        "mask: .* it has nothing for bias; expected True or False for each of bias, kernel"),
    "mask leaves": (
        lambda: sgd(L1, {"kernel": 1.0, "bias": True}), T,
        "mask: expected True or False at kernel, got 1.0"),
    "mask arrays": (lambda: sgd(L1, lambda p: p), T, "mask: expected True or False at bias"),
    "mask text": (
        lambda: sgd(L1, "embed"), T, r"expected True or False at \(the only leaf\), got 'embed'"),
    "mask type": (
        lambda: sgd(L1, nnx.Param), T,
        "got the type Param; update gets plain arrays.*jaxreg.matching.*wrt="),
    "mask of nothing": (
        lambda: link(L1, False), V,
        r"the mask selects none of the parameters .*bias.*\(3,\).*another mask"),
    "no kernels": (
        lambda: sgd(L1, jaxreg.kernels, {"bias": jnp.ones(3)}), V,
        "the mask selects none of the parameters"),
    "no penalised": (
        lambda: sgd({"kernel": None, "bias": L1}, jaxreg.kernels), V,
        "selects none of the parameters that have a penalty among .*nothing would be"),
    "flatten": (
        lambda: optax.flatten(jaxreg.prox_sgd(0.1, L1, mask=jaxreg.kernels)).init(PARAMS), V,
        "nothing would be penalised.*optax.flatten"),
    "mask as a schedule": (
        lambda: INJECTED(0.1, L1, mask=jaxreg.kernels).init(PARAMS), T,
        'kernels: expected parameters, got a step count.*static_args="mask"'),
    "penalty as a schedule": (
        lambda: INJECTED(0.1, lambda _: None).init(PARAMS), T,
        "expected a penalty .* got None; with optax.inject_hyperparams, .* static_args"),
    "pattern": (
        lambda: sgd(L1, jaxreg.matching("blocks/*/atention"), NESTED), V,
        r"a pattern at blocks/\*/atention, where there"),
    "near pattern": (
        lambda: sgd(L1, jaxreg.matching("embedd"), NESTED), V,
        "embedd, where there is no .* similar names are: embed"),
    "no text": (
        lambda: jaxreg.matching(["embed"]), T, "expected patterns such as .*; pass several as"),
    "no pattern": (lambda: jaxreg.matching(), V, "at least one pattern"),
    "prefix": (
        lambda: sgd(L1, {"embed": True}, NESTED), V,
        "mask: .* nothing for blocks/0/.* and 2 more; expected"),
    "unused": (
        lambda: sgd(L1, {"embde": False, "**": True}, NESTED), V,
        "a bool at embde, where there is no .* names are: embed"),
    "equal keys": (
        lambda: jaxreg.penalty_value({"*ead/kernel": L1, "head/*el": L1, "**": None}, NESTED), V,
        "the tree of penalties has .* which fit head/kernel equally well"),
    # Leaves that are no arrays of weights
    **{f"module in {name}": (
        lambda use=use: use(MODULE), T,
        f"{name}: expected arrays, got the function relu at activation; .* eqx.filter")
       for name, use in {
           "proximal": lambda net: sgd(L1, jaxreg.kernels, net),
           "add_penalty": lambda net: link(L1, None, net),
           "hold_zeros": lambda net: jaxreg.hold_zeros(optax.sgd(0.1), jaxreg.kernels).init(net),
           "steer_strength": lambda net: steer(make_l1, 0.5, 9, params=net),
           "keep_largest": lambda net: jaxreg.keep_largest(net, 0.5), "sparsity": jaxreg.sparsity,
           "penalty_value": lambda net: jaxreg.penalty_value(L1, net),
           "kkt_residual": lambda net: jaxreg.kkt_residual(L1, net, net),
           "critical_strength": lambda net: jaxreg.critical_strength(L1, net),
           "fista": lambda net: fista(start=net), "compact": lambda net: compact(net),
           "duality_gap": lambda net: jaxreg.duality_gap(L1, net, lambda net: 0.0, 0.0)}.items()},
    **{f"{use} of {name}": (
        lambda apply=apply, leaf=leaf: apply({"odd": leaf, "w": jnp.ones(2)}), T,
        f"{use}: .*odd.* mask")
       for name, leaf in ODD.items()
       for use, apply in {
           "proximal": lambda tree: sgd(L1, None, tree),
           "add_penalty": lambda tree: link(L1, None, tree),
           "hold_zeros": lambda tree: jaxreg.hold_zeros(optax.sgd(0.1)).init(tree),
           "steer_strength": lambda tree: steer(make_l1, 0.5, 9, params=tree),
           "keep_largest": lambda tree: jaxreg.keep_largest(tree, 0.5),
           "penalty_value": lambda tree: jaxreg.penalty_value(L1, tree),
           "critical_strength": lambda tree: jaxreg.critical_strength(L1, tree)}.items()},
    **{f"{named} in sparsity": (
        lambda leaf=leaf: jaxreg.sparsity({"act": leaf, "w": jnp.ones(2)}), T,
        f"sparsity: expected arrays, got {named} at act;")
       for named, leaf in {"str": "relu", "object": object(), "ndarray": np.array(["a"])}.items()},
    # Pruning, steering and float32 copies
    "share 0": (lambda: jaxreg.keep_largest(PARAMS, 0), V, "keep_largest: share must"),
    "share 1.5": (lambda: jaxreg.keep_largest(PARAMS, 1.5), V, "keep_largest: share must"),
    "share nan": (lambda: jaxreg.keep_largest(PARAMS, jnp.nan), V, "keep_largest: share must"),
    "share text": (
        lambda: jaxreg.keep_largest(PARAMS, "10%"), T, "keep_largest: share must be a number"),
    "keep none": (
        lambda: jaxreg.keep_largest({"bias": jnp.ones(3)}, 0.5, jaxreg.kernels), V,
        "keep_largest: the mask selects none"),
    "keep axis": (
        lambda: jaxreg.keep_largest(PARAMS, 0.5, axis=1), V,
        "keep_largest: axis=1 does not fit an array of shape"),
    "keep text": (
        lambda: jaxreg.keep_largest(PARAMS, 0.5, axis="in"), T,
        "keep_largest: axis must be an int"),
    "keep head": (
        lambda: jaxreg.keep_largest({"up": jnp.ones((2, 3))}, 0.5, per="head"), V,
        "keep_largest: per='head' needs"),
    "keep both": (
        lambda: jaxreg.keep_largest(PARAMS, 0.5, axis=1, per="unit"), V,
        "keep_largest: expected axis or per"),
    "hold number": (
        lambda: jaxreg.hold_zeros(0.1), T,
        r"hold_zeros: expected an optax optimizer such as optax\.adam\(1e-3\), got 0\.1"),
    "hold MultiSteps": (
        lambda: jaxreg.hold_zeros(optax.MultiSteps(optax.sgd(0.1), 2)), T,
        r"call its gradient_transformation\(\)"),
    "hold none": (
        lambda: jaxreg.hold_zeros(optax.sgd(0.1), jaxreg.kernels).init({"bias": jnp.zeros(4)}), V,
        r"hold_zeros: the mask selects none of the parameters \{'bias': \(4,\)\}"),
    "hold mask": (
        lambda: jaxreg.hold_zeros(optax.sgd(0.1), {"weight": True}).init(PARAMS), V,
        "nothing for bias, kernel and a bool at weight"),
    "hold gradient": (
        lambda: updated(jaxreg.hold_zeros(optax.sgd(0.1)), {**PARAMS, "bias": jnp.ones(1)}), V,
        r"hold_zeros: .* of the parameter's shape \(3,\) at bias, got \(1,\)"),
    "hold state": (
        lambda: updated(jaxreg.hold_zeros(optax.sgd(0.1)), state=optax.EmptyState()), T,
        "hold_zeros: expected the HeldState that init returned, got EmptyState"),
    "master": (lambda: jaxreg.master_weights(L1), T, "master_weights: expected an optax optimizer"),
    "master state": (
        lambda: updated(jaxreg.master_weights(optax.sgd(0.1)), state=optax.EmptyState()), T,
        "expected the MasterState that init returned"),
    "steered": (
        lambda: steer(L1, 0.5, 10), T,
        "steer_strength: make_optimizer must be a function of the strength"),
    "steer class": (
        lambda: steer(jaxreg.L1, 0.5, 10), T,
        "make_optimizer: expected an optax optimizer .*, got L1"),
    "steer 0": (
        lambda: steer(make_l1, 0.0, 10), V,
        r"steer_strength: share must lie in \(0, 1\], got 0\.0"),
    "steer text": (lambda: steer(make_l1, "half", 10), T, "share must be a number"),
    "steer schedule": (
        lambda: steer(make_l1, constant(0.1), 10), T, r"share must be a number in \(0, 1\]"),
    "steer many": (
        lambda: steer(make_l1, jnp.array([0.5, 0.1]), 10), V,
        r"share must be one number, .* use jax\.vmap"),
    "steer steps": (lambda: steer(make_l1, 0.5, 0), V, "steps must be at least 1, got 0"),
    "steer float": (lambda: steer(make_l1, 0.5, 1e3), T, r"steps must be an int, got 1000\.0"),
    "steer begin": (
        lambda: steer(make_l1, 0.5, 10, begin=10), V,
        "begin must be at least 0 and below steps=10, got 10"),
    "steer none": (
        lambda: steer(make_l1, 0.5, 10, params={"bias": jnp.ones(3)}, mask=jaxreg.kernels), V,
        "steer_strength: the mask selects none"),
    "steer axis": (
        lambda: steer(make_l1, 0.5, 10, axis=1), V, "steer_strength: axis=1 does not fit"),
    "steer axis text": (
        lambda: steer(make_l1, 0.5, 10, axis="in"), T, "steer_strength: axis must be an int"),
    "steer state": (
        lambda: updated(jaxreg.steer_strength(make_l1, 0.5, 10), state=optax.EmptyState()), T,
        "steer_strength: expected the SteeredState that init returned"),
    # Measures
    "scheduled value": (
        lambda: jaxreg.penalty_value(scheduled, PARAMS), T, r"call penalty.at\(count\) first"),
    **{f"axes {axes}": (
        lambda axes=axes: jaxreg.sparsity(PARAMS, **axes), V,
        r"sparsity: expected two different axes of a kernel of shape \(4, 3\)")
       for axes in ({"input_axis": 5}, {"unit_axis": -3}, {"input_axis": 1, "unit_axis": -1})},
    "layers text": (
        lambda: jaxreg.sparsity(CHAIN, layers="layers/0"), T,
        "layers must be a list or a tuple of names, got 'layers/0'"),
    "layers name": (
        lambda: jaxreg.sparsity(CHAIN, layers=("layer/0",)), V,
        "'layer/0', which is not a counted kernel; .*: layers/0"),
    "layers bias": (
        lambda: jaxreg.sparsity(PARAMS, layers=("bias",)), V,
        "'bias', which is not a counted kernel"),
    "layers twice": (
        lambda: jaxreg.sparsity(CHAIN, layers=("layers/0", "layers/0")), V, "none twice"),
    "no layers": (lambda: jaxreg.sparsity(CHAIN, layers=()), V, "at least one kernel"),
    "layers' order": (
        lambda: jaxreg.sparsity(CHAIN, layers=("layers/2", "layers/1", "layers/0")), V,
        r"has 6 inputs, .* the 5 units of layer"),
    "a stack": (
        lambda: jaxreg.sparsity({"stacked": jnp.ones((3, 5, 5))}, layers=("stacked",)), V,
        "the stack stacked"),
    "unknown axes": (
        lambda: jaxreg.sparsity({"x": jnp.ones((3, 5, 5))}, layers=("x",)), V,
        "whose axes are known, got 'x', .*pass input_axis and unit_axis"),
    "connected": (
        lambda: jaxreg.sparsity(CHAIN).connected, V, r"call jaxreg\.sparsity\(params, layers=…\)"),
    # Compaction
    "other": (
        lambda: compact({"a": DENSE, "norm": {"scale": jnp.ones(2)}}), V,
        "expected dense layers alone, got other .*: norm/scale"),
    "rank": (
        lambda: compact({"kernel": jnp.ones((3, 3, 2, 2))}), V,
        r"expected kernels of rank 2.*got shape \(3, 3, 2, 2\) at kernel"),
    "bias shape": (
        lambda: compact({**DENSE, "bias": jnp.ones(3)}), V,
        r"expected a bias of shape \(2,\) for the kernel kernel, got \(3,\)"),
    "twice": (
        lambda: compact(DENSE, layers=("kernel", "kernel")), V,
        "expected every kernel and bias in one layer, got bias, kernel in"),
    "no kernel": (
        lambda: compact({"bias": jnp.ones(2)}), V,
        r"expected kernels \(leaves of rank 2\), found none"),
    "layer name": (
        lambda: compact(DENSE, layers=("kernle",)), V,
        "layers names 'kernle', which is not a parameter; similar names are: kernel"),
    "layer text": (
        lambda: compact(DENSE, layers="kernel"), T,
        "layers must be a list or a tuple of names, got 'kernel'"),
    "layer number": (
        lambda: compact(DENSE, layers=("kernel", 3)), T,
        r"must be a name .* or a pair \(kernel, bias or None\), got 3"),
    "layer pair": (
        lambda: compact(DENSE, layers=((None, "bias"),)), T,
        r"each of layers must be a name .*, got \(None, 'bias'\)"),
    "matrix axes": (
        lambda: compact(DENSE, input_axis=-1), V,
        "expected input_axis and unit_axis to be the two axes of a matrix"),
    "activation": (
        lambda: compact(DENSE, activation="tanh"), T,
        "activation must be a function such as jnp.tanh, got 'tanh'"),
    "softmax": (
        lambda: compact([DENSE, DENSE], activation=jax.nn.softmax), V,
        "expected an activation that acts on each unit alone.*softmax"),
    "nan in a bias": (
        lambda: compact({**DENSE, "bias": jnp.array([0, jnp.nan])}), V,
        "expected finite parameters, got NaN or infinity at bias"),
    "traced": (
        lambda: jax.jit(compact)(DENSE), T,
        "compact: expected arrays, got traced values.*outside jit"),
    "orders": (
        lambda: compact({"down": {"w": np.ones((8, 3))}, "up": {"w": np.ones((3, 8))}}), V,
        "compact: expected layers=…, .*several orders, .*of: .*w"),
    "no order": (
        lambda: compact({"a": {"kernel": jnp.ones((3, 4))}, "b": {"kernel": jnp.ones((5, 2))}}), V,
        "b/kernel has 5 inputs, which do not fit the 4 units of layer a/kernel.*pass layers"),
    "attention": (
        lambda: compact({"v": np.ones((6, 2, 3)), "o": np.ones((2, 3, 6))}, layers=("v", "o")), V,
        r"got kernels of attention with an axis of heads: o of shape \(2, 3, 6\)"),
    # FISTA
    "tol": (lambda: fista(tol=0.0), V, "fista: tol must be greater than 0"),
    "step_size": (lambda: fista(step_size=0.0), V, "step_size must be greater than 0"),
    "max_steps": (
        lambda: fista(max_steps=0), V, "max_steps must be a whole number of at least 1, got 0"),
    "fista penalty": (lambda: fista(penalty=0.1), T, "fista: expected a penalty such as jaxreg.L1"),
    "fista schedule": (
        lambda: fista(penalty=scheduled), V, "got a schedule; evaluate it by penalty.at"),
    "fista mask": (
        lambda: fista(mask=jaxreg.kernels), V, "fista: the mask selects none of the parameters"),
    "bfloat16": (
        lambda: fista(start=jnp.zeros(3, jnp.bfloat16)), T,
        "expected parameters in float32 or float64, got bfloat16"),
    "no scalar": (
        lambda: fista(lambda w, data: data[0] @ w), (V, T),
        r"fun\(params, data\) must return a scalar, got .*3"),
    "fista nan": (
        lambda: fista(lambda w, data: squares(w, data) * jnp.nan), V,
        "NaN or infinite after 0 steps; check the data for NaN"),
    "unbounded": (
        lambda: fista(lambda w, data: -jnp.sum(jnp.exp(w))), V,
        "NaN or infinite after .* steps; .* bounded from below"),
    "large step": (
        lambda: fista(lambda w, data: 100 * squares(w, data), step_size=1e9), V,
        r"NaN or infinite .*, whether step_size=1e\+09 is too large, and"),
    "no function": (
        lambda: fista("loss"), T, "fun must be a function of params and data, got 'loss'"),
    "unhashable": (
        lambda: fista(UNHASHABLE), T,
        r"fun must be hashable, .* wrap it once in a function, def loss\(params, data\)"),
    "no parameters": (
        lambda: fista(start={}), (V, T), "expected parameters, got a tree without arrays, {}"),
}
# fmt: on


@pytest.mark.filterwarnings(
    "ignore:proximal. along a constant gradient", "ignore:proximal. expected a first step"
)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_use_is_explained(name):
    use, kind, message = WRONG[name]
    with pytest.raises(kind, match=message) as raised:
        use()
    assert len(str(raised.value)) < 500


USES = {
    "add_penalty": link,
    "proximal": sgd,
    "penalty_value": lambda penalty, mask=None, params=PARAMS: jaxreg.penalty_value(
        penalty, params, mask
    ),
    "kkt_residual": lambda penalty, mask=None, params=PARAMS: jaxreg.kkt_residual(
        penalty, params, params, mask
    ),
    "critical_strength": lambda penalty, mask=None, params=PARAMS: jaxreg.critical_strength(
        penalty, params, mask
    ),
}
MISFIT = "the tree of penalties does not fit the parameters: .*"
STATE = nnx.State({"layers": {0: nnx.Param(jnp.ones(2)), 1: nnx.Param(jnp.ones(2))}})
# fmt: off
TREES = {
    "a number": (
        {"kernel": 0.1, "bias": None}, PARAMS,
        r"expected a penalty such as .* or None at kernel, got 0\.1"),
    "a mask": ({"kernel": L1, "bias": False}, PARAMS, "or None at bias, got False"),
    "a schedule": ({"a": {"b": constant(0.1)}}, PARAMS, "or None at a/b, got <function"),
    "only None": (
        {"kernel": None, "bias": None}, PARAMS,
        "at least one penalty, got only None, so nothing .* write a"),
    "empty": ({}, PARAMS, "expected a tree with at least one penalty, got an empty tree"),
    "None": (None, PARAMS, r"expected a penalty such as jaxreg.L1\(1e-4\), got None"),
    "missing": (
        {"kernel": L1}, PARAMS,
        MISFIT + "nothing for bias; expected one penalty or None for each of bias, kernel, at"),
    "misspelt": (
        {"kernle": L1, "bias": None}, PARAMS,
        MISFIT + "nothing for kernel and a penalty at kernle, where there is no parameter"),
    "too deep": (
        {"kernel": {"w": L1}, "bias": None}, PARAMS,
        MISFIT + "nothing for kernel and a penalty at kernel/w, where there is"),
    "too much": (
        {"kernel": L1, "bias": None, "scale": L1}, PARAMS,
        MISFIT + "it has a penalty at scale, where there is no param"),
    "one array": (
        {"kernel": L1}, jnp.ones(3),
        MISFIT + r"nothing for \(the only leaf\) and a penalty at kernel, where"),
    "many": (
        {"a": L1}, {str(i): jnp.ones(2) for i in range(12)},
        MISFIT + "nothing for 0, 1, 10 and 9 more and a penalty at a, .* and 4 more"),
    "an index": (
        {"layers": {0: L1, 2: L1}}, STATE,
        MISFIT + "nothing for layers/1 and a penalty at layers/2, where"),
}
# fmt: on


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", TREES)
def test_a_tree_of_penalties_that_does_not_fit(name, use):
    given, params, message = TREES[name]
    for penalty in (given, lambda params: given):
        with pytest.raises((V, T), match=f"^{use}: .*{message}"):
            USES[use](penalty, None, params)
    if "fit" not in message:
        with pytest.raises((V, T)):  # at construction
            jaxreg.prox_sgd(0.1, given)


@pytest.mark.parametrize(
    "tx",
    [jaxreg.add_penalty(L1), jaxreg.prox_sgd(0.1, L1), jaxreg.hold_zeros(jaxreg.prox_sgd(0.1, L1))],
)
def test_missing_params_is_optax_own_error(tx):
    with pytest.raises(V) as theirs:
        optax.add_decayed_weights(0.1).update(PARAMS, optax.EmptyState(), None)
    with pytest.raises(V) as ours:
        tx.update(PARAMS, tx.init(PARAMS))
    assert str(ours.value) == str(theirs.value)


adam, chain, scale_by_adam = preconditioners.adam, optax.chain, optax.scale_by_adam
# fmt: off
OTHERS = {
    "b2": (scale_by_adam(b2=0.99), adam()),
    "eps": (scale_by_adam(eps=1e-3), adam()),
    "adamax for adam": (scale_by_adam(), preconditioners.adamax()),
    "a learning rate": (chain(scale_by_adam(), optax.scale(1e-3)), adam()),
    "signs": (optax.scale_by_lion(), None),
    "a trust ratio": (chain(scale_by_adam(), optax.scale_by_trust_ratio()), adam()),
    "a clip": (chain(optax.clip_by_global_norm(1.0), scale_by_adam()), adam()),
    "a clip of each": (chain(optax.clip(0.5), optax.trace(0.9)), preconditioners.trace(0.9)),
    "AdaDelta": (optax.scale_by_adadelta(), None),
    "eps of AdaDelta": (optax.scale_by_adadelta(), preconditioners.adadelta(1e-2)),
}
FITTING = {
    "nesterov": (scale_by_adam(nesterov=True), adam()),
    "yogi": (optax.scale_by_yogi(), adam(eps=1e-3)),
    "centered": (optax.scale_by_stddev(), preconditioners.rms()),
    "decayed": (chain(scale_by_adam(), optax.add_decayed_weights(0.1)), adam()),
    "rms and momentum": (
        chain(optax.scale_by_rms(), optax.trace(0.9, nesterov=True)),
        preconditioners.product(preconditioners.rms(), preconditioners.trace(0.9))),
    "coupled L2": (chain(jaxreg.add_l2(0.1), scale_by_adam()), adam()),
    "NovoGrad": (optax.scale_by_novograd(), preconditioners.novograd()),
    "plateau": (
        chain(scale_by_adam(), optax.contrib.reduce_on_plateau()),
        preconditioners.product(adam(), preconditioners.plateau())),
    "plain average": (optax.ema(0.9, debias=False), None),
    "noise": (chain(optax.add_noise(1.0, 0.5, 0), scale_by_adam()), adam()),
    "centralized": (chain(optax.centralize(), scale_by_adam()), adam()),
    "other parameters": (optax.masked(scale_by_adam(), {"kernel": True, "bias": False}), adam()),
}
# fmt: on


@pytest.mark.parametrize("name", OTHERS)
def test_another_direction_s_preconditioner_is_a_warning(name):
    with pytest.warns(
        UserWarning, match=r"expected a first step of g/D, got .* preconditioner named after"
    ) as caught:
        jaxreg.proximal(OTHERS[name][0], L1, 1e-3, OTHERS[name][1])
    assert len(caught) == 1


@pytest.mark.parametrize("name", FITTING)
def test_a_fitting_preconditioner_passes_in_silence(name):
    tx = jaxreg.proximal(FITTING[name][0], L1, 1e-3, FITTING[name][1])
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=1.0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def test_one_axis_for_kernels_of_several_ranks_is_a_warning():
    params = {"conv": jnp.ones((3, 3, 2, 4)), "dense": jnp.ones((8, 2))}
    with pytest.warns(
        UserWarning, match=r"proximal: .*dense \(8, 2\), conv \(3, 3, 2, 4\); pass per=\"input\""
    ) as caught:
        jaxreg.prox_adam(1e-3, GROUPS).init(params)
    assert caught[0].filename == __file__
    jaxreg.prox_adam(1e-3, PER_INPUT).init(params)
    jaxreg.prox_adam(1e-3, {"conv": jaxreg.GroupL2(0.1, axis=(0, 1, 3)), "dense": GROUPS}).init(
        params
    )


def test_what_did_not_converge_is_said(float64):
    random = np.random.default_rng(0)
    data = random.normal(size=(50, 3)) @ random.normal(size=(3, 3)), random.normal(size=50)
    solver = jaxreg.fista(squares, jaxreg.L1(1e-3), max_steps=3)
    with pytest.warns(
        UserWarning,
        match=r"fista: the residual is .* after 3 steps, above tol=1e-05; pass a larger max_steps",
    ):
        state = solver.run(jnp.zeros(3), data).state
    assert not state.converged and int(state.steps) == 3
    narrow = jax.tree.map(np.float32, data)
    with pytest.warns(
        UserWarning, match=r"float32 resolves about .* here, so pass a larger tol, or use float64"
    ):
        jaxreg.fista(squares, jaxreg.L1(1e-3), tol=1e-13, max_steps=500).run(
            jnp.zeros(3, jnp.float32), narrow
        )
    jaxreg.fista(squares, jaxreg.L1(1e-3), tol=1e-2).run(jnp.zeros(3, jnp.float32), narrow)
    with pytest.warns(
        UserWarning, match="parameters have grown to .*, so look whether the loss is bounded"
    ) as said:
        jaxreg.fista(lambda w, data: -jnp.sum(w), L1).run(jnp.ones(6))
    assert said[0].filename == __file__


def test_what_is_not_known_yet_passes():
    @jax.jit
    def update(strength, b2, momentum):
        optimizers = (
            jaxreg.proximal(scale_by_adam(b2=b2), jaxreg.L1(strength), 1e-3, adam(b2)),
            jaxreg.prox_sgd(0.1, L1, momentum=momentum),
        )
        return [updated(tx)[0]["bias"] for tx in optimizers], jaxreg.MCP(0.1, momentum).value(
            jnp.ones(3)
        )

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(update(-1.0, 0.99, 0.9)))
    jaxreg.prox_sgd(constant(0.1), scheduled)
    # A warm-up that starts at 0 reaches the constructor as a JAX array.
    optax.inject_hyperparams(jaxreg.prox_l1)(
        strength=0.1, step_size=optax.linear_schedule(0.0, 1.0, 5)
    ).init(PARAMS)
    sgd({"steps": None, "kernel": L1}, None, {"steps": jnp.arange(3), "kernel": jnp.ones(3)})
    with jax.checking_leaks(), warnings.catch_warnings():
        assert jax.jit(jaxreg.prox_adam(1e-3, L1).init)(PARAMS).count == 0
