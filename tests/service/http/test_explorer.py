"""The explorer in a real browser: what it shows, what it requests, and what it never does."""

from __future__ import annotations

import io
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr
from selenium.webdriver.common.keys import Keys

from pipeline.service.access.authenticator import ApiKey
from pipeline.service.http.app import AppConfig
from tests.service.http.browsing import LOW_CONTRAST, Browser, browsing
from tests.service.serving import FixedEngine, Served, draw_mug, make_item, serving
from tests.waiting import HANG_SECONDS

KEY = "recognisable-key-0123456789"
HOSTILE = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>'
UNBROKEN = "x" * 400


def make_engine(folder: Path) -> FixedEngine:
    """Return an engine whose rows all have a file for their thumbnails."""
    engine = FixedEngine()
    picture = write_picture(folder / "row.png")
    engine.files = {str(row.token): picture for row in engine.rows}
    return engine


def write_picture(path: Path, size: tuple[int, int] = (300, 200)) -> Path:
    """Write a picture of one colour."""
    Image.new("RGB", size, "teal").save(path)
    return path


def box(left: float, top: float, right: float, bottom: float) -> dict[str, dict[str, float]]:
    """Return four corners in the form of the protocol."""
    corners = {"topLeft": (left, top), "topRight": (right, top), "bottomRight": (right, bottom)}
    return {name: {"x": x, "y": y} for name, (x, y) in {**corners, "bottomLeft": (left, bottom)}.items()}


def text_tag(corners: dict[str, dict[str, float]], action: dict[str, Any]) -> dict[str, Any]:
    """Return a tag of recognised text in the form of the reference."""
    return {"displayName": "##TextRecognition", "boundingBox": {"queryRectangle": corners}, "actions": [action]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the pictures of all tests here."""
    return tmp_path_factory.mktemp("explorer")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    """Return the one browser of all tests here."""
    with browsing(folder / "profile") as browser:
        yield browser


@pytest.fixture(scope="module")
def engine(folder: Path) -> FixedEngine:
    """Return the engine behind `served`."""
    return make_engine(folder)


@pytest.fixture(scope="module")
def served(engine: FixedEngine) -> Iterator[Served]:
    """Return a service that all tests here share."""
    with serving(engine, AppConfig(faults=True)) as served:
        yield served


@pytest.fixture(scope="module")
def picture(folder: Path) -> Path:
    """Return a small picture."""
    return write_picture(folder / "teal.png")


@pytest.fixture
def page(browser: Browser, served: Served) -> Browser:
    """Return the browser with a fresh page at a usual size."""
    browser.resize(width=1280)
    browser.open(served.url)
    return browser


def test_the_page_is_one_file_under_a_strict_policy(served: Served) -> None:
    """It has no outside address, makes no markup from text, and runs only the script whose digest is in the policy."""
    reply = served.send("GET", "/")
    text = reply.body.decode()
    assert re.findall(r"https?://[^\"'\s)>]+", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Storage|cookie", text)
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert policy["script-src"] == f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    assert not re.search(r"unsafe|\*|https?:", reply.headers["content-security-policy"])


def test_a_picture_is_sent_to_the_service_only(page: Browser, served: Served, picture: Path) -> None:
    """The page shows all insights; every request went to the service itself, and the console has no error."""
    page.choose(picture)
    assert page.texts("#insights h2") == ["Blue mug 0"]
    assert page.texts(".lead") == ["A mug for tea and coffee Source"]
    assert page.texts("#insights section:nth-of-type(1) .chip") == ["mug\n80%"]
    shown = dict(zip(page.texts("#insights h3"), page.all("#insights section"), strict=True))
    titles = ("Tags with confidence", "Offers 2", "Look-alikes 58", "Pages with this picture 2", "Other sizes 1")
    assert [*shown] == [*titles, "Suggestions"]
    assert "€10.00" in shown["Offers 2"].text
    assert "Shop" in shown["Offers 2"].text
    assert shown["Look-alikes 58"].text.count("Blue mug") == 35
    summaries = page.texts("#insights summary")
    assert [text.split(" ")[0] for text in summaries] == ["Products", "Unavailable", "The"]
    assert page.errors() == []
    urls = page.requests()
    assert {url.split("/")[2] for url in urls if not url.startswith(("data:", "blob:"))} == {served.url[7:]}
    assert any("/thumbnails/own_" in url for url in urls)


def test_the_thumbnails_are_the_catalogues_own(page: Browser, served: Served, picture: Path) -> None:
    """They are shown without a base URL of the service; the picture's own URL is only a link."""
    page.choose(picture)
    page.wait(lambda: page.run("return document.querySelector('.thumb img').naturalWidth"), "no thumbnail")
    sources = page.run("return [...document.images].map((image) => image.src)")
    assert {re.sub(r"/(own_\w+|[\w-]+)$", "", source) for source in sources} == {
        f"{served.url}/thumbnails",
        f"blob:{served.url}",
    }


def test_the_accent_colour_is_shown_until_a_thumbnail_is_there(page: Browser) -> None:
    """Image Search reference, accentColor: it is the background until the image is loaded."""
    made = (
        "const thumb = tile({ name: 'x', accentColor: '1E40AF', imageInsightsToken: 'none' }).querySelector('.thumb');"
    )
    color = "return thumb.style.backgroundColor;"
    assert page.run(f"{made} {color}") == "rgb(30, 64, 175)"
    assert page.run(f"{made} thumb.querySelector('img').dispatchEvent(new Event('load')); {color}") == ""


def test_hot_spots_lie_where_the_boxes_are(page: Browser, folder: Path) -> None:
    """The spot covers its part of the displayed picture, also if the file is turned."""
    turned = folder / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200), "teal").save(turned, exif=exif)
    page.choose(turned)
    shown, spot = page.one("#picture").rect, page.one(".spot").rect
    assert shown["height"] == pytest.approx(2 * shown["width"], rel=0.02)
    across = [(spot["x"] - shown["x"]) / shown["width"], spot["width"] / shown["width"]]
    down = [(spot["y"] - shown["y"]) / shown["height"], spot["height"] / shown["height"]]
    assert [*across, *down] == pytest.approx([0.1, 0.8, 0.2, 0.6], abs=0.01)


