"""A study consists of settings, sweeps that train networks, claims that are tested on their
results, and figures.

A study is a folder in `experiments.studies` whose `__init__` declares `STUDY`, and one line in the
list there. The runner adds a subcommand with `--help`, `--quick` and `--redraw`, progress,
resumption, results on disk, verdicts, figures, an entry in the gallery and a section of the page:

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
"""What a study measured: a mapping from the name of each sweep to its labelled dataset."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What a sweep needs from the command that runs it.

    Attributes:
        devices: number of JAX devices to use; None for all.
        folder: where finished chunks are saved, so that an interrupted command can resume; None
            saves nothing.
        advance: called with the number of runs finished since the last call.
    """

    devices: int | None = None
    folder: Path | None = None
    advance: Callable[[int], None] = lambda _: None

    def sweep(
        self,
        fit: Callable[..., Any],
        runs: Any,
        data: Any = None,
        *,
        part: str | None = None,
        chunk: int | None = None,
    ) -> jaxreg.Runs:
        """Runs `jaxreg.sweep` with this session's devices, progress and chunks.

        Args:
            fit: trains one network, as for `jaxreg.sweep`.
            runs: the grid, or a tree of arrays with one entry per run.
            data: shared by all runs.
            part: name of a subfolder for the chunks, for a training function that calls this method
                several times.
            chunk: number of runs computed together; None leaves the choice to `jaxreg.sweep`.

        Returns:
            The outputs of all runs.
        """
        folder = self.folder / part if self.folder is not None and part else self.folder
        return jaxreg.sweep(
            fit, runs, data, devices=self.devices, folder=folder, chunk=chunk, progress=self.advance
        )


class Sweep(NamedTuple):
    """One sweep of a study, which yields one dataset.

    Each variable and coordinate of the dataset needs the attributes `long_name` and `units`, which
    `experiments.layout.described` sets. If the whole dataset lacks them, as the one that
    `jaxreg.Runs.dataset` returns does, the runner sets each `long_name` to the name of the variable
    and `units` to "1".

    Attributes:
        name: name of the dataset and of its file.
        count: function from the study's settings to the number of runs, for the progress bar.
        train: function from the settings and a session to the dataset. Its boolean variable
            `diverged`, if there is one, marks the runs that diverged.
    """

    name: str
    count: Callable[[Any], int]
    train: Callable[[Any, Session], xr.Dataset]


def numbers_of_findings(_: Results, findings: Sequence[Finding]) -> list[str]:
    """The numbers of every finding, one per line."""
    return [finding.numbers for finding in findings]


class Claim(NamedTuple):
    """A claim that a study tests, and the figure that shows the result.

    Attributes:
        name: name of the figure's files, unique among all studies.
        title: title in a few words.
        statement: the claim as it is usually stated.
        evaluate: function from the results to the findings.
        draw: function from the results to the figure.
        caption: what the figure shows.
        headlines: function from the results and the findings to a few short lines with numbers, for
            the table of claims in the documents; by default the numbers of the findings.
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
        name: name of its files, unique among all studies.
        title: title in a few words.
        draw: function from the results to the figure.
        caption: what the figure shows.
        numbers: function from the results to the numbers that a reader should be able to reproduce,
            one per line.
    """

    name: str
    title: str
    draw: Callable[[Results], figure.Figure]
    caption: str
    numbers: Callable[[Results], list[str]] = lambda _: []


class Summary(NamedTuple):
    """What a study prints besides its verdicts: a table, and its meaning in one or two
    sentences.
    """

    table: Sheet
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything about one study.

    Attributes:
        name: name of its subcommand and of its results folder.
        summary: one line for `--help`, and the heading of its section on the page.
        settings: the default settings, a frozen dataclass whose documented fields become options.
        quick: the default settings of `--quick`, a version that takes seconds.
        sweeps: the sweeps, in the order in which they run.
        claims: the claims that are tested on the results.
        figures: the figures that belong to no claim.
        description: what the study's own `--help` says after the summary.
        tabulate: function from the results to the table that is printed and written to
            `summary.md`.
        suite: the command that runs this study together with the others of its suite; empty for
            none.
        variant: function from the settings to the name of a subfolder, for a study that keeps
            results on different data sets side by side.
        check: function that raises a `SettingError` for settings that do not fit the data, before
            any training.
        adapt: function from the settings as typed and `quick` to the defaults, for a study where
            the value of one option determines the defaults of others.
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
        """The default settings for what was typed.

        Args:
            typed: the settings as typed, with every other field at its default.
            quick: whether `--quick` was given.

        Returns:
            The default settings.
        """
        if self.adapt is not None:
            return self.adapt(typed, quick)
        return self.quick if quick else self.settings

    @property
    def names(self) -> list[str]:
        """Names of all figures, including the claims' figures."""
        return [figure.name for figure in self.figures] + [claim.name for claim in self.claims]
