"""A study: settings, training, claims that are tested on the results, and figures. One function
runs it.

    def train(settings: Settings, session: Session) -> xr.Dataset:
        grid = jaxreg.grid(penalty=jaxreg.L1(jnp.array(settings.l1)), seed=range(settings.seeds))
        return described(session.sweep(fit, grid).dataset(), TEXTS)

    STUDY = Study(
        "toy", "What L1 does to a toy", Settings(), quick=Settings(seeds=2), sweeps={"toy": train},
        claims=[Claim("zeros", "L1 gives zeros", "L1 makes zeros.", evaluate, draw, "A caption.")],
    )

A study is one file in `experiments.studies`, and an entry in the list there. Its result is one
file, `results/NAME.nc`, an `xarray.DataTree` with a group for each sweep, which is written beside
and moved into place, so that it is whole or absent. Verdicts, tables and figures are always
computed from it, into the folder `results/NAME`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from experiments.claims import Finding, counts_of, verdict_of
from experiments.lazy import Figure, jax, jaxreg, xr
from experiments.settings import SettingError
from experiments.tables import Table, markdown

Results: TypeAlias = "Mapping[str, xr.Dataset]"
"""What a study measured: the dataset of each sweep by its name."""

QUICK = "Quick run: few seeds and few strengths, so its numbers and verdicts are not final."
INTERVALS = (
    "Intervals are 95 % intervals by Student's t over the seeds, of differences taken seed by "
    "seed. They are not corrected for multiple testing."
)
HOW = "  How: "
"""How a claim is tested; terminals leave these lines out, as they do the captions of figures."""
DIVERGED = 8
"""Number of diverged runs that are listed by name."""
PACKAGES = ("jaxreg", "jax", "jaxlib", "optax", "flax", "numpy", "scipy", "scikit-learn")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of every command that trains."""

    out: Path = Path("results")
    """Folder of all results. Quick ones are in its folder quick, so that they never replace full
    ones.
    """
    devices: int | None = None
    """How many runs a CPU trains at a time, by default two per core; or how many GPUs, by default
    all.
    """
    cache: Path | None = Path("~/.cache/jaxreg")
    """Folder where JAX keeps compiled programs for the next start; None for no cache."""
    quick: bool = False
    """Run a small version with few seeds, strengths and epochs, whose numbers and verdicts are not
    final. Other settings that are given still apply.
    """

    @property
    def folder(self) -> Path:
        """The folder that the results are written to."""
        return self.out / "quick" if self.quick else self.out


class Session(NamedTuple):
    """What training needs from the command that runs it.

    Attributes:
        devices: as for `jaxreg.sweep`.
        folder: where finished chunks are saved, so that an interrupted command can resume.
        results: the datasets of the study's sweeps before this one.
    """

    devices: int | None = None
    folder: Path | None = None
    results: Results = MappingProxyType({})

    def sweep(
        self, fit: Any, runs: Any, data: Any = None, *, part: str = "", chunk: int | None = None
    ) -> jaxreg.Runs:
        """Calls `jaxreg.sweep` with this session's devices and folder.

        Args:
            fit: trains one network, as for `jaxreg.sweep`.
            runs: the grid.
            data: shared by all runs.
            part: name of a subfolder, for a training function that calls this several times.
            chunk: number of runs between two saves.

        Returns:
            The outputs of all runs.
        """
        folder = self.folder and self.folder / part
        return jaxreg.sweep(fit, runs, data, devices=self.devices, folder=folder, chunk=chunk)


class Claim(NamedTuple):
    """A claim, how it is tested, and the figure that shows the result.

    Attributes:
        name: name of the figure's files, unique in the study.
        title: title in a few words.
        statement: the claim as it is usually stated.
        evaluate: from the results to the findings.
        draw: from the results to the figure.
        caption: what the figure shows.
    """

    name: str
    title: str
    statement: str
    evaluate: Callable[[Results], Sequence[Finding]]
    draw: Callable[[Results], Figure]
    caption: str


