"""Laws of sweeps: every run is the fit alone, with the same bits on any number of devices, in any
chunks, on any executor, and after any interruption; nothing but the same sweep resumes a folder.
"""

import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ProcessPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxreg

STRENGTHS = np.array([0.0, 0.1, 0.5], np.float32)
RATES = np.array([0.05, 0.1], np.float32)
GRID = jaxreg.grid(penalty=jaxreg.L1(STRENGTHS), rate=RATES)
DATA = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)


def fit(key, hyperparams, data):
    """Proximal gradient steps from a random start; a matrix product, a loop and a random draw."""

    def step(_, w):
        w = w - hyperparams["rate"] * data.T @ jnp.tanh(data @ w) / len(data)
        return hyperparams["penalty"].prox(w, hyperparams["rate"])

    w = jax.lax.fori_loop(0, 20, step, jax.random.normal(key, (8, 4)))
    return {"w": w, "penalty": hyperparams["penalty"].value(w)}


def sweep(fit=fit, hyperparams=GRID, data=DATA, **options):
    return jaxreg.sweep(fit, hyperparams, data, **({"seeds": 3} | options))


def chunks(folder):
    return sorted(folder.glob("chunk-*"))


@pytest.fixture(scope="module")
def alone():
    """Every run, computed by the jitted fit alone."""
    program = jax.jit(fit)
    runs = [
        program(jax.random.key(seed), {"penalty": jaxreg.L1(strength), "rate": rate}, DATA)
        for strength in STRENGTHS
        for rate in RATES
        for seed in range(3)
    ]
    return jax.tree.map(lambda *rows: np.stack(rows).reshape(3, 2, 3, *rows[0].shape), *runs)


@pytest.fixture(scope="module")
def expected():
    return sweep(devices=1).outputs


def assert_same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_every_run_is_the_fit_alone(expected, alone):
    assert expected["w"].shape == (3, 2, 3, 8, 4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), expected, alone
    )


@pytest.mark.parametrize(("devices", "chunk"), [(None, None), (2, 1), (5, 4), (1, 7), (40, 3)])
def test_bits_do_not_depend_on_devices_or_chunks(devices, chunk, expected):
    reported = []
    found = sweep(devices=devices, chunk=chunk, progress=reported.append)
    assert_same(found.outputs, expected)
    assert sum(reported) == 18 and max(reported) <= (chunk or 8)


@pytest.mark.parametrize("at_once", [2, 5])
def test_runs_computed_together_give_the_same_numbers(at_once, expected):
    found = sweep(at_once=at_once, devices=2).outputs
    np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-4, atol=1e-6)


def test_memory_bounds_the_runs_at_once():
    """By the memory analysis of the compiled programs, as if the device were an accelerator."""
    from jaxreg import sweeps
    from jaxreg._sweep.plan import prepare
    from jaxreg._sweep.workers import Hardware, Threads

    def hungry(key, x, data):
        return jnp.sum(jnp.sort(jax.random.normal(key, (1000, 1000)), axis=0) * x)

    plan = prepare(hungry, np.ones(1000, np.float32), None, None, None, {})
    workers = Threads(1)
    workers.hardware = Hardware("gpu", "fake", 1, 10**9)
    assert 20 < sweeps.runs_that_fit(plan, workers) < 200  # a run needs two or more arrays of 4 MB
    assert [sweeps.runs_within(b, 10, 15, 64) for b in (5, 10, 100, 10**6)] == [1, 1, 19, 64]


# Resumption