def test_the_keyboard_leads_from_a_hot_spot_to_its_entry(page: Browser, picture: Path) -> None:
    """Tab reaches the spot, which has a name; Enter moves to the tag, and both are marked."""
    page.choose(picture)
    page.run("document.getElementById('file').focus()")
    page.act().send_keys(Keys.TAB).perform()
    assert page.driver.switch_to.active_element == page.one(".spot")
    assert page.texts(".spot span") == ["mug"]
    assert page.texts(".chip.active") == ["mug\n80%"]
    page.act().send_keys(Keys.ENTER).perform()
    assert page.driver.switch_to.active_element == page.all("#insights .chip")[0]
    assert page.one(".spot.active")
    assert page.one("polygon.line.active")


def test_a_dragged_rectangle_is_the_crop(page: Browser, engine: FixedEngine, picture: Path) -> None:
    """The rectangle is the crop of the request; hot spots are mapped back; the whole picture can be used again."""
    page.choose(picture)
    frame = page.one("#frame")
    width, height = frame.size["width"], frame.size["height"]
    start = page.act().move_to_element_with_offset(frame, int(-0.45 * width), int(-0.45 * height))
    start.click_and_hold().move_by_offset(int(0.5 * width), int(0.5 * height)).release().perform()
    page.wait(lambda: engine.requests[-1][0], "no crop was sent")
    assert engine.requests[-1][0] == pytest.approx((0.05, 0.05, 0.55, 0.55), abs=0.01)
    page.wait(lambda: page.all(".spot"), "no spot")
    spot, shown = page.one(".spot").rect, page.one("#picture").rect
    assert (spot["x"] - shown["x"]) / shown["width"] == pytest.approx(0.05 + 0.1 * 0.5, abs=0.015)
    page.one("#region summary").click()
    page.one("#whole").click()
    page.wait(lambda: engine.requests[-1][0] is None, "the crop stayed")


