"""The probe tells what is new, changed, done, failed or repeated, without opening any picture."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pipeline.records import Failure, Row
from pipeline.sink.ledger import Entry, Ledger, State
from pipeline.sink.probe import Probe, Todo, row_key
from tests.sink.conftest import make_failure, make_row


def mark(ledger: Ledger, todo: Todo, state: State = State.DONE, asked_at: float = 100.0, code: str = "") -> None:
    entry = Entry(key=todo.key, state=state, digest=todo.digest, stamp=todo.stamp, asked_at=asked_at, code=code)
    ledger.mark([entry], {})


def test_an_unchanged_row_is_done_and_a_changed_one_is_not(ledger: Ledger, tmp_path: Path) -> None:
    """The picture's size and time, the row and the settings each make a row new again."""
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"1")
    row = make_row("a", path=picture)
    mark(ledger, Probe(ledger, b"settings").sift([row]).todo[0])

    def again(row: Row, settings: bytes = b"settings") -> int:
        ledger._read.execute("DELETE FROM run.seen")  # a new run
        return Probe(ledger, settings).sift([row]).done_before

    assert again(row) == 1
    assert again(row, b"others") == 0
    assert again(replace(row, market="de-DE")) == 0
    assert again(replace(row, carry={"title": "new"})) == 0
    os.utime(picture, ns=(1, 1))
    assert again(row) == 0


def test_answers_older_than_the_refresh_are_asked_again(ledger: Ledger) -> None:
    """A record that is too old is to do, a failure is not."""
    first = Probe(ledger, b"s").sift([make_row("a", 1), make_row("b", 2)]).todo
    mark(ledger, first[0])
    mark(ledger, first[1], State.FAILED, code="truncated")
    ledger._read.execute("DELETE FROM run.seen")
    sifted = Probe(ledger, b"s", not_before=101.0).sift([make_row("a", 1), make_row("b", 2)])
    assert [todo.item.id for todo in sifted.todo] == ["a"]
    assert sifted.failed_before == {"truncated": 1}


def test_failures_that_may_be_tried_again_are(ledger: Ledger) -> None:
    """A fault of the way to the service is tried again by the next run, a verdict on the picture is not."""
    for row_id, state in (("a", State.RETRYABLE), ("b", State.FAILED)):
        ledger._read.execute("DELETE FROM run.seen")
        mark(ledger, Probe(ledger, b"s").sift([make_row(row_id)]).todo[0], state, code="x")
    ledger._read.execute("DELETE FROM run.seen")
    sifted = Probe(ledger, b"s").sift([make_row("a", 1), make_row("b", 2)])
    assert [todo.item.id for todo in sifted.todo] == ["a"]


def test_a_repeated_id_fails_on_its_own_line(ledger: Ledger) -> None:
    """Within a batch and across batches: the first line keeps the id, each other one is a failure of its own."""
    probe = Probe(ledger, b"s")
    first = probe.sift([make_row("a", 1), make_row("a", 2), make_row("b", 3)]).todo
    second = probe.sift([make_row("a", 4), make_row("c", 5)]).todo
    assert [todo.key for todo in first] == [row_key("a"), first[1].key, row_key("b")]
    repeats = [todo.item for todo in (*first, *second) if isinstance(todo.item, Failure)]
    assert [(item.line, item.code) for item in repeats] == [(2, "repeated-id"), (4, "repeated-id")]
    assert "stands in line 1 already" in repeats[1].message
    assert len({todo.key for todo in (*first, *second)}) == 5


def test_bad_lines_fail_once_and_are_known_afterwards(ledger: Ledger) -> None:
    """A line that is no row is written once and counted, not written, by the next run; a mended one takes its place."""
    todo = Probe(ledger, b"s").sift([make_failure(7, row_id="x")]).todo[0]
    assert todo.key == row_key("x")
    mark(ledger, todo, State.FAILED, code="bad-line")
    ledger._read.execute("DELETE FROM run.seen")
    assert Probe(ledger, b"s").sift([make_failure(7, row_id="x")]).failed_before == {"bad-line": 1}
    ledger._read.execute("DELETE FROM run.seen")
    mended = Probe(ledger, b"s").sift([make_row("x", 7)]).todo[0]
    assert mended.key == todo.key


def test_equal_pictures_and_requests_are_one_question(ledger: Ledger) -> None:
    """Ids and carried columns don't matter to the question; picture, query and settings do."""
    probe = Probe(ledger, b"s")
    one, ten, other = probe.sift([make_row("a", 1), make_row("b", 2, carry={"t": 1}), make_row("c", 3, query="q")]).todo
    assert probe.question(one, "sha") == probe.question(ten, "sha")
    assert probe.question(one, "sha") != probe.question(one, "other")
    assert probe.question(one, "sha") != probe.question(other, "sha")
    assert probe.question(one, "sha") != Probe(ledger, b"t").question(one, "sha")
