"""The ledger remembers rows, tells a run's rows apart, and puts back what is to be tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.state.job_state import JobState, open_state
from pipeline.state.ledger import State
from tests.rows import REQUEST, entry, make_answer


def test_what_is_marked_is_known_after_reopening(tmp_path: Path) -> None:
    """Rows and committed lengths outlive the process."""
    with open_state(tmp_path / "state.db") as state:
        state.commit([entry(b"a", file_stamp=b"s")], lengths={"insights.jsonl": 10}, changed={"insights.jsonl": 7})
    with open_state(tmp_path / "state.db") as state:
        known = state.known_rows.look_up([b"a", b"b"])
        assert list(known) == [b"a"]
        assert known[b"a"].state == State.DONE
        assert known[b"a"].file_stamp == b"s"
        assert (state.files.committed("insights.jsonl"), state.files.changed("insights.jsonl")) == (10, 7)


def test_a_key_seen_twice_is_returned_with_its_first_line(state: JobState) -> None:
    """An id that comes again in a later batch names the line it was in first."""
    known = state.known_rows
    assert known.note_seen({b"a": 2, b"b": 3}) == {}
    assert known.note_seen({b"b": 9, b"c": 10}) == {b"b": 3}
    assert known.note_seen({b"c": 11}) == {b"c": 10}


def test_superseded_lines_are_counted(state: JobState) -> None:
    """A row that gets another line leaves one behind that no longer counts."""
    state.commit([entry(b"a"), entry(b"b")], lengths={}, changed={})
    assert state.files.superseded() == 0
    state.commit([entry(b"a", offset=20)], lengths={}, changed={})
    assert state.files.superseded() == 1


def test_retry_forgets_the_answers_of_the_code_it_names(state: JobState) -> None:
    """Only rows with the code are put back, and what was refused is asked again."""
    state.answers.put([(b"1" * 32, REQUEST, make_answer()), (b"2" * 32, REQUEST, make_answer())])
    state.ledger.mark([entry(b"a", State.FAILED, code="x", fingerprints=b"1" * 32)])
    state.ledger.mark([entry(b"b", State.FAILED, code="y", fingerprints=b"2" * 32)])
    assert state.ledger.failures() == {"x": 1, "y": 1}
    assert state.ledger.retry("x") == 1
    assert state.answers.get(b"1" * 32) is None
    assert state.answers.get(b"2" * 32) is not None
    assert state.known_rows.look_up([b"a"])[b"a"].state == State.RETRYABLE
    assert state.ledger.retry() == 2


def test_rows_that_no_line_named_are_unseen(state: JobState) -> None:
    """Of the rows in the given states, those that no line of this run named can be forgotten."""
    state.ledger.mark([entry(b"a"), entry(b"b"), entry(b"f", State.FAILED)])
    state.known_rows.note_seen({b"a": 1})
    assert list(state.known_rows.unseen([State.FAILED, State.RETRYABLE])) == [b"f"]
    assert list(state.known_rows.unseen([State.DONE])) == [b"b"]
    state.ledger.forget([b"f", b"b"])
    assert set(state.known_rows.look_up([b"a", b"b", b"f"])) == {b"a"}


def test_a_commit_that_fails_marks_neither_rows_nor_lengths(state: JobState) -> None:
    """Rows and the lengths of the files are committed together or not at all, and the next commit works."""
    state.commit([entry(b"a")], lengths={"insights.jsonl": 10}, changed={})
    with pytest.raises(OverflowError):
        state.commit([entry(b"b", offset=10)], lengths={"insights.jsonl": 2**70}, changed={})
    assert list(state.known_rows.look_up([b"a", b"b"])) == [b"a"]
    assert state.files.committed("insights.jsonl") == 10
    state.commit([entry(b"b", offset=10)], lengths={"insights.jsonl": 20}, changed={})
    assert len(state.known_rows.look_up([b"a", b"b"])) == 2
