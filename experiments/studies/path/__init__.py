"""Regularization paths: their cost, the choice of λ, and the small network."""

from experiments.studies.path import problem, sweep
from experiments.studies.path.claims import CLAIMS
from experiments.studies.path.figures import norms
from experiments.studies.path.settings import DIGITS, Settings, defaults
from experiments.studies.path.table import choice, tabulate
from experiments.study import Figure, Study, Sweep

STUDY = Study(
    name="path",
    summary="Regularization paths, the choice of λ, and the small network",
    description="Fits networks for a whole grid of λ, each from its neighbour's solution, on "
    "digits with irrelevant columns "
    "or on Fashion-MNIST. Chooses λ by cross-validation or held-out rows with the rule of one "
    "standard error, refits, cuts "
    "dead inputs and units out, and times inference. Compares the cost and the objectives with "
    "training from scratch.",
    settings=Settings(),
    quick=defaults(DIGITS, quick=True),
    sweeps=(Sweep("path", sweep.count_runs, sweep.fit_paths),),
    claims=CLAIMS,
    figures=(
        Figure(
            name="path-norms",
            title="Norms of inputs along the path",
            draw=norms,
            caption="Each line is an input's norm on the path, before refitting, for the first "
            "seed; above, the number of "
            "inputs that are left. The dotted line marks the λ that is chosen.",
        ),
    ),
    tabulate=tabulate,
    excerpts={"choice": choice},
    variant=lambda settings: settings.data,
    check=problem.load,
    adapt=lambda typed, quick: defaults(typed.data, quick),
)
