"""Preconditioners: the diagonal D that an optax direction divides the gradient by, read from that
direction's state.

Along a constant gradient g, a direction settles at g/D. To solve the problem for the given λ, a
proximal step must use the same metric: its threshold is learning rate·λ/D for each weight. Each
function here is named after the optax transformation `scale_by_…` whose state it reads. It takes
the arguments of that transformation and finds the state anywhere in a chain:

    jaxreg.proximal(
        optax.chain(optax.scale_by_adam(b2=0.99), optax.add_decayed_weights(1e-2)),
        jaxreg.L1(1e-4), learning_rate=1e-3, preconditioner=jaxreg.preconditioners.adam(b2=0.99),
    )

A preconditioner raises if it finds no state of its type, but it cannot distinguish `scale_by_adam`
from `scale_by_adamax`, whose states have the same type. In `optax.partition` every part needs its
own `proximal`, as each part has its own D.

Directions made of signs (Lion, signSGD) have no D: their step does not depend on the size of the
gradient, so no threshold corresponds to the given λ. Use `jaxreg.proximal_step` after them and
compare `kkt_residual`.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from jaxreg._arrays import at_least_float32
from jaxreg._typing import Preconditioner, PyTree


def trace(decay: float) -> Preconditioner:
    """D of `optax.trace`, with or without Nesterov: 1 − decay, as a constant gradient g accumulates
    to g/(1 − decay).

    Args:
        decay: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """
    return lambda _: 1 - decay


def adam(b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0) -> Preconditioner:
    """D of `optax.scale_by_adam` (also with Nesterov) and `optax.scale_by_yogi`: √(ν̂ + eps_root) +
    eps, ν̂ = ν/(1 − b2ᵗ).

    Args:
        b2: as passed to the transformation.
        eps: as passed to the transformation.
        eps_root: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """

    def diagonal(state: PyTree) -> PyTree:
        state = find(state, optax.ScaleByAdamState)
        return root(corrected(state.nu, b2, state.count), eps_root, eps)

    return diagonal


def belief(b2: float = 0.999, eps: float = 1e-16) -> Preconditioner:
    """D of `optax.scale_by_belief`: √ν̂ + eps. The transformation adds its eps_root to ν itself,
    so the state contains it.

    Args:
        b2: as passed to the transformation.
        eps: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """

    def diagonal(state: PyTree) -> PyTree:
        state = find(state, optax.ScaleByBeliefState)
        return root(corrected(state.nu, b2, state.count), 0.0, eps)

    return diagonal


def amsgrad(eps: float = 1e-8, eps_root: float = 0.0) -> Preconditioner:
    """D of `optax.scale_by_amsgrad`: √(ν_max + eps_root) + eps. The state holds ν_max with its bias
    corrected, if it is.

    Args:
        eps: as passed to the transformation.
        eps_root: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """
    return lambda state: root(find(state, optax.ScaleByAmsgradState).nu_max, eps_root, eps)


def adamax() -> Preconditioner:
    """D of `optax.scale_by_adamax`: ν, the decaying maximum of |g| + eps.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """
    return lambda state: jax.tree.map(at_least_float32, find(state, optax.ScaleByAdamState).nu)


def rms(
    decay: float = 0.9, eps: float = 1e-8, eps_in_sqrt: bool = True, bias_correction: bool = False
) -> Preconditioner:
    """D of `optax.scale_by_rms`: √(ν + eps) or √ν + eps; and of `optax.scale_by_stddev`, with ν
    minus the squared mean.

    Args:
        decay: as passed to the transformation.
        eps: as passed to the transformation.
        eps_in_sqrt: as passed to the transformation.
        bias_correction: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """

    def diagonal(state: PyTree) -> PyTree:
        state = find(state, *rms_states())
        moments = [state.nu, state.mu] if hasattr(state, "mu") else [state.nu]
        if bias_correction:
            moments = [corrected(moment, decay, state.count) for moment in moments]
        if len(moments) == 2:
            moments = [
                jax.tree.map(
                    lambda nu, mu: at_least_float32(nu) - jnp.square(at_least_float32(mu)), *moments
                )
            ]
        return root(moments[0], eps if eps_in_sqrt else 0.0, 0.0 if eps_in_sqrt else eps)

    return diagonal


def rss(eps: float = 1e-7) -> Preconditioner:
    """D of `optax.scale_by_rss` (Adagrad): √(Σg² + eps).

    Args:
        eps: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """
    return lambda state: root(find(state, optax.ScaleByRssState).sum_of_squares, eps, 0.0)


def adadelta(eps: float = 1e-6) -> Preconditioner:
    """D of `optax.scale_by_adadelta`: √(E[g²] + eps)/√(E[Δ²] + eps), with the averages of squared
    gradients and updates.

    The state holds E[Δ²] after the step. D belongs to it once the average has settled.

    Args:
        eps: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """

    def diagonal(state: PyTree) -> PyTree:
        state = find(state, optax.ScaleByAdaDeltaState)
        return jax.tree.map(operator.truediv, root(state.e_g, eps, 0.0), root(state.e_x, eps, 0.0))

    return diagonal


def novograd(b1: float = 0.9, eps: float = 1e-8, eps_root: float = 0.0) -> Preconditioner:
    """D of `optax.scale_by_novograd`: (1 − b1)·(√(ν + eps_root) + eps), with one ν for each array.

    Args:
        b1: as passed to the transformation.
        eps: as passed to the transformation.
        eps_root: as passed to the transformation.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """
    return lambda state: times(
        1 - b1, root(find(state, optax.ScaleByNovogradState).nu, eps_root, eps)
    )


def plateau() -> Preconditioner:
    """D of `optax.contrib.reduce_on_plateau`: 1/scale.

        >>> import jaxreg, optax, optax.contrib
        >>> from jaxreg import preconditioners
        >>> direction = optax.chain(optax.scale_by_adam(), optax.contrib.reduce_on_plateau())
        >>> metric = preconditioners.product(preconditioners.adam(), preconditioners.plateau())
        >>> tx = jaxreg.proximal(direction, jaxreg.L1(1e-4), 1e-3, metric)

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """
    return lambda state: 1 / find(state, optax.contrib.ReduceLROnPlateauState).scale


def product(*factors: Preconditioner) -> Preconditioner:
    """D of a chain of directions, for example RMSProp followed by momentum: the product of their D.

    Args:
        *factors: the preconditioner of each direction.

    Returns:
        A function for the `preconditioner` argument of `jaxreg.proximal`.
    """

    def diagonal(state: PyTree) -> PyTree:
        return functools.reduce(times, [factor(state) for factor in factors])

    return diagonal


@functools.cache
def rms_states() -> tuple[type, ...]:
    """Returns the state classes of RMSProp, found through `init`, as optax exports only some by
    name.
    """
    weight = jax.ShapeDtypeStruct((), jnp.float32)
    return tuple(
        type(jax.eval_shape(scale(bias_correction=bias_correction).init, weight))
        for scale in (optax.scale_by_rms, optax.scale_by_stddev)
        for bias_correction in (False, True)
    )


def late_states() -> tuple[type, ...]:
    """Returns the state classes of directions other than momentum whose first step is shorter than
    later ones.
    """
    return optax.ScaleByAdaDeltaState, optax.ScaleByNovogradState


def root(nu: PyTree, inside: float, outside: float) -> PyTree:
    """Computes √(ν + inside) + outside for each leaf, in float32 or wider.

    D is computed for every leaf, including integers and complex numbers that are not penalised.
    """
    return jax.tree.map(lambda leaf: jnp.sqrt(at_least_float32(leaf) + inside) + outside, nu)


def corrected(moment: PyTree, decay: float, count: jax.Array) -> PyTree:
    """Corrects the bias of a moving average of `count` terms towards its initial value 0."""
    # optax's own function, so that XLA sees that this D is the one that the direction divides by.
    return optax.tree.bias_correction(jax.tree.map(at_least_float32, moment), decay, count)


def times(left: PyTree, right: PyTree) -> PyTree:
    """Multiplies two diagonals, each a scalar or a tree."""
    if jax.tree_util.all_leaves([right]):
        left, right = right, left
    if jax.tree_util.all_leaves([left]):
        return jax.tree.map(lambda leaf: leaf * left, right)
    return jax.tree.map(operator.mul, left, right)


def suited(state: PyTree) -> list[str]:
    """Names the preconditioners that a direction with this state needs; empty if D = 1."""
    by_type: dict[type, str] = {
        optax.ScaleByAdamState: "adam (or adamax)",
        optax.ScaleByBeliefState: "belief",
        optax.ScaleByAmsgradState: "amsgrad",
        optax.ScaleByRssState: "rss",
        optax.TraceState: "trace",
        optax.ScaleByAdaDeltaState: "adadelta",
        optax.ScaleByNovogradState: "novograd",
        optax.contrib.ReduceLROnPlateauState: "plateau",
        **dict.fromkeys(rms_states(), "rms"),
    }
    nodes = jax.tree.leaves(state, is_leaf=lambda node: type(node) in by_type)
    return [by_type[type(node)] for node in nodes if type(node) in by_type]


def find(state: PyTree, *types: type) -> Any:
    """Finds the one state of the given types inside a direction's state.

    Raises:
        ValueError: there is none, or more than one, so the preconditioner does not belong to the
            direction.
    """
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, types))
    matches = [node for node in nodes if isinstance(node, types)]
    if len(matches) != 1:
        names = " or ".join(kind.__name__ for kind in types)
        raise ValueError(
            f"preconditioner: expected one {names} in the direction's state, found {len(matches)} "
            f"in {type(state).__name__}; pass the preconditioner that is named after the direction"
        )
    return matches[0]
