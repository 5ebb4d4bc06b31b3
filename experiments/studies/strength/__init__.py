"""The effects of a growing λ on a network: zeros, smaller norms and less overfitting, on the
digits.
"""

from experiments.studies.strength import ridge, sweep
from experiments.studies.strength.claims import CLAIMS
from experiments.studies.strength.settings import QUICK, Settings
from experiments.study import Study, Sweep

STUDY = Study(
    name="strength",
    summary="Zeros, norms and overfitting as λ grows",
    description="Tests four claims on networks trained on scikit-learn's digits: L1 gives exact "
    "zeros; L2 shrinks all "
    "weights and makes none zero; a larger λ makes the norm smaller; both penalties reduce "
    "overfitting.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("strength", sweep.count_networks, sweep.train_networks),
        Sweep("ridge", ridge.count_designs, ridge.solve_designs),
    ),
    claims=CLAIMS,
    suite="claims",
)
