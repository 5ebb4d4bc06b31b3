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

adam, chain, scale_by_adam = preconditioners.adam, optax.chain, optax.scale_by_adam
l1 = jaxreg.L1(0.1)
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
ONE = {"kernel": l1}
INJECTED = optax.inject_hyperparams(jaxreg.prox_adam)
HEADS = {"value": {"kernel": np.ones((6, 2, 3))}, "out": {"kernel": np.ones((2, 3, 6))}}
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
    return jaxreg.proximal(direction, l1, 1e-3, preconditioner).init(PARAMS)


def updated(tx, gradient=PARAMS, state=None):
    return tx.update(gradient, tx.init(PARAMS) if state is None else state, PARAMS)


def steer(*args, params=PARAMS, **options):
    return jaxreg.steer_strength(*args, **options).init(params)


def compact(params, **options):
    return jaxreg.compact(params, **{"activation": jnp.tanh, **options})


def squares(w, data):
    return jnp.mean((data[0] @ w - data[1]) ** 2) / 2


def fista(fun=squares, penalty=l1, start=None, mask=None, **options):
    data = jnp.eye(3), jnp.arange(3.0)
    start = jnp.zeros(3) if start is None else start
    return jaxreg.fista(fun, penalty, mask=mask, **options).run(start, data)


UNHASHABLE = type(
    "Unhashable", (), {"__hash__": None, "__call__": lambda self, w, data: squares(w, data)}
)()

