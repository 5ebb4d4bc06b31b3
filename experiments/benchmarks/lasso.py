"""Which optimizers solve the lasso for the λ that they are given? Every method of applying L1 is
compared with scikit-learn.

The problem is (1/2n)‖y − Xw‖² + λ‖w‖₁ on the standardised diabetes data, with λ a share of the
smallest strength whose solution is 0. Every optimizer takes the same number of full-batch steps
from w = 0 in float64.

The clip is to a norm of 2λ. The gradient at the solution has a larger norm, as it is ±λ for each
nonzero weight, so that the clip scales every gradient.

torchao's `PruneOptimizer` is a method of dual averaging: the base optimizer moves latent weights,
and the weights of the model are those, soft-thresholded by λ times the sum of all learning rates.
This sum is the step that plain SGD took, but not the effective step of momentum or Adam.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np

from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, optax, xr
from experiments.settings import at_least, positive
from experiments.tables import Table
from experiments.training import described


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every optimizer on the same lasso with the same λ, compared with scikit-learn's solution."""

    share: float = 0.05
    """λ as a share of λ_max, the smallest strength whose solution is 0."""
    steps: int = 20_000
    """Number of full-batch steps of every optimizer."""
    torch: bool = True
    """Whether to measure the optimizers of torchao, if it is installed."""

    def __post_init__(self) -> None:
        positive(self, "share")
        at_least(self, steps=1)


REFERENCE = "scikit-learn's `Lasso`"
TORCHAO = ("torchao SGD", "torchao SGD, momentum 0.9", "torchao AdamW")
"""The optimizers that torchao wraps, AdamW without weight decay."""
TEXTS = {
    "optimizer": ("how L1 is applied", "1"),
    "error": ("largest distance of a weight from the exact solution", "1"),
    "nonzero": ("weights that are not 0", "count"),
    "residual": ("KKT residual at the given λ, divided by λ", "1"),
}


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


def measure(config: Settings, _: Session) -> xr.Dataset:
    """Fits the lasso with every optimizer in float64; returns the variables in `TEXTS`, with the
    exact solution first.
    """
    from sklearn.datasets import load_diabetes

    with jax.enable_x64(True):
        x, y = ((array - array.mean(0)) / array.std(0) for array in load_diabetes(return_X_y=True))

        def loss(w: jax.Array) -> jax.Array:
            return 0.5 * jnp.mean(jnp.square(x @ w - y))

        gradient = jax.jit(jax.grad(loss))
        start = jnp.zeros(x.shape[1])
        strength = config.share * float(jaxreg.critical_strength(jaxreg.L1(1.0), gradient(start)))

        def descend(tx: optax.GradientTransformation) -> jax.Array:
            def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
                w, state = carry
                updates, state = tx.update(jax.grad(loss)(w), state, w)
                return (optax.apply_updates(w, updates), state), None

            @jax.jit
            def all_steps(w: jax.Array) -> jax.Array:
                return jax.lax.scan(step, (w, tx.init(w)), None, length=config.steps)[0][0]

            return all_steps(start)

        solution = exact_solution(x, y, strength)
        weights = {REFERENCE: jnp.asarray(solution)}
        weights |= {name: descend(tx) for name, tx in optimizers(strength).items()}
        if config.torch and importlib.util.find_spec("torchao"):
            for name in TORCHAO:
                weights[name] = jnp.asarray(by_torchao(name, x, y, strength, config.steps))
        rows = [
            (
                float(jnp.max(jnp.abs(w - solution))),
                int(jnp.sum(w != 0)),
                float(jaxreg.kkt_residual(jaxreg.L1(strength), w, gradient(w))) / strength,
            )
            for w in weights.values()
        ]
    columns = zip(("error", "nonzero", "residual"), zip(*rows, strict=True), strict=True)
    variables = {name: ("optimizer", list(values)) for name, values in columns}
    attributes = {"share": config.share, "steps": config.steps}
    return described(xr.Dataset(variables, {"optimizer": list(weights)}, attributes), TEXTS)


