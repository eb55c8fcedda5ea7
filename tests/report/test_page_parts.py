"""What goes into report.html: the part that needs no script, the budget of its parts, and how text is kept text."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.page import write
from pipeline.report.page.entries import FIELDS, entry
from pipeline.report.page.packing import Pack, script_json
from pipeline.report.page.rate import rate_chart
from pipeline.report.page.write import REPORT_FILE, write_page
from pipeline.report.run_json import RUN_FILE
from pipeline.resume.keys import row_key
from pipeline.sink.job_lines import CurrentLine
from pipeline.sink.thumbnails import Thumbnails
from tests.report.jobs import make_failure, make_record, rectangle, write_job
from tests.running import load

HOSTILE = "</script><img src=x onerror=alert(1)>"
RUN = {
    "provider": "local",
    "started_at": "2026-11-30T01:59:00Z",
    "ended_at": "2026-11-30T02:01:00Z",
    "seconds": 120.0,
    "exit_code": 5,
    "reason": "quota",
    "message": "the day's quota of 1 call is used up",
    "resume_after": "2026-12-01T00:00:00Z",
    "rows": {"skipped": 2, "left": 7},
    "calls": {"sent": 1, "rows_from_store": 0, "cost": 1.5, "throttled": 3, "faults": 1},
}


class WithoutScripts(HTMLParser):
    """Collects the text and the addresses of a page as a mail preview would show them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.sources: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in {"script", "style"}
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else data


def used(model: str, feature: str, **amounts: float) -> dict[str, Any]:
    """Return an entry of `usage` in run.json."""
    nothing = {"units": 0.0, "tokens_in": 0, "tokens_out": 0, "cost": 0.0}
    return {"provider": "local", "model": model, "feature": feature, "currency": "USD", **nothing, **amounts}


def page_of(folder: Path, *lines: dict[str, Any], run: dict[str, Any] | None = RUN) -> str:
    """Return the page of a job with these rows."""
    config = write_job(folder, lines)
    if run is not None:
        (folder / "out" / RUN_FILE).write_text(json.dumps(run))
    write_page(load(config), folder / "out")
    return (folder / "out" / REPORT_FILE).read_text(encoding="utf-8")


def test_the_page_says_what_was_paid_for(tmp_path: Path) -> None:
    """By model and feature; a name that a service sends stays text."""
    usage = [
        used("", "labels", units=1200.0, cost=1.8),
        used(HOSTILE, "", tokens_in=2400, tokens_out=200, cost=0.00045),
    ]
    page = page_of(tmp_path, make_record(0), run=RUN | {"usage": usage})
    shown = WithoutScripts(page)
    assert "Cost of labels1.80 USD, 1,200 units" in shown.text
    assert "0.00045 USD, 2,400 tokens in, 200 out" in shown.text
    assert HOSTILE not in page


def test_the_verdict_needs_no_script(tmp_path: Path) -> None:
    """How many rows have a record, why the run ended, when to go on, what it cost, what to retry: in plain HTML."""
    failures = [make_failure(n) for n in range(1, 6)]
    shown = WithoutScripts(page_of(tmp_path, make_record(0), *failures))
    assert "1 of 6 rows have a record; 5 failed." in shown.text
    assert "ended early (quota): the day's quota of 1 call is used up. Go on after 2026-12-01" in shown.text
    for fact in ("Calls1", "Cost1.50", "Calls refused or failed4", "Rows left7", "Skipped lines2", "Time2 min"):
        assert fact in shown.text
    assert f"image-insights retry {tmp_path}/job.toml --code truncated" in shown.text
    assert "truncated 5 rows" in shown.text
    assert "and 2 more" in shown.text
    assert shown.sources == ["../images/1.png", "../images/2.png", "../images/3.png"]


def test_a_job_that_has_not_ended_yet_has_a_page(tmp_path: Path) -> None:
    """Without run.json the rows are counted all the same."""
    text = WithoutScripts(page_of(tmp_path, make_record(0, status="empty"), run=None)).text
    assert "1 of 1 row has a record; none failed." in text
    assert "none has ended yet" in text


def test_text_of_others_is_never_markup(tmp_path: Path) -> None:
    """Ids, messages and codes are escaped in HTML, and no JSON in the page can end its script."""
    page = page_of(tmp_path, make_failure(0, id=HOSTILE, message=HOSTILE), make_record(1, id=HOSTILE + "1"))
    assert "<img src=x" not in page
    assert page.count("</script>") == len(re.findall("<script", page))
    assert HOSTILE in WithoutScripts(page).text


