"""Wrong use of `grid` and `sweep`: each gets one sentence with what was expected, what came
and what to do.
"""

import json
import multiprocessing
import os
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg

GRID = {"penalty": jaxreg.L1(np.array([0.0, 1.0], np.float32))}
KEY = jax.random.key(0)
DATA = np.ones(3, np.float32)


def fit(key, hyperparams, data):
    return hyperparams["penalty"].value(data) + jax.random.normal(key)


def sweep(fit=fit, grid=GRID, data=DATA, **options):
    hyperparams = jaxreg.grid(**grid) if isinstance(grid, dict) else grid
    return jaxreg.sweep(fit, hyperparams, data, **options)


SEEDS = "seeds must be whole numbers from 0 on, up to 4294967295 (32 bits), got"
WRONG = {
    # argument: what is passed, the error, a part of its sentence
    "no axis": ({"grid": {}}, ValueError, "expected at least one axis, as in grid(penalty"),
    "a number": ({"grid": {"a": 0.1}}, ValueError, "a must have one leading axis"),
    "empty axis": ({"grid": {"a": []}}, ValueError, "a must have one leading axis"),
    "lengths": (
        {"grid": {"a": {"b": np.ones(2), "c": np.ones(3)}}},
        ValueError,
        "got lengths [2, 3]",
    ),
    "text": ({"grid": {"a": ["fast", "slow"]}}, TypeError, "a must hold numbers"),
    "large": ({"grid": {"a": [1, 2**40]}}, ValueError, "a holds integers that int32 cannot, up to"),
    "seed axis": ({"grid": {"seed": [2**40]}}, ValueError, SEEDS),
    "large seeds": ({"seeds": [2**32]}, ValueError, SEEDS),
    "negative seeds": ({"seeds": [-1, 0]}, ValueError, SEEDS),
    "fractional seeds": ({"seeds": 2.5}, ValueError, SEEDS),
    "boolean seeds": ({"seeds": [True, False]}, ValueError, SEEDS),
    "text as seeds": ({"seeds": "ab"}, ValueError, SEEDS),
    "no seeds": ({"seeds": 0}, ValueError, "seeds must have one leading axis that is not empty"),
    "seeds and key": ({"seeds": 2, "key": KEY}, ValueError, "one source of randomness, got seeds"),
    "two seeds": ({"seeds": 2, "grid": {"seed": [1]}}, ValueError, "one source of randomness"),
    "seed and key": ({"key": KEY, "grid": {"seed": [1]}}, ValueError, "got a key together with"),
    "int as key": ({"key": 0}, TypeError, "key must be one key such as jax.random.key(0), got 0"),
    "many keys": ({"key": jax.random.split(KEY)}, TypeError, "key must be one key"),
    "at_once": ({"at_once": 0}, ValueError, "at_once must be at least 1, got 0"),
    "fraction at once": (
        {"at_once": 2.5},
        TypeError,
        "at_once must be a whole number or None, got",
    ),
    "chunk": ({"chunk": -1}, ValueError, "chunk must be at least 1, got -1"),
    "text as chunk": ({"chunk": "3"}, TypeError, "chunk must be a whole number or None, got '3'"),
    "devices": ({"devices": 0}, ValueError, "devices must be at least 1, got 0"),
    "list of devices": ({"devices": [0]}, TypeError, "devices must be a whole number or None"),
    "no results": ({"fit": lambda *_: None}, ValueError, "fit must return at least one array"),
    "error in the fit": ({"fit": lambda *_: 1 / 0}, ZeroDivisionError, "division by zero"),
    "text as data": (
        {"data": {"x": "run"}},
        TypeError,
        "data must be arrays of numbers, got str at x",
    ),
    "object as data": ({"data": object()}, TypeError, "got object; fit may close over it"),
    "loaded text": ({"data": lambda: "run"}, TypeError, "data must be arrays of numbers, got str"),
    "no folder": ({"folder": ""}, ValueError, 'expected the name of a folder, got ""'),
    "home": ({"folder": "~no-such-user/a"}, ValueError, "home folder that is not known"),
    "file as folder": ({"folder": __file__}, OSError, "cannot be"),
    "client": ({"executor": "cluster"}, TypeError, "a concurrent.futures.Executor, got 'cluster'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use(case):
    options, kind, message = WRONG[case]
    with pytest.raises(kind, match=re.escape(message)):
        sweep(**options)


CHANGED = {
    "program": {"fit": lambda *inputs: jnp.sin(fit(*inputs))},
    "data": {"data": np.full(3, 2.0, np.float32)},
    "layout": {"chunk": 2},
}


@pytest.mark.parametrize("name", CHANGED)
def test_another_sweep_in_the_folder_is_named(tmp_path, name):
    sweep(folder=tmp_path, chunk=1)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        jaxreg.SweepMismatchError,
        match=rf"holds the chunks of another sweep \({name}: [^;]*\); give it another folder",
    ):
        sweep(**{"folder": tmp_path, "chunk": 1} | CHANGED[name])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_changed_constants_inputs_keys_and_versions_are_another_sweep(tmp_path, monkeypatch):
    pair = {"a": np.ones(2), "b": np.zeros(2)}
    for number, (first, second) in enumerate(
        [
            (
                {"fit": lambda *_: jnp.asarray([1.0, 2.0])},
                {"fit": lambda *_: jnp.asarray([1.5, 2.0])},
            ),
            (
                {"fit": lambda _, x, __: x["a"], "grid": pair},
                {"fit": lambda _, x, __: x["b"], "grid": pair},
            ),
            (
                {"fit": lambda *_: jnp.arange(2e4)[3:]},
                {"fit": lambda *_: jnp.asarray(np.ones(20000, np.float32))[3:]},
            ),
            (
                {"data": {"k": KEY}, "fit": lambda *_: 1.0},
                {"data": {"k": jax.random.key(1)}, "fit": lambda *_: 1.0},
            ),
        ]
    ):
        sweep(folder=tmp_path / str(number), **first)
        with pytest.raises(jaxreg.SweepMismatchError, match=r"\((program|data): "):
            sweep(folder=tmp_path / str(number), **second)
    sweep(folder=tmp_path / "jax")
    monkeypatch.setattr(jax, "__version__", "0.0.1")
    with pytest.raises(jaxreg.SweepMismatchError, match=r"\(jax: .* then, 0\.0\.1 now\)"):
        sweep(folder=tmp_path / "jax")


MANIFESTS = {
    b"[1]": "is damaged or was not written by a sweep",
    b"{}": "is damaged",
    b"\xff\xfe": "is damaged",
    b"": "is damaged",
    b'{"format": 3, "layout": []}': "is damaged",
    json.dumps({"format": 2, "program": "1", "layout": {}}).encode(): "by an earlier version",
}


@pytest.mark.parametrize("content", MANIFESTS)
def test_other_manifests_are_refused_and_kept(tmp_path, content):
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(content)
    with pytest.raises(jaxreg.SweepMismatchError, match=MANIFESTS[content]):
        sweep(folder=tmp_path)
    assert manifest.read_bytes() == content


@pytest.fixture(scope="module")
def spawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "cpu")
        yield multiprocessing.get_context("spawn")


