"""`sparsify`: the same forward pass with sparse products where these are faster.

    fast = jaxreg.sparsify(apply, params, images)  # apply(params, images) is the forward pass
    print(fast)  # a line for each product with a kernel: the share kept, both times, the choice
    logits = fast(images)

The forward pass is traced, so it may be any function of JAX. What depends on parameters alone is
computed once, and products with kernels are replaced.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from jaxreg._arrays import is_weights
from jaxreg._masking import check_arrays, chosen, kernels, name_of
from jaxreg._products import Times, compared, compressed, sparse_product
from jaxreg._sparsity import aligned
from jaxreg._typing import Mask, PyTree

__all__ = ("Sparsified", "sparsify")

CALLS = {
    "jit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
}  # fmt: skip
"""Primitives that call a function once, and the parameter that holds it."""
NEVER = -1.0
"""The `max_share` that makes no product sparse."""


class Product(NamedTuple):
    """One use of a kernel in a forward pass.

    Attributes:
        name: of the kernel, such as `layer/kernel`.
        shape: of the kernel.
        share: of its weights that are not 0.
        form: "sparse", or "dense" with the reason.
        times: `dense` and `sparse`, median times in µs, and the median of their `ratio`; None if
            they were not measured.
    """

    name: str
    shape: tuple[int, ...]
    share: float
    form: str
    times: Times | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A traced forward pass.

    Attributes:
        jaxpr: from constants and flat arguments to flat outputs.
        arguments: shapes and dtypes of the arguments, a tree.
        outputs: the structure of the outputs.
    """

    jaxpr: Any
    arguments: PyTree
    outputs: Any


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["constants"], meta_fields=["products", "program"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class Sparsified:
    """A forward pass with sparse products; `print` shows a table of them.

    It is called with the arguments that follow the parameters, and is compiled at its first call.
    It is a pytree, so that a function under `jax.jit` may take it as an argument.

    Attributes:
        products: the uses of kernels in the order of the forward pass, with the attributes `name`,
            `shape`, `share` (of the weights that are not 0), `form` ("sparse", or "dense" with the
            reason), and `times`: `times.dense` and `times.sparse` in µs, or None if they were not
            measured.
        constants: the arrays that it computes with: sparse kernels as values and indices, and the
            other parameters.
        program: what it computes.
    """

    products: tuple[Product, ...]
    constants: Sequence[jax.Array]
    program: Program

    def __call__(self, *arguments: PyTree) -> PyTree:
        """Computes the outputs of the forward pass."""
        return evaluate(self.program, self.constants, arguments)

    def __str__(self) -> str:
        rows = [["kernel", "shape", "form", "kept", "dense µs", "sparse µs"]]
        for use in self.products:
            times = [f"{time:.0f}" for time in use.times[:2]] if use.times else ["", ""]
            rows.append([use.name, str(use.shape), use.form, f"{use.share:.1%}", *times])
        return aligned(rows, 3)


@functools.partial(jax.jit, static_argnums=0)
def evaluate(program: Program, constants: Sequence[jax.Array], arguments: PyTree) -> PyTree:
    """Computes the outputs of a program.

    Raises:
        ValueError: the arguments have other shapes than those that it was traced for. The check is
            made while JAX traces, so that it takes no time later.
    """
    if jax.tree.flatten(jax.tree.map(shape_of, arguments)) != jax.tree.flatten(program.arguments):
        expected, got = (
            ", ".join(map(str, jax.tree.map(text, tree))) for tree in (program.arguments, arguments)
        )
        raise ValueError(
            f"sparsify: expected arguments like the examples, {expected}, got {got}; call "
            "jaxreg.sparsify again with examples of these shapes, as the faster form depends on "
            "them"
        )
    outputs = jax.core.eval_jaxpr(program.jaxpr, constants, *jax.tree.leaves(arguments))
    return jax.tree.unflatten(program.outputs, outputs)


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
    Without `max_share`, every product is timed in both forms, and then the whole forward pass,
    which takes up to a second each. What cannot be sparse is computed as before, and `print` says
    why: convolutions, look-ups, products in loops (`scan`) and products that are batched over the
    kernel (`vmap`).

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
        raise TypeError(
            "sparsify: expected concrete parameters, got traced ones; call it outside of jax.jit, "
            "and its result inside"
        )
    shapes = jax.tree.map(shape_of, examples)
    traced: Any
    traced, outputs = jax.make_jaxpr(apply, return_shape=True)(params, *shapes)
    known = [
        constant(jnp.asarray(leaf), name_of(path) if selected and is_weights(leaf) else None)
        for (path, leaf), selected in zip(paths, jax.tree.leaves(chosen(mask, params)), strict=True)
    ]
    named = {kernel.name: kernel.value() for kernel in known if kernel.name}

    def build(max_share: float | None) -> Sparsified:
        rewriter = Rewriter(named, max_share)

        def rewritten(*arguments: jax.Array) -> list[Any]:
            results = rewriter.run(traced.jaxpr, traced.consts, [*known, *arguments])
            return list(map(staged, results))

        closed: Any = jax.make_jaxpr(rewritten)(*jax.tree.leaves(shapes))
        program = Program(closed.jaxpr, shapes, jax.tree.structure(outputs))
        return Sparsified(tuple(rewriter.products), closed.consts, program)

    fast = build(max_share)
    if max_share is None and any(use.form == "sparse" for use in fast.products):
        dense = build(NEVER)
        if compared((applied, dense), (applied, fast), examples).ratio > 1:
            slower = [
                use._replace(form="dense: slower together") if use.form == "sparse" else use
                for use in fast.products
            ]
            return dataclasses.replace(dense, products=tuple(slower))
    return fast


def applied(fast: Sparsified, arguments: tuple[PyTree, ...]) -> PyTree:
    """Calls a forward pass with its arguments."""
    return fast(*arguments)


class Known(NamedTuple):
    """A value that depends on parameters and constants alone; it is computed only if it is used.

    Attributes:
        name: of the first kernel that it is computed from; None if there is none.
        value: computes it at once.
        staged: computes it in the new program.
    """

    name: str | None
    value: Callable[[], Any]
    staged: Callable[[], Any]


def constant(array: Any, name: str | None = None) -> Known:
    """An array as a known value."""
    return Known(name, lambda: array, lambda: array)


def staged(value: Any) -> Any:
    """The array that stands for a value in the new program."""
    return value.staged() if isinstance(value, Known) else value


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
        values = dict(zip(jaxpr.constvars, map(constant, constants), strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Any:
            return constant(atom.val) if isinstance(atom, Literal) else values[atom]

        for equation in jaxpr.eqns:
            dense = functools.partial(evaluate_one, jaxpr, equation)
            outputs = self.outputs(equation, [read(atom) for atom in equation.invars], dense)
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def outputs(
        self, equation: Any, inputs: list[Any], dense: Callable[..., list[Any]]
    ) -> list[Any]:
        """Evaluates an equation, which `dense` does as it stands."""
        primitive, known = equation.primitive.name, [v for v in inputs if isinstance(v, Known)]
        names = list(dict.fromkeys(value.name for value in known if value.name))
        if names and primitive in CALLS:
            called = equation.params[CALLS[primitive]]
            return self.run(getattr(called, "jaxpr", called), getattr(called, "consts", ()), inputs)
        if len(known) == len(inputs) and not equation.effects:
            name = next(iter(names), None)

            @functools.cache
            def now() -> list[Any]:
                with jax.ensure_compile_time_eval():
                    return dense(*(value.value() for value in known))

            @functools.cache
            def later() -> list[Any]:
                return dense(*map(staged, known))

            def output(place: int) -> Known:
                return Known(name, lambda: now()[place], lambda: later()[place])

            return list(map(output, range(len(equation.outvars))))
        if names and primitive == "dot_general":
            return [self.product(equation, inputs, dense)]
        self.products += [
            Product(name, kernel.shape, share_of(kernel), f"dense: used in {primitive}")
            for name, kernel in ((name, self.kernels[name]) for name in names)
        ]
        return dense(*map(staged, inputs))

    def product(
        self, equation: Any, inputs: list[Any], dense: Callable[..., list[Any]]
    ) -> jax.Array:
        """Evaluates a product of a known kernel and an array in the form that is chosen."""
        place = int(isinstance(inputs[1], Known))
        contracted, batch = equation.params["dimension_numbers"]
        name, x = inputs[place].name, inputs[1 - place]
        kernel = inputs[place].value()
        share, times = share_of(kernel), None
        if batch[0]:
            reason = "batched over the kernel"
        elif share == 1:
            reason = "no zeros"
        elif not is_weights(kernel):
            reason = "integer"
        elif self.max_share is not None and share > self.max_share:
            reason = "above max_share"
        else:
            reason = ""
            matrix = compressed(kernel, contracted[place])
            product = functools.partial(
                sparse_product,
                axes=contracted[1 - place],
                first=place == 0,
                output=equation.outvars[0].aval,
            )
            if self.max_share is None:

                def plain(kernel: jax.Array, x: jax.Array) -> list[jax.Array]:
                    return dense(kernel, x) if place == 0 else dense(x, kernel)

                with jax.ensure_compile_time_eval():
                    times = compared((plain, kernel), (product, matrix), shape_of(x))
                reason = "slower" if times.ratio > 1 else ""
        form = f"dense: {reason}" if reason else "sparse"
        self.products.append(Product(name, self.kernels[name].shape, share, form, times))
        return dense(*map(staged, inputs))[0] if reason else product(matrix, x)


def evaluate_one(jaxpr: Any, equation: Any, *arrays: Any) -> list[Any]:
    """Evaluates one equation of a jaxpr, in the context in which it was traced."""
    atoms = list(zip(equation.invars, arrays, strict=True))
    variables = [(atom, array) for atom, array in atoms if not isinstance(atom, Literal)]
    alone = jaxpr.replace(
        constvars=[], invars=[v for v, _ in variables], outvars=equation.outvars, eqns=[equation]
    )
    return jax.core.eval_jaxpr(alone, (), *(array for _, array in variables))


def share_of(kernel: Any) -> float:
    """The share of weights that are not 0; 1 if there are none."""
    return np.count_nonzero(np.asarray(kernel)) / kernel.size if kernel.size else 1.0


def shape_of(leaf: Any) -> jax.ShapeDtypeStruct:
    """The shape and the dtype of an argument, which may be a number."""
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def text(leaf: Any) -> str:
    """Formats the shape and the dtype of an argument, as in float32(256, 784)."""
    return f"{leaf.dtype}{leaf.shape}"
