"""One HTML page from what is on disk: whole in itself, so that it opens from a folder, an e-mail or an archive.

    page.build(contents.read(Path("results")))        # the page as a string

Its policy (the Content-Security-Policy in its head) forbids the browser to load anything from anywhere: pictures are data
URIs, style and script are inline. All text from records is escaped.

The player is written here and not by matplotlib's HTMLWriter, whose page loads its buttons' icons from a server, gives them
no names, does not tell λ, and holds one picture a frame. Here the two networks are pictures of their own, side by side on a
wide screen and below each other on a narrow one, the slider stays in sight, and every step is also told in words.
"""

import io
import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from experiments.contents import MAIN, NOT_YET, Contents, Entry, data_uri
from experiments.figures import player
from experiments.verdicts import CONTRADICTED, CONTRADICTED_IN_PART, IN_PART, NOT_MEASURED, NOT_SUPPORTED, SUPPORTED

TITLE = "What L1 and L2 regularization do to a network"
MARKS = {
    SUPPORTED: "✓", IN_PART: "◐", NOT_SUPPORTED: "○", CONTRADICTED_IN_PART: "◌", CONTRADICTED: "✗", NOT_MEASURED: "–",
}  # fmt: skip
FEW = 4
"""Tests of one claim that the table shows unasked."""
SECTIONS = {
    "claims": "The claims, and how far they hold",
    "player": "One network as λ grows",
    "figures": "Five figures",
    "evidence": "Each claim in detail",
    "baselines": "Baselines",
    "images": "On real images",
    "verdicts": "How a verdict is decided",
    "provenance": "What made these results",
}
DRAWN = (
    "The small network on the wine data without a penalty, and trained on from there with {}. A line is a weight, as wide "
    "as its size, green where positive and purple where negative; a weight that is exactly 0 has no line, and an input or a "
    "unit without a way through it is grey."
)
SWEPT = (
    "The network on the digits as λ grows with {}. Left: the nonzero weights of each network, a row a λ. Middle: the share "
    "of weights that are exactly 0, which are in no row. Right: each layer's zeros and norm, mean ± standard error."
)
HEADINGS = {
    "L1_1": "L1_1: the small network before and after L1",
    "L2_1": "L2_1: the small network before and after L2",
    "L1_2": "L1_2: the weights of a larger network as λ grows, with L1",
    "L2_2": "L2_2: the weights of a larger network as λ grows, with L2",
    "L1_3": "L1_3: which weights go and which shrink",
}
CAPTIONS = {
    "L1_1": DRAWN.format("L1"),
    "L2_1": DRAWN.format("L2"),
    "L1_2": SWEPT.format("L1, by the proximal step"),
    "L2_2": SWEPT.format("L2, coupled"),
    "L1_3": (
        "Every weight of the small network's first layer as a bar, before, after L1 and after L2. All three keep the order "
        "of the first, the largest at the left; a tick on the line marks a weight that is exactly 0."
    ),
}


def build(found: Contents, advance: Callable[[int], None] = lambda _: None) -> str:
    """The page.

    Args:
        found: what it is made of. advance: told how many frames of the player were drawn.
    """
    parts = {
        "claims": claims_table(found.groups["claims"]),
        "player": player_part(found, advance),
        "figures": "".join(main_figure(name, found.pictures[name]) for name in CAPTIONS),
        "evidence": articles("claims", found.groups["claims"]),
        "baselines": articles("baselines", found.groups["baselines"]),
        "images": articles("images", found.groups["images"]),
        "verdicts": asset("verdicts.html"),
        "provenance": provenance(found),
    }
    sections = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{SECTIONS[name]}</h2>{part}</section>'
        for name, part in parts.items()
    )
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in SECTIONS.items())
    values = {"TITLE": TITLE, "STYLE": asset("page.css"), "SCRIPT": asset("page.js"), "LINKS": links, "SECTIONS": sections}
    return re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], asset("page.html"))


