"""What a folder of results holds. Whatever is missing or cannot be read comes back as such, with the command that makes it.

    found = read(Path("results"), studies.load())
    found.missing            # [Missing("relevance", "Which inputs are kept", "not measured yet", "python -m experiments relevance")]

Every file may be absent, cut off or not what its name says: the page and the gallery are made of the others.
"""

import base64
import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from experiments.results.folders import MARKER
from experiments.results.store import load_json
from experiments.study import Study

MAIN = "python -m experiments"
QUICK = "quick"
"""The folder of quick results below that of full ones."""
NOT_YET, UNREADABLE = "not measured yet", "on disk, but cannot be read"
LARGEST_DRAWING = 500_000
"""Bytes of an SVG beyond which its PNG is shown: sharp at every size is not worth a page that scrolls slowly."""
TEXTS = ("name", "title", "caption", "statement", "verdict", "counts")
FINDING_TEXTS = ("statement", "tested", "numbers", "verdict")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A figure, and the claim that it belongs to, if any.

    Attributes:
        name: of its files.
        texts: title, caption, and of a claim its statement, verdict and counts.
        findings: of a claim, each a dictionary of texts.
        numbers: what a reader should find again, a line each.
        picture: the figure as a data URI; None where it cannot be read.
        png: where the figure is as PNG.
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
        name: of the study, and its variant behind a slash where it has any.
        summary: of the study.
        figures: that belong to no claim.
        claims: with their findings and figures.
        made_by: command, settings, versions, devices and seconds.
        quick: whether it is a quick run.
    """

    name: str
    summary: str
    figures: list[Entry]
    claims: list[Entry]
    made_by: dict[str, Any]
    quick: bool


class Missing(NamedTuple):
    """A study without results: its name, its summary, why there are none, and the command that makes them."""

    name: str
    summary: str
    state: str
    command: str

    def __str__(self) -> str:
        return f"{self.name}, {self.state}: {self.command}"


@dataclasses.dataclass(frozen=True)
class Contents:
    """All that the page and the gallery are made of.

    Attributes:
        results: of every study that has any, in the order of the registry.
        player: the dataset that the player steps through, if any.
        missing: the studies without results.
    """

    results: list[Result]
    player: xr.Dataset | None
    missing: list[Missing]

    @property
    def empty(self) -> bool:
        """Whether there is nothing at all to show."""
        return not self.results and self.player is None

    @property
    def quick(self) -> bool:
        """Whether any of it comes from a quick run."""
        return any(result.quick for result in self.results)


def read(root: Path, registry: Sequence[Study]) -> Contents:
    """Everything in a folder of results.

    Args:
        root: the folder, one study a folder in it.
        registry: the studies, in their order; others that are found come last.
    """
    order = [study.name for study in registry]
    paths = [path for pattern in (f"*/{MARKER}", f"*/*/{MARKER}") for path in root.glob(pattern) if shown(path, root)]
    paths.sort(key=lambda path: ((*order, study_name(path, root)).index(study_name(path, root)), str(path)))
    results = [result for path in paths if (result := result_of(path.parent, root)) is not None]
    unreadable = {study_name(path, root) for path in paths} - {result.name.split("/")[0] for result in results}
    player = player_of(root / order[0] / "wine.nc") if order else None
    missing = []
    for study in registry:
        if not any(result.name.split("/")[0] == study.name for result in results):
            state = UNREADABLE if study.name in unreadable else NOT_YET
            missing.append(Missing(study.name, study.summary, state, f"{MAIN} {study.name}"))
    return Contents(results, player, missing)


def shown(path: Path, root: Path) -> bool:
    """Whether a study's file is a result: hidden folders hold unfinished work, and quick results have a page of their own."""
    parts = path.relative_to(root).parts
    return parts[0] != QUICK and not any(part.startswith(".") for part in parts)


def study_name(path: Path, root: Path) -> str:
    """The study that a file in its folder belongs to."""
    return path.relative_to(root).parts[0]


def result_of(folder: Path, root: Path) -> Result | None:
    """The results in a study's folder; None where its file cannot be read."""
    said = load_json(folder / MARKER)
    lists = [said.get(key) for key in ("figures", "claims")]
    if not all(isinstance(one, list) for one in lists):
        return None
    figures, claims = ([entry(folder, one) for one in dictionaries(every)] for every in lists)
    name = folder.relative_to(root).as_posix()
    made_by: dict[str, Any] = {key: said[key] for key in ("command", "config", "versions", "devices", "seconds") if key in said}
    figures = [one for one in figures if one.name]
    claims = [one for one in claims if one.name]
    return Result(name, str(said.get("summary", name)), figures, claims, made_by, bool(said.get("quick")))


def entry(folder: Path, said: dict[str, Any]) -> Entry:
    """A figure or a claim as `study.json` has it, every text a string."""
    texts = {name: text_of(said, name) for name in TEXTS}
    findings = [{name: text_of(one, name) for name in FINDING_TEXTS} for one in dictionaries(said.get("findings"))]
    numbers = said.get("numbers")
    lines = [str(line) for line in numbers] if isinstance(numbers, list) else []
    # A name leads to files, so it may not lead elsewhere.
    name = texts["name"] if texts["name"] == Path(texts["name"]).name else ""
    return Entry(name, texts, findings, lines, picture(folder / name) if name else None, folder / f"{name}.png")


def text_of(said: dict[str, Any], name: str) -> str:
    """A value as a string, empty where there is none."""
    return "" if said.get(name) is None else str(said[name])


def dictionaries(values: Any) -> Iterable[dict[str, Any]]:
    """The dictionaries of a list; nothing where it is none."""
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def picture(stem: Path) -> str | None:
    """A figure as a data URI, from its whole SVG or else its whole PNG; None where neither is there."""
    with contextlib.suppress(OSError):
        drawing = stem.with_name(f"{stem.name}.svg").read_bytes()
        whole = drawing.startswith((b"<?xml", b"<svg")) and drawing.rstrip().endswith(b"</svg>")
        if whole and len(drawing) <= LARGEST_DRAWING:
            return data_uri(drawing, "svg+xml")
    with contextlib.suppress(OSError):
        pixels = stem.with_name(f"{stem.name}.png").read_bytes()
        if is_png(pixels):
            return data_uri(pixels, "png")
    return None


def is_png(pixels: bytes) -> bool:
    """Whether bytes are a PNG that was not cut off."""
    return pixels.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in pixels[-12:]


def data_uri(image: bytes, kind: str) -> str:
    """An image as part of the page."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def player_of(path: Path) -> xr.Dataset | None:
    """The player's dataset, where it is whole: two penalties, λ = 0 and at least one more, no variable missing."""
    with contextlib.suppress(OSError, ValueError, KeyError, RuntimeError):
        dataset = xr.load_dataset(path, engine="netcdf4")
        whole = {"first", "second", "train_accuracy", "test_accuracy", "input", "class"} <= set(dataset.variables)
        penalties = dataset["penalty"].values.tolist()
        if whole and penalties == ["L1", "L2"] and dataset.sizes["strength"] > 1 and dataset["strength"].values[0] == 0:
            return dataset
    return None