def test_a_region_can_be_typed(page: Browser, engine: FixedEngine, picture: Path) -> None:
    """The four edges in percent have the same effect; if they are refused, the page says why."""
    page.choose(picture)
    page.one("#region summary").send_keys(Keys.ENTER)
    for edge, value in {"left": "10", "top": "20", "right": "60", "bottom": "70"}.items():
        page.one(f"#{edge}").clear()
        page.one(f"#{edge}").send_keys(value)
    page.one("#bottom").send_keys(Keys.ENTER)
    page.wait(lambda: engine.requests[-1][0] == (0.1, 0.2, 0.6, 0.7), "no crop was sent")
    page.one("#left").clear()
    page.one("#left").send_keys("90" + Keys.ENTER)
    page.wait(lambda: page.one("#alert").is_displayed())
    assert "cropArea.right must be greater than cropArea.left" in page.one("#alert").text


def test_more_look_alikes_are_fetched(page: Browser, picture: Path) -> None:
    """The button requests the next page, with one skill, until there is none."""
    page.choose(picture)
    page.one("#insights section .more").click()
    page.wait(lambda: len(page.all("#insights section .tile")) == 58, "no second page")
    assert page.all("#insights section .more") == []
    assert "23 pictures added" in page.one("#status").text


def test_more_is_requested_once(page: Browser, served: Served, picture: Path) -> None:
    """Two clicks request the page once; after an error the button can be used again."""
    page.choose(picture)
    served.fail({"status": 500, "message": "A bad day."})
    page.one("#insights section .more").click()
    page.wait(lambda: page.one("#alert").is_displayed(), "no error")
    before = len(served.journal)
    page.run("const more = document.querySelector('#insights section .more'); more.click(); more.click();")
    page.wait(lambda: "23 pictures added" in page.one("#status").text, "no second page")
    page.wait(lambda: not page.all("#bar.busy"), "still busy")
    assert len(page.all("#insights section .tile")) == 58
    assert len(served.journal) == before + 1


def test_the_bar_stays_until_everything_is_done(page: Browser, engine: FixedEngine, picture: Path) -> None:
    """A search that is done does not hide a request that is still in progress."""
    may_continue = threading.Event()
    engine.before = lambda: assert_set(may_continue)
    page.one("#file").send_keys(str(picture))
    page.wait(lambda: page.all("#bar.busy"), "not busy")
    page.one("#words").send_keys("mug" + Keys.ENTER)
    page.wait(lambda: page.all("#results .tile"), "no results")
    busy = page.all("#bar.busy")
    may_continue.set()
    page.wait_for_insights()
    page.wait(lambda: not page.all("#bar.busy"), "still busy")
    assert busy


def assert_set(event: threading.Event) -> None:
    """Wait until a test sets an event."""
    assert event.wait(HANG_SECONDS)


def test_a_slow_file_does_not_replace_a_later_one(
    page: Browser, engine: FixedEngine, folder: Path, picture: Path
) -> None:
    """A picture that is still being read when another one is chosen is not sent."""
    before, slow = len(engine.requests), write_picture(folder / "slow.png")
    page.run(
        """const read = createImageBitmap;
        window.createImageBitmap = (file) => new Promise(async (done) => {
          const bitmap = await read(file);
          if (file.name === "slow.png") window.release = () => done(bitmap); else done(bitmap);
        });"""
    )
    page.one("#file").send_keys(str(slow))
    page.wait(lambda: page.run("return Boolean(window.release)"), "not read")
    page.choose(picture)
    page.run("window.release()")
    assert page.one("#picture").get_attribute("alt") == picture.name
    assert len(engine.requests) == before + 1


