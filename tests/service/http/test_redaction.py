"""No key reaches the journal or the access log, in whichever place of a request it is."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from pipeline.service.access.authenticator import ApiKey
from pipeline.service.http.logs import MAX_LINES, PrintableFormatter, RepeatFilter, access_log
from pipeline.service.http.redaction import HIDDEN, Redactor, shown_path

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Served

    Start = Callable[..., Served]

KEY = "Secret/Key+0123456789"
QUOTED = quote(KEY, safe="")
SEARCH = "/v7.0/images/search?q=mug"
PLACES: dict[str, tuple[str, dict[str, str]]] = {
    "its header": (SEARCH, {"Ocp-Apim-Subscription-Key": KEY}),
    "another header": (SEARCH, {"X-Api-Key": KEY}),
    "authorization": (SEARCH, {"Authorization": f"Bearer {KEY}"}),
    "basic": (SEARCH, {"Authorization": "Basic " + b64encode(f"me:{KEY}".encode()).decode()}),
    "a cookie": (SEARCH, {"Cookie": f"key={KEY}"}),
    "a mistyped header": (SEARCH, {"Ocp-Apim-Subscripton-Key": KEY}),
    "the name of a header": (SEARCH, {KEY.replace("/", "").replace("+", ""): "x", "Ocp-Apim-Subscription-Key": KEY}),
    "the user agent": (SEARCH, {"User-Agent": f"tool/1 {KEY}"}),
    "the client id": (SEARCH, {"X-MSEdge-ClientID": KEY}),
    "a parameter": (f"{SEARCH}&subscription-key={QUOTED}", {}),
    "the name of a parameter": (f"{SEARCH}&{QUOTED}", {}),
    "the words": (f"/v7.0/images/search?q={QUOTED}", {}),
    "a documented parameter": (f"{SEARCH}&id={QUOTED}", {}),
    "the path": (f"/v7.0/images/search/{QUOTED}?q=mug", {}),
    "the path's beginning": (f"/{QUOTED}/v7.0/images/search?q=mug", {}),
    "a thumbnail": (f"/thumbnails/{QUOTED}", {}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("is_known", [True, False], ids=["own key", "any key"])
def test_no_key_is_logged(
    engine: FixedEngine, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, *, is_known: bool
) -> None:
    """Neither a key of this service, nor one of another service that a caller sends here by mistake."""
    target, headers = PLACES[place]
    if not is_known and place in {"the user agent", "the client id", "the words", "a documented parameter"}:
        headers = {**headers, "Ocp-Apim-Subscription-Key": KEY}  # what is called a key is one, wherever else it is
    caplog.set_level(logging.INFO, access_log.name)
    keys = (ApiKey(secret=SecretStr(KEY)),) if is_known else ()
    served = start(engine, keys=keys, journal=tmp_path / "journal.jsonl")
    served.send_exactly("GET", target, b"", headers)
    text = (tmp_path / "journal.jsonl").read_text() + caplog.text
    assert "GET" in text
    for form in (KEY, QUOTED, QUOTED.lower(), KEY.replace("/", "").replace("+", ""), b64encode(KEY.encode()).decode()):
        assert form not in text


def test_what_is_no_key_is_shown() -> None:
    """A journal is for finding out what clients send: documented parameters and usual headers are in it."""
    redactor = Redactor(["a key of ours"])
    headers = {"Accept": "application/json", "User-Agent": "tool/1", "X-Own": "value"}
    assert redactor.query("q=blue+mug&mkt=de-DE&x=1", headers) == "q=blue+mug&mkt=de-DE&%2A%2A%2A=%2A%2A%2A"
    assert redactor.headers("q=mug", headers) == {
        "Accept": "application/json",
        "User-Agent": "tool/1",
        HIDDEN: HIDDEN,
    }
    assert shown_path("/v7.0/images/search") == "/v7.0/images/search"
    assert shown_path("/thumbnails/own_123") == f"/thumbnails/{HIDDEN}"


def test_log_lines_do_nothing_on_a_terminal() -> None:
    """Control characters, marks of direction and line ends are written out; a traceback keeps its lines."""
    formatter = PrintableFormatter("%(message)s")
    record = logging.LogRecord("x", logging.ERROR, "", 0, "bad %s", ("\x1b]0;owned\x07\u202e\n\x9b31m",), None)
    assert formatter.format(record) == "bad \\u001b]0;owned\\u0007\\u202e\\u000a\\u009b31m"
    with pytest.raises(ValueError, match="31m") as caught:
        int("\x1b[31m")
    record.exc_info = (ValueError, caught.value, caught.tb)
    text = formatter.format(record)
    assert "\x1b" not in text
    assert len(text.splitlines()) > 3


def test_the_same_line_is_not_logged_without_end() -> None:
    """Ten lines of one kind pass in a minute, and the last one says so; other lines still pass."""
    repeats = RepeatFilter()

    def record(message: str, number: int) -> logging.LogRecord:
        return logging.LogRecord("x", logging.ERROR, "", 0, message, (number,), None)

    records = [record("call %s failed", number) for number in range(1000)]
    passed = [each for each in records if repeats.filter(each)]
    assert len(passed) == MAX_LINES
    assert "left out" in passed[-1].getMessage()
    assert repeats.filter(record("another %s", 1))


def test_the_journal_is_one_line_each(engine: FixedEngine, start: Start, tmp_path: Path) -> None:
    """Odd characters in a request break no line of the journal."""
    served = start(engine, journal=tmp_path / "journal.jsonl")
    served.send("GET", f"{SEARCH}%0a%1b%c2%9b%e2%80%ae&mkt=en-US")
    (line,) = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == 200
    assert not any(ord(char) in {0x1B, 0x9B, 0x202E} for char in line)
