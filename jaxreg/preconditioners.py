"""Preconditioners: the diagonal D that an optax direction divides the gradient by, read from that direction's state.

Along a constant gradient g a direction settles at g/D. A proximal step that is to solve for the λ it was given must use
the same metric: its threshold is learning rate·λ/D, weight by weight. Each function here is named for the optax link
`scale_by_…` whose state it reads, takes that link's arguments, and finds the state anywhere in a chain:

    jaxreg.proximal(
        optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b2=0.99)),
        jaxreg.L1(1e-4), learning_rate=1e-3, preconditioner=jaxreg.preconditioners.adam(b2=0.99),
    )

A preconditioner can tell a state of the wrong kind, but not everything: `scale_by_adam` and `scale_by_adamax` share one
kind, and in `optax.partition` every part needs a `proximal` of its own, as each part has a D of its own.

Directions made of signs (Lion, signSGD) have no such D: their step does not depend on the gradient's size, so no
threshold gives the λ that was asked for. Use `jaxreg.proximal_step` after them and compare `kkt_residual`.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxreg._dtypes import at_least_float32, like

Preconditioner = Callable[[Any], Any]
"""From a direction's state, after its update, to D: a scalar, or a tree like the parameters."""


def trace(decay: float) -> Preconditioner:
    """D of `optax.trace`, Nesterov or not: 1 − decay, since the trace of a constant gradient is g/(1 − decay)."""
    return lambda _: 1 - decay


def adam(b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0) -> Preconditioner:
    """D of `optax.scale_by_adam` (Nesterov or not) and `scale_by_yogi`: √(ν̂ + eps_root) + eps, ν̂ = ν/(1 − b2ᵗ)."""

    def diagonal(state: Any) -> Any:
        own = find(state, optax.ScaleByAdamState)
        return root(corrected(own.nu, b2, own.count), eps_root, eps)

    return diagonal


def belief(b2: float = 0.999, eps: float = 1e-16) -> Preconditioner:
    """D of `optax.scale_by_belief`: √ν̂ + eps. That link adds its eps_root to ν itself, so it is in the state already."""

    def diagonal(state: Any) -> Any:
        own = find(state, optax.ScaleByBeliefState)
        return root(corrected(own.nu, b2, own.count), 0.0, eps)

    return diagonal


def amsgrad(eps: float = 1e-8, eps_root: float = 0.0) -> Preconditioner:
    """D of `optax.scale_by_amsgrad`: √(ν_max + eps_root) + eps; ν_max is kept bias-corrected where it is corrected."""
    return lambda state: root(find(state, optax.ScaleByAmsgradState).nu_max, eps_root, eps)


def adamax() -> Preconditioner:
    """D of `optax.scale_by_adamax`: ν, the decaying maximum of |g| + eps."""
    return lambda state: jax.tree.map(at_least_float32, find(state, optax.ScaleByAdamState).nu)


def rms(decay: float = 0.9, eps: float = 1e-8, eps_in_sqrt: bool = True, bias_correction: bool = False) -> Preconditioner:
    """D of `optax.scale_by_rms` and, centered, `scale_by_stddev`: √(ν + eps) or √ν + eps, ν less the squared mean.

    Args:
        decay, eps, eps_in_sqrt, bias_correction: as passed to the link.
    """

    def diagonal(state: Any) -> Any:
        own = find(state, *rms_states())
        moments = [own.nu, own.mu] if hasattr(own, "mu") else [own.nu]
        if bias_correction:
            moments = [corrected(moment, decay, own.count) for moment in moments]
        if len(moments) == 2:
            moments = [jax.tree.map(lambda nu, mu: at_least_float32(nu) - jnp.square(at_least_float32(mu)), *moments)]
        return root(moments[0], eps if eps_in_sqrt else 0.0, 0.0 if eps_in_sqrt else eps)

    return diagonal


def rss(eps: float = 1e-7) -> Preconditioner:
    """D of `optax.scale_by_rss` (Adagrad): √(Σg² + eps)."""
    return lambda state: root(find(state, optax.ScaleByRssState).sum_of_squares, eps, 0.0)


def product(*factors: Preconditioner) -> Preconditioner:
    """D of directions that follow one another, RMSProp and then momentum for example: the product of their D."""

    def diagonal(state: Any) -> Any:
        return functools.reduce(times, [factor(state) for factor in factors])

    return diagonal


@functools.cache
def rms_states() -> tuple[type, ...]:
    """The state classes of RMSProp's links; optax exports only some of them by name, so the links are asked."""
    links = [
        link(bias_correction=bias_correction)
        for link in (optax.scale_by_rms, optax.scale_by_stddev)
        for bias_correction in (False, True)
    ]
    return tuple(type(jax.eval_shape(link.init, jax.ShapeDtypeStruct((), jnp.float32))) for link in links)


def root(nu: Any, inside: float, outside: float) -> Any:
    """√(ν + inside) + outside, leaf by leaf, in float32 or wider.

    D is computed for every leaf, also for one of integers or complex numbers that the mask leaves out.
    """
    return jax.tree.map(lambda leaf: jnp.sqrt(at_least_float32(leaf) + inside) + outside, nu)


def corrected(moment: Any, decay: float, count: jax.Array) -> Any:
    """A moving average of `count` terms, freed of its bias towards the 0 it started from."""

    def correct(leaf: jax.Array) -> jax.Array:
        leaf = at_least_float32(leaf)
        return leaf / (1 - like(decay, leaf) ** like(count, leaf))

    return jax.tree.map(correct, moment)


def times(left: Any, right: Any) -> Any:
    """The product of two diagonals, each a scalar or a tree."""
    if jax.tree_util.all_leaves([right]):
        left, right = right, left
    if jax.tree_util.all_leaves([left]):
        return jax.tree.map(lambda leaf: leaf * left, right)
    return jax.tree.map(operator.mul, left, right)


def suited(state: Any) -> list[str]:
    """The preconditioners, by name, that a direction with this state asks for; empty where D = 1."""
    kinds: dict[type, str] = {
        optax.ScaleByAdamState: "adam (or adamax)",
        optax.ScaleByBeliefState: "belief",
        optax.ScaleByAmsgradState: "amsgrad",
        optax.ScaleByRssState: "rss",
        optax.TraceState: "trace",
        **dict.fromkeys(rms_states(), "rms"),
    }
    nodes = jax.tree.leaves(state, is_leaf=lambda node: type(node) in kinds)
    return [kinds[type(node)] for node in nodes if type(node) in kinds]


def find(state: Any, *kinds: type) -> Any:
    """The one state of the given kinds inside a direction's state.

    Raises:
        ValueError: there is none, or more than one, so that the preconditioner does not belong to the direction.
    """
    found = [
        node for node in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, kinds)) if isinstance(node, kinds)
    ]
    if len(found) != 1:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"preconditioner: expected one {names} in the direction's state, found {len(found)} in {type(state).__name__}; "
            "pass the preconditioner that is named for the direction"
        )
    return found[0]