def test_a_large_picture_is_scaled_down(page: Browser, served: Served, folder: Path) -> None:
    """The service gets at most 1,500 px and 1 MB, and the page says so; a small one is sent byte-identical."""
    large = folder / "large.png"
    Image.effect_noise((1200, 2400), 90).save(large, compress_level=1)
    page.choose(large)
    upload = served.journal[-1].picture
    assert upload is not None
    assert (upload.width, upload.height, upload.format) == (750, 1500, "jpeg")
    assert upload.bytes <= 1_000_000
    assert re.search(r"1,200 . 2,400 px, .* to 750 . 1,500 px", page.one("#note").text)
    small = write_picture(folder / "small.png", (900, 1500))
    page.choose(small)
    page.wait(
        lambda: served.journal[-1].picture and served.journal[-1].picture.width == 900, "the small one did not arrive"
    )
    last = served.journal[-1].picture
    assert last is not None
    assert last.sha256 == sha256(small.read_bytes()).hexdigest()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page: Browser, engine: FixedEngine, way: str) -> None:
    """Both send it at once."""
    before, data = len(engine.requests), b64encode(draw_mug((30, 64, 175))).decode()
    page.run(
        """const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0)), carried = new DataTransfer();
        carried.items.add(new File([bytes], "mug.png", { type: "image/png" }));
        document.dispatchEvent(arguments[1] === "drop" ? new DragEvent("drop", { dataTransfer: carried })
          : new ClipboardEvent("paste", { clipboardData: carried }));""",
        data,
        way,
    )
    page.wait(lambda: page.all("#insights h2"), "no response")
    assert len(engine.requests) == before + 1


def test_a_picture_of_the_catalogue_is_found_by_words(page: Browser, engine: FixedEngine) -> None:
    """A search shows tiles; a click on one sends its token."""
    page.one("#words").send_keys("blue mug 7" + Keys.ENTER)
    page.wait(lambda: page.all("#results .tile"), "no results")
    before = len(engine.requests)
    page.all("#results .tile button")[0].click()
    page.wait_for_insights()
    assert len(engine.requests) == before + 1
    assert "From the catalogue: Blue mug 7" in page.one("#note").text
    assert not page.one("#results").is_displayed()
    page.wait(lambda: page.run("return document.getElementById('picture').naturalWidth"), "not shown")


def test_text_is_shown_line_by_line(page: Browser, picture: Path) -> None:
    """Regions, lines and addresses are in the list and over the picture."""
    page.choose(picture)
    lines = [{"text": "CHARLENE WHITNEY", "boundingBox": box(0.1, 0.1, 0.6, 0.2)}]
    whole, part = box(0, 0, 1, 1), box(0.2, 0.5, 0.6, 0.6)
    tags = [
        text_tag(whole, {"actionType": "TextRecognition", "data": {"regions": [{"lines": lines}]}}),
        text_tag(part, {"actionType": "Uri", "url": "tel:888%20555%201212"}),
        text_tag(whole, {"actionType": "Uri", "url": "javascript:window.owned=1"}),
    ]
    page.run("clearSpots(); showResponse({ tags: arguments[0] }, 1)", tags)
    assert page.texts(".lines li li") == ["CHARLENE WHITNEY"]
    assert [spot.get_attribute("textContent") for spot in page.all(".spot")] == ["CHARLENE WHITNEY", "888 555 1212"]
    assert [link.get_attribute("href") for link in page.all("#insights a")] == ["tel:888%20555%201212"]
    older = text_tag(whole, {"actionType": "TextResults", "displayName": "WALK BIKE"})
    page.run("showResponse({ tags: [arguments[0]] }, 1)", older)
    assert page.texts(".lines") == ["WALK BIKE"]
    assert "##" not in page.one("main").text


