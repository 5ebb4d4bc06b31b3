"""`python -m experiments claims [NAME …]` and `baselines [NAME …]`: claims tested, a table of verdicts and a figure each."""

import dataclasses
import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from experiments.config import BASELINE_NAMES, CLAIM_NAMES, QUICK_BASELINES, QUICK_CLAIMS, Baselines, Claims, SettingError
from experiments.terminal import command_of, keep_compiled, parse, progress, provenance_of, use_devices


@dataclasses.dataclass(frozen=True)
class Family:
    """Claims that are one command.

    Attributes:
        command: its word. kind, quick: its settings and their small version.
        modules: of `experiments.claims`, whose SPECS it runs, in this order; and the order of the claims.
        studies: from a study's name to its module in `experiments.studies` and the field of its settings.
    """

    command: str
    kind: type
    quick: Any
    modules: tuple[str, ...]
    order: tuple[str, ...]
    studies: dict[str, tuple[str, str]]


CLAIMS = Family(
    "claims",
    Claims,
    QUICK_CLAIMS,
    ("strength", "relevance", "stability"),
    CLAIM_NAMES,
    {
        "strength": ("strength", "strength"),
        "relevance": ("relevance", "relevance"),
        "linear": ("linear", "linear"),
        "stability": ("stability", "linear"),
        "chatter": ("chatter", "chatter"),
    },
)
BASELINES = Family(
    "baselines",
    Baselines,
    QUICK_BASELINES,
    ("baselines",),
    BASELINE_NAMES,
    {"pairs": ("pairs", "pairs"), "tilt": ("tilt", "tilt")},
)
COLOURS = {"supported": "green", "contradicted": "red", "contradicted in part": "red"}


def run(words: list[str], console: Console, family: Family) -> None:
    """Runs the studies that the named claims need, all where none is named, and writes verdicts, figures and the table."""
    names = names_in(words, family)
    default = family.quick if "--quick" in words else family.kind()
    described = f"{family.kind.__doc__} Names, before any setting, choose some of: {', '.join(family.order)}."
    config = parse(family.kind, words[len(names) :], f"python -m experiments {family.command}", described, default)
    keep_compiled(config.cache)
    used = use_devices(config.devices)

    # Only now, as these initialise what the settings above decide, and --help should not wait for them.
    from experiments import folders, records

    specs = specs_of(family)
    wanted = [name for name in family.order if not names or name in names]
    folders.check_folder(config.out)
    for name in wanted:
        folders.check_replaceable(config.out / name)
    began = time.perf_counter()
    with folders.working(config.out / ".unfinished", functools.partial(console.print, markup=False, soft_wrap=True)) as work:
        runner = Runner(family, config, used, work, words[len(names) :], console)
        for name in wanted:
            runner.claim(specs[name])
        records.write_table(config.out, family.order, command_of([family.command, *words]))
    table = config.out / "claims.md"
    console.print(f"{config.out}: {len(wanted)} figures and verdicts; all that were ever judged in {table}", markup=False)
    console.print(f"done in {time.perf_counter() - began:.0f} s")


def names_in(words: list[str], family: Family) -> list[str]:
    """The names at the front of the words.

    Raises:
        SettingError: a word there is no name, or a name stands behind a setting.
    """
    first = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    unknown = [name for name in words[:first] if name not in family.order]
    if unknown:
        raise SettingError(f"{family.command}: expected names among {', '.join(family.order)}, got {', '.join(unknown)}")
    late = [word for word in words[first:] if word in family.order]
    if late:
        raise SettingError(f"{family.command}: expected names before the settings, got {late[0]} behind {words[first]}")
    return words[:first]


def specs_of(family: Family) -> dict[str, Any]:
    """Every claim of a family by its name."""
    modules = [importlib.import_module(f"experiments.claims.{name}") for name in family.modules]
    return {spec.name: spec for module in modules for spec in module.SPECS}


class Runner:
    """Runs each study once, keeps its records, and judges claims by them.

    Args:
        used: how many devices. work: keeps the unfinished sweeps, from which an interrupted command goes on.
        settings: the words of the command line behind the names.
    """

    def __init__(self, family: Family, config: Any, used: int, work: Any, settings: list[str], console: Console):
        self.family, self.config, self.settings, self.console = family, config, settings, console
        self.used, self.work = used, work
        self.records: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}

    def study(self, name: str) -> None:
        """Runs a study if it was not yet, and writes its records."""
        from experiments.records import save_dataset, settings_name

        if name in self.records:
            return
        module, field = self.family.studies[name]
        study, settings = importlib.import_module(f"experiments.studies.{module}"), getattr(self.config, field)
        began = time.perf_counter()
        with progress(self.console, f"study {name}", study.runs(settings)) as advance:
            chunks = self.work.chunks(settings_name(name, settings, self.used))
            found = study.sweep(settings, self.config.devices, chunks, self.work.counted(advance))
        self.records[name], self.seconds[name] = found, time.perf_counter() - began
        path = self.config.out / "records" / f"{name}.nc"
        save_dataset(found, path, self.made_by([name]))
        self.work.saved.append(path)
        loss = found.get("test_loss")
        bad = 0 if loss is None else int(np.isnan(loss).sum())
        if bad:
            text = f"study {name}: {bad} of {loss.size} networks diverged; what rests on them alone is not measured"
            self.console.print(text, style="yellow", markup=False)

    def made_by(self, studies: list[str] | tuple[str, ...]) -> dict[str, Any]:
        """The provenance of what rests on these studies, with the seconds that they took."""
        began = time.perf_counter() - sum(self.seconds[name] for name in studies)
        return provenance_of(self.config, [self.family.command, *self.settings], began)

    def claim(self, spec: Any) -> None:
        """Judges a claim, writes it with its figure, and prints the verdicts."""
        from experiments.records import save_claim
        from experiments.verdicts import Claim

        for name in spec.studies:
            self.study(name)
        findings = spec.judge(self.records)
        command = command_of([self.family.command, spec.name, *self.settings])
        claim = Claim(spec.name, spec.title, spec.statement, findings, spec.caption, command)
        made_by = self.made_by(spec.studies)
        with self.work.replacing(self.config.out / spec.name, lambda: made_by) as folder:
            save_claim(claim, spec.figure(self.records), folder, made_by)
        show(claim, self.console)


def show(claim: Any, console: Console) -> None:
    """A claim's verdict and its findings, for a terminal."""
    verdict = f"[{COLOURS.get(claim.verdict, 'yellow')}]{claim.verdict}[/] ({claim.counts})"
    console.print(f"[bold]{claim.title}[/bold]: {verdict}", highlight=False)
    for finding in claim.findings:
        colour = COLOURS.get(finding.verdict, "yellow")
        console.print(f"  [{colour}]{finding.verdict:13}[/] ", end="", highlight=False)
        console.print(f"{finding.statement} {finding.numbers}", markup=False, highlight=False)


def run_claims(words: list[str], console: Console) -> None:
    """`python -m experiments claims`."""
    run(words, console, CLAIMS)


def run_baselines(words: list[str], console: Console) -> None:
    """`python -m experiments baselines`."""
    run(words, console, BASELINES)


COMMANDS: dict[str, Callable[[list[str], Console], None]] = {"claims": run_claims, "baselines": run_baselines}
