"""What holds for every study: looked at in the results of its quick run."""

import numpy as np
import pytest

from experiments import lab
from experiments.studies import STUDIES

BY_NAME = {study.name: study for study in STUDIES}
CLAIMS = [(study.name, claim) for study in STUDIES for claim in study.claims]
NAMES = [f"{study}-{claim.name}" for study, claim in CLAIMS]


@pytest.fixture(scope="module")
def every(quick):
    return {name: lab.load(place)[0] for name, place in quick.items()}


@pytest.fixture
def results(every, name):
    if name not in every:
        pytest.skip("its data, Debian's package dataset-fashion-mnist, are not installed")
    return every[name]


def without_numbers(results):
    """The same results, as if every run had diverged."""
    return {
        name: dataset.map(
            lambda values: (
                values * np.nan
                if values.dtype.kind == "f" and values.name != "figure_strength"
                else values
            )
        )
        for name, dataset in results.items()
    }


def test_names_of_figures_are_unique_in_a_study():
    for study in STUDIES:
        names = [part.name for part in (*study.pictures, *study.claims)]
        assert len(names) == len(set(names)), study.name


@pytest.mark.parametrize("name", BY_NAME)
def test_every_study_shows_what_it_measured(name, results, quick):
    folder = quick[name].with_suffix("")
    text = (folder / "summary.md").read_text()
    variant = folder.name.removeprefix(name).strip("-")
    title = f"{BY_NAME[name].summary} ({variant})" if variant else BY_NAME[name].summary
    assert text.startswith(f"# {title}\n") and lab.QUICK in text
    for part in (*BY_NAME[name].pictures, *BY_NAME[name].claims):
        assert f"]({part.name}.png)" in text and part.caption in text
        assert (folder / f"{part.name}.png").stat().st_size > 5000
    for dataset in results.values():
        for variable in dataset.variables.values():
            assert {"long_name", "units"} <= set(variable.attrs), variable
            assert variable.dtype != object


@pytest.mark.parametrize("name", BY_NAME)
def test_every_row_of_a_table_has_a_cell_for_each_heading(name, results):
    for broken in (False, any("diverged" in dataset for dataset in results.values())):
        shown = without_numbers(results) if broken else results
        for part in BY_NAME[name].tabulate(shown):
            if not isinstance(part, str):
                assert {len(row) for row in part.rows} == {len(part.headings)}


@pytest.mark.parametrize(("name", "claim"), CLAIMS, ids=NAMES)
def test_every_claim_has_findings_with_numbers(name, claim, results):
    found = claim.evaluate(results)
    assert len({finding.statement for finding in found}) == len(found) > 0
    for finding in found:
        assert finding.tested and finding.numbers


@pytest.mark.parametrize(("name", "claim"), CLAIMS, ids=NAMES)
def test_if_every_run_diverged_nothing_is_measured(name, claim, results):
    broken = without_numbers(results)
    assert {finding.verdict for finding in claim.evaluate(broken)} == {"not measured"}
    claim.draw(broken).canvas.draw()
