"""L1 and L2 regularization for optax.

    import jaxreg

    tx = jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)   # exact zeros, exactly this λ
    print(jaxreg.sparsity(params))

- Penalties: `L1`, `SquaredL2`, `ElasticNet`, `GroupL2`, and `Penalty` to write your own.
- Optimizers with exact zeros: `prox_sgd`, `prox_adam` and others, and `proximal` to make one of any optax direction.
- Links for `optax.chain`: `add_penalty`, `add_l1`, `add_l2`, `proximal_step`, `prox_l1`.
- Diagnostics: `sparsity`, `kkt_residual`, `penalty_value`, `critical_strength`.
- Many fits at once: `sweep` over a `grid`.
"""

from importlib import metadata as _metadata

from jaxreg import preconditioners
from jaxreg._masking import kernels
from jaxreg._proximal import ProximalState, proximal
from jaxreg._sweep.grids import Grid, grid
from jaxreg._sweep.store import SweepMismatchError
from jaxreg.measures import Sparsity, critical_strength, kkt_residual, penalty_value, sparsity
from jaxreg.optimizers import (
    prox_adabelief,
    prox_adagrad,
    prox_adam,
    prox_adamax,
    prox_adamw,
    prox_amsgrad,
    prox_nadam,
    prox_rmsprop,
    prox_sgd,
    prox_yogi,
)
from jaxreg.penalties import L1, ElasticNet, GroupL2, Penalty, SquaredL2
from jaxreg.sweeps import Runs, sweep
from jaxreg.transforms import PenaltyState, add_l1, add_l2, add_penalty, prox_l1, proximal_step

try:
    __version__ = _metadata.version("jaxreg")
except _metadata.PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "unknown"

__all__ = (
    "L1",
    "ElasticNet",
    "Grid",
    "GroupL2",
    "Penalty",
    "PenaltyState",
    "ProximalState",
    "Runs",
    "Sparsity",
    "SquaredL2",
    "SweepMismatchError",
    "__version__",
    "add_l1",
    "add_l2",
    "add_penalty",
    "critical_strength",
    "grid",
    "kernels",
    "kkt_residual",
    "penalty_value",
    "preconditioners",
    "prox_adabelief",
    "prox_adagrad",
    "prox_adam",
    "prox_adamax",
    "prox_adamw",
    "prox_amsgrad",
    "prox_l1",
    "prox_nadam",
    "prox_rmsprop",
    "prox_sgd",
    "prox_yogi",
    "proximal",
    "proximal_step",
    "sparsity",
    "sweep",
)  # fmt: skip
