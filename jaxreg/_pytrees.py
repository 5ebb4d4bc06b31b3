"""Turns a penalty's class into a frozen dataclass that is also a pytree."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax


def register(cls: type) -> None:
    """Makes a class a frozen dataclass and a pytree: its fields are leaves, those marked `static`
    are structure.

    Instances are equal only if they are the same object: comparing arrays of strengths would give
    arrays, which have no truth value and no hash.

    `jax.tree_util.register_dataclass` would run the constructor's checks on whatever a
    transformation puts into the leaves (tracers, shapes, sentinels). Unflattening here bypasses the
    constructor.
    """
    dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(cls)
    leaves = [field.name for field in fields if not field.metadata.get("static")]
    static = [field.name for field in fields if field.metadata.get("static")]

    def flatten(penalty: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(penalty, name)) for name in leaves]
        return children, tuple(getattr(penalty, name) for name in static)

    def unflatten(structure: tuple[Any, ...], children: Iterable[Any]) -> Any:
        penalty: Any = object.__new__(cls)
        for name, value in zip([*leaves, *static], [*children, *structure], strict=True):
            object.__setattr__(penalty, name, value)
        return penalty

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
