"""The folder: begun by one sweep, tied to it, on the disk, shared without mixing."""

import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from jaxreg._sweep import store

IDENTITY = {
    "format": store.FORMAT,
    "program": "a",
    "data": "b",
    "jax": "1",
    "jaxlib": "1",
    "layout": {"chunk": 8},
}


def times(factor, folder, runs=3):
    return jaxreg.sweep(
        lambda key, x, data: x * factor, np.arange(float(runs)), folder=folder
    ).outputs


def test_chunks_are_tied_to_their_sweep_without_the_manifest(tmp_path):
    times(2.0, tmp_path)
    (tmp_path / "manifest.json").unlink()
    np.testing.assert_array_equal(times(3.0, tmp_path), [0, 3, 6])
    (tmp_path / "manifest.json").unlink()
    np.testing.assert_array_equal(times(2.0, tmp_path), [0, 2, 4])


def test_a_manifest_is_made_once(tmp_path, monkeypatch):
    """The other sweep begins between the look and the making."""
    monkeypatch.setattr(store, "make_folder", lambda folder: write_other(folder))
    with pytest.raises(jaxreg.SweepMismatchError, match=r"\(program: "):
        store.Chunks(tmp_path, IDENTITY)
    assert json.loads((tmp_path / "manifest.json").read_text())["program"] == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def write_other(folder):
    (folder / "manifest.json").write_text(json.dumps({**IDENTITY, "program": "other"}))


def test_a_file_system_without_links_makes_a_manifest_once_too(tmp_path, monkeypatch):
    def unsupported(source, target):
        raise OSError(store.errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", unsupported)
    store.Chunks(tmp_path, IDENTITY)
    with pytest.raises(FileExistsError):
        store.write_whole(tmp_path / "manifest.json", b"", exclusive=True)
    assert json.loads((tmp_path / "manifest.json").read_text()) == IDENTITY


RACE = """
import sys, time, jax, numpy as np
jax.config.update("jax_platforms", "cpu")
import jaxreg
factor, folder, start = float(sys.argv[1]), sys.argv[2], float(sys.argv[3])
time.sleep(max(0.0, start - time.time()))
try:
    runs = jaxreg.sweep(lambda key, x, data: x * factor, np.arange(64.0), folder=folder, chunk=1)
    print("results", np.array_equal(runs.outputs, factor * np.arange(64.0)))
except jaxreg.SweepMismatchError:
    print("refused")
"""


@pytest.mark.parametrize(
    ("factors", "outcomes"), [((2, 3), ["refused", "results True"]), ((2, 2), ["results True"] * 2)]
)
def test_sweeps_begun_together_in_one_folder_do_not_mix(tmp_path, factors, outcomes):
    for attempt in range(3):
        start = time.time() + 2.5
        words = [
            [sys.executable, "-c", RACE, str(factor), str(tmp_path / str(attempt)), str(start)]
            for factor in factors
        ]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in words]
        assert sorted(process.communicate(timeout=60)[0].strip() for process in both) == outcomes


def test_an_earlier_format_and_foreign_manifests_are_refused(tmp_path):
    manifest = tmp_path / "manifest.json"
    old = {
        "program": "1",
        "hyperparams": "2",
        "seeds": "3",
        "data": "4",
        "layout": "8 runs a chunk",
        "jax": "0.10.2",
    }
    manifest.write_text(json.dumps(old))
    with pytest.raises(
        jaxreg.SweepMismatchError, match="was begun by an earlier version of jaxreg"
    ):
        times(2.0, tmp_path)
    for foreign in (b"[1]", b"{}", b"\xff\xfe", b"", b"3", b'{"format": 2, "layout": []}'):
        manifest.write_bytes(foreign)
        with pytest.raises(
            jaxreg.SweepMismatchError, match="is damaged or was not written by a sweep"
        ):
            times(2.0, tmp_path)
        assert manifest.read_bytes() == foreign
    manifest.unlink()
    manifest.mkdir()
    with pytest.raises(OSError, match="manifest.json in the folder cannot be read"):
        times(2.0, tmp_path)


def test_names_of_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(ValueError, match='expected the name of a folder, got ""'):
        times(2.0, "")
    assert not list(tmp_path.iterdir())
    times(2.0, "~/sweep")
    assert (tmp_path / "home" / "sweep" / "manifest.json").exists()
    assert not Path("~").exists()


def test_the_home_of_an_unknown_user(tmp_path):
    with pytest.raises(ValueError, match="home folder that is not known"):
        times(2.0, "~no-such-user/sweep")


def test_a_relative_folder_stays_when_the_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def leave(count):
        monkeypatch.chdir(tmp_path / "elsewhere")

    jaxreg.sweep(
        lambda key, x, data: x, np.arange(3.0), folder="sweep", devices=1, chunk=1, progress=leave
    )
    assert len(list((tmp_path / "sweep").glob("chunk-*"))) == 3
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_name_is_on_the_disk_before_the_next_step(tmp_path, monkeypatch):
    events = []
    fsync, replace, link = os.fsync, os.replace, os.link

    def recorded(handle):
        kind = os.fstat(handle)
        events.append(("flush", kind.st_ino) if stat.S_ISDIR(kind.st_mode) else ("content",))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append(("named",)), replace(*paths)))
    monkeypatch.setattr(os, "link", lambda *paths: (events.append(("named",)), link(*paths)))
    folder = tmp_path / "new" / "sweep"
    times(2.0, folder)
    made = [("flush", (tmp_path / "new").stat().st_ino), ("flush", tmp_path.stat().st_ino)]
    written = [("content",), ("named",), ("flush", folder.stat().st_ino)]
    assert events == made + 2 * written


def test_a_place_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OSError, match=r"sweep: folder cannot be written \(File exists\); give it one that can"
    ):
        times(2.0, tmp_path / "file")


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def forbidden(path, content, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(store, "write_whole", forbidden)
    with pytest.raises(
        PermissionError, match=r"sweep: folder cannot be written \(Permission denied\)"
    ):
        times(2.0, tmp_path / "new")
