"""Results on disk: a folder that appears whole or not at all, and files that carry what made them."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from experiments.config import require

PACKAGES = ("jaxreg", "jax", "jaxlib", "optax", "flax", "numpy", "scikit-learn", "xarray", "matplotlib")
MARKER = "records.json"
"""The file by which a results folder is known as one, and may be replaced."""


def provenance(config: Any, command: str, seconds: float) -> dict[str, Any]:
    """What made a result: the command, every setting, the versions, the devices and the time taken."""
    return {
        "command": command,
        "config": dataclasses.asdict(config),
        "versions": {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}},
        "devices": [device.device_kind for device in jax.devices()],
        "seconds": round(seconds, 1),
    }


def save_dataset(dataset: xr.Dataset, path: Path, made_by: dict[str, Any]) -> None:
    """Writes compressed netCDF with its provenance as the attribute `made_by` (JSON)."""
    packed = {
        name: {"zlib": True} for name, variable in dataset.data_vars.items() if variable.dtype.kind in "fi" and variable.ndim
    }
    attributed = dataset.assign_attrs(made_by=json.dumps(made_by, default=str))
    # Booleans have no type of their own in netCDF.
    plain = attributed.map(lambda variable: variable.astype("int8") if variable.dtype == bool else variable)
    plain.assign_attrs(attributed.attrs).to_netcdf(path, engine="netcdf4", encoding=packed)


def check_replaceable(target: Path) -> None:
    """Refuses a place that holds something other than results, before any work is done.

    Raises:
        SettingError: `target` is a file, or a folder that is neither empty nor a results folder.
    """
    require(not target.exists() or target.is_dir(), "out", "a folder", f"the file {target}")
    foreign = target.exists() and any(target.iterdir()) and not (target / MARKER).exists()
    require(
        not foreign, "out", "an empty, a new or a results folder, as it is replaced", f"{target}, which holds other files"
    )


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends well, and else vanishes.

    What was there is moved aside first and deleted last, so that an interruption at any point leaves one whole folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if target.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            os.replace(target, aside)
            try:
                os.replace(folder, target)
            except BaseException:
                os.replace(aside, target)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file by way of a temporary one beside it, so that it is never seen half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(text)
    os.replace(file.name, path)
