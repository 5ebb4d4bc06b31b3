"""`python -m experiments report`: one page from what is on disk."""

from rich.console import Console

from experiments.config import Report, require
from experiments.terminal import parse, progress

OVERVIEW = """Builds one HTML page, whole in itself, from the results on disk: the claims with their verdicts, a player that
shows a network as λ grows, the figures and the baselines. It trains nothing and loads nothing; what was not measured yet
is named with the command that does it."""


def run(words: list[str], console: Console) -> None:
    """The page, `report`."""
    config = parse(Report, words, "python -m experiments report", OVERVIEW, Report())
    # Only now, as --help should not wait for them.
    from experiments import contents, folders, gallery, page
    from experiments.disk import write_whole

    hint = "a folder with results, as `python -m experiments` makes one"
    require(config.results.is_dir(), "results", hint, config.results)
    folders.check_file(config.page)
    found = contents.read(config.results)
    require(not found.empty, "results", hint, f"{config.results}, which holds none")
    frames = 0 if found.player is None else 2 * found.player.sizes["strength"]
    with progress(console, "drawing the player", frames) as advance:
        text = page.build(found, advance)
    write_whole(config.page, text)
    console.print(f"{config.page}: {len(text.encode()) / 1e6:.1f} MB, open it in a browser", markup=False, soft_wrap=True)
    if config.gallery is not None:
        require(not config.gallery.exists() or config.gallery.is_dir(), "gallery", "a folder", f"the file {config.gallery}")
        names = gallery.build(config.results, config.gallery)
        console.print(f"{config.gallery}: {len(names)} figures and README.md", markup=False, soft_wrap=True)
    for line in found.missing:
        console.print(f"missing: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