@pytest.fixture(scope="module")
def pool():
    """Two worker processes, each of them with the settings of a fresh JAX."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "cpu")
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
            yield executor


def test_a_process_pool_gives_the_same_bits_and_resumes_a_folder(tmp_path, pool, expected):
    """The fit is a lambda, the data are loaded by a function on the workers."""
    options = {"folder": tmp_path, "chunk": 1, "devices": 2}
    first = sweep(lambda *inputs: fit(*inputs), data=lambda: DATA, executor=pool, **options)
    assert_same(first.outputs, expected)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    reported = []
    more = sweep(seeds=5, progress=reported.append, **options).outputs
    assert reported[0] == 18 and sum(reported) == 30
    assert_same(jax.tree.map(lambda leaf: leaf[:, :, :3], more), expected)
    assert all(path.read_bytes() == content for path, content in files.items())
    again = sweep(seeds=[5, 4], executor=pool, progress=reported.append, **options).outputs
    assert reported[-2:] != [6, 6] and sum(reported) == 30 + 12
    assert_same(
        jax.tree.map(lambda leaf: leaf[:, :, 1], again),
        jax.tree.map(lambda leaf: leaf[:, :, 4], more),
    )


def test_a_process_pool_honours_the_settings_of_the_caller(pool):
    """64-bit types, keys of another kind, a large captured array and a LAPACK routine."""
    table = np.random.default_rng(0).normal(size=(120, 120))

    def solve(key, x, data):
        return jnp.linalg.solve(table + 20 * jnp.eye(120), data + x), jax.random.bits(key)

    with jax.enable_x64(True):
        key = jax.random.key(2, impl="rbg")
        inputs = {"hyperparams": np.arange(3.0), "data": np.ones(120), "seeds": None, "key": key}
        here, there = (
            sweep(solve, executor=executor, **inputs).outputs for executor in (None, pool)
        )
    assert here[0].dtype == np.float64
    assert_same(there, here)


def test_dask_computes_the_chunks_of_a_killed_worker_again(tmp_path, monkeypatch, expected):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        processes = list(client.run(os.getpid).values())
        reported = []

        def kill_a_worker(count):
            reported.append(count)
            if len(reported) == 3:
                os.kill(processes[0], signal.SIGKILL)

        found = sweep(
            executor=client.get_executor(),
            folder=tmp_path,
            devices=1,
            chunk=1,
            progress=kill_a_worker,
        )
        assert_same(found.outputs, expected)
        assert reported == [1] * 18
        assert processes[0] not in client.run(os.getpid).values()
    assert len(chunks(tmp_path)) == 18


@pytest.mark.parametrize("workers", ["threads", "pool"])
def test_ctrl_c_keeps_the_finished_chunks(tmp_path, workers, expected, request):
    options = {"folder": tmp_path, "chunk": 1, "devices": 1}
    options["executor"] = request.getfixturevalue("pool") if workers == "pool" else None
    before = signal.getsignal(signal.SIGINT)
    message = rf"stopped after \d+ of 18 runs; they are saved in {tmp_path}, and the same call"
    with pytest.raises(KeyboardInterrupt, match=message):
        sweep(**options, progress=lambda _: signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before
    reported, saved = [], len(chunks(tmp_path))
    assert 1 <= saved < 18
    assert_same(sweep(**options, progress=reported.append).outputs, expected)
    assert reported[0] == saved


def test_ctrl_c_during_the_last_chunk_is_raised_and_a_second_one_does_not_wait(tmp_path):
    release, inside = threading.Event(), threading.Event()

    def block(x):
        inside.set()
        release.wait(60)
        return x

    def blocked(key, x, data):
        return jax.pure_callback(block, jax.ShapeDtypeStruct((), x.dtype), x)

    def interrupt(times):
        inside.wait(60)
        for _ in range(times):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            release.wait(0.5)
        if times == 1:
            release.set()

    for times, message in ((2, "stopped after 0 of 1 runs"), (1, "stopped after 1 of 1 runs")):
        release.clear()
        inside.clear()
        sender = threading.Thread(target=interrupt, args=(times,))
        sender.start()
        try:
            with pytest.raises(KeyboardInterrupt, match=message):
                sweep(blocked, np.ones(1, np.float32), None, seeds=None, folder=tmp_path, devices=1)
        finally:
            sender.join()
            release.set()
        assert len(chunks(tmp_path)) == 2 - times


def test_an_ignored_sigint_stays_ignored_and_threads_leave_signals_alone(expected):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sweep(progress=lambda _: signal.raise_signal(signal.SIGINT))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    found = []
    thread = threading.Thread(target=lambda: found.append(sweep().outputs))
    thread.start()
    thread.join()
    assert_same(found[0], expected)


SLOW = """
import sys, jax, jax.numpy as jnp, numpy as np, jaxreg
def slow(key, x, data):
    step = lambda _, w: jnp.tanh(w @ w + x)
    return jax.lax.fori_loop(0, 20000, step, jax.random.normal(key, (16, 16)))
def sweep(folder):
    grid = np.linspace(0, 1, 4, dtype=np.float32)
    return jaxreg.sweep(slow, grid, seeds=5, folder=folder, chunk=1, devices=2).outputs
