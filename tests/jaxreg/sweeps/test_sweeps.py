"""The sweep: every run once, the same numbers however it is spread, stopped, killed or damaged."""

import errno
import os
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg._sweep import engine, programs, store

STRENGTHS = np.array([0.0, 0.5, 1.0], np.float32)


def fit(key, hyperparams, data):
    noise = jax.random.normal(key, data.shape)
    return {
        "value": hyperparams["penalty"].value(noise),
        "shrunk": hyperparams["penalty"].prox(noise + data, 1.0),
    }


def sweep(**options):
    settings = {
        "hyperparams": jaxreg.grid(penalty=jaxreg.L1(STRENGTHS)),
        "data": np.arange(4.0, dtype=np.float32),
        "seeds": 3,
    }
    settings |= options
    return jaxreg.sweep(
        settings.pop("fit", fit), settings.pop("hyperparams"), settings.pop("data"), **settings
    )


def assert_same(left, right):
    for a, b in zip(jax.tree.leaves(left.outputs), jax.tree.leaves(right.outputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_run_is_the_fit_by_itself():
    runs = sweep()
    assert runs.outputs["shrunk"].shape == (3, 3, 4)
    for i, strength in enumerate(STRENGTHS):
        for seed in range(3):
            alone = fit(
                jax.random.key(seed),
                {"penalty": jaxreg.L1(strength)},
                np.arange(4.0, dtype=np.float32),
            )
            np.testing.assert_allclose(runs.outputs["value"][i, seed], alone["value"], rtol=1e-6)
            np.testing.assert_allclose(runs.outputs["shrunk"][i, seed], alone["shrunk"], rtol=1e-6)


@pytest.mark.parametrize("devices", [1, 2, 5, 8])
@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_runs_need_not_divide_by_devices_or_chunks(devices, chunk):
    reported = []
    assert_same(sweep(devices=devices, chunk=chunk, progress=reported.append), sweep())
    assert sum(reported) == 9
    assert max(reported) <= devices * (chunk or 9)


@pytest.mark.parametrize("at_once", [2, 3, 50])
def test_runs_that_share_a_device_get_the_same_numbers(at_once):
    together = sweep(devices=2, at_once=at_once)
    np.testing.assert_allclose(together.outputs["shrunk"], sweep().outputs["shrunk"], rtol=1e-6)


def test_the_fit_is_traced_once():
    traces = []

    def counted(key, hyperparams, data):
        traces.append(key)
        return fit(key, hyperparams, data)

    sweep(fit=counted, devices=2, chunk=1)
    assert len(traces) == 1


def test_the_same_computation_is_compiled_once(monkeypatch):
    compiled = []
    compile_once = engine.compile_once
    monkeypatch.setattr(
        engine,
        "compile_once",
        lambda key, make: compile_once(key, lambda: compiled.append(key) or make()),
    )
    table = jnp.arange(20000.0)  # large enough to become an argument

    def fit_with(table):
        return lambda key, hyperparams, data: (
            fit(key, hyperparams, data)["value"] * table[7] + 0.123
        )

    first = sweep(fit=fit_with(table), seeds=3)
    again = sweep(fit=fit_with(table + 1), seeds=[7, 8, 9, 10], data=np.ones(4, np.float32))
    assert len(compiled) == 1
    assert first.outputs.shape == (3, 3)
    alone = fit(jax.random.key(8), {"penalty": jaxreg.L1(STRENGTHS[1])}, np.ones(4, np.float32))
    np.testing.assert_allclose(again.outputs[1, 1], alone["value"] * 8.0 + 0.123, rtol=1e-5)


def test_keys_seeds_and_an_axis_of_seeds():
    draw = {"fit": lambda key, _, data: jax.random.normal(key, data.shape)}
    by_axis = sweep(
        **draw, seeds=None, hyperparams=jaxreg.grid(penalty=jaxreg.L1(STRENGTHS), seed=[0, 1, 2])
    )
    assert_same(by_axis, sweep(**draw))
    assert list(by_axis.grid.axes) == ["penalty", "seed"]
    np.testing.assert_array_equal(
        sweep(**draw, seeds=[2, 0]).outputs[:, 0], sweep(**draw).outputs[:, 2]
    )
    by_key = sweep(**draw, seeds=None, key=jax.random.key(5)).outputs
    np.testing.assert_allclose(
        by_key[1], jax.random.normal(jax.random.fold_in(jax.random.key(5), 1), (4,)), rtol=1e-6
    )
    for mixed in (
        {"seeds": 2, "key": jax.random.key(0)},
        {"seeds": 2, "hyperparams": by_axis.grid},
    ):
        with pytest.raises(ValueError, match="one source of randomness"):
            sweep(**draw, **mixed)


def test_a_key_of_another_kind_stays_of_that_kind():
    key = jax.random.key(5, impl="rbg")
    drawn = sweep(
        fit=lambda key, _, data: jax.random.bits(key, data.shape), seeds=None, key=key
    ).outputs
    np.testing.assert_array_equal(drawn[2], jax.random.bits(jax.random.fold_in(key, 2), (4,)))


MISUSES = {
    "no runs at once": ({"at_once": 0}, "at_once must be at least 1, got 0"),
    "no chunk": ({"chunk": -1}, "chunk must be at least 1, got -1"),
    "negative seeds": ({"seeds": [-1, 0]}, "seeds must be whole numbers from 0 on"),
    "fractional seeds": ({"seeds": [0.5]}, "seeds must be whole numbers from 0 on"),
    "no seeds": ({"seeds": 0}, "seeds must have one leading axis that is not empty"),
    "no results": ({"fit": lambda *_: None}, "fit must return at least one array"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_gets_one_clear_error(name):
    options, message = MISUSES[name]
    with pytest.raises(ValueError, match=message):
        sweep(**options)


MISTYPES = {
    "runs at once": ({"at_once": 2.5}, "at_once must be a whole number or None, got 2.5"),
    "chunk": ({"chunk": "3"}, "chunk must be a whole number or None, got '3'"),
    "devices": ({"devices": 2.0}, "devices must be a whole number or None, got 2.0"),
    "a list of devices": ({"devices": [0]}, "devices must be a whole number or None"),
    "an int as a key": ({"key": 0, "seeds": None}, "key must be one key such as jax.random.key"),
    "many keys": (
        {"key": jax.random.split(jax.random.key(0), 3), "seeds": None},
        "key must be one key",
    ),
    "text as data": (
        {"data": {"x": np.ones(2), "name": "run"}},
        "data must be arrays of numbers, got str at name",
    ),
    "an object as data": (
        {"data": object()},
        "data must be arrays of numbers, got object; fit may close over it",
    ),
}


@pytest.mark.parametrize("name", MISTYPES)
def test_what_is_of_the_wrong_type_is_named(name):
    options, message = MISTYPES[name]
    with pytest.raises(TypeError, match=message):
        sweep(**options)


def test_a_tree_with_a_leading_axis_needs_no_grid():
    runs = jaxreg.sweep(
        lambda _, penalty, data: penalty.value(data),
        jaxreg.ElasticNet(STRENGTHS, 0.5),
        np.ones(4, np.float32),
    )
    np.testing.assert_allclose(runs.outputs, 4 * STRENGTHS + 2)


def test_a_tuple_of_arrays_is_a_tree():
    runs = jaxreg.sweep(
        lambda _, pair, data: pair[0] + pair[1].sum() + data,
        (np.arange(3.0), np.ones((3, 2))),
        np.float32(1),
    )
    np.testing.assert_allclose(runs.outputs, np.arange(3) + 3)


def test_the_dataset_is_labelled():
    runs = sweep(
        hyperparams=jaxreg.grid(penalty=jaxreg.ElasticNet(STRENGTHS, 0.1), rate=[0.1, 0.2])
    )
    dataset = runs.dataset()
    assert dict(dataset.sizes) == {"penalty": 3, "rate": 2, "seed": 3, "shrunk_0": 4}
    np.testing.assert_array_equal(dataset["penalty.l1_strength"], STRENGTHS)
    np.testing.assert_allclose(dataset["penalty.l2_strength"], 0.1)
    np.testing.assert_array_equal(
        dataset["shrunk"].isel(penalty=1, rate=1, seed=2), runs.outputs["shrunk"][1, 1, 2]
    )


def test_a_diverged_run_is_named_and_the_others_are_untouched():
    def sometimes(key, hyperparams, data):
        bad = hyperparams["penalty"].strength == 0.5
        return jax.tree.map(lambda leaf: jnp.where(bad, jnp.nan, leaf), fit(key, hyperparams, data))

    runs = sweep(fit=sometimes)
    np.testing.assert_array_equal(runs.diverged, [[False] * 3, [True] * 3, [False] * 3])
    assert str(runs).startswith(
        "9 runs (penalty 3 × seed 3), 3 diverged: penalty = 0.5, seed = 0; "
    )
    np.testing.assert_array_equal(runs.outputs["shrunk"][[0, 2]], sweep().outputs["shrunk"][[0, 2]])
    assert str(sweep()) == "9 runs (penalty 3 × seed 3), none diverged"


def test_a_finished_sweep_is_read_and_not_run_again(tmp_path):
    reported = []
    first = sweep(folder=tmp_path, chunk=1, devices=2)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 1 + 5
    assert_same(sweep(folder=tmp_path, chunk=1, devices=2, progress=reported.append), first)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert sum(reported) == 9


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_chunk_is_computed_again(tmp_path, damage):
    first = sweep(folder=tmp_path, chunk=1, devices=2)
    chunk = sorted(tmp_path.glob("chunk-*"))[2]
    content = bytearray(chunk.read_bytes())
    if damage == "gone":
        chunk.unlink()
    else:
        content[-40] ^= 1
        chunk.write_bytes({"flip": content, "cut": content[:-7], "empty": b""}[damage])
    assert_same(sweep(folder=tmp_path, chunk=1, devices=2), first)
    assert len(list(tmp_path.glob("chunk-*"))) == 5


def constant(number):
    return lambda key, hyperparams, data: (
        fit(key, hyperparams, data)["value"] + jnp.asarray([number, 2.0])[0]
    )


CHANGES = {
    "data": {"data": np.arange(1.0, 5.0, dtype=np.float32)},
    "program": {
        "fit": lambda key, hyperparams, data: jax.tree.map(jnp.sin, fit(key, hyperparams, data))
    },
    "layout": {"chunk": 2},
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_inputs_are_refused_and_named(tmp_path, name):
    sweep(folder=tmp_path, devices=2, chunk=1)
    with pytest.raises(
        jaxreg.SweepMismatchError,
        match=rf"holds the chunks of another sweep \({name}: [^;]*\); give",
    ) as raised:
        sweep(**{"folder": tmp_path, "devices": 2, "chunk": 1} | CHANGES[name])
    assert "seed" not in str(raised.value)
    assert len(list(tmp_path.glob("chunk-*"))) == 5


def test_constants_inside_of_the_fit_belong_to_its_program(tmp_path):
    sweep(folder=tmp_path, fit=constant(1.0))
    sweep(folder=tmp_path, fit=constant(1.0))
    with pytest.raises(jaxreg.SweepMismatchError, match="program"):
        sweep(folder=tmp_path, fit=constant(1.5))


def test_another_version_of_jax_and_a_broken_manifest_are_refused(tmp_path, monkeypatch):
    sweep(folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "__version__", "0.0.1")
        with pytest.raises(jaxreg.SweepMismatchError, match=r"jax: .* then, 0\.0\.1 now"):
            sweep(folder=tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(jaxreg.SweepMismatchError, match="is damaged or was not written by a sweep"):
        sweep(folder=tmp_path)


def test_a_full_disk_keeps_what_is_done(tmp_path, monkeypatch):
    write, written = store.write_whole, []

    def full_after_three(path, content, **options):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content, **options)
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_whole", full_after_three)
        with pytest.raises(
            OSError,
            match="a chunk of 2 runs could not be written .No space left on device.; earlier "
            "chunks are saved",
        ):
            sweep(folder=tmp_path, devices=2, chunk=1)
    assert len(list(tmp_path.glob("chunk-*"))) == 2
    assert_same(sweep(folder=tmp_path, devices=2, chunk=1), sweep())


def test_no_such_devices():
    with pytest.raises(
        ValueError, match="sweep: devices must be 1 to 8, the cpu devices that JAX sees, got 9"
    ):
        sweep(devices=9)


def test_a_sweep_in_another_thread_leaves_signals_alone():
    found = []
    thread = threading.Thread(target=lambda: found.append(sweep()))
    thread.start()
    thread.join()
    assert_same(found[0], sweep())


BAD_GRIDS = {
    "no axis": ({}, ValueError, "expected at least one axis"),
    "a number": ({"rate": 0.1}, ValueError, "rate must have one leading axis"),
    "empty": ({"rate": []}, ValueError, "rate must have one leading axis"),
    "lengths": ({"net": {"a": np.ones(2), "b": np.ones(3)}}, ValueError, r"got lengths \[2, 3\]"),
    "text": ({"rate": ["fast", "slow"]}, TypeError, "rate must hold numbers"),
}


@pytest.mark.parametrize("name", BAD_GRIDS)
def test_bad_grids(name):
    axes, kind, message = BAD_GRIDS[name]
    with pytest.raises(kind, match=message):
        jaxreg.grid(**axes)


@pytest.mark.parametrize(
    ("budget", "one", "two", "most", "count"),
    [
        (100, 10, 15, 64, 19),
        (100, 10, 15, 8, 8),
        (5, 10, 15, 8, 1),
        (100, 10, 10, 64, 64),
        (100, 10, 9, 7, 7),
    ],
)
def test_as_many_runs_as_fit_the_memory(budget, one, two, most, count):
    assert engine.runs_within(budget, one, two, most) == count


def test_memory_is_read_from_the_compiled_program():
    class Accelerator:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 10**9}

    def hungry(run, data):
        return jnp.sum(
            jnp.sort(jax.random.normal(jax.random.key(run), (1000, 1000)), axis=0) @ data
        )

    run, data = np.uint32(0), np.ones((1000, 1000), np.float32)
    program = programs.trace(hungry, run, data)
    count = engine.runs_that_fit(program, [run], [data], Accelerator(), 10**6)
    assert 20 < count < 200  # a run needs two or more arrays of 4 MB, of 800 MB
    assert engine.runs_that_fit(program, [run], [data], jax.devices()[0], 99) == 1