def test_a_key_is_requested_and_sent(browser: Browser, folder: Path, picture: Path) -> None:
    """Without a key the page says so and opens the field; with it the response arrives, and the key is not stored."""
    keys = (ApiKey(secret=SecretStr(KEY)),)
    with serving(make_engine(folder), AppConfig(keys=keys)) as served:
        browser.open(served.url)
        browser.choose(picture)
        assert browser.one("#alert span").text == "This service needs a key; enter it under Options."
        assert browser.driver.switch_to.active_element == browser.one("#key")
        browser.one("#key").send_keys("wrong")
        browser.one("#alert button").click()
        browser.wait(lambda: "does not know this key" in browser.one("#alert").text)
        browser.one("#key").clear()
        browser.one("#key").send_keys(KEY)
        browser.one("#alert button").click()
        browser.wait_for_insights()
        assert browser.texts("#insights h2") == ["Blue mug 0"]
        assert browser.run("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert not any(KEY in url for url in browser.requests())
        browser.open(served.url)
        assert browser.run("return document.getElementById('key').value") == ""


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"status": 429, "retry_after": "7"}, "The service is busy: try again in 7 seconds."),
        ({"status": 403, "retry_after": "172800"}, "The quota of this key is used up; it resets in 2 days."),
        ({"status": 500, "message": "A bad day."}, "The service refused this (500): A bad day."),
        ({"kind": "truncate"}, "The response was cut off; try again."),
        ({"kind": "html", "status": 502}, "The service refused this (502): Bad Gateway."),
    ],
    ids=["429", "403", "500", "truncate", "502"],
)
def test_a_refusal_is_one_sentence(
    page: Browser, served: Served, picture: Path, fault: dict[str, object], sentence: str
) -> None:
    """It says what is wrong, and the request can be repeated."""
    served.fail(fault)
    page.choose(picture)
    assert page.one("#alert span").text == sentence
    page.one("#alert button").click()
    page.wait_for_insights()
    assert not page.one("#alert").is_displayed()


def test_a_service_that_has_stopped_is_reported(browser: Browser, folder: Path, picture: Path) -> None:
    """The page outlives its service, and asks if it is still running."""
    with serving(make_engine(folder), AppConfig()) as served:
        browser.open(served.url)
    browser.choose(picture)
    assert browser.one("#alert span").text == "The service did not respond. Is it still running?"


def test_a_bad_file_and_a_bad_market_are_reported(page: Browser, folder: Path, picture: Path) -> None:
    """The page says that a file can't be read, or that a market is wrong."""
    text = folder / "words.jpg"
    text.write_text("no picture")
    page.choose(text)
    assert page.one("#alert span").text == "The service could not read this file as a picture."
    page.one("#toggle").click()
    assert not page.one("#keyfield").is_displayed()  # this service has no keys
    page.one("#market").send_keys("xx")
    page.choose(picture)
    page.wait(lambda: "mkt must have the form" in page.one("#alert").text, "no refusal")


def test_hostile_texts_remain_text(browser: Browser, folder: Path, picture: Path) -> None:
    """Markup in a title is shown as text, and a dangerous scheme makes no link."""
    engine = make_engine(folder)
    evil: dict[str, Any] = {
        "title": HOSTILE,
        "page_url": "javascript:window.owned=1",
        "content_url": "data:text/html,<script>1</script>",
    }
    engine.rows = [replace(row, **evil, seller=HOSTILE, currency="€<b>") for row in engine.rows]
    with serving(engine, AppConfig()) as served:
        browser.open(served.url)
        browser.choose(picture)
        browser.wait(lambda: browser.run("return document.readyState") == "complete")
        assert HOSTILE in browser.one("#insights").text
        assert browser.run("return window.owned") is None
        assert (
            browser.run("return document.querySelectorAll('#insights script, #insights b, img[onerror]').length") == 0
        )
        hrefs = browser.run("return [...document.querySelectorAll('#insights a')].map((link) => link.href)")
        assert hrefs == ["https://shop.example/mugs/0/"]  # the caption's source, which is the test engine's own
        assert browser.errors() == []


