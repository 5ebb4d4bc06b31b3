"""Problems whose solutions somebody else computes: the lasso and its kin on scikit-learn's diabetes data."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_diabetes


class Regression(NamedTuple):
    """Standardised design (n, features), targets (n,) or (n, outputs), and λ_max of the L1 problem."""

    inputs: np.ndarray
    targets: np.ndarray
    critical: float

    def loss(self, w):
        """(1/2n)‖y − Xw‖², scikit-learn's loss."""
        return 0.5 * jnp.sum(jnp.square(jnp.asarray(self.inputs) @ w - jnp.asarray(self.targets))) / len(self.inputs)


@functools.cache
def diabetes(outputs: int = 1) -> Regression:
    """Diabetes progression from ten columns; with two outputs, its square is predicted too."""
    inputs, target = load_diabetes(return_X_y=True)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    targets = target if outputs == 1 else np.stack([target, target**2], 1)
    targets = (targets - targets.mean(0)) / targets.std(0)
    return Regression(inputs, targets, float(np.abs(inputs.T @ targets).max() / len(inputs)))


def minimise(tx, loss, start, steps=20_000):
    """Full-batch steps of `tx` from `start`, in one compiled scan."""

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(jax.grad(loss)(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), None, length=steps)[0][0])(start)
