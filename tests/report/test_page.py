"""report.html in a real browser over file://: what it shows, what it reaches, and what a hostile row does to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from selenium.webdriver.common.keys import Keys

from pipeline.report.page.write import REPORT_FILE, write_page
from tests.report.jobs import make_failure, make_record, rectangle, write_job
from tests.running import load
from tests.service.http.browsing import LOW_CONTRAST, Browser, browsing

HOSTILE = '</script><img src=x onerror="window.owned=1"><script>window.owned=1</script>\u2028'
ROWS = 400


def offer(price: float) -> dict[str, Any]:
    """Return an offer of a shop."""
    return {"name": "Mug", "price": price, "currency": "EUR", "url": "https://shop.example.com/mug"}


def tag(name: str, *corners: float) -> dict[str, Any]:
    """Return a tag, with a box where there are corners."""
    box = {"box": rectangle(*corners)} if corners else {}
    return {"name": name, "confidence": 0.8, "sources": [], "actions": [], **box}


def lines() -> list[dict[str, Any]]:
    """Return the rows: mugs, a hostile one, copies, one from the web, chairs, and three failures at the end."""
    text = {
        "full": "SALE",
        "sources": [],
        "regions": [{"lines": [{"text": "SALE", "box": rectangle(0.1, 0.1, 0.5, 0.2)}]}],
    }
    rows = [make_record(n, tags=[tag("mug", 0.2, 0.2, 0.8, 0.9)], offers=[offer(float(n))]) for n in range(100)]
    rows[0] |= {"carry": {"title": "Blue mug", "category": "kitchen"}, "text": text}
    rows[1] |= {"carry": {"title": HOSTILE, "category": HOSTILE}, "tags": [tag(HOSTILE, 0.1, 0.1, 0.2, 0.2)]}
    rows[1]["offers"] = [{"name": HOSTILE, "price": 1.5, "currency": HOSTILE, "url": "javascript:window.owned=1"}]
    rows[3]["source"] = {**rows[3]["source"], "sha256": rows[2]["source"]["sha256"]}
    rows[4]["source"] = {"url": "https://pictures.example.com/a.jpg", "sha256": "ab"}
    rows += [make_record(n, tags=[tag("chair")]) for n in range(100, ROWS - 3)]
    failures = [make_failure(n) for n in (ROWS - 3, ROWS - 2)]
    return [*rows, *failures, make_failure(ROWS - 1, code="not-a-picture", message=HOSTILE)]


LAST_NIGHT = {"at": "2026-11-30T02:00:00Z", "run": 2}
CHANGES = [
    {
        "id": "row-000000",
        "kind": "field",
        "field": "offers.price",
        "item": "https://shop.example.com/a",
        "before": 20.0,
        "after": 19.0,
        **LAST_NIGHT,
    },
    {
        "id": "row-000001",
        "kind": "field",
        "field": "offers.price",
        "item": "https://shop.example.com/a",
        "before": 20.0,
        "after": 10.0,
        **LAST_NIGHT,
    },
    {"id": "row-000005", "kind": "added", "before": None, "after": HOSTILE, **LAST_NIGHT},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a job."""
    folder = tmp_path_factory.mktemp("report")
    config = write_job(folder, lines())
    old = {
        "id": "row-000009",
        "at": "2026-11-29T02:00:00Z",
        "run": 1,
        "kind": "removed",
        "before": "a.jpg",
        "after": None,
    }
    (folder / "out" / "changes.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in [old, *CHANGES]))
    write_page(load(config), folder / "out")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """Return the address of the page."""
    return (folder / "out" / REPORT_FILE).as_uri()


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    """Return the one browser of all tests here."""
    with browsing(folder / "profile") as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Browser:
    """Return the browser with the page, all rows read."""
    browser.resize(width=1280)
    return opened(browser, address)


def opened(browser: Browser, address: str) -> Browser:
    """Open the page at an address and wait until all rows are read."""
    browser.open(address)
    browser.wait(lambda: browser.run("return document.documentElement.dataset.loaded"), "the rows were not read")
    return browser


def filtered(page: Browser, query: str) -> str:
    """Enter a filter and return what the page says of it."""
    page.run("document.getElementById('query').value = arguments[0]", query)
    page.run("document.getElementById('filter').requestSubmit()")
    return page.one("#count").text


def test_the_page_reaches_no_address(page: Browser) -> None:
    """All requests are for files beside it, and the console has no error, also with a picture open."""
    page.all(".card")[4].click()
    page.wait(lambda: page.one("#picture").is_displayed())
    addresses = page.requests()
    assert any("/images/" in address for address in addresses)
    assert [address for address in addresses if not address.startswith(("file:", "data:", "blob:"))] == []
    assert page.errors() == []


def test_a_hostile_row_does_nothing(page: Browser) -> None:
    """Markup in titles, tags, messages, categories and changes is text, in the page and in the view of one picture."""
    page.all(".card")[1].click()
    page.wait(lambda: page.all("#picture pre"), "no record")
    assert HOSTILE.strip("\u2028") in page.one("#picture-title").text
    assert page.run("return window.owned") is None
    assert page.run("return document.querySelectorAll('img[onerror], a[href^=javascript]').length") == 0
    filtered(page, "code=not-a-picture")
    assert page.run("return window.owned") is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", "400 rows"),
        ("mug", "99 of 400 rows"),
        ("status:failed", "3 of 400 rows"),
        ("tag=chair", "297 of 400 rows"),
        ("tag:chair,mug -status:failed price>=98", "2 of 400 rows"),
        ('"Blue mug"', "1 of 400 rows"),
        ("text:sale category=kitchen", "1 of 400 rows"),
        ("-tag:mug -tag:chair code=truncated", "2 of 400 rows"),
        ("copy:exact", "1 of 400 rows"),
        ("changed=offers.price", "2 of 400 rows"),
        ("price<1", "1 of 400 rows"),
        ("nosuch:field", "0 of 400 rows"),
    ],
)
def test_the_filter_finds_rows(page: Browser, query: str, count: str) -> None:
    """Words, fields, comparisons, alternatives and negation narrow the grid."""
    assert filtered(page, query) == count
    assert ("no field" in page.one("#query-note").text) == query.startswith("nosuch")


