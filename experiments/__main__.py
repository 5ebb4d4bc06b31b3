"""The command line: a subcommand for every study and benchmark.

    python -m experiments                 the main job: what L1 and L2 do to a network
    python -m experiments --help          all commands, one per line
    python -m experiments claims --quick  the small version of a suite of studies
    python -m experiments draw strength   tables and figures again, without training

The exit status is 0 for success, 1 for a failure, 2 for a wrong setting, and 130 after Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.benchmarks import BENCHMARKS
from experiments.lab import Options, Study, draw, load, run
from experiments.settings import SettingError
from experiments.studies import STUDIES

PROGRAM = "python -m experiments"
MAIN = STUDIES[0].name
OVERVIEW = (
    "Experiments on what L1 and L2 regularization do to a network, on CPU or GPU. Without a "
    f"command, the main job {MAIN} runs. Each result is one file, results/NAME.nc; its tables and "
    "figures are in results/NAME. An interrupted command resumes when it is started again."
)
CLAIMS = [study for study in STUDIES if study.suite == "claims"]


@dataclasses.dataclass(frozen=True)
class Claims:
    """Test all claims about L1 and L2: runs the studies strength, relevance, stability, bias."""

    options: Annotated[Options, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Options)


@dataclasses.dataclass(frozen=True)
class Draw:
    """Evaluate results on disk again, and write their tables and figures, without training."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of results, such as strength or images-mnist-5000; all, if there are none."""
    out: Path = Path("results")
    """Folder of the results; those of quick runs are in results/quick."""


@dataclasses.dataclass(frozen=True)
class Publish:
    """Copy the summaries and figures of the results on disk into the documents."""

    out: Path = Path("results")
    """Folder of the results."""
    docs: Path = Path("docs/results")
    """Folder that gets a folder for each result."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Make one HTML page with the player, figures and verdicts from the results on disk."""

    out: Path = Path("results")
    """Folder of the results, in which the page is report.html."""


COMMANDS: dict[str, Any] = {study.name: study for study in (*STUDIES, *BENCHMARKS)}
COMMANDS |= {"claims": Claims, "draw": Draw, "publish": Publish, "report": Report}


def main(words: list[str]) -> None:
    """Runs the command given by the words."""
    if words in (["-h"], ["--help"], ["bench"], ["bench", "-h"], ["bench", "--help"]):
        overview()
        return
    if not words or words[0].startswith("-"):
        words = [MAIN, *words]
    name = next((name for name in COMMANDS if words[: len(name.split())] == name.split()), None)
    if name is None:
        raise SettingError(f"{' '.join(words[:2])}: expected one of {', '.join(COMMANDS)}")
    study, rest = COMMANDS[name], words[len(name.split()) :]
    command = shlex.join(PROGRAM.split() + words)
    if isinstance(study, Study):
        parsed = parse(name, rest, study.settings)
        # Some options determine the defaults of others: --quick, and those that a study adapts to.
        defaults = study.defaults(parsed.settings, parsed.options.quick)
        if defaults != study.settings:
            parsed = parse(name, rest, defaults)
        run(study, parsed.settings, parsed.options, command)
        return
    parsed = tyro.cli(study, args=rest, prog=f"{PROGRAM} {name}", description=study.__doc__)
    if isinstance(parsed, Claims):
        for member in CLAIMS:
            quick = parsed.options.quick
            run(member, member.defaults(member.settings, quick), parsed.options, command)
    elif isinstance(parsed, Draw):
        for place in results_in(parsed.out, parsed.names):
            draw(study_of(place), place)
    elif isinstance(parsed, Publish):
        for place in results_in(parsed.out):
            target = parsed.docs / place.stem
            if not place.with_suffix("").is_dir():  # the result alone was copied or downloaded
                draw(study_of(place), place)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(place.with_suffix(""), target, ignore=shutil.ignore_patterns("*.svg"))
            print(target)
    else:
        from experiments.page import build

        places = results_in(parsed.out)
        text = build([(study_of(place), place) for place in places], STUDIES)
        page = parsed.out / "report.html"
        page.write_text(text, encoding="utf-8")
        print(f"{page}: {len(text.encode()) / 1e6:.1f} MB, open it in a browser")


def overview() -> None:
    """Prints all commands, one per line."""
    from rich.console import Console
    from rich.table import Table

    table = Table("command", "what it does", title=f"{PROGRAM} COMMAND [--help]", box=None)
    for name, study in COMMANDS.items():
        table.add_row(name, study.summary if isinstance(study, Study) else study.__doc__)
    console = Console()
    console.print(OVERVIEW, table, sep="\n\n", highlight=False)


def parse(name: str, words: list[str], settings: Any) -> Any:
    """Parses the settings of a study and the options that all have."""
    fields = [("settings", type(settings)), ("options", Options)]
    plain = [(field, Annotated[kind, tyro.conf.arg(name="")]) for field, kind in fields]
    kind = dataclasses.make_dataclass("Run", plain, frozen=True)
    text = f"{COMMANDS[name].summary}. {COMMANDS[name].description}"
    default = kind(settings, Options())
    return tyro.cli(kind, args=words, prog=f"{PROGRAM} {name}", description=text, default=default)


def results_in(folder: Path, names: tuple[str, ...] = ()) -> list[Path]:
    """The result files with these names, or all in a folder.

    Raises:
        FileNotFoundError: there are none.
    """
    places = [folder / f"{name}.nc" for name in names] or sorted(folder.glob("[!.]*.nc"))
    if not places:
        raise FileNotFoundError(2, f"no results; `{PROGRAM}` makes some", str(folder))
    return places


def study_of(place: Path) -> Study:
    """The study that a result belongs to."""
    name = load(place)[1]["study"]
    return next(study for study in (*STUDIES, *BENCHMARKS) if study.name == name)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt as interrupt:
        print(f"interrupted: {interrupt or 'start the command again to resume'}", file=sys.stderr)
        # A chunk may still be computing, and JAX crashes if the interpreter shuts down during it.
        sys.stderr.flush()
        os._exit(130)
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os._exit(0)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        sys.exit(f"error: {error.strerror or error}{place}")
