"""What an optimizer does when it should stand still: the coupled subgradient of L1 beside the proximal step, at the same λ.

Two problems, full batch and at a constant learning rate, so that nothing but the method can move a weight: the lasso on a
bootstrap resample of scikit-learn's diabetes data, and a network on 200 of its digits. After many steps each optimizer is
watched: how often a weight changes its sign, how often one becomes 0 or ceases to be, and how far the largest step goes. A
run without a penalty tells what is not the penalty's doing.

Claimed: L1 can be unstable to optimise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import jaxreg
from experiments import datasets
from experiments.layout import described
from experiments.networks import initial
from experiments.studies.stability.settings import Oscillation, Settings
from experiments.study import Session
from experiments.training import cross_entropy, split

RATES = {"SGD": 0.1, "Adam": 1e-2}
NETWORK_RATE = 1e-3
"""Adam's constant learning rates, and SGD's."""
TEXTS = {
    "sign_changes": ("sign changes per weight", "per 100 steps"),
    "support_changes": ("changes from or to exactly 0 per weight", "per 100 steps"),
    "largest_step": ("largest step of a weight, as a share of the largest weight", "1"),
    "problem": ("loss and optimizer", "1"),
}
PROBLEMS = ("lasso, SGD", "lasso, Adam", "network, Adam")
METHODS = ("none", "coupled", "proximal")


class Watched(NamedTuple):
    """Sums over the watched steps."""

    signs: jax.Array
    supports: jax.Array
    largest: jax.Array


def optimizer(kind: str, method: str, rate: float, strength: Any) -> optax.GradientTransformation:
    """SGD or Adam, without a penalty or with L1 on the kernels, coupled or proximal."""
    plain = optax.sgd(rate) if kind == "SGD" else optax.adam(rate)
    if method == "none":
        return plain
    if method == "coupled":
        return optax.chain(jaxreg.add_l1(strength, mask=jaxreg.kernels), plain)
    make = jaxreg.prox_sgd if kind == "SGD" else jaxreg.prox_adam
    return make(rate, jaxreg.L1(strength), mask=jaxreg.kernels)


def watch(loss: Callable[[Any], jax.Array], params: Any, tx: Any, config: Oscillation) -> dict[str, jax.Array]:
    """Takes `steps` steps, then watches kernels for `watched` more.

    Returns:
        Per weight and 100 steps, `sign_changes`, from one side of 0 to the other, and `support_changes`, from or to exactly
        0; and `largest_step`, the largest |change| of a weight in one step, divided by the largest |weight| at the end.
    """

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Watched]:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        new = optax.apply_updates(params, updates)
        pairs = list(zip(kernel_leaves(params), kernel_leaves(new), strict=True))
        signs = sum(jnp.sum(before * after < 0) for before, after in pairs)
        supports = sum(jnp.sum((before == 0) != (after == 0)) for before, after in pairs)
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(after - before)) for before, after in pairs]))
        return (new, state), Watched(jnp.asarray(signs), jnp.asarray(supports), largest)

    carry, _ = jax.lax.scan(lambda carry, _: (step(carry, None)[0], None), (params, tx.init(params)), length=config.steps)
    (params, _), seen = jax.lax.scan(step, carry, length=config.watched)
    sizes = sum(kernel.size for kernel in kernel_leaves(params))
    heaviest = jnp.max(jnp.stack([jnp.max(jnp.abs(kernel)) for kernel in kernel_leaves(params)]))
    return {
        "sign_changes": 100 * jnp.sum(seen.signs) / (sizes * config.watched),
        "support_changes": 100 * jnp.sum(seen.supports) / (sizes * config.watched),
        "largest_step": jnp.max(seen.largest) / heaviest,
    }


def kernel_leaves(params: Any) -> list[jax.Array]:
    """The arrays of rank 2."""
    return [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]


def fit(key: jax.Array, shared: Any, config: Oscillation) -> dict[str, jax.Array]:
    """Both problems by every optimizer, along (problem, method)."""
    inputs, targets, digits = shared
    resample_key, split_key, model_key = jax.random.split(key, 3)
    picked = jax.random.randint(resample_key, (len(targets),), 0, len(targets))
    inputs, targets = inputs[picked], targets[picked] - jnp.mean(targets[picked])
    strength = config.share * jnp.max(jnp.abs(inputs.T @ targets)) / len(targets)
    rows, _ = split(split_key, digits, [200])
    structure, params = initial((64, 64, 10), model_key)

    def squares(params: Any) -> jax.Array:
        return 0.5 * jnp.mean(jnp.square(inputs @ params["kernel"][:, 0] - targets))

    found = []
    for problem in PROBLEMS:
        for method in METHODS:
            if problem.startswith("network"):
                tx = optimizer("Adam", method, NETWORK_RATE, config.network_strength)
                found.append(watch(lambda params: cross_entropy(structure, params, rows), params, tx, config))
            else:
                kind = problem.split(", ")[1]
                tx = optimizer(kind, method, RATES[kind], strength)
                found.append(watch(squares, {"kernel": jnp.zeros((inputs.shape[1], 1))}, tx, config))
    return {name: jnp.stack([one[name] for one in found]).reshape(len(PROBLEMS), len(METHODS)) for name in found[0]}


def count(settings: Settings) -> int:
    """Number of seeds, each with every problem and optimizer."""
    return settings.oscillation.seeds


def train_all(settings: Settings, session: Session) -> xr.Dataset:
    """Every seed: what `watch` returns, along (seed, problem, method)."""
    # Only here, as importing it takes a while.
    from sklearn.datasets import load_diabetes

    config = settings.oscillation
    inputs, targets = load_diabetes(return_X_y=True)
    inputs, targets = inputs / inputs.std(0), (targets - targets.mean()) / targets.std()
    shared = (inputs.astype(np.float32), targets.astype(np.float32), datasets.digits())

    def fit_one(key: jax.Array, _: dict[str, Any], shared: Any) -> dict[str, jax.Array]:
        return fit(key, shared, config)

    swept = session.sweep(fit_one, jaxreg.grid(seed=range(config.seeds)), shared)
    coords = {"problem": list(PROBLEMS), "method": list(METHODS)}
    variables = {name: (("seed", "problem", "method"), values) for name, values in swept.outputs.items()}
    records = xr.Dataset({**variables, "diverged": ("seed", swept.diverged)}, {**coords, "seed": range(config.seeds)})
    return described(records, TEXTS)
