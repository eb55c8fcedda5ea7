"""The probe tells what is new, changed, done, failed or repeated, without opening any picture."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pipeline.records import Failure, Row
from pipeline.resume.changes import ChangeDetector, PendingRow, row_key
from pipeline.state.ledger import Entry, Ledger, State
from tests.sink.conftest import make_failure, make_row


def mark(
    ledger: Ledger, pending_row: PendingRow, state: State = State.DONE, asked_at: float = 100.0, code: str = ""
) -> None:
    entry = Entry(
        key=pending_row.key,
        state=state,
        digest=pending_row.digest,
        stamp=pending_row.stamp,
        asked_at=asked_at,
        code=code,
    )
    ledger.mark([entry], {})


def test_an_unchanged_row_is_done_and_a_changed_one_is_not(ledger: Ledger, tmp_path: Path) -> None:
    """The picture's size and time, the row and the settings each make a row new again."""
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"1")
    row = make_row("a", path=picture)
    mark(ledger, ChangeDetector(ledger, b"settings").detect([row]).pending_row[0])

    def again(row: Row, settings: bytes = b"settings") -> int:
        ledger._read.execute("DELETE FROM run.seen")  # a new run
        return ChangeDetector(ledger, settings).detect([row]).done_before

    assert again(row) == 1
    assert again(row, b"others") == 0
    assert again(replace(row, market="de-DE")) == 0
    assert again(replace(row, carry={"title": "new"})) == 0
    os.utime(picture, ns=(1, 1))
    assert again(row) == 0


def test_answers_older_than_the_refresh_are_asked_again(ledger: Ledger) -> None:
    """A record that is too old is to do, a failure is not."""
    first = ChangeDetector(ledger, b"s").detect([make_row("a", 1), make_row("b", 2)]).pending_row
    mark(ledger, first[0])
    mark(ledger, first[1], State.FAILED, code="truncated")
    ledger._read.execute("DELETE FROM run.seen")
    changes = ChangeDetector(ledger, b"s", not_before=101.0).detect([make_row("a", 1), make_row("b", 2)])
    assert [pending_row.item.id for pending_row in changes.pending_row] == ["a"]
    assert changes.failed_before == {"truncated": 1}


def test_failures_that_may_be_tried_again_are(ledger: Ledger) -> None:
    """A fault of the way to the service is tried again by the next run, a verdict on the picture is not."""
    for row_id, state in (("a", State.RETRYABLE), ("b", State.FAILED)):
        ledger._read.execute("DELETE FROM run.seen")
        mark(ledger, ChangeDetector(ledger, b"s").detect([make_row(row_id)]).pending_row[0], state, code="x")
    ledger._read.execute("DELETE FROM run.seen")
    changes = ChangeDetector(ledger, b"s").detect([make_row("a", 1), make_row("b", 2)])
    assert [pending_row.item.id for pending_row in changes.pending_row] == ["a"]


def test_a_repeated_id_fails_on_its_own_line(ledger: Ledger) -> None:
    """Within a batch and across batches: the first line keeps the id, each other one is a failure of its own."""
    detector = ChangeDetector(ledger, b"s")
    first = detector.detect([make_row("a", 1), make_row("a", 2), make_row("b", 3)]).pending_row
    second = detector.detect([make_row("a", 4), make_row("c", 5)]).pending_row
    assert [pending_row.key for pending_row in first] == [row_key("a"), first[1].key, row_key("b")]
    repeats = [pending_row.item for pending_row in (*first, *second) if isinstance(pending_row.item, Failure)]
    assert [(item.line, item.code) for item in repeats] == [(2, "repeated-id"), (4, "repeated-id")]
    assert "stands in line 1 already" in repeats[1].message
    assert len({pending_row.key for pending_row in (*first, *second)}) == 5


def test_bad_lines_fail_once_and_are_known_afterwards(ledger: Ledger) -> None:
    """A line that is no row is written once and counted, not written, by the next run; a mended one takes its place."""
    pending_row = ChangeDetector(ledger, b"s").detect([make_failure(7, row_id="x")]).pending_row[0]
    assert pending_row.key == row_key("x")
    mark(ledger, pending_row, State.FAILED, code="bad-line")
    ledger._read.execute("DELETE FROM run.seen")
    assert ChangeDetector(ledger, b"s").detect([make_failure(7, row_id="x")]).failed_before == {"bad-line": 1}
    ledger._read.execute("DELETE FROM run.seen")
    mended = ChangeDetector(ledger, b"s").detect([make_row("x", 7)]).pending_row[0]
    assert mended.key == pending_row.key


def test_equal_pictures_and_requests_are_one_question(ledger: Ledger) -> None:
    """Ids and carried columns don't matter to the question; picture, query and settings do."""
    detector = ChangeDetector(ledger, b"s")
    one, ten, other = detector.detect(
        [make_row("a", 1), make_row("b", 2, carry={"t": 1}), make_row("c", 3, query="q")]
    ).pending_row
    assert detector.question(one, "sha") == detector.question(ten, "sha")
    assert detector.question(one, "sha") != detector.question(one, "other")
    assert detector.question(one, "sha") != detector.question(other, "sha")
    assert detector.question(one, "sha") != ChangeDetector(ledger, b"t").question(one, "sha")
