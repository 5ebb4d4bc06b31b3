"""The page: one file that loads nothing, shows all results, escapes their text, works in a browser
and can be read on a phone and on a wide screen.
"""

import dataclasses
import html
import html.parser
import json
import re
import shutil

import numpy as np
import pytest
import xarray as xr

from experiments import lab
from experiments.claims import above
from experiments.figures import new_figure
from experiments.page import SECTIONS, build, image, player
from experiments.studies import STUDIES, l1_l2

MAIN = l1_l2.STUDY
ALL = [*STUDIES, dataclasses.replace(MAIN, name="absent", summary="A study without results")]
EVIL = '<script>alert("1")</script> & co'


def draw_line(_):
    figure = new_figure(3, 2)
    figure.subplots().plot([1, 2])
    return figure


def measure(_):
    return [above(f"{EVIL} grows.", f"Growth of {EVIL}", [1.0, 2.0, 3.0], unit="</b>")]


TOY = lab.Study(
    "toy",
    EVIL,
    None,
    {},
    claims=[lab.Claim("growth", f"Title {EVIL}", f"Says {EVIL}", measure, draw_line, EVIL)],
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A full result with two variants of a study whose texts are hostile."""
    folder, made_by = tmp_path_factory.mktemp("toy"), {"study": "toy", "quick": False}
    made_by |= {"command": EVIL, "seconds": 1.5, "versions": {"jax": EVIL}, "devices": [EVIL] * 2}
    places = [folder / "toy.nc", folder / "toy-large.nc"]
    for place in places:
        lab.save({"numbers": xr.Dataset({"x": ("seed", [1.0, 2.0])})}, made_by, place)
        lab.draw(TOY, place)
    return [(TOY, place) for place in places]


@pytest.fixture(scope="module")
def results(quick, toy):
    studies = {study.name: study for study in STUDIES}
    return [*toy, *((studies[name], place) for name, place in quick.items())]


@pytest.fixture(scope="module")
def built(results):
    return build(results, ALL)


@pytest.fixture(scope="module")
def wine(quick):
    return lab.load(quick["l1-l2"])[0]["wine"]


def words(text):
    text = re.sub(r"<(style|script)\b.*?</\1>", " ", text, flags=re.S)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)))


class Nesting(html.parser.HTMLParser):
    """Fails at an end tag that does not belong to the last open element."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), self.getpos()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()


def test_the_html_is_well_formed(built):
    parser = Nesting()
    parser.feed(built)
    assert parser.open == []
    assert built.startswith("<!DOCTYPE html>")
    ids = re.findall(r'\bid="([^"]*)"', built)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', built)) <= set(ids)
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', built)) == built.count("<img ")
    assert re.findall(r'<section id="(\w+)"', built) == list(SECTIONS)
    assert "<details open" not in built


def test_nothing_is_loaded_from_anywhere(built):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', built)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "url(" not in built and "@import" not in built
    for name, value in re.findall(r'\b(src|href|srcset|action|data)="([^"]*)"', built):
        assert value.startswith(("data:", "#")), f"{name}={value[:60]}"
    assert "http" not in re.sub(r"data:image/[^\"]*", "", built).replace("http-equiv", "")


def test_text_from_results_is_escaped(built):
    assert "<script>alert" not in built
    # Title, statement, caption, alternative text, test and its summary, number, command, device ...
    assert built.count(html.escape(EVIL).replace("&quot;", "&#34;")) >= 2 * 10
    assert "</b>" not in re.findall(r"<b>([^<]*)</b></div></li>", built)


def test_everything_is_on_the_page(built, results):
    text = words(built)
    for study, place in results:
        datasets, made_by = lab.load(place)
        for claim, findings, verdict in lab.evaluate(study, datasets):
            assert {claim.title, claim.statement, claim.caption, verdict} <= pieces(text, claim)
            for found in findings:
                assert found.tested in text and found.numbers in text
                assert f"{found.verdict}: " in text
        assert all(part.title in text and part.caption in text for part in study.pictures)
        assert made_by["command"] in text and f"jax {made_by['versions']['jax']}" in text
    missing = [study for study in ALL if study not in [study for study, _ in results]]
    for study in missing:
        line = f"{study.summary}: not measured yet. python -m experiments {study.name}"
        assert line in text
    assert text.count("not measured yet") == len(missing)
    assert f"Title {EVIL} (large)" in text


def pieces(text, claim):
    """The texts of a claim that the page shows, and the verdict beside its title."""
    shown = {part for part in (claim.title, claim.statement, claim.caption) if part in text}
    beside = re.search(
        rf"{re.escape(claim.title)}(?: \([^)]*\))? . ([a-z ]+?) ?{re.escape(claim.statement)}", text
    )
    return shown | ({beside[1]} if beside else set())


def test_a_quick_run_is_marked_wherever_it_is_shown(built, results, toy):
    studies = [study for study, _ in results[len(toy) :]]
    marked = [len(study.claims) + len(study.pictures) + bool(study.claims) for study in studies]
    assert built.count('class="quick">quick run') == 1 + sum(marked)
    assert "quick run" not in words(build(toy, ALL))


def test_figures_are_svg_unless_large_and_a_missing_one_names_its_command(tmp_path):
    (tmp_path / "a.png").write_bytes(b"png")
    with pytest.raises(FileNotFoundError, match="experiments draw"):
        image(tmp_path, "a")
    for size, kind in ((500_000, "svg+xml"), (500_001, "png")):
        (tmp_path / "a.svg").write_bytes(b"x" * size)
        assert image(tmp_path, "a").startswith(f"data:image/{kind};base64,")


@pytest.mark.parametrize("penalty", ["L1", "L2"])
def test_frames_show_zeros_apart_share_their_axes_and_have_the_widths_of_the_figures(wine, penalty):
    drawn = [player.draw_frame(wine, penalty, index) for index in range(wine.sizes["strength"])]
    limits = [
        [(axes.get_xlim(), axes.get_ylim(), axes.get_position().bounds) for axes in frame.axes]
        for frame in drawn
    ]
    assert all(frame == limits[0] for frame in limits)
    for index, frame in enumerate(drawn):
        weights = l1_l2.small_weights(wine.sel(penalty=penalty).isel(strength=index))
        graph, bins, exact, accuracy = frame.axes
        nonzero = int((weights != 0).sum())
        assert sum(len(lines.get_linewidths()) for lines in graph.collections[:2]) == nonzero
        tops = [bar.get_y() + bar.get_height() for bar in bins.patches]
        assert sum(top for top in tops if top > 0.5) == nonzero
        zeros = f"{weights.size - nonzero} of {weights.size}"
        assert exact.get_xticklabels()[0].get_text() == zeros
        assert f"{zeros} weights exactly 0" in player.description(wine, penalty, index)
        assert len(accuracy.lines) == 5
    figure = l1_l2.draw_small({"wine": wine}, (penalty,))
    shown = int(np.flatnonzero(wine["strength"] == wine["figure_strength"].sel(penalty=penalty))[0])
    for axes, frame in zip(figure.axes, (drawn[0], drawn[shown]), strict=True):
        for ours, theirs in zip(axes.collections[:2], frame.axes[0].collections[:2], strict=True):
            np.testing.assert_allclose(ours.get_linewidths(), theirs.get_linewidths(), rtol=1e-6)


def test_a_diverged_frame_says_so(wine):
    broken = wine.copy(deep=True)
    broken["first"].loc[{"penalty": "L1"}] = np.nan
    assert "diverged" in player.description(broken, "L1", 1)
    player.draw_frame(broken, "L1", 1)


FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update --force-device-scale-factor=1"""
SHOWN = (
    "const at = (id) => document.getElementById(id); return [at('strength-text').textContent, "
    "at('view-L1').src, at('description-L1').textContent, at('play').textContent, "
    "Number(at('strength').value)]"
)
DECODED = (
    "return Promise.all([...document.images].map((image) => "
    "image.decode().then(() => image.naturalWidth)))"
)
SMALL_TEXT = """
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
for (let text; (text = texts.nextNode());) {
  const parent = text.parentElement;
  if (!text.data.trim() || ["SCRIPT", "NOSCRIPT"].includes(parent.tagName)) continue;
  if (parseFloat(getComputedStyle(parent).fontSize) < 14) found.push(text.data.trim());
}
return found"""


def test_it_works_in_a_browser_on_a_narrow_and_on_a_wide_screen(built, wine, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no Chromium: on Debian, `apt-get install chromium chromium-driver`")
    page = tmp_path / "report.html"
    page.write_text(built, encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With both paths, Selenium does not search on the network.
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
        wait = WebDriverWait(browser, 60, poll_frequency=0.05)
        browser.get("about:blank")
        browser.get_log("performance")  # what the browser's own first page requested
        for width in (400, 1400):
            # A headless window is never narrower than 500 pixels, but an emulated screen can be.
            screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            browser.get(page.as_uri())
            assert min(browser.execute_script(DECODED)) > 0
            assert browser.execute_script("return innerWidth") == width
            overflow = "return document.documentElement.scrollWidth <= innerWidth"
            assert browser.execute_script(overflow)
            assert browser.execute_script(SMALL_TEXT) == []
            slider, play = (browser.find_element("id", name) for name in ("strength", "play"))
            assert slider.rect["y"] + slider.rect["height"] <= 800
            tops = [browser.find_element("id", f"view-{name}").rect["y"] for name in ("L1", "L2")]
            assert (tops[0] == tops[1]) == (width > 1000)
            first = browser.execute_script(SHOWN)
            slider.send_keys(Keys.END)
            last = browser.execute_script(SHOWN)
            assert [first[0], last[0]] == ["λ = 0", f"λ = {float(wine['strength'][-1]):g}"]
            assert first[1] != last[1]
            assert "128 of 128 weights exactly 0" in last[2]
            assert slider.get_attribute("aria-valuetext").startswith(f"{last[0]}. Proximal L1: 128")
            play.click()
            assert browser.execute_script(SHOWN)[3] == "Pause"
            wait.until(lambda _: browser.execute_script(SHOWN)[4] == 1)
            play.click()
            assert browser.execute_script(SHOWN)[3] == "Play"
            picture = browser.find_element("css selector", "#strength-zeros img")
            assert not picture.is_displayed()
            browser.find_element("css selector", "#claims summary").click()
            browser.find_element("css selector", "a[href='#strength-zeros']").click()
            wait.until(lambda _, picture=picture: picture.is_displayed())
            assert picture.rect["width"] >= 700  # it scrolls in its own box on a narrow screen
        log = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        messages = browser.get_log("browser")
    sent = [
        m["params"]["request"]["url"] for m in log if m["method"] == "Network.requestWillBeSent"
    ]
    assert sent and all(url.startswith(("file:", "data:")) for url in sent)
    assert [entry for entry in messages if entry["level"] in ("SEVERE", "WARNING")] == []
