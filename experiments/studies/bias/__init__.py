"""What L1 costs besides zeros: the weights that it keeps are too small, and what refitting and
concave penalties change.
"""

from experiments.studies.bias import network, regression
from experiments.studies.bias.claims import CLAIMS
from experiments.studies.bias.settings import QUICK, Settings
from experiments.studies.bias.table import tabulate
from experiments.study import Study, Sweep

STUDY = Study(
    name="bias",
    summary="How much L1 shrinks the weights that it keeps",
    description="Tests the claim that L1 pays for its zeros with bias, in linear models with "
    "known coefficients and in "
    "networks on scikit-learn's digits: how much L1, MCP and log-sum shrink the weights that they "
    "keep, and what refitting "
    "with the zeros held changes.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("regression", regression.count_data_sets, regression.fit_data_sets),
        Sweep("network", network.count_networks, network.train_networks),
    ),
    claims=CLAIMS,
    tabulate=tabulate,
    suite="claims",
)