def test_back_leads_to_what_was_shown_before(page: Browser, engine: FixedEngine, picture: Path) -> None:
    """From a picture back to the search, from its look-alike back to it, and forward again: the page is never left."""
    page.one("#words").send_keys("blue mug 7" + Keys.ENTER)
    page.wait(lambda: page.all("#results .tile"), "no results")
    page.all("#results .tile button")[0].click()
    page.wait_for_insights()
    first = page.one("#picture").get_attribute("src")
    page.all("#insights .tile button")[2].click()
    page.wait(lambda: page.one("#picture").get_attribute("src") != first, "no look-alike")
    page.wait_for_insights()
    second = page.one("#picture").get_attribute("src")
    page.driver.back()
    page.wait(lambda: page.one("#picture").get_attribute("src") == first, "not back")
    assert not page.one("#results").is_displayed()
    page.driver.back()
    page.wait(lambda: page.one("#results").is_displayed(), "no results again")
    assert not page.one("#view").is_displayed()
    page.driver.back()
    page.wait(lambda: page.one("#drop").is_displayed(), "not at the start")
    assert not page.one("#results").is_displayed()
    for _ in range(3):
        page.driver.forward()
    page.wait(lambda: page.one("#picture").get_attribute("src") == second, "not forward")
    page.wait_for_insights()
    assert page.errors() == []


def type_region(page: Browser, **edges: str) -> None:
    """Enter the edges of a region in percent, as a user does."""
    if not page.one("#region").get_attribute("open"):
        page.one("#region summary").click()
    for edge, value in edges.items():
        page.one(f"#{edge}").clear()
        page.one(f"#{edge}").send_keys(value)
    page.one("#bottom").send_keys(Keys.ENTER)


def test_back_leads_to_an_upload_and_its_region(page: Browser, engine: FixedEngine, folder: Path) -> None:
    """A picture that was chosen on the page is shown again, whole or its region, without choosing it again."""
    page.choose(write_picture(folder / "first.png", (320, 200)))
    page.wait_for_insights()
    type_region(page, left="10", top="20", right="60", bottom="70")
    page.wait(lambda: engine.requests[-1][0] == (0.1, 0.2, 0.6, 0.7), "no region")
    page.wait_for_insights()
    page.one("#file").send_keys(str(write_picture(folder / "second.png", (100, 300))))
    page.wait(lambda: page.run("return document.getElementById('picture').naturalHeight") == 300, "not shown")
    page.wait_for_insights()
    page.driver.back()
    page.wait(lambda: page.run("return document.getElementById('picture').naturalWidth") == 320, "not back")
    page.wait(lambda: engine.requests[-1][0] == (0.1, 0.2, 0.6, 0.7), "no region again")
    page.driver.back()
    page.wait(lambda: engine.requests[-1][0] is None, "not the whole picture")
    assert page.one("#picture").get_attribute("alt") == "first.png"


def test_the_address_can_be_shared(page: Browser, engine: FixedEngine, served: Served, picture: Path) -> None:
    """Another page that opens the address shows the same search, picture and region; also those of an upload."""
    page.one("#words").send_keys("blue mug 7" + Keys.ENTER)
    page.wait(lambda: page.all("#results .tile"), "no results")
    search = page.driver.current_url
    page.open(search)
    page.wait(lambda: page.all("#results .tile"), "no results from the address")
    assert page.one("#words").get_attribute("value") == "blue mug 7"
    page.open(served.url)
    page.choose(picture)
    page.wait_for_insights()
    type_region(page, left="10", top="20", right="60", bottom="70")
    page.wait(lambda: engine.requests[-1][0] == (0.1, 0.2, 0.6, 0.7), "no region")
    page.wait(lambda: "picture=bcid_" in page.driver.current_url, "the address does not name the picture")
    before, shared = len(engine.requests), page.driver.current_url
    page.open(shared)
    page.wait_for_insights()
    assert engine.requests[before:] == [((0.1, 0.2, 0.6, 0.7), None)]
    page.wait(lambda: page.run("return document.getElementById('picture').naturalWidth") == 300, "not shown")
    assert page.errors() == []


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("#picture=17", "The address names a picture that was only on this page; choose it again."),
        ("#picture=own_gone", "imageInsightsToken no picture of the catalogue has this token"),
        ("#picture=%3Cimg%20src%3Dx%20onerror%3D%22window.owned%3D1%22%3E&crop=a,b", "no picture of the catalogue"),
        ("#crop=1,2,3,4&&&=%zz", ""),
    ],
    ids=["upload", "unknown", "hostile", "nonsense"],
)
def test_an_address_that_names_nothing_is_reported(
    browser: Browser, served: Served, address: str, sentence: str
) -> None:
    """The page says so, and can be used."""
    browser.open(served.url + "/" + address)
    browser.wait(lambda: sentence in browser.one("#alert").text if sentence else browser.one("#drop").is_displayed())
    assert browser.run("return window.owned") is None


