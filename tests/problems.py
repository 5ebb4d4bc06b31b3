"""Problems with reference solutions that do not involve jaxreg: the lasso and its relatives on the
diabetes data.

scikit-learn finds which weights are nonzero, and their signs, at a tolerance that any processor's
rounding reaches. On that support the optimality conditions are smooth equations, which NumPy solves
directly. `assert_optimal` then checks the conditions for all weights, so that a wrong support is an
error instead of a wrong reference.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import sklearn.linear_model
from sklearn.datasets import load_diabetes

REACHABLE = {
    "fit_intercept": False,
    "tol": 1e-10,
    "max_iter": 10**6,
}  # scikit-learn's settings; rounding stops it near 1e-16


class Regression(NamedTuple):
    """Standardised design (n, features), targets (n,) or (n, outputs), and λ_max of the L1
    problem.
    """

    inputs: np.ndarray
    targets: np.ndarray
    critical: float

    def loss(self, w):
        """(1/2n)‖y − Xw‖², scikit-learn's loss."""
        return (
            0.5
            * jnp.sum(jnp.square(jnp.asarray(self.inputs) @ w - jnp.asarray(self.targets)))
            / len(self.inputs)
        )


@functools.cache
def diabetes(outputs: int = 1, columns: tuple[int, ...] = tuple(range(10))) -> Regression:
    """Diabetes progression from ten columns; with two outputs, its square is predicted too."""
    inputs, target = load_diabetes(return_X_y=True)
    inputs = inputs[:, columns]
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    targets = target if outputs == 1 else np.stack([target, target**2], 1)
    targets = (targets - targets.mean(0)) / targets.std(0)
    return Regression(inputs, targets, float(np.abs(inputs.T @ targets).max() / len(inputs)))


def elastic_net(inputs, targets, l1_strength, l2_strength=0.0):
    """argmin of (1/2n)‖y − Xw‖² + λ₁ Σ|wᵢ| + λ₂ Σ wᵢ² for inputs (n, features) and targets (n,),
    exact up to rounding.

    On the support S with signs s: (X_SᵀX_S/n + 2λ₂ I) w_S = X_Sᵀy/n − λ₁ s.
    """
    inputs, targets, n = np.asarray(inputs), np.asarray(targets), len(inputs)
    alpha = l1_strength + 2 * l2_strength
    model = sklearn.linear_model.ElasticNet(alpha, l1_ratio=l1_strength / alpha, **REACHABLE)
    signs = np.sign(model.fit(inputs, targets).coef_)
    support = signs != 0
    chosen = inputs[:, support]
    normal = chosen.T @ chosen / n + 2 * l2_strength * np.eye(chosen.shape[1])
    w = np.zeros(inputs.shape[1])
    w[support] = np.linalg.solve(normal, chosen.T @ targets / n - l1_strength * signs[support])
    slope = inputs.T @ (inputs @ w - targets) / n + 2 * l2_strength * w
    assert_optimal(w[:, None], slope[:, None], l1_strength)
    return w


def group_lasso(inputs, targets, strength):
    """argmin of (1/2n)‖Y − XW‖² + λ Σᵢ ‖Wᵢ‖ over the rows of W (features, outputs), exact up to
    rounding.

    On the rows that are not 0: X_Sᵀ(X_S W_S − Y)/n + λ Wᵢ/‖Wᵢ‖ = 0, solved by Newton's method from
    scikit-learn's solution.
    """
    inputs, targets, n = np.asarray(inputs), np.asarray(targets), len(inputs)
    start = sklearn.linear_model.MultiTaskLasso(strength, **REACHABLE).fit(inputs, targets).coef_.T
    support = (start != 0).any(1)
    chosen, w, outputs = inputs[:, support], start[support], targets.shape[1]
    for _ in range(5):
        norms = np.linalg.norm(w, axis=1, keepdims=True)
        slope = chosen.T @ (chosen @ w - targets) / n + strength * w / norms
        hessian = np.einsum("ij,kl->ikjl", chosen.T @ chosen / n, np.eye(outputs))
        for i, (row, norm) in enumerate(zip(w, norms[:, 0], strict=True)):
            hessian[i, :, i, :] += strength * (
                np.eye(outputs) / norm - np.outer(row, row) / norm**3
            )
        w = w - np.linalg.solve(hessian.reshape(w.size, w.size), slope.ravel()).reshape(w.shape)
    solution = np.zeros_like(start)
    solution[support] = w
    assert_optimal(solution, inputs.T @ (inputs @ solution - targets) / n, strength)
    return solution


def assert_optimal(w, slope, strength):
    """−slope is λ wᵢ/‖wᵢ‖ in each row i of `w` that is not 0, and at most λ long in the others.

    With rows of one weight, these are the conditions of the lasso.
    """
    norms = np.linalg.norm(w, axis=1)
    alive = norms > 0
    np.testing.assert_allclose(
        slope[alive], -strength * w[alive] / norms[alive, None], rtol=0, atol=1e-12
    )
    assert (np.linalg.norm(slope[~alive], axis=1) < strength).all(), (
        "a weight that is 0 here should not be"
    )


UNCORRELATED = (0, 1, 2, 3, 6, 8, 9)
"""Columns of the diabetes data whose covariance has a condition number of 7."""


def minimise(tx, loss, start, steps=20_000):
    """Full-batch steps of `tx` from `start`, in one compiled scan."""
    tx = optax.with_extra_args_support(tx)

    def step(carry, _):
        w, state = carry
        value, gradient = jax.value_and_grad(loss)(w)
        updates, state = tx.update(gradient, state, w, value=value)
        return (optax.apply_updates(w, updates), state), None

    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), None, length=steps)[0][0])(start)


def correlated_rows(rows=40, features=120, seed=0):
    """More features than rows, with correlated columns."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)) + random.normal(size=(rows, 1))
    return x, x[:, :5] @ random.normal(size=5) + 0.3 * random.normal(size=rows)
