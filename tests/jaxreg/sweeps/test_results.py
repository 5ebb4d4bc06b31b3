"""What a sweep returns: which runs diverged, typed keys, labels; and what it does while it runs."""

import signal
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxreg
from jaxreg._sweep import watching


def test_imaginary_parts_diverge_too():
    found = jaxreg.sweep(
        lambda key, x, data: jax.lax.complex(1.0, x), np.array([0.0, np.nan, np.inf], np.float32)
    )
    np.testing.assert_array_equal(found.diverged, [False, True, True])


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("number", [3, 0.5, True, 1j], ids=str)
def test_a_python_number_is_a_result(number, at_once):
    found = jaxreg.sweep(
        lambda key, x, data: {"constant": number, "x": x}, np.ones(3, np.float32), at_once=at_once
    )
    np.testing.assert_array_equal(found.outputs["constant"], [number] * 3)
    assert found.outputs["constant"].dtype == jnp.asarray(number).dtype


def test_the_caller_says_what_diverged():
    def fit(key, x, data):
        return {"loss": x, "padding": jnp.full(3, jnp.nan)}

    losses = np.array([1.0, 1e9, 2.0], np.float32)
    assert jaxreg.sweep(fit, losses).diverged.all()
    found = jaxreg.sweep(fit, losses, diverged=lambda outputs: outputs["loss"] > 1e6)
    np.testing.assert_array_equal(found.diverged, [False, True, False])
    assert "1 diverged" in str(found)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_typed_keys_go_in_and_out(tmp_path, impl):
    base = jax.random.key(3, impl=impl)
    keys = jax.random.split(base, 4)

    def fit(key, hyperparams, data):
        return {
            "out": jax.random.fold_in(hyperparams["start"], 1),
            "drawn": jax.random.bits(data["key"], (2,)),
        }

    for _ in range(2):  # the second time from the folder
        found = jaxreg.sweep(fit, jaxreg.grid(start=keys), {"key": base}, seeds=2, folder=tmp_path)
        assert found.outputs["out"].shape == (4, 2)
        expected = jax.random.key_data(jax.random.fold_in(keys[2], 1))
        np.testing.assert_array_equal(jax.random.key_data(found.outputs["out"][2, 1]), expected)
        np.testing.assert_array_equal(found.outputs["drawn"][0, 0], jax.random.bits(base, (2,)))
        assert found.dataset()["out"].shape == (4, 2, len(expected))
    with pytest.raises(jaxreg.SweepMismatchError, match=r"\(data: "):
        jaxreg.sweep(
            fit,
            jaxreg.grid(start=keys),
            {"key": jax.random.key(4, impl=impl)},
            seeds=2,
            folder=tmp_path,
        )


def test_outputs_named_like_an_axis_are_renamed_in_the_dataset():
    found = jaxreg.sweep(
        lambda key, h, data: {
            "x": 2 * h["x"],
            "seed": h["x"] + jnp.zeros(3),
            "a": {"b": h["x"]},
            "a.b": -h["x"],
        },
        jaxreg.grid(x=[1.0, 2.0]),
        seeds=2,
    )
    dataset = found.dataset()
    assert set(dataset.data_vars) == {"x_output", "seed_output", "a.b", "a.b_output"}
    np.testing.assert_array_equal(dataset["x"], [1.0, 2.0])
    np.testing.assert_array_equal(dataset["x_output"].sel(x=2.0), 4.0)


