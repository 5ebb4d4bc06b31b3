"""The duality gap against scikit-learn's, and as a bound on the distance from a minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 12))
Y = X[:, :3] @ np.array([2.0, -1.0, 0.5]) + RNG.normal(size=40)


class OneSided(jaxreg.Penalty):
    """λ Σ xᵢ for xᵢ ≥ 0 and ½λ Σ |xᵢ| below: an asymmetric L1 of one's own."""

    strength: float

    def value(self, x):
        return self.strength * jnp.sum(jnp.where(x > 0, x, -x / 2))

    def prox(self, x, step):
        t = step * self.strength
        return jnp.where(x > t, x - t, jnp.where(x < -t / 2, x + t / 2, 0))

    def conjugate(self, v):
        return jnp.zeros_like(v)

    def dual_scale(self, v):
        return self.strength / jnp.max(jnp.maximum(v, -2 * v))


PENALTIES = {
    "L1": jaxreg.L1(0.1),
    "elastic net": jaxreg.ElasticNet(0.1, 0.05),
    "an elastic net that is L1": jaxreg.ElasticNet(0.1, 0.0),
    "squared L2": jaxreg.SquaredL2(0.05),
    "groups": jaxreg.GroupL2(0.1, axis=1),
    "groups of an elastic net": jaxreg.Group(jaxreg.ElasticNet(0.1, 0.05), axis=1),
    "of one's own": OneSided(0.2),
    "tree": {"a": jaxreg.L1(0.1), "b": jaxreg.Weighted(jaxreg.L1(0.1), np.linspace(0.5, 2, 7))},
}


@pytest.mark.parametrize("loss", ["squares", "logistic"])
@pytest.mark.parametrize("name", PENALTIES)
def test_it_bounds_the_distance_from_the_minimum(loss, name):
    if loss == "logistic" and name not in ("L1", "groups", "tree", "of one's own"):
        pytest.skip("the loss and the penalty enter the gap independently")
    penalty = PENALTIES[name]
    shape = (6, 2) if "groups" in name else 12
    start = {"a": jnp.zeros(5), "b": jnp.zeros(7)} if name == "tree" else jnp.zeros(shape)
    targets = jnp.asarray(Y if loss == "squares" else Y > 0, float)

    def predict(params):
        return X @ jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(params)])

    def objective(params):
        z = predict(params)
        if loss == "squares":
            return jnp.mean((z - targets) ** 2) / 2
        return jnp.mean(jnp.logaddexp(0, z) - targets * z)

    @jax.jit
    def measured(params):
        gap = jaxreg.duality_gap(penalty, params, predict, targets, loss)
        return objective(params) + jaxreg.penalty_value(penalty, params), gap

    solver = jaxreg.fista(
        lambda params, _: objective(params), penalty, tol=1e-12, max_steps=100_000
    )
    solution = solver.run(start).params
    least, gap = measured(solution)
    assert 0 <= gap < 1e-10
    for seed in range(10):
        keys = jax.random.split(jax.random.key(seed), 2)
        noise = jax.tree.map(lambda leaf, keys=keys: jax.random.normal(keys[0], leaf.shape), start)
        size = 10.0 ** jax.random.uniform(keys[1], minval=-4, maxval=1)
        value, gap = measured(jax.tree.map(lambda w, e, size=size: w + size * e, solution, noise))
        assert gap >= value - least - 1e-12
        # It is a bound that follows the distance, not just any large number.
        assert 1e-10 < gap <= 1e4 * (value - least + 1e-8) ** 0.5
    assert measured(start)[1] >= measured(start)[0] - least


@pytest.mark.parametrize("intercept", [True, False])
def test_it_is_scikit_learns(intercept):
    y = Y + 3 * intercept
    model = Lasso(alpha=0.1, fit_intercept=intercept, tol=1e-3).fit(X, y)
    gap = jaxreg.duality_gap(
        jaxreg.L1(0.1), model.coef_, lambda w: X @ w, y,
        intercept=model.intercept_ if intercept else None,
    )  # fmt: skip
    assert gap > 1e-6
    np.testing.assert_allclose(gap, model.dual_gap_, rtol=1e-6)


def test_traced_factors_of_0_leave_a_bound():
    factors = np.where(np.arange(12) == 1, 0.0, 1.0)

    def make(strength):
        return jaxreg.Weighted(jaxreg.L1(strength), factors)

    w = jaxreg.fit_linear_path(X, Y, make, [0.1], intercept=False).at(0).weights

    def gap(factors):
        return jaxreg.duality_gap(jaxreg.Weighted(jaxreg.L1(0.1), factors), w, lambda w: X @ w, Y)

    assert gap(factors) < 1e-8 <= jax.jit(gap)(factors)
    np.testing.assert_allclose(jax.jit(gap)(factors + 1), gap(factors + 1), rtol=1e-9)


def test_nan_is_not_hidden():
    assert jnp.isnan(jaxreg.duality_gap(jaxreg.L1(0.1), jnp.full(12, jnp.nan), lambda w: X @ w, Y))
