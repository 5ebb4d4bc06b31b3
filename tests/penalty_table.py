"""Every penalty, how tests draw its numbers, and its formula in NumPy.

A draw is a batch: penalties are pytrees, so that the leaves of one penalty hold the strengths of
many, and one compiled program computes all of them.
"""

import dataclasses
import functools

import jax
import numpy as np

import jaxreg

SHAPE = (2, 3)


class Draw:
    """Draws batches of `count` numbers or arrays with a written seed."""

    def __init__(self, seed: int, count: int):
        self.random, self.count = np.random.default_rng(seed), count

    def between(self, low, high, *shape):
        """Log-uniform numbers."""
        return np.exp(self.random.uniform(np.log(low), np.log(high), (self.count, *shape)))

    def strength(self):
        """Strengths, a tenth of them 0."""
        return np.where(self.random.random(self.count) < 0.1, 0, self.between(1e-3, 10))

    def weights(self, largest=100.0):
        """Weights of many sizes; some are 0, and some arrays are 0 as a whole."""
        x = self.random.normal(size=(self.count, *SHAPE)) * self.between(1e-3, largest, 1, 1)
        x = np.where(self.random.random(x.shape) < 0.15, 0, x)
        return np.where(self.random.random((self.count, 1, 1)) < 0.1, 0, x)

    def steps(self, penalty, uneven):
        """Steps that the prox accepts: scalars or, where uneven, one for each weight or group."""
        if not uneven:
            return self.between(1e-3, 10)
        penalty = penalty.penalty if isinstance(penalty, jaxreg.Weighted) else penalty
        shape = (
            np.sum(np.ones(SHAPE), penalty.axis, keepdims=True).shape
            if isinstance(penalty, jaxreg.Group)
            else SHAPE
        )
        return self.between(1e-3, 10, *shape)


CONVEX = {
    "L1": lambda d: jaxreg.L1(d.strength()),
    "SquaredL2": lambda d: jaxreg.SquaredL2(d.strength()),
    "ElasticNet": lambda d: jaxreg.ElasticNet(d.strength(), d.strength()),
    "GroupL2 of columns": lambda d: jaxreg.GroupL2(d.strength(), -2),
    "GroupL2 of rows": lambda d: jaxreg.GroupL2(d.strength(), -1),
    "GroupL2 of all": lambda d: jaxreg.GroupL2(d.strength(), (-2, -1)),
    "SparseGroupL2": lambda d: jaxreg.SparseGroupL2(d.strength(), d.strength(), -1),
    "Group of ElasticNet": lambda d: jaxreg.Group(
        jaxreg.ElasticNet(d.strength(), d.strength()), -2
    ),
    "Weighted ElasticNet": lambda d: jaxreg.Weighted(
        jaxreg.ElasticNet(d.strength(), d.strength()), d.between(0.1, 10, 3)
    ),
    "Weighted GroupL2": lambda d: jaxreg.Weighted(
        jaxreg.GroupL2(d.strength(), -1), d.between(0.1, 10, 2)
    ),
}
SINGLE_CONCAVE = {
    "LogSum": lambda d: jaxreg.LogSum(d.strength(), d.between(1e-3, 1e3)),
    "MCP": lambda d: jaxreg.MCP(d.strength(), 1 + d.between(1e-2, 1e3)),
    "SCAD": lambda d: jaxreg.SCAD(d.strength(), 2 + d.between(1e-2, 1e3)),
    "Bridge ½": lambda d: jaxreg.Bridge(d.strength()),
    "Bridge ⅔": lambda d: jaxreg.Bridge(d.strength(), 2 / 3),
    "Bridge 0.9": lambda d: jaxreg.Bridge(d.strength(), 0.9),
    "L0": lambda d: jaxreg.L0(d.strength()),
}
CONCAVE = SINGLE_CONCAVE | {
    "Group of LogSum": lambda d: jaxreg.Group(SINGLE_CONCAVE["LogSum"](d), -1),
    "Group of MCP": lambda d: jaxreg.Group(SINGLE_CONCAVE["MCP"](d), (-2, -1)),
    "1 of 3": lambda d: jaxreg.NOfM(d.strength(), 1, 3, axis=-1),
    "1 of 2": lambda d: jaxreg.NOfM(d.strength(), 1, 2, axis=-2),
    "3 of 6": lambda d: jaxreg.NOfM(d.strength(), 3, 6, axis=(-2, -1)),
    "Weighted MCP": lambda d: jaxreg.Weighted(SINGLE_CONCAVE["MCP"](d), d.between(0.1, 10, *SHAPE)),
    "Weighted Group of Bridge": lambda d: jaxreg.Weighted(
        jaxreg.Group(SINGLE_CONCAVE["Bridge ½"](d), -2), d.between(0.1, 10, 3)
    ),
}
PENALTIES = CONVEX | CONCAVE

NEVER_ALL_ZERO = (jaxreg.SquaredL2, jaxreg.NOfM)
"""Penalties for which no finite strength makes every weight 0."""
STEEP = (jaxreg.Bridge, jaxreg.L0)
"""Penalties for which 0 is a local minimum, whatever the gradient."""
BOUNDED = (jaxreg.MCP, jaxreg.SCAD, jaxreg.L0)
"""Penalties whose value does not grow beyond some weight."""


@functools.cache
def example(name):
    """The penalty with strengths of 0.01."""
    penalty = jax.tree.map(lambda leaf: leaf[0], PENALTIES[name](Draw(0, 1)))
    return with_strengths(penalty, 0.01)


def single(penalty):
    """The penalty of single weights inside a group, a weighted penalty or neither."""
    return (
        single(penalty.penalty) if isinstance(penalty, jaxreg.Group | jaxreg.Weighted) else penalty
    )


def with_strengths(penalty, strength, every=True):
    """The penalty with other strengths, or with another first strength alone."""
    if isinstance(penalty, jaxreg.Group | jaxreg.Weighted):
        return dataclasses.replace(
            penalty, penalty=with_strengths(penalty.penalty, strength, every)
        )
    names = [field.name for field in dataclasses.fields(penalty) if field.name.endswith("strength")]
    return dataclasses.replace(penalty, **dict.fromkeys(names if every else names[:1], strength))


def charge(penalty, u):
    """φ(u) of a penalty of single weights, for u ≥ 0."""
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
    raise NotImplementedError(f"{type(penalty).__name__} has no formula in charge")


def charges(penalty, x):
    """What each weight, or each group, adds to R(x)."""
    match penalty:
        case jaxreg.Weighted(inner, factors):
            return charges(inner, x) * factors
        case jaxreg.GroupL2(strength, axis):
            return strength * np.sqrt((x**2).sum(axis))
        case jaxreg.Group(inner, axis):
            return charge(inner, np.sqrt((x**2).sum(axis)))
    return charge(penalty, np.abs(x))


def plain_value(penalty, x):
    """R(x) of each array in a batch, from the formula alone."""
    if isinstance(penalty, jaxreg.SparseGroupL2):
        groups = jaxreg.GroupL2(penalty.group_strength, penalty.axis)
        return plain_value(jaxreg.L1(penalty.l1_strength), x) + plain_value(groups, x)
    if isinstance(penalty, jaxreg.NOfM):
        axes = np.atleast_1d(penalty.axis)
        rows = np.moveaxis(np.abs(x), axes, range(-len(axes), 0)).reshape(len(x), -1, penalty.m)
        return penalty.strength * np.sort(rows)[:, :, : penalty.m - penalty.n].sum((1, 2))
    return charges(penalty, x).reshape(len(x), -1).sum(1)