def asset(name: str) -> str:
    """A part of the page that does not depend on results."""
    return Path(__file__).with_name("template").joinpath(name).read_text(encoding="utf-8")


def claims_table(found: list[Entry]) -> str:
    """Every claim with its verdict and its tests' numbers; one that was not measured, with the command that does it."""
    rows = []
    for entry in found:
        verdict, numbers = NOT_MEASURED, absent("", entry.state, entry.command)
        name = escape(entry.name)
        if entry.claim:
            verdict = entry.claim["verdict"]
            numbers = tests(entry.claim["findings"])
            link = f'<a href="#{anchor("claims", entry.name)}">{escape(entry.claim["title"])}</a>'
            name = f"<b>{link}</b><br>{escape(entry.claim['statement'])}"
        rows.append([name, badge(verdict), numbers])
    return table("Claims", ["Claim", "Verdict", "Tests: mean [95 % interval over the seeds]"], rows, "summary")


def tests(findings: list[dict[str, Any]]) -> str:
    """The tests of a claim with their numbers; more than a few are folded away below their count."""
    verdicts = [one["verdict"] for one in findings]
    found = f"{verdicts.count(SUPPORTED)} of {len(findings)} tests support it, {verdicts.count(CONTRADICTED)} contradict it"
    rows = "".join(
        f"<li>{mark(one)}<div>{escape(one['statement'].rstrip('.'))}: <b>{escape(one['numbers'])}</b></div></li>"
        for one in findings
    )
    shown = " open" if len(findings) <= FEW else ""
    return f'<details{shown}><summary>{found}</summary><ul class="tests">{rows}</ul></details>'


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
    return f'<span class="verdict {kind(verdict)}">{sign} {escape(verdict)}</span>'


def kind(verdict: str) -> str:
    """The class by which a verdict has its colour."""
    return verdict.replace(" ", "-") if verdict in MARKS else "other"


def mark(finding: dict[str, Any]) -> str:
    """A test's verdict as a sign, its word for those who cannot see it."""
    verdict = finding["verdict"]
    sign = (
        f'<span class="mark {kind(verdict)}" aria-hidden="true" title="{escape(verdict)}">{MARKS.get(verdict, "?")}</span>'
    )
    return f'{sign}<span class="unseen">{escape(verdict)}: </span>'


def absent(what: str, state: str, command: str) -> str:
    """What stands where a result would."""
    told = f"{what}: {state}" if what else state.capitalize()
    return f'<p class="absent">{escape(told)}. Made by <code>{escape(command)}</code>.</p>'


def anchor(group: str, name: str) -> str:
    """The id of an article."""
    return f"{group}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"


def picture(image: str, text: str, caption: str = "") -> str:
    """A figure that scrolls in a box of its own where the screen is too narrow to read it."""
    box = f'<div class="scroll" tabindex="0" role="group" aria-label="figure"><img src="{image}" alt="{escape(text)}"></div>'
    hint = '<span class="hint">The figure scrolls sideways. </span>'
    return f"<figure>{box}<figcaption>{hint}{escape(caption)}</figcaption></figure>"


def main_figure(name: str, image: str | None) -> str:
    """One of the five figures of the main job."""
    heading = f'<h3 id="{name}">{HEADINGS[name]}</h3>'
    return heading + (picture(image, CAPTIONS[name], CAPTIONS[name]) if image else absent(name, NOT_YET, MAIN))


def articles(group: str, found: list[Entry]) -> str:
    """Each claim of a group: what is claimed, its figure, its tests, and what makes it."""
    return "".join(article(group, entry) for entry in found)


