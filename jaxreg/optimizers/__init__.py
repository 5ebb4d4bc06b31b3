"""Optimizers with a proximal step: exact zeros, and with the same λ they all reach the same
solution.

Each is one visible composition of `proximal`, a direction of optax and that direction's
preconditioner, with optax's own argument names and defaults. Copy one and change it:

    tx = jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels)

    clip = optax.clip_by_global_norm(1.0)
    tx = jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), mask=jaxreg.kernels, clip=clip)
    tx = jaxreg.proximal(  # the same, with gradients averaged over four batches
        optax.scale_by_adam(), jaxreg.L1(1e-4), 1e-3, jaxreg.preconditioners.adam(),
        mask=jaxreg.kernels,
        clip=optax.clip_by_global_norm(1.0),
    )
    tx = optax.MultiSteps(tx, 4)

    rest = {"kernel": jaxreg.GroupL2(1e-3, axis=1), "bias": None}
    by_layer = {"first": jaxreg.L1(1e-3), "rest": rest}
    # A λ, or another penalty, by layer (see `jaxreg.transforms`)
    tx = jaxreg.prox_adam(1e-3, by_layer)

Along a constant gradient g, a direction settles at g/D, with D its preconditioner, so one step is w
← prox(w − lr·direction) in the metric D: the threshold is lr·λ/D for each weight. Fixed points of
this step solve loss + penalty for the given λ. With the plain threshold lr·λ they solve it for a
different one: for 0.1·λ after momentum 0.9, and for a different λ at each weight after Adam.
"""

from jaxreg.optimizers.adam import prox_adam, prox_adamw, prox_amsgrad, prox_nadam
from jaxreg.optimizers.moments import prox_adabelief, prox_adamax, prox_yogi
from jaxreg.optimizers.rms import prox_adagrad, prox_rmsprop
from jaxreg.optimizers.sgd import prox_sgd

__all__ = (
    "prox_adabelief",
    "prox_adagrad",
    "prox_adam",
    "prox_adamax",
    "prox_adamw",
    "prox_amsgrad",
    "prox_nadam",
    "prox_rmsprop",
    "prox_sgd",
    "prox_yogi",
)