def exact_solution(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """The solution of the lasso (features,), exact up to rounding.

    On the support S with signs s it is w_S = (X_SᵀX_S/n)⁻¹ (X_Sᵀy/n − λ s). We take S and s from
    scikit-learn, because its coefficients themselves are only as exact as its tolerance.
    """
    from sklearn.linear_model import Lasso

    # Rounding keeps some processors from tighter tolerances.
    signs = np.sign(Lasso(strength, fit_intercept=False, tol=1e-10, max_iter=10**6).fit(x, y).coef_)
    chosen, n = x[:, signs != 0], len(x)
    solution = np.zeros(x.shape[1])
    solution[signs != 0] = np.linalg.solve(
        chosen.T @ chosen / n, chosen.T @ y / n - strength * signs[signs != 0]
    )
    return solution


def by_torchao(name: str, x: np.ndarray, y: np.ndarray, strength: float, steps: int) -> np.ndarray:
    """The weights (features,) that torchao's pruning-aware optimizer reaches from w = 0."""
    import torch
    from torchao.prototype.pat.optim import PruneOptimizer

    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    group = {"prox_type": "ProxLasso", "group_type": "ElemGrouper", "reg_lambda": strength}
    penalised = [{"params": [weights], **group}]
    base: Any = {
        "torchao SGD": lambda: torch.optim.SGD(penalised, lr=0.1),
        "torchao SGD, momentum 0.9": lambda: torch.optim.SGD(penalised, lr=0.02, momentum=0.9),
        "torchao AdamW": lambda: torch.optim.AdamW(penalised, lr=1e-2, weight_decay=0.0),
    }[name]
    optimizer = PruneOptimizer(base())
    for _ in range(steps):
        optimizer.zero_grad()
        (torch.mean(torch.square(inputs @ weights - targets)) / 2).backward()
        optimizer.step()
    return np.asarray(weights.detach().numpy())


def tabulate(results: Results) -> list[Table]:
    """Every optimizer; the exact ones share a row for SGD and one for the others, with their
    largest numbers.
    """
    dataset = results["optimizers"]
    names = [str(name) for name in dataset["optimizer"].values]
    sgd = [name for name in names if name.startswith("prox_sgd")]
    exact = [name for name in names if name.startswith("prox_") and name not in sgd]
    others = [[name] for name in names if name not in (REFERENCE, *sgd, *exact)]
    rows = []
    for members in ([REFERENCE], sgd, exact, *others):
        error, nonzero, residual = (
            float(dataset[name].sel(optimizer=members).max()) for name in dataset.data_vars
        )
        text = ", ".join(map(code, members))
        rows.append([text, f"{error:.2g}", f"{nonzero:g}", f"{residual:.2g}"])
    title = (
        f"λ = {dataset.attrs['share']:g} λ_max on scikit-learn's diabetes data, "
        f"{dataset.attrs['steps']:,} full-batch steps in float64; a row of several optimizers "
        "shows the largest number among them"
    )
    missing = "torchao was not measured; the extra `torch` installs it."
    headings = ["optimizer", "largest error of a weight", "nonzero weights", "KKT residual ÷ λ"]
    return [Table(headings, rows, title, "" if TORCHAO[0] in names else missing)]


def code(name: str) -> str:
    """A name as inline code; of a single optimizer, what follows the comma is plain text."""
    if name == REFERENCE:
        return name
    first, *others = [name] if "→" in name else name.split(", ", 1)
    return " ".join([f"`{first}`", *others])


STUDY = Study(
    name="bench lasso",
    summary="Every optimizer on the same lasso, compared with scikit-learn's solution",
    settings=Settings(),
    quick=Settings(steps=2000),
    sweeps={"optimizers": measure},
    tabulate=tabulate,
)
