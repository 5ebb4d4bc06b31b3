"""Checks of a user's numbers, made once where they enter. Tracers, shapes and schedules pass: only numbers are judged."""

from typing import Any

import jax
import numpy as np


def check_number(owner: str, name: str, value: Any, *, positive: bool = False, scalar: bool = False) -> None:
    """Refuses what can be no strength, step size or learning rate.

    Args:
        owner: what the user called, for the message. name: the argument's name.
        value: a number, an array, a tracer or a schedule (a callable, which passes).
        positive: whether a Python or NumPy 0 is refused as well. A JAX array of 0 passes even then: it is how
            `optax.inject_hyperparams` hands over the first value of a warm-up.
        scalar: whether an array with axes is refused as well.

    Raises:
        TypeError: not a real number. ValueError: negative, NaN, infinite, or 0 where it must be positive.
    """
    if scalar and not callable(value) and np.ndim(value) > 0:
        raise ValueError(
            f"{owner}: {name} must be one number, got an array of shape {np.shape(value)}; use jax.vmap for many"
        )
    if callable(value) or isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct):
        return
    wanted = f"{owner}: {name} must be a number, an array of numbers or an optax schedule, "
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
        raise ValueError(
            f"{owner}: {name} must not be negative, got {value!r}; its sign is put in by jaxreg, pass {name} ≥ 0"
        )
    if positive and not isinstance(value, jax.Array) and np.any(numbers == 0):
        raise ValueError(
            f"{owner}: {name} must be greater than 0, got {value!r}; a step that ends at 0 is written as a schedule"
        )


def check_momentum(owner: str, momentum: Any, nesterov: bool) -> None:
    """Refuses a momentum outside [0, 1), and Nesterov's rule without one.

    Raises:
        TypeError: momentum is not a number. ValueError: it is outside [0, 1), or `nesterov` is set and it is None.
    """
    if momentum is None:
        if nesterov:
            raise ValueError(f"{owner}: nesterov=True needs a momentum, got momentum=None; pass momentum=0.9, say")
        return
    if callable(momentum):
        raise TypeError(
            f"{owner}: momentum must be a number in [0, 1), got a schedule; use optax.inject_hyperparams for one"
        )
    check_number(owner, "momentum", momentum)
    if not isinstance(momentum, jax.core.Tracer) and np.any(np.asarray(momentum) >= 1):
        raise ValueError(
            f"{owner}: momentum must lie in [0, 1), got {momentum!r}; at 1 the effective step lr/(1 − momentum) is infinite"
        )
