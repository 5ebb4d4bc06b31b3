"""Results of quick runs, which the tests of the lab share."""

import pytest

from experiments.lab import Options, run
from experiments.studies import STUDIES


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """The result file of each study's quick run, by the study's name."""
    options, places = Options(tmp_path_factory.mktemp("results"), 2, None, True), {}
    for study in STUDIES:
        if study.name in ("l1-l2", "strength"):
            run(study, study.quick, options, f"python -m experiments {study.name} --quick")
            places[study.name] = options.folder / f"{study.name}.nc"
    return places
