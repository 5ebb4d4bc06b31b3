"""Results folders are replaced as a whole, whatever kills a run, and two runs never write to the
same folder.
"""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import stopping
from experiments.results import disk, folders
from experiments.results.store import settings_name
from experiments.settings import SettingError
from experiments.studies.l1_l2.settings import QUICK, Settings


@contextlib.contextmanager
def replacing(target):
    with (
        folders.working(folders.beside(target), print) as work,
        work.replacing(target, dict) as folder,
    ):
        yield folder


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "results"

    def write(text, fail=False):
        with (
            folders.working(folders.beside(target), print) as work,
            work.replacing(target, lambda: {"made": text}) as folder,
        ):
            (folder / "table").write_text(text)
            if fail:
                raise KeyboardInterrupt

    write("1")
    with pytest.raises(KeyboardInterrupt):
        write("2", fail=True)
    assert (target / "table").read_text() == "1"
    write("3")
    assert (target / "table").read_text() == "3"
    assert json.loads((target / folders.MARKER).read_text()) == {
        "made": "3",
        "files": ["study.json", "table"],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with replacing(tmp_path / "link") as folder:
        (folder / "table").write_text("1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "table").read_text() == "1"


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(
        SettingError, match="out: expected a new, empty or results folder.*which holds other files"
    ):
        folders.check_replaceable(tmp_path)
    with pytest.raises(SettingError, match="out: expected a folder, got the file"):
        folders.check_replaceable(tmp_path / "thesis.tex")
    folders.check_replaceable(tmp_path / "new")


@pytest.mark.parametrize(
    "marker", ["hi", "[]", '{"files": 3}', '{"command": "mine"}', '{"files": ["study.json"]}']
)
def test_a_file_of_the_markers_name_does_not_make_a_results_folder(tmp_path, marker):
    (tmp_path / folders.MARKER).write_text(marker)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SettingError, match=r"out: .*holds other files \(.*thesis.tex\)"):
        folders.check_replaceable(tmp_path)


def test_notes_in_a_results_folder_are_not_deleted(tmp_path):
    with replacing(tmp_path / "results") as folder:
        (folder / "table").write_text("1")
    folders.check_replaceable(tmp_path / "results")
    (tmp_path / "results" / "notes.md").write_text("an idea")
    with pytest.raises(SettingError, match=r"holds other files \(notes.md\)"):
        folders.check_replaceable(tmp_path / "results")


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_places_that_cannot_be_moved_are_refused_before_any_work(tmp_path, monkeypatch, place):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(SettingError, match="out: expected a folder that can be moved"):
        folders.check_replaceable(Path(place))


def test_a_text_file_is_written_atomically(tmp_path):
    disk.write_whole(tmp_path / "new" / "numbers.json", "1")
    assert (tmp_path / "new" / "numbers.json").read_text() == "1"
    assert (tmp_path / "new" / "numbers.json").stat().st_mode & 0o044
    with pytest.raises(OSError, match="new"):
        disk.write_whole(tmp_path / "new", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


HOLD = """
import sys, time
from pathlib import Path
from experiments.results import folders
target = Path(sys.argv[1])
with folders.working(folders.beside(target), print) as work, work.replacing(target, dict) as folder:
    (folder / "half").write_text("half")
    print("holding", flush=True)
    time.sleep(60)
"""


def test_a_running_command_is_left_alone_and_a_killed_one_is_cleaned_up(tmp_path):
    target = tmp_path / "results"
    with replacing(target) as folder:
        (folder / "table").write_text("1")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, target], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout.readline() == b"holding\n"
    with (
        pytest.raises(
            SettingError, match=f"no other run is writing to, but process {process.pid} is using"
        ),
        replacing(target),
    ):
        pass
    assert list(folders.beside(target).glob("new-*/results/half"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert folders.beside(target).exists()
    with replacing(target) as folder:
        (folder / "table").write_text("2")
    assert (target / "table").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("killed_after", [1, 2])
def test_results_that_a_killed_run_moved_aside_are_restored(tmp_path, monkeypatch, killed_after):
    target, renames, messages = tmp_path / "results", [], []
    with replacing(target) as folder:
        (folder / "table").write_text("1")
    monkeypatch.setattr(folders, "exchange", lambda *_: False)
    rename = os.replace

    class Killed(BaseException):
        pass

    def kill(source, place):
        if Path(place).suffix != ".json":
            renames.append(place)
        if len(renames) > killed_after:
            raise Killed
        rename(source, place)

    # No `finally` runs in a process that is killed.
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        patch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)
        if killed_after == 2:
            patch.setattr(folders, "flush", lambda _: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed), replacing(target) as folder:
            (folder / "table").write_text("2")
    assert target.exists() == (killed_after == 2)
    with folders.working(folders.beside(target), messages.append):
        pass
    assert (target / "table").read_text() == str(killed_after)
    restored = [f"{target}: restored, because a run was killed while it replaced this folder"]
    assert messages == (restored if killed_after == 1 else [])
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_without_an_exchange_a_folder_is_replaced_by_two_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "exchange", lambda *_: False)
    for text in ("1", "2"):
        with replacing(tmp_path / "results") as folder:
            (folder / "table").write_text(text)
    assert (tmp_path / "results" / "table").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_an_exchange_swaps_or_returns_false(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    swapped = disk.exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / ("b" if swapped else "a")).exists()


def test_files_and_folders_are_flushed_before_and_after_a_rename(tmp_path, monkeypatch):
    flushed = []

    def refuse(handle):
        flushed.append(
            os.readlink(f"/proc/self/fd/{handle}") if os.path.isdir("/proc/self/fd") else ""
        )
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(os, "fsync", refuse)
    with replacing(tmp_path / "results") as folder:
        (folder / "table").write_text("1")
    assert (tmp_path / "results" / "table").exists()
    if flushed[0]:
        assert str(folder / "table") in flushed
        assert flushed[-1] == str(tmp_path)


def test_notes_written_during_a_run_are_not_deleted(tmp_path):
    with (
        pytest.raises(SettingError, match=r"holds other files \(notes.md\)"),
        replacing(tmp_path / "results"),
    ):
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "notes.md").write_text("an idea")
    assert (tmp_path / "results" / "notes.md").read_text() == "an idea"


