"""`python -m experiments`: the main job."""

import functools
import time
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from experiments.config import QUICK, Study
from experiments.terminal import command_of, keep_compiled, parse, progress, provenance_of, use_devices

OVERVIEW = """What L1 and L2 regularization do to a network, on CPU or GPU: trains an MLP on scikit-learn's digits for every
method, strength and seed in one compiled program, and writes records (netCDF), a summary table and figures.

Other commands, each with a --help of its own: `python -m experiments claims` tests claims about L1 and L2;
`python -m experiments baselines` compares them with weight decay; `python -m experiments images` measures accuracy against
weights kept on images; `python -m experiments report` makes one HTML page of what is on disk;
`python -m experiments bench update` measures what a regularized update costs beside optax.adamw; `python -m experiments
bench lasso` judges every optimizer against scikit-learn's lasso; `python -m experiments bench sweep` times the sweep
beside a Flax loop and PyTorch."""


def run(words: list[str], console: Console) -> None:
    """The main job: sweep, drawing, records, table and figures."""
    default = QUICK if "--quick" in words else Study()
    config = parse(Study, words, "python -m experiments", OVERVIEW, default)
    keep_compiled(config.cache)
    used = use_devices(config.devices)

    # Only now, as these initialise what the settings above decide, and --help should not wait for them.
    from experiments import folders, records, report
    from experiments.studies import drawing, l1_l2

    began = time.perf_counter()
    folders.check_replaceable(config.out)
    runs = l1_l2.plan(config).sizes["run"]
    console.print(f"{runs} networks on {used} {jax.devices()[0].platform} device(s)")
    made_by = functools.partial(provenance_of, config, words, began)
    pictured = 2 * (1 + len(config.drawing.player))
    with (
        folders.working(folders.beside(config.out), functools.partial(console.print, markup=False, soft_wrap=True)) as work,
        work.replacing(config.out, made_by, last=True) as folder,
    ):
        with progress(console, "training", runs) as advance:
            swept = l1_l2.sweep(config, work.counted(advance), work.chunks(records.settings_name("digits", config, used)))
        with progress(console, "the small network", pictured) as advance:
            drawn = drawing.draw(config.drawing, config.devices)
            played = drawing.play(config.drawing, advance, config.devices)
        save_figures(swept, drawn, folder, console)
        records.save_dataset(swept, folder / "digits.nc", made_by())
        records.save_dataset(drawn, folder / "wine.nc", made_by())
        records.save_dataset(played, folder / "player.nc", made_by())
        report.write_markdown(swept, command_of(words), folder / "summary.md")
    console.print(report.summary_table(swept))
    lost = report.diverged_drawings(drawn) + report.diverged_frames(played) + report.diverged(swept)
    if lost:
        named = "; ".join(lost[:8]) + (f"; and {len(lost) - 8} more" if len(lost) > 8 else "")
        text = f"diverged, and read nan: {len(lost)} of {runs + 3 + pictured} networks: {named}"
        console.print(text, style="yellow", markup=False)
    kept = "records digits.nc, wine.nc and player.nc, summary.md, and five figures (PNG, SVG)"
    console.print(f"{config.out}: {kept}", markup=False)
    console.print(f"done in {time.perf_counter() - began:.0f} s")


def save_figures(swept: Any, drawn: Any, folder: Path, console: Console) -> None:
    """Makes the five figures from the two sets of records and saves each as PNG and SVG."""
    from experiments.figures import effect, network
    from experiments.records import save_figure

    makers = {
        "L1_1": lambda: network.network_pair(drawn, "L1"),
        "L2_1": lambda: network.network_pair(drawn, "L2"),
        "L1_2": lambda: effect.effect(swept, "proximal L1"),
        "L2_2": lambda: effect.effect(swept, "coupled L2"),
        "L1_3": lambda: network.weight_bars(drawn),
    }
    with progress(console, "figures", len(makers)) as advance:
        for name, make in makers.items():
            save_figure(make(), folder / name)
            advance(1)