@pytest.mark.parametrize("name", ["small.jpg", "large.jpg"])
def test_a_damaged_picture_is_called_damaged(page: Browser, folder: Path, name: str) -> None:
    """A file that is cut off is a damaged picture, not an unknown format; also one that is too large to be sent."""
    whole = io.BytesIO()
    side = 400 if name == "small.jpg" else 2400
    Image.effect_noise((side, side), 90).convert("RGB").save(whole, "JPEG", quality=90)
    data = whole.getvalue()
    assert (len(data) > 2_000_000) == (name == "large.jpg")
    cut = folder / name
    cut.write_bytes(data[:300] if name == "small.jpg" else data[:300] + bytes(1_500_000))
    page.choose(cut)
    page.wait(lambda: "The picture is damaged" in page.one("#alert span").text, page.one("#alert span").text)


def test_boxes_may_be_edges(page: Browser, picture: Path) -> None:
    """An answer that gives left, top, right and bottom in place of corners has hot spots; a broken box has none."""
    page.choose(picture)
    shapes = [{"left": 0.1, "top": 0.2, "right": 0.5, "bottom": 0.6}, {"left": 0.1}, {"topLeft": {"x": 1}}, "x", None]
    tags = [
        {"displayName": f"tag {number}", "boundingBox": {"queryRectangle": shape}, "actions": []}
        for number, shape in enumerate(shapes)
    ]
    page.run("clearSpots(); showResponse({ tags: arguments[0] }, 1)", tags)
    assert [spot.get_attribute("textContent") for spot in page.all(".spot")] == ["tag 0"]
    shown, spot = page.one("#picture").rect, page.one(".spot").rect
    assert (spot["x"] - shown["x"]) / shown["width"] == pytest.approx(0.1, abs=0.01)
    assert len(page.all("#insights .chip")) == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_size_and_scheme_can_be_read(browser: Browser, folder: Path, picture: Path, scheme: str) -> None:
    """From 360 to 1600 px nothing scrolls sideways, even with an endless word, and every text has contrast."""
    engine = make_engine(folder)
    engine.rows = [make_item(n, title=f"Mug {UNBROKEN}", seller=UNBROKEN) for n in range(4)]
    with serving(engine, AppConfig()) as served:
        browser.resize(width=1600, scheme=scheme)
        browser.open(served.url)
        browser.choose(picture)
        browser.run("document.querySelectorAll('details').forEach((part) => (part.open = true)); showOptions(true)")
        browser.run("showError(new Error('A sentence.'), () => 0)")
        for width in (1600, 960, 700, 360):
            browser.resize(width=width, scheme=scheme)
            assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0, width
        count, low = browser.run(LOW_CONTRAST)
        assert count > 40
        assert low == []
        paper = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", paper)[0]) > 128) == (scheme == "light")


def test_the_response_is_shown_and_copied_as_json(page: Browser, picture: Path) -> None:
    """The text is the whole response; the button selects it, and copies it if the browser allows that."""
    page.choose(picture)
    page.all("#insights summary")[-1].click()
    page.one("#insights details[open] .more").click()
    page.wait(lambda: page.one("#insights details[open] .more").text in ("Copied", "Selected; press Ctrl+C"))
    response = json.loads(page.run("return getSelection().toString()"))
    assert (response["_type"], len(response["tags"])) == ("ImageKnowledge", 2)


def test_every_control_has_a_name(page: Browser, picture: Path) -> None:
    """All controls in the accessibility tree have names, with everything opened, before and after a response."""
    assert page.nameless() == []
    page.choose(picture)
    page.run("document.querySelectorAll('details').forEach((part) => (part.open = true)); showOptions(true)")
    assert page.nameless() == []
    for landmark in ("header", "main", "[role=search]", "[role=status]", "h1"):
        assert page.one(landmark)
