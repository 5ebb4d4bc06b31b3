"""Runs studies: sweeps with progress and resumption, then datasets, verdicts, figures and tables on
disk.

    run_studies([(study, settings)], options, words, console)

A study's folder holds `study.json` (provenance, claims with their findings, and figures), a netCDF
file for each sweep, each figure as PNG and SVG, and `summary.md`. It is replaced as a whole, once
everything in it is written. With `--redraw`, the sweeps are read from this folder instead of being
run.
"""

import contextlib
import dataclasses
import functools
import re
import shutil
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from rich.console import Console

from experiments.claims import counts_of, findings_as_json, verdict_of
from experiments.layout import with_attributes
from experiments.results import folders, store, tables
from experiments.results.disk import saving, write_whole
from experiments.results.saved import Saved, check_settings, load_saved
from experiments.settings import Options, require
from experiments.study import Claim, Session, Study, Sweep
from experiments.terminal import command_of, progress, use_devices

COLOURS = {"supported": "green", "contradicted": "red", "contradicted in part": "red"}
QUICK = "quick run: few seeds and few strengths, so its numbers and verdicts are not final"
NAMED = 8
"""Number of diverged runs that are listed by name."""
VERDICT_WIDTH = 16
"""Characters in front of a finding: two spaces, its verdict and a space."""


def folder_of(study: Study, settings: Any, options: Options, root: Path = Path("results")) -> Path:
    """The results folder of a study. Quick runs have their own folder, so that they never replace
    full results.
    """
    if options.out is not None:
        return options.out
    place = root / "quick" if options.quick else root
    return place / study.name / study.variant(settings)


def targets_of(jobs: Sequence[tuple[Study, Any]], options: Options, suite: str) -> list[Path]:
    """The results folders of all jobs; those of a suite are subfolders of `--out`, if that is
    given.
    """
    if suite and options.out is not None:
        folders.check_folder(options.out)
        return [options.out / study.name for study, _ in jobs]
    return [folder_of(study, settings, options) for study, settings in jobs]


def run_studies(
    jobs: Sequence[tuple[Study, Any]],
    options: Options,
    words: list[str],
    console: Console,
    suite: str = "",
) -> None:
    """Runs studies one after another, or redraws them.

    Args:
        jobs: studies with their settings.
        options: the options that all commands share.
        words: the command line, for provenance.
        console: receives progress, tables and verdicts.
        suite: the command that runs all of the jobs; empty for a single study.

    Raises:
        SettingError: a results folder cannot be replaced, a quick run would replace full results,
            or there are no suitable results to redraw.
        SavingError: the results cannot be written.
    """
    began = time.perf_counter()
    devices = 0 if options.redraw else use_devices(options.devices)
    targets = targets_of(jobs, options, suite)
    for (study, settings), target in zip(jobs, targets, strict=True):
        if not options.redraw:
            study.check(settings)
            check_not_replacing_full(target, options)
        folders.check_replaceable(target)
    report = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
    if options.quick:
        console.print(QUICK, style="yellow", markup=False)
    with folders.working(
        folders.beside(targets[0].parent / suite if suite else targets[0]), report
    ) as work:
        runners = [
            Runner(study, settings, options, command_of(words), devices, work, console)
            for study, settings in jobs
        ]
        pairs = list(zip(runners, targets, strict=True))
        # All results are read before the first folder is replaced, so that an error leaves all of
        # them unchanged.
        saved = [runner.load(target) for runner, target in pairs] if options.redraw else []
        for number, (runner, target) in enumerate(pairs):
            last = number == len(pairs) - 1
            if options.redraw:
                runner.redraw_study(target, saved[number], last)
            else:
                runner.run_study(target, last)
    console.print(f"done in {time.perf_counter() - began:.0f} s")


def check_not_replacing_full(target: Path, options: Options) -> None:
    """Raises a SettingError if a quick run would replace the results of a full run."""
    before = store.load_json(target / folders.MARKER)
    full = before.get("quick") is False
    require(
        not (options.quick and full), "out", "a folder without full results for a quick run", target
    )


