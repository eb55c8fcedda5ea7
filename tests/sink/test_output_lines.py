"""Records and failures as lines of JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import orjson

from pipeline.schema import Insights, no_insights
from pipeline.sink.output_lines import build_record, encode, encode_failure, without_itself
from tests.providers.google.conftest import prepared
from tests.rows import REQUEST, Provider, make_answer, make_failure, make_row


def test_a_record_is_as_old_as_its_oldest_answer() -> None:
    """Of several answers the one that was asked first dates the record, wherever it comes in the row's calls."""
    for times in ([100.0, 50.0, 200.0], [50.0, 100.0], [200.0, 50.0]):
        answers = [(REQUEST, make_answer(asked_at=asked_at)) for asked_at in times]
        record = build_record(Provider(), make_row("a", path=Path("a.png")), None, answers, no_insights())
        assert record["asked_at"] == "1970-01-01T00:00:50Z"


def test_a_record_names_the_calls_it_comes_from() -> None:
    """The trace ids are the provider's, of the answers that have one."""
    answers = [(REQUEST, make_answer(trace="T1")), (REQUEST, make_answer()), (REQUEST, make_answer(trace="T2"))]
    record = build_record(Provider(), make_row("a"), None, answers, no_insights())
    assert (record["provider"], record["calls"]["trace_ids"]) == ("test", ["T1", "T2"])


def test_how_a_picture_was_sent_is_what_its_request_says() -> None:
    """A local file that was prepared may be sent as its public URL: then nothing of the bytes is in `sent`."""
    row, picture = make_row("a", path=Path("a.png")), prepared()
    as_bytes, as_url = (
        build_record(Provider(), row, picture, [(request, make_answer())], no_insights())
        for request in (replace(REQUEST, form="bytes"), replace(REQUEST, form="url"))
    )
    assert as_bytes["sent"]["bytes"] == len(picture.data)
    assert as_url["sent"] == {"form": "url"}
    assert as_url["source"] == as_bytes["source"]


def test_lines_are_whole_lines_of_json() -> None:
    """A line ends in its only newline; what a failure doesn't know is left out."""
    record = build_record(
        Provider(), make_row("a", carry={"t": "two\nlines"}), None, [(REQUEST, make_answer())], no_insights()
    )
    line = encode(record)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert orjson.loads(line) == record
    assert orjson.loads(encode_failure(make_failure(3), at=50.0)) == {
        "schema": "1",
        "line": 3,
        "ordinal": 2,
        "stage": "manifest",
        "code": "bad-line",
        "message": "bad-line in 3",
        "attempts": 0,
        "retryable": False,
        "at": "1970-01-01T00:00:50Z",
    }


def test_a_record_names_other_rows_as_duplicates() -> None:
    """The row itself is no duplicate of itself; what has the hash of its file is exact; the hash is left out."""
    copies = [("own", "same", "a"), ("twin", "same", "a"), ("small", "same", "b"), ("old", "edited", None)]
    duplicates = [
        {"id": name, "path": f"{name}.jpg", "kind": kind, "score": 0.9, **({"sha256": digest} if digest else {})}
        for name, kind, digest in copies
    ]
    insights = cast("Insights", {**no_insights(), "duplicates": duplicates})
    assert without_itself(insights, "own", "a")["duplicates"] == [
        {"id": "twin", "path": "twin.jpg", "kind": "exact", "score": 1.0},
        {"id": "small", "path": "small.jpg", "kind": "same", "score": 0.9},
        {"id": "old", "path": "old.jpg", "kind": "edited", "score": 0.9},
    ]
    kinds = [copy["kind"] for copy in without_itself(insights, "own", None)["duplicates"]]
    assert kinds == ["same", "same", "edited"]
