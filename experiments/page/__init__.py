"""One HTML page from the results on disk, a file that opens from a folder, an e-mail or an archive.

    build([(STUDY, Path("results/strength.nc"))], STUDIES)    # the page as a string

Its Content-Security-Policy forbids the browser to load anything: pictures are data URIs, style and
script are inline. The template escapes all text.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import claims
from experiments.lab import Evaluated, Study, evaluate, load

MARKS = {
    claims.SUPPORTED: "✓",
    claims.IN_PART: "◐",
    claims.NOT_SUPPORTED: "○",
    claims.CONTRADICTED_IN_PART: "◌",
    claims.CONTRADICTED: "✗",
    claims.NOT_MEASURED: "–",
}
SECTIONS = {
    "player": "A small network as λ grows",
    "figures": "Figures",
    "claims": "Claims and verdicts",
    "evidence": "The claims in detail",
    "missing": "Studies without results",
    "provenance": "How these results were made",
}
LARGEST_SVG = 500_000
"""Size in bytes above which the PNG is shown, because large SVGs make the page scroll slowly."""


class Shown(NamedTuple):
    """A result as the template reads it.

    Attributes:
        label: name of the result.
        variant: what follows the name of the study in the label.
        study: the study.
        made_by: how the result was made.
        evaluated: the claims with their findings.
        images: data URI of each figure by its name.
    """

    label: str
    variant: str
    study: Study
    made_by: Mapping[str, Any]
    evaluated: Sequence[Evaluated]
    images: Mapping[str, str]


def build(places: Sequence[tuple[Study, Path]], studies: Sequence[Study]) -> str:
    """Builds the page.

    Args:
        places: the studies with the files of their results. Figures are read from the folders
            beside them.
        studies: all studies in their order; the first one has the networks of the player.

    Returns:
        The page as HTML.

    Raises:
        FileNotFoundError: a figure is missing.
    """
    import jinja2

    from experiments.page import player

    order = [study.name for study in studies]
    order += sorted({study.name for study, _ in places} - set(order))
    results, frames = [], []
    for study, place in sorted(places, key=lambda pair: (order.index(pair[0].name), pair[1])):
        datasets, made_by = load(place)
        names = [part.name for part in study.pictures] + [part.name for part in study.claims]
        images = {name: image(place.with_suffix(""), name) for name in names}
        variant = place.stem.removeprefix(study.name.replace(" ", "-")).removeprefix("-")
        evaluated = evaluate(study, datasets)
        results.append(Shown(place.stem, variant, study, made_by, evaluated, images))
        if study.name == order[0]:
            frames = player.frames(datasets["wine"])
    tested = [(result, *outcome) for result in results for outcome in result.evaluated]
    verdicts = [verdict for *_, verdict in tested]
    missing = [study for study in studies if study.name not in {pair[0].name for pair in places}]
    there = {
        "player": frames,
        "figures": any(result.study.pictures for result in results),
        "claims": tested,
        "evidence": tested,
        "missing": missing,
        "provenance": results,
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("template")),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    return environment.get_template("page.html").render(
        results=results,
        frames=frames,
        claims=tested,
        counts=", ".join(f"{verdicts.count(v)} {v}" for v in MARKS if v in verdicts),
        missing=missing,
        versions=sorted({
            ", ".join(f"{name} {version}" for name, version in result.made_by["versions"].items())
            for result in results
        }),
        marks=MARKS,
        sections={name: text for name, text in SECTIONS.items() if there[name]},
    )  # fmt: skip


def image(folder: Path, name: str) -> str:
    """A figure as a data URI, the SVG unless it is large.

    Raises:
        FileNotFoundError: the figure is missing.
    """
    svg, png = (folder / f"{name}.{ending}" for ending in ("svg", "png"))
    if not (svg.exists() and png.exists()):
        missing = f"no figure there; `python -m experiments draw {folder.name}` makes it"
        raise FileNotFoundError(2, missing, str(folder / name))
    if svg.stat().st_size <= LARGEST_SVG:
        return data_uri(svg.read_bytes(), "svg+xml")
    return data_uri(png.read_bytes(), "png")


def data_uri(content: bytes, kind: str) -> str:
    """An image as a data URI, which makes it a part of the page."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
