"""What a sweep recognises: the fit as it is now, its constants, its runs; nothing else counts as
the same.
"""

import dataclasses
import gc
import os
import subprocess
import sys
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg

RATE = 1.0
ONES = np.ones(2, np.float32)


def scaled(key, x, data):
    return x * RATE


def step(carry, _):
    return carry * RATE, None


def scanned(key, x, data):
    return jax.lax.scan(step, x, None, length=2)[0]


@jax.jit
def inner(x):
    return x * RATE


@pytest.mark.parametrize(
    ("fit", "power"), [(scaled, 1), (scanned, 2), (lambda key, x, data: inner(x), 1)]
)
def test_a_changed_global_counts(monkeypatch, fit, power):
    for rate in (1.0, 100.0):
        monkeypatch.setitem(globals(), "RATE", rate)
        np.testing.assert_allclose(jaxreg.sweep(fit, ONES).outputs, rate**power)


@dataclasses.dataclass
class Model:
    factor: float

    def __call__(self, key, x, data):
        return x * self.factor

    def fit(self, key, x, data):
        return x * self.factor


def test_a_changed_attribute_counts_and_a_callable_needs_no_hash():
    model = Model(1.0)
    with pytest.raises(TypeError, match="unhashable"):
        hash(model)
    for fit in (model, model.fit):
        for factor in (1.0, 5.0):
            model.factor = factor
            np.testing.assert_array_equal(jaxreg.sweep(fit, ONES).outputs, factor)


def test_which_of_two_inputs_is_used_counts(tmp_path):
    pair = {"a": ONES, "b": 2 * ONES}
    assert jaxreg.sweep(lambda key, x, data: x["a"], pair, folder=tmp_path).outputs[0] == 1
    assert jaxreg.sweep(lambda key, x, data: x["b"], pair).outputs[0] == 2
    with pytest.raises(jaxreg.SweepMismatchError, match=r"\(program: "):
        jaxreg.sweep(lambda key, x, data: x["b"], pair, folder=tmp_path)


def test_a_host_callback_is_the_one_of_this_sweep():
    def through_host(factor):
        return lambda key, x, data: jax.pure_callback(
            lambda x: x * np.float32(factor), jax.ShapeDtypeStruct((), x.dtype), x
        )

    for factor in (1, 3):
        np.testing.assert_array_equal(jaxreg.sweep(through_host(factor), ONES).outputs, factor)


def test_captured_data_are_not_kept():
    class Captured(np.ndarray):
        pass

    gone = []
    for number in range(3):
        table = np.full(100_000, number, np.float32).view(Captured)
        gone.append(weakref.ref(table))
        jaxreg.sweep(lambda key, x, data, table=table: x + jnp.asarray(np.asarray(table))[0], ONES)
        del table
    gc.collect()
    assert [reference() for reference in gone[:-1]] == [None, None]


CONSTANT = """
import sys, jax, jax.numpy as jnp, numpy as np, jaxreg
jax.config.update("jax_platforms", "cpu")
table = jnp.asarray([float(sys.argv[1]), 2.0])
nested = jax.jit(lambda x: x * table[0])
fit = lambda key, x, data: nested(x) + table.sum()
runs = jaxreg.sweep(fit, np.arange(float(sys.argv[3])), folder=sys.argv[2])
print(runs.outputs)
"""


@pytest.mark.parametrize("simplified", ["0", "1"])
def test_a_changed_constant_is_refused_on_resume(tmp_path, simplified):
    environment = {**os.environ, "JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS": simplified}

    def run(constant, runs):
        command = [sys.executable, "-c", CONSTANT, constant, str(tmp_path), runs]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    first = run("1.0", "3")
    assert first.returncode == 0, first.stderr
    same = run("1.0", "5")
    assert same.stdout.strip() == "[3. 4. 5. 6. 7.]", same.stderr
    changed = run("1.5", "5")
    assert changed.returncode != 0
    assert "SweepMismatchError" in changed.stderr
    assert "program: fit computes something else" in changed.stderr


def noisy(key, hyperparams, data):
    return {"x": hyperparams["x"] + jax.random.normal(key, (5,)) @ data}


def grown(strengths, seeds, **options):
    reported = []
    grid = jaxreg.grid(x=np.asarray(strengths, np.float32))
    runs = jaxreg.sweep(
        noisy, grid, np.eye(5, dtype=np.float32), seeds=seeds, progress=reported.append, **options
    )
    return runs.outputs["x"], reported


def test_a_grid_grows_and_shrinks_and_computes_only_what_is_new(tmp_path):
    first, reported = grown([0, 1, 2], 3, folder=tmp_path, devices=2, chunk=1)
    assert reported == [2, 2, 2, 2, 1]
    more, reported = grown([0, 5, 1, 2], [0, 1, 2, 9], folder=tmp_path, devices=2)
    assert reported[0] == 9
    assert sum(reported) == 16
    np.testing.assert_array_equal(more[[0, 2, 3], :3], first)
    np.testing.assert_array_equal(more, grown([0, 5, 1, 2], [0, 1, 2, 9], chunk=1, devices=2)[0])
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fewer, reported = grown([5, 2], [9], folder=tmp_path, devices=1)
    assert reported == [2]
    np.testing.assert_array_equal(fewer, more[[1, 3], 3:])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_bits_do_not_depend_on_the_devices():
    def training(key, x, data):
        w = jax.random.normal(key, (64, 32))
        body = lambda _, w: w - 0.01 * data.T @ jnp.tanh(data @ w) - x * w  # noqa: E731
        return jax.lax.fori_loop(0, 20, body, w)

    data = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32) / 8
    found = [
        jaxreg.sweep(training, np.linspace(0, 0.1, 5), data, devices=count).outputs
        for count in (1, 2, 8)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("seeds", [[2**32], [2**40], [2**70], 2.5, [True, False], "ab"])
def test_seeds_that_a_key_cannot_hold_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds must be whole numbers from 0 on"):
        jaxreg.sweep(lambda key, x, data: x, ONES, seeds=seeds)


def test_large_seeds_and_numpy_counts():
    def data_of(key, x, data):
        return jax.random.key_data(key)

    large = jaxreg.sweep(data_of, ONES, seeds=[3, 2**32 - 1]).outputs
    np.testing.assert_array_equal(large[0], [[0, 3], [0, 2**32 - 1]])
    for count in (np.int64(3), np.array(3), jnp.asarray(3)):
        assert jaxreg.sweep(data_of, ONES, seeds=count).outputs.shape == (2, 3, 2)
    with pytest.raises(ValueError, match="seeds must be whole numbers"):
        jaxreg.grid(seed=[2**40])
    with pytest.raises(ValueError, match="n holds integers that int32 cannot, up to 1099511627776"):
        jaxreg.grid(n=[1, 2**40])
