"""A study of nothing, which tests run, kill and resume: `python toy.py OUT LOG SLEEP [STRENGTHS]`.

Every run of its sweep writes a line to LOG and takes SLEEP seconds.
"""

import dataclasses
import os
import resource
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxreg
from experiments import lab
from experiments.claims import above, below


@dataclasses.dataclass(frozen=True)
class Settings:
    log: str = ""
    sleep: float = 0.0
    strengths: tuple[float, ...] = (0.0, 1.0, 4.0)
    seeds: int = 3


def train(settings, session):
    def note(value):
        time.sleep(settings.sleep)
        with open(settings.log, "a") as file:
            file.write("run\n")
        return value

    def fit(key, run, data):
        weights = data + 0.1 * jax.random.normal(key, data.shape)
        zeros = jnp.mean(run["penalty"].prox(weights, 1.0) == 0)
        if settings.log:
            zeros = jax.pure_callback(note, zeros, zeros)
        return {"zeros": zeros, "diverged": run["penalty"].strength > 1e6}

    penalty = jaxreg.L1(jnp.array(settings.strengths))
    grid = jaxreg.grid(penalty=penalty, seed=range(settings.seeds))
    runs = session.sweep(fit, grid, jnp.arange(5.0), chunk=1)
    return runs.dataset()


def evaluate(results):
    zeros = results["toy"]["zeros"]
    strongest = 100 * zeros.isel(penalty=-1).values
    return [
        above("A large λ gives zeros.", "Share of zeros.", strongest, 50, "%"),
        below("It gives few.", "Share of zeros.", strongest, 50, "%"),
    ]


def draw(results):
    figure = Figure()
    figure.subplots().plot(results["toy"]["zeros"].mean("seed"))
    return figure


STUDY = lab.Study(
    "toy",
    "What L1 does to five numbers",
    Settings(),
    sweeps={"toy": train},
    claims=[lab.Claim("zeros", "Zeros", "L1 makes zeros | ones.", evaluate, draw, "Zeros.")],
    pictures=[lab.Picture("plain", "A picture", draw, "Zeros again.")],
    tabulate=lambda results: [
        lab.Table(["a|b"], [[str(np.round(results["toy"]["zeros"].values.sum(), 3))]], "A table."),
        "A paragraph.",
    ],
)

if __name__ == "__main__":
    out, log, sleep, *strengths = sys.argv[1:]
    if limit := os.environ.get("LARGEST_FILE"):  # in bytes: a disk that is full
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    settings = Settings(log, float(sleep))
    if strengths:
        settings = dataclasses.replace(settings, strengths=tuple(map(float, strengths)))
    lab.run(STUDY, settings, lab.Options(out=Path(out), cache=None, devices=1), "toy")
