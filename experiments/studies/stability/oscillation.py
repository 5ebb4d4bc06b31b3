"""Oscillation around a solution: the coupled subgradient of L1 compared with the proximal step at
the same λ.

There are two problems: the lasso on a bootstrap resample of scikit-learn's diabetes data, and a
network on 200 of its digits. Both are trained on the full batch at a constant learning rate, so
only the method can keep weights moving. After many steps we count how often a weight changes its
sign and how often it becomes 0 or stops being 0, and record the largest step. Runs without a
penalty show what the penalty does not cause.

Claim: L1 can be unstable to optimize.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax.typing import ArrayLike

import jaxreg
from experiments import datasets
from experiments.layout import described
from experiments.networks import initial
from experiments.studies.stability.settings import Oscillation, Settings
from experiments.study import Session
from experiments.training import cross_entropy, split

LASSO_RATES = {"SGD": 0.1, "Adam": 1e-2}
"""Constant learning rates on the lasso."""
NETWORK_RATE = 1e-3
"""Adam's constant learning rate on the network."""
TEXTS = {
    "sign_changes": ("sign changes per weight", "per 100 steps"),
    "support_changes": ("changes from or to exactly 0 per weight", "per 100 steps"),
    "largest_step": ("largest step of a weight, as a share of the largest weight", "1"),
    "problem": ("loss and optimizer", "1"),
}
PROBLEMS = ("lasso, SGD", "lasso, Adam", "network, Adam")
METHODS = ("none", "coupled", "proximal")


class Run(TypedDict):
    """Hyperparameters of one run: only its seed."""

    seed: jax.Array


class Data(NamedTuple):
    """The data of both problems.

    Attributes:
        inputs: of the diabetes data, (rows, features).
        targets: of the diabetes data, (rows,).
        digits: all rows of the digits.
    """

    inputs: jax.Array
    targets: jax.Array
    digits: datasets.Rows


class Changes(NamedTuple):
    """What changed in one step.

    Attributes:
        signs: number of weights that changed from one side of 0 to the other.
        supports: number of weights that became 0 or stopped being 0.
        largest: largest absolute change of a weight.
    """

    signs: jax.Array
    supports: jax.Array
    largest: jax.Array


def count_seeds(settings: Settings) -> int:
    """Number of seeds; each runs every problem with every method."""
    return settings.oscillation.seeds


def run_problems(settings: Settings, session: Session) -> xr.Dataset:
    """Runs every problem with every method, for every seed.

    Returns:
        The results of `measure_oscillation` along (seed, problem, method).
    """
    # Imported here because the import is slow.
    from sklearn.datasets import load_diabetes

    config = settings.oscillation
    inputs, targets = load_diabetes(return_X_y=True)
    inputs, targets = inputs / inputs.std(0), (targets - targets.mean()) / targets.std()
    data = Data(inputs.astype(np.float32), targets.astype(np.float32), datasets.digits())
    runs = session.sweep(
        functools.partial(run_seed, config=config), jaxreg.grid(seed=range(config.seeds)), data
    )
    variables = {
        name: (("seed", "problem", "method"), values) for name, values in runs.outputs.items()
    }
    coords = {"problem": list(PROBLEMS), "method": list(METHODS), "seed": range(config.seeds)}
    return described(xr.Dataset({**variables, "diverged": ("seed", runs.diverged)}, coords), TEXTS)