def test_the_state_is_in_the_address(browser: Browser, page: Browser, address: str) -> None:
    """A filter and an open picture come back from the address; closing the picture takes it out of it."""
    filtered(page, "tag=mug price>50")
    assert page.run("return location.hash") == "#q=tag%3Dmug+price%3E50"
    opened(browser, f"{address}#q=status%3Afailed&picture=row-000398")
    assert browser.one("#count").text == "3 of 400 rows"
    assert "row-000398" in browser.one("#picture-title").text
    browser.act().send_keys(Keys.ESCAPE).perform()
    browser.wait(lambda: browser.run("return location.hash") == "#q=status%3Afailed")


def test_facets_count_and_narrow(page: Browser) -> None:
    """A facet says how many rows have its value; a click adds it to the filter, a second one takes it out."""
    page.wait(lambda: page.all(".facet"), "no facets")
    facet = next(each for each in page.all(".facet") if each.text.startswith("chair"))
    assert facet.text.split() == ["chair", "297"]
    facet.click()
    assert page.one("#count").text == "297 of 400 rows"
    page.wait(lambda: page.all(".facet[aria-pressed=true]"))
    page.one(".facet[aria-pressed=true]").click()
    assert page.one("#count").text == "400 rows"


def test_only_what_is_in_sight_is_in_the_document(page: Browser) -> None:
    """The grid says how many lines there are, holds few of them, and shows the last one after End."""
    assert len(page.all(".card")) < 60
    assert int(page.one("#grid").get_attribute("aria-rowcount") or 0) * 6 >= ROWS
    page.run("document.querySelector('.card').focus()")
    page.act().key_down(Keys.CONTROL).send_keys(Keys.END).key_up(Keys.CONTROL).perform()
    page.wait(lambda: f"row-{ROWS - 1:06}" in page.driver.switch_to.active_element.text)


def test_the_keyboard_is_enough(page: Browser) -> None:
    """Slash goes to the filter, the arrows move, Enter opens, an arrow goes on, Esc closes."""
    page.act().send_keys("/").perform()
    assert page.driver.switch_to.active_element == page.one("#query")
    page.run("document.querySelector('.card').focus()")
    page.act().send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ENTER).perform()
    page.wait(lambda: page.one("#picture-title").text == "row-000002")
    page.act().send_keys(Keys.ARROW_RIGHT).perform()
    page.wait(lambda: page.one("#picture-title").text == "row-000003")
    page.act().send_keys(Keys.ESCAPE).perform()
    page.wait(lambda: "row-000003" in page.driver.switch_to.active_element.text)