@dataclasses.dataclass(frozen=True)
class Runner:
    """Runs or redraws one study.

    Attributes:
        study: the study.
        settings: its settings.
        options: the options that all commands share.
        command: the command line.
        devices: number of JAX devices to train on.
        work: keeps the finished chunks of the sweeps, from which an interrupted command resumes.
        console: receives progress, tables and verdicts.
    """

    study: Study
    settings: Any
    options: Options
    command: str
    devices: int
    work: folders.Work
    console: Console

    def run_study(self, target: Path, last: bool) -> None:
        """Runs the sweeps, then evaluates, draws and replaces the target folder."""
        began = time.perf_counter()
        runs = sum(sweep.count(self.settings) for sweep in self.study.sweeps)
        platform = jax.devices()[0].platform
        self.say(
            f"{self.study.name}: {runs} runs on {self.devices} {platform} "
            f"device{'' if self.devices == 1 else 's'}"
        )
        contents: dict[str, Any] = {}

        def describe() -> dict[str, Any]:
            return {**self.provenance(began), **contents}

        with self.work.replacing(target, describe, last=last) as folder:
            results = {sweep.name: self.train_sweep(sweep) for sweep in self.study.sweeps}
            for name, dataset in results.items():
                store.save_dataset(dataset, folder / f"{name}.nc", self.provenance(began))
            contents |= self.publish(results, folder, self.command)
        self.report(results, target)

    def load(self, target: Path) -> Saved:
        """Reads the results to redraw; raises a SettingError if they do not fit the command."""
        saved = load_saved(self.study, target, self.options.quick)
        check_settings(
            self.settings, self.study.defaults(self.settings, self.options.quick), saved, target
        )
        return saved

    def redraw_study(self, target: Path, saved: Saved, last: bool) -> None:
        """Evaluates and draws saved results and replaces the target folder; datasets and provenance
        stay as they are.
        """
        self.say(
            f"{self.study.name}: redrawing the results in {target}, made by "
            f"`{saved.provenance['command']}`"
        )
        redrawn = {"command": self.command, "versions": store.versions()}
        contents: dict[str, Any] = {**saved.provenance, "redrawn": redrawn}
        with self.work.replacing(target, lambda: contents, last=last) as folder:
            for name in saved.results:
                with saving(folder):
                    shutil.copyfile(target / f"{name}.nc", folder / f"{name}.nc")
            try:
                contents |= self.publish(saved.results, folder, saved.provenance["command"])
            except (AttributeError, KeyError, ValueError) as error:
                error.add_note(
                    "the datasets on disk may be from another version; if so, run without --redraw"
                )
                raise
        self.report(saved.results, target)

    def train_sweep(self, sweep: Sweep) -> xr.Dataset:
        """Runs one sweep; returns its dataset."""
        with progress(
            self.console, f"training ({sweep.name})", sweep.count(self.settings)
        ) as advance:
            chunks = self.work.chunks(store.settings_name(sweep.name, self.settings, self.devices))
            session = Session(self.options.devices, chunks, self.work.counted(advance))
            return with_attributes(sweep.train(self.settings, session), sweep.name)

    def provenance(self, began: float) -> dict[str, Any]:
        """The provenance of the results of a run that began at a given time."""
        config = {**dataclasses.asdict(self.settings), "devices": self.options.devices}
        made_by = store.provenance(config, self.command, time.perf_counter() - began)
        return {**made_by, "study": self.study.name, "quick": self.options.quick}

    def publish(self, results: dict[str, xr.Dataset], folder: Path, command: str) -> dict[str, Any]:
        """Writes figures and tables, prints the verdicts, and returns the entries of `study.json`
        about them.
        """
        study, variant = self.study, self.study.variant(self.settings)
        figures, claims = [], []
        with progress(self.console, "figures", len(study.names)) as advance:
            for figure in study.figures:
                store.save_figure(figure.draw(results), folder / figure.name)
                texts = {"name": figure.name, "title": figure.title, "caption": figure.caption}
                figures.append({**texts, "numbers": figure.numbers(results)})
                advance(1)
            for claim in study.claims:
                store.save_figure(claim.draw(results), folder / claim.name)
                claims.append(self.evaluate(claim, results))
                advance(1)
        lines = tables.heading(command, QUICK if self.options.quick else "")
        if study.tabulate is not None:
            table, text = study.tabulate(results)
            self.console.print(table)
            if text:
                self.say(text)
            lines += [*([text, ""] if text else []), *tables.markdown(table), ""]
        for evaluated in claims:
            show(evaluated, self.console, self.options.quick)
        lines += tables.claims(claims) if claims else []
        write_whole(folder / "summary.md", "\n".join(lines) + "\n")
        return {"summary": study.summary, "variant": variant, "figures": figures, "claims": claims}

    def evaluate(self, claim: Claim, results: dict[str, xr.Dataset]) -> dict[str, Any]:
        """A claim with its findings and its verdict, as a dictionary for JSON."""
        findings = claim.evaluate(results)
        texts = {
            "name": claim.name,
            "title": claim.title,
            "statement": claim.statement,
            "caption": claim.caption,
        }
        outcome = {"verdict": verdict_of(findings), "counts": counts_of(findings)}
        return {**texts, **outcome, "findings": findings_as_json(findings)}

    def report(self, results: dict[str, xr.Dataset], target: Path) -> None:
        """Prints which runs diverged and which files were written."""
        for line in divergences(results):
            self.console.print(line, style="yellow", markup=False, highlight=False)
        self.say(
            f"{target}: "
            f"{', '.join(sorted(path.name for path in target.iterdir() if path.suffix != '.svg'))}"
        )

    def say(self, text: str) -> None:
        """Prints a line without markup, colours or line breaks."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def divergences(results: dict[str, xr.Dataset]) -> Iterator[str]:
    """Yields a line for each dataset with diverged runs."""
    for name, dataset in results.items():
        runs = diverged_runs(dataset)
        if runs:
            total = int((~repeated(dataset)).sum())
            more = f"; and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
            yield (
                f"{name}: {len(runs)} of {total} runs diverged; their numbers are nan: "
                f"{'; '.join(runs[:NAMED])}{more}"
            )


def diverged_runs(dataset: xr.Dataset) -> list[str]:
    """The runs that diverged, described by their coordinates."""
    if "diverged" not in dataset:
        return []
    diverged = dataset["diverged"] & ~repeated(dataset)
    names = []
    for indices in np.argwhere(diverged.values):
        run = diverged.isel(dict(zip(diverged.dims, indices.tolist(), strict=True)))
        hidden = {"level"} if "strength" in run.coords else set()
        labels = [
            f"{key} {spelled(value.values)}"
            for key, value in run.coords.items()
            if key not in hidden
        ]
        names.append(", ".join(labels))
    return names


def repeated(dataset: xr.Dataset) -> xr.DataArray:
    """Where `diverged` repeats a run: level 0 is the same network for all methods."""
    diverged = dataset["diverged"]
    if not {"method", "level"} <= set(diverged.dims) or "strength" not in dataset.coords:
        return xr.zeros_like(diverged, dtype=bool)
    later = xr.DataArray(np.arange(diverged.sizes["method"]) > 0, dims="method")
    return (
        (later & (dataset["strength"].variable == 0))
        .broadcast_like(diverged)
        .transpose(*diverged.dims)
    )


def spelled(value: np.ndarray) -> str:
    """The value of a coordinate in a few characters."""
    with contextlib.suppress(TypeError, ValueError):
        return f"{float(value):g}"
    return str(value)


def show(claim: dict[str, Any], console: Console, quick: bool) -> None:
    """Prints the verdict on a claim and its findings."""
    suffix = " (quick run, not final)" if quick else ""
    verdict = (
        f"[{COLOURS.get(claim['verdict'], 'yellow')}]{claim['verdict']}[/] "
        f"({claim['counts']}){suffix}"
    )
    console.print(f"[bold]{claim['title']}[/bold]: {verdict}", highlight=False)
    for finding in claim["findings"]:
        colour = COLOURS.get(finding["verdict"], "yellow")
        first, *rest = indented(
            f"{finding['statement'].rstrip('.')}: {finding['numbers']}", console.width
        )
        console.print(f"  [{colour}]{finding['verdict']:13}[/] ", end="", highlight=False)
        for line in (first, *rest):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def indented(text: str, width: int) -> list[str]:
    """The lines of a finding, of which the first follows the verdict and the others are indented;
    intervals stay whole.
    """
    whole = re.sub(r"\[[^]]*\]", lambda interval: interval[0].replace(" ", "\xa0"), text)
    first, others = " " * VERDICT_WIDTH, " " * (VERDICT_WIDTH if width >= 60 else 4)
    wrapped = textwrap.wrap(
        whole,
        max(width, 40),
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
    )
    lines = [line.replace("\xa0", " ") for line in wrapped]
    return [lines[0][VERDICT_WIDTH:], *lines[1:]]
