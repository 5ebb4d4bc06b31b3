"""The command `python -m experiments report`, which writes the page and the gallery."""

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
    """Writes the page, and the gallery if the settings name a folder for it.

    Args:
        config: the settings.
        console: where progress and messages are printed.

    Raises:
        SettingError: if there are no results, or a file or folder cannot be written in the given
            place.
    """
    expected = "a folder with results, as `python -m experiments` makes one"
    require(config.root.is_dir(), "results", expected, config.root)
    folders.check_file(config.page)
    contents = read(config.root, studies.load())
    require(not contents.empty, "results", expected, f"{config.root}, which holds none")
    frames = 0 if contents.player is None else 2 * contents.player.sizes["strength"]
    with progress(console, "drawing the player", frames) as advance:
        text = page.build(contents, advance)
    write_whole(config.page, text)
    console.print(
        f"{config.page}: {len(text.encode()) / 1e6:.1f} MB, open it in a browser",
        markup=False,
        soft_wrap=True,
    )
    if config.gallery is not None:
        write_gallery(config.gallery, contents, console)
    for study in contents.missing:
        console.print(
            f"missing: {study}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )


def write_gallery(folder: Path, contents: Contents, console: Console) -> None:
    """Writes the gallery and prints its folder."""
    require(not folder.exists() or folder.is_dir(), "gallery", "a folder", f"the file {folder}")
    names = gallery.build(contents, folder)
    console.print(f"{folder}: {len(names)} figures and README.md", markup=False, soft_wrap=True)