def test_the_policy_allows_only_what_is_in_the_page(tmp_path: Path) -> None:
    """Style and script are allowed by their digests; the web is named only where a row's picture is there."""
    page = page_of(tmp_path, make_record(0))
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0]
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert f"{tag}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in policy
    assert not re.search(r"unsafe|\*|https?:|connect-src", policy)
    assert re.findall(r"https?://[^\"'\s)>]+", page.replace("http://www.w3.org/2000/svg", "")) == []
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(|XMLHttp", page)
    web = page_of(tmp_path / "web", make_record(0, source={"url": "https://example.com/a.jpg"}))
    assert "img-src 'self' file: data: blob: https: http:;" in web


def test_no_style_is_in_an_attribute(tmp_path: Path) -> None:
    """The policy forbids it, so a browser would leave it out."""
    assert not re.search(r'<[^>]+\sstyle="', page_of(tmp_path, make_record(0), make_failure(1)))


def test_what_does_not_fit_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has a limit; what it has no room for is counted."""
    monkeypatch.setattr(write, "_MOST_ROW_BYTES", 1)
    monkeypatch.setattr(write, "_ROWS_PER_PIECE", 2)
    text = WithoutScripts(page_of(tmp_path, *(make_record(n) for n in range(5)))).text
    assert "There is no room here for 3 rows, which are in insights.jsonl." in text
    assert "5 of 5 rows have a record" in text


def test_thumbnails_of_rows_that_matter_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the budget, a failed row's thumbnail is in the page before that of any other."""
    (tmp_path / "out").mkdir()
    Thumbnails(tmp_path / "out").put({row_key(f"row-{n:06}"): b"webp" * 3 for n in range(3)})
    monkeypatch.setattr(write, "_MOST_THUMBNAIL_BYTES", 20)
    page = page_of(tmp_path, make_record(0), make_record(1), make_failure(2))
    (block,) = re.findall(r'id="thumbnails">(.*?)</script>', page)
    assert json.loads(block) == {"2": b64encode(b"webp" * 3).decode()}


def test_an_entry_has_what_the_page_shows() -> None:
    """Boxes are in thousandths, one of the whole picture is left out; the lowest price counts, texts are shortened."""
    record = make_record(
        3,
        carry={"Title": "Mug", "stock": 4},
        tags=[
            {"name": "mug", "confidence": 0.756, "box": rectangle(0.1, 0.2, 0.5, 1)},
            {"name": "all", "box": rectangle(0, 0, 1, 1)},
            {"name": "x" * 1000, "box": [{"x": x, "y": y} for x, y in ((0.1, 0), (1, 0.1), (0.9, 1), (0, 0.9))]},
        ],
        text={"full": "A\nB", "regions": [], "sources": []},
        offers=[{"price": 9.5, "currency": "EUR"}, {"low_price": 7, "price": 30, "currency": "USD"}, {"name": "-"}],
    )
    line = CurrentLine(row_key=b"", is_record=True, offset=5, length=9, content=record)
    values = dict(zip(FIELDS, entry(line, ["Title", "stock", "gone"]), strict=True))
    assert values["title"] == "Mug"
    assert values["tags"][:2] == [["mug", 76, [100, 200, 500, 1000]], ["all", None, None]]
    assert values["tags"][2][2] == [100, 0, 1000, 100, 900, 1000, 0, 900]
    assert len(values["tags"][2][0]) == 300
    assert values["lines"] == [["A", None], ["B", None]]
    assert (values["price"], values["currency"]) == (7, "USD")
    assert values["carry"] == ["Mug", 4, None]
    assert values["place"] == [5, 9]


def test_a_failure_is_an_entry_of_the_same_form() -> None:
    """A line without an id is named by its line."""
    line = CurrentLine(row_key=b"", is_record=False, offset=0, length=1, content=make_failure(0, id=None))
    values = dict(zip(FIELDS, entry(line, ["title"]), strict=True))
    assert values["id"] == "line 2"
    assert values["status"] == "failed"
    assert values["failure"] == ["truncated", "the picture is cut off", "prepare", False]


def test_a_pack_is_read_piece_by_piece() -> None:
    """Each piece is a list of its own; what comes after the limit is refused."""
    pack = Pack(2, 1000)
    assert all(pack.add({"n": n}) for n in range(3))
    pack.finish()
    pack.finish()
    read = [json.loads(zlib.decompress(b64decode(piece))) for piece in pack.pieces]
    assert read == [[{"n": 0}, {"n": 1}], [{"n": 2}]]
    assert pack.size == sum(map(len, pack.pieces))
    full = Pack(1, 1)
    assert [full.add(1), full.add(2)] == [True, False]
    assert full.count == 1


def test_json_in_a_script_can_not_end_it() -> None:
    """No character that HTML knows is left, and the value is the same."""
    text = script_json({"a": "</script><!--&"})
    assert not re.search("[<>&]", text)
    assert json.loads(text) == {"a": "</script><!--&"}


def test_the_rate_counts_what_fell_into_the_run() -> None:
    """Bars are of records and failures of this run only; a run that finished nothing has no chart."""
    chart = rate_chart({100: 3, 110: 1, 5000: 9}, {110: 1}, 100, 219)
    assert chart.count('class="good" x') == 2
    assert chart.count('class="bad" x') == 1
    assert "Rows finished per 2 seconds" in chart
    assert "at most 3" in chart
    assert rate_chart({5: 1}, {}, 100, 200) == ""