def test_boxes_lie_over_the_picture(page: Browser, browser: Browser, address: str) -> None:
    """Tags and lines of text are drawn where their boxes are, and can be switched off."""
    opened(browser, f"{address}#picture=row-000000")
    page.wait(lambda: page.run("return document.querySelector('.frame img')?.naturalWidth"), "no picture")
    frame, box = page.one(".frame").rect, page.one(".boxes.tags polygon").rect
    assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(0.2, abs=0.02)
    assert box["height"] / frame["height"] == pytest.approx(0.7, abs=0.03)
    assert len(page.all(".boxes.text polygon")) == 1
    page.all("#picture input[type=checkbox]")[0].click()
    assert page.all(".boxes.tags polygon") == []


def test_pictures_of_the_web_are_loaded_on_a_click_only(page: Browser, browser: Browser, address: str) -> None:
    """The page names the host; nothing is requested before the user asks for it."""
    opened(browser, f"{address}#picture=row-000004")
    button = page.one(".stage button")
    assert button.text == "Load it from pictures.example.com"
    assert not any("example.com" in url for url in page.requests())
    button.click()
    page.wait(lambda: any(url == "https://pictures.example.com/a.jpg" for url in page.requests()), "not requested")


def test_changes_have_a_threshold(page: Browser) -> None:
    """The changes of the last run are listed, and only those that moved far enough if the user says so."""
    page.wait(lambda: len(page.all("#changes-list tbody tr")) == 3)
    page.one("#changes-percent").clear()
    page.one("#changes-percent").send_keys("20")
    page.wait(lambda: "row-000001" in page.one("#changes-list tbody").text)
    page.wait(lambda: "row-000000" not in page.one("#changes-list tbody").text)


def test_copies_lie_side_by_side(page: Browser) -> None:
    """A group shows the picture to keep first, then its copies."""
    assert [text.split("\n")[:2] for text in page.texts("#copies .copies li")] == [
        ["keep this one", "row-000003"],
        ["exact copy", "row-000002"],
    ]


def test_what_is_filtered_can_be_downloaded(page: Browser, tmp_path: Path) -> None:
    """CSV and JSONL hold the filtered rows; a cell that a spreadsheet would run is made text."""
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    filtered(page, "status:failed")
    page.one("#download-jsonl").click()
    page.one("#download-csv").click()
    page.wait(lambda: len([*tmp_path.glob("pictures.*l")]) and [*tmp_path.glob("*.csv")], "nothing was saved")
    saved = [json.loads(line) for line in (tmp_path / "pictures.jsonl").read_text().split("\n")[:-1]]
    assert [row["code"] for row in saved] == ["truncated", "truncated", "not-a-picture"]
    assert saved[2]["message"] == HOSTILE
    assert len((tmp_path / "pictures.csv").read_text().split("row-")) == 4


def test_paper_gets_pictures_too(page: Browser) -> None:
    """Before printing, the first filtered rows are put into the document as they are."""
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert len(page.all("#print-list .card")) == 200
    assert "and 200 more" in page.run("return document.getElementById('print-list').textContent")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    """On a phone, too, the page scrolls down only, also with a picture open."""
    browser.resize(width=width)
    for place in ("", "#picture=row-000001"):
        opened(browser, address + place)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.run("const d = document.getElementById('picture'); return d.scrollWidth <= d.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, address: str, scheme: str) -> None:
    """All text is readable in both colour schemes."""
    browser.resize(width=1280, scheme=scheme)
    opened(browser, address)
    seen, low = browser.run(LOW_CONTRAST)
    assert seen > 50
    assert low == []


def axe_script() -> str:
    """Return axe-core; skips where it is not installed, unless REQUIRE_AXE is set."""
    places = [os.environ.get("AXE_CORE", "")]
    if npm := shutil.which("npm"):
        root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
        places.append(f"{root}/axe-core/axe.min.js")
    script = next((Path(place) for place in places if place and Path(place).is_file()), None)
    if script is None:
        assert not os.environ.get("REQUIRE_AXE"), "axe-core is required here, but not installed"
        pytest.skip("axe-core is not installed (npm install -g axe-core, or AXE_CORE=path/to/axe.min.js)")
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "#q=status%3Afailed", "#picture=row-000000"])
def test_axe_finds_nothing(browser: Browser, address: str, place: str, scheme: str) -> None:
    """No rule of axe-core is violated, in both colour schemes, with the grid, a filter and a picture."""
    script = axe_script()
    browser.resize(width=1280, scheme=scheme)
    opened(browser, address + place)
    browser.wait(lambda: browser.all(".facet"))
    browser.run(script)
    run = "axe.run().then((found) => arguments[0](found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)])))"
    assert browser.driver.execute_async_script(run) == []


def test_every_control_has_a_name(page: Browser) -> None:
    """Assistive technology can name each button, field and picture."""
    assert page.nameless() == []