# fmt: off
# What a user types, and the sentence it gets.
VALUE_ERRORS = {
    # Numbers of penalties
    "L1(-0.1)": r"L1: strength must not be negative, got -0\.1",
    "SquaredL2(float('nan'))": "SquaredL2: strength must be finite, got nan",
    "ElasticNet(0.1, np.inf)": "ElasticNet: l2_strength must be finite, got inf",
    "L1(jnp.array([0.1, -1]))": "L1: strength must not be negative",
    "MCP(0.1, 1.0)": "MCP: gamma must be finite and greater than 1, got 1.0; pass gamma=3.0",
    "MCP(0.1, jnp.array([3.0, 0.5]))": "MCP: gamma must be finite and greater than 1",
    "MCP(0.1, np.inf)": "gamma must be finite .* got inf; .*a large one gives L1",
    "SCAD(0.1, 2)": "SCAD: a must be finite and greater than 2, got 2; pass a=3.7",
    "LogSum(0.1, 0.0)": "LogSum: scale must be finite and greater than 0, got 0.0; pass scale=0.01",
    "Bridge(0.1, 1.0)": "Bridge: power must lie between 0 and 1, got 1.0; .* L1 for 1",
    "Bridge(0.1, 0)": "Bridge: power must lie between 0 and 1, got 0; .* L0 for 0",
    "L0(-0.1)": "L0: strength must not be negative",
    "Bridge(np.nan)": "Bridge: strength must be finite",
    "Weighted(l1, -1.0)": "Weighted: factors must not be negative",
    "Weighted(l1, np.ones(5)).value(jnp.ones(3))": "Weighted: expected factors that broadcast",
    # Axes and groups
    "GroupL2(0.1, axis=(1, 1))": r"axis must name .* got \(1, 1\)",
    "GroupL2(0.1, axis=())": "at least one axis",
    "GroupL2(0.1, 1, 'input')": "expected axis or per, got axis=1 and per='input'",
    "Group(l1, per='row')": r'Group: per must be "input", "unit" or "head", .*got \'row\'',
    "Group(MCP(0.1), axis=1).prox(np.ones((2, 3)), np.ones((2, 3)))":
        r"expected one step per group.*axis=1, got a step of shape \(2, 3\).*pool the step",
    "PER_INPUT.value(jnp.ones((2, 3, 4)))":
        r"per='input' needs .* got the shape \(2, 3, 4\), which may be",
    "PER_INPUT.value(jnp.ones(3))":
        r"needs a kernel, got the shape \(3,\); leave this parameter out with a mask",
    "sgd(PER_INPUT)":
        r"proximal: GroupL2: per='input' needs a kernel, got the shape \(3,\) at bias",
    "penalty_value(PER_INPUT, {'position': jnp.ones((1, 3, 4))})":
        r"\(1, 3, 4\) at position, which may be",
    "penalty_value(SPARSE_HEADS, {'up': jnp.ones((2, 3))})":
        r"penalty_value: SparseGroupL2: per='head' needs a kernel with an axis of heads, .* at up",
    "link(GROUPS)": r"add_penalty: parameter bias: .*axis=1 does not fit .*\(3,\).*mask",
    "sgd(GroupL2(0.1, axis=-3), kernels)": r"parameter kernel: .*axis=-3 .*\(4, 3\)",
    "link(GroupL2(0.1, axis=(1, -1)), kernels)": r"axis=\(1, -1\) does not fit",
    "sgd({'kernel': l1, 'bias': GROUPS})": r"parameter bias: .*axis=1 does not fit",
    # Arguments of links and optimizers
    "add_l1(-1.0)": "strength must not be negative, got -1.0",
    "prox_l1(0.1, 0.0)": r"step_size must be greater than 0, got 0\.0",
    "proximal_step(l1, -0.1)": "step_size must not be negative, got -0.1",
    "prox_l1(0.1, lambda _: -0.1)": "step_size is a schedule.* got -0.1",
    "prox_adam(-0.001, l1)": "learning_rate must not be negative.*pass a positive learning_rate",
    "prox_sgd(jnp.ones(3), l1)": r"learning_rate must be one number.*\(3,\)",
    "prox_adam(lambda count: 0.001 - 1e-05 * count, l1)":
        r"learning_rate is a schedule .* at least 0, got -0.009 at step 1000; clip it at 0",
    "prox_sgd(lambda _: np.nan, l1)": "at least 0, got nan at step 0",
    "prox_sgd(0.1, l1, 1.0)": r"momentum must lie in \[0, 1\), got 1.0",
    "prox_rmsprop(0.1, l1, nesterov=True)":
        "prox_rmsprop: nesterov=True needs a momentum, got momentum=None; pass momentum=0.9",
    "prox_adam(0.001, l1, b1=1.0)": r"prox_adam: b1 must lie in \[0, 1\), got 1.0",
    "prox_adamw(0.001, l1, b1=-0.1)": "prox_adamw: b1 must lie",
    "prox_nadam(0.001, l1, b2=2)": r"b2 must lie in \[0, 1\), got 2",
    "prox_adamax(0.001, l1, b2=1.0)": "prox_adamax: b2 must lie",
    "prox_yogi(0.001, l1, b2=1.0)": "prox_yogi: b2 must lie",
    "prox_amsgrad(0.001, l1, b2=1.0)": "prox_amsgrad: b2 must lie",
    "prox_adabelief(0.001, l1, b2=1.0)": "prox_adabelief: b2 must lie",
    "prox_rmsprop(0.001, l1, decay=1.0)": "prox_rmsprop: decay must lie",
    "prox_adam(0.001, l1, eps=-1e-08)": "prox_adam: eps must not be negative",
    "prox_adagrad(0.001, l1, eps=-1e-08)": "prox_adagrad: eps must not be negative",
    "prox_adam(0.001, l1, max_shrink=0.0)": "max_shrink must be greater than 0",
    # Directions and their preconditioners
    "proximal(optax.scale_by_lbfgs())": "a diagonal D, got L-BFGS",
    "updated(jaxreg.proximal(optax.scale_by_adam(), l1, 0.1, preconditioners.rss()))":
        "expected one ScaleByRssState .* found 0 in ScaleByAdamState",
    # Parameters, gradients and states
    "link(L1(jnp.ones(7)))": r"strength, got an array of shape \(7,\).*jax.vmap",
    "sgd({'kernel': L1(jnp.ones(7)), 'bias': None})":
        "for a strength of each weight pass jaxreg.Weighted",
    "updated(prox_sgd(0.1, l1), {**PARAMS, 'kernel': jnp.ones((1, 3))})":
        r"shape \(4, 3\) at kernel, got \(1, 3\)",
    "updated(add_penalty(l1), {**PARAMS, 'kernel': jnp.ones((1, 3))})":
        r"shape \(4, 3\) at kernel, got \(1, 3\)",
    "kkt_residual(l1, PARAMS, {**PARAMS, 'kernel': jnp.ones((1, 3))})":
        r"kkt_residual: expected .* \(4, 3\) at kernel, got \(1, 3\)",
    "updated(prox_sgd(0.1, ONE), state=sgd(ONE, None, {'kernel': np.ones(3)}))": "nothing for bias",
    # Masks
    "link(l1, {'kernel': True})":
        "mask: .* it has nothing for bias; expected True or False for each of bias, kernel",
    "link(l1, False)": r"the mask selects none of the parameters .*bias.*\(3,\).*another mask",
    "sgd(l1, kernels, {'bias': jnp.ones(3)})": "the mask selects none of the parameters",
    "sgd({'kernel': None, 'bias': l1}, kernels)":
        "selects none of the parameters that have a penalty among .*nothing would be",
    "optax.flatten(prox_sgd(0.1, l1, mask=kernels)).init(PARAMS)":
        "nothing would be penalised.*optax.flatten",
    "sgd(l1, matching('blocks/*/atention'), NESTED)":
        r"a pattern at blocks/\*/atention, where there",
    "sgd(l1, matching('embedd'), NESTED)": "embedd, where there is no .* similar names are: embed",
    "matching()": "at least one pattern",
    "sgd(l1, {'embed': True}, NESTED)": "mask: .* nothing for blocks/0/.* and 2 more; expected",
    "sgd(l1, {'embde': False, '**': True}, NESTED)":
        "a bool at embde, where there is no .* names are: embed",
    "penalty_value({'*ead/kernel': l1, 'head/*ernel': None, '**': None}, NESTED)":
        "the tree of penalties has .* which fit head/kernel equally well",
    # Pruning, steering and float32 copies
    "keep_largest(PARAMS, 0)": "keep_largest: share must",
    "keep_largest(PARAMS, 1.5)": "keep_largest: share must",
    "keep_largest(PARAMS, jnp.nan)": "keep_largest: share must",
    "keep_largest({'bias': jnp.ones(3)}, 0.5, kernels)": "keep_largest: the mask selects none",
    "keep_largest(PARAMS, 0.5, axis=1)": "keep_largest: axis=1 does not fit an array of shape",
    "keep_largest({'up': jnp.ones((2, 3))}, 0.5, per='head')": "keep_largest: per='head' needs",
    "keep_largest(PARAMS, 0.5, axis=1, per='unit')": "keep_largest: expected axis or per",
    "hold_zeros(optax.sgd(0.1), kernels).init({'bias': jnp.zeros(4)})":
        r"hold_zeros: the mask selects none of the parameters \{'bias': \(4,\)\}",
    "hold_zeros(optax.sgd(0.1), {'weight': True}).init(PARAMS)":
        "nothing for bias, kernel and a bool at weight",
    "updated(hold_zeros(optax.sgd(0.1)), {**PARAMS, 'bias': jnp.ones(1)})":
        r"hold_zeros: .* of the parameter's shape \(3,\) at bias, got \(1,\)",
    "steer(make_l1, 0.0, 10)": r"steer_strength: share must lie in \(0, 1\], got 0\.0",
    "steer(make_l1, jnp.array([0.5, 0.1]), 10)": r"share must be one number, .* use jax\.vmap",
    "steer(make_l1, 0.5, 0)": "steps must be at least 1, got 0",
    "steer(make_l1, 0.5, 10, reached=1.5)": "reached must be at most 1",
    "steer(make_l1, {}, 10)": "share must be a number or a dict of shares",
    "steer(make_l1, {'kernel': 2.0}, 10)": r"share must lie in \(0, 1\], got 2\.0",
    "steer(make_l1, {'other': 0.5}, 10)": "steer_strength: share does not fit .* a key at other",
    "steer(make_l1, {'bias': 0.5}, 10, mask=kernels)": "selects none of the parameters at 'bias'",
    "jaxreg.Controller(0.0)": "Controller: target must be",
    "steer(make_l1, 0.5, 10, begin=10)": "begin must be at least 0 and below steps=10, got 10",
    "steer(make_l1, 0.5, 10, params={'bias': jnp.ones(3)}, mask=kernels)":
        "steer_strength: the mask selects none",
    "steer(make_l1, 0.5, 10, axis=1)": "steer_strength: axis=1 does not fit",
    # n of m
    "jaxreg.NOfM(1.0, 4, 4)": "NOfM: expected n weights of every m with 1 ≤ n < m, got n=4, m=4",
    "sgd(jaxreg.NOfM(1.0, 2, 4, axis=0))": "bias: expected a multiple of 4 weights along",
    "jaxreg.keep_largest(PARAMS, (2, 3, 4))": r"expected a pair \(n, m\) such as",
    "jaxreg.keep_largest(PARAMS, (2, 7), kernels)": "keep_largest: expected a multiple of 7",
    "jaxreg.keep_largest(PARAMS, (0, 3))": "keep_largest: expected n weights of every m",
    # Groups across parameters
    "jaxreg.GroupL2(1.0, per={})": 'per must be "input", "unit" or "head", or a dict',
    "jaxreg.GroupL2(1.0, per={'kernel': 'row'})": "per must be .* got .*row",
    "jaxreg.GroupL2(1.0, per={'kernel': 'unit'}).value(jnp.ones(3))": "several parameters, got one",
    "sgd(jaxreg.GroupL2(1.0, per={'kernel': 'unit', 'other': 'unit'}))":
        "GroupL2: per has the pattern 'other', which fits no parameter; the",
    "sgd(jaxreg.GroupL2(1.0, per={'kernel': 'unit', 'bias': 'input'}))":
        "per='input' does not tell groups apart in bias",
    "sgd(jaxreg.GroupL2(1.0, per={'kernel': ('unit', 7)}))": "same number of groups.* for 7 groups",
    "sgd(jaxreg.GroupL2(1.0, per={'bias': 'unit'}), mask=kernels)": "selects none .*per names",
    "fista(penalty=jaxreg.GroupL2(1.0, per={'a': 'unit'}), start={'a': jnp.ones(3)})":
        "fista: expected groups in one parameter each",
    # Measures
    "sparsity(CHAIN, layers=('layer/0',))":
        "'layer/0', which is not a counted kernel; .*: layers/0",
    "sparsity(PARAMS, layers=('bias',))": "'bias', which is not a counted kernel",
    "sparsity(CHAIN, layers=('layers/0', 'layers/0'))": "none twice",
    "sparsity(CHAIN, layers=())": "at least one kernel",
    "sparsity(CHAIN, layers=('layers/2', 'layers/1', 'layers/0'))":
        r"has 6 inputs, .* the 5 units of layer",
    "sparsity({'stacked': jnp.ones((3, 5, 5))}, layers=('stacked',))": "the stack stacked",
    "sparsity({'x': jnp.ones((3, 5, 5))}, layers=('x',))":
        "whose axes are known, got 'x', .*pass input_axis and unit_axis",
    "sparsity(CHAIN).connected": r"call jaxreg\.sparsity\(params, layers=…\)",
    # Compaction
    "compact({'a': DENSE, 'norm': {'scale': jnp.ones(2)}})":
        "expected dense layers alone, got other .*: norm/scale",
    "compact({'kernel': jnp.ones((3, 3, 2, 2))})":
        r"expected kernels of rank 2.*got shape \(3, 3, 2, 2\) at kernel",
    "compact({**DENSE, 'bias': jnp.ones(3)})":
        r"expected a bias of shape \(2,\) for the kernel kernel, got \(3,\)",
    "compact(DENSE, layers=('kernel', 'kernel'))":
        "expected every kernel and bias in one layer, got bias, kernel in",
    "compact({'bias': jnp.ones(2)})": r"expected kernels \(leaves of rank 2\), found none",
    "compact(DENSE, layers=('kernle',))":
        "layers names 'kernle', which is not a parameter; similar names are: kernel",
    "compact(DENSE, input_axis=-1)":
        "expected input_axis and unit_axis to be the two axes of a matrix",
    "compact([DENSE, DENSE], activation=jax.nn.softmax)":
        "expected an activation that acts on each unit alone.*softmax",
    "compact({**DENSE, 'bias': jnp.array([0, jnp.nan])})":
        "expected finite parameters, got NaN or infinity at bias",
    "compact({'down': {'w': np.ones((8, 3))}, 'up': {'w': np.ones((3, 8))}})":
        "compact: expected layers=…, .*several orders, .*of: .*w",
    "compact({'a': {'kernel': jnp.ones((3, 4))}, 'b': {'kernel': jnp.ones((5, 2))}})":
        "b/kernel has 5 inputs, which do not fit the 4 units of layer a/kernel.*pass layers",
    "compact(HEADS, layers=('value/kernel', 'out/kernel'))":
        r"got kernels of attention with an axis of heads: out/kernel of shape \(2, 3, 6\)",
    # FISTA
    "fista(tol=0.0)": "fista: tol must be greater than 0",
    "fista(step_size=0.0)": "step_size must be greater than 0",
    "fista(max_steps=0)": "max_steps must be a whole number of at least 1, got 0",
    "fista(penalty=scheduled)": "got a schedule; evaluate it by penalty.at",
    "fista(mask=kernels)": "fista: the mask selects none of the parameters",
    "fista(lambda w, data: data[0] @ w)": r"fun\(params, data\) must return a scalar, got .*3",
    "fista(lambda w, data: squares(w, data) * jnp.nan)":
        "NaN or infinite after 0 steps; check the data for NaN",
    "fista(lambda w, data: -jnp.sum(jnp.exp(w)))":
        "NaN or infinite after .* steps; .* bounded from below",
    "fista(lambda w, data: 100 * squares(w, data), step_size=1000000000.0)":
        r"NaN or infinite .*, whether step_size=1e\+09 is too large, and",
    "fista(start={})": "expected parameters, got a tree without arrays, {}",
}
TYPE_ERRORS = {
    # Numbers of penalties
    "GroupL2('0.1')": "GroupL2: strength must be a number.*'0.1' of type str",
    "L1(True)": "L1: strength must be a number.*True of type bool",
    "L1([0.1, 0.2])": r"L1: strength must be a number.*jnp.array\(\[0.1, 0.2\]\)",
    "L1(None)": "L1: strength must be a number.*NoneType",
    "L1(np.complex64(1j))": "pass real numbers",
    "L1(lambda _: None)": "L1: strength is a schedule .* got None at step 0",
    "scheduled.value(jnp.ones(3))": "schedule.*penalty.at",
    "MCP(0.1, '3')": "MCP: gamma must be a number.*'3' of type str",
    "Bridge(0.1, jnp.array(0.5))": "power must be a Python number.*one penalty per power",
    "Weighted(0.1, 1.0)": "Weighted: expected a penalty",
    # Axes and groups
    "GroupL2(0.1, axis='in')": "GroupL2: axis must be an int or a tuple",
    "Group(GroupL2(0.1))": "Group: expected a penalty of single weights",
    "Group(0.1)": "Group: expected a penalty of single weights",
    # Arguments of links and optimizers
    "add_penalty(0.0001)": r"add_penalty: expected a penalty such as jaxreg.L1\(1e-4\)",
    "prox_adam(0.001, L1)": "proximal: expected a penalty such as .* got <class .*L1'>",
    "prox_l1(0.1, 'fast')": "step_size must be a number",
    "prox_sgd(lambda _: None, l1)": "must return a number for every step, got None at",
    "jaxreg.proximal(optax.adam, l1, 0.1)": "direction must be a transformation",
    "prox_sgd(0.1, l1, '0.9')": "momentum must be a number",
    "prox_adam(0.001, l1, kernels)":
        r"b1 must be a number in \[0, 1\), got the function 'kernels'; pass a mask by name, mask=",
    "prox_sgd(0.001, l1, {'kernel': True})": r"got {'kernel': True}; pass a mask by name",
    "prox_sgd(0.1, l1, clip=1.0)":
        r"clip must be .* such as optax.clip_by_global_norm\(1.0\), got 1.0",
    # Directions and their preconditioners
    "updated(jaxreg.proximal(optax.scale_by_adam(), l1, 0.1, preconditioners.adam))":
        r"preconditioner returned .* call it first, as in preconditioners.adam\(\)",
    # Parameters, gradients and states
    "link(l1, None, {'steps': jnp.arange(3)})": "parameter steps: .*int32.*mask",
    "updated(prox_adam(0.001, l1), state=optax.adam(0.001).init(PARAMS))":
        "expected the ProximalState that init returned, got tuple; call update",
    "updated(prox_adam(0.001, l1), state=PARAMS)":
        "expected the ProximalState that init returned, got dict",
    "updated(add_penalty(scheduled), state=optax.EmptyState())":
        "add_penalty: expected the PenaltyState",
    # Masks
    "sgd(l1, {'kernel': 1.0, 'bias': True})": "mask: expected True or False at kernel, got 1.0",
    "sgd(l1, lambda p: p)": "mask: expected True or False at bias",
    "sgd(l1, 'embed')": r"expected True or False at \(the only leaf\), got 'embed'",
    "sgd(l1, nnx.Param)": "got the type Param; update gets plain arrays.*jaxreg.matching.*wrt=",
    "INJECTED(0.1, l1, mask=kernels).init(PARAMS)":
        'kernels: expected parameters, got a step count.*static_args="mask"',
    "INJECTED(0.1, lambda _: None).init(PARAMS)":
        "expected a penalty .* got None; with optax.inject_hyperparams, .* static_args",
    "matching(['embed'])": "expected patterns such as .*; pass several as",
    # Pruning, steering and float32 copies
    "keep_largest(PARAMS, '10%')": "keep_largest: share must be a number",
    "keep_largest(PARAMS, 0.5, axis='in')": "keep_largest: axis must be an int",
    "hold_zeros(0.1)":
        r"hold_zeros: expected an optax optimizer such as optax\.adam\(1e-3\), got 0\.1",
    "hold_zeros(optax.MultiSteps(optax.sgd(0.1), 2))": r"call its gradient_transformation\(\)",
    "updated(hold_zeros(optax.sgd(0.1)), state=optax.EmptyState())":
        "hold_zeros: expected the HeldState that init returned, got EmptyState",
    "master_weights(l1)": "master_weights: expected an optax optimizer",
    "updated(master_weights(optax.sgd(0.1)), state=optax.EmptyState())":
        "expected the MasterState that init returned",
    "steer(l1, 0.5, 10)": "steer_strength: make_optimizer must be a function of the strength",
    "steer(L1, 0.5, 10)": "make_optimizer: expected an optax optimizer .*, got L1",
    "steer(make_l1, 'half', 10)": "share must be a number",
    "steer(make_l1, constant(0.1), 10)": r"share must be a number in \(0, 1\]",
    "steer(make_l1, 0.5, 1000.0)": r"steps must be an int, got 1000\.0",
    "steer(make_l1, 0.5, 10, axis='in')": "steer_strength: axis must be an int",
    "updated(steer_strength(make_l1, 0.5, 10), state=optax.EmptyState())":
        "steer_strength: expected the SteeredState that init returned",
    # Measures
    "penalty_value(scheduled, PARAMS)": r"call penalty.at\(count\) first",
    "sparsity(CHAIN, layers='layers/0')":
        "layers must be a list or a tuple of names, got 'layers/0'",
    # Compaction
    "compact(DENSE, layers='kernel')": "layers must be a list or a tuple of names, got 'kernel'",
    "compact(DENSE, layers=('kernel', 3))":
        r"must be a name .* or a pair \(kernel, bias or None\), got 3",
    "compact(DENSE, layers=((None, 'bias'),))":
        r"each of layers must be a name .*, got \(None, 'bias'\)",
    "compact(DENSE, activation='tanh')":
        "activation must be a function such as jnp.tanh, got 'tanh'",
    "jax.jit(compact)(DENSE)": "compact: expected arrays, got traced values.*outside jit",
    # FISTA
    "fista(penalty=0.1)": "fista: expected a penalty such as jaxreg.L1",
    "fista(start=jnp.zeros(3, jnp.bfloat16))":
        "expected parameters in float32 or float64, got bfloat16",
    "fista('loss')": "fun must be a function of params and data, got 'loss'",
    "fista(UNHASHABLE)":
        r"fun must be hashable, .* wrap it once in a function, def loss\(params, data\)",
}
VALUE_ERRORS |= dict.fromkeys(
    [f"prox_adam(1e-3, l1, clip={clip})" for clip in (
        "optax.scale(-1.0)", "add_l2(0.1)", "optax.set_to_zero()", "optax.sgd(0.1)")],
    "proximal: expected a clip that multiplies each gradient by a positive factor")