"""


def test_killed_at_any_moment_it_ends_as_if_undisturbed(tmp_path):
    folder, saved = tmp_path / "sweep", [0]
    for count in (1, 6):  # the chunks to wait for before the kill
        command = [sys.executable, "-c", f"{SLOW}\nsweep(sys.argv[1])", str(folder)]
        process = subprocess.Popen(command, env=os.environ | {"JAX_PLATFORMS": "cpu"})
        while len(chunks(folder)) < count and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        saved.append(len(chunks(folder)))
    assert saved == sorted(saved) and 1 <= saved[1] < 20
    here = {}
    exec(SLOW, here)
    np.testing.assert_array_equal(here["sweep"](folder), here["sweep"](None))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_chunk_is_computed_again(tmp_path, damage, expected):
    sweep(folder=tmp_path, chunk=2)
    chunk = chunks(tmp_path)[2]
    content = bytearray(chunk.read_bytes())
    content[-40] ^= 1
    replaced = {"flip": content, "cut": content[:-7], "empty": b""}
    if damage == "gone":
        chunk.unlink()
    else:
        chunk.write_bytes(replaced[damage])
    reported = []
    assert_same(sweep(folder=tmp_path, chunk=2, progress=reported.append).outputs, expected)
    assert len(reported) > 1 and sum(reported) == 18


def test_a_grid_grows_and_shrinks_and_computes_only_what_is_new(tmp_path, expected):
    sweep(folder=tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    other = jaxreg.grid(penalty=jaxreg.L1(np.float32([0.5, 2.0, 0.0])), rate=RATES)
    reported = []
    more = sweep(hyperparams=other, seeds=[9, 1], folder=tmp_path, progress=reported.append).outputs
    assert reported[0] == 4 and sum(reported) == 12
    assert_same(more, sweep(hyperparams=other, seeds=[9, 1], chunk=1).outputs)
    np.testing.assert_array_equal(more["w"][2, :, 1], expected["w"][0, :, 1])
    assert all(path.read_bytes() == content for path, content in files.items())


def test_a_chunk_counts_for_its_own_sweep_only(tmp_path):
    """Without the manifest, the chunks of another sweep lie in the folder."""

    def times(factor):
        return sweep(lambda key, x, data: x * factor, np.arange(3.0), folder=tmp_path).outputs[:, 0]

    for factor in (2.0, 3.0, 2.0):
        np.testing.assert_array_equal(times(factor), factor * np.arange(3))
        (tmp_path / "manifest.json").unlink()
    assert len(chunks(tmp_path)) >= 2


def test_sweeps_begun_together_in_one_folder_do_not_mix(tmp_path):
    start, outcomes = threading.Barrier(2), []

    def times(factor):
        start.wait()
        try:
            found = sweep(lambda key, x, data: x * factor, np.arange(9.0), seeds=1, folder=tmp_path)
            outcomes.append(np.array_equal(found.outputs[:, 0], factor * np.arange(9)))
        except jaxreg.SweepMismatchError:
            outcomes.append("refused")

    both = [threading.Thread(target=times, args=(factor,)) for factor in (2.0, 3.0)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(outcomes, key=str) == [True, "refused"]


def test_a_relative_folder_and_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "elsewhere").mkdir()
    sweep(folder="here", chunk=1, progress=lambda _: os.chdir(tmp_path / "elsewhere"))
    sweep(folder="~/there", chunk=1)
    assert len(chunks(tmp_path / "here")) == len(chunks(tmp_path / "home" / "there")) == 18
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_disappears_stops_the_sweep(tmp_path):
    folder = tmp_path / "folder"
    with pytest.raises(OSError, match=r"a chunk of 1 runs could not be written .*earlier chunks"):
        sweep(folder=folder, chunk=1, devices=1, progress=lambda _: shutil.rmtree(folder))


# What a sweep recognises as the same

RATE = 1.0


@jax.jit
def inner(x):
    return x * RATE


class Model:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, key, x, data):
        return jax.lax.scan(lambda carry, _: (carry * self.factor, None), x, None, length=1)[0]

    __hash__ = None


def test_a_changed_global_attribute_or_callback_counts(monkeypatch):
    model = Model(0.0)
    ones, like = np.ones(2, np.float32), jax.ShapeDtypeStruct((), np.float32)
    for factor in (1.0, 100.0):
        monkeypatch.setitem(globals(), "RATE", factor)
        model.factor = factor
        host = lambda key, x, data: jax.pure_callback(lambda x: x * np.float32(RATE), like, x)  # noqa: E731
        for changed in (lambda key, x, data: x * RATE, lambda key, x, data: inner(x), model, host):
            np.testing.assert_array_equal(sweep(changed, ones).outputs, np.full((2, 3), factor))


def test_the_fit_is_traced_once_and_the_same_computation_compiled_once():
    traces, compiled = [], []

    def fit_with(table):
        def counted(key, hyperparams, data):
            traces.append(key)
            return fit(key, hyperparams, data)["penalty"] * table[7]

        return counted

    def listen(event, seconds, **_):
        compiled.append(event) if "backend_compile" in event else None

    table = jnp.arange(20000.0)  # large enough to become an argument
    first = sweep(fit_with(table), devices=2, chunk=1).outputs
    table = table + 1
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        again = sweep(fit_with(table), seeds=[0, 2], data=DATA + 0, devices=3, chunk=1).outputs
    finally:
        jax.monitoring.clear_event_listeners()
    assert len(traces) == 2
    assert compiled == []
    np.testing.assert_allclose(again, first[..., [0, 2]] * 8 / 7, rtol=1e-6)


def test_captured_data_are_not_kept():
    class Captured(np.ndarray):
        pass

    references = []
    for number in range(3):
        table = np.full(100_000, number, np.float32).view(Captured)
        references.append(weakref.ref(table))
        sweep(lambda key, x, data, table=table: x + jnp.asarray(np.asarray(table))[0], np.ones(2))
        del table
    gc.collect()
    assert [reference() for reference in references[:-1]] == [None, None]


# Randomness, data and results


def test_keys_seeds_and_an_axis_of_seeds(expected):
    by_axis = jaxreg.grid(**GRID.axes, seed=range(3))
    assert_same(sweep(hyperparams=by_axis, seeds=None).outputs, expected)
    assert list(by_axis.axes) == ["penalty", "rate", "seed"]
    reverse = sweep(seeds=[2, 0]).outputs
    assert_same(
        jax.tree.map(lambda leaf: leaf[:, :, ::-1], reverse),
        jax.tree.map(lambda leaf: leaf[:, :, ::2], expected),
    )

    def bits(key, x, data):
        return jax.random.key_data(jax.random.clone(key))

    for impl in ("threefry2x32", "rbg"):
        key = jax.random.key(5, impl=impl)
        keys = sweep(bits, np.zeros(4), seeds=None, key=key).outputs
        for run in range(4):
            np.testing.assert_array_equal(
                keys[run], jax.random.key_data(jax.random.fold_in(key, run))
            )
    large = sweep(bits, np.zeros(1), seeds=[3, 2**32 - 1]).outputs
    np.testing.assert_array_equal(large[0], [[0, 3], [0, 2**32 - 1]])
    for count in (np.int64(2), np.array(2), jnp.asarray(2)):
        assert sweep(bits, np.zeros(1), seeds=count).outputs.shape == (1, 2, 2)


def test_typed_keys_go_in_and_out(tmp_path):
    base = jax.random.key(3, impl="rbg")
    start = jax.random.split(base, 4)

    def drawn(key, hyperparams, data):
        return jax.random.fold_in(hyperparams["start"], 1), jax.random.bits(data, (2,))

    for _ in range(2):  # the second time from the folder
        found = sweep(drawn, jaxreg.grid(start=start), base, folder=tmp_path)
        keys = jax.random.key_data(found.outputs[0])
        assert_same(keys[2, 1], jax.random.key_data(jax.random.fold_in(start[2], 1)))
        assert_same(found.outputs[1][0, 0], jax.random.bits(base, (2,)))
        assert found.dataset()["0"].shape == (4, 3, 4)


@pytest.mark.parametrize("at_once", [1, 2])
def test_trees_python_numbers_and_penalties(at_once):
    found = sweep(
        lambda key, pair, data: {"number": 3, "sum": pair[0].value(data) + pair[1].sum()},
        (jaxreg.ElasticNet(STRENGTHS, np.full(3, 0.5)), np.ones((3, 2))),
        np.ones(4, np.float32),
        at_once=at_once,
        seeds=None,
    )
    np.testing.assert_array_equal(found.outputs["number"], [3, 3, 3])
    np.testing.assert_allclose(found.outputs["sum"], 4 * STRENGTHS + 4)  # 4 (λ₁ + 0.5) + 2


def test_diverged_runs_are_named_and_others_untouched(expected):
    def sometimes(key, hyperparams, data):
        bad = (hyperparams["penalty"].strength == 0.5) & (hyperparams["rate"] > 0.07)
        return jax.tree.map(lambda leaf: jnp.where(bad, jnp.nan, leaf), fit(key, hyperparams, data))

    found = sweep(sometimes)
    bad = np.zeros((3, 2, 3), bool)
    bad[2, 1] = True
    np.testing.assert_array_equal(found.diverged, bad)
    named = "penalty = 0.5, rate = 0.1, seed = 0; penalty = 0.5, rate = 0.1, seed = 1; "
    assert str(found).startswith(f"18 runs (penalty 3 × rate 2 × seed 3), 3 diverged: {named}")
    np.testing.assert_array_equal(found.outputs["w"][~bad], expected["w"][~bad])
    infinite = np.array([0.0, np.nan, np.inf], np.float32)
    found = sweep(lambda key, x, data: jax.lax.complex(1.0, x), infinite, seeds=None)
    np.testing.assert_array_equal(found.diverged, [False, True, True])
    found = sweep(lambda key, x, _: x, infinite, seeds=None, diverged=lambda x: x == np.inf)
    np.testing.assert_array_equal(found.diverged, [False, False, True])


def test_the_dataset_is_labelled_and_can_be_saved(tmp_path):
    xr = pytest.importorskip("xarray")

    def outputs(key, hyperparams, data):
        narrow = jnp.full(2, hyperparams["rate"], jnp.bfloat16)
        return {"rate": narrow, "seed": narrow[0], "a": {"b": narrow}, "a.b": -narrow}

    strengths = jnp.array([0.5, 1.0], jnp.bfloat16)
    axis = {"blocks/*": jaxreg.L1(strengths), "head": jaxreg.ElasticNet(strengths, 0.1)}
    found = sweep(outputs, jaxreg.grid(penalty=axis, rate=RATES), folder=tmp_path / "sweep")
    again = sweep(outputs, jaxreg.grid(penalty=axis, rate=RATES), folder=tmp_path / "sweep")
    assert found.outputs["rate"].dtype == jnp.bfloat16
    assert_same(again.outputs, found.outputs)
    dataset = again.dataset()
    assert set(dataset.data_vars) == {"rate_output", "seed_output", "a.b", "a.b_output"}
    labels = {"penalty.blocks.*.strength", "penalty.head.l1_strength", "penalty.head.l2_strength"}
    assert set(dataset.coords) == {*labels, "rate", "seed"}
    np.testing.assert_array_equal(dataset["penalty.head.l1_strength"], [0.5, 1.0])
    np.testing.assert_array_equal(dataset["rate"], RATES)
    np.testing.assert_allclose(
        dataset["seed_output"].isel(rate=1, penalty=0, seed=2), 0.1, rtol=1e-2
    )
    dataset.to_netcdf(tmp_path / "runs.nc")
    assert xr.load_dataset(tmp_path / "runs.nc").identical(dataset)


def test_an_idle_sweep_is_warned_of_once():
    from jaxreg._sweep.watching import IdleCheck

    clock = iter(np.arange(1000.0))
    idle = IdleCheck(lambda: next(clock), lambda: 0.0)
    with pytest.warns(RuntimeWarning, match="no CPU time was used .*PJRT_NPROC=8") as caught:
        any(idle.check(progressed=False) for _ in range(300))
    assert len(caught) == 1
    busy = IdleCheck(lambda: next(clock), iter(np.arange(0.0, 900.0, 0.9)).__next__)
    for _ in range(300):
        busy.check(progressed=False)


# Under a mesh that the program has set

ROWS = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)


def recipe(params, epochs):
    def loss(params, rows):
        return jnp.mean(jnp.square((rows["X"] @ params["kernel"])[:, 0] - rows["y"]))

    options = {"epochs": epochs, "batch_size": 8 if epochs == 2 else None}
    return jaxreg.Recipe(loss, params, jaxreg.L1, lambda p: jaxreg.prox_adam(1e-2, p), **options)


def named(rows):
    return {"X": rows, "y": rows[:, 0]}


def shrunk(rows, start):
    def fit(key, penalty, data):
        return penalty.prox(data, 1.0).sum(0) + jax.random.normal(key) + start["kernel"].sum()

    return sweep(fit, jaxreg.L1(np.geomspace(0.01, 1, 3)), rows).outputs


LADDER = np.geomspace(0.01, 1, 3)
CALLS = {
    "sweep": shrunk,
    "fit_path": lambda rows, start: jaxreg.fit_path(recipe(start, 2), named(rows), LADDER).record[
        "loss"
    ],
    "cross_validate_path": lambda rows, start: jaxreg.cross_validate_path(
        recipe(start, 2), named(rows), LADDER, folds=2
    ).record["loss"],
    "strength_grid": lambda rows, start: jaxreg.strength_grid(
        recipe(start, 20), named(rows), start=0.1, count=3
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_under_a_mesh_with_sharded_data(call, kind):
    inputs = ROWS, {"kernel": np.ones((4, 1), np.float32)}
    expected = CALLS[call](*inputs)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        found = CALLS[call](*jax.device_put(inputs, NamedSharding(mesh, P("data"))))
        assert jax.sharding.get_mesh() == mesh
        with pytest.raises(ValueError, match="at least one array"):
            sweep(lambda *_: ())
        assert jax.sharding.get_mesh() == mesh
    np.testing.assert_array_equal(found, expected)
