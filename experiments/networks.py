"""The networks in Flax nnx: a multilayer perceptron with tanh between its layers, which most
studies train, LeNet-5 for images, and a GPT for text.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

BLOCK = 1000
"""Largest number of rows that `LeNet5` takes at once; its patches need about 100 kB per row."""


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


class LeNet5(nnx.Module):
    """LeNet-5 for images of 28 × 28 pixels: two convolutions with max pooling, three dense layers,
    and ReLU between them.
    """

    def __init__(self, outputs: int, *, rngs: nnx.Rngs):
        by_patches = functools.partial(nnx.Conv, conv_general_dilated=convolve, rngs=rngs)
        self.layers = nnx.List(
            [
                by_patches(1, 6, (5, 5)),
                by_patches(6, 16, (5, 5), padding="VALID"),
                nnx.Linear(400, 120, rngs=rngs),
                nnx.Linear(120, 84, rngs=rngs),
                nnx.Linear(84, outputs, rngs=rngs),
            ]
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """The logits (rows, outputs) for inputs (rows, 784)."""
        if len(x) > BLOCK:
            return jax.lax.map(lambda row: self(row[None])[0], x, batch_size=BLOCK)
        x = x.reshape(-1, 28, 28, 1)
        for layer in self.layers[:2]:
            x = nnx.max_pool(nnx.relu(layer(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for layer in self.layers[2:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def convolve(x: jax.Array, kernel: jax.Array, _: Any, padding: Any, **__: Any) -> jax.Array:
    """A convolution with stride 1, as the product of all patches and the kernel.

    On a CPU a training step of LeNet-5 takes a quarter of the time that it takes with XLA's
    `conv_general_dilated`.

    Args:
        x: images (rows, height, width, channels).
        kernel: (height, width, channels, new channels), of odd height and width.
        padding: "SAME" or "VALID".

    Returns:
        Images (rows, height, width, new channels), smaller by the kernel's size less 1 if padding
        is "VALID".
    """
    height, width, channels, outputs = kernel.shape
    if padding == "SAME":
        x = jnp.pad(x, ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)))
    down, right = x.shape[1] - height + 1, x.shape[2] - width + 1
    corners = itertools.product(range(height), range(width))
    patches = [x[:, top : top + down, left : left + right] for top, left in corners]
    return jnp.concatenate(patches, -1) @ kernel.reshape(height * width * channels, outputs)


class Block(nnx.Module):
    """A pre-norm block of a transformer: attention and a GELU perceptron, each added to its
    input.
    """

    def __init__(self, width: int, heads: int, size: int, hidden: int, *, rngs: nnx.Rngs):
        self.norm_1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            heads, width, qkv_features=heads * size, decode=False, attention_fn=attend, rngs=rngs
        )
        self.norm_2 = nnx.LayerNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """(rows, positions, width) for inputs of the same shape and a mask that broadcasts against
        (rows, heads, positions, positions).
        """
        x, units = self.units(x, mask)
        return x + self.down(units)

    def units(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The sum of the inputs and what attention gives for them, and the hidden units (rows,
        positions, hidden) of the perceptron.
        """
        x = x + self.attention(self.norm_1(x), mask=mask)
        return x, nnx.gelu(self.up(self.norm_2(x)))


class GPT(nnx.Module):
    """A decoder-only transformer: learned positions, pre-norm blocks, and a head of its own.

    Args:
        vocabulary: number of tokens.
        context: largest number of positions.
        width: of the stream between the blocks.
        heads: number of heads of each block.
        size: width of a head.
        hidden: number of hidden units of each block.
        rngs: random keys of the initial weights.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        width: int,
        heads: Sequence[int],
        size: int,
        hidden: Sequence[int],
        *,
        rngs: nnx.Rngs,
    ):
        self.tokens = nnx.Embed(vocabulary, width, rngs=rngs)
        self.positions = nnx.Embed(context, width, rngs=rngs)
        sizes = zip(heads, hidden, strict=True)
        self.blocks = nnx.List(
            [Block(width, count, size, units, rngs=rngs) for count, units in sizes]
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, vocabulary, use_bias=False, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """The logits (rows, positions, vocabulary) of what follows each of the tokens (rows,
        positions).
        """
        x, mask = self.embed(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))

    def embed(self, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The inputs of the first block, and the mask that hides later positions."""
        positions = tokens.shape[1]
        x = self.tokens(tokens) + self.positions(jnp.arange(positions))
        return x, jnp.tril(jnp.ones((positions, positions), bool))

    def units(self, tokens: jax.Array) -> jax.Array:
        """The hidden units (rows, positions, hidden) of the last block."""
        x, mask = self.embed(tokens)
        for block in self.blocks[:-1]:
            x = block(x, mask)
        return self.blocks[-1].units(x, mask)[1]


def attend(query: jax.Array, key: jax.Array, value: jax.Array, **options: Any) -> jax.Array:
    """Softmax attention of queries (rows, positions, heads, size), for `nnx.MultiHeadAttention`.

    On a CPU it takes half the time of `nnx.dot_product_attention`, as the two products are batched
    over leading axes.
    """
    query, key, value = (jnp.moveaxis(x, -2, -3) for x in (query, key, value))
    scores = jnp.einsum("...qs,...ks->...qk", query, key) / query.shape[-1] ** 0.5
    weights = jax.nn.softmax(jnp.where(options["mask"], scores, -jnp.inf).astype(jnp.float32))
    mixed = jnp.einsum("...qk,...ks->...qs", weights.astype(value.dtype), value)
    return jnp.moveaxis(mixed, -3, -2)
