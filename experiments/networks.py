"""The network of all studies: a multilayer perceptron in Flax nnx with tanh between its layers."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


class MLP(nnx.Module):
    """Dense layers that map inputs (rows, widths[0]) to logits (rows, widths[-1])."""

    def __init__(self, widths: Sequence[int], *, rngs: nnx.Rngs):
        pairs = itertools.pairwise(widths)
        self.layers = nnx.List(
            [nnx.Linear(inputs, outputs, rngs=rngs) for inputs, outputs in pairs]
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """The logits (rows, widths[-1]) for inputs (rows, widths[0])."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def initial(widths: Sequence[int], key: jax.Array) -> tuple[Any, Any]:
    """The graph definition and the random initial parameters of an `MLP` with layers of the given
    widths.
    """
    return nnx.split(MLP(widths, rngs=nnx.Rngs(key)), nnx.Param)
