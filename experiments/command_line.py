"""The command line: tyro subcommands that are made from the registry of studies.

    command, parsed = parse(["images", "--data", "mnist-5000", "--quick"])
    command.run(parsed, words, console)

`python -m experiments` without a command runs the main job, the first study in the registry. A
suite, such as `claims`, is a subcommand that runs several studies.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

from rich.console import Console

from experiments import studies
from experiments.benchmarks.settings import BENCHMARKS
from experiments.parsing import (
    UnreadableWordsError,
    call_tyro,
    check_command,
    explain,
    with_typed_name,
)
from experiments.report.settings import Readme, Report
from experiments.settings import Options, SettingError
from experiments.study import Study
from experiments.terminal import command_of, import_tyro, keep_compiled, progress, use_devices

PROGRAM = "python -m experiments"
SUITES = {
    "claims": "Test all claims about L1 and L2: runs the studies strength, relevance, stability "
    "and bias"
}
REPORT = "Make one HTML page with the player, figures and verdicts from the results on disk"
README = "Write the tables in README.md and experiments/README.md from the results on disk"
OVERVIEW = """Experiments on what L1 and L2 regularization do to a network, on CPU or GPU. Without a command, the main job
l1-l2 runs. Results are written to results/NAME. An interrupted command resumes where it stopped when it is started again."""


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        name: name of the command, as typed.
        kind: dataclass of its settings.
        default: the default settings.
        summary: one line in the list of commands.
        description: what the command's own `--help` says after the summary.
        run: function that runs the command, called with the parsed settings, the words and a
            console.
        study: the study that the command runs; None for other commands.
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
    """Show this help, or the help of a command: help NAME."""


@dataclasses.dataclass(frozen=True)
class Version:
    """Show the installed version of jaxreg."""


def parse(words: list[str]) -> tuple[Command, Any]:
    """Parses the command line.

    Args:
        words: the words after `python -m experiments`.

    Returns:
        The command and its settings.

    Raises:
        SettingError: the words cannot be parsed, or a setting has an invalid value.
        SystemExit: after `--help`.
    """
    if words in (["--version"], ["-V"]):
        words = ["version"]
    commands = all_commands()
    # `help NAME` means `NAME --help`.
    words = [*words[1:], "--help"] if words[:1] == ["help"] else words
    check_command(words, [*(command.name for command in commands), "bench"])
    if words[:1] == ["bench"]:
        check_command(words[1:], list(BENCHMARKS), "benchmark")
    command, parsed = read(commands, words)
    if command.study is not None:
        # Some options determine the defaults of others: --quick, and those that a study declares by
        # `adapt`.
        default = command.kind(
            command.study.defaults(parsed.settings, parsed.options.quick), Options()
        )
        if default != command.default:
            adapted = [one._replace(default=default) if one is command else one for one in commands]
            command, parsed = read(adapted, words)
    return command, parsed


def read(commands: Sequence[Command], words: list[str]) -> tuple[Command, Any]:
    """Parses the words once, with the defaults of the given commands."""
    tyro = import_tyro()
    kinds: Any = [
        Annotated[
            one.kind,
            tyro.conf.subcommand(one.name, default=one.default, description=described(one, words)),
        ]
        for one in commands
    ]
    benchmarks: Any = tuple(
        Annotated[kind, tyro.conf.subcommand(name)] for name, kind in BENCHMARKS.items()
    )
    description = (
        "Run a benchmark: the cost of an update, optimizers against scikit-learn's lasso, sweeps "
        "against PyTorch, "
        "paths of linear models against other packages"
    )
    bench: Any = Annotated[
        union(benchmarks), tyro.conf.subcommand("bench", description=description)
    ]
    every: Any = union((*kinds, bench))
    config = (tyro.conf.CascadeSubcommandArgs, tyro.conf.FlagCreatePairsOff)
    defaults = {one.name: one.default for one in commands}
    defaults |= {"bench": Help(), **{f"bench {name}": kind() for name, kind in BENCHMARKS.items()}}
    name = (
        " ".join(words[:2])
        if " ".join(words[:2]) in defaults
        else words[0]
        if words and words[0] in defaults
        else ""
    )
    try:
        parsed = call_tyro(
            every,
            words,
            prog=PROGRAM,
            description=OVERVIEW,
            default=commands[0].default,
            config=config,
        )
    except (SettingError, UnreadableWordsError) as error:
        settings = defaults[name or commands[0].name]
        wrong_value = isinstance(error, SettingError)
        message = (
            with_typed_name(str(error), words)
            if wrong_value
            else explain(str(error), words, settings)
        )
        see = (
            f"{'See' if message.endswith('?') else 'see'} "
            f"{' '.join(filter(None, (PROGRAM, name)))} --help"
        )
        raise SettingError(f"{message}{' ' if message.endswith('?') else '; '}{see}") from None
    for benchmark, kind in BENCHMARKS.items():
        if isinstance(parsed, kind):
            return Command(f"bench {benchmark}", kind, kind(), "", "", run_benchmark), parsed
    return next(one for one in commands if type(parsed) is one.kind), parsed


def described(command: Command, words: Sequence[str]) -> str:
    """The summary for the list of commands, with the description for the command's own help."""
    return f"{command.summary}. {command.description}" if command.name in words else command.summary


