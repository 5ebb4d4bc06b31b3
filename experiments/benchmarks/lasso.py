"""Which optimizers solve the lasso for the λ that they are given? Every method of applying L1 is
compared with scikit-learn.

The problem is (1/2n)‖y − Xw‖² + λ‖w‖₁ on the standardised diabetes data, with λ a share of the
smallest strength whose solution is 0. Every optimizer takes the same number of full-batch steps
from w = 0 in float64. We report the distance from scikit-learn's coefficients, the number of
nonzero weights, and the KKT residual at the given λ.

The clip is to a norm of 2λ. The gradient at the solution has a larger norm, as it is ±λ for each
nonzero weight, so that the clip scales every gradient.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso

import jaxreg
from experiments.benchmarks import lasso_peers
from experiments.benchmarks.benchmark import Benchmark
from experiments.benchmarks.excerpts import REFERENCE
from experiments.benchmarks.settings import LassoBenchmark
from experiments.sheet import Sheet


def optimizers(strength: float) -> dict[str, optax.GradientTransformation]:
    """Optimizers by the words that a user would type: first the exact ones, then chains that solve
    another problem.

    Both chains that end in `prox_l1` threshold by learning rate × λ, which is the correct step for
    plain SGD only. A clip before an optimizer is a scale that its threshold does not know.
    """
    penalty, clip = jaxreg.L1(strength), optax.clip_by_global_norm(2 * strength)
    return {
        "prox_sgd": jaxreg.prox_sgd(0.1, penalty),
        "prox_sgd, momentum 0.9": jaxreg.prox_sgd(0.02, penalty, momentum=0.9),
        "prox_sgd, Nesterov": jaxreg.prox_sgd(0.02, penalty, momentum=0.9, nesterov=True),
        "prox_sgd, clip": jaxreg.prox_sgd(0.1, penalty, clip=clip),
        "prox_adam": jaxreg.prox_adam(1e-2, penalty),
        "prox_nadam": jaxreg.prox_nadam(1e-2, penalty),
        "prox_amsgrad": jaxreg.prox_amsgrad(1e-2, penalty),
        "prox_yogi": jaxreg.prox_yogi(1e-2, penalty),
        "prox_adabelief": jaxreg.prox_adabelief(1e-2, penalty),
        "prox_adamax": jaxreg.prox_adamax(1e-2, penalty),
        "prox_rmsprop": jaxreg.prox_rmsprop(1e-3, penalty),
        "prox_adagrad": jaxreg.prox_adagrad(0.1, penalty),
        "prox_adam, clip": jaxreg.prox_adam(1e-2, penalty, clip=clip),
        "clip → prox_sgd": optax.chain(clip, jaxreg.prox_sgd(0.1, penalty)),
        "clip → prox_adam": optax.chain(clip, jaxreg.prox_adam(1e-2, penalty)),
        "sgd, momentum 0.9 → prox_l1": optax.chain(
            optax.sgd(0.02, momentum=0.9), jaxreg.prox_l1(strength, step_size=0.02)
        ),
        "adam → prox_l1": optax.chain(optax.adam(1e-2), jaxreg.prox_l1(strength, step_size=1e-2)),
        "add_l1 → sgd": optax.chain(jaxreg.add_l1(strength), optax.sgd(0.1)),
        "add_l1 → adam": optax.chain(jaxreg.add_l1(strength), optax.adam(1e-2)),
        "scale_by_adam → add_l1": optax.chain(
            optax.scale_by_adam(), jaxreg.add_l1(strength), optax.scale_by_learning_rate(1e-2)
        ),
    }


def exact_solution(inputs: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    """The solution of the lasso, exact up to rounding.

    On the support S with signs s it is w_S = (X_SᵀX_S/n)⁻¹ (X_Sᵀy/n − λ s). We take S and s from
    scikit-learn, because its coefficients themselves are only as exact as its tolerance.

    Args:
        inputs: X, of shape (n, features).
        targets: y, of shape (n,).
        strength: λ.

    Returns:
        The weights, of shape (features,).
    """
    # Rounding keeps some processors from tighter tolerances.
    model = Lasso(strength, fit_intercept=False, tol=1e-10, max_iter=10**6).fit(inputs, targets)
    signs = np.sign(model.coef_)
    support = signs != 0
    chosen, n = inputs[:, support], len(inputs)
    solution = np.zeros(inputs.shape[1])
    solution[support] = np.linalg.solve(
        chosen.T @ chosen / n, chosen.T @ targets / n - strength * signs[support]
    )
    return solution


def standardised(*arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays with mean 0 and standard deviation 1 along their first axis."""
    return [(array - array.mean(0)) / array.std(0) for array in arrays]


