"""The network: a multilayer perceptron in Flax nnx, tanh between its layers."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


class MLP(nnx.Module):
    """Dense layers of the given widths: (rows, widths[0]) to logits (rows, widths[-1])."""

    def __init__(self, widths: Sequence[int], *, rngs: nnx.Rngs):
        pairs = itertools.pairwise(widths)
        self.layers = nnx.List([nnx.Linear(inputs, outputs, rngs=rngs) for inputs, outputs in pairs])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (rows, widths[-1]) of inputs (rows, widths[0])."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def initial(widths: Sequence[int], key: jax.Array) -> tuple[Any, Any]:
    """Structure and freshly drawn parameters of an `MLP`."""
    return nnx.split(MLP(widths, rngs=nnx.Rngs(key)), nnx.Param)


def kernels_of(params: Any) -> list[jax.Array]:
    """The layers' kernels (in, out), from the input on."""
    layers = params["layers"]
    return [layers[index]["kernel"][...] for index in sorted(layers)]
