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


class SteeredState(NamedTuple):
    """State of `steer_strength`.

    Attributes:
        count: steps taken so far, an int32 scalar.
        strength: the strength λ of the next step, a float32 scalar.
        behind: number of steps in a row, up to the last one, after which more than 1.35 times the
            target share was kept, an int32 scalar. It keeps growing if the penalty removes no
            weights however strong it is.
        inner: the state of the optimizer that uses it.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name for it; tuples have a method of that name
    strength: jax.Array
    behind: jax.Array
    inner: Any


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
