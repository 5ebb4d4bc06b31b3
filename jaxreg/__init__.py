"""L1 and L2 regularization for optax: penalties, the links that apply them, exact proximal optimizers, and judges.

    import jaxreg

    tx = jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)   # exact zeros, and exactly this λ
    print(jaxreg.sparsity(params))

A penalty is a noun (`L1`, `SquaredL2`, `ElasticNet`, `GroupL2`), a way of applying it a verb (`add_penalty`,
`proximal_step`, `proximal`), and a measure a judge that knows neither (`kkt_residual`, `sparsity`).
"""

from jaxreg import preconditioners as preconditioners
from jaxreg._masking import kernels as kernels
from jaxreg._proximal import ProximalState as ProximalState
from jaxreg._proximal import proximal as proximal
from jaxreg._pytrees import penalty_class as penalty_class
from jaxreg._sweep.grids import Grid as Grid
from jaxreg._sweep.grids import grid as grid
from jaxreg._sweep.store import SweepMismatchError as SweepMismatchError
from jaxreg.measures import Sparsity as Sparsity
from jaxreg.measures import critical_strength as critical_strength
from jaxreg.measures import kkt_residual as kkt_residual
from jaxreg.measures import penalty_value as penalty_value
from jaxreg.measures import sparsity as sparsity
from jaxreg.optimizers import prox_adabelief as prox_adabelief
from jaxreg.optimizers import prox_adagrad as prox_adagrad
from jaxreg.optimizers import prox_adam as prox_adam
from jaxreg.optimizers import prox_adamax as prox_adamax
from jaxreg.optimizers import prox_adamw as prox_adamw
from jaxreg.optimizers import prox_amsgrad as prox_amsgrad
from jaxreg.optimizers import prox_nadam as prox_nadam
from jaxreg.optimizers import prox_rmsprop as prox_rmsprop
from jaxreg.optimizers import prox_sgd as prox_sgd
from jaxreg.optimizers import prox_yogi as prox_yogi
from jaxreg.penalties import L1 as L1
from jaxreg.penalties import ElasticNet as ElasticNet
from jaxreg.penalties import GroupL2 as GroupL2
from jaxreg.penalties import Penalty as Penalty
from jaxreg.penalties import SquaredL2 as SquaredL2
from jaxreg.sweeps import Runs as Runs
from jaxreg.sweeps import sweep as sweep
from jaxreg.transforms import PenaltyState as PenaltyState
from jaxreg.transforms import add_l1 as add_l1
from jaxreg.transforms import add_l2 as add_l2
from jaxreg.transforms import add_penalty as add_penalty
from jaxreg.transforms import prox_l1 as prox_l1
from jaxreg.transforms import proximal_step as proximal_step