def peers(config: LassoBenchmark) -> tuple[str, ...]:
    """The optimizers of PyTorch; none where it is not installed or switched off."""
    return lasso_peers.NAMES if config.torch and lasso_peers.installed() else ()


def count_fits(config: LassoBenchmark) -> int:
    """Number of optimizers."""
    return len(optimizers(1.0)) + len(peers(config))


def measure_lasso(config: LassoBenchmark, advance: Callable[[int], None]) -> dict[str, Any]:
    """Fits the lasso with every optimizer, in float64.

    Args:
        config: λ and the number of steps.
        advance: called with 1 after each optimizer.

    Returns:
        `scores`: by optimizer, the largest error of a weight, the number of nonzero weights, and
        the KKT residual divided by λ. The exact solution comes first.
    """
    with jax.enable_x64(True):
        inputs, targets = standardised(*load_diabetes(return_X_y=True))

        def loss(w: jax.Array, inputs: jax.Array, targets: jax.Array) -> jax.Array:
            return 0.5 * jnp.mean(jnp.square(inputs @ w - targets))

        gradient = jax.jit(jax.grad(loss))
        start = jnp.zeros(inputs.shape[1])
        strength = config.share * float(
            jaxreg.critical_strength(jaxreg.L1(1.0), gradient(start, inputs, targets))
        )
        solution = exact_solution(inputs, targets, strength)

        def descend(tx: optax.GradientTransformation) -> jax.Array:
            def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
                w, state = carry
                updates, state = tx.update(jax.grad(loss)(w, inputs, targets), state, w)
                return (optax.apply_updates(w, updates), state), None

            (w, _), _ = jax.jit(
                lambda w: jax.lax.scan(step, (w, tx.init(w)), None, length=config.steps)
            )(start)
            return w

        def score(w: Any) -> dict[str, float]:
            residual = jaxreg.kkt_residual(jaxreg.L1(strength), w, gradient(w, inputs, targets))
            return {
                "error": float(np.abs(w - solution).max()),
                "nonzero": int(np.sum(w != 0)),
                "residual": float(residual) / strength,
            }

        scores = {REFERENCE: score(jnp.asarray(solution))}
        for name, tx in optimizers(strength).items():
            scores[name] = score(descend(tx))
            advance(1)
        for name in peers(config):
            scores[name] = score(
                jnp.asarray(lasso_peers.by_torchao(name, inputs, targets, strength, config.steps))
            )
            advance(1)
    return {"scores": scores}


def show_lasso(config: LassoBenchmark, numbers: dict[str, Any]) -> Iterable[Sheet | str]:
    """The table of all optimizers, and what was not measured."""
    title = (
        f"The lasso at λ = {config.share:g} λ_max after {config.steps:,} steps, diabetes "
        "data, float64"
    )
    rows = [
        [name, f"{row['error']:.1e}", str(row["nonzero"]), f"{row['residual']:.1e}"]
        for name, row in numbers["scores"].items()
    ]
    yield Sheet(["optimizer", "max|w − lasso|", "nonzero", "KKT residual / λ"], rows, title)
    if not set(lasso_peers.NAMES) <= set(numbers["scores"]):
        yield (
            "torchao was not measured: pip install torch==2.13.0 torchao==0.18.0, without "
            "--no-torch"
        )


BENCHMARK = Benchmark(count_fits, measure_lasso, show_lasso)
