"""What a results folder holds. Whatever is missing or cannot be read comes back as such, with the command that makes it.

    found = read(Path("results"))
    found.missing            # ["claims/zeros, not measured yet: python -m experiments claims zeros", …]

Every file may be absent, cut off or not what its name says: a page is made of the others.
"""

import base64
import contextlib
import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import xarray as xr

from experiments.config import BASELINE_NAMES, CLAIM_NAMES, FASHION, MNIST

MAIN = "python -m experiments"
FIGURES = ("L1_1", "L2_1", "L1_2", "L2_2", "L1_3")
GROUPS = {
    "claims": (f"{MAIN} claims ", CLAIM_NAMES),
    "baselines": (f"{MAIN} baselines ", BASELINE_NAMES),
    "images": (f"{MAIN} images --data ", (FASHION, MNIST)),
}
"""For each folder of claims: the command that fills it, up to a name, and those names, in the order of the page."""
NOT_YET, UNREADABLE = "not measured yet", "on disk, but cannot be read"
LARGEST_DRAWING = 500_000
"""Bytes of an SVG beyond which its PNG is shown: sharp at every size is not worth a page that scrolls slowly."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One claim, or the place where it would be.

    Attributes:
        name: of its folder. claim: what its `claim.json` says, every text a string; None where there is none.
        picture: its figure as a data URI. state: empty, or why there is no claim. command: what makes it.
    """

    name: str
    claim: dict[str, Any] | None
    picture: str | None
    state: str
    command: str


@dataclasses.dataclass(frozen=True)
class Contents:
    """All that a page is made of.

    Attributes:
        pictures: the main job's figures as data URIs, None where missing. player: the records of `drawing.play`, if any.
        player_state: empty, or why there is none.
        groups: by folder, its entries. made_by: what made the main job's folder. missing: a line for each missing thing.
    """

    pictures: dict[str, str | None]
    player: xr.Dataset | None
    player_state: str
    groups: dict[str, list[Entry]]
    made_by: dict[str, Any]
    missing: list[str]

    @property
    def empty(self) -> bool:
        """Whether there is nothing at all to show."""
        claims = [entry.claim for group in self.groups.values() for entry in group]
        return self.player is None and not any(self.pictures.values()) and not any(claims)


def read(results: Path) -> Contents:
    """Everything in a results folder that the page shows."""
    main = results / "l1-l2"
    pictures = {name: picture(main / name) for name in FIGURES}
    player = player_of(main / "player.nc")
    state = "" if player is not None else UNREADABLE if (main / "player.nc").exists() else NOT_YET
    groups = {group: entries(results / group, *GROUPS[group]) for group in GROUPS}
    missing = [f"figure {name}, {NOT_YET}: {MAIN}" for name, found in pictures.items() if found is None]
    missing += [f"the player, {state}: {MAIN}"] if state else []
    for group, found in groups.items():
        missing += [f"{group}/{entry.name}, {entry.state}: {entry.command}" for entry in found if entry.state]
    return Contents(pictures, player, state, groups, dictionary(main / "records.json"), missing)


def picture(stem: Path) -> str | None:
    """A figure as a data URI, from its whole SVG or else its whole PNG; None where neither is there."""
    with contextlib.suppress(OSError):
        drawing = stem.with_name(f"{stem.name}.svg").read_bytes()
        whole = drawing.startswith((b"<?xml", b"<svg")) and drawing.rstrip().endswith(b"</svg>")
        if whole and len(drawing) <= LARGEST_DRAWING:
            return data_uri(drawing, "svg+xml")
    with contextlib.suppress(OSError):
        pixels = stem.with_name(f"{stem.name}.png").read_bytes()
        if pixels.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in pixels[-12:]:
            return data_uri(pixels, "png")
    return None


def data_uri(image: bytes, kind: str) -> str:
    """An image as part of the page."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def player_of(path: Path) -> xr.Dataset | None:
    """The player's records, where they are whole: two penalties, λ = 0 and at least one more, no variable missing."""
    with contextlib.suppress(OSError, ValueError, KeyError, RuntimeError):
        records = xr.load_dataset(path, engine="netcdf4")
        whole = {"first", "second", "train_accuracy", "test_accuracy", "input", "class"} <= set(records.variables)
        penalties = records["penalty"].values.tolist()
        if whole and penalties == ["L1", "L2"] and records.sizes["strength"] > 1 and records["strength"].values[0] == 0:
            return records
    return None


def entries(folder: Path, command: str, names: tuple[str, ...]) -> list[Entry]:
    """The claims of a folder: those that its command makes, in their order and whether there or not, then any others."""
    there = sorted(path.parent.name for path in folder.glob("*/claim.json"))
    # A hidden folder holds what a command has not finished.
    others = [name for name in there if name not in names and not name.startswith(".")]
    return [entry(folder / name, command + shlex.quote(name)) for name in [*names, *others]]


def entry(folder: Path, command: str) -> Entry:
    """The claim in a folder."""
    said = dictionary(folder / "claim.json")
    claim = {**texts(said, "title", "statement", "caption", "command", "verdict"), "findings": [], "made_by": {}}
    if not claim["title"] or not isinstance(said.get("findings"), list):
        state = UNREADABLE if (folder / "claim.json").exists() else NOT_YET
        return Entry(folder.name, None, None, state, command)
    columns = ("statement", "tested", "numbers", "verdict")
    claim["findings"] = [texts(one, *columns) for one in said["findings"] if isinstance(one, dict)]
    claim["made_by"] = said["made_by"] if isinstance(said.get("made_by"), dict) else {}
    return Entry(folder.name, claim, picture(folder / "figure"), "", claim["command"] or command)


def texts(found: dict[str, Any], *names: str) -> dict[str, Any]:
    """Some values of a dictionary as strings, empty where there is none."""
    return {name: "" if found.get(name) is None else str(found[name]) for name in names}


def dictionary(path: Path) -> dict[str, Any]:
    """A JSON file that holds a dictionary; empty where it does not."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
