"""Traces the fit for every sweep, identifies it by its content, and compiles the program of a chunk
once for each content.

JAX caches traces by the identity of the function, so it would not notice a global variable or an
attribute that changed. Every sweep therefore traces under its own context, which no earlier trace
matches, and looks up a compiled program by the lowered text and all constants. This keeps no
function, closure or captured array alive.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import tracing_number
from jaxreg._sweep import keys
from jaxreg._typing import PyTree

KEPT_PROGRAMS = 16
EMBEDDED_BYTES = 2**20
"""A program with larger embedded constants is compiled for one sweep and not kept."""
HOISTED_BYTES = 2**16
"""Captured arrays of this size become arguments, so that neither text nor compiled program contains
them.
"""

numbers = itertools.count(1)
compiled: OrderedDict[Hashable, Any] = OrderedDict()
lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Program:
    """A traced fit.

    Attributes:
        evaluate: computes the output leaves from the leaves of one run's arguments and the leaves
            of what all runs share, followed by the captured arrays; evaluates the trace, never the
            fit.
        captured: the large arrays that the fit closes over.
        outputs: shapes and dtypes of the output leaves.
        structure: of the tree of outputs.
        kinds: the implementation of typed keys for each output leaf, None for other arrays.
        content: a hash of the computation and its embedded constants.
        identity: a hash of the content and the captured arrays.
        calls_host: whether the fit calls back into Python while it runs.
        reusable: whether later sweeps may reuse the compiled program.
    """

    evaluate: Callable[[list[Any], list[Any]], list[Any]]
    captured: list[Any]
    outputs: list[Any]
    structure: Any
    kinds: keys.Kinds
    content: str
    identity: str
    calls_host: bool
    reusable: bool


def trace(fit: Callable[[PyTree, PyTree], PyTree], run: PyTree, shared: PyTree) -> Program:
    """Traces a fit.

    Args:
        fit: a function of one run and of what all runs share, which returns a tree of arrays.
        run: an example of the first argument, a tree of NumPy arrays.
        shared: an example of the second argument, a tree of NumPy arrays.

    Raises:
        ValueError: the fit returns no array.
    """
    traced: dict[str, Any] = {}

    def flat(run: PyTree, shared: PyTree) -> list[Any]:
        plain, kinds = keys.unwrap(fit(run, shared))
        leaves, structure = jax.tree.flatten(plain)
        traced.update(structure=structure, kinds=kinds)
        return leaves

    closed: Any  # a ClosedJaxpr, or a Jaxpr from JAX 0.12 on
    with tracing_number(next(numbers)):
        closed, outputs = jax.make_jaxpr(flat, return_shape=True)(run, shared)
    if not outputs:
        raise ValueError("sweep: fit must return at least one array, got none")
    large = [is_large(constant) for constant in closed.consts]
    captured = [
        np.asarray(constant)
        for constant, hoisted in zip(closed.consts, large, strict=True)
        if hoisted
    ]
    small = [
        None if hoisted else off_mesh(constant)
        for constant, hoisted in zip(closed.consts, large, strict=True)
    ]

    def evaluate(run: list[Any], shared: list[Any]) -> list[Any]:
        inputs, arguments = (
            shared[: len(shared) - len(captured)],
            shared[len(shared) - len(captured) :],
        )
        remaining = iter(arguments)
        constants = [
            next(remaining) if hoisted else value
            for value, hoisted in zip(small, large, strict=True)
        ]
        return jax.core.eval_jaxpr(closed, constants, *run, *inputs)

    constants = [*constants_of(closed), *small]
    embedded = sum(
        np.asarray(value).nbytes
        for value in constants
        if value is not None and not keys.is_key(value)
    )
    calls_host = bool(closed.effects) or any("callback" in name for name in primitives_of(closed))
    # Without unused arguments, the text would not show which of two arrays of the same shape is
    # used.
    lowered = jax.jit(evaluate, keep_unused=True).lower(
        jax.tree.leaves(run), [*jax.tree.leaves(shared), *captured]
    )
    text = lowered.as_text()
    content = digest((np.frombuffer(text.encode(), np.uint8), constants))
    return Program(
        evaluate=evaluate,
        captured=captured,
        outputs=list(outputs),
        structure=traced["structure"],
        kinds=traced["kinds"],
        content=content,
        identity=digest((np.frombuffer(content.encode(), np.uint8), captured)),
        calls_host=calls_host,
        reusable=not calls_host and embedded < EMBEDDED_BYTES,
    )


def chunk_program(program: Program, chunk: int, at_once: int) -> tuple[Callable[..., Any], int]:
    """Makes the function that computes a chunk, and the number of runs that its buffers hold.

    The function takes the number of runs, their arguments as leaves (buffer, …), and what all runs
    share; it returns the output leaves (buffer, …). It loops over just the runs that are there, so
    that a partly filled chunk costs no more than its runs, and one program serves grids of any
    size.

    Args:
        program: the traced fit.
        chunk: the largest number of runs.
        at_once: the number of runs that are computed together by `vmap`.
    """
    buffer = -(-chunk // at_once) * at_once

    def compute(count: jax.Array, runs: list[Any], shared: list[Any]) -> list[Any]:
        def batch(number: Any, filled: list[Any]) -> list[Any]:
            start = number * at_once
            picked = [jax.lax.dynamic_slice_in_dim(leaf, start, at_once) for leaf in runs]
            if at_once > 1:
                results = jax.vmap(program.evaluate, (0, None))(picked, shared)
            else:
                outputs = program.evaluate([leaf[0] for leaf in picked], shared)
                # An output may be a Python number.
                results = [
                    jnp.asarray(leaf, like.dtype)[None]
                    for leaf, like in zip(outputs, program.outputs, strict=True)
                ]
            return [
                jax.lax.dynamic_update_slice_in_dim(into, leaf, start, 0)
                for into, leaf in zip(filled, results, strict=True)
            ]

        empty = [jnp.zeros((buffer, *leaf.shape), leaf.dtype) for leaf in program.outputs]
        return jax.lax.fori_loop(0, (count + at_once - 1) // at_once, batch, empty)

    return compute, buffer


@contextlib.contextmanager
def without_mesh() -> Iterator[None]:
    """Leaves the mesh that the program has set by `jax.set_mesh`, as each run is computed by one
    device.
    """
    if jax.sharding.get_mesh().empty:
        yield
        return
    with jax.set_mesh(None):
        yield


def is_large(constant: Any) -> bool:
    """Whether a captured constant becomes an argument."""
    return not keys.is_key(constant) and np.asarray(constant).nbytes >= HOISTED_BYTES


def off_mesh(constant: Any) -> Any:
    """Copies a captured array that lies on several devices, as a program for another mesh cannot
    contain it.
    """
    several = isinstance(constant, jax.Array) and len(constant.sharding.device_set) > 1
    return keys.on_host(constant) if several else constant


def equations(jaxpr: Any) -> Iterator[Any]:
    """Yields every equation, including those of jaxprs inside loops, branches and calls."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from equations(inner)


