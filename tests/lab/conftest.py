"""Every study's quick run, once for all test processes, for all tests of studies."""

import dataclasses
import os
from pathlib import Path

import filelock
import pytest

from experiments import datasets, lab
from experiments.studies import STUDIES

SMALL = {"images": {"data": "mnist-5000"}}
"""Settings that differ from those of `--quick`, by study."""


def defaults_of(study):
    typed = dataclasses.replace(study.settings, **SMALL.get(study.name, {}))
    return study.defaults(typed, True)


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """The result file of each study, by the study's name."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    options = lab.Options(out=root / "results", devices=2, cache=None, quick=True)
    places: dict[str, Path] = {}
    with filelock.FileLock(root / "quick.lock"):
        for study in STUDIES:
            if study.name == "published" and not datasets.FASHION.is_dir():
                continue
            settings = defaults_of(study)
            place = options.folder / f"{study.label(settings)}.nc"
            if not place.exists():
                lab.run(study, settings, options, f"python -m experiments {study.name} --quick")
            places[study.name] = place
    return places
