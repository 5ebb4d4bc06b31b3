"""The registry of studies: the name of each study's folder, one in a line.

Everything about a study is in its folder, and the folder's `__init__` declares `STUDY`. No study
imports another's folder.
"""

import importlib

from experiments.study import Study

STUDIES = (
    "l1_l2",
    "strength",
    "relevance",
    "stability",
    "bias",
    "baselines",
    "images",
    "path",
    "published",
)  # fmt: skip


def load() -> list[Study]:
    """Loads every study, in the order of the list; the first one is what `python -m experiments`
    runs.
    """
    return [importlib.import_module(f"{__name__}.{name}").STUDY for name in STUDIES]
