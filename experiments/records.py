"""Results on disk: a folder that appears whole or not at all, and files that carry what made them."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import xarray as xr
from matplotlib.figure import Figure

from experiments.config import require
from experiments.verdicts import Claim

PACKAGES = ("jaxreg", "jax", "jaxlib", "optax", "flax", "numpy", "scipy", "scikit-learn", "xarray", "matplotlib", "torch")
MARKER = "records.json"
"""The file by which a results folder is known as one, and may be replaced."""


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


def save_dataset(dataset: xr.Dataset, path: Path, made_by: dict[str, Any]) -> None:
    """Writes compressed netCDF with its provenance as the attribute `made_by` (JSON)."""
    packed = {
        name: {"zlib": True} for name, variable in dataset.data_vars.items() if variable.dtype.kind in "fi" and variable.ndim
    }
    attributed = dataset.assign_attrs(made_by=json.dumps(made_by, default=str))
    # Booleans have no type of their own in netCDF.
    plain = attributed.map(lambda variable: variable.astype("int8") if variable.dtype == bool else variable)
    plain.assign_attrs(attributed.attrs).to_netcdf(path, engine="netcdf4", encoding=packed)


def save_claim(claim: Claim, figure: Figure, folder: Path, made_by: dict[str, Any]) -> None:
    """Writes a claim (`claim.json`, with what made it) and its figure (`figure.png`, `figure.svg`) into a folder."""
    text = json.dumps({**claim.as_dict(), "made_by": made_by}, indent=2, default=str, ensure_ascii=False)
    write_whole(folder / "claim.json", text + "\n")
    for ending in ("png", "svg"):
        figure.savefig(folder / f"figure.{ending}")


def load_claims(folder: Path) -> list[dict[str, Any]]:
    """Every claim whose folder lies in `folder`, as `save_claim` wrote it, and its folder under the key `folder`."""
    found = []
    # A name with a leading dot is that of a folder which a command is still writing, or was killed over.
    for path in sorted(folder.glob("[!.]*/claim.json")):
        with contextlib.suppress(OSError, ValueError):
            found.append({**json.loads(path.read_text(encoding="utf-8")), "folder": path.parent})
    return found


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
            cells = (finding[name] for name in ("statement", "tested", "numbers", "verdict"))
            lines.append("| | " + " | ".join(map(in_cell, cells)) + " |")
    write_whole(folder / "claims.md", "\n".join(lines) + "\n")


def in_cell(text: str) -> str:
    """Text for a cell of a Markdown table: a bar would end it."""
    return text.replace("|", "\\|")


def check_replaceable(target: Path) -> None:
    """Refuses a place that cannot be replaced as a whole or holds something other than results, before any work is done.

    Raises:
        SettingError: `target` is a file, the working directory or one above it, a mount point, or a folder with anything in
            it that no results folder's own list names.
    """
    require(not target.exists() or target.is_dir(), "out", "a folder", f"the file {target}")
    real = target.resolve()
    home = real == Path.cwd() or real in Path.cwd().parents or real.is_mount()
    require(not home, "out", "a folder that can be moved", f"{target}, the working directory, one above it or a mount point")
    foreign = sorted(path.name for path in real.iterdir() if path.name not in own_files(real)) if target.exists() else []
    got = f"{target}, which holds other files ({', '.join(foreign[:3])})"
    require(not foreign, "out", "an empty, a new or a results folder, as it is replaced", got)


def own_files(folder: Path) -> set[str]:
    """The files that a results folder says it was written with; none where it is no results folder."""
    try:
        files = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return set(files) if isinstance(files, list) else set()


@contextlib.contextmanager
def replacing(target: Path, made_by: Callable[[], dict[str, Any]]) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends well, and else vanishes.

    What was there is moved aside first and deleted last, so that an interruption at any point leaves one whole folder.

    Args:
        target: the folder to replace. made_by: its provenance, asked for at the end and kept in it with a list of its files.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        files = sorted([MARKER, *(path.name for path in folder.iterdir())])
        write_whole(folder / MARKER, json.dumps({**made_by(), "files": files}, indent=2, default=str) + "\n")
        folder.chmod(0o755)
        if target.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            try:
                os.replace(target, aside)
                try:
                    os.replace(folder, target)
                except BaseException:
                    os.replace(aside, target)
                    raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_file(path: Path | None) -> None:
    """Raises a SettingError where a file cannot be written because a folder has its name."""
    require(path is None or not path.is_dir(), "out", "a file", f"the folder {path}")


def write_whole(path: Path, text: str) -> None:
    """Writes a text file by way of a temporary one beside it, so that it is never seen half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
