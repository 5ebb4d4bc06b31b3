"""Lasso, ridge and group lasso paths of linear models with a known answer, and how good a support is.

The loss is (1/2n)‖y − Xw‖², without an intercept. A path solves all strengths at once by proximal gradient steps on the Gram
matrix, with momentum, from w = 0; its KKT residuals say how accurate the solutions are.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

import jaxreg

MOMENTUM = 0.9


def path(
    inputs: jax.Array, targets: jax.Array, penalty: jaxreg.Penalty, steps: int, shape: tuple[int, ...] = (-1,)
) -> tuple[jax.Array, jax.Array]:
    """Solutions for every strength.

    Args:
        inputs: (rows, features). targets: (rows,). penalty: with strengths (count,). steps: static.
        shape: of the weights as the penalty sees them; for `GroupL2(axis=1)` one group a row.

    Returns:
        Weights (count, features), and the KKT residual of each divided by its strength (count,).
    """
    gram, moment = inputs.T @ inputs / len(targets), inputs.T @ targets / len(targets)
    rate = (1 - MOMENTUM) / largest_eigenvalue(gram)

    def gradient(w: jax.Array) -> jax.Array:
        return (gram @ w.ravel() - moment).reshape(w.shape)

    def solve(penalty: jaxreg.Penalty) -> tuple[jax.Array, jax.Array]:
        tx = jaxreg.prox_sgd(rate, penalty, momentum=MOMENTUM, nesterov=True)

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            w, state = carry
            updates, state = tx.update(gradient(w), state, w)
            return (optax.apply_updates(w, updates), state), None

        start = jnp.zeros_like(moment).reshape(shape)
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
        return w.ravel(), jaxreg.kkt_residual(penalty, w, gradient(w))

    weights, residuals = jax.vmap(solve)(penalty)
    return weights, residuals / jax.tree.leaves(penalty)[0]


def largest_eigenvalue(gram: jax.Array) -> jax.Array:
    """Of a positive definite matrix, by power iteration: as near as a step size needs it.

    A batched LAPACK call inside a program that runs on several CPU devices can wait for itself in jaxlib's one thread pool.
    """

    def step(_: int, vector: jax.Array) -> jax.Array:
        image = gram @ vector
        return image / jnp.linalg.norm(image)

    vector = jax.lax.fori_loop(0, 50, step, jnp.ones(len(gram)))
    return vector @ gram @ vector


def grid_of(inputs: jax.Array, targets: jax.Array, method: str, count: int) -> jax.Array:
    """Strengths from where nothing is left down to almost no penalty, spaced evenly in their logarithm.

    For L1 they end at λ_max, the smallest strength whose solution is 0; squared L2 has none, and its are multiples of the
    mean eigenvalue of the Gram matrix.
    """
    if method == "L2":
        return jnp.mean(jnp.square(inputs)) * jnp.logspace(-2, 2, count)
    largest = jaxreg.critical_strength(jaxreg.L1(1.0), inputs.T @ targets / len(targets))
    return largest * jnp.logspace(-2, 0, count)


def support(weights: jax.Array, true: jax.Array) -> dict[str, jax.Array]:
    """Precision, recall and F1 of the nonzero weights (…, features), against the true ones (features,), and their number."""
    kept, relevant = weights != 0, true != 0
    right = jnp.sum(kept & relevant, -1)
    size, wanted = jnp.sum(kept, -1), jnp.sum(relevant)
    # An empty choice holds nothing wrong, and finds nothing.
    precision = jnp.where(size > 0, right / jnp.maximum(size, 1), 1.0)
    return {"precision": precision, "recall": right / wanted, "f1": 2 * right / (size + wanted), "size": size}