def run_seed(key: jax.Array, _: Run, data: Data, config: Oscillation) -> dict[str, jax.Array]:
    """Runs every problem with every method on one seed's data: arrays of shape (problems,
    methods).
    """
    resample_key, split_key, model_key = jax.random.split(key, 3)
    resample = jax.random.randint(resample_key, (len(data.targets),), 0, len(data.targets))
    inputs, targets = (
        data.inputs[resample],
        data.targets[resample] - jnp.mean(data.targets[resample]),
    )
    lasso_strength = config.share * jnp.max(jnp.abs(inputs.T @ targets)) / len(targets)
    rows, _rest = split(split_key, data.digits, [200])
    structure, network_params = initial((64, 64, 10), model_key)

    def lasso_loss(params: dict[str, jax.Array]) -> jax.Array:
        return 0.5 * jnp.mean(jnp.square(inputs @ params["kernel"][:, 0] - targets))

    def network_loss(params: optax.Params) -> jax.Array:
        return cross_entropy(structure, params, rows)

    def run(problem: str, method: str) -> dict[str, jax.Array]:
        model, base = problem.split(", ")
        if model == "network":
            tx = make_optimizer(base, method, NETWORK_RATE, config.network_strength)
            return measure_oscillation(network_loss, network_params, tx, config)
        tx = make_optimizer(base, method, LASSO_RATES[base], lasso_strength)
        return measure_oscillation(
            lasso_loss, {"kernel": jnp.zeros((inputs.shape[1], 1))}, tx, config
        )

    measured = [run(problem, method) for problem in PROBLEMS for method in METHODS]
    shape = (len(PROBLEMS), len(METHODS))
    return {name: jnp.stack([one[name] for one in measured]).reshape(shape) for name in measured[0]}


def make_optimizer(
    base: str, method: str, rate: float, strength: ArrayLike
) -> optax.GradientTransformation:
    """An optimizer with L1 on the kernels, or without a penalty.

    Args:
        base: "SGD" or "Adam".
        method: one of `METHODS`.
        rate: constant learning rate.
        strength: λ.
    """
    plain = optax.sgd(rate) if base == "SGD" else optax.adam(rate)
    if method == "none":
        return plain
    if method == "coupled":
        return optax.chain(jaxreg.add_l1(strength, mask=jaxreg.kernels), plain)
    proximal = jaxreg.prox_sgd if base == "SGD" else jaxreg.prox_adam
    return proximal(rate, jaxreg.L1(strength), mask=jaxreg.kernels)


def measure_oscillation(
    loss: Callable[[optax.Params], jax.Array],
    params: optax.Params,
    tx: optax.GradientTransformation,
    config: Oscillation,
) -> dict[str, jax.Array]:
    """Takes `config.steps` steps, then measures how kernels change during `config.watched` more.

    Args:
        loss: function of the parameters.
        params: at the start.
        tx: optimizer.
        config: numbers of steps.

    Returns:
        `sign_changes`, from one side of 0 to the other, and `support_changes`, from or to exactly
        0, both per weight and 100 steps; and `largest_step`, the largest |change| of a weight in
        one step divided by the largest |weight| at the end.
    """

    def step(
        carry: tuple[optax.Params, optax.OptState], _: None
    ) -> tuple[tuple[optax.Params, optax.OptState], Changes]:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        new = optax.apply_updates(params, updates)
        return (new, state), changes(matrices(params), matrices(new))

    carry, _ = jax.lax.scan(
        lambda carry, _: (step(carry, None)[0], None),
        (params, tx.init(params)),
        length=config.steps,
    )
    (params, _), seen = jax.lax.scan(step, carry, length=config.watched)
    size = sum(kernel.size for kernel in matrices(params))
    heaviest = jnp.max(jnp.stack([jnp.max(jnp.abs(kernel)) for kernel in matrices(params)]))
    return {
        "sign_changes": 100 * jnp.sum(seen.signs) / (size * config.watched),
        "support_changes": 100 * jnp.sum(seen.supports) / (size * config.watched),
        "largest_step": jnp.max(seen.largest) / heaviest,
    }


def changes(before: list[jax.Array], after: list[jax.Array]) -> Changes:
    """Compares kernels before and after a step."""
    pairs = list(zip(before, after, strict=True))
    signs = sum(jnp.sum(old * new < 0) for old, new in pairs)
    supports = sum(jnp.sum((old == 0) != (new == 0)) for old, new in pairs)
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(new - old)) for old, new in pairs]))
    return Changes(jnp.asarray(signs), jnp.asarray(supports), largest)


def matrices(params: optax.Params) -> list[jax.Array]:
    """The arrays of rank 2."""
    return [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
