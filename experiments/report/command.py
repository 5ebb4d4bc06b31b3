"""`python -m experiments report`: the page, and the gallery."""

from pathlib import Path

from rich.console import Console

from experiments import studies
from experiments.report import gallery, page
from experiments.report.settings import Report
from experiments.results import folders
from experiments.results.disk import write_whole
from experiments.results.load import Contents, read
from experiments.settings import require
from experiments.terminal import progress


def run(config: Report, console: Console) -> None:
    """Writes the page; then the gallery, where the settings name a folder for it."""
    hint = "a folder with results, as `python -m experiments` makes one"
    require(config.root.is_dir(), "results", hint, config.root)
    folders.check_file(config.page)
    found = read(config.root, studies.load())
    require(not found.empty, "results", hint, f"{config.root}, which holds none")
    frames = 0 if found.player is None else 2 * found.player.sizes["strength"]
    with progress(console, "drawing the player", frames) as advance:
        text = page.build(found, advance)
    write_whole(config.page, text)
    console.print(f"{config.page}: {len(text.encode()) / 1e6:.1f} MB, open it in a browser", markup=False, soft_wrap=True)
    if config.gallery is not None:
        build_gallery(config.gallery, found, console)
    for one in found.missing:
        console.print(f"missing: {one}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def build_gallery(folder: Path, found: Contents, console: Console) -> None:
    """Writes the gallery."""
    require(not folder.exists() or folder.is_dir(), "gallery", "a folder", f"the file {folder}")
    names = gallery.build(found, folder)
    console.print(f"{folder}: {len(names)} figures and README.md", markup=False, soft_wrap=True)
