"""Lasso, ridge and group lasso paths of linear models whose true weights are known, and how well a
support is recovered.

The loss is (1/2n)‖y − Xw‖², without an intercept. All strengths of a path are solved at once by
proximal gradient steps with momentum on the Gram matrix, starting at w = 0. The KKT residuals
measure how accurate the solutions are.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

import jaxreg

MOMENTUM = 0.9


def solve_path(
    inputs: jax.Array,
    targets: jax.Array,
    penalty: jaxreg.Penalty,
    steps: int,
    shape: tuple[int, ...] = (-1,),
    momentum: float = MOMENTUM,
) -> tuple[jax.Array, jax.Array]:
    """Solves a linear model for every strength.

    Args:
        inputs: (rows, features).
        targets: (rows,).
        penalty: the penalty, with strengths (count,).
        steps: number of proximal gradient steps, static under `jax.jit`.
        shape: shape of the weights as the penalty sees them; for `GroupL2(axis=1)` each row is a
            group.
        momentum: in [0, 1), static. Pass 0 for a concave penalty: only without momentum does every
            step lower the objective, and with momentum some weights may never come to rest.

    Returns:
        The weights (count, features), and the KKT residuals divided by the strengths (count,).
    """
    gram, moment = inputs.T @ inputs / len(targets), inputs.T @ targets / len(targets)
    rate = (1 - momentum) / largest_eigenvalue(gram)

    def gradient(w: jax.Array) -> jax.Array:
        return (gram @ w.ravel() - moment).reshape(w.shape)

    def solve(penalty: jaxreg.Penalty) -> tuple[jax.Array, jax.Array]:
        tx = jaxreg.prox_sgd(rate, penalty, momentum=momentum or None, nesterov=momentum > 0)

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
    """The largest eigenvalue of a positive definite matrix by power iteration, accurate enough for
    a step size.

    It does not use LAPACK, because batched LAPACK calls in a program on several CPU devices can
    deadlock in jaxlib's thread pool.
    """

    def step(_: int, vector: jax.Array) -> jax.Array:
        image = gram @ vector
        return image / jnp.linalg.norm(image)

    vector = jax.lax.fori_loop(0, 50, step, jnp.ones(len(gram)))
    return vector @ gram @ vector


def grid_of(inputs: jax.Array, targets: jax.Array, method: str, count: int) -> jax.Array:
    """Strengths for a path, evenly spaced on a logarithmic scale.

    For L1 they end at λ_max, the smallest strength whose solution is 0. Squared L2 has no such
    strength; there they are multiples of the mean eigenvalue of the Gram matrix.

    Args:
        inputs: (rows, features).
        targets: (rows,).
        method: "L1" or "L2".
        count: number of strengths.

    Returns:
        The strengths (count,), increasing.
    """
    if method == "L2":
        return jnp.mean(jnp.square(inputs)) * jnp.logspace(-2, 2, count)
    largest = jaxreg.critical_strength(jaxreg.L1(1.0), inputs.T @ targets / len(targets))
    return largest * jnp.logspace(-2, 0, count)


def support(weights: jax.Array, true: jax.Array) -> dict[str, jax.Array]:
    """Compares the support of weights with the true support.

    Args:
        weights: (…, features).
        true: the true weights (features,).

    Returns:
        Precision, recall, F1 score and size of the support, each (…).
    """
    selected, relevant = weights != 0, true != 0
    hits = jnp.sum(selected & relevant, -1)
    size, total = jnp.sum(selected, -1), jnp.sum(relevant)
    # An empty support has no false positives, so its precision is 1.
    precision = jnp.where(size > 0, hits / jnp.maximum(size, 1), 1.0)
    return {
        "precision": precision,
        "recall": hits / total,
        "f1": 2 * hits / (size + total),
        "size": size,
    }
