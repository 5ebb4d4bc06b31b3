"""The registry of studies: a line for each, the name of its folder.

Everything about a study is in its folder, whose `__init__` declares `STUDY`. No study imports another's folder.
"""

import importlib

from experiments.study import Study

STUDIES = (
    "l1_l2",
    "strength",
    "relevance",
    "stability",
    "baselines",
    "images",
)  # fmt: skip


def load() -> list[Study]:
    """Every study, in the order of the list; the first is the main job."""
    return [importlib.import_module(f"{__name__}.{name}").STUDY for name in STUDIES]
