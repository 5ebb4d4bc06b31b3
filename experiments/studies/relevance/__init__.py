"""Feature selection: which inputs L1, L2 and group L2 keep, and when that improves predictions."""

from experiments.studies.relevance import linear, network
from experiments.studies.relevance.claims import CLAIMS
from experiments.studies.relevance.settings import QUICK, Settings
from experiments.study import Study, Sweep

STUDY = Study(
    name="relevance",
    summary="Which inputs are kept, and when that improves predictions",
    description="Tests four claims on digits with irrelevant columns and on linear models: L1 "
    "selects features; L1 is "
    "preferable where few features are relevant and L2 where all are; L2 selects none; group L2 "
    "selects inputs better.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("linear", linear.count_data_sets, linear.fit_data_sets),
        Sweep("network", network.count_networks, network.train_networks),
    ),
    claims=CLAIMS,
    suite="claims",
)
