"""One HTML page from the results on disk, in a single file that opens from a folder, an e-mail or
an archive.

    build(read(Path("results"), registry))        # the page as a string

Its Content-Security-Policy forbids the browser to load anything: pictures are data URIs, style and
script are inline. All text from results is escaped.

The player is not matplotlib's HTMLWriter, whose page loads icons from a server, does not label its
buttons, and does not show λ. Here the two networks are separate pictures, side by side on a wide
screen and below each other on a narrow one. The slider stays in sight, and every frame is also
described in words.
"""

import json
import re
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

from experiments.claims import (
    CONTRADICTED,
    CONTRADICTED_IN_PART,
    IN_PART,
    NOT_MEASURED,
    NOT_SUPPORTED,
    SUPPORTED,
)
from experiments.report import player
from experiments.report.pictures import png
from experiments.results.load import Contents, Entry, Result, data_uri

TITLE = "What L1 and L2 regularization do to a network"
MARKS = {
    SUPPORTED: "✓", IN_PART: "◐", NOT_SUPPORTED: "○", CONTRADICTED_IN_PART: "◌", CONTRADICTED: "✗", NOT_MEASURED: "–",
}  # fmt: skip
COLOURS = 128
"""The size of the palette of the player's pictures."""
QUICK = "quick run"
SECTIONS = {
    "player": "A small network as λ grows",
    "figures": "Figures",
    "claims": "Claims and verdicts",
    "evidence": "The claims in detail",
    "missing": "Studies without results",
    "provenance": "How these results were made",
}


def build(contents: Contents, advance: Callable[[int], None] = lambda _: None) -> str:
    """Builds the page.

    Args:
        contents: the results.
        advance: receives the number of frames of the player that were drawn since its last call.

    Returns:
        The page as HTML.
    """
    results = contents.results
    with_claims = [result for result in results if result.claims]
    parts = {
        "player": player_part(contents, advance),
        "figures": "".join(
            figure_part(result, entry) for result in results for entry in result.figures
        ),
        "claims": claims_table(with_claims) if with_claims else "",
        "evidence": "".join(study_part(result) for result in with_claims),
        "missing": missing_part(contents),
        "provenance": folded("Commands, durations, devices and versions", provenance(results))
        if results
        else "",
    }
    parts = {name: part for name, part in parts.items() if part}
    sections = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{SECTIONS[name]}</h2>{part}</section>'
        for name, part in parts.items()
    )
    links = "".join(f'<li><a href="#{name}">{SECTIONS[name]}</a></li>' for name in parts)
    notice = asset("quick.html") if contents.quick else ""
    values = {
        "TITLE": TITLE,
        "STYLE": asset("page.css"),
        "SCRIPT": asset("page.js"),
        "LINKS": links,
        "NOTICE": notice,
    }
    return fill_template(asset("page.html"), {**values, "SECTIONS": sections})


def asset(name: str) -> str:
    """A file of the folder `template`."""
    return Path(__file__).with_name("template").joinpath(name).read_text(encoding="utf-8")


def fill_template(template: str, values: dict[str, str]) -> str:
    """A template in which each {{NAME}} is replaced by its value."""
    return re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], template)


def folded(summary: str, content: str) -> str:
    """Content that is shown after a click on its summary."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def claims_table(results: Iterable[Result]) -> str:
    """Every claim with its verdict, folded; the numbers of a claim's tests are folded again."""
    rows, verdicts = [], []
    for result in results:
        for entry in result.claims:
            link = f'<a href="#{anchor(result, entry)}">{title_of(result, entry)}</a>'
            name = f"<b>{link}</b><br>{escape(entry.texts['statement'])}"
            rows.append(
                [
                    name,
                    badge(entry.texts["verdict"]) + quick_badge(result),
                    list_tests(entry.findings),
                ]
            )
            verdicts.append(entry.texts["verdict"])
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict}" for verdict in MARKS if verdict in verdicts
    )
    columns = ["Claim", "Verdict", "Tests: mean [95 % interval over the seeds]"]
    shown = folded(
        f"{len(rows)} claim{'' if len(rows) == 1 else 's'}: {counts}",
        table("Claims", columns, rows, "summary"),
    )
    return shown + folded("How a verdict is decided", asset("verdicts.html"))