class Picture(NamedTuple):
    """A figure that belongs to no claim; its attributes are those of `Claim`."""

    name: str
    title: str
    draw: Callable[[Results], Figure]
    caption: str


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything about one study, or one benchmark.

    Attributes:
        name: name of its subcommand and of its results.
        summary: one line for `--help`, and the title of its results.
        settings: the default settings, a frozen dataclass whose documented fields become options.
        sweeps: by name, functions from the settings and a session to a labelled dataset. Its
            boolean variable `diverged`, if there is one, marks the runs that diverged.
        quick: the default settings of `--quick`; None leaves them as they are.
        claims: the claims that are tested on the results.
        pictures: the figures that belong to no claim.
        description: what the study's own `--help` says after the summary.
        tabulate: from the results to tables and paragraphs of its summary.
        suite: the command that runs this study together with others; empty for none.
        variant: from the settings to what is added to the name of the results, for a study that
            keeps results on different data side by side.
        check: raises a `SettingError` for settings that do not fit the data, before any training.
        adapt: from the settings as typed and `--quick` to the defaults, where one option
            determines the defaults of others.
    """

    name: str
    summary: str
    settings: Any
    sweeps: Mapping[str, Callable[[Any, Session], xr.Dataset]]
    quick: Any = None
    claims: Sequence[Claim] = ()
    pictures: Sequence[Picture] = ()
    description: str = ""
    tabulate: Callable[[Results], Sequence[Table | str]] = lambda _: ()
    suite: str = ""
    variant: Callable[[Any], str] = lambda _: ""
    check: Callable[[Any], Any] = lambda _: None
    adapt: Callable[[Any, bool], Any] | None = None

    def defaults(self, typed: Any, quick: bool) -> Any:
        """The default settings for what was typed."""
        if self.adapt is not None:
            return self.adapt(typed, quick)
        return self.quick if quick and self.quick is not None else self.settings

    def label(self, settings: Any) -> str:
        """The name of the results with these settings."""
        return "-".join(filter(None, (self.name.replace(" ", "-"), self.variant(settings))))


def run(study: Study, settings: Any, options: Options, command: str) -> None:
    """Trains, saves the result, and draws it.

    Args:
        study: what to run.
        settings: its settings.
        options: where, and on which devices.
        command: the command line, for the provenance.

    Raises:
        SettingError: the settings do not fit the data, or there are not that many devices.
        OSError: something cannot be written; the old result stays as it is.
    """
    import filelock

    study.check(settings)
    if options.cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(options.cache.expanduser()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    began = time.perf_counter()
    place = options.folder / f"{study.label(settings)}.nc"
    place.parent.mkdir(parents=True, exist_ok=True)
    config = json.loads(json.dumps(dataclasses.asdict(settings), default=str))
    made_by = {
        "study": study.name,
        "command": command,
        "config": config,
        "quick": options.quick,
        "versions": versions(),
        "devices": [device.device_kind for device in jax.devices()],
    }
    chunks = place.with_name(f".{place.stem}.chunks")
    determining = json.dumps([config, made_by["versions"], made_by["devices"]], sort_keys=True)
    work = chunks / hashlib.sha256(determining.encode()).hexdigest()[:12]
    lock = filelock.FileLock(place.with_name(f".{place.stem}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BlockingIOError(0, "another command is writing this result", str(place)) from None
    with lock:
        groups: dict[str, xr.Dataset] = {}
        for name, train in study.sweeps.items():
            print(f"{study.name}: {name}", file=sys.stderr)
            try:
                session = Session(options.devices, work / name, groups)
                groups[name] = train(settings, session)
            except jaxreg.SweepMismatchError as error:
                raise SettingError(
                    f"{chunks}: expected what an interrupted command with the same code has "
                    "finished, got that of other code; delete this folder to begin anew"
                ) from error
        save(groups, {**made_by, "seconds": round(time.perf_counter() - began, 1)}, place)
        shutil.rmtree(chunks, ignore_errors=True)
    draw(study, place)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def save(groups: Mapping[str, xr.Dataset], made_by: Mapping[str, Any], place: Path) -> None:
    """Writes the result beside its place and moves it there.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})
    tree.attrs["made_by"] = json.dumps(made_by)
    compressed = {
        path: {name: {"zlib": True} for name, variable in node.data_vars.items() if variable.ndim
               and variable.dtype.kind in "fi"}
        for path, node in ((f"/{name}", tree[name]) for name in groups)
    }  # fmt: skip
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        tree.to_netcdf(beside, engine="netcdf4", encoding=compressed)
        os.replace(beside, place)
    except RuntimeError as error:  # the netCDF library's error on a full disk
        raise OSError(0, f"cannot be written ({error})", str(place)) from error
    finally:
        beside.unlink(missing_ok=True)


def load(place: Path) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """Reads a result into memory: the dataset of each sweep, and how they were made.

    Raises:
        FileNotFoundError: there is no such result.
        SettingError: the file is none.
    """
    if not place.exists():
        raise FileNotFoundError(2, "no such result; run its command first", str(place))
    try:
        # Units such as "seconds" must not turn numbers into times.
        tree = xr.load_datatree(place, engine="netcdf4", decode_times=False)
        made_by = json.loads(tree.attrs["made_by"])
    except (OSError, KeyError, ValueError) as error:
        raise SettingError(f"{place}: expected the result of a study, got {error}") from error
    groups = {name: node.to_dataset().drop_encoding() for name, node in tree.children.items()}
    for dataset in groups.values():  # netCDF has no strings of fixed length
        for name, variable in list(dataset.variables.items()):
            if variable.dtype == object:
                dataset[name] = variable.astype(str)
    return groups, made_by


