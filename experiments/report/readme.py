"""`python -m experiments readme`: the tables in the documents, from results on disk."""

import sys
from collections.abc import Mapping

from rich.console import Console

from experiments import studies
from experiments.report.documents import BLOCK, differing, rendered, tables_of
from experiments.report.numbers import collect, dumped
from experiments.report.settings import Readme
from experiments.results.disk import write_whole
from experiments.results.store import load_json
from experiments.settings import require

NUMBERS = "experiments/gallery/numbers.json"
DOCUMENTS = ("README.md", "experiments/README.md")


def run(config: Readme, console: Console, suites: Mapping[str, str]) -> None:
    """Writes numbers.json from the results, then the tables from numbers.json; or only compares the
    tables.

    Args:
        config: where the results and the documents are.
        console: receives a line for each file.
        suites: what each suite does, by its name.

    Raises:
        SettingError: There are neither results nor numbers, a document is missing, or it has a
            block without a table.
        SystemExit: With `check`, a table differs.
    """
    path = config.clone / NUMBERS
    numbers = load_json(path)
    if not config.check:
        numbers, notes = collect(config.results, studies.load(), numbers)
        for note in notes:
            console.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)
    require(
        bool(numbers),
        "results",
        "a folder with results, as `python -m experiments` makes one",
        config.results,
    )
    tables = tables_of(numbers, suites)
    texts = {}
    for name in DOCUMENTS:
        document = config.clone / name
        require(document.is_file(), "clone", f"a folder with {name}", config.clone)
        texts[name] = document.read_text(encoding="utf-8")
    changed = {name: differing(text, tables, name) for name, text in texts.items()}
    if not config.check:
        new = {name: rendered(text, tables, name) for name, text in texts.items()}
        write_whole(path, dumped(numbers))
        for name, text in new.items():
            write_whole(config.clone / name, text)
    for name, text in texts.items():
        blocks = len(BLOCK.findall(text))
        what = f"{len(changed[name])} of {blocks} tables {'differ' if config.check else 'changed'}"
        line = f"{name}: {what}{': ' if changed[name] else ''}{', '.join(changed[name])}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if config.check and any(changed.values()):
        sys.exit(1)
