"""States of jaxreg's transformations, and the check that `update` gets its own."""

from typing import Any, NamedTuple

import jax
import optax

from jaxreg._typing import PyTree


class PenaltyState(NamedTuple):
    """State of a transformation with a schedule.

    Attributes:
        count: steps taken so far, at which schedules are evaluated: an int32 scalar.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name for it; tuples have a method of that name


class ProximalState(NamedTuple):
    """State of `proximal` and of every `prox_*` optimizer.

    Attributes:
        count: steps taken so far, at which schedules are evaluated: an int32 scalar.
        direction: the state of the direction.
        clip: the state of the clip.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name for it; tuples have a method of that name
    direction: Any
    clip: Any = optax.EmptyState()


class HeldState(NamedTuple):
    """State of `hold_zeros`.

    Attributes:
        support: a tree of bools like the parameters, False at the weights that are held at 0.
        inner: the state of the wrapped optimizer.
    """

    support: PyTree
    inner: Any


class MasterState(NamedTuple):
    """State of `master_weights`.

    Attributes:
        master: a tree like the parameters, with the float32 copies of narrower ones and None for
            others.
        inner: the state of the wrapped optimizer.
    """

    master: PyTree
    inner: Any


class ControllerState(NamedTuple):
    """State of a `Controller`. With several strengths, all but the count are arrays (strengths,).

    Attributes:
        count: number of updates so far, an int32 scalar.
        strength: the strength λ of the next step, float32.
        error: log measured − log target at the last update, float32.
        damping: between 0 and 1, how much slower than at first λ changes, float32.
        behind: number of updates in a row, up to the last one, at which more than 1.35 times the
            target was measured, int32. It keeps growing if λ has no effect.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name for it; tuples have a method of that name
    strength: jax.Array
    error: jax.Array
    damping: jax.Array
    behind: jax.Array


class SteeredState(NamedTuple):
    """State of `steer_strength`.

    Attributes:
        controller: the state of the controller of the strength λ, or of one for each key of
            `share`, in the order of the keys. What it measures is the share of weights kept.
        inner: the state of the optimizer that uses λ.
    """

    controller: ControllerState
    inner: Any

    @property
    def strength(self) -> jax.Array:
        """The strength λ of the next step, float32."""
        return self.controller.strength

    @property
    def behind(self) -> jax.Array:
        """For how many steps in a row too much was kept, int32."""
        return self.controller.behind


def next_state(state: Any) -> Any:
    """Increments the step count, if the state has one."""
    return (
        PenaltyState(optax.safe_increment(state.count))
        if isinstance(state, PenaltyState)
        else state
    )


def require_state(owner: str, state: Any, kind: Any) -> None:
    """Raises a TypeError if `update` got something other than the state that its own `init`
    returned.

    It compares fields rather than the class, since a checkpoint may restore a state as another
    class with the same fields.
    """
    counts = "count" in kind._fields
    if not all(hasattr(state, field) for field in kind._fields) or (
        counts and not hasattr(state.count, "dtype")
    ):
        raise TypeError(
            f"{owner}: expected the {kind.__name__} that init returned, got "
            f"{type(state).__name__}; call "
            "update(gradient, state, params) with this optimizer's own state"
        )
