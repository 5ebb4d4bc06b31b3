"""A small gallery from what is on disk: each figure as a light PNG, and a README that says what makes it and what to expect.

build(read(Path("results"), registry), Path("experiments/gallery"))     # figures and README.md
"""

from pathlib import Path

from experiments.report.pictures import lightened
from experiments.results.disk import write_whole
from experiments.results.load import Contents, Entry, Result

COLOURS = 96
"""Of a figure's palette: text stays smooth."""
HEADING = """# Gallery

Every figure with the command that makes it, how long that takes, and what to expect. Intervals in brackets are 95 % over
the seeds, ± is a standard error. Made by `python -m experiments report --gallery experiments/gallery`.
"""


def build(found: Contents, folder: Path) -> list[str]:
    """Writes every figure that is there, and README.md.

    Returns:
        The names of the figures.
    """
    lines, names = [HEADING], []
    for result in found.results:
        for entry in (*result.figures, *result.claims):
            name = picture_name(result, entry)
            try:
                with entry.png.open("rb") as source:
                    pixels = lightened(source, COLOURS)
            except (OSError, SyntaxError):
                continue
            write_whole(folder / f"{name}.png", pixels)
            lines += section(name, result, entry)
            names.append(name)
    write_whole(folder / "README.md", "\n".join(lines))
    return names


def picture_name(result: Result, entry: Entry) -> str:
    """The figure's name, with that of the study's variant behind it."""
    _, *variant = result.name.split("/")
    return "-".join([entry.name, *variant])


def section(name: str, result: Result, entry: Entry) -> list[str]:
    """A figure's part of the README."""
    _, *variant = result.name.split("/")
    title = " ".join([entry.texts["title"], *(f"({one})" for one in variant)])
    if entry.is_claim:
        title += f": {entry.texts['verdict']}"
    if result.quick:
        title += " (quick run, not final)"
    devices = result.made_by.get("devices") or []
    kind = f"{len(devices)} {devices[0]} device{'s' if len(devices) > 1 else ''}" if devices else "unknown devices"
    numbers = [f"{one['verdict']}: {one['statement']} {one['numbers']}" for one in entry.findings]
    return [
        f"## {title}",
        "",
        f"![{title}]({name}.png)",
        "",
        f"`{result.made_by.get('command', '?')}`: {result.made_by.get('seconds', '?')} s on {kind}.",
        "",
        *(f"- {line}" for line in entry.numbers + numbers),
        "",
    ]
