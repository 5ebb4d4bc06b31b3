"""Reads a folder of results for the page and the gallery, and lists what is missing with the
command that makes it.

    contents = read(Path("results"), studies.load())
    contents.missing         # studies without results, each with the reason and the command that makes them

Files that are missing, incomplete or of another format are left out.
"""

import base64
import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from experiments.results.folders import MARKER
from experiments.results.store import load_dataset, load_json
from experiments.results.tables import FINDING_TEXTS
from experiments.study import Study

MAIN = "python -m experiments"
QUICK = "quick"
"""The subfolder of `results` that holds the quick results."""
NOT_YET, UNREADABLE = "not measured yet", "on disk, but cannot be read"
LARGEST_DRAWING = 500_000
"""Size in bytes above which the PNG is shown instead of an SVG, because large SVGs make the page
scroll slowly.
"""
TEXTS = ("name", "title", "caption", "statement", "verdict", "counts")
PROVENANCE = ("command", "config", "versions", "devices", "seconds")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A figure, and the claim that it belongs to, if any.

    Attributes:
        name: name of its files.
        texts: title and caption, and for a claim also statement, verdict and counts.
        findings: the findings of a claim, each as a dictionary of texts.
        numbers: the numbers that a reader should be able to reproduce, one per line.
        picture: the figure as a data URI; None if it cannot be read.
        png: path of the figure as PNG.
    """

    name: str
    texts: dict[str, str]
    findings: list[dict[str, str]]
    numbers: list[str]
    picture: str | None
    png: Path

    @property
    def is_claim(self) -> bool:
        """Whether the figure belongs to a claim."""
        return bool(self.texts["statement"])


@dataclasses.dataclass(frozen=True)
class Result:
    """The results of one study.

    Attributes:
        name: name of the study, followed by a slash and the variant if there is one.
        summary: one line about the study.
        figures: the figures that belong to no claim.
        claims: the claims with their findings and figures.
        made_by: the provenance: command, settings, versions, devices and seconds.
        quick: whether the results are from a quick run.
    """

    name: str
    summary: str
    figures: list[Entry]
    claims: list[Entry]
    made_by: dict[str, Any]
    quick: bool


class Missing(NamedTuple):
    """A study without results.

    Attributes:
        name: name of the study.
        summary: one line about the study.
        state: why there are no results, in words.
        command: the command that makes them.
    """

    name: str
    summary: str
    state: str
    command: str

    def __str__(self) -> str:
        return f"{self.name}, {self.state}: {self.command}"


@dataclasses.dataclass(frozen=True)
class Contents:
    """Everything that the page and the gallery show.

    Attributes:
        results: the results of all studies that have any, in the order of the registry.
        player: the dataset that the player steps through; None if there is none.
        missing: the studies without results.
    """

    results: list[Result]
    player: xr.Dataset | None
    missing: list[Missing]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.results and self.player is None

    @property
    def quick(self) -> bool:
        """Whether any results are from a quick run."""
        return any(result.quick for result in self.results)


def read(root: Path, registry: Sequence[Study]) -> Contents:
    """Reads a folder of results.

    Args:
        root: the folder, with one subfolder per study.
        registry: the studies in their order. Results of other studies come last.

    Returns:
        What was found and what is missing.
    """
    order = [study.name for study in registry]
    paths = [
        path
        for pattern in (f"*/{MARKER}", f"*/*/{MARKER}")
        for path in root.glob(pattern)
        if shown(path, root)
    ]
    paths.sort(
        key=lambda path: ((*order, study_name(path, root)).index(study_name(path, root)), str(path))
    )
    results = [result for path in paths if (result := result_of(path.parent, root)) is not None]
    unreadable = {study_name(path, root) for path in paths} - {
        result.name.split("/")[0] for result in results
    }
    player = player_of(root / order[0] / "wine.nc") if order else None
    missing = []
    for study in registry:
        if not any(result.name.split("/")[0] == study.name for result in results):
            state = UNREADABLE if study.name in unreadable else NOT_YET
            missing.append(Missing(study.name, study.summary, state, f"{MAIN} {study.name}"))
    return Contents(results, player, missing)


def shown(path: Path, root: Path) -> bool:
    """Whether the page shows a file: not those in hidden folders (unfinished) or in `quick` (shown
    on another page).
    """
    parts = path.relative_to(root).parts
    return parts[0] != QUICK and not any(part.startswith(".") for part in parts)


def study_name(path: Path, root: Path) -> str:
    """The name of the study that a file belongs to."""
    return path.relative_to(root).parts[0]


def result_of(folder: Path, root: Path) -> Result | None:
    """The results in a study's folder; None if its `study.json` cannot be read."""
    saved = load_json(folder / MARKER)
    lists = [saved.get(key) for key in ("figures", "claims")]
    if not all(isinstance(entries, list) for entries in lists):
        return None
    figures, claims = (
        [entry_of(folder, entry) for entry in dictionaries(entries)] for entries in lists
    )
    name = folder.relative_to(root).as_posix()
    made_by: dict[str, Any] = {key: saved[key] for key in PROVENANCE if key in saved}
    figures = [entry for entry in figures if entry.name]
    claims = [entry for entry in claims if entry.name]
    return Result(
        name, str(saved.get("summary", name)), figures, claims, made_by, bool(saved.get("quick"))
    )


