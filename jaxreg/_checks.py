"""Checks of numbers that users pass in. Only concrete numbers are checked; tracers and shapes
pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

SIGN = {
    "learning_rate": "jaxreg already moves against the gradient, so pass a positive learning_rate",
    "step_size": "pass the positive step that the updates were taken with",
}
"""What to do about a negative number, by the name of the argument; strengths of penalties have
their own message.
"""
SAMPLED_COUNTS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Steps at which a schedule is checked."""


def check_number(
    owner: str, name: str, value: Any, *, positive: bool = False, scalar: bool = False
) -> None:
    """Checks a strength, step size or learning rate.

    Args:
        owner: the function that the user called, for the message.
        name: of the argument.
        value: a number, an array, a tracer or a schedule (a callable), which is evaluated at
            `SAMPLED_COUNTS`.
        positive: whether to refuse 0. A JAX array of 0 passes all the same, since
            `optax.inject_hyperparams` passes the first value of a warm-up like that.
        scalar: whether to refuse arrays with axes.

    Raises:
        TypeError: the value is not a real number.
        ValueError: it is negative, NaN, infinite, an array where a scalar is needed, or 0 where it
            must be positive.
    """
    if callable(value):
        check_schedule(owner, name, value)
        return
    wanted = f"{owner}: {name} must be a number, an array of numbers or an optax schedule, "
    if isinstance(value, list | tuple):
        raise TypeError(
            f"{wanted}got the {type(value).__name__} {value!r}; pass jnp.array({value!r}) for one "
            "run each"
        )
    if scalar and np.ndim(value) > 0:
        raise ValueError(
            f"{owner}: {name} must be one number, got an array of shape {np.shape(value)}; use "
            "jax.vmap for many"
        )
    if isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct):
        return
    if isinstance(value, bool | str | bytes) or not isinstance(
        value, int | float | np.generic | np.ndarray | jax.Array
    ):
        raise TypeError(
            f"{wanted}got {value!r} of type {type(value).__name__}; pass a float such as 1e-4"
        )
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
            f"{owner}: {name} must not be negative, got {value!r}; "
            f"{SIGN.get(name, f'pass {name} ≥ 0')}"
        )
    if positive and not isinstance(value, jax.Array) and np.any(numbers == 0):
        hint = (
            "a step that ends at 0 is written as a schedule"
            if name == "learning_rate"
            else f"pass {name} > 0"
        )
        raise ValueError(f"{owner}: {name} must be greater than 0, got {value!r}; {hint}")


def check_above(owner: str, name: str, value: Any, least: float, example: str) -> None:
    """Checks a number that must be greater than `least`, such as the shape of a concave penalty;
    `example` is one that fits.

    Raises:
        TypeError: the value is not a real number.
        ValueError: it is not greater than `least`, NaN or infinite.
    """
    concrete = isinstance(value, int | float | np.generic | np.ndarray) and not isinstance(
        value, bool
    )
    if isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer):
        concrete = value.is_fully_addressable
    if concrete and not np.all((np.asarray(value) > least) & np.isfinite(np.asarray(value))):
        raise ValueError(
            f"{owner}: {name} must be finite and greater than {least}, got {value!r}; pass "
            f"{name}={example}"
        )
    check_number(owner, name, value)


def check_power(owner: str, power: Any) -> float:
    """Returns a power between 0 and 1 as a float.

    Raises:
        TypeError: it is not a Python or NumPy number.
        ValueError: it is not between 0 and 1.
    """
    if isinstance(power, bool) or not isinstance(power, int | float | np.integer | np.floating):
        raise TypeError(
            f"{owner}: power must be a Python number, since it decides which program is compiled, "
            f"got {power!r} of type {type(power).__name__}; pass power=0.5, and use one penalty "
            "per power to compare several"
        )
    if not 0 < power < 1:
        raise ValueError(
            f"{owner}: power must lie between 0 and 1, got {power!r}; pass power=0.5, or use L0 "
            "for 0 and L1 for 1"
        )
    return float(power)


def check_schedule(owner: str, name: str, schedule: Callable[[Any], Any]) -> None:
    """Checks what a schedule returns at some of the first million steps.

    A schedule that depends on traced values passes, as it has no numbers yet.

    Raises:
        TypeError: it returns something other than a real number, such as None.
        ValueError: it returns a negative number or NaN.
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
            raise ValueError(
                f"{wanted}at least 0, got {float(np.min(value)):g} at step {count}; clip it at 0"
            )


def check_decay(owner: str, name: str, value: Any) -> None:
    """Checks the decay rate of a moving average (momentum, b1, b2).

    Raises:
        TypeError: it is not a number, but for example a mask that was passed by position.
        ValueError: it is outside [0, 1).
    """
    if callable(value):
        raise TypeError(
            f"{owner}: {name} must be a number in [0, 1), got the function "
            f"{getattr(value, '__name__', value)!r}; pass a "
            f"mask by name, mask=…, and a schedule of {name} by optax.inject_hyperparams"
        )
    if isinstance(value, jax.core.Tracer):
        return
    if isinstance(value, bool | str | bytes) or not isinstance(
        value, int | float | np.generic | np.ndarray | jax.Array
    ):
        raise TypeError(
            f"{owner}: {name} must be a number in [0, 1), got {value!r}; pass a mask by name, "
            "mask=…"
        )
    if not np.all((np.asarray(value) >= 0) & (np.asarray(value) < 1)):
        raise ValueError(f"{owner}: {name} must lie in [0, 1), got {value!r}")


def check_momentum(owner: str, momentum: Any, nesterov: bool) -> None:
    """Checks momentum, which must be in [0, 1) and not None if `nesterov` is set.

    Raises:
        TypeError: momentum is not a number.
        ValueError: momentum is outside [0, 1), or missing although `nesterov` is set.
    """
    if momentum is not None:
        check_decay(owner, "momentum", momentum)
    elif nesterov:
        raise ValueError(
            f"{owner}: nesterov=True needs a momentum, got momentum=None; pass momentum=0.9, say"
        )


def check_moments(owner: str, decays: dict[str, Any], offsets: dict[str, Any]) -> None:
    """Checks decay rates, which must be in [0, 1), and offsets such as eps, which must not be
    negative.

    Raises:
        TypeError: one is not a number.
        ValueError: one is out of range.
    """
    for name, value in decays.items():
        check_decay(owner, name, value)
    for name, value in offsets.items():
        check_number(owner, name, value, scalar=True)
