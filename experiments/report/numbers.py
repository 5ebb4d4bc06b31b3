"""The numbers that the documents show, as texts in one small file that is committed beside the
gallery.

    numbers, notes = collect(Path("results"), studies.load(), load_json(path))
    write_whole(path, dumped(numbers))

The file maps the name of each result, such as "images/mnist-5000" or "bench/lasso", to what made it
(command, settings, versions, devices, seconds), its claims and its small tables. A clone without
results renders its documents from this file.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.excerpts import EXCERPTS
from experiments.benchmarks.settings import BENCHMARKS
from experiments.claims import verdict_of
from experiments.report.commands import without_places
from experiments.results.folders import MARKER
from experiments.results.store import load_dataset, load_json
from experiments.results.tables import flattened
from experiments.study import Claim, Results, Study, Summary

PROVENANCE = ("command", "config", "devices", "seconds", "versions")
WIDTH = 120


def collect(
    root: Path, registry: Sequence[Study], before: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Reads the numbers of every result in a folder.

    Args:
        root: the folder of results.
        registry: the studies, in the order of the file.
        before: the numbers so far, which are kept where the folder has no result.

    Returns:
        The numbers, and a line for each result that cannot be read and for those that were kept.
    """
    found: dict[str, Any] = {}
    notes = []
    for study in registry:
        for folder in result_folders(root / study.name):
            name = folder.relative_to(root).as_posix()
            try:
                found[name] = numbers_of_study(study, folder)
            except (OSError, ValueError, KeyError) as error:
                notes.append(f"{name}: cannot be read by this version of the study ({error})")
    for benchmark in BENCHMARKS:
        # Beside lasso.json there may be lasso-gpu.json, the same benchmark on another device.
        for path in sorted((root / "bench").glob(f"{benchmark}*.json")):
            if path.stem.split("-")[0] == benchmark:
                found[f"bench/{path.stem}"] = numbers_of_benchmark(benchmark, load_json(path))
    known = {"bench", *(study.name for study in registry)}
    kept = {
        name: one
        for name, one in before.items()
        if name not in found and name.split("/")[0] in known
    }
    if kept:
        notes.append(f"kept, as {root} does not have them: {', '.join(kept)}")
    found |= kept
    order = [*(study.name for study in registry), "bench"]
    names = sorted(found, key=lambda name: (order.index(name.split("/")[0]), name))
    return {name: found[name] for name in names}, notes


def result_folders(folder: Path) -> Iterator[Path]:
    """A study's folder or, for a study with variants, the folders in it that hold results."""
    yield from sorted(
        path.parent for pattern in (MARKER, f"*/{MARKER}") for path in folder.glob(pattern)
    )


def numbers_of_study(study: Study, folder: Path) -> dict[str, Any]:
    """The claims and the small tables of a study, computed from its datasets.

    Raises:
        OSError: A dataset is missing or cannot be read.
        ValueError: A dataset cannot be decoded.
        KeyError: A dataset was written by another version of the study and lacks a variable.
    """
    results = load_results(study, folder)
    said = load_json(folder / MARKER)
    tables = {name: numbers_of_table(excerpt(results)) for name, excerpt in study.excerpts.items()}
    claims = [numbers_of_claim(claim, results) for claim in study.claims]
    made_by = {
        "suite": study.suite,
        "quick": bool(said.get("quick")),
        "made_by": provenance_of(said),
    }
    return {"summary": study.summary, **made_by, "claims": claims, "tables": tables}


def load_results(study: Study, folder: Path) -> Results:
    """The datasets of a study."""
    return {sweep.name: load_dataset(folder / f"{sweep.name}.nc") for sweep in study.sweeps}


def numbers_of_claim(claim: Claim, results: Results) -> dict[str, Any]:
    """A claim with its verdict and its headlines."""
    findings = claim.evaluate(results)
    return {
        "name": claim.name,
        "statement": claim.statement,
        "verdict": verdict_of(findings),
        "headlines": list(claim.headlines(results, findings)),
    }


def numbers_of_benchmark(name: str, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The small tables of a benchmark, from the content of its file."""
    summary = str(BENCHMARKS[name].__doc__).removesuffix(".")
    tables = {table: numbers_of_table(content) for table, content in EXCERPTS[name](saved).items()}
    made_by = {"suite": "", "quick": False, "made_by": provenance_of(saved["made_by"])}
    return {"summary": summary, **made_by, "claims": [], "tables": tables}


def numbers_of_table(summary: Summary) -> dict[str, Any]:
    """A small table as texts."""
    table, text = summary
    headings, rows = flattened(table)
    return {"title": table.title, "headings": headings, "rows": rows, "text": text}


def provenance_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """What made a result, without the places of files."""
    made_by = {key: said[key] for key in PROVENANCE if key in said}
    if isinstance(made_by.get("config"), dict):
        made_by["config"] = {key: value for key, value in made_by["config"].items() if key != "out"}
    return {**made_by, "command": without_places(str(said.get("command", "?")))}


def dumped(numbers: Mapping[str, Any]) -> str:
    """The content of the file."""
    return f"{as_json(dict(numbers))}\n"


def as_json(value: Any, indent: str = "") -> str:
    """JSON that is easy to read and to compare: what fits on one line is not split, nor is a list
    of numbers.
    """
    line = json.dumps(value, ensure_ascii=False, default=str)
    numbers = isinstance(value, list) and all(isinstance(one, int | float) for one in value)
    if numbers or not isinstance(value, dict | list) or len(indent) + len(line) <= WIDTH:
        return line
    inner = f"{indent}  "
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {as_json(one, inner)}"
            for key, one in value.items()
        ]
    else:
        parts = [as_json(one, inner) for one in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    separator = f",\n{inner}"
    return f"{first}\n{inner}{separator.join(parts)}\n{indent}{last}"
