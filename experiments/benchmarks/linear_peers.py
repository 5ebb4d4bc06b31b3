"""What users solve linear paths with, each as a function from a problem and a tolerance to the
weights at every λ.

Packages that are not installed are left out; `pip install -e '.[peers]'` installs all of them.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxreg

GROUP = 5
"""Features in each group of the group lasso."""
L1_RATIO = 0.5
"""scikit-learn's `l1_ratio` of the elastic net."""
UNLIMITED = 10**6


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data and a grid.

    Attributes:
        model: "lasso", "elastic net", "sparse logistic" or "group lasso".
        x: columns with mean 0 and standard deviation 1 (rows, features), in Fortran's order, which
            the others need.
        y: targets (rows,), centred; 0 and 1 for logistic models.
        strengths: λ, descending.
    """

    model: str
    x: np.ndarray
    y: np.ndarray
    strengths: np.ndarray

    @property
    def loss(self) -> str:
        """The name of the loss."""
        return "logistic" if self.model == "sparse logistic" else "squares"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weights as the penalty sees them."""
        features = self.x.shape[1]
        return (features // GROUP, GROUP) if self.model == "group lasso" else (features,)

    @property
    def signs(self) -> np.ndarray:
        """The targets of a logistic model as −1 and 1."""
        return 2 * self.y - 1


def penalty_of(model: str) -> Callable[[Any], jaxreg.Penalty]:
    """The function from λ to the penalty of a model."""
    return {"elastic net": elastic_net, "group lasso": by_group}.get(model, jaxreg.L1)


def elastic_net(strength: Any) -> jaxreg.Penalty:
    """scikit-learn's elastic net with `alpha` = strength."""
    return jaxreg.ElasticNet(L1_RATIO * strength, (1 - L1_RATIO) / 2 * strength)


def by_group(strength: Any) -> jaxreg.Penalty:
    """The group lasso."""
    return jaxreg.GroupL2(strength, axis=1)


def solve_by_jaxreg(problem: Problem, tol: float) -> np.ndarray:
    """`jaxreg.fit_linear_path`."""
    path = jaxreg.fit_linear_path(
        problem.x.reshape(len(problem.x), *problem.shape), problem.y, penalty_of(problem.model),
        problem.strengths[::-1],
        loss=problem.loss, intercept=False, tolerance=tol,
    )  # fmt: skip
    return np.asarray(path.params.weights)[::-1].reshape(len(problem.strengths), -1)


def solve_by_sklearn(problem: Problem, tol: float) -> np.ndarray:
    """scikit-learn's function for paths; for the logistic model liblinear, which reaches small gaps
    before saga does.
    """
    from sklearn.linear_model import LogisticRegression, enet_path

    if problem.model == "sparse logistic":
        options = {"l1_ratio": 1, "solver": "liblinear", "fit_intercept": False, "random_state": 0}
        scale = len(problem.y)
        return np.array([
            LogisticRegression(C=1 / (strength * scale), tol=tol, max_iter=UNLIMITED, **options)
            .fit(problem.x, problem.y).coef_[0]
            for strength in problem.strengths
        ])  # fmt: skip
    ratio = L1_RATIO if problem.model == "elastic net" else 1.0
    return enet_path(
        problem.x, problem.y, l1_ratio=ratio, alphas=problem.strengths, tol=tol, max_iter=UNLIMITED
    )[1].T


def solve_by_celer(problem: Problem, tol: float) -> np.ndarray:
    """`celer_path`, with the options that celer's own estimators use: Newton steps for logistic
    models, and pruning.
    """
    from celer import celer_path

    kind = {
        "lasso": "lasso",
        "elastic net": "lasso",
        "sparse logistic": "logreg",
        "group lasso": "grouplasso",
    }[problem.model]
    logistic = problem.model == "sparse logistic"
    options: dict[str, Any] = {"groups": GROUP} if problem.model == "group lasso" else {}
    if problem.model == "elastic net":
        options["l1_ratio"] = L1_RATIO
    # Its logistic loss is a sum over rows.
    alphas = problem.strengths * (len(problem.y) if logistic else 1)
    y = problem.signs if logistic else problem.y
    return celer_path(
        problem.x,
        y,
        kind,
        alphas=alphas,
        tol=tol,
        max_iter=1000,
        use_PN=logistic,
        prune=1,
        **options,
    )[1].T


def solve_by_skglm(problem: Problem, tol: float) -> np.ndarray:
    """The solvers of skglm, warm started."""
    from skglm import datafits, penalties, solvers
    from skglm.utils.data import grp_converter

    features = problem.x.shape[1]
    options = {"tol": tol, "fit_intercept": False, "warm_start": True}
    y = problem.y
    if problem.model == "sparse logistic":
        datafit, penalty, y = datafits.Logistic(), penalties.L1(1.0), problem.signs
        solver = solvers.ProxNewton(max_iter=1000, **options)
    elif problem.model == "group lasso":
        indices, pointers = grp_converter(GROUP, features)
        datafit = datafits.QuadraticGroup(pointers, indices)
        penalty = penalties.WeightedGroupL2(1.0, np.ones(features // GROUP), pointers, indices)
        solver = solvers.GroupBCD(max_iter=1000, **options)
    else:
        ratio = L1_RATIO if problem.model == "elastic net" else 1.0
        datafit = datafits.Quadratic()
        penalty = penalties.L1_plus_L2(1.0, ratio) if ratio < 1 else penalties.L1(1.0)
        solver = solvers.AndersonCD(max_iter=1000, **options)
    w, predictions, found = np.zeros(features), np.zeros(len(y)), []
    for strength in problem.strengths:
        penalty.alpha = strength
        w = solver.solve(problem.x, y, datafit, penalty, w, predictions)[0]
        predictions = problem.x @ w
        found.append(w.copy())
    return np.array(found)


def solve_by_jaxopt(problem: Problem, tol: float) -> np.ndarray:
    """The `ProximalGradient` of jaxopt, accelerated, in one compiled scan over λ."""
    path = jaxopt_path(problem.model, problem.loss, problem.shape, tol)
    return np.asarray(path(problem.x, problem.y, problem.strengths)).reshape(
        len(problem.strengths), -1
    )


@functools.cache
def jaxopt_path(
    model: str, loss: str, shape: tuple[int, ...], tol: float
) -> Callable[..., jax.Array]:
    """The compiled function from x, y and λ to the weights at every λ."""
    from jaxopt import ProximalGradient, prox

    def squares(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(x @ w.ravel() - y)) / 2

    def logistic(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        z = x @ w.ravel()
        return jnp.mean(jnp.logaddexp(0, z) - y * z)

    def by_rows(w: jax.Array, strength: jax.Array, scaling: float = 1.0) -> jax.Array:
        return jax.vmap(lambda row: prox.prox_group_lasso(row, strength, scaling))(w)

    def net(w: jax.Array, strength: jax.Array, scaling: float = 1.0) -> jax.Array:
        # Its second number is the ratio of the strengths of ½w² and |w|.
        return prox.prox_elastic_net(w, (L1_RATIO * strength, (1 - L1_RATIO) / L1_RATIO), scaling)

    proxes = {"elastic net": net, "group lasso": by_rows}
    function = logistic if loss == "logistic" else squares
    solver = ProximalGradient(
        function, proxes.get(model, prox.prox_lasso), tol=tol, maxiter=UNLIMITED
    )

    @jax.jit
    def path(x: jax.Array, y: jax.Array, strengths: jax.Array) -> jax.Array:
        def one(w: jax.Array, strength: jax.Array) -> tuple[jax.Array, jax.Array]:
            w = solver.run(w, strength, x, y).params
            return w, w

        return jax.lax.scan(one, jnp.zeros(shape), strengths)[1]

    return path


SOLVERS: dict[str, Callable[[Problem, float], np.ndarray]] = {
    "jaxreg": solve_by_jaxreg,
    "scikit-learn": solve_by_sklearn,
    "celer": solve_by_celer,
    "skglm": solve_by_skglm,
    "jaxopt": solve_by_jaxopt,
}
"""By the name that the table shows."""
MODULES = {"scikit-learn": "sklearn"}


def solvers_for(model: str, packages: Sequence[str]) -> list[str]:
    """The names of jaxreg and those of these packages that are installed and have this model."""
    wanted = [name for name in SOLVERS if name == "jaxreg" or name in packages]
    names = [
        name for name in wanted if importlib.util.find_spec(MODULES.get(name, name)) is not None
    ]
    return [name for name in names if (name, model) != ("scikit-learn", "group lasso")]
