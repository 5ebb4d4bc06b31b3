"""Checks of a user's numbers, made once where they enter. Tracers and shapes pass: only concrete numbers are checked."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

SIGN = {
    "learning_rate": "jaxreg already moves against the gradient, so pass a positive learning_rate",
    "step_size": "pass the positive step that the updates were taken with",
}
"""What to do about a negative number, by the argument's name; penalties get a line of their own."""
SAMPLED_COUNTS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Steps at which a schedule is evaluated when it is passed in."""


def check_number(owner: str, name: str, value: Any, *, positive: bool = False, scalar: bool = False) -> None:
    """Refuses what can be no strength, step size or learning rate.

    Args:
        owner: what the user called, for the message. name: the argument's name.
        value: a number, an array, a tracer or a schedule (a callable), which is evaluated at `SAMPLED_COUNTS`.
        positive: whether a Python or NumPy 0 is refused as well. A JAX array of 0 passes even then: it is how
            `optax.inject_hyperparams` hands over the first value of a warm-up.
        scalar: whether an array with axes is refused as well.

    Raises:
        TypeError: not a real number. ValueError: negative, NaN, infinite, or 0 where it must be positive.
    """
    if callable(value):
        check_schedule(owner, name, value)
        return
    wanted = f"{owner}: {name} must be a number, an array of numbers or an optax schedule, "
    if isinstance(value, list | tuple):
        raise TypeError(f"{wanted}got the {type(value).__name__} {value!r}; pass jnp.array({value!r}) for one run each")
    if scalar and np.ndim(value) > 0:
        raise ValueError(
            f"{owner}: {name} must be one number, got an array of shape {np.shape(value)}; use jax.vmap for many"
        )
    if isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct):
        return
    if isinstance(value, bool | str | bytes) or not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
        raise TypeError(f"{wanted}got {value!r} of type {type(value).__name__}; pass a float such as 1e-4")
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        return
    numbers = np.asarray(value)
    if not jax.numpy.issubdtype(numbers.dtype, np.number) or np.iscomplexobj(numbers):
        raise TypeError(f"{wanted}got {value!r} of dtype {numbers.dtype}; pass real numbers")
    numbers = numbers.astype(np.float64)
    if not np.all(np.isfinite(numbers)):
        raise ValueError(f"{owner}: {name} must be finite, got {value!r}; use 0 to switch it off")
    if np.any(numbers < 0):
        raise ValueError(f"{owner}: {name} must not be negative, got {value!r}; {SIGN.get(name, f'pass {name} ≥ 0')}")
    if positive and not isinstance(value, jax.Array) and np.any(numbers == 0):
        raise ValueError(
            f"{owner}: {name} must be greater than 0, got {value!r}; a step that ends at 0 is written as a schedule"
        )


def check_schedule(owner: str, name: str, schedule: Callable[[Any], Any]) -> None:
    """Refuses a schedule that returns no number, NaN or a negative number at one of the first million steps sampled.

    A schedule that depends on traced values passes, as it has no numbers yet.

    Raises:
        TypeError: it returns None or something else that is no real number. ValueError: it returns a negative one or NaN.
    """
    for count in SAMPLED_COUNTS:
        with jax.ensure_compile_time_eval():
            value = schedule(np.int32(count))
        if isinstance(value, jax.core.Tracer):
            return
        wanted = f"{owner}: {name} is a schedule and must return a number for every step, "
        if value is None or np.asarray(value).dtype.kind not in "iuf":
            raise TypeError(f"{wanted}got {value!r} at step {count}; return a float")
        if not np.all(np.asarray(value) >= 0):
            raise ValueError(f"{wanted}at least 0, got {float(np.min(value)):g} at step {count}; clip it at 0")


def check_decay(owner: str, name: str, value: Any) -> None:
    """Refuses a decay rate of a moving average (momentum, b1, b2) outside [0, 1).

    Raises:
        TypeError: it is not a number, but a mask that was passed by position, say. ValueError: it is outside [0, 1).
    """
    if callable(value):
        raise TypeError(
            f"{owner}: {name} must be a number in [0, 1), got the function {getattr(value, '__name__', value)!r}; pass a "
            f"mask by name, mask=…, and a schedule of {name} by optax.inject_hyperparams"
        )
    if isinstance(value, jax.core.Tracer):
        return
    if isinstance(value, bool | str | bytes) or not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
        raise TypeError(f"{owner}: {name} must be a number in [0, 1), got {value!r}; pass a mask by name, mask=…")
    if not np.all((np.asarray(value) >= 0) & (np.asarray(value) < 1)):
        raise ValueError(f"{owner}: {name} must lie in [0, 1), got {value!r}")


def check_momentum(owner: str, momentum: Any, nesterov: bool) -> None:
    """Refuses a momentum outside [0, 1), and Nesterov's rule without one.

    Raises:
        TypeError: momentum is not a number. ValueError: it is outside [0, 1), or `nesterov` is set and it is None.
    """
    if momentum is not None:
        check_decay(owner, "momentum", momentum)
    elif nesterov:
        raise ValueError(f"{owner}: nesterov=True needs a momentum, got momentum=None; pass momentum=0.9, say")


def check_moments(owner: str, decays: dict[str, Any], offsets: dict[str, Any]) -> None:
    """Refuses decay rates outside [0, 1) and offsets (eps, eps_root) that are negative.

    Raises:
        TypeError: one is not a number. ValueError: one is out of range.
    """
    for name, value in decays.items():
        check_decay(owner, name, value)
    for name, value in offsets.items():
        check_number(owner, name, value, scalar=True)
