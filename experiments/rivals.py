"""What others use to make networks sparse, as optax optimizers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.lazy import jax, jaxreg, jnp, optax

if TYPE_CHECKING:
    from jax.typing import ArrayLike

UPDATES = 64
"""How many times pruning changes the set of its weights; each needs many passes over all weights.
"""
TINY = 1e-30
"""An importance above 0 that is below that of any weight."""


class PruningState(NamedTuple):
    """State of `prune_gradually`: the step count, the weights that are left (a tree of bools) and
    the optimizer's state.
    """

    count: jax.Array  # type: ignore[assignment]  # tuples have a method of that name
    support: Any
    inner: Any


def prune_gradually(
    optimizer: optax.GradientTransformation,
    share: Any,
    steps: int,
    metric: Callable[[Any], Any] | None = None,
    per: Any = None,
    begin: int = 0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Gradual pruning: the least important weights of all kernels are cut, more and more of them up
    to `steps`.

    The share of weights kept falls along 1 − (1 − share)(1 − (1 − q)³), where q grows from 0 at
    `begin` to 1 at `steps`: the cubic schedule of Zhu and Gupta, To Prune, or Not to Prune (2017),
    as in jaxpruner. Pruned weights stay 0.

    Args:
        optimizer: any optax optimizer.
        share: of the weights, or groups, to keep at the end, as for `jaxreg.keep_largest`.
        steps: the step at which the share is reached.
        metric: from the optimizer's state to D, such as Adam's √ν̂: the importance of a weight is
            |w| √D, so that a weight of the same size is more important where gradients are larger.
            None for |w|.
        per: groups that are pruned whole, as for `jaxreg.keep_largest`, by the norm of the
            importance of their weights; "input" by its root mean square. None prunes single
            weights.
        begin: the step at which pruning starts.
        mask: a function from parameters to a tree of bools, which weights are pruned; None for
            all kernels, or for all that belong to groups in several parameters.

    Returns:
        An optax optimizer.
    """
    every, spans = max(1, steps // UPDATES), isinstance(per, Mapping)

    def chosen(params: Any) -> Any:
        if spans and mask is None:
            return jax.tree.map(lambda _: True, params)
        return (mask or jaxreg.kernels)(params)

    def importance(weights: jax.Array, d: ArrayLike) -> jax.Array:
        size = jnp.abs(weights) * jnp.sqrt(d)
        # A bias that starts at 0 is not cut before its group is.
        return size + TINY if spans else size / weights.shape[-1] ** 0.5 if per else size

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
            moved = jax.tree.map(jnp.add, params, updates)
            diagonal = metric(inner) if metric else jax.tree.map(lambda _: 1.0, moved)
            scores = jax.tree.map(importance, moved, diagonal)
            cut_part = 1 - (1 - (count - begin) / (steps - begin)) ** 3
            left = jax.tree.map(lambda kept: 1 - (1 - kept) * cut_part, share)
            pruned = chosen(params)
            cut = jaxreg.keep_largest(scores, left, mask=pruned, per=per)
            return jax.tree.map(
                lambda leaf, kept, prunes: (leaf != 0) & kept if prunes else kept,
                cut,
                state.support,
                pruned,
            )

        due = (count > begin) & (count <= steps) & ((count % every == 0) | (count == steps))
        support = jax.lax.cond(due, prune, lambda: state.support)
        updates = jax.tree.map(
            lambda update, leaf, kept: jnp.where(kept, update, -leaf), updates, params, support
        )
        return updates, PruningState(count, support, inner)

    return optax.GradientTransformationExtraArgs(init, update)


class CountedState(NamedTuple):
    """The step count, and the state of the wrapped optimizer."""

    count: jax.Array  # type: ignore[assignment]  # tuples have a method of that name
    inner: Any


def counted(
    optimizer: optax.GradientTransformation, change: Callable[..., Any]
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that `change` maps its count, the new parameters, the gradient and the
    parameters to other new parameters.
    """

    def init(params: optax.Params) -> CountedState:
        return CountedState(jnp.zeros([], jnp.int32), optimizer.init(params))

    def update(
        gradient: optax.Updates, state: CountedState, params: Any = None, **_: Any
    ) -> tuple[Any, CountedState]:
        updates, inner = optimizer.update(gradient, state.inner, params)
        changed = change(state.count, jax.tree.map(jnp.add, params, updates), gradient, params)
        moves = jax.tree.map(jnp.subtract, changed, params)
        return moves, CountedState(optax.safe_increment(state.count), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def keep_largest_always(
    optimizer: optax.GradientTransformation, share: ArrayLike, steps: int, mask: Any
) -> optax.GradientTransformationExtraArgs:
    """Keeps only the largest weights of each matrix, at every step: their share falls along a
    straight line from 1 to `share` at `steps`.

    Weights that are 0 get gradients and may return. Source: Gao and others, Weight-sparse
    transformers have interpretable circuits (2025).

    Args:
        optimizer: such as AdamW.
        share: of each matrix to keep at the end.
        steps: the step at which the share is reached.
        mask: a function from parameters to a tree of bools, which matrices are cut.

    Returns:
        An optax optimizer.
    """

    def cut(count: jax.Array, weights: Any, *_: Any) -> Any:
        left = 1 - (1 - share) * jnp.minimum((count + 1) / steps, 1)

        def largest(matrix: jax.Array, cuts: bool) -> jax.Array:
            return jaxreg.keep_largest(matrix, left) if cuts else matrix

        return jax.tree.map(largest, weights, mask(weights))

    return counted(optimizer, cut)


def hyperbolic(
    optimizer: optax.GradientTransformation, rate: optax.Schedule, alpha: float, mask: Any
) -> optax.GradientTransformationExtraArgs:
    """Adds a hyperbolic step to each step of an optimizer: w·exp(−rate·(α·sign(w)·g + β)), with the
    step's gradient g and β = 0.001.

    It makes no weight 0. Source: Jacobs, Gadhikar, Rubio-Madrigal and Burkholz, Hyperbolic aware
    minimization (2025), whose defaults are α = 200 and this β.

    Args:
        optimizer: such as AdamW.
        rate: its learning rate.
        alpha: α.
        mask: a function from parameters to a tree of bools, which weights the step multiplies.

    Returns:
        An optax optimizer.
    """
    beta = 1e-3

    def step(count: jax.Array, weights: Any, gradient: Any, params: Any) -> Any:
        def multiply(w: jax.Array, g: jax.Array, multiplies: bool) -> jax.Array:
            factor = jnp.exp(-rate(count) * (alpha * jnp.sign(w) * g + beta))
            return w * factor if multiplies else w

        return jax.tree.map(multiply, weights, gradient, mask(params))

    return counted(optimizer, step)


class FactorState(NamedTuple):
    """State of `factorise`: the factors of each kernel (a tuple of arrays), other parameters as
    they are, and the optimizer's state.
    """

    factors: Any
    inner: Any


def factorise(
    optimizer: optax.GradientTransformation,
    strength: ArrayLike,
    depth: int = 2,
    key: jax.Array | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Sparsity by factorised weights: each kernel w is a product u₁ ⊙ … ⊙ u_D of arrays of its
    shape, and λ/D Σ‖u_d‖² is added to the loss.

    The mean of the u_d² of a weight is at least their geometric mean |w|^(2/D), and equal to it
    where all |u_d| are equal. So for given products the smallest value of that term is
    λ Σ|w|^(2/D), and the minima are those of the loss with this penalty: L1 for two factors, a
    concave one for more. Sources: Ziyin and Wang, spred: Solving L1 Penalty with SGD (2023), for
    two factors; Kolb, Weber, Bischl and Rügamer, Deep Weight Factorization (2025), for any number.

    Args:
        optimizer: of the factors.
        strength: λ.
        depth: number D of factors.
        key: None starts with the network's own weights: the first factor carries them, and the
            others are constant. A key draws all factors as Kolb and others do, because normal ones
            have too many products near 0 if D > 2: normal with standard deviation σ^(1/D), where σ
            is that of the layer's weights, and absolute values between ε^(1/D) and (2σ)^(1/D). We
            set ε = σ/4. Their products replace the weights at the first step, whose gradient is
            still that of the weights before.

    Returns:
        An optax optimizer of the kernels.
    """

    def constant(leaf: jax.Array) -> tuple[jax.Array, ...]:
        # Factors of about the same size, but not |u| = |v|, where gradients could not change the
        # sign of a weight.
        root = jnp.mean(jnp.abs(leaf)) ** (1 / depth)
        return leaf / root ** (depth - 1), *[jnp.full_like(leaf, root)] * (depth - 1)

    def drawn(leaf: jax.Array, key: jax.Array) -> tuple[jax.Array, ...]:
        size_key, sign_key = jax.random.split(key)
        shape, low, high = (depth, *leaf.shape), 0.25 ** (1 / depth), 2 ** (1 / depth)
        sizes = jax.random.truncated_normal(size_key, low, high, shape, leaf.dtype)
        signs = jax.random.rademacher(sign_key, shape, leaf.dtype)
        return tuple(jnp.std(leaf) ** (1 / depth) * signs * sizes)

    def chain_rule(gradient: jax.Array, factorised: bool, factors: Any) -> Any:
        if not factorised:
            return gradient
        others = [math.prod(factors[:at] + factors[at + 1 :]) for at in range(depth)]
        return tuple(
            gradient * other + 2 / depth * strength * factor
            for other, factor in zip(others, factors, strict=True)
        )

    def init(params: optax.Params) -> FactorState:
        numbers = itertools.count()

        def split(leaf: jax.Array, factorised: bool) -> Any:
            if not factorised:
                return leaf
            at = next(numbers)
            return constant(leaf) if key is None else drawn(leaf, jax.random.fold_in(key, at))

        factors = jax.tree.map(split, params, jaxreg.kernels(params))
        return FactorState(factors, optimizer.init(factors))

    def update(
        updates: optax.Updates, state: FactorState, params: Any = None, **_: Any
    ) -> tuple[Any, FactorState]:
        kernels = jaxreg.kernels(params)
        gradient = jax.tree.map(chain_rule, updates, kernels, state.factors)
        moves, inner = optimizer.update(gradient, state.inner, state.factors)
        factors = optax.apply_updates(state.factors, moves)
        products = jax.tree.map(
            lambda factorised, part: math.prod(part) if factorised else part, kernels, factors
        )
        return jax.tree.map(jnp.subtract, products, params), FactorState(factors, inner)

    return optax.GradientTransformationExtraArgs(init, update)
