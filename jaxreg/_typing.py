"""Names for the types in jaxreg's signatures."""

from collections.abc import Callable
from typing import Any, TypeAlias

from jax.typing import ArrayLike

PyTree: TypeAlias = Any
"""A tree of arrays: parameters, gradients, data. What JAX accepts as one cannot be written as a type."""
Schedule: TypeAlias = Callable[[ArrayLike], ArrayLike]
"""From the step count to a number, as optax's schedules."""
ScalarOrSchedule: TypeAlias = ArrayLike | Schedule
"""A number, an array (to `jax.vmap` over) or a schedule."""
Mask: TypeAlias = PyTree | Callable[[PyTree], PyTree] | None
"""Which leaves to penalise: a tree of bools, a prefix of one, a function from parameters to one, or None for all."""
Preconditioner: TypeAlias = Callable[[PyTree], PyTree]
"""From a direction's state, after its update, to D: a scalar, or a tree like the parameters."""
