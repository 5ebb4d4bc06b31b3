"""A small folder of results, as the commands write it."""

import json

import pytest
from matplotlib.figure import Figure

from experiments import claims
from experiments.results import store
from experiments.studies.l1_l2 import drawing
from experiments.studies.l1_l2.settings import Drawing, Settings
from experiments.study import Session

MADE_BY = {
    "command": "python -m experiments strength",
    "config": {"seeds": 3},
    "versions": {"jax": "0.10.2"},
    "devices": ["cpu"],
    "seconds": 12.5,
    "quick": False,
}


def chart():
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([1, 2], [3, 4])
    return figure


def saved_claim(name, **changed):
    """A claim with one test as in `study.json`, with any of its texts changed."""
    findings = [claims.above("it grows", "growth over seeds", [1.0, 2.0, 1.5], unit="%")]
    texts = {
        "name": name,
        "title": f"Title of {name}",
        "statement": "As people say.",
        "caption": "What it shows.",
    }
    outcome = {"verdict": claims.verdict_of(findings), "counts": claims.counts_of(findings)}
    return {**texts, **outcome, "findings": claims.findings_as_json(findings), **changed}


@pytest.fixture(scope="session")
def save_study():
    """Writes the folder of a study, with claims by name or as dictionaries and figures by name."""

    def save(folder, claims=(), figures=(), svg=True, **changed):
        folder.mkdir(parents=True, exist_ok=True)
        found = [saved_claim(entry) if isinstance(entry, str) else entry for entry in claims]
        drawn = [
            {
                "name": name,
                "title": f"Figure {name}",
                "caption": "A caption.",
                "numbers": ["1 of 2"],
            }
            for name in figures
        ]
        for name in (*(entry["name"] for entry in found), *figures):
            chart().savefig(folder / f"{name}.png")
            if svg:
                chart().savefig(folder / f"{name}.svg")
        saved = {
            **MADE_BY,
            "study": folder.name,
            "summary": f"Summary of {folder.name}",
            "figures": drawn,
            "claims": found,
        }
        (folder / "study.json").write_text(json.dumps({**saved, **changed}))

    return save


@pytest.fixture(scope="session")
def small():
    return Drawing(steps=600, hidden=3, strengths=(1e-3, 1e-1, 3.0), l1=1e-3, l2=1e-1)


@pytest.fixture(scope="session")
def played(small):
    return drawing.train_wine(Settings(drawing=small), Session())


@pytest.fixture(scope="session")
def results(tmp_path_factory, played, save_study):
    """Nearly everything that a page can show: missing studies, figures that are PNG only, odd
    texts, a quick run.
    """
    folder = tmp_path_factory.mktemp("results")
    save_study(folder / "l1-l2", figures=("L1_1", "L2_1"), command="python -m experiments")
    store.save_dataset(played, folder / "l1-l2" / "wine.nc", {"command": "python -m experiments"})
    save_study(folder / "strength", ["zeros", "norm", "a claim of one's own"], svg=False)
    save_study(folder / ".strength.unfinished" / "new-1" / "strength", ["half-written"])
    save_study(
        folder / "baselines",
        [saved_claim("decay", title="<script>alert(1)</script>", statement='a "b" & c')],
        quick=True,
    )
    save_study(folder / "images" / "fashion-mnist", ["images"])
    save_study(folder / "quick" / "strength", ["in a quick folder"], quick=True)
    return folder
