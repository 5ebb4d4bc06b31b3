"""Every penalty as a strategy of Hypothesis, with its formula in NumPy."""

import dataclasses
import functools

import hypothesis.extra.numpy as arrays
import jax
import numpy as np
from hypothesis import strategies as st

import jaxreg

strengths = st.just(0.0) | st.floats(1e-6, 10)
positive = st.floats(1e-3, 10)
weights = arrays.arrays(
    np.float64, (2, 3), elements=st.floats(-100, 100).map(lambda x: 0.0 if abs(x) < 1e-6 else x)
)
factors = functools.partial(arrays.arrays, np.float64, elements=st.floats(0.1, 10))
step_arrays = arrays.arrays(np.float64, (2, 3), elements=positive)

CONVEX = {
    "L1": st.builds(jaxreg.L1, strengths),
    "SquaredL2": st.builds(jaxreg.SquaredL2, strengths),
    "ElasticNet": st.builds(jaxreg.ElasticNet, strengths, strengths),
    "GroupL2 along 0": st.builds(jaxreg.GroupL2, strengths, st.just(0)),
    "GroupL2 along 1": st.builds(jaxreg.GroupL2, strengths, st.just(1)),
    "GroupL2 along both": st.builds(jaxreg.GroupL2, strengths, st.just((0, 1))),
    "SparseGroupL2 along 1": st.builds(jaxreg.SparseGroupL2, strengths, strengths, st.just(1)),
    "SparseGroupL2 along both": st.builds(
        jaxreg.SparseGroupL2, strengths, strengths, st.just((0, 1))
    ),
    "Group of L1 along 1": st.builds(lambda s: jaxreg.Group(jaxreg.L1(s), 1), strengths),
    "Group of ElasticNet along 0": st.builds(
        lambda s, t: jaxreg.Group(jaxreg.ElasticNet(s, t), 0), strengths, strengths
    ),
    "Weighted ElasticNet": st.builds(
        jaxreg.Weighted,
        st.builds(jaxreg.ElasticNet, strengths, strengths),
        factors((2, 3)) | factors(3),
    ),
    "Weighted GroupL2 along 1": st.builds(
        jaxreg.Weighted, st.builds(jaxreg.GroupL2, strengths, st.just(1)), factors(2)
    ),
}
SINGLE_CONCAVE = {
    "LogSum": st.builds(jaxreg.LogSum, strengths, st.floats(1e-3, 1e3)),
    "MCP": st.builds(jaxreg.MCP, strengths, st.floats(1.01, 1e3)),
    "SCAD": st.builds(jaxreg.SCAD, strengths, st.floats(2.01, 1e3)),
    "Bridge ½": st.builds(jaxreg.Bridge, strengths),
    "Bridge ⅔": st.builds(jaxreg.Bridge, strengths, st.just(2 / 3)),
    "Bridge 0.9": st.builds(jaxreg.Bridge, strengths, st.just(0.9)),
    "L0": st.builds(jaxreg.L0, strengths),
}
CONCAVE = {
    **SINGLE_CONCAVE,
    "Group of LogSum along 1": SINGLE_CONCAVE["LogSum"].map(
        functools.partial(jaxreg.Group, axis=1)
    ),
    "Group of MCP along both": SINGLE_CONCAVE["MCP"].map(
        functools.partial(jaxreg.Group, axis=(0, 1))
    ),
    "Group of Bridge ½ along 0": SINGLE_CONCAVE["Bridge ½"].map(
        functools.partial(jaxreg.Group, axis=0)
    ),
    "Weighted MCP": st.builds(jaxreg.Weighted, SINGLE_CONCAVE["MCP"], factors((2, 3))),
    "Weighted Group of LogSum along 0": st.builds(
        jaxreg.Weighted,
        SINGLE_CONCAVE["LogSum"].map(functools.partial(jaxreg.Group, axis=0)),
        factors(3),
    ),
}
PENALTIES = {**CONVEX, **CONCAVE}

