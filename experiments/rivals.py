"""What others use to make networks sparse, as optax optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from experiments.lazy import jax, jaxreg, jnp, optax

if TYPE_CHECKING:
    from jax.typing import ArrayLike

UPDATES = 64
"""How many times pruning changes the set of its weights; each needs many passes over all weights.
"""


class PruningState(NamedTuple):
    """State of `prune_gradually`: the step count, the weights that are left (a tree of bools) and
    the optimizer's state.
    """

    count: jax.Array  # type: ignore[assignment]  # tuples have a method of that name
    support: Any
    inner: Any


def prune_gradually(
    optimizer: optax.GradientTransformation,
    share: ArrayLike,
    steps: int,
    metric: bool = False,
    per: Literal["input"] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Gradual pruning: the least important weights of all kernels are cut, more and more of them up
    to `steps`.

    The share of weights kept falls along 1 − (1 − share)(1 − (1 − q)³), q = count / steps: the
    cubic schedule of Zhu and Gupta, To Prune, or Not to Prune (2017), as in jaxpruner. Pruned
    weights stay 0.

    Args:
        optimizer: a chain that contains Adam.
        share: of the kernels' weights to keep at the end.
        steps: the step at which the share is reached.
        metric: whether the importance of a weight is |w| √D with Adam's D = √ν̂, so that a weight of
            the same size is more important where gradients are larger; otherwise it is |w|.
        per: "input" prunes inputs and units by the root mean square of the importance of their
            outgoing weights, and `share` counts these. None prunes single weights.

    Returns:
        An optax optimizer.
    """
    every = max(1, steps // UPDATES)
    diagonal = jaxreg.preconditioners.adam()

    def importance(kernel: jax.Array, d: jax.Array) -> jax.Array:
        if kernel.ndim < 2:
            return kernel
        size = jnp.abs(kernel) * jnp.sqrt(d) if metric else jnp.abs(kernel)
        return size if per is None else size / kernel.shape[-1] ** 0.5

    def init(params: optax.Params) -> PruningState:
        support = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
        return PruningState(jnp.zeros([], jnp.int32), support, optimizer.init(params))

    def update(
        updates: optax.Updates, state: PruningState, params: Any = None, **_: Any
    ) -> tuple[Any, PruningState]:
        updates, inner = optimizer.update(updates, state.inner, params)
        updates = jax.tree.map(
            lambda update, kept: jnp.where(kept, update, 0), updates, state.support
        )
        count = optax.safe_increment(state.count)

        def prune() -> Any:
            scores = jax.tree.map(
                importance, jax.tree.map(jnp.add, params, updates), diagonal(inner)
            )
            left = 1 - (1 - share) * (1 - (1 - count / steps) ** 3)
            cut = jaxreg.keep_largest(scores, left, mask=jaxreg.kernels, per=per)
            return jax.tree.map(
                lambda leaf, kept: (leaf != 0) & kept if leaf.ndim > 1 else kept, cut, state.support
            )

        due = (count <= steps) & ((count % every == 0) | (count == steps))
        support = jax.lax.cond(due, prune, lambda: state.support)
        updates = jax.tree.map(
            lambda update, leaf, kept: jnp.where(kept, update, -leaf), updates, params, support
        )
        return updates, PruningState(count, support, inner)

    return optax.GradientTransformationExtraArgs(init, update)


class FactorState(NamedTuple):
    """State of `factorise`: the factors (u, v) of each kernel, other parameters as they are, and
    the optimizer's state.
    """

    factors: Any
    inner: Any


def factorise(
    optimizer: optax.GradientTransformation, strength: ArrayLike
) -> optax.GradientTransformationExtraArgs:
    """L1 by factorised weights (spred): each kernel is u ⊙ v, and λ/2 Σ (u² + v²) is added to the
    loss.

    For a given product u·v = w, the smallest value of that term is λ|w|, so that the minima are
    those of L1 with strength λ. Source: Ziyin and Wang, spred: Solving L1 Penalty with SGD (2023).

    Args:
        optimizer: of the factors.
        strength: λ.

    Returns:
        An optax optimizer of the kernels.
    """

    def split_leaf(leaf: jax.Array, factorised: bool) -> Any:
        # Factors of about the same size, but not |u| = |v|, where gradients could not change the
        # sign of a weight.
        root = jnp.sqrt(jnp.mean(jnp.abs(leaf)))
        return (leaf / root, jnp.full_like(leaf, root)) if factorised else leaf

    def chain_rule(gradient: jax.Array, factorised: bool, factors: Any) -> Any:
        if not factorised:
            return gradient
        u, v = factors
        return gradient * v + strength * u, gradient * u + strength * v

    def init(params: optax.Params) -> FactorState:
        factors = jax.tree.map(split_leaf, params, jaxreg.kernels(params))
        return FactorState(factors, optimizer.init(factors))

    def update(
        updates: optax.Updates, state: FactorState, params: Any = None, **_: Any
    ) -> tuple[Any, FactorState]:
        kernels = jaxreg.kernels(params)
        gradient = jax.tree.map(chain_rule, updates, kernels, state.factors)
        moves, inner = optimizer.update(gradient, state.inner, state.factors)
        factors = optax.apply_updates(state.factors, moves)
        products = jax.tree.map(
            lambda factorised, pair: pair[0] * pair[1] if factorised else pair, kernels, factors
        )
        return jax.tree.map(jnp.subtract, products, params), FactorState(factors, inner)

    return optax.GradientTransformationExtraArgs(init, update)
