"""Reads the saved results of one study, so that its claims and figures can be made again without
training.

saved = load_saved(study, Path("results/strength"), quick=False)
saved.results["strength"]          # the dataset as the sweep returned it
saved.provenance["command"]        # the command that trained
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from experiments.results.folders import MARKER
from experiments.results.store import load_dataset, load_json
from experiments.settings import SettingError, require
from experiments.study import Study

TYPES = {
    "command": str, "config": dict, "versions": dict, "devices": list, "seconds": float | int,
    "study": str, "quick": bool,
}  # fmt: skip
"""The types of the entries that make up the provenance in `study.json`."""
REMEDY = "run the command without --redraw first"


class Saved(NamedTuple):
    """The saved results of a study.

    Attributes:
        provenance: the entries of `study.json` about the run that trained: command, config,
            versions and so on.
        results: the datasets by the names of their sweeps.
    """

    provenance: dict[str, Any]
    results: dict[str, xr.Dataset]


def load_saved(study: Study, folder: Path, quick: bool) -> Saved:
    """Reads the results of a study.

    Args:
        study: the study.
        folder: its results folder.
        quick: whether the results must be from a quick run; otherwise they must be from a full run.

    Returns:
        The provenance and the datasets.

    Raises:
        SettingError: there are no results, they are from another study or from another kind of run,
            or a dataset is missing or cannot be read.
    """
    entries = load_json(folder / MARKER)
    what = f"results of {study.name} in {folder}"
    require(bool(entries), "redraw", what, f"none; {REMEDY}")
    damaged = [
        name for name, expected in TYPES.items() if not isinstance(entries.get(name), expected)
    ]
    require(
        not damaged,
        "redraw",
        what,
        f"a {MARKER} without a valid entry {' and '.join(damaged)}; {REMEDY}",
    )
    require(entries["study"] == study.name, "redraw", what, f"results of {entries['study']}")
    kinds = ("a quick run", "a full run") if quick else ("a full run", "a quick run")
    advice = "leave out --quick" if quick else "add --quick"
    require(
        entries["quick"] is quick,
        "redraw",
        f"results of {kinds[0]} in {folder}",
        f"those of {kinds[1]}; {advice}",
    )
    provenance = {name: entries[name] for name in TYPES}
    return Saved(
        provenance, {sweep.name: load_sweep(folder / f"{sweep.name}.nc") for sweep in study.sweeps}
    )


def load_sweep(path: Path) -> xr.Dataset:
    """The saved dataset of a sweep; raises a SettingError if it cannot be read."""
    require(path.is_file(), "redraw", f"the dataset {path}", f"no such file; {REMEDY}")
    try:
        return load_dataset(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        got = f"{path}, which cannot be read ({' '.join(reason.split())}); {REMEDY}"
        raise SettingError(f"redraw: expected a netCDF dataset, got {got}") from error


def check_settings(settings: Any, defaults: Any, saved: Saved, folder: Path) -> None:
    """Checks that no settings were typed, or only those that the results were made with.

    Args:
        settings: the settings as typed.
        defaults: the settings if nothing is typed.
        saved: the saved results.
        folder: their folder.

    Raises:
        SettingError: other settings were typed, which only another training could use.
    """
    typed = json.loads(json.dumps(dataclasses.asdict(settings), default=str))
    different = [
        name.replace("_", "-")
        for name, value in typed.items()
        if saved.provenance["config"].get(name) != value
    ]
    what = f"no settings, or those that {folder} was made with"
    got = (
        f"other values of {', '.join(different)}; leave them out, or run without --redraw to "
        "use them"
    )
    require(settings == defaults or not different, "redraw", what, got)
