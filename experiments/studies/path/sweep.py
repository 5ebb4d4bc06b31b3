"""Fits the paths, chooses λ, and makes the small networks.

For each penalty: a grid of λ up to where the network is empty; its cross-validation, or paths
scored on held-out rows; paths on all training rows with several seeds, each λ refitted; and
networks trained from scratch for every λ, to compare. λ is chosen by the refitted networks'
accuracy with the rule of one standard error. The chosen networks are compacted and timed.
"""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import xarray as xr

import jaxreg
from experiments.datasets import Rows
from experiments.layout import described
from experiments.networks import initial, kernels_of
from experiments.settings import Training
from experiments.studies.path import smaller
from experiments.studies.path.problem import (
    SPLIT_SEED,
    Problem,
    load,
    optimizer_of,
    penalty_of,
    refitting,
)
from experiments.studies.path.settings import Settings
from experiments.studies.path.singles import single_networks
from experiments.study import Session
from experiments.training import accuracy, train_state

SCORE = "refitted_accuracy"
"""What λ is chosen by."""
FIRST_KERNEL = "layers/0/kernel"
SMALL = 1e-4
"""Where the search for the largest λ begins."""
TEXTS = {
    "penalty": ("penalty", "1"),
    "strength": ("strength λ", "nats per unit of the penalty"),
    "place": ("position on the grid of λ, from weak to strong", "1"),
    "repeat": ("fold of the cross-validation, or seed", "1"),
    "score": ("accuracy of the refitted network on rows that are not trained on", "1"),
    "score_live": ("inputs with a weight that is not 0, in the network that is scored", "count"),
    "objective": ("mean cross-entropy of the training rows plus penalty", "nats"),
    "scratch_objective": ("the same for a network trained from scratch", "nats"),
    "epochs": ("epochs on the path, refitting left out", "count"),
    "kept": ("share of weights that are not 0 and lead to an output", "1"),
    "live": ("inputs with a weight that is not 0", "count"),
    "unrefitted_accuracy": ("accuracy on test rows before refitting", "1"),
    "test_accuracy": ("accuracy on test rows", "1"),
    "scratch_accuracy": (
        "accuracy on test rows of a network trained from scratch, not refitted",
        "1",
    ),
    "norms": ("norm of the weights that leave an input, first seed", "1"),
    "best": ("position of the λ with the best mean score", "1"),
    "chosen": ("position of the largest λ within one standard error of the best", "1"),
}


def count_runs(config: Settings) -> int:
    """Number of paths, and of networks that are trained from scratch."""
    scratch = config.strengths * config.seeds if config.scratch_epochs else 0
    return len(config.penalties) * (config.folds + config.seeds + scratch)


def fit_paths(config: Settings, session: Session) -> xr.Dataset:
    """Fits every path.

    Returns:
        The variables in `TEXTS`, those of `smaller.TEXTS`, and, if the images study has results on
        the same data, those of `singles.TEXTS`.
    """
    problem = load(config)
    parts = [fit_penalty(problem, config, session, name) for name in config.penalties]
    dataset = xr.concat(parts, xr.DataArray(list(config.penalties), dims="penalty", name="penalty"))
    dataset = dataset.assign_coords(seed=np.arange(config.seeds), place=np.arange(config.strengths))
    dataset = dataset.merge(single_networks(config)) if config.images.is_dir() else dataset
    dataset = dataset.assign_attrs(
        data=config.data,
        widths=problem.widths,
        folds=config.folds,
        training=config.scratch_epochs,
        refit=config.refit_epochs,
    )
    return described(dataset, {**TEXTS, **smaller.TEXTS})


def recipe_of(problem: Problem, config: Settings, name: str) -> jaxreg.Recipe:
    """How the paths of all rows and of folds are trained."""
    return jaxreg.Recipe(
        problem.loss,
        problem.start,
        penalty_of(name, config),
        optimizer_of(config),
        mask=jaxreg.kernels,
        batch_size=config.batch_size,
        epochs=config.epochs,
        first_epochs=config.first_epochs,
        passes=config.passes,
        metrics=problem.metrics,
        refit_epochs=config.refit_epochs,
        refit_optimizer=refitting(config, len(problem.train.labels)),
    )


