"""What grows and shrinks with λ: zeros, norms, and overfitting, on the digits."""

from experiments.studies.strength import ridge, sweep
from experiments.studies.strength.claims import CLAIMS
from experiments.studies.strength.settings import QUICK, Settings
from experiments.study import Study, Sweep

STUDY = Study(
    name="strength",
    summary="What grows and shrinks with λ",
    description="Tests four claims on networks that learn scikit-learn's digits: L1 gives exact zeros; L2 shrinks all "
    "weights and makes none zero; a larger λ makes the norm smaller; both reduce overfitting.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("strength", sweep.count, sweep.train_all),
        Sweep("ridge", lambda settings: settings.ridge.seeds, ridge.train),
    ),
    claims=CLAIMS,
    suite="claims",
)