def test_chunks_are_kept_until_the_results_are_saved_and_others_are_named(tmp_path):
    target, messages = tmp_path / "results", []

    def attempt(name, interrupted):
        with (
            folders.working(folders.beside(target), messages.append) as work,
            work.replacing(target, dict, last=True),
        ):
            work.chunks(name).mkdir(parents=True, exist_ok=True)
            (work.chunks(name) / "chunk").touch()
            work.counted(lambda _: None)(5)
            if interrupted:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        attempt("full", True)
    kept = (
        "5 finished runs are kept, and the same command resumes from there; earlier results "
        "are unchanged"
    )
    assert caught.value.__notes__ == [kept]
    attempt("quick", False)
    assert (folders.beside(target) / "chunks" / "full" / "chunk").exists()
    assert len(messages) == 1
    assert "interrupted runs with other settings are kept in" in messages[0]
    attempt("full", False)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_runs_with_different_settings_have_different_chunks():
    name = settings_name("digits", Settings(), 2)
    assert name == settings_name("digits", Settings(), 2)
    assert (
        len({name, settings_name("digits", QUICK, 2), settings_name("digits", Settings(), 1)}) == 3
    )


def test_a_signal_while_results_are_exchanged_acts_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(stopping, "state", stopping.State())
    with pytest.raises(KeyboardInterrupt) as caught, replacing(tmp_path / "results") as folder:
        (folder / "table").write_text("1")
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
        put = folders.Work.put
        monkeypatch.setattr(
            folders.Work, "put", lambda *a: (stopping.stop(signal.SIGINT, None), put(*a))
        )
    assert (tmp_path / "results" / "table").read_text() == "1"
    assert "new results are in" in caught.value.__notes__[0]
    assert stopping.exit_status() == 130
