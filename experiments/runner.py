"""The one runner of all studies: sweeps with progress and resumption, then records, verdicts, figures and tables on disk.

    run([(study, settings)], options, words, console)

A study's folder holds `study.json` (what made it, its claims with their findings, its figures), a netCDF file for each
sweep, each figure as PNG and SVG, and `summary.md`. It appears as a whole, once everything in it is written.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from rich.console import Console

from experiments.claims import counts_of, findings_as_json, verdict_of
from experiments.results import folders, store, tables
from experiments.results.disk import write_whole
from experiments.settings import Options, require
from experiments.study import Claim, Session, Study, Sweep
from experiments.terminal import command_of, progress, use_devices

COLOURS = {"supported": "green", "contradicted": "red", "contradicted in part": "red"}
QUICK = "quick run: few seeds and few strengths, so its numbers and verdicts are not final"
NAMED = 8
"""Diverged runs that are named; of more, the number is."""


def folder_of(study: Study, settings: Any, options: Options, root: Path = Path("results")) -> Path:
    """Where a study's results go: those of quick runs have a folder of their own, so that they never replace full ones."""
    if options.out is not None:
        return options.out
    place = root / "quick" if options.quick else root
    return place / study.name / study.variant(settings)


def run(jobs: Sequence[tuple[Study, Any]], options: Options, words: list[str], console: Console, suite: str = "") -> None:
    """Runs studies one after another.

    Args:
        jobs: studies with their settings.
        options: that all commands share.
        words: the command line, for provenance.
        console: receives progress, tables and verdicts.
        suite: the command that stands for all of the jobs; empty for a study by itself.

    Raises:
        SettingError: a folder of results cannot be replaced, or a quick run would replace full results.
        SavingError: something cannot be written.
    """
    began = time.perf_counter()
    used = use_devices(options.devices)
    for study, settings in jobs:
        study.check(settings)
    targets = [folder_of(study, settings, options) for study, settings in jobs]
    if suite and options.out is not None:
        folders.check_folder(options.out)
        targets = [options.out / study.name for study, _ in jobs]
    for target in targets:
        folders.check_replaceable(target)
        check_not_replacing_full(target, options)
    say = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
    if options.quick:
        console.print(QUICK, style="yellow", markup=False)
    with folders.working(folders.beside(targets[0].parent / suite if suite else targets[0]), say) as work:
        for (study, settings), target in zip(jobs, targets, strict=True):
            runner = Runner(study, settings, options, command_of(words), used, work, console)
            runner.run(target, last=study is jobs[-1][0])
    console.print(f"done in {time.perf_counter() - began:.0f} s")


def check_not_replacing_full(target: Path, options: Options) -> None:
    """Refuses to let a quick run replace the results of a full one."""
    before = store.load_json(target / folders.MARKER)
    full = before.get("quick") is False
    require(not (options.quick and full), "out", "a folder without full results for a quick run", target)


