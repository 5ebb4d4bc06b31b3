"""How stable L1 is: weights during optimization, and the selection among correlated columns."""

from experiments.studies.stability import bootstrap, oscillation
from experiments.studies.stability.claims import CLAIMS
from experiments.studies.stability.settings import QUICK, Settings
from experiments.study import Study, Sweep

STUDY = Study(
    name="stability",
    summary="How stable L1 is",
    description="Tests the claim that L1 is unstable: how much weights oscillate around 0 with "
    "the coupled subgradient and "
    "with the proximal step, and how much the selected columns change between bootstrap resamples.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("oscillation", oscillation.count_seeds, oscillation.run_problems),
        Sweep("bootstrap", bootstrap.count_data_sets, bootstrap.bootstrap_data_sets),
    ),
    claims=CLAIMS,
    suite="claims",
)
