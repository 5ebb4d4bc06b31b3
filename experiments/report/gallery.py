"""The gallery: each figure as a small PNG, and a README with the command that makes it and the
numbers to expect.

build(read(Path("results"), registry), Path("experiments/gallery"))     # figures and README.md
"""

from pathlib import Path

from experiments.report.commands import without_places
from experiments.report.pictures import reduced
from experiments.results.disk import write_whole
from experiments.results.load import Contents, Entry, Result

COLOURS = 128
"""The size of a figure's palette. Text stays smooth with this many colours."""
HEADING = """# Gallery

Every figure with the command that makes it, its duration, and the numbers to expect. Brackets are 95 % intervals over the
seeds, ± is a standard error. Made by `python -m experiments report --gallery experiments/gallery`.
"""


def build(contents: Contents, folder: Path) -> list[str]:
    """Writes README.md and every figure that can be read.

    Args:
        contents: the results.
        folder: the folder to write to.

    Returns:
        The names of the figures.
    """
    lines, names = [HEADING], []
    for result in contents.results:
        for entry in (*result.figures, *result.claims):
            name = picture_name(result, entry)
            try:
                with entry.png.open("rb") as source:
                    pixels = reduced(source, COLOURS)
            except (OSError, SyntaxError):
                continue
            write_whole(folder / f"{name}.png", pixels)
            lines += section(name, result, entry)
            names.append(name)
    write_whole(folder / "README.md", "\n".join(lines))
    return names


def picture_name(result: Result, entry: Entry) -> str:
    """The name of a figure, followed by the variant of its study if it has one."""
    _, *variant = result.name.split("/")
    return "-".join([entry.name, *variant])


def section(name: str, result: Result, entry: Entry) -> list[str]:
    """The README's lines about one figure."""
    _, *variant = result.name.split("/")
    title = " ".join([entry.texts["title"], *(f"({part})" for part in variant)])
    if entry.is_claim:
        title += f": {entry.texts['verdict']}"
    if result.quick:
        title += " (quick run, not final)"
    devices = result.made_by.get("devices") or []
    kind = (
        f"{len(devices)} {devices[0]} device{'s' if len(devices) > 1 else ''}"
        if devices
        else "unknown devices"
    )
    numbers = [
        f"{finding['verdict']}: {finding['statement']} {finding['numbers']}"
        for finding in entry.findings
    ]
    return [
        f"## {title}",
        "",
        f"![{title}]({name}.png)",
        "",
        f"`{without_places(str(result.made_by.get('command', '?')))}`: "
        f"{result.made_by.get('seconds', '?')} s on {kind}.",
        "",
        *(f"- {line}" for line in entry.numbers + numbers),
        "",
    ]
