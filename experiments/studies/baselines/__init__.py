"""L1 and L2 compared with weight decay."""

from experiments.studies.baselines import pairs, tilt
from experiments.studies.baselines.claims import CLAIMS
from experiments.studies.baselines.settings import QUICK, Settings
from experiments.study import Study, Sweep

STUDY = Study(
    name="baselines",
    summary="L1 and L2 compared with weight decay",
    description="Compares L2 in the loss with weight decay, tests whether decoupling makes the "
    "best λ independent of the "
    "learning rate, and measures what multiplying the loss by a constant changes.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("pairs", pairs.count_pairs, pairs.train_pairs),
        Sweep("tilt", tilt.count_networks, tilt.train_networks),
    ),
    claims=CLAIMS,
)