@dataclasses.dataclass(frozen=True)
class Runner:
    """One study on its way to disk.

    Attributes:
        study: what is run.
        settings: of the study.
        options: that all commands share.
        command: that can be typed to run it again.
        used: number of devices.
        work: keeps the unfinished sweeps, from which an interrupted command resumes.
        console: for the user.
    """

    study: Study
    settings: Any
    options: Options
    command: str
    used: int
    work: folders.Work
    console: Console

    def run(self, target: Path, last: bool) -> None:
        """Trains, evaluates, draws and replaces the target folder."""
        began = time.perf_counter()
        study = self.study
        fits = sum(sweep.count(self.settings) for sweep in study.sweeps)
        platform = jax.devices()[0].platform
        self.say(f"{study.name}: {fits} fits on {self.used} {platform} device(s)")
        contents: dict[str, Any] = {}

        def made_by() -> dict[str, Any]:
            return {**self.made_by(began), **contents}

        with self.work.replacing(target, made_by, last=last) as folder:
            records = {}
            for sweep in study.sweeps:
                records[sweep.name] = self.train(sweep)
            contents |= self.publish(records, folder, began)
        for line in self.divergences(records):
            self.console.print(line, style="yellow", markup=False, highlight=False)
        self.say(f"{target}: {', '.join(sorted(path.name for path in target.iterdir() if path.suffix != '.svg'))}")

    def train(self, sweep: Sweep) -> xr.Dataset:
        """The dataset of one sweep."""
        with progress(self.console, f"training ({sweep.name})", sweep.count(self.settings)) as advance:
            chunks = self.work.chunks(store.settings_name(sweep.name, self.settings, self.used))
            dataset: xr.Dataset = sweep.train(
                self.settings, Session(self.options.devices, chunks, self.work.counted(advance))
            )
            return dataset

    def made_by(self, began: float) -> dict[str, Any]:
        """What makes these results."""
        config = {**dataclasses.asdict(self.settings), "devices": self.options.devices}
        made_by = store.provenance(config, self.command, time.perf_counter() - began)
        return {**made_by, "study": self.study.name, "quick": self.options.quick}

    def publish(self, records: dict[str, xr.Dataset], folder: Path, began: float) -> dict[str, Any]:
        """Writes records, figures and tables; returns what `study.json` says of them, and prints the verdicts."""
        study, variant = self.study, self.study.variant(self.settings)
        for name, dataset in records.items():
            store.save_dataset(dataset, folder / f"{name}.nc", self.made_by(began))
        figures, claims = [], []
        with progress(self.console, "figures", len(study.names)) as advance:
            for figure in study.figures:
                store.save_figure(figure.draw(records), folder / figure.name)
                texts = {"name": figure.name, "title": figure.title, "caption": figure.caption}
                figures.append({**texts, "numbers": figure.numbers(records)})
                advance(1)
            for claim in study.claims:
                store.save_figure(claim.draw(records), folder / claim.name)
                claims.append(self.evaluate(claim, records))
                advance(1)
        lines = tables.heading(self.command, QUICK if self.options.quick else "")
        if study.tabulate is not None:
            table, text = study.tabulate(records)
            self.console.print(table)
            if text:
                self.say(text)
            lines += [*([text, ""] if text else []), *tables.markdown(table), ""]
        for one in claims:
            show(one, self.console, self.options.quick)
        lines += tables.claims(claims) if claims else []
        write_whole(folder / "summary.md", "\n".join(lines) + "\n")
        return {"summary": study.summary, "variant": variant, "figures": figures, "claims": claims}

    def evaluate(self, claim: Claim, records: dict[str, xr.Dataset]) -> dict[str, Any]:
        """A claim with its findings and its verdict, as JSON holds it."""
        findings = claim.evaluate(records)
        texts = {"name": claim.name, "title": claim.title, "statement": claim.statement, "caption": claim.caption}
        outcome = {"verdict": verdict_of(findings), "counts": counts_of(findings)}
        return {**texts, **outcome, "findings": findings_as_json(findings)}

    def divergences(self, records: dict[str, xr.Dataset]) -> Iterator[str]:
        """A line for each dataset with diverged runs."""
        for name, dataset in records.items():
            bad = list(diverged_runs(dataset))
            if bad:
                total = int((~repeated(dataset)).sum())
                more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
                yield f"{name}: {len(bad)} of {total} runs diverged; their numbers are nan: {'; '.join(bad[:NAMED])}{more}"

    def say(self, text: str) -> None:
        """Prints a line as it stands."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def diverged_runs(dataset: xr.Dataset) -> Iterable[str]:
    """The runs that diverged, by their coordinates."""
    if "diverged" not in dataset:
        return []
    bad = dataset["diverged"] & ~repeated(dataset)
    named = []
    for at in np.argwhere(bad.values):
        one = bad.isel(dict(zip(bad.dims, at.tolist(), strict=True)))
        hidden = {"level"} if "strength" in one.coords else set()
        labels = [f"{key} {spelled(value.values)}" for key, value in one.coords.items() if key not in hidden]
        named.append(", ".join(labels))
    return named


def repeated(dataset: xr.Dataset) -> xr.DataArray:
    """Where `diverged` repeats a run: level 0 of every method is the same network."""
    shape = dataset["diverged"]
    if not {"method", "level"} <= set(shape.dims) or "strength" not in dataset.coords:
        return xr.zeros_like(shape, dtype=bool)
    later = xr.DataArray(np.arange(shape.sizes["method"]) > 0, dims="method")
    return (later & (dataset["strength"].variable == 0)).broadcast_like(shape).transpose(*shape.dims)


def spelled(value: np.ndarray) -> str:
    """A coordinate's value in a few characters."""
    with contextlib.suppress(TypeError, ValueError):
        return f"{float(value):g}"
    return str(value)


def show(claim: dict[str, Any], console: Console, quick: bool) -> None:
    """A claim's verdict and its findings, for a terminal."""
    suffix = " (quick run, not final)" if quick else ""
    verdict = f"[{COLOURS.get(claim['verdict'], 'yellow')}]{claim['verdict']}[/] ({claim['counts']}){suffix}"
    console.print(f"[bold]{claim['title']}[/bold]: {verdict}", highlight=False)
    for finding in claim["findings"]:
        colour = COLOURS.get(finding["verdict"], "yellow")
        console.print(f"  [{colour}]{finding['verdict']:13}[/] ", end="", highlight=False)
        console.print(f"{finding['statement']} {finding['numbers']}", markup=False, highlight=False)