def article(group: str, entry: Entry) -> str:
    """One claim in detail."""
    place = anchor(group, entry.name)
    if entry.claim is None:
        body = absent(entry.name, entry.state, entry.command)
        return f'<article id="{place}">{body}</article>'
    claim = entry.claim
    shown = picture(entry.picture, claim["caption"], claim["caption"]) if entry.picture else ""
    rows = [[escape(one["statement"]), escape(one["tested"]), escape(one["numbers"]), badge(one["verdict"])]
            for one in claim["findings"]]  # fmt: skip
    seconds = claim["made_by"].get("seconds")
    took = f" in {seconds:g} s" if isinstance(seconds, int | float) else ""
    return (
        f'<article id="{place}" aria-labelledby="{place}-title"><h3 id="{place}-title">{escape(claim["title"])}</h3>'
        f"<p>{badge(claim['verdict'])}</p><p><q>{escape(claim['statement'])}</q></p>{shown}"
        + table("Tests", ["What is claimed", "How it is tested", "Numbers", "Verdict"], rows, "tests")
        + f'<p class="made">Made by <code>{escape(entry.command)}</code>{took}.</p></article>'
    )


def player_part(found: Contents, advance: Callable[[int], None]) -> str:
    """The player: slider, pictures, and every frame as data for the script."""
    records = found.player
    if records is None:
        return absent("The player", found.player_state, MAIN)
    frames: list[dict[str, Any]] = []
    for at, strength in enumerate(records["strength"].values):
        both = {}
        for penalty in player.WAYS:
            both[penalty] = {
                "image": png(player.frame(records, penalty, at)),
                "told": f"{player.WAYS[penalty]}: {player.told(records, penalty, at)}",
            }
            advance(1)
        frames.append({"strength": f"λ = {strength:g}", **both})
    views = "".join(
        f'<figure><img id="view-{penalty}" src="{frames[0][penalty]["image"]}" alt="{escape(frames[0][penalty]["told"])}">'
        f'<figcaption id="told-{penalty}">{escape(frames[0][penalty]["told"])}.</figcaption></figure>'
        for penalty in player.WAYS
    )
    # A script ends at the first "</", whatever it stands in.
    data = json.dumps(frames, ensure_ascii=False).replace("</", "<\\/")
    values = {"VIEWS": views, "LAST": str(len(frames) - 1), "STRENGTH": frames[0]["strength"], "FRAMES": data}
    return re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], asset("player.html"))


def png(figure: Figure) -> str:
    """A figure as a data URI with a palette of 128 colours, a quarter of the bytes."""
    pixels, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(pixels, format="png")
    with Image.open(pixels) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(packed, "PNG", optimize=True)
    return data_uri(packed.getvalue(), "png")


def provenance(found: Contents) -> str:
    """The commands that made the results, their seconds and devices, and the versions of the packages."""
    made: dict[str, tuple[list[str], dict[str, Any]]] = {}
    sources = [("figures, player", found.made_by)] + [
        (f"{group}/{entry.name}", entry.claim["made_by"])
        for group, there in found.groups.items() for entry in there if entry.claim
    ]  # fmt: skip
    for name, made_by in sources:
        if made_by:
            made.setdefault(json.dumps(made_by, sort_keys=True, default=str), ([], made_by))[0].append(name)
    rows = [
        [escape(", ".join(names)), f"<code>{escape(command)}</code>", escape(seconds), escape(counted(by.get("devices")))]
        for names, by in made.values()
        for command, seconds in [(str(by.get("command", "?")), str(by.get("seconds", "?")))]
    ]
    versions = sorted({spelled(by.get("versions")) for _, by in made.values()} - {""})
    told = "".join(f"<li>{escape(one)}</li>" for one in versions)
    if not rows:
        return '<p class="absent">Nothing on disk says what made it.</p>'
    columns = ["Result", "Command", "Seconds", "Devices"]
    return table("Commands", columns, rows) + f'<p>Versions:</p><ul class="versions">{told}</ul>'


def counted(devices: Any) -> str:
    """Devices of a kind once, with their number."""
    kinds = [str(one) for one in devices] if isinstance(devices, list) else []
    return ", ".join(f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds)) or "?"


def spelled(versions: Any) -> str:
    """Packages with their versions in a line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
