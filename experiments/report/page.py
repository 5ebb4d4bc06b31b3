"""One HTML page from what is on disk: whole in itself, so that it opens from a folder, an e-mail or an archive.

    build(read(Path("results"), registry))        # the page as a string

Its policy (the Content-Security-Policy in its head) forbids the browser to load anything from anywhere: pictures are data
URIs, style and script are inline. All text from results is escaped.

The player is written here and not by matplotlib's HTMLWriter, whose page loads its buttons' icons from a server, gives them
no names, does not show λ, and holds one picture for each frame. Here the two networks are pictures of their own, side by
side on a wide screen and below each other on a narrow one, the slider stays in sight, and every step is also described in
words.
"""

import json
import re
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

from experiments.claims import CONTRADICTED, CONTRADICTED_IN_PART, IN_PART, NOT_MEASURED, NOT_SUPPORTED, SUPPORTED
from experiments.report import player
from experiments.report.pictures import png
from experiments.results.load import Contents, Entry, Result, data_uri

TITLE = "What L1 and L2 regularization do to a network"
MARKS = {
    SUPPORTED: "✓", IN_PART: "◐", NOT_SUPPORTED: "○", CONTRADICTED_IN_PART: "◌", CONTRADICTED: "✗", NOT_MEASURED: "–",
}  # fmt: skip
COLOURS = 128
"""Of the player's pictures."""
QUICK = "quick run"
SECTIONS = {
    "player": "One network as λ grows",
    "figures": "Figures",
    "claims": "The claims, and how far they hold",
    "evidence": "Each claim in detail",
    "provenance": "What made these results",
}


def build(found: Contents, advance: Callable[[int], None] = lambda _: None) -> str:
    """The page.

    Args:
        found: what it is made of.
        advance: receives how many frames of the player were drawn.
    """
    claims = any(result.claims for result in found.results)
    figures = "".join(figure_part(result, entry) for result in found.results for entry in result.figures)
    parts = {
        "player": player_part(found, advance) if found.player is not None else "",
        "figures": figures,
        "claims": (claims_table(found.results) if claims else "") + missing_part(found),
        "evidence": "".join(study_part(result) for result in found.results if result.claims),
        "provenance": folded("Commands, seconds, devices and versions", provenance(found.results)) if found.results else "",
    }
    parts = {name: part for name, part in parts.items() if part}
    sections = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{SECTIONS[name]}</h2>{part}</section>'
        for name, part in parts.items()
    )
    links = "".join(f'<li><a href="#{name}">{SECTIONS[name]}</a></li>' for name in parts)
    notice = asset("quick.html") if found.quick else ""
    values = {"TITLE": TITLE, "STYLE": asset("page.css"), "SCRIPT": asset("page.js"), "LINKS": links, "NOTICE": notice}
    return filled(asset("page.html"), {**values, "SECTIONS": sections})


def asset(name: str) -> str:
    """A part of the page that does not depend on results."""
    return Path(__file__).with_name("template").joinpath(name).read_text(encoding="utf-8")


def filled(template: str, values: dict[str, str]) -> str:
    """A template with its values in their places."""
    return re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], template)


def folded(summary: str, content: str) -> str:
    """Content that is shown when its summary is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def claims_table(results: Iterable[Result]) -> str:
    """Every claim with its verdict; the numbers of its tests are folded, and so is the table below its counts."""
    rows, verdicts = [], []
    for result in results:
        for entry in result.claims:
            link = f'<a href="#{anchor(result, entry)}">{title_of(result, entry)}</a>'
            name = f"<b>{link}</b><br>{escape(entry.texts['statement'])}"
            rows.append([name, badge(entry.texts["verdict"]) + quick_badge(result), tests(entry.findings)])
            verdicts.append(entry.texts["verdict"])
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in MARKS if verdict in verdicts)
    columns = ["Claim", "Verdict", "Tests: mean [95 % interval over the seeds]"]
    shown = folded(f"{len(rows)} claims: {counts}", table("Claims", columns, rows, "summary"))
    return shown + folded("How a verdict is decided", asset("verdicts.html"))


def missing_part(found: Contents) -> str:
    """The studies without results, a line each."""
    lines = "".join(
        f"<li>{escape(one.summary)}: {escape(one.state)}. <code>{escape(one.command)}</code></li>" for one in found.missing
    )
    return f'<div class="absent"><p>Not on this page:</p><ul>{lines}</ul></div>' if lines else ""


def tests(findings: list[dict[str, str]]) -> str:
    """The tests of a claim with their numbers, folded below their count."""
    verdicts = [one["verdict"] for one in findings]
    summary = (
        f"{verdicts.count(SUPPORTED)} of {len(findings)} tests support it, {verdicts.count(CONTRADICTED)} contradict it"
    )
    rows = "".join(
        f"<li>{mark(one)}<div>{escape(one['statement'].rstrip('.'))}: <b>{escape(one['numbers'])}</b></div></li>"
        for one in findings
    )
    return folded(summary, f'<ul class="tests">{rows}</ul>')


def table(label: str, columns: list[str], rows: list[list[str]], style: str = "") -> str:
    """A table of cells that are HTML already; on a narrow screen each row becomes a card whose cells name their column."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = ""
    for first, *others in rows:
        named = zip(columns[1:], others, strict=True)
        cells = "".join(f'<td data-label="{escape(name)}"><div>{cell}</div></td>' for name, cell in named)
        body += f'<tr><th scope="row">{first}</th>{cells}</tr>'
    parts = f"<caption>{escape(label)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="{style}">{parts}</table>'


def badge(verdict: str) -> str:
    """A verdict as a word with a sign and a colour."""
    sign = f'<span aria-hidden="true">{MARKS.get(verdict, "?")}</span>'
    return f'<span class="verdict {style_of(verdict)}">{sign} {escape(verdict)}</span>'