def test_narrow_floats_come_back_from_the_folder_and_every_dataset_can_be_saved(tmp_path):
    xr = pytest.importorskip("xarray")

    def fit(key, hyperparams, data):
        kernel = hyperparams["penalty"]["blocks/*"].prox(jax.random.normal(key, (3, 2)), 1.0)
        narrow = {
            dtype.__name__: nnx.Param(kernel.astype(dtype)) for dtype in (jnp.bfloat16, jnp.float16)
        }
        return {
            "counts": jaxreg.sparsity({"blocks": {"0": {"kernel": kernel}}}),
            "state": nnx.State(narrow),
        }

    strengths = jnp.array([0.5, 1.0], jnp.bfloat16)
    grid = jaxreg.grid(penalty={"blocks/*": jaxreg.L1(strengths), "head": jaxreg.L1(strengths)})
    first, again = (jaxreg.sweep(fit, grid, seeds=2, folder=tmp_path / "sweep") for _ in range(2))
    for one, other in zip(
        jax.tree.leaves(first.outputs), jax.tree.leaves(again.outputs), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    dataset = again.dataset()
    assert {"counts.leaves.blocks.0.kernel.nonzeros", "state.bfloat16"} <= set(dataset.data_vars)
    assert {"penalty.blocks.*.strength", "penalty.head.strength", "seed"} == set(dataset.coords)
    np.testing.assert_array_equal(dataset["penalty.head.strength"], [0.5, 1.0])
    dataset.to_netcdf(tmp_path / "runs.nc")
    assert xr.load_dataset(tmp_path / "runs.nc").identical(dataset)


def interrupting(at):
    """A progress callback that sends SIGINT to its own process once so many runs are done."""
    reported = []

    def advance(count):
        reported.append(count)
        if sum(reported) == at:
            signal.raise_signal(signal.SIGINT)

    return advance


def test_ctrl_c_in_the_last_chunk_is_raised_and_the_results_are_kept(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(
        KeyboardInterrupt,
        match="stopped after 3 of 3 runs; they are saved in .*, and the same call resumes",
    ):
        jaxreg.sweep(
            lambda key, x, data: x,
            np.arange(3.0),
            folder=tmp_path,
            devices=1,
            progress=interrupting(3),
        )
    assert signal.getsignal(signal.SIGINT) is before
    reported = []
    jaxreg.sweep(
        lambda key, x, data: x, np.arange(3.0), folder=tmp_path, devices=1, progress=reported.append
    )
    assert reported == [3]


def test_ctrl_c_while_one_device_computes_its_only_chunk(tmp_path):
    """The callback runs in the program, so the signal comes while the chunk is computed."""
    sent = []

    def send(x):
        if not sent:
            sent.append(x)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return x

    def fit(key, x, data):
        return jax.pure_callback(send, jax.ShapeDtypeStruct((), x.dtype), x)

    with pytest.raises(KeyboardInterrupt, match="stopped after 3 of 3 runs"):
        jaxreg.sweep(fit, np.arange(3, dtype=np.float32), folder=tmp_path, devices=1)
    assert len(list(tmp_path.glob("chunk-*"))) == 1


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    release, inside = threading.Event(), threading.Event()

    def block(x):
        inside.set()
        release.wait(60)
        return x

    def twice():
        inside.wait(60)
        for _ in range(2):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            release.wait(0.5)

    def fit(key, x, data):
        return jax.pure_callback(block, jax.ShapeDtypeStruct((), x.dtype), x)

    sender = threading.Thread(target=twice)
    sender.start()
    try:
        with pytest.raises(KeyboardInterrupt, match="stopped after 0 of 1 runs"):
            jaxreg.sweep(fit, np.ones(1, np.float32), folder=tmp_path, devices=1)
        assert not release.is_set()
    finally:
        release.set()
        sender.join()
    assert not list(tmp_path.glob("chunk-*"))


def test_an_ignored_sigint_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        jaxreg.sweep(lambda key, x, data: x, np.arange(3.0), progress=interrupting(3))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_python_does_not_know_is_left_alone(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("the handler was changed"))
    assert jaxreg.sweep(lambda key, x, data: x, np.arange(3.0)).outputs.shape == (3,)


def test_an_idle_process_is_warned_of_once():
    clock, cpu = [0.0], [0.0]
    stall = watching.Stall(lambda: clock[0], lambda: cpu[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for second in range(200):
            clock[0] = float(second)
            cpu[0] += 0.9 if second < 60 else 0.0005
            stall()
    assert len(caught) == 1
    assert "PJRT_NPROC=8" in str(caught[0].message)


def test_a_blocked_sweep_warns(monkeypatch):
    monkeypatch.setattr(watching, "STALL_SECONDS", 0.0)
    monkeypatch.setattr(watching.Stall, "__init__", with_stopped_cpu(watching.Stall.__init__))
    release = threading.Event()

    def block(x):
        release.wait(1.0)
        return x

    def fit(key, x, data):
        return jax.pure_callback(block, jax.ShapeDtypeStruct((), x.dtype), x)

    with pytest.warns(RuntimeWarning, match="no run has finished and no CPU time was used"):
        jaxreg.sweep(fit, np.ones(2, np.float32), devices=2)


def with_stopped_cpu(init):
    return lambda self: init(self, cpu=lambda: 0.0)


def test_the_caller_s_settings_of_jax_hold_while_it_computes():
    # Programs run in a thread of their own, and such settings belong to a thread.
    with jax.enable_x64(True):
        found = jaxreg.sweep(lambda key, x, data: x + data, np.array([1.0, 2.0]), np.float64(1e-12))
    assert found.outputs.dtype == np.float64
    np.testing.assert_array_equal(found.outputs, [1.0 + 1e-12, 2.0 + 1e-12])
