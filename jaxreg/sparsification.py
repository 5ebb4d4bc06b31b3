"""`sparsify`: the same forward pass with sparse products where these are faster.

    fast = jaxreg.sparsify(apply, params, images)  # apply(params, images) is the forward pass
    print(fast)  # a line for each product with a kernel: the share kept, both times, the choice
    logits = fast(images)

The forward pass is traced, so it may be any function of JAX. A product with a kernel, which is
known, is computed as W xᵀ, with W in compressed rows: then the inner loop runs over the batch, in
adjacent memory.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse
from jax.extend.core import Literal

from jaxreg._arrays import at_least_float32, is_weights
from jaxreg._masking import check_arrays, chosen, kernels, name_of
from jaxreg._sparsity import aligned
from jaxreg._typing import Mask, PyTree

__all__ = ("Product", "Sparsified", "sparsify")

CALLS = {
    "jit": "jaxpr", "closed_call": "call_jaxpr", "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
}  # fmt: skip
"""Primitives that call a function once, and the parameter that holds it."""
ROUNDS = 20
"""How many times both forms of a product are timed, if that takes no longer than `LONGEST`."""
LONGEST = 1e5
"""In µs."""
WARM_UP = 2


class Product(NamedTuple):
    """One use of a kernel in a forward pass.

    Attributes:
        name: of the kernel, such as `layer/kernel`.
        shape: of the kernel.
        share: of its weights that are not 0.
        dense: median time of the dense product in µs; None if it was not timed.
        sparse: the same of the sparse product.
        form: "sparse", or "dense" with the reason.
    """

    name: str
    shape: tuple[int, ...]
    share: float
    dense: float | None
    sparse: float | None
    form: str


class Program(NamedTuple):
    """A traced forward pass.

    Attributes:
        jaxpr: from constants and flat arguments to flat outputs.
        shapes: shapes and dtypes of the arguments.
        arguments: their structure.
        outputs: the structure of the outputs.
    """

    jaxpr: Any
    shapes: tuple[jax.ShapeDtypeStruct, ...]
    arguments: Any
    outputs: Any


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["constants"],
    meta_fields=["products", "program"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Sparsified:
    """A forward pass with sparse products; `print` shows a table of them.

    It is called with the arguments that follow the parameters, is compiled at its first call, and
    is a pytree, so that `jax.jit` takes it as an argument too.

    Attributes:
        products: the uses of kernels, in the order of the forward pass.
        constants: the arrays that it needs: sparse kernels as values and indices, and the other
            parameters.
        program: what it computes from them.
    """

    products: tuple[Product, ...]
    constants: Sequence[jax.Array]
    program: Program

    def __call__(self, *arguments: PyTree) -> PyTree:
        leaves, structure = jax.tree.flatten(arguments)
        shapes = tuple(map(shape_of, leaves))
        if structure != self.program.arguments or shapes != self.program.shapes:
            expected = jax.tree.unflatten(self.program.arguments, map(text, self.program.shapes))
            raise ValueError(
                f"sparsify: expected arguments like the examples, {expected}, got "
                f"{jax.tree.unflatten(structure, map(text, shapes))}; call jaxreg.sparsify again "
                "with examples of these shapes, as the faster form depends on them"
            )
        outputs = evaluate(self.program.jaxpr, self.constants, leaves)
        return jax.tree.unflatten(self.program.outputs, outputs)

    def __str__(self) -> str:
        rows = [["kernel", "shape", "form", "kept", "dense µs", "sparse µs"]]
        for product in self.products:
            times = ["" if t is None else f"{t:.0f}" for t in (product.dense, product.sparse)]
            rows.append(
                [product.name, str(product.shape), product.form, f"{product.share:.1%}", *times]
            )
        return aligned(rows, 3)


@functools.partial(jax.jit, static_argnums=0)
def evaluate(jaxpr: Any, constants: Sequence[jax.Array], arguments: Sequence[Any]) -> list[Any]:
    """Computes the flat outputs of a program."""
    return jax.core.eval_jaxpr(jaxpr, constants, *arguments)


def sparsify(
    apply: Callable[..., PyTree],
    params: PyTree,
    *examples: PyTree,
    mask: Mask = kernels,
    max_share: float | None = None,
) -> Sparsified:
    """Makes the products of a forward pass sparse where that is faster on this device; outputs
    change by rounding only.

        >>> import jax.numpy as jnp, jaxreg
        >>> params = {"kernel": jnp.zeros((784, 300)).at[::50].set(0.1), "bias": jnp.zeros(300)}
        >>> def apply(params, x):
        ...     return jnp.tanh(x @ params["kernel"] + params["bias"])
        >>> x = jnp.ones((256, 784))
        >>> fast = jaxreg.sparsify(apply, params, x, max_share=0.1)
        >>> print(fast)
        kernel  shape       form    kept  dense µs  sparse µs
        -----------------------------------------------------
        kernel  (784, 300)  sparse  2.0%
        >>> bool(jnp.allclose(fast(x), apply(params, x), atol=1e-5))
        True

    Kernels may be transposed, reshaped, cast or computed from other parameters before the product.
    Without `max_share`, every product is timed in both forms, which takes some 0.1 s each. What
    cannot be sparse is computed as before, and `print` says why: convolutions, look-ups, products
    in loops (`scan`) and products that are batched over the kernel (`vmap`).

    Weights that are 0 are skipped, so where an activation is infinite or NaN, the output may be
    finite instead of NaN. Products in 16 bits add in float32 and round once.

    Args:
        apply: the forward pass, called as `apply(params, *examples)`.
        params: the parameters, a tree of arrays: plain, linen's, nnx's or Equinox's.
        *examples: its other arguments, trees of arrays or `jax.ShapeDtypeStruct`. The result takes
            arguments of these shapes and dtypes alone, as the faster form depends on the batch.
        mask: which parameters may be sparse, as for `optax.masked`; by default the kernels.
        max_share: None times both forms. A number makes a product sparse if at most this share of
            the kernel's weights is not 0, without timing: 1.0 for every kernel with a 0.

    Returns:
        The forward pass without its first argument.

    Raises:
        TypeError: the parameters are traced or no arrays, or the mask is not made of bools.
        ValueError: the mask does not fit the parameters. Calling the result raises one for
            arguments of other shapes than the examples'.
    """
    check_arrays("sparsify", params)
    paths = jax.tree_util.tree_leaves_with_path(params)
    if any(isinstance(leaf, jax.core.Tracer) for _, leaf in paths):
        raise TypeError("sparsify: expected concrete parameters, got traced ones; call it outside "
                        "of jax.jit, and the result inside")  # fmt: skip
    leaves, structure = jax.tree.flatten(examples)
    shapes = tuple(map(shape_of, leaves))
    traced: Any
    traced, outputs = jax.make_jaxpr(apply, return_shape=True)(
        params, *jax.tree.unflatten(structure, shapes)
    )
    known = [
        Known(jnp.asarray(leaf), name_of(path) if selected and is_weights(leaf) else None)
        for (path, leaf), selected in zip(paths, jax.tree.leaves(chosen(mask, params)), strict=True)
    ]
    rewriter = Rewriter({value.name: value.value for value in known if value.name}, max_share)

    def rewritten(*arguments: jax.Array) -> list[Any]:
        results = rewriter.run(traced.jaxpr, traced.consts, [*known, *arguments])
        return [plain(result) for result in results]

    closed: Any = jax.make_jaxpr(rewritten)(*shapes)
    program = Program(closed.jaxpr, shapes, structure, jax.tree.structure(outputs))
    return Sparsified(tuple(rewriter.products), list(closed.consts), program)


class Known(NamedTuple):
    """A value that depends on parameters alone.

    Attributes:
        value: the array.
        name: of the first kernel that it is computed from; None if there is none.
    """

    value: jax.Array
    name: str | None


def plain(value: Any) -> Any:
    """Returns the array of a value that may be known."""
    return value.value if isinstance(value, Known) else value


class Rewriter:
    """Evaluates a jaxpr with sparse products in place of products with known kernels.

    Attributes:
        kernels: the selected parameters by name.
        max_share: as for `sparsify`.
        products: the uses of kernels that were met.
    """

    def __init__(self, kernels: dict[str, jax.Array], max_share: float | None) -> None:
        self.kernels, self.max_share = kernels, max_share
        self.products: list[Product] = []

    def run(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        """Evaluates a jaxpr whose arguments may be known."""
        values = dict(zip(jaxpr.constvars, constants, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        for equation in jaxpr.eqns:
            outputs = self.outputs(jaxpr, equation, [read(atom) for atom in equation.invars])
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def outputs(self, jaxpr: Any, equation: Any, inputs: list[Any]) -> list[Any]:
        """Evaluates an equation: at once if all of it is known, else into the new program."""
        primitive, arrays = equation.primitive.name, [plain(value) for value in inputs]
        dense = functools.partial(evaluate_one, jaxpr, equation)
        if not any(isinstance(value, Known) for value in inputs):
            return dense(*arrays)
        if primitive in CALLS:
            called = equation.params[CALLS[primitive]]
            return self.run(getattr(called, "jaxpr", called), getattr(called, "consts", ()), inputs)
        sources = list(dict.fromkeys(v.name for v in inputs if isinstance(v, Known) and v.name))
        if not any(isinstance(array, jax.core.Tracer) for array in arrays):
            with jax.ensure_compile_time_eval():
                return [Known(output, sources[0] if sources else None) for output in dense(*arrays)]
        if primitive == "dot_general" and sources:
            return [self.product(sources[0], equation, inputs, dense)]
        self.products += [
            Product(name, kernel.shape, share_of(kernel), None, None, f"dense: used in {primitive}")
            for name, kernel in ((name, self.kernels[name]) for name in sources)
        ]
        return dense(*arrays)

    def product(
        self, name: str, equation: Any, inputs: list[Any], dense: Callable[..., list[Any]]
    ) -> jax.Array:
        """Evaluates a product of a known kernel and an array in the form that is chosen."""
        place = int(isinstance(inputs[1], Known))
        contracted, batch = equation.params["dimension_numbers"]
        kernel, x = inputs[place].value, inputs[1 - place]
        shape, share = self.kernels[name].shape, share_of(kernel)
        times, reason = (None, None), ""
        if batch[0]:
            reason = "batched over the kernel"
        elif share == 1:
            reason = "no zeros"
        elif not is_weights(kernel):
            reason = "integer"
        elif self.max_share is not None and share > self.max_share:
            reason = "above max_share"
        if not reason:
            output = equation.outvars[0].aval
            matrix = compressed(kernel, contracted[place], output.dtype)
            product = functools.partial(
                sparse_product, axes=contracted[1 - place], first=place == 0, output=output
            )
            if self.max_share is None:
                with jax.ensure_compile_time_eval():
                    example = jnp.ones(x.shape, x.dtype)
                    operands = (kernel, example) if place == 0 else (example, kernel)
                    *times, ratio = compared((dense, *operands), (product, matrix, example))
                reason = "slower" if ratio > 1 else ""
        self.products.append(
            Product(name, shape, share, *times, f"dense: {reason}" if reason else "sparse")
        )
        return dense(*map(plain, inputs))[0] if reason else product(matrix, x)


def evaluate_one(jaxpr: Any, equation: Any, *arrays: Any) -> list[Any]:
    """Evaluates one equation of a jaxpr, in the context in which it was traced."""
    atoms = list(zip(equation.invars, arrays, strict=True))
    variables = [(atom, array) for atom, array in atoms if not isinstance(atom, Literal)]
    alone = jaxpr.replace(
        constvars=[], invars=[v for v, _ in variables], outvars=equation.outvars, eqns=[equation]
    )
    return jax.core.eval_jaxpr(alone, (), *(array for _, array in variables))


def compressed(kernel: jax.Array, contracted: Sequence[int], dtype: Any) -> sparse.BCSR:
    """Converts a kernel to a matrix of compressed rows, (free, contracted).

    Args:
        kernel: an array of any rank.
        contracted: its axes that a product sums over.
        dtype: of the product, which is computed in float32 or wider.
    """
    free = [axis for axis in range(kernel.ndim) if axis not in contracted]
    columns = math.prod(kernel.shape[axis] for axis in contracted)
    matrix = np.asarray(kernel).transpose(*free, *contracted).reshape(-1, columns)
    row, column = np.nonzero(matrix)
    starts = np.searchsorted(row, np.arange(len(matrix) + 1))
    with jax.ensure_compile_time_eval():
        values = at_least_float32(jnp.asarray(matrix[row, column], dtype))
        indices = [jnp.asarray(places, jnp.int32) for places in (column, starts)]
        return sparse.BCSR((values, *indices), shape=matrix.shape)


def sparse_product(
    matrix: sparse.BCSR, x: jax.Array, axes: Sequence[int], first: bool, output: Any
) -> jax.Array:
    """Computes the product of a sparse matrix and an array.

    Args:
        matrix: (free, contracted).
        x: the array.
        axes: the axes of `x` that the product sums over.
        first: whether the axes of the matrix come first in the result.
        output: shape and dtype of the result.
    """
    free = [axis for axis in range(x.ndim) if axis not in axes]
    columns = x.astype(matrix.dtype).transpose(*axes, *free).reshape(matrix.shape[1], -1)
    result = matrix @ columns
    return (result if first else result.T).reshape(output.shape).astype(output.dtype)


def compared(*calls: tuple[Any, ...]) -> tuple[float, float, float]:
    """Times two calls, each a function and its arguments, in turn.

    Returns:
        Both medians in µs, and the median of the second time divided by the first.
    """
    compiled = [(jax.jit(function), arguments) for function, *arguments in calls]
    times: list[list[float]] = []
    for passed in range(ROUNDS + WARM_UP):
        times.append([])
        for function, arguments in compiled:
            began = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            times[-1].append(1e6 * (time.perf_counter() - began))
        if passed > 2 * WARM_UP and np.sum(times[WARM_UP:]) > LONGEST:
            break
    dense, sparse_ = np.transpose(times[WARM_UP:])
    return float(np.median(dense)), float(np.median(sparse_)), float(np.median(sparse_ / dense))


def share_of(kernel: Any) -> float:
    """The share of weights that are not 0; 1 if there are none."""
    return np.count_nonzero(np.asarray(kernel)) / kernel.size if kernel.size else 1.0


def shape_of(leaf: Any) -> jax.ShapeDtypeStruct:
    """The shape and the dtype of an argument, which may be a number."""
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def text(shape: jax.ShapeDtypeStruct) -> str:
    """A shape as in float32(256, 784)."""
    return f"{shape.dtype}{shape.shape}"