NEVER_ALL_ZERO = (jaxreg.SquaredL2,)
"""Penalties for which no finite strength makes every weight 0."""
STEEP = (jaxreg.Bridge, jaxreg.L0)
"""Penalties for which 0 is a local minimum, whatever the gradient."""
BOUNDED = (jaxreg.MCP, jaxreg.SCAD, jaxreg.L0)
"""Penalties whose value does not grow beyond some weight."""


def single(penalty):
    """The penalty of single weights inside a group, a weighted penalty or neither."""
    return (
        single(penalty.penalty) if isinstance(penalty, jaxreg.Group | jaxreg.Weighted) else penalty
    )


def with_strength(penalty, strength):
    """The penalty with another first strength."""
    if isinstance(penalty, jaxreg.Group | jaxreg.Weighted):
        return dataclasses.replace(penalty, penalty=with_strength(penalty.penalty, strength))
    return dataclasses.replace(penalty, **{dataclasses.fields(penalty)[0].name: strength})


def unweighted(penalty):
    """The penalty without factors."""
    return penalty.penalty if isinstance(penalty, jaxreg.Weighted) else penalty


def steps_of(penalty):
    """Steps that the prox accepts: a scalar or an array like the weights, of length 1 along the
    axis of a `Group`.
    """
    penalty = unweighted(penalty)
    if not isinstance(penalty, jaxreg.Group):
        return positive | step_arrays
    axes = penalty.axis if isinstance(penalty.axis, tuple) else (penalty.axis,)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate((2, 3)))
    return positive | arrays.arrays(np.float64, shape, elements=positive)


def charge(penalty, u):
    """φ(u) of a penalty of single weights, for u ≥ 0, in NumPy."""
    match penalty:
        case jaxreg.L1(strength):
            return strength * u
        case jaxreg.SquaredL2(strength):
            return strength * u**2
        case jaxreg.ElasticNet(l1, l2):
            return l1 * u + l2 * u**2
        case jaxreg.LogSum(strength, scale):
            return strength * scale * np.log1p(u / scale)
        case jaxreg.MCP(strength, gamma):
            return np.where(
                u <= gamma * strength, strength * u - u**2 / (2 * gamma), gamma * strength**2 / 2
            )
        case jaxreg.SCAD(strength, a):
            middle = (2 * a * strength * u - u**2 - strength**2) / (2 * (a - 1))
            return np.select(
                [u <= strength, u <= a * strength],
                [strength * u, middle],
                strength**2 * (a + 1) / 2,
            )
        case jaxreg.Bridge(strength, power):
            return strength * u**power
        case jaxreg.L0(strength):
            return strength * (u != 0)
        case _:
            raise NotImplementedError(f"{type(penalty).__name__} has no formula in charge")


def plain_value(penalty, x):
    """R(x) in NumPy, from the formula alone."""
    match penalty:
        case jaxreg.Weighted(inner, factors):
            return (charges(inner, x) * factors).sum()
        case jaxreg.SparseGroupL2(l1, group, axis):
            return l1 * np.abs(x).sum() + group * np.sqrt((x**2).sum(axis)).sum()
        case _:
            return charges(penalty, x).sum()


def charges(penalty, x):
    """What each weight, or each group, adds to R(x), in NumPy."""
    match penalty:
        case jaxreg.GroupL2(strength, axis):
            return strength * np.sqrt((x**2).sum(axis))
        case jaxreg.Group(inner, axis):
            return charge(inner, np.sqrt((x**2).sum(axis)))
        case _:
            return charge(penalty, np.abs(x))


# A penalty is a pytree, so one compiled program serves every strength that Hypothesis draws.
value_and_slope = jax.jit(lambda penalty, x: jax.value_and_grad(penalty.value)(x))
subgradient = jax.jit(lambda penalty, x: penalty.subgradient(x))
prox = jax.jit(lambda penalty, x, step: penalty.prox(x, step))
prox_jacobians = jax.jit(
    lambda penalty, x, step: jax.jacobian(penalty.prox, argnums=(0, 1))(x, step)
)
violation = jax.jit(lambda penalty, x, gradient: penalty.violation(x, gradient))
