"""A folder of results in small, as the commands leave it."""

import dataclasses
import json

import pytest
from matplotlib.figure import Figure

from experiments import contents, records, verdicts
from experiments.config import Drawing
from experiments.studies import drawing

MADE_BY = {"command": "python -m experiments claims", "versions": {"jax": "0.10.2"}, "devices": ["cpu"], "seconds": 12.5}


def chart():
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([1, 2], [3, 4])
    return figure


@pytest.fixture(scope="session")
def save_claim():
    """Writes a claim with one test into a folder, any of its texts changed."""

    def save(folder, name, **changed):
        tests = [verdicts.above("it grows", "growth over seeds", [1.0, 2.0, 1.5], unit="%")]
        claim = verdicts.Claim(name, f"Title of {name}", "As people say.", tests, "What it shows.", f"python … {name}")
        records.save_claim(dataclasses.replace(claim, **changed), chart(), folder / name, MADE_BY)

    return save


@pytest.fixture(scope="session")
def small():
    return Drawing(steps=600, hidden=3, player=(1e-3, 1e-1, 3.0))


@pytest.fixture(scope="session")
def played(small):
    return drawing.play(small)


@pytest.fixture(scope="session")
def results(tmp_path_factory, played, save_claim):
    """Everything that a page can show, or nearly: not all claims, and one figure as PNG alone."""
    folder = tmp_path_factory.mktemp("results")
    main = folder / "l1-l2"
    main.mkdir()
    for name in contents.FIGURES:
        chart().savefig(main / f"{name}.png")
        if name != "L1_3":
            chart().savefig(main / f"{name}.svg")
    records.save_dataset(played, main / "player.nc", {"command": "python -m experiments"})
    (main / "records.json").write_text(json.dumps({**MADE_BY, "command": "python -m experiments"}))
    for name in ("zeros", "norm", "a claim of one's own", ".zeros-half-written"):
        save_claim(folder / "claims", name)
    save_claim(folder / "baselines", "decay", title="<script>alert(1)</script>", statement='a "b" & c')
    save_claim(folder / "images", "fashion-mnist")
    return folder