VALUE_ERRORS |= {
    f"proximal(optax.{direction})":
        f"expected the preconditioner of a direction with the state of {state}.*None"
    for direction, state in {
        "scale_by_adam()": r"adam \(or adamax\)", "trace(0.9)": "trace", "scale_by_rms()": "rms",
        "scale_by_belief()": "belief", "scale_by_amsgrad()": "amsgrad", "scale_by_rss()": "rss",
        "chain(optax.clip(1.0), optax.scale_by_adam())": "adam"}.items()}
VALUE_ERRORS |= dict.fromkeys(
    [f"proximal({optimizer}, adam())" for optimizer in (
        "optax.adamw(1e-3)", "chain(scale_by_adam(), optax.scale(-1))")],
    "expected a direction along the gradient.*optax.scale_by_adam")
VALUE_ERRORS |= {
    f"sparsity(PARAMS, {axes})":
        r"sparsity: expected two different axes of a kernel of shape \(4, 3\)"
    for axes in ("input_axis=5", "unit_axis=-3", "input_axis=1, unit_axis=-1")}
ON_A_TREE = {
    "proximal": "sgd(l1, None, tree)",
    "add_penalty": "link(l1, None, tree)",
    "hold_zeros": "hold_zeros(optax.sgd(0.1)).init(tree)",
    "steer_strength": "steer(make_l1, 0.5, 9, params=tree)",
    "keep_largest": "keep_largest(tree, 0.5)",
    "penalty_value": "penalty_value(l1, tree)",
    "critical_strength": "critical_strength(l1, tree)",
    "sparsity": "sparsity(tree)",
    "kkt_residual": "kkt_residual(l1, tree, tree)",
    "fista": "fista(start=tree)",
    "compact": "compact(tree)",
    "duality_gap": "duality_gap(l1, tree, lambda net: 0.0, 0.0)",
}
# fmt: on
NAMES = {**vars(jaxreg), **globals(), "jaxreg": jaxreg}


