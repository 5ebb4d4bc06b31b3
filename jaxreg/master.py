"""`master_weights`: an optimizer for parameters in bfloat16 or float16 that counts in float32.

    tx = jaxreg.master_weights(jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels))

In bfloat16 numbers near w are 2⁻⁸|w| to 2⁻⁷|w| apart, so a step below 0.2 % of a weight rounds back
to the weight: a learning rate, a decay or a penalty that is too small does nothing at all, in
jaxreg as in optax.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxreg._masking import check_shapes, is_hole
from jaxreg._states import MasterState, require_state
from jaxreg._typing import PyTree
from jaxreg.pruning import check_optimizer
from jaxreg.transforms import require_params


def master_weights(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that it updates a float32 copy of the parameters, kept in its state.

    Parameters are that copy rounded to their own dtype after `optax.apply_updates`, so weights that
    are 0 in one are 0 in the other, as long as float16 does not underflow. Gradients are cast to
    float32 before the optimizer sees them. Where parameters were changed from outside
    (`keep_largest`, a checkpoint), the copy begins anew there.

        >>> import jax.numpy as jnp, optax, jaxreg
        >>> params = jnp.ones(2, jnp.bfloat16)
        >>> # Shrinks a weight by 0.001 per step
        >>> tx = jaxreg.master_weights(jaxreg.prox_sgd(0.01, jaxreg.L1(0.1)))
        >>> state = tx.init(params)
        >>> for _ in range(100):
        ...     updates, state = tx.update(jnp.zeros(2, jnp.bfloat16), state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> print(params, state.master.round(4))
        [0.898438 0.898438] [0.9 0.9]

    Updates of narrow parameters are float32, so this must be the outermost wrapper:
    `optax.apply_updates` adds them in float32 and rounds once.

    Args:
        optimizer: any optax optimizer.

    Returns:
        An optax optimizer with the state `MasterState`; its `update` needs `params`.

    Raises:
        TypeError: `optimizer` is not an optax optimizer; at `update`, the state is another
            optimizer's.
        ValueError: at `update`, gradients have other shapes than the parameters, or `params` is
            missing.

    Source: Micikevicius et al., Mixed precision training (2018), section 3.1.
    """
    check_optimizer("master_weights", optimizer)
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> MasterState:
        widened = map_arrays(widen, params)
        return MasterState(
            map_arrays(lambda leaf: widen(leaf) if is_narrow(leaf) else None, params),
            inner.init(widened),
        )

    def update(
        updates: PyTree, state: MasterState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, MasterState]:
        require_params(params)
        require_state("master_weights", state, MasterState)
        check_shapes("master_weights", updates, params)
        master = map_arrays(current, params, state.master)
        updates, after = inner.update(map_arrays(widen, updates), state.inner, master, **extra_args)

        def towards(update: Any, param: Any, copy: Any) -> Any:
            # From the rounded weight to the new copy.
            return copy + update - widen(param) if is_narrow(param) else update

        updates = map_arrays(towards, updates, params, master)

        def moved(param: Any, update: Any) -> Any:
            # Exactly what `optax.apply_updates` rounds.
            return widen(param) + update if is_narrow(param) else None

        return updates, MasterState(map_arrays(moved, params, updates), after)

    return optax.GradientTransformationExtraArgs(init, update)


def map_arrays(function: Any, tree: PyTree, *rest: PyTree) -> PyTree:
    """Maps a function over the arrays of a tree; holes stay."""
    return jax.tree.map(
        lambda leaf, *more: leaf if is_hole(leaf) else function(leaf, *more),
        tree,
        *rest,
        is_leaf=is_hole,
    )


def is_narrow(leaf: Any) -> bool:
    """Whether an array has floats of fewer than 32 bits."""
    dtype = jnp.result_type(leaf)
    return bool(jnp.issubdtype(dtype, jnp.floating)) and dtype.itemsize < 4


def widen(leaf: Any) -> jax.Array:
    """Casts narrow floats to float32."""
    return jnp.asarray(leaf, jnp.float32) if is_narrow(leaf) else jnp.asarray(leaf)


def current(param: Any, copy: Any) -> jax.Array:
    """The copy, or the parameter where it is not the rounded copy."""
    if not is_narrow(param):
        return jnp.asarray(param)
    return jnp.where(copy.astype(param.dtype) == param, copy, widen(param))
