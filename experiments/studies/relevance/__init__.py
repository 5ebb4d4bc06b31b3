"""Which inputs are kept, and what that is worth, as the share of irrelevant inputs grows."""

from experiments.studies.relevance import linear, network
from experiments.studies.relevance.claims import CLAIMS
from experiments.studies.relevance.settings import QUICK, Settings
from experiments.study import Study, Sweep

STUDY = Study(
    name="relevance",
    summary="Which inputs are kept, and when that pays",
    description="Tests four claims on digits with irrelevant columns and on linear models: L1 selects features; L1 is "
    "preferable where few features matter and L2 where all do; L2 selects none; group L2 selects inputs better.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(Sweep("linear", linear.count, linear.train_all), Sweep("network", network.count, network.train_all)),
    claims=CLAIMS,
    suite="claims",
)