@pytest.mark.filterwarnings(
    "ignore:proximal. along a constant gradient", "ignore:proximal. expected a first"
)
@pytest.mark.parametrize(
    ("use", "kind", "message"),
    [(use, ValueError, message) for use, message in VALUE_ERRORS.items()]
    + [(use, TypeError, message) for use, message in TYPE_ERRORS.items()],
)
def test_a_wrong_use_is_explained(use, kind, message):
    with pytest.raises(kind, match=message) as raised:
        eval(use, NAMES)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("name", ON_A_TREE)
def test_leaves_that_are_no_weights(name):
    message = f"{name}: expected arrays, got the function relu at activation; .* eqx.filter"
    with pytest.raises(TypeError, match=message):
        eval(ON_A_TREE[name], {**NAMES, "tree": MODULE})
    trees = (jnp.arange(4), jnp.ones(2, bool), jax.random.split(jax.random.key(0)))
    for leaf in trees if name in list(ON_A_TREE)[:7] else ():
        with pytest.raises(TypeError, match=f"{name}: .*odd.* mask"):
            eval(ON_A_TREE[name], {**NAMES, "tree": {"odd": leaf, "w": jnp.ones(2)}})
    for named, leaf in {"str": "relu", "object": object(), "ndarray": np.array(["a"])}.items():
        with pytest.raises(TypeError, match=f"{name}: expected arrays, got {named} at act;"):
            eval(ON_A_TREE[name], {**NAMES, "tree": {"act": leaf, "w": jnp.ones(2)}})


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
    "a mask": ({"kernel": l1, "bias": False}, PARAMS, "or None at bias, got False"),
    "a schedule": ({"a": {"b": constant(0.1)}}, PARAMS, "or None at a/b, got <function"),
    "only None": (
        {"kernel": None, "bias": None}, PARAMS,
        "at least one penalty, got only None, so nothing .* write a"),
    "empty": ({}, PARAMS, "expected a tree with at least one penalty, got an empty tree"),
    "None": (None, PARAMS, r"expected a penalty such as jaxreg.L1\(1e-4\), got None"),
    "missing": (
        {"kernel": l1}, PARAMS,
        MISFIT + "nothing for bias; expected one penalty or None for each of bias, kernel, at"),
    "misspelt": (
        {"kernle": l1, "bias": None}, PARAMS,
        MISFIT + "nothing for kernel and a penalty at kernle, where there is no parameter"),
    "too deep": (
        {"kernel": {"w": l1}, "bias": None}, PARAMS,
        MISFIT + "nothing for kernel and a penalty at kernel/w, where there is"),
    "too much": (
        {"kernel": l1, "bias": None, "scale": l1}, PARAMS,
        MISFIT + "it has a penalty at scale, where there is no param"),
    "one array": (
        {"kernel": l1}, jnp.ones(3),
        MISFIT + r"nothing for \(the only leaf\) and a penalty at kernel, where"),
    "many": (
        {"a": l1}, {str(i): jnp.ones(2) for i in range(12)},
        MISFIT + "nothing for 0, 1, 10 and 9 more and a penalty at a, .* and 4 more"),
    "an index": (
        {"layers": {0: l1, 2: l1}}, STATE,
        MISFIT + "nothing for layers/1 and a penalty at layers/2, where"),
}
# fmt: on


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", TREES)
def test_a_tree_of_penalties_that_does_not_fit(name, use):
    given, params, message = TREES[name]
    for penalty in (given, lambda params: given):
        with pytest.raises((ValueError, TypeError), match=f"^{use}: .*{message}"):
            USES[use](penalty, None, params)
    if "fit" not in message:
        with pytest.raises((ValueError, TypeError)):  # at construction
            jaxreg.prox_sgd(0.1, given)