def union(kinds: Sequence[Any]) -> Any:
    """The union of types that are known only at run time."""
    return functools.reduce(operator.or_, kinds)


def all_commands() -> list[Command]:
    """All commands except the benchmarks, the main job first."""
    found = studies.load()
    commands = [command_for(study) for study in found]
    for suite, description in SUITES.items():
        members = [study for study in found if study.suite == suite]
        kind = with_options("Suite", [])
        commands.append(
            Command(suite, kind, kind(Options()), description, "", suite_runner(suite, members))
        )
    commands.append(Command("report", Report, Report(), REPORT, "", run_report))
    commands.append(Command("readme", Readme, Readme(), README, "", run_readme))
    commands.append(
        Command(
            "help",
            Help,
            Help(),
            "Show this help, or the help of a command: help NAME",
            "",
            run_version,
        )
    )
    commands.append(
        Command(
            "version", Version, Version(), "Show the installed version of jaxreg", "", run_version
        )
    )
    return commands


def with_options(name: str, fields: list[tuple[str, Any]]) -> Any:
    """A dataclass with the given fields and the options of all commands, without prefixes in the
    names of the options.
    """
    tyro = import_tyro()
    typed = [
        (field, Annotated[kind, tyro.conf.arg(name="")])
        for field, kind in (*fields, ("options", Options))
    ]
    return dataclasses.make_dataclass(name, typed, frozen=True)


def command_for(study: Study) -> Command:
    """The subcommand that runs a study."""
    kind = with_options("Run", [("settings", type(study.settings))])

    def run(parsed: Any, words: list[str], console: Console) -> None:
        run_studies([(study, parsed.settings)], parsed.options, words, console)

    return Command(
        study.name,
        kind,
        kind(study.settings, Options()),
        study.summary,
        study.description,
        run,
        study,
    )


def suite_runner(suite: str, members: Sequence[Study]) -> Callable[[Any, list[str], Console], None]:
    """The function that runs the studies of a suite."""

    def run(parsed: Any, words: list[str], console: Console) -> None:
        jobs = [
            (study, study.quick if parsed.options.quick else study.settings) for study in members
        ]
        run_studies(jobs, parsed.options, words, console, suite)

    return run


def run_studies(
    jobs: Sequence[tuple[Study, Any]],
    options: Options,
    words: list[str],
    console: Console,
    suite: str = "",
) -> None:
    """Runs studies with the compilation cache."""
    from experiments import runner

    keep_compiled(options.cache)
    runner.run_studies(jobs, options, words, console, suite)


def run_benchmark(parsed: Any, words: list[str], console: Console) -> None:
    """Runs a benchmark."""
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
    """Makes the page, and the gallery if `--gallery` was given."""
    from experiments.report import command

    command.run(parsed, console)


def run_readme(parsed: Readme, _: list[str], console: Console) -> None:
    """Writes the tables in the documents, or checks them."""
    from experiments.report import readme

    readme.run(parsed, console, SUITES)


def run_version(_: Any, __: list[str], console: Console) -> None:
    """Prints the version."""
    console.print(f"jaxreg {importlib.metadata.version('jaxreg')}", highlight=False)
