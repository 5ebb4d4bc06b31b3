"""What a study is: settings, sweeps that train networks, claims that are tested on them, and figures.

A study is a folder of `experiments.studies` whose `__init__` declares `STUDY`, and a line in the list there. The runner
gives it a subcommand with `--help` and `--quick`, progress, resumption, records on disk, verdicts, figures, an entry in the
gallery and a section of the page:

    def train(settings, session):
        runs = session.sweep(fit, jaxreg.grid(penalty=jaxreg.L1(jnp.array(settings.l1)), seed=range(settings.seeds)))
        return runs.dataset()

    STUDY = Study(
        "toy", "What L1 does to a toy", Settings(), Settings(seeds=2),
        sweeps=(Sweep("toy", lambda settings: len(settings.l1) * settings.seeds, train),),
        claims=(Claim("toy-zeros", "L1 gives zeros", "L1 sets weights to zero.", evaluate, draw, "Zeros against λ."),),
    )
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from matplotlib import figure

import jaxreg
from experiments.claims import Finding
from experiments.sheet import Sheet

Results = Mapping[str, xr.Dataset]
"""What a study measured: one labelled dataset for each of its sweeps, by the sweep's name."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What a sweep needs from the command that runs it.

    Attributes:
        devices: how many JAX devices to use; None for all.
        folder: where finished chunks are kept, so that an interrupted command can resume; None keeps nothing.
        advance: receives how many fits were finished since it was called last.
    """

    devices: int | None = None
    folder: Path | None = None
    advance: Callable[[int], None] = lambda _: None

    def sweep(
        self, fit: Callable[..., Any], runs: Any, data: Any = None, *, part: str | None = None, chunk: int | None = None
    ) -> jaxreg.Runs:
        """Runs `jaxreg.sweep` with this session's devices, progress and chunks.

        Args:
            fit: as for `jaxreg.sweep`.
            runs: the grid, or a tree of arrays with one entry a run.
            data: shared by all runs.
            part: a name for the chunks, where one training function sweeps several times.
            chunk: runs computed together; None leaves the choice to `jaxreg.sweep`.
        """
        folder = self.folder / part if self.folder is not None and part else self.folder
        return jaxreg.sweep(fit, runs, data, devices=self.devices, folder=folder, chunk=chunk, progress=self.advance)


class Sweep(NamedTuple):
    """Training that a study does: one dataset of its records.

    Attributes:
        name: of the dataset and its file.
        count: from the study's settings to the number of fits, for the progress bar.
        train: from the settings and a session to the dataset. A boolean variable `diverged` in it marks runs without
        numbers.
    """

    name: str
    count: Callable[[Any], int]
    train: Callable[[Any, Session], xr.Dataset]


def numbers_of_findings(_: Results, findings: Sequence[Finding]) -> list[str]:
    """The numbers of every finding, one per line."""
    return [finding.numbers for finding in findings]


class Claim(NamedTuple):
    """A claim that is tested.

    Attributes:
        name: of the figure's files, unique among all studies.
        title: a few words.
        statement: the claim in its usual words.
        evaluate: from the records to the findings.
        draw: from the records to the figure.
        caption: what the figure shows.
        headlines: function from the results and the findings to a few short lines with numbers, for the table of claims in
            the documents; by default the numbers of the findings.
    """

    name: str
    title: str
    statement: str
    evaluate: Callable[[Results], Sequence[Finding]]
    draw: Callable[[Results], figure.Figure]
    caption: str
    headlines: Callable[[Results, Sequence[Finding]], Sequence[str]] = numbers_of_findings


class Figure(NamedTuple):
    """A figure that belongs to no claim.

    Attributes:
        name: of its files, unique among all studies.
        title: a few words.
        draw: from the records to the figure.
        caption: what it shows.
        numbers: from the records to the numbers that a reader should find again, a line each.
    """

    name: str
    title: str
    draw: Callable[[Results], figure.Figure]
    caption: str
    numbers: Callable[[Results], list[str]] = lambda _: []


class Summary(NamedTuple):
    """What a study prints when it is done, besides its verdicts: a table, and what it means in a sentence or two."""

    table: Sheet
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything about one study.

    Attributes:
        name: of its subcommand and its folder of results.
        summary: one line for `--help`, and the heading of its section on the page.
        settings: the defaults, a frozen dataclass whose documented fields become options.
        quick: the defaults of `--quick`, a version that takes seconds.
        sweeps: the training, in this order.
        claims: tested on the records of the sweeps.
        figures: that belong to no claim.
        description: what `--help` says below the summary.
        tabulate: from the records to the table that is printed and written to `summary.md`.
        suite: the command that runs this study together with others of the same suite; empty for none.
        variant: from the settings to a folder below the study's own, for a study whose results on different data are kept
            side by side.
        check: raises a `SettingError` for settings that only the data show to be wrong, before anything is trained.
        adapt: from settings as typed to the defaults that fit them, where one option decides the defaults of others.
        excerpts: functions from the results to small tables for the documents, by the table's name.
    """

    name: str
    summary: str
    settings: Any
    quick: Any
    sweeps: Sequence[Sweep]
    claims: Sequence[Claim] = ()
    figures: Sequence[Figure] = ()
    description: str = ""
    tabulate: Callable[[Results], Summary] | None = None
    suite: str = ""
    variant: Callable[[Any], str] = lambda _: ""
    check: Callable[[Any], Any] = lambda _: None
    adapt: Callable[[Any, bool], Any] | None = None
    excerpts: Mapping[str, Callable[[Results], Summary]] = dataclasses.field(default_factory=dict)

    def defaults(self, typed: Any, quick: bool) -> Any:
        """The defaults that suit settings as typed, full or quick."""
        if self.adapt is not None:
            return self.adapt(typed, quick)
        return self.quick if quick else self.settings

    @property
    def names(self) -> list[str]:
        """The names of all figures, those of claims included."""
        return [figure.name for figure in self.figures] + [claim.name for claim in self.claims]
