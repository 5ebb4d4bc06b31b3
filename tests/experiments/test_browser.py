"""The page in a headless browser: it is complete, it works, and it can be read on a phone and on a
wide screen.
"""

import json
import shutil

import pytest

from experiments import studies
from experiments.report import page
from experiments.results.load import read

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking
--disable-component-update --disable-sync --force-device-scale-factor=1"""
WIDTHS = [400, 1400]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium with its own driver. Selenium gets both paths, so that it does not search on the
    network.
    """
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="no Selenium: pip install -e '.[test]' brings it"
    )
    from selenium.webdriver.chrome.service import Service

    program, driver = (
        shutil.which("chromium") or shutil.which("google-chrome"),
        shutil.which("chromedriver"),
    )
    if not program or not driver:
        pytest.skip(
            "no Chromium: on Debian, `apt-get install chromium chromium-driver` brings it and its "
            "driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def address(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page.build(read(results, studies.load())), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=WIDTHS)
def width(request):
    return request.param


@pytest.fixture
def opened(browser, address, width):
    # A headless window is never narrower than 500 pixels, but an emulated screen can be. It is not
    # emulated as mobile: that would zoom out until everything fits, and report the width after
    # zooming.
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address)
    return browser


def move(browser, index):
    browser.execute_script(
        "const slider = document.getElementById('strength'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}));",
        index,
    )


def shown(browser):
    """What the player shows: pictures, texts, and the position of the slider."""
    return browser.execute_script(
        "const byId = (id) => document.getElementById(id);"
        "return {L1: byId('view-L1').src, L2: byId('view-L2').src, strength: "
        "byId('strength-text').textContent,"
        "description: byId('description-L1').textContent, spoken: "
        "byId('strength').getAttribute('aria-valuetext'),"
        "index: Number(byId('strength').value), button: byId('play').textContent}"
    )


def test_it_opens_completely_and_requests_nothing(opened):
    decode = (
        "return Promise.all([...document.images].map((image) => image.decode().then(() => "
        "image.naturalWidth)))"
    )
    widths = opened.execute_script(decode)
    assert len(widths) == 2 + 5 + 2
    assert min(widths) > 0
    assert (
        opened.execute_script(
            "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        )
        == []
    )
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    urls = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert urls
    assert all(url.startswith(("file:", "data:")) for url in urls)
    assert [
        entry for entry in opened.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ] == []


def test_the_slider_changes_both_pictures_and_texts(opened):
    frames = []
    for index in range(4):
        move(opened, index)
        frames.append(shown(opened))
        decode = (
            "return Promise.all([...document.querySelectorAll('.views img')].map((image) => "
            "image.decode()))"
        )
        opened.execute_script(decode)
    assert [frame["strength"] for frame in frames] == ["λ = 0", "λ = 0.001", "λ = 0.1", "λ = 3"]
    assert len({frame[penalty] for frame in frames for penalty in ("L1", "L2")}) == 8
    assert len({frame["description"] for frame in frames}) > 1
    assert "weights exactly 0" in frames[3]["description"]
    assert frames[3]["spoken"].startswith("λ = 3. Proximal L1")
    assert opened.get_log("browser") == []


def test_the_keyboard_moves_the_slider(opened):
    from selenium.webdriver.common.keys import Keys

    slider = opened.find_element("id", "strength")
    slider.send_keys(Keys.END)
    assert shown(opened)["strength"] == "λ = 3"
    slider.send_keys(Keys.ARROW_LEFT)
    assert shown(opened)["strength"] == "λ = 0.1"
    slider.send_keys(Keys.HOME)
    assert shown(opened)["strength"] == "λ = 0"


def test_the_slider_is_on_the_first_screen(opened):
    bottom = opened.execute_script(
        "return document.getElementById('strength').getBoundingClientRect().bottom + scrollY"
    )
    assert bottom <= 800


def test_details_are_folded_and_open_by_a_click(opened):
    from selenium.webdriver.support.ui import WebDriverWait

    closed = opened.find_elements("css selector", "details:not([open]) > summary")
    assert len(closed) == len(opened.find_elements("css selector", "details")) > 5
    table = opened.find_element("css selector", "table.summary")
    assert not table.is_displayed()
    opened.find_element("css selector", "#claims summary").click()
    assert table.is_displayed()
    picture = opened.find_element("css selector", "#strength-zeros img")
    assert not picture.is_displayed()
    opened.find_element("css selector", "a[href='#strength-zeros']").click()
    # The page hears of the new address after the click.
    WebDriverWait(opened, 10, poll_frequency=0.05).until(lambda _: picture.is_displayed())


def test_the_button_plays_to_the_end_and_can_be_stopped(opened):
    from selenium.webdriver.support.ui import WebDriverWait

    button = opened.find_element("id", "play")
    button.click()
    assert shown(opened)["button"] == "Pause"
    WebDriverWait(opened, 10, poll_frequency=0.05).until(lambda _: shown(opened)["index"] == 1)
    button.click()
    stopped = shown(opened)
    assert stopped["button"] == "Play"
    button.click()
    WebDriverWait(opened, 10, poll_frequency=0.05).until(lambda _: shown(opened)["index"] == 3)
    assert shown(opened)["button"] == "Play"
    button.click()
    assert shown(opened)["index"] == 0


def test_it_fits_the_screen_and_every_letter_can_be_read(opened, width):
    assert opened.execute_script(
        "return [innerWidth, document.documentElement.scrollWidth <= innerWidth]"
    ) == [width, True]
    small = opened.execute_script(
        "const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); const "
        "found = [];"
        "for (let text; (text = texts.nextNode());) {"
        "  const parent = text.parentElement;"
        "  if (!text.data.trim() || ['SCRIPT', 'NOSCRIPT'].includes(parent.tagName)) continue;"
        "  if (parseFloat(getComputedStyle(parent).fontSize) < 14) found.push(text.data.trim());"
        "} return found"
    )
    assert small == []
    widest = opened.execute_script(
        "return Math.max(...[...document.querySelectorAll('p')].map((p) => p.offsetWidth))"
    )
    assert widest <= 44 * 16
    # A figure is drawn wide enough to be read: where the screen is narrower it scrolls in its own
    # box.
    narrowest = opened.execute_script(
        "const images = [...document.querySelectorAll('.scroll img')];"
        "return Math.min(...images.map((image) => image.offsetWidth).filter((width) => width))"
    )
    assert narrowest >= 700


def test_the_two_networks_stand_beside_or_below_each_other(opened, width):
    places = opened.execute_script(
        "return ['L1', 'L2'].map((penalty) => "
        "document.getElementById(`view-${penalty}`).getBoundingClientRect().toJSON())"
    )
    beside = places[0]["top"] == places[1]["top"]
    assert beside == (width > 1000)
    assert min(place["width"] for place in places) >= 350