def load_elsewhere(action):
    """Data that the caller can load; a worker runs the action first."""

    def load():
        if multiprocessing.parent_process() is not None:
            action()
        return DATA

    return load


def call_back(key, hyperparams, data):
    return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct((3,), np.float32), data)


def test_errors_of_workers_stop_the_sweep_and_say_why(spawn):
    kept = "stopped after 0 of 2 runs; nothing was saved"
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        cases = (
            (
                {"data": load_elsewhere(lambda: Path("no such disk").read_text())},
                RuntimeError,
                f"FileNotFoundError: [Errno 2] No such file or directory: 'no such disk'; {kept}",
            ),
            (
                {"data": load_unpicklable()},
                TypeError,
                "data must be a function that can be pickled",
            ),
            ({"fit": call_back}, ValueError, "fit calls back into Python (jax.pure_callback"),
            (
                {"data": load_elsewhere(lambda: os._exit(1))},
                RuntimeError,
                f"ended abruptly (killed, or out of memory); {kept}",
            ),
            (
                {},
                RuntimeError,
                "ended abruptly (killed, or out of memory); stopped before the first run",
            ),
        )
        for options, kind, message in cases:
            with pytest.raises(kind, match=re.escape(message)):
                sweep(**options, executor=executor)
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown; stopped"):
        sweep(executor=closed)


def load_unpicklable():
    generator = (number for number in range(3))
    return lambda: DATA if generator else None


def test_finished_chunks_survive_a_worker_that_fails(tmp_path):
    """Threads serve as workers; the third task is killed."""

    class Failing(ThreadPoolExecutor):
        def submit(self, function, *arguments):
            if len(list(tmp_path.glob("chunk-*"))) == 3:
                function = (1).__truediv__
                arguments = (0,)
            return super().submit(function, *arguments)

    options = {"seeds": 4, "folder": tmp_path, "chunk": 1, "devices": 1}
    with (
        Failing(1) as executor,
        pytest.raises(
            RuntimeError,
            match=r"ZeroDivisionError: .*; stopped after \d of 8 runs; they are saved in",
        ),
    ):
        sweep(executor=executor, **options)
    reported, saved = [], len(list(tmp_path.glob("chunk-*")))
    sweep(progress=reported.append, **options)
    assert 3 <= saved < 8 and reported[0] == saved


def test_processes_that_fork_are_refused():
    executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with pytest.raises(ValueError, match='got one that forks; pass mp_context=.*"spawn"'):
        sweep(executor=executor)


def test_several_processes_need_an_executor(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(RuntimeError, match="run the script in one process and pass executor="):
        sweep()
