"""The ledger remembers rows and lengths, tells lines apart, and puts back what a file has lost."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.state.answers import AnswerStore
from pipeline.state.ledger import Entry, Ledger, State
from tests.sink.conftest import make_answer


def entry(key: bytes, state: State = State.DONE, place: int = 0, length: int = 10, **other: object) -> Entry:
    return Entry(key=key, state=state, digest=b"d" * 16, place=place, length=length, **other)  # type: ignore[arg-type] # literals


def test_what_is_marked_is_known_after_reopening(tmp_path: Path) -> None:
    """Rows and committed lengths outlive the process."""
    with closing(Ledger(tmp_path / "state.db")) as ledger:
        ledger.mark([entry(b"a", code="", stamp=b"s")], {"insights.jsonl": 10})
    with closing(Ledger(tmp_path / "state.db")) as ledger:
        known = ledger.look_up([b"a", b"b"])
        assert list(known) == [b"a"]
        assert known[b"a"].state == State.DONE
        assert known[b"a"].stamp == b"s"
        assert ledger.committed("insights.jsonl") == 10


def test_a_key_seen_twice_is_told_with_its_first_line(ledger: Ledger) -> None:
    """An id that comes again in a later batch names the line it stood in first."""
    assert ledger.see({b"a": 2, b"b": 3}) == {}
    assert ledger.see({b"b": 9, b"c": 10}) == {b"b": 3}
    assert ledger.see({b"c": 11}) == {b"c": 10}


def test_superseded_lines_are_counted(ledger: Ledger) -> None:
    """A row that gets another line leaves a stale one behind."""
    ledger.mark([entry(b"a"), entry(b"b")], {})
    assert ledger.number("stale") == 0
    ledger.mark([entry(b"a", place=20)], {})
    assert ledger.number("stale") == 1


def test_rows_past_the_end_of_a_cut_file_are_put_back(ledger: Ledger) -> None:
    """A file that lost its end keeps whole lines only; the rows of the others are to be done again."""
    ledger.mark([entry(b"a"), entry(b"b", place=10), entry(b"c", place=20)], {"insights.jsonl": 30})
    assert ledger.cut("insights.jsonl", [State.DONE], 25) == 20
    states = {key: known.state for key, known in ledger.look_up([b"a", b"b", b"c"]).items()}
    assert states == {b"a": State.DONE, b"b": State.DONE, b"c": State.WAITING}
    assert ledger.committed("insights.jsonl") == 20


def test_retry_forgets_the_answers_of_the_code_it_names(tmp_path: Path) -> None:
    """Only rows with the code are put back, and their stored verdicts are asked for again."""
    path = tmp_path / "state.db"
    with closing(Ledger(path)) as ledger, closing(AnswerStore(path)) as answers:
        answers.put([(b"1" * 32, make_answer()), (b"2" * 32, make_answer())])
        ledger.mark([entry(b"a", State.FAILED, code="x", prints=b"1" * 32)], {})
        ledger.mark([entry(b"b", State.FAILED, code="y", prints=b"2" * 32)], {})
        assert ledger.failures() == {"x": 1, "y": 1}
        assert ledger.reset("x") == 1
        assert answers.get(b"1" * 32) is None
        assert answers.get(b"2" * 32) is not None
        assert ledger.look_up([b"a"])[b"a"].state == State.RETRYABLE
        assert ledger.reset() == 2


def test_rows_that_left_the_manifest_are_forgotten(ledger: Ledger) -> None:
    """Only rows in the given states that no line of this run named are dropped, and their lines are stale."""
    ledger.mark([entry(b"a"), entry(b"b"), entry(b"f", State.FAILED)], {})
    ledger.see({b"a": 1})
    assert ledger.forget_unseen([State.FAILED, State.RETRYABLE]) == 1
    assert set(ledger.look_up([b"a", b"b", b"f"])) == {b"a", b"b"}
    assert ledger.forget_unseen([State.DONE]) == 1
    assert set(ledger.look_up([b"a", b"b", b"f"])) == {b"a"}
    assert ledger.number("stale") == 2


def test_answers_older_than_asked_for_are_not_given(tmp_path: Path) -> None:
    """An answer comes back whole, marked as stored, unless it is older than the caller bears."""
    with closing(AnswerStore(tmp_path / "state.db")) as answers:
        answers.put([(b"1" * 32, make_answer(b'{"a":1}', asked_at=100.0))])
        found = answers.get(b"1" * 32, not_before=100.0)
        assert found is not None
        assert (found.body, found.from_store, found.headers) == (b'{"a":1}', True, {"date": "x"})
        assert answers.get(b"1" * 32, not_before=100.5) is None
        assert answers.count() == 1


def test_a_broken_ledger_is_told_in_one_sentence(tmp_path: Path) -> None:
    """A file that is no database stops the run with its name, and nothing is overwritten."""
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database, whatever it is called" * 30)
    with pytest.raises(OutputError, match=r"state\.db can't be used"):
        Ledger(path)
    assert path.read_bytes().startswith(b"this is no database")
