"""The command line: tyro subcommands made from the registry of studies.

    command, parsed = parse(["images", "--data", "mnist-5000", "--quick"])
    command.run(parsed, words, console)

`python -m experiments` alone is the main job, the first study of the registry. A suite, such as `claims`, is a subcommand
that runs several studies.
"""

import dataclasses
import difflib
import functools
import importlib
import importlib.metadata
import operator
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

from rich.console import Console

from experiments import studies
from experiments.benchmarks.settings import BENCHMARKS
from experiments.report.settings import Readme, Report
from experiments.settings import Options, SettingError
from experiments.study import Study
from experiments.terminal import command_of, import_tyro, keep_compiled, progress, use_devices

PROGRAM = "python -m experiments"
SUITES = {"claims": "All claims about L1 and L2: zeros, shrinkage, selection, relevance, stability"}
REPORT = "One HTML page from what is on disk: the player, figures and verdicts; it trains nothing and loads nothing"
README = "The tables in README.md and experiments/README.md, written from what is on disk"
OVERVIEW = """What L1 and L2 regularization do to a network, on CPU or GPU. Without a command, the main job runs: l1-l2.
Results are written to results/NAME; an interrupted command resumes where it stopped when it is started again."""


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        name: what is typed.
        kind: the dataclass that its words become.
        default: its settings without any word.
        summary: a line in the list of commands.
        description: what its `--help` says besides.
        run: from the parsed settings, the words and a console to the work.
        study: of a command that runs one.
    """

    name: str
    kind: Any
    default: Any
    summary: str
    description: str
    run: Callable[[Any, list[str], Console], None]
    study: Study | None = None


@dataclasses.dataclass(frozen=True)
class Help:
    """What to type."""


@dataclasses.dataclass(frozen=True)
class Version:
    """Which release this is."""


def parse(words: list[str]) -> tuple[Command, Any]:
    """The command that the words name, and its settings.

    Raises:
        SettingError: a value that the settings refuse.
        SystemExit: after `--help`, and with status 2 after words that cannot be read, which tyro explains on stderr.
    """
    if words in (["--version"], ["-V"]):
        words = ["version"]
    commands = all_commands()
    # `help NAME` is `NAME --help`.
    words = [*words[1:], "--help"] if words[:1] == ["help"] else words
    command, parsed = read(commands, words)
    if command.study is not None:
        # The values of some options decide the defaults of others: --quick, and what a study adapts itself.
        default = command.kind(command.study.defaults(parsed.settings, parsed.options.quick), Options())
        if default != command.default:
            adapted = [one._replace(default=default) if one is command else one for one in commands]
            command, parsed = read(adapted, words)
    return command, parsed


def read(commands: Sequence[Command], words: list[str]) -> tuple[Command, Any]:
    """One pass of tyro over the words."""
    tyro = import_tyro()
    kinds: Any = [
        Annotated[one.kind, tyro.conf.subcommand(one.name, default=one.default, description=described(one, words))]
        for one in commands
    ]
    benchmarks: Any = tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in BENCHMARKS.items())
    description = "Benchmarks: the cost of an update, every optimizer on scikit-learn's lasso, the sweep beside PyTorch"
    bench: Any = Annotated[union(benchmarks), tyro.conf.subcommand("bench", description=description)]
    every: Any = union((*kinds, bench))
    try:
        config = (tyro.conf.CascadeSubcommandArgs,)
        parsed = tyro.cli(every, prog=PROGRAM, description=OVERVIEW, default=commands[0].default, args=words, config=config)
    except SettingError as error:
        name = next((word for word in words if word in {one.name for one in commands}), "")
        program = " ".join(filter(None, (PROGRAM, name)))
        raise SettingError(f"{error}; see {program} --help") from None
    except SystemExit as leaving:
        if leaving.code:
            suggest(words, [*(one.name for one in commands), "bench"])
        raise
    for name, kind in BENCHMARKS.items():
        if isinstance(parsed, kind):
            return Command(f"bench {name}", kind, kind(), "", "", run_benchmark), parsed
    return next(one for one in commands if type(parsed) is one.kind), parsed


def described(command: Command, words: Sequence[str]) -> str:
    """A line in the list of commands, and everything in the command's own help."""
    return f"{command.summary}. {command.description}" if command.name in words else command.summary


