"""Results on disk: records, claims and tables that carry what made them."""

import contextlib
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

from experiments.results.disk import whole, write_whole

PACKAGES = ("jaxreg", "jax", "jaxlib", "optax", "flax", "numpy", "scipy", "scikit-learn", "xarray", "matplotlib", "torch")


def provenance(config: dict[str, Any], command: str, seconds: float) -> dict[str, Any]:
    """What made a result: the command, every setting, the versions, the devices and the time taken."""
    return {
        "command": command,
        "config": config,
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
        name: of the sweep.
        settings: of the study.
        devices: how many are used.
    """
    determining = repr((settings, devices, versions()))
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


def load_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a dictionary; empty where it does not."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