def missing_part(contents: Contents) -> str:
    """The studies without results, one line each."""
    lines = "".join(
        f"<li>{escape(study.summary)}: {escape(study.state)}. "
        f"<code>{escape(study.command)}</code></li>"
        for study in contents.missing
    )
    hint = "Run the command of a study, then <code>python -m experiments report</code> again:"
    return f'<div class="absent"><p>{hint}</p><ul>{lines}</ul></div>' if lines else ""


def list_tests(findings: list[dict[str, str]]) -> str:
    """The tests of a claim with their numbers, folded below a count of their verdicts."""
    verdicts = [finding["verdict"] for finding in findings]
    summary = (
        f"{verdicts.count(SUPPORTED)} of {len(findings)} tests support it, "
        f"{verdicts.count(CONTRADICTED)} contradict it"
    )
    rows = "".join(
        f"<li>{mark(finding)}<div>{escape(finding['statement'].rstrip('.'))}: "
        f"<b>{escape(finding['numbers'])}</b></div></li>"
        for finding in findings
    )
    return folded(summary, f'<ul class="tests">{rows}</ul>')


def table(label: str, columns: list[str], rows: list[list[str]], style: str = "") -> str:
    """A table whose cells are HTML already. On a narrow screen a row becomes a card whose cells
    name their columns.
    """
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = ""
    for first, *others in rows:
        named = zip(columns[1:], others, strict=True)
        cells = "".join(
            f'<td data-label="{escape(name)}"><div>{cell}</div></td>' for name, cell in named
        )
        body += f'<tr><th scope="row">{first}</th>{cells}</tr>'
    parts = f"<caption>{escape(label)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="{style}">{parts}</table>'


def badge(verdict: str) -> str:
    """A verdict as a word with a sign and a colour."""
    sign = f'<span aria-hidden="true">{MARKS.get(verdict, "?")}</span>'
    return f'<span class="verdict {style_of(verdict)}">{sign} {escape(verdict)}</span>'


def quick_badge(result: Result) -> str:
    """The mark of results from a quick run."""
    return f' <span class="quick">{QUICK}</span>' if result.quick else ""


def style_of(verdict: str) -> str:
    """The CSS class that gives a verdict its colour."""
    return verdict.replace(" ", "-") if verdict in MARKS else "other"


def mark(finding: dict[str, str]) -> str:
    """A test's verdict as a sign, with the word for screen readers."""
    verdict = finding["verdict"]
    sign = MARKS.get(verdict, "?")
    style = f"mark {style_of(verdict)}"
    hidden = f'<span class="unseen">{escape(verdict)}: </span>'
    return (
        f'<span class="{style}" aria-hidden="true" title="{escape(verdict)}">{sign}</span>{hidden}'
    )


def title_of(result: Result, entry: Entry) -> str:
    """The title of a figure or a claim, followed by the variant of its study if it has one."""
    _, *variant = result.name.split("/")
    return escape(
        " ".join([entry.texts["title"] or entry.name, *(f"({part})" for part in variant)])
    )


def anchor(result: Result, entry: Entry) -> str:
    """The id of a figure or an article."""
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{result.name}-{entry.name}")


def picture(image: str | None, text: str) -> str:
    """A figure with its caption. Where the screen is too narrow to read the figure, it scrolls in
    its own box.
    """
    if image is None:
        return '<p class="absent">The figure is on disk, but cannot be read.</p>'
    box = f'<div class="scroll" tabindex="0" role="group" aria-label="figure"><img src="{image}" alt="{escape(text)}"></div>'
    hint = '<span class="hint">The figure scrolls sideways. </span>'
    return f"<figure>{box}<figcaption>{hint}{escape(text)}</figcaption></figure>"


def figure_part(result: Result, entry: Entry) -> str:
    """A figure that belongs to no claim."""
    heading = (
        f'<h3 id="{anchor(result, entry)}">{title_of(result, entry)}{quick_badge(result)}</h3>'
    )
    return heading + picture(entry.picture, entry.texts["caption"] or entry.name)


