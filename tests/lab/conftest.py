"""Every study's quick run, once for all test processes, for all tests of studies."""

import dataclasses
import os
from pathlib import Path

import filelock
import pytest

from experiments import datasets, lab
from experiments.studies import STUDIES

SMALL = {
    "images": {"hidden": (32, 16), "epochs": 4, "shares": (0.2, 0.05)},
    "path": {"noise": 64, "hidden": (16,), "strengths": 5, "penalties": ("group log-sum",)},
    "relevance": {"network": {"shares": (0.0, 0.9)}},
}
"""Settings that are smaller than those of `--quick`, by study."""


def changed(settings, changes):
    parts = {
        name: changed(getattr(settings, name), value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(settings, **parts)


def settings_of(study):
    typed = study.settings
    if study.name == "images":
        typed = dataclasses.replace(typed, data="mnist-5000")
    if study.name in ("language", "units"):
        typed = dataclasses.replace(typed, text=str(Path(__file__).parents[2] / "README.md"))
    return changed(study.defaults(typed, True), SMALL.get(study.name, {}))


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """The result file of each study, by the study's name."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    options = lab.Options(out=root / "results", devices=2, cache=None, quick=True)
    places: dict[str, Path] = {}
    for study in by_process(STUDIES):
        if study.name == "published" and not datasets.FASHION.is_dir():
            continue
        settings = settings_of(study)
        place = options.folder / f"{study.label(settings)}.nc"
        with filelock.FileLock(root / f"{study.name}.lock"):
            if not place.exists():
                lab.run(study, settings, options, f"python -m experiments {study.name} --quick")
        places[study.name] = place
    return places


def by_process(studies):
    """The studies in an order in which each test process begins with others."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return sorted(studies, key=lambda study: (studies.index(study) - number) % count)
