"""Ridge regression on orthonormal designs, where squared L2 multiplies every weight by the same factor."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import jaxreg
from experiments.studies.strength.settings import Ridge, Settings
from experiments.study import Session


def train(settings: Settings, session: Session) -> xr.Dataset:
    """Solves every design: `deviation` (design) from the closed form."""
    deviation = orthonormal_deviation(settings.ridge)
    session.advance(len(deviation))
    text = "largest deviation of a shrinkage factor from 1/(1 + 2λ)"
    return xr.Dataset({"deviation": ("design", deviation, {"long_name": text, "units": "1"})})


def orthonormal_deviation(config: Ridge) -> np.ndarray:
    """By how much `prox_adam` with squared L2 misses the closed form of ridge regression on an orthonormal design.

    The loss is ½‖y − Xw‖² with XᵀX = 1, whose minimiser is Xᵀy, and Xᵀy/(1 + 2λ) with the penalty λΣw². Solved in float64
    for λ from 0.01 to 100.

    Returns:
        For each seed, the largest |w/(Xᵀy) − 1/(1 + 2λ)| over weights and strengths.
    """
    strengths = np.logspace(-2, 2, 9)
    generator = np.random.default_rng(0)
    shape = (config.seeds, config.rows, min(10, config.rows))
    inputs = np.linalg.qr(generator.standard_normal(shape))[0]
    targets = generator.standard_normal((config.seeds, config.rows))
    with jax.enable_x64(True):
        steps = 4000
        solved = jax.jit(jax.vmap(lambda x, y: ridge_by_adam(x, y, jnp.asarray(strengths), steps)))(inputs, targets)
        factors = np.asarray(solved) / np.einsum("srf,sr->sf", inputs, targets)[:, None, :]
    return np.max(np.abs(factors - 1 / (1 + 2 * strengths)[:, None]), (1, 2))


def ridge_by_adam(inputs: jax.Array, targets: jax.Array, strengths: jax.Array, steps: int) -> jax.Array:
    """Weights (strengths, features) that minimise ½‖y − Xw‖² + λΣw², by `prox_adam` from w = 0."""

    def solve(strength: jax.Array) -> jax.Array:
        tx = jaxreg.prox_adam(optax.cosine_decay_schedule(3e-2, steps), jaxreg.SquaredL2(strength))

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            w, state = carry
            updates, state = tx.update(inputs.T @ (inputs @ w - targets), state, w)
            return (optax.apply_updates(w, updates), state), None

        start = jnp.zeros(inputs.shape[1], inputs.dtype)
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
        return w

    return jax.vmap(solve)(strengths)