class Evaluated(NamedTuple):
    """A claim with what was found.

    Attributes:
        claim: the claim.
        findings: the findings.
        verdict: the verdict on the claim.
    """

    claim: Claim
    findings: Sequence[Finding]
    verdict: str


def evaluate(study: Study, results: Results) -> list[Evaluated]:
    """Tests all claims of a study."""
    tested = [(claim, claim.evaluate(results)) for claim in study.claims]
    return [Evaluated(claim, findings, verdict_of(findings)) for claim, findings in tested]


def draw(study: Study, place: Path) -> None:
    """Evaluates a result, writes its summary and figures into the folder beside it, and prints the
    summary.

    Args:
        study: the study.
        place: the file of its result.

    Raises:
        SettingError: the file holds no result of this study.
        OSError: the folder cannot be written.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    results, made_by = load(place)
    folder = place.with_suffix("")
    folder.mkdir(exist_ok=True)
    variant = place.stem.removeprefix(study.name.replace(" ", "-")).strip("-")
    text = summary(study, results, made_by, variant)
    parts: list[Claim | Picture] = [*study.pictures, *study.claims]
    for part in parts:
        figure = part.draw(results)
        for ending in ("png", "svg"):
            figure.savefig(folder / f"{part.name}.{ending}")
    (folder / "summary.md").write_text(text, encoding="utf-8")
    drawn = tuple(f"## {picture.title}" for picture in study.pictures)
    shown = [part for part in text.split("\n\n") if not part.startswith(("![", *drawn))]
    lines = [line for line in "\n\n".join(shown).splitlines() if not line.startswith(HOW)]
    console = Console()
    console.print(Markdown("\n".join(lines)))
    console.print(f"{folder}: summary.md and figures, from {place.name}", soft_wrap=True)


def summary(study: Study, results: Results, made_by: Mapping[str, Any], variant: str = "") -> str:
    """The results as Markdown: tables, verdicts and figures; `variant` is added to the title."""
    config = ", ".join(f"{name} {value}" for name, value in made_by["versions"].items())
    devices = made_by["devices"]
    paragraphs = [
        f"# {study.summary}{f' ({variant})' if variant else ''}",
        *([f"**{QUICK}**"] if made_by["quick"] else []),
        f"Made by `{made_by['command']}` in {made_by['seconds']:.0f} s on {len(devices)} × "
        f"{devices[0]}: {config}.",
        *divergences(results),
    ]
    tables = study.tabulate(results)
    paragraphs += [part if isinstance(part, str) else markdown(part) for part in tables]
    for picture in study.pictures:
        paragraphs += [f"## {picture.title}", figure_of(picture)]
    if study.claims:
        paragraphs += ["## Claims", INTERVALS]
    for claim, findings, verdict in evaluate(study, results):
        paragraphs += [
            f"### {claim.title}: {verdict}",
            f"> {claim.statement}",
            f"{counts_of(findings)}.",
            "\n".join(
                f"- **{found.verdict}**: {found.statement.rstrip('.')}: {found.numbers}\n"
                f"{HOW}{found.tested.rstrip('.')}."
                for found in findings
            ),
            figure_of(claim),
        ]
    return "\n\n".join(paragraphs) + "\n"


def figure_of(part: Claim | Picture) -> str:
    """A figure with its caption as Markdown."""
    return f"![{part.title}]({part.name}.png)\n*{part.caption}*"


def divergences(results: Results) -> list[str]:
    """A sentence for each dataset with diverged runs."""
    sentences = []
    for name, dataset in results.items():
        if "diverged" not in dataset:
            continue
        runs = dataset["diverged"].astype(bool)
        if {"method", "level"} <= set(runs.dims):  # λ = 0 is one network for all methods
            runs[{"method": slice(1, None), "level": 0}] = False
        named = []
        for place in np.argwhere(runs.values):
            run = runs.isel(dict(zip(runs.dims, place.tolist(), strict=True)))
            named.append(", ".join(f"{key} {value.item()}" for key, value in run.coords.items()))
        if named:
            more = f"; and {len(named) - DIVERGED} more" if len(named) > DIVERGED else ""
            listed = "; ".join(named[:DIVERGED])
            sentences.append(
                f"**{name}: {len(named)} runs diverged; their numbers are nan: {listed}{more}.**"
            )
    return sentences
