"""A penalty of a user's own: a subclass with `value` and `prox` works wherever jaxreg's own
penalties do.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize_scalar

import jaxreg


class Huber(jaxreg.Penalty):
    """R(x) = λ Σ h(xᵢ), h quadratic within ±width and linear outside."""

    strength: float
    width: float = dataclasses.field(default=1.0, metadata={"static": True})

    def value(self, x):
        inside = jnp.square(x) / (2 * self.width)
        return self.strength * jnp.sum(
            jnp.where(jnp.abs(x) < self.width, inside, jnp.abs(x) - self.width / 2)
        )

    def prox(self, x, step):
        t = step * self.strength
        return jnp.where(jnp.abs(x) < self.width + t, x / (1 + t / self.width), x - t * jnp.sign(x))


class Shrink(jaxreg.Penalty):
    """λ Σ|xᵢ| by its two required methods alone."""

    strength: float

    def value(self, x):
        return self.strength * jnp.sum(jnp.abs(x))

    def prox(self, x, step):
        return jnp.sign(x) * jnp.maximum(jnp.abs(x) - step * self.strength, 0)


@pytest.mark.parametrize("penalty", [Huber(0.7), Huber(0.7, 0.3), Shrink(0.7)], ids=str)
@pytest.mark.parametrize("x", [-2.5, -0.4, 0.0, 0.2, 1.1])
def test_the_prox_minimises_what_it_says(penalty, x):
    step = 0.6
    found = minimize_scalar(
        lambda u: float((u - x) ** 2 / (2 * step) + penalty.value(jnp.asarray(u))),
        (-3, 3),
        options={"xtol": 1e-9},
    )
    assert float(penalty.prox(jnp.asarray(x), step)) == pytest.approx(found.x, abs=2e-3)


def test_what_is_not_defined_has_a_default():
    x = jnp.array([0.5, -2.0])
    np.testing.assert_allclose(Huber(2.0).subgradient(x), [1.0, -2.0])
    assert Huber(2.0).subgradient(x.astype(jnp.bfloat16)).dtype == jnp.float32
    # Optimal where loss + R is: the gradient of the loss is −R'(x).
    np.testing.assert_allclose(Huber(2.0).violation(x, jnp.array([-1.0, 2.0])), 0, atol=1e-6)
    assert (Huber(2.0).violation(x, jnp.zeros(2)) > 0.1).all()
    inside, outside = Shrink(1.0).violation(jnp.zeros(2), jnp.array([0.9, -1.5]))
    assert inside == 0
    assert outside == 0.5
    with pytest.raises(
        NotImplementedError, match=r"Huber does not define critical_strength\(gradient\)"
    ):
        Huber(1.0).critical_strength(x)


def test_both_required_methods_are_required():
    class Half(jaxreg.Penalty):
        strength: float

        def value(self, x):
            return self.strength * jnp.sum(x)

    with pytest.raises(TypeError, match="abstract method"):
        Half(1.0)


def test_its_fields_are_leaves_and_static_ones_structure():
    leaves, structure = jax.tree.flatten(Huber(0.5, 0.3))
    assert leaves == [0.5]
    assert jax.tree.unflatten(structure, [2.0]).width == 0.3
    values = jax.vmap(lambda penalty: penalty.value(jnp.array([3.0])))(Huber(jnp.arange(3.0)))
    np.testing.assert_allclose(values, [0, 2.5, 5])
    scheduled = Huber(optax.linear_schedule(0.0, 1.0, 10))
    assert scheduled.scheduled
    assert scheduled.at(5).strength == 0.5
    with pytest.raises(dataclasses.FrozenInstanceError):
        Huber(0.5).strength = 1.0


@pytest.mark.parametrize(
    "make", [jaxreg.L1, jaxreg.SquaredL2, jaxreg.GroupL2, jaxreg.LogSum, jaxreg.L0, Huber]
)
def test_array_strengths_compare_and_hash(make):
    one, other = make(jnp.arange(3.0)), make(jnp.arange(3.0))
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2


def test_an_optimizer_reaches_its_optimum():
    target = jnp.array([3.0, 0.4, -0.2])

    def loss(w):
        return 0.5 * jnp.sum(jnp.square(w - target))

    for penalty, answer in (
        (Huber(0.5), [2.5, 0.4 / 1.5, -0.2 / 1.5]),
        (Shrink(0.3), [2.7, 0.1, 0.0]),
    ):
        tx = jaxreg.prox_adam(optax.cosine_decay_schedule(3e-2, 3000), penalty)

        def step(carry, _, tx=tx):
            w, state = carry
            updates, state = tx.update(jax.grad(loss)(w), state, w)
            return (optax.apply_updates(w, updates), state), None

        (w, _), _ = jax.lax.scan(step, (jnp.ones(3), tx.init(jnp.ones(3))), length=3000)
        np.testing.assert_allclose(w, answer, atol=1e-5)
        assert jaxreg.kkt_residual(penalty, w, jax.grad(loss)(w)) < 1e-5


class NonNegative(jaxreg.Penalty):
    """R(x) = 0 where x ≥ 0 and λ|x| below: a penalty of a user's own."""

    strength: float

    def value(self, x):
        return self.strength * jnp.sum(jnp.maximum(-x, 0))

    def prox(self, x, step):
        return jnp.where(x < 0, jnp.minimum(x + step * self.strength, 0), x)

    def subgradient(self, x):
        return jnp.where(x < 0, -self.strength, 0.0)

    def violation(self, x, gradient):
        inside = jnp.maximum(jnp.maximum(-gradient, gradient - self.strength), 0)
        return jnp.where(x == 0, inside, jnp.abs(gradient + self.subgradient(x)))

    def critical_strength(self, gradient):
        return jnp.where(jnp.min(gradient) < 0, jnp.inf, jnp.max(gradient))


def test_a_penalty_that_has_a_sign_works_everywhere(float64):
    w, target = jnp.array([1.0, 1.0]), jnp.array([2.0, -0.4])
    penalty = NonNegative(0.5)
    tx = jaxreg.prox_adam(0.1, penalty)
    state = tx.init(w)
    for _ in range(600):
        updates, state = tx.update(w - target, state, w)
        w = w + updates
    np.testing.assert_allclose(w, [2.0, 0.0], atol=1e-6)
    assert jaxreg.kkt_residual(penalty, w, w - target) < 1e-6
    assert jax.vmap(lambda p: p.value(jnp.array([-1.0])))(
        NonNegative(jnp.arange(3.0))
    ).tolist() == [0, 1, 2]
