"""Answers come back as they were paid for, with the requests they answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.records import Crop, Request
from pipeline.state.job_state import JobState, open_state
from tests.rows import REQUEST, make_answer

BY_URL = Request(
    method="POST",
    target="/images/visualsearch?mkt=de-DE",
    form="url",
    headers=(("Content-Type", "multipart/form-data; boundary=x"), ("User-Agent", "test")),
    body=b"--x\r\n\xff\x00 any bytes --x--",
    crop=Crop(left=0.1, top=0.2, right=0.9, bottom=0.8),
    picture_size=(640, 480),
)


def test_answers_older_than_asked_for_are_not_returned(state: JobState) -> None:
    """An answer comes back whole, marked as stored, unless it is older than the caller allows."""
    state.answers.put([(b"1" * 32, REQUEST, make_answer(b'{"a":1}', asked_at=100.0))])
    answer = state.answers.get(b"1" * 32, not_before=100.0)
    assert answer is not None
    assert (answer.body, answer.from_store, answer.headers) == (b'{"a":1}', True, {"date": "x"})
    assert state.answers.get(b"1" * 32, not_before=100.5) is None
    assert state.answers.count() == 1


@pytest.mark.parametrize(
    "request_",
    [BY_URL, replace(BY_URL, form="token", crop=None), Request(method="GET", target="/images/trending", form="url")],
    ids=["url and crop", "token", "nothing but a target"],
)
def test_a_request_comes_back_as_it_was_asked(state: JobState, request_: Request) -> None:
    """A request whose body holds no picture is stored whole."""
    state.answers.put([(b"1" * 32, request_, make_answer())])
    exchange = state.answers.exchange(b"1" * 32)
    assert exchange is not None
    assert exchange.request == request_
    assert exchange.answer.body == b"{}"


def test_no_picture_is_stored(tmp_path: Path) -> None:
    """Of a request with a picture all but its body is stored; its fingerprint names the whole request."""
    secret = b"the bytes of a picture"
    asked = replace(BY_URL, form="bytes", body=secret)
    fingerprint = asked.fingerprint("service")
    with open_state(tmp_path / "state.db") as state:
        state.answers.put([(fingerprint, asked, make_answer())])
        exchange = state.answers.exchange(fingerprint)
        assert exchange is not None
        assert exchange.request == replace(asked, body=b"")
        assert state.answers.exchange(exchange.request.fingerprint("service")) is None
    assert secret not in (tmp_path / "state.db").read_bytes()


def test_an_answer_is_seen_while_change_detection_reads(state: JobState) -> None:
    """A half-read query of change detection hides no answer that is committed meanwhile: it would be paid for again."""
    reading = state.database.reader.execute(
        "SELECT value FROM (SELECT 1 AS value UNION SELECT 2 UNION SELECT count(*) FROM rows)"
    )
    next(reading)
    state.answers.put([(b"1" * 32, REQUEST, make_answer())])
    assert state.answers.get(b"1" * 32) is not None
    reading.close()
