"""Saves datasets and figures with their provenance, and reads datasets back."""

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

from experiments.results.disk import whole

PACKAGES = (
    "jaxreg",
    "jax",
    "jaxlib",
    "optax",
    "flax",
    "numpy",
    "scipy",
    "scikit-learn",
    "xarray",
    "matplotlib",
    "torch",
    "torchao",
)


def provenance(config: dict[str, Any], command: str, seconds: float) -> dict[str, Any]:
    """The provenance of a result.

    Args:
        config: all settings.
        command: the command line.
        seconds: how long the command took.

    Returns:
        These three, the versions of Python and of the packages, and the devices.
    """
    return {
        "command": command,
        "config": config,
        "versions": {"python": platform.python_version(), **versions()},
        "devices": [device.device_kind for device in jax.devices()],
        "seconds": round(seconds, 1),
    }


def versions() -> dict[str, str]:
    """The versions of the installed packages among `PACKAGES`."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def settings_name(name: str, settings: Any, devices: int) -> str:
    """A name for a sweep's chunks that is unique to the settings, the number of devices and the
    versions.

    Args:
        name: name of the sweep.
        settings: settings of the study.
        devices: number of devices.

    Returns:
        The name of the sweep followed by a hash.
    """
    determining = repr((settings, devices, versions()))
    return f"{name}-{hashlib.sha256(determining.encode()).hexdigest()[:12]}"


def save_dataset(dataset: xr.Dataset, path: Path, made_by: dict[str, Any]) -> None:
    """Writes a dataset as compressed netCDF.

    Args:
        dataset: the dataset.
        path: the file.
        made_by: the provenance, saved as the attribute `made_by` (JSON).

    Raises:
        SavingError: the file cannot be written.
    """
    compressed = {
        name: {"zlib": True}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind in "fi" and variable.ndim
    }
    attributed = dataset.assign_attrs(made_by=json.dumps(made_by, default=str))
    with whole(path) as temporary:
        try:
            attributed.to_netcdf(temporary, engine="netcdf4", encoding=compressed)
        except RuntimeError as error:  # raised by the netCDF library if a disk is full
            raise OSError(errno.EIO, str(error), str(path)) from error


def load_dataset(path: Path) -> xr.Dataset:
    """Reads a dataset into memory, with the types that it had before it was saved.

    NetCDF has neither booleans nor strings of fixed length. xarray marks the booleans that it
    writes; in files without these marks, `diverged` alone is boolean.

    Args:
        path: the file.

    Returns:
        The dataset. Its attribute `made_by` is the provenance (JSON).

    Raises:
        OSError: the file does not exist or is not netCDF.
        ValueError: the file cannot be decoded.
        RuntimeError: the file is damaged.
    """
    # Units such as "seconds" must not turn numbers into times.
    dataset = xr.load_dataset(path, engine="netcdf4", decode_times=False).drop_encoding()
    for name, variable in dataset.variables.items():
        kind = bool if name == "diverged" else str if variable.dtype == object else None
        if kind is not None:
            restored = {name: (variable.dims, variable.values.astype(kind), variable.attrs)}
            dataset = (
                dataset.assign_coords(restored)
                if name in dataset.coords
                else dataset.assign(restored)
            )
    return dataset


def save_figure(figure: Figure, stem: Path) -> None:
    """Writes a figure as PNG and SVG. `stem` is the path without its ending."""
    for ending in ("png", "svg"):
        with whole(stem.with_name(f"{stem.name}.{ending}")) as temporary:
            figure.savefig(temporary)


def load_json(path: Path) -> dict[str, Any]:
    """The dictionary in a JSON file; empty if the file cannot be read or holds something else."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