def inner_jaxprs(equation: Any) -> Iterator[Any]:
    """Yields the jaxprs among the parameters of an equation."""
    for parameter in equation.params.values():
        for value in parameter if isinstance(parameter, tuple | list) else [parameter]:
            if hasattr(value, "eqns"):
                yield value


def constants_of(jaxpr: Any) -> Iterator[Any]:
    """Yields every constant of a jaxpr: literals, arrays among parameters, and constants of nested
    jaxprs.
    """
    for equation in equations(jaxpr):
        yield from (
            atom.val for atom in equation.invars if isinstance(atom, jax.extend.core.Literal)
        )
        yield from (
            value for value in equation.params.values() if isinstance(value, jax.Array | np.ndarray)
        )
        for inner in inner_jaxprs(equation):
            yield from getattr(inner, "consts", ())


def primitives_of(jaxpr: Any) -> Iterator[str]:
    """Yields the name of the primitive of every equation."""
    return (equation.primitive.name for equation in equations(jaxpr))


def digest(tree: PyTree) -> str:
    """Hashes a tree of arrays: structure, key implementations, dtypes, shapes and values."""
    plain, kinds = keys.unwrap(tree)
    hashed = hashlib.sha256(
        f"{jax.tree.structure(plain)}{[str(kind) for kind in kinds if kind is not None]}".encode()
    )
    for leaf in jax.tree.leaves(plain):
        array = np.asarray(leaf)
        hashed.update(
            f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
        )
    return hashed.hexdigest()[:32]


def compile_once(key: Hashable, make: Callable[[], Any]) -> Any:
    """Returns what was made for this key before, or calls `make`; keeps the most recently used
    programs.
    """
    with lock:
        if key in compiled:
            compiled.move_to_end(key)
            return compiled[key]
    made = make()
    with lock:
        compiled[key] = made
        while len(compiled) > KEPT_PROGRAMS:
            compiled.popitem(last=False)
    return made
