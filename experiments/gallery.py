"""A small gallery from what is on disk: each figure as a light PNG, and a page that says what makes it and what to expect.

gallery.build(Path("results"), Path("experiments/gallery"))     # figures, and README.md beside them
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from experiments.contents import FIGURES, GROUPS, MAIN
from experiments.disk import write_whole
from experiments.records import load_claims
from experiments.verdicts import mean_and_error

COLOURS = 96
"""Of a figure's palette: text stays smooth, and a figure takes a quarter of its bytes."""
SWEPT = {"L1_2": "proximal L1", "L2_2": "coupled L2"}
DRAWN = {"L1_1": ("L1",), "L2_1": ("L2",), "L1_3": ("L1", "L2")}


def build(results: Path, folder: Path) -> list[str]:
    """Writes every figure that is there, and README.md.

    Returns:
        The names of the figures.
    """
    parts = [*main_figures(results / "l1-l2", folder)]
    for group, (_, order) in GROUPS.items():
        claims = sorted(load_claims(results / group), key=lambda one: (*order, one["name"]).index(one["name"]))
        parts += [claim_figure(claim, group, folder) for claim in claims if (claim["folder"] / "figure.png").exists()]
    heading = [
        "# Gallery",
        "",
        "Every figure with the command that makes it, how long that takes, and what to expect. Intervals in brackets are "
        "95 % over the seeds, ± is a standard error. Made by `python -m experiments report --gallery experiments/gallery`.",
        "",
    ]
    write_whole(folder / "README.md", "\n".join(heading + [line for _, lines in parts for line in lines]))
    return [name for name, _ in parts]


def main_figures(source: Path, folder: Path) -> list[tuple[str, list[str]]]:
    """The main job's figures with their numbers."""
    try:
        made_by = json.loads((source / "records.json").read_text(encoding="utf-8"))
        digits = xr.load_dataset(source / "digits.nc", engine="netcdf4")
        wine = xr.load_dataset(source / "wine.nc", engine="netcdf4")
    except (OSError, ValueError):
        return []
    parts = []
    for name in FIGURES:
        if not (source / f"{name}.png").exists():
            continue
        lighten(source / f"{name}.png", folder / f"{name}.png")
        numbers = swept_numbers(digits, SWEPT[name]) if name in SWEPT else drawn_numbers(wine, DRAWN[name])
        parts.append((name, section(name, name, MAIN, made_by, numbers)))
    return parts


def swept_numbers(records: xr.Dataset, method: str) -> list[str]:
    """Zeros, norm and test accuracy at three strengths."""
    methods, strengths = records["method"].values, records["strength"].values
    levels = np.unique(strengths[methods == method])
    lines = []
    for strength in levels[[0, len(levels) // 2, -1]]:
        picked = (methods == method) & (strengths == strength)
        told = []
        for metric, scale, text in (
            ("zero_fraction", 100, "% zeros"),
            ("norm", 1, "‖w‖"),
            ("test_accuracy", 100, "% test accuracy"),
        ):
            mean, error = mean_and_error(scale * records[metric].values[picked].astype(float))
            told.append(f"{mean:.1f} ± {error:.1f} {text}")
        lines.append(f"{method}, λ = {strength:.3g}: {', '.join(told)}")
    return lines


def drawn_numbers(records: xr.Dataset, stages: tuple[str, ...]) -> list[str]:
    """Zeros, norm and test accuracy of the drawn network, before and after."""
    lines = []
    for stage in ("before", *stages):
        one = records.sel(stage=stage)
        weights = np.concatenate([one["first"].values.ravel(), one["second"].values.ravel()])
        strength = "" if stage == "before" else f", λ = {float(one['strength']):g}"
        lines.append(
            f"{stage}{strength}: {int((weights == 0).sum())} of {weights.size} weights 0, "
            f"‖w‖ = {np.linalg.norm(weights):.1f}, test accuracy {100 * float(one['test_accuracy']):.0f} %"
        )
    return lines


def claim_figure(claim: dict[str, Any], group: str, folder: Path) -> tuple[str, list[str]]:
    """A claim's figure with its verdict and findings."""
    name = claim["name"] if group == "claims" else f"{group}-{claim['name']}"
    lighten(claim["folder"] / "figure.png", folder / f"{name}.png")
    numbers = [f"{one['verdict']}: {one['statement']} {one['numbers']}" for one in claim["findings"]]
    title = f"{claim['title']}: {claim['verdict']}"
    return name, section(name, title, claim["command"], claim["made_by"], numbers)


def section(name: str, title: str, command: str, made_by: dict[str, Any], numbers: list[str]) -> list[str]:
    """A figure's part of the page."""
    devices = made_by.get("devices", [])
    kind = f"{len(devices)} {devices[0]} device{'s' if len(devices) > 1 else ''}" if devices else "unknown devices"
    return [
        f"## {title}",
        "",
        f"![{title}]({name}.png)",
        "",
        f"`{command}`: {made_by.get('seconds', '?')} s on {kind}.",
        "",
        *(f"- {line}" for line in numbers),
        "",
    ]


def lighten(source: Path, target: Path) -> None:
    """Copies a PNG with a palette of few colours."""
    packed = io.BytesIO()
    with Image.open(source) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    write_whole(target, packed.getvalue())
