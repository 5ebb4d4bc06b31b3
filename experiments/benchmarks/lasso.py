"""One λ, one answer: what each way of applying an L1 penalty makes of the same lasso, judged against scikit-learn.

The problem is (1/2n)‖y − Xw‖² + λ‖w‖₁ on the standardised diabetes data, with λ a share of the smallest strength whose
solution is 0. Every contestant takes the same number of full-batch steps from w = 0 in float64, and is judged by its
distance from scikit-learn's coefficients, its number of nonzero weights, and its KKT residual at the λ that was asked for.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso

import jaxreg
from experiments.benchmarks.settings import LassoBenchmark
from experiments.results.disk import write_whole
from experiments.results.store import provenance
from experiments.sheet import Sheet


def contestants(strength: float) -> dict[str, optax.GradientTransformation]:
    """By the words a user would type: the exact optimizers first, then what looks right and is not.

    Both chains that end in `prox_l1` threshold by learning rate × λ, which is the right step for plain SGD alone.
    """
    penalty = jaxreg.L1(strength)
    return {
        "prox_sgd": jaxreg.prox_sgd(0.1, penalty),
        "prox_sgd, momentum 0.9": jaxreg.prox_sgd(0.02, penalty, momentum=0.9),
        "prox_sgd, Nesterov": jaxreg.prox_sgd(0.02, penalty, momentum=0.9, nesterov=True),
        "prox_adam": jaxreg.prox_adam(1e-2, penalty),
        "prox_nadam": jaxreg.prox_nadam(1e-2, penalty),
        "prox_amsgrad": jaxreg.prox_amsgrad(1e-2, penalty),
        "prox_yogi": jaxreg.prox_yogi(1e-2, penalty),
        "prox_adabelief": jaxreg.prox_adabelief(1e-2, penalty),
        "prox_adamax": jaxreg.prox_adamax(1e-2, penalty),
        "prox_rmsprop": jaxreg.prox_rmsprop(1e-3, penalty),
        "prox_adagrad": jaxreg.prox_adagrad(0.1, penalty),
        "sgd, momentum 0.9 → prox_l1": optax.chain(optax.sgd(0.02, momentum=0.9), jaxreg.prox_l1(strength, step_size=0.02)),
        "adam → prox_l1": optax.chain(optax.adam(1e-2), jaxreg.prox_l1(strength, step_size=1e-2)),
        "add_l1 → sgd": optax.chain(jaxreg.add_l1(strength), optax.sgd(0.1)),
        "add_l1 → adam": optax.chain(jaxreg.add_l1(strength), optax.adam(1e-2)),
        "scale_by_adam → add_l1": optax.chain(
            optax.scale_by_adam(), jaxreg.add_l1(strength), optax.scale_by_learning_rate(1e-2)
        ),
    }


def reference(inputs: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    """The lasso for inputs (n, features) and targets (n,), exact up to rounding.

    On the support S with signs s it is w_S = (X_SᵀX_S/n)⁻¹ (X_Sᵀy/n − λ s). S and s are those of scikit-learn,
    whose own coefficients are only as exact as its tolerance.
    """
    # Rounding keeps some processors from tighter tolerances.
    model = Lasso(strength, fit_intercept=False, tol=1e-10, max_iter=10**6).fit(inputs, targets)
    signs = np.sign(model.coef_)
    support = signs != 0
    chosen, n = inputs[:, support], len(inputs)
    solution = np.zeros(inputs.shape[1])
    solution[support] = np.linalg.solve(chosen.T @ chosen / n, chosen.T @ targets / n - strength * signs[support])
    return solution


def evaluate(config: LassoBenchmark, advance: Callable[[int], None]) -> dict[str, dict[str, float]]:
    """Error, nonzero weights and KKT residual divided by λ, by contestant; scikit-learn is the first row."""
    inputs, targets = load_diabetes(return_X_y=True)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    targets = (targets - targets.mean()) / targets.std()

    def loss(w: jax.Array, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        return 0.5 * jnp.mean(jnp.square(inputs @ w - targets))

    gradient = jax.jit(jax.grad(loss))
    start = jnp.zeros(inputs.shape[1])
    strength = config.share * float(jaxreg.critical_strength(jaxreg.L1(1.0), gradient(start, inputs, targets)))
    solution = reference(inputs, targets, strength)

    def descend(tx: optax.GradientTransformation) -> jax.Array:
        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            w, state = carry
            updates, state = tx.update(jax.grad(loss)(w, inputs, targets), state, w)
            return (optax.apply_updates(w, updates), state), None

        (w, _), _ = jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), None, length=config.steps))(start)
        return w

    def score(w: Any) -> dict[str, float]:
        residual = jaxreg.kkt_residual(jaxreg.L1(strength), w, gradient(w, inputs, targets))
        return {
            "error": float(np.abs(w - solution).max()),
            "nonzero": int(np.sum(w != 0)),
            "residual": float(residual) / strength,
        }

    scores = {"scikit-learn's Lasso": score(jnp.asarray(solution))}
    for name, tx in contestants(strength).items():
        scores[name] = score(descend(tx))
        advance(1)
    return scores


def steps(config: LassoBenchmark) -> int:
    """How often `advance` will be called, whatever the settings."""
    del config
    return len(contestants(1.0))


def run(config: LassoBenchmark, command: str, console: Console, advance: Callable[[int], None]) -> None:
    """Judges, prints the table and, where `config.out` is set, saves the numbers with what made them."""
    began = time.perf_counter()
    with jax.enable_x64(True):
        scores = evaluate(config, advance)
    made_by = provenance(dataclasses.asdict(config), command, time.perf_counter() - began)
    title = f"The lasso at λ = {config.share:g} λ_max after {config.steps:,} steps, diabetes data, float64"
    rows = [[name, f"{row['error']:.1e}", str(row["nonzero"]), f"{row['residual']:.1e}"] for name, row in scores.items()]
    console.print(Sheet(["optimizer", "max|w − lasso|", "nonzero", "KKT residual / λ"], rows, title))
    if config.out is not None:
        write_whole(config.out, json.dumps({"made_by": made_by, "scores": scores}, indent=2, default=str) + "\n")
        console.print(f"saved {config.out}", markup=False)
