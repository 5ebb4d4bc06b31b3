"""Penalties: functions R(w) that are added to a loss, each with its value, its subgradient and its
proximal operator.

A penalty sees one array. It knows nothing of parameter trees, masks, optimizers or learning rates:

    >>> import jax, jax.numpy as jnp
    >>> weights = jnp.array([3.0, -0.2, 0.0])
    >>> print(L1(0.5).prox(weights, step=1.0))
    [2.5 0.  0. ]

The strength λ is ordinary data to JAX, a leaf of a pytree: one compiled program serves every λ.

    >>> values = jax.vmap(lambda penalty: penalty.value(weights))(L1(jnp.array([0.0, 1.0, 2.0])))
    >>> print(values)
    [0.  3.2 6.4]

A strength may also be an optax schedule, which transformations evaluate at their own step count:
`L1(schedule).at(count)`.

Strengths are in units of the loss: if the loss is a mean over examples, λ is per example. All
arithmetic is done in float32 or wider and cast once at the end, since shrinking a bfloat16 weight
of 1.0 by 1e-3 would round back to 1.0.
"""

from jaxreg.penalties.base import Penalty
from jaxreg.penalties.bridge import L0, Bridge
from jaxreg.penalties.concave import MCP, SCAD, LogSum
from jaxreg.penalties.elementwise import L1, ElasticNet, SquaredL2
from jaxreg.penalties.group import Group, GroupL2, SparseGroupL2
from jaxreg.penalties.limited import Limited
from jaxreg.penalties.trimmed import NOfM
from jaxreg.penalties.weighted import Weighted

__all__ = (
    "L0",
    "L1",
    "MCP",
    "SCAD",
    "Bridge",
    "ElasticNet",
    "Group",
    "GroupL2",
    "Limited",
    "LogSum",
    "NOfM",
    "Penalty",
    "SparseGroupL2",
    "SquaredL2",
    "Weighted",
)
