"""Results on disk: records, claims and tables that carry what made them."""

import contextlib
import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import jax
import xarray as xr
from matplotlib.figure import Figure

from experiments.disk import whole, write_whole
from experiments.verdicts import Claim

PACKAGES = ("jaxreg", "jax", "jaxlib", "optax", "flax", "numpy", "scipy", "scikit-learn", "xarray", "matplotlib", "torch")
NOT_RESULTS = {"out", "cache", "devices", "quick"}
"""Settings that no number depends on, but for how many devices there are in the end."""
FINDING_TEXTS = ("statement", "tested", "numbers", "verdict")
"""What a table shows of a test, in this order."""


def provenance(config: Any, command: str, seconds: float) -> dict[str, Any]:
    """What made a result: the command, every setting, the versions, the devices and the time taken."""
    return {
        "command": command,
        "config": dataclasses.asdict(config),
        "versions": {"python": platform.python_version(), **versions()},
        "devices": [device.device_kind for device in jax.devices()],
        "seconds": round(seconds, 1),
    }


def versions() -> dict[str, str]:
    """The version of each package that is installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def settings_name(name: str, settings: Any, devices: int) -> str:
    """A name for a sweep's chunks that only the same settings, devices and versions have.

    Args:
        name: of the sweep. settings: a dataclass, of which `NOT_RESULTS` are left out. devices: how many are used.
    """
    values = {field: value for field, value in vars(settings).items() if field not in NOT_RESULTS}
    determining = repr((values, devices, versions()))
    return f"{name}-{hashlib.sha256(determining.encode()).hexdigest()[:12]}"


def save_dataset(dataset: xr.Dataset, path: Path, made_by: dict[str, Any]) -> None:
    """Writes compressed netCDF with its provenance as the attribute `made_by` (JSON)."""
    packed = {
        name: {"zlib": True} for name, variable in dataset.data_vars.items() if variable.dtype.kind in "fi" and variable.ndim
    }
    attributed = dataset.assign_attrs(made_by=json.dumps(made_by, default=str))
    # Booleans have no type of their own in netCDF.
    plain = attributed.map(lambda variable: variable.astype("int8") if variable.dtype == bool else variable)
    with whole(path) as temporary:
        try:
            plain.assign_attrs(attributed.attrs).to_netcdf(temporary, engine="netcdf4", encoding=packed)
        except RuntimeError as error:  # what the netCDF library raises where a disk is full
            raise OSError(errno.EIO, str(error), str(path)) from error


def save_figure(figure: Figure, stem: Path) -> None:
    """Writes a figure as PNG and SVG; `stem` is the path without its ending."""
    for ending in ("png", "svg"):
        with whole(stem.with_name(f"{stem.name}.{ending}")) as temporary:
            figure.savefig(temporary)


def save_claim(claim: Claim, figure: Figure, folder: Path, made_by: dict[str, Any]) -> None:
    """Writes a claim (`claim.json`, with what made it) and its figure (`figure.png`, `figure.svg`) into a folder."""
    text = json.dumps({**claim.as_dict(), "made_by": made_by}, indent=2, default=str, ensure_ascii=False)
    write_whole(folder / "claim.json", text + "\n")
    save_figure(figure, folder / "figure")


def load_claims(folder: Path) -> list[dict[str, Any]]:
    """Every claim whose folder lies in `folder`, as `save_claim` wrote it, and its folder under the key `folder`.

    Damaged files are passed over: they must not cost the claims that were just judged their table.
    """
    found = []
    # A hidden folder holds what a command has not finished.
    for path in sorted(folder.glob("[!.]*/claim.json")):
        with contextlib.suppress(OSError, ValueError):
            claim = json.loads(path.read_text(encoding="utf-8"))
            if is_claim(claim):
                found.append({**claim, "folder": path.parent})
    return found


def is_claim(found: Any) -> bool:
    """Whether what a JSON file holds has all that tables and the gallery show of a claim."""
    texts = ("name", "title", "statement", "command", "verdict", "counts")
    if not (isinstance(found, dict) and all(isinstance(found.get(name), str) for name in texts)):
        return False
    findings = found.get("findings")
    return (
        isinstance(found.get("made_by"), dict)
        and isinstance(findings, list)
        and all(isinstance(one, dict) and all(isinstance(one.get(name), str) for name in FINDING_TEXTS) for one in findings)
    )


def write_table(folder: Path, order: tuple[str, ...], command: str) -> None:
    """Writes `claims.md`: every claim in the folder with its findings, in the given order, as one Markdown table.

    Args:
        folder: of the claims. order: of their names; others come last. command: that made or renewed some of them.
    """
    claims = sorted(load_claims(folder), key=lambda one: (*order, one["name"]).index(one["name"]))
    lines = [
        f"Last renewed by `{command}`. Intervals are 95 %, Student's t over the seeds, of differences "
        "taken seed by seed, with no correction for their number.",
        "",
        "| claim | test | how | found | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    for claim in claims:
        lines.append(
            f"| **{in_cell(claim['statement'])}** | | `{claim['command']}` | | **{claim['verdict']}** ({claim['counts']}) |"
        )
        for finding in claim["findings"]:
            cells = (finding[name] for name in FINDING_TEXTS)
            lines.append("| | " + " | ".join(map(in_cell, cells)) + " |")
    write_whole(folder / "claims.md", "\n".join(lines) + "\n")


def in_cell(text: str) -> str:
    """Text for a cell of a Markdown table: a bar would end it."""
    return text.replace("|", "\\|")
