"""Ridge regression on orthonormal designs, where squared L2 multiplies every weight by the same
factor.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import jaxreg
from experiments.studies.strength.settings import Ridge, Settings
from experiments.study import Session

STEPS = 4000
"""Adam steps for each problem."""


def count_designs(settings: Settings) -> int:
    """Number of designs."""
    return settings.ridge.seeds


def solve_designs(settings: Settings, session: Session) -> xr.Dataset:
    """Solves ridge regression on every design.

    Returns:
        `deviation` along `design`: the largest difference from the closed form.
    """
    deviation = orthonormal_deviation(settings.ridge)
    session.advance(len(deviation))
    text = "largest deviation of a shrinkage factor from 1/(1 + 2λ)"
    return xr.Dataset({"deviation": ("design", deviation, {"long_name": text, "units": "1"})})


def orthonormal_deviation(config: Ridge) -> np.ndarray:
    """Compares `prox_adam` and squared L2 with the closed form of ridge regression on orthonormal
    designs.

    The loss is ½‖y − Xw‖² with XᵀX = 1. Its minimiser is Xᵀy, and with the penalty λΣw² it is
    Xᵀy/(1 + 2λ). The problems are solved in float64 for λ from 0.01 to 100.

    Args:
        config: number and size of the designs.

    Returns:
        The largest |w/(Xᵀy) − 1/(1 + 2λ)| over all weights and strengths, for each design:
        (designs,).
    """
    strengths = np.logspace(-2, 2, 9)
    generator = np.random.default_rng(0)
    shape = (config.seeds, config.rows, min(10, config.rows))
    inputs = np.linalg.qr(generator.standard_normal(shape))[0]
    targets = generator.standard_normal((config.seeds, config.rows))
    with jax.enable_x64(True):
        solve = jax.jit(jax.vmap(lambda x, y: ridge_by_adam(x, y, jnp.asarray(strengths), STEPS)))
        factors = (
            np.asarray(solve(inputs, targets))
            / np.einsum("srf,sr->sf", inputs, targets)[:, None, :]
        )
    return np.max(np.abs(factors - 1 / (1 + 2 * strengths)[:, None]), (1, 2))


def ridge_by_adam(
    inputs: jax.Array, targets: jax.Array, strengths: jax.Array, steps: int
) -> jax.Array:
    """Minimises ½‖y − Xw‖² + λΣw² by `prox_adam`, starting at w = 0.

    Args:
        inputs: X, (rows, features).
        targets: y, (rows,).
        strengths: the λ, (strengths,).
        steps: number of steps.

    Returns:
        The weights, (strengths, features).
    """

    def solve(strength: jax.Array) -> jax.Array:
        tx = jaxreg.prox_adam(optax.cosine_decay_schedule(3e-2, steps), jaxreg.SquaredL2(strength))

        def step(
            carry: tuple[jax.Array, optax.OptState], _: None
        ) -> tuple[tuple[jax.Array, optax.OptState], None]:
            w, state = carry
            updates, state = tx.update(inputs.T @ (inputs @ w - targets), state, w)
            return (optax.apply_updates(w, updates), state), None

        start = jnp.zeros(inputs.shape[1], inputs.dtype)
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
        return w

    return jax.vmap(solve)(strengths)
