"""L1 and L2 beside weight decay."""

from experiments.studies.baselines import pairs, tilt
from experiments.studies.baselines.claims import CLAIMS
from experiments.studies.baselines.settings import QUICK, Settings
from experiments.study import Study, Sweep

STUDY = Study(
    name="baselines",
    summary="L1 and L2 beside weight decay",
    description="Compares L2 in the loss with weight decay, measures whether decoupling makes the best λ independent of the "
    "learning rate, and what multiplying the loss changes.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(Sweep("pairs", pairs.count, pairs.train_all), Sweep("tilt", tilt.count, tilt.train_all)),
    claims=CLAIMS,
)