@pytest.mark.parametrize(
    "tx",
    [jaxreg.add_penalty(l1), jaxreg.prox_sgd(0.1, l1), jaxreg.hold_zeros(jaxreg.prox_sgd(0.1, l1))],
)
def test_missing_params_is_optax_own_error(tx):
    with pytest.raises(ValueError) as theirs:
        optax.add_decayed_weights(0.1).update(PARAMS, optax.EmptyState(), None)
    with pytest.raises(ValueError) as ours:
        tx.update(PARAMS, tx.init(PARAMS))
    assert str(ours.value) == str(theirs.value)


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
        jaxreg.proximal(OTHERS[name][0], l1, 1e-3, OTHERS[name][1])
    assert len(caught) == 1


@pytest.mark.parametrize("name", FITTING)
def test_a_fitting_preconditioner_passes_in_silence(name):
    tx = jaxreg.proximal(FITTING[name][0], l1, 1e-3, FITTING[name][1])
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
        jaxreg.fista(lambda w, data: -jnp.sum(w), l1).run(jnp.ones(6))
    assert said[0].filename == __file__


def test_what_is_not_known_yet_passes():
    @jax.jit
    def update(strength, b2, momentum):
        optimizers = (
            jaxreg.proximal(scale_by_adam(b2=b2), jaxreg.L1(strength), 1e-3, adam(b2)),
            jaxreg.prox_sgd(0.1, l1, momentum=momentum),
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
    sgd({"steps": None, "kernel": l1}, None, {"steps": jnp.arange(3), "kernel": jnp.ones(3)})
    with jax.checking_leaks(), warnings.catch_warnings():
        assert jax.jit(jaxreg.prox_adam(1e-3, l1).init)(PARAMS).count == 0
