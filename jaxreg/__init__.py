"""L1 and L2 regularization for optax.

    import jaxreg

    tx = jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)  # exact zeros, exactly this λ
    print(jaxreg.sparsity(params))

- Penalties: `L1`, `SquaredL2`, `ElasticNet`, of groups `GroupL2`, `Group`, `SparseGroupL2`, concave
  ones `LogSum`, `MCP`, `SCAD`, `Bridge`, `L0`, and `NOfM` for patterns such as 2:4; `Weighted` for
  a strength of each weight, and `Penalty` to write your own.
- Optimizers with exact zeros: `prox_sgd`, `prox_adam` and others, and `proximal` to make one of any
  optax direction.
- Transformations for `optax.chain`: `add_penalty`, `add_l1`, `add_l2`, `proximal_step`, `prox_l1`.
- Which parameters: `kernels` and `matching("blocks/*/attention")`, as `mask` of all of these.
- Sparsity by a wanted share of weights: `steer_strength`, `keep_largest`, and `hold_zeros` to train
  on with the zeros fixed.
- Parameters in bfloat16: `master_weights` keeps a float32 copy, so that small steps are not lost.
- Diagnostics: `sparsity`, `kkt_residual`, `penalty_value`, `critical_strength`, `duality_gap`.
- A smaller network: `compact` cuts dead inputs and units out. A faster one: `sparsify` computes
  sparse products where these are faster.
- Problems that are solved to a tolerance, with solutions that can be differentiated: `fista`.
- A grid of λ: `Recipe`, `fit_path`, `cross_validate_path`, `strength_grid`, `select_strength`.
- Linear models for a grid of λ, exactly: `fit_linear_path` and `cross_validate_linear_path`.
- Many fits at once: `sweep` over a `grid`.
"""

from importlib import metadata as _metadata

from jaxreg import losses, plotting, preconditioners
from jaxreg._masking import kernels, matching
from jaxreg._proximal import proximal
from jaxreg._states import (
    ControllerState,
    HeldState,
    MasterState,
    PenaltyState,
    ProximalState,
    SteeredState,
)
from jaxreg._sweep.grids import Grid, grid
from jaxreg._sweep.store import SweepMismatchError
from jaxreg.compaction import Compacted, compact
from jaxreg.linear import LinearModel, cross_validate_linear_path, fit_linear_path
from jaxreg.master import master_weights
from jaxreg.measures import (
    Sparsity,
    critical_strength,
    duality_gap,
    kkt_residual,
    penalty_value,
    sparsity,
)
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
from jaxreg.paths import (
    CrossValidation,
    Recipe,
    RegularizationPath,
    cross_validate_path,
    fit_path,
    select_strength,
    strength_grid,
)
from jaxreg.penalties import (
    L0,
    L1,
    MCP,
    SCAD,
    Bridge,
    ElasticNet,
    Group,
    GroupL2,
    Limited,
    LogSum,
    NOfM,
    Penalty,
    SparseGroupL2,
    SquaredL2,
    Weighted,
)
from jaxreg.pruning import hold_zeros, keep_largest
from jaxreg.solvers import Fista, FistaState, Solution, fista
from jaxreg.sparsification import Sparsified, sparsify
from jaxreg.stability import StabilitySelection, stability_selection
from jaxreg.steering import Controller, steer_strength
from jaxreg.sweeps import Runs, sweep
from jaxreg.transforms import add_l1, add_l2, add_penalty, prox_l1, proximal_step

try:
    __version__ = _metadata.version("jaxreg")
except _metadata.PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "unknown"

# In the order of the API reference.
__all__ = (  # noqa: RUF022
    "L1",
    "SquaredL2",
    "ElasticNet",
    "GroupL2",
    "Group",
    "SparseGroupL2",
    "NOfM",
    "LogSum",
    "MCP",
    "SCAD",
    "Bridge",
    "L0",
    "Weighted",
    "Limited",
    "Penalty",
    "prox_adam",
    "prox_sgd",
    "prox_adamw",
    "prox_nadam",
    "prox_amsgrad",
    "prox_yogi",
    "prox_adabelief",
    "prox_adamax",
    "prox_rmsprop",
    "prox_adagrad",
    "proximal",
    "preconditioners",
    "ProximalState",
    "add_penalty",
    "add_l1",
    "add_l2",
    "proximal_step",
    "prox_l1",
    "PenaltyState",
    "hold_zeros",
    "HeldState",
    "master_weights",
    "MasterState",
    "steer_strength",
    "SteeredState",
    "Controller",
    "ControllerState",
    "keep_largest",
    "kernels",
    "matching",
    "sparsity",
    "Sparsity",
    "kkt_residual",
    "penalty_value",
    "critical_strength",
    "duality_gap",
    "compact",
    "Compacted",
    "sparsify",
    "Sparsified",
    "fista",
    "Fista",
    "FistaState",
    "Solution",
    "sweep",
    "grid",
    "Grid",
    "Runs",
    "SweepMismatchError",
    "fit_path",
    "cross_validate_path",
    "strength_grid",
    "select_strength",
    "Recipe",
    "RegularizationPath",
    "CrossValidation",
    "fit_linear_path",
    "cross_validate_linear_path",
    "LinearModel",
    "stability_selection",
    "StabilitySelection",
    "losses",
    "plotting",
    "__version__",
)