def fit_penalty(problem: Problem, config: Settings, session: Session, name: str) -> xr.Dataset:
    """Fits the paths of one penalty, chooses λ and makes the small networks."""
    recipe = recipe_of(problem, config, name)
    strengths = jaxreg.strength_grid(
        dataclasses.replace(recipe, first_epochs=None),
        problem.train,
        count=config.strengths,
        ratio=config.ratio,
        start=SMALL,
        epochs=1,
    )
    part = name.replace(" ", "-").lower()
    options: dict[str, Any] = {"devices": session.devices, "progress": session.advance}

    def saved(what: str) -> Any:
        return None if session.folder is None else session.folder / part / what

    path = jaxreg.fit_path(
        recipe,
        problem.train,
        strengths,
        **options,
        validation=problem.validation,
        seeds=config.seeds,
        folder=saved("paths"),
    )
    if config.folds:
        tested = jaxreg.cross_validate_path(
            recipe,
            problem.train,
            strengths,
            **options,
            folds=config.folds,
            split_seed=SPLIT_SEED,
            folder=saved("folds"),
        )
        scores, live = tested.scores(SCORE), tested.record["live_inputs"][FIRST_KERNEL][:, 0]
    else:
        scores, live = path.record[SCORE], path.record["live_inputs"][FIRST_KERNEL]
    best, chosen = (
        jaxreg.select_strength(strengths, scores, rule, largest=True) for rule in ("best", "one_se")
    )
    record = path.record
    variables: dict[str, Any] = {
        "strength": ("place", strengths),
        "score": (("repeat", "place"), scores),
        "score_live": (("repeat", "place"), live),
        "objective": (("seed", "place"), record["objective"]),
        "epochs": (("seed", "place"), record["epochs"]),
        "kept": (("seed", "place"), record["refitted_kept"]),
        "live": (("seed", "place"), record["live_inputs"][FIRST_KERNEL]),
        "unrefitted_accuracy": (("seed", "place"), problem.accuracies(path.params)),
        "test_accuracy": (("seed", "place"), problem.accuracies(path.refitted)),
        "norms": (("place", "input"), np.linalg.norm(kernels_of(path.params)[0][0], axis=-1)),
        "best": best,
        "chosen": chosen,
        **smaller.compacted(problem, config, path, chosen),
    }
    if config.scratch_epochs:
        found = train_scratch(problem, config, session, name, strengths, f"{part}/scratch")
        variables |= {
            f"scratch_{key}": (("seed", "place"), values) for key, values in found.items()
        }
    return xr.Dataset(variables)


def train_scratch(
    problem: Problem,
    config: Settings,
    session: Session,
    name: str,
    strengths: np.ndarray,
    part: str,
) -> dict[str, np.ndarray]:
    """Trains a network from scratch for every λ and seed; returns `objective` and `accuracy`,
    (seeds, strengths).
    """
    grid = jaxreg.grid(strength=strengths.astype(np.float32), seed=range(config.seeds))
    fit = functools.partial(train_network, problem=problem, config=config, name=name)
    runs = session.sweep(fit, grid, (problem.train, problem.test), part=part)
    return {key: np.asarray(values).T for key, values in runs.outputs.items()}


def train_network(
    key: jax.Array, run: Any, rows: tuple[Rows, Rows], problem: Problem, config: Settings, name: str
) -> dict[str, jax.Array]:
    """Trains one network from scratch with the optimizer of the path."""
    train, test = rows
    model_key, order_key = jax.random.split(key)
    structure, params = initial(problem.widths, model_key)
    penalty = penalty_of(name, config)(run["strength"])
    kernels = jaxreg.kernels(params)
    penalties = jax.tree.map(lambda keep: penalty if keep else None, kernels)
    settings = Training(config.scratch_epochs, config.batch_size, config.learning_rate)
    params, _ = train_state(
        structure, params, lambda _: optimizer_of(config)(penalties), order_key, train, settings
    )
    objective = problem.loss(params, train) + jaxreg.penalty_value(penalties, params)
    return {"objective": objective, "accuracy": accuracy(structure, params, test)}
