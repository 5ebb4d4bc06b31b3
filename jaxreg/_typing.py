"""Names for the types in jaxreg's signatures, which `help` and the API reference show instead of
long unions.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import jax.typing
import optax

if sys.version_info >= (3, 12):
    from typing import TypeAliasType
else:
    from typing_extensions import TypeAliasType


class PenaltyLike(Protocol):
    """What every `jaxreg.Penalty` has; this module comes before the class."""

    def value(self, x: jax.typing.ArrayLike) -> jax.Array:
        """Computes R(x)."""
        ...

    def prox(self, x: jax.typing.ArrayLike, step: jax.typing.ArrayLike) -> jax.Array:
        """Computes the proximal operator."""
        ...


PyTree: TypeAlias = Any
"""A tree of arrays: parameters, gradients, data. What JAX accepts as one cannot be written as a
type.
"""
ArrayLike = TypeAliasType("ArrayLike", jax.typing.ArrayLike)
"""An array or a number."""
DTypeLike = TypeAliasType("DTypeLike", jax.typing.DTypeLike)
"""A dtype, or what JAX converts to one."""
Schedule = TypeAliasType("Schedule", Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike])
"""From the step count to a number, as optax's schedules."""
ScalarOrSchedule = TypeAliasType("ScalarOrSchedule", ArrayLike | Schedule)
"""A number, an array (to `jax.vmap` over) or a schedule."""
Mask = TypeAliasType(
    "Mask", bool | Mapping[Any, PyTree] | Sequence[PyTree] | Callable[..., PyTree] | None
)
"""Which leaves to penalise: a tree of bools whose paths are those of the parameters, begin them or
are patterns of them (see `jaxreg.matching`); a function from parameters to such a tree, or from a
path and a leaf to a bool; or None for all.
"""
Penalties = TypeAliasType(
    "Penalties", PenaltyLike | Mapping[Any, PyTree] | Sequence[PyTree] | Callable[[PyTree], PyTree]
)
"""A penalty; a tree of penalties and None whose paths are those of the parameters, begin them or
are patterns of them (see `jaxreg.matching`); or a function from parameters to such a tree.
"""
Preconditioner = TypeAliasType("Preconditioner", Callable[[PyTree], PyTree])
"""From a direction's state, after its update, to D: a scalar, or a tree like the parameters."""
Clipping = TypeAliasType("Clipping", optax.GradientTransformation | None)
"""A transformation that multiplies gradients by positive factors, or none."""