def entry_of(folder: Path, saved: dict[str, Any]) -> Entry:
    """A figure or a claim from its dictionary in `study.json`."""
    texts = {name: text_of(saved, name) for name in TEXTS}
    findings = [
        {name: text_of(found, name) for name in FINDING_TEXTS}
        for found in dictionaries(saved.get("findings"))
    ]
    numbers = saved.get("numbers")
    lines = [str(line) for line in numbers] if isinstance(numbers, list) else []
    # A name is a part of paths, so it must not contain a path to another folder.
    name = texts["name"] if texts["name"] == Path(texts["name"]).name else ""
    return Entry(
        name,
        texts,
        findings,
        lines,
        picture(folder / name) if name else None,
        folder / f"{name}.png",
    )


def text_of(saved: dict[str, Any], name: str) -> str:
    """A value as a string, empty if it is missing."""
    return "" if saved.get(name) is None else str(saved[name])


def dictionaries(values: Any) -> Iterable[dict[str, Any]]:
    """The dictionaries in a list; empty if `values` is not a list."""
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )


def picture(stem: Path) -> str | None:
    """A figure as a data URI, from its SVG if that is complete and small, else its PNG; None if
    neither can be read.
    """
    with contextlib.suppress(OSError):
        drawing = stem.with_name(f"{stem.name}.svg").read_bytes()
        complete = drawing.startswith((b"<?xml", b"<svg")) and drawing.rstrip().endswith(b"</svg>")
        if complete and len(drawing) <= LARGEST_DRAWING:
            return data_uri(drawing, "svg+xml")
    with contextlib.suppress(OSError):
        pixels = stem.with_name(f"{stem.name}.png").read_bytes()
        if is_png(pixels):
            return data_uri(pixels, "png")
    return None


def is_png(pixels: bytes) -> bool:
    """Whether bytes are a complete PNG."""
    return pixels.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in pixels[-12:]


def data_uri(image: bytes, kind: str) -> str:
    """An image as a data URI, which makes it a part of the page."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def player_of(path: Path) -> xr.Dataset | None:
    """The player's dataset; None if it lacks a variable, the penalties L1 and L2, λ = 0 or another
    strength.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, RuntimeError):
        dataset = load_dataset(path)
        complete = {"first", "second", "train_accuracy", "test_accuracy", "input", "class"} <= set(
            dataset.variables
        )
        penalties = dataset["penalty"].values.tolist()
        if (
            complete
            and penalties == ["L1", "L2"]
            and dataset.sizes["strength"] > 1
            and dataset["strength"].values[0] == 0
        ):
            return dataset
    return None