def study_part(result: Result) -> str:
    """The claims of a study, each folded."""
    seconds = result.made_by.get("seconds")
    duration = f" in {seconds:g} s" if isinstance(seconds, int | float) else ""
    command = escape(str(result.made_by.get("command", "?")))
    made = f'<p class="made">Made by <code>{command}</code>{duration}.</p>'
    articles = "".join(article(result, entry) for entry in result.claims)
    return f"<h3>{escape(result.summary)}{quick_badge(result)}</h3>{articles}{made}"


def article(result: Result, entry: Entry) -> str:
    """One claim with its figure and its tests, folded below its title and verdict."""
    place = anchor(result, entry)
    rows = [
        [
            escape(finding["statement"]),
            escape(finding["tested"]),
            escape(finding["numbers"]),
            badge(finding["verdict"]),
        ]
        for finding in entry.findings
    ]
    heading = f'<span class="title" id="{place}-title">{title_of(result, entry)}</span> {badge(entry.texts["verdict"])}'
    return (
        f'<article id="{place}" aria-labelledby="{place}-title"><details><summary>{heading}</summary>'
        f"<p><q>{escape(entry.texts['statement'])}</q></p>{picture(entry.picture, entry.texts['caption'] or entry.name)}"
        + table("Tests", ["Test", "Measured number", "Result", "Verdict"], rows, "tests")
        + "</details></article>"
    )


def player_part(contents: Contents, advance: Callable[[int], None]) -> str:
    """The player: slider, pictures, and every frame as data for the script. Empty without the
    player's results.
    """
    dataset = contents.player
    if dataset is None:
        return ""
    frames: list[dict[str, Any]] = []
    for index, strength in enumerate(dataset["strength"].values):
        views = {}
        for penalty, method in player.METHODS.items():
            views[penalty] = {
                "image": data_uri(png(player.frame(dataset, penalty, index), COLOURS), "png"),
                "description": f"{method}: {player.description(dataset, penalty, index)}",
            }
            advance(1)
        frames.append({"strength": f"λ = {strength:g}", **views})
    first = "".join(
        f'<figure><figcaption id="description-{penalty}">{escape(frames[0][penalty]["description"])}.</figcaption>'
        f'<img id="view-{penalty}" src="{frames[0][penalty]["image"]}" alt="{escape(frames[0][penalty]["description"])}">'
        "</figure>"
        for penalty in player.METHODS
    )
    # A script ends at the first "</", even within a string.
    data = json.dumps(frames, ensure_ascii=False).replace("</", "<\\/")
    values = {
        "VIEWS": first,
        "LAST": str(len(frames) - 1),
        "STRENGTH": frames[0]["strength"],
        "FRAMES": data,
    }
    return fill_template(asset("player.html"), values)


def provenance(results: Iterable[Result]) -> str:
    """The commands that made the results, their durations and devices, and the versions of the
    packages.
    """
    rows, versions = [], []
    for result in results:
        made_by = result.made_by
        command, seconds = str(made_by.get("command", "?")), str(made_by.get("seconds", "?"))
        devices = format_devices(made_by.get("devices"))
        rows.append(
            [
                escape(result.name),
                f"<code>{escape(command)}</code>",
                escape(seconds),
                escape(devices),
            ]
        )
        versions.append(format_versions(made_by.get("versions")))
    lines = "".join(f"<li>{escape(line)}</li>" for line in sorted(set(versions) - {""}))
    columns = ["Study", "Command", "Seconds", "Devices"]
    return table("Commands", columns, rows) + f'<p>Versions:</p><ul class="versions">{lines}</ul>'


def format_devices(devices: Any) -> str:
    """Each kind of device once, with the number of devices."""
    kinds = [str(device) for device in devices] if isinstance(devices, list) else []
    return ", ".join(f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds)) or "?"


def format_versions(versions: Any) -> str:
    """Packages and their versions on one line."""
    return (
        ", ".join(f"{name} {version}" for name, version in versions.items())
        if isinstance(versions, dict)
        else ""
    )
