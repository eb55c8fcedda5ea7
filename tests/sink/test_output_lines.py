"""Records and failures as lines of JSON."""

from __future__ import annotations

from pathlib import Path

import orjson

from pipeline.schema import no_insights
from pipeline.sink.output_lines import build_record, encode, encode_failure
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