def union(kinds: Sequence[Any]) -> Any:
    """The union of types that are only known now."""
    return functools.reduce(operator.or_, kinds)


def suggest(words: Sequence[str], names: Sequence[str]) -> None:
    """Prints the command that was probably meant, if the first word is nearly one."""
    first = next((word for word in words if not word.startswith("-")), "")
    near = difflib.get_close_matches(first, names, 1)
    if first not in names and near:
        print(f"error: unknown command {first!r}; did you mean {near[0]!r}?", file=sys.stderr)


def all_commands() -> list[Command]:
    """Every command but the benchmarks, the main job first."""
    found = studies.load()
    commands = [command_for(study) for study in found]
    for suite, description in SUITES.items():
        members = [study for study in found if study.suite == suite]
        kind = with_options("Suite", [])
        commands.append(Command(suite, kind, kind(Options()), description, "", suite_runner(suite, members)))
    commands.append(Command("report", Report, Report(), REPORT, "", run_report))
    commands.append(Command("readme", Readme, Readme(), README, "", run_readme))
    commands.append(Command("help", Help, Help(), "This text, or that of a command: help NAME", "", run_version))
    commands.append(Command("version", Version, Version(), "The installed version of jaxreg", "", run_version))
    return commands


def with_options(name: str, fields: list[tuple[str, Any]]) -> Any:
    """A dataclass of the given fields and the options of all commands, none with a prefix in its options' names."""
    tyro = import_tyro()
    typed = [(field, Annotated[kind, tyro.conf.arg(name="")]) for field, kind in (*fields, ("options", Options))]
    return dataclasses.make_dataclass(name, typed, frozen=True)


def command_for(study: Study) -> Command:
    """The subcommand that runs a study."""
    kind = with_options("Run", [("settings", type(study.settings))])

    def run(parsed: Any, words: list[str], console: Console) -> None:
        run_studies([(study, parsed.settings)], parsed.options, words, console)

    return Command(study.name, kind, kind(study.settings, Options()), study.summary, study.description, run, study)


def suite_runner(suite: str, members: Sequence[Study]) -> Callable[[Any, list[str], Console], None]:
    """What runs the studies of a suite."""

    def run(parsed: Any, words: list[str], console: Console) -> None:
        jobs = [(study, study.quick if parsed.options.quick else study.settings) for study in members]
        run_studies(jobs, parsed.options, words, console, suite)

    return run


def run_studies(
    jobs: Sequence[tuple[Study, Any]], options: Options, words: list[str], console: Console, suite: str = ""
) -> None:
    """Runs studies."""
    from experiments import runner

    keep_compiled(options.cache)
    runner.run(jobs, options, words, console, suite)


def run_benchmark(parsed: Any, words: list[str], console: Console) -> None:
    """A benchmark."""
    from experiments.benchmarks.benchmark import run
    from experiments.results.folders import check_file

    name = next(name for name, kind in BENCHMARKS.items() if isinstance(parsed, kind))
    if name == "sweep":
        use_devices(None)
    check_file(parsed.out)
    benchmark = importlib.import_module(f"experiments.benchmarks.{name}").BENCHMARK
    with progress(console, f"bench {name}", benchmark.count(parsed)) as advance:
        run(benchmark, parsed, command_of(words), console, advance)


def run_report(parsed: Report, _: list[str], console: Console) -> None:
    """The page, and the gallery if asked for."""
    from experiments.report import command

    command.run(parsed, console)


def run_readme(parsed: Readme, _: list[str], console: Console) -> None:
    """Writes the tables in the documents, or checks them."""
    from experiments.report import readme

    readme.run(parsed, console, SUITES)


def run_version(_: Any, __: list[str], console: Console) -> None:
    """The version."""
    console.print(f"jaxreg {importlib.metadata.version('jaxreg')}", highlight=False)