def quick_badge(result: Result) -> str:
    """The mark of what rests on a quick run."""
    return f' <span class="quick">{QUICK}</span>' if result.quick else ""


def style_of(verdict: str) -> str:
    """The class by which a verdict has its colour."""
    return verdict.replace(" ", "-") if verdict in MARKS else "other"


def mark(finding: dict[str, str]) -> str:
    """A test's verdict as a sign, its word for those who cannot see it."""
    verdict = finding["verdict"]
    sign = MARKS.get(verdict, "?")
    style = f"mark {style_of(verdict)}"
    hidden = f'<span class="unseen">{escape(verdict)}: </span>'
    return f'<span class="{style}" aria-hidden="true" title="{escape(verdict)}">{sign}</span>{hidden}'


def title_of(result: Result, entry: Entry) -> str:
    """A figure's or claim's title, with the variant of its study."""
    _, *variant = result.name.split("/")
    return escape(" ".join([entry.texts["title"] or entry.name, *(f"({one})" for one in variant)]))


def anchor(result: Result, entry: Entry) -> str:
    """The id of a figure or an article."""
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{result.name}-{entry.name}")


def picture(image: str | None, text: str) -> str:
    """A figure that scrolls in a box of its own where the screen is too narrow to read it."""
    if image is None:
        return '<p class="absent">The figure is on disk, but cannot be read.</p>'
    box = f'<div class="scroll" tabindex="0" role="group" aria-label="figure"><img src="{image}" alt="{escape(text)}"></div>'
    hint = '<span class="hint">The figure scrolls sideways. </span>'
    return f"<figure>{box}<figcaption>{hint}{escape(text)}</figcaption></figure>"


def figure_part(result: Result, entry: Entry) -> str:
    """A figure that belongs to no claim."""
    heading = f'<h3 id="{anchor(result, entry)}">{title_of(result, entry)}{quick_badge(result)}</h3>'
    return heading + picture(entry.picture, entry.texts["caption"] or entry.name)


def study_part(result: Result) -> str:
    """The claims of a study, each folded."""
    seconds = result.made_by.get("seconds")
    took = f" in {seconds:g} s" if isinstance(seconds, int | float) else ""
    command = escape(str(result.made_by.get("command", "?")))
    made = f'<p class="made">Made by <code>{command}</code>{took}.</p>'
    articles = "".join(article(result, entry) for entry in result.claims)
    return f"<h3>{escape(result.summary)}{quick_badge(result)}</h3>{articles}{made}"


def article(result: Result, entry: Entry) -> str:
    """One claim in detail: what is claimed, its figure and its tests, folded below its title and verdict."""
    place = anchor(result, entry)
    rows = [
        [escape(one["statement"]), escape(one["tested"]), escape(one["numbers"]), badge(one["verdict"])]
        for one in entry.findings
    ]
    heading = f'<span class="title" id="{place}-title">{title_of(result, entry)}</span> {badge(entry.texts["verdict"])}'
    return (
        f'<article id="{place}" aria-labelledby="{place}-title"><details><summary>{heading}</summary>'
        f"<p><q>{escape(entry.texts['statement'])}</q></p>{picture(entry.picture, entry.texts['caption'] or entry.name)}"
        + table("Tests", ["What is claimed", "How it is tested", "Numbers", "Verdict"], rows, "tests")
        + "</details></article>"
    )


def player_part(found: Contents, advance: Callable[[int], None]) -> str:
    """The player: slider, pictures, and every frame as data for the script."""
    records = found.player
    if records is None:
        return ""
    frames: list[dict[str, Any]] = []
    for at, strength in enumerate(records["strength"].values):
        both = {}
        for penalty in player.METHODS:
            both[penalty] = {
                "image": data_uri(png(player.frame(records, penalty, at), COLOURS), "png"),
                "told": f"{player.METHODS[penalty]}: {player.told(records, penalty, at)}",
            }
            advance(1)
        frames.append({"strength": f"λ = {strength:g}", **both})
    views = "".join(
        f'<figure><img id="view-{penalty}" src="{frames[0][penalty]["image"]}" alt="{escape(frames[0][penalty]["told"])}">'
        f'<figcaption id="told-{penalty}">{escape(frames[0][penalty]["told"])}.</figcaption></figure>'
        for penalty in player.METHODS
    )
    # A script ends at the first "</", whatever it stands in.
    data = json.dumps(frames, ensure_ascii=False).replace("</", "<\\/")
    values = {"VIEWS": views, "LAST": str(len(frames) - 1), "STRENGTH": frames[0]["strength"], "FRAMES": data}
    return filled(asset("player.html"), values)


def provenance(results: Iterable[Result]) -> str:
    """The commands that made the results, their seconds and devices, and the versions of the packages."""
    rows, versions = [], []
    for result in results:
        by = result.made_by
        command, seconds = str(by.get("command", "?")), str(by.get("seconds", "?"))
        rows.append(
            [escape(result.name), f"<code>{escape(command)}</code>", escape(seconds), escape(counted(by.get("devices")))]
        )
        versions.append(spelled(by.get("versions")))
    lines = "".join(f"<li>{escape(one)}</li>" for one in sorted(set(versions) - {""}))
    columns = ["Study", "Command", "Seconds", "Devices"]
    return table("Commands", columns, rows) + f'<p>Versions:</p><ul class="versions">{lines}</ul>'


def counted(devices: Any) -> str:
    """Devices of a kind once, with their number."""
    kinds = [str(one) for one in devices] if isinstance(devices, list) else []
    return ", ".join(f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds)) or "?"


def spelled(versions: Any) -> str:
    """Packages with their versions in a line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
